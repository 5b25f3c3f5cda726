"""What holds for every layer, whatever it computes: modes, gradients, forms of execution, devices, types and copies."""

import copy
import importlib
import importlib.util
import inspect
import math
import pickle
import pkgutil

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves

from tests import reference
from tests.fill import fill_model
from tests.layers.layer_cases import APART, CASES
from timm import layers
from timm.models._manipulate import reinit_non_persistent_buffers

SURFACE = reference.load('api_surface')

cases = pytest.mark.parametrize('case', CASES, ids=str)
random_cases = pytest.mark.parametrize('case', [case for case in CASES if case.random], ids=str)


def _module_names():
    """Modules of the package, those of the published surface that exist and our own."""
    published = [name for name in SURFACE if name.startswith('timm.layers')]
    own = [f'timm.layers.{info.name}' for info in pkgutil.iter_modules(layers.__path__) if info.name[0] != '_']
    return [name for name in dict.fromkeys([*published, *own]) if importlib.util.find_spec(name)]


def _public_classes():
    """Every public class of ours that is a module with a forward."""
    found = set()
    for name in _module_names():
        module = importlib.import_module(name)
        public = {*SURFACE.get(name, ()), *getattr(module, '__all__', ())}
        found |= {value for value in (getattr(module, item, None) for item in public) if isinstance(value, type)}
    ours = {c for c in found if issubclass(c, nn.Module) and c.__module__.startswith('timm.')}
    return {c for c in ours if c.forward is not nn.Module.forward}


def test_every_public_layer_has_a_case():
    tested = {type(case.build()) for case in CASES}
    missing = sorted(f'{c.__module__}.{c.__name__}' for c in _public_classes() - tested - APART.keys())
    assert not missing, f'add cases for {missing}'


def _layer(case, dtype=torch.float32, training=False):
    return fill_model(case.build()).to(dtype).train(training)


def _inputs(case, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(item, generator=generator, dtype=torch.float64).to(dtype) if isinstance(item, tuple) else item
        for item in case.inputs
    ]


def _call(case, layer, inputs):
    """Tensors that come out, in order."""
    output = getattr(layer, case.method)(*inputs) if case.method else layer(*inputs)
    return _tensors(output)


def _tensors(output):
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]


def _assert_shapes(tensors, expected):
    expected = expected if isinstance(expected, list) else [expected]
    assert [tuple(tensor.shape) for tensor in tensors] == expected
    assert all(tensor.isfinite().all() for tensor in tensors)


def _assert_equal(got, expected):
    for one, other in zip(got, expected, strict=True):
        assert torch.equal(one, other)


@cases
@torch.no_grad()
def test_evaluation_is_finite_has_the_stated_shape_and_draws_nothing(case):
    layer, inputs = _layer(case), _inputs(case)
    before = torch.get_rng_state()
    first = _call(case, layer, inputs)
    _assert_shapes(first, case.output)
    _assert_equal(_call(case, layer, inputs), first)
    assert torch.equal(torch.get_rng_state(), before)


@cases
@torch.no_grad()
def test_training_is_finite_has_the_stated_shape_and_repeats_under_one_seed(case):
    one, other = _layer(case, training=True), _layer(case, training=True)
    torch.manual_seed(0)
    first = _call(case, one, _inputs(case))
    _assert_shapes(first, case.train_output or case.output)
    torch.manual_seed(0 if case.random else 1)
    _assert_equal(_call(case, other, _inputs(case)), first)
    if case.random:
        again = [_call(case, other, _inputs(case)) for _ in range(3)]
        assert any(not torch.equal(a, b) for more in again for a, b in zip(more, first, strict=True))


@cases
def test_gradients_reach_every_parameter_and_input(case):
    layer, inputs = _layer(case, torch.float64, training=True), _inputs(case, torch.float64)
    leaves = [item.requires_grad_() for item in inputs if isinstance(item, torch.Tensor)]
    torch.manual_seed(0)
    output = _call(case, layer, inputs)[0]
    if not leaves and not list(layer.parameters()):
        return
    output.mul(torch.randn_like(output)).sum().backward()
    for name, parameter in layer.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert (parameter.grad.abs().max() > 1e-9) != (name in case.still), name
    for leaf in leaves:
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        assert leaf.grad.any()


def _check_gradients(case, training):
    """Finite differences against autograd in float64, along random directions of all inputs and parameters."""
    layer, inputs = _layer(case, torch.float64, training), _inputs(case, torch.float64)
    names = [name for name, _ in layer.named_parameters()]
    parameters = [parameter.detach().requires_grad_() for parameter in layer.parameters()]
    leaves = [item.requires_grad_() for item in inputs if isinstance(item, torch.Tensor)]
    others = [item for item in inputs if not isinstance(item, torch.Tensor)]
    assert inputs == leaves + others

    def function(*tensors):
        torch.manual_seed(0)
        arguments = (*tensors[: len(leaves)], *others)
        return _tensors(functional_call(layer, dict(zip(names, tensors[len(leaves) :], strict=True)), arguments))[0]

    # float32 knows a value to 1e-7: differences over 1e-3 are good to 1e-4, those over 1e-6 to nothing
    step, bound = (1e-3, 1e-3) if case.coarse else (1e-6, 1e-5)
    assert torch.autograd.gradcheck(function, (*leaves, *parameters), eps=step, atol=bound, fast_mode=True)


@pytest.mark.parametrize('case', [case for case in CASES if not case.method], ids=str)
def test_gradients_are_those_of_finite_differences(case):
    _check_gradients(case, training=False)


@random_cases
def test_gradients_under_one_seed_are_those_of_finite_differences(case):
    _check_gradients(case, training=True)


@pytest.mark.parametrize('case', [case for case in CASES if not case.method], ids=str)
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
@torch.no_grad()
def test_scripted_layer_computes_the_same(case):
    layer, inputs = _layer(case), _inputs(case)
    expected = _call(case, layer, inputs)
    if 'script' not in case.lacks:
        compiled = torch.jit.script(layer)
    else:
        with pytest.raises(Exception, match=r'.'):  # once this raises nothing, take the entry off `lacks`
            torch.jit.script(layer)
        tensors = [item for item in inputs if isinstance(item, torch.Tensor)]
        others = inputs[len(tensors) :]
        compiled = torch.jit.trace(_Bound(layer, others), tuple(tensors), check_trace=False)
        inputs = tensors
    for _ in range(2):  # the second call is an optimised one
        torch.testing.assert_close(_tensors(compiled(*inputs)), expected)


class _Bound(nn.Module):
    """A layer with its last inputs fixed, for a tracer that takes tensors alone."""

    def __init__(self, layer, others):
        super().__init__()
        self.layer = layer
        self.others = others

    def forward(self, *tensors):
        return self.layer(*tensors, *self.others)


@pytest.mark.parametrize('case', [case for case in CASES if not case.method], ids=str)
@torch.no_grad()
def test_exported_layer_computes_the_same(case):
    layer, inputs = _layer(case), _inputs(case)
    exported = torch.export.export(layer, tuple(inputs), strict=False).module()
    torch.testing.assert_close(_tensors(exported(*inputs)), _call(case, layer, inputs))


@cases
@torch.no_grad()
def test_bfloat16_comes_out_as_it_went_in(case):
    outputs = _call(case, _layer(case, torch.bfloat16), _inputs(case, torch.bfloat16))
    _assert_shapes(outputs, case.output)
    assert ({output.dtype for output in outputs} == {torch.bfloat16}) != ('bfloat16' in case.lacks)


def _tensors_of(layer):
    return [*layer.named_parameters(), *layer.named_buffers()]


def _options(case):
    """Which of `device` and `dtype` the constructor takes."""
    parameters = inspect.signature(case.build).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return {'device', 'dtype'}
    return {'device', 'dtype'} & {parameter.name for parameter in parameters}


@cases
def test_layer_is_built_on_the_asked_device_in_the_asked_type(case):
    if not _tensors_of(case.build()) and not _options(case):
        return  # nothing to place, and nothing promised
    assert {'device', 'dtype'} - _options(case) == {'device', 'dtype'} & case.lacks.keys()
    asked = {'device': 'meta', 'dtype': torch.bfloat16}
    layer = case.build(**{name: asked[name] for name in _options(case)})
    for name, tensor in _tensors_of(layer):
        assert tensor.is_meta or 'device' in case.lacks, name
        if tensor.is_floating_point() and 'dtype' not in case.lacks:
            assert tensor.dtype == (torch.float32 if name in case.float32 else torch.bfloat16), name


@cases
@torch.no_grad()
def test_layer_built_without_storage_is_filled_by_a_state_dict(case):
    expected, inputs = _layer(case), _inputs(case)
    with torch.device('meta'):
        layer = case.build()
    assert all(tensor.is_meta for _, tensor in _tensors_of(layer))
    layer = layer.to_empty(device='cpu').eval()
    for _, tensor in _tensors_of(layer):
        tensor.fill_(
            math.nan if tensor.is_floating_point() else 99
        )  # what happens to lie in empty storage may be right
    layer.load_state_dict(expected.state_dict())
    reinit_non_persistent_buffers(layer)
    _assert_equal(_call(case, layer, inputs), _call(case, expected, inputs))


@cases
@torch.no_grad()
def test_copied_and_pickled_layers_compute_the_same_and_share_nothing(case):
    layer, inputs = _layer(case), _inputs(case)
    expected = _call(case, layer, inputs)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(twin) is type(layer)
        assert not twin.training
        _assert_equal(_call(case, twin, inputs), expected)
        own = {tensor.data_ptr() for _, tensor in _tensors_of(layer) if tensor.numel()}
        assert not own & {tensor.data_ptr() for _, tensor in _tensors_of(twin)}
