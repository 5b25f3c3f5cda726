"""What attention layers over a map share: widths of heads, what follows a stride, scores by distance."""

import torch
from torch import nn

from ._checks import BadValue, check_counts
from .helpers import make_divisible

__all__ = ['down_pool', 'query_width', 'rel_logits_1d', 'rel_logits_2d']


def query_width(dim_out: int, num_heads: int, dim_head: int | None, qk_ratio: float) -> int:
    """Width of a head's queries: `dim_head`, or where it is None its share of the multiple of 8 at qk_ratio * dim_out.

    Raises:
        ValueError: The share is nothing.
    """
    check_counts(num_heads=num_heads)
    width = dim_head or make_divisible(dim_out * qk_ratio, divisor=8) // num_heads
    if width < 1:
        raise BadValue(
            f'qk_ratio={qk_ratio} of dim_out={dim_out} leaves nothing for each of num_heads={num_heads}: raise it or '
            f'set dim_head.'
        )
    return width


def down_pool(stride: int, pooled: bool = True) -> nn.Module:
    """Average pooling by 2 where the stride is 2 and `pooled`, otherwise nothing.

    Raises:
        ValueError: The stride is neither 1 nor 2.
    """
    if stride not in (1, 2):
        raise BadValue(f'stride={stride} is not possible: use 1 or 2.')
    return nn.AvgPool2d(2, 2) if stride == 2 and pooled else nn.Identity()


def rel_logits_1d(q: torch.Tensor, rel_k: torch.Tensor, permute_mask: list[int]) -> torch.Tensor:
    """Products of queries with embeddings of how many columns away a key is, keys of all rows alike.

    Shape: q (B, H, W, C), rel_k (2 * n - 1, C) -> (B, H, H + n - W, W, n), of which the axes are then permuted: image,
        row of the query and of the key, column of the query and of the key

    Args:
        q: Queries, at the first W of n columns.
        rel_k: Embeddings of the offsets 1 - n to n - 1.
        permute_mask: Which of these axes comes first, second and so on.
    """
    H, W = q.shape[1], q.shape[2]
    n = (rel_k.shape[0] + 1) // 2
    # n rows of the table serve a query, and those of the next one start a row earlier
    embeddings = rel_k.unfold(0, n, 1)[n - W :].flip([0])
    # contiguous, as einsum leaves columns outermost, an order that what is computed from it would inherit
    logits = torch.einsum('bhwc,wcn->bhwn', q, embeddings).contiguous()
    return logits.unsqueeze(2).expand(-1, -1, H + n - W, -1, -1).permute(permute_mask)


def rel_logits_2d(q: torch.Tensor, height_rel: torch.Tensor, width_rel: torch.Tensor) -> torch.Tensor:
    """Products of queries with embeddings of how far down and how far right a key is, summed (arXiv:1904.09925, eq. 3).

    Shape: q (B, H, W, C), height_rel (2 * h - 1, C), width_rel (2 * w - 1, C) -> (B, H * W, h * w)

    Args:
        q: Queries, at the first positions of the h x w ones that keys have, with h - H = w - W.
    """
    right = rel_logits_1d(q, width_rel, [0, 1, 3, 2, 4])
    down = rel_logits_1d(q.transpose(1, 2), height_rel, [0, 3, 1, 4, 2])
    return (right + down).flatten(3).flatten(1, 2)
