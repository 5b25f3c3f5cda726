"""Metrics, summaries, logging, seeds, options and processes."""

import argparse
import logging
import random
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import timm.utils
from tests import reference
from tests.fill import hash_uniform
from timm.utils import (
    AverageMeter,
    FormatterNoInfo,
    ParseKwargs,
    accuracy,
    add_bool_arg,
    check_batch_size_retry,
    decay_batch_step,
    distribute_bn,
    get_outdir,
    init_distributed_device,
    is_distributed_env,
    is_primary,
    natural_key,
    random_seed,
    reduce_tensor,
    set_jit_fuser,
    setup_default_logging,
    trim_summary,
    update_summary,
    world_info_from_env,
)
from timm.utils.distributed import init_distributed_device_so
from timm.utils.onnx import onnx_export

LAUNCHER = [
    *('WORLD_SIZE', 'RANK', 'LOCAL_RANK', 'SLURM_NTASKS', 'SLURM_PROCID', 'SLURM_LOCALID'),
    *('PMI_SIZE', 'PMI_RANK', 'MPI_LOCALRANKID'),
    *(f'OMPI_COMM_WORLD_{name}' for name in ('SIZE', 'RANK', 'LOCAL_RANK')),
]


@pytest.fixture
def environment(monkeypatch):
    for name in LAUNCHER:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_importing_the_package_imports_no_part_of_it():
    code = 'import sys, timm.utils; assert "torch" not in sys.modules; from timm.utils import *; print(unwrap_model)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert 'function unwrap_model' in done.stdout, done.stderr


def test_every_listed_name_is_there():
    for name in timm.utils.__all__:
        assert getattr(timm.utils, name).__name__ == name
        assert name in dir(timm.utils)
    assert timm.utils.model.unwrap_model is timm.utils.unwrap_model
    with pytest.raises(AttributeError, match='nothing'):
        timm.utils.nothing  # noqa: B018


def test_the_stub_lists_the_same_names():
    stub = Path(timm.utils.__file__).with_suffix('.pyi').read_text()
    listed = {line.split(' import ')[1].split(' as ')[0] for line in stub.splitlines() if line.startswith('from .')}
    assert {name for name in listed if hasattr(timm.utils, name)} == listed
    assert set(timm.utils.__all__) <= listed


def test_accuracy_is_that_of_the_reference():
    output = (3 * hash_uniform('loss/x', 84)).view(12, 7)
    found = accuracy(output, torch.arange(12) % 7, topk=(1, 3, 5))
    assert [value.item() for value in found] == pytest.approx(reference.load('training')['accuracy'], rel=1e-6)
    assert accuracy(output[:0], torch.arange(0))[0].isnan()


def test_accuracy_counts_all_classes_when_k_is_larger():
    assert [value.item() for value in accuracy(torch.eye(3), torch.tensor([0, 1, 1]), topk=(1, 5))] == [
        pytest.approx(200 / 3),
        100.0,
    ]


def test_meters_weigh_by_count():
    meter = AverageMeter()
    meter.update(2.0, 3)
    meter.update(1.0)
    assert (meter.val, meter.avg, meter.sum, meter.count) == (1.0, 1.75, 7.0, 4)
    meter.reset()
    assert (meter.avg, meter.count) == (0, 0)


def test_a_summary_gets_one_header_and_loses_what_is_trained_again(tmp_path):
    path = tmp_path / 'summary.csv'
    for epoch in range(3):
        update_summary(epoch, OrderedDict(loss=0.5), OrderedDict(loss=1.5, top1=epoch), path, lr=0.1)
    lines = ['epoch,train_loss,eval_loss,eval_top1,lr', *(f'{e},0.5,1.5,{e},0.1' for e in range(3))]
    assert path.read_text().splitlines() == lines
    trim_summary(path, 2)
    assert path.read_text().splitlines() == lines[:3]
    trim_summary(path, 0)
    assert path.read_text() == ''
    trim_summary(tmp_path / 'nothing.csv', 0)
    update_summary(0, {'loss': 1}, None, path)
    update_summary(1, {'loss': 1}, {}, path, write_header=True)
    assert path.read_text() == 'epoch,train_loss\n0,1\nepoch,train_loss\n1,1\n'
    trim_summary(path, 9)
    assert path.read_text() == 'epoch,train_loss\n0,1\n1,1\n'


def test_output_folders_are_numbered_when_asked(tmp_path):
    made = [get_outdir(str(tmp_path), 'a', 'b', inc=inc) for inc in (False, True, True, False)]
    assert made == [str(tmp_path / 'a' / name) for name in ('b', 'b-1', 'b-2', 'b')]
    assert all(Path(folder).is_dir() for folder in made)


def test_logging_goes_to_console_and_file_once(tmp_path, capsys):
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    path = tmp_path / 'run.log'
    try:
        for _ in range(2):
            setup_default_logging(log_path=str(path))
        logging.getLogger('here').info('a message')
        logging.getLogger('here').warning('careful')
    finally:
        for handler in [h for h in root.handlers if h not in before]:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
    assert capsys.readouterr().err == 'a message\nWARNING: careful\n'
    assert len(path.read_text().splitlines()) == 2
    assert '[    INFO] - a message' in path.read_text()


def test_levels_are_named_unless_they_are_info():
    formatter = FormatterNoInfo()
    records = [logging.LogRecord('n', level, 'p', 1, 'n=%d', (3,), None) for level in (10, 20, 30)]
    assert [formatter.format(record) for record in records] == ['DEBUG: n=3', 'n=3', 'WARNING: n=3']


def test_seeds_differ_by_rank_and_repeat():
    def draw(rank):
        random_seed(3, rank)
        return torch.rand(1).item(), np.random.rand(), random.random()

    assert draw(0) == draw(0)
    assert all(a != b for a, b in zip(draw(0), draw(1), strict=True))


def test_names_sort_as_people_count():
    assert sorted(['a10', 'A2', 'a1'], key=natural_key) == ['a1', 'A2', 'a10']


def test_flags_have_a_negative():
    parser = argparse.ArgumentParser()
    add_bool_arg(parser, 'pin-mem', default=True, help='pin')
    assert parser.parse_args([]).pin_mem is True
    assert parser.parse_args(['--no-pin-mem']).pin_mem is False


def test_keyword_options_are_read_as_literals(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--kw', nargs='*', default={}, action=ParseKwargs)
    found = parser.parse_args(['--kw', 'a=1', 'b=x', 'c=(1,2)', 'd=True', 'e=1e-3', 'f=p=q', 'g=a-b']).kw
    assert found == dict(a=1, b='x', c=(1, 2), d=True, e=1e-3, f='p=q', g='a-b')
    assert parser.parse_args([]).kw == parser.parse_args(['--kw']).kw == {}
    with pytest.raises(SystemExit):
        parser.parse_args(['--kw', 'oops'])
    assert "'oops' is not of the form key=value" in capsys.readouterr().err


def test_batch_sizes_go_down_to_nothing():
    assert [decay_batch_step(size) for size in (256, 128, 96, 9, 2, 1)] == [192, 96, 64, 8, 1, 0]
    assert [decay_batch_step(size, num_intra_steps=4) for size in (128, 8)] == [112, 7]
    assert [decay_batch_step(size, num_intra_steps=4, no_odd=True) for size in (8, 2)] == [6, 0]
    size, tried = 1000, []
    while size:
        size = decay_batch_step(size)
        tried.append(size)
    assert tried == sorted(tried, reverse=True)
    assert check_batch_size_retry('CUDA out of memory')
    assert not check_batch_size_retry('an Illegal memory access was encountered')
    assert not check_batch_size_retry('Tensor must have required rank 4')


@pytest.mark.parametrize(
    ('variables', 'expected'),
    [
        ({}, (False, (0, 0, 1))),
        ({'WORLD_SIZE': '1'}, (False, (0, 0, 1))),
        ({'WORLD_SIZE': '2', 'RANK': '1', 'LOCAL_RANK': '0'}, (True, (0, 1, 2))),
        ({'SLURM_NTASKS': '4', 'SLURM_PROCID': '2', 'SLURM_LOCALID': '1'}, (True, (1, 2, 4))),
        ({'PMI_SIZE': '3', 'PMI_RANK': '1', 'MPI_LOCALRANKID': '1'}, (False, (1, 1, 3))),
    ],
)
def test_the_launcher_is_understood(environment, variables, expected):
    for name, value in variables.items():
        environment.setenv(name, value)
    assert (is_distributed_env(), world_info_from_env()) == expected


def test_a_single_process_gets_the_device_it_asks_for(environment):
    args = SimpleNamespace(device='cpu')
    assert init_distributed_device(args) == torch.device('cpu')
    assert (args.distributed, args.world_size, args.rank, args.local_rank) == (False, 1, 0, 0)
    assert is_primary(args)
    assert is_primary(args, local=True)
    environment.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='cuda:3'):
        init_distributed_device_so('cuda:3')


def test_processes_join_and_share(environment, tmp_path):
    environment.setenv('WORLD_SIZE', '2')
    environment.setenv('RANK', '0')
    environment.setenv('LOCAL_RANK', '0')
    joined = []
    environment.setattr(torch.distributed, 'init_process_group', lambda **kwargs: joined.append(kwargs))
    found = init_distributed_device_so('cpu')
    assert (found['distributed'], found['world_size'], found['device']) == (True, 2, 'cpu')
    assert joined == [dict(backend='gloo', init_method='env://', world_size=2, rank=0)]


def test_reductions_average_over_processes(tmp_path):
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path / "store"}', world_size=1, rank=0)
    try:
        value = torch.tensor([4.0])
        assert reduce_tensor(value, 2).item() == 2
        assert value.item() == 4
        norm = nn.BatchNorm2d(2)
        norm.running_mean.fill_(6.0)
        distribute_bn(norm, 2, reduce=True)
        assert norm.running_mean.tolist() == [3, 3]
        distribute_bn(norm, 2)
        assert norm.running_mean.tolist() == [3, 3]
    finally:
        torch.distributed.destroy_process_group()


def test_unknown_fusers_are_refused():
    with pytest.raises(ValueError, match='nearest are te'):
        set_jit_fuser('tee')


def test_export_says_which_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnx', None)
    with pytest.raises(ImportError, match='pip install onnx'):
        onnx_export(nn.Linear(2, 2), 'x.onnx', torch.ones(1, 2))
