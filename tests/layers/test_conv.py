"""Convolutions: padding, standardised weights, mixtures, blocks of convolution, norm and activation."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from timm.layers import (
    BlurPool2d,
    CondConv2d,
    Conv2dSame,
    ConvNormAct,
    Linear,
    MixedConv2d,
    ScaledStdConv2d,
    ScaledStdConv2dSame,
    SeparableConv2d,
    SeparableConvNormAct,
    StdConv2d,
    StdConv2dSame,
    create_conv2d,
    get_condconv_initializer,
    get_padding,
    get_same_padding,
    pad_same,
)
from timm.layers.conv2d_same import Conv2dSameExport
from timm.layers.padding import get_padding_value, is_static_pad


def tensorflow_padding(size: int, kernel: int, stride: int, dilation: int) -> int:
    """As the TensorFlow documentation of tf.nn puts it."""
    reach = (kernel - 1) * dilation + 1
    rest = size % stride
    return max(reach - (rest or stride), 0)


def same_conv(x: torch.Tensor, conv: nn.Conv2d, weight: torch.Tensor) -> torch.Tensor:
    """'SAME' convolution by its definition."""
    pads = [
        tensorflow_padding(x.shape[2 + axis], conv.kernel_size[axis], conv.stride[axis], conv.dilation[axis])
        for axis in (0, 1)
    ]
    B, C, H, W = x.shape
    framed = x.new_zeros(B, C, H + pads[0], W + pads[1])
    framed[:, :, pads[0] // 2 : pads[0] // 2 + H, pads[1] // 2 : pads[1] // 2 + W] = x
    return F.conv2d(framed, weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)


def standardized(weight: torch.Tensor, eps: float) -> torch.Tensor:
    var, mean = torch.var_mean(weight, dim=(1, 2, 3), keepdim=True, unbiased=False)
    return (weight - mean) / (var + eps).sqrt()


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize('kernel', [1, 2, 3, 5])
@pytest.mark.parametrize('stride', [1, 2, 3])
@pytest.mark.parametrize('dilation', [1, 2])
def test_same_padding_is_that_of_tensorflow(kernel, stride, dilation):
    for size in range(1, 20):
        assert get_same_padding(size, kernel, stride, dilation) == tensorflow_padding(size, kernel, stride, dilation)


def test_the_odd_one_of_same_padding_goes_right_and_to_the_bottom():
    x = pad_same(torch.ones(1, 1, 4, 5), [3, 3], [2, 2], value=7)
    assert x.shape == (1, 1, 5, 7)
    assert x[0, 0, :, 0].eq(7).all()
    assert x[0, 0, -1].eq(7).all()
    assert x[0, 0, 0, 1:-1].eq(1).all()


def test_symmetric_padding():
    assert get_padding(3) == 1
    assert get_padding(7, stride=2) == 3
    assert get_padding(3, dilation=2) == 2
    assert get_padding((3, 5)) == [1, 2]


def test_same_padding_is_static_where_the_input_size_cannot_matter():
    assert is_static_pad(3)
    assert is_static_pad((3, 5))
    assert is_static_pad(2, dilation=2)
    assert not is_static_pad(3, stride=2)
    assert not is_static_pad(4)
    assert get_padding_value('SAME', 3) == (1, False)
    assert get_padding_value('same', 3, stride=2) == (0, True)
    assert get_padding_value('valid', 3, stride=2) == (0, False)
    assert get_padding_value('', 3, stride=2) == (1, False)
    assert get_padding_value((1, 2), 3) == ((1, 2), False)


def test_an_unknown_padding_names_the_nearest():
    with pytest.raises(ValueError, match=r"'smae'.*'same'"):
        create_conv2d(4, 4, 3, padding='smae')


@pytest.mark.parametrize('size', [(14, 14), (15, 12), (3, 5)])
@pytest.mark.parametrize('options', [{'kernel_size': 3, 'stride': 2}, {'kernel_size': (2, 5), 'stride': (1, 3)}])
@pytest.mark.parametrize('dilation', [1, 2])
def test_conv2d_same_pads_by_input_size(size, options, dilation):
    conv = Conv2dSame(4, 6, dilation=dilation, groups=2, dtype=torch.float64, **options)
    x = torch.rand(2, 4, *size, dtype=torch.float64)
    torch.testing.assert_close(conv(x), same_conv(x, conv, conv.weight))


def test_the_export_form_agrees_and_refuses_another_size():
    conv = Conv2dSameExport(4, 6, 3, stride=2)
    x = torch.rand(1, 4, 8, 8)
    torch.testing.assert_close(conv(x), same_conv(x, conv, conv.weight))
    with pytest.raises(ValueError, match='Conv2dSame'):
        conv(torch.rand(1, 4, 9, 9))


@pytest.mark.parametrize('cls', [StdConv2d, StdConv2dSame])
def test_weights_are_standardised_per_filter(cls):
    conv = cls(4, 6, 3, stride=2, bias=True, eps=1e-3, dtype=torch.float64)
    x = torch.rand(2, 4, 8, 9, dtype=torch.float64)
    weight = standardized(conv.weight, 1e-3)
    if cls is StdConv2d:
        expected = F.conv2d(x, weight, conv.bias, stride=2, padding=1)
    else:
        expected = same_conv(x, conv, weight)
    torch.testing.assert_close(conv(x), expected)


@pytest.mark.parametrize('cls', [ScaledStdConv2d, ScaledStdConv2dSame])
def test_scaled_weights_have_a_gain_and_preserve_variance(cls):
    conv = cls(4, 6, 3, stride=2, gamma=1.7, gain_init=0.5, dtype=torch.float64)
    assert conv.gain.shape == (6, 1, 1, 1)
    assert conv.gain.eq(0.5).all()
    with torch.no_grad():
        conv.gain.copy_(torch.rand(6, 1, 1, 1))
    x = torch.rand(2, 4, 8, 9, dtype=torch.float64)
    weight = standardized(conv.weight, 1e-6) * conv.gain * 1.7 / math.sqrt(4 * 9)
    if cls is ScaledStdConv2d:
        expected = F.conv2d(x, weight, conv.bias, stride=2, padding=1)
    else:
        expected = same_conv(x, conv, weight)
    torch.testing.assert_close(conv(x), expected)
    conv.reset_parameters()
    assert conv.gain.eq(0.5).all()


def test_scaled_convolution_keeps_unit_variance():
    conv = ScaledStdConv2d(64, 64, 3, bias=False)
    assert conv(torch.randn(4, 64, 20, 20))[..., 1:-1, 1:-1].var().item() == pytest.approx(1, rel=0.1)


def test_mixed_convolution_gives_each_group_its_kernel():
    conv = MixedConv2d(8, 10, [3, 5, 7], padding='same', stride=2)
    assert list(conv.state_dict()) == ['0.weight', '1.weight', '2.weight']
    assert [tuple(c.weight.shape) for c in conv] == [(4, 4, 3, 3), (3, 2, 5, 5), (3, 2, 7, 7)]
    x = torch.rand(1, 8, 9, 10)
    parts = [x[:, :4], x[:, 4:6], x[:, 6:]]
    expected = [same_conv(part, c, c.weight) for part, c in zip(parts, conv, strict=True)]
    torch.testing.assert_close(conv(x), torch.cat(expected, 1))


def test_depthwise_mixed_convolution_acts_on_single_channels():
    conv = MixedConv2d(6, 12, [3, 5], depthwise=True)
    assert [c.groups for c in conv] == [3, 3]


@pytest.mark.parametrize('options', [{}, {'bias': True, 'groups': 2}, {'stride': 2, 'padding': 'same'}])
def test_conditional_convolution_is_that_of_mixed_weights_for_each_sample(options):
    conv = CondConv2d(4, 6, 3, num_experts=3, **options)
    x, routing = torch.rand(5, 4, 8, 9), torch.rand(5, 3)
    outputs = []
    for sample, weights in zip(x, routing, strict=True):
        kernel = sum(w * e.view(conv.weight_shape) for w, e in zip(weights, conv.weight, strict=True))
        bias = None if conv.bias is None else weights @ conv.bias
        single = Conv2dSame(4, 6, 3, stride=conv.stride, groups=conv.groups, bias=False)
        out = same_conv(sample[None], single, kernel)
        outputs.append(out if bias is None else out + bias[:, None, None])
    torch.testing.assert_close(conv(x, routing), torch.cat(outputs))


def test_each_expert_starts_like_a_convolution():
    conv = CondConv2d(16, 32, 3, num_experts=4, bias=True)
    bound = 1 / math.sqrt(16 * 9)
    for tensor in (conv.weight, conv.bias):
        assert tensor.abs().max().item() <= bound
        assert tensor.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)


def test_condconv_initializer_shows_experts_in_shape():
    seen = []
    initialize = get_condconv_initializer(lambda w: seen.append(tuple(w.shape)), 3, (2, 1, 3, 3))
    initialize(torch.empty(3, 18))
    assert seen == [(2, 1, 3, 3)] * 3
    with pytest.raises(ValueError, match=r'\(3, 18\)'):
        initialize(torch.empty(3, 17))


@pytest.mark.parametrize(
    ('arguments', 'options', 'kind'),
    [
        ((4, 8, 3), {}, nn.Conv2d),
        ((4, 8, 3), {'padding': 'same'}, nn.Conv2d),
        ((4, 8, 3), {'padding': 'same', 'stride': 2}, Conv2dSame),
        ((4, 8, [3, 5]), {}, MixedConv2d),
        ((4, 8, 3), {'num_experts': 4}, CondConv2d),
        ((4, 8, 3), {'num_experts': 0}, nn.Conv2d),
    ],
)
def test_create_conv2d_chooses_the_kind(arguments, options, kind):
    conv = create_conv2d(*arguments, **options)
    assert type(conv) is kind
    assert (conv.in_channels, conv.out_channels) == (4, 8)


def test_create_conv2d_defaults():
    conv = create_conv2d(4, 8, 3, depthwise=True)
    assert conv.bias is None
    assert conv.padding == (1, 1)
    assert conv.groups == 4


@pytest.mark.parametrize(
    ('kernel_size', 'options', 'message'),
    [([3, 5], {'groups': 2}, 'groups=2'), ([3, 5], {'num_experts': 2}, 'num_experts=2'),
     (3, {'depthwise': True, 'groups': 2}, 'depthwise')],
)  # fmt: skip
def test_create_conv2d_refuses_contradictions(kernel_size, options, message):
    with pytest.raises(ValueError, match=message):
        create_conv2d(4, 4, kernel_size, **options)


def test_conv_norm_act_is_its_parts_in_order():
    block = ConvNormAct(4, 6, 3, stride=2, padding='same').eval()
    assert [name for name, _ in block.named_children()] == ['conv', 'bn']
    assert (block.in_channels, block.out_channels) == (4, 6)
    x = torch.rand(2, 4, 8, 8)
    expected = (same_conv(x, block.conv, block.conv.weight) / math.sqrt(1 + block.bn.eps)).relu()
    torch.testing.assert_close(block(x), expected)


def test_conv_norm_act_lets_the_blur_stride():
    block = ConvNormAct(4, 6, 3, stride=2, aa_layer='blur').eval()
    assert block.conv.stride == (1, 1)
    assert isinstance(block.aa, BlurPool2d)
    assert block(torch.rand(1, 4, 8, 8)).shape == (1, 6, 4, 4)
    assert ConvNormAct(4, 6, 3, aa_layer='blur').aa is None


def test_conv_norm_act_options():
    plain = ConvNormAct(4, 6, apply_norm=False)
    assert len(plain.bn) == 0
    block = ConvNormAct(4, 6, norm_kwargs={'eps': 0.1}, act_layer=nn.LeakyReLU, act_kwargs={'negative_slope': 0.3})
    assert block.bn.eps == 0.1
    assert block.bn.act.negative_slope == 0.3
    assert ConvNormAct(4, 6, drop_layer=nn.Dropout).bn.drop.p == 0.5
    assert isinstance(ConvNormAct(4, 6, apply_act=False).bn.act, nn.Identity)


def test_separable_convolution_is_depthwise_then_mixing():
    conv = SeparableConv2d(4, 6, 3, stride=2, channel_multiplier=2.0, bias=True)
    assert (conv.in_channels, conv.out_channels) == (4, 6)
    assert conv.conv_dw.groups == 4
    assert conv.conv_dw.bias is None
    x = torch.rand(1, 4, 8, 8)
    depthwise = F.conv2d(x, conv.conv_dw.weight, stride=2, padding=1, groups=4)
    expected = torch.einsum('bchw,oc->bohw', depthwise, conv.conv_pw.weight[..., 0, 0])
    torch.testing.assert_close(conv(x), expected + conv.conv_pw.bias[:, None, None])
    block = SeparableConvNormAct(4, 6, act_layer='silu').eval()
    assert list(block.state_dict())[:3] == ['conv_dw.weight', 'conv_pw.weight', 'bn.weight']
    assert block(x).shape == (1, 6, 8, 8)


def test_scripted_linear_computes_in_the_type_of_its_input():
    layer = Linear(4, 3)
    x = torch.rand(2, 4)
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
    assert torch.jit.script(layer)(x.bfloat16()).dtype == torch.bfloat16


LAYERS = {
    'conv2d_same': lambda: Conv2dSame(4, 6, 3, stride=2),
    'std_conv': lambda: StdConv2d(4, 6, 3),
    'std_conv_same': lambda: StdConv2dSame(4, 6, 3, stride=2),
    'scaled_std_conv': lambda: ScaledStdConv2d(4, 6, 3),
    'scaled_std_conv_same': lambda: ScaledStdConv2dSame(4, 6, 3, stride=2),
    'mixed_conv': lambda: MixedConv2d(4, 6, [3, 5], stride=2, padding='same'),
    'conv_norm_act': lambda: ConvNormAct(4, 6, 3, stride=2, aa_layer='blur'),
    'separable_conv': lambda: SeparableConvNormAct(4, 6, 3, stride=2, padding='same'),
}
layers = pytest.mark.parametrize('build', LAYERS.values(), ids=LAYERS)


@layers
def test_layers_script_and_trace_for_any_size(build):
    layer = build().eval()
    scripted = torch.jit.script(layer)
    traced = torch.jit.trace(layer, torch.rand(1, 4, 8, 8), check_trace=False)
    with torch.no_grad():
        for size in ((8, 8), (9, 7)):
            x = torch.rand(2, 4, *size)
            torch.testing.assert_close(scripted(x), layer(x))
            torch.testing.assert_close(traced(x), layer(x))


@layers
def test_layers_export_and_compile_whole(build):
    layer = build().eval()
    x = torch.rand(2, 4, 9, 8)
    expected = layer(x)
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), expected)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend='eager')(x), expected)


@layers
def test_layers_build_on_meta_and_run_in_bfloat16(build):
    with torch.device('meta'):
        layer = build()
    assert all(t.is_meta for t in (*layer.parameters(), *layer.buffers()))
    layer = build().to(torch.bfloat16).eval()
    assert layer(torch.rand(1, 4, 8, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize('cls', [Conv2dSame, StdConv2dSame, ScaledStdConv2d, CondConv2d, ConvNormAct, SeparableConv2d])
def test_constructors_take_device_and_dtype(cls):
    layer = cls(4, 8, 3, device='meta', dtype=torch.float16)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {('meta', torch.float16)}
    assert cls(4, 8, 3).state_dict().keys() == layer.state_dict().keys()


def test_conditional_convolution_scripts_and_exports():
    layer = CondConv2d(4, 6, 3, stride=2, padding='same', bias=True)
    inputs = torch.rand(2, 4, 8, 8), torch.rand(2, 4)
    expected = layer(*inputs)
    torch.testing.assert_close(torch.jit.script(layer)(*inputs), expected)
    torch.testing.assert_close(torch.export.export(layer, inputs).module()(*inputs), expected)
