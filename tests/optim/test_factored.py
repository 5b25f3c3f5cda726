"""Both Adafactors against the algorithm of the paper, written out for one parameter."""

import math
import pickle

import pytest
import torch
from torch import nn

from tests.optim.forms import assert_close, paths, take_form, values, walk
from timm.optim import Adafactor, AdafactorBigVision

# Two of a shape, so that lists make stacks of them; a convolution; dimensions to find; some too small to be factored.
SHAPES = ((20, 30), (20, 30), (24, 18, 3, 3), (2, 40, 50), (30, 24), (16, 17), (8, 6), (7,), ())
STARTS = [values(f'start {i}', shape) for i, shape in enumerate(SHAPES)]
GRADIENTS = [[values(f'gradient {i} {step}', shape) for step in range(5)] for i, shape in enumerate(SHAPES)]


def rms(x):
    return x.square().mean().sqrt()


def careful(update, grad):
    agrees = (update * grad > 0).double()
    return update * agrees / agrees.mean().clamp(min=1e-3)


def normalized(grad, second, dims, beta2, eps):
    """Gradient over the root of its second moment, and that moment, whole or as means over either of `dims`."""
    squares = grad**2 + eps
    if dims is None:
        second = [beta2 * second[0] + (1 - beta2) * squares]
        return grad / second[0].sqrt(), second
    row_dim, col_dim = dims
    rows = beta2 * second[0] + (1 - beta2) * squares.mean(col_dim, keepdim=True)
    cols = beta2 * second[1] + (1 - beta2) * squares.mean(row_dim, keepdim=True)
    return grad / (rows * cols / rows.mean(row_dim, keepdim=True)).sqrt(), [rows, cols]


def adafactor_path(
    start,
    grads,
    lr=None,
    eps=1e-30,
    eps_scale=1e-3,
    clip_threshold=1.0,
    decay_rate=-0.8,
    betas=None,
    weight_decay=0.0,
    scale_parameter=True,
    warmup_init=False,
    min_dim_size_to_factor=16,
    caution=False,
):
    p, second, momentum, dims = start.clone(), [0.0, 0.0], 0.0, None
    if p.ndim >= 2 and min(p.shape[-2:]) > min_dim_size_to_factor:
        dims = p.ndim - 2, p.ndim - 1
    if p.ndim > 2 and min(p.shape[:2]) > min_dim_size_to_factor:
        dims = 0, 1
    for t, grad in enumerate(grads, start=1):
        rate = lr
        if lr is None:
            rate = min(1e-6 * t if warmup_init else 1e-2, 1 / math.sqrt(t))
            rate *= max(eps_scale, rms(p)) if scale_parameter else 1.0
        update, second = normalized(grad, second, dims, 1 - t**decay_rate, eps)
        update = rate * update / max(1.0, rms(update) / clip_threshold)
        if betas is not None:
            momentum = betas[0] * momentum + (1 - betas[0]) * update
            update = careful(momentum, grad) if caution else momentum
        p = p - weight_decay * rate * p - update
    return p


def big_vision_path(
    start,
    grads,
    lr=1.0,
    min_dim_size_to_factor=16,
    decay_rate=0.8,
    decay_offset=0,
    beta2_cap=0.999,
    momentum=0.9,
    momentum_dtype=None,
    eps=1e-30,
    weight_decay=0.0,
    clipping_threshold=None,
    unscaled_wd=False,
    caution=False,
    corrected_weight_decay=False,
    rates=None,
):
    p, second, average, dims = start.clone(), [0.0, 0.0], torch.zeros_like(start), None
    by_size = sorted(range(p.ndim), key=lambda dim: p.shape[dim])
    if p.ndim >= 2 and p.shape[by_size[-2]] >= min_dim_size_to_factor:
        dims = by_size[-2], by_size[-1]
    for t, grad in enumerate(grads, start=1):
        rate = lr if rates is None else rates[t - 1]
        beta2 = min(beta2_cap, 1 - max(t - decay_offset, 1) ** -decay_rate)
        update, second = normalized(grad, second, dims, beta2, eps)
        if clipping_threshold is not None:
            update = update / max(1.0, rms(update) / clipping_threshold)
        if momentum is not None:
            average = momentum * average + (1 - momentum) * update
            update = average
        if caution:
            update = careful(update, grad)
        decay = weight_decay * (rate / lr if corrected_weight_decay else 1.0)
        p = p - decay * (1.0 if unscaled_wd else rate) * p - rate * update
    return p


@pytest.mark.parametrize('form', ['fused', 'lists'])
@pytest.mark.parametrize(
    'args',
    [
        dict(),
        dict(scale_parameter=False, weight_decay=0.1),
        dict(warmup_init=True, eps_scale=2.0),
        dict(weight_decay=0.1, betas=(0.8, 0.9)),
        dict(lr=0.02),
        dict(lr=0.02, weight_decay=0.1, clip_threshold=0.3),
        dict(lr=0.02, betas=(0.9, 0.999), caution=True, weight_decay=0.1),
        dict(lr=0.02, decay_rate=-0.5, eps=1e-3),
        dict(lr=0.02, min_dim_size_to_factor=2),
        dict(lr=0.02, min_dim_size_to_factor=64),
    ],
)
def test_adafactor_takes_the_steps_of_the_paper(monkeypatch, form, args):
    take_form(monkeypatch, form)
    assert_close(walk(Adafactor, STARTS, GRADIENTS, **args), paths(adafactor_path, STARTS, GRADIENTS, **args))


@pytest.mark.parametrize('form', ['fused', 'lists'])
@pytest.mark.parametrize(
    'args',
    [
        dict(momentum=None),
        dict(),
        dict(momentum=0.5, weight_decay=0.1),
        dict(momentum=None, weight_decay=0.1, unscaled_wd=True),
        dict(clipping_threshold=0.3),
        dict(caution=True),
        dict(momentum=None, caution=True, eps=1e-3),
        dict(decay_rate=0.5, decay_offset=3),
        dict(decay_offset=-2, beta2_cap=0.6),
        dict(min_dim_size_to_factor=2),
        dict(weight_decay=0.1, corrected_weight_decay=True, rates=(0.02, 0.01, 0.03, 0.005, 0.01)),
        dict(weight_decay=0.1, unscaled_wd=True, corrected_weight_decay=True, rates=(0.02, 0.01, 0.03, 0.005, 0.01)),
    ],
)
def test_adafactor_of_big_vision_takes_the_steps_of_the_paper(monkeypatch, form, args):
    take_form(monkeypatch, form)
    args = dict(lr=0.02, momentum_dtype=None, **args)
    found = walk(AdafactorBigVision, STARTS, GRADIENTS, **args)
    assert_close(found, paths(big_vision_path, STARTS, GRADIENTS, **args))


def test_momentum_in_half_precision_costs_little():
    found = walk(AdafactorBigVision, STARTS, GRADIENTS, lr=0.02)
    assert_close(found, paths(big_vision_path, STARTS, GRADIENTS, lr=0.02), rtol=0, atol=5 * 0.02 * 2**-8)


def test_relative_steps_tell_their_rate():
    p = nn.Parameter(torch.full((3,), 0.5))
    optimizer = Adafactor([p])
    p.grad = torch.ones(3)
    optimizer.step()
    assert float(optimizer.param_groups[0]['lr']) == pytest.approx(0.01 * 0.5)
    plain = Adafactor([p], scale_parameter=False)
    plain.step()
    assert plain.param_groups[0]['lr'] == 0.01


@pytest.mark.parametrize(
    ('shape', 'sizes'),
    [
        ((20, 30), [(20,), (30,)]),
        ((40, 20, 3, 3), [(40, 3, 3), (20, 3, 3)]),
        ((2, 40, 50), [(2, 40), (2, 50)]),
        ((17, 16, 30, 40), [(17, 16, 30), (17, 16, 40)]),
        ((16, 17), [(16, 17)]),
        ((40, 3, 50), [(40, 3, 50)]),
        ((), [()]),
    ],
)
def test_adafactor_keeps_the_published_state(shape, sizes):
    p = nn.Parameter(torch.ones(shape))
    optimizer = Adafactor([p], lr=0.1, betas=(0.9, 0.9))
    p.grad = torch.ones(shape)
    optimizer.step()
    state = optimizer.state_dict()['state'][0]
    moments = ['exp_avg_sq_row', 'exp_avg_sq_col'] if len(sizes) == 2 else ['exp_avg_sq']
    assert list(state) == ['step', 'exp_avg', *moments, 'RMS']
    assert [tuple(state[name].shape) for name in moments] == sizes
    assert (state['step'], tuple(state['RMS'].shape), float(state['RMS'])) == (1, (), 1.0)


@pytest.mark.parametrize(
    ('shape', 'sizes'),
    [
        ((16, 16), [(16, 1), (1, 16)]),
        ((17, 16), [(1, 16), (17, 1)]),
        ((40, 20, 3, 3), [(1, 20, 3, 3), (40, 1, 3, 3)]),
        ((20, 40, 40), [(20, 40, 1), (20, 1, 40)]),
        ((30, 20, 30), [(30, 20, 1), (1, 20, 30)]),
        ((40, 15, 3), [(40, 15, 3)]),
    ],
)
def test_adafactor_of_big_vision_keeps_the_published_state(shape, sizes):
    p = nn.Parameter(torch.ones(shape))
    optimizer = AdafactorBigVision([p], lr=0.1)
    p.grad = torch.ones(shape)
    optimizer.step()
    state = optimizer.state_dict()['state'][0]
    moments = ['exp_avg_sq_r', 'exp_avg_sq_c'] if len(sizes) == 2 else ['exp_avg_sq']
    assert list(state) == ['step', *moments, 'exp_avg']
    assert [tuple(state[name].shape) for name in moments] == sizes
    assert state['exp_avg'].dtype == torch.bfloat16
    assert (state['step'].dtype, float(state['step'])) == (torch.float32, 1.0)


@pytest.mark.parametrize(
    ('optimizer_class', 'args', 'names', 'dtype'),
    [
        (Adafactor, dict(lr=0.1, betas=(0.9, 0.9)), ('exp_avg', 'exp_avg_sq_row', 'exp_avg_sq_col'), torch.float32),
        (AdafactorBigVision, dict(momentum_dtype='float32'), ('exp_avg',), torch.float32),
        (AdafactorBigVision, dict(momentum_dtype=torch.float16), ('exp_avg',), torch.float16),
        (AdafactorBigVision, dict(momentum_dtype=None), ('exp_avg', 'exp_avg_sq_r'), torch.bfloat16),
    ],
)
def test_state_of_half_precision_weights_keeps_its_dtype_when_reloaded(optimizer_class, args, names, dtype):
    p = nn.Parameter(torch.ones(20, 30, dtype=torch.bfloat16))
    p.grad = torch.rand_like(p)
    optimizer, reloaded = (optimizer_class([p], **args) for _ in range(2))
    optimizer.step()
    reloaded.load_state_dict(optimizer.state_dict())
    for one in (optimizer, reloaded):
        assert all(one.state[p][name].dtype == dtype for name in names)
    for name in names:
        assert torch.equal(optimizer.state[p][name], reloaded.state[p][name])


def test_half_precision_weights_move_as_far_as_float32_ones():
    # A step below half a unit in the last place is lost, so the steps are larger here; each is rounded once.
    starts, grads = [STARTS[0]], [GRADIENTS[0]]
    (found,) = walk(Adafactor, starts, grads, dtype=torch.bfloat16, lr=0.5)
    start, gradients = starts[0].bfloat16().double(), [grad.bfloat16().double() for grad in grads[0]]
    assert_close(found.double(), adafactor_path(start, gradients, lr=0.5), rtol=0, atol=5 * 2**-7)


def test_copies_are_independent_and_go_on():
    p = nn.Parameter(torch.ones(20, 30))
    p.grad = torch.rand_like(p)
    optimizer = Adafactor([p], lr=0.1)
    optimizer.step()
    copied = pickle.loads(pickle.dumps(optimizer))
    assert copied.state_dict()['state'][0]['step'] == 1
    optimizer.step()
    assert copied.state_dict()['state'][0]['step'] == 1


@pytest.mark.parametrize(
    ('optimizer_class', 'args', 'message'),
    [
        (Adafactor, dict(clip_threshold=0.0), 'clip_threshold=0.0'),
        (Adafactor, dict(decay_rate=0.8), 'decay_rate=0.8'),
        (Adafactor, dict(lr=0.1, warmup_init=True), 'lr=0.1'),
        (Adafactor, dict(eps_scale=-1.0), 'eps_scale=-1.0'),
        (AdafactorBigVision, dict(momentum=1.0), 'momentum=1.0'),
        (AdafactorBigVision, dict(beta2_cap=1.5), 'beta2_cap=1.5'),
        (AdafactorBigVision, dict(decay_rate=-0.8), 'decay_rate=-0.8'),
        (AdafactorBigVision, dict(clipping_threshold=0), 'clipping_threshold=0'),
        (AdafactorBigVision, dict(momentum_dtype='int8'), "momentum_dtype='int8'.*bfloat16"),
    ],
)
def test_impossible_values_are_refused(optimizer_class, args, message):
    with pytest.raises(ValueError, match=message):
        optimizer_class([nn.Parameter(torch.ones(2))], **args)
