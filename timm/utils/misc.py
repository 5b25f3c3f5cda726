"""Small helpers for sorting and for the command line."""

import argparse
import ast
import re
from collections.abc import Sequence
from typing import Any

__all__ = ['ParseKwargs', 'add_bool_arg', 'natural_key']


def natural_key(string_: str) -> list[int | str]:
    """Sort key by which 'a2' comes before 'a10', without regard to case."""
    # Every second part is digits, which `str.isdigit` would not tell: to that '²' is one as well.
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r'(\d+)', string_.lower()))]


def add_bool_arg(parser: argparse.ArgumentParser, name: str, default: bool = False, help: str = '') -> None:
    """Add the flags --name and --no-name, of which one may be given."""
    dest = name.replace('-', '_')
    group = parser.add_mutually_exclusive_group(required=False)
    group.add_argument(f'--{name}', dest=dest, action='store_true', help=help)
    group.add_argument(f'--no-{name}', dest=dest, action='store_false', help=help)
    parser.set_defaults(**{dest: default})


class ParseKwargs(argparse.Action):
    """Collects items `key=value` in a dict; values are read as Python literals, else kept as text."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        kwargs: dict[str, Any] = {}
        for item in [values] if isinstance(values, str) else values or ():
            key, equals, text = item.partition('=')
            if not equals:
                raise argparse.ArgumentError(self, f"'{item}' is not of the form key=value")
            try:
                kwargs[key] = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                kwargs[key] = text
        setattr(namespace, self.dest, kwargs)
