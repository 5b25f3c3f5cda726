"""Stacks of tensors of one shape: how a rule that looks at rows and columns treats many parameters at once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ['root_mean_squares', 'same_shape', 'stack']


def same_shape(*columns: Sequence[Any]) -> Iterator[tuple[list[Any], ...]]:
    """Cut parallel lists (parameters first) into lists of one shape and equal numbers, which can be stacked."""
    alike: defaultdict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
    for row in zip(*columns, strict=True):
        alike[(row[0].shape, *(entry for entry in row if isinstance(entry, (int, float))))].append(row)
    for rows in alike.values():
        yield tuple(list(column) for column in zip(*rows, strict=True))


def stack(tensors: list[Tensor]) -> Tensor:
    """Tensors of one shape along a new first dimension; a single one is not copied."""
    return torch.stack(tensors) if len(tensors) > 1 else tensors[0].unsqueeze(0)


def root_mean_squares(stacked: Tensor) -> Tensor:
    """Root mean square of each tensor of a stack: (N, ...) -> (N,)."""
    count = stacked[0].numel()
    return torch.linalg.vector_norm(stacked.reshape(len(stacked), count), dim=1).div_(max(count, 1) ** 0.5)
