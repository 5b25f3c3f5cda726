"""Batch norm with the activation that follows; batch norms swapped for frozen or synchronised ones and back."""

import inspect
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ._checks import BadValue, check_counts
from ._device import Module, building_on
from ._fx import register_notrace_module
from ._norm_act import NormAct, forward_of
from .trace_utils import _assert
from .typing import LayerType

__all__ = [
    'BatchNormAct2d',
    'FrozenBatchNorm2d',
    'FrozenBatchNormAct2d',
    'SyncBatchNormAct',
    'convert_sync_batchnorm',
    'freeze_batch_norm_2d',
    'unfreeze_batch_norm_2d',
]


@register_notrace_module
class BatchNormAct2d(NormAct, Module, nn.BatchNorm2d):
    """nn.BatchNorm2d, then an activation; the state dict is that of the norm alone.

    Shape: (B, C, H, W) -> (B, C, H, W)
    """

    normalize = forward_of(nn.BatchNorm2d)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        apply_act: bool = True,
        act_layer: LayerType | None = nn.ReLU,
        act_kwargs: dict[str, Any] | None = None,
        inplace: bool = True,
        drop_layer: Callable[[], nn.Module] | None = None,
    ) -> None:
        check_counts(num_features=num_features)
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        self._follow_with(act_layer, apply_act, act_kwargs, inplace, drop_layer)

    def _check_input_dim(self, input: Tensor) -> None:
        _assert(input.ndim == 4, 'BatchNormAct2d takes (B, C, H, W).')  # unlike an if, this can be traced


@register_notrace_module
class SyncBatchNormAct(NormAct, nn.SyncBatchNorm):
    """nn.SyncBatchNorm, then the drop layer and activation of the norm that `convert_sync_batchnorm` replaced.

    Shape: (B, C, ...) -> the same
    """

    normalize = forward_of(nn.SyncBatchNorm)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._follow_with(None)

    __init__.__signature__ = inspect.signature(nn.SyncBatchNorm.__init__)  # pyright: ignore[reportFunctionMemberAccess]


class FrozenBatchNorm2d(Module):
    """nn.BatchNorm2d in its evaluation form at all times, with buffers where that has parameters.

    Shape: (B, C, H, W) -> (B, C, H, W)
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        check_counts(num_features=num_features)
        self.num_features = num_features
        self.eps = eps
        self.register_buffer('weight', torch.ones(num_features))
        self.register_buffer('bias', torch.zeros(num_features))
        self.register_buffer('running_mean', torch.zeros(num_features))
        self.register_buffer('running_var', torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        scale = self.weight * (self.running_var + self.eps).rsqrt()  # the backward pass of batch_norm takes longer
        shift = self.bias - self.running_mean * scale
        return x * scale.to(x.dtype).view(1, -1, 1, 1) + shift.to(x.dtype).view(1, -1, 1, 1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        state_dict.pop(f'{prefix}num_batches_tracked', None)  # a checkpoint of the norm before it was frozen has it
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        return f'{self.num_features}, eps={self.eps}'


@register_notrace_module
class FrozenBatchNormAct2d(NormAct, FrozenBatchNorm2d):
    """BatchNormAct2d in its evaluation form at all times, with buffers where that has parameters.

    Shape: (B, C, H, W) -> (B, C, H, W)
    """

    normalize = forward_of(FrozenBatchNorm2d)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        apply_act: bool = True,
        act_layer: LayerType | None = nn.ReLU,
        act_kwargs: dict[str, Any] | None = None,
        inplace: bool = True,
        drop_layer: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__(num_features, eps)
        self._follow_with(act_layer, apply_act, act_kwargs, inplace, drop_layer)


def replace_parts(module: nn.Module, successor: Callable[[nn.Module], nn.Module | None]) -> nn.Module:
    """`module`, in place, with its parts replaced that have a successor; a part used twice is replaced by one."""
    if not isinstance(module, nn.Module):
        raise TypeError(f'{module!r} is no network whose norms could be replaced: use an nn.Module.')
    done: dict[nn.Module, nn.Module] = {}

    def visit(part: nn.Module) -> nn.Module:
        if part not in done:
            new = successor(part)
            done[part] = part if new is None else new
            if new is None:
                for name, child in list(part._modules.items()):  # named_children() leaves out what it has named before
                    if child is not None:
                        setattr(part, name, visit(child))
        return done[part]

    return visit(module)


def take_over(new: nn.Module, old: nn.Module) -> nn.Module:
    """`new` with the numbers of `old` that it has a place for, its drop layer, activation and mode."""
    for name, value in old.state_dict(keep_vars=True).items():
        if name in new._buffers:
            new._buffers[name] = value.detach().clone()
        elif name in new._parameters:  # the same object where it is one already, which an optimizer may hold
            new._parameters[name] = value if isinstance(value, nn.Parameter) else nn.Parameter(value.clone())
    for name, value in old._parameters.items():
        if value is None and name in new._parameters:  # such as the bias of a norm made with bias=False
            new._parameters[name] = None
    if isinstance(old, NormAct):
        new.drop, new.act = old.drop, old.act
    return new.train(old.training)


def _torchvision_norm() -> type[nn.Module]:
    """torchvision's frozen norm, the class by which detectors and other projects know one."""
    from torchvision.ops.misc import FrozenBatchNorm2d as TorchvisionNorm

    return TorchvisionNorm


def is_frozen(part: nn.Module) -> bool:
    """Whether a module is a frozen batch norm, of ours or of torchvision's."""
    ours = isinstance(part, FrozenBatchNorm2d)
    return ours or ('torchvision.ops.misc' in sys.modules and isinstance(part, _torchvision_norm()))


def _frozen(part: nn.Module) -> nn.Module | None:
    if not isinstance(part, (nn.BatchNorm2d, nn.SyncBatchNorm)):
        return None
    if part.running_mean is None:
        raise BadValue(f'{part} cannot be frozen, as it keeps no statistics: use track_running_stats=True.')
    frozen_class = FrozenBatchNormAct2d if isinstance(part, NormAct) else _torchvision_norm()
    with building_on(part.running_mean.device, part.running_mean.dtype):
        return take_over(frozen_class(part.num_features, part.eps), part)


def freeze_batch_norm_2d(module: nn.Module) -> nn.Module:
    """Put frozen norms in place of all batch norms over maps, in place; `module` itself may be one.

    Returns:
        `module`, or what replaces it.

    Raises:
        ValueError: A norm keeps no statistics to freeze.
    """
    return replace_parts(module, _frozen)


def _unfrozen(part: nn.Module) -> nn.Module | None:
    if not is_frozen(part):
        return None
    frozen: Any = part
    norm_class = BatchNormAct2d if isinstance(part, NormAct) else nn.BatchNorm2d
    with building_on(frozen.weight.device, frozen.weight.dtype):
        return take_over(norm_class(len(frozen.weight), frozen.eps), frozen)


def unfreeze_batch_norm_2d(module: nn.Module) -> nn.Module:
    """Undo `freeze_batch_norm_2d`: batch norms with parameters and running statistics again, in place.

    Returns:
        `module`, or what replaces it.
    """
    return replace_parts(module, _unfrozen)


def convert_sync_batchnorm(module: nn.Module, process_group: Any = None) -> nn.Module:
    """Put synchronised norms in place of all batch norms, in place; activations inside them stay.

    Args:
        process_group: The processes that share statistics; None for all.

    Returns:
        `module`, or what replaces it.

    Raises:
        ValueError: A norm has norms inside, as SplitBatchNorm2d has, which one synchronised norm cannot stand for.
    """

    def synchronised(part: nn.Module) -> nn.Module | None:
        if not isinstance(part, _BatchNorm):
            return None
        if any(isinstance(inner, _BatchNorm) for inner in part.modules() if inner is not part):
            raise ValueError(
                f'{type(part).__name__} cannot be synchronised: it has statistics for each part of a batch.'
            )
        sync_class = SyncBatchNormAct if isinstance(part, NormAct) else nn.SyncBatchNorm
        new = sync_class(
            part.num_features, part.eps, part.momentum, part.affine, part.track_running_stats, process_group
        )
        return take_over(new, part)

    return replace_parts(module, synchronised)
