"""Deviations and root mean squares of maps and of groups of channels, taken in float32, for norms without a kernel."""

from torch import Tensor

__all__ = [
    'group_rms',
    'group_std',
    'group_std_tpu',
    'instance_rms',
    'instance_std',
    'instance_std_tpu',
    'manual_var',
]


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


def instance_std(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Deviation over the pixels of each channel and sample: (B, C, H, W) -> the same, constant over a map."""
    variance = x.float().var(dim=(2, 3), correction=0, keepdim=True)
    return (variance + eps).sqrt().to(x.dtype).expand(x.shape)


def instance_std_tpu(x: Tensor, eps: float = 1e-5) -> Tensor:
    """`instance_std` without a variance operator."""
    return (manual_var(x.float(), (2, 3)) + eps).sqrt().to(x.dtype).expand(x.shape)


def instance_rms(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Root mean square over the pixels of each channel and sample: (B, C, H, W) -> the same, constant over a map."""
    mean_square = x.float().square().mean(dim=(2, 3), keepdim=True)
    return (mean_square + eps).sqrt().to(x.dtype).expand(x.shape)


def group_std(x: Tensor, groups: int = 32, eps: float = 1e-5, flatten: bool = False) -> Tensor:  # noqa: ARG001
    """Deviation over the pixels and channels of each group and sample: (B, C, H, W) -> the same.

    Args:
        flatten: Without effect: the order in which axes are reduced is always the fast one.
    """
    variance = _by_group(x.float(), groups).var(dim=2, correction=0, keepdim=True)
    return _per_channel((variance + eps).sqrt().to(x.dtype), x).expand(x.shape)


def group_std_tpu(
    x: Tensor,
    groups: int = 32,
    eps: float = 1e-5,
    diff_sqm: bool = False,
    flatten: bool = False,  # noqa: ARG001
) -> Tensor:
    """`group_std` without a variance operator; `diff_sqm` as in `manual_var`."""
    variance = manual_var(_by_group(x.float(), groups), 2, diff_sqm=diff_sqm)
    return _per_channel((variance + eps).sqrt().to(x.dtype), x).expand(x.shape)


def group_rms(x: Tensor, groups: int = 32, eps: float = 1e-5) -> Tensor:
    """Root mean square over the pixels and channels of each group and sample: (B, C, H, W) -> the same."""
    mean_square = _by_group(x.float(), groups).square().mean(dim=2, keepdim=True)
    return _per_channel((mean_square + eps).sqrt().to(x.dtype), x).expand(x.shape)
