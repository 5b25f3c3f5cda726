"""Functional norms, and the switch for norms that stay in the autocast type instead of going up to float32."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ._statistics import variance
from .config import check_switch

if TYPE_CHECKING:
    _Shape = Sequence[int]
else:
    _Shape = list[int]  # what TorchScript takes a tuple for

__all__ = [
    'fast_group_norm',
    'fast_layer_norm',
    'fast_rms_norm',
    'fast_rms_norm2d',
    'fast_simple_norm',
    'get_autocast_dtype',
    'has_apex',
    'has_apex_rmsnorm',
    'has_torch_rms_norm',
    'is_autocast_enabled',
    'is_fast_norm',
    'rms_norm',
    'rms_norm2d',
    'set_fast_norm',
    'simple_norm',
]

# They ask for device, type or layout, which a symbolic tracer does not know.
torch.fx.wrap('variance')
torch.fx.wrap('rms_norm2d')

# Published names. torch's own kernels serve here on every device, so apex is never asked for by itself; its RMS norm is
# used where somebody sets both the switch and the function.
has_apex = False
has_apex_rmsnorm = False
fused_rms_norm_affine: Callable[..., Tensor] | None = None
has_torch_rms_norm = True

_use_fast_norm = False


def is_fast_norm() -> bool:
    """Whether norms built now stay in the autocast type."""
    return _use_fast_norm


def set_fast_norm(enable: bool = True) -> None:
    """Let norms built from now on stay in the autocast type, or go up to float32 as autocast has it."""
    global _use_fast_norm
    check_switch('enable', enable)
    _use_fast_norm = enable


def is_autocast_enabled(device: str = 'cuda') -> bool:
    """Whether autocast is on for a device type."""
    return torch.is_autocast_enabled(device)


def get_autocast_dtype(device: str = 'cuda') -> torch.dtype:
    """The type autocast lowers to on a device type."""
    return torch.get_autocast_dtype(device)


def rms_norm(x: Tensor, normalized_shape: _Shape, weight: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Divide by the root mean square over the last dimensions (Zhang and Sennrich, 1910.07467, equation 4).

    Shape: (..., *normalized_shape) -> the same; weight is normalized_shape
    """
    return F.rms_norm(x, normalized_shape, weight, eps)


def rms_norm2d(x: Tensor, normalized_shape: _Shape, weight: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """`rms_norm` over the channels of a map.

    Shape: (B, C, H, W) -> (B, C, H, W); weight is (C,)
    """
    if x.dtype in (torch.float16, torch.bfloat16) or not x.is_contiguous():
        return F.rms_norm(x.permute(0, 2, 3, 1), normalized_shape, weight, eps).permute(0, 3, 1, 2)
    x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + eps)  # without a detour through channels last
    return x if weight is None else x * weight.view(1, -1, 1, 1)


def simple_norm(x: Tensor, normalized_shape: _Shape, weight: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Divide by the standard deviation (n - 1 in its denominator) over the last dimensions; the mean stays in.

    Shape: (..., *normalized_shape) -> the same; weight is normalized_shape
    """
    dims = [-1 - i for i in range(len(normalized_shape))]
    x = x * torch.rsqrt(variance(x, dims, correction=1) + eps)
    return x if weight is None else x * weight


def _lowered(
    x: Tensor, weight: Tensor | None, bias: Tensor | None = None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The arguments of a norm in the autocast type; unchanged where autocast is off."""
    device = x.device.type
    if not is_autocast_enabled(device):
        return x, weight, bias
    dtype = get_autocast_dtype(device)
    return (
        x.to(dtype),
        None if weight is None else weight.to(dtype),
        None if bias is None else bias.to(dtype),
    )


def fast_group_norm(
    x: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """F.group_norm that under autocast computes in the autocast type.

    Shape: (B, C, ...) -> the same; weight and bias are (C,)
    """
    if torch.jit.is_scripting():
        return F.group_norm(x, num_groups, weight, bias, eps)
    x, weight, bias = _lowered(x, weight, bias)
    with torch.amp.autocast(device_type=x.device.type, enabled=False):
        return F.group_norm(x, num_groups, weight, bias, eps)


def fast_layer_norm(
    x: Tensor,
    normalized_shape: _Shape,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """F.layer_norm that under autocast computes in the autocast type.

    Shape: (..., *normalized_shape) -> the same; weight and bias are normalized_shape
    """
    if torch.jit.is_scripting():
        return F.layer_norm(x, normalized_shape, weight, bias, eps)
    x, weight, bias = _lowered(x, weight, bias)
    with torch.amp.autocast(device_type=x.device.type, enabled=False):
        return F.layer_norm(x, normalized_shape, weight, bias, eps)


def fast_rms_norm(x: Tensor, normalized_shape: _Shape, weight: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """`rms_norm` that under autocast computes in the autocast type.

    Shape: (..., *normalized_shape) -> the same; weight is normalized_shape
    """
    if torch.jit.is_scripting():
        return rms_norm(x, normalized_shape, weight, eps)
    x, weight, _ = _lowered(x, weight)
    with torch.amp.autocast(device_type=x.device.type, enabled=False):
        if has_apex_rmsnorm and fused_rms_norm_affine is not None and weight is not None:
            return fused_rms_norm_affine(x, weight, normalized_shape, eps)
        return rms_norm(x, normalized_shape, weight, eps)


def fast_rms_norm2d(x: Tensor, normalized_shape: _Shape, weight: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """`rms_norm2d` that under autocast computes in the autocast type.

    Shape: (B, C, H, W) -> (B, C, H, W); weight is (C,)
    """
    if torch.jit.is_scripting():
        return rms_norm2d(x, normalized_shape, weight, eps)
    x, weight, _ = _lowered(x, weight)
    with torch.amp.autocast(device_type=x.device.type, enabled=False):
        if has_apex_rmsnorm and fused_rms_norm_affine is not None and weight is not None:
            return fused_rms_norm_affine(x.permute(0, 2, 3, 1), weight, normalized_shape, eps).permute(0, 3, 1, 2)
        return rms_norm2d(x, normalized_shape, weight, eps)


def fast_simple_norm(x: Tensor, normalized_shape: _Shape, weight: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """`simple_norm` that under autocast computes in the autocast type.

    Shape: (..., *normalized_shape) -> the same; weight is normalized_shape
    """
    if torch.jit.is_scripting():
        return simple_norm(x, normalized_shape, weight, eps)
    x, weight, _ = _lowered(x, weight)
    with torch.amp.autocast(device_type=x.device.type, enabled=False):
        return simple_norm(x, normalized_shape, weight, eps)
