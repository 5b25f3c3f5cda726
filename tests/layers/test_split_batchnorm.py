"""Batch norms split by parts of the batch, and models converted to them."""

import copy

import pytest
import torch
from torch import nn

from timm.layers import (
    BatchNormAct2d,
    SplitBatchNorm2d,
    convert_splitbn_model,
    convert_sync_batchnorm,
    freeze_batch_norm_2d,
)

EPS = 1e-5


def _maps(batch):
    x = torch.randn(batch, 4, 5, 6, generator=torch.Generator().manual_seed(batch), dtype=torch.float64)
    return x * torch.arange(1.0, batch + 1).view(-1, 1, 1, 1) + 1  # each image has statistics of its own


def _by_equation(x, weight, bias):
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (variance + EPS).sqrt() * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)


def _norm(norm_class=nn.BatchNorm2d, **kwargs):
    """A norm with numbers unlike those of a new one."""
    torch.manual_seed(0)
    norm = norm_class(4, **kwargs).double()
    for value in (*norm.parameters(), norm.running_mean, norm.running_var):
        nn.init.uniform_(value, 0.5, 1.5)
    norm.num_batches_tracked.fill_(7)
    return norm


def test_each_part_of_a_batch_is_normalized_by_its_own_norm():
    norm = SplitBatchNorm2d(4, num_splits=3, dtype=torch.float64).train()
    norms = [norm, *norm.aux_bn]
    for one in norms:
        nn.init.uniform_(one.weight)
        nn.init.uniform_(one.bias)
    x = _maps(6)
    expected = [
        _by_equation(part, one.weight, one.bias) for part, one in zip((x[:2], x[2:4], x[4:]), norms, strict=True)
    ]
    torch.testing.assert_close(norm(x), torch.cat(expected))
    for part, one in zip((x[:2], x[2:4], x[4:]), norms, strict=True):
        torch.testing.assert_close(one.running_mean, 0.1 * part.mean((0, 2, 3)))
        torch.testing.assert_close(one.running_var, 0.9 + 0.1 * part.var((0, 2, 3)))
        assert one.num_batches_tracked == 1


def test_evaluation_goes_by_the_first_norm_for_any_batch():
    norm = _norm(SplitBatchNorm2d).eval()
    x = _maps(3)
    mean, variance = norm.running_mean.view(1, -1, 1, 1), norm.running_var.view(1, -1, 1, 1)
    expected = (x - mean) / (variance + EPS).sqrt() * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(norm(x), expected)


@pytest.mark.parametrize('num_splits', [1, 0, -1])
def test_fewer_than_two_parts_are_an_error(num_splits):
    with pytest.raises(ValueError, match=f'num_splits={num_splits} '):
        SplitBatchNorm2d(4, num_splits=num_splits)
    with pytest.raises(ValueError, match=f'num_splits={num_splits} '):
        convert_splitbn_model(nn.BatchNorm2d(4), num_splits)


def test_training_batch_that_does_not_divide_is_an_error():
    with pytest.raises(ValueError, match='batch of 7 does not split into 2'):
        SplitBatchNorm2d(4).train()(torch.randn(7, 4, 2, 2))


@pytest.mark.parametrize('norm_class', [nn.BatchNorm2d, BatchNormAct2d])
def test_split_norm_works_under_script_and_compile(norm_class):
    norm = convert_splitbn_model(_norm(norm_class).train())
    x = _maps(4)
    expected = copy.deepcopy(norm)(x)
    torch.testing.assert_close(torch.jit.script(copy.deepcopy(norm))(x), expected)
    torch.testing.assert_close(torch.compile(copy.deepcopy(norm), fullgraph=True, backend='eager')(x), expected)


@pytest.mark.parametrize('training', [False, True])
def test_conversion_keeps_numbers_settings_and_mode(training):
    norm = _norm(eps=1e-3, momentum=0.3).train(training)
    norm.weight.requires_grad_(False)
    split = convert_splitbn_model(copy.deepcopy(norm), 3)
    assert isinstance(split, SplitBatchNorm2d)
    assert len(split.aux_bn) == 2
    for one in (split, *split.aux_bn):
        assert (one.eps, one.momentum, one.training) == (1e-3, 0.3, training)
        assert not one.weight.requires_grad
        assert one.bias.requires_grad
        for name, value in norm.state_dict().items():
            torch.testing.assert_close(one.state_dict()[name], value, rtol=0, atol=0)  # dtype and device as well


def test_converted_norms_share_no_memory_but_keep_the_parameters_an_optimizer_holds():
    norm = _norm()
    split = convert_splitbn_model(norm)
    assert split.weight is norm.weight
    assert split.bias is norm.bias
    pointers = [value.data_ptr() for value in split.state_dict().values()]
    assert len(set(pointers)) == len(pointers)


def test_conversion_keeps_the_activation_inside_a_norm():
    norm = _norm(BatchNormAct2d, act_layer=nn.LeakyReLU, act_kwargs={'negative_slope': 0.2}).eval()
    x = _maps(4)
    expected = norm(x)
    split = convert_splitbn_model(norm)
    torch.testing.assert_close(split(x), expected)
    assert split.act is norm.act
    parts = [_by_equation(part, norm.weight, norm.bias) for part in (x[:2], x[2:])]
    torch.testing.assert_close(split.train()(x), nn.functional.leaky_relu(torch.cat(parts), 0.2))


def test_conversion_reaches_all_norms_of_a_model_and_nothing_else():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.InstanceNorm2d(4), nn.BatchNorm2d(4)))
    shared = model[1]
    model.append(shared)
    before = copy.deepcopy(model).eval()
    assert convert_splitbn_model(model) is model
    assert [type(model[i]) for i in (0, 1, 3)] == [nn.Conv2d, SplitBatchNorm2d, SplitBatchNorm2d]
    assert model[3] is model[1]
    assert [type(part) for part in model[2]] == [nn.InstanceNorm2d, SplitBatchNorm2d]
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(model.eval()(x), before(x))
    assert {name for name in model.state_dict() if 'aux_bn' not in name} == set(before.state_dict())


def test_split_norms_are_converted_again_only_to_another_number_of_parts():
    split = convert_splitbn_model(_norm(BatchNormAct2d))
    assert convert_splitbn_model(split) is split
    assert not any(isinstance(norm, SplitBatchNorm2d) for norm in split.aux_bn)
    wider = convert_splitbn_model(split, 3)
    assert len(wider.aux_bn) == 2
    assert wider.act is split.act


@pytest.mark.parametrize('kwargs', [{'affine': False}, {'track_running_stats': False}])
def test_norms_without_weights_or_statistics_are_converted(kwargs):
    norm = nn.BatchNorm2d(4, dtype=torch.float64, **kwargs)
    x = _maps(4)
    expected = torch.cat([copy.deepcopy(norm)(x[:2]), copy.deepcopy(norm)(x[2:])])
    split = convert_splitbn_model(norm)
    torch.testing.assert_close(split(x), expected)
    assert split.state_dict().keys() == {p + name for p in ('', 'aux_bn.0.') for name in norm.state_dict()}


@pytest.mark.parametrize('norm_class', [nn.BatchNorm1d, nn.BatchNorm3d, nn.SyncBatchNorm])
def test_batch_norms_over_other_shapes_are_an_error(norm_class):
    with pytest.raises(ValueError, match=rf'{norm_class.__name__}\(4.*cannot be split'):
        convert_splitbn_model(nn.Sequential(norm_class(4)))


def test_conversion_works_on_the_meta_device():
    split = convert_splitbn_model(BatchNormAct2d(4, device='meta', dtype=torch.float16))
    assert {value.device.type for value in split.state_dict().values()} == {'meta'}
    assert {value.dtype for value in split.parameters()} == {torch.float16}


def test_freezing_a_split_norm_leaves_what_evaluation_computes():
    split = convert_splitbn_model(_norm(BatchNormAct2d)).eval()
    x = _maps(3)
    expected = split(x)
    torch.testing.assert_close(freeze_batch_norm_2d(split)(x), expected)


def test_synchronising_a_split_norm_is_an_error():
    with pytest.raises(ValueError, match='SplitBatchNorm2d'):
        convert_sync_batchnorm(convert_splitbn_model(nn.Sequential(nn.BatchNorm2d(4))))
