"""Cutting a feature map into windows that do not overlap, and putting it together again (Swin, arXiv:2103.14030)."""

import torch
from torch.nn import functional as F

from ._fx import register_notrace_function
from .helpers import is_exporting

__all__ = ['pad_to_windows', 'window_partition', 'window_reverse']


def window_partition(x: torch.Tensor, window_size: tuple[int, int]) -> torch.Tensor:
    """Windows of a map, image by image, then row by row.

    Shape: (B, H, W, C) -> (B * H/h * W/w, h, w, C) for windows of h x w that tile the map
    """
    B, H, W, C = x.shape
    h, w = window_size
    tiles = x.reshape(B, H // h, h, W // w, w, C).transpose(2, 3)
    return tiles.reshape(-1, h, w, C)


def window_reverse(windows: torch.Tensor, window_size: tuple[int, int], img_size: tuple[int, int]) -> torch.Tensor:
    """The map whose windows these are, the inverse of `window_partition`.

    Shape: (B * H/h * W/w, h, w, C) -> (B, H, W, C) for img_size (H, W)
    """
    h, w = window_size
    H, W = img_size
    C = windows.shape[-1]
    tiles = windows.reshape(-1, H // h, W // w, h, w, C).transpose(2, 3)
    return tiles.reshape(-1, H, W, C)


@register_notrace_function
def pad_to_windows(x: torch.Tensor, window_size: tuple[int, int]) -> torch.Tensor:
    """Zeros below and to the right, as many as it takes for windows to tile the map.

    Shape: (B, H, W, C) -> (B, H', W', C), H' and W' being the next multiples of the window
    """
    below = -x.shape[1] % window_size[0]
    right = -x.shape[2] % window_size[1]
    # no zeros would still cost a copy; an exporter's symbolic size must not be asked
    if is_exporting() or below > 0 or right > 0:
        x = F.pad(x, (0, 0, 0, right, 0, below))
    return x
