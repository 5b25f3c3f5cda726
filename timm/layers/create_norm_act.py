"""Norms with activation by name: classes and instances."""

import functools
import types
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import nn

from ._checks import BadValue
from ._names import unknown_name
from .config import is_no_jit
from .create_act import get_act_layer
from .create_norm import norm_key
from .evo_norm import (
    EvoNorm2dB0,
    EvoNorm2dB1,
    EvoNorm2dB2,
    EvoNorm2dS0,
    EvoNorm2dS0a,
    EvoNorm2dS1,
    EvoNorm2dS1a,
    EvoNorm2dS2,
    EvoNorm2dS2a,
)
from .filter_response_norm import FilterResponseNormAct2d, FilterResponseNormTlu2d
from .inplace_abn import InplaceAbn
from .norm_act import (
    BatchNormAct2d,
    GroupNorm1Act,
    GroupNormAct,
    LayerNormAct,
    LayerNormAct2d,
    LayerNormAct2dFp32,
    LayerNormActFp32,
    RmsNormAct,
    RmsNormAct2d,
    RmsNormAct2dFp32,
    RmsNormActFp32,
)
from .typing import LayerType

__all__ = ['create_norm_act_layer', 'get_norm_act_layer']

# Norms that take the place of a plain norm of that name and are given the activation.
_NORM_ACTS: dict[str, Callable[..., nn.Module]] = {
    'batchnorm': BatchNormAct2d,
    'batchnorm2d': BatchNormAct2d,
    'frn': FilterResponseNormAct2d,
    'groupnorm': GroupNormAct,
    'groupnorm1': GroupNorm1Act,
    'iabn': InplaceAbn,
    'inplaceabn': InplaceAbn,
    'layernorm': LayerNormAct,
    'layernorm2d': LayerNormAct2d,
    'layernorm2dfp32': LayerNormAct2dFp32,
    'layernormfp32': LayerNormActFp32,
    'rmsnorm': RmsNormAct,
    'rmsnorm2d': RmsNormAct2d,
    'rmsnorm2dfp32': RmsNormAct2dFp32,
    'rmsnormfp32': RmsNormActFp32,
}

# Norms whose non-linearity is part of their definition and is not replaced.
_SELF_ACTIVATED: dict[str, Callable[..., nn.Module]] = {
    'evonormb0': EvoNorm2dB0,
    'evonormb1': EvoNorm2dB1,
    'evonormb2': EvoNorm2dB2,
    'evonorms0': EvoNorm2dS0,
    'evonorms0a': EvoNorm2dS0a,
    'evonorms1': EvoNorm2dS1,
    'evonorms1a': EvoNorm2dS1a,
    'evonorms2': EvoNorm2dS2,
    'evonorms2a': EvoNorm2dS2a,
    'frntlu': FilterResponseNormTlu2d,
}


@overload
def get_norm_act_layer(norm_layer: None, act_layer: LayerType | None = None) -> None: ...
@overload
def get_norm_act_layer(norm_layer: LayerType, act_layer: LayerType | None = None) -> Callable[..., Any]: ...
def get_norm_act_layer(norm_layer: LayerType | None, act_layer: LayerType | None = None) -> Any:
    """The class that joins a norm and an activation, with the activation filled in.

    Args:
        norm_layer: A name, whatever its case and underscores; a norm class or a partial of one, for which the class
            with activation is taken and the partial's keywords are kept; or such a class with activation itself. A
            plain function stands for itself. None and '' give None.
        act_layer: None for no activation. A partial that states an `act_layer` keeps its own.

    Raises:
        ValueError: The name or class has no counterpart with activation, or the activation is unknown.
    """
    if not norm_layer:
        return None
    if isinstance(norm_layer, types.FunctionType):
        return norm_layer
    keywords: dict[str, Any] = {}
    if isinstance(norm_layer, functools.partial):
        if norm_layer.args:
            raise BadValue(f'{norm_layer} binds arguments by position: bind them by name.')
        norm_layer, keywords = norm_layer.func, norm_layer.keywords
    if not isinstance(norm_layer, (str, type)):
        raise TypeError(f'A norm is a name such as "batchnorm", a class, a partial or a function, not {norm_layer!r}.')
    get_act_layer(act_layer)  # refuses now what would fail when a norm is built

    known = {**_NORM_ACTS, **_SELF_ACTIVATED}
    if norm_layer in known.values():
        norm_act: Any = norm_layer
    else:
        name = norm_layer if isinstance(norm_layer, str) else norm_layer.__name__
        if norm_key(name) not in known:
            raise unknown_name('norm with activation', name, known)
        norm_act = known[norm_key(name)]
    if norm_act in _NORM_ACTS.values():
        keywords = {'act_layer': act_layer, **keywords}
    return functools.partial(norm_act, **keywords) if keywords else norm_act


def create_norm_act_layer(
    layer_name: LayerType,
    num_features: int,
    act_layer: LayerType | None = None,
    apply_act: bool = True,
    jit: bool = False,
    **kwargs: Any,
) -> nn.Module:
    """A norm over `num_features` channels with its activation.

    Args:
        apply_act: Have the activation at all.
        jit: Compile it by TorchScript, unless `is_no_jit()`.
        kwargs: Other arguments of the class.

    Raises:
        ValueError: The name is unknown or empty.
    """
    if not layer_name:
        raise unknown_name('norm with activation', layer_name, _NORM_ACTS)
    layer = get_norm_act_layer(layer_name, act_layer)(num_features, apply_act=apply_act, **kwargs)
    return torch.jit.script(layer) if jit and not is_no_jit() else layer
