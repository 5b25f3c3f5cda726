"""Attention of convolutional blocks: each against its equation, and the factory by name."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from timm.layers import (
    CecaModule,
    EcaModule,
    EffectiveSEModule,
    EffectiveSqueezeExcite,
    GlobalContext,
    SelectiveKernel,
    SEModule,
    SplitAttn,
    SqueezeExcite,
    create_attn,
    get_attn,
)
from timm.layers.cbam import CbamModule, ChannelAttn, LightCbamModule, SpatialAttn
from timm.layers.selective_kernel import SelectiveKernelAttn
from timm.layers.split_attn import RadixSoftmax
from timm.layers.squeeze_excite import SqueezeExciteCl

NAMES = ['se', 'ese', 'eca', 'ecam', 'ceca', 'gc', 'gca', 'cbam', 'lcbam', 'sk', 'splat']


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def x():
    return torch.randn(2, 16, 5, 6)


def linear(conv: nn.Conv2d, y: torch.Tensor) -> torch.Tensor:
    """A 1x1 convolution as what it is on (B, C)."""
    return F.linear(y, conv.weight.flatten(1), conv.bias)


def test_squeeze_excite_gates_by_a_hidden_layer_of_the_averages(x):
    layer = SqueezeExcite(16, rd_channels=4, act_layer='silu', gate_layer='hard_sigmoid')
    gate = F.hardsigmoid(linear(layer.fc2, F.silu(linear(layer.fc1, x.mean((2, 3))))))
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])


def test_squeeze_excite_options(x):
    layer = SqueezeExcite(16, rd_channels=4, add_maxpool=True, bias=False, norm_layer=nn.BatchNorm2d).eval()
    squeezed = (x.mean((2, 3)) + x.amax((2, 3))) / 2
    hidden = (linear(layer.fc1, squeezed) / (1 + layer.bn.eps) ** 0.5).relu()
    torch.testing.assert_close(layer(x), x * linear(layer.fc2, hidden).sigmoid()[:, :, None, None])
    assert layer.fc1.bias is None
    assert isinstance(SqueezeExcite(16, act_layer=None).act, nn.Identity)


@pytest.mark.parametrize(
    ('options', 'width'),
    [({}, 8), ({'rd_ratio': 0.25}, 24), ({'rd_ratio': 0.09, 'rd_divisor': 1}, 9), ({'rd_channels': 5}, 5)],
)
def test_reduced_width(options, width):
    assert SqueezeExcite(100, **options).fc1.out_channels == width
    assert SqueezeExciteCl(100, **options).fc1.out_features == width


def test_channels_last_squeeze_excite_agrees(x):
    layer, last = SqueezeExcite(16), SqueezeExciteCl(16)
    last.load_state_dict({name: t.view_as(last.state_dict()[name]) for name, t in layer.state_dict().items()})
    torch.testing.assert_close(last(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), layer(x))


def test_effective_squeeze_excite_has_no_hidden_layer(x):
    layer = EffectiveSqueezeExcite(16, rd_ratio=0.5)
    gate = F.hardsigmoid(linear(layer.fc, x.mean((2, 3))))
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])


@pytest.mark.parametrize(
    ('channels', 'size'), [(16, 3), (64, 3), (128, 5), (512, 5), (1024, 5), (2048, 7)]
)  # fmt: skip
def test_eca_kernel_grows_with_the_logarithm_of_the_channels(channels, size):
    assert EcaModule(channels).conv.kernel_size == (size,)
    assert CecaModule(channels).conv.kernel_size == (size,)


def test_eca_convolves_along_the_channels(x):
    layer = EcaModule(kernel_size=5)
    padded = F.pad(x.mean((2, 3)), (2, 2))
    gate = torch.stack([padded[:, i : i + 5] @ layer.conv.weight[0, 0] for i in range(16)], 1).sigmoid()
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])


def test_eca_with_two_convolutions(x):
    layer = EcaModule(16, use_mlp=True, rd_channels=4)
    averages = x.mean((2, 3))[:, None]
    hidden = (layer.conv.weight[:, 0, 0, None] * averages + layer.conv.bias[:, None]).relu()
    gate = F.conv1d(hidden, layer.conv2.weight, layer.conv2.bias, padding=1)[:, 0].sigmoid()
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])


def test_circular_eca_does_not_know_where_the_channels_begin(x):
    layer = CecaModule(16)
    torch.testing.assert_close(layer(x.roll(3, dims=1)), layer(x).roll(3, dims=1))
    averages = x.mean((2, 3))
    taps = zip((1, 0, -1), layer.conv.weight[0, 0], strict=True)
    gate = sum(w * averages.roll(shift, dims=1) for shift, w in taps).sigmoid()
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])


def test_eca_refuses_what_it_cannot_build():
    with pytest.raises(ValueError, match='kernel_size=4'):
        EcaModule(kernel_size=4)
    with pytest.raises(ValueError, match='use_mlp'):
        EcaModule(use_mlp=True)


def test_global_context_is_a_softmax_over_positions(x):
    layer = GlobalContext(16, fuse_add=True, rd_channels=4)
    nn.init.normal_(layer.mlp_add.fc2.weight)
    weights = linear(layer.conv_attn, x.flatten(2).transpose(1, 2).flatten(0, 1)).view(2, -1).softmax(1)
    context = torch.einsum('bcl,bl->bc', x.flatten(2), weights)[:, :, None, None]
    expected = x * layer.mlp_scale(context).sigmoid() + layer.mlp_add(context)
    torch.testing.assert_close(layer(x), expected)


def test_global_context_adds_only_a_bias_at_the_start(x):
    layer = GlobalContext(16, fuse_add=True, fuse_scale=False)
    torch.testing.assert_close(layer(x), x + layer.mlp_add.fc2.bias[:, None, None])
    plain = GlobalContext(16, use_attn=False)
    expected = x * plain.mlp_scale(x.mean((2, 3), keepdim=True)).sigmoid()
    torch.testing.assert_close(plain(x), expected)


def test_cbam_gates_channels_then_positions(x):
    layer = CbamModule(16, rd_channels=4).eval()
    channel: ChannelAttn = layer.channel
    spatial: SpatialAttn = layer.spatial

    def mlp(y: torch.Tensor) -> torch.Tensor:
        return linear(channel.fc2, linear(channel.fc1, y).relu())

    y = x * (mlp(x.mean((2, 3))) + mlp(x.amax((2, 3)))).sigmoid()[:, :, None, None]
    maps = torch.stack((y.mean(1), y.amax(1)), 1)
    gate = F.conv2d(maps, spatial.conv.conv.weight, padding=3) / (1 + spatial.conv.bn.eps) ** 0.5
    torch.testing.assert_close(layer(x), y * gate.sigmoid())


def test_light_cbam_uses_the_mean_of_average_and_maximum(x):
    layer = LightCbamModule(16, rd_channels=4, gate_layer='hard_sigmoid').eval()
    pooled = (x.mean((2, 3)) + x.amax((2, 3))) / 2
    y = x * F.hardsigmoid(linear(layer.channel.fc2, linear(layer.channel.fc1, pooled).relu()))[:, :, None, None]
    maps = (y.mean(1, keepdim=True) + y.amax(1, keepdim=True)) / 2
    conv = layer.spatial.conv
    gate = F.conv2d(maps, conv.conv.weight, padding=3) / (1 + conv.bn.eps) ** 0.5
    torch.testing.assert_close(layer(x), y * F.hardsigmoid(gate))


def test_radix_softmax_weighs_the_splits_of_each_group():
    logits = torch.randn(4, 3, 2, 5)  # batch, group, split, channel
    weights = RadixSoftmax(2, 3)(logits.flatten(1))
    expected = logits.softmax(2).transpose(1, 2).flatten(1)
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(RadixSoftmax(1, 3)(logits.flatten(1)), logits.flatten(1).sigmoid())


@pytest.mark.parametrize('radix', [1, 2, 3])
def test_split_attention_sums_weighted_splits(radix):
    x = torch.randn(2, 12, 5, 6)
    layer = SplitAttn(12, 8, radix=radix, rd_channels=4, norm_layer=nn.BatchNorm2d).eval()
    scale = (1 + layer.bn0.eps) ** 0.5
    splits = (F.conv2d(x, layer.conv.weight, padding=1, groups=radix) / scale).relu().chunk(radix, 1)
    context = sum(splits).mean((2, 3))
    logits = linear(layer.fc2, (linear(layer.fc1, context) / scale).relu())
    weights = [logits.sigmoid()] if radix == 1 else torch.stack(logits.chunk(radix, 1)).softmax(0).unbind(0)
    expected = sum(s * w[:, :, None, None] for s, w in zip(splits, weights, strict=True))
    torch.testing.assert_close(layer(x), expected)


def test_split_attention_keeps_groups_apart():
    x = torch.randn(1, 8, 5, 6)
    layer = SplitAttn(8, groups=2, radix=2, rd_channels=4)
    changed = x.clone()
    changed[:, 4:] += 1  # input of the second group
    same = (layer(x) == layer(changed)).flatten(2).all(2)[0]
    assert not same.all()
    assert layer.fc1.groups == 2


def test_split_attention_takes_device_and_dtype():
    layer = SplitAttn(8, device='meta', dtype=torch.float16, padding_mode='reflect')
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {('meta', torch.float16)}
    assert layer.conv.padding_mode == 'reflect'


def test_selective_kernel_weighs_its_paths(x):
    layer = SelectiveKernel(16, 12, split_input=False, rd_channels=4).eval()
    assert [p.conv.dilation for p in layer.paths] == [(1, 1), (2, 2)]
    outputs = [path(x) for path in layer.paths]
    attn: SelectiveKernelAttn = layer.attn
    context = sum(outputs).mean((2, 3))
    hidden = (linear(attn.fc_reduce, context) / (1 + attn.bn.eps) ** 0.5).relu()
    weights = linear(attn.fc_select, hidden).view(2, 2, 12).softmax(1)
    expected = sum(o * w[:, :, None, None] for o, w in zip(outputs, weights.unbind(1), strict=True))
    torch.testing.assert_close(layer(x), expected)


def test_selective_kernel_options():
    layer = SelectiveKernel(16)
    assert [p.in_channels for p in layer.paths] == [8, 8]
    layer = SelectiveKernel(12, kernel_size=[3, 5, 7], keep_3x3=False)
    assert [p.conv.kernel_size[0] for p in layer.paths] == [3, 5, 7]
    with pytest.raises(ValueError, match='kernel_size=4'):
        SelectiveKernel(16, kernel_size=4)
    with pytest.raises(ValueError, match='split_input=False'):
        SelectiveKernel(15)


def test_get_attn_by_name_class_and_flag():
    assert get_attn('SE') is get_attn(True) is SEModule
    assert get_attn('ese') is EffectiveSEModule
    assert get_attn(None) is get_attn(False) is get_attn('') is None
    special = partial(SEModule, rd_ratio=0.5)
    assert get_attn(special) is special
    assert create_attn(None, 16) is None
    assert create_attn('se', 16, rd_ratio=0.5).fc1.out_channels == 8


def test_an_unknown_attention_names_the_nearest():
    with pytest.raises(ValueError, match=r"'ecaa'.*'eca'"):
        create_attn('ecaa', 16)


names = pytest.mark.parametrize('name', NAMES)


@names
def test_attention_keeps_the_shape_and_passes_gradients(name, x):
    layer = create_attn(name, 16)
    out = layer(x)
    assert out.shape == x.shape
    out.square().sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


@names
def test_attention_scripts_exports_and_compiles(name, x):
    layer = create_attn(name, 16).eval()
    expected = layer(x)
    torch.testing.assert_close(torch.jit.script(layer)(x), expected)
    torch.testing.assert_close(torch.jit.trace(layer, x)(x), expected)
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), expected)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend='eager')(x), expected)


@names
def test_attention_builds_on_meta_and_runs_in_bfloat16(name, x):
    layer = create_attn(name, 16, device='meta', dtype=torch.bfloat16)
    assert all(t.is_meta for t in (*layer.parameters(), *layer.buffers()))
    assert all(p.dtype == torch.bfloat16 for p in layer.parameters())
    layer = create_attn(name, 16, dtype=torch.bfloat16)
    assert layer(x.bfloat16()).dtype == torch.bfloat16
