"""ResNet and its direct kin: four stages of residual blocks behind a strided stem.

Papers:
    Deep Residual Learning for Image Recognition, He et al., 2015, arXiv:1512.03385 (blocks: figure 5, table 1)
    Aggregated Residual Transformations for Deep Neural Networks, Xie et al., 2016, arXiv:1611.05431 (`cardinality`)
    Wide Residual Networks, Zagoruyko and Komodakis, 2016, arXiv:1605.07146 (`base_width`)
    Squeeze-and-Excitation Networks, Hu et al., 2017, arXiv:1709.01507 (`block_args=dict(attn_layer='se')`)
    Bag of Tricks for Image Classification, He et al., 2018, arXiv:1812.01187 (section 4: `stem_type`, `avg_down`)
    Making Convolutional Networks Shift-Invariant Again, Zhang, 2019, arXiv:1904.11486 (`aa_layer`)
    Revisiting ResNets, Bello et al., 2021, arXiv:2103.07579 (`replace_stem_pool`)

Departures: the stride of a bottleneck is that of its 3x3 convolution, not of its first 1x1 ("ResNet-B").
Shapes: B images, C channels, H and W pixels; a tensor with no remark is (B, C, H, W).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from timm.layers import (
    AvgPool2dSame,
    DropBlock2d,
    DropPath,
    LayerType,
    calculate_drop_path_rates,
    create_aa,
    create_attn,
    create_classifier,
    get_act_layer,
    get_norm_layer,
)
from timm.layers._device import Module, takes_device

from ._entrypoints import entrypoints
from ._manipulate import CheckpointedSequential
from ._model import ParamGroups
from ._staged import PooledHead

__all__ = ['BasicBlock', 'Bottleneck', 'ResNet']

AttnType = str | type[nn.Module] | Callable[..., nn.Module] | bool | None


def get_padding(kernel_size: int, stride: int, dilation: int = 1) -> int:
    """Padding that keeps the size at stride 1, symmetric."""
    return ((stride - 1) + dilation * (kernel_size - 1)) // 2


class BasicBlock(Module):
    """Two 3x3 convolutions and a skip (ResNet, figure 5 left): (B, inplanes, H, W) -> (B, planes, H/s, W/s).

    Args:
        planes: Base width of the stage; the block's output has `planes * expansion` channels.
        downsample: Brings the skip to the block's output shape.
        reduce_first: Divides the width between the two convolutions.
        first_dilation: Dilation of the first convolution, where it differs from `dilation`.
        attn_layer: Channel attention after the last norm.
        aa_layer: Low-pass filter that takes over the stride.
        drop_block: Makes a layer that drops patches of the map.
        drop_path: Skips the block for some images in training.

    Raises:
        ValueError: `cardinality` or `base_width` is set: this block has no grouped form.
    """

    expansion: ClassVar[int] = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        cardinality: int = 1,
        base_width: int = 64,
        reduce_first: int = 1,
        dilation: int = 1,
        first_dilation: int | None = None,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = nn.BatchNorm2d,
        attn_layer: AttnType = None,
        aa_layer: LayerType | None = None,
        drop_block: Callable[[], nn.Module] | None = None,
        drop_path: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if cardinality != 1 or base_width != 64:
            raise ValueError(
                f'BasicBlock has no groups: cardinality must be 1 and base_width 64, got {cardinality} and {base_width}'
            )
        norm: Any = get_norm_layer(norm_layer)
        act: Any = get_act_layer(act_layer)
        first_dilation = first_dilation or dilation
        width = planes // reduce_first
        filtered = aa_layer is not None and (stride == 2 or first_dilation != dilation)

        self.conv1 = _conv3x3(inplanes, width, 1 if filtered else stride, first_dilation)
        self.bn1 = norm(width)
        self.drop_block = drop_block() if drop_block is not None else nn.Identity()
        self.act1 = act(inplace=True)
        self.aa: Any = create_aa(aa_layer, channels=width, stride=stride, enable=filtered)
        self.conv2 = _conv3x3(width, planes * self.expansion, 1, dilation)
        self.bn2 = norm(planes * self.expansion)
        self.se: Any = create_attn(attn_layer, planes * self.expansion)
        self.act2 = act(inplace=True)
        self.downsample: Any = downsample
        self.stride = stride
        self.dilation = dilation
        self.drop_path = drop_path

    def zero_init_last(self) -> None:
        """Start as the identity: the last norm scales by 0."""
        if getattr(self.bn2, 'weight', None) is not None:
            nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Residual branch plus skip."""
        skip = x
        x = self.aa(self.act1(self.drop_block(self.bn1(self.conv1(x)))))
        x = self.bn2(self.conv2(x))
        if self.se is not None:
            x = self.se(x)
        if self.drop_path is not None:
            x = self.drop_path(x)
        if self.downsample is not None:
            skip = self.downsample(skip)
        x += skip
        return self.act2(x)


class Bottleneck(Module):
    """1x1, 3x3, 1x1 convolutions and a skip (ResNet, figure 5 right; ResNeXt, figure 3c): (B, inplanes, H, W) ->
    (B, 4 * planes, H/s, W/s).

    Args:
        cardinality: Groups of the 3x3 convolution.
        base_width: Width of one group at 64 planes.

    The other arguments are those of `BasicBlock`.
    """

    expansion: ClassVar[int] = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        cardinality: int = 1,
        base_width: int = 64,
        reduce_first: int = 1,
        dilation: int = 1,
        first_dilation: int | None = None,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = nn.BatchNorm2d,
        attn_layer: AttnType = None,
        aa_layer: LayerType | None = None,
        drop_block: Callable[[], nn.Module] | None = None,
        drop_path: nn.Module | None = None,
    ) -> None:
        super().__init__()
        norm: Any = get_norm_layer(norm_layer)
        act: Any = get_act_layer(act_layer)
        first_dilation = first_dilation or dilation
        width = math.floor(planes * base_width / 64) * cardinality
        first_width = width // reduce_first
        out_chs = planes * self.expansion
        filtered = aa_layer is not None and (stride == 2 or first_dilation != dilation)

        self.conv1 = nn.Conv2d(inplanes, first_width, kernel_size=1, bias=False)
        self.bn1 = norm(first_width)
        self.act1 = act(inplace=True)
        self.conv2 = _conv3x3(first_width, width, 1 if filtered else stride, first_dilation, cardinality)
        self.bn2 = norm(width)
        self.drop_block = drop_block() if drop_block is not None else nn.Identity()
        self.act2 = act(inplace=True)
        self.aa: Any = create_aa(aa_layer, channels=width, stride=stride, enable=filtered)
        self.conv3 = nn.Conv2d(width, out_chs, kernel_size=1, bias=False)
        self.bn3 = norm(out_chs)
        self.se: Any = create_attn(attn_layer, out_chs)
        self.act3 = act(inplace=True)
        self.downsample: Any = downsample
        self.stride = stride
        self.dilation = dilation
        self.drop_path = drop_path

    def zero_init_last(self) -> None:
        """Start as the identity: the last norm scales by 0."""
        if getattr(self.bn3, 'weight', None) is not None:
            nn.init.zeros_(self.bn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Residual branch plus skip."""
        skip = x
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.aa(self.act2(self.drop_block(self.bn2(self.conv2(x)))))
        x = self.bn3(self.conv3(x))
        if self.se is not None:
            x = self.se(x)
        if self.drop_path is not None:
            x = self.drop_path(x)
        if self.downsample is not None:
            skip = self.downsample(skip)
        x += skip
        return self.act3(x)


def _conv3x3(in_chs: int, out_chs: int, stride: int = 1, dilation: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        in_chs, out_chs, kernel_size=3, stride=stride, padding=dilation, dilation=dilation, groups=groups, bias=False
    )


@takes_device
def downsample_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    dilation: int = 1,
    first_dilation: int | None = None,
    norm_layer: LayerType | None = None,
) -> nn.Module:
    """Skip by a strided convolution and a norm (ResNet, section 3.3, option B)."""
    if stride == 1 and dilation == 1:
        kernel_size = 1
    first_dilation = (first_dilation or dilation) if kernel_size > 1 else 1
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=get_padding(kernel_size, stride, first_dilation),
        dilation=first_dilation,
        bias=False,
    )
    norm: Any = get_norm_layer(norm_layer or nn.BatchNorm2d)
    return nn.Sequential(conv, norm(out_channels))


@takes_device
def downsample_avg(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    dilation: int = 1,
    first_dilation: int | None = None,
    norm_layer: LayerType | None = None,
) -> nn.Module:
    """Skip by a 2x2 average pool, a 1x1 convolution and a norm (Bag of Tricks, section 4.2, "ResNet-D")."""
    del kernel_size, first_dilation  # same call as downsample_conv
    pool: nn.Module = nn.Identity()
    if dilation > 1:
        pool = AvgPool2dSame(2, 1, ceil_mode=True, count_include_pad=False)
    elif stride > 1:
        pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
    norm: Any = get_norm_layer(norm_layer or nn.BatchNorm2d)
    return nn.Sequential(pool, nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False), norm(out_channels))


def drop_blocks(drop_prob: float = 0.0) -> list[Callable[[], nn.Module] | None]:
    """DropBlock for the last two stages at the map sizes of its paper (arXiv:1810.12890, section 4.1)."""
    if not drop_prob:
        return [None] * 4
    return [
        None,
        None,
        partial(DropBlock2d, drop_prob=drop_prob, block_size=5, gamma_scale=0.25),
        partial(DropBlock2d, drop_prob=drop_prob, block_size=3, gamma_scale=1.0),
    ]


@takes_device
def make_blocks(
    block_fns: Sequence[type[BasicBlock] | type[Bottleneck]],
    channels: Sequence[int],
    block_repeats: Sequence[int],
    inplanes: int,
    reduce_first: int = 1,
    output_stride: int = 32,
    down_kernel_size: int = 1,
    avg_down: bool = False,
    drop_block_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    **kwargs: Any,
) -> tuple[list[tuple[str, nn.Module]], list[dict[str, Any]]]:
    """The four stages, each (name, module), and a tap for each.

    A stage that would go beyond `output_stride` keeps its resolution and dilates its convolutions instead (Dilated
    Residual Networks, arXiv:1705.09914).

    Args:
        kwargs: Passed on to every block.
    """
    stages: list[tuple[str, nn.Module]] = []
    taps: list[dict[str, Any]] = []
    rates = calculate_drop_path_rates(drop_path_rate, block_repeats, stagewise=True)
    net_stride = 4
    dilation = first_dilation = 1
    plan = zip(block_fns, channels, block_repeats, drop_blocks(drop_block_rate), rates, strict=True)
    for i, (block_fn, planes, depth, drop_block, stage_rates) in enumerate(plan):
        stride = 1 if i == 0 else 2
        if net_stride >= output_stride:
            dilation *= stride
            stride = 1
        else:
            net_stride *= stride
        out_chs = planes * block_fn.expansion
        blocks: list[nn.Module] = []
        for j in range(depth):
            downsample = None
            if j == 0 and (stride != 1 or inplanes != out_chs):
                downsample = (downsample_avg if avg_down else downsample_conv)(
                    inplanes,
                    out_chs,
                    kernel_size=down_kernel_size,
                    stride=stride,
                    dilation=dilation,
                    first_dilation=first_dilation,
                    norm_layer=kwargs.get('norm_layer'),
                )
            block = block_fn(
                inplanes,
                planes,
                stride if j == 0 else 1,
                downsample,
                reduce_first=reduce_first,
                dilation=dilation,
                first_dilation=first_dilation,
                drop_block=drop_block,
                drop_path=DropPath(stage_rates[j]) if stage_rates[j] > 0.0 else None,
                **kwargs,
            )
            first_dilation = dilation
            inplanes = out_chs
            blocks.append(block)
        name = f'layer{i + 1}'  # `layerN` is the published name of stage N
        stages.append((name, CheckpointedSequential(*blocks)))
        taps.append({'num_chs': inplanes, 'reduction': net_stride, 'module': name})
    return stages, taps


class ResNet(PooledHead):
    """The network: (B, in_chans, H, W) -> (B, num_classes).

    Args:
        block: BasicBlock, Bottleneck or kin; one for all stages or one each.
        layers: Blocks in each stage.
        output_stride: Stride of the last map against the image: 8, 16 or 32.
        stem_type: '' one 7x7 convolution, 'deep' three 3x3 ones, 'deep_tiered' the same with growing width.
        stem_width: Width of a deep stem, whose output is twice as wide.
        replace_stem_pool: A strided convolution in place of the max pool.
        block_reduce_first: Divides the width of each block's first convolution.
        down_kernel_size: Kernel of the convolution on the skip.
        avg_down: Average pool before that convolution, which then has no stride.
        zero_init_last: Start every block as the identity (arXiv:1706.02677, section 5.1).
        block_args: Further arguments of every block.

    Raises:
        AssertionError: `output_stride` is another number.
        ValueError: `stem_type` is unknown.
    """

    path = ('conv1', 'bn1', 'act1', 'maxpool', 'layer1', 'layer2', 'layer3', 'layer4')
    groups = ParamGroups(stem=r'^conv1|bn1|maxpool', blocks=r'^layer(\d+)\.(\d+)', coarse=r'^layer(\d+)')

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck] | Sequence[type[BasicBlock] | type[Bottleneck]],
        layers: Sequence[int],
        num_classes: int = 1000,
        in_chans: int = 3,
        output_stride: int = 32,
        global_pool: str = 'avg',
        cardinality: int = 1,
        base_width: int = 64,
        stem_width: int = 64,
        stem_type: str = '',
        replace_stem_pool: bool = False,
        block_reduce_first: int = 1,
        down_kernel_size: int = 1,
        avg_down: bool = False,
        channels: Sequence[int] = (64, 128, 256, 512),
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = nn.BatchNorm2d,
        aa_layer: LayerType | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        drop_block_rate: float = 0.0,
        zero_init_last: bool = True,
        block_args: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        assert output_stride in (8, 16, 32), f'output_stride must be 8, 16 or 32, got {output_stride}'
        self.drop_rate = drop_rate
        act: Any = get_act_layer(act_layer)
        norm: Any = get_norm_layer(norm_layer)

        self.conv1, stem_chs = _stem(stem_type, in_chans, stem_width, norm, act)
        self.bn1 = norm(stem_chs)
        self.act1 = act(inplace=True)
        self.maxpool = _stem_pool(stem_chs, replace_stem_pool, aa_layer, norm, act)
        stages, taps = make_blocks(
            block if isinstance(block, (list, tuple)) else [block] * len(channels),
            channels,
            layers,
            stem_chs,
            reduce_first=block_reduce_first,
            output_stride=output_stride,
            down_kernel_size=down_kernel_size,
            avg_down=avg_down,
            drop_block_rate=drop_block_rate,
            drop_path_rate=drop_path_rate,
            cardinality=cardinality,
            base_width=base_width,
            act_layer=act_layer,
            norm_layer=norm_layer,
            aa_layer=aa_layer,
            **(block_args or {}),
        )
        self.layer1, self.layer2, self.layer3, self.layer4 = (stage for _, stage in stages)
        self.feature_info = [{'num_chs': stem_chs, 'reduction': 2, 'module': 'act1'}, *taps]
        num_features = taps[-1]['num_chs']
        self.global_pool, self.fc = create_classifier(num_features, num_classes, pool_type=global_pool)
        self.describe(num_classes, in_chans, num_features, num_features * self.global_pool.feat_mult())
        self.init_weights(zero_init_last=zero_init_last)

    def init_weights(self, zero_init_last: bool = True) -> None:
        """He initialisation of convolutions (arXiv:1502.01852, equation 14)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
        if zero_init_last:
            for module in self.modules():
                if module is not self and hasattr(module, 'zero_init_last'):
                    module.zero_init_last()  # pyright: ignore[reportCallIssue]

    def get_classifier(self, name_only: bool = False) -> nn.Module | str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The module that gives the logits, or its name."""
        return 'fc' if name_only else self.fc

    def forward_features(self, x: Tensor) -> Tensor:
        """Un-pooled features: (B, in_chans, H, W) -> (B, num_features, H/32, W/32)."""
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.act1(x)
        x = self.maxpool(x)
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        x = self.layer4(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool, drop and classify; with `pre_logits` stop before the classifier."""
        x = self.global_pool(x)
        if self.drop_rate:
            x = F.dropout(x, p=float(self.drop_rate), training=self.training)
        return x if pre_logits else self.fc(x)


def _stem(
    stem_type: str, in_chans: int, width: int, norm: Callable[..., nn.Module], act: Callable[..., nn.Module]
) -> tuple[nn.Module, int]:
    """The convolution(s) before the first norm, stride 2, and the number of their channels."""
    if not stem_type:
        return nn.Conv2d(in_chans, 64, kernel_size=7, stride=2, padding=3, bias=False), 64
    if stem_type not in ('deep', 'deep_tiered'):
        raise ValueError(f"stem_type must be '', 'deep' or 'deep_tiered', got {stem_type!r}")
    first = 3 * (width // 4) if stem_type == 'deep_tiered' else width
    convs = nn.Sequential(
        _conv3x3(in_chans, first, 2), norm(first), act(inplace=True),
        _conv3x3(first, width), norm(width), act(inplace=True),
        _conv3x3(width, width * 2),
    )  # fmt: skip
    return convs, width * 2


def _stem_pool(
    chs: int, replace: bool, aa_layer: Any, norm: Callable[..., nn.Module], act: Callable[..., nn.Module]
) -> nn.Module:
    """What halves the map between stem and first stage."""
    if replace:
        parts = [
            _conv3x3(chs, chs, 1 if aa_layer else 2),
            create_aa(aa_layer, channels=chs, stride=2, noop=None),
            norm(chs),
            act(inplace=True),
        ]
        return nn.Sequential(*(part for part in parts if part is not None))
    if aa_layer is None:
        return nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    if aa_layer is nn.AvgPool2d:
        return nn.AvgPool2d(2)
    blur: Any = create_aa(aa_layer, channels=chs, stride=2)
    return nn.Sequential(nn.MaxPool2d(kernel_size=3, stride=1, padding=1), blur)


__getattr__ = entrypoints(__name__)
