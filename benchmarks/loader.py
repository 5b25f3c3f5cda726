#!/usr/bin/env python3
"""Compares data loading with that of another timm installation, from JPEG files to normalised batches of 224 x 224.

    python benchmarks/loader.py --reference SITE [--only 'evaluation*'] [--images FOLDER] [--json loader.json]
    python benchmarks/loader.py --reference SITE --scale 8 --count 60 --only evaluation '*reduced*'

SITE is a folder that holds a package `timm`, such as the `--target` of a pip install. Both sides load one folder, in
turns (A B, B A, ...) of a pass. Figures are medians for an image: CPU milliseconds of all threads and processes, or,
where two workers load, milliseconds by the clock. Beside them is decoding alone: no loader goes below that, except by
reduced decoding, which is for photographs of many pixels as in the second line. How far the fast resize and reduced
decoding are from PIL's pixels is printed first.
"""

import argparse
import fnmatch
import json
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sides import Side, add_side_arguments, compare_turns, open_sides

SIZES = ((500, 375), (375, 500), (500, 333), (480, 360))  # width, height


@dataclass(frozen=True)
class Case:
    """What is timed: a pipeline of measure_loader.py, our options, and the most that our time may be, over theirs."""

    pipeline: str
    ours: dict[str, Any] = field(default_factory=dict[str, Any])
    workers: int = 0
    unit: str = 'cpu'
    goal: float | None = None


FAST = {'fast_resize': True}
REDUCED = {'reduced_decode': True}
THREADS = {'worker_type': 'thread'}
CASES = {
    'evaluation': Case('evaluation', goal=0.8),
    'evaluation, fast resize': Case('evaluation', FAST, goal=0.6),
    'evaluation, reduced': Case('evaluation', REDUCED),
    'crop and flip': Case('crop'),
    'crop and flip, fast resize': Case('crop', FAST, goal=0.75),
    'crop and flip, reduced': Case('crop', REDUCED),
    'RandAugment, erasing, mixup': Case('augment'),
    'RandAugment, erasing, mixup, fast': Case('augment', FAST, goal=0.85),
    'evaluation, 2 processes': Case('evaluation', workers=2, unit='wall'),
    'evaluation, 2 threads': Case('evaluation', THREADS, 2, 'wall'),
    'evaluation, 2 threads, fast': Case('evaluation', FAST | THREADS, 2, 'wall', goal=1 / 1.5),
}


def make_images(root: Path, count: int, scale: int) -> None:
    """Write JPEGs, of about 100 kB at a scale of 1: noise of several scales, and fine grain."""
    for number in range(count):
        draw = np.random.default_rng(number)
        width, height = (scale * side for side in SIZES[number % len(SIZES)])
        pixels = draw.normal(0, 3, (height, width, 3)) + 128
        for octave in range(1, 8):
            coarse = draw.normal(0, 64 / 2**octave, (2 + 2**octave, 2 + 2**octave))
            pixels += np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((width, height)))[:, :, None]
        folder = root / f'class{number % 10}'
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f'{number:05}.jpg', quality=92)


def compare(case: Case, sides: dict[str, Side], images: Path, most: int) -> dict[str, Any]:
    """Medians of both sides and their ratio; or what is wrong."""
    for name, side in sides.items():
        options = case.ours if name == 'ours' else {}
        request = {key: value for key, value in asdict(case).items() if key in ('pipeline', 'workers', 'unit')}
        ready = side.ask(do='prepare', images=str(images), options=options, **request)
        if 'error' in ready:
            return {'error': f'{name}: {ready["error"]}'}
    return compare_turns(sides, 1, 4, most)


def show(name: str, case: Case, result: dict[str, Any], limit: float) -> str:
    """A line of the table."""
    if 'error' in result:
        return f'{name:36}{result["error"]}'
    ours, theirs, ratio = result['ours'], result['reference'], result['ratio']
    line = (
        f'{name:36}{theirs * 1e3:8.2f}{ours * 1e3:8.2f}{limit * 1e3:8.2f}{1 / theirs:10.0f}{1 / ours:8.0f}{ratio:8.2f}'
    )
    if case.goal is None:
        return line
    return f'{line}{case.goal:7.2f} {"met" if ratio <= case.goal else "MISSED"}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_side_arguments(parser)
    parser.add_argument('--pairs', type=int, default=10, help='most pairs of turns for a figure (default: 10)')
    parser.add_argument('--images', type=Path, help='folder of folders of images, instead of generated ones')
    parser.add_argument('--count', type=int, default=400, help='images to generate (default: 400)')
    parser.add_argument('--scale', type=int, default=1, help='times 500 pixels of the longer side (default: 1)')
    parser.add_argument('--only', nargs='+', default=['*'], help='wildcards for names')
    parser.add_argument('--json', type=Path, help='also write all figures to this file')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = args.images or Path(folder)
        if args.images is None:
            make_images(images, args.count, args.scale)
        sides = open_sides(args, 'measure_loader.py')
        told = sides['ours'].ask(do='limits', images=str(images))
        for way, (largest, mean) in told['differences'].items():
            print(f'{way}, pixels off PIL: {largest} of 255 at most, {mean:.4f} on average')
        print(
            f'{"milliseconds for an image":36}{"theirs":>8}{"ours":>8}{"decode":>8}'
            f'{"images/s":>10}{"":8}{"ratio":>8}{"goal":>7}'
        )
        found: dict[str, dict[str, Any]] = {}
        for name, case in CASES.items():
            if any(fnmatch.fnmatch(name, pattern) for pattern in args.only):
                found[name] = compare(case, sides, images, args.pairs)
                print(show(name, case, found[name], told['decode'] / max(1, case.workers)), flush=True)
        for side in sides.values():
            side.close()
    if args.json:
        args.json.write_text(json.dumps({'limits': told, **found}, indent=1))


if __name__ == '__main__':
    main()
