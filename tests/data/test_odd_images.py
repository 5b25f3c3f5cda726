"""Odd image files: what is read by which rule, what is refused, and that each of the latter is named."""

import io
import json
import logging
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import odd_files
import pytest
from PIL import Image

from timm.data import ImageRules, KeyedDataset, _decode, create_dataset, create_loader
from timm.data._decode import DamagedImageError, decode

EXTENSIONS = '.jpg;.jpeg;.png;.webp;.gif;.bmp;.tif;.tiff'
PEAK = 512 * 2**20


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
    """A folder with all of them, the names of those that can be read, and of those that cannot."""
    root = tmp_path_factory.mktemp('odd') / 'images'
    return root, *odd_files.plant(root)


@pytest.fixture
def nothing_told(monkeypatch):
    monkeypatch.setattr(_decode, '_told', set())


@pytest.fixture
def pil_warns_once_more():
    """PIL may warn of the odd files that tests of this module are about."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def array(data, mode='RGB', **rules):
    return np.asarray(decode(io.BytesIO(data), mode, ImageRules(**rules)))


def test_there_are_enough_of_them(planted):
    _, good, bad = planted
    assert len(good) >= 40
    assert len(bad) >= 35


def test_readable_files_have_the_pixels_that_pil_gives(planted, pil_warns_once_more):
    root, good, _ = planted
    for name in good:
        expected = Image.open(root / 'class' / name).convert('RGB')
        image = decode(root / 'class' / name)
        assert image.mode == 'RGB', name
        assert image.size == expected.size, name
        assert image.tobytes() == expected.tobytes(), name


def test_unreadable_files_are_named(planted, pil_warns_once_more):
    root, _, bad = planted
    for name in bad:
        with pytest.raises(DamagedImageError) as caught:
            decode(root / 'class' / name)
        assert caught.value.path == str(root / 'class' / name)
        assert repr(caught.value.path) in str(caught.value)
        assert '\n' not in caught.value.cause, name


def report_of(file):
    return [json.loads(line) for line in file.read_text(encoding='utf-8').splitlines()]


PEAK_SO_FAR = """
import re
def peak():  # of this process alone: getrusage would count that of the one which started it as well
    with open('/proc/self/status') as file:
        return 1024 * int(re.search(r'VmHWM:\\s+(\\d+)', file.read())[1])
"""
LOAD = f"""
import json, sys
from timm.data import KeyedDataset, create_dataset, create_loader
{PEAK_SO_FAR}
root, report, extensions = sys.argv[1:]
dataset = KeyedDataset(create_dataset('', root, input_key=extensions), damaged='report', report=report)
loader = create_loader(dataset, (3, 32, 32), batch_size=8, use_prefetcher=False, num_workers=0)
before = peak()
count = sum(len(target) for _, target in loader)
print(json.dumps({{'count': count, 'growth': peak() - before}}))
"""
CHECK = f"""
import json, sys
from timm.cli import main
{PEAK_SO_FAR}
root, report, extensions = sys.argv[1:]
code = main(['check', root, '--report', report, '--input-key', extensions])
print(json.dumps({{'code': code, 'peak': peak(), 'torch': 'torch' in sys.modules}}))
"""
on_linux = pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='memory is read from /proc')


def read_all(script, root, report):
    command = [sys.executable, '-W', 'ignore', '-c', script, str(root), str(report), EXTENSIONS]
    return subprocess.run(command, capture_output=True, text=True, errors='replace', check=True)


def check_report(report, root, bad):
    lines = report_of(report)
    assert sorted(line['path'] for line in lines) == sorted(str(root / 'class' / name) for name in bad)
    assert all(line['cause'] and line['replacement'] is None for line in lines)


@on_linux
def test_loading_all_reports_the_planted_ones_in_little_memory(planted, tmp_path):
    """The limit is on what loading adds: the import of a torch built for accelerators alone may take more."""
    root, good, bad = planted
    done = read_all(LOAD, root, tmp_path / 'report')
    found = json.loads(done.stdout)
    assert found['count'] == len(good)
    assert found['growth'] < PEAK
    check_report(tmp_path / 'report', root, bad)
    assert 'Left out' in done.stderr
    assert 'class/up' in done.stderr


@on_linux
def test_checking_all_reports_the_planted_ones_in_little_memory(planted, tmp_path):
    """The limit is on the whole process, which needs no torch."""
    root, good, bad = planted
    done = read_all(CHECK, root, tmp_path / 'report')
    summary, found = (
        json.loads(part) for part in re.fullmatch(r'--result\n(\{.*?\})\n(.*)', done.stdout, re.DOTALL).groups()
    )
    assert summary == {'images': len(good) + len(bad), 'damaged': len(bad), 'report': str(tmp_path / 'report')}
    assert found['code'] == 4
    assert not found['torch']
    assert found['peak'] < PEAK
    check_report(tmp_path / 'report', root, bad)
    assert f'{len(bad)} of {len(good) + len(bad)} images' in done.stderr


def test_workers_report_the_same(planted, tmp_path, pil_warns_once_more):
    root, good, bad = planted
    dataset = create_dataset('', str(root), input_key=EXTENSIONS)
    keyed = KeyedDataset(dataset, damaged='report', report=tmp_path / 'report')
    loader = create_loader(keyed, (3, 32, 32), batch_size=8, use_prefetcher=False, num_workers=2)
    assert sum(len(target) for _, target in loader) == len(good)
    lines = report_of(tmp_path / 'report')
    assert sorted(line['path'] for line in lines) == sorted(str(root / 'class' / name) for name in bad)


def test_only_what_has_the_extension_is_listed(planted):
    root, good, bad = planted
    names = create_dataset('', str(root), input_key=EXTENSIONS).filenames()
    assert sorted(names) == sorted(f'class/{name}' for name in good | bad)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation_is_applied_when_asked(orientation, nothing_told, caplog):
    image = odd_files.of()
    data = odd_files.saved(image, 'PNG', exif=odd_files.exif(orientation))
    plain = np.asarray(image)
    # What the Exif standard calls rows and columns, as turns and mirrors of the stored ones.
    upright = {
        1: plain, 2: plain[:, ::-1], 3: plain[::-1, ::-1], 4: plain[::-1],
        5: plain.swapaxes(0, 1), 6: np.rot90(plain, -1), 7: plain[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(plain, 1),
    }  # fmt: skip
    assert np.array_equal(array(data, orient=True), upright[orientation])
    assert not caplog.records
    assert np.array_equal(array(data), plain)
    assert len(caplog.records) == (orientation != 1)


@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_sixteen_bits_are_clipped_or_scaled(kind, nothing_told, caplog):
    values = np.array([[0, 100, 255, 256, 385, 386, 30000, 65535]], np.uint16)
    data = odd_files.saved(Image.fromarray(values), kind)
    for mode in ('RGB', 'L'):
        scaled = array(data, mode, scale=True).reshape(8, -1)
        assert scaled.tolist() == [[v] * scaled.shape[1] for v in (0, 0, 1, 1, 1, 2, 117, 255)]
    assert not caplog.records
    assert array(data, 'L').tolist() == [[0, 100, 255, 255, 255, 255, 255, 255]]
    assert 'clipped' in caplog.text
    assert np.array_equal(array(data, None), values)


def test_floats_are_clipped_or_scaled():
    values = np.array([[-1, 0, 0.5, 1, 2, 254.6, 300, np.nan]], np.float32)
    data = odd_files.saved(Image.fromarray(values), 'TIFF')
    assert array(data, 'L', scale=True).tolist() == [[0, 0, 128, 255, 255, 255, 255, 0]]
    assert array(data, 'L')[0, :7].tolist() == [0, 0, 0, 1, 2, 254, 255]


@pytest.mark.parametrize('mode', ['RGBA', 'LA'])
def test_colours_under_transparency_are_kept(mode):
    image = odd_files.of('RGBA')
    image.putalpha(Image.fromarray(np.zeros((17, 23), np.uint8)))
    image = image.convert(mode)
    pixels = array(odd_files.saved(image, 'PNG'))
    assert np.array_equal(pixels, np.broadcast_to(np.asarray(image)[..., :-1], pixels.shape))


def test_palette_with_transparency_keeps_its_colours_without_a_warning():
    image = odd_files.of('P')
    data = odd_files.saved(image, 'PNG', transparency=bytes(range(250)))
    assert np.array_equal(array(data), np.asarray(image.convert('RGB')))
    assert array(data, 'RGBA')[..., 3].max() < 255


@pytest.mark.parametrize('kind', ['PNG', 'WEBP', 'GIF', 'TIFF', 'MPO'])
def test_first_of_several_images_is_read(kind, nothing_told, caplog):
    options = dict(lossless=True) if kind == 'WEBP' else {}
    data = odd_files.several(kind, **options)
    alone = odd_files.saved(odd_files.of(), 'JPEG' if kind == 'MPO' else kind, **options)
    assert np.array_equal(array(data), array(alone))
    assert [record.message.startswith('Only the first image') for record in caplog.records] == [True]


def test_each_loss_is_told_once(nothing_told, caplog, pil_warns_once_more):
    files = odd_files.readable()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            for data in files.values():
                array(data)
    messages = [record.message for record in caplog.records]
    assert len(messages) == len(set(messages)) == 5
    for word in ('orientation', 'clipped', 'ransparency', 'CMYK', 'first image'):
        assert sum(word in message for message in messages) == 1, word


@pytest.mark.parametrize('name', ['plain.jpg', 'gray.png', 'black and white.png', 'palette.png', 'plain.tif'])
def test_plain_files_are_no_occasion_for_a_warning(name, nothing_told, caplog):
    array(odd_files.readable()[name])
    assert not caplog.records


def test_limit_on_pixels():
    data = odd_files.readable()['plain.jpg']
    assert array(data, max_pixels=23 * 17).shape == (17, 23, 3)
    with pytest.raises(DamagedImageError, match=r'23 x 17 .*max_pixels = 390'):
        array(data, max_pixels=390)


def test_limit_on_pixels_can_be_raised_above_that_of_pil(monkeypatch):
    data = odd_files.readable()['plain.jpg']
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 150)
    with pytest.raises(DamagedImageError, match=r'max_pixels'):
        array(data)
    assert array(data, max_pixels=1000).shape == (17, 23, 3)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', None)
    assert array(data).shape == (17, 23, 3)


def test_limit_on_bytes():
    data = odd_files.readable()['plain.jpg']
    assert array(data, max_bytes=len(data)).shape == (17, 23, 3)
    with pytest.raises(DamagedImageError, match=f'{len(data)} bytes'):
        array(data, max_bytes=len(data) - 1)


def test_formats_can_be_added_and_left_out():
    data = odd_files.unreadable()['not accepted.jpg']
    with pytest.raises(DamagedImageError, match=r'ImageRules\.formats'):
        array(data)
    assert np.array_equal(array(data, formats=(*ImageRules.formats, 'PPM')), np.asarray(odd_files.of()))
    with pytest.raises(DamagedImageError, match='JPEG'):
        array(odd_files.readable()['gray.png'], formats=('JPEG',))


@pytest.mark.parametrize(
    ('wrong', 'words'),
    [({'formats': ('JPG2000',)}, 'JPEG2000'), ({'max_pixels': 0}, 'max_pixels.*0'), ({'max_bytes': -1}, 'max_bytes')],
)
def test_rules_that_make_no_sense_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        ImageRules(**wrong)


def test_rules_of_a_dataset(planted):
    root, *_ = planted
    dataset = create_dataset('', str(root), input_key='.jpg', image_rules=ImageRules(orient=True, max_pixels=400))
    names = dataset.filenames()
    assert dataset[names.index('class/turned.jpg')][0].size == (17, 23)
    assert Path(dataset.filename(names.index('class/a\nnew line "quoted".jpg'), absolute=True)).exists()
