"""What exists: every family of networks, one file of records each, found by listing this folder.

Standard library only: nothing here imports torch or `timm.models`. A file is read when it is first asked for.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from ._schema import Family, Ref, Variant, Weights

__all__ = ['Family', 'Ref', 'Variant', 'Weights', 'families', 'family', 'family_names', 'family_of', 'names', 'variant']


@cache
def family_names() -> tuple[str, ...]:
    """File names of the families, sorted; `timm.models` has a module of each name."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith('_')))


@cache
def family(name: str) -> Family:
    """The record of one family by its file name, say 'resnet'.

    Raises:
        KeyError: There is no such file.
    """
    if name not in family_names():
        raise KeyError(name)
    return importlib.import_module(f'{__name__}.{name}').FAMILY


@cache
def families() -> Mapping[str, Family]:
    """All families by file name."""
    return MappingProxyType({name: family(name) for name in family_names()})


@cache
def _variants() -> Mapping[str, tuple[str, Variant]]:
    """Variant name -> its family's name and the record."""
    found: dict[str, tuple[str, Variant]] = {}
    for module, record in families().items():
        for entry in record.variants:
            if entry.name in found:
                raise ValueError(f"'{entry.name}' is in the catalog twice: in {found[entry.name][0]} and in {module}")
            found[entry.name] = module, entry
    return MappingProxyType(found)


@cache
def names() -> tuple[str, ...]:
    """Names of all variants, family by family in the order of their files."""
    return tuple(_variants())


def variant(name: str) -> Variant:
    """The record of one variant by its name, say 'resnet50'; KeyError if there is none."""
    return _variants()[name][1]


def family_of(name: str) -> str:
    """File name of the family that a variant belongs to; KeyError if there is no such variant."""
    return _variants()[name][0]
