"""Transforms: evaluation to the pixel, training in its ranges."""

import random

import numpy as np
import pytest
import torch
from pictures import picture
from PIL import Image
from torchvision import transforms as tv

from timm.data import (
    CenterCropOrPad,
    MaybePILToTensor,
    MaybeToTensor,
    RandomCropOrPad,
    RandomPad,
    RandomResizedCropAndInterpolation,
    ResizeKeepRatio,
    ToNumpy,
    ToTensor,
    TrimBorder,
    create_transform,
    crop_or_pad,
    interp_mode_to_str,
    str_to_interp_mode,
    str_to_pil_interp,
)
from timm.data.transforms_factory import transforms_imagenet_train

SIZES = [(60, 45), (45, 60), (30, 30), (20, 90), (131, 17), (16, 16), (33, 32), (100, 100)]
FILTERS = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}


def pixels(image):
    return np.asarray(image).transpose(2, 0, 1)


def central(image, width, height):
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def covering(image, side, resample):
    """The image resized so that its shorter side has `side` pixels, the other one rounded down."""
    w, h = image.size
    size = (side, int(side * h / w)) if w <= h else (int(side * w / h), side)
    return image.resize(size, resample)


@pytest.mark.parametrize('interpolation', FILTERS)
@pytest.mark.parametrize(('pct', 'side'), [(0.875, 36), (1.0, 32), (0.9, 35)])
def test_center_crop_is_a_resize_of_the_shorter_side_and_a_crop(interpolation, pct, side):
    transform = create_transform(32, crop_pct=pct, interpolation=interpolation, use_prefetcher=True)
    for i, size in enumerate(SIZES):
        image = picture(*size, i)
        out = transform(image)
        assert out.dtype == torch.uint8
        assert (out.numpy() == pixels(central(covering(image, side, FILTERS[interpolation]), 32, 32))).all()


def test_squash_resizes_both_sides():
    transform = create_transform((3, 32, 24), crop_mode='squash', interpolation='bicubic', use_prefetcher=True)
    for i, size in enumerate(SIZES):
        image = picture(*size, i)
        resized = image.resize((int(24 / 0.875), int(32 / 0.875)), Image.Resampling.BICUBIC)
        assert (transform(image).numpy() == pixels(central(resized, 24, 32))).all()


def test_border_fits_the_image_and_pads_with_the_mean():
    transform = create_transform(32, crop_mode='border', crop_pct=1.0, use_prefetcher=True)
    out = transform(picture(60, 30))
    assert out.shape == (3, 32, 32)
    assert out[:, 0, 0].tolist() == [124, 116, 104]
    inner = picture(60, 30).resize((32, 16), Image.Resampling.BILINEAR)
    assert (out[:, 8:24].numpy() == pixels(inner)).all()


def test_oblong_targets_are_covered_with_proportions_kept():
    transform = create_transform((3, 32, 16), crop_pct=1.0, interpolation='bicubic', use_prefetcher=True)
    image = picture(60, 45)
    resized = image.resize((round(60 * 32 / 45), 32), Image.Resampling.BICUBIC)
    assert (transform(image).numpy() == pixels(central(resized, 16, 32))).all()


def test_border_pixels_go_first():
    transform = create_transform(16, crop_border_pixels=5, use_prefetcher=True)
    image = picture(40, 40)
    assert (transform(image) == create_transform(16, use_prefetcher=True)(image.crop((5, 5, 35, 35)))).all()


def test_normalised_floats_without_a_prefetcher():
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    out = create_transform(16, mean=mean, std=std)(picture(30, 20))
    bytes_ = create_transform(16, mean=mean, std=std, normalize=False)(picture(30, 20))
    expected = (bytes_.float() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert out.dtype == torch.float32
    assert torch.equal(out, expected)


def names(transform):
    return [type(step).__name__ for step in transform.transforms]


def test_steps_of_an_evaluation_can_be_read_and_edited():
    transform = create_transform(32)
    assert isinstance(transform, tv.Compose)
    assert names(transform) == ['Resize', 'CenterCrop', 'MaybeToTensor', 'Normalize']
    assert names(create_transform(32, use_prefetcher=True))[-1] == 'MaybePILToTensor'
    assert names(create_transform((3, 32, 16), crop_mode='border'))[:2] == ['ResizeKeepRatio', 'CenterCropOrPad']
    transform.transforms[0] = tv.Resize((32, 32))
    assert transform(picture(99, 40)).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ('options', 'steps'),
    [
        ({}, ['ColorJitter']),
        ({'color_jitter': None}, []),
        ({'color_jitter_prob': 0.3, 'grayscale_prob': 0.1}, ['RandomApply', 'RandomGrayscale']),
        ({'color_jitter': None, 'gaussian_blur_prob': 0.2}, ['RandomApply']),
        ({'auto_augment': 'rand-m9-mstd0.5'}, ['RandAugment']),
        ({'auto_augment': 'v0'}, ['AutoAugment']),
        ({'auto_augment': '3a'}, ['AutoAugment', 'ColorJitter']),
        ({'auto_augment': 'augmix-m3'}, ['AugMixAugment']),
    ],
)
def test_steps_of_a_training(options, steps):
    first = ['RandomResizedCropAndInterpolation', 'RandomHorizontalFlip']
    assert names(create_transform(32, is_training=True, **options)) == [*first, *steps, 'MaybeToTensor', 'Normalize']
    parts = create_transform(32, is_training=True, separate=True, use_prefetcher=True, **options)
    assert [names(part) for part in parts] == [first, steps, ['MaybePILToTensor']]


def test_flips_erasing_and_forced_jitter():
    transform = create_transform(32, is_training=True, hflip=0.0, vflip=0.5, re_prob=0.2, re_mode='pixel', re_count=2)
    assert names(transform)[1] == 'RandomVerticalFlip'
    assert (transform.transforms[-1].probability, transform.transforms[-1].max_count) == (0.2, 2)
    assert names(create_transform(32, is_training=True, re_prob=0.2, use_prefetcher=True))[-1] == 'MaybePILToTensor'
    forced = transforms_imagenet_train(32, force_color_jitter=True, auto_augment='rand-m9')
    assert 'ColorJitter' in names(forced)


@pytest.mark.parametrize('mode', ['rrc', 'rkrc', 'rkrr'])
def test_training_gives_the_size_from_any_image(mode):
    random.seed(0)
    torch.manual_seed(0)
    transform = create_transform((3, 24, 32), is_training=True, train_crop_mode=mode, interpolation='random')
    for i, size in enumerate(SIZES[:5]):
        assert transform(picture(*size, i)).shape == (3, 24, 32)


def test_training_without_augmentation_is_a_plain_crop():
    transform = create_transform(32, is_training=True, no_aug=True, interpolation='random', use_prefetcher=True)
    image = picture(60, 45)
    assert (transform(image).numpy() == pixels(central(covering(image, 32, Image.Resampling.BILINEAR), 32, 32))).all()


@pytest.mark.parametrize(
    ('options', 'hint'),
    [
        ({'crop_mode': 'centre'}, 'squash'),
        ({'interpolation': 'bicubik'}, 'bicubic'),
        ({'interpolation': 'random'}, 'training'),
        ({'input_size': (32,)}, 'size'),
        ({'separate': True}, 'separate'),
        ({'tf_preprocessing': True}, 'tf_preprocessing'),
        ({'is_training': True, 'train_crop_mode': 'crop'}, 'rkrc'),
        ({'is_training': True, 'color_jitter': (0.1, 0.2)}, 'color_jitter'),
        ({'is_training': True, 'scale': (0.1,)}, 'range'),
        ({'is_training': True, 'scale': (0.0, 1.0)}, 'above 0'),
        ({'is_training': True, 'ratio': (-1.0, 1.0)}, 'above 0'),
        ({'is_training': True, 'hflip': 1.5}, 'hflip=1.5'),
        ({'is_training': True, 'grayscale_prob': -0.1}, 'grayscale_prob=-0.1'),
        ({'is_training': True, 're_prob': float('nan')}, 're_prob=nan'),
        ({'is_training': True, 'auto_augment': 'v9'}, 'v0'),
    ],
)
def test_options_that_do_not_exist_are_refused(options, hint):
    with pytest.raises(ValueError, match=hint):
        create_transform(**options)


def test_random_crop_keeps_to_its_ranges():
    random.seed(1)
    image = picture(80, 50)
    for _ in range(200):
        top, left, h, w = RandomResizedCropAndInterpolation.get_params(image, (0.2, 0.5), (0.5, 2.0))
        assert 0 <= top <= 50 - h
        assert 0 <= left <= 80 - w
        assert 0.18 < h * w / 4000 < 0.52
        assert 0.45 < w / h < 2.2
    flat = Image.new('RGB', (500, 5))
    assert RandomResizedCropAndInterpolation.get_params(flat, (0.9, 1.0), (0.75, 4 / 3)) == (0, 246, 5, 7)


def test_random_interpolation_is_drawn_from_two():
    random.seed(0)
    crop = RandomResizedCropAndInterpolation(16, scale=(1.0, 1.0), ratio=(1.0, 1.0), interpolation='random')
    image = picture(40, 40)
    found = {crop(image).tobytes() for _ in range(20)}
    assert found == {image.resize((16, 16), resample).tobytes() for resample in FILTERS.values()}


def test_resize_with_proportions_kept():
    image = Image.new('RGB', (100, 50))
    assert ResizeKeepRatio((20, 20))(image).size == (40, 20)
    assert ResizeKeepRatio((20, 20), longest=1.0)(image).size == (20, 10)
    assert ResizeKeepRatio((20, 20), random_scale_prob=1.0, random_scale_range=(0.5, 0.5))(image).size == (20, 10)
    area = ResizeKeepRatio(20, random_scale_prob=1.0, random_scale_range=(0.25, 0.25), random_scale_area=True)
    assert area(image).size == (80, 40)
    stretched = ResizeKeepRatio(20, random_aspect_prob=1.0, random_aspect_range=(4.0, 4.0))
    assert stretched(image).size == (80, 10)


def test_crop_or_pad():
    image = picture(10, 8)
    out = crop_or_pad(image, -1, 2, 6, 10, fill=(1, 2, 3))
    assert out.size == (10, 6)
    assert out.getpixel((0, 0)) == (1, 2, 3)
    assert out.getpixel((0, 1)) == image.getpixel((2, 0))
    assert out.getpixel((9, 3)) == (1, 2, 3)
    assert CenterCropOrPad((8, 4))(image).tobytes() == image.crop((3, 0, 7, 8)).tobytes()
    edges = CenterCropOrPad(12, padding_mode='edge')(image)
    assert edges.getpixel((0, 0)) == image.getpixel((0, 0))
    with pytest.raises(ValueError, match='size'):
        CenterCropOrPad((1, 2, 3))


def test_random_windows_and_margins():
    random.seed(2)
    image = picture(20, 12)
    for _ in range(50):
        top, left = RandomCropOrPad.get_params(image, (6, 30))
        assert 0 <= top <= 6
        assert -10 <= left <= 0
    assert RandomCropOrPad((6, 30), fill=9)(image).size == (30, 6)
    assert RandomPad((30, 40))(image).size == (40, 30)
    assert RandomPad((4, 4))(image).size == image.size


def test_trimmed_borders():
    assert TrimBorder(3)(picture(20, 12)).size == (14, 6)
    assert TrimBorder(7)(picture(20, 12)).size == (6, 0)


def test_conversions():
    image = picture(6, 4)
    assert ToNumpy()(image).shape == (3, 4, 6)
    assert ToNumpy()(image.convert('L')).shape == (1, 4, 6)
    assert (ToTensor()(image).numpy() == pixels(image)).all()
    assert ToTensor(torch.float16)(image).dtype == torch.float16
    assert MaybePILToTensor()(image).dtype == torch.uint8
    assert torch.equal(MaybeToTensor()(image), MaybePILToTensor()(image) / 255)
    tensor = torch.rand(3, 4, 6)
    assert MaybeToTensor()(tensor) is tensor
    assert MaybePILToTensor()(tensor) is tensor


def test_names_of_filters():
    for name in ('nearest', 'bilinear', 'bicubic', 'box', 'hamming', 'lanczos'):
        assert interp_mode_to_str(str_to_interp_mode(name)) == name
        assert str_to_pil_interp(name).name.lower() == name
    with pytest.raises(ValueError, match='nearest'):
        str_to_pil_interp('nearst')
