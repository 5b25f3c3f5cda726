"""EfficientNet, MobileNet V1 and V2, MnasNet, MixNet, TinyNet and kin: variants and published weights.

The network is timm/models/efficientnet.py, the language of the block strings that of _efficientnet_builder.py beside it.
In names: `tf_` is computed as TensorFlow does, `ns`, `ap`, `aa`, `ra` in tags are recipes (NoisyStudent, AdvProp,
AutoAugment, RandAugment), `lite` has no attention, `cc` mixes experts, `es`, `em`, `el` are for the Edge TPU.
"""

from typing import Any

from ._constants import IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD
from ._schema import Family, Ref, Variant, Weights

RW = 'https://github.com/rwightman/pytorch-image-models/releases/download'
HF = 'https://github.com/huggingface/pytorch-image-models/releases/download'
HUAWEI = 'https://github.com/huawei-noah/CV-Backbones/releases/download'

WEIGHTS = Weights(
    hf_hub_id='timm/',
    pool_size=(7, 7),
    first_conv='conv_stem',
    classifier='classifier',
    license='apache-2.0',
)
UNTRAINED = WEIGHTS.but(hf_hub_id=None)
HALF: dict[str, Any] = dict(mean=IMAGENET_INCEPTION_MEAN, std=IMAGENET_INCEPTION_STD)


def at(size: int, crop_pct: float = 0.875, test: tuple[int, float | None] | None = None, **changes: Any) -> Weights:
    """Weights trained at `size` pixels, which may be better evaluated at `test`: another size and crop."""
    test_size, test_crop_pct = test or (None, None)
    return WEIGHTS.but(
        input_size=(3, size, size),
        pool_size=(-(-size // 32), -(-size // 32)),
        crop_pct=crop_pct,
        test_input_size=None if test_size is None else (3, test_size, test_size),
        test_crop_pct=test_crop_pct,
        **changes,
    )


RELU = Ref('nn.ReLU')
RELU6 = Ref('nn.ReLU6')
SILU = Ref('nn.SiLU')
TF: dict[str, Any] = dict(bn_eps=1e-3, pad_type='same')


def group_norm(size: int) -> dict[str, Any]:
    """Group norms of so many channels a group in place of batch norms."""
    return dict(norm_layer=Ref('layers.GroupNormAct', group_size=size))


def scaled(net: dict[str, Any], width: float, depth: float | tuple[float, ...], **changes: Any) -> dict[str, Any]:
    """A network with all widths and depths multiplied."""
    return {**net, 'channel_multiplier': width, 'depth_multiplier': depth, **changes}


# EfficientNet, 1905.11946: table 1
B0: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s1_e1_c16_se0.25',
        'ir_r2_k3_s2_e6_c24_se0.25',
        'ir_r2_k5_s2_e6_c40_se0.25',
        'ir_r3_k3_s2_e6_c80_se0.25',
        'ir_r3_k5_s1_e6_c112_se0.25',
        'ir_r4_k5_s2_e6_c192_se0.25',
        'ir_r1_k3_s1_e6_c320_se0.25',
    ),
    act_layer=SILU,
)

# Depth, width and channels of the last convolution: B1 to B7 as in the published code; B8 is AdvProp's, 1911.09665,
# L2 NoisyStudent's, 1911.04252, table 7.
B1 = scaled(B0, 1.0, 1.1)
B2 = scaled(B0, 1.1, 1.2, num_features=1408)
B3 = scaled(B0, 1.2, 1.4, num_features=1536)
B4 = scaled(B0, 1.4, 1.8, num_features=1792)
B5 = scaled(B0, 1.6, 2.2, num_features=2048)
B6 = scaled(B0, 1.8, 2.6, num_features=2304)
B7 = scaled(B0, 2.0, 3.1, num_features=2560)
B8 = scaled(B0, 2.2, 3.6, num_features=2816)
L2 = scaled(B0, 4.3, 5.3, num_features=5504)

# EfficientNet-Lite: no attention, stem and outer stages not scaled, ReLU6.
LITE0: dict[str, Any] = dict(
    blocks=tuple(stage.removesuffix('_se0.25') for stage in B0['blocks']),
    fix_first_last=True,
    fix_stem=True,
    act_layer=RELU6,
)
LITE1 = scaled(LITE0, 1.0, 1.1)
LITE2 = scaled(LITE0, 1.1, 1.2)
LITE3 = scaled(LITE0, 1.2, 1.4)
LITE4 = scaled(LITE0, 1.4, 1.8)

# CondConv, 1904.04971: experts in the last three stages.
CC_B0: dict[str, Any] = {**B0, 'blocks': (*B0['blocks'][:4], *(f'{stage}_cc4' for stage in B0['blocks'][4:]))}
CC_B0_8E: dict[str, Any] = {**CC_B0, 'experts_multiplier': 2}
CC_B1_8E = scaled(CC_B0, 1.0, 1.1, experts_multiplier=2)

# TinyNet, 2010.14819: published code.
TINY: dict[str, Any] = {**B0, 'fix_stem': True, 'depth_trunc': 'round'}

# EfficientNet-X, 2102.05610
X: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s1_e1_c16_se0.25_d1',
        'er_r2_k3_s2_e6_c24_se0.25_nre',
        'er_r2_k5_s2_e6_c40_se0.25_nre',
        'ir_r3_k3_s2_e6_c80_se0.25',
        'ir_r3_k5_s1_e6_c112_se0.25',
        'ir_r4_k5_s2_e6_c192_se0.25',
        'ir_r1_k3_s1_e6_c320_se0.25',
    ),
    act_layer=SILU,
)

# EfficientNet-H: the same with smaller expansion in stages 2 to 4
H: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s1_e1_c16_se0.25_d1',
        'er_r2_k3_s2_e4_c24_se0.25_nre',
        'er_r2_k5_s2_e4_c40_se0.25_nre',
        'ir_r3_k3_s2_e4_c80_se0.25',
        'ir_r3_k5_s1_e6_c112_se0.25',
        'ir_r4_k5_s2_e6_c192_se0.25',
        'ir_r1_k3_s1_e6_c320_se0.25',
    ),
    act_layer=SILU,
)

# EfficientNet-EdgeTPU, 2003.02838: published code
EDGE_S: dict[str, Any] = dict(
    blocks=(
        'er_r1_k3_s1_e4_c24_fc24_noskip',
        'er_r2_k3_s2_e8_c32',
        'er_r4_k3_s2_e8_c48',
        'ir_r5_k5_s2_e8_c96',
        'ir_r4_k5_s1_e8_c144',
        'ir_r2_k5_s2_e8_c192',
    ),
    act_layer=RELU,
)

EDGE_M = scaled(EDGE_S, 1.0, 1.1)
EDGE_L = scaled(EDGE_S, 1.2, 1.4, num_features=1536)

# EfficientNetV2, 2104.00298: table 4
V2_S: dict[str, Any] = dict(
    blocks=(
        'cn_r2_k3_s1_e1_c24_skip',
        'er_r4_k3_s2_e4_c48',
        'er_r4_k3_s2_e4_c64',
        'ir_r6_k3_s2_e4_c128_se0.25',
        'ir_r9_k3_s1_e6_c160_se0.25',
        'ir_r15_k3_s2_e6_c256_se0.25',
    ),
    stem_size=24,
    act_layer=SILU,
)

# EfficientNetV2: published code
V2_M: dict[str, Any] = dict(
    blocks=(
        'cn_r3_k3_s1_e1_c24_skip',
        'er_r5_k3_s2_e4_c48',
        'er_r5_k3_s2_e4_c80',
        'ir_r7_k3_s2_e4_c160_se0.25',
        'ir_r14_k3_s1_e6_c176_se0.25',
        'ir_r18_k3_s2_e6_c304_se0.25',
        'ir_r5_k3_s1_e6_c512_se0.25',
    ),
    stem_size=24,
    act_layer=SILU,
)

# EfficientNetV2: published code
V2_L: dict[str, Any] = dict(
    blocks=(
        'cn_r4_k3_s1_e1_c32_skip',
        'er_r7_k3_s2_e4_c64',
        'er_r7_k3_s2_e4_c96',
        'ir_r10_k3_s2_e4_c192_se0.25',
        'ir_r19_k3_s1_e6_c224_se0.25',
        'ir_r25_k3_s2_e6_c384_se0.25',
        'ir_r7_k3_s1_e6_c640_se0.25',
    ),
    act_layer=SILU,
)

# EfficientNetV2: published code
V2_XL: dict[str, Any] = dict(
    blocks=(
        'cn_r4_k3_s1_e1_c32_skip',
        'er_r8_k3_s2_e4_c64',
        'er_r8_k3_s2_e4_c96',
        'ir_r16_k3_s2_e4_c192_se0.25',
        'ir_r24_k3_s1_e6_c256_se0.25',
        'ir_r32_k3_s2_e6_c512_se0.25',
        'ir_r8_k3_s1_e6_c640_se0.25',
    ),
    act_layer=SILU,
)

# EfficientNetV2: published code, to be scaled as V1 is
V2_B0: dict[str, Any] = dict(
    blocks=(
        'cn_r1_k3_s1_e1_c16_skip',
        'er_r2_k3_s2_e4_c32',
        'er_r2_k3_s2_e4_c48',
        'ir_r3_k3_s2_e4_c96_se0.25',
        'ir_r5_k3_s1_e6_c112_se0.25',
        'ir_r8_k3_s2_e6_c192_se0.25',
    ),
    round_limit=0.0,
    act_layer=SILU,
)

# An early guess at EfficientNetV2-S, before its code was published
V2_RW_S: dict[str, Any] = dict(
    blocks=(
        'er_r2_k3_s1_e1_c24',
        'er_r4_k3_s2_e4_c48',
        'er_r4_k3_s2_e4_c64',
        'ir_r6_k3_s2_e4_c128_se0.25',
        'ir_r9_k3_s1_e6_c160_se0.25',
        'ir_r15_k3_s2_e6_c272_se0.25',
    ),
    stem_size=24,
    num_features=1792,
    act_layer=SILU,
)

V2_RW_M = scaled(V2_RW_S, 1.2, (1.2, 1.2, 1.2, 1.2, 1.6, 1.6), num_features=2152)
V2_RW_T = scaled(V2_S, 0.8, 0.9, num_features=1024)

# The smallest that has every part, for tests
TEST: dict[str, Any] = dict(
    blocks=(
        'cn_r1_k3_s1_e1_c16_skip',
        'er_r1_k3_s2_e4_c24',
        'er_r1_k3_s2_e4_c32',
        'ir_r1_k3_s2_e4_c48_se0.25',
        'ir_r1_k3_s2_e4_c64_se0.25',
    ),
    stem_size=24,
    num_features=256,
    round_limit=0.0,
    act_layer=SILU,
)

# MnasNet, 1807.11626: figure 7 without attention
MNASNET_B1: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s1_e1_c16_noskip',
        'ir_r3_k3_s2_e3_c24',
        'ir_r3_k5_s2_e3_c40',
        'ir_r3_k5_s2_e6_c80',
        'ir_r2_k3_s1_e6_c96',
        'ir_r4_k5_s2_e6_c192',
        'ir_r1_k3_s1_e6_c320_noskip',
    ),
)

# MnasNet: figure 7
MNASNET_A1: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s1_e1_c16_noskip',
        'ir_r2_k3_s2_e6_c24',
        'ir_r3_k5_s2_e3_c40_se0.25',
        'ir_r4_k3_s2_e6_c80',
        'ir_r2_k3_s1_e6_c112_se0.25',
        'ir_r3_k5_s2_e6_c160_se0.25',
        'ir_r1_k3_s1_e6_c320',
    ),
)

# MnasNet: published code
MNASNET_SMALL: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s1_c8',
        'ir_r1_k3_s2_e3_c16',
        'ir_r2_k3_s2_e6_c16',
        'ir_r4_k5_s2_e6_c32_se0.25',
        'ir_r3_k3_s1_e6_c32_se0.25',
        'ir_r3_k5_s2_e6_c88_se0.25',
        'ir_r1_k3_s1_e6_c144',
    ),
    stem_size=8,
)

# Single-Path NAS, 1904.02877: published code
SPNASNET: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s1_c16_noskip',
        'ir_r3_k3_s2_e3_c24',
        'ir_r1_k5_s2_e6_c40 ir_r3_k3_s1_e3_c40',
        'ir_r1_k5_s2_e6_c80 ir_r3_k3_s1_e3_c80',
        'ir_r1_k5_s1_e6_c96 ir_r3_k5_s1_e3_c96',
        'ir_r4_k5_s2_e6_c192',
        'ir_r1_k3_s1_e6_c320_noskip',
    ),
)

# FBNet, 1812.03443: published code
FBNET_C: dict[str, Any] = dict(
    blocks=(
        'ir_r1_k3_s1_e1_c16',
        'ir_r1_k3_s2_e6_c24 ir_r2_k3_s1_e1_c24',
        'ir_r1_k5_s2_e6_c32 ir_r1_k5_s1_e3_c32 ir_r1_k5_s1_e6_c32 ir_r1_k3_s1_e6_c32',
        'ir_r1_k5_s2_e6_c64 ir_r1_k5_s1_e3_c64 ir_r2_k5_s1_e6_c64',
        'ir_r3_k5_s1_e6_c112 ir_r1_k5_s1_e3_c112',
        'ir_r4_k5_s2_e6_c184',
        'ir_r1_k3_s1_e6_c352',
    ),
    stem_size=16,
    num_features=1984,
)

# MixNet, 1907.09595: published code
MIXNET_S: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s1_e1_c16',
        'ir_r1_k3_a1.1_p1.1_s2_e6_c24 ir_r1_k3_a1.1_p1.1_s1_e3_c24',
        'ir_r1_k3.5.7_s2_e6_c40_se0.5_nsw ir_r3_k3.5_a1.1_p1.1_s1_e6_c40_se0.5_nsw',
        'ir_r1_k3.5.7_p1.1_s2_e6_c80_se0.25_nsw ir_r2_k3.5_p1.1_s1_e6_c80_se0.25_nsw',
        'ir_r1_k3.5.7_a1.1_p1.1_s1_e6_c120_se0.5_nsw ir_r2_k3.5.7.9_a1.1_p1.1_s1_e3_c120_se0.5_nsw',
        'ir_r1_k3.5.7.9.11_s2_e6_c200_se0.5_nsw ir_r2_k3.5.7.9_p1.1_s1_e6_c200_se0.5_nsw',
    ),
    stem_size=16,
    num_features=1536,
)

# MixNet: published code
MIXNET_M: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s1_e1_c24',
        'ir_r1_k3.5.7_a1.1_p1.1_s2_e6_c32 ir_r1_k3_a1.1_p1.1_s1_e3_c32',
        'ir_r1_k3.5.7.9_s2_e6_c40_se0.5_nsw ir_r3_k3.5_a1.1_p1.1_s1_e6_c40_se0.5_nsw',
        'ir_r1_k3.5.7_s2_e6_c80_se0.25_nsw ir_r3_k3.5.7.9_a1.1_p1.1_s1_e6_c80_se0.25_nsw',
        'ir_r1_k3_s1_e6_c120_se0.5_nsw ir_r3_k3.5.7.9_a1.1_p1.1_s1_e3_c120_se0.5_nsw',
        'ir_r1_k3.5.7.9_s2_e6_c200_se0.5_nsw ir_r3_k3.5.7.9_p1.1_s1_e6_c200_se0.5_nsw',
    ),
    stem_size=24,
    num_features=1536,
    depth_trunc='round',
)

# MobileNet, 1704.04861: table 1
MOBILENET_V1: dict[str, Any] = dict(
    blocks=(
        'dsa_r1_k3_s1_c64',
        'dsa_r2_k3_s2_c128',
        'dsa_r2_k3_s2_c256',
        'dsa_r6_k3_s2_c512',
        'dsa_r2_k3_s2_c1024',
    ),
    num_features=0,
    act_layer=RELU6,
)

# MobileNetV2, 1801.04381: table 2
MOBILENET_V2: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s1_c16',
        'ir_r2_k3_s2_e6_c24',
        'ir_r3_k3_s2_e6_c32',
        'ir_r4_k3_s2_e6_c64',
        'ir_r3_k3_s1_e6_c96',
        'ir_r3_k3_s2_e6_c160',
        'ir_r1_k3_s1_e6_c320',
    ),
    act_layer=RELU6,
)

# The `d` forms are deeper too, with stem and outer stages not scaled.
DEEP: dict[str, Any] = dict(fix_first_last=True, fix_stem=True)

# MobileNet-EdgeTPU: published code
MOBILENET_EDGE: dict[str, Any] = dict(
    blocks=(
        'cn_r1_k1_s1_c16',
        'er_r1_k3_s2_e8_c32 er_r3_k3_s1_e4_c32',
        'er_r1_k3_s2_e8_c48 er_r3_k3_s1_e4_c48',
        'ir_r1_k3_s2_e8_c96 ir_r3_k3_s1_e4_c96',
        'ir_r1_k3_s1_e8_c96_noskip ir_r3_k3_s1_e4_c96',
        'ir_r1_k5_s2_e8_c160 ir_r3_k5_s1_e4_c160',
        'ir_r1_k3_s1_e8_c192',
    ),
    act_layer=RELU,
)


def mobilenet_edge_v2(widths: tuple[int, ...], group_size: int, **changes: Any) -> dict[str, Any]:
    """MobileNet-EdgeTPU-V2 (published code) with these widths of its seven stages."""
    a, b, c, d, e, f, g = widths
    blocks = (
        f'cn_r1_k1_s1_c{a}',
        f'er_r1_k3_s2_e8_c{b} er_r1_k3_s1_e4_c{b}_gs{group_size}',
        f'er_r1_k3_s2_e8_c{c} er_r1_k3_s1_e4_c{c}_gs{group_size} er_r1_k3_s1_e4_c{c} er_r1_k3_s1_e4_c{c}_gs{group_size}',
        f'er_r1_k3_s2_e8_c{d} ir_r3_k3_s1_e4_c{d}',
        f'ir_r1_k3_s1_e8_c{e} ir_r3_k3_s1_e4_c{e}',
        f'ir_r1_k3_s2_e8_c{f} ir_r3_k3_s1_e4_c{f}',
        f'ir_r1_k3_s1_e8_c{g}',
    )
    return dict(blocks=blocks, act_layer=RELU, **changes)


# fmt: off
FAMILY = Family(
    network='EfficientNet',
    papers=(
        'MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, Howard et al., 2017, arXiv:1704.04861',
        'MobileNetV2: Inverted Residuals and Linear Bottlenecks, Sandler et al., 2018, arXiv:1801.04381',
        'MnasNet: Platform-Aware Neural Architecture Search for Mobile, Tan et al., 2018, arXiv:1807.11626',
        'FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture Search, Wu et al., 2018, arXiv:1812.03443',
        'Single-Path NAS: Designing Hardware-Efficient ConvNets in less than 4 Hours, Stamoulis et al., 2019, arXiv:1904.02877',
        'CondConv: Conditionally Parameterized Convolutions for Efficient Inference, Yang et al., 2019, arXiv:1904.04971 (cc)',
        'EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, Tan and Le, 2019, arXiv:1905.11946',
        'MixConv: Mixed Depthwise Convolutional Kernels, Tan and Le, 2019, arXiv:1907.09595 (mixnet)',
        'Self-training with Noisy Student improves ImageNet classification, Xie et al., 2019, arXiv:1911.04252 (l2; ns weights)',
        'Adversarial Examples Improve Image Recognition, Xie et al., 2019, arXiv:1911.09665 (b8; ap weights)',
        'Knapsack Pruning with Inner Distillation, Aflalo et al., 2020, arXiv:2002.08258 (pruned)',
        'Accelerator-aware Neural Network Design using AutoML, Gupta and Akin, 2020, arXiv:2003.02838 (es, em, el)',
        'Evolving Normalization-Activation Layers, Liu et al., 2020, arXiv:2004.02967 (evos)',
        "Model Rubik's Cube: Twisting Resolution, Depth and Width for TinyNets, Han et al., 2020, arXiv:2010.14819",
        'Searching for Fast Model Families on Datacenter Accelerators, Li et al., 2021, arXiv:2102.05610 (x, h)',
        'EfficientNetV2: Smaller Models and Faster Training, Tan and Le, 2021, arXiv:2104.00298',
    ),
    base=WEIGHTS,
    feature_class='EfficientNetFeatures',
    build='from_blocks',
    creators={'_create_effnet': 'EfficientNet'},
    exports=('EfficientNetFeatures',),
    variants=(
        # EfficientNet
        Variant('efficientnet_b0', B0, {
            'ra_in1k': at(224, url=f'{RW}/v0.1-weights/efficientnet_b0_ra-3dd342df.pth'),
            'ra4_e3600_r224_in1k': at(224, 0.9, test=(256, 1.0), **HALF),
        }),
        Variant('efficientnet_b1', B1, {
            'ra4_e3600_r240_in1k': at(240, 0.9, test=(288, 1.0), **HALF),
            'ft_in1k': at(224, test=(256, 1.0), url=f'{RW}/v0.1-weights/efficientnet_b1-533bc792.pth'),
        }),
        Variant('efficientnet_b2', B2, {
            'ra_in1k': at(256, test=(288, 1.0), url=f'{RW}/v0.1-weights/efficientnet_b2_ra-bcdf34b7.pth'),
        }),
        Variant('efficientnet_b3', B3, {
            'ra2_in1k': at(288, test=(320, 1.0), url=f'{RW}/v0.1-weights/efficientnet_b3_ra2-cf984f9c.pth'),
        }),
        Variant('efficientnet_b4', B4, {
            'ra2_in1k': at(320, test=(384, 1.0), url=f'{RW}/v0.1-weights/efficientnet_b4_ra2_320-7eb33cd5.pth'),
        }),
        Variant('efficientnet_b5', B5, {
            'sw_in12k_ft_in1k': at(448, 1.0, crop_mode='squash'),
            'sw_in12k': at(416, 0.95, num_classes=11821),
        }),
        Variant('efficientnet_b6', B6, {'untrained': at(528, 0.942, hf_hub_id=None)}),
        Variant('efficientnet_b7', B7, {'untrained': at(600, 0.949, hf_hub_id=None)}),
        Variant('efficientnet_b8', B8, {'untrained': at(672, 0.954, hf_hub_id=None)}),
        Variant('efficientnet_l2', L2, {'untrained': at(800, 0.961, hf_hub_id=None)}),
        Variant('efficientnet_b0_gn', dict(**B0, **group_norm(8)), {'untrained': UNTRAINED}),
        Variant('efficientnet_b0_g8_gn', dict(**B0, **group_norm(8), group_size=8), {'untrained': UNTRAINED}),
        Variant('efficientnet_b0_g16_evos', dict(**B0, group_size=16, channel_divisor=16), {'untrained': UNTRAINED}),
        Variant('efficientnet_b3_gn', dict(**B3, **group_norm(16), channel_divisor=16), {
            'untrained': at(288, 1.0, test=(320, None), hf_hub_id=None),
        }),
        Variant('efficientnet_b3_g8_gn', dict(**B3, **group_norm(16), group_size=8, channel_divisor=16), {
            'untrained': at(288, 1.0, test=(320, None), hf_hub_id=None),
        }),
        Variant('efficientnet_blur_b0', dict(**B0, aa_layer='blurpc'), {'untrained': UNTRAINED}),
        Variant('efficientnet_b1_pruned', dict(**B1, **TF, pruned=True), {
            'in1k': at(240, 0.882, url=f'{RW}/v0.1-tresnet/effnetb1_pruned-bea43a3a.pth', **HALF),
        }),
        Variant('efficientnet_b2_pruned', dict(**B2, **TF, pruned=True), {
            'in1k': at(260, 0.89, url=f'{RW}/v0.1-tresnet/effnetb2_pruned-08c1b27c.pth', **HALF),
        }),
        Variant('efficientnet_b3_pruned', dict(**B3, **TF, pruned=True), {
            'in1k': at(300, 0.904, url=f'{RW}/v0.1-tresnet/effnetb3_pruned-59ecf72d.pth', **HALF),
        }),
        Variant('efficientnet_es', EDGE_S, {
            'ra_in1k': at(224, url=f'{RW}/v0.1-weights/efficientnet_es_ra-f111e99c.pth'),
        }),
        Variant('efficientnet_em', EDGE_M, {
            'ra2_in1k': at(240, 0.882, url=f'{RW}/v0.1-weights/efficientnet_em_ra2-66250f76.pth'),
        }),
        Variant('efficientnet_el', EDGE_L, {
            'ra_in1k': at(300, 0.904, url=f'{RW}/v0.1-weights/efficientnet_el-3b455510.pth'),
        }),
        Variant('efficientnet_es_pruned', EDGE_S, {
            'in1k': at(224, url=f'{RW}/v0.1-weights/efficientnet_es_pruned75-1b7248cf.pth'),
        }),
        Variant('efficientnet_el_pruned', EDGE_L, {
            'in1k': at(300, 0.904, url=f'{RW}/v0.1-weights/efficientnet_el_pruned70-ef2a2ccf.pth'),
        }),
        Variant('efficientnet_cc_b0_4e', CC_B0, {'untrained': UNTRAINED}),
        Variant('efficientnet_cc_b0_8e', CC_B0_8E, {'untrained': UNTRAINED}),
        Variant('efficientnet_cc_b1_8e', CC_B1_8E, {'untrained': at(240, 0.882, hf_hub_id=None)}),
        Variant('efficientnet_lite0', LITE0, {
            'ra_in1k': at(224, url=f'{RW}/v0.1-weights/efficientnet_lite0_ra-37913777.pth'),
        }),
        Variant('efficientnet_lite1', LITE1, {'untrained': at(240, 0.882, hf_hub_id=None)}),
        Variant('efficientnet_lite2', LITE2, {'untrained': at(260, 0.89, hf_hub_id=None)}),
        Variant('efficientnet_lite3', LITE3, {'untrained': at(300, 0.904, hf_hub_id=None)}),
        Variant('efficientnet_lite4', LITE4, {'untrained': at(380, 0.922, hf_hub_id=None)}),
        Variant('efficientnet_x_b3', scaled(X, 1.2, 1.4, num_features=1536), {
            'untrained': at(288, 0.95, hf_hub_id=None),
        }),
        Variant('efficientnet_x_b5', scaled(X, 1.6, 2.2, num_features=2048), {
            'sw_r448_e450_in1k': at(448, 1.0, test=(576, None), crop_mode='squash'),
        }),
        Variant('efficientnet_h_b5', scaled(H, 1.92, 2.2, num_features=2456), {
            'sw_r448_e450_in1k': at(448, 1.0, test=(576, None), crop_mode='squash'),
        }),
        # EfficientNet as TensorFlow computes it
        Variant('tf_efficientnet_b0', dict(**B0, **TF), {
            'ns_jft_in1k': at(224, url=f'{RW}/v0.1-weights/tf_efficientnet_b0_ns-c0e6a31c.pth'),
            'ap_in1k': at(224, url=f'{RW}/v0.1-weights/tf_efficientnet_b0_ap-f262efe1.pth', **HALF),
            'aa_in1k': at(224, url=f'{RW}/v0.1-weights/tf_efficientnet_b0_aa-827b6e33.pth'),
            'in1k': at(224, url=f'{HF}/v0.1-weights/tf_efficientnet_b0-0af12548.pth'),
        }),
        Variant('tf_efficientnet_b1', dict(**B1, **TF), {
            'ns_jft_in1k': at(240, 0.882, url=f'{RW}/v0.1-weights/tf_efficientnet_b1_ns-99dd0c41.pth'),
            'ap_in1k': at(240, 0.882, url=f'{RW}/v0.1-weights/tf_efficientnet_b1_ap-44ef0a3d.pth', **HALF),
            'aa_in1k': at(240, 0.882, url=f'{RW}/v0.1-weights/tf_efficientnet_b1_aa-ea7a6ee0.pth'),
            'in1k': at(240, 0.882, url=f'{HF}/v0.1-weights/tf_efficientnet_b1-5c1377c4.pth'),
        }),
        Variant('tf_efficientnet_b2', dict(**B2, **TF), {
            'ns_jft_in1k': at(260, 0.89, url=f'{RW}/v0.1-weights/tf_efficientnet_b2_ns-00306e48.pth'),
            'ap_in1k': at(260, 0.89, url=f'{RW}/v0.1-weights/tf_efficientnet_b2_ap-2f8e7636.pth', **HALF),
            'aa_in1k': at(260, 0.89, url=f'{RW}/v0.1-weights/tf_efficientnet_b2_aa-60c94f97.pth'),
            'in1k': at(260, 0.89, url=f'{HF}/v0.1-weights/tf_efficientnet_b2-e393ef04.pth'),
        }),
        Variant('tf_efficientnet_b3', dict(**B3, **TF), {
            'ns_jft_in1k': at(300, 0.904, url=f'{RW}/v0.1-weights/tf_efficientnet_b3_ns-9d44bf68.pth'),
            'ap_in1k': at(300, 0.904, url=f'{RW}/v0.1-weights/tf_efficientnet_b3_ap-aad25bdd.pth', **HALF),
            'aa_in1k': at(300, 0.904, url=f'{RW}/v0.1-weights/tf_efficientnet_b3_aa-84b4657e.pth'),
            'in1k': at(300, 0.904, url=f'{HF}/v0.1-weights/tf_efficientnet_b3-e3bd6955.pth'),
        }),
        Variant('tf_efficientnet_b4', dict(**B4, **TF), {
            'ns_jft_in1k': at(380, 0.922, url=f'{RW}/v0.1-weights/tf_efficientnet_b4_ns-d6313a46.pth'),
            'ap_in1k': at(380, 0.922, url=f'{RW}/v0.1-weights/tf_efficientnet_b4_ap-dedb23e6.pth', **HALF),
            'aa_in1k': at(380, 0.922, url=f'{RW}/v0.1-weights/tf_efficientnet_b4_aa-818f208c.pth'),
            'in1k': at(380, 0.922, url=f'{HF}/v0.1-weights/tf_efficientnet_b4-74ee3bed.pth'),
        }),
        Variant('tf_efficientnet_b5', dict(**B5, **TF), {
            'ns_jft_in1k': at(456, 0.934, url=f'{RW}/v0.1-weights/tf_efficientnet_b5_ns-6f26d0cf.pth'),
            'ap_in1k': at(456, 0.934, url=f'{RW}/v0.1-weights/tf_efficientnet_b5_ap-9e82fae8.pth', **HALF),
            'ra_in1k': at(456, 0.934, url=f'{RW}/v0.1-weights/tf_efficientnet_b5_ra-9a3e5369.pth'),
            'aa_in1k': at(456, 0.934, url=f'{HF}/v0.1-weights/tf_efficientnet_b5_aa-99018a74.pth'),
            'in1k': at(456, 0.934, url=f'{HF}/v0.1-weights/tf_efficientnet_b5-c6949ce9.pth'),
        }),
        Variant('tf_efficientnet_b6', dict(**B6, **TF), {
            'ns_jft_in1k': at(528, 0.942, url=f'{RW}/v0.1-weights/tf_efficientnet_b6_ns-51548356.pth'),
            'ap_in1k': at(528, 0.942, url=f'{RW}/v0.1-weights/tf_efficientnet_b6_ap-4ffb161f.pth', **HALF),
            'aa_in1k': at(528, 0.942, url=f'{RW}/v0.1-weights/tf_efficientnet_b6_aa-80ba17e4.pth'),
        }),
        Variant('tf_efficientnet_b7', dict(**B7, **TF), {
            'ns_jft_in1k': at(600, 0.949, url=f'{RW}/v0.1-weights/tf_efficientnet_b7_ns-1dbc32de.pth'),
            'ap_in1k': at(600, 0.949, url=f'{RW}/v0.1-weights/tf_efficientnet_b7_ap-ddb28fec.pth', **HALF),
            'ra_in1k': at(600, 0.949, url=f'{RW}/v0.1-weights/tf_efficientnet_b7_ra-6c08e654.pth'),
            'aa_in1k': at(600, 0.949, url=f'{HF}/v0.1-weights/tf_efficientnet_b7_aa-076e3472.pth'),
        }),
        Variant('tf_efficientnet_b8', dict(**B8, **TF), {
            'ap_in1k': at(672, 0.954, url=f'{RW}/v0.1-weights/tf_efficientnet_b8_ap-00e169fa.pth', **HALF),
            'ra_in1k': at(672, 0.954, url=f'{RW}/v0.1-weights/tf_efficientnet_b8_ra-572d5dd9.pth'),
        }),
        Variant('tf_efficientnet_l2', dict(**L2, **TF), {
            'ns_jft_in1k_475': at(475, 0.936, url=f'{RW}/v0.1-weights/tf_efficientnet_l2_ns_475-bebbd00a.pth'),
            'ns_jft_in1k': at(800, 0.96, url=f'{RW}/v0.1-weights/tf_efficientnet_l2_ns-df73bb44.pth'),
        }),
        Variant('tf_efficientnet_es', dict(**EDGE_S, **TF), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_efficientnet_es-ca1afbfe.pth', **HALF),
        }),
        Variant('tf_efficientnet_em', dict(**EDGE_M, **TF), {
            'in1k': at(240, 0.882, url=f'{RW}/v0.1-weights/tf_efficientnet_em-e78cfe58.pth', **HALF),
        }),
        Variant('tf_efficientnet_el', dict(**EDGE_L, **TF), {
            'in1k': at(300, 0.904, url=f'{RW}/v0.1-weights/tf_efficientnet_el-5143854e.pth', **HALF),
        }),
        Variant('tf_efficientnet_cc_b0_4e', dict(**CC_B0, **TF), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_efficientnet_cc_b0_4e-4362b6b2.pth', **HALF),
        }),
        Variant('tf_efficientnet_cc_b0_8e', dict(**CC_B0_8E, **TF), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_efficientnet_cc_b0_8e-66184a25.pth', **HALF),
        }),
        Variant('tf_efficientnet_cc_b1_8e', dict(**CC_B1_8E, **TF), {
            'in1k': at(240, 0.882, url=f'{RW}/v0.1-weights/tf_efficientnet_cc_b1_8e-f7c79ae1.pth', **HALF),
        }),
        Variant('tf_efficientnet_lite0', dict(**LITE0, **TF), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_efficientnet_lite0-0aa007d2.pth', **HALF),
        }),
        Variant('tf_efficientnet_lite1', dict(**LITE1, **TF), {
            'in1k': at(240, 0.882, url=f'{RW}/v0.1-weights/tf_efficientnet_lite1-bde8b488.pth', **HALF),
        }),
        Variant('tf_efficientnet_lite2', dict(**LITE2, **TF), {
            'in1k': at(260, 0.89, url=f'{RW}/v0.1-weights/tf_efficientnet_lite2-dcccb7df.pth', **HALF),
        }),
        Variant('tf_efficientnet_lite3', dict(**LITE3, **TF), {
            'in1k': at(300, 0.904, url=f'{RW}/v0.1-weights/tf_efficientnet_lite3-b733e338.pth', **HALF, interpolation='bilinear'),
        }),
        Variant('tf_efficientnet_lite4', dict(**LITE4, **TF), {
            'in1k': at(380, 0.92, url=f'{RW}/v0.1-weights/tf_efficientnet_lite4-741542c3.pth', **HALF, interpolation='bilinear'),
        }),
        # EfficientNetV2
        Variant('efficientnetv2_rw_t', V2_RW_T, {
            'ra2_in1k': at(224, 1.0, test=(288, None), url=f'{RW}/v0.1-weights/efficientnetv2_t_agc-3620981a.pth'),
        }),
        Variant('gc_efficientnetv2_rw_t', dict(**V2_RW_T, se_layer='gc'), {
            'agc_in1k': at(224, 1.0, test=(288, None), url=f'{RW}/v0.1-weights/gc_efficientnetv2_rw_t_agc-927a0bde.pth'),
        }),
        Variant('efficientnetv2_rw_s', V2_RW_S, {
            'ra2_in1k': at(288, 1.0, test=(384, None), url=f'{RW}/v0.1-weights/efficientnet_v2s_ra2_288-a6477665.pth'),
        }),
        Variant('efficientnetv2_rw_m', V2_RW_M, {
            'agc_in1k': at(320, 1.0, test=(416, None), url=f'{RW}/v0.1-weights/efficientnetv2_rw_m_agc-3d90cb1e.pth'),
        }),
        Variant('efficientnetv2_s', V2_S, {'untrained': at(288, 1.0, test=(384, None), hf_hub_id=None)}),
        Variant('efficientnetv2_m', V2_M, {'untrained': at(320, 1.0, test=(416, None), hf_hub_id=None)}),
        Variant('efficientnetv2_l', V2_L, {'untrained': at(384, 1.0, test=(480, None), hf_hub_id=None)}),
        Variant('efficientnetv2_xl', V2_XL, {'untrained': at(384, 1.0, test=(512, None), hf_hub_id=None)}),
        Variant('tf_efficientnetv2_s', dict(**V2_S, **TF), {
            'in21k_ft_in1k': at(300, 1.0, test=(384, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_s_21ft1k-d7dafa41.pth', **HALF),
            'in1k': at(300, 1.0, test=(384, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_s-eb54923e.pth', **HALF),
            'in21k': at(300, 1.0, test=(384, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_s_21k-6337ad01.pth', **HALF, num_classes=21843),
        }),
        Variant('tf_efficientnetv2_m', dict(**V2_M, **TF), {
            'in21k_ft_in1k': at(384, 1.0, test=(480, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_m_21ft1k-bf41664a.pth', **HALF, crop_mode='squash'),
            'in1k': at(384, 1.0, test=(480, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_m-cc09e0cd.pth', **HALF, crop_mode='squash'),
            'in21k': at(384, 1.0, test=(480, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_m_21k-361418a2.pth', **HALF, crop_mode='squash', num_classes=21843),
        }),
        Variant('tf_efficientnetv2_l', dict(**V2_L, **TF), {
            'in21k_ft_in1k': at(384, 1.0, test=(480, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_l_21ft1k-60127a9d.pth', **HALF, crop_mode='squash'),
            'in1k': at(384, 1.0, test=(480, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_l-d664b728.pth', **HALF, crop_mode='squash'),
            'in21k': at(384, 1.0, test=(480, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_l_21k-91a19ec9.pth', **HALF, crop_mode='squash', num_classes=21843),
        }),
        Variant('tf_efficientnetv2_xl', dict(**V2_XL, **TF), {
            'in21k_ft_in1k': at(384, 1.0, test=(512, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_xl_in21ft1k-06c35c48.pth', **HALF, crop_mode='squash'),
            'in21k': at(384, 1.0, test=(512, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_xl_in21k-fd7e8abf.pth', **HALF, crop_mode='squash', num_classes=21843),
        }),
        Variant('tf_efficientnetv2_b0', dict(**V2_B0, **TF), {
            'in1k': at(192, test=(224, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_b0-c7cc451f.pth'),
        }),
        Variant('tf_efficientnetv2_b1', scaled(V2_B0, 1.0, 1.1, **TF), {
            'in1k': at(192, 0.882, test=(240, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_b1-be6e41b0.pth'),
        }),
        Variant('tf_efficientnetv2_b2', scaled(V2_B0, 1.1, 1.2, num_features=1408, **TF), {
            'in1k': at(208, 0.89, test=(260, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_b2-847de54e.pth'),
        }),
        Variant('tf_efficientnetv2_b3', scaled(V2_B0, 1.2, 1.4, num_features=1536, **TF), {
            'in21k_ft_in1k': at(240, 0.9, test=(300, None), **HALF, crop_mode='squash'),
            'in1k': at(240, 0.904, test=(300, None), url=f'{RW}/v0.1-effv2-weights/tf_efficientnetv2_b3-57773f13.pth'),
            'in21k': at(240, 0.904, test=(300, None), **HALF, num_classes=21843),
        }),
        # MixNet
        Variant('mixnet_s', MIXNET_S, {'ft_in1k': at(224, url=f'{RW}/v0.1-weights/mixnet_s-a907afbc.pth')}),
        Variant('mixnet_m', MIXNET_M, {'ft_in1k': at(224, url=f'{RW}/v0.1-weights/mixnet_m-4647fc68.pth')}),
        Variant('mixnet_l', scaled(MIXNET_M, 1.3, 1.0), {
            'ft_in1k': at(224, url=f'{RW}/v0.1-weights/mixnet_l-5a9a2ed8.pth'),
        }),
        Variant('mixnet_xl', scaled(MIXNET_M, 1.6, 1.2), {
            'ra_in1k': at(224, url=f'{RW}/v0.1-weights/mixnet_xl_ra-aac3c00c.pth'),
        }),
        Variant('mixnet_xxl', scaled(MIXNET_M, 2.4, 1.3), {'untrained': UNTRAINED}),
        Variant('tf_mixnet_s', dict(**MIXNET_S, **TF), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_mixnet_s-89d3354b.pth'),
        }),
        Variant('tf_mixnet_m', dict(**MIXNET_M, **TF), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_mixnet_m-0f4d8805.pth'),
        }),
        Variant('tf_mixnet_l', scaled(MIXNET_M, 1.3, 1.0, **TF), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_mixnet_l-6c92e0c8.pth'),
        }),
        # MnasNet, Single-Path NAS, FBNet
        Variant('mnasnet_050', dict(**MNASNET_B1, channel_multiplier=0.5), {'untrained': UNTRAINED}),
        Variant('mnasnet_075', dict(**MNASNET_B1, channel_multiplier=0.75), {'untrained': UNTRAINED}),
        Variant('mnasnet_100', MNASNET_B1, {'rmsp_in1k': at(224, url=f'{RW}/v0.1-weights/mnasnet_b1-74cb7081.pth')}),
        Variant('mnasnet_140', dict(**MNASNET_B1, channel_multiplier=1.4), {'untrained': UNTRAINED}),
        Variant('semnasnet_050', dict(**MNASNET_A1, channel_multiplier=0.5), {'untrained': UNTRAINED}),
        Variant('semnasnet_075', dict(**MNASNET_A1, channel_multiplier=0.75), {
            'rmsp_in1k': at(224, url=f'{RW}/v0.1-weights/semnasnet_075-18710866.pth'),
        }),
        Variant('semnasnet_100', MNASNET_A1, {
            'rmsp_in1k': at(224, url=f'{RW}/v0.1-weights/mnasnet_a1-d9418771.pth'),
        }),
        Variant('semnasnet_140', dict(**MNASNET_A1, channel_multiplier=1.4), {'untrained': UNTRAINED}),
        Variant('mnasnet_small', MNASNET_SMALL, {
            'lamb_in1k': at(224, url=f'{RW}/v0.1-weights/mnasnet_small_lamb-aff75073.pth'),
        }),
        Variant('spnasnet_100', SPNASNET, {
            'rmsp_in1k': at(224, url=f'{RW}/v0.1-weights/spnasnet_100-048bc3f4.pth', interpolation='bilinear'),
        }),
        Variant('fbnetc_100', FBNET_C, {
            'rmsp_in1k': at(224, url=f'{RW}/v0.1-weights/fbnetc_100-c345b898.pth', interpolation='bilinear'),
        }),
        # MobileNet
        Variant('mobilenetv1_100', MOBILENET_V1, {'ra4_e3600_r224_in1k': at(224, test=(256, 0.95), **HALF)}),
        Variant('mobilenetv1_100h', {**MOBILENET_V1, 'num_features': 1024}, {
            'ra4_e3600_r224_in1k': at(224, test=(256, 0.95), **HALF),
        }),
        Variant('mobilenetv1_125', dict(**MOBILENET_V1, channel_multiplier=1.25), {
            'ra4_e3600_r224_in1k': at(224, 0.9, test=(256, 1.0), **HALF),
        }),
        Variant('mobilenetv2_035', dict(**MOBILENET_V2, channel_multiplier=0.35), {'untrained': UNTRAINED}),
        Variant('mobilenetv2_050', dict(**MOBILENET_V2, channel_multiplier=0.5), {
            'lamb_in1k': at(224, url=f'{RW}/v0.1-weights/mobilenetv2_050-3d30d450.pth'),
        }),
        Variant('mobilenetv2_075', dict(**MOBILENET_V2, channel_multiplier=0.75), {'untrained': UNTRAINED}),
        Variant('mobilenetv2_100', MOBILENET_V2, {
            'ra_in1k': at(224, url=f'{RW}/v0.1-weights/mobilenetv2_100_ra-b33bc2c4.pth'),
        }),
        Variant('mobilenetv2_140', scaled(MOBILENET_V2, 1.4, 1.0, num_features=1792), {
            'ra_in1k': at(224, url=f'{RW}/v0.1-weights/mobilenetv2_140_ra-21a4e913.pth'),
        }),
        Variant('mobilenetv2_110d', scaled(MOBILENET_V2, 1.1, 1.2, **DEEP), {
            'ra_in1k': at(224, url=f'{RW}/v0.1-weights/mobilenetv2_110d_ra-77090ade.pth'),
        }),
        Variant('mobilenetv2_120d', scaled(MOBILENET_V2, 1.2, 1.4, **DEEP), {
            'ra_in1k': at(224, url=f'{RW}/v0.1-weights/mobilenetv2_120d_ra-5987e2ed.pth'),
        }),
        Variant('mobilenet_edgetpu_100', MOBILENET_EDGE, {'untrained': at(224, 0.9, hf_hub_id=None)}),
        Variant('mobilenet_edgetpu_v2_xs', mobilenet_edge_v2((16, 32, 48, 96, 144, 160, 192), 64), {
            'untrained': at(224, 0.9, hf_hub_id=None),
        }),
        Variant('mobilenet_edgetpu_v2_s', mobilenet_edge_v2((24, 48, 64, 128, 160, 192, 256), 64, stem_size=64, stem_kernel_size=5), {
            'untrained': at(224, 0.9, hf_hub_id=None),
        }),
        Variant('mobilenet_edgetpu_v2_m', mobilenet_edge_v2(
            (32, 64, 80, 160, 192, 240, 320), 64, stem_size=64, stem_kernel_size=5, num_features=1344,
        ), {
            'ra4_e3600_r224_in1k': at(224, 0.9, test=(256, 0.95), **HALF),
        }),
        Variant('mobilenet_edgetpu_v2_l', mobilenet_edge_v2(
            (32, 64, 96, 192, 240, 256, 384), 128, stem_size=64, stem_kernel_size=7, num_features=1408,
        ), {
            'untrained': at(224, 0.9, hf_hub_id=None),
        }),
        # TinyNet
        Variant('tinynet_a', scaled(TINY, 1.0, 1.2), {'in1k': at(192, url=f'{HUAWEI}/v1.2.0/tinynet_a.pth')}),
        Variant('tinynet_b', scaled(TINY, 0.75, 1.1), {'in1k': at(188, url=f'{HUAWEI}/v1.2.0/tinynet_b.pth')}),
        Variant('tinynet_c', scaled(TINY, 0.54, 0.85), {'in1k': at(184, url=f'{HUAWEI}/v1.2.0/tinynet_c.pth')}),
        Variant('tinynet_d', scaled(TINY, 0.54, 0.695), {'in1k': at(152, url=f'{HUAWEI}/v1.2.0/tinynet_d.pth')}),
        Variant('tinynet_e', scaled(TINY, 0.51, 0.6), {'in1k': at(106, url=f'{HUAWEI}/v1.2.0/tinynet_e.pth')}),
        # For tests
        Variant('test_efficientnet', TEST, {'r160_in1k': at(160, 0.95)}),
        Variant('test_efficientnet_gn', dict(**TEST, **group_norm(8)), {'r160_in1k': at(160, 0.95, **HALF)}),
        Variant('test_efficientnet_ln', dict(**TEST, norm_layer=Ref('layers.LayerNormAct2d')), {
            'r160_in1k': at(160, 0.95),
        }),
        Variant('test_efficientnet_evos', dict(**TEST, norm_layer=Ref('layers.EvoNorm2dS0', group_size=8)), {
            'r160_in1k': at(160, 0.95, **HALF),
        }),
    ),
    renamed={
        'efficientnet_b2a': 'efficientnet_b2',
        'efficientnet_b3a': 'efficientnet_b3',
        'efficientnet_v2s': 'efficientnetv2_rw_s',
        'mnasnet_a1': 'semnasnet_100',
        'mnasnet_b1': 'mnasnet_100',
        'tf_efficientnet_b0_ap': 'tf_efficientnet_b0.ap_in1k',
        'tf_efficientnet_b0_ns': 'tf_efficientnet_b0.ns_jft_in1k',
        'tf_efficientnet_b1_ap': 'tf_efficientnet_b1.ap_in1k',
        'tf_efficientnet_b1_ns': 'tf_efficientnet_b1.ns_jft_in1k',
        'tf_efficientnet_b2_ap': 'tf_efficientnet_b2.ap_in1k',
        'tf_efficientnet_b2_ns': 'tf_efficientnet_b2.ns_jft_in1k',
        'tf_efficientnet_b3_ap': 'tf_efficientnet_b3.ap_in1k',
        'tf_efficientnet_b3_ns': 'tf_efficientnet_b3.ns_jft_in1k',
        'tf_efficientnet_b4_ap': 'tf_efficientnet_b4.ap_in1k',
        'tf_efficientnet_b4_ns': 'tf_efficientnet_b4.ns_jft_in1k',
        'tf_efficientnet_b5_ap': 'tf_efficientnet_b5.ap_in1k',
        'tf_efficientnet_b5_ns': 'tf_efficientnet_b5.ns_jft_in1k',
        'tf_efficientnet_b6_ap': 'tf_efficientnet_b6.ap_in1k',
        'tf_efficientnet_b6_ns': 'tf_efficientnet_b6.ns_jft_in1k',
        'tf_efficientnet_b7_ap': 'tf_efficientnet_b7.ap_in1k',
        'tf_efficientnet_b7_ns': 'tf_efficientnet_b7.ns_jft_in1k',
        'tf_efficientnet_b8_ap': 'tf_efficientnet_b8.ap_in1k',
        'tf_efficientnet_l2_ns': 'tf_efficientnet_l2.ns_jft_in1k',
        'tf_efficientnet_l2_ns_475': 'tf_efficientnet_l2.ns_jft_in1k_475',
        'tf_efficientnetv2_l_in21ft1k': 'tf_efficientnetv2_l.in21k_ft_in1k',
        'tf_efficientnetv2_l_in21k': 'tf_efficientnetv2_l.in21k',
        'tf_efficientnetv2_m_in21ft1k': 'tf_efficientnetv2_m.in21k_ft_in1k',
        'tf_efficientnetv2_m_in21k': 'tf_efficientnetv2_m.in21k',
        'tf_efficientnetv2_s_in21ft1k': 'tf_efficientnetv2_s.in21k_ft_in1k',
        'tf_efficientnetv2_s_in21k': 'tf_efficientnetv2_s.in21k',
        'tf_efficientnetv2_xl_in21ft1k': 'tf_efficientnetv2_xl.in21k_ft_in1k',
        'tf_efficientnetv2_xl_in21k': 'tf_efficientnetv2_xl.in21k',
    },
    renamed_tags={
        'efficientnet_b5.in12k_ft_in1k': 'efficientnet_b5.sw_in12k_ft_in1k',
        'efficientnet_b5.in12k': 'efficientnet_b5.sw_in12k',
    },
)
