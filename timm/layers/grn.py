"""Global response normalisation."""

import torch
from torch import Tensor, nn

from ._checks import check_counts
from ._device import Module

__all__ = ['GlobalResponseNorm']


class GlobalResponseNorm(Module):
    """Scale each channel by its share in the energy of the map, and add the result (Woo et al., 2301.00808, section 3).

    Shape: (B, H, W, C) -> (B, H, W, C), or (B, C, H, W) -> (B, C, H, W)

    Args:
        eps: Keeps the division by the mean energy finite.
        channels_last: Which of the two shapes the input has.
    """

    def __init__(self, dim: int, eps: float = 1e-6, channels_last: bool = True) -> None:
        super().__init__()
        check_counts(dim=dim)
        self.eps = eps
        self.spatial_dim = (1, 2) if channels_last else (2, 3)
        self.channel_dim = -1 if channels_last else 1
        self.affine_shape = (1, 1, 1, -1) if channels_last else (1, -1, 1, 1)
        self.weight = nn.Parameter(torch.zeros(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        energy = x.norm(p=2, dim=self.spatial_dim, keepdim=True)
        share = energy / (energy.mean(dim=self.channel_dim, keepdim=True) + self.eps)
        return x + torch.addcmul(self.bias.view(self.affine_shape), self.weight.view(self.affine_shape), x * share)
