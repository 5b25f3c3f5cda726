"""What layers drop at random: the mean stays where it is said to, rate zero and evaluation drop nothing."""

from functools import partial

import pytest
import torch

from timm import layers
from timm.layers import DropBlock2d, DropPath, PatchDropout, PatchDropoutWithIndices

# A mean of n independent values of variance v lies this many sqrt(v / n) off once in two million runs.
DEVIATIONS = 5


def assert_mean(values, expected, variance):
    """Independent values along the first axis have this expectation."""
    bound = DEVIATIONS * (torch.as_tensor(variance, dtype=torch.float64) / len(values)).sqrt()
    assert ((values.double().mean(0) - expected).abs() <= bound + 1e-12).all()


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize('rate', [0.1, 0.5, 0.9])
@pytest.mark.parametrize('scale_by_keep', [True, False])
def test_drop_path_keeps_the_mean_if_it_scales_and_the_share_if_not(rate, scale_by_keep):
    y = DropPath(rate, scale_by_keep).train()(torch.ones(4000, 1, dtype=torch.float64))
    value = 1 / (1 - rate) if scale_by_keep else 1.0  # of what is kept, with a chance of 1 - rate
    assert_mean(y[:, 0], value * (1 - rate), value**2 * rate * (1 - rate))
    torch.testing.assert_close(y[y != 0].unique(), torch.tensor([value], dtype=torch.float64))


@pytest.mark.parametrize('rate', [0.05, 0.3])
@pytest.mark.parametrize('block_size', [1, 3, 4])
def test_drop_block_keeps_the_mean_if_it_scales_and_the_share_if_not(rate, block_size):
    x = torch.ones(4000, 2, 9, 10)
    y = DropBlock2d(rate, block_size, scale_by_keep=False).train()(x)
    gamma = rate / block_size**2 * 90 / ((10 - block_size) * (11 - block_size))  # equation 1
    kept = (1 - gamma) ** (block_size**2)  # none of the blocks that would cover the pixel begins
    assert_mean(y[:, 0, 4, 5], kept, kept * (1 - kept))  # one pixel a map, as neighbours fall together
    assert DropBlock2d(rate, block_size).train()(x).mean().item() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize('rate', [0.25, 0.5, 0.9])
@pytest.mark.parametrize('ordered', [True, False])
def test_patch_dropout_keeps_every_token_as_often_and_the_mean_of_all(rate, ordered):
    tokens = torch.tensor([1.0, -2.0, 0.5, 3.0, 4.0, 0.0, 7.0, -1.0])
    num_tokens, num_kept = 8, max(1, int(8 * (1 - rate)))
    x = torch.cat([torch.full((1,), 99.0), tokens]).expand(3000, -1).unsqueeze(-1)
    y, indices = PatchDropoutWithIndices(rate, ordered=ordered).train()(x)
    share = num_kept / num_tokens
    often = torch.nn.functional.one_hot(indices, num_tokens).sum(1)
    assert_mean(often, share, share * (1 - share))
    # of a sample without replacement
    assert_mean(y[:, 1:, 0].mean(1), tokens.mean(), tokens.var() / num_kept * (1 - share))


@pytest.mark.parametrize('build', [DropPath, DropBlock2d, PatchDropout, partial(PatchDropoutWithIndices, ordered=True)])
def test_nothing_is_dropped_at_rate_zero_or_in_evaluation(build):
    x = torch.randn(3, 5, 6, 7) if build is DropBlock2d else torch.randn(3, 5, 6)
    for layer in (build(0.0).train(), build(0.5).eval()):
        output = layer(x)
        assert output is x or (output[0] is x and output[1] is None)


TOKENS, MAP = (5, 8), (8, 3, 4)
# Layers on whose output dropped numbers act linearly, so that its expectation is the output of evaluation.
LINEAR = {
    'Attention': (partial(layers.Attention, 8, 2), ('attn_drop', 'proj_drop'), TOKENS),
    'AttentionRope': (partial(layers.AttentionRope, 8, 2), ('attn_drop', 'proj_drop'), TOKENS),
    'Attention2d': (partial(layers.Attention2d, 8, num_heads=2), ('attn_drop', 'proj_drop'), MAP),
    'MultiQueryAttention2d': (
        partial(layers.MultiQueryAttention2d, 8, num_heads=2),
        ('attn_drop', 'proj_drop'),
        MAP,
    ),
    'MultiQueryAttentionV2': (
        partial(layers.MultiQueryAttentionV2, 8, num_heads=2, key_dim=4, value_dim=4),
        ('attn_drop', 'proj_drop'),
        MAP,
    ),
    'AttentionPool2d': (partial(layers.AttentionPool2d, 8, feat_size=(3, 4), num_heads=2), ('drop_rate',), MAP),
    'Mlp': (partial(layers.Mlp, 8, 16), ('drop',), TOKENS),
    'GluMlp': (partial(layers.GluMlp, 8, 16), ('drop',), TOKENS),
    'SwiGLU': (partial(layers.SwiGLU, 8, 16), ('drop',), TOKENS),
    'GatedMlp': (partial(layers.GatedMlp, 8, 16), ('drop',), TOKENS),
    'ConvMlp': (partial(layers.ConvMlp, 8, 16), ('drop',), MAP),
    'ClassifierHead': (partial(layers.ClassifierHead, 8, 3), ('drop_rate',), MAP),
    'NormMlpClassifierHead': (partial(layers.NormMlpClassifierHead, 8, 3, hidden_size=6), ('drop_rate',), MAP),
}


WITHOUT_KERNEL = [(name, False) for name in LINEAR if hasattr(LINEAR[name][0](), 'fused_attn')]


@pytest.mark.parametrize(('name', 'fused'), [(name, True) for name in LINEAR] + WITHOUT_KERNEL)
@torch.no_grad()
def test_dropout_inside_a_layer_keeps_the_mean_of_its_output(name, fused):
    build, rates, shape = LINEAR[name]
    layer = build(**dict.fromkeys(rates, 0.3))
    layer.fused_attn = fused  # asked by those that have such a kernel
    x = torch.randn(1, *shape)
    expected = layer.eval()(x)[0]
    y = layer.train()(x.expand(1500, *shape))
    assert y.var(0).min() > 0
    assert_mean(y, expected, y.double().var(0))


@pytest.mark.parametrize('name', LINEAR)
@torch.no_grad()
def test_layer_whose_rates_are_zero_trains_as_it_evaluates(name):
    build, rates, shape = LINEAR[name]
    layer, x = build(**dict.fromkeys(rates, 0.0)), torch.randn(2, *shape)
    assert torch.equal(layer.train()(x), layer.eval()(x))


def test_images_of_a_batch_are_dropped_independently():
    pairs = DropPath(0.5).train()(torch.ones(4000, 3)).reshape(-1, 2, 3)[..., 0]
    assert_mean(pairs.prod(1), 1.0, 3.0)  # the product of two values 0 or 2 is 4 with a chance of 1 / 4
