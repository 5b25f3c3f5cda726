"""Two-way loss: positives above negatives, within every image and within every class."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._common import at_least_float32

__all__ = ['TwoWayLoss']

# Below every logit. With -inf, rows and columns without positives, or without negatives, had no second derivatives.
_NONE = -1e30


class TwoWayLoss(nn.Module):
    """Softplus of the hardest negative over the weakest positive, by rows and by columns of the batch.

    Rows and columns without a positive are left out.

    Shape: logits (B, C), 0 or 1 (B, C) -> ()

    Args:
        tp: Temperature of the minimum over positives.
        tn: Temperature of the maximum over negatives.

    Source: Kobayashi, Two-Way Multi-Label Loss, CVPR 2023, equation 11.
    """

    def __init__(self, tp: float = 4.0, tn: float = 1.0) -> None:
        super().__init__()
        self.tp = tp
        self.tn = tn

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        x = at_least_float32(x)
        positive = target > 0
        return self._contrast(x, positive, dim=1) + self._contrast(x, positive, dim=0)

    def _contrast(self, x: Tensor, positive: Tensor, dim: int) -> Tensor:
        weakest = self.tp * torch.logsumexp((-x / self.tp).masked_fill(~positive, _NONE), dim=dim)
        hardest = self.tn * torch.logsumexp((x / self.tn).masked_fill(positive, _NONE), dim=dim)
        counted = positive.any(dim=dim)
        return F.softplus(hardest + weakest).masked_fill(~counted, 0).sum() / counted.sum().clamp(min=1)
