# pyright: strict
"""What code finds in a script that it imports instead of running it: `main`, a parser, and the names it may replace.

Everything is made when it is asked for, so that a script that only runs loads nothing for it.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from .command_line import build_parser
from .commands import COMMANDS, perform
from .exits import RunError
from .flags import build_options, flags_of, flatten, to_yaml

__all__ = ['importable']


def importable(command: str, module: str) -> Callable[[str], Any]:
    """The `__getattr__` of the script `module`, which runs `command`.

    `main()`
        Run with the arguments of this process; what goes wrong is raised instead of printed.
    `create_model`
        That of timm. Whatever the script has under this name when it runs builds its models.
    `parser`
        The `argparse.ArgumentParser` of its flags.
    `validate(args)`, of validate.py
        The row, or rows, of results for what `parser` has read.
    `_parse_args()`, of train.py
        The options on the command line, and the same as YAML. What excludes each other ends the process.
    """
    offered: dict[str, Callable[[], Any]] = {
        'main': lambda: partial(_main, command, module),
        'parser': lambda: build_parser(COMMANDS[command].options, f'{module}.py', COMMANDS[command].doc),
        'create_model': _create_model,
    }
    if command == 'validate':
        offered['validate'] = lambda: partial(_validate, module)
    if command == 'train':
        offered['_parse_args'] = lambda: _parse_args

    def find(name: str) -> Any:
        if name not in offered:
            raise AttributeError(f'{module}.py has no {name!r}', name=name, obj=sys.modules.get(module))
        return vars(sys.modules[module]).setdefault(name, offered[name]())

    return find


def _engine(module: str) -> Any:
    """A module that needs torch, which to read a command line does not."""
    return import_module(f'timm.engine.{module}')


def _create_model() -> Any:
    return import_module('timm').create_model


def _main(command: str, module: str) -> None:
    with _building(module):
        perform(command, program=f'{module}.py')


def _building(module: str) -> Any:
    return _engine('build_model').building_with(vars(sys.modules[module]).get('create_model') or _create_model())


def _validate(module: str, args: argparse.Namespace) -> Any:
    script = COMMANDS['validate'].options
    values = {name: value for name, value in vars(args).items() if name in flags_of(script)}
    with _building(module):
        return _engine('validation').validate_models(build_options(script, values))


def _parse_args() -> tuple[argparse.Namespace, str]:
    try:
        options = COMMANDS['train'].parsed(program='train.py')
        _engine('combinations').check_training(options)
        _engine('build_task').build_loss(options)
    except RunError as error:
        print(f'train.py: error: {error}', file=sys.stderr)
        raise SystemExit(error.code) from error
    args = argparse.Namespace(**flatten(options))
    args.loss = _engine('build_task').loss_name(options.loss)
    if args.bce_pos_weight is not None:  # the older name of another flag
        args.loss_pos_weight = str(args.bce_pos_weight)
    return args, to_yaml(options)
