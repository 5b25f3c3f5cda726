"""Tables of relative position bias brought to the size of another window."""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from ._checks import BadValue, check_interpolation
from .grid import ndgrid
from .interpolate import RegularGridInterpolator

__all__ = [
    'resize_rel_pos_bias_table',
    'resize_rel_pos_bias_table_levit',
    'resize_rel_pos_bias_table_simple',
]


def resize_rel_pos_bias_table_levit(
    position_bias_table: torch.Tensor,
    new_size: Sequence[int],
    interpolation: str = 'bicubic',
    antialias: bool = True,
) -> torch.Tensor:
    """A table of square offsets as in LeViT and TinyViT, resized as an image would be.

    Shape: (L, heads) -> new_size, (L', heads); L and L' are squares

    Raises:
        ValueError: The heads differ in number; the offsets are no square; `interpolation` is unknown.
    """
    if position_bias_table.ndim != 2 or len(new_size) != 2:
        raise BadValue(
            f'A table of {tuple(position_bias_table.shape)} to {tuple(new_size)}: use (offsets, heads) for both.'
        )
    old_length, num_heads = position_bias_table.shape
    new_length, new_heads = new_size
    if num_heads != new_heads:
        raise BadValue(f'A table for {num_heads} heads cannot be resized to {new_heads} heads: use {num_heads}.')
    if old_length == new_length:
        return position_bias_table
    check_interpolation(interpolation, antialias)
    old_side, new_side = math.isqrt(old_length), math.isqrt(new_length)
    for length, side in ((old_length, old_side), (new_length, new_side)):
        if side * side != length:
            raise BadValue(f'{length} offsets are no square: use {side**2} or {(side + 1) ** 2}.')
    table = position_bias_table.float().T.reshape(1, num_heads, old_side, old_side)
    table = F.interpolate(table, size=(new_side, new_side), mode=interpolation, antialias=antialias)
    return table.reshape(num_heads, new_length).T.to(position_bias_table.dtype)


def _split_table(
    table: torch.Tensor,
    new_window_size: Sequence[int],
    new_bias_shape: Sequence[int],
    old_window_size: Sequence[int] | None,
) -> tuple[torch.Tensor, torch.Tensor | None, tuple[int, int]]:
    """The table as maps of offsets (heads, h, w), its rows for prefix tokens if it is flat, and the size to come."""
    if table.ndim not in (2, 3) or len(new_bias_shape) != table.ndim or len(new_window_size) != 2:
        raise BadValue(
            f'A table of {tuple(table.shape)} to {tuple(new_bias_shape)} for new_window_size={new_window_size}: '
            f'use (offsets, heads) or (heads, 2h-1, 2w-1) for both, and 2 numbers.'
        )
    size = (2 * new_window_size[0] - 1, 2 * new_window_size[1] - 1)
    if table.ndim == 3:
        return table, None, size
    num_extra = new_bias_shape[0] - size[0] * size[1]
    num_offsets = table.shape[0] - num_extra
    if old_window_size is not None:
        h, w = 2 * old_window_size[0] - 1, 2 * old_window_size[1] - 1
    else:
        h = w = math.isqrt(num_offsets)
    if h * w != num_offsets:
        raise BadValue(
            f'A table of {table.shape[0]} rows, {num_extra} of them for prefix tokens, is not one of '
            f'{h} x {w} offsets: give the old_window_size.'
        )
    offsets, extra = table[:num_offsets], table[num_offsets:]
    return offsets.T.reshape(-1, h, w), extra, size


def _join_table(maps: torch.Tensor, extra: torch.Tensor | None) -> torch.Tensor:
    return maps if extra is None else torch.cat([maps.flatten(1).T, extra], dim=0)


def resize_rel_pos_bias_table_simple(
    rel_pos_bias: torch.Tensor,
    new_window_size: Sequence[int],
    new_bias_shape: Sequence[int],
) -> torch.Tensor:
    """The table, resized as an image would be (bicubic).

    Shape: (offsets + extra, heads) or (heads, 2h-1, 2w-1) -> new_bias_shape

    Raises:
        ValueError: The offsets of a flat table are no square; shapes are not as above.
    """
    if tuple(rel_pos_bias.shape) == tuple(new_bias_shape):
        return rel_pos_bias
    maps, extra, size = _split_table(rel_pos_bias, new_window_size, new_bias_shape, None)
    maps = F.interpolate(maps.unsqueeze(0), size=size, mode='bicubic', align_corners=False)[0]
    return _join_table(maps, extra)


def _offsets_of_old(old: int, new: int) -> list[float]:
    """Where `old` offsets lie among `new` ones: their distances grow in geometric progression, so near ones stay."""
    reach, half = new // 2, old // 2
    low, high, ratio = 1.01, 1.5, 1.5
    while high - low > 1e-6:
        ratio = (low + high) / 2
        if (1 - ratio**half) / (1 - ratio) > reach:
            high = ratio
        else:
            low = ratio
    distances = [(1 - ratio ** (i + 1)) / (1 - ratio) for i in range(half)]
    return [-d for d in reversed(distances)] + [0.0] + distances


def resize_rel_pos_bias_table(
    rel_pos_bias: torch.Tensor,
    new_window_size: Sequence[int],
    new_bias_shape: Sequence[int],
    old_window_size: Sequence[int] | None = None,
) -> torch.Tensor:
    """The table, interpolated so that biases of near offsets keep their place (BEiT's fine-tuning, arXiv:2106.08254).

    Shape: (offsets + extra, heads) or (heads, 2h-1, 2w-1) -> new_bias_shape

    Args:
        old_window_size: (h, w); square when None and the table is flat.

    Raises:
        ValueError: A flat table has not as many rows as the old window asks for; shapes are not as above.
    """
    maps, extra, size = _split_table(rel_pos_bias, new_window_size, new_bias_shape, old_window_size)
    old = (maps.shape[1], maps.shape[2])
    if old == size:
        return rel_pos_bias
    # the one offset of a window of 1 holds for all: between three equal ones there is something to interpolate
    old = (3 if old[0] == 1 else old[0], 3 if old[1] == 1 else old[1])
    maps = maps.expand(-1, *old)
    wide = {'dtype': torch.float32, 'device': rel_pos_bias.device}
    lines = [torch.tensor(_offsets_of_old(old[i], size[i]), **wide) for i in (0, 1)]
    wanted = ndgrid(*(torch.arange(size[i], **wide) - size[i] // 2 for i in (0, 1)))
    maps = torch.stack([RegularGridInterpolator(lines, values.float())(wanted) for values in maps])
    return _join_table(maps.to(rel_pos_bias.dtype), extra)
