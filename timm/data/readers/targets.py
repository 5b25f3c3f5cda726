"""Where in a sample its target is: fields by name or path, and several on/off fields as one multi-label target."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    'TARGET_FORMATS',
    'check_target_format',
    'get_field',
    'has_field',
    'multi_field_class_to_idx',
    'multi_field_target',
    'parse_target_keys',
]

# A multi-label target is a list of the classes that are on, or a vector with an entry for each class.
TARGET_FORMATS = ('indices', 'multihot')


def check_target_format(target_format: str | None, target_keys: Sequence[str] | None = None) -> str:
    """The format of a target; None is 'indices'.

    Args:
        target_keys: The on/off fields that make the target, where there are several; that makes it 'indices'.

    Raises:
        ValueError: There is no such format, or it does not go with several fields.
    """
    if target_format is not None and target_format != '' and target_format not in TARGET_FORMATS:
        raise ValueError(f'Unknown target format {target_format!r}: there are {" and ".join(TARGET_FORMATS)}')
    if target_keys and target_format == 'multihot':
        raise ValueError(
            f'the fields {", ".join(target_keys)} have their own target format, indices: '
            f"leave target_format='multihot' out"
        )
    return target_format or 'indices'


def has_field(container: Any, path: str) -> bool:
    """Whether a sample, or the description of a dataset's fields, has the field `path` (see `get_field`)."""
    try:
        get_field(container, path)
    except KeyError:
        return False
    return True


def get_field(container: Any, path: str) -> Any:
    """A field by its name, or by the names on the way to it, joined by '/'.

    A name that contains a '/' itself goes first. Of a list of records, the rest of the path gives a list of values; of
    the description of a sequence (anything with a `feature`), that of its items.

    Raises:
        KeyError: There is no such field.
    """
    if isinstance(container, Mapping) and path in container:
        return container[path]
    if isinstance(container, list | tuple):
        return [get_field(item, path) for item in container]
    if not isinstance(container, Mapping):
        if hasattr(container, 'feature'):
            return get_field(container.feature, path)
        # Descriptions of fields in tensorflow_datasets look things up like a mapping, without being one.
        if hasattr(container, 'keys') and path in container.keys():  # noqa: SIM118
            return container[path]
    name, slash, rest = path.partition('/')
    if not slash or not hasattr(container, 'keys') or name not in container.keys():  # noqa: SIM118
        raise KeyError(path)
    return get_field(container[name], rest)


def parse_target_keys(target_key: str | None) -> tuple[str, ...] | None:
    """The fields of 'a,b,c'; None for a single one.

    Raises:
        ValueError: A name is empty, or is there twice.
    """
    if not target_key or ',' not in target_key:
        return None
    keys = tuple(part.strip() for part in target_key.split(','))
    if '' in keys or len(set(keys)) < len(keys):
        raise ValueError(f'the fields of target_key {target_key!r} must be unique and not empty, joined by commas')
    return keys


def multi_field_class_to_idx(keys: Sequence[str], features: Any = None) -> dict[str, int]:
    """Class map of on/off fields: each is the class of its place.

    Raises:
        ValueError: The description `features` of the dataset lacks one of them.
    """
    if features is not None:
        absent = [name for name in keys if not has_field(features, name)]
        if absent:
            raise ValueError(
                f'{", ".join(absent)} not found in dataset features, which are {", ".join(sorted(features.keys()))}'
            )
    return {name: index for index, name in enumerate(keys)}


def multi_field_target(sample: Any, keys: Sequence[str]) -> list[int]:
    """Places of the fields that are on, that is above zero."""
    return [index for index, name in enumerate(keys) if get_field(sample, name) > 0]
