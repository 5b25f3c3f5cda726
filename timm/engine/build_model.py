# pyright: strict
"""Models from options, with one line of explanation where that cannot be."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import nn

import timm
from timm.data import resolve_data_config
from timm.data.loader import adapt_to_chs
from timm.layers import apply_test_time_pool, set_fast_norm
from timm.models import load_checkpoint
from timm.utils import reparameterize_model, set_jit_fuser

from .checkpoint import read_checkpoint
from .exits import CheckpointError, UsageError, nearest
from .options import DeviceOptions, ModelOptions

__all__ = [
    'build_model',
    'building_with',
    'check_compiler',
    'compile_model',
    'count_parameters',
    'finish_model',
    'load_weights',
    'resolve_preprocessing',
    'why_not',
]


_builder: ContextVar[Callable[..., nn.Module]] = ContextVar('_builder', default=timm.create_model)


@contextmanager
def building_with(create_model: Callable[..., nn.Module]) -> Generator[None]:
    """Let `build_model` call this function in the place of timm's `create_model`."""
    token = _builder.set(create_model)
    try:
        yield
    finally:
        _builder.reset(token)


def build_model(options: ModelOptions, device: DeviceOptions, seed: int, **more: Any) -> nn.Module:
    """The model, in host memory; `more` are further arguments of `create_model`.

    Raises:
        UsageError: There is no such model or tag, no weights for it, or it does not take an argument.
    """
    set_fast_norm(device.fast_norm)
    if device.fuser:
        try:
            set_jit_fuser(device.fuser)
        except ValueError as error:
            raise UsageError(f'--{error}') from error
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    channels = options.in_chans or (options.input_size[0] if options.input_size else None)
    try:
        return _builder.get()(
            options.model,
            pretrained=options.pretrained,
            num_classes=options.num_classes,
            in_chans=channels,
            global_pool=options.gp,
            scriptable=device.torchscript or None,
            **more,
            **options.model_kwargs,
        )
    except (RuntimeError, TypeError, ValueError, AssertionError, KeyError, OSError) as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        if 'Unknown model' in reason:
            reason += nearest(options.model, timm.list_models())
        elif 'pretrained tag' in reason:
            architecture = options.model.partition('.')[0]
            reason += nearest(options.model, timm.list_models(f'{architecture}.*', include_tags=True))
        raise UsageError(f'cannot build model {options.model!r}: {reason}') from error


def resolve_preprocessing(
    model: nn.Module, arguments: Mapping[str, Any], use_test_size: bool = False
) -> dict[str, Any]:
    """Size, crop, filter and normalisation of the input: the model's configuration under the given options.

    A network that is built for one size is set to the size asked for, where that is another.
    """
    try:
        preprocessing: dict[str, Any] = resolve_data_config(dict(arguments), model=model, use_test_size=use_test_size)
    except (AssertionError, ValueError) as error:
        raise UsageError(f'these options of the input do not go together: {error or type(error).__name__}') from error
    channels, *sides = preprocessing['input_size']
    for name in ('mean', 'std'):
        preprocessing[name] = adapt_to_chs(preprocessing[name], channels)
    size = tuple(sides)
    if size != _published_size(model):
        _set_size(model, size)
    return preprocessing


def _published_size(model: nn.Module) -> tuple[int, ...] | None:
    """Height and width the model was made for, None if it does not say."""
    config: Mapping[str, Any] = getattr(model, 'pretrained_cfg', None) or {}
    return tuple(config['input_size'][1:]) if config.get('input_size') else None


def _set_size(model: nn.Module, size: tuple[int, ...]) -> None:
    """Set a network that is built for one size to another; the others take any."""
    resize: Any = getattr(model, 'set_input_size', None)
    if resize is None:
        return
    try:
        resize(img_size=size)
    except (AssertionError, ValueError, RuntimeError) as error:
        raise UsageError(f'the model cannot take images of {"x".join(map(str, size))}: {error}') from error


def load_weights(model: nn.Module, path: str, size: tuple[int, ...], use_ema: bool = True) -> None:
    """Load a checkpoint, whose every tensor has to fit the model as it stands at `size`, or at its published size.

    Raises:
        UsageError: There is no such file.
        CheckpointError: It cannot be read or does not fit.
    """
    if not Path(path).exists():
        raise UsageError(f'there is no checkpoint {path}')
    published = _published_size(model)
    try:
        try:
            _load(model, path, use_ema)
        except RuntimeError:
            if published in (None, size) or not hasattr(model, 'set_input_size'):
                raise
            _set_size(model, published)
            _load(model, path, use_ema)
            _set_size(model, size)
    except (RuntimeError, ValueError, KeyError, OSError, EOFError) as error:
        reason = ' '.join(str(error).split())[:400]
        raise CheckpointError(f'checkpoint {path} does not fit model {type(model).__name__}: {reason}') from error


def _load(model: nn.Module, path: str, use_ema: bool) -> None:
    """Load a file of weights, or a checkpoint in shards, which is a folder."""
    if Path(path).is_file():
        load_checkpoint(model, path, use_ema=use_ema)
        return
    state = read_checkpoint(path)
    model.load_state_dict(state.get('state_dict_ema', state['state_dict']) if use_ema else state['state_dict'])


def finish_model(
    model: nn.Module, preprocessing: Mapping[str, Any], reparam: bool = False, test_pool: bool = False
) -> tuple[nn.Module, bool]:
    """The model as it is evaluated, and whether its head pools at test time, which wants the whole image."""
    if reparam:
        model = reparameterize_model(model)
    if not test_pool:
        return model, False
    pooled: tuple[nn.Module, bool] = apply_test_time_pool(model, dict(preprocessing))
    return pooled


def why_not(model: nn.Module, example: Any) -> str:
    """Why a model does not take such an input, in evaluation mode; '' where it does."""
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(example)
    except Exception as error:  # noqa: BLE001 - whatever a model makes of an input that it does not know
        return ' '.join(str(error).split())[:160] or type(error).__name__
    finally:
        model.train(was_training)
    return ''


def check_compiler(options: DeviceOptions) -> None:
    """Refuse a backend, or a mode of it, that torch does not have.

    Raises:
        UsageError: It has none of that name.
    """
    if options.torchcompile:
        try:
            torch.compile(nn.Identity(), backend=options.torchcompile, mode=options.torchcompile_mode)
        except RuntimeError as error:
            raise UsageError(f'cannot compile the model like this: {error}') from error


def compile_model(model: nn.Module, options: DeviceOptions) -> Any:
    """The model compiled or scripted, if that is asked for."""
    if options.torchscript and options.torchcompile:
        raise UsageError('--torchscript and --torchcompile exclude each other: leave one of them out')
    if options.torchscript:
        return torch.jit.script(model)  # pyright: ignore[reportUnknownMemberType]
    if options.torchcompile:
        check_compiler(options)
        return torch.compile(model, backend=options.torchcompile, mode=options.torchcompile_mode)
    return model


def count_parameters(model: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in model.parameters())
