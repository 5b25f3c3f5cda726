"""MobileNetV3, MobileNetV4 and their kin: stages of mobile blocks, then a pooled head with a hidden layer.

Papers:
    Searching for MobileNetV3, Howard et al., 2019, arXiv:1905.02244 (head after pooling: section 5.1)
    FBNetV3: Joint Architecture-Recipe Search, Dai et al., 2020, arXiv:2006.02049
    PP-LCNet: A Lightweight CPU Convolutional Neural Network, Cui et al., 2021, arXiv:2109.15099
    MobileNetV4: Universal Models for the Mobile Ecosystem, Qin et al., 2024, arXiv:2404.10518

What a variant's stages are, as block strings with multipliers of depth and width, is in timm/catalog/mobilenetv3.py.
Shapes: B images, C channels, H and W pixels; a tensor with no remark is (B, C, H, W).
"""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from timm.layers import LayerType, SelectAdaptivePool2d, create_conv2d, get_act_layer, get_norm_act_layer
from timm.layers.linear import Linear

from ._efficientnet_blocks import SqueezeExcite
from ._efficientnet_builder import BlockArgs, EfficientNetBuilder, efficientnet_init_weights, round_channels
from ._entrypoints import entrypoints
from ._model import ParamGroups
from .efficientnet import BlockFeatures, BlockNet
from .efficientnet import from_blocks as from_blocks

__all__ = ['MobileNetV3', 'MobileNetV3Features']


class MobileNetV3(BlockNet):
    """The network: (B, in_chans, H, W) -> (B, num_classes).

    Its last pointwise convolution works on the pooled map, where it is cheap (MobileNetV3, figure 5).

    Args:
        block_args: Arguments of the blocks of each stage, see `decode_arch_def`.
        stem_size: Channels of the stem before `round_chs_fn` scales them.
        fix_stem: Do not scale them.
        num_features: Width of the hidden layer of the head.
        head_bias: Bias of the hidden layer.
        head_norm: Norm after the hidden layer.
        pad_type: '' symmetric, 'same' as TensorFlow pads.
        aa_layer: Low-pass filter that takes over strides.
        se_layer: Channel attention of blocks that ask for it; `SqueezeExcite` unless given.
        se_from_exp: Ratios of channel attention refer to the width in the middle of a block, not to its input.
        round_chs_fn: Scales and rounds widths.
        layer_scale_init_value: Of blocks that have a layer scale; None for none.
    """

    path = ('conv_stem', 'bn1', 'blocks.*')
    groups = ParamGroups(stem=r'^conv_stem|bn1', blocks=r'^blocks\.(\d+)\.(\d+)', coarse=r'^blocks\.(\d+)')

    def __init__(
        self,
        block_args: BlockArgs,
        num_classes: int = 1000,
        in_chans: int = 3,
        stem_size: int = 16,
        fix_stem: bool = False,
        num_features: int = 1280,
        head_bias: bool = True,
        head_norm: bool = False,
        pad_type: str = '',
        act_layer: LayerType | None = None,
        norm_layer: LayerType | None = None,
        aa_layer: LayerType | None = None,
        se_layer: LayerType | None = None,
        se_from_exp: bool = True,
        round_chs_fn: Callable[[float], int] = round_channels,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float | None = None,
        global_pool: str = 'avg',
    ) -> None:
        super().__init__()
        act_layer = act_layer or nn.ReLU
        norm_layer = norm_layer or nn.BatchNorm2d
        norm_act = get_norm_act_layer(norm_layer, act_layer)
        self.drop_rate = drop_rate
        builder = EfficientNetBuilder(
            pad_type=pad_type,
            round_chs_fn=round_chs_fn,
            se_from_exp=se_from_exp,
            act_layer=act_layer,
            norm_layer=norm_layer,
            aa_layer=aa_layer,
            se_layer=se_layer or SqueezeExcite,
            drop_path_rate=drop_path_rate,
            layer_scale_init_value=layer_scale_init_value,
        )
        stem_size = stem_size if fix_stem else round_chs_fn(stem_size)
        chs = self.build_stages(builder, block_args, in_chans, stem_size, 3, pad_type, norm_act)
        self.global_pool = SelectAdaptivePool2d(pool_type=global_pool)
        pooled_chs = chs * self.global_pool.feat_mult()
        self.conv_head: nn.Module = create_conv2d(pooled_chs, num_features, 1, padding=pad_type, bias=head_bias)
        self.norm_head: nn.Module = norm_act(num_features) if head_norm else nn.Identity()
        self.act2: nn.Module = nn.Identity() if head_norm else get_act_layer(act_layer)(inplace=True)
        self.flatten: nn.Module = nn.Flatten(1) if global_pool else nn.Identity()
        self.classifier: nn.Module = Linear(num_features, num_classes) if num_classes > 0 else nn.Identity()
        self.describe(num_classes, in_chans, chs, num_features)
        efficientnet_init_weights(self)

    def as_sequential(self) -> nn.Sequential:
        """The same layers as one flat sequence, stage by stage."""
        head = [self.global_pool, self.conv_head, self.norm_head, self.act2, self.flatten]
        return nn.Sequential(self.conv_stem, self.bn1, *self.blocks, *head, nn.Dropout(self.drop_rate), self.classifier)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier, and the pooling unless it is None.

        Raises:
            AssertionError: The pooling would change the width that the hidden layer was built for.
        """
        is_pruned = isinstance(self.conv_head, nn.Identity)
        if global_pool is not None:
            pool = SelectAdaptivePool2d(pool_type=global_pool)
            assert is_pruned or pool.feat_mult() == self.global_pool.feat_mult(), (
                f"global_pool='{global_pool}' gives another width than '{self.global_pool.pool_type}', for which the "
                f'hidden layer was built: choose the pooling when creating the network.'
            )
            self.global_pool = pool
            self.flatten = nn.Flatten(1) if global_pool else nn.Identity()
        if is_pruned:
            self.head_hidden_size = self.num_features * self.global_pool.feat_mult()
        self.num_classes = num_classes
        with self.building_beside():
            classifier = Linear(self.head_hidden_size, num_classes) if num_classes > 0 else nn.Identity()
        self.classifier = classifier.train(self.training)

    def prune_intermediate_layers(
        self,
        indices: int | list[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
        extra_blocks: bool = False,
    ) -> list[int]:
        """Remove what lies beyond the deepest of the taps asked for, and the whole head with the classifier."""
        taps = self.all_taps() if extra_blocks else self.taps()
        take = super().prune_intermediate_layers(indices, prune_norm, prune_head, extra_blocks)
        if prune_head or max(take) < len(taps) - 1:
            for name in ('conv_head', 'norm_head', 'act2', 'flatten'):
                setattr(self, name, nn.Identity())
            self.num_features = self.head_hidden_size = self._tap_width(taps[max(take)])
        return take

    def forward_features(self, x: Tensor) -> Tensor:
        """Un-pooled features: (B, in_chans, H, W) -> (B, num_features, H/32, W/32)."""
        x = self.bn1(self.conv_stem(x))
        return self.blocks(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool, hidden layer, drop and classify; with `pre_logits` stop before the classifier."""
        x = self.global_pool(x)
        x = self.act2(self.norm_head(self.conv_head(x)))
        x = self.flatten(x)
        if self.drop_rate > 0.0:
            x = F.dropout(x, p=float(self.drop_rate), training=self.training)
        return x if pre_logits else self.classifier(x)


class MobileNetV3Features(BlockFeatures):
    """`MobileNetV3` without its head, as a feature pyramid.

    Shape: (B, in_chans, H, W) -> list of (B, C_i, H_i, W_i), one for each of `out_indices`

    Args:
        out_indices: Taps to return: indices, or a number of the last ones.
        feature_location: 'bottleneck' for the ends of stages, 'expansion' for the widest map of their last block.
        output_stride: Greatest stride of a map against the image; stages beyond it dilate their convolutions.

    The other arguments are those of `MobileNetV3`.
    """

    def __init__(
        self,
        block_args: BlockArgs,
        out_indices: int | Sequence[int] = (0, 1, 2, 3, 4),
        feature_location: str = 'bottleneck',
        in_chans: int = 3,
        stem_size: int = 16,
        fix_stem: bool = False,
        output_stride: int = 32,
        pad_type: str = '',
        round_chs_fn: Callable[[float], int] = round_channels,
        se_from_exp: bool = True,
        act_layer: LayerType | None = None,
        norm_layer: LayerType | None = None,
        aa_layer: LayerType | None = None,
        se_layer: LayerType | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float | None = None,
    ) -> None:
        super().__init__()
        act_layer = act_layer or nn.ReLU
        norm_layer = norm_layer or nn.BatchNorm2d
        self.drop_rate = drop_rate
        builder = EfficientNetBuilder(
            output_stride=output_stride,
            pad_type=pad_type,
            round_chs_fn=round_chs_fn,
            se_from_exp=se_from_exp,
            act_layer=act_layer,
            norm_layer=norm_layer,
            aa_layer=aa_layer,
            se_layer=se_layer or SqueezeExcite,
            drop_path_rate=drop_path_rate,
            layer_scale_init_value=layer_scale_init_value,
            feature_location=feature_location,
        )
        stem_size = stem_size if fix_stem else round_chs_fn(stem_size)
        norm_act = get_norm_act_layer(norm_layer, act_layer)
        self.build(builder, block_args, out_indices, in_chans, stem_size, 3, pad_type, norm_act)


__getattr__ = entrypoints(__name__)
