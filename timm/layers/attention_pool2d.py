"""Pooling of feature maps by attention from their mean (CLIP, arXiv:2103.00020, section 2.4)."""

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import BadValue, share_of, size_2d
from ._device import Module, building_on
from .config import use_fused_attn
from .helpers import get_device_dtype
from .pos_embed import resample_abs_pos_embed
from .pos_embed_sincos import apply_rot_embed_cat, create_rope_embed
from .weight_init import trunc_normal_

__all__ = ['AttentionPool2d', 'RotAttentionPool2d']


def _check_pool_type(pool_type: str) -> None:
    if pool_type not in ('token', ''):
        raise BadValue(f"pool_type={pool_type!r} is not possible: use 'token' to pool or '' to keep the map.")


class _AttentionPool(Module):
    """What both poolings share: everything but how positions come in."""

    fused_attn: torch.jit.Final[bool]

    def __init__(
        self,
        in_features: int,
        out_features: int | None,
        embed_dim: int | None,
        head_dim: int | None,
        num_heads: int | None,
        qkv_bias: bool,
        qkv_separate: bool,
        pool_type: str,
        class_token: bool,
        drop_rate: float,
    ) -> None:
        super().__init__()
        _check_pool_type(pool_type)
        embed_dim = embed_dim or in_features
        if num_heads is None:
            heads = share_of('embed_dim', embed_dim, 'head_dim', head_dim or embed_dim, ', or set num_heads')
        else:
            heads = num_heads
        self.embed_dim = embed_dim
        self.in_features = in_features
        self.num_heads = heads
        self.head_dim = share_of('embed_dim', embed_dim, 'num_heads', heads)
        self.pool_type = pool_type
        self.scale = self.head_dim**-0.5
        self.fused_attn = use_fused_attn()

        self.cls_token = nn.Parameter(torch.zeros(1, in_features)) if class_token else None
        self.qkv = None if qkv_separate else nn.Linear(in_features, 3 * embed_dim, bias=qkv_bias)
        self.q = nn.Linear(in_features, embed_dim, bias=qkv_bias) if qkv_separate else None
        self.k = nn.Linear(in_features, embed_dim, bias=qkv_bias) if qkv_separate else None
        self.v = nn.Linear(in_features, embed_dim, bias=qkv_bias) if qkv_separate else None
        self.drop = nn.Dropout(drop_rate)
        self._set_out_features(in_features if out_features is None else out_features)

    def _set_out_features(self, out_features: int) -> None:
        self.out_features = out_features if out_features > 0 else self.embed_dim
        self.proj = nn.Linear(self.embed_dim, out_features) if out_features > 0 else nn.Identity()

    def init_weights(self, zero_init_last: bool = False) -> None:  # noqa: ARG002
        """Draw the projections to queries, keys and values anew.

        Args:
            zero_init_last: For symmetry with residual blocks: a head has no residual branch to close.
        """
        for projection in (self.qkv, self.q, self.k, self.v):
            if projection is not None:
                trunc_normal_(projection.weight, std=self.in_features**-0.5)
                if projection.bias is not None:
                    nn.init.zeros_(projection.bias)

    def reset(
        self,
        num_classes: int | None = None,
        pool_type: str | None = None,
        reset_other: bool = False,  # noqa: ARG002
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Another number of outputs, another kind of pooling, or both.

        Args:
            num_classes: Outputs of a new projection; 0 leaves it out, None leaves it alone.
            pool_type: 'token' or ''; None leaves it alone.
            reset_other: For symmetry with other heads: nothing else is reset.
            device: Of the new projection, that of the module when None, as is `dtype`.

        Raises:
            ValueError: `pool_type` is another.
        """
        if pool_type is not None:
            _check_pool_type(pool_type)
            self.pool_type = pool_type
        if num_classes is not None:
            with building_on(**get_device_dtype(self, device, dtype)):
                self._set_out_features(num_classes)
            self.proj.train(self.training)

    def _tokens(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, 1 + H * W, C): the token that gathers, then the positions."""
        x = x.flatten(2).transpose(1, 2)
        if self.cls_token is None:
            gathering = x.mean(1, keepdim=True)
        else:
            gathering = self.cls_token.expand(x.shape[0], -1, -1)
        return torch.cat([gathering, x], dim=1)

    def _project(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        B, N, _ = x.shape
        if self.qkv is not None:
            q, k, v = self.qkv(x).reshape(B, N, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
            return q, k, v
        assert self.q is not None
        assert self.k is not None
        assert self.v is not None
        q = self.q(x).reshape(B, N, self.num_heads, self.head_dim).transpose(1, 2)
        k = self.k(x).reshape(B, N, self.num_heads, self.head_dim).transpose(1, 2)
        v = self.v(x).reshape(B, N, self.num_heads, self.head_dim).transpose(1, 2)
        return q, k, v

    def _pool(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, size: tuple[int, int], pre_logits: bool
    ) -> torch.Tensor:
        if self.pool_type == 'token':
            q = q[:, :, :1]
        if self.fused_attn:
            x = F.scaled_dot_product_attention(q, k, v)
        else:
            x = (q * self.scale @ k.transpose(-2, -1)).softmax(dim=-1) @ v
        x = x.transpose(1, 2).flatten(2)
        x = x[:, 0] if self.pool_type == 'token' else x[:, 1:]
        x = self.drop(x)
        if not pre_logits:
            x = self.proj(x)
        if self.pool_type == 'token':
            return x
        return x.transpose(1, 2).unflatten(2, size)


class AttentionPool2d(_AttentionPool):
    """Attention of a map's mean to all of its positions, with a learned table of these (CLIP, section 2.4).

    Shape: (B, in_features, H, W) -> (B, out_features), or (B, out_features, H, W) with `pool_type=''`

    Args:
        feat_size: Size of map that the table is made for; it is resampled for others.
        out_features: `in_features` when None; 0 leaves the last projection out.
        embed_dim: Width of attention; `in_features` when None.
        head_dim: Width of a head, where `num_heads` is None.
        qkv_separate: A projection each for queries, keys and values.
        pool_type: 'token', or '' for attention of all positions to all and no pooling.
        class_token: Attend from a learned token, not from the mean.
        drop_rate: Dropout before the last projection.

    Raises:
        ValueError: Heads do not divide `embed_dim`; `pool_type` is another.
    """

    def __init__(
        self,
        in_features: int,
        feat_size: int | tuple[int, int] = 7,
        out_features: int | None = None,
        embed_dim: int | None = None,
        head_dim: int | None = 64,
        num_heads: int | None = None,
        qkv_bias: bool = True,
        qkv_separate: bool = False,
        pool_type: str = 'token',
        class_token: bool = False,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__(
            in_features,
            out_features,
            embed_dim,
            head_dim,
            num_heads,
            qkv_bias,
            qkv_separate,
            pool_type,
            class_token,
            drop_rate,
        )
        self.feat_size: tuple[int, int] = size_2d('feat_size', feat_size)
        self.seq_len = self.feat_size[0] * self.feat_size[1]
        self.pos_embed = nn.Parameter(torch.zeros(self.seq_len + 1, in_features))
        self.init_weights()

    def init_weights(self, zero_init_last: bool = False) -> None:
        """Draw the projections to queries, keys and values anew, and the table.

        Args:
            zero_init_last: For symmetry with residual blocks: a head has no residual branch to close.
        """
        trunc_normal_(self.pos_embed, std=self.in_features**-0.5)
        super().init_weights(zero_init_last)

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """The pooled map; `pre_logits` leaves the last projection out."""
        H, W = x.shape[-2], x.shape[-1]
        table = resample_abs_pos_embed(self.pos_embed.unsqueeze(0), [H, W], [self.feat_size[0], self.feat_size[1]])
        q, k, v = self._project(self._tokens(x) + table)
        return self._pool(q, k, v, (H, W), pre_logits)


class RotAttentionPool2d(_AttentionPool):
    """Attention of a map's mean to all of its positions, which rotary embeddings tell apart at any size.

    Shape: (B, in_features, H, W) -> (B, out_features), or (B, out_features, H, W) with `pool_type=''`

    Args:
        out_features: `in_features` when None; 0 leaves the last projection out.
        ref_feat_size: Coordinates are scaled to those of a map of this size.
        embed_dim: Width of attention; `in_features` when None.
        head_dim: Width of a head, where `num_heads` is None.
        qkv_separate: A projection each for queries, keys and values.
        pool_type: 'token', or '' for attention of all positions to all and no pooling.
        class_token: Attend from a learned token, not from the mean.
        drop_rate: Dropout before the last projection.
        rope_type: Kind of rotary embedding, see `create_rope_embed`; one that gives a single table or pair.

    Raises:
        ValueError: Heads do not divide `embed_dim`; `rope_type` is unknown, or the width of a head no multiple of 4;
            `pool_type` is another.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int | None = None,
        ref_feat_size: int | tuple[int, int] = 7,
        embed_dim: int | None = None,
        head_dim: int | None = 64,
        num_heads: int | None = None,
        qkv_bias: bool = True,
        qkv_separate: bool = False,
        pool_type: str = 'token',
        class_token: bool = False,
        drop_rate: float = 0.0,
        rope_type: str = 'cat',
    ) -> None:
        super().__init__(
            in_features,
            out_features,
            embed_dim,
            head_dim,
            num_heads,
            qkv_bias,
            qkv_separate,
            pool_type,
            class_token,
            drop_rate,
        )
        if rope_type == 'mixed':
            raise BadValue("rope_type='mixed' has tables for a whole network: use 'cat', 'base' or 'dinov3'.")
        self.rope_type = rope_type
        self.rotate_half = rope_type == 'mrope'
        self.pos_embed = create_rope_embed(
            rope_type,
            dim=self.embed_dim,
            num_heads=self.num_heads,
            in_pixels=False,
            ref_feat_shape=size_2d('ref_feat_size', ref_feat_size),
            rotate_half=self.rotate_half,
        )

    def _rotate(self, x: torch.Tensor, rope: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, :, :1], apply_rot_embed_cat(x[:, :, 1:], rope, self.rotate_half)], dim=2)

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """The pooled map; `pre_logits` leaves the last projection out."""
        H, W = x.shape[-2], x.shape[-1]
        embed = self.pos_embed.get_embed([H, W])
        if isinstance(embed, tuple):
            rope = torch.cat(embed, dim=-1)
        else:
            rope = embed
        q, k, v = self._project(self._tokens(x))
        return self._pool(self._rotate(q, rope), self._rotate(k, rope), v, (H, W), pre_logits)
