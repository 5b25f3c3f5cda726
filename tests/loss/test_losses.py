"""Losses: the numbers of the reference, their equations, and behaviour at the edges."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests import reference
from tests.fill import digest, hash_uniform
from timm.loss import (
    AsymmetricLossMultiLabel,
    AsymmetricLossSingleLabel,
    BinaryCrossEntropy,
    DistributionBalancedLoss,
    JsdCrossEntropy,
    LabelSmoothingCrossEntropy,
    PolyBinaryCrossEntropy,
    PolyCrossEntropy,
    SoftTargetCrossEntropy,
    TwoWayLoss,
    ZlprLoss,
    create_classification_loss,
)

CLASSES = torch.arange(12) % 7
SOFT = torch.softmax(2 * hash_uniform('loss/soft', 84).view(12, 7), dim=-1)
LABELS = (hash_uniform('loss/ml', 84).view(12, 7) > 0.4).double()
GOLDEN = {
    'LabelSmoothingCrossEntropy(0.1)': (LabelSmoothingCrossEntropy(0.1), CLASSES),
    'SoftTargetCrossEntropy()': (SoftTargetCrossEntropy(), SOFT),
    'JsdCrossEntropy(num_splits=3,alpha=12,smoothing=0.1)': (JsdCrossEntropy(), CLASSES[:4]),
    'JsdCrossEntropy(smoothing=0)': (JsdCrossEntropy(smoothing=0), CLASSES[:4]),
    'BinaryCrossEntropy(smoothing=0.1)': (BinaryCrossEntropy(smoothing=0.1), CLASSES),
    'BinaryCrossEntropy(smoothing=0.1,target_threshold=0.2)[soft]': (BinaryCrossEntropy(target_threshold=0.2), SOFT),
    'BinaryCrossEntropy(sum_classes=True)': (BinaryCrossEntropy(smoothing=0.0, sum_classes=True), CLASSES),
    'AsymmetricLossMultiLabel()': (AsymmetricLossMultiLabel(), LABELS),
    'AsymmetricLossSingleLabel()': (AsymmetricLossSingleLabel(), CLASSES),
}
COUNTS = torch.tensor([10.0, 50, 3, 0, 100, 7, 20])
MULTI_LABEL = {
    'bce': BinaryCrossEntropy(smoothing=0.0),
    'asl': AsymmetricLossMultiLabel(),
    'poly': PolyBinaryCrossEntropy(gamma=1.0, alpha=0.25),
    'twoway': TwoWayLoss(),
    'zlpr': ZlprLoss(),
    'db': DistributionBalancedLoss(COUNTS, 100),
}


def logits():
    return (3 * hash_uniform('loss/x', 84)).view(12, 7).requires_grad_()


def test_every_number_of_the_reference_is_looked_at():
    assert GOLDEN.keys() == reference.load('training')['losses'].keys()


@pytest.mark.parametrize('name', GOLDEN)
def test_value_and_gradient_are_those_of_the_reference(name):
    loss, target = GOLDEN[name]
    expected = reference.load('training')['losses'][name]
    # The reference computes this one in float32.
    tolerance = 1e-6 if name == 'AsymmetricLossMultiLabel()' else 1e-9
    x = logits()
    value = loss(x, target)
    value.backward()
    assert value.item() == pytest.approx(expected['value'], rel=tolerance)
    found = digest(x.grad)
    assert found['rms'] == pytest.approx(expected['grad']['rms'], rel=tolerance)
    assert found['proj'] == pytest.approx(expected['grad']['proj'], rel=tolerance)


def test_smoothing_nothing_is_cross_entropy():
    x = logits()
    plain = F.cross_entropy(x, CLASSES)
    torch.testing.assert_close(LabelSmoothingCrossEntropy(0.0)(x, CLASSES), plain)
    torch.testing.assert_close(SoftTargetCrossEntropy()(x, F.one_hot(CLASSES, 7)), plain)
    torch.testing.assert_close(PolyCrossEntropy(epsilon=0.0)(x, CLASSES), plain)
    torch.testing.assert_close(AsymmetricLossSingleLabel(gamma_pos=0, gamma_neg=0, eps=0.0)(x, CLASSES), plain)
    smoothed = F.cross_entropy(x, CLASSES, label_smoothing=0.2)
    torch.testing.assert_close(LabelSmoothingCrossEntropy(0.2)(x, CLASSES), smoothed)


def test_unfocused_losses_for_labels_are_binary_cross_entropy():
    x = logits()
    plain = F.binary_cross_entropy_with_logits(x, LABELS)
    torch.testing.assert_close(PolyBinaryCrossEntropy(epsilon=0.0)(x, LABELS), plain)
    unfocused = AsymmetricLossMultiLabel(gamma_neg=0, gamma_pos=0, clip=0, eps=1e-12, reduction='mean')
    torch.testing.assert_close(unfocused(x, LABELS), plain)
    torch.testing.assert_close(BinaryCrossEntropy(smoothing=0.0)(x, LABELS), plain)


def test_jsd_needs_a_version():
    with pytest.raises(ValueError, match='num_splits=0'):
        JsdCrossEntropy(num_splits=0)


def test_jsd_of_equal_versions_is_cross_entropy_of_one():
    clean = logits()[:4]
    loss = JsdCrossEntropy(num_splits=3, smoothing=0)(torch.cat([clean] * 3), CLASSES[:4])
    torch.testing.assert_close(loss, F.cross_entropy(clean, CLASSES[:4]))
    with pytest.raises(ValueError, match='num_splits=5'):
        JsdCrossEntropy(num_splits=5)(logits(), CLASSES)


def test_binary_targets_are_smoothed_thresholded_and_weighted():
    x = logits()
    dense = torch.full_like(x, 0.1 / 7).scatter_(1, CLASSES.unsqueeze(1), 0.9 + 0.1 / 7)
    torch.testing.assert_close(BinaryCrossEntropy(0.1)(x, CLASSES), BinaryCrossEntropy(0.1)(x, dense.detach()))
    hard = BinaryCrossEntropy(0.1, target_threshold=0.5)(x, CLASSES)
    torch.testing.assert_close(hard, F.binary_cross_entropy_with_logits(x, F.one_hot(CLASSES, 7).double()))
    softened = BinaryCrossEntropy(0.1, smooth_dense=True)(x, LABELS)
    torch.testing.assert_close(softened, F.binary_cross_entropy_with_logits(x, 0.9 * LABELS + 0.05))
    weight = torch.linspace(0.5, 2, 7, dtype=torch.float64)
    loss = BinaryCrossEntropy(0.0, weight=weight, pos_weight=2.0, reduction='none')
    assert loss(x, LABELS).shape == (12, 7)
    expected = weight * F.binary_cross_entropy_with_logits(x, LABELS, reduction='none') * (1 + LABELS)
    torch.testing.assert_close(loss(x, LABELS), expected)
    assert set(loss.state_dict()) == {'weight', 'pos_weight'}
    with pytest.raises(ValueError, match='12 rows'):
        loss(x, LABELS[:5])


def test_asymmetric_focus_ignores_easy_negatives():
    x = torch.tensor([[-4.0, -1.0]], requires_grad=True)
    AsymmetricLossMultiLabel()(x, torch.zeros(1, 2)).backward()
    assert x.grad[0, 0] == 0  # probability below the clip
    assert x.grad[0, 1] > 0
    p = 1 / (1 + math.exp(1))
    margin = 1 - p + 0.05
    expected = -((1 - margin) ** 4) * math.log(margin)
    assert AsymmetricLossMultiLabel()(x, torch.zeros(1, 2)).item() == pytest.approx(expected, rel=1e-5)


def test_asymmetric_weights_scale_classes_and_positives():
    x, weight = logits(), torch.linspace(0.5, 2, 7, dtype=torch.float64)
    plain = AsymmetricLossMultiLabel(reduction='none')(x, LABELS)
    weighted = AsymmetricLossMultiLabel(reduction='none', weight=weight, pos_weight=3.0)(x, LABELS)
    torch.testing.assert_close(weighted, plain * weight * (1 + 2 * LABELS))
    constant = AsymmetricLossMultiLabel(disable_torch_grad_focal_loss=True)
    gradients = [torch.autograd.grad(loss(x, LABELS), x)[0] for loss in (constant, AsymmetricLossMultiLabel())]
    assert not torch.allclose(*gradients)
    torch.testing.assert_close(constant(x, LABELS), AsymmetricLossMultiLabel()(x, LABELS))


def test_poly_adds_the_first_term_of_the_series():
    x = logits()
    right = F.softmax(x, dim=-1).gather(1, CLASSES.unsqueeze(1)).squeeze(1)
    expected = F.cross_entropy(x, CLASSES, reduction='none') + 2 * (1 - right)
    torch.testing.assert_close(PolyCrossEntropy(reduction='none')(x, CLASSES), expected)
    torch.testing.assert_close(PolyCrossEntropy(reduction='sum')(x, F.one_hot(CLASSES, 7)), expected.sum())
    p = torch.where(LABELS > 0, x.sigmoid(), 1 - x.sigmoid())
    expected = -((1 - p) ** 2) * p.log() + 2 * (1 - p) ** 3
    torch.testing.assert_close(PolyBinaryCrossEntropy(gamma=2.0, reduction='none')(x, LABELS), expected)
    per_image = expected.sum() / len(x)
    torch.testing.assert_close(PolyBinaryCrossEntropy(gamma=2.0, reduction='batchmean')(x, LABELS), per_image)


def test_zlpr_and_two_way_push_positives_above_negatives():
    x = torch.tensor([[2.0, -1.0, 0.5]])
    y = torch.tensor([[1.0, 0.0, 0.0]])
    expected = math.log1p(math.exp(-2)) + math.log1p(math.exp(-1) + math.exp(0.5))
    assert ZlprLoss()(x, y).item() == pytest.approx(expected)
    row = math.log1p(math.exp(math.log(math.exp(-1) + math.exp(0.5)) - 2))
    assert TwoWayLoss(tp=4.0, tn=1.0)(x, y).item() == pytest.approx(row)  # the only positive column has no negative


def test_distribution_balance_favours_rare_classes():
    loss = DistributionBalancedLoss([1, 90], 100, focal_gamma=0.0, init_bias=0.0, reduction='none')
    rare, common = loss(torch.zeros(1, 2), torch.ones(1, 2))[0]
    assert rare > 4 * common
    with pytest.raises(ValueError, match='num_samples=50'):
        DistributionBalancedLoss([60], 50)
    assert set(loss.state_dict()) == {'freq_inv', 'logit_bias'}


@pytest.mark.parametrize('name', MULTI_LABEL)
@pytest.mark.parametrize('target', [torch.zeros(12, 7), torch.ones(12, 7)], ids=['none', 'all'])
def test_images_without_or_with_all_labels_give_finite_gradients(name, target):
    x = (100 * hash_uniform('loss/x', 84)).view(12, 7).float().requires_grad_()
    loss = MULTI_LABEL[name](x, target)
    loss.backward()
    assert loss.isfinite()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize('name', ['asl', 'poly', 'twoway', 'zlpr', 'db'])
def test_half_precision_logits_are_not_computed_in_half(name):
    x = logits().detach()
    exact = MULTI_LABEL[name](x.bfloat16().double(), LABELS)
    half = MULTI_LABEL[name](x.bfloat16(), LABELS.bfloat16())
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(exact.item(), rel=1e-5)


@pytest.mark.parametrize(
    'loss_class', [AsymmetricLossMultiLabel, AsymmetricLossSingleLabel, PolyCrossEntropy, PolyBinaryCrossEntropy]
)
def test_unknown_reductions_are_refused(loss_class):
    with pytest.raises(ValueError, match="Unknown reduction 'avg': use one of"):
        loss_class(reduction='avg')


@pytest.mark.parametrize('loss_class', [LabelSmoothingCrossEntropy, BinaryCrossEntropy])
def test_impossible_smoothing_is_refused(loss_class):
    with pytest.raises(ValueError, match=r'smoothing=1\.5'):
        loss_class(smoothing=1.5)


@pytest.mark.parametrize('loss_type', ['bce', 'asl', 'poly', 'twoway', 'zlpr'])
def test_second_derivatives_are_finite_without_positives_or_negatives(loss_type):
    x = torch.tensor([[0.3, -1.0, 2.0], [1.5, 0.2, -0.4], [0.1, 0.9, 0.0]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    value = create_classification_loss(loss_type, multi_label=True)(x, y)
    (gradient,) = torch.autograd.grad(value, x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), x)
    assert torch.isfinite(second).all()
