"""Datasets by name."""

import logging
from pathlib import Path
from typing import Any

from ._torch_datasets import EVAL_NAMES, TEST_NAMES, TRAIN_NAMES, torch_dataset
from .dataset import ImageDataset, IterableImageDataset
from .readers.reader_factory import split_kind

__all__ = ['create_dataset', 'has_imagenet', 'has_inaturalist', 'has_places365', 'has_qmnist']

_logger = logging.getLogger(__name__)

# Every torchvision that is supported has these.
has_imagenet = has_inaturalist = has_places365 = has_qmnist = True

# Names that one split goes by, in the order in which they are looked for.
_SPLIT_NAMES = (TRAIN_NAMES, EVAL_NAMES, TEST_NAMES)


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
) -> Any:
    """A dataset of images.

    With an index: folders with a class each, or tar files (the default); `torch/NAME`, a dataset of torchvision;
    `hfds/NAME`, one of the Hugging Face hub. Streamed: `hfids/NAME`, the same without preparing it first;
    `tfds/NAME`, a TensorFlow dataset; `wds/`, shards of WebDataset.

    Args:
        name: '' or any plain name for folders and tar files; 'kind/name' for the others, the kind in any case.
        root: Folder or .tar file; for downloaded kinds the folder of their data, for `wds/` also a URL.
        split: Part of the dataset. Of folders, the folder or .tar file of that name below the root, or of a name that
            means the same ('val', 'validation', ...); where there is none the root itself is read. The other kinds
            have names of their own, and `hfds/`, `tfds/` and prepared `hfids/` parts of them: 'train[:10%]'.
        search_split: Look for such a folder or file at all.
        class_map: Class names to indices, or a file with them (see `load_class_map`); not for `torch/`.
        load_bytes: Give the bytes of the files instead of images: folders, tar files and `hfds/`.
        is_training: Streamed kinds: shuffle, and give full batches only, as many to each process.
        download: Download, and prepare, what is not there: `torch/`, `hfids/`, `tfds/`.
        batch_size: Streamed kinds: samples in a batch of one process, as its loader makes them.
        num_samples: `hfids/` and `wds/`: samples of the split, where its description does not say.
        seed: Streamed kinds: the order of a training follows from it and the epoch.
        repeats: Streamed kinds: passes over the split in an epoch of training.
        input_img_mode: PIL mode that images are converted to; those of `torch/` only where they are read from files.
        trust_remote_code: Let a dataset of the hub run a script of its own, or shards of WebDataset a command.
        kwargs: Arguments of `ImageDataset` or `IterableImageDataset`, then of the reader; those that are None are left
            to their defaults.

    Raises:
        ValueError: No root, or no such dataset, split or field.
        FileNotFoundError: There is nothing at the root.
        RuntimeError: There is no image.
        ImportError: A package is missing; the text says how to install it.
    """
    kwargs = {key: value for key, value in kwargs.items() if value is not None}
    kind, rest = split_kind(name)
    if kind == 'torch':
        if rest.lower() in ('folder', 'image_folder') and search_split and root is not None and Path(root).is_dir():
            root = _split_root(root, split)
        return torch_dataset(rest, root, split, download, input_img_mode, kwargs)
    common: dict[str, Any] = dict(reader=name, split=split, class_map=class_map, input_img_mode=input_img_mode)
    if kind in ('hfds', 'hfids', 'wds'):
        common['trust_remote_code'] = trust_remote_code
    if kind in ('hfids', 'tfds', 'wds'):
        return IterableImageDataset(
            root,
            is_training=is_training,
            download=download,
            batch_size=batch_size,
            num_samples=num_samples,
            repeats=repeats,
            seed=seed,
            **common,
            **kwargs,
        )
    if not kind:
        if root is None:
            raise ValueError(f'dataset {name!r} needs a root: the folder or .tar file that holds the images')
        if search_split and Path(root).is_dir():
            root = _split_root(root, split)
    return ImageDataset(root, load_bytes=load_bytes, **common, **kwargs)


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
