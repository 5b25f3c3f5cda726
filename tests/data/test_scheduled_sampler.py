"""Batches of several image and batch sizes: what is planned, and that it does not depend on who loads."""

import hashlib
import math
import random
from collections import Counter

import pytest
import torch
from pictures import make_folder
from torch.utils.data import Dataset, IterableDataset, SequentialSampler
from torch.utils.data.distributed import DistributedSampler

from timm.data import (
    FastCollateMixup,
    KeyedDataset,
    ScheduledBatchSampler,
    ScheduledTransformDataset,
    create_dataset,
    create_loader,
)
from timm.data.keyed import KeyedSampler

CPU = torch.device('cpu')
SIZES = (8, 4, 2)
many_workers = pytest.mark.filterwarnings('ignore:This DataLoader will create')


def sampler(length=100, sizes=SIZES, **options):
    return ScheduledBatchSampler(SequentialSampler(range(length)), sizes, **options)


def as_plan(batches):
    """(choice, samples) of batches of (index, choice)."""
    found = []
    for batch in batches:
        (choice,) = {choice for _, choice in batch}
        found.append((choice, len(batch)))
    return found


# Plans.


def published_plan(length, sizes, weights, seed, epoch):
    """Choices that fit drawn from a generator of the seed, their order from one of seed + 2 epoch + 1."""
    generator = torch.Generator().manual_seed(seed)
    left, plan = length, []
    while fitting := [i for i, size in enumerate(sizes) if size <= left]:
        chances = torch.tensor([weights[i] for i in fitting], dtype=torch.float64)
        choice = fitting[torch.multinomial(chances / sum(weights), 1, generator=generator)]
        plan.append((choice, sizes[choice]))
        left -= sizes[choice]
    order = torch.randperm(len(plan), generator=torch.Generator().manual_seed(seed + 2 * epoch + 1))
    return plan, [plan[i] for i in order]


def test_choices_are_drawn_when_a_pass_begins():
    class Noting(ScheduledBatchSampler):
        drawn = ()

        def _create_fixed_batch_schedule(self, epoch):
            self.drawn = (*self.drawn, epoch)
            return super()._create_fixed_batch_schedule(epoch)

    noting = Noting(SequentialSampler(range(32)), SIZES, num_batches=4)
    noting.set_epoch(2)
    batches = iter(noting)
    assert noting.drawn == ()
    next(batches)
    assert noting.drawn == (2,)


@pytest.mark.parametrize('epoch', [0, 5])
@pytest.mark.parametrize('seed', [0, 9])
def test_plan_is_the_published_one(seed, epoch):
    scheduled = sampler(97, choice_weights=(1, 2, 1), seed=seed)
    scheduled.set_epoch(epoch)
    schedule, ordered = published_plan(97, SIZES, (1, 2, 1), seed, epoch)
    assert list(scheduled.schedule) == schedule
    assert as_plan(scheduled) == ordered
    assert len(scheduled) == len(ordered)


@pytest.mark.parametrize('length', [1, 2, 3, 7, 101])
@pytest.mark.parametrize('drop_last', [True, False])
def test_samples_are_used_up(length, drop_last):
    if drop_last and length == 1:
        with pytest.raises(ValueError, match=r'1 samples fill no batch of \(8, 4, 2\).*drop_last=False'):
            sampler(length)
        return
    scheduled = sampler(length, drop_last=drop_last, shuffle_schedule=False)
    batches = list(scheduled)
    used = length if not drop_last else length - length % 2
    assert [index for batch in batches for index, _ in batch] == list(range(used))
    whole = batches if drop_last else batches[:-1]
    assert all(size == SIZES[choice] for choice, size in as_plan(whole))


def test_order_changes_from_epoch_to_epoch():
    scheduled = sampler()
    first = as_plan(scheduled)
    assert as_plan(scheduled) == first
    scheduled.set_epoch(1)
    assert as_plan(scheduled) != first
    assert Counter(as_plan(scheduled)) == Counter(first)
    plain = sampler(shuffle_schedule=False)
    plain.set_epoch(1)
    assert tuple(as_plan(plain)) == plain.schedule == tuple(first_drawn())


def first_drawn():
    return published_plan(100, SIZES, (1, 1, 1), 0, 0)[0]


def test_choices_come_as_likely_as_asked_for():
    scheduled = sampler(choice_weights=(1, 0, 3), num_batches=4000)
    chosen = Counter(choice for choice, _ in scheduled.schedule)
    assert set(chosen) == {0, 2}
    assert chosen[2] / 4000 == pytest.approx(0.75, abs=0.03)
    assert scheduled.average_batch_size == pytest.approx(0.25 * 8 + 0.75 * 2)


def test_number_of_batches_can_be_fixed():
    scheduled = sampler(30, num_batches=12)
    assert len(scheduled) == 12
    schedules = []
    for epoch in range(3):
        scheduled.set_epoch(epoch)
        batches = list(scheduled)
        indices = [index for batch in batches for index, _ in batch]
        assert indices == [i % 30 for i in range(len(indices))]
        assert all(size == SIZES[choice] for choice, size in as_plan(batches))
        schedules.append(scheduled.schedule)
    assert len(set(schedules)) == 3


def bell(choices, epoch, epochs, spread, mix):
    center = (epoch / (epochs - 1) if epochs > 1 else 1) * (choices - 1)
    heights = [math.exp(-((i - center) ** 2) / (2 * spread**2)) for i in range(choices)]
    return [(1 - mix) * height / sum(heights) + mix / choices for height in heights]


@pytest.mark.parametrize('epochs', [1, 2, 6])
def test_progressive_schedule_moves_from_the_first_choice_to_the_last(epochs):
    options = dict(choice_schedule='progressive', schedule_epochs=epochs)
    scheduled = sampler(1000, schedule_spread=0.8, schedule_random_mix=0.2, **options)
    sizes = []
    for epoch in range(epochs + 2):
        expected = bell(3, min(epoch, epochs - 1), epochs, 0.8, 0.2)
        assert scheduled.choice_weights_for_epoch(epoch).tolist() == pytest.approx(expected)
        sizes.append(sum(p * size for p, size in zip(expected, SIZES, strict=True)))
    average = sum(sizes[:epochs]) / epochs
    assert scheduled.average_batch_size == pytest.approx(average)
    assert len(scheduled) == int(1000 / average)
    scheduled.set_epoch(epochs - 1)
    chosen = Counter(choice for choice, _ in scheduled.schedule)
    assert chosen.most_common(1)[0][0] == 2


def test_progressive_schedule_can_have_one_choice_at_a_time():
    options = dict(choice_schedule='progressive', schedule_epochs=5, schedule_spread=0, schedule_random_mix=0)
    scheduled = sampler(**options)
    found = [scheduled.choice_weights_for_epoch(epoch).tolist() for epoch in range(5)]
    assert found == [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
    scheduled = sampler(choice_weights=(1, 0, 1), **options)
    assert scheduled.choice_weights_for_epoch(2).tolist() == [1, 0, 0]


def test_processes_have_one_plan():
    ranks = [
        ScheduledBatchSampler(DistributedSampler(range(101), 2, rank), SIZES, choice_weights=(1, 2, 1), seed=3)
        for rank in range(2)
    ]
    seen = []
    for epoch in range(3):
        for scheduled in ranks:
            scheduled.set_epoch(epoch)
        batches = [list(scheduled) for scheduled in ranks]
        assert as_plan(batches[0]) == as_plan(batches[1])
        seen.append(batches[0][0][0][0])
    assert len(set(seen)) > 1  # set_epoch reaches the sampler


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ({'length': 0}, 'empty'),
        ({'sizes': ()}, r'batch_sizes.*\(\)'),
        ({'sizes': (4, 0)}, r'\(4, 0\)'),
        ({'sizes': (2.5,)}, r'\(2\.5,\)'),
        ({'choice_weights': (1, 2)}, '2 choice_weights for 3 batch_sizes'),
        ({'choice_weights': (0, 0, 0)}, 'not all 0'),
        ({'choice_weights': (1, -1, 1)}, r'\(1, -1, 1\)'),
        ({'choice_weights': (1, math.nan, 1)}, 'nan'),
        ({'num_batches': 0}, 'num_batches.*got 0'),
        ({'choice_schedule': 'some'}, "'some'"),
        ({'choice_schedule': 'progressive'}, 'schedule_epochs.*None'),
        ({'choice_schedule': 'progressive', 'schedule_epochs': 0}, 'schedule_epochs.*0'),
        ({'choice_schedule': 'progressive', 'schedule_epochs': 2, 'sizes': (4,)}, 'at least two'),
        ({'choice_schedule': 'progressive', 'schedule_epochs': 2, 'schedule_spread': -1}, 'schedule_spread.*-1'),
        ({'choice_schedule': 'progressive', 'schedule_epochs': 2, 'schedule_random_mix': 2}, 'schedule_random_mix'),
        ({'choice_schedule': 'progressive', 'schedule_epochs': 2, 'length': 3}, '3 samples fill no batch'),
    ],
)
def test_schedules_that_are_none_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        sampler(**options)


# Keys.


def keys_of(rank=0, world_size=1, sizes=SIZES, epoch=0, first_batch=0, **options):
    keys = KeyedSampler(40, 1, shuffle=True, drop_last=True, rank=rank, world_size=world_size, **options)
    scheduled = ScheduledBatchSampler(keys, sizes, seed=2)
    keys.set_epoch(epoch, first_batch)
    return list(scheduled)


def test_keys_follow_the_plan_from_any_batch_on():
    whole = keys_of(epoch=1)
    _, ordered = published_plan(40, SIZES, (1, 1, 1), 2, 1)
    assert [(batch[0].choice, len(batch)) for batch in whole] == ordered
    assert [key.position for batch in whole for key in batch] == list(range(40))
    assert sorted(key.index for batch in whole for key in batch) == list(range(40))
    assert {key.epoch for batch in whole for key in batch} == {1}
    assert keys_of(epoch=1, first_batch=3) == whole[3:]


def test_keyed_epochs_count_themselves():
    keys = KeyedSampler(40, 1, shuffle=True)
    scheduled = ScheduledBatchSampler(keys, SIZES, seed=2)
    assert [list(scheduled), list(scheduled)] == [keys_of(), keys_of(epoch=1)]
    scheduled.set_epoch(1)
    assert list(scheduled) == keys_of(epoch=1)


@pytest.mark.parametrize('world_size', [2, 4])
def test_processes_share_the_keys_of_one(world_size):
    alone = keys_of(sizes=(8, 4))
    shared = [keys_of(rank, world_size, sizes=(8 // world_size, 4 // world_size)) for rank in range(world_size)]
    for batch, *parts in zip(alone, *shared, strict=True):
        assert [key for part in parts for key in part] == batch


def test_keys_go_on_where_a_plan_takes_more_samples():
    keys = KeyedSampler(5, 1)
    batches = list(ScheduledBatchSampler(keys, (4,), num_batches=3))
    assert [key.position for batch in batches for key in batch] == list(range(12))
    assert [key.index for batch in batches for key in batch] == [i % 5 for i in range(12)]


def test_keyed_repeats_are_spread_over_the_processes():
    ranks = [keys_of(rank, 2, sizes=(2,), repeats=2) for rank in range(2)]
    assert [key.position for key in ranks[0][0]] == [0, 2]
    assert [key.index for key in ranks[0][0]] == [key.index for key in ranks[1][0]]


# The dataset.


class Numbers(Dataset):
    def __init__(self, kind=tuple):
        self.kind = kind

    def __len__(self):
        return 5

    def __getitem__(self, i):
        return self.kind((i, -i, 'more'))

    def set_epoch(self, epoch):
        self.epoch = epoch

    def filename(self, index, basename=False, absolute=False):
        return f'{index} {basename} {absolute}'

    def filenames(self, basename=False, absolute=False):
        return [self.filename(i, basename, absolute) for i in range(5)]


@pytest.mark.parametrize('kind', [tuple, list])
def test_dataset_transforms_by_choice(kind):
    dataset = ScheduledTransformDataset(Numbers(kind), [lambda x: x + 10, lambda x: x + 20])
    assert dataset[3, 0] == kind((13, -3, 'more'))
    assert dataset[3, 1] == kind((23, -3, 'more'))
    assert len(dataset) == 5


def test_dataset_passes_on_what_is_asked_of_the_one_inside():
    dataset = ScheduledTransformDataset(Numbers(), [str])
    dataset.set_epoch(4)
    assert dataset.dataset.epoch == 4
    assert dataset.filename(2, absolute=True) == '2 False True'
    assert dataset.filenames(basename=True)[1] == '1 True False'
    ScheduledTransformDataset([1, 2], [str]).set_epoch(1)


def test_dataset_refuses_what_no_batch_sampler_asks_for():
    dataset = ScheduledTransformDataset(Numbers(), [str])
    with pytest.raises(TypeError, match=r'\(index, choice\).* got 3'):
        dataset[3]
    for choice in (1, -1):
        with pytest.raises(IndexError, match=f'no transform {choice}'):
            dataset[3, choice]
    with pytest.raises(ValueError, match='one transform'):
        ScheduledTransformDataset(Numbers(), [])


# The loader.


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp('images'), numbers=(1, 2, 3, 10))


CHOICES = dict(input_size_choices=[16, (24, 24), (3, 32, 40)], batch_size_choices=[6, 4, 2])
STRONG = dict(auto_augment='rand-m9-mstd0.5', interpolation='random', re_prob=0.5, re_mode='pixel')


def load(root, keyed=None, **options):
    dataset = create_dataset('', str(root))
    if keyed is not None:
        dataset = KeyedDataset(dataset, **keyed)
    return create_loader(
        dataset, (3, 32, 32), 4, **{'is_training': True, 'num_workers': 0, 'device': CPU, **CHOICES, **options}
    )


def content(loader):
    found = []
    for images, targets in loader:
        digest = hashlib.sha256(images.contiguous().numpy().tobytes() + targets.numpy().tobytes())
        found.append((tuple(images.shape), digest.hexdigest()))
    return found


@pytest.mark.parametrize('keyed', [None, {}])
def test_loader_has_batches_of_several_sizes(root, keyed):
    shapes = {(6, 3, 16, 16), (4, 3, 24, 24), (2, 3, 32, 40)}
    loader = load(root, keyed, batch_choice_seed=1)
    assert {tuple(images.shape) for images, _ in loader} == shapes
    assert len(loader) == 3
    plain = load(root, keyed, batch_size_choices=None, num_batches=6, use_prefetcher=False)
    found = [tuple(images.shape) for images, _ in plain]
    assert len(found) == len(plain) == 6
    assert set(found) <= {(4, *shape[1:]) for shape in shapes}


def test_loader_has_the_schedule_asked_for(root):
    loader = load(
        root,
        batch_choice_schedule='progressive',
        batch_schedule_epochs=3,
        batch_schedule_spread=0,
        batch_schedule_random_mix=0,
        num_batches=4,
    )
    for epoch, size in enumerate((16, 24, 32)):
        loader.batch_sampler.set_epoch(epoch)
        assert {images.shape[2] for images, _ in loader} == {size}
    assert len(content(load(root, batch_choice_weights=[0, 1, 0]))) == 3


def test_dataset_is_transformed_once(root):
    dataset = create_dataset('', root, transform=lambda image: 'transformed')
    loader = create_loader(dataset, (3, 32, 32), 4, is_training=True, num_workers=0, device=CPU, **CHOICES)
    assert next(iter(loader))[0].dtype == torch.float32


def everything():
    return dict(collate_fn=FastCollateMixup(cutmix_alpha=1.0, num_classes=3), num_batches=4, **STRONG)


@pytest.fixture(scope='module')
def alone(root):
    loader = load(root, {'seed': 7}, **everything())
    return content(loader), content(loader)


@many_workers
@pytest.mark.parametrize('workers', [1, 2, 4])
def test_stream_is_the_same_for_any_number_of_workers(root, alone, workers):
    random.seed(workers)
    torch.manual_seed(workers)
    loader = load(root, {'seed': 7}, num_workers=workers, **everything())
    assert (content(loader), content(loader)) == alone
    assert alone[0] != alone[1]


def test_stream_is_the_same_for_workers_that_are_spawned(root, alone):
    loader = load(root, {'seed': 7}, num_workers=1, persistent_workers=False, **everything())
    loader.loader.multiprocessing_context = 'spawn'
    assert content(loader) == alone[0]


@pytest.mark.parametrize('workers', [0, 1])
def test_epoch_can_be_taken_up_in_the_middle(root, alone, workers):
    loader = load(root, {'seed': 7}, num_workers=workers, **everything())
    assert isinstance(loader.sampler, KeyedSampler)
    loader.sampler.set_epoch(1, first_batch=2)
    assert content(loader) == alone[1][2:]


def test_damaged_images_are_replaced_by_one_of_their_batch_size(tmp_path):
    folder = make_folder(tmp_path, numbers=(1, 2, 3, 10))
    (tmp_path / 'dog' / 'im10.jpg').write_text('no image')
    loader = load(folder, {'damaged': 'skip'}, batch_choice_seed=1)
    assert sum(len(targets) for _, targets in loader) == 12
    assert loader.dataset.damage.count == 1


def test_repeats_go_with_several_sizes(root):
    loader = load(root, {}, num_aug_repeats=3)
    indices = [key.index for batch in loader.batch_sampler for key in batch]
    assert len(set(indices)) == 4


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ({'is_training': False}, 'training'),
        ({'num_aug_splits': 2}, 'num_aug_splits'),
        ({'use_multi_epochs_loader': True}, 'persistent_workers'),
        ({'input_size_choices': []}, 'input_size_choices is empty'),
        ({'input_size_choices': [16]}, '3 batch_size_choices for 1 input_size_choices'),
        ({'batch_choice_weights': [1]}, '1 batch_choice_weights for 3'),
        ({'input_size_choices': [16, 24, 0]}, 'got 0'),
        ({'input_size_choices': [16, 24, 'big']}, "got 'big'"),
        ({'input_size_choices': [16, 24, (1, 32, 32)]}, r'3 channels.*\(1, 32, 32\) has 1'),
        ({'input_size_choices': None}, 'batch_size_choices.*input_size_choices'),
        ({'input_size_choices': None, 'batch_size_choices': None, 'num_batches': 3}, 'num_batches'),
        (
            {'input_size_choices': None, 'batch_size_choices': None, 'batch_choice_schedule': 'progressive'},
            'progressive',
        ),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(root, options, named):
    with pytest.raises(ValueError, match=named):
        load(root, **options)


def test_streams_have_one_size():
    with pytest.raises(ValueError, match='iterable'):
        create_loader(Stream(), (3, 32, 32), 4, is_training=True, num_workers=0, device=CPU, **CHOICES)
