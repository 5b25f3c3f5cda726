"""NAdam as it was before torch had one: momentum on a schedule, decay added to the gradient."""

from typing import Any

import torch
from torch import Tensor

from ._helpers import check_hyperparameters, state_tensor
from ._rule import Number, RuleOptimizer, add_normalized_, apply_rule, may_fuse
from ._types import ParamsT

__all__ = ['NAdamLegacy']


class NAdamLegacy(RuleOptimizer):
    """Adam whose first moment looks one gradient ahead, in Nesterov's manner, with a momentum that warms up.

    The momentum of step t is mu(t) = beta1 (1 - 0.96^(t schedule_decay) / 2), and its bias correction the product of
    all of them so far.

    Args:
        weight_decay: Added to the gradient, times the weight.
        schedule_decay: How fast the momentum warms up from beta1 / 2 to beta1.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Dozat, Incorporating Nesterov Momentum into Adam, 2016, algorithm 2; the schedule is that of Keras.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        schedule_decay: float = 4e-3,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay, schedule_decay=schedule_decay)
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, schedule_decay=schedule_decay)
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        states = [self.state[p] for p in params]
        beta1, beta2 = group['betas']
        grad_weights, moment_weights, roots = [], [], []
        for state in states:
            count = state['step'] = state.get('step', 0) + 1
            mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (t * group['schedule_decay'])) for t in (count, count + 1))
            product = state['m_schedule'] = state.get('m_schedule', 1.0) * mu
            grad_weights.append((1 - mu) / (1 - product))
            moment_weights.append(mu_next / (1 - product * mu_next))
            roots.append((1 - beta2**count) ** 0.5)
        exp_avgs, exp_avg_sqs = (state_tensor(states, params, name) for name in ('exp_avg', 'exp_avg_sq'))
        # The weights as their sum and the gradient's share of it, so that one interpolation gives the update.
        sums = [sum(pair) for pair in zip(grad_weights, moment_weights, strict=True)]
        apply_rule(
            _nadam,
            None,
            *(params, grads, exp_avgs, exp_avg_sqs),
            [weight / total for weight, total in zip(grad_weights, sums, strict=True)],
            [-group['lr'] * total * root for total, root in zip(sums, roots, strict=True)],
            [group['eps'] * root for root in roots],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group['weight_decay'],
            fusing=may_fuse(None),
        )


def _nadam(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    shares: list[Number],
    factors: list[Number],
    floors: list[Number],
    beta1: float,
    beta2: float,
    weight_decay: float,
    fusing: bool,
) -> None:
    if weight_decay:
        grads = list(torch._foreach_add(grads, params, alpha=weight_decay))
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
    weights: Any = shares
    updates = list(torch._foreach_lerp(exp_avgs, grads, weights))
    add_normalized_(params, updates, grads, exp_avg_sqs, beta2, factors, floors, fusing=fusing)
