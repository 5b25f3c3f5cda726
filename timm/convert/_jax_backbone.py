"""The convolutional part of hybrid JAX checkpoints."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

__all__ = ['load_jax_backbone']


def load_jax_backbone(backbone: Any, read: Callable[..., Tensor]) -> None:
    """Copy the ResNet of a hybrid JAX checkpoint.

    Args:
        read: Gives the tensor of a name in the file.
    """
    stem: Any = getattr(backbone, 'stem', backbone)
    _copy_chans(stem.conv.weight, read('conv_root/kernel'))
    stem.norm.weight.copy_(read('gn_root/scale'))
    stem.norm.bias.copy_(read('gn_root/bias'))
    stages: Any = getattr(backbone, 'stages', None)
    if stages is None:
        return
    for i, stage in enumerate(stages.children(), 1):
        for j, block in enumerate(stage.blocks.children(), 1):
            unit = f'block{i}/unit{j}/'
            for r in range(1, 4):
                getattr(block, f'conv{r}').weight.copy_(read(f'{unit}conv{r}/kernel'))
                getattr(block, f'norm{r}').weight.copy_(read(f'{unit}gn{r}/scale'))
                getattr(block, f'norm{r}').bias.copy_(read(f'{unit}gn{r}/bias'))
            if block.downsample is not None:
                block.downsample.conv.weight.copy_(read(f'{unit}conv_proj/kernel'))
                block.downsample.norm.weight.copy_(read(f'{unit}gn_proj/scale'))
                block.downsample.norm.bias.copy_(read(f'{unit}gn_proj/bias'))


def _copy_chans(own: Tensor, kernel: Tensor) -> None:
    """Copy a stem's kernel, adapted to another number of image channels."""
    in_chans, base_chans = own.shape[1], kernel.shape[1]
    if in_chans == 1:
        kernel = kernel.sum(1, keepdim=True)
    elif in_chans != base_chans:
        kernel = kernel[:, [i % base_chans for i in range(in_chans)]] * (base_chans / in_chans)
    own.copy_(kernel)
