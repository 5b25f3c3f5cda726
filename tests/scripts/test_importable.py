"""The scripts as modules: other code imports them, calls `main`, and puts a model of its own in the place of timm's."""

import csv
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

import timm

ROOT = Path(__file__).parents[2]


class MeanColour(nn.Module):
    """A linear classifier of the mean colour."""

    def __init__(self, num_classes):
        super().__init__()
        self.num_classes = num_classes
        self.pretrained_cfg = {'input_size': (3, 16, 16)}
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


@pytest.fixture
def script(monkeypatch):
    """Imports a script anew, as from its own folder."""
    monkeypatch.syspath_prepend(str(ROOT))

    def load(name):
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    yield load
    for name in ('train', 'validate', 'inference', 'benchmark'):
        sys.modules.pop(name, None)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    for split in ('train', 'validation'):
        for channel, name in enumerate(('red', 'green')):
            (root / split / name).mkdir(parents=True)
            for i in range(4):
                pixels = np.full((20, 20, 3), 40 + i, np.uint8)
                pixels[..., channel] = 200
                Image.fromarray(pixels).save(root / split / name / f'{name}{i}.png')
    return root


def common(data):
    return [*f'--data-dir {data} --num-classes 2 --device cpu -j 0 -b 2 --img-size 16'.split()]


def test_a_model_of_ones_own_is_trained_and_validated(script, data, tmp_path, monkeypatch):
    train, validate = script('train'), script('validate')
    for module in (train, validate):
        monkeypatch.setattr(module, 'create_model', lambda *_, **told: MeanColour(told['num_classes']))
    run = f'--epochs 8 --warmup-epochs 0 --lr 0.5 --no-aug --output {tmp_path} --experiment mine'.split()
    monkeypatch.setattr(sys, 'argv', ['train.py', *common(data), *run])
    train.main()
    rows = list(csv.DictReader((tmp_path / 'mine' / 'summary.csv').read_text().splitlines()))
    assert float(rows[-1]['eval_top1']) == 100
    checkpoint = str(tmp_path / 'mine' / 'last.pth.tar')
    found = validate.validate(validate.parser.parse_args([*common(data), '--checkpoint', checkpoint]))
    assert found['top1'] == 100
    assert found['param_count'] == 0.0  # millions, of eight


def test_predictions_as_parquet_go_to_a_new_folder(script, data, tmp_path, monkeypatch):
    pandas = pytest.importorskip('pandas')
    pytest.importorskip('pyarrow')
    inference = script('inference')
    monkeypatch.setattr(inference, 'create_model', lambda *_, **told: MeanColour(told['num_classes']))
    told = f'--results-dir {tmp_path}/new --results-file found --results-format parquet --label-type none --topk 1'
    monkeypatch.setattr(sys, 'argv', ['inference.py', *common(data), *told.split(), '--no-console-results'])
    inference.main()
    assert len(pandas.read_parquet(tmp_path / 'new' / 'found.parquet')) == 8


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ('--opt sdg', 'sdg'),
        ('--target-format multihot', '--task multilabel'),
        ('--task multilabel --loss twoway --smoothing 0.2', 'smoothing=0.2'),
        ('--task multilabel --loss-class-weight 1,2,3', 'has 3 entries but the model has 2 classes'),
        ('--bce-loss --loss asl', 'one loss'),
    ],
)
def test_mistakes_are_raised(script, data, tmp_path, monkeypatch, words, message):
    train = script('train')
    monkeypatch.setattr(train, 'create_model', lambda *_, **told: MeanColour(told['num_classes']))
    monkeypatch.setattr(sys, 'argv', ['train.py', *common(data), '--output', str(tmp_path), *words.split()])
    with pytest.raises(ValueError, match=message):
        train.main()


def test_options_are_read_without_running(script, tmp_path, monkeypatch, capsys):
    train = script('train')
    monkeypatch.setattr(sys, 'argv', ['train.py', '--task', 'multilabel', '--bce-loss', '--bce-pos-weight', '2'])
    args, text = train._parse_args()
    assert (args.loss, args.loss_pos_weight, args.lr_base) == ('bce', '2.0', 0.1)
    assert 'bce_loss: true' in text
    monkeypatch.setattr(sys, 'argv', ['train.py', '--jsd-loss'])
    with pytest.raises(SystemExit):
        train._parse_args()
    assert '--aug-splits' in capsys.readouterr().err
    (tmp_path / 'stats.json').write_text(json.dumps({'pos_counts': [1, 2], 'num_samples': 4}))
    words = f'--task multilabel --class-stats {tmp_path}/stats.json --loss-pos-weight inv_freq'.split()
    monkeypatch.setattr(sys, 'argv', ['train.py', *words])
    with pytest.raises(SystemExit):
        train._parse_args()


def test_the_usual_smoothing_is_left_out_where_a_loss_takes_none(script, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['train.py', '--task', 'multilabel', '--loss', 'zlpr'])
    assert script('train')._parse_args()[0].loss == 'zlpr'


def test_scripts_have_what_they_say_and_nothing_else(script):
    assert script('benchmark').create_model is timm.create_model
    assert script('inference').parser.parse_args(['--topk', '3']).topk == 3
    with pytest.raises(AttributeError, match='nonsense'):
        _ = script('validate').nonsense
