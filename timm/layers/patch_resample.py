"""Kernels of a patch embedding resampled to other patch sizes (FlexiViT, arXiv:2212.08013, section 3.4)."""

import logging
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from ._checks import BadValue, size_2d
from ._names import unknown_name

__all__ = ['check_kernels', 'check_resize', 'resample_kernels', 'resample_patch_embed', 'resampling_matrix']

_logger = logging.getLogger(__name__)
_LINEAR_RESIZES = ('bilinear', 'bicubic', 'lanczos')

DTYPE_INTERMEDIATE: torch.dtype = torch.float32
"""Least precision in which kernels are resampled."""


def resampling_matrix(
    old_size: Sequence[int], new_size: Sequence[int], interpolation: str, antialias: bool
) -> torch.Tensor:
    """The matrix (old, new) that, for an image resize x -> R x, sends a kernel w to the pseudo-inverse of R^T, times w.

    A kernel resampled by it gives a resized patch the token that the old kernel gave the patch: FlexiViT,
    arXiv:2212.08013, section 3.4. Resizes work on one axis after the other, so the matrix is a Kronecker product.
    """
    check_resize(interpolation)
    (old_h, old_w), (new_h, new_w) = ([int(n) for n in size] for size in (old_size, new_size))
    rows = _axis_matrix(old_h, new_h, interpolation, antialias)
    square = (old_h, new_h) == (old_w, new_w)
    columns = rows if square else _axis_matrix(old_w, new_w, interpolation, antialias)
    return (rows[:, None, :, None] * columns[None, :, None, :]).flatten(2).flatten(0, 1)


def _axis_matrix(old: int, new: int, interpolation: str, antialias: bool) -> torch.Tensor:
    """`resampling_matrix` of one axis."""
    # a row, not a column: torch 2.14 gives every pixel of a column of width 1 the value of the first
    pixels = torch.eye(old, dtype=torch.float64, device='cpu').view(old, 1, 1, old)
    resized = F.interpolate(pixels, size=(1, new), mode=interpolation, antialias=antialias, align_corners=False)
    return torch.linalg.pinv(resized.flatten(1)).T.contiguous()


def resample_kernels(kernels: torch.Tensor, matrix: torch.Tensor, new_size: Sequence[int]) -> torch.Tensor:
    """Kernels (O, I, h, w) sent through a matrix of `resampling_matrix`, in `DTYPE_INTERMEDIATE` or better."""
    precise = kernels.to(torch.promote_types(kernels.dtype, DTYPE_INTERMEDIATE))
    resampled = precise.flatten(2) @ matrix.to(precise)
    return resampled.unflatten(2, (new_size[0], new_size[1])).to(kernels.dtype)


def resample_patch_embed(
    patch_embed: torch.Tensor,
    new_size: Sequence[int],
    interpolation: str = 'bicubic',
    antialias: bool = True,
    verbose: bool = False,
) -> torch.Tensor:
    """Kernels for another patch size that answer a resized patch as the old ones did the patch (FlexiViT, section 3.4).

    Shape: (O, I, h, w) -> (O, I, *new_size)

    Args:
        antialias: Of the image resize that the kernels shall match.
        verbose: Log the sizes.

    Raises:
        ValueError: `patch_embed` has not four axes, `new_size` not two numbers, or `interpolation` is unknown.
    """
    check_kernels(patch_embed, new_size)
    old_size = tuple(patch_embed.shape[2:])
    if old_size == tuple(new_size):
        return patch_embed
    if verbose:
        _logger.info(f'Resampling patch kernels from {old_size} to {tuple(new_size)} ({interpolation}).')
    return resample_kernels(patch_embed, resampling_matrix(old_size, new_size, interpolation, antialias), new_size)


def check_resize(interpolation: str) -> None:
    """Raise a ValueError unless it names a linear resize, as resampling by a matrix needs one."""
    if interpolation not in _LINEAR_RESIZES:
        raise unknown_name('interpolation', interpolation, _LINEAR_RESIZES)


def check_kernels(kernels: torch.Tensor, new_size: Sequence[int]) -> None:
    """Raise a ValueError unless there are four axes of kernels and two numbers of a size."""
    if kernels.ndim != 4:
        raise BadValue(f'Patch kernels of shape {tuple(kernels.shape)} have not the four axes out, in, height, width.')
    if len(new_size) != 2:
        raise BadValue(f'new_size={new_size!r} is not a (height, width): use 2 numbers.')
    size_2d('new_size', tuple(new_size))
