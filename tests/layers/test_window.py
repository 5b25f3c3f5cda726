"""Windows, layouts and grids, and what symbolic tracers leave whole."""

import pytest
import torch
from torch import nn

from timm.layers import (
    Format,
    create_feature_extractor,
    get_channel_dim,
    get_graph_node_names,
    get_notrace_functions,
    get_notrace_modules,
    get_spatial_dim,
    is_notrace_function,
    is_notrace_module,
    meshgrid,
    nchw_to,
    ndgrid,
    nhwc_to,
    register_notrace_function,
    register_notrace_module,
)
from timm.layers.window import pad_to_windows, window_partition, window_reverse
from timm.models._features_fx import FeatureGraphNet, GraphExtractNet


def test_windows_are_rows_of_tiles():
    x = torch.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    windows = window_partition(x, (2, 3))
    assert windows.shape == (8, 2, 3, 3)
    for image in range(2):
        for row in range(2):
            for column in range(2):
                tile = x[image, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
                assert torch.equal(windows[4 * image + 2 * row + column], tile)
    assert torch.equal(window_reverse(windows, (2, 3), (4, 6)), x)


def test_padding_reaches_the_next_window():
    x = torch.randn(1, 5, 6, 2)
    padded = pad_to_windows(x, (4, 3))
    assert padded.shape == (1, 8, 6, 2)
    assert torch.equal(padded[:, :5], x)
    assert padded[:, 5:].abs().sum() == 0
    assert pad_to_windows(x, (5, 3)) is x


class Windows(nn.Module):
    def forward(self, x):
        padded = pad_to_windows(x, (4, 4))
        windows = window_partition(padded, (4, 4)) + 1
        return window_reverse(windows, (4, 4), (padded.shape[1], padded.shape[2]))


def test_windows_script_export_compile_and_trace():
    layer, x = Windows(), torch.randn(2, 6, 8, 3)
    expected = layer(x)
    assert torch.equal(torch.jit.script(layer)(x), expected)
    assert torch.equal(torch.compile(layer, fullgraph=True, backend='eager')(x), expected)
    assert torch.equal(create_feature_extractor(layer, {'add': 'windows', 'reshape_3': 'map'})(x)['map'], expected)
    exported = torch.export.export(layer, (x,), dynamic_shapes={'x': {0: torch.export.Dim('batch')}}).module()
    y = torch.randn(3, 6, 8, 3)
    assert torch.equal(exported(y), layer(y))


@pytest.mark.parametrize('fmt', Format)
def test_layouts_agree_on_their_axes(fmt):
    x = torch.randn(2, 3, 4, 5)
    y = nchw_to(x, fmt)
    assert torch.equal(nhwc_to(x.permute(0, 2, 3, 1), fmt), y)
    assert y.shape[get_channel_dim(fmt)] == 3
    assert torch.tensor([y.shape[axis] for axis in get_spatial_dim(fmt)]).prod() == 20
    assert fmt == fmt.value
    assert get_spatial_dim(fmt.value) == get_spatial_dim(fmt)


def test_unknown_layout_is_refused():
    for function in (get_channel_dim, get_spatial_dim):
        with pytest.raises(ValueError, match='HWC'):
            function('HWC')


def test_grids_differ_in_the_order_of_axes():
    a, b = torch.arange(2), torch.arange(3)
    assert ndgrid(a, b)[0].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert meshgrid(a, b)[0].tolist() == [[0, 1], [0, 1], [0, 1]]


@register_notrace_module
class Whole(nn.Module):
    def forward(self, x):
        return x + 1 if x.sum() > 0 else x


@register_notrace_function
def whole(x):
    return x + 1 if x.sum() > 0 else x


class Undecided(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = Whole()

    def forward(self, x, mask=None, double=False):
        if mask is not None:
            x = x * mask
        x = whole(self.part(x))
        return x * 2 if double else x


def test_registered_leaves_are_not_traced_into():
    assert is_notrace_module(Whole)
    assert Whole in get_notrace_modules()
    assert is_notrace_function(whole)
    assert whole in get_notrace_functions()
    assert not is_notrace_module(nn.Linear)
    model, x = Undecided(), torch.ones(3)
    names = get_graph_node_names(model)[1]
    assert names[-2:] == ['part', 'whole']
    assert create_feature_extractor(model, 'part')(x)['part'].tolist() == [2, 2, 2]
    assert GraphExtractNet(model, ['whole'])(x).tolist() == [3, 3, 3]
    assert GraphExtractNet(model, ['whole'], squeeze_out=False)(x)[0].tolist() == [3, 3, 3]
    assert GraphExtractNet(model, {'whole': 'y'}, return_dict=True)(x)['y'].tolist() == [3, 3, 3]


def test_feature_graph_gives_taps_in_network_order():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2), nn.Conv2d(4, 5, 1))
    model.feature_info = [
        {'num_chs': 4, 'reduction': 1, 'module': '0'},
        {'num_chs': 5, 'reduction': 2, 'module': '2'},
    ]
    x = torch.randn(1, 3, 8, 8)
    maps = FeatureGraphNet(model, (-1, 0))(x)
    assert [tuple(y.shape) for y in maps] == [(1, 4, 8, 8), (1, 5, 4, 4)]
    torch.testing.assert_close(maps[-1], model(x))
    named = FeatureGraphNet(model, (0, 1), out_map=('low', 'high'), return_dict=True)
    assert list(named(x)) == ['low', 'high']
    assert named.feature_info.channels() == [4, 5]
    assert named.output_fmt == 'NCHW'
    with pytest.raises(ValueError, match='out_map'):
        FeatureGraphNet(model, (0, 1), out_map=('low',))
