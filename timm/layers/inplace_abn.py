"""Activated batch norm that keeps its output alone for the backward pass, by the optional package `inplace_abn`.

Paper: In-Place Activated BatchNorm for Memory-Optimized Training of DNNs, Rota Bulò et al., 2017, arXiv:1712.02616.
"""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ._fx import register_notrace_module
from ._names import unknown_name
from .typing import LayerType

__all__ = ['InplaceAbn', 'has_iabn', 'inplace_abn', 'inplace_abn_sync']

has_iabn = importlib.util.find_spec('inplace_abn') is not None

# The activations that can be undone from their output, which is what the method rests on (section 3.1).
_INVERTIBLE: dict[str, type[nn.Module]] = {'leaky_relu': nn.LeakyReLU, 'elu': nn.ELU, 'identity': nn.Identity}


def _from_package(name: str) -> Callable[..., Any]:
    try:
        return getattr(importlib.import_module('inplace_abn.functions'), name)
    except ImportError as error:
        message = f'{name} is computed by the package inplace_abn, which cannot be imported: {error}. Build it from '
        message += 'https://github.com/mapillary/inplace_abn, or choose the norm BatchNormAct2d.'
        raise ImportError(message) from error


def inplace_abn(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    activation: str = 'leaky_relu',
    activation_param: float = 0.01,
) -> Tensor:
    """The package's function of that name: batch norm, then activation, written over `x`.

    Shape: (B, C, ...) -> the same

    Args:
        activation: leaky_relu, elu or identity.
        activation_param: Slope below zero of leaky_relu, scale of elu.

    Raises:
        ImportError: The package is not installed.
    """
    statistics = running_mean, running_var, training, momentum, eps
    return _from_package('inplace_abn')(x, weight, bias, *statistics, activation, activation_param)


def inplace_abn_sync(**kwargs: Any) -> Tensor:
    """`inplace_abn` with statistics over all processes; the package documents the arguments.

    Raises:
        ImportError: The package is not installed.
    """
    return _from_package('inplace_abn_sync')(**kwargs)


def _invertible(act_layer: LayerType | None) -> str:
    """The package's name of an activation."""
    if act_layer is None or act_layer == '':
        return 'identity'
    for name, act_class in _INVERTIBLE.items():
        if act_layer in (name, act_class):
            return name
    raise unknown_name('activation of InplaceAbn', getattr(act_layer, '__name__', act_layer), _INVERTIBLE)


@register_notrace_module
class InplaceAbn(nn.Module):
    """Batch norm, then an activation, computed in place; the state dict is that of a batch norm without its count.

    Needs the package `inplace_abn` in forward, but not to be built.

    Shape: (B, num_features, H, W) -> the same

    Args:
        apply_act: Have the activation at all.
        act_layer: leaky_relu, elu or identity, or torch's class of that activation; None for identity.
        act_param: Slope below zero of leaky_relu, scale of elu.
        drop_layer: None: nothing fits between norm and activation here.

    Raises:
        ValueError: The activation is another, or a drop layer is asked for.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        apply_act: bool = True,
        act_layer: LayerType | None = 'leaky_relu',
        act_param: float = 0.01,
        drop_layer: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if drop_layer is not None:
            raise ValueError(f'InplaceAbn has no place for drop_layer={drop_layer!r}: use BatchNormAct2d with it.')
        self.num_features = num_features
        self.affine = affine
        self.eps = eps
        self.momentum = momentum
        self.act_name = _invertible(act_layer) if apply_act else 'identity'
        self.act_param = act_param
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.register_buffer('running_mean', torch.zeros(num_features))
        self.register_buffer('running_var', torch.ones(num_features))

    def reset_parameters(self) -> None:
        """Means and shifts 0, variances and factors 1."""
        for name, value in self.state_dict(keep_vars=True).items():
            nn.init.constant_(value, 1.0 if name in ('weight', 'running_var') else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        statistics = self.running_mean, self.running_var, self.training, self.momentum, self.eps
        return inplace_abn(x, self.weight, self.bias, *statistics, self.act_name, self.act_param)

    def extra_repr(self) -> str:
        return f'{self.num_features}, eps={self.eps}, act={self.act_name}({self.act_param})'
