"""MADGRAD: momentum on the average of all gradients, each weighted by the root of its step."""

from typing import Any

import torch
from torch import Tensor

from ._helpers import check_hyperparameters, state_tensor
from ._rule import Number, RuleOptimizer, add_ratio_, add_scaled_, apply_rule, is_readable, scale_, shift_
from ._types import ParamsT

__all__ = ['MADGRAD']


class MADGRAD(RuleOptimizer):
    """Momentumized, adaptive, dual averaged gradients: weights are where they started plus one weighted sum.

    With s the sum of the gradients and v that of their squares, both weighted by (lr + eps) * sqrt(step):
    z = x0 - s / (cbrt(v) + eps), and the weights go the share 1 - momentum of the way to z.

    Args:
        momentum: 0 needs no memory of where the weights started.
        weight_decay: Added to the gradient, where it counts less than in SGD or Adam: start from 0.
        decoupled_decay: Shrink the weights directly instead.

    Raises:
        ValueError: A hyper-parameter is out of its range; `lr` must be above 0.

    Source: Defazio and Jelassi, Adaptivity without Compromise: A Momentumized, Adaptive, Dual Averaged Gradient Method
    for Stochastic Optimization, arXiv:2101.11075, algorithm 1.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        momentum: float = 0.9,
        weight_decay: float = 0,
        eps: float = 1e-6,
        decoupled_decay: bool = False,
    ) -> None:
        check_hyperparameters(lr=lr, weight_decay=weight_decay, eps=eps)
        if not lr > 0:
            raise ValueError(f'lr={lr} is not allowed: MADGRAD weighs gradients by it, give a number > 0.')
        if not 0 <= momentum < 1:
            raise ValueError(f'momentum={momentum} is not allowed: give a number of [0, 1).')
        defaults = dict(lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, decoupled_decay=decoupled_decay)
        super().__init__(params, defaults)

    @property
    def supports_flat_params(self) -> bool:
        """Yes: the rule works element by element. Asked by fairseq."""
        return True

    @property
    def supports_memory_efficient_fp16(self) -> bool:
        """No: sums of squares need more than half precision. Asked by fairseq."""
        return False

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        states = [self.state[p] for p in params]
        lr, momentum, weight_decay = (group[name] for name in ('lr', 'momentum', 'weight_decay'))
        decoupled = group['decoupled_decay']
        sums, squares = (state_tensor(states, params, name) for name in ('s', 'grad_sum_sq'))
        rows_at: dict[int, list[int]] = {}  # by number of steps: parameters may have joined late
        for i, (p, state) in enumerate(zip(params, states, strict=True)):
            if momentum and 'x0' not in state:
                state['x0'] = p.detach().clone()
            state['step'] = state.get('step', 0) + 1
            rows_at.setdefault(state['step'], []).append(i)
        origins = [state['x0'] for state in states] if momentum else grads
        for count, rows in rows_at.items():
            apply_rule(
                _madgrad,
                None,
                *([column[i] for i in rows] for column in (params, grads, sums, squares, origins)),
                changing=dict(weight=(lr + group['eps']) * count**0.5, keep=1 - lr * weight_decay),
                momentum=momentum,
                coupled_decay=0.0 if decoupled else weight_decay,
                decoupled_decays=decoupled and weight_decay != 0,
                eps=group['eps'],
            )


def _madgrad(
    params: list[Tensor],
    grads: list[Tensor],
    sums: list[Tensor],
    squares: list[Tensor],
    origins: list[Tensor],
    weight: Number,
    keep: Number,
    momentum: float,
    coupled_decay: float,
    decoupled_decays: bool,
    eps: float,
) -> None:
    """The rule; without momentum, `origins` are not looked at: they are where the weights are, less the last sum."""
    if decoupled_decays:
        scale_(params, keep)
    elif coupled_decay:
        grads = list(torch._foreach_add(grads, params, alpha=coupled_decay))
    if not momentum:
        add_ratio_(params, sums, _roots(squares, eps), [1.0] * len(params))
    add_scaled_(sums, grads, weight)
    if isinstance(weight, Tensor):
        torch._foreach_addcmul_(squares, list(torch._foreach_mul(grads, weight)), grads)
    else:
        torch._foreach_addcmul_(squares, grads, grads, weight)
    if momentum:
        torch._foreach_lerp_(params, origins, 1 - momentum)
    add_ratio_(params, sums, _roots(squares, eps), [momentum - 1] * len(params))


def _roots(squares: list[Tensor], eps: float) -> list[Tensor]:
    """cbrt(squares) + eps."""
    if is_readable(squares[0]) and squares[0].dtype in (torch.float32, torch.float64):
        # A CPU takes a logarithm and comes back in half the time of a power. Half precision would lose digits.
        roots = list(torch._foreach_mul([x.log2() for x in squares], 1 / 3))
        for root in roots:
            root.exp2_()
    else:
        roots = list(torch._foreach_pow(squares, 1 / 3))
    shift_(roots, eps)
    return roots
