"""Asymmetric losses: easy negatives weigh less than easy positives."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._common import at_least_float32, check_reduction, dense_targets, reduce_loss, smooth_binary

__all__ = ['AsymmetricLossMultiLabel', 'AsymmetricLossSingleLabel']


class AsymmetricLossMultiLabel(nn.Module):
    """Binary cross entropy with a focus on the hard: negatives below `clip` count for nothing.

    Shape: logits (B, C), 0 or 1 (B, C) -> (), or (B, C) without a reduction

    Args:
        gamma_neg: Focusing exponent of negatives.
        gamma_pos: Focusing exponent of positives.
        clip: By how much a negative's probability is lowered first; 0 or None does not.
        eps: Smallest probability inside a logarithm.
        disable_torch_grad_focal_loss: Take the focusing weights as constants.
        reduction: 'batchmean' sums over classes and averages over the batch; 'mean', 'sum', 'none'.
        weight: Of each class.
        pos_weight: Of the positive part of each class.

    Raises:
        ValueError: `reduction` is unknown.

    Source: Ridnik et al., Asymmetric Loss For Multi-Label Classification, arXiv:2009.14119, equations 4 to 7.
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        gamma_neg: float = 4,
        gamma_pos: float = 1,
        clip: float | None = 0.05,
        eps: float = 1e-8,
        disable_torch_grad_focal_loss: bool = False,
        smoothing: float = 0.0,
        reduction: str = 'batchmean',
        weight: Tensor | float | None = None,
        pos_weight: Tensor | float | None = None,
    ) -> None:
        super().__init__()
        self.gamma_neg = gamma_neg
        self.gamma_pos = gamma_pos
        self.clip = clip
        self.eps = eps
        self.disable_torch_grad_focal_loss = disable_torch_grad_focal_loss
        self.smoothing = smoothing
        self.reduction = check_reduction(reduction, 'batchmean')
        self.register_buffer('weight', None if weight is None else torch.as_tensor(weight))
        self.register_buffer('pos_weight', None if pos_weight is None else torch.as_tensor(pos_weight))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x = at_least_float32(x)
        y = smooth_binary(y.to(x.dtype), self.smoothing)
        pos_prob = torch.sigmoid(x)
        neg_prob = 1 - pos_prob
        if self.clip:
            neg_prob = (neg_prob + self.clip).clamp(max=1)
        positive = y * pos_prob.clamp(min=self.eps).log()
        if self.pos_weight is not None:
            positive = positive * self.pos_weight
        loss = positive + (1 - y) * neg_prob.clamp(min=self.eps).log()
        if self.gamma_neg > 0 or self.gamma_pos > 0:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.disable_torch_grad_focal_loss):
                missed = 1 - pos_prob * y - neg_prob * (1 - y)
                focus = missed ** (self.gamma_pos * y + self.gamma_neg * (1 - y))
            loss = loss * focus
        if self.weight is not None:
            loss = loss * self.weight
        return reduce_loss(-loss, self.reduction)


class AsymmetricLossSingleLabel(nn.Module):
    """The asymmetric focus on a softmax over classes of which one is right.

    Shape: logits (B, C), class indices (B) -> (), or (B) without a reduction

    Args:
        gamma_pos: Focusing exponent of the right class.
        gamma_neg: Focusing exponent of the others.
        eps: Label smoothing.
        reduction: 'mean', 'sum' or 'none'.

    Raises:
        ValueError: `reduction` is unknown.

    Source: Ridnik et al., Asymmetric Loss For Multi-Label Classification, arXiv:2009.14119.
    """

    def __init__(self, gamma_pos: float = 1, gamma_neg: float = 4, eps: float = 0.1, reduction: str = 'mean') -> None:
        super().__init__()
        self.gamma_pos = gamma_pos
        self.gamma_neg = gamma_neg
        self.eps = eps
        self.reduction = check_reduction(reduction)

    def forward(self, inputs: Tensor, target: Tensor, reduction: str | None = None) -> Tensor:
        log_probs = F.log_softmax(inputs, dim=-1)
        right = dense_targets(target, inputs)
        wrong = 1 - right
        probs = log_probs.exp()
        missed = 1 - probs * right - (1 - probs) * wrong
        focus = missed ** (self.gamma_pos * right + self.gamma_neg * wrong)
        smoothed = right * (1 - self.eps) + self.eps / inputs.shape[-1]
        loss = -(smoothed * log_probs * focus).sum(dim=-1)
        return reduce_loss(loss, self.reduction if reduction is None else check_reduction(reduction))
