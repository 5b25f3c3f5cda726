"""Readers by name."""

import os
from pathlib import Path
from typing import Any

from .reader import Reader
from .reader_image_folder import ReaderImageFolder
from .reader_image_in_tar import ReaderImageInTar

__all__ = ['create_reader']

# Kinds of dataset this version cannot read yet, with the package that each of them needs.
_ABSENT = {
    'hfds': 'datasets',
    'hfids': 'datasets',
    'tfds': 'tensorflow-datasets',
    'torch': 'torchvision',
    'wds': 'webdataset',
}


def create_reader(name: str, root: str | Path | None = None, split: str = 'train', **kwargs: Any) -> Reader:
    """A reader for what lies at `root`: a tar file if it is one (`.tar`), else folders of images.

    Args:
        name: Kind and name, 'kind/name'; without a known kind the root alone decides.
        split: Part of the dataset, for kinds that have parts of their own; folders are chosen by `create_dataset`.
        kwargs: Arguments of the reader; those that are None are left to its defaults.

    Raises:
        ValueError: A kind of dataset that this version does not read, or no root.
        FileNotFoundError: Nothing at the root.
        RuntimeError: No image there.
    """
    del split
    check_kind(name)
    if root is None:
        raise ValueError(f'reader {name!r} needs a root: the folder or .tar file that holds the images')
    given = {key: value for key, value in kwargs.items() if value is not None}
    path = os.fspath(root)
    if path.endswith('.tar') and Path(path).is_file():
        return ReaderImageInTar(path, **given)
    return ReaderImageFolder(path, **given)


def check_kind(name: str) -> None:
    """Refuse the kinds of dataset that are named in 'kind/name' and not read by this version.

    Raises:
        ValueError: The kind is one of them.
    """
    kind, slash, _ = name.lower().partition('/')
    if slash and kind in _ABSENT:
        raise ValueError(
            f'datasets of the kind {kind}/ ({name!r}, package {_ABSENT[kind]!r}) are not read by this version; '
            f'put the images into one folder per class, or into a .tar file, and pass that as root'
        )
