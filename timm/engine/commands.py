# pyright: strict
"""The commands behind the scripts: options first, then what they need, so that mistakes and --help are quick."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .exits import exit_code
from .flags import parse
from .options import BenchmarkOptions, InferenceOptions, ValidateOptions
from .train_options import TrainOptions

__all__ = ['COMMANDS', 'Command', 'launch']


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        options: The record of what it can be told.
        module: Module of this package whose `run(options)` does the work.
        doc: What it does, in one sentence.
    """

    options: type[Any]
    module: str
    doc: str


COMMANDS = {
    'train': Command(TrainOptions, 'training', 'Train a model on a dataset.'),
    'validate': Command(ValidateOptions, 'validation', 'Measure the accuracy of one model, or of many, on a dataset.'),
    'predict': Command(InferenceOptions, 'inference', 'Predict the classes of the images in a folder.'),
    'benchmark': Command(BenchmarkOptions, 'benchmark', 'Measure the speed of models, and count what they compute.'),
}


def launch(name: str, argv: Sequence[str] | None = None, program: str | None = None) -> int:
    """Run a command with the arguments of `argv`, or of this process; its exit status."""
    command = COMMANDS[name]
    program = program or f'{name}.py'

    def work() -> int:
        options = parse(command.options, argv, program, command.doc)
        utils: Any = import_module('timm.utils')
        utils.setup_default_logging()
        logging.getLogger('matplotlib').setLevel(logging.WARNING)
        module: Any = import_module(f'timm.engine.{command.module}')
        module.run(options)
        return 0

    return exit_code(work, program)
