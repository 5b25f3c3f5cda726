# pyright: strict
"""How much a network computes for an image: multiply-accumulates and activations, counted while it runs."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ['Counter', 'count_operations']

aten: Any = torch.ops.aten


def _convolution(args: tuple[Any, ...], out: Any) -> int:
    """Each output (or, transposed, each input) meets every weight of its group once."""
    x, weight, transposed = args[0], args[1], args[6]
    return (x if transposed else out).numel() * prod(weight.shape[1:])


def _product(args: tuple[Any, ...], out: Any) -> int:
    """Each output is a sum over the last axis of the left factor."""
    return out.numel() * args[0].shape[-1]


def _added_product(args: tuple[Any, ...], out: Any) -> int:
    """The same, behind a summand."""
    return out.numel() * args[1].shape[-1]


_RULES: dict[Any, Callable[[tuple[Any, ...], Any], int]] = {
    aten.convolution: _convolution,
    aten.linear: _product,
    aten.mm: _product,
    aten.bmm: _product,
    aten.addmm: _added_product,
    aten.baddbmm: _added_product,
}


class Counter(TorchDispatchMode):
    """Counts what runs in its block.

    Attributes:
        macs: Multiply-accumulates of convolutions and matrix products, those inside fused attention included.
        activations: Elements these operations put out, the attention matrix of fused attention included.
    """

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.macs = 0
        self.activations = 0

    def __torch_dispatch__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out: Any = func(*args, **(kwargs or {}))
        packet: Any = func.overloadpacket
        if packet in _RULES:
            self.macs += _RULES[packet](args, out)
            self.activations += out.numel()
        elif 'scaled_dot_product' in packet.__name__ and 'backward' not in packet.__name__:
            query, key, value = args[:3]
            pairs = query.shape[:-1].numel() * key.shape[-2]
            self.macs += pairs * (query.shape[-1] + value.shape[-1])
            self.activations += pairs + query.shape[:-1].numel() * value.shape[-1]
        return out


def count_operations(model: nn.Module, example: Tensor) -> Counter:
    """Count one forward pass in evaluation mode; divide by the batch of `example` for one image."""
    was_training = model.training
    counter = Counter()
    with torch.no_grad(), counter:
        model.eval()(example)
    model.train(was_training)
    return counter
