# pyright: strict
"""The processes of a run: who this one is, where it computes, and the few things all of them decide together."""

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from timm.utils.distributed import world_info_from_env

from .exits import UsageError, nearest

__all__ = ['World', 'join_world', 'pick_device']

_logger = logging.getLogger(__name__)
_TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True)
class World:
    """One process among `size`; with one process nothing is ever communicated.

    Attributes:
        device: Where this process computes.
        rank: Its number among all processes.
        local_rank: Its number on this machine.
        size: How many processes there are.
    """

    device: torch.device
    rank: int = 0
    local_rank: int = 0
    size: int = 1

    @property
    def primary(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def agree(self, flag: bool) -> bool:
        """Whether any process says yes; every process has to ask."""
        if self.size == 1:
            return flag
        answer = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(answer, dist.ReduceOp.MAX)
        return bool(answer.item())

    def mean(self, value: float) -> float:
        """The mean of a number over the processes; every process has to ask."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64 if self.device.type != 'mps' else None, device=self.device)
        dist.all_reduce(total)
        return float(total.item()) / self.size


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """The device of that name; the CPU in place of an accelerator that is not there.

    Raises:
        UsageError: No kind of device has that name, or the index is beyond the devices there are.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f'unknown device {name!r}{nearest(name, ("cpu", "cuda", "mps", "xpu"))}') from None
    if device.type in ('cpu', 'meta'):
        return device
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None or found.type != device.type:
        _logger.info('no %s device here, computing on the CPU', device.type)
        return torch.device('cpu')
    count = torch.accelerator.device_count()
    if (device.index or 0) >= count:
        raise UsageError(f'device {name!r} is not there: this machine has {count} of the kind')
    return torch.device(device.type, device.index if ':' in name else local_rank % count)


@contextmanager
def join_world(device: str) -> Generator[World]:
    """The world of this run: the processes that torchrun or SLURM started, or this one alone."""
    local_rank, rank, size = world_info_from_env()
    place = pick_device(device, local_rank)
    if place.type not in ('cpu', 'mps'):
        torch.accelerator.set_device_index(place)
    if size == 1:
        yield World(place)
        return
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', '29500')
    dist.init_process_group(dist.get_default_backend_for_device(place), rank=rank, world_size=size, timeout=_TIMEOUT)
    try:
        yield World(place, rank, local_rank, size)
    finally:
        dist.destroy_process_group()
