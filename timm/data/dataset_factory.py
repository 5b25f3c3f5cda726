"""Datasets by name."""

import logging
from pathlib import Path
from typing import Any

from .dataset import ImageDataset
from .readers.reader_factory import check_kind

__all__ = ['create_dataset']

_logger = logging.getLogger(__name__)

# Names that one split goes by, in the order in which they are looked for.
_SPLIT_NAMES = (
    ('train', 'training'),
    ('val', 'valid', 'validation', 'eval', 'evaluation'),
    ('test', 'testing'),
)


def create_dataset(
    name: str,
    root: str | None = None,
    split: str = 'validation',
    search_split: bool = True,
    class_map: Any = None,
    load_bytes: bool = False,
    is_training: bool = False,
    download: bool = False,
    batch_size: int = 1,
    num_samples: int | None = None,
    seed: int = 42,
    repeats: int = 0,
    input_img_mode: str | None = 'RGB',
    trust_remote_code: bool = False,
    **kwargs: Any,
) -> ImageDataset:
    """A dataset of images: folders with a class each, or a tar file.

    Args:
        name: '' or any plain name for what lies at `root`; 'kind/name' for other kinds of dataset.
        root: Folder or .tar file.
        split: Part of the dataset: the folder or .tar file of that name below the root, or of a name that means the
            same ('val', 'validation', ...). Where there is none the root itself is read.
        search_split: Look for such a folder or file at all.
        class_map: Class names to indices, or a file with them (see `load_class_map`).
        load_bytes: Give the bytes of the files instead of images.
        input_img_mode: PIL mode that images are converted to.
        kwargs: Arguments of `ImageDataset`, then of the reader.

    The other arguments are for streamed and downloaded kinds of dataset and have no effect on these.

    Raises:
        ValueError: A kind of dataset that this version does not read, or no root.
        FileNotFoundError: There is nothing at the root.
        RuntimeError: There is no image.
    """
    del is_training, download, batch_size, num_samples, seed, repeats, trust_remote_code
    check_kind(name)
    if root is None:
        raise ValueError(f'dataset {name!r} needs a root: the folder or .tar file that holds the images')
    if search_split and Path(root).is_dir():
        root = _split_root(root, split)
    return ImageDataset(
        root,
        reader=name,
        split=split,
        class_map=class_map,
        load_bytes=load_bytes,
        input_img_mode=input_img_mode,
        **{key: value for key, value in kwargs.items() if value is not None},
    )


def _split_root(root: str, split: str) -> str:
    """The folder or .tar file of a split ('train[:10%]' is of 'train') below the root, or the root if it has none."""
    asked = split.partition('[')[0]
    same = next((names for names in _SPLIT_NAMES[:2] if asked in names), ())
    for name in filter(None, (asked, *same)):
        part = _find_part(root, name)
        if part:
            return part
    others = [name for names in _SPLIT_NAMES for name in names if _find_part(root, name)]
    if others:
        _logger.warning(
            'No folder for split %r in %s, but for %s: all of them are read as one dataset', split, root, others
        )
    return root


def _find_part(root: str, name: str) -> str:
    """Path of the folder `name` or the file `name.tar` below the root, '' if there is neither."""
    folder, archive = Path(root, name), Path(root, f'{name}.tar')
    return str(folder) if folder.is_dir() else str(archive) if archive.is_file() else ''
