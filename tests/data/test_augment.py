"""Augmentation: operations and their strings, erasing, mixing."""

import random

import numpy as np
import pytest
import torch
from pictures import picture
from PIL import Image

from timm.data import FastCollateMixup, Mixup, auto_augment_transform, rand_augment_transform
from timm.data.auto_augment import (
    LEVEL_TO_ARG,
    NAME_TO_OP,
    AugmentOp,
    AugMixAugment,
    AutoAugment,
    RandAugment,
    augment_and_mix_transform,
    auto_augment_policy,
    desaturate,
    posterize,
    rand_augment_ops,
    solarize_add,
)
from timm.data.mixup import cutmix_bbox_and_lam, mixup_target, rand_bbox, rand_bbox_minmax
from timm.data.random_erasing import RandomErasing

HPARAMS = {'translate_const': 10, 'img_mean': (1, 2, 3)}


@pytest.fixture(autouse=True)
def seeds():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.mark.parametrize('mode', ['RGB', 'L'])
@pytest.mark.parametrize('name', NAME_TO_OP)
def test_every_operation_keeps_size_and_mode(name, mode):
    image = picture(20, 14, mode=mode)
    for magnitude in (0, 5, 10):
        out = AugmentOp(name, 1.0, magnitude, HPARAMS)(image)
        assert (out.size, out.mode) == (image.size, mode)
    assert NAME_TO_OP.keys() == LEVEL_TO_ARG.keys()


@pytest.mark.parametrize(
    ('name', 'at_0', 'at_10'),
    [
        ('Rotate', {0}, {-30, 30}),
        ('ShearX', {0}, {-0.3, 0.3}),
        ('TranslateX', {0}, {-10, 10}),
        ('TranslateXRel', {0}, {-0.45, 0.45}),
        ('Posterize', {0}, {4}),
        ('PosterizeIncreasing', {4}, {0}),
        ('PosterizeOriginal', {4}, {8}),
        ('Solarize', {0}, {256}),
        ('SolarizeIncreasing', {256}, {0}),
        ('SolarizeAdd', {0}, {110}),
        ('Color', {0.1}, {1.9}),
        ('ColorIncreasing', {1.0}, {0.1, 1.9}),
        ('Desaturate', {0.5}, {1.0}),
        ('GaussianBlur', {0.1}, {2.0}),
    ],
)
def test_ranges_of_magnitudes(name, at_0, at_10):
    for level, expected in ((0, at_0), (10, at_10)):
        found = {round(abs(v) if level == 0 else v, 6) for _ in range(30) for v in LEVEL_TO_ARG[name](level, HPARAMS)}
        assert found == expected


def test_magnitudes_are_drawn_as_asked():
    def levels(magnitude, **more):
        op = AugmentOp('Brightness', 1.0, magnitude, {**HPARAMS, **more})
        found = []
        op.aug_fn = lambda img, factor, **_: found.append((factor - 0.1) / 0.18) or img
        for _ in range(400):
            op(None)
        return np.array(found)

    assert levels(9).std() < 1e-6
    assert 0.4 < levels(7, magnitude_std=0.5).std() < 0.6
    assert levels(9, magnitude_std=float('inf')).mean() == pytest.approx(4.5, abs=0.5)
    assert levels(12).max() == pytest.approx(10)
    assert levels(12, magnitude_max=15).max() == pytest.approx(12)


def test_operations_on_values():
    image = Image.fromarray(np.array([[[10, 127, 128], [255, 64, 200]]], np.uint8))
    assert np.asarray(solarize_add(image, 50)).tolist() == [[[60, 177, 128], [255, 114, 200]]]
    assert np.asarray(posterize(image, 1)).tolist() == [[[0, 0, 128], [128, 0, 128]]]
    assert not np.asarray(posterize(image, 0)).any()
    assert posterize(image, 8) is image
    grey = np.asarray(desaturate(image, 1.0))
    assert (grey.max(-1) - grey.min(-1) <= 1).all()


def test_rand_augment_by_string():
    transform = rand_augment_transform('rand-m7-n3-p0.4-mstd0.5-mmax12-inc1', dict(HPARAMS))
    assert isinstance(transform, RandAugment)
    assert (transform.num_layers, transform.choice_weights) == (3, None)
    op = transform.ops[4]
    assert (op.name, op.prob, op.magnitude) == ('PosterizeIncreasing', 0.4, 7)
    assert (op.magnitude_std, op.magnitude_max) == (0.5, 12)
    assert rand_augment_transform('rand-mstd101').ops[0].magnitude_std == float('inf')
    assert [op.name for op in rand_augment_transform('rand-t3a').ops] == [
        'SolarizeIncreasing',
        'Desaturate',
        'GaussianBlur',
    ]
    assert sum(rand_augment_transform('rand-tweights').choice_weights) == pytest.approx(1)
    assert [op.name for op in rand_augment_transform('rand', transforms=['Rotate']).ops] == ['Rotate']
    assert len(rand_augment_ops()) == 15
    assert 'RandAugment(n=3' in repr(transform)


def test_rand_augment_draws_anew_and_weighted_ones_once():
    ran = []
    ops = [lambda img, i=i: ran.append(i) or img for i in range(3)]
    for _ in range(200):
        RandAugment(ops, 2, choice_weights=[0.8, 0.1, 0.1])(None)
    pairs = list(zip(ran[::2], ran[1::2], strict=True))
    assert all(a != b for a, b in pairs)
    assert ran.count(0) > 120
    ran.clear()
    for _ in range(200):
        RandAugment(ops, 2)(None)
    assert any(a == b for a, b in zip(ran[::2], ran[1::2], strict=True))


@pytest.mark.parametrize(('name', 'size'), [('v0', 25), ('v0r', 25), ('original', 25), ('originalr', 25), ('3a', 3)])
def test_auto_augment_policies(name, size):
    policy = auto_augment_policy(name, HPARAMS)
    assert len(policy) == size
    transform = auto_augment_transform(f'{name}-mstd0.5', dict(HPARAMS))
    assert isinstance(transform, AutoAugment)
    assert transform.policy[0][0].magnitude_std == 0.5
    for _ in range(10):
        assert transform(picture(20, 14)).size == (20, 14)


def test_augmix():
    transform = augment_and_mix_transform('augmix-m5-w4-d2-a0.5-b1', dict(HPARAMS))
    assert (transform.width, transform.depth, transform.alpha, transform.blended) == (4, 2, 0.5, True)
    assert transform.ops[0].magnitude_std == float('inf')
    image = picture(20, 14)
    for blended in (False, True):
        same = AugMixAugment([lambda img: img], blended=blended)(image)
        assert np.abs(np.asarray(same).astype(int) - np.asarray(image)).max() <= 1
        changed = AugMixAugment([NAME_TO_OP['Invert']], depth=1, blended=blended)(image)
        assert np.abs(np.asarray(changed).astype(int) - np.asarray(image)).max() > 10


@pytest.mark.parametrize('config', ['rand-x3', 'rand-m', 'random-m9', 'rand-m9.5', 'augmix-x2', 'v0-m3', 'v9'])
def test_strings_that_mean_nothing_are_refused(config):
    build = augment_and_mix_transform if config.startswith('augmix') else rand_augment_transform
    build = auto_augment_transform if config.startswith('v') else build
    with pytest.raises(ValueError, match=config.partition('-')[0]):
        build(config)
    with pytest.raises(ValueError, match='Rotate'):
        AugmentOp('Rotat')


# Erasing.


@pytest.mark.parametrize('mode', ['const', 'rand', 'pixel'])
def test_erased_area_and_content(mode):
    erase = RandomErasing(1.0, mode=mode, min_area=0.1, max_area=0.2, device='cpu')
    for _ in range(30):
        image = torch.full((3, 40, 50), 9.0)
        assert erase(image) is image
        erased = (image != 9).all(0)
        assert 0.08 < erased.float().mean() < 0.22
        content = image[:, erased]
        assert content.any() == (mode != 'const')
        assert (content.std(1) < 1e-6).all() == (mode != 'pixel')


def test_erasing_leaves_the_first_split_and_keeps_to_its_chance():
    batch = RandomErasing(1.0, num_splits=2, device='cpu')(torch.ones(4, 3, 16, 16))
    assert [bool((image == 0).any()) for image in batch] == [False, False, True, True]
    changed = (RandomErasing(0.3, device='cpu')(torch.ones(500, 1, 8, 8)) == 0).flatten(1).any(1)
    assert 0.2 < changed.float().mean() < 0.4


@pytest.mark.parametrize(
    ('options', 'hint'),
    [
        ({'mode': 'noise'}, 'pixel'),
        ({'probability': 2}, 'probability=2'),
        ({'max_area': 1.5}, 'max_area=1.5'),
        ({'min_aspect': 0}, 'min_aspect=0'),
        ({'max_aspect': -1}, 'max_aspect=-1'),
    ],
)
def test_erasing_that_cannot_be_meant_is_refused(options, hint):
    with pytest.raises(ValueError, match=hint):
        RandomErasing(**options)


def test_erasing_by_seed_depends_on_nothing_else():
    erase = RandomErasing(0.7, mode='pixel', device='cpu')
    whole = erase.keyed(torch.ones(4, 3, 16, 16), [5, 6, 7, 8])
    parts = [erase.keyed(torch.ones(2, 3, 16, 16), seeds) for seeds in ([5, 6], [7, 8])]
    assert torch.equal(whole, torch.cat(parts))


# Mixing.


def batch_of(count, classes=10):
    x = torch.arange(float(count)).view(-1, 1, 1, 1).expand(count, 3, 8, 8).clone()
    return x, torch.arange(count) % classes


@pytest.mark.parametrize('mode', ['batch', 'pair', 'elem'])
def test_mixup_blends_images_as_it_blends_targets(mode):
    x, target = batch_of(6)
    mixed, soft = Mixup(mode=mode, label_smoothing=0.0, num_classes=10)(x.clone(), target)
    share = soft[torch.arange(6), target].view(-1, 1, 1, 1)
    assert torch.allclose(mixed, x * share + x.flip(0) * (1 - share), atol=1e-5)
    assert torch.allclose(soft.sum(1), torch.ones(6))
    distinct = {round(v, 4) for v in share.flatten().tolist()}
    assert len(distinct) == {'batch': 1, 'pair': 3, 'elem': 6}[mode]


@pytest.mark.parametrize('mode', ['batch', 'pair', 'elem'])
def test_cutmix_pastes_the_area_it_counts(mode):
    x, target = batch_of(6)
    mixed, soft = Mixup(0.0, 1.0, mode=mode, label_smoothing=0.0, num_classes=10)(x.clone(), target)
    own = (mixed == x).flatten(1).float().mean(1)
    assert torch.allclose(soft[torch.arange(6), target], own, atol=1e-6)


@pytest.mark.parametrize('mode', ['batch', 'pair', 'elem', 'half'])
@pytest.mark.parametrize('options', [{}, {'mixup_alpha': 0.0, 'cutmix_alpha': 1.0}, {'cutmix_minmax': (0.3, 0.6)}])
def test_collate_mixes_bytes_like_floats(mode, options):
    x, target = batch_of(6)
    samples = list(zip((30 * x).byte().numpy(), target.tolist(), strict=True))
    images, soft = FastCollateMixup(mode=mode, num_classes=10, label_smoothing=0.0, **options)(samples)
    count = 3 if mode == 'half' else 6
    assert (images.shape, images.dtype, soft.shape) == ((count, 3, 8, 8), torch.uint8, (count, 10))
    expected = (soft * 30 * torch.arange(10)).sum(1)
    assert torch.allclose(images.float().mean((1, 2, 3)), expected, atol=0.6)


def test_mixing_turned_off_still_gives_smoothed_dense_targets():
    x, target = batch_of(4)
    for mix in (Mixup(num_classes=10), Mixup(num_classes=10, prob=0.0)):
        mix.mixup_enabled = mix.mix_prob > 0 and False
        mixed, soft = mix(x.clone(), target)
        assert torch.equal(mixed, x)
        assert torch.allclose(soft, mixup_target(target, 10, smoothing=0.1))


def test_targets():
    soft = mixup_target(torch.tensor([0, 1]), 4, lam=0.7, smoothing=0.1)
    assert torch.allclose(soft[0], torch.tensor([0.655, 0.295, 0.025, 0.025]))
    labels = torch.tensor([[1, 0, 1], [0, 1, 0]])
    assert torch.allclose(mixup_target(labels, 3, lam=0.7, multi_label=True)[0], torch.tensor([0.7, 0.3, 0.7]))
    smooth = mixup_target(labels, 3, smoothing=0.1, multi_label=True)
    assert torch.allclose(smooth[0], torch.tensor([0.95, 0.05, 0.95]))


def test_boxes_lie_in_the_image():
    for _ in range(50):
        top, bottom, left, right = rand_bbox((3, 20, 30), 0.6)
        assert 0 <= top <= bottom <= 20
        assert 0 <= left <= right <= 30
        top, bottom, left, right = rand_bbox_minmax((3, 20, 30), (0.2, 0.5))
        assert 4 <= bottom - top <= 10
        assert 6 <= right - left <= 15
    (top, bottom, left, right), lam = cutmix_bbox_and_lam((20, 30), 0.5)
    assert lam == pytest.approx(1 - (bottom - top) * (right - left) / 600)
    assert cutmix_bbox_and_lam((20, 30), 0.5, correct_lam=False)[1] == 0.5
    assert rand_bbox((20, 30), 0.5, count=3)[0].shape == (3,)


@pytest.mark.parametrize(
    ('options', 'hint'),
    [
        ({'mode': 'half'}, 'batch, pair, elem'),
        ({'mixup_alpha': 0.0}, 'cutmix_alpha'),
        ({'cutmix_minmax': (0.1,)}, 'cutmix_minmax'),
        ({'cutmix_minmax': (0.9, 0.1)}, 'cutmix_minmax'),
        ({'prob': 2}, 'prob=2'),
        ({'switch_prob': -1}, 'switch_prob=-1'),
        ({'label_smoothing': 1.5}, 'label_smoothing=1.5'),
    ],
)
def test_mixes_that_cannot_be_meant_are_refused(options, hint):
    with pytest.raises(ValueError, match=hint):
        Mixup(**options)
