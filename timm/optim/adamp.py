"""AdamP: Adam whose updates leave the norm of scale-invariant weights alone."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._helpers import check_hyperparameters, state_tensor
from ._rule import (
    Number,
    RuleOptimizer,
    add_normalized_,
    add_scaled_,
    apply_rule,
    cautious_,
    is_readable,
    may_fuse,
    scale_,
)
from ._types import ParamsT

__all__ = ['AdamP', 'Tangents', 'find_tangents', 'has_rows', 'projection', 'step_tangent_']


class AdamP(RuleOptimizer):
    """Adam that takes from an update its part along the weights, where the loss does not depend on their length.

    Weights before a normalisation are of that kind: their gradient is at a right angle to them. Momentum is not, so it
    makes them grow, and growing weights turn ever more slowly.

    Args:
        delta: The gradient counts as at a right angle where cos(gradient, weights) < delta / sqrt(elements), for each
            row (output channel) by itself or else for the whole tensor.
        wd_ratio: What the decay of such weights is multiplied by.
        nesterov: Let the first moment look one gradient ahead.
        caution: Leave out the parts of an update that the gradient contradicts.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Heo et al., AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights,
    arXiv:2006.08217, algorithm 2.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        delta: float = 0.1,
        wd_ratio: float = 0.1,
        nesterov: bool = False,
        caution: bool = False,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay, delta=delta, wd_ratio=wd_ratio)
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            delta=delta,
            wd_ratio=wd_ratio,
            nesterov=nesterov,
            caution=caution,
        )
        super().__init__(params, defaults)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        states = [self.state[p] for p in params]
        beta1, beta2 = group['betas']
        exp_avgs, exp_avg_sqs = (state_tensor(states, params, name) for name in ('exp_avg', 'exp_avg_sq'))
        for state in states:
            state['step'] = state.get('step', 0) + 1
        # With these, m / bc1 / (sqrt(v / bc2) + eps) becomes m * factor / (sqrt(v) + floor).
        roots = [(1 - beta2 ** state['step']) ** 0.5 for state in states]
        factors = [root / (1 - beta1 ** state['step']) for root, state in zip(roots, states, strict=True)]
        floors = [group['eps'] * root for root in roots]
        columns = (params, grads, exp_avgs, exp_avg_sqs, factors, floors)
        for projects in (True, False):  # vectors and scalars have no rows to turn
            rows = [i for i, p in enumerate(params) if has_rows(p) is projects]
            apply_rule(
                _adamp,
                None,
                *([column[i] for i in rows] for column in columns),
                changing=dict(lr=group['lr'], decay=group['lr'] * group['weight_decay']),
                scope='shape' if projects else 'tensor',
                beta1=beta1,
                beta2=beta2,
                eps=group['eps'],
                delta=group['delta'] if projects else None,
                wd_ratio=group['wd_ratio'],
                nesterov=group['nesterov'],
                caution=group['caution'],
                fusing=may_fuse(None),
            )


def _adamp(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    factors: list[Number],
    floors: list[Number],
    lr: Number,
    decay: Number,
    beta1: float,
    beta2: float,
    eps: float,
    delta: float | None,
    wd_ratio: float,
    nesterov: bool,
    caution: bool,
    fusing: bool,
) -> None:
    """The rule; with a `delta` of None nothing is projected."""
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
    numerators = list(torch._foreach_lerp(exp_avgs, grads, 1 - beta1)) if nesterov else exp_avgs
    updates = [torch.zeros_like(p) for p in params]
    add_normalized_(updates, numerators, grads, exp_avg_sqs, beta2, factors, floors, fusing=fusing)
    tangents = None if delta is None else find_tangents(params, grads, delta, wd_ratio, eps)
    step_tangent_(params, grads, updates, tangents, lr, decay, caution)


class Tangents(NamedTuple):
    """The directions at a right angle to weights, for those of `params` that are to move in these alone."""

    params: list[Tensor]
    row_weights: list[Tensor]  # 1 / |w|^2 of each row where rows are projected, else 0
    whole_weights: list[Tensor]  # the same of the whole tensor
    wd_ratios: list[Any]

    def shares(self, tensors: list[Tensor]) -> list[Tensor]:
        """What part of `tensors` lies along the weights, as a multiple of them for each row; 0 where that may stay."""
        dots = _row_dots(self.params, tensors)
        shares = list(torch._foreach_mul(dots, self.row_weights))
        whole = torch._foreach_mul([dot.sum() for dot in dots], self.whole_weights)
        torch._foreach_add_(shares, list(whole))
        return shares

    def project_(self, tensors: list[Tensor]) -> None:
        """Take from `tensors` what lies along the weights."""
        torch._foreach_addcmul_(tensors, self.params, self.shares(tensors), value=-1)

    def choose_(self, updates: list[Tensor], grads: list[Tensor]) -> None:
        """Of the part of `updates` that turns the weights, drop what that part of the gradients contradicts.

        The rest has a part along the weights again.
        """
        self.project_(updates)
        turning = [grad.clone() for grad in grads]
        self.project_(turning)
        cautious_(updates, turning)


def find_tangents(
    params: list[Tensor], grads: list[Tensor], delta: float, wd_ratio: float, eps: float
) -> Tangents | None:
    """Which of `params` are scale-invariant, as their gradients tell; None where it is plain that none of them is.

    Row sums serve both tests: those of a whole tensor are their sums.
    """
    row_norms, grad_row_norms = _row_norms(params), _row_norms(grads)
    row_dots = _row_dots(params, grads)
    norms, grad_norms = list(torch._foreach_norm(row_norms)), list(torch._foreach_norm(grad_row_norms))
    dots = [dot.sum() for dot in row_dots]
    row_sizes, sizes = [p.numel() // p.shape[0] for p in params], [p.numel() for p in params]
    by_row = _are_orthogonal(row_dots, row_norms, grad_row_norms, row_sizes, delta, eps)
    whole = _are_orthogonal(dots, norms, grad_norms, sizes, delta, eps) & ~by_row
    ratios = 1 - (1 - wd_ratio) * (by_row | whole).to(norms[0].dtype)
    if is_readable(ratios) and not (by_row | whole).any():
        return None
    row_weights, whole_weights = _inverse_squares(row_norms, by_row, eps), _inverse_squares(norms, whole, eps)
    wd_ratios = ratios.tolist() if is_readable(ratios) else list(ratios.unbind())
    return Tangents(params, row_weights, whole_weights, wd_ratios)


def _inverse_squares(lengths: list[Tensor], chosen: Tensor, eps: float) -> list[Tensor]:
    """1 / (lengths + eps)^2 in their place, and 0 for entries that are not `chosen`."""
    torch._foreach_add_(lengths, eps)
    torch._foreach_pow_(lengths, -2)
    torch._foreach_mul_(lengths, list(chosen.to(lengths[0].dtype).unbind()))
    return lengths


def _are_orthogonal(
    dots: list[Tensor],
    norms: list[Tensor],
    grad_norms: list[Tensor],
    sizes: list[int],
    delta: float,
    eps: float,
) -> Tensor:
    """For each entry of the lists whether all its cosines are smaller than delta / sqrt(size)."""
    lengths = torch._foreach_mul(torch._foreach_clamp_min(norms, eps), torch._foreach_clamp_min(grad_norms, eps))
    cosines = torch._foreach_div(dots, lengths)
    largest = torch._foreach_mul(torch._foreach_norm(cosines, math.inf), [math.sqrt(size) for size in sizes])
    return torch.stack(list(largest)) < delta


def _row_norms(tensors: list[Tensor]) -> list[Tensor]:
    """Norm over all but the first dimension, which are kept as dimensions of 1."""
    return [torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim)), keepdim=True, dtype=_wide(x)) for x in tensors]


def _row_dots(tensors: list[Tensor], others: list[Tensor]) -> list[Tensor]:
    """Inner products over all but the first dimension, which are kept as dimensions of 1."""
    products = torch._foreach_mul(tensors, others)
    return [x.sum(dim=tuple(range(1, x.ndim)), keepdim=True, dtype=_wide(x)) for x in products]


def _wide(x: Tensor) -> torch.dtype:
    """The dtype to sum `x` in: squares and thousands of addends are more than half precision holds."""
    return torch.promote_types(x.dtype, torch.float32)


def has_rows(p: Tensor) -> bool:
    """Whether `p` has rows that can be projected: vectors, scalars and empty tensors have none."""
    return p.ndim > 1 and p.numel() > 0


def step_tangent_(
    params: list[Tensor],
    grads: list[Tensor],
    updates: list[Tensor],
    tangents: Tangents | None,
    lr: Number,
    decay: Number,
    caution: bool,
) -> None:
    """params = (1 - decay * wd_ratio) * params - lr * updates, the updates projected where `tangents` say so.

    Args:
        updates: With `caution` they are used up.
        tangents: None projects nothing.
    """
    if tangents is None:
        if caution:
            cautious_(updates, grads)
        if isinstance(decay, Tensor) or decay:
            scale_(params, 1 - decay)
        add_scaled_(params, updates, -lr)
        return
    if caution:
        tangents.choose_(updates, grads)
    shares: Any = tangents.shares(updates)
    scales: Any = [1 - decay * ratio for ratio in tangents.wd_ratios]
    if params[0].dtype.itemsize < 4:  # 1 + lr * share would round to 1
        updates = list(torch._foreach_addcmul(updates, params, shares, value=-1))
    else:  # params - lr * (updates - shares * params) with fewer passes
        torch._foreach_mul_(shares, lr)
        torch._foreach_add_(shares, scales)
        scales = shares
    torch._foreach_mul_(params, scales)
    add_scaled_(params, updates, -lr)


def projection(
    p: Tensor,
    grad: Tensor,
    perturb: Tensor,
    delta: float,
    wd_ratio: float,
    eps: float,
    caution: bool = False,
) -> tuple[Tensor, float]:
    """Project the update `perturb` of `p` in place; return it, and what the weight decay is to be multiplied by.

    Args:
        caution: Leave out the parts of the update that the gradient contradicts.
    """
    params, grads, updates = ([x if x.ndim > 1 else x.reshape(-1, 1)] for x in (p, grad, perturb))
    tangents = find_tangents(params, grads, delta, wd_ratio, eps) if p.numel() else None
    if tangents is None:
        if caution:
            cautious_(updates, grads)
        return perturb, 1.0
    if caution:
        tangents.choose_(updates, grads)
    tangents.project_(updates)
    return perturb, float(tangents.wd_ratios[0])
