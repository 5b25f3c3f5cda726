"""Checkpoints: the best are kept, and nothing is lost when writing fails."""

import argparse
import errno
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from timm.utils import CheckpointSaver, ModelEmaV3, NativeScaler, load_checkpoint_metadata


@pytest.fixture
def parts():
    model = nn.Linear(2, 2)
    return dict(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        args=argparse.Namespace(model='linear', lr=0.1),
        model_ema=ModelEmaV3(model),
        amp_scaler=NativeScaler('cpu'),
    )


@pytest.fixture
def saver(parts, tmp_path):
    return CheckpointSaver(**parts, checkpoint_dir=str(tmp_path), recovery_dir=str(tmp_path), max_history=2)


def files(folder):
    return {path.name.removesuffix('.pth.tar') for path in folder.iterdir()}


def test_the_best_and_the_last_are_kept(saver, tmp_path):
    kept = []
    for epoch, metric in enumerate((1.0, 3.0, 2.0, 0.5, 4.0, 4.0)):
        best = saver.save_checkpoint(epoch, metric)
        kept.append(sorted(files(tmp_path) - {'last', 'model_best'}))
        assert torch.load(tmp_path / 'last.pth.tar', weights_only=False)['epoch'] == epoch
        assert torch.load(tmp_path / 'model_best.pth.tar', weights_only=False)['epoch'] == best[1]
    assert best == (4.0, 4)
    names = [['0'], ['0', '1'], ['1', '2'], ['1', '2'], ['1', '4'], ['4', '5']]
    assert kept == [[f'checkpoint-{name}' for name in row] for row in names]


def test_smaller_can_be_better(parts, tmp_path):
    saver = CheckpointSaver(**parts, checkpoint_dir=str(tmp_path), decreasing=True, max_history=1)
    for epoch, metric in enumerate((3.0, 1.0, 2.0, float('nan'))):
        best = saver.save_checkpoint(epoch, metric)
    assert best == (1.0, 1)
    assert files(tmp_path) == {'last', 'checkpoint-1', 'model_best'}


def test_without_a_metric_the_newest_are_kept(saver, tmp_path):
    assert [saver.save_checkpoint(epoch) for epoch in range(3)] == [(None, None)] * 3
    assert files(tmp_path) == {'last', 'checkpoint-1', 'checkpoint-2'}


def test_a_checkpoint_holds_what_a_run_needs(saver, parts, tmp_path):
    saver.save_checkpoint(3, 0.5)
    content = load_checkpoint_metadata(str(tmp_path / 'checkpoint-3.pth.tar'))
    assert (content['epoch'], content['arch'], content['version'], content['metric']) == (3, 'linear', 2, 0.5)
    assert vars(content['args']) == vars(parts['args'])
    assert content['state_dict'].keys() == content['state_dict_ema'].keys() == parts['model'].state_dict().keys()
    assert content['optimizer'].keys() == {'state', 'param_groups'}
    assert content['amp_scaler']['scale'] == 2.0**16
    torch.save([1, 2], tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='holds a list'):
        load_checkpoint_metadata(str(tmp_path / 'other.pth'))


def test_a_task_is_saved_in_place_of_the_model(parts, tmp_path):
    from timm.task import ClassificationTask

    task = ClassificationTask(parts['model'], verbose=False)
    task.setup_ema()
    saver = CheckpointSaver(parts['model'], parts['optimizer'], checkpoint_dir=str(tmp_path), task=task)
    saver.save_checkpoint(0, 1.0)
    content = torch.load(tmp_path / 'last.pth.tar', weights_only=True)
    assert content['state_dict'].keys() == content['state_dict_ema'].keys() == {'weight', 'bias'}
    assert content['arch'] == 'linear'


def test_two_recovery_points_alternate(saver, tmp_path):
    assert saver.find_recovery() == ''
    for batch in (5, 10, 200):
        saver.save_recovery(1, batch)
    assert files(tmp_path) == {'recovery-1-10', 'recovery-1-200'}
    assert saver.find_recovery().endswith('recovery-1-200.pth.tar')
    assert 'metric' not in torch.load(saver.find_recovery(), weights_only=False)


def test_milestones_stay(saver, tmp_path):
    assert saver.save_milestone(1) == ''
    for epoch in range(4):
        saver.save_checkpoint(epoch, float(epoch))
        if epoch == 0:
            assert saver.save_milestone(1) == str(tmp_path / 'milestone-1.pth.tar')
    assert torch.load(tmp_path / 'milestone-1.pth.tar', weights_only=False)['epoch'] == 0


def test_a_new_saver_goes_on_where_the_old_one_stopped(saver, parts, tmp_path):
    for epoch, metric in enumerate((1.0, 3.0)):
        saver.save_checkpoint(epoch, metric)
    other = CheckpointSaver(**parts, checkpoint_dir=str(tmp_path), max_history=2)
    assert other.load_state_dict_from_checkpoint(str(tmp_path / 'last.pth.tar'))
    assert other.checkpoint_files == saver.checkpoint_files
    assert (other.best_metric, other.best_epoch) == (3.0, 1)
    assert other.save_checkpoint(2, 2.0) == (3.0, 1)
    assert files(tmp_path) == {'last', 'model_best', 'checkpoint-1', 'checkpoint-2'}
    torch.save({'state_dict': {}}, tmp_path / 'plain.pth')
    assert not other.load_state_dict_from_checkpoint(str(tmp_path / 'plain.pth'))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize('moment', ['write', 'sync', 'rename'])
def test_a_failing_write_loses_nothing(saver, tmp_path, monkeypatch, moment):
    for epoch, metric in enumerate((1.0, 2.0)):
        saver.save_checkpoint(epoch, metric)
    before, history = contents(tmp_path), list(saver.checkpoint_files)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, 'No space left on device')

    def half_written(content, file):
        file.write(b'PK')
        full()

    with monkeypatch.context() as patch:
        if moment == 'write':
            patch.setattr(torch, 'save', half_written)
        else:
            patch.setattr(*((os, 'fsync') if moment == 'sync' else (Path, 'replace')), full)
        with pytest.raises(OSError, match='No space left'):
            saver.save_checkpoint(2, 3.0)
        with pytest.raises(OSError, match='No space left'):
            saver.save_recovery(2, 7)
    assert contents(tmp_path) == before
    assert saver.checkpoint_files == history
    assert (saver.best_metric, saver.curr_recovery_file) == (2.0, '')

    assert saver.save_checkpoint(2, 3.0) == (3.0, 2)
    assert files(tmp_path) == {'last', 'model_best', 'checkpoint-1', 'checkpoint-2'}


def test_a_file_has_its_name_only_when_it_is_complete(saver, tmp_path, monkeypatch):
    saver.save_checkpoint(0, 1.0)
    seen = []
    save = torch.save
    monkeypatch.setattr(torch, 'save', lambda c, f: (save(c, f), seen.append(load_epoch(tmp_path / 'last.pth.tar'))))
    saver.save_checkpoint(1, 2.0)
    assert seen == [0]
    assert not [name for name in files(tmp_path) if name.startswith('tmp')]


def load_epoch(path):
    return torch.load(path, weights_only=False)['epoch']


def test_file_systems_without_links_get_copies(saver, tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EPERM, 'no links here')

    monkeypatch.setattr('pathlib.Path.hardlink_to', refuse)
    saver.save_checkpoint(0, 1.0)
    assert files(tmp_path) == {'last', 'checkpoint-0', 'model_best'}
    assert (tmp_path / 'model_best.pth.tar').stat().st_nlink == 1


def test_an_empty_history_is_refused(parts):
    with pytest.raises(ValueError, match='max_history=0'):
        CheckpointSaver(**parts, max_history=0)
