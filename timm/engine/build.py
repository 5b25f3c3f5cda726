# pyright: strict
"""A training run from options: one function per part, put together in `build_run`."""

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.utils.data import IterableDataset

from timm.models import safe_model_name
from timm.task import TrainingTask

from .batches import TrainBatches
from .build_augment import build_mix, weight_of_batch
from .build_data import (
    Split,
    build_eval_loader,
    build_train_batches,
    check_labels,
    check_same_labels,
    encode_labels,
    open_dataset,
    warn_if_same,
)
from .build_optim import build_optimizer, build_schedule
from .build_patches import build_patch_batches, build_patch_loader, patch_size_of
from .build_start import start_model
from .build_task import build_loss, build_task
from .checkpoint import set_aside
from .combinations import check_training
from .damage import guarded
from .data_record import classes_of, describe_data
from .distributed import World
from .exits import CheckpointError, DataError, RunError, StorageError, UsageError, nearest
from .flags import flatten, to_yaml
from .folder import RunFolder, Started, named_folder
from .pictures import PicturedBatches
from .precision import Precision
from .report import Reporter
from .run import Progress, Run
from .sharded import ShardedStore, check_optimizer, make_mesh
from .state import read_newest, read_state, restore, set_schedule
from .step import Clipping, TrainStep
from .store import StateStore
from .tables import write_text
from .trackers import open_trackers
from .train_options import RunOptions, TrainOptions

__all__ = ['build_run']

_logger = logging.getLogger(__name__)


def build_run(options: TrainOptions, world: World, started: Started | None = None) -> Run:
    """All parts of a training, standing where it begins or goes on.

    Raises:
        UsageError, DataError, CheckpointError, StorageError: A part cannot be made as asked; nothing was trained.
    """
    check_training(options)
    loss = build_loss(options)
    precision = Precision.from_options(options.device, world.device)
    model, preprocessing = start_model(options)
    train, validation = _open_splits(options, preprocessing['input_size'][0], _num_classes(options, model))
    loading = options, model, preprocessing, world, precision.dtype
    batches: Any = _train_batches(train, *loading)
    metric = _ranking_metric(options.run.eval_metric, validation is not None, options.labels.multi_label)
    decreasing = metric == 'loss'
    mesh = make_mesh(world) if options.safety.fsdp and world.size > 1 else None
    task = build_task(options, model, loss, precision, world, preprocessing, mesh)
    trained = task.get_trainable_module()
    assert trained is not None, 'a task is made of a model'
    optimizer = build_optimizer(options, trained, world)
    if getattr(optimizer, 'is_second_order', False):
        _check_second_order(options, precision)
    if mesh is not None:
        check_optimizer(optimizer, options.optim.opt)
    schedule, num_epochs = build_schedule(options, optimizer, batches.num_updates, decreasing)
    started = started or Started()
    folder = _open_folder(options, preprocessing['input_size'][-1], world, started)
    store = _store(options, folder, world, decreasing)
    if world.primary and options.run.save_images:
        batches = PicturedBatches(folder, options.run.log_interval, batches)
    run = Run(
        world=world,
        precision=precision,
        task=task,
        optimizer=optimizer,
        schedule=schedule,
        step=_step(options, task, optimizer, precision, world),
        train=batches,
        validation=_validation_loader(validation, *loading),
        report=_reporter(options, folder if world.primary else None),
        store=store,
        num_epochs=_last_epoch(options.schedule.stop_epoch, num_epochs),
        metric=metric,
        recover_every=options.run.recovery_interval,
        validate_every=options.run.val_interval,
        save_epochs=options.run.save_epochs or (),
        num_views=options.run.tta or 1,
        evaluate_average=options.ema.model_ema and not options.ema.model_ema_force_cpu,
        dist_bn=options.parallel.dist_bn,
        arch=options.model.model,
        arguments=flatten(options),
        stop=started.stop,
        recover_seconds=60 * options.safety.recovery_minutes,
        folder=folder,
        nonfinite=options.safety.nonfinite,
        data=describe_data(train, options.batch.batch_size * options.batch.grad_accum_steps * world.size),
        mesh=mesh,
    )
    _take_up(run, options)
    return run


def _check_second_order(options: TrainOptions, precision: Precision) -> None:
    """Refuse what gradients of gradients do not go through."""
    name = options.optim.opt
    if precision.scaler is not None:
        raise UsageError(f'--opt {name} and float16 exclude each other: use --amp-dtype bfloat16')
    if options.device.torchcompile:
        raise UsageError(f'--opt {name} takes second derivatives, which compiled models have not: no --torchcompile')


def _step(
    options: TrainOptions, task: TrainingTask, optimizer: Optimizer, precision: Precision, world: World
) -> TrainStep:
    """What makes an update."""
    clip = options.optim.clip_grad
    return TrainStep(
        task,
        optimizer,
        precision,
        world,
        Clipping(clip, options.optim.clip_mode) if clip else None,
        average=task.has_ema(),
        seed=options.run.seed,
        weigh=weight_of_batch(options),
        keep_statistics=options.safety.nonfinite == 'skip',
    )


def _reporter(options: TrainOptions, folder: Path | None) -> Reporter:
    """What says how the run goes; only the first process has a folder, and something to say."""
    trackers = open_trackers(options.track, folder, flatten(options)) if folder is not None else []
    return Reporter(folder, options.run.log_interval, trackers)


def _open_splits(options: TrainOptions, channels: int, num_classes: int) -> tuple[Any, Any]:
    """The datasets of training and evaluation, their labels as the task wants them; None for no evaluation."""
    split, batch, seed = options.split, options.batch.batch_size, options.run.seed
    told = options.labels.target_format if options.labels.target_format != 'indices' else None
    wanted = Split(
        split.train_split,
        training=True,
        num_samples=split.train_num_samples,
        batch_size=batch,
        seed=seed,
        repeats=options.schedule.epoch_repeats,
        max_batches=options.sizes.train_batches_per_epoch,
        target_format=told,
    )
    train = open_dataset(options.data, wanted, channels)
    streamed = isinstance(train, IterableDataset)
    if options.schedule.epoch_repeats and not streamed:
        _logger.warning('--epoch-repeats is for streamed datasets: this one has an index, and is seen once an epoch')
    classes = classes_of(train)
    if classes and len(classes) < 2:
        raise DataError(f'the only class is {next(iter(classes))!r}: images lie in one folder for each class')
    check_labels(train, num_classes)
    encode_labels(train, options.labels, num_classes)
    if not split.val_split:
        return train, None
    size = options.batch.validation_batch_size or batch
    wanted = Split(split.val_split, False, split.val_num_samples, size, seed, target_format=told)
    validation = open_dataset(options.data, wanted, channels)
    check_same_labels(classes, validation)
    check_labels(validation, num_classes)
    encode_labels(validation, options.labels, num_classes)
    warn_if_same(train, validation)
    return train, validation


def _last_epoch(stop_epoch: int | None, num_epochs: int) -> int:
    """Epochs to train of a schedule of `num_epochs`."""
    if stop_epoch is not None and stop_epoch > num_epochs:
        raise UsageError(f'--stop-epoch {stop_epoch} comes after the last of the {num_epochs} epochs of the schedule')
    return num_epochs if stop_epoch is None else stop_epoch


def _ranking_metric(name: str, validated: bool, multi_label: bool) -> str:
    """The figure that ranks checkpoints; the training loss where nothing is evaluated."""
    if not validated:
        return 'loss'
    names = ('loss', 'map', 'micro_f1', 'macro_f1', 'sample_f1') if multi_label else ('loss', 'top1', 'top5')
    if multi_label and name == RunOptions().eval_metric:
        return 'map'
    if name not in names:
        raise UsageError(f'--eval-metric {name} is none of {", ".join(names)}{nearest(name, names)}')
    return name


def _train_batches(
    dataset: Any, options: TrainOptions, model: nn.Module, preprocessing: dict[str, Any], world: World, dtype: Any
) -> TrainBatches:
    """Batches of images, or of patches."""
    num_classes = _num_classes(options, model)
    if options.patches.naflex_loader:
        size = patch_size_of(model)
        return build_patch_batches(dataset, options, preprocessing, world, size, num_classes, dtype)
    mix = build_mix(options, num_classes)
    return build_train_batches(dataset, options, preprocessing, world, mix, dtype)


def _validation_loader(
    dataset: Any, options: TrainOptions, model: nn.Module, preprocessing: dict[str, Any], world: World, dtype: Any
) -> Any:
    if dataset is None:
        return None
    dataset, batch = guarded(dataset, options.data, world), options.batch
    size = batch.validation_batch_size or batch.batch_size
    if options.patches.naflex_loader:
        patch = patch_size_of(model)
        return build_patch_loader(dataset, batch, options.patches, preprocessing, world, patch, size, dtype)
    return build_eval_loader(dataset, batch, preprocessing, world, size, dtype)


def _num_classes(options: TrainOptions, model: nn.Module) -> int:
    return options.model.num_classes or getattr(model, 'num_classes', 0)


def _open_folder(options: TrainOptions, size: int, world: World, started: Started) -> Path:
    """The folder of the run, which no other run has; the same for all processes."""
    path, problem = named_folder(options), None
    if path is None:
        when = datetime.now().strftime('%Y%m%d-%H%M%S')
        name = '-'.join([when, safe_model_name(options.model.model), str(size)])
        path = Path(options.run.output or './output/train') / name
    if world.primary:
        try:
            started.folder = started.folder or RunFolder(path)
            started.folder.acquire()
        except RunError as error:
            problem = error
    path, failed = world.share((str(path), str(problem or '')))
    if problem is not None:
        raise problem
    if failed:
        raise StorageError(failed)
    _logger.info('output folder: %s', path)
    return Path(path)


def _store(options: TrainOptions, folder: Path, world: World, decreasing: bool) -> StateStore | None:
    """What keeps the checkpoints: in shards with every process, else with the first alone."""
    keep = options.run.checkpoint_hist
    if options.safety.fsdp and world.size > 1:
        return ShardedStore(folder, world, keep, decreasing)
    return StateStore(folder, keep, decreasing) if world.primary else None


def _take_up(run: Run, options: TrainOptions) -> None:
    """Bring a run to where a checkpoint, or the first epoch asked for, has it begin."""
    start = options.start
    if start.resume == 'auto':
        found = read_newest(run, run.folder) if run.folder is not None else None
        if found is not None:
            restore(run, found[1], str(found[0]), not start.no_resume_opt)
    elif start.resume:
        restore(run, read_state(run, start.resume), start.resume, not start.no_resume_opt)
    if start.start_epoch is not None:
        run.progress = Progress(start.start_epoch, update=start.start_epoch * run.train.num_updates)
        set_schedule(run)
    if run.progress.epoch >= run.num_epochs:
        if start.resume != 'auto':
            raise CheckpointError(
                f'nothing is left to train: epoch {run.progress.epoch} of {run.num_epochs} comes next'
            )
        _logger.info('nothing is left to train: all %d epochs are done', run.num_epochs)
    if start.resume != 'auto' and run.folder is not None and run.world.primary:
        earlier = set_aside(run.folder, (run.progress.epoch, run.progress.done))
        if earlier is not None:
            _logger.warning('checkpoints of an earlier run in this folder are in %s now', earlier)
    run.report.resume(run.progress.epoch)
    if run.folder is not None and run.world.primary:
        # Only now: a run that cannot go on from here leaves the options of the one that can.
        write_text(run.folder / 'args.yaml', to_yaml(options))
