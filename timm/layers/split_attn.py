"""Split attention: the branches of a grouped convolution compete for each channel."""

from typing import Any

import torch
from torch import nn

from ._checks import check_builders, check_conv, check_counts, share_of
from ._device import building_on
from .helpers import reduced_width

__all__ = ['RadixSoftmax', 'SplitAttn']


class RadixSoftmax(nn.Module):
    """Weights of the splits for each channel: a softmax over them, or a sigmoid where there is only one.

    Shape: (B, cardinality * radix * C, ...) -> (B, radix * cardinality * C): groups outermost become splits outermost
    """

    def __init__(self, radix: int, cardinality: int) -> None:
        super().__init__()
        self.radix = radix
        self.cardinality = cardinality

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weigh."""
        B = x.shape[0]
        if self.radix == 1:
            return x.sigmoid()
        x = x.view(B, self.cardinality, self.radix, -1).transpose(1, 2)
        return x.softmax(dim=1).reshape(B, -1)


class SplitAttn(nn.Module):
    """A convolution into `radix` splits, summed with a weight per channel and split (ResNeSt, arXiv:2004.08955, eq. 2).

    Shape: (B, in_channels, H, W) -> (B, out_channels, H', W')

    Args:
        out_channels: `in_channels` when None.
        padding: kernel_size // 2 when None.
        groups: Cardinality, the K of the paper.
        radix: Splits per group, the R of the paper.
        rd_ratio: Width of the hidden layer as a share of `in_channels * radix`, brought to a multiple of
            `rd_divisor`, at least 32.
        rd_channels: Width per split; None for the share.
        norm_layer: Builds a norm after the convolution and one of the hidden layer; None for no norms.
        drop_layer: Builds what stands between first norm and activation.
        kwargs: Of `nn.Conv2d`, for the convolution; `device` and `dtype`, for all.

    Raises:
        ValueError: A size is below 1; groups or splits of them do not divide the channels.
        TypeError: A layer is neither None nor class or function.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        radix: int = 2,
        rd_ratio: float = 0.25,
        rd_channels: int | None = None,
        rd_divisor: int = 8,
        act_layer: type[nn.Module] = nn.ReLU,
        norm_layer: type[nn.Module] | None = None,
        drop_layer: type[nn.Module] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        out_channels = out_channels or in_channels
        check_counts(radix=radix, groups=groups)
        check_builders(act_layer=act_layer, norm_layer=norm_layer, drop_layer=drop_layer)
        check_conv(in_channels, out_channels, kernel_size, stride, dilation, groups)
        share_of('in_channels', in_channels, 'groups * radix', groups * radix)
        self.radix = radix
        splits = out_channels * radix
        if rd_channels is None:
            width = reduced_width(in_channels * radix, rd_ratio, rd_divisor, min_value=32)
        else:
            width = rd_channels * radix
            share_of('rd_channels * radix', width, 'groups', groups)
        conv_options = {'stride': stride, 'dilation': dilation, 'groups': groups * radix, 'bias': bias}
        conv_options['padding'] = kernel_size // 2 if padding is None else padding
        with building_on(kwargs.pop('device', None), kwargs.pop('dtype', None)):
            self.conv = nn.Conv2d(in_channels, splits, kernel_size, **conv_options, **kwargs)
            self.bn0 = nn.Identity() if norm_layer is None else norm_layer(splits)
            self.drop = nn.Identity() if drop_layer is None else drop_layer()
            self.act0 = act_layer(inplace=True)
            self.fc1 = nn.Conv2d(out_channels, width, 1, groups=groups)
            self.bn1 = nn.Identity() if norm_layer is None else norm_layer(width)
            self.act1 = act_layer(inplace=True)
            self.fc2 = nn.Conv2d(width, splits, 1, groups=groups)
            self.rsoftmax = RadixSoftmax(radix, groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve into splits, weigh them by what their sum holds, and add them up."""
        x = self.act0(self.drop(self.bn0(self.conv(x))))
        x = x.unflatten(1, (self.radix, -1))
        context = x.sum(dim=1).mean((2, 3), keepdim=True)
        attn = self.rsoftmax(self.fc2(self.act1(self.bn1(self.fc1(context)))))
        attn = attn.reshape(x.shape[0], self.radix, -1, 1, 1)
        return (x * attn).sum(dim=1)
