"""Where listings are kept between runs, and when a kept one is still true.

A listing (of a folder, of tar files) is kept in `$TIMM_LISTINGS`, else `$XDG_CACHE_HOME/timm/listings`, else
`~/.cache/timm/listings`; never beside the data. It names what it was made from by inode, size or times, and is made
anew when any of these differs. The folder may be emptied at any time.
"""

import hashlib
import json
import logging
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ._columns import Columns

__all__ = ['ListingCache', 'Mark', 'mark_of']

_logger = logging.getLogger(__name__)

CacheChoice = bool | str | os.PathLike[str] | None
Mark = tuple[int, int, int, int]

_FEWEST = 5000  # entries; what has fewer is listed faster than it is worth a file
# Some file systems give times in steps of 2 s (FAT) or 1 s (old NFS): what has just changed may change once more
# within the same step, and nobody would see it.
_SETTLED = 2_000_000_000  # nanoseconds


def mark_of(info: os.stat_result) -> Mark:
    """Inode, size, and times (ns) of the last change to content and inode of a file or folder; a folder has size 0."""
    size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
    return info.st_ino & (2**63 - 1), size, info.st_mtime_ns, info.st_ctime_ns


class ListingCache:
    """The file in which the listing of one root is kept, if it is.

    Args:
        kind: What was listed: 'folder' or 'tar'.
        extensions: The extensions that were looked for.
        choice: True or False: keep the listing or not. None keeps it where it is long. A path: keep it in that folder.
    """

    def __init__(self, kind: str, root: str, extensions: Iterable[str], choice: CacheChoice = None) -> None:
        self.begun = time.time_ns()
        self.always = choice is not None
        facts = [kind, str(Path(root).absolute()), sorted(extensions)]
        name = hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()
        folder = None if choice is False else _default_folder() if choice in (None, True) else Path(os.fspath(choice))
        self.file = None if folder is None else folder / f'{name}.listing'

    def load(self) -> Columns | None:
        """The kept listing, whole but perhaps no longer true; None if there is none."""
        if self.file is None:
            return None
        try:
            return Columns.open(self.file)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _logger.warning('A kept listing is of no use and is made anew: %s', error)
            return None

    def keep(self, columns: Columns, entries: int, marks: np.ndarray) -> Columns:
        """Keep a listing, where that is wanted and possible; returns it, then from the file.

        Args:
            entries: How many files it names, and folders it was made from.
            marks: `mark_of` what it was made from, as it was before it was read: (sources, 4).
        """
        if self.file is None or not (self.always or entries >= _FEWEST):
            return columns
        if marks[:, 2:].max() > self.begun - _SETTLED:
            _logger.info('The listing is not kept in %s: what it lists has changed in the last seconds', self.file)
            return columns
        try:
            columns.write(self.file)
            return Columns.open(self.file, check=False)
        except (OSError, ValueError) as error:
            _logger.info('The listing cannot be kept in %s: %s', self.file, error)
            return columns


def _default_folder() -> Path | None:
    """The folder that listings are kept in; None if none is wanted (`TIMM_LISTINGS` is empty) or there is no home."""
    named = os.environ.get('TIMM_LISTINGS')
    if named is not None:
        return Path(named) if named else None
    home = Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache')
    try:
        return home.expanduser() / 'timm' / 'listings'
    except RuntimeError:
        return None
