# pyright: strict
"""The state of a run: to a checkpoint and back, without loss."""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from timm.scheduler import PlateauLRScheduler

from .checkpoint import all_finite
from .exits import CheckpointError, NonFiniteError
from .run import Progress, Run

__all__ = ['capture', 'restore']

_logger = logging.getLogger(__name__)
_SCHEMA = 1


def capture(run: Run) -> dict[str, Any]:
    """The state between two updates: the published keys, and `engine` with what only this engine reads.

    Raises:
        NonFiniteError: A weight is no number, so the state is not worth keeping.
    """
    progress = run.progress
    state: dict[str, Any] = {
        'epoch': progress.epoch - (progress.done == 0),
        'arch': run.arch,
        'optimizer': run.optimizer.state_dict(),
        'version': 2,  # resume at the epoch after `epoch`
        'args': argparse.Namespace(**run.arguments),
        'engine': {
            'schema': _SCHEMA,
            **asdict(progress),
            'schedule': _schedule_state(run),
            'torch': str(torch.__version__),
        },
    }
    state.update(run.task.get_checkpoint_state())
    if not all_finite(state['state_dict'].values()):
        raise NonFiniteError(f'weights are no longer finite in epoch {state["epoch"]}; no checkpoint is written')
    state['task_state'] = run.task.get_task_state()
    state['amp_scaler'] = run.precision.scaler.state_dict() if run.precision.scaler else None
    if run.task.has_ema():
        state.update(run.task.get_checkpoint_state(ema=True))
        state['task_state_ema'] = run.task.get_task_state(ema=True)
    return {key: value for key, value in state.items() if value not in (None, {})}


def _schedule_state(run: Run) -> dict[str, Any] | None:
    """What a schedule remembers: only the metric-driven one does, the others follow from epoch and update."""
    schedule = run.schedule
    return schedule.state_dict() if isinstance(schedule, PlateauLRScheduler) else None


def restore(run: Run, state: Mapping[str, Any], source: str, with_optimizer: bool = True) -> None:
    """Go on from a checkpoint: weights, average, and unless told otherwise optimizer, schedule and loss scale.

    Raises:
        CheckpointError: It belongs to another network or another optimizer.
    """
    try:
        run.task.load_checkpoint_state(state['state_dict'], state.get('task_state'))
        if run.task.has_ema():
            average = state.get('state_dict_ema') or state['state_dict']
            run.task.load_checkpoint_state(average, state.get('task_state_ema'), ema=True)
        if with_optimizer and 'optimizer' in state:
            run.optimizer.load_state_dict(state['optimizer'])
            if run.precision.scaler is not None and 'amp_scaler' in state:
                run.precision.scaler.load_state_dict(state['amp_scaler'])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = ' '.join(str(error).split())[:300]
        raise CheckpointError(f'checkpoint {source} does not fit this model and optimizer: {reason}') from error
    epoch = int(state['epoch']) + (1 if state.get('version', 1) > 1 else 0) if 'epoch' in state else 0
    engine: Mapping[str, Any] = state.get('engine', {})
    told = {name: engine[name] for name in asdict(run.progress) if name in engine}
    run.progress = Progress(**({'epoch': epoch, 'update': epoch * run.train.num_updates} | told))
    if run.store is not None:
        run.store.restore(state.get('saver'))
    set_schedule(run)
    if isinstance(run.schedule, PlateauLRScheduler) and with_optimizer and engine.get('schedule'):
        run.schedule.load_state_dict(engine['schedule'])
    _logger.info('resumed from %s: at update %d of epoch %d', source, run.progress.done, run.progress.epoch)


def set_schedule(run: Run) -> None:
    """Set the learning rate to what the schedule says for where the run stands."""
    if run.schedule is not None:
        run.schedule.step(run.progress.epoch)
        run.schedule.step_update(run.progress.update)
