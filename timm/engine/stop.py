# pyright: strict
"""Stopping on request: a signal sets a flag, and the loop looks at it between two updates."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ['StopFlag', 'listening']

_SIGNALS = ('SIGTERM', 'SIGUSR1', 'SIGINT')


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

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = [(number, signal.signal(number, ask)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
