"""ResNet V2: residual blocks with norm and activation before each convolution, so that the skip stays untouched.

Papers:
    Identity Mappings in Deep Residual Networks, He et al., 2016, arXiv:1603.05027 (block: figure 4e)
    Big Transfer, Kolesnikov et al., 2019, arXiv:1912.11370 (group norm and standardised convolutions: section 3)

Departures: stems and skips take the options of `resnet`; `preact=False` gives blocks in the order of the first ResNet.
Shapes: B images, C channels, H and W pixels; a tensor with no remark is (B, C, H, W).
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from timm.convert.resnetv2 import load_bit_weights
from timm.layers import (
    AvgPool2dSame,
    ClassifierHead,
    DropPath,
    GroupNormAct,
    LayerType,
    StdConv2d,
    calculate_drop_path_rates,
    create_pool2d,
    get_act_layer,
    get_norm_act_layer,
    make_divisible,
)
from timm.layers._device import Module, takes_device

from ._entrypoints import entrypoints
from ._manipulate import CheckpointedSequential
from ._model import ParamGroups
from ._staged import StagedModel

__all__ = ['ResNetV2']

Builder = Callable[..., nn.Module]
GROUP_NORM = partial(GroupNormAct, num_groups=32)


class DownsampleConv(Module):
    """Skip by a strided 1x1 convolution; the norm is left out where the input is normalised already."""

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        stride: int = 1,
        dilation: int = 1,
        first_dilation: int | None = None,
        preact: bool = True,
        conv_layer: Builder | None = None,
        norm_layer: Builder | None = None,
    ) -> None:
        super().__init__()
        conv, norm = _layers(conv_layer, norm_layer)
        self.conv = conv(in_chs, out_chs, 1, stride=stride)
        self.norm = nn.Identity() if preact else norm(out_chs, apply_act=False)

    def forward(self, x: Tensor) -> Tensor:
        """Project, then norm."""
        return self.norm(self.conv(x))


class DownsampleAvg(Module):
    """Skip by a 2x2 average pool and a 1x1 convolution (arXiv:1812.01187, section 4.2)."""

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        stride: int = 1,
        dilation: int = 1,
        first_dilation: int | None = None,
        preact: bool = True,
        conv_layer: Builder | None = None,
        norm_layer: Builder | None = None,
    ) -> None:
        super().__init__()
        conv, norm = _layers(conv_layer, norm_layer)
        self.pool: nn.Module = nn.Identity()
        if dilation > 1:
            self.pool = AvgPool2dSame(2, 1, ceil_mode=True, count_include_pad=False)
        elif stride > 1:
            self.pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
        self.conv = conv(in_chs, out_chs, 1, stride=1)
        self.norm = nn.Identity() if preact else norm(out_chs, apply_act=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pool, project, norm."""
        return self.norm(self.conv(self.pool(x)))


def _layers(conv_layer: Builder | None, norm_layer: Builder | None) -> tuple[Builder, Builder]:
    return conv_layer or StdConv2d, norm_layer or GROUP_NORM


class PreActBasic(Module):
    """Two 3x3 convolutions, norm and activation before each, and a skip: (B, in_chs, H, W) -> (B, out_chs, H/s, W/s).

    Args:
        bottle_ratio: Width between the convolutions over `out_chs`.
        first_dilation: Dilation of the first convolution, where it differs from `dilation`.
        norm_layer: Norm with activation.
        proj_layer: Makes the skip where the shape changes; None keeps it as it is.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int | None = None,
        bottle_ratio: float = 1.0,
        stride: int = 1,
        dilation: int = 1,
        first_dilation: int | None = None,
        groups: int = 1,
        act_layer: LayerType | None = None,
        conv_layer: Builder | None = None,
        norm_layer: Builder | None = None,
        proj_layer: Builder | None = None,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        conv, norm = _layers(conv_layer, norm_layer)
        first_dilation = first_dilation or dilation
        out_chs = out_chs or in_chs
        mid_chs = make_divisible(out_chs * bottle_ratio)
        self.downsample = None
        if proj_layer is not None and (stride != 1 or first_dilation != dilation or in_chs != out_chs):
            self.downsample = proj_layer(
                in_chs, out_chs, stride=stride, dilation=dilation, first_dilation=first_dilation,
                preact=True, conv_layer=conv, norm_layer=norm,
            )  # fmt: skip
        self.norm1 = norm(in_chs)
        self.conv1 = conv(in_chs, mid_chs, 3, stride=stride, dilation=first_dilation, groups=groups)
        self.norm2 = norm(mid_chs)
        self.conv2: Any = conv(mid_chs, out_chs, 3, dilation=dilation, groups=groups)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate > 0 else nn.Identity()

    def zero_init_last(self) -> None:
        """Start as the identity: the last convolution is 0."""
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Residual branch plus skip."""
        active = self.norm1(x)
        skip = x if self.downsample is None else self.downsample(active)
        x = self.conv1(active)
        x = self.conv2(self.norm2(x))
        return self.drop_path(x) + skip


class PreActBottleneck(Module):
    """1x1, 3x3, 1x1 convolutions, norm and activation before each, and a skip (He et al. 2016, figure 4e).

    Shape: (B, in_chs, H, W) -> (B, out_chs, H/s, W/s). The arguments are those of `PreActBasic`.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int | None = None,
        bottle_ratio: float = 0.25,
        stride: int = 1,
        dilation: int = 1,
        first_dilation: int | None = None,
        groups: int = 1,
        act_layer: LayerType | None = None,
        conv_layer: Builder | None = None,
        norm_layer: Builder | None = None,
        proj_layer: Builder | None = None,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        conv, norm = _layers(conv_layer, norm_layer)
        first_dilation = first_dilation or dilation
        out_chs = out_chs or in_chs
        mid_chs = make_divisible(out_chs * bottle_ratio)
        self.downsample = None
        if proj_layer is not None:
            self.downsample = proj_layer(
                in_chs, out_chs, stride=stride, dilation=dilation, first_dilation=first_dilation,
                preact=True, conv_layer=conv, norm_layer=norm,
            )  # fmt: skip
        self.norm1 = norm(in_chs)
        self.conv1 = conv(in_chs, mid_chs, 1)
        self.norm2 = norm(mid_chs)
        self.conv2 = conv(mid_chs, mid_chs, 3, stride=stride, dilation=first_dilation, groups=groups)
        self.norm3 = norm(mid_chs)
        self.conv3: Any = conv(mid_chs, out_chs, 1)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate > 0 else nn.Identity()

    def zero_init_last(self) -> None:
        """Start as the identity: the last convolution is 0."""
        nn.init.zeros_(self.conv3.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Residual branch plus skip."""
        active = self.norm1(x)
        skip = x if self.downsample is None else self.downsample(active)
        x = self.conv1(active)
        x = self.conv2(self.norm2(x))
        x = self.conv3(self.norm3(x))
        return self.drop_path(x) + skip


class Bottleneck(Module):
    """`PreActBottleneck` in the order of the first ResNet: convolution, norm, activation.

    Shape: (B, in_chs, H, W) -> (B, out_chs, H/s, W/s). The arguments are those of `PreActBasic`.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int | None = None,
        bottle_ratio: float = 0.25,
        stride: int = 1,
        dilation: int = 1,
        first_dilation: int | None = None,
        groups: int = 1,
        act_layer: LayerType | None = None,
        conv_layer: Builder | None = None,
        norm_layer: Builder | None = None,
        proj_layer: Builder | None = None,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        conv, norm = _layers(conv_layer, norm_layer)
        act: Any = get_act_layer(act_layer or nn.ReLU)
        first_dilation = first_dilation or dilation
        out_chs = out_chs or in_chs
        mid_chs = make_divisible(out_chs * bottle_ratio)
        self.downsample = None
        if proj_layer is not None:
            self.downsample = proj_layer(
                in_chs, out_chs, stride=stride, dilation=dilation, first_dilation=first_dilation,
                preact=False, conv_layer=conv, norm_layer=norm,
            )  # fmt: skip
        self.conv1 = conv(in_chs, mid_chs, 1)
        self.norm1 = norm(mid_chs)
        self.conv2 = conv(mid_chs, mid_chs, 3, stride=stride, dilation=first_dilation, groups=groups)
        self.norm2 = norm(mid_chs)
        self.conv3 = conv(mid_chs, out_chs, 1)
        self.norm3: Any = norm(out_chs, apply_act=False)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate > 0 else nn.Identity()
        self.act3 = act(inplace=True)

    def zero_init_last(self) -> None:
        """Start as the identity: the last norm scales by 0."""
        if getattr(self.norm3, 'weight', None) is not None:
            nn.init.zeros_(self.norm3.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Residual branch plus skip."""
        skip = x if self.downsample is None else self.downsample(x)
        x = self.norm1(self.conv1(x))
        x = self.norm2(self.conv2(x))
        x = self.norm3(self.conv3(x))
        return self.act3(self.drop_path(x) + skip)


class ResNetStage(Module):
    """Blocks at one resolution: (B, in_chs, H, W) -> (B, out_chs, H/s, W/s).

    Args:
        avg_down: Average pool on the first skip.
        block_dpr: Drop-path rate of each block.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        stride: int,
        dilation: int,
        depth: int,
        bottle_ratio: float = 0.25,
        groups: int = 1,
        avg_down: bool = False,
        block_dpr: Sequence[float] | None = None,
        block_fn: Builder = PreActBottleneck,
        act_layer: LayerType | None = None,
        conv_layer: Builder | None = None,
        norm_layer: Builder | None = None,
        **block_kwargs: Any,
    ) -> None:
        super().__init__()
        rates = block_dpr or [0.0] * depth
        first_dilation = 1 if dilation in (1, 2) else 2
        self.blocks = CheckpointedSequential(
            *(
                block_fn(
                    in_chs if i == 0 else out_chs,
                    out_chs,
                    stride=stride if i == 0 else 1,
                    dilation=dilation,
                    bottle_ratio=bottle_ratio,
                    groups=groups,
                    first_dilation=first_dilation if i == 0 else dilation,
                    proj_layer=(DownsampleAvg if avg_down else DownsampleConv) if i == 0 else None,
                    drop_path_rate=rates[i],
                    act_layer=act_layer,
                    conv_layer=conv_layer,
                    norm_layer=norm_layer,
                    **block_kwargs,
                )
                for i in range(depth)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """One block after the other."""
        return self.blocks(x)


def is_stem_deep(stem_type: str) -> bool:
    """Whether this stem has three 3x3 convolutions instead of one 7x7."""
    return 'deep' in stem_type or 'tiered' in stem_type


@takes_device
def create_resnetv2_stem(
    in_chs: int,
    out_chs: int = 64,
    stem_type: str = '',
    preact: bool = True,
    conv_layer: Builder = StdConv2d,
    norm_layer: Builder = GROUP_NORM,
) -> nn.Sequential:
    """Convolution(s) and a pool, stride 4: (B, in_chs, H, W) -> (B, out_chs, H/4, W/4).

    Args:
        stem_type: '' or 'deep' or 'tiered' convolutions, '_fixed' or '_same' (or alone 'fixed', 'same') for how the
            pool is padded: with zeros as Big Transfer, or as TensorFlow.

    Raises:
        ValueError: `stem_type` is unknown.
    """
    known = ('', 'fixed', 'same', 'deep', 'deep_fixed', 'deep_same', 'tiered')
    if stem_type not in known:
        raise ValueError(f'stem_type must be one of {known}, got {stem_type!r}')
    stem: OrderedDict[str, nn.Module] = OrderedDict()
    if is_stem_deep(stem_type):
        mid_chs = out_chs // 2
        first_chs = 3 * out_chs // 8 if 'tiered' in stem_type else mid_chs
        stem['conv1'] = conv_layer(in_chs, first_chs, kernel_size=3, stride=2)
        stem['norm1'] = norm_layer(first_chs)
        stem['conv2'] = conv_layer(first_chs, mid_chs, kernel_size=3, stride=1)
        stem['norm2'] = norm_layer(mid_chs)
        stem['conv3'] = conv_layer(mid_chs, out_chs, kernel_size=3, stride=1)
    else:
        stem['conv'] = conv_layer(in_chs, out_chs, kernel_size=7, stride=2)
    if not preact:
        stem['norm'] = norm_layer(out_chs)
    if 'fixed' in stem_type:
        stem['pad'] = nn.ConstantPad2d(1, 0.0)
        stem['pool'] = nn.MaxPool2d(kernel_size=3, stride=2, padding=0)
    elif 'same' in stem_type:
        stem['pool'] = create_pool2d('max', kernel_size=3, stride=2, padding='same')
    else:
        stem['pool'] = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
    return nn.Sequential(stem)


class ResNetV2(StagedModel):
    """The network: (B, in_chans, H, W) -> (B, num_classes).

    Args:
        layers: Blocks in each stage.
        channels: Width of each stage, before `width_factor`.
        output_stride: Stride of the last map against the image.
        stem_type: See `create_resnetv2_stem`.
        preact: Norm and activation before each convolution.
        basic: Blocks of two 3x3 convolutions.
        bottle_ratio: Width inside a block over its output.
        norm_layer: Norm with activation.
        zero_init_last: Start every block as the identity.

    Raises:
        ValueError: Basic blocks are asked for without `preact`.
    """

    path = ('stem.*', 'stages.*', 'norm')
    final_norm = 'norm'
    groups = ParamGroups(
        stem=r'^stem', blocks=[(r'^stages\.(\d+)\.blocks\.(\d+)', None), (r'^norm', (99999,))], coarse=r'^stages\.(\d+)'
    )

    def __init__(
        self,
        layers: Sequence[int],
        channels: Sequence[int] = (256, 512, 1024, 2048),
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = 'avg',
        output_stride: int = 32,
        width_factor: int = 1,
        stem_chs: int = 64,
        stem_type: str = '',
        avg_down: bool = False,
        preact: bool = True,
        basic: bool = False,
        bottle_ratio: float = 0.25,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = GROUP_NORM,
        conv_layer: Builder = StdConv2d,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        zero_init_last: bool = False,
    ) -> None:
        super().__init__()
        if basic and not preact:
            raise ValueError('basic blocks have norm and activation first: basic=True needs preact=True')
        self.drop_rate = drop_rate
        norm: Any = get_norm_act_layer(norm_layer, act_layer=act_layer)
        stem_chs = make_divisible(stem_chs * width_factor)
        self.stem = create_resnetv2_stem(in_chans, stem_chs, stem_type, preact, conv_layer=conv_layer, norm_layer=norm)
        tap = 'stem.norm' if not preact else 'stem.conv3' if is_stem_deep(stem_type) else 'stem.conv'
        self.feature_info = [{'num_chs': stem_chs, 'reduction': 2, 'module': tap}]

        block_fn: Builder = PreActBasic if basic else PreActBottleneck if preact else Bottleneck
        rates = calculate_drop_path_rates(drop_path_rate, layers, stagewise=True)
        stages: list[nn.Module] = []
        in_chs = stem_chs
        net_stride, dilation = 4, 1
        for i, (depth, width, stage_rates) in enumerate(zip(layers, channels, rates, strict=False)):
            out_chs = make_divisible(width * width_factor)
            stride = 1 if i == 0 else 2
            if net_stride >= output_stride:
                dilation *= stride
                stride = 1
            net_stride *= stride
            stages.append(
                ResNetStage(
                    in_chs,
                    out_chs,
                    stride=stride,
                    dilation=dilation,
                    depth=depth,
                    bottle_ratio=bottle_ratio,
                    avg_down=avg_down,
                    act_layer=act_layer,
                    conv_layer=conv_layer,
                    norm_layer=norm,
                    block_dpr=stage_rates,
                    block_fn=block_fn,
                )
            )
            in_chs = out_chs
            self.feature_info.append({'num_chs': in_chs, 'reduction': net_stride, 'module': f'stages.{i}'})
        self.stages = nn.Sequential(*stages)
        self.norm = norm(in_chs) if preact else nn.Identity()
        self.head = ClassifierHead(in_chs, num_classes, pool_type=global_pool, drop_rate=drop_rate, use_conv=True)
        self.describe(num_classes, in_chans, in_chs, self.head.num_features)
        self.init_weights(zero_init_last=zero_init_last)

    def init_weights(self, zero_init_last: bool = True) -> None:
        """He initialisation of convolutions (arXiv:1502.01852, equation 14), a small classifier."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
            elif zero_init_last and module is not self and hasattr(module, 'zero_init_last'):
                module.zero_init_last()  # pyright: ignore[reportCallIssue]
        classifier: Any = self.head.fc
        if not isinstance(classifier, nn.Identity):
            nn.init.normal_(classifier.weight, std=0.01)
            nn.init.zeros_(classifier.bias)

    def load_pretrained(self, checkpoint_path: str, prefix: str = 'resnet/') -> None:
        """Read a Big Transfer checkpoint (.npz)."""
        load_bit_weights(self, checkpoint_path, prefix)

    def forward_features(self, x: Tensor) -> Tensor:
        """Un-pooled features: (B, in_chans, H, W) -> (B, num_features, H/32, W/32)."""
        x = self.stem(x)
        x = self.stages(x)
        return self.norm(x)


__getattr__ = entrypoints(__name__)
