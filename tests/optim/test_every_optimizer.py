"""What holds for every optimizer that can be made by name."""

import io
import math

import pytest
import torch
from torch import nn

from tests.optim.problem import Problem, solve, train
from timm.optim import _rule, create_optimizer_v2, get_optimizer_info, list_optimizers
from timm.optim._rule import RuleOptimizer, compile_rule

OPTIONAL = ('apex.', 'bitsandbytes.')
NAMES = [name for name in list_optimizers() if not str(get_optimizer_info(name).opt_class).startswith(OPTIONAL)]
OURS = [name for name in NAMES if issubclass(get_optimizer_info(name).opt_class, RuleOptimizer)]
FIRST_ORDER = [name for name in NAMES if not get_optimizer_info(name).second_order]
MEMORY_FORMATS = (torch.contiguous_format, torch.channels_last)
every = pytest.mark.parametrize('name', NAMES)


def make(name, params, **args):
    return create_optimizer_v2(params, opt=name, **{'lr': 0.01, 'weight_decay': 0.05, **args})


def weights(problem):
    return torch.cat([p.detach().flatten() for p in problem.parameters()])


def differentiate(params, loss):
    """Gradients as any optimizer may want them: with a graph."""
    for p in params:
        p.grad = None
    loss.backward(create_graph=True)


@every
@pytest.mark.parametrize('shape', [(), (1,), (0,), (3, 0), (1, 1), (5,), (4, 3), (2, 3, 3, 3), (2, 3, 4)])
@pytest.mark.filterwarnings('ignore:Using backward')  # second-order gradients are wanted here
def test_parameters_of_every_shape_stay_finite(name, shape):
    p = nn.Parameter(torch.full(shape, 0.5))
    optimizer = make(name, [p])
    for scale in (1.0, 0.0, 1e-12, 1e4):
        differentiate([p], (scale * p * p).sum())
        optimizer.step()
        assert p.shape == shape
        assert p.isfinite().all()
    p.grad = None


@every
def test_zero_gradients_from_the_start_do_no_harm(name):
    params = [nn.Parameter(torch.ones(4, 3)), nn.Parameter(torch.zeros(3))]
    optimizer = make(name, params, weight_decay=0.0)
    for _ in range(3):
        for p in params:
            p.grad = (0 * p).detach() if name in FIRST_ORDER else 0 * p
        optimizer.step()
    assert all(p.isfinite().all() for p in params)
    for p in params:
        p.grad = None


@every
@pytest.mark.filterwarnings('ignore:Using backward')
def test_parameters_without_gradient_stay_and_may_join_later(name):
    early, late, never = (nn.Parameter(torch.full((4, 3), 0.5)) for _ in range(3))
    optimizer = make(name, [early, late, never])
    differentiate([early], early.square().sum())
    optimizer.step()
    assert torch.equal(late.detach(), torch.full((4, 3), 0.5))
    before = early.detach().clone()
    for _ in range(2):  # some rules only look at a parameter's first gradient
        differentiate([early, late], early.square().sum() + late.square().sum())
        optimizer.step()
    assert not torch.equal(early.detach(), before)
    assert not torch.equal(late.detach(), torch.full((4, 3), 0.5))
    assert torch.equal(never.detach(), torch.full((4, 3), 0.5))
    for p in (early, late):
        p.grad = None


@every
def test_a_step_without_any_gradient_changes_nothing(name):
    params = [nn.Parameter(torch.full(shape, 0.5)) for shape in ((4, 3), (3,))]
    make(name, params).step()
    assert all(torch.equal(p.detach(), torch.full(p.shape, 0.5)) for p in params)


@pytest.mark.parametrize('name', FIRST_ORDER)
@pytest.mark.filterwarnings('ignore:Using backward')
def test_a_group_without_gradients_is_no_obstacle_to_another(name):
    frozen, trained, alone = (nn.Parameter(torch.full((4, 3), 0.5)) for _ in range(3))
    both, one = make(name, [{'params': [frozen]}, {'params': [trained]}]), make(name, [alone])
    for _ in range(3):
        differentiate([trained], trained.square().sum())
        differentiate([alone], alone.square().sum())
        for optimizer in (both, one):
            torch.manual_seed(0)  # some rules draw
            optimizer.step()
    assert torch.equal(frozen.detach(), torch.full((4, 3), 0.5))
    torch.testing.assert_close(trained, alone)
    trained.grad = alone.grad = None


@pytest.mark.parametrize('name', FIRST_ORDER)
def test_a_rate_in_a_tensor_is_that_rate(name):
    ends = []
    for as_tensor in (False, True):
        torch.manual_seed(0)
        problem = Problem(torch.float32)
        rate = torch.tensor(0.02)
        optimizer = create_optimizer_v2(problem, opt=name, lr=rate if as_tensor else 0.02, weight_decay=0.1)
        for lr in (0.02, 0.01, 0.0, 0.0, 0.005):
            rate.fill_(lr)
            for group in optimizer.param_groups:
                group['lr'] = rate if as_tensor else lr
            train(problem, optimizer, 1)
        ends.append(weights(problem))
    torch.testing.assert_close(*ends)


@pytest.mark.parametrize('name', FIRST_ORDER)
def test_a_state_of_float32_serves_weights_of_float64(name):
    torch.manual_seed(0)
    problem = Problem(torch.float32)
    optimizer = create_optimizer_v2(problem, opt=name, lr=0.02, weight_decay=0.1)
    train(problem, optimizer, 3)
    wider = Problem(torch.float64)
    wider.load_state_dict(problem.state_dict())
    other = create_optimizer_v2(wider, opt=name, lr=0.02, weight_decay=0.1)
    other.load_state_dict(optimizer.state_dict())
    before = weights(wider).clone()
    train(wider, other, 3)
    assert weights(wider).isfinite().all()
    assert not torch.equal(weights(wider), before)


@pytest.mark.parametrize('name', FIRST_ORDER)
def test_bfloat16_weights_stay_so_and_learn(name):
    torch.manual_seed(0)
    problem = Problem(torch.bfloat16)
    start = problem.loss().item()
    # Some rules begin small; those that scale steps to the weights need no more here than the others.
    optimizer = make(name, problem, lr=0.05 if name != 'adadelta' else 1.0, weight_decay=0.0)
    train(problem, optimizer, 10)
    assert {p.dtype for p in problem.parameters()} == {torch.bfloat16}
    assert problem.loss().item() < start


@pytest.mark.parametrize('name', FIRST_ORDER)
def test_a_run_continued_from_its_state_dict_is_the_unbroken_run(name):
    # float32: torch's NAdam rounds a factor to it that it reads back in the weights' dtype
    args = dict(lr=0.02, weight_decay=0.1)
    torch.manual_seed(0)
    problem = Problem(torch.float32)
    optimizer = create_optimizer_v2(problem, opt=name, **args)
    train(problem, optimizer, 5)
    random_state = torch.get_rng_state()
    file = io.BytesIO()
    torch.save({'model': problem.state_dict(), 'optimizer': optimizer.state_dict()}, file)
    train(problem, optimizer, 6)

    saved = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    resumed = Problem(torch.float32)
    resumed.load_state_dict(saved['model'])
    optimizer = create_optimizer_v2(resumed, opt=name, **args)
    optimizer.load_state_dict(saved['optimizer'])
    torch.set_rng_state(random_state)
    train(resumed, optimizer, 6)
    assert torch.equal(weights(resumed), weights(problem))


@pytest.mark.parametrize('name', [name for name in FIRST_ORDER if name in OURS])
def test_lists_of_tensors_and_single_ones_walk_the_same_path(name, monkeypatch):
    args = dict(lr=0.02, weight_decay=0.1)
    monkeypatch.setattr(_rule, 'LARGEST_GATHERED', 0)
    _, single = solve(name, **args)
    monkeypatch.setattr(_rule, 'PIECE', 20)  # two of the four, with 8 elements left over
    _, pieces = solve(name, **args)
    monkeypatch.setattr(_rule, 'LARGEST_GATHERED', 40)  # three of the four
    _, some = solve(name, **args)
    monkeypatch.setattr(_rule, 'FOREACH_DEVICES', ('cpu',))
    _, lists = solve(name, **args)
    for found in (pieces, some, lists):
        torch.testing.assert_close(weights(found), weights(single), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize('name', [name for name in FIRST_ORDER if name in OURS])
@pytest.mark.parametrize('of_weight', MEMORY_FORMATS)
@pytest.mark.parametrize('of_gradient', MEMORY_FORMATS)
def test_pieces_hold_the_same_elements_in_any_memory_format(name, of_weight, of_gradient, monkeypatch):
    monkeypatch.setattr(_rule, 'LARGEST_GATHERED', 0)
    results = []
    for piece in (10_000, 40):
        monkeypatch.setattr(_rule, 'PIECE', piece)
        torch.manual_seed(0)
        values = torch.linspace(-1, 1, 300, dtype=torch.float64).view(4, 3, 5, 5)
        p = nn.Parameter(values.contiguous(memory_format=of_weight))
        optimizer = create_optimizer_v2([p], opt=name, lr=0.1, weight_decay=0.1)
        for step in range(3):
            grad = torch.linspace(1, -2 - step, 300, dtype=torch.float64).sin().view(4, 3, 5, 5)
            p.grad = grad.contiguous(memory_format=of_gradient)
            optimizer.step()
        results.append(p.detach().contiguous())
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-14)


@every
@pytest.mark.parametrize('values', [dict(lr=-0.1), dict(lr=math.nan), dict(lr=math.inf), dict(weight_decay=-1.0)])
def test_impossible_rates_are_refused_with_their_value(name, values):
    ((argument, value),) = values.items()
    with pytest.raises(ValueError, match=f'{argument}={value}'):
        make(name, [nn.Parameter(torch.ones(2, 2))], **values)


@pytest.mark.parametrize('name', [name for name in NAMES if get_optimizer_info(name).has_betas])
@pytest.mark.parametrize('beta', [-0.1, 1.0, math.nan])
def test_impossible_betas_are_refused_with_their_value(name, beta):
    betas = (0.9, beta, 0.99)[: get_optimizer_info(name).num_betas]
    with pytest.raises(ValueError, match=f'betas.*{beta}'):
        make(name, [nn.Parameter(torch.ones(2, 2))], betas=betas)


@pytest.mark.parametrize('name', [name for name in FIRST_ORDER if name in OURS])
def test_gradients_a_rule_cannot_take_are_refused(name):
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match=r'dense gradients.*sparse=False'):
        make(name, table.parameters()).step()
    if not get_optimizer_info(name).opt_class.takes_complex:
        p = nn.Parameter(torch.ones(2, 2, dtype=torch.complex64))
        p.grad = torch.ones_like(p)
        with pytest.raises(RuntimeError, match='view_as_real'):
            make(name, [p]).step()


@pytest.mark.parametrize('name', [name for name in OURS if get_optimizer_info(name).opt_class.takes_complex])
@pytest.mark.parametrize('foreach', [None, False, True])
def test_complex_weights_are_pairs_of_real_ones(name, foreach):
    start = torch.complex(torch.linspace(-1, 1, 12).view(4, 3), torch.linspace(2, -1, 12).view(4, 3))
    whole, pairs = nn.Parameter(start.clone()), nn.Parameter(torch.view_as_real(start).clone())
    of_whole, of_pairs = make(name, [whole], foreach=foreach), make(name, [pairs], foreach=foreach)
    for step in range(3):
        whole.grad = start.conj() * (step - 1.5)
        pairs.grad = torch.view_as_real(whole.grad.resolve_conj()).clone()
        of_whole.step()
        of_pairs.step()
    torch.testing.assert_close(torch.view_as_real(whole.detach()), pairs.detach())


@pytest.mark.parametrize(
    'name', [n for n in OURS if (get_optimizer_info(n).defaults or {}).get('corrected_weight_decay')]
)
def test_a_decay_that_is_a_share_of_the_largest_rate_needs_one(name):
    with pytest.raises(ValueError, match=r'lr=0\.0 .*largest rate'):
        make(name, [nn.Parameter(torch.ones(2, 2))], lr=0.0)


@pytest.mark.slow
@pytest.mark.parametrize('name', [name for name in FIRST_ORDER if name in OURS])
def test_a_compiled_rule_follows_the_plain_one(name):
    torch._dynamo.reset()
    ends = []
    for compiled in (False, True):
        torch.manual_seed(0)
        params = [nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in ((40, 30), (300,), (8, 4, 3, 3))]
        optimizer = make(name, params, compiled=compiled)
        for step in range(6):
            for group in optimizer.param_groups:
                group['lr'] = 0.01 * (step + 1)
            for p in params:
                p.grad = torch.randn_like(p)
            optimizer.step()
        ends.append(torch.cat([p.detach().flatten() for p in params]))
    # NovoGrad divides by a float32 root, and RAdamLegacy does all in float32, of which torch and a compiler round the
    # last bit differently.
    rtol, atol = (1e-6, 1e-8) if name.startswith(('novograd', 'radamlegacy')) else (1e-9, 1e-11)
    torch.testing.assert_close(*ends, rtol=rtol, atol=atol)


def test_a_compiled_rule_is_one_graph_for_all_sizes_and_rates():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    params = [nn.Parameter(torch.ones(shape)) for shape in ((10, 20), (300,), (8, 4, 3, 3), (128, 3))]
    optimizer = compile_rule(make('lion', params))
    for step in range(4):
        optimizer.param_groups[0]['lr'] = 0.1 / (step + 1)
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == 1
    assert all(torch.equal(p, p.flatten()[0].expand_as(p)) for p in params)


def test_compiling_a_rule_of_torch_is_refused():
    with pytest.raises(TypeError, match='AdamW has no rule to compile'):
        make('adamw', [nn.Parameter(torch.ones(2))], compiled=True)


@pytest.mark.slow
@pytest.mark.parametrize('name', FIRST_ORDER)
def test_a_compiled_step_follows_the_plain_one(name):
    args = dict(lr=0.02, weight_decay=0.1)
    _, plain = solve(name, steps=4, **args)
    torch._dynamo.reset()
    torch.manual_seed(0)
    problem = Problem()
    optimizer = create_optimizer_v2(problem, opt=name, **args)
    step = torch.compile(optimizer.step, backend='eager')
    for _ in range(4):
        optimizer.zero_grad()
        problem.loss().backward()
        step()
    # Under a compiler torch's own classes compute bias corrections in float32, their step counts being of that dtype:
    # 1 - 0.999 is then off by up to 6e-5 of itself, and so is each of the four steps, of up to lr.
    rtol, atol = (1e-9, 1e-11) if name in OURS else (0, 4 * args['lr'] * 6e-5)
    torch.testing.assert_close(weights(problem), weights(plain), rtol=rtol, atol=atol)


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64])
def test_states_of_laprop_that_hold_a_plain_number_are_read(dtype):
    p = nn.Parameter(torch.ones(4, 3))
    optimizer = make('laprop', [p])
    p.grad = torch.ones_like(p)
    optimizer.step()
    state = optimizer.state_dict()
    correction = state['state'][0]['exp_avg_lr_2'] = float(state['state'][0]['exp_avg_lr_2'])
    q = nn.Parameter(torch.ones(4, 3, dtype=dtype))
    resumed = make('laprop', [q])
    resumed.load_state_dict(state)
    found = resumed.state[q]['exp_avg_lr_2']
    assert (found.dtype, found.device.type) == (torch.float32, 'cpu')
    assert found.item() == pytest.approx(correction)
