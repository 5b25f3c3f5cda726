"""LAMB: Adam's update, scaled layer by layer to the size of the weights."""

from typing import Any

import torch
from torch import Tensor

from ._fused import add_fused_adam_
from ._helpers import check_hyperparameters, decay_scale, options, peak_lr, state_tensor
from ._rule import Number, RuleOptimizer, add_ratio_, add_scaled_, apply_rule, cautious_, fuses, scale_, shift_
from ._types import ParamsT

__all__ = ['Lamb', 'lamb']


class Lamb(RuleOptimizer):
    """Layer-wise adaptive moments for batches of tens of thousands.

    Gradients are first clipped by their norm over all groups. Parameters that are not decayed take Adam's plain
    update unless `always_adapt` is set.

    Args:
        bias_correction: Correct both moments for their start at zero.
        grad_averaging: Weigh a new gradient in the first moment by 1 - beta1 instead of 1.
        max_grad_norm: Norm to clip to; None does not clip.
        trust_clip: Let the trust ratio only shrink an update.
        always_adapt: Scale the update of undecayed parameters too.
        caution: Leave out the parts of an update that the gradient contradicts.
        decoupled_decay: Shrink the weights directly instead of adding the decay to the update.
        corrected_weight_decay: With `decoupled_decay`, decay by lr^2 / max lr instead of lr.
        foreach: Apply the rule to all parameters at once, or with False to one at a time; None decides by device,
            and takes torch's fused Adam kernel for part of the work on a CPU.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: You et al., Large Batch Optimization for Deep Learning: Training BERT in 76 minutes, arXiv:1904.00962,
    algorithm 2.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        bias_correction: bool = True,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        grad_averaging: bool = True,
        max_grad_norm: float | None = 1.0,
        trust_clip: bool = False,
        always_adapt: bool = False,
        caution: bool = False,
        decoupled_decay: bool = False,
        corrected_weight_decay: bool = False,
        foreach: bool | None = None,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay, max_grad_norm=max_grad_norm)
        defaults = dict(
            lr=lr,
            bias_correction=bias_correction,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            grad_averaging=grad_averaging,
            max_grad_norm=max_grad_norm,
            trust_clip=trust_clip,
            always_adapt=always_adapt,
            caution=caution,
            decoupled_decay=decoupled_decay,
            corrected_weight_decay=corrected_weight_decay,
            max_lr_snapshot=peak_lr(lr, corrected_weight_decay),
            foreach=foreach,
        )
        super().__init__(params, defaults)

    def update_all(self, work: list[tuple[dict[str, Any], list[Tensor], list[Tensor]]]) -> None:
        """Take the norm over all groups, then apply the rule to each."""
        norm = _global_norm([grad for _, _, grads in work for grad in grads])
        for group, params, grads in work:
            self._update(group, params, grads, norm)

    def _update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], norm: Tensor | None) -> None:
        # A tensor, and a new one each time, so that state dicts taken earlier keep their count.
        group['step'] = torch.as_tensor(group.get('step', 0.0), dtype=torch.float32) + 1
        step = float(group['step'])
        limit = group['max_grad_norm']
        states = [self.state[p] for p in params]
        beta1, beta2 = group['betas']
        corrects = group['bias_correction']
        exp_avgs, exp_avg_sqs = (state_tensor(states, params, name) for name in ('exp_avg', 'exp_avg_sq'))
        names = ('foreach', 'lr', 'eps', 'weight_decay', 'decoupled_decay', 'trust_clip', 'always_adapt', 'caution')
        lamb(
            params,
            grads,
            exp_avgs,
            exp_avg_sqs,
            clip_grad_norm=None if norm is None or limit is None else (norm / limit).clamp_(min=1.0),
            beta1=beta1,
            beta2=beta2,
            beta3=1 - beta1 if group['grad_averaging'] else 1.0,
            bias_correction1=1 - beta1**step if corrects else 1.0,
            bias_correction2=1 - beta2**step if corrects else 1.0,
            **options(group, *names),
        )


def _global_norm(grads: list[Tensor]) -> Tensor | None:
    """Euclidean norm over all elements of `grads`; None when there are none."""
    return torch.nn.utils.get_total_norm(grads) if grads else None


def lamb(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    clip_grad_norm: Tensor | None = None,
    foreach: bool | None = None,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    beta3: float,
    bias_correction1: float,
    bias_correction2: float,
    eps: float,
    weight_decay: float,
    decoupled_decay: bool,
    max_lr: float | None,
    trust_clip: bool,
    always_adapt: bool,
    caution: bool,
) -> None:
    """One step of the rule on parallel lists, in place.

    Args:
        clip_grad_norm: The gradients are divided by it.
        beta3: Weight of a new gradient in the first moment.
        bias_correction1: What the first moment is divided by.
        bias_correction2: What the second moment is divided by.
        max_lr: Turns the corrected decay on.
    """
    # With these, m / bc1 / (sqrt(v / bc2) + eps) becomes m * scale / (sqrt(v) + floor).
    scale = bias_correction2**0.5 / bias_correction1
    floor = eps * bias_correction2**0.5
    clips = clip_grad_norm is not None and (clip_grad_norm.device.type != 'cpu' or bool(clip_grad_norm > 1))
    apply_rule(
        _lamb,
        foreach,
        *(params, grads, exp_avgs, exp_avg_sqs),
        changing=dict(
            lr=lr,
            keep=1 - weight_decay * decay_scale(lr, max_lr),
            scale=scale,
            floor=floor,
            divisor=1.0 if clip_grad_norm is None else clip_grad_norm,
        ),
        beta1=beta1,
        beta2=beta2,
        beta3=beta3,
        clips=clips,
        coupled_decay=0.0 if decoupled_decay else weight_decay,
        decoupled_decays=decoupled_decay and weight_decay != 0,
        adapts=always_adapt or weight_decay != 0,
        trust_clip=trust_clip,
        caution=caution,
        may_fuse=foreach is None and beta3 == 1 - beta1,
    )


def _lamb(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    lr: Number,
    keep: Number,
    scale: Number,
    floor: Number,
    divisor: Number,
    beta1: float,
    beta2: float,
    beta3: float,
    clips: bool,
    coupled_decay: float,
    decoupled_decays: bool,
    adapts: bool,
    trust_clip: bool,
    caution: bool,
    may_fuse: bool,
) -> None:
    if clips:
        grads = list(torch._foreach_div(grads, divisor))
    # What is there before Adam's update is added: caution must see that alone.
    early = 0.0 if caution else coupled_decay
    updates = list(torch._foreach_mul(params, early)) if early else [torch.zeros_like(p) for p in params]
    if may_fuse and fuses([scale, floor], updates, grads, exp_avgs, exp_avg_sqs):
        add_fused_adam_(updates, grads, exp_avgs, exp_avg_sqs, beta1, beta2, float(scale), float(floor))
    else:
        scale_(exp_avgs, beta1)
        torch._foreach_add_(exp_avgs, grads, alpha=beta3)
        scale_(exp_avg_sqs, beta2)
        torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - beta2)
        denominators = list(torch._foreach_sqrt(exp_avg_sqs))
        shift_(denominators, floor)
        add_ratio_(updates, exp_avgs, denominators, [scale] * len(updates))
    if caution:
        cautious_(updates, grads)
        if coupled_decay:
            torch._foreach_add_(updates, params, alpha=coupled_decay)
    if decoupled_decays:
        scale_(params, keep)
    if adapts:
        _add_adapted(params, updates, -lr, trust_clip)
    else:
        add_scaled_(params, updates, -lr)


def _add_adapted(params: list[Tensor], updates: list[Tensor], rate: Number, clip: bool) -> None:
    """Add each update times rate times trust ratio: norm of weights over norm of update, 1 where either is zero."""
    weight_norms, update_norms = (torch.stack(list(torch._foreach_norm(tensors))) for tensors in (params, updates))
    ratios = torch.where((weight_norms > 0) & (update_norms > 0), weight_norms / update_norms, 1.0)
    if clip:
        ratios.clamp_(max=1.0)
    if ratios.device.type == 'cpu' and not isinstance(rate, Tensor):
        for param, update, ratio in zip(params, updates, ratios.tolist(), strict=True):
            param.add_(update, alpha=rate * ratio)
    else:
        torch._foreach_mul_(updates, list(ratios.unbind()))
        add_scaled_(params, updates, rate)
