"""Tables of sines and cosines of positions: to be added, appended, or to turn features by.

Positions of a map are counted row by row. Tables are computed in float32, or in the float64 of the frequencies given,
whatever dtype they are returned in.
"""

import math

import torch

from ._checks import BadValue, check_multiple
from .pos_grid import augment_coords, build_grid, freq_bands, pixel_freq_bands

# a tracer's symbolic sizes cannot make coordinates
torch.fx.wrap('build_grid')
torch.fx.wrap('augment_coords')

__all__ = [
    'build_fourier_pos_embed',
    'build_rotary_pos_embed',
    'build_sincos2d_pos_embed',
    'get_mixed_freqs',
    'init_random_2d_freqs',
    'spread_over_pairs',
]


def build_sincos2d_pos_embed(
    feat_shape: list[int],
    dim: int = 64,
    temperature: float = 10000.0,
    reverse_coord: bool = False,
    interleave_sin_cos: bool = False,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """The fixed table of two-dimensional positions (MoCo v3, arXiv:2104.02057, section 4.2).

    Shape: (H * W, dim) for feat_shape (H, W): sines of both axes, then cosines of both

    Args:
        reverse_coord: Count positions column by column, with the column's coordinate first.
        interleave_sin_cos: Sines and cosines of one axis, then of the other.

    Raises:
        ValueError: `dim` is no multiple of 4; the map has not two axes; `temperature` is not above 0.
    """
    check_multiple('dim', dim, 4, 'cannot hold sine and cosine of two axes')
    if len(feat_shape) != 2:
        raise BadValue(f'feat_shape={feat_shape} has not two axes: use a height and a width.')
    shape = [feat_shape[1], feat_shape[0]] if reverse_coord else [feat_shape[0], feat_shape[1]]
    coords = build_grid(shape, device=device).flatten(0, 1)
    phases = coords.unsqueeze(-1) * freq_bands(dim // 4, temperature, step=1, device=device)
    stack_dim = 2 if interleave_sin_cos else 1
    return torch.stack([phases.sin(), phases.cos()], dim=stack_dim).flatten(1).to(dtype)


def build_fourier_pos_embed(
    feat_shape: list[int],
    bands: torch.Tensor | None = None,
    num_bands: int = 64,
    max_res: int = 224,
    temperature: float = 10000.0,
    linear_bands: bool = False,
    include_grid: bool = False,
    in_pixels: bool = True,
    ref_feat_shape: list[int] | None = None,
    grid_offset: float = 0.0,
    grid_indexing: str = 'ij',
    device: torch.device | None = None,
    dtype: torch.dtype | None = torch.float32,
    grid_type: str | None = None,
    normalize_coords: str = 'separate',
    shift_coords: float | None = None,
    jitter_coords: float | None = None,
    rescale_coords: float | None = None,
) -> list[torch.Tensor]:
    """Sines and cosines of every coordinate of a map at every frequency (Perceiver, arXiv:2103.03206, section 3.2).

    Shape: two of (*feat_shape, axes, bands); before them the coordinates, (*feat_shape, axes, 1), with `include_grid`

    Args:
        bands: The frequencies; from `num_bands`, `max_res`, `temperature` and `linear_bands` when None.
        in_pixels: Coordinates in [-1, 1] and frequencies for these, by `max_res`; else counts, by `temperature`.
        dtype: Of sines and cosines; that of the frequencies when None. Coordinates stay as they are.
        grid_type: Another kind of coordinates, see `build_grid`, as for `ref_feat_shape`, `grid_offset`,
            `grid_indexing` and `normalize_coords`.
        shift_coords: Move or stretch them at random, see `augment_coords`; likewise the two after it.
    """
    if bands is not None:
        device = bands.device
    elif in_pixels:
        bands = pixel_freq_bands(num_bands, float(max_res), linear_bands, device=device)
    else:
        bands = freq_bands(num_bands, temperature, step=1, device=device)
    if grid_type is None:
        grid_type = 'pixel' if in_pixels else 'index'
    coords = build_grid(feat_shape, grid_type, ref_feat_shape, grid_offset, grid_indexing, normalize_coords, device)
    coords = augment_coords(coords, shift_coords, jitter_coords, rescale_coords).unsqueeze(-1)
    phases = coords * bands
    dtype = bands.dtype if dtype is None else dtype
    tables = [phases.sin().to(dtype), phases.cos().to(dtype)]
    if include_grid:
        tables.insert(0, coords)
    return tables


def build_rotary_pos_embed(
    feat_shape: list[int],
    bands: torch.Tensor | None = None,
    dim: int = 64,
    max_res: int = 224,
    temperature: float = 10000.0,
    linear_bands: bool = False,
    in_pixels: bool = True,
    ref_feat_shape: list[int] | None = None,
    grid_offset: float = 0.0,
    grid_indexing: str = 'ij',
    rotate_half: bool = False,
    device: torch.device | None = None,
    dtype: torch.dtype | None = torch.float32,
    grid_type: str | None = None,
    normalize_coords: str = 'separate',
    shift_coords: float | None = None,
    jitter_coords: float | None = None,
    rescale_coords: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sines and cosines of the angles by which rotary position embedding turns features (arXiv:2104.09864, eq. 34).

    Shape: two of (positions, dim)

    Args:
        dim: Width of a head, of which each coordinate turns a part, for two axes dim / 4 pairs.
        rotate_half: A pair lies half the width apart; else side by side.
        bands: As in `build_fourier_pos_embed`, like all the rest.

    Raises:
        ValueError: `dim` is no multiple of 4, and there are no `bands`.
    """
    if bands is None and (dim < 4 or dim % 4 != 0):
        raise ValueError(f'dim={dim} cannot hold sine and cosine of two axes: use a multiple of 4, such as 64.')
    sin, cos = build_fourier_pos_embed(
        feat_shape,
        bands,
        num_bands=dim // 4,
        max_res=max_res,
        temperature=temperature,
        linear_bands=linear_bands,
        in_pixels=in_pixels,
        ref_feat_shape=ref_feat_shape,
        grid_offset=grid_offset,
        grid_indexing=grid_indexing,
        device=device,
        dtype=dtype,
        grid_type=grid_type,
        normalize_coords=normalize_coords,
        shift_coords=shift_coords,
        jitter_coords=jitter_coords,
        rescale_coords=rescale_coords,
    )
    sin, cos = sin.flatten(-2).flatten(0, -2), cos.flatten(-2).flatten(0, -2)
    return spread_over_pairs(sin, rotate_half), spread_over_pairs(cos, rotate_half)


def spread_over_pairs(values: torch.Tensor, rotate_half: bool) -> torch.Tensor:
    """Each value for both channels of the pair that it turns.

    Shape: (..., D / 2) -> (..., D)

    Args:
        rotate_half: A pair lies half the width apart; else side by side.
    """
    if rotate_half:
        return torch.cat([values, values], dim=-1)
    return values.repeat_interleave(2, dim=-1)


def get_mixed_freqs(
    freqs: torch.Tensor, t_x: torch.Tensor, t_y: torch.Tensor, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Sines beside cosines of angles that depend on both coordinates at once (RoPE-Mixed, arXiv:2403.13298, eq. 14).

    Shape: freqs (2, depth, heads, D / 2), coordinates (N,) -> (depth, heads, N, 2 * D)

    Args:
        dtype: Of the table; that of `freqs` when None.

    Raises:
        ValueError: `freqs` are not of two axes.
    """
    if freqs.ndim != 4 or freqs.shape[0] != 2:
        raise ValueError(f'Frequencies of shape {list(freqs.shape)} are not of two axes: use (2, depth, heads, D / 2).')
    dtype = freqs.dtype if dtype is None else dtype
    freqs, t_x, t_y = freqs.float(), t_x.float(), t_y.float()
    angles = freqs[0].unsqueeze(-2) * t_x.unsqueeze(-1) + freqs[1].unsqueeze(-2) * t_y.unsqueeze(-1)
    table = torch.cat([spread_over_pairs(angles.sin(), False), spread_over_pairs(angles.cos(), False)], dim=-1)
    return table.to(dtype)


def init_random_2d_freqs(
    head_dim: int,
    depth: int,
    num_heads: int,
    temperature: float = 10.0,
    rotate: bool = True,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Frequencies along both axes to start learning from: two orthogonal directions a head (arXiv:2403.13298, 3.2).

    Shape: (2, depth, num_heads, head_dim / 2)

    Args:
        rotate: Turn each head's directions by an angle of its own; else they are the axes.
    """
    exponents = torch.arange(0, head_dim, 4, dtype=torch.float32, device=device) / head_dim
    magnitudes = 1.0 / temperature**exponents
    angle = torch.zeros(depth, num_heads, 1, dtype=torch.float32, device=device)
    if rotate:
        angle = torch.rand(depth, num_heads, 1, dtype=torch.float32, device=device) * 2 * math.pi
    angles = torch.cat([angle.expand(-1, -1, head_dim // 4), angle.expand(-1, -1, head_dim // 4) + math.pi / 2], dim=-1)
    return (torch.stack([angles.cos(), angles.sin()]) * magnitudes.repeat(2)).to(dtype)
