"""What a model takes as it stands now."""

import json

import pytest
import torch
from torch import nn

import timm
from timm.layers import resample_abs_pos_embed
from timm.models import get_model_args, get_model_input_config, get_model_traits
from timm.models._hub import save_for_hf
from timm.models._input import get_pretrained_grid_size, update_model_args, update_model_input_size

TINY = {'embed_dim': 48, 'num_heads': 3, 'depth': 1}


def test_a_convnet_takes_any_size():
    model = timm.create_model('resnet10t', in_chans=1, num_classes=3, drop_rate=0.1, global_pool='max')
    assert get_model_traits(model) == {
        'img_size': None,
        'fixed_input_size': False,
        'first_conv': 'conv1.0',
        'in_chans': 1,
        'num_classes': 3,
    }
    assert get_model_input_config(model)['input_size'] == (1, 176, 176)
    assert get_model_args(model) == {'in_chans': 1, 'num_classes': 3, 'global_pool': 'max'}


def test_a_transformer_takes_the_size_it_is_set_to():
    model = timm.create_model('vit_tiny_patch16_224', **TINY)
    assert get_model_input_config(model) == {
        'input_size': (3, 224, 224),
        'fixed_input_size': True,
        'first_conv': 'patch_embed.proj',
    }
    model.set_input_size((96, 80))
    assert get_model_traits(model)['img_size'] == (96, 80)
    assert get_model_args(model)['img_size'] == (96, 80)
    again = timm.create_model('vit_tiny_patch16_224', **get_model_args(model))
    assert again.pos_embed.shape == model.pos_embed.shape


@pytest.mark.parametrize('stale', [False, True])
def test_a_resized_model_comes_back_from_its_folder(tmp_path, stale):
    model = timm.create_model('vit_tiny_patch16_224', img_size=(32, 48), in_chans=4, **TINY).eval()
    model.set_input_size((48, 64), patch_size=8)
    save_for_hf(model, tmp_path)
    config = json.loads((tmp_path / 'config.json').read_text())
    if stale:  # as exports wrote it that kept what training began from
        config['pretrained_cfg']['input_size'] = [3, 224, 224]
        (tmp_path / 'config.json').write_text(json.dumps(config))
    again = timm.create_model(f'local-dir:{tmp_path}', pretrained=True).eval()
    assert again.pretrained_cfg['input_size'] == (4, 48, 64)
    x = torch.randn(1, 4, 48, 64)
    torch.testing.assert_close(again(x), model(x), rtol=0, atol=0)
    larger = timm.create_model(f'local-dir:{tmp_path}', pretrained=True, img_size=(64, 64))
    expected = resample_abs_pos_embed(model.pos_embed, [8, 8], [6, 8])
    torch.testing.assert_close(larger.pos_embed, expected)


def test_arguments_tell_the_model_after_its_head_was_replaced():
    model = timm.create_model('resnet10t', num_classes=7)
    model.reset_classifier(4, 'avgmax')
    args = get_model_args(model)
    assert (args['num_classes'], args['global_pool']) == (4, 'avgmax')


@pytest.mark.parametrize('name', ['test_vit', 'eva02_tiny_patch14_224', 'deit_tiny_patch16_224'])
@pytest.mark.parametrize(('pool', 'new_pool'), [('token', 'avg'), ('avg', 'token'), ('token', 'max'), ('avg', '')])
def test_a_model_with_another_pooling_comes_back_from_its_folder(tmp_path, name, pool, new_pool):
    """Where the last norm lies follows from the pooling that a transformer was built with."""
    small = dict(embed_dim=32, depth=1, num_heads=2, num_classes=7, global_pool=pool)
    model = timm.create_model(name, **small).eval()
    model.reset_classifier(3, new_pool)
    save_for_hf(model, tmp_path)
    restored = timm.create_model(f'local-dir:{tmp_path}', pretrained=True).eval()
    x = torch.randn(1, *get_model_input_config(model)['input_size'])
    with torch.no_grad():
        torch.testing.assert_close(restored(x), model(x), rtol=0, atol=0)


@pytest.mark.parametrize('override', [{'num_classes': 5}, {'in_chans': 1}, {'global_pool': 'max'}])
def test_arguments_that_contradict_the_model_are_refused(override):
    with pytest.raises(ValueError, match='disagrees with the current model'):
        get_model_args(timm.create_model('resnet10t'), override)


def test_anything_else_can_be_overridden():
    args = get_model_args(timm.create_model('resnet10t'), {'num_classes': 1000, 'output_stride': 16, 'drop_rate': 0.5})
    assert args == {
        'num_classes': 1000,
        'output_stride': 16,
        'drop_rate': 0.5,
        'in_chans': 3,
        'global_pool': 'avg',
    }


def test_a_bare_module_has_nothing_to_tell():
    model = nn.Linear(1, 1)
    assert get_model_traits(model) == {}
    assert get_model_args(model) == {}
    assert get_model_input_config(model)['input_size'] == (3, 224, 224)


def test_changes_are_noted():
    model = nn.Linear(1, 1)
    update_model_args(model, patch_size=8)
    update_model_input_size(model, 64, window_size=4)
    assert model._model_args == {'patch_size': 8, 'window_size': 4, 'img_size': (64, 64)}
    assert get_model_traits(model) == {'img_size': (64, 64)}
    update_model_input_size(model, None)
    assert model._traits['img_size'] is None


@pytest.mark.parametrize(
    ('kernel', 'num_tokens', 'expected'), [(16, 8, (4, 2)), (16, 16, None), (8, 32, (8, 4)), (None, 8, None)]
)
def test_the_grid_of_a_position_table_follows_from_the_image_size(kernel, num_tokens, expected):
    model = nn.Identity()
    model.pretrained_cfg = {'input_size': (3, 64, 32)}
    weight = None if kernel is None else torch.zeros(1, 3, kernel, kernel)
    assert get_pretrained_grid_size(model, weight, num_tokens) == expected
