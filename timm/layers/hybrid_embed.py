"""A convolutional network as the patch embedding of a transformer (ViT hybrids, arXiv:2010.11929, section 3.1)."""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ._checks import BadValue, size_2d
from ._device import Module
from .format import Format, nchw_to
from .helpers import get_device_dtype
from .patch_embed import resample_patch_embed

__all__ = ['HybridEmbed', 'HybridEmbedWithSize']


class HybridEmbed(Module):
    """Patches of the last feature map of a backbone, each as one token.

    Shape: (B, in_chans, H, W) -> (B, H/r/p * W/r/p, embed_dim), or a map in `output_fmt`, for a backbone that works
    at 1/r of the resolution

    Args:
        backbone: A network that returns a map, or several of which the last counts; or a class or function that makes
            one from `in_chans`.
        img_size: Size the tokens are counted for.
        patch_size: Side of a patch of the feature map, in its pixels.
        feature_size: Size of the map for `img_size`; None runs the backbone once, in evaluation mode, to see.
        feature_ratio: r, for a `feature_size` that is given; img_size / feature_size when None.
        proj: Project to `embed_dim`; else the map's channels must be that many.
        flatten: Return tokens; False returns a map. An `output_fmt` implies a map of that layout.
        strict_img_size: For symmetry with `PatchEmbed`: the backbone takes what it can.
        dynamic_img_pad: Pad the feature map below and to the right to whole patches.

    Raises:
        ValueError: Patches do not tile the map and `dynamic_img_pad` is off; `embed_dim` differs from the map's
            channels without a projection; a size is below 1, or the layout unknown.
        TypeError: `backbone` is no network and builds none, or does not say what `feature_size` leaves open.
    """

    output_fmt: Format
    flatten: torch.jit.Final[bool]
    dynamic_img_pad: torch.jit.Final[bool]

    def __init__(
        self,
        backbone: nn.Module | Callable[..., nn.Module],
        img_size: int | tuple[int, int] = 224,
        patch_size: int | tuple[int, int] = 1,
        feature_size: int | tuple[int, int] | None = None,
        feature_ratio: int | tuple[int, int] | None = None,
        in_chans: int = 3,
        embed_dim: int = 768,
        bias: bool = True,
        proj: bool = True,
        flatten: bool = True,
        output_fmt: str | None = None,
        strict_img_size: bool = True,
        dynamic_img_pad: bool = False,
    ) -> None:
        super().__init__()
        if not callable(backbone):
            raise TypeError(f'backbone={backbone!r} is no network: use a module, or a class or function of in_chans.')
        self.backbone = backbone if isinstance(backbone, nn.Module) else backbone(in_chans=in_chans)
        self.in_chans = in_chans
        self.flatten = flatten and output_fmt is None
        self.output_fmt = Format.NCHW if output_fmt is None else Format(output_fmt)
        self.strict_img_size = strict_img_size
        self.dynamic_img_pad = dynamic_img_pad
        self.patch_size: tuple[int, int] = size_2d('patch_size', patch_size)
        self._count_patches(size_2d('img_size', img_size), feature_size, feature_ratio, None)
        if proj:
            self.proj = nn.Conv2d(self.feature_dim, embed_dim, self.patch_size, stride=self.patch_size, bias=bias)
        elif self.feature_dim == embed_dim:
            self.proj = nn.Identity()
        else:
            raise BadValue(f'Without a projection embed_dim={embed_dim} must be {self.feature_dim} as the map has it.')

    def _try_backbone(self, img_size: tuple[int, int]) -> tuple[tuple[int, int], int]:
        """Size and channels of the last feature map for an image of this size."""
        modes = {module: module.training for module in self.backbone.modules()}
        image = torch.zeros(1, self.in_chans, *img_size, **get_device_dtype(self.backbone))
        self.backbone.eval()
        try:
            with torch.no_grad():
                features = self.backbone(image)
        finally:
            for module, training in modes.items():
                module.training = training
        if isinstance(features, (list, tuple)):
            features = features[-1]
        return (features.shape[-2], features.shape[-1]), features.shape[1]

    def _declared_channels(self) -> int:
        info = getattr(self.backbone, 'feature_info', None)
        if hasattr(info, 'channels'):
            return info.channels()[-1]  # pyright: ignore
        if not hasattr(self.backbone, 'num_features'):
            raise TypeError(
                f'{type(self.backbone).__name__} states no feature_info and no num_features: use feature_size=None, so '
                f'that it is tried out.'
            )
        return self.backbone.num_features  # pyright: ignore

    def _count_patches(
        self,
        img_size: tuple[int, int],
        feature_size: int | tuple[int, int] | None,
        feature_ratio: int | tuple[int, int] | None,
        feature_dim: int | None,
    ) -> None:
        if feature_size is None:
            size, dim = self._try_backbone(img_size)
            feature_ratio = None
        else:
            size, dim = size_2d('feature_size', feature_size), feature_dim or self._declared_channels()
        h, w = self.patch_size
        if (size[0] % h or size[1] % w) and not self.dynamic_img_pad:
            raise BadValue(
                f'Patches of {self.patch_size} do not tile the feature map of {size} that an image of '
                f'{img_size} gives: change patch_size or img_size, or set dynamic_img_pad=True.'
            )
        self.img_size = img_size
        self.feature_size: tuple[int, int] = size
        self.feature_dim: int = dim
        given = (img_size[0] // size[0], img_size[1] // size[1]) if feature_ratio is None else feature_ratio
        self.feature_ratio: tuple[int, int] = size_2d('feature_ratio', given)
        self.grid_size = (math.ceil(size[0] / h), math.ceil(size[1] / w))
        self.num_patches = self.grid_size[0] * self.grid_size[1]

    def set_input_size(
        self,
        img_size: int | tuple[int, int] | None = None,
        patch_size: int | tuple[int, int] | None = None,
        feature_size: int | tuple[int, int] | None = None,
        feature_ratio: int | tuple[int, int] | None = None,
        feature_dim: int | None = None,
    ) -> None:
        """Expect images of another size, or cut feature maps into other patches; kernels are resampled for these.

        Args:
            feature_size: As for the constructor, with `feature_ratio` and `feature_dim`, the map's channels.
        """
        if patch_size is not None and size_2d('patch_size', patch_size) != self.patch_size:
            self.patch_size = size_2d('patch_size', patch_size)
            if isinstance(self.proj, nn.Conv2d):
                kernels = resample_patch_embed(self.proj.weight.detach(), self.patch_size, verbose=True)
                self.proj.weight = nn.Parameter(kernels, requires_grad=self.proj.weight.requires_grad)
                self.proj.kernel_size = self.proj.stride = self.patch_size
        size = self.img_size if img_size is None else size_2d('img_size', img_size)
        if feature_size is None and size == self.img_size:
            feature_size, feature_ratio, feature_dim = self.feature_size, self.feature_ratio, self.feature_dim
        self._count_patches(size, feature_size, feature_ratio, feature_dim)

    def feat_ratio(self, as_scalar: bool = True) -> int | tuple[int, int]:
        """Image pixels for each step of the grid: the larger side, or (height, width)."""
        ratio = (self.feature_ratio[0] * self.patch_size[0], self.feature_ratio[1] * self.patch_size[1])
        return max(ratio) if as_scalar else ratio

    def dynamic_feat_size(self, img_size: tuple[int, int]) -> tuple[int, int]:
        """Grid (height, width) that an image of this size gives."""
        h, w = img_size[0] // self.feature_ratio[0], img_size[1] // self.feature_ratio[1]
        if self.dynamic_img_pad:
            return math.ceil(h / self.patch_size[0]), math.ceil(w / self.patch_size[1])
        return h // self.patch_size[0], w // self.patch_size[1]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the backbone's activations in the backward pass, if it is one that can."""
        method = getattr(self.backbone, 'set_grad_checkpointing', None)
        if method is not None:
            method(enable)

    def _embed(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        x = self.backbone(x)
        if isinstance(x, (list, tuple)):
            x = x[-1]
        if self.dynamic_img_pad:
            H, W = x.shape[-2], x.shape[-1]
            x = F.pad(x, (0, -W % self.patch_size[1], 0, -H % self.patch_size[0]))
        x = self.proj(x)
        H, W = x.shape[-2], x.shape[-1]
        if self.flatten:
            x = x.flatten(2).transpose(1, 2)
        elif self.output_fmt != Format.NCHW:
            x = nchw_to(x, self.output_fmt)
        return x, (H, W)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens, or a map of them."""
        return self._embed(x)[0]


class HybridEmbedWithSize(HybridEmbed):
    """`HybridEmbed` that returns the grid's size beside the tokens.

    Shape: (B, in_chans, H, W) -> (B, H/r/p * W/r/p, embed_dim) and (H/r/p, W/r/p)
    """

    def __init__(
        self,
        backbone: nn.Module | Callable[..., nn.Module],
        img_size: int | tuple[int, int] = 224,
        patch_size: int | tuple[int, int] = 1,
        feature_size: int | tuple[int, int] | None = None,
        feature_ratio: int | tuple[int, int] | None = None,
        in_chans: int = 3,
        embed_dim: int = 768,
        bias: bool = True,
        proj: bool = True,
    ) -> None:
        super().__init__(
            backbone, img_size, patch_size, feature_size, feature_ratio, in_chans, embed_dim, bias=bias, proj=proj
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """Tokens and the grid's (height, width)."""
        return self._embed(x)
