# pyright: strict
"""Training as a command: a run from options, fitted, its best epochs printed."""

import logging

from .build import build_run
from .distributed import join_world
from .loop import fit
from .report import print_epochs
from .stop import listening
from .train_options import TrainOptions

__all__ = ['run']


def run(options: TrainOptions) -> None:
    """Train: checkpoints, figures per epoch and their curves go to a folder of the run."""
    with join_world(options.device.device) as world:
        if not world.primary:
            logging.disable(logging.INFO)
        training = build_run(options, world)
        with listening(training.stop):
            rows = fit(training)
        if world.primary:
            print_epochs(rows, training.metric)
