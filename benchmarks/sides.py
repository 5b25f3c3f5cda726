"""Two timm installations, each alive in a process of its own, that take turns at the same work."""

import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ['Side', 'add_side_arguments', 'compare_turns', 'is_settled', 'open_sides', 'summary', 'take_turns']

HERE = Path(__file__).resolve().parent
KEEP_MEMORY = {'MALLOC_MMAP_THRESHOLD_': str(2**30), 'MALLOC_TRIM_THRESHOLD_': str(2**30)}  # no page faults, no noise
PRECISION = 0.01


class Side:
    """A process that runs a script with one of the installations and answers requests, both as lines of JSON."""

    def __init__(self, python: str, site: Path, script: str) -> None:
        settings = {'PYTHONPATH': str(site), 'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore', **KEEP_MEMORY}
        self.process = subprocess.Popen(
            [python, str(HERE / script)],
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        print(json.dumps(request), file=stdin, flush=True)
        line = stdout.readline()
        if not line:
            sys.exit(f'a measuring process ended with status {self.process.wait()}')
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def add_side_arguments(parser: Any) -> None:
    """The arguments that say what is compared."""
    parser.add_argument('--reference', type=Path, required=True, help='folder with the package to compare with')
    parser.add_argument('--ours', type=Path, default=HERE.parent, help='folder with our package (default: this one)')
    parser.add_argument('--python', default=sys.executable, help='interpreter for our side')
    parser.add_argument('--reference-python', default=sys.executable, help='interpreter for the other side')


def open_sides(args: Any, script: str) -> dict[str, Side]:
    """Both sides, 'ours' and 'reference', with a script of this folder."""
    return {
        'ours': Side(args.python, args.ours.resolve(), script),
        'reference': Side(args.reference_python, args.reference.resolve(), script),
    }


def take_turns(sides: dict[str, Side], calls: int, theirs_first: bool) -> dict[str, float]:
    """A turn of each side at what it has prepared: seconds of a call."""
    order = list(sides)[::-1] if theirs_first else list(sides)
    return {name: sides[name].ask(do='time', calls=calls)['seconds'] for name in order}


def ratio_error(pairs: list[dict[str, float]]) -> float:
    """Standard error of the median ratio of pairs of turns, relative to it, from the median absolute deviation."""
    ratios = [pair['ours'] / pair['reference'] for pair in pairs]
    middle = statistics.median(ratios)
    deviation = 1.4826 * statistics.median(abs(ratio - middle) for ratio in ratios)
    return 1.2533 * deviation / middle / math.sqrt(len(ratios))


def is_settled(pairs: list[dict[str, float]], fewest: int, most: int) -> bool:
    """Whether so many pairs of turns, or the agreement of at least the fewest, are enough."""
    return len(pairs) >= most or (len(pairs) >= fewest and ratio_error(pairs) <= PRECISION)


def summary(pairs: list[dict[str, float]]) -> dict[str, Any]:
    """Median seconds of both sides, the median ratio of a pair, and what that is worth."""
    found: dict[str, Any] = {name: statistics.median(pair[name] for pair in pairs) for name in ('ours', 'reference')}
    ratio = statistics.median(pair['ours'] / pair['reference'] for pair in pairs)
    return {**found, 'ratio': ratio, 'error_of_ratio': ratio_error(pairs), 'pairs': len(pairs)}


def compare_turns(sides: dict[str, Side], calls: int, fewest: int, most: int) -> dict[str, Any]:
    """`summary` of pairs of turns (A B, B A, ...) at what both sides have prepared."""
    pairs: list[dict[str, float]] = []
    while not is_settled(pairs, fewest, most):
        pairs.append(take_turns(sides, calls, len(pairs) % 2 == 1))
    return summary(pairs)
