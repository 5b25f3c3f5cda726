"""Patch embeddings: the linear map, sizes strict and free, kernels for other patches, networks as embeddings."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from timm.layers import (
    Format,
    HybridEmbed,
    HybridEmbedWithSize,
    LayerNorm,
    PatchDropout,
    PatchDropoutWithIndices,
    PatchEmbed,
    PatchEmbedInterpolator,
    PatchEmbedWithSize,
    patch_dropout_forward,
    resample_patch_embed,
)
from timm.layers.patch_embed import PatchEmbedResamplerFixedOrigSize


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_each_patch_becomes_one_token():
    embed = PatchEmbed(16, (4, 8), 3, 10, norm_layer=LayerNorm)
    x = torch.randn(2, 3, 16, 16)
    weight = embed.proj.weight.flatten(1)
    for row in range(4):
        for column in range(2):
            patch = x[:, :, 4 * row : 4 * row + 4, 8 * column : 8 * column + 8].flatten(1)
            token = embed.norm(F.linear(patch, weight, embed.proj.bias))
            torch.testing.assert_close(embed(x)[:, 2 * row + column], token)
    assert (embed.img_size, embed.grid_size, embed.num_patches) == ((16, 16), (4, 2), 8)
    assert embed.feat_ratio() == 8
    assert embed.feat_ratio(as_scalar=False) == (4, 8)


def test_layouts_of_the_output():
    x = torch.randn(2, 3, 8, 12)
    embed = PatchEmbed((8, 12), 4, 3, 10, flatten=False)
    grid = embed(x)
    assert grid.shape == (2, 10, 2, 3)
    for fmt, expected in (
        ('NHWC', grid.permute(0, 2, 3, 1)),
        ('NLC', grid.flatten(2).transpose(1, 2)),
        ('NCL', grid.flatten(2)),
    ):
        other = PatchEmbed((8, 12), 4, 3, 10, output_fmt=fmt)
        other.load_state_dict(embed.state_dict())
        assert other.output_fmt == fmt
        assert isinstance(other.output_fmt, Format)
        torch.testing.assert_close(other(x), expected)


def test_wrong_sizes_are_refused():
    strict = PatchEmbed(16, 4)
    for size in ((20, 16), (16, 20)):
        with pytest.raises(AssertionError, match='20'):
            strict(torch.randn(1, 3, *size))
    free = PatchEmbed(16, 4, strict_img_size=False)
    assert free(torch.randn(1, 3, 20, 8)).shape[1] == 10
    for size in ((18, 16), (16, 18)):
        with pytest.raises(AssertionError, match='18'):
            free(torch.randn(1, 3, *size))
    with pytest.raises(AssertionError, match='17'):
        PatchEmbedWithSize(16, 4)(torch.randn(1, 3, 17, 16))
    with pytest.raises(ValueError, match='NCWH'):
        PatchEmbed(16, 4, output_fmt='NCWH')


def test_padding_fills_the_last_patches_with_zeros():
    embed = PatchEmbed(None, 4, strict_img_size=False, dynamic_img_pad=True)
    assert (embed.img_size, embed.grid_size, embed.num_patches) == (None, None, None)
    x = torch.randn(1, 3, 7, 9)
    torch.testing.assert_close(embed(x), embed(F.pad(x, (0, 3, 0, 1))))
    assert embed.dynamic_feat_size((7, 9)) == (2, 3)
    assert PatchEmbed(None, 4).dynamic_feat_size((7, 9)) == (1, 2)


def test_size_comes_with_the_tokens():
    embed = PatchEmbedWithSize(16, 4, 3, 10)
    tokens, size = embed(torch.randn(2, 3, 8, 20))
    assert tokens.shape == (2, 10, 10)
    assert size == (2, 5)


def test_new_input_size_is_counted_and_kernels_are_resampled():
    embed = PatchEmbed(16, 4, 3, 10)
    embed.proj.weight.requires_grad_(False)
    kernels = embed.proj.weight.clone()
    embed.set_input_size(24)
    assert (embed.img_size, embed.grid_size, embed.num_patches) == ((24, 24), (6, 6), 36)
    embed.set_input_size(patch_size=8)
    assert (embed.patch_size, embed.grid_size) == ((8, 8), (3, 3))
    torch.testing.assert_close(embed.proj.weight.data, resample_patch_embed(kernels, [8, 8]))
    assert not embed.proj.weight.requires_grad
    assert embed(torch.randn(1, 3, 24, 24)).shape == (1, 9, 10)


@pytest.mark.parametrize('new_size', [(12, 12), (8, 14)])
def test_resampled_kernels_answer_resized_patches_alike(new_size):
    kernels, patch = torch.randn(5, 3, 8, 8, dtype=torch.float64), torch.randn(1, 3, 8, 8, dtype=torch.float64)
    larger = F.interpolate(patch, new_size, mode='bicubic', antialias=True)
    answer = F.conv2d(larger, resample_patch_embed(kernels, list(new_size)))
    torch.testing.assert_close(answer, F.conv2d(patch, kernels))


def test_resampling_keeps_dtype_gradient_and_device():
    kernels = torch.randn(5, 3, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    assert resample_patch_embed(kernels, [4, 4]) is kernels
    resampled = resample_patch_embed(kernels, [6, 2])
    assert resampled.dtype == torch.bfloat16
    assert resampled.requires_grad
    with torch.device('meta'):
        assert resample_patch_embed(torch.empty(5, 3, 4, 4), [6, 6]).device.type == 'meta'
    for wrong, size in ((kernels[0], [6, 6]), (kernels, [6])):
        with pytest.raises(ValueError, match='height'):
            resample_patch_embed(wrong, size)


def test_resampler_computes_each_matrix_once():
    resampler, kernels = PatchEmbedResamplerFixedOrigSize((4, 4)), torch.randn(5, 3, 4, 4)
    resampler.prewarm([(4, 4), (6, 6)])
    torch.testing.assert_close(resampler(kernels, (6, 6)), resample_patch_embed(kernels, [6, 6]))
    torch.testing.assert_close(resampler(kernels, (2, 6)), resample_patch_embed(kernels, [2, 6]))
    assert resampler(kernels, (4, 4)) is kernels
    assert not resampler.state_dict()
    with pytest.raises(ValueError, match='announced'):
        resampler(torch.randn(5, 3, 8, 8), (6, 6))


def test_resampler_keeps_matrices_until_it_moves(monkeypatch):
    interpolator, kernels = PatchEmbedInterpolator((4, 4)), torch.randn(5, 3, 4, 4)
    interpolator.prewarm([(2, 2), (2, 6)], device='cpu:0')
    found = interpolator.resample_conv_weight(kernels, (2, 2))
    with monkeypatch.context() as patch:
        patch.delattr(torch.linalg, 'pinv')
        torch.testing.assert_close(interpolator.resample_conv_weight(kernels, (2, 2)), found, rtol=0, atol=0)
        interpolator.double()
        with pytest.raises(AttributeError, match='pinv'):
            interpolator.resample_conv_weight(kernels, (2, 2))
    interpolator.to_empty(device='cpu')
    torch.testing.assert_close(interpolator.resample_conv_weight(kernels, (2, 2)), found)


@pytest.mark.parametrize('channels_last', [True, False])
def test_interpolator_gives_linear_and_convolutional_weights_the_same_tokens(channels_last):
    interpolate = PatchEmbedInterpolator((4, 4), 3, 10, channels_last=channels_last)
    kernels, bias, x = torch.randn(10, 3, 4, 4), torch.randn(10), torch.randn(2, 3, 12, 18)
    order = (0, 2, 3, 1) if channels_last else (0, 1, 2, 3)
    weight = kernels.permute(order).flatten(1)
    patches = x.unflatten(3, (3, 6)).unflatten(2, (2, 6)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    if channels_last:
        patches = patches.permute(0, 1, 3, 4, 2)
    tokens = interpolate(patches, weight, bias, patch_size=(6, 6))
    grid = interpolate(x, kernels, bias, patch_size=(6, 6), is_linear=False)
    torch.testing.assert_close(tokens, grid.flatten(2).transpose(1, 2))
    torch.testing.assert_close(interpolate(patches.flatten(2), weight, bias, patch_size=(6, 6)), tokens)


def test_script_export_compile_and_meta():
    x = torch.randn(2, 3, 16, 16)
    for embed in (
        PatchEmbed(16, 4),
        PatchEmbed(None, 5, output_fmt='NHWC', strict_img_size=False, dynamic_img_pad=True),
        PatchEmbedWithSize(16, 4),
    ):
        expected = embed(x)
        torch.testing.assert_close(torch.jit.script(embed)(x), expected)
        torch.testing.assert_close(torch.export.export(embed, (x,)).module()(x), expected)
    free = PatchEmbed(None, 4)
    size = {2: torch.export.Dim('h', min=2, max=32) * 4, 3: torch.export.Dim('w', min=2, max=32) * 4}
    exported = torch.export.export(free, (x,), dynamic_shapes={'x': size}).module()
    y = torch.randn(2, 3, 8, 24)
    torch.testing.assert_close(exported(y), free(y))
    torch.testing.assert_close(torch.compile(free, fullgraph=True, backend='eager')(y), free(y))
    embed = PatchEmbed(16, 4, device='meta', dtype=torch.bfloat16)
    assert embed(torch.empty(1, 3, 16, 16, device='meta', dtype=torch.bfloat16)).dtype == torch.bfloat16


class Backbone(nn.Module):
    """A quarter of the resolution, counting its calls."""

    num_features = 8

    def __init__(self, in_chans=3, as_list=False):
        super().__init__()
        self.conv = nn.Conv2d(in_chans, 8, 4, 4)
        self.norm = nn.BatchNorm2d(8)
        self.as_list = as_list
        self.calls = []
        self.checkpointing = False

    def forward(self, x):
        self.calls.append((self.training, torch.is_grad_enabled()))
        x = self.norm(self.conv(x))
        return [x[:, :1], x] if self.as_list else x

    def set_grad_checkpointing(self, enable=True):
        self.checkpointing = enable


@pytest.mark.parametrize('as_list', [False, True])
def test_hybrid_embeds_patches_of_the_last_feature_map(as_list):
    backbone = Backbone(as_list=as_list)
    embed = HybridEmbed(backbone, img_size=32, patch_size=2, embed_dim=10)
    assert backbone.calls == [(False, False)]
    assert backbone.training
    assert backbone.norm.num_batches_tracked == 0
    assert (embed.feature_size, embed.feature_dim, embed.feature_ratio) == ((8, 8), 8, (4, 4))
    assert (embed.grid_size, embed.num_patches, embed.feat_ratio()) == ((4, 4), 16, 8)
    assert embed.dynamic_feat_size((40, 64)) == (5, 8)
    embed.eval()
    x = torch.randn(2, 3, 32, 32)
    features = backbone(x)[-1] if as_list else backbone(x)
    torch.testing.assert_close(embed(x), embed.proj(features).flatten(2).transpose(1, 2))


def test_hybrid_takes_declared_sizes_and_builds_a_backbone():
    embed = HybridEmbed(Backbone, img_size=(32, 48), feature_size=(8, 12), in_chans=2, embed_dim=10)
    assert embed.backbone.calls == []
    assert embed.feature_ratio == (4, 4)
    assert embed(torch.randn(1, 2, 32, 48)).shape == (1, 96, 10)
    embed.set_grad_checkpointing()
    assert embed.backbone.checkpointing
    tokens, size = HybridEmbedWithSize(Backbone(), 32, 2, embed_dim=10)(torch.randn(1, 3, 32, 40))
    assert tokens.shape == (1, 20, 10)
    assert size == (4, 5)


def test_hybrid_pads_feature_maps_and_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match='tile'):
        HybridEmbed(Backbone(), 32, patch_size=3)
    with pytest.raises(ValueError, match='embed_dim=10'):
        HybridEmbed(Backbone(), 32, embed_dim=10, proj=False)
    padded = HybridEmbed(Backbone(), 32, patch_size=3, embed_dim=10, dynamic_img_pad=True)
    assert padded.grid_size == (3, 3)
    assert padded(torch.randn(1, 3, 32, 32)).shape == (1, 9, 10)
    assert isinstance(HybridEmbed(Backbone(), 32, embed_dim=8, proj=False).proj, nn.Identity)


def test_hybrid_input_size_can_change():
    embed = HybridEmbed(Backbone(), 32, 2, embed_dim=10)
    kernels = embed.proj.weight.data.clone()
    embed.set_input_size(img_size=48, patch_size=4)
    assert (embed.feature_size, embed.grid_size, embed.patch_size) == ((12, 12), (3, 3), (4, 4))
    torch.testing.assert_close(embed.proj.weight.data, resample_patch_embed(kernels, [4, 4]))
    assert embed(torch.randn(1, 3, 48, 48)).shape == (1, 9, 10)


def test_hybrid_works_on_meta_in_half_precision_and_in_script():
    with torch.device('meta'):
        assert HybridEmbed(Backbone(), 32, embed_dim=10).grid_size == (8, 8)
    half = HybridEmbed(Backbone().bfloat16(), 32, embed_dim=10, dtype=torch.bfloat16)
    assert half(torch.randn(1, 3, 32, 32, dtype=torch.bfloat16)).dtype == torch.bfloat16
    x = torch.randn(1, 3, 32, 32)
    embed = HybridEmbed(nn.Sequential(nn.Conv2d(3, 8, 4, 4)), 32, 2, embed_dim=10, output_fmt='NHWC')
    torch.testing.assert_close(torch.jit.script(embed)(x), embed(x))
    torch.testing.assert_close(torch.export.export(embed, (x,)).module()(x), embed(x))


@pytest.mark.parametrize('ordered', [False, True])
def test_patch_dropout_keeps_prefix_and_a_share_of_patches(ordered):
    x = torch.arange(2 * 12.0).reshape(2, 12, 1)
    drop = PatchDropoutWithIndices(0.3, num_prefix_tokens=2, ordered=ordered)
    kept, indices = drop(x)
    assert kept.shape == (2, 9, 1)
    assert indices.shape == (2, 7)
    torch.testing.assert_close(kept[:, :2], x[:, :2])
    torch.testing.assert_close(kept[:, 2:, 0], x[:, 2:, 0].gather(1, indices))
    assert all(len(set(row)) == 7 for row in indices.tolist())
    if ordered:
        assert torch.equal(indices, indices.sort().values)
    drop.eval()
    assert drop(x)[0] is x
    assert drop(x)[1] is None


def test_patch_dropout_keeps_at_least_one_patch():
    x = torch.randn(2, 5, 3)
    assert PatchDropout(0.99)(x).shape == (2, 2, 3)
    assert PatchDropout(0.0)(x) is x
    assert patch_dropout_forward(x, 0.5, 0, True, True)[0].shape == (2, 2, 3)
    for wrong in (1.0, -0.1):
        with pytest.raises(ValueError, match='prob'):
            PatchDropout(wrong)
    assert torch.jit.script(PatchDropout(0.5))(x).shape == (2, 3, 3)
    assert torch.jit.script(PatchDropoutWithIndices(0.5))(x)[1].shape == (2, 2)
