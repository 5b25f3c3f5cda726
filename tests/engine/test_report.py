"""What a run and a result table say."""

import json

import pytest
import torch

from timm.engine.evaluate import ClassScores
from timm.engine.report import EpochRow, Progressbar, Reporter, print_epochs
from timm.engine.tables import to_csv, write_rows


def row(epoch: int, top1: float = 0.0) -> EpochRow:
    return EpochRow(epoch, {'loss': 1.0}, {'loss': 2.0, 'top1': top1, 'top5': 9.0}, 0.1)


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr('timm.engine.report.can_draw', lambda: False)


def test_going_on_drops_later_rows_and_keeps_the_rest(tmp_path, no_pictures):
    first = Reporter(tmp_path)
    for epoch in range(4):
        first.epoch(row(epoch))
    second = Reporter(tmp_path)
    second.resume(2)
    second.epoch(row(2, top1=50.0))
    epochs = [json.loads(line)['epoch'] for line in (tmp_path / 'summary.jsonl').read_text().splitlines()]
    assert epochs == [0, 1, 2]
    lines = (tmp_path / 'summary.csv').read_text().splitlines()
    assert [line.split(',')[0] for line in lines] == ['epoch', '0', '1', '2']


def test_curves_are_drawn(tmp_path):
    pytest.importorskip('matplotlib')
    reporter, picture = Reporter(tmp_path), tmp_path / 'curves.png'
    reporter.epoch(row(0))
    assert not picture.exists()  # a curve takes two points
    reporter.epoch(row(1, 50.0))
    first = picture.read_bytes()
    assert first.startswith(b'\x89PNG')
    reporter.epoch(row(2, 20.0))
    assert picture.read_bytes() != first


def test_a_run_does_without_matplotlib_and_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr('timm.engine.curves.find_spec', lambda _: None)
    with caplog.at_level('INFO'):
        reporter = Reporter(tmp_path)
    for epoch in range(2):
        reporter.epoch(row(epoch))
    assert 'matplotlib is not installed' in caplog.text
    assert (tmp_path / 'summary.csv').exists()
    assert not (tmp_path / 'curves.png').exists()


def test_the_ten_best_epochs_are_printed_the_best_last(capsys):
    print_epochs([row(epoch, top1=float(epoch * 7 % 13)) for epoch in range(13)], 'top1')
    marker, _, text = capsys.readouterr().out.partition('\n')
    assert marker == '--result'
    results = json.loads(text)
    scores = [result['validation']['top1'] for result in results]
    assert scores == [float(score) for score in range(3, 13)]
    assert results[0].keys() == {'epoch', 'train', 'validation'}


def test_plain_lines_off_a_terminal(caplog):
    with caplog.at_level('INFO'):
        progress = Progressbar('train 0', total=5, interval=2)
        for _ in range(5):
            progress.step(8, {'loss': 0.5})
    shown = [record.getMessage().split(' of')[0] for record in caplog.records]
    assert shown == ['train 0: 1', 'train 0: 2', 'train 0: 4', 'train 0: 5']


def test_tables_hold_the_columns_of_all_rows(tmp_path):
    rows = [{'model': 'a', 'top1': 1.5}, {'model': 'b', 'error': 'x, y'}]
    assert to_csv(rows) == 'model,top1,error\na,1.5,\nb,,"x, y"\n'
    write_rows(tmp_path / 'folder' / 'r.json', rows, 'json')
    assert json.loads((tmp_path / 'folder' / 'r.json').read_text()) == rows


@pytest.mark.parametrize(
    ('average', 'expected'),
    [
        ('micro', (60.0, 60.0, 60.0)),
        ('macro', (50.0, 37.5, 100 * (2 / 3 + 1) / 4)),
        ('weighted', (80.0, 60.0, 100 * (2 * 2 / 3 + 2) / 5)),
    ],
)
def test_precision_recall_and_f1(average, expected):
    # Class 0: one of two is found. Class 1: never. Class 2: always. Class 3 is guessed twice and never right.
    target, predicted = torch.tensor([0, 0, 1, 2, 2]), torch.tensor([0, 3, 3, 2, 2])
    scores = ClassScores(average)
    scores.update(torch.nn.functional.one_hot(predicted, 5).float(), target)
    figures = scores.compute()
    assert tuple(figures) == (f'{average}_precision', f'{average}_recall', f'{average}_f1_score')
    assert tuple(figures.values()) == pytest.approx(expected)
