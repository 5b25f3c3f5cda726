#!/usr/bin/env python3
"""Compares the time and memory that importing, building and loading take with those of another timm installation.

    python benchmarks/compare.py --reference SITE [--rounds 3] [--only 'import*' 'load*'] [--json figures.json]

SITE is a folder that holds a package `timm`, such as the `--target` of a pip install. Each figure is taken in
processes of its own, one after the other: ours, theirs, theirs, ours, ... so that a drift of the machine's speed
falls on both alike. Times are CPU seconds of one thread, medians.
"""

import argparse
import fnmatch
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Figure:
    """One thing to measure.

    Attributes:
        goal: Most that our time may be, over theirs.
        repeats: How often within a process.
    """

    what: str
    model: str = ''
    goal: float | None = None
    repeats: int = 3

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f'{self.what} {self.model}'.strip()


PEAK_GOAL = 1.1  # times the bytes of the weights
FIGURES = [
    Figure('import', goal=0.08),
    Figure('lists', goal=0.10),
    Figure('first', 'resnet18', goal=0.25),
    Figure('random', 'vit_base_patch16_224', goal=0.7),
    Figure('random', 'convnext_tiny', goal=0.7),
    Figure('random', 'swin_tiny_patch4_window7_224', goal=0.7),
    Figure('random', 'resnet50', goal=0.85),
    Figure('random', 'efficientnet_b0', goal=0.85),
    Figure('load', 'vit_base_patch16_224', goal=0.10),
    Figure('read', 'vit_base_patch16_224'),
    Figure('load', 'eva_giant_patch14_224', goal=0.10, repeats=1),
    Figure('load', 'swin_tiny_patch4_window7_224', goal=0.35),
    Figure('read', 'swin_tiny_patch4_window7_224'),
    Figure('load', 'efficientnet_b0', goal=0.7),
    Figure('read', 'efficientnet_b0'),
    Figure('skeleton', 'vit_base_patch16_224', goal=0.7),
    Figure('skeleton', 'resnet50', goal=0.7),
    Figure('skeleton', 'convnext_tiny', goal=0.7),
    Figure('skeleton', 'swin_tiny_patch4_window7_224', goal=0.7),
    Figure('skeleton', 'efficientnet_b0', goal=0.7),
]


def run(python: str, site: Path, figure: Figure, file: Path) -> dict[str, float]:
    """One measurement in a fresh process, with the `timm` of a folder."""
    command = [python, str(HERE / 'measure.py'), figure.what, '--repeats', str(figure.repeats), '--file', str(file)]
    command += ['--model', figure.model] if figure.model else []
    settings = {'PYTHONPATH': str(site), 'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore'}
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ['no message'])[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(figure: Figure, sides: dict[str, tuple[str, Path]], rounds: int, weights: Path) -> dict[str, dict]:
    """Medians of a figure on both sides."""
    file = weights / f'{figure.model}.safetensors'
    if figure.what in ('load', 'read') and not file.exists():
        run(*sides['ours'], Figure('write', figure.model), file)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    names = list(sides)
    for i in range(1 if figure.repeats == 1 else rounds):
        for name in names if i % 2 == 0 else names[::-1]:  # A B, B A, A B, ...
            taken[name].append(run(*sides[name], figure, file))
    return {
        name: {key: statistics.median(one[key] for one in results) for key in results[0]}
        for name, results in taken.items()
    }


def show(figure: Figure, found: dict[str, dict]) -> str:
    """A line of the table."""
    ours, theirs = found['ours'], found['reference']
    ratio = ours['seconds'] / theirs['seconds'] if theirs['seconds'] else float('nan')
    verdict = '' if figure.goal is None else 'met' if ratio <= figure.goal else 'MISSED'
    line = f'{figure.name:38} {theirs["seconds"]:10.3f} {ours["seconds"]:10.3f} {ratio:7.2f}'
    line += f' {"" if figure.goal is None else format(figure.goal, ".2f"):>6} {verdict:>6}'
    if 'peak_over_weights' in ours:
        peaks = theirs['peak_over_weights'], ours['peak_over_weights']
        line += f'   {peaks[0]:5.2f} x {peaks[1]:5.2f} x {"" if peaks[1] <= PEAK_GOAL else "MISSED"}'
    elif 'peak_mib' in ours:
        line += f'   {theirs["peak_mib"]:5.0f} M {ours["peak_mib"]:5.0f} M'
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--reference', type=Path, required=True, help='folder with the package to compare with')
    parser.add_argument('--ours', type=Path, default=HERE.parent, help='folder with our package (default: this one)')
    parser.add_argument('--python', default=sys.executable, help='interpreter for our side')
    parser.add_argument('--reference-python', default=sys.executable, help='interpreter for the other side')
    parser.add_argument('--rounds', type=int, default=4, help='processes per side and figure (default: 4)')
    parser.add_argument('--only', nargs='+', default=['*'], help='wildcards for the names of figures')
    parser.add_argument('--weights', type=Path, help='folder to keep weight files in (default: a temporary one)')
    parser.add_argument('--json', type=Path, help='also write all medians to this file')
    args = parser.parse_args()
    sides = {
        'ours': (args.python, args.ours.resolve()),
        'reference': (args.reference_python, args.reference.resolve()),
    }
    print(f'{"":38} {"theirs s":>10} {"ours s":>10} {"ratio":>7} {"goal":>6} {"":6}   peak memory, theirs and ours')
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        weights = args.weights or Path(folder)
        weights.mkdir(parents=True, exist_ok=True)
        for figure in FIGURES:
            if not any(fnmatch.fnmatch(figure.name, pattern) for pattern in args.only):
                continue
            try:
                found[figure.name] = compare(figure, sides, args.rounds, weights)
            except RuntimeError as error:
                print(f'{figure.name:38} skipped: {error}', flush=True)
                continue
            print(show(figure, found[figure.name]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == '__main__':
    main()
