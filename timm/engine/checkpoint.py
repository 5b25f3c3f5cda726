# pyright: strict
"""Checkpoint files: written aside, checked, renamed; a kill at any instant leaves the files before or the files after.

A file is one `.pth.tar` of tensors, plain values and an `argparse.Namespace`, readable with `weights_only=True`.
"""

import argparse
import contextlib
import logging
import os
import shutil
import uuid
import weakref
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .exits import CheckpointError, FolderInUse, StorageError, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ['StateStore', 'newest_sound', 'read_checkpoint', 'replace_file', 'write_checkpoint']

_logger = logging.getLogger(__name__)
_SUFFIX = '.pth.tar'


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut, where the system offers that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _broken_member(path: Path) -> str | None:
    """What is wrong with a zip file: the name of the first damaged member, or the reason it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, OSError) as error:
        return str(error)


def replace_file(path: Path, source: Path) -> None:
    """Let `path` be the content of `source`, a file in the same folder, in one step and without copying if possible."""
    aside = source.with_name(f'tmp-{uuid.uuid4().hex}{_SUFFIX}')
    try:
        os.link(source, aside)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, aside)
    aside.replace(path)


def write_checkpoint(paths: Iterable[Path], payload: Mapping[str, Any]) -> None:
    """Write `payload` once and give it each of the names, which lie in one folder.

    Raises:
        StorageError: The disk is full, or the file cannot be written or read back.
    """
    paths = list(paths)
    folder = paths[0].parent
    aside = folder / f'tmp-{uuid.uuid4().hex}{_SUFFIX}'
    try:
        with aside.open('wb') as file:
            torch.save(dict(payload), file)
            file.flush()
            os.fsync(file.fileno())
        damage = _broken_member(aside)
        if damage is not None:
            raise StorageError(f'{paths[0]} could not be read back after writing: {damage}')
        for path in paths:
            replace_file(path, aside)
        _sync_folder(folder)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        free = shutil.disk_usage(folder).free
        raise StorageError(f'cannot write {paths[0]}: {error} ({free / 2**20:.0f} MiB are free there)') from error
    finally:
        aside.unlink(missing_ok=True)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a training checkpoint, on the CPU.

    Raises:
        UsageError: There is no such file.
        CheckpointError: It is damaged, needs more than plain data to be read, or holds no model.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f'there is no checkpoint {path}')
    if zipfile.is_zipfile(path):
        damage = _broken_member(path)
        if damage is not None:
            raise CheckpointError(f'checkpoint {path} is damaged: {damage}')
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            state: Any = torch.load(path, map_location='cpu', weights_only=True)  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:
        reason = ' '.join(str(error).split())[:160]
        raise CheckpointError(f'checkpoint {path} cannot be read: {reason}') from error
    if not isinstance(state, dict) or 'state_dict' not in state:
        raise CheckpointError(f'{path} is no training checkpoint: it has no "state_dict"')
    return state  # pyright: ignore[reportUnknownVariableType]


def newest_sound(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint of a folder that is furthest on, and its content; damaged ones are reported and passed over."""
    last = folder / f'last{_SUFFIX}'
    best: tuple[Path, dict[str, Any]] | None = None
    last_is_sound = False
    for path in (last, *sorted(folder.glob(f'recovery-*{_SUFFIX}')), *sorted(folder.glob(f'checkpoint-*{_SUFFIX}'))):
        if not path.is_file() or (path.name.startswith('checkpoint-') and last_is_sound):
            continue  # `last` is at least as far on as every other end of an epoch
        try:
            state = read_checkpoint(path)
        except CheckpointError as error:
            _logger.warning('%s; passed over', error)
            continue
        last_is_sound |= path == last
        if best is None or _position(state) > _position(best[1]):
            best = path, state
    return best


def _position(state: Mapping[str, Any]) -> tuple[int, int]:
    """How far a checkpoint is: the epoch that comes next, and the updates of it that are made already."""
    engine: Mapping[str, Any] = state.get('engine', {})
    return engine.get('epoch', state.get('epoch', -1) + 1), engine.get('done', 0)


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every number in floating-point tensors is one."""
    checks = [t.isfinite().all() for t in tensors if t.is_floating_point()]
    return not checks or bool(torch.stack([c.cpu() for c in checks]).all().item())


class StateStore:
    """The checkpoints of one run: the last, the best, and the best few by metric.

    Args:
        keep: How many `checkpoint-N` files stay; those with the best metric.
        decreasing: Whether a smaller metric is better.
    """

    def __init__(self, folder: Path, keep: int = 10, decreasing: bool = False) -> None:
        self.folder = folder
        self.keep = max(keep, 1)
        self.decreasing = decreasing
        self.kept: list[tuple[str, float]] = []
        self.best_epoch: int | None = None
        self.best_metric: float | None = None
        self.recovery: list[Path] = []

    def acquire(self) -> None:
        """Keep the folder for this run as long as the store lives, where the system has file locks.

        Raises:
            FolderInUse: Another run has it.
            StorageError: It cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / '.lock').open('wb')
            weakref.finalize(self, lock.close)
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f'another run is writing to {self.folder}: choose another --experiment') from None
        except OSError as error:
            raise StorageError(f'cannot write to output folder {self.folder}: {error.strerror}') from error

    def _rank(self, metric: float) -> float:
        """A number that is larger for a better metric; something that is no number is worst."""
        value = -metric if self.decreasing else metric
        return value if value == value else float('-inf')

    def record(self, epoch: int, metric: float) -> dict[str, Any]:
        """What a checkpoint keeps of its predecessors, so that a resumed run ranks as if it had not stopped."""
        return {
            'checkpoint_files': list(self.kept),
            'best_epoch': self.best_epoch,
            'best_metric': self.best_metric,
            'pending': (epoch, metric),
        }

    def restore(self, record: Mapping[str, Any] | None) -> None:
        """Take up the record of a checkpoint; files that have gone meanwhile are left out."""
        if not record:
            return
        self.kept = [(name, metric) for name, metric in record['checkpoint_files'] if (self.folder / name).is_file()]
        self.best_epoch, self.best_metric = record['best_epoch'], record['best_metric']
        if record['pending'] is not None:
            self._rank_in(*record['pending'])

    def _rank_in(self, epoch: int, metric: float) -> tuple[bool, list[str]]:
        """Enter a checkpoint in the list: whether it is the best, and the names that fall out."""
        best = self.best_metric is None or self._rank(metric) > self._rank(self.best_metric)
        if best:
            self.best_epoch, self.best_metric = epoch, metric
        name = f'checkpoint-{epoch}{_SUFFIX}'
        kept = [entry for entry in self.kept if entry[0] != name]
        kept = sorted([*kept, (name, metric)], key=lambda entry: self._rank(entry[1]), reverse=True)
        self.kept, dropped = kept[: self.keep], kept[self.keep :]
        return best, [name for name, _ in dropped]

    def commit(self, payload: Mapping[str, Any], epoch: int, metric: float) -> None:
        """Write the state after an epoch as `last`, as one of the best if it is, then drop what falls out.

        Raises:
            StorageError: It could not be written; the files before are all still there.
        """
        payload = {**payload, 'metric': metric, 'saver': self.record(epoch, metric)}
        best, dropped = self._rank_in(epoch, metric)
        name = f'checkpoint-{epoch}{_SUFFIX}'
        names = [] if name in dropped else [name]
        names += [f'last{_SUFFIX}'] + ([f'model_best{_SUFFIX}'] if best else [])
        write_checkpoint([self.folder / name for name in names], payload)
        for old in dropped:
            (self.folder / old).unlink(missing_ok=True)

    def commit_recovery(self, payload: Mapping[str, Any], epoch: int, done: int) -> Path:
        """Write the state after `done` updates of an epoch, and leave the newest two of such files.

        Raises:
            StorageError: It could not be written; the files before are all still there.
        """
        path = self.folder / f'recovery-{epoch}-{done}{_SUFFIX}'
        write_checkpoint([path], {**payload, 'saver': {**self.record(epoch, 0.0), 'pending': None}})
        self.recovery = [*(old for old in self.recovery if old != path), path]
        for old in self.recovery[:-2]:
            old.unlink(missing_ok=True)
        self.recovery = self.recovery[-2:]
        return path
