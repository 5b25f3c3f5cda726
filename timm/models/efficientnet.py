"""EfficientNet and its direct kin: a strided stem, stages of mobile blocks, a pointwise convolution, a classifier.

Papers:
    EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, Tan and Le, 2019, arXiv:1905.11946
    EfficientNetV2: Smaller Models and Faster Training, Tan and Le, 2021, arXiv:2104.00298
    MobileNets, Howard et al., 2017, arXiv:1704.04861
    MobileNetV2: Inverted Residuals and Linear Bottlenecks, Sandler et al., 2018, arXiv:1801.04381
    MnasNet: Platform-Aware Neural Architecture Search for Mobile, Tan et al., 2018, arXiv:1807.11626
    FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable NAS, Wu et al., 2018, arXiv:1812.03443
    MixConv: Mixed Depthwise Convolutional Kernels, Tan and Le, 2019, arXiv:1907.09595
    CondConv: Conditionally Parameterized Convolutions for Efficient Inference, Yang et al., 2019, arXiv:1904.04971
    Model Rubik's Cube: Twisting Resolution, Depth and Width for TinyNets, Han et al., 2020, arXiv:2010.14819

What a variant's stages are, as block strings with multipliers of depth and width, is in timm/catalog/efficientnet.py;
`from_blocks` below makes constructor arguments of that. The blocks are in _efficientnet_blocks.py.
Shapes: B images, C channels, H and W pixels; a tensor with no remark is (B, C, H, W).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from timm.layers import LayerType, create_classifier, create_conv2d, get_norm_act_layer
from timm.layers._device import Module

from ._efficientnet_blocks import SqueezeExcite
from ._efficientnet_builder import (
    BlockArgs,
    EfficientNetBuilder,
    decode_arch_def,
    efficientnet_init_weights,
    resolve_act_layer,
    resolve_bn_args,
    round_channels,
)
from ._entrypoints import entrypoints
from ._features import FeatureHooks, FeatureInfo
from ._model import ParamGroups
from ._staged import PooledHead

__all__ = ['EfficientNet', 'EfficientNetFeatures']


def from_blocks(
    blocks: Sequence[str] | None = None,
    depth_multiplier: float | Sequence[float] = 1.0,
    depth_trunc: str = 'ceil',
    fix_first_last: bool = False,
    channel_multiplier: float = 1.0,
    channel_divisor: int = 8,
    round_limit: float = 0.9,
    group_size: int | None = None,
    experts_multiplier: int = 1,
    **kwargs: Any,
) -> dict[str, Any]:
    """Constructor arguments of a network from block strings and multipliers, as the catalog writes it down.

    Args:
        blocks: A string for each stage, its block strings (see `decode_arch_def`) separated by blanks; None leaves
            `kwargs` as they are.
        channel_multiplier: Of all widths but that of the last convolution, then a multiple of `channel_divisor`.
        kwargs: Other arguments; `bn_eps` and `bn_momentum` become part of the norm, names of activations classes.
    """
    if blocks is None:
        return kwargs
    rounding: dict[str, Any] = {
        'multiplier': channel_multiplier,
        'divisor': channel_divisor,
        'round_limit': round_limit,
    }
    kwargs['block_args'] = decode_arch_def(
        [stage.split() for stage in blocks],
        depth_multiplier,
        depth_trunc,
        experts_multiplier=experts_multiplier,
        fix_first_last=fix_first_last,
        group_size=group_size,
    )
    kwargs['round_chs_fn'] = partial(round_channels, **rounding)
    if kwargs.get('norm_layer') is None:
        kwargs['norm_layer'] = partial(nn.BatchNorm2d, **resolve_bn_args(kwargs))
    if 'act_layer' in kwargs:
        kwargs['act_layer'] = resolve_act_layer(kwargs)
    return kwargs


class BlockNet(PooledHead):
    """What networks of a stem (`conv_stem`, `bn1`) and stages of blocks (`blocks`) have in common.

    Attributes:
        stage_ends: Number of stages up to each tap.
    """

    classifier_name = 'classifier'
    stage_ends: list[int]

    def build_stages(
        self,
        builder: EfficientNetBuilder,
        block_args: BlockArgs,
        in_chans: int,
        stem_size: int,
        stem_kernel_size: int,
        pad_type: str,
        norm_act: Callable[..., nn.Module],
    ) -> int:
        """Create stem and stages, and return the channels at their end."""
        self.conv_stem = create_conv2d(in_chans, stem_size, stem_kernel_size, stride=2, padding=pad_type)
        self.bn1 = norm_act(stem_size)
        self.blocks = nn.Sequential(*builder(stem_size, block_args))
        self.feature_info = builder.features
        self.stage_ends = [info['stage'] for info in self.feature_info]
        self._widths = {'bn1': stem_size, **{f'blocks.{i}': chs for i, chs in enumerate(builder.widths)}}
        return builder.in_chs

    def all_taps(self) -> list[str]:
        """Stem and every stage: the taps of `extra_blocks`."""
        return list(self._widths)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = 'NCHW',
        intermediates_only: bool = False,
        extra_blocks: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Features at several depths, see `StagedModel.forward_intermediates`.

        Args:
            extra_blocks: Indices count the stem and every stage instead of the last map of each resolution.
        """
        taps = self.all_taps() if extra_blocks else self.taps()
        return self._walk(x, taps, indices, norm, stop_early, output_fmt, intermediates_only)

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
        extra_blocks: bool = False,
    ) -> list[int]:
        """Remove what lies beyond the deepest of the taps asked for, see `StagedModel.prune_intermediate_layers`.

        Args:
            extra_blocks: Indices count the stem and every stage instead of the last map of each resolution.
        """
        return self._cut(self.all_taps() if extra_blocks else self.taps(), indices, prune_norm, prune_head)

    def _tap_width(self, tap: str) -> int:
        return self._widths[tap]


class EfficientNet(BlockNet):
    """The network: (B, in_chans, H, W) -> (B, num_classes).

    Args:
        block_args: Arguments of the blocks of each stage, see `decode_arch_def`.
        num_features: Channels of the convolution after the stages; 0 for no such convolution.
        stem_size: Channels of the stem before `round_chs_fn` scales them.
        fix_stem: Do not scale them.
        output_stride: Greatest stride of a map against the image; stages beyond it dilate their convolutions.
        pad_type: '' symmetric, 'same' as TensorFlow pads.
        aa_layer: Low-pass filter that takes over strides.
        se_layer: Channel attention of blocks that ask for it; `SqueezeExcite` unless given.
        round_chs_fn: Scales and rounds widths.
    """

    path = ('conv_stem', 'bn1', 'blocks.*', 'conv_head', 'bn2')
    tail = ('conv_head', 'bn2')
    groups = ParamGroups(
        stem=r'^conv_stem|bn1',
        blocks=[(r'^blocks\.(\d+)\.(\d+)', None), (r'conv_head|bn2', (99999,))],
        coarse=[(r'^blocks\.(\d+)', None), (r'conv_head|bn2', (99999,))],
    )

    def __init__(
        self,
        block_args: BlockArgs,
        num_classes: int = 1000,
        num_features: int = 1280,
        in_chans: int = 3,
        stem_size: int = 32,
        stem_kernel_size: int = 3,
        fix_stem: bool = False,
        output_stride: int = 32,
        pad_type: str = '',
        act_layer: LayerType | None = None,
        norm_layer: LayerType | None = None,
        aa_layer: LayerType | None = None,
        se_layer: LayerType | None = None,
        round_chs_fn: Callable[[float], int] = round_channels,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        global_pool: str = 'avg',
    ) -> None:
        super().__init__()
        act_layer = act_layer or nn.ReLU
        norm_layer = norm_layer or nn.BatchNorm2d
        norm_act = get_norm_act_layer(norm_layer, act_layer)
        self.drop_rate = drop_rate
        builder = EfficientNetBuilder(
            output_stride=output_stride,
            pad_type=pad_type,
            round_chs_fn=round_chs_fn,
            act_layer=act_layer,
            norm_layer=norm_layer,
            aa_layer=aa_layer,
            se_layer=se_layer or SqueezeExcite,
            drop_path_rate=drop_path_rate,
        )
        stem_size = stem_size if fix_stem else round_chs_fn(stem_size)
        chs = self.build_stages(builder, block_args, in_chans, stem_size, stem_kernel_size, pad_type, norm_act)
        self.conv_head: nn.Module = nn.Identity()
        self.bn2: nn.Module = nn.Identity()
        if num_features > 0:
            self.conv_head = create_conv2d(chs, num_features, 1, padding=pad_type)
            self.bn2 = norm_act(num_features)
        num_features = num_features or chs
        self.global_pool, self.classifier = create_classifier(num_features, num_classes, pool_type=global_pool)
        self.describe(num_classes, in_chans, num_features, num_features * self.global_pool.feat_mult())
        efficientnet_init_weights(self)

    def as_sequential(self) -> nn.Sequential:
        """The same layers as one flat sequence, stage by stage."""
        layers = [self.conv_stem, self.bn1, *self.blocks, self.conv_head, self.bn2, self.global_pool]
        return nn.Sequential(*layers, nn.Dropout(self.drop_rate), self.classifier)

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
        extra_blocks: bool = False,
    ) -> list[int]:
        """Remove what lies beyond the deepest of the taps asked for, see `BlockNet`.

        Norm and last convolution are one: without them there is no classifier.
        """
        return super().prune_intermediate_layers(indices, prune_norm, prune_head or prune_norm, extra_blocks)

    def forward_features(self, x: Tensor) -> Tensor:
        """Un-pooled features: (B, in_chans, H, W) -> (B, num_features, H/32, W/32)."""
        x = self.bn1(self.conv_stem(x))
        x = self.blocks(x)
        return self.bn2(self.conv_head(x))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool, drop and classify; with `pre_logits` stop before the classifier."""
        x = self.global_pool(x)
        if self.drop_rate:
            x = F.dropout(x, p=float(self.drop_rate), training=self.training)
        return x if pre_logits else self.classifier(x)


class BlockFeatures(Module):
    """Stem and stages without a head, as a feature pyramid: (B, in_chans, H, W) -> list of (B, C_i, H_i, W_i)."""

    def build(
        self,
        builder: EfficientNetBuilder,
        block_args: BlockArgs,
        out_indices: int | Sequence[int],
        in_chans: int,
        stem_size: int,
        stem_kernel_size: int,
        pad_type: str,
        norm_act: Callable[..., nn.Module],
    ) -> None:
        """Create stem and stages and choose the taps; hooks serve those that lie inside a block."""
        self.in_chans = in_chans
        self.grad_checkpointing = False
        self.conv_stem = create_conv2d(in_chans, stem_size, stem_kernel_size, stride=2, padding=pad_type)
        self.bn1 = norm_act(stem_size)
        self.blocks = nn.Sequential(*builder(stem_size, block_args))
        self.feature_info = FeatureInfo(builder.features, out_indices)
        self._stages_out = sorted({info['stage'] for info in self.feature_info.get_dicts()})
        efficientnet_init_weights(self)
        self.feature_hooks: Any = None
        if builder.feature_location == 'expansion':
            hooks = [
                self.feature_info[i] for i in sorted(i % len(self.feature_info) for i in self.feature_info.out_indices)
            ]
            self.feature_hooks = FeatureHooks(hooks, self.named_modules())

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the activations of each block in the backward pass."""
        self.grad_checkpointing = enable
        stages: Any = self.blocks
        for stage in stages:
            stage.grad_checkpointing = enable

    def forward(self, x: Tensor) -> list[Tensor]:
        """The taps taken, in network order."""
        x = self.bn1(self.conv_stem(x))
        if self.feature_hooks is not None:
            x = self.blocks(x)
            return list(self.feature_hooks.get_output(x.device).values())
        features: list[Tensor] = []
        if 0 in self._stages_out:
            features.append(x)
        for i, stage in enumerate(self.blocks):
            x = stage(x)
            if i + 1 in self._stages_out:
                features.append(x)
        return features


class EfficientNetFeatures(BlockFeatures):
    """`EfficientNet` without last convolution and classifier, as a feature pyramid.

    Shape: (B, in_chans, H, W) -> list of (B, C_i, H_i, W_i), one for each of `out_indices`

    Args:
        out_indices: Taps to return: indices, or a number of the last ones.
        feature_location: 'bottleneck' for the ends of stages, 'expansion' for the widest map of their last block.

    The other arguments are those of `EfficientNet`.
    """

    def __init__(
        self,
        block_args: BlockArgs,
        out_indices: int | Sequence[int] = (0, 1, 2, 3, 4),
        feature_location: str = 'bottleneck',
        in_chans: int = 3,
        stem_size: int = 32,
        stem_kernel_size: int = 3,
        fix_stem: bool = False,
        output_stride: int = 32,
        pad_type: str = '',
        act_layer: LayerType | None = None,
        norm_layer: LayerType | None = None,
        aa_layer: LayerType | None = None,
        se_layer: LayerType | None = None,
        round_chs_fn: Callable[[float], int] = round_channels,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        act_layer = act_layer or nn.ReLU
        norm_layer = norm_layer or nn.BatchNorm2d
        self.drop_rate = drop_rate
        builder = EfficientNetBuilder(
            output_stride=output_stride,
            pad_type=pad_type,
            round_chs_fn=round_chs_fn,
            act_layer=act_layer,
            norm_layer=norm_layer,
            aa_layer=aa_layer,
            se_layer=se_layer or SqueezeExcite,
            drop_path_rate=drop_path_rate,
            feature_location=feature_location,
        )
        stem_size = stem_size if fix_stem else round_chs_fn(stem_size)
        norm_act = get_norm_act_layer(norm_layer, act_layer)
        self.build(builder, block_args, out_indices, in_chans, stem_size, stem_kernel_size, pad_type, norm_act)


__getattr__ = entrypoints(__name__)
