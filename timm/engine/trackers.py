# pyright: strict
"""Where the figures of a run go beside its own files: Weights & Biases, TensorBoard."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from .exits import UsageError
from .train_options import TrackOptions

__all__ = ['Tracker', 'open_trackers']


class Tracker(Protocol):
    """Takes the figures of each epoch."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Take the figures of `row['epoch']`, by the names that summary.csv has."""
        ...

    def close(self) -> None:
        """The run is over; what is held back goes out."""
        ...


class _Wandb:
    """A run of Weights & Biases; rows that it has already are replaced when a training goes on."""

    def __init__(self, options: TrackOptions, folder: Path, arguments: Mapping[str, Any]) -> None:
        try:
            wandb: Any = import_module('wandb')
        except ImportError:
            raise UsageError('--log-wandb needs the package wandb: pip install "timm[loggers]"') from None
        self._run: Any = wandb.init(
            project=options.wandb_project,
            name=folder.name,
            dir=str(folder),
            config=dict(arguments),
            tags=list(options.wandb_tags),
            id=options.wandb_resume_id or None,
            resume='must' if options.wandb_resume_id else None,
        )

    def epoch(self, row: Mapping[str, Any]) -> None:
        self._run.log(dict(row))

    def close(self) -> None:
        self._run.finish()


class _TensorBoard:
    """Event files below the folder of the run, a curve for each figure."""

    def __init__(self, folder: Path) -> None:
        try:
            writer: Any = import_module('torch.utils.tensorboard').SummaryWriter
        except ImportError:
            raise UsageError('--log-tensorboard needs the package tensorboard: pip install "timm[loggers]"') from None
        self._writer: Any = writer(str(folder / 'tensorboard'))

    def epoch(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name != 'epoch':
                self._writer.add_scalar(name.replace('_', '/', 1), value, row['epoch'])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def open_trackers(options: TrackOptions, folder: Path, arguments: Mapping[str, Any]) -> list[Tracker]:
    """What the options ask for.

    Raises:
        UsageError: A package for it is not installed.
    """
    trackers: list[Tracker] = []
    if options.log_wandb:
        trackers.append(_Wandb(options, folder, arguments))
    if options.log_tensorboard:
        trackers.append(_TensorBoard(folder))
    return trackers
