"""Norms with the activation that follows, in one module under the state dict of the norm."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ._checks import share_of
from ._device import Module
from ._norm_act import NormAct, forward_of
from .batch_norm_act import (
    BatchNormAct2d,
    FrozenBatchNormAct2d,
    SyncBatchNormAct,
    convert_sync_batchnorm,
    freeze_batch_norm_2d,
    unfreeze_batch_norm_2d,
)
from .norm import (
    GroupNorm,
    LayerNorm,
    LayerNorm2d,
    LayerNorm2dFp32,
    LayerNormFp32,
    RmsNorm,
    RmsNorm2d,
    RmsNorm2dFp32,
    RmsNormFp32,
)
from .typing import LayerType

__all__ = [
    'BatchNormAct2d',
    'FrozenBatchNormAct2d',
    'GroupNorm1Act',
    'GroupNormAct',
    'LayerNormAct',
    'LayerNormAct2d',
    'LayerNormAct2dFp32',
    'LayerNormActFp32',
    'RmsNormAct',
    'RmsNormAct2d',
    'RmsNormAct2dFp32',
    'RmsNormActFp32',
    'SyncBatchNormAct',
    'convert_sync_batchnorm',
    'freeze_batch_norm_2d',
    'unfreeze_batch_norm_2d',
]


class GroupNormAct(NormAct, Module, GroupNorm):
    """GroupNorm, then an activation.

    Shape: (B, C, ...) -> the same

    Args:
        group_size: Channels in a group; when given, it decides instead of `num_groups`.

    Raises:
        ValueError: `group_size` does not divide `num_channels`.
    """

    normalize = forward_of(GroupNorm)

    def __init__(
        self,
        num_channels: int,
        num_groups: int = 32,
        eps: float = 1e-5,
        affine: bool = True,
        group_size: int | None = None,
        apply_act: bool = True,
        act_layer: LayerType | None = nn.ReLU,
        act_kwargs: dict[str, Any] | None = None,
        inplace: bool = True,
        drop_layer: Callable[[], nn.Module] | None = None,
    ) -> None:
        if group_size:
            num_groups = share_of('num_channels', num_channels, 'group_size', group_size)
        super().__init__(num_channels, num_groups, eps, affine)
        self._follow_with(act_layer, apply_act, act_kwargs, inplace, drop_layer)


class GroupNorm1Act(NormAct, Module, GroupNorm):
    """GroupNorm with all channels in one group, then an activation.

    Shape: (B, C, ...) -> the same
    """

    normalize = forward_of(GroupNorm)

    def __init__(
        self,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        apply_act: bool = True,
        act_layer: LayerType | None = nn.ReLU,
        act_kwargs: dict[str, Any] | None = None,
        inplace: bool = True,
        drop_layer: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__(num_channels, 1, eps, affine)
        self._follow_with(act_layer, apply_act, act_kwargs, inplace, drop_layer)


class LayerNormAct(NormAct, LayerNorm):
    """LayerNorm, then an activation: (..., C) -> (..., C)."""

    normalize = forward_of(LayerNorm)

    def __init__(
        self,
        normalization_shape: int,
        eps: float = 1e-5,
        affine: bool = True,
        apply_act: bool = True,
        act_layer: LayerType | None = nn.ReLU,
        act_kwargs: dict[str, Any] | None = None,
        inplace: bool = True,
        drop_layer: Callable[[], nn.Module] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(normalization_shape, eps, affine, **kwargs)
        self._follow_with(act_layer, apply_act, act_kwargs, inplace, drop_layer)


class LayerNormActFp32(LayerNormAct):
    """LayerNormFp32, then an activation: (..., C) -> (..., C)."""

    normalize = forward_of(LayerNormFp32)


class LayerNormAct2d(NormAct, LayerNorm2d):
    """LayerNorm2d, then an activation: (B, C, H, W) -> (B, C, H, W)."""

    normalize = forward_of(LayerNorm2d)

    def __init__(
        self,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        apply_act: bool = True,
        act_layer: LayerType | None = nn.ReLU,
        act_kwargs: dict[str, Any] | None = None,
        inplace: bool = True,
        drop_layer: Callable[[], nn.Module] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_channels, eps, affine, **kwargs)
        self._follow_with(act_layer, apply_act, act_kwargs, inplace, drop_layer)

    def forward(self, x: Tensor) -> Tensor:
        x = self.normalize(x)
        if torch.is_grad_enabled():
            x = x.clone()  # of a view, as the norm gives, whose backward pass takes thrice as long if written into
        x = self.drop(x)
        return self.act(x)


class LayerNormAct2dFp32(LayerNormAct2d):
    """LayerNorm2dFp32, then an activation: (B, C, H, W) -> (B, C, H, W)."""

    normalize = forward_of(LayerNorm2dFp32)


class _RmsNormAct(NormAct):
    def __init__(
        self,
        num_channels: int,
        eps: float = 1e-6,
        affine: bool = True,
        apply_act: bool = True,
        act_layer: LayerType | None = nn.ReLU,
        act_kwargs: dict[str, Any] | None = None,
        inplace: bool = True,
        drop_layer: Callable[[], nn.Module] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_channels, eps, affine, **kwargs)
        self._follow_with(act_layer, apply_act, act_kwargs, inplace, drop_layer)


class RmsNormAct(_RmsNormAct, RmsNorm):
    """RmsNorm, then an activation: (..., C) -> (..., C)."""

    normalize = forward_of(RmsNorm)


class RmsNormActFp32(_RmsNormAct, RmsNormFp32):
    """RmsNormFp32, then an activation: (..., C) -> (..., C)."""

    normalize = forward_of(RmsNormFp32)


class RmsNormAct2d(_RmsNormAct, RmsNorm2d):
    """RmsNorm2d, then an activation: (B, C, H, W) -> (B, C, H, W)."""

    normalize = forward_of(RmsNorm2d)


class RmsNormAct2dFp32(_RmsNormAct, RmsNorm2dFp32):
    """RmsNorm2dFp32, then an activation: (B, C, H, W) -> (B, C, H, W)."""

    normalize = forward_of(RmsNorm2dFp32)
