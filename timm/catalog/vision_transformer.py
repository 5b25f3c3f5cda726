"""Vision transformers with one column of tokens: variants and published weights.

The network is timm/models/vision_transformer.py. In names: `gap` pools the patch tokens, `regN` adds N register
tokens, `rpn` puts the norm behind each branch, `AxB` runs B blocks side by side A times, `xp` runs attention and MLP side
by side.
"""

from ._constants import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_INCEPTION_MEAN,
    IMAGENET_INCEPTION_STD,
    OPENAI_CLIP_MEAN,
    OPENAI_CLIP_STD,
)
from ._schema import Family, Ref, Variant, Weights

AUGREG_URL = 'https://storage.googleapis.com/vit_models/augreg'
SAM_URL = 'https://storage.googleapis.com/vit_models/sam'
TIMM = 'https://github.com/rwightman/pytorch-image-models/releases/download'
FLEXI_URL = 'https://storage.googleapis.com/big_vision/flexivit'
META = 'https://dl.fbaipublicfiles.com'
QUICK_NOTE = ('natively QuickGELU, use quickgelu model variant for original results',)

WEIGHTS = Weights(
    hf_hub_id='timm/',
    fixed_input_size=True,
    crop_pct=0.9,
    mean=IMAGENET_INCEPTION_MEAN,
    std=IMAGENET_INCEPTION_STD,
    first_conv='patch_embed.proj',
    classifier='head',
    license='apache-2.0',
)
UNTRAINED = WEIGHTS.but(hf_hub_id=None)
AT_384 = WEIGHTS.but(input_size=(3, 384, 384), crop_pct=1.0)
AUGREG = WEIGHTS.but(custom_load=True)
AUGREG_384 = AUGREG.but(input_size=(3, 384, 384), crop_pct=1.0)
AUGREG_21K = AUGREG.but(num_classes=21843)
FLEXI = AUGREG.but(input_size=(3, 240, 240), crop_pct=0.95)
FLEXI_21K = FLEXI.but(num_classes=21843)
SBB = WEIGHTS.but(input_size=(3, 256, 256), crop_pct=0.95)
SBB_12K = SBB.but(num_classes=11821)
TEST = WEIGHTS.but(input_size=(3, 160, 160), crop_pct=0.95)
IMAGENET_NORM = WEIGHTS.but(mean=IMAGENET_DEFAULT_MEAN, std=IMAGENET_DEFAULT_STD, num_classes=0)
MAE = IMAGENET_NORM.but(license='cc-by-nc-4.0')
IJEPA = MAE.but(hf_hub_id=None)
DINOV2 = IMAGENET_NORM.but(input_size=(3, 518, 518), crop_pct=1.0)
INTERN = IMAGENET_NORM.but(input_size=(3, 448, 448), crop_pct=1.0)
BEIT3 = WEIGHTS.but(crop_pct=1.0, mean=IMAGENET_DEFAULT_MEAN, std=IMAGENET_DEFAULT_STD)
MIIL = WEIGHTS.but(interpolation='bilinear', crop_pct=0.875, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
TIPS = WEIGHTS.but(input_size=(3, 448, 448), crop_pct=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), num_classes=0)
HEADLESS = WEIGHTS.but(num_classes=0)
PALI = HEADLESS.but(crop_pct=1.0)
SIGLIP_FT = WEIGHTS.but(input_size=(3, 378, 378), crop_pct=1.0, crop_mode='squash')
CLIP = WEIGHTS.but(mean=OPENAI_CLIP_MEAN, std=OPENAI_CLIP_STD)
CLIP_FULL = CLIP.but(crop_pct=1.0)
CLIP_SQUASH = CLIP_FULL.but(crop_mode='squash')
LAION_L = WEIGHTS.but(crop_pct=1.0)
OPENAI = CLIP.but(notes=QUICK_NOTE)
TINYCLIP = CLIP.but(num_classes=512, license='mit')
LAION400M = CLIP_FULL.but(license='mit')
DFN = CLIP_FULL.but(license='apple-ascl')
METACLIP = CLIP_FULL.but(license='cc-by-nc-4.0')
METACLIP_QUICK = METACLIP.but(notes=QUICK_NOTE)
EVA = CLIP_FULL.but(license='mit')
AIMV2 = CLIP_FULL.but(num_classes=0, license='apple-ascl')
RADIO = CLIP_FULL.but(
    input_size=(3, 512, 512),
    num_classes=0,
    license='nvidia-open-model-license',
    origin_url='https://github.com/NVlabs/RADIO',
    paper_ids='arXiv:2412.07679',
)

SILU = Ref('nn.SiLU')
LAYER_NORM = Ref('layers.LayerNorm', eps=1e-5)
RMS_NORM = Ref('layers.RmsNorm', eps=1e-5)
SWIGLU = Ref('layers.GluMlp', act_layer=SILU, gate_last=False)
RESIZE_HALF_PIXEL = Ref('checkpoint_filter_fn', interpolation='bilinear', antialias=False, align_corners=False)
RESIZE_CORNERS = Ref('checkpoint_filter_fn', interpolation='bilinear', antialias=False, align_corners=True)
RESIZE_BILINEAR = Ref('checkpoint_filter_fn', interpolation='bilinear', antialias=False)

XSMALL = dict(embed_dim=256, depth=10, num_heads=4)
TINY = dict(embed_dim=192, depth=12, num_heads=3)
SMALL = dict(embed_dim=384, depth=12, num_heads=6)
MEDIUM = dict(embed_dim=512, depth=12, num_heads=8)
MEDIUM_DEEP = dict(embed_dim=512, depth=20, num_heads=8)
BETWIXT = dict(embed_dim=640, depth=12, num_heads=10)
BASE = dict(embed_dim=768, depth=12, num_heads=12)
PLUS = dict(embed_dim=896, depth=12, num_heads=14)
LARGE = dict(embed_dim=1024, depth=24, num_heads=16)
HUGE = dict(embed_dim=1280, depth=32, num_heads=16)
GIANT = dict(embed_dim=1408, depth=40, num_heads=16, mlp_ratio=48 / 11)
GIGANTIC = dict(embed_dim=1664, depth=48, num_heads=16, mlp_ratio=64 / 13)
SO400M = dict(embed_dim=1152, depth=27, num_heads=16)
SO150M = dict(embed_dim=896, depth=18, num_heads=14, mlp_ratio=2.572)
SO150M2 = dict(embed_dim=832, depth=21, num_heads=13, mlp_ratio=34 / 13)
GIANT_OPT = dict(embed_dim=1536, depth=40, num_heads=16)
DINOV2_GIANT = dict(embed_dim=1536, depth=40, num_heads=24, mlp_ratio=5.33334, mlp_layer=SWIGLU, act_layer=SILU)
CLIP_NET = dict(pre_norm=True, norm_layer=LAYER_NORM)
XP = dict(
    pre_norm=True,
    no_embed_class=True,
    norm_layer=Ref('layers.RmsNorm'),
    block_fn=Ref('ParallelScalingBlock'),
    qkv_bias=False,
    qk_norm=True,
)
SBB_NET = dict(patch_size=16, init_values=1e-5, class_token=False, no_embed_class=True, global_pool='avg')
SO150M2_NET = dict(patch_size=16, init_values=1e-5, qkv_bias=False, class_token=False, reg_tokens=1, global_pool='avg')
AIMV2_NET = dict(
    patch_size=14,
    class_token=False,
    global_pool='avg',
    fc_norm=False,
    qkv_bias=False,
    proj_bias=False,
    act_layer='silu',
    norm_layer=RMS_NORM,
    embed_norm_layer=RMS_NORM,
    mlp_layer=Ref('layers.SwiGLU'),
)
BEIT3_NET = dict(scale_attn_norm=True, scale_mlp_norm=True, class_token=True, global_pool='avg', norm_layer=LAYER_NORM)
GAP_12K = dict(patch_size=16, class_token=False, global_pool='avg', qkv_bias=False, init_values=1e-6, fc_norm=False)
GAP = dict(class_token=False, global_pool='avg', fc_norm=False)
MAP = dict(class_token=False, global_pool='map')
RADIO_NET = dict(img_size=512, patch_size=16, no_embed_class=True, final_norm=False)
LOOSE = dict(pretrained_strict=False)  # the file has an attention pooling that is left out

# fmt: off
FAMILY = Family(
    network='VisionTransformer',
    papers=(
        'An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale, Dosovitskiy et al., 2020, arXiv:2010.11929 (orig weights)',
        'How to train your ViT? Data, Augmentation, and Regularization in Vision Transformers, Steiner et al., 2021, arXiv:2106.10270 (augreg weights)',
        'When Vision Transformers Outperform ResNets without Pre-training or Strong Data Augmentations, Chen et al., 2021, arXiv:2106.01548 (sam weights)',
        'Emerging Properties in Self-Supervised Vision Transformers, Caron et al., 2021, arXiv:2104.14294 (dino weights)',
        'Masked Autoencoders Are Scalable Vision Learners, He et al., 2021, arXiv:2111.06377 (mae weights)',
        'ImageNet-21K Pretraining for the Masses, Ridnik et al., 2021, arXiv:2104.10972 (miil weights)',
        'Scaling Vision Transformers, Zhai et al., 2021, arXiv:2106.04560 (giant, gigantic)',
        'Swin Transformer V2: Scaling Up Capacity and Resolution, Liu et al., 2021, arXiv:2111.09883 (rpn)',
        'Learning Transferable Visual Models From Natural Language Supervision, Radford et al., 2021, arXiv:2103.00020 (clip; openai weights)',
        'Three things everyone should know about Vision Transformers, Touvron et al., 2022, arXiv:2203.09795 (18x2)',
        'Image as a Foreign Language: BEiT Pretraining for All Vision and Vision-Language Tasks, Wang et al., 2022, arXiv:2208.10442 (beit3)',
        'EVA: Exploring the Limits of Masked Visual Representation Learning at Scale, Fang et al., 2022, arXiv:2211.07636 (eva)',
        'Reproducible scaling laws for contrastive language-image learning, Cherti et al., 2022, arXiv:2212.07143 (laion weights)',
        'FlexiViT: One Model for All Patch Sizes, Beyer et al., 2022, arXiv:2212.08013 (flexivit)',
        'Bamboo: Building Mega-Scale Vision Dataset Continually with Human-Machine Synergy, Zhang et al., 2022, arXiv:2203.07845 (bamboo weights)',
        'Self-Supervised Learning from Images with a Joint-Embedding Predictive Architecture, Assran et al., 2023, arXiv:2301.08243 (ijepa weights)',
        'Scaling Vision Transformers to 22 Billion Parameters, Dehghani et al., 2023, arXiv:2302.05442 (xp)',
        'Sigmoid Loss for Language Image Pre-Training, Zhai et al., 2023, arXiv:2303.15343 (siglip)',
        'DINOv2: Learning Robust Visual Features without Supervision, Oquab et al., 2023, arXiv:2304.07193 (dinov2)',
        'DataComp: In search of the next generation of multimodal datasets, Gadre et al., 2023, arXiv:2304.14108 (datacomp weights)',
        'Getting ViT in Shape: Scaling Laws for Compute-Optimal Model Design, Alabdulmohsin et al., 2023, arXiv:2305.13035 (so400m)',
        'TinyCLIP: CLIP Distillation via Affinity Mimicking and Weight Inheritance, Wu et al., 2023, arXiv:2309.12314 (tinyclip weights)',
        'Vision Transformers Need Registers, Darcet et al., 2023, arXiv:2309.16588 (reg)',
        'Demystifying CLIP Data, Xu et al., 2023, arXiv:2309.16671 (metaclip weights)',
        'Data Filtering Networks, Fang et al., 2023, arXiv:2309.17425 (dfn weights)',
        'InternVL: Scaling up Vision Foundation Models and Aligning for Generic Visual-Linguistic Tasks, Chen et al., 2023, arXiv:2312.14238 (intern300m)',
        'PaliGemma: A versatile 3B VLM for transfer, Beyer et al., 2024, arXiv:2407.07726 (pali weights)',
        'Differential Transformer, Ye et al., 2024, arXiv:2410.05258 (dwee, dpwee, dlittle)',
        'TIPS: Text-Image Pretraining with Spatial awareness, Maninis et al., 2024, arXiv:2410.16512 (tips)',
        'Multimodal Autoregressive Pre-training of Large Vision Encoders, Fini et al., 2024, arXiv:2411.14402 (aimv2)',
        'PaliGemma 2: A Family of Versatile VLMs for Transfer, Steiner et al., 2024, arXiv:2412.03555 (pali2 weights)',
        'RADIOv2.5: Improved Baselines for Agglomerative Vision Foundation Models, Heinrich et al., 2024, arXiv:2412.07679 (radio)',
        'SigLIP 2: Multilingual Vision-Language Encoders with Improved Semantic Understanding, Localization, and Dense Features, Tschannen et al., 2025, arXiv:2502.14786 (v2_webli weights)',
        'Meta CLIP 2: A Worldwide Scaling Recipe, Chuang et al., 2025, arXiv:2507.22062 (metaclip2 weights)',
        'MobileCLIP2: Improving Multi-Modal Reinforced Training, Faghri et al., 2025, arXiv:2508.20691 (mclip2 weights)',
        'C-RADIOv4 (Tech Report), Ranzinger et al., 2026, arXiv:2601.17237 (radio_v4)',
    ),
    base=WEIGHTS,
    feature_indices=3,
    feature_class='getter',
    convert=Ref('checkpoint_filter_fn'),
    variants=(
        # Dosovitskiy et al., table 1, and Steiner et al., table 2
        Variant('vit_tiny_patch16_224', dict(patch_size=16, **TINY), {
            'augreg_in21k_ft_in1k': AUGREG.but(url=f'{AUGREG_URL}/Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_224.npz'),
            'augreg_in21k': AUGREG_21K.but(url=f'{AUGREG_URL}/Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0.npz'),
        }),
        Variant('vit_tiny_patch16_384', dict(patch_size=16, **TINY), {
            'augreg_in21k_ft_in1k': AUGREG_384.but(url=f'{AUGREG_URL}/Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_384.npz'),
        }),
        Variant('vit_small_patch32_224', dict(patch_size=32, **SMALL), {
            'augreg_in21k_ft_in1k': AUGREG.but(url=f'{AUGREG_URL}/S_32-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_224.npz'),
            'augreg_in21k': AUGREG_21K.but(url=f'{AUGREG_URL}/S_32-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0.npz'),
        }),
        Variant('vit_small_patch32_384', dict(patch_size=32, **SMALL), {
            'augreg_in21k_ft_in1k': AUGREG_384.but(url=f'{AUGREG_URL}/S_32-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_384.npz'),
        }),
        Variant('vit_small_patch16_224', dict(patch_size=16, **SMALL), {
            'augreg_in21k_ft_in1k': AUGREG.but(url=f'{AUGREG_URL}/S_16-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_224.npz'),
            'augreg_in1k': AUGREG.but(url=f'{AUGREG_URL}/S_16-i1k-300ep-lr_0.001-aug_medium2-wd_0.1-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.01-res_224.npz'),
            'augreg_in21k': AUGREG_21K.but(url=f'{AUGREG_URL}/S_16-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0.npz'),
            'dino': IMAGENET_NORM.but(url=f'{META}/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth'),
        }),
        Variant('vit_small_patch16_384', dict(patch_size=16, **SMALL), {
            'augreg_in21k_ft_in1k': AUGREG_384.but(url=f'{AUGREG_URL}/S_16-i21k-300ep-lr_0.001-aug_light1-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_384.npz'),
            'augreg_in1k': AUGREG_384.but(url=f'{AUGREG_URL}/S_16-i1k-300ep-lr_0.001-aug_medium2-wd_0.1-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.01-res_384.npz'),
        }),
        Variant('vit_small_patch8_224', dict(patch_size=8, **SMALL), {
            'dino': IMAGENET_NORM.but(url=f'{META}/dino/dino_deitsmall8_pretrain/dino_deitsmall8_pretrain.pth'),
        }),
        Variant('vit_base_patch32_224', dict(patch_size=32, **BASE), {
            'augreg_in21k_ft_in1k': AUGREG.but(url=f'{AUGREG_URL}/B_32-i21k-300ep-lr_0.001-aug_medium1-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_224.npz'),
            'augreg_in1k': AUGREG.but(url=f'{AUGREG_URL}/B_32-i1k-300ep-lr_0.001-aug_medium2-wd_0.1-do_0.1-sd_0.1--imagenet2012-steps_20k-lr_0.01-res_224.npz'),
            'orig_in21k': HEADLESS,
            'augreg_in21k': AUGREG_21K.but(url=f'{AUGREG_URL}/B_32-i21k-300ep-lr_0.001-aug_medium1-wd_0.03-do_0.0-sd_0.0.npz'),
            'sam_in1k': AUGREG.but(url=f'{SAM_URL}/ViT-B_32.npz'),
        }),
        Variant('vit_base_patch32_384', dict(patch_size=32, **BASE), {
            'augreg_in21k_ft_in1k': AUGREG_384.but(url=f'{AUGREG_URL}/B_32-i21k-300ep-lr_0.001-aug_light1-wd_0.1-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_384.npz'),
            'augreg_in1k': AUGREG_384.but(url=f'{AUGREG_URL}/B_32-i1k-300ep-lr_0.001-aug_medium2-wd_0.1-do_0.1-sd_0.1--imagenet2012-steps_20k-lr_0.01-res_384.npz'),
        }),
        Variant('vit_base_patch16_224', dict(patch_size=16, **BASE), {
            'augreg2_in21k_ft_in1k': WEIGHTS,
            'augreg_in21k_ft_in1k': AUGREG.but(url=f'{AUGREG_URL}/B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.01-res_224.npz'),
            'orig_in21k_ft_in1k': WEIGHTS.but(url=f'{TIMM}/v0.1-vitjx/jx_vit_base_p16_224-80ecf9dd.pth'),
            'augreg_in1k': AUGREG.but(url=f'{AUGREG_URL}/B_16-i1k-300ep-lr_0.001-aug_strong2-wd_0.1-do_0.1-sd_0.1--imagenet2012-steps_20k-lr_0.01-res_224.npz'),
            'orig_in21k': HEADLESS,
            'augreg_in21k': AUGREG_21K.but(url=f'{AUGREG_URL}/B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0.npz'),
            'sam_in1k': AUGREG.but(url=f'{SAM_URL}/ViT-B_16.npz'),
            'bamboo': CLIP_FULL.but(
                num_classes=115217, license=None, origin_url='https://github.com/ZhangYuanhan-AI/Bamboo',
                paper_ids='arXiv:2203.07845',
            ),
            'dino': IMAGENET_NORM.but(url=f'{META}/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth'),
            'mae': MAE.but(url=f'{META}/mae/pretrain/mae_pretrain_vit_base.pth'),
        }),
        Variant('vit_base_patch16_384', dict(patch_size=16, **BASE), {
            'augreg_in21k_ft_in1k': AUGREG_384.but(url=f'{AUGREG_URL}/B_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.01-res_384.npz'),
            'orig_in21k_ft_in1k': AT_384.but(url=f'{TIMM}/v0.1-vitjx/jx_vit_base_p16_384-83fb41ba.pth'),
            'augreg_in1k': AUGREG_384.but(url=f'{AUGREG_URL}/B_16-i1k-300ep-lr_0.001-aug_strong2-wd_0.1-do_0.1-sd_0.1--imagenet2012-steps_20k-lr_0.01-res_384.npz'),
        }),
        Variant('vit_base_patch8_224', dict(patch_size=8, **BASE), {
            'augreg2_in21k_ft_in1k': WEIGHTS,
            'augreg_in21k_ft_in1k': AUGREG.but(url=f'{AUGREG_URL}/B_8-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.01-res_224.npz'),
            'augreg_in21k': AUGREG_21K.but(url=f'{AUGREG_URL}/B_8-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.0-sd_0.0.npz'),
            'dino': IMAGENET_NORM.but(url=f'{META}/dino/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth'),
        }),
        Variant('vit_large_patch32_224', dict(patch_size=32, **LARGE), {'orig_in21k': HEADLESS}),
        Variant('vit_large_patch32_384', dict(patch_size=32, **LARGE), {
            'orig_in21k_ft_in1k': AT_384.but(url=f'{TIMM}/v0.1-vitjx/jx_vit_large_p32_384-9b920ba8.pth'),
        }),
        Variant('vit_large_patch16_224', dict(patch_size=16, **LARGE), {
            'augreg_in21k_ft_in1k': AUGREG.but(url=f'{AUGREG_URL}/L_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.1-sd_0.1--imagenet2012-steps_20k-lr_0.01-res_224.npz'),
            'orig_in21k': HEADLESS,
            'augreg_in21k': AUGREG_21K.but(url=f'{AUGREG_URL}/L_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.1-sd_0.1.npz'),
            'mae': MAE.but(url=f'{META}/mae/pretrain/mae_pretrain_vit_large.pth'),
        }),
        Variant('vit_large_patch16_384', dict(patch_size=16, **LARGE), {
            'augreg_in21k_ft_in1k': AUGREG_384.but(url=f'{AUGREG_URL}/L_16-i21k-300ep-lr_0.001-aug_medium1-wd_0.1-do_0.1-sd_0.1--imagenet2012-steps_20k-lr_0.01-res_384.npz'),
        }),
        Variant('vit_large_patch14_224', dict(patch_size=14, **LARGE), {'untrained': UNTRAINED}),
        Variant('vit_huge_patch14_224', dict(patch_size=14, **HUGE), {
            'orig_in21k': HEADLESS,
            'untrained': UNTRAINED,
            'mae': MAE.but(url=f'{META}/mae/pretrain/mae_pretrain_vit_huge.pth'),
        }),
        Variant('vit_giant_patch14_224', dict(patch_size=14, **GIANT), {'untrained': UNTRAINED}),
        Variant('vit_gigantic_patch14_224', dict(patch_size=14, **GIGANTIC), {'untrained': UNTRAINED}),
        Variant('vit_base_patch16_224_miil', dict(patch_size=16, qkv_bias=False, **BASE), {
            'in21k': MIIL.but(url=f'{TIMM}/v0.1-tresnet/vit_base_patch16_224_in21k_miil-887286df.pth', num_classes=11221),
            'in21k_ft_in1k': MIIL.but(url=f'{TIMM}/v0.1-tresnet/vit_base_patch16_224_1k_miil_84_4-2deb18e3.pth'),
        }),
        # pooled patch tokens, no class token
        Variant('vit_medium_patch16_gap_240', dict(**MEDIUM, **GAP_12K), {
            'sw_in12k': SBB_12K.but(input_size=(3, 240, 240)),
        }),
        Variant('vit_medium_patch16_gap_256', dict(**MEDIUM, **GAP_12K), {'sw_in12k_ft_in1k': SBB}),
        Variant('vit_medium_patch16_gap_384', dict(**MEDIUM, **GAP_12K), {
            'sw_in12k_ft_in1k': AT_384.but(crop_pct=0.95, crop_mode='squash'),
        }),
        Variant('vit_betwixt_patch16_gap_256', dict(**BETWIXT, **GAP_12K), {
            'untrained': UNTRAINED.but(input_size=(3, 256, 256), crop_pct=0.95),
        }),
        Variant('vit_base_patch16_gap_224', dict(patch_size=16, embed_dim=768, depth=12, num_heads=16, **GAP), {
            'untrained': UNTRAINED,
        }),
        Variant('vit_huge_patch14_gap_224', dict(patch_size=14, **HUGE, **GAP), {
            'in1k_ijepa': IJEPA.but(url=f'{META}/ijepa/IN1K-vit.h.14-300e.pth.tar'),
            'in22k_ijepa': IJEPA.but(url=f'{META}/ijepa/IN22K-vit.h.14-900e.pth.tar'),
        }),
        Variant('vit_huge_patch16_gap_448', dict(patch_size=16, **HUGE, **GAP), {
            'in1k_ijepa': IJEPA.but(url=f'{META}/ijepa/IN1K-vit.h.16-448px-300e.pth.tar', input_size=(3, 448, 448), crop_pct=1.0),
        }),
        Variant('vit_giant_patch16_gap_224', dict(patch_size=16, **GIANT, **GAP), {
            'in22k_ijepa': IJEPA.but(url=f'{META}/ijepa/IN22K-vit.g.16-600e.pth.tar'),
        }),
        # image towers of CLIP
        Variant('vit_xsmall_patch16_clip_224', dict(**XSMALL, **CLIP_NET), {'tinyclip_yfcc15m': TINYCLIP}),
        Variant('vit_medium_patch32_clip_224', dict(patch_size=32, **MEDIUM, **CLIP_NET), {
            'tinyclip_laion400m': TINYCLIP,
        }),
        Variant('vit_medium_patch16_clip_224', dict(**MEDIUM, **CLIP_NET), {'tinyclip_yfcc15m': TINYCLIP}),
        Variant('vit_betwixt_patch32_clip_224', dict(patch_size=32, **BETWIXT, **CLIP_NET), {
            'tinyclip_laion400m': TINYCLIP,
        }),
        Variant('vit_base_patch32_clip_224', dict(patch_size=32, **BASE, **CLIP_NET), {
            'laion2b_ft_in12k_in1k': CLIP,
            'openai_ft_in12k_in1k': CLIP.but(hf_hub_id=None),
            'laion2b_ft_in1k': CLIP,
            'openai_ft_in1k': CLIP,
            'laion2b': CLIP.but(num_classes=512),
            'laion400m_e32': CLIP.but(num_classes=512, license='mit', notes=QUICK_NOTE),
            'datacompxl': CLIP_FULL.but(num_classes=512),
            'metaclip_2pt5b': METACLIP_QUICK.but(num_classes=512),
            'metaclip_400m': METACLIP_QUICK.but(num_classes=512),
            'openai': OPENAI.but(num_classes=512),
        }),
        Variant('vit_base_patch32_clip_256', dict(patch_size=32, **BASE, **CLIP_NET), {
            'datacompxl': CLIP_FULL.but(input_size=(3, 256, 256), num_classes=512),
        }),
        Variant('vit_base_patch32_clip_384', dict(patch_size=32, **BASE, **CLIP_NET), {
            'laion2b_ft_in12k_in1k': CLIP_FULL.but(input_size=(3, 384, 384)),
            'openai_ft_in12k_in1k': CLIP.but(input_size=(3, 384, 384), crop_pct=0.95, crop_mode='squash'),
        }),
        Variant('vit_base_patch32_clip_448', dict(patch_size=32, **BASE, **CLIP_NET), {
            'laion2b_ft_in12k_in1k': CLIP_FULL.but(input_size=(3, 448, 448)),
        }),
        Variant('vit_base_patch16_clip_224', dict(patch_size=16, **BASE, **CLIP_NET), {
            'laion2b_ft_in12k_in1k': CLIP.but(crop_pct=0.95),
            'openai_ft_in12k_in1k': CLIP.but(crop_pct=0.95),
            'laion2b_ft_in1k': CLIP_FULL,
            'openai_ft_in1k': CLIP,
            'laion2b_ft_in12k': CLIP.but(num_classes=11821),
            'openai_ft_in12k': CLIP.but(num_classes=11821),
            'laion2b': CLIP_FULL.but(num_classes=512),
            'laion400m_e32': LAION400M.but(num_classes=512),
            'datacompxl': CLIP_FULL.but(num_classes=512),
            'dfn2b': DFN.but(num_classes=512),
            'metaclip_2pt5b': METACLIP_QUICK.but(num_classes=512),
            'metaclip_400m': METACLIP_QUICK.but(num_classes=512),
            'openai': OPENAI.but(num_classes=512),
        }),
        Variant('vit_base_patch16_clip_384', dict(patch_size=16, **BASE, **CLIP_NET), {
            'laion2b_ft_in12k_in1k': CLIP_SQUASH.but(input_size=(3, 384, 384)),
            'openai_ft_in12k_in1k': CLIP.but(input_size=(3, 384, 384), crop_pct=0.95, crop_mode='squash'),
            'laion2b_ft_in1k': CLIP_SQUASH.but(input_size=(3, 384, 384)),
            'openai_ft_in1k': CLIP_SQUASH.but(input_size=(3, 384, 384)),
        }),
        Variant('vit_base_patch16_plus_clip_240', dict(patch_size=16, **PLUS, **CLIP_NET), {
            'laion400m_e32': LAION400M.but(input_size=(3, 240, 240), num_classes=640),
        }),
        Variant('vit_large_patch14_clip_224', dict(patch_size=14, **LARGE, **CLIP_NET), {
            'laion2b_ft_in12k_in1k': LAION_L,
            'openai_ft_in12k_in1k': CLIP_FULL,
            'laion2b_ft_in1k': LAION_L,
            'openai_ft_in1k': CLIP_FULL,
            'laion2b_ft_in12k': LAION_L.but(num_classes=11821),
            'openai_ft_in12k': CLIP_FULL.but(num_classes=11821),
            'laion2b': LAION_L.but(num_classes=768),
            'laion400m_e32': LAION400M.but(num_classes=768),
            'datacompxl': CLIP_FULL.but(num_classes=768),
            'dfn2b_s39b': DFN.but(num_classes=768),
            'dfn2b': DFN.but(num_classes=768, notes=QUICK_NOTE),
            'metaclip_2pt5b': METACLIP_QUICK.but(num_classes=768),
            'metaclip_400m': METACLIP_QUICK.but(num_classes=768),
            'openai': OPENAI.but(crop_pct=1.0, num_classes=768),
            'apple_mclip2_dfndr2b': CLIP_FULL.but(num_classes=768, license='apple-amlr'),
        }),
        Variant('vit_large_patch14_clip_336', dict(patch_size=14, **LARGE, **CLIP_NET), {
            'laion2b_ft_in12k_in1k': LAION_L.but(input_size=(3, 336, 336), crop_mode='squash'),
            'openai_ft_in12k_in1k': CLIP_SQUASH.but(input_size=(3, 336, 336)),
            'laion2b_ft_in1k': LAION_L.but(input_size=(3, 336, 336), crop_mode='squash'),
            'openai': OPENAI.but(input_size=(3, 336, 336), crop_pct=1.0, num_classes=768),
        }),
        Variant('vit_huge_patch14_clip_224', dict(patch_size=14, **HUGE, **CLIP_NET), {
            'laion2b_ft_in12k_in1k': CLIP_FULL,
            'laion2b_ft_in1k': CLIP_FULL,
            'laion2b_ft_in12k': CLIP_FULL.but(num_classes=11821),
            'laion2b': CLIP_FULL.but(num_classes=1024),
            'dfn5b': DFN.but(num_classes=1024, notes=QUICK_NOTE),
            'metaclip2_worldwide': METACLIP_QUICK.but(num_classes=1024),
            'metaclip_2pt5b': METACLIP_QUICK.but(num_classes=1024),
            'metaclip_altogether': METACLIP.but(num_classes=1024),
        }),
        Variant('vit_huge_patch14_clip_336', dict(patch_size=14, **HUGE, **CLIP_NET), {
            'laion2b_ft_in12k_in1k': CLIP_SQUASH.but(input_size=(3, 336, 336)),
            'laion2b_ft_in1k': CLIP_SQUASH.but(hf_hub_id='', input_size=(3, 336, 336)),
        }),
        Variant('vit_huge_patch14_clip_378', dict(patch_size=14, **HUGE, **CLIP_NET), {
            'dfn5b': DFN.but(input_size=(3, 378, 378), num_classes=1024, notes=QUICK_NOTE),
            'metaclip2_worldwide': METACLIP.but(input_size=(3, 378, 378), crop_mode='squash', num_classes=1024),
        }),
        Variant('vit_giant_patch14_clip_224', dict(patch_size=14, **GIANT, **CLIP_NET), {
            'laion2b': CLIP_FULL.but(num_classes=1024),
        }),
        Variant('vit_gigantic_patch14_clip_224', dict(patch_size=14, **GIGANTIC, **CLIP_NET), {
            'laion2b': CLIP_FULL.but(num_classes=1280),
            'metaclip2_worldwide': METACLIP.but(num_classes=1280),
            'metaclip_2pt5b': METACLIP_QUICK.but(num_classes=1280),
        }),
        Variant('vit_gigantic_patch14_clip_378', dict(patch_size=14, **GIGANTIC, **CLIP_NET), {
            'metaclip2_worldwide': METACLIP.but(input_size=(3, 378, 378), crop_mode='squash', num_classes=1280),
        }),
        # the same with the activation that OpenAI trained with
        Variant('vit_base_patch32_clip_quickgelu_224', dict(
            patch_size=32, act_layer='quick_gelu', **BASE, **CLIP_NET,
        ), {
            'laion400m_e32': CLIP.but(
                hf_hub_id='timm/vit_base_patch32_clip_224.laion400m_e32', num_classes=512, license='mit',
                notes=QUICK_NOTE,
            ),
            'metaclip_2pt5b': METACLIP_QUICK.but(
                hf_hub_id='timm/vit_base_patch32_clip_224.metaclip_2pt5b', num_classes=512,
            ),
            'metaclip_400m': METACLIP_QUICK.but(
                hf_hub_id='timm/vit_base_patch32_clip_224.metaclip_400m', num_classes=512,
            ),
            'openai': OPENAI.but(hf_hub_id='timm/vit_base_patch32_clip_224.openai', num_classes=512),
        }),
        Variant('vit_base_patch16_clip_quickgelu_224', dict(
            patch_size=16, act_layer='quick_gelu', **BASE, **CLIP_NET,
        ), {
            'metaclip_2pt5b': METACLIP_QUICK.but(
                hf_hub_id='timm/vit_base_patch16_clip_224.metaclip_2pt5b', num_classes=512,
            ),
            'metaclip_400m': METACLIP_QUICK.but(
                hf_hub_id='timm/vit_base_patch16_clip_224.metaclip_400m', num_classes=512,
            ),
            'openai': OPENAI.but(hf_hub_id='timm/vit_base_patch16_clip_224.openai', num_classes=512),
        }),
        Variant('vit_large_patch14_clip_quickgelu_224', dict(
            patch_size=14, act_layer='quick_gelu', **LARGE, **CLIP_NET,
        ), {
            'dfn2b': DFN.but(hf_hub_id='timm/vit_large_patch14_clip_224.dfn2b', num_classes=768, notes=QUICK_NOTE),
            'metaclip_2pt5b': METACLIP_QUICK.but(
                hf_hub_id='timm/vit_large_patch14_clip_224.metaclip_2pt5b', num_classes=768,
            ),
            'metaclip_400m': METACLIP_QUICK.but(
                hf_hub_id='timm/vit_large_patch14_clip_224.metaclip_400m', num_classes=768,
            ),
            'openai': OPENAI.but(hf_hub_id='timm/vit_large_patch14_clip_224.openai', crop_pct=1.0, num_classes=768),
        }),
        Variant('vit_large_patch14_clip_quickgelu_336', dict(
            patch_size=14, act_layer='quick_gelu', **LARGE, **CLIP_NET,
        ), {
            'openai': OPENAI.but(
                hf_hub_id='timm/vit_large_patch14_clip_336.openai', input_size=(3, 336, 336), crop_pct=1.0,
                num_classes=768,
            ),
        }),
        Variant('vit_huge_patch14_clip_quickgelu_224', dict(
            patch_size=14, act_layer='quick_gelu', **HUGE, **CLIP_NET,
        ), {
            'dfn5b': DFN.but(hf_hub_id='timm/vit_huge_patch14_clip_224.dfn5b', num_classes=1024, notes=QUICK_NOTE),
            'metaclip2_worldwide': METACLIP_QUICK.but(
                hf_hub_id='timm/vit_huge_patch14_clip_224.metaclip2_worldwide', num_classes=1024,
            ),
            'metaclip_2pt5b': METACLIP_QUICK.but(
                hf_hub_id='timm/vit_huge_patch14_clip_224.metaclip_2pt5b', num_classes=1024,
            ),
        }),
        Variant('vit_huge_patch14_clip_quickgelu_378', dict(
            patch_size=14, act_layer='quick_gelu', **HUGE, **CLIP_NET,
        ), {
            'dfn5b': DFN.but(
                hf_hub_id='timm/vit_huge_patch14_clip_378.dfn5b', input_size=(3, 378, 378), num_classes=1024,
                notes=QUICK_NOTE,
            ),
        }),
        Variant('vit_gigantic_patch14_clip_quickgelu_224', dict(
            patch_size=14, act_layer='quick_gelu', **GIGANTIC, **CLIP_NET,
        ), {
            'metaclip_2pt5b': METACLIP_QUICK.but(
                hf_hub_id='timm/vit_gigantic_patch14_clip_224.metaclip_2pt5b', num_classes=1280,
            ),
        }),
        # other blocks and widths
        Variant('vit_base_patch32_plus_256', dict(patch_size=32, init_values=1e-5, **PLUS), {
            'untrained': UNTRAINED.but(input_size=(3, 256, 256), crop_pct=0.95),
        }),
        Variant('vit_base_patch16_plus_240', dict(patch_size=16, init_values=1e-5, **PLUS), {
            'untrained': UNTRAINED.but(input_size=(3, 240, 240), crop_pct=0.95),
        }),
        Variant('vit_base_patch16_rpn_224', dict(
            patch_size=16, qkv_bias=False, init_values=1e-5, class_token=False, block_fn=Ref('ResPostBlock'),
            global_pool='avg', **BASE,
        ), {
            'sw_in1k': WEIGHTS.but(url=f'{TIMM}/v0.1-tpu-weights/vit_base_patch16_rpn_224-sw-3b07e89d.pth'),
        }),
        Variant('vit_small_patch16_36x1_224', dict(
            patch_size=16, embed_dim=384, depth=36, num_heads=6, init_values=1e-5,
        ), {
            'untrained': UNTRAINED,
        }),
        Variant('vit_small_patch16_18x2_224', dict(
            patch_size=16, embed_dim=384, depth=18, num_heads=6, init_values=1e-5, block_fn=Ref('ParallelThingsBlock'),
        ), {
            'untrained': UNTRAINED,
        }),
        Variant('vit_base_patch16_18x2_224', dict(
            patch_size=16, embed_dim=768, depth=18, num_heads=12, init_values=1e-5, block_fn=Ref('ParallelThingsBlock'),
        ), {
            'untrained': UNTRAINED,
        }),
        Variant('eva_large_patch14_196', dict(patch_size=14, global_pool='avg', **LARGE), {
            'in22k_ft_in22k_in1k': EVA.but(input_size=(3, 196, 196)),
            'in22k_ft_in1k': EVA.but(input_size=(3, 196, 196)),
        }),
        Variant('eva_large_patch14_336', dict(patch_size=14, global_pool='avg', **LARGE), {
            'in22k_ft_in22k_in1k': EVA.but(input_size=(3, 336, 336), crop_mode='squash'),
            'in22k_ft_in1k': EVA.but(input_size=(3, 336, 336), crop_mode='squash'),
        }),
        # one set of weights for many patch sizes
        Variant('flexivit_small', dict(patch_size=16, no_embed_class=True, **SMALL), {
            '1200ep_in1k': FLEXI.but(url=f'{FLEXI_URL}/flexivit_s_i1k.npz'),
            '600ep_in1k': FLEXI.but(url=f'{FLEXI_URL}/flexivit_s_i1k_600ep.npz'),
            '300ep_in1k': FLEXI.but(url=f'{FLEXI_URL}/flexivit_s_i1k_300ep.npz'),
        }, options=dict(pretrained_filter_fn=RESIZE_BILINEAR)),
        Variant('flexivit_base', dict(patch_size=16, no_embed_class=True, **BASE), {
            '1200ep_in1k': FLEXI.but(url=f'{FLEXI_URL}/flexivit_b_i1k.npz'),
            '600ep_in1k': FLEXI.but(url=f'{FLEXI_URL}/flexivit_b_i1k_600ep.npz'),
            '300ep_in1k': FLEXI.but(url=f'{FLEXI_URL}/flexivit_b_i1k_300ep.npz'),
            '1000ep_in21k': FLEXI_21K.but(url=f'{FLEXI_URL}/flexivit_b_i21k_1000ep.npz'),
            '300ep_in21k': FLEXI_21K.but(url=f'{FLEXI_URL}/flexivit_b_i21k_300ep.npz'),
            'patch16_in21k': FLEXI_21K.but(url=f'{FLEXI_URL}/vit_b16_i21k_300ep.npz'),
            'patch30_in21k': FLEXI_21K.but(url=f'{FLEXI_URL}/vit_b30_i21k_300ep.npz'),
        }, options=dict(pretrained_filter_fn=RESIZE_BILINEAR)),
        Variant('flexivit_large', dict(patch_size=16, no_embed_class=True, **LARGE), {
            '1200ep_in1k': FLEXI.but(url=f'{FLEXI_URL}/flexivit_l_i1k.npz'),
            '600ep_in1k': FLEXI.but(url=f'{FLEXI_URL}/flexivit_l_i1k_600ep.npz'),
            '300ep_in1k': FLEXI.but(url=f'{FLEXI_URL}/flexivit_l_i1k_300ep.npz'),
        }, options=dict(pretrained_filter_fn=RESIZE_BILINEAR)),
        # attention and MLP side by side
        Variant('vit_base_patch16_xp_224', dict(patch_size=16, **BASE, **XP), {'untrained': UNTRAINED}),
        Variant('vit_large_patch14_xp_224', dict(patch_size=14, **LARGE, **XP), {'untrained': UNTRAINED}),
        Variant('vit_huge_patch14_xp_224', dict(patch_size=14, **HUGE, **XP), {'untrained': UNTRAINED}),
        # DINOv2, without and with registers; TIPS
        Variant('vit_small_patch14_dinov2', dict(patch_size=14, init_values=1e-5, **SMALL), {
            'lvd142m': DINOV2.but(url=f'{META}/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth'),
        }),
        Variant('vit_base_patch14_dinov2', dict(patch_size=14, init_values=1e-5, **BASE), {
            'lvd142m': DINOV2.but(url=f'{META}/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth'),
        }),
        Variant('vit_large_patch14_dinov2', dict(patch_size=14, init_values=1e-5, **LARGE), {
            'lvd142m': DINOV2.but(url=f'{META}/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth'),
        }),
        Variant('vit_giant_patch14_dinov2', dict(patch_size=14, init_values=1e-5, **DINOV2_GIANT), {
            'lvd142m': DINOV2.but(url=f'{META}/dinov2/dinov2_vitg14/dinov2_vitg14_pretrain.pth'),
        }),
        Variant('vit_small_patch14_reg4_dinov2', dict(
            patch_size=14, init_values=1e-5, reg_tokens=4, no_embed_class=True, **SMALL,
        ), {
            'lvd142m': DINOV2.but(url=f'{META}/dinov2/dinov2_vits14/dinov2_vits14_reg4_pretrain.pth'),
        }),
        Variant('vit_base_patch14_reg4_dinov2', dict(
            patch_size=14, init_values=1e-5, reg_tokens=4, no_embed_class=True, **BASE,
        ), {
            'lvd142m': DINOV2.but(url=f'{META}/dinov2/dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth'),
        }),
        Variant('vit_large_patch14_reg4_dinov2', dict(
            patch_size=14, init_values=1e-5, reg_tokens=4, no_embed_class=True, **LARGE,
        ), {
            'lvd142m': DINOV2.but(url=f'{META}/dinov2/dinov2_vitl14/dinov2_vitl14_reg4_pretrain.pth'),
        }),
        Variant('vit_giant_patch14_reg4_dinov2', dict(
            patch_size=14, init_values=1e-5, reg_tokens=4, no_embed_class=True, **DINOV2_GIANT,
        ), {
            'lvd142m': DINOV2.but(url=f'{META}/dinov2/dinov2_vitg14/dinov2_vitg14_reg4_pretrain.pth'),
        }),
        Variant('vit_base_patch14_reg1_tipsv2', dict(
            patch_size=14, init_values=1.0, reg_tokens=1, no_embed_class=True, **BASE,
        ), {
            'webli': TIPS,
        }),
        Variant('vit_large_patch14_reg1_tipsv2', dict(
            patch_size=14, init_values=1.0, reg_tokens=1, no_embed_class=True, **LARGE,
        ), {
            'webli': TIPS,
        }),
        Variant('vit_so400m_patch14_reg1_tipsv2', dict(
            patch_size=14, mlp_ratio=4304 / 1152, init_values=1.0, reg_tokens=1, no_embed_class=True, **SO400M,
        ), {
            'webli': TIPS,
        }),
        Variant('vit_giant_patch14_reg1_tipsv2', dict(
            patch_size=14, init_values=1.0, reg_tokens=1, no_embed_class=True, **DINOV2_GIANT,
        ), {
            'webli': TIPS,
        }),
        # image towers of SigLIP, with attention pooling and with plain averaging
        Variant('vit_base_patch32_siglip_256', dict(patch_size=32, act_layer='gelu_tanh', **BASE, **MAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 256, 256)),
        }),
        Variant('vit_base_patch16_siglip_224', dict(patch_size=16, **BASE, **MAP), {
            'v2_webli': HEADLESS,
            'webli': HEADLESS,
        }),
        Variant('vit_base_patch16_siglip_256', dict(patch_size=16, **BASE, **MAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 256, 256)),
            'webli': HEADLESS.but(input_size=(3, 256, 256)),
            'webli_i18n': HEADLESS.but(input_size=(3, 256, 256)),
        }),
        Variant('vit_base_patch16_siglip_384', dict(patch_size=16, **BASE, **MAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 384, 384)),
            'webli': HEADLESS.but(input_size=(3, 384, 384)),
        }),
        Variant('vit_base_patch16_siglip_512', dict(patch_size=16, **BASE, **MAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 512, 512)),
            'webli': HEADLESS.but(input_size=(3, 512, 512)),
        }),
        Variant('vit_large_patch16_siglip_256', dict(patch_size=16, **LARGE, **MAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 256, 256)),
            'webli': HEADLESS.but(input_size=(3, 256, 256)),
        }),
        Variant('vit_large_patch16_siglip_384', dict(patch_size=16, **LARGE, **MAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 384, 384)),
            'webli': HEADLESS.but(input_size=(3, 384, 384)),
        }),
        Variant('vit_large_patch16_siglip_512', dict(patch_size=16, act_layer='gelu_tanh', **LARGE, **MAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 512, 512)),
        }),
        Variant('vit_so400m_patch14_siglip_224', dict(patch_size=14, mlp_ratio=3.7362, **SO400M, **MAP), {
            'v2_webli': HEADLESS,
            'webli': HEADLESS,
        }),
        Variant('vit_so400m_patch14_siglip_378', dict(patch_size=14, mlp_ratio=3.7362, **SO400M, **MAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 378, 378)),
            'webli': HEADLESS.but(input_size=(3, 378, 378)),
            'webli_ft_in1k': SIGLIP_FT,
        }),
        Variant('vit_so400m_patch14_siglip_384', dict(patch_size=14, mlp_ratio=3.7362, **SO400M, **MAP), {
            'webli': HEADLESS.but(input_size=(3, 384, 384)),
        }),
        Variant('vit_so400m_patch16_siglip_256', dict(
            patch_size=16, mlp_ratio=3.7362, act_layer='gelu_tanh', **SO400M, **MAP,
        ), {
            'v2_webli': HEADLESS.but(input_size=(3, 256, 256)),
            'webli_i18n': HEADLESS.but(input_size=(3, 256, 256)),
        }),
        Variant('vit_so400m_patch16_siglip_384', dict(
            patch_size=16, mlp_ratio=3.7362, act_layer='gelu_tanh', **SO400M, **MAP,
        ), {
            'v2_webli': HEADLESS.but(input_size=(3, 384, 384)),
        }),
        Variant('vit_so400m_patch16_siglip_512', dict(
            patch_size=16, mlp_ratio=3.7362, act_layer='gelu_tanh', **SO400M, **MAP,
        ), {
            'v2_webli': HEADLESS.but(input_size=(3, 512, 512)),
        }),
        Variant('vit_giantopt_patch16_siglip_256', dict(patch_size=16, act_layer='gelu_tanh', **GIANT_OPT, **MAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 256, 256)),
        }),
        Variant('vit_giantopt_patch16_siglip_384', dict(patch_size=16, act_layer='gelu_tanh', **GIANT_OPT, **MAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 384, 384)),
        }),
        Variant('vit_base_patch32_siglip_gap_256', dict(patch_size=32, act_layer='gelu_tanh', **BASE, **GAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 256, 256)),
        }, options=LOOSE),
        Variant('vit_base_patch16_siglip_gap_224', dict(patch_size=16, **BASE, **GAP), {
            'v2_webli': HEADLESS,
            'webli': HEADLESS,
        }, options=LOOSE),
        Variant('vit_base_patch16_siglip_gap_256', dict(patch_size=16, **BASE, **GAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 256, 256)),
            'webli': HEADLESS.but(input_size=(3, 256, 256)),
            'webli_i18n': HEADLESS.but(input_size=(3, 256, 256)),
        }, options=LOOSE),
        Variant('vit_base_patch16_siglip_gap_384', dict(patch_size=16, **BASE, **GAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 384, 384)),
            'webli': HEADLESS.but(input_size=(3, 384, 384)),
        }, options=LOOSE),
        Variant('vit_base_patch16_siglip_gap_512', dict(patch_size=16, **BASE, **GAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 512, 512)),
            'webli': HEADLESS.but(input_size=(3, 512, 512)),
        }, options=LOOSE),
        Variant('vit_large_patch16_siglip_gap_256', dict(patch_size=16, **LARGE, **GAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 256, 256)),
            'webli': HEADLESS.but(input_size=(3, 256, 256)),
        }, options=LOOSE),
        Variant('vit_large_patch16_siglip_gap_384', dict(patch_size=16, **LARGE, **GAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 384, 384)),
            'webli': HEADLESS.but(input_size=(3, 384, 384)),
        }, options=LOOSE),
        Variant('vit_large_patch16_siglip_gap_512', dict(patch_size=16, act_layer='gelu_tanh', **LARGE, **GAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 512, 512)),
        }, options=LOOSE),
        Variant('vit_so400m_patch14_siglip_gap_224', dict(patch_size=14, mlp_ratio=3.7362, **SO400M, **GAP), {
            'v2_webli': HEADLESS,
            'webli': HEADLESS,
            'pali_mix': HEADLESS,
            'pali_pt': HEADLESS,
            'pali2_3b_pt': HEADLESS,
            'pali2_10b_pt': HEADLESS,
        }, options=LOOSE),
        Variant('vit_so400m_patch14_siglip_gap_378', dict(patch_size=14, mlp_ratio=3.7362, **SO400M, **GAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 378, 378)),
            'webli': PALI.but(input_size=(3, 378, 378)),
            'webli_ft_in1k': SIGLIP_FT,
        }, options=LOOSE),
        Variant('vit_so400m_patch14_siglip_gap_384', dict(patch_size=14, mlp_ratio=3.7362, **SO400M, **GAP), {
            'webli': AT_384.but(num_classes=0),
        }, options=LOOSE),
        Variant('vit_so400m_patch14_siglip_gap_448', dict(patch_size=14, mlp_ratio=3.7362, **SO400M, **GAP), {
            'pali_mix': PALI.but(input_size=(3, 448, 448)),
            'pali_pt': PALI.but(input_size=(3, 448, 448)),
            'pali_refcoco_seg': PALI.but(input_size=(3, 448, 448)),
            'pali_ocrvqa': PALI.but(input_size=(3, 448, 448)),
            'pali2_3b_pt': PALI.but(input_size=(3, 448, 448)),
            'pali2_10b_pt': PALI.but(input_size=(3, 448, 448)),
            'pali2_3b_docci': PALI.but(input_size=(3, 448, 448)),
            'pali2_10b_docci': PALI.but(input_size=(3, 448, 448)),
        }, options=LOOSE),
        Variant('vit_so400m_patch14_siglip_gap_896', dict(patch_size=14, mlp_ratio=3.7362, **SO400M, **GAP), {
            'pali_pt': PALI.but(input_size=(3, 896, 896)),
            'pali_refcoco_seg': PALI.but(input_size=(3, 896, 896)),
            'pali_ocrvqa': PALI.but(input_size=(3, 896, 896)),
            'pali2_3b_pt': PALI.but(input_size=(3, 896, 896)),
            'pali2_10b_pt': PALI.but(input_size=(3, 896, 896)),
        }, options=LOOSE),
        Variant('vit_so400m_patch16_siglip_gap_256', dict(
            patch_size=16, mlp_ratio=3.7362, act_layer='gelu_tanh', **SO400M, **GAP,
        ), {
            'v2_webli': HEADLESS.but(input_size=(3, 256, 256)),
            'webli_i18n': HEADLESS.but(input_size=(3, 256, 256)),
        }, options=LOOSE),
        Variant('vit_so400m_patch16_siglip_gap_384', dict(
            patch_size=16, mlp_ratio=3.7362, act_layer='gelu_tanh', **SO400M, **GAP,
        ), {
            'v2_webli': HEADLESS.but(input_size=(3, 384, 384)),
        }, options=LOOSE),
        Variant('vit_so400m_patch16_siglip_gap_512', dict(
            patch_size=16, mlp_ratio=3.7362, act_layer='gelu_tanh', **SO400M, **GAP,
        ), {
            'v2_webli': HEADLESS.but(input_size=(3, 512, 512)),
        }, options=LOOSE),
        Variant('vit_giantopt_patch16_siglip_gap_256', dict(patch_size=16, act_layer='gelu_tanh', **GIANT_OPT, **GAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 256, 256)),
        }, options=LOOSE),
        Variant('vit_giantopt_patch16_siglip_gap_384', dict(patch_size=16, act_layer='gelu_tanh', **GIANT_OPT, **GAP), {
            'v2_webli': HEADLESS.but(input_size=(3, 384, 384)),
        }, options=LOOSE),
        # shapes and registers searched on ImageNet-12k
        Variant('vit_wee_patch16_reg1_gap_256', dict(
            embed_dim=256, depth=14, num_heads=4, mlp_ratio=5, reg_tokens=1, **SBB_NET,
        ), {
            'sbb_in1k': SBB,
        }),
        Variant('vit_dwee_patch16_reg1_gap_256', dict(
            embed_dim=256, depth=14, num_heads=4, mlp_ratio=5, reg_tokens=1, attn_layer='diff', **SBB_NET,
        ), {
            'sbb_nadamuon_in1k': SBB,
            'sbb_in1k': SBB,
        }),
        Variant('vit_pwee_patch16_reg1_gap_256', dict(
            embed_dim=256, depth=16, num_heads=4, mlp_ratio=5, reg_tokens=1, block_fn=Ref('ParallelScalingBlock'),
            **SBB_NET,
        ), {
            'sbb_in1k': SBB,
        }),
        Variant('vit_dpwee_patch16_reg1_gap_256', dict(
            embed_dim=256, depth=16, num_heads=4, mlp_ratio=5, reg_tokens=1, block_fn=Ref('DiffParallelScalingBlock'),
            **SBB_NET,
        ), {
            'sbb_nadamuon_in1k': SBB,
            'sbb_in1k': SBB,
        }),
        Variant('vit_little_patch16_reg1_gap_256', dict(
            embed_dim=320, depth=14, num_heads=5, mlp_ratio=5.6, reg_tokens=1, **SBB_NET,
        ), {
            'sbb_in12k_ft_in1k': SBB,
            'sbb_in12k': SBB_12K,
        }),
        Variant('vit_dlittle_patch16_reg1_gap_256', dict(
            embed_dim=320, depth=14, num_heads=5, mlp_ratio=5.6, reg_tokens=1, attn_layer='diff', **SBB_NET,
        ), {
            'sbb_nadamuon_in1k': SBB,
        }),
        Variant('vit_little_patch16_reg4_gap_256', dict(
            embed_dim=320, depth=14, num_heads=5, mlp_ratio=5.6, reg_tokens=4, **SBB_NET,
        ), {
            'sbb_in1k': SBB,
        }),
        Variant('vit_medium_patch16_reg1_gap_256', dict(reg_tokens=1, **MEDIUM, **SBB_NET), {'sbb_in1k': SBB}),
        Variant('vit_medium_patch16_reg4_gap_256', dict(reg_tokens=4, **MEDIUM, **SBB_NET), {
            'sbb_in12k_ft_in1k': SBB,
            'sbb_in1k': SBB,
            'sbb_in12k': SBB_12K,
        }),
        Variant('vit_mediumd_patch16_reg4_gap_256', dict(reg_tokens=4, **MEDIUM_DEEP, **SBB_NET), {
            'sbb2_e200_in12k_ft_in1k': SBB,
            'sbb_in12k_ft_in1k': SBB,
            'sbb2_e200_in12k': SBB_12K,
            'sbb_in12k': SBB_12K,
        }),
        Variant('vit_mediumd_patch16_reg4_gap_384', dict(reg_tokens=4, **MEDIUM_DEEP, **SBB_NET), {
            'sbb2_e200_in12k_ft_in1k': AT_384,
        }),
        Variant('vit_betwixt_patch16_reg1_gap_256', dict(reg_tokens=1, **BETWIXT, **SBB_NET), {'sbb_in1k': SBB}),
        Variant('vit_betwixt_patch16_reg4_gap_256', dict(reg_tokens=4, **BETWIXT, **SBB_NET), {
            'sbb2_e200_in12k_ft_in1k': SBB,
            'sbb_in12k_ft_in1k': SBB,
            'sbb_in1k': SBB,
            'sbb2_e200_in12k': SBB_12K,
            'sbb_in12k': SBB_12K,
        }),
        Variant('vit_betwixt_patch16_reg4_gap_384', dict(reg_tokens=4, **BETWIXT, **SBB_NET), {
            'sbb2_e200_in12k_ft_in1k': AT_384,
        }),
        Variant('vit_base_patch16_reg4_gap_256', dict(
            patch_size=16, class_token=False, no_embed_class=True, global_pool='avg', reg_tokens=4, **BASE,
        ), {
            'untrained': UNTRAINED.but(input_size=(3, 256, 256)),
        }),
        Variant('vit_so150m_patch16_reg4_map_256', dict(patch_size=16, reg_tokens=4, **SO150M, **MAP), {
            'untrained': UNTRAINED.but(input_size=(3, 256, 256)),
        }),
        Variant('vit_so150m_patch16_reg4_gap_256', dict(patch_size=16, reg_tokens=4, **SO150M, **GAP), {
            'sbb_e250_in12k_ft_in1k': SBB,
            'sbb_e250_in12k': SBB_12K,
        }),
        Variant('vit_so150m_patch16_reg4_gap_384', dict(patch_size=16, reg_tokens=4, **SO150M, **GAP), {
            'sbb_e250_in12k_ft_in1k': AT_384,
        }),
        Variant('vit_so150m2_patch16_reg1_gap_256', dict(**SO150M2, **SO150M2_NET), {
            'sbb_e200_in12k_ft_in1k': SBB.but(crop_pct=1.0),
            'sbb_e200_in12k': SBB_12K.but(crop_pct=1.0),
        }),
        Variant('vit_so150m2_patch16_reg1_gap_384', dict(**SO150M2, **SO150M2_NET), {'sbb_e200_in12k_ft_in1k': AT_384}),
        Variant('vit_so150m2_patch16_reg1_gap_448', dict(**SO150M2, **SO150M2_NET), {
            'sbb_e200_in12k_ft_in1k': WEIGHTS.but(input_size=(3, 448, 448), crop_pct=1.0, crop_mode='squash'),
        }),
        Variant('vit_intern300m_patch14_448', dict(
            patch_size=14, init_values=0.1, final_norm=False, dynamic_img_size=True, **LARGE,
        ), {
            'ogvl_dist': INTERN.but(license='mit'),
            'ogvl_2pt5': INTERN,
        }),
        # AIMv2
        Variant('aimv2_large_patch14_224', dict(embed_dim=1024, depth=24, num_heads=8, mlp_ratio=2.75, **AIMV2_NET), {
            'apple_pt': AIMV2,
            'apple_pt_dist': AIMV2,
        }),
        Variant('aimv2_huge_patch14_224', dict(embed_dim=1536, depth=24, num_heads=12, mlp_ratio=2.6667, **AIMV2_NET), {
            'apple_pt': AIMV2,
        }),
        Variant('aimv2_1b_patch14_224', dict(embed_dim=2048, depth=24, num_heads=16, mlp_ratio=2.75, **AIMV2_NET), {
            'apple_pt': AIMV2,
        }),
        Variant('aimv2_3b_patch14_224', dict(embed_dim=3072, depth=24, num_heads=24, mlp_ratio=2.6667, **AIMV2_NET), {
            'apple_pt': AIMV2,
        }),
        Variant('aimv2_large_patch14_336', dict(embed_dim=1024, depth=24, num_heads=8, mlp_ratio=2.75, **AIMV2_NET), {
            'apple_pt': AIMV2.but(input_size=(3, 336, 336)),
            'apple_pt_dist': AIMV2.but(input_size=(3, 336, 336)),
        }),
        Variant('aimv2_huge_patch14_336', dict(embed_dim=1536, depth=24, num_heads=12, mlp_ratio=2.6667, **AIMV2_NET), {
            'apple_pt': AIMV2.but(input_size=(3, 336, 336)),
        }),
        Variant('aimv2_1b_patch14_336', dict(embed_dim=2048, depth=24, num_heads=16, mlp_ratio=2.75, **AIMV2_NET), {
            'apple_pt': AIMV2.but(input_size=(3, 336, 336)),
        }),
        Variant('aimv2_3b_patch14_336', dict(embed_dim=3072, depth=24, num_heads=24, mlp_ratio=2.6667, **AIMV2_NET), {
            'apple_pt': AIMV2.but(input_size=(3, 336, 336)),
        }),
        Variant('aimv2_large_patch14_448', dict(embed_dim=1024, depth=24, num_heads=8, mlp_ratio=2.75, **AIMV2_NET), {
            'apple_pt': AIMV2.but(input_size=(3, 448, 448)),
        }),
        Variant('aimv2_huge_patch14_448', dict(embed_dim=1536, depth=24, num_heads=12, mlp_ratio=2.6667, **AIMV2_NET), {
            'apple_pt': AIMV2.but(input_size=(3, 448, 448)),
        }),
        Variant('aimv2_1b_patch14_448', dict(embed_dim=2048, depth=24, num_heads=16, mlp_ratio=2.75, **AIMV2_NET), {
            'apple_pt': AIMV2.but(input_size=(3, 448, 448)),
        }),
        Variant('aimv2_3b_patch14_448', dict(embed_dim=3072, depth=24, num_heads=24, mlp_ratio=2.6667, **AIMV2_NET), {
            'apple_pt': AIMV2.but(input_size=(3, 448, 448)),
        }),
        # BEiT-3
        Variant('beit3_base_patch16_224', dict(patch_size=16, mlp_ratio=4, **BASE, **BEIT3_NET), {
            'in22k_ft_in1k': BEIT3,
            'indomain_in22k_ft_in1k': BEIT3,
            'pt': BEIT3.but(num_classes=0),
            'indomain_pt': BEIT3.but(num_classes=0),
        }),
        Variant('beit3_large_patch16_224', dict(patch_size=16, mlp_ratio=4, **LARGE, **BEIT3_NET), {
            'in22k_ft_in1k': BEIT3,
            'indomain_in22k_ft_in1k': BEIT3,
            'pt': BEIT3.but(num_classes=0),
            'indomain_pt': BEIT3.but(num_classes=0),
        }),
        Variant('beit3_giant_patch14_224', dict(
            patch_size=14, embed_dim=1408, depth=40, num_heads=16, mlp_ratio=4.3637, **BEIT3_NET,
        ), {
            'untrained': BEIT3.but(hf_hub_id=None),
        }),
        Variant('beit3_giant_patch14_336', dict(
            img_size=336, patch_size=14, embed_dim=1408, depth=40, num_heads=16, mlp_ratio=4.3637, **BEIT3_NET,
        ), {
            'untrained': BEIT3.but(hf_hub_id=None, input_size=(3, 336, 336)),
        }),
        # RADIO
        Variant('vit_base_patch16_radio_v3', dict(init_values=1e-5, reg_tokens=7, **BASE, **RADIO_NET), {
            'c_radio': RADIO,
        }, options=dict(pretrained_filter_fn=RESIZE_CORNERS)),
        Variant('vit_large_patch16_radio_v3', dict(init_values=1e-5, reg_tokens=7, **LARGE, **RADIO_NET), {
            'c_radio': RADIO,
        }, options=dict(pretrained_filter_fn=RESIZE_HALF_PIXEL)),
        Variant('vit_huge_patch16_radio_v3', dict(reg_tokens=7, **HUGE, **RADIO_NET), {
            'c_radio': RADIO,
        }, options=dict(pretrained_filter_fn=RESIZE_CORNERS)),
        Variant('vit_giant_patch16_radio_v3', dict(embed_dim=1536, depth=40, num_heads=24, reg_tokens=7, **RADIO_NET), {
            'c_radio': RADIO,
        }, options=dict(pretrained_filter_fn=RESIZE_HALF_PIXEL)),
        Variant('vit_so400m_patch16_radio_v4', dict(mlp_ratio=4304 / 1152, reg_tokens=9, **SO400M, **RADIO_NET), {
            'c_radio': RADIO.but(paper_ids='arXiv:2601.17237'),
        }, options=dict(pretrained_filter_fn=RESIZE_HALF_PIXEL)),
        Variant('vit_huge_patch16_radio_v4', dict(reg_tokens=9, **HUGE, **RADIO_NET), {
            'c_radio': RADIO.but(paper_ids='arXiv:2601.17237'),
        }, options=dict(pretrained_filter_fn=RESIZE_HALF_PIXEL)),
        # tiny ones for tests
        Variant('test_vit', dict(
            patch_size=16, embed_dim=64, depth=6, num_heads=2, mlp_ratio=3, dynamic_img_size=True,
        ), {
            'r160_in1k': TEST,
        }),
        Variant('test_vit2', dict(
            patch_size=16, embed_dim=64, depth=8, num_heads=2, mlp_ratio=3, class_token=False, reg_tokens=1,
            global_pool='avg', init_values=1e-5, dynamic_img_size=True,
        ), {
            'r160_in1k': TEST,
        }),
        Variant('test_vit3', dict(
            patch_size=16, embed_dim=96, depth=9, num_heads=3, mlp_ratio=2, reg_tokens=1, pool_include_prefix=True,
            init_values=1e-5, **MAP,
        ), {
            'r160_in1k': TEST,
        }),
        Variant('test_vit4', dict(
            patch_size=16, embed_dim=96, depth=9, num_heads=3, mlp_ratio=3, class_token=False, reg_tokens=1,
            global_pool='avg', init_values=1e-5, dynamic_img_size=True, norm_layer='rmsnorm',
        ), {
            'r160_in1k': UNTRAINED.but(input_size=(3, 160, 160), crop_pct=0.95),
        }),
    ),
    renamed={
        'vit_tiny_patch16_224_in21k': 'vit_tiny_patch16_224.augreg_in21k',
        'vit_small_patch32_224_in21k': 'vit_small_patch32_224.augreg_in21k',
        'vit_small_patch16_224_dino': 'vit_small_patch16_224.dino',
        'vit_small_patch16_224_in21k': 'vit_small_patch16_224.augreg_in21k',
        'vit_small_patch8_224_dino': 'vit_small_patch8_224.dino',
        'vit_base_patch32_224_in21k': 'vit_base_patch32_224.augreg_in21k',
        'vit_base_patch32_224_sam': 'vit_base_patch32_224.sam_in1k',
        'vit_base_patch32_sam_224': 'vit_base_patch32_224.sam_in1k',
        'vit_base_patch16_224_dino': 'vit_base_patch16_224.dino',
        'vit_base_patch16_224_in21k': 'vit_base_patch16_224.augreg_in21k',
        'vit_base_patch16_224_sam': 'vit_base_patch16_224.sam_in1k',
        'vit_base_patch16_sam_224': 'vit_base_patch16_224.sam_in1k',
        'vit_base_patch8_224_dino': 'vit_base_patch8_224.dino',
        'vit_base_patch8_224_in21k': 'vit_base_patch8_224.augreg_in21k',
        'vit_large_patch32_224_in21k': 'vit_large_patch32_224.orig_in21k',
        'vit_large_patch16_224_in21k': 'vit_large_patch16_224.augreg_in21k',
        'vit_huge_patch14_224_in21k': 'vit_huge_patch14_224.orig_in21k',
        'vit_base_patch16_224_miil_in21k': 'vit_base_patch16_224_miil.in21k',
        'vit_base_patch32_224_clip_laion2b': 'vit_base_patch32_clip_224.laion2b',
        'vit_large_patch14_224_clip_laion2b': 'vit_large_patch14_clip_224.laion2b',
        'vit_huge_patch14_224_clip_laion2b': 'vit_huge_patch14_clip_224.laion2b',
        'vit_giant_patch14_224_clip_laion2b': 'vit_giant_patch14_clip_224.laion2b',
    },
    renamed_tags={
        'vit_base_patch16_224.sam': 'vit_base_patch16_224.sam_in1k',
        'vit_base_patch32_224.sam': 'vit_base_patch32_224.sam_in1k',
        'vit_base_patch16_rpn_224.in1k': 'vit_base_patch16_rpn_224.sw_in1k',
        'vit_medium_patch16_gap_240.in12k': 'vit_medium_patch16_gap_240.sw_in12k',
        'vit_medium_patch16_gap_256.in12k_ft_in1k': 'vit_medium_patch16_gap_256.sw_in12k_ft_in1k',
        'vit_medium_patch16_gap_384.in12k_ft_in1k': 'vit_medium_patch16_gap_384.sw_in12k_ft_in1k',
    },
)
