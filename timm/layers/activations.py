"""Activation functions and modules, each taking `inplace` so that a factory can treat all alike."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    'GELU',
    'GELUTanh',
    'HardMish',
    'HardSigmoid',
    'HardSwish',
    'Mish',
    'PReLU',
    'QuickGELU',
    'Sigmoid',
    'Swish',
    'Tanh',
    'gelu',
    'gelu_tanh',
    'hard_mish',
    'hard_sigmoid',
    'hard_swish',
    'mish',
    'quick_gelu',
    'sigmoid',
    'swish',
    'tanh',
]

torch.fx.wrap('mish')  # a symbolic tracer cannot answer what it asks of its input


def swish(x: Tensor, inplace: bool = False) -> Tensor:
    """`x * sigmoid(x)` (Ramachandran et al., 1710.05941), the same function as SiLU."""
    return F.silu(x, inplace=inplace)


def mish(x: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001 - accepted so that all activations are called alike
    """`x * tanh(softplus(x))` (Misra, 1908.08681); never in place."""
    if x.is_cpu and x.requires_grad:
        return x * F.softplus(x).tanh()  # the kernel computes all of it anew in the backward pass, which takes longer
    return F.mish(x)


def sigmoid(x: Tensor, inplace: bool = False) -> Tensor:
    """1 / (1 + exp(-x))."""
    return x.sigmoid_() if inplace else x.sigmoid()


def tanh(x: Tensor, inplace: bool = False) -> Tensor:
    """Hyperbolic tangent."""
    return x.tanh_() if inplace else x.tanh()


def hard_sigmoid(x: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6 (Howard et al., 1905.02244, section 5.2)."""
    return F.hardsigmoid(x, inplace=inplace)


def hard_swish(x: Tensor, inplace: bool = False) -> Tensor:
    """`x * relu6(x + 3) / 6` (Howard et al., 1905.02244, section 5.2)."""
    return F.hardswish(x, inplace=inplace)


def hard_mish(x: Tensor, inplace: bool = False) -> Tensor:
    """`x * min(max(x + 2, 0), 2) / 2`, a piecewise stand-in for mish."""
    gate = (x + 2).clamp(0, 2) / 2
    return x.mul_(gate) if inplace else x * gate


def gelu(x: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
    """`x * Phi(x)` with the normal distribution function Phi (Hendrycks and Gimpel, 1606.08415); never in place."""
    return F.gelu(x)


def gelu_tanh(x: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
    """GELU by its tanh approximation (1606.08415, section 2); never in place."""
    return F.gelu(x, approximate='tanh')


def quick_gelu(x: Tensor, inplace: bool = False) -> Tensor:  # noqa: ARG001
    """`x * sigmoid(1.702 x)`, GELU by its sigmoid approximation (1606.08415, section 2); never in place."""
    return x * torch.sigmoid(1.702 * x)


class _Activation(nn.Module):
    """Keeps `inplace`, which says whether the input may be overwritten with the result."""

    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


class Swish(_Activation):
    """`x * sigmoid(x)`, element by element (1710.05941)."""

    def forward(self, x: Tensor) -> Tensor:
        return swish(x, self.inplace)


class Mish(_Activation):
    """`x * tanh(softplus(x))`, element by element (1908.08681); `inplace` is accepted and has no effect."""

    def forward(self, x: Tensor) -> Tensor:
        return mish(x)


class Sigmoid(_Activation):
    """nn.Sigmoid that can overwrite its input."""

    def forward(self, x: Tensor) -> Tensor:
        return sigmoid(x, self.inplace)


class Tanh(_Activation):
    """nn.Tanh that can overwrite its input."""

    def forward(self, x: Tensor) -> Tensor:
        return tanh(x, self.inplace)


class HardSwish(_Activation):
    """`x * relu6(x + 3) / 6`, element by element (1905.02244)."""

    def forward(self, x: Tensor) -> Tensor:
        return hard_swish(x, self.inplace)


class HardSigmoid(_Activation):
    """relu6(x + 3) / 6, element by element (1905.02244)."""

    def forward(self, x: Tensor) -> Tensor:
        return hard_sigmoid(x, self.inplace)


class HardMish(_Activation):
    """`x * min(max(x + 2, 0), 2) / 2`, element by element."""

    def forward(self, x: Tensor) -> Tensor:
        return hard_mish(x, self.inplace)


class PReLU(nn.PReLU):
    """nn.PReLU, learned slope below zero (He et al., 1502.01852); `inplace` is accepted and has no effect."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, inplace: bool = False) -> None:  # noqa: ARG002
        super().__init__(num_parameters=num_parameters, init=init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)


class GELU(_Activation):
    """nn.GELU; `inplace` is accepted and has no effect."""

    def forward(self, input: Tensor) -> Tensor:
        return gelu(input)


class GELUTanh(_Activation):
    """nn.GELU(approximate='tanh'); `inplace` is accepted and has no effect."""

    def forward(self, input: Tensor) -> Tensor:
        return gelu_tanh(input)


class QuickGELU(_Activation):
    """`x * sigmoid(1.702 x)`, element by element, as in CLIP; `inplace` is accepted and has no effect."""

    def forward(self, input: Tensor) -> Tensor:
        return quick_gelu(input)
