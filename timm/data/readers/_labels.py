"""From the fields of a sample to its target."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .class_map import load_class_map, remap_target
from .targets import (
    check_target_format,
    get_field,
    has_field,
    multi_field_class_to_idx,
    multi_field_target,
    parse_target_keys,
)

__all__ = ['Labels', 'fields_named']

ClassMap = Mapping[Any, int] | str | Path | None


class Labels:
    """How targets are made: from one field or from several on/off fields, renumbered by a class map if there is one.

    Args:
        target_key: Field of the target, a path to it ('objects/label'), or on/off fields joined by commas.
        target_format: 'multihot' if the field holds a vector with an entry for each class (see `remap_target`).
        class_map: Class names or the dataset's own indices to indices, or a file with them.
        source_classes: The dataset's own class names, with their indices.
        features: Description of the dataset's fields, where it is known.

    Attributes:
        class_to_idx: Class names to the indices that come out.
    """

    def __init__(
        self,
        target_key: str,
        target_format: str | None = None,
        class_map: ClassMap = None,
        source_classes: Mapping[str, int] | None = None,
        features: Any = None,
    ) -> None:
        self.key = target_key
        self.keys = parse_target_keys(target_key)
        self.is_dense = check_target_format(target_format, self.keys) == 'multihot'
        if self.keys:
            source_classes = multi_field_class_to_idx(self.keys, features)
        elif features is not None and not has_field(features, target_key):
            raise ValueError(f'the dataset has no field {target_key!r} for targets; {fields_named(features)}')
        source = dict(source_classes or {})
        self._names = {index: name for name, index in source.items()}
        self.is_mapped = bool(class_map)
        self.class_to_idx = load_class_map(class_map) if class_map else source

    def __call__(self, sample: Any) -> Any:
        """The target of a sample, by its fields."""
        return self.mapped(multi_field_target(sample, self.keys) if self.keys else get_field(sample, self.key))

    def mapped(self, target: Any) -> Any:
        """A target in the numbers of the class map."""
        return remap_target(target, self.class_to_idx, self._names, dense=self.is_dense) if self.is_mapped else target


def fields_named(features: Any) -> str:
    """The fields of a dataset, in words."""
    return f'it has {", ".join(sorted(features.keys()))}'
