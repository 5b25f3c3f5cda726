"""Tasks: loss of a batch, average, checkpoint; and metrics over a data set."""

import argparse
import logging

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy
from timm.task import (
    ClassificationEvaluator,
    ClassificationTask,
    MultiLabelClassificationEvaluator,
    MultiLabelClassificationTask,
    TrainingTask,
    evaluation_sample_limit,
    load_task_ema_checkpoint,
    resolve_classification_loss,
    resume_task_checkpoint,
)
from timm.task.evaluator import _average_precision
from timm.utils import CheckpointSaver, NativeScaler


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


@pytest.fixture
def batch():
    torch.manual_seed(1)
    return torch.randn(6, 3, 8, 8), torch.arange(6) % 5


def quiet(model, **args):
    return ClassificationTask(model, device='cpu', verbose=False, **args)


def test_a_batch_becomes_loss_and_output(model, batch):
    task = quiet(model)
    found = task(*batch)
    torch.testing.assert_close(found['loss'], nn.functional.cross_entropy(found['output'], batch[1]))
    found['loss'].backward()
    assert all(param.grad is not None for param in model.parameters())


def test_a_loss_can_be_given_named_or_described(model):
    assert type(quiet(model, criterion_kwargs=dict(smoothing=0.1)).criterion) is LabelSmoothingCrossEntropy
    assert type(quiet(model, criterion='bce').criterion) is BinaryCrossEntropy
    own = nn.MSELoss()
    assert quiet(model, criterion=own).criterion is own
    assert type(resolve_classification_loss(None, 'cpu', multi_label=True)) is BinaryCrossEntropy
    with pytest.raises(ValueError, match='smoothing'):
        quiet(model, criterion=own, criterion_kwargs=dict(smoothing=0.1))
    with pytest.raises(TypeError, match='criterion=5'):
        quiet(model, criterion=5)


def test_the_average_follows_and_is_checkpointed(model, batch):
    task = quiet(model)
    assert not task.has_ema()
    assert task.get_eval_model(ema=True) is None
    task.update_ema(1)
    task.setup_ema(decay=0.5)
    with torch.no_grad():
        model[4].bias.add_(1.0)
    before = task.get_checkpoint_state(ema=True)['state_dict_ema']['4.bias'].clone()
    task.update_ema()
    after = task.get_checkpoint_state(ema=True)['state_dict_ema']['4.bias']
    torch.testing.assert_close(after, before + 0.5)
    assert task.get_checkpoint_state()['state_dict'].keys() == model.state_dict().keys()
    assert task.get_eval_model() is model
    assert task.get_eval_model(ema=True)(batch[0]).shape == (6, 5)


def test_compiling_changes_neither_names_nor_numbers(model, batch):
    task = quiet(model)
    task.setup_ema()
    expected = task(*batch)['loss']
    compiled = task.compile(backend='eager')
    assert task.get_trainable_module() is compiled
    torch.testing.assert_close(task(*batch)['loss'], expected)
    assert task.get_checkpoint_state()['state_dict'].keys() == model.state_dict().keys()
    task.update_ema(5)
    task.load_checkpoint_state(model.state_dict())
    task.setup_ema(decay=0.0)
    averaged = task.compile_ema(backend='eager')
    assert task.get_eval_model(ema=True) is averaged
    assert task.get_checkpoint_state(ema=True)['state_dict_ema'].keys() == model.state_dict().keys()
    before = averaged(batch[0])
    with torch.no_grad():
        model[4].bias.add_(1.0)
    task.update_ema()
    torch.testing.assert_close(averaged(batch[0]), before + 1.0)
    task.setup_ema()
    assert task.get_eval_model(ema=True) is task.get_trainable_module(ema=True)


def test_processes_train_together(model, batch, tmp_path):
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path / "store"}', world_size=1, rank=0)
    try:
        task = quiet(model).prepare_distributed()
        with task.no_sync():
            task(*batch)['loss'].backward()
        task(*batch)['loss'].backward()
        assert task.get_checkpoint_state()['state_dict'].keys() == model.state_dict().keys()
        task.setup_ema()
        task.update_ema()
    finally:
        torch.distributed.destroy_process_group()


def test_the_head_can_be_left_out_of_clipping(model):
    task = quiet(model)
    assert len(list(task.get_clip_parameters())) == 6
    assert len(list(task.get_clip_parameters(exclude_head=True))) == 4


def test_a_run_resumes_from_its_checkpoint(model, batch, tmp_path):
    task, scaler = quiet(model), NativeScaler('cpu')
    task.setup_ema(decay=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler(task(*batch)['loss'], optimizer)
    task.update_ema()
    saver = CheckpointSaver(
        model, optimizer, argparse.Namespace(model='net'), amp_scaler=scaler, checkpoint_dir=str(tmp_path), task=task
    )
    saver.save_checkpoint(3, 1.0)
    path = str(tmp_path / 'last.pth.tar')

    fresh = nn.Sequential(*(type(m)(*a) for m, a in zip(model, [(3, 4, 3), (4,), (1,), (), (4, 5)], strict=True)))
    other = quiet(fresh)
    other.setup_ema()
    other_optimizer = torch.optim.SGD(fresh.parameters(), lr=0.7)
    other_scaler = NativeScaler('cpu')
    assert resume_task_checkpoint(other, path, other_optimizer, other_scaler) == 4
    load_task_ema_checkpoint(other, path)
    for ema in (False, True):
        for name, value in task.get_checkpoint_state(ema=ema)[f'state_dict{"_ema" if ema else ""}'].items():
            assert torch.equal(other.get_checkpoint_state(ema=ema)[f'state_dict{"_ema" if ema else ""}'][name], value)
    assert other_optimizer.param_groups[0]['lr'] == 0.1
    assert other_scaler.state_dict() == scaler.state_dict()


def test_weights_may_be_called_model(model, tmp_path):
    path = str(tmp_path / 'checkpoint.pth')
    saved = {name: value + 1 for name, value in model.state_dict().items()}
    torch.save({'model': saved, 'epoch': 5, 'version': 2}, path)
    assert resume_task_checkpoint(quiet(model), path, log_info=False) == 6
    assert torch.equal(model.state_dict()['4.bias'], saved['4.bias'])


def test_plain_weights_name_no_epoch(model, tmp_path):
    path = str(tmp_path / 'weights.pth')
    torch.save({f'module.{name}': value for name, value in model.state_dict().items()}, path)
    assert resume_task_checkpoint(quiet(model), path, log_info=False) is None
    with pytest.raises(ValueError, match='setup_ema'):
        load_task_ema_checkpoint(quiet(model), path)


def test_unused_task_state_is_mentioned(model, caplog):
    quiet(model).load_task_state({'teacher': 1})
    assert 'teacher' in caplog.text


def test_device_and_precision_follow_the_weights(model):
    task = ClassificationTask(model, device='cpu', verbose=False)
    outer = nn.Sequential(task)
    for convert, expected in (
        (lambda: task.to(torch.float64), torch.float64),
        (lambda: task.to('cpu', memory_format=torch.channels_last), torch.float64),
        (lambda: task.half(), torch.float16),
        (lambda: outer.bfloat16(), torch.bfloat16),
    ):
        convert()
        assert task.dtype == next(task.parameters()).dtype == expected
    with pytest.raises(TypeError):
        task.to(torch.int64)
    assert task.dtype == torch.bfloat16
    assert task.to('meta').device == next(task.parameters()).device == torch.device('meta')
    assert task.dtype == torch.bfloat16


def test_the_base_says_what_is_missing(batch, caplog):
    task = TrainingTask(device='cpu')
    with pytest.raises(NotImplementedError, match='forward'):
        task(*batch)
    with pytest.raises(ValueError, match='trainable_module'):
        task.setup_ema()
    caplog.set_level(logging.INFO)
    ClassificationTask(nn.Flatten(), device='cpu')
    assert 'CrossEntropyLoss' in caplog.text


def test_metrics_do_not_depend_on_the_batches():
    torch.manual_seed(0)
    logits, target = torch.randn(50, 7), torch.randint(7, (50,))
    whole, parts = ClassificationEvaluator(), ClassificationEvaluator()
    whole.update(logits, target)
    for chunk in range(0, 50, 8):
        parts.update(logits[chunk : chunk + 8], target[chunk : chunk + 8])
    assert parts.compute() == pytest.approx(whole.compute(), rel=1e-6)
    found = whole.compute()
    ranking = logits.topk(5).indices == target.unsqueeze(1)
    assert found['top1'] == pytest.approx(100 * ranking[:, 0].double().mean().item())
    assert found['top5'] == pytest.approx(100 * ranking.any(1).double().mean().item())
    assert found['loss'] == pytest.approx(nn.functional.cross_entropy(logits, target).item(), rel=1e-6)
    assert whole.summary() == found
    whole.reset()
    assert whole.compute() == dict(loss=0, top1=0, top5=0)


def test_padding_is_not_counted():
    logits, target = torch.eye(6), torch.arange(6)
    evaluator = ClassificationEvaluator(max_samples=4)
    for chunk in (slice(0, 3), slice(3, 6), slice(0, 3)):
        evaluator.update(logits[chunk], target[chunk])
    assert evaluator.num_samples == 4
    assert evaluator.compute()['top1'] == 100
    few = ClassificationEvaluator()
    few.update(torch.eye(3).bfloat16(), torch.arange(3))
    assert few.compute()['top5'] == 100
    with pytest.raises(ValueError, match=r'class indices .*\(3, 3\)'):
        few.update(torch.eye(3), torch.eye(3))


def test_evaluators_name_their_metrics():
    for evaluator, target in (
        (ClassificationEvaluator(), torch.arange(4)),
        (MultiLabelClassificationEvaluator(), torch.eye(4)),
    ):
        evaluator.update(torch.eye(4), target)
        assert tuple(evaluator.compute()) == evaluator.metric_names
        assert evaluator.default_metric in evaluator.metric_names


def test_soft_labels_count_from_a_half_on_and_are_mentioned(caplog):
    logits, labels = torch.tensor([[1.0, -1.0], [3.0, -2.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    hard, soft = MultiLabelClassificationEvaluator(), MultiLabelClassificationEvaluator()
    hard.update(logits, labels)
    assert not caplog.text
    soft.update(logits, 0.6 * labels)
    assert 'binarizes soft targets' in caplog.text
    found, expected = soft.compute(), hard.compute()
    assert found.pop('loss') != expected.pop('loss')
    assert found == expected


def test_labels_of_several_classes_are_a_number_for_each(model, batch):
    task = MultiLabelClassificationTask(model, device='cpu', verbose=False)
    with pytest.raises(ValueError, match='dense floating-point'):
        task(batch[0], torch.zeros(6, dtype=torch.int64))
    for threshold in (0.0, 1.5):
        with pytest.raises(ValueError, match=f'threshold={threshold}'):
            MultiLabelClassificationTask(model, threshold=threshold, verbose=False)


def test_precision_does_not_depend_on_how_many_classes_are_sorted_at_a_time():
    scores = torch.arange(12.0).remainder(5).view(4, 3)
    truth = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    assert torch.equal(_average_precision(scores, truth, chunk_elements=1), _average_precision(scores, truth))


def test_label_metrics_are_those_of_scikit_learn():
    metrics = pytest.importorskip('sklearn.metrics')
    torch.manual_seed(0)
    logits = torch.randn(40, 6).mul(4).round() / 4  # with ties
    labels = (torch.rand(40, 6) > 0.6).float()
    evaluator = MultiLabelClassificationEvaluator(threshold=0.4)
    for chunk in (slice(0, 25), slice(25, 40)):
        evaluator.update(logits[chunk], labels[chunk])
    found = evaluator.compute()
    scores, truth = logits.double().sigmoid().numpy(), labels.bool().numpy()
    assert found['map'] == pytest.approx(100 * metrics.average_precision_score(truth, scores))
    for name, average in (('micro_f1', 'micro'), ('macro_f1', 'macro'), ('sample_f1', 'samples')):
        expected = metrics.f1_score(truth, scores >= 0.4, average=average, zero_division=0)
        assert found[name] == pytest.approx(100 * expected)
    assert evaluator.summary()['loss'] == found['loss']


def test_classes_without_positives_count_as_zero():
    evaluator = MultiLabelClassificationEvaluator()
    assert evaluator.compute()['map'] == 0
    evaluator.update(torch.zeros(4, 3), torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]]))
    found = evaluator.compute()
    assert found['map'] == pytest.approx(100 / 3)
    assert found['micro_f1'] == pytest.approx(50)
    assert found['macro_f1'] == pytest.approx(400 / 9)
    assert found['sample_f1'] == pytest.approx(45)


def test_metrics_are_brought_together_over_processes(tmp_path):
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path / "store"}', world_size=1, rank=0)
    try:
        for evaluator, target in (
            (ClassificationEvaluator(), torch.arange(4)),
            (MultiLabelClassificationEvaluator(), torch.eye(4)),
        ):
            evaluator.update(torch.eye(4), target)
            assert evaluator.compute(distributed=True) == evaluator.compute()
    finally:
        torch.distributed.destroy_process_group()


def test_tasks_bring_their_evaluator(model):
    assert type(quiet(model).create_evaluator(max_samples=3)) is ClassificationEvaluator
    task = MultiLabelClassificationTask(model, threshold=0.3, device='cpu', verbose=False)
    assert type(task.criterion) is BinaryCrossEntropy
    evaluator = task.create_evaluator()
    assert (type(evaluator), evaluator.threshold) == (MultiLabelClassificationEvaluator, 0.3)


@pytest.mark.parametrize('world', [2, 4])
def test_repeated_samples_are_known(world):
    data = TensorDataset(torch.arange(11))
    limits = []
    for rank in range(world):
        sampler = DistributedSampler(data, num_replicas=world, rank=rank, shuffle=False)
        limits.append(evaluation_sample_limit(DataLoader(data, batch_size=2, sampler=sampler)))
    assert sum(limits) == 11
    assert max(limits) - min(limits) <= 1
    assert evaluation_sample_limit(DataLoader(data)) is None
    assert evaluation_sample_limit([1, 2]) is None
    dropping = DistributedSampler(data, num_replicas=world, rank=0, drop_last=True)
    assert evaluation_sample_limit(DataLoader(data, sampler=dropping)) is None
