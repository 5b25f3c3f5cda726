"""What networks are made of: one concept a file, every public name importable from here."""

from ._fx import create_feature_extractor as create_feature_extractor
from ._fx import get_graph_node_names as get_graph_node_names
from ._fx import get_notrace_functions as get_notrace_functions
from ._fx import get_notrace_modules as get_notrace_modules
from ._fx import is_notrace_function as is_notrace_function
from ._fx import is_notrace_module as is_notrace_module
from ._fx import register_notrace_function as register_notrace_function
from ._fx import register_notrace_module as register_notrace_module
from .activations import GELU as GELU
from .activations import GELUTanh as GELUTanh
from .activations import HardMish as HardMish
from .activations import HardSigmoid as HardSigmoid
from .activations import HardSwish as HardSwish
from .activations import Mish as Mish
from .activations import PReLU as PReLU
from .activations import QuickGELU as QuickGELU
from .activations import Sigmoid as Sigmoid
from .activations import Swish as Swish
from .activations import Tanh as Tanh
from .activations import gelu as gelu
from .activations import gelu_tanh as gelu_tanh
from .activations import hard_mish as hard_mish
from .activations import hard_sigmoid as hard_sigmoid
from .activations import hard_swish as hard_swish
from .activations import mish as mish
from .activations import quick_gelu as quick_gelu
from .activations import sigmoid as sigmoid
from .activations import swish as swish
from .activations import tanh as tanh
from .adaptive_avgmax_pool import AdaptiveAvgMaxPool2d as AdaptiveAvgMaxPool2d
from .adaptive_avgmax_pool import SelectAdaptivePool2d as SelectAdaptivePool2d
from .adaptive_avgmax_pool import adaptive_avgmax_pool2d as adaptive_avgmax_pool2d
from .adaptive_avgmax_pool import select_adaptive_pool2d as select_adaptive_pool2d
from .attention import Attention as Attention
from .attention import AttentionRope as AttentionRope
from .attention import maybe_add_mask as maybe_add_mask
from .attention import resolve_self_attn_mask as resolve_self_attn_mask
from .attention2d import Attention2d as Attention2d
from .attention2d import MultiQueryAttention2d as MultiQueryAttention2d
from .attention2d import MultiQueryAttentionV2 as MultiQueryAttentionV2
from .attention_pool import AttentionPoolLatent as AttentionPoolLatent
from .attention_pool import AttentionPoolPrr as AttentionPoolPrr
from .attention_pool2d import AttentionPool2d as AttentionPool2d
from .attention_pool2d import RotAttentionPool2d as RotAttentionPool2d
from .blur_pool import BlurPool2d as BlurPool2d
from .blur_pool import create_aa as create_aa
from .classifier import ClassifierHead as ClassifierHead
from .classifier import ClNormMlpClassifierHead as ClNormMlpClassifierHead
from .classifier import NormMlpClassifierHead as NormMlpClassifierHead
from .classifier import create_classifier as create_classifier
from .cond_conv2d import CondConv2d as CondConv2d
from .cond_conv2d import get_condconv_initializer as get_condconv_initializer
from .config import is_exportable as is_exportable
from .config import is_no_jit as is_no_jit
from .config import is_scriptable as is_scriptable
from .config import set_exportable as set_exportable
from .config import set_fused_attn as set_fused_attn
from .config import set_layer_config as set_layer_config
from .config import set_no_jit as set_no_jit
from .config import set_reentrant_ckpt as set_reentrant_ckpt
from .config import set_scriptable as set_scriptable
from .config import use_fused_attn as use_fused_attn
from .config import use_reentrant_ckpt as use_reentrant_ckpt
from .conv2d_same import Conv2dSame as Conv2dSame
from .conv2d_same import conv2d_same as conv2d_same
from .conv_bn_act import ConvBnAct as ConvBnAct
from .conv_bn_act import ConvNormAct as ConvNormAct
from .conv_bn_act import ConvNormActAa as ConvNormActAa
from .create_act import create_act_layer as create_act_layer
from .create_act import get_act_fn as get_act_fn
from .create_act import get_act_layer as get_act_layer
from .create_attn import create_attn as create_attn
from .create_attn import get_attn as get_attn
from .create_conv2d import create_conv2d as create_conv2d
from .create_norm import create_norm_layer as create_norm_layer
from .create_norm import get_norm_layer as get_norm_layer
from .create_norm_act import create_norm_act_layer as create_norm_act_layer
from .create_norm_act import get_norm_act_layer as get_norm_act_layer
from .diff_attention import DiffAttention as DiffAttention
from .drop import DropBlock2d as DropBlock2d
from .drop import DropPath as DropPath
from .drop import calculate_drop_path_rates as calculate_drop_path_rates
from .drop import drop_block_2d as drop_block_2d
from .drop import drop_path as drop_path
from .eca import CecaModule as CecaModule
from .eca import CircularEfficientChannelAttn as CircularEfficientChannelAttn
from .eca import EcaModule as EcaModule
from .eca import EfficientChannelAttn as EfficientChannelAttn
from .evo_norm import EvoNorm2dB0 as EvoNorm2dB0
from .evo_norm import EvoNorm2dB1 as EvoNorm2dB1
from .evo_norm import EvoNorm2dB2 as EvoNorm2dB2
from .evo_norm import EvoNorm2dS0 as EvoNorm2dS0
from .evo_norm import EvoNorm2dS0a as EvoNorm2dS0a
from .evo_norm import EvoNorm2dS1 as EvoNorm2dS1
from .evo_norm import EvoNorm2dS1a as EvoNorm2dS1a
from .evo_norm import EvoNorm2dS2 as EvoNorm2dS2
from .evo_norm import EvoNorm2dS2a as EvoNorm2dS2a
from .fast_norm import fast_group_norm as fast_group_norm
from .fast_norm import fast_layer_norm as fast_layer_norm
from .fast_norm import is_fast_norm as is_fast_norm
from .fast_norm import set_fast_norm as set_fast_norm
from .filter_response_norm import FilterResponseNormAct2d as FilterResponseNormAct2d
from .filter_response_norm import FilterResponseNormTlu2d as FilterResponseNormTlu2d
from .format import Format as Format
from .format import get_channel_dim as get_channel_dim
from .format import get_spatial_dim as get_spatial_dim
from .format import nchw_to as nchw_to
from .format import nhwc_to as nhwc_to
from .gather_excite import GatherExcite as GatherExcite
from .global_context import GlobalContext as GlobalContext
from .grid import meshgrid as meshgrid
from .grid import ndgrid as ndgrid
from .helpers import extend_tuple as extend_tuple
from .helpers import get_device_dtype as get_device_dtype
from .helpers import is_exporting as is_exporting
from .helpers import make_divisible as make_divisible
from .helpers import to_2tuple as to_2tuple
from .helpers import to_3tuple as to_3tuple
from .helpers import to_4tuple as to_4tuple
from .helpers import to_ntuple as to_ntuple
from .hybrid_embed import HybridEmbed as HybridEmbed
from .hybrid_embed import HybridEmbedWithSize as HybridEmbedWithSize
from .inplace_abn import InplaceAbn as InplaceAbn
from .layer_scale import LayerScale as LayerScale
from .layer_scale import LayerScale2d as LayerScale2d
from .linear import Linear as Linear
from .mixed_conv2d import MixedConv2d as MixedConv2d
from .mlp import ConvMlp as ConvMlp
from .mlp import GatedMlp as GatedMlp
from .mlp import GlobalResponseNormMlp as GlobalResponseNormMlp
from .mlp import GluMlp as GluMlp
from .mlp import Mlp as Mlp
from .mlp import SwiGLU as SwiGLU
from .mlp import SwiGLUPacked as SwiGLUPacked
from .non_local_attn import BatNonLocalAttn as BatNonLocalAttn
from .non_local_attn import NonLocalAttn as NonLocalAttn
from .norm import GroupNorm as GroupNorm
from .norm import GroupNorm1 as GroupNorm1
from .norm import LayerNorm as LayerNorm
from .norm import LayerNorm2d as LayerNorm2d
from .norm import LayerNorm2dFp32 as LayerNorm2dFp32
from .norm import LayerNormFp32 as LayerNormFp32
from .norm import RmsNorm as RmsNorm
from .norm import RmsNorm2d as RmsNorm2d
from .norm import RmsNorm2dFp32 as RmsNorm2dFp32
from .norm import RmsNormFp32 as RmsNormFp32
from .norm import SimpleNorm as SimpleNorm
from .norm import SimpleNorm2d as SimpleNorm2d
from .norm import SimpleNorm2dFp32 as SimpleNorm2dFp32
from .norm import SimpleNormFp32 as SimpleNormFp32
from .norm_act import BatchNormAct2d as BatchNormAct2d
from .norm_act import FrozenBatchNormAct2d as FrozenBatchNormAct2d
from .norm_act import GroupNorm1Act as GroupNorm1Act
from .norm_act import GroupNormAct as GroupNormAct
from .norm_act import LayerNormAct as LayerNormAct
from .norm_act import LayerNormAct2d as LayerNormAct2d
from .norm_act import LayerNormAct2dFp32 as LayerNormAct2dFp32
from .norm_act import LayerNormActFp32 as LayerNormActFp32
from .norm_act import RmsNormAct as RmsNormAct
from .norm_act import RmsNormAct2d as RmsNormAct2d
from .norm_act import RmsNormAct2dFp32 as RmsNormAct2dFp32
from .norm_act import RmsNormActFp32 as RmsNormActFp32
from .norm_act import SyncBatchNormAct as SyncBatchNormAct
from .norm_act import convert_sync_batchnorm as convert_sync_batchnorm
from .norm_act import freeze_batch_norm_2d as freeze_batch_norm_2d
from .norm_act import unfreeze_batch_norm_2d as unfreeze_batch_norm_2d
from .other_pool import LsePlus1d as LsePlus1d
from .other_pool import LsePlus2d as LsePlus2d
from .other_pool import SimPool1d as SimPool1d
from .other_pool import SimPool2d as SimPool2d
from .padding import get_padding as get_padding
from .padding import get_same_padding as get_same_padding
from .padding import pad_same as pad_same
from .patch_dropout import PatchDropout as PatchDropout
from .patch_dropout import PatchDropoutWithIndices as PatchDropoutWithIndices
from .patch_dropout import patch_dropout_forward as patch_dropout_forward
from .patch_embed import PatchEmbed as PatchEmbed
from .patch_embed import PatchEmbedInterpolator as PatchEmbedInterpolator
from .patch_embed import PatchEmbedWithSize as PatchEmbedWithSize
from .patch_embed import resample_patch_embed as resample_patch_embed
from .pool1d import global_pool_nlc as global_pool_nlc
from .pool2d_same import AvgPool2dSame as AvgPool2dSame
from .pool2d_same import create_pool2d as create_pool2d
from .pos_embed import resample_abs_pos_embed as resample_abs_pos_embed
from .pos_embed import resample_abs_pos_embed_nhwc as resample_abs_pos_embed_nhwc
from .pos_embed_rel import RelPosBias as RelPosBias
from .pos_embed_rel import RelPosBiasTf as RelPosBiasTf
from .pos_embed_rel import RelPosMlp as RelPosMlp
from .pos_embed_rel import gen_relative_log_coords as gen_relative_log_coords
from .pos_embed_rel import gen_relative_position_index as gen_relative_position_index
from .pos_embed_rel import resize_rel_pos_bias_table as resize_rel_pos_bias_table
from .pos_embed_rel import resize_rel_pos_bias_table_levit as resize_rel_pos_bias_table_levit
from .pos_embed_rel import resize_rel_pos_bias_table_simple as resize_rel_pos_bias_table_simple
from .pos_embed_sincos import FourierEmbed as FourierEmbed
from .pos_embed_sincos import RotaryEmbedding as RotaryEmbedding
from .pos_embed_sincos import RotaryEmbeddingCat as RotaryEmbeddingCat
from .pos_embed_sincos import RotaryEmbeddingDinoV3 as RotaryEmbeddingDinoV3
from .pos_embed_sincos import RotaryEmbeddingMixed as RotaryEmbeddingMixed
from .pos_embed_sincos import RotaryEmbeddingMRope as RotaryEmbeddingMRope
from .pos_embed_sincos import apply_keep_indices_nlc as apply_keep_indices_nlc
from .pos_embed_sincos import apply_rot_embed as apply_rot_embed
from .pos_embed_sincos import apply_rot_embed_cat as apply_rot_embed_cat
from .pos_embed_sincos import apply_rot_embed_list as apply_rot_embed_list
from .pos_embed_sincos import build_fourier_pos_embed as build_fourier_pos_embed
from .pos_embed_sincos import build_rotary_pos_embed as build_rotary_pos_embed
from .pos_embed_sincos import build_sincos2d_pos_embed as build_sincos2d_pos_embed
from .pos_embed_sincos import create_rope_embed as create_rope_embed
from .pos_embed_sincos import freq_bands as freq_bands
from .pos_embed_sincos import get_mixed_freqs as get_mixed_freqs
from .pos_embed_sincos import pixel_freq_bands as pixel_freq_bands
from .selective_kernel import SelectiveKernel as SelectiveKernel
from .separable_conv import SeparableConv2d as SeparableConv2d
from .separable_conv import SeparableConvNormAct as SeparableConvNormAct
from .space_to_depth import DepthToSpace as DepthToSpace
from .space_to_depth import SpaceToDepth as SpaceToDepth
from .split_attn import SplitAttn as SplitAttn
from .split_batchnorm import SplitBatchNorm2d as SplitBatchNorm2d
from .split_batchnorm import convert_splitbn_model as convert_splitbn_model
from .squeeze_excite import EffectiveSEModule as EffectiveSEModule
from .squeeze_excite import EffectiveSqueezeExcite as EffectiveSqueezeExcite
from .squeeze_excite import SEModule as SEModule
from .squeeze_excite import SqueezeExcite as SqueezeExcite
from .std_conv import ScaledStdConv2d as ScaledStdConv2d
from .std_conv import ScaledStdConv2dSame as ScaledStdConv2dSame
from .std_conv import StdConv2d as StdConv2d
from .std_conv import StdConv2dSame as StdConv2dSame
from .test_time_pool import TestTimePoolHead as TestTimePoolHead
from .test_time_pool import apply_test_time_pool as apply_test_time_pool
from .trace_utils import _assert as _assert
from .trace_utils import _float_to_int as _float_to_int
from .typing import LayerType as LayerType
from .typing import PadType as PadType
from .typing import disable_compiler as disable_compiler
from .weight_init import init_weight_jax as init_weight_jax
from .weight_init import init_weight_vit as init_weight_vit
from .weight_init import is_meta_device as is_meta_device
from .weight_init import lecun_normal_ as lecun_normal_
from .weight_init import trunc_normal_ as trunc_normal_
from .weight_init import trunc_normal_tf_ as trunc_normal_tf_
from .weight_init import variance_scaling_ as variance_scaling_

__all__ = [
    'AdaptiveAvgMaxPool2d',
    'Attention',
    'Attention2d',
    'AttentionPool2d',
    'AttentionPoolLatent',
    'AttentionPoolPrr',
    'AttentionRope',
    'AvgPool2dSame',
    'BatNonLocalAttn',
    'BatchNormAct2d',
    'BlurPool2d',
    'CecaModule',
    'CircularEfficientChannelAttn',
    'ClNormMlpClassifierHead',
    'ClassifierHead',
    'CondConv2d',
    'Conv2dSame',
    'ConvBnAct',
    'ConvMlp',
    'ConvNormAct',
    'ConvNormActAa',
    'DepthToSpace',
    'DiffAttention',
    'DropBlock2d',
    'DropPath',
    'EcaModule',
    'EffectiveSEModule',
    'EffectiveSqueezeExcite',
    'EfficientChannelAttn',
    'EvoNorm2dB0',
    'EvoNorm2dB1',
    'EvoNorm2dB2',
    'EvoNorm2dS0',
    'EvoNorm2dS0a',
    'EvoNorm2dS1',
    'EvoNorm2dS1a',
    'EvoNorm2dS2',
    'EvoNorm2dS2a',
    'FilterResponseNormAct2d',
    'FilterResponseNormTlu2d',
    'Format',
    'FourierEmbed',
    'FrozenBatchNormAct2d',
    'GELU',
    'GELUTanh',
    'GatedMlp',
    'GatherExcite',
    'GlobalContext',
    'GlobalResponseNormMlp',
    'GluMlp',
    'GroupNorm',
    'GroupNorm1',
    'GroupNorm1Act',
    'GroupNormAct',
    'HardMish',
    'HardSigmoid',
    'HardSwish',
    'HybridEmbed',
    'HybridEmbedWithSize',
    'InplaceAbn',
    'LayerNorm',
    'LayerNorm2d',
    'LayerNorm2dFp32',
    'LayerNormAct',
    'LayerNormAct2d',
    'LayerNormAct2dFp32',
    'LayerNormActFp32',
    'LayerNormFp32',
    'LayerScale',
    'LayerScale2d',
    'LayerType',
    'Linear',
    'LsePlus1d',
    'LsePlus2d',
    'Mish',
    'MixedConv2d',
    'Mlp',
    'MultiQueryAttention2d',
    'MultiQueryAttentionV2',
    'NonLocalAttn',
    'NormMlpClassifierHead',
    'PReLU',
    'PadType',
    'PatchDropout',
    'PatchDropoutWithIndices',
    'PatchEmbed',
    'PatchEmbedInterpolator',
    'PatchEmbedWithSize',
    'QuickGELU',
    'RelPosBias',
    'RelPosBiasTf',
    'RelPosMlp',
    'RmsNorm',
    'RmsNorm2d',
    'RmsNorm2dFp32',
    'RmsNormAct',
    'RmsNormAct2d',
    'RmsNormAct2dFp32',
    'RmsNormActFp32',
    'RmsNormFp32',
    'RotAttentionPool2d',
    'RotaryEmbedding',
    'RotaryEmbeddingCat',
    'RotaryEmbeddingDinoV3',
    'RotaryEmbeddingMRope',
    'RotaryEmbeddingMixed',
    'SEModule',
    'ScaledStdConv2d',
    'ScaledStdConv2dSame',
    'SelectAdaptivePool2d',
    'SelectiveKernel',
    'SeparableConv2d',
    'SeparableConvNormAct',
    'Sigmoid',
    'SimPool1d',
    'SimPool2d',
    'SimpleNorm',
    'SimpleNorm2d',
    'SimpleNorm2dFp32',
    'SimpleNormFp32',
    'SpaceToDepth',
    'SplitAttn',
    'SplitBatchNorm2d',
    'SqueezeExcite',
    'StdConv2d',
    'StdConv2dSame',
    'SwiGLU',
    'SwiGLUPacked',
    'Swish',
    'SyncBatchNormAct',
    'Tanh',
    'TestTimePoolHead',
    'adaptive_avgmax_pool2d',
    'apply_keep_indices_nlc',
    'apply_rot_embed',
    'apply_rot_embed_cat',
    'apply_rot_embed_list',
    'apply_test_time_pool',
    'build_fourier_pos_embed',
    'build_rotary_pos_embed',
    'build_sincos2d_pos_embed',
    'calculate_drop_path_rates',
    'conv2d_same',
    'convert_splitbn_model',
    'convert_sync_batchnorm',
    'create_aa',
    'create_act_layer',
    'create_attn',
    'create_classifier',
    'create_conv2d',
    'create_feature_extractor',
    'create_norm_act_layer',
    'create_norm_layer',
    'create_pool2d',
    'create_rope_embed',
    'disable_compiler',
    'drop_block_2d',
    'drop_path',
    'extend_tuple',
    'fast_group_norm',
    'fast_layer_norm',
    'freeze_batch_norm_2d',
    'freq_bands',
    'gelu',
    'gelu_tanh',
    'gen_relative_log_coords',
    'gen_relative_position_index',
    'get_act_fn',
    'get_act_layer',
    'get_attn',
    'get_channel_dim',
    'get_condconv_initializer',
    'get_device_dtype',
    'get_graph_node_names',
    'get_mixed_freqs',
    'get_norm_act_layer',
    'get_norm_layer',
    'get_notrace_functions',
    'get_notrace_modules',
    'get_padding',
    'get_same_padding',
    'get_spatial_dim',
    'global_pool_nlc',
    'hard_mish',
    'hard_sigmoid',
    'hard_swish',
    'init_weight_jax',
    'init_weight_vit',
    'is_exportable',
    'is_exporting',
    'is_fast_norm',
    'is_meta_device',
    'is_no_jit',
    'is_notrace_function',
    'is_notrace_module',
    'is_scriptable',
    'lecun_normal_',
    'make_divisible',
    'maybe_add_mask',
    'meshgrid',
    'mish',
    'nchw_to',
    'ndgrid',
    'nhwc_to',
    'pad_same',
    'patch_dropout_forward',
    'pixel_freq_bands',
    'quick_gelu',
    'register_notrace_function',
    'register_notrace_module',
    'resample_abs_pos_embed',
    'resample_abs_pos_embed_nhwc',
    'resample_patch_embed',
    'resize_rel_pos_bias_table',
    'resize_rel_pos_bias_table_levit',
    'resize_rel_pos_bias_table_simple',
    'resolve_self_attn_mask',
    'select_adaptive_pool2d',
    'set_exportable',
    'set_fast_norm',
    'set_fused_attn',
    'set_layer_config',
    'set_no_jit',
    'set_reentrant_ckpt',
    'set_scriptable',
    'sigmoid',
    'swish',
    'tanh',
    'to_2tuple',
    'to_3tuple',
    'to_4tuple',
    'to_ntuple',
    'trunc_normal_',
    'trunc_normal_tf_',
    'unfreeze_batch_norm_2d',
    'use_fused_attn',
    'use_reentrant_ckpt',
    'variance_scaling_',
]
