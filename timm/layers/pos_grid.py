"""Coordinates of the positions of feature maps, and frequencies for them: what sine and cosine tables are made of."""

import math
from numbers import Real
from typing import Any

import torch

from ._fx import register_notrace_function

__all__ = [
    'as_bound',
    'augment_coords',
    'build_grid',
    'check_augmentation',
    'freq_bands',
    'get_mixed_grid',
    'make_coords_dinov3',
    'pixel_freq_bands',
    'swap_shape_xy',
]


def pixel_freq_bands(
    num_bands: int,
    max_freq: float = 224.0,
    linear_bands: bool = True,
    device: torch.device | None = None,
) -> torch.Tensor:
    """Frequencies for coordinates in [-1, 1], from pi up to the Nyquist limit of `max_freq` samples (Perceiver).

    Shape: (num_bands,)

    Args:
        linear_bands: Evenly spaced; else evenly spaced logarithms (arXiv:2103.03206, section 3.2).

    Raises:
        ValueError: There are fewer than no bands, or `max_freq` is not above 0.
    """
    if num_bands < 0 or not max_freq > 0:
        raise ValueError(f'num_bands={num_bands} up to max_freq={max_freq} are no frequencies: use 0 and more than 0.')
    nyquist = max_freq / 2
    last = nyquist if linear_bands else math.log(nyquist) / math.log(2.0)
    steps = torch.linspace(1.0 if linear_bands else 0.0, last, num_bands, dtype=torch.float32, device=device)
    return math.pi * (steps if linear_bands else 2.0**steps)


def freq_bands(
    num_bands: int,
    temperature: float = 10000.0,
    step: int = 2,
    device: torch.device | None = None,
) -> torch.Tensor:
    """Frequencies for coordinates that count, a geometric series from 1 towards 1 / temperature (arXiv:1706.03762).

    Shape: (num_bands / step,)

    Raises:
        ValueError: There are fewer than no bands; `step` or `temperature` is not above 0.
    """
    if num_bands < 0 or step < 1 or not temperature > 0:
        raise ValueError(
            f'num_bands={num_bands}, step={step}, temperature={temperature} are no frequencies: use 0, 1, 1.0 or more.'
        )
    exponents = torch.arange(0, num_bands, step, dtype=torch.int64, device=device).to(torch.float32) / num_bands
    return 1.0 / temperature**exponents


def swap_shape_xy(seq: list[int]) -> list[int]:
    """The sizes with the first two exchanged; fewer than two are left as they are."""
    if len(seq) < 2:
        return seq
    return [seq[1], seq[0], *seq[2:]]


def _spacing(feat_shape: list[int], axis: int, normalize_coords: str) -> int:
    if normalize_coords == 'separate':
        return feat_shape[axis]
    if normalize_coords == 'max':
        return max(feat_shape)
    if normalize_coords == 'min':
        return min(feat_shape)
    raise ValueError(f"normalize_coords={normalize_coords} is not known: use 'separate', 'max' or 'min'.")


@register_notrace_function
def build_grid(
    feat_shape: list[int],
    grid_type: str = 'index',
    ref_feat_shape: list[int] | None = None,
    grid_offset: float = 0.0,
    grid_indexing: str = 'ij',
    normalize_coords: str = 'separate',
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    num_axes: int | None = None,
) -> torch.Tensor:
    """Coordinates of all positions of a map.

    Shape: (*feat_shape, axes)

    Args:
        grid_type: 'pixel' runs from -1 to 1 at the outer positions; 'index' counts from 0; 'centered' takes the middle
            of cells of a map that runs from -1 to 1 at its edges.
        ref_feat_shape: Scale the coordinates to those of a map of this size (EVA, arXiv:2303.11331).
        grid_offset: Added to counts, for 'index' and 'centered'.
        grid_indexing: Coordinates follow the axes with 'ij'; the first two are exchanged with 'xy'.
        normalize_coords: For 'centered': the edges of each axis ('separate'), of the longest ('max') or shortest
            ('min') are -1 and 1 (DINOv3).
        dtype: Of the result, in which 'centered' takes the last step, from [0, 1] to [-1, 1]; all else is float32.
        num_axes: How many axes the map must have.

    Raises:
        ValueError: A name is none of these; the map has no axes, or others than `ref_feat_shape` or `num_axes`.
    """
    if num_axes is not None and len(feat_shape) != num_axes:
        raise ValueError(
            f'Expected {num_axes} spatial dimensions, got {len(feat_shape)} in {feat_shape}: give one for each axis.'
        )
    if len(feat_shape) < 1:
        raise ValueError(f'feat_shape={feat_shape} has no axes: use a size for each, such as [14, 14].')
    if ref_feat_shape is not None and len(ref_feat_shape) != len(feat_shape):
        raise ValueError(
            f'ref_feat_shape={ref_feat_shape} does not fit a map of {feat_shape}: use a size for each axis.'
        )
    if grid_indexing not in ('ij', 'xy'):
        raise ValueError(f"grid_indexing={grid_indexing} is not known: use 'ij' or 'xy'.")
    axes: list[torch.Tensor] = []
    for i in range(len(feat_shape)):
        size = feat_shape[i]
        if grid_type == 'pixel':
            axis = torch.linspace(-1.0, 1.0, size, dtype=torch.float32, device=device)
        elif grid_type == 'index':
            axis = torch.arange(size, dtype=torch.int64, device=device).to(torch.float32) + grid_offset
        elif grid_type == 'centered':
            axis = torch.arange(size, dtype=torch.int64, device=device).to(torch.float32) + (0.5 + grid_offset)
        else:
            raise ValueError(f"grid_type={grid_type} is not known: use 'pixel', 'index' or 'centered'.")
        if ref_feat_shape is not None:
            axis = axis / size * ref_feat_shape[i]
        if grid_type == 'centered':
            axis = axis / _spacing(feat_shape, i, normalize_coords)
        axis = axis.to(dtype)
        axes.append(2.0 * axis - 1.0 if grid_type == 'centered' else axis)
    grids = torch.meshgrid(axes, indexing='ij')
    if grid_indexing == 'xy' and len(feat_shape) > 1:
        return torch.stack([grids[1], grids[0]] + list(grids[2:]), dim=-1)  # noqa: RUF005 (TorchScript has no stars)
    return torch.stack(list(grids), dim=-1)


def as_bound(name: str, value: Any) -> float | None:
    """A bound of an augmentation as a number of Python: from one, or from a tensor that holds one; None stays None."""
    if value is None:
        return None
    one = isinstance(value, torch.Tensor) and value.numel() == 1 and value.dtype != torch.bool
    if not one and (isinstance(value, bool) or not isinstance(value, Real)):
        raise TypeError(f'{name}={value!r} is no bound: use a number, a tensor that holds one, or None.')
    return float(value)


def check_augmentation(shift_coords: float | None, jitter_coords: float | None, rescale_coords: float | None) -> None:
    """Refuse a negative bound of shifts, bounds below 1 of factors, and infinite ones; see `augment_coords`."""
    if shift_coords is not None and (shift_coords < 0.0 or not math.isfinite(shift_coords)):
        raise ValueError(f'shift_coords={shift_coords} is no bound of a shift: use 0.0 or more, or None.')
    if jitter_coords is not None and (jitter_coords < 1.0 or not math.isfinite(jitter_coords)):
        raise ValueError(f'jitter_coords={jitter_coords} is no bound of a factor: use 1.0 or more, or None.')
    if rescale_coords is not None and (rescale_coords < 1.0 or not math.isfinite(rescale_coords)):
        raise ValueError(f'rescale_coords={rescale_coords} is no bound of a factor: use 1.0 or more, or None.')


@register_notrace_function
def augment_coords(
    coords: torch.Tensor,
    shift_coords: float | None = None,
    jitter_coords: float | None = None,
    rescale_coords: float | None = None,
) -> torch.Tensor:
    """Coordinates (..., axes) moved and stretched at random (box jittering, DINOv3, arXiv:2508.10104, 3.2).

    Args:
        shift_coords: Each axis moves by up to this much either way.
        jitter_coords: Each axis is stretched or shrunk by a factor of up to this, logarithmically uniform.
        rescale_coords: So are all axes together.

    Raises:
        ValueError: A bound is below 0, a factor below 1, or one of them infinite.
        TypeError: One is no number.
    """
    if not torch.jit.is_scripting():
        shift_coords = as_bound('shift_coords', shift_coords)
        jitter_coords = as_bound('jitter_coords', jitter_coords)
        rescale_coords = as_bound('rescale_coords', rescale_coords)
    check_augmentation(shift_coords, jitter_coords, rescale_coords)
    num_axes = coords.shape[-1]
    if shift_coords is not None:
        coords = coords + coords.new_empty(num_axes).uniform_(-shift_coords, shift_coords)
    if jitter_coords is not None:
        limit = math.log(jitter_coords)
        coords = coords * coords.new_empty(num_axes).uniform_(-limit, limit).exp()
    if rescale_coords is not None:
        limit = math.log(rescale_coords)
        coords = coords * coords.new_empty(1).uniform_(-limit, limit).exp()
    return coords


@register_notrace_function
def make_coords_dinov3(
    height: int,
    width: int,
    normalize_coords: str = 'separate',
    grid_indexing: str = 'ij',
    grid_offset: float = 0.0,
    device: torch.device = 'cpu',  # pyright: ignore[reportArgumentType]
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Coordinates of a map's positions, row by row, as DINOv3 has them: 'centered' of `build_grid`.

    Shape: (height * width, 2)
    """
    grid = build_grid([height, width], 'centered', None, grid_offset, grid_indexing, normalize_coords, device, dtype)
    return grid.flatten(0, 1)


@register_notrace_function
def get_mixed_grid(
    shape: list[int],
    grid_indexing: str = 'ij',
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[torch.Tensor, torch.Tensor]:
    """First and second coordinates of a map's positions, row by row: with 'xy' the column comes first.

    Shape: two of (H * W,) for shape (H, W), each in memory of its own

    Raises:
        ValueError: `shape` is not a height and a width.
    """
    grid = build_grid(shape, grid_indexing=grid_indexing, device=device, num_axes=2).flatten(0, 1).to(dtype)
    return grid[:, 0].clone(), grid[:, 1].clone()
