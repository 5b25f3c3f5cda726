"""Loader of patches: batches of several sequence lengths and patch sizes, normalised and erased on the device.

Shapes: B samples, L places of the sequence, P and Q rows and columns of a patch, C channels.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from .constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from .distributed_sampler import OrderedDistributedSampler
from .keyed import KeyedDataset, KeyedLoader, KeyedSampler
from .loader import PrefetchLoader, adapt_to_chs, worker_options
from .naflex_dataset import NaFlexBatchSampler, NaFlexCollator, NaFlexMapDatasetWrapper, PatchSize, PixelCollator
from .naflex_random_erasing import PatchRandomErasing
from .transforms_factory import create_transform

__all__ = [
    'NaFlexCollator',
    'NaFlexMapDatasetWrapper',
    'NaFlexPrefetchLoader',
    'PatchRandomErasing',
    'adapt_to_chs',
    'create_naflex_loader',
    'create_transform',
]


class NaFlexPrefetchLoader(PrefetchLoader):
    """Batches of a loader of patches, copied to the device one ahead, normalised and erased there.

    `patches`, (B, L, P Q C) or (B, L, P, Q, C) with values of 0 to 255, become floats; what fills a sequence up is
    normalised like black pixels. The other tensors of a batch are copied as they are.

    Args:
        mean: Mean of each channel, 0 to 1, adapted to `channels`.
        std: Deviation of each channel.
        img_dtype: Type of the patches; float32 by default.
        re_prob: Chance of random erasing; see `PatchRandomErasing` for these four.
        patchify_channels_last: Whether patches have their channels after the pixels, or before.
    """

    def __init__(
        self,
        loader: Any,
        mean: float | Sequence[float] = IMAGENET_DEFAULT_MEAN,
        std: float | Sequence[float] = IMAGENET_DEFAULT_STD,
        channels: int = 3,
        device: torch.device = torch.device('cuda'),  # noqa: B008 - an immutable value
        img_dtype: torch.dtype | None = None,
        re_prob: float = 0.0,
        re_mode: str = 'const',
        re_count: int = 1,
        re_num_splits: int = 0,
        patchify_channels_last: bool = True,
    ) -> None:
        super().__init__(loader, mean, std, channels, device, img_dtype)
        self.mean, self.std = self.mean.flatten(), self.std.flatten()
        self.channels = channels
        self.patchify_channels_last = patchify_channels_last
        self.random_erasing = None
        if re_prob > 0:
            self.random_erasing = PatchRandomErasing(
                re_prob, mode=re_mode, max_count=re_count, num_splits=re_num_splits, device=self.device
            )

    def _prepared(self, batch: tuple[Any, Tensor]) -> tuple[Any, Tensor]:
        on_host, target = batch
        moved = {
            name: value.to(self.device, non_blocking=True) if isinstance(value, Tensor) else value
            for name, value in on_host.items()
        }
        patches = torch.empty(moved['patches'].shape, dtype=self.img_dtype, device=self.device).copy_(moved['patches'])
        pixels = self._pixels(patches)
        pixels.sub_(self.mean).div_(self.std)
        if self.random_erasing is not None:
            # Where a patch lies is known on the host, so that drawing waits for no device.
            where = on_host['patch_coord'], on_host['patch_valid']
            seeds = self._erasing_seeds(len(pixels))
            if seeds is None:
                self.random_erasing(pixels, *where)
            else:
                self.random_erasing.keyed(pixels, *where, seeds)
        return {**moved, 'patches': patches}, target.to(self.device, non_blocking=True)

    def _pixels(self, patches: Tensor) -> Tensor:
        """The same memory as (B, L, P Q, C)."""
        last = self.patchify_channels_last
        if patches.ndim == 3 and not patches.shape[2] % self.channels:
            pixels = patches.unflatten(2, (-1, self.channels) if last else (self.channels, -1))
        elif patches.ndim == 5 and patches.shape[4 if last else 2] == self.channels:
            pixels = patches.flatten(2, 3) if last else patches.flatten(3, 4)
        else:
            order = '(B, L, P Q C) or (B, L, P, Q, C)' if last else '(B, L, C P Q) or (B, L, C, P, Q)'
            raise ValueError(
                f'patches are {order} with {self.channels} channels, got a shape of {tuple(patches.shape)}: see '
                'channels and patchify_channels_last'
            )
        return pixels if last else pixels.transpose(2, 3)


@dataclass(frozen=True)
class _Options:
    """The arguments of `create_naflex_loader`, by their names; it says what they mean."""

    dataset: Any
    patch_size: PatchSize | None
    patch_size_choices: Sequence[PatchSize] | None
    patch_size_choice_probs: Sequence[float] | None
    train_seq_lens: Sequence[int]
    max_seq_len: int
    batch_size: int
    is_training: bool
    mixup_fn: Callable[..., Any] | None
    no_aug: bool
    re_prob: float
    re_mode: str
    re_count: int
    re_split: bool
    train_crop_mode: str | None
    scale: tuple[float, float] | None
    ratio: tuple[float, float] | None
    hflip: float
    vflip: float
    color_jitter: Any
    color_jitter_prob: float | None
    grayscale_prob: float | None
    gaussian_blur_prob: float | None
    auto_augment: str | None
    num_aug_repeats: int
    num_aug_splits: int
    interpolation: str
    mean: Sequence[float]
    std: Sequence[float]
    channels: int
    crop_pct: float | None
    crop_mode: str | None
    crop_border_pixels: int | None
    num_workers: int
    distributed: bool
    rank: int
    world_size: int
    seed: int
    epoch: int
    use_prefetcher: bool
    pin_memory: bool
    img_dtype: torch.dtype
    device: torch.device
    persistent_workers: bool
    worker_seeding: str
    patchify_channels_last: bool

    def __post_init__(self) -> None:
        if self.worker_seeding not in ('all', 'part'):
            raise ValueError(f"worker_seeding is 'all' or 'part', got {self.worker_seeding!r}")
        for name in ('num_aug_repeats', 'num_aug_splits', 're_split'):
            if getattr(self, name):
                raise ValueError(f'{name} does not go with batches of patches: leave it out')
        if self.batch_size < 1:
            raise ValueError(f'a batch has one sample or more, got batch_size {self.batch_size}')
        if isinstance(self.dataset, IterableDataset):
            raise TypeError('batches of patches are planned by index, which an iterable dataset does not have')

    @property
    def rank_and_world(self) -> tuple[int, int]:
        """This process and their number."""
        return (self.rank, self.world_size) if self.distributed else (0, 1)


def create_naflex_loader(
    dataset: Any,
    patch_size: PatchSize | None = None,
    patch_size_choices: Sequence[PatchSize] | None = None,
    patch_size_choice_probs: Sequence[float] | None = None,
    train_seq_lens: Sequence[int] = (128, 256, 576, 784, 1024),
    max_seq_len: int = 576,
    batch_size: int = 32,
    is_training: bool = False,
    mixup_fn: Callable[..., Any] | None = None,
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
    num_aug_repeats: int = 0,
    num_aug_splits: int = 0,
    interpolation: str = 'bilinear',
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
    channels: int = 3,
    crop_pct: float | None = None,
    crop_mode: str | None = None,
    crop_border_pixels: int | None = None,
    num_workers: int = 4,
    distributed: bool = False,
    rank: int = 0,
    world_size: int = 1,
    seed: int = 42,
    epoch: int = 0,
    use_prefetcher: bool = True,
    pin_memory: bool = True,
    img_dtype: torch.dtype = torch.float32,
    device: torch.device = torch.device('cuda'),  # noqa: B008 - an immutable value
    persistent_workers: bool = True,
    worker_seeding: str = 'all',
    patchify_channels_last: bool = True,
) -> Any:
    """Give a dataset its transforms and load it in batches of (dict of patches, targets); see `NaFlexCollator`.

    A training has batches of several sequence lengths, planned as `NaFlexMapDatasetWrapper` says. Over a `KeyedDataset`
    the samples, too, follow from seed, epoch and position alone, and `loader.sampler.set_epoch(epoch, first_batch)`
    takes an epoch up in the middle. An evaluation has all sequences filled up to `max_seq_len`.

    Args:
        patch_size: The one patch size; 16 by default.
        patch_size_choices: Patch sizes that the batches of a training draw from instead; their patches stay images.
        patch_size_choice_probs: How likely each is.
        train_seq_lens: Sequence lengths that the batches of a training draw from.
        max_seq_len: Sequence length of an evaluation.
        batch_size: Samples in a batch of an evaluation, and of a training where its sequences are longest; shorter
            ones make up for it, with as many tokens in a batch.
        mixup_fn: Mixes the images of a training batch and their targets (`NaFlexMixup`).
        scale: What `create_transform` has, is explained there.
        channels: Channels of an image.
        distributed: Share the samples with the other of `world_size` processes.
        seed: Orders the batches, and the samples where the dataset has no keys.
        epoch: The first epoch of a training.
        use_prefetcher: Normalise, and erase patches, on the device (`NaFlexPrefetchLoader`) instead of in the
            transform.
        patchify_channels_last: Order of the numbers of a patch: by pixel, or by channel.

    Raises:
        ValueError: An option that does not exist, or that does not go with patches.
        TypeError: The dataset has no index.
    """
    o = _Options(**locals())
    loader = _training(o) if is_training else _evaluation(o)
    return _prefetched(o, loader) if use_prefetcher else loader


_SHARED = frozenset(inspect.signature(create_transform).parameters) & {
    *inspect.signature(create_naflex_loader).parameters
} - {'patch_size', 'max_seq_len'}


def _transform(o: _Options, **more: Any) -> Any:
    return create_transform(**{name: getattr(o, name) for name in _SHARED}, naflex=True, **more)


def _training(o: _Options) -> DataLoader[Any]:
    keyed = isinstance(o.dataset, KeyedDataset)
    inner = o.dataset.dataset if keyed else o.dataset
    inner.transform = None  # a sample gets that of its batch
    rank, world_size = o.rank_and_world
    planner = NaFlexMapDatasetWrapper(
        inner,
        o.patch_size,
        o.patch_size_choices,
        o.patch_size_choice_probs,
        o.train_seq_lens,
        max_tokens_per_batch=o.batch_size * max(o.train_seq_lens, default=0),
        transform_factory=functools.partial(_transform, o),
        mixup_fn=o.mixup_fn,
        seed=o.seed,
        distributed=o.distributed,
        rank=rank,
        world_size=world_size,
        epoch=o.epoch,
        patchify_channels_last=o.patchify_channels_last,
    )
    planner.collate.keeps_bytes = o.use_prefetcher
    options = _options(o)
    if not keyed:
        return DataLoader(planner, batch_size=None, **options)
    dataset = o.dataset.over(planner.samples)
    dataset.replaces = True
    order = KeyedSampler(len(dataset), 1, seed=dataset.seed, shuffle=True, rank=rank, world_size=world_size)
    order.set_epoch(o.epoch)
    sampler = NaFlexBatchSampler(order, planner)
    return KeyedLoader(dataset, collate_fn=planner.collate, batch_sampler=sampler, **options)


def _evaluation(o: _Options) -> DataLoader[Any]:
    o.dataset.transform = _transform(o, patch_size=_one_patch_size(o), max_seq_len=o.max_seq_len, patchify=True)
    rank, world_size = o.rank_and_world
    collate = (PixelCollator if o.use_prefetcher else NaFlexCollator)(o.max_seq_len)
    options = {**_options(o), 'collate_fn': collate, 'batch_size': o.batch_size}
    if isinstance(o.dataset, KeyedDataset):
        o.dataset.replaces = False
        sampler = KeyedSampler(len(o.dataset), o.batch_size, seed=o.dataset.seed, rank=rank, world_size=world_size)
        return KeyedLoader(o.dataset, sampler=sampler, **options)
    if o.distributed:
        options['sampler'] = OrderedDistributedSampler(o.dataset, world_size, rank)
    return DataLoader(o.dataset, **options)


def _one_patch_size(o: _Options) -> PatchSize:
    """The patch size of an evaluation: the one that is given, or the only choice, or the usual one among them."""
    if o.patch_size is not None:
        return o.patch_size
    choices = o.patch_size_choices or [16]
    if len(choices) == 1:
        return choices[0]
    if 16 not in choices:
        raise ValueError(f'an evaluation has one patch size, and 16 is none of {choices!r}: give patch_size')
    return 16


def _options(o: _Options) -> dict[str, Any]:
    return {
        'pin_memory': o.pin_memory and torch.cuda.is_available(),
        **worker_options(o.num_workers, o.persistent_workers, o.worker_seeding),
    }


def _prefetched(o: _Options, loader: DataLoader[Any]) -> NaFlexPrefetchLoader:
    return NaFlexPrefetchLoader(
        loader,
        mean=o.mean,
        std=o.std,
        channels=o.channels,
        device=o.device,
        img_dtype=o.img_dtype,
        re_prob=o.re_prob if o.is_training and not o.no_aug else 0.0,
        re_mode=o.re_mode,
        re_count=o.re_count,
        patchify_channels_last=o.patchify_channels_last,
    )
