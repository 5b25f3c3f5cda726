# pyright: strict
"""Options of a training that do not go together, refused before anything is read."""

from collections.abc import Iterator

from .build_augment import mixes
from .build_task import loss_name
from .exits import UsageError
from .train_options import TrainOptions
from .views import NUM_VIEWS

__all__ = ['check_training']


def check_training(options: TrainOptions) -> None:
    """Refuse what cannot be meant.

    Raises:
        UsageError: Says which options exclude each other, and what to do; of several the first.
    """
    rules = (*_splits(options), *_patches(options), *_scripted(options), *_others(options), *_shards(options))
    for wrong, reason in rules:
        if wrong:
            raise UsageError(reason)


Rule = tuple[bool, str]


def _splits(options: TrainOptions) -> Iterator[Rule]:
    """Several views of each image."""
    augment, norm = options.augment, options.norm
    splits = augment.aug_splits
    yield splits == 1, '--aug-splits 1 is no split: give 2 or more, or leave it out'
    yield splits > 1 and augment.no_aug, '--aug-splits makes views by augmentation: leave out --no-aug'
    jsd = loss_name(options.loss) == 'jsd'
    yield jsd and splits < 2, 'the jsd loss compares views of an image: give --aug-splits 3'
    yield splits > 1 and mixes(options.mix), '--aug-splits and mixing exclude each other: leave one of them out'
    yield norm.split_bn and not (splits or augment.resplit), '--split-bn needs views to split by: give --aug-splits'
    yield norm.split_bn and options.parallel.sync_bn, '--split-bn and --sync-bn exclude each other'
    uneven = norm.split_bn and not splits and options.batch.batch_size % 2 == 1
    yield uneven, f'--split-bn splits a batch in two: --batch-size has to be even, not {options.batch.batch_size}'


def _shards(options: TrainOptions) -> Iterator[Rule]:
    """Weights in shards."""
    fsdp, device = options.safety.fsdp, options.device
    others = {
        '--clip-mode agc': options.optim.clip_grad is not None and options.optim.clip_mode == 'agc',
        '--torchscript': device.torchscript,
        '--model-ema-force-cpu': options.ema.model_ema_force_cpu,
        '--kd-model-name': options.distill.kd_model_name is not None,
        '--sync-bn': options.parallel.sync_bn,
    }
    for name, given in others.items():
        yield fsdp and given, f'--fsdp does not go with {name}: leave one of them out'


def _patches(options: TrainOptions) -> Iterator[Rule]:
    """Batches of patches."""
    if not options.patches.naflex_loader:
        return
    unfit = {
        '--aug-splits': options.augment.aug_splits,
        '--aug-repeats': options.augment.aug_repeats,
        '--resplit': options.augment.resplit,
        '--train-img-sizes': options.sizes.train_img_sizes,
        '--train-batches-per-epoch': options.sizes.train_batches_per_epoch,
        '--cutmix-minmax': options.mix.cutmix_minmax,
        '--mixup-mode': options.mix.mixup_mode != 'batch',
        '--save-images': options.run.save_images,
        '--tta': options.run.tta > 1,
        '--kd-model-name': options.distill.kd_model_name,
        '--torchscript': options.device.torchscript,
        '--fast-resize': options.batch.fast_resize,
        '--reduced-decode': options.batch.reduced_decode,
        '--worker-type': options.batch.worker_type != 'process',
    }
    for name, given in unfit.items():
        yield bool(given), f'{name} is for images, --naflex-loader loads patches: leave one of them out'


def _scripted(options: TrainOptions) -> Iterator[Rule]:
    """Models that are scripted."""
    if not options.device.torchscript:
        return
    unfit = {
        '--sync-bn': options.parallel.sync_bn,
        '--split-bn': options.norm.split_bn,
        '--grad-checkpointing': options.run.grad_checkpointing,
        '--torchcompile': options.device.torchcompile,
        '--kd-distill-type feature': options.distill.kd_model_name and options.distill.kd_distill_type != 'logit',
    }
    for name, given in unfit.items():
        yield bool(given), f'{name} does not work on a scripted model: leave out --torchscript, or {name}'


def _others(options: TrainOptions) -> Iterator[Rule]:
    yield options.model.num_classes == 0, '--num-classes 0 leaves no classifier to train: give 1 or more'
    eager = options.device.torchcompile == 'eager' and options.run.grad_checkpointing
    yield eager, '--torchcompile eager cannot compute activations twice: take another backend, such as aot_eager'
    regularize, past = options.regularize, options.past
    both = None not in (past.drop_connect, regularize.drop_path) and past.drop_connect != regularize.drop_path
    yield both, f'--drop-connect {past.drop_connect} is an older name of --drop-path: give that alone'
    count = options.run.tta or 1
    yield count not in NUM_VIEWS, f'--tta {count} is no number of views: one of {", ".join(map(str, NUM_VIEWS))}'
    passes = options.schedule.epoch_repeats
    yield passes != int(passes), f'--epoch-repeats {passes} is no number of whole passes'
    distills = options.distill.kd_model_name is not None
    labels = options.labels
    dense = labels.target_format == 'multihot' and not labels.multi_label
    yield dense, '--target-format multihot is for several labels an image: give --task multilabel, or leave it out'
    several = labels.multi_label and distills
    yield several, '--task multilabel has no teacher: distillation compares probabilities that sum to 1'
    jsd = loss_name(options.loss) == 'jsd'
    yield distills and jsd, '--kd-model-name and the jsd loss exclude each other'
    sizes = options.sizes
    for name in ('train_batch_sizes', 'train_size_probs'):
        alone = getattr(sizes, name) is not None and sizes.train_img_sizes is None
        yield alone, f'--{name.replace("_", "-")} goes with --train-img-sizes: give both'
    ahead = options.batch.reduced_decode and sizes.train_img_sizes is not None
    yield ahead, '--reduced-decode needs one size, which --train-img-sizes has not: leave one of them out'
    single = sizes.train_size_schedule == 'progressive' and len(sizes.train_img_sizes or ()) < 2
    yield single, '--train-size-schedule progressive goes from one size to another: give two or more --train-img-sizes'
