"""Anti-aliased downsampling by a fixed binomial blur, and the factory of anti-aliasing layers."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ._checks import BadValue, check_counts
from ._device import Module, takes_device
from ._names import unknown_name
from .padding import get_padding
from .typing import LayerType

__all__ = ['BlurPool2d', 'create_aa']


_PAD_MODES = ('reflect', 'constant', 'replicate', 'circular')


class BlurPool2d(Module):
    """Low-pass filter with binomial coefficients, then subsampling (arXiv:1904.11486, section 3.2).

    Shape: (B, channels, H, W) -> (B, channels, H', W'), with H' = ceil(H / stride) for odd filters

    Args:
        channels: Of the input; None accepts any number, at the price of expanding the filter in each call.
        filt_size: Taps of the filter along each axis, 2 or more: 3 is (1, 2, 1) / 4.
        pad_mode: Of `F.pad`: reflect, constant, replicate or circular.

    Raises:
        ValueError: `filt_size` is below 2, another size below 1; `pad_mode` is unknown.
    """

    filt: torch.Tensor

    def __init__(
        self,
        channels: int | None = None,
        filt_size: int = 3,
        stride: int = 2,
        pad_mode: str = 'reflect',
    ) -> None:
        super().__init__()
        check_counts(channels=1 if channels is None else channels, filt_size=filt_size, stride=stride)
        if pad_mode not in _PAD_MODES:
            raise unknown_name('pad_mode', pad_mode, _PAD_MODES)
        if filt_size < 2:
            raise BadValue(f'A filter of filt_size={filt_size} does not blur: use 2 or more.')
        self.channels = channels
        self.filt_size = filt_size
        self.stride = stride
        self.pad_mode = pad_mode
        self.padding = [get_padding(filt_size, stride)] * 4
        self.register_buffer('filt', torch.empty(channels or 1, 1, filt_size, filt_size), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Compute the filter, which is all there is."""
        self.init_non_persistent_buffers()

    def init_non_persistent_buffers(self) -> None:
        """Fill the filter in place, where it is and in its dtype; for modules built on the meta device."""
        taps = [math.comb(self.filt_size - 1, i) / 2 ** (self.filt_size - 1) for i in range(self.filt_size)]
        table = torch.tensor([[a * b for b in taps] for a in taps], dtype=torch.float64, device=self.filt.device)
        with torch.no_grad():
            self.filt.copy_(table.expand_as(self.filt))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad, then blur and subsample in one depthwise convolution."""
        C = x.shape[1]
        x = F.pad(x, self.padding, self.pad_mode)
        filt = self.filt if self.channels is not None else self.filt.expand(C, -1, -1, -1)
        return F.conv2d(x, filt, stride=self.stride, groups=C)

    def extra_repr(self) -> str:
        """The arguments of the constructor."""
        return f'{self.channels}, filt_size={self.filt_size}, stride={self.stride}, pad_mode={self.pad_mode!r}'


_AA_LAYERS: dict[str, Callable[..., nn.Module]] = {
    'avg': nn.AvgPool2d,
    'avgpool': nn.AvgPool2d,
    'blur': BlurPool2d,
    'blurpool': BlurPool2d,
    'blurpc': partial(BlurPool2d, pad_mode='constant'),
}


@takes_device
def create_aa(
    aa_layer: LayerType | None,
    channels: int | None = None,
    stride: int = 2,
    enable: bool = True,
    noop: type[nn.Module] | None = nn.Identity,
) -> nn.Module | None:
    """An anti-aliasing layer that subsamples by `stride`.

    Args:
        aa_layer: 'avg', 'avgpool', 'blur', 'blurpool', 'blurpc' (padded with zeros), or a callable of
            `channels` and `stride`; None or '' for none.
        noop: Builds what stands for no layer; None for None.

    Raises:
        ValueError: The name is not known, or `stride` below 1.
        TypeError: `aa_layer` is neither name nor callable.
    """
    if aa_layer and isinstance(aa_layer, str):
        name = aa_layer.lower().replace('_', '')
        if name not in _AA_LAYERS:
            raise unknown_name('anti-aliasing layer', aa_layer, _AA_LAYERS)
        aa_layer = _AA_LAYERS[name]
    if not aa_layer or not enable:
        return None if noop is None else noop()
    if not callable(aa_layer):
        raise TypeError(f"aa_layer={aa_layer!r} is no layer: use a class, or a name such as 'blur'.")
    check_counts(stride=stride)
    arguments: dict[str, Any] = {'channels': channels, 'stride': stride}
    if getattr(aa_layer, 'func', aa_layer) is nn.AvgPool2d:
        arguments = {'kernel_size': stride}
    return aa_layer(**arguments)
