"""Optimizers with a rate for each layer: LARS and NovoGrad against their papers."""

import pytest
import torch
from torch import nn

from tests.optim.forms import FORMS, assert_close, paths, take_form, values, walk
from timm.optim import Lars, NvNovoGrad
from timm.optim.lars import lars


def lars_path(w, grads, lr, coeff=1e-3, eps=1e-8, decay=0.0, always=False, clip=False, **momentum):
    """Algorithm 1 of the paper; the momentum is that of torch's SGD."""
    m = None
    beta, dampening, nesterov = (momentum.get(name, 0.0) for name in ('beta', 'dampening', 'nesterov'))
    for g in grads:
        if decay or always:
            ratio = coeff * w.norm() / (g.norm() + decay * w.norm() + eps) if w.norm() * g.norm() > 0 else 1.0
            g = (min(ratio / lr, 1.0) if clip else ratio) * (g + decay * w)
        m = g if m is None else beta * m + (1 - dampening) * g
        w = w - lr * (g + beta * m if nesterov else m)
    return w


LARS_OPTIONS = [
    (dict(), dict()),
    (dict(weight_decay=0.1), dict(decay=0.1)),
    (dict(weight_decay=0.1, momentum=0.9), dict(decay=0.1, beta=0.9)),
    (dict(weight_decay=0.1, momentum=0.9, dampening=0.4), dict(decay=0.1, beta=0.9, dampening=0.4)),
    (dict(weight_decay=0.1, momentum=0.9, nesterov=True), dict(decay=0.1, beta=0.9, nesterov=True)),
    (dict(weight_decay=0.1, trust_clip=True, trust_coeff=0.8), dict(decay=0.1, clip=True, coeff=0.8)),
    (dict(always_adapt=True, momentum=0.5, eps=0.1), dict(always=True, beta=0.5, eps=0.1)),
    (dict(momentum=0.9, nesterov=True), dict(beta=0.9, nesterov=True)),
    # what the fused kernel would round too much, and where a step undoes more than half of the weights
    (dict(weight_decay=0.1, momentum=0.9, trust_coeff=1e-7), dict(decay=0.1, beta=0.9, coeff=1e-7)),
    (
        dict(weight_decay=5.0, momentum=0.9, nesterov=True, trust_coeff=3.0),
        dict(decay=5.0, beta=0.9, nesterov=True, coeff=3.0),
    ),
]


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(('args', 'terms'), LARS_OPTIONS)
def test_lars_follows_its_paper(monkeypatch, form, args, terms):
    take_form(monkeypatch, form)
    assert_close(walk(Lars, lr=0.3, **args), paths(lars_path, lr=0.3, **terms))


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('lr', [0.2, 2.0])
@pytest.mark.parametrize('clip', [False, True])
def test_lars_leaves_zero_weights_and_zero_gradients_unscaled(monkeypatch, form, lr, clip):
    take_form(monkeypatch, form)
    w, g = values('w', (3, 4)), values('g', (3, 4))
    starts, gradients = [w, 0 * w], [[0 * g, g], [g, 0 * g]]
    args = dict(trust_clip=clip, always_adapt=True, weight_decay=0.1)
    found = walk(Lars, starts, gradients, lr=lr, **args)
    assert_close(found, paths(lars_path, starts, gradients, lr=lr, clip=clip, always=True, decay=0.1))


@pytest.mark.parametrize('form', FORMS)
def test_larc_at_a_rate_of_zero_stands_still(monkeypatch, form):
    take_form(monkeypatch, form)
    w = values('w', (3, 4))
    assert_close(walk(Lars, [w], [[w, w]], lr=0.0, weight_decay=0.1, trust_clip=True), [w])


def test_lars_moves_a_layer_by_the_same_share_whatever_the_size_of_its_gradient():
    w, g = values('w', (5, 4)), values('g', (5, 4))
    for scale in (1e-3, 1.0, 1e3):
        (after,) = walk(Lars, [w], [[scale * g]], lr=0.5, trust_coeff=0.02, always_adapt=True)
        assert (after - w).norm() / w.norm() == pytest.approx(0.5 * 0.02, rel=1e-4)


def test_lars_keeps_no_state_without_momentum():
    p = nn.Parameter(torch.ones(3, 2))
    optimizer = Lars([p], weight_decay=0.1)
    p.grad = torch.ones(3, 2)
    optimizer.step()
    assert optimizer.state_dict()['state'] == {}


def test_the_function_hands_back_the_buffers_it_makes():
    w, g = values('w', (3, 4)), values('g', (3, 4))
    buffers = [None]
    args = dict(lr=0.1, dampening=0.5, nesterov=False, trust_coeff=1e-3, eps=1e-8, trust_clip=False, always_adapt=False)
    lars([w.clone()], [g], buffers, momentum=0.9, weight_decay=0.0, **args)
    assert_close(buffers, [g])


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(nesterov=True), 'nesterov=True needs momentum'),
        (dict(nesterov=True, momentum=0.9, dampening=0.1), r'dampening=0\.1'),
        (dict(momentum=-0.5), r'momentum=-0\.5'),
        (dict(trust_coeff=-1.0), r'trust_coeff=-1\.0'),
        (dict(eps=float('nan')), 'eps=nan'),
    ],
)
def test_lars_refuses_impossible_values(args, message):
    with pytest.raises(ValueError, match=message):
        Lars([nn.Parameter(torch.ones(2))], **args)


def novograd_path(w, grads, lr, betas=(0.95, 0.98), eps=1e-8, decay=0.0, averages=False, **switches):
    """Algorithm 1 of the paper without its bias corrections; the second moment is held in float32."""
    m, v, largest = 0 * w, torch.zeros(()), torch.zeros(())
    rates = switches.get('rates') or [lr] * len(grads)
    for g, rate in zip(grads, rates, strict=True):
        square = (g * g).sum()
        v = ((betas[1] * v).double() + (1 - betas[1]) * square if v else square).float()
        largest = torch.maximum(largest, v)
        d = g / ((largest if switches.get('amsgrad') else v).sqrt() + eps)
        if not switches.get('decoupled'):
            d = d + decay * w
        m = betas[0] * m + (1 - betas[0] if averages else 1) * d
        shrinks = rate * rate / lr if switches.get('corrected') else rate
        w = (w - shrinks * decay * w if switches.get('decoupled') else w) - rate * m
    return w


NOVOGRAD_OPTIONS = [
    (dict(), dict()),
    (dict(weight_decay=0.1, betas=(0.8, 0.5), eps=0.3), dict(decay=0.1, betas=(0.8, 0.5), eps=0.3)),
    (dict(weight_decay=0.1, betas=(0.0, 0.5)), dict(decay=0.1, betas=(0.0, 0.5))),
    (dict(weight_decay=0.1, grad_averaging=True), dict(decay=0.1, averages=True)),
    (dict(weight_decay=0.1, amsgrad=True, betas=(0.9, 0.1)), dict(decay=0.1, amsgrad=True, betas=(0.9, 0.1))),
    (dict(weight_decay=0.1, decoupled_decay=True), dict(decay=0.1, decoupled=True)),
    (
        dict(weight_decay=0.1, decoupled_decay=True, corrected_weight_decay=True),
        dict(decay=0.1, decoupled=True, corrected=True),
    ),
]


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(('args', 'terms'), NOVOGRAD_OPTIONS)
def test_novograd_follows_its_paper(monkeypatch, form, args, terms):
    take_form(monkeypatch, form)
    rates = [0.1, 0.08, 0.06, 0.04, 0.02, 0.01]
    found = walk(NvNovoGrad, rates=rates, lr=0.1, **args)
    assert_close(found, paths(novograd_path, rates=rates, lr=0.1, **terms))


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('scale', [0.0, 1e-12, 1.0, 1e12])
def test_novograd_steps_alike_for_gradients_of_any_size_but_zero(monkeypatch, form, scale):
    take_form(monkeypatch, form)
    w, g = values('w', (5, 4)), values('g', (5, 4))
    (after,) = walk(NvNovoGrad, [w], [[scale * g]], lr=0.5, eps=0.0)
    torch.testing.assert_close(w - after, 0.5 * g / g.norm() if scale else 0 * g, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('form', FORMS)
def test_novograd_starts_with_the_first_gradient_that_is_not_zero(monkeypatch, form):
    take_form(monkeypatch, form)
    w, g = values('w', (5, 4)), values('g', (5, 4))
    (after,) = walk(NvNovoGrad, [w], [[0 * g, 0 * g, g]], lr=0.5)
    torch.testing.assert_close(w - after, 0.5 * g / g.norm(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32, torch.float64])
def test_novograd_keeps_its_second_moment_in_float32_through_a_reload(dtype):
    p = nn.Parameter(values('p', (5, 4)).to(dtype))
    optimizer = NvNovoGrad([p], amsgrad=True)
    p.grad = values('g', (5, 4)).to(dtype)
    optimizer.step()
    reloaded = NvNovoGrad([p], amsgrad=True)
    reloaded.load_state_dict(optimizer.state_dict())
    for name in ('exp_avg_sq', 'max_exp_avg_sq'):
        assert reloaded.state[p][name].dtype == torch.float32
        assert reloaded.state[p][name].shape == ()
        assert torch.equal(reloaded.state[p][name], optimizer.state[p][name])
    assert reloaded.state[p]['exp_avg'].dtype == dtype
    assert reloaded.state[p]['step'] == 1
