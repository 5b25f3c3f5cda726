"""Transforms to sequences: sizes against exact fractions, pixels against PIL, patches against plain loops."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from pictures import picture
from PIL import Image

from timm.data import (
    CenterCropToSequence,
    Patchify,
    RandomCropToSequence,
    RandomResizedCropToSequence,
    ResizeKeepRatioToSequence,
    ResizeToSequence,
    create_transform,
    patchify_image,
)
from timm.data.naflex_transforms import get_image_size_for_seq

MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def pixels(image):
    return np.asarray(image).astype(int)


def whole_patches(size, ratio, patch):
    """Sides of an image scaled exactly and rounded up to whole patches."""
    return tuple(math.ceil(side * ratio / length) * length for side, length in zip(size, patch, strict=True))


def count(size, patch):
    return math.prod(-(-side // length) for side, length in zip(size, patch, strict=True))


def largest_size(size, patch, limit):
    """The largest factor and size within the limit: a side takes up one more patch at a multiple of patch / side."""
    steps = {Fraction(k * p, side) for side, p in zip(size, patch, strict=True) for k in range(1, limit + 1)}
    factor = max(step for step in steps if count(whole_patches(size, step, patch), patch) <= limit)
    return factor, whole_patches(size, factor, patch)


@pytest.mark.parametrize('size', [(224, 224), (100, 300), (480, 640), (7, 5), (500, 37), (1, 1000)])
@pytest.mark.parametrize('patch', [(16, 16), (14, 14), (16, 8)])
@pytest.mark.parametrize('limit', [1, 4, 49, 128, 576])
def test_size_is_the_largest_within_the_patches_allowed(size, patch, limit):
    factor, expected = largest_size(size, patch, limit)
    ratio, found = get_image_size_for_seq(size, patch, limit)
    assert found == expected
    assert factor - Fraction(1, 100_000) < ratio <= factor


def test_size_without_whole_patches_is_in_whole_pixels():
    # The patches at the edge that are not whole do not count: 5 x 13 of 16 pixels, 4 more rows and 13 more columns.
    assert get_image_size_for_seq((100, 300), 16, 64, divisible_by_patch=False)[1] == (79, 239)


def test_largest_factor_is_kept():
    assert get_image_size_for_seq((100, 300), 16, 576, max_ratio=1.0) == (1.0, (112, 304))
    assert get_image_size_for_seq((100, 300), 16, 576, max_ratio=0.5) == (0.5, (64, 160))


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ({'max_seq_len': 0}, 'sequence of 0'),
        ({'patch_size': 0}, 'patch_size 0'),
        ({'patch_size': (2, 2, 2)}, r'\(2, 2, 2\)'),
        ({'max_seq_len': 1, 'eps': 0.1}, 'max_seq_len'),
    ],
)
def test_what_cannot_be_sized_is_refused(options, named):
    with pytest.raises(ValueError, match=named):
        get_image_size_for_seq((3000, 2000), **{'patch_size': 16, **options})


# Transforms.


def test_resize_is_that_of_pil():
    image = picture(90, 60)
    found = ResizeToSequence(16, 24, interpolation='bicubic')(image)
    _, (height, width) = largest_size((60, 90), (16, 16), 24)
    assert (height, width) == (64, 96)
    assert np.array_equal(pixels(found), pixels(image.resize((96, 64), Image.Resampling.BICUBIC)))


def test_resize_does_not_enlarge_beyond_its_limit():
    assert ResizeToSequence(16, 576, max_ratio=1.0)(picture(90, 60)).size == (96, 64)
    assert ResizeToSequence(16, 576, max_ratio=1.0)(torch.zeros(3, 60, 90)).shape == (3, 64, 96)


def test_central_crop_is_in_the_middle_and_filled():
    image = picture(90, 60)
    _, (height, width) = largest_size((60, 90), (16, 16), 6)
    top, left = (60 - height) // 2, (90 - width) // 2
    found = pixels(CenterCropToSequence(16, 6)(image))
    assert np.array_equal(found, pixels(image)[top : top + height, left : left + width])
    found = pixels(CenterCropToSequence(16, 24, fill=9)(image))
    assert found.shape == (64, 96, 3)
    assert np.array_equal(found[2:62, 3:93], pixels(image))
    assert (found[:2] == 9).all()


def test_random_crop_is_a_window_at_any_place():
    image = picture(40, 24)
    tops, lefts = set(), set()
    for seed in range(60):
        random.seed(seed)
        top, left = RandomCropToSequence.get_params(image, (16, 32))
        random.seed(seed)
        found = RandomCropToSequence(8, 8)(image)
        assert np.array_equal(pixels(found), pixels(image)[top : top + 16, left : left + 32])
        tops.add(top)
        lefts.add(left)
    assert (tops, lefts) == (set(range(9)), set(range(9)))


def test_random_crop_does_not_enlarge():
    assert RandomCropToSequence(16, 576)(picture(90, 60)).size == (96, 64)


@pytest.mark.parametrize('divisible', [True, False])
def test_random_part_has_the_area_and_proportions_asked_for(divisible):
    image = picture(120, 90)
    for seed in range(200):
        random.seed(seed)
        (top, left, height, width), size, _ = RandomResizedCropToSequence.get_params(
            image, (0.2, 0.8), (0.8, 1.25), patch_h=8, patch_w=8, max_seq_len=20, divisible_by_patch=divisible
        )
        assert 0 <= top <= 90 - height
        assert 0 <= left <= 120 - width
        assert 0.2 - 0.02 < height * width / (90 * 120) < 0.8 + 0.02
        assert 0.8 * 0.95 < width / height / (120 / 90) < 1.25 * 1.05
        if divisible:
            assert size == largest_size((height, width), (8, 8), 20)[1]
        assert (size[0] // 8) * (size[1] // 8) <= 20


def test_random_part_that_does_not_fit_is_central():
    part, _, _ = RandomResizedCropToSequence.get_params(picture(120, 90), (1.5, 2.0), (0.25, 0.5), crop_attempts=3)
    assert part == (0, 30, 90, 60)
    part, _, _ = RandomResizedCropToSequence.get_params(picture(120, 90), (1.5, 2.0), (2.0, 3.0), crop_attempts=3)
    assert part == (22, 0, 45, 120)
    part, _, _ = RandomResizedCropToSequence.get_params(picture(120, 90), (1.5, 2.0), (0.9, 1.1), crop_attempts=3)
    assert part == (0, 0, 90, 120)


def test_final_scale_makes_the_result_smaller():
    sizes = set()
    for seed in range(40):
        random.seed(seed)
        crop = RandomResizedCropToSequence(8, 64, scale=(1.0, 1.0), ratio=(1.0, 1.0), final_scale_range=(0.5, 1.2))
        sizes.add(crop(picture(64, 64)).size)
    assert sizes == {(side, side) for side in (40, 48, 56, 64)}


@pytest.mark.parametrize('divisible', [True, False])
def test_resize_with_proportions_stays_within_the_patches(divisible):
    image = picture(100, 30)
    random.seed(0)
    for limit in (3, 9, 30, 100):
        for longest in (0.0, 0.5, 1.0):
            for _ in range(20):
                height, width = ResizeKeepRatioToSequence.get_params(
                    image, 8, limit, divisible, longest, 1.0, (0.8, 1.2), False, 1.0, (0.8, 1.25)
                )
                assert min(height, width) >= 8
                assert (height // 8) * (width // 8) <= limit
                if divisible:
                    assert height % 8 == width % 8 == 0


def test_resize_with_proportions_fits_or_covers():
    get = ResizeKeepRatioToSequence.get_params
    image = picture(90, 60)
    # Within 6 patches of 16 the size is 32 x 48, which has the image's proportions.
    assert get(image, 16, 6, True, 0.0) == get(image, 16, 6, True, 1.0) == [32, 48]
    # 30 x 100 within 10 patches is 32 x 80: the factors are 1.07 and 0.8, and with the smaller one 30 x 0.8 fits.
    assert get(picture(100, 30), 16, 10, True, 0.0) == [32, 80]
    # Half of 40 x 60, which is within 150 patches of 4, is 20 x 30, and in whole patches 20 x 32.
    assert get(picture(60, 40), 4, 150, True, 0.0, 1.0, (0.5, 0.5)) == [20, 32]


@pytest.mark.parametrize('name', ['scale', 'ratio', 'final_scale_range'])
def test_ranges_that_are_none_are_refused(name):
    for given in ((0.5,), (0.5, 0.1), (0.0, 1.0)):
        with pytest.raises(ValueError, match=name):
            RandomResizedCropToSequence(**{name: given})


@pytest.mark.parametrize(
    'make',
    [
        ResizeToSequence,
        CenterCropToSequence,
        RandomCropToSequence,
        ResizeKeepRatioToSequence,
        RandomResizedCropToSequence,
    ],
)
def test_sequences_without_room_for_a_patch_are_refused_at_once(make):
    with pytest.raises(ValueError, match='sequence of 0'):
        make(16, 0)


# Patches.


def patches_by_loops(image, height, width, channels_last=True):
    """Patches row by row, each as a list of its numbers, zero outside the image."""
    channels, rows, columns = image.shape
    found = []
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            patch = np.zeros((channels, height, width), image.dtype)
            part = image[:, top : top + height, left : left + width]
            patch[:, : part.shape[1], : part.shape[2]] = part
            found.append((patch.transpose(1, 2, 0) if channels_last else patch).ravel())
    return np.array(found)


@pytest.mark.parametrize('channels_last', [True, False])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('size', [(6, 9), (5, 7), (1, 1)])
def test_patches_are_cut_row_by_row(channels_last, dtype, size):
    image = np.arange(3 * math.prod(size)).reshape(3, *size).astype(dtype)
    patches, coord, valid = patchify_image(torch.from_numpy(image), (2, 3), channels_last=channels_last)
    assert np.array_equal(patches.numpy(), patches_by_loops(image, 2, 3, channels_last))
    rows, columns = -(-size[0] // 2), -(-size[1] // 3)
    assert coord.tolist() == [[y, x] for y in range(rows) for x in range(columns)]
    assert coord.dtype == torch.int64
    assert valid.tolist() == [True] * len(coord)


def test_patches_stay_images_when_they_are_not_flattened():
    image = torch.arange(3 * 4 * 6).reshape(3, 4, 6)
    patches = patchify_image(image, (2, 3), include_info=False, flatten_patches=False)
    assert torch.equal(patches[3], image[:, 2:, 3:].permute(1, 2, 0))
    patches = patchify_image(image, (2, 3), include_info=False, flatten_patches=False, channels_last=False)
    assert torch.equal(patches[1], image[:, :2, 3:])


def test_patches_of_a_picture_are_floats_of_it():
    image = picture(5, 4)
    found = Patchify(2)(image)
    expected = patches_by_loops(np.asarray(image).transpose(2, 0, 1) / 255, 2, 2)
    assert np.allclose(found['patches'].numpy(), expected, atol=1e-6)
    assert found['patch_valid'].sum() == 6


def test_what_is_no_image_of_whole_patches_is_refused():
    with pytest.raises(ValueError, match=r'5 x 6.*pad=True'):
        patchify_image(torch.zeros(3, 5, 6), (2, 3), pad=False)
    with pytest.raises(ValueError, match=r'\(1, 3, 4, 6\)'):
        Patchify(2)(torch.zeros(1, 3, 4, 6))


# The factory.


def test_evaluation_keeps_proportions_and_normalises():
    image = picture(90, 60)
    found = create_transform(
        naflex=True, patch_size=(16, 8), max_seq_len=20, patchify=True, mean=MEAN, std=STD, interpolation='bicubic'
    )(image)
    _, (height, width) = largest_size((60, 90), (16, 8), 20)
    resized = pixels(image.resize((width, height), Image.Resampling.BICUBIC)).transpose(2, 0, 1) / 255
    normal = (resized - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    assert np.allclose(found['patches'].numpy(), patches_by_loops(normal, 16, 8), atol=1e-5)
    assert len(found['patch_coord']) == height * width // 128


@pytest.mark.parametrize('naflex', [True, False])
@pytest.mark.parametrize('options', [{}, {'is_training': True}, {'is_training': True, 'no_aug': True}])
def test_patches_come_last_and_as_asked_for(naflex, options):
    transform = create_transform(
        24,
        naflex=naflex,
        patch_size=8,
        max_seq_len=9,
        patchify=True,
        patchify_flatten=False,
        patchify_channels_last=False,
        use_prefetcher=True,
        **options,
    )
    patches = transform(picture(60, 60))['patches']
    assert patches.shape == (9, 3, 8, 8)
    assert patches.dtype == torch.uint8


def test_evaluations_and_plain_training_are_not_erased():
    image = Image.new('RGB', (64, 64), 'white')
    for options in ({}, {'naflex': True}, {'is_training': True, 'no_aug': True}):
        transform = create_transform(64, crop_pct=1.0, re_prob=1.0, mean=(0, 0, 0), std=(1, 1, 1), **options)
        assert (transform(image) == 1).all()


def test_training_crops_a_part_whatever_the_mode():
    for mode in (None, 'rrc', 'rkrc', 'rkrr'):
        transform = create_transform(naflex=True, is_training=True, train_crop_mode=mode, patch_size=8, max_seq_len=30)
        random.seed(1)
        assert count(transform(picture(90, 60)).shape[1:], (8, 8)) <= 30
    with pytest.raises(ValueError, match='train_crop_mode'):
        create_transform(naflex=True, is_training=True, train_crop_mode='resize')
