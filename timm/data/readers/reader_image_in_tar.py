"""Images in tar files: one tar, a folder of tars, or tars inside a tar."""

import io
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from timm.data._decode import DamagedImageError

from ._listing_cache import CacheChoice
from ._names import PackedNames, base_of, class_indices
from ._tar_index import TarMember, TarSamples, index_tars
from .class_map import load_class_map
from .img_extensions import get_img_extensions
from .reader import Reader

__all__ = ['ReaderImageInTar', 'TarState', 'extract_tarinfos']

# The suffix of index files that other versions write beside a tar. They are pickles: neither read nor written here.
CACHE_FILENAME_SUFFIX = '_tarinfos.pickle'

_POSITION = threading.Lock()


class TarState:
    """The open handle of one tar file, for all threads and forked workers, and the process that opened it."""

    def __init__(self, tf: BinaryIO | None = None, ti: int | None = None) -> None:
        self.tf = tf
        self.ti = ti

    def reset(self) -> None:
        """Forget the handle."""
        self.tf = None
        self.ti = None


def extract_tarinfos(
    root: str,
    class_name_to_idx: Mapping[str, int] | None = None,
    cache_tarinfo: CacheChoice = None,
    extensions: Collection[str] | None = None,
    sort: bool = True,
) -> tuple[Sequence[TarMember], np.ndarray, dict[str, int]]:
    """Index the images of a tar file or a folder of them: members, their classes, and the map from class name to index.

    Args:
        class_name_to_idx: Map to use; images of classes that it does not name are left out.
        cache_tarinfo: Keep the index for the next start: True, False, the folder to keep it in, or None for large ones
            only. See `timm.data.readers._listing_cache`.
        extensions: Extensions to take; by default those of `get_img_extensions`.
        sort: Order the images by name, as people count.

    Raises:
        FileNotFoundError: No tar file there.
        ValueError: A file is not a tar file, or is damaged or cut off.
        RuntimeError: There is no image in it.
    """
    accepted = get_img_extensions(as_set=True) if extensions is None else extensions
    columns, tars = index_tars(root, accepted, sort, cache_tarinfo)
    labels = list(PackedNames(columns['labels'], columns['label_ends']))
    if class_name_to_idx is None:
        class_name_to_idx = class_indices(labels)
    label_of = columns['label_of']
    wanted = np.array([label in class_name_to_idx for label in labels], bool)
    rows = None if wanted.all() else np.flatnonzero(wanted[label_of])
    samples = TarSamples(columns, tars, rows)
    if not samples:
        raise RuntimeError(
            f'Found 0 images in {root!r}: {len(label_of)} files with an extension of {", ".join(sorted(accepted))}, '
            f'none of them in the class map'
        )
    targets = np.array([class_name_to_idx.get(label, 0) for label in labels], np.int64)
    return samples, targets[label_of if rows is None else label_of[rows]], dict(class_name_to_idx)


class ReaderImageInTar(Reader):
    """Every image of a tar file, of the tar files in a folder, and of the tar files inside them.

    An image's class is the folder that holds it in its tar; without one, the name of that tar.

    Args:
        class_map: Class names to indices, or a file with them (see `load_class_map`).
        cache_tarfiles: Keep the tar files open between reads.
        cache_tarinfo: Keep the index of the tar files for the next start: True, False, the folder to keep it in, or
            None for large ones only. See `timm.data.readers._listing_cache`.
        cache_listing: The same, by the name that it has for folders; it goes first.

    Attributes:
        samples: `TarMember` of every image, as a sequence.
        targets: Class index of every image, int64.
    """

    def __init__(
        self,
        root: str,
        class_map: Mapping[str, int] | str | Path | None = '',
        cache_tarfiles: bool = True,
        cache_tarinfo: CacheChoice = None,
        *,
        cache_listing: CacheChoice = None,
    ) -> None:
        super().__init__()
        self.root = root = os.fspath(root)
        self.root_is_tar = Path(root).is_file()
        folder = Path(root).parent if self.root_is_tar else root
        self.samples, self.targets, self.class_name_to_idx = extract_tarinfos(
            root,
            class_name_to_idx=load_class_map(class_map, folder) if class_map else None,
            cache_tarinfo=cache_tarinfo if cache_listing is None else cache_listing,
        )
        self.class_to_idx = self.class_name_to_idx  # as the other readers call it
        self.class_idx_to_name = {index: name for name, index in self.class_name_to_idx.items()}
        self.cache_tarfiles = cache_tarfiles
        self.tar_state: dict[str, TarState] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[BinaryIO, int]:
        member = self.samples[index]
        if self.cache_tarfiles:
            data = _read(self._handle(member.tar), member)
        else:
            with Path(member.tar).open('rb') as file:
                data = _read(file, member)
        source = io.BytesIO(data)
        source.name = self._filename(index, absolute=True)  # for what is said about it
        return source, int(self.targets[index])

    def _handle(self, path: str) -> BinaryIO:
        state = self.tar_state.get(path)
        if state is not None and state.tf is not None:
            return state.tf
        file = Path(path).open('rb', buffering=0)  # noqa: SIM115 - kept for the next read
        if state is not None:  # which was reset
            self.tar_state.pop(path, None)
        kept = self.tar_state.setdefault(path, TarState(file, os.getpid())).tf
        if kept is None or kept is file:
            return file
        file.close()  # another thread was quicker
        return kept

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, 'tar_state': {}}

    def __del__(self) -> None:
        for state in getattr(self, 'tar_state', {}).values():
            if state.tf is not None:
                state.tf.close()

    def _filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        member = self.samples[index]
        if basename:
            return base_of(member.name)
        if not absolute:
            return member.name
        return '/'.join(filter(None, (member.tar, member.inner, member.name.lstrip('/'))))


def _read(file: BinaryIO, member: TarMember) -> bytes:
    if hasattr(os, 'pread'):  # which moves no position that other threads go by
        data = os.pread(file.fileno(), member.size, member.offset)
    else:
        with _POSITION:
            file.seek(member.offset)
            data = file.read(member.size)
    if len(data) != member.size:
        raise DamagedImageError(member.name, f'{member.tar!r} is cut off')
    return data
