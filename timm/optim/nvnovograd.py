"""NovoGrad: momentum on gradients that are brought to a norm of about 1, layer by layer."""

from typing import Any

import torch
from torch import Tensor

from ._fused import SMALLEST_GAIN, add_fused_sgd_
from ._helpers import check_hyperparameters, decay_scale, peak_lr, restore_dtypes, state_tensor
from ._rule import Number, RuleOptimizer, add_scaled_, apply_rule, fuses, is_readable, may_fuse, norms_of, scale_
from ._types import ParamsT

__all__ = ['NvNovoGrad']


class NvNovoGrad(RuleOptimizer):
    """Adam with one second moment for each parameter, the mean of its squared gradient norm, as NVIDIA wrote it.

    A gradient is divided by the root of that mean before it enters the momentum. The mean starts with the first
    squared norm, and neither moment is corrected for its start.

    Args:
        weight_decay: Added to the normalised gradient, and so part of the momentum.
        grad_averaging: Weigh a new gradient in the momentum by 1 - beta1 instead of 1.
        amsgrad: Divide by the root of the largest mean so far.
        decoupled_decay: Shrink the weights directly instead.
        corrected_weight_decay: With `decoupled_decay`, decay by lr^2 / max lr instead of lr.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Ginsburg et al., Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training of Deep Networks,
    arXiv:1905.11286, algorithm 1.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 0,
        grad_averaging: bool = False,
        amsgrad: bool = False,
        decoupled_decay: bool = False,
        corrected_weight_decay: bool = False,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay)
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            grad_averaging=grad_averaging,
            amsgrad=amsgrad,
            decoupled_decay=decoupled_decay,
            corrected_weight_decay=corrected_weight_decay,
            max_lr_snapshot=peak_lr(lr, corrected_weight_decay),
        )
        super().__init__(params, defaults)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a saved state; the second moments stay float32."""
        super().load_state_dict(state_dict)
        restore_dtypes(self, state_dict)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        states = [self.state[p] for p in params]
        names = ('exp_avg_sq', 'max_exp_avg_sq') if group['amsgrad'] else ('exp_avg_sq',)
        for state, p in zip(states, params, strict=True):
            state['step'] = state.get('step', 0) + 1
            for name in names:
                if name not in state:
                    state[name] = torch.zeros((), dtype=torch.float32, device=p.device)
        columns = [[state[name] for state in states] for name in names]
        lr, weight_decay, decoupled = (group[name] for name in ('lr', 'weight_decay', 'decoupled_decay'))
        beta1, beta2 = group['betas']
        max_lr = group['max_lr_snapshot'] if group['corrected_weight_decay'] else None
        apply_rule(
            _novograd,
            None,
            *(params, grads, state_tensor(states, params, 'exp_avg'), *columns),
            changing=dict(lr=lr, keep=1 - weight_decay * decay_scale(lr, max_lr)),
            beta1=beta1,
            beta2=beta2,
            gain=1 - beta1 if group['grad_averaging'] else 1.0,
            eps=group['eps'],
            coupled_decay=0.0 if decoupled else weight_decay,
            decoupled_decays=decoupled and weight_decay != 0,
            fusing=may_fuse(None) and beta1 > 0,
        )


def _novograd(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    maxima: list[Tensor] | None = None,
    *,
    lr: Number,
    keep: Number,
    beta1: float,
    beta2: float,
    gain: float,
    eps: float,
    coupled_decay: float,
    decoupled_decays: bool,
    fusing: bool,
) -> None:
    squares = [norm.square_() for norm in norms_of(grads)]
    _average_squares_(exp_avg_sqs, squares, beta2)
    if maxima is not None:
        torch._foreach_maximum_(maxima, exp_avg_sqs)
    norms = list(torch._foreach_sqrt(exp_avg_sqs if maxima is None else maxima))
    torch._foreach_add_(norms, eps)
    torch._foreach_clamp_min_(norms, torch.finfo(torch.float32).tiny)  # with an eps of 0
    if decoupled_decays:
        scale_(params, keep)
    if fusing and fuses([lr], params, grads, exp_avgs):
        norm = norms[0].item()
        if gain / norm >= SMALLEST_GAIN:
            add_fused_sgd_(params, grads, exp_avgs, -float(lr), coupled_decay * norm, beta1, gain / norm)
            return
    directions = list(torch._foreach_div(grads, norms))
    if coupled_decay:
        torch._foreach_add_(directions, params, alpha=coupled_decay)
    scale_(exp_avgs, beta1)
    torch._foreach_add_(exp_avgs, directions, alpha=gain)
    add_scaled_(params, exp_avgs, -lr)


def _average_squares_(means: list[Tensor], squares: list[Tensor], beta2: float) -> None:
    """Bring the mean squared norms up to date; one that is still 0 becomes the squared norm itself."""
    if is_readable(means[0]):
        for mean, square in zip(means, squares, strict=True):
            if mean.item():
                mean.mul_(beta2).add_(square, alpha=1 - beta2)
            else:
                mean.copy_(square)
    else:
        before, now = torch.stack(means), torch.stack(squares)
        later = torch.where(before == 0, now, beta2 * before + (1 - beta2) * now)
        torch._foreach_copy_(means, list(later.unbind()))
