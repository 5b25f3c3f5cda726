"""LARS and LARC: SGD with a learning rate for each layer, in proportion to its weights over its gradient."""

from typing import Any, cast

import torch
from torch import Tensor

from ._fused import SMALLEST_GAIN, add_fused_sgd_
from ._helpers import check_hyperparameters
from ._rule import Number, RuleOptimizer, add_scaled_, apply_rule, fuses, is_readable, may_fuse, norms_of, scale_
from ._types import ParamsT

__all__ = ['Lars', 'lars']


class Lars(RuleOptimizer):
    """Layer-wise adaptive rate scaling, for SGD on batches of thousands.

    The gradient d, weight decay included, of each parameter w is multiplied by the trust ratio
    trust_coeff * |w| / (|gradient| + weight_decay * |w| + eps). Parameters that are not decayed take their plain
    gradient unless `always_adapt` is set.

    Args:
        dampening: Share of a new gradient kept out of the momentum.
        nesterov: Look one momentum step ahead; needs momentum and no dampening.
        trust_coeff: How far a layer may move at a learning rate of 1, as a share of the norm of its weights.
        trust_clip: LARC: no layer's rate exceeds the learning rate, so the ratio becomes min(ratio / lr, 1).
        always_adapt: Scale the gradient of undecayed parameters too.
        foreach: Apply the rule to all parameters at once, or with False to one at a time; None decides by device,
            and takes torch's fused SGD kernel on a CPU.

    Raises:
        ValueError: A hyper-parameter is out of its range, or `nesterov` lacks what it needs.

    Source: You et al., Large Batch Training of Convolutional Networks, arXiv:1708.03888, algorithm 1.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1.0,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        trust_coeff: float = 0.001,
        eps: float = 1e-8,
        trust_clip: bool = False,
        always_adapt: bool = False,
        foreach: bool | None = None,
    ) -> None:
        check_hyperparameters(lr=lr, momentum=momentum, weight_decay=weight_decay, trust_coeff=trust_coeff, eps=eps)
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
            trust_coeff=trust_coeff,
            eps=eps,
            trust_clip=trust_clip,
            always_adapt=always_adapt,
            foreach=foreach,
        )
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        momentum = group['momentum']
        momentum_buffers = [self.state[p].get('momentum_buffer') if momentum else None for p in params]
        names = (
            'foreach',
            'lr',
            'momentum',
            'dampening',
            'weight_decay',
            'nesterov',
            'trust_coeff',
            'eps',
            'trust_clip',
        )
        chosen = {name: group[name] for name in (*names, 'always_adapt')}
        lars(params, grads, momentum_buffers, **chosen)
        if momentum:
            for p, momentum_buffer in zip(params, momentum_buffers, strict=True):
                self.state[p]['momentum_buffer'] = momentum_buffer


def lars(
    params: list[Tensor],
    grads: list[Tensor],
    momentum_buffers: list[Tensor | None],
    foreach: bool | None = None,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    trust_coeff: float,
    eps: float,
    trust_clip: bool,
    always_adapt: bool,
) -> None:
    """One step of the rule on parallel lists, in place.

    Args:
        momentum_buffers: None marks a parameter's first step: the buffer made for it is put in the list.
    """
    gains = [1.0 if momentum_buffer is None else 1.0 - dampening for momentum_buffer in momentum_buffers]
    if momentum:
        for i, momentum_buffer in enumerate(momentum_buffers):
            if momentum_buffer is None:  # takes its first gradient undampened
                momentum_buffers[i] = torch.zeros_like(params[i], memory_format=torch.preserve_format)
    momenta = cast('list[Tensor]', momentum_buffers) if momentum else grads
    apply_rule(
        _lars,
        foreach,
        *(params, grads, momenta, gains),
        changing=dict(lr=lr),
        momentum=momentum,
        dampens=dampening != 0,
        weight_decay=weight_decay,
        nesterov=nesterov,
        trust_coeff=trust_coeff,
        eps=eps,
        trust_clip=trust_clip,
        adapts=always_adapt or weight_decay != 0,
        fusing=may_fuse(foreach),
    )


def _lars(
    params: list[Tensor],
    grads: list[Tensor],
    momenta: list[Tensor],
    gains: list[Number],
    lr: Number,
    momentum: float,
    dampens: bool,
    weight_decay: float,
    nesterov: bool,
    trust_coeff: float,
    eps: float,
    trust_clip: bool,
    adapts: bool,
    fusing: bool,
) -> None:
    """The rule; without momentum, `momenta` are not looked at."""
    ratios: list[Any] = [1.0] * len(params)
    if adapts:
        ratios = _trust_ratios(params, grads, lr, weight_decay, trust_coeff, eps, trust_clip)
    if fusing and fuses([lr, *ratios, *gains], params, grads, momenta):
        columns = (params, grads, momenta if momentum else None)
        numbers = (float(lr), ratios[0], float(gains[0]))
        if _fused_lars(*columns, *numbers, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov):
            return
    updates = list(torch._foreach_add(grads, params, alpha=weight_decay)) if weight_decay else grads
    if adapts:
        updates = list(torch._foreach_mul(updates, ratios))
    if momentum:
        taken: Any = gains
        scale_(momenta, momentum)
        torch._foreach_add_(momenta, list(torch._foreach_mul(updates, taken)) if dampens else updates)
        updates = list(torch._foreach_add(updates, momenta, alpha=momentum)) if nesterov else momenta
    add_scaled_(params, updates, -lr)


def _trust_ratios(
    params: list[Tensor],
    grads: list[Tensor],
    lr: Number,
    weight_decay: float,
    trust_coeff: float,
    eps: float,
    clip: bool,
) -> list[Any]:
    """The trust ratio of each parameter, 1 where weights or gradient are zero; as a number where it can be read."""
    weight_norms, grad_norms = (norms_of(tensors) for tensors in (params, grads))
    if is_readable(weight_norms[0]):
        ratios = [
            trust_coeff * w / (g + weight_decay * w + eps) if w and g else 1.0
            for w, g in ((w.item(), g.item()) for w, g in zip(weight_norms, grad_norms, strict=True))
        ]
        return [min(ratio / lr, 1.0) if lr else 1.0 for ratio in ratios] if clip else ratios
    weights, gradients = torch.stack(weight_norms), torch.stack(grad_norms)
    ratios = trust_coeff * weights / (gradients + weight_decay * weights + eps)
    ratios = torch.where((weights > 0) & (gradients > 0), ratios, 1.0)
    return list(((ratios / lr).clamp_(max=1.0) if clip else ratios).unbind())


def _fused_lars(
    params: list[Tensor],
    grads: list[Tensor],
    momenta: list[Tensor] | None,
    lr: float,
    ratio: float,
    gain: float,
    *,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> bool:
    """The rule for one parameter by torch's SGD kernel; False where that would lose digits."""
    rate, left = -lr * ratio, 1.0
    if nesterov or momenta is None:
        left = 1 - lr * ratio * weight_decay
        if left < 0.5:
            return False
    if momenta is None:
        add_fused_sgd_(params, grads, None, rate, weight_decay)
        return True
    gain = gain * ratio / left
    if gain < SMALLEST_GAIN:
        return False
    if nesterov:
        # The part of the gradient itself first. It leaves (d / left) of d = gradient + weight_decay * weights in
        # terms of the new weights, hence the division above.
        add_fused_sgd_(params, grads, None, rate, weight_decay)
        add_fused_sgd_(params, grads, momenta, -lr * momentum, weight_decay, momentum, gain)
    else:
        add_fused_sgd_(params, grads, momenta, -lr, weight_decay, momentum, gain)
    return True
