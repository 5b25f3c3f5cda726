"""2D convolution with TensorFlow's 'SAME' padding, and the factory that chooses it where it is needed."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ._checks import BadValue, check_conv
from ._device import Module
from ._fx import register_notrace_module
from .padding import IntList, get_padding_value, pad_same, pad_same_arg

__all__ = ['Conv2dSame', 'Conv2dSameExport', 'conv2d_same', 'create_conv2d_pad']


def conv2d_same(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: IntList = (1, 1),
    padding: IntList = (0, 0),  # noqa: ARG001 (published)
    dilation: IntList = (1, 1),
    groups: int = 1,
) -> torch.Tensor:
    """Convolution whose output has ceil(size / stride) positions, at any input size.

    Shape: (B, C, H, W) -> (B, out, ceil(H / stride), ceil(W / stride))

    Args:
        padding: Stands where `F.conv2d` has it and is not read.
    """
    x = pad_same(x, weight.shape[-2:], stride, dilation)
    return F.conv2d(x, weight, bias, stride, (0, 0), dilation, groups)


@register_notrace_module
class Conv2dSame(Module, nn.Conv2d):
    """`nn.Conv2d` that pads as TensorFlow's 'SAME' does, by the size of each input.

    Shape: (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    Args:
        padding: Stands where `nn.Conv2d` has it and is not read.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,  # noqa: ARG002 (published)
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        check_conv(in_channels, out_channels, kernel_size, stride, dilation, groups)
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad, then convolve."""
        return conv2d_same(x, self.weight, self.bias, self.stride, (0, 0), self.dilation, self.groups)


class Conv2dSameExport(Module, nn.Conv2d):
    """`Conv2dSame` for exporters that want constant padding: the first input fixes the size of all that follow.

    Shape: (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    Args:
        padding: Stands where `nn.Conv2d` has it and is not read.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,  # noqa: ARG002 (published)
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        check_conv(in_channels, out_channels, kernel_size, stride, dilation, groups)
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)
        self.pad = [0, 0, 0, 0]
        self.pad_input_size: tuple[int, int] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad by the amounts of the first call, then convolve.

        Raises:
            ValueError: The input differs in size from the first.
        """
        size = (int(x.shape[-2]), int(x.shape[-1]))
        if self.pad_input_size is None:
            self.pad_input_size = size
            self.pad = pad_same_arg(size, self.kernel_size, self.stride, self.dilation)
        elif self.pad_input_size != size:
            raise BadValue(
                f'Input of {size} after one of {self.pad_input_size}: padding is constant here, use Conv2dSame instead.'
            )
        return F.conv2d(F.pad(x, self.pad), self.weight, self.bias, self.stride, (0, 0), self.dilation, self.groups)


def create_conv2d_pad(
    in_chs: int,
    out_chs: int,
    kernel_size: int | tuple[int, int],
    **kwargs: Any,
) -> nn.Conv2d:
    """A convolution from a padding that may be a word: `Conv2dSame` where only that will do, else `nn.Conv2d`.

    Args:
        kwargs: Of `nn.Conv2d`, but `padding` is '' (symmetric) and `bias` False unless given. See `get_padding_value`.

    Raises:
        ValueError: A size is below 1; `groups` does not divide the channels; `padding` is unknown.
    """
    kwargs.setdefault('bias', False)
    sizes = {name: kwargs[name] for name in ('stride', 'dilation', 'groups') if name in kwargs}
    check_conv(in_chs, out_chs, kernel_size, **sizes)
    padding, by_input_size = get_padding_value(kwargs.pop('padding', ''), kernel_size, **kwargs)
    if by_input_size:
        return Conv2dSame(in_chs, out_chs, kernel_size, **kwargs)
    return nn.Conv2d(in_chs, out_chs, kernel_size, padding=padding, **kwargs)
