"""Convolution whose weights are mixed anew for each sample."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from ._checks import BadValue, check_conv, check_counts
from ._device import Module
from ._fx import register_notrace_module
from .conv2d_same import conv2d_same
from .helpers import to_2tuple
from .padding import get_padding_value
from .typing import PadType

__all__ = ['CondConv2d', 'get_condconv_initializer']


def get_condconv_initializer(
    initializer: Callable[[torch.Tensor], object],
    num_experts: int,
    expert_shape: Sequence[int],
) -> Callable[[torch.Tensor], None]:
    """`initializer` for the (num_experts, numbers) matrix of a `CondConv2d`: it sees one expert at a time, in shape.

    Raises:
        ValueError: (from the result) The matrix has another shape.
        TypeError: `initializer` is no function.
    """
    if not callable(initializer):
        raise TypeError(f'initializer={initializer!r} fills no tensor: use a function such as nn.init.xavier_uniform_.')

    def initialize_experts(weight: torch.Tensor) -> None:
        expected = (num_experts, math.prod(expert_shape))
        if tuple(weight.shape) != expected:
            raise BadValue(f'Weights of {num_experts} experts must have shape {expected}, got {tuple(weight.shape)}.')
        for i in range(num_experts):
            initializer(weight[i].view(*expert_shape))

    return initialize_experts


@register_notrace_module
class CondConv2d(Module):
    """Convolution by a mixture of experts' weights, mixed per sample (CondConv, arXiv:1904.04971, eq. 1).

    Shape: (B, in_channels, H, W), (B, num_experts) -> (B, out_channels, H', W')

    Args:
        padding: Any that `get_padding_value` knows.

    Raises:
        ValueError: A size is below 1; `groups` does not divide the channels; `padding` is unknown.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        padding: PadType = '',
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = False,
        num_experts: int = 4,
    ) -> None:
        super().__init__()
        check_conv(in_channels, out_channels, kernel_size, stride, dilation, groups)
        check_counts(num_experts=num_experts)
        padding, self.dynamic_padding = get_padding_value(padding, kernel_size, stride=stride, dilation=dilation)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size: tuple[int, int] = to_2tuple(kernel_size)
        self.stride: tuple[int, int] = to_2tuple(stride)
        self.padding: tuple[int, int] = to_2tuple(padding)
        self.dilation: tuple[int, int] = to_2tuple(dilation)
        self.groups = groups
        self.num_experts = num_experts
        self.weight_shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.bias_shape = (out_channels,)
        self.weight = nn.Parameter(torch.empty(num_experts, math.prod(self.weight_shape)))
        self.bias = nn.Parameter(torch.empty(num_experts, out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Each expert starts as an `nn.Conv2d` of this shape would."""
        init_weight = partial(nn.init.kaiming_uniform_, a=math.sqrt(5))
        get_condconv_initializer(init_weight, self.num_experts, self.weight_shape)(self.weight)
        if self.bias is not None:
            bound = math.prod(self.weight_shape[1:]) ** -0.5
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: torch.Tensor, routing_weights: torch.Tensor) -> torch.Tensor:
        """Mix the experts by `routing_weights`, then convolve all samples at once, each in groups of its own."""
        B, C, H, W = x.shape
        kernel_h, kernel_w = self.kernel_size
        weight = (routing_weights @ self.weight).view(-1, C // self.groups, kernel_h, kernel_w)
        bias = self.bias
        if bias is not None:
            bias = (routing_weights @ bias).flatten()
        x = x.reshape(1, B * C, H, W)
        groups = self.groups * B
        if self.dynamic_padding:
            x = conv2d_same(x, weight, bias, self.stride, self.padding, self.dilation, groups)
        else:
            x = F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, groups)
        return x.view(B, self.out_channels, x.shape[-2], x.shape[-1])

    def extra_repr(self) -> str:
        """The sizes that tell one such layer from another."""
        return (
            f'{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, '
            f'groups={self.groups}, num_experts={self.num_experts}'
        )
