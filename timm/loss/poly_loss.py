"""Poly-1 losses: cross entropies with the first term of their series in 1 - p changed."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._common import at_least_float32, check_reduction, dense_targets, reduce_loss, smooth_binary

__all__ = ['PolyBinaryCrossEntropy', 'PolyCrossEntropy']


class PolyCrossEntropy(nn.Module):
    """Cross entropy + epsilon (1 - p), p the probability given to the target.

    Shape: logits (B, C), class indices (B) or probabilities (B, C) -> (), or (B) without a reduction

    Args:
        smoothing: Of index targets.
        reduction: 'mean', 'sum' or 'none'.

    Raises:
        ValueError: `reduction` is unknown.

    Source: Leng et al., PolyLoss, arXiv:2204.12511, equation 5.
    """

    def __init__(self, epsilon: float = 2.0, smoothing: float = 0.0, reduction: str = 'mean') -> None:
        super().__init__()
        self.epsilon = epsilon
        self.smoothing = smoothing
        self.reduction = check_reduction(reduction)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        x = at_least_float32(x)
        if target.ndim < x.ndim:
            off = self.smoothing / x.shape[-1]
            target = dense_targets(target, x, 1 - self.smoothing + off, off)
        log_probs = F.log_softmax(x, dim=-1)
        right = (target * log_probs.exp()).sum(dim=-1)
        return reduce_loss(self.epsilon * (1 - right) - (target * log_probs).sum(dim=-1), self.reduction)


class PolyBinaryCrossEntropy(nn.Module):
    """Focal loss + epsilon (1 - p)^(gamma + 1) for every class, p the probability given to its target.

    Shape: logits (B, C), 0 or 1 (B, C) -> (), or (B, C) without a reduction

    Args:
        gamma: Focusing exponent; 0 gives binary cross entropy.
        alpha: Share of the positives' weight, against 1 - alpha for the negatives; None weighs neither.
        reduction: 'mean', 'batchmean' (the sum over the batch size), 'sum' or 'none'.

    Raises:
        ValueError: `reduction` is unknown.

    Source: Leng et al., PolyLoss, arXiv:2204.12511, equation 7.
    """

    def __init__(
        self,
        epsilon: float = 2.0,
        gamma: float = 0.0,
        alpha: float | None = None,
        smoothing: float = 0.0,
        reduction: str = 'mean',
    ) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.gamma = gamma
        self.alpha = alpha
        self.smoothing = smoothing
        self.reduction = check_reduction(reduction, 'batchmean')

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        x = at_least_float32(x)
        target = smooth_binary(target.to(x.dtype), self.smoothing)
        loss = F.binary_cross_entropy_with_logits(x, target, reduction='none')
        probs = torch.sigmoid(x)
        missed = 1 - (probs * target + (1 - probs) * (1 - target))
        if self.gamma:
            loss = loss * missed**self.gamma
        loss = loss + self.epsilon * missed ** (self.gamma + 1)
        if self.alpha is not None:
            loss = loss * (self.alpha * target + (1 - self.alpha) * (1 - target))
        return reduce_loss(loss, self.reduction)
