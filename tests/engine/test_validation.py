"""Validation as a command: several models, smaller batches, views and tables, on a handful of images."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import timm
from timm.engine.build_model import build_model
from timm.engine.commands import launch
from timm.engine.evaluate import ClassScores

MODEL = ['--model', 'test_resnet', '--num-classes', '2', '--img-size', '32', '--device', 'cpu', '-j', '0', '-b', '4']


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Seven images in two classes, and two checkpoints."""
    root = tmp_path_factory.mktemp('data')
    noise = np.random.default_rng(0)
    for name, count in (('cat', 3), ('dog', 4)):
        (root / 'validation' / name).mkdir(parents=True)
        for i in range(count):
            pixels = noise.integers(0, 256, (40, 36, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / 'validation' / name / f'{i}.png')
    (root / 'weights').mkdir()
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.save(timm.create_model('test_resnet', num_classes=2).state_dict(), root / 'weights' / f'{seed}.pth')
    return root


def validate(data: Path, *more: str, checkpoint: str = '1.pth', code: int = 0) -> None:
    path = str(data / 'weights' / checkpoint)
    assert launch('validate', [str(data), *MODEL, '--checkpoint', path, *more]) == code


def result_of(capsys):
    return json.loads(capsys.readouterr().out.rpartition('--result\n')[2])


def test_tables_agree_with_the_row_of_results(data, tmp_path, capsys):
    names = ('confusion-matrix', 'per-class', 'calibration', 'worst')
    files = {name: tmp_path / f'{name}.json' for name in names}
    tables = [word for name in names for word in (f'--{name}', str(files[name]))]
    validate(data, *tables, '--num-worst', '5', '--calibration-bins', '4')
    row = result_of(capsys)
    found = {name: json.loads(file.read_text()) for name, file in files.items()}
    matrix = found['confusion-matrix']
    assert [sum((line['cat'], line['dog'])) for line in matrix] == [3, 4]
    hits = matrix[0]['cat'] + matrix[1]['dog']
    assert row['top1'] == pytest.approx(100 * hits / 7, abs=1e-3)
    assert [line['images'] for line in found['per-class']] == [3, 4]
    assert sum(line['images'] * line['accuracy'] for line in found['calibration']) == pytest.approx(
        100 * hits, abs=0.01
    )
    assert 0 <= row['ece'] <= 100
    losses = [line['loss'] for line in found['worst']]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 5
    assert all(
        Path(line['file']).is_file() and Path(line['file']).parent.name == line['class'] for line in found['worst']
    )


def test_the_row_has_no_further_columns_unless_asked_for(data, capsys):
    validate(data)
    published = [
        'model',
        'top1',
        'top1_err',
        'top5',
        'top5_err',
        'param_count',
        'img_size',
        'crop_pct',
        'interpolation',
    ]
    assert list(result_of(capsys)) == published


def test_views_of_an_image_are_averaged(data, tmp_path):
    """Mirrors and enlarged corners of flat images are the images themselves."""
    flat = tmp_path / 'validation'
    for value, name in ((30, 'cat'), (220, 'dog')):
        (flat / name).mkdir(parents=True)
        Image.new('RGB', (40, 40), (value, 80, 250 - value)).save(flat / name / '0.png')
    losses = []
    for count in ('0', '2', '10'):
        worst = tmp_path / f'{count}.json'
        options = ['--checkpoint', str(data / 'weights' / '1.pth'), '--worst', str(worst), '--tta', count]
        assert launch('validate', [str(tmp_path), *MODEL, *options]) == 0
        losses.append({line['file']: line['loss'] for line in json.loads(worst.read_text())})
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0] == pytest.approx(losses[2], abs=1e-4)


def test_a_folder_of_checkpoints_gives_rows_the_best_first(data, tmp_path, capsys):
    table = tmp_path / 'rows.csv'
    validate(data, '--results-file', str(table), checkpoint='')
    rows = result_of(capsys)
    assert sorted(Path(row['checkpoint']).name for row in rows) == ['1.pth', '2.pth']
    assert rows[0]['top1'] >= rows[1]['top1']
    written = list(csv.DictReader(table.read_text().splitlines()))
    assert [row['checkpoint'] for row in written] == [row['checkpoint'] for row in rows]


def test_a_list_of_models_leaves_out_what_cannot_be_built(data, tmp_path, capsys, monkeypatch):
    listed = tmp_path / 'models.txt'
    listed.write_text('model,top1\ntest_resnet,70\n# no\nno_such_model\ntest_vit\n')
    monkeypatch.setattr('timm.engine.assessment.build_model', without_weights)
    assert launch('validate', [str(data), *MODEL[2:], '--model', str(listed)]) == 0
    shown = capsys.readouterr()
    rows = json.loads(shown.out.rpartition('--result\n')[2])
    assert sorted(row['model'] for row in rows) == ['test_resnet', 'test_vit']
    assert 'no_such_model left out' in shown.err


@pytest.mark.parametrize(
    ('name', 'expected'), [('test_re*', ['test_resnet.r160_in1k']), ('all', ['test_vit.a', 'test_resnet.b'])]
)
def test_wildcards_and_all_take_models_that_have_weights(data, capsys, monkeypatch, name, expected):
    asked = []

    def list_models(pattern: str = '', *, pretrained: bool, exclude_filters: object = ()) -> list[str]:
        asked.append((pattern, pretrained, bool(exclude_filters)))
        return [each.partition('.')[0] for each in expected]

    monkeypatch.setattr('timm.list_models', list_models)
    monkeypatch.setattr('timm.engine.assessment.build_model', without_weights)
    assert launch('validate', [str(data), *MODEL[2:], '--model', name]) == 0
    assert asked == [('', True, True) if name == 'all' else (name, True, False)]
    assert len(result_of(capsys)) == len(expected)


def without_weights(options, device, seed, **more):
    """`build_model` that asks no server for weights."""
    return build_model(replace(options, pretrained=False), device, seed, **more)


@pytest.mark.parametrize('retry', [True, False])
def test_a_batch_that_does_not_fit_is_made_smaller_on_request(data, capsys, monkeypatch, retry):
    tried = []

    def validate_model(options):
        tried.append(options.batch.batch_size)
        if options.batch.batch_size > 100:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')
        return {'model': 'm', 'top1': 1.0}

    monkeypatch.setattr('timm.engine.validation.validate_model', validate_model)
    code = launch('validate', [str(data), '-b', '256', *(['--retry'] if retry else [])])
    assert (code, tried[0]) == (0 if retry else 1, 256)
    assert len(tried) > 1 if retry else len(tried) == 1
    if retry:
        assert tried[-1] <= 100
        assert tried == sorted(tried, reverse=True)
        assert result_of(capsys)['top1'] == 1


def test_a_model_that_fails_is_a_row_with_its_error(data, tmp_path, capsys, monkeypatch):
    def validate_model(options):
        raise RuntimeError(f'broken {options.model.model}')

    monkeypatch.setattr('timm.engine.validation.validate_model', validate_model)
    assert launch('validate', [str(data), '--model', 'm', '--retry', '--results-file', str(tmp_path / 'r.csv')]) == 1
    assert result_of(capsys) == {'model': 'm', 'error': 'broken m'}


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--worst', 'images.txt'], '.csv, .json or .html'),
        (['--tta', '4'], 'one of 1, 2, 5, 10'),
        (['--task', 'multilabel', '--per-class', 'c.csv'], '--task multilabel'),
        (['--task', 'multilabel', '--metrics-avg', 'macro'], '--task multilabel'),
        (['--naflex-loader', '--tta', '2'], '--naflex-loader'),
        (['--naflex-loader'], 'does not take'),
    ],
)
def test_what_cannot_be_meant_is_refused(data, capsys, more, message):
    validate(data, *more, code=2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert message in line


def test_older_flags_are_taken_and_said_to_be_without_effect(data, capsys):
    validate(data, '--num-gpu', '2', '--aot-autograd', '--fuser', 'te')
    shown = capsys.readouterr().err
    assert '--num-gpu has no effect' in shown
    assert '--aot-autograd has no effect' in shown


@pytest.mark.parametrize(
    ('average', 'expected'),
    [
        ('micro', (60.0, 60.0, 60.0)),
        ('macro', (50.0, 37.5, 100 * (2 / 3 + 1) / 4)),
        ('weighted', (80.0, 60.0, 100 * (2 * 2 / 3 + 2) / 5)),
    ],
)
def test_averages_over_classes_do_not_depend_on_the_batches(average, expected):
    target, predicted = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([0, 3, 3, 2, 2])
    scores = ClassScores(average)
    for i in range(5):
        scores.update(torch.nn.functional.one_hot(predicted[i : i + 1], 5).float(), target[i : i + 1])
    assert tuple(scores.compute().values()) == pytest.approx(expected)
