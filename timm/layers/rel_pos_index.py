"""Offsets between the positions of a window: which row of a table, and how far on a logarithmic scale."""

import math

import torch
from torch.nn import functional as F

from ._checks import BadValue, size_2d
from .grid import ndgrid

__all__ = [
    'gen_relative_log_coords',
    'gen_relative_position_index',
    'generate_lookup_tensor',
    'reindex_2d_einsum_lookup',
]


def gen_relative_position_index(
    q_size: tuple[int, int],
    k_size: tuple[int, int] | None = None,
    class_token: bool = False,
    device: torch.device | None = None,
) -> torch.Tensor:
    """Row of the bias table for each pair of positions of a window.

    Shape: (N, N) for N = h * w positions, one more with `class_token`; int64

    Args:
        q_size: (h, w).
        k_size: The same, or None.
        class_token: A token stands before the positions; its pairs have the last three rows of the table: from it,
            to it, and to itself.

    Raises:
        ValueError: `k_size` is another; a window is not two numbers of 1 or more.
    """
    if k_size is not None and tuple(k_size) != tuple(q_size):
        raise BadValue(f'Queries of {q_size} and keys of {k_size} are not of one window: use k_size=None.')
    h, w = size_2d('q_size', q_size)
    rows, columns = ndgrid(
        torch.arange(h, dtype=torch.int64, device=device), torch.arange(w, dtype=torch.int64, device=device)
    )
    rows, columns = rows.flatten(), columns.flatten()
    down = rows[:, None] - rows[None, :] + (h - 1)
    right = columns[:, None] - columns[None, :] + (w - 1)
    index = down * (2 * w - 1) + right
    if class_token:
        num_offsets = (2 * h - 1) * (2 * w - 1)
        index = F.pad(index, (0, 0, 1, 0), value=num_offsets)
        index = F.pad(index, (1, 0, 0, 0), value=num_offsets + 1)
        index[0, 0] = num_offsets + 2
    return index


def gen_relative_log_coords(
    win_size: tuple[int, int],
    pretrained_win_size: tuple[int, int] = (0, 0),
    mode: str = 'swin',
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Offsets of a window on a logarithmic scale (Swin V2, arXiv:2111.09883, eq. 4).

    Shape: (2h - 1, 2w - 1, 2), float32 unless a dtype is named

    Args:
        pretrained_win_size: For 'swin': the largest offset of this window, where it is given, is 8 before the
            logarithm.
        mode: 'swin', or 'cr' for the plain logarithm.

    Raises:
        ValueError: `mode` is another; a window is not two numbers of 1 or more.
    """
    win_size = size_2d('win_size', win_size)
    if len(pretrained_win_size) != 2 or (min(pretrained_win_size) < 1 and tuple(pretrained_win_size) != (0, 0)):
        raise BadValue(f'pretrained_win_size={pretrained_win_size!r} is no window: use 2 numbers, (0, 0) for none.')
    axes = [torch.arange(1 - n, n, dtype=torch.float32, device=device) for n in win_size]
    if mode == 'swin':
        scale = [8.0 / max(n - 1, 1) for n in (pretrained_win_size if pretrained_win_size[0] > 0 else win_size)]
        axes = [axis * s for axis, s in zip(axes, scale, strict=True)]
        unit = math.log(8.0)
    elif mode == 'cr':
        unit = 1.0
    else:
        raise BadValue(f"mode={mode!r} is not known: use 'swin' or 'cr'.")
    offsets = torch.stack(ndgrid(*axes), dim=-1)
    return (offsets.sign() * torch.log1p(offsets.abs()) / unit).to(dtype or torch.float32)


def generate_lookup_tensor(
    length: int,
    max_relative_position: int | None = None,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Which of the offsets -m to m lies between two positions on a line, as ones among zeros.

    Shape: (length, length, 2 * m + 1), float32 unless a dtype is named

    Args:
        max_relative_position: m, length - 1 when None; longer offsets have no one.
    """
    m = length - 1 if max_relative_position is None else max_relative_position
    positions = torch.arange(length, dtype=torch.int64, device=device)
    offsets = positions[None, :] - positions[:, None] + m
    known = torch.arange(2 * m + 1, dtype=torch.int64, device=device)
    return (offsets[:, :, None] == known).to(dtype or torch.float32)


def reindex_2d_einsum_lookup(
    relative_position_tensor: torch.Tensor,
    height: int,
    width: int,
    height_lookup: torch.Tensor,
    width_lookup: torch.Tensor,
) -> torch.Tensor:
    """A bias for each pair of positions from a table of offsets, by two matrix products instead of indexing.

    Shape: (heads, offsets down, offsets right) -> (heads, height * width, height * width)
    """
    by_rows = torch.einsum('nhw,ixh->nixw', relative_position_tensor, height_lookup)
    by_both = torch.einsum('nixw,jyw->nijxy', by_rows, width_lookup)
    return by_both.reshape(relative_position_tensor.shape[0], height * width, height * width)
