"""Writes a model in the form that the Hugging Face hub and `local-dir:` read: weights, config.json, README.md."""

import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor, nn

from timm.version import __version__

from ._input import _pool_type, get_model_args, get_model_traits
from ._pretrained import filter_pretrained_cfg

__all__ = ['generate_readme', 'push_to_hf_hub', 'save_config_for_hf', 'save_for_hf']

_logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]

_DATA_FIELDS = ('interpolation', 'crop_pct', 'test_crop_pct', 'crop_mode')


def _channel_values(name: str, values: Sequence[float], chans: int) -> tuple[float, ...]:
    """Mean or deviation for `chans` channels: as given, one value repeated, or the average where the number differs."""
    if len(values) == chans:
        return tuple(values)
    if len(values) == 1:
        return tuple(values) * chans
    message = 'The pretrained %s is for %d channels, the model takes %d: its average is noted.'
    _logger.warning(message, name, len(values), chans)
    return (round(sum(values) / len(values), 12),) * chans


def _check_size(size: Any, chans: int, fixed_size: tuple[int, int] | None) -> tuple[int, int, int]:
    """`size` as (channels, height, width).

    Raises:
        ValueError: It is none, or the model takes no such images.
    """
    if not isinstance(size, Sequence) or len(size) != 3:
        raise ValueError(f'input_size is (channels, height, width), not {size!r}.')
    if size[0] != chans:
        raise ValueError(f'Requested {size[0]} input channels, but the model accepts {chans}.')
    if fixed_size is not None and tuple(size[1:]) != fixed_size:
        raise ValueError(f'Requested image size {tuple(size[1:])}, but the model requires {fixed_size}.')
    return size[0], size[1], size[2]


def _current_cfg(model: nn.Module, changes: Mapping[str, Any], data_config: Mapping[str, Any]) -> dict[str, Any]:
    """The model's pretrained configuration, as it holds for the model now and for images prepared by `data_config`."""
    cfg: dict[str, Any] = {**(getattr(model, 'pretrained_cfg', None) or {}), **changes}
    data = {name: value for name, value in data_config.items() if value is not None}
    traits = get_model_traits(model)
    old_size = tuple(cfg.get('input_size') or (3, 224, 224))
    chans = traits.get('in_chans', old_size[0])
    fixed_size = traits.get('img_size') if traits.get('fixed_input_size') else None
    cfg['input_size'] = (chans, *(fixed_size or old_size[1:]))
    if 'input_size' in data:
        cfg['input_size'] = _check_size(data['input_size'], chans, fixed_size)
    if 'input_size' in data or cfg['input_size'][1:] != old_size[1:]:
        cfg.update(test_input_size=None, test_pool_size=None)
    if cfg['input_size'][1:] != old_size[1:]:
        cfg['pool_size'] = None
    test_size = data.get('test_input_size', cfg.get('test_input_size'))
    if test_size is not None:
        cfg['test_input_size'] = (chans, *test_size[1:])
    if 'crop_pct' in data:
        cfg['test_crop_pct'] = None
    cfg.update({name: data[name] for name in _DATA_FIELDS if name in data})
    for name in ('mean', 'std'):
        given = data.get(name)
        if given is not None and len(given) not in (1, chans):
            raise ValueError(f'{name} must have one value or {chans} values, got {len(given)}.')
        if given is not None or cfg.get(name) is not None:
            cfg[name] = _channel_values(name, given if given is not None else cfg[name], chans)
    cfg['num_classes'] = traits['num_classes']
    cfg['custom_load'] = False  # what is written is a state dict, whatever the weights came from
    if 'fixed_input_size' in traits:
        cfg['fixed_input_size'] = traits['fixed_input_size']
    return cfg


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _check_labels(model_config: Mapping[str, Any], num_classes: int) -> dict[str, Any]:
    """The label names and descriptions of a configuration.

    Raises:
        ValueError: They are no list and no dict.
    """
    labels = {}
    names = model_config.get('label_names')
    if names:
        if not isinstance(names, (list, tuple, Mapping)):
            raise ValueError(f'label_names is a list of names, one for each class, not a {type(names).__name__}.')
        if len(names) != num_classes:
            _logger.warning('There are %d label names for %d classes.', len(names), num_classes)
        labels['label_names'] = names
    descriptions = model_config.get('label_descriptions')
    if descriptions:
        if not isinstance(descriptions, Mapping):
            raise ValueError('label_descriptions is a dict from label name to description.')
        labels['label_descriptions'] = descriptions
    return labels


def save_config_for_hf(
    model: nn.Module,
    config_path: PathLike,
    model_config: Mapping[str, Any] | None = None,
    model_args: Mapping[str, Any] | None = None,
    data_config: Mapping[str, Any] | None = None,
) -> None:
    """Write config.json: what `create_model` needs to build this model again and to prepare images for it.

    Args:
        model_config: Further entries, and entries to replace: label_names, label_descriptions, pretrained_cfg, ...
        model_args: Arguments of the architecture, beyond those the model was made with.
        data_config: How images are prepared: input_size, mean, std, interpolation, crop_pct, crop_mode, ...

    Raises:
        ValueError: The model has no configuration or classifier, or an entry contradicts it or is no JSON.
    """
    extra = dict(model_config or {})
    base: Mapping[str, Any] = getattr(model, 'pretrained_cfg', None) or {}
    traits = get_model_traits(model)
    architecture = extra.pop('architecture', base.get('architecture'))
    if architecture is None or 'num_classes' not in traits:
        raise ValueError(
            f'{type(model).__name__} cannot be described in a config.json: save a network made by create_model, not '
            'one of its parts or wrappers.'
        )
    num_classes = traits['num_classes']
    if extra.pop('num_classes', num_classes) != num_classes:
        raise ValueError(f'Export num_classes must match the current model ({num_classes}).')
    args = get_model_args(model, {**(extra.pop('model_args', None) or {}), **(model_args or {})})
    for name, value in args.items():
        if not _is_json(value):
            raise ValueError(f'Model argument {name!r} is not serializable; provide a model_args replacement.')
    cfg = _current_cfg(model, extra.pop('pretrained_cfg', None) or {}, data_config or {})
    for name in ('architecture', 'state_dict'):
        cfg.pop(name, None)
    config = {
        'architecture': architecture,
        'num_classes': num_classes,
        'num_features': extra.pop('num_features', getattr(model, 'num_features', None)),
        'global_pool': extra.pop('global_pool', None) or _pool_type(model) or None,
        **_check_labels(extra, num_classes),
        'model_args': args,
        'pretrained_cfg': filter_pretrained_cfg(cfg, remove_source=True, remove_null=True),
        **{name: value for name, value in extra.items() if name not in ('label_names', 'label_descriptions')},
    }
    text = json.dumps({name: value for name, value in config.items() if value is not None}, indent=2)
    _write(Path(config_path), lambda path: path.write_text(text, encoding='utf-8'))


def _write(path: Path, write: Any) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in the place of `path` at once.

    Whoever has the old file mapped, such as the very model that is being saved, keeps it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _tensors_for_safetensors(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict that the format can hold: contiguous tensors, none sharing memory with another."""
    taken: set[int] = set()
    tensors: dict[str, Tensor] = {}
    for name, value in state_dict.items():
        value = value.contiguous()
        address = value.untyped_storage().data_ptr()
        tensors[name] = value.clone() if address in taken else value
        taken.add(address)
    return tensors


def save_for_hf(
    model: nn.Module,
    save_directory: PathLike,
    model_config: Mapping[str, Any] | None = None,
    model_args: Mapping[str, Any] | None = None,
    safe_serialization: bool | Literal['both'] = False,
    data_config: Mapping[str, Any] | None = None,
) -> None:
    """Write a model's weights and config.json into a folder that `create_model('local-dir:...')` reads.

    Args:
        safe_serialization: True for model.safetensors, False for pytorch_model.bin, 'both' for both.
        model_config, model_args, data_config: See `save_config_for_hf`.
    """
    folder = Path(save_directory)
    folder.mkdir(parents=True, exist_ok=True)
    save_config_for_hf(model, folder / 'config.json', model_config, model_args, data_config)
    state_dict = model.state_dict()
    if safe_serialization in (True, 'both'):
        tensors = _tensors_for_safetensors(state_dict)
        _write(folder / 'model.safetensors', lambda path: safetensors.torch.save_file(tensors, path))
    if safe_serialization in (False, 'both'):
        _write(folder / 'pytorch_model.bin', lambda path: torch.save(state_dict, path))


def push_to_hf_hub(
    model: nn.Module,
    repo_id: str,
    commit_message: str = 'Add model',
    token: str | None = None,
    revision: str | None = None,
    private: bool = False,
    create_pr: bool = False,
    model_config: Mapping[str, Any] | None = None,
    model_card: Mapping[str, Any] | None = None,
    model_args: Mapping[str, Any] | None = None,
    task_name: str = 'image-classification',
    safe_serialization: bool | Literal['both'] = 'both',
    data_config: Mapping[str, Any] | None = None,
) -> Any:
    """Upload a model to a repository of the Hugging Face hub, made if it is not there, with a README if it has none.

    Args:
        token: Access token; None takes the one that `hf auth login` saved.
        model_card: What the README says, see `generate_readme`.
        model_config, model_args, safe_serialization, data_config: See `save_for_hf`.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token, library_name='timm', library_version=__version__)
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    with tempfile.TemporaryDirectory() as folder:
        save_for_hf(model, folder, model_config, model_args, safe_serialization, data_config)
        if not api.file_exists(repo_id=repo_id, filename='README.md', revision=revision):
            text = generate_readme(model_card or {}, repo_id.rpartition('/')[2], task_name)
            Path(folder, 'README.md').write_text(text, encoding='utf-8')
        return api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            revision=revision,
            create_pr=create_pr,
            commit_message=commit_message,
        )


def _as_list(value: Any) -> list[Any]:
    if not value:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _details(details: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for name, value in details.items():
        if isinstance(value, Mapping):
            lines += [f'- **{name}:**', *(f'  - {key}: {item}' for key, item in value.items())]
        elif isinstance(value, (list, tuple)):
            lines += [f'- **{name}:**', *(f'  - {item}' for item in value)]
        else:
            lines.append(f'- **{name}:** {value}')
    return lines


def generate_readme(model_card: Mapping[str, Any], model_name: str, task_name: str = 'image-classification') -> str:
    """The README of a repository: the header that the hub reads, then a section for each thing that is known.

    Args:
        model_card: tags, license, license_name, license_link and library_name for the header; details (a dict, of
            which Dataset and Pretrain Dataset go to the header too), description, usage, comparison and citation
            (one or several) for the sections.
    """
    details = model_card.get('details') or {}
    sets = [str(item).lower() for name in ('Dataset', 'Pretrain Dataset') for item in _as_list(details.get(name))]
    header: list[tuple[str, Any]] = [
        ('tags', _as_list(model_card.get('tags')) or [task_name, 'timm', 'transformers']),
        ('pipeline_tag', task_name),
        ('library_name', model_card.get('library_name', 'timm')),
        ('license', model_card.get('license', 'apache-2.0')),
        *((name, model_card[name]) for name in ('license_name', 'license_link') if name in model_card),
        *([('datasets', sets)] if sets else []),
    ]
    lines = ['---']
    for name, value in header:
        lines += [f'{name}:', *(f'- {item}' for item in value)] if isinstance(value, list) else [f'{name}: {value}']
    lines += ['---', f'# Model card for {model_name}', '']
    if model_card.get('description'):
        lines += [model_card['description'], '']
    if 'details' in model_card:
        lines += ['## Model Details', *_details(details), '']
    for title, name in (('Model Usage', 'usage'), ('Model Comparison', 'comparison')):
        if model_card.get(name):
            lines += [f'## {title}', str(model_card[name]), '']
    if model_card.get('citation'):
        lines += ['## Citation']
        for citation in _as_list(model_card['citation']):
            lines += ['```bibtex', citation, '```']
    return '\n'.join(lines).rstrip('\n') + '\n'
