"""Switches, small helpers and the types that other layers share."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from timm import layers
from timm.layers.typing import nullwrap


@pytest.mark.parametrize(
    ('setting', 'read'),
    [
        (layers.set_scriptable, layers.is_scriptable),
        (layers.set_exportable, layers.is_exportable),
        (layers.set_no_jit, layers.is_no_jit),
    ],
)
def test_switch_acts_at_once_and_is_restored_at_the_end_of_a_with_block(setting, read):
    assert not read()
    with setting(True):
        assert read()
        with setting(False):
            assert not read()
        assert read()
    assert not read()
    undo = setting(True)
    assert read()
    undo.__exit__(None, None, None)
    assert not read()


def test_several_switches_flip_together_and_none_leaves_one_alone():
    with layers.set_exportable(True):
        with layers.set_layer_config(scriptable=True, no_jit=True):
            assert layers.is_scriptable()
            assert layers.is_no_jit()
            assert layers.is_exportable()
            layers.set_exportable(False)
        assert not layers.is_scriptable()
        assert not layers.is_exportable()  # not one of those set, so not restored


def test_switches_are_restored_after_an_error():
    with pytest.raises(RuntimeError), layers.set_layer_config(scriptable=True):
        raise RuntimeError
    assert not layers.is_scriptable()


def test_fused_attention_has_an_experimental_level_and_gives_way_to_export():
    try:
        layers.set_fused_attn(True)
        assert layers.use_fused_attn()
        assert not layers.use_fused_attn(experimental=True)
        layers.set_fused_attn(True, experimental=True)
        assert layers.use_fused_attn(experimental=True)
        with layers.set_exportable(True):
            assert not layers.use_fused_attn()
        layers.set_fused_attn(False)
        assert not layers.use_fused_attn()
    finally:
        layers.set_fused_attn(True)


def _with_environment(code, **variables):
    return subprocess.run(
        [sys.executable, '-c', f'from timm.layers.config import *\n{code}'],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_environment_decides_at_import():
    code = 'print(use_fused_attn(), use_fused_attn(experimental=True), use_reentrant_ckpt())'
    done = _with_environment(code, TIMM_FUSED_ATTN='2', TIMM_REENTRANT_CKPT='1')
    assert done.stdout.split() == ['True', 'True', 'True'], done.stderr
    done = _with_environment('', TIMM_FUSED_ATTN='maybe')
    assert "TIMM_FUSED_ATTN='maybe'" in done.stderr


def test_tuples_of_a_fixed_length():
    assert layers.to_2tuple(3) == (3, 3)
    assert layers.to_2tuple([1, 2, 3]) == (1, 2, 3)
    assert layers.to_4tuple('ab') == ('ab',) * 4
    assert layers.to_ntuple(1)(None) == (None,)
    assert layers.extend_tuple([1, 2], 4) == (1, 2, 2, 2)
    assert layers.extend_tuple((1, 2, 3), 2) == (1, 2)
    assert layers.extend_tuple(5, 2) == (5, 5)
    with pytest.raises(ValueError, match='empty'):
        layers.extend_tuple([], 2)


def test_channel_counts_round_to_a_multiple_but_not_far_down():
    assert [layers.make_divisible(v) for v in (1, 10, 11, 12, 19, 100)] == [8, 16, 16, 16, 24, 104]
    assert layers.make_divisible(37, 16, round_limit=0.0) == 32
    assert layers.make_divisible(10, 8, min_value=32) == 32


def test_device_and_dtype_come_from_the_module_unless_asked_for():
    linear = nn.Linear(2, 2, dtype=torch.float64)
    assert layers.get_device_dtype(linear) == {'device': torch.device('cpu'), 'dtype': torch.float64}
    assert layers.get_device_dtype(linear, 'meta', torch.half) == {'device': 'meta', 'dtype': torch.half}
    assert layers.get_device_dtype(nn.Identity()) == {'device': None, 'dtype': None}


def test_exporting_is_seen_inside_export_only():
    class Tell(nn.Module):
        def forward(self, x):
            return x + 1 if layers.is_exporting() else x

    x = torch.zeros(1)
    assert Tell()(x) == 0
    assert torch.export.export(Tell(), (x,)).module()(x) == 1
    assert not torch.jit.script(layers.is_exporting)()


def test_nullwrap_is_an_empty_decorator_and_context():
    def one():
        return 1

    assert nullwrap(one) is one
    assert nullwrap()(one)() == 1
    with nullwrap():
        pass


def test_all_lists_exactly_what_is_imported():
    public = {name for name, value in vars(layers).items() if name[0] != '_' and not _is_submodule(value)}
    assert public == set(layers.__all__)
    assert layers._float_to_int(2.7) == 2
    with pytest.raises(AssertionError):
        layers._assert(False, 'no')


def _is_submodule(value):
    return type(value) is type(torch)
