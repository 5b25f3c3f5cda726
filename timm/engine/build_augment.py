# pyright: strict
"""How training images are changed and mixed, and in which sizes they come: from options to arguments of loaders."""

from collections.abc import Callable, Mapping
from typing import Any

from timm.data import FastCollateMixup, Mixup

from .exits import UsageError
from .train_options import MixOptions, TrainOptions

__all__ = ['augmentation', 'build_mix', 'mixes', 'scheduled_sizes', 'weight_of_batch']


def mixes(options: MixOptions) -> bool:
    """Whether any mixing of samples is asked for."""
    return options.mixup > 0 or options.cutmix > 0 or options.cutmix_minmax is not None


def build_mix(options: TrainOptions, num_classes: int) -> Mixup | None:
    """What mixes the samples of a batch, in the loader where that still has bytes; None where nothing does."""
    mix, batch = options.mix, options.batch
    if not mixes(mix) or options.patches.naflex_loader:
        return None
    odd = [size for size in (options.sizes.train_batch_sizes or (batch.batch_size,)) if size % 2]
    if odd and mix.mixup_mode != 'elem':
        raise UsageError(f'mixing pairs the samples of a batch: --batch-size has to be even, not {odd[0]}')
    try:
        return (Mixup if batch.no_prefetcher else FastCollateMixup)(
            mixup_alpha=mix.mixup,
            cutmix_alpha=mix.cutmix,
            cutmix_minmax=mix.cutmix_minmax,
            prob=mix.mixup_prob,
            switch_prob=mix.mixup_switch_prob,
            mode=mix.mixup_mode,
            label_smoothing=options.smoothing.smoothing,
            num_classes=num_classes,
            multi_label=options.labels.multi_label,
        )
    except ValueError as error:
        raise UsageError(f'cannot mix samples like this: {error}') from error


def weight_of_batch(options: TrainOptions) -> Callable[[int], float] | None:
    """From the samples of a micro-batch to the weight of its loss, where batches differ in size; None for 1."""
    kind = options.patches.naflex_loss_scale if options.patches.naflex_loader else None
    if options.sizes.train_img_sizes is not None:
        kind = options.sizes.variable_batch_loss_scale
    exponent = {'sqrt': 0.5, 'linear': 1.0}.get(kind or 'none')
    usual = options.batch.batch_size
    return None if exponent is None else lambda size: (size / usual) ** exponent


def augmentation(options: TrainOptions, preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """How training images are changed, as arguments of both kinds of loader."""
    augment = options.augment
    plain = augment.no_aug or not augment.train_interpolation
    return {
        'no_aug': augment.no_aug,
        're_prob': augment.reprob,
        're_mode': augment.remode,
        're_count': augment.recount,
        're_split': augment.resplit,
        'train_crop_mode': augment.train_crop_mode,
        'scale': augment.scale,
        'ratio': augment.ratio,
        'hflip': augment.hflip,
        'vflip': augment.vflip,
        'color_jitter': augment.color_jitter,
        'color_jitter_prob': augment.color_jitter_prob,
        'grayscale_prob': augment.grayscale_prob,
        'gaussian_blur_prob': augment.gaussian_blur_prob,
        'auto_augment': augment.aa,
        'num_aug_repeats': augment.aug_repeats,
        'num_aug_splits': augment.aug_splits,
        'interpolation': preprocessing['interpolation'] if plain else augment.train_interpolation,
        'mean': preprocessing['mean'],
        'std': preprocessing['std'],
    }


def scheduled_sizes(options: TrainOptions, size: tuple[int, ...]) -> dict[str, Any]:
    """Image and batch sizes by batch, as arguments of `create_loader`; empty for one size and whole epochs.

    An epoch of a given number of batches is planned as a schedule of one size.
    """
    sizes = options.sizes
    if sizes.train_img_sizes is None and sizes.train_batches_per_epoch is None:
        return {}
    return {
        'input_size_choices': [size] if sizes.train_img_sizes is None else list(sizes.train_img_sizes),
        'batch_size_choices': sizes.train_batch_sizes,
        'batch_choice_weights': sizes.train_size_probs,
        'batch_choice_seed': options.run.seed,
        'batch_choice_schedule': sizes.train_size_schedule,
        'batch_schedule_epochs': options.schedule.epochs,
        'batch_schedule_spread': sizes.train_size_schedule_spread,
        'batch_schedule_random_mix': sizes.train_size_random_mix,
        'num_batches': sizes.train_batches_per_epoch,
    }
