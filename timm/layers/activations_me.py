"""Activations that keep only their input for the backward pass and recompute the rest there."""

from typing import Any

import torch
from torch import Tensor, nn

from .activations import hard_mish, hard_sigmoid, hard_swish, mish, swish

__all__ = [
    'HardMishAutoFn',
    'HardMishMe',
    'HardSigmoidAutoFn',
    'HardSigmoidMe',
    'HardSwishAutoFn',
    'HardSwishMe',
    'MishAutoFn',
    'MishMe',
    'SwishAutoFn',
    'SwishMe',
    'hard_mish_bwd',
    'hard_mish_fwd',
    'hard_mish_me',
    'hard_sigmoid_bwd',
    'hard_sigmoid_fwd',
    'hard_sigmoid_me',
    'hard_swish_bwd',
    'hard_swish_fwd',
    'hard_swish_me',
    'mish_bwd',
    'mish_fwd',
    'mish_me',
    'swish_bwd',
    'swish_fwd',
    'swish_me',
]


def swish_fwd(x: Tensor) -> Tensor:
    """`x s` with s = sigmoid(x)."""
    return swish(x)


def swish_bwd(x: Tensor, grad_output: Tensor) -> Tensor:
    """Gradient of `swish_fwd`: s (1 + x (1 - s)) with s = sigmoid(x)."""
    s = x.sigmoid()
    return grad_output * s * (1 + x * (1 - s))


def mish_fwd(x: Tensor) -> Tensor:
    """`x t` with t = tanh(softplus(x))."""
    return mish(x)


def mish_bwd(x: Tensor, grad_output: Tensor) -> Tensor:
    """Gradient of `mish_fwd`: t + x s (1 - t^2) with s = sigmoid(x), t = tanh(softplus(x))."""
    t = nn.functional.softplus(x).tanh()
    return grad_output * (t + x * x.sigmoid() * (1 - t * t))


def hard_sigmoid_fwd(x: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
    return hard_sigmoid(x, inplace)


def hard_sigmoid_bwd(x: Tensor, grad_output: Tensor) -> Tensor:
    """Gradient of `hard_sigmoid_fwd`: 1/6 where |x| <= 3, else 0."""
    return grad_output * (x.abs() <= 3) / 6


def hard_swish_fwd(x: Tensor) -> Tensor:
    """`x min(max(x + 3, 0), 6) / 6`."""
    return hard_swish(x)


def hard_swish_bwd(x: Tensor, grad_output: Tensor) -> Tensor:
    """Gradient of `hard_swish_fwd`: x/3 + 1/2 where |x| <= 3, 1 above, 0 below."""
    return grad_output * torch.where(x.abs() <= 3, x / 3 + 0.5, (x > 3).to(x.dtype))


def hard_mish_fwd(x: Tensor) -> Tensor:
    """`x min(max(x + 2, 0), 2) / 2`."""
    return hard_mish(x)


def hard_mish_bwd(x: Tensor, grad_output: Tensor) -> Tensor:
    """Gradient of `hard_mish_fwd`: x + 1 where -2 <= x <= 0, 1 above, 0 below."""
    return grad_output * torch.where(x < -2, 0.0, (x + 1).clamp(max=1))


class SwishAutoFn(torch.autograd.Function):
    """Swish as an autograd function that saves its input only."""

    @staticmethod
    def symbolic(g: Any, x: Any) -> Any:
        """ONNX nodes: Mul(x, Sigmoid(x))."""
        return g.op('Mul', x, g.op('Sigmoid', x))

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return swish_fwd(x)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        return swish_bwd(ctx.saved_tensors[0], grad_output)


class MishAutoFn(torch.autograd.Function):
    """Mish as an autograd function that saves its input only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return mish_fwd(x)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        return mish_bwd(ctx.saved_tensors[0], grad_output)


class HardSigmoidAutoFn(torch.autograd.Function):
    """Hard sigmoid as an autograd function that saves its input only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return hard_sigmoid_fwd(x)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        return hard_sigmoid_bwd(ctx.saved_tensors[0], grad_output)


class HardSwishAutoFn(torch.autograd.Function):
    """Hard swish as an autograd function that saves its input only."""

    @staticmethod
    def symbolic(g: Any, self: Any) -> Any:
        """ONNX nodes: Mul(x, HardSigmoid(x)) with slope 1/6."""
        return g.op('Mul', self, g.op('HardSigmoid', self, alpha_f=1 / 6, beta_f=0.5))

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return hard_swish_fwd(x)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        return hard_swish_bwd(ctx.saved_tensors[0], grad_output)


class HardMishAutoFn(torch.autograd.Function):
    """Hard mish as an autograd function that saves its input only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return hard_mish_fwd(x)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        return hard_mish_bwd(ctx.saved_tensors[0], grad_output)


def swish_me(x: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001 - accepted so that all activations are called alike
    """Swish with the memory of its input only; never in place."""
    return SwishAutoFn.apply(x)


def mish_me(x: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
    """Mish with the memory of its input only; never in place."""
    return MishAutoFn.apply(x)


def hard_sigmoid_me(x: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
    """Hard sigmoid with the memory of its input only; never in place."""
    return HardSigmoidAutoFn.apply(x)


def hard_swish_me(x: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
    """Hard swish with the memory of its input only; never in place."""
    return HardSwishAutoFn.apply(x)


def hard_mish_me(x: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
    """Hard mish with the memory of its input only; never in place."""
    return HardMishAutoFn.apply(x)


class _Recomputing(nn.Module):
    """Takes `inplace` like every activation here and has no use for it."""

    def __init__(self, inplace: bool = False) -> None:  # noqa: ARG002
        super().__init__()


class SwishMe(_Recomputing):
    """`swish_me` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return SwishAutoFn.apply(x)


class MishMe(_Recomputing):
    """`mish_me` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return MishAutoFn.apply(x)


class HardSigmoidMe(_Recomputing):
    """`hard_sigmoid_me` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return HardSigmoidAutoFn.apply(x)


class HardSwishMe(_Recomputing):
    """`hard_swish_me` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return HardSwishAutoFn.apply(x)


class HardMishMe(_Recomputing):
    """`hard_mish_me` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return HardMishAutoFn.apply(x)
