"""What validation finds out beyond accuracy, from numbers that can be checked by hand."""

import json

import pytest
import torch

from timm.data.image_grid import save_image_grid
from timm.engine.details import Predictions, calibration, confusions, expected_calibration_error, per_class, worst
from timm.engine.exits import UsageError
from timm.engine.tables import write_table
from timm.engine.views import NUM_VIEWS, views


def kept(probabilities: list[list[float]], labels: list[int]) -> Predictions:
    """Predictions of these probabilities, in batches of two."""
    predictions = Predictions()
    logits, target = torch.tensor(probabilities).log(), torch.tensor(labels)
    for i in range(0, len(labels), 2):
        predictions.update(logits[i : i + 2], target[i : i + 2])
    return predictions


@pytest.fixture
def outcome():
    """Guesses 0, 0, 1, 1, 2 of images 0, 1, 1, 1, 0; class 3 never comes up."""
    sure, fair = [0.9, 0.05, 0.03, 0.02], [0.05, 0.6, 0.2, 0.15]
    rows = [sure, [0.7, 0.1, 0.1, 0.1], fair, fair, [0.1, 0.11, 0.74, 0.05]]
    return kept(rows, [0, 1, 1, 1, 0]).outcome()


def test_confusions_count_label_and_guess(outcome):
    rows = confusions(outcome, ['cat', 'dog', 'emu', 'fox'])
    assert rows[0] == {'class': 'cat', 'cat': 1, 'dog': 0, 'emu': 1, 'fox': 0}
    assert rows[1] == {'class': 'dog', 'cat': 1, 'dog': 2, 'emu': 0, 'fox': 0}
    assert sum(value for row in rows for name, value in row.items() if name != 'class') == 5


def test_each_class_has_its_figures(outcome):
    rows = per_class(outcome, ['cat', 'dog'])
    assert [row['class'] for row in rows] == ['cat', 'dog', '2', '3']
    assert (rows[0]['precision'], rows[0]['recall'], rows[0]['f1_score']) == (50, 50, 50)
    assert (rows[1]['precision'], rows[1]['recall']) == (100, pytest.approx(200 / 3, abs=1e-4))
    assert (rows[2]['images'], rows[2]['predicted'], rows[2]['precision'], rows[2]['recall']) == (0, 1, 0, None)
    assert [rows[3][name] for name in ('precision', 'recall', 'f1_score')] == [None] * 3


def test_calibration_compares_confidence_and_accuracy_by_bin(outcome):
    rows = calibration(outcome, 4)
    # confidences 0.9 (right), 0.7 (wrong), 0.6 and 0.6 (right), 0.74 (wrong)
    assert [(row['above'], row['images']) for row in rows] == [(0.5, 4), (0.75, 1)]
    assert rows[0]['accuracy'] == 50
    assert rows[0]['confidence'] == pytest.approx((70 + 60 + 60 + 74) / 4, abs=1e-3)
    assert expected_calibration_error(rows) == pytest.approx((4 * 16 + 1 * 10) / 5, abs=1e-3)


def test_a_model_that_is_as_sure_as_it_is_right_has_no_error():
    rows = calibration(kept([[0.75, 0.25]] * 4, [0, 0, 0, 1]).outcome(), 10)
    assert expected_calibration_error(rows) == pytest.approx(0, abs=1e-3)


def test_the_worst_images_come_first(outcome):
    rows = worst(outcome, 2, lambda i: f'{i}.png', ['cat', 'dog', 'emu', 'fox'])
    assert [row['file'] for row in rows] == ['1.png', '4.png']
    assert (rows[0]['class'], rows[0]['predicted'], rows[0]['confidence']) == ('dog', 'cat', 70)
    assert rows[0]['loss'] == pytest.approx(-torch.tensor(0.1).log().item(), abs=1e-5)


def test_tables_are_written_as_their_names_end(tmp_path):
    save_image_grid(tmp_path / 'a<b.png', torch.rand(3, 1, 4, 4))
    rows = [{'file': str(tmp_path / 'a<b.png'), 'class': 'x & y', 'loss': None}]
    write_table(tmp_path / 't.html', rows, 'Worst')
    page = (tmp_path / 't.html').read_text()
    assert '<img loading="lazy" src="file:///' in page
    assert 'x &amp; y' in page
    assert 'a<b' not in page
    write_table(tmp_path / 't.json', rows, 'Worst')
    assert json.loads((tmp_path / 't.json').read_text()) == rows
    write_table(tmp_path / 't.csv', rows, 'Worst')
    assert (tmp_path / 't.csv').read_text().splitlines()[0] == 'file,class,loss'
    with pytest.raises(UsageError, match=r'\.csv, \.json or \.html'):
        write_table(tmp_path / 't.txt', rows, 'Worst')


def test_views_are_the_image_its_mirror_and_its_corners():
    x = torch.arange(2 * 3 * 16 * 16.0).view(2, 3, 16, 16)
    for count in NUM_VIEWS:
        found = views(x, count)
        assert len(found) == count
        assert torch.equal(found[0], x)
        assert all(view.shape == x.shape for view in found)
    assert torch.equal(views(x, 2)[1], x.flip(3))
    five, ten = views(x, 5), views(x, 10)
    assert all(torch.equal(a.flip(3), b) for a, b in zip(five, ten[5:], strict=True))
    # a corner begins where the image does, and a flat image has flat corners
    assert five[1][0, 0, 0, 0] == x[0, 0, 0, 0]
    assert five[4][0, 0, -1, -1] == x[0, 0, -1, -1]
    assert torch.equal(views(torch.ones(1, 1, 8, 8), 5)[3], torch.ones(1, 1, 8, 8))
