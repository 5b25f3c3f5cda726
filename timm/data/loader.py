"""Loaders: a dataset's samples in batches, on the device, normalised."""

import atexit
import functools
import inspect
import logging
import multiprocessing
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, Sampler, default_collate, get_worker_info
from torch.utils.data.distributed import DistributedSampler

from ._collate import fast_collate
from ._compose import reduced_difference, resize_difference
from ._threads import ThreadLoader
from .constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from .dataset import IterableImageDataset
from .distributed_sampler import OrderedDistributedSampler, RepeatAugSampler
from .keyed import KeyedDataset, KeyedLoader, KeyedSampler, KeyedThreadLoader, key
from .mixup import FastCollateMixup
from .random_erasing import RandomErasing
from .scheduled_sampler import ScheduledBatchSampler, ScheduledTransformDataset
from .transforms_factory import create_transform

__all__ = ['MultiEpochsDataLoader', 'PrefetchLoader', 'adapt_to_chs', 'create_loader', 'fast_collate']

_logger = logging.getLogger(__name__)


def adapt_to_chs(x: float | Sequence[float], n: int) -> tuple[float, ...]:
    """Channel statistics for `n` channels: those given, if they are as many, else their average for each."""
    values = (x,) * n if isinstance(x, int | float) else tuple(x)
    if len(values) == n:
        return values
    average = float(np.mean(values))
    if len(values) > 1:
        _logger.warning('Statistics %s are not for %d channels: their average %g is used for each', values, n, average)
    return (average,) * n


class PrefetchLoader:
    """Batches of a loader of bytes, copied to the device one ahead, normalised and erased there.

    What the loader gives as uint8 (B, C, H, W) comes out as floats (B, C, H, W) in the usual memory order.

    Args:
        mean: Mean of each channel, 0 to 1, adapted to `channels`.
        std: Deviation of each channel.
        img_dtype: Type of the images; float32 by default.
        fp16: Older way to ask for float16.
        re_prob: Chance of random erasing; see `RandomErasing` for these four.

    Raises:
        ValueError: A deviation that is not above 0.
    """

    def __init__(
        self,
        loader: Any,
        mean: float | Sequence[float] = IMAGENET_DEFAULT_MEAN,
        std: float | Sequence[float] = IMAGENET_DEFAULT_STD,
        channels: int = 3,
        device: torch.device = torch.device('cuda'),  # noqa: B008 - an immutable value
        img_dtype: torch.dtype | None = None,
        fp16: bool = False,
        re_prob: float = 0.0,
        re_mode: str = 'const',
        re_count: int = 1,
        re_num_splits: int = 0,
    ) -> None:
        self.loader = loader
        self.device = torch.device(device)
        self.img_dtype = torch.float16 if fp16 else img_dtype or torch.float32
        self.mean = self._statistics(mean, channels)
        self.std = self._statistics(std, channels)
        if not (self.std > 0).all():
            raise ValueError(f'the deviation of each channel is above 0, got std={std}')
        self.random_erasing: Any = None  # a `RandomErasing`, where anything is erased
        if re_prob > 0:
            self.random_erasing = RandomErasing(
                re_prob, mode=re_mode, max_count=re_count, num_splits=re_num_splits, device=self.device
            )
        self._at_once = 1 if self.device.type == 'cpu' else 2**31
        self.is_cuda = self.device.type == 'cuda' and torch.cuda.is_available()
        self._num_prepared = 0  # batches of the present pass

    def _statistics(self, values: float | Sequence[float], channels: int) -> Tensor:
        scaled = [value * 255 for value in adapt_to_chs(values, channels)]
        return torch.tensor(scaled, device=self.device, dtype=self.img_dtype).view(1, channels, 1, 1)

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        self._num_prepared = 0
        if not self.is_cuda:
            yield from map(self._prepared, self.loader)
            return
        # The next batch is copied and normalised on a stream of its own while the caller works on this one.
        stream = torch.cuda.Stream(self.device)
        ready: tuple[Any, Tensor] | None = None
        for batch in self.loader:
            with torch.cuda.stream(stream):
                following = self._prepared(batch)
            if ready is not None:
                yield ready
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(stream)
            for tensor in _tensors(following):
                tensor.record_stream(current)
            ready = following
        if ready is not None:
            yield ready

    def _prepared(self, batch: tuple[Any, Tensor]) -> tuple[Any, Tensor]:
        images, target = (tensor.to(self.device, non_blocking=True) for tensor in batch)
        floats = torch.empty(images.shape, dtype=self.img_dtype, device=self.device)
        # On a CPU image by image, since one stays in the cache for all three passes.
        for part, loaded in zip(floats.split(self._at_once), images.split(self._at_once), strict=True):
            part.copy_(loaded).sub_(self.mean).div_(self.std)
        images = floats
        if self.random_erasing is not None:
            seeds = self._erasing_seeds(len(images))
            images = self.random_erasing(images) if seeds is None else self.random_erasing.keyed(images, seeds)
        self._num_prepared += 1
        return images, target

    def _erasing_seeds(self, count: int) -> list[int] | None:
        """A seed for each sample of the batch that was loaded last, where samples have keys."""
        stream = getattr(self.loader, 'dataset', None)
        if isinstance(stream, IterableImageDataset):
            return stream.seeds_of('erase', self._num_prepared, count)
        if not isinstance(self.loader, KeyedLoader):
            return None
        return [key(self.loader.seed, 'erase', place.epoch, place.position) for place in self.loader.keys]

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def sampler(self) -> Any:
        """What orders the samples."""
        return self.loader.sampler

    @property
    def batch_sampler(self) -> Any:
        """What groups them."""
        return self.loader.batch_sampler

    @property
    def dataset(self) -> Any:
        """Where they come from."""
        return self.loader.dataset

    @property
    def mixup_enabled(self) -> bool:
        """Whether the collate function mixes; False where it cannot."""
        mix = self._mix()
        return mix is not None and mix.mixup_enabled

    @mixup_enabled.setter
    def mixup_enabled(self, enabled: bool) -> None:
        mix = self._mix()
        if mix is not None:
            mix.mixup_enabled = enabled

    def _mix(self) -> FastCollateMixup | None:
        collate = self.loader.collate_fn
        collate = getattr(collate, 'collate', collate)
        return collate if isinstance(collate, FastCollateMixup) else None


def _tensors(batch: tuple[Any, Tensor]) -> Iterator[Tensor]:
    """The tensors of a batch whose first part is one or a dict of them."""
    images, target = batch
    parts = images.values() if isinstance(images, dict) else [images]
    yield from (part for part in (*parts, target) if isinstance(part, Tensor))


class MultiEpochsDataLoader(DataLoader[Any]):
    """A DataLoader that keeps its workers from one epoch to the next."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        workers = kwargs.get('num_workers', args[5] if len(args) > 5 else 0)
        super().__init__(*args, **{**kwargs, 'persistent_workers': workers > 0})

    def __len__(self) -> int:
        return super().__len__()

    def __iter__(self) -> Any:
        return super().__iter__()


@functools.cache
def _end_workers_at_exit() -> None:
    """See to it that a program which still holds a loader can end: its workers pass over SIGTERM."""
    atexit.register(_end_workers)


def _end_workers() -> None:
    """End the daemons that are left, as multiprocessing would, but without waiting for one that does not listen."""
    daemons = [process for process in multiprocessing.active_children() if process.daemon]
    if hasattr(signal, 'SIGCHLD'):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would take their end for a failure
    for process in daemons:
        process.terminate()
    for process in daemons:
        process.join(timeout=0.5)
        if process.is_alive():
            process.kill()


def _worker_init(worker_id: int, worker_seeding: str = 'all') -> None:
    """Prepare a worker: its generators, and signals that concern the main process alone.

    A signal to the whole process group must not kill a worker whose batch the main process still waits for; workers
    notice by themselves when the main process is gone.

    Args:
        worker_seeding: 'all' seeds Python, NumPy and torch by the worker's seed; 'part' leaves Python and torch as the
            loader has seeded them.
    """
    info = get_worker_info()
    assert info is not None, f'worker {worker_id} is no worker'
    for name in ('SIGINT', 'SIGTERM', 'SIGUSR1'):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if worker_seeding == 'all':
        random.seed(info.seed)
        torch.manual_seed(info.seed)
    np.random.seed(info.seed % (2**32 - 1))


@dataclass(frozen=True)
class _Options:
    """The arguments of `create_loader`, by their names; it says what they mean."""

    dataset: Any
    input_size: Any
    batch_size: int
    is_training: bool
    no_aug: bool
    re_prob: float
    re_mode: str
    re_count: int
    re_split: bool
    train_crop_mode: str | None
    scale: Any
    ratio: Any
    hflip: float
    vflip: float
    color_jitter: Any
    color_jitter_prob: float | None
    grayscale_prob: float | None
    gaussian_blur_prob: float | None
    auto_augment: str | None
    num_aug_repeats: float
    num_aug_splits: int
    interpolation: str
    mean: Sequence[float]
    std: Sequence[float]
    num_workers: int
    distributed: bool
    crop_pct: float | None
    crop_mode: str | None
    crop_border_pixels: int | None
    collate_fn: Callable[[Any], Any] | None
    pin_memory: bool
    fp16: bool
    img_dtype: torch.dtype
    device: torch.device
    use_prefetcher: bool
    use_multi_epochs_loader: bool
    persistent_workers: bool
    worker_seeding: str
    tf_preprocessing: bool
    input_size_choices: Any
    batch_size_choices: Any
    batch_choice_weights: Any
    batch_choice_seed: int
    batch_choice_schedule: str
    batch_schedule_epochs: Any
    batch_schedule_spread: float
    batch_schedule_random_mix: float
    num_batches: int | None
    fast_resize: bool
    reduced_decode: bool
    worker_type: str

    def __post_init__(self) -> None:
        if self.worker_seeding not in ('all', 'part'):
            raise ValueError(f"worker_seeding is 'all' or 'part', got {self.worker_seeding!r}")
        if self.worker_type not in ('process', 'thread'):
            raise ValueError(f"worker_type is 'process' or 'thread', got {self.worker_type!r}")
        if self.is_threaded and (self.is_training or isinstance(self.dataset, IterableDataset)):
            reason = 'draws from generators that threads share' if self.is_training else 'has no index to share out by'
            kind = 'a training' if self.is_training else 'an iterable dataset'
            raise ValueError(f"worker_type='thread' is not for {kind}, which {reason}: use 'process'")
        if isinstance(self.dataset, IterableDataset) and self.num_aug_repeats:
            raise ValueError('num_aug_repeats repeats samples by their index, which an iterable dataset does not have')
        if self.reduced_decode and (isinstance(self.dataset, IterableDataset) or self.input_size_choices is not None):
            kind = 'an iterable dataset' if isinstance(self.dataset, IterableDataset) else 'input_size_choices'
            raise ValueError(f'reduced_decode is not for {kind}: it needs to know the size before it decodes')
        if self.input_size_choices is not None:
            self._check_choices()
            return
        for name in ('batch_size_choices', 'batch_choice_weights', 'num_batches'):
            if getattr(self, name) is not None:
                raise ValueError(f'{name} is about several sizes: give input_size_choices too, or leave it out')
        if self.batch_choice_schedule != 'constant':
            raise ValueError(f'a {self.batch_choice_schedule} batch_choice_schedule needs input_size_choices')

    def _check_choices(self) -> None:
        """Refuse sizes that are none, and what does not go with several of them."""
        if not self.is_training:
            raise ValueError('input_size_choices are for training: an evaluation has one size')
        if isinstance(self.dataset, IterableDataset):
            raise ValueError('input_size_choices go with an index, which an iterable dataset does not have')
        if self.num_aug_splits:
            raise ValueError('input_size_choices do not go with num_aug_splits: leave one of them out')
        if self.use_multi_epochs_loader:
            raise ValueError(
                'input_size_choices do not go with use_multi_epochs_loader, the MultiEpochsDataLoader: use '
                'persistent_workers'
            )
        if not self.input_size_choices:
            raise ValueError('input_size_choices is empty: give one size or more, or None')
        for name in ('batch_size_choices', 'batch_choice_weights'):
            given = getattr(self, name)
            if given is not None and len(given) != len(self.input_size_choices):
                raise ValueError(f'{len(given)} {name} for {len(self.input_size_choices)} input_size_choices')
        channels = self.channels
        for size in self.input_size_choices:
            sides = (size,) if isinstance(size, int) else tuple(size)
            if len(sides) > 3 or not all(isinstance(side, int) and side > 0 for side in sides):
                raise ValueError(
                    f'input_size_choices are one number, (H, W) or (C, H, W), and dimensions must be positive, '
                    f'got {size!r}'
                )
            if len(sides) == 3 and sides[0] != channels:
                raise ValueError(f'the images have {channels} channels, by input_size, and {size!r} has {sides[0]}')

    @property
    def is_threaded(self) -> bool:
        """Whether threads load instead of processes."""
        return self.worker_type == 'thread' and self.num_workers > 0

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return self.input_size[0] if isinstance(self.input_size, Sequence) and len(self.input_size) == 3 else 3

    @property
    def re_num_splits(self) -> int:
        """Augmentation splits of which random erasing leaves the first alone; 0 for none."""
        return self.num_aug_splits or 2 if self.re_split else 0

    @property
    def rank_and_world(self) -> tuple[int, int]:
        """This process and their number."""
        return (dist.get_rank(), dist.get_world_size()) if self.distributed else (0, 1)


def create_loader(
    dataset: Any,
    input_size: int | Sequence[int],
    batch_size: int,
    is_training: bool = False,
    no_aug: bool = False,
    re_prob: float = 0.0,
    re_mode: str = 'const',
    re_count: int = 1,
    re_split: bool = False,
    train_crop_mode: str | None = None,
    scale: tuple[float, float] | None = None,
    ratio: tuple[float, float] | None = None,
    hflip: float = 0.5,
    vflip: float = 0.0,
    color_jitter: float | Sequence[float] | None = 0.4,
    color_jitter_prob: float | None = None,
    grayscale_prob: float | None = 0.0,
    gaussian_blur_prob: float | None = 0.0,
    auto_augment: str | None = None,
    num_aug_repeats: float = 0,
    num_aug_splits: int = 0,
    interpolation: str = 'bilinear',
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
    num_workers: int = 1,
    distributed: bool = False,
    crop_pct: float | None = None,
    crop_mode: str | None = None,
    crop_border_pixels: int | None = None,
    collate_fn: Callable[[Any], Any] | None = None,
    pin_memory: bool = False,
    fp16: bool = False,
    img_dtype: torch.dtype = torch.float32,
    device: torch.device = torch.device('cuda'),  # noqa: B008 - an immutable value
    use_prefetcher: bool = True,
    use_multi_epochs_loader: bool = False,
    persistent_workers: bool = True,
    worker_seeding: str = 'all',
    tf_preprocessing: bool = False,
    input_size_choices: Any = None,
    batch_size_choices: Any = None,
    batch_choice_weights: Any = None,
    batch_choice_seed: int = 0,
    batch_choice_schedule: str = 'constant',
    batch_schedule_epochs: Any = None,
    batch_schedule_spread: float = 0.65,
    batch_schedule_random_mix: float = 0.1,
    num_batches: int | None = None,
    *,
    fast_resize: bool = False,
    reduced_decode: bool = False,
    worker_type: str = 'process',
) -> Any:
    """Give a dataset its transform and load it in batches of (images, targets).

    Training shuffles and drops the last batch where it is not full. For batches that follow from seed, epoch and
    position alone, and for a say in what happens to damaged images, pass a `KeyedDataset`.

    Args:
        input_size: (C, H, W), or one number; what `create_transform` has is explained there.
        re_split: Leave the first augmentation split un-erased.
        num_aug_repeats: Times each sample is seen in a row (see `RepeatAugSampler`); needs `distributed` or a
            `KeyedDataset`.
        num_aug_splits: Views of each image, as `AugMixDataset` makes them; 0 or at least 2.
        num_workers: Processes, or threads, that load; 0 loads in the main thread.
        distributed: Share the samples with the processes of the default group.
        collate_fn: Makes a batch; by default of bytes with the prefetcher, else torch's own.
        img_dtype: Type of the images that a prefetcher gives.
        device: Where a prefetcher puts the batches.
        use_prefetcher: Normalise, and erase, on the device (`PrefetchLoader`) instead of in the transform.
        persistent_workers: Keep the workers from one epoch to the next.
        worker_seeding: See `_worker_init`.
        input_size_choices: Image sizes of a training whose batches have different ones; see `ScheduledBatchSampler`
            for when each comes.
        batch_size_choices: Samples in a batch of each; `batch_size` by default.
        batch_choice_weights: How likely each is.
        batch_choice_schedule: 'constant', or 'progressive' from the first size to the last in `batch_schedule_epochs`.
        fast_resize: Decode and resize with torch; how far that is from PIL is logged.
        reduced_decode: Decode JPEG files at 1/2, 1/4 or 1/8 of their size where what is resized still has twice the
            pixels of the result along each side; what that does to pixels is logged. For images by index.
        worker_type: 'process'; or 'thread' for an evaluation, whose batches then come sooner and cost less.

    Raises:
        ValueError: An option that does not exist, that does not go with another, or that this version does not have.
    """
    o = _Options(**locals())
    _log_differences(o)
    if input_size_choices is None:
        dataset.transform = _transform(o)
    if isinstance(dataset, IterableImageDataset):
        dataset.set_loader_cfg(num_workers=num_workers)
    loader = _loader(o)
    if not use_prefetcher:
        return loader
    erases = is_training and not no_aug
    return PrefetchLoader(
        loader,
        mean=mean,
        std=std,
        channels=o.channels,
        device=device,
        img_dtype=img_dtype,
        fp16=fp16,
        re_prob=re_prob if erases else 0.0,
        re_mode=re_mode,
        re_count=re_count,
        re_num_splits=o.re_num_splits,
    )


_TRANSFORM_OPTIONS = frozenset(inspect.signature(create_transform).parameters) & {
    *inspect.signature(create_loader).parameters,
    're_num_splits',
}


def _log_differences(o: _Options) -> None:
    """Say what faster ways do to pixels."""
    ways = (
        ('fast resize', o.fast_resize, resize_difference),
        ('reduced decoding', o.reduced_decode, reduced_difference),
    )
    interpolation = 'bicubic' if o.interpolation == 'random' else o.interpolation
    size = (o.input_size,) * 2 if isinstance(o.input_size, int) else tuple(o.input_size)[-2:]
    for name, is_chosen, difference in ways:
        if is_chosen:
            largest, mean = difference((size[0], size[1]), interpolation)
            _logger.info(
                '%s (%s): pixels differ from those of PIL by %d of 255 at most and %.4f on average, '
                'measured on a test picture',
                name,
                interpolation,
                largest,
                mean,
            )


def _transform(o: _Options) -> Any:
    return create_transform(**{name: getattr(o, name) for name in _TRANSFORM_OPTIONS}, separate=o.num_aug_splits > 0)


def _loader(o: _Options) -> DataLoader[Any]:
    sampler = _sampler(o)
    streamed = isinstance(o.dataset, IterableDataset)
    dataset = o.dataset
    options: dict[str, Any] = {
        'collate_fn': o.collate_fn or (fast_collate if o.use_prefetcher else default_collate),
        'pin_memory': o.pin_memory,
    }
    if o.is_threaded:
        options['num_threads'] = o.num_workers
    else:
        persistent = o.persistent_workers or o.use_multi_epochs_loader
        options |= worker_options(o.num_workers, persistent, o.worker_seeding)
    if o.input_size_choices is not None:
        options['batch_sampler'] = _scheduled(o, RandomSampler(dataset) if sampler is None else sampler)
        dataset = _with_choices(o)
    else:
        options['batch_size'] = o.batch_size
        options['shuffle'] = not streamed and sampler is None and o.is_training
        options['sampler'] = sampler
        options['drop_last'] = o.is_training and not isinstance(sampler, KeyedSampler)
    if isinstance(dataset, KeyedDataset):
        return KeyedThreadLoader(dataset.unseeded(), **options) if o.is_threaded else KeyedLoader(dataset, **options)
    if o.is_threaded:
        return ThreadLoader(dataset, **options)
    if o.use_multi_epochs_loader:
        return MultiEpochsDataLoader(dataset, **options)
    return DataLoader(dataset, **options)


def worker_options(num_workers: int, persistent: bool, seeding: str) -> dict[str, Any]:
    """What a DataLoader is told about its workers."""
    if num_workers > 0:
        _end_workers_at_exit()
    return {
        'num_workers': num_workers,
        'worker_init_fn': functools.partial(_worker_init, worker_seeding=seeding),
        'persistent_workers': num_workers > 0 and persistent,
    }


def _scheduled(o: _Options, sampler: Sampler[Any]) -> ScheduledBatchSampler:
    return ScheduledBatchSampler(
        sampler,
        o.batch_size_choices or [o.batch_size] * len(o.input_size_choices),
        o.batch_choice_weights,
        seed=o.batch_choice_seed,
        num_batches=o.num_batches,
        choice_schedule=o.batch_choice_schedule,
        schedule_epochs=o.batch_schedule_epochs,
        schedule_spread=o.batch_schedule_spread,
        schedule_random_mix=o.batch_schedule_random_mix,
    )


def _with_choices(o: _Options) -> Any:
    """The dataset with a transform for each image size, which takes the place of its own."""
    transforms = [_transform(replace(o, input_size=size)) for size in o.input_size_choices]
    o.dataset.transform = None
    if isinstance(o.dataset, KeyedDataset):
        return o.dataset.over(ScheduledTransformDataset(o.dataset.dataset, transforms))
    return ScheduledTransformDataset(o.dataset, transforms)


def _sampler(o: _Options) -> Sampler[Any] | None:
    """The order of the samples, where it is not DataLoader's own business."""
    rank, world_size = o.rank_and_world
    if isinstance(o.dataset, KeyedDataset):
        o.dataset.replaces = o.is_training
        return KeyedSampler(
            len(o.dataset),
            o.batch_size if o.input_size_choices is None else 1,
            seed=o.dataset.seed,
            shuffle=o.is_training,
            drop_last=o.is_training,
            rank=rank,
            world_size=world_size,
            repeats=o.num_aug_repeats if o.is_training and o.num_aug_repeats else 1,
        )
    if not o.distributed or isinstance(o.dataset, IterableDataset):
        if o.num_aug_repeats:
            raise ValueError('num_aug_repeats deals repeats out to processes: use distributed, or a KeyedDataset')
        return None
    if not o.is_training:
        return OrderedDistributedSampler(o.dataset, world_size, rank)
    if o.num_aug_repeats:
        return RepeatAugSampler(o.dataset, world_size, rank, num_repeats=o.num_aug_repeats)
    return DistributedSampler(o.dataset, world_size, rank)
