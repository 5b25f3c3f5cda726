"""Norms over channels, for tokens (channels last) and for maps (NCHW), in the input's type or in float32."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._checks import check_counts, share_of
from ._device import Module
from .fast_norm import (
    fast_group_norm,
    fast_layer_norm,
    fast_rms_norm,
    fast_rms_norm2d,
    fast_simple_norm,
    is_fast_norm,
    rms_norm,
    rms_norm2d,
    simple_norm,
)

__all__ = [
    'GroupNorm',
    'GroupNorm1',
    'LayerNorm',
    'LayerNorm2d',
    'LayerNorm2dFp32',
    'LayerNormExp2d',
    'LayerNormFp32',
    'RmsNorm',
    'RmsNorm2d',
    'RmsNorm2dFp32',
    'RmsNormFp32',
    'SimpleNorm',
    'SimpleNorm2d',
    'SimpleNorm2dFp32',
    'SimpleNormFp32',
]

torch.fx.wrap('rms_norm2d')  # a symbolic tracer cannot answer what it asks of its input


def _float(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.float()


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm with the channels first among its arguments, as other norms have it (Wu and He, 1803.08494).

    Shape: (B, C, ...) -> the same

    Args:
        kwargs: `device` and `dtype`, as of nn.GroupNorm.

    Raises:
        ValueError: `num_groups` does not divide `num_channels`.
    """

    def __init__(
        self, num_channels: int, num_groups: int = 32, eps: float = 1e-5, affine: bool = True, **kwargs: Any
    ) -> None:
        share_of('num_channels', num_channels, 'num_groups', num_groups)
        super().__init__(num_groups, num_channels, eps=eps, affine=affine, **kwargs)
        self._fast_norm = is_fast_norm()

    def forward(self, x: Tensor) -> Tensor:
        if self._fast_norm:
            return fast_group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class GroupNorm1(GroupNorm):
    """GroupNorm with all channels in one group: a norm over channels and pixels together (MetaFormer, 2111.11418).

    Shape: (B, C, ...) -> the same

    Args:
        kwargs: `eps`, `affine`, `device` and `dtype`, as of nn.GroupNorm.
    """

    def __init__(self, num_channels: int, **kwargs: Any) -> None:
        super().__init__(num_channels, num_groups=1, **kwargs)


class _LayerNorm(nn.LayerNorm):
    """nn.LayerNorm with this package's argument names and its smaller eps."""

    def __init__(self, num_channels: int, eps: float = 1e-6, affine: bool = True, **kwargs: Any) -> None:
        check_counts(num_channels=num_channels)
        super().__init__(num_channels, eps=eps, elementwise_affine=affine, **kwargs)
        self._fast_norm = is_fast_norm()


class LayerNorm(_LayerNorm):
    """Zero mean and unit variance over the last dimension of each token (Ba et al., 1607.06450).

    Shape: (..., C) -> (..., C)

    Args:
        kwargs: `bias`, `device` and `dtype`, as of nn.LayerNorm.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self._fast_norm:
            return fast_layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class LayerNormFp32(_LayerNorm):
    """LayerNorm computed in float32 whatever the input's type, which it gives back.

    Shape: (..., C) -> (..., C)
    """

    def forward(self, x: Tensor) -> Tensor:
        y = F.layer_norm(x.float(), self.normalized_shape, _float(self.weight), _float(self.bias), self.eps)
        return y.to(x.dtype)


class LayerNorm2d(_LayerNorm):
    """LayerNorm over the channels of each pixel; what comes back lies channels last in memory.

    Shape: (B, C, H, W) -> (B, C, H, W)
    """

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        if self._fast_norm:
            x = fast_layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        else:
            x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class LayerNorm2dFp32(_LayerNorm):
    """LayerNorm2d computed in float32 whatever the input's type, which it gives back.

    Shape: (B, C, H, W) -> (B, C, H, W)
    """

    def forward(self, x: Tensor) -> Tensor:
        y = x.permute(0, 2, 3, 1).float()
        y = F.layer_norm(y, self.normalized_shape, _float(self.weight), _float(self.bias), self.eps)
        return y.to(x.dtype).permute(0, 3, 1, 2)


class LayerNormExp2d(nn.LayerNorm):
    """LayerNorm2d under the name of a former experiment.

    Shape: (B, C, H, W) -> (B, C, H, W)
    """

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__(num_channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class _ScaledNorm(Module):
    """A norm with a weight and no bias.

    Args:
        channels: Length, or lengths, of the dimensions normalised over.
        affine: Have the weight.
    """

    __constants__ = ['elementwise_affine', 'eps', 'normalized_shape']

    def __init__(self, channels: int | tuple[int, ...], eps: float = 1e-6, affine: bool = True) -> None:
        super().__init__()
        check_counts(channels=channels)
        self.normalized_shape = tuple(channels) if isinstance(channels, (list, tuple)) else (channels,)
        self.eps = eps
        self.elementwise_affine = affine
        self._fast_norm = is_fast_norm()
        if affine:
            self.weight = nn.Parameter(torch.empty(self.normalized_shape))
        else:
            self.register_parameter('weight', None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to one."""
        if self.elementwise_affine:
            nn.init.ones_(self.weight)

    def extra_repr(self) -> str:
        return f'{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}'


class RmsNorm(_ScaledNorm):
    """Division by the root mean square of each token's channels (Zhang and Sennrich, 1910.07467).

    Shape: (..., C) -> (..., C)
    """

    def forward(self, x: Tensor) -> Tensor:
        if self._fast_norm:
            return fast_rms_norm(x, self.normalized_shape, self.weight, self.eps)
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)


class RmsNormFp32(_ScaledNorm):
    """RmsNorm computed in float32 whatever the input's type, which it gives back.

    Shape: (..., C) -> (..., C)
    """

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x.float(), self.normalized_shape, _float(self.weight), self.eps).to(x.dtype)


class RmsNorm2d(_ScaledNorm):
    """RmsNorm over the channels of each pixel.

    Shape: (B, C, H, W) -> (B, C, H, W)
    """

    def forward(self, x: Tensor) -> Tensor:
        if self._fast_norm:
            return fast_rms_norm2d(x, self.normalized_shape, self.weight, self.eps)
        return rms_norm2d(x, self.normalized_shape, self.weight, self.eps)


class RmsNorm2dFp32(_ScaledNorm):
    """RmsNorm2d computed in float32 whatever the input's type, which it gives back.

    Shape: (B, C, H, W) -> (B, C, H, W)
    """

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm2d(x.float(), self.normalized_shape, _float(self.weight), self.eps).to(x.dtype)


class SimpleNorm(_ScaledNorm):
    """Division by the standard deviation of each token's channels, the mean left in.

    Shape: (..., C) -> (..., C)
    """

    def forward(self, x: Tensor) -> Tensor:
        if self._fast_norm:
            return fast_simple_norm(x, self.normalized_shape, self.weight, self.eps)
        return simple_norm(x, self.normalized_shape, self.weight, self.eps)


class SimpleNormFp32(_ScaledNorm):
    """SimpleNorm computed in float32 whatever the input's type, which it gives back.

    Shape: (..., C) -> (..., C)
    """

    def forward(self, x: Tensor) -> Tensor:
        return simple_norm(x.float(), self.normalized_shape, _float(self.weight), self.eps).to(x.dtype)


class SimpleNorm2d(_ScaledNorm):
    """SimpleNorm over the channels of each pixel.

    Shape: (B, C, H, W) -> (B, C, H, W)
    """

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        if self._fast_norm:
            x = fast_simple_norm(x, self.normalized_shape, self.weight, self.eps)
        else:
            x = simple_norm(x, self.normalized_shape, self.weight, self.eps)
        return x.permute(0, 3, 1, 2)


class SimpleNorm2dFp32(_ScaledNorm):
    """SimpleNorm2d computed in float32 whatever the input's type, which it gives back.

    Shape: (B, C, H, W) -> (B, C, H, W)
    """

    def forward(self, x: Tensor) -> Tensor:
        y = simple_norm(x.permute(0, 2, 3, 1).float(), self.normalized_shape, _float(self.weight), self.eps)
        return y.to(x.dtype).permute(0, 3, 1, 2)
