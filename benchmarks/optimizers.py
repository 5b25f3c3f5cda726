#!/usr/bin/env python3
"""Compares optimizer steps, gradient clipping and weight averages with those of another timm installation.

    python benchmarks/optimizers.py --reference SITE [--only 'lamb*' agc] [--models resnet50] [--json optimizers.json]

SITE is a folder that holds a package `timm`, such as the `--target` of a pip install. Every optimizer that both sides
can make takes steps, as made by default, on the parameters of each model with fixed random gradients, in turns (A B,
B A, ...) of about 0.1 s. Times are CPU seconds of one thread, float32, medians.
"""

import argparse
import fnmatch
import json
import statistics
from pathlib import Path
from typing import Any

from sides import Side, add_side_arguments, compare_turns, open_sides

MODELS = ('resnet50', 'vit_small_patch16_224')
UTILITIES = ('agc', 'clip_norm', 'clip_value', 'ema_v2', 'ema_v3')
TURN = 0.1  # seconds
# Name, or wildcard, -> most that our time may be, over theirs; the first that fits.
GOALS = {
    **dict.fromkeys(('adam', 'adamw', 'sgd', 'momentum', 'nesterov', 'adagrad', 'agc'), 0.45),
    **dict.fromkeys(('lamb*', 'clamb*'), 0.65),
    'ema_v3': 0.75,
    '*muon': 0.7,
    '*': 1.05,
}
MEAN_GOAL = 0.85  # of the geometric mean over all names of optimizers


def goal_of(name: str) -> float:
    """The goal for a name."""
    return next(goal for pattern, goal in GOALS.items() if fnmatch.fnmatch(name, pattern))


def compare(name: str, model: str, sides: dict[str, Side], most: int) -> dict[str, Any]:
    """Medians of both sides and their ratio; or what is wrong."""
    ready = {side: process.ask(do='prepare', name=name, model=model) for side, process in sides.items()}
    errors = [f'{side}: {found["error"]}' for side, found in ready.items() if 'error' in found]
    if errors:
        return {'error': '; '.join(errors)}
    slowest = max(found['seconds'] for found in ready.values())
    fewest = 4 if slowest < 1 else 2
    return compare_turns(sides, max(1, round(TURN / slowest)), fewest, most if slowest < 1 else fewest)


def show(name: str, found: dict[str, dict[str, Any]]) -> str:
    """A line of the table."""
    cells, notes = '', []
    for result in found.values():
        if 'error' in result:
            cells += f'{"":28}'
            notes = [result['error'][:60]]
        else:
            cells += f'{result["reference"] * 1e3:10.2f} {result["ours"] * 1e3:9.2f} {result["ratio"]:6.2f} '
    ratios = [result['ratio'] for result in found.values() if 'ratio' in result]
    verdict = '' if not ratios else 'met' if max(ratios) <= goal_of(name) else 'MISSED'
    return f'{name:16}{cells} {goal_of(name):5.2f} {verdict:>6} {"; ".join(notes)}'.rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_side_arguments(parser)
    parser.add_argument('--pairs', type=int, default=16, help='most pairs of turns for a figure (default: 16)')
    parser.add_argument('--models', nargs='+', default=MODELS, help='models whose parameters are updated')
    parser.add_argument('--only', nargs='+', default=['*'], help='wildcards for names')
    parser.add_argument('--json', type=Path, help='also write all figures to this file')
    args = parser.parse_args()
    sides = open_sides(args, 'measure_optimizers.py')
    listed = {side: process.ask(do='names')['names'] for side, process in sides.items()}
    optimizers = sorted(set(listed['ours']) & set(listed['reference']))
    print(f'{len(optimizers)} names; only there: {sorted(set(listed["reference"]) - set(listed["ours"]))}')
    print(f'{"milliseconds":16}' + ''.join(f'{model[:12]:>12} theirs, ours ' for model in args.models) + '   goal')
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in (*optimizers, *UTILITIES):
        if any(fnmatch.fnmatch(name, pattern) for pattern in args.only):
            found[name] = {model: compare(name, model, sides, args.pairs) for model in args.models}
            print(show(name, found[name]), flush=True)
    for process in sides.values():
        process.close()
    for model in args.models:
        ratios = [found[name][model]['ratio'] for name in optimizers if 'ratio' in found.get(name, {}).get(model, {})]
        if ratios:
            mean = statistics.geometric_mean(ratios)
            print(f'{model}: geometric mean {mean:.3f} over {len(ratios)}, at most {MEAN_GOAL}')
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == '__main__':
    main()
