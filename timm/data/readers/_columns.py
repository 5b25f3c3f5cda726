"""Arrays of a listing, in memory or in a file that processes share by mapping it into theirs.

A file is: 8 bytes of magic, the length of the header (8 bytes, little-endian), its BLAKE2b digest (16), the header
(JSON: facts about the listing; type, shape, place and CRC-32 of each array), then the arrays, each at a multiple of 64
bytes. There is nothing in it that could run.
"""

import hashlib
import json
import mmap
import os
import struct
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ['Columns']

_MAGIC = b'TIMMLST1'
_PREFIX = struct.Struct('<8sQ16s')
_ALIGN = 64
_MAX_HEADER = 2**24  # bytes; a header holds a few names and numbers


class Columns(Mapping[str, np.ndarray]):
    """Arrays by name. Pickled for another process they are the path of their file, if they have one.

    Attributes:
        about: Facts about the listing, as JSON can hold them.
        path: File that the arrays are mapped from; None for arrays in memory.
        stamp: Digest of its header, and so of all it holds.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        about: dict[str, Any],
        path: Path | None = None,
        stamp: bytes = b'',
    ) -> None:
        self._arrays = dict(arrays)
        self.about = about
        self.path = path
        self.stamp = stamp

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Any:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path is not None and _stamp_of(self.path) == self.stamp:
            return _reopen, (self.path, self.stamp)
        # By now another file has that name, or none: the arrays, still mapped here, travel themselves.
        return Columns, (self._arrays, self.about)

    def write(self, path: Path) -> None:
        """Write the file aside and give it its name when it is whole.

        Raises:
            OSError: It cannot be written; nothing is left behind.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        header, places = _header_of(self._arrays, self.about)
        digest = hashlib.blake2b(header, digest_size=16).digest()
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix='.', delete=False) as file:
            try:
                file.write(_PREFIX.pack(_MAGIC, len(header), digest) + header)
                start = _aligned(file.tell())
                for name, array in self._arrays.items():
                    file.seek(start + places[name])
                    file.write(_bytes_of(array))
                file.truncate(start + places[''])
                file.close()
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    @classmethod
    def open(cls, path: Path, check: bool = True) -> 'Columns':
        """Map a file.

        Args:
            check: Compare the arrays with their CRC; needless where this has been done in another process.

        Raises:
            OSError: There is no such file, or it cannot be read.
            ValueError: It is damaged, or of another kind or version.
        """
        with path.open('rb') as file:
            header, stamp = _read_header(file)
            start = _aligned(file.tell())
            if os.fstat(file.fileno()).st_size != start + header['size']:
                raise ValueError(f'{path} is cut off')
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        arrays = {}
        for name, (dtype, shape, place, crc) in header['arrays'].items():
            count = int(np.prod(shape, dtype=np.int64))
            array = np.frombuffer(data, dtype, count, start + place) if count else np.empty(0, dtype)
            if check and _crc(array) != crc:
                raise ValueError(f'{path} is damaged')
            arrays[name] = array.reshape(shape)
        return cls(arrays, header['about'], path, stamp)


def _reopen(path: Path, stamp: bytes) -> Columns:
    """What a worker process makes of the path it is given."""
    columns = Columns.open(path, check=False)
    if columns.stamp != stamp:
        raise RuntimeError(f'listing {str(path)!r} was replaced while a process that uses it was starting; start again')
    return columns


def _header_of(arrays: Mapping[str, np.ndarray], about: dict[str, Any]) -> tuple[bytes, dict[str, int]]:
    """The header of a file, and where each array begins after it; '' stands for the end of the last."""
    places: dict[str, int] = {}
    place = 0
    for name, array in arrays.items():
        places[name] = place
        place = _aligned(place + array.nbytes)
    places[''] = place
    described = {
        name: [array.dtype.str, list(array.shape), places[name], _crc(array)] for name, array in arrays.items()
    }
    header = {'about': about, 'size': place, 'arrays': described}
    return json.dumps(header).encode(), places


def _read_header(file: Any) -> tuple[dict[str, Any], bytes]:
    """Header and its digest; the file is then at the header's end."""
    prefix = file.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size:
        raise ValueError(f'{file.name} is cut off')
    magic, length, digest = _PREFIX.unpack(prefix)
    if magic != _MAGIC or length > _MAX_HEADER:
        raise ValueError(f'{file.name} is no listing')
    text = file.read(length)
    if hashlib.blake2b(text, digest_size=16).digest() != digest:
        raise ValueError(f'{file.name} is damaged')
    return json.loads(text), digest


def _stamp_of(path: Path) -> bytes | None:
    try:
        with path.open('rb') as file:
            return _read_header(file)[1]
    except (OSError, ValueError):
        return None


def _bytes_of(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _crc(array: np.ndarray) -> int:
    return zlib.crc32(_bytes_of(array))


def _aligned(place: int) -> int:
    return -(-place // _ALIGN) * _ALIGN
