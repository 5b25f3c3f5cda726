"""Lion: the sign of a momentum as the update."""

from typing import Any

import torch
from torch import Tensor

from ._helpers import check_hyperparameters, decay_scale, options, peak_lr, state_tensor
from ._rule import Number, RuleOptimizer, add_scaled_, apply_rule, cautious_, scale_
from ._types import ParamsT

__all__ = ['Lion', 'lion']


class Lion(RuleOptimizer):
    """EvoLved Sign Momentum: every weight moves by exactly `lr`, so `lr` is 3 to 10 times smaller than for AdamW.

    Args:
        betas: Share of the momentum in the update, and the momentum's own decay.
        caution: Leave out the parts of an update that the gradient contradicts.
        corrected_weight_decay: Decay by lr^2 / max lr instead of lr.
        foreach: Apply the rule to all parameters at once; None decides by device.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Chen et al., Symbolic Discovery of Optimization Algorithms, arXiv:2302.06675, algorithm 2.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        caution: bool = False,
        corrected_weight_decay: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
    ) -> None:
        check_hyperparameters(betas, lr=lr, weight_decay=weight_decay)
        defaults = dict(
            lr=lr,
            betas=betas,
            weight_decay=weight_decay,
            caution=caution,
            corrected_weight_decay=corrected_weight_decay,
            max_lr_snapshot=peak_lr(lr, corrected_weight_decay),
            foreach=foreach,
            maximize=maximize,
        )
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        beta1, beta2 = group['betas']
        exp_avgs = state_tensor([self.state[p] for p in params], params, 'exp_avg')
        chosen = options(group, 'maximize', 'foreach', 'lr', 'weight_decay', 'caution')
        lion(params, grads, exp_avgs, beta1=beta1, beta2=beta2, **chosen)


def lion(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    maximize: bool = False,
    foreach: bool | None = None,
    *,
    beta1: float,
    beta2: float,
    lr: float,
    weight_decay: float,
    caution: bool,
    max_lr: float | None = None,
) -> None:
    """One step of the rule on parallel lists, in place; `max_lr` turns the corrected decay on."""
    apply_rule(
        _lion,
        foreach,
        *(params, grads, exp_avgs),
        scope='tensor' if caution else 'element',
        changing=dict(lr=lr, keep=1 - weight_decay * decay_scale(lr, max_lr)),
        beta1=beta1,
        beta2=beta2,
        decays=weight_decay != 0,
        caution=caution,
        maximize=maximize,
    )


def _lion(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    lr: Number,
    keep: Number,
    beta1: float,
    beta2: float,
    decays: bool,
    caution: bool,
    maximize: bool,
) -> None:
    if maximize:
        grads = list(torch._foreach_neg(grads))
    updates = list(torch._foreach_lerp(exp_avgs, grads, 1 - beta1))
    torch._foreach_sign_(updates)
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta2)
    if caution:
        cautious_(updates, grads)
    if decays:
        scale_(params, keep)
    add_scaled_(params, updates, -lr)
