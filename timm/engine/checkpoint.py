# pyright: strict
"""Checkpoint files: written aside, checked, renamed; a kill at any instant leaves the files before or the files after.

A file is one `.pth.tar` of tensors, plain values and an `argparse.Namespace`, readable with `weights_only=True`. A
folder `step-N` is the same in shards (see `timm.engine.shards`).
"""

import contextlib
import logging
import os
import re
import shutil
import uuid
import zipfile
from collections.abc import Generator, Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import torch

from .exits import CheckpointError, RunError, StorageError, UsageError
from .files import SUFFIX, broken_member, read_plain, replace_file, require_room, sync_folder
from .shards import read_manifest, read_shards

__all__ = ['newest_sound', 'position_of', 'read_checkpoint', 'set_aside', 'trained_classes', 'write_checkpoint']

_logger = logging.getLogger(__name__)


def write_checkpoint(paths: Iterable[Path], payload: Mapping[str, Any]) -> None:
    """Write `payload` once and give it each of the names, which lie in one folder.

    Raises:
        StorageError: The disk is full, or the file cannot be written or read back.
    """
    paths = list(paths)
    folder = paths[0].parent
    aside = folder / f'tmp-{uuid.uuid4().hex}{SUFFIX}'
    try:
        require_room(paths[0], payload)
        with aside.open('wb') as file:
            torch.save(dict(payload), file)
            file.flush()
            os.fsync(file.fileno())
        damage = broken_member(aside)
        if damage is not None:
            raise StorageError(f'{paths[0]} could not be read back after writing: {damage}')
        for path in paths:
            replace_file(path, aside)
        sync_folder(folder)
    except (OSError, RuntimeError) as error:
        raise StorageError(f'cannot write {paths[0]}: {_reason(error)} ({_free(folder)})') from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    """What went wrong, in the words of the system where torch has others: of a full disk it says 'unexpected pos'."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause.strerror or str(cause)
        cause = cause.__cause__ or cause.__context__
    return ' '.join(str(error).split())


def _free(folder: Path) -> str:
    try:
        return f'{shutil.disk_usage(folder).free / 2**20:.0f} MiB are free there'
    except OSError as error:
        return f'{folder}: {error.strerror}'


def read_checkpoint(path: str | Path, peek: bool = False) -> dict[str, Any]:
    """The content of a training checkpoint, on the CPU.

    Args:
        peek: Read and check no tensors, to find out where the run stood: what comes back must not outlive the file.

    Raises:
        UsageError: There is no such file.
        CheckpointError: It is damaged, needs more than plain data to be read, or holds no model.
    """
    path = Path(path)
    if path.is_dir():
        return read_shards(path, peek=peek)
    if not path.is_file():
        raise UsageError(f'there is no checkpoint {path}')
    zipped = zipfile.is_zipfile(path)
    damage = broken_member(path) if zipped and not peek else None
    if damage is not None:
        raise CheckpointError(f'checkpoint {path} is damaged: {damage}')
    return read_plain(path, mmap=peek and zipped)


def trained_classes(path: str | Path) -> dict[str, int]:
    """The classes that the checkpoint of a training names, with their indices; none of other files, and of ''."""
    try:
        state = read_checkpoint(path, peek=True) if path else {}
    except RunError:  # weights alone; whoever loads them says what is wrong with them
        return {}
    data: Mapping[str, Any] = state.get('engine', {}).get('data') or {}
    return {str(name): int(index) for name, index in data.get('classes', {}).items()}


def newest_sound(folder: Path, whole: bool = True) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint of a folder that is furthest on, and its content; damaged ones are reported and passed over.

    Args:
        whole: Read what is in shards as well, and do not only check it.

    Raises:
        CheckpointError: There are some, and none is sound.
    """
    found = _checkpoints(folder)
    places = places_of(found)
    for path in sorted(places, key=lambda path: places[path], reverse=True):
        with _passing_over():
            if path.is_dir() and not whole:
                read_manifest(path, verify=True)
            return path, read_checkpoint(path, peek=path.is_dir() and not whole)
    if found:
        raise CheckpointError(f'none of the {len(found)} checkpoints in {folder} is sound: {found[0].name} is one')
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """All checkpoints of a folder, those that are the newest of most folders first."""
    patterns = [f'{kind}{SUFFIX}' for kind in ('last', 'model_best', 'recovery-*', 'checkpoint-*')]
    files = [path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()]
    return files + sorted(path.parent for path in folder.glob('step-*/manifest.json'))


def places_of(paths: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """How far each checkpoint is; damaged ones are reported and left out."""
    places: dict[Path, tuple[int, int]] = {}
    for path in paths:
        with _passing_over():
            places[path] = position_of(path, read_checkpoint(path, peek=True))
    return places


def set_aside(folder: Path, place: tuple[int, int]) -> Path | None:
    """Move the checkpoints that are further on than `place`, which another run has left, to a folder of their own.

    They would be taken for the newest of the run that begins at `place`. Where they are now; None if there are none.
    """
    further = [path for path, reached in places_of(_checkpoints(folder)).items() if reached > place]
    if not further:
        return None
    earlier = next(path for i in count(1) if not (path := folder / f'earlier-{i}').exists())
    earlier.mkdir()
    for path in further:
        path.rename(earlier / path.name)
    for path in folder.iterdir():
        if path.is_symlink() and not path.exists():
            path.rename(earlier / path.name)  # a name of one of these
    sync_folder(folder)
    return earlier


@contextlib.contextmanager
def _passing_over() -> Generator[None]:
    try:
        yield
    except CheckpointError as error:
        _logger.warning('%s; passed over', error)


def position_of(path: str | Path, state: Mapping[str, Any]) -> tuple[int, int]:
    """How far a checkpoint is: the epoch that comes next or is under way, and the updates of it that are made.

    A file that another program wrote within an epoch has the updates in its name alone: recovery-EPOCH-INDEX, with the
    index of the last one.
    """
    engine: Mapping[str, Any] = state.get('engine', {})
    if 'epoch' in engine:
        return engine['epoch'], engine['done']
    within = re.match(r'recovery-(\d+)-(\d+)\.', Path(path).name)
    if within:
        return int(within[1]), int(within[2]) + 1
    if 'epoch' not in state:
        return 0, 0
    return int(state['epoch']) + (state.get('version', 1) > 1), 0
