"""SGD with momentum and decoupled weight decay."""

from typing import Any, cast

import torch
from torch import Tensor

from ._fused import SMALLEST_GAIN, add_fused_sgd_
from ._helpers import check_hyperparameters, decay_scale, options, peak_lr
from ._rule import Number, RuleOptimizer, add_scaled_, apply_rule, cautious_, fuses, may_fuse, scale_
from ._types import ParamsT

__all__ = ['SGDW', 'sgdw']

has_recent_pt = True  # published; what it asks of torch is long there


class SGDW(RuleOptimizer):
    """Stochastic gradient descent whose weight decay shrinks the weights directly and stays out of the momentum.

    Args:
        dampening: Share of a new gradient kept out of the momentum.
        nesterov: Look one momentum step ahead; needs momentum and no dampening.
        caution: Leave out the parts of an update that the gradient contradicts.
        corrected_weight_decay: Decay by lr^2 / max lr instead of lr.
        foreach: Apply the rule to all parameters at once; None decides by device.
        differentiable: Let autograd see the step.

    Raises:
        ValueError: A hyper-parameter is out of its range, or `nesterov` lacks what it needs.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization, arXiv:1711.05101, algorithm 1.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        caution: bool = False,
        corrected_weight_decay: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
    ) -> None:
        check_hyperparameters(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                f'nesterov=True needs momentum > 0 and dampening=0, not momentum={momentum}, dampening={dampening}.'
            )
        defaults = dict(
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            caution=caution,
            corrected_weight_decay=corrected_weight_decay,
            max_lr_snapshot=peak_lr(lr, corrected_weight_decay),
            maximize=maximize,
            foreach=foreach,
            differentiable=differentiable,
        )
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        momentum_buffers = [self.state[p].get('momentum_buffer') for p in params]
        names = ('foreach', 'weight_decay', 'momentum', 'lr', 'dampening', 'nesterov', 'caution', 'maximize')
        sgdw(params, grads, momentum_buffers, **options(group, *names))
        if group['momentum']:
            for p, momentum_buffer in zip(params, momentum_buffers, strict=True):
                self.state[p]['momentum_buffer'] = momentum_buffer


def sgdw(
    params: list[Tensor],
    grads: list[Tensor],
    momentum_buffer_list: list[Tensor | None],
    has_sparse_grad: bool | None = None,
    foreach: bool | None = None,
    *,
    weight_decay: float,
    momentum: float,
    lr: float,
    dampening: float,
    nesterov: bool,
    caution: bool,
    maximize: bool,
    max_lr: float | None = None,
) -> None:
    """One step of the rule on parallel lists, in place.

    Args:
        momentum_buffer_list: None marks a parameter's first step: the buffer made for it is put in the list.
        has_sparse_grad: Must not be True: a decay that touches every weight has no sparse form.
        max_lr: Turns the corrected decay on.
    """
    if has_sparse_grad:
        raise ValueError('has_sparse_grad=True is not supported: SGDW needs dense gradients.')
    fresh = {i for i, momentum_buffer in enumerate(momentum_buffer_list) if momentum_buffer is None}
    for first_step in (True, False):
        rows = [i for i in range(len(params)) if (i in fresh) is first_step]
        if momentum and first_step:
            for i in rows:  # a momentum starts with its first gradient, undampened
                momentum_buffer_list[i] = -grads[i].detach() if maximize else grads[i].detach().clone()
        momenta = momentum_buffer_list if momentum else grads
        columns = ([cast('Tensor', column[i]) for i in rows] for column in (params, grads, momenta))
        apply_rule(
            _sgdw,
            foreach,
            *columns,
            changing=dict(lr=lr, keep=1 - weight_decay * decay_scale(lr, max_lr)),
            momentum=momentum,
            carry=0.0 if first_step else momentum,
            dampening=dampening,
            decays=weight_decay != 0,
            nesterov=nesterov,
            caution=caution,
            maximize=maximize,
            fusing=may_fuse(foreach) and not caution and 1 - dampening >= SMALLEST_GAIN,
        )


def _sgdw(
    params: list[Tensor],
    grads: list[Tensor],
    momenta: list[Tensor],
    lr: Number,
    keep: Number,
    momentum: float,
    carry: float,
    dampening: float,
    decays: bool,
    nesterov: bool,
    caution: bool,
    maximize: bool,
    fusing: bool,
) -> None:
    """The rule, for momenta that take part of the gradient (`carry` is `momentum`) or hold it already (0)."""
    if maximize:
        grads = list(torch._foreach_neg(grads))
    if fusing and carry and fuses([lr, keep], params, grads, momenta):
        if decays:
            scale_(params, keep)
        add_fused_sgd_(params, grads, momenta, -float(lr), 0.0, carry, 1 - dampening, nesterov)
        return
    updates = momenta if momentum else grads
    if carry:
        scale_(momenta, carry)
        torch._foreach_add_(momenta, grads, alpha=1 - dampening)
    if momentum and nesterov:
        updates = list(torch._foreach_add(grads, momenta, alpha=momentum))
    elif caution:
        updates = [update.clone() for update in updates]
    if caution:
        cautious_(updates, grads)
    if decays:
        scale_(params, keep)
    add_scaled_(params, updates, -lr)
