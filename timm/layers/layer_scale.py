"""Learned scale of each channel of a branch."""

import torch
from torch import Tensor, nn

from ._checks import check_counts
from ._device import Module

__all__ = ['LayerScale', 'LayerScale2d']


class LayerScale(Module):
    """Multiply each channel by a learned factor that starts small (Touvron et al., CaiT, 2103.17239, section 2).

    Shape: (..., dim) -> (..., dim)

    Args:
        init_values: The factor at the start.
        inplace: Overwrite the input.
    """

    def __init__(self, dim: int, init_values: float = 1e-5, inplace: bool = False) -> None:
        super().__init__()
        check_counts(dim=dim)
        self.init_values = init_values
        self.inplace = inplace
        self.gamma = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every factor to `init_values`."""
        nn.init.constant_(self.gamma, self.init_values)

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(self.gamma) if self.inplace else x * self.gamma


class LayerScale2d(LayerScale):
    """LayerScale for maps.

    Shape: (B, dim, H, W) -> (B, dim, H, W)
    """

    def forward(self, x: Tensor) -> Tensor:
        gamma = self.gamma[:, None, None]
        return x.mul_(gamma) if self.inplace else x * gamma
