"""TensorFlow datasets, read without TensorFlow: both kinds of file, fields, splits, exact counts."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from streams import batches, check_evaluation, check_order, check_training, flat, number_of, with_workers
from tfds_files import TOTAL, as_tf_records, make_array_records, prepare

from timm.data import create_dataset
from timm.data._decode import DamagedImageError
from timm.data.readers import reader_tfds
from timm.data.readers.reader_tfds import ReaderTfds

pytest.importorskip('tensorflow_datasets')
pytest.importorskip('array_record')


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    array_record = make_array_records(str(tmp_path_factory.mktemp('array_record')))
    tfrecord = as_tf_records(array_record, str(tmp_path_factory.mktemp('tfrecord')), reader_tfds._masked_crc)
    return {'array_record': array_record, 'tfrecord': tfrecord}


@pytest.fixture(params=['array_record', 'tfrecord'])
def root(request, roots):
    return roots[request.param]


def make(root, **options):
    return create_dataset('tfds/tiny', root, **{'split': 'train', **options})


def test_images_and_labels_come_without_tensorflow(root):
    dataset = make(root)
    assert isinstance(dataset.reader, ReaderTfds)
    assert len(dataset) == TOTAL
    samples = [(number_of(image), target) for image, target in dataset]
    assert sorted(samples) == [(i, i % 3) for i in range(TOTAL)]
    assert dataset.filenames() == [f'n{i}' for i, _ in samples]
    assert dataset.reader.class_to_idx == {'a': 0, 'b': 1, 'c': 2}


@pytest.mark.slow
def test_tensorflow_is_not_imported(roots):
    ask = f"""
import sys
from timm.data import create_dataset
assert len(list(create_dataset('tfds/tiny', {roots['tfrecord']!r}, split='test'))) == 4
print('tensorflow' in sys.modules)
"""
    done = subprocess.run([sys.executable, '-c', ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['False']


def test_checksum_of_tfrecord():
    crc = 0xE3069283  # of these nine digits, RFC 3720 and others
    assert reader_tfds._masked_crc(b'123456789') == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_parts_of_splits(root):
    everything = [number_of(image) for image, _ in make(root)]
    assert [number_of(image) for image, _ in make(root, split='train[10%:50%]')] == everything[2:10]
    assert len(make(root, split='train[:3]+test')) == 7
    with pytest.raises(ValueError, match=r"'nowhere'.*test"):
        make(root, split='nowhere')


def once(root, made):
    def make_one(is_training=False, **options):
        if is_training not in made:
            made[is_training] = make(root, is_training=is_training, **options)
        return made[is_training]

    return make_one


def test_counts_are_exact(root, monkeypatch):
    make_one = once(root, {})
    check_evaluation(make_one, TOTAL, monkeypatch)
    check_training(make_one, TOTAL, monkeypatch)


def test_order_follows_from_seed_and_epoch(root):
    check_order(lambda **options: make(root, **options))


def test_workers_give_the_same_batches(roots, monkeypatch):
    dataset = make(roots['tfrecord'], batch_size=3, is_training=True)
    alone = with_workers(dataset, 0, monkeypatch)
    assert batches(dataset, workers=2) == alone
    assert sorted(flat(batches(make(roots['tfrecord'], batch_size=3), workers=2))) == list(range(TOTAL))


def test_array_records_are_not_read_on_both_sides_of_a_fork(roots, monkeypatch):
    monkeypatch.setattr(reader_tfds, '_array_record_pid', 1)
    with pytest.raises(RuntimeError, match='spawn'):
        list(make(roots['array_record']))


def test_readers_can_be_sent_to_other_processes(root):
    dataset = pickle.loads(pickle.dumps(make(root, split='test')))
    assert sorted(number_of(image) for image, _ in dataset) == [0, 1, 2, 3]


def test_targets_are_fields_paths_or_images(root):
    assert {tuple(target) for _, target in make(root, target_key='inner/hot')} == {(0, 1), (1, 1)}
    dense = make(root, target_key='inner/hot', target_format='multihot', class_map={1: 0})
    assert [target for _, target in dense] == [[1]] * TOTAL
    masks = [target for _, target in make(root, target_key='mask', target_img_mode='L')]
    assert {(mask.mode, mask.getpixel((0, 0))) for mask in masks} == {('L', 7)}
    assert {target for _, target in make(root, class_map={'a': 5, 'b': 6, 'c': 7})} == {5, 6, 7}


def test_images_may_be_pixels_and_of_other_modes(root):
    assert sorted(number_of(image) for image, _ in make(root, input_key='pixels')) == list(range(TOTAL))
    assert {image.mode for image, _ in make(root, input_img_mode='L')} == {'L'}


def test_fields_and_datasets_that_are_not_there_are_named(root, tmp_path):
    for options in ({'input_key': 'imag'}, {'target_key': 'class'}):
        with pytest.raises(ValueError, match=r'no field.*id, image, inner, label'):
            make(root, **options)
    with pytest.raises(ValueError, match='tinny'):
        create_dataset('tfds/tinny', root)
    with pytest.raises(FileNotFoundError, match='download=True'):
        create_dataset('tfds/mnist', str(tmp_path), split='train')


def test_damaged_images_and_files_are_named(root, tmp_path):
    with pytest.raises(DamagedImageError, match=r'tiny-damaged.*\[\d\]'):
        list(make(root, split='damaged'))
    assert sorted(number_of(image) for image, _ in make(root, split='damaged', damaged='skip')) == [3, 5]
    kind = make(root).reader.builder.info.file_format.value
    target = tmp_path / 'tiny' / '1.0.0'
    target.mkdir(parents=True)
    for file in Path(root, 'tiny', '1.0.0').iterdir():
        data = file.read_bytes()
        (target / file.name).write_bytes(data[: len(data) // 2] if 'train' in file.name else data)
    with pytest.raises(DamagedImageError, match=f'tiny-train.{kind}'):
        list(make(str(tmp_path)))


def test_what_is_missing_is_said(root, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
    with pytest.raises(ImportError, match=r'timm\[tfds\]'):
        make(root)


@pytest.mark.slow
def test_files_that_tensorflow_has_written(tmp_path):
    pytest.importorskip('tensorflow')
    done = subprocess.run(
        [sys.executable, str(Path(prepare.__code__.co_filename)), str(tmp_path), 'tfrecord'],
        capture_output=True,
        check=True,
    )
    assert done.returncode == 0
    assert sorted(number_of(image) for image, _ in make(str(tmp_path))) == list(range(TOTAL))
