# pyright: strict
"""Training in shards (FSDP2, `torch.distributed.fsdp.fully_shard`): the model block by block, and its checkpoints."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from timm.task import TrainingTask

from .distributed import World
from .exits import StorageError, UsageError
from .files import local_part, require_room, sync_folder, tensors_in
from .shards import MANIFEST, PLAIN, describe_files, split_tensors, write_manifest, write_shards
from .store import StateStore

__all__ = ['ShardedStore', 'blocks_of', 'check_optimizer', 'make_mesh', 'shard_task']


def make_mesh(world: World) -> Any:
    """All processes in a row."""
    mesh: Any = import_module('torch.distributed.device_mesh')
    return mesh.init_device_mesh(world.device.type, (world.size,))


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The repeated parts of a network: what lies in a list whose parts are of one kind, and in no such list itself."""
    found: list[nn.Module] = []
    for module in model.children():
        inner = blocks_of(module)
        parts = [part for part in module.children() if any(True for _ in part.parameters())]
        alike = isinstance(module, (nn.Sequential, nn.ModuleList)) and len({type(part) for part in parts}) == 1
        found += inner or (parts if alike and any(True for part in parts for _ in part.children()) else [])
    return found


def shard_task(task: TrainingTask, mesh: Any) -> None:
    """Leave each process of a mesh its share of every parameter of the model, and of its average alike."""
    fsdp: Any = import_module('torch.distributed.fsdp')
    modules: list[Any] = [task.get_trainable_module()]
    if task.has_ema():
        modules.append(task.trainable_module_ema.module)
    for module in modules:
        for block in blocks_of(module):
            fsdp.fully_shard(block, mesh=mesh)
        fsdp.fully_shard(module, mesh=mesh, reshard_after_forward=True)


def check_optimizer(optimizer: Optimizer, name: str) -> None:
    """Refuse an optimizer that would take a shard for a whole parameter.

    Raises:
        UsageError: It is none of torch's own, which know shards.
    """
    if not type(optimizer).__module__.startswith('torch.optim.'):
        raise UsageError(f'--fsdp goes with the optimizers of torch, such as sgd, adamw or rmsprop, not with {name!r}')


class ShardedStore(StateStore):
    """A `StateStore` of folders: `step-N` for each checkpoint, and the names of the files as links to it.

    Every process of the world has one, and all of them have to commit.
    """

    suffix = ''

    def __init__(self, folder: Path, world: World, keep: int = 10, decreasing: bool = False) -> None:
        super().__init__(folder, keep, decreasing)
        self.world = world

    def write(self, names: list[str], payload: Mapping[str, Any]) -> None:
        """Write a checkpoint aside, with every process its part, check, rename, then let the names be links to it."""
        plain, tensors = split_tensors(dict(payload))
        aside = self.folder / self.world.share(f'tmp-{uuid.uuid4().hex}')
        try:
            self._together(names[0], self._prepare, aside, payload)
            self._together(names[0], write_shards, aside, tensors)
            own = sorted(aside.glob(f'__{self.world.rank}_*'))
            listed = [entry for found in self.world.gather(describe_files(own)) for entry in found]
            self._together(names[0], self._finish, aside, names, plain, listed)
        finally:
            if self.world.primary:
                shutil.rmtree(aside, ignore_errors=True)

    def _together(self, name: str, action: Callable[..., None], *arguments: Any) -> None:
        """Let every process act; if one fails, all do, so that none waits for another."""
        problem = ''
        try:
            action(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is has to reach the others
            problem = ' '.join(str(error).split())[:300] or type(error).__name__
        problems = [text for text in self.world.gather(problem) if text]
        if problems:
            raise StorageError(f'cannot write {self.folder / name}: {problems[0]}')

    def _prepare(self, aside: Path, payload: Mapping[str, Any]) -> None:
        shares = [local_part(tensor) for tensor in tensors_in(payload)]
        require_room(aside, shares * (self.world.size if self.world.primary else 1))
        if self.world.primary:
            aside.mkdir()

    def _finish(self, aside: Path, names: list[str], plain: Any, listed: list[dict[str, Any]]) -> None:
        """Write the manifest, and make the folder a checkpoint with these names; the first process alone."""
        if not self.world.primary:
            return
        with (aside / PLAIN).open('wb') as file:
            torch.save(plain, file)
        listed += describe_files([aside / PLAIN, aside / '.metadata'])
        write_manifest(aside, listed, self.world.size, plain['engine'])
        for name in (PLAIN, MANIFEST, '.metadata'):
            with (aside / name).open('rb+') as file:
                os.fsync(file.fileno())
        sync_folder(aside)
        target = self._free_name(plain['engine']['update'])
        aside.rename(target)
        sync_folder(self.folder)
        for name in names:
            self._link(name, target)
        sync_folder(self.folder)
        self._collect(target)

    def _free_name(self, update: int) -> Path:
        """A name that no checkpoint has: an update may be saved within an epoch and at its end."""
        target, count = self.folder / f'step-{update}', 1
        while target.exists():
            count += 1
            target = self.folder / f'step-{update}.{count}'
        return target

    def _link(self, name: str, target: Path) -> None:
        """Let a name be a link to a checkpoint, in one step; where there are no links, `step-N` is all there is."""
        with contextlib.suppress(OSError):
            aside = self.folder / f'tmp-{uuid.uuid4().hex}'
            aside.symlink_to(target.name, target_is_directory=True)
            aside.replace(self.folder / name)

    def drop(self, name: str) -> None:
        """Remove a name, and the checkpoints that have none left."""
        if self.world.primary:
            super().drop(name)
            self._collect()

    def _collect(self, spared: Path | None = None) -> None:
        """Remove the folders that no link leads to."""
        targets = {path.resolve() for path in self.folder.iterdir() if path.is_symlink()}
        if not targets:
            return
        for path in self.folder.glob('step-*'):
            if path.is_dir() and path != spared and path.resolve() not in targets:
                aside = path.with_name(f'tmp-{uuid.uuid4().hex}')
                path.rename(aside)  # a folder that is half removed is not to be taken for a checkpoint
                shutil.rmtree(aside, ignore_errors=True)
