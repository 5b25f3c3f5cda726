# pyright: strict
"""Datasets and loaders from options."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset

from timm.data import FastCollateMixup, KeyedDataset, Mixup, create_dataset, create_loader

from .batches import TrainBatches
from .distributed import World
from .exits import DataError, UsageError
from .options import BatchOptions, DataOptions
from .train_options import MixOptions, TrainOptions

__all__ = ['Split', 'build_eval_loader', 'build_mix', 'build_train_batches', 'mixes', 'open_dataset', 'warn_if_same']

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """One part of a dataset to open."""

    name: str
    training: bool = False
    num_samples: int | None = None
    batch_size: int = 1
    seed: int = 42


def open_dataset(options: DataOptions, split: Split, channels: int) -> Any:
    """The dataset of a split, not empty.

    Raises:
        UsageError: No dataset is named at all.
        DataError: There is none of that name, or nothing in it.
    """
    root = options.root
    if not root and not options.dataset:
        raise UsageError('no data: give the folder of a dataset with --data-dir, or name one with --dataset')
    if root and not options.dataset and not Path(root).exists():
        raise DataError(f'there is no folder or archive {root}')
    try:
        dataset = create_dataset(
            options.dataset,
            root=root,
            split=split.name,
            is_training=split.training,
            class_map=options.class_map or None,
            download=options.dataset_download,
            batch_size=split.batch_size,
            seed=split.seed,
            input_img_mode=options.input_img_mode or ('RGB' if channels == 3 else 'L'),
            input_key=options.input_key,
            target_key=options.target_key,
            num_samples=split.num_samples,
            trust_remote_code=options.dataset_trust_remote_code,
        )
    except (RuntimeError, ValueError, OSError, AssertionError, ImportError) as error:
        where = ' in '.join(filter(None, (options.dataset, root)))
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise DataError(f'cannot open split {split.name!r} of {where}: {reason}') from error
    if hasattr(dataset, '__len__') and not len(dataset):
        raise DataError(f'split {split.name!r} of {options.dataset or root} is empty')
    return dataset


def warn_if_same(train: Any, validation: Any) -> None:
    """Say so if evaluation reads the very files of training, as happens in a folder without splits."""
    if not (hasattr(train, 'filenames') and hasattr(validation, 'filenames')) or len(train) != len(validation):
        return
    if train.filenames(absolute=True) == validation.filenames(absolute=True):
        _logger.warning('training and evaluation read the same %d files: the scores say nothing new', len(train))


def mixes(options: MixOptions) -> bool:
    """Whether any mixing of samples is asked for."""
    return options.mixup > 0 or options.cutmix > 0 or options.cutmix_minmax is not None


def build_mix(options: TrainOptions, num_classes: int) -> Mixup | None:
    """What mixes the samples of a batch, in the loader where that still has bytes; None where nothing does."""
    mix, batch = options.mix, options.batch
    if not mixes(mix):
        return None
    if batch.batch_size % 2 and mix.mixup_mode != 'elem':
        raise UsageError(f'mixing pairs the samples of a batch: --batch-size has to be even, not {batch.batch_size}')
    return (Mixup if batch.no_prefetcher else FastCollateMixup)(
        mixup_alpha=mix.mixup,
        cutmix_alpha=mix.cutmix,
        cutmix_minmax=mix.cutmix_minmax,
        prob=mix.mixup_prob,
        switch_prob=mix.mixup_switch_prob,
        mode=mix.mixup_mode,
        label_smoothing=options.smoothing.smoothing,
        num_classes=num_classes,
    )


def build_train_batches(
    dataset: Any,
    options: TrainOptions,
    preprocessing: Mapping[str, Any],
    world: World,
    mix: Mixup | None = None,
    dtype: torch.dtype | None = None,
) -> TrainBatches:
    """Training batches, keyed by position where the dataset has an index."""
    batch, augment, seed = options.batch, options.augment, options.run.seed
    streamed = isinstance(dataset, IterableDataset)
    plain = augment.no_aug or not augment.train_interpolation
    loader = create_loader(
        dataset if streamed else KeyedDataset(dataset, seed),
        preprocessing['input_size'],
        batch.batch_size,
        is_training=True,
        no_aug=augment.no_aug,
        re_prob=augment.reprob,
        re_mode=augment.remode,
        re_count=augment.recount,
        train_crop_mode=augment.train_crop_mode,
        scale=augment.scale,
        ratio=augment.ratio,
        hflip=augment.hflip,
        vflip=augment.vflip,
        color_jitter=augment.color_jitter,
        color_jitter_prob=augment.color_jitter_prob,
        grayscale_prob=augment.grayscale_prob,
        gaussian_blur_prob=augment.gaussian_blur_prob,
        auto_augment=augment.aa,
        interpolation=preprocessing['interpolation'] if plain else augment.train_interpolation,
        mean=preprocessing['mean'],
        std=preprocessing['std'],
        num_workers=batch.workers,
        distributed=world.size > 1,
        collate_fn=mix if isinstance(mix, FastCollateMixup) else None,
        pin_memory=batch.pin_mem,
        device=world.device,
        img_dtype=dtype or torch.float32,
        use_prefetcher=not batch.no_prefetcher,
        persistent_workers=not streamed,
    )
    return TrainBatches(loader, batch.grad_accum_steps, mix, options.mix.mixup_off_epoch, seed, world.rank)


def build_eval_loader(
    dataset: Any,
    options: BatchOptions,
    preprocessing: Mapping[str, Any],
    world: World,
    batch_size: int | None = None,
    dtype: torch.dtype | None = None,
    **more: Any,
) -> Any:
    """A loader over all of a dataset in order, prepared for evaluation; `more` goes to `create_loader`."""
    if world.size > 1 and not isinstance(dataset, IterableDataset):
        dataset = KeyedDataset(dataset)  # shares the samples out without repeating any
    return create_loader(
        dataset,
        preprocessing['input_size'],
        batch_size or options.batch_size,
        is_training=False,
        interpolation=preprocessing['interpolation'],
        mean=preprocessing['mean'],
        std=preprocessing['std'],
        crop_pct=preprocessing['crop_pct'],
        crop_mode=preprocessing['crop_mode'],
        num_workers=options.workers,
        distributed=world.size > 1,
        pin_memory=options.pin_mem,
        device=world.device,
        img_dtype=dtype or torch.float32,
        use_prefetcher=not options.no_prefetcher,
        persistent_workers=options.workers > 0,
        **more,
    )
