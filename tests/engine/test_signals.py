"""A run that is asked to stop, wherever it is, has saved when it ends, says so by its status, and goes on as before."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import command, comparable, fork, kill_group, wait_for
from tiny import differences

from timm.engine import loop, training
from timm.engine.batches import TrainBatches
from timm.engine.checkpoint import newest_sound, read_checkpoint
from timm.engine.commands import launch
from timm.engine.exits import EXIT_CODES, RunError
from timm.engine.step import TrainStep
from timm.engine.stop import requeue
from timm.task import ClassificationEvaluator

pytestmark = pytest.mark.usefixtures('no_pictures')

ROOT = Path(__file__).parents[2]
OPTIONS = ['--epochs', '2', '-j', '0']
# Where a signal comes -> what is called there, the call that it comes in, and where the run stands when it has saved.
POSITIONS = {
    'at the start': (training, 'build_run', 1, (0, 0)),
    'before the first batch': (TrainBatches, 'epoch', 1, (0, 1)),
    'in an update': (TrainStep, '_update', 3, (0, 3)),
    'between updates': (loop, 'at_boundary', 5, (0, 5)),
    'in an evaluation': (ClassificationEvaluator, 'update', 2, (0, 8)),
    'in a save': (torch, 'save', 1, (1, 0)),
    'at the end of an epoch': (loop, 'report_epoch', 1, (1, 0)),
}
SIGNALS = [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT]
CASES = [
    pytest.param(number, position, marks=[] if (i + j) % 3 == 0 else pytest.mark.slow, id=f'{number.name} {position}')
    for i, position in enumerate(POSITIONS)
    for j, number in enumerate(SIGNALS)
]


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory):
    """The last checkpoint of a run that nobody stopped."""
    folder = tmp_path_factory.mktemp('whole')
    assert launch('train', command(data, folder, *OPTIONS)) == 0
    return comparable(read_checkpoint(folder / 'run' / 'last.pth.tar'))


@pytest.mark.parametrize(('number', 'position'), CASES)
def test_a_signal_saves_and_stops_wherever_it_comes(data, whole, tmp_path, monkeypatch, capsys, number, position):
    owner, name, turn, place = POSITIONS[position]
    real, calls = getattr(owner, name), []

    def call(*arguments, **options):
        calls.append(name)
        if len(calls) == turn:
            os.kill(os.getpid(), number)
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, call)
    assert launch('train', command(data, tmp_path, *OPTIONS)) == 75
    assert f'stopped on {number.name}' in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr('timm.engine.report.can_draw', lambda: False)
    found = newest_sound(tmp_path / 'run')
    assert found is not None
    assert (found[1]['engine']['epoch'], found[1]['engine']['done']) == place
    assert launch('train', command(data, tmp_path, *OPTIONS)) == 0
    assert not differences(whole, comparable(read_checkpoint(tmp_path / 'run' / 'last.pth.tar')))


def test_a_signal_to_the_whole_group_spares_the_workers(data, tmp_path):
    log = tmp_path / 'log'
    options = ['--epochs', '400', '-j', '2', '--log-interval', '1']
    process = fork(launch, 'train', command(data, tmp_path, *options), log=log)
    try:
        assert wait_for(lambda: log.exists() and 'train 1' in log.read_text(), process)
        os.killpg(process.pid, signal.SIGTERM)
        process.join(30)
        assert process.exitcode == 75, log.read_text()
    finally:
        kill_group(process)
    assert 'stopped on SIGTERM' in log.read_text()


def test_a_second_run_in_a_folder_is_turned_away_before_torch_is_loaded(data, tmp_path):
    process = fork(launch, 'train', command(data, tmp_path, '--epochs', '400', '-j', '1'), log=tmp_path / 'log')
    try:
        assert wait_for(lambda: (tmp_path / 'run' / 'last.pth.tar').exists(), process)
        code = (
            'import sys; from timm.engine.commands import launch; code = launch("train", sys.argv[1:]); '
            'print("torch" in sys.modules); sys.exit(code)'
        )
        env = {**os.environ, 'PYTHONPATH': str(ROOT)}
        second = subprocess.run(
            [sys.executable, '-c', code, *command(data, tmp_path)], env=env, capture_output=True, text=True, check=False
        )
    finally:
        kill_group(process)
    assert (second.returncode, second.stdout) == (6, 'False\n')
    assert 'another run is writing to' in second.stderr
    assert second.stderr.count('\n') == 1
    assert launch('train', command(data, tmp_path, '--epochs', '1', '-j', '0')) == 0  # a killed run holds nothing


def test_every_exit_status_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        launch('train', ['--help'])
    assert EXIT_CODES in capsys.readouterr().out

    def all_below(kind):
        return {kind, *(inner for below in kind.__subclasses__() for inner in all_below(below))}

    codes = {kind.code for kind in all_below(RunError) if 'code' in vars(kind)} - {1}
    assert codes == {2, 3, 4, 5, 6, 7, 75}
    assert all(f'\n  {code} ' in EXIT_CODES for code in {0, *codes})


def test_a_stopped_job_goes_back_into_the_queue_only_if_asked(data, tmp_path, monkeypatch):
    calls = tmp_path / 'calls'
    scontrol = tmp_path / 'bin' / 'scontrol'
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nls {tmp_path}/run >> {calls}\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv('PATH', f'{scontrol.parent}:{os.environ["PATH"]}')
    monkeypatch.setenv('SLURM_JOB_ID', '4711')
    real = TrainStep._update

    def stop(self, update):
        os.kill(os.getpid(), signal.SIGUSR1)
        return real(self, update)

    monkeypatch.setattr(TrainStep, '_update', stop)
    assert launch('train', command(data, tmp_path, *OPTIONS)) == 75
    assert not calls.exists()
    assert launch('train', command(data, tmp_path, *OPTIONS, '--requeue')) == 75
    assert calls.read_text().splitlines()[0] == 'requeue 4711'
    assert 'recovery-0-2.pth.tar' in calls.read_text()  # it was saved by then


def test_no_queue_is_no_failure(monkeypatch, caplog):
    monkeypatch.delenv('SLURM_JOB_ID', raising=False)
    requeue()
    assert 'SLURM_JOB_ID is not set' in caplog.text
