"""How networks are wired: every family's classes and entry points, and the tools to build, load and take them apart.

Nothing is imported before it is used, torch included: a name finds its family through the catalog.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

from timm import catalog

from ._namespace import family_names, tool_names


def __getattr__(name: str) -> Any:
    if name == '__all__':
        return sorted({*tool_names(), *family_names(), *catalog.family_names()})
    if name in tool_names():
        value = getattr(importlib.import_module(f'{__name__}.{tool_names()[name]}'), name)
    elif not name.startswith('__') and name in family_names():
        value = getattr(importlib.import_module(f'{__name__}.{family_names()[name]}'), name)
    elif not name.startswith('__') and importlib.util.find_spec(f'{__name__}.{name}') is not None:
        return importlib.import_module(f'{__name__}.{name}')
    else:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'", name=name, obj=sys.modules[__name__])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith('__')), *__getattr__('__all__')})


class _Package(ModuleType):
    """A module in which an entry point is not hidden by the submodule of the same name (`inception_v3`)."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in catalog.family_names():
            family = catalog.family(name)
            if name in family.renamed or any(variant.name == name for variant in family.variants):
                value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
