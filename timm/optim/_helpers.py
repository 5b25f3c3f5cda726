"""What optimizers share beside the rule itself: argument checks, collecting gradients and state."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = [
    'add_to_all_',
    'as_real',
    'check_fractions',
    'check_hyperparameters',
    'complete_groups',
    'count_tensors',
    'decay_scale',
    'evaluate',
    'gather',
    'options',
    'peak_lr',
    'restore_dtypes',
    'rows_alike',
    'state_tensor',
    'step_counts',
]

# Lists are not cut to the cache of a GPU here. The tests published with the original ask before they cut.
_HAS_L2_CACHE_SIZE = False


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


def check_fractions(**values: Any) -> None:
    """Refuse what cannot be the share that a running mean keeps; None stands for "not given".

    Raises:
        ValueError: One of `values` lies outside [0, 1).
    """
    for name, value in values.items():
        if value is not None and not 0 <= _number(value) < 1:
            raise ValueError(f'{name}={value} is not allowed: it must lie in [0, 1).')


def complete_groups(optimizer: Optimizer) -> None:
    """Give groups that come from an older state dict what they lack, as the constructor was told."""
    defaults = dict(optimizer.defaults)
    if 'differentiable' not in inspect.signature(type(optimizer)).parameters:
        defaults.pop('differentiable', None)  # torch adds it as it loads
    for group in optimizer.param_groups:
        for name, value in defaults.items():
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


def gather(group: dict[str, Any], rule: str, takes_complex: bool = False) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters of `group` that hold a gradient, and these gradients.

    Raises:
        RuntimeError: A gradient is sparse, or complex and `rule`, whose name goes into the message, does not take it.
    """
    params = [p for p in group['params'] if p.grad is not None]
    grads = [p.grad for p in params]
    for grad in grads:
        if grad.is_sparse:
            raise RuntimeError(f'{rule} needs dense gradients: build the embedding with sparse=False.')
        if grad.is_complex() and not takes_complex:
            raise RuntimeError(
                f'{rule} needs real parameters, not {grad.dtype}: make torch.view_as_real(...) of it the parameter.'
            )
    return params, grads


def as_real(params: list[Tensor], *columns: list[Tensor]) -> tuple[list[Tensor], ...]:
    """Parallel lists, those of complex parameters as views of pairs: real and imaginary part are updated each alone."""
    if not any(param.is_complex() for param in params):
        return params, *columns
    return tuple([torch.view_as_real(t) if t.is_complex() else t for t in column] for column in (params, *columns))


def rows_alike(keys: Sequence[Any]) -> dict[Any, list[int]]:
    """Which rows have the same key, by key: the numbers of a step mostly agree, but parameters may have joined late."""
    rows: dict[Any, list[int]] = {}
    for i, key in enumerate(keys):
        rows.setdefault(key, []).append(i)
    return rows


def state_tensor(
    states: list[dict[str, Any]], params: list[Tensor], name: str, dtype: torch.dtype | None = None
) -> list[Tensor]:
    """The running tensor `name` of each parameter, zero where there is none yet; `dtype` None is the parameter's."""
    for state, param in zip(states, params, strict=True):
        if name not in state:
            state[name] = torch.zeros_like(param, dtype=dtype, memory_format=torch.preserve_format)
    return [state[name] for state in states]


def count_tensors(states: list[dict[str, Any]], params: list[Tensor], capturable: bool = False) -> list[Tensor]:
    """The count of steps of each parameter, a float32 scalar: on the CPU, or with `capturable` beside the parameter."""
    for state, param in zip(states, params, strict=True):
        if not isinstance(state.get('step'), Tensor):  # a plain number in state dicts of older versions
            device = param.device if capturable else 'cpu'
            state['step'] = torch.tensor(float(state.get('step', 0)), dtype=torch.float32, device=device)
    return [state['step'] for state in states]


def add_to_all_(tensors: list[Tensor], amount: float) -> None:
    """tensors += amount; of a group in which nothing holds a gradient there are none."""
    if tensors:
        torch._foreach_add_(tensors, amount)


def step_counts(state_steps: list[Tensor], capturable: bool = False) -> list[Any]:
    """Count one step more in each of `state_steps`, in place, and return the counts.

    With `capturable` they stay on the device, as float64; else they are Python numbers.
    """
    add_to_all_(state_steps, 1)
    return [step.double() if capturable else step.item() for step in state_steps]


def restore_dtypes(optimizer: Optimizer, state_dict: dict[str, Any]) -> None:
    """Give the state that `optimizer` has just loaded the dtypes it was saved in: torch casts it to its parameters'."""
    saved_ids = [saved_id for group in state_dict['param_groups'] for saved_id in group['params']]
    params = [p for group in optimizer.param_groups for p in group['params']]
    for saved_id, p in zip(saved_ids, params, strict=True):
        state = optimizer.state[p]
        for name, saved in state_dict['state'].get(saved_id, {}).items():
            state[name] = _as_saved(state[name], saved, p.device)


def _as_saved(loaded: Any, saved: Any, device: torch.device) -> Any:
    if isinstance(saved, list):
        return [_as_saved(*pair, device) for pair in zip(loaded, saved, strict=True)]
    return saved.to(device) if isinstance(saved, Tensor) and loaded.dtype != saved.dtype else loaded


def peak_lr(lr: float | Tensor, corrects: bool) -> float:
    """The learning rate that a schedule starts from: what a corrected decay, if it `corrects`, is a share of.

    Raises:
        ValueError: There can be no share of it.
    """
    peak = _number(lr)
    if corrects and not peak > 0:
        raise ValueError(f'lr={peak} is not allowed: a corrected decay is a share of the largest rate. Give that one.')
    return peak


def decay_scale(lr: float, max_lr: float | None) -> float:
    """By what a decoupled weight decay is multiplied: `lr`, or with `max_lr` the corrected lr * (lr / max_lr).

    Source: Defazio, Why Gradients Rapidly Increase Near the End of Training, arXiv:2506.02285 (AdamC).
    """
    if max_lr is None:
        return lr
    return lr * lr / max_lr if max_lr else 0.0
