"""Hybrid vision transformers: the tokens are those of a convolutional network's feature map.

Papers:
    An Image is Worth 16x16 Words, Dosovitskiy et al., 2020, arXiv:2010.11929 (section 3.1, hybrid architecture)
    How to train your ViT?, Steiner et al., 2021, arXiv:2106.10270 (weights)
    MobileCLIP, Vasu et al., 2023, arXiv:2311.17049 (`ConvStem`)

Departures: none. Behind the embedding the network is `VisionTransformer` as it is.
Shapes: B images, C channels, H and W pixels.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import nn

from timm.convert.vision_transformer_hybrid import checkpoint_filter_fn as checkpoint_filter_fn
from timm.layers import ConvNormAct, HybridEmbed, StdConv2dSame, to_ntuple
from timm.layers._device import Module

from ._entrypoints import entrypoints
from .resnet import resnet26d as resnet26d
from .resnet import resnet50d as resnet50d
from .resnetv2 import ResNetV2, create_resnetv2_stem
from .vision_transformer import VisionTransformer

__all__ = ['ConvStem', 'HybridEmbed', 'VisionTransformer']


class ConvStem(Module, nn.Sequential):
    """Strided convolutions with norm and activation: (B, in_chans, H, W) -> (B, channels[-1], H/s, W/s).

    Args:
        depth: How many there are.
        channels: Width of each; a number is the first, doubled by each later one.
        stride: Of each.
    """

    def __init__(
        self,
        in_chans: int = 3,
        depth: int = 3,
        channels: int | tuple[int, ...] = 64,
        kernel_size: int | tuple[int, ...] = 3,
        stride: int | tuple[int, ...] = (2, 2, 2),
        padding: str | int | tuple[int, ...] = '',
        norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d,
        act_layer: Callable[..., nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        widths = [channels * 2**i for i in range(depth)] if isinstance(channels, int) else list(channels)
        kernel_sizes, strides, paddings = (to_ntuple(depth)(value) for value in (kernel_size, stride, padding))
        in_chs = in_chans
        for i in range(depth):
            is_last = i == depth - 1
            self.append(
                ConvNormAct(
                    in_chs,
                    widths[i],
                    kernel_size=kernel_sizes[i],
                    stride=strides[i],
                    padding=paddings[i],
                    bias=is_last,
                    apply_norm=not is_last,
                    apply_act=not is_last,
                    norm_layer=norm_layer,
                    act_layer=act_layer,
                )
            )
            in_chs = widths[i]


def bit_backbone(layers: Sequence[int], in_chans: int = 3, **kwargs: Any) -> nn.Module:
    """The ResNet V2 of the JAX hybrids (section 3.1); without `layers` its stem alone."""
    conv_layer = partial(StdConv2dSame, eps=1e-8)
    if not layers:
        return create_resnetv2_stem(in_chans, stem_type='same', preact=False, conv_layer=conv_layer, **kwargs)
    return ResNetV2(
        layers=tuple(layers),
        num_classes=0,
        global_pool='',
        in_chans=in_chans,
        preact=False,
        stem_type='same',
        conv_layer=conv_layer,
        **kwargs,
    )


def hybrid_embed(
    backbone: Callable[..., nn.Module],
    embed_args: dict[str, Any] | None = None,
    patch_size: int = 1,
    **kwargs: Any,
) -> dict[str, Any]:
    """Arguments of `VisionTransformer` for a backbone: an embedding of patches of its map."""
    return {
        'embed_layer': partial(HybridEmbed, backbone=backbone, **(embed_args or {})),
        'patch_size': patch_size,
        **kwargs,
    }


__getattr__ = entrypoints(__name__)
