"""Where the images of tar files begin and end, so that any process can read one without the tar's headers."""

import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from timm.utils.misc import natural_key

from ._names import base_of, extension_of, folder_of

__all__ = ['TarMember', 'find_members', 'find_tars', 'label_of']


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


def find_tars(root: str) -> list[str]:
    """The tar file `root`, or the tar files right in the folder `root`.

    Raises:
        FileNotFoundError: There is none.
    """
    if Path(root).is_file():
        return [root]
    tars = sorted((str(path) for path in Path(root).glob('*.tar')), key=natural_key)
    if not tars:
        raise FileNotFoundError(f'no tar file {root!r}, and no folder of that name with .tar files in it')
    return tars


def find_members(root: str, extensions: Collection[str]) -> list[TarMember]:
    """The images in `root`: a tar file, a folder of tar files, or either with tar files inside.

    Raises:
        FileNotFoundError: No tar file there.
        ValueError: A file is not a tar file, or is cut off.
    """
    wanted = {ext.lower() for ext in extensions}
    found: list[TarMember] = []
    path = root
    try:
        for path in find_tars(root):
            with tarfile.open(path, 'r:') as tar:
                found += _members(tar, path, '', 0, wanted)
    except tarfile.TarError as error:
        raise ValueError(f'{path!r} cannot be read as an uncompressed tar file: {error}') from error
    return found


def _members(tar: tarfile.TarFile, path: str, inner: str, base: int, wanted: set[str]) -> Iterator[TarMember]:
    for info in tar:
        extension = extension_of(info.name)
        if not info.isfile() or info.issparse():
            continue
        if extension == '.tar':
            with tarfile.open(fileobj=tar.extractfile(info), mode='r:') as nested:
                yield from _members(nested, path, info.name, base + info.offset_data, wanted)
        elif extension in wanted:
            yield TarMember(path, inner, info.name, base + info.offset_data, info.size)


def label_of(member: TarMember, root_is_tar: bool = True) -> str:
    """Class of an image: the folder that holds it, else the tar that holds it, unless that is the root itself."""
    if folder := folder_of(member.name):
        return folder
    if member.inner:
        return base_of(member.inner).removesuffix('.tar')
    return '' if root_is_tar else Path(member.tar).stem
