"""Packages whose contents are imported when they are first used (PEP 562)."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ['lazy']


def lazy(
    package: str, contents: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The `__getattr__`, `__dir__` and `__all__` of a package that imports nothing itself.

    Args:
        contents: Module of the package -> what of it the package offers under its own name. Modules that are not
            named here can be reached as well; those that are named are listed by `dir`.
    """
    homes = {name: module for module, names in contents.items() for name in names}

    def find(name: str) -> Any:
        if name in homes:
            value = getattr(importlib.import_module(f'{package}.{homes[name]}'), name)
            return vars(sys.modules[package]).setdefault(name, value)
        if not name.startswith('__') and importlib.util.find_spec(f'{package}.{name}') is not None:
            return importlib.import_module(f'{package}.{name}')
        raise AttributeError(f'module {package!r} has no attribute {name!r}', name=name, obj=sys.modules[package])

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *contents})

    return find, names, list(homes)
