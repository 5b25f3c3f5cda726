"""Preprocessing for a model as it stands now: what it takes decides, and what contradicts it is an error."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from timm.models._input import get_model_input_config

from .config import resolve_data_config
from .constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

__all__ = ['get_model_input_config', 'resolve_data_config', 'resolve_input_data_config']

_logger = logging.getLogger(__name__)


def resolve_input_data_config(
    model: Any,
    args: Mapping[str, Any] | None = None,
    pretrained_cfg: Mapping[str, Any] | None = None,
    use_test_size: bool = False,
    verbose: bool = False,
) -> dict[str, Any]:
    """`resolve_data_config` with the channels and the image size that the model takes.

    A model of fixed size is given that size. One that takes any is given the size asked for, or the one its weights
    recommend.

    Args:
        args: What is asked for: `input_size` (C, H, W), `img_size` (one or two numbers), `in_chans`, also those in
            `model_kwargs`; `mean`, `std` and the others as in `resolve_data_config`. None asks for nothing.
        pretrained_cfg: Configuration of the weights; that of the model when None.
        use_test_size: Take the larger size and crop that the weights evaluate best at, where the model can.

    Raises:
        ValueError: What is asked for contradicts itself or the model.
    """
    asked = {name: value for name, value in (args or {}).items() if value is not None}
    config = pretrained_cfg if pretrained_cfg is not None else getattr(model, 'pretrained_cfg', None) or {}
    takes = get_model_input_config(model)
    channels, *own_size = takes['input_size']
    fixed = takes['fixed_input_size']
    _agree('channels', _asked_channels(asked), channels)
    size = _agree('image size', _asked_sizes(asked, fixed), tuple(own_size) if fixed else None)
    if size is None:
        recommended = config.get('test_input_size') if use_test_size else None
        size = (recommended or config.get('input_size') or takes['input_size'])[-2:]
    resolved = {**asked, 'input_size': (channels, *size), 'in_chans': channels}
    for name, default in (('mean', IMAGENET_DEFAULT_MEAN), ('std', IMAGENET_DEFAULT_STD)):
        if name in asked:
            resolved[name] = _asked_statistics(name, asked[name], channels)
        else:
            resolved[name] = _adapted(name, config.get(name) or default, channels)
    return resolve_data_config(resolved, config, model, use_test_size, verbose)


def _agree(what: str, asked: Mapping[str, Any], taken: Any) -> Any:
    """The one value there is for something, None if there is none.

    Args:
        asked: By the argument that asks for it.
        taken: What the model takes, where only one will do.
    """
    values = set(asked.values())
    if len(values) > 1:
        raise ValueError(f'one {what} at a time: {", ".join(f"{name} is {value}" for name, value in asked.items())}')
    value = next(iter(values), None)
    if taken is not None and value not in (None, taken):
        raise ValueError(
            f'{next(iter(asked))} asks for the {what} {value}, and the model takes {taken}: leave it out, or build the '
            'model for it'
        )
    return value if taken is None else taken


def _asked_channels(asked: Mapping[str, Any]) -> dict[str, int]:
    found = {name: asked[name] for name in ('in_chans', 'chans') if name in asked}
    if 'input_size' in asked:
        found['input_size'] = _as_size(asked['input_size'])[0]
    more = (asked.get('model_kwargs') or {}).get('in_chans')
    return found if more is None else {**found, 'model_kwargs.in_chans': more}


def _asked_sizes(asked: Mapping[str, Any], fixed: bool) -> dict[str, tuple[int, int]]:
    """Image sizes as (height, width). What builds a model of any size says less than an image size beside it."""
    found: dict[str, tuple[int, int]] = {}
    if 'input_size' in asked:
        _, height, width = _as_size(asked['input_size'])
        found['input_size'] = height, width
    if 'img_size' in asked:
        found['img_size'] = _as_pair(asked['img_size'])
    more = (asked.get('model_kwargs') or {}).get('img_size')
    if more is not None and (fixed or not found):
        found['model_kwargs.img_size'] = _as_pair(more)
    return found


def _as_size(size: Any) -> tuple[int, int, int]:
    if not isinstance(size, Sequence) or len(size) != 3:
        raise ValueError(f'input_size is (channels, height, width), got {size!r}')
    return size[0], size[1], size[2]


def _as_pair(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if not isinstance(size, Sequence) or len(size) != 2:
        raise ValueError(f'img_size is one number or (height, width), got {size!r}')
    return size[0], size[1]


def _asked_statistics(name: str, given: Any, channels: int) -> tuple[float, ...]:
    values = (given,) if isinstance(given, int | float) else tuple(given)
    if len(values) not in (1, channels):
        raise ValueError(f'{name} {given!r} has {len(values)} values for an input of {channels} channels')
    return values


def _adapted(name: str, given: Any, channels: int) -> tuple[float, ...]:
    """Statistics of the weights, or their average where they are for another number of channels."""
    values = (given,) if isinstance(given, int | float) else tuple(given)
    if len(values) in (1, channels):
        return values
    average = sum(values) / len(values)
    _logger.warning('%s %s is not for %d channels: its average %g is used for each', name, values, channels, average)
    return (average,)
