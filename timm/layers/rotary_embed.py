"""Rotary position embeddings of two axes, each of which turns some of the pairs of channels (arXiv:2303.11331)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ._checks import BadValue
from .pos_grid import freq_bands, pixel_freq_bands
from .pos_table import build_rotary_pos_embed
from .rotary_table import RotaryTable, at_least_float32, batch_embeds, turn_map

__all__ = ['RotaryEmbedding', 'RotaryEmbeddingCat']


class _AxialRotary(RotaryTable):
    """Frequencies of two axes, and sines and cosines of the angles by which they turn the channels of each position."""

    bands: torch.Tensor

    def __init__(
        self,
        dim: int,
        *,
        max_res: int,
        temperature: float,
        in_pixels: bool,
        linear_bands: bool,
        feat_shape: Sequence[int] | None,
        ref_feat_shape: Sequence[int] | None,
        grid_offset: float,
        grid_indexing: str,
        grid_type: str | None,
        normalize_coords: str,
        device: torch.device | None,
        dtype: torch.dtype | None,
        shift_coords: float | None,
        jitter_coords: float | None,
        rescale_coords: float | None,
        rotate_half: bool,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.max_res = max_res
        self.temperature = temperature
        self.in_pixels = in_pixels
        self.linear_bands = linear_bands
        if ref_feat_shape is not None and len(ref_feat_shape) != 2:
            raise BadValue(f'ref_feat_shape={ref_feat_shape!r} is no size of a map: use a height and a width.')
        self.ref_feat_shape = None if ref_feat_shape is None else list(ref_feat_shape)
        self.grid_offset = grid_offset
        self.grid_indexing = grid_indexing
        self.grid_type: str = grid_type or ('pixel' if in_pixels else 'index')
        self.normalize_coords = normalize_coords
        self.rotate_half = rotate_half
        names = {'grid_type': self.grid_type, 'grid_indexing': grid_indexing, 'normalize_coords': normalize_coords}
        self._check_options(dim, 2, temperature, **names)
        self._settle(feat_shape, shift_coords, jitter_coords, rescale_coords)
        self._use_cached_embed = feat_shape is not None
        self.register_buffer('bands', self._compute_bands(device).to(at_least_float32(dtype)), persistent=False)
        self._keep_tables(dtype or torch.float32)

    def _compute_bands(self, device: torch.device | None) -> torch.Tensor:
        if self.in_pixels:
            return pixel_freq_bands(self.dim // 4, float(self.max_res), self.linear_bands, device)
        return freq_bands(self.dim // 4, float(self.temperature), 1, device)

    def _make_frequencies(self) -> None:
        self.bands = self._compute_bands(self.bands.device).to(at_least_float32(self.bands.dtype))

    def _sin_cos(
        self, shape: list[int], augment: bool, dtype: torch.dtype | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return build_rotary_pos_embed(
            shape,
            bands=self.bands,
            ref_feat_shape=self.ref_feat_shape,
            grid_offset=self.grid_offset,
            grid_indexing=self.grid_indexing,
            rotate_half=self.rotate_half,
            dtype=torch.float32 if dtype is None and not augment else dtype,
            grid_type=self.grid_type,
            normalize_coords=self.normalize_coords,
            shift_coords=self.shift_coords if augment else None,
            jitter_coords=self.jitter_coords if augment else None,
            rescale_coords=self.rescale_coords if augment else None,
        )

    def _keep_tables(self, dtype: torch.dtype) -> None:
        """Compute the buffers for `feat_shape`, where there is one."""
        raise NotImplementedError

    def init_non_persistent_buffers(self) -> None:
        """Compute the buffers that a state dict leaves out, where and as they are."""
        kept = [buffer for name, buffer in self.named_buffers() if name != 'bands']
        self._make_frequencies()
        self._keep_tables(kept[0].dtype if kept else torch.float32)


class RotaryEmbedding(_AxialRotary):
    """Rotary position embedding of two axes (EVA-02, arXiv:2303.11331), as a pair of tables, sines and cosines.

    Shape: (B, dim, H, W) -> the same, turned

    Args:
        dim: Width of a head, a quarter of which is the number of frequencies.
        max_res: Highest resolution that frequencies in pixels resolve.
        temperature: 1 / lowest frequency otherwise.
        in_pixels: Coordinates in [-1, 1]; else counts.
        linear_bands: Space frequencies in pixels evenly; else their logarithms.
        feat_shape: Size of map to keep tables for.
        ref_feat_shape: Scale coordinates to those of a map of this size.
        grid_offset: As in `build_grid`, like `grid_indexing`, `grid_type` and `normalize_coords`.
        shift_coords: In training, as in `augment_coords`, like the two after it.
        rotate_half: Pairs of channels lie half the width apart; else side by side.

    Raises:
        ValueError: `dim` is no multiple of 4; a map has not two axes; a name is unknown, or a number out of its range.
    """

    if TYPE_CHECKING:
        pos_embed_sin: torch.Tensor | None
        pos_embed_cos: torch.Tensor

    def __init__(
        self,
        dim: int,
        max_res: int = 224,
        temperature: float = 10000,
        in_pixels: bool = True,
        linear_bands: bool = False,
        feat_shape: Sequence[int] | None = None,
        ref_feat_shape: Sequence[int] | None = None,
        grid_offset: float = 0.0,
        grid_indexing: str = 'ij',
        grid_type: str | None = None,
        normalize_coords: str = 'separate',
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        shift_coords: float | None = None,
        jitter_coords: float | None = None,
        rescale_coords: float | None = None,
        rotate_half: bool = False,
    ) -> None:
        super().__init__(
            dim=dim,
            max_res=max_res,
            temperature=temperature,
            in_pixels=in_pixels,
            linear_bands=linear_bands,
            feat_shape=feat_shape,
            ref_feat_shape=ref_feat_shape,
            grid_offset=grid_offset,
            grid_indexing=grid_indexing,
            grid_type=grid_type,
            normalize_coords=normalize_coords,
            device=device,
            dtype=dtype,
            shift_coords=shift_coords,
            jitter_coords=jitter_coords,
            rescale_coords=rescale_coords,
            rotate_half=rotate_half,
        )

    def _keep_tables(self, dtype: torch.dtype) -> None:
        sin, cos = self._sin_cos(self.ready_for, False) if self.feat_shape is not None else (None, None)
        self.register_buffer('pos_embed_sin', None if sin is None else sin.to(dtype), persistent=False)
        self.register_buffer('pos_embed_cos', None if cos is None else cos.to(dtype), persistent=False)

    def get_embed(
        self, shape: list[int] | None = None, dtype: torch.dtype | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sines and cosines, (H * W, dim) each; in training, augmented.

        Args:
            shape: Size of the map; without meaning where tables are kept, which are for `feat_shape`.
            dtype: Of the result. When None, that of the tables kept; else float32, or if augmented that of `bands`.
        """
        augment = self.training and self.aug_active
        if self.pos_embed_sin is not None and not augment:
            sin, cos = self.pos_embed_sin, self.pos_embed_cos
            return (sin, cos) if dtype is None else (sin.to(dtype), cos.to(dtype))
        return self._sin_cos(self._size(shape), augment, dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The map, each position turned by its angles."""
        sin, cos = self.get_embed([x.shape[2], x.shape[3]])
        return turn_map(x, sin, cos, self.rotate_half)


class RotaryEmbeddingCat(_AxialRotary):
    """`RotaryEmbedding` with sines and cosines side by side in one table."""

    if TYPE_CHECKING:
        pos_embed: torch.Tensor | None

    def __init__(
        self,
        dim: int,
        max_res: int = 224,
        temperature: float = 10000,
        in_pixels: bool = True,
        linear_bands: bool = False,
        feat_shape: Sequence[int] | None = None,
        ref_feat_shape: Sequence[int] | None = None,
        grid_offset: float = 0.0,
        grid_indexing: str = 'ij',
        rotate_half: bool = False,
        grid_type: str | None = None,
        normalize_coords: str = 'separate',
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        shift_coords: float | None = None,
        jitter_coords: float | None = None,
        rescale_coords: float | None = None,
    ) -> None:
        super().__init__(
            dim=dim,
            max_res=max_res,
            temperature=temperature,
            in_pixels=in_pixels,
            linear_bands=linear_bands,
            feat_shape=feat_shape,
            ref_feat_shape=ref_feat_shape,
            grid_offset=grid_offset,
            grid_indexing=grid_indexing,
            grid_type=grid_type,
            normalize_coords=normalize_coords,
            device=device,
            dtype=dtype,
            shift_coords=shift_coords,
            jitter_coords=jitter_coords,
            rescale_coords=rescale_coords,
            rotate_half=rotate_half,
        )

    def _table(self, shape: list[int], augment: bool, dtype: torch.dtype | None = None) -> torch.Tensor:
        return torch.cat(self._sin_cos(shape, augment, dtype), dim=-1)

    def _keep_tables(self, dtype: torch.dtype) -> None:
        table = self._table(self.ready_for, False).to(dtype) if self.feat_shape is not None else None
        self.register_buffer('pos_embed', table, persistent=False)

    def get_embed(self, shape: list[int] | None = None, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The table (H * W, 2 * dim), as `RotaryEmbedding.get_embed` has its two."""
        augment = self.training and self.aug_active
        if self.pos_embed is not None and not augment:
            return self.pos_embed if dtype is None else self.pos_embed.to(dtype)
        return self._table(self._size(shape), augment, dtype)

    def get_batch_embeds(
        self,
        shapes: Sequence[tuple[int, int]],
        seq_len: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> list[torch.Tensor] | torch.Tensor:
        """Tables for maps of several sizes: a list, or (B, seq_len, 2 * dim) filled up with zeros.

        Raises:
            RuntimeError: It keeps a table for one size.
            ValueError: A map has more positions than `seq_len`.
        """
        if self.feat_shape is not None:
            raise RuntimeError(f'Tables are kept for maps of {tuple(self.feat_shape)} alone: leave feat_shape out.')
        return batch_embeds(self, shapes, seq_len, dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The map, each position turned by its angles."""
        sin, cos = self.get_embed([x.shape[2], x.shape[3]]).chunk(2, dim=-1)
        return turn_map(x, sin, cos, self.rotate_half)
