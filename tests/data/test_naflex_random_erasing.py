"""Erasing of patches: where, how much, with what."""

import random

import pytest
import torch

from timm.data.naflex_random_erasing import PatchRandomErasing

GRIDS = [(6, 6), (4, 8), (2, 2), (1, 9)]


def batch(grids=GRIDS, length=40, shape=(4, 3)):
    """Patches of 5 everywhere, in grids of these rows and columns; (patches, coordinates, valid)."""
    coord = torch.zeros(len(grids), length, 2, dtype=torch.int64)
    valid = torch.zeros(len(grids), length, dtype=torch.bool)
    for i, (rows, columns) in enumerate(grids):
        coord[i, : rows * columns] = torch.tensor([[y, x] for y in range(rows) for x in range(columns)])
        valid[i, : rows * columns] = True
    return torch.full((len(grids), length, *shape), 5.0), coord, valid


def erase(seed, *where, **options):
    random.seed(seed)
    torch.manual_seed(seed)
    patches, coord, valid = where or batch()
    erasing = PatchRandomErasing(**{'erase_prob': 1.0, 'device': 'cpu', **options})
    return erasing(patches.clone(), coord, valid)


def erased(patches):
    return (patches != 5).flatten(2).any(2)


def test_region_is_a_rectangle_of_the_grid():
    _, coord, valid = batch()
    sizes = set()
    for seed in range(60):
        mask = erased(erase(seed))
        assert not mask[~valid].any()
        for i, (rows, columns) in enumerate(GRIDS):
            places = coord[i][mask[i]]
            if not len(places):
                continue
            height, width = (places.amax(0) - places.amin(0) + 1).tolist()
            assert len(places) == height * width
            assert places.amax(0).tolist() < [rows, columns]
            sizes.add((height, width))
    assert len(sizes) > 8


def test_region_has_the_area_and_proportions_asked_for():
    where = batch([(30, 30)], length=900)
    for seed in range(100):
        places = where[1][0][erased(erase(seed, *where, min_area=0.1, max_area=0.2, min_aspect=0.5))[0]]
        height, width = (places.amax(0) - places.amin(0) + 1).tolist()
        # A side is rounded by half a patch at most, of seven or more.
        assert 0.1 * 0.85 < height * width / 900 < 0.2 * 1.15
        assert 0.5 * 0.85 < height / width < 2 * 1.15


def test_patches_anywhere_are_as_many_as_asked_for():
    where = batch([(5, 8)], length=40)
    counts, seen = set(), torch.zeros(40, dtype=torch.bool)
    for seed in range(200):
        mask = erased(erase(seed, *where, spatial_mode='patch', min_area=0.1, max_area=0.2))[0]
        counts.add(int(mask.sum()))
        seen |= mask
    assert counts == set(range(4, 9))
    assert seen.all()
    twice = {
        int(erased(erase(seed, *where, spatial_mode='patch', min_count=2, min_area=0.1, max_area=0.2)).sum())
        for seed in range(200)
    }
    assert twice == set(range(8, 17))


def test_several_regions_cover_more():
    where = batch([(8, 8)], length=64)
    one = sum(int(erased(erase(seed, *where)).sum()) for seed in range(100))
    three = sum(int(erased(erase(seed, *where, min_count=3)).sum()) for seed in range(100))
    assert three > 1.8 * one


@pytest.mark.parametrize('shape', [(4, 3), (2, 2, 3)])
@pytest.mark.parametrize('spatial_mode', ['region', 'patch'])
def test_content_is_a_value_a_colour_or_noise(shape, spatial_mode):
    where = batch([(6, 6)], length=40, shape=shape)
    for seed in range(5):
        options = dict(spatial_mode=spatial_mode, min_area=0.2)
        found = erase(seed, *where, **options, value=-2.0)
        assert (found[erased(found)] == -2).all()
        found = erase(seed, *where, **options, mode='rand')
        colours = found[erased(found)].reshape(-1, 3)
        assert len(colours.unique(dim=0)) == 1
        assert len(colours[0].unique()) == 3
        found = erase(seed, *where, **options, mode='pixel')
        noise = found[erased(found)]
        assert len(noise.unique()) == noise.numel()


def test_noise_is_normal():
    noise = torch.cat([erase(seed, mode='pixel')[erased(erase(seed, mode='pixel'))].flatten() for seed in range(40)])
    assert noise.mean().item() == pytest.approx(0, abs=0.05)
    assert noise.std().item() == pytest.approx(1, abs=0.05)


def test_images_are_changed_as_likely_as_asked_for():
    where = batch([(4, 4)] * 50, length=16)
    changed = sum(int(erased(erase(seed, *where, erase_prob=0.3)).any(1).sum()) for seed in range(10))
    assert changed / 500 == pytest.approx(0.3, abs=0.06)


def test_first_split_is_left_alone():
    where = batch([(4, 4)] * 6, length=16)
    for num_splits, first in ((0, 0), (1, 0), (2, 3), (3, 2)):
        changed = erased(erase(1, *where, num_splits=num_splits)).any(1).tolist()
        assert changed == [i >= first for i in range(6)]


def test_without_a_mask_all_patches_count():
    patches, coord, _ = batch([(4, 4)], length=16)
    assert erased(erase(1, patches, coord, None)).any()


def test_images_without_patches_are_passed_over():
    patches, coord, valid = batch([(4, 4), (4, 4)], length=16)
    valid[0] = False
    for spatial_mode in ('region', 'patch'):
        assert erased(erase(1, patches, coord, valid, spatial_mode=spatial_mode)).any(1).tolist() == [False, True]


@pytest.mark.parametrize('spatial_mode', ['region', 'patch'])
def test_keyed_erasing_depends_on_the_seed_of_an_image_alone(spatial_mode):
    erasing = PatchRandomErasing(0.7, mode='pixel', spatial_mode=spatial_mode, device='cpu')
    patches, coord, valid = batch([(6, 6)] * 4)
    whole = erasing.keyed(patches.clone(), coord, valid, [11, 12, 13, 14])
    for start in range(0, 4, 2):
        part = slice(start, start + 2)
        assert torch.equal(
            erasing.keyed(patches[part].clone(), coord[part], valid[part], [11 + start, 12 + start]), whole[part]
        )
    assert not torch.equal(erasing.keyed(patches.clone(), coord, valid, [21, 22, 23, 24]), whole)
    before = random.getstate(), torch.get_rng_state()
    erasing.keyed(patches, coord, valid, [11, 12, 13, 14])
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ({'mode': 'some'}, "'some'"),
        ({'spatial_mode': 'some'}, "'some'"),
        ({'patch_drop_prob': 0.5}, r'patch_drop_prob=0\.5.*patch_drop_rate'),
    ],
)
def test_modes_that_do_not_exist_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        PatchRandomErasing(**options)


def test_flat_patches_are_refused():
    _, coord, valid = batch()
    with pytest.raises(ValueError, match=r'\(4, 40, 12\)'):
        erase(0, torch.zeros(4, 40, 12), coord, valid)
