"""Running averages and top-k accuracy."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ['AverageMeter', 'accuracy']


class AverageMeter:
    """The last value (`val`) and the mean so far (`avg`), with its `sum` and `count`."""

    val: float
    avg: float
    sum: float
    count: float

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.val = 0
        self.avg = 0
        self.sum = 0
        self.count = 0

    def update(self, val: float, n: float = 1) -> None:
        """Add `val`, which is the mean of `n` items."""
        self.val = val
        self.sum += val * n
        self.count += n
        self.avg = self.sum / self.count if self.count else 0


def accuracy(output: Tensor, target: Tensor, topk: Sequence[int] = (1,)) -> list[Tensor]:
    """Percentage of rows whose class is among the k largest, for each k; a k above the class count counts as that.

    Of no rows at all it is not a number.

    Shape: (B, C), (B) -> one () per k
    """
    largest = min(max(topk), output.shape[1])
    predicted = output.topk(largest, dim=1).indices
    hits = predicted == target.reshape(-1, 1)
    return [hits[:, :k].sum(dtype=torch.float32) * 100.0 / target.shape[0] for k in topk]
