"""Parts of file names, for names by the million."""

__all__ = ['base_of', 'extension_of', 'folder_of']


def base_of(path: str, separator: str = '/') -> str:
    """The name without its folders."""
    return path.rpartition(separator)[2]


def folder_of(path: str, separator: str = '/') -> str:
    """The name of the innermost folder, '' if there is none: 'a/b/c.jpg' -> 'b'."""
    folder = path.rpartition(separator)[0].rpartition(separator)[2]
    return '' if folder == '.' else folder


def extension_of(name: str) -> str:
    """The extension in lower case with its dot; '' for none, and for names that begin with their only dot."""
    stem, dot, extension = base_of(name).rpartition('.')
    return (dot + extension).lower() if stem else ''
