"""Gather-excite: features gated by what a neighbourhood of chosen extent holds."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import BadValue, check_builders, check_counts, size_2d
from ._device import Module
from .create_act import create_act_layer, create_gate, get_act_layer
from .create_norm import get_norm_layer
from .helpers import reduced_width
from .mlp import ConvMlp
from .trace_utils import _assert
from .typing import LayerType

__all__ = ['GatherExcite']


def _learned_gather(
    channels: int,
    feat_size: int | tuple[int, int] | None,
    extent: int,
    act_layer: LayerType,
    norm_layer: LayerType | None,
) -> nn.Sequential:
    """Depthwise convolutions to one position in `extent` along each axis, or to a single one where that is 0."""
    if extent:
        num_convs = extent.bit_length() - 1
        if extent != 1 << num_convs or extent == 1:
            near = 1 << max(num_convs, 1)
            raise BadValue(f'extent={extent} is not reached by convolutions of stride 2: use {near} or {near * 2}.')
        convs = [nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=False) for _ in range(num_convs)]
    elif feat_size is None:
        raise BadValue('extra_params=True learns a weight for each position: pass feat_size, or an extent.')
    else:
        convs = [nn.Conv2d(channels, channels, size_2d('feat_size', feat_size), groups=channels, bias=False)]
    norm = get_norm_layer(norm_layer)
    steps = OrderedDict[str, nn.Module]()
    for i, conv in enumerate(convs, 1):
        steps[f'conv{i}'] = conv
        if norm is not None:
            steps[f'norm{i}'] = norm(channels)
        if i < len(convs):
            steps[f'act{i}'] = create_act_layer(act_layer, inplace=True)
    return nn.Sequential(steps)


class GatherExcite(Module):
    """x * gate(mlp(gather(x))), with the gate brought to the size of x by nearest neighbours (GENet, arXiv:1810.12348).

    Without parameters, gather(x) at u is the average of x from extent * u - (extent - 1) to extent * u + (extent - 1)
    along both axes, as far as the map goes (section 2). With them it is log2(extent) depthwise 3x3 convolutions of
    stride 2, or a single one as large as the map (section 3.2).

    Shape: (B, channels, H, W) -> (B, channels, H, W)

    Args:
        feat_size: Height and width of the map; needed, and then binding, for parameters of an unlimited extent.
        extra_params: Gather by convolutions.
        extent: Positions that share a gate, along one axis; 0 for the whole map.
        use_mlp: Mix the channels before the gate, as squeeze-and-excitation does (section 3.3).
        rd_ratio: Width of the MLP's hidden layer as a share of `channels`, brought to a multiple of `rd_divisor`.
        rd_channels: That width itself; None for the share.
        add_maxpool: Gather the mean of average and maximum, which only goes without parameters.
        norm_layer: Builds the norm after each convolution that gathers; None for no norms.

    Raises:
        ValueError: `extent` is negative, or no power of two above 1 and to be reached by convolutions; `extra_params`
            with `add_maxpool`, or with neither `extent` nor `feat_size`.
    """

    def __init__(
        self,
        channels: int,
        feat_size: int | tuple[int, int] | None = None,
        extra_params: bool = False,
        extent: int = 0,
        use_mlp: bool = True,
        rd_ratio: float = 1.0 / 16,
        rd_channels: int | None = None,
        rd_divisor: int = 1,
        add_maxpool: bool = False,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType | None = nn.BatchNorm2d,
        gate_layer: LayerType = 'sigmoid',
    ) -> None:
        super().__init__()
        if extent:
            check_counts(extent=extent)
        if extra_params and add_maxpool:
            raise BadValue('extra_params=True gathers by convolutions, not by pooling: leave out add_maxpool.')
        act = get_act_layer(act_layer)
        check_builders(act_layer=act)
        self.extent = extent
        self.add_maxpool = add_maxpool
        self.gather = _learned_gather(channels, feat_size, extent, act, norm_layer) if extra_params else None
        bound = extra_params and not extent
        self.feat_size: tuple[int, int] | None = size_2d('feat_size', feat_size) if bound else None
        width = rd_channels or reduced_width(channels, rd_ratio, rd_divisor, round_limit=0.0)
        self.mlp = ConvMlp(channels, width, act_layer=act) if use_mlp else nn.Identity()
        self.gate = create_gate(gate_layer)

    def _pool(self, x: torch.Tensor) -> torch.Tensor:
        """The gather without parameters."""
        if self.extent == 0:
            average = x.mean((2, 3), keepdim=True)
            return 0.5 * (average + x.amax((2, 3), keepdim=True)) if self.add_maxpool else average
        window, reach = 2 * self.extent - 1, self.extent - 1
        average = F.avg_pool2d(x, window, self.extent, reach, count_include_pad=False)
        return 0.5 * (average + F.max_pool2d(x, window, self.extent, reach)) if self.add_maxpool else average

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gather, then gate each position by the neighbourhood it lies in."""
        H, W = x.shape[2:]
        feat_size = self.feat_size
        if feat_size is not None:
            _assert(feat_size[0] == H, f'Map height {H} is not the {feat_size[0]} that this layer was built for.')
            _assert(feat_size[1] == W, f'Map width {W} is not the {feat_size[1]} that this layer was built for.')
        gathered = self._pool(x) if self.gather is None else self.gather(x)
        gate = self.gate(self.mlp(gathered))
        if self.extent > 1:
            gate = F.interpolate(gate, size=(H, W))
        return x * gate
