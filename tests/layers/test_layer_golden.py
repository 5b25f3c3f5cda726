"""Layers have the published parameters and compute the published numbers (weights by formula, float64, evaluation)."""

import pytest
import torch

from tests import reference
from tests.fill import digest, fill_model, hash_uniform
from timm import layers

ENTRIES = reference.load('layers')
FUNCTIONS = ENTRIES['functions']

# Entries whose layers are still to be written. A test fails when one of them has come into existence.
NOT_YET: set[str] = set()


def _input(shape):
    name = 'layer/x' + 'x'.join(str(size) for size in shape)
    return hash_uniform(name, torch.Size(shape).numel()).reshape(shape) * 3**0.5


def _evaluate(expression):
    return eval(expression, {**vars(layers), 'L': layers, 'torch': torch})


def _build(entry):
    """The layer of an entry, filled, and the function that is called on the entry's input."""
    routed = entry.endswith('(x, routing)')
    constructor, _, method = entry.removesuffix('(x, routing)').partition(').get_')
    module = _evaluate(constructor + (')' if method else ''))
    module = fill_model(module.double().eval())
    if method:
        return module, getattr(module, f'get_{method}')
    if routed:
        return module, lambda x: module(x, hash_uniform('layer/route', 8).reshape(2, 4).sigmoid())
    return module, module


def _assert_digest(value, expected):
    got = digest(value)
    assert got['shape'] == expected['shape']
    assert got['rms'] == pytest.approx(expected['rms'], rel=1e-6)
    assert got['proj'] == pytest.approx(expected['proj'], rel=1e-6, abs=1e-6 * expected['rms'])


@pytest.mark.parametrize('entry', [e for e in ENTRIES if e != 'functions' and e not in NOT_YET])
def test_layer_has_published_parameters_and_numbers(entry):
    expected = ENTRIES[entry]
    module, function = _build(entry)
    assert [[name, list(value.shape)] for name, value in module.state_dict().items()] == expected['state']
    with torch.no_grad():
        output = function() if expected['input'] is None else function(_input(expected['input']))
    if 'output' not in expected:
        values = output if isinstance(output, (tuple, list)) else [output]
        assert all(value.isfinite().all() for value in values)
    elif isinstance(expected['output'], list):
        for value, part in zip(output, expected['output'], strict=True):
            _assert_digest(value, part)
    else:
        _assert_digest(output, expected['output'])


@pytest.mark.parametrize('entry', sorted(NOT_YET))
def test_layer_that_exists_is_not_listed_as_missing(entry):
    with pytest.raises((NameError, ValueError)):
        _build(entry)  # once this raises nothing, take the entry off NOT_YET


def _position_embedding():
    return hash_uniform('fn/pos', 50 * 16).reshape(1, 50, 16)


def _table(position_index):
    return position_index.tolist()


CALLS = {
    'resample_abs_pos_embed(posemb(1,50,16), new_size=(9, 12), num_prefix_tokens=1)': lambda: (
        layers.resample_abs_pos_embed(_position_embedding(), new_size=(9, 12), num_prefix_tokens=1)
    ),
    'resample_abs_pos_embed_nhwc(posemb(1,7,7,16), new_size=(9, 12))': lambda: layers.resample_abs_pos_embed_nhwc(
        _position_embedding()[:, 1:].reshape(1, 7, 7, 16), new_size=(9, 12)
    ),
    'resample_patch_embed(weight(16,3,8,8), new_size=(12, 12))': lambda: layers.resample_patch_embed(
        hash_uniform('fn/patch', 16 * 3 * 8 * 8).reshape(16, 3, 8, 8), new_size=(12, 12)
    ),
    'build_sincos2d_pos_embed((7, 9), dim=32)': lambda: layers.build_sincos2d_pos_embed((7, 9), dim=32),
    'build_fourier_pos_embed((7, 9), num_bands=8)': lambda: layers.build_fourier_pos_embed((7, 9), num_bands=8),
    'gen_relative_position_index((4, 5))': lambda: _table(layers.gen_relative_position_index((4, 5))),
    'gen_relative_position_index((4, 4), class_token=True)': lambda: _table(
        layers.gen_relative_position_index((4, 4), class_token=True)
    ),
    'resize_rel_pos_bias_table(table(169,4)->(7x7 to 9x9))': lambda: layers.resize_rel_pos_bias_table(
        hash_uniform('fn/rel', 169 * 4).reshape(169, 4), (9, 9), (289, 4)
    ),
    'make_divisible': lambda: [
        [value, divisor, layers.make_divisible(value, divisor)] for value, divisor, _ in FUNCTIONS['make_divisible']
    ],
    'calculate_drop_path_rates(0.2, [2, 3, 4], stagewise=True)': lambda: layers.calculate_drop_path_rates(
        0.2, [2, 3, 4], stagewise=True
    ),
    'calculate_drop_path_rates(0.2, 6)': lambda: layers.calculate_drop_path_rates(0.2, 6),
}
FUNCTIONS_NOT_YET: set[str] = set()


def _assert_like(value, expected):
    if isinstance(expected, dict):
        _assert_digest(value, expected)
    elif isinstance(expected, list):
        for item, expected_item in zip(value, expected, strict=True):
            _assert_like(item, expected_item)
    else:
        assert value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('call', [c for c in FUNCTIONS if c not in FUNCTIONS_NOT_YET])
def test_function_gives_published_numbers(call):
    _assert_like(CALLS[call](), FUNCTIONS[call])


@pytest.mark.parametrize('call', sorted(FUNCTIONS_NOT_YET))
def test_function_that_exists_is_not_listed_as_missing(call):
    with pytest.raises(AttributeError):
        CALLS[call]()  # once this raises nothing, take the call off FUNCTIONS_NOT_YET
