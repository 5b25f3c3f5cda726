"""Stochastic depth and DropBlock, their shares, scales and rates."""

import pytest
import torch

from timm import layers


def test_drop_path_leaves_evaluation_and_rate_zero_alone():
    x = torch.randn(4, 3)
    assert layers.DropPath(0.5).eval()(x) is x
    assert layers.DropPath(0.0).train()(x) is x
    assert layers.drop_path(x, 0.5) is x


def test_drop_path_drops_whole_items_and_keeps_the_mean():
    torch.manual_seed(0)
    x = torch.ones(20000, 2, 3)
    y = layers.DropPath(0.3).train()(x)
    assert (y == y[:, :1, :1]).all()
    assert (y == 0).float().mean() == pytest.approx(0.3, abs=0.01)
    assert y.max() == pytest.approx(1 / 0.7)
    assert layers.DropPath(0.3, scale_by_keep=False).train()(x).unique().tolist() == [0, 1]
    assert not layers.DropPath(1.0).train()(x).any()


@pytest.mark.parametrize('shape', [(3,), (3, 4), (3, 4, 5, 6)])
def test_drop_path_takes_any_rank_and_scripts(shape):
    layer = torch.jit.script(layers.DropPath(0.5)).train()
    assert layer(torch.ones(shape)).shape == shape


def test_drop_path_shows_its_rate():
    assert repr(layers.DropPath(0.125)) == 'DropPath(drop_prob=0.125)'


def test_drop_block_leaves_evaluation_and_rate_zero_alone():
    x = torch.randn(1, 2, 8, 8)
    assert layers.DropBlock2d(0.5).eval()(x) is x
    assert layers.DropBlock2d(0.0).train()(x) is x


def test_drop_block_drops_squares_of_all_channels():
    torch.manual_seed(1)
    x = torch.ones(4000, 2, 16, 16)
    for block_size in (3, 4):
        y = layers.drop_block_2d(x, 1e-3, block_size, scale_by_keep=False)
        dropped = y[:, 0] == 0
        assert torch.equal(y[:, 0], y[:, 1])
        centre = dropped[:, 8, 8]
        assert centre.float().mean() == pytest.approx(
            block_size**2 * 1e-3 * 256 / block_size**2 / (17 - block_size) ** 2, rel=0.6
        )
        inner = dropped[
            ~dropped[:, 0].any(1) & ~dropped[:, -1].any(1) & ~dropped[..., 0].any(1) & ~dropped[..., -1].any(1)
        ]
        areas = inner.flatten(1).sum(1)
        assert areas[areas > 0].mode().values == block_size**2


def test_drop_block_of_side_one_drops_the_asked_share():
    torch.manual_seed(0)
    y = layers.drop_block_2d(torch.ones(64, 3, 20, 20), 0.3, 1, couple_channels=False)
    assert (y == 0).float().mean() == pytest.approx(0.3, abs=0.01)
    assert y.mean() == pytest.approx(1.0, abs=1e-5)
    assert not torch.equal(y[:, 0], y[:, 1])


def test_drop_block_fits_maps_smaller_than_a_block():
    torch.manual_seed(0)
    for size in ((2, 9), (5, 5), (1, 1)):
        y = layers.drop_block_2d(torch.ones(2, 3, *size), 0.5, 7)
        assert y.shape == (2, 3, *size)
        assert y.isfinite().all()
    assert layers.drop_block_2d(torch.ones(2, 1, 4, 4), 1.0, 1).sum() == 0  # all gone, and no division by zero


def test_drop_block_can_fill_with_noise_and_work_in_place():
    torch.manual_seed(0)
    x = torch.zeros(500, 2, 12, 12)
    y = layers.drop_block_2d(x, 0.2, 3, with_noise=True, inplace=True)
    assert y is x
    assert y[y != 0].std() == pytest.approx(1.0, abs=0.02)
    z = torch.ones(2, 2, 8, 8)
    assert layers.drop_block_2d(z, 0.2, 3, inplace=True) is z


def test_drop_block_scripts_and_accepts_retired_options():
    layer = torch.jit.script(layers.DropBlock2d(0.2, 3, batchwise=True)).train()
    assert layer(torch.ones(2, 3, 8, 8)).shape == (2, 3, 8, 8)
    with pytest.warns(UserWarning, match="unexpected keyword argument 'blocksize'"):
        layers.DropBlock2d(0.2, blocksize=3)


def test_rates_grow_linearly_from_zero():
    assert layers.calculate_drop_path_rates(0.3, 4) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert layers.calculate_drop_path_rates(0.3, (1, 3)) == pytest.approx([0, 0.1, 0.2, 0.3])
    first, empty, last = layers.calculate_drop_path_rates(0.3, [1, 0, 3], stagewise=True)
    assert (first, empty) == ([0.0], [])
    assert last == pytest.approx([0.1, 0.2, 0.3])
    assert layers.calculate_drop_path_rates(0.3, 1) == [0.0]
    with pytest.raises(ValueError, match='depths=4'):
        layers.calculate_drop_path_rates(0.3, 4, stagewise=True)
