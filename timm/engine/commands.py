# pyright: strict
"""The commands behind the scripts: options first, then what they need, so that mistakes and --help are quick."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .check_options import CheckOptions
from .command_line import parse
from .exits import EXIT_CODES, exit_code
from .flags import in_vain
from .folder import starting
from .options import BenchmarkOptions, InferenceOptions, ValidateOptions
from .train_options import TrainOptions

__all__ = ['COMMANDS', 'Command', 'launch', 'perform']

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        options: The record of what it can be told.
        module: Module of this package whose `run(options)` does the work.
        doc: What it does, in one sentence.
        guard: What holds while it runs, from before anything is loaded; `run` takes what it gives as well.
        objection: Why its options do not go together, as far as that shows at once; see `parse`.
    """

    options: type[Any]
    module: str
    doc: str
    guard: Callable[[Any], AbstractContextManager[Any]] | None = None
    objection: Callable[[Any], str] | None = None

    def parsed(self, argv: Sequence[str] | None = None, program: str = '') -> Any:
        """Its options, from the arguments of `argv` or of this process."""
        return parse(self.options, argv, program, self.doc, EXIT_CODES, self.objection)


def _nameless(options: TrainOptions) -> str:
    """Going on by itself needs a folder that the next start finds again."""
    nameless = options.start.resume == 'auto' and not options.run.experiment
    return '--resume auto goes on in the folder of a run: name it with --experiment' if nameless else ''


COMMANDS = {
    'train': Command(TrainOptions, 'training', 'Train a model on a dataset.', starting, _nameless),
    'validate': Command(ValidateOptions, 'validation', 'Measure the accuracy of one model, or of many, on a dataset.'),
    'predict': Command(InferenceOptions, 'inference', 'Predict the classes of the images in a folder.'),
    'benchmark': Command(BenchmarkOptions, 'benchmark', 'Measure the speed of models, and count what they compute.'),
    'check': Command(CheckOptions, 'check_images', 'Read every image of a folder, and name those that cannot be read.'),
}


def perform(name: str, argv: Sequence[str] | None = None, program: str = '') -> None:
    """Run a command with the arguments of `argv`, or of this process.

    Raises:
        RunError: It cannot be done, or ended before its end; says why in one line.
    """
    command = COMMANDS[name]
    options = command.parsed(argv, program or f'{name}.py')
    with ExitStack() as stack:
        guarded = [stack.enter_context(command.guard(options))] if command.guard is not None else []
        utils: Any = import_module('timm.utils')
        utils.setup_default_logging()
        logging.getLogger('matplotlib').setLevel(logging.WARNING)
        for line in in_vain(options):
            _logger.warning(line)
        module: Any = import_module(f'timm.engine.{command.module}')
        module.run(options, *guarded)


def launch(name: str, argv: Sequence[str] | None = None, program: str = '') -> int:
    """Run a command as a process does; its exit status."""
    program = program or f'{name}.py'

    def work() -> int:
        perform(name, argv, program)
        return 0

    return exit_code(work, program)
