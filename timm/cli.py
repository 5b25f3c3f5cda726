# pyright: strict
"""The console command `timm`: train, validate, predict, benchmark, check, list, info.

A subcommand loads what it needs and nothing else: `timm list` and `timm check` start without torch.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from timm.engine.commands import COMMANDS, launch

__all__ = ['main']


def _list(argv: Sequence[str]) -> int:
    """Print the names of the models that match a wildcard, one a line."""
    parser = argparse.ArgumentParser(prog='timm list', description=_list.__doc__)
    parser.add_argument('filter', nargs='?', default='', help='wildcard, as in "resnet*"')
    parser.add_argument('--pretrained', action='store_true', help='only names with published weights, with their tags')
    parser.add_argument('--module', default='', help='only one family')
    args = parser.parse_args(argv)
    timm: Any = import_module('timm')
    names: list[str] = timm.list_models(args.filter, module=args.module, pretrained=args.pretrained)
    if not names:
        print(f'timm list: no model matches {args.filter or args.module!r}', file=sys.stderr)
        return 1
    print('\n'.join(names))
    return 0


def _info(argv: Sequence[str]) -> int:
    """Print what is known about a model and one of its sets of weights, as JSON."""
    parser = argparse.ArgumentParser(prog='timm info', description=_info.__doc__)
    parser.add_argument('model', help='name, with or without a tag')
    name: str = parser.parse_args(argv).model
    timm, models, exits = (import_module(m) for m in ('timm', 'timm.models', 'timm.engine.exits'))
    if not timm.is_model(name):
        hint = exits.nearest(name, timm.list_models())
        print(f'timm info: error: unknown model {name!r}{hint}', file=sys.stderr)
        return 2
    architecture = name.partition('.')[0]
    weights: list[str] = timm.list_models(f'{architecture}.*', pretrained=True)
    try:
        config: Any = models.get_pretrained_cfg(name)
    except RuntimeError as error:
        print(f'timm info: error: {error}{exits.nearest(name, weights)}', file=sys.stderr)
        return 2
    print(json.dumps({'architecture': architecture, 'weights': weights, 'config': config.to_dict()}, indent=4))
    return 0


_TOOLS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    'list': (_list, 'Print the names of models.'),
    'info': (_info, 'Print what is known about a model.'),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; its exit status."""
    commands = {name: command.doc for name, command in COMMANDS.items()} | {n: doc for n, (_, doc) in _TOOLS.items()}
    listing = '\n'.join(f'  {name:12}{doc}' for name, doc in commands.items())
    parser = argparse.ArgumentParser(
        prog='timm',
        description='Image models: train, measure, use.',
        epilog=f'commands:\n{listing}\n\n`timm COMMAND --help` lists the options of each.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('command', choices=commands, metavar='COMMAND', help='one of those below')
    words = list(sys.argv[1:] if argv is None else argv)
    command: str = parser.parse_args(words[:1]).command
    if command in _TOOLS:
        return _TOOLS[command][0](words[1:])
    return launch(command, words[1:], f'timm {command}')


if __name__ == '__main__':
    sys.exit(main())
