"""Poolings with few parameters or none but projections: log-sum-exp, and SimPool's one attention query."""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import BadValue, check_builders, share_of
from ._device import Module
from .config import use_fused_attn

__all__ = ['LsePlus1d', 'LsePlus2d', 'SimPool1d', 'SimPool2d']


def _log_mean_exp(x: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
    """log(mean(exp(r x))) / r over the last axis."""
    return (torch.logsumexp(x * r, dim=-1) - math.log(x.shape[-1])) / r


class _LsePlus(Module):
    def __init__(self, r: float, r_learnable: bool) -> None:
        super().__init__()
        if float(r) == 0.0:
            raise BadValue(f'r={r} would divide by zero: use a small number such as 0.1 for about the mean.')
        if r_learnable:
            self.r = nn.Parameter(torch.tensor(float(r)))
        else:
            self.register_buffer('r', torch.tensor(float(r)))


class LsePlus2d(_LsePlus):
    """Pooling between mean and maximum: log-sum-exp of a map's positions, less their log count (arXiv:1411.6228, 3.2).

    Shape: (B, C, H, W) -> (B, C), or (B, C, 1, 1) without `flatten`

    Args:
        r: Sharpness: the mean near 0, the maximum towards infinity.
        r_learnable: Learn it from this start.
    """

    def __init__(self, r: float = 10.0, r_learnable: bool = True, flatten: bool = True) -> None:
        super().__init__(r, r_learnable)
        self.flatten = flatten

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The pooled map."""
        x = _log_mean_exp(x.flatten(2), self.r)
        return x if self.flatten else x[:, :, None, None]


class LsePlus1d(_LsePlus):
    """`LsePlus2d` for token sequences.

    Shape: (B, N, C) -> (B, C)

    Args:
        r: Sharpness: the mean near 0, the maximum towards infinity.
        r_learnable: Learn it from this start.
    """

    def __init__(self, r: float = 10.0, r_learnable: bool = True) -> None:
        super().__init__(r, r_learnable)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The pooled sequence."""
        return _log_mean_exp(x.transpose(1, 2), self.r)


class SimPool1d(Module):
    """Attention of the mean token to all tokens, whose values are not projected (SimPool, arXiv:2309.06891, 3.3).

    Shape: (B, N, dim) -> (B, dim)

    Args:
        qkv_bias: Biases of the projections to queries and keys.
        qk_norm: Normalise each head's query and keys.
        gamma: Pool by a power mean of this exponent (section 3.2); None by the plain mean.
        norm_layer: Builds the norms from their width; layer norm when None.

    Raises:
        ValueError: `dim` is no multiple of `num_heads`; `gamma` is not above 0.
    """

    fused_attn: torch.jit.Final[bool]
    gamma: float | None

    def __init__(
        self,
        dim: int,
        num_heads: int = 1,
        qkv_bias: bool = False,
        qk_norm: bool = False,
        gamma: float | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        check_builders(norm_layer=norm_layer)
        if gamma is not None and not gamma > 0:
            raise BadValue(f'gamma={gamma} is no exponent of a power mean: use a number above 0, or None for the mean.')
        norm_layer = norm_layer or nn.LayerNorm
        self.num_heads = num_heads
        self.head_dim = share_of('dim', dim, 'num_heads', num_heads)
        self.scale = self.head_dim**-0.5
        self.gamma = gamma
        self.fused_attn = use_fused_attn()
        self.norm = norm_layer(dim)
        self.q = nn.Linear(dim, dim, bias=qkv_bias)
        self.k = nn.Linear(dim, dim, bias=qkv_bias)
        self.q_norm = norm_layer(self.head_dim) if qk_norm else nn.Identity()
        self.k_norm = norm_layer(self.head_dim) if qk_norm else nn.Identity()

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2)

    def _pool(self, x: torch.Tensor) -> torch.Tensor:
        q = self.q_norm(self._heads(self.q(x.mean(dim=1, keepdim=True))))
        x = self.norm(x)
        k = self.k_norm(self._heads(self.k(x)))
        gamma = self.gamma
        if gamma is not None:  # a power needs values above zero
            x = (x - x.amin(dim=1, keepdim=True) + 1e-6).pow(gamma)
        v = self._heads(x)
        if self.fused_attn:
            pooled = F.scaled_dot_product_attention(q, k, v)
        else:
            pooled = (q * self.scale @ k.transpose(-2, -1)).softmax(dim=-1) @ v
        pooled = pooled.transpose(1, 2).flatten(1)
        return pooled if gamma is None else pooled.pow(1.0 / gamma)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The pooled sequence."""
        return self._pool(x)


class SimPool2d(SimPool1d):
    """`SimPool1d` for feature maps: (B, dim, H, W) -> (B, dim)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The pooled map."""
        return self._pool(x.flatten(2).transpose(1, 2))
