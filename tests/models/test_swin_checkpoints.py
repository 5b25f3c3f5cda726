"""Swin weights that come from other windows, other sizes or the original code, and networks for images of any size."""

import pytest
import torch

import timm
from timm.models._hub import save_for_hf
from timm.models.swin_transformer import checkpoint_filter_fn

SMALL = dict(embed_dim=16, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8))
TABLE = 'layers.0.blocks.0.attn.relative_position_bias_table'


def make(**args):
    torch.manual_seed(0)
    return timm.create_model('swin_tiny_patch4_window7_224', **{'num_classes': 5, **SMALL, **args}).eval()


@pytest.mark.parametrize('window_size', [4, 12, (3, 9)])
def test_weights_of_square_windows_fit_any_others_and_keep_the_bias_of_a_token_to_itself(window_size):
    weights = make().state_dict()
    model = make(img_size=384, window_size=window_size)
    model.load_state_dict(checkpoint_filter_fn(weights, model))
    h, w = window_size if isinstance(window_size, tuple) else (window_size, window_size)
    table = model.state_dict()[TABLE]
    assert table.shape == ((2 * h - 1) * (2 * w - 1), 1)
    torch.testing.assert_close(table[len(table) // 2], weights[TABLE][13 * 13 // 2])


@pytest.mark.parametrize(('old', 'new'), [(1, 7), ((1, 4), (3, 5)), ((4, 1), (4, 2)), ((1, 3), (1, 5))])
def test_the_one_bias_of_a_window_of_one_token_holds_for_all_of_a_larger_one(old, new):
    model = make(img_size=64, window_size=old)
    attention = model.layers[0].blocks[0].attn
    with torch.no_grad():
        attention.relative_position_bias_table.fill_(0.75)
    model.set_input_size(window_size=new)
    table = attention.relative_position_bias_table
    torch.testing.assert_close(table, torch.full_like(table, 0.75))
    assert model(torch.randn(1, 3, 64, 64)).isfinite().all()


@pytest.mark.parametrize('wrap', [lambda weights: weights, lambda weights: {'state_dict': weights}])
@pytest.mark.parametrize('num_classes', [0, 5])
def test_weights_of_ours_come_back_with_a_classifier_or_without(num_classes, wrap):
    weights = make(num_classes=num_classes).state_dict()
    found = checkpoint_filter_fn(wrap(weights), make(num_classes=num_classes))
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_weights_of_the_original_code_get_our_names():
    model = make()
    expected = model.state_dict()
    original = {'layers.0.blocks.0.attn.relative_position_index': torch.zeros(49, 49), 'layers.0.blocks.1.attn_mask': 0}
    for name, value in expected.items():
        name = name.replace('head.fc.', 'head.')
        for stage in (1, 2, 3):
            if name.startswith(f'layers.{stage}.downsample.'):
                name = name.replace(f'layers.{stage}', f'layers.{stage - 1}')
                break
        original[name] = value
    found = checkpoint_filter_fn({'model': original}, model)
    assert found.keys() == expected.keys()
    assert all(found[name] is original_value for name, original_value in expected.items())


@pytest.mark.parametrize('args', [dict(window_size=8), dict(img_size=(232, 248)), dict(img_size=(100, 64))])
def test_images_of_any_size_are_computed_as_by_a_network_for_that_size(args):
    strict, free = make(**args), make(strict_img_size=False, **args)
    free.load_state_dict(strict.state_dict())
    x = torch.randn(2, 3, *strict.patch_embed.img_size)
    with torch.no_grad():
        torch.testing.assert_close(free(x), strict(x))


@pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::FutureWarning', 'ignore::torch.jit.TracerWarning')
def test_a_trace_for_images_of_any_size_takes_other_sizes():
    model = make(strict_img_size=False)
    traced = torch.jit.trace(model, torch.randn(1, 3, 224, 224), check_trace=False)
    x = torch.randn(2, 3, 224, 320)
    with torch.no_grad():
        torch.testing.assert_close(traced(x), model(x))


def test_a_resized_network_comes_back_from_its_folder(tmp_path):
    model = make()
    model.set_input_size((128, 160), window_size=((4, 5), (4, 5), (8, 10), (2, 5)), patch_size=2, always_partition=True)
    save_for_hf(model, tmp_path)
    again = timm.create_model(f'local-dir:{tmp_path}', pretrained=True).eval()
    x = torch.randn(1, 3, 128, 160)
    with torch.no_grad():
        torch.testing.assert_close(again(x), model(x), rtol=0, atol=0)


@pytest.mark.parametrize(('patch_size', 'stride'), [(2, 2), ((2, 4), 4)])
def test_strides_of_features_follow_the_patches_that_a_network_is_built_with(patch_size, stride):
    model = make(img_size=64, patch_size=patch_size)
    assert [info['reduction'] for info in model.feature_info] == [stride * 2**i for i in range(4)]
