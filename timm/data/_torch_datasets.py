"""Datasets of torchvision by name."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

from torchvision import datasets

from ._decode import decode

__all__ = ['EVAL_NAMES', 'TEST_NAMES', 'TRAIN_NAMES', 'torch_dataset']

# Names that one split goes by.
TRAIN_NAMES = ('train', 'training')
EVAL_NAMES = ('val', 'valid', 'validation', 'eval', 'evaluation')
TEST_NAMES = ('test', 'testing')

_WITH_TRAIN: Mapping[str, Any] = {
    'cifar10': datasets.CIFAR10,
    'cifar100': datasets.CIFAR100,
    'fashion_mnist': datasets.FashionMNIST,
    'kmnist': datasets.KMNIST,
    'mnist': datasets.MNIST,
    'qmnist': datasets.QMNIST,
}


class _Places365(datasets.Places365):
    """Places365 whose `transform` may be set at any time, as that of the others."""

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        file, target = self.imgs[index]
        image = self.loader(file)
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)


def torch_dataset(
    name: str, root: str | None, split: str, download: bool, mode: str | None, kwargs: dict[str, Any]
) -> Any:
    """A dataset of torchvision.

    Args:
        mode: PIL mode that the images of those which lie in files are converted to.
        kwargs: Further arguments of its class.

    Raises:
        ValueError: There is no such dataset or split, or no root is given.
        RuntimeError: The dataset is not at the root; torchvision says what to do.
    """
    name = name.lower()
    if name not in _KINDS:
        near = get_close_matches(name, _KINDS, n=1)
        meant = f'; did you mean {near[0]!r}?' if near else ''
        raise ValueError(f"no dataset 'torch/{name}'; there are {', '.join(sorted(_KINDS))}{meant}")
    if root is None and name != 'fake_data':
        raise ValueError(f"dataset 'torch/{name}' needs a root: the folder that it is in, or is downloaded to")
    return _KINDS[name](name, root, split, download, mode, kwargs)


def _with_train(name: str, root: str, split: str, download: bool, mode: str | None, kwargs: dict[str, Any]) -> Any:
    """Sets of two parts, one to train on."""
    del mode
    if split not in (*TRAIN_NAMES, *EVAL_NAMES, *TEST_NAMES):
        raise ValueError(f'no split {split!r} in torch/{name}, but train and test')
    return _WITH_TRAIN[name](root, train=split in TRAIN_NAMES, download=download, **kwargs)


def _inaturalist(name: str, root: str, split: str, download: bool, mode: str | None, kwargs: dict[str, Any]) -> Any:
    """Splits are versions, after the kind of target: 'family_genus/2021_train', '2019'."""
    del name
    kinds, slash, version = split.rpartition('/')
    target_type = kinds.split('_') if slash else ['full']
    version = '2021_train' if version in TRAIN_NAMES else '2021_valid' if version in EVAL_NAMES else version
    return datasets.INaturalist(
        root,
        version=version,
        target_type=target_type if len(target_type) > 1 else target_type[0],
        download=download,
        **{'loader': partial(decode, mode=mode), **kwargs},
    )


def _places365(name: str, root: str, split: str, download: bool, mode: str | None, kwargs: dict[str, Any]) -> Any:
    del name
    split = 'train-standard' if split in TRAIN_NAMES else 'val' if split in EVAL_NAMES else split
    return _Places365(root, split=split, download=download, **{'loader': partial(decode, mode=mode), **kwargs})


def _imagenet(name: str, root: str, split: str, download: bool, mode: str | None, kwargs: dict[str, Any]) -> Any:
    """It cannot be downloaded; its archives are taken from the root."""
    del name, download
    split = 'train' if split in TRAIN_NAMES else 'val' if split in EVAL_NAMES else split
    return datasets.ImageNet(root, split=split, **{'loader': partial(decode, mode=mode), **kwargs})


def _image_folder(name: str, root: str, split: str, download: bool, mode: str | None, kwargs: dict[str, Any]) -> Any:
    del name, split, download
    return datasets.ImageFolder(root, **{'loader': partial(decode, mode=mode), **kwargs})


def _fake_data(
    name: str, root: str | None, split: str, download: bool, mode: str | None, kwargs: dict[str, Any]
) -> Any:
    """Random pixels, to try things out without any data."""
    del name, root, split, download, mode
    return datasets.FakeData(**kwargs)


_KINDS: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(_WITH_TRAIN, _with_train),
    'fake_data': _fake_data,
    'folder': _image_folder,
    'image_folder': _image_folder,
    'imagenet': _imagenet,
    'inat': _inaturalist,
    'inaturalist': _inaturalist,
    'places365': _places365,
}
