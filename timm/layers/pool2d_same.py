"""2D pools with TensorFlow's 'SAME' padding, and the factory that chooses them where they are needed."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ._checks import size_2d
from ._fx import register_notrace_module
from ._names import unknown_name
from .padding import IntList, get_padding_value, pad_same

__all__ = ['AvgPool2dSame', 'MaxPool2dSame', 'avg_pool2d_same', 'create_pool2d', 'max_pool2d_same']


def avg_pool2d_same(
    x: torch.Tensor,
    kernel_size: IntList,
    stride: IntList,
    padding: IntList = (0, 0),  # noqa: ARG001 (published)
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> torch.Tensor:
    """Average pooling with ceil(size / stride) outputs; the zeros of the border count in every average.

    Shape: (B, C, H, W) -> (B, C, ceil(H / stride), ceil(W / stride))

    Args:
        padding: Stands where `F.avg_pool2d` has it and is not read.
        count_include_pad: Passed on, but the border is part of the input by then.
    """
    x = pad_same(x, kernel_size, stride)
    return F.avg_pool2d(x, kernel_size, stride, (0, 0), ceil_mode, count_include_pad)


@register_notrace_module
class AvgPool2dSame(nn.AvgPool2d):
    """`nn.AvgPool2d` that pads as 'SAME' does, by the size of each input; see `avg_pool2d_same`.

    Shape: (B, C, H, W) -> (B, C, ceil(H / stride), ceil(W / stride))

    Args:
        padding: Stands where `nn.AvgPool2d` has it and is not read.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] | str = 0,  # noqa: ARG002 (published)
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        stride = kernel_size if stride is None else stride
        size, step = size_2d('kernel_size', kernel_size), size_2d('stride', stride)
        super().__init__(size, step, (0, 0), ceil_mode, count_include_pad)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad with zeros, then pool."""
        size, stride = self.kernel_size, self.stride  # pairs, whatever the type of the base class says
        return avg_pool2d_same(x, size, stride, (0, 0), self.ceil_mode, self.count_include_pad)  # pyright: ignore[reportArgumentType]


def max_pool2d_same(
    x: torch.Tensor,
    kernel_size: IntList,
    stride: IntList,
    padding: IntList = (0, 0),  # noqa: ARG001 (published)
    dilation: IntList = (1, 1),
    ceil_mode: bool = False,
) -> torch.Tensor:
    """Max pooling with ceil(size / stride) outputs; the border is minus infinity and never wins.

    Shape: (B, C, H, W) -> (B, C, ceil(H / stride), ceil(W / stride))

    Args:
        padding: Stands where `F.max_pool2d` has it and is not read.
    """
    x = pad_same(x, kernel_size, stride, dilation, value=-float('inf'))
    return F.max_pool2d(x, kernel_size, stride, (0, 0), dilation, ceil_mode)


@register_notrace_module
class MaxPool2dSame(nn.MaxPool2d):
    """`nn.MaxPool2d` that pads as 'SAME' does, by the size of each input.

    Shape: (B, C, H, W) -> (B, C, ceil(H / stride), ceil(W / stride))

    Args:
        padding: Stands where `nn.MaxPool2d` has it and is not read.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] | str = 0,  # noqa: ARG002 (published)
        dilation: int | tuple[int, int] = 1,
        ceil_mode: bool = False,
    ) -> None:
        stride = kernel_size if stride is None else stride
        size, step = size_2d('kernel_size', kernel_size), size_2d('stride', stride)
        super().__init__(size, step, (0, 0), size_2d('dilation', dilation), ceil_mode=ceil_mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad with minus infinity, then pool."""
        size, stride = self.kernel_size, self.stride  # pairs, whatever the type of the base class says
        return max_pool2d_same(x, size, stride, (0, 0), self.dilation, self.ceil_mode)  # pyright: ignore[reportArgumentType]


_POOLS = {'avg': (nn.AvgPool2d, AvgPool2dSame), 'max': (nn.MaxPool2d, MaxPool2dSame)}


def create_pool2d(
    pool_type: str,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """A pool from a padding that may be a word: one that pads by input size where only that will do, else torch's own.

    Args:
        pool_type: 'avg' or 'max'.
        stride: The kernel size when None.
        kwargs: Of the torch class; `padding` is '' (symmetric) unless given. See `get_padding_value`.

    Raises:
        ValueError: `pool_type` is neither; a size is below 1 or has not one or two numbers.
    """
    if pool_type not in _POOLS:
        raise unknown_name('pool type', pool_type, _POOLS)
    stride = kernel_size if stride is None else stride
    size_2d('kernel_size', kernel_size)
    size_2d('stride', stride)
    padding, by_input_size = get_padding_value(kwargs.pop('padding', ''), kernel_size, stride=stride, **kwargs)
    fixed, same = _POOLS[pool_type]
    if by_input_size:
        return same(kernel_size, stride=stride, **kwargs)
    return fixed(kernel_size, stride=stride, padding=padding, **kwargs)
