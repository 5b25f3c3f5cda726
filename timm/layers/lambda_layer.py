"""Lambda layers: each query passes through a linear function of its context (LambdaNetworks, arXiv:2102.08602)."""

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import BadValue, check_odd, share_of, size_2d
from ._device import Module
from ._fx import register_notrace_function
from ._map_attn import down_pool, query_width
from .grid import ndgrid
from .trace_utils import _assert
from .weight_init import trunc_normal_

__all__ = ['LambdaLayer', 'rel_pos_indices']


def rel_pos_indices(size: int | tuple[int, int], device: torch.device | None = None) -> torch.Tensor:
    """Row and column of a table of offsets for each pair of positions.

    Shape: (2, N, N) for N = h * w positions, rows in 0 to 2 * h - 2 and columns in 0 to 2 * w - 2; int64

    Args:
        size: (h, w), or a number for both.
    """
    h, w = size_2d('size', size)
    rows, columns = ndgrid(
        torch.arange(h, dtype=torch.int64, device=device), torch.arange(w, dtype=torch.int64, device=device)
    )
    rows, columns = rows.flatten(), columns.flatten()
    down = rows[None, :] - rows[:, None] + (h - 1)
    right = columns[None, :] - columns[:, None] + (w - 1)
    return torch.stack([down, right])


@register_notrace_function
def look_around(q: torch.Tensor, v: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    """Values within a square around each position, weighted by query times embedding of the offset.

    Shape: q (B, heads, K, H, W), v (B, V, H, W), embeddings (K, r, r) -> (B, heads, V, H * W)
    """
    W, r = v.shape[3], embeddings.shape[1]
    reach = r // 2
    # Products of large matrices are faster than exact squares: neighbours in a row share their columns of values, all
    # columns of a map that is not much wider than a square, and those around a block of a wider one.
    block, margin = (W, 0) if max(16, 3 * r) >= W else (8, reach)
    num_blocks = -(-W // block)
    window, missing = block + 2 * margin, num_blocks * block - W
    # by row i of the square, column x of a query in its block, column z of a value in the window; 0 off the square
    beyond = block - 1 + margin - reach
    by_column = F.pad(embeddings, [beyond, beyond]).unfold(2, window, 1).flip([2])
    blocks = F.pad(q, [0, missing]).unflatten(4, (num_blocks, block))
    weights = torch.einsum('bhkynx,kixz->bynhxiz', blocks, by_column)
    windows = F.pad(v, [margin, margin + missing, reach, reach]).unfold(2, r, 1).unfold(3, window, block)
    found = torch.einsum('bynhxiz,bvyniz->bhvynx', weights, windows)
    return found.flatten(4)[..., :W].flatten(3)


def look_everywhere(q: torch.Tensor, v: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    """All values, weighted by query times embedding of the offset.

    Shape: q (B, heads, K, H, W), v (B, V, H, W), embeddings (H * W, H * W, K) -> (B, heads, V, H * W)
    """
    weights = torch.einsum('bhkn,nmk->bhnm', q.flatten(3), embeddings)
    return v.flatten(2).unsqueeze(1) @ weights.transpose(2, 3)


class LambdaLayer(Module):
    """y_n = (sum over m of (softmax(k)_m + e_nm) v_m^T)^T q_n with embeddings e of offsets (eq. 1 and 2).

    What comes from the keys is one matrix for all positions. What comes from offsets is one for each in the paper; here
    the query comes first, sum over m of (q_n e_nm) v_m, which is the same at a fraction of time and memory.

    Shape: (B, dim, H, W) -> (B, dim_out, H, W), or half of H and W with a stride of 2

    Args:
        dim_out: `dim` when None.
        feat_size: (H, W), or a number for both; needed where `r` is None, not used elsewhere.
        stride: 1, or 2 to average what comes out over 2 x 2 positions.
        num_heads: Queries of a position, which share its function and whose results lie side by side.
        dim_head: Width of a query; None for the share that `qk_ratio` gives.
        r: Rows, and columns, of the square around a position within which offsets have an embedding, an odd number;
            None for embeddings of all offsets of a map.
        qk_ratio: Width of all queries over `dim_out`, where `dim_head` is None.

    Raises:
        ValueError: `r` is even; it is None and there is no `feat_size`; `num_heads` does not divide `dim_out`; `stride`
            is another; queries would have no width.
        AssertionError: `r` is None and the map has another size.
    """

    rel_pos_indices: torch.Tensor | None

    def __init__(
        self,
        dim: int,
        dim_out: int | None = None,
        feat_size: int | tuple[int, int] | None = None,
        stride: int = 1,
        num_heads: int = 4,
        dim_head: int | None = 16,
        r: int | None = 9,
        qk_ratio: float = 1.0,
        qkv_bias: bool = False,
    ) -> None:
        super().__init__()
        dim_out = dim_out or dim
        self.num_heads = num_heads
        self.dim_qk = query_width(dim_out, num_heads, dim_head, qk_ratio)
        self.dim_v = share_of('dim_out', dim_out, 'num_heads', num_heads)
        self.qkv = nn.Conv2d(dim, (num_heads + 1) * self.dim_qk + self.dim_v, kernel_size=1, bias=qkv_bias)
        self.norm_q = nn.BatchNorm2d(num_heads * self.dim_qk)
        self.norm_v = nn.BatchNorm2d(self.dim_v)
        self.feat_size: tuple[int, int] | None = None
        if r is not None:
            check_odd('r', r)
            # published as a convolution over the values: its weights are the embeddings, and it is never called
            self.conv_lambda = nn.Conv3d(1, self.dim_qk, (r, r, 1), padding=(r // 2, r // 2, 0))
            self.pos_emb = None
            self.rel_pos_indices = None
        else:
            if feat_size is None:
                raise BadValue(
                    'r=None needs the size of the map whose offsets to embed, not feat_size=None: give (H, W).'
                )
            h, w = self.feat_size = size_2d('feat_size', feat_size)
            self.conv_lambda = None
            self.pos_emb = nn.Parameter(torch.empty(2 * h - 1, 2 * w - 1, self.dim_qk))
            self.register_buffer('rel_pos_indices', rel_pos_indices((h, w)), persistent=False)
        self.pool = down_pool(stride)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw projection and embeddings anew, truncated normal, and compute the index."""
        trunc_normal_(self.qkv.weight, std=self.qkv.in_channels**-0.5)
        if self.conv_lambda is not None:
            trunc_normal_(self.conv_lambda.weight, std=self.dim_qk**-0.5)
        if self.pos_emb is not None:
            trunc_normal_(self.pos_emb, std=0.02)
        self.init_non_persistent_buffers()

    def init_non_persistent_buffers(self) -> None:
        """Compute the index that a state dict leaves out, where it is."""
        if self.feat_size is not None and self.rel_pos_indices is not None:
            self.rel_pos_indices = rel_pos_indices(self.feat_size, device=self.rel_pos_indices.device)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Queries to which the functions of their positions are applied."""
        H, W = x.shape[2], x.shape[3]
        q, k, v = self.qkv(x).split([self.num_heads * self.dim_qk, self.dim_qk, self.dim_v], dim=1)
        q = self.norm_q(q).unflatten(1, (self.num_heads, self.dim_qk))
        v = self.norm_v(v)
        content = v.flatten(2) @ k.flatten(2).softmax(dim=-1).transpose(1, 2)
        if self.conv_lambda is not None:
            bias = self.conv_lambda.bias
            assert bias is not None
            content = content + bias
            x = look_around(q, v, self.conv_lambda.weight.squeeze(4).squeeze(1))
        else:
            assert self.pos_emb is not None
            index = self.rel_pos_indices
            assert index is not None
            assert self.feat_size is not None
            h, w = self.feat_size
            _assert(h == H, f'Map height {H} is not the feat_size {h} of this layer: resize it, or build one with r.')
            _assert(w == W, f'Map width {W} is not the feat_size {w} of this layer: resize it, or build one with r.')
            embeddings = self.pos_emb[index[0], index[1]]
            x = look_everywhere(q, v, embeddings)
        x = x + content.unsqueeze(1) @ q.flatten(3)
        return self.pool(x.flatten(1, 2).unflatten(2, (H, W)))
