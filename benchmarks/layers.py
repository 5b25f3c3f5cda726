#!/usr/bin/env python3
"""Compares the speed of every layer with that of another timm installation: forward, and forward with backward.

    python benchmarks/layers.py --reference SITE [--only 'EvoNorm*' 'Mlp(*'] [--json layers.json]

SITE is a folder that holds a package `timm`, such as the `--target` of a pip install. Each side has processes of its
own, three, since every process has its luck with memory. They take turns (A B, B A, ...) of about 20 ms, so a drift of
the machine's speed falls on both sides alike. Times are CPU seconds of one thread, float32; a figure is the median over
turns, a ratio the median over pairs of turns, taken until its standard error is below 1 % or there were `--pairs` of
them.
"""

import argparse
import fnmatch
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from layer_cases import FUNCTIONS, LAYERS, NOT_TIMED, Case
from sides import Side, add_side_arguments, is_settled, open_sides, summary, take_turns

CASES = [*LAYERS, *FUNCTIONS]
TURN = 0.02  # seconds
FEWEST, REBUILD, PROCESSES = 12, 4, 3  # pairs of turns: at least, and with the same layer and inputs; processes a side


def prepare(index: int, mode: str, sides: dict[str, Side]) -> tuple[float | None, str]:
    """Build a case on both sides: seconds that a call takes on the slower one, None for nothing to time; an error."""
    ready = {name: side.ask(do='prepare', case=index, mode=mode) for name, side in sides.items()}
    errors = [f'{name}: {found["error"]}' for name, found in ready.items() if 'error' in found]
    if errors:
        return None, '; '.join(errors)
    if ready['ours']['shapes'] != ready['reference']['shapes'] and mode == 'eval':
        return None, f'shapes differ: {ready["ours"]["shapes"]} and {ready["reference"]["shapes"]}'
    seconds = [found['seconds'] for found in ready.values()]
    return (None if None in seconds else max(seconds)), ''


def compare(index: int, mode: str, processes: list[dict[str, Side]], most: int) -> dict[str, Any]:
    """Medians of both sides, their ratio and its standard error; or what is wrong; or nothing to time."""
    pairs: list[dict[str, float]] = []
    calls = 0
    while not is_settled(pairs, FEWEST, most):
        sides = processes[len(pairs) // REBUILD % len(processes)]
        if len(pairs) % REBUILD == 0:
            seconds, error = prepare(index, mode, sides)
            if seconds is None:
                return {'error': error} if error else {}
            calls = calls or max(1, round(TURN / seconds))
        theirs_first = (len(pairs) + len(pairs) // REBUILD) % 2 == 1
        pairs.append(take_turns(sides, calls, theirs_first))
    return summary(pairs)


def missing(sides: list[Side]) -> set[str]:
    """Published layers without a case."""
    timed = {case.layer for case in LAYERS} | NOT_TIMED.keys()
    return {name for side in sides for name in side.ask(do='names')['names']} - timed


def label(case: Case) -> str:
    """What the table calls a case: its expression, and its inputs where another case has the same."""
    alike = [other for other in CASES if other.build == case.build]
    return case.build if len(alike) == 1 else f'{case.build} {" ".join(map(str, case.inputs))}'.strip()


def cells(found: dict[str, Any]) -> str:
    """Theirs, ours and the ratio, as a part of a line."""
    if 'ratio' not in found:
        return f'{"":>9} {"":>9} {"":>6}'
    return f'{found["reference"] * 1e6:9.1f} {found["ours"] * 1e6:9.1f} {found["ratio"]:6.2f}'


def mean_line(name: str, ratios: list[float]) -> str:
    """The geometric mean of some ratios."""
    return f'{name:12} {statistics.geometric_mean(ratios):.3f} over {len(ratios)}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_side_arguments(parser)
    parser.add_argument('--pairs', type=int, default=60, help='most pairs of turns for a figure (default: 60)')
    parser.add_argument('--only', nargs='+', default=['*'], help='wildcards for the expressions of cases')
    parser.add_argument('--json', type=Path, help='also write all figures to this file')
    args = parser.parse_args()
    processes = [open_sides(args, 'measure_layers.py') for _ in range(PROCESSES)]
    if lacking := missing(list(processes[0].values())):
        sys.exit(f'layer_cases.py has no case for {", ".join(sorted(lacking))}')
    print(f'{"microseconds":60} {"eval: theirs, ours, ratio":>26}   {"train: theirs, ours, ratio":>26}')
    found: dict[str, dict[str, Any]] = {}
    for index, case in enumerate(CASES):
        if not any(fnmatch.fnmatch(case.build, pattern) for pattern in args.only):
            continue
        name = label(case)
        found[name] = {mode: compare(index, mode, processes, args.pairs) for mode in ('eval', 'train')}
        line = f'{name[:60]:60} {cells(found[name]["eval"])}   {cells(found[name]["train"])}'
        errors = [f'{mode} {result["error"]}' for mode, result in found[name].items() if 'error' in result]
        print(line.rstrip(), *errors, flush=True)
    for side in [side for sides in processes for side in sides.values()]:
        side.close()
    for mode in ('eval', 'train'):
        if ratios := [result[mode]['ratio'] for result in found.values() if 'ratio' in result[mode]]:
            print(mean_line(mode, ratios))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == '__main__':
    main()
