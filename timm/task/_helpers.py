"""Checkpoints of tasks: resuming a run, and loading its average."""

import argparse
import logging
import zipfile
from typing import Any

import torch
from torch.optim import Optimizer

from timm.models._helpers import clean_state_dict

from .task import TrainingTask

__all__ = ['load_task_ema_checkpoint', 'resume_task_checkpoint']

_logger = logging.getLogger(__name__)


def _read(checkpoint_path: str, weights_only: bool) -> dict[str, Any]:
    """Contents of a training checkpoint, with plain weights, or those it calls `model`, as its `state_dict`."""
    with torch.serialization.safe_globals([argparse.Namespace]):
        checkpoint = torch.load(
            checkpoint_path, map_location='cpu', weights_only=weights_only, mmap=zipfile.is_zipfile(checkpoint_path)
        )
    if 'state_dict' in checkpoint:
        return checkpoint
    if isinstance(checkpoint.get('model'), dict):
        return {**checkpoint, 'state_dict': checkpoint['model']}
    return {'state_dict': checkpoint}


def resume_task_checkpoint(
    task: TrainingTask,
    checkpoint_path: str,
    optimizer: Optimizer | None = None,
    loss_scaler: Any = None,
    log_info: bool = True,
    weights_only: bool = True,
) -> int | None:
    """Take over weights and states from a checkpoint; returns the epoch to go on with, None from plain weights.

    Args:
        optimizer: Takes its state too, if given.
        loss_scaler: Takes the state saved under its `state_dict_key`, if given.
        weights_only: Read nothing that could run code.
    """
    checkpoint = _read(checkpoint_path, weights_only)
    task.load_checkpoint_state(clean_state_dict(checkpoint['state_dict']), checkpoint.get('task_state'))
    if optimizer is not None and 'optimizer' in checkpoint:
        optimizer.load_state_dict(checkpoint['optimizer'])
    if loss_scaler is not None and loss_scaler.state_dict_key in checkpoint:
        loss_scaler.load_state_dict(checkpoint[loss_scaler.state_dict_key])
    epoch = checkpoint.get('epoch')
    if epoch is not None and checkpoint.get('version', 1) > 1:
        epoch += 1  # what is saved is the epoch that was finished
    if log_info:
        _logger.info('Loaded %s, epoch %s.', checkpoint_path, checkpoint.get('epoch'))
    return epoch


def load_task_ema_checkpoint(task: TrainingTask, checkpoint_path: str, weights_only: bool = True) -> None:
    """Take over the average from a checkpoint, or the weights where it has none.

    Raises:
        ValueError: The task has no average.
    """
    checkpoint = _read(checkpoint_path, weights_only)
    suffix = '_ema' if 'state_dict_ema' in checkpoint else ''
    if not suffix:
        _logger.warning('%s has no average: its weights are taken for it.', checkpoint_path)
    task.load_checkpoint_state(
        clean_state_dict(checkpoint[f'state_dict{suffix}']), checkpoint.get(f'task_state{suffix}'), ema=True
    )
