"""What single options of a training do, seen from outside or in the part that they shape."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import timm
from timm.engine.build_augment import weight_of_batch
from timm.engine.build_optim import build_schedule
from timm.engine.build_start import start_model
from timm.engine.build_task import build_loss
from timm.engine.checkpoint import read_checkpoint
from timm.engine.combinations import check_training
from timm.engine.commands import launch
from timm.engine.exits import UsageError
from timm.engine.flags import build_options, in_vain
from timm.engine.options import BenchmarkOptions, ValidateOptions
from timm.engine.train_options import TrainOptions
from timm.loss import (
    AsymmetricLossMultiLabel,
    AsymmetricLossSingleLabel,
    BinaryCrossEntropy,
    DistributionBalancedLoss,
    JsdCrossEntropy,
    LabelSmoothingCrossEntropy,
    PolyCrossEntropy,
    SoftTargetCrossEntropy,
    TwoWayLoss,
    ZlprLoss,
)

MODEL = ['--model', 'test_resnet', '--num-classes', '2', '--img-size', '32']
SHARED = [*MODEL, '--device', 'cpu', '-j', '0', '-b', '4', '--lr', '1e-3', '--warmup-epochs', '0']


def told(**values) -> TrainOptions:
    return build_options(TrainOptions, values)


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('data')
    noise = np.random.default_rng(0)
    for split, count in (('train', 4), ('validation', 2)):
        for name in 'ab':
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = noise.integers(0, 256, (40, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f'{i}.png')
    return root


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr('timm.engine.report.can_draw', lambda: False)


def train(data: Path, folder: Path, *more: str, name: str = 'run') -> int:
    return launch('train', [str(data), *SHARED, '--output', str(folder), '--experiment', name, *more])


def rows_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / 'run' / 'summary.csv').read_text().splitlines()))


# The loss


@pytest.mark.parametrize(
    ('values', 'kind'),
    [
        ({}, LabelSmoothingCrossEntropy),
        ({'smoothing': 0.0}, nn.CrossEntropyLoss),
        ({'mixup': 0.1}, SoftTargetCrossEntropy),
        ({'bce_loss': True}, BinaryCrossEntropy),
        ({'loss': 'bce', 'bce_loss': True}, BinaryCrossEntropy),
        ({'jsd_loss': True, 'aug_splits': 3}, JsdCrossEntropy),
        ({'loss': 'poly'}, PolyCrossEntropy),
        ({'loss': 'asl'}, AsymmetricLossSingleLabel),
        ({'loss': 'asl', 'task': 'multilabel'}, AsymmetricLossMultiLabel),
        ({'task': 'multilabel'}, BinaryCrossEntropy),
        ({'loss': 'twoway', 'task': 'multilabel', 'smoothing': 0.0}, TwoWayLoss),
        ({'loss': 'zlpr', 'task': 'multilabel', 'smoothing': 0.0}, ZlprLoss),
    ],
)
def test_the_loss_is_the_one_asked_for(values, kind):
    assert type(build_loss(told(**values))) is kind


def test_options_of_a_loss_reach_it(tmp_path):
    stats = tmp_path / 'stats.json'
    stats.write_text(json.dumps({'pos_counts': [2, 8], 'num_samples': 10}))
    loss = build_loss(told(bce_loss=True, bce_sum=True, bce_target_thresh=0.3, smoothing=0.2, bce_pos_weight=3.0))
    assert (loss.sum_classes, loss.target_threshold, loss.smoothing) == (True, 0.3, 0.2)
    assert loss.pos_weight == 3
    loss = build_loss(told(loss='bce', loss_pos_weight='neg_pos', class_stats=str(stats), loss_weight_max=3.0))
    torch.testing.assert_close(loss.pos_weight, torch.tensor([3.0, 0.25]))  # 8 / 2 is more than 3
    loss = build_loss(told(loss='bce', loss_class_weight='1 2.5'))
    torch.testing.assert_close(loss.weight, torch.tensor([1.0, 2.5]))
    loss = build_loss(told(loss='poly', poly_epsilon=0.5))
    assert loss.epsilon == 0.5
    loss = build_loss(told(loss='db', task='multilabel', class_stats=str(stats)))
    assert type(loss) is DistributionBalancedLoss


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'loss': 'poly', 'bce_loss': True}, 'not bce and poly'),
        ({'loss': 'bce', 'bce_pos_weight': 2.0, 'loss_pos_weight': '2'}, 'give one of them'),
        ({'loss': 'bce', 'loss_pos_weight': 'inv_freq', 'class_stats': 'STATS'}, 'computes class_weight'),
        ({'loss': 'bce', 'loss_pos_weight': 'neg_pos'}, 'class_stats'),
        ({'loss': 'bce', 'class_stats': 'nowhere.json'}, 'nowhere.json'),
        ({'loss': 'db', 'task': 'multilabel'}, 'class_counts'),
    ],
)
def test_a_loss_that_cannot_be_built_says_why(tmp_path, values, message):
    stats = tmp_path / 'stats.json'
    stats.write_text(json.dumps({'pos_counts': [2, 8], 'num_samples': 10}))
    values = {name: str(stats) if value == 'STATS' else value for name, value in values.items()}
    with pytest.raises(UsageError, match=message):
        build_loss(told(**values))


# The model it starts from


def test_batch_norms_take_their_numbers():
    model, _ = start_model(told(model='test_resnet', bn_momentum=0.3, bn_eps=0.01, img_size=32))
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all((norm.momentum, norm.eps) == (0.3, 0.01) for norm in norms)
    with pytest.raises(UsageError, match='no batch norm'):
        start_model(told(model='test_vit', bn_eps=0.01))


def test_drop_connect_is_drop_path():
    rates = []
    for name in ('drop_connect', 'drop_path'):
        model, _ = start_model(told(**{'model': 'test_vit', name: 0.3}))
        rates.append([getattr(module, 'drop_prob', None) for module in model.modules()])
    assert rates[0] == rates[1]
    assert max(rate for rate in rates[0] if rate is not None) == pytest.approx(0.3)
    with pytest.raises(UsageError, match='older name'):
        check_training(told(drop_connect=0.1, drop_path=0.2))


def test_sizes_that_a_model_cannot_take_are_refused_at_the_start():
    values = {'model': 'vit_tiny_patch16_224', 'img_size': 32, 'train_img_sizes': [32, 48]}
    with pytest.raises(UsageError, match='takes no images of 48x48'):
        start_model(told(**values, model_kwargs={'depth': 1}))
    flexible = told(**values, model_kwargs={'depth': 1, 'dynamic_img_size': True})
    assert start_model(flexible)[1]['input_size'] == (3, 32, 32)


def test_grey_images_have_one_mean():
    _, preprocessing = start_model(told(model='test_resnet', in_chans=1, img_size=32))
    assert preprocessing['input_size'] == (1, 32, 32)
    assert [len(preprocessing[name]) for name in ('mean', 'std')] == [1, 1]


# Batches and schedules


@pytest.mark.parametrize(('scale', 'weight'), [('none', None), ('sqrt', 0.5), ('linear', 0.25)])
def test_the_weight_of_a_batch_grows_with_its_size(scale, weight):
    shared = {'batch_size': 128, 'train_img_sizes': [32, 64]}
    weigh = weight_of_batch(told(**shared, variable_batch_loss_scale=scale))
    assert (weigh if weight is None else weigh(32)) == weight
    assert weight_of_batch(told(batch_size=128, variable_batch_loss_scale=scale)) is None
    weigh = weight_of_batch(told(batch_size=128, naflex_loader=True, naflex_loss_scale=scale))
    assert (weigh if weight is None else weigh(32)) == weight


def test_the_options_of_wsd_reach_the_schedule():
    values = {'sched': 'wsd', 'epochs': 10, 'warmup_epochs': 0, 'decay_epochs': 4, 'lr': 1.0}
    finals = []
    for shape in ('linear', '1-sqrt'):
        optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
        schedule, num_epochs = build_schedule(told(**values, lr_decay_fn=shape), optimizer, 5, decreasing=False)
        schedule.step(8)
        assert num_epochs == 10
        finals.append(optimizer.param_groups[0]['lr'])
    assert finals == pytest.approx([0.5, 1 - 0.5**0.5])


# Seen from outside


def test_a_run_ends_early_and_keeps_milestones(data, tmp_path):
    assert (
        train(data, tmp_path, '--epochs', '9', '--stop-epoch', '3', '--save-epochs', '2', '--checkpoint-hist', '1') == 0
    )
    rows = rows_of(tmp_path)
    assert [row['epoch'] for row in rows] == ['0', '1', '2']
    assert float(rows[2]['lr']) > 0.8e-3  # of a cosine over nine epochs
    state = read_checkpoint(tmp_path / 'run' / 'milestone-2.pth.tar')
    assert state['epoch'] == 1


def test_a_milestone_is_kept_where_nothing_is_evaluated_otherwise(data, tmp_path):
    assert train(data, tmp_path, '--epochs', '4', '--val-interval', '4', '--save-epochs', '1') == 0
    assert [row['epoch'] for row in rows_of(tmp_path)] == ['0', '3']
    assert (tmp_path / 'run' / 'milestone-1.pth.tar').exists()


def test_pictures_of_batches_are_written_at_lines_of_the_log(data, tmp_path):
    assert train(data, tmp_path, '--epochs', '1', '--save-images', '--log-interval', '2') == 0
    pictures = sorted((tmp_path / 'run').glob('train-batch-*.jpg'))
    assert [path.name for path in pictures] == ['train-batch-0.jpg']
    with Image.open(pictures[0]) as picture:
        assert picture.size == (4 * 32, 32)


def test_an_epoch_of_given_length(data, tmp_path):
    assert train(data, tmp_path, '--epochs', '2', '--train-steps-per-epoch', '5') == 0
    assert read_checkpoint(tmp_path / 'run' / 'last.pth.tar')['engine']['update'] == 10


def test_several_labels_have_figures_of_their_own(data, tmp_path, capsys):
    assert train(data, tmp_path, '--epochs', '1', '--task', 'multilabel') == 0
    (row,) = rows_of(tmp_path)
    figures = ['loss', 'map', 'micro_f1', 'macro_f1', 'sample_f1']
    assert list(row) == ['epoch', 'train_loss', *(f'eval_{name}' for name in figures), 'lr']
    path = tmp_path / 'run' / 'last.pth.tar'
    assert read_checkpoint(path)['metric'] == float(row['eval_map'])  # it ranks, where nothing else is asked for
    capsys.readouterr()
    options = [*SHARED[:-4], '--checkpoint', str(path), '--task', 'multilabel']
    assert launch('validate', [str(data), *options]) == 0
    result = json.loads(capsys.readouterr().out.rpartition('--result\n')[2])
    assert list(result)[:5] == ['model', 'map', 'micro_f1', 'macro_f1', 'sample_f1']
    assert result['map'] == pytest.approx(float(row['eval_map']), abs=1e-3)


def test_the_same_options_from_their_file_make_the_same_run(data, tmp_path):
    options = [
        '--epochs',
        '2',
        '--aa',
        'rand-m9',
        '--mixup',
        '0.2',
        '--drop',
        '0.1',
        '--model-ema',
        '--wandb-tags',
        'a',
    ]
    assert train(data, tmp_path, *options, name='first') == 0
    again = ['-c', str(tmp_path / 'first' / 'args.yaml'), '--experiment', 'second']
    assert launch('train', again) == 0
    first, second = (read_checkpoint(tmp_path / name / 'last.pth.tar') for name in ('first', 'second'))
    for name in ('state_dict', 'state_dict_ema'):
        assert all(torch.equal(value, second[name][key]) for key, value in first[name].items())


@pytest.mark.parametrize(
    ('more', 'code', 'message'),
    [
        (['--kd-distill-type', 'feature'], 0, ''),
        (['--mean', '0.1', '0.2', '0.3', '--task-loss-weight', '0.3'], 0, ''),
        (['--kd-distill-type', 'feature', '--kd-teacher-feature-dim', '9'], 2, 'features, not 9'),
        (['--kd-distill-type', 'token'], 2, 'set_distilled_training'),
        (['--kd-loss-type', 'mse'], 2, "not 'mse'"),
    ],
)
def test_a_teacher_teaches_or_is_refused(data, tmp_path, capsys, more, code, message):
    weights = tmp_path / 'teacher.pth'
    torch.save(timm.create_model('test_resnet', num_classes=2).state_dict(), weights)
    teacher = ['--kd-model-name', 'test_resnet', '--kd-pretrained-path', str(weights)]
    assert train(data, tmp_path, '--epochs', '1', *teacher, *more) == code
    assert message in capsys.readouterr().err
    if not code:
        state = read_checkpoint(tmp_path / 'run' / 'last.pth.tar')
        assert state['state_dict'].keys() == timm.create_model('test_resnet', num_classes=2).state_dict().keys()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ('--aug-splits 1', '--aug-splits 1 is no split'),
        ('--tta 3', 'one of 1, 2, 5, 10'),
        ('--epoch-repeats 1.5', 'no number of whole passes'),
        ('--train-batch-sizes 4 8', 'goes with --train-img-sizes'),
        ('--train-img-sizes 32 --train-size-schedule progressive', 'two or more'),
        ('--train-img-sizes 32 48 --train-batch-sizes 4', 'for 2 input_size_choices'),
        ('--train-img-sizes 32 48 --reduced-decode', '--reduced-decode needs one size'),
        ('--split-bn --resplit -b 3', 'has to be even, not 3'),
        ('--sync-bn --split-bn --aug-splits 2', 'exclude each other'),
        ('--torchcompile eager --grad-checkpointing', 'aot_eager'),
        ('--device-modules json nosuchmodule', 'nosuchmodule'),
        ('--task multilabel --eval-metric top5', 'none of loss, map'),
        ('--log-wandb', 'timm[loggers]'),
        ('--kd-model-name test_resnett', 'Did you mean test_resnet'),
        ('--sched wsd', 'decay_epochs=90 does not fit'),
        ('--stop-epoch 3', '--stop-epoch 3 comes after the last of the 2 epochs'),
        ('--target-key label', '--target-key names a field of hfds/'),
        ('--num-classes 0', 'no classifier to train'),
        ('--opt bnbadam', 'pip install bitsandbytes'),
        ('--std 0.2 0 0.2', 'std'),
        ('--ratio 0 1', 'ratio'),
        ('--cutmix-minmax 0.9 0.1', 'cannot mix samples like this: cutmix_minmax'),
        ('--cutmix-minmax 0.1', 'cannot mix samples like this: cutmix_minmax'),
        ('--torchcompile nosuch', 'cannot compile the model like this'),
        ('--torchcompile --torchcompile-mode nosuch', 'cannot compile the model like this'),
        ('--fuser nosuch', "--fuser='nosuch' is not known"),
        ('--in-chans 7', 'images of mode L have 1 channels and the model takes 7'),
        ('--input-img-mode RGBA', 'give --in-chans 4'),
        ('--input-img-mode nosuch', 'no mode of PIL'),
        ('--interpolation nosuch', 'known are nearest'),
    ],
)
def test_what_cannot_be_meant_ends_before_training(data, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setitem(__import__('sys').modules, 'wandb', None)
    assert train(data, tmp_path, '--epochs', '2', *arguments.split()) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert message in line


def test_going_on_by_itself_needs_a_name_to_be_found_by(data, tmp_path, capsys):
    with pytest.raises(SystemExit, match='2'):
        launch('train', [str(data), '--output', str(tmp_path), '--resume', 'auto'])
    assert '--resume auto goes on in the folder of a run: name it with --experiment' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_options_that_an_optimizer_has_not_are_told(data, tmp_path, caplog):
    more = ['--opt', 'sgd', '--opt-eps', '1e-3', '--opt-betas', '0.9', '0.99']
    assert train(data, tmp_path, '--epochs', '1', *more) == 0
    told_of = [record.message for record in caplog.records if 'no effect' in record.message]
    assert told_of == [f'{name} has no effect: --opt sgd has none' for name in ('--opt-eps', '--opt-betas')]


def test_a_number_of_samples_without_effect_is_told(data, tmp_path, caplog):
    assert train(data, tmp_path, '--epochs', '1', '--train-num-samples', '3') == 0
    (told_of,) = [record.message for record in caplog.records if 'number of samples' in record.message]
    assert "split 'train' has an index" in told_of


def test_options_without_effect_say_so():
    assert in_vain(told(amp=True)) == []
    (line,) = in_vain(told(use_multi_epochs_loader=True))
    assert line.startswith('--use-multi-epochs-loader has no effect: ')
    assert len(in_vain(told(synchronize_step=True))) == 1
    lines = in_vain(build_options(ValidateOptions, {'num_gpu': 2, 'aot_autograd': True}))
    assert [line.split()[0] for line in lines] == ['--num-gpu', '--aot-autograd']
    assert '--torchcompile' in in_vain(build_options(BenchmarkOptions, {'aot_autograd': True}))[0]
