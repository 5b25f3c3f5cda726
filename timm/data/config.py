"""Preprocessing of a model: what the caller asks for, over what its weights were made with, over the defaults."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from .constants import (
    DEFAULT_CROP_MODE,
    DEFAULT_CROP_PCT,
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_DPN_MEAN,
    IMAGENET_DPN_STD,
    IMAGENET_INCEPTION_MEAN,
    IMAGENET_INCEPTION_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)

__all__ = [
    'DEFAULT_CROP_MODE',
    'DEFAULT_CROP_PCT',
    'IMAGENET_DEFAULT_MEAN',
    'IMAGENET_DEFAULT_STD',
    'IMAGENET_DPN_MEAN',
    'IMAGENET_DPN_STD',
    'IMAGENET_INCEPTION_MEAN',
    'IMAGENET_INCEPTION_STD',
    'OPENAI_CLIP_MEAN',
    'OPENAI_CLIP_STD',
    'resolve_data_config',
    'resolve_model_data_config',
]

_logger = logging.getLogger(__name__)


def resolve_data_config(
    args: Any = None,
    pretrained_cfg: Any = None,
    model: Any = None,
    use_test_size: bool = False,
    verbose: bool = False,
) -> dict[str, Any]:
    """Settle input_size, interpolation, mean, std, crop_pct and crop_mode: the keywords of `create_transform`.

    Args:
        args: What is asked for: a mapping or a namespace of script arguments; a value of None asks for nothing.
            Channels and size come from `input_size` (C, H, W), or `img_size` (one int) with `in_chans`.
        pretrained_cfg: Configuration of the weights; that of `model` when left out.
        use_test_size: Take the larger size and crop that the weights evaluate best at, where they have one.

    Raises:
        ValueError: Nothing to resolve from, a size that is not one, or statistics for another number of channels.
    """
    asked = _fields(args)
    config = _fields(pretrained_cfg)
    if not (asked or config or model is not None):
        raise ValueError('nothing to resolve a data config from: pass at least one of args, pretrained_cfg or model')
    if not config and model is not None:
        config = _fields(getattr(model, 'pretrained_cfg', None))

    input_size = _input_size(asked, config, use_test_size)
    crop_pct = config.get('crop_pct')
    if use_test_size:
        crop_pct = config.get('test_crop_pct') or crop_pct
    resolved = {
        'input_size': input_size,
        'interpolation': asked.get('interpolation') or config.get('interpolation') or 'bicubic',
        'mean': _per_channel(asked, config, 'mean', IMAGENET_DEFAULT_MEAN, input_size[0]),
        'std': _per_channel(asked, config, 'std', IMAGENET_DEFAULT_STD, input_size[0]),
        'crop_pct': asked.get('crop_pct') or crop_pct or DEFAULT_CROP_PCT,
        'crop_mode': asked.get('crop_mode') or config.get('crop_mode') or DEFAULT_CROP_MODE,
    }
    if verbose:
        _logger.info('Preprocessing: %s', ', '.join(f'{name} {value}' for name, value in resolved.items()))
    return resolved


def resolve_model_data_config(
    model: Any,
    args: Any = None,
    pretrained_cfg: Any = None,
    use_test_size: bool = False,
    verbose: bool = False,
) -> dict[str, Any]:
    """`resolve_data_config` for a model at hand: `create_transform(**resolve_model_data_config(model))`."""
    return resolve_data_config(args, pretrained_cfg, model, use_test_size, verbose)


def _fields(source: Any) -> Mapping[str, Any]:
    """A mapping as it is, a record or namespace as its attributes, None as nothing."""
    if source is None:
        return {}
    return source if isinstance(source, Mapping) else vars(source)


def _input_size(asked: Mapping[str, Any], config: Mapping[str, Any], use_test_size: bool) -> tuple[int, ...]:
    size, side = asked.get('input_size'), asked.get('img_size')
    channels = next((asked[key] for key in ('in_chans', 'chans') if asked.get(key) is not None), 3)
    if size is not None:
        if not isinstance(size, Sequence) or len(size) != 3:
            raise ValueError(f'input_size is (channels, height, width), got {size!r}')
        return tuple(size)
    if side is not None:
        if not isinstance(side, int):
            raise ValueError(f'img_size is one int for both sides, got {side!r}; use input_size for other shapes')
        return (channels, side, side)
    if use_test_size and config.get('test_input_size') is not None:
        return tuple(config['test_input_size'])
    return tuple(config.get('input_size') or (channels, 224, 224))


def _per_channel(
    asked: Mapping[str, Any], config: Mapping[str, Any], name: str, default: tuple[float, ...], channels: int
) -> tuple[float, ...]:
    """Mean or deviation. What is asked for has to fit the channels; one value stands for all of them."""
    if asked.get(name) is None:
        return tuple(config.get(name) or default)
    values = tuple(asked[name])
    if len(values) == 1:
        values *= channels
    if len(values) != channels:
        raise ValueError(f'{name} {asked[name]!r} has {len(values)} values for an input of {channels} channels')
    return values
