# pyright: strict
"""A run as a record of its parts, and where it stands. It has no behaviour: `timm.engine.loop` has."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from timm.scheduler.scheduler import Scheduler
from timm.task import TrainingTask

from .batches import TrainBatches
from .data_record import DataRecord
from .distributed import World
from .precision import Precision
from .report import Reporter
from .step import TrainStep
from .stop import StopFlag
from .store import StateStore

__all__ = ['Progress', 'Run']


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        epoch: Number of the epoch that comes next, or is under way.
        done: Updates made in that epoch.
        update: Updates made since the first epoch.
        loss_sum: Loss of the samples seen in the epoch, added up.
        num_samples: How many those are.
        skips: Updates in a row that were left out, up to now, since something in them was no number.

    All processes of a run have the same.
    """

    epoch: int = 0
    done: int = 0
    update: int = 0
    loss_sum: float = 0.0
    num_samples: int = 0
    skips: int = 0


@dataclass
class Run:
    """Everything a training consists of; `timm.engine.build` makes one from options.

    Attributes:
        task: The model, its loss, and the average of its weights where one is kept.
        schedule: Sets the learning rate by epoch or update; None keeps it.
        train: The batches to learn from.
        validation: Batches to evaluate on, in order; None for no evaluation.
        store: Where checkpoints go; None where nothing is kept, and, unless they are in shards, in all processes but
            the first.
        num_epochs: Where the run ends.
        metric: The figure of the evaluation that ranks checkpoints.
        recover_every: Updates of an epoch between recovery checkpoints; 0 for none.
        recover_seconds: Seconds between recovery checkpoints; 0 for none.
        stop: Asks the loop to save and stop.
        validate_every: Epochs between evaluations, each followed by a checkpoint.
        save_epochs: Numbers of epochs done at which a checkpoint is kept that nothing drops.
        num_views: Views of each image whose outputs are averaged in an evaluation.
        evaluate_average: Whether the average is evaluated as well, and ranks in the model's place.
        dist_bn: What happens to batch-norm statistics between processes before an evaluation.
        arch: Name of the model.
        arguments: The options of the run, for its checkpoints.
        folder: The folder of the run, the same in all processes; None without one.
        nonfinite: What follows an update with something in it that is no number: stop, skip or rollback.
        data: What a checkpoint notes of the data.
        mesh: The processes that hold a shard each; None where every process holds everything.
        saved_at: When the state was saved last, by `time.monotonic`.
    """

    world: World
    precision: Precision
    task: TrainingTask
    optimizer: Optimizer
    schedule: Scheduler | None
    step: TrainStep
    train: TrainBatches
    validation: Any
    report: Reporter
    store: StateStore | None
    num_epochs: int
    metric: str = 'top1'
    recover_every: int = 0
    stop: StopFlag = field(default_factory=StopFlag)
    validate_every: int = 1
    save_epochs: tuple[int, ...] = ()
    num_views: int = 1
    evaluate_average: bool = False
    dist_bn: str = ''
    arch: str = ''
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    progress: Progress = field(default_factory=Progress)
    recover_seconds: float = 0.0
    folder: Path | None = None
    nonfinite: str = 'stop'
    data: DataRecord = field(default_factory=DataRecord)
    mesh: Any = None
    saved_at: float = field(default_factory=time.monotonic)
