"""Listings of folders and tar files: their order, how they are held, and when one that was kept is used again."""

import logging
import os
import pickle
import random
import tarfile
import time

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from timm.data import create_dataset, create_reader
from timm.data.readers import _listing_cache
from timm.data.readers._columns import Columns
from timm.data.readers._folder_index import FolderSamples
from timm.data.readers._names import PackedNames, class_indices, natural_text
from timm.data.readers.reader_image_folder import ReaderImageFolder, find_images_and_targets
from timm.data.readers.reader_image_in_tar import ReaderImageInTar
from timm.utils import natural_key

ODD = ['a', 'A', 'b', '10', '9', '09', '٣', '12x', '.', '-', '_', ' ', 'é', 'ΑΣ', "'", '\udcff', '01', '1', '000', '\n']


def odd_name(draw):
    return ''.join(draw.choice(ODD) for _ in range(draw.randint(1, 6)))


@pytest.fixture
def tree(tmp_path):
    """Three classes of two images, one of them deeper."""
    for name in ('n2/a1.jpg', 'n2/a10.jpg', 'n10/b.jpg', 'n10/c.jpg', 'n10/deep/d.jpg', 'n10/deep/e.jpg'):
        file = tmp_path / 'images' / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b'x')
    return tmp_path / 'images'


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder for listings; files that were made just now count as old."""
    monkeypatch.setattr(_listing_cache, '_SETTLED', 0)
    time.sleep(0.05)
    return tmp_path / 'kept'


def read(tree, kept, **kwargs):
    return ReaderImageFolder(str(tree), cache_listing=kept, **kwargs)


def files_in(folder):
    return sorted(folder.iterdir()) if folder.exists() else []


def pack(path, names):
    with tarfile.open(path, 'w') as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, _Bytes(name.encode()))
    return str(path)


class _Bytes:
    def __init__(self, data):
        self.data = data

    def read(self, size):
        data, self.data = self.data[:size], self.data[size:]
        return data


def test_text_for_sorting_gives_the_order_of_the_key():
    draw = random.Random(0)
    names = [odd_name(draw) for _ in range(4000)] + ['', 'a', 'a0', 'a00b', 'a1', 'a1b', '18446744073709551616', '7']
    assert sorted(names, key=natural_text) == sorted(names, key=natural_key)


def test_names_beyond_what_the_key_can_take_are_sorted_as_well():
    assert sorted(['²', '10', '9'], key=natural_text) == ['9', '10', '²']
    assert class_indices(['01', 'b', '1', 'a10', 'a9']) == {'01': 0, '1': 1, 'a9': 2, 'a10': 3, 'b': 4}


def test_folders_are_listed_in_the_order_of_whole_paths(tmp_path):
    draw = random.Random(1)
    places = [tmp_path]
    for _ in range(25):
        place = draw.choice(places) / f'd{odd_name(draw)}'
        place.mkdir(exist_ok=True)
        places.append(place)
    for _ in range(400):
        (draw.choice(places) / f'{odd_name(draw)}x{draw.choice([".jpg", ".JPG", ".txt"])}').touch()
    expected = [os.path.join(top, f) for top, _, names in os.walk(tmp_path) for f in names if f.lower().endswith('jpg')]
    expected.sort(key=natural_key)
    assert [path for path, _ in find_images_and_targets(str(tmp_path))[0]] == expected
    reader = create_reader('', tmp_path)
    assert [reader.filename(i, absolute=True) for i in range(len(reader))] == expected


def test_samples_act_as_the_list_of_tuples(tree):
    samples = create_reader('', tree).samples
    listed = [(str(tree / name), target) for name, target in zip(
        ('n2/a1.jpg', 'n2/a10.jpg', 'n10/b.jpg', 'n10/c.jpg', 'n10/deep/d.jpg', 'n10/deep/e.jpg'), (1, 1, 2, 2, 0, 0),
        strict=True,
    )]  # fmt: skip
    assert list(samples) == listed
    assert samples == listed
    assert listed == samples
    assert samples != listed[:-1]
    assert samples[1:4] == listed[1:4]
    assert samples[::-2] == listed[::-2]
    assert samples[-1] == samples[np.int64(5)] == listed[-1]
    more = [('/other.jpg', 7)]
    assert samples + more == listed + more
    assert more + samples == more + listed
    assert listed[2] in samples
    assert samples.index(listed[2]) == 2
    assert list(reversed(samples)) == listed[::-1]
    assert type(samples[0][1]) is int
    with pytest.raises(IndexError):
        samples[6]


def test_samples_of_a_reader_can_be_replaced_by_a_list(tree):
    dataset = create_dataset('', str(tree), load_bytes=True)
    dataset.reader.samples = [sample for sample in dataset.reader.samples if sample[1] == 2]
    assert len(dataset) == 2
    assert dataset[1] == (b'x', 2)


def test_second_start_looks_into_no_folder(tree, kept, monkeypatch):
    first = read(tree, kept)
    assert len(files_in(kept)) == 1

    def refuse(*args):
        raise AssertionError('a folder was listed')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'scandir', refuse)
        second = read(tree, kept)
        assert list(second.samples) == list(first.samples)
        assert second.class_to_idx == first.class_to_idx
        chosen = read(tree, kept, class_map={'deep': 4, 'n2': 1})
        assert [target for _, target in chosen.samples] == [1, 1, 4, 4]
        assert chosen.filename(2) == 'n10/deep/d.jpg'
        with pytest.raises(AssertionError, match='listed'):
            read(tree, kept, input_key='.png')


CHANGES = {
    'an image more': lambda tree: (tree / 'n10/deep/f.jpg').touch(),
    'an image less': lambda tree: (tree / 'n2/a1.jpg').unlink(),
    'another name': lambda tree: (tree / 'n10/b.jpg').rename(tree / 'n10/z.jpg'),
    'a folder more': lambda tree: (tree / 'n10/new').mkdir() or (tree / 'n10/new/x.jpg').touch(),
    'a folder moved': lambda tree: (tree / 'n10/deep').rename(tree / 'n2/deep'),
    'link turned': lambda tree: (tree / 'link').unlink() or (tree / 'link').symlink_to(tree / 'n10/deep'),
    'behind a link': lambda tree: (tree.parent / 'outside/y.jpg').touch(),
    'times set back': lambda tree: (tree / 'n2/q.jpg').touch() or os.utime(tree / 'n2', ns=(10**18, 10**18)),
}


@pytest.mark.parametrize('change', CHANGES)
def test_what_changed_is_listed_anew(tree, kept, change):
    (tree.parent / 'outside').mkdir()
    (tree / 'link').symlink_to(tree.parent / 'outside')
    os.utime(tree / 'n2', ns=(10**18, 10**18))
    time.sleep(0.05)
    before = list(read(tree, kept).samples)
    assert list(read(tree, kept).samples) == before
    time.sleep(0.05)
    CHANGES[change](tree)
    after = list(read(tree, kept).samples)
    assert after == find_images_and_targets(str(tree))[0]
    assert after != before


def test_what_has_just_changed_is_not_kept(tree, tmp_path):
    assert len(read(tree, tmp_path / 'kept')) == 6
    assert not files_in(tmp_path / 'kept')


DAMAGE = {
    'empty': lambda data: b'',
    'cut in the header': lambda data: data[:40],
    'cut at the end': lambda data: data[:-1],
    'header': lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:],
    'names': lambda data: data.replace(b'a10.jpg', b'a11.jpg'),
    'foreign': lambda data: pickle.dumps({'a': 1}) * 100,
    'later version': lambda data: data[:7] + b'2' + data[8:],
}


@pytest.mark.parametrize('damage', DAMAGE)
def test_damaged_listing_is_made_anew(tree, kept, caplog, damage):
    before = list(read(tree, kept).samples)
    (file,) = files_in(kept)
    whole = file.read_bytes()
    file.write_bytes(DAMAGE[damage](whole))
    assert list(read(tree, kept).samples) == before
    assert file.name in caplog.text
    assert file.read_bytes() == whole


def test_place_that_cannot_be_written_is_no_error(tree, kept, tmp_path):
    (tmp_path / 'file').touch()
    assert len(read(tree, tmp_path / 'file' / 'kept')) == 6


def test_listings_are_kept_where_the_environment_says(tree, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(_listing_cache, '_FEWEST', 6)
    monkeypatch.delenv('TIMM_LISTINGS', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    ReaderImageFolder(str(tree), cache_listing=False)
    assert not (tmp_path / 'xdg').exists()
    create_reader('', tree)
    assert len(files_in(tmp_path / 'xdg/timm/listings')) == 1
    monkeypatch.setenv('TIMM_LISTINGS', str(kept))
    create_dataset('', str(tree))
    assert [file.name for file in files_in(kept)] == [file.name for file in files_in(tmp_path / 'xdg/timm/listings')]
    monkeypatch.setenv('TIMM_LISTINGS', '')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'other'))
    create_reader('', tree)
    assert not (tmp_path / 'other').exists()


def test_short_listings_are_not_kept_unless_asked(tree, kept, monkeypatch):
    monkeypatch.setenv('TIMM_LISTINGS', str(kept))
    create_reader('', tree)
    assert not files_in(kept)
    create_reader('', tree, cache_listing=True)
    assert len(files_in(kept)) == 1


def test_other_processes_are_given_the_file_and_not_its_content(tree, kept):
    for i in range(3000):
        (tree / 'n2' / f'another image {i}.jpg').touch()
    time.sleep(0.05)
    reader = read(tree, kept)
    sent = pickle.dumps(reader)
    assert len(sent) < 3000
    assert list(pickle.loads(sent).samples) == list(reader.samples)
    loose = pickle.dumps(ReaderImageFolder(str(tree), cache_listing=False))
    assert len(loose) < 3006 * 45  # 25 bytes of name, 8 + 4 of numbers
    assert list(pickle.loads(loose).samples) == list(reader.samples)


def test_file_that_was_replaced_is_not_taken_for_the_one_in_use(tree, kept):
    reader = read(tree, kept)
    listed = list(reader.samples)
    sent = pickle.dumps(reader)
    time.sleep(0.05)
    (tree / 'n2/new.jpg').touch()
    time.sleep(0.05)
    assert len(read(tree, kept)) == 7
    with pytest.raises(RuntimeError, match='replaced'):
        pickle.loads(sent)
    assert list(pickle.loads(pickle.dumps(reader)).samples) == listed
    files_in(kept)[0].unlink()
    assert list(pickle.loads(pickle.dumps(reader)).samples) == listed


class Names(Dataset):
    """An item is what its process owns alone, in bytes, after it has met so many names of a reader."""

    def __init__(self, samples, counts):
        self.samples = samples
        self.counts = counts

    def __len__(self):
        return len(self.counts)

    def __getitem__(self, item):
        for i in np.random.default_rng(0).integers(len(self.samples), size=self.counts[item]):
            assert self.samples[i][1] == i % 1000
        with open('/proc/self/smaps_rollup', encoding='ascii') as lines:
            return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith('Private_'))


@pytest.mark.skipif(not os.path.exists('/proc/self/smaps_rollup'), reason='memory is measured as Linux gives it')
def test_workers_share_a_listing_of_a_million():
    count, folders = 10**6, PackedNames.pack(f'n{c:08}' for c in range(1000))
    columns = {
        'folders': folders.data,
        'folder_ends': folders.ends,
        'names': np.frombuffer(b''.join(b'image_%08d.jpg' % i for i in range(count)), np.uint8),
        'name_ends': np.arange(1, count + 1) * 18,
        'folder_of': np.arange(count, dtype=np.int32) % 1000,
    }
    samples = FolderSamples(Columns(columns, {}), '/data/', np.arange(1000))
    assert samples[-1] == ('/data/n00000999/image_00999999.jpg', 999)
    loader = DataLoader(Names(samples, (1000, 100_000)), num_workers=1, batch_size=None, multiprocessing_context='fork')
    few, many = loader
    assert many - few < 10 * 2**20
    assert len(pickle.dumps(samples)) < 32 * 2**20


def test_link_to_a_folder_above_ends(tree, caplog):
    (tree / 'n2/loop').symlink_to('..')
    (tree / 'again').symlink_to('n2')
    reader = create_reader('', tree)
    assert reader.filenames()[:2] == ['again/a1.jpg', 'again/a10.jpg']
    assert len(reader) == 8
    assert 'n2/loop' in caplog.text
    assert 'lies in' in caplog.text


def test_folder_that_cannot_be_read_is_named_and_its_listing_not_kept(tree, kept, caplog, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith('deep'):
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    assert len(read(tree, kept)) == 4
    assert 'n10/deep' in caplog.text
    assert not files_in(kept)


def test_second_start_reads_no_header_of_a_tar(tmp_path, kept, monkeypatch):
    tar = pack(tmp_path / 'a.tar', ['c2/1.jpg', 'c10/2.jpg', 'c2/10.jpg'])
    time.sleep(0.05)
    first = ReaderImageInTar(tar, cache_listing=kept)
    monkeypatch.setattr(tarfile, 'open', None)
    second = ReaderImageInTar(tar, cache_listing=kept)
    assert list(second.samples) == list(first.samples)
    assert second.targets.tolist() == [0, 0, 1]
    assert second.class_name_to_idx == {'c2': 0, 'c10': 1}
    assert [second[i][0].read() for i in range(3)] == [b'c2/1.jpg', b'c2/10.jpg', b'c10/2.jpg']
    only = ReaderImageInTar(tar, class_map={'c10': 5}, cache_listing=kept)
    assert [(only.filename(i), only[i][1]) for i in range(len(only))] == [('c10/2.jpg', 5)]
    assert len(pickle.dumps(second)) < 2000


@pytest.mark.parametrize('place', ['a.tar', 'tars'])
def test_tar_that_changed_is_read_anew(tmp_path, kept, place):
    (tmp_path / 'tars').mkdir()
    file = tmp_path / 'a.tar' if place == 'a.tar' else tmp_path / 'tars/a.tar'
    pack(file, ['c/1.jpg', 'c/2.jpg'])
    time.sleep(0.05)
    assert len(ReaderImageInTar(str(tmp_path / place), cache_listing=kept)) == 2
    time.sleep(0.05)
    pack(file, ['c/1.jpg', 'c/3.jpg'])
    assert ReaderImageInTar(str(tmp_path / place), cache_listing=kept).filenames() == ['c/1.jpg', 'c/3.jpg']
    if place == 'tars':
        pack(tmp_path / 'tars/b.tar', ['d/1.jpg'])
        assert len(ReaderImageInTar(str(tmp_path / place), cache_listing=kept)) == 3


def test_pickles_of_other_versions_are_not_read(tmp_path, kept, monkeypatch, caplog):
    class Bad:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'was run'),)

    monkeypatch.setenv('TIMM_LISTINGS', str(kept))
    tar = pack(tmp_path / 'a.tar', ['c/1.jpg'])
    (tmp_path / '_a_tarinfos.pickle').write_bytes(pickle.dumps(Bad()))
    time.sleep(0.05)
    assert len(ReaderImageInTar(tar, cache_tarinfo=True)) == 1
    assert not (tmp_path / 'was run').exists()
    assert len(files_in(kept)) == 1
    with caplog.at_level(logging.INFO):
        assert len(ReaderImageInTar(tar, cache_tarinfo=False)) == 1
    assert not caplog.records
