"""Sizes of attention windows, stage by stage: as given, as a part of the map, or grown with the map."""

import operator
from collections.abc import Sequence
from typing import Any

from timm.layers._checks import BadValue, check_counts, size_2d

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


def _one_for_each(name: str, value: Any, num_stages: int) -> tuple[Any, ...]:
    """The entries of a list or tuple, which must be as many as the stages."""
    if len(value) != num_stages:
        raise BadValue(
            f'{name}={value!r} has {len(value)} entries: use one for all stages, or one for each of the {num_stages}.'
        )
    return tuple(value)


def resolve_stage_window_sizes(window_size: WindowSizes, num_stages: int) -> tuple[Size, ...]:
    """One (height, width) a stage from a number, a pair, or one of these for each stage.

    Two numbers are a height and a width, also where there are two stages.

    Raises:
        ValueError: The sequence has neither two entries nor one a stage; a size is below 1.
        TypeError: A size is no whole number.
    """
    sizes: Any = window_size
    if not isinstance(sizes, (list, tuple)) or (len(sizes) == 2 and not isinstance(sizes[0], (list, tuple))):
        return (size_2d('window_size', sizes),) * num_stages
    return tuple(size_2d('window_size', size) for size in _one_for_each('window_size', sizes, num_stages))


def resolve_stage_window_ratios(window_ratio: WindowRatios, num_stages: int) -> tuple[int, ...]:
    """One ratio a stage from a number, or one for each stage.

    Raises:
        ValueError: A sequence has not one entry a stage; a ratio is below 1.
        TypeError: A ratio is no whole number.
    """
    ratios: Any = window_ratio
    check_counts(window_ratio=ratios)
    if not isinstance(ratios, (list, tuple)):
        ratios = (ratios,) * num_stages
    return tuple(operator.index(ratio) for ratio in _one_for_each('window_ratio', ratios, num_stages))


def resolve_window_args(
    window_size: WindowSizes | None, window_ratio: WindowRatios | None, num_stages: int
) -> tuple[tuple[Size, ...] | None, tuple[int, ...] | None]:
    """Sizes or ratios, one a stage; a ratio beside a size is ignored.

    Raises:
        ValueError: As for sizes or ratios alone.
        TypeError: As for sizes or ratios alone.
    """
    if window_size is not None:
        return resolve_stage_window_sizes(window_size, num_stages), None
    if window_ratio is not None:
        return None, resolve_stage_window_ratios(window_ratio, num_stages)
    return None, None


def window_sizes_from_ratio(grid_size: Size, window_ratio: WindowRatios, num_stages: int) -> tuple[Size, ...]:
    """Window sizes that are a fixed part of the first map, rounded down but never below 1, for every stage."""
    ratios = resolve_stage_window_ratios(window_ratio, num_stages)
    return tuple((max(1, grid_size[0] // ratio), max(1, grid_size[1] // ratio)) for ratio in ratios)


def calc_stage_window_sizes(
    grid_size: Size,
    ref_window_sizes: Sequence[Size],
    ref_grid_size: Size,
    window_size: WindowSizes | None = None,
    window_ratio: WindowRatios | None = None,
) -> tuple[Size, ...]:
    """Window sizes for a new grid: as asked for, or grown with the grid from those of a reference, never below 1."""
    sizes, ratios = resolve_window_args(window_size, window_ratio, len(ref_window_sizes))
    if sizes is not None:
        return sizes
    if ratios is not None:
        return window_sizes_from_ratio(grid_size, ratios, len(ref_window_sizes))
    return tuple(
        (max(1, grid_size[0] * h // ref_grid_size[0]), max(1, grid_size[1] * w // ref_grid_size[1]))
        for h, w in ref_window_sizes
    )
