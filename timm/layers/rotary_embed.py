"""Rotary position embeddings of two axes, each of which turns some of the pairs of channels (arXiv:2303.11331)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from ._device import Module
from .pos_grid import freq_bands, pixel_freq_bands
from .pos_table import build_rotary_pos_embed
from .rotary import apply_rot_embed

__all__ = ['RotaryEmbedding', 'RotaryEmbeddingCat', 'RotaryTable', 'batch_embeds', 'turn_map']


class RotaryTable(Module):
    """What rotary embeddings share: the map they are ready for, augmentation of coordinates, and batches of maps."""

    aug_active: torch.jit.Final[bool]

    def _settle(
        self,
        feat_shape: Sequence[int] | None,
        shift_coords: float | None,
        jitter_coords: float | None,
        rescale_coords: float | None,
    ) -> None:
        self._set_feat_shape(feat_shape)
        self.shift_coords = shift_coords
        self.jitter_coords = jitter_coords
        self.rescale_coords = rescale_coords
        self.aug_active = any(bound is not None for bound in (shift_coords, jitter_coords, rescale_coords))

    def _set_feat_shape(self, feat_shape: Sequence[int] | None) -> None:
        self.feat_shape: Sequence[int] | None = feat_shape
        # [0] for none: TorchScript finds no type for an empty list
        self.ready_for = [0] if feat_shape is None else list(feat_shape)

    def update_feat_shape(self, feat_shape: Sequence[int]) -> None:
        """Be ready for maps of another size; nothing happens where no size was given to the constructor."""
        if self.feat_shape is not None and list(feat_shape) != self.ready_for:
            self._set_feat_shape(feat_shape)
            self.init_non_persistent_buffers()

    def reset_parameters(self) -> None:
        """Compute the buffers anew; there is nothing to learn."""
        self.init_non_persistent_buffers()

    def init_non_persistent_buffers(self) -> None:
        """Compute the buffers that a state dict leaves out, where and as they are."""
        raise NotImplementedError

    def _size(self, shape: list[int] | None) -> list[int]:
        if shape is not None:
            return shape
        if self.ready_for == [0]:
            raise ValueError('No size of map is known: give a shape, or feat_shape to the constructor.')
        return self.ready_for

    def get_embed(self, shape: list[int] | None = None, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The table for a map of this size, or of `feat_shape`; in training, augmented."""
        raise NotImplementedError


def batch_embeds(
    rope: RotaryTable, shapes: Sequence[tuple[int, int]], seq_len: int | None, dtype: torch.dtype | None
) -> list[torch.Tensor] | torch.Tensor:
    """Tables for maps of several sizes: a list, or one tensor (B, ..., seq_len, D) filled up with zeros."""
    shared: dict[tuple[int, int], torch.Tensor] = {}
    tables: list[torch.Tensor] = []
    for shape in shapes:
        if shape not in shared or (rope.training and rope.aug_active):  # augmented images differ
            shared[shape] = rope.get_embed([shape[0], shape[1]], dtype)
        tables.append(shared[shape])
    if seq_len is None:
        return tables
    return torch.stack([F.pad(table, (0, 0, 0, seq_len - table.shape[-2])) for table in tables])


def turn_map(x: torch.Tensor, sin: torch.Tensor, cos: torch.Tensor, half: bool) -> torch.Tensor:
    """Turn the channels of every position of a map: x (..., D, H, W), tables (..., H * W, D) -> x's shape."""
    turned = apply_rot_embed(x.flatten(-2).transpose(-1, -2), sin, cos, half)
    return turned.transpose(-1, -2).reshape(x.shape)


class RotaryEmbedding(RotaryTable):
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
    """

    bands: torch.Tensor
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
        super().__init__()
        self.dim = dim
        self.max_res = max_res
        self.temperature = temperature
        self.in_pixels = in_pixels
        self.linear_bands = linear_bands
        self.ref_feat_shape = None if ref_feat_shape is None else list(ref_feat_shape)
        self.grid_offset = grid_offset
        self.grid_indexing = grid_indexing
        self.grid_type: str = grid_type or ('pixel' if in_pixels else 'index')
        self.normalize_coords = normalize_coords
        self.rotate_half = rotate_half
        self._settle(feat_shape, shift_coords, jitter_coords, rescale_coords)
        self.register_buffer('bands', self._frequencies(device), persistent=False)
        self._keep_tables(dtype or torch.float32)

    def _frequencies(self, device: torch.device | None) -> torch.Tensor:
        if self.in_pixels:
            return pixel_freq_bands(self.dim // 4, float(self.max_res), self.linear_bands, device)
        return freq_bands(self.dim // 4, float(self.temperature), 1, device)

    def _sin_cos(self, shape: list[int], augment: bool) -> tuple[torch.Tensor, torch.Tensor]:
        return build_rotary_pos_embed(
            shape,
            # not the buffer, which may have been cast to half precision
            bands=self._frequencies(self.bands.device),
            ref_feat_shape=self.ref_feat_shape,
            grid_offset=self.grid_offset,
            grid_indexing=self.grid_indexing,
            rotate_half=self.rotate_half,
            grid_type=self.grid_type,
            normalize_coords=self.normalize_coords,
            shift_coords=self.shift_coords if augment else None,
            jitter_coords=self.jitter_coords if augment else None,
            rescale_coords=self.rescale_coords if augment else None,
        )

    def _keep_tables(self, dtype: torch.dtype) -> None:
        sin, cos = self._sin_cos(self.ready_for, False) if self.feat_shape is not None else (None, None)
        self.register_buffer('pos_embed_sin', None if sin is None else sin.to(dtype), persistent=False)
        self.register_buffer('pos_embed_cos', None if cos is None else cos.to(dtype), persistent=False)

    def init_non_persistent_buffers(self) -> None:
        """Compute the buffers that a state dict leaves out, where and as they are."""
        kept = [buffer for name, buffer in self.named_buffers() if name != 'bands']
        self.bands = self._frequencies(self.bands.device)
        self._keep_tables(kept[0].dtype if kept else torch.float32)

    def get_embed(
        self, shape: list[int] | None = None, dtype: torch.dtype | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sines and cosines, (H * W, dim) each, for a map of this size, or of `feat_shape`; in training, augmented."""
        augment = self.training and self.aug_active
        if self.pos_embed_sin is not None and not augment and (shape is None or list(shape) == self.ready_for):
            sin, cos = self.pos_embed_sin, self.pos_embed_cos
        else:
            sin, cos = self._sin_cos(self._size(shape), augment)
        if dtype is not None:
            sin, cos = sin.to(dtype), cos.to(dtype)
        return sin, cos

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The map, each position turned by its angles."""
        sin, cos = self.get_embed([x.shape[2], x.shape[3]])
        return turn_map(x, sin, cos, self.rotate_half)


class RotaryEmbeddingCat(RotaryEmbedding):
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

    def _table(self, shape: list[int], augment: bool) -> torch.Tensor:
        return torch.cat(self._sin_cos(shape, augment), dim=-1)

    def _keep_tables(self, dtype: torch.dtype) -> None:
        table = self._table(self.ready_for, False).to(dtype) if self.feat_shape is not None else None
        self.register_buffer('pos_embed', table, persistent=False)

    def get_embed(self, shape: list[int] | None = None, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The table (H * W, 2 * dim) for a map of this size, or of `feat_shape`; in training, augmented."""
        augment = self.training and self.aug_active
        if self.pos_embed is not None and not augment and (shape is None or list(shape) == self.ready_for):
            table = self.pos_embed
        else:
            table = self._table(self._size(shape), augment)
        return table if dtype is None else table.to(dtype)

    def get_batch_embeds(
        self,
        shapes: Sequence[tuple[int, int]],
        seq_len: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> list[torch.Tensor] | torch.Tensor:
        """Tables for maps of several sizes: a list, or (B, seq_len, 2 * dim) filled up with zeros."""
        return batch_embeds(self, shapes, seq_len, dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The map, each position turned by its angles."""
        sin, cos = self.get_embed([x.shape[2], x.shape[3]]).chunk(2, dim=-1)
        return turn_map(x, sin, cos, self.rotate_half)
