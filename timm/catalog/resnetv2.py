"""ResNet with norm and activation before the convolutions, BiT among them: variants and published weights.

The network is timm/models/resnetv2.py.
"""

from ._constants import IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD
from ._schema import Family, Ref, Variant, Weights

BIT = Weights(
    hf_hub_id='timm/',
    interpolation='bilinear',
    mean=IMAGENET_INCEPTION_MEAN,
    std=IMAGENET_INCEPTION_STD,
    pool_size=(7, 7),
    first_conv='stem.conv',
    classifier='head.fc',
    license='apache-2.0',
)
WEIGHTS = BIT.but(interpolation='bicubic')
NPZ = BIT.but(custom_load=True)
NPZ_448 = NPZ.but(input_size=(3, 448, 448), crop_pct=1.0, pool_size=(14, 14))
TEACHER = NPZ.but(interpolation='bicubic')
RECIPE_A = WEIGHTS.but(test_input_size=(3, 288, 288), crop_pct=0.95, test_crop_pct=1.0)
RECIPE_R4 = WEIGHTS.but(test_input_size=(3, 288, 288), crop_pct=0.9, test_crop_pct=1.0)
UNTRAINED = WEIGHTS.but(hf_hub_id=None)

CONV = Ref('layers.create_conv2d')
BATCH_NORM = Ref('layers.BatchNormAct2d')

BASIC = dict(channels=(64, 128, 256, 512), basic=True, bottle_ratio=1.0)
PLAIN = dict(conv_layer=CONV, norm_layer=BATCH_NORM)
DEEP_STEM = dict(stem_type='deep', avg_down=True)
TIERED_STEM = dict(stem_type='tiered', avg_down=True)
STANDARDISED = dict(stem_type='fixed', conv_layer=Ref('layers.StdConv2d', eps=1e-8))

# fmt: off
FAMILY = Family(
    network='ResNetV2',
    papers=(
        'Identity Mappings in Deep Residual Networks, He et al., 2016, arXiv:1603.05027',
        'Big Transfer (BiT): General Visual Representation Learning, Kolesnikov et al., 2019, arXiv:1912.11370',
        'Knowledge distillation: A good teacher is patient and consistent, Beyer et al., 2021, arXiv:2106.05237 (distilled and teacher weights)',
        'ResNet strikes back: An improved training procedure in timm, Wightman et al., 2021, arXiv:2110.00476 (a1h weights)',
        'Evolving Normalization-Activation Layers, Liu et al., 2020, arXiv:2004.02967 (evos)',
        'Filter Response Normalization Layer: Eliminating Batch Dependence in the Training of Deep Neural Networks, Singh and Krishnan, 2019, arXiv:1911.09737 (frn)',
    ),
    base=BIT,
    feature_options=dict(flatten_sequential=True),
    creators={'_create_resnetv2': 'ResNetV2', '_create_resnetv2_bit': 'ResNetV2'},
    variants=(
        Variant('resnetv2_18', dict(layers=(2, 2, 2, 2), **BASIC, **PLAIN), {'ra4_e3600_r224_in1k': RECIPE_R4}),
        Variant('resnetv2_18d', dict(layers=(2, 2, 2, 2), **BASIC, **PLAIN, **DEEP_STEM), {
            'ra4_e3600_r224_in1k': RECIPE_R4.but(first_conv='stem.conv1'),
        }),
        Variant('resnetv2_34', dict(layers=(3, 4, 6, 3), **BASIC, **PLAIN), {'ra4_e3600_r224_in1k': RECIPE_R4}),
        Variant('resnetv2_34d', dict(layers=(3, 4, 6, 3), **BASIC, **PLAIN, **DEEP_STEM), {
            'ra4_e3600_r224_in1k': RECIPE_R4.but(first_conv='stem.conv1'),
            'ra4_e3600_r384_in1k': WEIGHTS.but(
                input_size=(3, 384, 384), test_input_size=(3, 448, 448), crop_pct=1.0, pool_size=(12, 12),
                first_conv='stem.conv1',
            ),
        }),
        Variant('resnetv2_50', dict(layers=(3, 4, 6, 3), **PLAIN), {'a1h_in1k': RECIPE_A}),
        Variant('resnetv2_50d', dict(layers=(3, 4, 6, 3), **PLAIN, **DEEP_STEM), {
            'untrained': UNTRAINED.but(first_conv='stem.conv1'),
        }),
        Variant('resnetv2_50t', dict(layers=(3, 4, 6, 3), **PLAIN, **TIERED_STEM), {
            'untrained': UNTRAINED.but(first_conv='stem.conv1'),
        }),
        Variant('resnetv2_101', dict(layers=(3, 4, 23, 3), **PLAIN), {'a1h_in1k': RECIPE_A}),
        Variant('resnetv2_101d', dict(layers=(3, 4, 23, 3), **PLAIN, **DEEP_STEM), {
            'untrained': UNTRAINED.but(first_conv='stem.conv1'),
        }),
        Variant('resnetv2_152', dict(layers=(3, 8, 36, 3), **PLAIN), {'untrained': UNTRAINED}),
        Variant('resnetv2_152d', dict(layers=(3, 8, 36, 3), **PLAIN, **DEEP_STEM), {
            'untrained': UNTRAINED.but(first_conv='stem.conv1'),
        }),
        Variant('resnetv2_50d_gn', dict(
            layers=(3, 4, 6, 3), conv_layer=CONV, norm_layer=Ref('layers.GroupNormAct'), **DEEP_STEM,
        ), {
            'ah_in1k': RECIPE_A.but(first_conv='stem.conv1'),
        }),
        Variant('resnetv2_50d_evos', dict(
            layers=(3, 4, 6, 3), conv_layer=CONV, norm_layer=Ref('layers.EvoNorm2dS0'), **DEEP_STEM,
        ), {
            'ah_in1k': RECIPE_A.but(first_conv='stem.conv1'),
        }),
        Variant('resnetv2_50d_frn', dict(
            layers=(3, 4, 6, 3), conv_layer=CONV, norm_layer=Ref('layers.FilterResponseNormTlu2d'), **DEEP_STEM,
        ), {
            'untrained': UNTRAINED.but(first_conv='stem.conv1'),
        }),
        # BiT: group norm and weight-standardised convolutions
        Variant('resnetv2_50x1_bit', dict(layers=(3, 4, 6, 3), width_factor=1, **STANDARDISED), {
            'goog_distilled_in1k': TEACHER,
            'goog_in21k_ft_in1k': NPZ_448,
            'goog_in21k': NPZ.but(num_classes=21843),
        }),
        Variant('resnetv2_50x3_bit', dict(layers=(3, 4, 6, 3), width_factor=3, **STANDARDISED), {
            'goog_in21k_ft_in1k': NPZ_448,
            'goog_in21k': NPZ.but(num_classes=21843),
        }),
        Variant('resnetv2_101x1_bit', dict(layers=(3, 4, 23, 3), width_factor=1, **STANDARDISED), {
            'goog_in21k_ft_in1k': NPZ_448,
            'goog_in21k': NPZ.but(num_classes=21843),
        }),
        Variant('resnetv2_101x3_bit', dict(layers=(3, 4, 23, 3), width_factor=3, **STANDARDISED), {
            'goog_in21k_ft_in1k': NPZ_448,
            'goog_in21k': NPZ.but(num_classes=21843),
        }),
        Variant('resnetv2_152x2_bit', dict(layers=(3, 8, 36, 3), width_factor=2, **STANDARDISED), {
            'goog_teacher_in21k_ft_in1k': TEACHER,
            'goog_teacher_in21k_ft_in1k_384': TEACHER.but(input_size=(3, 384, 384), crop_pct=1.0, pool_size=(12, 12)),
            'goog_in21k_ft_in1k': NPZ_448,
            'goog_in21k': NPZ.but(num_classes=21843),
        }),
        Variant('resnetv2_152x4_bit', dict(layers=(3, 8, 36, 3), width_factor=4, **STANDARDISED), {
            'goog_in21k_ft_in1k': NPZ.but(input_size=(3, 480, 480), crop_pct=1.0, pool_size=(15, 15)),
            'goog_in21k': NPZ.but(num_classes=21843),
        }),
    ),
    renamed={
        'resnetv2_50x1_bit_distilled': 'resnetv2_50x1_bit.goog_distilled_in1k',
        'resnetv2_50x1_bitm': 'resnetv2_50x1_bit.goog_in21k_ft_in1k',
        'resnetv2_50x1_bitm_in21k': 'resnetv2_50x1_bit.goog_in21k',
        'resnetv2_50x3_bitm': 'resnetv2_50x3_bit.goog_in21k_ft_in1k',
        'resnetv2_50x3_bitm_in21k': 'resnetv2_50x3_bit.goog_in21k',
        'resnetv2_101x1_bitm': 'resnetv2_101x1_bit.goog_in21k_ft_in1k',
        'resnetv2_101x1_bitm_in21k': 'resnetv2_101x1_bit.goog_in21k',
        'resnetv2_101x3_bitm': 'resnetv2_101x3_bit.goog_in21k_ft_in1k',
        'resnetv2_101x3_bitm_in21k': 'resnetv2_101x3_bit.goog_in21k',
        'resnetv2_152x2_bit_teacher': 'resnetv2_152x2_bit.goog_teacher_in21k_ft_in1k',
        'resnetv2_152x2_bit_teacher_384': 'resnetv2_152x2_bit.goog_teacher_in21k_ft_in1k_384',
        'resnetv2_152x2_bitm': 'resnetv2_152x2_bit.goog_in21k_ft_in1k',
        'resnetv2_152x2_bitm_in21k': 'resnetv2_152x2_bit.goog_in21k',
        'resnetv2_152x4_bitm': 'resnetv2_152x4_bit.goog_in21k_ft_in1k',
        'resnetv2_152x4_bitm_in21k': 'resnetv2_152x4_bit.goog_in21k',
    },
)
