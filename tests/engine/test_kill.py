"""A run that is killed at any moment, and started again by the same command, ends as if nothing had happened."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from processes import command, comparable, fork, kill_group, wait_for
from tiny import differences

from timm.engine.checkpoint import read_checkpoint
from timm.engine.commands import launch

pytestmark = pytest.mark.usefixtures('no_pictures')

ROOT = Path(__file__).parents[2]


def assert_equal_runs(one: Path, other: Path) -> None:
    """The last and the best checkpoint and the figures of two runs are the same to the last bit."""
    for name in ('last.pth.tar', 'model_best.pth.tar'):
        a, b = (comparable(read_checkpoint(folder / name)) for folder in (one, other))
        assert {'state_dict', 'state_dict_ema', 'optimizer', 'saver', 'metric', 'engine'} <= a.keys()
        assert a['optimizer']['state']
        assert not differences(a, b)
    for name in ('summary.csv', 'summary.jsonl'):
        assert (one / name).read_text() == (other / name).read_text()


def test_a_killed_run_ends_as_an_unbroken_one(data, tmp_path):
    options = ['--epochs', '3', '--recovery-interval', '2', '-j', '1', '--log-interval', '1']
    assert fork_and_wait(command(data, tmp_path, *options, name='whole'), tmp_path / 'whole.log') == 0
    moments = random.Random(4)
    argv = command(data, tmp_path, *options)
    for life in range(3):
        log = tmp_path / f'{life}.log'
        process = fork(launch, 'train', argv, log=log)
        if wait_for(lambda log=log: 'train' in read(log), process) and life < 2:
            time.sleep(moments.uniform(0, 0.3))
            kill_group(process)
            continue
        process.join(120)
        assert process.exitcode == 0, read(log)
    assert_equal_runs(tmp_path / 'whole', tmp_path / 'run')
    assert not list((tmp_path / 'run').glob('tmp-*'))


@pytest.mark.slow
def test_twenty_kills_of_three_hundred_updates(data, tmp_path):
    options = ['--epochs', '38', '--recovery-interval', '7', '-j', '1']
    started = time.monotonic()
    assert process_of(command(data, tmp_path, *options, name='whole'), tmp_path).wait() == 0
    whole = time.monotonic() - started
    moments, kills = random.Random(0), 0
    for _ in range(60):
        process = process_of(command(data, tmp_path, *options), tmp_path)
        try:
            code = process.wait(timeout=moments.uniform(0.2, 0.4 * whole) if kills < 20 else None)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            kills += 1
            continue
        assert code == 0
        if kills == 20:
            break
    assert kills == 20
    assert_equal_runs(tmp_path / 'whole', tmp_path / 'run')


def fork_and_wait(argv, log: Path) -> int | None:
    process = fork(launch, 'train', argv, log=log)
    process.join(120)
    return process.exitcode


def read(log: Path) -> str:
    return log.read_text() if log.exists() else ''


def process_of(argv, folder: Path) -> subprocess.Popen[bytes]:
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    with (folder / 'processes.log').open('ab') as log:
        return subprocess.Popen(
            [sys.executable, str(ROOT / 'train.py'), *argv], env=env, stdout=log, stderr=log, start_new_session=True
        )


@pytest.mark.filterwarnings('ignore:This DataLoader will create 4 worker')
@pytest.mark.parametrize('workers', [pytest.param((0, 4), marks=pytest.mark.slow), (1, 0)])
def test_a_run_goes_on_with_another_number_of_workers(data, tmp_path, workers):
    options = ['--epochs', '2', '--no-prefetcher', '--aa', 'rand-m5', '--reprob', '0.3', '--mixup', '0.2']
    assert launch('train', command(data, tmp_path, *options, '-j', '0', name='whole')) == 0
    first, second = workers
    log = tmp_path / 'log'
    argv = command(data, tmp_path, *options, '-j', str(first), '--recovery-interval', '1', '--log-interval', '1')
    process = fork(launch, 'train', argv, log=log)
    wait_for(lambda: (tmp_path / 'run' / 'recovery-1-3.pth.tar').exists(), process)
    kill_group(process)
    assert launch('train', command(data, tmp_path, *options, '-j', str(second))) == 0
    a, b = (read_checkpoint(tmp_path / name / 'last.pth.tar') for name in ('whole', 'run'))
    assert not differences(comparable(a), comparable(b))
    assert torch.equal(a['state_dict']['fc.weight'], b['state_dict']['fc.weight'])
