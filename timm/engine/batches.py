# pyright: strict
"""The training batches of an epoch, which follow from seed and epoch wherever the dataset has an index."""

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import torch
from torch import Tensor

from timm.data import FastCollateMixup, Mixup
from timm.data._decode import DamagedImageError
from timm.data.keyed import KeyedSampler, key, seeded

from .exits import DataError

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
        yield from batches
    except DamagedImageError as error:
        line = str(error).strip().splitlines()[-1]  # of a worker's error, below its traceback
        raise DataError(line.rpartition('DamagedImageError: ')[2]) from error


class TrainBatches:
    """Micro-batches grouped into updates, from a loader that `timm.data.create_loader` made for training.

    Over a `KeyedDataset` an epoch can be had from any update on, and is the same for any number of workers. A dataset
    without an index streams in an order of its own; its epochs are seeded, and begin at their start.

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
    ) -> None:
        self.loader = loader
        self.accumulate = accumulate
        self._mix = mix
        self._mix_epochs = mix_epochs
        self._place = (seed, rank)
        self._keyed = isinstance(loader.sampler, KeyedSampler)
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

    def epoch(self, epoch: int, first_update: int = 0) -> Iterator[Batch]:
        """The micro-batches of an epoch from that update on."""
        if self._mix is not None:
            self._mix.mixup_enabled = not self._mix_epochs or epoch < self._mix_epochs
        first = first_update * self.accumulate
        if self._keyed:
            self.loader.sampler.set_epoch(epoch, first)
            batches: Iterator[Batch] = iter(self.loader)
        else:
            assert not first, 'a stream begins at its start'
            batches = self._streamed(epoch)
        if self._mix is None or isinstance(self._mix, FastCollateMixup):
            yield from readable(batches)
            return
        for i, (x, target) in enumerate(readable(batches), start=first):
            with seeded(key(self._place[0], 'mix', epoch, i, self._place[1])):
                mixed: Batch = self._mix(x, target)
            yield mixed

    def _streamed(self, epoch: int) -> Iterator[Batch]:
        """The batches of a stream; what draws, in this process or in workers that start now, is seeded."""
        if hasattr(self.loader.dataset, 'set_epoch'):
            self.loader.dataset.set_epoch(epoch)
        batches: Iterator[Batch] = iter(self.loader)
        for i in count():
            with seeded(key(self._place[0], 'stream', epoch, i, self._place[1])):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch
