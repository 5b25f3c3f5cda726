"""AdaBelief: Adam that divides by how far gradients are from what the momentum expects."""

from typing import Any

import torch
from torch import Tensor

from ._fused import add_fused_adam_
from ._helpers import check_hyperparameters, restore_dtypes, rows_alike, state_tensor
from ._rule import Number, RuleOptimizer, add_ratio_, apply_rule, fuses, in_dtype_of, may_fuse, scale_, shift_
from ._types import ParamsT
from .radam import TRUSTED_LENGTH, moving_average, rectified_step

__all__ = ['AdaBelief', 'adabelief']


class AdaBelief(RuleOptimizer):
    """Adam whose second moment is that of gradient minus momentum: long steps where gradients come as expected.

    Moments of half-precision parameters are float32.

    Args:
        eps: Added to the second moment in each step, and once more to its root.
        amsgrad: Divide by the largest second moment so far instead of the present one.
        decoupled_decay: Shrink the weights directly instead of adding the decay to the gradient.
        fixed_decay: With `decoupled_decay`, by `weight_decay` itself instead of lr * weight_decay.
        rectify: Rectify the step as RAdam does.
        degenerated_to_sgd: With `rectify`, step like momentum while the second moment rests on too few gradients;
            else stand still.
        foreach: Apply the rule to all parameters at once, or with False to one at a time; None decides by device,
            and takes torch's fused Adam kernel for part of the work on a CPU.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Zhuang et al., AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients,
    arXiv:2010.07468, algorithm 2.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0,
        amsgrad: bool = False,
        decoupled_decay: bool = True,
        fixed_decay: bool = False,
        rectify: bool = True,
        degenerated_to_sgd: bool = True,
        foreach: bool | None = None,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay)
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            degenerated_to_sgd=degenerated_to_sgd,
            decoupled_decay=decoupled_decay,
            rectify=rectify,
            fixed_decay=fixed_decay,
            foreach=foreach,
        )
        super().__init__(params, defaults)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a saved state; the moments keep their dtype."""
        super().load_state_dict(state_dict)
        restore_dtypes(self, state_dict)

    @torch.no_grad()
    def reset(self) -> None:
        """Start over: no steps taken, all moments zero."""
        for group in self.param_groups:
            for p in group['params']:
                self.state[p] = {'step': 0}
            self._moments(group, group['params'])

    def _moments(self, group: dict[str, Any], params: list[Tensor]) -> list[list[Tensor]]:
        """The running tensors of `params`, name by name: mean, variance and with amsgrad its maximum."""
        names = ('exp_avg', 'exp_avg_var', *(('max_exp_avg_var',) if group['amsgrad'] else ()))
        wide = [torch.promote_types(p.dtype, torch.float32) for p in params]
        return [
            [state_tensor([self.state[p]], [p], name, dtype)[0] for p, dtype in zip(params, wide, strict=True)]
            for name in names
        ]

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        states = [self.state[p] for p in params]
        beta1, beta2 = group['betas']
        for state in states:
            state['step'] = state.get('step', 0) + 1
        counts = [state['step'] for state in states]
        exp_avgs, exp_avg_vars, *maxima = self._moments(group, params)
        rectified = None
        if group['rectify']:
            rectified = []
            for count in counts:
                length, _ = moving_average(count, beta2)
                stands_still = length < TRUSTED_LENGTH and not group['degenerated_to_sgd']
                rectified.append((length, -1 if stands_still else rectified_step(count, beta1, beta2)))
        names = ('foreach', 'lr', 'eps', 'weight_decay', 'amsgrad', 'decoupled_decay', 'fixed_decay')
        adabelief(
            params,
            grads,
            exp_avgs,
            exp_avg_vars,
            maxima[0] if maxima else [],
            [1 - beta1**count for count in counts],
            [1 - beta2**count for count in counts],
            rectified,
            beta1=beta1,
            beta2=beta2,
            **{name: group[name] for name in names},
        )


def adabelief(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_vars: list[Tensor],
    max_exp_avg_vars: list[Tensor],
    bias_corrections1: list[float],
    bias_corrections2: list[float],
    rectified: list[tuple[float, float]] | None,
    foreach: bool | None = None,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    amsgrad: bool,
    decoupled_decay: bool,
    fixed_decay: bool,
) -> None:
    """One step of the rule on parallel lists, in place.

    Args:
        max_exp_avg_vars: Largest variances so far; not looked at without `amsgrad`.
        bias_corrections1: What each mean is divided by.
        bias_corrections2: What each variance is divided by.
        rectified: Per parameter the length of the moving average that its variance amounts to, and its step over
            `lr`, which holds both bias corrections; a negative step stands still. None does not rectify.
    """
    if rectified is None:
        adapts = [True] * len(params)
        roots = [correction**0.5 for correction in bias_corrections2]
        factors = [-lr * root / correction for root, correction in zip(roots, bias_corrections1, strict=True)]
    else:
        adapts = [length >= TRUSTED_LENGTH for length, _ in rectified]
        roots = [1.0] * len(params)  # the step holds the correction, eps does not
        factors = [-lr * max(step, 0.0) for _, step in rectified]
    maxima: list[Any] = max_exp_avg_vars if amsgrad else [None] * len(params)
    columns = (params, grads, exp_avgs, exp_avg_vars, maxima, factors, [eps * root for root in roots])
    for adapting, rows in rows_alike(adapts).items():
        apply_rule(
            _adabelief,
            foreach,
            *([column[i] for i in rows] for column in columns),
            changing=dict(keep=1 - weight_decay * (1.0 if fixed_decay else lr)),
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            coupled_decay=0.0 if decoupled_decay else weight_decay,
            decays=decoupled_decay and weight_decay != 0,
            amsgrad=amsgrad,
            adapts=adapting,
            fusing=may_fuse(foreach) and adapting and not amsgrad and beta2 > 0,
        )


def _adabelief(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_vars: list[Tensor],
    maxima: list[Tensor],
    factors: list[Number],
    floors: list[Number],
    keep: Number,
    beta1: float,
    beta2: float,
    eps: float,
    coupled_decay: float,
    decays: bool,
    amsgrad: bool,
    adapts: bool,
    fusing: bool,
) -> None:
    targets, grads = in_dtype_of(exp_avgs, params), in_dtype_of(exp_avgs, grads)
    if coupled_decay:
        grads = list(torch._foreach_add(grads, targets, alpha=coupled_decay))
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
    surprises = list(torch._foreach_sub(grads, exp_avgs))
    if fusing and fuses([*factors, *floors, keep], targets, surprises, exp_avgs, exp_avg_vars):
        torch._foreach_add_(exp_avg_vars, eps / beta2)  # of which eps is left after the kernel's decay
        numbers = (float(factors[0]), float(floors[0]), float(keep) if decays else 1.0)
        add_fused_adam_(targets, surprises, exp_avgs, exp_avg_vars, 1.0, beta2, *numbers)
    else:
        scale_(exp_avg_vars, beta2)
        torch._foreach_addcmul_(exp_avg_vars, surprises, surprises, 1 - beta2)
        torch._foreach_add_(exp_avg_vars, eps)
        if amsgrad:
            torch._foreach_maximum_(maxima, exp_avg_vars)
        if decays:
            scale_(targets, keep)
        if adapts:
            denominators = list(torch._foreach_sqrt(maxima if amsgrad else exp_avg_vars))
            shift_(denominators, floors)
            add_ratio_(targets, exp_avgs, denominators, factors)
        else:
            each: Any = factors
            torch._foreach_add_(targets, list(torch._foreach_mul(exp_avgs, each)))
    if targets[0] is not params[0]:
        torch._foreach_copy_(params, targets)
