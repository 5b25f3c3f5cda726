"""Steps one after the other, with a resize and the crop that follows it done at once."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from ._decode import ImageRules, decode
from ._interpolation import str_to_pil_interp
from ._resize import Size, as_image, decode_plain_jpeg, fast_resize, is_inside, resize_window
from .transforms import (
    CenterCropOrPad,
    MaybePILToTensor,
    RandomResizedCropAndInterpolation,
    ResizeKeepRatio,
    central_window,
)

__all__ = ['Compose', 'resize_difference']

_FLIPS = (transforms.RandomHorizontalFlip, transforms.RandomVerticalFlip)


class Compose(transforms.Compose):
    """torchvision's Compose, for less work: of a resize before a central crop only the pixels that stay are computed.

    They are the same to the bit. The steps can be read and edited as ever; those of other kinds run as they are.

    Args:
        fast: Decode JPEG to a tensor and resize it with torch; its values are within 2 of those of PIL. What is drawn
            at random stays the same.
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], fast: bool = False) -> None:
        super().__init__(transforms)
        self.fast = fast

    def decode(self, source: Any, mode: str | None, rules: ImageRules | None) -> Any:
        """What these steps start from: a PIL image (see `_decode.decode`), or the bytes (C, H, W) of a plain JPEG."""
        if self.fast and mode == 'RGB' and hasattr(source, 'read'):
            pixels = decode_plain_jpeg(source.read(), rules or ImageRules())
            if pixels is not None:
                source.close()
                return pixels
            source.seek(0)
        return decode(source, mode, rules)

    def __call__(self, img: Any) -> Any:
        """Apply the steps."""
        steps = list(self.transforms)
        decoded = self.fast and isinstance(img, Tensor) and img.dtype == torch.uint8
        if decoded and not (steps and type(steps[0]) in _PLANS):
            img = as_image(img)
        while steps:
            step = steps.pop(0)
            if type(step) in _PLANS and (decoded or isinstance(img, Image.Image)):
                img, decoded = self._resized(img, step, steps), False
            else:
                img = step(img)
        return img

    def _resized(self, image: Any, step: Any, rest: list[Any]) -> Any:
        """The image after a resizing step, and after the crop that follows it where both are done at once."""
        plan = _PLANS[type(step)](image, step)
        if plan is None:
            return step(as_image(image))
        image, size, mode = plan
        window = 0, 0, *size
        if rest and type(rest[0]) in (transforms.CenterCrop, CenterCropOrPad):
            central = central_window(size, rest[0].size)
            if is_inside(size, central):
                window = central
                del rest[0]
        resample = str_to_pil_interp(mode.value)
        if not self.fast:
            return resize_window(image, size, window, resample)
        pixels = fast_resize(image, size, window, resample)
        return pixels if _ends_with_bytes(rest) else as_image(pixels)


def _ends_with_bytes(steps: Sequence[Any]) -> bool:
    """Whether these steps make a tensor of bytes, of a tensor as well as of an image."""
    return bool(steps) and type(steps[-1]) is MaybePILToTensor and all(type(step) in _FLIPS for step in steps[:-1])


Plan = tuple[Any, Size, InterpolationMode]  # the image, or the part of it that is resized; to what; and how


def _plan_resize(image: Any, step: transforms.Resize) -> Plan | None:
    """The shorter side at one number, or both sides; None for a form of the step that is not known here."""
    if step.max_size is not None or step.interpolation is InterpolationMode.NEAREST_EXACT:
        return None
    sides = (step.size,) if isinstance(step.size, int) else tuple(step.size)
    if len(sides) == 2:
        return image, (sides[0], sides[1]), step.interpolation
    width, height = F.get_image_size(image)
    other = int(sides[0] * max(width, height) / min(width, height))
    return image, (other, sides[0]) if width <= height else (sides[0], other), step.interpolation


def _plan_keep_ratio(image: Any, step: ResizeKeepRatio) -> Plan:
    height, width, mode = step.plan(image)
    return image, (height, width), mode


def _plan_random_crop(image: Any, step: RandomResizedCropAndInterpolation) -> Plan:
    top, left, height, width, mode = step.plan(image)
    return F.crop(image, top, left, height, width), (step.size[0], step.size[1]), mode


_PLANS: dict[type, Callable[[Any, Any], Plan | None]] = {
    transforms.Resize: _plan_resize,
    ResizeKeepRatio: _plan_keep_ratio,
    RandomResizedCropAndInterpolation: _plan_random_crop,
}


def resize_difference(size: Size, interpolation: str) -> tuple[int, float]:
    """Largest and mean difference between the fast resize and PIL's, on a picture of 500 x 375 full of edges."""
    y, x = np.mgrid[:375, :500]
    pixels = np.stack([x * y // 7, x * x // 90 + y, y * y // 60 ^ x], axis=-1) & 255
    image = Image.fromarray(pixels.astype(np.uint8))
    resample = str_to_pil_interp(interpolation)
    ours = fast_resize(image, size, (0, 0, *size), resample).permute(1, 2, 0).numpy().astype(int)
    difference = np.abs(ours - np.asarray(image.resize((size[1], size[0]), resample)))
    return int(difference.max()), float(difference.mean())
