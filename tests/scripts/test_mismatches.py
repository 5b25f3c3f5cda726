"""Parts that do not belong together are refused before they are trained: optimizers, networks, classes."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import timm
from timm.engine.checkpoint import read_checkpoint
from timm.engine.commands import launch

SHARED = ['--img-size', '32', '--device', 'cpu', '-j', '0', '-b', '4']
TRAINING = ['--lr', '1e-3', '--warmup-epochs', '0', '--epochs', '1']


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr('timm.engine.report.can_draw', lambda: False)


def make_split(folder: Path, classes: str) -> None:
    noise = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(noise.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(folder / name / f'{i}.png')


def make_data(root: Path, train: str, validation: str) -> Path:
    make_split(root / 'train', train)
    make_split(root / 'validation', validation)
    return root


def as_tars(root: Path) -> Path:
    for split in ('train', 'validation'):
        with tarfile.open(root.with_name('tars') / f'{split}.tar', 'w') as tar:
            tar.add(root / split, arcname='.')
    return root.with_name('tars')


def train(data: Path, folder: Path, *more: str, num_classes: int = 2, model: str = 'test_resnet') -> int:
    told = ['--model', model, '--num-classes', str(num_classes), '--output', str(folder), *more]
    return launch('train', [str(data), *SHARED, *TRAINING, *told])


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> tuple[Path, str]:
    """Data, and the checkpoint of an epoch with SGD on them."""
    root = tmp_path_factory.mktemp('trained')
    data = make_data(root / 'data', 'ab', 'ab')
    assert train(data, root, '--experiment', 'run', '--opt', 'sgd') == 0
    return data, str(root / 'run' / 'last.pth.tar')


@pytest.mark.parametrize('optimizer', ['adamw', 'lion', 'lamb', 'lookahead_sgd'])
def test_the_state_of_another_optimizer_is_not_taken_up(trained, tmp_path, capsys, optimizer):
    data, checkpoint = trained
    more = ['--opt', optimizer, '--resume', checkpoint, '--epochs', '2']
    assert train(data, tmp_path, *more) == 7
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert f'the state of --opt sgd, and this run has --opt {optimizer}' in line
    assert '--no-resume-opt' in line
    assert train(data, tmp_path, *more, '--no-resume-opt', '--experiment', 'afresh') == 0


def test_options_of_a_run_outlive_an_attempt_to_go_on_with_others(trained, tmp_path):
    data, _ = trained
    assert train(data, tmp_path, '--opt', 'sgd', '--experiment', 'run') == 0
    before = (tmp_path / 'run' / 'args.yaml').read_text()
    assert train(data, tmp_path, '--opt', 'lion', '--experiment', 'run', '--resume', 'auto') == 7
    assert (tmp_path / 'run' / 'args.yaml').read_text() == before


def test_the_state_of_a_kindred_optimizer_is(trained, tmp_path):
    data, _ = trained
    assert train(data, tmp_path, '--opt', 'adam', '--experiment', 'first') == 0
    first = str(tmp_path / 'first' / 'last.pth.tar')
    more = ['--resume', first, '--experiment', 'second', '--epochs', '2']
    assert train(data, tmp_path, '--opt', 'adamw', *more) == 0
    slots = [read_checkpoint(tmp_path / name / 'last.pth.tar')['optimizer']['state'] for name in ('first', 'second')]
    assert [float(state[0]['step']) for state in slots] == [2, 4]


def test_a_checkpoint_of_another_network_says_of_which(trained, tmp_path, capsys):
    data, checkpoint = trained
    assert train(data, tmp_path, '--opt', 'sgd', '--resume', checkpoint, model='test_vit') == 7
    assert 'last.pth.tar of test_resnet does not fit this model' in capsys.readouterr().err


@pytest.mark.parametrize('in_tars', [False, True])
@pytest.mark.parametrize(
    ('classes', 'in_validation', 'num_classes', 'code', 'message'),
    [
        ('abc', 'abc', 2, 2, 'the dataset has 3 classes and the model 2'),
        ('abc', 'bc', 3, 4, "class 'b' is number 1 in training and 0 in evaluation (2 of 2 differ)"),
        ('ab', 'abc', 2, 2, 'the dataset has 3 classes and the model 2'),
        ('abc', 'ab', 3, 0, ''),
        ('ab', 'xy', 2, 0, ''),
    ],
)
def test_classes_of_both_splits_have_to_fit(
    tmp_path, capsys, in_tars, classes, in_validation, num_classes, code, message
):
    data = make_data(tmp_path / 'folders', classes, in_validation)
    (tmp_path / 'tars').mkdir()
    data = as_tars(data) if in_tars else data
    assert train(data, tmp_path, '--experiment', 'run', num_classes=num_classes) == code
    assert message in capsys.readouterr().err
    if not code:
        classes_of = read_checkpoint(tmp_path / 'run' / 'last.pth.tar')['engine']['data']['classes']
        assert classes_of == {name: number for number, name in enumerate(classes)}


def test_a_checkpoint_is_not_evaluated_on_classes_numbered_anew(tmp_path, capsys):
    data = make_data(tmp_path / 'data', 'abc', 'abc')
    assert train(data, tmp_path, '--experiment', 'run', num_classes=3) == 0
    told = ['--model', 'test_resnet', '--num-classes', '3', '--checkpoint', str(tmp_path / 'run' / 'last.pth.tar')]
    assert launch('validate', [str(data), *SHARED, *told]) == 0
    for name in ('validation', 'train'):
        (data / name / 'b').rename(data / name / 'x')
    assert launch('validate', [str(data), *SHARED, *told]) == 4
    assert "class 'c' is number 2 in training and 1 in evaluation" in capsys.readouterr().err


def test_a_model_of_fewer_classes_is_not_evaluated(tmp_path, capsys):
    data = make_data(tmp_path / 'data', 'abc', 'abc')
    torch.save(timm.create_model('test_resnet', num_classes=2).state_dict(), tmp_path / 'weights.pth')
    told = ['--model', 'test_resnet', '--num-classes', '2', '--checkpoint', str(tmp_path / 'weights.pth')]
    assert launch('validate', [str(data), *SHARED, *told]) == 2
    assert 'the dataset has 3 classes and the model 2' in capsys.readouterr().err
