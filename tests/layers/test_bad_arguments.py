"""Arguments that cannot be meant are refused at once, by an error that holds the value and what is accepted."""

import re
from functools import partial

import pytest
import torch
from torch import nn

from timm import layers
from timm.layers._checks import BadValue

# call | the value, as the message has it | what is accepted or near, as the message has it
VALUES = """
AdaptiveAvgMaxPool2d((1, 2, 3)) | output_size=(1, 2, 3) | or 2
AdaptiveAvgMaxPool2d(0) | 0 | 1 or more
Attention(24, 5) | num_heads=5 | num_heads=4 or 6, or set attn_head_dim
Attention(24, 0) | num_heads=0 | num_heads=1
Attention(24, -2) | num_heads=-2 | num_heads=1
Attention(24, 4, attn_head_dim=0) | attn_head_dim=0 | 1 or more
Attention(24, 4, qk_norm=True) | norm_layer=None | LayerNorm
Attention(24, 4, attn_drop=1.5) | 1.5 | between 0 and 1
Attention(24, 4, proj_drop=-0.1) | -0.1 | between 0 and 1
Attention2d(24, num_heads=5) | num_heads=5 | 4 or 6
Attention2d(24, 20, num_heads=6, expand_first=True) | num_heads=6 | 5 or 10
Attention2d(24, num_heads=4, attn_drop=2) | 2 | between 0 and 1
AttentionPool2d(24, num_heads=5) | num_heads=5 | 4 or 6
AttentionPool2d(24) | head_dim=64 | head_dim=24, or set num_heads
AttentionPool2d(24, num_heads=-3) | num_heads=-3 | num_heads=1
AttentionPool2d(24, num_heads=4, pool_type='avg') | 'avg' | 'token'
AttentionPool2d(24, num_heads=4).reset(pool_type='max') | 'max' | 'token'
AttentionPool2d(24, num_heads=4, feat_size=(1, 2, 3)) | (1, 2, 3) | or 2
AttentionPool2d(24, num_heads=4, drop_rate=2) | 2 | between 0 and 1
AttentionPoolLatent(24, num_heads=5) | num_heads=5 | 4 or 6
AttentionPoolLatent(24, pos_embed='rel') | 'rel' | 'abs'
AttentionPoolLatent(24, pos_embed='abs') | 'abs' | feat_size
AttentionPoolLatent(24, pool_type='max') | 'max' | 'token', 'avg'
AttentionPoolLatent(24, latent_len=0) | latent_len=0 | 1 or more
AttentionPoolLatent(24, q_proj=False, latent_dim=7) | 7 | 24
AttentionPoolLatent(24, drop=2) | 2 | between 0 and 1
AttentionPoolPrr(24, 5) | num_heads=5 | 4 or 6
AttentionPoolPrr(24, pool_type='max') | 'max' | 'token' or 'avg'
AttentionRope(24, 5) | num_heads=5 | 4 or 6
AttentionRope(24, 4, qkv_fused=False, num_kv_heads=3) | num_kv_heads=3 | 2 or 4
AttentionRope(24, 4, num_kv_heads=2) | num_kv_heads=2 | qkv_fused=False
AttentionRope(24, 4, num_prefix_tokens=-1) | num_prefix_tokens=-1 | 0 or more
AvgPool2dSame(0) | kernel_size=0 | 1 or more
AvgPool2dSame((1, 2, 3)) | kernel_size=(1, 2, 3) | or 2
AvgPool2dSame(3, 0) | stride=0 | 1 or more
BatNonLocalAttn(32, groups=3) | groups=3 | 2 or 4
BatNonLocalAttn(32, drop_rate=2) | 2 | between 0 and 1
BatchNormAct2d(24, act_layer='gleu') | 'gleu' | Did you mean 'gelu'?
BatchNormAct2d(-1) | num_features=-1 | 1 or more
BlurPool2d(24, filt_size=1) | filt_size=1 | 2 or more
BlurPool2d(24, stride=0) | stride=0 | 1 or more
BlurPool2d(0) | channels=0 | 1 or more
BlurPool2d(24, pad_mode='reflct') | 'reflct' | Did you mean 'reflect'?
CecaModule(kernel_size=4) | kernel_size=4 | 3 or 5
CecaModule(0) | channels=0 | 1 or more
CecaModule(24, gate_layer='sigmiod') | 'sigmiod' | Did you mean 'sigmoid'?
CecaModule(24, act_layer='gleu') | 'gleu' | 'gelu'
ClassifierHead(24, 10, pool_type='agv') | 'agv' | Did you mean 'avg'?
ClassifierHead(24, 10, drop_rate=2) | 2 | between 0 and 1
ClassifierHead(24, 10, pool_type='', input_fmt='NCWH') | 'NCWH' | 'NCHW'
ClassifierHead(24, 10, use_conv=True, input_fmt='NHWC') | NHWC | NCHW
ClNormMlpClassifierHead(24, 10, input_fmt='NCHW') | 'NCHW' | 'NHWC' or 'NLC'
ClNormMlpClassifierHead(24, 10, norm_layer='layernrm') | 'layernrm' | Did you mean 'layernorm'?
ClNormMlpClassifierHead(24, 10, pool_type='catavgmax') | 'catavgmax' | 'avgmax'
CondConv2d(24, 8, 3, num_experts=0) | num_experts=0 | 1 or more
CondConv2d(24, 8, 3, padding='smae') | 'smae' | Did you mean 'same'?
CondConv2d(24, 8, 3, groups=5) | groups=5 | 4 or 6
CondConv2d(24, 9, 3, groups=4) | groups=4 | 3 or 9
CondConv2d(24, 8, (1, 2, 3)) | kernel_size=(1, 2, 3) | or 2
CondConv2d(24, 8, 3, stride=0) | stride=0 | 1 or more
Conv2dSame(24, 8, 0) | kernel_size=0 | 1 or more
Conv2dSame(24, 8, 3, groups=5) | groups=5 | 4 or 6
Conv2dSame(24, 8, 3, dilation=-1) | dilation=-1 | 1 or more
ConvMlp(24, drop=2) | 2 | between 0 and 1
ConvMlp(24, bias=(True, False, True)) | (True, False, True) | or 2
ConvNormAct(24, 8, 3, padding='smae') | 'smae' | 'same'
ConvNormAct(24, 8, 3, groups=5) | groups=5 | 4 or 6
ConvNormAct(24, 8, 3, norm_layer='batchnrm') | 'batchnrm' | Did you mean 'batchnorm'?
ConvNormAct(24, 8, 3, act_layer='gleu', apply_act=False) | 'gleu' | Did you mean 'gelu'?
ConvNormAct(24, 8, 3, aa_layer='blurr') | 'blurr' | Did you mean 'blur'?
ConvNormAct(24, 8, 3, stride=0) | stride=0 | 1 or more
DepthToSpace(0) | block_size=0 | 1 or more
DiffAttention(24, 5) | num_heads=5 | 20 or 30
DiffAttention(24, 0) | num_heads=0 | 1 or more
DiffAttention(24, 3, depth=-1) | depth=-1 | 0 for the first
DropBlock2d(1.5) | drop_prob=1.5 | from 0 to 1
DropBlock2d(0.1, 0) | block_size=0 | 1 or more
DropBlock2d(0.1, gamma_scale=-1) | gamma_scale=-1 | 0.0 or more
DropPath(1.5) | drop_prob=1.5 | from 0 to 1
DropPath(-0.5) | drop_prob=-0.5 | from 0 to 1
EcaModule(kernel_size=4) | kernel_size=4 | 3 or 5
EcaModule(0) | channels=0 | 1 or more
EcaModule(24, gamma=0) | gamma=0 | above 0
EcaModule(24, use_mlp=True, act_layer='gleu') | 'gleu' | 'gelu'
EcaModule(use_mlp=True) | use_mlp=True | channels
EffectiveSEModule(24, gate_layer='sigmiod') | 'sigmiod' | 'sigmoid'
EvoNorm2dB0(-3) | num_features=-3 | 1 or more
EvoNorm2dB1(0) | num_features=0 | 1 or more
EvoNorm2dB2(0) | num_features=0 | 1 or more
EvoNorm2dS0(24) | groups=32 | groups=24
EvoNorm2dS0a(24, apply_act=False) | groups=32 | groups=24
EvoNorm2dS1(24, groups=0) | groups=0 | groups=1
EvoNorm2dS1a(24, group_size=5) | group_size=5 | 4 or 6
EvoNorm2dS2(24, group_size=-4) | group_size=-4 | group_size=1
EvoNorm2dS2a(24, groups=4, act_layer='gleu') | 'gleu' | 'gelu'
FilterResponseNormAct2d(24, act_layer='gleu') | 'gleu' | 'gelu'
FilterResponseNormTlu2d(0) | num_features=0 | 1 or more
Format('HWC') | 'HWC' | Did you mean 'NHWC'?
FourierEmbed(max_res=0) | max_res=0 | 1 or more
FourierEmbed(8, -1) | num_bands=-1 | 1 or more
FrozenBatchNormAct2d(24, act_layer='gleu') | 'gleu' | 'gelu'
GatedMlp(24, 9, gate_layer=nn.Identity) | hidden_features=9 | 8 or 10
GatherExcite(24, extent=-1) | extent=-1 | 1 or more
GatherExcite(24, extent=3, extra_params=True) | extent=3 | 2 or 4
GatherExcite(24, gate_layer='sigmiod') | 'sigmiod' | 'sigmoid'
GlobalContext(24, gate_layer='sigmiod') | 'sigmiod' | 'sigmoid'
GlobalContext(24, act_layer='gleu') | 'gleu' | 'gelu'
GlobalContext(24, gate_layer=None) | gate_layer=None | 'sigmoid'
GlobalResponseNormMlp(24, drop=2) | 2 | between 0 and 1
GluMlp(24, 9) | hidden_features=9 | 8 or 10
GroupNorm(24) | num_groups=32 | num_groups=24
GroupNorm(24, 5) | num_groups=5 | 4 or 6
GroupNorm1(0) | num_channels=0 | 1 or more
GroupNorm1Act(24, act_layer='gleu') | 'gleu' | 'gelu'
GroupNormAct(24, 0) | num_groups=0 | num_groups=1
GroupNormAct(24, group_size=5) | group_size=5 | 4 or 6
HybridEmbed(nn.Conv2d(3, 8, 4, 4), 32, 3) | (3, 3) | dynamic_img_pad=True
HybridEmbed(nn.Conv2d(3, 8, 4, 4), 32, 0) | patch_size=0 | 1 or more
HybridEmbed(nn.Conv2d(3, 8, 4, 4), 32, 2, output_fmt='NCWH') | 'NCWH' | 'NCHW'
HybridEmbed(nn.Conv2d(3, 8, 4, 4), 32, 2, embed_dim=10, proj=False) | embed_dim=10 | 8
HybridEmbedWithSize(nn.Conv2d(3, 8, 4, 4), 32, 3) | (3, 3) | dynamic_img_pad=True
InplaceAbn(24, act_layer='gleu') | 'gleu' | 'leaky_relu'
LayerNorm(-1) | num_channels=-1 | 1 or more
LayerNorm2d((8, 0)) | num_channels=(8, 0) | 1 or more
LayerNorm2dFp32(0) | num_channels=0 | 1 or more
LayerNormAct(24, act_layer='gleu') | 'gleu' | 'gelu'
LayerNormAct2d(24, act_layer='gleu') | 'gleu' | 'gelu'
LayerNormAct2dFp32(24, act_layer='gleu') | 'gleu' | 'gelu'
LayerNormActFp32(24, act_layer='gleu') | 'gleu' | 'gelu'
LayerNormFp32(0) | num_channels=0 | 1 or more
LayerScale(0) | dim=0 | 1 or more
LayerScale2d(-1) | dim=-1 | 1 or more
LsePlus1d(0.0) | r=0.0 | 0.1
LsePlus2d(0) | r=0 | 0.1
MixedConv2d(2, 8, [3, 5, 7]) | [3, 5, 7] | 1 to 2
MixedConv2d(24, 8, []) | kernel_size=[] | 1 to 8
MixedConv2d(24, 8, [3, 0]) | kernel_size=0 | 1 or more
MixedConv2d(24, 8, [3, 5], padding='smae') | 'smae' | 'same'
MixedConv2d(24, 8, [3, 5], depthwise=True) | out_channels=8 | 24
Mlp(24, drop=(0.1, 0.2, 0.3)) | (0.1, 0.2, 0.3) | or 2
Mlp(24, bias=()) | bias=() | or 2
Mlp(24, drop=2) | 2 | between 0 and 1
MultiQueryAttention2d(24, num_heads=0) | num_heads=0 | 1 or more
MultiQueryAttention2d(24, num_heads=32) | key_dim=0 | 1 or more
MultiQueryAttention2d(24, num_heads=4, padding='smae') | 'smae' | 'same'
MultiQueryAttention2d(24, num_heads=4, kv_stride=0) | kv_stride=0 | 1 or more
MultiQueryAttention2d(24, num_heads=4, query_strides=(1, 2, 3)) | (1, 2, 3) | or 2
MultiQueryAttentionV2(24, num_heads=0) | num_heads=0 | 1 or more
MultiQueryAttentionV2(24, key_dim=0) | key_dim=0 | 1 or more
NonLocalAttn(32, rd_divisor=0) | divisor=0 | 1 or more
NormMlpClassifierHead(24, 10, norm_layer='layernrm') | 'layernrm' | 'layernorm'
NormMlpClassifierHead(24, 10, act_layer='tahn') | 'tahn' | Did you mean 'tanh'?
NormMlpClassifierHead(24, 10, pool_type='catavgmax') | 'catavgmax' | 'avgmax'
PatchDropout(1.0) | prob=1.0 | less than 1
PatchDropout(-0.1) | prob=-0.1 | from 0 to 1
PatchDropout(0.5, num_prefix_tokens=-1) | num_prefix_tokens=-1 | 0 or more
PatchDropoutWithIndices(1.5) | prob=1.5 | from 0 to 1
PatchEmbed(32, 0) | patch_size=0 | 1 or more
PatchEmbed(32, (8, 8, 8)) | patch_size=(8, 8, 8) | or 2
PatchEmbed(32, 64) | patch_size=(64, 64) | (32, 32)
PatchEmbed(32, 8, output_fmt='NCWH') | 'NCWH' | 'NCHW'
PatchEmbed(32, 8).set_input_size(4) | img_size=(4, 4) | dynamic_img_pad
PatchEmbed(32, 8).set_input_size(patch_size=0) | patch_size=0 | 1 or more
PatchEmbedInterpolator((4, 4, 4)) | (4, 4, 4) | or 2
PatchEmbedInterpolator((4, 4), interpolation='bicubc') | 'bicubc' | Did you mean 'bicubic'?
PatchEmbedWithSize((32, 4), 8) | img_size=(32, 4) | dynamic_img_pad
RelPosBias((3, 2), 4, prefix_tokens=2) | prefix_tokens=2 | 0 or 1
RelPosBias((3, 0), 4) | window_size=(3, 0) | 1 or more
RelPosBias((3, 2), 0) | num_heads=0 | 1 or more
RelPosBias((3, 2), 4).set_window_size((3,)) | window_size=(3,) | or 2
RelPosBiasTf((3,), 4) | window_size=(3,) | or 2
RelPosMlp((3, 2), 4, mode='rw') | 'rw' | 'swin' or 'cr'
RelPosMlp((3, 2), 4, mode='swin', pretrained_window_size=(4, 0)) | (4, 0) | (0, 0)
RmsNorm(-2) | channels=-2 | 1 or more
RmsNorm2d((4, 0)) | channels=(4, 0) | 1 or more
RmsNorm2dFp32(0) | channels=0 | 1 or more
RmsNormAct(24, act_layer='gleu') | 'gleu' | 'gelu'
RmsNormAct2d(24, act_layer='gleu') | 'gleu' | 'gelu'
RmsNormAct2dFp32(24, act_layer='gleu') | 'gleu' | 'gelu'
RmsNormActFp32(24, act_layer='gleu') | 'gleu' | 'gelu'
RmsNormFp32(0) | channels=0 | 1 or more
RotAttentionPool2d(24, num_heads=5) | num_heads=5 | 4 or 6
RotAttentionPool2d(24, num_heads=4) | dim=6 | 4 or 8
RotAttentionPool2d(24, num_heads=3, rope_type='dog') | 'dog' | 'cat'
RotAttentionPool2d(24, num_heads=3, rope_type='mixed') | 'mixed' | 'cat'
RotaryEmbedding(15) | dim=15 | 12 or 16
RotaryEmbedding(16, grid_type='pixels') | 'pixels' | Did you mean 'pixel'?
RotaryEmbedding(16, grid_indexing='yx') | 'yx' | 'ij', 'xy'
RotaryEmbedding(16, normalize_coords='no') | 'no' | 'separate'
RotaryEmbedding(16, feat_shape=(3,)) | feat_shape=(3,) | a height and a width
RotaryEmbedding(16, ref_feat_shape=(3,)) | ref_feat_shape=(3,) | a height and a width
RotaryEmbedding(16, temperature=0, in_pixels=False) | temperature=0 | above 0
RotaryEmbedding(16, jitter_coords=0.5) | jitter_coords=0.5 | 1.0 or more
RotaryEmbedding(16, shift_coords=-1.0) | shift_coords=-1.0 | 0.0 or more
RotaryEmbeddingCat(18) | dim=18 | 16 or 20
RotaryEmbeddingCat(16, rescale_coords=0.5) | rescale_coords=0.5 | 1.0 or more
RotaryEmbeddingDinoV3(18) | dim=18 | 16 or 20
RotaryEmbeddingDinoV3(16, temperature=None) | temperature=None | 100.0
RotaryEmbeddingDinoV3(16, normalize_coords='no') | 'no' | 'separate'
RotaryEmbeddingMRope(15) | dim=15 | 14 or 16
RotaryEmbeddingMRope(16, (1, 2)) | (1, 2) | 3 numbers
RotaryEmbeddingMRope(16, grid_indexing='xy') | 'xy' | 'ij'
RotaryEmbeddingMRope(16, (2, 3, 3)).get_embed([1, 2, 3]) | [1, 2, 3] | Expected 2 spatial dimensions
RotaryEmbeddingMixed(48, 2, 5) | num_heads=5 | 4 or 6
RotaryEmbeddingMixed(18, 2, 3) | dim=6 | 4 or 8
RotaryEmbeddingMixed(48, 0, 3) | depth=0 | 1 or more
RotaryEmbeddingMixed(48, 2, 3, grid_indexing='yx') | 'yx' | 'ij', 'xy'
RotaryEmbeddingMixed(48, 2, 3)(torch.ones(1, 48, 3, 3), 5) | block_index=5 | 0 to 1
SEModule(0) | channels=0 | 1 or more
SEModule(24, gate_layer='sigmiod') | 'sigmiod' | 'sigmoid'
SEModule(24, gate_layer=None) | gate_layer=None | 'sigmoid'
SEModule(24, rd_ratio=-1) | rd_ratio=-1 | above 0
SEModule(24, rd_divisor=0) | rd_divisor=0 | 1 or more
ScaledStdConv2d(24, 8, 3, padding='smae') | 'smae' | 'same'
ScaledStdConv2dSame(24, 8, 3, padding='smae') | 'smae' | 'same'
SelectAdaptivePool2d(pool_type='agv') | 'agv' | Did you mean 'avg'?
SelectAdaptivePool2d(pool_type='', input_fmt='NCWH') | 'NCWH' | Did you mean 'NCHW'?
SelectAdaptivePool2d(output_size=2) | not to 2 | without 'fast'
SelectAdaptivePool2d(output_size=(1, 2, 3), pool_type='avg') | (1, 2, 3) | or 2
SelectiveKernel(24, kernel_size=4) | kernel_size=4 | 3 or 5
SelectiveKernel(24, kernel_size=[]) | kernel_size=[] | [3, 5]
SelectiveKernel(25) | 25 channels | split_input=False
SeparableConv2d(24, 8, channel_multiplier=0.5) | channel_multiplier=0.5 | 1 or more
SeparableConv2d(24, 8, padding='smae') | 'smae' | 'same'
SeparableConvNormAct(24, 8, norm_layer='batchnrm') | 'batchnrm' | 'batchnorm'
SeparableConvNormAct(24, 8, act_layer='gleu') | 'gleu' | 'gelu'
SimPool1d(24, 5) | num_heads=5 | 4 or 6
SimPool1d(24, 4, gamma=0) | gamma=0 | above 0
SimPool2d(24, 5) | num_heads=5 | 4 or 6
SimpleNorm(-2) | channels=-2 | 1 or more
SimpleNorm2d(0) | channels=0 | 1 or more
SimpleNorm2dFp32(0) | channels=0 | 1 or more
SimpleNormFp32(0) | channels=0 | 1 or more
SpaceToDepth(-2) | block_size=-2 | 1 or more
SplitAttn(24, radix=0) | radix=0 | 1 or more
SplitAttn(24, groups=5) | groups=5 | 4 or 6
SplitAttn(24, groups=8) | groups * radix=16 | 12 or 24
SplitAttn(24, groups=4, rd_channels=3) | groups=4 | 3 or 6
SplitAttn(24, kernel_size=0) | kernel_size=0 | 1 or more
SplitBatchNorm2d(8, num_splits=1) | num_splits=1 | 2 or more
StdConv2d(24, 8, 3, groups=5) | groups=5 | 4 or 6
StdConv2d(24, 8, 3, padding='smae') | 'smae' | 'same'
StdConv2dSame(24, 8, (3, 3, 3)) | kernel_size=(3, 3, 3) | or 2
SwiGLU(24, align_to=-3) | align_to=-3 | 0
SwiGLU(24, drop=2) | 2 | between 0 and 1
SwiGLUPacked(24, 9) | hidden_features=9 | 8 or 10
adaptive_avgmax_pool2d(x, -1) | -1 | 1 or more
build_fourier_pos_embed([3, 5], grid_type='pixels') | pixels | 'pixel'
build_fourier_pos_embed([3, 5], grid_indexing='yx') | yx | 'ij' or 'xy'
build_fourier_pos_embed([3, 5], grid_type='centered', normalize_coords='no') | no | 'separate'
build_fourier_pos_embed([3, 5], num_bands=-1) | num_bands=-1 | use 0
build_fourier_pos_embed([3, 5], ref_feat_shape=[3]) | [3] | each axis
build_fourier_pos_embed([3, 5], jitter_coords=0.5) | jitter_coords=0.5 | 1.0 or more
build_fourier_pos_embed([]) | [] | [14, 14]
build_rotary_pos_embed([3, 5], dim=10) | dim=10 | multiple of 4
build_sincos2d_pos_embed([3, 5], dim=10) | dim=10 | 8 or 12
build_sincos2d_pos_embed([3]) | [3] | a height and a width
build_sincos2d_pos_embed([3, 5], temperature=0) | temperature=0 | 1.0 or more
calculate_drop_path_rates(1.5, 4) | drop_path_rate=1.5 | from 0 to 1
calculate_drop_path_rates(0.1, -4) | depths=-4 | 0 or more
calculate_drop_path_rates(0.1, [2, -1]) | depths=[2, -1] | 0 or more
calculate_drop_path_rates(0.1, 4, stagewise=True) | depths=4 | each stage
convert_splitbn_model(nn.BatchNorm2d(4), 1) | num_splits=1 | 2 or more
create_aa('blurr', 4) | 'blurr' | Did you mean 'blur'?
create_aa('avg', 4, stride=0) | stride=0 | 1 or more
create_act_layer('gleu') | 'gleu' | Did you mean 'gelu'?
create_attn('ecaa', 24) | 'ecaa' | Did you mean 'eca'?
create_attn('se', 0) | channels=0 | 1 or more
create_classifier(24, 10, pool_type='agv') | 'agv' | 'avg'
create_classifier(24, 10, drop_rate=2) | 2 | between 0 and 1
create_classifier(24, 10, input_fmt='NCWH') | 'NCWH' | 'NCHW'
create_conv2d(24, 8, 3, padding='smae') | 'smae' | 'same'
create_conv2d(24, 8, [3, 5], groups=2) | groups=2 | [3, 5]
create_conv2d(24, 8, []) | [] | 1 to 8
create_conv2d(24, 8, 3, groups=5) | groups=5 | 4 or 6
create_conv2d(24, 8, 3, num_experts=-1) | num_experts=-1 | 0
create_conv2d(24, 25, 3, depthwise=True) | out_channels=25 | 24 or 48
create_conv2d(24, 24, 3, depthwise=True, groups=2) | groups=2 | leave one
create_feature_extractor(nn.Sequential(nn.Linear(3, 3)), 'foo') | 'foo' | get_graph_node_names
create_norm_act_layer('layernrm', 8) | 'layernrm' | 'layernorm'
create_norm_act_layer('layernorm', 8, act_layer='gleu') | 'gleu' | 'gelu'
create_norm_act_layer('', 8) | '' | 'batchnorm'
create_norm_layer('layernrm', 8) | 'layernrm' | 'layernorm'
create_norm_layer(None, 8) | None | 'layernorm'
create_norm_layer('layernorm', -8) | -8 | 1 or more
create_pool2d('averag', 3) | 'averag' | Did you mean 'avg'?
create_pool2d('avg', 3, padding='smae') | 'smae' | 'same'
create_pool2d('max', 0) | kernel_size=0 | 1 or more
create_rope_embed('dog') | 'dog' | 'cat'
create_rope_embed('mixed', depth=2, rotate_half=True) | 'mixed' | rotate_half=False
create_rope_embed('cat', dim=50, num_heads=3) | num_heads=3 | 2 or 5
drop_block_2d(x, 1.5) | drop_prob=1.5 | from 0 to 1
drop_block_2d(x, 0.1, 0) | block_size=0 | use 1
drop_block_2d(t, 0.1) | 3 axes | (B, C, H, W)
drop_path(t, 1.5, True) | drop_prob=1.5 | from 0 to 1
extend_tuple([], 3) | 3 items | at least one
extend_tuple([1], -1) | -1 | 0 or more
freeze_batch_norm_2d(nn.BatchNorm2d(4, track_running_stats=False)) | BatchNorm2d(4 | track_running_stats=True
freq_bands(-3) | num_bands=-3 | 0
freq_bands(4, step=0) | step=0 | 1
gen_relative_log_coords((2, 3), mode='rw') | 'rw' | 'swin' or 'cr'
gen_relative_log_coords((2,)) | (2,) | or 2
gen_relative_position_index((2, 3), (3, 2)) | (3, 2) | k_size=None
gen_relative_position_index((2,)) | (2,) | or 2
get_act_fn('gleu') | 'gleu' | 'gelu'
get_act_layer('gleu') | 'gleu' | 'gelu'
get_attn('ecaa') | 'ecaa' | 'eca'
get_channel_dim('HWC') | 'HWC' | 'NHWC'
get_condconv_initializer(nn.init.zeros_, 3, (2, 1, 3, 3))(torch.empty(3, 17)) | (3, 17) | (3, 18)
get_mixed_freqs(torch.ones(3, 2, 3, 4), torch.ones(5), torch.ones(5)) | [3, 2, 3, 4] | (2, depth, heads, D / 2)
get_norm_act_layer('layernrm') | 'layernrm' | 'layernorm'
get_norm_act_layer('layernorm', 'gleu') | 'gleu' | 'gelu'
get_norm_act_layer(partial(nn.GroupNorm, 4)) | 4 | by name
get_norm_layer('layernrm') | 'layernrm' | 'layernorm'
get_padding(0) | kernel_size=0 | 1 or more
get_padding((3, 5, 7)) | (3, 5, 7) | or 2
get_same_padding(7, 3, 0, 1) | stride=0 | 1 or more
get_spatial_dim('HWC') | 'HWC' | 'NHWC'
global_pool_nlc(t, 'mean') | 'mean' | 'avg'
global_pool_nlc(t, 'avg', num_prefix_tokens=-1) | num_prefix_tokens=-1 | 0 or more
lecun_normal_(torch.empty(3)) | fewer than 2 | dimensions
make_divisible(10, 0) | divisor=0 | 1 or more
nchw_to(x, 'HWC') | 'HWC' | 'NHWC'
nhwc_to(x, 'HWC') | 'HWC' | 'NHWC'
pad_same(x, [3, 3], [0, 2]) | stride=0 | 1 or more
patch_dropout_forward(t, 1.5, 1, False, True) | prob=1.5 | from 0 to 1
patch_dropout_forward(t, 0.5, -1, False, True) | num_prefix_tokens=-1 | 0 or more
pixel_freq_bands(-3) | num_bands=-3 | 0
pixel_freq_bands(3, max_freq=0) | max_freq=0 | more than 0
resample_abs_pos_embed(torch.ones(1, 14, 6), [6, 5], num_prefix_tokens=2) | 12 positions | old_size
resample_abs_pos_embed(torch.ones(1, 17, 6), [6, 5], [3, 4]) | [3, 4] | 16 positions
resample_abs_pos_embed(torch.ones(1, 17, 6), [6, 5], interpolation='bicubc') | bicubc | 'bicubic'
resample_abs_pos_embed(torch.ones(1, 17, 6), [6]) | [6] | 2 numbers
resample_abs_pos_embed(torch.ones(17, 6), [6, 5]) | 2 axes | 3 axes
resample_abs_pos_embed_nhwc(torch.ones(1, 4, 4, 6), [6]) | [6] | 2 numbers
resample_abs_pos_embed_nhwc(torch.ones(4, 6), [6, 5]) | 2 axes | (1, H, W, C)
resample_patch_embed(torch.ones(5, 3, 4, 4), [6]) | [6] | 2 numbers
resample_patch_embed(torch.ones(5, 3, 4, 4), [0, 3]) | (0, 3) | 1 or more
resample_patch_embed(torch.ones(5, 3, 4), [6, 6]) | (5, 3, 4) | four axes
resample_patch_embed(torch.ones(5, 3, 4, 4), [6, 6], interpolation='bicubc') | 'bicubc' | 'bicubic'
resize_rel_pos_bias_table(torch.ones(168, 4), (9, 9), (289, 4)) | 168 | old_window_size
resize_rel_pos_bias_table(torch.ones(169), (9, 9), (289, 4)) | (169,) | (offsets, heads)
resize_rel_pos_bias_table_levit(torch.ones(49, 4), (81, 8)) | 8 heads | use 4
resize_rel_pos_bias_table_levit(torch.ones(48, 4), (81, 4)) | 48 | 36 or 49
resize_rel_pos_bias_table_levit(torch.ones(49, 4), (81, 4), interpolation='bicubc') | bicubc | 'bicubic'
resize_rel_pos_bias_table_simple(torch.ones(168, 4), (9, 9), (289, 4)) | 168 | old_window_size
select_adaptive_pool2d(x, 'agv') | 'agv' | 'avg'
to_ntuple(0) | n=0 | 1 or more
trunc_normal_(torch.empty(3), a=2, b=-2) | b=-2 | a < b
trunc_normal_tf_(torch.empty(3), std=-1) | std=-1 | std >= 0
variance_scaling_(torch.empty(3, 3), mode='fan') | 'fan' | 'fan_in'
variance_scaling_(torch.empty(3, 3), distribution='normel') | 'normel' | Did you mean 'normal'?
variance_scaling_(torch.empty(3, 3), scale=-1) | scale=-1 | 0.0 or more
"""

# the same for arguments of the wrong type
TYPES = """
AdaptiveAvgMaxPool2d('a') | 'a' | whole number
Attention(24, 4.0) | num_heads=4.0 | whole number
Attention(24, 4, qk_norm=True, norm_layer='layernorm') | 'layernorm' | get_norm_layer('layernorm')
AttentionPoolLatent(24, act_layer='gelu') | 'gelu' | get_act_layer('gelu')
AttentionPoolPrr(24, norm_layer=3) | norm_layer=3 | class or function
BatchNormAct2d(24, act_layer=3) | 3 | a name such as
ClassifierHead(24, 'a') | 'a' | whole number
ConvMlp(24, act_layer='gelu') | 'gelu' | get_act_layer('gelu')
DropPath('a') | drop_prob='a' | from 0 to 1
DropPath(None) | drop_prob=None | 0.0 for none
GatedMlp(24, gate_layer='relu') | gate_layer='relu' | class or function
GlobalResponseNormMlp(24, act_layer='gelu') | 'gelu' | get_act_layer('gelu')
GluMlp(24, norm_layer='layernorm') | 'layernorm' | get_norm_layer('layernorm')
HybridEmbed('resnet', 32, 2) | 'resnet' | a module, or a class
HybridEmbed(nn.Conv2d(3, 8, 4, 4), 32, 2, feature_size=8) | Conv2d | feature_size=None
LayerNorm('a') | 'a' | whole number
Mlp(24, act_layer='gelu') | 'gelu' | get_act_layer('gelu')
Mlp(24, act_layer=None) | act_layer=None | nn.Identity
PatchEmbed(32, 8, norm_layer='layernorm') | 'layernorm' | get_norm_layer('layernorm')
RmsNorm(2.0) | 2.0 | whole number
SEModule(24, norm_layer='batchnorm') | 'batchnorm' | get_norm_layer('batchnorm')
SelectAdaptivePool2d(pool_type=3) | pool_type=3 | 'avg'
SplitAttn(24, act_layer='relu') | 'relu' | get_act_layer('relu')
SwiGLU(24, act_layer='silu') | 'silu' | get_act_layer('silu')
TestTimePoolHead(nn.Linear(3, 3)) | Linear | timm.create_model
convert_sync_batchnorm(3) | 3 | nn.Module
create_aa(3, 4) | aa_layer=3 | 'blur'
create_act_layer(3) | 3 | a name such as
create_attn(3, 24) | attn_type=3 | 'se'
create_feature_extractor(3, 'x') | 3 | nn.Module
freeze_batch_norm_2d(3) | 3 | nn.Module
get_act_fn(3) | 3 | a name such as
get_condconv_initializer('zeros', 3, (2, 1, 3, 3)) | 'zeros' | nn.init.
get_graph_node_names(3) | 3 | nn.Module
get_norm_act_layer(3) | 3 | a name such as
get_norm_layer(3) | 3 | a name such as
init_weight_jax(3, 'a') | 3 | nn.Module
init_weight_vit(3, 'a') | 3 | nn.Module
register_notrace_function(3) | 3 | dotted path
register_notrace_module(3) | 3 | class
resolve_self_attn_mask(3, torch.ones(3, 3), torch.ones(3, 3, dtype=torch.long)) | torch.int64 | torch.bool
set_exportable('a') | 'a' | True or False
set_fast_norm('a') | 'a' | True or False
set_fused_attn('false') | 'false' | True or False
set_layer_config(no_jit='a') | no_jit='a' | True or False
set_no_jit('a') | 'a' | True or False
set_reentrant_ckpt('a') | 'a' | True or False
set_scriptable('a') | 'a' | True or False
to_ntuple('a') | 'a' | whole number
trunc_normal_('a') | 'a' | a tensor
unfreeze_batch_norm_2d(3) | 3 | nn.Module
"""

# Public names that stand in neither table -> why.
ACCEPT_ALL = {
    'torch names what does not fit, as it does for its own class': (
        'Linear PReLU SyncBatchNormAct conv2d_same fast_group_norm fast_layer_norm is_meta_device meshgrid ndgrid'
    ),
    'shapes are compared by the operations themselves': (
        'apply_keep_indices_nlc apply_rot_embed apply_rot_embed_cat apply_rot_embed_list maybe_add_mask'
    ),
    'a flag is all there is to give': (
        'GELU GELUTanh HardMish HardSigmoid HardSwish Mish QuickGELU Sigmoid Swish Tanh gelu gelu_tanh hard_mish '
        'hard_sigmoid hard_swish mish quick_gelu sigmoid swish tanh use_fused_attn'
    ),
    'there is nothing to give, or anything will do': (
        'apply_test_time_pool disable_compiler get_device_dtype get_notrace_functions get_notrace_modules '
        'is_exportable is_exporting is_fast_norm is_no_jit is_notrace_function is_notrace_module is_scriptable '
        'to_2tuple to_3tuple to_4tuple use_reentrant_ckpt'
    ),
    'types': 'LayerType PadType',
    'other names of one': (
        'CircularEfficientChannelAttn ConvBnAct ConvNormActAa EffectiveSqueezeExcite EfficientChannelAttn SqueezeExcite'
    ),
}

NAMES = {**vars(layers), 'nn': nn, 'partial': partial, 'torch': torch, 't': torch.ones(2, 7, 24)}
NAMES['x'] = torch.ones(2, 24, 6, 4)


def rows(table):
    found = [line.split(' | ') for line in table.strip().splitlines()]
    return pytest.mark.parametrize(('call', 'value', 'accepted'), found, ids=[row[0] for row in found])


def refusal(call, error):
    """The message with which a call is refused."""
    switches = layers.is_exportable(), layers.is_fast_norm(), layers.use_fused_attn()
    with pytest.raises(error) as caught:
        eval(call, NAMES)
    assert (layers.is_exportable(), layers.is_fast_norm(), layers.use_fused_attn()) == switches
    return str(caught.value)


@rows(VALUES)
def test_a_bad_value_is_answered_with_what_is_accepted(call, value, accepted):
    message = refusal(call, ValueError)
    assert value in message
    assert accepted in message


@rows(TYPES)
def test_a_wrong_type_is_answered_with_what_is_accepted(call, value, accepted):
    message = refusal(call, TypeError)
    assert value in message
    assert accepted in message


def test_every_public_name_refuses_something_or_says_why_not():
    tried = set(re.findall(r'^\w+', VALUES + TYPES, flags=re.MULTILINE))
    excused = set(' '.join(ACCEPT_ALL.values()).split())
    assert tried | excused == set(layers.__all__)
    assert not tried & excused


# Calls of which the published layers answer some with an AssertionError.
@pytest.mark.parametrize(
    'call',
    [
        'Attention(24, 5)',
        "AttentionPool2d(24, num_heads=4, pool_type='avg')",
        'BlurPool2d(24, filt_size=1)',
        "SelectAdaptivePool2d(pool_type='agv')",
        "create_attn('ecaa', 24)",
        'PatchDropout(1.0)',
        "RelPosMlp((3, 2), 4, mode='rw')",
        'gen_relative_position_index((2, 3), (3, 2))',
        'build_sincos2d_pos_embed([3, 5], dim=10)',
    ],
)
def test_code_that_expects_an_assertion_is_served_too(call):
    assert issubclass(BadValue, ValueError)
    refusal(call, AssertionError)


@pytest.mark.parametrize(
    ('layer', 'shape', 'value', 'accepted'),
    [
        (layers.PatchEmbed(32, 8), (1, 3, 40, 32), '40', '32'),
        (layers.PatchEmbed(32, 8, strict_img_size=False), (1, 3, 36, 32), '36', 'multiple of the patch height 8'),
        (layers.SpaceToDepth(4), (1, 3, 8, 6), '6', 'multiple of block_size=4'),
        (layers.DepthToSpace(2), (1, 6, 8, 8), '6 channels', 'block_size=2'),
        (layers.BatchNormAct2d(3), (2, 3, 8), '', '(B, C, H, W)'),
        (layers.GatherExcite(8, (4, 6), extra_params=True), (1, 8, 4, 5), '5', '6'),
        (layers.BatNonLocalAttn(32, block_size=7), (1, 32, 14, 15), '15', 'block_size=7'),
    ],
)
def test_a_map_that_does_not_fit_is_refused_by_an_assertion(layer, shape, value, accepted):
    with pytest.raises(AssertionError) as caught:
        layer(torch.ones(shape))
    assert value in str(caught.value)
    assert accepted in str(caught.value)


class Sizes(list):
    """A sequence of its own kind, such as configuration files give."""


@pytest.mark.parametrize('pair', [(4, 6), [4, 6], Sizes([4, 6]), torch.Size([4, 6]), torch.tensor([4, 6])])
def test_sizes_may_come_in_any_sequence(pair):
    embed = layers.PatchEmbed((8, 12), pair)
    assert embed.patch_size == (4, 6)
    assert all(type(size) is int for size in embed.patch_size)
    assert layers.Conv2dSame(3, 4, tuple(int(size) for size in pair)).kernel_size == (4, 6)
    assert layers.RelPosBias(pair, 2).window_size == (4, 6)
