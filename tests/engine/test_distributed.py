"""Several processes: the same updates as one, every sample counted once, and a failure that is named everywhere."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import comparable, environment, free_port, launch_ranks, make_images, run_ranks
from tiny import differences
from torch import nn

from timm.data import KeyedDataset
from timm.data.keyed import KeyedSampler
from timm.engine import distributed
from timm.engine.batches import TrainBatches
from timm.engine.checkpoint import newest_sound, read_checkpoint
from timm.engine.commands import launch
from timm.engine.distributed import World, join_world
from timm.engine.evaluate import evaluate
from timm.engine.exits import DataError
from timm.engine.precision import Precision
from timm.engine.step import TrainStep
from timm.task import ClassificationEvaluator

# A network without statistics over a batch.
MODEL = ['--model', 'test_vit', '--num-classes', '2', '--img-size', '32', '--device', 'cpu', '-j', '0']
MODEL += ['--model-ema', '--model-ema-decay', '0.9', '--warmup-epochs', '1', '--lr', '0.02', '--drop', '0.1']


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return make_images(tmp_path_factory.mktemp('images'), train=32, validation=10)


def argv_of(data: Path, output: Path, name: str, *more: str) -> list[str]:
    return [str(data), *MODEL, '--output', str(output), '--experiment', name, '--resume', 'auto', *more]


def log_of(folder: Path, rank: int = 0) -> str:
    return (folder / f'rank-{rank}.log').read_text()


def states(one: Path, other: Path) -> list[str]:
    """Differences between the last checkpoints of two runs, of what does not depend on the number of processes."""
    a, b = (comparable(read_checkpoint(folder / 'last.pth.tar')) for folder in (one, other))
    return differences(a, b)


MIXED = ['--mixup', '0.4', '--cutmix', '1', '--mixup-mode', 'elem', '--reprob', '0.5', '--aug-repeats', '2']


@pytest.mark.parametrize('more', [[], MIXED, [*MIXED, '--no-prefetcher']], ids=['plain', 'mixed', 'mixed on the host'])
def test_two_processes_make_the_updates_of_accumulation_and_go_on_as_one(data, tmp_path, more):
    shared = ['--epochs', '2', '-b', '4', *more]
    assert launch('train', argv_of(data, tmp_path, 'one', *shared, '--grad-accum-steps', '2')) == 0
    argv = argv_of(data, tmp_path, 'two', *shared)
    assert launch_ranks(argv, 2, tmp_path) == [0, 0], log_of(tmp_path) + log_of(tmp_path, 1)
    assert not states(tmp_path / 'one', tmp_path / 'two')
    assert (tmp_path / 'one' / 'summary.csv').read_text() == (tmp_path / 'two' / 'summary.csv').read_text()


@pytest.mark.parametrize('first', [2, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_goes_on_with_another_number_of_processes(data, tmp_path, first):
    shared = ['--epochs', '2', '-b', '4']
    ways = {1: [*shared, '--grad-accum-steps', '2'], 2: shared}
    assert launch('train', argv_of(data, tmp_path, 'whole', *ways[1])) == 0

    def stop_within_the_epoch(rank: int) -> None:
        real = TrainStep._update

        def update(self, number):
            if number == 5 and rank == first - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return real(self, number)

        TrainStep._update = update

    codes = launch_ranks(argv_of(data, tmp_path, 'run', *ways[first]), first, tmp_path, stop_within_the_epoch)
    assert codes == [75] * first, log_of(tmp_path)
    found = newest_sound(tmp_path / 'run')
    assert found is not None
    assert found[1]['engine']['epoch'] == 1
    assert found[1]['engine']['done'] in (2, 3)  # of another process it is known an update later
    assert launch_ranks(argv_of(data, tmp_path, 'run', *ways[3 - first]), 3 - first, tmp_path) == [0] * (3 - first)
    assert not states(tmp_path / 'whole', tmp_path / 'run')


def test_statistics_that_differ_between_processes_survive_a_stop(data, tmp_path):
    model = ['--model', 'test_resnet', '--dist-bn', 'reduce', '--no-ddp-bb']
    assert launch_ranks(argv_of(data, tmp_path, 'whole', '--epochs', '1', '-b', '4', *model), 2, tmp_path) == [0, 0]

    def stop(rank: int) -> None:
        real = TrainStep._update

        def update(self, number):
            if number == 1 and rank == 0:
                os.kill(os.getpid(), signal.SIGUSR1)
            return real(self, number)

        TrainStep._update = update

    argv = argv_of(data, tmp_path, 'run', '--epochs', '1', '-b', '4', *model)
    assert launch_ranks(argv, 2, tmp_path, stop) == [75, 75]
    assert launch_ranks(argv, 2, tmp_path) == [0, 0]
    assert not states(tmp_path / 'whole', tmp_path / 'run')
    state = read_checkpoint(tmp_path / 'run' / 'last.pth.tar')
    (other,) = state['engine']['statistics']
    assert all(torch.equal(other[f'False.{k}'], v) for k, v in state['state_dict'].items() if 'running_' in k)


class Numbers:
    """Samples that are their index."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.transform: Any = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([float(index)]), index % 5


class Guess(nn.Module):
    """Puts sample i into class i // 2 % 5 of five, from its number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot((x[:, 0].long() // 2) % 5, 5).float() * 3


class Counted(ClassificationEvaluator):
    """Brings the figures of a part of the processes together, and keeps what was counted."""

    group: Any = None

    def _sums(self, across: bool):
        counts = torch.cat([self.loss_sum[None], self.counts.double()])
        if across:
            torch.distributed.all_reduce(counts, group=self.group)
        self.total = int(counts[1])
        return float(counts[0]), [int(n) for n in counts[1:]]


def count_all(world: World, lengths: list[int]) -> list[Any]:
    """Evaluate every number of samples with every number of processes and every batch size."""
    groups = {size: torch.distributed.new_group(list(range(size))) for size in range(1, world.size + 1)}
    wrong = []
    for size, group in groups.items():
        if world.rank >= size:
            continue
        for length in lengths:
            for batch in (1, 3, 16):
                sampler = KeyedSampler(length, batch, rank=world.rank, world_size=size)
                data = Numbers(length)
                loader = torch.utils.data.DataLoader(data, batch, sampler=[k.index for k in sampler])
                evaluator = Counted()
                evaluator.group = group
                got = evaluate(Guess(), loader, evaluator, Precision(world.device), distributed=True)
                hits = sum(i // 2 % 5 == i % 5 for i in range(length))
                losses = [torch.tensor([3.0 * (c == i // 2 % 5) for c in range(5)]) for i in range(length)]
                loss = sum(-logits.log_softmax(0)[i % 5].double().item() for i, logits in enumerate(losses)) / length
                right = evaluator.total == length and got['top1'] == 100 * hits / length and got['top5'] == 100
                if not right or abs(got['loss'] - loss) > 1e-6:
                    wrong.append((size, length, batch, evaluator.total, got))
    return wrong


def test_every_sample_is_counted_once(tmp_path):
    assert run_ranks(count_all, 4, tmp_path, [1, 2, 3, 5, 16, 33, 64]) == [[]] * 4


@pytest.mark.slow
def test_every_sample_is_counted_once_at_every_size(tmp_path):
    assert run_ranks(count_all, 4, tmp_path, list(range(1, 65)), timeout=600) == [[]] * 4


@pytest.mark.slow
def test_a_commands_evaluation_counts_every_sample_once(data, tmp_path):
    """Ten samples on two processes in batches of four: one has two batches, the other one."""
    one = ['--epochs', '1', '-b', '4', '-vb', '4', '--lr', '0', '--warmup-epochs', '0', '--model', 'test_resnet']
    assert launch('train', argv_of(data, tmp_path, 'one', *one)) == 0
    assert launch_ranks(argv_of(data, tmp_path, 'two', *one), 2, tmp_path) == [0, 0], log_of(tmp_path)
    figures = [(tmp_path / name / 'summary.csv').read_text().splitlines()[1].split(',') for name in ('one', 'two')]
    assert figures[0][3] == figures[1][3]


def test_the_first_cause_of_a_failure_ends_every_log(data, tmp_path):
    def break_one(rank: int) -> None:
        if rank == 1:
            real = TrainBatches.epoch

            def epoch(self, number, first=0):
                for i, batch in enumerate(real(self, number, first)):
                    if i == 2:
                        raise DataError('cannot read image red07.png: cut off')
                    yield batch

            TrainBatches.epoch = epoch

    codes = launch_ranks(argv_of(data, tmp_path, 'run', '--epochs', '2', '-b', '4'), 2, tmp_path, break_one)
    assert codes == [4, 4], log_of(tmp_path)
    assert log_of(tmp_path, 1).splitlines()[-1] == 'train.py: error: cannot read image red07.png: cut off'
    last = log_of(tmp_path).splitlines()[-1]
    assert last == 'train.py: error: process 1 failed first: cannot read image red07.png: cut off'


def test_a_process_that_does_not_answer_is_not_waited_for_for_ever(data, tmp_path):
    def hang(rank: int) -> None:
        distributed.TIMEOUT = distributed.timedelta(seconds=1)
        real = TrainStep._update

        def update(self, number):
            if number == 2 and rank == 1:
                time.sleep(5)
            return real(self, number)

        TrainStep._update = update

    codes = launch_ranks(argv_of(data, tmp_path, 'run', '--epochs', '2', '-b', '4'), 2, tmp_path, hang)
    assert codes == [1, 1], log_of(tmp_path)
    assert 'Timed out' in log_of(tmp_path) or 'timeout' in log_of(tmp_path)


def test_a_failure_at_the_start_of_the_first_ends_the_others(data, tmp_path):
    argv = argv_of(data, tmp_path, 'run', '-b', '4', '--resume', str(tmp_path / 'nothing.pth.tar'))
    assert set(launch_ranks(argv, 2, tmp_path)) == {2}
    assert 'there is no checkpoint' in log_of(tmp_path)


SLURM = {
    'two nodes': ({'SLURM_STEP_NODELIST': 'node[07-09,12]', 'SLURM_JOB_ID': '4711'}, ('node07', '24711')),
    'plain': ({'SLURM_JOB_NODELIST': 'gpu-a.cluster', 'SLURM_JOB_ID': '65000'}, ('gpu-a.cluster', '25000')),
    'none': ({}, ('127.0.0.1', '29500')),
    'told': ({'MASTER_ADDR': 'here', 'MASTER_PORT': '1', 'SLURM_JOB_NODELIST': 'x[1-2]'}, ('here', '1')),
}


@pytest.mark.parametrize('case', SLURM)
def test_where_the_processes_of_a_slurm_job_meet(monkeypatch, case):
    for name in ('MASTER_ADDR', 'MASTER_PORT', 'SLURM_STEP_NODELIST', 'SLURM_JOB_NODELIST', 'SLURM_JOB_ID'):
        monkeypatch.delenv(name, raising=False)
    given, expected = SLURM[case]
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    distributed._set_address()
    assert (os.environ['MASTER_ADDR'], os.environ['MASTER_PORT']) == expected


@pytest.mark.slow
def test_slurm_starts_processes_that_train_together(data, tmp_path):
    port = free_port()

    def slurm(rank: int) -> None:
        for name in environment(0, 1, 0):
            del os.environ[name]
        os.environ.update(
            SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank), SLURM_NTASKS='2', SLURM_JOB_NODELIST='localhost',
            SLURM_JOB_ID='1', MASTER_PORT=str(port),
        )  # fmt: skip

    assert launch_ranks(argv_of(data, tmp_path, 'run', '--epochs', '1', '-b', '8'), 2, tmp_path, slurm) == [0, 0]
    assert 'epoch 0' in log_of(tmp_path)
    assert 'epoch 0' not in log_of(tmp_path, 1)


def test_an_allocation_alone_starts_one_process(monkeypatch):
    monkeypatch.setenv('SLURM_NTASKS', '4')
    for name in ('RANK', 'WORLD_SIZE', 'SLURM_PROCID'):
        monkeypatch.delenv(name, raising=False)
    with join_world('cpu') as world:
        assert (world.rank, world.size) == (0, 1)


def test_keyed_shares_are_those_of_one_process():
    data = KeyedDataset(Numbers(20))
    one = [k.index for k in KeyedSampler(len(data), 8, shuffle=True, drop_last=True)]
    two = [list(KeyedSampler(20, 4, shuffle=True, drop_last=True, rank=r, world_size=2)) for r in range(2)]
    assert [k.index for u in range(2) for r in range(2) for k in two[r][4 * u : 4 * u + 4]] == one
