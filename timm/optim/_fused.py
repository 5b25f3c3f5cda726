"""torch's fused CPU kernels as the default: which tensors they are right for, and switching them on step by step."""

import math
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

__all__ = ['SMALLEST_GAIN', 'add_fused_adam_', 'add_fused_sgd_', 'fits_fused_kernel', 'prefer_fused']

OptimizerT = TypeVar('OptimizerT', bound=Optimizer)

# Per class the state tensors, beside the count, that its kernel walks along with parameter and gradient.
STATE_OF_FUSED: dict[type[Optimizer], tuple[str, ...]] = {
    SGD: ('momentum_buffer',),
    Adam: ('exp_avg', 'exp_avg_sq', 'max_exp_avg_sq'),
    AdamW: ('exp_avg', 'exp_avg_sq', 'max_exp_avg_sq'),
    Adagrad: ('sum',),
}
PLAIN_TYPES = (Tensor, nn.Parameter)
# The largest decay whose bias correction, 1 - beta^steps, is not 0 at an endless step count.
ALMOST_ONE = math.nextafter(1.0, 0.0)
ENDLESS = torch.tensor(math.inf, dtype=torch.float32, device='cpu')
# The SGD kernel is told 1 - gain: of a smaller gain than this too few digits are left.
SMALLEST_GAIN = 1e-4


def fits_fused_kernel(param: Tensor, *others: Tensor) -> bool:
    """Whether the fused kernels may walk `param` and `others`: float32 or float64 on the CPU, alike in memory.

    The kernels do not look at strides: with a gradient laid out unlike its parameter they would mix up elements.
    """
    dtype, tensors = param.dtype, (param, *others)
    if type(param) not in PLAIN_TYPES or not (dtype is torch.float32 or dtype is torch.float64):
        return False
    for tensor in tensors:
        if not tensor.is_cpu or tensor.layout is not torch.strided or tensor.dtype is not dtype:
            return False
    if all(map(Tensor.is_contiguous, tensors)):
        return True
    strides = param.stride()
    dense = torch.ops.aten.is_non_overlapping_and_dense(param)
    return dense and all(other.stride() == strides for other in others)


def add_fused_adam_(
    tensors: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    beta1: float,
    beta2: float,
    scale: float,
    floor: float,
    keep: float = 1.0,
    max_exp_avg_sqs: list[Tensor] | None = None,
) -> None:
    """Bring both moments up to date and let tensors = keep * tensors + scale * m / (sqrt(v) + floor), in one pass.

    It is a step of torch's AdamW on `tensors` with the rate -scale. At an endless step count the kernel's own bias
    corrections are 1.

    Args:
        beta1: With 1 the first moment stays what it is (to its last bit), so any numerator will do.
        max_exp_avg_sqs: Largest second moments so far, to divide by.
    """
    if keep != 1 and not scale:
        torch._foreach_mul_(tensors, keep)
    torch._fused_adamw_(
        list(tensors),
        list(grads),
        list(exp_avgs),
        list(exp_avg_sqs),
        list(max_exp_avg_sqs or []),
        [ENDLESS] * len(tensors),
        lr=-scale,
        beta1=min(beta1, ALMOST_ONE),
        beta2=beta2,
        weight_decay=(keep - 1) / scale if scale else 0.0,  # the kernel multiplies by 1 - lr * weight_decay
        eps=floor,
        amsgrad=max_exp_avg_sqs is not None,
        maximize=False,
    )


def add_fused_sgd_(
    tensors: list[Tensor],
    grads: list[Tensor],
    momenta: list[Tensor] | None,
    rate: float,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    gain: float = 1.0,
    nesterov: bool = False,
) -> None:
    """Bring momenta = momentum * momenta + gain * d up to date and add rate * momenta to `tensors`, in one pass.

    d is grads + weight_decay * tensors; `nesterov` adds rate * (d + momentum * momenta) instead.

    Args:
        momenta: None adds rate * d.
        momentum: With `momenta` above 0, or the kernel leaves them as they are.
        gain: At least SMALLEST_GAIN.
    """
    torch._fused_sgd_(
        list(tensors),
        list(grads),
        list(momenta or []),
        weight_decay=weight_decay,
        momentum=0.0 if momenta is None else momentum,
        lr=-rate,
        dampening=1 - gain,
        nesterov=nesterov,
        maximize=False,
        is_first_step=False,
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
