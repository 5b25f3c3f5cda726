"""Images to tokens: one linear map for every patch, and its kernels resampled to other patch sizes."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import BadValue, check_builders, size_2d
from ._device import Module
from .format import Format, nchw_to
from .helpers import is_exporting
from .patch_resample import (
    DTYPE_INTERMEDIATE,
    check_kernels,
    check_resize,
    resample_kernels,
    resample_patch_embed,
    resampling_matrix,
)
from .trace_utils import _assert

__all__ = [
    'PatchEmbed',
    'PatchEmbedInterpolator',
    'PatchEmbedResamplerFixedOrigSize',
    'PatchEmbedWithSize',
    'resample_patch_embed',
    'resample_patch_embed_old',
]


class PatchEmbed(Module):
    """A convolution whose stride is its kernel: each patch of an image becomes one token (arXiv:2010.11929, eq. 1).

    Shape: (B, in_chans, H, W) -> (B, H/p * W/p, embed_dim), or a map in `output_fmt`

    Args:
        img_size: Size the tokens are counted for, as `grid_size` and `num_patches`; None where any size will do.
        norm_layer: Builds a norm of the tokens; None for no norm.
        flatten: Return tokens; False returns a map. An `output_fmt` implies a map of that layout.
        strict_img_size: Refuse images of another size than `img_size`.
        dynamic_img_pad: Pad below and to the right to whole patches.

    Raises:
        ValueError: A size is below 1, or a patch larger than `img_size`; the layout is unknown.
        TypeError: `norm_layer` is neither None nor class or function.
        AssertionError: (in forward) An image has another size than promised.
    """

    output_fmt: Format
    dynamic_img_pad: torch.jit.Final[bool]

    def __init__(
        self,
        img_size: int | tuple[int, int] | None = 224,
        patch_size: int | tuple[int, int] = 16,
        in_chans: int = 3,
        embed_dim: int = 768,
        norm_layer: Callable[..., nn.Module] | None = None,
        flatten: bool = True,
        output_fmt: str | None = None,
        bias: bool = True,
        strict_img_size: bool = True,
        dynamic_img_pad: bool = False,
    ) -> None:
        super().__init__()
        check_builders(norm_layer=norm_layer)
        self.dynamic_img_pad = dynamic_img_pad
        self.patch_size: tuple[int, int] = size_2d('patch_size', patch_size)
        self._count_patches(None if img_size is None else size_2d('img_size', img_size))
        self.flatten = flatten and output_fmt is None
        self.output_fmt = Format.NCHW if output_fmt is None else Format(output_fmt)
        self.strict_img_size = strict_img_size
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=self.patch_size, stride=self.patch_size, bias=bias)
        self.norm = nn.Identity() if norm_layer is None else norm_layer(embed_dim)

    def _count_patches(self, img_size: tuple[int, int] | None) -> None:
        self.img_size = img_size
        self.grid_size: tuple[int, int] | None = None
        self.num_patches: int | None = None
        if img_size is not None:
            smaller = img_size[0] < self.patch_size[0] or img_size[1] < self.patch_size[1]
            if smaller and not self.dynamic_img_pad:
                raise BadValue(
                    f'patch_size={self.patch_size} is larger than img_size={img_size}: use {img_size} or less, or set '
                    f'dynamic_img_pad=True.'
                )
            self.grid_size = (img_size[0] // self.patch_size[0], img_size[1] // self.patch_size[1])
            self.num_patches = math.prod(self.grid_size)

    def set_input_size(
        self,
        img_size: int | tuple[int, int] | None = None,
        patch_size: int | tuple[int, int] | None = None,
    ) -> None:
        """Expect images of another size, or cut them into other patches; the kernels are resampled for these."""
        if patch_size is not None and size_2d('patch_size', patch_size) != self.patch_size:
            self.patch_size = self.proj.kernel_size = self.proj.stride = size_2d('patch_size', patch_size)
            old = self.proj.weight
            new = resample_patch_embed(old.detach(), self.patch_size, verbose=True)
            self.proj.weight = nn.Parameter(new, requires_grad=old.requires_grad)
        self._count_patches(self.img_size if img_size is None else size_2d('img_size', img_size))

    def feat_ratio(self, as_scalar: bool = True) -> int | tuple[int, int]:
        """Pixels for each step of the grid: the larger side, or (height, width)."""
        return max(self.patch_size) if as_scalar else self.patch_size

    def dynamic_feat_size(self, img_size: tuple[int, int]) -> tuple[int, int]:
        """Grid (height, width) that an image of this size gives."""
        h, w = self.patch_size
        if self.dynamic_img_pad:
            return math.ceil(img_size[0] / h), math.ceil(img_size[1] / w)
        return img_size[0] // h, img_size[1] // w

    def _to_whole_patches(self, x: torch.Tensor) -> torch.Tensor:
        """`x`, padded if that is allowed; an AssertionError where its size is not one that was promised."""
        H, W = x.shape[-2], x.shape[-1]
        h, w = self.patch_size
        if self.img_size is not None:
            if self.strict_img_size:
                _assert(self.img_size[0] == H, f'Image height {H} is not the {self.img_size[0]} of this model.')
                _assert(self.img_size[1] == W, f'Image width {W} is not the {self.img_size[1]} of this model.')
            elif not self.dynamic_img_pad:
                _assert(H % h == 0, f'Image height {H} is not a multiple of the patch height {h}: resize or pad it.')
                _assert(W % w == 0, f'Image width {W} is not a multiple of the patch width {w}: resize or pad it.')
        if self.dynamic_img_pad:
            x = F.pad(x, (0, -W % w, 0, -H % h))
        return x

    def _embed(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        x = self.proj(self._to_whole_patches(x))
        H, W = x.shape[-2], x.shape[-1]
        if self.flatten:
            x = x.flatten(2).transpose(1, 2)
        elif self.output_fmt != Format.NCHW:
            x = nchw_to(x, self.output_fmt)
        return self.norm(x), (H, W)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens, or a map of them."""
        return self._embed(x)[0]


class PatchEmbedWithSize(PatchEmbed):
    """`PatchEmbed` for images of any whole number of patches, which returns the grid's size beside the tokens.

    Shape: (B, in_chans, H, W) -> (B, H/p * W/p, embed_dim) or a map in `output_fmt`, and (H/p, W/p)
    """

    def __init__(
        self,
        img_size: int | tuple[int, int] | None = 224,
        patch_size: int | tuple[int, int] = 16,
        in_chans: int = 3,
        embed_dim: int = 768,
        norm_layer: Callable[..., nn.Module] | None = None,
        flatten: bool = True,
        output_fmt: str | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__(img_size, patch_size, in_chans, embed_dim, norm_layer, flatten, output_fmt, bias)
        self.strict_img_size = False

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """Tokens, or a map of them, and the grid's (height, width)."""
        return self._embed(x)


resample_patch_embed_old = resample_patch_embed
"""Older name."""


class PatchEmbedResamplerFixedOrigSize(nn.Module):
    """`resample_patch_embed` from one size to many, with the matrix for each of them computed once.

    Shape: (O, I, *orig_size) -> (O, I, *new_size)

    Args:
        orig_size: Height and width of the kernels that will come.
        device: Where `prewarm` puts matrices by default.

    Raises:
        ValueError: `orig_size` is not two numbers; `interpolation` is unknown; in a call, kernels of another size.
    """

    def __init__(
        self,
        orig_size: tuple[int, int],
        interpolation: str = 'bicubic',
        antialias: bool = True,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        size_2d('orig_size', orig_size)
        check_resize(interpolation)
        self.orig_size = tuple(orig_size)
        self.interpolation = interpolation
        self.antialias = antialias
        self._home = torch.device(device or 'cpu')
        self._pinv_cache_map: dict[tuple[tuple[int, int], torch.device, torch.dtype], torch.Tensor] = {}

    def _matrix(self, new_size: Sequence[int], device: torch.device) -> torch.Tensor:
        device = torch.device('cpu') if device.type == 'cpu' else device  # 'cpu:0' is the same
        key = ((new_size[0], new_size[1]), device, DTYPE_INTERMEDIATE)
        if key in self._pinv_cache_map:
            return self._pinv_cache_map[key]
        matrix = resampling_matrix(self.orig_size, new_size, self.interpolation, self.antialias)
        matrix = matrix.to(device, DTYPE_INTERMEDIATE)
        if not is_exporting():  # an exporter's stand-in is no matrix to keep
            self._pinv_cache_map[key] = matrix
        return matrix

    def _apply(self, fn: Callable[..., torch.Tensor], recurse: bool = True) -> 'PatchEmbedResamplerFixedOrigSize':
        self._pinv_cache_map.clear()  # a module that moves leaves nothing behind on its old device
        super()._apply(fn, recurse)
        return self

    def prewarm(self, new_sizes: Sequence[tuple[int, int]], device: torch.device | str | None = None) -> None:
        """Compute the matrices for these sizes now."""
        for new_size in new_sizes:
            if tuple(new_size) != self.orig_size:
                self._matrix(new_size, torch.device(device or self._home))

    def forward(self, patch_embed: torch.Tensor, new_size: Sequence[int]) -> torch.Tensor:
        """Kernels for patches of `new_size`."""
        check_kernels(patch_embed, new_size)
        if tuple(patch_embed.shape[2:]) != self.orig_size:
            raise BadValue(f'Kernels of size {tuple(patch_embed.shape[2:])} came where {self.orig_size} was announced.')
        if tuple(new_size) == self.orig_size:
            return patch_embed
        return resample_kernels(patch_embed, self._matrix(new_size, patch_embed.device), new_size)


class PatchEmbedInterpolator(nn.Module):
    """Applies a patch embedding to patches of any size, its kernels resampled on the way (FlexiViT, section 3.4).

    Args:
        base_patch_size: Size of the kernels that come.
        channels_last: Flat patches and linear weights run through height, width, channel; else channel comes first.
        device: Where `prewarm` puts its tables by default.
    """

    def __init__(
        self,
        base_patch_size: tuple[int, int],
        in_chans: int = 3,
        embed_dim: int = 768,
        interpolation: str = 'bicubic',
        antialias: bool = True,
        channels_last: bool = True,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.base_patch_size: tuple[int, int] = size_2d('base_patch_size', base_patch_size)
        self.in_chans = in_chans
        self.embed_dim = embed_dim
        self.interpolation = interpolation
        self.antialias = antialias
        self.channels_last = channels_last
        self.resampler = PatchEmbedResamplerFixedOrigSize(self.base_patch_size, interpolation, antialias, device)

    def prewarm(self, target_patch_sizes: Sequence[tuple[int, int]], device: torch.device | str | None = None) -> None:
        """Compute now what resampling to these sizes needs."""
        self.resampler.prewarm(target_patch_sizes, device)

    def resample_conv_weight(self, weight: torch.Tensor, target_patch_size: tuple[int, int]) -> torch.Tensor:
        """Convolution kernels for another patch size: (D, C, h, w) -> (D, C, *target_patch_size)."""
        return self.resampler(weight, target_patch_size)

    def resample_linear_weight(self, weight: torch.Tensor, target_patch_size: tuple[int, int]) -> torch.Tensor:
        """Weights over flat patches for another patch size: (D, h * w * C) -> (D, h' * w' * C)."""
        h, w = self.base_patch_size
        if not self.channels_last:
            return self.resampler(weight.unflatten(1, (self.in_chans, h, w)), target_patch_size).flatten(1)
        kernels = weight.unflatten(1, (h, w, self.in_chans)).permute(0, 3, 1, 2)
        return self.resampler(kernels, target_patch_size).permute(0, 2, 3, 1).flatten(1)

    def forward(
        self,
        patches: torch.Tensor,
        proj_weight: torch.Tensor,
        proj_bias: torch.Tensor | None = None,
        patch_size: tuple[int, int] | None = None,
        is_linear: bool = True,
    ) -> torch.Tensor:
        """Tokens of patches, or of an image.

        Shape: patches (B, N, h', w', C) or flat (B, N, h' * w' * C) -> (B, N, D); with `is_linear=False` an image
        (B, C, H, W) -> (B, D, H/h', W/w')

        Args:
            patch_size: (h', w'); the base size when None.
            is_linear: `proj_weight` is that of a linear layer, not of a convolution.
        """
        size = self.base_patch_size if patch_size is None else patch_size
        if is_linear:
            return F.linear(patches.flatten(2), self.resample_linear_weight(proj_weight, size), proj_bias)
        return F.conv2d(patches, self.resample_conv_weight(proj_weight, size), proj_bias, stride=size)
