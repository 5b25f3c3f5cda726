"""Initialisers: distributions, cut-offs, short types, tensors without storage, and the recipes of ViT."""

import math

import pytest
import torch
from torch import nn

from timm import layers

STD_WITHIN_2 = 0.8796


def _kurtosis(x):
    return ((x - x.mean()) ** 4).mean().item() / x.var().item() ** 2


def test_truncated_normal_cuts_in_units_of_the_values():
    torch.manual_seed(0)
    x = layers.trunc_normal_(torch.empty(400, 500))
    assert x.abs().max() <= 2
    assert x.std().item() == pytest.approx(STD_WITHIN_2, rel=0.01)
    assert x.mean().item() == pytest.approx(0, abs=0.01)
    x = layers.trunc_normal_(torch.empty(400, 500), std=0.02)  # cut-offs a hundred deviations away
    assert x.std().item() == pytest.approx(0.02, rel=0.01)
    assert _kurtosis(x) == pytest.approx(3, abs=0.1)


def test_truncated_normal_tf_cuts_in_units_of_the_deviation():
    torch.manual_seed(0)
    x = layers.trunc_normal_tf_(torch.empty(400, 500), mean=1.0, std=0.02)
    assert (x - 1).abs().max() <= 0.04 + 1e-7
    assert x.mean().item() == pytest.approx(1, abs=1e-3)
    assert x.std().item() == pytest.approx(0.02 * STD_WITHIN_2, rel=0.01)


def test_truncated_normal_with_uneven_cuts_has_the_right_mean():
    torch.manual_seed(0)
    x = layers.trunc_normal_(torch.empty(400, 500), mean=1.0, std=2.0, a=-1.0, b=1.5)
    assert x.min() >= -1
    assert x.max() <= 1.5
    low, high = (-1 - 1) / 2, (1.5 - 1) / 2
    density = [math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) for z in (low, high)]
    mass = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    assert x.mean().item() == pytest.approx(1 + 2 * (density[0] - density[1]) / mass, abs=0.01)


def test_truncated_normal_refuses_impossible_and_warns_of_doubtful_cuts():
    with pytest.raises(ValueError, match='a=2'):
        layers.trunc_normal_(torch.empty(3), a=2, b=-2)
    with pytest.warns(UserWarning, match='more than two'):
        assert layers.trunc_normal_(torch.empty(3), mean=10.0).isfinite().all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_get_the_same_distribution(dtype):
    torch.manual_seed(0)
    for x in (
        layers.trunc_normal_tf_(torch.empty(300, 400, dtype=dtype), std=0.5),
        layers.trunc_normal_(torch.empty(300, 400, dtype=dtype)),
    ):
        assert x.dtype == dtype
        assert x.double().mean().item() == pytest.approx(0, abs=0.01)
        assert x.double().unique().numel() > 100
    assert x.double().std().item() == pytest.approx(STD_WITHIN_2, rel=0.02)


def test_short_types_hold_the_rounded_float32_values():
    torch.manual_seed(0)
    long = layers.trunc_normal_(torch.empty(100, 100), std=0.02)
    torch.manual_seed(0)
    assert torch.equal(layers.trunc_normal_(torch.empty(100, 100, dtype=torch.bfloat16), std=0.02), long.bfloat16())


def test_tensors_without_storage_draw_no_random_numbers():
    state = torch.get_rng_state()
    weight = torch.empty(8, 8, device='meta')
    for fill in (layers.trunc_normal_, layers.trunc_normal_tf_, layers.variance_scaling_, layers.lecun_normal_):
        assert fill(weight) is weight
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(('mode', 'fan'), [('fan_in', 1200), ('fan_out', 1600), ('fan_avg', 1400)])
@pytest.mark.parametrize(('distribution', 'kurtosis'), [('normal', 3), ('truncated_normal', 2.37), ('uniform', 1.8)])
def test_variance_is_scale_over_fan(mode, fan, distribution, kurtosis):
    torch.manual_seed(0)
    x = layers.variance_scaling_(torch.empty(400, 300, 2, 2), 2.0, mode, distribution)
    assert x.var().item() == pytest.approx(2 / fan, rel=0.01)
    assert _kurtosis(x) == pytest.approx(kurtosis, abs=0.03)


def test_variance_scaling_names_its_choices():
    with pytest.raises(ValueError, match=r"'fan'.*fan_in"):
        layers.variance_scaling_(torch.empty(3, 3), mode='fan')
    with pytest.raises(ValueError, match=r"'cauchy'.*uniform"):
        layers.variance_scaling_(torch.empty(3, 3), distribution='cauchy')


def test_initialised_parameters_stay_parameters_that_can_learn():
    weight = nn.Parameter(torch.empty(4, 4))
    assert layers.lecun_normal_(weight) is weight
    assert weight.requires_grad
    assert weight.grad_fn is None


class _InitialisesItself(nn.Module):
    done = False

    def init_weights(self):
        self.done = True


def test_vit_recipe():
    torch.manual_seed(0)
    head, linear, conv, own = nn.Linear(200, 100), nn.Linear(200, 300), nn.Conv2d(30, 50, 3), _InitialisesItself()
    before = conv.bias.clone()
    layers.init_weight_vit(head, 'head.fc', head_bias=-7.0)
    layers.init_weight_vit(linear, 'blocks.0.head')  # the path must begin with the classifier's name
    layers.init_weight_vit(conv, 'patch_embed.proj')
    layers.init_weight_vit(own, 'own')
    assert not head.weight.any()
    assert (head.bias == -7).all()
    assert linear.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert (linear.bias == 0.02).all()
    assert conv.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert torch.equal(conv.bias, before)
    assert own.done


def test_jax_recipe():
    torch.manual_seed(0)
    head, mlp, qkv, conv, own = (
        nn.Linear(200, 100),
        nn.Linear(200, 300),
        nn.Linear(200, 300),
        nn.Conv2d(30, 50, 3),
        _InitialisesItself(),
    )
    layers.init_weight_jax(head, 'classifier', head_bias=-7.0, classifier_name='classifier')
    layers.init_weight_jax(mlp, 'blocks.0.mlp.fc1')
    layers.init_weight_jax(qkv, 'blocks.0.attn.qkv')
    layers.init_weight_jax(conv, 'patch_embed.proj')
    layers.init_weight_jax(own, 'own')
    assert not head.weight.any()
    assert (head.bias == -7).all()
    assert mlp.weight.abs().max().item() == pytest.approx((6 / 500) ** 0.5, rel=1e-3)
    assert 0 < mlp.bias.abs().max() < 1e-5
    assert not qkv.bias.any()
    assert conv.weight.std().item() == pytest.approx((1 / 270) ** 0.5, rel=0.02)
    assert not conv.bias.any()
    assert own.done


def test_meta_device_is_seen_by_name_object_and_context():
    assert layers.is_meta_device('meta')
    assert layers.is_meta_device(torch.device('meta'))
    assert not layers.is_meta_device('cpu')
    assert not layers.is_meta_device(None)
    with torch.device('meta'):
        assert layers.is_meta_device(None)
        assert not layers.is_meta_device('cpu')
