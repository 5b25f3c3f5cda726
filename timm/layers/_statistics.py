"""Deviations and root mean squares of maps and of groups of channels, taken in float32, for norms without a kernel."""

import torch
from torch import Tensor

__all__ = [
    'group_rms',
    'group_std',
    'group_std_tpu',
    'instance_rms',
    'instance_std',
    'instance_std_tpu',
    'manual_var',
    'rms_of_groups',
    'rms_of_maps',
    'std_of_groups',
    'std_of_maps',
    'variance',
]

torch.fx.wrap('variance')  # it asks for device and type, which a symbolic tracer does not know


def _by_group(x: Tensor, groups: int) -> Tensor:
    """(B, C, H, W) -> (B, groups, C / groups * H * W)."""
    return x.reshape(x.shape[0], groups, -1)


def _per_channel(statistic: Tensor, x: Tensor) -> Tensor:
    """A number per sample and group, (B, groups, 1), for each channel of `x`: (B, C, 1, 1)."""
    B, C = x.shape[:2]
    return statistic.expand(-1, -1, C // statistic.shape[1]).reshape(B, C, 1, 1)


def manual_var(x: Tensor, dim: int | list[int] | tuple[int, ...], diff_sqm: bool = False) -> Tensor:
    """Variance over `dim`, whose axes stay with size 1, from sums alone.

    Args:
        diff_sqm: As mean square less squared mean, never below 0; else as mean squared distance from the mean.
    """
    mean = x.mean(dim=dim, keepdim=True)
    if diff_sqm:
        return ((x * x).mean(dim=dim, keepdim=True) - mean * mean).clamp(min=0)
    return (x - mean).square().mean(dim=dim, keepdim=True)


def variance(x: Tensor, dim: list[int], correction: int = 0) -> Tensor:
    """torch.var over `dim`, whose axes stay with size 1; on the CPU by its definition, which takes a tenth of the time.

    Args:
        correction: What the number of elements is reduced by in the denominator.
    """
    if not x.is_cpu or x.dtype in (torch.float16, torch.bfloat16):
        return x.var(dim=dim, correction=correction, keepdim=True)
    distance = (x - x.mean(dim=dim, keepdim=True)).square()
    if correction == 0:
        return distance.mean(dim=dim, keepdim=True)
    total = distance.sum(dim=dim, keepdim=True)
    return total / (x.numel() // total.numel() - correction)


def std_of_maps(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Deviation over the pixels of each channel and sample: (B, C, H, W) -> (B, C, 1, 1)."""
    return (variance(x.float(), [2, 3]) + eps).sqrt().to(x.dtype)


def rms_of_maps(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Root mean square over the pixels of each channel and sample: (B, C, H, W) -> (B, C, 1, 1)."""
    return (x.float().square().mean(dim=(2, 3), keepdim=True) + eps).sqrt().to(x.dtype)


def std_of_groups(x: Tensor, groups: int = 32, eps: float = 1e-5) -> Tensor:
    """Deviation over the pixels and channels of each group and sample: (B, C, H, W) -> (B, C, 1, 1)."""
    return _per_channel((variance(_by_group(x.float(), groups), [2]) + eps).sqrt().to(x.dtype), x)


def rms_of_groups(x: Tensor, groups: int = 32, eps: float = 1e-5) -> Tensor:
    """Root mean square over the pixels and channels of each group and sample: (B, C, H, W) -> (B, C, 1, 1)."""
    mean_square = _by_group(x.float(), groups).square().mean(dim=2, keepdim=True)
    return _per_channel((mean_square + eps).sqrt().to(x.dtype), x)


def instance_std(x: Tensor, eps: float = 1e-5) -> Tensor:
    """`std_of_maps` in the shape of `x`."""
    return std_of_maps(x, eps).expand(x.shape)


def instance_std_tpu(x: Tensor, eps: float = 1e-5) -> Tensor:
    """`instance_std` without a variance operator."""
    return (manual_var(x.float(), (2, 3)) + eps).sqrt().to(x.dtype).expand(x.shape)


def instance_rms(x: Tensor, eps: float = 1e-5) -> Tensor:
    """`rms_of_maps` in the shape of `x`."""
    return rms_of_maps(x, eps).expand(x.shape)


def group_std(x: Tensor, groups: int = 32, eps: float = 1e-5, flatten: bool = False) -> Tensor:  # noqa: ARG001
    """`std_of_groups` in the shape of `x`.

    Args:
        flatten: Without effect: the order in which axes are reduced is always the fast one.
    """
    return std_of_groups(x, groups, eps).expand(x.shape)


def group_std_tpu(
    x: Tensor,
    groups: int = 32,
    eps: float = 1e-5,
    diff_sqm: bool = False,
    flatten: bool = False,  # noqa: ARG001
) -> Tensor:
    """`group_std` without a variance operator; `diff_sqm` as in `manual_var`."""
    square = manual_var(_by_group(x.float(), groups), 2, diff_sqm=diff_sqm)
    return _per_channel((square + eps).sqrt().to(x.dtype), x).expand(x.shape)


def group_rms(x: Tensor, groups: int = 32, eps: float = 1e-5) -> Tensor:
    """`rms_of_groups` in the shape of `x`."""
    return rms_of_groups(x, groups, eps).expand(x.shape)
