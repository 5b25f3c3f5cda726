"""Multi-layer perceptrons: equations, gates, forms of execution."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from timm.layers import (
    ConvMlp,
    GatedMlp,
    GlobalResponseNormMlp,
    GluMlp,
    LayerNorm,
    Mlp,
    SwiGLU,
    SwiGLUPacked,
)


class HalvingGate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, x):
        first, second = x.chunk(2, dim=-1)
        return first * second


MLPS = {
    'Mlp': lambda: Mlp(6, 8, 5, norm_layer=LayerNorm),
    'GluMlp': lambda: GluMlp(6, 8),
    'SwiGLUPacked': lambda: SwiGLUPacked(6, 8),
    'SwiGLU': lambda: SwiGLU(6, 8),
    'GatedMlp': lambda: GatedMlp(6, 8, gate_layer=HalvingGate),
    'GlobalResponseNormMlp': lambda: GlobalResponseNormMlp(6, 8),
    'ConvMlp': lambda: ConvMlp(6, 8),
    'Mlp conv': lambda: Mlp(6, 8, use_conv=True),
    'GluMlp conv': lambda: GluMlp(6, 8, use_conv=True),
    'GlobalResponseNormMlp conv': lambda: GlobalResponseNormMlp(6, 8, use_conv=True),
}


def inputs(name, **kwargs):
    return torch.randn(2, 6, 3, 4, **kwargs) if 'onv' in name else torch.randn(2, 3, 4, 6, **kwargs)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_mlp_is_two_maps_with_activation_and_norm_between():
    mlp, x = Mlp(6, 8, 5, norm_layer=LayerNorm), torch.randn(2, 3, 6)
    hidden = F.layer_norm(F.gelu(F.linear(x, mlp.fc1.weight, mlp.fc1.bias)), (8,), eps=1e-6)
    torch.testing.assert_close(mlp(x), F.linear(hidden, mlp.fc2.weight, mlp.fc2.bias))


def test_gated_linear_units_are_their_equations():
    x = torch.randn(2, 3, 6)
    glu, packed, swiglu = GluMlp(6, 8), SwiGLUPacked(6, 8), SwiGLU(6, 4)
    first, second = glu.fc1(x).chunk(2, -1)
    torch.testing.assert_close(glu(x), glu.fc2(first * second.sigmoid()))
    first, second = packed.fc1(x).chunk(2, -1)
    torch.testing.assert_close(packed(x), packed.fc2(F.silu(first) * second))
    state = packed.state_dict()
    for kind in ('weight', 'bias'):
        state[f'fc1_g.{kind}'], state[f'fc1_x.{kind}'] = state.pop(f'fc1.{kind}').chunk(2)
    swiglu.load_state_dict(state)
    torch.testing.assert_close(swiglu(x), packed(x))


def test_gates_start_open():
    x = torch.randn(2, 3, 6)
    for mlp, value in (
        (GluMlp(6, 8), lambda mlp: mlp.fc1(x).chunk(2, -1)[0] * torch.tensor(1.0).sigmoid()),
        (SwiGLUPacked(6, 8), lambda mlp: mlp.fc1(x).chunk(2, -1)[1] * F.silu(torch.tensor(1.0))),
        (SwiGLU(6, 8), lambda mlp: mlp.fc1_x(x) * F.silu(torch.tensor(1.0))),
    ):
        mlp.init_weights()
        torch.testing.assert_close(mlp(x), mlp.fc2(value(mlp)), rtol=1e-3, atol=1e-4)


def test_gate_layer_stands_between_activation_and_norm():
    mlp, x = GatedMlp(6, 8, gate_layer=HalvingGate, norm_layer=LayerNorm), torch.randn(2, 3, 6)
    first, second = F.gelu(mlp.fc1(x)).chunk(2, -1)
    torch.testing.assert_close(mlp(x), mlp.fc2(mlp.norm(first * second)))
    assert GatedMlp(6, 8).fc2.in_features == 8


def test_convolutional_forms_agree_with_linear_ones():
    x = torch.randn(2, 6, 3, 4)
    for cls in (Mlp, GluMlp, GlobalResponseNormMlp):
        conv, linear = cls(6, 8, use_conv=True), cls(6, 8)
        shapes = linear.state_dict()
        linear.load_state_dict({name: t.reshape(shapes[name].shape) for name, t in conv.state_dict().items()})
        torch.testing.assert_close(conv(x), linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
    conv = ConvMlp(6, 8, norm_layer=nn.BatchNorm2d).eval()
    torch.testing.assert_close(conv(x), conv.fc2(conv.norm(conv.fc1(x)).relu()))


def test_widths_biases_and_dropouts():
    mlp = Mlp(6, bias=(True, False), drop=(0.1, 0.2))
    assert (mlp.fc1.out_features, mlp.fc2.out_features) == (6, 6)
    assert (mlp.fc1.bias is None, mlp.fc2.bias is None) == (False, True)
    assert (mlp.drop1.p, mlp.drop2.p) == (0.1, 0.2)
    assert SwiGLU(6, 100, align_to=64).fc2.in_features == 128
    assert SwiGLU(6, 128, align_to=64).fc2.in_features == 128
    assert GluMlp(6, 8, norm_layer=LayerNorm).norm.normalized_shape == (4,)
    for build in (lambda: GluMlp(6, 9), lambda: GatedMlp(6, 9, gate_layer=HalvingGate)):
        with pytest.raises(ValueError, match='hidden_features=9'):
            build()


@pytest.mark.parametrize('name', MLPS)
def test_script_export_meta_and_half_precision(name):
    mlp, x = MLPS[name]().eval(), inputs(name)
    torch.testing.assert_close(torch.jit.script(mlp)(x), mlp(x))
    torch.testing.assert_close(torch.export.export(mlp, (x,)).module()(x), mlp(x))
    assert mlp.bfloat16()(inputs(name, dtype=torch.bfloat16)).dtype == torch.bfloat16
    with torch.device('meta'):
        assert MLPS[name]()(inputs(name)).device.type == 'meta'
