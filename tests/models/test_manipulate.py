"""Walks over module trees: names, groups, flattening, activation checkpointing, rewriting."""

import copy
import pickle

import pytest
import torch
from torch import nn

from timm.models import _manipulate as manipulate
from timm.models._manipulate import (
    MATCH_PREV_GROUP,
    CheckpointedSequential,
    adapt_input_conv,
    checkpoint_seq,
    flatten_modules,
    group_modules,
    group_parameters,
    group_with_matcher,
    model_parameters,
    named_apply,
    named_modules,
    named_modules_with_params,
    reinit_non_persistent_buffers,
    reparameterize_model,
)


class Counted(nn.Module):
    """A linear layer that counts how often it runs."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.fc(x).tanh()


@pytest.fixture
def tree():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))


@pytest.mark.parametrize(
    ('depth_first', 'include_root', 'expected'),
    [
        (True, True, ['0', '1.0', '1.1', '1', '']),
        (True, False, ['0', '1.0', '1.1', '1']),
        (False, True, ['', '0', '1', '1.0', '1.1']),
        (False, False, ['0', '1', '1.0', '1.1']),
    ],
)
def test_modules_are_named_in_the_order_asked_for(tree, depth_first, include_root, expected):
    names = [name for name, _ in named_modules(tree, depth_first=depth_first, include_root=include_root)]
    assert names == expected
    seen = []
    result = named_apply(
        lambda module, name: seen.append(name), tree, depth_first=depth_first, include_root=include_root
    )
    assert result is tree
    assert seen == expected


def test_names_start_with_the_given_prefix(tree):
    assert [name for name, _ in named_modules(tree, 'net')] == ['net.0', 'net.1.0', 'net.1.1', 'net.1']


def test_only_owners_of_parameters_are_listed(tree):
    assert [name for name, _ in named_modules_with_params(tree)] == ['0', '1.0']
    assert [name for name, _ in named_modules_with_params(tree[0], 'root', include_root=True)] == ['root']


def test_head_parameters_can_be_left_out():
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    assert len(list(model_parameters(model))) == 4
    assert model_parameters(model, exclude_head=True) == list(model[0].parameters())


class Layered(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)) for _ in range(2))
        self.norm = nn.LayerNorm(2)
        self.head = nn.Linear(2, 2)


def test_patterns_order_groups_from_input_to_output():
    matcher = {'stem': r'^stem', 'blocks': [(r'^blocks\.(\d+)', None), (r'^norm', MATCH_PREV_GROUP)]}
    groups = group_modules(Layered(), matcher)
    assert groups == {
        0: ['stem'],
        1: ['blocks.0.0', 'blocks.0.1'],
        2: ['blocks.1.0', 'blocks.1.1', 'norm'],
        3: ['head'],
    }
    by_name = group_parameters(Layered(), matcher, reverse=True)
    assert by_name['norm.bias'] == 2
    assert by_name['head.weight'] == 3
    assert len(by_name) == len(list(Layered().parameters()))


@pytest.mark.parametrize(
    ('matcher', 'expected'),
    [
        ({'x': r'a\.(\d+)', 'y': 'b'}, {0: ['a.2'], 1: ['a.10'], 2: ['b'], 3: ['c']}),
        ({'x': [('b', None)], 'y': [('a', (0,)), ('c', None)]}, {0: ['b'], 1: ['c'], 2: ['a.10', 'a.2']}),
        ({'x': [('b', None)], 'y': [('a', MATCH_PREV_GROUP), ('c', MATCH_PREV_GROUP)]}, {0: ['b', 'a.10', 'a.2', 'c']}),
        (lambda name: (len(name), 1) if name == 'b' else len(name), {0: ['c'], 1: ['b'], 2: ['a.2'], 3: ['a.10']}),
        ({'x': 'nothing'}, {0: ['a.10', 'a.2', 'b', 'c']}),
    ],
)
def test_groups_are_sorted_by_label_number_and_suffix(matcher, expected):
    named = [('a.10', 1), ('a.2', 2), ('b', 3), ('c', 4)]
    assert group_with_matcher(named, matcher) == expected


def test_grouped_values_have_no_reverse():
    assert group_with_matcher([('a', 5)], {'x': 'a'}, return_values=True) == {0: [5]}
    with pytest.raises(ValueError, match='return_values'):
        group_with_matcher([('a', 5)], {'x': 'a'}, return_values=True, reverse=True)


def test_containers_are_replaced_by_their_children():
    inner = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU()))
    named = [('a', inner), ('b', nn.ModuleList([nn.ReLU()])), ('c', nn.Conv2d(1, 1, 1))]
    names = lambda **options: [name for name, _ in flatten_modules(named, **options)]  # noqa: E731
    assert names() == ['a.0', 'a.1', 'b', 'c']
    assert names(depth=0) == ['a', 'b', 'c']
    assert names(depth=2) == ['a.0', 'a.1.0', 'b', 'c']
    assert names(module_types='container') == ['a.0', 'a.1', 'b.0', 'c']
    assert names(prefix='net') == ['net.a.0', 'net.a.1', 'net.b', 'net.c']
    with pytest.raises(ValueError, match='sequential'):
        names(module_types='list')


@pytest.mark.parametrize('every', [1, 2, 3, 7])
@pytest.mark.parametrize('skip_last', [False, True])
@pytest.mark.parametrize('reentrant', [None, True, False])
def test_checkpointing_changes_nothing_but_the_number_of_calls(every, skip_last, reentrant):
    layers = nn.Sequential(*(Counted() for _ in range(5)))
    x = torch.randn(3, 2, requires_grad=True)
    layers(x).sum().backward()
    expected = [p.grad.clone() for p in layers.parameters()], x.grad.clone()
    layers.zero_grad()
    x.grad = None
    for layer in layers:
        layer.calls = 0
    checkpoint_seq(layers, x, every=every, skip_last=skip_last, use_reentrant=reentrant).sum().backward()
    assert torch.equal(x.grad, expected[1])
    assert all(torch.equal(p.grad, grad) for p, grad in zip(layers.parameters(), expected[0], strict=True))
    assert [layer.calls for layer in layers] == [2, 2, 2, 2, 1 if skip_last else 2]


def test_checkpointing_flattens_sequences_and_takes_iterators():
    layers = [nn.Sequential(Counted(), Counted()), nn.Sequential(Counted())]
    x = torch.randn(1, 2)
    expected = layers[1](layers[0](x))
    assert torch.equal(checkpoint_seq(iter(layers), x, flatten=True, use_reentrant=False), expected)
    assert torch.equal(checkpoint_seq([], x), x)


def test_checkpointed_sequential_recomputes_only_when_told():
    layers = CheckpointedSequential(Counted(), Counted())
    x = torch.randn(1, 2, requires_grad=True)
    layers(x).sum().backward()
    assert [layer.calls for layer in layers] == [1, 1]
    layers.grad_checkpointing = True
    layers(x).sum().backward()
    assert [layer.calls for layer in layers] == [3, 3]


@pytest.mark.parametrize('enable', [False, True])
def test_checkpointed_sequential_can_be_copied_cut_and_compiled(enable):
    layers = CheckpointedSequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 2))
    layers.grad_checkpointing = enable
    x = torch.randn(1, 2)
    expected = layers(x)
    scripted = torch.jit.script(layers)
    assert isinstance(scripted[0], nn.Module)
    same = [
        pickle.loads(pickle.dumps(layers)),
        copy.deepcopy(layers),
        scripted,
        torch.export.export(layers, (x,)).module(),
    ]
    if not enable:
        same.append(torch.fx.symbolic_trace(layers))
    for form in same:
        assert torch.equal(form(x), expected)
    assert layers[:2].grad_checkpointing == enable
    assert len(layers[:2]) == 2
    assert list(layers.state_dict()) == ['0.weight', '0.bias', '2.weight', '2.bias']


def test_stem_of_one_channel_sums_and_of_more_repeats():
    weight = torch.arange(12.0).reshape(1, 3, 2, 2)
    assert adapt_input_conv(3, weight) is weight
    assert torch.equal(adapt_input_conv(1, weight), weight.sum(1, keepdim=True))
    four = adapt_input_conv(4, weight)
    assert torch.equal(four[:, 3], four[:, 0])
    assert torch.allclose(four[:, :3], weight * 0.75)
    assert adapt_input_conv(8, weight.bfloat16()).dtype == torch.bfloat16


def test_stem_adapts_from_the_channels_it_was_made_for():
    weight = torch.ones(1, 4, 1, 1)
    assert adapt_input_conv(2, weight, base_chans=4).flatten().tolist() == [2.0, 2.0]
    assert adapt_input_conv(1, torch.ones(1, 8, 1, 1), base_chans=4).flatten().tolist() == [4.0, 4.0]


def test_an_image_of_equal_channels_gives_the_same_features():
    weight = torch.randn(4, 3, 3, 3)
    gray = torch.randn(1, 1, 8, 8)
    expected = nn.functional.conv2d(gray.expand(-1, 3, -1, -1), weight)
    for chans in (1, 6):
        adapted = nn.functional.conv2d(gray.expand(-1, chans, -1, -1), adapt_input_conv(chans, weight))
        torch.testing.assert_close(adapted, expected)


@pytest.mark.parametrize('shape', [(2, 3), (2, 3, 1, 1, 1), (2, 5, 1, 1)])
def test_other_weights_than_of_image_convolutions_are_refused(shape):
    with pytest.raises(NotImplementedError, match='cannot be adapted'):
        adapt_input_conv(4, torch.zeros(shape))


@pytest.mark.parametrize(('to', 'base'), [(0, 3), (-1, 3), (3, 0), (3, -1)])
def test_numbers_of_channels_are_positive(to, base):
    with pytest.raises(ValueError, match=f'positive, got {to} and {base}'):
        adapt_input_conv(to, torch.zeros(2, 3, 1, 1), base_chans=base)


class Branched(nn.Module):
    def __init__(self, child):
        super().__init__()
        self.child = child
        self.done = 0

    def reparameterize(self):
        self.done += 1


class Fusable(nn.Module):
    def fuse(self):
        return nn.Sequential(Branched(nn.Identity()))


def test_branches_are_folded_in_a_copy():
    model = nn.Sequential(Branched(Fusable()), nn.ReLU())
    folded = reparameterize_model(model)
    assert model[0].done == 0
    assert isinstance(model[0].child, Fusable)
    assert folded[0].done == 1
    assert folded[0].child[0].done == 1
    assert reparameterize_model(model, inplace=True) is model
    assert isinstance(model[0].child[0], Branched)


def test_tables_are_filled_again_on_request():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer('table', torch.zeros(2), persistent=False)

        def init_non_persistent_buffers(self):
            self.table.fill_(3.0)

    model = nn.Sequential(Table(), nn.Sequential(Table()))
    reinit_non_persistent_buffers(model)
    assert [buffer.tolist() for buffer in model.buffers()] == [[3.0, 3.0], [3.0, 3.0]]


def test_everything_published_is_offered():
    assert set(manipulate.__all__) <= set(dir(manipulate))
