"""Blocks of pixels into channels, and back."""

import torch
from torch import nn

__all__ = ['DepthToSpace', 'SpaceToDepth']


class SpaceToDepth(nn.Module):
    """Each block of pixels becomes one, its pixels side by side along the channels (TResNet, arXiv:2003.13630).

    Shape: (B, C, H, W) -> (B, s s C, H / s, W / s) for block size s; channel (row, column, c) of its block
    """

    def __init__(self, block_size: int = 4) -> None:
        super().__init__()
        self.block_size = block_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rearrange."""
        B, C, H, W = x.shape
        s = self.block_size
        x = x.view(B, C, H // s, s, W // s, s).permute(0, 3, 5, 1, 2, 4)
        return x.reshape(B, C * s * s, H // s, W // s)


class DepthToSpace(nn.Module):
    """Inverse of `SpaceToDepth`.

    Shape: (B, s s C, H, W) -> (B, C, s H, s W) for block size s
    """

    def __init__(self, block_size: int) -> None:
        super().__init__()
        self.block_size = block_size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rearrange."""
        B, C, H, W = x.shape
        s = self.block_size
        x = x.view(B, s, s, C // (s * s), H, W).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(B, C // (s * s), H * s, W * s)
