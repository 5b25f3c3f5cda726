"""Selective kernels: convolutions of several reaches compete for each channel."""

from typing import Any

import torch
from torch import nn

from ._checks import BadValue, check_odd
from ._device import Module
from .conv_bn_act import ConvNormAct
from .helpers import reduced_width
from .typing import LayerType

__all__ = ['SelectiveKernel', 'SelectiveKernelAttn']


class SelectiveKernelAttn(Module):
    """Weights of the paths for each channel, by a softmax over paths of what their sum holds (SKNet, eq. 2 to 5).

    Shape: (B, num_paths, channels, H, W) -> (B, num_paths, channels, 1, 1)

    Args:
        attn_channels: Width of the hidden layer.
    """

    def __init__(
        self,
        channels: int,
        num_paths: int = 2,
        attn_channels: int = 32,
        act_layer: type[nn.Module] = nn.ReLU,
        norm_layer: type[nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.num_paths = num_paths
        self.fc_reduce = nn.Conv2d(channels, attn_channels, kernel_size=1, bias=False)
        self.bn = norm_layer(attn_channels)
        self.act = act_layer(inplace=True)
        self.fc_select = nn.Conv2d(attn_channels, channels * num_paths, kernel_size=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Fuse the paths, then weigh them."""
        context = x.sum(dim=1).mean((2, 3), keepdim=True)
        weights = self.fc_select(self.act(self.bn(self.fc_reduce(context))))
        return weights.unflatten(1, (self.num_paths, -1)).softmax(dim=1)


class SelectiveKernel(Module):
    """Convolutions of several reaches, summed with a weight per channel and path (SKNet, arXiv:1903.06586, eq. 6).

    Shape: (B, in_channels, H, W) -> (B, out_channels, H', W')

    Args:
        out_channels: `in_channels` when None.
        kernel_size: One per path, [3, 5] when None; a single number makes two paths of it.
        rd_ratio: Width of the attention's hidden layer as a share of `out_channels`, brought to a multiple
            of `rd_divisor`.
        rd_channels: That width itself; None for the share.
        keep_3x3: Reach larger kernels by dilation of 3x3 ones, as the paper does.
        split_input: Each path sees its own share of the channels, which keeps the size that of one convolution.
        drop_layer: Builds what stands between norm and activation of a path.

    Raises:
        ValueError: There is no kernel size, or one is even or below 3; the channels cannot be shared equally.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        kernel_size: int | list[int] | tuple[int, ...] | None = None,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        rd_ratio: float = 1.0 / 16,
        rd_channels: int | None = None,
        rd_divisor: int = 8,
        keep_3x3: bool = True,
        split_input: bool = True,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = nn.BatchNorm2d,
        aa_layer: LayerType | None = None,
        drop_layer: type[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        out_channels = out_channels or in_channels
        given = (3, 5) if kernel_size is None else kernel_size
        sizes = [given] * 2 if isinstance(given, int) else list(given)
        if not sizes:
            raise BadValue(f'kernel_size={kernel_size} names no path: use sizes such as [3, 5].')
        for size in sizes:
            check_odd('kernel_size', size, least=3)
        reaches = [(3, dilation * (size - 1) // 2) if keep_3x3 else (size, dilation) for size in sizes]
        self.num_paths = len(sizes)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.split_input = split_input
        if split_input and in_channels % self.num_paths:
            raise BadValue(
                f'{in_channels} channels cannot be shared by {self.num_paths} paths: pass split_input=False.'
            )
        options: dict[str, Any] = {
            'stride': stride,
            'groups': min(out_channels, groups),
            'act_layer': act_layer,
            'norm_layer': norm_layer,
            'aa_layer': aa_layer,
            'drop_layer': drop_layer,
        }
        path_channels = in_channels // self.num_paths if split_input else in_channels
        self.paths = nn.ModuleList(
            ConvNormAct(path_channels, out_channels, size, dilation=reach, **options) for size, reach in reaches
        )
        width = rd_channels or reduced_width(out_channels, rd_ratio, rd_divisor)
        self.attn = SelectiveKernelAttn(out_channels, self.num_paths, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """All paths, then their weighted sum."""
        if self.split_input:
            parts = x.split(self.in_channels // self.num_paths, 1)
            outputs = [path(parts[i]) for i, path in enumerate(self.paths)]
        else:
            outputs = [path(x) for path in self.paths]
        x = torch.stack(outputs, dim=1)
        return (x * self.attn(x)).sum(dim=1)
