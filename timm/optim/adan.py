"""Adan: Nesterov momentum put as a momentum of gradients and one of their differences."""

from typing import Any

import torch
from torch import Tensor

from ._helpers import check_hyperparameters, state_tensor
from ._rule import Number, RuleOptimizer, add_normalized_, apply_rule, cautious_, may_fuse, scale_
from ._types import ParamsT

__all__ = ['Adan']

MOMENTS = ('exp_avg', 'exp_avg_sq', 'exp_avg_diff')


class Adan(RuleOptimizer):
    """Adaptive Nesterov momentum: a gradient, plus how it changed since the last step, stands for the one ahead.

    Args:
        betas: Decay of the momentum, of the momentum of differences, and of the second moment. They are 1 minus those
            of the paper.
        no_prox: Shrink the weights before the step, as AdamW does, instead of after it, by 1 / (1 + lr weight_decay).
        caution: Leave out the parts of the momentum that the gradient contradicts.
        foreach: Apply the rule to all parameters at once, or with False to one at a time; None decides by device,
            and takes torch's fused Adam kernel for part of the work on a CPU.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Xie et al., Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models,
    arXiv:2208.06677, algorithm 1.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        no_prox: bool = False,
        caution: bool = False,
        foreach: bool | None = None,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay)
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            no_prox=no_prox,
            caution=caution,
            foreach=foreach,
        )
        super().__init__(params, defaults)

    @torch.no_grad()
    def restart_opt(self) -> None:
        """Start over: no steps taken, all moments zero."""
        for group in self.param_groups:
            group['step'] = 0
            for p in group['params']:
                for name in MOMENTS:
                    self.state[p][name] = torch.zeros_like(p)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        states = [self.state[p] for p in params]
        count = group['step'] = group.get('step', 0) + 1
        moments = [state_tensor(states, params, name) for name in MOMENTS]
        for state, grad in zip(states, grads, strict=True):
            if count == 1 or 'neg_pre_grad' not in state:
                state['neg_pre_grad'] = -grad  # nothing has changed yet
        lr, decay, (beta1, beta2, beta3) = group['lr'], group['lr'] * group['weight_decay'], group['betas']
        moment_weight, diff_weight = 1 / (1 - beta1**count), beta2 / (1 - beta2**count)
        root = (1 - beta3**count) ** 0.5
        apply_rule(
            _adan,
            group['foreach'],
            *(params, grads, *moments, [state['neg_pre_grad'] for state in states]),
            scope='tensor' if group['caution'] else 'element',
            changing=dict(
                share=diff_weight / (moment_weight + diff_weight),
                factor=-lr * (moment_weight + diff_weight) * root,
                floor=group['eps'] * root,
                keep=1 - decay if group['no_prox'] else 1 / (1 + decay),
            ),
            betas=(beta1, beta2, beta3),
            decays_before=group['no_prox'] and group['weight_decay'] != 0,
            decays_after=not group['no_prox'] and group['weight_decay'] != 0,
            caution=group['caution'],
            fusing=may_fuse(group['foreach']),
        )


def _adan(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    exp_avg_diffs: list[Tensor],
    diffs: list[Tensor],
    share: Number,
    factor: Number,
    floor: Number,
    keep: Number,
    betas: tuple[float, float, float],
    decays_before: bool,
    decays_after: bool,
    caution: bool,
    fusing: bool,
) -> None:
    """The rule. `diffs` come as minus the last gradients and go as minus the present ones."""
    count, (beta1, beta2, beta3) = len(params), betas
    torch._foreach_add_(diffs, grads)
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
    torch._foreach_lerp_(exp_avg_diffs, diffs, 1 - beta2)
    shares: Any = [share] * count
    if caution:
        updates = [exp_avg.clone() for exp_avg in exp_avgs]
        cautious_(updates, grads)
        torch._foreach_lerp_(updates, exp_avg_diffs, shares)
    else:
        updates = list(torch._foreach_lerp(exp_avgs, exp_avg_diffs, shares))
    scale_(diffs, beta2)
    torch._foreach_add_(diffs, grads)
    before = keep if decays_before else 1.0
    add_normalized_(params, updates, diffs, exp_avg_sqs, beta3, [factor] * count, [floor] * count, before, fusing)
    if decays_after:
        scale_(params, keep)
    torch._foreach_copy_(diffs, grads)
    torch._foreach_neg_(diffs)
