"""The blocks of EfficientNet, the MobileNets and their kin.

Papers:
    MobileNets, Howard et al., 2017, arXiv:1704.04861 (`DepthwiseSeparableConv`: section 3.1)
    MobileNetV2: Inverted Residuals and Linear Bottlenecks, Sandler et al., 2018, arXiv:1801.04381 (`InvertedResidual`)
    Squeeze-and-Excitation Networks, Hu et al., 2017, arXiv:1709.01507 (`SqueezeExcite`: equations 2 to 4)
    CondConv, Yang et al., 2019, arXiv:1904.04971 (`CondConvResidual`)
    Accelerator-aware Neural Network Design using AutoML, Gupta and Akin, 2020, arXiv:2003.02838 (`EdgeResidual`)
    Searching for Fast Model Families on Datacenter Accelerators, Li et al., 2021, arXiv:2102.05610 (`s2d`)
    MobileNetV4, Qin et al., 2024, arXiv:2404.10518 (`UniversalInvertedResidual`, `MobileAttention`)

What the blocks have in common:
    Shape: (B, in_chs, H, W) -> (B, out_chs, H / stride, W / stride)
    dw_kernel_size, exp_kernel_size, pw_kernel_size: Kernels of the depthwise, expanding and projecting convolution; a
        list gives groups of channels one each (MixNet, arXiv:1907.09595).
    exp_ratio: Width in the middle over `in_chs`.
    group_size: Channels in a group of the spatial convolution: 1 depthwise, 0 or None dense.
    pad_type: '' symmetric, 'same' as TensorFlow pads, 'valid' none.
    noskip: Leave out the skip, which is there where stride and width allow it.
    aa_layer: Low-pass filter that takes over the stride.
    se_layer: Builds channel attention from a width and an `act_layer`; None for none.
    drop_path_rate: Chance that an image skips the block in training.
State dicts name the convolutions by role: `conv_pw` and `conv_exp` expand, `conv_pwl` projects without activation.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from timm.layers import (
    Attention2d,
    ConvNormAct,
    DropPath,
    LayerScale2d,
    LayerType,
    MultiQueryAttention2d,
    create_aa,
    create_act_layer,
    create_conv2d,
    get_norm_act_layer,
    make_divisible,
    to_2tuple,
)
from timm.layers._device import Module

__all__ = [
    'CondConvResidual',
    'ConvBnAct',
    'DepthwiseSeparableConv',
    'EdgeResidual',
    'InvertedResidual',
    'MobileAttention',
    'SqueezeExcite',
    'UniversalInvertedResidual',
    'num_groups',
]

KernelSize = int | list[int]
SeLayer = Callable[..., nn.Module] | None


def num_groups(group_size: int | None, channels: int) -> int:
    """Groups of `group_size` channels among `channels`; 0 and None mean one group of all.

    Raises:
        ValueError: `group_size` does not divide `channels`.
    """
    if not group_size:
        return 1
    if channels % group_size:
        raise ValueError(f'group_size={group_size} does not divide {channels} channels.')
    return channels // group_size


class SqueezeExcite(Module):
    """x * gate(expand(act(reduce(mean of x)))) (SE, equations 2 to 4), its width a share of the block's input.

    Shape: (B, in_chs, H, W) -> the same

    Args:
        rd_ratio: Width in the middle over `in_chs`.
        rd_channels: That width, where it is not a ratio.
        act_layer: Activation in the middle, as the block has it.
        force_act_layer: Activation in the middle, whatever the block has.
        rd_round_fn: Turns the product of ratio and width into a number of channels; rounds to an integer if None.
    """

    def __init__(
        self,
        in_chs: int,
        rd_ratio: float = 0.25,
        rd_channels: int | None = None,
        act_layer: LayerType = nn.ReLU,
        gate_layer: LayerType = nn.Sigmoid,
        force_act_layer: LayerType | None = None,
        rd_round_fn: Callable[[float], int] | None = None,
    ) -> None:
        super().__init__()
        rd_channels = rd_channels or (rd_round_fn or round)(in_chs * rd_ratio)
        self.conv_reduce = nn.Conv2d(in_chs, rd_channels, 1, bias=True)
        self.act1 = create_act_layer(force_act_layer or act_layer, inplace=True)
        self.conv_expand = nn.Conv2d(rd_channels, in_chs, 1, bias=True)
        self.gate = create_act_layer(gate_layer)

    def forward(self, x: Tensor) -> Tensor:
        """Channels scaled by what the means of all say."""
        gate = x.mean((2, 3), keepdim=True)
        gate = self.conv_expand(self.act1(self.conv_reduce(gate)))
        return x * self.gate(gate)


def _spatial(
    in_chs: int,
    out_chs: int,
    kernel_size: KernelSize,
    stride: int,
    dilation: int,
    groups: int,
    padding: str,
    **kwargs: Any,
) -> Any:
    """The convolution of a block that looks at neighbours; one of stride 0 leaves its stride to a low-pass filter."""
    kwargs.update(stride=stride or 1, dilation=dilation, groups=groups, padding=padding)
    return create_conv2d(in_chs, out_chs, kernel_size, **kwargs)


def _se(se_layer: SeLayer, chs: int, act_layer: LayerType) -> nn.Module:
    return nn.Identity() if se_layer is None else se_layer(chs, act_layer=act_layer)


def _layer_scale(chs: int, init_value: float | None) -> nn.Module:
    return nn.Identity() if init_value is None else LayerScale2d(chs, init_value)


def _drop_path(rate: float) -> nn.Module:
    return DropPath(rate) if rate else nn.Identity()


class _Block(Module):
    """What feature pyramids ask of a block.

    Attributes:
        projection: Path of the convolution that ends the block, at whose entrance the map is widest.
    """

    projection: ClassVar[str] = 'conv_pwl'

    def feature_info(self, location: str) -> dict[str, Any]:
        """A tap at the widest map ('expansion') or at the output (anything else): module, hook type and channels."""
        conv: Any = self.get_submodule(self.projection)
        if location == 'expansion':
            return {'module': self.projection, 'hook_type': 'forward_pre', 'num_chs': conv.in_channels}
        return {'module': '', 'num_chs': conv.out_channels}


class ConvBnAct(_Block):
    """A convolution, norm and activation, with a skip if asked for.

    Args:
        skip: Add the input where stride and width allow it.
    """

    projection = 'conv'

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        kernel_size: KernelSize,
        stride: int = 1,
        dilation: int = 1,
        group_size: int = 0,
        pad_type: str = '',
        skip: bool = False,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = nn.BatchNorm2d,
        aa_layer: LayerType | None = None,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        filtered = aa_layer is not None and stride > 1
        self.has_skip = skip and stride == 1 and in_chs == out_chs
        groups = num_groups(group_size, in_chs)
        self.conv = _spatial(in_chs, out_chs, kernel_size, 0 if filtered else stride, dilation, groups, pad_type)
        self.bn1 = get_norm_act_layer(norm_layer, act_layer)(out_chs)
        self.aa: Any = create_aa(aa_layer, channels=out_chs, stride=stride, enable=filtered)
        self.drop_path = _drop_path(drop_path_rate)

    def feature_info(self, location: str) -> dict[str, Any]:
        """A tap before the low-pass filter ('expansion') or at the output (anything else)."""
        if location == 'expansion':
            return {'module': 'bn1', 'hook_type': 'forward', 'num_chs': self.conv.out_channels}
        return super().feature_info(location)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, and add the skip if there is one."""
        skip = x
        x = self.aa(self.bn1(self.conv(x)))
        if self.has_skip:
            x = self.drop_path(x) + skip
        return x


class _FoldingBlock(_Block):
    """A block that can begin by folding 2x2 pixels into channels."""

    def _fold(
        self, s2d: int, in_chs: int, kernel_size: KernelSize, pad_type: str, norm_act: Callable[..., nn.Module]
    ) -> tuple[int, KernelSize, str]:
        """Build the folding layers, and say with which width, depthwise kernel and padding the block goes on."""
        if s2d != 1:
            self.conv_s2d: Any = None
            self.bn_s2d: Any = None
            return in_chs, kernel_size, pad_type
        assert isinstance(kernel_size, int), 'blocks that fold pixels have one kernel size'
        self.conv_s2d = create_conv2d(in_chs, 4 * in_chs, kernel_size=2, stride=2, padding='same')
        self.bn_s2d = norm_act(4 * in_chs)
        kernel_size = (kernel_size + 1) // 2  # covers as much of the image as before
        return 4 * in_chs, kernel_size, 'same' if kernel_size == 2 else pad_type


class DepthwiseSeparableConv(_FoldingBlock):
    """A depthwise, then a pointwise convolution (MobileNets, figure 3), the latter linear unless `pw_act`.

    Args:
        pw_act: Have an activation at the end too.
        s2d: 1 folds 2x2 pixels into channels first; other values are for blocks of a network already folded.
    """

    projection = 'conv_pw'

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        dw_kernel_size: KernelSize = 3,
        stride: int = 1,
        dilation: int = 1,
        group_size: int = 1,
        pad_type: str = '',
        noskip: bool = False,
        pw_kernel_size: KernelSize = 1,
        pw_act: bool = False,
        s2d: int = 0,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = nn.BatchNorm2d,
        aa_layer: LayerType | None = None,
        se_layer: SeLayer = None,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        norm_act = get_norm_act_layer(norm_layer, act_layer)
        filtered = aa_layer is not None and stride > 1 and s2d != 1
        self.has_skip = stride == 1 and in_chs == out_chs and not noskip
        self.has_pw_act = pw_act
        chs, dw_kernel_size, dw_pad_type = self._fold(s2d, in_chs, dw_kernel_size, pad_type, norm_act)
        groups = num_groups(group_size, chs)
        self.conv_dw = _spatial(chs, chs, dw_kernel_size, 0 if filtered else stride, dilation, groups, dw_pad_type)
        self.bn1 = norm_act(chs)
        self.aa: Any = create_aa(aa_layer, channels=chs, stride=stride, enable=filtered)
        self.se = _se(se_layer, chs, act_layer)
        self.conv_pw = create_conv2d(chs, out_chs, pw_kernel_size, padding=pad_type)
        self.bn2 = norm_act(out_chs, apply_act=pw_act)
        self.drop_path = _drop_path(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Filter each channel, mix channels, and add the skip if there is one."""
        skip = x
        if self.conv_s2d is not None:
            x = self.bn_s2d(self.conv_s2d(x))
        x = self.se(self.aa(self.bn1(self.conv_dw(x))))
        x = self.bn2(self.conv_pw(x))
        if self.has_skip:
            x = self.drop_path(x) + skip
        return x


class InvertedResidual(_FoldingBlock):
    """Expand by a pointwise, filter by a depthwise, project by a linear pointwise convolution (MobileNetV2, table 1).

    Args:
        s2d: 1 folds 2x2 pixels into channels first; other values are for blocks of a network already folded.
        conv_kwargs: Further arguments of all three convolutions.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        dw_kernel_size: KernelSize = 3,
        stride: int = 1,
        dilation: int = 1,
        group_size: int = 1,
        pad_type: str = '',
        noskip: bool = False,
        exp_ratio: float = 1.0,
        exp_kernel_size: KernelSize = 1,
        pw_kernel_size: KernelSize = 1,
        s2d: int = 0,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = nn.BatchNorm2d,
        aa_layer: LayerType | None = None,
        se_layer: SeLayer = None,
        conv_kwargs: dict[str, Any] | None = None,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        norm_act = get_norm_act_layer(norm_layer, act_layer)
        conv_kwargs = conv_kwargs or {}
        filtered = aa_layer is not None and stride > 1 and s2d != 1
        self.has_skip = stride == 1 and in_chs == out_chs and not noskip
        chs, dw_kernel_size, dw_pad_type = self._fold(s2d, in_chs, dw_kernel_size, pad_type, norm_act)
        mid_chs = make_divisible(chs * exp_ratio)
        self.conv_pw = create_conv2d(chs, mid_chs, exp_kernel_size, padding=pad_type, **conv_kwargs)
        self.bn1 = norm_act(mid_chs)
        groups = num_groups(group_size, mid_chs)
        stride_dw = 0 if filtered else stride
        self.conv_dw = _spatial(
            mid_chs, mid_chs, dw_kernel_size, stride_dw, dilation, groups, dw_pad_type, **conv_kwargs
        )
        self.bn2 = norm_act(mid_chs)
        self.aa: Any = create_aa(aa_layer, channels=mid_chs, stride=stride, enable=filtered)
        self.se = _se(se_layer, mid_chs, act_layer)
        self.conv_pwl = create_conv2d(mid_chs, out_chs, pw_kernel_size, padding=pad_type, **conv_kwargs)
        self.bn3 = norm_act(out_chs, apply_act=False)
        self.drop_path = _drop_path(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Expand, filter, project, and add the skip if there is one."""
        skip = x
        if self.conv_s2d is not None:
            x = self.bn_s2d(self.conv_s2d(x))
        x = self.bn1(self.conv_pw(x))
        x = self.se(self.aa(self.bn2(self.conv_dw(x))))
        x = self.bn3(self.conv_pwl(x))
        if self.has_skip:
            x = self.drop_path(x) + skip
        return x


class CondConvResidual(InvertedResidual):
    """An inverted residual whose kernels are mixed per image from experts (CondConv, equation 1).

    Args:
        num_experts: Kernels of each convolution to mix.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        dw_kernel_size: KernelSize = 3,
        stride: int = 1,
        dilation: int = 1,
        group_size: int = 1,
        pad_type: str = '',
        noskip: bool = False,
        exp_ratio: float = 1.0,
        exp_kernel_size: KernelSize = 1,
        pw_kernel_size: KernelSize = 1,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = nn.BatchNorm2d,
        aa_layer: LayerType | None = None,
        se_layer: SeLayer = None,
        num_experts: int = 0,
        drop_path_rate: float = 0.0,
    ) -> None:
        shape = (in_chs, out_chs, dw_kernel_size, stride, dilation, group_size, pad_type, noskip)
        widths = (exp_ratio, exp_kernel_size, pw_kernel_size, 0)
        layers = (act_layer, norm_layer, aa_layer, se_layer)
        super().__init__(*shape, *widths, *layers, {'num_experts': num_experts}, drop_path_rate)
        self.num_experts = num_experts
        self.routing_fn = nn.Linear(in_chs, num_experts)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the experts by the means of the input; then as an inverted residual."""
        skip = x
        weights = torch.sigmoid(self.routing_fn(x.mean((2, 3))))
        x = self.bn1(self.conv_pw(x, weights))
        x = self.se(self.aa(self.bn2(self.conv_dw(x, weights))))
        x = self.bn3(self.conv_pwl(x, weights))
        if self.has_skip:
            x = self.drop_path(x) + skip
        return x


class EdgeResidual(_Block):
    """Expand and filter in one dense convolution, then project ("fused" in EfficientNetV2, figure 2).

    Args:
        force_in_chs: Width that `exp_ratio` multiplies, where it is not `in_chs`; 0 for that.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        exp_kernel_size: KernelSize = 3,
        stride: int = 1,
        dilation: int = 1,
        group_size: int = 0,
        pad_type: str = '',
        force_in_chs: int = 0,
        noskip: bool = False,
        exp_ratio: float = 1.0,
        pw_kernel_size: KernelSize = 1,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = nn.BatchNorm2d,
        aa_layer: LayerType | None = None,
        se_layer: SeLayer = None,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        norm_act = get_norm_act_layer(norm_layer, act_layer)
        mid_chs = make_divisible((force_in_chs or in_chs) * exp_ratio)
        filtered = aa_layer is not None and stride > 1
        self.has_skip = stride == 1 and in_chs == out_chs and not noskip
        groups = num_groups(group_size, mid_chs)
        self.conv_exp = _spatial(
            in_chs, mid_chs, exp_kernel_size, 0 if filtered else stride, dilation, groups, pad_type
        )
        self.bn1 = norm_act(mid_chs)
        self.aa: Any = create_aa(aa_layer, channels=mid_chs, stride=stride, enable=filtered)
        self.se = _se(se_layer, mid_chs, act_layer)
        self.conv_pwl = create_conv2d(mid_chs, out_chs, pw_kernel_size, padding=pad_type)
        self.bn2 = norm_act(out_chs, apply_act=False)
        self.drop_path = _drop_path(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Expand and filter, project, and add the skip if there is one."""
        skip = x
        x = self.se(self.aa(self.bn1(self.conv_exp(x))))
        x = self.bn2(self.conv_pwl(x))
        if self.has_skip:
            x = self.drop_path(x) + skip
        return x


class UniversalInvertedResidual(_Block):
    """An inverted residual with optional depthwise convolutions before, inside and after (MobileNetV4, section 4).

    With the middle one alone it is MobileNetV2's block, with the first alone ConvNeXt's, with none a feed-forward
    network, with first and middle the "extra depthwise" block. The middle one strides if it is there, else the first,
    else the last.

    Args:
        dw_kernel_size_start: Kernel of the first one, 0 for none; likewise `mid` and `end`.
        conv_kwargs: Further arguments of all convolutions.
        layer_scale_init_value: First value of a learned factor per channel; None for no factor.
    """

    projection = 'pw_proj.conv'

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        dw_kernel_size_start: int = 0,
        dw_kernel_size_mid: int = 3,
        dw_kernel_size_end: int = 0,
        stride: int = 1,
        dilation: int = 1,
        group_size: int = 1,
        pad_type: str = '',
        noskip: bool = False,
        exp_ratio: float = 1.0,
        act_layer: LayerType = nn.ReLU,
        norm_layer: LayerType = nn.BatchNorm2d,
        aa_layer: LayerType | None = None,
        se_layer: SeLayer = None,
        conv_kwargs: dict[str, Any] | None = None,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float | None = 1e-5,
    ) -> None:
        super().__init__()
        self.has_skip = stride == 1 and in_chs == out_chs and not noskip
        start, mid, end = dw_kernel_size_start, dw_kernel_size_mid, dw_kernel_size_end
        if stride > 1 and not (start or mid or end):
            raise ValueError(f'stride={stride} needs a depthwise convolution: give one of the three kernel sizes.')
        mid_chs = make_divisible(in_chs * exp_ratio)
        shared: dict[str, Any] = dict(act_layer=act_layer, norm_layer=norm_layer, conv_kwargs=conv_kwargs)

        def depthwise(chs: int, kernel_size: int, strided: bool, apply_act: bool) -> nn.Module:
            if not kernel_size:
                return nn.Identity()
            return ConvNormAct(
                chs,
                chs,
                kernel_size,
                stride=stride if strided else 1,
                dilation=dilation,
                groups=num_groups(group_size, chs),
                padding=pad_type,
                apply_act=apply_act,
                aa_layer=aa_layer,
                **shared,
            )

        self.dw_start = depthwise(in_chs, start, strided=not mid, apply_act=False)
        self.pw_exp = ConvNormAct(in_chs, mid_chs, 1, padding=pad_type, **shared)
        self.dw_mid = depthwise(mid_chs, mid, strided=True, apply_act=True)
        self.se = _se(se_layer, mid_chs, act_layer)
        self.pw_proj = ConvNormAct(mid_chs, out_chs, 1, padding=pad_type, apply_act=False, **shared)
        self.dw_end = depthwise(out_chs, end, strided=not (start or mid), apply_act=False)
        self.layer_scale = _layer_scale(out_chs, layer_scale_init_value)
        self.drop_path = _drop_path(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """All parts in order, and the skip if there is one."""
        skip = x
        x = self.dw_mid(self.pw_exp(self.dw_start(x)))
        x = self.layer_scale(self.dw_end(self.pw_proj(self.se(x))))
        if self.has_skip:
            x = self.drop_path(x) + skip
        return x


class MobileAttention(Module):
    """Norm, attention over the map and a skip (MobileNetV4, section 5).

    Shape: (B, in_chs, H, W) -> (B, out_chs, H, W)

    Args:
        stride: 1 allows the skip; there is no stride otherwise.
        dw_kernel_size: Kernel of the convolutions that reduce keys and values, which `dilation` and `pad_type` are for.
        num_heads: As many as `key_dim` goes into the width, if None.
        use_multi_query: One key and value for all heads (figure 6); else each head its own.
        query_strides: Reduction of the map of queries along its two axes.
        kv_stride: Reduction of the maps of keys and values.
        cpe_dw_kernel_size: Kernel of the positional convolution that `use_cpe` adds to the input.
        use_bias: Biases of the projections of heads with keys of their own; multi-query attention has none.
        group_size, aa_layer: Accepted as the other blocks have them, without effect.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        stride: int = 1,
        dw_kernel_size: int = 3,
        dilation: int = 1,
        group_size: int = 1,
        pad_type: str = '',
        num_heads: int | None = 8,
        key_dim: int = 64,
        value_dim: int = 64,
        use_multi_query: bool = False,
        query_strides: int | tuple[int, int] = (1, 1),
        kv_stride: int = 1,
        cpe_dw_kernel_size: int = 3,
        noskip: bool = False,
        act_layer: LayerType = nn.ReLU,
        norm_layer: Any = nn.BatchNorm2d,
        aa_layer: LayerType | None = None,
        drop_path_rate: float = 0.0,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        layer_scale_init_value: float | None = 1e-5,
        use_bias: bool = False,
        use_cpe: bool = False,
    ) -> None:
        super().__init__()
        self.has_skip = stride == 1 and in_chs == out_chs and not noskip
        self.query_strides: tuple[int, int] = to_2tuple(query_strides)
        self.kv_stride = kv_stride
        self.out_chs = out_chs
        self.conv_cpe_dw = None
        if use_cpe:
            self.conv_cpe_dw = create_conv2d(
                in_chs, in_chs, kernel_size=cpe_dw_kernel_size, dilation=dilation, depthwise=True, bias=True
            )
        self.norm = get_norm_act_layer(norm_layer, act_layer)(in_chs, apply_act=False)
        num_heads = num_heads or in_chs // key_dim
        self.attn: nn.Module
        if use_multi_query:
            heads = (num_heads, key_dim, value_dim)
            reduction = (query_strides, kv_stride, dw_kernel_size, dilation, pad_type)
            self.attn = MultiQueryAttention2d(in_chs, out_chs, *heads, *reduction, attn_drop, proj_drop, norm_layer)
        else:
            self.attn = Attention2d(
                in_chs, dim_out=out_chs, num_heads=num_heads, bias=use_bias, attn_drop=attn_drop, proj_drop=proj_drop
            )
        self.layer_scale = _layer_scale(out_chs, layer_scale_init_value)
        self.drop_path = _drop_path(drop_path_rate)

    def feature_info(self, location: str) -> dict[str, Any]:
        """A tap at the output, there being no wider map in the block."""
        return {'module': '', 'num_chs': self.out_chs}

    def forward(self, x: Tensor) -> Tensor:
        """Attend, and add the skip if there is one."""
        if self.conv_cpe_dw is not None:
            x = x + self.conv_cpe_dw(x)
        skip = x
        x = self.layer_scale(self.attn(self.norm(x)))
        if self.has_skip:
            x = self.drop_path(x) + skip
        return x
