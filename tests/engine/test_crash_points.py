"""The power goes at any step of a save: there is always a newest checkpoint that can be read, as far on as before."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from timm.engine.checkpoint import newest_sound
from timm.engine.folder import RunFolder
from timm.engine.store import StateStore

Content = dict[str, bytes]


class Disk:
    """What a folder may hold if the power goes: noted before every change that a process makes to it.

    Data are safe once their file was synced, and names once the folder was. Until then a file may be found cut off,
    and the folder as it was.

    Attributes:
        moments: What a reader may find, by the change that was about to come.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.moments: list[tuple[str, Content]] = []
        self.held: dict[int, Any] = {}  # open files, so that no number is used again
        self.safe: set[int] = set()
        self.names = self.listing()
        self.safe.update(self.names.values())

    def listing(self) -> dict[str, int]:
        names = {path.name: path.stat().st_ino for path in self.folder.iterdir()}
        for name, number in names.items():
            if number not in self.held:
                self.held[number] = (self.folder / name).open('rb')
        return names

    def read(self, number: int, whole: bool) -> bytes:
        self.held[number].seek(0)
        content = self.held[number].read()
        return content if whole else content[: len(content) // 2]

    def note(self, change: str) -> None:
        now = self.listing()
        for names, lossy in ((now, False), (now, True), (self.names, True)):
            content = {name: self.read(n, whole=n in self.safe or not lossy) for name, n in names.items()}
            self.moments.append((change, content))

    def close(self) -> None:
        for file in self.held.values():
            file.close()

    def synced(self, handle: int) -> None:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            self.names = self.listing()
        else:
            self.safe.add(status.st_ino)


@contextmanager
def watched(disk: Disk) -> Iterator[None]:
    """Let a disk take note of every change in the block."""
    fsync, save = os.fsync, torch.save

    def before(owner: Any, name: str) -> Callable[..., Any]:
        real = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            disk.note(name)
            return real(*arguments, **options)

        return call

    def sync(handle: int) -> None:
        disk.note('fsync')
        fsync(handle)
        disk.synced(handle)

    def write(payload: Any, file: Any) -> None:
        disk.note('open')
        save(payload, file)
        file.flush()
        disk.note('write')

    with pytest.MonkeyPatch.context() as patch, contextlib.closing(disk):
        for owner, names in ((os, ('link', 'unlink', 'rename', 'replace')), (Path, ('unlink', 'rename', 'replace'))):
            for name in names:
                patch.setattr(owner, name, before(owner, name))
        patch.setattr(os, 'fsync', sync)
        patch.setattr(torch, 'save', write)
        yield
        disk.note('the end')


def state_at(epoch: int, done: int) -> dict[str, Any]:
    return {
        'epoch': epoch - (done == 0),
        'version': 2,
        'state_dict': {'weight': torch.full((50,), 10.0 * epoch + done)},
        'engine': {'epoch': epoch, 'done': done},
    }


def start(folder: Path) -> StateStore:
    """A store with two epochs and two recoveries in it, full enough that the next save drops something."""
    store = StateStore(folder, keep=2)
    store.commit(state_at(1, 0), 0, 1.0)
    store.commit(state_at(2, 0), 1, 2.0)
    store.commit_recovery(state_at(2, 1), 2, 1)
    store.commit_recovery(state_at(2, 2), 2, 2)
    return store


SAVES: dict[str, tuple[tuple[int, int], Callable[[StateStore], Any]]] = {
    'an epoch that is the best': ((3, 0), lambda store: store.commit(state_at(3, 0), 2, 3.0)),
    'an epoch that is not kept': ((3, 0), lambda store: store.commit(state_at(3, 0), 2, 0.5)),
    'within an epoch': ((2, 3), lambda store: store.commit_recovery(state_at(2, 3), 2, 3)),
}


def place_of_newest(folder: Path) -> tuple[int, int]:
    """Where the newest checkpoint stands, whose weights are those of that place."""
    found = newest_sound(folder)
    assert found is not None
    epoch, done = found[1]['engine']['epoch'], found[1]['engine']['done']
    assert torch.equal(found[1]['state_dict']['weight'], torch.full((50,), 10.0 * epoch + done))
    return epoch, done


def no_links(*_: Any, **__: Any) -> None:
    raise OSError(95, 'Operation not supported')


@pytest.mark.parametrize('links', [True, False], ids=['links', 'no links'])
@pytest.mark.parametrize('save', SAVES, ids=str)
def test_every_crash_point_of_a_save_leaves_a_newest_state(tmp_path, monkeypatch, save, links):
    after, action = SAVES[save]
    run = tmp_path / 'run'
    run.mkdir()
    store = start(run)
    if not links:
        monkeypatch.setattr(os, 'link', no_links)
    disk = Disk(run)
    with watched(disk):
        action(store)
    places = []
    for i, (change, content) in enumerate(disk.moments):
        folder = tmp_path / f'{i}'
        folder.mkdir()
        for name, data in content.items():
            (folder / name).write_bytes(data)
        places.append(place_of_newest(folder))
        assert places[-1] in ((2, 2), after), change
        RunFolder(folder).acquire()
        assert not list(folder.glob('tmp-*'))
        assert place_of_newest(folder) == places[-1]
    assert {'open', 'write', 'fsync', 'replace', 'unlink', 'the end'} <= {change for change, _ in disk.moments}
    assert places[0] == (2, 2)
    assert places[-3:] == [after] * 3  # what has returned is safe, whatever is lost


def test_a_save_that_is_not_synced_would_be_noticed(tmp_path):
    disk = Disk(tmp_path)
    with watched(disk):
        (tmp_path / 'aside').write_bytes(b'something')
        (tmp_path / 'aside').replace(tmp_path / 'last.pth.tar')
    assert [content for _, content in disk.moments[-3:]] == [
        {'last.pth.tar': b'something'},
        {'last.pth.tar': b'some'},
        {},
    ]


def test_what_a_killed_save_left_is_removed_by_the_next_run(tmp_path):
    start(tmp_path)
    (tmp_path / 'tmp-1.pth.tar').write_bytes(b'half')
    (tmp_path / 'tmp-2').mkdir()
    (tmp_path / 'tmp-2' / 'shard').write_bytes(b'half')
    RunFolder(tmp_path).acquire()
    assert not list(tmp_path.glob('tmp-*'))
    assert place_of_newest(tmp_path) == (2, 2)
