"""The error for a name that a table does not know."""

import difflib
from collections.abc import Iterable

from ._checks import BadValue

__all__ = ['unknown_name']


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """A ValueError that says which `kind` of name this is, what is accepted, and what may have been meant."""
    accepted = list(known)
    lowered = {item.lower(): item for item in accepted}
    near = difflib.get_close_matches(str(name).lower(), lowered, n=1)
    hint = f' Did you mean {lowered[near[0]]!r}?' if near else ''
    return BadValue(f'Unknown {kind} {name!r}: use one of {", ".join(map(repr, accepted))}.{hint}')
