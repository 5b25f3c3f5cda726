"""Optimizers that leave the norm of scale-invariant weights alone: AdamP and SGDP against their paper."""

import functools

import pytest
import torch
from torch import nn

from tests.optim.forms import FORMS, STARTS, assert_close, paths, take_form, values, walk
from timm.optim import SGDP, AdamP
from timm.optim.adamp import projection
from timm.optim.sgdp import required


def tangential(w, x, eps=1e-8):
    """`x` without its part along the rows of `w`."""
    n = w / (w.norm(dim=1, keepdim=True) + eps)
    return x - n * (n * x).sum(dim=1, keepdim=True)


def cautious(u, g):
    """Liang et al., arXiv:2411.16085, algorithm 1."""
    agrees = (u * g > 0).double()
    return u * agrees / agrees.mean().clamp(min=1e-3)


def project(w, g, u, delta, wd_ratio, eps, caution):
    """The projection of the paper, by rows or else as a whole: the update, and what the decay is multiplied by."""
    for rows in (len(w), 1) if w.ndim > 1 else ():
        flat, grad, update = (x.reshape(rows, -1) for x in (w, g, u))
        cosines = (flat * grad).sum(1) / (flat.norm(dim=1).clamp(min=eps) * grad.norm(dim=1).clamp(min=eps))
        if cosines.abs().max() < delta / flat.shape[1] ** 0.5:
            update = tangential(flat, update, eps)
            if caution:  # what turns the weights is judged, and what is left of it must still only turn them
                update = tangential(flat, cautious(update, tangential(flat, grad, eps)), eps)
            return update.view_as(w), wd_ratio
    return cautious(u, g) if caution else u, 1.0


def adamp_path(w, grads, lr, betas=(0.9, 0.999), eps=1e-8, decay=0.0, delta=0.1, wd_ratio=0.1, **switches):
    """Algorithm 2 of the paper."""
    m, v = 0 * w, 0 * w
    beta1, beta2 = betas
    for t, g in enumerate(grads, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        ahead = beta1 * m + (1 - beta1) * g if switches.get('nesterov') else m
        u = ahead / ((v / (1 - beta2**t)).sqrt() + eps)
        u, ratio = project(w, g, u, delta, wd_ratio, eps, switches.get('caution'))
        w = w - lr * decay * ratio * w - lr / (1 - beta1**t) * u
    return w


def sgdp_path(w, grads, lr, beta=0.0, dampening=0.0, eps=1e-8, decay=0.0, delta=0.1, wd_ratio=0.1, **switches):
    """Algorithm 1 of the paper."""
    m = 0 * w
    for g in grads:
        m = beta * m + (1 - dampening) * g
        u = g + beta * m if switches.get('nesterov') else m
        u, ratio = project(w, g, u, delta, wd_ratio, eps, switches.get('caution'))
        w = w - lr * decay * ratio / (1 - beta) * w - lr * u
    return w


@functools.cache
def gradients(kind):
    """Gradients for STARTS: any, or at a right angle to rows or to the whole."""
    columns = []
    for w in STARTS:
        rows = w.shape[0] if kind == 'by row' and w.ndim > 1 else 1
        grads = [values(f'gradient {step}', w.shape) for step in range(6)]
        flat = w.reshape(rows, -1)
        columns.append(grads if kind == 'any' else [tangential(flat, g.reshape(rows, -1)).view_as(w) for g in grads])
    return columns


def share_projected(kind, delta):
    """How many of the matrices among STARTS the formula projects at first, out of three."""
    firsts = [grads[0] for grads in gradients(kind)]
    return sum(project(w, g, g, delta, 0.5, 1e-8, False)[1] == 0.5 for w, g in zip(STARTS, firsts, strict=True))


KINDS = ('any', 'by row', 'whole')
COMMON = [
    (dict(), dict()),
    (dict(weight_decay=0.1, nesterov=True), dict(decay=0.1, nesterov=True)),
    (dict(weight_decay=0.1, wd_ratio=0.5, eps=1e-2), dict(decay=0.1, wd_ratio=0.5, eps=1e-2)),
    (dict(weight_decay=0.1, delta=1.5), dict(decay=0.1, delta=1.5)),
    (dict(weight_decay=0.1, caution=True), dict(decay=0.1, caution=True)),
    (
        dict(weight_decay=0.1, caution=True, nesterov=True, delta=1.5),
        dict(decay=0.1, caution=True, nesterov=True, delta=1.5),
    ),
]


def test_the_gradients_of_these_tests_meet_every_case():
    assert share_projected('any', 0.1) < 3
    assert share_projected('by row', 0.1) == 3
    assert share_projected('whole', 0.1) >= 1
    rows = [
        (w * g).flatten(1).sum(1).abs().max()
        for w, (g, *_) in zip(STARTS, gradients('whole'), strict=True)
        if w.ndim > 1
    ]
    assert max(rows) > 0.1, 'only the whole is at a right angle'


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(('args', 'terms'), [*COMMON, (dict(betas=(0.5, 0.8)), dict(betas=(0.5, 0.8)))])
def test_adamp_follows_its_paper(monkeypatch, form, kind, args, terms):
    take_form(monkeypatch, form)
    found = walk(AdamP, gradients=gradients(kind), lr=0.05, **args)
    assert_close(found, paths(adamp_path, gradients=gradients(kind), lr=0.05, **terms))


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(('momentum', 'dampening'), [(0.0, 0.0), (0.9, 0.0), (0.9, 0.3)])
@pytest.mark.parametrize(('args', 'terms'), COMMON)
def test_sgdp_follows_its_paper(monkeypatch, form, kind, momentum, dampening, args, terms):
    take_form(monkeypatch, form)
    found = walk(SGDP, gradients=gradients(kind), lr=0.05, momentum=momentum, dampening=dampening, **args)
    numbers = dict(lr=0.05, beta=momentum, dampening=dampening)
    assert_close(found, paths(sgdp_path, gradients=gradients(kind), **numbers, **terms))


@pytest.mark.parametrize('optimizer_class', [AdamP, SGDP])
def test_the_norm_of_scale_invariant_weights_grows_less(optimizer_class):
    # A loss of the direction alone: its gradient is at a right angle to the weights.
    def norm_after(delta):
        p = nn.Parameter(values('w', (6, 5)))
        args = dict(momentum=0.9) if optimizer_class is SGDP else {}
        optimizer = optimizer_class([p], lr=0.05, delta=delta, **args)
        for _ in range(40):
            optimizer.zero_grad()
            (values('target', (6, 5)) * nn.functional.normalize(p)).sum().backward()
            optimizer.step()
        return p.detach().norm()

    assert values('w', (6, 5)).norm() < norm_after(0.1) < norm_after(0.0)


@pytest.mark.parametrize('caution', [False, True])
@pytest.mark.parametrize('kind', KINDS)
def test_the_function_projects_in_place_and_returns_the_decay_ratio(kind, caution):
    for w, (g, *_) in zip(STARTS, gradients(kind), strict=True):
        if w.ndim > 1:
            u = values('update', w.shape)
            expected, expected_ratio = project(w, g, u, 0.1, 0.25, 1e-8, caution)
            found, ratio = projection(w, g, u, delta=0.1, wd_ratio=0.25, eps=1e-8, caution=caution)
            assert found is u
            assert_close([found], [expected])
            assert type(ratio) is float
            assert ratio == expected_ratio


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('optimizer_class', [AdamP, SGDP])
@pytest.mark.parametrize('caution', [False, True])
def test_half_precision_is_projected_too(monkeypatch, form, optimizer_class, caution):
    take_form(monkeypatch, form)
    grads = gradients('by row')
    args = dict(lr=0.05, weight_decay=0.1, delta=1.5, caution=caution)
    exact, half = (
        walk(optimizer_class, STARTS, grads, dtype=dtype, **args) for dtype in (torch.float64, torch.bfloat16)
    )
    assert {x.dtype for x in half} == {torch.bfloat16}
    if not caution:  # which flips whole entries where a product is near zero
        assert_close([x.double() for x in half], exact, rtol=0.05, atol=0.02)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('optimizer_class', [AdamP, SGDP])
def test_weights_in_another_memory_format_are_projected_the_same(monkeypatch, form, optimizer_class):
    take_form(monkeypatch, form)
    w, grads = STARTS[1], gradients('by row')[1]
    ends = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        p = nn.Parameter(w.clone(memory_format=memory_format))
        optimizer = optimizer_class([p], lr=0.05, weight_decay=0.1)
        for g in grads:
            p.grad = g.clone(memory_format=memory_format)
            optimizer.step()
        ends.append(p.detach().contiguous())
    assert_close(ends[1:], ends[:1])


def test_sgdp_wants_a_rate_from_the_constructor_or_from_each_group():
    p = nn.Parameter(torch.ones(2, 2))
    assert repr(required) == '<required parameter>'
    with pytest.raises(ValueError, match='lr'):
        SGDP([p])
    assert SGDP([dict(params=[p], lr=0.5)]).param_groups[0]['lr'] == 0.5


@pytest.mark.parametrize(
    ('optimizer_class', 'args', 'message'),
    [
        (AdamP, dict(delta=-0.1), r'delta=-0\.1'),
        (AdamP, dict(wd_ratio=float('inf')), 'wd_ratio=inf'),
        (AdamP, dict(eps=-1e-8), 'eps=-1e-08'),
        (SGDP, dict(lr=0.1, momentum=1.0), r'momentum=1\.0'),
        (SGDP, dict(lr=0.1, momentum=-0.1), r'momentum=-0\.1'),
        (SGDP, dict(lr=0.1, delta=-0.1), r'delta=-0\.1'),
    ],
)
def test_impossible_values_are_refused(optimizer_class, args, message):
    with pytest.raises(ValueError, match=message):
        optimizer_class([nn.Parameter(torch.ones(2))], **args)
