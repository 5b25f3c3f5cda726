"""Optimizers by name: what is listed, what is refused, and which arguments reach the optimizer."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests import reference
from timm.optim import (
    SGDW,
    OptimInfo,
    OptimizerRegistry,
    create_optimizer,
    create_optimizer_v2,
    get_optimizer_class,
    get_optimizer_info,
    list_optimizers,
    optimizer_kwargs,
)


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))


@pytest.mark.parametrize('name', list_optimizers())
def test_each_entry_says_what_the_reference_says(name):
    expected = reference.load('training')['optimizers'][name]
    info = get_optimizer_info(name)
    path = info.opt_class if isinstance(info.opt_class, str) else info.opt_class.__name__
    assert path == expected['info']['opt_class']
    defaults = {key: list(value) if isinstance(value, tuple) else value for key, value in (info.defaults or {}).items()}
    assert defaults == expected['info']['defaults']
    for trait in ('has_eps', 'has_momentum', 'has_betas', 'num_betas', 'second_order'):
        assert getattr(info, trait) == expected['info'][trait], trait
    assert info.description


@pytest.mark.parametrize('name', list_optimizers(exclude_filters=['bnb*', 'fused*']))
def test_every_name_makes_an_optimizer_that_lowers_the_loss(name):
    torch.manual_seed(0)
    p = nn.Parameter(torch.randn(6, 5))
    optimizer = create_optimizer_v2([p], opt=name.upper(), lr=0.01)
    assert isinstance(optimizer, get_optimizer_info(name).opt_class)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = p.square().sum()
        p.grad = torch.autograd.grad(loss, p, create_graph=get_optimizer_info(name).second_order)[0]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_lists_are_sorted_and_filtered():
    assert list_optimizers() == sorted(list_optimizers())
    assert list_optimizers('sgd*') == ['sgd', 'sgdc', 'sgdp', 'sgdw']
    assert list_optimizers(['sgd', 'li*n']) == ['lion', 'sgd']
    assert list_optimizers('sgd*', exclude_filters='*w') == ['sgd', 'sgdc', 'sgdp']
    assert list_optimizers('sgd*', exclude_filters=['*w', 'sgd']) == ['sgdc', 'sgdp']
    assert list_optimizers('lion', with_description=True) == [('lion', get_optimizer_info('lion').description)]


@pytest.mark.parametrize('name', ['adamx', 'foo_adamw', 'lookahead_adamx', ''])
def test_unknown_names_are_refused_with_the_nearest_three(model, name):
    with pytest.raises(ValueError, match='There is no optimizer') as error:
        create_optimizer_v2(model, opt=name)
    listed = str(error.value).split('nearest are: ')[1].split('. See')[0].split(', ')
    assert len(listed) == 3
    assert set(listed) <= set(list_optimizers())


def test_the_nearest_name_comes_first():
    with pytest.raises(ValueError, match='nearest are: adamw, '):
        get_optimizer_info('adamww')


@pytest.mark.parametrize('name', ['sgd', 'adamw', 'lamb', 'lion', 'sgdw', 'nadamw', 'rmsprop'])
@pytest.mark.parametrize('value', [-0.1, float('nan'), float('inf')])
def test_impossible_rates_are_refused_with_the_value(model, name, value):
    with pytest.raises(ValueError, match=f'lr={value}'):
        create_optimizer_v2(model, opt=name, lr=value)
    with pytest.raises(ValueError, match=f'weight_decay={value}'):
        create_optimizer_v2(model, opt=name, weight_decay=value)


@pytest.mark.parametrize(
    ('name', 'args', 'message'),
    [
        ('adamw', dict(betas=(1.0, 0.9)), r'betas=\(1.0, 0.9\)'),
        ('lamb', dict(betas=(0.9, -0.1)), r'betas\[1\]'),
        ('lion', dict(betas=(float('nan'), 0.9)), 'betas'),
        ('nadamw', dict(eps=-1e-8), 'eps=-1e-08'),
        ('sgd', dict(momentum=-0.5), 'momentum=-0.5'),
        ('adamw', dict(betas=(0.9,)), 'too short'),
        ('sgdw', dict(momentum=0.0, nesterov=True), 'nesterov=True'),
    ],
)
def test_other_impossible_values_are_refused(model, name, args, message):
    with pytest.raises(ValueError, match=message):
        create_optimizer_v2(model, opt=name, **args)


def test_arguments_an_optimizer_does_not_have_are_dropped(model):
    assert 'eps' not in create_optimizer_v2(model, 'sgd', eps=1e-3, betas=(0.1, 0.2)).defaults
    assert create_optimizer_v2(model, 'adamw', momentum=0.5, betas=[0.1, 0.2, 0.3]).defaults['betas'] == (0.1, 0.2)
    assert create_optimizer_v2(model, 'rmsprop', momentum=0.5, eps=None).defaults['momentum'] == 0.5
    with pytest.raises(TypeError, match='bogus'):
        create_optimizer_v2(model, 'adamw', bogus=1)


def test_none_reaches_an_optimizer_to_which_it_means_something(model):
    assert create_optimizer_v2(model, 'lamb', max_grad_norm=None).defaults['max_grad_norm'] is None


def test_classes_come_with_or_without_what_the_name_adds():
    assert get_optimizer_class('adamw') is torch.optim.AdamW
    assert get_optimizer_class('sgd').keywords == {'nesterov': True}
    assert get_optimizer_class('sgd', bind_defaults=False) is torch.optim.SGD


def test_own_defaults_hold_where_no_rate_is_given(model):
    assert create_optimizer_v2(model, 'lion').defaults['lr'] == 1e-4


def test_options_become_arguments(model):
    options = SimpleNamespace(opt='adamw', lr=0.1, weight_decay=0.2, momentum=0.9)
    assert optimizer_kwargs(options) == dict(opt='adamw', lr=0.1, weight_decay=0.2, momentum=0.9)
    options = SimpleNamespace(
        **vars(options),
        opt_eps=1e-3,
        opt_betas=[0.1, 0.2],
        layer_decay=None,
        opt_foreach=None,
        opt_args={'amsgrad': True},
    )
    assert optimizer_kwargs(options) == dict(
        opt='adamw', lr=0.1, weight_decay=0.2, momentum=0.9, eps=1e-3, betas=[0.1, 0.2], amsgrad=True
    )
    optimizer = create_optimizer(options, model)
    assert optimizer.defaults['amsgrad']
    assert [group['weight_decay'] for group in optimizer.param_groups] == [0.0, 0.2]


def test_a_registry_takes_new_names_and_aliases(model, caplog):
    registry = OptimizerRegistry()
    registry.register(OptimInfo('My_Own', SGDW, has_eps=False, has_momentum=True, defaults={'nesterov': True}))
    registry.register_alias('mine', 'my_own')
    assert registry.list_optimizers() == ['mine', 'my_own']
    assert registry.create_optimizer(model, 'mine', momentum=0.3).defaults['momentum'] == 0.3
    registry.register(OptimInfo('my_own', torch.optim.Adam))
    assert 'my_own' in caplog.text
    assert type(registry.create_optimizer(model, 'lookahead_my_own')).__name__ == 'Lookahead'
    with pytest.raises(KeyError, match='nothing'):
        registry.register_alias('a', 'nothing')
    registry.register(OptimInfo('far', 'no_such_package.Far'))
    with pytest.raises(ImportError, match='no_such_package'):
        registry.create_optimizer(model, 'far')


def test_a_name_can_work_on_lists_by_default(model):
    registry = OptimizerRegistry()
    registry.register(OptimInfo('sgdw', SGDW, has_eps=False, has_momentum=True))
    registry.register_foreach_default('sgdw')
    assert registry.create_optimizer(model, 'sgdw').defaults['foreach'] is True
    assert registry.create_optimizer(model, 'sgdw', foreach=False).defaults['foreach'] is False


def test_the_old_path_warns(monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, 'timm.optim.optim_factory', raising=False)
    with pytest.warns(FutureWarning, match='timm.optim'):
        from timm.optim.optim_factory import create_optimizer_v2 as old
    assert old is create_optimizer_v2
