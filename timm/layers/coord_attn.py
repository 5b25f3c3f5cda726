"""Attention along the two axes of a map: rows and columns are gated by what their averages hold."""

from typing import Any

import torch
from torch import nn

from ._checks import check_odd
from ._device import Module
from .create_act import create_act_layer, create_gate
from .create_norm import get_norm_layer
from .helpers import reduced_width
from .norm import GroupNorm1
from .typing import LayerType

__all__ = ['CoordAttn', 'EfficientLocalAttn', 'SimpleCoordAttn', 'StripAttn']


def _norm(norm_layer: LayerType | None, channels: int) -> nn.Module:
    return get_norm_layer(norm_layer)(channels) if norm_layer else nn.Identity()


class CoordAttn(Module):
    """x * gate(conv_h(y)) * gate(conv_w(y)), one factor a row and one a column (arXiv:2103.02907, eq. 4 to 9).

    y = act(norm(conv of the averages of all rows and columns)), whose rows give the first factor and whose columns the
    second.

    Shape: (B, channels, H, W) -> (B, channels, H, W)

    Args:
        rd_ratio: Width of the hidden layer as a share of `channels`, brought to a multiple of `rd_divisor`.
        rd_channels: That width itself; None for the share.
        se_factor: Multiplies `rd_ratio`: at 2/3, three convolutions are as large as the two of `SEModule`.
        act_layer: Activation of the hidden layer; None for none.
        norm_layer: Builds the norm of the hidden layer; None for no norm.
        has_skip: Add `x` to the result.
    """

    def __init__(
        self,
        channels: int,
        rd_ratio: float = 1.0 / 16,
        rd_channels: int | None = None,
        rd_divisor: int = 8,
        se_factor: float = 2 / 3,
        bias: bool = False,
        act_layer: LayerType | None = nn.Hardswish,
        norm_layer: LayerType | None = nn.BatchNorm2d,
        gate_layer: LayerType = 'sigmoid',
        has_skip: bool = False,
    ) -> None:
        super().__init__()
        width = rd_channels or reduced_width(channels, rd_ratio * se_factor, rd_divisor, round_limit=0.0)
        self.has_skip = has_skip
        self.conv1 = nn.Conv2d(channels, width, kernel_size=1, bias=bias)
        self.bn1 = _norm(norm_layer, width)
        self.act = create_act_layer(act_layer, inplace=True) or nn.Identity()
        self.conv_h = nn.Conv2d(width, channels, kernel_size=1, bias=bias)
        self.conv_w = nn.Conv2d(width, channels, kernel_size=1, bias=bias)
        self.gate = create_gate(gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the rows and the columns."""
        H, W = x.shape[2:]
        averages = torch.cat((x.mean(3, keepdim=True), x.mean(2).unsqueeze(3)), dim=2)
        rows, columns = self.act(self.bn1(self.conv1(averages))).split((H, W), dim=2)
        gate = self.gate(self.conv_h(rows)) * self.gate(self.conv_w(columns)).transpose(2, 3)
        return x + x * gate if self.has_skip else x * gate


class SimpleCoordAttn(Module):
    """x * gate(fc_h(y) + fc_w(y)): `CoordAttn` with linear layers, without norm and with a single gate of both axes.

    y = act(fc1(averages of all rows and columns)), whose rows go through `fc_h` and whose columns through `fc_w`.

    Shape: (B, channels, H, W) -> (B, channels, H, W)

    Args:
        rd_ratio: Width of the hidden layer as a share of `channels`, brought to a multiple of `rd_divisor`.
        rd_channels: That width itself; None for the share.
        se_factor: Multiplies `rd_ratio`, as in `CoordAttn`.
        act_layer: Activation of the hidden layer; None for none.
        has_skip: Add `x` to the result.
    """

    def __init__(
        self,
        channels: int,
        rd_ratio: float = 0.25,
        rd_channels: int | None = None,
        rd_divisor: int = 8,
        se_factor: float = 2 / 3,
        bias: bool = True,
        act_layer: LayerType | None = nn.SiLU,
        gate_layer: LayerType = 'sigmoid',
        has_skip: bool = False,
    ) -> None:
        super().__init__()
        width = rd_channels or reduced_width(channels, rd_ratio * se_factor, rd_divisor, round_limit=0.0)
        self.has_skip = has_skip
        self.fc1 = nn.Linear(channels, width, bias=bias)
        self.act = create_act_layer(act_layer, inplace=True) or nn.Identity()
        self.fc_h = nn.Linear(width, channels, bias=bias)
        self.fc_w = nn.Linear(width, channels, bias=bias)
        self.gate = create_gate(gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the positions by their row and their column."""
        rows, columns = x.mean(3).transpose(1, 2), x.mean(2).transpose(1, 2)
        rows = self.fc_h(self.act(self.fc1(rows))).transpose(1, 2)
        columns = self.fc_w(self.act(self.fc1(columns))).transpose(1, 2)
        gate = self.gate(rows.unsqueeze(3) + columns.unsqueeze(2))
        return x + x * gate if self.has_skip else x * gate


class EfficientLocalAttn(Module):
    """x * gate(act(norm(conv along the averages of rows))) * the same of columns (ELA, arXiv:2403.01123, section 3.3).

    Each channel has two 1D convolutions of its own, and no hidden layer is narrower than the map.

    Shape: (B, channels, H, W) -> (B, channels, H, W)

    Args:
        kernel_size: Rows, or columns, that a gate sees: an odd number.
        act_layer: Activation before each gate; None for none.
        norm_layer: Builds a norm after each convolution; None for no norms.
        has_skip: Add `x` to the result.

    Raises:
        ValueError: `kernel_size` is even or below 1.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 7,
        bias: bool = False,
        act_layer: LayerType | None = nn.SiLU,
        gate_layer: LayerType = 'sigmoid',
        norm_layer: LayerType | None = GroupNorm1,
        has_skip: bool = False,
    ) -> None:
        super().__init__()
        check_odd('kernel_size', kernel_size)
        size, reach = kernel_size, kernel_size // 2
        self.has_skip = has_skip
        self.conv_h = nn.Conv2d(channels, channels, (size, 1), padding=(reach, 0), groups=channels, bias=bias)
        self.conv_w = nn.Conv2d(channels, channels, (1, size), padding=(0, reach), groups=channels, bias=bias)
        self.norm_h = _norm(norm_layer, channels)
        self.norm_w = _norm(norm_layer, channels)
        self.act = create_act_layer(act_layer, inplace=True) or nn.Identity()
        self.gate = create_gate(gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the rows and the columns."""
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True)
        rows = self.act(self.norm_h(self.conv_h(rows)))
        columns = self.act(self.norm_w(self.conv_w(columns)))
        gate = self.gate(rows) * self.gate(columns)
        return x + x * gate if self.has_skip else x * gate


class StripAttn(Module):
    """x * gate(conv along the averages of rows + conv along those of columns), one channel at a time.

    The strip pooling of arXiv:2003.13328, section 3.2, without its mixing of channels.

    Shape: (B, channels, H, W) -> (B, channels, H, W)

    Args:
        use_conv: Have the convolutions; else averages are added as they are.
        kernel_size: Rows, or columns, that a gate sees: an odd number.
        has_skip: Add `x` to the result.

    Raises:
        ValueError: `kernel_size` is even or below 1.
    """

    def __init__(
        self,
        channels: int,
        use_conv: bool = True,
        kernel_size: int = 3,
        bias: bool = False,
        gate_layer: LayerType = 'sigmoid',
        has_skip: bool = False,
        **_: Any,
    ) -> None:
        super().__init__()
        self.has_skip = has_skip
        if use_conv:
            check_odd('kernel_size', kernel_size)
            size, reach = kernel_size, kernel_size // 2
            self.conv_h = nn.Conv2d(channels, channels, (size, 1), padding=(reach, 0), groups=channels, bias=bias)
            self.conv_w = nn.Conv2d(channels, channels, (1, size), padding=(0, reach), groups=channels, bias=bias)
        else:
            self.conv_h = nn.Identity()
            self.conv_w = nn.Identity()
        self.gate = create_gate(gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the positions by their row and their column."""
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True)
        gate = self.gate(self.conv_h(rows) + self.conv_w(columns))
        return x + x * gate if self.has_skip else x * gate
