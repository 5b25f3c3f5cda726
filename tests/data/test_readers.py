"""Readers: what is found in folders and tar files, in which order, with which classes."""

import io
import os
import pickle
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pictures import make_folder, make_tar, picture

from timm.data import (
    add_img_extensions,
    create_dataset,
    create_reader,
    del_img_extensions,
    get_img_extensions,
    is_img_extension,
    set_img_extensions,
)
from timm.data._decode import DamagedImageError
from timm.data.readers.class_map import load_class_map
from timm.data.readers.reader_image_folder import ReaderImageFolder, find_images_and_targets
from timm.data.readers.reader_image_in_tar import ReaderImageInTar
from timm.data.readers.reader_image_tar import ReaderImageTar, extract_tarinfo

NAMES = [f'{c}/im{n}.jpg' for c in ('cat2', 'cat10', 'dog') for n in (1, 2, 10)]


@pytest.fixture(autouse=True)
def usual_extensions():
    before = get_img_extensions()
    yield
    set_img_extensions(before)


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / 'images')


def targets(reader):
    found = []
    for i in range(len(reader)):
        source, target = reader[i]
        source.close()
        found.append(int(target))
    return found


def test_folders_are_classes_in_the_order_people_count(folder):
    reader = create_reader('', folder)
    assert isinstance(reader, ReaderImageFolder)
    assert reader.class_to_idx == {'cat2': 0, 'cat10': 1, 'dog': 2}
    assert reader.filenames() == NAMES
    assert targets(reader) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_names_of_files(folder):
    reader = create_reader('', folder + os.path.sep)
    assert reader.filename(2) == 'cat2/im10.jpg'
    assert reader.filename(2, basename=True) == 'im10.jpg'
    assert reader.filename(2, absolute=True) == os.path.join(folder, 'cat2', 'im10.jpg')
    assert reader.filenames(basename=True)[:2] == ['im1.jpg', 'im2.jpg']


def test_only_images_count_and_upper_case_does_not_matter(folder):
    picture(9, 8).save(f'{folder}/dog/X.PNG')
    picture(9, 8).save(f'{folder}/dog/y.webp')
    with open(f'{folder}/dog/notes.txt', 'w') as file:
        file.write('none')
    assert len(create_reader('', folder)) == 10
    add_img_extensions('.webp')
    assert len(create_reader('', folder)) == 11
    assert len(create_reader('', folder, input_key='.webp')) == 1


def test_inner_folders_are_classes_of_their_own(folder):
    os.mkdir(f'{folder}/dog/pup')
    picture(9, 8).save(f'{folder}/dog/pup/a.png')
    assert find_images_and_targets(folder)[1]['pup'] == 3
    assert find_images_and_targets(folder, leaf_name_only=False)[1]['dog_pup'] == 3


def test_class_map_numbers_and_selects(folder, tmp_path):
    (tmp_path / 'names.txt').write_text('dog\ncat2\n')
    for given in ({'dog': 0, 'cat2': 1}, str(tmp_path / 'names.txt')):
        reader = create_reader('', folder, class_map=given)
        assert len(reader) == 6
        assert set(targets(reader)) == {0, 1}
        assert reader.filename(targets(reader).index(0)).startswith('dog')


def test_class_map_files_hold_plain_data_only(tmp_path):
    (tmp_path / 'good.pkl').write_bytes(pickle.dumps({'a': 0, 'b': 1}))
    assert load_class_map('good.pkl', root=tmp_path) == {'a': 0, 'b': 1}
    (tmp_path / 'bad.pkl').write_bytes(pickle.dumps({'a': os.getcwd}))
    with pytest.raises(ValueError, match='getcwd'):
        load_class_map(tmp_path / 'bad.pkl')
    (tmp_path / 'map.csv').write_text('a,0\n')
    with pytest.raises(ValueError, match='csv'):
        load_class_map(tmp_path / 'map.csv')
    with pytest.raises(FileNotFoundError, match='nowhere'):
        load_class_map('nowhere.txt')


def test_missing_and_empty_places_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        create_reader('', str(tmp_path / 'nowhere'))
    with pytest.raises(RuntimeError, match='Found 0 images'):
        create_reader('', str(tmp_path))
    with pytest.raises(ValueError, match='root'):
        create_reader('')


def test_extensions_can_be_listed_and_changed():
    assert is_img_extension('.jpg')
    assert not is_img_extension('.webp')
    add_img_extensions(['.webp', '.gif'])
    del_img_extensions('.gif')
    assert get_img_extensions() == ('.png', '.jpg', '.jpeg', '.webp')
    set_img_extensions(('.bmp',))
    assert get_img_extensions(as_set=True) == {'.bmp'}
    for bad in ('webp', '.', 5):
        with pytest.raises(ValueError, match='extension'):
            add_img_extensions(bad)
    with pytest.raises(ValueError, match='list'):
        set_img_extensions('.bmp')


@pytest.mark.parametrize('cached', [True, False])
def test_tar_gives_what_its_folder_gives(folder, tmp_path, cached):
    tar = make_tar(tmp_path / 'images.tar', folder)
    reader = create_reader('', tar, cache_tarfiles=cached)
    assert isinstance(reader, ReaderImageInTar)
    files = create_reader('', folder)
    assert reader.filenames() == files.filenames()
    for i in range(len(files)):
        (packed, a), (loose, b) = reader[i], files[i]
        with packed, loose:
            assert packed.read() == loose.read()
            assert a == b


def test_tar_reader_survives_pickling_and_leaves_no_file_behind(folder, tmp_path):
    tar = make_tar(tmp_path / 'images.tar', folder)
    reader = create_reader('', tar)
    first = reader[4][0].read()
    assert pickle.loads(pickle.dumps(reader))[4][0].read() == first
    assert sorted(os.listdir(tmp_path)) == ['images', 'images.tar']


@pytest.fixture
def nested(tmp_path):
    """A tar for each class, and a tar of those tars; pictures lie at the top of the inner ones."""
    folder = make_folder(tmp_path / 'images')
    os.mkdir(tmp_path / 'tars')
    for name in ('cat2', 'cat10', 'dog'):
        make_tar(tmp_path / 'tars' / f'{name}.tar', f'{folder}/{name}')
    make_tar(tmp_path / 'all.tar', tmp_path / 'tars')
    return tmp_path


@pytest.mark.parametrize('system', ['with pread', 'without'])
def test_threads_may_share_a_tar_reader(folder, tmp_path, monkeypatch, system):
    if system == 'without':
        monkeypatch.delattr(os, 'pread', raising=False)
    make_tar(tmp_path / 'images.tar', folder)
    expected = [Path(folder, name).read_bytes() for name in NAMES]
    reader = create_reader('', tmp_path / 'images.tar')
    places = [i % len(NAMES) for i in range(3000)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda i: reader[i][0].read(), places))
    finally:
        sys.setswitchinterval(interval)
    assert found == [expected[i] for i in places]


@pytest.mark.parametrize('place', ['tars', 'all.tar'])
def test_tars_of_a_folder_and_tars_in_a_tar_are_classes(nested, place):
    reader = ReaderImageInTar(str(nested / place))
    assert reader.class_name_to_idx == {'cat2': 0, 'cat10': 1, 'dog': 2}
    assert len(reader) == 9
    for i in range(len(reader)):
        source, target = reader[i]
        name = reader.class_idx_to_name[target]
        assert source.read() == (nested / 'images' / name / reader.filename(i)).read_bytes()
        assert f'{name}.tar' in reader.filename(i, absolute=True)


def test_cut_off_and_foreign_tars_are_named(folder, tmp_path):
    tar = make_tar(tmp_path / 'images.tar', folder)
    reader = create_reader('', tar)
    with open(tar, 'r+b') as file:
        file.truncate(reader.samples[0].offset + 5)
    with pytest.raises(DamagedImageError, match=r'images\.tar'):
        reader[0]
    (tmp_path / 'not.tar').write_text('hello' * 300)
    with pytest.raises(ValueError, match=r'not\.tar'):
        create_reader('', str(tmp_path / 'not.tar'))
    tarfile.open(tmp_path / 'empty.tar', 'w').close()
    with pytest.raises(RuntimeError, match='Found 0 images'):
        create_reader('', str(tmp_path / 'empty.tar'))


def member(tar, name, size=0, data=b'', **fields):
    info = tarfile.TarInfo(name)
    info.size = size or len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(data))


def test_members_without_data_of_their_own_are_named(tmp_path, caplog):
    with tarfile.open(tmp_path / 'a.tar', 'w') as tar:
        member(tar, 'c/1.jpg', data=b'one')
        member(tar, 'c/hard.jpg', type=tarfile.LNKTYPE, linkname='c/1.jpg')
        member(tar, 'c/soft.jpg', type=tarfile.SYMTYPE, linkname='/etc/passwd')
        member(tar, 'c/folder.jpg', type=tarfile.DIRTYPE)
        member(tar, 'c/pipe.jpg', type=tarfile.FIFOTYPE)
        member(tar, 'c/disk.jpg', type=tarfile.BLKTYPE)
        member(tar, 'c/2.jpg', data=b'two')
    reader = create_reader('', tmp_path / 'a.tar')
    assert [reader[i][0].read() for i in range(len(reader))] == [b'one', b'two']
    assert 'Left out 2 members' in caplog.text
    assert 'c/hard.jpg' in caplog.text


def test_members_that_point_elsewhere_write_nothing(tmp_path):
    names = ['/abs/1.jpg', '../../up/2.jpg', 'c/../3.jpg', 'new\nline/4.jpg', 'caf\udce9/5.jpg']
    inside = tmp_path / 'inside'
    inside.mkdir()
    with tarfile.open(inside / 'a.tar', 'w') as tar:
        for name in names:
            member(tar, name, data=name.encode('utf-8', 'surrogateescape'))
    dataset = create_dataset('', str(inside / 'a.tar'), load_bytes=True)
    assert sorted(dataset.filenames()) == sorted(names)
    for i, name in enumerate(dataset.filenames()):
        assert dataset[i][0].decode('utf-8', 'surrogateescape') == name
        assert dataset.filename(i, absolute=True) == f'{inside}/a.tar/{name.lstrip("/")}'
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*')] == ['inside', 'inside/a.tar']


@pytest.fixture
def three(tmp_path):
    """A tar of three members of 512 bytes each: a header every 1024 bytes."""
    with tarfile.open(tmp_path / 'three.tar', 'w') as tar:
        for i in range(3):
            member(tar, f'c/{i}.jpg', data=b'x' * 512)
    return tmp_path / 'three.tar'


def negative(header):
    """The header with a length of -1536, which leads back to the first."""
    header = header[:124] + b'\xff' + (256**11 - 1536).to_bytes(11, 'big') + b' ' * 8 + header[156:]
    return header[:148] + b'%06o\0 ' % sum(header) + header[156:]


@pytest.mark.parametrize(
    'damage',
    [
        lambda data: data[:1024] + b'garbage' + data[1031:],
        lambda data: data[:1024] + b'\xff' * 512 + data[1536:],
        lambda data: data[:1024] + negative(data[1024:1536]) + data[1536:],
        lambda data: data[:1300],
        lambda data: data[: 2048 + 600],
        lambda data: b'',
    ],
    ids=['garbled', 'overwritten', 'leads back', 'cut in a header', 'cut in data', 'empty'],
)
def test_damaged_tar_is_named_and_not_read_in_part(three, damage):
    data = damage(three.read_bytes())
    assert len(create_reader('', three)) == 3
    three.write_bytes(data)
    with pytest.raises(ValueError, match=r'three\.tar'):
        create_reader('', three)


def test_tar_without_its_end_is_read_with_a_warning(three, caplog):
    three.write_bytes(three.read_bytes()[:2048])
    assert len(create_reader('', three)) == 2
    assert 'cut off' in caplog.text


def test_damaged_tar_in_a_tar_is_named(three, tmp_path):
    data = three.read_bytes()
    with tarfile.open(tmp_path / 'outer.tar', 'w') as tar:
        member(tar, 'three.tar', data=data[:1024] + b'garbage' + data[1031:])
    with pytest.raises(ValueError, match=r'outer\.tar.*three\.tar'):
        create_reader('', tmp_path / 'outer.tar')


def test_sparse_members_are_left_out_by_name(tmp_path, caplog):
    # A PAX sparse file, format 1.0: its data begin with a map of what follows.
    with tarfile.open(tmp_path / 'a.tar', 'w', format=tarfile.PAX_FORMAT) as tar:
        fields = {'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '9999'}
        fields['GNU.sparse.name'] = 'c/holes.jpg'
        member(tar, 'c/x.jpg', data=b'1\n0\n3\n'.ljust(512, b'\0') + b'abc', pax_headers=fields)
        member(tar, 'c/1.jpg', data=b'one')
    reader = create_reader('', tmp_path / 'a.tar')
    assert reader.filenames() == ['c/1.jpg']
    assert 'holes.jpg' in caplog.text


def test_single_tar_reader(folder, tmp_path):
    tar = make_tar(tmp_path / 'images.tar', folder)
    reader = ReaderImageTar(tar, class_map={'dog': 7})
    assert reader.filenames() == NAMES[6:]
    assert targets(reader) == [7, 7, 7]
    with pytest.raises(FileNotFoundError):
        ReaderImageTar(folder)
    with tarfile.open(tar) as opened:
        infos, classes = extract_tarinfo(opened)
    assert [info.name for info, _ in infos] == NAMES
    assert classes == {'cat2': 0, 'cat10': 1, 'dog': 2}
