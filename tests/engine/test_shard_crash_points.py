"""The power goes at any step of a save in shards: there is always a newest checkpoint, whole, as far on as before."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import run_ranks

from timm.engine.checkpoint import newest_sound
from timm.engine.distributed import World
from timm.engine.folder import RunFolder
from timm.engine.sharded import ShardedStore


def state_at(epoch: int, done: int) -> dict[str, Any]:
    """The state of a run of ten updates an epoch; its weights tell where it was taken."""
    place = {'epoch': epoch, 'done': done, 'update': 10 * epoch + done}
    return {'state_dict': {'weight': torch.full((40,), float(place['update']))}, 'engine': place}


SAVES: dict[str, tuple[tuple[int, int], Callable[[ShardedStore], Any]]] = {
    'an epoch that is the best': ((3, 0), lambda store: store.commit(state_at(3, 0), 2, 3.0)),
    'an epoch that is not kept': ((3, 0), lambda store: store.commit(state_at(3, 0), 2, 0.5)),
    'within an epoch': ((2, 3), lambda store: store.commit_recovery(state_at(2, 3), 2, 3)),
}


@contextmanager
def copied(folder: Path, copies: Path) -> Iterator[None]:
    """Copy the folder before every change that this process makes to names in it, and at the end."""

    def copy() -> None:
        shutil.copytree(folder, copies / f'{len(list(copies.iterdir())):03}', symlinks=True)

    def before(owner: Any, name: str) -> Callable[..., Any]:
        real = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            copy()
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for owner, names in ((os, ('fsync', 'rmdir', 'unlink')), (Path, ('rename', 'replace', 'symlink_to', 'unlink'))):
            for name in names:
                patch.setattr(owner, name, before(owner, name))
        yield
    copy()


@pytest.mark.parametrize('save', SAVES, ids=str)
def test_every_crash_point_of_a_save_in_shards_leaves_a_newest_state(tmp_path, save):
    after, action = SAVES[save]
    run, copies = tmp_path / 'run', tmp_path / 'copies'
    run.mkdir()
    copies.mkdir()

    def commit(world: World) -> None:
        store = ShardedStore(run, world, keep=2)
        store.commit(state_at(1, 0), 0, 1.0)
        store.commit(state_at(2, 0), 1, 2.0)
        store.commit_recovery(state_at(2, 1), 2, 1)
        store.commit_recovery(state_at(2, 2), 2, 2)
        if world.rank:
            action(store)
        else:
            with copied(run, copies):
                action(store)

    run_ranks(commit, 2, tmp_path)
    places = []
    for folder in sorted(copies.iterdir()):
        for _ in ('as it was found', 'after the next run has cleared up'):
            found = newest_sound(folder)
            assert found is not None
            places.append((found[1]['engine']['epoch'], found[1]['engine']['done']))
            assert torch.equal(found[1]['state_dict']['weight'], state_at(*places[-1])['state_dict']['weight'])
            RunFolder(folder).acquire()
            assert not list(folder.glob('tmp-*'))
    assert len(places) > 20
    assert places[:2] == [(2, 2)] * 2
    assert places[-2:] == [after] * 2
    assert places == sorted(places)
