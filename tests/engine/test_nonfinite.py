"""Numbers that are none, wherever they come from: no update is made of them, and no file holds any."""

import json
from pathlib import Path

import pytest
import torch
from processes import command, make_images
from tiny import differences, make_run, network
from torch import nn

from timm.engine.checkpoint import newest_sound, read_checkpoint
from timm.engine.commands import launch
from timm.engine.exits import NonFiniteError
from timm.engine.files import tensors_in
from timm.engine.loop import fit
from timm.engine.run import Run
from timm.engine.state import restore

pytestmark = pytest.mark.usefixtures('no_pictures')


class Loss(nn.Module):
    """A loss by a function of output and target."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, output, target):
        return self.function(output, target)


def into_loss(run: Run, value: float, turn: int) -> None:
    criterion, calls = run.task.criterion, []

    def loss(output, target):
        calls.append(1)
        return criterion(output, target) * (value if len(calls) == turn else 1.0)

    run.task.criterion = Loss(loss)


def into_gradient(run: Run, value: float, turn: int) -> None:
    calls = []

    def hook(gradient):
        calls.append(1)
        return gradient * value if len(calls) == turn else gradient

    run.task.get_trainable_module()[-1].weight.register_hook(hook)


def into_input(run: Run, value: float, turn: int) -> None:
    place, calls = run.precision.place_input, []

    def placed(x):
        training = torch.is_grad_enabled()
        calls.extend([1] * training)
        return torch.full_like(place(x), value) if training and len(calls) == turn else place(x)

    run.precision.place_input = placed


def before_update(run: Run, turn: int, harm) -> None:
    """Call `harm` before an update, counted from 1."""
    real, calls = run.step.run, []

    def step(*arguments):
        calls.append(1)
        if len(calls) == turn:
            with torch.no_grad():
                harm()
        return real(*arguments)

    run.step.run = step


def into_weights(run: Run, value: float, turn: int) -> None:
    before_update(run, turn, lambda: run.task.get_trainable_module()[1].weight[0, 0].fill_(value))


def into_statistics(run: Run, value: float, turn: int) -> None:
    before_update(run, turn, lambda: run.task.get_trainable_module()[2].running_var[0].fill_(value))


def into_average(run: Run, value: float, turn: int) -> None:
    before_update(run, turn, lambda: run.task.trainable_module_ema.module[1].weight[0, 0].fill_(value))


PLACES = {
    'loss': into_loss,
    'gradient': into_gradient,
    'input': into_input,
    'weights': into_weights,
    'statistics': into_statistics,
}


def assert_finite(folder: Path) -> None:
    paths = list(folder.glob('*.pth.tar'))
    assert paths
    for path in paths:
        assert all(t.isfinite().all() for t in tensors_in(read_checkpoint(path)) if t.is_floating_point()), path


@pytest.mark.parametrize('value', [float('nan'), float('inf'), float('-inf')], ids=str)
@pytest.mark.parametrize('place', PLACES)
def test_it_stops_before_the_update(tmp_path, place, value):
    run = make_run(tmp_path, epochs=3, ema=True)
    run.folder, run.recover_every = tmp_path, 1
    turn = 6
    PLACES[place](run, value, turn)
    seen = []
    real = run.optimizer.step
    run.optimizer.step = lambda: (seen.append(1), real())[1]
    with pytest.raises(NonFiniteError, match=r'at update 5.*its samples: sample \d+') as error:
        fit(run)
    assert error.value.code == 3
    assert len(seen) == 5
    assert_finite(tmp_path)
    found = newest_sound(tmp_path)
    assert found is not None
    assert found[1]['engine']['update'] == 5
    row = json.loads((tmp_path / 'nonfinite.jsonl').read_text())
    order = [place.index for place in run.train.loader.sampler._keys(1, 0)]
    assert row['samples'] == [f'sample {i}' for i in order[4:8]]
    assert (row['epoch'], row['update']) == (1, 5)


@pytest.mark.parametrize('value', [float('nan'), float('inf')], ids=str)
def test_an_average_that_is_no_number_is_not_kept(tmp_path, value):
    run = make_run(tmp_path, epochs=3, ema=True)
    into_average(run, value, 6)
    with pytest.raises(NonFiniteError, match='weights are no longer finite'):
        fit(run)
    assert_finite(tmp_path)
    assert read_checkpoint(tmp_path / 'last.pth.tar')['epoch'] == 0


@pytest.mark.parametrize('place', ['loss', 'gradient', 'input'])
def test_a_skipped_update_changes_nothing(tmp_path, place, caplog):
    run = make_run(tmp_path, epochs=3, ema=True)
    run.folder, run.nonfinite, run.step.keep_statistics = tmp_path, 'skip', True
    states = []
    real = run.step.run

    def step(*arguments):
        states.append({k: v.clone() for k, v in run.task.state_dict().items() if 'num_batches' not in k})
        return real(*arguments)

    run.step.run = step
    PLACES[place](run, float('nan'), 6)
    rows = fit(run)
    assert len(states) == 12
    assert not differences(states[5], states[6])
    assert differences(states[6], states[7])
    assert all(row.train['loss'] == row.train['loss'] for row in rows)
    assert 'update 5 is left out' in caplog.text
    assert_finite(tmp_path)
    assert read_checkpoint(tmp_path / 'last.pth.tar')['engine']['update'] == 12


def test_too_many_skips_in_a_row_stop(tmp_path):
    run = make_run(tmp_path, epochs=9)
    run.nonfinite, run.step.keep_statistics = 'skip', True
    run.task.criterion = Loss(lambda output, target: output.sum() * float('nan'))
    with pytest.raises(NonFiniteError, match='11 updates in a row were refused'):
        fit(run)
    assert run.progress.update == 10


def test_skips_in_a_row_are_counted_across_a_stop(tmp_path):
    run = make_run(tmp_path, epochs=9)
    run.nonfinite, run.recover_every = 'skip', 1
    run.task.criterion = Loss(lambda x, target: x.sum() * (float('nan') if run.progress.update >= 2 else 1.0))
    with pytest.raises(NonFiniteError, match='11 updates'):
        fit(run)
    found = newest_sound(tmp_path)
    assert found is not None
    assert found[1]['engine']['skips'] == 10
    again = make_run(tmp_path, epochs=9)
    restore(again, found[1], 'recovery')
    assert (again.progress.skips, again.progress.update) == (10, 12)


def test_a_rollback_goes_on_with_the_weights_of_the_newest_checkpoint(tmp_path, caplog):
    run = make_run(tmp_path, epochs=3, ema=True)
    run.folder, run.nonfinite = tmp_path, 'rollback'
    into_weights(run, float('inf'), 7)
    weights = []
    real = run.step.run

    def step(*arguments):
        weights.append({k: v.clone() for k, v in run.task.state_dict().items()})
        return real(*arguments)

    run.step.run = step
    fit(run)
    assert len(weights) == 12
    saved = read_checkpoint(tmp_path / 'checkpoint-0.pth.tar')
    for key, value in saved['state_dict'].items():
        assert torch.equal(weights[7][f'trainable_module.{key}'], value)  # after update 6, as after epoch 0
    assert 'the weights are those of' in caplog.text
    assert run.optimizer.state_dict()['state'][0]['step'] == 4 + 5
    assert_finite(tmp_path)


def test_there_has_to_be_a_checkpoint_to_roll_back_to(tmp_path):
    run = make_run(tmp_path, epochs=1)
    run.folder, run.nonfinite = tmp_path, 'rollback'
    into_loss(run, float('nan'), 2)
    with pytest.raises(NonFiniteError, match='no checkpoint to roll back to yet'):
        fit(run)


def test_the_command_names_the_files_and_has_a_status_of_its_own(tmp_path, monkeypatch, capsys):
    data = make_images(tmp_path / 'images', train=16, validation=4)
    argv = command(data, tmp_path, '--epochs', '2', '-j', '0', '--lr', '1e30', '--warmup-epochs', '0')
    assert launch('train', argv) == 3
    line = capsys.readouterr().err.splitlines()[-1]
    row = json.loads((tmp_path / 'run' / 'nonfinite.jsonl').read_text())
    assert len(row['samples']) == 4
    assert all((data / 'train' / name).is_file() for name in row['samples'])
    assert row['samples'][0] in line
    assert 'try a lower --lr' in line
    assert str(tmp_path / 'run' / 'nonfinite.jsonl') in line


def test_a_network_keeps_its_statistics_where_an_update_is_refused(tmp_path):
    model = network()
    run = make_run(model=model, epochs=1)
    run.nonfinite, run.step.keep_statistics = 'skip', True
    into_input(run, float('nan'), 4)  # the last of the epoch
    fit(run)
    assert model[2].running_mean.isfinite().all()
