"""Processes: who am I, which device is mine, and averages over all."""

import logging
import os
from typing import Any

import torch
from torch import Tensor, distributed, nn

from .model import unwrap_model

__all__ = [
    'distribute_bn',
    'init_distributed_device',
    'init_distributed_device_so',
    'is_distributed_env',
    'is_global_primary',
    'is_local_primary',
    'is_primary',
    'reduce_tensor',
    'world_info_from_env',
]

_logger = logging.getLogger(__name__)

# What launchers set, in the order in which they are looked at.
LOCAL_RANK_VARIABLES = ('LOCAL_RANK', 'MPI_LOCALRANKID', 'SLURM_LOCALID', 'OMPI_COMM_WORLD_LOCAL_RANK')
RANK_VARIABLES = ('RANK', 'PMI_RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
WORLD_SIZE_VARIABLES = ('WORLD_SIZE', 'PMI_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE')
BACKENDS = {'cuda': 'nccl', 'xpu': 'xccl', 'npu': 'hccl', 'hpu': 'hccl'}


def reduce_tensor(tensor: Tensor, n: int) -> Tensor:
    """Sum of `tensor` over all processes, divided by `n`."""
    total = tensor.clone()
    distributed.all_reduce(total, op=distributed.ReduceOp.SUM)
    return total / n


def distribute_bn(model: nn.Module, world_size: int, reduce: bool = False) -> None:
    """Give all processes the same running statistics of norms: those of the first, or with `reduce` the mean."""
    for name, statistic in unwrap_model(model).named_buffers(recurse=True):
        if 'running_mean' in name or 'running_var' in name:
            if reduce:
                distributed.all_reduce(statistic, op=distributed.ReduceOp.SUM)
                statistic /= float(world_size)
            else:
                distributed.broadcast(statistic, 0)


def is_global_primary(args: Any) -> bool:
    """Whether this is the first process of all, by `args.rank`."""
    return args.rank == 0


def is_local_primary(args: Any) -> bool:
    """Whether this is the first process on its machine, by `args.local_rank`."""
    return args.local_rank == 0


def is_primary(args: Any, local: bool = False) -> bool:
    """Whether this is the first process: of all, or with `local` on its machine."""
    return is_local_primary(args) if local else is_global_primary(args)


def is_distributed_env() -> bool:
    """Whether torchrun or SLURM has started more than one process."""
    if 'WORLD_SIZE' in os.environ:
        return int(os.environ['WORLD_SIZE']) > 1
    return int(os.environ.get('SLURM_NTASKS', '1')) > 1


def _first_of(variables: tuple[str, ...], missing: int) -> int:
    return next((int(os.environ[name]) for name in variables if name in os.environ), missing)


def world_info_from_env() -> tuple[int, int, int]:
    """Rank on this machine, rank, and number of processes, from what a launcher has set; 0, 0, 1 without one."""
    return _first_of(LOCAL_RANK_VARIABLES, 0), _first_of(RANK_VARIABLES, 0), _first_of(WORLD_SIZE_VARIABLES, 1)


def init_distributed_device(args: Any) -> torch.device:
    """Join the other processes, if there are any, and pick this one's device.

    Reads `device` (default 'cuda'), `dist_backend` and `dist_url` of `args`; sets `device`, `distributed`,
    `world_size`, `rank` and `local_rank`.

    Raises:
        ValueError: There is no such device on this machine.
    """
    found = init_distributed_device_so(
        getattr(args, 'device', 'cuda'), getattr(args, 'dist_backend', None), getattr(args, 'dist_url', None)
    )
    args.device = found['device']
    args.distributed = found['distributed']
    args.world_size = found['world_size']
    args.rank = found['global_rank']
    args.local_rank = found['local_rank']
    return torch.device(args.device)


def init_distributed_device_so(
    device: str = 'cuda', dist_backend: str | None = None, dist_url: str | None = None
) -> dict[str, Any]:
    """Join the other processes, if there are any; returns device, ranks, world size, and whether there are others.

    Args:
        device: Its kind, or one device of that kind; with several processes each takes that of its local rank.
        dist_backend: None picks by device.
        dist_url: Where the processes meet; None is the environment.

    Raises:
        ValueError: There is no such device on this machine.
    """
    kind, _, index = device.partition(':')
    if kind == 'cuda' and not torch.cuda.is_available():
        raise ValueError(
            f"device='{device}' is not there: torch sees no CUDA device on this machine. Try device='cpu'."
        )
    joined = is_distributed_env()
    local_rank, rank, world_size = world_info_from_env() if joined else (0, 0, 1)
    if joined:
        if 'SLURM_PROCID' in os.environ and 'WORLD_SIZE' not in os.environ:
            os.environ.update(LOCAL_RANK=str(local_rank), RANK=str(rank), WORLD_SIZE=str(world_size))
        distributed.init_process_group(
            backend=dist_backend or BACKENDS.get(kind, 'gloo'),
            init_method=dist_url or 'env://',
            world_size=world_size,
            rank=rank,
        )
        if kind != 'cpu':
            if index:
                _logger.warning('device=%s: with several processes each takes the device of its local rank.', device)
            device = f'{kind}:{local_rank}'
    if device.startswith('cuda:'):
        torch.cuda.set_device(device)
    return {
        'device': device,
        'global_rank': rank,
        'local_rank': local_rank,
        'world_size': world_size,
        'distributed': joined,
    }
