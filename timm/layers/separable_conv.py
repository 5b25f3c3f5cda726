"""Depthwise separable convolutions, bare and with norm and activation."""

import torch
from torch import nn

from ._checks import BadValue
from ._device import Module
from .create_conv2d import create_conv2d
from .create_norm_act import get_norm_act_layer
from .typing import LayerType, PadType

__all__ = ['SeparableConv2d', 'SeparableConvBnAct', 'SeparableConvNormAct']


class SeparableConv2d(Module):
    """A depthwise convolution, then one that mixes the channels (Xception, arXiv:1610.02357, section 3).

    Shape: (B, in_channels, H, W) -> (B, out_channels, H', W')

    Args:
        kernel_size: Of the depthwise convolution, as are stride and dilation.
        padding: Of both, as `create_conv2d` takes it.
        bias: Of the second.
        channel_multiplier: Channels between the two, in multiples of `in_channels`.
        pw_kernel_size: Kernel size of the second.

    Raises:
        ValueError: `channel_multiplier` is no whole number; another argument is none that `create_conv2d` takes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        padding: PadType = '',
        bias: bool = False,
        channel_multiplier: float = 1.0,
        pw_kernel_size: int = 1,
    ) -> None:
        super().__init__()
        width = int(in_channels * channel_multiplier)
        if width < 1 or width % in_channels:
            raise BadValue(f'channel_multiplier={channel_multiplier} is no whole number: use 1 or more.')
        self.conv_dw = create_conv2d(
            in_channels,
            width,
            kernel_size,
            stride=stride,
            dilation=dilation,
            padding=padding,
            depthwise=True,
        )
        self.conv_pw = create_conv2d(width, out_channels, pw_kernel_size, padding=padding, bias=bias)

    @property
    def in_channels(self) -> int:
        """Channels of the input."""
        return self.conv_dw.in_channels

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return self.conv_pw.out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both convolutions."""
        return self.conv_pw(self.conv_dw(x))


class SeparableConvNormAct(SeparableConv2d):
    """`SeparableConv2d`, then norm (named `bn`, whichever it is) and activation.

    Shape: (B, in_channels, H, W) -> (B, out_channels, H', W')

    Args:
        kernel_size: Of the depthwise convolution, as are stride and dilation.
        padding: Of both, as `create_conv2d` takes it.
        bias: Of the second.
        channel_multiplier: Channels between the two, in multiples of `in_channels`.
        pw_kernel_size: Kernel size of the second.
        drop_layer: Builds what stands between norm and activation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        padding: PadType = '',
        bias: bool = False,
        channel_multiplier: float = 1.0,
        pw_kernel_size: int = 1,
        norm_layer: LayerType = nn.BatchNorm2d,
        act_layer: LayerType | None = nn.ReLU,
        apply_act: bool = True,
        drop_layer: type[nn.Module] | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            dilation,
            padding,
            bias,
            channel_multiplier,
            pw_kernel_size,
        )
        options = {} if drop_layer is None else {'drop_layer': drop_layer}
        self.bn = get_norm_act_layer(norm_layer, act_layer)(out_channels, apply_act=apply_act, **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both convolutions, then norm and activation."""
        return self.bn(self.conv_pw(self.conv_dw(x)))


SeparableConvBnAct = SeparableConvNormAct
