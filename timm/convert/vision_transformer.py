"""Vision transformer checkpoints: the original JAX files, DINOv2, CLIP, SAM-style and BEiT-3 names, other sizes.

A network handed to these functions is only asked for its parts (`patch_embed`, `pos_embed`, `blocks` ...); nothing here
knows its class.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from timm.layers import resample_abs_pos_embed, resample_patch_embed

from ._grid import get_pretrained_grid_size
from ._jax_backbone import load_jax_backbone

__all__ = ['checkpoint_filter_fn', 'load_jax_weights', 'resize_pos_embed']

StateDict = dict[str, Tensor]


def resize_pos_embed(
    posemb: Tensor,
    posemb_new: Tensor,
    num_prefix_tokens: int = 1,
    gs_new: tuple[int, ...] = (),
    interpolation: str = 'bicubic',
    antialias: bool = False,
) -> Tensor:
    """Resample a position table to the length of another: (1, P + N, C) -> (1, P + M, C).

    Args:
        gs_new: Rows and columns of the new grid; square unless given.
    """
    num_patches = posemb_new.shape[1] - num_prefix_tokens
    new_size = list(gs_new) if gs_new else [round(num_patches**0.5)] * 2
    return resample_abs_pos_embed(
        posemb, new_size, num_prefix_tokens=num_prefix_tokens, interpolation=interpolation, antialias=antialias
    )


def _rename(state_dict: Mapping[str, Tensor], rules: list[tuple[str, str]]) -> StateDict:
    """Apply every (pattern, replacement) to every key, in order."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    renamed: StateDict = {}
    for key, value in state_dict.items():
        for pattern, replacement in compiled:
            key = pattern.sub(replacement, key)
        renamed[key] = value
    return renamed


_CLIP_RULES = [
    (r'^visual\.', ''),
    (r'^conv1\.', 'patch_embed.proj.'),
    (r'^class_embedding$', 'cls_token'),
    (r'^positional_embedding$', 'pos_embed'),
    (r'^ln_pre\.', 'norm_pre.'),
    (r'^ln_post\.', 'norm.'),
    (r'^transformer\.resblocks\.', 'blocks.'),
    (r'\.ln_([12])\.', r'.norm\1.'),
    (r'\.in_proj_(weight|bias)$', r'.qkv.\1'),
    (r'\.out_proj\.', '.proj.'),
    (r'\.mlp\.c_fc\.', '.mlp.fc1.'),
    (r'\.mlp\.c_proj\.', '.mlp.fc2.'),
    (r'\.ls_([12])\.', r'.ls\1.'),
]


def _from_clip(state_dict: Mapping[str, Tensor], model: Any) -> StateDict:
    """The image tower of a CLIP checkpoint (arXiv:2103.00020); its projection becomes the classifier."""
    tower = {key: value for key, value in state_dict.items() if key.startswith('visual.')}
    state = _rename(tower, _CLIP_RULES)
    projection = state.pop('proj', None)
    if projection is not None:
        state['head.weight'] = projection.transpose(0, 1).contiguous()
        state['head.bias'] = torch.zeros(state['head.weight'].shape[0])
    if 'cls_token' in state:
        state['cls_token'] = state['cls_token'].reshape(1, 1, -1)
    if state['pos_embed'].ndim == 2:
        state['pos_embed'] = state['pos_embed'].unsqueeze(0)
    return _pooled_norm(state, model)


def _pooled_norm(state: StateDict, model: Any) -> StateDict:
    """Move the final norm behind the pooling where the network has it there."""
    if isinstance(getattr(model, 'norm', None), nn.Identity) and not isinstance(model.fc_norm, nn.Identity):
        return {re.sub(r'^norm\.', 'fc_norm.', key): value for key, value in state.items()}
    return state


def _from_dinov2(state_dict: Mapping[str, Tensor]) -> StateDict:
    """DINOv2 (arXiv:2304.07193): registers, packed SwiGLU, and a class token that carries its own position."""
    state = _rename(
        {key: value for key, value in state_dict.items() if key != 'mask_token'},
        [
            (r'^register_tokens$', 'reg_token'),
            (r'\.mlp\.w12\.', '.mlp.fc1.'),
            (r'\.mlp\.w3\.', '.mlp.fc2.'),
            (r'^(blocks)\.\d+\.(\d+)\.', r'\1.\2.'),
        ],
    )
    return state


def _register_position(state: StateDict, model: Any) -> None:
    """Fold the class token's entry of the position table into the token, where our table has none for it."""
    table, token = state.get('pos_embed'), state.get('cls_token')
    own = getattr(model, 'pos_embed', None)
    if table is None or token is None or own is None or not getattr(model, 'no_embed_class', False):
        return
    if round((table.shape[1] - 1) ** 0.5) ** 2 == table.shape[1] - 1:
        state['cls_token'] = token + table[:, :1]
        state['pos_embed'] = table[:, 1:]


def _from_beit3(state_dict: Mapping[str, Tensor], model: Any) -> StateDict:
    """The vision expert of a BEiT-3 checkpoint (arXiv:2208.10442)."""
    prefix = 'beit3.'
    state = {
        key.removeprefix(prefix): value
        for key, value in state_dict.items()
        if key.startswith(prefix) and not re.search(r'\.B\.|text_embed|mask_token', key)
    }
    state = _rename(
        state,
        [
            (r'^encoder\.embed_positions\.A\.weight$', 'pos_embed'),
            (r'^vision_embed\.cls_token$', 'cls_token'),
            (r'^vision_embed\.proj\.', 'patch_embed.proj.'),
            (r'^encoder\.layer_norm\.A\.', 'norm.'),
            (r'^encoder\.layers\.', 'blocks.'),
            (r'\.self_attn_layer_norm\.A\.', '.norm1.'),
            (r'\.final_layer_norm\.A\.', '.norm2.'),
            (r'\.self_attn\.inner_attn_ln\.A\.', '.attn.norm.'),
            (r'\.self_attn\.out_proj\.A\.', '.attn.proj.'),
            (r'\.self_attn\.([qkv])_proj\.A\.', r'.attn.\1.'),
            (r'\.ffn\.A\.fc([12])\.', r'.mlp.fc\1.'),
            (r'\.ffn\.A\.ffn_layernorm\.', '.mlp.norm.'),
        ],
    )
    state = _join_qkv(state)
    # The first two of its positions belong to text markers that an image does not have.
    state['pos_embed'] = state['pos_embed'][2:].unsqueeze(0)
    return _pooled_norm(state, model)


def _join_qkv(state: StateDict) -> StateDict:
    """Stack separate query, key and value matrices."""
    joined: StateDict = {}
    for key, value in state.items():
        match = re.fullmatch(r'(.*\.attn)\.([qkv])\.(weight|bias)', key)
        if match is None:
            joined[key] = value
        elif match[2] == 'q':
            parts = [state[f'{match[1]}.{part}.{match[3]}'] for part in 'qkv']
            joined[f'{match[1]}.qkv.{match[3]}'] = torch.cat(parts)
    return joined


def _from_aimv2(state_dict: Mapping[str, Tensor], model: Any) -> StateDict:
    """AIMv2 (arXiv:2411.14402) as its authors publish it."""
    state = _rename(
        state_dict,
        [
            (r'^preprocessor\.pos_embed$', 'pos_embed'),
            (r'^preprocessor\.patchifier\.', 'patch_embed.'),
            (r'^trunk\.post_trunk_norm\.', 'norm.'),
            (r'^trunk\.blocks\.', 'blocks.'),
            (r'\.norm_([12])\.', r'.norm\1.'),
            (r'\.mlp\.fc1\.', '.mlp.fc1_g.'),
            (r'\.mlp\.fc3\.', '.mlp.fc1_x.'),
        ],
    )
    return _pooled_norm(state, model)


def _unwrap(state_dict: Mapping[str, Any], model: Any) -> StateDict:
    """Find the encoder in the file and give it our names."""
    state: Any = state_dict
    for key in ('model', 'state_dict', 'teacher', 'encoder'):
        if isinstance(state.get(key), Mapping):
            state = state[key]
    for prefix in ('module.visual.', 'visual.trunk.', 'module.', 'backbone.', 'radio_model.model.'):
        if any(key.startswith(prefix) for key in state):
            keep = 'visual.' if prefix == 'module.visual.' else ''
            state = {keep + key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}
    if 'visual.class_embedding' in state or 'visual.positional_embedding' in state:
        return _from_clip(state, model)
    if any(key.startswith('beit3.') for key in state):
        return _from_beit3(state, model)
    if 'preprocessor.patchifier.proj.weight' in state:
        return _from_aimv2(state, model)
    if 'mask_token' in state or 'register_tokens' in state:
        return _from_dinov2(state)
    return dict(state)


def _resample_patches(kernel: Tensor, model: Any, interpolation: str, antialias: bool) -> Tensor:
    """Kernels of the patch embedding in our shape: flattened ones unfolded, others resized (arXiv:2212.08013)."""
    own = model.patch_embed.proj.weight
    _, in_chs, height, width = own.shape
    if kernel.ndim < 4:
        side = round((kernel.shape[-1] // in_chs) ** 0.5) if kernel.shape[-1] != in_chs * height * width else height
        kernel = kernel.reshape(-1, in_chs, side, kernel.shape[-1] // (in_chs * side))
    if tuple(kernel.shape[-2:]) != (height, width):
        kernel = resample_patch_embed(
            kernel, [height, width], interpolation=interpolation, antialias=antialias, verbose=True
        )
    return kernel


def checkpoint_filter_fn(
    state_dict: Mapping[str, Any],
    model: Any,
    adapt_layer_scale: bool = False,
    interpolation: str = 'bicubic',
    antialias: bool = True,
    align_corners: bool | None = None,
) -> StateDict:
    """Bring a checkpoint to the names, patch size and grid of `model`.

    Args:
        adapt_layer_scale: Names of LayerScale follow DeiT-III (`gamma_1` for `ls1.gamma`).
        interpolation: How positions and kernels are resampled.
        antialias: Filter before shrinking.
        align_corners: As `torch.nn.functional.interpolate` takes it, for weights trained that way.
    """
    result: StateDict = {}
    num_prefix = 0 if getattr(model, 'no_embed_class', False) else getattr(model, 'num_prefix_tokens', 1)
    state = _unwrap(state_dict, model)
    _register_position(state, model)
    for key, value in state.items():
        if key == 'patch_embed.proj.weight' and hasattr(model.patch_embed, 'proj'):
            if isinstance(model.patch_embed.proj, nn.Conv2d):
                value = _resample_patches(value, model, interpolation, antialias)
        elif key == 'pos_embed' and model.pos_embed is not None and value.shape[1] != model.pos_embed.shape[1]:
            old_size = get_pretrained_grid_size(
                model, state.get('patch_embed.proj.weight'), value.shape[1] - num_prefix
            )
            value = resample_abs_pos_embed(
                value,
                new_size=list(model.patch_embed.grid_size),
                old_size=None if old_size is None else list(old_size),
                num_prefix_tokens=num_prefix,
                interpolation=interpolation,
                antialias=antialias,
                align_corners=align_corners,
                verbose=True,
            )
        elif adapt_layer_scale and 'gamma_' in key:
            key = re.sub(r'gamma_([0-9]+)', r'ls\1.gamma', key)
        elif 'pre_logits' in key:
            continue  # the representation layer of the first AugReg files was never used for classification
        result[key] = value
    return result


class _JaxFile:
    """Arrays of a .npz file as tensors in torch's layout, addressed below a prefix."""

    def __init__(self, path: str, prefix: str) -> None:
        self.arrays = np.load(path, allow_pickle=False)
        self.prefix = prefix
        if not prefix:
            for candidate in ('params/img/', 'params/', 'opt/target/', 'img/'):
                if any(name.startswith(f'{candidate}embedding/') for name in self.arrays):
                    self.prefix = candidate
                    break

    def __contains__(self, name: str) -> bool:
        return self.prefix + name in self.arrays

    def __call__(self, name: str, transpose: bool = True, layer: int | None = None) -> Tensor:
        array = self.arrays[self.prefix + name]
        if layer is not None:
            array = array[layer]
        if transpose:
            if array.ndim == 4:
                array = array.transpose(3, 2, 0, 1)
            elif array.ndim == 3:
                array = array.transpose(2, 0, 1)
            elif array.ndim == 2:
                array = array.transpose(1, 0)
        return torch.from_numpy(np.ascontiguousarray(array))


@torch.no_grad()
def load_jax_weights(
    model: Any,
    checkpoint_path: str,
    prefix: str = '',
) -> None:
    """Copy a checkpoint of the JAX code bases (vision_transformer, big_vision) into a vision transformer.

    Args:
        prefix: Path in front of the names in the file; found by itself unless given.
    """
    file = _JaxFile(checkpoint_path, prefix)
    if hasattr(model.patch_embed, 'backbone'):
        load_jax_backbone(model.patch_embed.backbone, file)
    _copy_stem(model, file)
    _copy_linear(model.norm, file, 'Transformer/encoder_norm', names=('scale', 'bias'))
    if (
        isinstance(model.head, nn.Linear)
        and 'head/bias' in file
        and model.head.out_features == file('head/bias').shape[-1]
    ):
        _copy_linear(model.head, file, 'head')
    stacked = 'Transformer/encoderblock/LayerNorm_0/scale' in file
    # big_vision numbers the parts of a block 0 0 1, the older code base 1 3 2.
    attention, mlp, norm2 = (
        (0, 0, 1) if stacked or 'Transformer/encoderblock_0/MlpBlock_0/Dense_0/kernel' in file else (1, 3, 2)
    )
    for i, block in enumerate(model.blocks.children()):
        where = 'Transformer/encoderblock' if stacked else f'Transformer/encoderblock_{i}'
        layer = i if stacked else None
        _copy_linear(block.norm1, file, f'{where}/LayerNorm_0', layer, ('scale', 'bias'))
        _copy_attention(block.attn, file, f'{where}/MultiHeadDotProductAttention_{attention}', layer)
        _copy_linear(block.norm2, file, f'{where}/LayerNorm_{norm2}', layer, ('scale', 'bias'))
        _copy_linear(block.mlp.fc1, file, f'{where}/MlpBlock_{mlp}/Dense_0', layer)
        _copy_linear(block.mlp.fc2, file, f'{where}/MlpBlock_{mlp}/Dense_1', layer)
    if getattr(model, 'attn_pool', None) is not None:
        _copy_attention_pool(model.attn_pool, file)


def _copy_stem(model: Any, file: _JaxFile) -> None:
    """Patch embedding, class token and positions, resampled to the network's sizes."""
    kernel = file('embedding/kernel')
    own = model.patch_embed.proj.weight
    if kernel.shape[1] != own.shape[1]:
        base_chans = kernel.shape[1]
        kernel = (
            kernel.sum(1, keepdim=True)
            if own.shape[1] == 1
            else kernel[:, [i % base_chans for i in range(own.shape[1])]] * (base_chans / own.shape[1])
        )
    if kernel.shape[-2:] != own.shape[-2:]:
        kernel = resample_patch_embed(kernel, list(own.shape[-2:]), interpolation='bilinear', antialias=False)
    own.copy_(kernel)
    if model.patch_embed.proj.bias is not None:
        model.patch_embed.proj.bias.copy_(file('embedding/bias'))
    if model.cls_token is not None:
        model.cls_token.copy_(file('cls', transpose=False))
    table = file(
        'pos_embedding' if 'pos_embedding' in file else 'Transformer/posembed_input/pos_embedding', transpose=False
    )
    if table.ndim == 4:
        table = table.reshape(1, -1, table.shape[-1])
    if table.shape != model.pos_embed.shape:
        num_prefix = 0 if model.no_embed_class else model.num_prefix_tokens
        table = resample_abs_pos_embed(
            table,
            new_size=list(model.patch_embed.grid_size),
            num_prefix_tokens=num_prefix,
            interpolation='bilinear',
            antialias=False,
        )
    model.pos_embed.copy_(table)


def _copy_linear(
    module: Any, file: _JaxFile, name: str, layer: int | None = None, names: tuple[str, str] = ('kernel', 'bias')
) -> None:
    """Weight and bias of one layer; an identity is left alone."""
    if isinstance(module, nn.Identity):
        return
    module.weight.copy_(file(f'{name}/{names[0]}', layer=layer))
    if module.bias is not None:
        module.bias.copy_(file(f'{name}/{names[1]}', layer=layer))


def _copy_attention(attention: Any, file: _JaxFile, name: str, layer: int | None = None) -> None:
    """Query, key, value and output, stored per head as (in, heads, width) and (heads, width, out)."""
    parts = [
        file(f'{name}/{part}/kernel', transpose=False, layer=layer).flatten(1).T for part in ('query', 'key', 'value')
    ]
    attention.qkv.weight.copy_(torch.cat(parts))
    if attention.qkv.bias is not None:
        biases = [
            file(f'{name}/{part}/bias', transpose=False, layer=layer).flatten() for part in ('query', 'key', 'value')
        ]
        attention.qkv.bias.copy_(torch.cat(biases))
    attention.proj.weight.copy_(file(f'{name}/out/kernel', transpose=False, layer=layer).flatten(0, 1).T)
    if attention.proj.bias is not None:
        attention.proj.bias.copy_(file(f'{name}/out/bias', layer=layer))


def _copy_attention_pool(pool: Any, file: _JaxFile) -> None:
    """The attention pool of SigLIP (arXiv:2303.15343)."""
    where = 'MAPHead_0'
    attention = f'{where}/MultiHeadDotProductAttention_0'
    pool.latent.copy_(file(f'{where}/probe', transpose=False))
    pool.q.weight.copy_(file(f'{attention}/query/kernel', transpose=False).flatten(1).T)
    pool.q.bias.copy_(file(f'{attention}/query/bias', transpose=False).flatten())
    pool.kv.weight.copy_(
        torch.cat([file(f'{attention}/{part}/kernel', transpose=False).flatten(1).T for part in ('key', 'value')])
    )
    pool.kv.bias.copy_(
        torch.cat([file(f'{attention}/{part}/bias', transpose=False).flatten() for part in ('key', 'value')])
    )
    pool.proj.weight.copy_(file(f'{attention}/out/kernel', transpose=False).flatten(0, 1).T)
    pool.proj.bias.copy_(file(f'{attention}/out/bias'))
    _copy_linear(pool.norm, file, f'{where}/LayerNorm_0', names=('scale', 'bias'))
    _copy_linear(pool.mlp.fc1, file, f'{where}/MlpBlock_0/Dense_0')
    _copy_linear(pool.mlp.fc2, file, f'{where}/MlpBlock_0/Dense_1')
