"""DeiT and DeiT III: variants and published weights. What they add to the vision transformer is timm/models/deit.py."""

from ._schema import Family, Ref, Variant, Weights

META = 'https://dl.fbaipublicfiles.com/deit'

WEIGHTS = Weights(
    hf_hub_id='timm/',
    fixed_input_size=True,
    crop_pct=0.9,
    first_conv='patch_embed.proj',
    classifier='head',
    license='apache-2.0',
)
AT_384 = WEIGHTS.but(input_size=(3, 384, 384), crop_pct=1.0)
DISTILLED = WEIGHTS.but(classifier=('head', 'head_dist'))
FROM_IN22K = WEIGHTS.but(crop_pct=1.0)

TINY = dict(embed_dim=192, depth=12, num_heads=3)
SMALL = dict(embed_dim=384, depth=12, num_heads=6)
MEDIUM = dict(embed_dim=512, depth=12, num_heads=8)
BASE = dict(embed_dim=768, depth=12, num_heads=12)
LARGE = dict(embed_dim=1024, depth=24, num_heads=16)
HUGE = dict(embed_dim=1280, depth=32, num_heads=16)
DEIT3 = dict(no_embed_class=True, init_values=1e-6)

# fmt: off
FAMILY = Family(
    network='VisionTransformer',
    papers=(
        'Training data-efficient image transformers & distillation through attention, Touvron et al., 2020, arXiv:2012.12877',
        'DeiT III: Revenge of the ViT, Touvron et al., 2022, arXiv:2204.07118',
    ),
    base=WEIGHTS,
    feature_indices=3,
    feature_class='getter',
    convert=Ref('checkpoint_filter_fn', adapt_layer_scale=True),
    ancestors=('vision_transformer',),
    variants=(
        Variant('deit_tiny_patch16_224', dict(patch_size=16, **TINY), {
            'fb_in1k': WEIGHTS.but(url=f'{META}/deit_tiny_patch16_224-a1311bcf.pth'),
        }),
        Variant('deit_small_patch16_224', dict(patch_size=16, **SMALL), {
            'fb_in1k': WEIGHTS.but(url=f'{META}/deit_small_patch16_224-cd65a155.pth'),
        }),
        Variant('deit_base_patch16_224', dict(patch_size=16, **BASE), {
            'fb_in1k': WEIGHTS.but(url=f'{META}/deit_base_patch16_224-b5f2ef4d.pth'),
        }),
        Variant('deit_base_patch16_384', dict(patch_size=16, **BASE), {
            'fb_in1k': AT_384.but(url=f'{META}/deit_base_patch16_384-8de9b5d1.pth'),
        }),
        Variant('deit_tiny_distilled_patch16_224', dict(patch_size=16, **TINY), {
            'fb_in1k': DISTILLED.but(url=f'{META}/deit_tiny_distilled_patch16_224-b40b3cf7.pth'),
        }, network='VisionTransformerDistilled'),
        Variant('deit_small_distilled_patch16_224', dict(patch_size=16, **SMALL), {
            'fb_in1k': DISTILLED.but(url=f'{META}/deit_small_distilled_patch16_224-649709d9.pth'),
        }, network='VisionTransformerDistilled'),
        Variant('deit_base_distilled_patch16_224', dict(patch_size=16, **BASE), {
            'fb_in1k': DISTILLED.but(url=f'{META}/deit_base_distilled_patch16_224-df68dfff.pth'),
        }, network='VisionTransformerDistilled'),
        Variant('deit_base_distilled_patch16_384', dict(patch_size=16, **BASE), {
            'fb_in1k': AT_384.but(url=f'{META}/deit_base_distilled_patch16_384-d0272ac0.pth', classifier=('head', 'head_dist')),
        }, network='VisionTransformerDistilled'),
        Variant('deit3_small_patch16_224', dict(patch_size=16, **SMALL, **DEIT3), {
            'fb_in1k': WEIGHTS.but(url=f'{META}/deit_3_small_224_1k.pth'),
            'fb_in22k_ft_in1k': FROM_IN22K.but(url=f'{META}/deit_3_small_224_21k.pth'),
        }),
        Variant('deit3_small_patch16_384', dict(patch_size=16, **SMALL, **DEIT3), {
            'fb_in1k': AT_384.but(url=f'{META}/deit_3_small_384_1k.pth'),
            'fb_in22k_ft_in1k': AT_384.but(url=f'{META}/deit_3_small_384_21k.pth'),
        }),
        Variant('deit3_medium_patch16_224', dict(patch_size=16, **MEDIUM, **DEIT3), {
            'fb_in1k': WEIGHTS.but(url=f'{META}/deit_3_medium_224_1k.pth'),
            'fb_in22k_ft_in1k': FROM_IN22K.but(url=f'{META}/deit_3_medium_224_21k.pth'),
        }),
        Variant('deit3_base_patch16_224', dict(patch_size=16, **BASE, **DEIT3), {
            'fb_in1k': WEIGHTS.but(url=f'{META}/deit_3_base_224_1k.pth'),
            'fb_in22k_ft_in1k': FROM_IN22K.but(url=f'{META}/deit_3_base_224_21k.pth'),
        }),
        Variant('deit3_base_patch16_384', dict(patch_size=16, **BASE, **DEIT3), {
            'fb_in1k': AT_384.but(url=f'{META}/deit_3_base_384_1k.pth'),
            'fb_in22k_ft_in1k': AT_384.but(url=f'{META}/deit_3_base_384_21k.pth'),
        }),
        Variant('deit3_large_patch16_224', dict(patch_size=16, **LARGE, **DEIT3), {
            'fb_in1k': WEIGHTS.but(url=f'{META}/deit_3_large_224_1k.pth'),
            'fb_in22k_ft_in1k': FROM_IN22K.but(url=f'{META}/deit_3_large_224_21k.pth'),
        }),
        Variant('deit3_large_patch16_384', dict(patch_size=16, **LARGE, **DEIT3), {
            'fb_in1k': AT_384.but(url=f'{META}/deit_3_large_384_1k.pth'),
            'fb_in22k_ft_in1k': AT_384.but(url=f'{META}/deit_3_large_384_21k.pth'),
        }),
        Variant('deit3_huge_patch14_224', dict(patch_size=14, **HUGE, **DEIT3), {
            'fb_in1k': WEIGHTS.but(url=f'{META}/deit_3_huge_224_1k.pth'),
            'fb_in22k_ft_in1k': FROM_IN22K.but(url=f'{META}/deit_3_huge_224_21k_v1.pth'),
        }),
    ),
    renamed={
        'deit3_base_patch16_224_in21ft1k': 'deit3_base_patch16_224.fb_in22k_ft_in1k',
        'deit3_base_patch16_384_in21ft1k': 'deit3_base_patch16_384.fb_in22k_ft_in1k',
        'deit3_huge_patch14_224_in21ft1k': 'deit3_huge_patch14_224.fb_in22k_ft_in1k',
        'deit3_large_patch16_224_in21ft1k': 'deit3_large_patch16_224.fb_in22k_ft_in1k',
        'deit3_large_patch16_384_in21ft1k': 'deit3_large_patch16_384.fb_in22k_ft_in1k',
        'deit3_medium_patch16_224_in21ft1k': 'deit3_medium_patch16_224.fb_in22k_ft_in1k',
        'deit3_small_patch16_224_in21ft1k': 'deit3_small_patch16_224.fb_in22k_ft_in1k',
        'deit3_small_patch16_384_in21ft1k': 'deit3_small_patch16_384.fb_in22k_ft_in1k',
        'vit_deit_base_distilled_patch16_224': 'deit_base_distilled_patch16_224',
        'vit_deit_base_distilled_patch16_384': 'deit_base_distilled_patch16_384',
        'vit_deit_base_patch16_224': 'deit_base_patch16_224',
        'vit_deit_base_patch16_384': 'deit_base_patch16_384',
        'vit_deit_small_distilled_patch16_224': 'deit_small_distilled_patch16_224',
        'vit_deit_small_patch16_224': 'deit_small_patch16_224',
        'vit_deit_tiny_distilled_patch16_224': 'deit_tiny_distilled_patch16_224',
        'vit_deit_tiny_patch16_224': 'deit_tiny_patch16_224',
    },
)
