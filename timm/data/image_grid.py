"""A batch of images as one picture."""

import math
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

__all__ = ['save_image_grid']


def save_image_grid(path: str | Path, images: Tensor, columns: int = 8) -> None:
    """Write images side by side into one file, the darkest number of the batch black and the brightest white.

    Args:
        images: (B, C, H, W) with one channel or three, normalised or not; of other channels the first is shown.
    """
    x = images.detach().float().cpu()
    if x.shape[1] != 3:
        x = x[:, :1].expand(-1, 3, -1, -1)
    low, high = x.min(), x.max()
    pixels = ((x - low) / (high - low).clamp(min=1e-5) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    B, H, W, _ = pixels.shape
    columns = min(columns, B)
    sheet = np.zeros((math.ceil(B / columns) * H, columns * W, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        top, left = i // columns * H, i % columns * W
        sheet[top : top + H, left : left + W] = image
    Image.fromarray(sheet).save(path)
