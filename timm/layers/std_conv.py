"""Convolutions with standardised weights: as published with GroupNorm, and the scaled form of NFNets."""

import torch
import torch.nn.functional as F
from torch import nn

from ._checks import check_conv
from ._device import Module
from ._fx import register_notrace_module
from .padding import get_padding, get_padding_value, pad_same
from .typing import PadType

__all__ = ['ScaledStdConv2d', 'ScaledStdConv2dSame', 'StdConv2d', 'StdConv2dSame']


def _standardize(weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Each filter with mean 0 and variance 1 over its input channels and taps."""
    filters = weight.flatten(1)
    return F.layer_norm(filters, filters.shape[1:], eps=eps).view_as(weight)


class StdConv2d(Module, nn.Conv2d):
    """Convolution by weights standardised per filter (Weight Standardization, arXiv:1903.10520, eq. 5 to 8).

    Shape: (B, in_channel, H, W) -> (B, out_channels, H', W')

    Args:
        padding: Symmetric when None.
        eps: Added to the variance of a filter.
    """

    def __init__(
        self,
        in_channel: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: PadType | None = None,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = False,
        eps: float = 1e-6,
    ) -> None:
        check_conv(in_channel, out_channels, kernel_size, stride, dilation, groups)
        if padding is None:
            padding = get_padding(kernel_size, stride, dilation)  # pyright: ignore[reportAssignmentType]
        super().__init__(in_channel, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Standardise the weights, then convolve."""
        weight = _standardize(self.weight, self.eps)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


@register_notrace_module
class StdConv2dSame(Module, nn.Conv2d):
    """`StdConv2d` with TensorFlow's 'SAME' padding, as in the ResNet-V2 of BiT and of the hybrid ViTs.

    Shape: (B, in_channel, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    Args:
        padding: Any that `get_padding_value` knows; one that does not depend on the input size stays out of `forward`.
        eps: Added to the variance of a filter.
    """

    def __init__(
        self,
        in_channel: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: PadType = 'SAME',
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = False,
        eps: float = 1e-6,
    ) -> None:
        check_conv(in_channel, out_channels, kernel_size, stride, dilation, groups)
        padding, same_pad = get_padding_value(padding, kernel_size, stride=stride, dilation=dilation)
        super().__init__(in_channel, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.same_pad = same_pad
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad where the input size decides, standardise the weights, then convolve."""
        if self.same_pad:
            x = pad_same(x, self.kernel_size, self.stride, self.dilation)
        weight = _standardize(self.weight, self.eps)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class _ScaledStdConv2d(nn.Conv2d):
    """What the two scaled convolutions share: the gain of each filter, and weights that preserve variance.

    NFNets, arXiv:2101.08692, section 4: W' = gamma * gain * (W - mean) / (std * sqrt(fan_in)).
    """

    def _set_gain(self, gamma: float, eps: float, gain_init: float) -> None:
        self.gain = nn.Parameter(torch.full((self.out_channels, 1, 1, 1), gain_init))
        self.scale = gamma * self.weight[0].numel() ** -0.5
        self.eps = eps
        self.gain_init = gain_init

    def reset_parameters(self) -> None:
        """Weights and biases as `nn.Conv2d` starts them, gains as asked."""
        super().reset_parameters()
        if hasattr(self, 'gain'):  # not yet, when the constructor of nn.Conv2d calls
            nn.init.constant_(self.gain, self.gain_init)

    def _scaled_weight(self) -> torch.Tensor:
        """The weights that the convolution uses."""
        return _standardize(self.weight, self.eps) * (self.gain * self.scale)


class ScaledStdConv2d(Module, _ScaledStdConv2d):
    """Convolution by standardised weights with a learned gain per filter (NFNets, arXiv:2101.08692, section 4).

    Shape: (B, in_channels, H, W) -> (B, out_channels, H', W')

    Args:
        padding: Symmetric when None.
        gamma: Constant that undoes what the activation before does to the variance.
        eps: Added to the variance of a filter.
        gain_init: Gain of every filter at the start.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: PadType | None = None,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        gamma: float = 1.0,
        eps: float = 1e-6,
        gain_init: float = 1.0,
    ) -> None:
        check_conv(in_channels, out_channels, kernel_size, stride, dilation, groups)
        if padding is None:
            padding = get_padding(kernel_size, stride, dilation)  # pyright: ignore[reportAssignmentType]
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self._set_gain(gamma, eps, gain_init)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Standardise and scale the weights, then convolve."""
        weight = self._scaled_weight()
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


@register_notrace_module
class ScaledStdConv2dSame(Module, _ScaledStdConv2d):
    """`ScaledStdConv2d` with TensorFlow's 'SAME' padding, as in DeepMind's NFNets.

    Shape: (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride))

    Args:
        padding: Any that `get_padding_value` knows; one that does not depend on the input size stays out of `forward`.
        gamma: Constant that undoes what the activation before does to the variance.
        eps: Added to the variance of a filter.
        gain_init: Gain of every filter at the start.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: PadType = 'SAME',
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        gamma: float = 1.0,
        eps: float = 1e-6,
        gain_init: float = 1.0,
    ) -> None:
        check_conv(in_channels, out_channels, kernel_size, stride, dilation, groups)
        padding, same_pad = get_padding_value(padding, kernel_size, stride=stride, dilation=dilation)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.same_pad = same_pad
        self._set_gain(gamma, eps, gain_init)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad where the input size decides, standardise and scale the weights, then convolve."""
        if self.same_pad:
            x = pad_same(x, self.kernel_size, self.stride, self.dilation)
        weight = self._scaled_weight()
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
