"""Vision Transformer: an image as a sequence of patches, read by a plain transformer encoder.

Papers:
    An Image is Worth 16x16 Words, Dosovitskiy et al., 2020, arXiv:2010.11929 (equations 1 to 4, figure 1)
    How to train your ViT?, Steiner et al., 2021, arXiv:2106.10270 (AugReg weights)
    Three things everyone should know about ViT, Touvron et al., 2022, arXiv:2203.09795 (`ParallelThingsBlock`)
    Scaling Vision Transformers to 22 Billion Parameters, Dehghani et al., 2023, arXiv:2302.05442, section 2
        (`ParallelScalingBlock`)
    Vision Transformers Need Registers, Darcet et al., 2023, arXiv:2309.16588 (`reg_tokens`)
    Swin Transformer V2, Liu et al., 2021, arXiv:2111.09883, section 3.2 (norm after the branch, `ResPostBlock`)
    Differential Transformer, Ye et al., 2024, arXiv:2410.05258, equations 1 to 3 (`DiffParallelScalingBlock`)

Departures: none by default; `qk_norm`, `init_values` (LayerScale, arXiv:2103.17239) and pooling without a class token
are options that published weights use.
Shapes: B images, N tokens (prefix tokens first), C channels, H and W pixels; a tensor with no remark is (B, N, C).
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from timm.convert.vision_transformer import checkpoint_filter_fn as checkpoint_filter_fn
from timm.convert.vision_transformer import load_jax_weights
from timm.convert.vision_transformer import resize_pos_embed as resize_pos_embed
from timm.layers import (
    Attention,
    AttentionPoolLatent,
    AttentionPoolPrr,
    DiffAttention,
    DropPath,
    LayerNorm,
    LayerScale,
    LayerType,
    Mlp,
    PatchDropout,
    PatchEmbed,
    RmsNorm,
    calculate_drop_path_rates,
    get_act_layer,
    get_norm_layer,
    init_weight_jax,
    maybe_add_mask,
    resample_abs_pos_embed,
    resolve_self_attn_mask,
    trunc_normal_,
    use_fused_attn,
)

# Names that other projects import from here.
from timm.layers import SwiGLU as SwiGLU
from timm.layers import SwiGLUPacked as SwiGLUPacked
from timm.layers import lecun_normal_ as lecun_normal_
from timm.layers import resample_abs_pos_embed_nhwc as resample_abs_pos_embed_nhwc
from timm.layers import resample_patch_embed as resample_patch_embed
from timm.layers._device import Module
from timm.layers.pool1d import global_pool_nlc

from ._entrypoints import entrypoints
from ._input import update_model_args, update_model_input_size
from ._manipulate import CheckpointedSequential, named_apply
from ._model import ParamGroups
from ._tokens import TokenModel

__all__ = ['VisionTransformer']

ATTN_LAYERS: dict[str, type[nn.Module]] = {'': Attention, 'attn': Attention, 'diff': DiffAttention}

AttnLayer = str | Callable[..., nn.Module]

_load_weights = load_jax_weights


def _create_attn(
    attn_layer: AttnLayer,
    dim: int,
    num_heads: int,
    qkv_bias: bool,
    qk_norm: bool,
    scale_norm: bool,
    proj_bias: bool,
    drops: tuple[float, float],
    norm_layer: Callable[..., nn.Module],
    depth: int,
) -> nn.Module:
    """Attention by name or class, with the rates of dropout on its scores and its output.

    Differential attention also wants the depth of its block.
    """
    if isinstance(attn_layer, str):
        if attn_layer not in ATTN_LAYERS:
            raise ValueError(f'attn_layer must be one of {sorted(ATTN_LAYERS)} or a class, got {attn_layer!r}')
        attn_layer = ATTN_LAYERS[attn_layer]
    return attn_layer(
        dim,
        num_heads=num_heads,
        qkv_bias=qkv_bias,
        qk_norm=qk_norm,
        scale_norm=scale_norm,
        proj_bias=proj_bias,
        attn_drop=drops[0],
        proj_drop=drops[1],
        norm_layer=norm_layer,
        **({'depth': depth} if attn_layer is DiffAttention else {}),
    )


def _create_mlp(
    mlp_layer: Callable[..., nn.Module],
    dim: int,
    mlp_ratio: float,
    act_layer: Callable[..., nn.Module],
    norm_layer: Callable[..., nn.Module] | None,
    bias: bool,
    drop: float,
) -> nn.Module:
    """An MLP of this width over `dim`."""
    return mlp_layer(
        in_features=dim,
        hidden_features=int(dim * mlp_ratio),
        act_layer=act_layer,
        norm_layer=norm_layer,
        bias=bias,
        drop=drop,
    )


def _drop_path(rate: float) -> nn.Module:
    return DropPath(rate) if rate > 0.0 else nn.Identity()


def _layer_scale(dim: int, init_values: float | None) -> nn.Module:
    return LayerScale(dim, init_values=init_values) if init_values else nn.Identity()


class Block(Module):
    """x + attention(norm(x)), then x + mlp(norm(x)) (equations 2 and 3): (B, N, C) -> (B, N, C).

    Args:
        mlp_ratio: Width of the MLP over `dim`.
        qk_norm: Normalise queries and keys of each head (arXiv:2302.05442, section 2).
        scale_attn_norm: Norm before the output projection of attention (arXiv:2210.06423).
        scale_mlp_norm: Norm before the second layer of the MLP (the same).
        init_values: First value of LayerScale, which is left out where this is None.
        depth: Index of the block, for attention that depends on it.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        scale_attn_norm: bool = False,
        scale_mlp_norm: bool = False,
        proj_bias: bool = True,
        proj_drop: float = 0.0,
        attn_drop: float = 0.0,
        init_values: float | None = None,
        drop_path: float = 0.0,
        act_layer: type[nn.Module] = nn.GELU,
        norm_layer: Callable[..., nn.Module] = LayerNorm,
        mlp_layer: Callable[..., nn.Module] = Mlp,
        attn_layer: AttnLayer = Attention,
        depth: int = 0,
    ) -> None:
        super().__init__()
        self.norm1 = norm_layer(dim)
        self.attn = _create_attn(
            attn_layer,
            dim,
            num_heads,
            qkv_bias,
            qk_norm,
            scale_attn_norm,
            proj_bias,
            (attn_drop, proj_drop),
            norm_layer,
            depth,
        )
        self.ls1 = _layer_scale(dim, init_values)
        self.drop_path1 = _drop_path(drop_path)
        self.norm2 = norm_layer(dim)
        self.mlp = _create_mlp(
            mlp_layer, dim, mlp_ratio, act_layer, norm_layer if scale_mlp_norm else None, proj_bias, proj_drop
        )
        self.ls2 = _layer_scale(dim, init_values)
        self.drop_path2 = _drop_path(drop_path)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Attention branch, then MLP branch."""
        x = x + self.drop_path1(self.ls1(self.attn(self.norm1(x), attn_mask=attn_mask, is_causal=is_causal)))
        x = x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))
        return x


class ResPostBlock(Module):
    """x + norm(attention(x)), then x + norm(mlp(x)) (Swin V2, figure 1 left): (B, N, C) -> (B, N, C).

    The arguments are those of `Block`; `init_values` is the first value of the norms' weights.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        scale_attn_norm: bool = False,
        scale_mlp_norm: bool = False,
        proj_bias: bool = True,
        proj_drop: float = 0.0,
        attn_drop: float = 0.0,
        init_values: float | None = None,
        drop_path: float = 0.0,
        act_layer: type[nn.Module] = nn.GELU,
        norm_layer: Callable[..., nn.Module] = LayerNorm,
        mlp_layer: Callable[..., nn.Module] = Mlp,
        attn_layer: AttnLayer = Attention,
        depth: int = 0,
    ) -> None:
        super().__init__()
        self.init_values = init_values
        self.attn = _create_attn(
            attn_layer,
            dim,
            num_heads,
            qkv_bias,
            qk_norm,
            scale_attn_norm,
            proj_bias,
            (attn_drop, proj_drop),
            norm_layer,
            depth,
        )
        self.norm1: Any = norm_layer(dim)
        self.drop_path1 = _drop_path(drop_path)
        self.mlp = _create_mlp(
            mlp_layer, dim, mlp_ratio, act_layer, norm_layer if scale_mlp_norm else None, proj_bias, proj_drop
        )
        self.norm2: Any = norm_layer(dim)
        self.drop_path2 = _drop_path(drop_path)
        self.init_weights()

    def init_weights(self) -> None:
        """Let the branches start small."""
        if self.init_values is not None:
            nn.init.constant_(self.norm1.weight, self.init_values)
            nn.init.constant_(self.norm2.weight, self.init_values)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Attention branch, then MLP branch."""
        x = x + self.drop_path1(self.norm1(self.attn(x, attn_mask=attn_mask, is_causal=is_causal)))
        x = x + self.drop_path2(self.norm2(self.mlp(x)))
        return x


class ParallelScalingBlock(Module):
    """Attention and MLP side by side behind one norm and one matrix (ViT-22B, section 2): (B, N, C) -> (B, N, C).

    Args:
        fuse_out_proj: One matrix for both branches at the end too.

    The other arguments are those of `Block`.

    Raises:
        ValueError: A norm inside the branches is asked for, which this block has no place for.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        scale_attn_norm: bool = False,
        scale_mlp_norm: bool = False,
        proj_bias: bool = True,
        proj_drop: float = 0.0,
        attn_drop: float = 0.0,
        init_values: float | None = None,
        drop_path: float = 0.0,
        act_layer: type[nn.Module] = nn.GELU,
        norm_layer: Callable[..., nn.Module] = LayerNorm,
        mlp_layer: Callable[..., nn.Module] | None = None,
        attn_layer: AttnLayer | None = None,
        depth: int = 0,
        fuse_out_proj: bool = False,
    ) -> None:
        super().__init__()
        _check_heads(dim, num_heads)
        _check_no_inner_norm(scale_attn_norm, scale_mlp_norm)
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.scale = self.head_dim**-0.5
        self.fused_attn = use_fused_attn()
        hidden = int(mlp_ratio * dim)
        self.in_norm = norm_layer(dim)
        self.in_proj = nn.Linear(dim, hidden + 3 * dim, bias=qkv_bias)
        self.in_split = [hidden, dim, dim, dim]
        self.mlp_bias = None if qkv_bias else nn.Parameter(torch.zeros(hidden))
        self.q_norm = norm_layer(self.head_dim) if qk_norm else nn.Identity()
        self.k_norm = norm_layer(self.head_dim) if qk_norm else nn.Identity()
        self.attn_drop = nn.Dropout(attn_drop)
        self.mlp_drop = nn.Dropout(proj_drop)
        self.mlp_act = act_layer()
        if fuse_out_proj:
            self.out_proj = nn.Linear(dim + hidden, dim, bias=proj_bias)
            self.attn_out_proj = self.mlp_out_proj = None
        else:
            self.attn_out_proj = nn.Linear(dim, dim, bias=proj_bias)
            self.mlp_out_proj = nn.Linear(hidden, dim, bias=proj_bias)
            self.out_proj = None
        self.ls = _layer_scale(dim, init_values)
        self.drop_path = _drop_path(drop_path)

    def reset_parameters(self) -> None:
        """Zero the bias of the MLP's half of `in_proj`."""
        if self.mlp_bias is not None:
            nn.init.zeros_(self.mlp_bias)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """x + attention + mlp."""
        B, N, C = x.shape
        y = self.in_proj(self.in_norm(x))
        hidden, q, k, v = y.split(self.in_split, dim=-1)
        if self.mlp_bias is not None:
            hidden = hidden + self.mlp_bias  # queries, keys and values have none
        q = self.q_norm(q.reshape(B, N, self.num_heads, self.head_dim)).transpose(1, 2)
        k = self.k_norm(k.reshape(B, N, self.num_heads, self.head_dim)).transpose(1, 2)
        v = v.reshape(B, N, self.num_heads, self.head_dim).transpose(1, 2)
        if self.fused_attn:
            dropout = self.attn_drop.p if self.training else 0.0
            attended = F.scaled_dot_product_attention(
                q, k, v, attn_mask=attn_mask, dropout_p=dropout, is_causal=is_causal
            )
        else:
            scores = (q * self.scale) @ k.transpose(-2, -1)
            scores = maybe_add_mask(scores, resolve_self_attn_mask(N, scores, attn_mask, is_causal))
            attended = self.attn_drop(scores.softmax(dim=-1)) @ v
        attended = attended.transpose(1, 2).reshape(B, N, C)
        hidden = self.mlp_drop(self.mlp_act(hidden))
        if self.out_proj is not None:
            y = self.out_proj(torch.cat((attended, hidden), dim=-1))
        else:
            assert self.attn_out_proj is not None
            assert self.mlp_out_proj is not None
            y = self.attn_out_proj(attended) + self.mlp_out_proj(hidden)
        return x + self.drop_path(self.ls(y))


class DiffParallelScalingBlock(Module):
    """`ParallelScalingBlock` with differential attention: (B, N, C) -> (B, N, C).

    Each head is the difference of two attention maps, the second weighted by a learned lambda (Differential
    Transformer, equations 1 to 3).

    Args:
        dual_lambda: One learned number for each map instead of four vectors.

    The other arguments are those of `Block`.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        scale_attn_norm: bool = False,
        scale_mlp_norm: bool = False,
        proj_bias: bool = True,
        proj_drop: float = 0.0,
        attn_drop: float = 0.0,
        init_values: float | None = None,
        drop_path: float = 0.0,
        act_layer: type[nn.Module] = nn.GELU,
        norm_layer: Callable[..., nn.Module] = LayerNorm,
        mlp_layer: Callable[..., nn.Module] | None = None,
        attn_layer: AttnLayer | None = None,
        depth: int = 0,
        dual_lambda: bool = False,
    ) -> None:
        super().__init__()
        _check_heads(dim, num_heads)
        _check_no_inner_norm(scale_attn_norm, scale_mlp_norm)
        self.num_heads = num_heads
        self.head_dim = dim // num_heads // 2
        self.scale = self.head_dim**-0.5
        self.fused_attn = use_fused_attn()
        hidden = int(mlp_ratio * dim)
        self.in_norm = norm_layer(dim)
        self.in_proj = nn.Linear(dim, hidden + 3 * dim, bias=qkv_bias)
        self.in_split = [hidden, dim, dim, dim]
        self.mlp_bias = None if qkv_bias else nn.Parameter(torch.zeros(hidden))
        self.q_norm = norm_layer(self.head_dim) if qk_norm else nn.Identity()
        self.k_norm = norm_layer(self.head_dim) if qk_norm else nn.Identity()
        self.attn_drop = nn.Dropout(attn_drop)
        self.attn_drop_p = attn_drop
        self.sub_norm = RmsNorm(2 * self.head_dim, eps=1e-5)
        self.dual_lambda = dual_lambda
        if dual_lambda:
            self.lambda_a = nn.Parameter(torch.empty((), dtype=torch.float32))
            self.lambda_b = nn.Parameter(torch.empty((), dtype=torch.float32))
            self.lambda_q1 = self.lambda_k1 = self.lambda_q2 = self.lambda_k2 = None
        else:
            self.lambda_a = self.lambda_b = None
            self.lambda_q1 = nn.Parameter(torch.empty(self.head_dim, dtype=torch.float32))
            self.lambda_k1 = nn.Parameter(torch.empty(self.head_dim, dtype=torch.float32))
            self.lambda_q2 = nn.Parameter(torch.empty(self.head_dim, dtype=torch.float32))
            self.lambda_k2 = nn.Parameter(torch.empty(self.head_dim, dtype=torch.float32))
        self.mlp_drop = nn.Dropout(proj_drop)
        self.mlp_act = act_layer()
        self.out_proj = nn.Linear(dim + hidden, dim, bias=proj_bias)
        self.ls = _layer_scale(dim, init_values)
        self.drop_path = _drop_path(drop_path)
        self.lambda_init = 0.8
        self.set_lambda_init(depth)
        self.reset_parameters()

    def set_lambda_init(self, depth: int) -> None:
        """What lambda starts from in the block of this index (section 2.1 of the paper)."""
        self.lambda_init = 0.8 - 0.6 * math.exp(-0.3 * depth)

    def reset_parameters(self) -> None:
        """Draw the lambda vectors with deviation 0.1, or start the two numbers at 0."""
        for parameter in (self.lambda_q1, self.lambda_k1, self.lambda_q2, self.lambda_k2):
            if parameter is not None:
                nn.init.normal_(parameter, mean=0.0, std=0.1)
        for parameter in (self.lambda_a, self.lambda_b, self.mlp_bias):
            if parameter is not None:
                nn.init.zeros_(parameter)

    def _lambda(self) -> Tensor:
        if self.lambda_a is not None and self.lambda_b is not None:
            return self.lambda_a.exp() - self.lambda_b.exp() + self.lambda_init
        assert self.lambda_q1 is not None
        assert self.lambda_k1 is not None
        assert self.lambda_q2 is not None
        assert self.lambda_k2 is not None
        first = (self.lambda_q1 * self.lambda_k1).sum(-1).float().exp()
        second = (self.lambda_q2 * self.lambda_k2).sum(-1).float().exp()
        return first - second + self.lambda_init

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """x + attention + mlp."""
        B, N, C = x.shape
        hidden, q, k, v = self.in_proj(self.in_norm(x)).split(self.in_split, dim=-1)
        if self.mlp_bias is not None:
            hidden = hidden + self.mlp_bias
        q = self.q_norm(q.reshape(B, N, 2 * self.num_heads, self.head_dim)).transpose(1, 2)
        k = self.k_norm(k.reshape(B, N, 2 * self.num_heads, self.head_dim)).transpose(1, 2)
        v = v.reshape(B, N, self.num_heads, 2 * self.head_dim).transpose(1, 2)
        weight = self._lambda().to(q.dtype)
        if self.fused_attn:
            q = q.reshape(B, self.num_heads, 2, N, self.head_dim)
            k = k.reshape(B, self.num_heads, 2, N, self.head_dim)
            dropout = self.attn_drop_p if self.training else 0.0
            q1, q2 = q.unbind(2)
            k1, k2 = k.unbind(2)
            first = F.scaled_dot_product_attention(q1, k1, v, attn_mask, dropout, is_causal)
            second = F.scaled_dot_product_attention(q2, k2, v, attn_mask, dropout, is_causal)
            attended = first - weight * second
        else:
            scores = (q * self.scale) @ k.transpose(-2, -1)
            scores = maybe_add_mask(scores, resolve_self_attn_mask(N, scores, attn_mask, is_causal))
            maps = self.attn_drop(scores.softmax(dim=-1)).view(B, self.num_heads, 2, N, N)
            attended = (maps[:, :, 0] - weight * maps[:, :, 1]) @ v
        attended = self.sub_norm(attended) * (1 - self.lambda_init)
        attended = attended.transpose(1, 2).reshape(B, N, C)
        hidden = self.mlp_drop(self.mlp_act(hidden))
        y = self.out_proj(torch.cat((attended, hidden), dim=-1))
        return x + self.drop_path(self.ls(y))


class ParallelThingsBlock(Module):
    """`num_parallel` attentions side by side, then as many MLPs (Three things, section 3): (B, N, C) -> (B, N, C).

    The other arguments are those of `Block`.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_parallel: int = 2,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        scale_attn_norm: bool = False,
        scale_mlp_norm: bool = False,
        proj_bias: bool = True,
        init_values: float | None = None,
        proj_drop: float = 0.0,
        attn_drop: float = 0.0,
        drop_path: float = 0.0,
        act_layer: type[nn.Module] = nn.GELU,
        norm_layer: Callable[..., nn.Module] = LayerNorm,
        mlp_layer: Callable[..., nn.Module] = Mlp,
        attn_layer: AttnLayer = Attention,
        depth: int = 0,
    ) -> None:
        super().__init__()
        self.num_parallel = num_parallel
        self.attns: Any = nn.ModuleList()
        self.ffns: Any = nn.ModuleList()
        for _ in range(num_parallel):
            attn = _create_attn(
                attn_layer,
                dim,
                num_heads,
                qkv_bias,
                qk_norm,
                scale_attn_norm,
                proj_bias,
                (attn_drop, proj_drop),
                norm_layer,
                depth,
            )
            mlp = _create_mlp(
                mlp_layer, dim, mlp_ratio, act_layer, norm_layer if scale_mlp_norm else None, proj_bias, proj_drop
            )
            self.attns.append(_branch(norm_layer(dim), 'attn', attn, dim, init_values, drop_path))
            self.ffns.append(_branch(norm_layer(dim), 'mlp', mlp, dim, init_values, drop_path))

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Sum of the attentions, then sum of the MLPs."""
        attended = torch.zeros_like(x)
        for branch in self.attns:
            y = branch.attn(branch.norm(x), attn_mask=attn_mask, is_causal=is_causal)
            attended = attended + branch.drop_path(branch.ls(y))
        x = x + attended
        mixed = torch.zeros_like(x)
        for branch in self.ffns:
            mixed = mixed + branch(x)
        return x + mixed


def _branch(norm: nn.Module, name: str, body: nn.Module, dim: int, scale: float | None, drop: float) -> nn.Sequential:
    parts = {'norm': norm, name: body, 'ls': _layer_scale(dim, scale), 'drop_path': _drop_path(drop)}
    return nn.Sequential(OrderedDict(parts))


def _check_heads(dim: int, num_heads: int) -> None:
    if dim % num_heads:
        raise ValueError(f'dim={dim} is not a multiple of num_heads={num_heads}')


def _check_no_inner_norm(scale_attn_norm: bool, scale_mlp_norm: bool) -> None:
    if scale_attn_norm or scale_mlp_norm:
        raise ValueError('scale_attn_norm and scale_mlp_norm need a block with separate branches, such as Block')


class VisionTransformer(TokenModel):
    """The network: (B, in_chans, H, W) -> (B, num_classes).

    Args:
        global_pool: What the classifier sees: 'token' the class token, 'avg', 'max', 'avgmax' of the patches, 'map' or
            'prr' an attention pool, '' all tokens.
        class_token: Put a learned token before the patches.
        pos_embed: 'learn' a table that is added to the tokens; '' or 'none' for none.
        no_embed_class: Prefix tokens have no entry in that table.
        reg_tokens: Number of register tokens.
        pre_norm: Norm before the blocks (CLIP, arXiv:2103.00020).
        final_norm: Norm after the blocks, or after pooling where `fc_norm`.
        fc_norm: Norm after pooling; None means where patches are pooled.
        pool_include_prefix: Prefix tokens are pooled too.
        dynamic_img_size: Take images of any size; the position table is resampled to each.
        dynamic_img_pad: Pad images to whole patches.
        patch_drop_rate: Share of patches that a training step leaves out.
        weight_init: How weights are drawn: '' (trunc_normal), 'jax', 'jax_nlhb', 'moco', 'reset' or 'skip'.
        fix_init: Divide output projections by sqrt(2 * layer) (arXiv:2106.08254).
        embed_layer: Builds the patch embedding.
        block_fn: Builds a block.

    Raises:
        AssertionError: Pooling, class token and position table do not fit together.
    """

    classifier_name = 'head'
    groups = ParamGroups(
        stem=r'^cls_token|pos_embed|patch_embed|reg_token|norm_pre',
        blocks=[(r'^blocks\.(\d+)', None), (r'^norm', (99999,))],
    )
    dynamic_img_size: torch.jit.Final[bool]

    def __init__(
        self,
        img_size: int | tuple[int, int] = 224,
        patch_size: int | tuple[int, int] = 16,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: Literal['', 'avg', 'avgmax', 'max', 'token', 'map', 'prr'] = 'token',
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_norm: bool = False,
        scale_attn_norm: bool = False,
        scale_mlp_norm: bool = False,
        proj_bias: bool = True,
        init_values: float | None = None,
        class_token: bool = True,
        pos_embed: str = 'learn',
        no_embed_class: bool = False,
        reg_tokens: int = 0,
        pre_norm: bool = False,
        final_norm: bool = True,
        fc_norm: bool | None = None,
        pool_include_prefix: bool = False,
        dynamic_img_size: bool = False,
        dynamic_img_pad: bool = False,
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        patch_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        weight_init: Literal['skip', 'reset', 'jax', 'jax_nlhb', 'moco', ''] = '',
        fix_init: bool = False,
        embed_layer: Callable[..., nn.Module] = PatchEmbed,
        embed_norm_layer: LayerType | None = None,
        norm_layer: LayerType | None = None,
        act_layer: LayerType | None = None,
        block_fn: Callable[..., nn.Module] = Block,
        mlp_layer: Callable[..., nn.Module] = Mlp,
        attn_layer: AttnLayer = Attention,
    ) -> None:
        super().__init__()
        _check_pooling(global_pool, class_token, pos_embed)
        use_fc_norm = global_pool in ('avg', 'avgmax', 'max') if fc_norm is None else fc_norm
        norm: Any = get_norm_layer(norm_layer) or LayerNorm
        embed_norm: Any = get_norm_layer(embed_norm_layer)
        act: Any = get_act_layer(act_layer) or nn.GELU

        self.describe(num_classes, in_chans, embed_dim)
        self.embed_dim = embed_dim
        self.global_pool = global_pool
        self.num_prefix_tokens = int(class_token) + reg_tokens
        self.num_reg_tokens = reg_tokens
        self.has_class_token = class_token
        self.no_embed_class = no_embed_class
        self.pool_include_prefix = pool_include_prefix
        self.dynamic_img_size = dynamic_img_size
        self.weight_init_mode = weight_init
        self.fix_init = fix_init

        embed_args: dict[str, Any] = {}
        if dynamic_img_size:
            embed_args.update(strict_img_size=False, output_fmt='NHWC')  # the grid is needed to resample positions
        if embed_norm is not None:
            embed_args['norm_layer'] = embed_norm
        self.patch_embed: Any = embed_layer(
            img_size=img_size,
            patch_size=patch_size,
            in_chans=in_chans,
            embed_dim=embed_dim,
            bias=not pre_norm,  # a norm follows at once
            dynamic_img_pad=dynamic_img_pad,
            **embed_args,
        )
        num_positions = self.patch_embed.num_patches + (0 if no_embed_class else self.num_prefix_tokens)
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim)) if class_token else None
        self.reg_token = nn.Parameter(torch.empty(1, reg_tokens, embed_dim)) if reg_tokens else None
        has_table = pos_embed not in ('', 'none')
        self.pos_embed = nn.Parameter(torch.empty(1, num_positions, embed_dim)) if has_table else None
        self.pos_drop = nn.Dropout(p=pos_drop_rate)
        self.patch_drop = (
            PatchDropout(patch_drop_rate, num_prefix_tokens=self.num_prefix_tokens)
            if patch_drop_rate > 0
            else nn.Identity()
        )
        self.norm_pre = norm(embed_dim) if pre_norm else nn.Identity()
        rates = calculate_drop_path_rates(drop_path_rate, depth)
        self.blocks = CheckpointedSequential(
            *(
                block_fn(
                    dim=embed_dim,
                    num_heads=num_heads,
                    mlp_ratio=mlp_ratio,
                    qkv_bias=qkv_bias,
                    qk_norm=qk_norm,
                    scale_attn_norm=scale_attn_norm,
                    scale_mlp_norm=scale_mlp_norm,
                    proj_bias=proj_bias,
                    init_values=init_values,
                    proj_drop=proj_drop_rate,
                    attn_drop=attn_drop_rate,
                    drop_path=rates[i],
                    norm_layer=norm,
                    act_layer=act,
                    mlp_layer=mlp_layer,
                    attn_layer=attn_layer,
                    depth=i,
                )
                for i in range(depth)
            )
        )
        reduction = self.patch_embed.feat_ratio() if hasattr(self.patch_embed, 'feat_ratio') else patch_size
        self.feature_info = [
            {'module': f'blocks.{i}', 'num_chs': embed_dim, 'reduction': reduction} for i in range(depth)
        ]
        self.norm = norm(embed_dim) if final_norm and not use_fc_norm else nn.Identity()
        self.attn_pool = _create_attn_pool(global_pool, embed_dim, num_heads, mlp_ratio, norm, act)
        self.fc_norm = norm(embed_dim) if final_norm and use_fc_norm else nn.Identity()
        self.head_drop = nn.Dropout(drop_rate)
        self.head = nn.Linear(embed_dim, num_classes) if num_classes > 0 else nn.Identity()
        if weight_init != 'skip':
            self.init_weights(weight_init, needs_reset=False)
        if fix_init:
            self.fix_init_weight()

    def fix_init_weight(self) -> None:
        """Divide output projections by sqrt(2 * layer), layers counted from 1 (BEiT, arXiv:2106.08254, section 2.5)."""
        blocks: Any = self.blocks
        for layer, block in enumerate(blocks, 1):
            with torch.no_grad():
                block.attn.proj.weight.div_(math.sqrt(2.0 * layer))
                block.mlp.fc2.weight.div_(math.sqrt(2.0 * layer))

    def init_weights(self, mode: str = '', needs_reset: bool = True) -> None:
        """Draw all weights anew.

        Args:
            mode: As the constructor's `weight_init`.
            needs_reset: First reset the modules that the mode says nothing about.

        Raises:
            AssertionError: The mode is unknown.
        """
        mode = mode or self.weight_init_mode
        assert mode in ('jax', 'jax_nlhb', 'moco', 'reset', 'skip', ''), f'unknown weight_init {mode!r}'
        if self.pos_embed is not None:
            trunc_normal_(self.pos_embed, std=0.02)
        if self.cls_token is not None:
            nn.init.normal_(self.cls_token, std=1e-6)
        if self.reg_token is not None:
            nn.init.normal_(self.reg_token, std=1e-6)
        head_bias = -math.log(self.num_classes) if 'nlhb' in mode else 0.0
        named_apply(get_init_weights_vit(mode, head_bias, needs_reset), self)

    def load_pretrained(self, checkpoint_path: str, prefix: str = '') -> None:
        """Read a JAX checkpoint (.npz) of the original code."""
        load_jax_weights(self, checkpoint_path, prefix)

    def no_weight_decay(self) -> set[str]:
        """Parameters that weight decay leaves alone."""
        return {'pos_embed', 'cls_token', 'reg_token', 'dist_token'}

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier; see `ImageModel.reset_classifier`.

        Raises:
            AssertionError: The pooling is unknown, or needs an attention pool that the network was built without.
        """
        self.num_classes = num_classes
        if global_pool is not None:
            _check_pooling(global_pool, self.has_class_token, 'learn')
            if global_pool in ('map', 'prr'):
                assert self.attn_pool is not None, (
                    f"Cannot currently add attention pooling: build the model with global_pool='{global_pool}'"
                )
            else:
                self.attn_pool = None
            self.global_pool = global_pool
            # Where the last norm lies was settled by the pooling of the start, and stays.
            pools_first, has_norm = not isinstance(self.fc_norm, nn.Identity), not isinstance(self.norm, nn.Identity)
            update_model_args(self, fc_norm=pools_first, final_norm=pools_first or has_norm)
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
        num_prefix = 0 if self.no_embed_class else self.num_prefix_tokens
        old_grid = self.patch_embed.grid_size
        self.patch_embed.set_input_size(img_size=img_size, patch_size=patch_size)
        new_grid = self.patch_embed.grid_size
        if self.pos_embed is not None and new_grid != old_grid:
            table = resample_abs_pos_embed(
                self.pos_embed, new_size=list(new_grid), old_size=list(old_grid), num_prefix_tokens=num_prefix
            )
            self.pos_embed = nn.Parameter(table.detach(), requires_grad=self.pos_embed.requires_grad)
        patch_args = {} if patch_size is None else {'patch_size': patch_size}
        update_model_input_size(self, self.patch_embed.img_size, **patch_args)

    def _pos_embed(self, x: Tensor) -> Tensor:
        """Prefix tokens and positions: patches (B, N, C), or (B, h, w, C) at any size -> tokens (B, P + N, C)."""
        table = self.pos_embed
        if self.dynamic_img_size:
            B, H, W, C = x.shape
            if table is not None:
                grid = self.patch_embed.grid_size
                table = resample_abs_pos_embed(
                    table,
                    new_size=[H, W],
                    old_size=None if grid is None else list(grid),
                    num_prefix_tokens=0 if self.no_embed_class else self.num_prefix_tokens,
                )
            x = x.reshape(B, -1, C)
        prefix: list[Tensor] = []
        if self.cls_token is not None:
            prefix.append(self.cls_token.expand(x.shape[0], -1, -1))
        if self.reg_token is not None:
            prefix.append(self.reg_token.expand(x.shape[0], -1, -1))
        if table is not None and self.no_embed_class:
            x = x + table
        if len(prefix) > 0:
            x = torch.cat(prefix + [x], dim=1)  # noqa: RUF005 (TorchScript has no unpacking)
        if table is not None and not self.no_embed_class:
            x = x + table
        return self.pos_drop(x)

    def embed(self, x: Tensor) -> Tensor:
        """What the first block sees: (B, in_chans, H, W) -> (B, P + N, C) (equation 1)."""
        x = self.patch_embed(x)
        x = self._pos_embed(x)
        x = self.patch_drop(x)
        return self.norm_pre(x)

    def token_grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patch tokens for an image of this size."""
        return self.patch_embed.dynamic_feat_size((height, width))

    def forward_features(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Tokens after the final norm: (B, in_chans, H, W) -> (B, P + N, C).

        Args:
            attn_mask: Added to the scores (float) or allows (bool) attention; broadcast to (B, heads, N, N).
            is_causal: Tokens see only those before them.
        """
        x = self.embed(x)
        if attn_mask is not None or is_causal:
            for block in self.blocks:
                x = block(x, attn_mask=attn_mask, is_causal=is_causal)
        else:
            x = self.blocks(x)  # one argument a block: replaced blocks need take no mask
        return self.norm(x)

    def pool(self, x: Tensor, pool_type: str | None = None) -> Tensor:
        """One vector an image: (B, N, C) -> (B, C); all tokens where the pooling is ''."""
        if self.attn_pool is not None:
            if not self.pool_include_prefix:
                x = x[:, self.num_prefix_tokens :]
            return self.attn_pool(x)
        return global_pool_nlc(
            x,
            pool_type=self.global_pool if pool_type is None else pool_type,
            num_prefix_tokens=self.num_prefix_tokens,
            reduce_include_prefix=self.pool_include_prefix,
        )

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify (equation 4); with `pre_logits` stop before the classifier."""
        x = self.pool(x)
        x = self.fc_norm(x)
        x = self.head_drop(x)
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Logits of images: (B, in_chans, H, W) -> (B, num_classes)."""
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
        output_dict: bool = False,
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Any:
        """Outputs of several blocks; see `TokenModel.forward_intermediates`.

        Args:
            return_prefix_tokens: Items of the list are (patches, prefix tokens).
            output_dict: Return {'image_intermediates', 'image_intermediates_prefix', 'image_features'} instead.
        """
        masks = {} if attn_mask is None and not is_causal else {'attn_mask': attn_mask, 'is_causal': is_causal}
        final, intermediates = self.walk_blocks(x, indices, norm, stop_early or intermediates_only, output_fmt, **masks)
        patches = [item for item, _ in intermediates]
        if output_dict:
            result: dict[str, Any] = {'image_intermediates': patches}
            if return_prefix_tokens and self.num_prefix_tokens:
                result['image_intermediates_prefix'] = [prefix for _, prefix in intermediates]
            if not intermediates_only:
                result['image_features'] = final()
            return result
        items = intermediates if return_prefix_tokens and self.num_prefix_tokens else patches
        return items if intermediates_only else (final(), items)

    def get_intermediate_layers(
        self,
        x: Tensor,
        n: int | list[int] | tuple[int, ...] = 1,
        reshape: bool = False,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        attn_mask: Tensor | None = None,
    ) -> list[Any]:
        """Outputs of the last `n` blocks, or of these blocks, as DINO code asks for them (arXiv:2104.14294).

        Args:
            reshape: (B, C, h, w) instead of (B, h * w, C).
            return_prefix_tokens: Items are (patches, prefix tokens).
        """
        return self.forward_intermediates(
            x,
            n if isinstance(n, int) else list(n),
            return_prefix_tokens=return_prefix_tokens,
            norm=norm,
            output_fmt='NCHW' if reshape else 'NLC',
            intermediates_only=True,
            attn_mask=attn_mask,
        )


def _check_pooling(global_pool: str, class_token: bool, pos_embed: str) -> None:
    known = ('', 'avg', 'avgmax', 'max', 'token', 'map', 'prr')
    assert global_pool in known, f'global_pool must be one of {known}, got {global_pool!r}'
    assert class_token or global_pool != 'token', "global_pool='token' needs a class token"
    assert pos_embed in ('', 'none', 'learn'), f"pos_embed must be 'learn', 'none' or '', got {pos_embed!r}"


def _create_attn_pool(
    global_pool: str, dim: int, num_heads: int, mlp_ratio: float, norm: Any, act: Any
) -> nn.Module | None:
    if global_pool == 'map':
        return AttentionPoolLatent(dim, num_heads=num_heads, mlp_ratio=mlp_ratio, norm_layer=norm, act_layer=act)
    if global_pool == 'prr':
        return AttentionPoolPrr(dim, num_heads=num_heads)
    return None


def _reset_or_own(module: nn.Module, needs_reset: bool) -> None:
    """Let a module that the mode says nothing about draw its own weights."""
    if hasattr(module, 'init_weights'):
        module.init_weights()  # pyright: ignore[reportCallIssue]
    elif needs_reset and hasattr(module, 'reset_parameters'):
        module.reset_parameters()  # pyright: ignore[reportCallIssue]


def init_weights_vit_timm(module: nn.Module, name: str = '', needs_reset: bool = True) -> None:
    """Linear layers from a truncated normal of deviation 0.02, biases 0 (as published with DeiT)."""
    del name
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    else:
        _reset_or_own(module, needs_reset)


def init_weights_vit_jax(module: nn.Module, name: str = '', head_bias: float = 0.0, needs_reset: bool = True) -> None:
    """As the original JAX code: Glorot matrices, a zero classifier with bias `head_bias`, tiny MLP biases."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        init_weight_jax(module, name, head_bias)
    else:
        _reset_or_own(module, needs_reset)


def init_weights_vit_moco(module: nn.Module, name: str = '', needs_reset: bool = True) -> None:
    """Glorot matrices, queries, keys and values each on their own (MoCo v3, arXiv:2104.02057)."""
    if isinstance(module, nn.Linear):
        if 'qkv' in name:
            bound = math.sqrt(6.0 / (module.weight.shape[0] // 3 + module.weight.shape[1]))
            nn.init.uniform_(module.weight, -bound, bound)
        else:
            nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    else:
        _reset_or_own(module, needs_reset)


def init_weights_reset_parameters(module: nn.Module, name: str = '', needs_reset: bool = True) -> None:
    """Every module in its own way."""
    del name
    if needs_reset and hasattr(module, 'reset_parameters'):
        module.reset_parameters()  # pyright: ignore[reportCallIssue]


def get_init_weights_vit(mode: str = 'jax', head_bias: float = 0.0, needs_reset: bool = True) -> Callable[..., None]:
    """The function (module, name) that draws a module's weights in this mode."""
    if 'jax' in mode:
        return partial(init_weights_vit_jax, head_bias=head_bias, needs_reset=needs_reset)
    if 'moco' in mode:
        return partial(init_weights_vit_moco, needs_reset=needs_reset)
    if 'reset' in mode:
        return partial(init_weights_reset_parameters, needs_reset=True)
    return partial(init_weights_vit_timm, needs_reset=needs_reset)


__getattr__ = entrypoints(__name__)
