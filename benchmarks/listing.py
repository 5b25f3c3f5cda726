#!/usr/bin/env python3
"""Measures what it takes to list a folder of a million images: the first start, the second, and memory of a worker.

    python benchmarks/listing.py [--reference SITE] [--classes 1000] [--images 1000] [--where FOLDER] [--json FILE]

Makes empty files, lists them in fresh processes, and removes them. SITE is a folder that holds another package `timm`
to compare with. Times are wall seconds (CPU seconds in brackets) with the directories in the cache of the system, which
is when a second start has least to gain. A worker's memory is what it shares with no other process after it has met
every name in random order, over that of a worker whose listing has one image.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sides import HERE

RATIO_GOAL = 10  # first start over second
GROWTH_GOAL = 50  # MiB
METHODS = ('fork', 'spawn')


def make_images(root: Path, classes: int, images: int) -> None:
    """Empty files 'n00000017/n00000017_42.jpg'."""
    for c in range(classes):
        name = f'n{c:08}'
        folder = root / name
        folder.mkdir(parents=True)
        for i in range(images):
            os.close(os.open(folder / f'{name}_{i}.jpg', os.O_CREAT | os.O_WRONLY))


def start(python: str, site: Path, root: Path, kept: Path, weigh: bool) -> dict[str, Any]:
    """One start in a fresh process, with the `timm` of a folder."""
    command = [python, str(HERE / 'measure_listing.py'), str(root), *(['--workers', *METHODS] if weigh else [])]
    settings = {'PYTHONPATH': str(site), 'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore', 'TIMM_LISTINGS': str(kept)}
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit((done.stderr.strip().splitlines() or ['no message'])[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def show(side: str, first: dict[str, Any], second: dict[str, Any]) -> str:
    """Lines of the report."""
    ratio = first['seconds'] / second['seconds']
    growth = {method: second[f'{method}_growth_mib'] for method in METHODS}
    met = {'ratio': ratio >= RATIO_GOAL, 'growth': max(growth.values()) < GROWTH_GOAL}
    verdict = {name: ('met' if good else 'MISSED') if side == 'ours' else '' for name, good in met.items()}
    lines = [f'{side}: {first["entries"]} images']
    for name, found in (('first start', first), ('second start', second)):
        seconds = f'{found["seconds"]:8.2f} s ({found["cpu_seconds"]:.2f})'
        lines.append(f'  {name:14}{seconds}, peak {found["peak_mib"]:.0f} MiB')
    lines.append(f'  {"ratio":14}{ratio:8.1f}   {verdict["ratio"]}')
    weights = ', '.join(f'{growth[method]:.1f} MiB ({method})' for method in METHODS)
    lines.append(f'  {"worker growth":14}{weights}   {verdict["growth"]}')
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--reference', type=Path, help='folder with a package to compare with')
    parser.add_argument('--ours', type=Path, default=HERE.parent, help='folder with our package (default: this one)')
    parser.add_argument('--python', default=sys.executable, help='interpreter for our side')
    parser.add_argument('--reference-python', default=sys.executable, help='interpreter for the other side')
    parser.add_argument('--classes', type=int, default=1000, help='folders (default: 1000)')
    parser.add_argument('--images', type=int, default=1000, help='files in each (default: 1000)')
    parser.add_argument('--where', type=Path, help='existing folder to make them in (default: a temporary one)')
    parser.add_argument('--json', type=Path, help='also write all figures to this file')
    args = parser.parse_args()
    sides = {'ours': (args.python, args.ours.resolve())}
    if args.reference:
        sides['reference'] = (args.reference_python, args.reference.resolve())
    found = {}
    with tempfile.TemporaryDirectory(dir=args.where) as folder:
        make_images(Path(folder, 'images'), args.classes, args.images)
        time.sleep(3)  # what has changed within the last two seconds is not kept
        for side, (python, site) in sides.items():
            place = site, Path(folder, 'images'), Path(folder, 'kept')
            found[side] = {name: start(python, *place, weigh=name == 'second') for name in ('first', 'second')}
            print(show(side, **found[side]), flush=True)
    digests = {starts[name]['digest'] for starts in found.values() for name in starts}
    print('every start gave the same list' if len(digests) == 1 else 'THE LISTS DIFFER')
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == '__main__':
    main()
