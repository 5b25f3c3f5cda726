"""The ways to clip gradients, by name."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from .agc import adaptive_clip_grad as adaptive_clip_grad

__all__ = ['dispatch_clip_grad']

CLIPPERS: dict[str, Callable[[Any, float, float], object]] = {
    'norm': torch.nn.utils.clip_grad_norm_,
    'value': lambda parameters, value, _: torch.nn.utils.clip_grad_value_(parameters, value),
    'agc': lambda parameters, value, norm_type: adaptive_clip_grad(parameters, value, norm_type=norm_type),
}


def dispatch_clip_grad(
    parameters: Tensor | Iterable[Tensor], value: float, mode: str = 'norm', norm_type: float = 2.0
) -> None:
    """Clip gradients in place.

    Args:
        value: Largest norm of all gradients ('norm'), size of an element ('value'), or share of the weights ('agc').

    Raises:
        ValueError: `mode` is none of these.
    """
    if mode not in CLIPPERS:
        raise ValueError(f"mode='{mode}' is not known: use 'norm', 'value' or 'agc'.")
    CLIPPERS[mode](parameters, value, norm_type)
