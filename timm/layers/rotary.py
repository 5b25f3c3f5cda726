"""Turning features by rotary position embeddings (RoFormer, arXiv:2104.09864), and choosing rows of such tables."""

import torch

__all__ = [
    'apply_keep_indices_nlc',
    'apply_rot_embed',
    'apply_rot_embed_cat',
    'apply_rot_embed_list',
    'rope_rotate_half',
    'rot',
]


def rot(x: torch.Tensor) -> torch.Tensor:
    """A quarter turn of every pair of neighbours: (a, b, c, d, ...) -> (-b, a, -d, c, ...)."""
    return torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)


def rope_rotate_half(x: torch.Tensor) -> torch.Tensor:
    """A quarter turn of pairs that lie half the width apart: (first, second half) -> (-second, first half)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)


def apply_rot_embed(x: torch.Tensor, sin_emb: torch.Tensor, cos_emb: torch.Tensor, half: bool = False) -> torch.Tensor:
    """Features turned by the angles of their positions (RoFormer, eq. 34), in the dtype of `x`.

    Shape: x (B, heads, N, D), sines and cosines that broadcast to it -> (B, heads, N, D)

    Args:
        half: Pairs lie half the width apart; else they are neighbours.
    """
    quarter = rope_rotate_half(x) if half else rot(x)
    return (x * cos_emb + quarter * sin_emb).to(x.dtype)


def apply_rot_embed_cat(x: torch.Tensor, emb: torch.Tensor, half: bool = False) -> torch.Tensor:
    """`apply_rot_embed` with sines and cosines side by side in one table.

    Shape: x (B, heads, N, D), emb broadcasting to (B, heads, N, 2 * D) -> (B, heads, N, D)
    """
    sin_emb, cos_emb = emb.chunk(2, dim=-1)
    return apply_rot_embed(x, sin_emb, cos_emb, half)


def apply_rot_embed_list(
    x: list[torch.Tensor] | torch.Tensor, sin_emb: torch.Tensor, cos_emb: torch.Tensor, half: bool = False
) -> list[torch.Tensor]:
    """`apply_rot_embed` for each tensor of a list, such as queries and keys."""
    tensors = [x] if isinstance(x, torch.Tensor) else x
    return [apply_rot_embed(tensor, sin_emb, cos_emb, half) for tensor in tensors]


def apply_keep_indices_nlc(
    x: torch.Tensor,
    pos_embed: torch.Tensor,
    keep_indices: torch.Tensor,
    pos_embed_has_batch: bool = False,
) -> torch.Tensor:
    """Rows of a position table for the tokens that patch dropout has kept in each image.

    Shape: keep_indices (B, K); pos_embed (..., N, D), or (B, ..., N, D) if it has a batch -> (B, ..., K, D)

    Args:
        x: The tokens, of which the batch size counts.
    """
    if not pos_embed_has_batch:
        pos_embed = pos_embed.unsqueeze(0).expand([x.shape[0]] + [-1] * pos_embed.ndim)
    B, K = keep_indices.shape
    index = keep_indices.reshape([B] + [1] * (pos_embed.ndim - 3) + [K, 1])
    size = list(pos_embed.shape[:-2]) + [K, pos_embed.shape[-1]]  # noqa: RUF005 (TorchScript has no stars)
    return pos_embed.gather(-2, index.expand(size))
