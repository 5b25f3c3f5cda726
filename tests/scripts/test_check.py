"""`timm check`: every image that cannot be read is named, and the exit status says whether there is any."""

import json
import logging
import tarfile

import numpy as np
import pytest
from PIL import Image

from timm.engine.commands import launch


@pytest.fixture
def folder(tmp_path):
    """Three classes of twenty images."""
    noise = np.random.default_rng(0)
    for name in 'abc':
        (tmp_path / 'images' / name).mkdir(parents=True)
        for i in range(20):
            pixels = noise.integers(0, 256, (12, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / 'images' / name / f'{i:02}.jpg')
    return tmp_path / 'images'


def cut(path):
    path.write_bytes(path.read_bytes()[:-60])


def check(*words):
    return launch('check', list(map(str, words)), 'timm check')


def summary(capsys):
    return json.loads(capsys.readouterr().out.partition('--result\n')[2])


def test_a_sound_folder(folder, tmp_path, capsys):
    report = tmp_path / 'report.jsonl'
    report.write_text('of last time\n')
    assert check(folder, '--report', report) == 0
    assert report.read_text() == ''
    assert summary(capsys) == {'images': 60, 'damaged': 0, 'report': str(report)}


@pytest.mark.parametrize('workers', [1, 3])
def test_damaged_images_are_named_in_order(folder, tmp_path, capsys, caplog, workers):
    names = ['a/03.jpg', 'b/00.jpg', 'c/19.jpg']
    for name in names:
        cut(folder / name)
    with caplog.at_level(logging.WARNING):
        assert check(folder, '--report', tmp_path / 'report.jsonl', '-j', workers) == 4
    assert summary(capsys)['damaged'] == 3
    lines = [json.loads(line) for line in (tmp_path / 'report.jsonl').read_text().splitlines()]
    assert [line['path'] for line in lines] == [str(folder / name) for name in names]
    assert [line['index'] for line in lines] == [3, 20, 59]
    assert all('truncated' in line['cause'] for line in lines)
    assert [record.args[0] for record in caplog.records] == [str(folder / name) for name in names]


def test_without_a_report_the_flag_for_one_is_named(folder, capsys):
    cut(folder / 'a/00.jpg')
    assert check(folder) == 4
    assert '1 of 60 images cannot be read; --report FILE.jsonl lists them' in capsys.readouterr().err


def test_images_in_a_tar_file(folder, tmp_path, capsys):
    cut(folder / 'b/07.jpg')
    with tarfile.open(tmp_path / 'images.tar', 'w') as tar:
        tar.add(folder, arcname='.')
    assert check(tmp_path / 'images.tar', '--report', tmp_path / 'report.jsonl') == 4
    assert summary(capsys)['images'] == 60
    (line,) = (tmp_path / 'report.jsonl').read_text().splitlines()
    assert json.loads(line)['path'].endswith('b/07.jpg')


def test_the_limit_on_pixels_and_the_extensions(folder, capsys):
    assert check(folder, '--max-image-pixels', 119) == 4
    assert summary(capsys)['damaged'] == 60
    (folder / 'a/00.jpg').rename(folder / 'a/00.JPE')
    assert check(folder, '--input-key', '.jpe') == 0
    assert summary(capsys)['images'] == 1


@pytest.mark.parametrize(
    ('words', 'code', 'reason'),
    [
        ([], 2, 'give the folder or .tar file'),
        (['nowhere'], 4, 'nowhere'),
        (['{empty}'], 4, 'Found 0 images'),
        (['{folder}', '--input-img-mode', 'RGBX1'], 2, "'RGBX1' is no mode of PIL"),
        (['{folder}', '--report', '{empty}'], 5, 'cannot write'),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(folder, tmp_path, capsys, words, code, reason):
    empty = tmp_path / 'empty'
    empty.mkdir()
    assert check(*(word.format(folder=folder, empty=empty) for word in words)) == code
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert err.startswith('timm check: error: ')
    assert reason in err
