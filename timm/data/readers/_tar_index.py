"""Where the images of tar files begin and end, so that any process can read one without the tar's headers."""

import logging
import tarfile
from array import array
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, overload

import numpy as np

from ._columns import Columns
from ._listing_cache import CacheChoice, ListingCache, mark_of
from ._names import PackedNames, base_of, extension_of, folder_of, natural_text

__all__ = ['TarMember', 'TarSamples', 'find_tars', 'index_tars']

_logger = logging.getLogger(__name__)

_BLOCK = tarfile.BLOCKSIZE


class TarMember(NamedTuple):
    """An image inside a tar file, or inside a tar file within one.

    Attributes:
        tar: Path of the outer file.
        inner: Name of the tar inside it that holds the image; '' if there is none.
        name: Name of the image in the tar that holds it.
        offset: First byte of its data in the outer file.
        size: Length of its data.
    """

    tar: str
    inner: str
    name: str
    offset: int
    size: int


class TarSamples(Sequence[TarMember]):
    """The images of tar files, made when they are asked for; it acts as the list of them, and cannot be changed.

    Args:
        columns: The index (see `index_tars`).
        tars: Paths of its tar files.
        rows: Which images of the index these are; None for all.
    """

    def __init__(self, columns: Columns, tars: list[str], rows: np.ndarray | None = None) -> None:
        self._columns = columns
        self._tars = tars
        self._rows = rows
        self._names = PackedNames(columns['names'], columns['name_ends'])
        self._inner = PackedNames(columns['inner'], columns['inner_ends'])

    def __reduce__(self) -> tuple[Any, ...]:
        return TarSamples, (self._columns, self._tars, self._rows)

    def __len__(self) -> int:
        return len(self._names if self._rows is None else self._rows)

    @overload
    def __getitem__(self, index: int) -> TarMember: ...
    @overload
    def __getitem__(self, index: slice) -> list[TarMember]: ...
    def __getitem__(self, index: int | slice) -> TarMember | list[TarMember]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        if self._rows is not None:
            row = int(self._rows[row])
        tar, inner, offset, size = self._columns['places'][row].tolist()
        return TarMember(self._tars[tar], self._inner[inner], self._names[row], offset, size)

    def __repr__(self) -> str:
        return f'<{len(self)} images in {len(self._tars)} tar files>'


def find_tars(root: str) -> list[str]:
    """The tar file `root`, or the tar files right in the folder `root`.

    Raises:
        FileNotFoundError: There is none.
    """
    if Path(root).is_file():
        return [root]
    tars = sorted((str(path) for path in Path(root).glob('*.tar')), key=natural_text)
    if not tars:
        raise FileNotFoundError(f'no tar file {root!r}, and no folder of that name with .tar files in it')
    return tars


def index_tars(
    root: str, extensions: Collection[str], sort: bool = True, cache: CacheChoice = None
) -> tuple[Columns, list[str]]:
    """Index the images in `root`: a tar file, a folder of tar files, or either with tar files inside.

    Args:
        sort: Order the images by name, as people count.
        cache: See `ListingCache`; an unsorted index is not kept.

    Returns:
        The index and the paths of the tar files. Its columns are: marks (see `mark_of`) of the tar files; names,
        name_ends (names of the images); places (number of the tar file, number of the inner tar, first byte, length),
        int64; inner, inner_ends (names of inner tars, the first is ''); labels, label_ends (names of classes) and
        label_of (int32), which are the images' own.

    Raises:
        FileNotFoundError: No tar file there.
        ValueError: A file is not a tar file, or is damaged or cut off.
    """
    tars = find_tars(root)
    wanted = {ext.lower() for ext in extensions}
    marks = np.array([mark_of(Path(tar).stat()) for tar in tars], np.int64)
    kept = ListingCache('tar', root, wanted, cache if sort else False)
    columns = kept.load()
    tar_names = [base_of(str(Path(tar).as_posix())) for tar in tars]
    if columns is None or columns.about['tars'] != tar_names or not np.array_equal(columns['marks'], marks):
        scan = _Scan(wanted)
        for number, tar in enumerate(tars):
            scan.read(number, tar)
        about = {'tars': tar_names, 'notes': scan.notes}
        columns = Columns(
            {'marks': marks, **scan.arrays(root_is_tar=Path(root).is_file(), tars=tars, sort=sort)}, about
        )
        columns = kept.keep(columns, len(scan.names), marks)
    for note in columns.about['notes']:
        _logger.warning('%s', note)
    return columns, tars


class _Scan:
    """The images met in the headers of tar files."""

    def __init__(self, wanted: Collection[str]) -> None:
        self.wanted = wanted
        self.names: list[str] = []
        self.places = array('q')  # four numbers an image
        self.inner: dict[str, int] = {'': 0}
        self.notes: list[str] = []
        self.left_out: list[str] = []

    def read(self, number: int, path: str) -> None:
        """Walk a tar file.

        Raises:
            ValueError: It cannot be read to its end.
        """
        self.left_out.clear()
        try:
            with tarfile.open(path, 'r:') as tar:
                self._walk(tar, number, '', 0)
        except (tarfile.TarError, OverflowError, RecursionError) as error:
            raise ValueError(f'{path!r} cannot be read as an uncompressed tar file: {error}') from error
        if self.left_out:
            self.notes.append(
                f'Left out {len(self.left_out)} members of {path!r} that are links or sparse files, which have no data '
                f'of their own: {", ".join(map(repr, self.left_out[:3]))}'
            )

    def _walk(self, tar: tarfile.TarFile, number: int, inner: str, base: int) -> None:
        where = -1
        while (info := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined] - a million of them are a gigabyte
            if tar.offset <= where:
                raise tarfile.ReadError(f'the header of {info.name!r} leads back to an earlier one')
            where = tar.offset
            extension = extension_of(info.name)
            if extension not in self.wanted and extension != '.tar':
                continue
            if info.issparse() or info.islnk() or info.issym():
                self.left_out.append(info.name)
            elif info.isfile() and extension == '.tar':
                self._walk_inner(tar, info, number, base)
            elif info.isfile():
                self.names.append(info.name)
                known = self.inner.setdefault(inner, len(self.inner))
                self.places.extend((number, known, base + info.offset_data, info.size))
        self._check_end(tar)

    def _walk_inner(self, tar: tarfile.TarFile, info: tarfile.TarInfo, number: int, base: int) -> None:
        try:
            with tarfile.open(fileobj=tar.extractfile(info), mode='r:') as nested:
                self._walk(nested, number, info.name, base + info.offset_data)
        except tarfile.TarError as error:
            raise tarfile.ReadError(f'{info.name!r} in it: {error}') from error

    def _check_end(self, tar: tarfile.TarFile) -> None:
        """tarfile takes a garbled header for the end; a true end is a block of zeros."""
        file: BinaryIO = tar.fileobj  # type: ignore[assignment]
        file.seek(tar.offset)
        end = file.read(_BLOCK)
        if end.strip(b'\0'):
            raise tarfile.ReadError(f'what follows byte {tar.offset} is no header')
        if len(end) < _BLOCK:
            self.notes.append(f'{str(tar.name)!r} has no end mark: it may be cut off')

    def arrays(self, root_is_tar: bool, tars: list[str], sort: bool) -> dict[str, np.ndarray]:
        """The columns of the index."""
        places = np.array(self.places, np.int64).reshape(-1, 4)
        order = range(len(self.names))
        if sort:
            keys = [natural_text(name) for name in self.names]
            order = sorted(order, key=keys.__getitem__)
        inner = list(self.inner)
        labels: dict[str, int] = {}
        label_of = array('i')
        for i in order:
            tar, known = places[i, :2].tolist()
            label = _label(self.names[i], inner[known], '' if root_is_tar else Path(tars[tar]).stem)
            label_of.append(labels.setdefault(label, len(labels)))
        columns = {'names': PackedNames.pack(self.names[i] for i in order), 'inner': PackedNames.pack(inner)}
        columns['labels'] = PackedNames.pack(labels)
        packed = {name: names.data for name, names in columns.items()}
        ends = {f'{name.removesuffix("s")}_ends': names.ends for name, names in columns.items()}
        return {**packed, **ends, 'places': places[list(order)], 'label_of': np.array(label_of, np.int32)}


def _label(name: str, inner: str, tar: str) -> str:
    """Class of an image: the folder that holds it, else the tar that holds it, unless that is the root itself."""
    return folder_of(name) or base_of(inner).removesuffix('.tar') or tar
