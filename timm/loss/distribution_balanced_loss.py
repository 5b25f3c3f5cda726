"""Distribution-balanced loss for many labels of very different frequency."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._common import at_least_float32, check_reduction, reduce_loss, smooth_binary

__all__ = ['DistributionBalancedLoss']


class DistributionBalancedLoss(nn.Module):
    """Focal binary cross entropy, weighted for labels that come together and tolerant of easy negatives.

    Shape: logits (B, C), 0 or 1 (B, C) -> (), or (B, C) without a reduction

    Args:
        class_counts: In how many of the `num_samples` images of the training set each class occurs.
        map_alpha: Lift of the smoothed weights.
        map_beta: Steepness of the smoothing.
        map_mu: Middle of the smoothing.
        neg_scale: Scale of negative logits, taken out of their weight again.
        init_bias: Strength of the shift of logits towards a class's frequency.
        focal_gamma: Focusing exponent; 0 does not focus.
        focal_balance: Factor of the focused loss.
        reduction: 'mean', 'sum' or 'none'.

    Raises:
        ValueError: The counts do not fit `num_samples`.

    Source: Wu et al., Distribution-Balanced Loss for Multi-Label Classification in Long-Tailed Datasets,
    arXiv:2007.09654, equations 4 to 9.
    """

    freq_inv: Tensor
    logit_bias: Tensor

    def __init__(
        self,
        class_counts: Tensor | Sequence[float],
        num_samples: int,
        map_alpha: float = 0.1,
        map_beta: float = 10.0,
        map_mu: float = 0.2,
        neg_scale: float = 2.0,
        init_bias: float = 0.05,
        focal_gamma: float = 2.0,
        focal_balance: float = 2.0,
        smoothing: float = 0.0,
        reduction: str = 'mean',
    ) -> None:
        super().__init__()
        counts = torch.as_tensor(class_counts, dtype=torch.float32)
        if not num_samples > 1 or counts.min() < 0 or counts.max() > num_samples:
            raise ValueError(
                f'class_counts must be from 0 to num_samples={num_samples}, of which there are two or more, got '
                f'{counts.min():g} to {counts.max():g}: each says in how many images its class occurs.'
            )
        counts = counts.clamp(1, num_samples - 1)  # never and always would have no finite bias
        self.reduction = check_reduction(reduction)
        self.smoothing = smoothing
        self.neg_scale = neg_scale
        self.map_alpha, self.map_beta, self.map_mu = map_alpha, map_beta, map_mu
        self.focal_gamma, self.focal_balance = focal_gamma, focal_balance
        self.register_buffer('freq_inv', 1 / counts)
        self.register_buffer('logit_bias', -(num_samples / counts - 1).log() * init_bias / neg_scale)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        x = at_least_float32(x)
        target = target.to(x.dtype)
        # How much more often an image is drawn for this class than for all of its classes together.
        share = self.freq_inv / (target * self.freq_inv).sum(dim=1, keepdim=True)
        weight = torch.sigmoid(self.map_beta * (share - self.map_mu)) + self.map_alpha
        target = smooth_binary(target, self.smoothing)
        x = x + self.logit_bias
        positive = target * self._focused(x)
        negative = (1 - target) * self._focused(-self.neg_scale * x) / self.neg_scale
        return reduce_loss(weight * (positive + negative), self.reduction)

    def _focused(self, x: Tensor) -> Tensor:
        """-log(sigmoid(x)), less where that is small anyway."""
        loss = F.softplus(-x)
        if not self.focal_gamma:
            return loss
        return self.focal_balance * torch.sigmoid(-x) ** self.focal_gamma * loss
