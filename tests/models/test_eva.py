"""EVA and its kin beyond what every network promises: rotary positions, biases, and other people's checkpoints."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.fill import fill_model, hash_uniform, input_image
from timm.layers import RmsNorm
from timm.models.eva import Eva, EvaAttention, EvaBlock, EvaBlockPostNorm, checkpoint_filter_fn

DIM = 32
ROPE = dict(use_rot_pos_emb=True)
DINOV3 = dict(
    ROPE, rope_type='dinov3', rope_rotate_half=True, use_abs_pos_emb=False, num_reg_tokens=4, init_values=0.1,
    use_fc_norm=False,
)  # fmt: skip


def build(**kwargs):
    defaults = dict(
        img_size=32,
        patch_size=8,
        embed_dim=DIM,
        depth=3,
        num_heads=2,
        mlp_ratio=2.5,
        num_classes=5,
        head_init_scale=0.0,
    )
    return fill_model(Eva(**{**defaults, **kwargs}).eval()).double()


def images(height=32, width=32, batch=2):
    return input_image(batch, (3, height, width))


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


# attention


def turned(x, table):
    """Pairs of neighbouring channels as complex numbers, turned by the angles whose sines and cosines are given."""
    sin, cos = table.chunk(2, dim=-1)
    turn = torch.complex(cos[..., ::2].contiguous(), sin[..., ::2].contiguous())
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * turn).flatten(-2)


@pytest.mark.parametrize('fused', [True, False])
@pytest.mark.parametrize('separate', [True, False])
def test_queries_and_values_have_biases_and_keys_have_none(fused, separate):
    attn = EvaAttention(DIM, num_heads=2, qkv_fused=fused, qkv_bias_separate=separate, norm_layer=nn.LayerNorm)
    attn = fill_model(attn.double())
    state = attn.state_dict()
    assert not any('k_bias' in name or 'k_proj.bias' in name for name in state)
    x = hash_uniform('x', 2 * 7 * DIM).reshape(2, 7, DIM)
    angles = hash_uniform('angle', 6 * 8).reshape(6, 8).repeat_interleave(2, dim=-1) * 3
    table = torch.cat([angles.sin(), angles.cos()], dim=-1)
    if fused:
        weights = state['qkv.weight'].chunk(3)
        biases = state['q_bias'], torch.zeros(DIM).double(), state['v_bias']
    else:
        weights = [state[f'{part}_proj.weight'] for part in 'qkv']
        biases = state['q_proj.bias'], torch.zeros(DIM).double(), state['v_proj.bias']
    q, k, v = ((x @ w.T + b).unflatten(-1, (2, -1)).transpose(1, 2) for w, b in zip(weights, biases, strict=True))
    q, k = (torch.cat([part[:, :, :1], turned(part[:, :, 1:], table)], dim=2) for part in (q, k))
    mixed = ((q @ k.mT / 4).softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
    mixed = F.layer_norm(mixed, (DIM,), state['norm.weight'], state['norm.bias'])
    same(attn(x, rope=table), mixed @ state['proj.weight'].T + state['proj.bias'])


def test_the_keys_bias_stays_zero_through_every_way_to_make_a_network():
    attn = EvaAttention(DIM, norm_layer=nn.LayerNorm, device='meta').to_empty(device='cpu')
    attn.k_bias.fill_(9)
    attn.init_non_persistent_buffers()
    assert not attn.k_bias.any()
    attn.k_bias.fill_(9)
    attn.reset_parameters()
    assert not attn.k_bias.any()
    assert not attn.q_bias.any()


# positions


@pytest.mark.parametrize('rope_type', ['cat', 'mixed', 'dinov3'])
@pytest.mark.parametrize('dynamic', [False, True])
def test_rotary_positions_follow_the_patches_that_are_kept(rope_type, dynamic):
    """With patches left out the blocks see what they would see if the others were masked in the whole sequence."""
    model = build(**ROPE, rope_type=rope_type, dynamic_img_size=dynamic, patch_drop_rate=0.5, num_reg_tokens=1)
    kept = []
    model.patch_drop.register_forward_hook(lambda _, __, output: kept.append(output[1]))
    x = images(32, 48 if dynamic else 32)
    torch.manual_seed(0)
    found = model.train().forward_features(x)
    whole = build(**ROPE, rope_type=rope_type, dynamic_img_size=dynamic, num_reg_tokens=1)
    num_patches = (32 // 8) * (x.shape[-1] // 8)
    assert kept[0].shape == (2, num_patches // 2)
    for i, indices in enumerate(kept[0]):
        rows = torch.cat([torch.arange(2), indices + 2])
        visible = torch.zeros(num_patches + 2, dtype=torch.bool)
        visible[rows] = True
        expected = whole.forward_features(x[i : i + 1], attn_mask=visible.expand(num_patches + 2, -1))
        same(found[i], expected[0, rows])


@pytest.mark.parametrize('rope_type', ['cat', 'mixed', 'dinov3', 'mrope'])
def test_a_resized_network_is_one_built_for_the_size(rope_type):
    options = dict(ROPE, rope_type=rope_type, use_abs_pos_emb=False)
    resized, built = build(**options).float(), build(**options, img_size=(48, 32))
    resized.set_input_size((48, 32))
    x = images(48, 32)
    same(resized.double()(x), built(x))
    # Tables that are kept are made in float32, those for an image in the dtype of the network.
    torch.testing.assert_close(build(**options, dynamic_img_size=True)(x), built(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('rope_type', ['cat', 'mixed'])
def test_intermediates_are_those_of_the_forward_pass(rope_type):
    model = build(**ROPE, rope_type=rope_type)
    outputs = []
    for block in model.blocks:
        block.register_forward_hook(lambda _, __, output: outputs.append(output))
    x = images()
    mask = torch.ones(17, 17, dtype=torch.bool).tril()
    for masks in ({}, {'attn_mask': mask}, {'is_causal': True}):
        outputs.clear()
        model.forward_features(x, **masks)
        expected = list(outputs)
        taps = model.forward_intermediates(
            x, output_fmt='NLC', return_prefix_tokens=True, intermediates_only=True, **masks
        )
        for (patches, prefix), output in zip(taps, expected, strict=True):
            same(torch.cat([prefix, patches], dim=1), output)
    same(model(x, attn_mask=mask), model(x, is_causal=True))


# options


def test_redrawing_reaches_every_parameter():
    model = build(**ROPE, rope_type='mixed', global_pool='map', init_values=0.1, num_reg_tokens=1, head_init_scale=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7)
    model.init_weights()
    assert [name for name, parameter in model.named_parameters() if (parameter == 7).any()] == []


def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match=r"attn_type='evo'.*'rope'"):
        build(attn_type='evo')
    with pytest.raises(ValueError, match=r"num_kv_heads=1.*attn_type='rope'"):
        build(num_kv_heads=1)
    with pytest.raises(ValueError, match=r"'base'.*'cat'"):
        build(**ROPE, rope_type='base')
    with pytest.raises(ValueError, match='use_post_norm=False'):
        build(use_post_norm=True, qk_norm=True)
    with pytest.raises(AssertionError, match='2 numbers for 3 blocks'):
        build(num_kv_heads=(2, 2))
    with pytest.raises(AssertionError, match='class token'):
        build(class_token=False, global_pool='token')
    with pytest.raises(AssertionError, match="global_pool='map'"):
        build().reset_classifier(5, 'map')
    with pytest.raises(TypeError, match='gate'):
        EvaBlock(DIM, 2, gate=True)
    with pytest.raises(ValueError, match='num_kv_heads'):
        EvaBlockPostNorm(DIM, 2, num_kv_heads=1)


# checkpoints under their authors' names


def renamed(state, *rules):
    """A state dict with every (pattern, replacement) applied to every name."""
    found = {}
    for name, value in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        found[name] = value
    return found


def loads_as(foreign, model):
    """Whether a foreign file becomes the state dict of the model, bit for bit."""
    found = checkpoint_filter_fn(foreign, model)
    expected = model.state_dict()
    assert found.keys() == expected.keys()
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []


def extras(*names):
    return {name: torch.ones(3) for name in names}


@pytest.mark.parametrize('wrap', [lambda s: s, lambda s: {'model': s}, lambda s: {'module': s, 'epoch': 3}])
@pytest.mark.parametrize('prefix', ['', 'visual.', 'visual.trunk.'])
def test_eva_files_are_read(wrap, prefix):
    """EVA-02 with inner norms: the authors' names, alone or as the image tower of a CLIP model."""
    options = dict(ROPE, swiglu_mlp=True, qkv_fused=False, scale_mlp=True, scale_attn_inner=True)
    model = build(**options)
    foreign = renamed(
        model.state_dict(),
        (r'\.([qv])_proj\.bias', r'.\1_bias'),
        (r'attn\.norm\.', 'attn.inner_attn_ln.'),
        (r'mlp\.norm\.', 'mlp.ffn_ln.'),
        (r'fc1_g', 'w1'),
        (r'fc1_x', 'w2'),
        (r'mlp\.fc2', 'mlp.w3'),
    )
    foreign.update(extras('rope.freqs_cos', 'blocks.0.attn.rope.freqs_sin'))
    foreign = {prefix + name: value for name, value in foreign.items()}
    if prefix:
        foreign.update(extras('text.positional_embedding', 'logit_scale'))
    loads_as(wrap(foreign), model)


def test_masked_pretraining_leaves_its_head_and_norm_behind():
    model = build(num_classes=0)
    foreign = renamed(model.state_dict(), (r'^fc_norm', 'norm'))
    loads_as({**foreign, **extras('mask_token', 'lm_head.weight', 'lm_head.bias')}, model)
    model = build(num_classes=0, global_pool='token')
    loads_as({**model.state_dict(), **extras('mask_token')}, model)


@pytest.mark.parametrize('bias', [True, False])
def test_dinov3_files_are_read(bias):
    model = build(**DINOV3, swiglu_mlp=True, swiglu_align_to=8, qkv_bias=bias, num_classes=0)
    state = model.state_dict()
    foreign = renamed(
        state,
        (r'^reg_token$', 'storage_tokens'),
        (r'gamma_([12])$', r'ls\1.gamma'),
        (r'fc1_g', 'w1'),
        (r'fc1_x', 'w2'),
        (r'mlp\.fc2', 'mlp.w3'),
    )
    for i in range(3):
        attn = f'blocks.{i}.attn'
        masked = torch.ones(DIM).double()
        q, v = (foreign.pop(f'{attn}.{part}_bias', torch.zeros(DIM).double()) for part in 'qv')
        foreign[f'{attn}.qkv.bias'] = torch.cat([q, masked, v])
        foreign.update(extras(f'{attn}.qkv.bias_mask'))
    foreign.update(extras('mask_token', 'rope_embed.periods', 'local_cls_norm.weight', 'projectors.0.weight'))
    loads_as(foreign, model)


def test_sapiens2_files_are_read():
    model = build(
        **{**DINOV3, 'num_reg_tokens': 8, 'init_values': 1.0},
        attn_only_layer_scale=True,
        attn_type='rope',
        qkv_fused=False,
        qk_norm=True,
        num_kv_heads=(2, 1, 2),
        swiglu_mlp=True,
        norm_layer=RmsNorm,
        num_classes=0,
    )
    foreign = renamed(
        model.state_dict(),
        (r'^reg_token$', 'storage_tokens'),
        (r'patch_embed\.proj', 'patch_embed.projection'),
        (r'\.([qkv])_proj\.', r'.w\1.'),
        (r'gamma_1$', 'attn.gamma.weight'),
        (r'\.norm([12])\.', r'.ln\1.'),
        (r'^norm\.', 'ln1.'),
        (r'mlp\.fc1', 'ffn.w12'),
        (r'mlp\.fc2', 'ffn.w3'),
    )
    loads_as({'state_dict': {**foreign, **extras('mask_token', 'rope_embed.periods')}}, model)


@pytest.mark.parametrize('prefix', ['', 'visual.'])
@pytest.mark.parametrize('class_token', [True, False])
def test_perception_encoder_files_are_read(prefix, class_token):
    model = build(
        **ROPE, attn_type='rope', use_pre_transformer_norm=True, global_pool='map', init_values=0.1,
        class_token=class_token,
    )  # fmt: skip
    with torch.no_grad():
        model.head.bias.zero_()
    state = model.state_dict()
    foreign = renamed(
        state,
        (r'^attn_pool\.latent', 'attn_pool.probe'),
        (r'^attn_pool\.norm', 'attn_pool.layernorm'),
        (r'^attn_pool\.proj', 'attn_pool.attn.out_proj'),
        (r'^patch_embed\.proj', 'conv1'),
        (r'^cls_token', 'class_embedding'),
        (r'^pos_embed', 'positional_embedding'),
        (r'^norm_pre', 'ln_pre'),
        (r'^norm\.', 'ln_post.'),
        (r'^blocks', 'transformer.resblocks'),
        (r'\.norm([12])\.', r'.ln_\1.'),
        (r'\.gamma_([12])$', r'.ls_\1.gamma'),
        (r'\.attn\.qkv\.', '.attn.in_proj_'),
        (r'\.attn\.proj\.', '.attn.out_proj.'),
        (r'mlp\.fc1', 'mlp.c_fc'),
        (r'mlp\.fc2', 'mlp.c_proj'),
    )
    for leaf in ('weight', 'bias'):
        parts = [foreign.pop(f'attn_pool.{part}.{leaf}') for part in ('q', 'kv')]
        foreign[f'attn_pool.attn.in_proj_{leaf}'] = torch.cat(parts)
    for name in ('class_embedding', 'positional_embedding'):
        if name in foreign:
            foreign[name] = foreign[name].squeeze()
    foreign['proj'] = foreign.pop('head.weight').T
    del foreign['head.bias']
    foreign = {prefix + name: value for name, value in foreign.items()}
    if prefix:
        foreign.update(extras('positional_embedding', 'ln_final.weight'))
    loads_as(foreign, model)


def test_own_files_are_left_as_they_are():
    for options in ({}, ROPE, DINOV3, dict(ROPE, rope_type='mixed'), dict(use_post_norm=True)):
        model = build(**options)
        loads_as(model.state_dict(), model)


@pytest.mark.parametrize('class_token', [True, False])
def test_positions_and_kernels_are_resampled(class_token):
    model = build(class_token=class_token)
    file = build(img_size=(64, 48), class_token=class_token).state_dict()
    model.pretrained_cfg = {'input_size': (3, 64, 48)}
    table = checkpoint_filter_fn(file, model)['pos_embed']
    prefix = int(class_token)
    grid = file['pos_embed'][:, prefix:].reshape(1, 8, 6, DIM).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(4, 4), mode='bicubic', antialias=True).flatten(2).mT
    same(table, torch.cat([file['pos_embed'][:, :prefix], grid], dim=1))
    file = build(img_size=64, patch_size=16, class_token=class_token).state_dict()
    kernel = checkpoint_filter_fn(file, model)['patch_embed.proj.weight']
    assert kernel.shape == model.patch_embed.proj.weight.shape
