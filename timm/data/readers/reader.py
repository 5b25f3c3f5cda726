"""The interface of a reader."""

from abc import abstractmethod
from typing import Any

__all__ = ['Reader']


class Reader:
    """A source of samples: `reader[i]` is (image source, target), where the source is an open file or a PIL image.

    A subclass gives `__len__`, `__getitem__` and `_filename`.
    """

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        raise NotImplementedError

    @abstractmethod
    def _filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        """Name of one sample; see `filename`."""

    def filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        """Name of a sample, relative to the root of the reader.

        Args:
            basename: Leave the folders out.
            absolute: Put the root before it; `basename` goes first.
        """
        return self._filename(index, basename=basename, absolute=absolute)

    def filenames(self, basename: bool = False, absolute: bool = False) -> list[str]:
        """Names of all samples, by index."""
        return [self._filename(i, basename=basename, absolute=absolute) for i in range(len(self))]
