"""Lion: the sign of a momentum as the update."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from ._helpers import (
    batches,
    cautious_,
    check_hyperparameters,
    complete_groups,
    decay_scale,
    evaluate,
    gather,
    options,
    state_tensor,
    use_foreach,
)
from ._types import ParamsT

__all__ = ['Lion', 'lion']


class Lion(Optimizer):
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
            max_lr_snapshot=float(lr),
            foreach=foreach,
            maximize=maximize,
        )
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        complete_groups(self)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters once; returns the loss when a closure computes it."""
        loss = evaluate(closure)
        for group in self.param_groups:
            params, grads = gather(group, 'Lion')
            states = [self.state[p] for p in params]
            beta1, beta2 = group['betas']
            exp_avgs = state_tensor(states, params, 'exp_avg')
            chosen = options(group, 'maximize', 'foreach', 'lr', 'weight_decay', 'caution')
            lion(params, grads, exp_avgs, beta1=beta1, beta2=beta2, **chosen)
        return loss


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
    decay = weight_decay * decay_scale(lr, max_lr)
    for weights, slopes, averages in batches(use_foreach(foreach, params), params, grads, exp_avgs):
        if maximize:
            slopes = list(torch._foreach_neg(slopes))
        updates = torch._foreach_lerp(averages, slopes, 1 - beta1)
        torch._foreach_sign_(updates)
        torch._foreach_lerp_(averages, slopes, 1 - beta2)
        if caution:
            cautious_(updates, slopes)
        if decay:
            torch._foreach_mul_(weights, 1 - decay)
        torch._foreach_add_(weights, updates, alpha=-lr)
