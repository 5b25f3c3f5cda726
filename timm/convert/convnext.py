"""ConvNeXt checkpoints: those of the original code, of ConvNeXt V2, and the image towers of CLIP."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ['checkpoint_filter_fn']

# `downsample_layers.0` is the stem, `downsample_layers.i` the entrance of stage i; blocks are `stages.i.j`.
_ORIGINAL_RULES = [
    (re.compile(r'^downsample_layers\.0\.'), 'stem.'),
    (re.compile(r'^downsample_layers\.([0-9]+)\.'), r'stages.\1.downsample.'),
    (re.compile(r'^stages\.([0-9]+)\.([0-9]+)\.'), r'stages.\1.blocks.\2.'),
    (re.compile(r'\.dwconv\.'), '.conv_dw.'),
    (re.compile(r'\.pwconv1\.'), '.mlp.fc1.'),
    (re.compile(r'\.pwconv2\.'), '.mlp.fc2.'),
    (re.compile(r'\.grn\.gamma$'), '.mlp.grn.weight'),
    (re.compile(r'\.grn\.beta$'), '.mlp.grn.bias'),
    (re.compile(r'^norm\.'), 'head.norm.'),
    (re.compile(r'^head\.(weight|bias)$'), r'head.fc.\1'),
]


def _from_clip(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image tower of a CLIP checkpoint; its projection becomes the head."""
    trunk = 'visual.trunk.'
    result = {key.removeprefix(trunk): value for key, value in state_dict.items() if key.startswith(trunk)}
    if 'visual.head.proj.weight' in state_dict:
        result['head.fc.weight'] = state_dict['visual.head.proj.weight']
        result['head.fc.bias'] = torch.zeros(result['head.fc.weight'].shape[0])
    elif 'visual.head.mlp.fc1.weight' in state_dict:
        result['head.pre_logits.fc.weight'] = state_dict['visual.head.mlp.fc1.weight']
        result['head.pre_logits.fc.bias'] = state_dict['visual.head.mlp.fc1.bias']
        result['head.fc.weight'] = state_dict['visual.head.mlp.fc2.weight']
        result['head.fc.bias'] = torch.zeros(result['head.fc.weight'].shape[0])
    return result


def checkpoint_filter_fn(state_dict: Mapping[str, Any], model: Any) -> dict[str, Tensor]:
    """Bring a checkpoint to our names, and its pointwise layers to the form (linear or 1x1) that `model` has."""
    if 'head.norm.weight' in state_dict or 'norm_pre.weight' in state_dict:
        return dict(state_dict)
    state = state_dict.get('model', state_dict)
    if 'visual.trunk.stem.0.weight' in state:
        return _from_clip(state)
    own = model.state_dict()
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        for pattern, replacement in _ORIGINAL_RULES:
            key = pattern.sub(replacement, key)
        if key.startswith('stages.') and key in own and value.numel() == own[key].numel():
            value = value.reshape(own[key].shape)
        result[key] = value
    return result
