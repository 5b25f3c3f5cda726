"""Adafactor: an Adam whose second moments of a matrix take the memory of a row and a column."""

import math
from typing import Any

import torch
from torch import Tensor

from ._factored import divide_by_root
from ._helpers import check_hyperparameters, restore_dtypes, state_tensor
from ._rule import RuleOptimizer, apply_rule, cautious_, in_dtype_of
from ._stacks import root_mean_squares, same_shape, stack
from ._types import ParamsT

__all__ = ['Adafactor']

HALF = (torch.float16, torch.bfloat16)


class Adafactor(RuleOptimizer):
    """Gradients over the root of their factored second moment, clipped by their root mean square.

    Half precision parameters are updated in float32, and their state is kept in it.

    Args:
        lr: None takes relative steps: min(1e-2, 1 / sqrt(step)), by default times the size of the weights. The group's
            `lr` then tells the rate of its last parameter.
        eps: Added to squared gradients.
        eps_scale: Smallest size of weights that a relative step is scaled by.
        clip_threshold: Largest root mean square of an update before `lr`.
        decay_rate: The second moment's decay in step t is 1 - t^decay_rate.
        betas: The first is the decay of a momentum of the updates, the others are unused; None keeps none.
        scale_parameter: Scale relative steps by the root mean square of the parameter.
        warmup_init: Relative steps start from 1e-6 and grow by as much each step.
        min_dim_size_to_factor: Matrices with both sides larger than that are factored: the first two dimensions, or
            else the last two.
        caution: Leave out the parts of a momentum that the gradient contradicts.

    Raises:
        ValueError: A hyper-parameter is out of its range, or `warmup_init` is set beside `lr`.

    Source: Shazeer and Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, arXiv:1804.04235,
    algorithms 4 and 5.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | None = None,
        eps: float = 1e-30,
        eps_scale: float = 1e-3,
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        betas: tuple[float, float] | None = None,
        weight_decay: float = 0.0,
        scale_parameter: bool = True,
        warmup_init: bool = False,
        min_dim_size_to_factor: int = 16,
        caution: bool = False,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, eps_scale=eps_scale, weight_decay=weight_decay)
        if not clip_threshold > 0:
            raise ValueError(f'clip_threshold={clip_threshold} is not allowed: give a number > 0.')
        if not -math.inf < decay_rate <= 0:
            raise ValueError(f'decay_rate={decay_rate} is not allowed: give a finite number <= 0, such as -0.8.')
        if warmup_init and lr is not None:
            raise ValueError(f'warmup_init=True is a form of relative steps: leave lr={lr} out.')
        defaults = dict(
            lr=lr,
            eps=eps,
            eps_scale=eps_scale,
            clip_threshold=clip_threshold,
            decay_rate=decay_rate,
            beta1=None if betas is None else betas[0],
            weight_decay=weight_decay,
            scale_parameter=scale_parameter,
            relative_step=lr is None,
            warmup_init=warmup_init,
            min_dim_size_to_factor=min_dim_size_to_factor,
            caution=caution,
        )
        super().__init__(params, defaults)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over `state_dict`, in the precision it was saved in."""
        super().load_state_dict(state_dict)
        restore_dtypes(self, state_dict)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        relative, scales = group['relative_step'], group['relative_step'] and group['scale_parameter']
        # Whatever takes the same dimensions goes through the rule together.
        rows: dict[tuple[int, int] | None, list[tuple[Any, ...]]] = {}
        rounded: list[tuple[Tensor, Tensor]] = []
        rate = group['lr']
        for p, grad in zip(params, grads, strict=True):
            exact, state, dims = p, self.state[p], _factored_dims(p.shape, group['min_dim_size_to_factor'])
            if p.dtype in HALF:
                exact, grad = p.float(), grad.float()
                rounded.append((p, exact))
            if not state:
                _start(state, exact, dims, group['beta1'] is not None)
            state['step'] += 1
            step = state['step']
            if relative:
                rate = min(1e-6 * step if group['warmup_init'] else 1e-2, step**-0.5)
            names = ('exp_avg_sq',) if dims is None else ('exp_avg_sq_row', 'exp_avg_sq_col')
            weight = step ** group['decay_rate']
            columns = exact, grad, state['RMS'], weight, rate, state.get('exp_avg'), *(state[name] for name in names)
            rows.setdefault(dims, []).append(columns)
        for dims, alike in rows.items():
            names = ('eps', 'clip_threshold', 'weight_decay', 'beta1', 'caution')
            chosen = {name: group[name] for name in names}
            columns = [list(column) for column in zip(*alike, strict=True)]
            min_size = group['eps_scale'] if scales else None
            apply_rule(_adafactor, None, *columns, scope='shape', dims=dims, min_size=min_size, **chosen)
        for p, exact in rounded:
            p.copy_(exact)
        if relative and params:
            size = self.state[params[-1]]['RMS'].clamp(min=group['eps_scale']) if scales else 1.0
            group['lr'] = rate * size


def _factored_dims(shape: torch.Size, min_size: int) -> tuple[int, int] | None:
    """The dimensions of rows and columns of a matrix that is large enough; convolutions begin with theirs."""
    ndim = len(shape)
    if ndim > 2 and min(shape[:2]) > min_size:
        return 0, 1
    if ndim >= 2 and min(shape[-2:]) > min_size:
        return ndim - 2, ndim - 1
    return None


def _start(state: dict[str, Any], param: Tensor, dims: tuple[int, int] | None, has_momentum: bool) -> None:
    """Fill the state of a parameter before its first step."""
    state['step'] = 0
    if has_momentum:
        state_tensor([state], [param], 'exp_avg')
    if dims is None:
        state_tensor([state], [param], 'exp_avg_sq')
    else:
        for name, averaged in (('exp_avg_sq_row', dims[1]), ('exp_avg_sq_col', dims[0])):
            state[name] = param.new_zeros([size for i, size in enumerate(param.shape) if i != averaged])
    state['RMS'] = param.new_zeros(())


def _adafactor(
    params: list[Tensor],
    grads: list[Tensor],
    sizes: list[Tensor],
    weights: list[float],
    rates: list[float],
    momenta: list[Any],
    *moments: list[Tensor],
    dims: tuple[int, int] | None,
    min_size: float | None,
    eps: float,
    clip_threshold: float,
    weight_decay: float,
    beta1: float | None,
    caution: bool,
) -> None:
    """The rule, for second moments that are factored along `dims` (rows, columns) or kept whole (None)."""
    cut = same_shape(params, grads, sizes, weights, rates, momenta, *moments)
    for batch, raw, roots, (weight, *_), (rate, *_), averages, *second in cut:
        torch._foreach_copy_(roots, torch._foreach_norm(batch))
        torch._foreach_div_(roots, max(batch[0].numel(), 1) ** 0.5)
        updates = divide_by_root(stack(raw), second, dims, weight, eps)
        shares = root_mean_squares(updates).div_(clip_threshold).clamp_(min=1.0).reciprocal_()
        steps = rate if min_size is None else stack(roots).clamp(min=min_size).mul_(rate)
        if weight_decay:
            keep = 1 - weight_decay * steps
            torch._foreach_mul_(batch, list(keep.unbind()) if isinstance(keep, Tensor) and keep.ndim else keep)
        factors = shares.mul_(steps).view(-1, *[1] * batch[0].ndim)
        if beta1 is None and len(batch) == 1:
            batch[0].addcmul_(updates[0], factors[0], value=-1)  # one pass less
            continue
        each = list(updates.mul_(factors).unbind())
        if beta1 is not None:
            torch._foreach_lerp_(averages, in_dtype_of(averages, each), 1 - beta1)
            each = in_dtype_of(batch, averages)
            if caution:
                each = [average.clone() for average in each]
                cautious_(each, raw)
        torch._foreach_sub_(batch, each)
