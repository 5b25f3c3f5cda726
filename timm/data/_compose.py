"""Steps one after the other, with a resize and the crop that follows it done at once."""

import io
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from ._decode import ImageRules, decode, plain_jpeg
from ._interpolation import str_to_pil_interp
from ._resize import (
    Size,
    Window,
    as_image,
    decode_plain_jpeg,
    fast_resize,
    is_inside,
    reduction,
    resize_reduced,
    resize_window,
)
from .transforms import (
    CenterCropOrPad,
    MaybePILToTensor,
    RandomResizedCropAndInterpolation,
    ResizeKeepRatio,
    central_window,
)

__all__ = ['Compose', 'reduced_difference', 'resize_difference']

_FLIPS = (transforms.RandomHorizontalFlip, transforms.RandomVerticalFlip)


class Plan(NamedTuple):
    """What a resizing step does to an image: a part of it becomes an image of another size.

    Where it has all of the image for its part, that is still said in numbers.
    """

    part: Window
    size: Size
    mode: InterpolationMode


class _Planned(NamedTuple):
    """An image on its way into a resizing step whose plan is made; it was decoded `factor` times smaller."""

    image: Any
    plan: Plan
    factor: int = 1


class Compose(transforms.Compose):
    """torchvision's Compose, for less work: of a resize before a central crop only the pixels that stay are computed.

    They are the same to the bit. The steps can be read and edited as ever; those of other kinds run as they are.

    Args:
        fast: Decode JPEG to a tensor and resize it with torch; its values are within 2 of those of PIL. What is drawn
            at random stays the same.
        reduced: Decode a JPEG file at 1/2, 1/4 or 1/8 of its size where the first step makes at most half of that of
            it. What is drawn at random stays the same.
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]], fast: bool = False, reduced: bool = False) -> None:
        super().__init__(transforms)
        self.fast, self.reduced = fast, reduced

    def decode(self, source: Any, mode: str | None, rules: ImageRules | None) -> Any:
        """What these steps start from: a PIL image (see `_decode.decode`), or something that only they understand."""
        rules = rules or ImageRules()
        if mode != 'RGB' or not hasattr(source, 'read'):
            return decode(source, mode, rules)
        header = plain_jpeg(source, rules) if self.reduced else None
        source.seek(0)
        plan = None if header is None else _plan(header, self.transforms)
        if plan is None:
            return self._decode_whole(source, rules)
        factor = reduction(plan.part[2:], plan.size)
        image = self._decode_whole(source, rules) if factor == 1 else decode(source, mode, rules, reduced=factor)
        return _Planned(image, plan, factor)

    def _decode_whole(self, source: BinaryIO, rules: ImageRules) -> Any:
        """A PIL image, or the bytes (C, H, W) of a plain JPEG."""
        if self.fast:
            pixels = decode_plain_jpeg(source.read(), rules)
            if pixels is not None:
                source.close()
                return pixels
            source.seek(0)
        return decode(source, 'RGB', rules)

    def __call__(self, img: Any) -> Any:
        """Apply the steps."""
        steps = list(self.transforms)
        if self.fast and isinstance(img, Tensor) and img.dtype == torch.uint8:
            plan = _plan(img, steps)
            img = as_image(img) if plan is None else _Planned(img, plan)
        if isinstance(img, _Planned):
            del steps[0]
            img = self._resized(img, steps)
        while steps:
            plan = _plan(img, steps) if isinstance(img, Image.Image) else None
            step = steps.pop(0)
            img = step(img) if plan is None else self._resized(_Planned(img, plan), steps)
        return img

    def _resized(self, planned: _Planned, rest: list[Any]) -> Any:
        """The image after a resizing step, and after the crop that follows it where both are done at once."""
        image: Any = planned.image
        (part, size, mode), factor = planned.plan, planned.factor
        window = 0, 0, *size
        if rest and type(rest[0]) in (transforms.CenterCrop, CenterCropOrPad):
            central = central_window(size, rest[0].size)
            if is_inside(size, central):
                window = central
                del rest[0]
        resample = str_to_pil_interp(mode.value)
        if factor > 1:
            return resize_reduced(image, factor, part, size, window, resample)
        if part != _whole(image):
            image = F.crop(image, *part)
        if not self.fast:
            return resize_window(image, size, window, resample)
        pixels = fast_resize(image, size, window, resample)
        return pixels if _ends_with_bytes(rest) else as_image(pixels)


def _ends_with_bytes(steps: Sequence[Any]) -> bool:
    """Whether these steps make a tensor of bytes, of a tensor as well as of an image."""
    return bool(steps) and type(steps[-1]) is MaybePILToTensor and all(type(step) in _FLIPS for step in steps[:-1])


def _whole(image: Any) -> Window:
    width, height = F.get_image_size(image)
    return 0, 0, height, width


def _plan(image: Any, steps: Sequence[Any]) -> Plan | None:
    """Draw and tell what the first step will do; None where it does not resize, or in a form that is not known here."""
    plan_of = _PLANS.get(type(steps[0])) if steps else None
    return None if plan_of is None else plan_of(image, steps[0])


def _plan_resize(image: Any, step: transforms.Resize) -> Plan | None:
    """The shorter side at one number, or both sides."""
    if step.max_size is not None or step.interpolation is InterpolationMode.NEAREST_EXACT:
        return None
    sides = (step.size,) if isinstance(step.size, int) else tuple(step.size)
    if len(sides) == 2:
        return Plan(_whole(image), (sides[0], sides[1]), step.interpolation)
    width, height = F.get_image_size(image)
    other = int(sides[0] * max(width, height) / min(width, height))
    size = (other, sides[0]) if width <= height else (sides[0], other)
    return Plan(_whole(image), size, step.interpolation)


def _plan_keep_ratio(image: Any, step: ResizeKeepRatio) -> Plan:
    height, width, mode = step.plan(image)
    return Plan(_whole(image), (height, width), mode)


def _plan_random_crop(image: Any, step: RandomResizedCropAndInterpolation) -> Plan:
    *part, mode = step.plan(image)
    top, left, height, width = part
    return Plan((top, left, height, width), (step.size[0], step.size[1]), mode)


_PLANS: dict[type, Callable[[Any, Any], Plan | None]] = {
    transforms.Resize: _plan_resize,
    ResizeKeepRatio: _plan_keep_ratio,
    RandomResizedCropAndInterpolation: _plan_random_crop,
}


def resize_difference(size: Size, interpolation: str) -> tuple[int, float]:
    """Largest and mean difference between the fast resize and PIL's, on a picture of 500 x 375 full of edges."""
    image, resample = _edges(), str_to_pil_interp(interpolation)
    ours = fast_resize(image, size, (0, 0, *size), resample).permute(1, 2, 0).numpy()
    return _difference(ours, image.resize((size[1], size[0]), resample))


def reduced_difference(size: Size, interpolation: str) -> tuple[int, float]:
    """Largest and mean difference that reduced decoding makes, on the same picture as a JPEG of 2000 x 1500."""
    file, resample = io.BytesIO(), str_to_pil_interp(interpolation)
    _edges().resize((2000, 1500), Image.Resampling.BICUBIC).save(file, 'JPEG', quality=90)
    factor, whole = reduction((1500, 2000), size), (0, 0, *size)
    image = Image.open(file)
    image.draft(None, (2000 // factor, 1500 // factor))
    ours = resize_reduced(image, factor, (0, 0, 1500, 2000), size, whole, resample)
    return _difference(np.asarray(ours), Image.open(file).resize((size[1], size[0]), resample))


def _edges() -> Image.Image:
    y, x = np.mgrid[:375, :500]
    pixels = np.stack([x * y // 7, x * x // 90 + y, y * y // 60 ^ x], axis=-1) & 255
    return Image.fromarray(pixels.astype(np.uint8))


def _difference(ours: Any, exact: Image.Image) -> tuple[int, float]:
    difference = np.abs(ours.astype(int) - np.asarray(exact))
    return int(difference.max()), float(difference.mean())
