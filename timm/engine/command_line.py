# pyright: strict
"""The command line of a script: its parser, from the script's option record."""

import argparse
import ast
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .flags import Flag, build_options, flags_of, read_yaml

__all__ = ['build_parser', 'parse']

Options = TypeVar('Options')


def _key_value(text: str) -> tuple[str, Any]:
    """'key=value', the value read as a Python literal where it is one."""
    key, equals, value = text.partition('=')
    if not equals or not key.isidentifier():
        raise argparse.ArgumentTypeError(f'{text!r} is not of the form key=value')
    try:
        return key, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return key, value


class _Collect(argparse.Action):
    """Stores key=value items as a dict."""

    def __call__(self, _parser: Any, namespace: Any, values: Any, _option: str | None = None) -> None:
        setattr(namespace, self.dest, dict(values))


def _keywords(option: Flag) -> dict[str, Any]:
    """The keywords of `add_argument` for an option."""
    doc = option.doc.replace('%', '%%') + (f'; has no effect: {option.ignored}' if option.ignored else '')
    if option.positional:
        return {'nargs': '?', 'help': doc}
    keywords: dict[str, Any] = {'dest': option.name, 'default': option.default}
    if option.base is bool:
        return keywords | {'action': 'store_true', 'help': doc}
    if option.base is dict:
        return keywords | {'nargs': '*', 'type': _key_value, 'action': _Collect, 'metavar': 'KEY=VALUE', 'help': doc}
    if option.default not in (None, ''):
        doc += ' (%(default)s)'
    keywords |= {'type': option.base, 'choices': option.choices, 'help': doc}
    if option.choices is None:
        keywords['metavar'] = option.base.__name__.upper()
    if option.count != 1:
        keywords['nargs'] = option.count or '+'
    elif option.const is not None:
        keywords |= {'nargs': '?', 'const': option.const}
    return keywords


def build_parser(
    script: type, program: str, description: str | None = None, epilog: str | None = None
) -> argparse.ArgumentParser:
    """The command line of a script, grouped as its records are."""
    parser = argparse.ArgumentParser(
        prog=program, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('-c', '--config', default='', metavar='FILE', help='YAML file of options; flags go before it')
    groups: dict[str, Callable[..., Any]] = {}
    for holder in dataclasses.fields(script):
        groups[holder.name] = parser.add_argument_group(holder.name, type(holder.default).__doc__).add_argument
    for option in flags_of(script).values():
        groups[option.part](*option.spellings, **_keywords(option))
    return parser


def parse(
    script: type[Options],
    argv: Sequence[str] | None = None,
    program: str = '',
    description: str | None = None,
    epilog: str | None = None,
    objection: Callable[[Options], str] | None = None,
) -> Options:
    """The options on a command line: flags first, then the file of `--config`, then the script's defaults.

    Args:
        objection: Why options do not go together, '' where they do; it ends the process as a wrong flag does.
    """
    parser = build_parser(script, program, description, epilog)
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument('-c', '--config', default='')
    config: str = early.parse_known_args(argv)[0].config
    if config:
        parser.set_defaults(**read_yaml(config, script))
    values = vars(parser.parse_args(argv))
    del values['config']
    options = build_options(script, values, 'the command line')
    if objection is not None and (reason := objection(options)):
        parser.error(reason)
    return options
