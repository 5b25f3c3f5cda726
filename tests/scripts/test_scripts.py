"""The four scripts and the console command, run as a user runs them, on a small folder of images."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

import timm
from timm.data import ImageNetInfo
from timm.engine.checkpoint import newest_sound, read_checkpoint
from timm.engine.commands import launch

ROOT = Path(__file__).parents[2]
MODEL = ['--model', 'test_vit', '--num-classes', '2', '--img-size', '32', '--device', 'cpu', '-j', '0', '-b', '4']


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Red and blue images, eight to train on and four to validate with, in two folders each."""
    root = tmp_path_factory.mktemp('data')
    random = np.random.default_rng(0)
    for split, count in (('train', 8), ('validation', 4)):
        for channel, name in ((0, 'blue'), (2, 'red')):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count // 2):
                pixels = random.integers(0, 100, (40, 40, 3), dtype=np.uint8)
                pixels[..., 2 - channel] += 150
                Image.fromarray(pixels).save(folder / f'{name}{i}.png')
    return root


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory) -> Path:
    """The folder of a finished run."""
    output = tmp_path_factory.mktemp('output')
    options = [
        '--epochs',
        '2',
        '--warmup-epochs',
        '0',
        '--opt',
        'adamw',
        '--lr',
        '1e-3',
        '--model-ema',
        '--experiment',
        'run',
    ]
    assert launch('train', [str(data), *MODEL, *options, '--output', str(output)]) == 0
    return output / 'run'


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    return subprocess.run([sys.executable, *command], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text().splitlines()))


def result_of(output: str):
    return json.loads(output.rpartition('--result\n')[2])


def test_train_script_from_the_command_line(data, tmp_path):
    done = run(str(ROOT / 'train.py'), str(data), *MODEL, '--epochs', '1', '--lr', '0.01', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row['epoch'] for row in result_of(done.stdout)] == [0]
    (folder,) = (tmp_path / 'output' / 'train').iterdir()
    assert folder.name.endswith('-test_vit-32')
    assert 'train 0: 2 of 2' in done.stderr


def test_what_training_leaves(trained):
    names = {path.name for path in trained.iterdir()}
    checkpoints = {'last.pth.tar', 'model_best.pth.tar', 'checkpoint-0.pth.tar', 'checkpoint-1.pth.tar'}
    assert checkpoints | {'args.yaml', 'summary.csv', 'summary.jsonl'} <= names
    told = yaml.safe_load((trained / 'args.yaml').read_text())
    assert (told['lr'], told['model'], told['drop_path'], told['model_kwargs']) == (1e-3, 'test_vit', None, {})
    state = read_checkpoint(trained / 'last.pth.tar')
    assert (state['epoch'], state['arch'], state['args'].img_size) == (1, 'test_vit', 32)
    assert 'state_dict_ema' in state


def test_training_goes_on_where_it_stopped(data, trained, tmp_path):
    output = ['--output', str(tmp_path), '--experiment', 'more']
    options = [str(data), *MODEL, '-c', str(trained / 'args.yaml'), '--epochs', '3', *output]
    assert launch('train', [*options, '--resume', str(trained / 'last.pth.tar')]) == 0
    rows = rows_of(tmp_path / 'more' / 'summary.csv')
    assert [row['epoch'] for row in rows] == ['2']
    assert launch('train', [*options, '--resume', 'auto']) == 0  # nothing is left to do


def test_a_stopped_training_has_saved_and_goes_on(data, tmp_path):
    options = ['--epochs', '500', '--output', str(tmp_path), '--experiment', 'run', '--checkpoint-hist', '1', '-j', '1']
    command = [sys.executable, str(ROOT / 'train.py'), str(data), *MODEL, *options]
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith('train 1'):
                break
        second = launch('train', [str(data), *MODEL, *options])
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(timeout=30) == 75, rest
    assert second == 6  # the folder is in use
    assert 'stopped on SIGTERM' in rest
    found = newest_sound(tmp_path / 'run')
    assert found is not None
    assert found[1]['engine']['epoch'] >= 1


def test_validate_writes_the_published_columns(data, trained, tmp_path, capsys):
    best, table = str(trained / 'model_best.pth.tar'), tmp_path / 'v.csv'
    options = ['--checkpoint', best, '--use-ema', '--results-file', str(table), '--metrics-avg', 'macro']
    assert launch('validate', [str(data), *MODEL, *options]) == 0
    result = result_of(capsys.readouterr().out)
    scores = ['top1', 'top1_err', 'top5', 'top5_err', 'macro_precision', 'macro_recall', 'macro_f1_score']
    assert list(result) == ['model', *scores, 'param_count', 'img_size', 'crop_pct', 'interpolation']
    assert result['top1'] + result['top1_err'] == 100
    (row,) = rows_of(table)
    assert list(row) == list(result)


def test_validate_a_folder_of_checkpoints(data, trained, capsys):
    assert launch('validate', [str(data), *MODEL, '--checkpoint', str(trained)]) == 0
    rows = result_of(capsys.readouterr().out)
    assert len(rows) == 4
    assert list(rows[0])[-1] == 'checkpoint'
    assert [row['top1'] for row in rows] == sorted((row['top1'] for row in rows), reverse=True)


def test_inference_writes_tables(data, trained, tmp_path, capsys):
    options = ['--checkpoint', str(trained / 'last.pth.tar'), '--results-dir', str(tmp_path), '--topk', '2']
    formats = ['--results-format', 'csv', 'json', '--include-index', '--results-separate-col']
    assert launch('predict', [str(data), *MODEL, *options, *formats]) == 0
    shown = result_of(capsys.readouterr().out)
    assert shown == json.loads((tmp_path / 'test_vit-32.json').read_text())
    assert list(shown) == ['blue0.png', 'blue1.png', 'red0.png', 'red1.png']
    rows = rows_of(tmp_path / 'test_vit-32.csv')
    assert list(rows[0]) == ['filename', 'index_0', 'index_1', 'label_0', 'label_1', 'prob_0', 'prob_1']
    names = {'0': 'blue', '1': 'red'}  # which the checkpoint tells
    assert all(row[f'label_{rank}'] == names[row[f'index_{rank}']] for row in rows for rank in (0, 1))
    assert all(float(row['prob_0']) + float(row['prob_1']) == pytest.approx(1, abs=1e-6) for row in rows)


def test_inference_names_classes_and_lists_logits(data, trained, tmp_path, capsys):
    names = tmp_path / 'classes.txt'
    names.write_text('blue\nred\n')
    options = ['--checkpoint', str(trained / 'last.pth.tar'), '--results-file', str(tmp_path / 'out.json')]
    more = ['--results-format', 'json-split', '--class-map', str(names), '--output-type', 'logit']
    assert launch('predict', [str(data), *MODEL, *options, *more, '--no-console-results', '--fullname']) == 0
    assert capsys.readouterr().out == ''
    table = json.loads((tmp_path / 'out.json').read_text())
    assert table['columns'] == ['filename', 'label', 'logit']
    assert [row[0] for row in table['data']][:2] == ['blue/blue0.png', 'blue/blue1.png']
    assert {row[1] for row in table['data']} <= {'blue', 'red'}


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_inference_from_weights_alone_knows_no_names(data, trained, tmp_path, suffix):
    state, weights = read_checkpoint(trained / 'last.pth.tar')['state_dict'], tmp_path / f'w{suffix}'
    (save_file if suffix == '.safetensors' else torch.save)(state, weights)
    options = ['--checkpoint', str(weights), '--results-file', str(tmp_path / 'out.csv'), '--no-console-results']
    assert launch('predict', [str(data), *MODEL, *options, '--include-index']) == 0
    assert list(rows_of(tmp_path / 'out.csv')[0]) == ['filename', 'index', 'prob']


def test_inference_names_the_classes_of_imagenet(data, tmp_path):
    weights = tmp_path / 'w.pth'
    torch.save(timm.create_model('test_vit').state_dict(), weights)
    options = ['--model', 'test_vit', '--device', 'cpu', '-j', '0', '-b', '4', '--no-console-results']
    more = ['--checkpoint', str(weights), '--results-dir', str(tmp_path), '--results-file', 'named']
    assert launch('predict', [str(data), *options, *more]) == 0
    rows = rows_of(tmp_path / 'named.csv')
    assert list(rows[0]) == ['filename', 'label', 'prob']
    names = set(ImageNetInfo().label_descriptions())
    assert {row['label'] for row in rows} <= names


def test_validate_by_other_labels_and_chosen_classes(data, tmp_path, capsys):
    folder = tmp_path / 'validation' / 'all'
    folder.mkdir(parents=True)
    files = sorted((data / 'validation').rglob('*.png'))
    for i, file in enumerate(files):
        shutil.copy(file, folder / f'ILSVRC2012_val_{i + 1:08}.png')
    weights, labels, chosen = tmp_path / 'w.pth', tmp_path / 'real.json', tmp_path / 'chosen.txt'
    torch.save(timm.create_model('test_vit').state_dict(), weights)
    labels.write_text(json.dumps([list(range(1000)), [-1], [], list(range(1000))]))
    chosen.write_text('0 3 7 11 13')
    options = ['--model', 'test_vit', '--device', 'cpu', '-j', '0', '-b', '4']
    command = [str(tmp_path), *options, '--checkpoint', str(weights)]
    assert launch('validate', [*command, '--real-labels', str(labels)]) == 0
    result = result_of(capsys.readouterr().out)
    assert (result['top1'], result['top5']) == pytest.approx((200 / 3, 200 / 3), abs=1e-4)
    assert launch('validate', [*command, '--valid-labels', str(chosen)]) == 0
    assert result_of(capsys.readouterr().out)['top5'] == 100
    assert launch('validate', [*command, '--valid-labels', str(chosen), '--real-labels', str(labels)]) == 2


def test_benchmark_gives_the_published_columns(tmp_path, capsys):
    table = tmp_path / 'b.csv'
    options = [
        '--model',
        'test_vit',
        '--device',
        'cpu',
        '-b',
        '2',
        '--img-size',
        '32',
        '--num-warm-iter',
        '1',
        '--num-bench-iter',
        '2',
        '--detail',
    ]
    assert launch('benchmark', [*options, '--results-file', str(table)]) == 0
    result = result_of(capsys.readouterr().out)
    infer = ['samples_per_sec', 'step_time', 'batch_size', 'img_size', 'gmacs', 'macts']
    steps = ['samples_per_sec', 'step_time', 'fwd_time', 'bwd_time', 'opt_time', 'batch_size', 'img_size']
    expected = ['model', *(f'infer_{n}' for n in infer), *(f'train_{n}' for n in steps), 'param_count']
    assert list(result) == expected
    (row,) = rows_of(table)
    assert list(row) == expected


def test_benchmark_names_the_nearest_optimizers(capsys):
    told = ['--model', 'test_resnet', '--device', 'cpu', '--bench', 'train', '-b', '2', '--opt', 'adamww']
    assert launch('benchmark', told) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert 'The nearest are: adamw' in line


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--num-classes', '0'], 'no classifier to evaluate'),
        (['--torchcompile', 'nosuch'], 'cannot compile the model like this'),
        (['--crop-mode', 'nosuch'], "got 'nosuch'"),
        (['--interpolation', 'nosuch'], 'known are nearest'),
        (['--std', '0', '1', '1'], 'sets std to'),
    ],
)
def test_an_evaluation_that_cannot_be_meant_ends_in_one_line(data, tmp_path, capsys, more, message):
    torch.save(timm.create_model('test_vit', num_classes=2).state_dict(), tmp_path / 'w.pth')
    assert launch('validate', [str(data), *MODEL, '--checkpoint', str(tmp_path / 'w.pth'), *more]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert message in line


def test_benchmark_shrinks_a_batch_that_does_not_fit(monkeypatch, capsys):
    tried = []

    def work(options, batch_size):
        tried.append(batch_size)
        if batch_size > 100:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')
        return {'batch_size': batch_size, 'param_count': 1.0}

    monkeypatch.setattr('timm.engine.benchmark.time_inference', work)
    assert launch('benchmark', ['--bench', 'inference', '-b', '256']) == 0
    assert tried[0] == 256
    assert tried == sorted(tried, reverse=True)
    assert result_of(capsys.readouterr().out)['infer_batch_size'] == tried[-1] <= 100


@pytest.mark.parametrize(
    ('arguments', 'code', 'message'),
    [
        (['DATA/nowhere'], 4, 'there is no folder'),
        ([], 2, '--data-dir'),
        (['DATA/train/red'], 4, 'the only class is'),
        (['DATA', '--model', 'test_vitt'], 2, 'did you mean test_vit'),
        (['DATA', '-b', '9'], 4, '--batch-size'),
        (['DATA', '--num-classes', '1'], 2, '--num-classes'),
        (['DATA', '--opt', 'adamww'], 2, 'adamw'),
        (['DATA', '--sched', 'cosin'], 2, 'cosin'),
        (['DATA', '--device', 'cdua'], 2, 'did you mean cuda'),
        (['DATA', '--eval-metric', 'top2'], 2, 'top2'),
        (['DATA', '--resume', 'DATA/x.pth'], 2, 'there is no checkpoint'),
        (['DATA', '--initial-checkpoint', 'DATA/x.pth'], 2, 'there is no checkpoint'),
        (['DATA', '--mixup', '0.1', '-b', '3'], 2, 'has to be even'),
        (['DATA', '--amp', '--model-dtype', 'float16'], 2, 'exclude each other'),
        (['DATA', '--model-kwargs', 'depht=3'], 2, 'depht'),
        (['DATA', '--lr', '1e30', '--warmup-epochs', '0', '--epochs', '9'], 3, 'stopped before the weights'),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else None,
)
def test_mistakes_end_in_one_line_and_a_code(data, tmp_path, capsys, arguments, code, message):
    told = [argument.replace('DATA', str(data)) for argument in arguments]
    assert launch('train', [*MODEL, '--epochs', '1', '--output', str(tmp_path), *told]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert len(lines) == 1
    assert message in lines[0]
    assert not list(tmp_path.rglob('*.pth.tar'))


@pytest.mark.parametrize('workers', ['0', '1'])
def test_a_damaged_image_is_named_in_one_line(data, tmp_path, capsys, workers):
    folder = tmp_path / 'data'
    shutil.copytree(data, folder)
    (folder / 'validation' / 'red' / 'red1.png').write_bytes(b'no image')
    (folder / 'train' / 'red' / 'red2.png').write_bytes(b'no image')
    options = [str(folder), *MODEL, '-j', workers]
    assert launch('train', [*options, '--epochs', '1', '--output', str(tmp_path)]) == 4
    train_line = capsys.readouterr().err.splitlines()[-1]
    assert train_line.startswith('train.py: error: cannot read image')
    assert 'red2.png' in train_line
    torch.save(timm.create_model('test_vit', num_classes=2).state_dict(), tmp_path / 'w.pth')
    assert launch('validate', [*options, '--checkpoint', str(tmp_path / 'w.pth')]) == 4
    assert 'red1.png' in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize('workers', ['0', '1'])
def test_damaged_images_are_left_out_and_listed(data, tmp_path, capsys, workers):
    folder = tmp_path / 'data'
    shutil.copytree(data, folder)
    damaged = [folder / 'train' / 'red' / 'red2.png', folder / 'validation' / 'blue' / 'blue0.png']
    for path in damaged:
        path.write_bytes(b'no image')
    listed = tmp_path / 'bad.jsonl'
    options = [str(folder), *MODEL, '-j', workers]
    told = ['--epochs', '2', '--output', str(tmp_path), '--experiment', 'run', '--bad-images', str(listed)]
    assert launch('train', [*options, *told]) == 0
    lines = [json.loads(line) for line in listed.read_text().splitlines()]
    assert sorted(line['path'] for line in lines) == sorted(map(str, damaged))
    assert all('cannot' in line['cause'] or 'no image' in line['cause'] for line in lines)
    weights = ['--checkpoint', str(tmp_path / 'run' / 'last.pth.tar')]
    worst = ['--worst', str(tmp_path / 'worst.json'), '--bad-images', 'skip']
    capsys.readouterr()
    assert launch('validate', [*options, *weights, *worst]) == 0
    assert json.loads(capsys.readouterr().out.partition('--result\n')[2])['left_out'] == 1
    rows = json.loads((tmp_path / 'worst.json').read_text())
    names = sorted(Path(row['file']).name for row in rows)
    assert names == ['blue1.png', 'red0.png', 'red1.png']
    assert all(row['class'] == Path(row['file']).parent.name for row in rows)
    told = ['--data-dir', str(folder / 'validation'), '--results-dir', str(tmp_path), '--results-file', 'found']
    predict = ['--bad-images', 'skip', '--no-console-results', '--results-format', 'json', '--label-type', 'none']
    assert launch('predict', [*MODEL, '-j', workers, *weights, *told, *predict], program='inference.py') == 0
    assert sorted(json.loads((tmp_path / 'found.json').read_text())) == names


def test_an_unknown_policy_for_bad_images_is_refused(data, tmp_path, capsys):
    assert launch('train', [str(data), *MODEL, '--output', str(tmp_path), '--bad-images', 'skp']) == 2
    assert 'skip' in capsys.readouterr().err.splitlines()[-1]


def test_images_of_more_pixels_than_allowed_are_named(data, tmp_path, capsys):
    options = [*MODEL, '--epochs', '1', '--output', str(tmp_path)]
    assert launch('train', [str(data), *options, '--max-image-pixels', '1600']) == 0  # 40 x 40
    assert launch('train', [str(data), *options, '--max-image-pixels', '1599']) == 4
    line = capsys.readouterr().err.splitlines()[-1]
    assert '.png' in line
    assert '40 x 40 pixels' in line
    assert launch('train', ['--dataset', 'torch/fake_data', *options, '--max-image-pixels', '1599']) == 2
    assert 'torch/' in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize('script', ['train', 'validate', 'inference', 'benchmark'])
def test_scripts_are_short(script):
    assert len((ROOT / f'{script}.py').read_text().splitlines()) <= 40


def test_the_console_command(tmp_path):
    listed = run('-m', 'timm.cli', 'list', 'test_vi*', cwd=tmp_path)
    assert 'test_vit' in listed.stdout.split()
    info = run('-m', 'timm.cli', 'info', 'test_vit', cwd=tmp_path)
    assert json.loads(info.stdout)['config']['input_size'] == [3, 160, 160]
    assert run('-m', 'timm.cli', 'info', 'test_vitt', cwd=tmp_path).returncode == 2
    wrong = run('-m', 'timm.cli', 'trian', cwd=tmp_path)
    assert wrong.returncode == 2
    assert 'invalid choice' in wrong.stderr


@pytest.mark.parametrize('script', ['train', 'validate', 'inference', 'benchmark'])
def test_help_and_mistakes_need_no_torch(script, tmp_path):
    code = f"""
import runpy, sys
sys.argv = ['{script}.py', '--help']
try:
    runpy.run_path({str(ROOT / script) + '.py'!r}, run_name='__main__')
except SystemExit as stop:
    print(stop.code, 'torch' in sys.modules)
"""
    shown = run('-c', code, cwd=tmp_path).stdout
    assert shown.split()[-2:] == ['0', 'False']
    assert f'usage: {script}.py' in shown


def test_listing_models_needs_no_torch(tmp_path):
    code = "import sys; from timm.cli import main; main(['list', 'test_vit']); print('torch' in sys.modules)"
    assert run('-c', code, cwd=tmp_path).stdout.split()[-1] == 'False'
