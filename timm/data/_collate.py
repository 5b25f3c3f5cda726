"""Batches of byte images, without turning them into floats."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

__all__ = ['collate_targets', 'fast_collate', 'stack_images']


def stack_images(images: Sequence[Any]) -> Tensor:
    """Stack images (C, H, W), arrays or tensors, in the memory order they have: pixel by pixel as decoders give them.

    The result is (B, C, H, W) with channels-last strides where the images are made like that.
    """
    tensors = [torch.from_numpy(image) if isinstance(image, np.ndarray) else image for image in images]
    first = tensors[0]
    if first.ndim == 3 and first.stride(0) == 1 and first.shape[0] > 1:
        return torch.stack([image.permute(1, 2, 0) for image in tensors]).permute(0, 3, 1, 2)
    return torch.stack(tensors)


def collate_targets(targets: Sequence[Any]) -> Tensor:
    """Class indices as int64 (B,), or vectors (multi-label rows, features) stacked in their own dtype.

    Raises:
        ValueError: A number that is no class index.
    """
    if np.ndim(targets[0]) == 0 and not isinstance(targets[0], str):
        indices = [int(target) for target in targets]
        if any(index != target for index, target in zip(indices, targets, strict=True)):
            raise ValueError(f'targets {list(targets)[:8]} are not class indices: give whole numbers, or vectors')
        return torch.tensor(indices, dtype=torch.int64)
    return default_collate([np.asarray(t) if isinstance(t, list | tuple) else t for t in targets])


def fast_collate(batch: Sequence[tuple[Any, Any]]) -> tuple[Tensor, Tensor]:
    """Batch samples of (image, target), or of ((view, view, ...), target) as `AugMixDataset` gives them.

    Views come out view by view: B first views, then B second ones, with their targets repeated.
    """
    images = [sample[0] for sample in batch]
    targets = collate_targets([sample[1] for sample in batch])
    if not isinstance(images[0], tuple):
        return stack_images(images), targets
    views = [view for views in zip(*images, strict=True) for view in views]
    return stack_images(views), targets.repeat(len(images[0]), *[1] * (targets.ndim - 1))
