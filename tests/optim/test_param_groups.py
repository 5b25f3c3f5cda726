"""Parameter groups: who decays, who learns slower, who is frozen."""

import logging

import pytest
import torch
from torch import nn

import timm
from tests import reference
from timm.optim import auto_group_layers, create_optimizer_v2, param_groups_layer_decay, param_groups_weight_decay

MODELS = ('resnet18', 'vit_tiny_patch16_224', 'convnext_atto')


class Net(nn.Module):
    """Stem, three blocks, head, a position embedding and a scalar."""

    def __init__(self):
        super().__init__()
        self.pos = nn.Parameter(torch.zeros(1, 2, 3))
        self.scale = nn.Parameter(torch.zeros(()))
        self.stem = nn.Linear(3, 4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.head = nn.Linear(4, 2)

    def no_weight_decay(self):
        return {'pos'}

    def group_matcher(self, coarse=False):
        return dict(stem='^stem|pos|scale', blocks=r'^blocks\.(\d+)')


def named(model, groups):
    names = {param: name for name, param in model.named_parameters()}
    return [{**group, 'params': [names[param] for param in group['params']]} for group in groups]


def build(name):
    with torch.device('meta'):
        return timm.create_model(name)


@pytest.mark.parametrize('name', MODELS)
def test_weight_decay_groups_are_those_of_the_reference(name):
    expected = reference.load('training')['weight_decay_groups(wd=0.05)'][name]
    groups = param_groups_weight_decay(build(name), weight_decay=0.05)
    assert [{'weight_decay': g['weight_decay'], 'count': len(g['params'])} for g in groups] == expected


@pytest.mark.parametrize('name', MODELS)
def test_layer_decay_groups_are_those_of_the_reference(name):
    expected = reference.load('training')['layer_decay(wd=0.05,ld=0.75)'][name]
    model = build(name)
    no_decay = model.no_weight_decay() if hasattr(model, 'no_weight_decay') else ()
    groups = param_groups_layer_decay(model, weight_decay=0.05, no_weight_decay_list=no_decay, layer_decay=0.75)
    assert len(groups) == len(expected)
    for group, numbers in zip(groups, expected, strict=True):
        assert group['lr_scale'] == pytest.approx(numbers['lr_scale'], rel=1e-12)
        assert group['weight_decay'] == numbers['weight_decay']
        assert len(group['params']) == numbers['count']
        assert sum(param.numel() for param in group['params']) == numbers['numel']


def test_vectors_biases_and_listed_names_do_not_decay():
    model = Net()
    groups = named(model, param_groups_weight_decay(model, 0.1, no_weight_decay_list=['pos', 'blocks.[01].*']))
    assert [group['weight_decay'] for group in groups] == [0.0, 0.1]
    assert groups[1]['params'] == ['stem.weight', 'blocks.2.weight', 'head.weight']
    everything = param_groups_weight_decay(model, 0.1, weight_decay_exclude_1d=False)
    assert [len(group['params']) for group in everything] == [12]


def test_without_decay_there_is_one_group():
    for decay in (0.0, None):
        groups = param_groups_weight_decay(Net(), decay)
        assert [(group['weight_decay'], len(group['params'])) for group in groups] == [(0.0, 12)]


def test_fallback_parameters_are_set_apart():
    model = Net()
    groups = named(
        model,
        param_groups_weight_decay(
            model, 0.1, no_weight_decay_list=['pos'], fallback_list=['head.*'], fallback_no_weight_decay=True
        ),
    )
    assert [group.get('use_fallback', False) for group in groups] == [False, False, True, True]
    assert groups[2]['params'] == ['pos', 'head.bias']
    assert groups[3]['params'] == ['head.weight']


def test_each_layer_down_learns_slower():
    model = Net()
    scales = {}
    for group in named(model, param_groups_layer_decay(model, layer_decay=0.5, no_weight_decay_list=['pos'])):
        scales.update((name, group['lr_scale']) for name in group['params'])
    assert scales['head.weight'] == scales['head.bias'] == 1
    assert [scales[f'blocks.{i}.weight'] for i in (2, 1, 0)] == [0.5, 0.25, 0.125]
    assert scales['pos'] == scales['stem.weight'] == 0.0625
    floored = param_groups_layer_decay(model, layer_decay=0.5, min_scale=0.2)
    assert min(group['lr_scale'] for group in floored) == 0.2


def test_layers_below_a_scale_are_frozen():
    model = Net()
    groups = named(model, param_groups_layer_decay(model, layer_decay=0.5, no_opt_scale=0.25))
    names = {name for group in groups for name in group['params']}
    assert names == {f'{part}.{p}' for part in ('blocks.1', 'blocks.2', 'head') for p in ('weight', 'bias')}
    assert {name for name, p in model.named_parameters() if p.requires_grad} == names


def test_frozen_parameters_are_in_no_group():
    model = Net()
    model.stem.requires_grad_(False)
    for groups in (param_groups_weight_decay(model, 0.1), param_groups_layer_decay(model)):
        names = {name for group in named(model, groups) for name in group['params']}
        assert not {'stem.weight', 'stem.bias'} & names
        assert len(names) == 10


def test_verbose_names_every_parameter(caplog):
    caplog.set_level(logging.INFO)
    model = Net()
    param_groups_layer_decay(model, verbose=True)
    assert all(name in caplog.text for name, _ in model.named_parameters())


def test_layers_of_a_model_without_a_matcher_are_runs_of_parameters(caplog):
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    assert set(auto_group_layers(model).values()) == {0}
    model.pretrained_cfg = {'classifier': '3'}
    assert list(auto_group_layers(model, layers_per_group=2).values()) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert list(auto_group_layers(model, num_groups=2).values()) == [0, 0, 0, 1, 1, 1, 2, 2]
    model.pretrained_cfg = {'classifier': ('2', '3')}
    assert list(auto_group_layers(model).values()) == [0, 0, 0, 0, 1, 1, 1, 1]
    del model.pretrained_cfg
    param_groups_layer_decay(model)
    assert 'no effect' in caplog.text


def test_the_optimizer_leaves_decay_to_the_groups_of_a_model():
    model = Net()
    optimizer = create_optimizer_v2(model, 'adamw', weight_decay=0.1)
    assert optimizer.defaults['weight_decay'] == 0
    assert [group['weight_decay'] for group in optimizer.param_groups] == [0.0, 0.1]
    unfiltered = named(
        model, create_optimizer_v2(model, 'adamw', weight_decay=0.1, filter_bias_and_bn=False).param_groups
    )
    assert [(group['weight_decay'], len(group['params'])) for group in unfiltered] == [(0.0, 1), (0.1, 11)]
    given = create_optimizer_v2(model.parameters(), 'adamw', weight_decay=0.1)
    assert [group['weight_decay'] for group in given.param_groups] == [0.1]
    own = create_optimizer_v2(
        model, 'adamw', weight_decay=0.1, layer_decay=0.5, param_group_fn=lambda m: m.parameters()
    )
    assert [group['weight_decay'] for group in own.param_groups] == [0.1]
    scaled = create_optimizer_v2(model, 'adamw', weight_decay=0.1, layer_decay=0.5)
    assert scaled.param_groups[0]['lr_scale'] == 0.0625


def test_a_compiled_model_is_grouped_like_the_model():
    model = Net()
    plain = named(model, create_optimizer_v2(model, 'sgd', weight_decay=0.1, layer_decay=0.5).param_groups)
    compiled = torch.compile(model, backend='eager')
    assert named(model, create_optimizer_v2(compiled, 'sgd', weight_decay=0.1, layer_decay=0.5).param_groups) == plain
