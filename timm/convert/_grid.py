"""The grid of patches that a file's table of absolute positions was made for."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

__all__ = ['get_pretrained_grid_size']


def get_pretrained_grid_size(model: nn.Module, patch_weight: Tensor | None, num_tokens: int) -> tuple[int, int] | None:
    """Height and width, in patches, of the images that a file's position table was made for.

    Args:
        patch_weight: The file's patch embedding, a convolution (O, C, h, w).
        num_tokens: Patches in the file's table.

    Returns:
        None where the configuration's image size, cut into such patches, gives another number of them.
    """
    cfg: Mapping[str, Any] = getattr(model, 'pretrained_cfg', None) or {}
    if patch_weight is None or patch_weight.ndim != 4 or not cfg.get('input_size'):
        return None
    height, width = (
        pixels // patch for pixels, patch in zip(cfg['input_size'][1:], patch_weight.shape[2:], strict=True)
    )
    return (height, width) if height * width == num_tokens else None
