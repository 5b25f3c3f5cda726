"""Samplers for several processes: evaluation in order, and training on repeats of each sample."""

import math
from collections.abc import Iterator, Sized
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import Sampler

__all__ = ['OrderedDistributedSampler', 'RepeatAugSampler']


class OrderedDistributedSampler(Sampler[int]):
    """Every `num_replicas`-th sample from `rank` on, in order: 0 and 3 for rank 0 of 3.

    All processes get the same number of samples, so the first ones come a second time where the dataset does not
    divide; `num_valid_samples` says how many of this process are not such repeats.

    Args:
        num_replicas: Processes; by default those of the process group.
        rank: This process; by default its rank in the group.
    """

    def __init__(self, dataset: Sized, num_replicas: int | None = None, rank: int | None = None) -> None:
        self.dataset = dataset
        self.num_replicas = dist.get_world_size() if num_replicas is None else num_replicas
        self.rank = dist.get_rank() if rank is None else rank
        self.num_samples = math.ceil(len(dataset) / self.num_replicas)
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)
        return (position % size for position in range(self.rank, self.total_size, self.num_replicas))

    def __len__(self) -> int:
        return self.num_samples

    @property
    def num_valid_samples(self) -> int:
        """Samples of this process that no other position repeats."""
        return len(range(self.rank, len(self.dataset), self.num_replicas))


class RepeatAugSampler(Sampler[int]):
    """Each sample several times in a row, dealt out to the processes, so that each sees its own augmentation of it.

    Repeated augmentation: Hoffer et al., 2019, arXiv:1901.09335; Berman et al., 2019, arXiv:1902.05509. An epoch keeps
    the length of the dataset, so it holds only a part of the samples.

    Args:
        num_replicas: Processes; by default those of the process group.
        rank: This process; by default its rank in the group.
        num_repeats: Times each sample is seen; may be fractional.
        selected_round: The length of an epoch over all processes is rounded down to a multiple of this, where the
            dataset has that many samples; 0 keeps it.
        selected_ratio: The dataset's length over that of an epoch of one process; 0 stands for `num_replicas`.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        num_repeats: float = 3,
        selected_round: int = 256,
        selected_ratio: float = 0,
    ) -> None:
        self.dataset = dataset
        self.num_replicas = dist.get_world_size() if num_replicas is None else num_replicas
        self.rank = dist.get_rank() if rank is None else rank
        self.shuffle = shuffle
        self.num_repeats = num_repeats
        self.epoch = 0
        size = len(dataset)
        self.num_samples = math.ceil(size * num_repeats / self.num_replicas)
        self.total_size = self.num_samples * self.num_replicas
        ratio = selected_ratio or self.num_replicas
        rounded = size // selected_round * selected_round if selected_round else 0
        self.num_selected_samples = int(rounded / ratio) if rounded else math.ceil(size / ratio)

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)
        order: Any = range(size)
        if self.shuffle:
            order = torch.randperm(size, generator=torch.Generator().manual_seed(self.epoch)).tolist()
        repeats = math.ceil(size * self.num_repeats)
        for i in range(min(self.num_selected_samples, self.num_samples)):
            position = self.rank + i * self.num_replicas
            yield order[int(position % repeats / self.num_repeats)]

    def __len__(self) -> int:
        return self.num_selected_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch
