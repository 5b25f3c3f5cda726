"""Adaptive gradient clipping: a gradient may only be so large beside its weight, unit by unit."""

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ['adaptive_clip_grad', 'unitwise_norm']

SMALLEST_NORM = 1e-6


def unitwise_norm(x: Tensor, norm_type: float = 2.0) -> Tensor:
    """Norm of each output unit's weights, kept broadcastable: (O, ...) -> (O, 1, ...); of a vector as a whole, ()."""
    if x.ndim <= 1:
        return x.norm(norm_type)
    return x.norm(norm_type, dim=tuple(range(1, x.ndim)), keepdim=True)


@torch.no_grad()
def adaptive_clip_grad(
    parameters: Tensor | Iterable[Tensor], clip_factor: float = 0.01, eps: float = 1e-3, norm_type: float = 2.0
) -> None:
    """Scale down, in place, every unit's gradient whose norm exceeds `clip_factor` times that of its weights.

    Args:
        eps: Norm that a unit's weights are taken to have at least.

    Raises:
        ValueError: `clip_factor` is below 0.

    Source: Brock et al., High-Performance Large-Scale Image Recognition Without Normalization, arXiv:2102.06171,
    equation 3.
    """
    if not clip_factor >= 0:
        raise ValueError(f'clip_factor={clip_factor} is not allowed: give a number >= 0.')
    given: Iterable[Tensor] = [parameters] if isinstance(parameters, Tensor) else parameters
    for p in given:
        if p.grad is None:
            continue
        allowed = unitwise_norm(p, norm_type).clamp_(min=eps).mul_(clip_factor)
        found = unitwise_norm(p.grad, norm_type)
        exceeds = found > allowed
        if found.device.type == 'cpu' and not exceeds.any():
            continue  # elsewhere asking costs more than multiplying by 1
        scale = torch.where(exceeds, allowed / found.clamp_(min=SMALLEST_NORM), 1.0)
        p.grad.mul_(scale)
