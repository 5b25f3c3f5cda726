"""ADOPT: Adam that divides a gradient by the second moment of those before it."""

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
    rows_alike,
    state_tensor,
    step_counts,
)
from ._rule import Number, RuleOptimizer, add_cautiously_, add_scaled_, apply_rule, scale_
from ._types import ParamsT as ParamsT

__all__ = ['Adopt', 'adopt']


class Adopt(RuleOptimizer):
    """Adam that converges whatever beta2 is: a gradient is divided by the second moment of the gradients before it,
    and only then enters the momentum.

    The first step only starts the second moment.

    Args:
        clip_exp: A normalised gradient is clipped to t^clip_exp after t steps; None does not clip.
        decoupled: Shrink the weights directly instead of adding the decay to the gradient.
        corrected_weight_decay: With `decoupled`, decay by lr^2 / max lr instead of lr.
        caution: Leave out the parts of an update that the gradient contradicts.
        foreach: Apply the rule to all parameters at once; None decides by device.
        capturable: Keep the step count on the device, so that the step can be captured in a CUDA graph.
        differentiable: Let autograd see the step.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Taniguchi et al., ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal Rate,
    arXiv:2411.02853, algorithm 2.
    """

    takes_complex = True

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.9999),
        eps: float = 1e-6,
        clip_exp: float | None = 0.333,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        corrected_weight_decay: bool = False,
        *,
        caution: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay, clip_exp=clip_exp)
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            clip_exp=clip_exp,
            decoupled=decoupled,
            corrected_weight_decay=corrected_weight_decay,
            max_lr_snapshot=peak_lr(lr, corrected_weight_decay),
            caution=caution,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
        )
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        states = [self.state[p] for p in params]
        beta1, beta2 = group['betas']
        # Known without a look at the count, which may lie on a device.
        first_steps = ['exp_avg_sq' not in state for state in states]
        steps = count_tensors(states, params, group['capturable'])
        exp_avgs, exp_avg_sqs = (state_tensor(states, params, name) for name in ('exp_avg', 'exp_avg_sq'))
        names = ('foreach', 'capturable', 'differentiable', 'lr', 'weight_decay', 'clip_exp', 'decoupled', 'eps')
        adopt(
            params,
            grads,
            exp_avgs,
            exp_avg_sqs,
            steps,
            first_steps=first_steps,
            beta1=beta1,
            beta2=beta2,
            **options(group, *names, 'caution', 'maximize'),
        )


def adopt(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    state_steps: list[Tensor],
    foreach: bool | None = None,
    capturable: bool = False,
    differentiable: bool = False,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
    has_complex: bool = False,  # noqa: ARG001 (published)
    first_steps: list[bool] | None = None,
    *,
    beta1: float,
    beta2: float,
    lr: float,
    weight_decay: float,
    clip_exp: float | None,
    max_lr: float | None,
    decoupled: bool,
    eps: float,
    caution: bool,
    maximize: bool,
) -> None:
    """One step of the rule on parallel lists, in place.

    Args:
        grad_scale: Must be None: gradients come unscaled.
        found_inf: Must be None.
        has_complex: Need not be said: it is looked for.
        first_steps: Which parameters take their first step; None looks at their counts.
        max_lr: Turns the corrected decay on.

    Raises:
        ValueError: One of the arguments for which there is no rule is given.
    """
    if grad_scale is not None or found_inf is not None:
        raise ValueError('grad_scale and found_inf are not supported: pass unscaled gradients.')
    params, grads, exp_avgs, exp_avg_sqs = as_real(params, grads, exp_avgs, exp_avg_sqs)
    if first_steps is None:
        first_steps = [not step for step in state_steps]
    counts = step_counts(state_steps, capturable)
    limits = [None if clip_exp is None else (count - 1) ** clip_exp for count in counts]
    columns = (params, grads, exp_avgs, exp_avg_sqs, limits)
    for starts, rows in rows_alike(first_steps).items():
        apply_rule(
            _adopt,
            foreach,
            *([column[i] for i in rows] for column in columns),
            scope='tensor' if caution else 'element',
            changing=dict(lr=lr, keep=1 - weight_decay * decay_scale(lr, max_lr)),
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            coupled_decay=0.0 if decoupled else weight_decay,
            decays=decoupled and weight_decay != 0,
            clips=clip_exp is not None,
            caution=caution,
            maximize=maximize,
            starts=starts,
            differentiable=differentiable,
        )


def _adopt(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    limits: list[Number],
    lr: Number,
    keep: Number,
    beta1: float,
    beta2: float,
    eps: float,
    coupled_decay: float,
    decays: bool,
    clips: bool,
    caution: bool,
    maximize: bool,
    starts: bool,
    differentiable: bool,
) -> None:
    if maximize:
        grads = list(torch._foreach_neg(grads))
    if coupled_decay:
        grads = list(torch._foreach_add(grads, _kept(params, differentiable), alpha=coupled_decay))
    if starts:
        torch._foreach_addcmul_(exp_avg_sqs, grads, grads)
        return
    steps = list(torch._foreach_sqrt(exp_avg_sqs))
    scale_(exp_avg_sqs, beta2)
    torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - beta2)
    if differentiable:  # autograd needs the root again
        steps = list(torch._foreach_div(grads, torch._foreach_clamp_min(steps, eps)))
    else:
        torch._foreach_clamp_min_(steps, eps)
        # Gradients of our own making may go: caution only asks for their sign, which the quotient has as well.
        steps = _divide(grads, steps, keep_grads=not (coupled_decay or maximize))
    if clips:
        _clip_(steps, limits)
    torch._foreach_lerp_(exp_avgs, steps, 1 - beta1)
    if decays:
        scale_(params, keep)
    updates = _kept(exp_avgs, differentiable)
    if caution:
        add_cautiously_(params, updates, grads, -lr)
    else:
        add_scaled_(params, updates, -lr)


def _kept(tensors: list[Tensor], differentiable: bool) -> list[Tensor]:
    """`tensors`, or copies of them where autograd keeps what it is given beyond their next change."""
    return [tensor.clone() for tensor in tensors] if differentiable else tensors


def _divide(grads: list[Tensor], roots: list[Tensor], keep_grads: bool) -> list[Tensor]:
    """grads / roots in the memory of either: a new tensor would cost another pass."""
    if not keep_grads:
        torch._foreach_div_(grads, roots)
        return grads
    if len(roots) == 1:
        torch.div(grads[0], roots[0], out=roots[0])
    else:
        torch._foreach_reciprocal_(roots)
        torch._foreach_mul_(roots, grads)
    return roots


def _clip_(tensors: list[Tensor], limits: list[Number]) -> None:
    """Clip each tensor to -limit and limit."""
    upper: list[Any] = limits
    if len(tensors) == 1:
        tensors[0].clamp_(-upper[0], upper[0])  # one pass
    else:
        torch._foreach_clamp_max_(tensors, upper)
        torch._foreach_clamp_min_(tensors, [-limit for limit in upper])
