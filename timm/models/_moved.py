"""The warning that old module paths give when they are imported."""

import warnings

__all__ = ['warn_moved']


def warn_moved(old: str, new: str) -> None:
    """Tell whoever imports the module `old` where its names are today. Call it at the level of that module."""
    warnings.warn(f'Importing from {old} is deprecated; {new} has the same names.', FutureWarning, stacklevel=3)
