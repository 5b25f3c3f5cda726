"""Class maps: from class names, as folders spell them, to indices."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ['load_class_map']


def load_class_map(map_or_filename: Mapping[str, int] | str | Path, root: str | Path = '') -> dict[str, int]:
    """A class map as a dictionary: given as one, or in a file.

    A `.txt` file holds one name a line in the order of the indices; a `.pkl` file holds a pickled dictionary of
    plain names and numbers (anything else in it is refused, not run).

    Args:
        root: Folder in which the file is looked for when it is not found as given.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is of another kind, or does not hold a map.
    """
    if isinstance(map_or_filename, Mapping):
        return dict(map_or_filename)
    path = Path(map_or_filename)
    if not path.exists():
        path = Path(root) / map_or_filename
    if not path.exists():
        raise FileNotFoundError(f'no class map file {str(map_or_filename)!r}, neither as given nor in {str(root)!r}')
    if path.suffix.lower() == '.txt':
        names = path.read_text(encoding='utf-8').rstrip().splitlines()
        return {name.strip(): index for index, name in enumerate(names)}
    if path.suffix.lower() == '.pkl':
        return _unpickled_map(path)
    raise ValueError(f'class map {str(path)!r} is neither .txt (a name a line) nor .pkl (a dictionary)')


class _PlainUnpickler(pickle.Unpickler):
    """Reads containers, text and numbers; a pickle that names any class or function is refused."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise pickle.UnpicklingError(f'{module_name}.{global_name} has no place in a class map')


def _unpickled_map(path: Path) -> dict[str, int]:
    with path.open('rb') as file:
        try:
            content = _PlainUnpickler(file).load()
        except (pickle.UnpicklingError, EOFError) as error:
            raise ValueError(f'class map {str(path)!r} cannot be read: {error}') from error
    if not isinstance(content, dict):
        raise ValueError(f'class map {str(path)!r} holds a {type(content).__name__}, not a dictionary')
    return content
