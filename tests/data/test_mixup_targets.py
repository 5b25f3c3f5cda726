"""Mixup and CutMix: images and targets against the equations, worked out from what was drawn, batches odd or even.

Mixup (arXiv:1710.09412, eq. 1): x = l a + (1 - l) b and y = l y_a + (1 - l) y_b with l from Beta(alpha, alpha). CutMix
(arXiv:1905.04899, eq. 1 and 2): a box of b in a, l the share of a that is left.
"""

import numpy as np
import pytest
import torch

from timm.data import FastCollateMixup, Mixup
from timm.data.mixup import cutmix_bbox_and_lam, mixup_target

CLASSES = 7
SIDE = 12
SIZES = [1, 2, 5, 8]
KINDS = {
    'mixup': {'mixup_alpha': 0.8},
    'cutmix': {'mixup_alpha': 0.0, 'cutmix_alpha': 1.0},
    'either': {'mixup_alpha': 0.8, 'cutmix_alpha': 1.0, 'switch_prob': 0.4, 'prob': 0.8},
    'minmax': {'mixup_alpha': 0.0, 'cutmix_minmax': (0.2, 0.7)},
}


@pytest.fixture(autouse=True)
def seeds():
    np.random.seed(0)


def batch_of(count):
    """Images whose every value says which image it is of, and their classes."""
    images = 10 * torch.arange(float(count)).view(-1, 1, 1, 1).expand(count, 3, SIDE, SIDE).clone()
    return images, torch.arange(count) % CLASSES


def rows(target, smoothing):
    """Smoothed targets: 1 - s on the class, s / K on all (Szegedy et al., 2015, section 7)."""
    dense = np.full((len(target), CLASSES), smoothing / CLASSES)
    dense[np.arange(len(target)), target] += 1 - smoothing
    return dense


def shares(images, mixed):
    """The share of itself that each mixed image kept, told from its mean; nan for one that is its own partner."""
    own = images[:, 0, 0, 0].double().numpy()
    distance = own - own[::-1]
    found = mixed.double().mean((1, 2, 3)).numpy() - own[::-1]
    return np.where(distance == 0, np.nan, found / np.where(distance == 0, 1, distance))


def check_targets(soft, target, kept, smoothing, atol):
    plain = rows(target, smoothing)
    for i, share in enumerate(kept):
        mixed = plain[i] if np.isnan(share) else share * plain[i] + (1 - share) * plain[len(target) - 1 - i]
        np.testing.assert_allclose(soft[i].numpy(), mixed, atol=atol)


@pytest.mark.parametrize('count', SIZES)
@pytest.mark.parametrize('mode', ['batch', 'pair', 'elem'])
@pytest.mark.parametrize('kind', KINDS)
def test_targets_are_mixed_as_the_pixels_are(kind, mode, count):
    mix = Mixup(**KINDS[kind], mode=mode, num_classes=CLASSES, label_smoothing=0.1)
    for _ in range(12):
        images, target = batch_of(count)
        mixed, soft = mix(images.clone(), target)
        assert (mixed.shape, soft.shape) == (images.shape, (count, CLASSES))
        check_targets(soft, target, shares(images, mixed), 0.1, 1e-5)
        if count % 2:
            torch.testing.assert_close(mixed[count // 2], images[count // 2])


@pytest.mark.parametrize('count', SIZES)
@pytest.mark.parametrize('mode', ['batch', 'pair', 'elem', 'half'])
@pytest.mark.parametrize('kind', KINDS)
def test_collated_bytes_and_targets_follow_the_same_draws_as_floats(kind, mode, count):
    options = {**KINDS[kind], 'num_classes': CLASSES, 'label_smoothing': 0.1}
    images, target = batch_of(count)
    samples = list(zip(images.byte().numpy(), target.tolist(), strict=True))
    for seed in range(6):
        np.random.seed(seed)
        mixed, soft = FastCollateMixup(mode=mode, **options)(samples)
        # Half a batch takes one draw for each pair, as mode 'pair' does.
        np.random.seed(seed)
        floats, expected = Mixup(mode='pair' if mode == 'half' else mode, **options)(images.clone(), target)
        kept = -(-count // 2) if mode == 'half' else count
        assert mixed.dtype == torch.uint8
        assert torch.equal(mixed.float(), floats[:kept].round())
        torch.testing.assert_close(soft, expected[:kept])


@pytest.mark.parametrize(('mode', 'distinct'), [('batch', 1), ('pair', 4), ('elem', 8)])
def test_draws_are_shared_as_the_mode_says(mode, distinct):
    images, target = batch_of(8)
    mixed, _ = Mixup(mixup_alpha=1.0, mode=mode, num_classes=CLASSES)(images.clone(), target)
    kept = shares(images, mixed).round(4)
    assert len(set(kept)) == distinct
    if mode == 'pair':
        np.testing.assert_array_equal(kept, kept[::-1])


def test_shares_are_beta_distributed():
    images, target = batch_of(2)
    mix = Mixup(mixup_alpha=0.4, num_classes=CLASSES, label_smoothing=0.0)
    drawn = np.array([float(mix(images.clone(), target)[1][0, 0]) for _ in range(4000)])
    assert drawn.mean() == pytest.approx(0.5, abs=0.03)
    assert drawn.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), abs=0.01)  # of Beta(a, a)


def test_chances_are_kept():
    images, target = batch_of(2)
    mix = Mixup(mixup_alpha=1.0, cutmix_alpha=1.0, prob=0.5, switch_prob=0.25, num_classes=CLASSES)
    found = {'none': 0, 'cut': 0, 'blend': 0}
    for _ in range(3000):
        values = set(mix(images.clone(), target)[0][0].flatten().tolist())
        found['none' if values == {0.0} else 'cut' if values <= {0.0, 10.0} else 'blend'] += 1
    # A box may be empty: about one in SIDE^2 is.
    assert found['none'] / 3000 == pytest.approx(0.5, abs=0.05)
    assert found['cut'] / 3000 == pytest.approx(0.5 * 0.25, abs=0.03)


def test_box_has_the_area_that_the_share_asks_for():
    inside = []
    for share in (0.2, 0.5, 0.8):
        for _ in range(300):
            (top, bottom, left, right), kept = cutmix_bbox_and_lam((200, 100), share)
            assert kept == 1 - (bottom - top) * (right - left) / 20000
            if top > 0 and bottom < 200 and left > 0 and right < 100:
                assert (bottom - top, right - left) == (int(200 * (1 - share) ** 0.5), int(100 * (1 - share) ** 0.5))
                inside.append(share)
    assert set(inside) == {0.2, 0.5, 0.8}


def test_targets_of_several_labels():
    labels = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 1]])
    soft = mixup_target(labels, 3, lam=torch.tensor([[0.7], [0.7], [0.4]]), smoothing=0.2, multi_label=True)
    dense = labels.numpy() * 0.8 + 0.1
    expected = np.array([[0.7], [0.7], [0.4]]) * dense + np.array([[0.3], [0.3], [0.6]]) * dense[::-1]
    np.testing.assert_allclose(soft.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize('mode', ['batch', 'pair', 'elem'])
def test_shares_may_be_drawn_by_a_subclass(mode):
    class Halves(Mixup):
        def _params_per_batch(self):
            return 0.5, False

    images, target = batch_of(4)
    mixed, soft = Halves(mode=mode, num_classes=CLASSES, label_smoothing=0.0)(images.clone(), target)
    torch.testing.assert_close(mixed, (images + images.flip(0)) / 2)
    check_targets(soft, target, [0.5] * 4, 0.0, atol=1e-6)
