"""Attention of bottleneck transformers: every position of a map sees all others (BoTNet, arXiv:2101.11605)."""

import torch
from torch import nn

from ._checks import BadValue, share_of, size_2d
from ._device import Module
from ._map_attn import down_pool, query_width, rel_logits_1d, rel_logits_2d
from .trace_utils import _assert
from .weight_init import trunc_normal_

__all__ = ['BottleneckAttn', 'PosEmbedRel', 'rel_logits_1d']


class PosEmbedRel(Module):
    """Scores of pairs of positions: the query times learned embeddings of the two offsets (BoTNet, figure 4).

    Shape: queries (B, H * W, dim_head) -> (B, H * W, H * W)

    Args:
        feat_size: (H, W).
        scale: Standard deviation of the embeddings at the start.
    """

    def __init__(self, feat_size: tuple[int, int], dim_head: int, scale: float) -> None:
        super().__init__()
        self.height, self.width = size_2d('feat_size', feat_size)
        self.dim_head = dim_head
        self.scale = scale
        self.height_rel = nn.Parameter(torch.empty(2 * self.height - 1, dim_head))
        self.width_rel = nn.Parameter(torch.empty(2 * self.width - 1, dim_head))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw both tables anew: normal, with a deviation of `scale`."""
        nn.init.normal_(self.height_rel, std=self.scale)
        nn.init.normal_(self.width_rel, std=self.scale)

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        """What is added to the products of queries and keys."""
        return rel_logits_2d(q.unflatten(1, (self.height, self.width)), self.height_rel, self.width_rel)


class BottleneckAttn(Module):
    """softmax(q k^T * scale + q r^T) v with embeddings r of offsets, for maps of one size (BoTNet, figure 4).

    Shape: (B, dim, H, W) -> (B, dim_out, H, W), or half of H and W with a stride of 2

    Args:
        dim_out: `dim` when None.
        feat_size: (H, W), or a number for both.
        stride: 1, or 2 to average what attention returns over 2 x 2 positions.
        dim_head: Width of a head's queries and keys; None for the share that `qk_ratio` gives. Values share `dim_out`.
        qk_ratio: Width of all queries over `dim_out`, where `dim_head` is None.
        scale_pos_embed: Scale the scores of offsets as well.

    Raises:
        ValueError: There is no `feat_size`; `num_heads` does not divide `dim_out`; `stride` is another; heads would
            have no width.
        AssertionError: The map has another size.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int | None = None,
        feat_size: int | tuple[int, int] | None = None,
        stride: int = 1,
        num_heads: int = 4,
        dim_head: int | None = None,
        qk_ratio: float = 1.0,
        qkv_bias: bool = False,
        scale_pos_embed: bool = False,
    ) -> None:
        super().__init__()
        if feat_size is None:
            raise BadValue('feat_size=None: embeddings of offsets need the height and width of the map, give (H, W).')
        dim_out = dim_out or dim
        self.num_heads = num_heads
        self.dim_head_qk = query_width(dim_out, num_heads, dim_head, qk_ratio)
        self.dim_head_v = share_of('dim_out', dim_out, 'num_heads', num_heads)
        self.dim_out_qk = num_heads * self.dim_head_qk
        self.dim_out_v = num_heads * self.dim_head_v
        self.scale = self.dim_head_qk**-0.5
        self.scale_pos_embed = scale_pos_embed
        self.qkv = nn.Conv2d(dim, 2 * self.dim_out_qk + self.dim_out_v, kernel_size=1, bias=qkv_bias)
        self.pos_embed = PosEmbedRel(size_2d('feat_size', feat_size), self.dim_head_qk, self.scale)
        self.pool = down_pool(stride)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projection anew, truncated normal of variance 1 / dim, and the embeddings of offsets."""
        trunc_normal_(self.qkv.weight, std=self.qkv.in_channels**-0.5)
        self.pos_embed.reset_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Positions that have looked at each other."""
        B, _, H, W = x.shape
        h, w = self.pos_embed.height, self.pos_embed.width
        _assert(h == H, f'Map height {H} is not the feat_size {h} of this layer: resize it, or build another.')
        _assert(w == W, f'Map width {W} is not the feat_size {w} of this layer: resize it, or build another.')
        q, k, v = self.qkv(x).flatten(2).split([self.dim_out_qk, self.dim_out_qk, self.dim_out_v], dim=1)
        q = q.unflatten(1, (self.num_heads, self.dim_head_qk)).transpose(2, 3).flatten(0, 1)
        k = k.unflatten(1, (self.num_heads, self.dim_head_qk)).flatten(0, 1)
        v = v.unflatten(1, (self.num_heads, self.dim_head_v)).flatten(0, 1)
        pos_scale = self.scale if self.scale_pos_embed else 1.0
        attn = torch.baddbmm(self.pos_embed(q), q, k, beta=pos_scale, alpha=self.scale).softmax(dim=-1)
        # not v attn^T, for which the softmax would get a gradient that lies across its rows
        x = torch.bmm(attn, v.transpose(1, 2)).transpose(1, 2)
        return self.pool(x.reshape(B, self.dim_out_v, H, W))
