"""Datasets that the package `datasets` reads, as a stream: exact counts, with and without preparing them first."""

import pytest
from hf_files import TOTAL, make_files
from streams import batches, check_evaluation, check_order, check_training, flat, number_of, with_workers

from timm.data import create_dataset
from timm.data._decode import DamagedImageError
from timm.data.readers.reader_hfids import ReaderHfids

datasets = pytest.importorskip('datasets')


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp('hf'))


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(datasets.config, 'HF_HUB_OFFLINE', True)


def make(files, prepared=True, **options):
    known = {'download': True} if prepared else {'num_samples': TOTAL}
    return create_dataset(f'hfids/{files}/data', root=f'{files}/cache', **{'split': 'train', **known, **options})


@pytest.mark.parametrize('prepared', [True, False])
def test_images_and_labels_come_in_order(files, prepared):
    dataset = make(files, prepared)
    assert isinstance(dataset.reader, ReaderHfids)
    assert len(dataset) == TOTAL
    assert [(number_of(image), target) for image, target in dataset] == [(i, i % 3) for i in range(TOTAL)]
    assert dataset.filenames() == [f'n{i}' for i in range(TOTAL)]
    with pytest.raises(ValueError, match='file name'):
        dataset.filename(0)


def once(files, prepared, made):
    """A dataset is opened once for all processes and workers: only its counts are asked."""

    def make_one(is_training=False, **options):
        if is_training not in made:
            made[is_training] = make(files, prepared, is_training=is_training, **options)
        return made[is_training]

    return make_one


@pytest.mark.parametrize('prepared', [True, False])
def test_counts_are_exact(files, prepared, monkeypatch):
    make_one = once(files, prepared, {})
    check_evaluation(make_one, TOTAL, monkeypatch)
    check_training(make_one, TOTAL, monkeypatch, all_seen=prepared)


@pytest.mark.parametrize('prepared', [True, False])
def test_order_follows_from_seed_and_epoch(files, prepared):
    check_order(lambda **options: make(files, prepared, **options))


@pytest.mark.parametrize('prepared', [True, False])
def test_workers_give_the_same_batches(files, prepared, monkeypatch):
    dataset = make(files, prepared, batch_size=3, is_training=True)
    alone = with_workers(dataset, 0, monkeypatch)
    assert batches(dataset, workers=2) == alone == with_workers(dataset, 4, monkeypatch)
    assert sorted(flat(batches(make(files, prepared, batch_size=3), workers=2))) == list(range(TOTAL))


def test_parts_of_splits_need_preparation(files):
    assert [number_of(image) for image, _ in make(files, split='train[2:5]')] == [2, 3, 4]
    for prepared in (True, False):
        with pytest.raises(ValueError, match='nowhere'):
            make(files, prepared, split='nowhere')
    with pytest.raises(ValueError, match=r'train\[2:5\]'):
        make(files, prepared=False, split='train[2:5]')


def test_lengths_that_are_not_known_are_asked_for(files, tmp_path):
    with pytest.raises(ValueError, match='num_samples'):
        create_dataset(f'hfids/{files}/data', root=str(tmp_path), split='train')


def test_fields_that_are_not_there_are_named(files):
    with pytest.raises(ValueError, match=r"'imag'.*did you mean 'image'"):
        make(files, input_key='imag')
    with pytest.raises(ValueError, match=r"'class'.*id, image, label"):
        make(files, prepared=False, target_key='class')
    with pytest.raises(ValueError, match='images'):
        list(make(files, target_img_mode='L'))


@pytest.mark.parametrize('download', [True, False])
def test_damaged_images_are_named_and_left_out(files, download):
    def damaged(**options):
        place = dict(root=f'{files}/cache', split='train', download=download, num_samples=3)
        return create_dataset(f'hfids/{files}/damaged', **place, **options)

    with pytest.raises(DamagedImageError, match=r'damaged/train.*\[1\]'):
        list(damaged())
    assert [number_of(image) for image, _ in damaged(damaged='skip')] == [0, 2]
    assert [len(batch) for batch in batches(damaged(damaged='skip', is_training=True, batch_size=3))] == [3]
