"""Position embeddings made of sines and cosines, under their published path: one to append, and all rotary ones."""

from typing import Any

import torch

from ._checks import BadValue, check_counts, share_of
from ._device import Module
from ._fx import register_notrace_function as register_notrace_function
from .grid import ndgrid as ndgrid
from .pos_grid import build_grid as _build_grid  # noqa: F401 (imported from here by other projects)
from .pos_grid import (
    freq_bands,
    get_mixed_grid,
    make_coords_dinov3,
    pixel_freq_bands,
    swap_shape_xy,
)
from .pos_table import (
    build_fourier_pos_embed,
    build_rotary_pos_embed,
    build_sincos2d_pos_embed,
    get_mixed_freqs,
    init_random_2d_freqs,
)
from .rotary import (
    apply_keep_indices_nlc,
    apply_rot_embed,
    apply_rot_embed_cat,
    apply_rot_embed_list,
    rope_rotate_half,
    rot,
)
from .rotary_embed import RotaryEmbedding, RotaryEmbeddingCat
from .rotary_mixed import RotaryEmbeddingDinoV3, RotaryEmbeddingMixed
from .rotary_sections import RotaryEmbeddingMRope
from .rotary_table import RotaryTable

__all__ = [
    'FourierEmbed',
    'RotaryEmbedding',
    'RotaryEmbeddingCat',
    'RotaryEmbeddingDinoV3',
    'RotaryEmbeddingMRope',
    'RotaryEmbeddingMixed',
    'apply_keep_indices_nlc',
    'apply_rot_embed',
    'apply_rot_embed_cat',
    'apply_rot_embed_list',
    'build_fourier_pos_embed',
    'build_rotary_pos_embed',
    'build_sincos2d_pos_embed',
    'create_rope_embed',
    'freq_bands',
    'get_mixed_freqs',
    'get_mixed_grid',
    'init_random_2d_freqs',
    'make_coords_dinov3',
    'pixel_freq_bands',
    'rope_rotate_half',
    'rot',
    'swap_shape_xy',
]


class FourierEmbed(Module):
    """Appends Fourier features of each position to a map's channels (Perceiver, arXiv:2103.03206, section 3.2).

    Shape: (B, C, H, W) -> (B, H * W, C + F), or (B, C + F, H, W) with `keep_spatial`; F = 4 * num_bands, and 2 more
    with `concat_grid`

    Args:
        max_res: Highest resolution that the frequencies resolve.
        concat_grid: Append the coordinates too.

    Raises:
        ValueError: A number is below 1.
    """

    bands: torch.Tensor

    def __init__(
        self,
        max_res: int = 224,
        num_bands: int = 64,
        concat_grid: bool = True,
        keep_spatial: bool = False,
    ) -> None:
        super().__init__()
        check_counts(max_res=max_res, num_bands=num_bands)
        self.max_res = max_res
        self.num_bands = num_bands
        self.concat_grid = concat_grid
        self.keep_spatial = keep_spatial
        bands = pixel_freq_bands(num_bands, float(max_res))
        self.register_buffer('bands', bands.to(torch.get_default_dtype()), persistent=False)

    def reset_parameters(self) -> None:
        """Compute the buffers anew; there is nothing to learn."""
        self.init_non_persistent_buffers()

    def init_non_persistent_buffers(self) -> None:
        """Compute the buffers that a state dict leaves out, where and as they are."""
        self.bands = pixel_freq_bands(self.num_bands, float(self.max_res), device=self.bands.device).to(
            self.bands.dtype
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The map, or its positions, with more channels."""
        B, _, H, W = x.shape
        features = build_fourier_pos_embed([H, W], self.bands, include_grid=self.concat_grid)
        # laid out as maps are before it is repeated, for otherwise every repetition is gathered from all over it
        table = torch.cat(features, dim=-1).transpose(-1, -2).flatten(2).permute(2, 0, 1).contiguous()
        x = torch.cat([x, table.expand(B, -1, -1, -1).to(x.dtype)], dim=1)
        return x if self.keep_spatial else x.flatten(2).transpose(1, 2)


_NOT_FOR = {
    'dinov3': ('in_pixels', 'ref_feat_shape'),
    'mixed': ('in_pixels', 'ref_feat_shape', 'rotate_half'),
    'mrope': ('in_pixels', 'ref_feat_shape', 'feat_shape', 'rotate_half'),
}
"""Arguments of the axial kinds that a network may pass to any kind, and that mean nothing to these."""


def create_rope_embed(rope_type: str = 'cat', dim: int = 768, num_heads: int = 12, **kwargs: Any) -> RotaryTable:
    """A rotary position embedding by name.

    Args:
        rope_type: 'base' (`RotaryEmbedding`), 'cat', 'mixed', 'dinov3' or 'mrope'.
        dim: Width of all heads together.
        **kwargs: For its constructor; `in_pixels` and `ref_feat_shape` are dropped where they mean nothing.

    Raises:
        ValueError: `rope_type` is none of these; 'mixed' with `rotate_half`, or 'mrope' without; `num_heads` does not
            divide `dim`.
    """
    for one, half in (('mixed', False), ('mrope', True)):
        if rope_type == one and kwargs.get('rotate_half', half) != half:
            pairs = 'channels half a width apart' if half else 'neighbouring channels'
            raise BadValue(f'rope_type={one!r} requires rotate_half={half}: it turns {pairs} only.')
    for name in _NOT_FOR.get(rope_type, ()):
        kwargs.pop(name, None)
    if rope_type == 'mixed':
        return RotaryEmbeddingMixed(dim=dim, num_heads=num_heads, **kwargs)
    classes = {
        'base': RotaryEmbedding,
        'cat': RotaryEmbeddingCat,
        'dinov3': RotaryEmbeddingDinoV3,
        'mrope': RotaryEmbeddingMRope,
    }
    if rope_type not in classes:
        raise BadValue(f"rope_type={rope_type!r} is not known: use 'base', 'cat', 'mixed', 'dinov3' or 'mrope'.")
    return classes[rope_type](dim=share_of('dim', dim, 'num_heads', num_heads), **kwargs)
