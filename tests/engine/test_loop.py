"""The loop: it learns, it resumes to the last bit, and it stops before harm is done."""

import json
import signal

import pytest
import torch
from tiny import differences, make_run, network
from torch import nn

from timm.engine.checkpoint import newest_sound, read_checkpoint
from timm.engine.exits import NonFiniteError, Stopped, UsageError
from timm.engine.loop import fit
from timm.engine.run import Run
from timm.engine.state import capture, restore
from timm.engine.step import Clipping
from timm.engine.stop import StopFlag, listening

pytestmark = pytest.mark.usefixtures('no_pictures')


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in run.task.get_trainable_module().state_dict().items()}


def test_loss_falls_and_accuracy_rises():
    rows = fit(make_run(epochs=8))
    assert [row.epoch for row in rows] == list(range(8))
    assert rows[-1].train['loss'] < 0.6 * rows[0].train['loss']
    assert rows[-1].validation['top1'] == 100


def test_files_of_a_run(tmp_path):
    rows = fit(make_run(tmp_path, epochs=3, keep=2))
    names = {path.name for path in tmp_path.iterdir()}
    assert {'summary.csv', 'summary.jsonl', 'last.pth.tar', 'model_best.pth.tar'} <= names
    assert len([name for name in names if name.startswith('checkpoint-')]) == 2
    assert not [name for name in names if name.startswith('tmp')]
    lines = (tmp_path / 'summary.csv').read_text().splitlines()
    assert lines[0] == 'epoch,train_loss,eval_loss,eval_top1,eval_top5,lr'
    assert [line.split(',')[0] for line in lines[1:]] == ['0', '1', '2']
    assert (
        json.loads((tmp_path / 'summary.jsonl').read_text().splitlines()[-1])['eval_top1']
        == rows[-1].validation['top1']
    )


def test_checkpoint_has_the_published_keys(tmp_path):
    fit(make_run(tmp_path, epochs=2, ema=True))
    state = read_checkpoint(tmp_path / 'last.pth.tar')
    expected = {'epoch', 'arch', 'state_dict', 'state_dict_ema', 'optimizer', 'version', 'args', 'metric'}
    assert expected <= state.keys()
    assert (state['epoch'], state['arch'], state['version'], state['args'].model) == (1, 'tiny', 2, 'tiny')
    assert state['state_dict'].keys() == network().state_dict().keys()


@pytest.mark.parametrize(
    'options',
    [
        {'ema': True},
        {'accumulate': 3, 'count': 18, 'on_updates': True},
        {'clipping': Clipping(0.1)},
        {'sched': 'step', 'amp': torch.bfloat16},
        {'amp': torch.float16},
    ],
    ids=['average', 'accumulation on updates', 'clipping', 'bfloat16', 'float16'],
)
def test_a_resumed_run_equals_an_unbroken_one(tmp_path, options):
    whole, first = tmp_path / 'whole', tmp_path / 'first'
    whole.mkdir()
    first.mkdir()
    unbroken = make_run(whole, **options)
    rows = fit(unbroken)
    stopped = make_run(first, **options)
    stopped.num_epochs = 2
    fit(stopped)
    resumed = make_run(first, **options)
    restore(resumed, read_checkpoint(first / 'last.pth.tar'), 'last')
    resumed.report.resume(resumed.progress.epoch)
    assert fit(resumed) == rows[2:]
    assert not differences(capture(unbroken) | {'args': None}, capture(resumed) | {'args': None})
    for name in ('summary.csv', 'summary.jsonl'):
        assert (whole / name).read_text() == (first / name).read_text()
    a, b = (read_checkpoint(folder / 'last.pth.tar')['saver'] for folder in (whole, first))
    assert a == b


def test_accumulated_batches_make_the_update_of_one_large_batch():
    class Plain(nn.Sequential):
        """Without what depends on the batch."""

    torch.manual_seed(0)
    model = Plain(nn.Flatten(), nn.Linear(192, 2)).double()
    results = []
    for batch_size, accumulate in ((8, 1), (4, 2), (2, 4)):
        net = Plain(nn.Flatten(), nn.Linear(192, 2)).double()
        net.load_state_dict(model.state_dict())
        run = make_run(epochs=1, batch_size=batch_size, accumulate=accumulate, model=net)
        run.precision.dtype = torch.float64
        fit(run)
        results.append(net[1].weight.detach())
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(results[2], results[0], rtol=0, atol=1e-12)


def test_a_remainder_of_micro_batches_makes_an_update_of_its_own():
    run = make_run(epochs=1, count=20, accumulate=3)
    assert run.train.num_micro_batches == 5
    assert [run.train.micro_batches_of(u) for u in range(run.train.num_updates)] == [3, 2]
    fit(run)
    assert run.progress.update == 2


def test_the_average_follows_the_weights_and_ranks():
    run = make_run(epochs=3, ema=True)
    rows = fit(run)
    averaged = run.task.get_eval_model(ema=True)
    pairs = zip(averaged.parameters(), run.task.get_trainable_module().parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
    assert rows[-1].model
    assert rows[-1].validation != rows[-1].model


class Explodes(nn.Module):
    """A network whose output is no longer a number from a call on."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.inner, self.after = network(), after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.after -= self.training
        return self.inner(x) * (float('nan') if self.after < 0 else 1.0)


def test_a_loss_that_is_no_number_stops_before_the_update(tmp_path):
    run = make_run(tmp_path, model=Explodes(after=6))
    with pytest.raises(NonFiniteError, match='loss is nan at update 6'):
        fit(run)
    assert all(p.isfinite().all() for p in run.task.get_trainable_module().parameters())
    assert read_checkpoint(tmp_path / 'last.pth.tar')['epoch'] == 0


def test_a_gradient_that_is_no_number_stops_before_the_update():
    run = make_run()
    last = run.task.get_trainable_module()[-1]
    before = weights(run)
    last.weight.register_hook(lambda grad: grad * float('inf'))
    with pytest.raises(NonFiniteError, match='gradient norm'):
        fit(run)
    after = weights(run)
    assert all(torch.equal(before[k], after[k]) for k in before if 'running' not in k and 'num_batches' not in k)


def test_weights_that_are_no_numbers_are_not_kept(tmp_path):
    run = make_run(tmp_path)
    with torch.no_grad():
        run.task.get_trainable_module()[1].weight[0, 0] = float('nan')
    with pytest.raises(NonFiniteError):
        capture(run)


def test_evaluation_every_few_epochs_and_at_the_end(tmp_path):
    rows = fit(make_run(tmp_path, epochs=5, validate_every=2))
    assert [row.epoch for row in rows] == [1, 3, 4]


def test_without_validation_the_training_loss_ranks(tmp_path):
    run = make_run(tmp_path, epochs=2)
    run.validation, run.metric = None, 'loss'
    rows = fit(run)
    assert rows[0].validation == {}
    assert (tmp_path / 'summary.csv').read_text().splitlines()[0] == 'epoch,train_loss,lr'


def test_a_figure_that_does_not_exist_cannot_rank():
    run = make_run(epochs=1)
    run.metric = 'top3'
    with pytest.raises(UsageError, match=r'top3.*did you mean top'):
        fit(run)


def test_the_batches_of_an_epoch_do_not_depend_on_workers_or_start():
    here, elsewhere = make_run().train, make_run(workers=1).train
    list(here.epoch(0))
    first = [x.clone() for x, _ in here.epoch(3)]
    again = [x.clone() for x, _ in elsewhere.epoch(3)]
    late = [x.clone() for x, _ in here.epoch(3, first_update=2)]
    other = [x.clone() for x, _ in here.epoch(4)]
    assert not differences(first, again)
    assert not differences(first[2:], late)
    assert differences(first, other)


@pytest.mark.parametrize('options', [{'ema': True}, {'accumulate': 2, 'on_updates': True, 'count': 20}])
@pytest.mark.parametrize('done', [1, 2])
def test_a_run_stopped_within_an_epoch_goes_on_as_if_it_had_not(tmp_path, options, done):
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    whole.mkdir()
    parts.mkdir()
    unbroken = make_run(whole, epochs=3, **options)
    fit(unbroken)
    stopped = make_run(parts, epochs=3, **options)
    real = stopped.step.run

    def run_and_ask(batches, count, update, ask):
        if stopped.progress.epoch == 1 and stopped.progress.done == done - 1:
            stopped.stop.request('SIGTERM')
        return real(batches, count, update, ask)

    stopped.step.run = run_and_ask
    with pytest.raises(Stopped, match=f'stopped on SIGTERM.*recovery-1-{done}') as stop:
        fit(stopped)
    assert stop.value.code == 75
    found = newest_sound(parts)
    assert found is not None
    assert found[0].name == f'recovery-1-{done}.pth.tar'
    resumed = make_run(parts, epochs=3, **options)
    restore(resumed, found[1], 'recovery')
    resumed.report.resume(resumed.progress.epoch)
    fit(resumed)
    assert not differences(capture(unbroken) | {'args': None}, capture(resumed) | {'args': None})
    for name in ('summary.csv', 'summary.jsonl'):
        assert (whole / name).read_text() == (parts / name).read_text()


def test_recovery_checkpoints_come_at_their_interval_and_two_stay(tmp_path):
    run = make_run(tmp_path, epochs=2)
    run.recover_every = 1
    fit(run)
    names = sorted(path.name for path in tmp_path.glob('recovery-*'))
    assert names == ['recovery-1-3.pth.tar', 'recovery-1-4.pth.tar']
    found = newest_sound(tmp_path)
    assert found is not None
    assert found[0].name == 'last.pth.tar'


def test_a_signal_asks_for_a_stop_and_a_second_interrupt_interrupts():
    flag = StopFlag()
    with listening(flag):
        signal.raise_signal(signal.SIGINT)
        assert flag.reason == 'SIGINT'
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
