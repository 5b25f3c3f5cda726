"""Muon and AdaMuon: the iteration against singular values, the rules against their papers, what is updated by which."""

import logging
import math

import pytest
import torch
import torch.distributed
from torch import nn

from tests.optim.forms import assert_close, take_form, values, walk
from timm.optim import Muon
from timm.optim.muon import (
    COEFFICIENTS,
    DEFAULT_NS_STEPS,
    MUON_EPS,
    get_adamuon_lr_scale,
    get_lr_scale,
    reshape_for_muon,
    resolve_ns_coefficients,
    scale_eps_for_ns,
    zeropower_via_newtonschulz,
)

SHAPES = ((8, 6), (8, 6), (6, 9), (8, 4, 3, 3), (8, 4, 3, 3), (7,), (1, 5))
STARTS = [values(f'start {i}', shape) for i, shape in enumerate(SHAPES)]
GRADIENTS = [[values(f'gradient {i} {step}', shape) for step in range(4)] for i, shape in enumerate(SHAPES)]


def by_singular_values(matrix, coefficients, steps, floor=1e-7):
    """What the iteration does to each singular value, done to it."""
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    s = s / torch.linalg.vector_norm(s, dim=-1, keepdim=True).clamp(min=floor)
    for step in range(steps):
        a, b, c = coefficients[min(step, len(coefficients) - 1)]
        s = a * s + b * s**3 + c * s**5
    return u * s.unsqueeze(-2) @ vh


def orthogonal(update, conv_mode):
    """The direction of an update by the iteration, in the shape of the weight; and the shape of its matrices."""
    matrix = update
    if update.ndim > 2:
        matrix = update.flatten(1) if conv_mode == 'flatten' else update.flatten(2).permute(2, 0, 1)
    result = zeropower_via_newtonschulz(matrix, 5, COEFFICIENTS['quintic']).to(update.dtype)
    return (result.permute(1, 2, 0) if result.ndim == 3 else result).reshape(update.shape), matrix.shape


def muon_path(w, grads, lr, weight_decay=0.0, momentum=0.95, nesterov=False, **choices):
    """Algorithm 2 of the post, with the learning rate of arXiv:2502.16982 and decoupled decay."""
    scale_by, conv_mode = choices.get('adjust_lr_fn', 'match_rms_adamw'), choices.get('conv_mode', 'flatten')
    m = torch.zeros_like(w)
    for grad in grads:
        m = momentum * m + (1 - momentum) * grad
        update, shape = orthogonal(momentum * m + (1 - momentum) * grad if nesterov else m, conv_mode)
        rows, cols = shape[-2:]
        ratio = {'match_rms_adamw': 0.04 * max(rows, cols), 'original': max(1, rows / cols), 'rms_to_rms': rows / cols}
        ratio[None] = 1.0
        rate = lr * math.sqrt(ratio[scale_by])
        if len(shape) == 3 and choices.get('normalize_spatial', True):
            rate /= math.sqrt(shape[0])
        w = w - lr * weight_decay * w - rate * update
    return w


def adamuon_path(w, grads, lr, weight_decay=0.0, momentum=0.95, nesterov=False, betas=(0.9, 0.95), **choices):
    """Algorithm 1 of arXiv:2507.11005; for other rates with a corrected second moment instead of a norm."""
    scale_by = choices.get('adjust_lr_fn', 'match_rms_adamw')
    m, v = torch.zeros_like(w), torch.zeros_like(w)
    for t, grad in enumerate(grads, 1):
        m = momentum * m + (1 - momentum) * grad
        ahead = momentum * m + (1 - momentum) * grad if nesterov else m
        update, shape = orthogonal(ahead, choices.get('conv_mode', 'flatten'))
        v = betas[1] * v + (1 - betas[1]) * update**2
        positions = shape[0] if len(shape) == 3 and choices.get('normalize_spatial', True) else 1
        if scale_by == 'match_rms_adamw':
            update = update / (v.sqrt() + 1e-7)
            update = 0.2 * math.sqrt(w.numel() / positions) * update / (update.norm() + 1e-7)
        else:
            update = update / ((v / (1 - betas[1] ** t)).sqrt() + 1e-7)
            ratio = {'rms_to_rms': shape[-2] / shape[-1], 'rsqrt_in': 1 / shape[-1], None: 1.0}
            update = math.sqrt(ratio[scale_by] / positions) * update
        w = w - lr * weight_decay * w - lr * update
    return w


def adamw_path(w, grads, lr, weight_decay=0.0, betas=(0.9, 0.95), nesterov=False):
    """AdamW, or with `nesterov` NAdamW as in the AlgoPerf baseline, with Muon's eps."""
    m, v = torch.zeros_like(w), torch.zeros_like(w)
    for t, grad in enumerate(grads, 1):
        m, v = betas[0] * m + (1 - betas[0]) * grad, betas[1] * v + (1 - betas[1]) * grad**2
        ahead = betas[0] * m + (1 - betas[0]) * grad if nesterov else m
        ahead = ahead / (1 - betas[0] ** t)
        w = w - lr * weight_decay * w - lr * ahead / ((v / (1 - betas[1] ** t)).sqrt() + MUON_EPS)
    return w


@pytest.mark.parametrize('preset', list(COEFFICIENTS))
@pytest.mark.parametrize('shape', [(9, 5), (5, 9), (6, 6), (3, 5, 9), (3, 9, 5)])
def test_the_iteration_acts_on_singular_values_alone(preset, shape):
    matrix = values('matrix', shape)
    found = zeropower_via_newtonschulz(matrix, 7, COEFFICIENTS[preset], dtype=torch.float64)
    assert_close(found, by_singular_values(matrix, COEFFICIENTS[preset], 7), atol=1e-10)


@pytest.mark.parametrize(('preset', 'steps'), [('quintic', 5), ('polar_express', 8), ('polar_express_safer', 8)])
def test_presets_bring_singular_values_to_one(preset, steps):
    torch.manual_seed(0)
    singular = torch.linalg.svdvals(
        zeropower_via_newtonschulz(torch.randn(40, 60), steps, COEFFICIENTS[preset], dtype=torch.float64)
    )
    assert singular.min() > 0.9
    assert singular.max() < 1.1


@pytest.mark.parametrize('shape', [(128, 384), (130, 300), (700, 256), (384, 384), (513, 1100)])
@pytest.mark.parametrize('spectrum', ['flat', 'steep'])
def test_large_matrices_in_bfloat16_lose_no_more_than_its_rounding(shape, spectrum):
    # A matrix that is rounded to bfloat16 is off by 2^-9 of its norm, which where its singular values are small turns
    # their vectors; the iteration on the rounded matrix is held against the same in float64.
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    if spectrum == 'steep':
        u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
        matrix = u / torch.arange(1, min(shape) + 1) @ vh
    matrix = matrix.bfloat16().double()
    expected = by_singular_values(matrix, COEFFICIENTS['quintic'], 5)
    found = zeropower_via_newtonschulz(matrix, 5, COEFFICIENTS['quintic']).double()
    assert (found - expected).norm() < (0.015 if spectrum == 'flat' else 0.06) * expected.norm()
    assert torch.linalg.svdvals(found).max() < 1.01 * torch.linalg.svdvals(expected).max() + 0.02


def test_the_norm_before_the_iteration_can_be_limited_and_shifted():
    matrix = values('matrix', (8, 2))
    identity = [(1.0, 0.0, 0.0)]

    def divisor(**args):
        return (matrix / zeropower_via_newtonschulz(matrix, 1, identity, dtype=torch.float64, **args)).mean().item()

    norm = matrix.norm().item()
    assert divisor() == pytest.approx(norm)
    assert divisor(eps=10.0) == pytest.approx(10.0)
    assert divisor(safety_factor=1.5) == pytest.approx(1.5 * norm)
    assert divisor(eps=10.0, scale_eps=True) == pytest.approx(norm + 10.0 * math.sqrt(2 / 8))
    assert scale_eps_for_ns(1e-3, (3, 8, 2)) == pytest.approx(5e-4)
    with pytest.raises(ValueError, match=r'\(8,\) is no matrix'):
        zeropower_via_newtonschulz(torch.ones(8), 1, identity)


@pytest.mark.parametrize('form', ['fused', 'lists'])
@pytest.mark.parametrize(
    'args',
    [
        dict(),
        dict(weight_decay=0.1, momentum=0.5),
        dict(nesterov=True, weight_decay=0.1),
        dict(adjust_lr_fn='rms_to_rms'),
        dict(conv_mode='batched', adjust_lr_fn=None),
        dict(conv_mode='batched'),
        dict(conv_mode='batched', normalize_spatial=False, adjust_lr_fn='rms_to_rms'),
        dict(algo='adamuon', weight_decay=0.1),
        dict(algo='adamuon', nesterov=True, betas=(0.8, 0.9)),
        dict(algo='adamuon', adjust_lr_fn='rms_to_rms', conv_mode='batched'),
        dict(algo='adamuon', adjust_lr_fn='rsqrt_in', conv_mode='batched'),
        dict(algo='adamuon', adjust_lr_fn=None, weight_decay=0.1),
        dict(algo='adamuon', conv_mode='batched', normalize_spatial=False),
    ],
)
def test_steps_are_those_of_the_papers(monkeypatch, form, args):
    take_form(monkeypatch, form)
    # The product of a batch rounds to bfloat16 like those of its matrices, or here and there one unit off.
    tolerance = dict() if form == 'fused' else dict(atol=0.02 * 2**-6)
    path = adamuon_path if args.get('algo') == 'adamuon' else muon_path
    args = dict(lr=0.02, fallback_lr_scale=0.5, **args)
    found = walk(Muon, STARTS, GRADIENTS, **args)
    adam = {name: args[name] for name in ('betas', 'nesterov') if name in args}
    for i, (end, start, grads) in enumerate(zip(found, STARTS, GRADIENTS, strict=True)):
        if SHAPES[i] in ((7,), (1, 5)):
            expected = adamw_path(start, grads, 0.01, args.get('weight_decay', 0.0), **adam)
            assert_close(end, expected)
        else:
            assert_close(end, path(start, grads, **args), **tolerance)


def test_the_original_rate_never_shrinks_a_step():
    assert_close(
        walk(Muon, STARTS[:4], GRADIENTS[:4], adjust_lr_fn='original'),
        [muon_path(*pair, lr=0.02, adjust_lr_fn='original') for pair in zip(STARTS[:4], GRADIENTS[:4], strict=True)],
    )


@pytest.mark.parametrize(
    ('shape', 'is_matrix'),
    [
        ((4, 4), True),
        ((3, 40), False),
        ((40, 3), False),
        ((4, 512), True),
        ((4, 513), False),
        ((64, 3, 3, 3), True),
        ((64, 1, 3, 3), False),
        ((64, 4, 1, 1), True),
        ((64, 1, 1, 1), False),
        ((768, 3, 16, 16), True),
        ((1, 197, 768), False),
        ((4, 57, 3, 3), False),
        ((40, 3, 5), True),
        ((1, 30), False),
        ((5,), False),
        ((), False),
        ((0, 8), False),
    ],
)
def test_matrices_are_told_from_the_rest_by_their_shape(shape, is_matrix):
    p = nn.Parameter(torch.zeros(shape))
    p.grad = torch.zeros(shape)
    optimizer = Muon([p])
    optimizer.step()
    state = optimizer.state_dict()['state'][0]
    assert state['use_muon'] is is_matrix
    assert list(state) == ['use_muon', *(['momentum_buffer'] if is_matrix else ['step', 'exp_avg', 'exp_avg_sq'])]


def test_adamuon_keeps_the_published_state():
    p = nn.Parameter(torch.zeros(8, 6))
    p.grad = torch.ones(8, 6)
    optimizer = Muon([p], algo='adamuon')
    optimizer.step()
    assert list(optimizer.state[p]) == ['use_muon', 'momentum_buffer', 'step', 'exp_avg_sq']


def test_groups_may_choose_the_rule(caplog):
    params = [nn.Parameter(torch.zeros(shape)) for shape in ((8, 6), (8, 6), (3, 40), (8, 6))]
    flags = (dict(use_fallback=True), dict(use_muon=False), dict(use_muon=True), {})
    with caplog.at_level(logging.INFO, logger='timm.optim.muon'):
        optimizer = Muon([dict(params=[p], **flag) for p, flag in zip(params, flags, strict=True)], verbose=True)
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
    assert [optimizer.state[p]['use_muon'] for p in params] == [False, False, True, True]
    assert [record.message.split()[0] for record in caplog.records] == ['adamw', 'adamw', 'muon', 'muon']


def test_a_vector_cannot_be_given_to_muon():
    p = nn.Parameter(torch.zeros(5))
    p.grad = torch.ones(5)
    with pytest.raises(ValueError, match=r'use_muon=True.*\(5,\)'):
        Muon([dict(params=[p], use_muon=True)]).step()


def test_the_rate_of_the_fallback_has_an_old_name():
    with pytest.warns(FutureWarning, match=r'fallback_lr_scale=0\.25'):
        optimizer = Muon([nn.Parameter(torch.zeros(5))], lr=0.04, adamw_lr=0.01)
    assert optimizer.defaults['fallback_lr_scale'] == 0.25
    assert 'adamw_lr' not in optimizer.defaults


@pytest.mark.parametrize(('saved', 'expected'), [(0.02, 1.0), (0.01, 0.5), (None, 1.0)])
def test_states_that_hold_the_rate_of_the_fallback_are_read(saved, expected):
    optimizer = Muon([nn.Parameter(torch.ones(4))], lr=0.02)
    state = optimizer.state_dict()
    group = state['param_groups'][0]
    del group['fallback_lr_scale']
    group.update(lr=2e-4, initial_lr=0.02, adamw_lr=saved)  # in the middle of a warm-up
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]['fallback_lr_scale'] == pytest.approx(expected)


def test_sharded_weights_take_the_steps_of_whole_ones():
    from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

    torch.distributed.init_process_group('gloo', store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        mesh = init_device_mesh('cpu', (1,))
        for algo in ('muon', 'adamuon'):
            ends = []
            for place in (torch.clone, lambda tensor: distribute_tensor(tensor, mesh, [Shard(0)])):
                params = [nn.Parameter(place(start)) for start in STARTS]
                optimizer = Muon(params, algo=algo, weight_decay=0.1)
                for step in range(3):
                    for p, grads in zip(params, GRADIENTS, strict=True):
                        p.grad = place(grads[step])
                    optimizer.step()
                ends.append([p.full_tensor() if hasattr(p, 'full_tensor') else p for p in params])
            assert_close(ends[1], ends[0])
    finally:
        torch.distributed.destroy_process_group()


def test_scales_and_shapes_are_the_published_ones():
    assert (DEFAULT_NS_STEPS, MUON_EPS) == (5, 1e-7)
    assert get_lr_scale((100, 1000)) == pytest.approx(0.2 * math.sqrt(1000))
    assert get_lr_scale((9, 4, 3), 'original') == pytest.approx(math.sqrt(4 / 3))
    assert get_lr_scale((6, 8), 'rms_to_rms') == pytest.approx(math.sqrt(6 / 8))
    assert get_lr_scale((5,)) == pytest.approx(0.2)
    assert get_adamuon_lr_scale((9, 4, 3)) == (pytest.approx(0.2 * math.sqrt(108)), True)
    assert get_adamuon_lr_scale((8, 6), 'rms_to_rms') == (pytest.approx(math.sqrt(8 / 6)), False)
    tensor = torch.arange(24.0).view(4, 3, 2)
    flat, shape = reshape_for_muon(tensor)
    assert (tuple(flat.shape), shape) == ((4, 6), tensor.shape)
    batch, shape = reshape_for_muon(tensor, 'batched')
    assert torch.equal(batch, torch.stack([tensor[..., 0], tensor[..., 1]]))


def test_coefficients_come_by_name_or_as_triples():
    presets = {'a': [(1, 2, 3)]}
    assert resolve_ns_coefficients('a', presets) == [(1.0, 2.0, 3.0)]
    assert resolve_ns_coefficients((1, 2, 3), presets) == [(1.0, 2.0, 3.0)]
    assert resolve_ns_coefficients([(1, 2, 3), [4, 5, 6]], presets) == [(1.0, 2.0, 3.0), (4.0, 5.0, 6.0)]
    for value, message in (('b', "'b' is not one of a"), ([], 'empty'), ([(1, 2)], r'\(1, 2\)'), ((1, 2), 'no triple')):
        with pytest.raises(ValueError, match=message):
            resolve_ns_coefficients(value, presets)
    with pytest.raises(TypeError, match='5'):
        resolve_ns_coefficients(5, presets)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(momentum=1.0), 'momentum=1.0'),
        (dict(eps=-1.0), 'eps=-1.0'),
        (dict(safety_factor=0.0), 'safety_factor=0.0'),
        (dict(ns_steps=0), 'ns_steps=0'),
        (dict(ns_coefficients='cubic'), "'cubic' is not one of .*quintic"),
        (dict(adjust_lr_fn='none'), "adjust_lr_fn='none'.*rms_to_rms"),
        (dict(adjust_lr_fn='original', algo='adamuon'), "adjust_lr_fn='original'"),
        (dict(algo='soap'), "algo='soap'.*adamuon"),
        (dict(conv_mode='skip'), "conv_mode='skip'.*batched"),
        (dict(fallback_lr_scale=-1.0), 'fallback_lr_scale=-1.0'),
        (dict(betas=(0.9, 0.95, 0.99)), 'give two'),
        (dict(lr=0.0, adamw_lr=0.1), 'adamw_lr=0.1'),
    ],
)
def test_impossible_values_are_refused(args, message):
    with pytest.raises(ValueError, match=message):
        Muon([nn.Parameter(torch.zeros(8, 6))], **args)
