"""create_model: every form of a name, of a configuration and of a request, and what is said to a wrong one."""

import dataclasses
import json
import logging

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import timm
from tests.fill import fill_model, input_image
from timm.layers import is_exportable, is_no_jit, is_scriptable
from timm.models import PretrainedCfg, parse_model_name, resolve_pretrained_cfg, safe_model_name
from timm.models._builder import load_pretrained
from timm.models._factory import resolve_model_input_args


@pytest.fixture(scope='module')
def resnet():
    """A small network with weights by formula."""
    return fill_model(timm.create_model('test_resnet').eval())


@pytest.fixture
def weights(resnet, tmp_path):
    """Its weights in a file."""
    return write(resnet.state_dict(), tmp_path / 'weights.safetensors')


def write(state, path):
    save_file({name: value.contiguous().clone() for name, value in state.items()}, path)
    return str(path)


def load(name, file, overlay=None, **kwargs):
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={'file': file, **(overlay or {})}, **kwargs)


# names


@pytest.mark.parametrize(
    ('name', 'parts'),
    [
        ('resnet18', (None, 'resnet18')),
        ('resnet18.a1_in1k', (None, 'resnet18.a1_in1k')),
        ('hf-hub:org/net', ('hf-hub', 'org/net')),
        ('hf_hub:org/net@v2', ('hf-hub', 'org/net@v2')),
        ('HF-Hub:org/net', ('hf-hub', 'org/net')),
        ('local-dir:/a/b c:d#e?f', ('local-dir', '/a/b c:d#e?f')),
        ('Local-Dir:C:\\models\\net', ('local-dir', 'C:\\models\\net')),
    ],
)
def test_a_name_has_a_source_and_the_rest(name, parts):
    assert parse_model_name(name) == parts


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('timm/resnet18', 'hf-hub:timm/resnet18.*local-dir:timm/resnet18'),
        ('C:\\models\\net', 'local-dir:'),
        ('./folder', 'local-dir:./folder'),
        ('s3:bucket', "'s3'.*hf-hub, local-dir"),
        ('hf-hub:', 'no model'),
    ],
)
def test_a_path_without_a_source_is_refused_with_both_spellings(name, said):
    with pytest.raises(ValueError, match=said):
        timm.create_model(name)


@pytest.mark.parametrize(
    ('name', 'near'), [('resnet81', 'resnet18'), ('ResNet18', 'resnet'), ('test_vt.x', 'test_vit')]
)
def test_an_unknown_name_is_answered_with_the_nearest(name, near):
    with pytest.raises(RuntimeError, match=f'^Unknown model .*{near}'):
        timm.create_model(name)


@pytest.mark.parametrize('pretrained', [False, True])
@pytest.mark.parametrize(
    'kwargs', [{'model_name': 'resnet18.nope'}, {'model_name': 'resnet18', 'pretrained_cfg': 'nope'}]
)
def test_an_unknown_tag_is_refused_whatever_is_loaded(pretrained, kwargs):
    with pytest.raises(RuntimeError, match=r'Invalid pretrained tag \(nope\) for resnet18'):
        timm.create_model(pretrained=pretrained, device='meta', **kwargs)


def test_an_old_name_still_builds_and_warns():
    with pytest.warns(UserWarning, match=r'Mapping deprecated model name tv_resnet34 to current resnet34\.tv_in1k'):
        model = timm.create_model('tv_resnet34', device='meta')
    assert model.pretrained_cfg['tag'] == 'tv_in1k'


def test_arguments_may_be_positional(weights, resnet):
    model = timm.create_model('test_resnet', False, None, None, weights)
    torch.testing.assert_close(model.conv1[0].weight, resnet.conv1[0].weight, rtol=0, atol=0)


def test_names_become_file_names():
    assert safe_model_name('hf-hub:org/net.v1') == 'org_net_v1'
    assert safe_model_name('hf-hub:org/net', remove_source=False) == 'hf_hub_org_net'


# sources


def test_a_saved_folder_is_a_model(resnet, tmp_path):
    timm.models.save_for_hf(resnet, tmp_path, model_args={'drop_rate': 0.25}, safe_serialization=True)
    model = timm.create_model(f'local-dir:{tmp_path}')
    assert (type(model), model.drop_rate, model.pretrained_model_args['drop_rate']) == (type(resnet), 0.25, 0.25)
    assert not torch.equal(model.fc.weight, resnet.fc.weight), 'weights come with pretrained=True only'
    model = timm.create_model(f'local-dir:{tmp_path}', pretrained=True, drop_rate=0.5, num_classes=3)
    assert (model.drop_rate, model.num_classes) == (0.5, 3), "the caller's arguments win"
    assert torch.equal(model.layer1[0].conv1.weight, resnet.layer1[0].conv1.weight)
    with pytest.raises(AssertionError):
        timm.create_model(f'local-dir:{tmp_path}', pretrained_cfg='x')


def test_a_folder_without_a_configuration_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        timm.create_model(f'local-dir:{tmp_path}')


def test_a_configuration_of_the_old_flat_form_is_read(tmp_path):
    config = {
        'architecture': 'test_resnet',
        'num_classes': 7,
        'input_size': [3, 99, 99],
        'label_names': list('abcdefg'),
    }
    (tmp_path / 'config.json').write_text(json.dumps(config))
    model = timm.create_model(f'local-dir:{tmp_path}', device='meta')
    assert model.num_classes == 7
    assert tuple(model.pretrained_cfg['input_size']) == (3, 99, 99)
    assert list(model.pretrained_cfg['label_names']) == list('abcdefg')


# arguments


def test_arguments_that_are_none_count_as_not_given():
    model = timm.create_model('test_resnet', device='meta', img_size=None, no_such_thing=None, drop_rate=None)
    assert model.drop_rate == 0.0
    assert timm.create_model('test_resnet', num_classes=0, global_pool='', device='meta').num_classes == 0


@pytest.mark.parametrize(
    ('name', 'kwargs', 'said'),
    [
        (
            'test_resnet',
            {'drop_rat': 0.1},
            r"ResNet\.__init__\(\) got an unexpected keyword argument 'drop_rat'.*'drop_rate'",
        ),
        ('test_resnet', {'img_size': 64}, "'img_size'"),
        ('test_resnet', {'out_indices': (1,)}, 'features_only=True'),
        ('test_vit', {'output_stride': 16}, "'output_stride'"),
        ('test_vit', {'features_only': True, 'output_stride': 16}, "'output_stride'"),
        ('test_resnet', {'bn_momentum': 0.1}, "'bn_momentum'"),
    ],
)
def test_an_unknown_argument_is_refused_by_name(name, kwargs, said):
    with pytest.raises(TypeError, match=said):
        timm.create_model(name, **kwargs)


def test_what_was_asked_for_is_remembered():
    model = timm.create_model(
        'test_vit', num_classes=3, dtype=torch.float64, device='cpu', drop_rate=0.1, img_size=None
    )
    assert model._model_args == {'num_classes': 3, 'drop_rate': 0.1}
    assert model.head.weight.dtype == torch.float64


def test_layer_switches_hold_during_construction_only():
    before = is_scriptable(), is_exportable(), is_no_jit()
    seen = []

    class Probe(nn.ReLU):
        def __init__(self, inplace=False):
            seen.append((is_scriptable(), is_exportable(), is_no_jit()))
            super().__init__(inplace)

    timm.create_model('test_resnet', act_layer=Probe, scriptable=True, exportable=True, no_jit=True)
    timm.create_model('test_resnet', act_layer=Probe)
    assert (seen[0], seen[-1]) == ((True, True, True), before)
    assert (is_scriptable(), is_exportable(), is_no_jit()) == before
    with pytest.raises(TypeError):
        timm.create_model('test_resnet', scriptable=True, wrong=1)
    assert is_scriptable() == before[0]


def test_drop_rates_reach_their_layers():
    model = timm.create_model('test_resnet', drop_rate=0.1, drop_path_rate=0.2, drop_block_rate=0.3)
    assert model.drop_rate == 0.1
    rates = [m.drop_prob for m in model.modules() if type(m).__name__ == 'DropPath']
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.2)
    assert {m.drop_prob for m in model.modules() if type(m).__name__ == 'DropBlock2d'} == {0.3}
    vit = timm.create_model(
        'test_vit', drop_rate=0.1, pos_drop_rate=0.2, patch_drop_rate=0.3, proj_drop_rate=0.4, attn_drop_rate=0.5,
        drop_path_rate=0.6,
    )  # fmt: skip
    block = vit.blocks[-1]
    assert (vit.head_drop.p, vit.pos_drop.p, vit.patch_drop.prob) == (0.1, 0.2, 0.3)
    assert (block.attn.proj_drop.p, block.mlp.drop1.p, block.attn.attn_drop.p) == (0.4, 0.4, 0.5)
    assert block.drop_path1.drop_prob == pytest.approx(0.6)
    assert isinstance(vit.blocks[0].drop_path1, nn.Identity)


@pytest.mark.parametrize('stride', [8, 16, 32])
@torch.no_grad()
def test_the_output_stride_can_be_limited(stride):
    for name in ('test_resnet', 'test_convnext', 'resnetv2_18'):
        pyramid = timm.create_model(name, features_only=True, output_stride=stride).eval()
        assert pyramid.feature_info.reduction()[-1] == stride
        for feature, reduction in zip(
            pyramid(torch.zeros(1, 3, 64, 64)), pyramid.feature_info.reduction(), strict=True
        ):
            assert feature.shape[-1] == 64 // reduction
    with pytest.raises(AssertionError):
        timm.create_model('test_resnet', output_stride=4)


def test_classes_may_be_none():
    for num_classes in (0, -1):
        model = timm.create_model('test_resnet', num_classes=num_classes)
        assert isinstance(model.get_classifier(), nn.Identity)
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, model.num_features)
    with pytest.raises(AssertionError):
        timm.create_model('test_vit', global_pool='no_such_pool')
    with pytest.raises((AssertionError, ValueError)):
        timm.create_model('test_resnet', global_pool='no_such_pool')


# configurations


def test_a_configuration_comes_by_tag_fields_or_object():
    def cfg(**kwargs):
        return timm.create_model('resnet18', device='meta', **kwargs).pretrained_cfg

    default = cfg()
    assert default['tag'] == 'a1_in1k'
    assert cfg(pretrained_cfg='tv_in1k')['tag'] == 'tv_in1k'
    assert cfg(pretrained_cfg={}) == cfg(pretrained_cfg='') == default
    assert cfg(pretrained_cfg=PretrainedCfg(num_classes=5, crop_pct=0.5))['num_classes'] == 5
    given = cfg(pretrained_cfg={'num_classes': 7})
    assert (given['num_classes'], given['crop_pct'], given['architecture']) == (7, 0.875, 'resnet18')
    assert (given['first_conv'], given['classifier'], given['pool_size']) == (None, None, None), 'nothing is inherited'
    with pytest.raises(TypeError, match='no_such_field'):
        cfg(pretrained_cfg={'no_such_field': 1})


def test_a_tag_in_the_name_yields_to_a_given_configuration():
    model = timm.create_model('resnet18.tv_in1k', pretrained_cfg='a2_in1k', device='meta')
    assert model.pretrained_cfg['tag'] == 'a2_in1k'


def test_the_configuration_is_a_dict_of_ones_own():
    first, second = (timm.create_model('resnet18', device='meta') for _ in range(2))
    assert type(first.pretrained_cfg) is dict
    assert first.default_cfg is first.pretrained_cfg
    first.pretrained_cfg['mean'] = None
    assert second.pretrained_cfg['mean'] is not None
    assert {'pool_size', 'first_conv', 'classifier'} <= second.pretrained_cfg.keys()
    assert 'label_offset' not in second.pretrained_cfg


def test_an_overlay_replaces_fields():
    model = timm.create_model('resnet18', pretrained_cfg_overlay={'num_classes': 3, 'input_size': (1, 64, 64)})
    assert (model.num_classes, model.in_chans) == (3, 1)
    assert model.pretrained_cfg['tag'] == 'a1_in1k'
    with pytest.raises(TypeError):
        timm.create_model('resnet18', pretrained_cfg_overlay={'no_such_field': 3})
    assert timm.get_pretrained_cfg('resnet18').num_classes == 1000


@pytest.mark.parametrize('field', ['file', 'url', 'hf_hub_id', 'hf_hub_filename'])
def test_a_new_source_clears_custom_loading(field):
    name = 'vit_tiny_patch16_224.augreg_in21k_ft_in1k'
    base = dataclasses.replace(timm.get_pretrained_cfg(name), custom_load=True)
    assert resolve_pretrained_cfg('vit_tiny_patch16_224', base, {field: 'x'}).custom_load is False
    assert resolve_pretrained_cfg('vit_tiny_patch16_224', base, {field: 'x', 'custom_load': True}).custom_load is True
    assert resolve_pretrained_cfg('vit_tiny_patch16_224', base, {'crop_pct': 1.0}).custom_load is True


def test_the_image_size_is_taken_from_a_fixed_configuration_only():
    fixed = timm.create_model(
        'deit_tiny_patch16_224', device='meta', pretrained_cfg_overlay={'input_size': (3, 64, 64)}
    )
    assert fixed.pretrained_cfg['fixed_input_size']
    assert fixed.patch_embed.img_size == (64, 64)
    overlay = {'input_size': (3, 64, 64), 'fixed_input_size': False}
    free = timm.create_model('deit_tiny_patch16_224', device='meta', pretrained_cfg_overlay=overlay)
    assert free.patch_embed.img_size == (224, 224)
    asked = timm.create_model('deit_tiny_patch16_224', device='meta', img_size=(32, 96))
    assert asked.patch_embed.img_size == (32, 96)


def test_a_network_nobody_described_gets_default_values(caplog):
    def build(pretrained=False, **kwargs):
        from timm.models.resnet import BasicBlock, ResNet

        return timm.models.build_model_with_cfg(ResNet, 'never_heard_of', pretrained, block=BasicBlock, **kwargs)

    with caplog.at_level(logging.WARNING):
        model = build(layers=(1, 1, 1, 1), device='meta')
    assert 'never_heard_of' in caplog.text
    assert (model.num_classes, model.pretrained_cfg['architecture']) == (1000, 'never_heard_of')
    with pytest.raises(RuntimeError, match='No pretrained weights exist for never_heard_of'):
        build(pretrained=True, layers=(1, 1, 1, 1))


def test_no_weights_is_an_error_that_says_what_to_do():
    with pytest.raises(RuntimeError, match=r'No pretrained weights exist for resnet200.*pretrained=False.*file='):
        timm.create_model('resnet200', pretrained=True, device='meta')


# weights


def test_weights_come_from_a_file_a_dict_or_a_custom_reader(resnet, weights, monkeypatch):
    model = load('test_resnet', weights)
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), resnet.state_dict().values(), strict=True)
    )
    given = timm.create_model(
        'test_resnet', pretrained=True, pretrained_cfg_overlay={'state_dict': resnet.state_dict()}
    )
    assert torch.equal(given.fc.weight, resnet.fc.weight)
    with torch.no_grad():
        given.fc.weight.zero_()
    assert bool(resnet.fc.weight.any()), 'a state dict that was given is not shared'
    with pytest.raises(RuntimeError, match='load_pretrained'):
        load('test_resnet', weights, {'custom_load': True})
    calls = []
    monkeypatch.setattr(
        timm.models.resnet.ResNet, 'load_pretrained', lambda self, path: calls.append(path), raising=False
    )
    load('test_resnet', weights, {'custom_load': True})
    assert calls == [weights]


@pytest.mark.parametrize('chans', [1, 2, 5])
@torch.no_grad()
def test_the_stem_adapts_to_other_channels(resnet, weights, chans):
    model = load('test_resnet', weights, in_chans=chans)
    stem = resnet.conv1[0].weight
    if chans == 1:
        expected = stem.sum(1, keepdim=True)
        gray = input_image(1, (1, 64, 64)).float()
        torch.testing.assert_close(model.eval()(gray), resnet(gray.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)
    else:
        expected = stem.repeat(1, 2, 1, 1)[:, :chans] * 3 / chans
    torch.testing.assert_close(model.conv1[0].weight, expected)
    assert model.in_chans == chans


def test_channels_are_compared_with_those_of_the_configuration(tmp_path):
    gray = fill_model(timm.create_model('test_resnet', in_chans=1))
    file = write(gray.state_dict(), tmp_path / 'gray.safetensors')
    overlay = {'input_size': (1, 160, 160)}
    assert torch.equal(load('test_resnet', file, overlay).conv1[0].weight, gray.conv1[0].weight)
    three = load('test_resnet', file, overlay, in_chans=3)
    torch.testing.assert_close(three.conv1[0].weight, gray.conv1[0].weight.repeat(1, 3, 1, 1) / 3)


def test_the_classifier_is_left_out_where_classes_differ(resnet, weights):
    model = load('test_resnet', weights, num_classes=7)
    assert model.fc.weight.shape == (7, model.num_features)
    assert torch.equal(model.layer4[0].conv1.weight, resnet.layer4[0].conv1.weight)
    same = load('test_resnet', weights, {'num_classes': -1}, num_classes=1000)
    assert not torch.equal(same.fc.weight, resnet.fc.weight), 'num_classes=-1 forces a new one'
    none = load('test_resnet', weights, num_classes=0)
    assert isinstance(none.fc, nn.Identity)


def test_rows_in_front_of_the_first_class_are_cut_off(tmp_path):
    wide = fill_model(timm.create_model('test_resnet', num_classes=11))
    file = write(wide.state_dict(), tmp_path / 'wide.safetensors')
    model = load('test_resnet', file, {'num_classes': 10, 'label_offset': 1}, num_classes=10)
    assert torch.equal(model.fc.weight, wide.fc.weight[1:])
    assert torch.equal(model.fc.bias, wide.fc.bias[1:])


def test_both_classifiers_of_a_distilled_network_adapt(tmp_path):
    source = fill_model(timm.create_model('deit_tiny_distilled_patch16_224'))
    file = write(source.state_dict(), tmp_path / 'deit.safetensors')
    model = load('deit_tiny_distilled_patch16_224', file, num_classes=7)
    assert model.head.weight.shape == model.head_dist.weight.shape == (7, 192)
    assert torch.equal(model.dist_token, source.dist_token)
    assert model.pretrained_cfg['classifier'] == ('head', 'head_dist')


def test_positions_are_resampled_to_another_image_size(tmp_path):
    source = fill_model(timm.create_model('test_vit'))
    file = write(source.state_dict(), tmp_path / 'vit.safetensors')
    side = source.patch_embed.grid_size[0] // 2
    model = load('test_vit', file, img_size=16 * side)
    assert model.pos_embed.shape == (1, side * side + model.num_prefix_tokens, model.embed_dim)
    assert torch.equal(model.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)
    assert load('test_vit', file).pos_embed.shape == source.pos_embed.shape


def test_weights_reach_a_feature_extractor(resnet, weights):
    pyramid = load('test_resnet', weights, features_only=True, out_indices=(1,))
    assert torch.equal(pyramid.layer1[0].conv1.weight, resnet.layer1[0].conv1.weight)


def test_weights_take_the_dtype_and_the_mode_of_the_model(resnet, weights):
    model = load('test_resnet', weights, dtype=torch.bfloat16)
    assert torch.equal(model.fc.weight, resnet.fc.weight.bfloat16())
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


def test_loading_does_not_change_the_file(weights):
    with open(weights, 'rb') as file:
        before = file.read()
    model = load('test_resnet', weights)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    with open(weights, 'rb') as file:
        assert file.read() == before


# checkpoints


def test_a_checkpoint_is_loaded_into_the_finished_model(resnet, weights, tmp_path):
    assert torch.equal(timm.create_model('test_resnet', checkpoint_path=weights).fc.weight, resnet.fc.weight)
    assert timm.create_model('test_resnet', checkpoint_path='').num_classes == 1000
    averaged = {name: value + 1 for name, value in resnet.state_dict().items()}
    torch.save({'state_dict': resnet.state_dict(), 'state_dict_ema': averaged}, tmp_path / 'run.pth.tar')
    model = timm.create_model('test_resnet', checkpoint_path=tmp_path / 'run.pth.tar')
    assert torch.equal(model.fc.weight, averaged['fc.weight'])
    pyramid = timm.create_model('test_resnet', features_only=True, out_indices=(1,))
    path = write({name: value + 3 for name, value in pyramid.state_dict().items()}, tmp_path / 'pyramid.safetensors')
    again = timm.create_model('test_resnet', features_only=True, out_indices=(1,), checkpoint_path=path)
    assert torch.equal(again.layer1[0].conv1.weight, pyramid.layer1[0].conv1.weight + 3)


def test_a_checkpoint_for_other_classes_is_refused_with_both_remedies(weights):
    with pytest.raises(RuntimeError) as error:
        timm.create_model('test_resnet', num_classes=5, checkpoint_path=weights)
    said = str(error.value)
    assert 'Error(s) in loading state_dict' in said
    assert 'fc.weight' in said
    assert 'num_classes=1000' in said, 'build the model like the file'
    assert f"pretrained_cfg_overlay=dict(file='{weights}'" in said, 'or load all but the classifier'
    assert len(said.splitlines()) <= 15


def test_a_checkpoint_for_other_channels_is_refused_with_both_remedies(weights):
    with pytest.raises(RuntimeError, match=r'in_chans=3(.|\n)*pretrained_cfg_overlay=dict\(file='):
        timm.create_model('test_resnet', in_chans=1, checkpoint_path=weights)


def test_a_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing'):
        timm.create_model('test_resnet', checkpoint_path=tmp_path / 'nothing.pth')
    with pytest.raises(FileNotFoundError, match='nothing'):
        load('test_resnet', str(tmp_path / 'nothing.pth'))


# what scripts ask for


def test_script_options_become_arguments():
    resolve = resolve_model_input_args
    asked = resolve('deit_tiny_patch16_224', {'img_size': 96, 'in_chans': 1}, num_classes=5)
    assert {name: asked[name] for name in ('img_size', 'in_chans', 'num_classes')} == {
        'img_size': (96, 96),
        'in_chans': 1,
        'num_classes': 5,
    }
    assert timm.create_model(**asked, device='meta').patch_embed.img_size == (96, 96)
    assert 'img_size' not in resolve('test_resnet', {'img_size': 96})
    assert resolve('test_resnet', {'input_size': (1, 64, 64)})['in_chans'] == 1
    with pytest.raises(ValueError, match='Conflicting input channels: input_size=1, in_chans=3'):
        resolve('test_resnet', {'input_size': (1, 64, 64), 'in_chans': 3})
    with pytest.raises(ValueError, match='channels, height, width'):
        resolve('test_resnet', {'input_size': (64, 64)})
    with pytest.raises(RuntimeError, match='Unknown model'):
        resolve('no_such_model')


def test_a_model_of_any_size_is_built_for_the_size_of_its_arguments():
    options, arguments = {'img_size': 64}, {'img_size': (32, 48), 'dynamic_img_size': True}
    asked = resolve_model_input_args('vit_tiny_patch16_224', options, **arguments)
    assert asked['img_size'] == (32, 48)
    with pytest.raises(ValueError, match='Conflicting input image sizes'):
        resolve_model_input_args('vit_tiny_patch16_224', options, img_size=(32, 48))


def test_a_stem_that_fits_is_loaded_whatever_the_configuration_says(caplog):
    source, target = (torch.nn.Sequential(torch.nn.Conv2d(4, 2, 3)) for _ in range(2))
    cfg = {'input_size': (3, 32, 32), 'first_conv': '0', 'state_dict': source.state_dict()}
    load_pretrained(target, cfg, in_chans=4)
    assert torch.equal(target[0].weight, source[0].weight)
    assert 'already match' in caplog.text
    with pytest.raises(RuntimeError, match='Correct the source pretrained_cfg'):
        load_pretrained(torch.nn.Sequential(torch.nn.Conv2d(8, 2, 3)), cfg, in_chans=8)
