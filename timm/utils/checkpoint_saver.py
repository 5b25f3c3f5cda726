"""Checkpoints of a training run: the last, the best ones, and recovery points, never half written."""

import argparse
import logging
import math
import operator
import os
import shutil
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from .model import get_state_dict, unwrap_model

__all__ = ['CheckpointSaver', 'load_checkpoint_metadata']

_logger = logging.getLogger(__name__)

VERSION = 2  # from version 2 on, a run resumes at the epoch after the saved one


def load_checkpoint_metadata(checkpoint_path: str) -> dict[str, Any]:
    """A training checkpoint with its weights left on disk until they are looked at.

    Raises:
        ValueError: The file holds no training checkpoint.
    """
    mapped = zipfile.is_zipfile(checkpoint_path)  # what torch wrote before 1.6 cannot be mapped
    with torch.serialization.safe_globals([argparse.Namespace]):
        checkpoint = torch.load(checkpoint_path, map_location='cpu', weights_only=True, mmap=mapped)
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{checkpoint_path} holds a {type(checkpoint).__name__}, not a training checkpoint.')
    return checkpoint


def _sync_folder(folder: Path) -> None:
    """Let a rename in `folder` survive a power cut, where the system has a way to."""
    if os.name == 'posix':
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class CheckpointSaver:
    """Writes last.pth.tar every epoch, keeps the best of them, and alternates two recovery points within an epoch.

    A file gets its name only once it is complete and on disk, and nothing is removed before: when writing fails, the
    error goes to the caller, every file there is whole, and the history is as it was.

    Args:
        args: Options of the run, saved with it; `args.model` names the architecture.
        model_ema: Average that is saved with the model.
        amp_scaler: Scaler whose state is saved under its `state_dict_key`.
        decreasing: A smaller metric is better.
        max_history: How many of the best epochs to keep.
        unwrap_fn: Finds the model inside wrappers.
        task: Takes the place of `model` and `model_ema`.

    Raises:
        ValueError: `max_history` is below 1.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        args: Any = None,
        model_ema: Any = None,
        amp_scaler: Any = None,
        checkpoint_prefix: str = 'checkpoint',
        recovery_prefix: str = 'recovery',
        checkpoint_dir: str = '',
        recovery_dir: str = '',
        decreasing: bool = False,
        max_history: int = 10,
        unwrap_fn: Callable[[Any], nn.Module] = unwrap_model,
        task: Any = None,
    ) -> None:
        if max_history < 1:
            raise ValueError(f'max_history={max_history} is not allowed: keep at least 1.')
        # what is saved
        self.model, self.model_ema, self.task = model, model_ema, task
        self.optimizer, self.amp_scaler, self.args = optimizer, amp_scaler, args
        self.unwrap_fn = unwrap_fn
        # where, and under which names
        self.checkpoint_dir, self.save_prefix = checkpoint_dir, checkpoint_prefix
        self.recovery_dir, self.recovery_prefix = recovery_dir, recovery_prefix
        self.extension = '.pth.tar'
        self.can_hardlink = True
        # what is kept: (path, metric), best first
        self.max_history = max_history
        self.decreasing = decreasing
        self.cmp = operator.lt if decreasing else operator.gt
        self.checkpoint_files: list[tuple[str, float | None]] = []
        self.best_metric: float | None = None
        self.best_epoch: int | None = None
        self.prev_recovery_file = ''
        self.curr_recovery_file = ''

    def save_checkpoint(self, epoch: int, metric: float | None = None) -> tuple[float | None, int | None]:
        """Write the last checkpoint, keep it when it is among the best; returns the best metric and its epoch."""
        last = self._checkpoint_path('last')
        self._save(last, epoch, metric)
        kept = self._checkpoint_path(f'{self.save_prefix}-{epoch}')
        ranking = self._ranked(str(kept), metric)
        if any(name == str(kept) for name, _ in ranking):
            self._duplicate(last, kept)
        if self._is_better(metric):
            self._duplicate(last, self._checkpoint_path('model_best'))
        self._accept(ranking, epoch, metric)
        _logger.info('Checkpoints, best first:\n%s', '\n'.join(f' {name} {m}' for name, m in self.checkpoint_files))
        return (None, None) if self.best_metric is None else (self.best_metric, self.best_epoch)

    def save_milestone(self, completed_epochs: int) -> str:
        """Keep the last checkpoint for good as that of `completed_epochs`; returns its path, '' without one."""
        last = self._checkpoint_path('last')
        if not last.exists():
            return ''
        milestone = self._checkpoint_path(f'milestone-{completed_epochs}')
        self._duplicate(last, milestone)
        return str(milestone)

    def save_recovery(self, epoch: int, batch_idx: int = 0) -> None:
        """Write a point to resume from within an epoch; the one before the last is removed."""
        path = Path(self.recovery_dir) / f'{self.recovery_prefix}-{epoch}-{batch_idx}{self.extension}'
        self._save(path, epoch)
        if self.prev_recovery_file and self.prev_recovery_file != str(path):
            _remove(self.prev_recovery_file)
        self.prev_recovery_file = self.curr_recovery_file
        self.curr_recovery_file = str(path)

    def find_recovery(self) -> str:
        """Path of the newest recovery point, '' when there is none."""
        found: list[tuple[int, int, str]] = []
        for path in Path(self.recovery_dir).glob(f'{self.recovery_prefix}-*{self.extension}'):
            numbers = path.name[len(self.recovery_prefix) + 1 : -len(self.extension)].split('-')
            if len(numbers) == 2 and all(number.isdigit() for number in numbers):
                found.append((int(numbers[0]), int(numbers[1]), str(path)))
        return max(found)[2] if found else ''

    def state_dict(self, epoch: int | None = None, metric: float | None = None) -> dict[str, Any]:
        """What was kept so far; a checkpoint that is only being written is `pending`."""
        return {
            'checkpoint_files': [(Path(name).name, m) for name, m in self.checkpoint_files],
            'best_epoch': self.best_epoch,
            'best_metric': self.best_metric,
            'pending': (epoch, metric),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with what was kept, as far as the files are still there."""
        folder = Path(self.checkpoint_dir)
        self.checkpoint_files = [
            (str(folder / name), m) for name, m in state_dict['checkpoint_files'] if (folder / name).exists()
        ]
        self.best_epoch = state_dict['best_epoch']
        self.best_metric = state_dict['best_metric']
        epoch, metric = state_dict.get('pending', (None, None))
        if epoch is not None:
            kept = self._checkpoint_path(f'{self.save_prefix}-{epoch}')
            listed = any(name == str(kept) for name, _ in self.checkpoint_files)
            ranking = self._ranked(str(kept), metric) if kept.exists() and not listed else self.checkpoint_files
            self._accept(ranking, epoch, metric)

    def load_state_dict_from_checkpoint(self, checkpoint_path: str) -> bool:
        """`load_state_dict` from what a checkpoint of this saver holds; False when it holds nothing of it."""
        state = load_checkpoint_metadata(checkpoint_path).get('saver')
        if state is None:
            return False
        self.load_state_dict(state)
        return True

    def _checkpoint_path(self, stem: str) -> Path:
        return Path(self.checkpoint_dir) / f'{stem}{self.extension}'

    def _save(self, save_path: str | Path, epoch: int, metric: float | None = None) -> None:
        self._write(Path(save_path), self._content(epoch, metric))

    def _content(self, epoch: int, metric: float | None) -> dict[str, Any]:
        """Everything that goes into a file."""
        model_name = getattr(self.args, 'model', None) or type(self.model).__name__.lower()
        content: dict[str, Any] = {
            'epoch': epoch,
            'arch': model_name,
            'optimizer': self.optimizer.state_dict(),
            'version': VERSION,
        }
        if self.args is not None:
            content['args'] = self.args
        if self.amp_scaler is not None:
            content[self.amp_scaler.state_dict_key] = self.amp_scaler.state_dict()
        content.update(self._weights())
        if metric is not None:
            content['metric'] = metric
        content['saver'] = self.state_dict(epoch, metric)
        return content

    def _weights(self) -> dict[str, Any]:
        """State dicts of the model and its average."""
        if self.task is None:
            weights = {'state_dict': get_state_dict(self.model, self.unwrap_fn)}
            if self.model_ema is not None:
                weights['state_dict_ema'] = get_state_dict(self.model_ema, self.unwrap_fn)
            return weights
        weights = self.task.get_checkpoint_state(unwrap_fn=self.unwrap_fn)
        if self.task.has_ema():
            weights.update(self.task.get_checkpoint_state(ema=True, unwrap_fn=self.unwrap_fn))
        return weights

    def _is_better(self, metric: float | None) -> bool:
        if metric is None or math.isnan(metric):
            return False
        return self.best_metric is None or self.cmp(metric, self.best_metric)

    def _ranked(self, name: str, metric: float | None) -> list[tuple[str, float | None]]:
        """The history with a new entry, cut to its length: best first, unmeasured ones last and the newest first."""

        def rank(entry: tuple[str, float | None]) -> tuple[bool, float]:
            value = entry[1]
            if value is None or math.isnan(value):
                return True, 0.0
            return False, value if self.decreasing else -value

        rest = [entry for entry in self.checkpoint_files if entry[0] != name]
        unmeasured = metric is None or math.isnan(metric)
        ranking = sorted([(name, metric), *rest] if unmeasured else [*rest, (name, metric)], key=rank)
        return ranking[: self.max_history]

    def _accept(self, ranking: list[tuple[str, float | None]], epoch: int, metric: float | None) -> None:
        """Make `ranking` the history, remove the files that dropped out, and note a new best."""
        kept = {name for name, _ in ranking}
        for name, _ in self.checkpoint_files:
            if name not in kept:
                _remove(name)
        self.checkpoint_files = ranking
        if self._is_better(metric):
            self.best_epoch, self.best_metric = epoch, metric

    def _scratch(self, folder: Path) -> Path:
        return folder / f'tmp-{uuid.uuid4().hex}{self.extension}'

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        """Save to another name in the same folder, see it through to the disk, then rename."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._scratch(path.parent)
        try:
            with scratch.open('wb') as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def _duplicate(self, source: Path, path: Path) -> None:
        """Give the file a second name, or make a copy where that cannot be, replacing `path` in one step."""
        scratch = self._scratch(path.parent)
        try:
            if not self._link(source, scratch):
                shutil.copyfile(source, scratch)
                with scratch.open('rb') as file:
                    os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def _link(self, source: Path, path: Path) -> bool:
        if self.can_hardlink:
            try:
                path.hardlink_to(source)
            except OSError:
                self.can_hardlink = False  # this file system has none
        return self.can_hardlink


def _remove(name: str) -> None:
    """Remove a file; one that cannot be removed is in nobody's way."""
    try:
        Path(name).unlink(missing_ok=True)
    except OSError as error:
        _logger.warning('%s could not be removed: %s', name, error)
