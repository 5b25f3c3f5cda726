"""MADGRAD, MARS and TensorFlow's RMSprop against their papers."""

import pytest
import torch
from torch import nn

from tests.optim.forms import FORMS, assert_close, paths, take_form, values, walk
from timm.optim import MADGRAD, Mars, RMSpropTF
from timm.optim.rmsprop_tf import rmsprop_tf

RATES = [0.1, 0.08, 0.06, 0.04, 0.02, 0.01]


def cautious(u, g):
    """Liang et al., arXiv:2411.16085, algorithm 1."""
    agrees = (u * g > 0).double()
    return u * agrees / agrees.mean().clamp(min=1e-3)


def madgrad_path(w, grads, lr, momentum=0.9, eps=1e-6, decay=0.0, decoupled=False):
    """Algorithm 1 of the paper; a decoupled decay without momentum moves the start, too."""
    start, s, v = w, 0 * w, 0 * w
    for k, g in enumerate(grads):
        if decoupled:
            start = w * (1 - lr * decay) + s / (v ** (1 / 3) + eps) if not momentum else start
            w = w * (1 - lr * decay)
        else:
            g = g + decay * w
        weight = (lr + eps) * (k + 1) ** 0.5
        s, v = s + weight * g, v + weight * g * g
        w = momentum * w + (1 - momentum) * (start - s / (v ** (1 / 3) + eps))
    return w


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize(
    ('args', 'terms'),
    [
        (dict(), dict()),
        (dict(eps=0.1, momentum=0.5), dict(eps=0.1, momentum=0.5)),
        (dict(momentum=0.0), dict(momentum=0.0)),
        (dict(weight_decay=0.1), dict(decay=0.1)),
        (dict(weight_decay=0.1, momentum=0.0), dict(decay=0.1, momentum=0.0)),
        (dict(weight_decay=0.1, decoupled_decay=True), dict(decay=0.1, decoupled=True)),
        (dict(weight_decay=0.1, decoupled_decay=True, momentum=0.0), dict(decay=0.1, decoupled=True, momentum=0.0)),
    ],
)
def test_madgrad_follows_its_paper(monkeypatch, form, args, terms):
    take_form(monkeypatch, form)
    assert_close(walk(MADGRAD, lr=0.05, **args), paths(madgrad_path, lr=0.05, **terms))


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('scale', [1e-9, 1e-3, 1e3])
def test_madgrad_takes_its_cube_root_to_the_precision_of_the_weights(monkeypatch, form, dtype, scale):
    take_form(monkeypatch, form)
    starts, gradients = [torch.zeros(40)], [[scale * values('g', (40,)).to(dtype)]]
    (found,) = walk(MADGRAD, starts, gradients, dtype=dtype, lr=0.1, momentum=0.5, eps=0.0)
    g = gradients[0][0].double()
    expected = -0.5 * 0.1 * g / (0.1 * g * g) ** (1 / 3)
    torch.testing.assert_close(found.double(), expected, rtol=16 * torch.finfo(dtype).eps, atol=0.0)


def test_madgrad_without_momentum_remembers_no_start():
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    for momentum, names in ((0.0, {'step', 's', 'grad_sum_sq'}), (0.9, {'step', 's', 'grad_sum_sq', 'x0'})):
        optimizer = MADGRAD([p], momentum=momentum)
        optimizer.step()
        assert set(optimizer.state[p]) == names
        assert optimizer.state[p]['step'] == 1
        assert optimizer.supports_flat_params
        assert not optimizer.supports_memory_efficient_fp16


def mars_path(w, grads, lr, betas=(0.9, 0.99), eps=1e-8, gamma=0.025, decay=0.0, kind='adamw', **switches):
    """Algorithms 2 and 3 of the paper, in the approximate form: the last gradient is not taken anew."""
    m, v, last = 0 * w, 0 * w, grads[0]
    plain = w.ndim < 2 and not switches.get('all')
    beta1, beta2 = switches.get('betas_1d', betas) if plain else betas
    rate = lr * switches.get('factor_1d', 1.0) if plain else lr
    for t, g in enumerate(grads, 1):
        c = g if plain else g + gamma * beta1 / (1 - beta1) * (g - last)
        c = c if plain or c.norm() <= 1 else c / c.norm()
        m, v, last = beta1 * m + (1 - beta1) * c, beta2 * v + (1 - beta2) * c * c, g
        u = m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + eps)
        if kind == 'lion' and not plain:
            u = (m * (m * g > 0) if switches.get('caution') else m).sign()
        elif switches.get('caution'):
            u = cautious(u, g)
        w = w - rate * (u + decay * w)
    return w


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('kind', ['adamw', 'lion'])
@pytest.mark.parametrize('caution', [False, True])
@pytest.mark.parametrize(
    ('args', 'terms'),
    [
        (dict(), dict()),
        (dict(weight_decay=0.1, optimize_1d=True, gamma=0.5), dict(decay=0.1, all=True, gamma=0.5)),
        (dict(weight_decay=0.1, betas=(0.7, 0.8), eps=0.1), dict(decay=0.1, betas=(0.7, 0.8), eps=0.1)),
        (dict(lr_1d_factor=0.3, betas_1d=(0.5, 0.6)), dict(factor_1d=0.3, betas_1d=(0.5, 0.6))),
    ],
)
def test_mars_follows_its_paper(monkeypatch, form, kind, caution, args, terms):
    take_form(monkeypatch, form)
    found = walk(Mars, lr=0.05, mars_type=kind, caution=caution, **args)
    assert_close(found, paths(mars_path, lr=0.05, kind=kind, caution=caution, **terms))


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('size', [0.1, 5.0])
def test_mars_cuts_the_norm_of_large_gradients_only(monkeypatch, form, size):
    take_form(monkeypatch, form)
    w, g = values('w', (4, 3)), values('g', (4, 3))
    g = g * size / g.norm()
    (after,) = walk(Mars, [w], [[g]], lr=0.1, eps=1.0)
    cut = g / max(size, 1.0)
    assert_close([after], [w - 0.1 * cut / (cut.abs() + 1.0)])


def test_mars_knows_two_types():
    with pytest.raises(ValueError, match=r"mars_type='shampoo' is not known: give one of \('adamw', 'lion'\)"):
        Mars([nn.Parameter(torch.ones(2))], mars_type='shampoo')


def rmsprop_path(w, grads, lr, alpha=0.9, eps=1e-10, decay=0.0, momentum=0.0, rates=RATES, **switches):
    """TensorFlow's RMSProp: a mean square from 1 on, eps under the root, and a momentum of whole steps."""
    v, mean, m = torch.ones_like(w), 0 * w, 0 * w
    for g, rate in zip(grads, rates, strict=True):
        if switches.get('decoupled'):
            w = w - (rate * rate / lr if switches.get('corrected') else rate) * decay * w
        else:
            g = g + decay * w
        v, mean = alpha * v + (1 - alpha) * g * g, alpha * mean + (1 - alpha) * g
        d = g / (v - (mean * mean if switches.get('centered') else 0) + eps).sqrt()
        m = momentum * m + (d if switches.get('late_rate') else rate * d)
        u = rate * m if switches.get('late_rate') else m
        w = w - (cautious(u, g) if switches.get('caution') else u)
    return w


RMSPROP_OPTIONS = [
    (dict(), dict()),
    (dict(alpha=0.5, eps=0.1), dict(alpha=0.5, eps=0.1)),
    (dict(weight_decay=0.1), dict(decay=0.1)),
    (dict(weight_decay=0.1, decoupled_decay=True), dict(decay=0.1, decoupled=True)),
    (
        dict(weight_decay=0.1, decoupled_decay=True, corrected_weight_decay=True),
        dict(decay=0.1, decoupled=True, corrected=True),
    ),
    (dict(centered=True, weight_decay=0.1), dict(centered=True, decay=0.1)),
]


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('caution', [False, True])
@pytest.mark.parametrize(
    ('momentum', 'lr_in_momentum'), [(0.0, True), (0.9, True), (0.9, False)], ids=['none', 'with rate', 'without rate']
)
@pytest.mark.parametrize(('args', 'terms'), RMSPROP_OPTIONS)
def test_rmsprop_follows_tensorflow(monkeypatch, form, caution, momentum, lr_in_momentum, args, terms):
    take_form(monkeypatch, form)
    args = dict(lr=0.1, momentum=momentum, caution=caution, **args)
    found = walk(RMSpropTF, rates=RATES, lr_in_momentum=lr_in_momentum, **args)
    terms = dict(lr=0.1, momentum=momentum, caution=caution, late_rate=not lr_in_momentum, **terms)
    assert_close(found, paths(rmsprop_path, **terms))


def test_a_centered_mean_square_that_rounds_below_zero_does_no_harm():
    p = nn.Parameter(torch.ones(1000))
    optimizer = RMSpropTF([p], lr=1e-6, centered=True, alpha=0.5)
    p.grad = torch.linspace(1, 1000, 1000)
    for _ in range(80):
        optimizer.step()
    assert p.isfinite().all()


def test_the_function_counts_steps():
    w, count = values('w', (3,)), torch.tensor(4.0)
    args = dict(lr=0.1, alpha=0.9, eps=1e-10, weight_decay=0.0, momentum=0.0, centered=False, decoupled_decay=False)
    rmsprop_tf([w], [w.clone()], [w * w], [], [], [count], **args, max_lr=None, lr_in_momentum=True, caution=False)
    assert count == 5


@pytest.mark.parametrize(
    ('optimizer_class', 'args', 'message'),
    [
        (MADGRAD, dict(lr=0.0), r'lr=0\.0.*> 0'),
        (MADGRAD, dict(momentum=1.0), r'momentum=1\.0'),
        (MADGRAD, dict(momentum=-0.1), r'momentum=-0\.1'),
        (MADGRAD, dict(eps=-1.0), r'eps=-1\.0'),
        (Mars, dict(gamma=-1.0), r'gamma=-1\.0'),
        (Mars, dict(betas_1d=(0.9, 1.0)), r'betas=\(0\.9, 1\.0\)'),
        (RMSpropTF, dict(alpha=1.5), r'alpha=1\.5'),
        (RMSpropTF, dict(momentum=-0.5), r'momentum=-0\.5'),
        (RMSpropTF, dict(eps=float('nan')), 'eps=nan'),
    ],
)
def test_impossible_values_are_refused(optimizer_class, args, message):
    with pytest.raises(ValueError, match=message):
        optimizer_class([nn.Parameter(torch.ones(2))], **args)
