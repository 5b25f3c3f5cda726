"""NAdam with decoupled weight decay."""

from typing import Any

import torch
from torch import Tensor

from ._helpers import (
    as_real,
    check_hyperparameters,
    count_tensors,
    decay_scale,
    options,
    peak_lr,
    state_tensor,
    step_counts,
)
from ._rule import (
    Number,
    RuleOptimizer,
    add_normalized_,
    add_ratio_,
    apply_rule,
    cautious_,
    limit_ratio_,
    may_fuse,
    scale_,
    shift_,
)
from ._types import ParamsT

__all__ = ['NAdamW', 'nadamw']


class NAdamW(RuleOptimizer):
    """AdamW whose first moment looks one gradient ahead, in Nesterov's manner.

    Args:
        caution: Leave out the parts of an update that the gradient contradicts.
        corrected_weight_decay: Decay by lr^2 / max lr instead of lr.
        foreach: Apply the rule to all parameters at once; None decides by device.
        capturable: Keep the step count on the device, so that the step can be captured in a CUDA graph.
        clipping_threshold: Largest root mean square of gradient over denominator; beyond it a parameter's step
            shrinks in proportion. None does not limit it.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Dozat, Incorporating Nesterov Momentum into Adam, 2016, in the form of the MLCommons AlgoPerf baseline;
    the clipping is Wortsman et al., arXiv:2304.13013, section 3.3.
    """

    takes_complex = True

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        caution: bool = False,
        corrected_weight_decay: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        clipping_threshold: float | None = None,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay, clipping_threshold=clipping_threshold)
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            caution=caution,
            corrected_weight_decay=corrected_weight_decay,
            max_lr_snapshot=peak_lr(lr, corrected_weight_decay),
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            clipping_threshold=clipping_threshold,
        )
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        states = [self.state[p] for p in params]
        beta1, beta2 = group['betas']
        steps = count_tensors(states, params, group['capturable'])
        exp_avgs, exp_avg_sqs = (state_tensor(states, params, name) for name in ('exp_avg', 'exp_avg_sq'))
        names = ('foreach', 'capturable', 'lr', 'weight_decay', 'eps', 'caution', 'maximize', 'clipping_threshold')
        nadamw(params, grads, exp_avgs, exp_avg_sqs, steps, beta1=beta1, beta2=beta2, **options(group, *names))


def nadamw(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    state_steps: list[Tensor],
    foreach: bool | None = None,
    capturable: bool = False,
    *,
    beta1: float,
    beta2: float,
    lr: float,
    weight_decay: float,
    eps: float,
    caution: bool,
    maximize: bool,
    max_lr: float | None,
    clipping_threshold: float | None = None,
) -> None:
    """One step of the rule on parallel lists, in place; `max_lr` turns the corrected decay on."""
    params, grads, exp_avgs, exp_avg_sqs = as_real(params, grads, exp_avgs, exp_avg_sqs)
    counts = step_counts(state_steps, capturable)
    # Both bias corrections in one factor and one floor: m / bc1 / (sqrt(v / bc2) + eps), times sqrt(bc2) above and
    # below the line.
    roots = [(1 - beta2**count) ** 0.5 for count in counts]
    factors = [-lr * root / (1 - beta1**count) for root, count in zip(roots, counts, strict=True)]
    floors = [eps * root for root in roots]
    limits = [] if clipping_threshold is None else [[clipping_threshold / root for root in roots]]
    apply_rule(
        _nadamw,
        foreach,
        *(params, grads, exp_avgs, exp_avg_sqs, factors, floors, *limits),
        changing=dict(keep=1 - weight_decay * decay_scale(lr, max_lr)),
        beta1=beta1,
        beta2=beta2,
        decays=weight_decay != 0,
        caution=caution,
        maximize=maximize,
        fusing=may_fuse(foreach),
    )


def _nadamw(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    factors: list[Number],
    floors: list[Number],
    limits: list[Number] | None = None,
    *,
    keep: Number,
    beta1: float,
    beta2: float,
    decays: bool,
    caution: bool,
    maximize: bool,
    fusing: bool,
) -> None:
    if maximize:
        grads = list(torch._foreach_neg(grads))
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
    if limits is None and not caution:
        ahead = list(torch._foreach_lerp(exp_avgs, grads, 1 - beta1))
        add_normalized_(params, ahead, grads, exp_avg_sqs, beta2, factors, floors, keep, fusing)
        return
    scale_(exp_avg_sqs, beta2)
    torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - beta2)
    updates = list(torch._foreach_lerp(exp_avgs, grads, 1 - beta1))
    denominators = list(torch._foreach_sqrt(exp_avg_sqs))
    shift_(denominators, floors)
    if limits is not None:
        limit_ratio_(grads, denominators, limits)
    if caution:
        cautious_(updates, grads)
    if decays:
        scale_(params, keep)
    add_ratio_(params, updates, denominators, factors)
