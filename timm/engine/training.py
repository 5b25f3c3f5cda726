# pyright: strict
"""Training as a command: a run from options, fitted, its best epochs printed."""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer

from .build import build_run
from .distributed import join_world
from .exits import Stopped, UsageError
from .folder import Started
from .loop import fit
from .report import print_epochs
from .stop import requeue
from .train_options import TrainOptions

__all__ = ['run']


def _import_modules(names: Sequence[str]) -> None:
    """Import what makes torch know further devices."""
    try:
        for name in names:
            import_module(name)
    except ImportError as error:
        raise UsageError(f'--device-modules {" ".join(names)} cannot be imported: {error}') from error


def _attention(optimizer: Optimizer) -> AbstractContextManager[Any]:
    """Attention that can be differentiated twice, where the optimizer looks at second derivatives."""
    twice = getattr(optimizer, 'is_second_order', False)
    return sdpa_kernel(SDPBackend.MATH) if twice else nullcontext()  # pyright: ignore[reportUnknownVariableType]


def run(options: TrainOptions, started: Started) -> None:
    """Train: checkpoints, figures per epoch and their curves go to a folder of the run."""
    _import_modules(options.parallel.device_modules or ())
    with join_world(options.device.device) as world:
        if not world.primary:
            logging.disable(logging.INFO)
        training = build_run(options, world, started)
        try:
            with _attention(training.optimizer):
                rows = fit(training)
        except Stopped:
            if options.safety.requeue and world.primary:
                requeue()
            raise
        finally:
            training.report.close()
        if world.primary:
            print_epochs(rows, training.metric)
