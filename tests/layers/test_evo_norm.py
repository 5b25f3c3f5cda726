"""EvoNorm and filter response norm: where they are no norm, what they keep of a batch, what they refuse."""

import pytest
import torch

from timm import layers

SAMPLE = ('S0', 'S0a', 'S1', 'S1a', 'S2', 'S2a')
BATCH = ('B0', 'B1', 'B2')


def build(form, *args, **kwargs):
    return getattr(layers, f'EvoNorm2d{form}')(*args, **kwargs)


@pytest.mark.parametrize('form', ['B0', 'B1', 'B2', 'S0', 'S1', 'S2'])
def test_without_activation_only_scale_and_shift_are_left(form):
    norm = build(form, 6, apply_act=False)
    torch.nn.init.constant_(norm.weight, 2.0)
    torch.nn.init.constant_(norm.bias, 1.0)
    x = torch.randn(2, 6, 4, 4)
    torch.testing.assert_close(norm(x), 2 * x + 1)
    assert list(norm.state_dict()) == ['weight', 'bias', *(['running_var'] if form in BATCH else [])]


@pytest.mark.parametrize('form', ['S0a', 'S1a'])
def test_the_a_forms_normalise_also_without_activation(form):
    x = torch.randn(2, 8, 5, 5) * 3
    y = build(form, 8, group_size=4, apply_act=False)(x).reshape(2, 2, -1)
    torch.testing.assert_close(y.std(-1, correction=0), torch.ones(2, 2), rtol=1e-3, atol=0)


@pytest.mark.parametrize('form', BATCH)
def test_evaluation_uses_the_running_variance(form):
    norm = build(form, 4, momentum=1.0)
    x = torch.randn(3, 4, 5, 5)
    norm(x)
    torch.testing.assert_close(norm.running_var, x.var(dim=(0, 2, 3)))
    before = norm.running_var.clone()
    norm.eval()(2 * x)
    torch.testing.assert_close(norm.running_var, before)


@pytest.mark.parametrize('form', SAMPLE)
def test_channels_that_do_not_divide_into_groups_are_refused(form):
    with pytest.raises(ValueError, match='60'):
        build(form, 60)
    with pytest.raises(ValueError, match='group_size=7'):
        build(form, 60, group_size=7)


@pytest.mark.parametrize('form', [*BATCH, *SAMPLE])
def test_half_precision_goes_through_float32_statistics(form):
    norm = build(form, 32).eval()
    x = torch.linspace(-400, 400, 512).reshape(1, 32, 4, 4)  # whose squares are beyond float16
    assert norm(x.half()).dtype == torch.float16
    assert norm(x.half()).isfinite().all()


@pytest.mark.parametrize('form', [*BATCH, *SAMPLE])
@torch.no_grad()
def test_scripted_and_traced_norms_compute_the_same(form):
    norm = build(form, 32).eval()
    x = torch.randn(2, 32, 4, 4)
    torch.testing.assert_close(torch.jit.script(norm)(x), norm(x))
    torch.testing.assert_close(torch.fx.symbolic_trace(norm)(x), norm(x))


def test_filter_response_norm_thresholds_or_activates():
    x = torch.randn(2, 4, 5, 5)
    rms = x.square().mean((2, 3), keepdim=True).sqrt()
    torch.testing.assert_close(layers.FilterResponseNormAct2d(4, apply_act=False)(x), x / rms, rtol=1e-3, atol=1e-4)
    norm = layers.FilterResponseNormTlu2d(4)
    torch.nn.init.constant_(norm.tau, 0.25)
    assert norm(x).min() == 0.25


def test_these_norms_are_found_by_name():
    assert layers.get_norm_act_layer('evonorms0', 'relu') is layers.EvoNorm2dS0
    assert layers.get_norm_act_layer('frn_tlu') is layers.FilterResponseNormTlu2d
    assert layers.get_norm_act_layer('frn', 'silu').keywords == {'act_layer': 'silu'}
