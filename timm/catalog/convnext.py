"""ConvNeXt and ConvNeXt V2: variants and published weights. The network is timm/models/convnext.py."""

from ._constants import IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from ._schema import Family, Ref, Variant, Weights

RSB = 'https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-rsb-weights'
META = 'https://dl.fbaipublicfiles.com/convnext'

WEIGHTS = Weights(hf_hub_id='timm/', pool_size=(7, 7), first_conv='stem.0', classifier='head.fc', license='apache-2.0')
UNTRAINED = WEIGHTS.but(hf_hub_id=None)
INCEPTION = WEIGHTS.but(mean=IMAGENET_INCEPTION_MEAN, std=IMAGENET_INCEPTION_STD)
SMALL_RECIPE = WEIGHTS.but(test_input_size=(3, 288, 288), test_crop_pct=0.95)
LARGE_RECIPE = WEIGHTS.but(test_input_size=(3, 288, 288), test_crop_pct=1.0)
AT_384 = WEIGHTS.but(input_size=(3, 384, 384), crop_pct=1.0, crop_mode='squash', pool_size=(12, 12))
CLIP = WEIGHTS.but(input_size=(3, 256, 256), crop_pct=1.0, mean=OPENAI_CLIP_MEAN, std=OPENAI_CLIP_STD, pool_size=(8, 8))
CLIP_320 = CLIP.but(input_size=(3, 320, 320), pool_size=(10, 10))
CLIP_384 = CLIP.but(input_size=(3, 384, 384), crop_mode='squash', pool_size=(12, 12))
DINOV3 = WEIGHTS.but(crop_pct=1.0, num_classes=0, license='dinov3-license')
EUPE = WEIGHTS.but(
    input_size=(3, 256, 256),
    crop_pct=1.0,
    num_classes=0,
    pool_size=(8, 8),
    license='fair-noncommercial-research-license',
)
FCMAE = WEIGHTS.but(
    num_classes=0,
    license='cc-by-nc-4.0',
    origin_url='https://github.com/facebookresearch/ConvNeXt-V2',
    paper_name='ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders',
    paper_ids='arXiv:2301.00808',
)
FCMAE_FT = FCMAE.but(test_input_size=(3, 288, 288), test_crop_pct=1.0, num_classes=1000)
FCMAE_FT_384 = FCMAE.but(
    input_size=(3, 384, 384),
    crop_pct=1.0,
    crop_mode='squash',
    num_classes=1000,
    pool_size=(12, 12),
)
TEST = WEIGHTS.but(
    input_size=(3, 160, 160),
    crop_pct=0.95,
    mean=IMAGENET_INCEPTION_MEAN,
    std=IMAGENET_INCEPTION_STD,
    pool_size=(5, 5),
)

V2 = dict(use_grn=True, ls_init_value=None)
ATTO = dict(depths=(2, 2, 6, 2), dims=(40, 80, 160, 320))
FEMTO = dict(depths=(2, 2, 6, 2), dims=(48, 96, 192, 384))
PICO = dict(depths=(2, 2, 6, 2), dims=(64, 128, 256, 512))
NANO = dict(depths=(2, 2, 8, 2), dims=(80, 160, 320, 640))
TINY = dict(depths=(3, 3, 9, 3), dims=(96, 192, 384, 768))
SMALL = dict(depths=(3, 3, 27, 3), dims=(96, 192, 384, 768))
BASE = dict(depths=(3, 3, 27, 3), dims=(128, 256, 512, 1024))
LARGE = dict(depths=(3, 3, 27, 3), dims=(192, 384, 768, 1536))

# fmt: off
FAMILY = Family(
    network='ConvNeXt',
    papers=(
        'A ConvNet for the 2020s, Liu et al., 2022, arXiv:2201.03545',
        'ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders, Woo et al., 2023, arXiv:2301.00808',
        'Reproducible scaling laws for contrastive language-image learning, Cherti et al., 2022, arXiv:2212.07143 (clip weights)',
        'DINOv3, Siméoni et al., 2025, arXiv:2508.10104 (dinov3 weights)',
        'Efficient Universal Perception Encoder, Zhu et al., 2026, arXiv:2603.22387 (eupe weights)',
    ),
    base=WEIGHTS,
    feature_indices=(0, 1, 2, 3),
    feature_options=dict(flatten_sequential=True),
    convert=Ref('checkpoint_filter_fn'),
    variants=(
        Variant('convnext_zepto_rms', dict(
            depths=(2, 2, 4, 2), dims=(32, 64, 128, 256), conv_mlp=True, norm_layer='simplenorm',
        ), {
            'ra4_e3600_r224_in1k': INCEPTION,
        }),
        Variant('convnext_zepto_rms_ols', dict(
            depths=(2, 2, 4, 2), dims=(32, 64, 128, 256), conv_mlp=True, norm_layer='simplenorm',
            stem_type='overlap_act',
        ), {
            'ra4_e3600_r224_in1k': INCEPTION.but(crop_pct=0.9),
        }),
        Variant('convnext_atto', dict(conv_mlp=True, **ATTO), {
            'd2_in1k': SMALL_RECIPE.but(url=f'{RSB}/convnext_atto_d2-01bb0f51.pth'),
        }),
        Variant('convnext_atto_ols', dict(conv_mlp=True, stem_type='overlap_tiered', **ATTO), {
            'a2_in1k': SMALL_RECIPE.but(url=f'{RSB}/convnext_atto_ols_a2-78d1c8f3.pth'),
        }),
        Variant('convnext_atto_rms', dict(conv_mlp=True, norm_layer='rmsnorm2d', **ATTO), {
            'untrained': UNTRAINED.but(test_input_size=(3, 256, 256), test_crop_pct=0.95),
        }),
        Variant('convnext_femto', dict(conv_mlp=True, **FEMTO), {
            'd1_in1k': SMALL_RECIPE.but(url=f'{RSB}/convnext_femto_d1-d71d5b4c.pth'),
        }),
        Variant('convnext_femto_ols', dict(conv_mlp=True, stem_type='overlap_tiered', **FEMTO), {
            'd1_in1k': SMALL_RECIPE.but(url=f'{RSB}/convnext_femto_ols_d1-246bf2ed.pth'),
        }),
        Variant('convnext_pico', dict(conv_mlp=True, **PICO), {
            'd1_in1k': SMALL_RECIPE.but(url=f'{RSB}/convnext_pico_d1-10ad7f0d.pth'),
        }),
        Variant('convnext_pico_ols', dict(conv_mlp=True, stem_type='overlap_tiered', **PICO), {
            'd1_in1k': LARGE_RECIPE.but(url=f'{RSB}/convnext_pico_ols_d1-611f0ca7.pth', crop_pct=0.95),
        }),
        Variant('convnext_nano', dict(conv_mlp=True, **NANO), {
            'in12k_ft_in1k': LARGE_RECIPE.but(crop_pct=0.95),
            'd1h_in1k': LARGE_RECIPE.but(url=f'{RSB}/convnext_nano_d1h-7eb4bdea.pth', crop_pct=0.95),
            'r384_in12k_ft_in1k': AT_384.but(crop_mode='center'),
            'in12k': WEIGHTS.but(crop_pct=0.95, num_classes=11821),
            'r384_in12k': AT_384.but(crop_mode='center', num_classes=11821),
            'r384_ad_in12k': AT_384.but(crop_mode='center', num_classes=11821),
        }),
        Variant('convnext_nano_ols', dict(conv_mlp=True, stem_type='overlap', **NANO), {
            'd1h_in1k': LARGE_RECIPE.but(url=f'{RSB}/convnext_nano_ols_d1h-ae424a9a.pth', crop_pct=0.95),
        }),
        # sizes of the paper
        Variant('convnext_tiny_hnf', dict(head_norm_first=True, conv_mlp=True, **TINY), {
            'a2h_in1k': LARGE_RECIPE.but(url=f'{RSB}/convnext_tiny_hnf_a2h-ab7e9df2.pth', crop_pct=0.95),
        }),
        Variant('convnext_tiny', TINY, {
            'in12k_ft_in1k': LARGE_RECIPE.but(crop_pct=0.95),
            'in12k_ft_in1k_384': AT_384,
            'in12k': WEIGHTS.but(crop_pct=0.95, num_classes=11821),
            'fb_in22k_ft_in1k': LARGE_RECIPE.but(url=f'{META}/convnext_tiny_22k_1k_224.pth'),
            'fb_in1k': LARGE_RECIPE.but(url=f'{META}/convnext_tiny_1k_224_ema.pth'),
            'fb_in22k_ft_in1k_384': AT_384.but(url=f'{META}/convnext_tiny_22k_1k_384.pth'),
            'fb_in22k': WEIGHTS.but(url=f'{META}/convnext_tiny_22k_224.pth', num_classes=21841),
            'dinov3_lvd1689m': DINOV3,
            'eupe_lvd1689m': EUPE,
        }),
        Variant('convnext_small', SMALL, {
            'in12k_ft_in1k': LARGE_RECIPE.but(crop_pct=0.95),
            'in12k_ft_in1k_384': AT_384,
            'in12k': WEIGHTS.but(crop_pct=0.95, num_classes=11821),
            'fb_in22k_ft_in1k': LARGE_RECIPE.but(url=f'{META}/convnext_small_22k_1k_224.pth'),
            'fb_in1k': LARGE_RECIPE.but(url=f'{META}/convnext_small_1k_224_ema.pth'),
            'fb_in22k_ft_in1k_384': AT_384.but(url=f'{META}/convnext_small_22k_1k_384.pth'),
            'fb_in22k': WEIGHTS.but(url=f'{META}/convnext_small_22k_224.pth', num_classes=21841),
            'dinov3_lvd1689m': DINOV3,
            'eupe_lvd1689m': EUPE,
        }),
        Variant('convnext_base', BASE, {
            'fb_in22k_ft_in1k': LARGE_RECIPE.but(url=f'{META}/convnext_base_22k_1k_224.pth'),
            'fb_in1k': LARGE_RECIPE.but(url=f'{META}/convnext_base_1k_224_ema.pth'),
            'fb_in22k_ft_in1k_384': AT_384.but(url=f'{META}/convnext_base_22k_1k_384.pth'),
            'fb_in22k': WEIGHTS.but(url=f'{META}/convnext_base_22k_224.pth', num_classes=21841),
            'clip_laion2b_augreg_ft_in12k_in1k': CLIP,
            'clip_laion2b_augreg_ft_in12k_in1k_384': CLIP_384,
            'clip_laion2b_augreg_ft_in1k': CLIP,
            'clip_laiona_augreg_ft_in1k_384': CLIP_384.but(crop_mode='center'),
            'clip_laion2b_augreg_ft_in12k': CLIP.but(num_classes=11821),
            'clip_laion2b': CLIP.but(num_classes=640),
            'clip_laion2b_augreg': CLIP.but(num_classes=640),
            'clip_laiona': CLIP.but(num_classes=640),
            'clip_laiona_320': CLIP_320.but(num_classes=640),
            'clip_laiona_augreg_320': CLIP_320.but(num_classes=640),
            'dinov3_lvd1689m': DINOV3,
            'eupe_lvd1689m': EUPE,
        }),
        Variant('convnext_large', LARGE, {
            'fb_in22k_ft_in1k': LARGE_RECIPE.but(url=f'{META}/convnext_large_22k_1k_224.pth'),
            'fb_in1k': LARGE_RECIPE.but(url=f'{META}/convnext_large_1k_224_ema.pth'),
            'fb_in22k_ft_in1k_384': AT_384.but(url=f'{META}/convnext_large_22k_1k_384.pth'),
            'fb_in22k': WEIGHTS.but(url=f'{META}/convnext_large_22k_224.pth', num_classes=21841),
            'dinov3_lvd1689m': DINOV3,
        }),
        Variant('convnext_large_mlp', dict(head_hidden_size=1536, **LARGE), {
            'clip_laion2b_soup_ft_in12k_in1k_320': CLIP_320,
            'clip_laion2b_soup_ft_in12k_in1k_384': CLIP_384,
            'clip_laion2b_augreg_ft_in1k': CLIP,
            'clip_laion2b_augreg_ft_in1k_384': CLIP_384,
            'clip_laion2b_soup_ft_in12k_320': CLIP_320.but(num_classes=11821),
            'clip_laion2b_augreg_ft_in12k_384': CLIP_384.but(num_classes=11821),
            'clip_laion2b_soup_ft_in12k_384': CLIP_384.but(num_classes=11821),
            'clip_laion2b_augreg': CLIP.but(num_classes=768),
            'clip_laion2b_ft_320': CLIP_320.but(num_classes=768),
            'clip_laion2b_ft_soup_320': CLIP_320.but(num_classes=768),
        }),
        Variant('convnext_xlarge', dict(depths=(3, 3, 27, 3), dims=(256, 512, 1024, 2048)), {
            'fb_in22k_ft_in1k': LARGE_RECIPE.but(url=f'{META}/convnext_xlarge_22k_1k_224_ema.pth'),
            'fb_in22k_ft_in1k_384': AT_384.but(url=f'{META}/convnext_xlarge_22k_1k_384_ema.pth'),
            'fb_in22k': WEIGHTS.but(url=f'{META}/convnext_xlarge_22k_224.pth', num_classes=21841),
        }),
        Variant('convnext_xxlarge', dict(depths=(3, 4, 30, 3), dims=(384, 768, 1536, 3072), norm_eps=1e-5), {
            'clip_laion2b_soup_ft_in1k': CLIP,
            'clip_laion2b_soup_ft_in12k': CLIP.but(num_classes=11821),
            'clip_laion2b_soup': CLIP.but(num_classes=1024),
            'clip_laion2b_rewind': CLIP.but(num_classes=1024),
        }),
        # ConvNeXt V2: response normalisation in place of layer scale
        Variant('convnextv2_atto', dict(conv_mlp=True, **V2, **ATTO), {
            'fcmae_ft_in1k': FCMAE_FT.but(url=f'{META}/convnextv2/im1k/convnextv2_atto_1k_224_ema.pt', test_crop_pct=0.95),
            'fcmae': FCMAE.but(url=f'{META}/convnextv2/pt_only/convnextv2_atto_1k_224_fcmae.pt'),
        }),
        Variant('convnextv2_femto', dict(conv_mlp=True, **V2, **FEMTO), {
            'fcmae_ft_in1k': FCMAE_FT.but(url=f'{META}/convnextv2/im1k/convnextv2_femto_1k_224_ema.pt', test_crop_pct=0.95),
            'fcmae': FCMAE.but(url=f'{META}/convnextv2/pt_only/convnextv2_femto_1k_224_fcmae.pt'),
        }),
        Variant('convnextv2_pico', dict(conv_mlp=True, **V2, **PICO), {
            'fcmae_ft_in1k': FCMAE_FT.but(url=f'{META}/convnextv2/im1k/convnextv2_pico_1k_224_ema.pt', test_crop_pct=0.95),
            'fcmae': FCMAE.but(url=f'{META}/convnextv2/pt_only/convnextv2_pico_1k_224_fcmae.pt'),
        }),
        Variant('convnextv2_nano', dict(conv_mlp=True, **V2, **NANO), {
            'fcmae_ft_in22k_in1k': FCMAE_FT.but(url=f'{META}/convnextv2/im22k/convnextv2_nano_22k_224_ema.pt'),
            'fcmae_ft_in22k_in1k_384': FCMAE_FT_384.but(url=f'{META}/convnextv2/im22k/convnextv2_nano_22k_384_ema.pt'),
            'fcmae_ft_in1k': FCMAE_FT.but(url=f'{META}/convnextv2/im1k/convnextv2_nano_1k_224_ema.pt'),
            'fcmae': FCMAE.but(url=f'{META}/convnextv2/pt_only/convnextv2_nano_1k_224_fcmae.pt'),
        }),
        Variant('convnextv2_tiny', dict(**V2, **TINY), {
            'fcmae_ft_in22k_in1k': FCMAE_FT.but(url=f'{META}/convnextv2/im22k/convnextv2_tiny_22k_224_ema.pt'),
            'fcmae_ft_in22k_in1k_384': FCMAE_FT_384.but(url=f'{META}/convnextv2/im22k/convnextv2_tiny_22k_384_ema.pt'),
            'fcmae_ft_in1k': FCMAE_FT.but(url=f'{META}/convnextv2/im1k/convnextv2_tiny_1k_224_ema.pt'),
            'fcmae': FCMAE.but(url=f'{META}/convnextv2/pt_only/convnextv2_tiny_1k_224_fcmae.pt'),
        }),
        Variant('convnextv2_small', dict(**V2, **SMALL), {'untrained': UNTRAINED}),
        Variant('convnextv2_base', dict(**V2, **BASE), {
            'fcmae_ft_in22k_in1k': FCMAE_FT.but(url=f'{META}/convnextv2/im22k/convnextv2_base_22k_224_ema.pt'),
            'fcmae_ft_in22k_in1k_384': FCMAE_FT_384.but(url=f'{META}/convnextv2/im22k/convnextv2_base_22k_384_ema.pt'),
            'fcmae_ft_in1k': FCMAE_FT.but(url=f'{META}/convnextv2/im1k/convnextv2_base_1k_224_ema.pt'),
            'fcmae': FCMAE.but(url=f'{META}/convnextv2/pt_only/convnextv2_base_1k_224_fcmae.pt'),
        }),
        Variant('convnextv2_large', dict(**V2, **LARGE), {
            'fcmae_ft_in22k_in1k': FCMAE_FT.but(url=f'{META}/convnextv2/im22k/convnextv2_large_22k_224_ema.pt'),
            'fcmae_ft_in22k_in1k_384': FCMAE_FT_384.but(url=f'{META}/convnextv2/im22k/convnextv2_large_22k_384_ema.pt'),
            'fcmae_ft_in1k': FCMAE_FT.but(url=f'{META}/convnextv2/im1k/convnextv2_large_1k_224_ema.pt'),
            'fcmae': FCMAE.but(url=f'{META}/convnextv2/pt_only/convnextv2_large_1k_224_fcmae.pt'),
        }),
        Variant('convnextv2_huge', dict(depths=(3, 3, 27, 3), dims=(352, 704, 1408, 2816), **V2), {
            'fcmae_ft_in22k_in1k_384': FCMAE_FT_384.but(url=f'{META}/convnextv2/im22k/convnextv2_huge_22k_384_ema.pt'),
            'fcmae_ft_in22k_in1k_512': FCMAE_FT_384.but(
                url=f'{META}/convnextv2/im22k/convnextv2_huge_22k_512_ema.pt', input_size=(3, 512, 512),
                pool_size=(15, 15),
            ),
            'fcmae_ft_in1k': FCMAE_FT.but(url=f'{META}/convnextv2/im1k/convnextv2_huge_1k_224_ema.pt'),
            'fcmae': FCMAE.but(url=f'{META}/convnextv2/pt_only/convnextv2_huge_1k_224_fcmae.pt'),
        }),
        # tiny ones for tests
        Variant('test_convnext', dict(
            depths=(1, 2, 4, 2), dims=(24, 32, 48, 64), norm_eps=1e-5, act_layer='gelu_tanh',
        ), {
            'r160_in1k': TEST,
        }),
        Variant('test_convnext2', dict(
            depths=(1, 1, 1, 1), dims=(32, 64, 96, 128), norm_eps=1e-5, act_layer='gelu_tanh',
        ), {
            'r160_in1k': TEST,
        }),
        Variant('test_convnext3', dict(
            depths=(1, 1, 1, 1), dims=(32, 64, 96, 128), norm_eps=1e-5, kernel_sizes=(7, 5, 5, 3), act_layer='silu',
        ), {
            'r160_in1k': TEST,
        }),
    ),
    renamed={
        'convnext_tiny_384_in22ft1k': 'convnext_tiny.fb_in22k_ft_in1k_384',
        'convnext_tiny_in22ft1k': 'convnext_tiny.fb_in22k_ft_in1k',
        'convnext_tiny_in22k': 'convnext_tiny.fb_in22k',
        'convnext_small_384_in22ft1k': 'convnext_small.fb_in22k_ft_in1k_384',
        'convnext_small_in22ft1k': 'convnext_small.fb_in22k_ft_in1k',
        'convnext_small_in22k': 'convnext_small.fb_in22k',
        'convnext_base_384_in22ft1k': 'convnext_base.fb_in22k_ft_in1k_384',
        'convnext_base_in22ft1k': 'convnext_base.fb_in22k_ft_in1k',
        'convnext_base_in22k': 'convnext_base.fb_in22k',
        'convnext_large_384_in22ft1k': 'convnext_large.fb_in22k_ft_in1k_384',
        'convnext_large_in22ft1k': 'convnext_large.fb_in22k_ft_in1k',
        'convnext_large_in22k': 'convnext_large.fb_in22k',
        'convnext_xlarge_384_in22ft1k': 'convnext_xlarge.fb_in22k_ft_in1k_384',
        'convnext_xlarge_in22ft1k': 'convnext_xlarge.fb_in22k_ft_in1k',
        'convnext_xlarge_in22k': 'convnext_xlarge.fb_in22k',
    },
)
