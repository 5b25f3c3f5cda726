"""Feature extractors: the record of taps, the five wrappers, and the order in which each answers."""

import copy

import pytest
import torch
from torch import nn

import timm
from timm.layers import Format
from timm.models import FeatureDictNet, FeatureGraphNet, FeatureHookNet, FeatureInfo, FeatureListNet
from timm.models._features import FeatureGetterNet, FeatureHooks, feature_take_indices

WIDTHS = [32, 32, 48, 192, 96]  # of the taps of test_resnet
WRAPPERS = ['list', 'dict', 'getter', 'hook', 'fx']


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(1, 3, 64, 64)


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return timm.create_model('test_resnet', zero_init_last=False).eval()


@pytest.fixture
def resnet(network):
    return copy.deepcopy(network)


def widths(features):
    return [f.shape[1] for f in (features.values() if isinstance(features, dict) else features)]


# which taps are asked for


@pytest.mark.parametrize(
    ('indices', 'taken', 'deepest'),
    [
        (None, [0, 1, 2, 3, 4], 4),
        (2, [3, 4], 4),
        (5, [0, 1, 2, 3, 4], 4),
        ([0], [0], 0),
        ((-1, 0), [4, 0], 4),
        ([3, 1], [3, 1], 3),
        ({2}, [2], 2),
        (iter([1, 2]), [1, 2], 2),
        ([1, 1, -1], [1, 1, 4], 4),
    ],
)
def test_indices_are_counted_from_the_front(indices, taken, deepest):
    assert feature_take_indices(5, indices) == (taken, deepest)


def test_indices_can_come_as_a_set():
    assert feature_take_indices(5, (3, 0, -2), as_set=True) == ({0, 3}, 3)


@pytest.mark.parametrize('indices', [0, 6, -1, [5], [-6], (0, 7)])
def test_taps_that_do_not_exist_are_refused(indices):
    with pytest.raises(AssertionError):
        feature_take_indices(5, indices)


def test_no_taps_are_refused():
    with pytest.raises(ValueError, match='at least one'):
        feature_take_indices(5, [])


# the record of taps


TAPS = [
    {'num_chs': 8, 'reduction': 2, 'module': 'stem'},
    {'num_chs': 16, 'reduction': 4, 'module': 'stages.0'},
    {'num_chs': 32, 'reduction': 4, 'module': 'stages.1', 'stage': 'x'},
]


def test_feature_info_answers_in_the_order_asked():
    info = FeatureInfo(copy.deepcopy(TAPS), (2, 0))
    assert info.out_indices == (2, 0)
    assert info.channels() == [32, 8]
    assert info.reduction() == [4, 2]
    assert info.module_name() == ['stages.1', 'stem']
    assert len(info) == 3
    assert info[1]['num_chs'] == info.channels(1) == 16
    assert info.channels([0, 2]) == [8, 32]
    assert info.reduction(-1) == 4
    assert info.module_name((1,)) == ['stages.0']
    assert info.get('index') == [2, 0]


def test_feature_info_hands_out_live_records_or_fresh_ones():
    info = FeatureInfo(copy.deepcopy(TAPS), (0, 1))
    assert info.get_dicts()[0] is info.info[0]
    assert info.get_dicts(idx=2) is info.info[2]
    fresh = info.get_dicts(keys=['module', 'index'])
    assert fresh == [{'module': 'stem', 'index': 0}, {'module': 'stages.0', 'index': 1}]
    fresh[0]['module'] = 'changed'
    assert info[0]['module'] == 'stem'
    assert info.get_dicts(keys=['num_chs'], idx=[2]) == [{'num_chs': 32}]
    assert info.get_dicts(keys=['num_chs'], idx=2) == {'num_chs': 32}


def test_an_int_means_the_last_taps_and_stays_negative():
    assert FeatureInfo(copy.deepcopy(TAPS), 2).out_indices == (-2, -1)
    assert FeatureInfo(copy.deepcopy(TAPS), 2).channels() == [16, 32]


def test_another_choice_leaves_the_first_alone():
    info = FeatureInfo(copy.deepcopy(TAPS), (0,))
    other = info.from_other((1, 2))
    other.info[0]['num_chs'] = 99
    assert (info.out_indices, info[0]['num_chs']) == ((0,), 8)
    assert other.channels() == [16, 32]


@pytest.mark.parametrize(
    'wrong',
    [
        [{'reduction': 2, 'module': 'a'}],
        [{'num_chs': 0, 'reduction': 2, 'module': 'a'}],
        [{'num_chs': 8, 'reduction': 2}],
        [{'num_chs': 8, 'reduction': 4, 'module': 'a'}, {'num_chs': 8, 'reduction': 2, 'module': 'b'}],
    ],
)
def test_incomplete_records_are_refused(wrong):
    with pytest.raises(AssertionError):
        FeatureInfo(wrong, (0,))


def test_the_model_keeps_its_own_record():
    model = timm.create_model('test_resnet', device='meta')
    before = copy.deepcopy(model.feature_info)
    FeatureListNet(model, out_indices=(1, 2))
    assert model.feature_info == before
    assert isinstance(model.feature_info, list)


# wrappers


@torch.no_grad()
@pytest.mark.parametrize('feature_cls', WRAPPERS)
def test_every_wrapper_gives_the_same_maps_in_network_order(resnet, x, feature_cls):
    expected = resnet.forward_intermediates(x, intermediates_only=True)
    pyramid = timm.create_model('test_resnet', features_only=True, feature_cls=feature_cls, out_indices=(4, 1)).eval()
    state = {k.replace('.', '_'): v for k, v in resnet.state_dict().items()}
    for key, value in pyramid.state_dict().items():
        plain = key.removeprefix('model.').removeprefix('body.').removeprefix('graph_module.').replace('.', '_')
        value.copy_(state[plain])
    found = pyramid(x)
    assert widths(found) == [32, 96], 'network order'
    assert pyramid.feature_info.channels() == [96, 32], 'the order asked'
    assert pyramid.feature_info.reduction() == [32, 4]
    assert pyramid.output_fmt == 'NCHW'
    for feature, i in zip(found.values() if isinstance(found, dict) else found, (1, 4), strict=True):
        torch.testing.assert_close(feature, expected[i])


@pytest.mark.parametrize('feature_cls', WRAPPERS)
def test_duplicates_collapse_in_the_output_only(x, feature_cls):
    pyramid = timm.create_model('test_resnet', features_only=True, feature_cls=feature_cls, out_indices=(1, 1, 2))
    assert widths(pyramid(x)) == [32, 48]
    assert pyramid.feature_info.channels() == [32, 32, 48]


@pytest.mark.parametrize(
    ('feature_cls', 'cls', 'prefix'),
    [
        ('list', FeatureListNet, 'conv1.'),
        ('dict', FeatureDictNet, 'conv1.'),
        ('getter', FeatureGetterNet, 'model.conv1.'),
        ('hook', FeatureHookNet, 'body.conv1.'),
        ('FeatureHookNet', FeatureHookNet, 'body.conv1.'),
        (FeatureHookNet, FeatureHookNet, 'body.conv1.'),
        ('fx', FeatureGraphNet, 'graph_module.conv1.'),
        (FeatureDictNet, FeatureDictNet, 'conv1.'),
    ],
)
def test_the_wrapper_is_chosen_by_name_or_class(feature_cls, cls, prefix):
    pyramid = timm.create_model('test_resnet', features_only=True, feature_cls=feature_cls, out_indices=(1, 3))
    assert type(pyramid) is cls
    assert all(key.startswith(prefix) or 'conv1' not in key.split('.')[:2] for key in pyramid.state_dict())
    assert next(iter(pyramid.state_dict())).startswith(prefix)


def test_an_unknown_wrapper_is_refused():
    with pytest.raises(AssertionError, match='Unknown feature class nope'):
        timm.create_model('test_resnet', features_only=True, feature_cls='nope')


@pytest.mark.parametrize(
    ('name', 'error'), [('test_resnet', IndexError), ('test_vit', AssertionError)], ids=['list', 'getter']
)
def test_a_tap_that_does_not_exist_is_refused(name, error):
    with pytest.raises(error):
        timm.create_model(name, features_only=True, out_indices=(17,))


def test_negative_indices_stay_or_become_absolute():
    assert timm.create_model('test_resnet', features_only=True, out_indices=(-1, -3)).feature_info.out_indices == (
        -1,
        -3,
    )
    assert timm.create_model('test_resnet', features_only=True, out_indices=2).feature_info.out_indices == (-2, -1)
    getter = timm.create_model('test_vit', features_only=True, out_indices=(-1, 0))
    assert getter.feature_info.out_indices == (5, 0)
    assert timm.create_model('test_vit', features_only=True, out_indices=2).feature_info.out_indices == (4, 5)


def test_the_taps_default_to_those_of_the_family():
    assert timm.create_model('test_resnet', features_only=True).feature_info.channels() == WIDTHS
    assert timm.create_model('test_vit', features_only=True).feature_info.out_indices == (3, 4, 5)
    assert timm.create_model('test_convnext', features_only=True).feature_info.reduction() == [4, 8, 16, 32]


def test_dictionaries_are_keyed_by_index_or_by_name(resnet, x):
    def keys(wrapper, model=None, **kwargs):
        return {key: f.shape[1] for key, f in wrapper(model or copy.deepcopy(resnet), **kwargs)(x).items()}

    assert keys(FeatureDictNet, out_indices=(3, 0)) == {'0': 32, '3': 192}
    assert keys(FeatureDictNet, out_indices=(3, 0), out_map=['a', 'b']) == {'b': 32, 'a': 192}
    assert keys(FeatureHookNet, out_indices=(3, 0), return_dict=True) == {'act1': 32, 'layer3': 192}
    assert keys(FeatureHookNet, out_indices=(3, 0), return_dict=True, out_map=['a', 'b']) == {'b': 32, 'a': 192}
    assert keys(FeatureGetterNet, out_indices=(3, 0), return_dict=True) == {0: 32, 3: 192}
    assert keys(FeatureGetterNet, out_indices=(3, 0), return_dict=True, out_map=['a', 'b']) == {'b': 32, 'a': 192}
    assert keys(FeatureGraphNet, out_indices=(3, 0), return_dict=True) == {'0': 32, '3': 192}
    assert keys(FeatureGraphNet, out_indices=(3, 0), return_dict=True, out_map=['a', 'b']) == {'b': 32, 'a': 192}


def test_what_lies_beyond_the_deepest_tap_is_dropped():
    pyramid = timm.create_model('test_resnet', features_only=True, out_indices=(1,))
    assert [name for name, _ in pyramid.named_children()] == ['conv1', 'bn1', 'act1', 'maxpool', 'layer1']
    assert pyramid.return_layers == {'layer1': '1'}
    getter = timm.create_model('test_vit', features_only=True, out_indices=(1,))
    assert len(getter.model.blocks) == 2
    assert isinstance(getter.model.head, nn.Identity)
    hook = timm.create_model('test_resnet', features_only=True, feature_cls='hook')
    assert isinstance(hook.body.fc, nn.Identity)


def test_children_of_sequences_get_flat_names(x):
    pyramid = timm.create_model('test_convnext', features_only=True, out_indices=(0, 2))
    assert pyramid.return_layers == {'stages_0': '0', 'stages_2': '2'}
    assert any(key.startswith('stages_2.') for key in pyramid.state_dict())
    assert widths(pyramid(x)) == pyramid.feature_info.channels()


def test_return_layers_can_be_replaced_for_a_while(x):
    pyramid = timm.create_model('test_resnet', features_only=True, out_indices=(2, 4))
    kept = pyramid.return_layers
    pyramid.return_layers = {info['module']: str(info['index']) for info in pyramid.feature_info.info}
    assert widths(pyramid(x)) == WIDTHS
    pyramid.return_layers = kept
    assert widths(pyramid(x)) == [48, 96]
    dictionary = timm.create_model('test_resnet', features_only=True, feature_cls='dict', out_indices=(2, 4))
    dictionary.return_layers = {'layer1': 'first'}
    assert list(dictionary(x)) == ['first']


def test_attributes_can_be_set_on_a_wrapper(x):
    pyramid = timm.create_model('test_resnet', features_only=True)
    pyramid.fc = None
    assert widths(pyramid(x)) == WIDTHS


def test_a_network_that_hands_on_nhwc_says_so(x):
    swin = timm.create_model('swin_tiny_patch4_window7_224', img_size=64, features_only=True, out_indices=(0, 3))
    assert swin.output_fmt == 'NHWC'
    assert isinstance(swin.output_fmt, Format)
    assert [f.shape for f in swin(x)] == [(1, 16, 16, 96), (1, 2, 2, 768)]
    getter = timm.create_model(
        'swin_tiny_patch4_window7_224', img_size=64, features_only=True, out_indices=(0, 3), feature_cls='getter'
    )
    assert getter.output_fmt == 'NCHW'
    assert [f.shape for f in getter(x)] == [(1, 96, 16, 16), (1, 768, 2, 2)]


@torch.no_grad()
def test_the_getter_passes_its_settings_on(x):
    model = timm.create_model('test_vit', img_size=64).eval()
    expected = model.forward_intermediates(x, indices=[1, 2], norm=True, output_fmt='NLC', intermediates_only=True)
    getter = FeatureGetterNet(copy.deepcopy(model), out_indices=[2, 1], norm=True, output_fmt='NLC').eval()
    for feature, other in zip(getter(x), expected, strict=True):
        torch.testing.assert_close(feature, other, rtol=0, atol=0)
    assert isinstance(FeatureGetterNet(copy.deepcopy(model)).model.norm, nn.Identity)
    assert len(FeatureGetterNet(copy.deepcopy(model), out_indices=[0], prune=False).model.blocks) == 6


def test_hooks_collect_inputs_and_outputs(resnet, x):
    hooks = FeatureHooks(
        [{'module': 'layer1', 'hook_type': 'forward_pre'}, 'layer1'], resnet.named_modules(), out_map=['in', 'out']
    )
    resnet(x)
    output = hooks.get_output(x.device)
    assert list(output) == ['in', 'out']
    assert output['in'].shape == (1, 32, 16, 16)
    assert not hooks.get_output(x.device), 'what was handed out is gone'
    with pytest.raises(ValueError, match='hook_type'):
        FeatureHooks([{'module': 'layer1', 'hook_type': 'backward'}], resnet.named_modules())


def test_hooks_find_taps_in_a_network_taken_apart(resnet, x):
    whole = FeatureHookNet(copy.deepcopy(resnet), out_indices=(0, 2))
    apart = FeatureHookNet(copy.deepcopy(resnet), out_indices=(0, 2), no_rewrite=False)
    assert list(dict(apart.named_children())) == ['conv1', 'bn1', 'act1', 'maxpool', 'layer1', 'layer2']
    for a, b in zip(whole(x), apart(x), strict=True):
        torch.testing.assert_close(a, b)


def test_gradient_checkpointing_of_wrappers_changes_nothing(resnet, x):
    grads = []
    for enable in (False, True):
        pyramid = FeatureListNet(copy.deepcopy(resnet), out_indices=(1, 2))
        pyramid.set_grad_checkpointing(enable)
        sum(feature.square().mean() for feature in pyramid(x)).backward()
        grads.append([p.grad for p in pyramid.parameters()])
    assert len(grads[0]) > 10
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)
    assert not hasattr(timm.create_model('test_vit', features_only=True), 'set_grad_checkpointing')


@torch.no_grad()
def test_wrappers_compile(x):
    pyramid = timm.create_model('test_resnet', features_only=True, out_indices=(1, 2)).eval()
    expected = pyramid(x)
    torch._dynamo.reset()
    for compiled in (torch.jit.script(pyramid), torch.compile(pyramid, backend='eager', fullgraph=True)):
        for a, b in zip(compiled(x), expected, strict=True):
            torch.testing.assert_close(a, b)


def test_a_wrapper_has_the_configuration_without_classes(resnet):
    pyramid = timm.create_model('resnet18.a1_in1k', features_only=True, in_chans=5, device='meta')
    assert pyramid.in_chans == 5
    assert pyramid.default_cfg is pyramid.pretrained_cfg
    assert not {'num_classes', 'classifier'} & pyramid.pretrained_cfg.keys()
    assert pyramid.pretrained_cfg['tag'] == 'a1_in1k'
    assert not hasattr(pyramid, 'num_classes')
    assert not hasattr(pyramid, 'forward_features')


def test_a_wrapper_needs_the_taps_as_children():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
            self.feature_info = [{'num_chs': 4, 'reduction': 1, 'module': 'body.0'}]

    with pytest.raises(AssertionError, match=r'body\.0'):
        FeatureListNet(Odd(), out_indices=(0,))
    assert FeatureListNet(Odd(), out_indices=(0,), flatten_sequential=True).return_layers == {'body_0': '0'}


def test_branches_of_a_tap_are_taken_or_joined(x):
    class Branch(nn.Module):
        def forward(self, x):
            return [x, x * 2]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = Branch()
            self.feature_info = [{'num_chs': 6, 'reduction': 1, 'module': 'branch'}]

    assert widths(FeatureListNet(Net(), out_indices=(0,), feature_concat=True)(x)) == [6]
    assert widths(FeatureListNet(Net(), out_indices=(0,))(x)) == [3]
