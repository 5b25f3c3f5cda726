"""Convolution, norm and activation as one block."""

from typing import Any

import torch
from torch import nn

from ._device import Module
from .blur_pool import create_aa
from .create_conv2d import create_conv2d
from .create_norm_act import get_norm_act_layer
from .typing import LayerType, PadType

__all__ = ['ConvBnAct', 'ConvNormAct', 'ConvNormActAa']


class ConvNormAct(Module):
    """Convolution, norm (named `bn`, whichever it is) with activation, then anti-aliased subsampling if asked.

    Shape: (B, in_channels, H, W) -> (B, out_channels, H', W')

    Args:
        padding: As `create_conv2d` takes it.
        apply_norm: False leaves out the activation too.
        aa_layer: As `create_aa` takes it; with a stride above 1 it strides in place of the convolution.
        drop_layer: Builds what stands between norm and activation.
        conv_kwargs: More for `create_conv2d`; likewise `norm_kwargs` for the norm, `act_kwargs` for the activation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] | list[int] = 1,
        stride: int = 1,
        padding: PadType = '',
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        apply_norm: bool = True,
        apply_act: bool = True,
        norm_layer: LayerType = nn.BatchNorm2d,
        act_layer: LayerType | None = nn.ReLU,
        aa_layer: LayerType | None = None,
        drop_layer: type[nn.Module] | None = None,
        conv_kwargs: dict[str, Any] | None = None,
        norm_kwargs: dict[str, Any] | None = None,
        act_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        blur = stride > 1 and bool(aa_layer)
        self.conv = create_conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=1 if blur else stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            **(conv_kwargs or {}),
        )
        if apply_norm:
            options = dict(norm_kwargs or {})
            if drop_layer is not None:
                options['drop_layer'] = drop_layer
            if act_kwargs:
                options['act_kwargs'] = act_kwargs
            self.bn = get_norm_act_layer(norm_layer, act_layer)(out_channels, apply_act=apply_act, **options)
        else:
            self.bn = nn.Sequential()
            if drop_layer is not None:
                self.bn.add_module('drop', drop_layer())
        self.aa = create_aa(aa_layer, out_channels, stride=stride, enable=blur, noop=None)

    @property
    def in_channels(self) -> int:
        """Channels of the input."""
        return self.conv.in_channels

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return self.conv.out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The parts in their order."""
        x = self.bn(self.conv(x))
        if self.aa is not None:
            x = self.aa(x)
        return x


ConvBnAct = ConvNormAct
ConvNormActAa = ConvNormAct
