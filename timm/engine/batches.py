# pyright: strict
"""The training batches of an epoch, which follow from seed and epoch wherever the dataset has an index."""

import copy
from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor

from timm.data import FastCollateMixup, Mixup
from timm.data._decode import DamagedImageError
from timm.data.keyed import KeyedSampler, SampleKey, key, seeded

from .exits import DataError
from .stop import deaf

__all__ = ['Batch', 'TrainBatches', 'readable', 'seed_model']

Batch = tuple[Tensor, Tensor]


def seed_model(device: torch.device, *position: int | str) -> None:
    """Set the generators that a model draws from, those of torch on the host and on `device`, by position."""
    seed = key(*position)
    torch.default_generator.manual_seed(seed)
    if device.type not in ('cpu', 'meta'):
        torch.get_device_module(device).manual_seed(seed)


def readable(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Batches, as long as their images can be read; DataError names the first that cannot."""
    try:
        with deaf():  # workers start with the first batch
            iterator = iter(batches)
            first = next(iterator, None)
        if first is not None:
            yield first
            yield from iterator
    except DamagedImageError as error:
        line = str(error).strip().splitlines()[-1]  # of a worker's error, below its traceback
        raise DataError(line.rpartition('DamagedImageError: ')[2]) from error


class TrainBatches:
    """Micro-batches grouped into updates, from a loader that `timm.data.create_loader` made for training.

    Over a `KeyedDataset` an epoch can be had from any update on, and is the same for any number of workers. A dataset
    without an index streams in an order of its own; its epochs are seeded, and what comes before an update is read
    and dropped.

    Args:
        accumulate: Micro-batches in an update; the last update of an epoch may have fewer.
        mix: Mixes samples: a collate function of the loader already, or else applied to its batches.
        mix_epochs: Epochs of mixing, after which targets stay dense and samples pure; 0 for all.
    """

    def __init__(
        self,
        loader: Any,
        accumulate: int = 1,
        mix: Mixup | None = None,
        mix_epochs: int = 0,
        seed: int = 42,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.loader = loader
        self.accumulate = accumulate
        self._mix = mix
        self._mix_epochs = mix_epochs
        self._place = seed, rank, world_size
        self._keyed = isinstance(loader.sampler, KeyedSampler)
        if self._keyed:
            loader.sampler.accumulate = accumulate
        self.num_micro_batches = len(loader)
        if not self.num_micro_batches:
            raise DataError('the training samples do not fill one batch in each process: lower --batch-size')

    @property
    def num_updates(self) -> int:
        """Updates in an epoch."""
        return -(-self.num_micro_batches // self.accumulate)

    def micro_batches_of(self, update: int) -> int:
        """Micro-batches of this process in an update of the epoch."""
        return min(self.accumulate, self.num_micro_batches - update * self.accumulate)

    def files_of(self, epoch: int, update: int) -> list[str]:
        """Names of the samples that this process has in an update of an epoch; none where a stream gives none."""
        if not self._keyed:
            return []
        plan: Any = copy.deepcopy(self.loader.batch_sampler)
        plan.sampler.set_epoch(epoch, update * self.accumulate)
        batches: Iterator[list[SampleKey]] = islice(plan, self.micro_batches_of(update))
        indices = [place.index for batch in batches for place in batch]
        dataset: Any = self.loader.dataset
        try:
            return [str(dataset.filename(index)) for index in indices]
        except (AttributeError, NotImplementedError):
            return [f'sample {index}' for index in indices]

    def epoch(self, epoch: int, first_update: int = 0) -> Iterator[Batch]:
        """The micro-batches of an epoch from that update on."""
        if self._mix is not None:
            self._mix.mixup_enabled = not self._mix_epochs or epoch < self._mix_epochs
        first = first_update * self.accumulate
        seed, rank, size = self._place
        if self._keyed:
            self.loader.sampler.set_epoch(epoch, first)
            batches: Iterator[Batch] = iter(self.loader)
        else:
            batches = self._streamed(epoch)
            for _ in range(first):  # there is no other way to a place in a stream
                next(batches, None)
        if self._mix is None or isinstance(self._mix, FastCollateMixup):
            yield from readable(batches)
            return
        for i, (x, target) in enumerate(readable(batches), start=first):
            with seeded(key(seed, 'mix', epoch, i * size + rank)):
                mixed: Batch = self._mix(x, target)
            yield mixed

    def _streamed(self, epoch: int) -> Iterator[Batch]:
        """The batches of a stream; what draws, in this process or in workers that start now, is seeded."""
        if hasattr(self.loader.dataset, 'set_epoch'):
            self.loader.dataset.set_epoch(epoch)
        batches: Iterator[Batch] = iter(self.loader)
        seed, rank, size = self._place
        for i in count():
            with seeded(key(seed, 'stream', epoch, i * size + rank)):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch
