# pyright: strict
"""What can be found out about predictions beyond accuracy: confusions, classes, calibration, the worst images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

__all__ = ['Predictions', 'calibration', 'confusions', 'expected_calibration_error', 'per_class', 'worst']

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class _Outcome:
    """All samples: label, best guess, its probability, and cross entropy, each (N,)."""

    target: Tensor
    predicted: Tensor
    confidence: Tensor
    loss: Tensor
    num_classes: int


class Predictions:
    """Keeps of each sample what the tables need, which is four numbers."""

    def __init__(self) -> None:
        self._batches: list[list[Tensor]] = []
        self._num_classes = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Take a batch: logits (B, K), labels (B,)."""
        confidence, predicted = output.softmax(-1).max(-1)
        loss = cross_entropy(output, target, reduction='none')
        self._batches.append([part.cpu() for part in (target, predicted, confidence.double(), loss.double())])
        self._num_classes = max(self._num_classes, output.shape[-1])

    def outcome(self) -> _Outcome:
        """All batches in one."""
        parts = [torch.cat(parts) for parts in zip(*self._batches, strict=True)]
        return _Outcome(parts[0], parts[1], parts[2], parts[3], max(self._num_classes, int(parts[0].max()) + 1))


def _name(names: Sequence[str], index: int) -> str:
    return names[index] if index < len(names) else str(index)


def confusions(outcome: _Outcome, names: Sequence[str] = ()) -> Rows:
    """How many images of each class (rows) were taken for each class (columns)."""
    K = outcome.num_classes
    counts = torch.bincount(outcome.target * K + outcome.predicted, minlength=K * K).view(K, K)
    rows: list[list[int]] = counts.tolist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    titles = [_name(names, i) for i in range(K)]
    return [{'class': title, **dict(zip(titles, row, strict=True))} for title, row in zip(titles, rows, strict=True)]


def per_class(outcome: _Outcome, names: Sequence[str] = ()) -> Rows:
    """Of each class: images, images taken for it, precision, recall and F1 in percent, None where there is nothing."""
    K = outcome.num_classes
    hit = outcome.target == outcome.predicted
    counts = [torch.bincount(part, minlength=K) for part in (outcome.target, outcome.predicted, outcome.target[hit])]
    rows: Rows = []
    for i in range(K):
        images, guesses, hits = (int(count[i]) for count in counts)
        rows.append(
            {
                'index': i,
                'class': _name(names, i),
                'images': images,
                'predicted': guesses,
                'precision': _percent(hits, guesses),
                'recall': _percent(hits, images),
                'f1_score': _percent(2 * hits, images + guesses),
            }
        )
    return rows


def _percent(part: float, whole: float) -> float | None:
    return round(100 * part / whole, 4) if whole else None


def calibration(outcome: _Outcome, num_bins: int) -> Rows:
    """Confidence and accuracy in percent by bins of equal width, those without images left out.

    A bin holds the confidences above its lower bound and up to its upper one (Guo et al., 2017, arXiv:1706.04599).
    """
    bin_of = (outcome.confidence * num_bins).ceil().long().clamp(1, num_bins) - 1
    rows: Rows = []
    for i in range(num_bins):
        inside = bin_of == i
        images = int(inside.sum())
        if images:
            hits = (outcome.target == outcome.predicted)[inside].double().mean().item()
            confidence = outcome.confidence[inside].mean().item()
            row = {'above': i / num_bins, 'up_to': (i + 1) / num_bins, 'images': images}
            rows.append(row | {'confidence': round(100 * confidence, 4), 'accuracy': round(100 * hits, 4)})
    return rows


def expected_calibration_error(rows: Rows) -> float:
    """Distance of accuracy from confidence in percent, the mean over images (Guo et al., equation 3)."""
    images = sum(row['images'] for row in rows)
    return sum(row['images'] * abs(row['confidence'] - row['accuracy']) for row in rows) / images


def worst(outcome: _Outcome, count: int, file_of: Callable[[int], str], names: Sequence[str] = ()) -> Rows:
    """The images with the largest loss, the worst first."""
    order: list[int] = outcome.loss.argsort(descending=True, stable=True)[:count].tolist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return [
        {
            'file': file_of(i),
            'class': _name(names, int(outcome.target[i])),
            'predicted': _name(names, int(outcome.predicted[i])),
            'confidence': round(100 * outcome.confidence[i].item(), 4),
            'loss': round(outcome.loss[i].item(), 6),
        }
        for i in order
    ]
