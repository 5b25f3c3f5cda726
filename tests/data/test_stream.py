"""One stream of batches: whatever loads it, the same seed gives the same bytes."""

import hashlib

import pytest
import torch
from pictures import make_folder, make_tar

from timm.data import FastCollateMixup, KeyedDataset, create_dataset, create_loader
from timm.data.keyed import KeyedSampler

STRONG = dict(
    auto_augment='rand-m9-mstd0.5-inc1',
    interpolation='random',
    re_prob=0.5,
    re_mode='pixel',
    color_jitter=0.4,
    grayscale_prob=0.2,
    gaussian_blur_prob=0.2,
    vflip=0.5,
    num_aug_repeats=3,
)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp('images'), numbers=range(20))


def loader(root, batch=6, size=24, rank=0, world=1, accumulate=1, mix=True, **options):
    """A training with everything that draws, as one of `world` processes."""
    dataset = KeyedDataset(create_dataset('', root), seed=11)
    collate = FastCollateMixup(cutmix_alpha=1.0, mode='elem', num_classes=3) if mix else None
    options = {'num_workers': 0, 'device': torch.device('cpu'), **STRONG, **options}
    made = create_loader(dataset, (3, size, size), batch, is_training=True, collate_fn=collate, **options)
    sampler = made.sampler
    assert isinstance(sampler, KeyedSampler)
    sampler.rank, sampler.world_size, sampler.accumulate = rank, world, accumulate
    return made


def digests(batches):
    return [
        hashlib.sha256(images.contiguous().numpy().tobytes() + targets.numpy().tobytes()).hexdigest()
        for images, targets in batches
    ]


def stream(made, epochs):
    return [digest for _ in range(epochs) for digest in digests(made)]


def spread(root, world, epochs, **options):
    """The batches of all processes, each a row of the batch that they share, in the order of positions."""
    made = [loader(root, batch=6 // world, rank=rank, world=world, mix=False, **options) for rank in range(world)]
    for _ in range(epochs):
        for parts in zip(*made, strict=True):
            yield tuple(torch.stack(part, 1).flatten(0, 1) for part in zip(*parts, strict=True))


def test_batches_do_not_depend_on_who_loads_them(root):
    alone = stream(loader(root), 2)
    assert len(set(alone)) == len(alone) == 20
    assert stream(loader(root, num_workers=2), 2) == alone
    made = loader(root)
    made.sampler.set_epoch(1, first_batch=4)
    assert digests(made) == alone[14:]


def test_processes_load_the_parts_of_one_batch(root):
    alone = digests(spread(root, 1, 2))
    assert digests(loader(root, mix=False)) == alone[:10]
    assert digests(spread(root, 2, 2)) == alone


def in_turn(root, world, epochs, **options):
    """The batches of all processes, the first of each, then the second of each: mixed, so each is as it was loaded."""
    made = [loader(root, 3, rank=rank, world=world, **options) for rank in range(world)]
    for _ in range(epochs):
        for batches in zip(*made, strict=True):
            yield from batches


@pytest.mark.parametrize('repeats', [0, 3])
def test_processes_load_the_batches_that_one_accumulates(root, repeats):
    alone = digests(in_turn(root, 1, 5, accumulate=2, num_aug_repeats=repeats))
    assert len(set(alone)) == len(alone) == 100
    assert digests(in_turn(root, 2, 5, num_aug_repeats=repeats)) == alone


@pytest.mark.parametrize('packed', [False, True])
def test_threads_load_the_batches_of_an_evaluation(root, packed, tmp_path):
    source = make_tar(tmp_path / 'images.tar', root) if packed else root

    def evaluation(keyed, **options):
        dataset = create_dataset('', source)
        dataset = KeyedDataset(dataset) if keyed else dataset
        return digests(create_loader(dataset, 24, 7, device=torch.device('cpu'), **options))

    alone = evaluation(False, num_workers=0)
    for keyed in (False, True):
        state = torch.get_rng_state(), torch.get_num_threads()
        assert evaluation(keyed, num_workers=3, worker_type='thread') == alone
        assert torch.equal(torch.get_rng_state(), state[0])
        assert torch.get_num_threads() == state[1]


def test_threads_leave_damaged_images_out_and_name_them(tmp_path, caplog):
    folder = make_folder(tmp_path / 'images', numbers=range(4))
    (tmp_path / 'images' / 'dog' / 'im2.jpg').write_text('no image')
    dataset = KeyedDataset(create_dataset('', folder), damaged='skip')
    made = create_loader(dataset, 24, 5, num_workers=2, worker_type='thread', device=torch.device('cpu'))
    assert sum(len(targets) for _, targets in made) == 11
    assert dataset.damage.count == 1
    assert 'im2.jpg' in caplog.text


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:This DataLoader will create')  # more workers than this machine has processors
@pytest.mark.parametrize('context', ['fork', 'spawn'])
@pytest.mark.parametrize('workers', [1, 2, 4])
def test_a_hundred_batches_do_not_depend_on_workers(root, workers, context):
    alone = stream(loader(root), 10)
    made = loader(root, num_workers=workers)
    made.loader.multiprocessing_context = context
    assert stream(made, 10) == alone
    made.sampler.set_epoch(3, first_batch=7)
    assert digests(made) == alone[37:40]


@pytest.mark.slow
@pytest.mark.parametrize('world', [2, 3])
def test_a_hundred_batches_do_not_depend_on_processes(root, world):
    assert digests(spread(root, world, 10, num_workers=1)) == digests(spread(root, 1, 10))


@pytest.mark.slow
@pytest.mark.parametrize('repeats', [0, 3])
def test_a_hundred_mixed_batches_do_not_depend_on_processes(root, repeats):
    alone = digests(in_turn(root, 1, 5, accumulate=2, num_aug_repeats=repeats))
    assert len(alone) == 100
    assert digests(in_turn(root, 2, 5, num_aug_repeats=repeats, num_workers=1)) == alone
