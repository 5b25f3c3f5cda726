#!/usr/bin/env python3
"""Write the files that are made from others; with --check, only say which of them are out of date."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from timm import catalog, data, utils  # noqa: E402  the checkout, installed or not
from timm.models._namespace import TOOLS, family_names  # noqa: E402


def models_stub() -> str:
    """Text of timm/models/__init__.pyi: what the package offers, for editors and type checkers."""
    homes = family_names()
    functions = {v.name: v.network or f.network for f in catalog.families().values() for v in f.variants}
    for family in catalog.families().values():
        functions.update((old, functions[new.partition('.')[0]]) for old, new in family.renamed.items())
    imports = [f'from . import {module} as {module}' for module in catalog.family_names() if module not in functions]
    classes: dict[str, list[str]] = {}
    for name, module in homes.items():
        if name not in functions:
            classes.setdefault(module, []).append(name)
    imports += _imports({**TOOLS, **classes})
    return '\n'.join(
        [
            '# Written by scripts/generate.py from the catalog.',
            '# ruff: noqa: PT028  networks named test_* are no tests',
            'from typing import Any',
            '',
            *imports,
            '',
            *(f'def {name}(pretrained: bool = False, **kwargs: Any) -> {cls}: ...' for name, cls in functions.items()),
            '',
        ]
    )


def package_stub(package: ModuleType) -> str:
    """Text of the `__init__.pyi` of a package that imports its contents at first touch."""
    contents: dict[str, tuple[str, ...]] = vars(package)['_CONTENTS']
    modules = [f'from . import {name} as {name}' for name in sorted(contents) if not name.startswith('_')]
    return '\n'.join(['# Written by scripts/generate.py from __init__.py.', *modules, *_imports(contents), ''])


def _imports(contents: Mapping[str, Iterable[str]]) -> list[str]:
    return [
        f'from .{module} import {name} as {name}'
        for module, names in sorted(contents.items())
        for name in sorted(names, key=_import_order)
    ]


def _import_order(name: str) -> tuple[bool, str]:
    """Classes before functions, as the import sorter has it."""
    return name[0].islower(), name


GENERATED: dict[str, Callable[[], str]] = {
    'timm/data/__init__.pyi': partial(package_stub, data),
    'timm/models/__init__.pyi': models_stub,
    'timm/utils/__init__.pyi': partial(package_stub, utils),
}


def stale() -> list[str]:
    """Paths of generated files that are missing or do not hold what they should."""
    return [
        path
        for path, text in GENERATED.items()
        if not (ROOT / path).exists() or (ROOT / path).read_text(encoding='utf-8') != text()
    ]


def main() -> int:
    """Write the files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='write nothing; exit 1 if a file is out of date')
    check = parser.parse_args().check
    paths = stale()
    for path in paths:
        print(f'{path} is out of date: run scripts/generate.py' if check else f'wrote {path}')
        if not check:
            (ROOT / path).write_text(GENERATED[path](), encoding='utf-8')
    return int(check and bool(paths))


if __name__ == '__main__':
    sys.exit(main())
