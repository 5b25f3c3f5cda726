# pyright: strict
"""Test-time augmentation: several views of each image, whose outputs are averaged.

Source: five and ten crops, Krizhevsky et al., 2012, section 4.1; here a view of a corner is enlarged to the input's
size, so that it suits networks of a fixed size.
"""

from torch import Tensor
from torch.nn.functional import interpolate

__all__ = ['NUM_VIEWS', 'views']

NUM_VIEWS = (1, 2, 5, 10)
_CORNER = 7 / 8  # side of the view of a corner, as a share of the image's


def views(x: Tensor, count: int) -> list[Tensor]:
    """The images, with 2 also mirrored, with 5 their corners too, with 10 all of these mirrored as well.

    Shape: (B, C, H, W) -> `count` times (B, C, H, W)
    """
    found = [x, *_corners(x)] if count >= 5 else [x]
    return found + [view.flip(3) for view in found] if count in (2, 10) else found


def _corners(x: Tensor) -> list[Tensor]:
    H, W = x.shape[2:]
    h, w = max(1, round(H * _CORNER)), max(1, round(W * _CORNER))
    parts = [x[:, :, top : top + h, left : left + w] for top in (0, H - h) for left in (0, W - w)]
    return [interpolate(part, (H, W), mode='bilinear', align_corners=False) for part in parts]
