"""AdamW with the options that torch's own class does not have: caution, corrected decay and clipping."""

from typing import Any

import torch
from torch import Tensor

from ._fused import add_fused_adam_
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
    add_ratio_,
    apply_rule,
    cautious_,
    fuses,
    limit_ratio_,
    may_fuse,
    scale_,
    shift_,
)
from ._types import ParamsT as ParamsT

__all__ = ['AdamWLegacy', 'adamw']


class AdamWLegacy(RuleOptimizer):
    """Adam whose weight decay shrinks the weights directly and stays out of the moments.

    Args:
        amsgrad: Divide by the largest second moment so far instead of the present one.
        caution: Leave out the parts of an update that the gradient contradicts.
        corrected_weight_decay: Decay by lr^2 / max lr instead of lr.
        foreach: Apply the rule to all parameters at once, or with False to one at a time; None decides by device,
            and takes torch's fused kernels on a CPU.
        capturable: Keep the step count on the device, so that the step can be captured in a CUDA graph.
        clipping_threshold: Largest root mean square of gradient over denominator; beyond it a parameter's step
            shrinks in proportion. None does not limit it.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, arXiv:1711.05101, algorithm 2; amsgrad is
    Reddi et al., arXiv:1904.09237; the clipping is Wortsman et al., arXiv:2304.13013, section 3.3.
    """

    takes_complex = True

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
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
            amsgrad=amsgrad,
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
        maxima = state_tensor(states, params, 'max_exp_avg_sq') if group['amsgrad'] else []
        names = ('foreach', 'capturable', 'amsgrad', 'lr', 'weight_decay', 'eps', 'caution', 'maximize')
        chosen = options(group, *names, 'clipping_threshold')
        adamw(params, grads, exp_avgs, exp_avg_sqs, maxima, steps, beta1=beta1, beta2=beta2, **chosen)


def adamw(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    max_exp_avg_sqs: list[Tensor],
    state_steps: list[Tensor],
    foreach: bool | None = None,
    capturable: bool = False,
    *,
    amsgrad: bool,
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
    """One step of the rule on parallel lists, in place.

    Args:
        max_exp_avg_sqs: Largest second moments so far; not looked at without `amsgrad`.
        max_lr: Turns the corrected decay on.
    """
    maxima = max_exp_avg_sqs if amsgrad else []
    params, grads, exp_avgs, exp_avg_sqs, maxima = as_real(params, grads, exp_avgs, exp_avg_sqs, maxima)
    counts = step_counts(state_steps, capturable)
    # Both bias corrections in one factor and one floor: m / bc1 / (sqrt(v / bc2) + eps), times sqrt(bc2) above and
    # below the line.
    roots = [(1 - beta2**count) ** 0.5 for count in counts]
    factors = [-lr * root / (1 - beta1**count) for root, count in zip(roots, counts, strict=True)]
    floors = [eps * root for root in roots]
    limits = [None if clipping_threshold is None else clipping_threshold / root for root in roots]
    apply_rule(
        _adamw,
        foreach,
        *(params, grads, exp_avgs, exp_avg_sqs, maxima or [None] * len(params), factors, floors, limits),
        changing=dict(keep=1 - weight_decay * decay_scale(lr, max_lr)),
        amsgrad=amsgrad,
        beta1=beta1,
        beta2=beta2,
        decays=weight_decay != 0,
        clips=clipping_threshold is not None,
        caution=caution,
        maximize=maximize,
        fusing=may_fuse(foreach) and clipping_threshold is None,
    )


def _adamw(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    maxima: list[Tensor],
    factors: list[Number],
    floors: list[Number],
    limits: list[Number],
    keep: Number,
    amsgrad: bool,
    beta1: float,
    beta2: float,
    decays: bool,
    clips: bool,
    caution: bool,
    maximize: bool,
    fusing: bool,
) -> None:
    if maximize:
        grads = list(torch._foreach_neg(grads))
    tops = [maxima] if amsgrad else []
    if fusing and fuses([*factors, *floors, keep], params, grads, exp_avgs, exp_avg_sqs, *tops):
        moments = (exp_avgs, exp_avg_sqs, beta1, beta2)
        if caution:
            updates = [torch.zeros_like(p) for p in params]
            add_fused_adam_(updates, grads, *moments, -float(factors[0]), float(floors[0]), 1.0, *tops)
            cautious_(updates, grads)
            if decays:
                scale_(params, keep)
            torch._foreach_sub_(params, updates)
        else:
            add_fused_adam_(params, grads, *moments, float(factors[0]), float(floors[0]), float(keep), *tops)
        return
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
    scale_(exp_avg_sqs, beta2)
    torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - beta2)
    if amsgrad:
        torch._foreach_maximum_(maxima, exp_avg_sqs)
    denominators = list(torch._foreach_sqrt(maxima if amsgrad else exp_avg_sqs))
    shift_(denominators, floors)
    if clips:
        limit_ratio_(grads, denominators, limits)
    updates = exp_avgs
    if caution:
        updates = [exp_avg.clone() for exp_avg in exp_avgs]
        cautious_(updates, grads)
    if decays:
        scale_(params, keep)
    add_ratio_(params, updates, denominators, factors)
