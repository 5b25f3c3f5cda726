"""EVA and its kin: vision transformers with rotary positions, gated MLPs, inner norms, or none of these.

Papers:
    EVA, Fang et al., 2022, arXiv:2211.07636 (a plain vision transformer of 1e9 parameters)
    EVA-02, Fang et al., 2023, arXiv:2303.11331, section 2.1 (SwiGLU, sub-LN, rotary positions)
    EVA-CLIP, Sun et al., 2023, arXiv:2303.15389 (norm behind each branch in the largest network, `EvaBlockPostNorm`)
    Rotary Position Embedding for Vision Transformer, Heo et al., 2024, arXiv:2403.13298 (`rope_type` 'cat' and 'mixed')
    Perception Encoder, Bolya et al., 2025, arXiv:2504.13181 (norm before the blocks, attention pool)
    DINOv3, Simeoni et al., 2025, arXiv:2508.10104, section 3.2 (`rope_type` 'dinov3')
    Efficient Universal Perception Encoder, Zhu et al., 2026, arXiv:2603.22387 (DINOv3's networks)
    LingBot-Vision, Fu et al., 2026, arXiv:2607.05247 (the same)
    Sapiens2, Khirodkar et al., 2026, arXiv:2604.21681 (grouped keys and values, LayerScale of attention alone)

Departures: none in the arithmetic. The keys' bias, which DINOv3 masks with zeros, is left out.
Shapes: B images, N tokens (prefix tokens first), C channels, H and W patches; a tensor with no remark is (B, N, C).
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from timm.convert.eva import checkpoint_filter_fn as checkpoint_filter_fn
from timm.layers import (
    AttentionPoolLatent,
    AttentionRope,
    DropPath,
    GluMlp,
    LayerNorm,
    Mlp,
    PatchDropoutWithIndices,
    PatchEmbed,
    SwiGLU,
    apply_keep_indices_nlc,
    calculate_drop_path_rates,
    create_rope_embed,
    resample_abs_pos_embed,
    to_2tuple,
    trunc_normal_,
)
from timm.layers._device import Module
from timm.layers.pool1d import global_pool_nlc

from ._entrypoints import entrypoints
from ._input import update_model_args, update_model_input_size
from ._manipulate import checkpoint, named_apply
from ._model import ParamGroups
from ._tokens import TokenModel

__all__ = ['Eva']

NormLayer = Callable[..., nn.Module]


class EvaAttention(AttentionRope):
    """Self attention with rotary positions whose queries and values have biases, and whose keys have none.

    A bias of the keys adds one number to all scores of a query, and the softmax takes it out again; exactly so where no
    rotary positions turn it.

    Shape: (B, N, dim) -> (B, N, dim)

    Args:
        qkv_bias: Biases of queries and values, and of the gate.
        qkv_fused: One matrix for queries, keys and values together, else three.
        qkv_bias_separate: Add the biases after the fused product instead of within it, which rounds differently.
        scale_norm: Normalise what attention returns, before the projection out (sub-LN, EVA-02, section 2.1).

    The other arguments are those of `AttentionRope`.

    Raises:
        ValueError: As `AttentionRope`.
    """

    if TYPE_CHECKING:
        k_bias: Tensor | None

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        qkv_bias: bool = True,
        qkv_fused: bool = True,
        qkv_bias_separate: bool = False,
        num_prefix_tokens: int = 1,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        attn_head_dim: int | None = None,
        norm_layer: NormLayer | None = None,
        qk_norm: bool = False,
        scale_norm: bool = True,
        rotate_half: bool = False,
        gated: bool = False,
    ) -> None:
        super().__init__(
            dim,
            num_heads=num_heads,
            qkv_bias=qkv_bias,
            qkv_fused=qkv_fused,
            num_prefix_tokens=num_prefix_tokens,
            attn_drop=attn_drop,
            proj_drop=proj_drop,
            attn_head_dim=attn_head_dim,
            norm_layer=norm_layer,
            qk_norm=qk_norm,
            scale_norm=scale_norm,
            rotate_half=rotate_half,
            gated=gated,
        )
        self.qkv_bias_separate = qkv_bias_separate
        own_biases = qkv_fused and qkv_bias
        self.q_bias = nn.Parameter(torch.zeros(self.attn_dim)) if own_biases else None
        self.register_buffer('k_bias', torch.zeros(self.attn_dim) if own_biases else None, persistent=False)
        self.v_bias = nn.Parameter(torch.zeros(self.attn_dim)) if own_biases else None
        for projection in (self.qkv, self.k_proj):
            if projection is not None:
                projection.register_parameter('bias', None)

    def reset_parameters(self) -> None:
        """Zero the biases that belong to no linear layer."""
        for bias in (self.q_bias, self.v_bias):
            if bias is not None:
                nn.init.zeros_(bias)
        self.init_non_persistent_buffers()

    def init_non_persistent_buffers(self) -> None:
        """Fill the keys' bias, which a state dict leaves out."""
        if self.k_bias is not None:
            nn.init.zeros_(self.k_bias)

    def _project_fused(self, x: Tensor) -> Tensor:
        assert self.qkv is not None
        if self.q_bias is None or self.k_bias is None or self.v_bias is None:
            return self.qkv(x)
        bias = torch.cat((self.q_bias, self.k_bias, self.v_bias))
        return self.qkv(x) + bias if self.qkv_bias_separate else F.linear(x, self.qkv.weight, bias)


def _create_attn(attn_type: str, dim: int, num_heads: int, num_kv_heads: int | None, **kwargs: Any) -> nn.Module:
    """Attention by name; only that with biases of its keys can share them among heads."""
    if attn_type == 'rope':
        return AttentionRope(dim, num_heads, num_kv_heads=num_kv_heads, **kwargs)
    if attn_type != 'eva':
        raise ValueError(f"attn_type={attn_type!r} is not known: use 'eva' or 'rope'.")
    if num_kv_heads not in (None, num_heads):
        raise ValueError(f"num_kv_heads={num_kv_heads} differs from num_heads={num_heads}: set attn_type='rope'.")
    return EvaAttention(dim, num_heads, **kwargs)


def _create_mlp(
    dim: int,
    mlp_ratio: float,
    swiglu: bool,
    align_to: int,
    norm_layer: NormLayer | None,
    act_layer: type[nn.Module],
    drop: float,
) -> nn.Module:
    """An MLP: plain, or SwiGLU; that has one matrix for gate and value unless a norm or an alignment is asked for."""
    hidden = int(dim * mlp_ratio)
    if not swiglu:
        return Mlp(dim, hidden, act_layer=act_layer, norm_layer=norm_layer, drop=drop)
    if norm_layer is not None or align_to:
        return SwiGLU(dim, hidden, norm_layer=norm_layer, drop=drop, align_to=align_to)
    return GluMlp(dim, hidden * 2, act_layer=nn.SiLU, gate_last=False, drop=drop)


def _drop_path(rate: float) -> nn.Module:
    return DropPath(rate) if rate > 0.0 else nn.Identity()


class EvaBlock(Module):
    """x + gamma_1 * attention(norm(x)), then x + gamma_2 * mlp(norm(x)): (B, N, C) -> (B, N, C).

    Args:
        mlp_ratio: Width of the MLP over `dim`.
        swiglu_mlp: Gate the MLP by SiLU (arXiv:2002.05202).
        swiglu_align_to: Round that MLP's width up to a multiple of this; 0 leaves it alone.
        scale_mlp: Norm before the second layer of the MLP (sub-LN, EVA-02, section 2.1).
        scale_attn_inner: Norm before the output projection of attention (the same).
        attn_type: 'eva' for attention without a bias of keys, 'rope' for one bias of queries, keys and values.
        num_kv_heads: Heads of keys and values, for 'rope'; all when None.
        init_values: First value of LayerScale, which is left out where this is None or 0 (arXiv:2103.17239).
        attn_only_layer_scale: No LayerScale of the MLP.
        kwargs: Nothing is expected here.

    Raises:
        ValueError: `attn_type` is unknown, or 'eva' with fewer heads of keys and values.
        TypeError: An argument is unknown.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        qkv_bias: bool = True,
        qkv_fused: bool = True,
        mlp_ratio: float = 4.0,
        swiglu_mlp: bool = False,
        swiglu_align_to: int = 0,
        scale_mlp: bool = False,
        scale_attn_inner: bool = False,
        num_prefix_tokens: int = 1,
        attn_type: str = 'eva',
        rotate_half: bool = False,
        gated_attn: bool = False,
        qk_norm: bool = False,
        num_kv_heads: int | None = None,
        proj_drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        init_values: float | None = None,
        attn_only_layer_scale: bool = False,
        act_layer: type[nn.Module] = nn.GELU,
        norm_layer: NormLayer = LayerNorm,
        attn_head_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if kwargs:
            raise TypeError(f'EvaBlock takes no {sorted(kwargs)}')
        self.init_values = init_values
        self.norm1 = norm_layer(dim)
        self.attn = _create_attn(
            attn_type,
            dim,
            num_heads,
            num_kv_heads,
            qkv_bias=qkv_bias,
            qkv_fused=qkv_fused,
            num_prefix_tokens=num_prefix_tokens,
            attn_drop=attn_drop,
            proj_drop=proj_drop,
            attn_head_dim=attn_head_dim,
            norm_layer=norm_layer,
            qk_norm=qk_norm,
            scale_norm=scale_attn_inner,
            rotate_half=rotate_half,
            gated=gated_attn,
        )
        self.gamma_1 = nn.Parameter(torch.empty(dim)) if init_values else None
        self.drop_path1 = _drop_path(drop_path)
        self.norm2 = norm_layer(dim)
        mlp_norm = norm_layer if scale_mlp else None
        self.mlp = _create_mlp(dim, mlp_ratio, swiglu_mlp, swiglu_align_to, mlp_norm, act_layer, proj_drop)
        self.gamma_2 = nn.Parameter(torch.empty(dim)) if init_values and not attn_only_layer_scale else None
        self.drop_path2 = _drop_path(drop_path)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set LayerScale to its first value."""
        for gamma in (self.gamma_1, self.gamma_2):
            if gamma is not None and self.init_values is not None:
                nn.init.constant_(gamma, self.init_values)

    def forward(
        self, x: Tensor, rope: Tensor | None = None, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attention branch, then MLP branch."""
        attended = self.attn(self.norm1(x), rope=rope, attn_mask=attn_mask, is_causal=is_causal)
        if self.gamma_1 is not None:
            attended = self.gamma_1 * attended
        x = x + self.drop_path1(attended)
        mixed = self.mlp(self.norm2(x))
        if self.gamma_2 is not None:
            mixed = self.gamma_2 * mixed
        return x + self.drop_path2(mixed)


class EvaBlockPostNorm(Module):
    """x + norm(attention(x)), then x + norm(mlp(x)) (EVA-CLIP's largest network): (B, N, C) -> (B, N, C).

    Args:
        init_values: Without effect: the norms already scale the branches.
        kwargs: Options of `EvaBlock` that this block has no place for, switched off.

    The other arguments are those of `EvaBlock`.

    Raises:
        ValueError: `attn_type` is unknown, or an option is switched on that this block has no place for.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        qkv_bias: bool = True,
        qkv_fused: bool = True,
        mlp_ratio: float = 4.0,
        attn_type: str = 'eva',
        rotate_half: bool = False,
        gated_attn: bool = False,
        swiglu_mlp: bool = False,
        swiglu_align_to: int = 0,
        scale_mlp: bool = False,
        scale_attn_inner: bool = False,
        num_prefix_tokens: int = 1,
        proj_drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        init_values: float | None = None,
        act_layer: type[nn.Module] = nn.GELU,
        norm_layer: NormLayer = LayerNorm,
        attn_head_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        asked = sorted(name for name, value in kwargs.items() if value)
        if asked:
            raise ValueError(f'{asked} are options of blocks with the norm in front: set use_post_norm=False.')
        self.attn = _create_attn(
            attn_type,
            dim,
            num_heads,
            None,
            qkv_bias=qkv_bias,
            qkv_fused=qkv_fused,
            num_prefix_tokens=num_prefix_tokens,
            attn_drop=attn_drop,
            proj_drop=proj_drop,
            attn_head_dim=attn_head_dim,
            norm_layer=norm_layer,
            scale_norm=scale_attn_inner,
            rotate_half=rotate_half,
            gated=gated_attn,
        )
        self.norm1 = norm_layer(dim)
        self.drop_path1 = _drop_path(drop_path)
        mlp_norm = norm_layer if scale_mlp else None
        self.mlp = _create_mlp(dim, mlp_ratio, swiglu_mlp, swiglu_align_to, mlp_norm, act_layer, proj_drop)
        self.norm2 = norm_layer(dim)
        self.drop_path2 = _drop_path(drop_path)

    def forward(
        self, x: Tensor, rope: Tensor | None = None, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attention branch, then MLP branch."""
        attended = self.attn(x, rope=rope, attn_mask=attn_mask, is_causal=is_causal)
        x = x + self.drop_path1(self.norm1(attended))
        return x + self.drop_path2(self.norm2(self.mlp(x)))


class Eva(TokenModel):
    """The network: (B, in_chans, height, width) -> (B, num_classes).

    Args:
        global_pool: What the classifier sees: 'token' the class token, 'avg', 'max', 'avgmax' of the patches, 'map' an
            attention pool, '' all tokens.
        num_kv_heads: Heads of keys and values, one number or one for each block; all when None.
        class_token: Put a learned token before the patches.
        num_reg_tokens: Number of register tokens behind it (arXiv:2309.16588).
        no_embed_class: Prefix tokens have no entry in the table of absolute positions.
        use_abs_pos_emb: Add a learned table of positions to the tokens.
        use_rot_pos_emb: Turn queries and keys by rotary positions.
        rope_type: 'cat' frequencies along the axes, 'mixed' learned ones for each head, 'dinov3' coordinates in
            [-1, 1], 'mrope' sections.
        rope_grid_offset: Added to coordinates, for 'cat' and 'dinov3'.
        rope_grid_indexing: 'ij' counts rows, then columns; 'xy' the other way round.
        rope_rotate_half: A turn mixes a channel with the one half a head further, not with its neighbour; so it always
            does with 'mrope'.
        rope_shift_coords: In training, move coordinates by up to this; the two after it stretch them
            (`timm.layers.RotaryEmbeddingDinoV3`).
        rope_mrope_section: How many frequencies time, row and column have, for 'mrope'.
        use_post_norm: Norms behind the branches, not before.
        use_pre_transformer_norm: Norm before the blocks.
        use_post_transformer_norm: Norm after them; None where there is none after pooling.
        use_fc_norm: Norm after pooling; None where patches are averaged.
        attn_pool_num_heads: Heads of the attention pool, `num_heads` when None; likewise `attn_pool_mlp_ratio`.
        dynamic_img_size: Take images of any size; positions follow.
        dynamic_img_pad: Pad images to whole patches.
        patch_drop_rate: Share of patches that a training step leaves out.
        ref_feat_shape: Map whose coordinates rotary positions count, whatever the image's size, for 'cat'.
        head_init_scale: Factor on the classifier's first weights; 0 for none.

    The other arguments are those of `EvaBlock`.

    Raises:
        AssertionError: Pooling and class token do not fit together.
        ValueError: Options of the blocks or of the rotary positions contradict each other.
    """

    classifier_name = 'head'
    groups = ParamGroups(
        stem=r'^cls_token|reg_token|pos_embed|patch_embed|norm_pre',
        blocks=[(r'^blocks\.(\d+)', None), (r'^norm', (99999,))],
    )
    dynamic_img_size: torch.jit.Final[bool]
    rope_mixed: torch.jit.Final[bool]

    def __init__(
        self,
        img_size: int | tuple[int, int] = 224,
        patch_size: int | tuple[int, int] = 16,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: Literal['', 'avg', 'avgmax', 'max', 'token', 'map'] = 'avg',
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        num_kv_heads: int | Sequence[int | None] | None = None,
        qkv_bias: bool = True,
        qkv_fused: bool = True,
        qk_norm: bool = False,
        mlp_ratio: float = 4.0,
        swiglu_mlp: bool = False,
        swiglu_align_to: int = 0,
        scale_mlp: bool = False,
        scale_attn_inner: bool = False,
        attn_type: str = 'eva',
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        patch_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        norm_layer: NormLayer = LayerNorm,
        init_values: float | None = None,
        attn_only_layer_scale: bool = False,
        class_token: bool = True,
        num_reg_tokens: int = 0,
        no_embed_class: bool = False,
        use_abs_pos_emb: bool = True,
        use_rot_pos_emb: bool = False,
        rope_type: str = 'cat',
        rope_grid_offset: float = 0.0,
        rope_grid_indexing: str = 'ij',
        rope_temperature: float = 10000.0,
        rope_rotate_half: bool = False,
        rope_shift_coords: float | None = None,
        rope_jitter_coords: float | None = None,
        rope_rescale_coords: float | None = None,
        rope_mrope_section: Sequence[int] | None = None,
        use_post_norm: bool = False,
        use_pre_transformer_norm: bool = False,
        use_post_transformer_norm: bool | None = None,
        use_fc_norm: bool | None = None,
        attn_pool_num_heads: int | None = None,
        attn_pool_mlp_ratio: float | None = None,
        dynamic_img_size: bool = False,
        dynamic_img_pad: bool = False,
        ref_feat_shape: int | tuple[int, int] | None = None,
        head_init_scale: float = 0.001,
    ) -> None:
        super().__init__()
        _check_pooling(global_pool, class_token)
        has_fc_norm = global_pool == 'avg' if use_fc_norm is None else use_fc_norm
        has_norm = not has_fc_norm if use_post_transformer_norm is None else use_post_transformer_norm
        self.describe(num_classes, in_chans, embed_dim)
        self.embed_dim = embed_dim
        self.depth = depth
        self.global_pool = global_pool
        self.has_class_token = class_token
        self.num_prefix_tokens = int(class_token) + num_reg_tokens
        self.no_embed_class = no_embed_class
        self.dynamic_img_size = dynamic_img_size
        self.head_init_scale = head_init_scale
        self.grad_checkpointing = False

        embed_args: dict[str, Any] = {}
        if dynamic_img_size:
            embed_args.update(strict_img_size=False, output_fmt='NHWC')  # positions follow the grid
        self.patch_embed: Any = PatchEmbed(
            img_size=img_size,
            patch_size=patch_size,
            in_chans=in_chans,
            embed_dim=embed_dim,
            bias=not use_pre_transformer_norm,  # a norm follows at once
            dynamic_img_pad=dynamic_img_pad,
            **embed_args,
        )
        num_positions = self.patch_embed.num_patches + (0 if no_embed_class else self.num_prefix_tokens)
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim)) if class_token else None
        self.reg_token = nn.Parameter(torch.empty(1, num_reg_tokens, embed_dim)) if num_reg_tokens else None
        self.pos_embed = nn.Parameter(torch.empty(1, num_positions, embed_dim)) if use_abs_pos_emb else None
        self.pos_drop = nn.Dropout(p=pos_drop_rate)
        self.patch_drop: Any = None
        if patch_drop_rate > 0:
            self.patch_drop = PatchDropoutWithIndices(patch_drop_rate, num_prefix_tokens=self.num_prefix_tokens)
        self.rope_mixed = use_rot_pos_emb and rope_type == 'mixed'
        self.rope: Any = None
        if use_rot_pos_emb:
            self.rope = _create_rope(
                rope_type,
                dim=embed_dim,
                num_heads=num_heads,
                depth=depth,
                temperature=rope_temperature,
                feat_shape=None if dynamic_img_size else self.patch_embed.grid_size,
                ref_feat_shape=None if ref_feat_shape is None else to_2tuple(ref_feat_shape),
                grid_offset=rope_grid_offset,
                grid_indexing=rope_grid_indexing,
                rotate_half=rope_rotate_half,
                shift_coords=rope_shift_coords,
                jitter_coords=rope_jitter_coords,
                rescale_coords=rope_rescale_coords,
                mrope_section=rope_mrope_section,
            )
        self.norm_pre = norm_layer(embed_dim) if use_pre_transformer_norm else nn.Identity()
        rates = calculate_drop_path_rates(drop_path_rate, depth)
        kv_heads = _one_each(num_kv_heads, depth)
        block_fn = EvaBlockPostNorm if use_post_norm else EvaBlock
        self.blocks: Any = nn.ModuleList(
            block_fn(
                dim=embed_dim,
                num_heads=num_heads,
                qkv_bias=qkv_bias,
                qkv_fused=qkv_fused,
                mlp_ratio=mlp_ratio,
                swiglu_mlp=swiglu_mlp,
                swiglu_align_to=swiglu_align_to,
                scale_mlp=scale_mlp,
                scale_attn_inner=scale_attn_inner,
                num_prefix_tokens=self.num_prefix_tokens,
                attn_type=attn_type,
                rotate_half=rope_rotate_half or rope_type == 'mrope',
                qk_norm=qk_norm,
                num_kv_heads=kv_heads[i],
                proj_drop=proj_drop_rate,
                attn_drop=attn_drop_rate,
                drop_path=rates[i],
                init_values=init_values,
                attn_only_layer_scale=attn_only_layer_scale,
                norm_layer=norm_layer,
            )
            for i in range(depth)
        )
        tap = {'num_chs': embed_dim, 'reduction': self.patch_embed.feat_ratio()}
        self.feature_info = [{'module': f'blocks.{i}', **tap} for i in range(depth)]
        self.norm = norm_layer(embed_dim) if has_norm else nn.Identity()
        self.attn_pool: Any = None
        if global_pool == 'map':
            self.attn_pool = AttentionPoolLatent(
                embed_dim,
                num_heads=attn_pool_num_heads or num_heads,
                mlp_ratio=attn_pool_mlp_ratio or mlp_ratio,
                norm_layer=norm_layer,
            )
        self.fc_norm = norm_layer(embed_dim) if has_fc_norm else nn.Identity()
        self.head_drop = nn.Dropout(drop_rate)
        self.head = nn.Linear(embed_dim, num_classes) if num_classes > 0 else nn.Identity()
        self.init_weights(needs_reset=False)

    def fix_init_weight(self) -> None:
        """Divide output projections by sqrt(2 * layer), layers counted from 1 (BEiT, arXiv:2106.08254, section 2.5)."""
        for layer, block in enumerate(self.blocks, 1):
            with torch.no_grad():
                block.attn.proj.weight.div_(math.sqrt(2.0 * layer))
                block.mlp.fc2.weight.div_(math.sqrt(2.0 * layer))

    def init_weights(self, needs_reset: bool = True) -> None:
        """Draw all weights anew.

        Args:
            needs_reset: Also those that their own modules have just drawn in the constructor.
        """

        def draw(module: nn.Module, name: str) -> None:
            del name
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif needs_reset and isinstance(module, AttentionPoolLatent):
                module.init_weights()
            elif needs_reset and hasattr(module, 'reset_parameters'):
                module.reset_parameters()  # pyright: ignore[reportCallIssue]

        named_apply(draw, self)
        for parameter in (self.pos_embed, self.cls_token, self.reg_token):
            if parameter is not None:
                trunc_normal_(parameter, std=0.02)
        self.fix_init_weight()
        if self.head_init_scale and isinstance(self.head, nn.Linear):
            with torch.no_grad():
                self.head.weight.mul_(self.head_init_scale)
                self.head.bias.mul_(self.head_init_scale)

    def no_weight_decay(self) -> set[str]:
        """Parameters that weight decay leaves alone."""
        names = {'pos_embed', 'cls_token', 'reg_token'}
        return names | {'rope.freqs'} if self.rope_mixed else names

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block's activations in the backward pass."""
        self.grad_checkpointing = enable

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier; see `ImageModel.reset_classifier`.

        Raises:
            AssertionError: The pooling is unknown, or needs an attention pool that the network was built without.
        """
        if global_pool is not None:
            _check_pooling(global_pool, self.has_class_token)
            self.attn_pool = self.attn_pool if global_pool == 'map' else None
            fits = global_pool != 'map' or self.attn_pool is not None
            assert fits, "Cannot currently add attention pooling: build the model with global_pool='map'"
            self.global_pool = global_pool
            # Where the last norms lie was settled by the pooling of the start, and stays.
            pools_first, has_norm = not isinstance(self.fc_norm, nn.Identity), not isinstance(self.norm, nn.Identity)
            update_model_args(self, use_fc_norm=pools_first, use_post_transformer_norm=has_norm)
        self.num_classes = num_classes
        with self.building_beside():
            head = nn.Linear(self.embed_dim, num_classes) if num_classes > 0 else nn.Identity()
        self.head = head.train(self.training)

    def prune_head(self) -> None:
        """Remove what pools and classifies."""
        self.fc_norm = nn.Identity()
        self.reset_classifier(0, '')

    def set_input_size(
        self, img_size: int | tuple[int, int] | None = None, patch_size: int | tuple[int, int] | None = None
    ) -> None:
        """Expect images of another size or cut them into other patches; kernels and positions are resampled."""
        old_grid = self.patch_embed.grid_size
        self.patch_embed.set_input_size(img_size=img_size, patch_size=patch_size)
        new_grid = self.patch_embed.grid_size
        if self.pos_embed is not None and new_grid != old_grid:
            table = resample_abs_pos_embed(
                self.pos_embed,
                new_size=list(new_grid),
                old_size=list(old_grid),
                num_prefix_tokens=0 if self.no_embed_class else self.num_prefix_tokens,
            )
            self.pos_embed = nn.Parameter(table.detach(), requires_grad=self.pos_embed.requires_grad)
        if self.rope is not None:
            self.rope.update_feat_shape(new_grid)
        patch_args = {} if patch_size is None else {'patch_size': patch_size}
        update_model_input_size(self, self.patch_embed.img_size, **patch_args)

    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patch tokens for an image of this size."""
        return self.patch_embed.dynamic_feat_size((height, width))

    def _pos_embed(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Prefix tokens and positions: patches (B, N, C), or (B, H, W, C) at any size -> tokens, and a rotary table."""
        assert self.patch_embed.grid_size is not None
        old_size: list[int] = list(self.patch_embed.grid_size)
        new_size = old_size
        table = self.pos_embed
        if self.dynamic_img_size:
            B, H, W, C = x.shape
            new_size = [H, W]
            if table is not None:
                num_prefix = 0 if self.no_embed_class else self.num_prefix_tokens
                table = resample_abs_pos_embed(table, new_size, old_size, num_prefix_tokens=num_prefix)
            x = x.reshape(B, -1, C)
        if table is not None and self.no_embed_class:
            x = x + table
        prefix: list[Tensor] = []
        if self.cls_token is not None:
            prefix.append(self.cls_token.expand(x.shape[0], -1, -1))
        if self.reg_token is not None:
            prefix.append(self.reg_token.expand(x.shape[0], -1, -1))
        if len(prefix) > 0:
            x = torch.cat(prefix + [x], dim=1)  # noqa: RUF005 (TorchScript has no unpacking)
        if table is not None and not self.no_embed_class:
            x = x + table
        x = self.pos_drop(x)
        rope: Tensor | None = None
        if self.rope is not None:
            rope = self.rope.get_embed(new_size if self.rope.feat_shape is None else None)
        return x, rope

    def embed_with_rope(self, x: Tensor) -> tuple[Tensor, list[Tensor] | None]:
        """What the first block sees, and for each block the rotary table of the patches that are there."""
        x = self.patch_embed(x)
        x, rope = self._pos_embed(x)
        if self.patch_drop is not None:
            x, kept = self.patch_drop(x)
            if rope is not None and kept is not None:
                rope = apply_keep_indices_nlc(x, rope, kept)
                rope = rope.transpose(0, 1) if self.rope_mixed else rope.unsqueeze(1)  # (depth, B, ...) or (B, 1, ...)
        x = self.norm_pre(x)
        ropes: list[Tensor] | None = None
        if rope is not None:
            ropes = [rope[i] if self.rope_mixed else rope for i in range(self.depth)]
        return x, ropes

    def embed(self, x: Tensor) -> Tensor:
        """What the first block sees: (B, in_chans, height, width) -> (B, P + N, C)."""
        return self.embed_with_rope(x)[0]

    def forward_features(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Tokens after the final norm: (B, in_chans, height, width) -> (B, P + N, C).

        Args:
            attn_mask: Added to the scores (float) or allows (bool) attention; broadcast to (B, heads, N, N).
            is_causal: Tokens see only those before them.
        """
        x, ropes = self.embed_with_rope(x)
        for i, block in enumerate(self.blocks):
            rope = None if ropes is None else ropes[i]
            if self.grad_checkpointing and not torch.jit.is_scripting():
                x = checkpoint(block, x, rope, attn_mask, is_causal)
            else:
                x = block(x, rope, attn_mask, is_causal)
        return self.norm(x)

    def pool(self, x: Tensor, pool_type: str | None = None) -> Tensor:
        """One vector an image: (B, N, C) -> (B, C); all tokens where the pooling is ''."""
        if self.attn_pool is not None:
            return self.attn_pool(x)
        pool_type = self.global_pool if pool_type is None else pool_type
        return global_pool_nlc(x, pool_type=pool_type, num_prefix_tokens=self.num_prefix_tokens)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify; with `pre_logits` stop before the classifier."""
        x = self.pool(x)
        x = self.fc_norm(x)
        x = self.head_drop(x)
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Logits of images: (B, in_chans, height, width) -> (B, num_classes)."""
        x = self.forward_features(x, attn_mask=attn_mask, is_causal=is_causal)
        x = self.forward_head(x)
        return x

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = 'NCHW',
        intermediates_only: bool = False,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Any:
        """Outputs of several blocks; see `TokenModel.forward_intermediates`.

        Args:
            return_prefix_tokens: Items of the list are (patches, prefix tokens).
        """
        masks = {'attn_mask': attn_mask, 'is_causal': is_causal}
        final, intermediates = self.walk_blocks(x, indices, norm, stop_early or intermediates_only, output_fmt, **masks)
        items: list[Any] = [patches for patches, _ in intermediates]
        if return_prefix_tokens and self.num_prefix_tokens:
            items = list(intermediates)
        return items if intermediates_only else (final(), items)


def _check_pooling(global_pool: str, class_token: bool) -> None:
    known = ('', 'avg', 'avgmax', 'max', 'token', 'map')
    assert global_pool in known, f'global_pool must be one of {known}, got {global_pool!r}'
    assert class_token or global_pool != 'token', "global_pool='token' needs a class token"


def _one_each(num_kv_heads: int | Sequence[int | None] | None, depth: int) -> Sequence[int | None]:
    """A number for each block, from one for all or from a list that has as many."""
    if num_kv_heads is None or isinstance(num_kv_heads, int):
        return [num_kv_heads] * depth
    assert len(num_kv_heads) == depth, f'num_kv_heads has {len(num_kv_heads)} numbers for {depth} blocks'
    return num_kv_heads


def _create_rope(
    rope_type: str, depth: int, grid_offset: float, mrope_section: Sequence[int] | None, **kwargs: Any
) -> nn.Module:
    """A rotary position embedding that gives one table for each map, or with 'mixed' one for each block."""
    if rope_type == 'base':
        raise ValueError("rope_type='base' gives a pair of tables, and the blocks take one: use 'cat'.")
    if rope_type == 'mixed':
        kwargs.update(depth=depth)
    elif rope_type != 'mrope':
        kwargs.update(grid_offset=grid_offset)
    else:
        kwargs.update(rotate_half=True)  # it turns by no other pairs
        if mrope_section is not None:
            kwargs.update(mrope_section=mrope_section)
    return create_rope_embed(rope_type, in_pixels=False, **kwargs)


__getattr__ = entrypoints(__name__)
