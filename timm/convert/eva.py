"""Checkpoints of EVA and EVA-02, EVA-CLIP, DINOv3, EUPE, Sapiens2 and the Perception Encoder; other sizes.

Each family of files names its parts in its own way, and no name means two things, so one list of rules serves them all.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from timm.layers import resample_abs_pos_embed, resample_patch_embed

from ._grid import get_pretrained_grid_size

__all__ = ['checkpoint_filter_fn']

StateDict = dict[str, Tensor]

_RULES = [
    # EVA-02: three matrices of a gated MLP, and norms inside the branches
    (r'\.mlp\.ffn_ln\.', '.mlp.norm.'),
    (r'\.attn\.inner_attn_ln\.', '.attn.norm.'),
    # DINOv3
    (r'^storage_tokens$', 'reg_token'),
    (r'\.ls([12])\.gamma$', r'.gamma_\1'),
    # Sapiens2
    (r'^patch_embed\.projection\.', 'patch_embed.proj.'),
    (r'\.attn\.w([qkv])\.', r'.attn.\1_proj.'),
    (r'\.attn\.gamma\.weight$', '.gamma_1'),
    (r'\.ln([12])\.', r'.norm\1.'),
    (r'^ln1\.', 'norm.'),
    # all three
    (r'\.(?:mlp|ffn)\.w12\.', '.mlp.fc1.'),
    (r'\.(?:mlp|ffn)\.w1\.', '.mlp.fc1_g.'),
    (r'\.(?:mlp|ffn)\.w2\.', '.mlp.fc1_x.'),
    (r'\.(?:mlp|ffn)\.w3\.', '.mlp.fc2.'),
]
_PE_RULES = [
    (r'^conv1\.', 'patch_embed.proj.'),
    (r'^positional_embedding$', 'pos_embed'),
    (r'^class_embedding$', 'cls_token'),
    (r'^ln_pre\.', 'norm_pre.'),
    (r'^ln_post\.', 'norm.'),
    (r'^transformer\.resblocks\.', 'blocks.'),
    (r'^attn_pool\.probe$', 'attn_pool.latent'),
    (r'^attn_pool\.layernorm\.', 'attn_pool.norm.'),
    (r'^attn_pool\.attn\.', 'attn_pool.'),
    (r'\.ln_([12])\.', r'.norm\1.'),
    (r'\.ls_([12])\.gamma$', r'.gamma_\1'),
    (r'\.in_proj_(weight|bias)$', r'.qkv.\1'),
    (r'\.out_proj\.', '.proj.'),
    (r'\.mlp\.c_fc\.', '.mlp.fc1.'),
    (r'\.mlp\.c_proj\.', '.mlp.fc2.'),
]
# Tables that are computed, and what only pretraining had: masked patches, the tokens they were to predict, other heads.
_LEFT_OUT = re.compile(r'(?:^|\.)rope(?!\.freqs$)|\.bias_mask$|^mask_token$|^lm_head\.|^projectors\.|^local_cls_norm\.')


def _rename(state: Mapping[str, Tensor], rules: list[tuple[str, str]]) -> StateDict:
    """Apply every (pattern, replacement) to every key, in order."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    renamed: StateDict = {}
    for key, value in state.items():
        for pattern, replacement in compiled:
            key = pattern.sub(replacement, key)
        renamed[key] = value
    return renamed


def _unwrap(state_dict: Mapping[str, Any]) -> StateDict:
    """Find the image tower in the file."""
    state: Any = state_dict
    for key in ('model_ema', 'model', 'module', 'state_dict'):
        state = state.get(key, state)
    for prefix in ('visual.trunk.', 'visual.'):
        if any(key.startswith(prefix) for key in state):
            return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return dict(state)


def _from_pe(state: StateDict) -> StateDict:
    """The Perception Encoder's names (arXiv:2504.13181); its projection becomes the classifier."""
    state = _rename(state, _PE_RULES)
    for key in ('cls_token', 'pos_embed'):
        if key in state:
            state[key] = state[key].reshape(1, -1, state[key].shape[-1])
    for leaf in ('weight', 'bias'):
        stacked = state.pop(f'attn_pool.qkv.{leaf}', None)
        if stacked is not None:
            width = stacked.shape[0] // 3
            state[f'attn_pool.q.{leaf}'] = stacked[:width]
            state[f'attn_pool.kv.{leaf}'] = stacked[width:]
    projection = state.pop('proj', None)
    if projection is not None:
        state['head.weight'] = projection.transpose(0, 1).contiguous()
        state['head.bias'] = projection.new_zeros(projection.shape[1])
    return state


def _from_eva(state: StateDict, model: nn.Module) -> StateDict:
    """The names of all others."""
    is_dino = 'storage_tokens' in state
    is_masked = 'mask_token' in state and not is_dino
    state = _rename({key: value for key, value in state.items() if not _LEFT_OUT.search(key)}, _RULES)
    result: StateDict = {}
    for key, value in state.items():
        attn, _, leaf = key.rpartition('.attn.')
        if leaf in ('q_bias', 'v_bias') and f'{attn}.attn.{leaf[0]}_proj.weight' in state:
            key = f'{attn}.attn.{leaf[0]}_proj.bias'  # three matrices, each with its own bias
        elif leaf == 'qkv.bias' and is_dino:
            result.update(_split_bias(f'{attn}.attn', value, model))
            continue
        elif is_masked and re.match(r'norm\.(weight|bias)$', key) and not isinstance(model.fc_norm, nn.Identity):
            key = f'fc_{key}'
        result[key] = value
    return result


def _split_bias(attn: str, bias: Tensor, model: nn.Module) -> StateDict:
    """Biases of queries and values from one for all; DINOv3's mask has taken that of the keys out.

    A network without these biases (the variants without `qkvb`) gets none.
    """
    q_bias, _, v_bias = bias.chunk(3)
    own = dict(model.named_parameters())
    parts = {f'{attn}.q_bias': q_bias, f'{attn}.v_bias': v_bias}
    return {key: value for key, value in parts.items() if key in own}


def checkpoint_filter_fn(
    state_dict: Mapping[str, Any],
    model: Any,
    interpolation: str = 'bicubic',
    antialias: bool = True,
) -> StateDict:
    """Bring a checkpoint to the names, patch size and grid of `model`.

    Args:
        interpolation: How positions and kernels are resampled.
        antialias: Filter before shrinking.
    """
    state = _unwrap(state_dict)
    state = _from_pe(state) if 'conv1.weight' in state else _from_eva(state, model)
    kernel, table = state.get('patch_embed.proj.weight'), state.get('pos_embed')
    if table is not None and model.pos_embed is not None and table.shape[1] != model.pos_embed.shape[1]:
        num_prefix = 0 if model.no_embed_class else model.num_prefix_tokens
        old_size = get_pretrained_grid_size(model, kernel, table.shape[1] - num_prefix)
        state['pos_embed'] = resample_abs_pos_embed(
            table,
            new_size=list(model.patch_embed.grid_size),
            old_size=None if old_size is None else list(old_size),
            num_prefix_tokens=num_prefix,
            interpolation=interpolation,
            antialias=antialias,
            verbose=True,
        )
    if kernel is not None:
        size = list(model.patch_embed.proj.weight.shape[-2:])
        if list(kernel.shape[-2:]) != size:
            state['patch_embed.proj.weight'] = resample_patch_embed(
                kernel, size, interpolation=interpolation, antialias=antialias, verbose=True
            )
    return state
