"""Median filter as a pool."""

import torch
import torch.nn.functional as F
from torch import nn

from ._checks import BadValue, size_2d
from ._fx import register_notrace_module
from .helpers import to_4tuple
from .padding import pad_same_arg

__all__ = ['MedianPool2d']


@register_notrace_module
class MedianPool2d(nn.Module):
    """Median of each window, channel by channel; the lower one of an even number. Borders are mirrored.

    Shape: (B, C, H, W) -> (B, C, H', W')

    Args:
        padding: One number, or left, right, top, bottom.
        same: Pad as 'SAME' does instead, by the size of each input.

    Raises:
        ValueError: A size is below 1 or has not one or two numbers; `padding` has not one or four.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int, int, int] = 0,
        same: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size: tuple[int, int] = size_2d('kernel_size', kernel_size)
        self.stride: tuple[int, int] = size_2d('stride', stride)
        self.padding = list(to_4tuple(padding))
        if len(self.padding) != 4:
            raise BadValue(f'padding={padding!r} is no frame: use one number, or 4 for left, right, top and bottom.')
        self.same = same

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pad, gather the windows, take their medians."""
        padding = self.padding
        if self.same:
            padding = pad_same_arg(x.shape[-2:], self.kernel_size, self.stride)
        x = F.pad(x, padding, mode='reflect')
        x = x.unfold(2, self.kernel_size[0], self.stride[0]).unfold(3, self.kernel_size[1], self.stride[1])
        return x.flatten(4).median(dim=-1)[0]
