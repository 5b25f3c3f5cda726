"""Operations per image, against equations and published tables."""

import pytest
import torch
from torch import nn

import timm
from timm.engine.count import count_operations


def test_convolutions_and_products_by_equation():
    model = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.Flatten(), nn.Linear(6 * 25, 7, bias=False))
    counted = count_operations(model, torch.zeros(2, 4, 5, 5))
    assert counted.macs == 2 * (6 * 25 * 2 * 9 + 150 * 7)
    assert counted.activations == 2 * (150 + 7)


def test_a_transposed_convolution_counts_its_inputs():
    counted = count_operations(nn.ConvTranspose2d(3, 5, 2, stride=2), torch.zeros(1, 3, 4, 4))
    assert counted.macs == 3 * 16 * 5 * 4


class Attends(nn.Module):
    """Scaled dot-product attention alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x)


@pytest.mark.parametrize('device', ['cpu', 'meta'])
def test_fused_attention_counts_as_two_products(device):
    counted = count_operations(Attends(), torch.zeros(2, 3, 10, 8, device=device))
    assert counted.macs == 2 * 3 * 10 * 10 * (8 + 8)
    assert counted.activations == 2 * 3 * (10 * 10 + 10 * 8)


@pytest.mark.parametrize(
    ('name', 'gmacs', 'macts'),
    [('resnet50', 4.11, 11.11), ('vit_base_patch16_224', 17.58, 23.9), ('convnext_tiny', 4.47, 13.44)],
)
def test_figures_of_the_published_tables(name, gmacs, macts):
    with torch.device('meta'):
        model = timm.create_model(name)
    counted = count_operations(model, torch.zeros(1, 3, 224, 224, device='meta'))
    assert counted.macs / 1e9 == pytest.approx(gmacs, rel=0.03)
    assert counted.activations / 1e6 == pytest.approx(macts, rel=0.03)
