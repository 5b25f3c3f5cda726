"""Differential attention: what one softmax map has over another (arXiv:2410.05258)."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import BadValue, check_builders, check_counts, check_multiple
from ._device import Module
from .attention import maybe_add_mask, resolve_self_attn_mask
from .config import use_fused_attn
from .norm import RmsNorm

__all__ = ['DiffAttention']


class DiffAttention(Module):
    """Self attention by the difference of two softmax maps, which cancels what both attend to without need (eq. 1-3).

    Each of the heads has two queries and two keys of `head_dim` and one value of twice that.

    Shape: (B, N, dim) -> (B, N, dim)

    Args:
        qk_norm: Normalise each query and key.
        scale_norm: Normalise all heads together before the projection out.
        attn_drop: Dropout of attention weights; `proj_drop` of the result.
        norm_layer: Builds the norms from their width; RMS norm when None.
        depth: Index of the block in its network, from which lambda starts (section 2.1).
        dual_lambda: Learn one scalar for each map, not two vectors.

    Raises:
        ValueError: `dim` is no multiple of 2 * `num_heads`.
    """

    fused_attn: torch.jit.Final[bool]
    dual_lambda: torch.jit.Final[bool]
    if TYPE_CHECKING:  # those of the other kind are None
        lambda_q1: torch.Tensor
        lambda_k1: torch.Tensor
        lambda_q2: torch.Tensor
        lambda_k2: torch.Tensor
        lambda_a: torch.Tensor
        lambda_b: torch.Tensor

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        scale_norm: bool = False,
        proj_bias: bool = True,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        norm_layer: Callable[..., nn.Module] | None = None,
        depth: int = 0,
        dual_lambda: bool = False,
    ) -> None:
        super().__init__()
        check_counts(num_heads=num_heads)
        check_multiple('dim', dim, 2 * num_heads, f'cannot be shared by two maps of num_heads={num_heads}')
        check_builders(norm_layer=norm_layer)
        norm_layer = norm_layer or RmsNorm
        self.num_heads = num_heads
        self.head_dim = dim // num_heads // 2
        self.scale = self.head_dim**-0.5
        self.fused_attn = use_fused_attn()
        self.attn_drop_p = attn_drop
        self.dual_lambda = dual_lambda

        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias)
        self.q_norm = norm_layer(self.head_dim) if qk_norm else nn.Identity()
        self.k_norm = norm_layer(self.head_dim) if qk_norm else nn.Identity()
        self.attn_drop = nn.Dropout(attn_drop)
        self.norm = norm_layer(dim) if scale_norm else nn.Identity()
        self.proj = nn.Linear(dim, dim, bias=proj_bias)
        self.proj_drop = nn.Dropout(proj_drop)
        self.sub_norm = RmsNorm(2 * self.head_dim, eps=1e-5)

        vectors, scalars = ('lambda_q1', 'lambda_k1', 'lambda_q2', 'lambda_k2'), ('lambda_a', 'lambda_b')
        for name in vectors:
            self._learn(name, None if dual_lambda else (self.head_dim,))
        for name in scalars:
            self._learn(name, () if dual_lambda else None)
        self.set_lambda_init(depth)
        self.reset_parameters()

    def _learn(self, name: str, shape: tuple[int, ...] | None) -> None:
        # float32 whatever the dtype of the rest, because an exponential follows
        values = None if shape is None else nn.Parameter(torch.empty(shape, dtype=torch.float32))
        self.register_parameter(name, values)

    def set_lambda_init(self, depth: int) -> None:
        """Fix the constant part of lambda for a block of this index (section 2.1).

        Raises:
            ValueError: The index is negative.
        """
        if depth < 0:
            raise BadValue(f'depth={depth} is no index of a block: use 0 for the first.')
        self.lambda_init = 0.8 - 0.6 * math.exp(-0.3 * depth)

    def reset_parameters(self) -> None:
        """Draw the learned part of lambda anew: scalars are zero, vectors normal with deviation 0.1."""
        for parameter in self.parameters(recurse=False):
            if self.dual_lambda:
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=0.1)

    def _weight_of_second_map(self) -> torch.Tensor:
        """The lambda of eq. 2."""
        if self.dual_lambda:
            first, second = self.lambda_a, self.lambda_b
        else:
            first, second = (self.lambda_q1 * self.lambda_k1).sum(), (self.lambda_q2 * self.lambda_k2).sum()
        return first.exp() - second.exp() + self.lambda_init

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None, is_causal: bool = False) -> torch.Tensor:
        """Tokens that have looked at each other.

        Args:
            attn_mask: Broadcasts to (B, heads, N, N): True where a query may look at a key, or numbers to add.
            is_causal: A token looks at none behind it; the fused kernel takes no mask beside it.
        """
        B, N, _ = x.shape
        q, k, v = self.qkv(x).chunk(3, dim=2)
        # (B, 2 maps, heads, N, head_dim)
        q = self.q_norm(q.reshape(B, N, self.num_heads, 2, self.head_dim).permute(0, 3, 2, 1, 4))
        k = self.k_norm(k.reshape(B, N, self.num_heads, 2, self.head_dim).permute(0, 3, 2, 1, 4))
        v = v.reshape(B, N, self.num_heads, 2 * self.head_dim).transpose(1, 2)
        weight = self._weight_of_second_map().type_as(v)

        if self.fused_attn:
            drop = self.attn_drop_p if self.training else 0.0
            wanted = F.scaled_dot_product_attention(
                q[:, 0], k[:, 0], v, attn_mask=attn_mask, dropout_p=drop, is_causal=is_causal
            )
            noise = F.scaled_dot_product_attention(
                q[:, 1], k[:, 1], v, attn_mask=attn_mask, dropout_p=drop, is_causal=is_causal
            )
            mixed = wanted - weight * noise
        else:
            scores = (q * self.scale) @ k.transpose(-2, -1)
            mask = resolve_self_attn_mask(N, scores, attn_mask, is_causal)
            first, second = scores.unbind(1)
            first = maybe_add_mask(first, mask).softmax(dim=-1)
            second = maybe_add_mask(second, mask).softmax(dim=-1)
            mixed = self.attn_drop(first - weight * second) @ v

        mixed = self.sub_norm(mixed) * (1 - self.lambda_init)
        return self.proj_drop(self.proj(self.norm(mixed.transpose(1, 2).flatten(2))))
