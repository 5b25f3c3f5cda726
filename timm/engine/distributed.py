# pyright: strict
"""The processes of a run: who this one is, where it computes, and the few things all of them decide together."""

import json
import logging
import os
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from timm.utils.distributed import world_info_from_env

from .exits import PeerError, RunError, Stopped, UsageError, nearest

__all__ = ['World', 'join_world', 'pick_device']

_logger = logging.getLogger(__name__)
# Until all have made their first update, which compiles, downloads and opens files; and from then on.
START_TIMEOUT = timedelta(minutes=30)
TIMEOUT = timedelta(minutes=10)
_FAILURE = 'timm/failure'


@dataclass(frozen=True)
class World:
    """One process among `size`; with one process nothing is ever communicated.

    Whatever is asked of all processes has to be asked by every one of them.

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
        """Whether any process says yes."""
        return self.sum([float(flag)])[0] > 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Numbers added up over the processes, in one go."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        added: list[float] = total.tolist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return added

    def gather(self, value: Any) -> list[Any]:
        """The plain values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)  # pyright: ignore[reportUnknownMemberType]
        return values

    def share(self, value: Any) -> Any:
        """The plain value of the first process."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)  # pyright: ignore[reportUnknownMemberType]
        return values[0]

    def hurry(self) -> None:
        """Wait less for each other from now on: whatever takes long at a start has been done."""
        if self.size > 1:
            shorten: Any = getattr(dist, 'set_timeout', None) or dist.distributed_c10d._set_pg_timeout  # pyright: ignore
            shorten(TIMEOUT, None)


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
    """The world of this run: the processes that torchrun or SLURM started, or this one alone.

    Raises:
        PeerError: Another process failed, which is why this one cannot go on; it says what happened there.
    """
    local_rank, rank, size = world_info_from_env()
    if 'RANK' not in os.environ and 'SLURM_NTASKS' in os.environ and 'SLURM_PROCID' not in os.environ:
        local_rank, rank, size = 0, 0, 1  # inside an allocation, but not started by srun
    place = pick_device(device, local_rank)
    if place.type not in ('cpu', 'mps'):
        torch.accelerator.set_device_index(place)
    if size == 1:
        yield World(place)
        return
    _set_address()
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size))
    c10d: Any = dist.distributed_c10d
    store, rank, size = next(iter(c10d.rendezvous('env://', timeout=START_TIMEOUT)))
    backend = dist.get_default_backend_for_device(place)
    group = c10d.PrefixStore('group', store)
    dist.init_process_group(backend, store=group, rank=rank, world_size=size, timeout=START_TIMEOUT)
    try:
        yield World(place, rank, local_rank, size)
    except Exception as error:
        first = _first_failure(error, store, rank)
        if first is None:
            raise
        raise first from error
    finally:
        dist.destroy_process_group()


def _set_address() -> None:
    """Where the processes meet, if the launcher has not said so: SLURM names its machines instead."""
    nodes = os.environ.get('SLURM_STEP_NODELIST') or os.environ.get('SLURM_JOB_NODELIST') or ''
    first = re.match(r'([\w.-]+)(?:\[(\w+))?', nodes)  # node[07-09,12] begins with node07
    job = int(os.environ.get('SLURM_JOB_ID', '0') or 0)
    os.environ.setdefault('MASTER_ADDR', ''.join(part or '' for part in first.groups()) if first else '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', str(20000 + job % 20000) if job else '29500')


def _first_failure(error: Exception, store: Any, rank: int) -> PeerError | None:
    """Tell the others why this process fails, unless another one failed before it: then that is what it ends with.

    Once a process is gone the others fail as well, in the midst of what they were asking it.
    """
    mine = {'rank': rank, 'code': getattr(error, 'code', 1), 'reason': ' '.join(str(error).split())[:1000]}
    if not isinstance(error, RunError):
        mine['reason'] = f'{type(error).__name__}: {mine["reason"]}'
    try:
        first = json.loads(store.compare_set(_FAILURE, '', json.dumps(mine)))
    except (RuntimeError, ValueError):  # the process that keeps the store is gone
        return None
    if first['rank'] == rank or first['code'] == Stopped.code:
        return None
    return PeerError(f'process {first["rank"]} failed first: {first["reason"]}', first['code'])
