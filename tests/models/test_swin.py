"""Swin at sizes it was not built for: which windows it attends in, and that it computes what a new network does."""

import copy

import pytest
import torch

import timm
from timm.models._features import FeatureGetterNet

SMALL = dict(embed_dim=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), num_classes=5)


def make(**args):
    torch.manual_seed(0)
    return timm.create_model('swin_tiny_patch4_window7_224', **{**SMALL, **args}).eval()


def windows(model):
    """The window of each stage, and by how much its second block shifts it."""
    found = [(stage.blocks[0].window_size, stage.blocks[1].shift_size) for stage in model.layers]
    assert all(not any(stage.blocks[0].shift_size) for stage in model.layers)
    return found


def computes_the_same(model, other, size):
    other.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(model(x), other(x))


def test_windows_grow_with_the_map_and_shrink_back():
    model = make()
    before, state = windows(model), copy.deepcopy(model.state_dict())
    assert before == [((7, 7), (3, 3))] * 3 + [((7, 7), (0, 0))]  # the last map is one window
    model.set_input_size((448, 448))
    assert windows(model) == [((14, 14), (7, 7))] * 3 + [((14, 14), (0, 0))]
    computes_the_same(model, make(img_size=448, window_size=14), (448, 448))
    model.set_input_size((224, 224))
    assert windows(model) == before
    model = make()
    model.set_input_size((224, 224))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize('sizes', [4, (8, 4), ((8, 10), (8, 10), (4, 5), (2, 2))])
def test_windows_are_those_asked_for_and_the_measure_of_later_ones(sizes):
    model = make()
    model.set_input_size((128, 160), window_size=sizes)
    asked = sizes if isinstance(sizes, tuple) and isinstance(sizes[0], tuple) else (sizes,) * 4
    computes_the_same(model, make(img_size=(128, 160), window_size=asked), (128, 160))
    expected = windows(make(img_size=(128, 160), window_size=asked))
    assert windows(model) == expected
    model.set_input_size()
    assert windows(model) == expected
    model.set_input_size((256, 320))
    model.set_input_size((128, 160))
    assert windows(model) == expected


def test_ratios_are_parts_of_the_first_map():
    model = make()
    model.set_input_size((256, 320), window_ratio=(8, 8, 4, 8))
    assert [size for size, _ in windows(model)] == [(8, 10), (8, 10), (16, 20), (8, 10)]
    model.set_input_size((320, 256))
    assert [size for size, _ in windows(model)] == [(10, 8), (10, 8), (20, 16), (10, 8)]
    model.set_input_size(window_ratio=8, window_size=4)
    assert [size for size, _ in windows(model)] == [(4, 4)] * 4


@pytest.mark.parametrize(
    'wrong', [dict(window_ratio=(8, 4)), dict(window_ratio=0), dict(window_size=(7, 7, 7)), dict(window_size=0)]
)
def test_windows_that_cannot_be_are_refused_and_nothing_changes(wrong):
    model = make()
    before, state = windows(model), copy.deepcopy(model.state_dict())
    with pytest.raises(AssertionError, match=r'window_(ratio|size)'):
        model.set_input_size((448, 448), **wrong)
    assert model.patch_embed.img_size == (224, 224)
    assert windows(model) == before
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_window_is_never_less_than_a_token():
    model = make()
    for size, args in ((64, dict(window_ratio=32)), (32, {})):
        model.set_input_size((size, size), **args)
        assert model(torch.randn(1, 3, size, size)).isfinite().all()


def test_strides_follow_the_patches():
    model = make(img_size=(64, 96), patch_size=2, window_size=4)
    features = FeatureGetterNet(model, out_indices=(0, 1, 2, 3)).eval()
    for size, patch in (((64, 96), 2), ((96, 128), 4), ((64, 96), 2)):
        model.set_input_size(size, patch_size=patch)
        strides = [patch * 2**i for i in range(4)]
        assert features.feature_info.reduction() == strides
        with torch.no_grad():
            found = [tuple(map_.shape[-2:]) for map_ in features(torch.randn(1, 3, *size))]
        assert found == [(size[0] // stride, size[1] // stride) for stride in strides]


def test_a_pruned_network_can_be_resized():
    model = make()
    model.prune_intermediate_layers([1])
    model.set_input_size((448, 448))
    assert windows(model) == [((14, 14), (7, 7))] * 2
    with torch.no_grad():
        assert model(torch.randn(1, 3, 448, 448)).shape == (1, 56, 56, 32)


def test_a_mask_has_the_precision_of_the_weights():
    model = make().to(torch.bfloat16)
    model.set_input_size((256, 256))
    assert model.layers[0].blocks[1].attn_mask.dtype == torch.bfloat16


def test_weights_for_windows_that_are_not_square_fit_no_others(tmp_path):
    weights = make(img_size=(224, 160), window_size=(7, 5)).state_dict()
    torch.save(weights, tmp_path / 'weights.pth')

    def load(**args):
        return make(pretrained=True, pretrained_cfg_overlay=dict(file=str(tmp_path / 'weights.pth')), **args)

    with pytest.raises(ValueError, match=r'not square.*then call set_input_size'):
        load(img_size=(256, 256), window_size=8)
    model = load(img_size=(224, 160), window_size=(7, 5))
    table = 'layers.0.blocks.0.attn.relative_position_bias_table'
    assert torch.equal(model.state_dict()[table], weights[table])
