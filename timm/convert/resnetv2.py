"""ResNet V2 checkpoints: the .npz files of Big Transfer."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ['load_bit_weights']


def _tensor(array: Any) -> Tensor:
    """Torch's layout: a convolution's kernel comes as (height, width, in, out)."""
    if array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(array))


@torch.no_grad()
def load_bit_weights(model: Any, checkpoint_path: str, prefix: str = 'resnet/') -> None:
    """Copy a Big Transfer checkpoint (arXiv:1912.11370) into a ResNet V2 of the same depth and width.

    Args:
        prefix: Path in front of the names in the file.
    """
    arrays = np.load(checkpoint_path, allow_pickle=False)

    def kernel(conv: Any, name: str) -> None:
        value = _tensor(arrays[f'{prefix}{name}/kernel'])
        if value.shape[1] != conv.weight.shape[1]:
            in_chans, base_chans = conv.weight.shape[1], value.shape[1]
            channels = [i % base_chans for i in range(in_chans)]
            value = value.sum(1, keepdim=True) if in_chans == 1 else value[:, channels] * (base_chans / in_chans)
        conv.weight.copy_(value)

    def norm(module: Any, name: str) -> None:
        module.weight.copy_(_tensor(arrays[f'{prefix}{name}/gamma']))
        module.bias.copy_(_tensor(arrays[f'{prefix}{name}/beta']))

    kernel(model.stem.conv, 'root_block/standardized_conv2d')
    norm(model.norm, 'group_norm')
    head = f'{prefix}head/conv2d'
    fc: Any = getattr(model.head, 'fc', None)
    if hasattr(fc, 'weight') and fc.weight.shape[0] == arrays[f'{head}/kernel'].shape[-1]:
        fc.weight.copy_(_tensor(arrays[f'{head}/kernel']))
        fc.bias.copy_(_tensor(arrays[f'{head}/bias']))
    for i, stage in enumerate(model.stages.children(), 1):
        for j, block in enumerate(stage.blocks.children(), 1):
            unit = f'block{i}/unit{j:02d}'
            for part, number in (('a', 1), ('b', 2), ('c', 3)):
                kernel(getattr(block, f'conv{number}'), f'{unit}/{part}/standardized_conv2d')
                norm(getattr(block, f'norm{number}'), f'{unit}/{part}/group_norm')
            if block.downsample is not None:
                kernel(block.downsample.conv, f'{unit}/a/proj/standardized_conv2d')
