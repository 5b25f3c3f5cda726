"""Clipping of gradients and scaling of losses."""

import pytest
import torch
from torch import nn

from tests import reference
from tests.fill import digest
from tests.optim.problem import Problem
from timm.utils import ApexScaler, NativeScaler, adaptive_clip_grad, dispatch_clip_grad
from timm.utils.agc import unitwise_norm

CASES = {
    'agc(clip_factor=0.01)': lambda params: adaptive_clip_grad(params, clip_factor=0.01),
    'clip_grad(mode=norm,value=1.0)': lambda params: dispatch_clip_grad(params, 1.0, mode='norm'),
    'clip_grad(mode=value,value=0.3)': lambda params: dispatch_clip_grad(params, 0.3, mode='value'),
    'clip_grad(mode=agc,value=0.02)': lambda params: dispatch_clip_grad(params, 0.02, mode='agc'),
}


@pytest.mark.parametrize('case', CASES)
def test_clipped_gradients_are_those_of_the_reference(case):
    problem = Problem()
    (50 * problem.loss()).backward()
    CASES[case](list(problem.parameters()))
    for name, expected in reference.load('training')[case].items():
        found = digest(getattr(problem, name).grad)
        assert found['rms'] == pytest.approx(expected['rms'], rel=1e-9)
        assert found['proj'] == pytest.approx(expected['proj'], rel=1e-9)


def test_adaptive_clipping_looks_at_each_unit_by_itself():
    weight = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    weight.grad = torch.tensor([[0.03, 0.04], [0.3, 0.4]])
    adaptive_clip_grad(weight, clip_factor=0.1, eps=0.1)
    torch.testing.assert_close(weight.grad, torch.tensor([[0.03, 0.04], [0.006, 0.008]]))
    assert unitwise_norm(torch.ones(5, 4, 3)).shape == (5, 1, 1)
    assert unitwise_norm(torch.ones(4)).item() == 2


def test_small_gradients_and_missing_ones_are_left_alone():
    params = [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))]
    params[0].grad = torch.full((2, 2), 1e-4)
    before = params[0].grad.clone()
    for mode in ('norm', 'value', 'agc'):
        dispatch_clip_grad(params, 0.1, mode=mode)
    assert torch.equal(params[0].grad, before)
    assert params[1].grad is None


def test_unknown_modes_are_refused():
    with pytest.raises(ValueError, match="mode='max'"):
        dispatch_clip_grad([nn.Parameter(torch.ones(2))], 0.1, mode='max')


def test_a_share_below_zero_is_refused():
    with pytest.raises(ValueError, match='clip_factor=-1'):
        adaptive_clip_grad([torch.ones(2)], -1)


def test_a_scaled_step_is_the_plain_step():
    plain, scaled = nn.Linear(3, 2), nn.Linear(3, 2)
    scaled.load_state_dict(plain.state_dict())
    x = torch.linspace(-1, 1, 12).view(4, 3)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    plain(x).square().sum().backward()
    torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
    optimizer.step()

    scaler = NativeScaler(device='cpu')
    optimizer = torch.optim.SGD(scaled.parameters(), lr=0.1)
    loss = scaled(x).square().sum() / 2
    scaler(loss, optimizer, need_update=False)
    loss = scaled(x).square().sum() / 2
    scaler(loss, optimizer, clip_grad=0.5, parameters=scaled.parameters())
    torch.testing.assert_close(scaled.weight, plain.weight)


def test_a_step_with_infinite_gradients_is_left_out_and_the_scale_falls():
    layer = nn.Linear(2, 1)
    before = layer.weight.detach().clone()
    scaler = NativeScaler(device='cpu')
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    scaler((layer(torch.ones(1, 2)) * float('inf')).sum(), optimizer)
    assert torch.equal(layer.weight, before)
    state = scaler.state_dict()
    assert state['scale'] == 2.0**15
    other = NativeScaler(device='cpu')
    other.load_state_dict(state)
    assert other.state_dict() == state
    assert NativeScaler.state_dict_key == 'amp_scaler'


def test_a_scaler_without_its_device_passes_through(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    layer = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    before = layer.weight.detach().clone()
    NativeScaler()(layer(torch.ones(1, 2)).sum(), optimizer)
    torch.testing.assert_close(layer.weight, before - 0.1)


def test_clipping_needs_to_know_what():
    layer = nn.Linear(2, 1)
    with pytest.raises(ValueError, match='clip_grad=1'):
        NativeScaler('cpu')(layer(torch.ones(1, 2)).sum(), torch.optim.SGD(layer.parameters()), clip_grad=1.0)


def test_the_scaler_of_apex_says_what_to_use_instead():
    with pytest.raises(ImportError, match='NativeScaler'):
        ApexScaler()
