"""Reads the reference numbers that lie in tests/golden."""

import functools
import json
import lzma
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / 'golden'


@functools.cache
def load(name: str) -> Any:
    """The contents of golden/<name>.json.xz."""
    return json.loads(lzma.decompress((GOLDEN / f'{name}.json.xz').read_bytes()))


def families() -> list[str]:
    """Families whose state dicts are known."""
    return sorted(path.name.removesuffix('.json.xz') for path in (GOLDEN / 'state').glob('*.json.xz'))


def models(kind: str) -> list[tuple[str, str]]:
    """(family, model) for every model of golden/<kind>."""
    return [(family, name) for family in families() for name in load(f'{kind}/{family}')]
