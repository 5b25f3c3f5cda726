"""AdaHessian on bowls whose second derivatives are known, against its algorithm written out."""

import io
import pickle

import pytest
import torch
from torch import nn

from tests.optim.forms import assert_close, take_form, values
from timm.optim import Adahessian, create_optimizer_v2
from timm.optim._rule import compile_rule

SHAPES = ((8, 6), (4, 3, 3, 3), (6,), ())
STARTS = [values('start', shape) for shape in SHAPES]
CURVATURES = [1 + 0.5 * values('curvature', shape) for shape in SHAPES]


def bowl(params):
    """A loss whose Hessian is diagonal: CURVATURES."""
    return sum((0.5 * c * p * p).sum() for p, c in zip(params, CURVATURES, strict=True))


def differentiate(params, loss):
    """Gradients with a graph, without the cycle that backward(create_graph=True) leaves behind."""
    for p, grad in zip(params, torch.autograd.grad(loss, params, create_graph=True, allow_unused=True), strict=True):
        p.grad = grad


def descend(optimizer, params, steps):
    for _ in range(steps):
        differentiate(params, bowl(params))
        optimizer.step()


def algorithm(p, h, steps, lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, hessian_power=1.0, kernels=False):
    """Algorithm 1 of the paper with decoupled decay, for the gradient h p and the Hessian diag(h)."""
    m, v = torch.zeros_like(p), torch.zeros_like(p)
    for t in range(1, steps + 1):
        d = h.abs().mean((2, 3), keepdim=True).expand_as(h) if kernels and h.ndim == 4 else h
        m, v = betas[0] * m + (1 - betas[0]) * h * p, betas[1] * v + (1 - betas[1]) * d * d
        root = (v / (1 - betas[1] ** t)).sqrt() ** hessian_power
        p = p - lr * weight_decay * p - lr * m / (1 - betas[0] ** t) / (root + eps)
    return p


@pytest.mark.parametrize('form', ['fused', 'lists'])
@pytest.mark.parametrize(
    ('args', 'formula_args'),
    [
        (dict(), dict()),
        (dict(weight_decay=0.1, betas=(0.8, 0.9), eps=1e-2), dict(weight_decay=0.1, betas=(0.8, 0.9), eps=1e-2)),
        (dict(hessian_power=0.5), dict(hessian_power=0.5)),
        (dict(hessian_power=0.0, lr=0.01), dict(hessian_power=0.0, lr=0.01)),
        (dict(n_samples=3), dict()),
        (dict(update_each=2), dict()),
        (dict(avg_conv_kernel=True), dict(kernels=True)),
    ],
)
def test_a_diagonal_hessian_is_found_exactly(monkeypatch, form, args, formula_args):
    take_form(monkeypatch, form)
    params = [nn.Parameter(start.clone()) for start in STARTS]
    descend(Adahessian(params, **args), params, 5)
    expected = [algorithm(start, h, 5, **formula_args) for start, h in zip(STARTS, CURVATURES, strict=True)]
    assert_close([p.detach() for p in params], expected)


@pytest.mark.parametrize('samples', [1, 4])
def test_other_hessians_are_estimated_with_random_signs(samples):
    matrix = values('matrix', (6, 6))
    hessian = matrix @ matrix.T
    p = nn.Parameter(values('p', (6,)))
    optimizer = Adahessian([p], n_samples=samples)
    differentiate([p], 0.5 * p @ hessian @ p)
    optimizer.step()
    generator = torch.Generator().manual_seed(2147483647)
    signs = [torch.randint(0, 2, (6,), generator=generator) * 2.0 - 1.0 for _ in range(samples)]
    assert_close([p.hess], [sum(z * (hessian @ z.double()) for z in signs) / samples])


def test_many_samples_come_close_to_the_diagonal():
    matrix = values('matrix', (6, 6))
    p = nn.Parameter(values('p', (6,)))
    differentiate([p], 0.5 * (matrix @ p).square().sum())
    Adahessian([p], n_samples=4000).step()
    torch.testing.assert_close(p.hess, (matrix.T @ matrix).diag(), rtol=0, atol=0.15)


def test_the_hessian_is_kept_for_as_many_steps_as_asked():
    p = nn.Parameter(torch.ones(3))
    optimizer = Adahessian([p], update_each=3, lr=0.0)
    seen = []
    for curvature in range(1, 6):
        differentiate([p], (curvature * p * p).sum() / 2)
        optimizer.step()
        seen.append(p.hess[0].item())
    assert seen == [1.0, 1.0, 1.0, 4.0, 4.0]


def test_gradients_without_a_graph_are_refused():
    p = nn.Parameter(torch.ones(3))
    optimizer = Adahessian([p])
    p.square().sum().backward()
    with pytest.raises(RuntimeError, match='create_graph=True'):
        optimizer.step()


def test_parameters_the_loss_is_linear_in_have_no_hessian():
    curved, straight, unused = (nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(3))
    optimizer = Adahessian([curved, straight, unused], eps=1.0)
    differentiate([curved, straight, unused], curved.square().sum() + (2 * straight).sum())
    optimizer.step()
    assert_close([curved.hess, straight.hess], [torch.full_like(curved, 2.0), torch.zeros_like(straight)])
    # m / bc1 = 2, over 2 + eps and over 0 + eps
    expected = torch.tensor([1 - 0.2 / 3, 0.8], dtype=torch.float64)
    assert_close([curved.detach()[0], straight.detach()[0]], list(expected))
    assert torch.equal(unused.detach(), torch.ones_like(unused))


def test_the_state_is_the_published_one_and_goes_on_when_reloaded():
    params = [nn.Parameter(start.clone()) for start in STARTS]
    optimizer = create_optimizer_v2(params, 'adahessian', lr=0.1, weight_decay=0.1)
    assert optimizer.is_second_order
    assert optimizer.state_dict()['state'] == {i: {'hessian step': 0} for i in range(len(params))}
    descend(optimizer, params, 3)
    state = optimizer.state_dict()['state'][0]
    assert list(state) == ['hessian step', 'step', 'exp_avg', 'exp_hessian_diag_sq']
    assert (state['hessian step'], state['step']) == (3, 3)
    file = io.BytesIO()
    torch.save(dict(params=[p.detach() for p in params], optimizer=optimizer.state_dict()), file)
    file.seek(0)

    saved = torch.load(file, weights_only=True)
    params = [nn.Parameter(p) for p in saved['params']]
    optimizer = create_optimizer_v2(params, 'adahessian', lr=0.1, weight_decay=0.1)
    optimizer.load_state_dict(saved['optimizer'])
    descend(optimizer, params, 2)
    expected = [algorithm(start, h, 5, weight_decay=0.1) for start, h in zip(STARTS, CURVATURES, strict=True)]
    assert_close([p.detach() for p in params], expected)


def test_an_estimate_that_was_not_saved_is_made_anew():
    p = nn.Parameter(torch.ones(3))
    optimizer = Adahessian([p], update_each=5)
    differentiate([p], p.square().sum())
    optimizer.step()
    q = nn.Parameter(torch.ones(3))
    resumed = Adahessian([q], update_each=5)
    resumed.load_state_dict(optimizer.state_dict())
    differentiate([q], (3 * q.square()).sum())
    resumed.step()
    assert torch.equal(q.hess, torch.full((3,), 6.0))


def test_groups_may_be_added_and_optimizers_copied():
    params = [nn.Parameter(start.clone()) for start in STARTS]
    optimizer = Adahessian(params[:2], n_samples=2, update_each=2)
    optimizer.add_param_group(dict(params=params[2:]))
    descend(optimizer, params, 2)
    assert [optimizer.state[p]['hessian step'] for p in params] == [2, 2, 2, 2]
    copied = pickle.loads(pickle.dumps(optimizer.state_dict()))
    assert copied['state'][3]['step'] == 2
    for p in params:
        p.grad = None
    twin = pickle.loads(pickle.dumps(optimizer))
    assert (twin.n_samples, twin.update_each) == (2, 2)
    assert torch.equal(twin.generator.get_state(), optimizer.generator.get_state())


@pytest.mark.slow
def test_a_compiled_rule_takes_the_same_steps():
    torch._dynamo.reset()
    h = 1 + 0.5 * values('curvature', (20, 30))
    p = nn.Parameter(values('start', (20, 30)))
    optimizer = compile_rule(Adahessian([p], weight_decay=0.1))
    for _ in range(4):
        differentiate([p], (0.5 * h * p * p).sum())
        optimizer.step()
    assert_close([p.detach()], [algorithm(values('start', (20, 30)), h, 4, weight_decay=0.1)])


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(hessian_power=1.5), 'hessian_power=1.5'),
        (dict(update_each=0), 'update_each=0'),
        (dict(n_samples=0), 'n_samples=0'),
        (dict(eps=-1.0), 'eps=-1.0'),
    ],
)
def test_impossible_values_are_refused(args, message):
    with pytest.raises(ValueError, match=message):
        Adahessian([nn.Parameter(torch.ones(2))], **args)
