# pyright: strict
"""A training run from options: one function per part, put together in `build_run`."""

import argparse
import logging
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from timm.layers import convert_sync_batchnorm
from timm.loss import create_classification_loss
from timm.models import safe_model_name
from timm.optim import create_optimizer_v2, optimizer_kwargs
from timm.scheduler import create_scheduler_v2, scheduler_kwargs
from timm.scheduler.scheduler import Scheduler
from timm.task import ClassificationTask

from .build_data import Split, build_eval_loader, build_mix, build_train_batches, mixes, open_dataset, warn_if_same
from .build_model import build_model, compile_model, load_weights, resolve_preprocessing
from .checkpoint import StateStore, newest_sound, read_checkpoint
from .distributed import World
from .exits import CheckpointError, DataError, UsageError, nearest
from .flags import flatten, to_yaml
from .precision import Precision
from .report import Reporter
from .run import Progress, Run
from .state import restore, set_schedule
from .step import Clipping, TrainStep
from .tables import write_text
from .train_options import LossOptions, TrainOptions

__all__ = ['build_loss', 'build_optimizer', 'build_run', 'build_schedule', 'build_task', 'base_learning_rate']

_logger = logging.getLogger(__name__)


def build_run(options: TrainOptions, world: World) -> Run:
    """All parts of a training, standing where it begins or goes on.

    Raises:
        UsageError, DataError, CheckpointError, StorageError: A part cannot be made as asked; nothing was trained.
    """
    arguments = flatten(options)
    precision = Precision.from_options(options.device, world.device)
    model, preprocessing = _start_model(options)
    train, validation = _open_splits(options, preprocessing['input_size'][0])
    num_classes: int = options.model.num_classes or getattr(model, 'num_classes', 0)
    _check_labels(train, num_classes)
    mix = build_mix(options, num_classes)
    batches = build_train_batches(train, options, preprocessing, world, mix, precision.dtype)
    metric = _ranking_metric(options.run.eval_metric, validation is not None)
    decreasing = metric == 'loss'
    task = build_task(options, model, precision, world)
    trained = task.get_trainable_module()
    assert trained is not None, 'a task is made of a model'
    optimizer = build_optimizer(options, trained, world)
    schedule, num_epochs = build_schedule(options, optimizer, batches.num_updates, decreasing)
    clip = options.optim.clip_grad
    step = TrainStep(
        task,
        optimizer,
        precision,
        world,
        Clipping(clip, options.optim.clip_mode) if clip else None,
        average=task.has_ema(),
        seed=options.run.seed,
    )
    store = _open_store(options, preprocessing['input_size'][-1], decreasing) if world.primary else None
    run = Run(
        world=world,
        precision=precision,
        task=task,
        optimizer=optimizer,
        schedule=schedule,
        step=step,
        train=batches,
        validation=_validation_loader(validation, options, preprocessing, world, precision.dtype),
        report=Reporter(store.folder if store else None, options.run.log_interval),
        store=store,
        num_epochs=num_epochs,
        metric=metric,
        recover_every=options.run.recovery_interval,
        validate_every=options.run.val_interval,
        evaluate_average=options.ema.model_ema and not options.ema.model_ema_force_cpu,
        dist_bn=options.parallel.dist_bn,
        arch=options.model.model,
        arguments=arguments,
    )
    _take_up(run, options)
    return run


def _start_model(options: TrainOptions) -> tuple[nn.Module, dict[str, Any]]:
    """The model with the weights it starts from, and what it wants its input to be."""
    start, regularize = options.start, options.regularize
    chosen, overlay = options.model, None
    if start.pretrained_path:  # stands for the published weights, without their classifier
        chosen, overlay = replace(chosen, pretrained=True), {'file': start.pretrained_path, 'num_classes': -1}
    model = build_model(
        chosen,
        options.device,
        options.run.seed,
        drop_rate=regularize.drop,
        drop_path_rate=regularize.drop_path,
        drop_block_rate=regularize.drop_block,
        pretrained_cfg_overlay=overlay,
    )
    preprocessing = resolve_preprocessing(model, flatten(options))
    if start.initial_checkpoint:
        load_weights(model, start.initial_checkpoint, preprocessing['input_size'][1:])
    if start.head_init_scale is not None or start.head_init_bias is not None:
        _set_head(model, start.head_init_scale, start.head_init_bias)
    if options.run.grad_checkpointing:
        try:
            model.set_grad_checkpointing(enable=True)  # pyright: ignore[reportCallIssue]
        except (AssertionError, AttributeError) as error:
            raise UsageError(f'{options.model.model} cannot compute activations twice: {error}') from error
    return model, preprocessing


def _set_head(model: nn.Module, scale: float | None, bias: float | None) -> None:
    """Multiply the classifier's initial numbers by `scale`, then set its bias."""
    head: Any = getattr(model, 'get_classifier', lambda: None)()
    if not isinstance(getattr(head, 'bias', None), Tensor):
        raise UsageError(f'the classifier of {type(model).__name__} has no weight and bias to set at the start')
    with torch.no_grad():
        if scale is not None:
            head.weight.mul_(scale)
            head.bias.mul_(scale)
        if bias is not None:
            head.bias.fill_(bias)


def _open_splits(options: TrainOptions, channels: int) -> tuple[Any, Any]:
    """The datasets of training and evaluation; None for no evaluation."""
    split, batch, seed = options.split, options.batch.batch_size, options.run.seed
    train = open_dataset(options.data, Split(split.train_split, True, split.train_num_samples, batch, seed), channels)
    if not split.val_split:
        return train, None
    size = options.batch.validation_batch_size or batch
    validation = open_dataset(options.data, Split(split.val_split, False, split.val_num_samples, size, seed), channels)
    warn_if_same(train, validation)
    return train, validation


def _check_labels(dataset: Any, num_classes: int) -> None:
    """Refuse a dataset of a single class, or of more classes than the model tells apart."""
    classes: Any = getattr(getattr(dataset, 'reader', None), 'class_to_idx', None)
    if classes and len(classes) < 2:
        raise DataError(f'the only class is {next(iter(classes))!r}: images lie in one folder for each class')
    if classes and max(classes.values()) >= num_classes > 0:
        raise UsageError(f'the dataset has {len(classes)} classes and the model {num_classes}: give --num-classes')


def _ranking_metric(name: str, validated: bool) -> str:
    """The figure that ranks checkpoints; the training loss where nothing is evaluated."""
    if not validated:
        return 'loss'
    names = ('loss', 'top1', 'top5')
    if name not in names:
        raise UsageError(f'--eval-metric {name} is none of {", ".join(names)}{nearest(name, names)}')
    return name


def _validation_loader(
    dataset: Any, options: TrainOptions, preprocessing: dict[str, Any], world: World, dtype: torch.dtype | None
) -> Any:
    if dataset is None:
        return None
    size = options.batch.validation_batch_size or options.batch.batch_size
    return build_eval_loader(dataset, options.batch, preprocessing, world, size, dtype)


def build_loss(options: LossOptions, smoothing: float, soft_targets: bool) -> nn.Module:
    """The training loss; with mixing the targets are dense and smoothed already."""
    return create_classification_loss(
        'bce' if options.bce_loss else 'ce',
        smoothing=smoothing,
        soft_targets=soft_targets,
        bce_target_thresh=options.bce_target_thresh,
        bce_sum=options.bce_sum,
        pos_weight=options.bce_pos_weight,
    )


def build_task(options: TrainOptions, model: nn.Module, precision: Precision, world: World) -> ClassificationTask:
    """Model and loss on the device, with the average of the weights, spread over processes, and compiled, as asked."""
    if options.parallel.sync_bn and world.size > 1:
        model = convert_sync_batchnorm(model)
    model = precision.place_model(model)
    device, ema = options.device, options.ema
    if device.torchscript:
        model = compile_model(model, device)
    loss = build_loss(options.loss, options.smoothing.smoothing, mixes(options.mix))
    task = ClassificationTask(model, loss, device=world.device, dtype=precision.dtype, verbose=False)
    if ema.model_ema:
        place = torch.device('cpu') if ema.model_ema_force_cpu else None
        task.setup_ema(decay=ema.model_ema_decay, use_warmup=ema.model_ema_warmup, device=place)
    if world.size > 1:
        ids = None if world.device.type == 'cpu' else [world.device.index]
        task.prepare_distributed(device_ids=ids, broadcast_buffers=not options.parallel.no_ddp_bb)
    if device.torchcompile:
        task.compile(backend=device.torchcompile, mode=device.torchcompile_mode)
    return task


def base_learning_rate(options: TrainOptions, world: World) -> float:
    """--lr, or --lr-base grown with the samples of an update, by their root for adaptive optimizers."""
    schedule, batch = options.schedule, options.batch
    if schedule.lr is not None:
        return schedule.lr
    ratio = batch.batch_size * batch.grad_accum_steps * world.size / schedule.lr_base_size
    adaptive = any(part in options.optim.opt.lower() for part in ('ada', 'lamb'))
    if (schedule.lr_base_scale or ('sqrt' if adaptive else 'linear')) == 'sqrt':
        ratio **= 0.5
    return schedule.lr_base * ratio


def build_optimizer(options: TrainOptions, model: nn.Module, world: World) -> Optimizer:
    """The optimizer over the model's parameter groups."""
    arguments = argparse.Namespace(**{**flatten(options), 'lr': base_learning_rate(options, world)})
    try:
        return create_optimizer_v2(model, **{**optimizer_kwargs(cfg=arguments), **options.optim.opt_kwargs})
    except (ValueError, TypeError, AssertionError) as error:
        raise UsageError(f'cannot build optimizer {options.optim.opt!r}: {error}') from error


def build_schedule(
    options: TrainOptions, optimizer: Optimizer, num_updates: int, decreasing: bool
) -> tuple[Scheduler | None, int]:
    """The schedule of the learning rate, and how many epochs that makes."""
    arguments = argparse.Namespace(**flatten(options))
    try:
        return create_scheduler_v2(
            optimizer, **scheduler_kwargs(arguments, decreasing_metric=decreasing), updates_per_epoch=num_updates
        )
    except (ValueError, TypeError, AssertionError) as error:
        raise UsageError(f'cannot build schedule {options.schedule.sched!r}: {error}') from error


def _open_store(options: TrainOptions, size: int, decreasing: bool) -> StateStore:
    """The folder of the run, which no other run has, with the options in it."""
    name = options.run.experiment or '-'.join(
        [datetime.now().strftime('%Y%m%d-%H%M%S'), safe_model_name(options.model.model), str(size)]
    )
    store = StateStore(Path(options.run.output or './output/train') / name, options.run.checkpoint_hist, decreasing)
    store.acquire()
    write_text(store.folder / 'args.yaml', to_yaml(options))
    _logger.info('output folder: %s', store.folder)
    return store


def _take_up(run: Run, options: TrainOptions) -> None:
    """Bring a run to where a checkpoint, or the first epoch asked for, has it begin."""
    start = options.start
    if start.resume == 'auto':
        where = Path(options.run.output or './output/train') / options.run.experiment
        found = newest_sound(where) if options.run.experiment else None
        if found is not None:
            restore(run, found[1], str(found[0]), not start.no_resume_opt)
    elif start.resume:
        restore(run, read_checkpoint(start.resume), start.resume, not start.no_resume_opt)
    if start.start_epoch is not None:
        run.progress = Progress(start.start_epoch, update=start.start_epoch * run.train.num_updates)
        set_schedule(run)
    if run.progress.epoch >= run.num_epochs:
        raise CheckpointError(f'nothing is left to train: epoch {run.progress.epoch} of {run.num_epochs} comes next')
    if run.progress.epoch:
        run.report.resume(run.progress.epoch)
