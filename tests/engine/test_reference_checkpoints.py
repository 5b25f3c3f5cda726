"""Checkpoints in the published layout: those of other programs are resumed here, and ours are what those read."""

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import differences, make_run, network
from torch import nn

from timm.engine.checkpoint import newest_sound, read_checkpoint
from timm.engine.data_record import DataRecord, check_data
from timm.engine.exits import CheckpointError, DataError
from timm.engine.loop import fit
from timm.engine.run import Run
from timm.engine.state import capture, restore

pytestmark = pytest.mark.usefixtures('no_pictures')


def trained() -> Run:
    """A run whose weights, average and optimizer are what a file shall hold."""
    run = make_run(epochs=1, ema=True, amp=torch.float16)
    fit(run)
    return run


def write(path: Path, run: Run, epoch: int, **changes: Any) -> Path:
    """A file as version 1.0.31 writes it: an epoch's number is that of the last one done, or of the one under way."""
    model = run.task.get_trainable_module()
    content = {
        'epoch': epoch,
        'arch': 'tiny',
        'state_dict': OrderedDict(model.state_dict()),
        'optimizer': run.optimizer.state_dict(),
        'version': 2,
        'args': argparse.Namespace(model='tiny', lr=0.05, aa=None, mean=(0.5, 0.5), opt_kwargs={}),
        'amp_scaler': {'scale': 512.0, 'growth_factor': 2.0, 'backoff_factor': 0.5, 'growth_interval': 2000,
                       '_growth_tracker': 7},
        'state_dict_ema': OrderedDict(run.task.trainable_module_ema.module.state_dict()),
        'metric': 75.0,
        'saver': {'checkpoint_files': [('checkpoint-1.pth.tar', 75.0)], 'best_epoch': 1, 'best_metric': 75.0,
                  'pending': (epoch, None)},
    }  # fmt: skip
    torch.save({key: value for key, value in (content | changes).items() if value is not None}, path)
    return path


@pytest.mark.parametrize(
    ('name', 'epoch', 'expected'),
    [('last', 1, (2, 0, 8)), ('checkpoint-1', 1, (2, 0, 8)), ('recovery-2-1', 2, (2, 2, 10))],
)
def test_files_of_the_reference_are_resumed(tmp_path, name, epoch, expected):
    source = trained()
    path = write(tmp_path / f'{name}.pth.tar', source, epoch)
    run = make_run(tmp_path, ema=True, amp=torch.float16)
    restore(run, read_checkpoint(path), str(path))
    assert (run.progress.epoch, run.progress.done, run.progress.update) == expected
    for ema in (False, True):
        a, b = (r.task.get_checkpoint_state(ema=ema) for r in (source, run))
        assert not differences(a, b)
    assert not differences(source.optimizer.state_dict()['state'], run.optimizer.state_dict()['state'])
    scaler = run.precision.scaler
    assert scaler is not None
    assert (scaler.get_scale(), scaler.state_dict()['_growth_tracker']) == (512.0, 7)
    assert run.store is not None
    assert (run.store.best_epoch, run.store.best_metric) == (1, 75.0)
    rows = fit(run)
    assert [row.epoch for row in rows] == [2, 3]


def test_the_newest_of_a_folder_of_the_reference_is_found(tmp_path):
    source = trained()
    for name, epoch in (('last', 2), ('checkpoint-1', 1), ('model_best', 1), ('recovery-2-1', 2), ('recovery-3-0', 3)):
        write(tmp_path / f'{name}.pth.tar', source, epoch)
    found = newest_sound(tmp_path)
    assert found is not None
    assert found[0].name == 'recovery-3-0.pth.tar'


def test_files_without_what_later_versions_added(tmp_path):
    source = trained()
    missing = dict.fromkeys(('version', 'saver', 'amp_scaler', 'state_dict_ema', 'metric', 'args'))
    path = write(tmp_path / 'old.pth.tar', source, 2, **missing)
    run = make_run(ema=True)
    restore(run, read_checkpoint(path), str(path))
    assert (run.progress.epoch, run.progress.done) == (2, 0)  # the oldest files hold the epoch to go on with
    average = run.task.get_checkpoint_state(ema=True)['state_dict_ema']
    assert not differences(dict(average), dict(run.task.get_checkpoint_state()['state_dict']))


def test_names_of_a_wrapped_model_are_taken(tmp_path):
    source = trained()
    wrapped = {f'module.{k}': v for k, v in source.task.get_trainable_module().state_dict().items()}
    path = write(tmp_path / 'last.pth.tar', source, 0, state_dict=wrapped)
    run = make_run()
    restore(run, read_checkpoint(path), str(path))
    assert not differences(
        dict(source.task.get_trainable_module().state_dict()), dict(run.task.get_trainable_module().state_dict())
    )


def test_ours_has_the_published_layout(tmp_path):
    run = make_run(tmp_path, epochs=2, ema=True, amp=torch.float16)
    run.recover_every = 3
    fit(run)
    with torch.serialization.safe_globals([argparse.Namespace]):
        last, recovery = (
            torch.load(tmp_path / f'{name}.pth.tar', weights_only=True) for name in ('last', 'recovery-1-3')
        )
    assert (last['epoch'], last['arch'], last['version'], type(last['metric'])) == (1, 'tiny', 2, float)
    assert recovery['epoch'] == 1
    assert isinstance(last['args'], argparse.Namespace)
    keys = list(network().state_dict())
    assert list(last['state_dict']) == list(last['state_dict_ema']) == keys
    assert last['optimizer'].keys() == {'state', 'param_groups'}
    assert last['amp_scaler'].keys() >= {'scale', '_growth_tracker'}
    model = network()
    model.load_state_dict(last['state_dict'])
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.load_state_dict(last['optimizer'])
    assert not differences(optimizer.state_dict()['state'], run.optimizer.state_dict()['state'])


def test_a_file_of_another_network_is_refused(tmp_path):
    path = write(tmp_path / 'last.pth.tar', trained(), 1)
    run = make_run(model=nn.Sequential(nn.Flatten(), nn.Linear(192, 2)))
    with pytest.raises(CheckpointError, match=r'last\.pth\.tar does not fit this model and optimizer'):
        restore(run, read_checkpoint(path), str(path))


HERE = DataRecord('abc', {'cat': 0, 'dog': 1}, 8)


def test_other_classes_are_refused():
    with pytest.raises(DataError, match=r"other classes: 'dog', 'cat' had another number.*--initial-checkpoint"):
        check_data({'fingerprint': 'abc', 'classes': {'dog': 0, 'cat': 1}}, HERE, False, 'last')


def test_other_samples_are_refused_within_an_epoch_and_told_between_epochs(caplog):
    told = {'fingerprint': 'other', 'classes': {'cat': 0, 'dog': 1}}
    with pytest.raises(DataError, match=r'stands within an epoch.*--resume the file of a whole epoch') as error:
        check_data(told, HERE, True, 'recovery')
    assert error.value.code == 4
    check_data(told, HERE, False, 'last')
    assert 'no longer those that last was trained on' in caplog.text


def test_the_same_data_and_files_that_say_nothing_pass(caplog):
    check_data({'fingerprint': 'abc', 'classes': {'cat': 0, 'dog': 1}}, HERE, True, 'x')
    check_data({}, HERE, True, 'x')
    check_data({'fingerprint': 'abc', 'classes': {'cat': 0}}, DataRecord(), True, 'x')
    assert not caplog.text


def test_another_batch_goes_on_at_the_same_sample(caplog):
    run = make_run(accumulate=2)
    run.data = DataRecord(global_batch=8)
    state = capture(make_run()) | {'epoch': 1}
    state['engine'] |= {'epoch': 1, 'done': 3, 'update': 7, 'data': {'global_batch': 4}}
    restore(run, state, 'recovery')
    assert (run.progress.epoch, run.progress.done, run.progress.update) == (1, 1, 3)
    assert 'an update had 4 samples and has 8 now' in caplog.text
