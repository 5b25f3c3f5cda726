"""From preprocessing options to the transforms of a loader."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torchvision import transforms

from ._checks import check_shares
from ._compose import Compose
from .auto_augment import augment_and_mix_transform, auto_augment_transform, rand_augment_transform
from .constants import DEFAULT_CROP_PCT, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from .naflex_transforms import Patchify, RandomResizedCropToSequence, ResizeToSequence
from .random_erasing import RandomErasing
from .tf_preprocessing import TfPreprocessTransform
from .transforms import (
    CenterCropOrPad,
    MaybePILToTensor,
    MaybeToTensor,
    RandomCropOrPad,
    RandomResizedCropAndInterpolation,
    ResizeKeepRatio,
    TrimBorder,
    str_to_interp_mode,
    str_to_pil_interp,
)

__all__ = [
    'create_transform',
    'transforms_imagenet_eval',
    'transforms_imagenet_train',
    'transforms_noaug_train',
]

Size = int | Sequence[int]
Steps = list[Callable[[Any], Any]]


@dataclass(frozen=True)
class _Options:
    """Arguments of the functions below, by their names; what each of them does not have keeps the value here."""

    img_size: Size = 224
    scale: tuple[float, float] | None = None
    ratio: tuple[float, float] | None = None
    train_crop_mode: str | None = None
    hflip: float = 0.5
    vflip: float = 0.0
    color_jitter: float | Sequence[float] | None = 0.4
    color_jitter_prob: float | None = None
    force_color_jitter: bool = False
    grayscale_prob: float | None = 0.0
    gaussian_blur_prob: float | None = 0.0
    auto_augment: str | None = None
    interpolation: str = 'bilinear'
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN
    std: Sequence[float] = IMAGENET_DEFAULT_STD
    re_prob: float = 0.0
    re_mode: str = 'const'
    re_count: int = 1
    re_num_splits: int = 0
    crop_pct: float | None = None
    crop_mode: str | None = None
    crop_border_pixels: int | None = None
    use_prefetcher: bool = False
    normalize: bool = True
    separate: bool = False
    tf_preprocessing: bool = False
    naflex: bool = False
    patch_size: Size = 16
    max_seq_len: int = 576
    patchify: bool = False
    patchify_channels_last: bool = True
    patchify_flatten: bool = True
    fast_resize: bool = False
    reduced_decode: bool = False

    def __post_init__(self) -> None:
        if self.tf_preprocessing and (self.separate or not self.use_prefetcher):
            raise ValueError(
                'tf_preprocessing=True gives bytes for a prefetcher, in one piece: it needs use_prefetcher'
            )
        if not isinstance(self.img_size, int) and len(self.img_size) not in (2, 3):
            raise ValueError(f'a size is one number, (H, W) or (C, H, W), got {self.img_size!r}')
        names = 'hflip', 'vflip', 'color_jitter_prob', 'grayscale_prob', 'gaussian_blur_prob', 're_prob'
        check_shares(**{name: getattr(self, name) for name in names})

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        if isinstance(self.img_size, int):
            return self.img_size, self.img_size
        return self.img_size[-2], self.img_size[-1]


def create_transform(
    input_size: Size = 224,
    is_training: bool = False,
    no_aug: bool = False,
    train_crop_mode: str | None = None,
    scale: tuple[float, float] | None = None,
    ratio: tuple[float, float] | None = None,
    hflip: float = 0.5,
    vflip: float = 0.0,
    color_jitter: float | Sequence[float] | None = 0.4,
    color_jitter_prob: float | None = None,
    grayscale_prob: float | None = 0.0,
    gaussian_blur_prob: float | None = 0.0,
    auto_augment: str | None = None,
    interpolation: str = 'bilinear',
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
    re_prob: float = 0.0,
    re_mode: str = 'const',
    re_count: int = 1,
    re_num_splits: int = 0,
    crop_pct: float | None = None,
    crop_mode: str | None = None,
    crop_border_pixels: int | None = None,
    tf_preprocessing: bool = False,
    use_prefetcher: bool = False,
    normalize: bool = True,
    separate: bool = False,
    naflex: bool = False,
    patch_size: Size = 16,
    max_seq_len: int = 576,
    patchify: bool = False,
    patchify_channels_last: bool = True,
    patchify_flatten: bool = True,
    *,
    fast_resize: bool = False,
    reduced_decode: bool = False,
) -> Any:
    """The transform of an evaluation, or of a training: a Compose from PIL image to tensor, or three with `separate`.

    Args:
        input_size: One number, (H, W), or (C, H, W).
        no_aug: Train on central crops, as in an evaluation without a margin.
        train_crop_mode: 'rrc' a random part, resized (default); 'rkrc' resized with its proportions nearly kept, then
            the central crop; 'rkrr' the same with a random crop.
        scale: Range of the area of a random part ('rrc') or of the resize.
        ratio: Range of its width over its height.
        color_jitter: Strength of jitter in brightness, contrast and saturation; or three of them, or four with hue.
            Without effect under `auto_augment`, except for policies called '3a'.
        auto_augment: 'rand-...', 'augmix-...', or the name of an AutoAugment policy (see `auto_augment`).
        interpolation: Filter of the resize; in training 'random' draws bilinear or bicubic.
        re_prob: Chance of random erasing; a loader with a prefetcher does it itself.
        crop_pct: Share of the resized image that the evaluation crop keeps.
        crop_mode: Evaluation: 'center' resizes the shorter side and crops; 'squash' resizes both sides and crops;
            'border' resizes the longer side and pads with the mean colour.
        crop_border_pixels: Pixels taken off each edge first.
        use_prefetcher: End with bytes; the loader's `PrefetchLoader` normalises them on the device.
        normalize: End with normalised floats; otherwise with bytes.
        separate: Training: shared part, augmentation and final part as three, for `AugMixDataset`.
        naflex: Keep the proportions of an image, or of the random part of it, and resize to at most `max_seq_len`
            patches of `patch_size`; `input_size`, `crop_pct` and `crop_mode` do not count then.
        patchify: End with a dict of patches, their coordinates and which are valid (see `Patchify`).
        patchify_channels_last: Order of the numbers of a patch: by pixel, or by channel.
        patchify_flatten: Patches are vectors; else they stay images.
        tf_preprocessing: Prepare JPEG files with TensorFlow (see `tf_preprocessing`); needs `use_prefetcher`, and a
            dataset with `load_bytes=True`.
        fast_resize: Resize with torch, which differs from PIL by 2 of 255 at most.
        reduced_decode: Decode large JPEG files smaller where the first step makes at most half of that of them; for the
            `transform` of an `ImageDataset`, which decodes as its transform has it.

    Raises:
        ValueError: An option that does not exist, or that this version does not have.
    """
    options = _options(locals())
    if tf_preprocessing:
        return TfPreprocessTransform(is_training, options.size, interpolation)
    if is_training and not no_aug:
        return _training(options)
    if separate:
        raise ValueError('separate=True is for augmented training: there is nothing to separate without augmentation')
    options = replace(options, re_prob=0.0)  # erasing is augmentation
    return _plain_training(options) if is_training else _evaluation(options)


def transforms_noaug_train(
    img_size: Size = 224,
    interpolation: str = 'bilinear',
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
    use_prefetcher: bool = False,
    normalize: bool = True,
) -> Compose:
    """Training on central crops: shorter side resized to the size, then cropped. 'random' interpolation is bilinear."""
    return _plain_training(_options(locals()))


def transforms_imagenet_train(
    img_size: Size = 224,
    scale: tuple[float, float] | None = None,
    ratio: tuple[float, float] | None = None,
    train_crop_mode: str | None = None,
    hflip: float = 0.5,
    vflip: float = 0.0,
    color_jitter: float | Sequence[float] | None = 0.4,
    color_jitter_prob: float | None = None,
    force_color_jitter: bool = False,
    grayscale_prob: float | None = 0.0,
    gaussian_blur_prob: float | None = 0.0,
    auto_augment: str | None = None,
    interpolation: str = 'random',
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
    re_prob: float = 0.0,
    re_mode: str = 'const',
    re_count: int = 1,
    re_num_splits: int = 0,
    use_prefetcher: bool = False,
    normalize: bool = True,
    separate: bool = False,
    naflex: bool = False,
    patch_size: Size = 16,
    max_seq_len: int = 576,
    patchify: bool = False,
    patchify_channels_last: bool = True,
) -> Any:
    """Training with augmentation; see `create_transform`.

    Args:
        force_color_jitter: Jitter colours under `auto_augment` too.
    """
    return _training(_options(locals()))


def transforms_imagenet_eval(
    img_size: Size = 224,
    crop_pct: float | None = None,
    crop_mode: str | None = None,
    crop_border_pixels: int | None = None,
    interpolation: str = 'bilinear',
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
    use_prefetcher: bool = False,
    normalize: bool = True,
    naflex: bool = False,
    patch_size: Size = 16,
    max_seq_len: int = 576,
    patchify: bool = False,
    patchify_channels_last: bool = True,
    patchify_flatten: bool = True,
) -> Compose:
    """Evaluation; see `create_transform`."""
    return _evaluation(_options(locals()))


def _options(arguments: dict[str, Any]) -> _Options:
    """The record of a function's arguments."""
    arguments = {'img_size': arguments.get('input_size'), **arguments}
    return _Options(**{name: arguments[name] for name in _Options.__match_args__ if name in arguments})


def _plain_training(o: _Options) -> Compose:
    o = replace(o, interpolation='bilinear' if o.interpolation == 'random' else o.interpolation)
    if o.naflex:
        return _evaluation(o)
    return _compose(o, [*_resize_and_crop(o, o.size, o.interpolation), *_final(o)])


def _evaluation(o: _Options) -> Compose:
    steps: Steps = [TrimBorder(o.crop_border_pixels)] if o.crop_border_pixels else []
    if o.naflex:
        resize = ResizeToSequence(o.patch_size, o.max_seq_len, interpolation=o.interpolation)
        return _compose(o, [*steps, resize, *_final(o)])
    crop_pct = o.crop_pct or DEFAULT_CROP_PCT
    resized = math.floor(o.size[0] / crop_pct), math.floor(o.size[1] / crop_pct)
    mode = str_to_interp_mode(o.interpolation)
    if o.crop_mode == 'squash':
        steps += [transforms.Resize(resized, interpolation=mode), transforms.CenterCrop(o.size)]
    elif o.crop_mode == 'border':
        steps += [
            ResizeKeepRatio(resized, longest=1.0, interpolation=o.interpolation),
            CenterCropOrPad(o.size, fill=_mean_color(o)),
        ]
    elif o.crop_mode in (None, '', 'center'):
        steps += _resize_and_crop(o, resized, o.interpolation)
    else:
        raise ValueError(f"crop_mode is 'center', 'squash' or 'border', got {o.crop_mode!r}")
    return _compose(o, [*steps, *_final(o)])


def _compose(o: _Options, steps: Steps) -> Compose:
    return Compose(steps, fast=o.fast_resize, reduced=o.reduced_decode)


def _resize_and_crop(o: _Options, resized: tuple[int, int], interpolation: str) -> Steps:
    """The image resized to cover `resized`, then its centre."""
    if o.size[0] == o.size[1]:
        resize = transforms.Resize(resized[0], interpolation=str_to_interp_mode(interpolation))
    else:
        resize = ResizeKeepRatio(resized, interpolation=interpolation)
    return [resize, transforms.CenterCrop(o.size)]


def _training(o: _Options) -> Any:
    parts = _random_part(o), _augmentation(o), _final(o)
    if o.separate:
        return tuple(_compose(o, part) for part in parts)
    return _compose(o, [step for part in parts for step in part])


def _random_part(o: _Options) -> Steps:
    """The crop, then the flips."""
    steps: Steps = []
    if o.train_crop_mode not in (None, '', 'rrc', 'rkrc', 'rkrr'):
        raise ValueError(f"train_crop_mode is 'rrc', 'rkrc' or 'rkrr', got {o.train_crop_mode!r}")
    if o.naflex:
        scale, ratio = _range(o.scale, 0.08, 1.0), _range(o.ratio, 3 / 4, 4 / 3)
        crop = RandomResizedCropToSequence(o.patch_size, o.max_seq_len, scale, ratio, interpolation=o.interpolation)
        steps.append(crop)
    elif o.train_crop_mode in (None, '', 'rrc'):
        scale, ratio = _range(o.scale, 0.08, 1.0), _range(o.ratio, 3 / 4, 4 / 3)
        steps.append(RandomResizedCropAndInterpolation(o.size, scale, ratio, interpolation=o.interpolation))
    else:
        crop = CenterCropOrPad if o.train_crop_mode == 'rkrc' else RandomCropOrPad
        resize = ResizeKeepRatio(
            o.size,
            interpolation=o.interpolation,
            random_scale_prob=0.5,
            random_scale_range=_range(o.scale, 0.8, 1.0),
            random_scale_area=True,
            random_aspect_prob=0.5,
            random_aspect_range=_range(o.ratio, 0.9, 1 / 0.9),
        )
        steps += [resize, crop(o.size, padding_mode='reflect')]
    if o.hflip > 0:
        steps.append(transforms.RandomHorizontalFlip(p=o.hflip))
    if o.vflip > 0:
        steps.append(transforms.RandomVerticalFlip(p=o.vflip))
    return steps


def _augmentation(o: _Options) -> Steps:
    steps: Steps = []
    if o.auto_augment:
        steps.append(_automatic(o, o.auto_augment))
    jittered = not o.auto_augment or o.force_color_jitter or '3a' in o.auto_augment
    if o.color_jitter is not None and jittered:
        strengths = o.color_jitter if isinstance(o.color_jitter, Sequence) else (float(o.color_jitter),) * 3
        if len(strengths) not in (3, 4):
            raise ValueError(f'color_jitter is one strength, three, or four with hue, got {o.color_jitter!r}')
        jitter = transforms.ColorJitter(*strengths)
        steps.append(jitter if o.color_jitter_prob is None else transforms.RandomApply([jitter], p=o.color_jitter_prob))
    if o.grayscale_prob:
        steps.append(transforms.RandomGrayscale(p=o.grayscale_prob))
    if o.gaussian_blur_prob:
        steps.append(transforms.RandomApply([transforms.GaussianBlur(kernel_size=23)], p=o.gaussian_blur_prob))
    return steps


def _automatic(o: _Options, policy: str) -> Callable[[Any], Any]:
    hparams: dict[str, Any] = {'translate_const': int(min(o.size) * 0.45), 'img_mean': tuple(_mean_color(o))}
    if o.interpolation and o.interpolation != 'random':
        hparams['interpolation'] = str_to_pil_interp(o.interpolation)
    if policy.startswith('rand'):
        return rand_augment_transform(policy, hparams)
    if policy.startswith('augmix'):
        return augment_and_mix_transform(policy, {**hparams, 'translate_pct': 0.3})
    return auto_augment_transform(policy, hparams)


def _final(o: _Options) -> Steps:
    steps = _as_tensor(o)
    if o.patchify:
        steps.append(Patchify(o.patch_size, o.patchify_flatten, o.patchify_channels_last))
    return steps


def _as_tensor(o: _Options) -> Steps:
    if o.use_prefetcher or not o.normalize:
        return [MaybePILToTensor()]
    mean, std = torch.tensor(o.mean), torch.tensor(o.std)
    steps: Steps = [MaybeToTensor(), transforms.Normalize(mean=mean, std=std)]
    if o.re_prob > 0:
        erase = RandomErasing(o.re_prob, mode=o.re_mode, max_count=o.re_count, num_splits=o.re_num_splits, device='cpu')
        steps.append(erase)
    return steps


def _mean_color(o: _Options) -> list[int]:
    return [round(255 * value) for value in o.mean]


def _range(given: Sequence[float] | None, low: float, high: float) -> tuple[float, float]:
    """The range that is asked for, or the usual one."""
    if not given:
        return low, high
    if len(given) != 2:
        raise ValueError(f'a range is (lowest, highest), got {given!r}')
    return given[0], given[1]
