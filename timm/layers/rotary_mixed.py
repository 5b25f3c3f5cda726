"""Further rotary position embeddings: DINOv3's, and RoPE-Mixed with learned frequencies."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from ._checks import BadValue, check_counts, share_of
from .pos_grid import augment_coords, build_grid, get_mixed_grid
from .pos_table import get_mixed_freqs, init_random_2d_freqs, spread_over_pairs
from .rotary_table import RotaryTable, at_least_float32, batch_embeds, turn_map

# a tracer's symbolic sizes cannot make coordinates, nor its dtypes be compared
for _leaf in ('_check_block', 'at_least_float32', 'augment_coords', 'build_grid', 'get_mixed_freqs', 'get_mixed_grid'):
    torch.fx.wrap(_leaf)

__all__ = ['RotaryEmbeddingDinoV3', 'RotaryEmbeddingMixed']


class RotaryEmbeddingDinoV3(RotaryTable):
    """Rotary position embedding of coordinates in [-1, 1] at the middles of cells (DINOv3, arXiv:2508.10104, 3.2).

    Shape: (B, dim, H, W) -> the same, turned

    Args:
        dim: Width of a head, a quarter of which is the number of frequencies.
        temperature: Periods run from 1 towards this.
        min_period: Periods run from this to `max_period` instead, where both are given.
        feat_shape: Size of map to keep a table for.
        normalize_coords: As in `build_grid`, like `grid_offset` and `grid_indexing`.
        rotate_half: Pairs of channels lie half the width apart; else side by side.
        shift_coords: In training, as in `augment_coords`, like the two after it.
    """

    periods: torch.Tensor
    if TYPE_CHECKING:
        pos_embed_cached: torch.Tensor | None

    def __init__(
        self,
        dim: int,
        temperature: float | None = 100.0,
        min_period: float | None = None,
        max_period: float | None = None,
        feat_shape: Sequence[int] | None = None,
        normalize_coords: str = 'separate',
        grid_offset: float = 0.0,
        grid_indexing: str = 'ij',
        rotate_half: bool = True,
        shift_coords: float | None = None,
        jitter_coords: float | None = None,
        rescale_coords: float | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.temperature = temperature
        self.min_period = min_period
        self.max_period = max_period
        self.normalize_coords = normalize_coords
        self.grid_offset = grid_offset
        self.grid_indexing = grid_indexing
        self.rotate_half = rotate_half
        self._check_options(dim, 2, temperature, grid_indexing=grid_indexing, normalize_coords=normalize_coords)
        self._settle(feat_shape, shift_coords, jitter_coords, rescale_coords)
        self.register_buffer('periods', self._make_periods(device).to(at_least_float32(dtype)), persistent=False)
        self._keep_table(dtype or torch.float32)

    def _make_periods(self, device: torch.device | None) -> torch.Tensor:
        num_bands = self.dim // 4
        if self.min_period is not None and self.max_period is not None:
            steps = torch.linspace(0.0, 1.0, num_bands, dtype=torch.float32, device=device)
            return self.min_period * (self.max_period / self.min_period) ** steps
        if self.temperature is None:
            raise BadValue('temperature=None needs min_period and max_period, both: use 100.0 to do without them.')
        steps = torch.arange(num_bands, dtype=torch.float32, device=device)
        return self.temperature ** (2.0 * steps / (self.dim // 2))

    def _make_frequencies(self) -> None:
        self.periods = self._make_periods(self.periods.device).to(at_least_float32(self.periods.dtype))

    def _table(self, shape: list[int], augment: bool) -> torch.Tensor:
        coords = build_grid(
            shape,
            grid_type='centered',
            grid_offset=self.grid_offset,
            grid_indexing=self.grid_indexing,
            normalize_coords=self.normalize_coords,
            device=self.periods.device,
            num_axes=2,
        ).flatten(0, 1)
        if augment:
            coords = augment_coords(coords, self.shift_coords, self.jitter_coords, self.rescale_coords)
        angles = (2 * math.pi * coords.to(self.periods.dtype).unsqueeze(-1) / self.periods).flatten(1)
        sin, cos = spread_over_pairs(angles.sin(), self.rotate_half), spread_over_pairs(angles.cos(), self.rotate_half)
        return torch.cat([sin, cos], dim=-1)

    def _keep_table(self, dtype: torch.dtype) -> None:
        table = self._table(self.ready_for, False).to(dtype) if self.feat_shape is not None else None
        self.register_buffer('pos_embed_cached', table, persistent=False)

    def init_non_persistent_buffers(self) -> None:
        """Compute the buffers that a state dict leaves out, where and as they are."""
        kept = self.pos_embed_cached
        self._make_frequencies()
        self._keep_table(torch.float32 if kept is None else kept.dtype)

    def get_embed(self, shape: list[int] | None = None, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The table (H * W, 2 * dim) for a map of this size, or of `feat_shape`; in training, augmented.

        Args:
            shape: When None, the table kept for `feat_shape` is used, in the dtype it has.
            dtype: Of the result; that of `periods` for a table made on call when None.
        """
        augment = self.training and self.aug_active
        if self.pos_embed_cached is not None and not augment and shape is None:
            table = self.pos_embed_cached
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


class RotaryEmbeddingMixed(RotaryTable):
    """Rotary position embedding whose angles mix both coordinates by learned frequencies (arXiv:2403.13298, 3.2).

    Shape: (B, dim, H, W) -> the same, turned

    Args:
        dim: Width of all heads together.
        depth: Number of blocks, each of which has frequencies of its own for each head.
        temperature: 1 / lowest frequency to start from, about.
        feat_shape: Size of map to keep coordinates for.
        grid_indexing: 'xy' takes the column for the first coordinate, 'ij' the row.
        shift_coords: In training, as in `augment_coords`, like the two after it.
    """

    if TYPE_CHECKING:
        t_x: torch.Tensor | None
        t_y: torch.Tensor

    def __init__(
        self,
        dim: int,
        depth: int,
        num_heads: int,
        temperature: float = 10.0,
        feat_shape: Sequence[int] | None = None,
        grid_indexing: str = 'xy',
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        shift_coords: float | None = None,
        jitter_coords: float | None = None,
        rescale_coords: float | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.depth, self.num_heads = dim, depth, num_heads
        self.temperature = temperature
        self.grid_indexing = grid_indexing
        head_dim = share_of('dim', dim, 'num_heads', num_heads)
        self._check_options(head_dim, 2, temperature, grid_indexing=grid_indexing)
        check_counts(depth=depth)
        self._settle(feat_shape, shift_coords, jitter_coords, rescale_coords)
        shape = (2, depth, num_heads, head_dim // 2)
        self.freqs = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the frequencies anew, and compute the buffers."""
        head_dim = self.dim // self.num_heads
        with torch.no_grad():
            device = self.freqs.device
            fresh = init_random_2d_freqs(head_dim, self.depth, self.num_heads, self.temperature, device=device)
            self.freqs.copy_(fresh)
        self.init_non_persistent_buffers()

    def init_non_persistent_buffers(self) -> None:
        """Compute the buffers that a state dict leaves out, where the frequencies are."""
        device = self.freqs.device
        grid = (
            get_mixed_grid(self.ready_for, self.grid_indexing, device) if self.feat_shape is not None else (None, None)
        )
        self.register_buffer('t_x', grid[0], persistent=False)
        self.register_buffer('t_y', grid[1], persistent=False)

    def _make_frequencies(self) -> None:
        if self.t_x is not None:  # in half precision, positions from 257 on would collapse
            dtype = at_least_float32(self.t_x.dtype)
            self.t_x, self.t_y = get_mixed_grid(self.ready_for, self.grid_indexing, self.freqs.device, dtype)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay should spare."""
        return {'freqs'}

    def get_embed(self, shape: list[int] | None = None, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Tables of all blocks, (depth, heads, H * W, 2 * head_dim), for a map of this size, or of `feat_shape`.

        Args:
            dtype: Of the result; that of the frequencies when None, in training with augmentation float32 at least.
        """
        if self.t_x is not None and shape is None:
            t_x, t_y = self.t_x, self.t_y
        else:
            t_x, t_y = get_mixed_grid(self._size(shape), self.grid_indexing, self.freqs.device)
        if self.training and self.aug_active:
            coords = torch.stack([t_x, t_y], dim=-1).float()
            coords = augment_coords(coords, self.shift_coords, self.jitter_coords, self.rescale_coords)
            t_x, t_y = coords[:, 0], coords[:, 1]
            if dtype is None:
                dtype = at_least_float32(self.freqs.dtype)
        return get_mixed_freqs(self.freqs, t_x, t_y, dtype)

    def get_batch_embeds(
        self,
        shapes: Sequence[tuple[int, int]],
        seq_len: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> list[torch.Tensor] | torch.Tensor:
        """Tables for maps of several sizes: a list, or (B, depth, heads, seq_len, 2 * head_dim), zeros at the end."""
        return batch_embeds(self, shapes, seq_len, dtype)

    def forward(self, x: torch.Tensor, block_index: int = 0) -> torch.Tensor:
        """The map, the channels of each head turned by the angles of one block.

        Raises:
            ValueError: There is no such block.
        """
        _check_block(block_index, self.depth)
        sin, cos = self.get_embed([x.shape[2], x.shape[3]])[block_index].chunk(2, dim=-1)
        return turn_map(x.unflatten(1, (self.num_heads, -1)), sin, cos, False).flatten(1, 2)


def _check_block(block_index: int, depth: int) -> None:
    if block_index < 0 or block_index >= depth:
        raise BadValue(f'block_index={block_index} is none of {depth} blocks: use 0 to {depth - 1}.')
