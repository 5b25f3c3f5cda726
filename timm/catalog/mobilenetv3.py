"""MobileNetV3, MobileNetV4, FBNetV3, LCNet: variants and published weights.

The network is timm/models/mobilenetv3.py, the language of the block strings that of _efficientnet_builder.py beside it.
"""

from typing import Any

from ._schema import Family, Ref, Variant
from .efficientnet import HALF, RELU, RW, TF, WEIGHTS, at, scaled

MIIL: dict[str, Any] = dict(
    interpolation='bilinear',
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    origin_url='https://github.com/Alibaba-MIIL/ImageNet21K',
    paper_ids='arXiv:2104.10972v4',
)

HARD_SWISH = Ref('nn.Hardswish')
GELU = Ref('layers.GELU')
ROUNDED_SE = Ref('SqueezeExcite', gate_layer='hard_sigmoid', force_act_layer=RELU, rd_round_fn=Ref('round_channels'))
ROUND_95 = Ref('round_channels', multiplier=1.0, round_limit=0.95)

# MobileNetV3, 1905.02244: table 1
LARGE: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s1_e1_c16_nre',
        'ir_r1_k3_s2_e4_c24_nre ir_r1_k3_s1_e3_c24_nre',
        'ir_r3_k5_s2_e3_c40_se0.25_nre',
        'ir_r1_k3_s2_e6_c80 ir_r1_k3_s1_e2.5_c80 ir_r2_k3_s1_e2.3_c80',
        'ir_r2_k3_s1_e6_c112_se0.25',
        'ir_r3_k5_s2_e6_c160_se0.25',
        'cn_r1_k1_s1_c960',
    ),
    act_layer=HARD_SWISH,
    se_layer=ROUNDED_SE,
)

# MobileNetV3: table 2
SMALL: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s2_e1_c16_se0.25_nre',
        'ir_r1_k3_s2_e4.5_c24_nre ir_r1_k3_s1_e3.67_c24_nre',
        'ir_r1_k5_s2_e4_c40_se0.25 ir_r2_k5_s1_e6_c40_se0.25',
        'ir_r2_k5_s1_e3_c48_se0.25',
        'ir_r3_k5_s2_e6_c96_se0.25',
        'cn_r1_k1_s1_c576',
    ),
    num_features=1024,
    act_layer=HARD_SWISH,
    se_layer=ROUNDED_SE,
)

# MobileNetV3 without attention, hard-swish and 5x5 kernels
LARGE_MINIMAL: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s1_e1_c16',
        'ir_r1_k3_s2_e4_c24 ir_r1_k3_s1_e3_c24',
        'ir_r3_k3_s2_e3_c40',
        'ir_r1_k3_s2_e6_c80 ir_r1_k3_s1_e2.5_c80 ir_r2_k3_s1_e2.3_c80',
        'ir_r2_k3_s1_e6_c112',
        'ir_r3_k3_s2_e6_c160',
        'cn_r1_k1_s1_c960',
    ),
    act_layer=RELU,
    se_layer=ROUNDED_SE,
)

# The same of the small one
SMALL_MINIMAL: dict[str, Any] = dict(
    blocks=(
        'ds_r1_k3_s2_e1_c16',
        'ir_r1_k3_s2_e4.5_c24 ir_r1_k3_s1_e3.67_c24',
        'ir_r1_k3_s2_e4_c40 ir_r2_k3_s1_e6_c40',
        'ir_r2_k3_s1_e3_c48',
        'ir_r3_k3_s2_e6_c96',
        'cn_r1_k1_s1_c576',
    ),
    num_features=1024,
    act_layer=RELU,
    se_layer=ROUNDED_SE,
)

# An early reading of the paper: no skip in the first block, no bias in the head.
LARGE_RW: dict[str, Any] = dict(
    blocks=(f'{LARGE["blocks"][0]}_noskip', *LARGE['blocks'][1:]),
    head_bias=False,
    bn_eps=1e-3,
    act_layer=HARD_SWISH,
    se_layer=Ref('SqueezeExcite', gate_layer='hard_sigmoid'),
)

# FBNetV3, 2006.02049: published code.
FBNET: dict[str, Any] = dict(
    num_features=1984,
    head_bias=False,
    round_limit=0.95,
    se_from_exp=False,
    act_layer=HARD_SWISH,
    se_layer=Ref('SqueezeExcite', gate_layer='hard_sigmoid', rd_round_fn=ROUND_95),
)

FBNET_B = (
    'ds_r2_k3_s1_e1_c16',
    'ir_r1_k5_s2_e4_c24 ir_r3_k5_s1_e2_c24',
    'ir_r1_k5_s2_e5_c40_se0.25 ir_r4_k5_s1_e3_c40_se0.25',
    'ir_r1_k5_s2_e5_c72 ir_r4_k3_s1_e3_c72',
    'ir_r1_k3_s1_e5_c120_se0.25 ir_r5_k5_s1_e3_c120_se0.25',
    'ir_r1_k3_s2_e6_c184_se0.25 ir_r5_k5_s1_e4_c184_se0.25 ir_r1_k5_s1_e6_c224_se0.25',
    'cn_r1_k1_s1_c1344',
)

FBNET_D = (
    'ds_r2_k3_s1_e1_c16',
    'ir_r1_k3_s2_e5_c24 ir_r5_k3_s1_e2_c24',
    'ir_r1_k5_s2_e4_c40_se0.25 ir_r4_k3_s1_e3_c40_se0.25',
    'ir_r1_k3_s2_e5_c72 ir_r4_k3_s1_e3_c72',
    'ir_r1_k3_s1_e5_c128_se0.25 ir_r6_k5_s1_e3_c128_se0.25',
    'ir_r1_k3_s2_e6_c208_se0.25 ir_r5_k5_s1_e5_c208_se0.25 ir_r1_k5_s1_e6_c240_se0.25',
    'cn_r1_k1_s1_c1440',
)

FBNET_G = (
    'ds_r3_k3_s1_e1_c24',
    'ir_r1_k5_s2_e4_c40 ir_r4_k5_s1_e2_c40',
    'ir_r1_k5_s2_e4_c56_se0.25 ir_r4_k5_s1_e3_c56_se0.25',
    'ir_r1_k5_s2_e5_c104 ir_r4_k3_s1_e3_c104',
    'ir_r1_k3_s1_e5_c160_se0.25 ir_r8_k5_s1_e3_c160_se0.25',
    'ir_r1_k3_s2_e6_c264_se0.25 ir_r6_k5_s1_e5_c264_se0.25 ir_r2_k5_s1_e6_c288_se0.25',
    'cn_r1_k1_s1_c1728',
)

# PP-LCNet, 2109.15099: table 1
LCNET: dict[str, Any] = dict(
    blocks=(
        'dsa_r1_k3_s1_c32',
        'dsa_r2_k3_s2_c64',
        'dsa_r2_k3_s2_c128',
        'dsa_r1_k3_s2_c256 dsa_r1_k5_s1_c256',
        'dsa_r4_k5_s1_c256',
        'dsa_r2_k5_s2_c512_se0.25',
    ),
    act_layer=HARD_SWISH,
    se_layer=Ref('SqueezeExcite', gate_layer='hard_sigmoid', force_act_layer=RELU),
)

# MobileNetV4, 2404.10518: published code.
V4: dict[str, Any] = dict(head_bias=False, head_norm=True, act_layer=RELU)
HYBRID: dict[str, Any] = dict(head_bias=False, head_norm=True, layer_scale_init_value=1e-5)

V4_SMALL = (
    'cn_r1_k3_s2_c32 cn_r1_k1_s1_c32',
    'cn_r1_k3_s2_c96 cn_r1_k1_s1_c64',
    'uir_r1_a5_k5_s2_e3_c96 uir_r4_k3_s1_e2_c96 uir_r1_a3_k0_s1_e4_c96',
    'uir_r1_a3_k3_s2_e6_c128 uir_r1_a5_k5_s1_e4_c128 uir_r1_k5_s1_e4_c128 uir_r1_k5_s1_e3_c128 uir_r2_k3_s1_e4_c128',
    'cn_r1_k1_s1_c960',
)

V4_MEDIUM = (
    'er_r1_k3_s2_e4_c48',
    'uir_r1_a3_k5_s2_e4_c80 uir_r1_a3_k3_s1_e2_c80',
    (
        'uir_r1_a3_k5_s2_e6_c160 uir_r2_a3_k3_s1_e4_c160 uir_r1_a3_k5_s1_e4_c160 uir_r1_a3_k3_s1_e4_c160 '
        'uir_r1_a3_k0_s1_e4_c160 uir_r1_a0_k0_s1_e2_c160 uir_r1_a3_k0_s1_e4_c160'
    ),
    (
        'uir_r1_a5_k5_s2_e6_c256 uir_r1_a5_k5_s1_e4_c256 uir_r2_a3_k5_s1_e4_c256 uir_r1_a0_k0_s1_e4_c256 '
        'uir_r1_a3_k0_s1_e4_c256 uir_r1_a3_k5_s1_e2_c256 uir_r1_a5_k5_s1_e4_c256 uir_r2_a0_k0_s1_e4_c256 '
        'uir_r1_a5_k0_s1_e2_c256'
    ),
    'cn_r1_k1_s1_c960',
)

V4_LARGE = (
    'er_r1_k3_s2_e4_c48',
    'uir_r1_a3_k5_s2_e4_c96 uir_r1_a3_k3_s1_e4_c96',
    (
        'uir_r1_a3_k5_s2_e4_c192 uir_r3_a3_k3_s1_e4_c192 uir_r1_a3_k5_s1_e4_c192 uir_r5_a5_k3_s1_e4_c192 '
        'uir_r1_a3_k0_s1_e4_c192'
    ),
    (
        'uir_r4_a5_k5_s2_e4_c512 uir_r1_a5_k0_s1_e4_c512 uir_r1_a5_k3_s1_e4_c512 uir_r2_a5_k0_s1_e4_c512 '
        'uir_r1_a5_k3_s1_e4_c512 uir_r1_a5_k5_s1_e4_c512 uir_r3_a5_k0_s1_e4_c512'
    ),
    'cn_r1_k1_s1_c960',
)

V4_HYBRID_MEDIUM = (
    'er_r1_k3_s2_e4_c48',
    'uir_r1_a3_k5_s2_e4_c80 uir_r1_a3_k3_s1_e2_c80',
    (
        'uir_r1_a3_k5_s2_e6_c160 uir_r1_a0_k0_s1_e2_c160 uir_r1_a3_k3_s1_e4_c160 uir_r1_a3_k5_s1_e4_c160 '
        'mqa_r1_k3_h4_s1_v2_d64_c160 uir_r1_a3_k3_s1_e4_c160 mqa_r1_k3_h4_s1_v2_d64_c160 uir_r1_a3_k0_s1_e4_c160 '
        'mqa_r1_k3_h4_s1_v2_d64_c160 uir_r1_a3_k3_s1_e4_c160 mqa_r1_k3_h4_s1_v2_d64_c160 uir_r1_a3_k0_s1_e4_c160'
    ),
    (
        'uir_r1_a5_k5_s2_e6_c256 uir_r1_a5_k5_s1_e4_c256 uir_r2_a3_k5_s1_e4_c256 uir_r1_a0_k0_s1_e2_c256 '
        'uir_r1_a3_k5_s1_e2_c256 uir_r1_a0_k0_s1_e2_c256 uir_r1_a0_k0_s1_e4_c256 mqa_r1_k3_h4_s1_d64_c256 '
        'uir_r1_a3_k0_s1_e4_c256 mqa_r1_k3_h4_s1_d64_c256 uir_r1_a5_k5_s1_e4_c256 mqa_r1_k3_h4_s1_d64_c256 '
        'uir_r1_a5_k0_s1_e4_c256 mqa_r1_k3_h4_s1_d64_c256 uir_r1_a5_k0_s1_e4_c256'
    ),
    'cn_r1_k1_s1_c960',
)

V4_HYBRID_LARGE = (
    'er_r1_k3_s2_e4_c48',
    'uir_r1_a3_k5_s2_e4_c96 uir_r1_a3_k3_s1_e4_c96',
    (
        'uir_r1_a3_k5_s2_e4_c192 uir_r3_a3_k3_s1_e4_c192 uir_r1_a3_k5_s1_e4_c192 uir_r2_a5_k3_s1_e4_c192 '
        'mqa_r1_k3_h8_s1_v2_d48_c192 uir_r1_a5_k3_s1_e4_c192 mqa_r1_k3_h8_s1_v2_d48_c192 uir_r1_a5_k3_s1_e4_c192 '
        'mqa_r1_k3_h8_s1_v2_d48_c192 uir_r1_a5_k3_s1_e4_c192 mqa_r1_k3_h8_s1_v2_d48_c192 uir_r1_a3_k0_s1_e4_c192'
    ),
    (
        'uir_r4_a5_k5_s2_e4_c512 uir_r1_a5_k0_s1_e4_c512 uir_r1_a5_k3_s1_e4_c512 uir_r2_a5_k0_s1_e4_c512 '
        'uir_r1_a5_k3_s1_e4_c512 uir_r1_a5_k5_s1_e4_c512 mqa_r1_k3_h8_s1_d64_c512 uir_r1_a5_k0_s1_e4_c512 '
        'mqa_r1_k3_h8_s1_d64_c512 uir_r1_a5_k0_s1_e4_c512 mqa_r1_k3_h8_s1_d64_c512 uir_r1_a5_k0_s1_e4_c512 '
        'mqa_r1_k3_h8_s1_d64_c512 uir_r1_a5_k0_s1_e4_c512'
    ),
    'cn_r1_k1_s1_c960',
)

CONV_SMALL: dict[str, Any] = dict(blocks=V4_SMALL, stem_size=32, **V4)
CONV_MEDIUM: dict[str, Any] = dict(blocks=V4_MEDIUM, stem_size=32, **V4)
CONV_LARGE: dict[str, Any] = dict(blocks=V4_LARGE, stem_size=24, **V4)
HYBRID_MEDIUM: dict[str, Any] = dict(blocks=V4_HYBRID_MEDIUM, stem_size=32, act_layer=RELU, **HYBRID)
HYBRID_LARGE: dict[str, Any] = dict(blocks=V4_HYBRID_LARGE, stem_size=24, act_layer=GELU, **HYBRID)

# fmt: off
FAMILY = Family(
    network='MobileNetV3',
    papers=(
        'Searching for MobileNetV3, Howard et al., 2019, arXiv:1905.02244',
        'FBNetV3: Joint Architecture-Recipe Search using Predictor Pretraining, Dai et al., 2020, arXiv:2006.02049',
        'ImageNet-21K Pretraining for the Masses, Ridnik et al., 2021, arXiv:2104.10972 (miil weights)',
        'PP-LCNet: A Lightweight CPU Convolutional Neural Network, Cui et al., 2021, arXiv:2109.15099',
        'MobileNetV4: Universal Models for the Mobile Ecosystem, Qin et al., 2024, arXiv:2404.10518',
    ),
    base=WEIGHTS,
    feature_class='MobileNetV3Features',
    build='from_blocks',
    creators={'_create_mnv3': 'MobileNetV3'},
    ancestors=('efficientnet',),
    exports=('MobileNetV3Features',),
    variants=(
        # MobileNetV3
        Variant('mobilenetv3_large_075', dict(**LARGE, channel_multiplier=0.75), {
            'untrained': at(224, interpolation='bilinear', hf_hub_id=None),
        }),
        Variant('mobilenetv3_large_100', LARGE, {
            'ra_in1k': at(224, url=f'{RW}/v0.1-weights/mobilenetv3_large_100_ra-f55367f5.pth'),
            'ra4_e3600_r224_in1k': at(224, 0.95, test=(256, 1.0), **HALF),
            'miil_in21k_ft_in1k': at(224, url=f'{RW}/v0.1-tresnet/mobilenetv3_large_100_1k_miil_78_0-66471c13.pth', **MIIL),
            'miil_in21k': at(224, url=f'{RW}/v0.1-tresnet/mobilenetv3_large_100_in21k_miil-d71cc17b.pth', **MIIL, num_classes=11221),
        }),
        Variant('mobilenetv3_large_150d', scaled(LARGE, 1.5, 1.2), {
            'ra4_e3600_r256_in1k': at(256, 0.95, test=(320, 1.0), **HALF, interpolation='bilinear'),
        }),
        Variant('mobilenetv3_small_050', dict(**SMALL, channel_multiplier=0.5, fix_stem=True), {
            'lamb_in1k': at(224, url=f'{RW}/v0.1-weights/mobilenetv3_small_050_lambc-4b7bbe87.pth'),
        }),
        Variant('mobilenetv3_small_075', dict(**SMALL, channel_multiplier=0.75), {
            'lamb_in1k': at(224, url=f'{RW}/v0.1-weights/mobilenetv3_small_075_lambc-384766db.pth'),
        }),
        Variant('mobilenetv3_small_100', SMALL, {
            'lamb_in1k': at(224, url=f'{RW}/v0.1-weights/mobilenetv3_small_100_lamb-266a294c.pth'),
        }),
        Variant('mobilenetv3_rw', LARGE_RW, {
            'rmsp_in1k': at(224, url=f'{RW}/v0.1-weights/mobilenetv3_100-35495452.pth'),
        }),
        Variant('tf_mobilenetv3_large_075', dict(**LARGE, **TF, channel_multiplier=0.75), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_mobilenetv3_large_075-150ee8b0.pth', **HALF, interpolation='bilinear'),
        }),
        Variant('tf_mobilenetv3_large_100', dict(**LARGE, **TF), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_mobilenetv3_large_100-427764d5.pth', **HALF, interpolation='bilinear'),
        }),
        Variant('tf_mobilenetv3_large_minimal_100', dict(**LARGE_MINIMAL, **TF), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_mobilenetv3_large_minimal_100-8596ae28.pth', **HALF, interpolation='bilinear'),
        }),
        Variant('tf_mobilenetv3_small_075', dict(**SMALL, **TF, channel_multiplier=0.75), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_mobilenetv3_small_075-da427f52.pth', **HALF, interpolation='bilinear'),
        }),
        Variant('tf_mobilenetv3_small_100', dict(**SMALL, **TF), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_mobilenetv3_small_100-37f49e2b.pth', **HALF, interpolation='bilinear'),
        }),
        Variant('tf_mobilenetv3_small_minimal_100', dict(**SMALL_MINIMAL, **TF), {
            'in1k': at(224, url=f'{RW}/v0.1-weights/tf_mobilenetv3_small_minimal_100-922a7843.pth', **HALF, interpolation='bilinear'),
        }),
        # FBNetV3
        Variant('fbnetv3_b', dict(**FBNET, blocks=FBNET_B), {
            'ra2_in1k': at(224, 0.95, test=(256, None), url=f'{RW}/v0.1-weights/fbnetv3_b_224-ead5d2a1.pth', interpolation='bilinear'),
        }),
        Variant('fbnetv3_d', dict(**FBNET, blocks=FBNET_D, stem_size=24), {
            'ra2_in1k': at(224, 0.95, test=(256, None), url=f'{RW}/v0.1-weights/fbnetv3_d_224-c98bce42.pth', interpolation='bilinear'),
        }),
        Variant('fbnetv3_g', dict(**FBNET, blocks=FBNET_G, stem_size=32), {
            'ra2_in1k': at(240, 0.95, test=(288, None), url=f'{RW}/v0.1-weights/fbnetv3_g_240-0b1df83b.pth', interpolation='bilinear'),
        }),
        # PP-LCNet
        Variant('lcnet_035', dict(**LCNET, channel_multiplier=0.35), {
            'untrained': at(224, interpolation='bilinear', hf_hub_id=None),
        }),
        Variant('lcnet_050', dict(**LCNET, channel_multiplier=0.5), {
            'ra2_in1k': at(224, url=f'{RW}/v0.1-weights/lcnet_050-f447553b.pth'),
        }),
        Variant('lcnet_075', dict(**LCNET, channel_multiplier=0.75), {
            'ra2_in1k': at(224, url=f'{RW}/v0.1-weights/lcnet_075-318cad2c.pth'),
        }),
        Variant('lcnet_100', LCNET, {'ra2_in1k': at(224, url=f'{RW}/v0.1-weights/lcnet_100-a929038c.pth')}),
        Variant('lcnet_150', dict(**LCNET, channel_multiplier=1.5), {
            'untrained': at(224, interpolation='bilinear', hf_hub_id=None),
        }),
        # MobileNetV4
        Variant('mobilenetv4_conv_small_035', dict(**CONV_SMALL, channel_multiplier=0.35, fix_stem=True), {
            'untrained': at(224, test=(256, 0.95), **HALF, hf_hub_id=None),
        }),
        Variant('mobilenetv4_conv_small_050', dict(**CONV_SMALL, channel_multiplier=0.5, fix_stem=True), {
            'e3000_r224_in1k': at(224, test=(256, 0.95), **HALF),
        }),
        Variant('mobilenetv4_conv_small', CONV_SMALL, {
            'e2400_r224_in1k': at(224, test=(256, 0.95)),
            'e1200_r224_in1k': at(224, test=(256, 0.95)),
            'e3600_r256_in1k': at(256, 0.95, test=(320, 1.0), **HALF),
        }),
        Variant('mobilenetv4_conv_medium', CONV_MEDIUM, {
            'e500_r256_in1k': at(256, 0.95, test=(320, 1.0)),
            'e500_r224_in1k': at(224, 0.95, test=(256, 1.0)),
            'e250_r384_in12k_ft_in1k': at(384, 0.95),
            'e180_r384_in12k': at(384, 1.0, num_classes=11821),
            'e180_ad_r384_in12k': at(384, 1.0, num_classes=11821),
            'e250_r384_in12k': at(384, 1.0, num_classes=11821),
        }),
        Variant('mobilenetv4_conv_large', CONV_LARGE, {
            'e600_r384_in1k': at(384, 0.95, test=(448, 1.0)),
            'e500_r256_in1k': at(256, 0.95, test=(320, 1.0)),
        }),
        Variant('mobilenetv4_hybrid_medium_075', dict(**HYBRID_MEDIUM, channel_multiplier=0.75, fix_stem=True), {
            'untrained': at(224, 0.95, hf_hub_id=None),
        }),
        Variant('mobilenetv4_hybrid_medium', HYBRID_MEDIUM, {
            'e200_r256_in12k_ft_in1k': at(256, 0.95, test=(320, 1.0)),
            'ix_e550_r256_in1k': at(256, 0.95, test=(320, 1.0)),
            'ix_e550_r384_in1k': at(384, 0.95, test=(448, 1.0)),
            'e500_r224_in1k': at(224, 0.95, test=(256, 1.0)),
            'e200_r256_in12k': at(256, 0.95, test=(320, 1.0), num_classes=11821),
        }),
        Variant('mobilenetv4_hybrid_large_075', dict(**HYBRID_LARGE, channel_multiplier=0.75, fix_stem=True), {
            'untrained': at(256, 0.95, hf_hub_id=None),
        }),
        Variant('mobilenetv4_hybrid_large', HYBRID_LARGE, {
            'ix_e600_r384_in1k': at(384, 0.95, test=(448, 1.0)),
            'e600_r384_in1k': at(384, 0.95, test=(448, 1.0)),
        }),
        Variant('mobilenetv4_conv_aa_medium', dict(**CONV_MEDIUM, aa_layer='avg'), {
            'untrained': at(256, 0.95, hf_hub_id=None),
        }),
        Variant('mobilenetv4_conv_blur_medium', dict(**CONV_MEDIUM, aa_layer='blurpc'), {
            'e500_r224_in1k': at(224, 0.95, test=(256, 1.0)),
        }),
        Variant('mobilenetv4_conv_aa_large', dict(**CONV_LARGE, aa_layer='avg'), {
            'e230_r448_in12k_ft_in1k': at(448, 0.95, test=(544, 1.0)),
            'e230_r384_in12k_ft_in1k': at(384, 0.95, test=(480, 1.0)),
            'e600_r384_in1k': at(384, 0.95, test=(480, 1.0)),
            'e230_r384_in12k': at(384, 0.95, test=(448, 1.0), num_classes=11821),
        }),
    ),
    renamed={
        'mobilenetv3_large_100_miil': 'mobilenetv3_large_100.miil_in21k_ft_in1k',
        'mobilenetv3_large_100_miil_in21k': 'mobilenetv3_large_100.miil_in21k',
    },
)
