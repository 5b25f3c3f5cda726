"""Sizes of attention windows, stage by stage: as given, as a part of the map, or grown with the map."""

from collections.abc import Sequence
from typing import Any

from timm.layers import to_2tuple

__all__ = [
    'Size',
    'WindowRatios',
    'WindowSizes',
    'calc_stage_window_sizes',
    'resolve_stage_window_ratios',
    'resolve_stage_window_sizes',
    'resolve_window_args',
    'window_sizes_from_ratio',
]

Size = tuple[int, int]
WindowSizes = int | Size | Sequence[int] | Sequence[Size]
WindowRatios = int | Sequence[int]


def resolve_stage_window_sizes(window_size: WindowSizes, num_stages: int) -> tuple[Size, ...]:
    """One (height, width) a stage from a number, a pair, or one of these for each stage.

    Raises:
        AssertionError: The sequence has neither two entries nor one a stage.
    """
    sizes: Any = window_size
    if isinstance(sizes, int) or (len(sizes) == 2 and all(isinstance(size, int) for size in sizes)):
        sizes = [sizes] * num_stages
    assert len(sizes) == num_stages, f'window_size needs one entry for each of the {num_stages} stages, got {sizes}'
    return tuple(to_2tuple(size) for size in sizes)


def resolve_stage_window_ratios(window_ratio: WindowRatios, num_stages: int) -> tuple[int, ...]:
    """One ratio a stage.

    Raises:
        AssertionError: A sequence has not one entry a stage.
    """
    ratios = (window_ratio,) * num_stages if isinstance(window_ratio, int) else tuple(window_ratio)
    assert len(ratios) == num_stages, f'window_ratio needs one entry for each of the {num_stages} stages, got {ratios}'
    return ratios


def resolve_window_args(
    window_size: WindowSizes | None, window_ratio: WindowRatios | None, num_stages: int
) -> tuple[tuple[Size, ...] | None, tuple[int, ...] | None]:
    """Sizes and ratios a stage; a ratio beside a size is ignored."""
    if window_size is not None:
        return resolve_stage_window_sizes(window_size, num_stages), None
    if window_ratio is not None:
        return None, resolve_stage_window_ratios(window_ratio, num_stages)
    return None, None


def window_sizes_from_ratio(grid_size: Size, window_ratio: WindowRatios, num_stages: int) -> tuple[Size, ...]:
    """Window sizes that are a fixed part of the first map, for every stage."""
    ratios = resolve_stage_window_ratios(window_ratio, num_stages)
    return tuple((max(1, grid_size[0] // ratio), max(1, grid_size[1] // ratio)) for ratio in ratios)


def calc_stage_window_sizes(
    grid_size: Size,
    ref_window_sizes: Sequence[Size],
    ref_grid_size: Size,
    window_size: WindowSizes | None = None,
    window_ratio: WindowRatios | None = None,
) -> tuple[Size, ...]:
    """Window sizes for a new grid: as asked for, or grown with the grid from those of a reference."""
    sizes, ratios = resolve_window_args(window_size, window_ratio, len(ref_window_sizes))
    if sizes is not None:
        return sizes
    if ratios is not None:
        return window_sizes_from_ratio(grid_size, ratios, len(ref_window_sizes))
    return tuple(
        (max(1, grid_size[0] * h // ref_grid_size[0]), max(1, grid_size[1] * w // ref_grid_size[1]))
        for h, w in ref_window_sizes
    )
