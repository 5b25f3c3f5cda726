"""Multi-head self attention over tokens, plain or with rotary positions (arXiv:1706.03762, section 3.2)."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import BadValue, check_builders, check_counts, share_of
from ._device import Module
from ._fx import register_notrace_function
from .config import use_fused_attn
from .rotary import apply_rot_embed_cat

__all__ = ['Attention', 'AttentionRope', 'maybe_add_mask', 'resolve_self_attn_mask']


@register_notrace_function
def maybe_add_mask(scores: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
    """Attention scores plus an additive mask that broadcasts to them, or the scores themselves where it is None."""
    return scores if attn_mask is None else scores + attn_mask


@register_notrace_function
def resolve_self_attn_mask(
    seq_len: int,
    attn: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    is_causal: bool = False,
) -> torch.Tensor | None:
    """One additive mask that says what a mask and a wish for causality say; None where there is nothing to say.

    Shape: attn_mask, which broadcasts to (B, heads, N, N) -> the same, or (N, N) for causality alone

    Args:
        attn: The scores; the mask takes their dtype and device.
        attn_mask: True where a query may look at a key, or numbers to add.
        is_causal: A query may look at no later key.

    Raises:
        TypeError: The mask holds whole numbers, which could mean either.
    """
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=attn.dtype).masked_fill(~attn_mask, float('-inf'))
    elif attn_mask is not None and not attn_mask.is_floating_point():
        raise TypeError(f'A mask of {attn_mask.dtype} is ambiguous: use torch.bool, or numbers to add in {attn.dtype}.')
    if is_causal:
        later = torch.full((seq_len, seq_len), float('-inf'), dtype=attn.dtype, device=attn.device).triu_(1)
        attn_mask = later if attn_mask is None else attn_mask + later
    return attn_mask


class _SelfAttention(Module):
    """What both kinds of self attention share: everything but how queries, keys and values come about."""

    fused_attn: torch.jit.Final[bool]

    def __init__(self, dim: int, num_heads: int, head_dim: int | None) -> None:
        super().__init__()
        if head_dim is None:
            head_dim = share_of('dim', dim, 'num_heads', num_heads, ', or set attn_head_dim')
        check_counts(num_heads=num_heads, attn_head_dim=head_dim)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.attn_dim = num_heads * head_dim
        self.scale = head_dim**-0.5
        self.fused_attn = use_fused_attn()

    def _add_output(
        self,
        dim: int,
        dim_out: int | None,
        norm_layer: Callable[..., nn.Module] | None,
        qk_norm: bool,
        scale_norm: bool,
        gate: nn.Module | None,
        proj_bias: bool,
        attn_drop: float,
        proj_drop: float,
    ) -> None:
        """Create what follows the projections, in the order of the published state dicts."""

        def norm(wanted: bool, width: int) -> nn.Module:
            if not wanted:
                return nn.Identity()
            if norm_layer is None:
                raise BadValue('qk_norm and scale_norm need norms, and norm_layer=None: use a class such as LayerNorm.')
            check_builders(norm_layer=norm_layer)
            return norm_layer(width)

        self.q_norm = norm(qk_norm, self.head_dim)
        self.k_norm = norm(qk_norm, self.head_dim)
        self.attn_drop = nn.Dropout(attn_drop)
        self.norm = norm(scale_norm, self.attn_dim)
        self.gate = gate
        self.proj = nn.Linear(self.attn_dim, dim if dim_out is None else dim_out, bias=proj_bias)
        self.proj_drop = nn.Dropout(proj_drop)

    def _attend(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        attn_mask: torch.Tensor | None,
        is_causal: bool,
    ) -> torch.Tensor:
        """softmax(q k^T * scale + mask) v: (B, heads, N, head_dim) three times -> (B, N, heads * head_dim)."""
        if self.fused_attn:
            drop = self.attn_drop.p if self.training else 0.0
            mixed = F.scaled_dot_product_attention(
                q, k, v, attn_mask=attn_mask, dropout_p=drop, is_causal=is_causal, scale=self.scale
            )
        else:
            scores = (q * self.scale) @ k.transpose(-2, -1)
            mask = resolve_self_attn_mask(q.shape[2], scores, attn_mask, is_causal)
            scores = maybe_add_mask(scores, mask)
            mixed = self.attn_drop(scores.softmax(dim=-1)) @ v
        return mixed.transpose(1, 2).flatten(2)

    def _project(self, x: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """The way out; the gate, if there is one, looks at the tokens `x` that came in."""
        mixed = self.norm(mixed)
        if self.gate is not None:
            mixed = mixed * self.gate(x).sigmoid()
        return self.proj_drop(self.proj(mixed))


class Attention(_SelfAttention):
    """Self attention with one projection for queries, keys and values together.

    Shape: (B, N, dim) -> (B, N, dim_out)

    Args:
        attn_head_dim: Width of a head; dim / num_heads when None.
        dim_out: `dim` when None.
        qkv_bias: Also for the gate's projection.
        qk_norm: Normalise each head's queries and keys (arXiv:2302.05442, section 2.1).
        scale_norm: Normalise what attention returns, before the projection out.
        gated: Multiply that by the sigmoid of a projection of the tokens that came in (arXiv:2505.06708).
        attn_drop: Dropout of attention weights; `proj_drop` of the result.
        norm_layer: Builds the norms from their width.

    Raises:
        ValueError: `dim` is no multiple of `num_heads` and there is no `attn_head_dim`; a norm is wanted without
            a `norm_layer`.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        attn_head_dim: int | None = None,
        dim_out: int | None = None,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        scale_norm: bool = False,
        proj_bias: bool = True,
        gated: bool = False,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__(dim, num_heads, attn_head_dim)
        self.qkv = nn.Linear(dim, 3 * self.attn_dim, bias=qkv_bias)
        gate = nn.Linear(dim, self.attn_dim, bias=qkv_bias) if gated else None
        self._add_output(dim, dim_out, norm_layer, qk_norm, scale_norm, gate, proj_bias, attn_drop, proj_drop)

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None, is_causal: bool = False) -> torch.Tensor:
        """Tokens that have looked at each other.

        Args:
            attn_mask: Broadcasts to (B, heads, N, N): True where a query may look at a key, or numbers to add.
            is_causal: A token looks at none behind it; the fused kernel takes no mask beside it.
        """
        B, N, _ = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        return self._project(x, self._attend(self.q_norm(q), self.k_norm(k), v, attn_mask, is_causal))


class AttentionRope(_SelfAttention):
    """Self attention that turns queries and keys by rotary position embeddings (RoFormer, arXiv:2104.09864).

    Shape: (B, N, dim) -> (B, N, dim_out)

    Args:
        dim_out: `dim` when None.
        qkv_bias: Also for the gate's projection.
        qkv_fused: One projection for queries, keys and values together, else three.
        num_prefix_tokens: Tokens at the start that have no position.
        attn_drop: Dropout of attention weights; `proj_drop` of the result.
        attn_head_dim: Width of a head; dim / num_heads when None.
        norm_layer: Builds the norms from their width.
        qk_norm: Normalise each head's queries and keys, before they turn (arXiv:2302.05442, section 2.1).
        scale_norm: Normalise what attention returns, before the projection out.
        rotate_half: A turn mixes a channel with the one half a head further, not with its neighbour.
        gated: Multiply what attention returns by the sigmoid of a projection of the tokens that came in.
        num_kv_heads: Heads of keys and values, each serving as many query heads (arXiv:2305.13245); all when None.

    Raises:
        ValueError: `dim` is no multiple of `num_heads` and there is no `attn_head_dim`; `num_heads` is no multiple of
            `num_kv_heads`; these differ and `qkv_fused`; a norm is wanted without a `norm_layer`; fewer than no prefix
            tokens.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        dim_out: int | None = None,
        qkv_bias: bool = True,
        qkv_fused: bool = True,
        num_prefix_tokens: int = 1,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        attn_head_dim: int | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
        qk_norm: bool = False,
        scale_norm: bool = False,
        proj_bias: bool = True,
        rotate_half: bool = False,
        gated: bool = False,
        num_kv_heads: int | None = None,
    ) -> None:
        super().__init__(dim, num_heads, attn_head_dim)
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        self.num_kv_groups = share_of('num_heads', num_heads, 'num_kv_heads', self.num_kv_heads)
        if num_prefix_tokens < 0:
            raise BadValue(f'num_prefix_tokens={num_prefix_tokens} is less than none: use 0 or more.')
        if qkv_fused and self.num_kv_heads != num_heads:
            raise BadValue(
                f'A fused projection has {num_heads} heads for all, not num_kv_heads={num_kv_heads}: '
                f'set qkv_fused=False.'
            )
        self.kv_dim = self.num_kv_heads * self.head_dim
        self.num_prefix_tokens = num_prefix_tokens
        self.rotate_half = rotate_half
        self.qkv = nn.Linear(dim, 3 * self.attn_dim, bias=qkv_bias) if qkv_fused else None
        self.q_proj = None if qkv_fused else nn.Linear(dim, self.attn_dim, bias=qkv_bias)
        self.k_proj = None if qkv_fused else nn.Linear(dim, self.kv_dim, bias=qkv_bias)
        self.v_proj = None if qkv_fused else nn.Linear(dim, self.kv_dim, bias=qkv_bias)
        gate = nn.Linear(dim, self.attn_dim, bias=qkv_bias) if gated else None
        self._add_output(dim, dim_out, norm_layer, qk_norm, scale_norm, gate, proj_bias, attn_drop, proj_drop)

    def _project_fused(self, x: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values beside each other: (B, N, dim) -> (B, N, 3 * heads * head_dim)."""
        assert self.qkv is not None
        return self.qkv(x)

    def _rotate(self, x: torch.Tensor, rope: torch.Tensor) -> torch.Tensor:
        if self.num_prefix_tokens == 0:
            return apply_rot_embed_cat(x, rope, half=self.rotate_half)
        prefix, patches = x[:, :, : self.num_prefix_tokens], x[:, :, self.num_prefix_tokens :]
        return torch.cat([prefix, apply_rot_embed_cat(patches, rope, half=self.rotate_half)], dim=2)

    def forward(
        self,
        x: torch.Tensor,
        rope: torch.Tensor | None = None,
        attn_mask: torch.Tensor | None = None,
        is_causal: bool = False,
    ) -> torch.Tensor:
        """Tokens that have looked at each other.

        Args:
            rope: Sines beside cosines, (N - num_prefix_tokens, 2 * head_dim) or one such table per image and head.
            attn_mask: Broadcasts to (B, heads, N, N): True where a query may look at a key, or numbers to add.
            is_causal: A token looks at none behind it; the fused kernel takes no mask beside it.
        """
        B, N, _ = x.shape
        if self.qkv is not None:
            qkv = self._project_fused(x).reshape(B, N, 3, self.num_heads, self.head_dim)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        else:
            assert self.q_proj is not None
            assert self.k_proj is not None
            assert self.v_proj is not None
            q = self.q_proj(x).reshape(B, N, self.num_heads, self.head_dim).transpose(1, 2)
            k = self.k_proj(x).reshape(B, N, self.num_kv_heads, self.head_dim).transpose(1, 2)
            v = self.v_proj(x).reshape(B, N, self.num_kv_heads, self.head_dim).transpose(1, 2)
        q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q, k = self._rotate(q, rope).type_as(v), self._rotate(k, rope).type_as(v)
        if self.num_kv_groups > 1:
            k = k.repeat_interleave(self.num_kv_groups, dim=1)
            v = v.repeat_interleave(self.num_kv_groups, dim=1)
        return self._project(x, self._attend(q, k, v, attn_mask, is_causal))
