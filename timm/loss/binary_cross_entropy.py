"""Binary cross entropy over classes, with targets as indices or dense."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._common import dense_targets, smooth_binary

__all__ = ['BinaryCrossEntropy']


class BinaryCrossEntropy(nn.Module):
    """A yes or no for every class: as good as cross entropy for one class, and made for several.

    Index targets get 1 - smoothing + smoothing / C at their class and smoothing / C elsewhere. Dense ones are taken
    as they are.

    Shape: logits (B, C), class indices (B) or dense (B, C) -> () after a reduction

    Args:
        target_threshold: What exceeds it counts as 1 and the rest as 0, after smoothing and mixing.
        weight: Of each class.
        sum_classes: Add the classes up and average over the batch only.
        pos_weight: Of the positive part of each class.
        smooth_dense: Smooth dense targets too, towards 1/2.

    Raises:
        ValueError: `smoothing` lies outside [0, 1), or batch sizes differ.

    Source: Wightman et al., ResNet strikes back, arXiv:2110.00476, section 3.
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        smoothing: float = 0.1,
        target_threshold: float | None = None,
        weight: Tensor | float | None = None,
        reduction: str = 'mean',
        sum_classes: bool = False,
        pos_weight: Tensor | float | None = None,
        smooth_dense: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f'smoothing={smoothing} is not allowed: give a share, 0 <= smoothing < 1.')
        self.smoothing = smoothing
        self.target_threshold = target_threshold
        self.reduction = 'none' if sum_classes else reduction
        self.sum_classes = sum_classes
        self.smooth_dense = smooth_dense
        self.register_buffer('weight', None if weight is None else torch.as_tensor(weight))
        self.register_buffer('pos_weight', None if pos_weight is None else torch.as_tensor(pos_weight))

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        if x.shape[0] != target.shape[0]:
            raise ValueError(
                f'{x.shape[0]} rows of logits do not go with {target.shape[0]} targets: give one for each.'
            )
        if target.shape != x.shape:
            off = self.smoothing / x.shape[-1]
            target = dense_targets(target, x, 1.0 - self.smoothing + off, off)
        elif self.smooth_dense:
            target = smooth_binary(target, self.smoothing)
        if self.target_threshold is not None:
            target = target.gt(self.target_threshold)
        loss = F.binary_cross_entropy_with_logits(
            x, target.to(x.dtype), self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )
        return loss.sum(-1).mean() if self.sum_classes else loss
