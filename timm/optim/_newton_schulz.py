"""The nearest semi-orthogonal matrix, by the Newton-Schulz iteration in few bits."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ._blocks import symmetric_product

__all__ = ['Coefficients', 'iterate', 'scale_eps_for_ns', 'zeropower_via_newtonschulz']

Coefficients = Sequence[tuple[float, float, float]]

HALF = (torch.float16, torch.bfloat16)
SMALLEST_PAIRED = 128  # rows of a matrix that takes two steps at once on a CPU; it has at least twice as many columns


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
    rows, cols = X.shape[-2:]
    on_cpu = X.device.type == 'cpu' and X.ndim == 2 and X.dtype in HALF and not torch.compiler.is_compiling()
    if on_cpu and SMALLEST_PAIRED <= rows <= cols // 2:
        return _iterate_in_pairs(X, coefficients)
    add_product = torch.addmm if X.ndim == 2 else torch.baddbmm
    for a, b, c in coefficients:
        A = symmetric_product(X, X.mT)
        B = symmetric_product(A, A, A, b, c)
        X = add_product(X, B, X, beta=a)
    return X


def _iterate_in_pairs(X: Tensor, coefficients: Coefficients) -> Tensor:
    """Two steps for the price of one where X is wide: the second one is taken on the small matrix A = X X^T.

    A step is X <- P X with P = a I + B and B = b A + c A^2. So A of the next step is P A P, and both steps together
    are X <- (a' I + B') P X. Results differ from those of single steps by rounding: from the exact ones they are about
    twice as far where all singular values are alike (0.9 % instead of 0.5 % for random matrices) and as near where they
    are spread. More than two steps without a new A = X X^T would not do: what rounding has added to the smallest
    eigenvalues grows in each.
    """
    for start in range(0, len(coefficients), 2):
        (a, b, c), *second = coefficients[start : start + 2]
        A = symmetric_product(X, X.mT)
        B = symmetric_product(A, A, A, b, c)
        for a2, b2, c2 in second:
            PA = symmetric_product(B, A, A, a)
            A = symmetric_product(PA, B, PA, a)
            B2 = symmetric_product(A, A, A, b2, c2)
            # (a2 I + B2) (a I + B) = a2 a I + (B2 B + a B2 + a2 B)
            B = symmetric_product(B2, B, B2, a).add_(B, alpha=a2)
            a *= a2
        X = torch.addmm(X, B, X, beta=a)
    return X
