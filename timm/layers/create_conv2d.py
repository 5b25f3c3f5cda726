"""The factory of 2D convolutions: plain, padded 'SAME', of mixed kernel sizes, or mixed per sample."""

from typing import Any

from torch import nn

from ._checks import BadValue, check_multiple
from .cond_conv2d import CondConv2d
from .conv2d_same import create_conv2d_pad
from .mixed_conv2d import MixedConv2d

__all__ = ['create_conv2d']


def create_conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int] | list[int],
    **kwargs: Any,
) -> nn.Conv2d | MixedConv2d | CondConv2d:
    """A convolution without bias (unless `bias=True`) and with symmetric padding, of the kind the arguments ask for.

    Args:
        kernel_size: A list makes a `MixedConv2d` of one kernel size per group of channels.
        kwargs: Of `nn.Conv2d`; `padding` may be '', 'same' or 'valid'; `depthwise=True` sets the groups;
            `num_experts` above 0 makes a `CondConv2d`.

    Raises:
        ValueError: A list of kernel sizes together with experts or groups, or groups together with `depthwise`; a size
            below 1; channels that groups do not divide; an unknown padding.
    """
    if isinstance(kernel_size, list):
        if kwargs.get('groups') == in_channels:
            del kwargs['groups']
            kwargs['depthwise'] = True
        for name, neutral in (('num_experts', 0), ('groups', 1)):
            value = kwargs.pop(name, neutral)
            if value != neutral:
                raise BadValue(f'{name}={value} cannot be combined with a list of kernel sizes, {kernel_size}.')
        return MixedConv2d(in_channels, out_channels, kernel_size, **kwargs)
    if kwargs.pop('depthwise', False):
        if kwargs.get('groups', 1) not in (1, in_channels):
            raise BadValue(f'groups={kwargs["groups"]} contradicts depthwise=True: leave one of them out.')
        reason = f'is no multiple of in_channels={in_channels}, as depthwise=True needs it'
        check_multiple('out_channels', out_channels, in_channels, reason)
        kwargs['groups'] = in_channels
    if kwargs.get('num_experts', 0) < 0:
        raise BadValue(f'num_experts={kwargs["num_experts"]} is negative: use 0 for a plain convolution.')
    if kwargs.get('num_experts', 0) > 0:
        return CondConv2d(in_channels, out_channels, kernel_size, **kwargs)
    kwargs.pop('num_experts', None)
    return create_conv2d_pad(in_channels, out_channels, kernel_size, **kwargs)
