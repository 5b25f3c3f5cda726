"""Images in folders, one folder a class."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from timm.data._decode import open_regular

from ._folder_index import list_folder
from ._listing_cache import CacheChoice
from ._names import base_of
from .class_map import load_class_map
from .img_extensions import get_img_extensions
from .reader import Reader

__all__ = ['ReaderImageFolder', 'find_images_and_targets']


def find_images_and_targets(
    folder: str,
    types: Iterable[str] | None = None,
    class_to_idx: Mapping[str, int] | None = None,
    leaf_name_only: bool = True,
    sort: bool = True,
) -> tuple[list[tuple[str, int]], dict[str, int]]:
    """List the images below a folder with their class index, and the map from class name to index.

    Args:
        types: Extensions to take, in lower case with the dot; by default those of `get_img_extensions`.
        class_to_idx: Map to use; images of classes that it does not name are left out. By default the classes are
            numbered in the order people count in ('n2' before 'n10').
        leaf_name_only: The class is the name of the innermost folder; otherwise the whole path, joined by '_'.
        sort: Order the images by path, in the same way.
    """
    samples, class_to_idx = list_folder(folder, _extensions(types), class_to_idx, leaf_name_only, sort, cache=False)
    return list(samples), class_to_idx


class ReaderImageFolder(Reader):
    """Every image below a root; the folder that holds it is its class.

    Args:
        class_map: Class names to indices, or a file with them (see `load_class_map`).
        input_key: Extensions to read in place of the usual ones: '.png;.webp'.
        cache_listing: Keep the listing for the next start, which then takes a small part of the time: True, False, the
            folder to keep it in, or None for long ones only. See `timm.data.readers._listing_cache`.

    Attributes:
        samples: (path, class index) of every image, as a sequence.
        class_to_idx: Class name -> index.

    Raises:
        FileNotFoundError: The root is not a folder.
        RuntimeError: There is no image below it.
    """

    def __init__(
        self,
        root: str,
        class_map: Mapping[str, int] | str | Path | None = '',
        input_key: str | None = None,
        *,
        cache_listing: CacheChoice = None,
    ) -> None:
        super().__init__()
        root = os.fspath(root)
        if not root or not Path(root).is_dir():
            raise FileNotFoundError(f'no folder {root!r} to read images from')
        self.root = root
        class_to_idx = load_class_map(class_map, root) if class_map else None
        types = [ext for ext in input_key.split(';') if ext] if input_key else None
        self.samples, self.class_to_idx = list_folder(root, _extensions(types), class_to_idx, cache=cache_listing)
        if not self.samples:
            accepted = ', '.join(types or get_img_extensions())
            hint = f' of the {len(class_to_idx)} classes of the class map' if class_to_idx else ''
            raise RuntimeError(f'Found 0 images{hint} in {root!r} and its folders. Extensions that count: {accepted}')

    def __getitem__(self, index: int) -> tuple[BinaryIO, Any]:
        path, target = self.samples[index]
        return open_regular(path), target

    def __len__(self) -> int:
        return len(self.samples)

    def _filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        path = self.samples[index][0]
        if basename:
            return base_of(path, os.path.sep)
        return path if absolute else path[len(self.root) :].lstrip(os.path.sep)


def _extensions(types: Iterable[str] | None) -> set[str]:
    return {ext.lower() for ext in (get_img_extensions(as_set=True) if types is None else types)}
