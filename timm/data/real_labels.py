"""Accuracy against the 'reassessed' labels of ImageNet's validation set, of which an image may have several or none.

Paper: Are we done with ImageNet?, Beyer et al., 2020, arXiv:2006.07159.
"""

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from torch import Tensor

__all__ = ['RealLabelsImagenet']

_REAL_LABELS = 'imagenet_real_labels.json'


class RealLabelsImagenet:
    """Counts, over the images that have a label, how often one of them is among the top predictions.

    Args:
        filenames: Files in the order in which their outputs come: ILSVRC2012_val_00000001.JPEG and its kin, anywhere.
        real_json: File of the labels: a list for each image, by number; the one of this package by default.
        topk: Numbers of predictions that are looked at.

    Raises:
        ValueError: A file name without the number of an image.
    """

    def __init__(
        self,
        filenames: Sequence[str],
        real_json: str | Path | None = None,
        topk: Sequence[int] = (1, 5),
    ) -> None:
        source = Path(real_json) if real_json is not None else files('timm.data') / '_info' / _REAL_LABELS
        self.real_labels: list[list[int]] = json.loads(source.read_text(encoding='utf-8'))
        self.filenames = filenames
        self.topk = topk
        self.is_correct: dict[int, list[bool]] = {k: [] for k in topk}
        self.sample_idx = 0

    def _labels_of(self, filename: str) -> list[int]:
        found = re.search(r'_val_(\d{8})\b', filename)
        if found is None or not 1 <= int(found[1]) <= len(self.real_labels):
            raise ValueError(
                f'{filename!r} is not named like an image of the validation set (ILSVRC2012_val_00000001.JPEG)'
            )
        return self.real_labels[int(found[1]) - 1]

    def add_result(self, output: Tensor) -> None:
        """Count a batch of logits (B, K), the next ones in the order of the files."""
        ranked = output.topk(max(self.topk), dim=1).indices.tolist()
        for predictions in ranked:
            labels = self._labels_of(self.filenames[self.sample_idx])
            self.sample_idx += 1
            if not labels:
                continue
            for k in self.topk:
                self.is_correct[k].append(any(prediction in labels for prediction in predictions[:k]))

    def get_accuracy(self, k: int | None = None) -> float | dict[int, float]:
        """Percentage of images that are right within the top `k`; of each `topk` if None."""
        if k is None:
            return {k: self._percentage(self.is_correct[k]) for k in self.topk}
        return self._percentage(self.is_correct[k])

    @staticmethod
    def _percentage(correct: Sequence[bool]) -> float:
        return 100.0 * sum(correct) / len(correct) if correct else float('nan')
