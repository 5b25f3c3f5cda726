"""Streamed readers: samples in shards, dealt out to processes and workers so that all counts are exact.

An evaluation gives every sample once, whatever the number of processes and workers. Where the lengths of the shards
are known and samples can be passed over at little cost, each process takes a stretch of the split, and its workers
take the batches of it in turn, as a DataLoader asks for them; elsewhere shards are dealt out whole, and shared where
there are too few.

A training gives every process the same number of batches, all full: those that hold the split `repeats` times over,
rounded up. Its order is a function of seed and epoch. Shards are shuffled and dealt to slots, each a stream of its own
with a buffer in which samples are shuffled; the slots give a batch in turn, and each worker of each process serves
some of them. So the batches are the same for any number of workers that, times the processes, divides the number of
slots. Where single samples can be read, or shards of known lengths are few, samples are dealt to the slots by position,
as many as each will give: all of them are seen, and those that fill up the last batches are seen again. Elsewhere
whole shards are dealt, and a slot may run short, which then goes on with another order, or have some left over.
"""

import random
from abc import abstractmethod
from collections.abc import Callable, Iterator
from itertools import accumulate, chain, count, islice
from typing import Any, NamedTuple

import torch.distributed as dist
from torch.utils.data import get_worker_info

from timm.data._damage import DamagedSample, DamageLog
from timm.data._decode import DamagedImageError
from timm.data.keyed import key

from ._names import base_of
from .reader import Reader
from .shared_count import SharedCount

__all__ = ['Consumer', 'RawSample', 'StreamReader', 'Wanted', 'num_slots']

Wanted = Callable[[int], bool]

_MAX_SLOTS = 8
# Fewer shards than so many for each slot would make slots of too different lengths.
_FEW = 4
# So many damaged samples in a row, or passes without any sample, are no accident.
_MAX_IN_A_ROW = 100


class RawSample(NamedTuple):
    """A sample as it is stored: `name` says in which shard and where in it."""

    name: str
    fields: Any


class Consumer(NamedTuple):
    """Who reads: a worker of a process."""

    rank: int
    world_size: int
    worker: int
    num_workers: int

    @property
    def index(self) -> int:
        """This worker among those of all processes."""
        return self.rank + self.worker * self.world_size

    @property
    def count(self) -> int:
        """Workers of all processes."""
        return self.world_size * self.num_workers


def num_slots(num_parts: int, num_consumers: int) -> int:
    """Streams that parts are dealt to: a power of two that there are parts for, else a multiple of the consumers."""
    usual = min(_MAX_SLOTS, 1 << (num_parts.bit_length() - 1))
    return usual if usual % num_consumers == 0 else num_consumers * max(1, usual // num_consumers)


class _Share(NamedTuple):
    """What one of `slots` takes of a shard whose first sample is at `start`: sample i if i + start belongs to it."""

    shard: int
    slot: int = 0
    slots: int = 1
    start: int = 0
    turns: int = 1

    def has(self, number: int) -> bool:
        """Whether a sample of the shard is part of it; the slots take turns, and begin anew after so many turns."""
        return (self.start + number) % self.turns % self.slots == self.slot


def _by_position(order: list[int], slot: int, slots: int, turns: int, lengths: tuple[int, ...]) -> list[_Share]:
    """Samples for a slot, as many of `turns` batches as it will give."""
    starts = accumulate((lengths[shard] for shard in order), initial=0)
    return [_Share(shard, slot, slots, start, turns) for shard, start in zip(order, starts, strict=False)]


def _by_shard(order: list[int], slot: int, slots: int) -> list[_Share]:
    """Whole shards for a slot, or a part of one where there are more slots; together they take each sample once."""
    if len(order) >= slots:
        return [_Share(shard) for shard in order[slot::slots]]
    first = slot % len(order)
    sharing = len(range(first, slots, len(order)))
    return [_Share(order[first], slot // len(order), sharing, turns=sharing)]


class StreamReader(Reader):
    """A reader without an index: it is iterated, and gives (image, target).

    A subclass reads shards: `num_shards`, `_read`, `_unpacked`, and, where it can, `shard_lengths`; `reads_alone` says
    that a sample can be read without those before it.

    Args:
        is_training: Shuffle, and give full batches only, as many to each process.
        batch_size: Samples in a batch of one process, as its loader makes them.
        repeats: Passes over the split in an epoch of training; 0 is one as well.
        shuffle_size: Samples that are held at once to be shuffled, over all slots.
        max_steps: Batches of a process in an epoch, where that is not the whole split.

    Attributes:
        num_samples: Samples of the split.
        damage: What happens to images that cannot be read; see `DamageLog`. In training the stream goes on to the next
            one, in evaluation it is one shorter. Each worker keeps its own count.
    """

    num_samples: int = 0
    shard_lengths: tuple[int, ...] | None = None
    reads_alone: bool = False

    def __init__(
        self,
        is_training: bool,
        batch_size: int,
        seed: int,
        repeats: int = 0,
        shuffle_size: int = 1,
        max_steps: int | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f'batch_size is 1 or more, got {batch_size}')
        if max_steps is not None and max_steps < 1:
            raise ValueError(f'max_steps is 1 or more, or None, got {max_steps}')
        self.is_training = is_training
        self.batch_size = batch_size
        self.common_seed = seed
        self.repeats = repeats
        self.shuffle_size = shuffle_size
        self.max_steps = max_steps
        self.damage = DamageLog()
        self.position = 0  # in the epoch of a training, of the sample that was given last
        self.num_workers = 1
        grouped = dist.is_available() and dist.is_initialized()
        self.dist_rank, self.dist_num_replicas = (dist.get_rank(), dist.get_world_size()) if grouped else (0, 1)
        self.epoch_count = SharedCount()

    # what a subclass gives

    @property
    @abstractmethod
    def num_shards(self) -> int:
        """Parts of the split that can be read from their start."""

    @abstractmethod
    def _read(self, shard: int, wanted: Wanted) -> Iterator[RawSample]:
        """The samples of a shard whose number in it is wanted, in order.

        Raises:
            DamagedImageError: The shard is cut off or garbled.
        """

    @abstractmethod
    def _unpacked(self, sample: RawSample) -> tuple[Any, Any] | None:
        """Image and target of a sample; None for one that is to be left out.

        Raises:
            DamagedImageError: The image cannot be read.
        """

    def _title(self, sample: RawSample) -> str:
        """The name of a sample's file."""
        return sample.name

    # who reads, and how much

    def set_epoch(self, count: int) -> None:
        """Choose the epoch of the next pass; workers that are running hear of it."""
        self.epoch_count.value = count

    def set_loader_cfg(self, num_workers: int | None = None) -> None:
        """Take note of how many workers will read; none is this process alone."""
        if num_workers is not None:
            self.num_workers = max(1, num_workers)

    def _consumer(self) -> Consumer:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        return Consumer(self.dist_rank, self.dist_num_replicas, worker, workers)

    @property
    def _steps(self) -> int:
        """Batches of a process in an epoch of training."""
        if self.max_steps is not None:
            return self.max_steps
        return -(-max(1, self.repeats) * self.num_samples // (self.dist_num_replicas * self.batch_size))

    def _stretch(self) -> tuple[int, int]:
        """First and last + 1 of the positions that this process evaluates."""
        rank, world_size = self.dist_rank, self.dist_num_replicas
        total = self.num_samples if self.shard_lengths is None else sum(self.shard_lengths)
        first, end = rank * total // world_size, (rank + 1) * total // world_size
        return first, end if self.max_steps is None else min(end, first + self.max_steps * self.batch_size)

    def __len__(self) -> int:
        """Samples of this process in an epoch; in evaluation about so many where the shards' lengths are not known."""
        if self.is_training:
            return self._steps * self.batch_size
        first, end = self._stretch()
        return end - first

    # the two orders

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        consumer = self._consumer()
        if self.is_training:
            return self._training(consumer)
        if self.shard_lengths is None:
            return self._evaluation_by_shards(consumer)
        return self._evaluation_by_position(consumer, self.shard_lengths)

    def _training(self, consumer: Consumer) -> Iterator[tuple[Any, Any]]:
        epoch, parts = self.epoch_count.value, self.num_samples if self.reads_alone else self.num_shards
        slots = num_slots(parts, consumer.count)
        streams: dict[int, Iterator[tuple[Any, Any]]] = {}
        for step in range(consumer.worker, self._steps, consumer.num_workers):
            slot = (step * consumer.world_size + consumer.rank) % slots
            if slot not in streams:
                streams[slot] = self._decoded(self._shuffled(epoch, slot, slots))
            first = (step * consumer.world_size + consumer.rank) * self.batch_size
            for position, sample in enumerate(islice(streams[slot], self.batch_size), start=first):
                self.position = position
                yield sample

    def _shuffled(self, epoch: int, slot: int, slots: int) -> Iterator[RawSample]:
        """The samples of a slot, pass after pass, each through the slot's buffer."""
        choice = random.Random(key(self.common_seed, 'shuffle', epoch, slot))
        size = max(1, self.shuffle_size // min(slots, _MAX_SLOTS))
        for samples in self._passes(epoch, slot, slots):
            held: list[RawSample] = []
            for sample in samples:
                held.append(sample)
                if len(held) > size:
                    place = choice.randrange(len(held))
                    held[place], held[-1] = held[-1], held[place]
                    yield held.pop()
            choice.shuffle(held)
            yield from held

    def _passes(self, epoch: int, slot: int, slots: int) -> Iterator[Iterator[RawSample]]:
        """Passes of a slot over its share of the shards, without an end."""
        empty = 0
        for number in count():
            order = list(range(self.num_shards))
            random.Random(key(self.common_seed, 'shards', epoch, number)).shuffle(order)
            shares = self._dealt(order, slot, slots)
            if empty:  # there are more slots than samples: one that gets none reads what others read as well
                shares = [_Share(order[slot % len(order)])]
            samples = chain.from_iterable(map(self._taken, shares))
            first = next(samples, None)
            empty = empty + 1 if first is None else 0
            if empty == _MAX_IN_A_ROW:
                raise RuntimeError(f'no sample in {self.num_shards} shards to train on')
            if first is not None:
                yield chain([first], samples)

    def _dealt(self, order: list[int], slot: int, slots: int) -> list[_Share]:
        """What a slot takes of the shards in a pass of a training."""
        batches = self._steps * self.dist_num_replicas
        if self.shard_lengths is not None and (self.reads_alone or len(order) < _FEW * slots):
            return _by_position(order, slot, slots, batches, self.shard_lengths)
        return _by_shard(order, slot, min(slots, batches))

    def _evaluation_by_shards(self, consumer: Consumer) -> Iterator[tuple[Any, Any]]:
        shares = _by_shard(list(range(self.num_shards)), consumer.index, consumer.count)
        samples = self._decoded(sample for share in shares for sample in self._taken(share))
        if self.max_steps is None:
            return samples
        steps = len(range(consumer.worker, self.max_steps, consumer.num_workers))
        return islice(samples, steps * self.batch_size)

    def _evaluation_by_position(self, consumer: Consumer, lengths: tuple[int, ...]) -> Iterator[tuple[Any, Any]]:
        first, end = self._stretch()

        def samples() -> Iterator[RawSample]:
            start = 0
            for shard, length in enumerate(lengths):
                if start < end and start + length > first:
                    yield from self._guarded(self._read(shard, lambda i, start=start: mine(start + i)))
                start += length

        def mine(position: int) -> bool:
            batch = (position - first) // self.batch_size
            return first <= position < end and batch % consumer.num_workers == consumer.worker

        return self._decoded(samples())

    def _taken(self, share: _Share) -> Iterator[RawSample]:
        return self._guarded(self._read(share.shard, share.has))

    # what cannot be read

    def _guarded(self, samples: Iterator[RawSample]) -> Iterator[RawSample]:
        """The samples of a shard, up to where it is damaged."""
        try:
            yield from samples
        except DamagedImageError as error:
            self._note(error)

    def _decoded(self, samples: Iterator[RawSample]) -> Iterator[tuple[Any, Any]]:
        """Images and targets of the samples that have them."""
        damaged = absent = 0
        for sample in samples:
            try:
                unpacked = self._unpacked(sample)
            except DamagedImageError as error:
                self._note(DamagedImageError(sample.name, error.cause))
                damaged += 1
                if damaged == _MAX_IN_A_ROW:
                    raise DamagedImageError(
                        sample.name, f'{error.cause}; {damaged - 1} before it are damaged'
                    ) from error
                continue
            damaged = 0
            absent = absent + 1 if unpacked is None else 0
            if absent > max(_MAX_IN_A_ROW, 2 * self.num_samples):
                raise RuntimeError(f'no sample up to {sample.name!r} has a label')
            if unpacked is not None:
                yield unpacked

    def _note(self, error: DamagedImageError) -> None:
        """Meet damage by the policy; under 'raise' this does not come back."""
        self.damage.add([DamagedSample(error.path, error.cause, self.epoch_count.value, -1, None)])

    # names

    def _filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        """There is no name by index.

        Raises:
            ValueError: Always.
        """
        del basename, absolute
        raise ValueError(f'no name of sample {index}: this reader has no index; filenames() reads all of it')

    def _titles(self, shard: int) -> Iterator[str]:
        """Names of the files of a shard."""
        return map(self._title, self._read(shard, lambda _: True))

    def filenames(self, basename: bool = False, absolute: bool = False) -> list[str]:
        """Names of all samples in the order of an evaluation, read from the shards."""
        del absolute
        titles = chain.from_iterable(map(self._titles, range(self.num_shards)))
        return [base_of(title) if basename else title for title in titles]
