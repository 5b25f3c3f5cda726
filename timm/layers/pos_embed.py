"""Tables of absolute position embeddings, resampled to other grids (ViT, arXiv:2010.11929, section 3.2)."""

import logging
import math

import torch
from torch.nn import functional as F

from ._checks import check_interpolation
from ._fx import register_notrace_function
from .helpers import is_exporting

__all__ = ['resample_abs_pos_embed', 'resample_abs_pos_embed_nhwc']

_logger = logging.getLogger(__name__)


def _resize(
    table: torch.Tensor, new_size: list[int], interpolation: str, antialias: bool, align_corners: bool | None
) -> torch.Tensor:
    """(B, H, W, C) -> (B, *new_size, C), in float32 at least."""
    check_interpolation(interpolation, antialias)
    if len(new_size) != 2:
        raise ValueError(f'new_size={new_size} is not a height and a width: use 2 numbers.')
    dtype = table.dtype
    if dtype == torch.float16 or dtype == torch.bfloat16:
        table = table.float()
    table = F.interpolate(
        table.permute(0, 3, 1, 2), size=new_size, mode=interpolation, antialias=antialias, align_corners=align_corners
    )
    return table.permute(0, 2, 3, 1).to(dtype)


@register_notrace_function
def resample_abs_pos_embed(
    posemb: torch.Tensor,
    new_size: list[int],
    old_size: list[int] | None = None,
    num_prefix_tokens: int = 1,
    interpolation: str = 'bicubic',
    antialias: bool = True,
    verbose: bool = False,
    align_corners: bool | None = None,
) -> torch.Tensor:
    """The table for a grid of another size; rows of prefix tokens stay as they are.

    Shape: (1, P + H * W, C) -> (1, P + H' * W', C)

    Args:
        new_size: (H', W').
        old_size: (H, W); a square when None.
        num_prefix_tokens: P, the rows at the start that belong to no position.
        verbose: Log the sizes.

    Raises:
        ValueError: `old_size` is None and the number of positions is no square, or is not that number; a size is not
            two numbers; `interpolation` is unknown.
    """
    if posemb.ndim != 3 or num_prefix_tokens < 0:
        raise ValueError(
            f'A table of {posemb.ndim} axes with num_prefix_tokens={num_prefix_tokens} is not (1, P + H * W, C): '
            f'use 3 axes, and 0 or more tokens.'
        )
    num_positions = posemb.shape[1] - num_prefix_tokens
    if old_size is None:
        side = int(math.sqrt(num_positions))
        if side * side != num_positions:
            raise ValueError(f'{num_positions} positions are no square grid: name old_size or fix num_prefix_tokens.')
        old_size = [side, side]
    # A comparison would freeze an exporter's symbolic size to the example's, hence none while exporting.
    if not is_exporting() and old_size[0] == new_size[0] and old_size[1] == new_size[1]:
        return posemb

    if old_size[0] * old_size[1] != num_positions:
        raise ValueError(f'old_size={old_size} is not a grid of the {num_positions} positions there are: use its size.')
    grid = posemb[:, num_prefix_tokens:].reshape(1, old_size[0], old_size[1], -1)
    grid = _resize(grid, new_size, interpolation, antialias, align_corners).flatten(1, 2)
    if verbose and not torch.jit.is_scripting():
        _logger.info(f'Resized position embedding from {tuple(old_size)} to {tuple(new_size)}.')
    if num_prefix_tokens > 0:
        grid = torch.cat([posemb[:, :num_prefix_tokens], grid], dim=1)
    return grid


@register_notrace_function
def resample_abs_pos_embed_nhwc(
    posemb: torch.Tensor,
    new_size: list[int],
    interpolation: str = 'bicubic',
    antialias: bool = True,
    verbose: bool = False,
) -> torch.Tensor:
    """The table, kept as a map, for a grid of another size.

    Shape: (1, H, W, C) -> (1, H', W', C)

    Args:
        new_size: (H', W').
        verbose: Log the sizes.

    Raises:
        ValueError: `new_size` is not two numbers; `interpolation` is unknown.
    """
    if posemb.ndim < 3:
        raise ValueError(f'A table of {posemb.ndim} axes is no map: use (1, H, W, C).')
    H, W, C = posemb.shape[-3:]
    if not is_exporting() and new_size[0] == H and new_size[1] == W:
        return posemb
    if verbose and not torch.jit.is_scripting():
        _logger.info(f'Resized position embedding from {(H, W)} to {tuple(new_size)}.')
    return _resize(posemb.reshape(1, H, W, C), new_size, interpolation, antialias, None)
