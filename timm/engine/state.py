# pyright: strict
"""The state of a run: to a checkpoint and back, without loss."""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from timm.models import clean_state_dict
from timm.optim import get_optimizer_info
from timm.scheduler import PlateauLRScheduler
from timm.utils import unwrap_model

from .checkpoint import newest_sound, position_of, read_checkpoint
from .data_record import check_data
from .exits import CheckpointError, NonFiniteError
from .files import all_finite, tensors_in
from .run import Progress, Run
from .shards import read_shards

__all__ = ['capture', 'read_newest', 'read_state', 'restore', 'restore_weights', 'set_schedule']

_logger = logging.getLogger(__name__)
_SCHEMA = 1


def capture(run: Run) -> dict[str, Any]:
    """The state between two updates: the published keys, and `engine` with what only this engine reads.

    All processes of a run have to ask for it.

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
            'scaler_skips': run.step.scaler_skips,
            'data': asdict(run.data),
            'torch': str(torch.__version__),
        },
    }
    weights = run.task.get_checkpoint_state()
    if run.task.has_ema():
        weights |= run.task.get_checkpoint_state(ema=True)
    if run.world.agree(not all_finite(tensors_in(weights))):
        raise NonFiniteError(f'weights are no longer finite in epoch {progress.epoch}; no checkpoint is written')
    state |= weights
    state['task_state'] = run.task.get_task_state()
    state['amp_scaler'] = run.precision.scaler.state_dict() if run.precision.scaler else None
    if run.task.has_ema():
        state['task_state_ema'] = run.task.get_task_state(ema=True)
    state['engine']['statistics'] = _statistics_of_others(run)
    return {key: value for key, value in state.items() if value is not None and not _is_empty(value)}


def _is_empty(value: Any) -> bool:
    return isinstance(value, dict) and not value


def _schedule_state(run: Run) -> dict[str, Any] | None:
    """What a schedule remembers: only the metric-driven one does, the others follow from epoch and update."""
    schedule = run.schedule
    return schedule.state_dict() if isinstance(schedule, PlateauLRScheduler) else None


def _statistics(run: Run) -> dict[str, Tensor]:
    """The running statistics of norms, which may differ between processes until they are brought together."""
    found: dict[str, Tensor] = {}
    for ema in (False, True) if run.task.has_ema() else (False,):
        module = run.task.get_trainable_module(ema)
        assert module is not None, 'a task trains a module'
        found |= {f'{ema}.{name}': b for name, b in unwrap_model(module).named_buffers() if 'running_' in name}
    return found


def _statistics_of_others(run: Run) -> list[dict[str, Tensor]]:
    """Those of every process but the first, whose own are part of its model."""
    if run.world.size == 1:
        return []
    own = {name: buffer.detach().cpu() for name, buffer in _statistics(run).items()}
    return run.world.gather(own)[1:] if own else []


def read_state(run: Run, path: str | Path) -> dict[str, Any]:
    """A checkpoint as a run can take it up, for every process what it has to hold; all have to ask.

    Raises:
        UsageError, CheckpointError: See `read_checkpoint`.
    """
    if run.mesh is None or not Path(path).is_dir():
        return read_checkpoint(path)
    return read_shards(Path(path), verify=run.world.primary, mesh=run.mesh)


def read_newest(run: Run, folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """What `newest_sound` finds, the same for all processes, which all have to ask.

    Raises:
        CheckpointError: There are checkpoints, and none is sound.
    """
    found, problem = None, ''
    if run.world.primary:
        try:
            found = newest_sound(folder, whole=run.mesh is None)
        except CheckpointError as error:
            problem = str(error)
    path, problem = run.world.share((found and str(found[0]), problem))
    if problem:
        raise CheckpointError(problem)
    if path is None:
        return None
    state = found[1] if found is not None and run.mesh is None else read_state(run, path)
    return Path(path), state


def restore(run: Run, state: Mapping[str, Any], source: str, with_optimizer: bool = True) -> None:
    """Go on from a checkpoint: weights, average, and unless told otherwise optimizer, schedule and loss scale.

    Raises:
        CheckpointError: It belongs to another network or another optimizer.
        DataError: It belongs to other data.
    """
    engine: Mapping[str, Any] = state.get('engine', {})
    epoch, done = position_of(source, state)
    told: Mapping[str, Any] = engine.get('data') or {}
    check_data(told, run.data, done > 0, source)
    _load(run, state, source, with_optimizer)
    before, now = told.get('global_batch') or run.data.global_batch, run.data.global_batch
    if before != now:
        _logger.warning('an update had %d samples and has %d now: the epoch goes on at the same sample', before, now)
    done = min(done if before == now else done * before // now, run.train.num_updates)
    position = {'epoch': epoch, 'done': done, 'update': epoch * run.train.num_updates + done}
    kept = {name: engine[name] for name in asdict(run.progress) if name in engine and name not in position}
    if before == now and 'update' in engine:
        position['update'] = engine['update']
    run.progress = Progress(**position, **kept)
    if run.store is not None:
        run.store.restore(state.get('saver'))
    set_schedule(run)
    if isinstance(run.schedule, PlateauLRScheduler) and with_optimizer and engine.get('schedule'):
        run.schedule.load_state_dict(engine['schedule'])
    _logger.info('resumed from %s: at update %d of epoch %d', source, run.progress.done, run.progress.epoch)


def restore_weights(run: Run) -> Path:
    """Take weights, average, optimizer and loss scale back from the newest checkpoint; which that is.

    Raises:
        NonFiniteError: There is none.
    """
    found = read_newest(run, run.folder) if run.folder is not None else None
    if found is None:
        raise NonFiniteError('there is no checkpoint to roll back to yet: set --recovery-interval lower')
    _load(run, found[1], str(found[0]), with_optimizer=True)
    return found[0]


def _check_optimizer(run: Run, state: Mapping[str, Any], source: str) -> None:
    """Refuse the state of another optimizer: some would take it up and go on with half of it.

    Raises:
        CheckpointError: It is of an unrelated class.
    """
    arguments: Any = state.get('args') or {}
    told: Mapping[str, Any] = getattr(arguments, '__dict__', arguments)  # a namespace, or a plain dict
    before: str | None = told.get('opt')
    now: str | None = run.arguments.get('opt')
    if before and now and not _are_related(before, now):
        raise CheckpointError(
            f'checkpoint {source} holds the state of --opt {before}, and this run has --opt {now}: give the same, or '
            f'--no-resume-opt to go on from its weights alone'
        )


def _are_related(optimizer: str, other: str) -> bool:
    """Whether one is of the other's class, or of one below it."""
    try:
        classes: list[Any] = [get_optimizer_info(name).opt_class for name in (optimizer, other)]
    except ValueError:  # 'lookahead_' before a name, or one that this version does not have
        return optimizer == other
    if not all(isinstance(each, type) for each in classes):  # of an optional package
        return classes[0] == classes[1]
    return issubclass(classes[0], classes[1]) or issubclass(classes[1], classes[0])


def _load(run: Run, state: Mapping[str, Any], source: str, with_optimizer: bool) -> None:
    """Fill the parts of a run that hold tensors."""
    engine: Mapping[str, Any] = state.get('engine', {})
    if with_optimizer and 'optimizer' in state:
        _check_optimizer(run, state, source)
    try:
        if run.mesh is not None:
            state = _in_shards(run, state)
        run.task.load_checkpoint_state(clean_state_dict(state['state_dict']), state.get('task_state'))
        if run.task.has_ema():
            average = clean_state_dict(state.get('state_dict_ema') or state['state_dict'])
            run.task.load_checkpoint_state(average, state.get('task_state_ema'), ema=True)
        if with_optimizer and 'optimizer' in state:
            run.optimizer.load_state_dict(state['optimizer'])
            run.step.scaler_skips = engine.get('scaler_skips', 0)
            if run.precision.scaler is not None and 'amp_scaler' in state:
                run.precision.scaler.load_state_dict(state['amp_scaler'])
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = ' '.join(str(error).split())[:300]
        of = f' of {state["arch"]}' if state.get('arch') not in (None, run.arch) else ''
        raise CheckpointError(f'checkpoint {source}{of} does not fit this model and optimizer: {reason}') from error
    others: list[dict[str, Tensor]] = engine.get('statistics') or []
    if run.world.rank and len(others) == run.world.size - 1:
        with torch.no_grad():
            for name, statistic in _statistics(run).items():
                statistic.copy_(others[run.world.rank - 1][name])


def _in_shards(run: Run, state: Mapping[str, Any]) -> dict[str, Any]:
    """A state in which what the run holds in shards is in shards; each process takes its part of what is whole."""
    tensor: Any = import_module('torch.distributed.tensor')

    def like(value: Any, target: Any) -> Any:
        whole = isinstance(value, Tensor) and not hasattr(value, 'to_local') and hasattr(target, 'to_local')
        if not whole or value.shape != target.shape:
            return value
        return tensor.distribute_tensor(value, target.device_mesh, target.placements, src_data_rank=None)

    state = dict(state)
    for ema, name in ((False, 'state_dict'), (True, 'state_dict_ema')):
        if name in state and (run.task.has_ema() or not ema):
            targets = run.task.get_checkpoint_state(ema=ema)[name]
            state[name] = {key: like(value, targets.get(key)) for key, value in state[name].items()}
    if 'optimizer' in state:
        parameters = [p for group in run.optimizer.param_groups for p in group['params']]
        slots: dict[int, dict[str, Any]] = {
            i: {key: like(value, parameters[i]) for key, value in slot.items()}
            for i, slot in state['optimizer']['state'].items()
        }
        state['optimizer'] = {**state['optimizer'], 'state': slots}
    return state


def set_schedule(run: Run) -> None:
    """Set the learning rate to what the schedule says for where the run stands."""
    if run.schedule is not None:
        run.schedule.step(run.progress.epoch)
        run.schedule.step_update(run.progress.update)
