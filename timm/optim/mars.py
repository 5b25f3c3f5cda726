"""MARS: Adam or Lion on gradients of which the noise common to successive steps is taken away."""

from typing import Any

import torch
from torch import Tensor

from ._helpers import check_hyperparameters, state_tensor
from ._rule import (
    Number,
    RuleOptimizer,
    add_normalized_,
    add_scaled_,
    apply_rule,
    cautious_,
    is_readable,
    may_fuse,
    norms_of,
    scale_,
)
from ._types import ParamsT

__all__ = ['Mars', 'ParamsT']

MARS_TYPES = ('adamw', 'lion')


class Mars(RuleOptimizer):
    """Make variance reduction shine: a gradient is corrected by what it changed since the last step.

    With g the gradient and g' the last one, c = g + gamma * beta1 / (1 - beta1) * (g - g'), cut to a norm of 1, takes
    the place of the gradient in AdamW or Lion. This is the approximate form, one gradient a step.

    Args:
        gamma: Weight of the correction.
        mars_type: 'adamw', or 'lion' for the sign of the momentum.
        optimize_1d: Treat vectors and scalars alike; otherwise they take AdamW on the plain gradient.
        lr_1d_factor: Learning rate of these over the others'.
        betas_1d: Betas of these; None takes `betas`.
        caution: Leave out the parts of an update that the gradient contradicts. The sign of Lion is not scaled up to
            make good for them.

    Raises:
        ValueError: A hyper-parameter is out of its range, or `mars_type` unknown.

    Source: Yuan et al., MARS: Unleashing the Power of Variance Reduction for Training Large Models, arXiv:2411.10438,
    algorithms 2 and 3.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        gamma: float = 0.025,
        mars_type: str = 'adamw',
        optimize_1d: bool = False,
        lr_1d_factor: float = 1.0,
        betas_1d: tuple[float, float] | None = None,
        caution: bool = False,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay, gamma=gamma, lr_1d_factor=lr_1d_factor)
        check_hyperparameters(betas_1d)
        if mars_type not in MARS_TYPES:
            raise ValueError(f'mars_type={mars_type!r} is not known: give one of {MARS_TYPES}.')
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            mars_type=mars_type,
            gamma=gamma,
            optimize_1d=optimize_1d,
            lr_1d_factor=lr_1d_factor,
            betas_1d=betas_1d or betas,
            caution=caution,
        )
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        states = [self.state[p] for p in params]
        for state, grad in zip(states, grads, strict=True):
            state['step'] = state.get('step', 0) + 1
            if 'last_grad' not in state:  # no change yet, and so no correction
                state['last_grad'] = grad.clone()
        exp_avgs, exp_avg_sqs = (state_tensor(states, params, name) for name in ('exp_avg', 'exp_avg_sq'))
        last_grads = [state['last_grad'] for state in states]
        for reduces in (True, False):
            rows = [i for i, p in enumerate(params) if (group['optimize_1d'] or p.ndim > 1) is reduces]
            lr = group['lr'] if reduces else group['lr'] * group['lr_1d_factor']
            beta1, beta2 = group['betas'] if reduces else group['betas_1d']
            # With these, m / bc1 / (sqrt(v / bc2) + eps) becomes m * factor / (sqrt(v) + floor).
            roots = [(1 - beta2 ** states[i]['step']) ** 0.5 for i in rows]
            factors = [root / (1 - beta1 ** states[i]['step']) for root, i in zip(roots, rows, strict=True)]
            apply_rule(
                _mars,
                None,
                *([column[i] for i in rows] for column in (params, grads, last_grads, exp_avgs, exp_avg_sqs)),
                *(factors, [group['eps'] * root for root in roots]),
                changing=dict(lr=lr, keep=1 - lr * group['weight_decay']),
                beta1=beta1,
                beta2=beta2,
                decays=group['weight_decay'] != 0,
                gain=group['gamma'] * beta1 / (1 - beta1) if reduces else None,
                signs=reduces and group['mars_type'] == 'lion',
                caution=group['caution'],
                fusing=may_fuse(None),
            )


def _mars(
    params: list[Tensor],
    grads: list[Tensor],
    last_grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    factors: list[Number],
    floors: list[Number],
    lr: Number,
    keep: Number,
    beta1: float,
    beta2: float,
    decays: bool,
    gain: float | None,
    signs: bool,
    caution: bool,
    fusing: bool,
) -> None:
    """The rule; a `gain` of None leaves gradients as they are."""
    corrected = grads if gain is None else _corrected(grads, last_grads, gain)
    torch._foreach_copy_(last_grads, grads)
    torch._foreach_lerp_(exp_avgs, corrected, 1 - beta1)
    if signs:
        updates = [exp_avg.clone() for exp_avg in exp_avgs]
        if caution:
            cautious_(updates, grads)
        torch._foreach_sign_(updates)
        if decays:
            scale_(params, keep)
        add_scaled_(params, updates, -lr)
        return
    normalize: dict[str, Any] = dict(beta2=beta2, floors=floors, fusing=fusing)
    if caution:
        updates = [torch.zeros_like(p) for p in params]
        add_normalized_(updates, exp_avgs, corrected, exp_avg_sqs, factors=factors, **normalize)
        cautious_(updates, grads)
        if decays:
            scale_(params, keep)
        add_scaled_(params, updates, -lr)
    else:
        rates = [-lr * factor for factor in factors]
        add_normalized_(params, exp_avgs, corrected, exp_avg_sqs, factors=rates, keep=keep, **normalize)


def _corrected(grads: list[Tensor], last_grads: list[Tensor], gain: float) -> list[Tensor]:
    """Gradients gone on in the direction they took since the last ones, and cut to a norm of 1."""
    corrected = list(torch._foreach_lerp(last_grads, grads, 1 + gain))
    norms = norms_of(corrected)
    if is_readable(norms[0]):
        for tensor, norm in zip(corrected, norms, strict=True):
            if norm.item() > 1:
                tensor.div_(norm)
    else:
        torch._foreach_div_(corrected, list(torch._foreach_clamp_min(norms, 1.0)))
    return corrected
