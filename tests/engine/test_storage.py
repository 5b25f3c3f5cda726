"""Disks that are full or read-only, and files that are damaged: nothing is lost, and the message says what to do."""

import errno
import logging
import os
import random
import resource
import shutil
import signal
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from processes import command, comparable, fork, make_images
from tiny import differences, make_run

from timm.engine.checkpoint import newest_sound, read_checkpoint, write_checkpoint
from timm.engine.commands import launch
from timm.engine.exits import CheckpointError, Stopped, StorageError
from timm.engine.folder import RunFolder
from timm.engine.loop import fit

pytestmark = pytest.mark.usefixtures('no_pictures')

REAL_SAVE = torch.save


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return make_images(tmp_path_factory.mktemp('images'), train=16, validation=4)


def full(payload, file):
    """A disk that has room for half of a file."""
    file.write(b'x' * 100)
    raise OSError(errno.ENOSPC, 'No space left on device')


class Quota:
    """A disk with room for so many checkpoints."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most = folder, most

    def __call__(self, payload, file):
        files = {path.stat().st_ino for path in self.folder.glob('*.pth.tar') if not path.name.startswith('tmp')}
        if len(files) >= self.most:
            full(payload, file)
        REAL_SAVE(payload, file)


def test_a_full_disk_does_not_end_a_run_that_can_save_later(tmp_path, monkeypatch, caplog):
    run, plain = make_run(tmp_path, epochs=3), make_run(epochs=3)
    run.recover_every = 1
    calls = []

    def save(payload, file):
        calls.append(payload['engine']['update'])
        (full if payload['engine']['update'] < 11 else REAL_SAVE)(payload, file)

    monkeypatch.setattr(torch, 'save', save)
    assert fit(run) == fit(plain)
    assert calls == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 12]
    assert 'No space left on device' in caplog.text
    assert 'MiB are free there' in caplog.text
    assert 'training goes on' in caplog.text
    kept = {path.name for path in tmp_path.glob('*.pth.tar')}
    assert kept == {f'{n}.pth.tar' for n in ('recovery-2-3', 'recovery-2-4', 'checkpoint-2', 'last', 'model_best')}
    saver = read_checkpoint(tmp_path / 'last.pth.tar')['saver']
    assert saver['checkpoint_files'] == []  # an epoch that could not be saved does not count among the kept


def test_the_last_save_makes_room_for_itself(tmp_path, monkeypatch, caplog):
    run = make_run(tmp_path, epochs=4)
    assert run.store is not None
    for epoch, metric in enumerate((0.0, 1.0, 0.5)):
        run.store.commit({'state_dict': {}, 'engine': {'epoch': epoch + 1, 'done': 0}}, epoch, metric)
    monkeypatch.setattr(torch, 'save', Quota(tmp_path, 3))
    assert run.store.commit({'state_dict': {}, 'engine': {'epoch': 4, 'done': 0}}, 3, 0.2) is False
    assert run.store.commit({'state_dict': {}, 'engine': {'epoch': 4, 'done': 0}}, 3, 0.2, required=True)
    assert 'trying again without checkpoint-0.pth.tar' in caplog.text
    names = {path.name for path in tmp_path.glob('*.pth.tar')}
    assert names == {f'{n}.pth.tar' for n in ('checkpoint-1', 'checkpoint-2', 'checkpoint-3', 'last', 'model_best')}


def test_a_last_save_that_fails_is_an_error_with_path_and_figures(data, tmp_path, monkeypatch, capsys):
    assert launch('train', command(data, tmp_path, '--epochs', '1', '-j', '0')) == 0
    before = (tmp_path / 'run' / 'last.pth.tar').read_bytes()
    monkeypatch.setattr(torch, 'save', full)
    capsys.readouterr()
    assert launch('train', command(data, tmp_path, '--epochs', '2', '-j', '0')) == 5
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith('train.py: error: cannot write')
    assert 'checkpoint-1.pth.tar' in line
    assert 'No space left on device' in line
    assert 'MiB are free there' in line
    assert (tmp_path / 'run' / 'last.pth.tar').read_bytes() == before
    assert not list((tmp_path / 'run').glob('tmp-*'))


def test_a_stop_that_cannot_save_is_an_error(tmp_path, monkeypatch):
    run = make_run(tmp_path)
    run.stop.request('SIGTERM')
    monkeypatch.setattr(torch, 'save', full)
    with pytest.raises(StorageError, match=r'recovery-0-0\.pth\.tar') as error:
        fit(run)
    assert error.value.code == 5
    monkeypatch.undo()
    with pytest.raises(Stopped):
        fit(run)


def test_room_is_looked_for_before_a_write(tmp_path, monkeypatch):
    usage = namedtuple('usage', 'total used free')(10, 10, 1 << 20)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)
    write_checkpoint([tmp_path / 'small.pth.tar'], {'state_dict': {'w': torch.zeros(1 << 17)}})  # 0.5 MiB
    monkeypatch.setattr(torch, 'save', lambda *_: pytest.fail('it was not to be tried'))
    with pytest.raises(StorageError, match=r'large\.pth\.tar: 1\.2 MiB are needed and 1\.0 MiB are free'):
        write_checkpoint([tmp_path / 'large.pth.tar'], {'optimizer': [{'w': torch.zeros(1 << 18)}]})  # 1 MiB


def test_a_limit_of_the_system_on_files_is_met_as_a_full_disk(data, tmp_path):
    def limited(argv) -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        return launch('train', argv)

    log = tmp_path / 'log'
    process = fork(limited, command(data, tmp_path, '--epochs', '1', '-j', '0', '--recovery-interval', '2'), log=log)
    process.join(60)
    text = log.read_text()
    assert process.exitcode == 5, text
    assert 'training goes on' in text  # of the first save, within the epoch
    assert not list((tmp_path / 'run').glob('*.pth.tar'))


def test_a_folder_that_cannot_be_written_to_is_named(data, tmp_path, monkeypatch, capsys):
    (tmp_path / 'file').write_text('')
    assert launch('train', command(data, tmp_path / 'file')) == 5
    assert f'cannot write to output folder {tmp_path}/file/run: Not a directory' in capsys.readouterr().err
    real = os.open

    def read_only(path, flags, *more, **options):
        if str(path).endswith('.lock'):
            raise OSError(errno.EROFS, 'Read-only file system')
        return real(path, flags, *more, **options)

    monkeypatch.setattr(os, 'open', read_only)
    with pytest.raises(StorageError, match='Read-only file system'):
        RunFolder(tmp_path / 'run').acquire()


def damage(path: Path, rng: random.Random, flip: bool) -> None:
    """Flip a bit of the first half, or cut the file off, without touching its other names."""
    content = bytearray(path.read_bytes())
    place = rng.randrange(len(content) // 4, len(content) // 2)
    path.unlink()
    if flip:
        content[place] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    else:
        path.write_bytes(content[:place])


@pytest.mark.parametrize('flip', [True, pytest.param(False, marks=pytest.mark.slow)], ids=['bit flipped', 'cut off'])
def test_a_damaged_checkpoint_is_named_and_the_next_one_taken(data, tmp_path, capsys, caplog, flip):
    options = ['--epochs', '2', '-j', '0', '--recovery-interval', '3']
    assert launch('train', command(data, tmp_path, *options)) == 0
    run = tmp_path / 'run'
    whole = comparable(read_checkpoint(run / 'last.pth.tar'))
    rng = random.Random(0)
    for name in ('last', 'checkpoint-1', 'model_best'):
        damage(run / f'{name}.pth.tar', rng, flip)
    capsys.readouterr()
    again = ['--output', str(tmp_path), '--experiment', 'other', '--resume', str(run / 'last.pth.tar')]
    assert launch('train', [*command(data, tmp_path, *options), *again]) == 7
    assert f'checkpoint {run}/last.pth.tar' in capsys.readouterr().err
    with caplog.at_level(logging.WARNING):
        assert launch('train', command(data, tmp_path, *options)) == 0
    passed = [record.getMessage() for record in caplog.records if record.getMessage().endswith('passed over')]
    assert any('last.pth.tar' in line for line in passed)
    assert not differences(whole, comparable(read_checkpoint(run / 'last.pth.tar')))
    for path in run.glob('*.pth.tar'):
        damage(path, rng, flip)
    capsys.readouterr()
    assert launch('train', command(data, tmp_path, *options)) == 7
    assert 'is sound' in capsys.readouterr().err


@pytest.mark.slow
def test_no_flipped_bit_changes_what_is_read(tmp_path):
    path = tmp_path / 'last.pth.tar'
    weights = torch.randn(3000, generator=torch.Generator().manual_seed(0))
    write_checkpoint([path], {'state_dict': {'w': weights}, 'engine': {'epoch': 3, 'done': 1}})
    whole, rng = path.read_bytes(), random.Random(0)
    noticed = 0
    for _ in range(1000):
        broken = bytearray(whole)
        broken[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(broken)
        try:
            state = read_checkpoint(path)
        except CheckpointError:
            noticed += 1
            continue
        assert torch.equal(state['state_dict']['w'], weights)
        assert state['engine'] == {'epoch': 3, 'done': 1}
    assert noticed > 900


def test_a_run_that_starts_anew_in_a_used_folder_is_not_mixed_with_the_one_before(data, tmp_path, caplog):
    argv = command(data, tmp_path, '--epochs', '2', '-j', '0')
    assert launch('train', argv) == 0
    run = tmp_path / 'run'
    before = (run / 'last.pth.tar').read_bytes()
    anew = [option for option in argv if option not in ('--resume', 'auto')]
    assert launch('train', [*anew, '--epochs', '1']) == 0
    assert (run / 'earlier-1' / 'last.pth.tar').read_bytes() == before
    assert (run / 'earlier-1' / 'checkpoint-1.pth.tar').read_bytes() == before
    assert 'earlier run' in caplog.text
    found = newest_sound(run)
    assert found is not None
    assert found[1]['engine']['epoch'] == 1
    assert [line.split(',')[0] for line in (run / 'summary.csv').read_text().splitlines()] == ['epoch', '0']
    assert launch('train', [*anew, '--epochs', '2', '--resume', str(run / 'last.pth.tar')]) == 0
    assert not (run / 'earlier-2').exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 20 MiB of its own, where this process may mount one."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    if os.geteuid() or os.system(f'mount -t tmpfs -o size=20m tmpfs {folder} 2>/dev/null'):
        pytest.skip('no file system can be mounted here')
    yield folder
    os.system(f'umount {folder}')


def test_a_disk_that_really_is_full(data, small_disk, monkeypatch, capsys):
    monkeypatch.setattr('timm.engine.files._MARGIN', 0)  # so that the write itself meets the end of the disk
    (small_disk / 'ballast').write_bytes(b'x' * 20_000_000)
    argv = command(data, small_disk, '--epochs', '2', '-j', '0')
    assert launch('train', argv) == 5
    told = capsys.readouterr().err
    assert 'training goes on' in told
    assert 'trying again without anything removed' in told
    assert told.count('No space left on device') == 3
    assert 'checkpoint-1.pth.tar' in told.splitlines()[-1]
    assert not list((small_disk / 'run').glob('*.pth.tar'))
    (small_disk / 'ballast').unlink()
    assert launch('train', argv) == 0
    found = newest_sound(small_disk / 'run')
    assert found is not None
    assert found[1]['epoch'] == 1
