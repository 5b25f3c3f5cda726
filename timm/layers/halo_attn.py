"""Attention from blocks of a map to windows around them (HaloNet, arXiv:2103.12731)."""

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import BadValue, check_counts, share_of
from ._device import Module
from ._map_attn import down_pool, query_width, rel_logits_1d, rel_logits_2d
from .trace_utils import _assert
from .weight_init import trunc_normal_

__all__ = ['HaloAttn', 'PosEmbedRel', 'rel_logits_1d']


class PosEmbedRel(Module):
    """Scores of a block's queries for the keys of its window: the query times learned embeddings of the two offsets.

    Shape: queries (B, blocks, block_size ** 2, dim_head) -> (B, blocks, block_size ** 2, win_size ** 2)

    Args:
        block_size: Rows, and columns, of queries.
        win_size: Rows, and columns, of keys.
        scale: Standard deviation of the embeddings at the start.
    """

    def __init__(self, block_size: int, win_size: int, dim_head: int, scale: float) -> None:
        super().__init__()
        check_counts(block_size=block_size, win_size=win_size)
        if block_size > win_size:
            raise BadValue(f'win_size={win_size} is smaller than block_size={block_size}: use as much or more.')
        self.block_size = block_size
        self.dim_head = dim_head
        self.scale = scale
        self.height_rel = nn.Parameter(torch.empty(2 * win_size - 1, dim_head))
        self.width_rel = nn.Parameter(torch.empty(2 * win_size - 1, dim_head))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw both tables anew: normal, with a deviation of `scale`."""
        nn.init.normal_(self.height_rel, std=self.scale)
        nn.init.normal_(self.width_rel, std=self.scale)

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        """What is added to the products of queries and keys."""
        blocks = q.flatten(0, 1).unflatten(1, (self.block_size, self.block_size))
        return rel_logits_2d(blocks, self.height_rel, self.width_rel).unflatten(0, (q.shape[0], q.shape[1]))


class HaloAttn(Module):
    """softmax(q k^T * scale + q r^T) v from each block to itself and a halo around it (HaloNet, figure 1).

    The halo of blocks at the border holds keys and values of zero, which take part. The offset that embeddings r tell
    is the one from the corner of the window: with a strided projection, between a position of the smaller map and one
    of the larger.

    Shape: (B, dim, H, W) -> (B, dim_out, H, W), or half of H and W with a stride of 2; H and W are multiples of the
        block

    Args:
        dim_out: `dim` when None.
        feat_size: Not used: any number of blocks will do.
        stride: 1, or 2 to look from every other position only; see `avg_down`.
        dim_head: Width of a head's queries and keys; None for the share that `qk_ratio` gives. Values share `dim_out`.
        block_size: Rows, and columns, of a block.
        halo_size: Rows, and columns, that a window has more than its block on each side; 0 for none.
        qk_ratio: Width of all queries over `dim_out`, where `dim_head` is None.
        qkv_bias: Biases of the projections of queries, and of keys and values.
        avg_down: With a stride, average what attention returns over 2 x 2 positions instead. This is done in any case
            where the block has an odd size.
        scale_pos_embed: Scale the scores of offsets as well.

    Raises:
        ValueError: `num_heads` does not divide `dim_out`; `stride` is another; `halo_size` is negative; heads would
            have no width.
        AssertionError: Blocks do not tile the map.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int | None = None,
        feat_size: int | tuple[int, int] | None = None,  # noqa: ARG002 (given to every layer of this kind)
        stride: int = 1,
        num_heads: int = 8,
        dim_head: int | None = None,
        block_size: int = 8,
        halo_size: int = 3,
        qk_ratio: float = 1.0,
        qkv_bias: bool = False,
        avg_down: bool = False,
        scale_pos_embed: bool = False,
    ) -> None:
        super().__init__()
        check_counts(block_size=block_size)
        if halo_size < 0:
            raise BadValue(f'halo_size={halo_size} would make windows smaller than their block: use 0 or more.')
        dim_out = dim_out or dim
        self.num_heads = num_heads
        self.dim_head_qk = query_width(dim_out, num_heads, dim_head, qk_ratio)
        self.dim_head_v = share_of('dim_out', dim_out, 'num_heads', num_heads)
        self.dim_out_qk = num_heads * self.dim_head_qk
        self.dim_out_v = num_heads * self.dim_head_v
        self.scale = self.dim_head_qk**-0.5
        self.scale_pos_embed = scale_pos_embed
        pooled = avg_down or block_size % 2 != 0
        self.pool = down_pool(stride, pooled)
        self.block_stride = 1 if pooled else stride
        self.block_size = block_size
        self.block_size_ds = block_size // self.block_stride
        self.halo_size = halo_size
        self.win_size = block_size + 2 * halo_size
        self.q = nn.Conv2d(dim, self.dim_out_qk, kernel_size=1, stride=self.block_stride, bias=qkv_bias)
        self.kv = nn.Conv2d(dim, self.dim_out_qk + self.dim_out_v, kernel_size=1, bias=qkv_bias)
        self.pos_embed = PosEmbedRel(self.block_size_ds, self.win_size, self.dim_head_qk, self.scale)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the projections anew, truncated normal of variance 1 / dim, and the embeddings of offsets."""
        trunc_normal_(self.q.weight, std=self.q.in_channels**-0.5)
        trunc_normal_(self.kv.weight, std=self.kv.in_channels**-0.5)
        self.pos_embed.reset_parameters()

    def _queries(self, x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """Queries of each head and block: (B * heads, blocks, positions, width)."""
        n = self.block_size_ds
        q = self.q(x).reshape(x.shape[0] * self.num_heads, self.dim_head_qk, rows, n, columns, n)
        return q.permute(0, 2, 4, 3, 5, 1).reshape(-1, rows * columns, n * n, self.dim_head_qk)

    def _windows(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of each head and window: (B * heads * blocks, width, positions)."""
        halo = self.halo_size
        kv = F.pad(self.kv(x), [halo, halo, halo, halo])
        kv = kv.unfold(2, self.win_size, self.block_size).unfold(3, self.win_size, self.block_size)
        kv = kv.unflatten(1, (self.num_heads, self.dim_head_qk + self.dim_head_v)).permute(0, 1, 3, 4, 2, 5, 6)
        k, v = kv.reshape(-1, kv.shape[4], self.win_size * self.win_size).split(
            [self.dim_head_qk, self.dim_head_v], dim=1
        )
        return k, v

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Blocks that have looked at their windows."""
        B, _, H, W = x.shape
        N = self.block_size
        _assert(H % N == 0, f'Map height {H} is not a multiple of block_size={N}: resize or pad it.')
        _assert(W % N == 0, f'Map width {W} is not a multiple of block_size={N}: resize or pad it.')
        rows, columns, n = H // N, W // N, self.block_size_ds
        q = self._queries(x, rows, columns)
        k, v = self._windows(x)
        pos_scale = self.scale if self.scale_pos_embed else 1.0
        scores = torch.baddbmm(self.pos_embed(q).flatten(0, 1), q.flatten(0, 1), k, beta=pos_scale, alpha=self.scale)
        x = torch.bmm(scores.softmax(dim=-1), v.transpose(1, 2))
        x = x.view(B, self.num_heads, rows, columns, n, n, self.dim_head_v).permute(0, 1, 6, 2, 4, 3, 5)
        return self.pool(x.reshape(B, self.dim_out_v, rows * n, columns * n))
