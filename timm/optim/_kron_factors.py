"""Kronecker factors of a preconditioner: P = Q^T Q with Q = Q_1 x Q_2 x ..., one factor for each dimension of a weight.

Everything works on stacks of weights of one shape, (N, s_1, ..., s_n), and for each dimension on a stack of factors:
upper triangular matrices (N, s, s), or only their diagonals (N, s).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ._blocks import symmetric_product, times_upper, times_upper_transposed, upper_product

__all__ = ['MEMORY_SAVE_MODES', 'balance', 'diagonal_dims', 'precondition', 'refresh', 'start']

MEMORY_SAVE_MODES = (None, 'smart_one_diag', 'one_diag', 'all_diag')
TINY = torch.finfo(torch.float32).tiny  # and bfloat16's


def diagonal_dims(shape: torch.Size, max_size: int, min_ndim: int, memory_save_mode: str | None) -> list[bool]:
    """For each dimension, whether its factor is only a diagonal.

    Args:
        max_size: Larger dimensions are.
        min_ndim: All dimensions of a weight with less of them are.
        memory_save_mode: 'all_diag': all are; 'one_diag': the largest is; 'smart_one_diag': it is if there is just one
            of its size.
    """
    if memory_save_mode == 'all_diag':
        return [True] * len(shape)
    diagonal = [size == 1 or size > max_size or len(shape) < min_ndim for size in shape]
    if memory_save_mode is not None and shape:
        *_, largest = sorted(range(len(shape)), key=lambda dim: shape[dim])
        if memory_save_mode == 'one_diag' or shape.count(shape[largest]) == 1:
            diagonal[largest] = True
    return diagonal


def start(weight: Tensor, diagonal: list[bool], scale: float, dtype: torch.dtype | None) -> list[Tensor]:
    """Factors of scale times the identity, for a single weight; a scalar has one factor of its own shape."""
    dtype = weight.dtype if dtype is None else dtype
    if not weight.ndim:
        return [torch.full_like(weight, scale, dtype=dtype)]
    scale **= 1 / weight.ndim
    return [
        torch.full((size,), scale, dtype=dtype, device=weight.device)
        if only_diagonal
        else torch.eye(size, dtype=dtype, device=weight.device).mul_(scale)
        for size, only_diagonal in zip(weight.shape, diagonal, strict=True)
    ]


def _along_all(
    weights: Tensor,
    factors: list[Tensor],
    multiply: Callable[[Tensor, Tensor], Tensor],
    diagonal: Callable[..., Tensor],
) -> Tensor:
    """Let each factor act on its dimension; after each the dimensions have moved on by one, at the end all around.

    Args:
        multiply: From columns (N, rest, s) and a factor (N, s, s) to new columns.
        diagonal: The same for a factor (N, 1, s).
    """
    for factor in factors:
        count, size, *rest = weights.shape
        columns = weights.reshape(count, size, -1).mT
        columns = diagonal(columns, factor.unsqueeze(1)) if factor.ndim == 2 else multiply(columns, factor)
        weights = columns.reshape(count, *rest, size)
    return weights


def _divide(columns: Tensor, factor: Tensor) -> Tensor:
    """columns @ inverse(factor), in float32: there is no form for less, and noise needs no more."""
    solved = torch.linalg.solve_triangular(factor.float(), columns.float(), upper=True, left=False)
    return solved.to(columns.dtype)


def precondition(weights: Tensor, factors: list[Tensor]) -> Tensor:
    """P times each weight, whose dimensions may be in any order in memory."""

    def apply(columns: Tensor, factor: Tensor) -> Tensor:
        return times_upper(times_upper_transposed(columns, factor), factor)

    return _along_all(weights, factors, apply, lambda columns, factor: columns * factor.square())


def balance(factors: list[Tensor]) -> list[Tensor]:
    """The same preconditioner by factors of equal size: none may overflow while another one vanishes."""
    norms = torch.stack([factor.flatten(1).abs().amax(1) for factor in factors])
    ratios = norms.log().mean(0).exp() / norms
    return [factor * ratio.view(-1, *[1] * (factor.ndim - 1)) for factor, ratio in zip(factors, ratios, strict=True)]


def refresh(factors: list[Tensor], grads: Tensor, noise: Tensor, lr: float) -> list[Tensor]:
    """Factors after one step towards P^-2 = E[g g^T], the whitening of gradients.

    With A = Q g and B = Q^-T v, v normal noise, each factor moves against the triangular part of A A^T - B B^T, both
    taken along its dimension, times itself; the step is relative to a bound on the norm of A A^T + B B^T.

    Args:
        lr: Of these steps.

    Source: Li, Preconditioned Stochastic Gradient Descent, arXiv:1512.04202, and Curvature-Informed SGD via General
    Purpose Lie-Group Preconditioners, arXiv:2402.04553, section 4.
    """
    A = _along_all(grads, factors, times_upper_transposed, torch.mul)
    B = _along_all(noise, factors, _divide, torch.div)
    refreshed = []
    for dim, factor in enumerate(factors):
        along_a, along_b = (_outer(weights, dim, factor.ndim == 2) for weights in (A, B))
        gradient, total = along_a.sub(along_b).mul_(lr), along_a.add_(along_b)
        if factor.ndim == 2:
            bound = total.amax(1, keepdim=True)
            refreshed.append(factor - gradient.mul_(factor).div_(bound.add_(TINY)))
        else:
            bound = _norm_bound(total).view(-1, 1, 1)
            refreshed.append(factor - upper_product(gradient.triu_().div_(bound.add_(TINY)), factor))
    return refreshed


def _outer(weights: Tensor, dim: int, diagonal: bool) -> Tensor:
    """Products of slices along `dim`, summed over all others: (N, s, s), or the diagonals of these."""
    columns = weights.movedim(dim + 1, -1).reshape(len(weights), -1, weights.shape[dim + 1])
    return columns.square().sum(1) if diagonal else symmetric_product(columns.mT, columns)


def _norm_bound(symmetric: Tensor) -> Tensor:
    """A lower bound on the spectral norm of each matrix: two power iterations from its longest row."""
    largest = symmetric.abs().amax((1, 2))
    scaled = symmetric / largest.view(-1, 1, 1)
    longest = scaled.square().sum(2).argmax(1)
    vector = scaled @ torch.take_along_dim(scaled, longest.view(-1, 1, 1), dim=1).mT
    vector /= torch.linalg.vector_norm(vector, dim=1, keepdim=True)
    bound = torch.linalg.vector_norm(scaled @ vector, dim=(1, 2))
    return torch.where(largest > 0, largest * bound, largest)
