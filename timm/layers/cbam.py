"""Convolutional block attention: channels gated first, positions after them."""

import torch
from torch import nn

from ._checks import check_odd
from ._device import Module
from .conv_bn_act import ConvNormAct
from .create_act import create_act_layer, create_gate
from .helpers import reduced_width
from .typing import LayerType

__all__ = ['CbamModule', 'ChannelAttn', 'LightCbamModule', 'LightChannelAttn', 'LightSpatialAttn', 'SpatialAttn']


class ChannelAttn(Module):
    """x * gate(mlp(average of x) + mlp(maximum of x)), one MLP for both (CBAM, arXiv:1807.06521, eq. 2).

    Shape: (B, channels, H, W) -> (B, channels, H, W)

    Args:
        rd_ratio: Width of the hidden layer as a share of `channels`, brought to a multiple of `rd_divisor`.
        rd_channels: That width itself; None for the share.
    """

    def __init__(
        self,
        channels: int,
        rd_ratio: float = 1.0 / 16,
        rd_channels: int | None = None,
        rd_divisor: int = 1,
        act_layer: LayerType = nn.ReLU,
        gate_layer: LayerType = 'sigmoid',
        mlp_bias: bool = False,
    ) -> None:
        super().__init__()
        width = rd_channels or reduced_width(channels, rd_ratio, rd_divisor, round_limit=0.0)
        self.fc1 = nn.Conv2d(channels, width, kernel_size=1, bias=mlp_bias)
        self.act = create_act_layer(act_layer, inplace=True)
        self.fc2 = nn.Conv2d(width, channels, kernel_size=1, bias=mlp_bias)
        self.gate = create_gate(gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the channels."""
        average = self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True))))
        maximum = self.fc2(self.act(self.fc1(x.amax((2, 3), keepdim=True))))
        return x * self.gate(average + maximum)


class LightChannelAttn(ChannelAttn):
    """`ChannelAttn` with one pass through the MLP: of the mean of average and maximum.

    Shape: (B, channels, H, W) -> (B, channels, H, W)
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the channels."""
        pooled = 0.5 * (x.mean((2, 3), keepdim=True) + x.amax((2, 3), keepdim=True))
        return x * self.gate(self.fc2(self.act(self.fc1(pooled))))


class SpatialAttn(Module):
    """x * gate(conv of the average and the maximum over channels) (CBAM, arXiv:1807.06521, eq. 3).

    Shape: (B, C, H, W) -> (B, C, H, W)
    """

    def __init__(self, kernel_size: int = 7, gate_layer: LayerType = 'sigmoid') -> None:
        super().__init__()
        check_odd('kernel_size', kernel_size)
        self.conv = ConvNormAct(2, 1, kernel_size, apply_act=False)
        self.gate = create_gate(gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the positions."""
        pooled = torch.cat((x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)), dim=1)
        return x * self.gate(self.conv(pooled))


class LightSpatialAttn(Module):
    """`SpatialAttn` with one map to convolve: the mean of average and maximum.

    Shape: (B, C, H, W) -> (B, C, H, W)
    """

    def __init__(self, kernel_size: int = 7, gate_layer: LayerType = 'sigmoid') -> None:
        super().__init__()
        check_odd('kernel_size', kernel_size)
        self.conv = ConvNormAct(1, 1, kernel_size, apply_act=False)
        self.gate = create_gate(gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the positions."""
        pooled = 0.5 * (x.mean(dim=1, keepdim=True) + x.amax(dim=1, keepdim=True))
        return x * self.gate(self.conv(pooled))


class CbamModule(Module):
    """`ChannelAttn`, then `SpatialAttn` (CBAM, arXiv:1807.06521, section 3).

    Shape: (B, channels, H, W) -> (B, channels, H, W)
    """

    def __init__(
        self,
        channels: int,
        rd_ratio: float = 1.0 / 16,
        rd_channels: int | None = None,
        rd_divisor: int = 1,
        spatial_kernel_size: int = 7,
        act_layer: LayerType = nn.ReLU,
        gate_layer: LayerType = 'sigmoid',
        mlp_bias: bool = False,
    ) -> None:
        super().__init__()
        self.channel = ChannelAttn(channels, rd_ratio, rd_channels, rd_divisor, act_layer, gate_layer, mlp_bias)
        self.spatial = SpatialAttn(spatial_kernel_size, gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the channels, then the positions."""
        return self.spatial(self.channel(x))


class LightCbamModule(Module):
    """`LightChannelAttn`, then `LightSpatialAttn`.

    Shape: (B, channels, H, W) -> (B, channels, H, W)
    """

    def __init__(
        self,
        channels: int,
        rd_ratio: float = 1.0 / 16,
        rd_channels: int | None = None,
        rd_divisor: int = 1,
        spatial_kernel_size: int = 7,
        act_layer: LayerType = nn.ReLU,
        gate_layer: LayerType = 'sigmoid',
        mlp_bias: bool = False,
    ) -> None:
        super().__init__()
        self.channel = LightChannelAttn(channels, rd_ratio, rd_channels, rd_divisor, act_layer, gate_layer, mlp_bias)
        self.spatial = LightSpatialAttn(spatial_kernel_size, gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the channels, then the positions."""
        return self.spatial(self.channel(x))
