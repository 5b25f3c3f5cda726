"""Figures that also go elsewhere."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from timm.engine.exits import UsageError
from timm.engine.report import EpochRow, Reporter
from timm.engine.trackers import open_trackers
from timm.engine.train_options import TrackOptions

ROW = EpochRow(3, {'loss': 1.0}, {'loss': 2.0, 'top1': 50.0}, 0.1)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr('timm.engine.report.can_draw', lambda: False)


def test_a_run_of_wandb_has_its_options_and_each_epoch(tmp_path, monkeypatch):
    told, logged, ended = {}, [], []
    module = ModuleType('wandb')
    running = SimpleNamespace(log=logged.append, finish=lambda: ended.append(True))
    module.init = lambda **options: told.update(options) or running
    monkeypatch.setitem(sys.modules, 'wandb', module)
    folder = tmp_path / 'mine'
    folder.mkdir()
    options = TrackOptions(log_wandb=True, wandb_project='p', wandb_tags=('a', 'b'), wandb_resume_id='x7')
    reporter = Reporter(folder, trackers=open_trackers(options, folder, {'lr': 0.5}))
    reporter.epoch(ROW)
    reporter.close()
    assert (told['project'], told['name'], told['config'], told['tags']) == ('p', 'mine', {'lr': 0.5}, ['a', 'b'])
    assert (told['id'], told['resume']) == ('x7', 'must')
    assert logged == [{'epoch': 3, 'train_loss': 1.0, 'eval_loss': 2.0, 'eval_top1': 50.0, 'lr': 0.1}]
    assert ended == [True]


def test_tensorboard_gets_a_curve_for_each_figure(tmp_path, monkeypatch):
    points, closed = [], []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            assert folder.startswith(str(tmp_path))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            points.append((name, value, step))

        def flush(self) -> None:
            pass

        def close(self) -> None:
            closed.append(True)

    module = ModuleType('torch.utils.tensorboard')
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', module)
    reporter = Reporter(tmp_path, trackers=open_trackers(TrackOptions(log_tensorboard=True), tmp_path, {}))
    reporter.epoch(ROW)
    reporter.close()
    assert points == [('train/loss', 1.0, 3), ('eval/loss', 2.0, 3), ('eval/top1', 50.0, 3), ('lr', 0.1, 3)]
    assert closed == [True]


@pytest.mark.parametrize(
    ('options', 'module', 'package'),
    [
        (TrackOptions(log_wandb=True), 'wandb', 'wandb'),
        (TrackOptions(log_tensorboard=True), 'torch.utils.tensorboard', 'tensorboard'),
    ],
)
def test_a_package_that_is_missing_is_named_with_the_extra(tmp_path, monkeypatch, options, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf'{package}: pip install "timm\[loggers\]"'):
        open_trackers(options, tmp_path, {})


def test_nothing_is_tracked_unless_asked_for(tmp_path):
    assert open_trackers(TrackOptions(), tmp_path, {}) == []
