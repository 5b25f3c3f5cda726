# pyright: strict
"""Pictures of what is trained on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from timm.data.image_grid import save_image_grid

from .batches import Batch, TrainBatches

__all__ = ['PicturedBatches']


class PicturedBatches:
    """Training batches, of which the first of every so many updates is written to `train-batch-N.jpg`.

    Args:
        folder: Where the pictures go.
        interval: Updates between them.
        batches: The batches of images.
    """

    def __init__(self, folder: Path, interval: int, batches: TrainBatches) -> None:
        self._folder = folder
        self._interval = interval
        self._batches = batches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

    def epoch(self, epoch: int, first_update: int = 0) -> Iterator[Batch]:
        """The micro-batches of an epoch from that update on."""
        every = self._interval * self._batches.accumulate
        first = first_update * self._batches.accumulate
        for i, (x, target) in enumerate(self._batches.epoch(epoch, first_update), start=first):
            if i % every == 0:
                save_image_grid(self._folder / f'train-batch-{i}.jpg', x)
            yield x, target
