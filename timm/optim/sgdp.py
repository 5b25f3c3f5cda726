"""SGDP: SGD whose updates leave the norm of scale-invariant weights alone."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.optimizer import required

from ._fused import add_fused_sgd_
from ._helpers import check_hyperparameters, state_tensor
from ._rule import Number, RuleOptimizer, apply_rule, fuses, may_fuse
from ._types import ParamsT
from .adamp import find_tangents, has_rows, projection, step_tangent_

__all__ = ['SGDP', 'projection', 'required']


class SGDP(RuleOptimizer):
    """SGD with momentum that takes from an update its part along the weights, where their length has no effect.

    See AdamP for the reason. The momentum starts at zero; weights decay by lr * weight_decay / (1 - momentum).

    Args:
        lr: Must be given, here or in each group.
        dampening: Share of a new gradient kept out of the momentum.
        nesterov: Look one momentum step ahead.
        eps: Least length of a vector when angles are measured.
        delta: The gradient counts as at a right angle where cos(gradient, weights) < delta / sqrt(elements), for each
            row (output channel) by itself or else for the whole tensor.
        wd_ratio: What the decay of such weights is multiplied by.
        caution: Leave out the parts of an update that the gradient contradicts.

    Raises:
        ValueError: A hyper-parameter is out of its range, or there is no `lr`.

    Source: Heo et al., AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights,
    arXiv:2006.08217, algorithm 1.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = cast('float', required),
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        eps: float = 1e-8,
        delta: float = 0.1,
        wd_ratio: float = 0.1,
        caution: bool = False,
    ) -> None:
        check_hyperparameters(
            lr=None if lr is required else lr, weight_decay=weight_decay, eps=eps, delta=delta, wd_ratio=wd_ratio
        )
        if not 0 <= momentum < 1:
            raise ValueError(f'momentum={momentum} is not allowed: give a number of [0, 1).')
        defaults = dict(
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            eps=eps,
            delta=delta,
            wd_ratio=wd_ratio,
            caution=caution,
        )
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        momenta = state_tensor([self.state[p] for p in params], params, 'momentum')
        for projects in (True, False):  # vectors and scalars have no rows to turn
            rows = [i for i, p in enumerate(params) if has_rows(p) is projects]
            apply_rule(
                _sgdp,
                None,
                *([column[i] for i in rows] for column in (params, grads, momenta)),
                changing=dict(lr=group['lr'], decay=group['lr'] * group['weight_decay'] / (1 - group['momentum'])),
                scope='shape' if projects else 'tensor',
                momentum=group['momentum'],
                gain=1 - group['dampening'],
                nesterov=group['nesterov'],
                eps=group['eps'],
                delta=group['delta'] if projects else None,
                wd_ratio=group['wd_ratio'],
                caution=group['caution'],
                fusing=may_fuse(None) and group['momentum'] > 0 and not group['caution'],
            )


def _sgdp(
    params: list[Tensor],
    grads: list[Tensor],
    momenta: list[Tensor],
    lr: Number,
    decay: Number,
    momentum: float,
    gain: float,
    nesterov: bool,
    eps: float,
    delta: float | None,
    wd_ratio: float,
    caution: bool,
    fusing: bool,
) -> None:
    """The rule; with a `delta` of None nothing is projected."""
    tangents = None if delta is None else find_tangents(params, grads, delta, wd_ratio, eps)
    if tangents is None and fusing and fuses([lr, decay], params, grads, momenta):
        if decay:
            torch._foreach_mul_(params, 1 - decay)
        add_fused_sgd_(params, grads, momenta, -float(lr), 0.0, momentum, gain, nesterov)
        return
    torch._foreach_mul_(momenta, momentum)
    torch._foreach_add_(momenta, grads, alpha=gain)
    updates = momenta
    if nesterov:
        updates = list(torch._foreach_add(grads, momenta, alpha=momentum))
    elif caution:
        updates = [update.clone() for update in momenta]
    step_tangent_(params, grads, updates, tangents, lr, decay, caution)
