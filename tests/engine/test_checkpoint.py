"""Checkpoint files: whole or not there, the best ones kept."""

import argparse

import pytest
import torch

from timm.engine.checkpoint import newest_sound, read_checkpoint, write_checkpoint
from timm.engine.exits import CheckpointError, StorageError, UsageError
from timm.engine.store import StateStore


def payload(epoch: int) -> dict:
    return {'epoch': epoch, 'state_dict': {'w': torch.full((100,), float(epoch))}, 'args': argparse.Namespace(a=1)}


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_best_few_stay_and_the_last(tmp_path):
    store = StateStore(tmp_path, keep=2)
    for epoch, metric in enumerate([3.0, 5.0, 4.0, 1.0]):
        store.commit(payload(epoch), epoch, metric)
    assert names(tmp_path) == ['checkpoint-1.pth.tar', 'checkpoint-2.pth.tar', 'last.pth.tar', 'model_best.pth.tar']
    assert read_checkpoint(tmp_path / 'last.pth.tar')['epoch'] == 3
    best = read_checkpoint(tmp_path / 'model_best.pth.tar')
    assert (best['epoch'], best['metric']) == (1, 5.0)


def test_smaller_is_better_for_a_loss(tmp_path):
    store = StateStore(tmp_path, keep=1, decreasing=True)
    for epoch, metric in enumerate([3.0, 1.0, float('nan'), 2.0]):
        store.commit(payload(epoch), epoch, metric)
    assert names(tmp_path) == ['checkpoint-1.pth.tar', 'last.pth.tar', 'model_best.pth.tar']


def test_a_new_store_ranks_on_as_the_old_one_would(tmp_path):
    old = StateStore(tmp_path, keep=2)
    for epoch, metric in enumerate([3.0, 5.0, 4.0]):
        old.commit(payload(epoch), epoch, metric)
    new = StateStore(tmp_path, keep=2)
    new.restore(read_checkpoint(tmp_path / 'last.pth.tar')['saver'])
    assert (new.kept, new.best_epoch, new.best_metric) == (old.kept, 1, 5.0)
    new.commit(payload(3), 3, 4.5)
    assert 'checkpoint-2.pth.tar' not in names(tmp_path)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / 'last.pth.tar'
    write_checkpoint([path], payload(0))
    monkeypatch.setattr('timm.engine.checkpoint.broken_member', lambda _: 'archive/data/0')
    with pytest.raises(StorageError, match='could not be read back'):
        write_checkpoint([path], payload(1))
    monkeypatch.undo()
    assert names(tmp_path) == ['last.pth.tar']
    assert read_checkpoint(path)['epoch'] == 0


def test_no_room_is_named_with_the_path(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', full)
    with pytest.raises(StorageError, match=r'last\.pth\.tar.*No space left.*MiB'):
        write_checkpoint([tmp_path / 'last.pth.tar'], payload(0))
    assert names(tmp_path) == []


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / 'last.pth.tar'
    write_checkpoint([path], payload(7))
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        broken = bytearray(whole)
        broken[place] ^= 4
        path.write_bytes(broken)
        try:
            state = read_checkpoint(path)
        except CheckpointError:
            continue
        assert torch.equal(state['state_dict']['w'], torch.full((100,), 7.0))  # a byte between the entries


def test_a_damaged_last_is_passed_over(tmp_path, caplog):
    store = StateStore(tmp_path)
    for epoch in range(3):
        store.commit(payload(epoch), epoch, -float(epoch))
    last = tmp_path / 'last.pth.tar'
    content = last.read_bytes()
    last.unlink()
    last.write_bytes(content[: len(content) // 2])
    (tmp_path / 'checkpoint-2.pth.tar').unlink()
    found = newest_sound(tmp_path)
    assert found is not None
    assert found[0].name == 'checkpoint-1.pth.tar'
    assert 'passed over' in caplog.text
    assert newest_sound(tmp_path / 'nowhere') is None


def test_what_is_no_checkpoint_is_said_in_one_line(tmp_path):
    with pytest.raises(UsageError, match='there is no checkpoint'):
        read_checkpoint(tmp_path / 'x.pth.tar')
    (tmp_path / 'x.pth.tar').write_text('nothing')
    with pytest.raises(CheckpointError, match='cannot be read'):
        read_checkpoint(tmp_path / 'x.pth.tar')
    torch.save({'weight': torch.zeros(1)}, tmp_path / 'y.pth.tar')
    with pytest.raises(CheckpointError, match='state_dict'):
        read_checkpoint(tmp_path / 'y.pth.tar')


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ('run',))

    torch.save({'state_dict': {}, 'x': Evil()}, tmp_path / 'x.pth.tar')
    with pytest.raises(CheckpointError, match='cannot be read'):
        read_checkpoint(tmp_path / 'x.pth.tar')
