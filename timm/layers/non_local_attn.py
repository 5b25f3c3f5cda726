"""Non-local attention: every position of a map sees all others, by softmax or by a bilinear transform."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import check_counts, share_of
from ._device import Module
from .config import use_fused_attn
from .conv_bn_act import ConvNormAct
from .helpers import reduced_width
from .trace_utils import _assert
from .typing import LayerType

__all__ = ['BatNonLocalAttn', 'BilinearAttnTransform', 'NonLocalAttn']


class NonLocalAttn(Module):
    """x + norm(z(softmax(t(x) p(x)^T) g(x))), t, p, g and z being 1x1 convolutions (arXiv:1711.07971, eq. 4 and 6).

    Shape: (B, in_channels, H, W) -> (B, in_channels, H, W)

    Args:
        use_scale: Divide the scores by the root of `in_channels`.
        rd_ratio: Width of t, p and g as a share of `in_channels`, brought to a multiple of `rd_divisor`.
        rd_channels: That width itself; None for the share.
    """

    fused_attn: torch.jit.Final[bool]

    def __init__(
        self,
        in_channels: int,
        use_scale: bool = True,
        rd_ratio: float = 1 / 8,
        rd_channels: int | None = None,
        rd_divisor: int = 8,
        **_: Any,
    ) -> None:
        super().__init__()
        width = rd_channels or reduced_width(in_channels, rd_ratio, rd_divisor)
        self.scale = in_channels**-0.5 if use_scale else 1.0
        # The kernel saves memory, but on small maps its single narrow head is slower than two products.
        self.fused_attn = use_fused_attn(experimental=True)
        self.t = nn.Conv2d(in_channels, width, kernel_size=1)
        self.p = nn.Conv2d(in_channels, width, kernel_size=1)
        self.g = nn.Conv2d(in_channels, width, kernel_size=1)
        self.z = nn.Conv2d(width, in_channels, kernel_size=1)
        self.norm = nn.BatchNorm2d(in_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Convolutions by He's rule without biases; the norm at zero, so that the layer starts as the identity."""
        for conv in (self.t, self.p, self.g, self.z):
            nn.init.kaiming_normal_(conv.weight, mode='fan_out', nonlinearity='relu')
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        nn.init.zeros_(self.norm.weight)
        nn.init.zeros_(self.norm.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add to each position what it finds in all others."""
        H, W = x.shape[2:]
        q, k, v = self.t(x).flatten(2), self.p(x).flatten(2), self.g(x).flatten(2)
        if self.fused_attn:
            # Copies, because the kernel is slow where the channels of a position do not lie together.
            q = q.transpose(1, 2).unsqueeze(1).contiguous()
            k = k.transpose(1, 2).unsqueeze(1).contiguous()
            v = v.transpose(1, 2).unsqueeze(1).contiguous()
            found = F.scaled_dot_product_attention(q, k, v, scale=self.scale).squeeze(1).transpose(1, 2)
        else:
            attn = (q.transpose(1, 2) @ (k * self.scale)).softmax(dim=-1)
            found = v @ attn.transpose(1, 2)
        return x + self.norm(self.z(found.unflatten(2, (H, W))))


class BilinearAttnTransform(Module):
    """act(norm(conv(P x Q))): P mixes rows and Q mixes columns, both as x itself asks for.

    The maxima of the rows of a hidden map give a P for each group of channels, those of its columns a Q: matrices of
    block_size x block_size positive numbers, of which each row of P and each column of Q sums to one. As many blocks of
    rows, or of columns, are mixed as wholes.

    From "Non-Local Neural Networks With Grouped Bilinear Attentional Transforms", CVPR 2020, section 3.

    Shape: (B, in_channels, H, W) -> (B, in_channels, H, W); H and W are multiples of `block_size`

    Args:
        block_size: Rows, and columns, of the matrices.
        groups: Sets of channels, each with matrices of its own.

    Raises:
        ValueError: `groups` does not divide `in_channels`, or `block_size` is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        block_size: int,
        groups: int,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        check_counts(block_size=block_size)
        share_of('in_channels', in_channels, 'groups', groups)
        self.block_size = block_size
        self.groups = groups
        matrix = groups * block_size**2
        self.conv1 = ConvNormAct(in_channels, groups, 1, act_layer=act_layer, norm_layer=norm_layer)
        self.conv_p = nn.Conv2d(groups, matrix, kernel_size=(block_size, 1))
        self.conv_q = nn.Conv2d(groups, matrix, kernel_size=(1, block_size))
        self.conv2 = ConvNormAct(in_channels, in_channels, 1, act_layer=act_layer, norm_layer=norm_layer)

    def resize_mat(self, x: torch.Tensor, t: int) -> torch.Tensor:
        """Each matrix with its entries as multiples of the t x t identity, (B, C, N, M) -> (B, C, N * t, M * t)."""
        B, C, N, M = x.shape
        identity = torch.eye(t, dtype=x.dtype, device=x.device)
        return (x[:, :, :, None, :, None] * identity[:, None, :]).reshape(B, C, N * t, M * t)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Draw the two matrices, then mix."""
        B, C, H, W = x.shape
        N, G = self.block_size, self.groups
        _assert(H % N == 0, f'Map height {H} is not a multiple of block_size={N}: resize or pad it.')
        _assert(W % N == 0, f'Map width {W} is not a multiple of block_size={N}: resize or pad it.')
        hidden = self.conv1(x)
        p = self.conv_p(F.adaptive_max_pool2d(hidden, (N, 1))).view(B, G, N, N).sigmoid()
        q = self.conv_q(F.adaptive_max_pool2d(hidden, (1, N))).view(B, G, N, N).sigmoid()
        p = p / p.sum(dim=3, keepdim=True)
        q = q / q.sum(dim=2, keepdim=True)
        # Rows of a block lie together in memory, so P need not grow to H x H; columns do not.
        x = p.unsqueeze(2) @ x.reshape(B, G, C // G, N, -1)
        x = x.view(B, G, -1, W) @ self.resize_mat(q, W // N)
        return self.conv2(x.view(B, C, H, W))


class BatNonLocalAttn(Module):
    """x + dropout(conv2(transform(conv1(x)))), a `BilinearAttnTransform` between convolutions with norm and activation.

    Shape: (B, in_channels, H, W) -> (B, in_channels, H, W); H and W are multiples of `block_size`

    Args:
        block_size: Rows, and columns, of the transform's matrices.
        groups: Sets of channels, each with matrices of its own.
        rd_ratio: Width of the transform as a share of `in_channels`, brought to a multiple of `rd_divisor`.
        rd_channels: That width itself; None for the share.
        drop_rate: Chance that a channel of an image gets nothing added in training.

    Raises:
        ValueError: `groups` does not divide the width of the transform, or `block_size` is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        block_size: int = 7,
        groups: int = 2,
        rd_ratio: float = 0.25,
        rd_channels: int | None = None,
        rd_divisor: int = 8,
        drop_rate: float = 0.2,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = nn.BatchNorm2d,
        **_: Any,
    ) -> None:
        super().__init__()
        width = rd_channels or reduced_width(in_channels, rd_ratio, rd_divisor)
        share_of('rd_channels', width, 'groups', groups)
        self.conv1 = ConvNormAct(in_channels, width, 1, act_layer=act_layer, norm_layer=norm_layer)
        self.ba = BilinearAttnTransform(width, block_size, groups, act_layer=act_layer, norm_layer=norm_layer)
        self.conv2 = ConvNormAct(width, in_channels, 1, act_layer=act_layer, norm_layer=norm_layer)
        self.dropout = nn.Dropout2d(p=drop_rate)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add to the map what the transform makes of it."""
        return x + self.dropout(self.conv2(self.ba(self.conv1(x))))
