"""Takes one figure of the `timm` on PYTHONPATH, in this process; prints it as JSON. Called by compare.py."""

import argparse
import contextlib
import gc
import json
import os
import resource
import statistics
import tempfile
from pathlib import Path
from typing import Any


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory_mib(field: str) -> float:
    """A line of /proc/self/status: VmRSS (resident now) or VmHWM (most so far)."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return float('nan')


def forget_peak() -> None:
    """Start VmHWM anew."""
    gc.collect()
    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')


class Stopwatch:
    """CPU seconds and memory peak of a block."""

    def __enter__(self) -> 'Stopwatch':
        forget_peak()
        self.base = memory_mib('VmRSS')
        self.start = cpu_seconds()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.seconds = cpu_seconds() - self.start
        self.peak = memory_mib('VmHWM') - self.base


def measure_import(args: argparse.Namespace) -> dict[str, float]:
    """Importing the package, and with it the lists of names or a first model."""
    import torch

    assert torch  # its own import is not counted
    with Stopwatch() as watch:
        import timm

        if args.what == 'lists':
            assert timm.list_models()
            assert timm.list_models(pretrained=True)
        elif args.what == 'first':
            timm.create_model(args.model)
        else:
            assert timm.__version__
    return {'seconds': watch.seconds, 'peak_mib': watch.peak}


def warm_up(model: str) -> None:
    """Import what a creation imports, and touch the code that a load runs, so that neither counts as its memory."""
    import safetensors.torch

    import timm

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'small.safetensors')
        safetensors.torch.save_file(timm.create_model('test_vit').state_dict(), file)
        small = timm.create_model('test_vit', pretrained=True, pretrained_cfg_overlay={'file': str(file)})
        for value in small.state_dict().values():
            value.max()
    with contextlib.suppress(TypeError):  # a model that takes no device
        timm.create_model(model, device='meta')


def measure_create(args: argparse.Namespace) -> dict[str, float]:
    """Building a model: with random weights, from a file, or without memory."""
    import timm

    kwargs: dict[str, Any] = {}
    if args.what in ('load', 'read'):
        kwargs = {'pretrained': True, 'pretrained_cfg_overlay': {'file': args.file}}
        with Path(args.file).open('rb') as file:  # so that both sides find it in the page cache
            while file.read(1 << 24):
                pass
    elif args.what == 'skeleton':
        kwargs = {'device': 'meta'}
    warm_up(args.model)
    seconds, peaks, size = [], [], 1.0
    for _ in range(args.repeats):
        with Stopwatch() as watch:
            model = timm.create_model(args.model, **kwargs)
            if args.what == 'read':  # a mapped file has been read only when every weight has been looked at
                for value in model.state_dict().values():
                    value.max()
        size = sum(value.nbytes for value in model.state_dict().values()) / 2**20
        seconds.append(watch.seconds)
        peaks.append(watch.peak)
        del model
    result = {'seconds': statistics.median(seconds), 'peak_mib': peaks[0]}
    return result if args.what == 'skeleton' else {**result, 'peak_over_weights': peaks[0] / size}


def write_weights(args: argparse.Namespace) -> dict[str, float]:
    """A file for the measurements that load one."""
    import safetensors.torch

    import timm

    state = timm.create_model(args.model).state_dict()
    safetensors.torch.save_file({name: value.contiguous() for name, value in state.items()}, args.file)
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('what', choices=['import', 'lists', 'first', 'random', 'load', 'read', 'skeleton', 'write'])
    parser.add_argument('--model', default='resnet18')
    parser.add_argument('--file', default='')
    parser.add_argument('--repeats', type=int, default=1)
    args = parser.parse_args()
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    if args.what == 'write':
        result = write_weights(args)
    elif args.what in ('import', 'lists', 'first'):
        result = measure_import(args)
    else:
        result = measure_create(args)
    print(json.dumps(result))


if __name__ == '__main__':
    main()
