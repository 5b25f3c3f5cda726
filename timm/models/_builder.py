"""From a class, a name and a wish for weights to a finished model: construction, loading, adaptation, wrapping."""

import dataclasses
import difflib
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ._assign import assign_state_dict, match_prefix
from ._deferred_init import deferred_init
from ._features import FeatureDictNet, FeatureGetterNet, FeatureHookNet, FeatureListNet
from ._features_fx import FeatureGraphNet
from ._helpers import load_state_dict
from ._hub import (
    HF_SAFE_WEIGHTS_NAME,
    HF_WEIGHTS_NAME,
    check_cached_file,
    download_cached_file,
    find_in_hub_cache,
    load_custom_from_hf,
    load_state_dict_from_hf,
    load_state_dict_from_path,
)
from ._input import _init_model_traits
from ._manipulate import adapt_input_conv
from ._pretrained import PretrainedCfg
from ._prune import adapt_model_from_file
from ._registry import get_pretrained_cfg

__all__ = [
    'build_model_with_cfg',
    'load_custom_pretrained',
    'load_pretrained',
    'pretrained_cfg_for_features',
    'resolve_pretrained_cfg',
    'set_pretrained_check_hash',
    'set_pretrained_download_progress',
]

_logger = logging.getLogger(__name__)

_DOWNLOAD_PROGRESS = False
_CHECK_HASH = False
_SOURCE_FIELDS = ('file', 'url', 'hf_hub_id', 'hf_hub_filename')

StateDict = dict[str, Tensor]


def set_pretrained_download_progress(enable: bool = True) -> None:
    """Show a progress bar while weights are downloaded from a URL."""
    global _DOWNLOAD_PROGRESS
    _DOWNLOAD_PROGRESS = enable


def set_pretrained_check_hash(enable: bool = True) -> None:
    """Check downloads against the hash in their file name, also where a cached file is used again."""
    global _CHECK_HASH
    _CHECK_HASH = enable


def resolve_pretrained_cfg(
    variant: str,
    pretrained_cfg: PretrainedCfg | Mapping[str, Any] | str | None = None,
    pretrained_cfg_overlay: Mapping[str, Any] | None = None,
) -> PretrainedCfg:
    """The configuration of a variant: its default one, one named by tag, or one given; then the overlay.

    Args:
        pretrained_cfg: Tag, dict of fields (all others take their defaults) or configuration; falsy means the
            default tag.
        pretrained_cfg_overlay: Fields to replace. A new source without `custom_load` clears `custom_load`.
    """
    name = variant
    given = pretrained_cfg
    if isinstance(given, str):
        name, given = f'{variant}.{given}' if given else variant, None
    elif isinstance(given, Mapping):
        given = PretrainedCfg(**given) if given else None
    resolved = given or get_pretrained_cfg(name)
    if resolved is None:
        _logger.warning(
            'No pretrained configuration is registered for %s: preprocessing and classifier take default values.', name
        )
        resolved = PretrainedCfg()
    overlay = dict(pretrained_cfg_overlay or {})
    if any(overlay.get(field) for field in _SOURCE_FIELDS):
        overlay.setdefault('custom_load', False)
    if not resolved.architecture:
        overlay.setdefault('architecture', variant)
    return dataclasses.replace(resolved, **overlay)


def pretrained_cfg_for_features(pretrained_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a feature extractor: that of the network without its classifier."""
    return {key: value for key, value in pretrained_cfg.items() if key not in ('num_classes', 'classifier')}


def _resolve_pretrained_source(cfg: Mapping[str, Any]) -> tuple[str, Any]:
    """Where weights come from: ('state_dict' | 'file' | 'hf-hub' | 'local-dir' | 'url' | '', its location)."""
    source = cfg.get('source') or ''
    hub_id = cfg.get('hf_hub_id')
    if source == 'hf-hub' and hub_id:
        return 'hf-hub', (hub_id, cfg['hf_hub_filename']) if cfg.get('hf_hub_filename') else hub_id
    if source == 'local-dir':
        return 'local-dir', cfg.get('file')
    if cfg.get('state_dict'):
        return 'state_dict', cfg['state_dict']
    if cfg.get('file'):
        return 'file', cfg['file']
    if hub_id:
        return 'hf-hub', (hub_id, cfg['hf_hub_filename']) if cfg.get('hf_hub_filename') else hub_id
    if cfg.get('url'):
        return 'url', cfg['url']
    return '', ''


def _as_dict(cfg: PretrainedCfg | Mapping[str, Any] | None) -> dict[str, Any]:
    if cfg is None:
        return {}
    return cfg.to_dict() if isinstance(cfg, PretrainedCfg) else dict(cfg)


def _call_filter(filter_fn: Callable[..., Any], state_dict: StateDict, model: nn.Module) -> StateDict:
    """Run a family's conversion; older ones take the state dict alone."""
    takes = [
        p for p in inspect.signature(filter_fn).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) and p.default is p.empty
    ]  # fmt: skip
    accepts_model = len(takes) > 1 or 'model' in inspect.signature(filter_fn).parameters
    return filter_fn(state_dict, model) if accepts_model else filter_fn(state_dict)


def load_state_dict_from_url(url: str, cache_dir: str | Path | None = None) -> StateDict:
    """The state dict at a URL, downloaded once."""
    path = download_cached_file(url, check_hash=_CHECK_HASH, progress=_DOWNLOAD_PROGRESS, cache_dir=cache_dir)
    return load_state_dict(path)


def _read_url(url: str, custom: bool | str, model: nn.Module, cache_dir: str | Path | None) -> StateDict | None:
    """The state dict at a URL; None where the network read the file itself."""
    if not custom:
        return load_state_dict_from_url(url, cache_dir)
    path = download_cached_file(url, check_hash=_CHECK_HASH, progress=_DOWNLOAD_PROGRESS, cache_dir=cache_dir)
    _custom_loader(model)(path)
    return None


def _is_only_at_url(cfg: Mapping[str, Any], repository: str, filenames: list[str], cache_dir: Any) -> bool:
    """Whether the file lies here as it was downloaded from its URL, but not as the hub has it."""
    names = filenames or [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]
    if not cfg.get('url') or any(find_in_hub_cache(repository, name, cache_dir) for name in names):
        return False
    return check_cached_file(cfg['url'], check_hash=_CHECK_HASH, cache_dir=cache_dir)


def _read_weights(cfg: Mapping[str, Any], model: nn.Module, cache_dir: str | Path | None) -> StateDict | None:
    """The state dict a configuration points at; None where the network read the file itself.

    What lies on this machine goes before the network, wherever it came from.

    Raises:
        RuntimeError: The configuration names no weights.
    """
    kind, place = _resolve_pretrained_source(cfg)
    custom = cfg.get('custom_load', False)
    if kind == 'state_dict':
        return dict(place)
    if kind == 'file':
        if custom:
            _custom_loader(model)(str(place))
            return None
        return load_state_dict(str(place))
    if kind == 'local-dir':
        return load_state_dict_from_path(place)
    if kind == 'url':
        return _read_url(place, custom, model, cache_dir)
    if kind == 'hf-hub':
        repository, *filename = (place,) if isinstance(place, str) else place
        if custom == 'hf':
            load_custom_from_hf(repository, filename[0] if filename else HF_WEIGHTS_NAME, model, cache_dir)
            return None
        if _is_only_at_url(cfg, repository, filename, cache_dir):
            return _read_url(cfg['url'], custom, model, cache_dir)
        return load_state_dict_from_hf(repository, *filename, cache_dir=cache_dir)
    name = cfg.get('architecture') or type(model).__name__
    raise RuntimeError(
        f'No pretrained weights exist for {name}'
        f'{"." + cfg["tag"] if cfg.get("tag") else ""}. Use `pretrained=False` for random weights, '
        f'`timm.list_pretrained({name + ".*"!r})` for the tags that have weights, or give a file with '
        "`pretrained_cfg_overlay=dict(file='...')`."
    )


def _custom_loader(model: nn.Module) -> Callable[[str], None]:
    load = getattr(model, 'load_pretrained', None)
    if load is None:
        raise RuntimeError(
            f'{type(model).__name__} cannot read this file itself (it has no load_pretrained); '
            'use pretrained_cfg_overlay=dict(custom_load=False) with a file that holds a state dict'
        )
    return load


def _as_names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if not names else (names,) if isinstance(names, str) else tuple(names)


def _adapt_first_conv(cfg: Mapping[str, Any], state_dict: StateDict, model: nn.Module, in_chans: int) -> bool:
    """Bring the stem's weights to `in_chans` channels; returns whether every tensor is still there.

    Raises:
        RuntimeError: They are not for the channels that the configuration names.
    """
    base_chans = (cfg.get('input_size') or (3,))[0]
    complete = True
    if in_chans == base_chans:
        return complete
    modules = dict(model.named_modules())
    for name in _as_names(cfg.get('first_conv')):
        key = f'{name}.weight'
        if key not in state_dict:
            continue
        stem, shape = modules.get(name), tuple(state_dict[key].shape)
        if isinstance(stem, nn.Conv2d) and len(shape) == 4:
            if shape == tuple(stem.weight.shape):
                message = '%s: the weights already match the model of %d channels, not the %d of their input_size.'
                _logger.warning(message, key, in_chans, base_chans)
                continue
            if shape[1] * in_chans * stem.groups != base_chans * stem.in_channels:
                raise RuntimeError(
                    f'{key} of shape {shape} is not for the {base_chans} channels that input_size names. Correct the '
                    f'source pretrained_cfg before the weights are adapted to {in_chans} channels.'
                )
        try:
            state_dict[key] = adapt_input_conv(in_chans, state_dict[key], base_chans)
        except NotImplementedError:
            del state_dict[key]
            complete = False
            _logger.warning('%s cannot be adapted to %d input channels and starts from random values.', key, in_chans)
    return complete


def _adapt_classifier(cfg: Mapping[str, Any], state_dict: StateDict, num_classes: int) -> bool:
    """Drop or trim the classifier's weights to `num_classes`; returns whether every tensor is still there."""
    names = _as_names(cfg.get('classifier'))
    offset = cfg.get('label_offset') or 0
    if not names:
        return True
    if num_classes != cfg.get('num_classes', 1000):
        for name in names:
            state_dict.pop(f'{name}.weight', None)
            state_dict.pop(f'{name}.bias', None)
        return False
    if offset > 0:
        for name in names:
            for key in (f'{name}.weight', f'{name}.bias'):
                if key in state_dict:
                    state_dict[key] = state_dict[key][offset:]
    return True


def load_pretrained(
    model: nn.Module,
    pretrained_cfg: PretrainedCfg | Mapping[str, Any] | None = None,
    num_classes: int = 1000,
    in_chans: int = 3,
    filter_fn: Callable[..., Any] | None = None,
    strict: bool = True,
    cache_dir: str | Path | None = None,
) -> None:
    """Give a model the weights its configuration points at, stem and classifier adapted to the model.

    Args:
        pretrained_cfg: Configuration; the model's own unless given.
        num_classes: Classes of the model. The file's classifier is left out where it has another number.
        in_chans: Image channels of the model. The file's stem is converted where it has another number.
        filter_fn: Brings the file's names and shapes to the model's: (state dict, model) -> state dict.
        strict: Every tensor of the file and of the model must find its match.

    Raises:
        RuntimeError: There are no weights, they cannot be had, or they do not fit; the message says which.
    """
    cfg = _as_dict(pretrained_cfg) or _as_dict(getattr(model, 'pretrained_cfg', None))
    if not cfg:
        raise RuntimeError('Invalid pretrained config, cannot load weights.')
    state_dict = _read_weights(cfg, model, cache_dir)
    if state_dict is None:
        return
    state_dict = match_prefix(state_dict, model.state_dict(keep_vars=True))
    if filter_fn is not None:
        state_dict = _call_filter(filter_fn, state_dict, model)
    complete = _adapt_first_conv(cfg, state_dict, model, in_chans)
    complete = _adapt_classifier(cfg, state_dict, num_classes) and complete
    result = assign_state_dict(model, state_dict, strict=strict and complete, source=_source_name(cfg))
    if result.unexpected_keys:
        shown = ', '.join(result.unexpected_keys[:8])
        _logger.info('%d tensors of the file have no place in the model: %s', len(result.unexpected_keys), shown)


def _source_name(cfg: Mapping[str, Any]) -> str | None:
    """Where weights come from, for messages; None where they were given as they are."""
    kind, place = _resolve_pretrained_source(cfg)
    return None if kind == 'state_dict' else '/'.join(place) if isinstance(place, tuple) else str(place)


def load_custom_pretrained(
    model: nn.Module,
    pretrained_cfg: PretrainedCfg | Mapping[str, Any] | None = None,
    load_fn: Callable[..., None] | None = None,
    cache_dir: str | Path | None = None,
) -> None:
    """Let a model read a foreign weight file: `load_fn(model, path)`, or the model's own `load_pretrained(path)`."""
    cfg = _as_dict(pretrained_cfg) or _as_dict(getattr(model, 'pretrained_cfg', None))
    kind, place = _resolve_pretrained_source(cfg)
    if kind == 'url':
        place = download_cached_file(place, check_hash=_CHECK_HASH, progress=_DOWNLOAD_PROGRESS, cache_dir=cache_dir)
    elif kind != 'file':
        raise RuntimeError(f'a custom weight file needs a `file` or a `url` in its configuration, got {kind or "none"}')
    if load_fn is not None:
        load_fn(model, place)
    else:
        _custom_loader(model)(str(place))


def _update_default_model_kwargs(
    pretrained_cfg: Mapping[str, Any], kwargs: dict[str, Any], kwargs_filter: Sequence[str] | None
) -> None:
    """Fill in what the weights imply unless the caller said otherwise: classes, channels, a fixed image size."""
    num_classes = pretrained_cfg.get('num_classes', -1)
    if num_classes >= 0:
        kwargs.setdefault('num_classes', num_classes)
    input_size = pretrained_cfg.get('input_size')
    if input_size is not None:
        kwargs.setdefault('in_chans', input_size[0])
        if pretrained_cfg.get('fixed_input_size'):
            kwargs.setdefault('img_size', tuple(input_size[1:]))
    if pretrained_cfg.get('global_pool') is not None:
        kwargs.setdefault('global_pool', pretrained_cfg['global_pool'])
    for name in kwargs_filter or ():
        kwargs.pop(name, None)


def _check_arguments(model_cls: Callable[..., nn.Module], kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments the constructor does not know, and name the nearest that it does.

    Raises:
        TypeError: An argument is unknown.
    """
    parameters = inspect.signature(model_cls).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for name in kwargs:
        if name not in parameters:
            near = difflib.get_close_matches(name, parameters, n=3)
            label = getattr(model_cls, '__name__', repr(model_cls))
            remedy = f'; did you mean {" or ".join(map(repr, near))}?' if near else ''
            if name in ('out_indices', 'feature_cls'):
                remedy = '; it goes with features_only=True'
            raise TypeError(f"{label}.__init__() got an unexpected keyword argument '{name}'{remedy}")


_FEATURE_CLASSES: dict[str, type[nn.Module]] = {
    'list': FeatureListNet,
    'dict': FeatureDictNet,
    'getter': FeatureGetterNet,
}
# Settings of a family that only say how its children are taken apart; wrappers that leave it whole do without.
_CHILD_SETTINGS = ('flatten_sequential', 'feature_concat', 'no_rewrite')


def _wrap_features(model: nn.Module, feature_cfg: dict[str, Any]) -> Any:
    """Wrap a network in the feature extractor its settings name.

    Raises:
        AssertionError: There is no such extractor.
    """
    feature_cls: Any = feature_cfg.pop('feature_cls', 'list')
    if isinstance(feature_cls, str):
        name = feature_cls.lower()
        if 'hook' in name:
            feature_cls = FeatureHookNet
        elif name == 'fx':
            feature_cls = FeatureGraphNet
        else:
            assert name in _FEATURE_CLASSES, f'Unknown feature class {feature_cls}'
            feature_cls = _FEATURE_CLASSES[name]
    accepted = inspect.signature(feature_cls).parameters
    options = {key: value for key, value in feature_cfg.items() if key in accepted or key not in _CHILD_SETTINGS}
    if feature_cls is not FeatureGetterNet and hasattr(model, 'output_fmt'):
        options.setdefault('output_fmt', model.output_fmt)
    return feature_cls(model, **options)


def build_model_with_cfg(
    model_cls: Callable[..., nn.Module],
    variant: str,
    pretrained: bool,
    pretrained_cfg: PretrainedCfg | Mapping[str, Any] | str | None = None,
    pretrained_cfg_overlay: Mapping[str, Any] | None = None,
    model_cfg: Any | None = None,
    feature_cfg: Mapping[str, Any] | None = None,
    pretrained_strict: bool = True,
    pretrained_filter_fn: Callable[..., Any] | None = None,
    cache_dir: str | Path | None = None,
    kwargs_filter: Sequence[str] | None = None,
    pretrained_model_args: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Build a network, load its weights where asked, and wrap it where only its features are wanted.

    Args:
        model_cls: The network's class.
        variant: Name under which its configuration is registered.
        pretrained: Load weights.
        pretrained_cfg: Tag, fields or configuration in place of the default one.
        pretrained_cfg_overlay: Fields to replace in it.
        model_cfg: Passed to the constructor as `cfg`, for networks described by a record.
        feature_cfg: Settings of the feature extractor: out_indices, feature_cls and its arguments.
        pretrained_strict: Every tensor of the weight file must have a place in the network.
        pretrained_filter_fn: Brings the file's names and shapes to the network's.
        cache_dir: Folder for downloads.
        kwargs_filter: Arguments that must not reach the constructor.
        pretrained_model_args: Arguments that a published checkpoint asks for; remembered on the model.
        kwargs: Arguments of the constructor, `features_only`, `out_indices`, `feature_cls` and `pruned`.
    """
    pruned = kwargs.pop('pruned', False)
    features_only = kwargs.pop('features_only', False)
    feature_options: dict[str, Any] = dict(feature_cfg or {})
    if features_only:
        feature_options.setdefault('out_indices', (0, 1, 2, 3, 4))
        for name in ('out_indices', 'feature_cls', 'norm', 'flatten_sequential', 'no_rewrite', 'output_fmt'):
            if name in kwargs and not (name == 'norm' and 'norm' in inspect.signature(model_cls).parameters):
                feature_options[name] = kwargs.pop(name)
    cfg = resolve_pretrained_cfg(variant, pretrained_cfg, pretrained_cfg_overlay).to_dict()
    _update_default_model_kwargs(cfg, kwargs, kwargs_filter)
    _check_arguments(model_cls, kwargs)
    with deferred_init() as finish:
        model: Any = model_cls(**kwargs) if model_cfg is None else model_cls(cfg=model_cfg, **kwargs)
        model.pretrained_cfg = cfg
        model.default_cfg = cfg
        model.pretrained_model_args = dict(pretrained_model_args or {})
        _init_model_traits(model, kwargs)
        if pruned:
            model = adapt_model_from_file(model, variant)
        if pretrained:
            load_pretrained(
                model,
                pretrained_cfg=cfg,
                num_classes=0 if features_only else getattr(model, 'num_classes', kwargs.get('num_classes', 1000)),
                in_chans=kwargs.get('in_chans', 3),
                filter_fn=pretrained_filter_fn,
                strict=pretrained_strict,
                cache_dir=cache_dir,
            )
        finish(model)
    if not features_only:
        return model
    wrapped = _wrap_features(model, feature_options)
    wrapped.in_chans = kwargs.get('in_chans', 3)
    wrapped.pretrained_cfg = pretrained_cfg_for_features(cfg)
    wrapped.default_cfg = wrapped.pretrained_cfg
    wrapped._traits = model._traits
    return wrapped
