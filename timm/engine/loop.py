# pyright: strict
"""The loop: epochs of updates, each epoch evaluated, reported and kept."""

import logging
import time
from collections.abc import Callable
from typing import Any

from timm.task import evaluation_sample_limit
from timm.utils import distribute_bn, unwrap_model

from .evaluate import evaluate
from .exits import NonFiniteError, Stopped, UsageError, nearest
from .nonfinite import meet_nonfinite
from .report import EpochRow
from .run import Progress, Run
from .state import capture
from .step import StepResult

__all__ = ['fit']

_logger = logging.getLogger(__name__)
_POLL_EVERY = 16  # batches of an evaluation between two questions to the other processes


def fit(run: Run) -> list[EpochRow]:
    """Train until the last epoch; the rows of the epochs that were evaluated.

        for each epoch from where the run stands:
            for each update of the epoch that is not made yet:
                accumulate gradients over its micro-batches, update the weights, and their average
                move the learning rate, where it follows updates
                save if it is time, and stop if someone asked for it
            if an evaluation is due (every so many epochs, at milestones, and at the end):
                evaluate the model, and its average where one is kept
            move the learning rate, where it follows epochs
            report the epoch, then keep its state: as the last, and as one of the best if it is

    Raises:
        NonFiniteError: A loss, gradient or weight is no number; the checkpoints before are as they were.
        StorageError: The last checkpoint of the run could not be written.
        Stopped: Someone asked for it, and the state is saved.
    """
    rows: list[EpochRow] = []
    while run.progress.epoch < run.num_epochs:
        epoch = run.progress.epoch
        stop_if_asked(run)
        train, lr = {'loss': train_epoch(run)}, learning_rate(run)
        final = epoch + 1 == run.num_epochs
        milestone = epoch + 1 in run.save_epochs
        due = (epoch + 1) % run.validate_every == 0 or milestone or final
        model, average = validate_epoch(run) if due else ({}, {})
        validation = average or model
        metric = ranking(run, validation, train) if due else None
        run.progress = Progress(epoch + 1, update=run.progress.update, skips=run.progress.skips)
        if run.schedule is not None:
            run.schedule.step(epoch + 1, metric)
        if metric is None:
            continue
        rows.append(EpochRow(epoch, train, validation, lr, model if average else {}))
        report_epoch(run, rows[-1])
        state = capture(run)
        if run.store is not None:
            run.store.commit(state, epoch, metric, required=final, milestone=milestone)
        run.saved_at = time.monotonic()
    return rows


def train_epoch(run: Run) -> float:
    """Make the updates of an epoch that are not made yet; the mean loss over its samples."""
    progress, num_updates = run.progress, run.train.num_updates
    run.task.train()
    shown = run.report.progress(f'train {progress.epoch}', num_updates - progress.done)
    stream = run.train.epoch(progress.epoch, progress.done)
    while progress.done < num_updates:
        result = update(run, stream)
        progress.done += 1
        progress.update += 1
        if result is not None:
            progress.loss_sum += result.loss * result.num_samples
            progress.num_samples += result.num_samples
            shown.step(result.num_samples, {'loss': result.loss, 'norm': result.grad_norm, 'lr': learning_rate(run)})
        if run.schedule is not None:
            run.schedule.step_update(progress.update, metric=mean_loss(progress))
        if progress.done == num_updates and run.world.size > 1 and run.dist_bn:
            share_statistics(run)
        at_boundary(run, result)
    shown.close()
    if hasattr(run.optimizer, 'sync_lookahead'):
        run.optimizer.sync_lookahead()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    return mean_loss(progress)


def update(run: Run, stream: Any) -> StepResult | None:
    """Make the next update; None where it was refused, and the run goes on without it."""
    progress = run.progress
    overdue = run.recover_seconds > 0 and time.monotonic() - run.saved_at >= run.recover_seconds
    ask = (float(run.stop.requested), float(overdue and run.world.primary))
    try:
        result = run.step.run(stream, run.train.micro_batches_of(progress.done), progress.update, ask)
    except NonFiniteError as error:
        meet_nonfinite(run, error)
        return None
    progress.skips = 0
    if progress.update == 0:
        run.world.hurry()
    return result


def mean_loss(progress: Progress) -> float:
    """The mean loss over the samples of the epoch so far; no number where none has counted."""
    return progress.loss_sum / progress.num_samples if progress.num_samples else float('nan')


def share_statistics(run: Run) -> None:
    """Give all processes the same running statistics of norms, in the model and its average, before both are kept."""
    for ema in (False, True) if run.task.has_ema() else (False,):
        module = run.task.get_trainable_module(ema)
        assert module is not None, 'a task trains a module'
        distribute_bn(module, run.world.size, run.dist_bn == 'reduce')


def at_boundary(run: Run, result: StepResult | None) -> None:
    """Between two updates: save if it is time, and stop if any process was asked to."""
    progress = run.progress
    stop, overdue = (bool(asked) for asked in (result.asked if result is not None else (0, 0)))
    if stop or (run.world.size == 1 and run.stop.requested):
        stop_now(run)
    if overdue or (run.recover_every and progress.done % run.recover_every == 0):
        state = capture(run)
        if run.store is not None:
            run.store.commit_recovery(state, progress.epoch, progress.done)
        run.saved_at = time.monotonic()


def stop_if_asked(run: Run) -> None:
    """Save and stop if any process was asked to."""
    if run.world.agree(run.stop.requested):
        stop_now(run)


def stop_now(run: Run) -> None:
    """Save, and stop.

    Raises:
        Stopped: Always, unless the state cannot be saved.
    """
    progress, reason = run.progress, run.stop.reason or 'request'
    state = capture(run)
    if run.store is None:
        raise Stopped(f'stopped on {reason}')
    path = run.store.commit_recovery(state, progress.epoch, progress.done, required=True)
    raise Stopped(f'stopped on {reason}: {path} is saved, --resume auto goes on from there')


def validate_epoch(run: Run) -> tuple[dict[str, float], dict[str, float]]:
    """Figures of the model and of its average; empty where there is none to evaluate."""
    if run.validation is None:
        return {}, {}
    figures: list[dict[str, float]] = []
    poll, most = stop_poll(run)
    for ema in (False, True) if run.evaluate_average else (False,):
        model = run.task.get_eval_model(ema=ema)
        assert model is not None, 'a task is made of a model'
        if run.world.size > 1:
            model = unwrap_model(model)  # processes have different numbers of batches, which DDP does not allow
        title = f'{"average" if ema else "validate"} {run.progress.epoch}'
        evaluator = run.task.create_evaluator(max_samples=evaluation_sample_limit(run.validation))
        figures.append(
            evaluate(
                model,
                run.validation,
                evaluator,
                run.precision,
                run.report.progress(title, len(run.validation)),
                distributed=run.world.size > 1,
                poll=poll,
                passes=most if run.mesh is not None else 0,
                num_views=run.num_views,
            )
        )
        stop_if_asked(run)
    return figures[0], figures[1] if len(figures) > 1 else {}


def stop_poll(run: Run) -> tuple[Callable[[int], None], int]:
    """What an evaluation calls before each batch to learn of a request to stop, and the most batches of a process.

    All processes have to ask together, which they can for as many batches as the one with the fewest has.
    """
    counts = [len(run.validation)]
    if run.world.size > 1:
        counts = run.world.gather(counts[0])
    together = max(counts) if run.mesh is not None else min(counts)

    def poll(batch: int) -> None:
        if run.world.size == 1:
            if run.stop.requested:
                stop_now(run)
        elif batch < together and batch % _POLL_EVERY == 0:
            stop_if_asked(run)

    return poll, max(counts)


def report_epoch(run: Run, row: EpochRow) -> None:
    """Write the figures of an epoch; a disk that is full does not end the run."""
    try:
        run.report.epoch(row)
    except OSError as error:
        _logger.warning('the figures of epoch %d could not be written: %s', row.epoch, error)


def ranking(run: Run, validation: dict[str, float], train: dict[str, float]) -> float:
    """The figure that ranks an epoch: of the evaluation, or of training where there is none."""
    figures = validation or train
    if run.metric not in figures:
        raise UsageError(
            f'no figure {run.metric!r} to rank by, only {", ".join(figures)}{nearest(run.metric, figures)}'
        )
    return figures[run.metric]


def learning_rate(run: Run) -> float:
    """The mean learning rate over the parameter groups."""
    rates: list[float] = [group['lr'] for group in run.optimizer.param_groups]
    return sum(rates) / len(rates)
