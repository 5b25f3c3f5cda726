"""Times the loaders of the `timm` on PYTHONPATH as loader.py asks on standard input; answers are JSON lines."""

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import timm
from timm.data import FastCollateMixup, create_dataset, create_loader

SIZE = 224
BATCH = 50
PIPELINES: dict[str, dict[str, Any]] = {
    'evaluation': {'is_training': False, 'crop_pct': 0.875},
    'crop': {'is_training': True, 'color_jitter': None},
    'augment': {'is_training': True, 'auto_augment': 'rand-m9-mstd0.5', 're_prob': 0.25, 're_mode': 'pixel'},
}


def cpu_seconds() -> float:
    """CPU seconds of this process, its threads and its workers so far."""
    ticks = os.sysconf('SC_CLK_TCK')
    total = time.process_time()
    for worker in multiprocessing.active_children():
        fields = Path(f'/proc/{worker.pid}/stat').read_text().rpartition(')')[2].split()
        total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def loader_of(request: dict[str, Any]) -> Any:
    """The loader that is asked for."""
    options = {**PIPELINES[request['pipeline']], **request['options']}
    if request['pipeline'] == 'augment':
        mix = FastCollateMixup(mixup_alpha=0.8, cutmix_alpha=1.0, num_classes=10, label_smoothing=0.1)
        options['collate_fn'] = mix
    dataset = create_dataset('', root=request['images'], split='train')
    return create_loader(
        dataset,
        (3, SIZE, SIZE),
        BATCH,
        interpolation='bicubic',
        num_workers=request['workers'],
        device=torch.device('cpu'),
        **options,
    )


def one_pass(loader: Any, unit: str) -> float:
    """Seconds for an image, by the CPU or by the clock."""
    clock = cpu_seconds if unit == 'cpu' else time.perf_counter
    start, count = clock(), 0
    for images, _ in loader:
        count += len(images)
    return (clock() - start) / count


def limits(images: str) -> dict[str, Any]:
    """CPU seconds to decode an image, and how far faster ways are from PIL's pixels on these images."""
    files = sorted(Path(images).glob('*/*'))[:100]
    start = time.process_time()
    for file in files:
        Image.open(file).load()
    decode = (time.process_time() - start) / len(files)
    dataset = create_dataset('', root=images, split='train')
    exact = pixels_of(dataset)
    differences: dict[str, tuple[int, float]] = {}
    for way in ('fast_resize', 'reduced_decode'):
        off = [np.abs(ours - theirs) for ours, theirs in zip(pixels_of(dataset, **{way: True}), exact, strict=True)]
        differences[way] = max(int(each.max()) for each in off), float(np.mean([each.mean() for each in off]))
    return {'decode': decode, 'differences': differences}


def pixels_of(dataset: Any, **options: Any) -> list[np.ndarray]:
    """About 20 of the images as an evaluation prepares them."""
    dataset.transform = timm.data.create_transform(SIZE, interpolation='bicubic', use_prefetcher=True, **options)
    return [dataset[i][0].numpy().astype(int) for i in range(0, len(dataset), max(1, len(dataset) // 20))]


def main() -> None:
    site = os.environ['PYTHONPATH']
    if not Path(timm.__file__).is_relative_to(Path(site).resolve()):
        sys.exit(f'timm was imported from {timm.__file__}, not from {site}')
    torch.set_num_threads(1)
    loader: Any = None
    unit = 'cpu'
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request['do'] == 'limits':
                answer: dict[str, Any] = limits(request['images'])
            elif request['do'] == 'prepare':
                torch.manual_seed(0)
                loader, unit = loader_of(request), request['unit']
                answer = {'seconds': one_pass(loader, unit)}
            else:
                answer = {'seconds': one_pass(loader, unit)}
        except Exception as error:  # noqa: BLE001 - the table shows it, whatever it is
            answer = {'error': f'{type(error).__name__}: {error}'.splitlines()[0]}
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    main()
