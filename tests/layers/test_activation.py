"""Activations: their equations, their gradients and their factories."""

import functools
import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from timm import layers
from timm.layers import activations_me, create_act

EQUATIONS = {
    'swish': lambda x: x * torch.sigmoid(x),
    'mish': lambda x: x * torch.tanh(torch.log1p(torch.exp(x))),
    'sigmoid': lambda x: 1 / (1 + torch.exp(-x)),
    'tanh': lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1),
    'hard_sigmoid': lambda x: F.relu6(x + 3) / 6,
    'hard_swish': lambda x: x * F.relu6(x + 3) / 6,
    'hard_mish': lambda x: x / 2 * (x + 2).clamp(0, 2),
    'gelu': lambda x: x / 2 * (1 + torch.erf(x / 2**0.5)),
    'gelu_tanh': lambda x: x / 2 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
    'quick_gelu': lambda x: x * torch.sigmoid(1.702 * x),
}
MODULES = {
    'swish': 'Swish',
    'mish': 'Mish',
    'sigmoid': 'Sigmoid',
    'tanh': 'Tanh',
    'hard_sigmoid': 'HardSigmoid',
    'hard_swish': 'HardSwish',
    'hard_mish': 'HardMish',
    'gelu': 'GELU',
    'gelu_tanh': 'GELUTanh',
    'quick_gelu': 'QuickGELU',
}
IN_PLACE = {'swish', 'sigmoid', 'tanh', 'hard_sigmoid', 'hard_swish', 'hard_mish'}
RECOMPUTING = ['swish', 'mish', 'hard_sigmoid', 'hard_swish', 'hard_mish']


def _x():
    return torch.linspace(-5, 5, 41, dtype=torch.float64) + 0.01


@pytest.mark.parametrize('name', EQUATIONS)
def test_function_and_module_follow_the_equation(name):
    expected = EQUATIONS[name](_x())
    function, module_class = getattr(layers, name), getattr(layers, MODULES[name])
    for inplace in (False, True):
        x = _x()
        torch.testing.assert_close(function(x, inplace=inplace), expected)
        assert torch.equal(x, _x()) != (inplace and name in IN_PLACE)
        x = _x()
        torch.testing.assert_close(module_class(inplace=inplace)(x), expected)
        assert torch.equal(x, _x()) != (inplace and name in IN_PLACE)
    torch.testing.assert_close(torch.jit.script(module_class())(_x()), expected)


def test_prelu_learns_a_slope_and_takes_inplace():
    act = layers.PReLU(2, 0.1, inplace=True).double()
    x = torch.tensor([[-1.0, -2.0], [3.0, 4.0]], dtype=torch.float64)
    torch.testing.assert_close(act(x), torch.where(x < 0, 0.1 * x, x), rtol=1e-6, atol=0)
    assert [name for name, _ in act.named_parameters()] == ['weight']


@pytest.mark.parametrize('name', RECOMPUTING)
def test_recomputing_activation_has_the_value_and_gradient_of_the_plain_one(name):
    x, y = _x().requires_grad_(), _x().requires_grad_()
    weight = torch.arange(x.numel(), dtype=torch.float64)
    plain = getattr(layers, name)(x)
    recomputing = getattr(activations_me, f'{MODULES[name]}Me')(inplace=True)(y)
    torch.testing.assert_close(recomputing, plain)
    torch.testing.assert_close(getattr(activations_me, f'{name}_me')(y), plain)
    (plain * weight).sum().backward()
    (recomputing * weight).sum().backward()
    torch.testing.assert_close(y.grad, x.grad)


@pytest.mark.parametrize('name', create_act._CLASSES)
def test_every_name_builds_a_module_that_agrees_with_its_function(name):
    act = layers.create_act_layer(name, inplace=True).double()
    y = act(_x())
    assert y.shape == _x().shape
    if name in create_act._FUNCTIONS:
        torch.testing.assert_close(y, layers.get_act_fn(name)(_x()))


def test_factories_take_names_in_any_case_none_classes_partials_and_functions():
    assert layers.get_act_layer('ReLU') is nn.ReLU
    assert layers.get_act_fn('RELU') is F.relu
    for nothing in (None, ''):
        assert layers.get_act_layer(nothing) is None
        assert layers.get_act_fn(nothing) is None
        assert layers.create_act_layer(nothing, inplace=True) is None
    leaky = functools.partial(nn.LeakyReLU, negative_slope=0.3)
    for given in (nn.SiLU, leaky, F.relu):
        assert layers.get_act_layer(given) is given
        assert layers.get_act_fn(given) is given
    act = layers.create_act_layer(leaky, inplace=True)
    assert (act.negative_slope, act.inplace) == (0.3, True)


def test_inplace_reaches_only_classes_that_know_it():
    assert layers.create_act_layer('relu', inplace=True).inplace
    assert not layers.create_act_layer('relu').inplace
    assert isinstance(layers.create_act_layer(nn.GELU, inplace=True), nn.GELU)
    assert isinstance(layers.create_act_layer(nn.Tanh, inplace=True), nn.Tanh)  # has no arguments at all
    with pytest.raises(TypeError, match='slope'):
        layers.create_act_layer('relu', inplace=True, slope=1)


def test_unknown_names_are_answered_with_the_nearest():
    for factory in (layers.get_act_layer, layers.get_act_fn, layers.create_act_layer):
        with pytest.raises(ValueError, match=r"'hardswich'.*hard_?swish"):
            factory('hardswich')
    with pytest.raises(TypeError, match='3'):
        layers.get_act_layer(3)


def test_scripts_and_exports_get_activations_they_can_look_into():
    assert layers.get_act_layer('hard_mish') is activations_me.HardMishMe
    assert layers.get_act_fn('hard_mish') is activations_me.hard_mish_me
    with layers.set_scriptable(True):
        torch.jit.script(layers.create_act_layer('hard_mish'))
    with layers.set_exportable(True):
        assert layers.get_act_layer('hard_mish') is layers.HardMish


def test_every_activation_class_takes_inplace():
    for name in [*MODULES.values(), 'PReLU']:
        assert 'inplace' in inspect.signature(getattr(layers, name)).parameters
