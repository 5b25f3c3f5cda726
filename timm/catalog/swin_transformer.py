"""Swin Transformer: its variants and their published weights. The network is timm/models/swin_transformer.py."""

from ._schema import Family, Ref, Variant, Weights

SWIN = 'https://github.com/SwinTransformer/storage/releases/download'
S3 = 'https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights'

WEIGHTS = Weights(
    hf_hub_id='timm/',
    fixed_input_size=True,
    crop_pct=0.9,
    pool_size=(7, 7),
    first_conv='patch_embed.proj',
    classifier='head.fc',
    license='mit',
)
AT_384 = WEIGHTS.but(input_size=(3, 384, 384), crop_pct=1.0, pool_size=(12, 12))

TINY = dict(embed_dim=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24))
SMALL = dict(embed_dim=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24))
BASE = dict(embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32))
LARGE = dict(embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48))

# fmt: off
FAMILY = Family(
    network='SwinTransformer',
    papers=(
        'Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, Liu et al., 2021, arXiv:2103.14030',
        'Searching the Search Space of Vision Transformer, Chen et al., 2021, arXiv:2111.14725 (S3)',
    ),
    base=WEIGHTS,
    feature_indices=(0, 1, 2, 3),
    feature_options=dict(flatten_sequential=True),
    convert=Ref('checkpoint_filter_fn'),
    ancestors=('vision_transformer',),
    variants=(
        # Liu et al., section 3.3
        Variant('swin_tiny_patch4_window7_224', dict(patch_size=4, window_size=7, **TINY), {
            'ms_in1k': WEIGHTS.but(url=f'{SWIN}/v1.0.0/swin_tiny_patch4_window7_224.pth'),
            'ms_in22k_ft_in1k': WEIGHTS.but(url=f'{SWIN}/v1.0.8/swin_tiny_patch4_window7_224_22kto1k_finetune.pth'),
            'ms_in22k': WEIGHTS.but(url=f'{SWIN}/v1.0.8/swin_tiny_patch4_window7_224_22k.pth', num_classes=21841),
        }),
        Variant('swin_small_patch4_window7_224', dict(patch_size=4, window_size=7, **SMALL), {
            'ms_in22k_ft_in1k': WEIGHTS.but(url=f'{SWIN}/v1.0.8/swin_small_patch4_window7_224_22kto1k_finetune.pth'),
            'ms_in1k': WEIGHTS.but(url=f'{SWIN}/v1.0.0/swin_small_patch4_window7_224.pth'),
            'ms_in22k': WEIGHTS.but(url=f'{SWIN}/v1.0.8/swin_small_patch4_window7_224_22k.pth', num_classes=21841),
        }),
        Variant('swin_base_patch4_window7_224', dict(patch_size=4, window_size=7, **BASE), {
            'ms_in22k_ft_in1k': WEIGHTS.but(url=f'{SWIN}/v1.0.0/swin_base_patch4_window7_224_22kto1k.pth'),
            'ms_in1k': WEIGHTS.but(url=f'{SWIN}/v1.0.0/swin_base_patch4_window7_224.pth'),
            'ms_in22k': WEIGHTS.but(url=f'{SWIN}/v1.0.0/swin_base_patch4_window7_224_22k.pth', num_classes=21841),
        }),
        Variant('swin_base_patch4_window12_384', dict(patch_size=4, window_size=12, **BASE), {
            'ms_in22k_ft_in1k': AT_384.but(url=f'{SWIN}/v1.0.0/swin_base_patch4_window12_384_22kto1k.pth'),
            'ms_in1k': AT_384.but(url=f'{SWIN}/v1.0.0/swin_base_patch4_window12_384.pth'),
            'ms_in22k': AT_384.but(url=f'{SWIN}/v1.0.0/swin_base_patch4_window12_384_22k.pth', num_classes=21841),
        }),
        Variant('swin_large_patch4_window7_224', dict(patch_size=4, window_size=7, **LARGE), {
            'ms_in22k_ft_in1k': WEIGHTS.but(url=f'{SWIN}/v1.0.0/swin_large_patch4_window7_224_22kto1k.pth'),
            'ms_in22k': WEIGHTS.but(url=f'{SWIN}/v1.0.0/swin_large_patch4_window7_224_22k.pth', num_classes=21841),
        }),
        Variant('swin_large_patch4_window12_384', dict(patch_size=4, window_size=12, **LARGE), {
            'ms_in22k_ft_in1k': AT_384.but(url=f'{SWIN}/v1.0.0/swin_large_patch4_window12_384_22kto1k.pth'),
            'ms_in22k': AT_384.but(url=f'{SWIN}/v1.0.0/swin_large_patch4_window12_384_22k.pth', num_classes=21841),
        }),
        # Chen et al., found by search
        Variant('swin_s3_tiny_224', dict(patch_size=4, window_size=(7, 7, 14, 7), **TINY), {
            'ms_in1k': WEIGHTS.but(url=f'{S3}/s3_t-1d53f6a8.pth'),
        }),
        Variant('swin_s3_small_224', dict(patch_size=4, window_size=(14, 14, 14, 7), **SMALL), {
            'ms_in1k': WEIGHTS.but(url=f'{S3}/s3_s-3bb4c69d.pth'),
        }),
        Variant('swin_s3_base_224', dict(
            patch_size=4, window_size=(7, 7, 14, 7), embed_dim=96, depths=(2, 2, 30, 2), num_heads=(3, 6, 12, 24),
        ), {
            'ms_in1k': WEIGHTS.but(url=f'{S3}/s3_b-a1e95db4.pth'),
        }),
    ),
    renamed={
        'swin_base_patch4_window7_224_in22k': 'swin_base_patch4_window7_224.ms_in22k',
        'swin_base_patch4_window12_384_in22k': 'swin_base_patch4_window12_384.ms_in22k',
        'swin_large_patch4_window7_224_in22k': 'swin_large_patch4_window7_224.ms_in22k',
        'swin_large_patch4_window12_384_in22k': 'swin_large_patch4_window12_384.ms_in22k',
    },
)
