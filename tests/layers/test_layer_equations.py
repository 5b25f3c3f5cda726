"""Layers against their equations: every norm, and every published layer whose numbers are not on record."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.fill import fill_model
from tests.layers import layer_cases
from tests.layers.test_layer_golden import ENTRIES, NOT_YET, _build, _input
from timm import layers
from timm.layers.grn import GlobalResponseNorm

ACTIVATIONS = {
    'relu': lambda x: x.clamp(min=0),
    'silu': lambda x: x / (1 + torch.exp(-x)),
}


def per_channel(values):
    return values.view(1, -1, 1, 1)


def centred(x, dims, eps):
    mean = x.mean(dims, keepdim=True)
    return (x - mean) / ((x - mean).square().mean(dims, keepdim=True) + eps).sqrt()


def root_mean_square(x, dims, eps):
    return (x.square().mean(dims, keepdim=True) + eps).sqrt()


def deviation(x, dims, eps):
    return ((x - x.mean(dims, keepdim=True)).square().mean(dims, keepdim=True) + eps).sqrt()


def by_group(x, groups, statistic, eps):
    """A statistic of each group of channels and its pixels, for every channel."""
    grouped = x.unflatten(1, (groups, -1))
    return statistic(grouped, (2, 3, 4), eps).expand_as(grouped).flatten(1, 2)


def over_batch(layer, x):
    """Deviation of each channel of an EvoNorm-B: of the batch in training, else the kept one."""
    if layer.training:
        return deviation(x, (0, 2, 3), layer.eps)
    return per_channel((layer.running_var + layer.eps).sqrt())


def frozen(layer, x):
    return (x - per_channel(layer.running_mean)) / per_channel(layer.running_var + layer.eps).sqrt()


def batch_norm(layer, x):
    return centred(x, (0, 2, 3), layer.eps) if layer.training else frozen(layer, x)


def split_batch_norm(layer, x):
    """The second half of a batch has a norm of its own."""
    if not layer.training:
        return frozen(layer, x)
    first, second = (centred(part, (0, 2, 3), layer.eps) for part in x.chunk(2))
    aux = layer.aux_bn[0]
    # brought to the scale and shift that the first half has, which follow
    second = (second * per_channel(aux.weight) + per_channel(aux.bias - layer.bias)) / per_channel(layer.weight)
    return torch.cat([first, second])


def unbiased(x, dims, eps):
    return x / (x.var(dims, keepdim=True) + eps).sqrt()


# Beginning of a class's name -> norm before scale, shift and activation; the longest that fits counts.
NORMS = {
    'LayerNorm': lambda n, x: centred(x, -1 if x.ndim == 3 else 1, n.eps),
    'RmsNorm': lambda n, x: x / root_mean_square(x, -1 if x.ndim == 3 else 1, n.eps),
    'SimpleNorm': lambda n, x: unbiased(x, -1 if x.ndim == 3 else 1, n.eps),
    'GroupNorm': lambda n, x: centred(x.unflatten(1, (n.num_groups, -1)), (2, 3, 4), n.eps).flatten(1, 2),
    'BatchNormAct2d': batch_norm,
    'SyncBatchNormAct': batch_norm,
    'SplitBatchNorm2d': split_batch_norm,
    'FrozenBatchNorm': frozen,
    'FilterResponseNorm': lambda n, x: x / root_mean_square(x, (2, 3), n.eps),
    'EvoNorm2dB0': lambda n, x: x / torch.maximum(over_batch(n, x), per_channel(n.v) * x + deviation(x, (2, 3), n.eps)),
    'EvoNorm2dB1': lambda n, x: x / torch.maximum(over_batch(n, x), (x + 1) * root_mean_square(x, (2, 3), n.eps)),
    'EvoNorm2dB2': lambda n, x: x / torch.maximum(over_batch(n, x), root_mean_square(x, (2, 3), n.eps) - x),
    'EvoNorm2dS0': lambda n, x: x * (per_channel(n.v) * x).sigmoid() / by_group(x, n.groups, deviation, n.eps),
    'EvoNorm2dS1': lambda n, x: x * x.sigmoid() / by_group(x, n.groups, deviation, n.eps),
    'EvoNorm2dS2': lambda n, x: x * x.sigmoid() / by_group(x, n.groups, root_mean_square, n.eps),
}  # fmt: skip

NORM_CASES = [
    case for case in layer_cases.NORMS if not issubclass(case.layer_class, (layers.LayerScale, GlobalResponseNorm))
]


def by_equation(case, layer, x):
    """Norm, scale and shift, then the activation that the case asks for."""
    name = case.layer_class.__name__
    norm = NORMS[max((key for key in NORMS if name.startswith(key)), key=len)]
    shape = (-1,) if x.ndim == 3 else (-1, 1, 1)
    y = norm(layer, x) * layer.weight.view(shape)
    if getattr(layer, 'bias', None) is not None:
        y = y + layer.bias.view(shape)
    if name == 'FilterResponseNormTlu2d':
        return torch.maximum(y, per_channel(layer.tau))
    if 'Act' not in name or name == 'SyncBatchNormAct':  # which takes one over from the norm that it replaces
        return y
    act = case.build.keywords.get('act_layer', 'relu')
    return torch.where(y < 0, layer.act.weight * y, y) if act == 'prelu' else ACTIVATIONS[act](y)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('case', NORM_CASES, ids=str)
@torch.no_grad()
def test_norm_is_its_equation(case, training):
    torch.manual_seed(0)
    layer = fill_model(case.build()).double().train(training)
    for module in layer.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    x = torch.randn(case.inputs[0], dtype=torch.float64) * 3 + 1
    expected = by_equation(case, layer, x)
    tolerance = 1e-5 if case.coarse else 1e-10
    torch.testing.assert_close(layer(x), expected, rtol=tolerance, atol=tolerance)


# Published layers whose numbers are not on record


def mean(x):
    return x.mean((2, 3))


def gated(x, logits):
    return x * (1 / (1 + torch.exp(-logits)))[:, :, None, None]


def linear(layer, x):
    """A linear layer or 1x1 convolution on the last axis."""
    y = x @ layer.weight.flatten(1).T
    return y if layer.bias is None else y + layer.bias


def relu(x):
    return x.clamp(min=0)


def gelu(x):
    return x / 2 * (1 + torch.erf(x / math.sqrt(2)))


def silu(x):
    return ACTIVATIONS['silu'](x)


def softmax(x):
    weights = x.exp()
    return weights / weights.sum(-1, keepdim=True)


def along_channels(values, taps):
    """A correlation along the channels, with zeros beyond their ends: values (B, C), an odd number of taps."""
    reach = len(taps) // 2
    framed = F.pad(values, (reach, reach))
    return sum(tap * framed[:, i : i + values.shape[1]] for i, tap in enumerate(taps))


def eca_with_mlp(m, x):
    hidden = relu(mean(x)[:, None] * m.conv.weight[:, 0] + m.conv.bias[:, None])  # (B, features, C)
    return gated(x, sum(along_channels(h, m.conv2.weight[0, i]) for i, h in enumerate(hidden.unbind(1))) + m.conv2.bias)


def cbam(m, x):
    def mlp(pooled):
        return linear(m.channel.fc2, relu(linear(m.channel.fc1, pooled)))

    x = gated(x, mlp(mean(x)) + mlp(x.amax((2, 3))))
    maps = torch.stack([x.mean(1), x.amax(1)], 1)
    bn = m.spatial.conv.bn
    y = (F.conv2d(maps, m.spatial.conv.conv.weight, padding=3) - bn.running_mean) / (bn.running_var + bn.eps).sqrt()
    return x * (y * bn.weight + bn.bias).sigmoid()


def global_context(m, x):
    tokens = x.flatten(2).transpose(1, 2)
    weights = softmax(linear(m.conv_attn, tokens).transpose(1, 2))
    context = (weights @ tokens)[:, 0]
    hidden = centred(linear(m.mlp_scale.fc1, context), -1, 1e-6) * m.mlp_scale.norm.weight + m.mlp_scale.norm.bias
    return gated(x, linear(m.mlp_scale.fc2, relu(hidden)))


def non_local(m, x):
    tokens = x.flatten(2).transpose(1, 2)
    q, k, v = (linear(part, tokens) for part in (m.t, m.p, m.g))
    found = linear(m.z, softmax(q @ k.transpose(1, 2) / math.sqrt(x.shape[1])) @ v)
    found = (found - m.norm.running_mean) / (m.norm.running_var + m.norm.eps).sqrt() * m.norm.weight + m.norm.bias
    return x + found.transpose(1, 2).reshape(x.shape)


def same_frame(x, kernel, stride, value=0.0):
    """The border that makes ceil(size / stride) windows fit; what does not halve goes right and to the bottom."""
    rows, columns = (max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:])
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2), value=value)


def std_conv_same(m, x):
    return F.conv2d(same_frame(x, 3, 2), centred(m.weight, (1, 2, 3), m.eps), stride=2)


def mixed_conv(m, x):
    parts = zip(m, x.split([12, 10, 10], 1), (3, 5, 7), strict=True)
    return torch.cat([F.conv2d(part, conv.weight, padding=size // 2) for conv, part, size in parts], 1)


def blur(m, x):
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype) / 4
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode='reflect'), kernel, stride=2, groups=x.shape[1])


def depth_to_space(m, x):
    images, channels, height, width = x.shape
    y = x.new_empty(images, channels // 4, 2 * height, 2 * width)
    for row in (0, 1):
        for column in (0, 1):
            first = (2 * row + column) * (channels // 4)
            y[:, :, row::2, column::2] = x[:, first : first + channels // 4]
    return y


def grn_mlp(m, x):
    x = gelu(linear(m.fc1, x))
    energy = x.square().sum((1, 2), keepdim=True).sqrt()
    share = energy / (energy.mean(-1, keepdim=True) + 1e-6)
    return linear(m.fc2, x + m.grn.weight * (x * share) + m.grn.bias)


def swiglu_packed(m, x):
    gate, value = linear(m.fc1, x).chunk(2, -1)
    return linear(m.fc2, silu(gate) * value)


def diff_attention(m, x):
    q, k, v = (part.unflatten(-1, (4, -1)) for part in linear(m.qkv, x).chunk(3, -1))  # (B, N, heads, 16)
    start = 0.8 - 0.6 * math.exp(-0.3 * 0)
    second = (m.lambda_q1 @ m.lambda_k1).exp() - (m.lambda_q2 @ m.lambda_k2).exp() + start
    found = []
    for h in range(4):
        maps = [softmax(q[:, :, h, half] @ k[:, :, h, half].transpose(1, 2) / 8**0.5) for half in HALVES]
        head = (maps[0] - second * maps[1]) @ v[:, :, h]
        found.append(head / root_mean_square(head, -1, 1e-5) * m.sub_norm.weight * (1 - start))
    return linear(m.proj, torch.cat(found, -1))


HALVES = (slice(0, 8), slice(8, 16))  # of the 16 channels of a head of queries and keys


def running(norm, x):
    x = (x - per_channel(norm.running_mean)) / per_channel(norm.running_var + norm.eps).sqrt()
    return x * per_channel(norm.weight) + per_channel(norm.bias)


def multi_query_attention(m, x):
    def tokens(conv, y):
        return linear(conv, y.flatten(2).transpose(1, 2))

    pooled = running(m.query.norm, F.avg_pool2d(x, 2))
    q = tokens(m.query.proj, pooled).unflatten(-1, (8, 4))
    k, v = (
        tokens(part.proj, running(part.norm, F.conv2d(x, part.down_conv.weight, stride=2, padding=1, groups=32)))
        for part in (m.key, m.value)
    )
    heads = [softmax(q[:, :, h] @ k.transpose(1, 2) / 4**0.5) @ v for h in range(8)]
    found = torch.cat(heads, -1).transpose(1, 2).unflatten(2, pooled.shape[2:])
    found = F.interpolate(found, scale_factor=2, mode='bilinear', align_corners=False)
    return tokens(m.output.proj, found).transpose(1, 2).unflatten(2, x.shape[2:])


def lambda_layer(m, x):
    """A linear function of each position: of all keys, and of the 9 x 9 positions around it."""
    maps = linear(m.qkv, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    q, k, v = running(m.norm_q, maps[:, :64]), maps[:, 64:80].flatten(2), running(m.norm_v, maps[:, 80:])
    around = F.unfold(v, 9, padding=4).unflatten(1, (8, 81))  # (B, V, 81, N)
    functions = torch.einsum('ks,bvsn->bnkv', m.conv_lambda.weight.reshape(16, 81), around)
    functions = functions + m.conv_lambda.bias[:, None] + (softmax(k) @ v.flatten(2).transpose(1, 2))[:, None]
    y = torch.einsum('bhkn,bnkv->bhvn', q.flatten(2).unflatten(1, (4, 16)), functions)
    return y.reshape(x.shape)


def rel_pos_mlp(m):
    """A bias from the logarithm of each pair's distances, in a window of 7 x 7."""
    at = torch.tensor([(row, column) for row in range(7) for column in range(7)], dtype=torch.float64)
    offsets = at[:, None] - at[None, :]
    offsets = offsets.sign() * (1 + offsets.abs()).log()
    return linear(m.mlp.fc2, relu(linear(m.mlp.fc1, offsets))).permute(2, 0, 1)[None]


def rotary_angles(rows, columns, bands):
    """Angles of each position, row by row: for the row, then for the column, each twice."""
    angles = [
        [*(row * band for band in bands), *(column * band for band in bands)] for row in rows for column in columns
    ]
    return torch.tensor(angles, dtype=torch.float64).repeat_interleave(2, -1)


def rotary_in_pixels(m):
    from_edge_to_edge = [-1 + 2 * i / 6 for i in range(7)]
    bands = [math.pi * 112 ** (i / 3) for i in range(4)]  # up to half of the 224 pixels
    angles = rotary_angles(from_edge_to_edge, from_edge_to_edge, bands)
    return [angles.sin(), angles.cos()]


def rotary_in_counts(m):
    counted = [i / 7 * 16 for i in range(7)]
    angles = rotary_angles(counted, counted, [10000 ** (-i / 4) for i in range(4)])
    return torch.cat([angles.sin(), angles.cos()], -1)


def fourier(m, x):
    height, width = x.shape[2:]
    bands = torch.linspace(1, 7, 8, dtype=torch.float64) * math.pi  # up to half of 14 pixels
    rows = torch.linspace(-1, 1, height, dtype=torch.float64)[:, None].expand(height, width)
    columns = torch.linspace(-1, 1, width, dtype=torch.float64)[None, :].expand(height, width)
    features = [rows, columns]
    for wave in (torch.sin, torch.cos):
        features += [wave(axis * band) for band in bands for axis in (rows, columns)]
    features = torch.stack(features, -1).flatten(0, 1).expand(len(x), -1, -1)
    return torch.cat([x.flatten(2).transpose(1, 2), features], -1)


EQUATIONS = {
    'SqueezeExcite(32)': lambda m, x: gated(x, linear(m.fc2, relu(linear(m.fc1, mean(x))))),
    'EcaModule(32)': lambda m, x: gated(x, along_channels(mean(x), m.conv.weight[0, 0])),
    'EcaModule(32, use_mlp=True, rd_channels=8)': eca_with_mlp,
    "create_attn('eca', 32)": lambda m, x: gated(x, along_channels(mean(x), m.conv.weight[0, 0])),
    "create_attn('ecam', 32)": eca_with_mlp,
    "create_attn('cbam', 32)": cbam,
    "create_attn('gc', 32)": global_context,
    'NonLocalAttn(32)': non_local,
    "create_attn('lambda', 32, feat_size=(14, 14))": lambda_layer,
    'LayerNormAct2d(32)': lambda m, x: relu(centred(x, 1, 1e-5) * per_channel(m.weight) + per_channel(m.bias)),
    'GroupNorm1(32)': lambda m, x: centred(x, (1, 2, 3), 1e-5) * per_channel(m.weight) + per_channel(m.bias),
    'EvoNorm2dS0(32)': lambda m, x: NORMS['EvoNorm2dS0'](m, x) * per_channel(m.weight) + per_channel(m.bias),
    'EvoNorm2dS1a(32)': lambda m, x: NORMS['EvoNorm2dS1'](m, x) * per_channel(m.weight) + per_channel(m.bias),
    'FilterResponseNormAct2d(32)': lambda m, x: relu(
        x / root_mean_square(x, (2, 3), 1e-5) * per_channel(m.weight) + per_channel(m.bias)
    ),
    'SimpleNorm(64)': lambda m, x: unbiased(x, -1, 1e-6) * m.weight,
    'RmsNormAct(64)': lambda m, x: relu(x / root_mean_square(x, -1, 1e-6) * m.weight),
    'StdConv2dSame(32, 48, 3, stride=2)': std_conv_same,
    "MixedConv2d(32, 48, [3, 5, 7], padding='')": mixed_conv,
    "SelectAdaptivePool2d(pool_type='avgmax', flatten=True)": lambda m, x: (mean(x) + x.amax((2, 3))) / 2,
    "SelectAdaptivePool2d(pool_type='fast', flatten=True)": lambda m, x: mean(x),
    "SelectAdaptivePool2d(pool_type='fastavg', flatten=True)": lambda m, x: mean(x),
    "create_pool2d('max', 3, stride=2, padding='same')": lambda m, x: (
        same_frame(x, 3, 2, -math.inf).unfold(2, 3, 2).unfold(3, 3, 2).amax((4, 5))
    ),
    'BlurPool2d(32)': blur,
    'LsePlus2d()': lambda m, x: (m.r * x).exp().mean((2, 3)).log() / m.r,
    'DepthToSpace(2)': depth_to_space,
    'ClassifierHead(32, 10)': lambda m, x: linear(m.fc, mean(x)),
    'Mlp(64, 128)': lambda m, x: linear(m.fc2, gelu(linear(m.fc1, x))),
    'SwiGLUPacked(64, 128)': swiglu_packed,
    'GlobalResponseNormMlp(64, 128)': grn_mlp,
    'LayerScale(64)': lambda m, x: x * m.gamma,
    'LayerScale2d(32)': lambda m, x: x * per_channel(m.gamma),
    'DiffAttention(64, num_heads=4)': diff_attention,
    'MultiQueryAttention2d(32, query_strides=(2, 2), kv_stride=2, dw_kernel_size=3)': multi_query_attention,
    'DropPath(0.0)': lambda m, x: x,
    'RelPosMlp(window_size=(7, 7), num_heads=4).get_bias': rel_pos_mlp,
    'RotaryEmbedding(16, in_pixels=True, feat_shape=(7, 7)).get_embed': rotary_in_pixels,
    'RotaryEmbeddingCat(16, in_pixels=False, feat_shape=(7, 7), ref_feat_shape=(16, 16)).get_embed': rotary_in_counts,
    'FourierEmbed(max_res=14, num_bands=8)': fourier,
    "create_act_layer('swish')": lambda m, x: silu(x),
    "create_act_layer('elu')": lambda m, x: torch.where(x > 0, x, x.exp() - 1),
    "create_act_layer('tanh')": lambda m, x: 1 - 2 / ((2 * x).exp() + 1),
    "create_act_layer('hard_swish')": lambda m, x: x * (x + 3).clamp(0, 6) / 6,
    "create_act_layer('identity')": lambda m, x: x,
}

# Tables are made in float32, whose 24 bits do not tell an angle this large more exactly.
LARGEST_ANGLE = {
    'RotaryEmbedding(16, in_pixels=True, feat_shape=(7, 7)).get_embed': 112 * math.pi,
    'RotaryEmbeddingCat(16, in_pixels=False, feat_shape=(7, 7), ref_feat_shape=(16, 16)).get_embed': 16.0,
    'FourierEmbed(max_res=14, num_bands=8)': 7 * math.pi,
}

WITHOUT_NUMBERS = [e for e in ENTRIES if e != 'functions' and 'output' not in ENTRIES[e] and e not in NOT_YET]


def test_every_layer_without_numbers_has_an_equation():
    assert EQUATIONS.keys() == set(WITHOUT_NUMBERS)


@pytest.mark.parametrize('entry', WITHOUT_NUMBERS)
@torch.no_grad()
def test_layer_without_numbers_is_its_equation(entry):
    layer, function = _build(entry)
    shape = ENTRIES[entry]['input']
    inputs = [] if shape is None else [_input(shape)]
    found, expected = function(*inputs), EQUATIONS[entry](layer, *inputs)
    for value, other in zip(*((v if isinstance(v, (tuple, list)) else [v]) for v in (found, expected)), strict=True):
        assert value.shape == other.shape
        bound = 1e-6 * other.abs().max() if entry not in LARGEST_ANGLE else LARGEST_ANGLE[entry] * 2**-23
        assert (value.double() - other).abs().max() <= bound
