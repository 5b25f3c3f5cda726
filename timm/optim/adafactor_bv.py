"""Adafactor as big_vision trains transformers: factored second moments beside a momentum in half precision."""

from typing import Any

import torch
from torch import Tensor

from ._factored import divide_by_root
from ._helpers import (
    check_fractions,
    check_hyperparameters,
    count_tensors,
    decay_scale,
    options,
    peak_lr,
    restore_dtypes,
    state_tensor,
    step_counts,
)
from ._rule import RuleOptimizer, apply_rule, cautious_, scale_
from ._stacks import root_mean_squares, same_shape, stack
from ._types import ParamsT

__all__ = ['AdafactorBigVision']

MOMENTUM_DTYPES = ('float16', 'bfloat16', 'float32')


class AdafactorBigVision(RuleOptimizer):
    """Gradients over the root of their factored second moment, averaged in a momentum of few bits.

    Args:
        min_dim_size_to_factor: Tensors whose second largest side is at least that are factored along their two
            largest sides.
        decay_rate: The second moment's decay in step t is 1 - t^-decay_rate.
        decay_offset: Steps before t counts from 1, for fine-tuning.
        beta2_cap: Largest decay of the second moment.
        momentum: None keeps none.
        momentum_dtype: A dtype, or 'float16', 'bfloat16' or 'float32'; None is that of the parameter.
        eps: Added to squared gradients; None is 1e-30, and 1e-7 for float16.
        clipping_threshold: Largest root mean square of an update before momentum and `lr`; None does not limit it.
        unscaled_wd: Decay by `weight_decay` alone instead of `weight_decay` times lr.
        caution: Leave out the parts of an update that the gradient contradicts.
        corrected_weight_decay: Decay by lr^2 / max lr instead of lr, or with `unscaled_wd` by lr / max lr.

    Raises:
        ValueError: A hyper-parameter is out of its range, or the name of a dtype unknown.

    Source: Zhai et al., Scaling Vision Transformers, arXiv:2106.04560, section 3.4; Shazeer and Stern,
    arXiv:1804.04235, algorithm 4.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1.0,
        min_dim_size_to_factor: int = 16,
        decay_rate: float = 0.8,
        decay_offset: int = 0,
        beta2_cap: float = 0.999,
        momentum: float | None = 0.9,
        momentum_dtype: str | torch.dtype | None = torch.bfloat16,
        eps: float | None = None,
        weight_decay: float = 0.0,
        clipping_threshold: float | None = None,
        unscaled_wd: bool = False,
        caution: bool = False,
        corrected_weight_decay: bool = False,
    ) -> None:
        check_hyperparameters(lr=lr, decay_rate=decay_rate, eps=eps, weight_decay=weight_decay)
        check_fractions(momentum=momentum, beta2_cap=beta2_cap)
        if clipping_threshold is not None and not clipping_threshold > 0:
            raise ValueError(f'clipping_threshold={clipping_threshold} is not allowed: give a number > 0, or None.')
        if isinstance(momentum_dtype, str):
            if momentum_dtype not in MOMENTUM_DTYPES:
                raise ValueError(f"momentum_dtype='{momentum_dtype}' is not one of {', '.join(MOMENTUM_DTYPES)}.")
            momentum_dtype = getattr(torch, momentum_dtype)
        defaults = dict(
            lr=lr,
            min_dim_size_to_factor=min_dim_size_to_factor,
            decay_rate=decay_rate,
            decay_offset=decay_offset,
            beta2_cap=beta2_cap,
            momentum=momentum,
            momentum_dtype=momentum_dtype,
            eps=eps,
            weight_decay=weight_decay,
            clipping_threshold=clipping_threshold,
            unscaled_wd=unscaled_wd,
            caution=caution,
            corrected_weight_decay=corrected_weight_decay,
            max_lr_snapshot=peak_lr(lr, corrected_weight_decay),
        )
        super().__init__(params, defaults)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over `state_dict`, in the precision it was saved in."""
        super().load_state_dict(state_dict)
        restore_dtypes(self, state_dict)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        count_tensors([self.state[p] for p in params], params)
        # Whatever takes the same dimensions goes through the rule together.
        rows: dict[tuple[int, int] | None, list[tuple[Any, ...]]] = {}
        for p, grad in zip(params, grads, strict=True):
            state, dims = self.state[p], _factored_dims(p.shape, group['min_dim_size_to_factor'])
            moments = _second_moments(state, p, dims)
            if group['momentum'] is not None and 'exp_avg' not in state:
                state['exp_avg'] = torch.zeros_like(p, dtype=group['momentum_dtype'])
            rows.setdefault(dims, []).append((p, grad, state['step'], state.get('exp_avg'), *moments))
        names = ('lr', 'weight_decay', 'momentum', 'clipping_threshold', 'unscaled_wd', 'caution')
        numbers = {name: group[name] for name in ('beta2_cap', 'decay_rate', 'decay_offset', 'eps')}
        for dims, alike in rows.items():
            columns = [list(column) for column in zip(*alike, strict=True)]
            _update_alike(*columns, dims=dims, **numbers, **options(group, *names))


def _update_alike(
    params: list[Tensor],
    grads: list[Tensor],
    steps: list[Tensor],
    momenta: list[Any],
    *moments: list[Tensor],
    beta2_cap: float,
    decay_rate: float,
    decay_offset: int,
    eps: float | None,
    **constants: Any,
) -> None:
    """Find the numbers of each parameter and apply the rule."""
    counts = [max(step - decay_offset, 1.0) for step in step_counts(steps)]
    weights = [max(1 - beta2_cap, count**-decay_rate) for count in counts]
    floors = [eps if eps is not None else 1e-7 if grad.dtype is torch.float16 else 1e-30 for grad in grads]
    apply_rule(_adafactor, None, params, grads, weights, floors, momenta, *moments, scope='shape', **constants)


def _factored_dims(shape: torch.Size, min_size: int) -> tuple[int, int] | None:
    """Second largest and largest dimension, which rows count and are the mean of; None where they are too small."""
    if len(shape) < 2:
        return None
    *_, second, largest = sorted(range(len(shape)), key=lambda dim: shape[dim])
    return (second, largest) if shape[second] >= min_size else None


def _second_moments(state: dict[str, Any], param: Tensor, dims: tuple[int, int] | None) -> list[Tensor]:
    """The running means of squared gradients, zero where there are none yet."""
    if dims is None:
        return state_tensor([state], [param], 'exp_avg_sq')
    names = 'exp_avg_sq_r', 'exp_avg_sq_c'
    for name, averaged in zip(names, reversed(dims), strict=True):
        if name not in state:
            state[name] = param.new_zeros([1 if dim == averaged else size for dim, size in enumerate(param.shape)])
    return [state[name] for name in names]


def _unscaled(lr: float, max_lr: float | None) -> float:
    """Share of the decay that is left of a schedule: 1, or with `max_lr` the corrected lr / max_lr."""
    return 1.0 if max_lr is None else lr / max_lr if max_lr else 0.0


def _adafactor(
    params: list[Tensor],
    grads: list[Tensor],
    weights: list[float],
    floors: list[float],
    momenta: list[Any],
    *moments: list[Tensor],
    dims: tuple[int, int] | None,
    lr: float,
    max_lr: float | None,
    weight_decay: float,
    momentum: float | None,
    clipping_threshold: float | None,
    unscaled_wd: bool,
    caution: bool,
) -> None:
    """The rule, for second moments that are factored along `dims` or kept whole (None)."""
    decay = weight_decay * (_unscaled(lr, max_lr) if unscaled_wd else decay_scale(lr, max_lr))
    cut = same_shape(params, grads, weights, floors, momenta, *moments)
    for batch, raw, (weight, *_), (eps, *_), averages, *second in cut:
        updates = divide_by_root(stack(raw), second, dims, weight, eps)
        if clipping_threshold is not None:
            shares = root_mean_squares(updates).div_(clipping_threshold).clamp_(min=1.0).reciprocal_()
            updates.mul_(shares.view(-1, *[1] * batch[0].ndim))
        each = list(updates.unbind())
        if momentum is not None:
            torch._foreach_lerp_(averages, list(updates.to(averages[0].dtype).unbind()), 1 - momentum)
            torch._foreach_copy_(each, averages)
        if caution:
            cautious_(each, raw)
        if weight_decay:
            scale_(batch, 1 - decay)
        torch._foreach_add_(batch, each, alpha=-lr)
