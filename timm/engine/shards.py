# pyright: strict
"""Checkpoints in shards: a folder `step-N` to which every process of a group writes what it holds.

`manifest.json` says how far the run was and lists every file with size and SHA-256: without it there is no
checkpoint. Plain values and small tensors are in `plain.pth`. The shards are those of torch.distributed.checkpoint,
whose own index is a pickle: it is read by an unpickler that knows the classes of an index and nothing else.
"""

import hashlib
import json
import math
import pickle
import warnings
from collections.abc import Iterable, Iterator, Mapping
from enum import EnumMeta
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .exits import CheckpointError
from .files import read_plain

__all__ = [
    'MANIFEST',
    'PLAIN',
    'describe_files',
    'read_manifest',
    'read_shards',
    'split_tensors',
    'write_manifest',
    'write_shards',
]

MANIFEST, PLAIN = 'manifest.json', 'plain.pth'
_SCHEMA = 1
_INDEX = '.metadata'
_MARK = 'tensor in shards'
_METADATA = 'torch.distributed.checkpoint.metadata'
# What an index may be made of: records of torch.distributed.checkpoint, and values of torch.
_CLASSES = {
    *(
        (_METADATA, name)
        for name in (
            'Metadata',
            'TensorStorageMetadata',
            'TensorProperties',
            'ChunkStorageMetadata',
            'MetadataIndex',
            'StorageMeta',
            '_MEM_FORMAT_ENCODING',
        )
    ),
    ('torch.distributed.checkpoint.filesystem', '_StorageInfo'),
    ('pathlib', 'PosixPath'),
    ('torch', 'Size'),
    ('torch.serialization', '_get_layout'),
}


class _IndexUnpickler(pickle.Unpickler):
    """Reads an index, and refuses everything that an index does not consist of."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) == ('builtins', 'getattr'):
            return _member_of  # Python 3.11 up to 3.11.3 writes the members of an Enum so
        known = (module_name, global_name) in _CLASSES
        value: Any = getattr(import_module(module_name), global_name) if known or module_name == 'torch' else None
        if known or isinstance(value, torch.dtype):
            return value
        raise pickle.UnpicklingError(f'{module_name}.{global_name} is no part of an index')


def _member_of(enumeration: Any, name: str) -> Any:
    """A member of an Enum, and nothing else that getattr would give."""
    if not isinstance(enumeration, EnumMeta):
        raise pickle.UnpicklingError(f'{name} of {enumeration!r} is no part of an index')
    return enumeration[name]


def split_tensors(value: Any, path: str = '') -> tuple[Any, dict[str, Tensor]]:
    """Nested containers with a mark in place of each tensor, and the tensors by where they were."""
    if isinstance(value, Tensor):
        return {_MARK: path, 'sharded': hasattr(value, 'to_local')}, {path: value}
    tensors: dict[str, Tensor] = {}
    if not isinstance(value, (dict, list, tuple)):
        return value, tensors
    container: Any = value  # pyright: ignore[reportUnknownVariableType]
    items: list[tuple[Any, Any]] = list(container.items() if isinstance(value, dict) else enumerate(container))  # pyright: ignore
    plain: dict[Any, Any] = {}
    for name, inner in items:
        plain[name], found = split_tensors(inner, f'{path}/{name}' if path else str(name))
        tensors |= found
    return (plain if isinstance(value, dict) else type(container)(plain.values())), tensors


def _marks(value: Any) -> Iterator[tuple[str, bool]]:
    """Where each tensor was, and whether it was in shards."""
    if isinstance(value, dict) and _MARK in value:
        yield value[_MARK], value['sharded']
    elif isinstance(value, (dict, list, tuple)):
        container: Any = value  # pyright: ignore[reportUnknownVariableType]
        for inner in container.values() if isinstance(value, dict) else container:
            yield from _marks(inner)


def _join_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The containers with their tensors in place again."""
    if isinstance(value, dict):
        if _MARK in value:
            return tensors[value[_MARK]]
        return {name: _join_tensors(inner, tensors) for name, inner in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, (list, tuple)):
        container: Any = value  # pyright: ignore[reportUnknownVariableType]
        return type(container)(_join_tensors(inner, tensors) for inner in container)
    return value


def write_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write what this process holds of the tensors; every process of the group has to call this."""
    dcp: Any = import_module('torch.distributed.checkpoint')
    dcp.save(dict(tensors), storage_writer=dcp.FileSystemWriter(str(folder), sync_files=True))


def describe_files(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of files, as a manifest lists them."""
    return [{'name': path.name, 'size': path.stat().st_size, 'sha256': _digest(path)} for path in paths]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def read_manifest(folder: Path, verify: bool) -> dict[str, Any]:
    """The manifest of a checkpoint in shards, whose files are there and, with `verify`, unchanged.

    Raises:
        CheckpointError: It cannot be read, or a file is missing or not as it was written.
    """
    try:
        manifest: Any = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
        if manifest['schema'] != _SCHEMA:
            raise CheckpointError(f'checkpoint {folder} has schema {manifest["schema"]}; this version reads {_SCHEMA}')
        for entry in manifest['files']:
            path = folder / Path(entry['name']).name
            if not path.is_file():
                raise CheckpointError(f'checkpoint {folder} is damaged: {path.name} is missing')
            if path.stat().st_size != entry['size'] or (verify and _digest(path) != entry['sha256']):
                raise CheckpointError(f'checkpoint {folder} is damaged: {path.name} is not as it was written')
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f'checkpoint {folder} cannot be read: {MANIFEST}: {error}') from error
    return manifest


def write_manifest(folder: Path, files: list[dict[str, Any]], world_size: int, engine: Mapping[str, Any]) -> Path:
    """Write what makes a folder of shards a checkpoint; where it is."""
    place = {name: engine[name] for name in ('epoch', 'done', 'update')}
    path = folder / MANIFEST
    path.write_text(
        json.dumps({'schema': _SCHEMA, 'world': world_size, **place, 'files': files}, indent=1), encoding='utf-8'
    )
    return path


def read_shards(folder: Path, peek: bool = False, verify: bool = True, mesh: Any = None) -> dict[str, Any]:
    """The content of a checkpoint in shards.

    Args:
        peek: Read no shards: every tensor is a mark.
        verify: Read all files once more to compare their digests.
        mesh: Spread over its processes what was in shards, all of which then have to call this; None makes it whole.

    Raises:
        CheckpointError: It is damaged, or an index asks for more than an index has.
    """
    manifest = read_manifest(folder, verify and not peek)
    plain = read_plain(folder / PLAIN, key='engine')
    if peek:
        return plain
    tensors = _read_tensors(folder, manifest, dict(_marks(plain)), mesh)
    return _join_tensors(plain, tensors)


def _read_tensors(folder: Path, manifest: Mapping[str, Any], marks: Mapping[str, bool], mesh: Any) -> dict[str, Tensor]:
    dcp: Any = import_module('torch.distributed.checkpoint')
    try:
        index = _read_index(folder)
        kinds = index.state_dict_metadata
        files = {entry['name'] for entry in manifest['files']}
        if any(not hasattr(kinds.get(path), 'properties') for path in marks):
            raise CheckpointError(f'checkpoint {folder} is damaged: its index lacks a tensor')
        if any(info.relative_path not in files for info in index.storage_data.values()):
            raise CheckpointError(f'checkpoint {folder} is damaged: its index names a file that is not in the manifest')
        needed = sum(math.prod(kinds[path].size) * kinds[path].properties.dtype.itemsize for path in marks)
        if needed > sum(entry['size'] for entry in manifest['files']):
            raise CheckpointError(f'checkpoint {folder} is damaged: its index has more tensors than its files can hold')
        tensors = {
            path: _empty(kinds[path].size, kinds[path].properties.dtype, mesh if sharded else None)
            for path, sharded in marks.items()
        }
        reader = dcp.FileSystemReader(folder)
        reader.read_metadata = lambda *_args, **_options: index  # pyright: ignore[reportUnknownLambdaType]
        with warnings.catch_warnings():  # it warns of a single process, which is meant
            warnings.simplefilter('ignore', UserWarning)
            dcp.load(tensors, storage_reader=reader, no_dist=mesh is None)
    except CheckpointError:
        raise
    except Exception as error:
        reason = ' '.join(str(error).split())[:300]
        raise CheckpointError(f'checkpoint {folder} cannot be read: {reason}') from error
    return tensors


def _read_index(folder: Path) -> Any:
    with (folder / _INDEX).open('rb') as file:
        index: Any = _IndexUnpickler(file).load()
    if index.storage_meta is None:
        index.storage_meta = getattr(import_module(_METADATA), 'StorageMeta')()  # noqa: B009 - a module of any type
    return index


def _empty(size: torch.Size, dtype: torch.dtype, mesh: Any) -> Tensor:
    """Zeros to read into, along the first dimension in shards of a mesh if there is one."""
    if mesh is None:
        return torch.zeros(size, dtype=dtype)
    tensor: Any = import_module('torch.distributed.tensor')
    return tensor.zeros(*size, dtype=dtype, device_mesh=mesh, placements=[tensor.Shard(0)])
