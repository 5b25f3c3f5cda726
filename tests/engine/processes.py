"""Processes of tests: forked, so that none has to import torch again, each the leader of a group of its own."""

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image

from timm.engine.commands import launch
from timm.engine.distributed import World

FORK = multiprocessing.get_context('fork')
OPTIONS = ['--model', 'test_resnet', '--num-classes', '2', '--img-size', '32', '--device', 'cpu', '-b', '4']
OPTIONS += ['--model-ema', '--model-ema-decay', '0.9', '--warmup-epochs', '1', '--lr', '0.02', '--drop', '0.1']


def make_images(root: Path, train: int = 32, validation: int = 8) -> Path:
    """A folder of noisy images of 36 x 36, half of them brighter in red, half in blue."""
    random = np.random.default_rng(0)
    for split, count in (('train', train), ('validation', validation)):
        for channel, name in ((2, 'blue'), (0, 'red')):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count // 2):
                pixels = random.integers(0, 150, (36, 36, 3), dtype=np.uint8)
                pixels[..., channel] += 60
                Image.fromarray(pixels).save(folder / f'{name}{i:02}.png')
    return root


def fork(work: Callable[..., int | None], *arguments: Any, log: Path | None = None) -> Any:
    """A process that does `work`, whose exit status it has; what it prints goes to `log`."""

    def run() -> None:
        os.setsid()
        torch.set_num_threads(1)
        if log is not None:
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            sys.stdout, sys.stderr = os.fdopen(1, 'w', buffering=1), os.fdopen(2, 'w', buffering=1)
        faulthandler.dump_traceback_later(30, file=sys.__stderr__ if log is None else sys.stderr)
        try:
            code = work(*arguments)
        except BaseException:  # noqa: BLE001 - told to whoever reads the log
            traceback.print_exc()
            code = 1
        os._exit(code or 0)

    process = FORK.Process(target=run)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)  # Python warns of forking a process with threads
        process.start()
    return process


def kill_group(process: Any) -> None:
    """End a process and its children at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join(30)


def wait_for(condition: Callable[[], bool], process: Any, seconds: float = 60) -> bool:
    """Wait until the condition holds, or the process has ended; whether it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        if process.exitcode is not None:
            return condition()
        time.sleep(0.005)
    raise TimeoutError(f'nothing happened in {seconds} s')


def run_ranks(work: Callable[..., Any], size: int, folder: Path, *arguments: Any, timeout: float = 60) -> list[Any]:
    """What `work(world, *arguments)` gives in each of `size` processes that are a gloo group."""

    def rank_main(rank: int) -> int:
        dist.init_process_group(
            'gloo',
            init_method=f'file://{folder}/rendezvous-{size}',
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=timeout),
        )
        torch.save(work(World(torch.device('cpu'), rank, rank, size), *arguments), folder / f'answer-{rank}.pt')
        dist.destroy_process_group()
        return 0

    (folder / f'rendezvous-{size}').unlink(missing_ok=True)
    processes = [fork(rank_main, rank, log=folder / f'rank-{rank}.log') for rank in range(size)]
    for process in processes:
        process.join(timeout)
        if process.exitcode is None:
            kill_group(process)
    logs = ''.join((folder / f'rank-{rank}.log').read_text() for rank in range(size))
    assert [process.exitcode for process in processes] == [0] * size, logs
    return [torch.load(folder / f'answer-{rank}.pt', weights_only=False) for rank in range(size)]


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun sets."""
    return {
        'RANK': str(rank),
        'LOCAL_RANK': str(rank),
        'WORLD_SIZE': str(size),
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': str(port),
    }


def free_port() -> int:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


def launch_ranks(argv: list[str], size: int, folder: Path, hook: Any = None, timeout: float = 40) -> list[Any]:
    """The exit statuses of `size` processes that train together; `hook(rank)` runs first in each."""
    port = free_port()

    def work(rank: int) -> int:
        os.environ.update(environment(rank, size, port))
        if hook is not None:
            hook(rank)
        return launch('train', argv)

    processes = [fork(work, rank, log=folder / f'rank-{rank}.log') for rank in range(size)]
    end = time.monotonic() + timeout
    for process in processes:
        process.join(max(end - time.monotonic(), 0))
        if process.exitcode is None:
            kill_group(process)
    return [process.exitcode for process in processes]


def comparable(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint without what says where it was written."""
    return {key: value for key, value in state.items() if key != 'args'}


def command(data: Path, output: Path, *more: str, name: str = 'run') -> Sequence[str]:
    """The arguments of a training."""
    return [str(data), *OPTIONS, '--output', str(output), '--experiment', name, '--resume', 'auto', *more]
