"""Entry points are functions like any others, made when they are first asked for."""

import importlib
import importlib.util
import inspect
import pickle
import subprocess
import sys
from unittest import mock

import pytest

import timm
from timm import catalog
from timm.models import DefaultCfg, _entrypoints, resnet
from timm.models._entrypoints import entrypoints, resolve

WRITTEN = [name for name in catalog.family_names() if importlib.util.find_spec(f'timm.models.{name}') is not None]


@pytest.fixture
def calls(monkeypatch):
    """Arguments of every call that reaches `build_model_with_cfg`, which builds nothing here."""
    made = []

    def build(model_cls, variant, pretrained, **kwargs):
        made.append({'model_cls': model_cls, 'variant': variant, 'pretrained': pretrained, **kwargs})
        return mock.Mock(pretrained_cfg={'num_classes': 3, 'classifier': 'fc', 'crop_pct': 1.0})

    monkeypatch.setattr(_entrypoints, 'build_model_with_cfg', build)
    return made


@pytest.mark.parametrize('name', ['resnet50', 'tv_resnet50'])
def test_an_entry_point_is_one_function_of_its_module(name):
    fn = getattr(resnet, name)
    assert inspect.isfunction(fn)
    assert fn is getattr(resnet, name) is getattr(timm.models, name) is timm.model_entrypoint(name)
    assert (fn.__name__, fn.__qualname__, fn.__module__) == (name, name, 'timm.models.resnet')
    assert len(fn.__doc__.splitlines()) == 1
    assert pickle.loads(pickle.dumps(fn)) is fn
    parameters = inspect.signature(fn).parameters
    assert list(parameters) == ['pretrained', 'kwargs']
    assert parameters['pretrained'].default is False
    assert parameters['kwargs'].kind is inspect.Parameter.VAR_KEYWORD


@pytest.mark.parametrize('family', WRITTEN)
def test_a_module_shows_its_entry_points(family):
    module = importlib.import_module(f'timm.models.{family}')
    record = catalog.family(family)
    names = {variant.name for variant in record.variants} | record.renamed.keys()
    assert names <= set(module.__all__)
    assert len(module.__all__) == len(set(module.__all__))
    assert names | {'default_cfgs', '_cfg'} <= set(dir(module))
    assert all(hasattr(module, name) for name in module.__all__)


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'timm\.models\.resnet' has no attribute 'no_such_net'"):
        resnet.no_such_net  # noqa: B018
    with pytest.raises(AttributeError, match=r"'timm\.models' has no attribute 'no_such_net'"):
        timm.models.no_such_net  # noqa: B018


def test_the_catalog_arguments_reach_the_builder(calls):
    resnet.resnetrs50(pretrained=True, num_classes=5)
    (call,) = calls
    assert (call['model_cls'], call['variant'], call['pretrained']) == (resnet.ResNet, 'resnetrs50', True)
    assert call['block'] is resnet.Bottleneck
    assert call['layers'] == (3, 4, 6, 3)
    assert call['num_classes'] == 5
    assert call['block_args']['attn_layer'].func is timm.layers.SEModule
    assert call['block_args']['attn_layer'].keywords == {'rd_ratio': 0.25}
    assert call['feature_cfg'] == {'out_indices': (0, 1, 2, 3, 4)}


def test_the_callers_arguments_win_and_records_are_never_shared(calls):
    resnet.ecaresnet26t(layers=(1, 1, 1, 1), block_args={'attn_layer': 'se'}, feature_cfg={'feature_cls': 'hook'})
    resnet.ecaresnet26t()
    calls[1]['block_args']['attn_layer'] = 'changed'
    resnet.ecaresnet26t()
    assert calls[0]['layers'] == (1, 1, 1, 1)
    assert calls[0]['feature_cfg'] == {'out_indices': (0, 1, 2, 3, 4), 'feature_cls': 'hook'}
    assert [call['block_args']['attn_layer'] for call in calls] == ['se', 'changed', 'eca']


def test_an_old_name_warns_at_every_call_and_asks_for_its_weights(calls):
    for _ in range(2):
        with pytest.warns(UserWarning, match=r'Mapping deprecated model name tv_resnet50 to current resnet50\.tv_in1k'):
            resnet.tv_resnet50(pretrained=True)
    with pytest.warns(UserWarning, match='tv_resnet50'):
        resnet.tv_resnet50(pretrained_cfg='a1_in1k')
    assert [call['pretrained_cfg'] for call in calls] == ['tv_in1k', 'tv_in1k', 'a1_in1k']
    assert {call['variant'] for call in calls} == {'resnet50'}


def test_other_projects_can_use_the_creating_function(calls):
    resnet._create_resnet('my_resnet', True, block=resnet.BasicBlock, layers=(1, 1, 1, 1))
    (call,) = calls
    assert (call['model_cls'], call['variant'], call['pretrained']) == (resnet.ResNet, 'my_resnet', True)
    assert call['block'] is resnet.BasicBlock
    assert list(inspect.signature(resnet._create_resnet).parameters) == ['variant', 'pretrained', 'kwargs']


def test_an_entry_point_goes_through_the_modules_creating_function():
    with mock.patch('timm.models.resnet._create_resnet', return_value='made') as create:
        assert resnet.resnet18(num_classes=2) == 'made'
    create.assert_called_once_with(
        'resnet18', pretrained=False, block=resnet.BasicBlock, layers=(2, 2, 2, 2), num_classes=2
    )


def test_an_entry_point_can_be_patched():
    with mock.patch('timm.models.resnet.resnet18', return_value='patched'):
        assert resnet.resnet18() == 'patched'
    assert resnet.resnet18.__name__ == 'resnet18'


def test_default_cfgs_hold_every_tag():
    cfgs = resnet.default_cfgs
    assert cfgs is resnet.default_cfgs
    assert isinstance(cfgs['resnet18d'], DefaultCfg)
    assert list(cfgs['resnet18d'].tags) == ['ra2_in1k', 'ra4_e3600_r224_in1k']
    assert cfgs['resnet18d'].default == timm.get_pretrained_cfg('resnet18d')
    assert not cfgs['resnet200'].is_pretrained


def test_fields_of_a_configuration_of_ones_own():
    cfg = resnet._cfg(url='https://x/w.pth', num_classes=3)
    assert (cfg['url'], cfg['num_classes'], cfg['first_conv'], cfg['classifier']) == (
        'https://x/w.pth',
        3,
        'conv1',
        'fc',
    )
    assert 'hf_hub_id' not in cfg, 'the weights of this family are not those of another project'
    assert timm.models.PretrainedCfg(**cfg).input_size == (3, 224, 224)
    assert resnet._cfg()['url'] == ''


def test_references_resolve_against_three_rooms():
    found = resolve(
        {'a': (catalog.Ref('Bottleneck'), catalog.Ref('nn.ReLU')), 'b': [1, catalog.Ref('layers.Mlp')]}, resnet
    )
    assert found == {'a': (resnet.Bottleneck, timm.models.resnet.nn.ReLU), 'b': [1, timm.layers.Mlp]}


HRNET = pytest.mark.skipif('hrnet' not in WRITTEN, reason='needs the hrnet module')


@HRNET
def test_features_of_a_family_can_be_a_class_of_its_own(calls):
    hrnet = importlib.import_module('timm.models.hrnet')
    model = hrnet.hrnet_w18(features_only=True, out_indices=(1, 2), feature_location='', num_classes=7)
    (call,) = calls
    assert call['model_cls'] is hrnet.HighResolutionNetFeatures
    assert (call['out_indices'], call['feature_location'], call['pretrained_strict']) == ((1, 2), '', False)
    assert {'num_classes', 'global_pool'} <= set(call['kwargs_filter'])
    assert 'features_only' not in call
    assert model.pretrained_cfg == model.default_cfg == {'crop_pct': 1.0}


@HRNET
def test_the_callers_wrapper_wins_over_the_familys_features_class(calls):
    hrnet = importlib.import_module('timm.models.hrnet')
    hrnet.hrnet_w18(features_only=True, feature_cls='hook')
    (call,) = calls
    assert call['model_cls'] is hrnet.HighResolutionNet
    assert (call['features_only'], call['feature_cls']) == (True, 'hook')


def test_a_variant_that_computes_goes_through_its_build_function(calls, monkeypatch):
    weights = {'': catalog.Weights()}
    family = catalog.Family(
        network='Net',
        papers=(),
        variants=(
            catalog.Variant('net_a', {'width': 2}, weights, build='double', options={'layer': catalog.Ref('nn.ReLU')}),
            catalog.Variant('net_b', {}, weights, network='Other', options={'feature_cfg': {'out_indices': 4}}),
        ),
        strict=False,
        convert=catalog.Ref('convert', antialias=False),
        feature_class='getter',
        feature_indices=3,
        creators={'_create_net': 'Net', '_create_other': 'Other'},
    )  # fmt: skip
    module = type(sys)('timm.models.netfamily')
    vars(module).update(
        Net=object(), Other=object(), convert=print, double=lambda width, **kwargs: {'width': 2 * width, **kwargs}
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(catalog, 'family', lambda name: {'netfamily': family}[name])
    module.__getattr__ = entrypoints(module.__name__)
    module.net_a(extra=1)
    module.net_b()
    module._create_other('mine')
    assert [(call['model_cls'], call['variant']) for call in calls] == [
        (module.Net, 'net_a'), (module.Other, 'net_b'), (module.Other, 'mine'),
    ]  # fmt: skip
    assert (calls[0]['width'], calls[0]['extra'], calls[0]['layer']) == (4, 1, timm.models.resnet.nn.ReLU)
    for call in calls:
        assert call['pretrained_strict'] is False
        assert (call['pretrained_filter_fn'].func, call['pretrained_filter_fn'].keywords) == (
            print,
            {'antialias': False},
        )
    assert [call['feature_cfg'] for call in calls] == [
        {'out_indices': indices, 'feature_cls': 'getter'} for indices in (3, 4, 3)
    ]
    assert module.__all__ == ['net_a', 'net_b']


# the package


def test_classes_and_modules_are_reached_from_the_package():
    from timm.models import BasicBlock, Bottleneck, ResNet

    assert (ResNet, Bottleneck, BasicBlock) == (resnet.ResNet, resnet.Bottleneck, resnet.BasicBlock)
    assert timm.models.resnet is sys.modules['timm.models.resnet']
    assert timm.models._registry is sys.modules['timm.models._registry']
    assert {'ResNet', 'resnet50', 'create_model', 'resnet', 'VisionTransformerDistilled'} <= set(dir(timm.models))
    assert {'ResNet', 'resnet50', 'tv_resnet50', 'create_model', 'list_models'} <= set(timm.models.__all__)


def test_a_submodule_does_not_hide_an_entry_point_of_its_name(monkeypatch):
    record = catalog.Family('Net', (), (catalog.Variant('resnet', {}, {'': catalog.Weights()}),))
    module = type(sys)('timm.models.resnet')
    module.resnet = 'entry point'
    monkeypatch.setattr(catalog, 'family', lambda name: record)
    before = timm.models.resnet
    try:
        timm.models.resnet = module  # what the import system does after it has read the file
        assert timm.models.resnet == 'entry point'
    finally:
        monkeypatch.undo()
        timm.models.resnet = before


STAR = (
    'from timm.models import *; print(resnet18.__name__, ResNet.__name__, list_models.__name__, create_model.__name__)'
)


@pytest.mark.skipif(len(WRITTEN) < len(catalog.family_names()), reason='needs the module of every family')
def test_star_import_brings_everything():
    done = subprocess.run([sys.executable, '-W', 'error', '-c', STAR], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['resnet18', 'ResNet', 'list_models', 'create_model']
