"""Regularisers that drop whole branches of a residual network or whole regions of a map, and their rates by depth."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._checks import BadValue, check_counts, check_rates

__all__ = ['DropBlock2d', 'DropPath', 'calculate_drop_path_rates', 'drop_block_2d', 'drop_path']


def drop_block_2d(
    x: Tensor,
    drop_prob: float = 0.1,
    block_size: int = 7,
    gamma_scale: float = 1.0,
    with_noise: bool = False,
    inplace: bool = False,
    couple_channels: bool = True,
    scale_by_keep: bool = True,
) -> Tensor:
    """Drop square regions of a map (DropBlock, Ghiasi et al., 1810.12890, algorithm 1).

    Unlike there, blocks may reach over the border, and sides of the map shorter than a block shorten it.

    Shape: (B, C, H, W) -> (B, C, H, W)

    Args:
        drop_prob: Share of the map to be dropped, 0 to 1, as if blocks never overlapped.
        block_size: Side of the regions in pixels.
        gamma_scale: Factor on the rate at which blocks begin (gamma, equation 1).
        with_noise: Fill regions with standard normal noise instead of zeros.
        inplace: Overwrite the input.
        couple_channels: Drop the same regions of every channel.
        scale_by_keep: Divide what is left by its share, so that the mean stays. Not done with noise.

    Raises:
        ValueError: A rate is not from 0 to 1, a size below 1, or `x` no map.
    """
    if drop_prob < 0.0 or drop_prob > 1.0:
        raise ValueError(f'drop_prob={drop_prob} is not a share: use a number from 0 to 1.')
    if block_size < 1 or gamma_scale < 0.0:
        raise ValueError(f'block_size={block_size}, gamma_scale={gamma_scale} make no blocks: use 1 and 0.0 or more.')
    if x.ndim != 4:
        raise ValueError(f'DropBlock drops regions of maps (B, C, H, W), and this has {x.ndim} axes: use drop_path.')
    B, C, H, W = x.shape
    block_h, block_w = min(block_size, H), min(block_size, W)
    rate = drop_prob / (block_h * block_w)
    gamma = gamma_scale * rate * H * W / ((H - block_h + 1) * (W - block_w + 1))
    seeds = x.new_empty([B, 1 if couple_channels else C, H, W]).bernoulli_(min(gamma, 1.0))
    drop = F.max_pool2d(seeds, kernel_size=(block_h, block_w), stride=1, padding=(block_h // 2, block_w // 2))
    drop = drop[:, :, -H:, -W:]  # an even side gives one row or column too many
    keep = 1 - drop
    if with_noise:
        noise = torch.randn_like(drop) * drop
        return x.mul_(keep).add_(noise) if inplace else x * keep + noise
    if scale_by_keep:
        keep = keep * (keep.numel() / keep.to(torch.float32).sum().clamp(min=1.0)).to(keep.dtype)
    return x.mul_(keep) if inplace else x * keep


_WITHOUT_EFFECT = {'batchwise', 'fast', 'device', 'dtype'}


class DropBlock2d(nn.Module):
    """In training, drop square regions of a map; see `drop_block_2d` for the arguments.

    Shape: (B, C, H, W) -> (B, C, H, W)

    Args:
        kwargs: `batchwise` and `fast` of former versions, and `device` and `dtype`, for it has no parameters, are
            accepted without effect; others draw a warning.

    Raises:
        ValueError: A rate is not from 0 to 1, or a size below 1.
    """

    def __init__(
        self,
        drop_prob: float = 0.1,
        block_size: int = 7,
        gamma_scale: float = 1.0,
        with_noise: bool = False,
        inplace: bool = False,
        couple_channels: bool = True,
        scale_by_keep: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        for name in kwargs.keys() - _WITHOUT_EFFECT:
            warnings.warn(f'DropBlock2d ignores unexpected keyword argument {name!r}.', UserWarning, stacklevel=2)
        check_rates(drop_prob=drop_prob)
        check_counts(block_size=block_size)
        if gamma_scale < 0:
            raise BadValue(f'gamma_scale={gamma_scale} is negative: use 0.0 or more, 1.0 for the rate as it is.')
        self.block_size, self.drop_prob, self.gamma_scale = block_size, drop_prob, gamma_scale
        self.couple_channels, self.scale_by_keep = couple_channels, scale_by_keep
        self.with_noise, self.inplace = with_noise, inplace

    def extra_repr(self) -> str:
        return f'drop_prob={self.drop_prob:.3f}, block_size={self.block_size}'

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.drop_prob:
            return x
        return drop_block_2d(
            x,
            self.drop_prob,
            self.block_size,
            self.gamma_scale,
            self.with_noise,
            self.inplace,
            self.couple_channels,
            self.scale_by_keep,
        )


def drop_path(x: Tensor, drop_prob: float = 0.0, training: bool = False, scale_by_keep: bool = True) -> Tensor:
    """Zero all of `x` for some of the batch, and scale the rest up (Huang et al., stochastic depth, 1603.09382).

    Shape: (B, ...) -> the same

    Args:
        drop_prob: Chance of each item, 0 to 1, to be zeroed.
        training: Do anything at all.
        scale_by_keep: Divide what is left by 1 - drop_prob, so that the mean stays.

    Raises:
        ValueError: `drop_prob` is not from 0 to 1.
    """
    if drop_prob == 0.0 or not training:
        return x
    if drop_prob < 0.0 or drop_prob > 1.0:
        raise ValueError(f'drop_prob={drop_prob} is not a share: use a number from 0 to 1.')
    keep_prob = 1 - drop_prob
    keep = x.new_empty([x.shape[0]] + [1] * (x.ndim - 1)).bernoulli_(keep_prob)
    if keep_prob > 0.0 and scale_by_keep:
        keep = keep / keep_prob
    return x * keep


class DropPath(nn.Module):
    """Stands at the end of a residual branch and, in training, leaves the branch out for some of the batch.

    Shape: (B, ...) -> the same

    Args:
        drop_prob: Chance of each item, 0 to 1, to be left out.
        scale_by_keep: Divide what is left by 1 - drop_prob, so that the mean stays.

    Raises:
        ValueError: `drop_prob` is not from 0 to 1.
    """

    def __init__(self, drop_prob: float = 0.0, scale_by_keep: bool = True) -> None:
        super().__init__()
        check_rates(drop_prob=drop_prob)
        self.drop_prob = drop_prob
        self.scale_by_keep = scale_by_keep

    def forward(self, x: Tensor) -> Tensor:
        return drop_path(x, self.drop_prob, self.training, self.scale_by_keep)

    def extra_repr(self) -> str:
        return f'drop_prob={self.drop_prob:.3f}'


@overload
def calculate_drop_path_rates(
    drop_path_rate: float, depths: int | Sequence[int], stagewise: Literal[False] = False
) -> list[float]: ...
@overload
def calculate_drop_path_rates(
    drop_path_rate: float, depths: Sequence[int], stagewise: Literal[True]
) -> list[list[float]]: ...
def calculate_drop_path_rates(
    drop_path_rate: float, depths: int | Sequence[int], stagewise: bool = False
) -> list[float] | list[list[float]]:
    """A rate for each block that grows linearly from 0 at the first to `drop_path_rate` at the last.

    Args:
        depths: Number of blocks, or numbers of blocks in each stage.
        stagewise: One list per stage instead of one for all blocks.

    Raises:
        ValueError: `stagewise` without a sequence of depths; a rate that is not from 0 to 1; a negative depth.
    """
    check_rates(drop_path_rate=drop_path_rate)
    num_blocks = depths if isinstance(depths, int) else sum(depths)
    if num_blocks < 0 or (not isinstance(depths, int) and min(depths, default=0) < 0):
        raise BadValue(f'depths={depths} has fewer than no blocks: use 0 or more.')
    rates = [drop_path_rate * i / max(num_blocks - 1, 1) for i in range(num_blocks)]
    if not stagewise:
        return rates
    if isinstance(depths, int):
        raise BadValue(f'Stagewise rates need the depth of each stage, not depths={depths}.')
    ends = [sum(depths[: i + 1]) for i in range(len(depths))]
    return [rates[end - depth : end] for depth, end in zip(depths, ends, strict=True)]
