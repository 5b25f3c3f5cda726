"""LAMB: Adam's update, scaled layer by layer to the size of the weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from ._fused import fits_fused_kernel
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

__all__ = ['Lamb', 'lamb']


class Lamb(Optimizer):
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
            max_lr_snapshot=float(lr),
            foreach=foreach,
        )
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        complete_groups(self)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters once; returns the loss when a closure computes it."""
        loss = evaluate(closure)
        gathered = [gather(group, 'Lamb') for group in self.param_groups]
        norm = _global_norm([grad for _, grads in gathered for grad in grads])
        for group, (params, grads) in zip(self.param_groups, gathered, strict=True):
            # A tensor, and a new one each time, so that state dicts taken earlier keep their count.
            group['step'] = torch.as_tensor(group.get('step', 0.0), dtype=torch.float32) + 1
            limit = group['max_grad_norm']
            states = [self.state[p] for p in params]
            beta1, beta2 = group['betas']
            step = float(group['step'])
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
        return loss


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
    decay = weight_decay * decay_scale(lr, max_lr)
    # With these, m / bc1 / (sqrt(v / bc2) + eps) becomes m * scale / (sqrt(v) + floor).
    scale = bias_correction2**0.5 / bias_correction1
    floor = eps * bias_correction2**0.5
    kernel_knows_rule = foreach is None and beta3 == 1 - beta1
    coupled = weight_decay if not decoupled_decay else 0.0
    columns = (params, grads, exp_avgs, exp_avg_sqs)
    for weights, slopes, averages, squares in batches(use_foreach(foreach, params), *columns):
        if clip_grad_norm is not None and (clip_grad_norm.device.type != 'cpu' or clip_grad_norm > 1):
            slopes = list(torch._foreach_div(slopes, clip_grad_norm.to(slopes[0].device)))
        # What is there before Adam's update is added: caution must see that alone.
        early = coupled if not caution else 0.0
        updates = list(torch._foreach_mul(weights, early)) if early else [torch.zeros_like(p) for p in weights]
        if kernel_knows_rule and fits_fused_kernel(updates[0], slopes[0], averages[0], squares[0]):
            _add_fused_update(updates, slopes, averages, squares, beta1, beta2, scale, floor)
        else:
            _add_update(updates, slopes, averages, squares, beta1, beta2, beta3, scale, floor)
        if caution:
            cautious_(updates, slopes)
            if coupled:
                torch._foreach_add_(updates, weights, alpha=coupled)
        if weight_decay and decoupled_decay:
            torch._foreach_mul_(weights, 1 - decay)
        if weight_decay or always_adapt:
            _add_adapted(weights, updates, -lr, trust_clip)
        else:
            torch._foreach_add_(weights, updates, alpha=-lr)


def _add_update(
    updates: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    beta1: float,
    beta2: float,
    beta3: float,
    scale: float,
    floor: float,
) -> None:
    """Bring both moments up to date, and add Adam's update to `updates`."""
    torch._foreach_mul_(exp_avgs, beta1)
    torch._foreach_add_(exp_avgs, grads, alpha=beta3)
    torch._foreach_mul_(exp_avg_sqs, beta2)
    torch._foreach_addcmul_(exp_avg_sqs, grads, grads, 1 - beta2)
    denominators = torch._foreach_sqrt(exp_avg_sqs)
    torch._foreach_add_(denominators, floor)
    torch._foreach_addcdiv_(updates, exp_avgs, denominators, scale)


def _add_fused_update(
    updates: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    beta1: float,
    beta2: float,
    scale: float,
    floor: float,
) -> None:
    """`_add_update` in one pass: a step of torch's Adam that starts from `updates` and has the rate -scale.

    At an endless step count the kernel's own bias corrections are 1.
    """
    endless = torch.tensor(float('inf'))
    torch._fused_adam_(
        list(updates),
        list(grads),
        list(exp_avgs),
        list(exp_avg_sqs),
        [],
        [endless] * len(updates),
        lr=-scale,
        beta1=beta1,
        beta2=beta2,
        weight_decay=0.0,
        eps=floor,
        amsgrad=False,
        maximize=False,
    )


def _add_adapted(params: list[Tensor], updates: list[Tensor], rate: float, clip: bool) -> None:
    """Add each update times rate times trust ratio: norm of weights over norm of update, 1 where either is zero."""
    weight_norms, update_norms = (torch.stack(torch._foreach_norm(tensors)) for tensors in (params, updates))
    ratios = torch.where((weight_norms > 0) & (update_norms > 0), weight_norms / update_norms, 1.0)
    if clip:
        ratios.clamp_(max=1.0)
    if ratios.device.type == 'cpu':
        for param, update, ratio in zip(params, updates, ratios.tolist(), strict=True):
            param.add_(update, alpha=rate * ratio)
    else:
        torch._foreach_mul_(updates, ratios.unbind())
        torch._foreach_add_(params, updates, alpha=rate)
