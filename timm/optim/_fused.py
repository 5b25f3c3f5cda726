"""torch's fused CPU kernels as the default: which tensors they are right for, and switching them on step by step."""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

__all__ = ['fits_fused_kernel', 'prefer_fused']

OptimizerT = TypeVar('OptimizerT', bound=Optimizer)

# Per class the state tensors, beside the count, that its kernel walks along with parameter and gradient.
STATE_OF_FUSED: dict[type[Optimizer], tuple[str, ...]] = {
    SGD: ('momentum_buffer',),
    Adam: ('exp_avg', 'exp_avg_sq', 'max_exp_avg_sq'),
    AdamW: ('exp_avg', 'exp_avg_sq', 'max_exp_avg_sq'),
    Adagrad: ('sum',),
}
PLAIN_TYPES = (Tensor, nn.Parameter)


def fits_fused_kernel(param: Tensor, *others: Tensor) -> bool:
    """Whether the fused kernels may walk `param` and `others`: float32 or float64 on the CPU, alike in memory.

    The kernels do not look at strides: with a gradient laid out unlike its parameter they would mix up elements.
    """
    dtype, strides = param.dtype, param.stride()
    return (
        type(param) in PLAIN_TYPES
        and param.device.type == 'cpu'
        and (dtype is torch.float32 or dtype is torch.float64)
        and param.layout is torch.strided
        and all(
            other.layout is torch.strided
            and other.dtype is dtype
            and other.stride() == strides
            and other.device.type == 'cpu'
            for other in others
        )
        and (param.is_contiguous() or torch.ops.aten.is_non_overlapping_and_dense(param))
    )


def _group_fits(optimizer: Optimizer, group: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Whether this step of `group`, for which nobody asked anything else, can take the fused kernel."""
    if any(group.get(name) for name in ('foreach', 'fused', 'differentiable', 'capturable')):
        return False
    if group.get('fused') is False or group.get('foreach') is False:
        return False
    started: set[bool] = set()
    for p in group['params']:
        if p.grad is None:
            continue
        state = optimizer.state.get(p, {})
        tensors = [state[name] for name in names if state.get(name) is not None]
        started.add(bool(tensors))
        if not fits_fused_kernel(p, p.grad, *tensors):
            return False
    # A momentum buffer that starts later than its neighbours' is more than the SGD kernel takes.
    return len(started) == 1


def prefer_fused(optimizer: OptimizerT) -> OptimizerT:
    """Let `optimizer` take torch's fused kernel in each step where `fused` was left None and the tensors fit.

    The choice is made anew at every step and leaves no trace in `param_groups`, so state dicts stay those of the
    plain optimizer and a model may change device or memory format in between. Other classes are left alone.
    """
    names = STATE_OF_FUSED.get(type(optimizer))
    if names is None:
        return optimizer
    switched: list[dict[str, Any]] = []

    def switch_back(*_: Any) -> None:
        for group in switched:
            group['fused'] = None
        switched.clear()

    def switch_on(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        switch_back()  # the last step may have ended in an exception
        closure = kwargs.get('closure', args[1] if len(args) > 1 else None)  # args[0] is the optimizer
        if closure is not None or torch.compiler.is_compiling():
            return  # the gradients come later, or a compiler fuses by itself
        for group in optimizer.param_groups:
            if _group_fits(optimizer, group, names):
                group['fused'] = True
                switched.append(group)

    optimizer.register_step_pre_hook(switch_on)
    optimizer.register_step_post_hook(switch_back)
    return optimizer
