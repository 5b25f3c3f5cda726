"""LaProp: the momentum of normalised gradients, where Adam normalises the momentum."""

from typing import Any

import torch
from torch import Tensor

from ._helpers import (
    add_to_all_,
    as_real,
    check_hyperparameters,
    count_tensors,
    decay_scale,
    options,
    peak_lr,
    restore_dtypes,
    rows_alike,
    state_tensor,
)
from ._rule import Number, RuleOptimizer, add_cautiously_, add_normalized_, add_scaled_, apply_rule, may_fuse, scale_
from ._types import ParamsT as ParamsT

__all__ = ['LaProp', 'laprop']


class LaProp(RuleOptimizer):
    """Each gradient is divided by the root of the second moment of its own time, and only then enters the momentum.

    The learning rate enters the momentum with it, so that a schedule acts on the gradients it was meant for. Weights
    decay after they are moved.

    Args:
        caution: Leave out the parts of an update that the gradient contradicts.
        corrected_weight_decay: Decay by lr^2 / max lr instead of lr.
        foreach: Apply the rule to all parameters at once, or with False to one at a time; None decides by device,
            and takes torch's fused Adam kernel for part of the work on a CPU.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Ziyin, Wang and Ueda, LaProp: Separating Momentum and Adaptivity in Adam, arXiv:2002.04839, algorithm 1.
    """

    takes_complex = True

    def __init__(
        self,
        params: ParamsT,
        lr: float = 4e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-15,
        weight_decay: float = 0.0,
        caution: bool = False,
        corrected_weight_decay: bool = False,
        foreach: bool | None = None,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay)
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            caution=caution,
            corrected_weight_decay=corrected_weight_decay,
            max_lr_snapshot=peak_lr(lr, corrected_weight_decay),
            foreach=foreach,
        )
        super().__init__(params, defaults)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a saved state; the bias corrections stay float32 on the CPU, also those saved as plain numbers."""
        super().load_state_dict(state_dict)
        restore_dtypes(self, state_dict)
        for state in self.state.values():
            state['exp_avg_lr_2'] = torch.as_tensor(state['exp_avg_lr_2'], dtype=torch.float32, device='cpu')

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        states = [self.state[p] for p in params]
        lr, (beta1, beta2) = group['lr'], group['betas']
        add_to_all_(count_tensors(states, params), 1)
        exp_avgs, exp_avg_sqs = (state_tensor(states, params, name) for name in ('exp_avg', 'exp_avg_sq'))
        # Running means of lr and of 1, as the moments are of steps and squares: what corrects their bias.
        for state in states:
            state['exp_avg_lr_1'] = beta1 * state.get('exp_avg_lr_1', 0.0) + (1 - beta1) * lr
            if 'exp_avg_lr_2' not in state:
                state['exp_avg_lr_2'] = torch.zeros((), dtype=torch.float32, device='cpu')
        means_of_1 = [state['exp_avg_lr_2'] for state in states]
        for mean in means_of_1:
            mean.mul_(beta2).add_(1 - beta2)
        laprop(
            params,
            grads,
            exp_avgs,
            exp_avg_sqs,
            [lr / state['exp_avg_lr_1'] if state['exp_avg_lr_1'] else 0.0 for state in states],
            means_of_1,
            beta1=beta1,
            beta2=beta2,
            **options(group, 'foreach', 'lr', 'eps', 'weight_decay', 'caution'),
        )


def laprop(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    step_sizes: list[float],
    bias_corrections2: list[Any],
    foreach: bool | None = None,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    max_lr: float | None,
    caution: bool,
) -> None:
    """One step of the rule on parallel lists, in place.

    Args:
        step_sizes: What each momentum, which holds the learning rate already, is multiplied by.
        bias_corrections2: What each second moment is divided by, as a number or a tensor that holds one.
        max_lr: Turns the corrected decay on.
    """
    params, grads, exp_avgs, exp_avg_sqs = as_real(params, grads, exp_avgs, exp_avg_sqs)
    numbers = list(zip(step_sizes, map(float, bias_corrections2), strict=True))
    for (size, correction), rows in rows_alike(numbers).items():
        # g / (sqrt(v / bc2) + eps), times sqrt(bc2) above and below the line.
        root = correction**0.5
        apply_rule(
            _laprop,
            foreach,
            *([column[i] for i in rows] for column in (params, grads, exp_avgs, exp_avg_sqs)),
            changing=dict(
                factor=(1 - beta1) * lr * root,
                floor=eps * root,
                size=size,
                keep=1 - weight_decay * decay_scale(lr, max_lr),
            ),
            beta1=beta1,
            beta2=beta2,
            decays=weight_decay != 0,
            caution=caution,
            fusing=may_fuse(foreach),
        )


def _laprop(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    factor: Number,
    floor: Number,
    size: Number,
    keep: Number,
    beta1: float,
    beta2: float,
    decays: bool,
    caution: bool,
    fusing: bool,
) -> None:
    count = len(params)
    add_normalized_(exp_avgs, grads, grads, exp_avg_sqs, beta2, [factor] * count, [floor] * count, beta1, fusing)
    if caution:
        add_cautiously_(params, exp_avgs, grads, -size)
    else:
        add_scaled_(params, exp_avgs, -size)
    if decays:
        scale_(params, keep)
