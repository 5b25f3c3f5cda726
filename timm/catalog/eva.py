"""EVA, and vision transformers with rotary positions: variants and published weights.

The network is timm/models/eva.py. In names: `gap` pools the patch tokens, `regN` adds N register tokens, `ape` keeps a
table of absolute positions beside the rotary ones, `qkvb` has biases of queries and values, `plus` a gated MLP.
"""

from ._constants import IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from ._schema import Family, Ref, Variant, Weights

EVA = Weights(
    hf_hub_id='timm/',
    fixed_input_size=True,
    crop_pct=0.9,
    mean=OPENAI_CLIP_MEAN,
    std=OPENAI_CLIP_STD,
    first_conv='patch_embed.proj',
    classifier='head',
    license='mit',
)
MIM = EVA.but(num_classes=0)
AT_336 = EVA.but(input_size=(3, 336, 336), crop_pct=1.0)
AT_336_SQUASH = AT_336.but(crop_mode='squash')
AT_448 = EVA.but(input_size=(3, 448, 448), crop_pct=1.0)
AT_448_SQUASH = AT_448.but(crop_mode='squash')
AT_448_IN22K = AT_448_SQUASH.but(num_classes=21841)
IMAGENET = Weights(
    hf_hub_id='timm/',
    fixed_input_size=True,
    crop_pct=0.9,
    first_conv='patch_embed.proj',
    classifier='head',
    license='apache-2.0',
)
M30M = IMAGENET.but(input_size=(3, 336, 336), crop_pct=1.0, crop_mode='squash', license='mit')
SBB = IMAGENET.but(
    input_size=(3, 256, 256),
    crop_pct=0.95,
    mean=IMAGENET_INCEPTION_MEAN,
    std=IMAGENET_INCEPTION_STD,
    license='mit',
)
PE = IMAGENET.but(crop_pct=1.0, mean=IMAGENET_INCEPTION_MEAN, std=IMAGENET_INCEPTION_STD)
PE_384 = PE.but(input_size=(3, 384, 384), num_classes=512)
PE_FEATURES = PE.but(input_size=(3, 448, 448), num_classes=0)
PE_512 = PE_FEATURES.but(input_size=(3, 512, 512))
DINOV3 = IMAGENET.but(input_size=(3, 256, 256), crop_pct=1.0, num_classes=0, license='dinov3-license')
DINOV3_SAT = DINOV3.but(mean=(0.43, 0.411, 0.296), std=(0.213, 0.156, 0.143))
EUPE = DINOV3.but(license='fair-noncommercial-research-license')
LINGBOT = IMAGENET.but(
    input_size=(3, 512, 512),
    interpolation='bilinear',
    crop_pct=1.0,
    crop_mode='squash',
    num_classes=0,
    origin_url='https://github.com/robbyant/lingbot-vision',
    paper_ids='arXiv:2607.05247',
)
SAPIENS2 = LINGBOT.but(
    fixed_input_size=False,
    input_size=(3, 1024, 768),
    min_input_size=(3, 256, 192),
    license='sapiens2-license',
    origin_url='https://github.com/facebookresearch/sapiens2',
    paper_ids='arXiv:2604.21681',
)

LAYER_NORM = Ref('layers.LayerNorm', eps=1e-5)
RMS_NORM = Ref('layers.RmsNorm', eps=1e-6)

TINY = dict(embed_dim=192, depth=12, num_heads=3)
SMALL = dict(embed_dim=384, depth=12, num_heads=6)
MEDIUM = dict(embed_dim=512, depth=12, num_heads=8)
BASE = dict(embed_dim=768, depth=12, num_heads=12)
LARGE = dict(embed_dim=1024, depth=24, num_heads=16)
HUGE_PLUS = dict(embed_dim=1280, depth=32, num_heads=20)
GIANT = dict(patch_size=14, embed_dim=1408, depth=40, num_heads=16, mlp_ratio=48 / 11)

# Two thirds of 4: the three matrices of a gated MLP then hold as many weights as the two of a plain one.
EVA02 = dict(patch_size=14, mlp_ratio=8 / 3, swiglu_mlp=True, use_rot_pos_emb=True, ref_feat_shape=(16, 16))
EVA02_SPLIT = dict(**EVA02, qkv_fused=False, scale_mlp=True)
EVA02_CLIP = dict(**EVA02_SPLIT, scale_attn_inner=True, global_pool='token')

ROPE_ONLY = dict(use_rot_pos_emb=True, use_abs_pos_emb=False)
SBB_ROPE = dict(
    img_size=256, patch_size=16, qkv_fused=True, qkv_bias=True, init_values=1e-5, class_token=False,
    ref_feat_shape=(16, 16), **ROPE_ONLY,
)  # fmt: skip

ROPE_VIT = dict(
    patch_size=16, mlp_ratio=4, attn_type='rope', qkv_bias=True, init_values=1e-5, class_token=True,
    global_pool='token', use_rot_pos_emb=True, rope_grid_indexing='xy',
)  # fmt: skip
AXIAL = dict(rope_temperature=100.0)
MIXED = dict(rope_temperature=10.0, rope_type='mixed')
APE = dict(no_embed_class=True, use_abs_pos_emb=True)
NO_APE = dict(use_abs_pos_emb=False)

PE_NET = dict(
    attn_type='rope', use_pre_transformer_norm=True, use_rot_pos_emb=True, rope_grid_indexing='xy',
    norm_layer=LAYER_NORM,
)  # fmt: skip
# The class token counts as the first position, so those of patches start at 1.
PE_CLASS = dict(**PE_NET, mlp_ratio=4.0, rope_grid_offset=1.0)
PE_GIGANTIC = dict(
    **PE_NET, patch_size=14, embed_dim=1536, num_heads=16, mlp_ratio=35 / 6, class_token=False, ref_feat_shape=(32, 32),
)  # fmt: skip
PE_POOL = dict(global_pool='map', attn_pool_num_heads=8, attn_pool_mlp_ratio=4.0)
PE_UNNORMED = dict(use_post_transformer_norm=False, use_fc_norm=False)
PE_SPATIAL = dict(**PE_CLASS, **PE_UNNORMED, ref_feat_shape=(32, 32))

DINO_ROPE = dict(rope_type='dinov3', rope_temperature=100, rope_rotate_half=True, **ROPE_ONLY)
DINO_NET = dict(
    patch_size=16, dynamic_img_size=True, init_values=1e-5, num_reg_tokens=4, use_fc_norm=False,
    norm_layer=LAYER_NORM, **DINO_ROPE,
)  # fmt: skip
NO_QKV_BIAS = dict(qkv_bias=False)
QKV_BIAS = dict(qkv_bias=True)
GATED = dict(swiglu_mlp=True, swiglu_align_to=8)
CLASS_POOL = dict(global_pool='token')

SAPIENS2_NET = dict(
    img_size=(1024, 768), patch_size=16, dynamic_img_size=True, attn_type='rope', qkv_fused=False, qkv_bias=True,
    qk_norm=True, global_pool='token', swiglu_mlp=True, mlp_ratio=4.0, init_values=1.0, attn_only_layer_scale=True,
    rope_rescale_coords=2.0, class_token=True, num_reg_tokens=8, use_fc_norm=False, norm_layer=RMS_NORM, **DINO_ROPE,
)  # fmt: skip

# fmt: off
FAMILY = Family(
    network='Eva',
    papers=(
        'EVA: Exploring the Limits of Masked Visual Representation Learning at Scale, Fang et al., 2022, arXiv:2211.07636',
        'EVA-02: A Visual Representation for Neon Genesis, Fang et al., 2023, arXiv:2303.11331',
        'EVA-CLIP: Improved Training Techniques for CLIP at Scale, Sun et al., 2023, arXiv:2303.15389',
        'Rotary Position Embedding for Vision Transformer, Heo et al., 2024, arXiv:2403.13298',
        'Perception Encoder: The best visual embeddings are not at the output of the network, Bolya et al., 2025, arXiv:2504.13181',
        'DINOv3, Simeoni et al., 2025, arXiv:2508.10104',
        'Efficient Universal Perception Encoder, Zhu et al., 2026, arXiv:2603.22387',
        'Sapiens2, Khirodkar et al., 2026, arXiv:2604.21681',
        'LingBot-Vision, Fu et al., 2026, arXiv:2607.05247',
    ),
    base=EVA,
    feature_indices=3,
    feature_class='getter',
    convert=Ref('checkpoint_filter_fn'),
    variants=(
        # EVA
        Variant('eva_giant_patch14_224', GIANT, {
            'clip_ft_in1k': EVA,
        }),
        Variant('eva_giant_patch14_336', GIANT, {
            'clip_ft_in1k': AT_336_SQUASH,
            'm30m_ft_in22k_in1k': M30M,
        }),
        Variant('eva_giant_patch14_560', GIANT, {
            'm30m_ft_in22k_in1k': M30M.but(input_size=(3, 560, 560)),
        }),

        # EVA-02
        Variant('eva02_base_patch14_448', dict(**BASE, **EVA02_SPLIT, img_size=448), {
            'mim_in22k_ft_in22k_in1k': AT_448_SQUASH,
            'mim_in22k_ft_in1k': AT_448,
            'mim_in22k_ft_in22k': AT_448_IN22K,
        }),
        Variant('eva02_large_patch14_448', dict(**LARGE, **EVA02_SPLIT, img_size=448), {
            'mim_in22k_ft_in22k_in1k': AT_448_SQUASH,
            'mim_m38m_ft_in22k_in1k': AT_448_SQUASH,
            'mim_in22k_ft_in1k': AT_448,
            'mim_m38m_ft_in1k': AT_448,
            'mim_in22k_ft_in22k': AT_448_IN22K,
            'mim_m38m_ft_in22k': AT_448_IN22K,
        }),
        Variant('eva02_tiny_patch14_336', dict(**TINY, **EVA02, img_size=336), {
            'mim_in22k_ft_in1k': AT_336,
        }),
        Variant('eva02_small_patch14_336', dict(**SMALL, **EVA02, img_size=336), {
            'mim_in22k_ft_in1k': AT_336,
        }),
        Variant('eva02_tiny_patch14_224', dict(**TINY, **EVA02, img_size=224), {
            'mim_in22k': MIM,
        }),
        Variant('eva02_small_patch14_224', dict(**SMALL, **EVA02, img_size=224), {
            'mim_in22k': MIM,
        }),
        Variant('eva02_base_patch14_224', dict(**BASE, **EVA02_SPLIT, img_size=224), {
            'mim_in22k': MIM,
        }),
        Variant('eva02_large_patch14_224', dict(**LARGE, **EVA02_SPLIT, img_size=224), {
            'mim_in22k': MIM,
            'mim_m38m': MIM,
        }),

        # EVA-CLIP
        Variant('eva_giant_patch14_clip_224', dict(**GIANT, **CLASS_POOL), {
            'laion400m': EVA.but(num_classes=1024),
            'merged2b': EVA.but(num_classes=1024),
        }),
        Variant('eva02_base_patch16_clip_224', {**BASE, **EVA02_CLIP, 'patch_size': 16, 'img_size': 224}, {
            'merged2b': EVA.but(num_classes=512),
        }),
        Variant('eva02_large_patch14_clip_224', dict(**LARGE, **EVA02_CLIP, img_size=224), {
            'merged2b': EVA.but(num_classes=768),
        }),
        Variant('eva02_large_patch14_clip_336', dict(**LARGE, **EVA02_CLIP, img_size=336), {
            'merged2b': AT_336.but(num_classes=768),
        }),
        Variant('eva02_enormous_patch14_clip_224', dict(
            img_size=224, patch_size=14, embed_dim=1792, depth=64, num_heads=16, mlp_ratio=60 / 7, use_post_norm=True,
            **CLASS_POOL,
        ), {
            'laion2b': EVA.but(num_classes=1024),
            'laion2b_plus': EVA.but(num_classes=1024),
            'pretrain': MIM.but(hf_hub_id=None),
        }),

        # ImageNet from scratch, as EVA-02 but with plain MLPs and without absolute positions
        Variant('vit_medium_patch16_rope_reg1_gap_256', dict(**MEDIUM, **SBB_ROPE, num_reg_tokens=1), {
            'sbb_in1k': SBB,
        }),
        Variant('vit_mediumd_patch16_rope_reg1_gap_256', {**MEDIUM, **SBB_ROPE, **NO_QKV_BIAS, 'depth': 20, 'num_reg_tokens': 1}, {
            'sbb_in1k': SBB,
        }),
        Variant('vit_betwixt_patch16_rope_reg4_gap_256', dict(embed_dim=640, depth=12, num_heads=10, num_reg_tokens=4, **SBB_ROPE), {
            'sbb_in1k': SBB.but(mean=OPENAI_CLIP_MEAN, std=OPENAI_CLIP_STD),
        }),
        Variant('vit_base_patch16_rope_reg1_gap_256', dict(**BASE, **SBB_ROPE, num_reg_tokens=1), {
            'sbb_in1k': SBB,
        }),

        # Perception Encoder: core (contrastive), lang (aligned with a language model), spatial (with SAM)
        Variant('vit_pe_core_tiny_patch16_384', dict(patch_size=16, **TINY, **PE_CLASS, **PE_POOL, ref_feat_shape=(24, 24)), {
            'fb': PE_384,
        }),
        Variant('vit_pe_core_small_patch16_384', dict(patch_size=16, **SMALL, **PE_CLASS, **PE_POOL, ref_feat_shape=(24, 24)), {
            'fb': PE_384,
        }),
        Variant('vit_pe_core_base_patch16_224', dict(patch_size=16, **BASE, **PE_CLASS, **PE_POOL, ref_feat_shape=(14, 14)), {
            'fb': PE.but(num_classes=1024),
        }),
        Variant('vit_pe_core_large_patch14_336', dict(patch_size=14, **LARGE, **PE_CLASS, **PE_POOL, ref_feat_shape=(24, 24)), {
            'fb': PE.but(input_size=(3, 336, 336), num_classes=1024),
        }),
        Variant('vit_pe_core_gigantic_patch14_448', dict(depth=50, **PE_GIGANTIC, **PE_POOL), {
            'fb': PE.but(input_size=(3, 448, 448), num_classes=1280),
        }),
        Variant('vit_pe_lang_large_patch14_448', {
            'patch_size': 14, **LARGE, **PE_SPATIAL, 'depth': 23, 'class_token': True, 'init_values': 0.1,
        }, {
            'fb': PE_FEATURES,
            'fb_tiling': PE_FEATURES,
        }),
        Variant('vit_pe_lang_gigantic_patch14_448', dict(depth=47, init_values=0.1, **PE_GIGANTIC, **PE_UNNORMED), {
            'fb': PE_FEATURES,
            'fb_tiling': PE_FEATURES,
        }),
        Variant('vit_pe_spatial_tiny_patch16_512', dict(patch_size=16, **TINY, **PE_SPATIAL), {
            'fb': PE_512,
        }),
        Variant('vit_pe_spatial_small_patch16_512', dict(patch_size=16, **SMALL, **PE_SPATIAL), {
            'fb': PE_512,
        }),
        Variant('vit_pe_spatial_base_patch16_512', dict(patch_size=16, **BASE, **PE_SPATIAL), {
            'fb': PE_512,
        }),
        Variant('vit_pe_spatial_large_patch14_448', dict(patch_size=14, **LARGE, **PE_SPATIAL), {
            'fb': PE_FEATURES,
        }),
        Variant('vit_pe_spatial_gigantic_patch14_448', dict(depth=50, init_values=0.1, **PE_GIGANTIC, **PE_UNNORMED), {
            'fb': PE_FEATURES,
        }),

        # Heo et al.: frequencies along the axes, or learned in both directions at once
        Variant('vit_small_patch16_rope_224', dict(**SMALL, **ROPE_VIT, **AXIAL, **NO_APE), {'naver_in1k': IMAGENET}),
        Variant('vit_base_patch16_rope_224', dict(**BASE, **ROPE_VIT, **AXIAL, **NO_APE, use_fc_norm=False), {'naver_in1k': IMAGENET}),
        Variant('vit_large_patch16_rope_224', dict(**LARGE, **ROPE_VIT, **AXIAL, **NO_APE), {'naver_in1k': IMAGENET}),
        Variant('vit_small_patch16_rope_mixed_224', dict(**SMALL, **ROPE_VIT, **MIXED, **NO_APE), {'naver_in1k': IMAGENET}),
        Variant('vit_base_patch16_rope_mixed_224', dict(**BASE, **ROPE_VIT, **MIXED, **NO_APE), {'naver_in1k': IMAGENET}),
        Variant('vit_large_patch16_rope_mixed_224', dict(**LARGE, **ROPE_VIT, **MIXED, **NO_APE), {'naver_in1k': IMAGENET}),
        Variant('vit_small_patch16_rope_ape_224', dict(**SMALL, **ROPE_VIT, **AXIAL, **APE), {'naver_in1k': IMAGENET}),
        Variant('vit_base_patch16_rope_ape_224', dict(**BASE, **ROPE_VIT, **AXIAL, **APE), {'naver_in1k': IMAGENET}),
        Variant('vit_large_patch16_rope_ape_224', dict(**LARGE, **ROPE_VIT, **AXIAL, **APE), {'naver_in1k': IMAGENET}),
        Variant('vit_small_patch16_rope_mixed_ape_224', dict(**SMALL, **ROPE_VIT, **MIXED, **APE), {'naver_in1k': IMAGENET}),
        Variant('vit_base_patch16_rope_mixed_ape_224', dict(**BASE, **ROPE_VIT, **MIXED, **APE), {'naver_in1k': IMAGENET}),
        Variant('vit_large_patch16_rope_mixed_ape_224', dict(**LARGE, **ROPE_VIT, **MIXED, **APE), {'naver_in1k': IMAGENET}),

        # DINOv3, and EUPE in the same networks
        Variant('vit_small_patch16_dinov3', dict(**SMALL, **DINO_NET, **NO_QKV_BIAS), {
            'lvd1689m': DINOV3,
        }),
        Variant('vit_small_patch16_dinov3_qkvb', dict(**SMALL, **DINO_NET, **QKV_BIAS), {
            'lvd1689m': DINOV3,
            'eupe_lvd1689m': EUPE,
        }),
        Variant('vit_small_plus_patch16_dinov3', dict(**SMALL, **DINO_NET, **NO_QKV_BIAS, **GATED), {
            'lvd1689m': DINOV3,
        }),
        Variant('vit_small_plus_patch16_dinov3_qkvb', dict(**SMALL, **DINO_NET, **QKV_BIAS, **GATED), {
            'lvd1689m': DINOV3,
        }),
        Variant('vit_base_patch16_dinov3', dict(**BASE, **DINO_NET, **NO_QKV_BIAS), {
            'lvd1689m': DINOV3,
        }),
        Variant('vit_base_patch16_dinov3_qkvb', dict(**BASE, **DINO_NET, **QKV_BIAS), {
            'lvd1689m': DINOV3,
            'eupe_lvd1689m': EUPE,
        }),
        Variant('vit_tiny_patch16_dinov3_qkvb', dict(**TINY, **DINO_NET, **QKV_BIAS), {
            'eupe_lvd1689m': EUPE,
        }),
        Variant('vit_large_patch16_dinov3', dict(**LARGE, **DINO_NET, **NO_QKV_BIAS), {
            'lvd1689m': DINOV3,
            'sat493m': DINOV3_SAT,
        }),
        Variant('vit_large_patch16_dinov3_qkvb', dict(**LARGE, **DINO_NET, **QKV_BIAS), {
            'lvd1689m': DINOV3,
            'sat493m': DINOV3_SAT,
        }),
        Variant('vit_huge_plus_patch16_dinov3', dict(**HUGE_PLUS, **DINO_NET, **NO_QKV_BIAS, **GATED), {
            'lvd1689m': DINOV3,
        }),
        Variant('vit_huge_plus_patch16_dinov3_qkvb', dict(**HUGE_PLUS, **DINO_NET, **QKV_BIAS, **GATED), {
            'lvd1689m': DINOV3,
        }),
        Variant('vit_7b_patch16_dinov3', dict(
            embed_dim=4096, depth=40, num_heads=32, mlp_ratio=2, swiglu_mlp=True, swiglu_align_to=64, **DINO_NET,
            **NO_QKV_BIAS,
        ), {
            'lvd1689m': DINOV3,
            'sat493m': DINOV3_SAT,
        }),

        # LingBot-Vision
        Variant('vit_small_patch16_lingbot', dict(**SMALL, **DINO_NET, **QKV_BIAS, **CLASS_POOL), {
            'robbyant': LINGBOT.but(hf_hub_id='belfner/vit_small_patch16_lingbot.robbyant'),
        }),
        Variant('vit_base_patch16_lingbot', dict(**BASE, **DINO_NET, **QKV_BIAS, **CLASS_POOL), {
            'robbyant': LINGBOT.but(hf_hub_id='belfner/vit_base_patch16_lingbot.robbyant'),
        }),
        Variant('vit_large_patch16_lingbot', dict(**LARGE, **DINO_NET, **QKV_BIAS, **CLASS_POOL), {
            'robbyant': LINGBOT.but(hf_hub_id='belfner/vit_large_patch16_lingbot.robbyant'),
        }),
        Variant('vit_giant_patch16_lingbot', dict(
            embed_dim=1536, depth=40, num_heads=24, mlp_ratio=8 / 3, **DINO_NET, **NO_QKV_BIAS, **GATED, **CLASS_POOL,
        ), {
            'robbyant': LINGBOT.but(hf_hub_id='belfner/vit_giant_patch16_lingbot.robbyant'),
        }),

        # Sapiens2: fewer heads of keys and values in all but the first and the last eight blocks
        Variant('vit_base_patch16_sapiens2', dict(num_kv_heads=(12,) * 12, **BASE, **SAPIENS2_NET), {'fb': SAPIENS2}),
        Variant('vit_large_patch16_sapiens2', dict(
            num_kv_heads=(16,) * 8 + (8,) * 8 + (16,) * 8, **LARGE, **SAPIENS2_NET,
        ), {'fb': SAPIENS2}),
        Variant('vit_huge_patch16_sapiens2', dict(
            embed_dim=1280, depth=32, num_heads=16, num_kv_heads=(16,) * 8 + (8,) * 16 + (16,) * 8, **SAPIENS2_NET,
        ), {'fb': SAPIENS2}),
        Variant('vit_giant_patch16_sapiens2', dict(
            embed_dim=1536, depth=40, num_heads=24, num_kv_heads=(24,) * 8 + (12,) * 24 + (24,) * 8, **SAPIENS2_NET,
        ), {'fb': SAPIENS2}),
        Variant('vit_5b_patch16_sapiens2', dict(
            embed_dim=2432, depth=56, num_heads=32, num_kv_heads=(32,) * 8 + (16,) * 40 + (32,) * 8, **SAPIENS2_NET,
        ), {'fb': SAPIENS2}),
    ),
)
