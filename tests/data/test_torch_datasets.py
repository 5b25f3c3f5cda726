"""Datasets of torchvision by name, on files as they publish them."""

import gzip
import pickle
import struct

import numpy as np
import pytest
import torch
from pictures import make_folder, picture
from torchvision import datasets

from timm.data import KeyedDataset, create_dataset, create_loader, create_reader
from timm.data._decode import DamagedImageError


def write_mnist(folder, name):
    """Three and two digits of 28 x 28, in the files of MNIST."""
    raw = folder / name / 'raw'
    raw.mkdir(parents=True)
    for part, total in (('train', 3), ('t10k', 2)):
        images = np.arange(total, dtype=np.uint8)[:, None, None] + np.zeros((1, 28, 28), np.uint8)
        (raw / f'{part}-images-idx3-ubyte').write_bytes(struct.pack('>IIII', 2051, total, 28, 28) + images.tobytes())
        (raw / f'{part}-labels-idx1-ubyte').write_bytes(struct.pack('>II', 2049, total) + bytes(range(total)))
        for kind in ('images-idx3', 'labels-idx1'):
            file = raw / f'{part}-{kind}-ubyte'
            (raw / f'{part}-{kind}-ubyte.gz').write_bytes(gzip.compress(file.read_bytes()))


@pytest.mark.parametrize(
    ('name', 'kind'),
    [('mnist', datasets.MNIST), ('fashion_mnist', datasets.FashionMNIST), ('kmnist', datasets.KMNIST)],
)
def test_digits(tmp_path, name, kind):
    write_mnist(tmp_path, kind.__name__)
    train = create_dataset(f'torch/{name}', str(tmp_path), split='train')
    assert type(train) is kind
    assert len(train) == 3
    image, target = train[2]
    assert (image.size, image.getpixel((0, 0)), target) == ((28, 28), 2, 2)
    for split in ('validation', 'test', 'eval'):
        assert len(create_dataset(f'Torch/{name.upper()}', str(tmp_path), split=split)) == 2


@pytest.mark.parametrize('name', ['cifar10', 'cifar100'])
def test_small_pictures(tmp_path, name, monkeypatch):
    kind = {'cifar10': datasets.CIFAR10, 'cifar100': datasets.CIFAR100}[name]
    monkeypatch.setattr(kind, '_check_integrity', lambda self: True)
    monkeypatch.setattr(kind, '_load_meta', lambda self: None)
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    for number, (file, _) in enumerate([*kind.train_list, *kind.test_list]):
        data = np.full((2, 3072), number, np.uint8)
        (folder / file).write_bytes(pickle.dumps({'data': data, 'labels': [0, 1], 'fine_labels': [0, 1]}))
    train = create_dataset(f'torch/{name}', str(tmp_path), split='train')
    assert len(train) == 2 * len(kind.train_list)
    assert train[0][0].size == (32, 32)
    assert len(create_dataset(f'torch/{name}', str(tmp_path), split='val')) == 2


def test_folders_are_found_by_split_and_converted(tmp_path):
    make_folder(tmp_path / 'train')
    make_folder(tmp_path / 'validation')
    for name in ('torch/image_folder', 'torch/folder'):
        dataset = create_dataset(name, str(tmp_path), split='val', input_img_mode='L')
        assert isinstance(dataset, datasets.ImageFolder)
        assert dataset.root == str(tmp_path / 'validation')
        assert dataset[0][0].mode == 'L'
    (tmp_path / 'train' / 'dog' / 'im1.jpg').write_bytes(b'none')
    with pytest.raises(DamagedImageError, match=r'dog/im1\.jpg'):
        list(create_dataset('torch/folder', str(tmp_path), split='train'))


@pytest.mark.parametrize('split', ['validation', '2021_valid', 'full/2021_valid'])
def test_inaturalist_names_versions_and_kinds_of_target(tmp_path, split):
    place = tmp_path / '2021_valid' / '00000_Animalia_Chordata_Aves_Piciformes_Picidae_Picus_viridis'
    place.mkdir(parents=True)
    picture(9, 8).save(place / 'a.jpg')
    for name in ('inat', 'inaturalist'):
        dataset = create_dataset(f'torch/{name}', str(tmp_path), split=split)
        assert [target for _, target in dataset] == [0]
    both = create_dataset('torch/inat', str(tmp_path), split='family_genus/2021_valid')
    assert both[0][1] == (0, 0)
    with pytest.raises(ValueError, match='2031'):
        create_dataset('torch/inat', str(tmp_path), split='2031')


def test_places_take_transforms_at_any_time(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.Places365, 'load_categories', lambda *_: (['a'], {'a': 0}))
    picture(9, 8).save(tmp_path / 'p.jpg')
    monkeypatch.setattr(datasets.Places365, 'load_file_list', lambda *_: ([(str(tmp_path / 'p.jpg'), 0)], [0]))
    (tmp_path / 'val_large').mkdir()
    for split, own in (('train', 'train-standard'), ('val', 'val'), ('train-challenge', 'train-challenge')):
        (tmp_path / {'train': 'data_large_standard', 'train-challenge': 'data_large_challenge'}.get(split, 'x')).mkdir(
            exist_ok=True
        )
        dataset = create_dataset('torch/places365', str(tmp_path), split=split)
        assert dataset.split == own
        dataset.transform = lambda image: image.size
        assert dataset[0] == ((9, 8), 0)


def test_imagenet_is_read_from_its_folders(tmp_path):
    torch.save(({'n01': ('cat',), 'n02': ('dog',)}, ['n01']), tmp_path / 'meta.bin')
    for wnid in ('n01', 'n02'):
        (tmp_path / 'val' / wnid).mkdir(parents=True)
        picture(9, 8).save(tmp_path / 'val' / wnid / 'a.jpg')
    dataset = create_dataset('torch/imagenet', str(tmp_path), split='validation')
    assert dataset.classes == [('cat',), ('dog',)]
    assert [target for _, target in dataset] == [0, 1]


def test_made_up_pictures_load_in_batches():
    dataset = create_dataset('torch/fake_data', size=6, image_size=(3, 12, 10), num_classes=4)
    loader = create_loader(KeyedDataset(dataset), 8, 4, use_prefetcher=False)
    assert [tuple(images.shape) for images, _ in loader] == [(4, 3, 8, 8), (2, 3, 8, 8)]


def test_names_and_splits_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"torch/cifar.*did you mean 'cifar10"):
        create_dataset('torch/cifar', str(tmp_path))
    with pytest.raises(ValueError, match='root'):
        create_dataset('torch/cifar10')
    with pytest.raises(ValueError, match='nowhere'):
        create_dataset('torch/cifar10', str(tmp_path), split='nowhere')
    with pytest.raises(ValueError, match='create_dataset'):
        create_reader('torch/cifar10', str(tmp_path))
