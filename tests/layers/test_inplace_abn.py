"""The activated batch norm of an optional package, with the package and without."""

import sys
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from timm.layers import BatchNormAct2d, InplaceAbn, create_norm_act_layer, get_norm_act_layer
from timm.layers import inplace_abn as module


def _computed(x, weight, bias, mean, variance, training=True, momentum=0.1, eps=1e-5, act='leaky_relu', param=0.01):
    """What the package documents, out of place."""
    factor = None if weight is None else weight.abs() + eps
    x = F.batch_norm(x, mean, variance, factor, bias, training, momentum, eps)
    return {'leaky_relu': F.leaky_relu(x, param), 'elu': F.elu(x, param), 'identity': x}[act]


@pytest.fixture
def package(monkeypatch):
    functions = types.ModuleType('inplace_abn.functions')
    functions.inplace_abn = _computed
    functions.inplace_abn_sync = lambda **kwargs: kwargs
    parent = types.ModuleType('inplace_abn')
    monkeypatch.setitem(sys.modules, 'inplace_abn', parent)
    monkeypatch.setitem(sys.modules, 'inplace_abn.functions', functions)


@pytest.fixture
def no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'inplace_abn', None)
    monkeypatch.setitem(sys.modules, 'inplace_abn.functions', None)


@pytest.mark.usefixtures('no_package')
def test_forward_without_the_package_names_it_and_the_remedy():
    layer = InplaceAbn(4)
    with pytest.raises(ImportError, match=r'mapillary/inplace_abn.*BatchNormAct2d'):
        layer(torch.randn(2, 4, 3, 3))
    with pytest.raises(ImportError, match='inplace_abn_sync'):
        module.inplace_abn_sync(x=torch.randn(2, 4, 3, 3))


@pytest.mark.usefixtures('package')
@pytest.mark.parametrize('training', [False, True])
def test_layer_is_batch_norm_and_leaky_relu(training):
    layer = InplaceAbn(4, eps=1e-3, momentum=0.3, act_param=0.2).train(training)
    same = BatchNormAct2d(4, eps=1e-3, momentum=0.3, act_layer=nn.LeakyReLU, act_kwargs={'negative_slope': 0.2})
    same.train(training)
    with torch.no_grad():
        same.weight.fill_(1 + 1e-3)  # the package adds eps to the magnitude of the factor
    x = torch.randn(8, 4, 3, 3) * 3 + 1
    torch.testing.assert_close(layer(x), same(x))
    torch.testing.assert_close(layer.running_mean, same.running_mean)
    torch.testing.assert_close(layer.running_var, same.running_var)


@pytest.mark.usefixtures('package')
def test_sync_function_passes_its_arguments_on():
    assert module.inplace_abn_sync(x=1, group=2) == {'x': 1, 'group': 2}


@pytest.mark.parametrize(
    ('act_layer', 'name'),
    [
        ('leaky_relu', 'leaky_relu'),
        (nn.LeakyReLU, 'leaky_relu'),
        ('elu', 'elu'),
        (nn.ELU, 'elu'),
        ('identity', 'identity'),
        (nn.Identity, 'identity'),
        ('', 'identity'),
        (None, 'identity'),
    ],
)
def test_activation_is_taken_by_name_or_class(act_layer, name):
    assert InplaceAbn(4, act_layer=act_layer).act_name == name
    assert InplaceAbn(4, act_layer=act_layer, apply_act=False).act_name == 'identity'


@pytest.mark.parametrize('act_layer', ['relu', nn.ReLU])
def test_activation_that_cannot_be_undone_is_an_error(act_layer):
    with pytest.raises(
        ValueError, match=r"(?i)activation of InplaceAbn 'relu': use one of 'leaky_relu', 'elu', 'identity'"
    ):
        InplaceAbn(4, act_layer=act_layer)


def test_drop_layer_is_an_error():
    with pytest.raises(ValueError, match='drop_layer'):
        InplaceAbn(4, drop_layer=nn.Dropout)


def test_state_has_the_published_keys():
    names = ['weight', 'bias', 'running_mean', 'running_var']
    assert list(InplaceAbn(4).state_dict()) == names
    assert list(InplaceAbn(4, affine=False).state_dict()) == names[2:]


def test_resetting_restores_the_values_of_a_new_layer():
    layer = InplaceAbn(4)
    for value in layer.state_dict(keep_vars=True).values():
        nn.init.constant_(value, 5.0)
    layer.reset_parameters()
    assert {name: value.unique().tolist() for name, value in layer.state_dict().items()} == {
        'weight': [1.0],
        'bias': [0.0],
        'running_mean': [0.0],
        'running_var': [1.0],
    }


@pytest.mark.parametrize('name', ['iabn', 'inplaceabn', 'inplace_abn', 'InplaceAbn', InplaceAbn])
def test_factories_know_it_by_name(name):
    layer = create_norm_act_layer(name, 4, act_layer='elu')
    assert (type(layer), layer.act_name) == (InplaceAbn, 'elu')
    assert get_norm_act_layer(name)(4).act_name == 'identity'
