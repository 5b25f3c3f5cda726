"""Attention over the positions of feature maps: multi-query (MobileNetV4, arXiv:2404.10518) and multi-head."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import check_counts, share_of, size_2d
from ._device import Module
from .config import use_fused_attn
from .create_conv2d import create_conv2d
from .padding import check_padding
from .pool2d_same import create_pool2d
from .typing import PadType

__all__ = ['Attention2d', 'MultiQueryAttention2d', 'MultiQueryAttentionV2']


class MultiQueryAttentionV2(Module):
    """Heads with queries of their own and keys and values in common (arXiv:1911.02150), without biases.

    Shape: (B, dim, H, W) -> (B, dim_out, H, W)

    Args:
        dim_out: `dim` when None.
        key_dim: Width of a head's queries, and of the keys; `value_dim` of the values.
        attn_drop: Dropout of attention weights; `proj_drop` of the result.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int | None = None,
        num_heads: int = 8,
        key_dim: int = 64,
        value_dim: int = 64,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ) -> None:
        super().__init__()
        check_counts(num_heads=num_heads, key_dim=key_dim, value_dim=value_dim)
        dim_out = dim_out or dim
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.scale = key_dim**-0.5
        self.query_proj = nn.Parameter(torch.empty(num_heads, key_dim, dim))
        self.key_proj = nn.Parameter(torch.empty(dim, key_dim))
        self.value_proj = nn.Parameter(torch.empty(dim, value_dim))
        self.attn_drop = nn.Dropout(attn_drop)
        self.out_proj = nn.Parameter(torch.empty(dim_out, num_heads, value_dim))
        self.proj_drop = nn.Dropout(proj_drop)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all projections anew: normal, with a deviation of one over the root of the map's channels."""
        for projection in (self.query_proj, self.key_proj, self.value_proj):
            nn.init.normal_(projection, std=self.query_proj.shape[2] ** -0.5)
        nn.init.normal_(self.out_proj, std=self.out_proj.shape[0] ** -0.5)

    def forward(self, x: torch.Tensor, m: torch.Tensor | None = None) -> torch.Tensor:
        """Positions of `x` that have looked at those of `m`, another map of `dim` channels, or at each other."""
        B, _, H, W = x.shape
        source = (x if m is None else m).flatten(2).transpose(1, 2)
        q = torch.einsum('bcn,hkc->bhnk', x.flatten(2), self.query_proj) * self.scale
        scores = q @ (source @ self.key_proj).transpose(1, 2).unsqueeze(1)
        heads = self.attn_drop(scores.softmax(dim=-1)) @ (source @ self.value_proj).unsqueeze(1)
        x = torch.einsum('bhnv,chv->bcn', heads, self.out_proj)
        return self.proj_drop(x.reshape(B, -1, H, W))


class MultiQueryAttention2d(Module):
    """Multi-query attention whose queries, keys and values may see the map at lower resolution (section 3.2 and 4).

    Shape: (B, dim, H, W) -> (B, dim_out, H, W); H and W are multiples of the query strides

    Args:
        dim_out: `dim` when None.
        key_dim: Width of a head's queries, and of the keys; dim / num_heads when None, as is `value_dim`.
        query_strides: Average pooling before the queries, undone by interpolation after attention.
        kv_stride: Stride of a depthwise convolution before the keys, and one before the values; 1 for none.
        dw_kernel_size: Kernel of that convolution; `dilation` and `padding` likewise.
        attn_drop: Dropout of attention weights; `proj_drop` of the result.
        norm_layer: Builds the norm after pooling or convolution.
        use_bias: Biases of the projections.

    Raises:
        ValueError: There are more heads than channels and no widths for them; a stride or size is below 1; `padding` is
            unknown.
    """

    fused_attn: torch.jit.Final[bool]

    def __init__(
        self,
        dim: int,
        dim_out: int | None = None,
        num_heads: int = 8,
        key_dim: int | None = None,
        value_dim: int | None = None,
        query_strides: int | tuple[int, int] = 1,
        kv_stride: int = 1,
        dw_kernel_size: int = 3,
        dilation: int = 1,
        padding: PadType = '',
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d,
        use_bias: bool = False,
    ) -> None:
        super().__init__()
        check_counts(num_heads=num_heads, kv_stride=kv_stride, dw_kernel_size=dw_kernel_size, dilation=dilation)
        check_padding(padding)
        self.num_heads = num_heads
        self.key_dim: int = key_dim or dim // num_heads
        self.value_dim: int = value_dim or dim // num_heads
        check_counts(key_dim=self.key_dim, value_dim=self.value_dim)
        self.query_strides: tuple[int, int] = size_2d('query_strides', query_strides)
        self.kv_stride = kv_stride
        self.has_query_strides = max(self.query_strides) > 1
        self.scale = self.key_dim**-0.5
        self.fused_attn = use_fused_attn()

        steps = OrderedDict[str, nn.Module]()
        if self.has_query_strides:
            same = 'same' if padding == 'same' else 0
            steps['down_pool'] = create_pool2d('avg', kernel_size=self.query_strides, padding=same)
            steps['norm'] = norm_layer(dim)
        steps['proj'] = nn.Conv2d(dim, self.num_heads * self.key_dim, kernel_size=1, bias=use_bias)
        self.query = nn.Sequential(steps)

        def shared(width: int) -> nn.Sequential:
            steps = OrderedDict[str, nn.Module]()
            if kv_stride > 1:
                steps['down_conv'] = create_conv2d(
                    dim, dim, dw_kernel_size, stride=kv_stride, dilation=dilation, padding=padding, depthwise=True
                )
                steps['norm'] = norm_layer(dim)
            steps['proj'] = nn.Conv2d(dim, width, kernel_size=1, bias=use_bias)
            return nn.Sequential(steps)

        self.key = shared(self.key_dim)
        self.value = shared(self.value_dim)
        self.attn_drop = nn.Dropout(attn_drop)

        steps = OrderedDict[str, nn.Module]()
        if self.has_query_strides:
            factors = (float(self.query_strides[0]), float(self.query_strides[1]))
            steps['upsample'] = nn.Upsample(scale_factor=factors, mode='bilinear', align_corners=False)
        steps['proj'] = nn.Conv2d(self.value_dim * num_heads, dim_out or dim, kernel_size=1, bias=use_bias)
        steps['drop'] = nn.Dropout(proj_drop)
        self.output = nn.Sequential(steps)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw the weights of all convolutions anew: Xavier uniform."""
        for name in ('proj', 'down_conv'):
            for part in (self.query, self.key, self.value):
                conv = dict(part.named_children()).get(name)
                if isinstance(conv, nn.Conv2d):
                    nn.init.xavier_uniform_(conv.weight)
        for module in self.output:
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Positions that have looked at each other.

        Args:
            attn_mask: Numbers to add, which broadcast to (B, heads, queries, keys).
        """
        q = self.query(x)
        H, W = q.shape[-2], q.shape[-1]
        # contiguous, as fast kernels want features side by side
        q = q.flatten(2).unflatten(1, (self.num_heads, self.key_dim)).transpose(2, 3).contiguous()
        k = self.key(x).flatten(2).transpose(1, 2).unsqueeze(1).contiguous()
        v = self.value(x).flatten(2).transpose(1, 2).unsqueeze(1).contiguous()
        if self.fused_attn:
            k, v = k.expand(-1, self.num_heads, -1, -1), v.expand(-1, self.num_heads, -1, -1)
            drop = self.attn_drop.p if self.training else 0.0
            heads = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, dropout_p=drop)
        else:
            scores = (q * self.scale) @ k.transpose(2, 3)
            if attn_mask is not None:
                scores = scores + attn_mask
            heads = self.attn_drop(scores.softmax(dim=-1)) @ v
        return self.output(heads.transpose(2, 3).flatten(1, 2).unflatten(2, (H, W)))


class Attention2d(Module):
    """Multi-head self attention with 1x1 convolutions for projections.

    Shape: (B, dim, H, W) -> (B, dim_out, H, W)

    Args:
        dim_out: `dim` when None.
        expand_first: Attention works at the width of `dim_out`, not of `dim`.
        head_first: The projection's channels run through heads, then queries, keys and values; else the other way.
        attn_drop: Dropout of attention weights; `proj_drop` of the result.

    Raises:
        ValueError: The width of attention is no multiple of `num_heads`.
    """

    fused_attn: torch.jit.Final[bool]

    def __init__(
        self,
        dim: int,
        dim_out: int | None = None,
        num_heads: int = 32,
        bias: bool = True,
        expand_first: bool = False,
        head_first: bool = False,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
    ) -> None:
        super().__init__()
        dim_out = dim_out or dim
        width = dim_out if expand_first else dim
        self.num_heads = num_heads
        self.dim_head = share_of('dim_out' if expand_first else 'dim', width, 'num_heads', num_heads)
        self.head_first = head_first
        self.fused_attn = use_fused_attn()
        self.qkv = nn.Conv2d(dim, 3 * width, kernel_size=1, bias=bias)
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Conv2d(width, dim_out, kernel_size=1, bias=bias)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Positions that have looked at each other.

        Args:
            attn_mask: Numbers to add, which broadcast to (B, heads, H * W, H * W).
        """
        H, W = x.shape[-2], x.shape[-1]
        mixed = self.qkv(x).flatten(2)
        if self.head_first:
            q, k, v = mixed.unflatten(1, (self.num_heads, 3, self.dim_head)).transpose(3, 4).contiguous().unbind(2)
        else:
            q, k, v = mixed.unflatten(1, (3, self.num_heads, self.dim_head)).transpose(3, 4).contiguous().unbind(1)
        if self.fused_attn:
            drop = self.attn_drop.p if self.training else 0.0
            heads = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, dropout_p=drop)
        else:
            scores = (q * self.dim_head**-0.5) @ k.transpose(2, 3)
            if attn_mask is not None:
                scores = scores + attn_mask
            heads = self.attn_drop(scores.softmax(dim=-1)) @ v
        x = heads.transpose(2, 3).flatten(1, 2).unflatten(2, (H, W))
        return self.proj_drop(self.proj(x))
