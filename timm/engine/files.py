# pyright: strict
"""Files of a run on the disk: synced, linked, measured, and read back as plain data."""

import argparse
import contextlib
import os
import shutil
import struct
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .exits import CheckpointError, StorageError

__all__ = [
    'SUFFIX',
    'all_finite',
    'broken_member',
    'local_part',
    'read_plain',
    'replace_file',
    'require_room',
    'sync_folder',
    'tensors_in',
]

SUFFIX = '.pth.tar'
_MARGIN = 1.2  # free space wanted, over the bytes of the tensors


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut, where the system offers that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# What zipfile is known to raise on files whose directory is garbled.
_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    ValueError,
    RuntimeError,
    EOFError,
    OverflowError,
    MemoryError,
)


def broken_member(path: Path) -> str | None:
    """What is wrong with a zip file: the name of the first damaged member, or the reason it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except _FAULTS as error:
        return str(error) or type(error).__name__


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested mappings, lists and tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():  # pyright: ignore[reportUnknownVariableType]
            yield from tensors_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:  # pyright: ignore[reportUnknownVariableType]
            yield from tensors_in(inner)


def require_room(path: Path, payload: Any) -> None:
    """Refuse to begin a write that the disk has no room for.

    Raises:
        StorageError: Less is free than the tensors of `payload` and a fifth more.
    """
    needed = _MARGIN * sum(t.numel() * t.element_size() for t in tensors_in(payload))
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise StorageError(
            f'cannot write {path}: {needed / 2**20:.1f} MiB are needed and {free / 2**20:.1f} MiB are free'
        )


def replace_file(path: Path, source: Path) -> None:
    """Let `path` be the content of `source`, a file in the same folder, in one step and without copying if possible."""
    aside = source.with_name(f'tmp-{uuid.uuid4().hex}{SUFFIX}')
    try:
        try:
            os.link(source, aside)
        except OSError:  # a file system without hard links
            shutil.copyfile(source, aside)
            with aside.open('rb+') as file:
                os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def read_plain(path: Path, mmap: bool = False, key: str = 'state_dict') -> dict[str, Any]:
    """A file of tensors, plain values and a `Namespace`, which has to have `key`."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            state: Any = torch.load(path, map_location='cpu', weights_only=True, mmap=mmap)  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:
        reason = ' '.join(str(error).split())[:160]
        raise CheckpointError(f'checkpoint {path} cannot be read: {reason}') from error
    if not isinstance(state, dict) or key not in state:
        raise CheckpointError(f'{path} is no training checkpoint: it has no "{key}"')
    return state  # pyright: ignore[reportUnknownVariableType]


def local_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor: all of it, or its shard."""
    to_local: Any = getattr(tensor, 'to_local', None)
    return tensor if to_local is None else to_local()


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every number in floating-point tensors is one, as far as this process holds them."""
    checks = [local_part(t).isfinite().all() for t in tensors if t.is_floating_point()]
    return not checks or bool(torch.stack([c.cpu() for c in checks]).all().item())
