"""The operations of automatic augmentation against their formulas, written out in numpy; magnitudes against theirs."""

import math
import random

import numpy as np
import pytest
from pictures import picture
from PIL import Image

from timm.data.auto_augment import LEVEL_TO_ARG, NAME_TO_OP, AugmentOp, augmix_ops, rand_augment_transform

FILL = (11, 101, 201)
WIDTH, HEIGHT = 41, 30
HPARAMS = {'translate_const': 20, 'translate_pct': 0.3}


def pixels(image):
    return np.asarray(image).astype(np.int64)


def applied(name, *arguments, image=None, **options):
    return pixels(NAME_TO_OP[name](image or picture(WIDTH, HEIGHT, 5), *arguments, **options))


# Operations on values: exact.


def luma(x):
    """ITU-R 601 in 16 bits, as PIL's mode 'L' is defined."""
    return (x @ np.array([19595, 38470, 7471]) + 0x8000) >> 16


def enhanced(x, base, factor):
    """base + factor * (x - base) in single precision, cut off to a whole number in range."""
    step = np.float32(factor) * (x - base).astype(np.float32)
    return np.clip(base.astype(np.float32) + step, 0, 255).astype(np.int64)


@pytest.mark.parametrize('factor', [0.1, 0.5, 1.0, 1.45, 1.9])
@pytest.mark.parametrize('name', ['Brightness', 'Contrast', 'Color', 'Sharpness'])
def test_enhancements_move_away_from_what_they_enhance(name, factor):
    x = pixels(picture(WIDTH, HEIGHT, 5))
    if name == 'Brightness':
        base = np.zeros_like(x)
    elif name == 'Contrast':
        base = np.full_like(x, int(luma(x).mean() + 0.5))
    elif name == 'Color':
        base = np.repeat(luma(x)[:, :, None], 3, 2)
    else:  # the mean of a pixel, five times, and its eight neighbours; the edge stays
        base = x.copy()
        window = sum(np.roll(x, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) + 4 * x
        base[1:-1, 1:-1] = np.floor(window / 13 + 0.5)[1:-1, 1:-1]
    difference = np.abs(applied(name, factor) - enhanced(x, base, factor))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.002


@pytest.mark.parametrize('factor', [0.0, 0.5, 1.0, 1.5])
def test_desaturation_goes_to_grey(factor):
    x = pixels(picture(WIDTH, HEIGHT, 5))
    grey = np.repeat(luma(x)[:, :, None], 3, 2)
    assert np.abs(applied('Desaturate', factor) - enhanced(x, grey, 1 - min(factor, 1.0))).max() <= 1


@pytest.mark.parametrize('threshold', [0, 1, 128, 200, 256])
def test_solarize_inverts_from_a_threshold(threshold):
    x = pixels(picture(WIDTH, HEIGHT, 5))
    assert np.array_equal(applied('Solarize', threshold), np.where(x < threshold, x, 255 - x))
    assert np.array_equal(applied('SolarizeIncreasing', threshold), np.where(x < threshold, x, 255 - x))


@pytest.mark.parametrize('add', [0, 37, 110, 128])
def test_solarize_add_brightens_below_128(add):
    x = pixels(picture(WIDTH, HEIGHT, 5))
    assert np.array_equal(applied('SolarizeAdd', add), np.where(x < 128, np.minimum(x + add, 255), x))


@pytest.mark.parametrize('bits', range(9))
@pytest.mark.parametrize('name', ['Posterize', 'PosterizeIncreasing', 'PosterizeOriginal'])
def test_posterize_keeps_the_upper_bits(name, bits):
    step = 2 ** (8 - bits)
    assert np.array_equal(applied(name, bits), pixels(picture(WIDTH, HEIGHT, 5)) // step * step)


def test_invert():
    assert np.array_equal(applied('Invert'), 255 - pixels(picture(WIDTH, HEIGHT, 5)))


def test_autocontrast_stretches_each_channel():
    x = pixels(picture(WIDTH, HEIGHT, 5)) // 2 + 40
    x[:, :, 2] = 77  # a channel of one value stays
    image = Image.fromarray(x.astype(np.uint8))
    low, high = x.min((0, 1)), x.max((0, 1))
    expected = np.floor((x - low) * 255.0 / np.maximum(high - low, 1) + 1e-9)
    expected[:, :, 2] = 77
    difference = np.abs(applied('AutoContrast', image=image) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_equalize_levels_each_histogram():
    image = picture(WIDTH, HEIGHT, 5)
    x = pixels(image)
    expected = np.empty_like(x)
    for channel in range(3):
        counts = np.bincount(x[:, :, channel].ravel(), minlength=256)
        # A step is as many pixels as there are below the highest value, over 255; a value goes to the steps before it.
        step = (counts.sum() - counts[np.flatnonzero(counts)[-1]]) // 255
        before = np.cumsum(counts) - counts
        expected[:, :, channel] = np.minimum((step // 2 + before) // step, 255)[x[:, :, channel]]
    assert np.array_equal(applied('Equalize'), expected)


@pytest.mark.parametrize('sigma', [0.1, 0.6, 1.0, 2.0])
def test_blur_is_three_box_filters_of_the_variance_of_a_gaussian(sigma):
    """Extended box filters (Gwosdek et al., 2011): 2 r + 1 equal weights and a smaller one at either end."""
    share = sigma**2 / 3  # variance of each of the three
    r = int((math.sqrt(1 + 12 * share) - 1) / 2)  # of the widest plain box whose variance is no larger
    end = (2 * r + 1) * (share - r * (r + 1) / 3) / (2 * ((r + 1) ** 2 - share))
    weights = np.array([end, *[1.0] * (2 * r + 1), end]) / (2 * r + 1 + 2 * end)
    assert (weights * np.arange(-r - 1, r + 2) ** 2).sum() == pytest.approx(share)
    expected = pixels(picture(WIDTH, HEIGHT, 5)).astype(float)
    for axis in (1, 1, 1, 0, 0, 0):
        wide = np.pad(expected, [(r + 1, r + 1) if i == axis else (0, 0) for i in range(3)], mode='edge')
        parts = [np.take(wide, range(i, i + expected.shape[axis]), axis) for i in range(len(weights))]
        expected = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    difference = np.abs(applied('GaussianBlur', sigma) - expected)
    assert difference.max() < 2.5  # it rounds six times
    assert difference.mean() < 0.6


def test_random_blur_draws_its_radius(monkeypatch):
    asked = []
    monkeypatch.setattr(random, 'uniform', lambda low, high: asked.append((low, high)) or 1.5)
    assert np.array_equal(applied('GaussianBlurRand', 0.7), applied('GaussianBlur', 1.5))
    assert asked == [(0.1, 1.4)]


# Geometry: every pixel of the result is looked up at A (x + 1/2, y + 1/2) in the image.


def looked_up(x, matrix, kind):
    """Pixels at the places that an affine matrix (a, b, c, d, e, f) names, between them by a kernel; else the fill."""
    H, W = x.shape[:2]
    row, column = np.mgrid[:H, :W] + 0.5
    a, b, c, d, e, f = matrix
    u, v = a * column + b * row + c, d * column + e * row + f
    inside = (u >= 0) & (u < W) & (v >= 0) & (v < H)
    if kind == 'nearest':
        found = x[np.clip(np.floor(v), 0, H - 1).astype(int), np.clip(np.floor(u), 0, W - 1).astype(int)]
        return np.where(inside[:, :, None], found, FILL)
    reach, kernel = {'bilinear': (1, tent), 'bicubic': (2, keys)}[kind]
    left, top = np.floor(u - 0.5).astype(int), np.floor(v - 0.5).astype(int)
    total = np.zeros(x.shape)
    for i in range(1 - reach, reach + 1):
        for j in range(1 - reach, reach + 1):
            weight = kernel(v - 0.5 - (top + i)) * kernel(u - 0.5 - (left + j))
            total += weight[:, :, None] * x[np.clip(top + i, 0, H - 1), np.clip(left + j, 0, W - 1)]
    return np.where(inside[:, :, None], np.clip(np.floor(total + 1e-9), 0, 255), FILL)


def tent(t):
    return np.maximum(0, 1 - np.abs(t))


def keys(t):
    """Keys' cubic (1981, eq. 4) with a = -1."""
    t = np.abs(t)
    near = t**3 - 2 * t**2 + 1
    far = -(t**3) + 5 * t**2 - 8 * t + 4
    return np.where(t < 1, near, np.where(t < 2, far, 0))


def turn(degrees):
    """Counter-clockwise about the centre: the place that comes to lie at a pixel, with y downwards."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = WIDTH / 2, HEIGHT / 2
    return cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y


MOVES = {
    'Rotate': (turn, [-30.0, -7.3, 12.0, 30.0]),
    'ShearX': (lambda f: (1, f, 0, 0, 1, 0), [-0.29, 0.113]),
    'ShearY': (lambda f: (1, 0, 0, f, 1, 0), [-0.29, 0.113]),
    'TranslateX': (lambda p: (1, 0, p, 0, 1, 0), [-9.25, 4.0]),
    'TranslateY': (lambda p: (1, 0, 0, 0, 1, p), [-9.25, 4.0]),
    'TranslateXRel': (lambda p: (1, 0, p * WIDTH, 0, 1, 0), [-0.4137, 0.2173]),
    'TranslateYRel': (lambda p: (1, 0, 0, 0, 1, p * HEIGHT), [-0.4137, 0.2173]),
}


@pytest.mark.parametrize('kind', ['nearest', 'bilinear', 'bicubic'])
@pytest.mark.parametrize('name', MOVES)
def test_moves_look_pixels_up(name, kind):
    matrix, amounts = MOVES[name]
    x = pixels(picture(WIDTH, HEIGHT, 5))
    for amount in amounts:
        options = {'resample': Image.Resampling[kind.upper()], 'fillcolor': FILL}
        difference = np.abs(applied(name, amount, **options) - looked_up(x, matrix(amount), kind)).max(2)
        # At a border between two pixels, or between image and fill, the last place of a number decides.
        assert (difference > 1).mean() < 0.004
        assert (difference > 0).mean() < 0.02


def test_fill_of_a_grey_image_is_the_mean():
    moved = NAME_TO_OP['TranslateX'](picture(20, 10, mode='L'), 8, resample=Image.Resampling.NEAREST, fillcolor=FILL)
    assert moved.getpixel((19, 5)) == round(sum(FILL) / 3)


# Magnitudes.

TURNS = 'either sign'
LEVELS = {
    'AutoContrast': None,
    'Equalize': None,
    'Invert': None,
    'Rotate': lambda m: (TURNS, 30 * m / 10),
    'ShearX': lambda m: (TURNS, 0.3 * m / 10),
    'ShearY': lambda m: (TURNS, 0.3 * m / 10),
    'TranslateX': lambda m: (TURNS, 20 * m / 10),
    'TranslateY': lambda m: (TURNS, 20 * m / 10),
    'TranslateXRel': lambda m: (TURNS, 0.3 * m / 10),
    'TranslateYRel': lambda m: (TURNS, 0.3 * m / 10),
    'Posterize': lambda m: (None, int(4 * m / 10)),
    'PosterizeIncreasing': lambda m: (None, 4 - int(4 * m / 10)),
    'PosterizeOriginal': lambda m: (None, 4 + int(4 * m / 10)),
    'Solarize': lambda m: (None, int(256 * m / 10)),
    'SolarizeIncreasing': lambda m: (None, 256 - int(256 * m / 10)),
    'SolarizeAdd': lambda m: (None, int(110 * m / 10)),
    'Desaturate': lambda m: (None, 0.5 + 0.5 * m / 10),
    'GaussianBlur': lambda m: (None, 0.1 + 1.9 * m / 10),
    'GaussianBlurRand': lambda m: (None, m / 10),
    **dict.fromkeys(('Color', 'Contrast', 'Brightness', 'Sharpness'), lambda m: (None, 0.1 + 1.8 * m / 10)),
    **dict.fromkeys(
        ('ColorIncreasing', 'ContrastIncreasing', 'BrightnessIncreasing', 'SharpnessIncreasing'),
        lambda m: ('about 1', 0.9 * m / 10),
    ),
}


@pytest.mark.parametrize('magnitude', [0, 1, 2.7, 5, 9, 10])
def test_magnitudes_become_arguments(magnitude):
    assert LEVELS.keys() == LEVEL_TO_ARG.keys() == NAME_TO_OP.keys()
    random.seed(0)
    for name, formula in LEVELS.items():
        levels = LEVEL_TO_ARG[name]
        if formula is None:
            assert levels is None
            continue
        kind, amount = formula(magnitude)
        expected = {TURNS: {-amount, amount}, 'about 1': {1 - amount, 1 + amount}}.get(kind, {amount})
        found = {argument for _ in range(40) for argument in levels(magnitude, HPARAMS)}
        assert sorted(found) == pytest.approx(sorted(expected)), name


def test_strings_set_what_every_operation_gets():
    def recorded(config, count=300):
        """Arguments that brightness got, back as magnitudes, and how often it was applied."""
        transform = rand_augment_transform(config, transforms=['Brightness'])
        found = []
        for op in transform.ops:
            op.aug_fn = lambda img, factor, **_: found.append((factor - 0.1) / 0.18) or img
        for _ in range(count):
            transform(None)
        return np.array(found), len(found) / count

    random.seed(0)
    np.random.seed(0)
    found, per_image = recorded('rand-m7-n3-p1.0')
    assert found == pytest.approx(7)
    assert per_image == 3
    assert recorded('rand-m5-n1-p0.3')[1] == pytest.approx(0.3, abs=0.08)
    found = recorded('rand-m9-mstd0.5-p1.0')[0]
    assert found.max() == pytest.approx(10)  # magnitudes end at 10
    assert np.median(found) == pytest.approx(9, abs=0.15)
    assert recorded('rand-m9-mstd2-mmax13-p1.0')[0].max() > 11
    found = recorded('rand-m8-mstd101-p1.0')[0]
    assert found.mean() == pytest.approx(4, abs=0.4)
    assert found.std() == pytest.approx(8 / math.sqrt(12), abs=0.2)
    names = [op.name for op in rand_augment_transform('rand-m9-inc1').ops]
    assert names[4:6] == ['PosterizeIncreasing', 'SolarizeIncreasing']
    assert all(op.prob == 1.0 for op in augmix_ops(3))


def test_magnitude_outside_its_range_is_cut_off():
    assert pixels(AugmentOp('Posterize', 1.0, -3)(picture(8, 8))).max() == 0
    assert np.array_equal(
        pixels(AugmentOp('Solarize', 1.0, 14)(picture(8, 8))), pixels(AugmentOp('Solarize', 1.0, 10)(picture(8, 8)))
    )
