#!/usr/bin/env python3
"""Measures what exactness costs the training engine: keyed randomness per sample, and a checkpoint per commit.

    python benchmarks/engine.py [--size 224] [--model resnet50] [--folder DIR] [--json engine.json]

Both sides of each comparison take turns (A B, B A, ...) in this process, on one thread; figures are medians. A sample
is decoded from a JPEG of 500 x 375 and goes through the transforms of a training with RandAugment, once from a keyed
dataset, which seeds the generators for it, and once from a plain one that draws the same; the times are CPU seconds.
Once for each batch, taken to have 32 samples, the main process puts the generators back; workers need not. A commit
writes, syncs, reads back and renames the state of a training; it is compared with a bare `torch.save` of the same to
the same disk, in seconds.
"""

import argparse
import io
import json
import os
import statistics
import tempfile
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import timm
from timm.data import KeyedDataset, create_transform
from timm.data.keyed import SampleKey, key, seeded
from timm.engine.store import StateStore

SAMPLE_GOAL = 0.2e-3  # seconds
SHARE_GOAL = 0.05
COMMIT_GOAL = 2.0

BATCH = 32


class Photos:
    """Noisy pictures as JPEG files in memory."""

    def __init__(self, count: int, transform: Any) -> None:
        random = np.random.default_rng(0)
        self.files: list[bytes] = []
        for _ in range(count):
            coarse = Image.fromarray(random.integers(0, 255, (12, 16, 3), dtype=np.uint8))
            file = io.BytesIO()
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(file, 'JPEG', quality=90)
            self.files.append(file.getvalue())
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = Image.open(io.BytesIO(self.files[index])).convert('RGB')
        return self.transform(image), 0


def take_turns(sides: list[Callable[[], None]], turns: int) -> list[float]:
    """Median seconds of each side."""
    seconds: list[list[float]] = [[] for _ in sides]
    for turn in range(turns):
        order = range(len(sides)) if turn % 2 else reversed(range(len(sides)))
        for side in order:
            started = time.perf_counter()
            sides[side]()
            seconds[side].append(time.perf_counter() - started)
    return [statistics.median(times) for times in seconds]


def measure_samples(size: int, turns: int) -> dict[str, float]:
    """CPU seconds of a sample with a key of its own, and of one that draws the same without being seeded for it.

    The former with its share of what is done once for a batch.
    """
    transform = create_transform(size, is_training=True, auto_augment='rand-m9-mstd0.5', color_jitter=0.4)
    photos = Photos(8, transform)
    keyed = KeyedDataset(photos)
    seconds: dict[str, list[float]] = {'plain': [], 'keyed': []}
    for epoch in range(turns):
        for i in range(len(photos)):
            place: Any = SampleKey(epoch, i, i)
            for side in ('plain', 'keyed') if (epoch + i) % 2 else ('keyed', 'plain'):
                with seeded(key(keyed.seed, 'sample', epoch, i)):
                    started = time.process_time()
                    _ = photos[i] if side == 'plain' else keyed._seeded_item(place)
                    seconds[side].append(time.process_time() - started)
    whole = timeit.timeit(lambda: keyed.__getitems__([]), timer=time.process_time, number=1000) / 1000
    plain, own = (statistics.mean(seconds[side]) for side in ('plain', 'keyed'))
    cost = statistics.median(b - a for a, b in zip(seconds['plain'], seconds['keyed'], strict=True)) + whole / BATCH
    return {'plain': plain, 'keyed': own + whole / BATCH, 'cost': cost, 'share': cost / plain, 'batch': whole}


def training_state(model: str) -> dict[str, Any]:
    """What a training with an average and momentum keeps."""
    network = timm.create_model(model)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    weights = network.state_dict()
    average = {name: value.clone() for name, value in weights.items()}
    return {'epoch': 0, 'state_dict': weights, 'state_dict_ema': average, 'optimizer': optimizer.state_dict()}


def measure_commits(model: str, folder: Path, turns: int) -> dict[str, float]:
    """Seconds of a bare `torch.save`, of one that is synced, and of a commit."""
    state, store, epoch = training_state(model), StateStore(folder, keep=2), 0

    def bare() -> None:
        torch.save(state, folder / 'bare.pth.tar')

    def synced() -> None:
        with (folder / 'synced.pth.tar').open('wb') as file:
            torch.save(state, file)
            os.fsync(file.fileno())

    def commit() -> None:
        nonlocal epoch
        store.commit(state, epoch, float(epoch), required=True)
        epoch += 1

    plain, synchronous, whole = take_turns([bare, synced, commit], turns)
    size = (folder / 'bare.pth.tar').stat().st_size / 2**20
    return {'MiB': size, 'bare': plain, 'synced': synchronous, 'commit': whole, 'ratio': whole / plain}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=224, help='side of a sample in pixels (default: 224)')
    parser.add_argument('--model', default='resnet50', help='model whose training is saved (default: resnet50)')
    parser.add_argument('--folder', type=Path, help='disk to save to; by default that of temporary files')
    parser.add_argument('--turns', type=int, default=15, help='turns of each side (default: 15)')
    parser.add_argument('--json', type=Path, help='also write all figures to this file')
    args = parser.parse_args()
    torch.set_num_threads(1)
    sample = measure_samples(args.size, 4 * args.turns)
    verdict = 'met' if sample['cost'] <= SAMPLE_GOAL and sample['share'] <= SHARE_GOAL else 'MISSED'
    print(
        f'sample at {args.size} px: {sample["plain"] * 1e3:.2f} ms, keyed {sample["keyed"] * 1e3:.2f} ms: '
        f'{sample["cost"] * 1e3:+.3f} ms, {sample["share"]:+.1%}; at most 0.2 ms and 5 %: {verdict}'
    )
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        commit = measure_commits(args.model, Path(folder), args.turns)
    verdict = 'met' if commit['ratio'] <= COMMIT_GOAL else 'MISSED'
    print(
        f'commit of {args.model}, {commit["MiB"]:.0f} MiB: torch.save {commit["bare"]:.3f} s, synced '
        f'{commit["synced"]:.3f} s, commit {commit["commit"]:.3f} s: {commit["ratio"]:.2f} times; '
        f'at most {COMMIT_GOAL:g}: {verdict}'
    )
    if args.json:
        args.json.write_text(json.dumps({'sample': sample, 'commit': commit}, indent=1))


if __name__ == '__main__':
    main()
