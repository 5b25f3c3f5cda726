"""Initialisers: truncated normal and variance scaling, and the recipes of ViT as published for PyTorch and JAX."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Concatenate, Literal, ParamSpec

import torch
from torch import Tensor, nn
from torch.nn.init import _calculate_fan_in_and_fan_out
from torch.overrides import handle_torch_function, has_torch_function_unary

from ._checks import BadValue
from ._names import unknown_name

__all__ = [
    'init_weight_jax',
    'init_weight_vit',
    'is_meta_device',
    'lecun_normal_',
    'trunc_normal_',
    'trunc_normal_tf_',
    'variance_scaling_',
]

P = ParamSpec('P')

# No normal generator of torch leaves this many standard deviations: 53 random bits reach 8.6.
_UNREACHABLE = 9.0

# Standard deviation of a standard normal distribution cut off at -2 and 2.
_STD_WITHIN_2 = 0.87962566103423978


def is_meta_device(device: torch.device | str | None) -> bool:
    """Whether tensors made on `device`, or with None on the device in force, would be without storage."""
    device = torch.get_default_device() if device is None else torch.device(device)
    return device.type == 'meta'


def _overridable(fill: Callable[Concatenate[Tensor, P], Tensor]) -> Callable[Concatenate[Tensor, P], Tensor]:
    """Let torch's function modes see calls of `fill`, as they see those of torch.nn.init."""

    @functools.wraps(fill)
    def wrapper(tensor: Tensor, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        if not isinstance(tensor, Tensor):
            raise TypeError(f'{tensor!r} cannot be filled: use a tensor, such as the weight of a layer.')
        if has_torch_function_unary(tensor):
            return handle_torch_function(wrapper, (tensor,), tensor, *args, **kwargs)
        return fill(tensor, *args, **kwargs)

    return wrapper


def _fill(tensor: Tensor, draw: Callable[[Tensor], object]) -> Tensor:
    """`draw` into `tensor`, by way of float32 for shorter types; a tensor without storage is left alone."""
    if tensor.is_meta:
        return tensor
    with torch.no_grad():
        if tensor.dtype in (torch.float32, torch.float64):
            draw(tensor)
        else:
            values = torch.empty_like(tensor, dtype=torch.float32)
            draw(values)
            tensor.copy_(values)
    return tensor


def _normal_within(tensor: Tensor, mean: float, std: float, low: float, high: float) -> Tensor:
    """Normal(mean, std) conditioned on low <= value <= high."""
    if not low < high or std < 0:
        raise BadValue(f'A truncated normal needs a < b and std >= 0, not a={low}, b={high}, std={std}.')
    if mean - low >= _UNREACHABLE * std and high - mean >= _UNREACHABLE * std:
        return _fill(tensor, lambda t: t.normal_(mean, std))
    if not low - 2 * std <= mean <= high + 2 * std:
        warnings.warn(
            f'The mean {mean} of a truncated normal lies more than two std={std} outside [{low}, {high}]: '
            f'the distribution of the values may be incorrect.',
            stacklevel=3,
        )

    def draw(t: Tensor) -> None:  # by the inverse of the distribution function
        scale = std * math.sqrt(2)
        t.uniform_(math.erf((low - mean) / scale), math.erf((high - mean) / scale))
        t.erfinv_().mul_(scale).add_(mean).clamp_(low, high)

    return _fill(tensor, draw)


@_overridable
def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """Fill with values of Normal(mean, std) that lie between `a` and `b`; in float32 for shorter types.

    Args:
        a: Least value, in the units of the values: with the usual std of 0.02 it cuts nothing off.
        b: Greatest value, likewise.
    """
    return _normal_within(tensor, mean, std, a, b)


@_overridable
def trunc_normal_tf_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """Fill with mean + std z where z is standard normal between `a` and `b`, as TensorFlow and JAX have it.

    Args:
        a: Least z, that is, in units of `std`.
        b: Greatest z, likewise.
    """
    return _normal_within(tensor, mean, std, mean + a * std, mean + b * std)


@_overridable
def variance_scaling_(
    tensor: Tensor,
    scale: float = 1.0,
    mode: Literal['fan_in', 'fan_out', 'fan_avg'] = 'fan_in',
    distribution: Literal['truncated_normal', 'normal', 'uniform'] = 'normal',
) -> Tensor:
    """Fill with zero-mean values of variance scale / fan (He et al., 1502.01852, and its generalisation in Keras).

    Args:
        tensor: Weight of a linear or conv layer, outputs first.
        mode: What the fan is: inputs of an output, outputs of an input, or the mean of both.

    Raises:
        ValueError: Unknown mode or distribution, a negative scale, or a tensor of fewer than two dimensions.
    """
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    fans = {'fan_in': fan_in, 'fan_out': fan_out, 'fan_avg': (fan_in + fan_out) / 2}
    if mode not in fans:
        raise unknown_name('mode', mode, fans)
    if not scale >= 0:
        raise BadValue(f'scale={scale} is no factor of a variance: use 0.0 or more.')
    std = math.sqrt(scale / fans[mode])
    if distribution == 'truncated_normal':
        return trunc_normal_tf_(tensor, std=std / _STD_WITHIN_2)
    if distribution == 'normal':
        return _fill(tensor, lambda t: t.normal_(0.0, std))
    if distribution == 'uniform':
        bound = math.sqrt(3) * std
        return _fill(tensor, lambda t: t.uniform_(-bound, bound))
    raise unknown_name('distribution', distribution, ('truncated_normal', 'normal', 'uniform'))


@_overridable
def lecun_normal_(tensor: Tensor) -> Tensor:
    """Fill with a truncated normal of variance 1 / fan_in (LeCun et al., Efficient BackProp, 1998), as in JAX."""
    return variance_scaling_(tensor, mode='fan_in', distribution='truncated_normal')


def _init_head(module: nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d, bias: float) -> None:
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.constant_(module.bias, bias)


def _init_itself(module: nn.Module) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f'{module!r} has no weights to initialise: use an nn.Module.')
    init_weights = getattr(module, 'init_weights', None)
    if callable(init_weights):
        init_weights()


def init_weight_vit(
    module: nn.Module,
    name: str,
    init_bias: float = 0.02,
    head_bias: float = 0.0,
    classifier_name: str = 'head',
) -> None:
    """Initialise one linear or conv layer of a ViT: normal with std 0.02; a module with `init_weights` does it itself.

    Args:
        name: The module's path in the network.
        init_bias: Bias of linear layers; that of convs is left alone.
        head_bias: Bias of the classifier, whose weights become zero.
        classifier_name: How the classifier's path starts.
    """
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        if name.startswith(classifier_name):
            _init_head(module, head_bias)
            return
        trunc_normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.constant_(module.bias, init_bias)
    else:
        _init_itself(module)


def init_weight_jax(module: nn.Module, name: str, head_bias: float = 0.0, classifier_name: str = 'head') -> None:
    """Initialise one layer as the JAX code of ViT does; a module with `init_weights` does it itself.

    Linear layers are Xavier uniform with zero bias (normal with std 1e-6 inside an MLP), 2-d convs LeCun normal.

    Args:
        name: The module's path in the network.
        head_bias: Bias of a linear classifier, whose weights become zero.
        classifier_name: How the classifier's path starts.
    """
    if isinstance(module, nn.Linear):
        if name.startswith(classifier_name):
            _init_head(module, head_bias)
            return
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None and 'mlp' in name:
            nn.init.normal_(module.bias, std=1e-6)
        elif module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        lecun_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    else:
        _init_itself(module)
