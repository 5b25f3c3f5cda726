# pyright: strict
"""The folder of a training run: where it is, and that no other run writes to it.

Nothing here needs torch, so that a second run is turned away before it has loaded anything.
"""

import os
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .exits import FolderInUse, StorageError
from .stop import StopFlag, listening
from .train_options import TrainOptions

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ['RunFolder', 'Started', 'named_folder', 'starting']

_RANKS = ('RANK', 'PMI_RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
_held: set[Path] = set()


class RunFolder:
    """The folder of one run.

    The lock is one of the process, which neither workers nor other children inherit: it is gone the moment the run is,
    however it ended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._release: Callable[[], object] | None = None

    def acquire(self) -> None:
        """Keep the folder for this run, and remove what an earlier one was writing when it was killed.

        Raises:
            FolderInUse: Another run has it.
            StorageError: It cannot be written to.
        """
        if self._release is not None:
            return
        handle = -1
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            place = self.path.resolve()
            if place in _held:
                raise BlockingIOError
            handle = os.open(place / '.lock', os.O_RDWR | os.O_CREAT, 0o666)
            if fcntl is not None:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _held.add(place)
            self._release = weakref.finalize(self, _let_go, handle, place)
            for remains in self.path.glob('tmp-*'):
                _remove(remains)
        except OSError as error:
            if self._release is None and handle >= 0:
                os.close(handle)
            self.release()
            if isinstance(error, BlockingIOError) or (handle >= 0 and isinstance(error, PermissionError)):
                raise FolderInUse(f'another run is writing to {self.path}: choose another --experiment') from None
            raise StorageError(f'cannot write to output folder {self.path}: {error.strerror}') from error

    def release(self) -> None:
        """Let others have it."""
        if self._release is not None:
            self._release()
            self._release = None


def _let_go(handle: int, place: Path) -> None:
    os.close(handle)
    _held.discard(place)


def _remove(path: Path) -> None:
    """Remove a file, or a folder of files."""
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():
            inner.unlink()
        path.rmdir()
    else:
        path.unlink()


def named_folder(options: TrainOptions) -> Path | None:
    """The folder of a run that has a name; None where the name is made up at the start."""
    if not options.run.experiment:
        return None
    return Path(options.run.output or './output/train') / options.run.experiment


@dataclass
class Started:
    """What a training has before it has loaded anything: ears, and its folder where that is known already."""

    stop: StopFlag = field(default_factory=StopFlag)
    folder: RunFolder | None = None


@contextmanager
def starting(options: TrainOptions) -> Generator[Started]:
    """Listen for signals from now on, and take the folder, in the first process of the run."""
    started = Started()
    path = named_folder(options)
    primary = next((os.environ[name] for name in _RANKS if name in os.environ), '0') == '0'
    with listening(started.stop):
        try:
            if path is not None and primary:
                started.folder = RunFolder(path)
                started.folder.acquire()
            yield started
        finally:
            if started.folder is not None:
                started.folder.release()
