"""PSGD Kron against its algorithm written out with whole Kronecker products, and products of half-known matrices."""

import functools
import io
import math
import pickle
import random

import pytest
import torch
from torch import nn

from tests.optim.forms import assert_close, take_form, values
from timm.optim import create_optimizer_v2
from timm.optim._blocks import symmetric_product, times_upper, times_upper_transposed, upper_product
from timm.optim.kron import Kron, has_dynamo, has_opt_einsum, precond_update_prob_schedule, safe_flatten

SHAPES = ((4, 3), (5,), (), (2, 3, 2), (4, 3), (1, 3), (3, 2, 2, 2))
STARTS = [values(f'start {i}', shape) for i, shape in enumerate(SHAPES)]
TINY = torch.finfo(torch.float32).tiny


def gradient(i, p):
    """Of a bowl that is steeper along some coordinates than along others."""
    return (1 + 3 * values(f'curvature {i}', p.shape).abs()) * (p - values(f'target {i}', p.shape))


def norm_bound(matrix):
    scaled = matrix / matrix.abs().max()
    row = scaled[scaled.square().sum(1).argmax()]
    x = scaled @ row
    return matrix.abs().max() * (scaled @ (x / x.norm())).norm()


class Reference:
    """One parameter, its preconditioner as one matrix Q = Q_1 x Q_2 x ... over all its elements.

    Li, arXiv:1512.04202 and arXiv:2402.04553; the noise enters through float32, as published.
    """

    def __init__(self, start, diagonal=(), scale=1.0, momentum=0.9, lr=0.02, precond_lr=0.1, weight_decay=0.0, **other):
        self.p, self.m, self.t = start.clone(), torch.zeros_like(start), 0
        self.shape = start.shape or (1,)
        self.diagonal = diagonal or [size == 1 or start.ndim < 2 for size in self.shape]
        self.Q = [scale ** (1 / len(self.shape)) * torch.eye(size, dtype=torch.float64) for size in self.shape]
        self.beta, self.lr, self.precond_lr, self.weight_decay = momentum, lr, precond_lr, weight_decay
        self.decoupled, self.from_momenta = other.get('decoupled', False), other.get('from_momenta', True)

    def whole(self):
        return functools.reduce(torch.kron, self.Q)

    def refresh(self, grad, noise):
        """Move all factors by gradients of A A^T - B B^T along their dimension, A = Q g and B = Q^-T v."""
        A = (self.whole() @ grad.flatten()).view(self.shape)
        B = noise.reshape(self.shape)
        for i, q in enumerate(self.Q):
            rows = B.movedim(i, -1)
            flat = rows.reshape(-1, len(q))
            if self.diagonal[i]:
                flat = flat / q.diag()
            else:
                flat = torch.linalg.solve_triangular(q.float(), flat.float(), upper=True, left=False).double()
            B = flat.view(rows.shape).movedim(-1, i)
        for i, q in enumerate(self.Q):
            a, b = (x.movedim(i, 0).reshape(len(q), -1) for x in (A, B))
            gradient, total = a @ a.T - b @ b.T, a @ a.T + b @ b.T
            if self.diagonal[i]:
                gradient, bound = gradient.diag().diag(), total.diag().max()
            else:
                gradient, bound = gradient.triu(), norm_bound(total)
            self.Q[i] = q - self.precond_lr * gradient @ q / (bound + TINY)

    def balance(self):
        norms = [q.abs().max() for q in self.Q]
        mean = torch.stack(norms).log().mean().exp()
        self.Q = [q * mean / norm for q, norm in zip(self.Q, norms, strict=True)]

    def step(self, grad, noise=None, balances=False, decay=None):
        decay = self.weight_decay if decay is None else decay
        self.t += 1
        self.m = self.beta * self.m + (1 - self.beta) * grad
        debiased = self.m / (1 - self.beta**self.t)
        if balances:
            self.balance()
        if noise is not None:
            self.refresh(debiased if self.from_momenta else grad, noise)
        Q = self.whole()
        update = (Q.T @ Q @ debiased.flatten()).view_as(self.p)
        update = update * min(1.0, 1.1 / (update.square().mean().sqrt() + 1e-8))
        if self.decoupled:
            self.p = self.p - self.lr * decay * self.p - self.lr * update
        else:
            self.p = self.p - self.lr * (update + decay * self.p)


def race(optimizer_args, reference_args=None, steps=8, probability=1.0, view=torch.clone):
    """Ends of the optimizer's and the reference's parameters, with the same gradients, noise and other draws.

    Args:
        view: What makes of a parameter what the reference sees.
    """
    torch.manual_seed(0)
    params = [nn.Parameter(start.clone()) for start in STARTS]
    optimizer = Kron(params, lr=0.02, preconditioner_update_probability=probability, **optimizer_args)
    for _ in range(steps):
        for i, p in enumerate(params):
            p.grad = gradient(i, p.detach())
        optimizer.step()

    torch.manual_seed(0)
    rng, every = random.Random(1337), math.ceil(1 / probability - 1e-12)
    references = [Reference(view(start), **(reference_args or {})) for start in STARTS]
    for step in range(1, steps + 1):
        for i, reference in enumerate(references):
            due, balances = step % every == 0, rng.random() < 0.01
            generator = None
            if due and optimizer_args.get('deterministic'):
                generator = torch.Generator().manual_seed(rng.randint(0, 2**31))
            decay = optimizer_args.get('weight_decay', 0.0)
            if decay and optimizer_args.get('stochastic_weight_decay'):
                decay *= 2 * rng.random()
            noise = torch.randn(reference.p.shape, dtype=torch.float64, generator=generator) if due else None
            balances = balances and due and reference.p.ndim > 1
            reference.step(view(gradient(i, reference.p.view(SHAPES[i]))), noise, balances, decay)
    ends = [reference.p.view(shape) for reference, shape in zip(references, SHAPES, strict=True)]
    return [p.detach() for p in params], ends


@pytest.mark.parametrize('form', ['fused', 'lists'])
@pytest.mark.parametrize(
    ('optimizer_args', 'reference_args'),
    [
        (dict(), dict()),
        (dict(momentum=0.5, precond_lr=0.3), dict(momentum=0.5, precond_lr=0.3)),
        (dict(precond_init_scale=2.5), dict(scale=2.5)),
        (dict(momentum_into_precond_update=False), dict(from_momenta=False)),
        (dict(weight_decay=0.1), dict()),
        (dict(weight_decay=0.1, decoupled_decay=True), dict(decoupled=True)),
        (dict(weight_decay=0.1, stochastic_weight_decay=True), dict()),
        (dict(weight_decay=0.1, stochastic_weight_decay=True, deterministic=True), dict()),
        (dict(deterministic=True), dict()),
    ],
)
def test_steps_are_those_of_the_algorithm(monkeypatch, form, optimizer_args, reference_args):
    take_form(monkeypatch, form)
    assert_close(*race(optimizer_args, reference_args))


def test_diagonal_factors_take_the_same_steps():
    assert_close(*race(dict(memory_save_mode='all_diag'), dict(diagonal=[True] * 4)))


def test_flattened_dimensions_are_one():
    assert_close(*race(dict(flatten=True), view=lambda w: w.flatten(2) if w.ndim > 2 else w))
    args = dict(flatten=True, flatten_start_dim=0, flatten_end_dim=1)
    assert_close(*race(args, view=lambda w: w.flatten(0, 1) if w.ndim > 1 else w))


def test_factors_are_balanced_now_and_then():
    draws = random.Random(1337)
    assert any(draws.random() < 0.01 and len(shape) > 1 for _ in range(60) for shape in SHAPES)
    assert_close(*race(dict(), steps=60))


def test_the_preconditioner_is_updated_once_in_so_many_steps():
    assert_close(*race(dict(), probability=0.4))  # after each third step


def test_without_updates_the_preconditioner_is_none():
    p = nn.Parameter(torch.zeros(3, 2, dtype=torch.float64))
    optimizer = Kron([p], lr=0.1, preconditioner_update_probability=lambda step: 1e-9)
    p.grad = torch.full_like(p, 0.5)
    optimizer.step()
    assert_close([p.detach()], [torch.full_like(p, -0.05)])


def test_the_update_is_limited_to_a_root_mean_square_of_1_1():
    p = nn.Parameter(torch.zeros(3, 2, dtype=torch.float64))
    optimizer = Kron([p], lr=0.1, preconditioner_update_probability=lambda step: 1e-9)
    p.grad = torch.full_like(p, 50.0)
    optimizer.step()
    assert_close([p.detach()], [torch.full_like(p, -0.11)])


def test_functions_of_the_step_set_the_probability():
    seen = []
    p = nn.Parameter(torch.zeros(3))
    optimizer = Kron([p], preconditioner_update_probability=lambda step: seen.append(step) or torch.tensor(0.5))
    counters = []
    for _ in range(4):
        p.grad = torch.ones(3)
        optimizer.step()
        counters.append(optimizer.state[p]['update_counter'])
    assert (seen, counters) == ([0, 1, 2, 3], [1, 0, 1, 0])


@pytest.mark.parametrize(
    ('step', 'probability'),
    [(0, 1.0), (500, 1.0), (1000, math.exp(-0.5)), (torch.tensor(2000.0), math.exp(-1.5)), (10**5, 0.03)],
)
def test_updates_become_rarer(step, probability):
    assert precond_update_prob_schedule(step).item() == pytest.approx(probability)


@pytest.mark.parametrize(
    ('shape', 'args', 'sizes'),
    [
        ((20, 4), dict(), [(20, 20), (4, 4)]),
        ((20, 4), dict(max_size_triangular=8), [(20,), (4, 4)]),
        ((20, 4), dict(min_ndim_triangular=3), [(20,), (4,)]),
        ((20, 4), dict(memory_save_mode='one_diag'), [(20,), (4, 4)]),
        ((20, 20), dict(memory_save_mode='one_diag'), [(20, 20), (20,)]),
        ((20, 20), dict(memory_save_mode='smart_one_diag'), [(20, 20), (20, 20)]),
        ((4, 3, 3, 3), dict(memory_save_mode='smart_one_diag'), [(4,), (3, 3), (3, 3), (3, 3)]),
        ((4, 3, 3, 3), dict(memory_save_mode='all_diag'), [(4,), (3,), (3,), (3,)]),
        ((4, 3, 3, 3), dict(flatten=True), [(4, 4), (3, 3), (9, 9)]),
        ((1, 5), dict(), [(1,), (5, 5)]),
        ((5,), dict(), [(5,)]),
        ((), dict(), [()]),
    ],
)
def test_each_dimension_has_the_published_factor(shape, args, sizes):
    p = nn.Parameter(torch.ones(shape))
    p.grad = torch.ones(shape)
    optimizer = Kron([p], **args)
    optimizer.step()
    state = optimizer.state_dict()['state'][0]
    assert list(state) == ['step', 'update_counter', 'momentum_buffer', 'Q']
    assert [tuple(factor.shape) for factor in state['Q']] == sizes


def test_flattened_kernels_keep_a_flat_momentum_and_any_memory_format():
    ends = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        p = nn.Parameter(values('w', (4, 3, 3, 3)).to(memory_format=memory_format))
        optimizer = Kron([p], flatten=True)
        for _ in range(2):
            p.grad = values('g', (4, 3, 3, 3)).to(memory_format=memory_format)
            optimizer.step()
        assert optimizer.state[p]['momentum_buffer'].shape == (4, 3, 9)
        ends.append(p.detach())
    assert_close(ends[0], ends[1])


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
def test_momentum_and_preconditioner_have_dtypes_of_their_own(dtype):
    def make():
        return Kron([p], mu_dtype=torch.float16, precond_dtype=torch.float32)

    p = nn.Parameter(torch.ones(4, 3, dtype=dtype))
    optimizer = make()
    p.grad = torch.rand(4, 3).to(dtype)
    optimizer.step()
    reloaded = make()
    reloaded.load_state_dict(optimizer.state_dict())
    for one in (optimizer, reloaded):
        assert one.state[p]['momentum_buffer'].dtype == torch.float16
        assert [factor.dtype for factor in one.state[p]['Q']] == [torch.float32] * 2
    assert torch.equal(optimizer.state[p]['Q'][0], reloaded.state[p]['Q'][0])


def test_a_deterministic_run_goes_on_without_the_global_generator():
    def make(p):
        return Kron([p], lr=0.05, deterministic=True, preconditioner_update_probability=0.6)

    def run(p, optimizer, steps):
        for _ in range(steps):
            p.grad = gradient(0, p.detach())
            optimizer.step()

    p = nn.Parameter(STARTS[0].clone())
    optimizer = make(p)
    run(p, optimizer, 5)
    file = io.BytesIO()
    torch.save(dict(p=p.detach(), optimizer=optimizer.state_dict()), file)
    file.seek(0)
    copied = pickle.loads(pickle.dumps(optimizer))
    run(p, optimizer, 5)

    saved = torch.load(file, weights_only=True)
    assert list(saved['optimizer']) == ['state', 'param_groups', 'rng_state']
    q = nn.Parameter(saved['p'])
    torch.manual_seed(99)
    resumed = make(q)
    resumed.load_state_dict(saved['optimizer'])
    run(q, resumed, 5)
    assert torch.equal(p, q)
    assert copied.rng.getstate() == (3, tuple(saved['optimizer']['rng_state'][1]), None)


def test_older_state_dicts_without_a_generator_load():
    p = nn.Parameter(torch.ones(3))
    optimizer = Kron([p])
    state = optimizer.state_dict()
    del state['rng_state']
    del state['param_groups'][0]['corrected_weight_decay']
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]['corrected_weight_decay'] is False


def test_the_corrected_decay_follows_the_rate():
    def end(**args):
        p = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
        optimizer = create_optimizer_v2([p], 'kronc', lr=0.1, weight_decay=0.5, **args)
        optimizer.param_groups[0]['lr'] = 0.02
        p.grad = torch.zeros_like(p)
        optimizer.step()
        return p.detach()

    assert_close([end()], [torch.full((2, 2), 1 - 0.5 * 0.02 * 0.02 / 0.1, dtype=torch.float64)])


@pytest.mark.parametrize(
    ('shape', 'dims', 'flat'),
    [
        ((2, 3, 4, 5), (2, -1), (2, 3, 20)),
        ((2, 3, 4, 5), (1, 2), (2, 12, 5)),
        ((2, 3, 4, 5), (-2, -1), (2, 3, 20)),
        ((2, 3), (2, -1), (2, 3)),
        ((5,), (2, -1), (5,)),
        ((), (0, -1), ()),
        ((2, 3), (0, 9), (6,)),
    ],
)
def test_flattening_leaves_dimensions_that_are_not_there(shape, dims, flat):
    assert tuple(safe_flatten(torch.zeros(shape), *dims).shape) == flat


def test_optional_packages_are_told_of():
    assert has_dynamo is True
    assert isinstance(has_opt_einsum, bool)


@pytest.mark.parametrize(
    ('args', 'error', 'message'),
    [
        (dict(momentum=1.0), ValueError, 'momentum=1.0'),
        (dict(preconditioner_update_probability=0.0), ValueError, 'preconditioner_update_probability=0.0'),
        (dict(precond_lr=-1.0), ValueError, 'precond_lr=-1.0'),
        (dict(precond_init_scale=0.0), ValueError, 'precond_init_scale=0.0'),
        (dict(memory_save_mode='two_diag'), ValueError, "memory_save_mode='two_diag'.*one_diag"),
        (dict(mu_dtype='float32'), TypeError, "mu_dtype='float32'"),
        (dict(precond_dtype=32), TypeError, 'precond_dtype=32'),
    ],
)
def test_impossible_values_are_refused(args, error, message):
    with pytest.raises(error, match=message):
        Kron([nn.Parameter(torch.ones(2))], **args)


@pytest.mark.parametrize('size', [1, 40, 500, 777])
@pytest.mark.parametrize('batch', [(), (2,)])
def test_products_of_half_known_matrices_are_whole(size, batch):
    torch.manual_seed(0)
    left, right = (torch.randn(*batch, size, size, dtype=torch.float64).triu() for _ in range(2))
    matrix = torch.randn(*batch, 60, size, dtype=torch.float64)
    assert_close(times_upper(matrix, right), matrix @ right)
    assert_close(times_upper_transposed(matrix, right), matrix @ right.mT)
    assert_close(upper_product(left, right), left @ right)
    assert_close(symmetric_product(matrix.mT, matrix), matrix.mT @ matrix)
    gram = matrix.mT @ matrix
    assert_close(symmetric_product(gram, gram, gram, 0.5, 2.0), 0.5 * gram + 2.0 * gram @ gram, atol=1e-9)
