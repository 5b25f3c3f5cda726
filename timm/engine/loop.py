# pyright: strict
"""The loop: epochs of updates, each epoch evaluated, reported and kept."""

from timm.task import evaluation_sample_limit
from timm.utils import distribute_bn

from .evaluate import evaluate
from .exits import Stopped, UsageError, nearest
from .report import EpochRow
from .run import Progress, Run
from .state import capture

__all__ = ['fit']


def fit(run: Run) -> list[EpochRow]:
    """Train until the last epoch; the rows of the epochs that were evaluated.

        for each epoch from where the run stands:
            for each update of the epoch that is not made yet:
                accumulate gradients over its micro-batches, update the weights, and their average
                move the learning rate, where it follows updates
                save if it is time, and stop if someone asked for it
            if an evaluation is due (every so many epochs, and at the end):
                evaluate the model, and its average where one is kept
            move the learning rate, where it follows epochs
            report the epoch, then keep its state: as the last, and as one of the best if it is

    Raises:
        NonFiniteError: A loss, gradient or weight is no number; the checkpoints before are as they were.
        StorageError: A checkpoint could not be written.
        Stopped: Someone asked for it, and the state is saved.
    """
    rows: list[EpochRow] = []
    while run.progress.epoch < run.num_epochs:
        epoch = run.progress.epoch
        train, lr = {'loss': train_epoch(run)}, learning_rate(run)
        run.progress = Progress(epoch + 1, update=run.progress.update)
        due = run.progress.epoch % run.validate_every == 0 or run.progress.epoch == run.num_epochs
        model, average = validate_epoch(run) if due else ({}, {})
        validation = average or model
        metric = ranking(run, validation, train) if due else None
        if run.schedule is not None:
            run.schedule.step(run.progress.epoch, metric)
        if metric is None:
            continue
        rows.append(EpochRow(epoch, train, validation, lr, model if average else {}))
        run.report.epoch(rows[-1])
        if run.store is not None:
            run.store.commit(capture(run), epoch, metric)
    return rows


def train_epoch(run: Run) -> float:
    """Make the updates of an epoch that are not made yet; the mean loss over its samples."""
    progress, num_updates = run.progress, run.train.num_updates
    run.task.train()
    shown = run.report.progress(f'train {progress.epoch}', num_updates - progress.done)
    stream = run.train.epoch(progress.epoch, progress.done)
    while progress.done < num_updates:
        result = run.step.run(stream, run.train.micro_batches_of(progress.done), progress.update)
        progress.done += 1
        progress.update += 1
        progress.loss_sum += result.loss * result.num_samples
        progress.num_samples += result.num_samples
        if run.schedule is not None:
            run.schedule.step_update(progress.update, metric=progress.loss_sum / progress.num_samples)
        shown.step(result.num_samples, {'loss': result.loss, 'norm': result.grad_norm, 'lr': learning_rate(run)})
        at_boundary(run)
    shown.close()
    if hasattr(run.optimizer, 'sync_lookahead'):
        run.optimizer.sync_lookahead()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    return progress.loss_sum / progress.num_samples


def at_boundary(run: Run) -> None:
    """Between two updates: save if it is time, and stop if any process was asked to."""
    progress = run.progress
    stop = run.world.agree(run.stop.requested)
    time = run.recover_every and progress.done % run.recover_every == 0
    if (stop or time) and run.store is not None:
        path = run.store.commit_recovery(capture(run), progress.epoch, progress.done)
        if stop:
            raise Stopped(f'stopped on {run.stop.reason or "request"}: {path} is saved, --resume goes on from there')
    if stop:
        raise Stopped('stopped on request')


def validate_epoch(run: Run) -> tuple[dict[str, float], dict[str, float]]:
    """Figures of the model and of its average; empty where there is none to evaluate."""
    if run.validation is None:
        return {}, {}
    figures: list[dict[str, float]] = []
    for ema in (False, True) if run.evaluate_average else (False,):
        model = run.task.get_eval_model(ema=ema)
        assert model is not None, 'a task is made of a model'
        if run.world.size > 1 and run.dist_bn:
            distribute_bn(model, run.world.size, run.dist_bn == 'reduce')
        title = f'{"average" if ema else "validate"} {run.progress.epoch - 1}'
        evaluator = run.task.create_evaluator(max_samples=evaluation_sample_limit(run.validation))
        progress = run.report.progress(title, len(run.validation))
        figures.append(
            evaluate(model, run.validation, evaluator, run.precision, progress, distributed=run.world.size > 1)
        )
    return figures[0], figures[1] if len(figures) > 1 else {}


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
