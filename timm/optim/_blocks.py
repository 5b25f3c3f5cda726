"""Products of matrices of which only half has to be computed, as the rest is zero or the mirror image.

On a CPU they are cut into blocks of rows or columns. Elsewhere, under a compiler, and where a CPU has tiles for half
precision (AMX), one whole product is faster.
"""

import itertools

import torch
from torch import Tensor

__all__ = ['symmetric_product', 'times_upper', 'times_upper_transposed', 'upper_product']

HALF = (torch.float16, torch.bfloat16)
ROWS = 192  # of a block: fewer cost more in calls than they save
WIDE_ROWS = 128  # the same for long sums
ALIGNED = 32  # what kernels like the edges of blocks to be a multiple of


def _blocks(matrix: Tensor, size: int, rows: int = ROWS) -> list[tuple[int, int]]:
    """Start and end of each block of `size` rows or columns."""
    whole = matrix.device.type != 'cpu' or torch.compiler.is_compiling() or _has_tiles(matrix.dtype)
    count = 1 if whole else max(size // rows, 1)
    edges = [size * i // count // ALIGNED * ALIGNED for i in range(count)] + [size]
    return list(itertools.pairwise(edges))


def _has_tiles(dtype: torch.dtype) -> bool:
    """Whether this CPU multiplies matrices of `dtype` in tiles."""
    supported = getattr(torch.cpu, '_is_amx_tile_supported', None)  # torch has no public name for it
    return dtype in HALF and supported is not None and supported()


def symmetric_product(
    left: Tensor, right: Tensor, added: Tensor | None = None, beta: float = 1.0, alpha: float = 1.0
) -> Tensor:
    """left @ right, or alpha * left @ right + beta * added, where that is symmetric.

    Shape: (s, k) and (k, s) -> (s, s), or batches of them.
    """
    size, depth = left.shape[-2:]
    add_product = torch.addmm if left.ndim == 2 else torch.baddbmm
    blocks = _blocks(left, size, WIDE_ROWS if depth > size else ROWS)
    if len(blocks) == 1:
        return left @ right if added is None else add_product(added, left, right, beta=beta, alpha=alpha)
    product = left.new_empty(*left.shape[:-2], size, size)
    for start, end in blocks:
        rows, columns = left[..., start:end, :], right[..., :end]
        if added is None:
            product[..., start:end, :end] = rows @ columns
        else:
            product[..., start:end, :end] = add_product(
                added[..., start:end, :end], rows, columns, beta=beta, alpha=alpha
            )
        product[..., :start, start:end] = product[..., start:end, :start].mT
    return product


def _joined(columns: list[Tensor]) -> Tensor:
    return torch.cat(columns, dim=-1) if len(columns) > 1 else columns[0]


def times_upper(matrix: Tensor, upper: Tensor) -> Tensor:
    """matrix @ upper, for an upper triangular matrix.

    Shape: (..., r, s) and (..., s, s) -> (..., r, s)
    """
    blocks = _blocks(matrix, upper.shape[-1])
    return _joined([matrix[..., :end] @ upper[..., :end, start:end] for start, end in blocks])


def times_upper_transposed(matrix: Tensor, upper: Tensor) -> Tensor:
    """matrix @ upper^T, for an upper triangular matrix.

    Shape: (..., r, s) and (..., s, s) -> (..., r, s)
    """
    blocks = _blocks(matrix, upper.shape[-1])
    return _joined([matrix[..., start:] @ upper[..., start:end, start:].mT for start, end in blocks])


def upper_product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right, for two upper triangular matrices.

    Shape: (..., s, s) and (..., s, s) -> (..., s, s)
    """
    product = torch.zeros_like(left)
    for start, end in _blocks(left, left.shape[-1]):
        product[..., start:end, start:] = left[..., start:end, start:] @ right[..., start:, start:]
    return product
