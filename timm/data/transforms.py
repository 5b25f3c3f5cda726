"""Transforms of single images: PIL images in, PIL images or tensors out. Sizes are (height, width)."""

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from ._interpolation import (
    RANDOM_INTERPOLATION,
    interp_mode_to_str,
    str_to_interp_mode,
    str_to_pil_interp,
)

__all__ = [
    'CenterCropOrPad',
    'MaybePILToTensor',
    'MaybeToTensor',
    'RandomCropOrPad',
    'RandomPad',
    'RandomResizedCropAndInterpolation',
    'ResizeKeepRatio',
    'ToNumpy',
    'ToTensor',
    'TrimBorder',
    'center_crop_or_pad',
    'crop_or_pad',
    'interp_mode_to_str',
    'str_to_interp_mode',
    'str_to_pil_interp',
]

has_interpolation_mode = True  # every supported torchvision has it; old code asks
_RANDOM_INTERPOLATION = RANDOM_INTERPOLATION

Interpolation = InterpolationMode | tuple[InterpolationMode, ...]


class ToNumpy:
    """A PIL image as an array of bytes: (H, W) or (H, W, C) pixels -> (C, H, W), uint8."""

    def __call__(self, pil_img: Image.Image) -> np.ndarray:
        """Convert an image."""
        array = np.array(pil_img, dtype=np.uint8)
        if array.ndim == 2:
            array = array[:, :, None]
        return array.transpose(2, 0, 1)


class ToTensor:
    """A PIL image as a tensor (C, H, W) of `dtype`, its values still 0 to 255 (torchvision's class divides by 255)."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype

    def __call__(self, pil_img: Image.Image) -> Tensor:
        """Convert an image."""
        return F.pil_to_tensor(pil_img).to(self.dtype)


class MaybeToTensor(transforms.ToTensor):
    """A PIL image or array as a float tensor (C, H, W) of 0 to 1; a tensor is left as it is."""

    def __call__(self, pic: Any) -> Tensor:
        """Convert what is not a tensor yet."""
        return pic if isinstance(pic, Tensor) else F.to_tensor(pic)


class MaybePILToTensor:
    """A PIL image as a uint8 tensor (C, H, W); a tensor is left as it is."""

    def __call__(self, pic: Any) -> Tensor:
        """Convert what is not a tensor yet."""
        if isinstance(pic, Tensor):
            return pic
        if isinstance(pic, Image.Image) and pic.mode == 'RGB':
            # Channel by channel, as a batch of floats will be: faster than to reorder it then.
            return torch.from_numpy(np.stack([np.asarray(band) for band in pic.split()]))
        return F.pil_to_tensor(pic)

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


class RandomPad:
    """Put a smaller image at a random place on a canvas of `input_size`; a larger one stays as it is."""

    def __init__(self, input_size: tuple[int, int], fill: Any = 0) -> None:
        self.input_size = input_size
        self.fill = fill

    @staticmethod
    def get_params(img: Any, input_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Draw the margins: left, top, right, bottom."""
        width, height = F.get_image_size(img)
        spare_x = max(input_size[1] - width, 0)
        spare_y = max(input_size[0] - height, 0)
        left, top = random.randint(0, spare_x), random.randint(0, spare_y)
        return left, top, spare_x - left, spare_y - top

    def __call__(self, img: Any) -> Any:
        """Pad an image."""
        return F.pad(img, list(self.get_params(img, self.input_size)), self.fill)


class RandomResizedCropAndInterpolation:
    """Cut a random part out of an image and resize it, with a filter drawn afresh where several are given.

    'Inception' cropping, section 6 of Szegedy et al., 2015 (arXiv:1409.4842).

    Args:
        scale: Range of the part's area, as a share of the image's.
        ratio: Range of its width over its height; drawn so that a ratio and its inverse are as likely.
        interpolation: Name of the filter; 'random' draws bilinear or bicubic.

    Raises:
        ValueError: An area or a ratio that is not above 0.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: str = 'bilinear',
    ) -> None:
        if not min(*scale, *ratio) > 0:
            raise ValueError(f'areas and ratios of a random part are above 0, got scale={scale} and ratio={ratio}')
        self.size = size if isinstance(size, tuple | list) else (size, size)
        self.scale = scale
        self.ratio = ratio
        self.interpolation: Interpolation = _filters(interpolation)

    @staticmethod
    def get_params(img: Any, scale: tuple[float, float], ratio: tuple[float, float]) -> tuple[int, int, int, int]:
        """Draw a part: top, left, height, width. After ten draws that do not fit, the largest central part is taken."""
        width, height = F.get_image_size(img)
        log_ratio = math.log(ratio[0]), math.log(ratio[1])
        for _ in range(10):
            area = random.uniform(*scale) * width * height
            aspect = math.exp(random.uniform(*log_ratio))
            w = round(math.sqrt(area * aspect))
            h = round(math.sqrt(area / aspect))
            if w <= width and h <= height:
                return random.randint(0, height - h), random.randint(0, width - w), h, w
        w = min(width, round(height * max(ratio)))
        h = min(height, round(width / min(ratio)))
        return (height - h) // 2, (width - w) // 2, h, w

    def plan(self, img: Any) -> tuple[int, int, int, int, InterpolationMode]:
        """Draw everything: a part, as `get_params` gives it, and the filter."""
        return *self.get_params(img, self.scale, self.ratio), _drawn(self.interpolation)

    def __call__(self, img: Any) -> Any:
        """A part of an image, resized."""
        top, left, height, width, mode = self.plan(img)
        return F.resized_crop(img, top, left, height, width, list(self.size), mode)

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(v, 4) for v in pair) for pair in (self.scale, self.ratio))
        return (
            f'{type(self).__name__}(size={self.size}, scale={scale}, ratio={ratio}, '
            f'interpolation={_names(self.interpolation)})'
        )


def crop_or_pad(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    fill: Any = 0,
    padding_mode: str = 'constant',
) -> Any:
    """Cut a window out of an image; what of it lies outside is filled.

    Args:
        fill: Value, or value per channel, of 'constant' padding.
        padding_mode: 'constant', 'edge', 'reflect' or 'symmetric'.
    """
    image_width, image_height = F.get_image_size(img)
    margins = [
        max(-left, 0),
        max(-top, 0),
        max(left + width - image_width, 0),
        max(top + height - image_height, 0),
    ]
    if any(margins):
        img = F.pad(img, margins, fill=fill, padding_mode=padding_mode)
    return F.crop(img, max(top, 0), max(left, 0), height, width)


def center_crop_or_pad(
    img: Any,
    output_size: int | Sequence[int],
    fill: Any = 0,
    padding_mode: str = 'constant',
) -> Any:
    """The central window of `output_size`, filled where the image is smaller."""
    width, height = F.get_image_size(img)
    return crop_or_pad(img, *central_window((height, width), _pair(output_size)), fill=fill, padding_mode=padding_mode)


def central_window(size: tuple[int, int], window: Sequence[int]) -> tuple[int, int, int, int]:
    """The central window of an image of this size: top, left, height, width; it may begin outside."""
    height, width = window
    return _central(size[0], height), _central(size[1], width), height, width


class CenterCropOrPad(torch.nn.Module):
    """`center_crop_or_pad` as a transform."""

    def __init__(self, size: int | Sequence[int], fill: Any = 0, padding_mode: str = 'constant') -> None:
        super().__init__()
        self.size = _pair(size)
        self.fill = fill
        self.padding_mode = padding_mode

    def forward(self, img: Any) -> Any:
        """The central window."""
        return center_crop_or_pad(img, self.size, fill=self.fill, padding_mode=self.padding_mode)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


class RandomCropOrPad(torch.nn.Module):
    """A window at a random place where the image is larger, the image at a random place where it is smaller."""

    def __init__(self, size: int | Sequence[int], fill: Any = 0, padding_mode: str = 'constant') -> None:
        super().__init__()
        self.size = _pair(size)
        self.fill = fill
        self.padding_mode = padding_mode

    @staticmethod
    def get_params(img: Any, size: tuple[int, int]) -> tuple[int, int]:
        """Draw the window's top left corner; negative where it lies outside the image."""
        width, height = F.get_image_size(img)
        return _draw_offset(height - size[0]), _draw_offset(width - size[1])

    def forward(self, img: Any) -> Any:
        """A window."""
        top, left = self.get_params(img, self.size)
        return crop_or_pad(img, top, left, *self.size, fill=self.fill, padding_mode=self.padding_mode)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


class ResizeKeepRatio:
    """Resize an image until it covers, or fits into, `size`, with its proportions kept unless told otherwise.

    Args:
        longest: 0 covers `size` with the shorter side, 1 fits the longer side into it; between the two the factors
            are mixed.
        interpolation: Name of the filter; 'random' draws bilinear or bicubic.
        random_scale_prob: Chance that a factor from `random_scale_range` changes the size.
        random_scale_area: That factor is the share of the result's area that `size` will hold, as of a random crop,
            instead of a factor on the sides.
        random_aspect_prob: Chance that a factor from `random_aspect_range` changes width over height.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        longest: float = 0.0,
        interpolation: str = 'bilinear',
        random_scale_prob: float = 0.0,
        random_scale_range: tuple[float, float] = (0.85, 1.05),
        random_scale_area: bool = False,
        random_aspect_prob: float = 0.0,
        random_aspect_range: tuple[float, float] = (0.9, 1.11),
    ) -> None:
        self.size: tuple[int, int] = (size, size) if isinstance(size, int) else (size[0], size[1])
        self.interpolation: Interpolation = _filters(interpolation)
        self.longest = float(longest)
        self.random_scale_prob, self.random_scale_range = random_scale_prob, random_scale_range
        self.random_scale_area = random_scale_area
        self.random_aspect_prob, self.random_aspect_range = random_aspect_prob, random_aspect_range

    @staticmethod
    def get_params(
        img: Any,
        target_size: tuple[int, int],
        longest: float,
        random_scale_prob: float = 0.0,
        random_scale_range: tuple[float, float] = (1.0, 1.33),
        random_scale_area: bool = False,
        random_aspect_prob: float = 0.0,
        random_aspect_range: tuple[float, float] = (0.9, 1.11),
    ) -> list[int]:
        """Settle the size of the result, drawing what is random: [height, width]."""
        width, height = F.get_image_size(img)
        shrink_y, shrink_x = height / target_size[0], width / target_size[1]
        shrink = max(shrink_y, shrink_x) * longest + min(shrink_y, shrink_x) * (1.0 - longest)
        factor_y, factor_x = _drawn_factors(
            random_scale_prob, random_scale_range, random_scale_area, random_aspect_prob, random_aspect_range
        )
        return [round(height * factor_y / shrink), round(width * factor_x / shrink)]

    def plan(self, img: Any) -> tuple[int, int, InterpolationMode]:
        """Draw everything: height and width of the result, and the filter."""
        height, width = self.get_params(
            img,
            self.size,
            self.longest,
            self.random_scale_prob,
            self.random_scale_range,
            self.random_scale_area,
            self.random_aspect_prob,
            self.random_aspect_range,
        )
        return height, width, _drawn(self.interpolation)

    def __call__(self, img: Any) -> Any:
        """Resize an image."""
        height, width, mode = self.plan(img)
        return F.resize(img, [height, width], mode)

    def __repr__(self) -> str:
        scale, aspect = (
            '({:.3f}, {:.3f})'.format(*pair) for pair in (self.random_scale_range, self.random_aspect_range)
        )
        return (
            f'{type(self).__name__}(size={self.size}, interpolation={_names(self.interpolation)}, '
            f'longest={self.longest:.3f}, random_scale_prob={self.random_scale_prob:.3f}, random_scale_range={scale}, '
            f'random_aspect_prob={self.random_aspect_prob:.3f}, random_aspect_range={aspect})'
        )


class TrimBorder(torch.nn.Module):
    """Take `border_size` pixels off each edge, as far as there are any."""

    def __init__(self, border_size: int) -> None:
        super().__init__()
        self.border_size = border_size

    def forward(self, img: Any) -> Any:
        """The image without its border."""
        width, height = F.get_image_size(img)
        top, left = min(self.border_size, height), min(self.border_size, width)
        return F.crop(img, top, left, max(0, height - 2 * top), max(0, width - 2 * left))


def _central(length: int, window: int) -> int:
    """Where a central window begins, as torchvision has it: half pixels go to the even number, or to a wider margin."""
    spare = length - window
    return round(spare / 2) if spare > 0 else -(-spare // 2)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    """A size as (height, width).

    Raises:
        ValueError: It has more than two numbers.
    """
    if isinstance(size, int):
        return size, size
    if len(size) == 1:
        return size[0], size[0]
    if len(size) != 2:
        raise ValueError(f'a size is one number or (height, width), got {size!r}')
    return size[0], size[1]


def _draw_offset(spare: int) -> int:
    """Where a window begins along one side: from 0 to the `spare` pixels outside it, either sign."""
    return random.randint(0, spare) if spare >= 0 else -random.randint(0, -spare)


def _drawn_factors(
    scale_prob: float,
    scale_range: tuple[float, float],
    scale_area: bool,
    aspect_prob: float,
    aspect_range: tuple[float, float],
) -> tuple[float, float]:
    """Draw what height and width are multiplied by; see `ResizeKeepRatio`."""
    factor_y = factor_x = 1.0
    if scale_prob > 0 and random.random() < scale_prob:
        factor_y = random.uniform(*scale_range)
        if scale_area:
            factor_y = 1.0 / math.sqrt(factor_y)
        factor_x = factor_y
    if aspect_prob > 0 and random.random() < aspect_prob:
        low, high = aspect_range
        aspect = math.sqrt(math.exp(random.uniform(math.log(low), math.log(high))))
        factor_y, factor_x = factor_y / aspect, factor_x * aspect
    return factor_y, factor_x


def _filters(interpolation: str) -> Interpolation:
    return RANDOM_INTERPOLATION if interpolation == 'random' else str_to_interp_mode(interpolation)


def _drawn(filters: Interpolation) -> InterpolationMode:
    return random.choice(filters) if isinstance(filters, tuple | list) else filters


def _names(filters: Interpolation) -> str:
    several = filters if isinstance(filters, tuple | list) else (filters,)
    return ' '.join(interp_mode_to_str(mode) for mode in several)
