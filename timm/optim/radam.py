"""RAdam as it was before torch had one: Adam that steps like momentum until its second moment can be trusted."""

import math
from typing import Any

import torch
from torch import Tensor

from ._fused import add_fused_adam_
from ._helpers import check_hyperparameters, restore_dtypes, rows_alike, state_tensor
from ._rule import Number, RuleOptimizer, add_normalized_, add_scaled_, apply_rule, fuses, in_dtype_of, may_fuse, scale_
from ._types import ParamsT

__all__ = ['RAdamLegacy', 'moving_average', 'rectified_step']

# From this length of its moving average on, the second moment can be trusted; the paper's own bound is above 4.
TRUSTED_LENGTH = 5


class RAdamLegacy(RuleOptimizer):
    """Rectified Adam with decoupled weight decay, in float32 whatever the dtype of the parameters.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, arXiv:1908.03265, algorithm 2; eps
    is added to the root of the second moment before its bias is corrected.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay)
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a saved state; the moments stay float32."""
        super().load_state_dict(state_dict)
        restore_dtypes(self, state_dict)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        states = [self.state[p] for p in params]
        beta1, beta2 = group['betas']
        for state in states:
            state['step'] = state.get('step', 0) + 1
        moments = [state_tensor(states, params, name, torch.float32) for name in ('exp_avg', 'exp_avg_sq')]
        for count, rows in rows_alike([state['step'] for state in states]).items():
            apply_rule(
                _radam,
                None,
                *([column[i] for i in rows] for column in (params, grads, *moments)),
                changing=dict(
                    factor=-rectified_step(count, beta1, beta2) * group['lr'],
                    decay=group['weight_decay'] * group['lr'],
                ),
                beta1=beta1,
                beta2=beta2,
                eps=group['eps'],
                rectified=moving_average(count, beta2)[0] >= TRUSTED_LENGTH,
                decays=group['weight_decay'] != 0,
                fusing=may_fuse(None),
            )


def moving_average(count: int, beta2: float) -> tuple[float, float]:
    """Length of the simple moving average that a second moment amounts to, and the length that grows to."""
    longest = 2 / (1 - beta2) - 1
    return longest - 2 * count * beta2**count / (1 - beta2**count), longest


def rectified_step(count: int, beta1: float, beta2: float) -> float:
    """A step over the learning rate: of m / sqrt(v) once that can be trusted, of m alone before.

    It holds the bias corrections of both moments, and the rectification r_t of algorithm 2.
    """
    length, longest = moving_average(count, beta2)
    if length < TRUSTED_LENGTH:
        return 1 / (1 - beta1**count)
    present, final = ((n - 4) * (n - 2) / n for n in (length, longest))
    return math.sqrt((1 - beta2**count) * present / final) / (1 - beta1**count)


def _radam(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    factor: Number,
    decay: Number,
    beta1: float,
    beta2: float,
    eps: float,
    rectified: bool,
    decays: bool,
    fusing: bool,
) -> None:
    if rectified and fusing and fuses([factor, decay], params, grads, exp_avgs, exp_avg_sqs):
        numbers = (float(factor), eps, 1 - float(decay))
        add_fused_adam_(params, grads, exp_avgs, exp_avg_sqs, beta1, beta2, *numbers)
        return
    targets, grads = in_dtype_of(exp_avgs, params), in_dtype_of(exp_avgs, grads)
    scale_(exp_avgs, beta1)
    torch._foreach_add_(exp_avgs, grads, alpha=1 - beta1)
    if decays:
        add_scaled_(targets, targets, -decay)
    if rectified:
        add_normalized_(targets, exp_avgs, grads, exp_avg_sqs, beta2, [factor] * len(params), [eps] * len(params))
    else:
        scale_(exp_avg_sqs, beta2)
        torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - beta2)
        add_scaled_(targets, exp_avgs, factor)
    if targets[0] is not params[0]:
        torch._foreach_copy_(params, targets)
