"""What the losses share: forms of targets, precision, reductions."""

import torch
from torch import Tensor

__all__ = ['REDUCTIONS', 'at_least_float32', 'check_reduction', 'dense_targets', 'reduce_loss', 'smooth_binary']

REDUCTIONS = ('mean', 'sum', 'none')


def check_reduction(reduction: str, *more: str) -> str:
    """`reduction` if it is 'mean', 'sum', 'none' or one of `more`; else ValueError."""
    known = (*more, *REDUCTIONS)
    if reduction not in known:
        raise ValueError(f"Unknown reduction '{reduction}': use one of {', '.join(known)}.")
    return reduction


def reduce_loss(loss: Tensor, reduction: str) -> Tensor:
    """'mean' or 'sum' over everything, 'batchmean' (the sum over the batch size), or with 'none' all of `loss`."""
    if reduction == 'mean':
        return loss.mean()
    if reduction == 'sum':
        return loss.sum()
    return loss.sum() / loss.shape[0] if reduction == 'batchmean' else loss


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision logits in float32: their probabilities near 0 and 1 would be lost."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def dense_targets(target: Tensor, logits: Tensor, on: float = 1.0, off: float = 0.0) -> Tensor:
    """Class indices (B) as rows of `off` with `on` at the class: (B, C), in the dtype of `logits`."""
    dense = torch.full_like(logits, off)
    return dense.scatter_(1, target.long().view(-1, 1), on)


def smooth_binary(target: Tensor, smoothing: float) -> Tensor:
    """Targets in [0, 1] moved towards 1/2: 0 becomes smoothing / 2."""
    return target * (1 - smoothing) + 0.5 * smoothing if smoothing else target
