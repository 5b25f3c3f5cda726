# pyright: strict
"""How a command ends: one exception per cause, each with the exit code and the one line a user reads."""

import gc
import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterable
from difflib import get_close_matches

__all__ = [
    'EXIT_CODES',
    'CheckpointError',
    'DataError',
    'FolderInUse',
    'NonFiniteError',
    'PeerError',
    'RunError',
    'Stopped',
    'StorageError',
    'UsageError',
    'exit_code',
    'nearest',
]


EXIT_CODES = """exit status:
  0   done
  2   arguments that cannot be meant
  3   a loss, gradient or weight that is no number; the checkpoints are those from before
  4   data that is missing, damaged or not that of the checkpoint
  5   a file that could not be written
  6   the output folder is in use by another run
  7   no sound checkpoint where one was asked for
  75  stopped on request (SIGTERM, SIGUSR1, SIGINT) and saved: run the same command with --resume auto to go on
Anything else is an error. torchrun has a status of its own and prints those of its processes."""


class RunError(Exception):
    """A failure that is explained by its message alone; `code` becomes the exit status of the process."""

    code = 1


class UsageError(RunError, ValueError):
    """An argument that cannot be meant as it stands: unknown name, missing file, impossible combination."""

    code = 2


class NonFiniteError(RunError):
    """A loss or gradient that is no longer a number; raised before the weights are touched."""

    code = 3


class DataError(RunError):
    """A dataset that is missing, empty or damaged."""

    code = 4


class StorageError(RunError):
    """A file that could not be written."""

    code = 5


class FolderInUse(RunError):
    """An output folder that another run is writing to."""

    code = 6


class CheckpointError(RunError):
    """A checkpoint that was asked for and is damaged or belongs to something else."""

    code = 7


class Stopped(RunError):
    """A run that was asked to stop and has saved its state: the same command with --resume auto goes on."""

    code = 75


class PeerError(RunError):
    """A process that ends because another one did, for the reason that is named; `code` is that one's."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def nearest(name: str, accepted: Iterable[str]) -> str:
    """The tail of an error message that names the accepted spellings closest to `name`, '' if none is close."""
    close = get_close_matches(name, list(accepted), n=3, cutoff=0.6)
    return f'; did you mean {" or ".join(close)}?' if close else ''


def exit_code(command: Callable[[], int], program: str) -> int:
    """Run `command` and give its exit status: a RunError becomes one line on stderr, anything unforeseen a traceback.

    What the command made is released before this returns, and processes it leaves behind are ended, so that no
    worker of a loader keeps the interpreter from leaving.
    """
    before = set(multiprocessing.active_children())
    try:
        return command()
    except RunError as error:
        print(f'{program}: error: {error}', file=sys.stderr)
        _release(error)
        return error.code
    except KeyboardInterrupt as error:
        print(f'{program}: interrupted', file=sys.stderr)
        _release(error)
        return 130
    except Exception as error:  # noqa: BLE001 - reported in full
        traceback.print_exc()
        _release(error)
        return 1
    finally:
        gc.collect()
        for child in set(multiprocessing.active_children()) - before:
            child.kill()


def _release(error: BaseException) -> None:
    """Let go of what the frames of an error hold; a loader that is found by collection ends its workers late."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__
