"""ZLPR: positives above zero and above the negatives, negatives below zero."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._common import at_least_float32

__all__ = ['ZlprLoss']


class ZlprLoss(nn.Module):
    """log(1 + sum over positives of e^-x) + log(1 + sum over negatives of e^x).

    Shape: logits (B, C), 0 or 1 (B, C) -> ()

    Source: Su et al., ZLPR: A Novel Loss for Multi-label Classification, arXiv:2208.02955, equation 8.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        x = at_least_float32(x)
        positive = target > 0
        lift = torch.logsumexp((-x).masked_fill(~positive, float('-inf')), dim=-1)
        drop = torch.logsumexp(x.masked_fill(positive, float('-inf')), dim=-1)
        return (F.softplus(lift) + F.softplus(drop)).mean()
