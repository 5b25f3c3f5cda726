"""Every optimizer walks the path of the reference, whichever kernel does the work, and goes on after a reload."""

import copy
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests import reference
from tests.fill import digest
from tests.optim.problem import Problem, solve, train
from timm.optim import SGDW, Lamb, Lion, Lookahead, NAdamW, create_optimizer_v2, get_optimizer_info, list_optimizers

RUNS = [
    (name, run)
    for name, record in reference.load('training')['optimizers'].items()
    for run in ('plain', 'decayed', 'no_filter')
    if 'losses' in record.get(run, {}) and name in list_optimizers()
]
OURS = [name for name in list_optimizers() if get_optimizer_info(name).opt_class in (Lamb, Lion, NAdamW, SGDW)]
FUSED = ('sgd', 'momentum', 'adam', 'adamw', 'adagrad')


# Kron solves triangular systems in float32 and NovoGrad takes float32 roots, as published. Libraries choose how by the
# make of the CPU, and round the last bit one way or the other, in the reference as here.
ROUNDED = ('kron', 'novograd')
# MKL then does the same on all of them, but for roots, which begin with an estimate that CPUs make differently.
THE_SAME_ON_ALL_CPUS = {'MKL_CBWR': 'COMPATIBLE'}
# How the CPU of the records took NovoGrad's roots, step by step and parameter by parameter: rounded as they should be
# (=), to the float32 before (-) or after (+). Of all such roundings these alone lead to the recorded losses.
ROOTS = {
    ('novograd', 'plain'): '==-= ==== ==== ==== ==== =+== ==== ==-= ==== =+== ==== ====',
    ('novograd', 'decayed'): '-=== ==== ==== ===- ==== +=-= ==+- ===+ ===+ ==== ===+ ====',
    ('novograd', 'no_filter'): '==-= ==== ===+ ===+ ==== =-== ==== ==== ==-= ===- =+=- =-==',
    ('novogradw', 'plain'): '==-= ==== ==== ==== ==== =+== ==== ==-= ==== =+== ==== ====',
    ('novogradw', 'decayed'): '-=== ==== ==== ==+= ==== +==+ ==== ==== ==== ==++ ==== ===-',
    ('novogradw', 'no_filter'): '==-= ==== ==-= -=-= ==-= =-== -=== =+== -=== +=== ==== =+==',
}


def weights(problem):
    return torch.cat([p.detach().flatten() for p in problem.parameters()])


def check_path(name, run, rel):
    expected = reference.load('training')['optimizers'][name][run]
    losses, problem = solve(name, **expected['args'])
    assert losses == pytest.approx(expected['losses'], rel=rel)
    for param_name, numbers in expected['params'].items():
        found = digest(getattr(problem, param_name))
        assert found['rms'] == pytest.approx(numbers['rms'], rel=rel)
        assert found['proj'] == pytest.approx(numbers['proj'], rel=rel)


@pytest.mark.parametrize(('name', 'run'), RUNS)
def test_path_is_that_of_the_reference(name, run):
    check_path(name, run, rel=torch.finfo(torch.float32).eps if name.startswith(ROUNDED) else 1e-9)


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason='this torch solves without MKL')
def test_path_of_kron_is_that_of_the_reference_where_all_cpus_round_alike():
    check = """
from tests.optim.test_trajectories import RUNS, check_path

for name, run in RUNS:
    if name.startswith('kron'):
        check_path(name, run, rel=1e-9)
        print(name, run)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, '-c', check],
        cwd=root,
        env={**os.environ, **THE_SAME_ON_ALL_CPUS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == sum(name.startswith('kron') for name, _ in RUNS) > 0


@pytest.mark.parametrize(('name', 'run'), ROOTS)
def test_path_of_novograd_is_that_of_the_reference_where_roots_are_rounded_alike(name, run, monkeypatch):
    signs = iter(ROOTS[name, run].replace(' ', ''))
    infinity = torch.tensor(torch.inf)
    towards = {'-': -infinity, '+': infinity}

    def root(square):
        assert square.dtype == torch.float32
        rounded, sign = square.double().sqrt().float(), next(signs)
        return rounded if sign == '=' else rounded.nextafter(towards[sign])

    monkeypatch.setattr(torch, '_foreach_sqrt', lambda squares: [root(square) for square in squares])
    check_path(name, run, rel=1e-9)
    assert next(signs, None) is None


@pytest.mark.parametrize('name', ['sgd', 'adamw'])
def test_lookahead_follows_the_reference(name):
    expected = reference.load('training')['lookahead'][name]
    losses, problem = solve(f'lookahead_{name}', steps=20, lr=0.01, weight_decay=0.05)
    assert losses == pytest.approx(expected['losses'], rel=1e-9)
    for param_name, numbers in expected['params'].items():
        assert digest(getattr(problem, param_name))['proj'] == pytest.approx(numbers['proj'], rel=1e-9)


@pytest.mark.parametrize('name', OURS)
def test_lists_and_single_tensors_agree(name):
    args = dict(lr=0.02, weight_decay=0.1)
    _, default = solve(name, **args)
    _, single = solve(name, foreach=False, **args)
    _, lists = solve(name, foreach=True, **args)
    torch.testing.assert_close(weights(lists), weights(single), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(weights(default), weights(single), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize('name', [*FUSED, 'lamb', 'lambcd', 'clamb', 'csgdc', 'cnadamc', 'clionc', 'lookahead_lamb'])
def test_a_reloaded_run_goes_on_as_if_it_had_not_stopped(name):
    args = dict(lr=0.02, weight_decay=0.1)
    _, straight = solve(name, steps=15, **args)

    problem = Problem()
    optimizer = create_optimizer_v2(problem, opt=name, **args)
    train(problem, optimizer, 8)
    file = io.BytesIO()
    torch.save({'model': problem.state_dict(), 'optimizer': optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    resumed = Problem()
    resumed.load_state_dict(saved['model'])
    optimizer = create_optimizer_v2(resumed, opt=name, **args)
    optimizer.load_state_dict(saved['optimizer'])
    train(resumed, optimizer, 7)
    torch.testing.assert_close(weights(resumed), weights(straight), rtol=1e-12, atol=1e-14)


def test_state_dicts_taken_before_a_step_keep_their_count():
    problem = Problem()
    optimizer = create_optimizer_v2(problem, opt='lamb')
    train(problem, optimizer, 2)
    taken = optimizer.state_dict()
    train(problem, optimizer, 3)
    assert taken['param_groups'][0]['step'] == 2


@pytest.mark.parametrize('name', ['lamb', 'clion', 'sgdw', 'nadamw'])
def test_state_dicts_of_older_versions_are_completed(name):
    problem = Problem()
    optimizer = create_optimizer_v2(problem, opt=name, lr=0.02)
    train(problem, optimizer, 2)
    state = optimizer.state_dict()
    for group in state['param_groups']:
        for key in ('caution', 'corrected_weight_decay', 'max_lr_snapshot', 'foreach', 'maximize'):
            group.pop(key, None)
    optimizer.load_state_dict(state)
    assert all(group['max_lr_snapshot'] == 0.02 for group in optimizer.param_groups)
    assert all(group['caution'] is (name == 'clion') for group in optimizer.param_groups)
    assert len(train(problem, optimizer, 1)) == 1


@pytest.mark.parametrize('name', FUSED)
def test_the_fused_kernel_is_the_default_on_the_cpu(name, monkeypatch):
    used = []
    kernel = {'sgd': 'sgd', 'momentum': 'sgd', 'adam': 'adam', 'adamw': 'adamw', 'adagrad': 'adagrad'}[name]
    fused = getattr(torch, f'_fused_{kernel}_')
    monkeypatch.setattr(torch, f'_fused_{kernel}_', lambda *a, **k: used.append(1) or fused(*a, **k))
    _, fast = solve(name, steps=4, lr=0.02)
    assert len(used) == 4
    for refusal in (dict(fused=False), dict(foreach=False), dict(foreach=True)):
        _, slow = solve(name, steps=4, lr=0.02, **refusal)
        assert len(used) == 4
        torch.testing.assert_close(weights(fast), weights(slow), rtol=1e-12, atol=1e-14)


def test_the_fused_default_leaves_no_trace_in_the_state_dict():
    problem = Problem()
    optimizer = create_optimizer_v2(problem, opt='adamw')
    train(problem, optimizer, 2)
    assert all(group['fused'] is None for group in optimizer.state_dict()['param_groups'])
    assert type(optimizer) is torch.optim.AdamW


@pytest.mark.parametrize('name', ['sgd', 'adamw', 'adagrad', 'lamb'])
def test_gradients_laid_out_unlike_their_weights_are_not_mixed_up(name):
    shape = (4, 3, 5, 5)
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        p = nn.Parameter(torch.linspace(-1, 1, 300).view(shape))
        optimizer = create_optimizer_v2([p], opt=name, lr=0.1, weight_decay=0.1)
        for step in range(3):
            grad = torch.linspace(1, -2 - step, 300).sin().view(shape)
            p.grad = grad.contiguous(memory_format=memory_format)
            optimizer.step()
        results.append(p.detach().clone())
    torch.testing.assert_close(*results)


@pytest.mark.parametrize('name', ['sgd', 'csgdw', 'nadamw', 'lamb', 'lion', 'lookahead_sgd'])
def test_parameters_may_join_later(name):
    early, late = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    optimizer = create_optimizer_v2([early, late], opt=name, lr=0.1)
    early.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(late.detach(), torch.ones(2))
    late.grad = torch.ones(2)
    optimizer.step()
    assert (late < 1).all()


def test_a_failed_step_does_not_change_what_the_next_one_uses():
    embedding = nn.Embedding(4, 2, sparse=True)
    optimizer = create_optimizer_v2(embedding, opt='adamw')
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match='sparse'):
        optimizer.step()
    assert optimizer.param_groups[0]['fused'] is None
    sgd = create_optimizer_v2(embedding, opt='momentum', momentum=0.0, lr=1.0)
    before = embedding.weight.detach().clone()
    sgd.step()
    torch.testing.assert_close(embedding.weight[1], before[1] - 1)


@pytest.mark.parametrize('name', ['sgdw', 'nadamw', 'lamb', 'lion'])
def test_sparse_gradients_are_refused_by_name(name):
    embedding = nn.Embedding(4, 2, sparse=True)
    optimizer = create_optimizer_v2(embedding, opt=name)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match=r'(?i)dense gradients'):
        optimizer.step()


@pytest.mark.parametrize('name', ['sgd', 'adamw', 'lamb', 'lion', 'sgdw', 'nadamw', 'lookahead_adamw'])
def test_a_closure_is_evaluated_with_gradients(name):
    problem = Problem()
    optimizer = create_optimizer_v2(problem, opt=name, lr=0.01)

    def closure():
        optimizer.zero_grad()
        loss = problem.loss()
        loss.backward()
        return loss

    before = optimizer.step(closure)
    assert problem.loss() < before


@pytest.mark.parametrize('name', ['sgdw', 'nadamw', 'lion'])
def test_maximize_climbs(name):
    problem = Problem()
    optimizer = create_optimizer_v2(problem, opt=name, lr=0.01, maximize=True)
    losses = train(problem, optimizer, 4)
    assert losses == sorted(losses)


def test_nadamw_clips_what_its_denominator_has_not_caught_up_with():
    def moved(threshold):
        p = nn.Parameter(torch.zeros(4, dtype=torch.float64))
        optimizer = NAdamW([p], lr=1.0, clipping_threshold=threshold)
        for size in (0.01, 0.01, 10.0):
            p.grad = torch.full_like(p, size)
            before = p.detach().clone()
            optimizer.step()
        return (p.detach() - before).abs().max().item()

    assert moved(1.0) < 0.6 * moved(None)
    assert moved(1e6) == pytest.approx(moved(None), rel=1e-12)


def test_a_capturable_step_is_the_same_step():
    _, plain = solve('nadamw', lr=0.02, weight_decay=0.1)
    _, capturable = solve('nadamw', lr=0.02, weight_decay=0.1, capturable=True)
    torch.testing.assert_close(weights(plain), weights(capturable), rtol=1e-12, atol=1e-14)


def test_lookahead_shares_groups_and_state_with_the_inner_optimizer():
    problem = Problem()
    inner = torch.optim.SGD(problem.parameters(), lr=0.1)
    outer = Lookahead(inner, alpha=0.3, k=2)
    assert outer.param_groups is inner.param_groups
    assert outer.state is inner.state
    train(problem, outer, 4)
    assert 'lookahead_slow_buff' in inner.state[problem.fc_bias]
    for copied in (copy.deepcopy(outer), pickled(outer)):
        assert copied.param_groups[0]['lookahead_step'] == 4
        assert copied.param_groups is copied._base_optimizer.param_groups
    outer.load_state_dict(torch.optim.SGD(problem.parameters(), lr=0.2).state_dict())
    assert (outer.param_groups[0]['lr'], outer.param_groups[0]['lookahead_k']) == (0.2, 2)


def pickled(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def test_lookahead_goes_part_of_the_way():
    p = nn.Parameter(torch.zeros(1))
    optimizer = Lookahead(torch.optim.SGD([p], lr=1.0), alpha=0.25, k=1)
    p.grad = torch.full((1,), -1.0)
    optimizer.step()  # to 1, where the slow weights start
    optimizer.step()  # to 2, and a quarter of the way from 1
    assert p.item() == 1.25
    p.data.fill_(5.25)
    optimizer.sync_lookahead()
    assert p.item() == 2.25


@pytest.mark.parametrize(('args', 'message'), [(dict(alpha=1.5), 'alpha=1.5'), (dict(k=0), 'k=0')])
def test_lookahead_refuses_impossible_values(args, message):
    with pytest.raises(ValueError, match=message):
        Lookahead(torch.optim.SGD([nn.Parameter(torch.zeros(1))]), **args)


@pytest.mark.parametrize('optimizer_class', [Lamb, Lion, NAdamW, SGDW])
def test_half_precision_weights_stay_so(optimizer_class):
    p = nn.Parameter(torch.ones(4, 3, dtype=torch.bfloat16))
    optimizer = optimizer_class([p], lr=0.1, weight_decay=0.1)
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert p.dtype == torch.bfloat16
    assert (p < 1).all()
