"""What a model takes as it stands now: channels, image size, and the arguments that would build it again."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from timm.convert._grid import get_pretrained_grid_size
from timm.layers.helpers import to_2tuple

__all__ = [
    'get_model_args',
    'get_model_input_config',
    'get_model_traits',
    'get_pretrained_grid_size',
    'update_model_args',
    'update_model_input_size',
]

ImageSize = int | Sequence[int] | None


def _image_size(size: ImageSize) -> tuple[int, int] | None:
    return None if size is None else to_2tuple(size)  # pyright: ignore[reportReturnType]


def _is_training_rate(name: str) -> bool:
    """Whether an argument only sets how training drops things, so that a rebuilt model does not need it."""
    return name.endswith(('drop_rate', 'drop_path_rate', 'drop_block_rate'))


def _init_model_traits(model: Any, kwargs: Mapping[str, Any]) -> None:
    """Note on a model that was just built from `kwargs` what its class alone does not tell.

    The image size is the one the caller or the weights' configuration asked for; whether another one is refused is
    known best by the patch embedding, then by the configuration.
    """
    cfg: Mapping[str, Any] = getattr(model, 'pretrained_cfg', None) or {}
    embed = getattr(model, 'patch_embed', None)
    model._traits = {
        'img_size': _image_size(kwargs.get('img_size')),
        'fixed_input_size': bool(getattr(embed, 'strict_img_size', cfg.get('fixed_input_size', False))),
        'first_conv': cfg.get('first_conv'),
    }


def get_model_traits(model: nn.Module) -> dict[str, Any]:
    """What holds for this one model: img_size, fixed_input_size, first_conv, in_chans, num_classes, as far as known."""
    traits = dict(getattr(model, '_traits', None) or {})
    for name in ('in_chans', 'num_classes'):
        if hasattr(model, name):
            traits[name] = getattr(model, name)
    return traits


def get_model_input_config(model: nn.Module) -> dict[str, Any]:
    """Size (channels, height, width) of the images a model takes now, whether it takes others, and its stem's name."""
    cfg: Mapping[str, Any] = getattr(model, 'pretrained_cfg', None) or {}
    traits = get_model_traits(model)
    chans, *size = cfg.get('input_size') or (3, 224, 224)
    return {
        'input_size': (traits.get('in_chans', chans), *(traits.get('img_size') or size)),
        'fixed_input_size': traits.get('fixed_input_size', cfg.get('fixed_input_size', False)),
        'first_conv': traits.get('first_conv', cfg.get('first_conv')),
    }


def _pool_type(model: nn.Module) -> str | None:
    """Name of a model's pooling, wherever it keeps it; None where it has none."""
    for owner in (model, getattr(model, 'head', None)):
        pool = getattr(owner, 'global_pool', None)
        name = pool if isinstance(pool, str) else getattr(pool, 'pool_type', None)
        if isinstance(name, str):
            return name
    return None


def get_model_args(model: nn.Module, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Keyword arguments of `create_model` that build `model` as it is now, without rates that only matter in training.

    Args:
        overrides: Arguments to put in place of those the model was made with.

    Raises:
        ValueError: An override contradicts the model (num_classes, in_chans, global_pool, img_size).
    """
    overrides = dict(overrides or {})
    made_with: Mapping[str, Any] = getattr(model, '_model_args', None) or {}
    args = {name: value for name, value in made_with.items() if not _is_training_rate(name)}
    args.update(overrides)
    traits = get_model_traits(model)
    current = {name: traits[name] for name in ('in_chans', 'num_classes') if name in traits}
    current.update({'global_pool': _pool_type(model), 'img_size': traits.get('img_size')})
    for name, value in current.items():
        if value is None:
            continue
        asked = overrides.get(name, value)
        asked = _image_size(asked) if name == 'img_size' else asked
        if asked != value:
            raise ValueError(
                f'Export argument {name}={asked} disagrees with the current model ({value}): leave it out, or change '
                'the model first (reset_classifier, set_input_size, another create_model).'
            )
        args[name] = value
    return args


def update_model_args(model: Any, **model_args: Any) -> None:
    """Note that a model now is what these arguments would have built."""
    model._model_args = {**(getattr(model, '_model_args', None) or {}), **model_args}


def update_model_input_size(model: Any, img_size: ImageSize, **model_args: Any) -> None:
    """Note that a model now takes images of `img_size` (None: of any size), and what else changed with that."""
    size = _image_size(img_size)
    model._traits = {**(getattr(model, '_traits', None) or {}), 'img_size': size}
    if size is not None:
        model_args['img_size'] = size
    update_model_args(model, **model_args)
