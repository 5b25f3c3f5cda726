"""Transforms of targets."""

from typing import Any

import torch
from torch import Tensor

__all__ = ['MultiLabelTarget']


class MultiLabelTarget:
    """Multi-label target as a vector of float32, 1 where a class is on.

    Shape: list of class indices, in any order and possibly empty -> (num_classes,)

    Args:
        dense: Targets are such vectors already, (num_classes,) with values from 0 to 1, which may lie between.
    """

    def __init__(self, num_classes: int, dense: bool = False) -> None:
        if num_classes <= 0:
            raise ValueError(f'num_classes is 1 or more, got {num_classes}')
        self.num_classes = num_classes
        self.dense = dense

    def __call__(self, target: Any) -> Tensor:
        """Encode one target.

        Raises:
            ValueError: It is not a list; it holds no indices of these classes; or a dense one has another length, or
                values that are not from 0 to 1.
        """
        values = torch.as_tensor(target)
        if values.ndim != 1:
            raise ValueError(f'a multi-label target is a list or a vector, got {target!r}')
        return self._checked(values) if self.dense else self._encoded(values)

    def _checked(self, values: Tensor) -> Tensor:
        if len(values) != self.num_classes:
            raise ValueError(f'expected a target with {self.num_classes} entries, got {len(values)}')
        if values.is_complex():
            raise ValueError(f'the entries of a target are real, got {values.dtype}')
        values = values.to(torch.float32)
        outside = values[~((values >= 0) & (values <= 1))]  # NaN is outside as well
        if len(outside):
            raise ValueError(f'the entries of a target are from 0 to 1, got {outside[0].item()}')
        return values

    def _encoded(self, indices: Tensor) -> Tensor:
        vector = torch.zeros(self.num_classes)
        if not len(indices):
            return vector
        if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
            raise ValueError(f'class indices are integers, got {indices.dtype}; give vectors to dense=True')
        outside = indices[(indices < 0) | (indices >= self.num_classes)]
        if len(outside):
            raise ValueError(f'class indices are from 0 to {self.num_classes - 1}, got {outside[0].item()}')
        vector[indices.long()] = 1.0
        return vector
