"""Global context: every position is scaled or shifted by one attended summary of the map."""

import torch
from torch import nn

from ._device import Module
from .create_act import create_gate, get_act_layer
from .helpers import reduced_width
from .mlp import ConvMlp
from .norm import LayerNorm2d
from .typing import LayerType

__all__ = ['GlobalContext']


class GlobalContext(Module):
    """A softmax-weighted sum over positions, through an MLP, gates or is added to all (GCNet, arXiv:1904.11492, eq. 6).

    Shape: (B, channels, H, W) -> (B, channels, H, W)

    Args:
        use_attn: Weigh the positions by a learned map; else take their average.
        fuse_add: Add the result of one MLP.
        fuse_scale: Multiply by the gate of one MLP.
        init_last_zero: Accepted for compatibility: the MLP that adds always starts at zero, the other never.
        rd_ratio: Width of the hidden layer as a share of `channels`, brought to a multiple of `rd_divisor`.
        rd_channels: That width itself; None for the share.
    """

    def __init__(
        self,
        channels: int,
        use_attn: bool = True,
        fuse_add: bool = False,
        fuse_scale: bool = True,
        init_last_zero: bool = False,
        rd_ratio: float = 1.0 / 8,
        rd_channels: int | None = None,
        rd_divisor: int = 1,
        act_layer: LayerType = nn.ReLU,
        gate_layer: LayerType = 'sigmoid',
    ) -> None:
        super().__init__()
        act = get_act_layer(act_layer)
        width = rd_channels or reduced_width(channels, rd_ratio, rd_divisor, round_limit=0.0)
        self.init_last_zero = init_last_zero
        self.conv_attn = nn.Conv2d(channels, 1, kernel_size=1) if use_attn else None
        self.mlp_add = ConvMlp(channels, width, act_layer=act, norm_layer=LayerNorm2d) if fuse_add else None
        self.mlp_scale = ConvMlp(channels, width, act_layer=act, norm_layer=LayerNorm2d) if fuse_scale else None
        self.gate = create_gate(gate_layer)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Attention by He's rule; the added term starts at its bias."""
        if self.conv_attn is not None:
            nn.init.kaiming_normal_(self.conv_attn.weight, mode='fan_in', nonlinearity='relu')
        if self.mlp_add is not None:
            nn.init.zeros_(self.mlp_add.fc2.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Summarise, then scale and shift."""
        if self.conv_attn is not None:
            attn = self.conv_attn(x).flatten(2).softmax(dim=-1)
            context = (x.flatten(2) @ attn.transpose(1, 2)).unsqueeze(-1)
        else:
            context = x.mean((2, 3), keepdim=True)
        if self.mlp_scale is not None:
            x = x * self.gate(self.mlp_scale(context))
        if self.mlp_add is not None:
            x = x + self.mlp_add(context)
        return x
