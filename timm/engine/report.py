# pyright: strict
"""What a run says: progress on a terminal or as plain lines, a row of figures per epoch in CSV and JSONL, a picture."""

import contextlib
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from timm.utils import trim_summary, update_summary

from .curves import can_draw, draw_curves
from .tables import print_json
from .trackers import Tracker

__all__ = ['EpochRow', 'Progressbar', 'Reporter', 'print_epochs']

_logger = logging.getLogger(__name__)
_RESULT_EPOCHS = 10


@dataclass(frozen=True)
class EpochRow:
    """The figures of one epoch.

    Attributes:
        train: Mean loss of training.
        validation: Figures of the evaluation that ranks: of the average where one is evaluated, else of the model.
        model: Figures of the model itself, where `validation` is the average's.
        lr: Mean learning rate over the parameter groups at the last update.
    """

    epoch: int
    train: dict[str, float]
    validation: dict[str, float]
    lr: float
    model: dict[str, float] = field(default_factory=dict[str, float])

    def flat(self) -> dict[str, Any]:
        """One level of plain names: train_loss, eval_top1, model_eval_top1, lr."""
        row: dict[str, Any] = {'epoch': self.epoch}
        row |= {f'train_{name}': value for name, value in self.train.items()}
        row |= {f'eval_{name}': value for name, value in self.validation.items()}
        row |= {f'model_eval_{name}': value for name, value in self.model.items()}
        return row | {'lr': self.lr}


class Progressbar:
    """Progress over a known number of steps: a bar on a terminal, else a log line every `interval` steps.

    Nothing is shown with `silent`.
    """

    def __init__(self, title: str, total: int, interval: int, silent: bool = False) -> None:
        self.title = title
        self.total = total
        self.interval = max(interval, 1)
        self.silent = silent
        self._done = 0
        self._samples = 0
        self._start = time.perf_counter()
        on_terminal = sys.stderr.isatty() and not silent
        self._bar = tqdm(total=total, desc=title, leave=False, dynamic_ncols=True) if on_terminal else None

    def step(self, num_samples: int, figures: Mapping[str, float]) -> None:
        """One step is done; `figures` are what to show beside it."""
        self._done += 1
        self._samples += num_samples
        last = self._done == self.total
        if self.silent or (self._done % self.interval and not last and self._done != 1):
            if self._bar is not None:
                self._bar.update()
            return
        text = '  '.join(f'{name} {value:.4g}' for name, value in figures.items())
        if self._bar is not None:
            self._bar.update()
            self._bar.set_postfix_str(text)
        else:
            rate = self._samples / max(time.perf_counter() - self._start, 1e-9)
            _logger.info('%s: %d of %d  %s  %.1f images/s', self.title, self._done, self.total, text, rate)

    def close(self) -> None:
        """The steps are over; the bar goes away."""
        if self._bar is not None:
            self._bar.close()


class Reporter:
    """Keeps the files of a run: summary.csv, summary.jsonl, and curves.png from the second epoch on.

    Args:
        folder: Where they go; None writes nothing, and says nothing either.
        log_interval: Updates between lines of the log.
        trackers: Where the figures go beside these files.
    """

    def __init__(self, folder: Path | None, log_interval: int = 50, trackers: Sequence[Tracker] = ()) -> None:
        self.folder = folder
        self.log_interval = log_interval
        self.trackers = trackers
        self.rows: list[dict[str, Any]] = []
        self._draws = folder is not None and can_draw()
        if folder is not None and not self._draws:
            _logger.info('curves.png will not be drawn: matplotlib is not installed; pip install "timm[plot]" adds it')

    def resume(self, first_epoch: int) -> None:
        """Drop what the files of an earlier run say about `first_epoch` and later, and go on below the rest."""
        if self.folder is None:
            return
        csv, lines = self.folder / 'summary.csv', self.folder / 'summary.jsonl'
        if csv.is_file():
            trim_summary(csv, first_epoch)
        if lines.is_file():
            rows = _whole_rows(lines.read_text(encoding='utf-8'))
            self.rows = [row for row in rows if row['epoch'] < first_epoch]
            aside = lines.with_name(f'tmp-{lines.name}')
            aside.write_text(''.join(json.dumps(row) + '\n' for row in self.rows), encoding='utf-8')
            aside.replace(lines)

    def progress(self, title: str, total: int) -> Progressbar:
        """Progress to show for a pass of `total` steps."""
        return Progressbar(title, total, self.log_interval, silent=self.folder is None)

    def epoch(self, row: EpochRow) -> None:
        """Write the row of an epoch and draw the curves anew."""
        if self.folder is None:
            return
        flat = row.flat()
        self.rows.append(flat)
        _logger.info('  '.join(f'{name} {value:.5g}' for name, value in flat.items()))
        update_summary(row.epoch, row.train, row.validation, self.folder / 'summary.csv', lr=row.lr)
        with (self.folder / 'summary.jsonl').open('a', encoding='utf-8') as file:
            file.write(json.dumps(flat) + '\n')
        if self._draws and len(self.rows) > 1:
            draw_curves(self.folder / 'curves.png', self.rows)
        for tracker in self.trackers:
            tracker.epoch(flat)

    def close(self) -> None:
        """The run is over."""
        for tracker in self.trackers:
            tracker.close()


def _whole_rows(text: str) -> list[dict[str, Any]]:
    """The rows of a JSONL file; a line that a power cut left unfinished is none."""
    rows: list[dict[str, Any]] = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def print_epochs(rows: Sequence[EpochRow], metric: str) -> None:
    """Print `--result` and the ten best epochs as JSON, the best last; a loss is better when smaller."""

    def rank(row: EpochRow) -> float:
        value = row.validation.get(metric, row.train.get(metric, float('nan')))
        return (-value if metric == 'loss' else value) if value == value else float('-inf')

    best = sorted(rows, key=rank)[-_RESULT_EPOCHS:]
    print_json(
        [
            {'epoch': row.epoch, 'train': row.train} | ({'validation': row.validation} if row.validation else {})
            for row in best
        ]
    )
