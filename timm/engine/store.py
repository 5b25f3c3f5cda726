# pyright: strict
"""The checkpoints of one run: which there are, which stay, and what happens when one cannot be written."""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .checkpoint import write_checkpoint
from .exits import StorageError
from .files import SUFFIX

__all__ = ['StateStore']

_logger = logging.getLogger(__name__)
_RECOVERIES = 2
_SPARED = 2


class StateStore:
    """The checkpoints of one run: the last, the best, the best few by metric, and the newest two within an epoch.

    A checkpoint that cannot be written is a warning as long as the run can try again later. The one that a run ends
    with has to be: files beyond the newest two make room for it, and if that does not help, the run fails.

    Args:
        keep: How many `checkpoint-N` files stay; those with the best metric.
        decreasing: Whether a smaller metric is better.
    """

    suffix = SUFFIX

    def __init__(self, folder: Path, keep: int = 10, decreasing: bool = False) -> None:
        self.folder = folder
        self.keep = max(keep, 1)
        self.decreasing = decreasing
        self.kept: list[tuple[str, float]] = []
        self.best_epoch: int | None = None
        self.best_metric: float | None = None
        self.newest: Path | None = None

    def _rank(self, metric: float) -> float:
        """A number that is larger for a better metric; something that is no number is worst."""
        value = -metric if self.decreasing else metric
        return value if value == value else float('-inf')

    def record(self, epoch: int, metric: float) -> dict[str, Any]:
        """What a checkpoint keeps of its predecessors, so that a resumed run ranks as if it had not stopped."""
        return {
            'checkpoint_files': list(self.kept),
            'best_epoch': self.best_epoch,
            'best_metric': self.best_metric,
            'pending': (epoch, metric),
        }

    def restore(self, record: Mapping[str, Any] | None) -> None:
        """Take up the record of a checkpoint; files that have gone meanwhile are left out."""
        if not record:
            return
        files: Sequence[tuple[str, float]] = record.get('checkpoint_files', ())
        self.kept = [(name, metric) for name, metric in files if os.path.lexists(self.folder / name)]
        self.best_epoch, self.best_metric = record.get('best_epoch'), record.get('best_metric')
        epoch, metric = record.get('pending') or (None, None)
        if epoch is not None and metric is not None:
            self._rank_in(epoch, metric)

    def _rank_in(self, epoch: int, metric: float) -> tuple[bool, list[str]]:
        """Enter a checkpoint in the list: whether it is the best, and the names that fall out."""
        best = self.best_metric is None or self._rank(metric) > self._rank(self.best_metric)
        if best:
            self.best_epoch, self.best_metric = epoch, metric
        name = f'checkpoint-{epoch}{self.suffix}'
        kept = [entry for entry in self.kept if entry[0] != name]
        kept = sorted([*kept, (name, metric)], key=lambda entry: self._rank(entry[1]), reverse=True)
        self.kept, dropped = kept[: self.keep], kept[self.keep :]
        return best, [name for name, _ in dropped]

    def commit(
        self, payload: Mapping[str, Any], epoch: int, metric: float, required: bool = False, milestone: bool = False
    ) -> bool:
        """Write the state after an epoch as `last`, as one of the best if it is, then drop what falls out.

        Whether that was done; where it was not, the files before are all still there.

        Args:
            required: The run ends with this one.
            milestone: Also keep it as `milestone-N`, for N epochs done, which is never dropped.

        Raises:
            StorageError: It is required and could not be written.
        """
        before = list(self.kept), self.best_epoch, self.best_metric
        payload = {**payload, 'metric': metric, 'saver': self.record(epoch, metric)}
        best, dropped = self._rank_in(epoch, metric)
        name = f'checkpoint-{epoch}{self.suffix}'
        names = [] if name in dropped else [name]
        names += [f'last{self.suffix}'] + ([f'model_best{self.suffix}'] if best else [])
        names += [f'milestone-{epoch + 1}{self.suffix}'] if milestone else []
        if not self._write(names, payload, required):
            self.kept, self.best_epoch, self.best_metric = before
            return False
        for old in dropped:
            self.drop(old)
        self.newest = self.folder / f'last{self.suffix}'
        return True

    def commit_recovery(self, payload: Mapping[str, Any], epoch: int, done: int, required: bool = False) -> Path | None:
        """Write the state after `done` updates of an epoch, and leave the newest two of such files.

        Where it is, or None where it could not be written and the files before are all still there.

        Raises:
            StorageError: It is required and could not be written.
        """
        path = self.folder / f'recovery-{epoch}-{done}{self.suffix}'
        if not self._write([path.name], {**payload, 'saver': {**self.record(epoch, 0.0), 'pending': None}}, required):
            return None
        for old in self.recoveries()[:-_RECOVERIES]:
            if old != path.name:
                self.drop(old)
        self.newest = path
        return path

    def recoveries(self) -> list[str]:
        """Names of the files that were written within an epoch, in the order of the run."""
        places: list[tuple[int, int, str]] = []
        for path in self.folder.glob(f'recovery-*{self.suffix}'):
            place = re.fullmatch(r'recovery-(\d+)-(\d+)', path.name.removesuffix(self.suffix))
            if place:
                places.append((int(place[1]), int(place[2]), path.name))
        return [name for *_, name in sorted(places)]

    def _write(self, names: list[str], payload: Mapping[str, Any], required: bool) -> bool:
        try:
            self.write(names, payload)
        except StorageError as error:
            if not required:
                _logger.warning('%s; training goes on, and what was saved before is still there', error)
                return False
            removed = self._make_room()
            _logger.warning('%s; trying again without %s', error, ', '.join(removed) or 'anything removed')
            self.write(names, payload)
        return True

    def _make_room(self) -> list[str]:
        """Remove what lies beyond the newest two checkpoints, `last` and `model_best`; the names."""
        numbered = self.recoveries() + [path.name for path in self.folder.glob(f'checkpoint-*{self.suffix}')]
        numbered.sort(key=lambda name: (self.folder / name).lstat().st_mtime_ns)
        removed = numbered[:-_SPARED]
        for name in removed:
            self.drop(name)
        self.kept = [entry for entry in self.kept if entry[0] not in removed]
        return removed

    def write(self, names: list[str], payload: Mapping[str, Any]) -> None:
        """Write a checkpoint under these names; StorageError where that fails and all is as before."""
        write_checkpoint([self.folder / name for name in names], payload)

    def drop(self, name: str) -> None:
        """Remove a checkpoint; one that cannot be removed is in nobody's way."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            _logger.warning('%s could not be removed: %s', name, error)
