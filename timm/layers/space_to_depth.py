"""Blocks of pixels into channels, and back."""

import torch
from torch import nn

from ._checks import check_counts
from .trace_utils import _assert

__all__ = ['DepthToSpace', 'SpaceToDepth']


class SpaceToDepth(nn.Module):
    """Each block of pixels becomes one, its pixels side by side along the channels (TResNet, arXiv:2003.13630).

    Shape: (B, C, H, W) -> (B, s s C, H / s, W / s) for block size s; channel (row, column, c) of its block

    Raises:
        ValueError: `block_size` is below 1.
        AssertionError: (in forward) Blocks do not tile the map.
    """

    def __init__(self, block_size: int = 4) -> None:
        super().__init__()
        check_counts(block_size=block_size)
        self.block_size = block_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rearrange."""
        B, C, H, W = x.shape
        s = self.block_size
        if not torch.jit.is_tracing():  # a recording would keep the answer, not the question
            _assert(H % s == 0, f'Map height {H} is not a multiple of block_size={s}: resize or pad it.')
            _assert(W % s == 0, f'Map width {W} is not a multiple of block_size={s}: resize or pad it.')
        x = x.view(B, C, H // s, s, W // s, s).permute(0, 3, 5, 1, 2, 4)
        return x.reshape(B, C * s * s, H // s, W // s)


class DepthToSpace(nn.Module):
    """Inverse of `SpaceToDepth`.

    Shape: (B, s s C, H, W) -> (B, C, s H, s W) for block size s

    Raises:
        ValueError: `block_size` is below 1.
        AssertionError: (in forward) The channels are no multiple of s s.
    """

    def __init__(self, block_size: int) -> None:
        super().__init__()
        check_counts(block_size=block_size)
        self.block_size = block_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rearrange."""
        B, C, H, W = x.shape
        s = self.block_size
        if not torch.jit.is_tracing():
            _assert(C % (s * s) == 0, f'{C} channels are no multiple of {s * s}, a block of block_size={s}.')
        x = x.view(B, s, s, C // (s * s), H, W).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(B, C // (s * s), H * s, W * s)
