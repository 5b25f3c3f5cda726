"""Checks of what constructors are given: their errors say what came, what is accepted or near, and what to do."""

import operator
from collections.abc import Iterable
from typing import Any

__all__ = [
    'BadValue',
    'check_builders',
    'check_conv',
    'check_counts',
    'check_interpolation',
    'check_multiple',
    'check_odd',
    'check_rates',
    'share_of',
    'size_2d',
    'two_of',
]


class BadValue(ValueError, AssertionError):
    """A ValueError that code written for published layers, many of which assert, may catch as an AssertionError."""


def _integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f'{name}={value!r} is no whole number: use one, such as 1.') from None


def _items(value: Any) -> tuple[Any, ...] | None:
    """What a list, tuple or the like holds; None for a single value, text among them."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else None


def _either(numbers: list[int]) -> str:
    return ' or '.join(str(number) for number in numbers)


def share_of(whole_name: str, whole: int, parts_name: str, parts: int, remedy: str = '') -> int:
    """`whole` / `parts`, which must come out even, as for the width of a head.

    Args:
        remedy: What else than another number of parts would help.
    """
    count, total = _integer(parts_name, parts), _integer(whole_name, whole)
    if count < 1 or total < 1 or total % count:
        fit = [n for n in range(1, total + 1) if total % n == 0]
        near = [n for n in fit if n < count][-1:] + [n for n in fit if n > count][:1]
        asked = f'use {parts_name}={_either(near)}' if near else f'use a {whole_name} of 1 or more'
        raise BadValue(f'{whole_name}={whole} cannot be divided by {parts_name}={parts}: {asked}{remedy}.')
    return total // count


def check_multiple(name: str, value: int, unit: int, reason: str) -> None:
    """Refuse a number that is no positive multiple of `unit`; `reason` says what needs it to be one."""
    number = _integer(name, value)
    if number < 1 or number % unit:
        near = [n for n in (number // unit * unit, number // unit * unit + unit) if n > 0]
        raise BadValue(f'{name}={value} {reason}: use {_either(near or [unit])}.')


def check_counts(**counts: Any) -> None:
    """Refuse what is no whole number of 1 or more, nor a list or tuple of such."""
    for name, value in counts.items():
        if type(value) is int and value > 0:  # at once, as networks build many layers
            continue
        items = _items(value)
        for item in (value,) if items is None else items:
            if _integer(name, item) < 1:
                raise BadValue(f'{name}={value!r} is too small: use 1 or more.')


def size_2d(name: str, value: Any) -> tuple[int, int]:
    """A number for both axes, or one for each, as a pair; refuses other lengths and numbers below 1."""
    if type(value) is int and value > 0:
        return value, value
    items = _items(value)
    size = (value, value) if items is None else items
    if len(size) != 2:
        raise BadValue(f'{name}={value!r} has {len(size)} entries: use one number for both axes, or 2.')
    check_counts(**{name: value if items is None else items})
    return operator.index(size[0]), operator.index(size[1])


def check_conv(
    in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, dilation: Any = 1, groups: int = 1
) -> None:
    """Refuse sizes that are not one or two numbers of 1 or more, and groups that do not divide the channels."""
    for name, value in (('kernel_size', kernel_size), ('stride', stride), ('dilation', dilation)):
        size_2d(name, value)
    share_of('in_channels', in_channels, 'groups', groups)
    share_of('out_channels', out_channels, 'groups', groups)


def check_odd(name: str, size: int, least: int = 1) -> None:
    """Refuse a kernel size that is even, and so has no middle, or is below `least`."""
    number = _integer(name, size)
    if number < least or number % 2 == 0:
        near = [n for n in (number - 1, number + 1) if n >= least and n % 2]
        raise BadValue(f'{name}={size} is not an odd number of {least} or more: use {_either(near or [least])}.')


def check_rates(**rates: Any) -> None:
    """Refuse what is no number from 0 to 1."""
    for name, value in rates.items():
        try:
            fits = 0.0 <= value <= 1.0
        except TypeError:
            raise TypeError(f'{name}={value!r} is no number: use one from 0 to 1, 0.0 for none.') from None
        if not fits:
            raise BadValue(f'{name}={value} is not a share: use a number from 0 to 1.')


def two_of(name: str, value: Any) -> tuple[Any, Any]:
    """What is given for both, or for each, of two layers, as a pair; refuses other lengths."""
    items = _items(value)
    pair = (value, value) if items is None else items
    if len(pair) != 2:
        raise BadValue(f'{name}={value!r} has {len(pair)} entries: use one for both layers, or 2.')
    return pair[0], pair[1]


def check_interpolation(interpolation: str, antialias: bool) -> None:
    """Refuse what F.interpolate knows no image resize by; TorchScript compiles this."""
    known = ['bilinear', 'bicubic'] + (['lanczos'] if antialias else ['nearest', 'nearest-exact', 'area'])
    if interpolation not in known:
        raise ValueError(f'interpolation={interpolation} with antialias={antialias} is not known: use one of {known}.')


def check_builders(**builders: Any) -> None:
    """Refuse what cannot be called to build a layer, such as a name.

    None is refused for activations alone: elsewhere it means no layer.
    """
    for name, value in builders.items():
        is_act = name.startswith('act')
        if not callable(value) and (is_act or value is not None):
            factory = 'get_act_layer' if is_act else 'get_norm_layer'
            example = f'{factory}({value!r})' if value and isinstance(value, str) else 'nn.Identity'
            raise TypeError(f'{name}={value!r} is no class or function that builds a layer: use one such as {example}.')
