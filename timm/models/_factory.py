"""create_model: a name, in any of its forms, to a model."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from timm.layers import set_layer_config

from ._deferred_init import deferred_init
from ._helpers import load_checkpoint
from ._hub import load_model_config_from_hf, load_model_config_from_path
from ._pretrained import PretrainedCfg
from ._registry import get_pretrained_cfg, is_model, model_entrypoint, split_model_name_tag, unknown_model_error

__all__ = ['create_model', 'parse_model_name', 'resolve_model_input_args', 'safe_model_name']

_SOURCES = {'hf-hub': 'hf-hub', 'hf_hub': 'hf-hub', 'local-dir': 'local-dir'}


def parse_model_name(model_name: str) -> tuple[str | None, str]:
    """Split 'source:id' into its parts; a plain name has the source None.

    Raises:
        ValueError: The source is unknown, the id is empty, or the name is a path without a source.
    """
    source, colon, identifier = model_name.partition(':')
    if colon and len(source) > 1 and '/' not in source and '\\' not in source:
        known = _SOURCES.get(source.lower())
        if known is None:
            raise ValueError(
                f"Unknown model source '{source}' in model name '{model_name}', valid sources: hf-hub, local-dir."
            )
        if not identifier:
            raise ValueError(f"Model name '{model_name}' names the source '{source}' but no model after the colon.")
        return known, identifier
    if any(mark in model_name for mark in '/\\:'):
        raise ValueError(
            f"Model name '{model_name}' looks like a repository or a path but says no source. For the Hugging Face "
            f"hub write 'hf-hub:{model_name}', for a local folder 'local-dir:{model_name}'."
        )
    return None, model_name


def safe_model_name(model_name: str, remove_source: bool = True) -> str:
    """The name as part of a file name: everything but letters and digits becomes '_'."""
    if remove_source and ':' in model_name:
        model_name = parse_model_name(model_name)[1]
    return ''.join(c if c.isalnum() else '_' for c in model_name).rstrip('_')


def _config_of_source(
    source: str, identifier: str, cache_dir: str | Path | None
) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """(pretrained configuration, architecture, model arguments) that a repository or folder holds."""
    if source == 'hf-hub':
        return load_model_config_from_hf(urlsplit(identifier).path if '#' in identifier else identifier, cache_dir)
    return load_model_config_from_path(identifier)


def create_model(
    model_name: str,
    pretrained: bool = False,
    pretrained_cfg: str | dict[str, Any] | PretrainedCfg | None = None,
    pretrained_cfg_overlay: dict[str, Any] | None = None,
    checkpoint_path: str | Path | None = None,
    cache_dir: str | Path | None = None,
    scriptable: bool | None = None,
    exportable: bool | None = None,
    no_jit: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Create a model by name.

    Args:
        model_name: 'arch', 'arch.tag', 'hf-hub:org/name' or 'local-dir:path'.
        pretrained: Load published weights, adapted to `num_classes`, `in_chans` and `img_size` where given.
        pretrained_cfg: Tag, dict of fields or configuration in place of the name's own.
        pretrained_cfg_overlay: Fields of the configuration to replace, for instance dict(file='weights.pth').
        checkpoint_path: Load this checkpoint strictly into the finished model.
        cache_dir: Folder for downloads.
        scriptable: Choose layers that TorchScript can compile.
        exportable: Choose layers that trace and export well.
        no_jit: Choose layers without compiled parts.
        kwargs: Arguments of the architecture: num_classes, in_chans, img_size, global_pool, drop_rate,
            drop_path_rate, features_only with out_indices, device, dtype ... A value of None counts as not given.

    Raises:
        RuntimeError: The name or tag is unknown (the message gives the nearest), or weights cannot be had.
        ValueError: The name is a path without a source.
        TypeError: The architecture does not take an argument.
    """
    kwargs = {name: value for name, value in kwargs.items() if value is not None}
    source, identifier = parse_model_name(model_name)
    pretrained_model_args: Mapping[str, Any] | None = None
    if source is not None:
        assert not pretrained_cfg, 'pretrained_cfg goes with plain names only: the source brings its own'
        pretrained_cfg, architecture, model_args = _config_of_source(source, identifier, cache_dir)
        kwargs = {**model_args, **kwargs}
        pretrained_model_args = model_args or None
    else:
        architecture, tag = split_model_name_tag(identifier)
        if tag and not pretrained_cfg:
            pretrained_cfg = tag
    if not is_model(architecture):
        raise unknown_model_error(architecture)
    if pretrained_cfg and isinstance(pretrained_cfg, str):
        get_pretrained_cfg(f'{architecture}.{pretrained_cfg}')  # an unknown tag is an error whatever is loaded
    create_fn = model_entrypoint(architecture)
    with set_layer_config(scriptable=scriptable, exportable=exportable, no_jit=no_jit), deferred_init() as finish:
        model = create_fn(
            pretrained=pretrained,
            pretrained_cfg=pretrained_cfg,
            pretrained_cfg_overlay=pretrained_cfg_overlay,
            cache_dir=cache_dir,
            **kwargs,
        )
        if checkpoint_path:
            load_checkpoint(model, os.fspath(checkpoint_path))
        finish(model)
    if pretrained_model_args:
        model.pretrained_model_args = dict(pretrained_model_args)
    model._model_args = {name: value for name, value in kwargs.items() if name not in ('device', 'dtype')}
    return model


def resolve_model_input_args(
    model_name: str, args: Mapping[str, Any] | None = None, **model_kwargs: Any
) -> dict[str, Any]:
    """Arguments of `create_model` for what a script was asked for: image size only where the model is built for one.

    Args:
        args: A script's options `img_size`, `input_size` (channels, height, width) and `in_chans`, as a mapping; None
            counts as not given.
        model_kwargs: Further arguments, which go through unchanged.

    Raises:
        ValueError: Two of the requests contradict each other, or `input_size` has not three parts.
        RuntimeError: The name or tag is unknown.
    """
    options = args or {}
    source, identifier = parse_model_name(model_name)
    resolved: dict[str, Any] = {'model_name': model_name}
    if source is None:
        cfg = get_pretrained_cfg(identifier)
        architecture = split_model_name_tag(identifier)[0]
        if not is_model(architecture):
            raise unknown_model_error(architecture)
        fields = (cfg or PretrainedCfg()).to_dict()
        resolved['pretrained_cfg'] = fields
    else:
        fields = _config_of_source(source, identifier, None)[0]
    resolved.update(model_kwargs)

    input_size = options.get('input_size')
    if input_size is not None and len(input_size) != 3:
        raise ValueError(f'input_size must be (channels, height, width), got {input_size}')
    chans = _agreed(
        'channels',
        {
            'input_size': None if input_size is None else input_size[0],
            'in_chans': options.get('in_chans'),
            'model_kwargs.in_chans': model_kwargs.get('in_chans'),
        },
    )
    if chans is not None:
        resolved['in_chans'] = chans
    explicit = _pair(model_kwargs.get('img_size'))
    takes_any = model_kwargs.get('dynamic_img_size') or model_kwargs.get('strict_img_size') is False
    size = _agreed(
        'image sizes',
        {
            'input_size': None if input_size is None else tuple(input_size[1:]),
            'img_size': _pair(options.get('img_size')),
            'model_kwargs.img_size': None if takes_any else explicit,
        },
    )
    if size is not None and explicit is None and fields.get('fixed_input_size'):
        resolved['img_size'] = size
    return resolved


def _pair(size: Any) -> tuple[int, int] | None:
    return None if size is None else (size, size) if isinstance(size, int) else tuple(size)


def _agreed(what: str, requests: Mapping[str, Any]) -> Any:
    """The one value that was asked for, if any."""
    given = {name: value for name, value in requests.items() if value is not None}
    if len(set(given.values())) > 1:
        named = ', '.join(f'{name}={value}' for name, value in given.items())
        raise ValueError(f'Conflicting input {what}: {named}. Give one of them.')
    return next(iter(given.values()), None)
