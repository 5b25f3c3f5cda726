"""Grouped convolution with a kernel size per group of channels."""

from typing import Any

import torch
from torch import nn

from ._checks import BadValue, check_multiple
from .conv2d_same import create_conv2d_pad

__all__ = ['MixedConv2d']


def _split_channels(channels: int, parts: int) -> list[int]:
    """Equal shares; the first takes what is left over."""
    share = channels // parts
    return [channels - share * (parts - 1)] + [share] * (parts - 1)


class MixedConv2d(nn.ModuleList):
    """Channels split into as many groups as there are kernel sizes, each convolved by its own (arXiv:1907.09595).

    Shape: (B, in_channels, H, W) -> (B, out_channels, H', W')

    Args:
        kernel_size: One for each group.
        padding: As `create_conv2d_pad` takes it, which takes `kwargs` also.
        depthwise: Every convolution acts on each channel alone.

    Raises:
        ValueError: There is no kernel size, or there are fewer channels than kernel sizes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | list[int] = 3,
        stride: int = 1,
        padding: str = '',
        dilation: int = 1,
        depthwise: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        sizes = kernel_size if isinstance(kernel_size, list) else [kernel_size]
        if not 1 <= len(sizes) <= min(in_channels, out_channels):
            raise BadValue(
                f'kernel_size={kernel_size} has {len(sizes)} sizes for {in_channels} channels in, {out_channels} out: '
                f'use 1 to {min(in_channels, out_channels)}.'
            )
        if depthwise:
            reason = f'is no multiple of in_channels={in_channels}, as depthwise=True needs it'
            check_multiple('out_channels', out_channels, in_channels, reason)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.splits = _split_channels(in_channels, len(sizes))
        for size, ins, outs in zip(sizes, self.splits, _split_channels(out_channels, len(sizes)), strict=True):
            groups = ins if depthwise else 1
            conv = create_conv2d_pad(
                ins, outs, size, stride=stride, padding=padding, dilation=dilation, groups=groups, **kwargs
            )
            self.append(conv)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Split, convolve each part, and put the results one after another."""
        parts = x.split(self.splits, 1)
        outputs = [conv(parts[i]) for i, conv in enumerate(self)]
        return torch.cat(outputs, 1)
