"""ConvNeXt: a ResNet whose blocks are those of a transformer, with a depthwise convolution in attention's place.

Papers:
    A ConvNet for the 2020s, Liu et al., 2022, arXiv:2201.03545 (block: figure 4; stem and stages: section 2)
    ConvNeXt V2, Woo et al., 2023, arXiv:2301.00808 (`use_grn`: section 3)

Departures: `conv_mlp` computes the pointwise layers as 1x1 convolutions, the same numbers in another layout; stems
other than 'patch' are our own.
Shapes: B images, C channels, H and W pixels; a tensor with no remark is (B, C, H, W).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from timm.convert.convnext import checkpoint_filter_fn as checkpoint_filter_fn
from timm.layers import (
    AvgPool2dSame,
    DropPath,
    GlobalResponseNormMlp,
    LayerNorm,
    LayerNorm2d,
    LayerType,
    Mlp,
    NormMlpClassifierHead,
    RmsNorm,
    RmsNorm2d,
    SimpleNorm,
    SimpleNorm2d,
    calculate_drop_path_rates,
    create_conv2d,
    get_act_layer,
    get_norm_layer,
    make_divisible,
    to_ntuple,
    trunc_normal_,
)
from timm.layers._device import Module

from ._entrypoints import entrypoints
from ._manipulate import CheckpointedSequential, named_apply
from ._model import ParamGroups
from ._staged import StagedModel

__all__ = ['ConvNeXt']

# The same norm for maps (B, C, H, W) and for channels-last (B, H, W, C).
_CHANNELS_LAST: dict[Any, type[nn.Module]] = {LayerNorm2d: LayerNorm, RmsNorm2d: RmsNorm, SimpleNorm2d: SimpleNorm}
_NORM_NAMES = {
    'layernorm': LayerNorm2d,
    'layernorm2d': LayerNorm2d,
    'rmsnorm': RmsNorm2d,
    'rmsnorm2d': RmsNorm2d,
    'simplenorm': SimpleNorm2d,
    'simplenorm2d': SimpleNorm2d,
}


class Downsample(Module):
    """Average pool and a 1x1 convolution, for skips that change shape: (B, in_chs, H, W) -> (B, out_chs, H/s, W/s)."""

    def __init__(self, in_chs: int, out_chs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.pool: nn.Module = nn.Identity()
        if dilation > 1:
            self.pool = AvgPool2dSame(2, 1, ceil_mode=True, count_include_pad=False)
        elif stride > 1:
            self.pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
        self.conv = create_conv2d(in_chs, out_chs, 1, stride=1) if in_chs != out_chs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Pool, then project."""
        return self.conv(self.pool(x))


class ConvNeXtBlock(Module):
    """x + gamma * mlp(norm(depthwise(x))) (figure 4): (B, in_chs, H, W) -> (B, out_chs, H/s, W/s).

    Args:
        conv_mlp: 1x1 convolutions on maps; otherwise linear layers on channels-last tensors.
        use_grn: Global response normalisation in the MLP (V2, section 3).
        ls_init_value: First value of gamma, which is left out where this is None.
        norm_layer: Norm of the layout that `conv_mlp` implies; LayerNorm unless given.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int | None = None,
        kernel_size: int = 7,
        stride: int = 1,
        dilation: int | tuple[int, int] = (1, 1),
        mlp_ratio: float = 4,
        conv_mlp: bool = False,
        conv_bias: bool = True,
        use_grn: bool = False,
        ls_init_value: float | None = 1e-6,
        act_layer: LayerType = 'gelu',
        norm_layer: Callable[..., nn.Module] | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        out_chs = out_chs or in_chs
        dilation = to_ntuple(2)(dilation)
        norm_layer = norm_layer or (LayerNorm2d if conv_mlp else LayerNorm)
        self.use_conv_mlp = conv_mlp
        depthwise = partial(create_conv2d, depthwise=True, bias=conv_bias)
        self.conv_dw = depthwise(in_chs, out_chs, kernel_size, stride=stride, dilation=dilation[0])
        self.norm = norm_layer(out_chs)
        pointwise = GlobalResponseNormMlp if use_grn else Mlp
        hidden = int(mlp_ratio * out_chs)
        self.mlp = pointwise(out_chs, hidden, act_layer=get_act_layer(act_layer), use_conv=conv_mlp)
        self.gamma = nn.Parameter(ls_init_value * torch.ones(out_chs)) if ls_init_value is not None else None
        changes_shape = in_chs != out_chs or stride != 1 or dilation[0] != dilation[1]
        self.shortcut = (
            Downsample(in_chs, out_chs, stride=stride, dilation=dilation[0]) if changes_shape else nn.Identity()
        )
        self.drop_path = DropPath(drop_path) if drop_path > 0.0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Residual branch plus skip."""
        skip = x
        x = self.conv_dw(x)
        if self.use_conv_mlp:
            x = self.mlp(self.norm(x))
        else:
            x = self.mlp(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        if self.gamma is not None:
            x = x * self.gamma.reshape(1, -1, 1, 1)
        return self.drop_path(x) + self.shortcut(skip)


class ConvNeXtStage(Module):
    """A norm and a strided convolution where the shape changes, then blocks.

    Shape: (B, in_chs, H, W) -> (B, out_chs, H/s, W/s)

    Args:
        dilation: Of the convolution at the entrance, and of the blocks.
        drop_path_rates: One rate a block.
        norm_layer: Norm for maps.
        norm_layer_cl: Norm for channels-last tensors.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        kernel_size: int = 7,
        stride: int = 2,
        depth: int = 2,
        dilation: tuple[int, int] = (1, 1),
        drop_path_rates: Sequence[float] | None = None,
        ls_init_value: float | None = 1.0,
        conv_mlp: bool = False,
        conv_bias: bool = True,
        use_grn: bool = False,
        act_layer: LayerType = 'gelu',
        norm_layer: Callable[..., nn.Module] | None = None,
        norm_layer_cl: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        norm_layer = norm_layer or LayerNorm2d
        norm_layer_cl = norm_layer_cl or LayerNorm
        if in_chs != out_chs or stride > 1 or dilation[0] != dilation[1]:
            size = 2 if stride > 1 or dilation[0] != dilation[1] else 1
            padding = 'same' if dilation[1] > 1 else 0  # the size must stay where a stride became a dilation
            conv = create_conv2d(
                in_chs, out_chs, kernel_size=size, stride=stride, dilation=dilation[0], padding=padding, bias=conv_bias
            )
            self.downsample = nn.Sequential(norm_layer(in_chs), conv)
            in_chs = out_chs
        else:
            self.downsample = nn.Identity()
        rates = drop_path_rates or [0.0] * depth
        self.blocks = CheckpointedSequential(
            *(
                ConvNeXtBlock(
                    in_chs=in_chs if i == 0 else out_chs,
                    out_chs=out_chs,
                    kernel_size=kernel_size,
                    dilation=dilation[1],
                    drop_path=rates[i],
                    ls_init_value=ls_init_value,
                    conv_mlp=conv_mlp,
                    conv_bias=conv_bias,
                    use_grn=use_grn,
                    act_layer=act_layer,
                    norm_layer=norm_layer if conv_mlp else norm_layer_cl,
                )
                for i in range(depth)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Entrance, then blocks."""
        return self.blocks(self.downsample(x))


class ConvNeXt(StagedModel):
    """The network: (B, in_chans, H, W) -> (B, num_classes).

    Args:
        output_stride: Stride of the last map against the image: 8, 16 or 32.
        kernel_sizes: Of the depthwise convolutions, for all stages or one each.
        ls_init_value: First value of each block's gamma; None for no gamma.
        stem_type: 'patch' one strided convolution; 'overlap' two 3x3 ones, 'overlap_tiered' with growing width,
            'overlap_act' with an activation between them.
        patch_size: Stride of the stem 'patch'.
        head_init_scale: Factor on the classifier's first weights.
        head_norm_first: Norm before pooling instead of after.
        head_hidden_size: Width of a layer between pooling and classifier.
        conv_mlp: Pointwise layers as 1x1 convolutions.
        norm_layer: Name or class of the norm; LayerNorm unless given.
        norm_eps: Its epsilon.

    Raises:
        AssertionError: `output_stride` is another number, or `head_hidden_size` meets `head_norm_first`.
        ValueError: `stem_type` is unknown.
    """

    path = ('stem', 'stages.*', 'norm_pre')
    final_norm = 'norm_pre'
    groups = ParamGroups(
        stem=r'^stem',
        blocks=[
            (r'^stages\.(\d+)\.downsample', (0,)),
            (r'^stages\.(\d+)\.blocks\.(\d+)', None),
            (r'^norm_pre', (99999,)),
        ],
        coarse=r'^stages\.(\d+)',
    )

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = 'avg',
        output_stride: int = 32,
        depths: tuple[int, ...] = (3, 3, 9, 3),
        dims: tuple[int, ...] = (96, 192, 384, 768),
        kernel_sizes: int | tuple[int, ...] = 7,
        ls_init_value: float | None = 1e-6,
        stem_type: str = 'patch',
        patch_size: int = 4,
        head_init_scale: float = 1.0,
        head_norm_first: bool = False,
        head_hidden_size: int | None = None,
        conv_mlp: bool = False,
        conv_bias: bool = True,
        use_grn: bool = False,
        act_layer: LayerType = 'gelu',
        norm_layer: LayerType | None = None,
        norm_eps: float | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        assert output_stride in (8, 16, 32), f'output_stride must be 8, 16 or 32, got {output_stride}'
        assert not (head_norm_first and head_hidden_size), 'head_hidden_size needs the norm after pooling'
        kernel_sizes = to_ntuple(4)(kernel_sizes)
        norm, norm_cl = _norm_pair(norm_layer, norm_eps)
        self.drop_rate = drop_rate
        self.stem, stride = _stem(stem_type, in_chans, dims[0], patch_size, conv_bias, norm, act_layer)

        rates = calculate_drop_path_rates(drop_path_rate, depths, stagewise=True)
        stages: list[nn.Module] = []
        self.feature_info = []
        in_chs = dims[0]
        dilation = 1
        net_stride = stride
        for i, out_chs in enumerate(dims):
            stride = 2 if net_stride == 2 or i > 0 else 1
            first_dilation = dilation
            if net_stride >= output_stride and stride > 1:
                dilation *= stride
                stride = 1
            net_stride *= stride
            stages.append(
                ConvNeXtStage(
                    in_chs,
                    out_chs,
                    kernel_size=kernel_sizes[i],
                    stride=stride,
                    dilation=(first_dilation, dilation),
                    depth=depths[i],
                    drop_path_rates=rates[i],
                    ls_init_value=ls_init_value,
                    conv_mlp=conv_mlp,
                    conv_bias=conv_bias,
                    use_grn=use_grn,
                    act_layer=act_layer,
                    norm_layer=norm,
                    norm_layer_cl=norm_cl,
                )
            )
            in_chs = out_chs
            self.feature_info.append({'num_chs': out_chs, 'reduction': net_stride, 'module': f'stages.{i}'})
        self.stages = nn.Sequential(*stages)

        self.norm_pre = norm(in_chs) if head_norm_first else nn.Identity()
        self.head = NormMlpClassifierHead(
            in_chs,
            num_classes,
            hidden_size=head_hidden_size,
            pool_type=global_pool,
            drop_rate=drop_rate,
            norm_layer=nn.Identity if head_norm_first else norm,
            act_layer='gelu',
        )
        self.describe(num_classes, in_chans, in_chs, self.head.num_features)
        named_apply(partial(_init_weights, head_init_scale=head_init_scale), self)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None, reset_other: bool = False) -> None:
        """Replace the classifier, and with `reset_other` also the norm and hidden layer of the head."""
        self.num_classes = num_classes
        with self.building_beside():
            self.head.reset(num_classes, global_pool, reset_other)
        self.head_hidden_size = self.head.num_features

    def forward_features(self, x: Tensor) -> Tensor:
        """Un-pooled features: (B, in_chans, H, W) -> (B, num_features, H/32, W/32)."""
        x = self.stem(x)
        x = self.stages(x)
        return self.norm_pre(x)


def _norm_pair(norm_layer: LayerType | None, eps: float | None) -> tuple[Any, Any]:
    """The norm for maps and the same norm for channels-last tensors."""
    norm: Any = LayerNorm2d if norm_layer is None else norm_layer
    if isinstance(norm, str):
        known: Any = _NORM_NAMES.get(norm.replace('_', '').lower())
        norm = known or get_norm_layer(norm)
    norm_cl: Any = _CHANNELS_LAST.get(norm, norm)
    if eps is not None:
        return partial(norm, eps=eps), partial(norm_cl, eps=eps)
    return norm, norm_cl


def _stem(
    stem_type: str, in_chans: int, dim: int, patch_size: int, bias: bool, norm: Any, act_layer: LayerType
) -> tuple[nn.Sequential, int]:
    """The layers before the first stage, and their stride."""
    if stem_type == 'patch':
        conv = nn.Conv2d(in_chans, dim, kernel_size=patch_size, stride=patch_size, bias=bias)
        return nn.Sequential(conv, norm(dim)), patch_size
    if stem_type not in ('overlap', 'overlap_tiered', 'overlap_act'):
        raise ValueError(f"stem_type must be 'patch', 'overlap', 'overlap_tiered' or 'overlap_act', got {stem_type!r}")
    first = make_divisible(dim // 2) if 'tiered' in stem_type else dim
    layers: list[nn.Module] = [nn.Conv2d(in_chans, first, kernel_size=3, stride=2, padding=1, bias=bias)]
    if 'act' in stem_type:
        act: Any = get_act_layer(act_layer)
        layers.append(act())
    layers += [nn.Conv2d(first, dim, kernel_size=3, stride=2, padding=1, bias=bias), norm(dim)]
    return nn.Sequential(*layers), 4


def _init_weights(module: nn.Module, name: str, head_init_scale: float) -> None:
    """Truncated normal of deviation 0.02, biases 0 (appendix A.1)."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
        if name == 'head.fc' and head_init_scale != 1.0:
            with torch.no_grad():
                module.weight.mul_(head_init_scale)
                if module.bias is not None:
                    module.bias.mul_(head_init_scale)


__getattr__ = entrypoints(__name__)
