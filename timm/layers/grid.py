"""Coordinate grids in both index orders, named so that neither is a surprise."""

import torch

__all__ = ['meshgrid', 'ndgrid']


def ndgrid(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Grids whose axes follow the arguments: the first varies along axis 0 (matrix order, `ij`).

    Shape: (n_0,), (n_1,), ... -> as many tensors (n_0, n_1, ...)
    """
    return torch.meshgrid(*tensors, indexing='ij')


def meshgrid(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Grids whose first argument varies along axis 1 and second along axis 0 (Cartesian order, `xy`).

    Shape: (n_0,), (n_1,), ... -> as many tensors (n_1, n_0, ...)
    """
    return torch.meshgrid(*tensors, indexing='xy')
