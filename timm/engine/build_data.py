# pyright: strict
"""Datasets and loaders from options."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset

from timm.data import AugMixDataset, FastCollateMixup, ImageRules, KeyedDataset, Mixup, create_dataset, create_loader
from timm.data._decode import channels_of
from timm.data.loader import fast_collate
from timm.data.target_transforms import MultiLabelTarget

from .batches import TrainBatches
from .build_augment import augmentation, scheduled_sizes
from .damage import policy_of
from .data_record import classes_of, is_listed
from .distributed import World
from .exits import DataError, UsageError
from .options import BatchOptions, DataOptions, LabelOptions
from .train_options import TrainOptions

__all__ = [
    'Split',
    'build_eval_loader',
    'build_train_batches',
    'check_labels',
    'check_same_labels',
    'class_names',
    'encode_labels',
    'open_dataset',
    'preparation',
    'warn_if_same',
]

_logger = logging.getLogger(__name__)
_STREAMED = ('hfids', 'tfds', 'wds')
_DECODED_ELSEWHERE = (*_STREAMED, 'torch')
_IN_FIELDS = ('hfds', *_STREAMED)


@dataclass(frozen=True)
class Split:
    """One part of a dataset to open.

    Attributes:
        num_samples: Its size, for a stream that does not know it.
        batch_size: Batches that a stream plans for.
        repeats: Passes of a stream over it in an epoch.
        max_batches: Batches of a stream in an epoch, where that is not all of it.
        target_format: How several labels of an image come, where the reader has to know.
    """

    name: str
    training: bool = False
    num_samples: int | None = None
    batch_size: int = 1
    seed: int = 42
    repeats: float = 0.0
    max_batches: int | None = None
    target_format: str | None = None


def open_dataset(options: DataOptions, split: Split, channels: int) -> Any:
    """The dataset of a split, not empty.

    Raises:
        UsageError: No dataset is named at all, or one that an option does not reach.
        DataError: There is none of that name, or nothing in it.
    """
    root = options.root
    if not root and not options.dataset:
        raise UsageError('no data: give the folder of a dataset with --data-dir, or name one with --dataset')
    if root and not options.dataset and not Path(root).exists():
        raise DataError(f'there is no folder or archive {root}')
    mode = options.input_img_mode or ('RGB' if channels == 3 else 'L')
    _check_channels(mode, channels)
    damage = policy_of(options)
    kind, limit = options.dataset.partition('/')[0].lower(), options.max_image_pixels
    if limit is not None and kind in _DECODED_ELSEWHERE:
        raise UsageError(
            f'--max-image-pixels does not reach images of {kind}/: leave it out, for a limit of 89 million'
        )
    if options.target_key and kind not in _IN_FIELDS:
        raise UsageError(
            f'--target-key names a field of {"/, ".join(_IN_FIELDS)}/: classes of other datasets have no such name'
        )
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
            input_img_mode=mode,
            input_key=options.input_key,
            target_key=options.target_key,
            num_samples=split.num_samples,
            trust_remote_code=options.dataset_trust_remote_code,
            repeats=int(split.repeats),
            max_steps=split.max_batches if kind in _STREAMED else None,
            target_format=split.target_format,
            image_rules=None if limit is None else ImageRules(max_pixels=limit),
            **({'keyed': True, **damage} if kind in _STREAMED else {}),
        )
    except (RuntimeError, ValueError, TypeError, KeyError, OSError, AssertionError, ImportError) as error:
        where = ' in '.join(filter(None, (options.dataset, root)))
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise DataError(f'cannot open split {split.name!r} of {where}: {reason}') from error
    if hasattr(dataset, '__len__') and not len(dataset):
        raise DataError(f'split {split.name!r} of {options.dataset or root} is empty')
    if split.num_samples is not None and kind not in _STREAMED:
        _logger.warning(
            'A number of samples is for streams: split %r has an index, and all of its %d are taken',
            split.name,
            len(dataset),
        )
    return dataset


def _check_channels(mode: str, channels: int) -> None:
    """Refuse images of another number of channels than the model takes."""
    try:
        bands = channels_of(mode)
    except ValueError as error:
        raise UsageError(f'--input-img-mode: {error}') from error
    if bands != channels:
        raise UsageError(
            f'images of mode {mode} have {bands} channels and the model takes {channels}: give --in-chans {bands}, or '
            f'an --input-img-mode that has as many'
        )


def warn_if_same(train: Any, validation: Any) -> None:
    """Say so if evaluation reads the very files of training, as happens in a folder without splits."""
    if not (is_listed(train) and is_listed(validation)) or len(train) != len(validation):
        return
    if all(train.filename(i, absolute=True) == validation.filename(i, absolute=True) for i in range(len(train))):
        _logger.warning('training and evaluation read the same %d files: the scores say nothing new', len(train))


def encode_labels(dataset: Any, labels: LabelOptions, num_classes: int) -> None:
    """Make rows of 0 and 1 of the targets where an image may have several; a single index is a list of one."""
    if not labels.multi_label:
        return
    encode = MultiLabelTarget(num_classes, dense=labels.target_format == 'multihot')
    dataset.target_transform = encode if encode.dense else _Listed(encode)


@dataclass
class _Listed:
    """Takes a class index, as a folder gives it, for a list of one; workers get it by pickle."""

    encode: Callable[[Any], Any]

    def __call__(self, target: Any) -> Any:
        return self.encode([target] if isinstance(target, int) else target)


def check_labels(dataset: Any, num_classes: int) -> None:
    """Refuse a dataset of more classes than the model tells apart.

    Raises:
        UsageError: It has.
    """
    classes = classes_of(dataset)
    if classes and max(classes.values()) >= num_classes > 0:
        raise UsageError(f'the dataset has {len(classes)} classes and the model {num_classes}: give --num-classes')


def check_same_labels(before: Mapping[Any, int], evaluated: Any) -> None:
    """Refuse an evaluation that numbers a class of the training anew, as happens where a folder for one is missing.

    Args:
        before: Index of each class of the training by its name.

    Raises:
        DataError: It does.
    """
    now = classes_of(evaluated)
    moved = [name for name, index in now.items() if before.get(name, index) != index]
    if moved:
        name = moved[0]
        raise DataError(
            f'class {name!r} is number {before[name]} in training and {now[name]} in evaluation ({len(moved)} of '
            f'{len(now)} differ): give each class a folder in both splits, or number them with --class-map'
        )


def class_names(dataset: Any) -> list[str]:
    """The names of a dataset's classes by index; empty where it does not know them all."""
    by_index = {index: str(name) for name, index in classes_of(dataset).items()}
    known = by_index.keys() == set(range(len(by_index)))
    return [by_index[i] for i in range(len(by_index))] if known else []


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
    collate = mix if isinstance(mix, FastCollateMixup) else None
    if augment.aug_splits > 1:
        dataset = AugMixDataset(dataset, augment.aug_splits)
        collate = fast_collate  # also of floats: views come one after the other
    try:
        loader = create_loader(
            dataset if streamed else KeyedDataset(dataset, seed, **policy_of(options.data)),
            preprocessing['input_size'],
            batch.batch_size,
            is_training=True,
            **augmentation(options, preprocessing),
            num_workers=batch.workers,
            distributed=world.size > 1,
            collate_fn=collate,
            pin_memory=batch.pin_mem,
            device=world.device,
            img_dtype=dtype or torch.float32,
            use_prefetcher=not batch.no_prefetcher,
            persistent_workers=not streamed,
            fast_resize=batch.fast_resize,
            reduced_decode=batch.reduced_decode,
            worker_seeding=options.run.worker_seeding,
            **({} if streamed else scheduled_sizes(options, preprocessing['input_size'])),
        )
    except (ValueError, TypeError, NotImplementedError) as error:
        raise UsageError(f'cannot load the training images like this: {error}') from error
    return TrainBatches(loader, batch.grad_accum_steps, mix, options.mix.mixup_off_epoch, seed, world.rank, world.size)


def preparation(preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """How an image is prepared for an evaluation, apart from its size, as arguments of a loader."""
    return {name: preprocessing[name] for name in ('interpolation', 'mean', 'std', 'crop_pct', 'crop_mode')}


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
    unfit = {'--worker-type thread': options.worker_type == 'thread', '--reduced-decode': options.reduced_decode}
    for name, given in unfit.items():
        if given and isinstance(dataset, IterableDataset):
            raise UsageError(f'{name} needs images by index, which this dataset streams: leave it out')
    try:
        return create_loader(
            dataset,
            preprocessing['input_size'],
            batch_size or options.batch_size,
            is_training=False,
            **preparation(preprocessing),
            num_workers=options.workers,
            distributed=world.size > 1,
            pin_memory=options.pin_mem,
            device=world.device,
            img_dtype=dtype or torch.float32,
            use_prefetcher=not options.no_prefetcher,
            persistent_workers=options.workers > 0,
            fast_resize=options.fast_resize,
            reduced_decode=options.reduced_decode,
            worker_type=options.worker_type,
            **more,
        )
    except (ValueError, TypeError, NotImplementedError) as error:
        raise UsageError(f'cannot load the images to evaluate like this: {error}') from error
