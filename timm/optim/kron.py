"""PSGD Kron: gradients whitened by a preconditioner of one factor for each dimension of a weight."""

import importlib.util
import math
import random
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from . import _kron_factors as kron_factors
from ._helpers import check_fractions, check_hyperparameters, decay_scale, options, peak_lr, restore_dtypes
from ._rule import RuleOptimizer, add_scaled_, apply_rule, scale_
from ._stacks import root_mean_squares, same_shape, stack
from ._types import ParamsT

__all__ = ['Kron', 'precond_update_prob_schedule', 'safe_flatten']

# Published; contractions here go from dimension to dimension and need neither.
has_opt_einsum = importlib.util.find_spec('opt_einsum') is not None
has_dynamo = importlib.util.find_spec('torch._dynamo') is not None

BALANCE_PROBABILITY = 0.01
LARGEST_RMS = 1.1
SEED = 1337

Probability: TypeAlias = float | Tensor | Callable[[int], float | Tensor]


def precond_update_prob_schedule(
    n: int | Tensor,
    max_prob: float = 1.0,
    min_prob: float = 0.03,
    decay: float = 0.001,
    flat_start: int = 500,
) -> Tensor:
    """Probability that step `n` updates the preconditioner: from `max_prob` it goes down to `min_prob`.

    Args:
        decay: How fast it does so: by e^-decay each step.
        flat_start: Steps before it begins to.
    """
    return torch.tensor(_annealed(float(n), max_prob, min_prob, decay, flat_start))


def _annealed(
    n: float, max_prob: float = 1.0, min_prob: float = 0.03, decay: float = 0.001, flat_start: float = 500
) -> float:
    return min(max(max_prob * math.exp(-decay * (n - flat_start)), min_prob), max_prob)


def safe_flatten(tensor: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """`tensor` with dimensions `start_dim` to `end_dim` made one, as far as it has them."""
    ndim = tensor.ndim
    start = start_dim + ndim if start_dim < 0 else start_dim
    end = end_dim + ndim if end_dim < 0 else min(end_dim, ndim - 1)
    return tensor.flatten(max(start, 0), end) if start < end else tensor


class Kron(RuleOptimizer):
    """Momentum, whitened by a Kronecker-factored preconditioner that is learned along the way.

    Each dimension of a weight has one factor, a triangular matrix or a diagonal. State dicts hold the generator that
    decides when factors are balanced.

    Args:
        preconditioner_update_probability: Share of steps that update the preconditioner, or a function of a parameter's
            count of steps that tells it; None takes `precond_update_prob_schedule`.
        max_size_triangular: Dimensions larger than that have a diagonal factor.
        min_ndim_triangular: Weights of less dimensions have diagonal factors only.
        memory_save_mode: 'one_diag' makes the factor of a weight's largest dimension a diagonal, 'smart_one_diag' too
            if no other dimension is as large, 'all_diag' every factor.
        momentum_into_precond_update: Learn the preconditioner from momenta instead of gradients.
        precond_lr: Step size of the preconditioner.
        precond_init_scale: The preconditioner starts as the square of this.
        mu_dtype: Of the momentum; None is that of the parameter.
        precond_dtype: Of the preconditioner; None is that of the parameter.
        decoupled_decay: Shrink the weights directly instead of adding the decay to the update.
        corrected_weight_decay: With `decoupled_decay`, decay by lr^2 / max lr instead of lr.
        flatten: Treat dimensions `flatten_start_dim` to `flatten_end_dim`, such as those of a kernel, as one.
        stochastic_weight_decay: Scale the decay by a random number between 0 and 2 each time.
        deterministic: Draw the noise of preconditioner updates from the optimizer's own generator too, so that a run
            goes on from a state dict as if it had not stopped.

    Raises:
        ValueError: A hyper-parameter is out of its range.
        TypeError: `mu_dtype` or `precond_dtype` is no dtype.

    Source: Li, Preconditioned Stochastic Gradient Descent, arXiv:1512.04202, in the form of
    https://github.com/evanatyourservice/kron_torch.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        preconditioner_update_probability: Probability | None = None,
        max_size_triangular: int = 2048,
        min_ndim_triangular: int = 2,
        memory_save_mode: str | None = None,
        momentum_into_precond_update: bool = True,
        precond_lr: float = 0.1,
        precond_init_scale: float = 1.0,
        mu_dtype: torch.dtype | None = None,
        precond_dtype: torch.dtype | None = None,
        decoupled_decay: bool = False,
        corrected_weight_decay: bool = False,
        flatten: bool = False,
        flatten_start_dim: int = 2,
        flatten_end_dim: int = -1,
        stochastic_weight_decay: bool = False,
        deterministic: bool = False,
    ) -> None:
        check_hyperparameters(lr=lr, weight_decay=weight_decay, precond_lr=precond_lr)
        check_fractions(momentum=momentum)
        probability = preconditioner_update_probability
        if isinstance(probability, (int, float)) and not 0 < probability <= 1:
            raise ValueError(f'preconditioner_update_probability={probability} is not allowed: it must lie in (0, 1].')
        if not 0 < precond_init_scale < math.inf:
            raise ValueError(f'precond_init_scale={precond_init_scale} is not allowed: give a finite number > 0.')
        if memory_save_mode not in kron_factors.MEMORY_SAVE_MODES:
            known = ', '.join(map(str, kron_factors.MEMORY_SAVE_MODES))
            raise ValueError(f"memory_save_mode='{memory_save_mode}' is not one of {known}.")
        for name, dtype in (('mu_dtype', mu_dtype), ('precond_dtype', precond_dtype)):
            if dtype is not None and not isinstance(dtype, torch.dtype):
                raise TypeError(f'{name}={dtype!r} is no dtype: give one such as torch.float32, or None.')
        defaults = dict(
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            preconditioner_update_probability=preconditioner_update_probability,
            max_size_triangular=max_size_triangular,
            min_ndim_triangular=min_ndim_triangular,
            memory_save_mode=memory_save_mode,
            momentum_into_precond_update=momentum_into_precond_update,
            precond_lr=precond_lr,
            precond_init_scale=precond_init_scale,
            mu_dtype=mu_dtype,
            precond_dtype=precond_dtype,
            decoupled_decay=decoupled_decay,
            corrected_weight_decay=corrected_weight_decay,
            max_lr_snapshot=peak_lr(lr, corrected_weight_decay),
            flatten=flatten,
            flatten_start_dim=flatten_start_dim,
            flatten_end_dim=flatten_end_dim,
            stochastic_weight_decay=stochastic_weight_decay,
        )
        super().__init__(params, defaults)
        self.rng = random.Random(SEED)  # the same in every process of a run
        self.deterministic = deterministic

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), 'rng': self.rng, 'deterministic': self.deterministic}

    def state_dict(self) -> dict[str, Any]:
        """The state of parameters and groups, and that of the generator."""
        return {**super().state_dict(), 'rng_state': self.rng.getstate()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over `state_dict`, in the precision it was saved in; one without a generator leaves that as it is."""
        super().load_state_dict(state_dict)
        restore_dtypes(self, state_dict)
        if 'rng_state' in state_dict:
            version, words, gauss = state_dict['rng_state']  # tuples may have become lists on the way
            self.rng.setstate((version, tuple(words), gauss))

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        rows = []
        for p, grad in zip(params, grads, strict=True):
            state = self.state[p]
            if group['flatten']:
                grad = safe_flatten(grad, group['flatten_start_dim'], group['flatten_end_dim'])
            if not state:
                _start(state, grad, group)
            refreshes = self._is_due(state, group['preconditioner_update_probability'])
            state['step'] += 1
            balances = self.rng.random() < BALANCE_PROBABILITY and refreshes and p.ndim > 1
            seed = self.rng.randint(0, 2**31) if refreshes and self.deterministic else None
            decay = group['weight_decay']
            if decay and group['stochastic_weight_decay']:
                decay *= 2 * self.rng.random()
            if p.numel():
                correction = 1 - group['momentum'] ** state['step']
                rows.append(
                    (p, grad, state['momentum_buffer'], state['Q'], seed, correction, refreshes, balances, decay)
                )
        if not rows:
            return
        columns = (list(column) for column in zip(*rows, strict=True))
        chosen = options(group, 'lr', 'momentum', 'momentum_into_precond_update', 'precond_lr', 'decoupled_decay')
        apply_rule(_kron, None, *columns, scope='shape', **chosen)

    def _is_due(self, state: dict[str, Any], probability: Probability | None) -> bool:
        """Whether this step updates the preconditioner: after each 1 / probability steps."""
        if probability is None:
            probability = _annealed(state['step'])
        elif callable(probability):
            probability = probability(state['step'])
        state['update_counter'] += 1
        due = bool(state['update_counter'] >= 1 / probability)
        if due:
            state['update_counter'] = 0
        return due


def _start(state: dict[str, Any], grad: Tensor, group: dict[str, Any]) -> None:
    """Fill the state of a parameter before its first step."""
    settings = group['max_size_triangular'], group['min_ndim_triangular'], group['memory_save_mode']
    diagonal = kron_factors.diagonal_dims(grad.shape, *settings)
    state['step'] = 0
    state['update_counter'] = 0
    state['momentum_buffer'] = torch.zeros_like(grad, dtype=group['mu_dtype'])
    state['Q'] = kron_factors.start(grad, diagonal, group['precond_init_scale'], group['precond_dtype'])


def _stack_weights(weights: list[Tensor], dtype: torch.dtype) -> Tensor:
    """Weights of one shape as a stack, with at least one dimension each, for the preconditioner."""
    stacked = stack(weights).to(dtype)
    return stacked if stacked.ndim > 1 else stacked.unsqueeze(1)


def _noise(grad: Tensor, dtype: torch.dtype, seed: int | None) -> Tensor:
    """Normal noise, from the global generator or a fresh one with `seed`."""
    generator = None if seed is None else torch.Generator(grad.device).manual_seed(seed)
    return torch.empty(grad.shape, dtype=dtype, device=grad.device).normal_(generator=generator)


def _kron(
    params: list[Tensor],
    grads: list[Tensor],
    momenta: list[Tensor],
    factors: list[list[Tensor]],
    seeds: list[int | None],
    corrections: list[float],
    refreshes: list[bool],
    balances: list[bool],
    decays: list[float],
    *,
    lr: float,
    max_lr: float | None,
    momentum: float,
    momentum_into_precond_update: bool,
    precond_lr: float,
    decoupled_decay: bool,
) -> None:
    scale_(momenta, momentum)
    torch._foreach_add_(momenta, grads, alpha=1 - momentum)
    sources = torch._foreach_div(momenta, corrections)
    # In the order of the parameters, so that the same numbers are drawn however they are stacked.
    noises = [
        _noise(grad, factor[0].dtype, seed) if due else None
        for grad, factor, seed, due in zip(grads, factors, seeds, refreshes, strict=True)
    ]
    cut = same_shape(params, grads, sources, factors, noises, refreshes, balances, decays)
    for batch, raw, debiased, separate, noise, (refresh, *_), (balance, *_), (decay, *_) in cut:
        dtype = separate[0][0].dtype
        updates = _stack_weights([update.to(batch[0].dtype) for update in debiased], dtype)
        stacked = [stack(list(column)) for column in zip(*separate, strict=True)]
        stacked = [factor if factor.ndim > 1 else factor.unsqueeze(1) for factor in stacked]  # a scalar's
        if refresh:
            if balance:
                stacked = kron_factors.balance(stacked)
            learned_from = updates if momentum_into_precond_update else _stack_weights(raw, dtype)
            stacked = kron_factors.refresh(stacked, learned_from, _stack_weights(noise, dtype), precond_lr)
            for old, new in zip(zip(*separate, strict=True), stacked, strict=True):
                torch._foreach_copy_(list(old), list(new.view(-1, *old[0].shape).unbind()))
        updates = kron_factors.precondition(updates, stacked).to(batch[0].dtype)
        limits = (LARGEST_RMS / (root_mean_squares(updates) + 1e-8)).clamp_(max=1.0)
        updates = updates.reshape(-1, *batch[0].shape).mul_(limits.view(-1, *[1] * batch[0].ndim))
        each = list(updates.unbind())
        if decoupled_decay:
            scale_(batch, 1 - decay * decay_scale(lr, max_lr))
        elif decay:
            torch._foreach_add_(each, batch, alpha=decay)
        add_scaled_(batch, each, -lr)
