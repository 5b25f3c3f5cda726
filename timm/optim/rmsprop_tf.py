"""RMSprop as TensorFlow has it, on which EfficientNet and its kin were trained."""

from typing import Any

import torch
from torch import Tensor

from ._helpers import (
    add_to_all_,
    check_hyperparameters,
    count_tensors,
    decay_scale,
    options,
    peak_lr,
    state_tensor,
)
from ._rule import Number, RuleOptimizer, add_scaled_, apply_rule, cautious_, scale_, shift_
from ._types import ParamsT

__all__ = ['ParamsT', 'RMSpropTF', 'rmsprop_tf']


class RMSpropTF(RuleOptimizer):
    """Gradients over the root of their mean square, with eps under the root and a mean square that starts at 1.

    Both are what sets TensorFlow's form apart from torch's: steps are small at the start, and a large `eps` such as
    1e-3 is in common use.

    Args:
        alpha: Decay of the mean square.
        centered: Take the square of the mean gradient from the mean square, which leaves the variance.
        decoupled_decay: Shrink the weights directly instead of adding the decay to the gradient.
        corrected_weight_decay: With `decoupled_decay`, decay by lr^2 / max lr instead of lr.
        lr_in_momentum: The momentum gathers steps, learning rate included, so that a new rate does not reach those
            that are under way; otherwise the rate multiplies the momentum.
        caution: Leave out the parts of an update that the gradient contradicts.
        foreach: Apply the rule to all parameters at once; None decides by device.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Tieleman and Hinton, Lecture 6.5 of Neural Networks for Machine Learning, 2012; centered: Graves,
    Generating Sequences With Recurrent Neural Networks, arXiv:1308.0850, equations 38 to 41.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        alpha: float = 0.9,
        eps: float = 1e-10,
        weight_decay: float = 0,
        momentum: float = 0.0,
        centered: bool = False,
        decoupled_decay: bool = False,
        corrected_weight_decay: bool = False,
        lr_in_momentum: bool = True,
        caution: bool = False,
        foreach: bool | None = None,
    ) -> None:
        check_hyperparameters(lr=lr, eps=eps, weight_decay=weight_decay, momentum=momentum)
        if not 0 <= alpha <= 1:
            raise ValueError(f'alpha={alpha} is not allowed: give a number of [0, 1].')
        defaults = dict(
            lr=lr,
            momentum=momentum,
            alpha=alpha,
            eps=eps,
            centered=centered,
            weight_decay=weight_decay,
            decoupled_decay=decoupled_decay,
            corrected_weight_decay=corrected_weight_decay,
            max_lr_snapshot=peak_lr(lr, corrected_weight_decay),
            lr_in_momentum=lr_in_momentum,
            caution=caution,
            foreach=foreach,
        )
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        states = [self.state[p] for p in params]
        steps = count_tensors(states, params)
        for state, p in zip(states, params, strict=True):
            if 'square_avg' not in state:
                state['square_avg'] = torch.ones_like(p, memory_format=torch.preserve_format)
        square_avgs = [state['square_avg'] for state in states]
        momenta = state_tensor(states, params, 'momentum_buffer') if group['momentum'] else []
        grad_avgs = state_tensor(states, params, 'grad_avg') if group['centered'] else []
        names = ('foreach', 'lr', 'alpha', 'eps', 'weight_decay', 'momentum', 'centered', 'decoupled_decay')
        chosen = options(group, *names, 'lr_in_momentum', 'caution')
        rmsprop_tf(params, grads, square_avgs, grad_avgs, momenta, steps, **chosen)


def rmsprop_tf(
    params: list[Tensor],
    grads: list[Tensor],
    square_avgs: list[Tensor],
    grad_avgs: list[Tensor],
    momentum_buffers: list[Tensor],
    state_steps: list[Tensor],
    foreach: bool | None = None,
    *,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    centered: bool,
    decoupled_decay: bool,
    max_lr: float | None,
    lr_in_momentum: bool,
    caution: bool,
) -> None:
    """One step of the rule on parallel lists, in place.

    Args:
        grad_avgs: Mean gradients; not looked at unless `centered`.
        momentum_buffers: Not looked at without `momentum`.
        state_steps: Counted up; the rule has no use for them.
        max_lr: Turns the corrected decay on.
    """
    add_to_all_(state_steps, 1)
    apply_rule(
        _rmsprop_tf,
        foreach,
        *(params, grads, square_avgs),
        *(grad_avgs if centered else [None] * len(params), momentum_buffers if momentum else [None] * len(params)),
        scope='tensor' if caution else 'element',
        changing=dict(lr=lr, keep=1 - weight_decay * decay_scale(lr, max_lr)),
        alpha=alpha,
        eps=eps,
        coupled_decay=0.0 if decoupled_decay else weight_decay,
        decoupled_decays=decoupled_decay and weight_decay != 0,
        momentum=momentum,
        centered=centered,
        lr_in_momentum=lr_in_momentum,
        caution=caution,
    )


def _rmsprop_tf(
    params: list[Tensor],
    grads: list[Tensor],
    square_avgs: list[Tensor],
    grad_avgs: list[Tensor],
    momenta: list[Tensor],
    lr: Number,
    keep: Number,
    alpha: float,
    eps: float,
    coupled_decay: float,
    decoupled_decays: bool,
    momentum: float,
    centered: bool,
    lr_in_momentum: bool,
    caution: bool,
) -> None:
    if decoupled_decays:
        scale_(params, keep)
    elif coupled_decay:
        grads = list(torch._foreach_add(grads, params, alpha=coupled_decay))
    scale_(square_avgs, alpha)
    torch._foreach_addcmul_(square_avgs, grads, grads, 1 - alpha)
    if centered:
        torch._foreach_lerp_(grad_avgs, grads, 1 - alpha)
        scales = list(torch._foreach_addcmul(square_avgs, grad_avgs, grad_avgs, -1))
        torch._foreach_clamp_min_(scales, 0.0)  # rounding can take the difference below
        shift_(scales, eps)
    else:
        scales = list(torch._foreach_add(square_avgs, eps))
    torch._foreach_rsqrt_(scales)  # one over the root and a product: a CPU is slower at a root and a quotient
    rate = lr
    if momentum:
        scale_(momenta, momentum)
        _add_product_(momenta, grads, scales, lr if lr_in_momentum else 1.0)
        updates = momenta
        rate = 1.0 if lr_in_momentum else lr
    elif caution:
        updates = list(torch._foreach_mul(grads, scales))
    else:
        _add_product_(params, grads, scales, -lr)
        return
    if caution:
        updates = [update.clone() for update in updates] if momentum else updates
        cautious_(updates, grads)
    add_scaled_(params, updates, -rate)


def _add_product_(tensors: list[Tensor], factors: list[Tensor], others: list[Tensor], scale: Number) -> None:
    """tensors += scale * factors * others."""
    if isinstance(scale, Tensor):
        torch._foreach_addcmul_(tensors, list(torch._foreach_mul(factors, scale)), others)
    else:
        torch._foreach_addcmul_(tensors, factors, others, scale)
