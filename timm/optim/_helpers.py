"""What the update rules share: argument checks, collecting gradients, one rule for lists and single tensors."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = [
    'batches',
    'cautious_',
    'check_hyperparameters',
    'complete_groups',
    'decay_scale',
    'evaluate',
    'gather',
    'options',
    'state_tensor',
    'use_foreach',
]

# Where a kernel over a list of tensors saves launches; a CPU gains nothing and loses the cache.
FOREACH_DEVICES = ('cuda', 'xpu')
CAUTION_FLOOR = 1e-3


def _number(value: Any) -> float:
    return float(value.item() if isinstance(value, Tensor) else value)


def check_hyperparameters(betas: Sequence[float | Tensor] | None = None, **values: Any) -> None:
    """Refuse what no update rule can run with; None stands for "not given".

    Raises:
        ValueError: One of `values` is negative, infinite or NaN, or one of `betas` lies outside [0, 1).
    """
    for name, value in values.items():
        if value is not None and not 0 <= _number(value) < math.inf:
            raise ValueError(f'{name}={value} is not allowed: give a finite number >= 0.')
    for index, beta in enumerate(betas or ()):
        if not 0 <= _number(beta) < 1:
            raise ValueError(f'betas={tuple(betas or ())} is not allowed: betas[{index}] must lie in [0, 1).')


def complete_groups(optimizer: Optimizer) -> None:
    """Give groups that come from an older state dict what they lack, as the constructor was told."""
    for group in optimizer.param_groups:
        for name, value in optimizer.defaults.items():
            group.setdefault(name, value)


def evaluate(closure: Callable[[], Any] | None) -> Any:
    """What a closure given to `step` returns, with gradients enabled; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def options(group: dict[str, Any], *names: str) -> dict[str, Any]:
    """Keyword arguments for a rule: these entries of `group`, and `max_lr` where its decay is to be corrected."""
    return {
        **{name: group[name] for name in names},
        'max_lr': group['max_lr_snapshot'] if group['corrected_weight_decay'] else None,
    }


def gather(group: dict[str, Any], rule: str) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters of `group` that hold a gradient, and these gradients.

    Raises:
        RuntimeError: A gradient is sparse; `rule` names the optimizer in the message.
    """
    params = [p for p in group['params'] if p.grad is not None]
    grads = [p.grad for p in params]
    if any(grad.is_sparse for grad in grads):
        raise RuntimeError(f'{rule} needs dense gradients: build the embedding with sparse=False.')
    return params, grads


def state_tensor(states: list[dict[str, Any]], params: list[Tensor], name: str) -> list[Tensor]:
    """The running tensor `name` of each parameter, zero where there is none yet."""
    for state, param in zip(states, params, strict=True):
        if name not in state:
            state[name] = torch.zeros_like(param, memory_format=torch.preserve_format)
    return [state[name] for state in states]


def decay_scale(lr: float, max_lr: float | None) -> float:
    """By what a decoupled weight decay is multiplied: `lr`, or with `max_lr` the corrected lr * (lr / max_lr).

    Source: Defazio, Why Gradients Rapidly Increase Near the End of Training, arXiv:2506.02285 (AdamC).
    """
    if max_lr is None:
        return lr
    return lr * lr / max_lr if max_lr else 0.0


def use_foreach(foreach: bool | None, params: Sequence[Tensor]) -> bool:
    """`foreach` as asked for; None means on accelerators, for plain tensors."""
    if foreach is not None:
        return foreach
    return bool(params) and all(type(p) in (Tensor, nn.Parameter) and p.device.type in FOREACH_DEVICES for p in params)


def batches(foreach: bool, *columns: Sequence[Tensor]) -> Iterator[tuple[list[Tensor], ...]]:
    """Cut parallel lists of tensors (parameters first) into the lists a rule is applied to at once.

    With `foreach` that is everything on one device and of one dtype, else one parameter at a time: so each rule is
    written once, over lists, and on a CPU all its passes find one parameter in the cache.
    """
    if not foreach:
        for row in zip(*columns, strict=True):
            yield tuple([tensor] for tensor in row)
        return
    alike: defaultdict[tuple[torch.device, tuple[torch.dtype, ...]], list[tuple[Tensor, ...]]] = defaultdict(list)
    for row in zip(*columns, strict=True):
        alike[row[0].device, tuple(tensor.dtype for tensor in row)].append(row)
    for rows in alike.values():
        yield tuple(list(column) for column in zip(*rows, strict=True))


def cautious_(updates: Sequence[Tensor], grads: Sequence[Tensor]) -> None:
    """Drop, in place, the parts of `updates` that point against the gradient, and scale up the rest to make good.

    Source: Liang et al., Cautious Optimizers: Improving Training with One Line of Code, arXiv:2411.16085.
    """
    for update, grad in zip(updates, grads, strict=True):
        agrees = (update * grad).gt_(0)  # 0 and 1 in the same dtype: twice as fast as a boolean mask
        update.mul_(agrees.div_(agrees.mean().clamp_(min=CAUTION_FLOOR)))
