"""What rotary position embeddings share: the map they are ready for, checks of options, and batches of maps."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

from ._checks import BadValue, check_multiple, size_2d
from ._device import Module
from ._names import unknown_name
from .pos_grid import as_bound, check_augmentation
from .rotary import apply_rot_embed

__all__ = ['RotaryTable', 'at_least_float32', 'batch_embeds', 'turn_map']

_NAMES = {
    'grid_type': ('pixel', 'index', 'centered'),
    'grid_indexing': ('ij', 'xy'),
    'normalize_coords': ('separate', 'max', 'min'),
}


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
        self.shift_coords = as_bound('shift_coords', shift_coords)
        self.jitter_coords = as_bound('jitter_coords', jitter_coords)
        self.rescale_coords = as_bound('rescale_coords', rescale_coords)
        check_augmentation(self.shift_coords, self.jitter_coords, self.rescale_coords)
        self.aug_active = any(bound is not None for bound in (shift_coords, jitter_coords, rescale_coords))
        self._set_feat_shape(feat_shape)

    def _check_options(self, dim: int, axes: int, temperature: float | None, **names: str) -> None:
        """Refuse widths that sines and cosines of so many axes do not fill, and what grids do not know."""
        check_multiple('dim', dim, 2 * axes, f'cannot hold sine and cosine of {axes} axes')
        if temperature is not None and not temperature > 0:
            raise BadValue(f'temperature={temperature} is no base of frequencies: use a number above 0.')
        for name, value in names.items():
            if value not in _NAMES[name]:
                raise unknown_name(name, value, _NAMES[name])

    def _set_feat_shape(self, feat_shape: Sequence[int] | None) -> None:
        if feat_shape is not None:
            if len(feat_shape) != 2:
                raise BadValue(
                    f'Expected 2 spatial dimensions, got feat_shape={tuple(feat_shape)}: use a height and a width.'
                )
            size_2d('feat_shape', tuple(feat_shape))
        self.feat_shape: Sequence[int] | None = feat_shape
        # [0] for none: TorchScript finds no type for an empty list
        self.ready_for = [0] if feat_shape is None else list(feat_shape)

    def update_feat_shape(self, feat_shape: Sequence[int]) -> None:
        """Be ready for maps of another size; nothing happens where no size was given to the constructor."""
        if self.feat_shape is not None and list(feat_shape) != self.ready_for:
            self._set_feat_shape(feat_shape)
            self.init_non_persistent_buffers()

    def _apply(self, fn: Callable[..., torch.Tensor], recurse: bool = True) -> 'RotaryTable':
        super()._apply(fn, recurse)
        self._make_frequencies()  # a cast to half precision would take digits from them that no table can do without
        return self

    def _make_frequencies(self) -> None:
        """Compute the buffer with the frequencies, in float32 or, widened from that, float64, where it is."""

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


def at_least_float32(dtype: torch.dtype | None) -> torch.dtype:
    """This dtype, or float32 in place of a shorter one or none."""
    return torch.float32 if dtype is None else torch.promote_types(dtype, torch.float32)


def batch_embeds(
    rope: RotaryTable, shapes: Sequence[tuple[int, int]], seq_len: int | None, dtype: torch.dtype | None
) -> list[torch.Tensor] | torch.Tensor:
    """Tables for maps of several sizes: a list, or one tensor (B, ..., seq_len, D) filled up with zeros.

    Raises:
        ValueError: A map has more positions than `seq_len`.
    """
    longest = max((height * width for height, width in shapes), default=0)
    if seq_len is not None and longest > seq_len:
        raise BadValue(f'seq_len={seq_len} has no room for a map of {longest} positions: use {longest} or more.')
    shared: dict[tuple[int, int], torch.Tensor] = {}
    tables: list[torch.Tensor] = []
    for shape in shapes:
        if shape not in shared or (rope.training and rope.aug_active):  # augmented images differ
            shared[shape] = rope.get_embed([shape[0], shape[1]], dtype)
        tables.append(shared[shape])
    if seq_len is None or not tables:
        return tables
    return torch.stack([F.pad(table, (0, 0, 0, seq_len - table.shape[-2])) for table in tables])


def turn_map(x: torch.Tensor, sin: torch.Tensor, cos: torch.Tensor, half: bool) -> torch.Tensor:
    """Turn the channels of every position of a map: x (..., D, H, W), tables (..., H * W, D) -> x's shape."""
    turned = apply_rot_embed(x.flatten(-2).transpose(-1, -2), sin, cos, half)
    return turned.transpose(-1, -2).reshape(x.shape)
