"""Position embeddings: absolute tables resampled, sines and cosines, rotary and relative ones."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from timm.layers import (
    FourierEmbed,
    RelPosBias,
    RelPosBiasTf,
    RelPosMlp,
    RotaryEmbedding,
    RotaryEmbeddingCat,
    RotaryEmbeddingDinoV3,
    RotaryEmbeddingMixed,
    RotaryEmbeddingMRope,
    apply_keep_indices_nlc,
    apply_rot_embed,
    apply_rot_embed_cat,
    apply_rot_embed_list,
    build_fourier_pos_embed,
    build_rotary_pos_embed,
    build_sincos2d_pos_embed,
    create_feature_extractor,
    create_rope_embed,
    freq_bands,
    gen_relative_log_coords,
    gen_relative_position_index,
    pixel_freq_bands,
    resample_abs_pos_embed,
    resample_abs_pos_embed_nhwc,
    resize_rel_pos_bias_table,
    resize_rel_pos_bias_table_levit,
    resize_rel_pos_bias_table_simple,
)
from timm.layers.interpolate import RegularGridInterpolator
from timm.layers.pos_embed_rel import generate_lookup_tensor
from timm.layers.pos_embed_sincos import get_mixed_grid, make_coords_dinov3, rope_rotate_half, rot, swap_shape_xy

ROPES = {
    'base': lambda **kwargs: RotaryEmbedding(16, **kwargs),
    'cat': lambda **kwargs: RotaryEmbeddingCat(16, in_pixels=False, ref_feat_shape=(4, 4), **kwargs),
    'dinov3': lambda **kwargs: RotaryEmbeddingDinoV3(16, **kwargs),
    'mixed': lambda **kwargs: RotaryEmbeddingMixed(48, 2, 3, **kwargs),
}
ropes = pytest.mark.parametrize('name', ROPES)
RELATIVE = {
    'table': lambda **kwargs: RelPosBias((3, 2), 4, **kwargs),
    'tf': lambda **kwargs: RelPosBiasTf((3, 2), 4, **kwargs),
    'mlp': lambda **kwargs: RelPosMlp((3, 2), 4, **kwargs),
    'swin mlp': lambda **kwargs: RelPosMlp((3, 2), 4, mode='swin', pretrained_window_size=(4, 4), **kwargs),
}
relative = pytest.mark.parametrize('name', RELATIVE)


def table_of(rope, *args, **kwargs):
    table = rope.get_embed(*args, **kwargs)
    return torch.cat(table, -1) if isinstance(table, tuple) else table


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_resampling_keeps_prefix_and_interpolates_the_grid():
    table = torch.randn(1, 2 + 12, 5)
    grid = table[:, 2:].transpose(1, 2).unflatten(2, (3, 4))
    larger = F.interpolate(grid, (6, 5), mode='bicubic', antialias=True)
    expected = torch.cat([table[:, :2], larger.flatten(2).transpose(1, 2)], 1)
    resampled = resample_abs_pos_embed(table, [6, 5], [3, 4], num_prefix_tokens=2)
    torch.testing.assert_close(resampled, expected)
    map_form = resample_abs_pos_embed_nhwc(grid.permute(0, 2, 3, 1), [6, 5])
    torch.testing.assert_close(map_form, larger.permute(0, 2, 3, 1))
    assert resample_abs_pos_embed(table, [3, 4], [3, 4], num_prefix_tokens=2) is table
    square = torch.randn(1, 17, 5, dtype=torch.bfloat16)
    assert resample_abs_pos_embed(square, [4, 4]) is square
    assert resample_abs_pos_embed(square, [5, 3]).dtype == torch.bfloat16
    with pytest.raises(ValueError, match='12 positions'):
        resample_abs_pos_embed(table, [6, 5], num_prefix_tokens=2)


class Resampled(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 17, 5))

    def forward(self, x):
        return resample_abs_pos_embed(self.table, [x.shape[2], x.shape[3]]) + x.mean()


def test_resampling_scripts_and_exports_with_free_sizes():
    layer, x, y = Resampled(), torch.randn(1, 1, 6, 7), torch.randn(1, 1, 3, 9)
    torch.testing.assert_close(torch.jit.script(layer)(y), layer(y))
    sizes = {'x': {2: torch.export.Dim('h', min=2, max=64), 3: torch.export.Dim('w', min=2, max=64)}}
    torch.testing.assert_close(torch.export.export(layer, (x,), dynamic_shapes=sizes).module()(y), layer(y))
    assert create_feature_extractor(layer, 'resample_abs_pos_embed')(y)['resample_abs_pos_embed'].shape == (1, 28, 5)


def test_bands_are_geometric_or_linear():
    torch.testing.assert_close(freq_bands(4, 100.0, step=1), torch.tensor([1, 0.1**0.5, 0.1, 0.1**1.5]))
    torch.testing.assert_close(pixel_freq_bands(3, 10.0), torch.tensor([1.0, 3.0, 5.0]) * math.pi)
    torch.testing.assert_close(pixel_freq_bands(3, 8.0, linear_bands=False), torch.tensor([1.0, 2.0, 4.0]) * math.pi)


def test_sincos_table_is_the_equation():
    table = build_sincos2d_pos_embed([3, 5], dim=16, temperature=100.0)
    bands = [100.0 ** (-i / 4) for i in range(4)]
    for row in range(3):
        for column in range(5):
            angles = torch.tensor([row * band for band in bands] + [column * band for band in bands])
            torch.testing.assert_close(table[5 * row + column], torch.cat([angles.sin(), angles.cos()]))
    reverse = build_sincos2d_pos_embed([3, 5], dim=16, temperature=100.0, reverse_coord=True)
    torch.testing.assert_close(reverse, build_sincos2d_pos_embed([5, 3], dim=16, temperature=100.0))
    interleaved = build_sincos2d_pos_embed([3, 5], dim=16, temperature=100.0, interleave_sin_cos=True)
    torch.testing.assert_close(interleaved.unflatten(1, (2, 2, 4)).transpose(1, 2).flatten(1), table)
    with pytest.raises(ValueError, match='dim=10'):
        build_sincos2d_pos_embed([3, 5], dim=10)


def test_kinds_of_coordinates():
    one = torch.ones(1)

    def corners(**kwargs):
        grid = build_fourier_pos_embed([2, 3], one, include_grid=True, **kwargs)[0][..., 0]
        return [*grid[0, 0].tolist(), *grid[1, 2].tolist()]

    assert corners() == [-1, -1, 1, 1]
    assert corners(in_pixels=False) == [0, 0, 1, 2]
    assert corners(in_pixels=False, grid_indexing='xy') == [0, 0, 2, 1]
    assert corners(grid_type='index', grid_offset=0.5, ref_feat_shape=[4, 6]) == [1, 1, 3, 5]
    assert corners(grid_type='centered') == pytest.approx([-1 / 2, -2 / 3, 1 / 2, 2 / 3])
    assert corners(grid_type='centered', normalize_coords='max') == pytest.approx([-2 / 3, -2 / 3, 0, 2 / 3])
    assert corners(grid_type='centered', normalize_coords='min') == [-0.5, -0.5, 0.5, 1.5]
    centered = make_coords_dinov3(2, 3, dtype=torch.float64)
    assert centered[-1].tolist() == pytest.approx([1 / 2, 2 / 3])
    assert swap_shape_xy([1, 2, 3]) == [2, 1, 3]
    for wrong in (
        {'grid_type': 'pixels'},
        {'grid_indexing': 'yx'},
        {'grid_type': 'centered', 'normalize_coords': 'no'},
    ):
        with pytest.raises(ValueError, match="use '"):
            corners(**wrong)


def test_augmented_coordinates_stay_within_bounds():
    plain = build_fourier_pos_embed([4, 4], torch.ones(1), include_grid=True)[0]
    for _ in range(20):
        moved = build_fourier_pos_embed([4, 4], torch.ones(1), include_grid=True, shift_coords=0.5)[0]
        assert (moved - plain).abs().max() <= 0.5
        stretched = build_fourier_pos_embed([4, 4], torch.ones(1), include_grid=True, jitter_coords=2.0)[0]
        assert 0.5 <= (stretched / plain).min() <= (stretched / plain).max() <= 2.0
        scaled = build_fourier_pos_embed([4, 4], torch.ones(1), include_grid=True, rescale_coords=2.0)[0]
        torch.testing.assert_close(scaled / plain, (scaled / plain)[0, 0, 0, 0].expand_as(plain))


def test_fourier_features_are_appended_to_channels():
    x = torch.randn(2, 3, 4, 5)
    last, grid = FourierEmbed(8, 2)(x), FourierEmbed(8, 2, keep_spatial=True)(x)
    assert grid.shape == (2, 3 + 10, 4, 5)
    torch.testing.assert_close(last, grid.flatten(2).transpose(1, 2))
    assert torch.equal(grid[:, :3], x)
    assert FourierEmbed(8, 2, concat_grid=False)(x).shape == (2, 20, 3 + 8)
    torch.testing.assert_close(torch.jit.script(FourierEmbed(8, 2))(x), last)
    assert FourierEmbed(8, 2)(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize('half', [False, True])
def test_rotation_turns_pairs(half):
    x, angles = torch.randn(2, 3, 5, 8), torch.randn(5, 4)
    pairs = (lambda t: t.unflatten(-1, (2, 4)).transpose(-1, -2)) if half else (lambda t: t.unflatten(-1, (4, 2)))
    spread = torch.cat([angles, angles], -1) if half else angles.repeat_interleave(2, -1)
    turned = pairs(apply_rot_embed(x, spread.sin(), spread.cos(), half))
    plane = torch.view_as_complex(pairs(x).contiguous()) * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(turned, torch.view_as_real(plane))
    together = apply_rot_embed_cat(x, torch.cat([spread.sin(), spread.cos()], -1), half)
    torch.testing.assert_close(together, apply_rot_embed(x, spread.sin(), spread.cos(), half))
    assert len(apply_rot_embed_list([x, x], spread.sin(), spread.cos(), half)) == 2
    assert apply_rot_embed(x.bfloat16(), spread.sin(), spread.cos(), half).dtype == torch.bfloat16


def test_quarter_turns():
    x = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert rot(x).tolist() == [-2, 1, -4, 3]
    assert rope_rotate_half(x).tolist() == [-3, -4, 1, 2]


def test_rows_of_kept_tokens():
    x, kept = torch.randn(2, 10, 3), torch.tensor([[1, 3], [0, 7]])
    table, heads = torch.randn(10, 6), torch.randn(4, 10, 6)
    assert torch.equal(apply_keep_indices_nlc(x, table, kept)[1, 1], table[7])
    assert torch.equal(apply_keep_indices_nlc(x, heads, kept)[1, :, 1], heads[:, 7])
    batched = torch.stack([heads, heads + 1])
    assert torch.equal(apply_keep_indices_nlc(x, batched, kept, pos_embed_has_batch=True)[1, :, 1], heads[:, 7] + 1)


def test_rotary_table_is_the_equation():
    sin, cos = build_rotary_pos_embed([3, 5], dim=8, temperature=100.0, in_pixels=False)
    position = 1 * 5 + 3
    angles = torch.tensor([1.0, 0.1, 3.0, 0.3]).repeat_interleave(2)
    torch.testing.assert_close(sin[position], angles.sin())
    torch.testing.assert_close(cos[position], angles.cos())
    angles = 2 * math.pi * make_coords_dinov3(3, 5).unsqueeze(-1) / torch.tensor([1.0, 10.0])
    rope = RotaryEmbeddingDinoV3(8)
    torch.testing.assert_close(rope.get_embed([3, 5])[:, :8], angles.flatten(1).repeat(1, 2).sin())


@ropes
def test_kept_tables_equal_those_made_on_call(name):
    kept, free = ROPES[name](feat_shape=(3, 5)).eval(), ROPES[name]().eval()
    free.load_state_dict(kept.state_dict())
    torch.testing.assert_close(table_of(kept), table_of(free, [3, 5]))
    same_map = [3, 5] if name in ('base', 'cat') else [2, 4]  # the axial ones keep to the map they are ready for
    torch.testing.assert_close(table_of(kept, [2, 4]), table_of(free, same_map))
    assert table_of(kept, [3, 5], dtype=torch.float16).dtype == torch.float16
    kept.update_feat_shape((2, 4))
    torch.testing.assert_close(table_of(kept), table_of(free, [2, 4]))
    with pytest.raises(ValueError, match='feat_shape'):
        free.get_embed()
    assert set(kept.state_dict()) == ({'freqs'} if name == 'mixed' else set())


@ropes
def test_tables_survive_meta_half_precision_and_default_dtype(name):
    with torch.device('meta'):
        rope = ROPES[name](feat_shape=(3, 5))
    assert all(tensor.device.type == 'meta' for tensor in (*rope.buffers(), *rope.parameters()))
    rope = rope.to_empty(device='cpu')
    rope.reset_parameters()
    expected = ROPES[name](feat_shape=(3, 5))
    rope.load_state_dict(expected.state_dict())
    torch.testing.assert_close(table_of(rope), table_of(expected))
    torch.set_default_dtype(torch.float64)
    try:
        assert all(buffer.dtype == torch.float32 for buffer in ROPES[name](feat_shape=(3, 5)).buffers())
    finally:
        torch.set_default_dtype(torch.float32)
    if name != 'mixed':
        cast = ROPES[name]().bfloat16()
        torch.testing.assert_close(table_of(cast, [30, 30]), table_of(ROPES[name](), [30, 30]))


@ropes
def test_tables_are_augmented_in_training_only(name):
    rope = ROPES[name](feat_shape=(3, 5), shift_coords=0.3, jitter_coords=1.2, rescale_coords=1.5)
    plain = ROPES[name]()
    plain.load_state_dict(rope.state_dict())
    assert not torch.equal(table_of(rope), table_of(rope))
    rope.eval()
    torch.testing.assert_close(table_of(rope), table_of(plain, [3, 5]))


@ropes
def test_maps_are_turned_by_their_tables(name):
    rope = ROPES[name]().eval()
    x = torch.randn(2, 48 if name == 'mixed' else 16, 3, 5)
    y = rope(x)
    assert y.shape == x.shape
    torch.testing.assert_close(y.square().sum(1), x.square().sum(1))
    torch.testing.assert_close(torch.jit.script(rope)(x), y)


@pytest.mark.parametrize('name', ['cat', 'dinov3', 'mixed'])
def test_batches_of_sizes(name):
    rope = ROPES[name]().eval()
    shapes = [(2, 3), (3, 5), (2, 3)]
    tables = rope.get_batch_embeds(shapes)
    for shape, table in zip(shapes, tables, strict=True):
        torch.testing.assert_close(table, rope.get_embed(list(shape)))
    padded = rope.get_batch_embeds(shapes, seq_len=20, dtype=torch.float64)
    assert padded.shape == (3, *tables[0].shape[:-2], 20, 32)
    torch.testing.assert_close(padded[1, ..., :15, :], tables[1].double())
    assert padded[0, ..., 6:, :].abs().sum() == 0
    rope = ROPES[name](shift_coords=0.3)
    first, _, last = rope.get_batch_embeds(shapes)
    assert not torch.equal(first, last)


def test_frequencies_and_positions_keep_their_digits():
    for dtype, expected in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        for cls in (RotaryEmbedding, RotaryEmbeddingCat, RotaryEmbeddingDinoV3, RotaryEmbeddingMRope):
            for rope in (cls(32, dtype=dtype), cls(32).to(dtype)):
                frequencies = next(buffer for buffer in rope.buffers() if buffer.is_floating_point())
                assert frequencies.dtype == expected
    mixed = RotaryEmbeddingMixed(48, 2, 3, feat_shape=(2, 300)).bfloat16()
    assert mixed.t_x.dtype == torch.float32
    assert mixed.t_x.max() == 299
    t_x, t_y = get_mixed_grid([3, 5])
    t_x.add_(1)
    assert t_y.tolist() == [0, 1, 2, 3, 4] * 3


def test_a_table_asked_for_by_size_is_not_the_kept_one_in_half_precision():
    rope, exact = RotaryEmbeddingDinoV3(16, feat_shape=(3, 5)).bfloat16().eval(), RotaryEmbeddingDinoV3(16).eval()
    assert rope.get_embed().dtype == torch.bfloat16
    torch.testing.assert_close(rope.get_embed([3, 5]), exact.get_embed([3, 5]))


@ropes
def test_bounds_of_augmentation_are_numbers(name):
    for wrong in (True, '1.5', torch.tensor([1.0, 2.0]), torch.tensor(True)):
        with pytest.raises(TypeError, match='jitter_coords'):
            ROPES[name](jitter_coords=wrong)
    for endless in (math.inf, math.nan):
        with pytest.raises(ValueError, match='shift_coords'):
            ROPES[name](shift_coords=endless)
    rope = ROPES[name](jitter_coords=torch.tensor(1.5))
    assert (rope.jitter_coords, rope.aug_active) == (1.5, True)
    with pytest.raises(TypeError, match='shift_coords'):
        build_rotary_pos_embed([3, 5], shift_coords=True)


def test_augmented_tables_have_the_precision_of_the_frequencies():
    for dtype, expected in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        for make in ROPES.values():
            assert table_of(make(shift_coords=0.3).to(dtype), [3, 5]).dtype == expected
            assert table_of(make(shift_coords=0.3).to(dtype), [3, 5], dtype=torch.float16).dtype == torch.float16


@pytest.mark.parametrize('feat_shape', [None, (3, 5)])
@ropes
def test_maps_are_turned_alike_when_traced(name, feat_shape):
    rope, x = ROPES[name](feat_shape=feat_shape).eval(), torch.randn(2, 48 if name == 'mixed' else 16, 3, 5)
    torch.testing.assert_close(torch.fx.symbolic_trace(rope)(x), rope(x))


class TableOf(nn.Module):
    def __init__(self, rope):
        super().__init__()
        self.rope = rope

    def forward(self, x):
        return self.rope.get_embed(x.shape[2:])


def test_what_has_no_height_and_width_is_refused_also_when_traced():
    for rope in (ROPES['mixed'](), ROPES['dinov3'](), RotaryEmbeddingMRope(16)):
        layer = TableOf(rope)
        for module in (layer, torch.fx.symbolic_trace(layer)):
            for shape in ((), (3,), (2, 3, 4)):
                with pytest.raises(ValueError, match='Expected 2 spatial dimensions'):
                    module(torch.zeros(1, 1, *shape))


def test_batches_have_room_for_their_maps():
    for name in ('cat', 'dinov3', 'mixed'):
        rope = ROPES[name]()
        assert rope.get_batch_embeds([], seq_len=8) == []
        with pytest.raises(ValueError, match='seq_len=10 has no room for a map of 15'):
            rope.get_batch_embeds([(2, 3), (3, 5)], seq_len=10)
    with pytest.raises(RuntimeError, match=r'\(3, 5\)'):
        ROPES['cat'](feat_shape=(3, 5)).get_batch_embeds([(2, 3)])


def test_coordinates_are_left_alone_by_the_dtype_of_the_table():
    grid, sin, _ = build_fourier_pos_embed(
        [2, 300], torch.ones(1), include_grid=True, in_pixels=False, dtype=torch.half
    )
    assert (grid.dtype, sin.dtype) == (torch.float32, torch.float16)
    assert build_fourier_pos_embed([2, 3], torch.ones(1).double(), dtype=None)[0].dtype == torch.float64
    columns = 2 * (torch.tensor([1, 3, 5]) / 6).bfloat16() - 1
    assert make_coords_dinov3(2, 3, dtype=torch.bfloat16)[:3, 1].tolist() == columns.tolist()


def test_sections_take_turns_among_axes():
    rope = RotaryEmbeddingMRope(16, mrope_section=(4, 2, 2))
    assert rope.axis.tolist() == [0, 1, 2, 0, 1, 2, 0, 0]
    sin = rope.get_embed([2, 3])[:, :16]
    bands = 10000.0 ** (-torch.arange(8) / 8)
    position = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0])  # row 1, column 2
    torch.testing.assert_close(sin[5], (position * bands).sin().repeat(2))
    with pytest.raises(ValueError, match='ij'):
        RotaryEmbeddingMRope(16, grid_indexing='xy')
    with pytest.raises(ValueError, match='Expected 2 spatial dimensions'):
        rope.get_embed([1, 2, 3])


def test_mixed_frequencies_start_orthogonal():
    freqs = RotaryEmbeddingMixed(48, 2, 3).freqs
    assert freqs.shape == (2, 2, 3, 8)
    one, other = freqs.unflatten(-1, (2, 4)).unbind(-2)
    torch.testing.assert_close((one * other).sum(0), torch.zeros(2, 3, 4), atol=1e-6, rtol=0)
    assert RotaryEmbeddingMixed(48, 2, 3).no_weight_decay() == {'freqs'}


def test_rotary_embeddings_by_name():
    common = {'in_pixels': False, 'ref_feat_shape': (4, 4), 'feat_shape': (3, 5)}
    for name, cls in (
        ('base', RotaryEmbedding),
        ('cat', RotaryEmbeddingCat),
        ('mixed', RotaryEmbeddingMixed),
        ('dinov3', RotaryEmbeddingDinoV3),
        ('mrope', RotaryEmbeddingMRope),
    ):
        extra = {'depth': 2} if name == 'mixed' else {}
        rope = create_rope_embed(name, dim=48, num_heads=3, rotate_half=name == 'mrope', **common, **extra)
        assert type(rope) is cls
        assert rope.dim == (48 if name == 'mixed' else 16)
    with pytest.raises(ValueError, match="'cat'"):
        create_rope_embed('dog')
    with pytest.raises(ValueError, match='requires rotate_half=False'):
        create_rope_embed('mixed', depth=2, rotate_half=True)
    with pytest.raises(ValueError, match='requires rotate_half=True'):
        create_rope_embed('mrope', rotate_half=False)
    with pytest.raises(TypeError, match='colour'):
        create_rope_embed('cat', colour='red')


class Turned(nn.Module):
    def __init__(self, rope):
        super().__init__()
        self.rope = rope

    def forward(self, x):
        table = self.rope.get_embed([x.shape[2], x.shape[3]])
        return x.flatten(2).transpose(1, 2).unsqueeze(1) + table[..., :16]


@pytest.mark.parametrize('name', ['cat', 'dinov3', 'mixed'])
def test_tables_on_call_script_export_compile_and_trace(name):
    layer, x = Turned(ROPES[name]()).eval(), torch.randn(2, 16, 3, 5)
    if name == 'mixed':
        layer.rope.depth, layer.rope.freqs = 1, nn.Parameter(layer.rope.freqs[:, :1].detach())
    expected = layer(x)
    torch.testing.assert_close(torch.jit.script(layer)(x), expected)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend='eager')(x), expected)
    torch.testing.assert_close(create_feature_extractor(layer, 'add')(x)['add'], expected)
    sizes = {'x': {2: torch.export.Dim('h', min=2, max=64), 3: torch.export.Dim('w', min=2, max=64)}}
    exported, y = torch.export.export(layer, (x,), dynamic_shapes=sizes).module(), torch.randn(2, 16, 4, 7)
    torch.testing.assert_close(exported(y), layer(y))


def test_position_index_counts_offsets():
    index = gen_relative_position_index((2, 3))
    positions = [(row, column) for row in range(2) for column in range(3)]
    for i, a in enumerate(positions):
        for j, b in enumerate(positions):
            assert index[i, j] == (a[0] - b[0] + 1) * 5 + (a[1] - b[1] + 2)
    with_token = gen_relative_position_index((2, 3), class_token=True)
    assert torch.equal(with_token[1:, 1:], index)
    assert with_token[0].tolist() == [17] + [15] * 6
    assert with_token[1:, 0].tolist() == [16] * 6
    with pytest.raises(ValueError, match='keys'):
        gen_relative_position_index((2, 3), (3, 2))


def test_log_coordinates():
    coords = gen_relative_log_coords((3, 2), mode='cr')
    assert coords.shape == (5, 3, 2)
    torch.testing.assert_close(coords[4, 0], torch.tensor([math.log(3), -math.log(2)]))
    swin = gen_relative_log_coords((3, 2), (5, 5))
    torch.testing.assert_close(swin[4, 0], torch.tensor([math.log2(1 + 8 * 2 / 4), -math.log2(1 + 8 / 4)]) / 3)
    with pytest.raises(ValueError, match='mode'):
        gen_relative_log_coords((3, 2), mode='rw')


def test_bias_is_looked_up_or_computed():
    table = RelPosBias((3, 2), 4)
    index = gen_relative_position_index((3, 2))
    expected = table.relative_position_bias_table[index].permute(2, 0, 1)
    torch.testing.assert_close(table.get_bias()[0], expected)
    tf = RelPosBiasTf((3, 2), 4)
    tf.relative_position_bias_table.data = table.relative_position_bias_table.data.flip(0).T.reshape(4, 5, 3)
    torch.testing.assert_close(tf.get_bias(), expected)
    mlp = RelPosMlp((3, 2), 4, mode='swin').eval()
    biases = 16 * mlp.mlp(gen_relative_log_coords((3, 2))).sigmoid().flatten(0, 1)
    torch.testing.assert_close(mlp.get_bias()[0], biases[index].permute(2, 0, 1))
    assert generate_lookup_tensor(3, 1).sum((1, 2)).tolist() == [2, 3, 2]


@relative
@pytest.mark.parametrize('prefix', [0, 1])
def test_bias_is_added_at_any_window_size(name, prefix):
    layer = RELATIVE[name](prefix_tokens=prefix).eval()
    for window in ((3, 2), (4, 5)):
        layer.set_window_size(window)
        N = window[0] * window[1] + prefix
        scores = torch.randn(2, 4, N, N)
        bias = layer.get_bias()
        assert bias.shape[-3:] == (4, N, N)
        torch.testing.assert_close(layer(scores), scores + bias)
        torch.testing.assert_close(torch.jit.script(layer)(scores), layer(scores))
        torch.testing.assert_close(torch.export.export(layer, (scores,)).module()(scores), layer(scores))
    with pytest.raises(ValueError, match='prefix_tokens=2'):
        RELATIVE[name](prefix_tokens=2)


@relative
def test_bias_survives_meta_and_half_precision(name):
    with torch.device('meta'):
        layer = RELATIVE[name]()
    layer = layer.to_empty(device='cpu')
    layer.init_non_persistent_buffers()
    expected = RELATIVE[name]()
    layer.load_state_dict(expected.state_dict())
    torch.testing.assert_close(layer.eval().get_bias(), expected.eval().get_bias())
    assert layer.bfloat16().get_bias().dtype == torch.bfloat16


def test_interpolation_is_exact_for_planes_and_keeps_edges():
    x, y = torch.tensor([0.0, 1.0, 4.0]), torch.tensor([-1.0, 0.0, 2.0, 3.0])
    values = 2 * x[:, None] - 3 * y[None, :]
    interpolate = RegularGridInterpolator([x, y], values)
    at = [torch.rand(9) * 4, torch.rand(9) * 4 - 1]
    torch.testing.assert_close(interpolate(at), 2 * at[0] - 3 * at[1])
    outside = interpolate([torch.tensor([-5.0, 9.0]), torch.tensor([0.0, 9.0])])
    torch.testing.assert_close(outside, torch.stack([values[0, 1], values[2, 3]]))
    with pytest.raises(ValueError, match='points'):
        RegularGridInterpolator([x], values)
    with pytest.raises(TypeError, match='list'):
        RegularGridInterpolator(x, values)


@pytest.mark.parametrize('resize', [resize_rel_pos_bias_table, resize_rel_pos_bias_table_simple])
def test_resized_bias_tables_keep_centre_and_extra_rows(resize):
    table = torch.randn(13 * 13 + 3, 4)
    assert torch.equal(resize(table, (7, 7), (172, 4)), table)
    larger = resize(table, (9, 6), (17 * 11 + 3, 4))
    assert torch.equal(larger[-3:], table[-3:])
    torch.testing.assert_close(larger[17 * 11 // 2], table[13 * 13 // 2], rtol=0.2, atol=0.2)
    maps = resize(table[:-3].T.reshape(4, 13, 13), (9, 6), (4, 17, 11))
    torch.testing.assert_close(maps.flatten(1).T, larger[:-3])
    with pytest.raises(ValueError, match='old_window_size'):
        resize(table[:-9], (9, 6), (17 * 11 + 3, 4))


def test_resized_bias_table_of_absolute_offsets():
    table = torch.randn(49, 4)
    assert resize_rel_pos_bias_table_levit(table, (49, 4)) is table
    larger = resize_rel_pos_bias_table_levit(table, (81, 4))
    expected = F.interpolate(table.T.reshape(1, 4, 7, 7), (9, 9), mode='bicubic', antialias=True)
    torch.testing.assert_close(larger, expected.flatten(2)[0].T)
    with pytest.raises(ValueError, match='heads'):
        resize_rel_pos_bias_table_levit(table, (81, 8))


def test_one_table_and_two_are_siblings():
    """Who asks for the class with two tables must not be given the one with one."""
    assert not isinstance(RotaryEmbeddingCat(8), RotaryEmbedding)
