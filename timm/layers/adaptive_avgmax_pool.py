"""Global and adaptive 2D pools: average, maximum, their mean, and both side by side, chosen by name."""

import torch
import torch.nn.functional as F
from torch import nn

from ._checks import BadValue, size_2d
from ._names import unknown_name
from .format import FormatT, get_channel_dim, get_spatial_dim
from .helpers import to_2tuple

__all__ = [
    'AdaptiveAvgMaxPool2d',
    'AdaptiveCatAvgMaxPool2d',
    'FastAdaptiveAvgMaxPool',
    'FastAdaptiveAvgPool',
    'FastAdaptiveCatAvgMaxPool',
    'FastAdaptiveMaxPool',
    'SelectAdaptivePool2d',
    'adaptive_avgmax_pool2d',
    'adaptive_catavgmax_pool2d',
    'adaptive_pool_feat_mult',
    'select_adaptive_pool2d',
]

Size = int | tuple[int, int]


def _cells(output_size: Size) -> tuple[int, int]:
    """Rows and columns of cells; None leaves an axis as it is, as torch has it."""
    size = to_2tuple(output_size)
    size_2d('output_size', tuple(1 if n is None else n for n in size))
    return size[0], size[1]


def adaptive_pool_feat_mult(pool_type: str = 'avg') -> int:
    """How many times wider than its input the output of a pool is: 2 for those that concatenate, else 1."""
    return 2 if pool_type.endswith('catavgmax') else 1


def _avgmax(x: torch.Tensor, output_size: tuple[int, int]) -> torch.Tensor:
    return 0.5 * (F.adaptive_avg_pool2d(x, output_size) + F.adaptive_max_pool2d(x, output_size))


def _catavgmax(x: torch.Tensor, output_size: tuple[int, int]) -> torch.Tensor:
    return torch.cat((F.adaptive_avg_pool2d(x, output_size), F.adaptive_max_pool2d(x, output_size)), 1)


def adaptive_avgmax_pool2d(x: torch.Tensor, output_size: Size = 1) -> torch.Tensor:
    """Mean of average and maximum of each cell.

    Shape: (B, C, H, W) -> (B, C, *output_size)
    """
    return _avgmax(x, _cells(output_size))


def adaptive_catavgmax_pool2d(x: torch.Tensor, output_size: Size = 1) -> torch.Tensor:
    """Averages of each cell, then its maxima, along the channels.

    Shape: (B, C, H, W) -> (B, 2 C, *output_size)
    """
    return _catavgmax(x, _cells(output_size))


_FUNCTIONS = {
    'avg': F.adaptive_avg_pool2d,
    'max': F.adaptive_max_pool2d,
    'avgmax': adaptive_avgmax_pool2d,
    'catavgmax': adaptive_catavgmax_pool2d,
}


def select_adaptive_pool2d(x: torch.Tensor, pool_type: str = 'avg', output_size: Size = 1) -> torch.Tensor:
    """The adaptive pool of that name: 'avg', 'max', 'avgmax' or 'catavgmax'.

    Shape: (B, C, H, W) -> (B, C or 2 C, *output_size)

    Raises:
        ValueError: `pool_type` is another.
    """
    if pool_type not in _FUNCTIONS:
        raise unknown_name('pool type', pool_type, _FUNCTIONS)
    return _FUNCTIONS[pool_type](x, output_size)


class _GlobalPool(nn.Module):
    """Reduction over the positions of a layout.

    Args:
        flatten: Drop the reduced axes, else they stay with size 1.
        input_fmt: Layout of the input; see `Format`.
    """

    def __init__(self, flatten: bool = False, input_fmt: FormatT = 'NCHW') -> None:
        super().__init__()
        self.flatten = flatten
        self.dim = get_spatial_dim(input_fmt)


class FastAdaptiveAvgPool(_GlobalPool):
    """Average over all positions, as one reduction: (B, C, H, W) -> (B, C, 1, 1), or (B, C) with `flatten`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Reduce."""
        return x.mean(self.dim, keepdim=not self.flatten)


class FastAdaptiveMaxPool(_GlobalPool):
    """Maximum over all positions, as one reduction: (B, C, H, W) -> (B, C, 1, 1), or (B, C) with `flatten`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Reduce."""
        return x.amax(self.dim, keepdim=not self.flatten)


class FastAdaptiveAvgMaxPool(_GlobalPool):
    """Mean of average and maximum over all positions: (B, C, H, W) -> (B, C, 1, 1), or (B, C) with `flatten`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Reduce twice, then average."""
        keep = not self.flatten
        return 0.5 * (x.mean(self.dim, keepdim=keep) + x.amax(self.dim, keepdim=keep))


class FastAdaptiveCatAvgMaxPool(_GlobalPool):
    """Averages, then maxima over all positions: (B, C, H, W) -> (B, 2 C, 1, 1), or (B, 2 C) with `flatten`."""

    def __init__(self, flatten: bool = False, input_fmt: FormatT = 'NCHW') -> None:
        super().__init__(flatten, input_fmt)
        self.channel_dim = 1 if flatten else get_channel_dim(input_fmt)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Reduce twice, then concatenate."""
        keep = not self.flatten
        return torch.cat((x.mean(self.dim, keepdim=keep), x.amax(self.dim, keepdim=keep)), self.channel_dim)


class AdaptiveAvgMaxPool2d(nn.Module):
    """Module form of `adaptive_avgmax_pool2d`: (B, C, H, W) -> (B, C, *output_size)."""

    def __init__(self, output_size: Size = 1) -> None:
        super().__init__()
        self.output_size: tuple[int, int] = _cells(output_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool."""
        return _avgmax(x, self.output_size)


class AdaptiveCatAvgMaxPool2d(nn.Module):
    """Module form of `adaptive_catavgmax_pool2d`: (B, C, H, W) -> (B, 2 C, *output_size)."""

    def __init__(self, output_size: Size = 1) -> None:
        super().__init__()
        self.output_size: tuple[int, int] = _cells(output_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool."""
        return _catavgmax(x, self.output_size)


_POOLS = {
    'avg': nn.AdaptiveAvgPool2d,
    'max': nn.AdaptiveMaxPool2d,
    'avgmax': AdaptiveAvgMaxPool2d,
    'catavgmax': AdaptiveCatAvgMaxPool2d,
}
_FAST_POOLS = {
    'fast': FastAdaptiveAvgPool,
    'fastavg': FastAdaptiveAvgPool,
    'fastmax': FastAdaptiveMaxPool,
    'fastavgmax': FastAdaptiveAvgMaxPool,
    'fastcatavgmax': FastAdaptiveCatAvgMaxPool,
}


class SelectAdaptivePool2d(nn.Module):
    """A pool chosen by name.

    Shape: (B, C, H, W) -> (B, C, *output_size), or (B, C * cells) with `flatten`; twice C for the 'cat' kinds

    Args:
        pool_type: '' (none), 'avg', 'max', 'avgmax', 'catavgmax', or one of them after 'fast' for a plain reduction.
        input_fmt: Layout of the input; any but 'NCHW' implies the fast kind.

    Raises:
        ValueError: The name or layout is not known, or a fast pool shall have more than one cell.
        TypeError: `pool_type` is no text.
    """

    def __init__(
        self,
        output_size: Size = 1,
        pool_type: str = 'fast',
        flatten: bool = False,
        input_fmt: FormatT = 'NCHW',
    ) -> None:
        super().__init__()
        if not isinstance(pool_type or '', str):
            raise TypeError(f"pool_type={pool_type!r} is no name of a pool: use one such as 'avg', or '' for none.")
        get_spatial_dim(input_fmt)  # refuses what is no layout
        _cells(output_size)
        self.pool_type = (pool_type or '').lower()
        self.pool: nn.Module = nn.Identity()
        self.flatten: nn.Module = nn.Flatten(1) if flatten else nn.Identity()
        name = self.pool_type
        if name and not name.startswith('fast') and input_fmt != 'NCHW':
            name = 'fast' + name
        if name in _FAST_POOLS:
            if output_size not in (1, (1, 1)):
                raise BadValue(
                    f'Pool type {self.pool_type!r} on {input_fmt} input reduces to one cell, not to {output_size}: '
                    f"use a pool without 'fast' on NCHW input."
                )
            self.pool = _FAST_POOLS[name](flatten, input_fmt)
            self.flatten = nn.Identity()
        elif name in _POOLS:
            self.pool = _POOLS[name](output_size)
        elif name:
            raise unknown_name('pool type', self.pool_type, (*_POOLS, *_FAST_POOLS))

    def is_identity(self) -> bool:
        """Whether there is no pooling."""
        return not self.pool_type

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool, then flatten if asked."""
        return self.flatten(self.pool(x))

    def feat_mult(self) -> int:
        """How many times wider than its input the output is."""
        return adaptive_pool_feat_mult(self.pool_type)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(pool_type={self.pool_type!r}, flatten={self.flatten})'
