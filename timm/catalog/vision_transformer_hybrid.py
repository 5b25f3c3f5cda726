"""Vision transformers over the feature map of a convolutional network: variants and published weights.

The network is timm/models/vision_transformer_hybrid.py. There `hybrid_embed` turns two arguments into `embed_layer`:
`backbone`, which builds the convolutional part from `in_chans`, and `embed_args` for the embedding of its map.
"""

from ._constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD
from ._schema import Family, Ref, Variant, Weights

AUGREG_URL = 'https://storage.googleapis.com/vit_models/augreg'
TIMM = 'https://github.com/rwightman/pytorch-image-models/releases/download'
APPLE = 'https://docs-assets.developer.apple.com/ml-research/datasets/mobileclip'

WEIGHTS = Weights(
    hf_hub_id='timm/',
    fixed_input_size=True,
    crop_pct=0.9,
    mean=IMAGENET_INCEPTION_MEAN,
    std=IMAGENET_INCEPTION_STD,
    first_conv='patch_embed.backbone.stem.conv',
    classifier='head',
    license='apache-2.0',
)
AUGREG = WEIGHTS.but(custom_load=True)
AT_384 = WEIGHTS.but(input_size=(3, 384, 384), crop_pct=1.0)
AUGREG_384 = AUGREG.but(input_size=(3, 384, 384), crop_pct=1.0)
STEM_ONLY = AUGREG.but(first_conv='patch_embed.backbone.conv')
OVER_RESNET = WEIGHTS.but(
    hf_hub_id=None,
    mean=IMAGENET_DEFAULT_MEAN,
    std=IMAGENET_DEFAULT_STD,
    first_conv='patch_embed.backbone.conv1.0',
)
MOBILECLIP = WEIGHTS.but(
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    num_classes=512,
    first_conv='patch_embed.backbone.0.conv',
    license='apple-amlr',
)

R_STEM = Ref('bit_backbone', layers=())
R26 = Ref('bit_backbone', layers=(2, 2, 2, 2))
R50 = Ref('bit_backbone', layers=(3, 4, 6, 3))
R50_S16 = Ref('bit_backbone', layers=(3, 4, 9))
RESNET26D = Ref('resnet26d', features_only=True, out_indices=(4,))
RESNET50D = Ref('resnet50d', features_only=True, out_indices=(4,))
RESNET50D_S16 = Ref('resnet50d', features_only=True, out_indices=(3,))
MCI_STEM = Ref(
    'ConvStem', channels=(192, 192, 768), kernel_size=(4, 2, 2), stride=(4, 2, 2), padding=0, act_layer=Ref('nn.GELU')
)

TINY = dict(embed_dim=192, depth=12, num_heads=3)
SMALL = dict(embed_dim=384, depth=12, num_heads=6)
WIDE_SMALL = dict(embed_dim=768, depth=8, num_heads=8, mlp_ratio=3)
BASE = dict(embed_dim=768, depth=12, num_heads=12)
LARGE = dict(embed_dim=1024, depth=24, num_heads=16)

# fmt: off
FAMILY = Family(
    network='VisionTransformer',
    papers=(
        'An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale, Dosovitskiy et al., 2020, arXiv:2010.11929',
        'How to train your ViT? Data, Augmentation, and Regularization in Vision Transformers, Steiner et al., 2021, arXiv:2106.10270',
        'MobileCLIP: Fast Image-Text Models through Multi-Modal Reinforced Training, Vasu et al., 2023, arXiv:2311.17049',
        'MobileCLIP2: Improving Multi-Modal Reinforced Training, Faghri et al., 2025, arXiv:2508.20691',
    ),
    base=WEIGHTS,
    feature_indices=3,
    feature_class='getter',
    convert=Ref('checkpoint_filter_fn'),
    build='hybrid_embed',
    ancestors=('resnet', 'resnetv2', 'vision_transformer'),
    variants=(
        Variant('vit_tiny_r_s16_p8_224', dict(backbone=R_STEM, patch_size=8, **TINY), {
            'augreg_in21k_ft_in1k': STEM_ONLY.but(url=f'{AUGREG_URL}/R_Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_224.npz'),
            'augreg_in21k': STEM_ONLY.but(url=f'{AUGREG_URL}/R_Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0.npz', num_classes=21843),
        }),
        Variant('vit_tiny_r_s16_p8_384', dict(backbone=R_STEM, patch_size=8, **TINY), {
            'augreg_in21k_ft_in1k': AUGREG_384.but(url=f'{AUGREG_URL}/R_Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_384.npz', first_conv='patch_embed.backbone.conv'),
        }),
        Variant('vit_small_r26_s32_224', dict(backbone=R26, **SMALL), {
            'augreg_in21k_ft_in1k': AUGREG.but(url=f'{AUGREG_URL}/R26_S_32-i21k-300ep-lr_0.001-aug_light0-wd_0.03-do_0.1-sd_0.1--imagenet2012-steps_20k-lr_0.03-res_224.npz'),
            'augreg_in21k': AUGREG.but(url=f'{AUGREG_URL}/R26_S_32-i21k-300ep-lr_0.001-aug_medium2-wd_0.03-do_0.0-sd_0.0.npz', num_classes=21843),
        }),
        Variant('vit_small_r26_s32_384', dict(backbone=R26, **SMALL), {
            'augreg_in21k_ft_in1k': AUGREG_384.but(url=f'{AUGREG_URL}/R26_S_32-i21k-300ep-lr_0.001-aug_medium2-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_384.npz'),
        }),
        Variant('vit_base_r26_s32_224', dict(backbone=R26, **BASE), {'untrained': WEIGHTS.but(hf_hub_id=None)}),
        Variant('vit_base_r50_s16_224', dict(backbone=R50_S16, **BASE), {'orig_in21k': WEIGHTS.but(num_classes=0)}),
        Variant('vit_base_r50_s16_384', dict(backbone=R50_S16, **BASE), {
            'orig_in21k_ft_in1k': AT_384.but(url=f'{TIMM}/v0.1-vitjx/jx_vit_base_resnet50_384-9fd3c705.pth'),
        }),
        Variant('vit_large_r50_s32_224', dict(backbone=R50, **LARGE), {
            'augreg_in21k_ft_in1k': AUGREG.but(url=f'{AUGREG_URL}/R50_L_32-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.1-sd_0.1--imagenet2012-steps_20k-lr_0.01-res_224.npz'),
            'augreg_in21k': AUGREG.but(url=f'{AUGREG_URL}/R50_L_32-i21k-300ep-lr_0.001-aug_medium2-wd_0.1-do_0.0-sd_0.0.npz', num_classes=21843),
        }),
        Variant('vit_large_r50_s32_384', dict(backbone=R50, **LARGE), {
            'augreg_in21k_ft_in1k': AUGREG_384.but(url=f'{AUGREG_URL}/R50_L_32-i21k-300ep-lr_0.001-aug_medium2-wd_0.1-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.01-res_384.npz'),
        }),
        Variant('vit_small_resnet26d_224', dict(backbone=RESNET26D, **WIDE_SMALL), {'untrained': OVER_RESNET}),
        Variant('vit_small_resnet50d_s16_224', dict(backbone=RESNET50D_S16, **WIDE_SMALL), {'untrained': OVER_RESNET}),
        Variant('vit_base_resnet26d_224', dict(backbone=RESNET26D, **BASE), {'untrained': OVER_RESNET}),
        Variant('vit_base_resnet50d_224', dict(backbone=RESNET50D, **BASE), {'untrained': OVER_RESNET}),
        Variant('vit_base_mci_224', dict(backbone=MCI_STEM, no_embed_class=True, embed_args=dict(proj=False), **BASE), {
            'apple_mclip_lt': MOBILECLIP.but(url=f'{APPLE}/mobileclip_blt.pt', hf_hub_id='apple/mobileclip_b_lt_timm'),
            'apple_mclip': MOBILECLIP.but(url=f'{APPLE}/mobileclip_b.pt', hf_hub_id='apple/mobileclip_b_timm'),
            'apple_mclip2_dfndr2b': MOBILECLIP,
        }),
    ),
    renamed={
        'vit_tiny_r_s16_p8_224_in21k': 'vit_tiny_r_s16_p8_224.augreg_in21k',
        'vit_small_r26_s32_224_in21k': 'vit_small_r26_s32_224.augreg_in21k',
        'vit_base_r50_s16_224_in21k': 'vit_base_r50_s16_224.orig_in21k',
        'vit_base_resnet50_224_in21k': 'vit_base_r50_s16_224.orig_in21k',
        'vit_base_resnet50_384': 'vit_base_r50_s16_384.orig_in21k_ft_in1k',
        'vit_large_r50_s32_224_in21k': 'vit_large_r50_s32_224.augreg_in21k',
    },
)
