# pyright: strict
"""Optimizer and schedule from options."""

import argparse
import logging

from torch import nn
from torch.optim import Optimizer

from timm.optim import create_optimizer_v2, get_optimizer_info, optimizer_kwargs
from timm.scheduler import create_scheduler_v2, scheduler_kwargs
from timm.scheduler.scheduler import Scheduler

from .distributed import World
from .exits import UsageError
from .flags import flatten
from .options import OptimOptions
from .train_options import TrainOptions

__all__ = ['base_learning_rate', 'build_optimizer', 'build_schedule']

_logger = logging.getLogger(__name__)


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
    _warn_of_unused(options.optim)
    try:
        return create_optimizer_v2(model, **{**optimizer_kwargs(cfg=arguments), **options.optim.opt_kwargs})
    except (ValueError, TypeError, AssertionError, ImportError) as error:
        raise UsageError(f'cannot build optimizer {options.optim.opt!r}: {error}') from error


def _warn_of_unused(options: OptimOptions) -> None:
    """Say which options the optimizer does not have."""
    try:
        info = get_optimizer_info(options.opt)
    except ValueError:  # it is refused, or is built of another, when it is made
        return
    given = {
        '--opt-eps': options.opt_eps is not None and not info.has_eps,
        '--opt-betas': options.opt_betas is not None and not info.has_betas,
    }
    for name in (name for name, unused in given.items() if unused):
        _logger.warning('%s has no effect: --opt %s has none', name, options.opt)


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
