"""Which images lie below a folder: found once, held as arrays, and given as (path, class index) when asked."""

import logging
import os
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from ._columns import Columns
from ._listing_cache import CacheChoice, ListingCache, Mark, mark_of
from ._names import PackedNames, base_of, class_indices, extension_of, natural_text

__all__ = ['FolderSamples', 'list_folder']

_logger = logging.getLogger(__name__)


class FolderSamples(Sequence[tuple[str, int]]):
    """The images of a folder as (path, class index); it acts as the list of these tuples, and cannot be changed.

    An item is made when it is asked for. What stays in memory, and what other processes share, are the arrays.

    Args:
        columns: The listing (see `list_folder`).
        prefix: The folder, with its separator.
        targets: Class index of the images in each folder of the listing.
        rows: Which images of the listing these are; None for all.
    """

    def __init__(self, columns: Columns, prefix: str, targets: np.ndarray, rows: np.ndarray | None = None) -> None:
        self._columns = columns
        self._prefix = prefix
        self._targets = targets
        self._rows = rows
        self._folders = PackedNames(columns['folders'], columns['folder_ends'])
        self._names = PackedNames(columns['names'], columns['name_ends'])
        self._folder_of = columns['folder_of']

    def __reduce__(self) -> tuple[Any, ...]:
        return FolderSamples, (self._columns, self._prefix, self._targets, self._rows)

    def __len__(self) -> int:
        return len(self._folder_of if self._rows is None else self._rows)

    @overload
    def __getitem__(self, index: int) -> tuple[str, int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[str, int]]: ...
    def __getitem__(self, index: int | slice) -> tuple[str, int] | list[tuple[str, int]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        if self._rows is not None:
            row = int(self._rows[row])
        folder = int(self._folder_of[row])
        return self._prefix + _joined(self._folders[folder], self._names[row]), int(self._targets[folder])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FolderSamples | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Any) -> list[tuple[str, int]]:
        return [*self, *other]

    def __radd__(self, other: Any) -> list[tuple[str, int]]:
        return [*other, *self]

    def __repr__(self) -> str:
        return f'<{len(self)} samples below {self._prefix!r}>'


def list_folder(
    root: str,
    extensions: Collection[str],
    class_to_idx: Mapping[str, int] | None = None,
    leaf_name_only: bool = True,
    sort: bool = True,
    cache: CacheChoice = None,
) -> tuple[FolderSamples, dict[str, int]]:
    """The images below a folder and the map from class name to index; see `find_images_and_targets`.

    Args:
        extensions: In lower case, with the dot.
        cache: See `ListingCache`; an unsorted listing is not kept.

    Raises:
        OSError: The folder cannot be read. Folders inside it that cannot are named in a warning.
    """
    prefix = root if root.endswith(os.path.sep) else root + os.path.sep
    kept = ListingCache('folder', root, extensions, cache if sort else False)
    columns = kept.load()
    if columns is None or not _is_true(columns, prefix):
        columns = _index(prefix, extensions, sort, kept)
    for note in columns.about['notes']:
        _logger.warning('%s', note)
    folders = PackedNames(columns['folders'], columns['folder_ends'])
    labels = [base_of(f, os.path.sep) if leaf_name_only else f.replace(os.path.sep, '_') for f in folders]
    counts = np.bincount(columns['folder_of'], minlength=len(labels))
    if class_to_idx is None:
        class_to_idx = class_indices(label for label, count in zip(labels, counts, strict=True) if count)
    targets = np.array([class_to_idx.get(label, 0) for label in labels], np.int64)
    wanted = np.array([label in class_to_idx for label in labels], bool)
    left_out = int(counts[~wanted].sum())
    rows = np.flatnonzero(wanted[columns['folder_of']]) if left_out else None
    if left_out:
        _logger.info('%d of %d images in %s are of classes outside the class map', left_out, counts.sum(), root)
    return FolderSamples(columns, prefix, targets, rows), dict(class_to_idx)


def _joined(folder: str, name: str) -> str:
    return f'{folder}{os.path.sep}{name}' if folder else name


def _is_true(columns: Columns, prefix: str) -> bool:
    """Whether every folder of a kept listing is the one it was, unchanged."""
    marks = map(tuple, columns['marks'].tolist())
    try:
        return all(
            mark_of(Path(prefix + folder).stat()) == mark
            for folder, mark in zip(PackedNames(columns['folders'], columns['folder_ends']), marks, strict=True)
        )
    except OSError:
        return False


class _Walk:
    """What was met on a walk: every folder and its mark, every image and the number of its folder."""

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.marks: list[Mark] = []
        self.names: list[str] = []
        self.folder_of = array('i')
        self.notes: list[str] = []
        self.complete = True


def _index(prefix: str, extensions: Collection[str], sort: bool, kept: ListingCache) -> Columns:
    """List a folder anew.

    The columns are: folders, folder_ends (names of the folders, the first is the root ''), marks (see `mark_of`);
    names, name_ends (names of the images), folder_of (number of the folder of each, int32).
    """
    walk = _walk(prefix, extensions)
    folder_of = np.frombuffer(walk.folder_of, np.int32) if walk.names else np.empty(0, np.int32)
    names = walk.names
    if sort:
        before = [natural_text(f'{folder}{os.path.sep}' if folder else '') for folder in walk.folders]
        keys = [before[f] + natural_text(name) for f, name in zip(walk.folder_of, names, strict=True)]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        del keys
        names = [names[i] for i in order]
        folder_of = folder_of[order]
    packed, folders = PackedNames.pack(names), PackedNames.pack(walk.folders)
    marks = np.array(walk.marks, np.int64)
    columns = Columns(
        {
            'folders': folders.data,
            'folder_ends': folders.ends,
            'marks': marks,
            'names': packed.data,
            'name_ends': packed.ends,
            'folder_of': folder_of,
        },
        {'notes': walk.notes},
    )
    return kept.keep(columns, len(names) + len(walk.folders), marks) if walk.complete else columns


def _walk(prefix: str, extensions: Collection[str]) -> _Walk:
    """Visit a folder and all inside it, links followed, in the order of `os.walk`.

    A link to a folder that it lies in itself would go on for ever, and is left out.
    """
    walk = _Walk()
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [('', frozenset())]
    while pending:
        folder, above = pending.pop()
        try:
            info = Path(prefix + folder).stat()
            identity = (info.st_dev, info.st_ino)
            if identity in above:
                walk.notes.append(f'Left out {prefix + folder!r}: a link to a folder that it lies in')
                continue
            with os.scandir(prefix + folder) as entries:
                listed = list(entries)
        except OSError as error:
            if not folder:
                raise
            walk.notes.append(f'Left out {prefix + folder!r}, which cannot be read: {error}')
            walk.complete = False  # a change of permissions would go unseen
            continue
        walk.folders.append(folder)
        walk.marks.append(mark_of(info))
        inside = list(_sorted_out(listed, len(walk.folders) - 1, extensions, walk))
        pending += [(_joined(folder, name), above | {identity}) for name in reversed(inside)]
    return walk


def _sorted_out(
    entries: list[os.DirEntry[str]], number: int, extensions: Collection[str], walk: _Walk
) -> Iterator[str]:
    """Take the images of a folder; gives its folders."""
    for entry in entries:
        if _is(entry.is_dir):
            yield entry.name
        elif extension_of(entry.name) in extensions:
            walk.names.append(entry.name)
            walk.folder_of.append(number)
        elif entry.is_symlink() and not _is(entry.is_file):
            walk.complete = False  # it may come to be a folder


def _is(kind: Callable[[], bool]) -> bool:
    """Whether a directory entry is of a kind; one that cannot be looked at is of none."""
    try:
        return kind()
    except OSError:
        return False
