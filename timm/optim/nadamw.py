"""NAdam with decoupled weight decay."""

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

__all__ = ['NAdamW', 'nadamw']


class NAdamW(Optimizer):
    """AdamW whose first moment looks one gradient ahead, in Nesterov's manner.

    Args:
        caution: Leave out the parts of an update that the gradient contradicts.
        corrected_weight_decay: Decay by lr^2 / max lr instead of lr.
        foreach: Apply the rule to all parameters at once; None decides by device.
        capturable: Keep the step count on the device, so that the step can be captured in a CUDA graph.
        clipping_threshold: Largest root mean square of gradient over denominator; beyond it a parameter's step
            shrinks in proportion. None does not limit it.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Dozat, Incorporating Nesterov Momentum into Adam, 2016, in the form of the MLCommons AlgoPerf baseline;
    the clipping is Wortsman et al., arXiv:2304.13013, section 3.3.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        caution: bool = False,
        corrected_weight_decay: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        clipping_threshold: float | None = None,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay, clipping_threshold=clipping_threshold)
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            caution=caution,
            corrected_weight_decay=corrected_weight_decay,
            max_lr_snapshot=float(lr),
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            clipping_threshold=clipping_threshold,
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
            params, grads = gather(group, 'NAdamW')
            states = [self.state[p] for p in params]
            for state, p in zip(states, params, strict=True):
                if 'step' not in state:
                    state['step'] = torch.zeros((), device=p.device if group['capturable'] else 'cpu')
            beta1, beta2 = group['betas']
            exp_avgs, exp_avg_sqs = (state_tensor(states, params, name) for name in ('exp_avg', 'exp_avg_sq'))
            steps = [state['step'] for state in states]
            names = ('foreach', 'capturable', 'lr', 'weight_decay', 'eps', 'caution', 'maximize', 'clipping_threshold')
            nadamw(params, grads, exp_avgs, exp_avg_sqs, steps, beta1=beta1, beta2=beta2, **options(group, *names))
        return loss


def nadamw(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    state_steps: list[Tensor],
    foreach: bool | None = None,
    capturable: bool = False,
    *,
    beta1: float,
    beta2: float,
    lr: float,
    weight_decay: float,
    eps: float,
    caution: bool,
    maximize: bool,
    max_lr: float | None,
    clipping_threshold: float | None = None,
) -> None:
    """One step of the rule on parallel lists, in place; `max_lr` turns the corrected decay on."""
    decay = weight_decay * decay_scale(lr, max_lr)
    columns = (params, grads, exp_avgs, exp_avg_sqs, state_steps)
    for weights, slopes, averages, squares, steps in batches(use_foreach(foreach, params), *columns):
        if maximize:
            slopes = list(torch._foreach_neg(slopes))
        torch._foreach_add_(steps, 1)
        torch._foreach_lerp_(averages, slopes, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, slopes, slopes, 1 - beta2)

        # Both bias corrections in one factor and one floor: m / bc1 / (sqrt(v / bc2) + eps), times sqrt(bc2) above
        # and below the line.
        counts: list[Any] = [step.double() if capturable else step.item() for step in steps]
        roots = [(1 - beta2**count) ** 0.5 for count in counts]
        factors = [-lr * root / (1 - beta1**count) for root, count in zip(roots, counts, strict=True)]
        updates = torch._foreach_lerp(averages, slopes, 1 - beta1)
        denominators = list(torch._foreach_sqrt(squares))
        torch._foreach_add_(denominators, [eps * root for root in roots])
        if clipping_threshold is not None:
            _limit_ratio(slopes, denominators, roots, clipping_threshold)
        if caution:
            cautious_(updates, slopes)
        if decay:
            torch._foreach_mul_(weights, 1 - decay)
        if capturable:
            torch._foreach_div_(updates, denominators)
            torch._foreach_mul_(updates, factors)
            torch._foreach_add_(weights, updates)
        else:
            torch._foreach_addcdiv_(weights, updates, denominators, factors)


def _limit_ratio(grads: list[Tensor], denominators: list[Tensor], roots: list[Any], threshold: float) -> None:
    """Raise each denominator until the root mean square of root * gradient / denominator is at most `threshold`."""
    for grad, denominator, root in zip(grads, denominators, roots, strict=True):
        ratio = (grad / denominator).square_().mean().sqrt_()
        denominator.mul_(ratio.mul_(root / threshold).clamp_(min=1.0))
