"""Networks narrowed to the widths of a published pruning."""

import pytest
import torch
from torch import nn

import timm
from timm.layers import BatchNormAct2d
from timm.models import adapt_model_from_string
from timm.models._prune import adapt_model_from_file, extract_layer, set_layer

PRUNED = ['ecaresnet50d_pruned', 'ecaresnet101d_pruned', 'efficientnet_b1_pruned']


class Net(nn.Module):
    def __init__(self, width=8, in_chans=3, num_classes=5):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, width, 3, stride=2, padding=1, bias=False)
        self.bn = BatchNormAct2d(width, eps=1e-3, momentum=0.2, act_layer=nn.SiLU)
        self.stage = nn.Sequential(nn.Conv2d(width, width, 3, padding=2, dilation=2, groups=width), nn.ReLU())
        self.fc = nn.Linear(width, num_classes)
        self.num_features = self.head_hidden_size = width
        self.pretrained_cfg = {'first_conv': 'stem'}
        self.feature_info = [
            {'num_chs': width, 'reduction': 2, 'module': 'bn.act'},
            {'num_chs': width, 'reduction': 2, 'module': 'stage'},
        ]

    def forward(self, x):
        return self.fc(self.stage(self.bn(self.stem(x))).mean((2, 3)))


def as_string(model):
    return '***'.join(f'{name}:{list(tensor.shape)}' for name, tensor in model.state_dict().items())


PRUNING = as_string(Net(6))


def test_a_network_takes_the_widths_of_a_pruning():
    model = Net(16, num_classes=2)
    pruned = adapt_model_from_string(model, PRUNING)
    shapes = {name: tuple(tensor.shape) for name, tensor in pruned.state_dict().items()}
    assert shapes == {name: tuple(tensor.shape) for name, tensor in Net(6, num_classes=2).state_dict().items()}
    assert pruned(torch.randn(2, 3, 8, 8)).shape == (2, 2)
    assert model.stem.out_channels == 16
    assert repr(pruned) == repr(Net(6, num_classes=2))


def test_a_pruned_network_knows_its_widths():
    pruned = adapt_model_from_string(Net(16), PRUNING)
    assert (pruned.num_features, pruned.head_hidden_size) == (6, 6)
    assert [info['num_chs'] for info in pruned.feature_info] == [6, 6]
    assert not pruned.training


def test_layers_keep_what_is_no_width():
    model = Net(16).double()
    model.stem.weight.requires_grad_(False)
    pruned = adapt_model_from_string(model, PRUNING)
    assert (pruned.bn.eps, pruned.bn.momentum) == (1e-3, 0.2)
    assert isinstance(pruned.bn.act, nn.SiLU)
    assert {p.dtype for p in pruned.parameters()} == {torch.float64}
    assert not pruned.stem.weight.requires_grad
    assert pruned.bn.running_var.tolist() == [1.0] * 6


def test_the_stem_keeps_its_channels():
    assert adapt_model_from_string(Net(16, in_chans=1), PRUNING).stem.weight.shape == (6, 1, 3, 3)


@pytest.mark.parametrize(
    ('pruning', 'reason'),
    [
        ('stem.weight:[6, 3, 3, 3]', 'bn.weight'),
        ('', 'stem.weight'),
        ('stem.weight=6', 'no entry of a pruning'),
        (PRUNING.replace('***', '\n'), 'no entry of a pruning'),
    ],
)
def test_a_pruning_of_something_else_is_refused(pruning, reason):
    with pytest.raises(ValueError, match=reason):
        adapt_model_from_string(Net(), pruning)


def test_an_unknown_pruning_is_answered_with_the_known_ones():
    with pytest.raises(FileNotFoundError, match='ecaresnet50d_pruned'):
        adapt_model_from_file(Net(), 'nothing')


@pytest.mark.parametrize('name', PRUNED)
def test_published_prunings_are_built(name):
    if not timm.is_model(name):
        pytest.skip('this family is not there yet')
    model = timm.create_model(name, num_classes=3, in_chans=1)
    assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 3)
    features = timm.create_model(name, in_chans=1, features_only=True).eval()
    channels = [x.shape[1] for x in features(torch.zeros(1, 1, 64, 64))]
    assert channels == features.feature_info.channels()


def test_modules_are_found_and_replaced_by_path():
    model = Net()
    assert extract_layer(model, 'stage.0') is model.stage[0]
    assert extract_layer(model, 'module.stage.0') is model.stage[0]
    assert extract_layer(model, 'stem.weight') is model.stem.weight
    set_layer(model, 'module.stage.0', nn.Identity())
    assert isinstance(model.stage[0], nn.Identity)
    with pytest.raises(AttributeError, match='nowhere'):
        set_layer(model, 'stage.nowhere', nn.Identity())
