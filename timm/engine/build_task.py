# pyright: strict
"""What is trained, from options: model and loss, a teacher, the average, and how processes share the work."""

import inspect
import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from timm.layers import convert_splitbn_model, convert_sync_batchnorm
from timm.loss import create_classification_loss, load_class_stats, resolve_class_weights
from timm.loss._loss_factory import BINARY_TARGETS_ONLY
from timm.task import (
    ClassificationTask,
    DistillationTeacher,
    FeatureDistillationTask,
    LogitDistillationTask,
    MultiLabelClassificationTask,
    TokenDistillationTask,
    TrainingTask,
)

from .build_augment import mixes
from .build_model import check_compiler, compile_model
from .distributed import World
from .exits import UsageError
from .loss_options import ClassWeightOptions, DistillOptions, LossOptions
from .options import SmoothingOptions
from .precision import Precision
from .sharded import shard_task
from .train_options import TrainOptions

__all__ = ['build_loss', 'build_task', 'loss_name']

_logger = logging.getLogger(__name__)

# torch has renamed the argument of its wrapper, and warns of the older name.
_WRAPPER = inspect.signature(DistributedDataParallel)
_SYNC_BUFFERS = 'forward_sync_buffers' if 'forward_sync_buffers' in _WRAPPER.parameters else 'broadcast_buffers'


def loss_name(options: LossOptions) -> str | None:
    """The loss by name, whichever way it was asked for; None for the usual one."""
    named = {options.loss, 'bce' if options.bce_loss else None, 'jsd' if options.jsd_loss else None} - {None}
    if len(named) > 1:
        raise UsageError(f'one loss is minimised, not {" and ".join(sorted(map(str, named)))}: give one --loss')
    return named.pop() if named else None


def _class_weights(options: ClassWeightOptions, bce_pos_weight: float | None, name: str | None) -> dict[str, Any]:
    """Class weights as arguments of the loss of this name, and the statistics where it takes those itself."""
    stats = load_class_stats(options.class_stats) if options.class_stats else None
    if bce_pos_weight is not None and options.loss_pos_weight is not None:
        raise UsageError('--bce-pos-weight is --loss-pos-weight: give one of them')
    arguments: dict[str, Any] = {'class_weight': options.loss_class_weight, 'pos_weight': options.loss_pos_weight}
    rule = (options.loss_weight_power, options.loss_weight_beta, options.loss_weight_max)
    for kind, value in arguments.items():
        arguments[kind] = resolve_class_weights(value, kind, stats, *rule)
    if bce_pos_weight is not None:
        arguments['pos_weight'] = bce_pos_weight
    return arguments | ({'class_counts': stats[0], 'num_samples': stats[1]} if stats and name == 'db' else {})


def _smoothing(options: TrainOptions) -> float:
    """Smoothing of the targets, without the usual one where a loss takes none."""
    smoothing, name = options.smoothing.smoothing, loss_name(options.loss)
    if name in BINARY_TARGETS_ONLY and smoothing == SmoothingOptions().smoothing:
        _logger.info('--smoothing %s has no effect: the loss %s takes targets of 0 and 1', smoothing, name)
        return 0.0
    return smoothing


_PER_CLASS = {'weight': '--loss-class-weight', 'pos_weight': '--loss-pos-weight'}


def _check_num_classes(loss: nn.Module, num_classes: int | None) -> None:
    """Refuse weights for another number of classes than the model has."""
    for name, values in loss.named_buffers():
        if num_classes and values.ndim == 1 and len(values) not in (1, num_classes):
            source = _PER_CLASS.get(name, '--class-stats')
            raise UsageError(f'{source} has {len(values)} entries but the model has {num_classes} classes')


def build_loss(options: TrainOptions) -> nn.Module:
    """The training loss; with mixing the targets are dense and smoothed already.

    Raises:
        UsageError: The loss does not go with the labels, the mixing or the options of another loss.
    """
    loss = options.loss
    try:
        return create_classification_loss(
            loss_name(loss),
            multi_label=options.labels.multi_label,
            smoothing=_smoothing(options),
            soft_targets=mixes(options.mix),
            bce_target_thresh=loss.bce_target_thresh,
            bce_sum=loss.bce_sum,
            asl_gamma_pos=loss.asl_gamma_pos,
            asl_gamma_neg=loss.asl_gamma_neg,
            asl_clip=loss.asl_clip,
            poly_epsilon=loss.poly_epsilon,
            poly_gamma=loss.poly_gamma,
            poly_alpha=loss.poly_alpha,
            jsd_splits=options.augment.aug_splits,
            twoway_tp=loss.twoway_tp,
            twoway_tn=loss.twoway_tn,
            db_neg_scale=loss.db_neg_scale,
            db_init_bias=loss.db_init_bias,
            db_focal_gamma=loss.db_focal_gamma,
            **_class_weights(options.weights, loss.bce_pos_weight, loss_name(loss)),
        )
    except (ValueError, OSError) as error:
        raise UsageError(f'cannot build the loss: {error}') from error


def build_task(
    options: TrainOptions,
    model: nn.Module,
    loss: nn.Module,
    precision: Precision,
    world: World,
    preprocessing: Mapping[str, Any],
    mesh: Any = None,
) -> TrainingTask:
    """Model and loss on the device, with the average of the weights, spread over processes, and compiled, as asked."""
    if options.norm.split_bn:
        model = convert_splitbn_model(model, max(options.augment.aug_splits, 2))
    if options.parallel.sync_bn and world.size > 1:
        model = convert_sync_batchnorm(model)
    model = precision.place_model(model)
    device, ema = options.device, options.ema
    if device.torchscript and precision.scaler is not None and world.device.type == 'cpu':
        raise UsageError('on a CPU a scripted model computes in bfloat16 beside float32: give --amp-dtype bfloat16')
    if device.torchscript:
        model = compile_model(model, device)
    task = _task(options, model, loss, precision, world, preprocessing)
    if ema.model_ema:
        place = torch.device('cpu') if ema.model_ema_force_cpu else None
        task.setup_ema(decay=ema.model_ema_decay, use_warmup=ema.model_ema_warmup, device=place)
    if mesh is not None:
        shard_task(task, mesh)
    elif world.size > 1:
        ids = None if world.device.type == 'cpu' else [world.device.index]
        task.prepare_distributed(device_ids=ids, **({_SYNC_BUFFERS: False} if options.parallel.no_ddp_bb else {}))
    if device.torchcompile:
        check_compiler(device)
        task.compile(backend=device.torchcompile, mode=device.torchcompile_mode)
    return task


def _task(
    options: TrainOptions,
    model: nn.Module,
    loss: nn.Module,
    precision: Precision,
    world: World,
    preprocessing: Mapping[str, Any],
) -> TrainingTask:
    """The task of the labels, or of labels and a teacher."""
    shared: dict[str, Any] = {'device': world.device, 'dtype': precision.dtype, 'verbose': False}
    labels = options.labels
    _check_num_classes(loss, options.model.num_classes or getattr(model, 'num_classes', None))
    if options.distill.kd_model_name is None:
        if labels.multi_label:
            return MultiLabelClassificationTask(model, loss, threshold=labels.multilabel_threshold, **shared)
        return ClassificationTask(model, loss, **shared)
    return _distillation(options, model, loss, precision, world, preprocessing, shared)


def _widths(distill: DistillOptions, model: nn.Module, teacher: nn.Module) -> dict[str, int | None]:
    """Features of student and teacher as given, None for what the network says."""
    widths: dict[str, int | None] = {}
    for name, network in (('student', model), ('teacher', teacher)):
        given: int | None = getattr(distill, f'kd_{name}_feature_dim')
        known: int | None = getattr(network, 'head_hidden_size', None) or getattr(network, 'num_features', None)
        if None not in (given, known) and given != known:
            raise ValueError(f'the {name} has {known} features, not {given}: leave out --kd-{name}-feature-dim')
        widths[f'{name}_feature_dim'] = given
    return widths


def _distillation(
    options: TrainOptions,
    model: nn.Module,
    loss: nn.Module,
    precision: Precision,
    world: World,
    preprocessing: Mapping[str, Any],
    shared: dict[str, Any],
) -> TrainingTask:
    """A teacher by name, and the task of learning from it."""
    distill = options.distill
    assert distill.kd_model_name is not None
    try:
        teacher = DistillationTeacher(
            distill.kd_model_name,
            num_classes=options.model.num_classes or getattr(model, 'num_classes', None),
            in_chans=preprocessing['input_size'][0],
            pretrained_path=distill.kd_pretrained_path,
            device=world.device,
            dtype=precision.dtype,
        )
        arguments: dict[str, Any] = shared | {
            'distill_loss_weight': distill.distill_loss_weight,
            'task_loss_weight': distill.task_loss_weight,
        }
        task: Any
        if distill.kd_distill_type == 'feature':
            task = FeatureDistillationTask(model, teacher, loss, **_widths(distill, model, teacher.model), **arguments)
        elif distill.kd_distill_type == 'token':
            arguments |= {'distill_type': distill.kd_token_distill_type, 'temperature': distill.kd_temperature}
            task = TokenDistillationTask(model, teacher, loss, **arguments)
        else:
            arguments |= {'loss_type': distill.kd_loss_type, 'temperature': distill.kd_temperature}
            task = LogitDistillationTask(model, teacher, loss, **arguments)
    except (RuntimeError, ValueError, TypeError, OSError, AssertionError) as error:
        reason = ' '.join(str(error).split())
        raise UsageError(f'cannot learn from teacher {distill.kd_model_name!r}: {reason}') from error
    precision.place_model(teacher)
    for name in ('mean', 'std'):  # of the images as they are loaded, which options may have changed
        statistic: Tensor = getattr(task, f'student_{name}')
        setattr(task, f'student_{name}', statistic.new_tensor(preprocessing[name]).view(1, -1, 1, 1))
    return task
