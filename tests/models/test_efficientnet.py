"""Block strings, and what EfficientNet and MobileNetV3 offer beyond other staged networks."""

import functools
import importlib
import inspect

import pytest
import torch
from torch import nn

import timm
from tests import reference
from timm import catalog
from timm.models._efficientnet_blocks import CondConvResidual, DepthwiseSeparableConv, UniversalInvertedResidual
from timm.models._efficientnet_builder import EfficientNetBuilder, decode_arch_def, round_channels
from timm.models._entrypoints import resolve
from timm.models.efficientnet import from_blocks


def as_published(value):
    """An argument in the notation of the reference list."""
    if isinstance(value, functools.partial):
        kwargs = {**rounding_defaults(value.func), **value.keywords}
        return {'partial': value.func.__name__, 'kwargs': as_published(kwargs)}
    if callable(value):
        return {'ref': value.__name__}
    if isinstance(value, (list, tuple)):
        return [as_published(item) for item in value]
    return {key: as_published(item) for key, item in value.items()} if isinstance(value, dict) else value


def rounding_defaults(function):
    return {'multiplier': 1.0, 'divisor': 8, 'round_limit': 0.9} if function is round_channels else {}


def complete(value):
    """A published argument with the defaults of rounding written out."""
    if isinstance(value, list):
        return [complete(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: complete(item) for key, item in value.items()}
    if 'partial' in value:
        defaults = rounding_defaults(round_channels if value['partial'] == 'round_channels' else None)
        value['kwargs'] = {**defaults, **value.get('kwargs', {})}
    return value


@pytest.mark.parametrize('family', ['efficientnet', 'mobilenetv3'])
def test_every_variant_decodes_to_the_published_arguments(family):
    module = importlib.import_module(f'timm.models.{family}')
    for name, expected in reference.load('efficientnet_args')[family].items():
        variant = catalog.variant(name)
        network = getattr(module, catalog.family(family).network)
        defaults = {key: p.default for key, p in inspect.signature(network).parameters.items()}
        found = as_published(from_blocks(**resolve(dict(variant.args), module)))
        expected = complete(expected)
        for key in found.keys() | expected.keys():
            default = as_published(defaults.get(key))
            assert found.get(key, default) == expected.get(key, default), f'{name}: {key}'


def shape_of(arch, **kwargs):
    return [[(b['block_type'], b['stride']) for b in stage] for stage in decode_arch_def(arch, **kwargs)]


def test_depth_scales_a_stage_as_a_whole_from_its_end():
    arch = [['ds_r1_k3_s1_c16'], ['ir_r2_k3_s2_e6_c24', 'cn_r3_k5_s1_c24']]
    assert shape_of(arch, depth_multiplier=1.4) == [[('ds', 1)] * 2, [('ir', 2)] * 3 + [('cn', 1)] * 4]
    assert shape_of(arch, depth_multiplier=1.4, depth_trunc='round')[0] == [('ds', 1)]
    assert shape_of(arch, depth_multiplier=1.4, fix_first_last=True) == shape_of(arch)
    assert shape_of(arch, depth_multiplier=(3.0, 1.0)) == [[('ds', 1)] * 3, shape_of(arch)[1]]
    assert shape_of(arch, depth_multiplier=0.1) == [[('ds', 1)], [('ir', 2), ('cn', 1)]]


def test_a_string_says_everything_about_a_block():
    ((block,),) = decode_arch_def([['ir_r1_k3.5_a1.1_s2_e2.5_c40_se0.25_nre_gs8_cc4_noskip']], experts_multiplier=2)
    assert block == {
        'block_type': 'ir', 'out_chs': 40, 'stride': 2, 'act_layer': nn.ReLU, 'dw_kernel_size': [3, 5],
        'exp_kernel_size': [1, 1], 'pw_kernel_size': 1, 'exp_ratio': 2.5, 'se_ratio': 0.25, 'noskip': True,
        's2d': False, 'group_size': 8, 'num_experts': 8,
    }  # fmt: skip
    ((block,),) = decode_arch_def([['mqa_r1_k3_h4_s1_v2_d64_c160']], group_size=16)
    assert (block['num_heads'], block['key_dim'], block['value_dim'], block['kv_stride']) == (4, 64, 64, 2)
    assert block['group_size'] == 16


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('iv_r1_k3_s1_e6_c16', "'ir'"),
        ('ir_r1_k3_s1_c16', "lacks 'e'"),
        ('ir_r1_k3_s1_e6_c16_nhx', "'hs'"),
        ('ir_r1_k3_s1_e6_c16_zz3', 'zz3'),
    ],
)
def test_a_string_with_a_mistake_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        decode_arch_def([[text]])


def test_an_architecture_is_a_list_of_lists():
    with pytest.raises(ValueError, match='list'):
        decode_arch_def(['ir_r1_k3_s1_e6_c16'])


def test_taps_lie_where_the_resolution_falls():
    arch = [['cn_r1_k3_s2_c16'], ['ir_r2_k3_s1_e2_c16'], ['er_r1_k3_s2_e2_c24'], ['ds_r1_k3_s1_c32']]
    builder = EfficientNetBuilder()
    builder(16, decode_arch_def(arch))
    assert [(tap['module'], tap['reduction'], tap['num_chs']) for tap in builder.features] == [
        ('bn1', 2, 16), ('blocks.1', 4, 16), ('blocks.3', 8, 32),
    ]  # fmt: skip


def test_folded_pixels_count_as_a_stride_until_the_next_one():
    arch = [['ds_r2_k3_s1_c16_d1'], ['ir_r1_k3_s1_e2_c24'], ['ir_r1_k5_s2_e4_c32'], ['ir_r1_k3_s2_e2_c48']]
    builder = EfficientNetBuilder()
    stages = nn.Sequential(*builder(8, decode_arch_def(arch))).eval()
    assert builder.widths == [64, 96, 32, 48]
    assert [tap['reduction'] for tap in builder.features] == [2, 4, 8]
    assert stages[2][0].conv_pw.out_channels == 96  # of a fourth of its input
    assert stages(torch.zeros(1, 8, 16, 16)).shape == (1, 48, 4, 4)


@pytest.mark.parametrize('name', ['test_efficientnet', 'mobilenetv3_small_050'])
def test_dilation_replaces_strides(name):
    model = timm.create_model(name, features_only=True, output_stride=8).eval()
    assert model.feature_info.reduction() == [2, 4, 8, 8, 8]
    assert [f.shape[-1] for f in model(torch.zeros(1, 3, 64, 64))] == [32, 16, 8, 8, 8]


@pytest.mark.parametrize('name', ['test_efficientnet', 'mobilenetv3_small_050', 'mobilenetv1_100'])
@torch.no_grad()
def test_extra_blocks_reach_stem_and_every_stage(name):
    model = timm.create_model(name).eval()
    x = torch.randn(1, 3, 64, 64)
    taps = model.forward_intermediates(x, intermediates_only=True, extra_blocks=True)
    assert len(taps) == len(model.blocks) + 1
    torch.testing.assert_close(taps[0], model.bn1(model.conv_stem(x)))
    assert model.prune_intermediate_layers([2], extra_blocks=True) == [2]
    assert len(model.blocks) == 2
    assert model.num_features == model.head_hidden_size == taps[2].shape[1]
    torch.testing.assert_close(model(x), taps[2])


@pytest.mark.parametrize('name', ['test_efficientnet', 'mobilenetv4_conv_small_035', 'lcnet_035'])
@torch.no_grad()
def test_the_flat_sequence_computes_the_same(name):
    model = timm.create_model(name).eval()
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(model.as_sequential()(x), model(x))


def test_pruning_the_norm_of_efficientnet_removes_its_classifier():
    model = timm.create_model('test_efficientnet')
    model.prune_intermediate_layers([-1], prune_norm=True, prune_head=False)
    assert (model.num_classes, model.num_features) == (0, 64)


def test_pruning_nothing_keeps_the_head_of_mobilenetv3_if_asked():
    model = timm.create_model('mobilenetv3_small_050', num_classes=3)
    model.prune_intermediate_layers([-1], prune_head=False)
    assert (model.num_classes, model.num_features, model.head_hidden_size) == (3, 288, 1024)
    model.prune_intermediate_layers([-1])
    assert (model.num_classes, model.num_features, model.head_hidden_size) == (0, 288, 288)


def test_mobilenetv3_keeps_the_width_its_head_was_built_for():
    model = timm.create_model('mobilenetv3_small_050').eval()
    model.reset_classifier(0, '')
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 1024, 2, 2)
    with pytest.raises(AssertionError, match='catavgmax'):
        model.reset_classifier(5, 'catavgmax')
    model.prune_intermediate_layers([3])  # and the hidden layer with the rest of the head
    model.reset_classifier(5, 'catavgmax')
    assert model.head_hidden_size == 2 * model.feature_info[3]['num_chs']
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)
    model = timm.create_model('mobilenetv3_small_050', global_pool='catavgmax', num_classes=5)
    assert model.conv_head.in_channels == 2 * model.num_features
    model.reset_classifier(4)
    assert model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 4)


@pytest.mark.parametrize('name', ['test_efficientnet', 'mobilenetv3_small_050', 'mobilenetv4_hybrid_medium_075'])
def test_pyramids_of_expanded_maps_are_wider_and_as_large(name):
    kwargs = {'features_only': True, 'out_indices': (1, 3)}
    narrow = timm.create_model(name, **kwargs).eval()
    wide = timm.create_model(name, **kwargs, feature_location='expansion').eval()
    x = torch.zeros(1, 3, 64, 64)
    for a, b, chs in zip(narrow(x), wide(x), wide.feature_info.channels(), strict=True):
        assert a.shape[-2:] == b.shape[-2:]
        assert b.shape[1] == chs > a.shape[1]


def test_batch_norms_take_their_settings_from_the_caller():
    model = timm.create_model('test_efficientnet', bn_eps=0.5, bn_momentum=0.25)
    assert (model.bn1.eps, model.bn1.momentum) == (0.5, 0.25)
    assert timm.create_model('tf_mobilenetv3_small_minimal_100', device='meta').bn1.eps == 1e-3


@pytest.mark.parametrize('block', [DepthwiseSeparableConv, functools.partial(CondConvResidual, num_experts=2)])
def test_a_filter_takes_over_the_stride_of_a_block(block):
    module = block(8, 16, stride=2, aa_layer='blur').eval()
    assert module(torch.zeros(1, 8, 12, 12)).shape == (1, 16, 6, 6)


def test_a_universal_block_without_depthwise_convolution_has_no_stride():
    with pytest.raises(ValueError, match='stride=2'):
        UniversalInvertedResidual(8, 8, dw_kernel_size_mid=0, stride=2)
