"""Pooling of token sequences by attention: learned queries, or none at all."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import BadValue, check_builders, check_counts, share_of
from ._device import Module
from .attention import maybe_add_mask, resolve_self_attn_mask
from .config import use_fused_attn
from .mlp import Mlp
from .weight_init import trunc_normal_tf_

__all__ = ['AttentionPoolLatent', 'AttentionPoolPrr']


class AttentionPoolLatent(Module):
    """Learned queries that attend to all tokens, then an MLP beside a skip: MAP head (arXiv:2106.04560, section 3.1).

    Shape: (B, N, embed_dim) -> (B, out_features), or (B, latent_len, out_features) with `pool_type=''`

    Args:
        in_features: Width of the position table, and of the others when they are None.
        out_features: Width of what comes out; 0 leaves out the last projection and the MLP, for `embed_dim`.
        embed_dim: Width of tokens and of attention.
        feat_size: N, which only `pos_embed='abs'` needs.
        mlp_ratio: Hidden width of the MLP over `out_features`.
        qkv_bias: Biases of the projections of queries, and of keys and values.
        q_proj: Project the latents to queries, else use them as they are.
        qk_norm: Normalise each head's queries and keys by `norm_layer`.
        latent_len: Number of queries.
        latent_dim: Width of the latents; `embed_dim` when None.
        pos_embed: 'abs' adds a learned embedding of each token's position; '' adds none.
        pool_type: 'token' takes the first query's result, 'avg' the mean of all, '' keeps them all.
        norm_layer: Builds norms from their width: the one before the MLP, none when None, and those of `qk_norm`, which
            are layer norms when None.
        drop: Dropout after attention.

    Raises:
        ValueError: `embed_dim` is no multiple of `num_heads`; `pos_embed` or `pool_type` is unknown; 'abs' without a
            `feat_size`; latents of another width than `embed_dim` without `q_proj`.
    """

    fused_attn: torch.jit.Final[bool]
    pool: torch.jit.Final[str]

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        embed_dim: int | None = None,
        num_heads: int = 8,
        feat_size: int | None = None,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        q_proj: bool = True,
        qk_norm: bool = False,
        latent_len: int = 1,
        latent_dim: int | None = None,
        pos_embed: str = '',
        pool_type: str = 'token',
        norm_layer: Callable[..., nn.Module] | None = None,
        act_layer: Callable[..., nn.Module] = nn.GELU,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        embed_dim = embed_dim or in_features
        out_features = in_features if out_features is None else out_features
        self.out_features = out_features or embed_dim
        self.latent_dim = latent_dim or embed_dim
        self.latent_len = latent_len
        self.num_heads = num_heads
        self.head_dim = share_of('embed_dim', embed_dim, 'num_heads', num_heads)
        self.scale = self.head_dim**-0.5
        self.feat_size = feat_size
        self.pool = pool_type
        self.fused_attn = use_fused_attn()
        check_counts(latent_len=latent_len)
        check_builders(norm_layer=norm_layer, act_layer=act_layer)
        if pool_type not in ('token', 'avg', ''):
            raise BadValue(f"pool_type={pool_type!r} is not known: use 'token', 'avg' or ''.")
        if pos_embed not in ('abs', ''):
            raise BadValue(f"pos_embed={pos_embed!r} is not known: use 'abs' or ''.")
        if pos_embed and not feat_size:
            raise BadValue("pos_embed='abs' needs to know the number of tokens: give feat_size.")
        if not q_proj and self.latent_dim != embed_dim:
            raise BadValue(f'Latents of width {latent_dim} cannot be queries of width {embed_dim}: set q_proj=True.')

        self.pos_embed = nn.Parameter(torch.zeros(feat_size, in_features)) if pos_embed and feat_size else None
        self.latent = nn.Parameter(torch.zeros(1, latent_len, self.latent_dim))
        self.q = nn.Linear(self.latent_dim, embed_dim, bias=qkv_bias) if q_proj else nn.Identity()
        self.kv = nn.Linear(embed_dim, 2 * embed_dim, bias=qkv_bias)
        head_norm = (norm_layer or nn.LayerNorm) if qk_norm else nn.Identity
        self.q_norm = head_norm(self.head_dim)
        self.k_norm = head_norm(self.head_dim)
        self.proj = nn.Linear(embed_dim, out_features) if out_features else nn.Identity()
        self.proj_drop = nn.Dropout(drop)
        self.norm = norm_layer(out_features) if out_features and norm_layer is not None else nn.Identity()
        self.mlp = Mlp(out_features, int(out_features * mlp_ratio), act_layer=act_layer) if out_features else None
        self.init_weights()

    def init_weights(self) -> None:
        """Draw latents and positions anew, with a deviation of one over the root of their width."""
        if self.pos_embed is not None:
            trunc_normal_tf_(self.pos_embed, std=self.pos_embed.shape[1] ** -0.5)
        trunc_normal_tf_(self.latent, std=self.latent_dim**-0.5)

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        """What the queries found.

        Args:
            attn_mask: Broadcasts to (B, heads, latent_len, N): True where a query may look, or numbers to add.
        """
        B, N, _ = x.shape
        if self.pos_embed is not None:
            x = x + self.pos_embed.to(x.dtype)
        q = self.q(self.latent.expand(B, -1, -1)).reshape(B, self.latent_len, self.num_heads, self.head_dim)
        k, v = self.kv(x).reshape(B, N, 2, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.q_norm(q.transpose(1, 2)), self.k_norm(k)
        if self.fused_attn:
            found = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
        else:
            scores = (q * self.scale) @ k.transpose(-2, -1)
            scores = maybe_add_mask(scores, resolve_self_attn_mask(N, scores, attn_mask))
            found = scores.softmax(dim=-1) @ v
        x = self.proj_drop(self.proj(found.transpose(1, 2).flatten(2)))
        if self.mlp is not None:
            x = x + self.mlp(self.norm(x))
        if self.pool == 'token':
            return x[:, 0]
        return x.mean(dim=1) if self.pool == 'avg' else x


class AttentionPoolPrr(Module):
    """Tokens attend to each other without any projection, then the first, or the mean of all, is the pooled one.

    Shape: (B, N, dim) -> (B, dim)

    Args:
        pool_type: 'token' takes the first token, 'avg' the mean of all.
        pre_norm: Normalise the tokens, `post_norm` the pooled one.
        norm_layer: Builds these from their width; layer norm when None.

    Raises:
        ValueError: `dim` is no multiple of `num_heads`; `pool_type` is unknown.
    """

    fused_attn: torch.jit.Final[bool]
    pool: torch.jit.Final[str]

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        pool_type: str = 'token',
        pre_norm: bool = False,
        post_norm: bool = False,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if pool_type not in ('token', 'avg'):
            raise BadValue(f"pool_type={pool_type!r} is not known: use 'token' or 'avg'.")
        check_builders(norm_layer=norm_layer)
        norm_layer = norm_layer or nn.LayerNorm
        self.num_heads = num_heads
        self.head_dim = share_of('dim', dim, 'num_heads', num_heads)
        self.scale = self.head_dim**-0.5
        self.pool = pool_type
        self.fused_attn = use_fused_attn()
        self.out_features = dim
        self.pre_norm = norm_layer(dim) if pre_norm else nn.Identity()
        self.post_norm = norm_layer(dim) if post_norm else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The pooled token."""
        x = self.pre_norm(x)
        heads = x.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2)
        queries = heads[:, :, :1] if self.pool == 'token' else heads
        if self.fused_attn:
            found = F.scaled_dot_product_attention(queries, heads, heads)
        else:
            found = (queries * self.scale @ heads.transpose(-2, -1)).softmax(dim=-1) @ heads
        return self.post_norm(found.transpose(1, 2).flatten(2).mean(dim=1))
