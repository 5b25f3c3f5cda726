"""The file extensions that count as images when folders and tar files are searched; one list for the process."""

from collections.abc import Iterable

__all__ = [
    'add_img_extensions',
    'del_img_extensions',
    'get_img_extensions',
    'is_img_extension',
    'set_img_extensions',
]

IMG_EXTENSIONS = ('.png', '.jpg', '.jpeg')


def get_img_extensions(as_set: bool = False) -> tuple[str, ...] | set[str]:
    """The extensions in use, each with its dot."""
    return set(IMG_EXTENSIONS) if as_set else IMG_EXTENSIONS


def is_img_extension(ext: str) -> bool:
    """Whether files of this extension ('.jpg', in this spelling) are read."""
    return ext in IMG_EXTENSIONS


def set_img_extensions(extensions: list[str] | tuple[str, ...] | set[str]) -> None:
    """Read files of these extensions and no others.

    Raises:
        ValueError: Not a collection, or an extension that is not a dot and a name.
    """
    global IMG_EXTENSIONS
    if isinstance(extensions, str) or not isinstance(extensions, Iterable):
        raise ValueError(f'expected a list, tuple or set of extensions, got {extensions!r}')
    IMG_EXTENSIONS = tuple(_checked(ext) for ext in extensions)


def add_img_extensions(ext: str | list[str] | tuple[str, ...] | set[str]) -> None:
    """Read files of this extension, or these, as well."""
    global IMG_EXTENSIONS
    new = [_checked(e) for e in _several(ext)]
    IMG_EXTENSIONS = tuple(dict.fromkeys((*IMG_EXTENSIONS, *new)))


def del_img_extensions(ext: str | list[str] | tuple[str, ...] | set[str]) -> None:
    """Read files of this extension, or these, no longer."""
    global IMG_EXTENSIONS
    dropped = set(_several(ext))
    IMG_EXTENSIONS = tuple(e for e in IMG_EXTENSIONS if e not in dropped)


def _several(ext: object) -> list[str]:
    if isinstance(ext, str):
        return [ext]
    if isinstance(ext, list | tuple | set):
        return list(ext)
    raise ValueError(f"expected an extension such as '.webp', or a list of them, got {ext!r}")


def _checked(ext: str) -> str:
    if not isinstance(ext, str) or len(ext) < 2 or not ext.startswith('.'):
        raise ValueError(f"an extension is a dot and a name, as in '.webp', got {ext!r}")
    return ext
