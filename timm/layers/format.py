"""Memory layouts of feature maps and token sequences, and how to get from one to another."""

from enum import Enum

import torch

from ._names import unknown_name

__all__ = ['Format', 'FormatT', 'get_channel_dim', 'get_spatial_dim', 'nchw_to', 'nhwc_to']


class Format(str, Enum):
    """Order of the axes: N images, C channels, H and W pixels, L positions (H * W, row by row)."""

    NCHW = 'NCHW'
    NHWC = 'NHWC'
    NCL = 'NCL'
    NLC = 'NLC'

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise unknown_name('layout', value, (fmt.value for fmt in cls))


FormatT = str | Format

_AXES_OF_SPACE = {Format.NCHW: (2, 3), Format.NHWC: (1, 2), Format.NCL: (2,), Format.NLC: (1,)}


def get_spatial_dim(fmt: FormatT) -> tuple[int, ...]:
    """Axes of `fmt` that hold positions.

    Raises:
        ValueError: `fmt` is none of the four layouts.
    """
    return _AXES_OF_SPACE[Format(fmt)]


def get_channel_dim(fmt: FormatT) -> int:
    """Axis of `fmt` that holds channels.

    Raises:
        ValueError: `fmt` is none of the four layouts.
    """
    return Format(fmt).value.index('C')


def nchw_to(x: torch.Tensor, fmt: Format) -> torch.Tensor:
    """A view, where possible, of a feature map in another layout.

    Shape: (B, C, H, W) -> as `fmt` says

    Raises:
        ValueError: `fmt` is none of the four layouts.
    """
    if fmt == Format.NHWC:
        return x.permute(0, 2, 3, 1)
    if fmt == Format.NLC:
        return x.flatten(2).transpose(1, 2)
    if fmt == Format.NCL:
        return x.flatten(2)
    if not torch.jit.is_scripting():
        Format(fmt)  # refuses what is no layout
    return x


def nhwc_to(x: torch.Tensor, fmt: Format) -> torch.Tensor:
    """A view, where possible, of a channels-last feature map in another layout.

    Shape: (B, H, W, C) -> as `fmt` says

    Raises:
        ValueError: `fmt` is none of the four layouts.
    """
    if fmt == Format.NCHW:
        return x.permute(0, 3, 1, 2)
    if fmt == Format.NLC:
        return x.flatten(1, 2)
    if fmt == Format.NCL:
        return x.flatten(1, 2).transpose(1, 2)
    if not torch.jit.is_scripting():
        Format(fmt)  # refuses what is no layout
    return x
