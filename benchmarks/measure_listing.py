"""Times one start of the folder reader of the `timm` on PYTHONPATH, and weighs a worker that uses its listing."""

import argparse
import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import memory_mib
from torch.utils.data import DataLoader, Dataset

from timm.data import create_reader


class Names(Dataset[int]):
    """The names of a reader. An item is the bytes that its worker owns alone after it has met `count` names."""

    def __init__(self, reader: Any, count: int) -> None:
        self.reader = reader
        self.count = count

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        length = len(self.reader)
        for i in np.random.default_rng(index).permutation(max(self.count, length))[: self.count]:
            path, _ = self.reader.samples[int(i) % length]
            assert path.endswith(self.reader.filename(int(i) % length))
        return private_bytes()


def private_bytes() -> int:
    """Memory that this process shares with no other."""
    lines = Path('/proc/self/smaps_rollup').read_text(encoding='ascii').splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith('Private_'))


def in_worker(reader: Any, count: int, method: str) -> int:
    """`private_bytes` of a worker of a loader that has met so many names of the reader."""
    return int(next(iter(DataLoader(Names(reader, count), num_workers=1, multiprocessing_context=method))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root')
    parser.add_argument('--workers', nargs='*', default=(), help='start methods of workers to weigh')
    args = parser.parse_args()
    before = time.perf_counter(), time.process_time()
    reader: Any = create_reader('', root=args.root)
    found: dict[str, Any] = {
        'seconds': time.perf_counter() - before[0],
        'cpu_seconds': time.process_time() - before[1],
        'peak_mib': memory_mib('VmHWM'),
        'entries': len(reader),
    }
    digest = hashlib.sha256()
    for i in range(len(reader)):
        digest.update(repr(reader.samples[i]).encode())
    found['digest'] = digest.hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        for method in args.workers:
            Path(folder, 'one.jpg').touch()
            base = in_worker(create_reader('', root=folder), len(reader), method)
            found[f'{method}_growth_mib'] = (in_worker(reader, len(reader), method) - base) / 2**20
    print(json.dumps(found))


if __name__ == '__main__':
    main()
