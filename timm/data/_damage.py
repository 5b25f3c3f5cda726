"""Samples that cannot be read: which they are, and what is done about them."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from ._decode import DamagedImageError

__all__ = ['DamageLog', 'DamagedSample', 'Policy']

_logger = logging.getLogger(__name__)

Policy = Literal['raise', 'skip', 'report']


class DamagedSample(NamedTuple):
    """A sample that could not be read; `replacement` is the index of the one that took its place, if one did."""

    path: str
    cause: str
    epoch: int
    index: int
    replacement: int | None


class DamageLog:
    """What happens to samples that cannot be read, and which they were.

    Args:
        policy: 'raise' stops at the first; 'skip' goes on, counts them and warns of each file once; 'report' also
            writes a line of JSON for each file to `file`.

    Attributes:
        count: Damaged samples met so far.
        causes: Path -> cause of each damaged file.
        left_out: Indices of those whose place nothing has taken.
    """

    def __init__(self, policy: Policy = 'raise', file: str | Path | None = None) -> None:
        if policy not in get_args(Policy):
            raise ValueError(f'damaged images can be met with {", ".join(get_args(Policy))}, got {policy!r}')
        if (policy == 'report') != (file is not None):
            raise ValueError("policy 'report' needs the file to write to, and no other policy takes one")
        self.policy = policy
        self.file = Path(file) if file is not None else None
        self.count = 0
        self.causes: dict[str, str] = {}
        self.left_out: set[int] = set()

    def add(self, samples: Sequence[DamagedSample]) -> None:
        """Take note of damaged samples.

        Raises:
            DamagedImageError: The policy is to stop.
        """
        for sample in samples:
            if self.policy == 'raise':
                raise DamagedImageError(sample.path, sample.cause)
            self.count += 1
            if sample.replacement is None:
                self.left_out.add(sample.index)
            if sample.path in self.causes:
                continue
            self.causes[sample.path] = sample.cause
            _logger.warning('Left out %r: %s', sample.path, sample.cause)
            if self.file is not None:
                with self.file.open('a', encoding='utf-8') as lines:
                    lines.write(json.dumps(sample._asdict()) + '\n')
