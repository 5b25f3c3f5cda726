"""Filter response normalisation: each map divided by its own root mean square, then an activation.

Paper: Filter Response Normalization Layer, Singh and Krishnan, 2019, arXiv:1911.09737 (equations 1 to 4).
"""

from typing import Any

import torch
from torch import Tensor, nn

from ._checks import check_counts
from ._device import Module
from ._statistics import instance_rms, rms_of_maps
from .create_act import create_act_layer
from .typing import LayerType

__all__ = ['FilterResponseNormAct2d', 'FilterResponseNormTlu2d', 'inv_instance_rms']


def inv_instance_rms(x: Tensor, eps: float = 1e-5) -> Tensor:
    """1 over the root mean square of each channel's pixels: (B, C, H, W) -> the same, constant over a map."""
    return 1 / instance_rms(x, eps)


class _FilterResponseNorm(Module):
    """weight * x / rms(x) + bias (equations 1 to 3): (B, num_features, H, W) -> the same."""

    def __init__(self, num_features: int, rms: bool, eps: float) -> None:
        super().__init__()
        check_counts(num_features=num_features)
        self.rms = rms
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def reset_parameters(self) -> None:
        """Factors 1, shifts and thresholds 0."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)
        threshold = getattr(self, 'tau', None)
        if threshold is not None:
            nn.init.zeros_(threshold)

    def _normalize(self, x: Tensor) -> Tensor:
        scale = self.weight.to(x.dtype).view(1, -1, 1, 1) / rms_of_maps(x, self.eps)  # small, so one pass less over x
        return x * scale + self.bias.to(x.dtype).view(1, -1, 1, 1)


class FilterResponseNormTlu2d(_FilterResponseNorm):
    """Filter response norm, then max(x, tau) with a learned threshold per channel (equation 4).

    Shape: (B, num_features, H, W) -> the same

    Args:
        apply_act: Have the threshold at all.
        rms: Without effect: the root mean square is always taken.
    """

    def __init__(
        self, num_features: int, apply_act: bool = True, eps: float = 1e-5, rms: bool = True, **_: Any
    ) -> None:
        super().__init__(num_features, rms, eps)
        self.apply_act = apply_act
        self.tau = nn.Parameter(torch.zeros(num_features)) if apply_act else None

    def forward(self, x: Tensor) -> Tensor:
        """Norm, then threshold."""
        x = self._normalize(x)
        tau = self.tau
        return x if tau is None else torch.maximum(x, tau.to(x.dtype).view(1, -1, 1, 1))


class FilterResponseNormAct2d(_FilterResponseNorm):
    """Filter response norm, then a usual activation.

    Shape: (B, num_features, H, W) -> the same

    Args:
        apply_act: Have the activation at all.
        rms: Without effect: the root mean square is always taken.
    """

    def __init__(
        self,
        num_features: int,
        apply_act: bool = True,
        act_layer: LayerType | None = nn.ReLU,
        inplace: bool | None = None,
        rms: bool = True,
        eps: float = 1e-5,
        **_: Any,
    ) -> None:
        super().__init__(num_features, rms, eps)
        act = create_act_layer(act_layer, inplace=inplace) if act_layer is not None and apply_act else None
        self.act = nn.Identity() if act is None else act

    def forward(self, x: Tensor) -> Tensor:
        """Norm, then activation."""
        return self.act(self._normalize(x))
