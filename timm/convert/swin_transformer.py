"""Swin Transformer checkpoints: those of the original code, and other image or window sizes."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from timm.layers import resample_patch_embed, resize_rel_pos_bias_table

__all__ = ['checkpoint_filter_fn']


def checkpoint_filter_fn(state_dict: Mapping[str, Any], model: Any) -> dict[str, Tensor]:
    """Bring a checkpoint to our names, patch size and windows.

    The original code downsamples at the end of a stage, ours at the beginning of the next, so `layers.i.downsample`
    becomes `layers.(i + 1).downsample`.
    """
    is_ours = 'head.fc.weight' in state_dict
    state = state_dict.get('model', state_dict)
    state = state.get('state_dict', state)
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        if 'relative_position_index' in key or 'attn_mask' in key:
            continue  # computed from the sizes
        if key == 'patch_embed.proj.weight':
            own = model.patch_embed.proj.weight
            if value.shape[-2:] != own.shape[-2:]:
                value = resample_patch_embed(value, list(own.shape[-2:]), interpolation='bicubic', antialias=True)
        elif key.endswith('relative_position_bias_table'):
            attention: Any = model.get_submodule(key.rpartition('.')[0])
            if value.shape != attention.relative_position_bias_table.shape:
                value = resize_rel_pos_bias_table(
                    value,
                    new_window_size=attention.window_size,
                    new_bias_shape=attention.relative_position_bias_table.shape,
                )
        if not is_ours:
            key = re.sub(r'^layers\.(\d+)\.downsample', lambda m: f'layers.{int(m[1]) + 1}.downsample', key)
            key = re.sub(r'^head\.(weight|bias)$', r'head.fc.\1', key)
        result[key] = value
    return result
