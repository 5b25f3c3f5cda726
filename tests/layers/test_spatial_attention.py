"""Attention that tells positions apart: each against its equation, and all under the forms of execution."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from timm.layers import BatNonLocalAttn, GatherExcite, NonLocalAttn, create_attn, set_fused_attn
from timm.layers.coord_attn import CoordAttn, EfficientLocalAttn, SimpleCoordAttn, StripAttn
from timm.layers.non_local_attn import BilinearAttnTransform

# Name -> arguments with which it takes maps of 6 x 8.
NAMES = {'ge': {}, 'nl': {}, 'bat': {'block_size': 2}, 'coord': {}, 'scoord': {}, 'ela': {}, 'strip': {}}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def x():
    return torch.randn(2, 16, 6, 8)


def linear(layer: nn.Module, y: torch.Tensor) -> torch.Tensor:
    """A linear layer or 1x1 convolution as what it is on (B, C, L)."""
    y = torch.einsum('oc,bcl->bol', layer.weight.flatten(1), y)
    return y if layer.bias is None else y + layer.bias[:, None]


def along(conv: nn.Conv2d, y: torch.Tensor) -> torch.Tensor:
    """A depthwise convolution with a strip for a kernel as what it is on (B, C, L)."""
    weight = conv.weight.flatten(1)
    reach = weight.shape[1] // 2
    y = (F.pad(y, (reach, reach)).unfold(2, 2 * reach + 1, 1) * weight[:, None]).sum(3)
    return y if conv.bias is None else y + conv.bias[:, None]


def statistics_of_one_and_zero(norm: nn.BatchNorm2d) -> float:
    """What a batch norm that has seen nothing divides by."""
    return (1 + norm.eps) ** 0.5


def test_coordinate_attention_multiplies_a_gate_a_row_and_one_a_column(x):
    layer = CoordAttn(16, rd_channels=4).eval()

    def gate(averages: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
        hidden = F.hardswish(linear(layer.conv1, averages) / statistics_of_one_and_zero(layer.bn1))
        return linear(conv, hidden).sigmoid()

    rows, columns = gate(x.mean(3), layer.conv_h), gate(x.mean(2), layer.conv_w)
    torch.testing.assert_close(layer(x), x * torch.einsum('bch,bcw->bchw', rows, columns))


def test_coordinate_attention_normalises_rows_and_columns_together(x):
    layer = CoordAttn(16, rd_channels=4, bias=True)
    layer(x)
    seen = linear(layer.conv1, torch.cat((x.mean(3), x.mean(2)), 2)).transpose(0, 1).flatten(1)
    torch.testing.assert_close(layer.bn1.running_mean, 0.1 * seen.mean(1))
    torch.testing.assert_close(layer.bn1.running_var, 0.9 + 0.1 * seen.var(1))


def test_coordinate_attention_without_norm_and_with_other_activations(x):
    for name, act in (('relu', F.relu), (None, lambda y: y)):
        layer = CoordAttn(16, rd_channels=4, norm_layer=None, act_layer=name, gate_layer='hard_sigmoid')
        rows = F.hardsigmoid(linear(layer.conv_h, act(linear(layer.conv1, x.mean(3)))))
        columns = F.hardsigmoid(linear(layer.conv_w, act(linear(layer.conv1, x.mean(2)))))
        torch.testing.assert_close(layer(x), x * torch.einsum('bch,bcw->bchw', rows, columns))


def test_simple_coordinate_attention_adds_rows_and_columns_before_its_gate(x):
    layer = SimpleCoordAttn(16)
    rows = linear(layer.fc_h, F.silu(linear(layer.fc1, x.mean(3))))
    columns = linear(layer.fc_w, F.silu(linear(layer.fc1, x.mean(2))))
    torch.testing.assert_close(layer(x), x * (rows[:, :, :, None] + columns[:, :, None, :]).sigmoid())


@pytest.mark.parametrize('bias', [False, True])
def test_efficient_local_attention_normalises_each_axis_over_all_channels(x, bias):
    layer = EfficientLocalAttn(16, kernel_size=5, bias=bias)

    def gate(averages: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
        y = along(conv, averages)
        deviation = (y.var((1, 2), correction=0, keepdim=True) + 1e-5).sqrt()
        return F.silu((y - y.mean((1, 2), keepdim=True)) / deviation).sigmoid()

    rows, columns = gate(x.mean(3), layer.conv_h), gate(x.mean(2), layer.conv_w)
    torch.testing.assert_close(layer(x), x * torch.einsum('bch,bcw->bchw', rows, columns))


@pytest.mark.parametrize('bias', [False, True])
def test_strip_attention_adds_convolved_averages(x, bias):
    layer = StripAttn(16, kernel_size=5, bias=bias, gate_layer='tanh')
    rows, columns = along(layer.conv_h, x.mean(3)), along(layer.conv_w, x.mean(2))
    torch.testing.assert_close(layer(x), x * (rows[:, :, :, None] + columns[:, :, None, :]).tanh())


def test_strip_attention_without_convolutions_has_no_parameters(x):
    layer = StripAttn(16, use_conv=False)
    assert not list(layer.parameters())
    torch.testing.assert_close(layer(x), x * (x.mean(3, keepdim=True) + x.mean(2, keepdim=True)).sigmoid())


@pytest.mark.parametrize('cls', [CoordAttn, SimpleCoordAttn, EfficientLocalAttn, StripAttn])
def test_skip_adds_the_input(cls, x):
    layer, plain = cls(16, has_skip=True).eval(), cls(16).eval()
    plain.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x), plain(x) + x)


@pytest.mark.parametrize(
    ('options', 'width'),
    [
        ({}, 8),  # 150 / 16 * 2 / 3
        ({'se_factor': 2.0}, 16),
        ({'rd_ratio': 0.25}, 24),
        ({'rd_ratio': 0.25, 'rd_divisor': 1}, 25),
        ({'rd_channels': 5}, 5),
    ],
)
def test_reduced_width_of_coordinate_attention(options, width):
    assert CoordAttn(150, **options).conv1.out_channels == width
    assert SimpleCoordAttn(150, **{'rd_ratio': 1 / 16, **options}).fc1.out_features == width


@pytest.mark.parametrize('cls', [EfficientLocalAttn, StripAttn])
def test_a_kernel_without_a_middle_is_refused(cls):
    with pytest.raises(ValueError, match=r'kernel_size=4 .*5'):
        cls(16, kernel_size=4)


@pytest.mark.parametrize('cls', [CoordAttn, SimpleCoordAttn, EfficientLocalAttn, StripAttn, GatherExcite])
def test_a_gate_is_needed_and_known(cls):
    with pytest.raises(ValueError, match='gate_layer=None'):
        cls(16, gate_layer=None)
    with pytest.raises(ValueError, match=r"'sigmoyd'.*'sigmoid'"):
        cls(16, gate_layer='sigmoyd')


@pytest.mark.parametrize('cls', [CoordAttn, SimpleCoordAttn, GatherExcite, NonLocalAttn, BatNonLocalAttn])
def test_a_hidden_layer_needs_width(cls):
    with pytest.raises(ValueError, match='rd_ratio=0'):
        cls(16, rd_ratio=0.0)
    with pytest.raises(ValueError, match='rd_divisor=0'):
        cls(16, rd_divisor=0)


def gathered(x: torch.Tensor, extent: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Averages and maxima of x around each multiple of the extent, (B, C, units, units)."""
    H, W = x.shape[2:]

    def window(i: int, j: int) -> torch.Tensor:
        return x[:, :, max(i - extent + 1, 0) : i + extent, max(j - extent + 1, 0) : j + extent].flatten(2)

    windows = [[window(i, j) for j in range(0, W, extent)] for i in range(0, H, extent)]
    averages = torch.stack([torch.stack([w.mean(2) for w in row], 2) for row in windows], 2)
    maxima = torch.stack([torch.stack([w.amax(2) for w in row], 2) for row in windows], 2)
    return averages, maxima


def nearest(gate: torch.Tensor, H: int, W: int) -> torch.Tensor:
    """For each position the gate of the unit it lies in."""
    rows = [i * gate.shape[2] // H for i in range(H)]
    columns = [j * gate.shape[3] // W for j in range(W)]
    return gate[:, :, rows][:, :, :, columns]


def mlp(layer: GatherExcite, y: torch.Tensor) -> torch.Tensor:
    return linear(layer.mlp.fc2, linear(layer.mlp.fc1, y.flatten(2)).relu()).view_as(y)


@pytest.mark.parametrize('size', [(12, 24), (7, 10)])
@pytest.mark.parametrize('extent', [1, 2, 3, 4, 8])
def test_gather_excite_averages_neighbourhoods_of_its_extent(extent, size):
    x = torch.randn(2, 16, *size)
    averages, maxima = gathered(x, extent)
    assert averages.shape[2:] == tuple(-(-n // extent) for n in size)
    plain = GatherExcite(16, extent=extent, use_mlp=False)
    torch.testing.assert_close(plain(x), x * nearest(averages.sigmoid(), *size))
    layer = GatherExcite(16, extent=extent, rd_channels=4)
    torch.testing.assert_close(layer(x), x * nearest(mlp(layer, averages).sigmoid(), *size))
    layer = GatherExcite(16, extent=extent, rd_channels=4, add_maxpool=True)
    gate = mlp(layer, (averages + maxima) / 2).sigmoid()
    torch.testing.assert_close(layer(x), x * nearest(gate, *size))


def test_gather_excite_of_the_whole_map_has_one_gate_a_channel(x):
    layer = GatherExcite(16, rd_ratio=0.25, gate_layer='hard_sigmoid')
    assert layer.mlp.fc1.out_channels == 4
    gate = F.hardsigmoid(mlp(layer, x.mean((2, 3), keepdim=True)))
    torch.testing.assert_close(layer(x), x * gate)
    layer = GatherExcite(16, use_mlp=False, add_maxpool=True)
    gate = ((x.mean((2, 3), keepdim=True) + x.amax((2, 3), keepdim=True)) / 2).sigmoid()
    torch.testing.assert_close(layer(x), x * gate)


@pytest.mark.parametrize('size', [(12, 24), (7, 10)])
@pytest.mark.parametrize('extent', [2, 4, 8])
def test_gather_excite_learns_to_gather_by_strided_convolutions(extent, size):
    x = torch.randn(2, 16, *size)
    layer = GatherExcite(16, extra_params=True, extent=extent, rd_channels=4, act_layer='relu').eval()
    steps = int(math.log2(extent))
    y = x
    for i in range(1, steps + 1):
        conv, norm = getattr(layer.gather, f'conv{i}'), getattr(layer.gather, f'norm{i}')
        patches = F.unfold(y, 3, padding=1, stride=2).unflatten(1, (16, 9))
        y = torch.einsum('bcpl,cp->bcl', patches, conv.weight.flatten(1)) / statistics_of_one_and_zero(norm)
        y = y.unflatten(2, tuple(-(-n // 2**i) for n in size))
        y = y if i == steps else y.relu()
    assert len([m for m in layer.gather if isinstance(m, nn.Conv2d)]) == steps
    torch.testing.assert_close(layer(x), x * nearest(mlp(layer, y).sigmoid(), *size))


@pytest.mark.parametrize('norm_layer', [None, nn.BatchNorm2d])
def test_gather_excite_learns_a_weight_a_position_for_the_whole_map(x, norm_layer):
    layer = GatherExcite(16, feat_size=(6, 8), extra_params=True, use_mlp=False, norm_layer=norm_layer).eval()
    total = torch.einsum('bchw,chw->bc', x, layer.gather.conv1.weight[:, 0])
    if norm_layer is not None:
        total = total / statistics_of_one_and_zero(layer.gather.norm1)
    torch.testing.assert_close(layer(x), x * total.sigmoid()[:, :, None, None])
    assert GatherExcite(16, feat_size=7, extra_params=True).gather.conv1.weight.shape == (16, 1, 7, 7)


def test_gather_excite_built_for_a_size_refuses_others(x):
    layer = GatherExcite(16, feat_size=(6, 8), extra_params=True)
    with pytest.raises(AssertionError, match=r'height 7 is not the 6'):
        layer(torch.randn(2, 16, 7, 8))
    with pytest.raises(AssertionError, match=r'width 9 is not the 8'):
        layer(torch.randn(2, 16, 6, 9))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'extent': -2}, 'extent=-2'),
        ({'extra_params': True, 'feat_size': (7, 7, 7)}, r'feat_size=\(7, 7, 7\)'),
        ({'extent': 6, 'extra_params': True}, 'extent=6 .*use 4 or 8'),
        ({'extent': 1, 'extra_params': True}, 'extent=1 .*use 2 or 4'),
        ({'extra_params': True}, 'pass feat_size'),
        ({'extra_params': True, 'extent': 2, 'add_maxpool': True}, 'leave out add_maxpool'),
    ],
)
def test_gather_excite_refuses_what_it_cannot_build(options, message):
    with pytest.raises(ValueError, match=message):
        GatherExcite(16, **options)


@pytest.fixture(params=[False, True], ids=['products', 'fused'])
def kernel(request):
    set_fused_attn(request.param, experimental=request.param)
    yield request.param
    set_fused_attn()


@pytest.mark.parametrize('use_scale', [True, False])
def test_non_local_attention_is_a_softmax_over_all_positions(x, use_scale, kernel):
    layer = NonLocalAttn(16, use_scale=use_scale, rd_channels=4).eval()
    assert layer.fused_attn == kernel
    nn.init.normal_(layer.norm.weight)
    nn.init.normal_(layer.norm.bias)
    q, k, v = (linear(conv, x.flatten(2)) for conv in (layer.t, layer.p, layer.g))
    weights = torch.einsum('bci,bcj->bij', q, k).div(4.0 if use_scale else 1.0).softmax(2)
    found = linear(layer.z, torch.einsum('bij,bcj->bci', weights, v)).view_as(x)
    scale = layer.norm.weight / statistics_of_one_and_zero(layer.norm)
    torch.testing.assert_close(layer(x), x + scale[:, None, None] * found + layer.norm.bias[:, None, None])


def test_non_local_attention_starts_as_the_identity(x):
    layer = NonLocalAttn(256)
    assert layer.t.out_channels == 32
    for conv in (layer.t, layer.p, layer.g, layer.z):
        assert conv.weight.std().item() == pytest.approx((2 / conv.out_channels) ** 0.5, rel=0.05)
        assert not conv.bias.any()
    layer = NonLocalAttn(16)
    assert torch.equal(layer(x), x)


def positive(logits: torch.Tensor, axis: int) -> torch.Tensor:
    return logits.sigmoid() / logits.sigmoid().sum(axis, keepdim=True)


@pytest.mark.parametrize('size', [(6, 9), (3, 3)])
def test_bilinear_transform_mixes_blocks_of_rows_and_of_columns(size):
    x = torch.randn(2, 8, *size)
    layer = BilinearAttnTransform(8, block_size=3, groups=2).eval()
    N = 3

    def block(conv: nn.Module, y: torch.Tensor) -> torch.Tensor:
        return (linear(conv.conv, y.flatten(2)) / statistics_of_one_and_zero(conv.bn)).relu().view(2, -1, *size)

    hidden = block(layer.conv1, x).view(2, 2, N, size[0] // N, N, size[1] // N)
    p = torch.einsum('ogn,bgn->bo', layer.conv_p.weight[..., 0], hidden.amax((3, 4, 5))) + layer.conv_p.bias
    q = torch.einsum('ogn,bgn->bo', layer.conv_q.weight[:, :, 0], hidden.amax((2, 3, 5))) + layer.conv_q.bias
    p, q = positive(p.view(2, 2, N, N), 3), positive(q.view(2, 2, N, N), 2)
    blocks = x.view(2, 2, 4, N, size[0] // N, N, size[1] // N)
    mixed = torch.einsum('bgik,bgckrls,bglj->bgcirjs', p, blocks, q).reshape(x.shape)
    torch.testing.assert_close(layer(x), block(layer.conv2, mixed))


@pytest.mark.parametrize('times', [1, 3])
def test_matrices_grow_by_an_identity(times):
    matrices = torch.randn(2, 3, 4, 4)
    grown = BilinearAttnTransform(8, 4, 2).resize_mat(matrices, times)
    expected = [torch.kron(matrix, torch.eye(times)) for matrix in matrices.flatten(0, 1)]
    torch.testing.assert_close(grown.flatten(0, 1), torch.stack(expected))


def test_bilinear_attention_is_a_residual_branch(x):
    layer = BatNonLocalAttn(16, block_size=2, drop_rate=0.5).eval()
    torch.testing.assert_close(layer(x), x + layer.conv2(layer.ba(layer.conv1(x))))
    added = layer.train()(x) - x
    kept = added.flatten(2).any(2)
    assert kept.any()
    assert not kept.all()
    assert torch.equal(BatNonLocalAttn(16, block_size=2, drop_rate=1.0)(x), x)


@pytest.mark.parametrize(('options', 'width'), [({}, 24), ({'rd_ratio': 0.37}, 40), ({'rd_channels': 6}, 6)])
def test_reduced_width_of_bilinear_attention(options, width):
    assert BatNonLocalAttn(100, **options).ba.conv2.in_channels == width


def test_bilinear_attention_refuses_what_it_cannot_cut():
    layer = BatNonLocalAttn(16)
    with pytest.raises(AssertionError, match=r'height 8 is not a multiple of block_size=7'):
        layer(torch.randn(1, 16, 8, 14))
    with pytest.raises(AssertionError, match=r'width 6 is not a multiple of block_size=7'):
        layer(torch.randn(1, 16, 14, 6))
    with pytest.raises(ValueError, match=r'rd_channels=8 .*groups=3'):
        BatNonLocalAttn(16, groups=3)
    with pytest.raises(ValueError, match=r'in_channels=10 .*groups=4'):
        BilinearAttnTransform(10, 7, 4)
    with pytest.raises(ValueError, match='block_size=0'):
        BatNonLocalAttn(16, block_size=0)


names = pytest.mark.parametrize('name', NAMES)


def named(name: str, channels: int = 16, **options) -> nn.Module:
    """A layer by name of which no part is switched off at the start."""
    layer = create_attn(name, channels, **NAMES[name], **options)
    if name == 'nl':
        nn.init.ones_(layer.norm.weight)
    return layer


@names
def test_attention_keeps_the_shape_and_passes_gradients(name, x):
    layer = named(name)
    out = layer(x)
    assert out.shape == x.shape
    out.square().sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    assert all(p.grad.any() for p in layer.parameters() if p.ndim > 1)


@names
def test_gradients_are_those_of_finite_differences(name):
    layer = named(name, 8, dtype=torch.float64).eval()
    x = torch.randn(2, 8, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


@pytest.mark.parametrize('extra_params', [False, True])
def test_gradients_of_gathering_are_those_of_finite_differences(extra_params):
    layer = GatherExcite(4, extra_params=extra_params, extent=2, rd_channels=3, dtype=torch.float64).eval()
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


def assert_runs_everywhere(layer: nn.Module, x: torch.Tensor) -> None:
    """The same numbers from every form in which torch can hold the layer."""
    expected = layer(x)
    torch.testing.assert_close(torch.jit.script(layer)(x), expected)
    torch.testing.assert_close(torch.jit.trace(layer, x)(x), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(layer)(x), expected)
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), expected)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend='eager')(x), expected)


@names
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')  # sizes are checked, which a trace keeps as constants
def test_attention_scripts_exports_and_compiles(name, x):
    assert_runs_everywhere(named(name).eval(), x)


@pytest.mark.parametrize(
    'options', [{'extent': 4, 'add_maxpool': True}, {'extent': 4, 'extra_params': True}, {'extra_params': True}]
)
@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_gather_excite_scripts_exports_and_compiles(options, x):
    assert_runs_everywhere(GatherExcite(16, feat_size=(6, 8), **options).eval(), x)


def test_fused_non_local_attention_scripts_exports_and_compiles(x):
    set_fused_attn(experimental=True)
    try:
        layer = named('nl').eval()
    finally:
        set_fused_attn()
    assert_runs_everywhere(layer, x)


@names
def test_attention_builds_on_meta_and_runs_in_bfloat16(name, x):
    layer = create_attn(name, 16, device='meta', dtype=torch.bfloat16, **NAMES[name])
    assert all(t.is_meta for t in (*layer.parameters(), *layer.buffers()))
    assert all(p.dtype == torch.bfloat16 for p in layer.parameters())
    layer = named(name, dtype=torch.bfloat16)
    assert layer(x.bfloat16()).dtype == torch.bfloat16
