"""Losses by name, and weights for rare classes."""

import json

import pytest
import torch
from torch import nn

from timm import loss
from timm.loss import (
    compute_class_weights,
    create_classification_loss,
    load_class_stats,
    load_class_weights,
    resolve_class_weights,
)


@pytest.mark.parametrize(
    ('args', 'kind'),
    [
        (dict(), nn.CrossEntropyLoss),
        (dict(smoothing=0.1), loss.LabelSmoothingCrossEntropy),
        (dict(soft_targets=True, smoothing=0.1), loss.SoftTargetCrossEntropy),
        (dict(multi_label=True), loss.BinaryCrossEntropy),
        (dict(loss_type='bce', bce_sum=True), loss.BinaryCrossEntropy),
        (dict(loss_type='asl'), loss.AsymmetricLossSingleLabel),
        (dict(loss_type='asl', multi_label=True), loss.AsymmetricLossMultiLabel),
        (dict(loss_type='poly'), loss.PolyCrossEntropy),
        (dict(loss_type='poly', multi_label=True), loss.PolyBinaryCrossEntropy),
        (dict(loss_type='jsd', jsd_splits=3), loss.JsdCrossEntropy),
        (dict(loss_type='twoway', multi_label=True), loss.TwoWayLoss),
        (dict(loss_type='zlpr', multi_label=True), loss.ZlprLoss),
        (dict(loss_type='db', multi_label=True, class_counts=[1, 2], num_samples=9), loss.DistributionBalancedLoss),
    ],
)
def test_the_right_loss_is_made(args, kind):
    assert type(create_classification_loss(**args)) is kind


def test_arguments_reach_the_loss():
    bce = create_classification_loss('bce', multi_label=True, smoothing=0.1, class_weight=torch.ones(3), pos_weight=2.0)
    assert (bce.smoothing, bce.smooth_dense, bce.weight.shape, bce.pos_weight.item()) == (0.1, True, (3,), 2.0)
    asl = create_classification_loss('asl', multi_label=True, asl_gamma_pos=2, asl_clip=0.2, asl_reduction='mean')
    assert (asl.gamma_pos, asl.gamma_neg, asl.clip, asl.reduction) == (2, 4.0, 0.2, 'mean')
    assert create_classification_loss('bce', soft_targets=True, smoothing=0.1).smoothing == 0


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(loss_type='bcee'), 'nearest are bce'),
        (dict(loss_type='ce', multi_label=True), 'does not support multi-label targets: use one of bce'),
        (dict(loss_type='zlpr'), 'multi_label=True'),
        (dict(loss_type='twoway', multi_label=True, smoothing=0.1), 'smoothing=0.1'),
        (dict(loss_type='jsd'), 'jsd_splits=0'),
        (dict(loss_type='db', multi_label=True), 'class_counts'),
        (dict(loss_type='asl', soft_targets=True), 'Mixup/CutMix'),
        (dict(loss_type='poly', poly_gamma=2.0), 'poly_gamma=2.0 .*multi_label=True'),
        (dict(loss_type='bce', class_counts=[3, 1], num_samples=4), 'only used by the db loss'),
        (dict(loss_type='db', multi_label=True, class_counts=[3, 5], num_samples=4), 'class_counts must be .*3 to 5'),
        (dict(loss_type='asl', asl_reduction='mean'), "asl_reduction='mean'"),
        (dict(class_weight=torch.ones(3)), 'class_weight'),
        (dict(bce_target_thresh=0.2), 'bce_target_thresh'),
    ],
)
def test_contradictions_are_refused(args, message):
    with pytest.raises(ValueError, match=message):
        create_classification_loss(**args)


def test_weights_follow_their_rules():
    kind, weights = compute_class_weights([10, 50, 0], 100)
    assert kind == 'pos_weight'
    assert weights.tolist() == [9.0, 1.0, 99.0]
    kind, weights = compute_class_weights(torch.tensor([10.0, 40.0]), 100, 'inv_freq', power=0.5)
    assert kind == 'class_weight'
    torch.testing.assert_close(weights, torch.tensor([4 / 3, 2 / 3]))
    _, weights = compute_class_weights([1, 100], 100, 'effective_num', beta=0.9, max_weight=1.5)
    torch.testing.assert_close(weights, torch.tensor([1.5, 2 * 0.1 / (0.1 + 1 - 0.9**100)]), atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize(
    'args',
    [
        dict(pos_counts=[1], num_samples=5, method='x'),
        dict(pos_counts=[], num_samples=5),
        dict(pos_counts=[9], num_samples=5),
        dict(pos_counts=[-1], num_samples=5),
        dict(pos_counts=[1], num_samples=5, beta=1.0),
    ],
)
def test_impossible_counts_are_refused(args):
    with pytest.raises(ValueError, match=r'not|Unknown class weight method'):
        compute_class_weights(**args)


def test_weights_are_read_from_text_and_files(tmp_path):
    assert load_class_weights(None) is load_class_weights('') is None
    assert load_class_weights('2.5') == load_class_weights(2.5) == 2.5
    assert load_class_weights('1, 2 3').tolist() == load_class_weights([1, 2, 3]).tolist() == [1, 2, 3]
    text = tmp_path / 'weights.txt'
    text.write_text('1\n2\n')
    assert load_class_weights(str(text)).tolist() == [1, 2]
    table = tmp_path / 'weights.json'
    table.write_text(json.dumps({'pos_weight': [3, 4]}))
    assert load_class_weights(str(table), key='pos_weight').tolist() == [3, 4]
    for bad in ('1,-2', 'nan', True, [1.0, float('inf')]):
        with pytest.raises(ValueError, match='weight'):
            load_class_weights(bad)
    with pytest.raises(ValueError, match="no 'class_weight' entry"):
        load_class_weights(str(table))
    with pytest.raises(ValueError, match=r'missing\.json'):
        load_class_weights('missing.json')


def test_rules_need_the_right_argument_and_statistics(tmp_path):
    file = tmp_path / 'stats.json'
    file.write_text(json.dumps({'pos_counts': [1, 2], 'num_samples': 5}))
    assert load_class_stats(None) is None
    stats = load_class_stats(str(file))
    assert resolve_class_weights('neg_pos', 'pos_weight', stats).tolist() == [4.0, 1.5]
    assert resolve_class_weights('1,2', 'pos_weight', None).tolist() == [1, 2]
    with pytest.raises(ValueError, match='use inv_freq or effective_num'):
        resolve_class_weights('neg_pos', 'class_weight', stats)
    with pytest.raises(ValueError, match='requires class stats'):
        resolve_class_weights('inv_freq', 'class_weight')
    file.write_text('[1, 2]')
    with pytest.raises(ValueError, match='pos_counts'):
        load_class_stats(str(file))
