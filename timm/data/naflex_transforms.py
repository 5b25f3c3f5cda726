"""Transforms to a sequence of patches: images keep their proportions, and their number of patches has a limit.

Papers: NaViT, Dehghani et al., 2023, arXiv:2307.06304 (native resolution and proportions); FlexiViT, Beyer et al.,
2022, arXiv:2212.08013 (several patch sizes). Sizes are (height, width).
Shapes: C channels, H and W pixels, P and Q rows and columns of a patch, N patches.
"""

import math
import random
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from ._interpolation import RANDOM_INTERPOLATION
from .transforms import (
    Interpolation,
    _draw_offset,
    _drawn,
    _drawn_factors,
    _filters,
    _names,
    _pair,
    center_crop_or_pad,
    crop_or_pad,
    str_to_interp_mode,
)

__all__ = [
    'CenterCropToSequence',
    'Patchify',
    'RandomCropToSequence',
    'RandomResizedCropToSequence',
    'ResizeKeepRatioToSequence',
    'ResizeToSequence',
    'center_crop_or_pad',
    'crop_or_pad',
    'get_image_size_for_seq',
    'patchify_image',
    'str_to_interp_mode',
]

Size = int | Sequence[int]
Range = tuple[float, float]


def get_image_size_for_seq(
    image_hw: tuple[float, float],
    patch_size: Size = 16,
    max_seq_len: int = 1024,
    divisible_by_patch: bool = True,
    max_ratio: float | None = None,
    eps: float = 1e-5,
) -> tuple[float, tuple[int, int]]:
    """The largest factor, and the size it leads to, with which an image has at most `max_seq_len` patches.

    Found by halving the interval from eps / 10 to 100 until it is shorter than `eps`.

    Args:
        divisible_by_patch: Sides are rounded up to whole patches. Otherwise they are cut to whole pixels, and what is
            left of a patch at the edge does not count.
        max_ratio: Largest factor; 1 never enlarges, except to one patch.

    Raises:
        ValueError: Not one patch is allowed, or the factor would have to be below `eps`.
    """
    patch = _checked_patch(patch_size, max_seq_len)
    low, high = eps / 10, 100.0
    while high - low >= eps:
        ratio = (low + high) / 2
        if _num_patches(_scaled(image_hw, ratio, patch, divisible_by_patch), patch) <= max_seq_len:
            low = ratio
        else:
            high = ratio
    if max_ratio is not None:
        low = min(low, max_ratio)
    if low <= eps:
        raise ValueError(
            f'an image of {image_hw[0]} x {image_hw[1]} has no more than {max_seq_len} patches of {patch[0]} x '
            f'{patch[1]} only when scaled by less than {eps}: raise max_seq_len or max_ratio, or lower eps'
        )
    return low, _scaled(image_hw, low, patch, divisible_by_patch)


class ResizeToSequence(torch.nn.Module):
    """Resize an image to the largest size of its proportions that has at most `max_seq_len` patches.

    Args:
        max_ratio: Largest factor; None for any.
        interpolation: Filter, by name or torchvision's constant; 'random' draws bilinear or bicubic.
    """

    def __init__(
        self,
        patch_size: Size,
        max_seq_len: int = 1024,
        divisible_by_patch: bool = True,
        max_ratio: float | None = None,
        interpolation: str | Interpolation = 'bicubic',
    ) -> None:
        super().__init__()
        _checked_patch(patch_size, max_seq_len)
        self.patch_size = patch_size
        self.max_seq_len = max_seq_len
        self.divisible_by_patch = divisible_by_patch
        self.max_ratio = max_ratio
        self.interpolation: Interpolation = _as_filters(interpolation)

    def forward(self, img: Any) -> Any:
        """Resize an image."""
        width, height = F.get_image_size(img)
        _, size = get_image_size_for_seq(
            (height, width), self.patch_size, self.max_seq_len, self.divisible_by_patch, self.max_ratio
        )
        return F.resize(img, list(size), _drawn(self.interpolation), antialias=True)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(patch_size={self.patch_size}, max_seq_len={self.max_seq_len}, '
            f'interpolation={_names(self.interpolation)})'
        )


class ResizeKeepRatioToSequence(torch.nn.Module):
    """`ResizeKeepRatio` to the size that `get_image_size_for_seq` gives, and within its number of patches.

    Args:
        longest: 0 fits both sides into that size, 1 covers it with the shorter side as far as the patches allow.
        random_scale_prob: Chance that a factor from `random_scale_range` changes the size.
        random_scale_area: The factor divides the area instead of multiplying the sides.
        random_aspect_prob: Chance that a factor from `random_aspect_range` changes width over height.
        max_ratio: Largest factor from the image to that size.
    """

    def __init__(
        self,
        patch_size: Size = 16,
        max_sequence_len: int = 1024,
        divisible_by_patch: bool = True,
        longest: float = 0.0,
        interpolation: str = 'bilinear',
        random_scale_prob: float = 0.0,
        random_scale_range: Range = (0.85, 1.05),
        random_scale_area: bool = False,
        random_aspect_prob: float = 0.0,
        random_aspect_range: Range = (0.9, 1.11),
        max_ratio: float | None = None,
    ) -> None:
        super().__init__()
        _checked_patch(patch_size, max_sequence_len)
        self.patch_size = patch_size
        self.max_sequence_len = max_sequence_len
        self.divisible_by_patch = divisible_by_patch
        self.longest = float(longest)
        self.interpolation: Interpolation = _as_filters(interpolation)
        self.random_scale_prob, self.random_scale_range = random_scale_prob, random_scale_range
        self.random_scale_area = random_scale_area
        self.random_aspect_prob, self.random_aspect_range = random_aspect_prob, random_aspect_range
        self.max_ratio = max_ratio

    @staticmethod
    def get_params(
        img: Any,
        patch_size: Size,
        max_sequence_len: int,
        divisible_by_patch: bool,
        longest: float,
        random_scale_prob: float = 0.0,
        random_scale_range: Range = (1.0, 1.33),
        random_scale_area: bool = False,
        random_aspect_prob: float = 0.0,
        random_aspect_range: Range = (0.9, 1.11),
        max_ratio: float | None = None,
    ) -> list[int]:
        """Settle the size of the result, drawing what is random: [height, width]."""
        width, height = F.get_image_size(img)
        patch = _pair(patch_size)
        _, target = get_image_size_for_seq((height, width), patch, max_sequence_len, divisible_by_patch, max_ratio)
        ratios = target[0] / height, target[1] / width
        ratio = max(ratios) * longest + min(ratios) * (1.0 - longest)
        factor_y, factor_x = _drawn_factors(
            random_scale_prob, random_scale_range, random_scale_area, random_aspect_prob, random_aspect_range
        )
        size = _whole((round(height * ratio * factor_y), round(width * ratio * factor_x)), patch, divisible_by_patch)
        count = _num_patches(size, patch)
        if count > max_sequence_len:
            shrink = math.sqrt(max_sequence_len / count)
            size = int(size[0] * shrink), int(size[1] * shrink)
            if divisible_by_patch:
                size = _whole(size, patch, divisible_by_patch)
            if _num_patches(size, patch) > max_sequence_len or size[0] < patch[0] or size[1] < patch[1]:
                # Rounding has undone it, or has left less than a patch: take the largest size that does fit.
                shape = height * factor_y, width * factor_x
                size = get_image_size_for_seq(shape, patch, max_sequence_len, divisible_by_patch)[1]
        return list(size)

    def forward(self, img: Any) -> Any:
        """Resize an image."""
        limits = self.patch_size, self.max_sequence_len, self.divisible_by_patch
        scale = self.random_scale_prob, self.random_scale_range, self.random_scale_area
        aspect = self.random_aspect_prob, self.random_aspect_range
        size = self.get_params(img, *limits, self.longest, *scale, *aspect, self.max_ratio)
        return F.resize(img, size, _drawn(self.interpolation), antialias=True)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(patch_size={self.patch_size}, max_sequence_len={self.max_sequence_len}, '
            f'longest={self.longest:.3f}, random_scale_prob={self.random_scale_prob:.3f}, '
            f'random_aspect_prob={self.random_aspect_prob:.3f})'
        )


class CenterCropToSequence(torch.nn.Module):
    """The central window of the size that `get_image_size_for_seq` gives, filled where the image is smaller."""

    def __init__(
        self,
        patch_size: Size,
        max_seq_len: int,
        divisible_by_patch: bool = True,
        fill: Any = 0,
        padding_mode: str = 'constant',
    ) -> None:
        super().__init__()
        _checked_patch(patch_size, max_seq_len)
        self.patch_size = patch_size
        self.max_seq_len = max_seq_len
        self.divisible_by_patch = divisible_by_patch
        self.fill = fill
        self.padding_mode = padding_mode

    def forward(self, img: Any) -> Any:
        """The central window."""
        width, height = F.get_image_size(img)
        _, size = get_image_size_for_seq((height, width), self.patch_size, self.max_seq_len, self.divisible_by_patch)
        return center_crop_or_pad(img, size, fill=self.fill, padding_mode=self.padding_mode)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(patch_size={self.patch_size}, max_seq_len={self.max_seq_len})'


class RandomCropToSequence(torch.nn.Module):
    """A window at a random place, of the size that `get_image_size_for_seq` gives without enlarging the image."""

    def __init__(
        self,
        patch_size: Size,
        max_sequence_len: int,
        divisible_by_patch: bool = True,
        fill: Any = 0,
        padding_mode: str = 'constant',
    ) -> None:
        super().__init__()
        _checked_patch(patch_size, max_sequence_len)
        self.patch_size = patch_size
        self.max_sequence_len = max_sequence_len
        self.divisible_by_patch = divisible_by_patch
        self.fill = fill
        self.padding_mode = padding_mode

    @staticmethod
    def get_params(img: Any, target_size: tuple[int, int]) -> tuple[int, int]:
        """Draw the window's top left corner; negative where the image is smaller than the window."""
        width, height = F.get_image_size(img)
        spares = height - target_size[0], width - target_size[1]
        top, left = (_draw_offset(spare) if spare else 0 for spare in spares)
        return top, left

    def forward(self, img: Any) -> Any:
        """A window."""
        width, height = F.get_image_size(img)
        _, size = get_image_size_for_seq(
            (height, width), self.patch_size, self.max_sequence_len, self.divisible_by_patch, max_ratio=1.0
        )
        top, left = self.get_params(img, size)
        return crop_or_pad(img, top, left, *size, fill=self.fill, padding_mode=self.padding_mode)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(patch_size={self.patch_size}, max_sequence_len={self.max_sequence_len}, '
            f'divisible_by_patch={self.divisible_by_patch})'
        )


class RandomResizedCropToSequence(torch.nn.Module):
    """Cut a random part out of an image and resize it to the size that `get_image_size_for_seq` gives for it.

    Args:
        scale: Range of the part's area, as a share of the image's.
        ratio: Range of the factor from the image's width over height to the part's.
        interpolation: Filter, by name or torchvision's constant; 'random' draws bilinear or bicubic.
        max_ratio: Largest factor from the part to the result.
        final_scale_range: Range of another factor on the result's sides, at most 1; it does not count where rounding
            leads to too many patches.
        attempts: Draws, after which the largest central part within `ratio` is taken.

    Raises:
        ValueError: A range that is none, or not one patch allowed.
    """

    def __init__(
        self,
        patch_size: Size = 16,
        max_seq_len: int = 1024,
        scale: Range = (0.08, 1.0),
        ratio: Range = (0.80, 1.25),
        interpolation: str | InterpolationMode = 'bicubic',
        divisible_by_patch: bool = True,
        max_ratio: float | None = None,
        final_scale_range: Range | None = None,
        attempts: int = 10,
    ) -> None:
        super().__init__()
        self.patch_h, self.patch_w = _checked_patch(patch_size, max_seq_len)
        self.max_seq_len = max_seq_len
        self.scale = _checked_range('scale', scale)
        self.ratio = _checked_range('ratio', ratio)
        self.interpolation: Interpolation = _as_filters(interpolation)
        self.divisible_by_patch = divisible_by_patch
        self.max_ratio = max_ratio
        self.final_scale_range = final_scale_range and _checked_range('final_scale_range', final_scale_range)
        self.attempts = attempts

    @staticmethod
    def get_params(
        img: Any,
        scale: Range,
        ratio: Range,
        crop_attempts: int = 10,
        patch_h: int = 16,
        patch_w: int = 16,
        max_seq_len: int = 1024,
        divisible_by_patch: bool = True,
        max_ratio: float | None = None,
        final_scale_range: Range | None = None,
        interpolation: Interpolation = RANDOM_INTERPOLATION,
    ) -> tuple[tuple[int, int, int, int], tuple[int, int], InterpolationMode]:
        """Draw a part (top, left, height, width), and settle the size of the result and the filter."""
        part = _draw_part(img, scale, ratio, crop_attempts)
        patch = patch_h, patch_w
        factor, size = get_image_size_for_seq(part[2:], patch, max_seq_len, divisible_by_patch, max_ratio)
        if final_scale_range is not None:
            factor *= min(random.uniform(*final_scale_range), 1.0)
            if divisible_by_patch:
                changed = _scaled(part[2:], factor, patch, divisible_by_patch)
            else:
                changed = max(round(part[2] * factor), patch_h), max(round(part[3] * factor), patch_w)
            if _num_patches(changed, patch) <= max_seq_len:
                size = changed
        return part, size, _drawn(interpolation)

    def forward(self, img: Any) -> Any:
        """A part of an image, resized."""
        ranges = self.scale, self.ratio, self.attempts
        limits = self.patch_h, self.patch_w, self.max_seq_len, self.divisible_by_patch, self.max_ratio
        part, size, interpolation = self.get_params(img, *ranges, *limits, self.final_scale_range, self.interpolation)
        return F.resized_crop(img, *part, size=list(size), interpolation=interpolation, antialias=True)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(patch_size=({self.patch_h}, {self.patch_w}), max_seq_len={self.max_seq_len}, '
            f'scale={self.scale}, ratio={self.ratio}, interpolation={_names(self.interpolation)})'
        )


def patchify_image(
    img: Tensor,
    patch_size: tuple[int, int],
    pad: bool = True,
    include_info: bool = True,
    flatten_patches: bool = True,
    channels_last: bool = True,
) -> Tensor | tuple[Tensor, Tensor, Tensor]:
    """Cut an image into patches, row by row.

    Shape: (C, H, W) -> patches (N, P Q C), or (N, P, Q, C) unflattened; with C before P where not `channels_last`.
        With `include_info` also their rows and columns in the grid (N, 2), int64, and (N,) True.

    Args:
        pad: Fill an image with zeros, at the bottom and on the right, to whole patches.

    Raises:
        ValueError: Something else than one image, or without `pad` one that is no whole number of patches.
    """
    if img.ndim != 3:
        raise ValueError(f'patches are cut out of one image (C, H, W), got a tensor of shape {tuple(img.shape)}')
    P, Q = patch_size
    below, beside = -img.shape[1] % P, -img.shape[2] % Q
    if below or beside:
        if not pad:
            raise ValueError(
                f'{img.shape[1]} x {img.shape[2]} pixels are no whole number of patches of {P} x {Q}: use pad=True, or '
                'resize to a multiple'
            )
        img = torch.nn.functional.pad(img, (0, beside, 0, below))
    rows, columns = img.shape[1] // P, img.shape[2] // Q
    grid = img.unflatten(2, (columns, Q)).unflatten(1, (rows, P))
    patches = grid.permute((1, 3, 2, 4, 0) if channels_last else (1, 3, 0, 2, 4)).flatten(0, 1)
    if flatten_patches:
        patches = patches.flatten(1)
    if not include_info:
        return patches
    coord = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).to(img.device)
    return patches, coord, torch.ones(len(coord), dtype=torch.bool, device=img.device)


class Patchify(torch.nn.Module):
    """An image as a dict of `patches`, `patch_coord` and `patch_valid`; see `patchify_image`.

    A PIL image becomes floats of 0 to 1 first; a tensor keeps its type.
    """

    def __init__(self, patch_size: Size, flatten_patches: bool = True, channels_last: bool = True) -> None:
        super().__init__()
        self.patch_size = _checked_patch(patch_size, 1)
        self.flatten_patches = flatten_patches
        self.channels_last = channels_last

    def forward(self, img: Any) -> dict[str, Tensor]:
        """Cut an image into patches."""
        if isinstance(img, Image.Image):
            img = F.to_tensor(img)
        patches, coord, valid = patchify_image(
            img, self.patch_size, flatten_patches=self.flatten_patches, channels_last=self.channels_last
        )
        return {'patches': patches, 'patch_coord': coord, 'patch_valid': valid}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(patch_size={self.patch_size})'


def _draw_part(img: Any, scale: Range, ratio: Range, attempts: int) -> tuple[int, int, int, int]:
    """A part of an image by its share of the area and its change of proportions: top, left, height, width."""
    width, height = F.get_image_size(img)
    own = width / height
    log_ratio = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(attempts):
        area = random.uniform(*scale) * width * height
        aspect = own * math.exp(random.uniform(*log_ratio))
        h, w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < h <= height and 0 < w <= width:
            return random.randint(0, height - h), random.randint(0, width - w), h, w
    h = min(height, max(round(height / ratio[0]), 1))
    w = min(width, max(round(width * ratio[1]), 1))
    return (height - h) // 2, (width - w) // 2, h, w


def _scaled(image_hw: tuple[float, float], ratio: float, patch: tuple[int, int], divisible: bool) -> tuple[int, int]:
    """The sides times `ratio`, in whole patches or pixels, and at least a patch."""
    if divisible:
        return _whole((image_hw[0] * ratio, image_hw[1] * ratio), patch, divisible)
    return max(int(image_hw[0] * ratio), patch[0]), max(int(image_hw[1] * ratio), patch[1])


def _whole(size: tuple[float, float], patch: tuple[int, int], divisible: bool) -> tuple[int, int]:
    """A size of at least a patch, rounded up to whole patches if it is to be divisible."""
    height, width = (max(side, length) for side, length in zip(size, patch, strict=True))
    if divisible:
        height, width = math.ceil(height / patch[0]) * patch[0], math.ceil(width / patch[1]) * patch[1]
    return int(height), int(width)


def _num_patches(size: tuple[int, int], patch: tuple[int, int]) -> int:
    return (size[0] // patch[0]) * (size[1] // patch[1])


def _checked_patch(patch_size: Size, max_seq_len: int) -> tuple[int, int]:
    """The patch as (height, width), where it is one and at least one of it is allowed."""
    patch = _pair(patch_size)
    if min(patch) < 1:
        raise ValueError(f'a patch has at least one pixel each way, got patch_size {patch_size!r}')
    if max_seq_len < 1:
        raise ValueError(f'a sequence of {max_seq_len} has no room for one patch: use 1 or more')
    return patch


def _checked_range(name: str, given: Sequence[float]) -> Range:
    if len(given) != 2 or not 0 < given[0] <= given[1]:
        raise ValueError(f'{name} is (lowest, highest) above 0, got {given!r}')
    return given[0], given[1]


def _as_filters(interpolation: str | Interpolation) -> Interpolation:
    return _filters(interpolation) if isinstance(interpolation, str) else interpolation
