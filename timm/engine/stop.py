# pyright: strict
"""Stopping on request: a signal sets a flag, and the loop looks at it between two updates."""

import logging
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ['StopFlag', 'deaf', 'listening', 'requeue']

_logger = logging.getLogger(__name__)
_SIGNALS = tuple(getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1', 'SIGINT') if hasattr(signal, name))


class StopFlag:
    """Whether a run has been asked to stop, and by what."""

    def __init__(self) -> None:
        self.reason = ''

    def request(self, reason: str) -> None:
        """Ask for a stop."""
        self.reason = self.reason or reason

    @property
    def requested(self) -> bool:
        """Whether anyone has."""
        return bool(self.reason)


@contextmanager
def listening(flag: StopFlag) -> Generator[None]:
    """Let SIGTERM, SIGUSR1 and the first SIGINT set the flag while the block runs; a second SIGINT interrupts.

    Handlers can only be set in the main thread: elsewhere the block runs without.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, _frame: Any) -> None:
        flag.request(signal.Signals(number).name)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    before = [(number, signal.signal(number, ask)) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def deaf() -> Generator[None]:
    """Keep these signals waiting for as long as the block runs.

    Processes that start meanwhile never get them: a signal to the whole process group would otherwise end a worker of
    a loader that has not come to set handlers of its own.
    """
    if not hasattr(signal, 'pthread_sigmask'):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def requeue() -> None:
    """Put the SLURM job of this process back into its queue, to be called when the state of the run is saved."""
    job = os.environ.get('SLURM_JOB_ID')
    command = shutil.which('scontrol')
    if job is None or command is None:
        missing = 'SLURM_JOB_ID is not set' if job is None else 'there is no scontrol here'
        _logger.warning('this run cannot be put back into a queue: %s', missing)
        return
    done = subprocess.run([command, 'requeue', job], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        _logger.warning('scontrol requeue %s failed: %s', job, ' '.join(done.stderr.split()))
    else:
        _logger.info('job %s is back in the queue', job)
