"""Randomness by position: what a sample looks like is a function of seed, epoch and position, and of nothing else.

A dataset wrapped in `KeyedDataset` gives the same stream of batches whatever the number of workers, the way they are
started and the number of processes that share a batch, and after a resume in the middle of an epoch. Samples that
cannot be read are handled here as well, since what takes their place has to be a function of the same key.
"""

import copy
import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from ._damage import DamagedSample, DamageLog, Policy
from ._decode import DamagedImageError
from ._threads import ThreadLoader

__all__ = [
    'KeyedDataset',
    'KeyedLoader',
    'KeyedSampler',
    'KeyedThreadLoader',
    'SampleKey',
    'key',
    'seed_host',
    'seeded',
]

_MAX_REPLACEMENTS = 100


def key(*position: int | str) -> int:
    """A 63-bit number that is a pure function of its arguments: a seed, what is drawn, and where."""
    digest = hashlib.blake2b(','.join(map(str, position)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, 'little') >> 1


def seed_host(seed: int) -> None:
    """Seed the generators that transforms draw from: those of Python, NumPy and torch on the host."""
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.default_generator.manual_seed(seed)


@contextmanager
def _preserved() -> Iterator[None]:
    """Put those generators back afterwards. Workers have nobody else to keep them for, and do not."""
    if get_worker_info() is not None:
        yield
        return
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators of Python, NumPy and torch on the host; in the main process they are put back afterwards."""
    with _preserved():
        seed_host(seed)
        yield


class SampleKey(NamedTuple):
    """Which sample, and where in the run: it is all that its randomness may depend on, beside the seed.

    `choice` is the transform that is planned for the batch, where there are several (see `ScheduledTransformDataset`).
    """

    epoch: int
    position: int
    index: int
    choice: int | None = None


class KeyedBatch(list[Any]):
    """The samples of a batch before they are collated, with their keys and those that are missing."""

    def __init__(self, samples: list[Any], keys: list[SampleKey], damaged: list[DamagedSample]) -> None:
        super().__init__(samples)
        self.keys = keys
        self.damaged = damaged


class CollatedBatch(NamedTuple):
    """A batch on its way out of a worker; `data` is None where no sample of it could be read."""

    data: Any
    keys: list[SampleKey]
    damaged: list[DamagedSample]


class KeyedDataset(Dataset[Any]):
    """A dataset whose transforms draw by position.

    Pass it to `create_loader` in place of the dataset: the loader then shuffles by seed and epoch as well, and mixes
    by the key of a batch. Epochs count themselves; `loader.sampler.set_epoch(epoch, first_batch)` sets them, and
    where to begin in one.

    Args:
        damaged: What to do about images that cannot be read; see `DamageLog`. In training another sample, drawn by
            the same key, takes the place of one that is left out; in evaluation the batch is one smaller.
        report: File for the policy 'report'.

    Attributes:
        seeds: Whether generators are seeded for each sample.
        replaces: Whether samples that cannot be read are replaced.
    """

    def __init__(
        self, dataset: Any, seed: int = 42, damaged: Policy = 'raise', report: str | Path | None = None
    ) -> None:
        if not hasattr(dataset, '__getitem__') or not hasattr(dataset, '__len__'):
            raise TypeError(f'samples are keyed by their index, which a {type(dataset).__name__} does not have')
        self.dataset = dataset
        self.seed = seed
        self.damage = DamageLog(damaged, report)
        self.replaces = False
        self.seeds = True

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: int | tuple[int, int, int]) -> Any:
        with self._generators():
            return self._seeded_item(_as_key(place))

    def __getitems__(self, places: Sequence[int | tuple[int, int, int]]) -> KeyedBatch:
        keys = [_as_key(place) for place in places]
        batch = KeyedBatch([], keys, [])
        with self._generators():
            for where in keys:
                sample = self._read(where, batch.damaged)
                if sample is not None:
                    batch.append(sample)
        return batch

    def over(self, dataset: Any) -> 'KeyedDataset':
        """The same seed and the same log for another dataset."""
        other = copy.copy(self)
        other.dataset = dataset
        return other

    def unseeded(self) -> 'KeyedDataset':
        """The same for threads: they share the generators, which are then left alone, and draw nothing."""
        other = copy.copy(self)
        other.seeds = False
        return other

    def _generators(self) -> AbstractContextManager[None]:
        return _preserved() if self.seeds else nullcontext()

    def _seeded_item(self, where: SampleKey) -> Any:
        if self.seeds:
            seed_host(key(self.seed, 'sample', where.epoch, where.position))
        return self.dataset[where.index if where.choice is None else (where.index, where.choice)]

    def _read(self, where: SampleKey, damaged: list[DamagedSample], attempt: int = 0) -> Any:
        """A sample, or what takes its place; None if nothing does."""
        try:
            return self._seeded_item(where)
        except DamagedImageError as error:
            path, cause = error.path, error.cause
        if not self.replaces or self.damage.policy == 'raise':
            damaged.append(DamagedSample(path, cause, where.epoch, where.index, None))
            return None
        if attempt == _MAX_REPLACEMENTS:
            raise DamagedImageError(path, f'{cause}; so are {attempt} others that were to take its place')
        index = key(self.seed, 'replacement', where.epoch, where.position, attempt) % len(self)
        damaged.append(DamagedSample(path, cause, where.epoch, where.index, index))
        return self._read(where._replace(index=index), damaged, attempt + 1)

    @property
    def transform(self) -> Any:
        """The transform of the dataset inside."""
        return self.dataset.transform

    @transform.setter
    def transform(self, transform: Any) -> None:
        self.dataset.transform = transform

    def filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        """Name of a sample's file; see `Reader.filename`."""
        return self.dataset.filename(index, basename, absolute)

    def filenames(self, basename: bool = False, absolute: bool = False) -> list[str]:
        """Names of all files, by index."""
        return self.dataset.filenames(basename, absolute)


def _as_key(place: int | tuple[int, int, int]) -> SampleKey:
    return SampleKey(*place) if isinstance(place, tuple) else SampleKey(0, place, place)


class KeyedSampler(Sampler[SampleKey]):
    """The samples of one process, by key: batch u of the run holds the positions from u G on, for a batch of G over all
    processes, and each process takes the next `batch_size` of them.

    Args:
        length: Samples of the dataset.
        batch_size: Samples in a batch of one process.
        drop_last: Leave out the positions after the last whole batch of all processes.
        repeats: Times in a row that each sample is seen (see `RepeatAugSampler`). The processes then take turns in a
            batch, so that repeats of a sample are spread over them.
        accumulate: Batches of a process that make one update. With `repeats` they take turns as well: two batches of
            one process are then those that two processes would have.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int = 42,
        shuffle: bool = False,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        repeats: float = 1,
        accumulate: int = 1,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f'rank {rank} is not one of {world_size} processes')
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size
        self.repeats = repeats
        self.accumulate = accumulate
        self.epoch = 0
        self.first_batch = 0

    @property
    def _global_batch(self) -> int:
        return self.batch_size * self.world_size

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Choose the epoch of the next pass, and the batch it begins with."""
        self.epoch = epoch
        self.first_batch = first_batch

    def order(self, epoch: int) -> Sequence[int]:
        """The dataset's indices by position in an epoch."""
        if not self.shuffle:
            return range(self.length)
        generator = torch.Generator().manual_seed(key(self.seed, 'order', epoch))
        order = torch.randperm(self.length, generator=generator).tolist()
        if self.repeats != 1:
            order = [order[int(position / self.repeats)] for position in range(self.length)]
        return order

    def _positions(self, batch: int) -> range:
        if self.repeats == 1:
            return self._share(batch * self._global_batch, self.batch_size, self.length)
        turn = batch % self.accumulate
        first = batch - turn  # of the update; the last update of an epoch may have fewer
        turns = min(self.accumulate, self._num_batches - first) * self.world_size
        start = first * self._global_batch
        stop = min(start + self.batch_size * turns, self.length)
        return range(start + turn * self.world_size + self.rank, stop, turns)

    def _share(self, start: int, size: int, end: int | None = None) -> range:
        """What this process takes, up to `size` positions, of a batch of all processes from `start` on."""
        whole = start + size * self.world_size
        stop = whole if end is None else min(whole, end)
        if self.repeats != 1:
            return range(start + self.rank, stop, self.world_size)
        first = start + self.rank * size
        return range(min(first, stop), min(first + size, stop))

    @property
    def _num_batches(self) -> int:
        if self.drop_last:
            return self.length // self._global_batch
        return -(-self.length // self._global_batch)

    def _begin(self) -> tuple[int, int]:
        """The epoch of the pass that begins, and its first batch; the next pass is another one."""
        epoch, first_batch = self.epoch, self.first_batch
        if self.shuffle:
            self.epoch += 1
        self.first_batch = 0
        return epoch, first_batch

    def __iter__(self) -> Iterator[SampleKey]:
        return self._keys(*self._begin())

    def planned(self, plan: Callable[[int], Sequence[tuple[int, int]]]) -> Iterator[list[SampleKey]]:
        """The batches of this process where each has a size of its own.

        A plan that takes more samples than there are goes on with the first of the epoch's order, at new positions.

        Args:
            plan: From an epoch to its batches, each as (choice, samples in each process).
        """
        # Only what asks for a batch begins a pass: a DataLoader with workers makes two iterators of it.
        epoch, first_batch = self._begin()
        order = self.order(epoch)
        start = 0
        for batch, (choice, size) in enumerate(plan(epoch)):
            if batch >= first_batch:
                places = self._share(start, size)
                yield [SampleKey(epoch, place, order[place % self.length], choice) for place in places]
            start += size * self.world_size

    def _keys(self, epoch: int, first_batch: int) -> Iterator[SampleKey]:
        order = self.order(epoch)
        for batch in range(first_batch, self._num_batches):
            for position in self._positions(batch):
                yield SampleKey(epoch, position, order[position])

    def __len__(self) -> int:
        """Samples of this process in a whole epoch."""
        count = self._num_batches
        last = (count - 1) // self.accumulate * self.accumulate  # update, which alone may not be full
        return last * self.batch_size + sum(len(self._positions(batch)) for batch in range(last, count))


class _KeyedCollate:
    """Collates the samples of a KeyedBatch; what is drawn meanwhile (mixup) follows from the batch's first key.

    Args:
        seed: None for a function that draws nothing.
    """

    def __init__(self, collate: Callable[[list[Any]], Any], seed: int | None) -> None:
        self.collate = collate
        self.seed = seed

    def __call__(self, batch: list[Any]) -> CollatedBatch:
        assert isinstance(batch, KeyedBatch)
        data = None
        if batch:
            first = batch.keys[0]
            with nullcontext() if self.seed is None else seeded(key(self.seed, 'batch', first.epoch, first.position)):
                data = self.collate(batch)
        return CollatedBatch(data, batch.keys, batch.damaged)


class KeyedLoader(DataLoader[Any]):
    """A loader of a `KeyedDataset`: batches as usual; damaged samples go to the dataset's log.

    Its `sampler` is the `KeyedSampler` also where a batch sampler is given, so that `sampler.set_epoch(epoch,
    first_batch)` takes up any of these loaders in the middle of an epoch.

    Attributes:
        keys: Keys of the batch that was given last.
    """

    def __init__(self, dataset: KeyedDataset, *, collate_fn: Callable[[list[Any]], Any], **options: Any) -> None:
        self.seed = dataset.seed
        self.keys: list[SampleKey] = []
        generator = torch.Generator().manual_seed(key(dataset.seed, 'loader'))
        collate = _KeyedCollate(collate_fn, dataset.seed if dataset.seeds else None)
        super().__init__(dataset, collate_fn=collate, generator=generator, **options)
        if 'batch_sampler' in options:
            # DataLoader has put another one in its place, which nothing asks.
            object.__setattr__(self, 'sampler', options['batch_sampler'].sampler)

    def __iter__(self) -> Iterator[Any]:
        dataset = self.dataset
        assert isinstance(dataset, KeyedDataset)
        for batch in super().__iter__():
            dataset.damage.add(batch.damaged)
            self.keys = batch.keys
            if batch.data is not None:
                yield batch.data


class KeyedThreadLoader(KeyedLoader, ThreadLoader):
    """A `KeyedLoader` whose workers are threads, for a dataset that seeds nothing."""
