"""Rotary position embedding whose frequencies belong to sections for several axes."""

from collections.abc import Sequence

import torch
from torch import nn

from ._checks import BadValue
from .pos_grid import augment_coords, build_grid
from .rotary_table import RotaryTable, at_least_float32

torch.fx.wrap('augment_coords')  # a tracer's symbolic sizes cannot make coordinates
torch.fx.wrap('build_grid')

__all__ = ['RotaryEmbeddingMRope']


class RotaryEmbeddingMRope(RotaryTable):
    """Rotary position embedding whose frequencies take turns among time, row and column (Qwen3-VL's, for images).

    An image has no time, so its coordinate is zero, and frequencies assigned to it turn nothing.

    Args:
        dim: Width of a head.
        mrope_section: How many of the dim / 2 frequencies each of time, row and column has at most.
        temperature: 1 / lowest frequency, about.
        grid_indexing: 'ij', the only one there is.
        shift_coords: In training, as in `augment_coords`, like the two after it.

    Raises:
        ValueError: `grid_indexing` is another; `dim` is odd; there are not three sections of 0 or more.
    """

    inv_freq: torch.Tensor
    axis: torch.Tensor

    def __init__(
        self,
        dim: int,
        mrope_section: Sequence[int] = (8, 12, 12),
        temperature: float = 10000.0,
        grid_indexing: str = 'ij',
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        shift_coords: float | None = None,
        jitter_coords: float | None = None,
        rescale_coords: float | None = None,
    ) -> None:
        super().__init__()
        if grid_indexing != 'ij':
            raise BadValue(f"grid_indexing={grid_indexing!r}: this embedding counts rows, then columns; use 'ij'.")
        self._check_options(dim, 1, temperature)
        if len(mrope_section) != 3 or min(mrope_section) < 0:
            raise BadValue(f'mrope_section={mrope_section!r}: use 3 numbers of 0 or more, for time, row and column.')
        self.dim = dim
        self.mrope_section = mrope_section
        self.temperature = temperature
        self.grid_indexing = grid_indexing
        self._settle(None, shift_coords, jitter_coords, rescale_coords)
        self.register_buffer('inv_freq', None, persistent=False)
        self.register_buffer('axis', None, persistent=False)
        self._make_buffers(device, at_least_float32(dtype))

    def _make_buffers(self, device: torch.device | None, dtype: torch.dtype) -> None:
        num_bands = self.dim // 2
        axis = [0] * num_bands
        for i in (1, 2):
            for band in range(i, min(3 * self.mrope_section[i], num_bands), 3):
                axis[band] = i
        self.inv_freq = self._frequencies(device).to(dtype)
        self.axis = torch.tensor(axis, dtype=torch.int64, device=device)

    def _make_frequencies(self) -> None:
        self.inv_freq = self._frequencies(self.inv_freq.device).to(at_least_float32(self.inv_freq.dtype))

    def _frequencies(self, device: torch.device | None) -> torch.Tensor:
        exponents = torch.arange(0, self.dim, 2, dtype=torch.float32, device=device) / self.dim
        return 1.0 / self.temperature**exponents

    def init_non_persistent_buffers(self) -> None:
        """Compute the buffers that a state dict leaves out, where they are."""
        self._make_buffers(self.inv_freq.device, at_least_float32(self.inv_freq.dtype))

    def get_embed(self, shape: list[int], dtype: torch.dtype | None = None) -> torch.Tensor:
        """The table (H * W, 2 * dim) for a map of this size; in training, augmented.

        Raises:
            ValueError: `shape` is not a height and a width.
        """
        coords = build_grid(shape, device=self.axis.device, num_axes=2).flatten(0, 1)
        if self.training and self.aug_active:
            coords = augment_coords(coords, self.shift_coords, self.jitter_coords, self.rescale_coords)
        positions = nn.functional.pad(coords, (1, 0)).index_select(1, self.axis)  # time, row and column
        angles = positions * self.inv_freq
        sin, cos = angles.sin(), angles.cos()
        table = torch.cat([sin, sin, cos, cos], dim=-1)  # the halves of a pair lie half the width apart
        return table if dtype is None else table.to(dtype)
