"""Pools: 'SAME', blur, adaptive, median, over tokens, and rearrangements of pixels."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from timm.layers import (
    AdaptiveAvgMaxPool2d,
    AvgPool2dSame,
    BlurPool2d,
    DepthToSpace,
    SelectAdaptivePool2d,
    SpaceToDepth,
    adaptive_avgmax_pool2d,
    create_aa,
    create_pool2d,
    global_pool_nlc,
    select_adaptive_pool2d,
)
from timm.layers.adaptive_avgmax_pool import AdaptiveCatAvgMaxPool2d, adaptive_pool_feat_mult
from timm.layers.median_pool import MedianPool2d
from timm.layers.pool2d_same import MaxPool2dSame

POOL_TYPES = ['avg', 'max', 'avgmax', 'catavgmax']


def pooled(x: torch.Tensor, pool_type: str, dims: tuple[int, int], channels: int) -> torch.Tensor:
    average, maximum = x.mean(dims), x.amax(dims)
    return {
        'avg': average,
        'max': maximum,
        'avgmax': (average + maximum) / 2,
        'catavgmax': torch.cat((average, maximum), channels),
    }[pool_type]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def windows(x: torch.Tensor, kernel: int, stride: int, value: float) -> torch.Tensor:
    """Windows of a map that 'SAME' frames with `value`: (B, C, rows, columns, kernel * kernel)."""
    pads = [max((math.ceil(size / stride) - 1) * stride + kernel - size, 0) for size in x.shape[2:]]
    B, C, H, W = x.shape
    framed = x.new_full((B, C, H + pads[0], W + pads[1]), value)
    framed[:, :, pads[0] // 2 : pads[0] // 2 + H, pads[1] // 2 : pads[1] // 2 + W] = x
    return framed.unfold(2, kernel, stride).unfold(3, kernel, stride).flatten(4)


@pytest.mark.parametrize('size', [(8, 8), (9, 7), (3, 10)])
@pytest.mark.parametrize(('kernel', 'stride'), [(3, 2), (2, 2), (5, 3)])
def test_same_pools_take_windows_as_tensorflow_lays_them(size, kernel, stride):
    x = torch.randn(2, 3, *size) - 5
    average = create_pool2d('avg', kernel, stride, padding='same')
    maximum = create_pool2d('max', kernel, stride, padding='same')
    torch.testing.assert_close(average(x), windows(x, kernel, stride, 0).mean(-1))
    torch.testing.assert_close(maximum(x), windows(x, kernel, stride, -math.inf).amax(-1))


@pytest.mark.parametrize(
    ('options', 'kind', 'padding'),
    [({}, nn.MaxPool2d, 1), ({'padding': 'valid'}, nn.MaxPool2d, 0), ({'padding': 'same'}, MaxPool2dSame, (0, 0))],
)
def test_create_pool2d_chooses_the_kind(options, kind, padding):
    pool = create_pool2d('max', 3, stride=2, **options)
    assert type(pool) is kind
    assert pool.padding == padding


def test_a_pool_strides_by_its_kernel_unless_told():
    assert AvgPool2dSame(3)(torch.rand(1, 2, 7, 6)).shape == (1, 2, 3, 2)
    assert create_pool2d('max', 2, padding='valid').stride == 2


def test_create_pool2d_names_the_nearest():
    with pytest.raises(ValueError, match=r"'averag'.*'avg'"):
        create_pool2d('averag', 3)


@pytest.mark.parametrize('filt_size', [2, 3, 4, 5])
@pytest.mark.parametrize('channels', [None, 4])
def test_blur_is_a_normalised_binomial_filter(filt_size, channels):
    pool = BlurPool2d(channels, filt_size=filt_size, dtype=torch.float64)
    row = torch.tensor([math.comb(filt_size - 1, i) for i in range(filt_size)], dtype=torch.float64)
    kernel = torch.outer(row, row) / row.sum() ** 2
    x = torch.rand(2, 4, 9, 10, dtype=torch.float64)
    framed = F.pad(x, [pool.padding[0]] * 4, mode='reflect')
    expected = torch.stack([F.conv2d(c[:, None], kernel[None, None], stride=2)[:, 0] for c in framed.unbind(1)], 1)
    torch.testing.assert_close(pool(x), expected)


def test_blur_keeps_constants_and_size_of_odd_filters():
    out = BlurPool2d(3)(torch.full((1, 3, 7, 10), 2.5))
    assert out.shape == (1, 3, 4, 5)
    assert out.eq(2.5).all()


def test_blur_filter_is_no_part_of_the_state_and_comes_back_after_meta():
    expected = BlurPool2d(4).filt
    with torch.device('meta'):
        pool = BlurPool2d(4)
    assert pool.filt.is_meta
    assert not pool.state_dict()
    pool.to_empty(device='cpu')
    pool.init_non_persistent_buffers()
    assert torch.equal(pool.filt, expected)
    assert BlurPool2d(4, dtype=torch.bfloat16).filt.dtype == torch.bfloat16


def test_a_filter_of_one_tap_is_refused():
    with pytest.raises(ValueError, match='filt_size=1'):
        BlurPool2d(4, filt_size=1)


@pytest.mark.parametrize(
    ('aa_layer', 'kind'),
    [('avg', nn.AvgPool2d), (nn.AvgPool2d, nn.AvgPool2d), ('blur', BlurPool2d), (BlurPool2d, BlurPool2d),
     ('blurpc', BlurPool2d), (None, nn.Identity), ('', nn.Identity)],
)  # fmt: skip
def test_create_aa_subsamples(aa_layer, kind):
    layer = create_aa(aa_layer, channels=4, stride=2)
    assert type(layer) is kind
    assert layer(torch.rand(1, 4, 8, 8)).shape[-1] == (8 if kind is nn.Identity else 4)


def test_create_aa_options():
    assert create_aa('blur', 4, enable=False, noop=None) is None
    assert create_aa('blurpc', 4).pad_mode == 'constant'
    assert create_aa('blur', 4, device='meta', dtype=torch.float16).filt.dtype == torch.float16
    with pytest.raises(ValueError, match=r"'blurr'.*'blur'"):
        create_aa('blurr', 4)


@pytest.mark.parametrize('fast', ['', 'fast'])
@pytest.mark.parametrize('pool_type', POOL_TYPES)
@pytest.mark.parametrize('input_fmt', ['NCHW', 'NHWC'])
def test_global_pools_by_name(fast, pool_type, input_fmt):
    x = torch.rand(2, 4, 5, 6)
    dims, channel = ((2, 3), 1) if input_fmt == 'NCHW' else ((1, 2), 3)
    expected = pooled(x, pool_type, dims, 1)
    flat = SelectAdaptivePool2d(pool_type=fast + pool_type, flatten=True, input_fmt=input_fmt)
    kept = SelectAdaptivePool2d(pool_type=fast + pool_type, input_fmt=input_fmt)
    torch.testing.assert_close(flat(x), expected)
    shape = [2, 1, 1, 1]
    shape[channel] = expected.shape[1]
    assert list(kept(x).shape) == shape
    torch.testing.assert_close(kept(x).flatten(1), expected)
    assert expected.shape[1] == x.shape[channel] * flat.feat_mult()


def test_fast_means_average():
    x = torch.rand(2, 4, 5, 6)
    torch.testing.assert_close(SelectAdaptivePool2d(pool_type='fast')(x), x.mean((2, 3), keepdim=True))


@pytest.mark.parametrize('pool_type', POOL_TYPES)
def test_adaptive_pools_divide_into_cells(pool_type):
    x = torch.rand(2, 4, 6, 8)
    cells = x.unflatten(3, (4, 2)).unflatten(2, (3, 2))
    expected = pooled(cells, pool_type, (3, 5), 1)
    torch.testing.assert_close(select_adaptive_pool2d(x, pool_type, (3, 4)), expected)
    torch.testing.assert_close(SelectAdaptivePool2d((3, 4), pool_type)(x), expected)


def test_no_pooling_is_an_identity():
    x = torch.rand(2, 4, 5, 6)
    pool = SelectAdaptivePool2d(pool_type='')
    assert pool.is_identity()
    assert pool(x) is x
    assert SelectAdaptivePool2d(pool_type='', flatten=True)(x).shape == (2, 120)


def test_width_factors():
    assert [adaptive_pool_feat_mult(p) for p in (*POOL_TYPES, 'fastcatavgmax', '')] == [1, 1, 1, 2, 2, 1]


def test_average_max_pool_takes_a_size_or_a_pair():
    x = torch.rand(2, 4, 6, 6)
    torch.testing.assert_close(AdaptiveAvgMaxPool2d(2)(x), adaptive_avgmax_pool2d(x, (2, 2)))


def test_bad_pools_are_refused():
    with pytest.raises(ValueError, match=r"'avgmx'.*'avgmax'"):
        SelectAdaptivePool2d(pool_type='avgmx')
    with pytest.raises(ValueError, match='one cell'):
        SelectAdaptivePool2d(2, pool_type='fastavg')
    with pytest.raises(ValueError, match='one cell'):
        SelectAdaptivePool2d(2, pool_type='avg', input_fmt='NHWC')
    with pytest.raises(ValueError, match='foo'):
        select_adaptive_pool2d(torch.rand(1, 1, 2, 2), 'foo')


def test_median_pool_takes_the_middle_of_each_window():
    x = torch.randn(2, 3, 6, 7)
    frame = F.pad(x, (1, 1, 1, 1), mode='reflect')
    for i, j in ((0, 0), (2, 3), (5, 6)):
        expected = frame[:, :, i : i + 3, j : j + 3].flatten(2).sort(-1)[0][..., 4]
        assert torch.equal(MedianPool2d(padding=1)(x)[:, :, i, j], expected)


def test_median_pool_sizes():
    x = torch.randn(1, 2, 6, 7)
    assert MedianPool2d()(x).shape == (1, 2, 4, 5)
    assert MedianPool2d(2, 2, same=True)(x).shape == (1, 2, 3, 4)
    assert MedianPool2d((3, 2), padding=(1, 2, 0, 1))(x).shape == (1, 2, 5, 9)


@pytest.mark.parametrize('pool_type', ['avg', 'max', 'avgmax'])
def test_token_pools_leave_the_prefix_out(pool_type):
    x = torch.rand(2, 9, 4)
    average, maximum = x[:, 2:].mean(1), x[:, 2:].amax(1)
    expected = {'avg': average, 'max': maximum, 'avgmax': (average + maximum) / 2}[pool_type]
    torch.testing.assert_close(global_pool_nlc(x, pool_type, num_prefix_tokens=2), expected)
    whole = global_pool_nlc(x, pool_type, num_prefix_tokens=2, reduce_include_prefix=True)
    torch.testing.assert_close(whole, global_pool_nlc(x, pool_type, num_prefix_tokens=0))


def test_token_pool_of_the_first_token_or_none():
    x = torch.rand(2, 9, 4)
    assert torch.equal(global_pool_nlc(x), x[:, 0])
    assert global_pool_nlc(x, '') is x
    with pytest.raises(ValueError, match=r"'mean'"):
        global_pool_nlc(x, 'mean')
    scripted = torch.jit.script(global_pool_nlc)
    torch.testing.assert_close(scripted(x, 'avg', 2, False), x[:, 2:].mean(1))


def test_space_to_depth_and_back():
    x = torch.arange(2 * 3 * 8 * 12.0).view(2, 3, 8, 12)
    y = SpaceToDepth(4)(x)
    assert y.shape == (2, 48, 2, 3)
    # channel (row, column, c) of the block
    assert y[0, (1 * 4 + 2) * 3 + 1, 1, 2] == x[0, 1, 4 + 1, 8 + 2]
    assert torch.equal(DepthToSpace(4)(y), x)


LAYERS = {
    'avg_pool_same': lambda: AvgPool2dSame(3, 2),
    'max_pool_same': lambda: MaxPool2dSame(3, 2),
    'blur': lambda: BlurPool2d(4, filt_size=4),
    'blur_any': lambda: BlurPool2d(),
    'select_catavgmax': lambda: SelectAdaptivePool2d(pool_type='catavgmax', flatten=True),
    'select_fastavgmax': lambda: SelectAdaptivePool2d(pool_type='fastavgmax', flatten=True),
    'avgmax_cells': lambda: AdaptiveAvgMaxPool2d((2, 3)),
    'catavgmax_cells': lambda: AdaptiveCatAvgMaxPool2d(2),
    'median': lambda: MedianPool2d(3, 2, same=True),
    'space_to_depth': lambda: SpaceToDepth(4),
    'depth_to_space': lambda: DepthToSpace(2),
}
layers = pytest.mark.parametrize('build', LAYERS.values(), ids=LAYERS)


@layers
def test_pools_script_and_trace_for_any_size(build):
    layer = build()
    scripted = torch.jit.script(layer)
    traced = torch.jit.trace(layer, torch.rand(1, 4, 8, 8), check_trace=False)
    for size in ((8, 8), (12, 16)):
        x = torch.rand(2, 4, *size)
        torch.testing.assert_close(scripted(x), layer(x))
        torch.testing.assert_close(traced(x), layer(x))


@layers
def test_pools_export_and_compile_whole(build):
    layer = build()
    x = torch.rand(2, 4, 8, 12)
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), layer(x))
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend='eager')(x), layer(x))


@layers
def test_pools_run_on_meta_and_in_bfloat16(build):
    x = torch.rand(2, 4, 8, 8)
    with torch.device('meta'):
        assert build()(x.to('meta')).shape == build().to_empty(device='cpu')(x).shape
    assert build().to(torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16
