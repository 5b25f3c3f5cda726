"""What layers.py times: every layer that `timm.layers` publishes, and the functions that run in every step.

An expression is evaluated where the names of `timm.layers`, its modules, `torch`, `nn` and `partial` are known.
"""

from dataclasses import dataclass

MAP = (8, 64, 28, 28)
NHWC = (8, 28, 28, 64)
SMALL_MAP = (8, 64, 14, 14)
TOKENS = (8, 196, 192)
IMAGE = (8, 3, 64, 64)
SCORES = (8, 4, 196, 196)

Input = tuple[int, ...] | str


@dataclass(frozen=True)
class Case:
    """A layer or function and what it is called with.

    Attributes:
        build: Expression of what is called.
        inputs: Shape of a random tensor, or an expression, for each positional argument.
    """

    build: str
    inputs: tuple[Input, ...] = (MAP,)

    @property
    def layer(self) -> str:
        """The name of the class or function."""
        return self.build.partition('(')[0]


def maps(*builds: str) -> list[Case]:
    """Cases that take a feature map."""
    return [Case(build) for build in builds]


def tokens(*builds: str) -> list[Case]:
    """Cases that take a sequence."""
    return [Case(build, (TOKENS,)) for build in builds]


NOT_TIMED = {
    'InplaceAbn': 'its forward is that of an optional package',
    'SyncBatchNormAct': 'trains on several GPUs only',
    'TestTimePoolHead': 'its time is that of the model inside',
}

LAYERS = [
    # activations
    *maps('GELU()', 'GELUTanh()', 'HardMish()', 'HardSigmoid()', 'HardSwish()', 'Mish()', 'PReLU()', 'QuickGELU()'),
    *maps('Sigmoid()', 'Swish()', 'Tanh()', 'activations_me.SwishMe()', 'activations_me.MishMe()'),
    *maps('activations_me.HardSigmoidMe()', 'activations_me.HardSwishMe()', 'activations_me.HardMishMe()'),
    # norms
    *maps('GroupNorm(64)', 'GroupNorm1(64)', 'LayerNorm2d(64)', 'LayerNorm2dFp32(64)', 'RmsNorm2d(64)'),
    *maps('RmsNorm2dFp32(64)', 'SimpleNorm2d(64)', 'SimpleNorm2dFp32(64)', 'norm.LayerNormExp2d(64)'),
    *tokens('LayerNorm(192)', 'LayerNormFp32(192)', 'RmsNorm(192)', 'RmsNormFp32(192)'),
    *tokens('SimpleNorm(192)', 'SimpleNormFp32(192)'),
    Case('grn.GlobalResponseNorm(64)', (NHWC,)),
    Case('grn.GlobalResponseNorm(64, channels_last=False)'),
    # norms with activation
    *maps('BatchNormAct2d(64)', "BatchNormAct2d(64, act_layer='silu')", 'FrozenBatchNormAct2d(64)'),
    *maps('GroupNormAct(64)', 'GroupNorm1Act(64)', 'LayerNormAct2d(64)', 'LayerNormAct2dFp32(64)'),
    *maps('RmsNormAct2d(64)', 'RmsNormAct2dFp32(64)', 'SplitBatchNorm2d(64)'),
    *maps('EvoNorm2dB0(64)', 'EvoNorm2dB1(64)', 'EvoNorm2dB2(64)', 'EvoNorm2dS0(64)', 'EvoNorm2dS0a(64)'),
    *maps('EvoNorm2dS1(64)', 'EvoNorm2dS1a(64)', 'EvoNorm2dS2(64)', 'EvoNorm2dS2a(64)'),
    *maps('FilterResponseNormAct2d(64)', 'FilterResponseNormTlu2d(64)'),
    *tokens('LayerNormAct(192)', 'LayerNormActFp32(192)', 'RmsNormAct(192)', 'RmsNormActFp32(192)'),
    # convolutions
    *maps('Conv2dSame(64, 64, 3, stride=2)', 'ConvNormAct(64, 64, 3)', 'ConvNormAct(64, 64, 1)'),
    *maps("ConvNormAct(64, 64, 3, stride=2, aa_layer='blur')", 'MixedConv2d(64, 64, [3, 5])'),
    *maps('ScaledStdConv2d(64, 64, 3)', 'ScaledStdConv2dSame(64, 64, 3, stride=2)', 'StdConv2d(64, 64, 3)'),
    *maps('StdConv2dSame(64, 64, 3, stride=2)', 'SeparableConv2d(64, 64)', 'SeparableConvNormAct(64, 64)'),
    *maps("create_conv2d(64, 64, 3, padding='same', stride=2)", 'create_conv2d(64, 64, 3, depthwise=True)'),
    Case('CondConv2d(64, 64)', (MAP, (8, 4))),
    # attention over channels or the map
    *maps('CecaModule(64)', 'EcaModule(64)', 'EcaModule(64, use_mlp=True)', 'EffectiveSEModule(64)', 'SEModule(64)'),
    *maps('SEModule(64, norm_layer=nn.BatchNorm2d)', 'GatherExcite(64)', 'GatherExcite(64, extent=4)'),
    *maps('GatherExcite(64, extra_params=True, extent=2)', 'GlobalContext(64)', 'GlobalContext(64, fuse_add=True)'),
    *maps('cbam.CbamModule(64)', 'cbam.LightCbamModule(64)', 'SelectiveKernel(64)', 'SplitAttn(64)'),
    *maps('NonLocalAttn(64)', 'BatNonLocalAttn(64)', 'coord_attn.CoordAttn(64)', 'coord_attn.SimpleCoordAttn(64)'),
    *maps('coord_attn.EfficientLocalAttn(64)', 'coord_attn.StripAttn(64)'),
    Case('bottleneck_attn.BottleneckAttn(64, feat_size=(14, 14))', (SMALL_MAP,)),
    Case('lambda_layer.LambdaLayer(64)', (SMALL_MAP,)),
    Case('lambda_layer.LambdaLayer(64, feat_size=(14, 14), r=None)', (SMALL_MAP,)),
    Case('halo_attn.HaloAttn(64)', ((8, 64, 16, 16),)),
    Case('squeeze_excite.SqueezeExciteCl(64)', (NHWC,)),
    Case('Attention2d(64, num_heads=4)', (SMALL_MAP,)),
    Case('MultiQueryAttention2d(64)', (SMALL_MAP,)),
    Case('MultiQueryAttention2d(64, query_strides=2, kv_stride=2)', (SMALL_MAP,)),
    Case('MultiQueryAttentionV2(64)', (SMALL_MAP,)),
    # attention over tokens
    *tokens('Attention(192, num_heads=3)', 'Attention(192, num_heads=3, qk_norm=True, norm_layer=LayerNorm)'),
    *tokens('AttentionRope(192, num_heads=3)', 'DiffAttention(192, num_heads=3)'),
    Case('AttentionRope(192, num_heads=3)', (TOKENS, (195, 128))),
    Case('Attention(192, num_heads=3)', (TOKENS, 'torch.zeros(8, 1, 196, 196)')),
    # feed-forward
    *tokens('Linear(192, 192)', 'Mlp(192, 768)', 'Mlp(192, 768, norm_layer=LayerNorm)', 'GluMlp(192, 768)'),
    *tokens('SwiGLU(192, 768)', 'SwiGLUPacked(192, 768)', 'GatedMlp(192, 768)'),
    Case('ConvMlp(64, 128)'),
    Case('GlobalResponseNormMlp(64, 128)', (NHWC,)),
    Case('GlobalResponseNormMlp(64, 128, use_conv=True)'),
    # scaling and dropping
    *tokens('LayerScale(192)', 'DropPath(0.2)', 'PatchDropout(0.5)'),
    *tokens('PatchDropout(0.5, ordered=True)', 'PatchDropoutWithIndices(0.5)'),
    *maps('LayerScale2d(64)', 'DropPath(0.2)', 'DropBlock2d(0.1)', 'DropBlock2d(0.1, couple_channels=False)'),
    # pooling
    *maps('AdaptiveAvgMaxPool2d()', 'AvgPool2dSame(3, 2)', 'pool2d_same.MaxPool2dSame(3, 2)', 'BlurPool2d(64)'),
    *maps('BlurPool2d(64, filt_size=4, stride=2)', 'median_pool.MedianPool2d()', 'LsePlus2d()', 'SimPool2d(64)'),
    *[
        Case(f"SelectAdaptivePool2d(pool_type='{pool}', flatten=True)")
        for pool in ('avg', 'max', 'avgmax', 'catavgmax', 'fast', 'fastmax', 'fastavgmax', 'fastcatavgmax')
    ],
    *tokens('LsePlus1d()', 'SimPool1d(192)', 'AttentionPoolLatent(192, num_heads=3)', 'AttentionPoolPrr(192)'),
    Case('AttentionPool2d(64, feat_size=14, num_heads=4)', (SMALL_MAP,)),
    Case('RotAttentionPool2d(64, ref_feat_size=14, num_heads=4)', (SMALL_MAP,)),
    # heads
    *maps('ClassifierHead(64, 100)', "ClassifierHead(64, 100, pool_type='catavgmax', use_conv=True)"),
    *maps('NormMlpClassifierHead(64, 100)', "NormMlpClassifierHead(64, 100, hidden_size=64, act_layer='gelu')"),
    Case('ClNormMlpClassifierHead(64, 100, hidden_size=64)', (NHWC,)),
    Case('ml_decoder.MLDecoder(100, initial_num_features=192, decoder_embedding=192)', (TOKENS,)),
    # patches
    Case('PatchEmbed(64, 16, embed_dim=192)', (IMAGE,)),
    Case('PatchEmbed(None, 16, embed_dim=192, dynamic_img_pad=True)', ((8, 3, 60, 60),)),
    Case('PatchEmbedWithSize(64, 16, embed_dim=192)', (IMAGE,)),
    Case('PatchEmbedInterpolator((16, 16), 3, 192)', ((8, 16, 3 * 256), (192, 3 * 256), (192,), '(16, 16)')),
    Case('PatchEmbedInterpolator((16, 16), 3, 192)', ((8, 16, 12, 12, 3), (192, 3 * 256), (192,), '(12, 12)')),
    Case('patch_embed.PatchEmbedResamplerFixedOrigSize((16, 16))', ((192, 3, 16, 16), '[12, 12]')),
    Case('HybridEmbed(nn.BatchNorm2d(3), 64, 16, feature_size=64, embed_dim=192)', (IMAGE,)),
    Case('HybridEmbedWithSize(nn.BatchNorm2d(3), 64, 16, feature_size=64, embed_dim=192)', (IMAGE,)),
    *maps('SpaceToDepth(4)', 'DepthToSpace(4)'),
    # positions
    Case('RelPosBias((14, 14), 4)', (SCORES,)),
    Case('RelPosBiasTf((14, 14), 4)', (SCORES,)),
    Case('RelPosMlp((14, 14), 4)', (SCORES,)),
    Case('FourierEmbed(28)'),
    Case('RotaryEmbedding(64).get_embed', ('[14, 14]',)),
    Case('RotaryEmbedding(64, feat_shape=(14, 14)).get_embed', ()),
    Case('RotaryEmbeddingCat(64).get_embed', ('[14, 14]',)),
    Case('RotaryEmbeddingCat(64, feat_shape=(14, 14)).get_embed', ()),
    Case('RotaryEmbeddingDinoV3(64, feat_shape=(14, 14)).get_embed', ()),
    Case('RotaryEmbeddingMixed(192, 2, 3, feat_shape=(14, 14)).get_embed', ()),
    Case('RotaryEmbeddingMRope(64).get_embed', ('[14, 14]',)),
]

FUNCTIONS = [
    Case('partial(drop_path, drop_prob=0.2, training=True)', (TOKENS,)),
    Case('partial(drop_block_2d, drop_prob=0.1)'),
    *maps('adaptive_avgmax_pool2d', 'select_adaptive_pool2d', 'partial(pad_same, kernel_size=(3, 3), stride=(2, 2))'),
    Case('conv2d_same', (MAP, (64, 64, 3, 3), 'None', '(2, 2)')),
    *tokens("partial(global_pool_nlc, pool_type='avg')", 'partial(global_pool_nlc, pool_type="token")'),
    Case('partial(patch_dropout_forward, prob=0.5, num_prefix_tokens=1, ordered=False, training=True)', (TOKENS,)),
    Case('apply_rot_embed', ((8, 3, 196, 64), (196, 64), (196, 64))),
    Case('apply_rot_embed_cat', ((8, 3, 196, 64), (196, 128))),
    Case('partial(apply_rot_embed_cat, half=True)', ((8, 3, 196, 64), (196, 128))),
    Case('lambda x, s, c: apply_rot_embed_list([x, x], s, c)', ((8, 3, 196, 64), (196, 64), (196, 64))),
    Case('apply_keep_indices_nlc', (TOKENS, (196, 128), 'torch.arange(98).expand(8, 98)')),
    Case('partial(resample_abs_pos_embed, new_size=(16, 16), num_prefix_tokens=0)', ((1, 196, 192),)),
    Case('partial(resample_abs_pos_embed, new_size=(14, 14), num_prefix_tokens=0)', ((1, 196, 192),)),
    Case('partial(resample_abs_pos_embed_nhwc, new_size=(16, 16))', ((1, 14, 14, 192),)),
    Case('partial(resample_patch_embed, new_size=(12, 12))', ((192, 3, 16, 16),)),
    Case('partial(resize_rel_pos_bias_table, new_window_size=(8, 8), new_bias_shape=(225, 4))', ((169, 4),)),
    Case('partial(build_sincos2d_pos_embed, (14, 14), dim=192)', ()),
    Case('partial(build_fourier_pos_embed, (14, 14))', ()),
    Case('partial(build_rotary_pos_embed, (14, 14))', ()),
    Case('partial(gen_relative_position_index, (14, 14))', ()),
    Case('partial(resolve_self_attn_mask, 196, is_causal=True)', (SCORES,)),
    Case('fast_layer_norm', (TOKENS, '(192,)', (192,), (192,))),
    Case('fast_group_norm', (MAP, '32', (64,), (64,))),
]
