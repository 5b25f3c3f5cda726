"""Training in shards: the numbers of one process, checkpoints that any number of processes can read, and no pickles."""

import io
import json
import logging
import os
import pickle
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import comparable, launch_ranks, make_images, run_ranks
from tiny import differences
from torch import nn
from torch.distributed.checkpoint.metadata import _MEM_FORMAT_ENCODING

import timm
from timm.engine.checkpoint import newest_sound, read_checkpoint
from timm.engine.commands import launch
from timm.engine.distributed import World
from timm.engine.exits import CheckpointError
from timm.engine.sharded import ShardedStore, blocks_of
from timm.engine.shards import _IndexUnpickler, split_tensors
from timm.engine.step import TrainStep

MODEL = ['--model', 'test_vit', '--num-classes', '2', '--img-size', '32', '--device', 'cpu', '-j', '0']
MODEL += [
    '--model-ema',
    '--model-ema-decay',
    '0.9',
    '--warmup-epochs',
    '1',
    '--lr',
    '1e-2',
    '--opt',
    'adamw',
    '--opt-kwargs',
    'foreach=True',
]
TWO = ['--epochs', '2', '-b', '4']
ONE = [*TWO, '--grad-accum-steps', '2']


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    return make_images(tmp_path_factory.mktemp('images'), train=32, validation=10)


def argv_of(data: Path, output: Path, name: str, *more: str) -> list[str]:
    return [str(data), *MODEL, '--output', str(output), '--experiment', name, '--resume', 'auto', *more]


def without_links(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint without what names files, which are called otherwise in shards."""
    saver = {key: value for key, value in state['saver'].items() if key != 'checkpoint_files'}
    return comparable(state) | {'saver': saver}


@pytest.fixture(scope='module')
def runs(data, tmp_path_factory) -> Path:
    """A run in one process that accumulates, `one`, and the same on two processes in shards, `shards`."""
    folder = tmp_path_factory.mktemp('runs')
    assert launch('train', argv_of(data, folder, 'one', *ONE)) == 0
    codes = launch_ranks(argv_of(data, folder, 'shards', *TWO, '--fsdp', '--recovery-interval', '3'), 2, folder)
    assert codes == [0, 0], (folder / 'rank-0.log').read_text() + (folder / 'rank-1.log').read_text()
    return folder


def test_shards_make_the_updates_of_one_process(runs):
    one = read_checkpoint(runs / 'one' / 'last.pth.tar')
    shards = read_checkpoint(runs / 'shards' / 'last')
    assert {'state_dict', 'state_dict_ema', 'optimizer', 'metric', 'args'} <= shards.keys()
    assert not differences(without_links(one), without_links(shards))
    assert (runs / 'one' / 'summary.csv').read_text() == (runs / 'shards' / 'summary.csv').read_text()


def test_a_folder_of_shards_says_what_it_holds(runs):
    folder = runs / 'shards'
    last = (folder / 'last').resolve()
    assert last.parent == folder.resolve()
    manifest = json.loads((last / 'manifest.json').read_text())
    assert (manifest['schema'], manifest['world'], manifest['epoch'], manifest['update']) == (1, 2, 2, 8)
    names = {entry['name'] for entry in manifest['files']}
    assert names == {path.name for path in last.iterdir()} - {'manifest.json'}
    assert {name[:4] for name in names} >= {'__0_', '__1_', '.met', 'plai'}
    shares = [entry['size'] for entry in manifest['files'] if entry['name'].endswith('.distcp')]
    assert max(shares) < 0.75 * sum(shares)
    linked = {path.resolve() for path in folder.iterdir() if path.is_symlink()}
    assert linked == {path.resolve() for path in folder.glob('step-*')}
    assert not list(folder.glob('tmp-*'))


def stop_at(number: int):
    """In the last process, ask for a stop in that update."""

    def hook(rank: int) -> None:
        real = TrainStep._update

        def update(self, count):
            if count == number and rank == self.world.size - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return real(self, count)

        TrainStep._update = update

    return hook


@pytest.mark.parametrize(
    'ways', ['2 then 1', *(pytest.param(w, marks=pytest.mark.slow) for w in ('1 then 2', '2 then 2'))]
)
def test_a_run_in_shards_goes_on_with_another_number_of_processes(data, runs, tmp_path, ways):
    options = {1: ONE, 2: [*TWO, '--fsdp']}
    for size, code, hook in zip(map(int, ways.split(' then ')), (75, 0), (stop_at(5), None), strict=True):
        codes = launch_ranks(argv_of(data, tmp_path, 'run', *options[size]), size, tmp_path, hook)
        assert codes == [code] * size, (tmp_path / 'rank-0.log').read_text()
    found = newest_sound(tmp_path / 'run')
    assert found is not None
    assert not differences(without_links(read_checkpoint(runs / 'one' / 'last.pth.tar')), without_links(found[1]))


def test_a_checkpoint_in_shards_is_validated_like_a_file(data, runs, capsys):
    argv = [str(data), *MODEL[: MODEL.index('--model-ema')], '-b', '4', '--use-ema']
    results = []
    for checkpoint in (runs / 'shards' / 'model_best', runs / 'one' / 'model_best.pth.tar'):
        assert launch('validate', [*argv, '--checkpoint', str(checkpoint)]) == 0
        results.append(json.loads(capsys.readouterr().out.rpartition('--result\n')[2]))
    assert results[0] == results[1]


def test_a_process_without_samples_takes_part_in_an_evaluation(tmp_path):
    data = make_images(tmp_path / 'images', train=16, validation=2)
    argv = argv_of(data, tmp_path, 'run', '--epochs', '1', '-b', '4', '--fsdp')
    assert launch_ranks(argv, 2, tmp_path) == [0, 0], (tmp_path / 'rank-1.log').read_text()
    shards = read_checkpoint(tmp_path / 'run' / 'last')
    assert (
        launch('train', [*argv_of(data, tmp_path, 'one', '--epochs', '1', '-b', '4', '--grad-accum-steps', '2')]) == 0
    )
    assert shards['metric'] == read_checkpoint(tmp_path / 'one' / 'last.pth.tar')['metric']


def copy_of(checkpoint: Path, folder: Path) -> Path:
    target = folder / 'step-8'
    target.mkdir(parents=True)
    for path in checkpoint.resolve().iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_every_damaged_file_of_a_folder_is_named(runs, tmp_path):
    rng = random.Random(0)
    names = sorted(path.name for path in (runs / 'shards' / 'last').iterdir())
    for i, name in enumerate(names):
        for j, harm in enumerate(('flip', 'cut', 'remove')):
            path = copy_of(runs / 'shards' / 'last', tmp_path / f'{i}-{j}') / name
            content = bytearray(path.read_bytes())
            if harm == 'flip' and name != 'manifest.json':
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            path.write_bytes(content if harm == 'flip' and name != 'manifest.json' else content[: len(content) // 2])
            if harm == 'remove':
                path.unlink()
            with pytest.raises(CheckpointError, match=r'step-8') as error:
                read_checkpoint(path.parent)
            assert name in str(error.value)


class Evil:
    def __reduce__(self):
        return os.system, ('touch executed',)


@pytest.mark.parametrize('payload', ['call', 'module', 'dotted', 'build'])
def test_an_index_that_would_run_code_is_refused(runs, tmp_path, monkeypatch, payload):
    monkeypatch.chdir(tmp_path)
    pickles = {
        'call': pickle.dumps(Evil()),
        'module': b'cos\nsystem\n(S"touch executed"\ntR.',
        'dotted': pickle.dumps({}, 4)[:-1] + b'\x8c\x05torch\x8c\x14serialization.os.foo\x93.',
        'build': b'ctorch\nload\n(S"x"\ntR.',
    }
    folder = copy_of(runs / 'shards' / 'last', tmp_path / 'run')
    index = folder / '.metadata'
    index.write_bytes(pickles[payload])
    rewrite_manifest(folder)
    with pytest.raises(CheckpointError, match=r'step-8.*is no part of an index|step-8 cannot be read'):
        read_checkpoint(folder)
    assert not (tmp_path / 'executed').exists()


def rewrite_manifest(folder: Path) -> None:
    """What somebody does who can write to the folder: digests that fit the files."""
    from timm.engine.shards import describe_files

    manifest = json.loads((folder / 'manifest.json').read_text())
    manifest['files'] = describe_files([folder / entry['name'] for entry in manifest['files']])
    (folder / 'manifest.json').write_text(json.dumps(manifest))


def test_a_save_that_fails_in_one_process_fails_in_all_and_leaves_what_was_there(tmp_path):
    def commit(world: World) -> Any:
        told: list[str] = []
        logging.getLogger('timm.engine.store').warning = lambda text, *more: told.append(text % more)
        store = ShardedStore(tmp_path / 'run', world, keep=2)
        (tmp_path / 'run').mkdir(exist_ok=True)
        state = {'state_dict': {'w': torch.ones(4)}, 'engine': {'epoch': 1, 'done': 0, 'update': 4}}
        first = store.commit(state, 0, 1.0)
        if world.rank == 1:
            import timm.engine.sharded as module

            def fail(*_):
                raise OSError(28, 'No space left on device')

            module.describe_files = module.require_room = fail
        second = store.commit({**state, 'engine': {'epoch': 2, 'done': 0, 'update': 8}}, 1, 2.0)
        return first, second, store.kept, [line for line in told if 'No space' in line] != []

    answers = run_ranks(commit, 2, tmp_path)
    assert answers == [(True, False, [('checkpoint-0', 1.0)], True)] * 2
    found = newest_sound(tmp_path / 'run')
    assert found is not None
    assert found[1]['engine']['epoch'] == 1
    assert sorted(path.name for path in (tmp_path / 'run').iterdir()) == [
        'checkpoint-0', 'last', 'model_best', 'step-4'
    ]  # fmt: skip


def test_blocks_are_the_repeated_parts():
    vit = timm.create_model('test_vit')
    assert blocks_of(vit) == list(vit.blocks)
    resnet = timm.create_model('test_resnet')
    assert blocks_of(resnet) == [block for i in range(1, 5) for block in getattr(resnet, f'layer{i}')]
    convnext = timm.create_model('test_convnext')
    assert blocks_of(convnext) == [block for stage in convnext.stages for block in stage.blocks]
    assert blocks_of(nn.Linear(2, 2)) == []


def test_tensors_are_found_wherever_they_are():
    a, b, c = torch.ones(1), torch.zeros(2), torch.full((3,), 3.0)
    plain, tensors = split_tensors({'x': [a, {'y': (b, 1)}], 3: c, 'z': None})
    assert tensors.keys() == {'x/0', 'x/1/y/0', '3'}
    assert tensors['x/1/y/0'] is b
    assert plain['z'] is None
    assert plain['x'][1]['y'][1] == 1


def test_shards_refuse_what_they_cannot_do(data, tmp_path):
    argv = argv_of(data, tmp_path, 'run', *TWO, '--fsdp', '--clip-grad', '0.1', '--clip-mode', 'agc')
    assert launch_ranks(argv, 2, tmp_path) == [2, 2]
    assert '--fsdp does not go with --clip-mode agc' in (tmp_path / 'rank-0.log').read_text()


class _Got:
    """Pickled as what getattr gives, which is how Python 3.11.2 writes the members of an Enum."""

    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


def test_an_index_holds_members_of_enums_in_either_form_and_no_other_attributes():
    first, *_ = _MEM_FORMAT_ENCODING
    for written in (first, _Got(_MEM_FORMAT_ENCODING, first.name)):
        assert _IndexUnpickler(io.BytesIO(pickle.dumps(written))).load() is first
    with pytest.raises(pickle.UnpicklingError, match='no part of an index'):
        _IndexUnpickler(io.BytesIO(pickle.dumps(_Got(torch.Size, 'numel')))).load()
