"""What projects in the wild do with the package beyond calling it: subclass, patch, register, pickle, copy."""

import copy
import inspect
import pickle
import subprocess
import sys
import types
from functools import partial
from unittest import mock

import pytest
import torch
from torch import nn

import timm
from timm.layers import Mlp, PatchEmbed, SwiGLUPacked, trunc_normal_
from timm.models import build_model_with_cfg, register_model, resnet
from timm.models._registry import _REGISTRY, generate_default_cfgs
from timm.models.vision_transformer import Attention, Block, LayerScale, VisionTransformer, checkpoint_filter_fn

TINY = {'img_size': 32, 'patch_size': 16, 'embed_dim': 24, 'depth': 2, 'num_heads': 3, 'num_classes': 5}


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(2, 3, 32, 32)


@pytest.fixture
def vit():
    torch.manual_seed(0)
    return VisionTransformer(**TINY).eval()


# what an import brings


@pytest.mark.parametrize(
    'module', ['timm.models', 'timm.models.resnet', 'timm.layers', 'timm.models.vision_transformer']
)
def test_star_imports_give_public_names_only(module):
    namespace = {}
    exec(f'from {module} import *', namespace)
    names = namespace.keys() - {'__builtins__'}
    assert len(names) > 3
    assert not [name for name in names if name.startswith('_') and name not in ('_assert', '_float_to_int')]


def test_a_star_import_brings_classes_tools_and_entry_points():
    namespace = {}
    exec('from timm.models import *', namespace)
    assert {
        'ResNet',
        'VisionTransformer',
        'create_model',
        'list_models',
        'resnet18',
        'register_model',
    } <= namespace.keys()
    assert namespace['resnet18'] is resnet.resnet18


def test_a_bare_import_reaches_the_rooms():
    code = (
        'import timm; timm.models.vision_transformer.Attention; timm.layers.SwiGLUPacked; '
        'timm.models.FeatureInfo; timm.utils.model.freeze_batch_norm_2d; timm.data.constants.IMAGENET_DEFAULT_MEAN; '
        'timm.models.resnet.default_cfgs["resnet18"].default; timm.version.__version__'
    )
    subprocess.run([sys.executable, '-W', 'error', '-c', code], check=True)


# subclassing


class Masked(VisionTransformer):
    """A masked autoencoder's encoder, as such projects write them."""

    def __init__(self, mask_ratio=0.5, **kwargs):
        super().__init__(**kwargs)
        self.mask_ratio = mask_ratio
        num_patches = self.patch_embed.num_patches
        self.pos_embed = nn.Parameter(torch.zeros(1, num_patches + 1, self.embed_dim), requires_grad=False)
        self.decoder = nn.Linear(self.embed_dim, 7, bias=True)
        del self.norm
        self.fc_norm = nn.LayerNorm(self.embed_dim)
        nn.init.normal_(self.cls_token, std=0.02)
        self.apply(self._init_weights)

    def _init_weights(self, m):
        if isinstance(m, nn.Linear):
            trunc_normal_(m.weight, std=0.02)

    def forward_features(self, x):
        x = self.patch_embed(x) + self.pos_embed[:, 1:, :]
        x = x[:, : int(x.shape[1] * (1 - self.mask_ratio))]
        cls_token = self.cls_token + self.pos_embed[:, :1, :]
        x = self.pos_drop(torch.cat((cls_token.expand(x.shape[0], -1, -1), x), dim=1))
        for block in self.blocks:
            x = block(x)
        return self.fc_norm(x)

    def forward(self, x):
        return self.decoder(self.forward_features(x)), self.head(self.forward_features(x)[:, 0])


def test_a_transformer_can_be_subclassed(x):
    model = Masked(**TINY, norm_layer=partial(nn.LayerNorm, eps=1e-6))
    decoded, logits = model(x)
    assert (decoded.shape, logits.shape) == ((2, 3, 7), (2, 5))
    assert isinstance(model.patch_embed, PatchEmbed)
    assert model.blocks[0].norm1.eps == 1e-6
    assert not model.pos_embed.requires_grad
    assert pickle.loads(pickle.dumps(model)).decoder.out_features == 7
    assert Masked(**TINY, device='meta').decoder.weight.is_meta


class Positionless(VisionTransformer):
    """Overrides the one step that models of segment-anything kind override."""

    def _pos_embed(self, x):
        return torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1)


def test_a_step_can_be_overridden(x, vit):
    model = Positionless(**TINY).eval()
    model.load_state_dict(vit.state_dict())
    with torch.no_grad():
        vit.pos_embed.zero_()
        torch.testing.assert_close(model(x), vit(x))


class Net(resnet.ResNet):
    def __init__(self, *args, extra=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.extra = nn.Conv2d(3, 3, 1) if extra else None

    def forward(self, x):
        return super().forward(self.extra(x))


def test_a_residual_network_can_be_subclassed(x):
    model = Net(resnet.BasicBlock, [1, 1, 1, 1], num_classes=3, dtype=torch.float64)
    assert model(x.double()).shape == (2, 3)
    assert model.extra.weight.dtype == torch.float64
    assert model.get_classifier() is model.fc


def test_classes_can_be_arguments(x):
    model = timm.create_model(
        'vit_tiny_patch16_224', img_size=32, depth=1, mlp_layer=SwiGLUPacked, act_layer=nn.SiLU,
        norm_layer=partial(nn.LayerNorm, eps=1e-5), init_values=1e-5, dynamic_img_size=True,
    )  # fmt: skip
    assert isinstance(model.blocks[0].mlp.act, nn.SiLU)
    assert isinstance(model.blocks[0].ls1, LayerScale)
    assert model(x).shape == (2, 1000)
    assert model(torch.zeros(1, 3, 64, 48)).shape == (1, 1000)


# changing a model in place


class CountingAttention(Attention):
    calls = 0

    def forward(self, x, attn_mask=None, is_causal=False):
        type(self).calls += 1
        B, N, C = x.shape
        qkv = self.qkv(x).reshape(B, N, 3, self.num_heads, C // self.num_heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        attn = ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1)
        x = (self.attn_drop(attn) @ v).transpose(1, 2).reshape(B, N, C)
        return self.proj_drop(self.proj(x))


class MergingBlock(Block):
    def _drop_path1(self, x):
        return self.drop_path1(x) if hasattr(self, 'drop_path1') else self.drop_path(x)

    def forward(self, x):
        x = x + self._drop_path1(self.ls1(self.attn(self.norm1(x))))
        x = torch.cat((x[:, :1], (x[:, 1::2] + x[:, 2::2]) / 2), dim=1) if x.shape[1] % 2 else x
        return x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))


@torch.no_grad()
def test_classes_of_modules_can_be_exchanged(x, vit):
    expected = vit(x)
    for module in vit.modules():
        if isinstance(module, Attention):
            module.__class__ = CountingAttention
    torch.testing.assert_close(vit(x), expected)
    assert CountingAttention.calls == 2
    for module in vit.modules():
        if isinstance(module, Block):
            module.__class__ = MergingBlock
    assert vit.forward_features(x).shape == (2, 2, 24), 'five tokens, three, then two'


@torch.no_grad()
def test_blocks_can_be_replaced_by_anything_of_one_argument(x, vit):
    class Plain(nn.Module):
        def forward(self, x):
            return x + 1

    vit.blocks[1] = Plain()
    assert vit(x).shape == (2, 5)
    vit.blocks = nn.Sequential(*(Plain() for _ in range(3)))
    assert vit(x).shape == (2, 5)


@torch.no_grad()
def test_methods_can_be_replaced_on_an_instance(x, vit):
    def scaled(self, x):
        return x * 2

    model = VisionTransformer(**TINY, init_values=0.5).eval()
    for module in model.modules():
        if isinstance(module, LayerScale):
            module.forward = types.MethodType(scaled, module)
    assert model(x).shape == (2, 5)
    vit.forward = partial(vit.get_intermediate_layers, n={0}, norm=True)
    (features,) = vit(x)
    assert features.shape == (2, 4, 24)


@torch.no_grad()
def test_hooks_see_blocks_and_embedding(x, vit):
    seen = {}
    for name, module in (('embed', vit.patch_embed), ('block', vit.blocks[-1]), ('attn', vit.blocks[0].attn.attn_drop)):
        module.register_forward_hook(lambda m, args, out, name=name: seen.update({name: out}))
    for block in vit.blocks:
        block.attn.fused_attn = False
    vit(x)
    assert (seen['embed'].shape, seen['block'].shape, seen['attn'].shape) == ((2, 4, 24), (2, 5, 24), (2, 3, 5, 5))


def test_the_parts_have_the_names_that_others_walk(vit):
    block = vit.blocks[0]
    assert [name for name, _ in block.named_children()] == [
        'norm1', 'attn', 'ls1', 'drop_path1', 'norm2', 'mlp', 'ls2', 'drop_path2',
    ]  # fmt: skip
    assert isinstance(block.mlp, Mlp)
    assert block.attn.scale == block.attn.head_dim**-0.5
    assert {'num_heads', 'head_dim', 'scale', 'fused_attn'} <= vars(block.attn).keys()
    assert {'qkv', 'q_norm', 'k_norm', 'attn_drop', 'proj', 'proj_drop'} <= dict(block.attn.named_children()).keys()
    assert isinstance(block.drop_path1, nn.Identity)
    assert isinstance(vit.blocks, nn.Sequential)


def test_a_classifier_can_be_replaced_by_hand(x):
    model = timm.create_model('test_resnet')
    model.fc = nn.Linear(model.num_features, 3)
    assert model(x).shape == (2, 3)
    assert model.get_classifier() is model.fc
    model.global_pool = nn.Identity()
    model.fc = nn.Identity()
    assert model(x).shape == (2, 96, 1, 1)


# registration by other code


@pytest.fixture
def project(monkeypatch):
    """A project's module that registers a network with weights of its own."""
    monkeypatch.setattr(timm.models._registry, '_REGISTRY', type(_REGISTRY)())
    module = types.ModuleType('project.nets')
    monkeypatch.setitem(sys.modules, 'project.nets', module)
    module.default_cfgs = generate_default_cfgs(
        {
            'tiny_net.v1': {
                'url': '',
                'num_classes': 4,
                'input_size': (3, 32, 32),
                'first_conv': 'conv1',
                'classifier': 'fc',
            }
        }
    )

    def tiny_net(pretrained=False, **kwargs):
        args = dict(block=resnet.BasicBlock, layers=[1, 1, 1, 1], channels=(8, 8, 16, 16))
        return build_model_with_cfg(
            resnet.ResNet, 'tiny_net', pretrained, feature_cfg=dict(out_indices=(1, 3)), **dict(args, **kwargs)
        )

    tiny_net.__module__ = 'project.nets'
    module.tiny_net = tiny_net
    register_model(tiny_net)
    return module


def test_a_registered_network_is_like_one_of_ours(project, x, tmp_path):
    model = timm.create_model('tiny_net')
    assert (model.num_classes, model(x).shape) == (4, (2, 4))
    assert model.default_cfg['architecture'] == 'tiny_net'
    assert timm.list_models('tiny_n*') == ['tiny_net']
    assert timm.is_model('tiny_net.v1')
    assert timm.create_model('tiny_net', features_only=True).feature_info.out_indices == (1, 3)
    torch.save(model.state_dict(), tmp_path / 'w.pth')
    overlay = dict(file=str(tmp_path / 'w.pth'))
    again = timm.create_model('tiny_net.v1', pretrained=True, pretrained_cfg_overlay=overlay, num_classes=9, in_chans=1)
    assert again.fc.weight.shape[0] == 9
    torch.testing.assert_close(again.conv1.weight, model.conv1.weight.sum(1, keepdim=True))
    assert project.__all__ == ['tiny_net']


def test_a_project_may_build_by_the_familys_function(x):
    model = timm.models.vision_transformer._create_vision_transformer(
        'my_vit', pretrained=False, pretrained_cfg=timm.models.vision_transformer._cfg(num_classes=6),
        **{**TINY, 'num_classes': 6},
    )  # fmt: skip
    assert model(x).shape == (2, 6)
    state = checkpoint_filter_fn(copy.deepcopy(model.state_dict()), model)
    assert state.keys() == model.state_dict().keys()


def test_a_network_without_our_base_class_is_built_and_loaded(tmp_path):
    class Own(nn.Module):
        def __init__(self, num_classes=10, in_chans=3, width=4):
            super().__init__()
            self.conv = nn.Conv2d(in_chans, width, 1)
            self.head = nn.Linear(width, num_classes)
            self.table = torch.full((width,), float('nan')).fill_(3.0)  # no parameter, no buffer

        def forward(self, x):
            return self.head((self.conv(x)).mean((2, 3)) + self.table)

    cfg = dict(num_classes=10, input_size=(3, 8, 8), first_conv='conv', classifier='head')
    first = build_model_with_cfg(Own, 'own', False, pretrained_cfg=cfg)
    assert bool((first.table == 3).all())
    assert first(torch.zeros(1, 3, 8, 8)).isfinite().all()
    torch.save(first.state_dict(), tmp_path / 'own.pth')
    second = build_model_with_cfg(
        Own, 'own', True, pretrained_cfg=cfg, pretrained_cfg_overlay=dict(file=str(tmp_path / 'own.pth')), num_classes=2
    )
    assert torch.equal(second.conv.weight, first.conv.weight)
    assert second.head.weight.shape == (2, 4)
    assert bool((second.table == 3).all())


# patching, pickling, signatures


def test_an_entry_point_can_be_patched_for_create_model():
    with mock.patch('timm.models.resnet.resnet18', return_value=nn.Identity()) as entry:
        model = timm.create_model('resnet18', num_classes=3)
    assert isinstance(model, nn.Identity)
    entry.assert_called_once()
    assert entry.call_args.kwargs['num_classes'] == 3
    with mock.patch('timm.create_model', return_value='made'):
        assert timm.create_model('x') == 'made'


def test_entry_points_and_models_can_be_pickled(x):
    assert pickle.loads(pickle.dumps(timm.models.resnet18)) is timm.models.resnet18
    assert copy.deepcopy(timm.models.resnet18) is timm.models.resnet18
    model = timm.create_model('test_resnet').eval()
    again = pickle.loads(pickle.dumps(model))
    with torch.no_grad():
        torch.testing.assert_close(again(x), model(x), rtol=0, atol=0)
    pickled = pickle.dumps(timm.create_model('test_resnet', features_only=True))
    assert pickle.loads(pickled).feature_info.channels() == [32, 32, 48, 192, 96]


def test_signatures_can_be_read():
    assert list(inspect.signature(timm.create_model).parameters) == [
        'model_name', 'pretrained', 'pretrained_cfg', 'pretrained_cfg_overlay', 'checkpoint_path', 'cache_dir',
        'scriptable', 'exportable', 'no_jit', 'kwargs',
    ]  # fmt: skip
    assert list(inspect.signature(VisionTransformer).parameters)[-2:] == ['device', 'dtype']
    assert list(inspect.signature(resnet.resnet18).parameters) == ['pretrained', 'kwargs']


def test_a_model_is_compiled_cloned_and_wrapped(x):
    model = timm.create_model('test_resnet').eval()
    wrapped = nn.Sequential(nn.Identity(), model)
    assert all(name.startswith('1.') for name in wrapped.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = next(model.parameters())
    model.load_state_dict(timm.create_model('test_resnet').state_dict())
    assert next(model.parameters()) is before, 'the optimizer still holds the parameters'
    assert optimizer.param_groups[0]['params'][0] is before
