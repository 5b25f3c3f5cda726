"""The nearest semi-orthogonal matrix, by the Newton-Schulz iteration in few bits."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ._blocks import symmetric_product

__all__ = ['Coefficients', 'iterate', 'scale_eps_for_ns', 'zeropower_via_newtonschulz']

Coefficients = Sequence[tuple[float, float, float]]


def scale_eps_for_ns(eps: float, shape: Sequence[int]) -> float:
    """`eps` for a matrix of this shape: sqrt(cols / rows) times itself."""
    return eps * math.sqrt(shape[-1] / shape[-2])


def zeropower_via_newtonschulz(
    G: Tensor,
    steps: int,
    coefficients: Coefficients,
    eps: float = 1e-7,
    safety_factor: float = 1.0,
    dtype: torch.dtype = torch.bfloat16,
    scale_eps: bool = False,
) -> Tensor:
    """Move all singular values of a matrix towards 1 and leave its singular vectors: U S V^T -> about U V^T.

    The matrix is divided by its Frobenius norm, so that no singular value exceeds 1; then each step applies the
    polynomial X <- a X + b (X X^T) X + c (X X^T)^2 X.

    Shape: (rows, cols) or (batch, rows, cols) -> the same, of `dtype`.

    Args:
        coefficients: (a, b, c) of each step; the last are used again where there are fewer than `steps`.
        eps: Smallest norm to divide by.
        safety_factor: The norm is multiplied by it first, against singular values that rounding lifts above 1.
        scale_eps: Add `eps`, scaled by the aspect ratio, to the norm instead.

    Raises:
        ValueError: `G` is no matrix, nor a batch of them.

    Source: Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024,
    https://kellerjordan.github.io/posts/muon.
    """
    if G.ndim not in (2, 3):
        raise ValueError(f'a tensor of shape {tuple(G.shape)} is no matrix: flatten it to 2 or 3 dimensions first.')
    tall = G.shape[-2] > G.shape[-1]
    X = G.to(dtype, copy=True)
    if tall:
        X = X.mT
    norm = torch.linalg.vector_norm(X, dim=(-2, -1), keepdim=True) * safety_factor
    norm = norm.add_(scale_eps_for_ns(eps, G.shape)) if scale_eps else norm.clamp_(min=eps)
    X = X.div_(norm).contiguous()
    last = len(coefficients) - 1
    X = iterate(X, [coefficients[min(step, last)] for step in range(steps)])
    return X.mT if tall else X


def iterate(X: Tensor, coefficients: Coefficients) -> Tensor:
    """All steps of the iteration, for matrices with at least as many columns as rows."""
    add_product = torch.addmm if X.ndim == 2 else torch.baddbmm
    for a, b, c in coefficients:
        A = symmetric_product(X, X.mT)
        B = symmetric_product(A, A, A, b, c)
        X = add_product(X, B, X, beta=a)
    return X
