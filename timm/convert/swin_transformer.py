"""Swin Transformer checkpoints: those of the original code, and other image or window sizes."""

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from timm.layers import resample_patch_embed, resize_rel_pos_bias_table

__all__ = ['checkpoint_filter_fn']


def _fit_bias_table(table: Tensor, attention: Any) -> Tensor:
    """A file's table of position bias, resampled where it is for other windows than those of `attention`."""
    shape = attention.relative_position_bias_table.shape
    if table.shape == shape:
        return table
    num_offsets = table.shape[0]
    if math.isqrt(num_offsets) ** 2 != num_offsets:
        raise ValueError(
            f'The weights have {num_offsets} relative positions, so their windows are not square, and do not fit '
            f'windows of {attention.window_size}: create the model with the img_size and window_size of the weights, '
            f'load them, then call set_input_size.'
        )
    return resize_rel_pos_bias_table(table, new_window_size=attention.window_size, new_bias_shape=shape)


def checkpoint_filter_fn(state_dict: Mapping[str, Any], model: Any) -> dict[str, Tensor]:
    """Bring a checkpoint to our names, patch size and windows.

    The original code downsamples at the end of a stage, ours at the beginning of the next, so `layers.i.downsample`
    becomes `layers.(i + 1).downsample`.

    Raises:
        ValueError: A table of position bias is for windows that are not square, and not for those of `model`.
    """
    state = state_dict.get('model', state_dict)
    state = state.get('state_dict', state)
    is_original = any(key.startswith('layers.0.downsample.') for key in state)
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        if 'relative_position_index' in key or 'attn_mask' in key:
            continue  # computed from the sizes
        if key == 'patch_embed.proj.weight':
            own = model.patch_embed.proj.weight
            if value.shape[-2:] != own.shape[-2:]:
                value = resample_patch_embed(value, list(own.shape[-2:]), interpolation='bicubic', antialias=True)
        elif key.endswith('relative_position_bias_table'):
            value = _fit_bias_table(value, model.get_submodule(key.rpartition('.')[0]))
        if is_original:
            key = re.sub(r'^layers\.(\d+)\.downsample', lambda m: f'layers.{int(m[1]) + 1}.downsample', key)
        result[re.sub(r'^head\.(weight|bias)$', r'head.fc.\1', key)] = value
    return result
