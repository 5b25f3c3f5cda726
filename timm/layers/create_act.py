"""Activations by name: functions, classes and instances."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, overload

import torch.nn.functional as F
from torch import nn

from ._checks import BadValue
from ._names import unknown_name
from .activations import (
    GELU,
    GELUTanh,
    HardMish,
    PReLU,
    QuickGELU,
    Sigmoid,
    Tanh,
    gelu,
    gelu_tanh,
    hard_mish,
    quick_gelu,
    sigmoid,
    tanh,
)
from .activations_me import HardMishMe, hard_mish_me
from .config import is_exportable, is_scriptable
from .typing import LayerType

__all__ = ['create_act_layer', 'create_gate', 'get_act_fn', 'get_act_layer']

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    'celu': F.celu,
    'elu': F.elu,
    'gelu': gelu,
    'gelu_tanh': gelu_tanh,
    'hard_mish': hard_mish,
    'hard_sigmoid': F.hardsigmoid,
    'hard_swish': F.hardswish,
    'hardsigmoid': F.hardsigmoid,
    'hardswish': F.hardswish,
    'leaky_relu': F.leaky_relu,
    'mish': F.mish,
    'quick_gelu': quick_gelu,
    'relu': F.relu,
    'relu6': F.relu6,
    'selu': F.selu,
    'sigmoid': sigmoid,
    'silu': F.silu,
    'swish': F.silu,
    'tanh': tanh,
}

_CLASSES: dict[str, Callable[..., Any]] = {
    'celu': nn.CELU,
    'elu': nn.ELU,
    'gelu': GELU,
    'gelu_tanh': GELUTanh,
    'hard_mish': HardMish,
    'hard_sigmoid': nn.Hardsigmoid,
    'hard_swish': nn.Hardswish,
    'hardsigmoid': nn.Hardsigmoid,
    'hardswish': nn.Hardswish,
    'identity': nn.Identity,
    'leaky_relu': nn.LeakyReLU,
    'mish': nn.Mish,
    'prelu': PReLU,
    'quick_gelu': QuickGELU,
    'relu': nn.ReLU,
    'relu6': nn.ReLU6,
    'selu': nn.SELU,
    'sigmoid': Sigmoid,
    'silu': nn.SiLU,
    'swish': nn.SiLU,
    'tanh': Tanh,
}

# Preferred unless a script or an export is asked for, neither of which can look into an autograd function.
_RECOMPUTING_FUNCTIONS = {'hard_mish': hard_mish_me}
_RECOMPUTING_CLASSES = {'hard_mish': HardMishMe}


def _look_up(
    name: Any,
    table: Mapping[str, Callable[..., Any]],
    recomputing: Mapping[str, Callable[..., Any]],
) -> Any:
    if not name:
        return None
    if callable(name):
        return name
    if not isinstance(name, str):
        raise TypeError(f'An activation is a name such as "relu", a class or a function, not {name!r}.')
    key = name.lower()
    if key not in table:
        raise unknown_name('activation', name, table)
    if key in recomputing and not (is_exportable() or is_scriptable()):
        return recomputing[key]
    return table[key]


@overload
def get_act_fn(name: None) -> None: ...
@overload
def get_act_fn(name: LayerType = 'relu') -> Callable[..., Any]: ...
def get_act_fn(name: LayerType | None = 'relu') -> Any:
    """The activation function of a name, in upper or lower case; a callable stands for itself, None or '' for None.

    Raises:
        ValueError: The name is unknown.
    """
    return _look_up(name, _FUNCTIONS, _RECOMPUTING_FUNCTIONS)


@overload
def get_act_layer(name: None) -> None: ...
@overload
def get_act_layer(name: LayerType = 'relu') -> Callable[..., Any]: ...
def get_act_layer(name: LayerType | None = 'relu') -> Any:
    """The activation class of a name, in upper or lower case; a callable stands for itself, None or '' for None.

    Raises:
        ValueError: The name is unknown.
    """
    return _look_up(name, _CLASSES, _RECOMPUTING_CLASSES)


@functools.lru_cache(maxsize=128)
def _takes_inplace(act_layer: Callable[..., Any]) -> bool:
    return 'inplace' in inspect.signature(act_layer).parameters


@overload
def create_act_layer(name: None, inplace: bool | None = None, **kwargs: Any) -> None: ...
@overload
def create_act_layer(name: LayerType, inplace: bool | None = None, **kwargs: Any) -> nn.Module: ...
def create_act_layer(name: LayerType | None, inplace: bool | None = None, **kwargs: Any) -> nn.Module | None:
    """An activation module from a name, class or factory; None or '' gives None.

    Args:
        inplace: Passed on where the class knows it; None leaves the choice to the class.
        kwargs: Other arguments of the class.

    Raises:
        ValueError: The name is unknown.
    """
    act_layer = get_act_layer(name) if name else None
    if act_layer is None:
        return None
    if inplace is not None and _takes_inplace(act_layer):
        kwargs['inplace'] = inplace
    return act_layer(**kwargs)


def create_gate(gate_layer: LayerType) -> nn.Module:
    """The activation that ends a gate, without which a layer would not be one.

    Raises:
        ValueError: The name is unknown or empty.
    """
    gate = create_act_layer(gate_layer)
    if gate is None:
        raise BadValue(
            f"gate_layer={gate_layer!r} leaves no gate: use 'sigmoid', or 'identity' for one without bounds."
        )
    return gate
