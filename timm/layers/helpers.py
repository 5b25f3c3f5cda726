"""Small arithmetic and tuple helpers for constructors of layers."""

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

import torch
from torch import nn

from ._checks import BadValue, check_counts

__all__ = [
    'extend_tuple',
    'get_device_dtype',
    'is_exporting',
    'make_divisible',
    'reduced_width',
    'to_1tuple',
    'to_2tuple',
    'to_3tuple',
    'to_4tuple',
    'to_ntuple',
]


def to_ntuple(n: int) -> Callable[[Any], tuple[Any, ...]]:
    """A function that repeats a scalar or string `n` times and passes the items of any other iterable through.

    Raises:
        ValueError: `n` is below 1.
    """

    def to_tuple(x: Any) -> tuple[Any, ...]:
        if isinstance(x, Iterable) and not isinstance(x, str):
            return tuple(x)
        return tuple(repeat(x, n))

    check_counts(n=n)
    return to_tuple


to_1tuple = to_ntuple(1)
to_2tuple = to_ntuple(2)
to_3tuple = to_ntuple(3)
to_4tuple = to_ntuple(4)


def extend_tuple(x: Any, n: int) -> tuple[Any, ...]:
    """Exactly `n` items: a list or tuple is cut, or filled up with its last item; anything else is repeated.

    Raises:
        ValueError: The list or tuple is empty, or `n` negative.
    """
    items = tuple(x) if isinstance(x, (list, tuple)) else (x,)
    if not items:
        raise BadValue(f'Cannot extend an empty sequence to {n} items: give at least one.')
    if n < 0:
        raise BadValue(f'n={n} is no number of items: use 0 or more.')
    return (items + items[-1:] * (n - len(items)))[:n]


def make_divisible(v: float, divisor: int = 8, min_value: int | None = None, round_limit: float = 0.9) -> int:
    """Channel count next to `v` that `divisor` divides, never much below `v` (MobileNetV2 and its successors).

    Args:
        min_value: Least result; `divisor` when None or 0.
        round_limit: Rounding down may keep no less than this share of `v`, else the next multiple up is taken.

    Raises:
        ValueError: `divisor` is below 1.
    """
    check_counts(divisor=divisor)
    floor = min_value or divisor
    rounded = max(floor, int(v + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < round_limit * v else rounded


def reduced_width(
    channels: int, rd_ratio: float, rd_divisor: int, min_value: int | None = None, round_limit: float = 0.9
) -> int:
    """Width of a hidden layer as a share of the channels outside it; see `make_divisible`.

    Raises:
        ValueError: The share is not above 0, or another number below 1.
    """
    if not rd_ratio > 0:
        raise BadValue(f'rd_ratio={rd_ratio} leaves no hidden layer: use a share above 0, such as 0.25.')
    check_counts(channels=channels, rd_divisor=rd_divisor)
    return make_divisible(channels * rd_ratio, rd_divisor, min_value, round_limit)


def get_device_dtype(
    module: nn.Module,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> dict[str, Any]:
    """`device` and `dtype` for a part that joins `module`: as asked, else those of its first parameter, else None."""
    first = next(module.parameters(), None)
    if first is not None:
        device = first.device if device is None else device
        dtype = first.dtype if dtype is None else dtype
    return {'device': device, 'dtype': dtype}


def is_exporting() -> bool:
    """Whether torch.export is tracing the caller right now."""
    if torch.jit.is_scripting():
        return False
    return torch.compiler.is_exporting()
