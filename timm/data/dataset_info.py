"""What the classes of a dataset are called, by index."""

import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ['CustomDatasetInfo', 'DatasetInfo', 'DatasetInfoLabelMapper', 'LabelMappingCoverage']

Descriptions = list[str] | dict[str, str] | None


class LabelMappingCoverage(NamedTuple):
    """How well names fit a classifier: outputs with a name, outputs without one, names beyond the outputs."""

    mapped: int
    missing: int
    extra: int


class DatasetInfo(ABC):
    """Names and descriptions of classes: a name identifies a class (a synset), a description is for people."""

    @abstractmethod
    def num_classes(self) -> int:
        """Number of classes that have a name."""

    @abstractmethod
    def label_names(self) -> Sequence[str] | Mapping[int, str]:
        """Names by index: all of them in a row, or those there are."""

    @abstractmethod
    def label_descriptions(self, detailed: bool = False, as_dict: bool = False) -> Descriptions:
        """Descriptions in the order of the names, or by name.

        Args:
            detailed: With a definition after each, where there is one.
        """

    @abstractmethod
    def index_to_label_name(self, index: int) -> str:
        """Name of a class."""

    @abstractmethod
    def index_to_description(self, index: int, detailed: bool = False) -> str:
        """Description of a class."""

    @abstractmethod
    def label_name_to_description(self, label: str, detailed: bool = False) -> str:
        """Description that goes with a name."""

    def label_indices(self) -> tuple[int, ...]:
        """Indices that have a name."""
        names = self.label_names()
        return tuple(names) if isinstance(names, Mapping) else tuple(range(len(names)))

    def has_label(self, index: int) -> bool:
        """Whether an index has a name."""
        names = self.label_names()
        return index in names if isinstance(names, Mapping) else 0 <= index < len(names)


class CustomDatasetInfo(DatasetInfo):
    """Classes named by the caller.

    Args:
        label_names: Names in the order of the indices, or index -> name, where JSON makes text of the indices.
        label_descriptions: Name -> description, for every name; by default the names describe themselves.

    Raises:
        TypeError: The descriptions are not a dictionary.
        ValueError: Names without a description; what is no index, or one that comes twice.
    """

    def __init__(
        self,
        label_names: Sequence[str] | Mapping[int, str] | Mapping[str, str],
        label_descriptions: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._names = label_names
        self._by_index = _by_index(label_names)
        if label_descriptions is not None:
            if not isinstance(label_descriptions, Mapping):
                kind = type(label_descriptions).__name__
                raise TypeError(f'label_descriptions is a dictionary of name -> description, got a {kind}')
            missing = [name for name in self._by_index.values() if name not in label_descriptions]
            if missing:
                raise ValueError(f'Missing descriptions for {len(missing)} names: {", ".join(missing[:5])}')
        self._descriptions = label_descriptions

    def num_classes(self) -> int:
        """Number of names."""
        return len(self._by_index)

    def label_names(self) -> Sequence[str] | Mapping[int, str]:
        """Names as they were given."""
        return self._names  # pyright: ignore[reportReturnType] (indices that came as text stay text)

    def label_indices(self) -> tuple[int, ...]:
        """Indices that have a name, as numbers."""
        return tuple(self._by_index)

    def has_label(self, index: int) -> bool:
        """Whether an index has a name."""
        return index in self._by_index

    def label_descriptions(self, detailed: bool = False, as_dict: bool = False) -> Descriptions:
        """Name -> description, None if none were given."""
        del detailed, as_dict
        return None if self._descriptions is None else dict(self._descriptions)

    def label_name_to_description(self, label: str, detailed: bool = False) -> str:
        """Description that goes with a name, or the name itself."""
        del detailed
        return label if self._descriptions is None else self._descriptions[label]

    def index_to_label_name(self, index: int) -> str:
        """Name of a class.

        Raises:
            IndexError: It has none; a KeyError where names were given by index.
        """
        if not self.has_label(index):
            error = KeyError if isinstance(self._names, Mapping) else IndexError
            raise error(f'class {index} has no name among {self.num_classes()}')
        return self._by_index[index]

    def index_to_description(self, index: int, detailed: bool = False) -> str:
        """Description of a class.

        Raises:
            IndexError: It has no name; a KeyError where names were given by index.
        """
        return self.label_name_to_description(self.index_to_label_name(index), detailed)


def _by_index(names: Sequence[str] | Mapping[Any, str]) -> dict[int, str]:
    if not isinstance(names, Mapping):
        return dict(enumerate(names))
    found: dict[int, str] = {}
    for key, name in names.items():
        try:
            index = int(key) if isinstance(key, str) else operator.index(key)
        except (TypeError, ValueError):
            raise ValueError(f'keys of label_names must be integer-like, got {key!r}') from None
        if index in found:
            raise ValueError(f'Duplicate label index {index} in label_names: {found[index]!r} and {name!r}')
        found[index] = name
    return found


class DatasetInfoLabelMapper:
    """From class index to the text that is shown for it.

    Args:
        label_type: 'name', 'description', or 'detailed' for a description with its definition.
        fallback_format: Text for an index without a name; with None that is an error.

    Raises:
        ValueError: Another label type.
    """

    def __init__(
        self,
        dataset_info: DatasetInfo,
        label_type: str = 'description',
        fallback_format: str | None = '<unmapped:{index}>',
    ) -> None:
        if label_type not in ('name', 'description', 'detailed'):
            raise ValueError(f"Invalid label type {label_type!r}: label_type is 'name', 'description' or 'detailed'")
        self.dataset_info = dataset_info
        self.label_type = label_type
        self.fallback_format = fallback_format

    def __call__(self, index: int) -> str:
        index = int(index)
        if not self.dataset_info.has_label(index):
            if self.fallback_format is None:
                raise KeyError(f'class {index} has no name among {self.dataset_info.num_classes()}')
            return self.fallback_format.format(index=index)
        if self.label_type == 'name':
            return self.dataset_info.index_to_label_name(index)
        return self.dataset_info.index_to_description(index, detailed=self.label_type == 'detailed')

    def coverage(self, num_classes: int) -> LabelMappingCoverage:
        """How well the names fit a classifier of `num_classes` outputs."""
        indices = self.dataset_info.label_indices()
        mapped = sum(0 <= index < num_classes for index in indices)
        return LabelMappingCoverage(mapped, num_classes - mapped, len(indices) - mapped)
