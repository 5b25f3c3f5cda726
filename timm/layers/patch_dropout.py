"""Dropping whole patch tokens in training, which also saves their computation (FLIP, arXiv:2212.00794)."""

import torch
from torch import nn

from ._checks import BadValue, check_rates

__all__ = ['PatchDropout', 'PatchDropoutWithIndices', 'patch_dropout_forward']


def patch_dropout_forward(
    x: torch.Tensor, prob: float, num_prefix_tokens: int, ordered: bool, training: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A random choice of each image's patch tokens behind all of its prefix tokens, and the indices chosen.

    Shape: (B, P + L, C) -> (B, P + K, C) and (B, K), K the rounded-down share of L that is kept, at least 1; `x` and
    None where nothing is to be dropped

    Args:
        prob: Share of the patch tokens to drop, 0 to 1.
        ordered: Keep the order of the tokens.
        training: Whether to drop at all.

    Raises:
        ValueError: `prob` is not from 0 to 1, or there are fewer than no prefix tokens.
    """
    if not training or prob == 0.0:
        return x, None
    if prob < 0.0 or prob > 1.0:
        raise ValueError(f'prob={prob} is not a share of tokens to drop: use a number from 0 to 1.')
    if num_prefix_tokens < 0:
        raise ValueError(f'num_prefix_tokens={num_prefix_tokens} is less than none: use 0 or more.')
    patches = x[:, num_prefix_tokens:]
    B, L = patches.shape[:2]
    num_kept = max(1, int(L * (1.0 - prob)))
    kept = torch.randn(B, L, device=x.device).argsort(dim=-1)[:, :num_kept]
    if ordered:
        kept = kept.sort(dim=-1)[0]
    patches = patches.gather(1, kept.unsqueeze(-1).expand(-1, -1, patches.shape[2]))
    return torch.cat([x[:, :num_prefix_tokens], patches], dim=1), kept


class _PatchDropout(nn.Module):
    prob: torch.jit.Final[float]
    num_prefix_tokens: torch.jit.Final[int]
    ordered: torch.jit.Final[bool]

    def __init__(self, prob: float = 0.5, num_prefix_tokens: int = 1, ordered: bool = False) -> None:
        super().__init__()
        check_rates(prob=prob)
        if prob == 1.0:
            raise BadValue(f'prob={prob} would drop every token: use less than 1, such as 0.9.')
        if num_prefix_tokens < 0:
            raise BadValue(f'num_prefix_tokens={num_prefix_tokens} is less than none: use 0 or more.')
        self.prob = prob
        self.num_prefix_tokens = num_prefix_tokens
        self.ordered = ordered


class PatchDropout(_PatchDropout):
    """Keeps, in training, a random choice of each image's patch tokens, and all prefix tokens.

    Shape: (B, P + L, C) -> (B, P + K, C), see `patch_dropout_forward`

    Args:
        prob: Share of the patch tokens to drop.
        ordered: Keep the order of the tokens.

    Raises:
        ValueError: `prob` is not in [0, 1), or `num_prefix_tokens` negative.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The tokens that stay."""
        return patch_dropout_forward(x, self.prob, self.num_prefix_tokens, self.ordered, self.training)[0]


class PatchDropoutWithIndices(_PatchDropout):
    """`PatchDropout` that also says which patch tokens it kept, for tables of positions to follow.

    Shape: (B, P + L, C) -> (B, P + K, C) and (B, K), or None for the latter where nothing is dropped

    Raises:
        ValueError: `prob` is not in [0, 1), or `num_prefix_tokens` negative.
    """

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The tokens that stay, and their indices among the patch tokens."""
        return patch_dropout_forward(x, self.prob, self.num_prefix_tokens, self.ordered, self.training)
