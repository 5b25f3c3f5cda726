"""Hybrid vision transformer checkpoints: MobileCLIP towers."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from . import vision_transformer

__all__ = ['checkpoint_filter_fn']

_MOBILECLIP = 'image_encoder.model.'
_MOBILECLIP_RULES = [
    (r'patch_emb\.(\d+)\.block\.conv\.', r'patch_embed.backbone.\1.conv.'),
    (r'patch_emb\.(\d+)\.block\.norm\.', r'patch_embed.backbone.\1.bn.'),
    (r'^patch_emb\.proj\.', 'patch_embed.proj.'),
    (r'^pos_embed\.pos_embed\.pos_embed$', 'pos_embed'),
    (r'^transformer\.(\d+)\.', r'blocks.\1.'),
    (r'\.pre_norm_mha\.0\.', '.norm1.'),
    (r'\.pre_norm_mha\.1\.qkv_proj\.', '.attn.qkv.'),
    (r'\.pre_norm_mha\.1\.out_proj\.', '.attn.proj.'),
    (r'\.pre_norm_ffn\.0\.', '.norm2.'),
    (r'\.pre_norm_ffn\.1\.', '.mlp.fc1.'),
    (r'\.pre_norm_ffn\.4\.', '.mlp.fc2.'),
    (r'^post_transformer_norm\.', 'norm.'),
]


def checkpoint_filter_fn(
    state_dict: Mapping[str, Any], model: Any, interpolation: str = 'bicubic', antialias: bool = True
) -> dict[str, Tensor]:
    """Bring a checkpoint to our names and grid; see `timm.convert.vision_transformer`."""
    if any(key.startswith(_MOBILECLIP) for key in state_dict):
        state: dict[str, Tensor] = {}
        for key, value in state_dict.items():
            if not key.startswith(_MOBILECLIP):
                continue
            key = key.removeprefix(_MOBILECLIP)
            for pattern, replacement in _MOBILECLIP_RULES:
                key = re.sub(pattern, replacement, key)
            if key == 'classifier.proj':
                state['head.weight'] = value.T.contiguous()
                state['head.bias'] = torch.zeros(value.shape[1])
            elif key == 'pos_embed':
                state[key] = value.reshape(1, -1, value.shape[-1])
            else:
                state[key] = value
        state_dict = state
    return vision_transformer.checkpoint_filter_fn(state_dict, model, interpolation=interpolation, antialias=antialias)
