"""Squeeze-and-excitation: channels gated by what the whole map holds."""

from typing import Any

import torch
from torch import nn

from ._checks import check_builders
from ._device import Module
from .create_act import create_act_layer, create_gate
from .helpers import reduced_width
from .typing import LayerType

__all__ = [
    'EffectiveSEModule',
    'EffectiveSqueezeExcite',
    'SEModule',
    'SqueezeExcite',
    'SqueezeExciteCl',
]


def _squeeze(x: torch.Tensor, add_maxpool: bool) -> torch.Tensor:
    """One number per channel, (B, C, H, W) -> (B, C, 1, 1): the average, or its mean with the maximum."""
    average = x.mean((2, 3), keepdim=True)
    return 0.5 * (average + x.amax((2, 3), keepdim=True)) if add_maxpool else average


def _reduced(channels: int, rd_ratio: float, rd_channels: int | None, rd_divisor: int) -> int:
    return rd_channels or reduced_width(channels, rd_ratio, rd_divisor, round_limit=0.0)


class SEModule(Module):
    """x * gate(fc2(act(fc1(average of x)))) (Squeeze-and-Excitation, arXiv:1709.01507, eq. 2 to 4).

    Shape: (B, channels, H, W) -> (B, channels, H, W)

    Args:
        rd_ratio: Width of the hidden layer as a share of `channels`, brought to a multiple of `rd_divisor`.
        rd_channels: That width itself; None for the share.
        add_maxpool: Describe a channel by the mean of its average and its maximum.
        norm_layer: Builds a norm of the hidden layer; None for no norm.
    """

    def __init__(
        self,
        channels: int,
        rd_ratio: float = 1.0 / 16,
        rd_channels: int | None = None,
        rd_divisor: int = 8,
        add_maxpool: bool = False,
        bias: bool = True,
        act_layer: LayerType | None = nn.ReLU,
        norm_layer: type[nn.Module] | None = None,
        gate_layer: LayerType = 'sigmoid',
    ) -> None:
        super().__init__()
        check_builders(norm_layer=norm_layer)
        width = _reduced(channels, rd_ratio, rd_channels, rd_divisor)
        self.add_maxpool = add_maxpool
        self.fc1 = nn.Conv2d(channels, width, kernel_size=1, bias=bias)
        self.bn = nn.Identity() if norm_layer is None else norm_layer(width)
        self.act = create_act_layer(act_layer, inplace=True) or nn.Identity()
        self.fc2 = nn.Conv2d(width, channels, kernel_size=1, bias=bias)
        self.gate = create_gate(gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the channels."""
        squeezed = _squeeze(x, self.add_maxpool)
        return x * self.gate(self.fc2(self.act(self.bn(self.fc1(squeezed)))))


class EffectiveSEModule(Module):
    """x * gate(fc(average of x)): no hidden layer, so nothing is lost on the way (VoVNetV2, arXiv:1911.06667, eq. 3).

    Shape: (B, channels, H, W) -> (B, channels, H, W)

    Args:
        add_maxpool: Describe a channel by the mean of its average and its maximum.
    """

    def __init__(
        self,
        channels: int,
        add_maxpool: bool = False,
        gate_layer: LayerType = 'hard_sigmoid',
        **_: Any,
    ) -> None:
        super().__init__()
        self.add_maxpool = add_maxpool
        self.fc = nn.Conv2d(channels, channels, kernel_size=1)
        self.gate = create_gate(gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the channels."""
        return x * self.gate(self.fc(_squeeze(x, self.add_maxpool)))


class SqueezeExciteCl(Module):
    """`SEModule` for maps with the channels last.

    Shape: (B, H, W, channels) -> (B, H, W, channels)

    Args:
        rd_ratio: Width of the hidden layer as a share of `channels`, brought to a multiple of `rd_divisor`.
        rd_channels: That width itself; None for the share.
    """

    def __init__(
        self,
        channels: int,
        rd_ratio: float = 1.0 / 16,
        rd_channels: int | None = None,
        rd_divisor: int = 8,
        bias: bool = True,
        act_layer: LayerType | None = nn.ReLU,
        gate_layer: LayerType = 'sigmoid',
    ) -> None:
        super().__init__()
        width = _reduced(channels, rd_ratio, rd_channels, rd_divisor)
        self.fc1 = nn.Linear(channels, width, bias=bias)
        self.act = create_act_layer(act_layer) or nn.Identity()
        self.fc2 = nn.Linear(width, channels, bias=bias)
        self.gate = create_gate(gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the channels."""
        squeezed = x.mean((1, 2), keepdim=True)
        return x * self.gate(self.fc2(self.act(self.fc1(squeezed))))


SqueezeExcite = SEModule
EffectiveSqueezeExcite = EffectiveSEModule
