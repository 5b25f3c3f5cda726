"""Readers by name."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from .reader import Reader
from .reader_image_folder import ReaderImageFolder
from .reader_image_in_tar import ReaderImageInTar

__all__ = ['create_reader', 'split_kind']

# Kinds of dataset with a reader of their own. Streams need torch to know their share, folders and tar files do not.
_READERS = {'hfds': 'ReaderHfds', 'hfids': 'ReaderHfids', 'tfds': 'ReaderTfds', 'wds': 'ReaderWds'}


def create_reader(name: str, root: str | Path | None = None, split: str = 'train', **kwargs: Any) -> Reader:
    """A reader: of the kind that `name` begins with, else of the tar file or the folders of images at `root`.

    Args:
        name: Kind and name: 'hfds/NAME', 'hfids/NAME', 'tfds/NAME', 'wds/'; else the root alone decides.
        split: Part of the dataset, for kinds that have parts of their own; folders are chosen by `create_dataset`.
        kwargs: Arguments of the reader; those that are None are left to its defaults.

    Raises:
        ValueError: No root, or no such dataset, split or field.
        FileNotFoundError: Nothing at the root.
        RuntimeError: No image there.
        ImportError: A package is missing; the text says how to install it.
    """
    given = {key: value for key, value in kwargs.items() if value is not None}
    kind, rest = split_kind(name)
    if kind != 'hfds' and given.pop('additional_features', None):
        raise ValueError(f'additional_features are fields of hfds/ datasets; {name or "a folder"!r} has none')
    if kind == 'torch':
        raise ValueError(f'{name!r} is a dataset of torchvision and has no reader: use create_dataset({name!r}, ...)')
    if kind:
        reader = getattr(import_module(f'{__package__}.reader_{kind}'), _READERS[kind])
        return reader(name=rest, root=root, split=split, **_known_to(kind, given))
    if root is None:
        raise ValueError(f'reader {name!r} needs a root: the folder or .tar file that holds the images')
    path = os.fspath(root)
    if path.endswith('.tar') and Path(path).is_file():
        return ReaderImageInTar(path, **given)
    return ReaderImageFolder(path, **given)


def split_kind(name: str) -> tuple[str, str]:
    """The kind of dataset that a name begins with and the rest; ('', name) where it is of no special kind."""
    kind, slash, rest = name.partition('/')
    is_kind = slash and (kind.lower() in _READERS or kind.lower() == 'torch')
    return (kind.lower(), rest) if is_kind else ('', name)


def _known_to(kind: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments without those that every iterable dataset passes on and shards cannot be told."""
    return {name: value for name, value in kwargs.items() if kind != 'wds' or name != 'download'}
