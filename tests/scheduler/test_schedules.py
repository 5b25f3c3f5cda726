"""Schedules: the numbers of the reference, and behaviour over time, groups, noise and restarts."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests import reference
from timm.scheduler import (
    CosineLRScheduler,
    MultiStepLRScheduler,
    PlateauLRScheduler,
    PolyLRScheduler,
    StepLRScheduler,
    TanhLRScheduler,
    WSDLRScheduler,
    create_scheduler,
    create_scheduler_v2,
    scheduler_kwargs,
)
from timm.scheduler.scheduler import Scheduler

RECORDS = reference.load('training')['schedulers']
ALL = {
    'cosine': lambda o, **k: CosineLRScheduler(o, t_initial=10, **k),
    'tanh': lambda o, **k: TanhLRScheduler(o, t_initial=10, **k),
    'poly': lambda o, **k: PolyLRScheduler(o, t_initial=10, **k),
    'step': lambda o, **k: StepLRScheduler(o, decay_t=3, decay_rate=0.5, **k),
    'multistep': lambda o, **k: MultiStepLRScheduler(o, decay_t=[3, 6], decay_rate=0.5, **k),
    'wsd': lambda o, **k: WSDLRScheduler(o, t_initial=10, decay_t=4, **k),
}


def make_optimizer(*groups):
    groups = groups or ({},)
    return torch.optim.SGD([{'params': [nn.Parameter(torch.zeros(1))], **group} for group in groups], lr=0.1)


def rates(optimizer):
    return [group['lr'] for group in optimizer.param_groups]


@pytest.mark.parametrize('record', RECORDS, ids=[f'{i}-{r["sched"]}' for i, r in enumerate(RECORDS)])
def test_rates_are_those_of_the_reference(record):
    optimizer = make_optimizer()
    scheduler, num_epochs = create_scheduler_v2(optimizer, record['sched'], **record['args'])
    advance = scheduler.step if record['args'].get('step_on_epochs', True) else scheduler.step_update
    found = rates(optimizer)
    for t in range(1, len(record['lrs'])):
        advance(t, 1 / t if t < 12 else 0.1)
        found += rates(optimizer)
    assert num_epochs == record['num_epochs']
    assert found == pytest.approx(record['lrs'], rel=1e-12, abs=1e-15)


@pytest.mark.parametrize('name', ALL)
def test_time_may_be_entered_anywhere(name):
    """What a resumed run relies on: the rate depends on the time alone."""
    straight, jumped = make_optimizer(), make_optimizer()
    first, second = (ALL[name](o, warmup_t=3, noise_range_t=2, noise_pct=0.3) for o in (straight, jumped))
    for epoch in range(9):
        first.step(epoch)
    second.step(8)
    assert rates(straight) == rates(jumped)


@pytest.mark.parametrize('name', ALL)
def test_only_the_chosen_clock_moves_the_rate(name):
    by_epoch, by_update = make_optimizer(), make_optimizer()
    epochs, updates = ALL[name](by_epoch), ALL[name](by_update, t_in_epochs=False)
    epochs.step_update(9)
    updates.step(9)
    assert rates(by_epoch) == rates(by_update) == [0.1]
    epochs.step(9)
    updates.step_update(9)
    assert rates(by_epoch) == rates(by_update) != [0.1]


@pytest.mark.parametrize('name', ALL)
def test_warm_up_rises_evenly_to_the_base_rate(name):
    optimizer = make_optimizer()
    args = {} if name == 'wsd' else {'warmup_prefix': True}
    scheduler = ALL[name](optimizer, warmup_t=4, warmup_lr_init=0.02, **args)
    found = rates(optimizer)
    for epoch in range(1, 5):
        scheduler.step(epoch)
        found += rates(optimizer)
    top = 0.1 * (1 - 4.5e-5) if name == 'tanh' else 0.1
    assert found == pytest.approx([0.02, 0.04, 0.06, 0.08, top], rel=1e-4)


@pytest.mark.parametrize('name', ALL)
def test_groups_keep_their_own_rates_and_scales(name):
    optimizer = make_optimizer({}, {'lr': 0.4}, {'lr_scale': 0.25})
    scheduler = ALL[name](optimizer, warmup_t=2)
    for epoch in (1, 8):
        scheduler.step(epoch)
        base, larger, scaled = rates(optimizer)
        assert larger == pytest.approx(4 * base)
        assert scaled == pytest.approx(0.25 * base)
    assert [group['initial_lr'] for group in optimizer.param_groups] == [0.1, 0.4, 0.1]


@pytest.mark.parametrize('name', ALL)
def test_state_survives_a_reload(name):
    optimizer, other = make_optimizer(), make_optimizer({'lr': 0.7})
    scheduler = ALL[name](optimizer, warmup_t=2, noise_range_t=(1, 9))
    restored = ALL[name](other, warmup_t=5)
    restored.load_state_dict(scheduler.state_dict())
    assert 'optimizer' not in scheduler.state_dict()
    for epoch in (1, 5, 9):
        scheduler.step(epoch)
        restored.step(epoch)
        assert rates(optimizer) == rates(other)


def test_a_second_schedule_starts_from_the_recorded_rate():
    optimizer = make_optimizer()
    StepLRScheduler(optimizer, decay_t=1, decay_rate=0.5).step(3)
    assert CosineLRScheduler(optimizer, t_initial=10).base_values == [0.1]
    assert CosineLRScheduler(optimizer, t_initial=10, initialize=False).base_values == [0.1]
    with pytest.raises(KeyError, match='initial_lr'):
        CosineLRScheduler(make_optimizer(), t_initial=10, initialize=False)


class Linear(Scheduler):
    """As downstream projects write them: they set `t_in_epochs` after the base has been built."""

    def __init__(self, optimizer, **kwargs):
        super().__init__(optimizer, param_group_field='lr', **kwargs)
        self.t_in_epochs = False

    def _get_lr(self, t):
        return [value * t for value in self.base_values]


def test_a_subclass_may_choose_its_clock_late():
    optimizer = make_optimizer({}, {'lr_scale': 0.5})
    scheduler = Linear(optimizer)
    scheduler.step(3)
    assert rates(optimizer) == [0.1, 0.05]
    scheduler.step_update(3)
    assert rates(optimizer) == pytest.approx([0.3, 0.15])


def test_any_field_can_be_scheduled():
    optimizer = make_optimizer({'momentum': 0.5})

    class Momentum(Linear):
        def __init__(self, optimizer):
            Scheduler.__init__(self, optimizer, 'momentum')

    Momentum(optimizer).step(2)
    assert optimizer.param_groups[0]['momentum'] == 1.0
    with pytest.raises(KeyError, match='nonsense'):
        Scheduler.__init__(object.__new__(Linear), optimizer, 'nonsense')


@pytest.mark.parametrize('noise_type', ['normal', 'uniform'])
def test_noise_stays_in_its_bounds_and_range(noise_type):
    optimizer = make_optimizer()

    class Flat(Linear):
        def _get_lr(self, t):
            return list(self.base_values)

    scheduler = Flat(
        optimizer, noise_range_t=[3, 40], noise_type=noise_type, noise_pct=0.2, noise_std=0.3, noise_seed=5
    )
    found = []
    for t in range(45):
        scheduler.step_update(t)
        found += rates(optimizer)
    assert found[:3] == [0.1] * 3
    assert found[40:] == [0.1] * 5
    assert all(0.08 < rate < 0.12 for rate in found)
    assert len(set(found[3:40])) == 37
    if noise_type == 'normal':
        again = Flat(make_optimizer(), noise_range_t=0, noise_pct=0.67, noise_seed=42)
        again.step_update(2)
        assert rates(again.optimizer) == pytest.approx([0.10589450262486935], rel=1e-6)  # a number of the reference


def test_cycles_start_again_longer_and_lower():
    optimizer = make_optimizer()
    scheduler = CosineLRScheduler(optimizer, t_initial=4, cycle_mul=2, cycle_decay=0.5, cycle_limit=3, lr_min=0.001)
    assert [scheduler.get_cycle_length(c) for c in (0, 1, 2, 3)] == [28, 4, 12, 28]
    for epoch, peak in ((0, 0.1), (4, 0.05), (12, 0.025), (28, 0.001), (99, 0.001)):
        scheduler.step(epoch)
        assert rates(optimizer) == pytest.approx([peak])


@pytest.mark.parametrize(
    ('decay_fn', 'half'),
    [
        ('linear', 0.5),
        ('cosine', 0.5),
        ('1-sqrt', 1 - 0.5**0.5),
        ('power', 0.75),
        ('exp', None),
        (math.cos, math.cos(0.5)),
    ],
)
def test_final_decay_has_the_chosen_shape(decay_fn, half):
    optimizer = make_optimizer()
    scheduler = WSDLRScheduler(optimizer, t_initial=10, decay_t=4, decay_fn=decay_fn, decay_power=2.0, warmup_t=2)
    scheduler.step(8)
    assert rates(optimizer) == [0.1]
    scheduler.step(10)
    half = (0.1**0.5 - 0.1) / 0.9 if half is None else half
    assert rates(optimizer) == pytest.approx([0.1 * half])
    for epoch in (12, 20):
        scheduler.step(epoch)
        assert rates(optimizer) == pytest.approx([0.1 * math.cos(1) if decay_fn is math.cos else 0.0])


def test_reciprocal_square_root_falls_before_the_decay():
    optimizer = make_optimizer()
    scheduler, num_epochs = create_scheduler_v2(
        optimizer, 'rsqrt', num_epochs=40, warmup_epochs=4, decay_epochs=6, cooldown_epochs=3, min_lr=1e-3
    )
    assert num_epochs == 43
    for epoch, rate in ((4, 0.1), (16, 0.05), (34, 0.1 / 8.5**0.5), (40, 1e-3), (42, 1e-3)):
        scheduler.step(epoch)
        assert rates(optimizer) == pytest.approx([rate])


@pytest.mark.parametrize(('prefix', 'length'), [(False, 95), (True, 100)])
@pytest.mark.parametrize('updates', [0, 10])
def test_a_final_decay_may_be_a_share_of_the_epochs_after_the_warm_up(prefix, length, updates):
    given = dict(num_epochs=100, warmup_epochs=5, warmup_prefix=prefix)
    given |= dict(step_on_epochs=not updates, updates_per_epoch=updates)
    for decay_epochs, expected in ((20, 20), (20 / length, 20), (0.1, length / 10), (None, length / 5)):
        scheduler, _ = create_scheduler_v2(make_optimizer(), 'wsd', decay_epochs=decay_epochs, **given)
        assert scheduler.decay_t == round(expected * (updates or 1))


def test_plateau_drops_when_the_metric_stands_still():
    optimizer = make_optimizer({}, {'lr_scale': 0.5})
    scheduler = PlateauLRScheduler(optimizer, decay_rate=0.5, patience_t=1, mode='max', lr_min=0.02)
    found = []
    for epoch, metric in enumerate([0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2], start=1):
        scheduler.step(epoch, metric)
        found.append(rates(optimizer)[0])
    assert found == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.02])
    scheduler.step(9)  # nothing known, nothing done
    scheduler.step_update(5, 0.2)
    assert rates(optimizer)[0] == pytest.approx(0.02)


@pytest.mark.parametrize('stop', [1, 4, 6])
def test_plateau_remembers_across_a_reload(stop):
    metrics = [0.1, 0.3, 0.3, 0.2, 0.3, 0.3, 0.3, 0.3, 0.3, 0.4, 0.4, 0.4]

    def make(optimizer):
        return PlateauLRScheduler(
            optimizer, decay_rate=0.5, patience_t=1, cooldown_t=1, noise_range_t=3, warmup_t=2, warmup_lr_init=0.01
        )

    straight, resumed = make_optimizer(), make_optimizer()
    scheduler = make(straight)
    for epoch, metric in enumerate(metrics, start=1):
        scheduler.step(epoch, metric)
        if epoch == stop:
            state, rate = scheduler.state_dict(), rates(straight)[0]
    expected = rates(straight)

    scheduler = make(resumed)
    resumed.param_groups[0]['lr'] = rate
    scheduler.load_state_dict(state)
    for epoch, metric in list(enumerate(metrics, start=1))[stop:]:
        scheduler.step(epoch, metric)
    assert rates(resumed) == expected
    scheduler.load_state_dict({'best': 0.5, 'last_epoch': 3})  # as written elsewhere
    assert scheduler.lr_scheduler.best == 0.5


def test_no_schedule_is_a_choice():
    assert create_scheduler_v2(make_optimizer(), 'none', num_epochs=7) == (None, 7)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(sched='cosin'), "nearest are cosine, .*'none'"),
        (dict(sched=None), 'sched='),
        (dict(sched='cosine', step_on_epochs=False), 'updates_per_epoch=0'),
        (dict(sched='plateau', step_on_epochs=False, updates_per_epoch=3), 'plateau'),
        (dict(sched='cosine', num_epochs=0), 't_initial=0'),
        (dict(sched='cosine', min_lr=-1.0), 'lr_min=-1.0'),
        (dict(sched='step', decay_epochs=0), 'decay_t=0'),
        (dict(sched='multistep', decay_milestones=[4, 2]), 'rising order'),
        (dict(sched='wsd', num_epochs=10, decay_epochs=11), 'decay_epochs=11'),
        (dict(sched='wsd', num_epochs=10, warmup_epochs=20), 'warmup_epochs=20'),
        (dict(sched='wsd', decay_fn='lineer'), "'linear' is nearest"),
        (dict(sched='rsqrt', warmup_epochs=0), 'stable_timescale=0'),
    ],
)
def test_impossible_schedules_are_refused(args, message):
    with pytest.raises(ValueError, match=message):
        create_scheduler_v2(make_optimizer(), **args)


def test_options_become_arguments():
    options = SimpleNamespace(sched='step', epochs=20, decay_epochs=3, lr_noise=[0.2], seed=7, eval_metric='loss')
    kwargs = scheduler_kwargs(options)
    assert kwargs['num_epochs'] == 20
    assert kwargs['noise_seed'] == 7
    assert kwargs['warmup_epochs'] == 5
    assert kwargs['plateau_mode'] == 'min'
    assert scheduler_kwargs(options, decreasing_metric=False)['plateau_mode'] == 'max'
    optimizer = make_optimizer()
    scheduler, num_epochs = create_scheduler(SimpleNamespace(**vars(options), sched_on_updates=True), optimizer, 10)
    assert (type(scheduler), num_epochs) == (StepLRScheduler, 20)
    assert (scheduler.decay_t, scheduler.warmup_t, scheduler.t_in_epochs, scheduler.noise_range_t) == (
        30,
        50,
        False,
        40,
    )


def test_direct_arguments_are_checked_too():
    for refused in (dict(lb=3.0, ub=1.0), dict(cycle_mul=0)):
        with pytest.raises(ValueError, match='not allowed'):
            TanhLRScheduler(make_optimizer(), t_initial=5, **refused)
    with pytest.raises(ValueError, match="mode='up'"):
        PlateauLRScheduler(make_optimizer(), mode='up')
    with pytest.raises(ValueError, match='decay_ratio=1'):
        WSDLRScheduler(make_optimizer(), 10, 3, decay_ratio=1.0)
