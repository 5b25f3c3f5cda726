"""Second moments kept as two small factors: what both Adafactors share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ._stacks import stack

__all__ = ['divide_by_root']


def divide_by_root(
    grads: Tensor, moments: Sequence[list[Tensor]], dims: tuple[int, int] | None, weight: float, eps: float
) -> Tensor:
    """Bring the second moments of a stack of gradients up to date, and return gradient / sqrt(moment).

    Args:
        moments: Running means of the squares, whole; or with `dims` their means r over dims[1] and c over dims[0],
            whose product r c / mean(r) stands for them.
        weight: Of the new squares.
        eps: Added to each square.

    Source: Shazeer and Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, arXiv:1804.04235,
    algorithm 2.
    """
    squares, dtype = grads.square(), moments[0][0].dtype  # moments of a saved state may be less exact than gradients
    if dims is None:
        torch._foreach_lerp_(moments[0], list(squares.add_(eps).to(dtype).unbind()), weight)
        return torch.rsqrt(stack(moments[0]), out=squares).mul_(grads)
    row_dim, col_dim = dims[0] + 1, dims[1] + 1
    row_means, col_means = (squares.mean(dim, keepdim=True).add_(eps).to(dtype) for dim in (col_dim, row_dim))
    for factors, means in zip(moments, (row_means, col_means), strict=True):
        torch._foreach_lerp_(factors, list(means.view(-1, *factors[0].shape).unbind()), weight)
    rows, cols = stack(moments[0]).view_as(row_means), stack(moments[1]).view_as(col_means)
    row_scales = (rows / rows.mean(row_dim, keepdim=True)).rsqrt_()
    return torch.mul(grads, row_scales, out=squares).mul_(cols.rsqrt())
