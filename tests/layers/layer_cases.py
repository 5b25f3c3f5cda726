"""Every class of timm.layers with a forward: how it is built, what goes in, what comes out, and what it cannot do.

Shapes: B images or sequences, C channels, H and W pixels, N tokens.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from timm import layers as L
from timm.layers import activations_me, bottleneck_attn, cbam, coord_attn, halo_attn, ml_decoder
from timm.layers import adaptive_avgmax_pool as adaptive
from timm.layers.batch_norm_act import FrozenBatchNorm2d
from timm.layers.conv2d_same import Conv2dSameExport
from timm.layers.grn import GlobalResponseNorm
from timm.layers.lambda_layer import LambdaLayer
from timm.layers.median_pool import MedianPool2d
from timm.layers.non_local_attn import BilinearAttnTransform
from timm.layers.norm import LayerNormExp2d
from timm.layers.patch_embed import PatchEmbedResamplerFixedOrigSize
from timm.layers.pool2d_same import MaxPool2dSame
from timm.layers.selective_kernel import SelectiveKernelAttn
from timm.layers.split_attn import RadixSoftmax
from timm.layers.squeeze_excite import SqueezeExciteCl

B, C, H, W, N = 2, 8, 4, 6, 5
MAP, LAST, TOKENS, POOLED = (B, C, H, W), (B, H, W, C), (B, N, C), (B, C)
SCORES = (B, 4, 6, 6)  # of four heads for a window of 3 x 2
IMAGE = (B, 3, 8, 12)


@dataclass(frozen=True)
class Case:
    """A layer and facts about it.

    Args:
        build: Class and arguments; `device` and `dtype` may be added.
        inputs: A tuple is the shape of a tensor; anything else goes in as it is.
        output: Shape of the tensor that comes out, or a list of shapes where there are several.
        train_output: In training, where it differs.
        lacks: Capability ('script', 'device', 'dtype', 'bfloat16') -> why this layer is without it.
        random: Training draws random numbers.
        coarse: Computes in float32 whatever comes in, so that finite differences have to be coarse.
        float32: Names of parameters and buffers that stay in float32 whatever dtype is asked for.
        still: Names of parameters on which the output in training does not depend -> why.
        method: What is called; the module itself when ''.
    """

    build: partial[nn.Module]
    inputs: tuple[Any, ...]
    output: Any
    train_output: Any = None
    lacks: dict[str, str] = field(default_factory=dict)
    random: bool = False
    coarse: bool = False
    float32: tuple[str, ...] = ()
    still: dict[str, str] = field(default_factory=dict)
    method: str = ''

    @property
    def layer_class(self) -> type[nn.Module]:
        return self.build.func  # pyright: ignore[reportReturnType]

    def __str__(self) -> str:
        def text(value: Any) -> str:
            if isinstance(value, partial):
                return f'partial({value.func.__name__})'
            return getattr(value, '__name__', None) or str(value)

        arguments = [text(value) for value in self.build.args]
        arguments += [f'{name}={text(value)}' for name, value in self.build.keywords.items()]
        return f'{self.build.func.__name__}({", ".join(arguments)}){self.method and "." + self.method}'

    __repr__ = __str__


class HalvingGate(nn.Module):
    """A gate as GatedMlp takes it: half of the width gates the other."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, value = x.chunk(2, dim=-1)
        return gate.sigmoid() * value


def stem(in_chans: int) -> nn.Module:
    """The least that a hybrid embedding takes for a backbone."""
    return nn.Conv2d(in_chans, C, kernel_size=2, stride=2)


class Classifier(nn.Module):
    """The least that pooling at test time takes for a network."""

    num_features = C

    def __init__(self) -> None:
        super().__init__()
        self.fc: nn.Module = nn.Linear(C, 3)

    def get_classifier(self) -> nn.Module:
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str = '') -> None:
        self.fc = nn.Identity()

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return x.square()


def wrapped_classifier(device: Any = None, dtype: torch.dtype | None = None) -> nn.Module:
    return L.TestTimePoolHead(Classifier().to(device, dtype), original_pool=(2, 3))


RECOMPUTES = {'script': 'an autograd function, which TorchScript cannot look into'}
KEEPS_MATRICES = {'script': 'keeps a dictionary of matrices', 'dtype': 'has no parameters, and is published without'}
AS_PUBLISHED = {'device': 'published without', 'dtype': 'published without'}
SOFTMAX = 'a shift of all scores leaves their softmax alone'
BATCH_NORM = 'the batch norm behind it takes the mean off'

ACTIVATIONS = [
    *(Case(partial(cls), (MAP,), MAP) for cls in (L.GELU, L.GELUTanh, L.HardMish, L.HardSigmoid, L.HardSwish)),
    *(Case(partial(cls), (MAP,), MAP) for cls in (L.Mish, L.QuickGELU, L.Sigmoid, L.Swish, L.Tanh)),
    *(
        Case(partial(getattr(activations_me, name)), (MAP,), MAP, lacks=RECOMPUTES)
        for name in ('HardMishMe', 'HardSigmoidMe', 'HardSwishMe', 'MishMe', 'SwishMe')
    ),
    Case(partial(L.PReLU), (MAP,), MAP, lacks=AS_PUBLISHED),
    Case(partial(L.PReLU, C), (MAP,), MAP, lacks=AS_PUBLISHED),
]

MAP_NORMS = (L.LayerNorm2d, L.RmsNorm2d, L.SimpleNorm2d)
TOKEN_NORMS = (L.LayerNorm, L.RmsNorm, L.SimpleNorm)
MAP_NORMS_FP32 = (L.LayerNorm2dFp32, L.RmsNorm2dFp32, L.SimpleNorm2dFp32)
TOKEN_NORMS_FP32 = (L.LayerNormFp32, L.RmsNormFp32, L.SimpleNormFp32)
MAP_NORM_ACTS = (L.LayerNormAct2d, L.RmsNormAct2d)
TOKEN_NORM_ACTS = (L.LayerNormAct, L.RmsNormAct)
MAP_NORM_ACTS_FP32 = (L.LayerNormAct2dFp32, L.RmsNormAct2dFp32, L.FilterResponseNormAct2d)
TOKEN_NORM_ACTS_FP32 = (L.LayerNormActFp32, L.RmsNormActFp32)
EVO_NORMS_B = (L.EvoNorm2dB0, L.EvoNorm2dB1, L.EvoNorm2dB2)
EVO_NORMS_S = (L.EvoNorm2dS0, L.EvoNorm2dS0a, L.EvoNorm2dS1, L.EvoNorm2dS1a, L.EvoNorm2dS2, L.EvoNorm2dS2a)

NORMS = [
    *(Case(partial(cls, C), (MAP,), MAP) for cls in MAP_NORMS),
    *(Case(partial(cls, C), (TOKENS,), TOKENS) for cls in TOKEN_NORMS),
    *(Case(partial(cls, C, act_layer='silu'), (MAP,), MAP) for cls in MAP_NORM_ACTS),
    *(Case(partial(cls, C, act_layer='silu'), (TOKENS,), TOKENS) for cls in TOKEN_NORM_ACTS),
    *(Case(partial(cls, C), (MAP,), MAP, coarse=True) for cls in MAP_NORMS_FP32),
    *(Case(partial(cls, C), (TOKENS,), TOKENS, coarse=True) for cls in TOKEN_NORMS_FP32),
    *(Case(partial(cls, C, act_layer='silu'), (MAP,), MAP, coarse=True) for cls in MAP_NORM_ACTS_FP32),
    *(Case(partial(cls, C, act_layer='silu'), (TOKENS,), TOKENS, coarse=True) for cls in TOKEN_NORM_ACTS_FP32),
    *(Case(partial(cls, C), (MAP,), MAP, coarse=True) for cls in EVO_NORMS_B),
    *(Case(partial(cls, C, groups=2), (MAP,), MAP, coarse=True) for cls in EVO_NORMS_S),
    Case(partial(L.FilterResponseNormTlu2d, C), (MAP,), MAP, coarse=True),
    Case(partial(LayerNormExp2d, C), (MAP,), MAP, lacks=AS_PUBLISHED),
    Case(partial(L.GroupNorm, C, 4), (MAP,), MAP),
    Case(partial(L.GroupNorm1, C), (MAP,), MAP),
    Case(partial(L.GroupNormAct, C, 4, act_layer='silu'), (MAP,), MAP),
    Case(partial(L.GroupNormAct, C, group_size=2), (MAP,), MAP),
    Case(partial(L.GroupNorm1Act, C, act_layer='prelu'), (MAP,), MAP),
    Case(partial(L.BatchNormAct2d, C), (MAP,), MAP),
    Case(partial(L.BatchNormAct2d, C, act_layer='silu', drop_layer=nn.Dropout), (MAP,), MAP, random=True),
    Case(partial(L.FrozenBatchNormAct2d, C), (MAP,), MAP),
    Case(partial(FrozenBatchNorm2d, C), (MAP,), MAP),
    Case(partial(L.SyncBatchNormAct, C), (MAP,), MAP, lacks={'script': 'talks to other processes'}),
    Case(partial(L.SplitBatchNorm2d, C), (MAP,), MAP),
    Case(partial(GlobalResponseNorm, C), (LAST,), LAST),
    Case(partial(GlobalResponseNorm, C, channels_last=False), (MAP,), MAP),
    Case(partial(L.LayerScale, C), (TOKENS,), TOKENS),
    Case(partial(L.LayerScale2d, C), (MAP,), MAP),
]

CONVOLUTIONS = [
    Case(partial(L.Conv2dSame, C, 6, 3, stride=2), (MAP,), (B, 6, 2, 3)),
    Case(partial(Conv2dSameExport, C, 6, 3, stride=2), (MAP,), (B, 6, 2, 3)),
    Case(partial(L.StdConv2d, C, 6, 3, bias=True), (MAP,), (B, 6, H, W)),
    Case(partial(L.StdConv2dSame, C, 6, 3, stride=2), (MAP,), (B, 6, 2, 3)),
    Case(partial(L.ScaledStdConv2d, C, 6, 3), (MAP,), (B, 6, H, W)),
    Case(partial(L.ScaledStdConv2dSame, C, 6, 3, stride=2), (MAP,), (B, 6, 2, 3)),
    Case(partial(L.CondConv2d, C, 6, 3, bias=True), (MAP, (B, 4)), (B, 6, H, W)),
    Case(partial(L.CondConv2d, C, 6, 3, stride=2, padding='same', groups=2), (MAP, (B, 4)), (B, 6, 2, 3)),
    Case(partial(L.MixedConv2d, C, 6, [3, 5], stride=2, padding='same'), (MAP,), (B, 6, 2, 3)),
    Case(partial(L.MixedConv2d, C, 2 * C, [3, 5], depthwise=True), (MAP,), (B, 2 * C, H, W)),
    Case(partial(L.SeparableConv2d, C, 6, 3), (MAP,), (B, 6, H, W)),
    Case(partial(L.SeparableConvNormAct, C, 6, 3, stride=2), (MAP,), (B, 6, 2, 3)),
    Case(partial(L.ConvNormAct, C, 6, 3), (MAP,), (B, 6, H, W)),
    Case(partial(L.ConvNormAct, C, 6, 3, stride=2, aa_layer='blur'), (MAP,), (B, 6, 2, 3)),
    Case(partial(L.ConvNormAct, C, 6, drop_layer=nn.Dropout), (MAP,), (B, 6, H, W), random=True),
    Case(partial(L.Linear, C, 3), (TOKENS,), (B, N, 3)),
]  # fmt: skip

POOLS = [
    Case(partial(L.AdaptiveAvgMaxPool2d, (2, 3)), (MAP,), (B, C, 2, 3)),
    Case(partial(adaptive.AdaptiveCatAvgMaxPool2d), (MAP,), (B, 2 * C, 1, 1)),
    Case(partial(adaptive.FastAdaptiveAvgPool), (MAP,), (B, C, 1, 1)),
    Case(partial(adaptive.FastAdaptiveMaxPool, flatten=True), (MAP,), POOLED),
    Case(partial(adaptive.FastAdaptiveAvgMaxPool, input_fmt='NLC', flatten=True), (TOKENS,), POOLED),
    Case(partial(adaptive.FastAdaptiveCatAvgMaxPool, input_fmt='NHWC'), (LAST,), (B, 1, 1, 2 * C)),
    Case(partial(L.SelectAdaptivePool2d, pool_type='avgmax', flatten=True), (MAP,), POOLED),
    Case(partial(L.SelectAdaptivePool2d, pool_type='catavgmax', input_fmt='NHWC'), (LAST,), (B, 1, 1, 2 * C)),
    Case(partial(L.AvgPool2dSame, 3, 2), (MAP,), (B, C, 2, 3)),
    Case(partial(MaxPool2dSame, 3, 2), (MAP,), (B, C, 2, 3)),
    Case(partial(MedianPool2d, 3, same=True), (MAP,), MAP),
    Case(partial(L.BlurPool2d, C), (MAP,), (B, C, 2, 3)),
    Case(partial(L.BlurPool2d, filt_size=4), (MAP,), (B, C, 3, 4)),
    Case(partial(L.LsePlus1d), (TOKENS,), POOLED),
    Case(partial(L.LsePlus2d, r_learnable=False, flatten=False), (MAP,), (B, C, 1, 1)),
    Case(
        partial(L.SimPool1d, C, 2, gamma=1.25), (TOKENS,), POOLED,
        still={'norm.bias': 'the least value, which is taken off all, has it as well'},
    ),
    Case(partial(L.SimPool2d, C, qk_norm=True), (MAP,), POOLED, still={'k_norm.bias': SOFTMAX}),
    Case(partial(L.AttentionPoolLatent, C, num_heads=2, pos_embed='abs', feat_size=N), (TOKENS,), POOLED),
    Case(partial(L.AttentionPoolLatent, C, 6, num_heads=2, latent_len=3, pool_type=''), (TOKENS,), (B, 3, 6)),
    Case(partial(L.AttentionPoolPrr, C, 2, pre_norm=True, post_norm=True), (TOKENS,), POOLED),
    Case(partial(L.AttentionPool2d, C, feat_size=(H, W), num_heads=2, out_features=3), (MAP,), (B, 3)),
    Case(partial(L.AttentionPool2d, C, feat_size=3, num_heads=2, class_token=True, pool_type=''), (MAP,), MAP),
    Case(
        partial(L.RotAttentionPool2d, C, num_heads=2, qkv_separate=True, drop_rate=0.5), (MAP,), POOLED, random=True,
        float32=('pos_embed.bands',),
    ),
    Case(partial(L.SpaceToDepth, 2), (MAP,), (B, 4 * C, 2, 3)),
    Case(partial(L.DepthToSpace, 2), (MAP,), (B, C // 4, 2 * H, 2 * W)),
    Case(partial(wrapped_classifier), (MAP,), (B, 3)),
]  # fmt: skip

ATTENTION = [
    Case(partial(L.Attention, C, 2, qkv_bias=True), (TOKENS,), TOKENS),
    Case(
        partial(L.Attention, C, 2, qk_norm=True, scale_norm=True, gated=True, norm_layer=L.LayerNorm, attn_drop=0.2),
        (TOKENS,), TOKENS, random=True, still={'k_norm.bias': SOFTMAX},
    ),
    Case(partial(L.AttentionRope, C, 2, qkv_fused=False, num_kv_heads=1), (TOKENS, (N - 1, C)), TOKENS),
    Case(partial(L.AttentionRope, C, 2, num_prefix_tokens=0, rotate_half=True), (TOKENS, (N, C)), TOKENS),
    Case(
        partial(L.DiffAttention, C, 2), (TOKENS,), TOKENS,
        float32=('lambda_q1', 'lambda_k1', 'lambda_q2', 'lambda_k2'),
    ),
    Case(
        partial(L.DiffAttention, C, 2, qk_norm=True, dual_lambda=True), (TOKENS,), TOKENS,
        float32=('lambda_a', 'lambda_b'),
    ),
    Case(partial(L.Attention2d, C, 6, num_heads=2), (MAP,), (B, 6, H, W)),
    Case(partial(L.Attention2d, C, 6, num_heads=2, expand_first=True, head_first=True), (MAP,), (B, 6, H, W)),
    Case(partial(L.MultiQueryAttention2d, C, 6, num_heads=2), (MAP,), (B, 6, H, W)),
    Case(
        partial(L.MultiQueryAttention2d, C, num_heads=2, query_strides=2, kv_stride=2, padding='same'), (MAP,), MAP,
        still={'key.norm.bias': SOFTMAX},
    ),
    Case(
        partial(L.MultiQueryAttentionV2, C, num_heads=2, key_dim=4, value_dim=3, proj_drop=0.2), (MAP,), MAP,
        random=True,
    ),
]  # fmt: skip

SPATIAL_ATTENTION = [
    Case(partial(bottleneck_attn.BottleneckAttn, C, feat_size=(H, W), num_heads=2), (MAP,), MAP),
    Case(
        partial(bottleneck_attn.BottleneckAttn, C, 6, (H, W), stride=2, num_heads=2, qkv_bias=True), (MAP,),
        (B, 6, 2, 3),
    ),
    Case(partial(bottleneck_attn.PosEmbedRel, (H, W), 3, 0.5), ((B, H * W, 3),), (B, H * W, H * W)),
    Case(partial(halo_attn.HaloAttn, C, num_heads=2, block_size=2, halo_size=1), (MAP,), MAP),
    Case(
        partial(halo_attn.HaloAttn, C, 6, stride=2, num_heads=2, block_size=2, halo_size=1), (MAP,), (B, 6, 2, 3),
    ),
    Case(partial(halo_attn.PosEmbedRel, 2, 4, 3, 0.5), ((B, 6, 4, 3),), (B, 6, 4, 16)),
    Case(partial(LambdaLayer, C, num_heads=2, dim_head=4, r=3), (MAP,), MAP),
    Case(partial(LambdaLayer, C, 6, (H, W), stride=2, num_heads=2, dim_head=4, r=None), (MAP,), (B, 6, 2, 3)),
    Case(
        partial(ml_decoder.MLDecoder, 5, 3, 8, C), (MAP,), (B, 5), random=True, lacks=AS_PUBLISHED,
    ),
    Case(
        partial(ml_decoder.TransformerDecoderLayerOptimal, C, 2, 6), ((3, B, C), (N, B, C)), (3, B, C), random=True,
        lacks=AS_PUBLISHED,
    ),
]  # fmt: skip

CHANNEL_ATTENTION = [
    Case(partial(L.SEModule, C, rd_channels=4), (MAP,), MAP),
    Case(
        partial(L.SEModule, C, norm_layer=nn.BatchNorm2d, add_maxpool=True), (MAP,), MAP,
        still={'fc1.bias': BATCH_NORM},
    ),
    Case(partial(SqueezeExciteCl, C), (LAST,), LAST),
    Case(partial(L.EffectiveSEModule, C), (MAP,), MAP),
    Case(partial(L.EcaModule, C), (MAP,), MAP),
    Case(partial(L.EcaModule, C, use_mlp=True), (MAP,), MAP),
    Case(partial(L.CecaModule, C), (MAP,), MAP),
    Case(
        partial(L.GlobalContext, C, fuse_add=True, rd_channels=4), (MAP,), MAP,
        still={'conv_attn.bias': SOFTMAX},
    ),
    Case(partial(L.GatherExcite, C, rd_channels=4), (MAP,), MAP),
    Case(partial(L.GatherExcite, C, extent=2, extra_params=True, rd_channels=4), (MAP,), MAP),
    Case(
        partial(L.GatherExcite, C, (H, W), extra_params=True, use_mlp=False, norm_layer=None), (MAP,), MAP,
    ),
    Case(partial(coord_attn.CoordAttn, C, rd_channels=4), (MAP,), MAP),
    Case(partial(coord_attn.SimpleCoordAttn, C, has_skip=True), (MAP,), MAP),
    Case(partial(coord_attn.EfficientLocalAttn, C, 3), (MAP,), MAP),
    Case(partial(coord_attn.StripAttn, C), (MAP,), MAP),
    Case(
        partial(L.NonLocalAttn, C, rd_channels=4), (MAP,), MAP,
        still={'p.bias': SOFTMAX, 'g.bias': BATCH_NORM, 'z.bias': BATCH_NORM},
    ),
    Case(partial(L.BatNonLocalAttn, C, block_size=2, rd_channels=4), (MAP,), MAP, random=True),
    Case(partial(BilinearAttnTransform, C, 2, 2), (MAP,), MAP),
    Case(partial(cbam.CbamModule, C, rd_channels=4), (MAP,), MAP),
    Case(partial(cbam.LightCbamModule, C, rd_channels=4), (MAP,), MAP),
    Case(partial(cbam.ChannelAttn, C, rd_channels=4), (MAP,), MAP),
    Case(partial(cbam.LightChannelAttn, C, rd_channels=4), (MAP,), MAP),
    Case(partial(cbam.SpatialAttn), (MAP,), MAP),
    Case(partial(cbam.LightSpatialAttn), (MAP,), MAP),
    Case(partial(L.SelectiveKernel, C, 6), (MAP,), (B, 6, H, W)),
    Case(partial(L.SelectiveKernel, C, 6, stride=2, split_input=False, keep_3x3=False), (MAP,), (B, 6, 2, 3)),
    Case(partial(SelectiveKernelAttn, C, 3, attn_channels=4), ((B, 3, C, H, W),), (B, 3, C, 1, 1)),
    Case(
        partial(L.SplitAttn, C, 6, norm_layer=nn.BatchNorm2d), (MAP,), (B, 6, H, W),
        still={'fc1.bias': BATCH_NORM},
    ),
    Case(partial(L.SplitAttn, C, groups=2, radix=1), (MAP,), MAP),
    Case(partial(RadixSoftmax, 2, 3), ((B, 12, 1, 1),), (B, 12)),
]  # fmt: skip

MLPS = [
    Case(partial(L.Mlp, C, 6, 3, norm_layer=L.LayerNorm), (TOKENS,), (B, N, 3)),
    Case(partial(L.Mlp, C, use_conv=True, drop=(0.2, 0.1)), (MAP,), MAP, random=True),
    Case(partial(L.GluMlp, C, 6), (TOKENS,), TOKENS),
    Case(partial(L.GluMlp, C, 6, use_conv=True, norm_layer=L.LayerNorm2d), (MAP,), MAP),
    Case(partial(L.SwiGLUPacked, C, 6), (TOKENS,), TOKENS),
    Case(partial(L.SwiGLU, C, 6, align_to=4, norm_layer=L.RmsNorm), (TOKENS,), TOKENS),
    Case(partial(L.GatedMlp, C, 6, gate_layer=HalvingGate), (TOKENS,), TOKENS),
    Case(partial(L.ConvMlp, C, 6, norm_layer=L.LayerNorm2d), (MAP,), MAP),
    Case(partial(L.GlobalResponseNormMlp, C, 6), (LAST,), LAST),
    Case(partial(L.GlobalResponseNormMlp, C, 6, use_conv=True), (MAP,), MAP),
]

HEADS = [
    Case(partial(L.ClassifierHead, C, 3, drop_rate=0.2), (MAP,), (B, 3), random=True),
    Case(partial(L.ClassifierHead, C, 3, 'catavgmax', use_conv=True), (MAP,), (B, 3)),
    Case(partial(L.ClassifierHead, C, 3, input_fmt='NHWC'), (LAST,), (B, 3)),
    Case(partial(L.NormMlpClassifierHead, C, 3, hidden_size=6), (MAP,), (B, 3)),
    Case(partial(L.NormMlpClassifierHead, C, 3, pool_type=''), (MAP,), (B, 3, H, W)),
    Case(partial(L.ClNormMlpClassifierHead, C, 3, hidden_size=6), (LAST,), (B, 3)),
    Case(partial(L.ClNormMlpClassifierHead, C, 3, pool_type='max', input_fmt='NLC'), (TOKENS,), (B, 3)),
]

REGULARISERS = [
    Case(partial(L.DropPath, 0.5), ((9, N, C),), (9, N, C), random=True),
    Case(partial(L.DropPath, 0.0), (MAP,), MAP),
    Case(partial(L.DropBlock2d, 0.3, 2), (MAP,), MAP, random=True),
    Case(partial(L.DropBlock2d, 0.0), (MAP,), MAP),
    Case(partial(L.PatchDropout, 0.5), ((B, 9, C),), (B, 9, C), train_output=(B, 5, C), random=True),
    Case(partial(L.PatchDropout, 0.0), ((B, 9, C),), (B, 9, C)),
    Case(
        partial(L.PatchDropoutWithIndices, 0.5, ordered=True), ((B, 9, C),), (B, 9, C),
        train_output=[(B, 5, C), (B, 4)], random=True,
    ),
]  # fmt: skip

EMBEDDINGS = [
    Case(partial(L.PatchEmbed, (8, 12), 4, 3, C, norm_layer=L.LayerNorm), (IMAGE,), (B, 6, C)),
    Case(partial(L.PatchEmbed, None, 5, 3, C, output_fmt='NHWC', dynamic_img_pad=True), (IMAGE,), (B, 2, 3, C)),
    Case(partial(L.PatchEmbedWithSize, None, 4, 3, C), (IMAGE,), (B, 6, C)),
    Case(partial(L.HybridEmbed, stem, (8, 12), 2, embed_dim=6), (IMAGE,), (B, 6, 6)),
    Case(partial(L.HybridEmbedWithSize, stem, (8, 12), 2, embed_dim=6), (IMAGE,), (B, 6, 6)),
    Case(
        partial(PatchEmbedResamplerFixedOrigSize, (4, 4)), ((C, 3, 4, 4), [2, 6]), (C, 3, 2, 6),
        lacks=KEEPS_MATRICES,
    ),
    Case(
        partial(L.PatchEmbedInterpolator, (4, 4), 3, C), ((B, N, 27), (C, 48), (C,), [3, 3]), TOKENS,
        lacks=KEEPS_MATRICES,
    ),
    Case(partial(L.FourierEmbed, 8, 2), (MAP,), (B, H * W, C + 10)),
    Case(partial(L.RelPosBias, (3, 2), 4), (SCORES,), SCORES),
    Case(partial(L.RelPosBias, (3, 2), 4, prefix_tokens=1), ((B, 4, 7, 7),), (B, 4, 7, 7)),
    Case(partial(L.RelPosBiasTf, (3, 2), 4), (SCORES,), SCORES),
    Case(partial(L.RelPosMlp, (3, 2), 4, 6), (SCORES,), SCORES, random=True, float32=('rel_coords_log',)),
    Case(partial(L.RotaryEmbedding, C, feat_shape=(H, W)), (MAP,), MAP, float32=('bands',)),
    Case(
        partial(L.RotaryEmbeddingCat, C, in_pixels=False, shift_coords=0.5), (MAP,), MAP, random=True,
        float32=('bands',),
    ),
    Case(partial(L.RotaryEmbeddingDinoV3, C, feat_shape=(H, W)), (MAP,), MAP, float32=('periods',)),
    Case(
        partial(L.RotaryEmbeddingMixed, C, 1, 2, feat_shape=(H, W)), (MAP,), MAP, coarse=True, float32=('t_x', 't_y')
    ),
    Case(
        partial(L.RotaryEmbeddingMRope, C, (1, 1, 2)), ([H, W],), (H * W, 2 * C), method='get_embed',
        float32=('inv_freq',), lacks={'bfloat16': 'gives a table in the dtype that the call names, float32 if none'},
    ),
]  # fmt: skip

# Classes that stand without a case -> why.
APART = {L.InplaceAbn: 'computes by a package that is not required; tests/layers/test_inplace_abn.py'}

CASES = [
    *ACTIVATIONS,
    *NORMS,
    *CONVOLUTIONS,
    *POOLS,
    *ATTENTION,
    *SPATIAL_ATTENTION,
    *CHANNEL_ATTENTION,
    *MLPS,
    *HEADS,
    *REGULARISERS,
    *EMBEDDINGS,
]
