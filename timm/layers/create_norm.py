"""Norms by name: classes and instances."""

from collections.abc import Callable
from typing import Any, overload

from torch import nn

from ._names import unknown_name
from .batch_norm_act import FrozenBatchNorm2d
from .norm import (
    GroupNorm,
    GroupNorm1,
    LayerNorm,
    LayerNorm2d,
    LayerNorm2dFp32,
    LayerNormFp32,
    RmsNorm,
    RmsNorm2d,
    RmsNorm2dFp32,
    RmsNormFp32,
    SimpleNorm,
    SimpleNorm2d,
    SimpleNorm2dFp32,
    SimpleNormFp32,
)
from .typing import LayerType

__all__ = ['create_norm_layer', 'get_norm_layer']

_NORMS: dict[str, type[nn.Module]] = {
    'batchnorm': nn.BatchNorm2d,
    'batchnorm1d': nn.BatchNorm1d,
    'batchnorm2d': nn.BatchNorm2d,
    'frozenbatchnorm2d': FrozenBatchNorm2d,
    'groupnorm': GroupNorm,
    'groupnorm1': GroupNorm1,
    'layernorm': LayerNorm,
    'layernorm2d': LayerNorm2d,
    'layernorm2dfp32': LayerNorm2dFp32,
    'layernormfp32': LayerNormFp32,
    'rmsnorm': RmsNorm,
    'rmsnorm2d': RmsNorm2d,
    'rmsnorm2dfp32': RmsNorm2dFp32,
    'rmsnormfp32': RmsNormFp32,
    'simplenorm': SimpleNorm,
    'simplenorm2d': SimpleNorm2d,
    'simplenorm2dfp32': SimpleNorm2dFp32,
    'simplenormfp32': SimpleNormFp32,
}


def norm_key(name: str) -> str:
    """The form in which names of norms are compared: lower case without underscores."""
    return name.replace('_', '').lower()


@overload
def get_norm_layer(norm_layer: None) -> None: ...
@overload
def get_norm_layer(norm_layer: LayerType) -> Callable[..., Any]: ...
def get_norm_layer(norm_layer: LayerType | None) -> Any:
    """The norm class of a name, whatever its case and underscores; a class, partial or function stands for itself.

    Args:
        norm_layer: None and '' give None.

    Raises:
        ValueError: The name is unknown.
    """
    if not norm_layer:
        return None
    if callable(norm_layer):
        return norm_layer
    if not isinstance(norm_layer, str):
        raise TypeError(f'A norm is a name such as "layernorm", a class or a function, not {norm_layer!r}.')
    key = norm_key(norm_layer)
    if key not in _NORMS:
        raise unknown_name('norm', norm_layer, _NORMS)
    return _NORMS[key]


def create_norm_layer(layer_name: LayerType, num_features: int, **kwargs: Any) -> nn.Module:
    """A norm over `num_features` channels from a name, class or factory.

    Args:
        kwargs: Other arguments of the class.

    Raises:
        ValueError: The name is unknown or empty.
    """
    if not layer_name:
        raise unknown_name('norm', layer_name, _NORMS)
    return get_norm_layer(layer_name)(num_features, **kwargs)
