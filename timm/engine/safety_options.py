# pyright: strict
"""What train.py can be told about failures: what counts as one, and what becomes of the run."""

from dataclasses import dataclass
from typing import Literal

from .flags import flag

__all__ = ['SafetyOptions']


@dataclass(frozen=True)
class SafetyOptions:
    """What becomes of a training when something goes wrong, and how it is kept in shards."""

    nonfinite: Literal['stop', 'skip', 'rollback'] = flag(
        'stop',
        'what follows a loss or gradient that is no number: stop, skip the update, or also roll the weights back',
    )
    recovery_minutes: float = flag(5, 'minutes between checkpoints within an epoch; 0: none by time', low=0)
    requeue: bool = flag(False, 'put the SLURM job back into its queue when it was asked to stop and has saved')
    fsdp: bool = flag(False, 'keep weights, gradients, optimizer and checkpoints in shards, one in each process')
