"""Interpolation on grids whose coordinates are not evenly spaced."""

from collections.abc import Sequence
from itertools import product

import torch

__all__ = ['RegularGridInterpolator']


class RegularGridInterpolator:
    """Multilinear interpolation of values at the crossings of coordinate lines; the nearest edge counts outside.

    Args:
        points: Coordinates of the lines along each axis, ascending: (n_0,), (n_1,), ...
        values: (n_0, n_1, ...)

    Raises:
        TypeError: `points` is not a list or tuple.
        ValueError: `points` and the axes of `values` differ in number or length.
    """

    def __init__(self, points: Sequence[torch.Tensor], values: torch.Tensor) -> None:
        if not isinstance(points, (list, tuple)):
            raise TypeError(f'points is a {type(points).__name__}: give a list with one tensor for each axis.')
        lengths = [len(p) for p in points]
        if lengths != list(values.shape):
            raise ValueError(f'{lengths} points along the axes do not fit values of shape {tuple(values.shape)}.')
        self.points = points
        self.values = values

    def __call__(self, points_to_interp: Sequence[torch.Tensor]) -> torch.Tensor:
        """Values at other points.

        Shape: one tensor of coordinates for each axis, all of one shape -> that shape
        """
        neighbours: list[tuple[torch.Tensor, torch.Tensor]] = []
        weights: list[tuple[torch.Tensor, torch.Tensor]] = []
        for lines, x in zip(self.points, points_to_interp, strict=True):
            right = torch.bucketize(x.contiguous(), lines).clamp(1, len(lines) - 1)
            left = right - 1
            share = ((x - lines[left]) / (lines[right] - lines[left])).clamp(0, 1)
            neighbours.append((left, right))
            weights.append((1 - share, share))
        result = torch.zeros_like(weights[0][0])
        for corner in product((0, 1), repeat=len(self.points)):
            index = tuple(pair[side] for pair, side in zip(neighbours, corner, strict=True))
            term = self.values[index]
            for pair, side in zip(weights, corner, strict=True):
                term = term * pair[side]
            result = result + term
        return result
