"""Class maps: from class names, as folders and datasets spell them, to indices."""

import pickle
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

__all__ = ['load_class_map', 'remap_dense_target', 'remap_labels', 'remap_target']

Names = Mapping[int, str] | None


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


def remap_labels(label: Any, class_to_idx: Mapping[Any, int], source_names: Names = None) -> Any:
    """The class index of a label, or the list of those of several.

    Args:
        label: As datasets give it: plain, in a list, or as an array or tensor of any number of dimensions.
        class_to_idx: Labels to indices.
        source_names: Name of each index of the dataset: a number that the map does not have is looked up by its name.

    Raises:
        KeyError: The map has neither the label nor its name.
    """
    dimensions = getattr(label, 'ndim', None)
    if isinstance(label, list | tuple) or dimensions:
        return [remap_labels(item, class_to_idx, source_names) for item in label]
    if dimensions == 0:
        label = label.item()
    if label in class_to_idx:
        return class_to_idx[label]
    name = source_names.get(int(label)) if source_names and isinstance(label, Integral) else None
    if name not in class_to_idx:
        known = ', '.join(map(repr, list(class_to_idx)[:5]))
        called = f' ({name!r})' if name is not None else ''
        raise KeyError(f'the class map has no class {label!r}{called}; it begins with {known}')
    return class_to_idx[name]


def remap_dense_target(values: Sequence[Any], class_to_idx: Mapping[Any, int]) -> list[float]:
    """A vector with an entry for each class, put into the order of the map; entries that it does not name are dropped.

    Args:
        class_to_idx: Places in `values` to places in the result, 0 where nothing goes.

    Raises:
        ValueError: The map names classes instead of places, or a place that the vector does not have.
    """
    names = [name for name in class_to_idx if not isinstance(name, Integral)]
    if names:
        raise ValueError(f'the class map of a vector must be keyed by source class index, not by {names[0]!r}')
    last = max(class_to_idx)
    if last >= len(values):
        raise ValueError(f'the class map has the source index {last}, and the target {len(values)} entries')
    moved = [0.0] * (max(class_to_idx.values()) + 1)
    for place, index in class_to_idx.items():
        moved[index] = float(values[place])
    return moved


def remap_target(target: Any, class_to_idx: Mapping[Any, int], source_names: Names = None, dense: bool = False) -> Any:
    """A target by the numbers of a class map: labels by `remap_labels`, `dense` vectors by `remap_dense_target`."""
    return remap_dense_target(target, class_to_idx) if dense else remap_labels(target, class_to_idx, source_names)
