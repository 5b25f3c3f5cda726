"""Attention over tokens and maps, and pooling by attention: equations, forms of execution, what they refuse."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from timm.layers import (
    Attention,
    Attention2d,
    AttentionPool2d,
    AttentionPoolLatent,
    AttentionPoolPrr,
    AttentionRope,
    DiffAttention,
    LayerNorm,
    LsePlus1d,
    LsePlus2d,
    MultiQueryAttention2d,
    MultiQueryAttentionV2,
    RotaryEmbeddingCat,
    RotAttentionPool2d,
    SimPool1d,
    SimPool2d,
    create_feature_extractor,
    maybe_add_mask,
    resolve_self_attn_mask,
    set_fused_attn,
)
from timm.layers.attention_bias import AttentionBias, abs_offset_index

DIM, HEADS, LENGTH = 24, 4, 7
TOKENS = (2, LENGTH, DIM)
MAP = (2, DIM, 6, 4)

MODULES = {
    'Attention': (lambda: Attention(DIM, HEADS, qk_norm=True, norm_layer=LayerNorm, gated=True), TOKENS),
    'AttentionRope': (
        lambda: AttentionRope(DIM, HEADS, qkv_fused=False, num_kv_heads=2, scale_norm=True, norm_layer=LayerNorm),
        TOKENS,
    ),
    'AttentionRope fused': (lambda: AttentionRope(DIM, HEADS), TOKENS),
    'DiffAttention': (lambda: DiffAttention(DIM, 3), TOKENS),
    'DiffAttention dual': (lambda: DiffAttention(DIM, 3, dual_lambda=True, depth=2), TOKENS),
    'AttentionPoolLatent': (
        lambda: AttentionPoolLatent(DIM, num_heads=HEADS, pos_embed='abs', feat_size=LENGTH),
        TOKENS,
    ),
    'AttentionPoolPrr': (lambda: AttentionPoolPrr(DIM, HEADS, pre_norm=True), TOKENS),
    'SimPool1d': (lambda: SimPool1d(DIM, HEADS, gamma=1.25), TOKENS),
    'LsePlus1d': (LsePlus1d, TOKENS),
    'MultiQueryAttention2d': (lambda: MultiQueryAttention2d(DIM, num_heads=HEADS, query_strides=2, kv_stride=2), MAP),
    'MultiQueryAttentionV2': (lambda: MultiQueryAttentionV2(DIM, num_heads=HEADS, key_dim=8, value_dim=6), MAP),
    'Attention2d': (lambda: Attention2d(DIM, num_heads=HEADS), MAP),
    'AttentionPool2d': (lambda: AttentionPool2d(DIM, feat_size=(3, 4), num_heads=HEADS), MAP),
    'RotAttentionPool2d': (lambda: RotAttentionPool2d(DIM, num_heads=3, qkv_separate=True), MAP),
    'SimPool2d': (lambda: SimPool2d(DIM), MAP),
    'LsePlus2d': (LsePlus2d, MAP),
}
modules = pytest.mark.parametrize('name', MODULES)


def softmax_attention(q, k, v, mask=0.0):
    """The textbook's equation, head by head."""
    heads = [
        (q[:, h] @ k[:, h].transpose(1, 2) / math.sqrt(q.shape[-1]) + mask).softmax(-1) @ v[:, h]
        for h in range(q.shape[1])
    ]
    return torch.cat(heads, -1)


def split(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def unfused(module):
    other = copy.deepcopy(module)
    other.fused_attn = False
    return other


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_attention_is_the_equation():
    layer = Attention(DIM, HEADS, qkv_bias=True).eval()
    x = torch.randn(TOKENS)
    q, k, v = (split(part, HEADS) for part in F.linear(x, layer.qkv.weight, layer.qkv.bias).chunk(3, -1))
    torch.testing.assert_close(layer(x), layer.proj(softmax_attention(q, k, v)))


def test_gate_looks_at_the_input_and_acts_after_the_norm():
    plain = Attention(DIM, HEADS, scale_norm=True, norm_layer=LayerNorm).eval()
    gated = Attention(DIM, HEADS, scale_norm=True, norm_layer=LayerNorm, gated=True).eval()
    gated.load_state_dict(plain.state_dict(), strict=False)
    nn.init.zeros_(gated.gate.weight)
    plain.proj.weight.data.mul_(0.5)  # sigmoid(0)
    x = torch.randn(TOKENS)
    torch.testing.assert_close(gated(x), plain(x))


@pytest.mark.parametrize('name', ['Attention', 'AttentionRope', 'DiffAttention'])
def test_masks_mean_the_same_to_both_kernels(name):
    layer, x = MODULES[name][0]().eval(), torch.randn(TOKENS)
    allowed = torch.rand(2, 1, LENGTH, LENGTH) > 0.4
    allowed[..., 0] = True
    added = torch.zeros(allowed.shape).masked_fill(~allowed, float('-inf'))
    for arguments in ({}, {'attn_mask': allowed}, {'attn_mask': added}, {'is_causal': True}):
        torch.testing.assert_close(layer(x, **arguments), unfused(layer)(x, **arguments))
    torch.testing.assert_close(layer(x, attn_mask=allowed), layer(x, attn_mask=added))


def test_causal_tokens_do_not_see_later_ones():
    x = torch.randn(TOKENS)
    later = x.clone()
    later[:, 4:] = 0
    for layer in (Attention(DIM, HEADS), unfused(Attention(DIM, HEADS))):
        torch.testing.assert_close(layer(x, is_causal=True)[:, :4], layer(later, is_causal=True)[:, :4])


def test_mask_helpers():
    scores = torch.randn(1, 2, 3, 3, dtype=torch.bfloat16)
    assert maybe_add_mask(scores) is scores
    assert resolve_self_attn_mask(3, scores) is None
    mask = torch.randn(3, 3)
    assert resolve_self_attn_mask(3, scores, mask) is mask
    causal = resolve_self_attn_mask(3, scores, is_causal=True)
    assert causal.dtype == torch.bfloat16
    assert causal.exp().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    first_hidden = torch.tensor([False, True, True])
    both = resolve_self_attn_mask(3, scores, first_hidden, is_causal=True)
    assert both.exp().tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 1]]


def test_rotary_attention_depends_on_distances_only():
    layer, x = AttentionRope(DIM, 3, num_prefix_tokens=0).eval(), torch.randn(2, 12, DIM)
    here = RotaryEmbeddingCat(8, in_pixels=False).get_embed([3, 4])
    there = RotaryEmbeddingCat(8, in_pixels=False, grid_offset=5.0).get_embed([3, 4])
    torch.testing.assert_close(layer(x, rope=here), layer(x, rope=there))
    assert not torch.allclose(layer(x, rope=here), layer(x))


def test_prefix_tokens_are_not_rotated():
    layer, x = AttentionRope(DIM, 3, num_prefix_tokens=1).eval(), torch.randn(2, 13, DIM)
    sin, cos = torch.zeros(12, 8), torch.ones(12, 8)
    torch.testing.assert_close(layer(x, rope=torch.cat([sin, cos], -1)), layer(x))


def test_separate_projections_and_shared_keys_agree_with_the_fused_layer():
    fused = AttentionRope(DIM, HEADS).eval()
    separate = AttentionRope(DIM, HEADS, qkv_fused=False).eval()
    state = fused.state_dict()
    for kind in ('weight', 'bias'):
        parts = state.pop(f'qkv.{kind}').chunk(3)
        state.update({f'{n}_proj.{kind}': part for n, part in zip('qkv', parts, strict=True)})
    separate.load_state_dict(state)
    x = torch.randn(TOKENS)
    torch.testing.assert_close(separate(x), fused(x))

    shared = AttentionRope(DIM, HEADS, qkv_fused=False, num_kv_heads=2).eval()
    state = shared.state_dict()
    for name in ('k_proj', 'v_proj'):
        for kind in ('weight', 'bias'):
            state[f'{name}.{kind}'] = (
                state[f'{name}.{kind}'].unflatten(0, (2, -1)).repeat_interleave(2, 0).flatten(0, 1)
            )
    separate.load_state_dict(state)
    torch.testing.assert_close(shared(x), separate(x))


def test_differential_attention_is_the_equation():
    depth, heads, x = 3, 3, torch.randn(TOKENS)
    layer = DiffAttention(DIM, heads, depth=depth).eval()
    q, k, v = layer.qkv(x).chunk(3, -1)
    q, k = split(q, 2 * heads), split(k, 2 * heads)
    start = 0.8 - 0.6 * math.exp(-0.3 * depth)
    weight = (layer.lambda_q1 @ layer.lambda_k1).exp() - (layer.lambda_q2 @ layer.lambda_k2).exp() + start
    found = []
    for h, value in enumerate(split(v, heads).unbind(1)):
        maps = [
            (q[:, i] @ k[:, i].transpose(1, 2) / math.sqrt(DIM / heads / 2)).softmax(-1) for i in (2 * h, 2 * h + 1)
        ]
        y = (maps[0] - weight * maps[1]) @ value
        found.append(y / (y.square().mean(-1, keepdim=True) + 1e-5).sqrt() * (1 - start))
    torch.testing.assert_close(layer(x), layer.proj(torch.cat(found, -1)))
    layer.set_lambda_init(0)
    assert layer.lambda_init == pytest.approx(0.2)
    assert DiffAttention(DIM, heads, dtype=torch.bfloat16).lambda_q1.dtype == torch.float32


def test_latent_pool_is_the_equation():
    x = torch.randn(TOKENS)
    pool = AttentionPoolLatent(DIM, num_heads=HEADS, latent_len=3, latent_dim=10, pool_type='', norm_layer=LayerNorm)
    k, v = (split(part, HEADS) for part in pool.kv(x).chunk(2, -1))
    found = pool.proj(softmax_attention(split(pool.q(pool.latent).expand(2, -1, -1), HEADS), k, v))
    found = found + pool.mlp(pool.norm(found))
    torch.testing.assert_close(pool(x), found)
    for pool_type, expected in (('token', found[:, 0]), ('avg', found.mean(1))):
        pool.pool = pool_type
        torch.testing.assert_close(pool(x), expected)


def test_latent_pool_can_leave_out_what_follows_attention():
    x = torch.randn(2, LENGTH, 2 * DIM)
    pool = AttentionPoolLatent(DIM, 0, 2 * DIM, num_heads=HEADS, norm_layer=LayerNorm)
    k, v = (split(part, HEADS) for part in pool.kv(x).chunk(2, -1))
    found = softmax_attention(split(pool.q(pool.latent).expand(2, -1, -1), HEADS), k, v)
    torch.testing.assert_close(pool(x), found[:, 0])
    torch.testing.assert_close(torch.jit.script(pool)(x), pool(x))
    assert pool.out_features == 2 * DIM
    assert {name.split('.')[0] for name in pool.state_dict()} == {'latent', 'q', 'kv'}
    assert AttentionPoolLatent(DIM, embed_dim=2 * DIM, num_heads=HEADS)(x).shape == (2, DIM)


def test_latent_pool_hides_what_its_mask_hides():
    pool, x = AttentionPoolLatent(DIM, num_heads=HEADS).eval(), torch.randn(TOKENS)
    seen = torch.arange(LENGTH) < 5
    for layer in (pool, unfused(pool)):
        torch.testing.assert_close(layer(x, attn_mask=seen.expand(2, 1, 1, -1)), layer(x[:, :5]))


@pytest.mark.parametrize('separate', [False, True])
def test_rotary_pool_turns_pairs_as_its_table_has_them(separate):
    pool, x = (
        RotAttentionPool2d(16, num_heads=2, rope_type='mrope', qkv_separate=separate).eval(),
        torch.randn(2, 16, 3, 5),
    )
    tokens = x.flatten(2).transpose(1, 2)
    tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
    parts = [layer(tokens) for layer in (pool.q, pool.k, pool.v)] if separate else pool.qkv(tokens).chunk(3, -1)
    q, k, v = (split(part, 2).clone() for part in parts)
    sin, cos = pool.pos_embed.get_embed([3, 5]).chunk(2, -1)
    for part in (q, k):  # channel i of a head and channel i + 4 are a pair
        first, second = part[:, :, 1:].chunk(2, -1)
        part[:, :, 1:] = part[:, :, 1:] * cos + torch.cat([-second, first], -1) * sin
    torch.testing.assert_close(pool(x), pool.proj(softmax_attention(q, k, v))[:, 0])


def test_prr_pool_attends_without_weights():
    x = torch.randn(TOKENS)
    heads = split(x, HEADS)
    found = softmax_attention(heads, heads, heads)
    assert not AttentionPoolPrr(DIM, HEADS).state_dict()
    torch.testing.assert_close(AttentionPoolPrr(DIM, HEADS)(x), found[:, 0])
    torch.testing.assert_close(AttentionPoolPrr(DIM, HEADS, pool_type='avg')(x), found.mean(1))


def test_multi_query_attention_has_one_key_and_value_for_all_heads():
    layer, x = MultiQueryAttention2d(DIM, num_heads=HEADS, dim_out=5).eval(), torch.randn(MAP)
    q = split(layer.query(x).flatten(2).transpose(1, 2), HEADS)
    k, v = (
        part(x).flatten(2).transpose(1, 2).unsqueeze(1).expand(-1, HEADS, -1, -1) for part in (layer.key, layer.value)
    )
    mixed = softmax_attention(q, k, v).transpose(1, 2).unflatten(2, MAP[2:])
    torch.testing.assert_close(layer(x), layer.output(mixed))


def test_multi_query_attention_v2_reads_another_map():
    layer, x = MultiQueryAttentionV2(DIM, num_heads=HEADS, key_dim=8, value_dim=6), torch.randn(MAP)
    torch.testing.assert_close(layer(x), layer(x, x))
    assert layer(x, torch.randn(2, DIM, 3, 3)).shape == MAP


def test_order_of_heads_is_a_permutation_of_channels():
    x = torch.randn(MAP)
    first = Attention2d(DIM, num_heads=HEADS, head_first=True)
    last = Attention2d(DIM, num_heads=HEADS)
    state = first.state_dict()
    for kind in ('weight', 'bias'):
        state[f'qkv.{kind}'] = state[f'qkv.{kind}'].unflatten(0, (HEADS, 3, -1)).transpose(0, 1).flatten(0, 2)
    last.load_state_dict(state)
    torch.testing.assert_close(first(x), last(x))


@pytest.mark.parametrize('cls', [AttentionPool2d, RotAttentionPool2d])
def test_map_pool_attends_from_the_mean(cls):
    pool, x = cls(DIM, num_heads=3, out_features=5).eval(), torch.randn(2, DIM, 7, 7)
    if cls is RotAttentionPool2d:  # no turn
        pool.pos_embed.get_embed = lambda shape: torch.cat([torch.zeros(49, 8), torch.ones(49, 8)], -1)
    else:
        nn.init.zeros_(pool.pos_embed)
    tokens = x.flatten(2).transpose(1, 2)
    tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
    q, k, v = (split(part, 3) for part in pool.qkv(tokens).chunk(3, -1))
    found = softmax_attention(q, k, v)
    torch.testing.assert_close(pool(x), pool.proj(found[:, 0]))
    torch.testing.assert_close(pool(x, pre_logits=True), found[:, 0])
    pool.reset(pool_type='')
    torch.testing.assert_close(pool(x), pool.proj(found[:, 1:]).transpose(1, 2).unflatten(2, (7, 7)))


@pytest.mark.parametrize('cls', [AttentionPool2d, RotAttentionPool2d])
def test_map_pool_reset_replaces_the_projection_only(cls):
    pool = cls(DIM, num_heads=3, class_token=True, out_features=5, dtype=torch.float64).eval()
    qkv = pool.qkv.weight
    pool.reset(num_classes=3)
    assert pool.proj.weight.shape == (3, DIM)
    assert pool.proj.weight.dtype == torch.float64
    assert not pool.proj.training
    assert pool.qkv.weight is qkv
    pool.reset(num_classes=0)
    assert pool(torch.randn(1, DIM, 7, 7, dtype=torch.float64)).shape == (1, DIM)
    with pytest.raises(AssertionError, match='avg'):
        pool.reset(pool_type='avg')


def test_other_pools_are_their_equations():
    x = torch.randn(TOKENS)
    pool = LsePlus1d(r=3.0, r_learnable=False)
    torch.testing.assert_close(pool(x), (3 * x).exp().mean(1).log() / 3)
    assert not list(pool.parameters())
    torch.testing.assert_close(LsePlus2d(r=3.0)(x.transpose(1, 2)[..., None]), pool(x))
    pool = SimPool1d(DIM)
    q, k, v = pool.q(x.mean(1, keepdim=True)), pool.k(pool.norm(x)), pool.norm(x)
    torch.testing.assert_close(pool(x), softmax_attention(q[:, None], k[:, None], v[:, None])[:, 0])
    flat = SimPool2d(DIM)
    flat.load_state_dict(pool.state_dict())
    torch.testing.assert_close(flat(x.transpose(1, 2)[..., None]), pool(x))


@modules
def test_kernels_agree(name):
    build, shape = MODULES[name]
    layer, x = build().eval(), torch.randn(shape)
    if hasattr(layer, 'fused_attn'):
        assert layer.fused_attn
        torch.testing.assert_close(unfused(layer)(x), layer(x))


@modules
def test_script_and_symbolic_trace_agree(name):
    build, shape = MODULES[name]
    layer, x = build().eval(), torch.randn(shape)
    torch.testing.assert_close(torch.jit.script(layer)(x), layer(x))
    traced = create_feature_extractor(nn.Sequential(layer, nn.Identity()), ['1'])
    torch.testing.assert_close(traced.eval()(x)['1'], layer(x))


class SideBySide(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        return [layer(x) for layer in self.layers]


@pytest.mark.parametrize('shape', [TOKENS, MAP])
def test_export_and_compile_agree(shape):
    layers = SideBySide(build() for build, input_shape in MODULES.values() if input_shape is shape).eval()
    x = torch.randn(shape)
    torch.testing.assert_close(torch.export.export(layers, (x,)).module()(x), layers(x))
    torch.testing.assert_close(torch.compile(layers, fullgraph=True, backend='eager')(x), layers(x))


@modules
def test_device_and_dtype(name):
    build, shape = MODULES[name]
    with torch.device('meta'):
        layer = build()
        assert layer(torch.randn(shape)).device.type == 'meta'
    layer = build().bfloat16()
    assert layer(torch.randn(shape, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_fused_kernel_is_chosen_when_built():
    set_fused_attn(False)
    try:
        assert not Attention(DIM, HEADS).fused_attn
    finally:
        set_fused_attn(True)
    assert Attention(DIM, HEADS).fused_attn


def test_attention_weights_are_dropped_in_training_only():
    x = torch.randn(TOKENS)
    for layer in (Attention(DIM, HEADS, attn_drop=0.5), unfused(Attention(DIM, HEADS, attn_drop=0.5))):
        assert not torch.equal(layer(x), layer(x))
        layer.eval()
        torch.testing.assert_close(layer(x), layer(x))


@pytest.mark.parametrize(
    'build',
    [
        lambda: Attention(DIM, 5),
        lambda: AttentionRope(DIM, 5),
        lambda: AttentionRope(DIM, 4, qkv_fused=False, num_kv_heads=3),
        lambda: AttentionRope(DIM, 4, num_kv_heads=2),
        lambda: Attention(DIM, 4, qk_norm=True),
        lambda: DiffAttention(DIM, 8),
        lambda: AttentionPoolLatent(DIM, num_heads=5),
        lambda: AttentionPoolLatent(DIM, pos_embed='abs'),
        lambda: AttentionPoolLatent(DIM, pos_embed='rel'),
        lambda: AttentionPoolLatent(DIM, pool_type='max'),
        lambda: AttentionPoolLatent(DIM, q_proj=False, latent_dim=7),
        lambda: AttentionPoolPrr(DIM, 5),
        lambda: AttentionPool2d(DIM, num_heads=5),
        lambda: Attention2d(DIM, num_heads=5),
        lambda: SimPool1d(DIM, 5),
    ],
)
def test_what_does_not_fit_is_refused(build):
    with pytest.raises(ValueError, match='='):
        build()


class WithBias(AttentionBias):
    def __init__(self, resolution=(3, 2), stride=1):
        super().__init__()
        self.add_attention_biases(4, resolution, stride)

    def forward(self, x):
        return x + self.get_attention_biases(x.device)


def test_offset_bias_depends_on_absolute_offsets():
    layer = WithBias()
    nn.init.normal_(layer.attention_biases)
    bias = layer(torch.zeros(1, 4, 6, 6))[0]
    positions = [(row, column) for row in range(3) for column in range(2)]
    for i, a in enumerate(positions):
        for j, b in enumerate(positions):
            offset = abs(a[0] - b[0]) * 2 + abs(a[1] - b[1])
            assert torch.equal(bias[:, i, j], layer.attention_biases[:, offset])
    assert abs_offset_index((4, 4), stride=2).shape == (4, 16)
    assert list(layer.state_dict()) == ['attention_biases']


def test_kept_offset_bias_follows_its_parameter():
    layer, x = WithBias().eval(), torch.zeros(1, 4, 6, 6)
    with torch.no_grad():
        assert layer(x).abs().sum() == 0
        assert layer.get_attention_biases(x.device) is layer.get_attention_biases(x.device)
        layer.load_state_dict({'attention_biases': torch.ones(4, 6)})
        assert (layer(x) == 1).all()
        layer.load_state_dict({'attention_biases': torch.full((4, 6), 2.0)}, assign=True)
        assert (layer(x) == 2).all()
        assert layer.double()(x.double()).dtype == torch.float64
    layer(x.double()).sum().backward()
    layer(x.double()).sum().backward()  # nothing kept from the first
    assert layer.attention_biases.grad is not None


def test_kept_offset_bias_is_not_in_the_way_of_compilers():
    layer, x = WithBias().eval(), torch.zeros(1, 4, 6, 6)
    nn.init.normal_(layer.attention_biases)
    with torch.no_grad():
        expected = layer(x)
        torch.testing.assert_close(torch.jit.script(layer)(x), expected)
        torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), expected)
        torch.testing.assert_close(torch.fx.symbolic_trace(layer)(x), expected)
        torch.testing.assert_close(copy.deepcopy(layer)(x), expected)
