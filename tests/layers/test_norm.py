"""Norms, norms with activation and their factories; freezing and synchronising of batch norms."""

import copy
import functools
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d as TorchvisionNorm

from timm import layers
from timm.layers import fast_norm
from timm.layers.batch_norm_act import FrozenBatchNorm2d
from timm.layers.grn import GlobalResponseNorm
from timm.layers.norm import LayerNormExp2d

TOKEN_NORMS = ['LayerNorm', 'LayerNormFp32', 'RmsNorm', 'RmsNormFp32', 'SimpleNorm', 'SimpleNormFp32']
MAP_NORMS = ['LayerNorm2d', 'LayerNorm2dFp32', 'RmsNorm2d', 'RmsNorm2dFp32', 'SimpleNorm2d', 'SimpleNorm2dFp32']
NORM_ACTS = {
    'LayerNormAct': 'LayerNorm',
    'LayerNormActFp32': 'LayerNormFp32',
    'LayerNormAct2d': 'LayerNorm2d',
    'LayerNormAct2dFp32': 'LayerNorm2dFp32',
    'RmsNormAct': 'RmsNorm',
    'RmsNormActFp32': 'RmsNormFp32',
    'RmsNormAct2d': 'RmsNorm2d',
    'RmsNormAct2dFp32': 'RmsNorm2dFp32',
    'GroupNormAct': 'GroupNorm',
    'GroupNorm1Act': 'GroupNorm1',
}
MAPS_FIRST = {'GroupNorm', 'GroupNorm1', 'GroupNormAct', 'GroupNorm1Act'}


def _input(name, dtype=torch.float32):
    torch.manual_seed(0)
    shape = (2, 32, 5, 6) if '2d' in name or name in MAPS_FIRST else (2, 7, 32)
    return torch.randn(shape, dtype=dtype) * 3 + 1


def _layer(name, **kwargs):
    torch.manual_seed(1)
    layer = getattr(layers, name)(32, **kwargs)
    for tensor in [*layer.parameters(), *layer.buffers()]:
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)
    return layer


def _by_equation(name, x, weight, bias, eps):
    if '2d' in name:
        weight = weight[:, None, None]
        bias = None if bias is None else bias[:, None, None]
    dim = 1 if '2d' in name else -1
    mean = x.mean(dim, keepdim=True)
    if name.startswith('LayerNorm'):
        y = (x - mean) / (x.var(dim, unbiased=False, keepdim=True) + eps).sqrt()
    elif name.startswith('RmsNorm'):
        y = x / (x.square().mean(dim, keepdim=True) + eps).sqrt()
    else:
        y = x / (x.var(dim, keepdim=True) + eps).sqrt()
    y = y * weight
    return y if bias is None else y + bias


@pytest.mark.parametrize('name', TOKEN_NORMS + MAP_NORMS)
def test_norm_follows_its_equation(name):
    norm, x = _layer(name, eps=1e-3), _input(name)
    expected = _by_equation(name, x.double(), norm.weight.double(), getattr(norm, 'bias', None), 1e-3)
    torch.testing.assert_close(norm(x), expected.float(), rtol=1e-5, atol=1e-5)
    plain = getattr(layers, name)(32, affine=False)
    assert not plain.state_dict()
    ones = torch.ones(32, dtype=torch.float64)
    expected = _by_equation(name, x.double(), ones, None, 1e-6)
    torch.testing.assert_close(plain(x), expected.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', [n for n in TOKEN_NORMS + MAP_NORMS if 'Fp32' in n])
def test_fp32_norm_computes_in_float32_and_gives_the_input_type_back(name):
    norm, x = _layer(name).half(), (_input(name) * 300).half()
    y = norm(x)
    assert y.dtype == torch.half
    expected = _layer(name)(x.float())
    torch.testing.assert_close(y, expected.half(), rtol=2e-3, atol=2e-3)


def test_rms_norm_of_maps_survives_half_precision():
    y = layers.RmsNorm2d(4).half()(torch.full((1, 4, 2, 2), 300.0).half())  # 300 squared is beyond float16
    torch.testing.assert_close(y, torch.ones_like(y), rtol=1e-2, atol=0)


def test_norms_over_several_dimensions():
    x = _input('LayerNorm')
    assert layers.LayerNorm([7, 32])(x).shape == x.shape
    assert layers.RmsNorm((7, 32)).weight.shape == (7, 32)
    y = layers.SimpleNorm((7, 32))(x)
    torch.testing.assert_close(y, x / x.var((1, 2), keepdim=True).sqrt(), rtol=1e-4, atol=1e-5)


def test_group_norms_take_channels_first():
    x = _input('GroupNorm')
    torch.testing.assert_close(layers.GroupNorm(32, 8)(x), F.group_norm(x, 8))
    torch.testing.assert_close(layers.GroupNorm1(32, eps=1e-3)(x), F.group_norm(x, 1, eps=1e-3))
    torch.testing.assert_close(layers.GroupNormAct(32, group_size=4)(x), F.group_norm(x, 8).relu())
    with pytest.raises(ValueError, match='group_size=5'):
        layers.GroupNormAct(32, group_size=5)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_experimental_layer_norm_takes_either_memory_format(memory_format):
    x = _input('LayerNorm2d')
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(LayerNormExp2d(32)(x.contiguous(memory_format=memory_format)), expected)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_rms_norm_of_maps_is_the_equation_in_every_layout_and_type(dtype, memory_format):
    x = (_input('RmsNorm2d').to(dtype) * 100).contiguous(memory_format=memory_format)  # squares overflow float16
    norm = _layer('RmsNorm2d').to(dtype)
    expected = _by_equation('RmsNorm2d', x.double(), norm.weight.double(), None, norm.eps)
    torch.testing.assert_close(norm(x), expected.to(dtype))


@pytest.mark.parametrize('name', ['LayerNorm', 'LayerNorm2d', 'GroupNorm', 'RmsNorm', 'RmsNorm2d', 'SimpleNorm'])
def test_fast_norms_stay_in_the_autocast_type(name):
    x = _input(name)
    slow = getattr(layers, name)(32)
    layers.set_fast_norm(True)
    try:
        fast = getattr(layers, name)(32)
    finally:
        layers.set_fast_norm(False)
    torch.testing.assert_close(fast(x), slow(x))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert slow(x).dtype == torch.float32
        assert fast(x).dtype == torch.bfloat16
        torch.testing.assert_close(fast(x).float(), slow(x), rtol=0.05, atol=0.05)
    torch.testing.assert_close(torch.jit.script(fast)(x), slow(x))


@pytest.mark.parametrize('name', NORM_ACTS)
def test_norm_act_is_norm_then_drop_then_activation(name):
    x = _input(name)
    both = _layer(name, act_layer='silu', eps=1e-4, drop_layer=functools.partial(nn.Threshold, 0.1, 0.0))
    norm = _layer(NORM_ACTS[name], eps=1e-4)
    torch.testing.assert_close(both(x), F.silu(F.threshold(norm(x), 0.1, 0.0)))
    assert both.state_dict().keys() == norm.state_dict().keys()
    torch.testing.assert_close(_layer(name, eps=1e-4, apply_act=False)(x), norm(x))
    torch.testing.assert_close(_layer(name, eps=1e-4, act_layer=None)(x), norm(x))
    act = _layer(name, act_layer='leaky_relu', act_kwargs={'negative_slope': 0.3, 'inplace': False}).act
    assert (act.negative_slope, act.inplace) == (0.3, False)


def test_batch_norm_act_trains_like_batch_norm():
    x = _input('LayerNorm2d')
    both, norm = layers.BatchNormAct2d(32, momentum=0.2, act_layer=nn.Tanh), nn.BatchNorm2d(32, momentum=0.2)
    for _ in range(2):
        torch.testing.assert_close(both(x), norm(x).tanh())
    for name, value in norm.state_dict().items():
        torch.testing.assert_close(both.state_dict()[name], value)
    torch.testing.assert_close(both.eval()(x), norm.eval()(x).tanh())
    with pytest.raises(AssertionError):
        both(x[0])


@pytest.mark.parametrize('channels_last', [True, False])
def test_global_response_norm_follows_the_paper(channels_last):
    x = _input('LayerNorm2d')
    norm = GlobalResponseNorm(32, channels_last=channels_last)
    assert not norm.weight.any()
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    energy = x.square().sum((2, 3), keepdim=True).sqrt()
    share = energy / (energy.mean(1, keepdim=True) + 1e-6)
    expected = norm.weight[:, None, None] * (x * share) + norm.bias[:, None, None] + x
    y = norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if channels_last else norm(x)
    torch.testing.assert_close(y, expected)


def test_layer_scale_scales_channels():
    x = _input('LayerNorm2d')
    torch.testing.assert_close(layers.LayerScale2d(32, 0.1)(x), 0.1 * x)
    tokens = _input('LayerNorm')
    scale = layers.LayerScale(32, 0.1, inplace=True)
    with torch.no_grad():
        assert scale(tokens) is tokens
    nn.init.zeros_(scale.gamma)
    scale.reset_parameters()
    assert (scale.gamma == 0.1).all()


LAYERS = {
    **{name: functools.partial(getattr(layers, name), 32) for name in [*TOKEN_NORMS, *MAP_NORMS, *NORM_ACTS]},
    'BatchNormAct2d': functools.partial(layers.BatchNormAct2d, 32, drop_layer=nn.Dropout),
    'FrozenBatchNormAct2d': functools.partial(layers.FrozenBatchNormAct2d, 32, act_layer='prelu'),
    'LayerScale2d': functools.partial(layers.LayerScale2d, 32),
}


@pytest.mark.parametrize('name', LAYERS)
def test_layers_script_trace_copy_and_pickle(name):
    layer, x = LAYERS[name]().eval(), _input(name)
    expected = layer(x)
    for twin in (
        torch.jit.script(copy.deepcopy(layer)),
        torch.fx.symbolic_trace(copy.deepcopy(layer)),
        pickle.loads(pickle.dumps(layer)),
    ):
        torch.testing.assert_close(twin(x), expected)


@pytest.mark.parametrize('name', ['LayerNorm2d', 'BatchNormAct2d'])
def test_layers_export_and_compile_without_a_break(name):
    layer, x = LAYERS[name]().eval(), _input(name)
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), layer(x))
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend='eager')(x), layer(x))


@pytest.mark.parametrize('name', [*LAYERS, 'GroupNorm', 'GroupNorm1', 'SyncBatchNormAct'])
def test_layers_are_built_on_the_asked_device_in_the_asked_type(name):
    layer = getattr(layers, name)(32, device='meta', dtype=torch.half)
    tensors = [tensor for tensor in layer.state_dict().values() if tensor.is_floating_point()]
    assert tensors
    assert all(tensor.is_meta and tensor.dtype == torch.half for tensor in tensors)


def _network():
    torch.manual_seed(0)
    shared = nn.BatchNorm2d(8)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1),
        shared,
        layers.BatchNormAct2d(8, act_layer='silu'),
        nn.Sequential(nn.BatchNorm2d(8, affine=False), shared),
    )
    network(torch.randn(4, 3, 5, 5))
    return network.eval()


def test_frozen_norms_compute_the_same_and_have_no_parameters():
    network, x = _network(), torch.randn(2, 3, 4, 4)
    expected = network(x)
    frozen = layers.freeze_batch_norm_2d(network)
    assert frozen is network
    assert [name for name, _ in frozen.named_parameters()] == ['0.weight', '0.bias']
    assert isinstance(frozen[2], layers.FrozenBatchNormAct2d)
    assert isinstance(frozen[1], TorchvisionNorm)
    assert frozen[3][1] is frozen[1]
    torch.testing.assert_close(frozen(x), expected)
    torch.testing.assert_close(frozen.train()(x), expected)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
def test_frozen_norms_normalise_by_their_statistics_in_either_mode(training, dtype):
    norm = FrozenBatchNorm2d(4).train(training)
    for name, value in {'weight': 2.0, 'bias': 0.5, 'running_mean': 3.0, 'running_var': 4.0}.items():
        getattr(norm, name).fill_(value)
    norm = norm.double() if dtype == torch.float64 else norm
    x = torch.randn(2, 4, 3, 5, dtype=dtype, requires_grad=True)
    y = norm(x)
    assert y.dtype == dtype
    factor = 2 / (4 + norm.eps) ** 0.5
    torch.testing.assert_close(y, ((x.double() - 3) * factor + 0.5).to(dtype), rtol=None, atol=None)
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, factor))
    torch.testing.assert_close(norm.running_mean, torch.full_like(norm.running_mean, 3.0))


def test_frozen_norms_load_checkpoints_of_running_ones():
    checkpoint = _network().state_dict()
    frozen = layers.freeze_batch_norm_2d(_network())
    missing, unexpected = frozen.load_state_dict(checkpoint, strict=False)
    assert unexpected == []
    assert missing == ['3.0.weight', '3.0.bias']  # was without affine parameters


def test_unfreezing_brings_parameters_back():
    network, x = _network(), torch.randn(2, 3, 4, 4)
    expected = network(x)
    thawed = layers.unfreeze_batch_norm_2d(layers.freeze_batch_norm_2d(network))
    assert isinstance(thawed[2], layers.BatchNormAct2d)
    assert type(thawed[1]) is nn.BatchNorm2d
    assert '2.weight' in dict(thawed.named_parameters())
    torch.testing.assert_close(thawed(x), expected)
    assert not thawed[1].training


def test_a_single_norm_is_replaced_and_returned():
    assert isinstance(layers.freeze_batch_norm_2d(nn.BatchNorm2d(4)), TorchvisionNorm)
    with pytest.raises(ValueError, match='no statistics'):
        layers.freeze_batch_norm_2d(nn.BatchNorm2d(4, track_running_stats=False))


def test_synchronised_norms_keep_parameters_activations_and_numbers():
    network, x = _network(), torch.randn(2, 3, 4, 4)
    expected, parameters = network(x), dict(network.named_parameters())
    synced = layers.convert_sync_batchnorm(network)
    assert synced is network
    assert isinstance(synced[2], layers.SyncBatchNormAct)
    assert type(synced[1]) is nn.SyncBatchNorm
    assert synced[3][1] is synced[1]
    assert all(parameters[name] is value for name, value in synced.named_parameters())
    torch.testing.assert_close(synced(x), expected)
    assert isinstance(layers.convert_sync_batchnorm(nn.BatchNorm1d(4)), nn.SyncBatchNorm)


def test_norm_factory_takes_names_none_classes_partials_and_functions():
    for name in ('layer_norm', 'LayerNorm', 'layernorm'):
        assert layers.get_norm_layer(name) is layers.LayerNorm
    assert layers.get_norm_layer('batchnorm2d') is nn.BatchNorm2d
    assert layers.get_norm_layer(None) is None
    assert layers.get_norm_layer('') is None
    partial = functools.partial(nn.LayerNorm, eps=1e-6)
    for given in (nn.LayerNorm, layers.RmsNorm2d, partial, lambda channels: nn.Identity()):
        assert layers.get_norm_layer(given) is given
    assert layers.create_norm_layer('layernorm2d', 8, eps=1e-3).eps == 1e-3
    assert layers.create_norm_layer(partial, 8).eps == 1e-6
    with pytest.raises(ValueError, match=r"'layernrm'.*layernorm"):
        layers.get_norm_layer('layernrm')
    with pytest.raises(ValueError, match='Unknown norm'):
        layers.create_norm_layer('', 8)
    with pytest.raises(TypeError):
        layers.get_norm_layer(3)


@pytest.mark.parametrize(
    ('given', 'expected', 'eps'),
    [
        ('batchnorm2d', layers.BatchNormAct2d, 1e-5),
        (nn.BatchNorm2d, layers.BatchNormAct2d, 1e-5),
        (layers.BatchNormAct2d, layers.BatchNormAct2d, 1e-5),
        (functools.partial(nn.LayerNorm, eps=1e-6), layers.LayerNormAct, 1e-6),
        (layers.LayerNorm2d, layers.LayerNormAct2d, 1e-5),
        (functools.partial(layers.GroupNorm, num_groups=4, eps=1e-4), layers.GroupNormAct, 1e-4),
        ('rms_norm2d_fp32', layers.RmsNormAct2dFp32, 1e-6),
    ],
)
def test_norm_act_factory_finds_the_counterpart_and_binds_the_activation(given, expected, eps):
    norm_act = layers.get_norm_act_layer(given, 'silu')(8)
    assert type(norm_act) is expected
    assert norm_act.eps == eps
    assert isinstance(norm_act.act, nn.SiLU)
    assert isinstance(layers.get_norm_act_layer(given)(8).act, nn.Identity)
    assert isinstance(layers.create_norm_act_layer(given, 8, nn.SiLU, apply_act=False).act, nn.Identity)


def test_norm_act_factory_keeps_what_a_partial_states_and_leaves_functions_alone():
    own = functools.partial(layers.BatchNormAct2d, act_layer=nn.GELU)
    assert isinstance(layers.get_norm_act_layer(own, 'silu')(8).act, nn.GELU)

    def build(channels, **kwargs):
        return nn.BatchNorm2d(channels)

    assert layers.get_norm_act_layer(build, 'silu') is build
    assert layers.get_norm_act_layer(None, 'silu') is None
    assert layers.get_norm_act_layer('') is None


def test_norm_act_factory_names_the_nearest_of_an_unknown_norm():
    for given in ('batchnrm2d', 'syncbatchnorm2d'):
        with pytest.raises(ValueError, match=f"'{given}'.*batchnorm2d"):
            layers.get_norm_act_layer(given)
    with pytest.raises(ValueError, match='Identity'):
        layers.get_norm_act_layer(nn.Identity)
    with pytest.raises(ValueError, match='by name'):
        layers.get_norm_act_layer(functools.partial(nn.GroupNorm, 4))
    with pytest.raises(ValueError, match='Unknown norm'):
        layers.create_norm_act_layer(None, 8)


def test_norm_act_factory_scripts_on_request():
    x = _input('LayerNorm2d')
    scripted = layers.create_norm_act_layer('layernorm2d', 32, 'relu', jit=True)
    assert isinstance(scripted, torch.jit.ScriptModule)
    torch.testing.assert_close(scripted(x), F.relu(layers.LayerNorm2d(32, eps=1e-5)(x)))
    with layers.set_no_jit(True):
        plain = layers.create_norm_act_layer('layernorm2d', 32, 'relu', jit=True)
    assert not isinstance(plain, torch.jit.ScriptModule)


@pytest.mark.parametrize(
    ('norm', 'shape'), [(fast_norm.fast_rms_norm, (2, 5, 3)), (fast_norm.fast_rms_norm2d, (2, 3, 4, 5))]
)
def test_a_fused_kernel_is_used_where_it_is_set(monkeypatch, norm, shape):
    x, weight = torch.randn(shape), torch.randn(3)

    def doubled(x, weight, normalized_shape, eps):
        return 2 * F.rms_norm(x, normalized_shape, weight, eps)

    expected = 2 * norm(x, [3], weight, 1e-5)
    monkeypatch.setattr(fast_norm, 'fused_rms_norm_affine', doubled)
    torch.testing.assert_close(2 * norm(x, [3], weight, 1e-5), expected)
    monkeypatch.setattr(fast_norm, 'has_apex_rmsnorm', True)
    torch.testing.assert_close(norm(x, [3], weight, 1e-5), expected)
    torch.testing.assert_close(norm(x, [3], None, 1e-5), norm(x, [3], torch.ones(3), 1e-5) / 2)
