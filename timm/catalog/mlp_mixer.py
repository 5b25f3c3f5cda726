"""MLP-Mixer, ResMLP, gMLP and kin: variants and published weights. The network is timm/models/mlp_mixer.py."""

from ._constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD
from ._schema import Family, Ref, Variant, Weights

TIMM = 'https://github.com/rwightman/pytorch-image-models/releases/download'
META = 'https://dl.fbaipublicfiles.com/deit'

WEIGHTS = Weights(
    hf_hub_id='timm/',
    fixed_input_size=True,
    mean=IMAGENET_INCEPTION_MEAN,
    std=IMAGENET_INCEPTION_STD,
    first_conv='stem.proj',
    classifier='head',
    license='apache-2.0',
)
UNTRAINED = WEIGHTS.but(hf_hub_id=None)
MIIL = WEIGHTS.but(interpolation='bilinear', mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
IMAGENET_NORM = WEIGHTS.but(mean=IMAGENET_DEFAULT_MEAN, std=IMAGENET_DEFAULT_STD)

GMIXER = dict(
    patch_size=16,
    embed_dim=384,
    mlp_ratio=(1.0, 4.0),
    mlp_layer=Ref('layers.GluMlp'),
    act_layer=Ref('nn.SiLU'),
)
RESMLP = dict(mlp_ratio=4, norm_layer=Ref('Affine'))
GMLP = dict(
    patch_size=16,
    num_blocks=30,
    mlp_ratio=6,
    block_layer=Ref('SpatialGatingBlock'),
    mlp_layer=Ref('layers.GatedMlp'),
)

# fmt: off
FAMILY = Family(
    network='MlpMixer',
    papers=(
        'MLP-Mixer: An all-MLP Architecture for Vision, Tolstikhin et al., 2021, arXiv:2105.01601',
        'ResMLP: Feedforward networks for image classification with data-efficient training, Touvron et al., 2021, arXiv:2105.03404',
        'Pay Attention to MLPs, Liu et al., 2021, arXiv:2105.08050 (gMLP)',
        'ImageNet-21K Pretraining for the Masses, Ridnik et al., 2021, arXiv:2104.10972 (miil weights)',
        'Emerging Properties in Self-Supervised Vision Transformers, Caron et al., 2021, arXiv:2104.14294 (dino weights)',
    ),
    base=WEIGHTS,
    feature_indices=3,
    feature_class='getter',
    convert=Ref('checkpoint_filter_fn'),
    exports=('MixerBlock',),
    creators={'_create_mixer': 'MlpMixer'},
    variants=(
        Variant('mixer_s32_224', dict(patch_size=32, num_blocks=8, embed_dim=512), {'untrained': UNTRAINED}),
        Variant('mixer_s16_224', dict(patch_size=16, num_blocks=8, embed_dim=512), {'untrained': UNTRAINED}),
        Variant('mixer_b32_224', dict(patch_size=32, num_blocks=12, embed_dim=768), {'untrained': UNTRAINED}),
        Variant('mixer_b16_224', dict(patch_size=16, num_blocks=12, embed_dim=768), {
            'goog_in21k_ft_in1k': WEIGHTS.but(url=f'{TIMM}/v0.1-vitjx/jx_mixer_b16_224-76587d61.pth'),
            'goog_in21k': WEIGHTS.but(url=f'{TIMM}/v0.1-vitjx/jx_mixer_b16_224_in21k-617b3de2.pth', num_classes=21843),
            'miil_in21k': MIIL.but(url=f'{TIMM}/v0.1-tresnet/mixer_b16_224_miil_in21k-2a558a71.pth', num_classes=11221),
            'miil_in21k_ft_in1k': MIIL.but(url=f'{TIMM}/v0.1-tresnet/mixer_b16_224_miil-9229a591.pth'),
        }),
        Variant('mixer_l32_224', dict(patch_size=32, num_blocks=24, embed_dim=1024), {'untrained': UNTRAINED}),
        Variant('mixer_l16_224', dict(patch_size=16, num_blocks=24, embed_dim=1024), {
            'goog_in21k_ft_in1k': WEIGHTS.but(url=f'{TIMM}/v0.1-vitjx/jx_mixer_l16_224-92f9adc4.pth'),
            'goog_in21k': WEIGHTS.but(url=f'{TIMM}/v0.1-vitjx/jx_mixer_l16_224_in21k-846aa33c.pth', num_classes=21843),
        }),
        Variant('gmixer_12_224', dict(num_blocks=12, **GMIXER), {'untrained': IMAGENET_NORM.but(hf_hub_id=None)}),
        Variant('gmixer_24_224', dict(num_blocks=24, **GMIXER), {
            'ra3_in1k': IMAGENET_NORM.but(url=f'{TIMM}/v0.1-weights/gmixer_24_224_raa-7daf7ae6.pth'),
        }),
        Variant('resmlp_12_224', dict(
            patch_size=16, num_blocks=12, embed_dim=384, block_layer=Ref('ResBlock'), **RESMLP,
        ), {
            'fb_in1k': IMAGENET_NORM.but(url=f'{META}/resmlp_12_no_dist.pth'),
            'fb_distilled_in1k': IMAGENET_NORM.but(url=f'{META}/resmlp_12_dist.pth'),
            'fb_dino': IMAGENET_NORM.but(url=f'{META}/resmlp_12_dino.pth'),
        }),
        Variant('resmlp_24_224', dict(
            patch_size=16, num_blocks=24, embed_dim=384, block_layer=Ref('ResBlock', init_values=1e-5), **RESMLP,
        ), {
            'fb_in1k': IMAGENET_NORM.but(url=f'{META}/resmlp_24_no_dist.pth'),
            'fb_distilled_in1k': IMAGENET_NORM.but(url=f'{META}/resmlp_24_dist.pth'),
            'fb_dino': IMAGENET_NORM.but(url=f'{META}/resmlp_24_dino.pth'),
        }),
        Variant('resmlp_36_224', dict(
            patch_size=16, num_blocks=36, embed_dim=384, block_layer=Ref('ResBlock', init_values=1e-6), **RESMLP,
        ), {
            'fb_in1k': IMAGENET_NORM.but(url=f'{META}/resmlp_36_no_dist.pth'),
            'fb_distilled_in1k': IMAGENET_NORM.but(url=f'{META}/resmlp_36_dist.pth'),
        }),
        Variant('resmlp_big_24_224', dict(
            patch_size=8, num_blocks=24, embed_dim=768, block_layer=Ref('ResBlock', init_values=1e-6), **RESMLP,
        ), {
            'fb_in1k': IMAGENET_NORM.but(url=f'{META}/resmlpB_24_no_dist.pth'),
            'fb_distilled_in1k': IMAGENET_NORM.but(url=f'{META}/resmlpB_24_dist.pth'),
            'fb_in22k_ft_in1k': IMAGENET_NORM.but(url=f'{META}/resmlpB_24_22k.pth'),
        }),
        Variant('gmlp_ti16_224', dict(embed_dim=128, **GMLP), {'untrained': UNTRAINED}),
        Variant('gmlp_s16_224', dict(embed_dim=256, **GMLP), {
            'ra3_in1k': WEIGHTS.but(url=f'{TIMM}/v0.1-weights/gmlp_s16_224_raa-10536d42.pth'),
        }),
        Variant('gmlp_b16_224', dict(embed_dim=512, **GMLP), {'untrained': UNTRAINED}),
    ),
    renamed={
        'mixer_b16_224_in21k': 'mixer_b16_224.goog_in21k',
        'mixer_b16_224_miil': 'mixer_b16_224.miil_in21k_ft_in1k',
        'mixer_b16_224_miil_in21k': 'mixer_b16_224.miil_in21k',
        'mixer_l16_224_in21k': 'mixer_l16_224.goog_in21k',
        'resmlp_12_224_dino': 'resmlp_12_224.fb_dino',
        'resmlp_12_distilled_224': 'resmlp_12_224.fb_distilled_in1k',
        'resmlp_24_224_dino': 'resmlp_24_224.fb_dino',
        'resmlp_24_distilled_224': 'resmlp_24_224.fb_distilled_in1k',
        'resmlp_36_distilled_224': 'resmlp_36_224.fb_distilled_in1k',
        'resmlp_big_24_224_in22ft1k': 'resmlp_big_24_224.fb_in22k_ft_in1k',
        'resmlp_big_24_distilled_224': 'resmlp_big_24_224.fb_distilled_in1k',
    },
)
