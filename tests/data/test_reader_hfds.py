"""Datasets that the package `datasets` reads, by index: fields, splits, class maps, damage."""

import io
import sys

import pytest
import torch
from hf_files import TOTAL, make_files
from PIL import Image
from streams import number_of

from timm.data import KeyedDataset, create_dataset, create_loader
from timm.data._decode import DamagedImageError
from timm.data.readers.reader_hfds import ReaderHfds

datasets = pytest.importorskip('datasets')


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp('hf'))


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(datasets.config, 'HF_HUB_OFFLINE', True)


def make(files, split='train', **options):
    return create_dataset(f'HFDS/{files}/data', root=f'{files}/cache', split=split, **options)


def test_images_and_labels_come_by_index(files):
    dataset = make(files)
    assert isinstance(dataset.reader, ReaderHfds)
    assert len(dataset) == TOTAL
    assert [(number_of(image), target) for image, target in dataset] == [(i, i % 3) for i in range(TOTAL)]
    assert dataset[3][0].mode == 'RGB'
    assert dataset.reader.class_to_idx == {'a': 0, 'b': 1, 'c': 2}
    assert list(dataset.reader.iter_targets()) == [i % 3 for i in range(TOTAL)]


def test_parts_of_splits_are_splits(files):
    assert [number_of(image) for image, _ in make(files, split='train[2:5]')] == [2, 3, 4]
    assert len(make(files, split='test')) == 4
    with pytest.raises(ValueError, match='nowhere'):
        make(files, split='nowhere')


def test_names_are_those_that_are_kept(files):
    dataset = make(files)
    assert dataset.filename(2) == 'p2.png'
    assert dataset.filenames(basename=True) == [f'p{i}.png' for i in range(TOTAL)]
    assert make(files, split='test').filename(1) == f'{files}/data/test[1]'


def test_further_fields_follow(files):
    assert make(files, additional_features=['id', 'label'])[4][1:] == (1, 'n4', 1)
    assert make(files, additional_features='id')[4][2] == 'n4'


def test_bytes_are_given_as_they_are(files):
    data, target = make(files, load_bytes=True)[1]
    assert number_of(Image.open(io.BytesIO(data))) == target == 1


def test_class_maps_and_several_fields(files):
    assert [t for _, t in make(files, class_map={'a': 5, 'b': 6, 'c': 7})][:3] == [5, 6, 7]
    assert [t for _, t in make(files, class_map={0: 5, 1: 6, 2: 7})][:3] == [5, 6, 7]
    dataset = make(files, target_key='odd,three')
    assert [t for _, t in dataset][:4] == [[1], [0], [], [0, 1]]
    assert dataset.reader.class_to_idx == {'odd': 0, 'three': 1}
    with pytest.raises(KeyError, match="'c'"):
        list(make(files, class_map={'a': 5, 'b': 6}))


def test_fields_that_are_not_there_are_named(files):
    for options in ({'input_key': 'imag'}, {'target_key': 'class'}, {'additional_features': ['ids']}):
        with pytest.raises(ValueError, match=r'no field.*id, image, label'):
            make(files, **options)
    with pytest.raises(ValueError, match=r"'label' holds.*image"):
        make(files, input_key='label')


def test_stream_of_batches_is_the_same_for_any_number_of_workers(files):
    streams = []
    for workers in (0, 2):
        loader = create_loader(
            KeyedDataset(make(files)), 8, 4, is_training=True, num_workers=workers, use_prefetcher=False
        )
        streams.append(torch.cat([images for images, _ in loader]))
    assert torch.equal(*streams)


def test_damaged_images_are_named_and_left_out(files):
    dataset = create_dataset(f'hfds/{files}/damaged', root=f'{files}/cache', split='train')
    with pytest.raises(DamagedImageError, match=r'broken\.png'):
        dataset[1]
    loader = create_loader(KeyedDataset(dataset, damaged='skip'), 8, 3, use_prefetcher=False)
    assert [target.tolist() for _, target in loader] == [[0, 2]]


def test_datasets_saved_to_disk_are_read(files, tmp_path):
    made = make(files).reader.dataset
    made.save_to_disk(tmp_path / 'one')
    datasets.DatasetDict({'train': made}).save_to_disk(tmp_path / 'dict')
    for place in ('one', 'dict'):
        dataset = create_dataset(f'hfds/{tmp_path}/{place}', split='train')
        assert [number_of(image) for image, _ in dataset] == list(range(TOTAL))
    with pytest.raises(ValueError, match=r'validation.*train'):
        create_dataset(f'hfds/{tmp_path}/dict', split='validation')


def test_what_is_missing_is_said(files, monkeypatch):
    with pytest.raises(ValueError, match='trust_remote_code'):
        make(files, trust_remote_code=True)
    monkeypatch.setitem(sys.modules, 'datasets', None)
    with pytest.raises(ImportError, match=r'timm\[readers\]'):
        make(files)


@pytest.mark.parametrize('kind', ['hfds', 'hfids'])
def test_a_hub_that_cannot_be_reached_is_named_with_the_remedy(kind, monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError('no route')

    monkeypatch.setattr(datasets, 'load_dataset', unreachable)
    monkeypatch.setattr(datasets, 'load_dataset_builder', unreachable)
    with pytest.raises(ConnectionError, match=r"'some/thing': no route; .*HF_ENDPOINT.*HF_HUB_OFFLINE"):
        create_dataset(f'{kind}/some/thing', split='train')
