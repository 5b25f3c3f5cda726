"""Mixing images of different sizes: what is mixed, and that targets say the same."""

import random

import pytest
import torch

from timm.data import NaFlexMixup, mix_batch_variable_size, pairwise_mixup_target

SIZES = [(4, 4), (4, 8), (8, 4), (6, 6), (2, 10), (10, 2), (5, 7)]


def seed(number):
    random.seed(number)
    torch.manual_seed(number)


def plain_images(dtype=torch.float64):
    """Image i is filled with 10 (i + 1)."""
    return [torch.full((2, *size), 10 * (i + 1), dtype=dtype) for i, size in enumerate(SIZES)]


def overlap(i, j):
    return min(SIZES[i][0], SIZES[j][0]) * min(SIZES[i][1], SIZES[j][1])


def area(i):
    return SIZES[i][0] * SIZES[i][1]


@pytest.mark.parametrize('alphas', [(1.0, 0.0), (0.0, 1.0), (0.8, 1.0)])
@pytest.mark.parametrize('number', range(5))
def test_share_of_an_image_is_that_of_its_pixels(alphas, number):
    seed(number)
    images = plain_images()
    mixed, shares, partner = mix_batch_variable_size(images, mixup_alpha=alphas[0], cutmix_alpha=alphas[1])
    for i, image in enumerate(mixed):
        assert image.shape == images[i].shape
        j = partner.get(i, i)
        expected = shares[i] * 10 * (i + 1) + (1 - shares[i]) * 10 * (j + 1)
        assert image.mean().item() == pytest.approx(expected)
        assert images[i].unique().tolist() == [10 * (i + 1)]


def test_pairs_go_both_ways_and_an_odd_one_is_left_alone():
    seed(3)
    mixed, shares, partner = mix_batch_variable_size(plain_images())
    assert len(partner) == 6
    assert all(partner[partner[i]] == i != partner[i] for i in partner)
    (alone,) = set(range(7)) - set(partner)
    assert shares[alone] == 1.0
    assert torch.equal(mixed[alone], plain_images()[alone])


def test_partners_have_the_next_proportions():
    # By width over height: 10 x 2, 8 x 4, 4 x 4, 6 x 6, 5 x 7, 4 x 8, 2 x 10.
    for window in (0, 1):
        _, _, partner = mix_batch_variable_size(plain_images(), local_shuffle=window)
        assert partner == {5: 2, 2: 5, 0: 3, 3: 0, 6: 1, 1: 6}
    seen = set()
    for number in range(60):
        seed(number)
        _, _, partner = mix_batch_variable_size(plain_images(), local_shuffle=4)
        assert all({i, j} <= {5, 2, 0, 3} or {i, j} <= {6, 1, 4} for i, j in partner.items())
        seen |= {(i, j) for i, j in partner.items() if i < j}
    assert seen == {(0, 2), (0, 3), (0, 5), (2, 3), (2, 5), (3, 5), (1, 4), (1, 6), (4, 6)}


def test_mixup_blends_where_images_overlap_centre_on_centre():
    seed(1)
    mixed, shares, partner = mix_batch_variable_size(plain_images(), mixup_alpha=1.0, cutmix_alpha=0.0)
    lams = [1 - (1 - shares[i]) * area(i) / overlap(i, j) for i, j in partner.items()]
    assert lams == pytest.approx([lams[0]] * 6)
    for i, j in partner.items():
        changed = (mixed[i][0] != 10 * (i + 1)).nonzero()
        h, w = min(SIZES[i][0], SIZES[j][0]), min(SIZES[i][1], SIZES[j][1])
        top, left = (SIZES[i][0] - h) // 2, (SIZES[i][1] - w) // 2
        assert changed.tolist() == [[y, x] for y in range(top, top + h) for x in range(left, left + w)]
        blend = lams[0] * 10 * (i + 1) + (1 - lams[0]) * 10 * (j + 1)
        assert mixed[i][0][tuple(changed.T)].tolist() == pytest.approx([blend] * len(changed))


def test_cutmix_puts_a_box_of_the_partner_into_the_overlap():
    rows = torch.arange(16.0)[:, None].expand(16, 12)
    columns = torch.arange(12.0).expand(16, 12)
    one, other = torch.stack([rows, columns, torch.zeros(16, 12)]), torch.stack([rows, columns, torch.ones(16, 12)])
    places = set()
    for number in range(40):
        seed(number)
        mixed, shares, _ = mix_batch_variable_size([one, other[:, 2:14]], mixup_alpha=0.0, cutmix_alpha=1.0)
        box = mixed[0][2].nonzero()
        assert torch.equal(mixed[0][:2], one[:2])  # the partner's centre lies on the image's, 2 rows further down
        if not len(box):
            assert shares[0] == 1.0
            continue
        (top, left), (bottom, right) = box.amin(0).tolist(), box.amax(0).tolist()
        h, w = bottom - top + 1, right - left + 1
        assert len(box) == h * w
        assert h == w  # the overlap is 12 x 12
        assert 2 <= top <= bottom < 14
        assert shares[0] == pytest.approx(1 - h * w / (16 * 12))
        places.add((top, left))
    assert len(places) > 10


def test_kinds_come_as_likely_as_asked_for():
    cut = 0
    for number in range(300):
        seed(number)
        mixed, _, _ = mix_batch_variable_size([torch.zeros(1, 9, 9), torch.ones(1, 9, 9)], switch_prob=0.25)
        cut += set(mixed[0].unique().tolist()) <= {0.0, 1.0}
    assert cut / 300 == pytest.approx(0.25, abs=0.07)


def test_bytes_stay_bytes():
    seed(1)
    mixed, shares, partner = mix_batch_variable_size(plain_images(torch.uint8), mixup_alpha=1.0, cutmix_alpha=0.0)
    assert {image.dtype for image in mixed} == {torch.uint8}
    for i, j in partner.items():
        blend = 10 * (i + 1) + (j - i) * 10 * (1 - shares[i]) * area(i) / overlap(i, j)
        centre = mixed[i][0, SIZES[i][0] // 2, SIZES[i][1] // 2].item()
        assert blend - 1 < centre <= blend + 1e-3


# Targets.


def test_targets_follow_the_shares():
    targets = pairwise_mixup_target(torch.tensor([0, 1, 2]), {0: 1, 1: 0}, [0.25, 0.5, 1.0], num_classes=4)
    assert targets.tolist() == [[0.25, 0.75, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 1, 0]]
    smooth = pairwise_mixup_target(
        torch.tensor([0, 1, 2]), {0: 1, 1: 0}, [0.25, 0.5, 1.0], num_classes=4, smoothing=0.2
    )
    assert torch.allclose(smooth, targets * 0.8 + 0.05)


def test_several_labels_are_mixed_as_they_are():
    labels = torch.tensor([[1.0, 1, 0], [0, 1, 1]])
    found = pairwise_mixup_target(labels, {0: 1, 1: 0}, [0.75, 0.5], num_classes=3, multi_label=True)
    assert torch.allclose(found, torch.tensor([[0.75, 1, 0.25], [0.5, 1, 0.5]]))
    mix = NaFlexMixup(num_classes=3, multi_label=True)
    _, found = mix([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)], list(labels))
    assert all(target[1] == pytest.approx(1.0) for target in found)


def test_images_and_targets_are_mixed_alike():
    mix = NaFlexMixup(num_classes=7)
    seed(5)
    images, targets = mix(plain_images(), list(range(7)))
    values = 10 * torch.arange(1.0, 8.0)
    for image, target in zip(images, targets, strict=True):
        assert image.mean().item() == pytest.approx((target @ values).item(), rel=1e-5)
    assert sum(target.max() < 1 for target in targets) == 6


def test_mixing_ends_with_its_epoch():
    mix = NaFlexMixup(num_classes=7, mixup_off_epoch=3, label_smoothing=0.1)
    for epoch, mixes in ((2, True), (3, False), (0, True)):
        mix.set_epoch(epoch)
        seed(0)
        images, targets = mix(plain_images(), list(range(7)))
        assert any(len(image.unique()) > 1 for image in images) == mixes
        assert all(target.max().item() == pytest.approx(0.9 + 0.1 / 7) for target in targets) == (not mixes)
    NaFlexMixup(num_classes=7).set_epoch(1000)


def test_batches_are_mixed_as_likely_as_asked_for_and_single_images_never():
    mix = NaFlexMixup(num_classes=2, prob=0.3)
    seed(0)
    mixed = sum(mix([torch.zeros(1, 9, 9), torch.ones(1, 9, 9)], [0, 1])[1][0][0] < 1 for _ in range(300))
    assert mixed / 300 == pytest.approx(0.3, abs=0.08)
    images, targets = NaFlexMixup(num_classes=2)([torch.zeros(1, 4, 4)], [1])
    assert targets[0].tolist() == [0, 1]
    assert not images[0].any()


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ({'mixup_alpha': 0.0, 'cutmix_alpha': 0.0}, 'mixup_alpha 0.0 and cutmix_alpha 0.0'),
        ({'prob': 2}, 'prob=2 is not allowed'),
        ({'label_smoothing': -0.1}, 'label_smoothing'),
        ({'switch_prob': 1.5}, 'switch_prob'),
    ],
)
def test_mixing_by_nothing_or_numbers_out_of_range_is_refused(options, named):
    with pytest.raises(ValueError, match=named):
        NaFlexMixup(num_classes=3, **options)


def test_one_image_has_no_partner():
    with pytest.raises(ValueError, match='two images or more, got 1'):
        mix_batch_variable_size([torch.zeros(1, 4, 4)])
