# pyright: strict
"""Batches of patches (NaFlex) from options, and whether a model takes them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from timm.data import KeyedDataset
from timm.data.naflex_loader import create_naflex_loader
from timm.data.naflex_mixup import NaFlexMixup
from timm.utils import unwrap_model

from .batches import TrainBatches
from .build_augment import augmentation, mixes
from .build_data import preparation
from .build_model import why_not
from .damage import policy_of
from .distributed import World
from .exits import UsageError
from .options import BatchOptions, PatchOptions
from .train_options import TrainOptions

__all__ = ['build_patch_batches', 'build_patch_loader', 'check_patches', 'patch_size_of']


def patch_size_of(model: nn.Module) -> tuple[int, int]:
    """Height and width of the patches that a model embeds; 16 where it does not say."""
    inner: Any = unwrap_model(model)
    for name in ('embeds', 'patch_embed'):
        size: Any = getattr(getattr(inner, name, None), 'patch_size', None)
        if size is not None:
            return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    return 16, 16


def check_patches(model: nn.Module, options: PatchOptions, channels: int) -> None:
    """Refuse a model that cannot make sense of one image of four patches.

    Raises:
        UsageError: It fails on them.
    """
    height, width = patch_size_of(model)
    choices = options.naflex_patch_sizes
    if choices is not None:
        height = width = choices[0]
    shape = (height, width, channels) if choices is not None else (height * width * channels,)
    example: dict[str, Any] = {
        'patches': torch.zeros(1, 4, *shape),
        'patch_coord': torch.tensor([[[0, 0], [0, 1], [1, 0], [1, 1]]]),
        'patch_valid': torch.ones(1, 4, dtype=torch.bool),
        'seq_len': 4,
    }
    reason = why_not(model, example)
    if reason:
        raise UsageError(
            f'--naflex-loader gives patches, which {type(model).__name__} does not take ({reason}): '
            'choose a model that does, such as naflexvit_base_patch16_gap, or leave the flag out'
        )


def _mix(options: TrainOptions, num_classes: int) -> NaFlexMixup | None:
    mix = options.mix
    if not mixes(mix):
        return None
    return NaFlexMixup(
        num_classes=num_classes,
        mixup_alpha=mix.mixup,
        cutmix_alpha=mix.cutmix,
        switch_prob=mix.mixup_switch_prob,
        prob=mix.mixup_prob,
        label_smoothing=options.smoothing.smoothing,
        mixup_off_epoch=mix.mixup_off_epoch,
        multi_label=options.labels.multi_label,
    )


def _shared(
    batch: BatchOptions, preprocessing: Mapping[str, Any], world: World, dtype: torch.dtype | None
) -> dict[str, Any]:
    """What a training and an evaluation have in common, as arguments of `create_naflex_loader`."""
    return {
        'channels': preprocessing['input_size'][0],
        'num_workers': batch.workers,
        'distributed': world.size > 1,
        'rank': world.rank,
        'world_size': world.size,
        'use_prefetcher': not batch.no_prefetcher,
        'pin_memory': batch.pin_mem,
        'img_dtype': dtype or torch.float32,
        'device': world.device,
        'persistent_workers': batch.workers > 0,
    }


def build_patch_batches(
    dataset: Any,
    options: TrainOptions,
    preprocessing: Mapping[str, Any],
    world: World,
    patch_size: tuple[int, int],
    num_classes: int,
    dtype: torch.dtype | None = None,
) -> TrainBatches:
    """Training batches of patches, keyed by position; mixing is part of making a batch.

    Raises:
        UsageError: Options that do not go with patches, or with each other.
    """
    patches, batch, seed = options.patches, options.batch, options.run.seed
    try:
        loader = create_naflex_loader(
            KeyedDataset(dataset, seed, **policy_of(options.data)),
            patch_size=None if patches.naflex_patch_sizes is not None else patch_size,
            patch_size_choices=patches.naflex_patch_sizes,
            patch_size_choice_probs=patches.naflex_patch_size_probs,
            train_seq_lens=patches.naflex_train_seq_lens,
            batch_size=batch.batch_size,
            is_training=True,
            mixup_fn=_mix(options, num_classes),
            seed=seed,
            worker_seeding=options.run.worker_seeding,
            patchify_channels_last=not patches.naflex_patchify_channels_first,
            **augmentation(options, preprocessing),
            **_shared(batch, preprocessing, world, dtype),
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f'cannot load patches like this: {error}') from error
    return TrainBatches(loader, batch.grad_accum_steps, seed=seed, rank=world.rank, world_size=world.size)


def build_patch_loader(
    dataset: Any,
    batch: BatchOptions,
    patches: PatchOptions,
    preprocessing: Mapping[str, Any],
    world: World,
    patch_size: tuple[int, int],
    batch_size: int | None = None,
    dtype: torch.dtype | None = None,
) -> Any:
    """A loader of patches over all of a dataset in order, prepared for evaluation."""
    try:
        return create_naflex_loader(
            dataset,
            patch_size=patch_size,
            max_seq_len=patches.naflex_max_seq_len,
            batch_size=batch_size or batch.batch_size,
            is_training=False,
            **preparation(preprocessing),
            patchify_channels_last=not patches.naflex_patchify_channels_first,
            **_shared(batch, preprocessing, world, dtype),
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f'cannot load patches like this: {error}') from error
