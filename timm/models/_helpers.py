"""Checkpoints: choosing the weights in one, loading them into a model, resuming a run."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ._assign import IncompatibleKeys, assign_state_dict
from ._weight_files import is_numpy_file, read_weight_file

__all__ = [
    'assign_state_dict',
    'clean_state_dict',
    'load_checkpoint',
    'load_state_dict',
    'remap_state_dict',
    'resume_checkpoint',
]

_logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]

_AVERAGED_ENTRIES = ('state_dict_ema', 'model_ema')
_PLAIN_ENTRIES = ('state_dict', 'model')


def clean_state_dict(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Take the prefixes of DistributedDataParallel ('module.') and torch.compile ('_orig_mod.') off the names."""
    cleaned: dict[str, Any] = {}
    for name, value in state_dict.items():
        for prefix in ('_orig_mod.', 'module.', '_orig_mod.'):
            name = name.removeprefix(prefix)
        cleaned[name] = value
    return cleaned


def _choose_entry(checkpoint: Any, entries: tuple[str, ...], path: PathLike) -> tuple[str, Mapping[str, Any]]:
    """The first of `entries` that a training checkpoint has, or ('', the whole) for a bare state dict.

    Raises:
        RuntimeError: The file holds no names at all.
    """
    if not isinstance(checkpoint, Mapping):
        raise RuntimeError(
            f"'{path}' holds a {type(checkpoint).__name__}, not a dict of tensors by name: save model.state_dict()."
        )
    for entry in entries:
        if isinstance(checkpoint.get(entry), Mapping):
            return entry, checkpoint[entry]
    return '', checkpoint


def load_state_dict(
    checkpoint_path: PathLike,
    use_ema: bool = True,
    device: str | torch.device = 'cpu',
    weights_only: bool = True,
) -> dict[str, Any]:
    """The model weights of a file (safetensors, torch.save, .npz), whether it holds them alone or a whole checkpoint.

    Args:
        use_ema: Prefer averaged weights (`state_dict_ema`, `model_ema`) where the checkpoint has them.
        weights_only: False runs code that a pickle asks for: only for files whose maker you trust.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: It cannot be read; the message says why.
    """
    lazy = not str(checkpoint_path).endswith('.safetensors') and torch.device(device).type == 'cpu'
    checkpoint = read_weight_file(checkpoint_path, device, weights_only, lazy)
    entries = (*_AVERAGED_ENTRIES, *_PLAIN_ENTRIES) if use_ema else _PLAIN_ENTRIES
    entry, state_dict = _choose_entry(checkpoint, entries, checkpoint_path)
    state_dict = clean_state_dict(state_dict)
    if lazy:
        # a mapped torch.save file may be written over in place, so the chosen part becomes memory of its own
        state_dict = {k: v.clone() if isinstance(v, Tensor) else v for k, v in state_dict.items()}
    _logger.info("Loaded %s from checkpoint '%s'", entry or 'weights', checkpoint_path)
    return state_dict


def load_checkpoint(
    model: nn.Module,
    checkpoint_path: PathLike,
    use_ema: bool = True,
    device: str | torch.device = 'cpu',
    strict: bool = True,
    remap: bool = False,
    filter_fn: Callable[[dict[str, Any], nn.Module], dict[str, Any]] | None = None,
    weights_only: bool = True,
) -> IncompatibleKeys | None:
    """Load the weights of a file into a model.

    Args:
        use_ema: Prefer averaged weights.
        strict: Every tensor must find its match.
        remap: Match tensors by their order instead of their names, see `remap_state_dict`.
        filter_fn: Brings names and shapes to the model's: (state dict, model) -> state dict. Not with `remap`.
        weights_only: As in `load_state_dict`.

    Returns:
        What did not match; None for .npz and .npy, which the model reads itself.

    Raises:
        NotImplementedError: The model cannot read .npz or .npy.
        FileNotFoundError: There is no such file.
        RuntimeError: It cannot be read, or does not fit; the message says why and what to do.
    """
    if is_numpy_file(checkpoint_path):
        load_pretrained: Any = getattr(model, 'load_pretrained', None)
        if load_pretrained is None:
            raise NotImplementedError(
                f"{type(model).__name__} cannot read '{checkpoint_path}': NumPy weights need a network with a "
                'load_pretrained method.'
            )
        load_pretrained(checkpoint_path)
        return None
    state_dict = load_state_dict(checkpoint_path, use_ema, device, weights_only)
    if remap:
        state_dict = remap_state_dict(state_dict, model)
    elif filter_fn is not None:
        state_dict = filter_fn(state_dict, model)
    return assign_state_dict(model, state_dict, strict=strict, source=checkpoint_path)


def remap_state_dict(
    state_dict: Mapping[str, Tensor], model: nn.Module, allow_reshape: bool = True
) -> dict[str, Tensor]:
    """Give tensors the names of a model's, the first to the first and so on.

    Args:
        allow_reshape: Accept another shape of as many elements.

    Raises:
        ValueError: A pair does not agree in shape.
    """
    remapped: dict[str, Tensor] = {}
    own = model.state_dict()
    if len(own) != len(state_dict):
        _logger.warning('Remapping %d tensors by order to a model that has %d.', len(state_dict), len(own))
    for (name, tensor), (other, value) in zip(own.items(), state_dict.items(), strict=False):
        if tensor.shape != value.shape:
            if not allow_reshape or tensor.numel() != value.numel():
                raise ValueError(
                    f"Remapping by order fails at '{other}' {tuple(value.shape)}, which would become '{name}' "
                    f'{tuple(tensor.shape)}: the file has another order, or is of another architecture.'
                )
            value = value.reshape(tensor.shape)
        remapped[name] = value
    return remapped


def resume_checkpoint(
    model: nn.Module,
    checkpoint_path: PathLike,
    optimizer: torch.optim.Optimizer | None = None,
    loss_scaler: Any | None = None,
    log_info: bool = True,
    weights_only: bool = True,
) -> int | None:
    """Bring a model, its optimizer and its gradient scaler back to where a training checkpoint left them.

    Args:
        loss_scaler: Something with `state_dict_key` and `load_state_dict`.
        weights_only: As in `load_state_dict`.

    Returns:
        The epoch to go on with; None where the file does not say.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: It cannot be read, or does not fit the model.
    """
    checkpoint = read_weight_file(checkpoint_path, 'cpu', weights_only)
    entry, state_dict = _choose_entry(checkpoint, _PLAIN_ENTRIES, checkpoint_path)
    assign_state_dict(model, clean_state_dict(state_dict), source=checkpoint_path)
    restored = ['model']
    epoch: int | None = None
    if entry:
        if optimizer is not None and 'optimizer' in checkpoint:
            optimizer.load_state_dict(checkpoint['optimizer'])
            restored.append('optimizer')
        key = getattr(loss_scaler, 'state_dict_key', None)
        if loss_scaler is not None and key in checkpoint:
            loss_scaler.load_state_dict(checkpoint[key])
            restored.append('gradient scaler')
        epoch = checkpoint.get('epoch')
        if epoch is not None and checkpoint.get('version', 0) > 1:
            epoch += 1  # since version 2 the file names the epoch that it closes
    if log_info:
        _logger.info("Restored %s from checkpoint '%s' (next epoch: %s)", ', '.join(restored), checkpoint_path, epoch)
    return epoch
