"""Attention among the positions of a map with embeddings of offsets: equations by loops, forms, what is refused."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.fill import fill_model
from timm.layers import bottleneck_attn, create_attn, create_feature_extractor, get_attn, halo_attn
from timm.layers.bottleneck_attn import BottleneckAttn, rel_logits_1d
from timm.layers.halo_attn import HaloAttn
from timm.layers.lambda_layer import LambdaLayer, rel_pos_indices

DIM = 16

LAYERS = {
    'bottleneck': (lambda **kw: BottleneckAttn(DIM, 12, (4, 6), num_heads=2, qk_ratio=0.5, **kw), (4, 6)),
    'bottleneck stride': (lambda **kw: BottleneckAttn(DIM, feat_size=5, stride=2, qkv_bias=True, **kw), (5, 5)),
    'halo': (lambda **kw: HaloAttn(DIM, 12, num_heads=2, block_size=2, halo_size=1, **kw), (4, 6)),
    'halo stride': (lambda **kw: HaloAttn(DIM, stride=2, block_size=4, scale_pos_embed=True, **kw), (4, 8)),
    'lambda': (lambda **kw: LambdaLayer(DIM, 12, num_heads=2, dim_head=4, r=3, **kw), (4, 6)),
    'lambda blocks': (lambda **kw: LambdaLayer(DIM, stride=2, dim_head=None, r=5, qkv_bias=True, **kw), (4, 19)),
    'lambda global': (lambda **kw: LambdaLayer(DIM, feat_size=(4, 6), dim_head=5, r=None, **kw), (4, 6)),
}
layers = pytest.mark.parametrize('name', LAYERS)


def build(name, **kwargs):
    """The layer with weights by formula, in evaluation, and a map for it."""
    make, size = LAYERS[name]
    return fill_model(make(**kwargs)).eval(), torch.randn(2, DIM, *size)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def positions(height, width):
    return list(itertools.product(range(height), range(width)))


def attend(layer, q, k, v, q_size, k_size):
    """One head: queries (N, C), keys (M, C), values (M, D), with embeddings of offsets, pair by pair."""
    height_rel, width_rel = layer.pos_embed.height_rel, layer.pos_embed.width_rel
    weight = layer.scale if layer.scale_pos_embed else 1.0
    scores = torch.empty(len(q), len(k), dtype=q.dtype)
    for n, (y, x) in enumerate(positions(*q_size)):
        for m, (i, j) in enumerate(positions(*k_size)):
            embedding = height_rel[i - y + k_size[0] - 1] + width_rel[j - x + k_size[1] - 1]
            scores[n, m] = layer.scale * q[n] @ k[m] + weight * q[n] @ embedding
    return scores.softmax(1) @ v


def heads_of(x, heads):
    """(heads * C, H, W) -> heads times (H * W, C)."""
    return x.unflatten(0, (heads, -1)).flatten(2).transpose(1, 2).unbind()


@pytest.mark.parametrize(
    ('options', 'heads', 'width'),
    [
        ({}, 4, 4),
        ({'dim_out': 24, 'num_heads': 3, 'qk_ratio': 0.5}, 3, 5),  # 12, the next multiple of 8 is 16, a third of it
        ({'num_heads': 2, 'dim_head': 5, 'qkv_bias': True, 'scale_pos_embed': True}, 2, 5),
        ({'stride': 2}, 4, 4),
    ],
)
@torch.no_grad()
def test_bottleneck_attention_is_the_equation(options, heads, width):
    size = (3, 4)
    layer = fill_model(BottleneckAttn(DIM, feat_size=size, **options).double()).eval()
    x = torch.randn(2, DIM, *size, dtype=torch.float64)
    expected = []
    for mixed in F.conv2d(x, layer.qkv.weight, layer.qkv.bias):
        q, k, v = (heads_of(part, heads) for part in mixed.tensor_split([heads * width, 2 * heads * width]))
        found = [attend(layer, *head, size, size).T.unflatten(1, size) for head in zip(q, k, v, strict=True)]
        expected.append(torch.cat(found))
    expected = torch.stack(expected)
    torch.testing.assert_close(layer(x), F.avg_pool2d(expected, 2) if layer(x).shape[2] == 1 else expected)


def halo_by_blocks(layer, x, heads, width, block, halo, stride):
    """One image (C, H, W), block by block; `stride` is that of the queries."""
    queries = F.conv2d(x[None], layer.q.weight, layer.q.bias)[0, :, ::stride, ::stride]
    memory = F.pad(F.conv2d(x[None], layer.kv.weight, layer.kv.bias)[0], [halo] * 4)
    n, window = block // stride, block + 2 * halo
    out_width = memory.shape[0] // heads - width
    out = x.new_empty(heads * out_width, *queries.shape[1:])
    for row, column in positions(x.shape[1] // block, x.shape[2] // block):
        here = (slice(None), slice(row * n, row * n + n), slice(column * n, column * n + n))
        q = heads_of(queries[here], heads)
        kv = memory[:, row * block :, column * block :][:, :window, :window]
        for head, pair in enumerate(heads_of(kv, heads)):
            k, v = pair.tensor_split([width], dim=1)
            found = attend(layer, q[head], k, v, (n, n), (window, window))
            out[head * out_width : (head + 1) * out_width][here] = found.T.unflatten(1, (n, n))
    return out


@pytest.mark.parametrize(
    ('options', 'width', 'pooled'),
    [
        ({'num_heads': 2, 'block_size': 2, 'halo_size': 1}, 8, False),
        ({'dim_out': 12, 'num_heads': 2, 'block_size': 4, 'halo_size': 3, 'qk_ratio': 0.5, 'qkv_bias': True}, 4, False),
        ({'num_heads': 2, 'block_size': 2, 'halo_size': 0, 'dim_head': 3, 'scale_pos_embed': True}, 3, False),
        ({'num_heads': 2, 'block_size': 4, 'halo_size': 1, 'stride': 2}, 8, False),
        ({'num_heads': 2, 'block_size': 2, 'halo_size': 1, 'stride': 2, 'avg_down': True}, 8, True),
        ({'num_heads': 2, 'block_size': 1, 'halo_size': 2, 'stride': 2}, 8, True),  # no half of an odd block
    ],
)
@torch.no_grad()
def test_halo_attention_is_the_equation(options, width, pooled):
    layer = fill_model(HaloAttn(DIM, **options).double()).eval()
    x = torch.randn(2, DIM, 4, 8, dtype=torch.float64)
    stride = 1 if pooled else options.get('stride', 1)
    block, halo = options['block_size'], options['halo_size']
    expected = torch.stack([halo_by_blocks(layer, image, 2, width, block, halo, stride) for image in x])
    torch.testing.assert_close(layer(x), F.avg_pool2d(expected, 2) if pooled else expected)


@torch.no_grad()
def test_a_block_sees_its_window_and_nothing_else():
    layer, x = HaloAttn(DIM, block_size=4, halo_size=1).eval(), torch.randn(1, DIM, 8, 8)
    for place, seen in (((0, 4), True), ((4, 4), True), ((0, 5), False), ((5, 0), False)):
        changed = x.clone()
        changed[:, :, place[0], place[1]] += 1
        assert torch.equal(layer(changed)[..., :4, :4], layer(x)[..., :4, :4]) != seen


def normed(norm, x):
    return norm.weight[:, None, None] * (x - norm.running_mean[:, None, None]) / (
        norm.running_var[:, None, None] + norm.eps
    ).sqrt() + norm.bias[:, None, None]  # fmt: skip


def lambdas_by_position(layer, x, heads, width, r):
    """One image (C, H, W): a matrix for each position, applied to its queries (LambdaNetworks, equations 1 and 2)."""
    size = x.shape[1:]
    mixed = F.conv2d(x[None], layer.qkv.weight, layer.qkv.bias)[0]
    q, k, v = mixed.tensor_split([heads * width, (heads + 1) * width])
    q = torch.stack(heads_of(normed(layer.norm_q, q), heads))
    v = normed(layer.norm_v, v).flatten(1).T
    weights = k.flatten(1).softmax(1).T
    out = x.new_empty(heads, len(v), v.shape[1])
    for n, (y, x_n) in enumerate(positions(*size)):
        function = weights.T @ v
        if r is not None:
            function = function + layer.conv_lambda.bias[:, None]
        for m, (i, j) in enumerate(positions(*size)):
            down, right = i - y, j - x_n
            if r is None:
                embedding = layer.pos_emb[down + size[0] - 1, right + size[1] - 1]
            elif max(abs(down), abs(right)) <= r // 2:
                embedding = layer.conv_lambda.weight[:, 0, down + r // 2, right + r // 2, 0]
            else:
                continue
            function = function + embedding[:, None] * v[m]
        out[:, n] = q[:, n] @ function
    return out.transpose(1, 2).flatten(0, 1).unflatten(1, size)


@pytest.mark.parametrize(
    ('options', 'size', 'heads', 'width'),
    [
        ({'r': 3, 'dim_head': 3}, (4, 5), 4, 3),
        ({'r': 23}, (3, 2), 4, 16),  # wider than the map
        ({'r': 1, 'dim_head': None, 'qk_ratio': 0.5, 'qkv_bias': True}, (3, 4), 4, 2),
        ({'r': 3, 'num_heads': 2, 'dim_head': 2}, (3, 19), 2, 2),  # much wider a map than a square
        ({'r': 7, 'num_heads': 1, 'dim_head': 2}, (2, 24), 1, 2),
        ({'r': None, 'dim_out': 12, 'num_heads': 2}, (3, 4), 2, 16),
        ({'r': 5, 'stride': 2}, (4, 6), 4, 16),
    ],
)
@torch.no_grad()
def test_lambda_layer_is_the_equation(options, size, heads, width):
    layer = fill_model(LambdaLayer(DIM, feat_size=size, **options).double()).eval()
    x = torch.randn(2, DIM, *size, dtype=torch.float64)
    expected = torch.stack([lambdas_by_position(layer, image, heads, width, options['r']) for image in x])
    torch.testing.assert_close(layer(x), F.avg_pool2d(expected, 2) if options.get('stride') else expected)


def test_relative_logits_are_products_with_embeddings_of_offsets():
    q, table = torch.randn(2, 3, 4, 5), torch.randn(11, 5)  # 4 columns of queries, 6 of keys
    logits = rel_logits_1d(q, table, (0, 1, 3, 2, 4))
    assert logits.shape == (2, 3, 4, 5, 6)
    for x, j in itertools.product(range(4), range(6)):
        expected = (q[:, :, x] @ table[j - x + 5])[:, :, None].expand(-1, -1, 5)
        torch.testing.assert_close(logits[:, :, x, :, j], expected)
    torch.testing.assert_close(rel_logits_1d(q, table, [0, 3, 1, 4, 2]), logits.permute(0, 2, 1, 4, 3))
    assert halo_attn.rel_logits_1d is bottleneck_attn.rel_logits_1d


def test_index_of_offsets():
    down, right = rel_pos_indices((2, 3))
    for n, (y, x) in enumerate(positions(2, 3)):
        for m, (i, j) in enumerate(positions(2, 3)):
            assert (down[n, m], right[n, m]) == (i - y + 1, j - x + 2)
    assert torch.equal(rel_pos_indices(2), rel_pos_indices((2, 2)))


def test_layers_by_name():
    assert [get_attn(name) for name in ('bottleneck', 'halo', 'lambda')] == [BottleneckAttn, HaloAttn, LambdaLayer]
    assert create_attn('lambda', DIM, r=5).conv_lambda.kernel_size == (5, 5, 1)


def deviation(tensor):
    return tensor.detach().square().mean().sqrt().item()


def test_weights_are_drawn_as_published():
    for layer in (BottleneckAttn(64, 512, (60, 70)), HaloAttn(64, 512, halo_size=20)):
        projections = [
            value for name, value in layer.named_parameters() if name in ('qkv.weight', 'q.weight', 'kv.weight')
        ]
        for projection in projections:
            assert deviation(projection) == pytest.approx(64**-0.5, rel=0.05)
        for table in (layer.pos_embed.height_rel, layer.pos_embed.width_rel):
            assert deviation(table) == pytest.approx(layer.dim_head_qk**-0.5, rel=0.1)
    layer = LambdaLayer(64, 512, dim_head=4, r=31)
    assert deviation(layer.qkv.weight) == pytest.approx(64**-0.5, rel=0.05)
    assert deviation(layer.conv_lambda.weight) == pytest.approx(0.5, rel=0.05)
    assert layer.conv_lambda.bias.abs().max() <= 1 / 31
    table = LambdaLayer(64, dim_head=4, r=None, feat_size=30).pos_emb
    assert deviation(table) == pytest.approx(0.02, rel=0.05)
    narrow = [LambdaLayer(1, 64).qkv.weight for _ in range(50)]  # of deviation 1, cut off at 2
    assert 1.9 < max(weight.abs().max() for weight in narrow) <= 2


@layers
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')  # sizes are checked, which a trace keeps as constants
def test_traced_exported_and_compiled_layers_compute_the_same(name):
    layer, x = build(name)
    expected = layer(x)
    torch.testing.assert_close(torch.jit.trace(layer, x)(x), expected)
    torch.testing.assert_close(torch.jit.script(layer)(x), expected)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend='eager')(x), expected)
    more = torch.cat([x, x.flip(0)[:1]])
    exported = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim('batch', min=2)},)).module()
    torch.testing.assert_close(exported(more), layer(more))
    extractor = create_feature_extractor(nn.Sequential(layer, nn.Identity()), ['1']).eval()
    torch.testing.assert_close(extractor(x)['1'], expected)


@layers
def test_weights_may_come_after_building_without_storage(name):
    expected, x = build(name)
    layer = LAYERS[name][0](device='meta', dtype=torch.bfloat16)
    assert {tensor.device.type for tensor in (*layer.parameters(), *layer.buffers())} == {'meta'}
    assert {parameter.dtype for parameter in layer.parameters()} == {torch.bfloat16}
    assert layer(x.to('meta', torch.bfloat16)).shape == expected(x).shape
    layer = layer.float().to_empty(device='cpu').eval()
    for buffer in layer.buffers():
        buffer.fill_(99)
    layer.load_state_dict(expected.state_dict())
    if isinstance(layer, LambdaLayer):
        layer.init_non_persistent_buffers()
    assert torch.equal(layer(x), expected(x))


def test_index_of_lambda_layer_is_no_part_of_its_state():
    layer = LambdaLayer(DIM, r=None, feat_size=(2, 3))
    assert torch.equal(layer.rel_pos_indices, rel_pos_indices((2, 3)))
    assert 'rel_pos_indices' not in layer.state_dict()
    assert LambdaLayer(DIM).rel_pos_indices is None


@layers
def test_gradients_reach_all_parameters_and_are_those_of_finite_differences(name):
    layer, x = build(name)
    layer, x = layer.double(), x.double().requires_grad_()
    layer(x).square().sum().backward()
    assert all(parameter.grad.any() for parameter in layer.parameters())
    assert torch.autograd.gradcheck(layer, x, fast_mode=True)


@layers
@torch.no_grad()
def test_other_types_and_layouts_of_memory(name):
    layer, x = build(name)
    expected = layer(x)
    torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last)), expected)
    half = copy.deepcopy(layer).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.1, atol=0.1 * expected.std().item())
    with torch.autocast('cpu', torch.bfloat16):
        assert layer(x).shape == expected.shape


@pytest.mark.parametrize(
    ('wrong', 'hint'),
    [
        (lambda: BottleneckAttn(DIM), 'feat_size=None.*give'),
        (lambda: BottleneckAttn(DIM, feat_size=(4, 4, 4)), 'feat_size=.*use'),
        (lambda: BottleneckAttn(DIM, feat_size=4, num_heads=3), 'dim_out=16.*num_heads=3.*use num_heads=2 or 4'),
        (lambda: BottleneckAttn(DIM, feat_size=4, num_heads=0), 'num_heads=0.*use 1'),
        (lambda: BottleneckAttn(DIM, feat_size=4, stride=3), 'stride=3.*use 1 or 2'),
        (lambda: BottleneckAttn(DIM, feat_size=4, num_heads=16, qk_ratio=0.1), 'qk_ratio=0.1.*set dim_head'),
        (lambda: HaloAttn(DIM, num_heads=3), 'num_heads=3.*use num_heads=2 or 4'),
        (lambda: HaloAttn(DIM, stride=4), 'stride=4.*use 1 or 2'),
        (lambda: HaloAttn(DIM, block_size=0), 'block_size=0.*use 1'),
        (lambda: HaloAttn(DIM, halo_size=-1), 'halo_size=-1.*use 0'),
        (lambda: halo_attn.PosEmbedRel(4, 3, 8, 1.0), 'win_size=3.*block_size=4.*use'),
        (lambda: LambdaLayer(DIM, num_heads=3), 'num_heads=3.*use num_heads=2 or 4'),
        (lambda: LambdaLayer(DIM, r=8), 'r=8.*use 7 or 9'),
        (lambda: LambdaLayer(DIM, r=0), 'r=0.*use 1'),
        (lambda: LambdaLayer(DIM, r=None), 'r=None.*feat_size=None.*give'),
        (lambda: LambdaLayer(DIM, stride=0), 'stride=0.*use 1 or 2'),
    ],
)
def test_what_cannot_be_built_is_refused(wrong, hint):
    with pytest.raises(ValueError, match=hint):
        wrong()
    with pytest.raises(AssertionError):  # which published layers raise
        wrong()


@pytest.mark.parametrize(
    ('layer', 'size', 'hint'),
    [
        (BottleneckAttn(DIM, feat_size=(4, 6)), (6, 4), 'height 6 .*4.*build another'),
        (BottleneckAttn(DIM, feat_size=(4, 6)), (4, 5), 'width 5 .*6.*build another'),
        (HaloAttn(DIM, block_size=4), (6, 8), 'height 6 .*block_size=4.*pad'),
        (HaloAttn(DIM, block_size=4), (8, 2), 'width 2 .*block_size=4.*pad'),
        (LambdaLayer(DIM, r=None, feat_size=(4, 6)), (6, 4), 'height 6 .*4.*with r'),
        (LambdaLayer(DIM, r=None, feat_size=(4, 6)), (4, 12), 'width 12 .*6.*with r'),
    ],
)
def test_map_that_does_not_fit_is_refused(layer, size, hint):
    with pytest.raises(AssertionError, match=hint):
        layer(torch.randn(1, DIM, *size))
