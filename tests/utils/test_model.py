"""Unwrapping, freezing and looking into models."""

import pytest
import torch
from torch import nn

from timm.layers import BatchNormAct2d
from timm.utils import (
    AttentionExtract,
    ModelEma,
    ModelEmaV2,
    ModelEmaV3,
    freeze,
    get_state_dict,
    reparameterize_model,
    unfreeze,
    unwrap_model,
)
from timm.utils.model import ActivationStatsHook, avg_ch_var, avg_ch_var_residual, avg_sq_ch_mean, extract_spp_stats


@pytest.fixture
def model():
    body = nn.Sequential(nn.Conv2d(4, 4, 3), BatchNormAct2d(4))
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), body, nn.Flatten())


def trainable(model):
    return {name for name, param in model.named_parameters() if param.requires_grad}


def test_wrappers_come_off_however_they_are_nested(model):
    compiled = torch.compile(model, backend='eager')
    for wrapped in (
        model,
        compiled,
        nn.DataParallel(compiled),
        torch.compile(nn.DataParallel(model), backend='eager'),
    ):
        assert unwrap_model(wrapped) is model
        assert get_state_dict(wrapped).keys() == model.state_dict().keys()
    for ema in (ModelEma(model), ModelEmaV2(model), ModelEmaV3(model)):
        assert get_state_dict(ema).keys() == model.state_dict().keys()
    assert get_state_dict(nn.DataParallel(model), unwrap_fn=lambda m: m).keys() != model.state_dict().keys()


def test_freezing_all_stops_parameters_and_statistics(model):
    names = trainable(model)
    freeze(model)
    assert not trainable(model)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(torch.randn(2, 3, 8, 8) + 5)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    unfreeze(model)
    assert trainable(model) == names
    model.train()
    model(torch.randn(2, 3, 8, 8) + 5)
    assert not torch.equal(model[1].running_mean, before['1.running_mean'])
    assert not torch.equal(model[2][1].running_mean, before['2.1.running_mean'])


def test_freezing_parts_leaves_the_rest(model):
    freeze(model, ['0', '2.1'])
    assert trainable(model) == {'1.weight', '1.bias', '2.0.weight', '2.0.bias'}
    assert isinstance(model[1], nn.BatchNorm2d)
    assert not isinstance(model[2][1], nn.BatchNorm2d)
    unfreeze(model, ['2.1'])
    assert isinstance(model[2][1], BatchNormAct2d)
    freeze(model, '1', include_bn_running_stats=False)
    assert isinstance(model[1], nn.BatchNorm2d)
    assert '1.weight' not in trainable(model)


def test_outputs_are_the_same_frozen(model):
    x = torch.randn(2, 3, 8, 8)
    model(x)
    expected = model.eval()(x)
    freeze(model)
    torch.testing.assert_close(model(x), expected)


def test_what_cannot_be_frozen_is_refused(model):
    with pytest.raises(ValueError, match='freeze_batch_norm_2d'):
        freeze(nn.BatchNorm2d(3))
    with pytest.raises(AssertionError):  # what code written for the reference catches
        freeze(nn.BatchNorm2d(3))
    with pytest.raises(AttributeError, match='nothing'):
        freeze(model, ['nothing'])


def test_reparameterizing_leaves_a_plain_model_alone(model):
    x = torch.randn(2, 3, 8, 8)
    model.eval()
    other = reparameterize_model(model)
    assert other is not model
    torch.testing.assert_close(other(x), model(x))


def test_statistics_of_activations_are_collected_by_pattern(model):
    hook = ActivationStatsHook(model, ['0', '2.*'], [avg_sq_ch_mean, avg_ch_var])
    x = torch.randn(2, 3, 8, 8)
    model(x)
    assert len(hook.stats['avg_sq_ch_mean']) == 1
    assert len(hook.stats['avg_ch_var']) == len([name for name, _ in model.named_modules() if name.startswith('2.')])
    out = model[0](x)
    assert avg_ch_var_residual(model, x, out) == pytest.approx(out.var((0, 2, 3)).mean().item())
    assert avg_sq_ch_mean(model, x, out) == pytest.approx(out.mean((0, 2, 3)).square().mean().item())
    stats = extract_spp_stats(model, ['1'], [avg_ch_var], input_shape=[4, 3, 8, 8])
    assert stats['avg_ch_var'] == pytest.approx([1.0], rel=0.05)
    with pytest.raises(ValueError, match='Please provide `hook_fns` for each `hook_fn_locs`: got 2 functions for 1'):
        ActivationStatsHook(model, ['0'], [avg_ch_var, avg_sq_ch_mean])


class Attention(nn.Module):
    """As in a transformer: one path for a fused kernel, one that computes the map."""

    def __init__(self):
        super().__init__()
        self.fused_attn = True
        self.qkv = nn.Linear(4, 12)
        self.attn_drop = nn.Dropout(0.0)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        if self.fused_attn:
            return nn.functional.scaled_dot_product_attention(q, k, v)
        attn = (q @ k.transpose(-2, -1) * 0.5).softmax(dim=-1)
        return self.attn_drop(attn) @ v


@pytest.mark.parametrize(('method', 'leaf'), [('fx', 'softmax'), ('hook', 'attn_drop')])
def test_attention_maps_are_found_though_the_model_uses_a_fused_kernel(method, leaf):
    model = nn.Sequential(*(nn.Sequential() for _ in range(2)))
    for block in model:
        block.add_module('attn', Attention())
    x = torch.randn(2, 5, 4)
    maps = AttentionExtract(model, method=method)(x)
    assert list(maps) == [f'0.attn.{leaf}', f'1.attn.{leaf}']
    for value in maps.values():
        torch.testing.assert_close(value.sum(dim=-1), torch.ones(2, 5))
    assert model[0].attn.fused_attn is True
    one = AttentionExtract(model, [rf'1\.attn\.{leaf}'], method=method, use_regex=True, mode='train')
    assert one.names == [f'1.attn.{leaf}']
    with pytest.raises(RuntimeError, match='nothing'):
        AttentionExtract(model, ['nothing'], method=method)


@pytest.mark.parametrize('args', [dict(method='trace'), dict(mode='test')])
def test_unknown_ways_to_extract_are_refused(args):
    with pytest.raises(ValueError, match='not known'):
        AttentionExtract(nn.Linear(2, 2), **args)
