"""Efficient channel attention: gates from a short convolution along the channels."""

import math

import torch
from torch import nn

from ._checks import BadValue, check_counts, check_odd
from ._device import Module
from .create_act import create_act_layer, create_gate, get_act_layer
from .helpers import reduced_width
from .typing import LayerType

__all__ = ['CecaModule', 'CircularEfficientChannelAttn', 'EcaModule', 'EfficientChannelAttn']


def _kernel_size(channels: int | None, kernel_size: int, gamma: float, beta: float) -> int:
    """Odd number nearest to (log2(channels) + beta) / gamma from below or at it, 3 at least; as asked without channels.

    ECA-Net, arXiv:1910.03151, eq. 12.
    """
    if channels is not None:
        check_counts(channels=channels)
        if not gamma > 0:
            raise BadValue(f'gamma={gamma} divides the logarithm of the channels: use a number above 0, such as 2.')
        size = int(abs(math.log2(channels) + beta) / gamma)
        return max(size if size % 2 else size + 1, 3)
    check_odd('kernel_size', kernel_size)
    return kernel_size


class EcaModule(Module):
    """x * gate(conv along the channels of the averages of x) (ECA-Net, arXiv:1910.03151, eq. 9).

    Shape: (B, channels, H, W) -> (B, channels, H, W)

    Args:
        channels: Sets the kernel size by eq. 12, with `gamma` and `beta`; None for `kernel_size` as given.
        act_layer: Activation between the two convolutions of `use_mlp`.
        rd_ratio: Width between these as a share of `channels`, brought to a multiple of `rd_divisor`.
        rd_channels: That width itself; None for the share.
        use_mlp: Two convolutions: one widens each average to some features, one mixes neighbours into a gate.

    Raises:
        ValueError: `kernel_size` decides and is even, or `use_mlp` without `channels`.
    """

    def __init__(
        self,
        channels: int | None = None,
        kernel_size: int = 3,
        gamma: float = 2,
        beta: float = 1,
        act_layer: LayerType | None = None,
        gate_layer: LayerType = 'sigmoid',
        rd_ratio: float = 1 / 8,
        rd_channels: int | None = None,
        rd_divisor: int = 8,
        use_mlp: bool = False,
    ) -> None:
        super().__init__()
        size = _kernel_size(channels, kernel_size, gamma, beta)
        if use_mlp:
            if channels is None:
                raise BadValue('use_mlp=True needs channels, which set its width: pass channels.')
            width = rd_channels or reduced_width(channels, rd_ratio, rd_divisor)
            self.conv = nn.Conv1d(1, width, kernel_size=1)
            self.act = create_act_layer(act_layer or nn.ReLU)
            self.conv2 = nn.Conv1d(width, 1, kernel_size=size, padding=size // 2)
        else:
            self.conv = nn.Conv1d(1, 1, kernel_size=size, padding=size // 2, bias=False)
            self.act = None
            self.conv2 = None
        self.gate = create_gate(gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the channels."""
        B, C = x.shape[:2]
        y = self.conv(x.mean((2, 3)).view(B, 1, C))
        if self.conv2 is not None and self.act is not None:
            y = self.conv2(self.act(y))
        return x * self.gate(y).view(B, C, 1, 1)


class CecaModule(Module):
    """`EcaModule` with the first and the last channel as neighbours: the convolution is circular.

    Channels have no order of their own, so neither end should see zeros where the others see a neighbour.

    Shape: (B, channels, H, W) -> (B, channels, H, W)

    Args:
        channels: Sets the kernel size by eq. 12, with `gamma` and `beta`; None for `kernel_size` as given.
        act_layer: Not applied; where one is given, the convolution has a bias, as in published weights.

    Raises:
        ValueError: `kernel_size` decides and is even.
    """

    def __init__(
        self,
        channels: int | None = None,
        kernel_size: int = 3,
        gamma: float = 2,
        beta: float = 1,
        act_layer: LayerType | None = None,
        gate_layer: LayerType = 'sigmoid',
    ) -> None:
        super().__init__()
        size = _kernel_size(channels, kernel_size, gamma, beta)
        has_bias = act_layer is not None
        get_act_layer(act_layer)  # refuses a name that is none
        self.conv = nn.Conv1d(1, 1, kernel_size=size, padding=size // 2, bias=has_bias, padding_mode='circular')
        self.gate = create_gate(gate_layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the channels."""
        B, C = x.shape[:2]
        y = self.conv(x.mean((2, 3)).view(B, 1, C))
        return x * self.gate(y).view(B, C, 1, 1)


EfficientChannelAttn = EcaModule
CircularEfficientChannelAttn = CecaModule
