"""Batches of patches: their sizes, how they are filled up, and the plan of an epoch."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from timm.data import KeyedDataset, NaFlexMapDatasetWrapper, Patchify, calculate_naflex_batch_size
from timm.data.keyed import KeyedSampler
from timm.data.naflex_dataset import NaFlexBatchSampler, NaFlexCollator

many_workers = pytest.mark.filterwarnings('ignore:This DataLoader will create')


class Numbers(Dataset):
    """Image i is filled with i, and its target is i."""

    def __init__(self, length=100):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, i):
        return torch.full((1, 4 * (1 + i % 2), 4 * (1 + i % 3)), float(i)), i


def planner(length=100, **options):
    options = {'patch_size': 4, 'seq_lens': (8, 16), 'max_tokens_per_batch': 64, 'batch_divisor': 2, **options}
    return NaFlexMapDatasetWrapper(Numbers(length), **options)


def batches_of(dataset, workers=0):
    return list(DataLoader(dataset, batch_size=None, num_workers=workers))


def shape(batch):
    return tuple(batch[0]['patches'].shape)


# How many samples.


@pytest.mark.parametrize('tokens', [1, 100, 1024, 4100])
@pytest.mark.parametrize('seq_len', [1, 49, 128, 1024])
@pytest.mark.parametrize('divisor', [1, 2, 8])
def test_batch_is_the_largest_multiple_within_the_tokens(tokens, seq_len, divisor):
    fitting = [size for size in range(divisor, tokens // seq_len + 1, divisor) if size * seq_len <= tokens]
    expected = max(fitting, default=1)
    assert calculate_naflex_batch_size(tokens, seq_len, divisor=divisor) == expected
    assert calculate_naflex_batch_size(tokens, seq_len, max_size=3, divisor=divisor) == min(expected, 3)


def test_batch_can_be_rounded_otherwise():
    # 4096 tokens are 34.1 sequences of 120.
    assert calculate_naflex_batch_size(4096, 120, divisor=8, rounding='ceil') == 40
    assert calculate_naflex_batch_size(4096, 120, divisor=8, rounding='round') == 32
    assert calculate_naflex_batch_size(4096, 120, rounding='ceil') == 34


def test_batch_sizes_that_are_none_are_refused():
    with pytest.raises(ValueError, match='seq_len 0'):
        calculate_naflex_batch_size(100, 0)
    with pytest.raises(ValueError, match=r"floor, ceil, round, got 'up'"):
        calculate_naflex_batch_size(100, 10, rounding='up')


# How a batch is made.


@pytest.mark.parametrize('flatten', [True, False])
def test_sequences_are_filled_up_with_zeros(flatten):
    images = [torch.rand(3, 4, 6), torch.rand(3, 8, 2)]
    patchify = Patchify(2, flatten_patches=flatten)
    batch, targets = NaFlexCollator(9)([(patchify(image), i) for i, image in enumerate(images)])
    assert batch['seq_len'] == 9
    assert batch['patches'].shape == (2, 9, 12) if flatten else (2, 9, 2, 2, 3)
    for i, length in enumerate((6, 4)):
        patches = patchify(images[i])['patches']
        assert torch.equal(batch['patches'][i, :length], patches)
        assert torch.equal(batch['patch_coord'][i, :length], patchify(images[i])['patch_coord'])
        assert batch['patch_valid'][i].tolist() == [True] * length + [False] * (9 - length)
        assert not batch['patches'][i, length:].any()
        assert not batch['patch_coord'][i, length:].any()
    assert [batch[name].dtype for name in ('patches', 'patch_coord', 'patch_valid')] == [
        torch.float32,
        torch.int64,
        torch.bool,
    ]
    assert (targets.tolist(), targets.dtype) == ([0, 1], torch.int64)


def test_sequences_that_are_too_long_are_cut():
    image = torch.arange(24.0).reshape(1, 4, 6)
    batch, _ = NaFlexCollator(4)([(Patchify(2)(image), 0)])
    assert torch.equal(batch['patches'][0], Patchify(2)(image)['patches'][:4])
    assert batch['patch_coord'][0].tolist() == [[0, 0], [0, 1], [0, 2], [1, 0]]
    assert NaFlexCollator()([(Patchify(2)(image), 0)])[0]['patches'].shape == (1, 576, 4)


def test_patches_marked_as_invalid_stay_so():
    sample = Patchify(2)(torch.rand(1, 4, 4))
    sample['patch_valid'][1] = False
    batch, _ = NaFlexCollator(5)([(sample, 0)])
    assert batch['patch_valid'][0].tolist() == [True, False, True, True, False]


def test_targets_are_class_indices_or_vectors():
    sample = Patchify(2)(torch.rand(1, 4, 4))
    _, targets = NaFlexCollator(5)([(sample, torch.tensor([0.25, 0.75])), (sample, torch.tensor([1.0, 0.0]))])
    assert torch.equal(targets, torch.tensor([[0.25, 0.75], [1.0, 0.0]]))
    _, targets = NaFlexCollator(5)([(sample, np.int64(3)), (sample, torch.tensor(4))])
    assert targets.tolist() == [3, 4]


def test_patches_of_two_sizes_are_no_batch():
    samples = [(Patchify(size)(torch.rand(1, 4, 4)), 0) for size in (2, 4)]
    with pytest.raises(ValueError, match=r'one size.*\(4,\), \(16,\)'):
        NaFlexCollator(5)(samples)
    with pytest.raises(ValueError, match='sequence of 0'):
        NaFlexCollator(0)


# The plan.


def published_plan(length, seed, epoch, seq_lens, tokens, divisor, patches=1):
    """Lengths drawn from a generator of the seed; order, batches and patch sizes from one of seed + epoch."""
    generator = torch.Generator().manual_seed(seed)
    left, lengths = length, []
    while left:
        seq_len = seq_lens[torch.randint(0, len(seq_lens), (1,), generator=generator)]
        size = min(max(tokens // seq_len // divisor * divisor, 1), left)
        lengths.append((seq_len, size))
        left -= size
    generator = torch.Generator().manual_seed(seed + epoch)
    order = torch.randperm(length, generator=generator).tolist()
    shapes = [lengths[i] for i in torch.randperm(len(lengths), generator=generator)]
    even = torch.full((patches,), 1 / patches)
    sizes = [int(torch.multinomial(even, 1, generator=generator)) for _ in shapes]
    starts = np.cumsum([0, *(size for _, size in shapes)])
    return [(L, patch, order[i : i + n]) for (L, n), patch, i in zip(shapes, sizes, starts[:-1], strict=True)]


@pytest.mark.parametrize('epoch', [0, 3])
@pytest.mark.parametrize('seed', [1, 42])
def test_plan_is_the_published_one(seed, epoch):
    dataset = planner(patch_size=None, patch_size_choices=[2, 4], seed=seed)
    dataset.set_epoch(epoch)
    found = [(x['seq_len'], 2 * (1 + (x['patches'].shape[2] == 4)), y.tolist()) for x, y in dataset]
    expected = published_plan(100, seed, epoch, (8, 16), 64, 2, patches=2)
    assert found == [(seq_len, (2, 4)[patch], indices) for seq_len, patch, indices in expected]
    assert len(dataset) == len(found)


def test_every_sample_is_in_an_epoch_once_and_within_the_tokens():
    dataset = planner(length=101)
    batches = batches_of(dataset)
    assert sorted(torch.cat([y for _, y in batches]).tolist()) == list(range(101))
    for x, y in batches:
        assert len(y) * x['seq_len'] <= 64
        assert len(y) % 2 == 0 or len(y) == 1
        assert torch.equal(x['patches'][:, 0, 0], y.float())
    assert {x['seq_len'] for x, _ in batches} == {8, 16}


def test_epochs_and_seeds_differ():
    dataset = planner()
    first = [(shape(batch), batch[1].tolist()) for batch in dataset]
    assert [(shape(batch), batch[1].tolist()) for batch in dataset] == first
    dataset.set_epoch(1)
    second = [(shape(batch), batch[1].tolist()) for batch in dataset]
    assert second != first
    assert Counter(s for s, _ in second) == Counter(s for s, _ in first)
    assert [(shape(batch), batch[1].tolist()) for batch in planner(seed=7)] != first


def test_batches_are_prepared_when_a_pass_begins(monkeypatch):
    dataset, asked = planner(), []
    prepare = dataset._prepare_epoch_batches
    monkeypatch.setattr(dataset, '_prepare_epoch_batches', lambda epoch: asked.append(epoch) or prepare(epoch))
    dataset.set_epoch(3)
    batches = iter(dataset)
    assert not asked
    x, y = next(batches)
    assert asked == [3]
    assert (x['seq_len'], y.tolist()) == prepare(3)[0][::2]


def test_samples_stay_in_order_where_they_are_not_shuffled():
    assert torch.cat([y for _, y in planner(shuffle=False)]).tolist() == list(range(100))


@many_workers
@pytest.mark.parametrize('workers', [1, 2, 4])
def test_batches_are_the_same_for_any_number_of_workers(workers):
    dataset = planner(length=60, patch_size=None, patch_size_choices=[2, 4])
    for (x, y), (u, v) in zip(batches_of(dataset), batches_of(dataset, workers), strict=True):
        assert torch.equal(x['patches'], u['patches'])
        assert torch.equal(y, v)


def test_workers_that_are_running_follow_the_epoch():
    dataset = planner(length=30)
    loader = DataLoader(dataset, batch_size=None, num_workers=1, persistent_workers=True)
    for epoch in (0, 2):
        dataset.set_epoch(epoch)
        expected = [y.tolist() for _, y in dataset]
        assert [y.tolist() for _, y in loader] == expected


@pytest.mark.parametrize(('length', 'world_size'), [(60, 2), (61, 3), (7, 4), (2, 4)])
def test_processes_have_batches_of_one_shape(length, world_size):
    options = dict(distributed=True, world_size=world_size, patch_size=None, patch_size_choices=[2, 4], epoch=3)
    ranks = [batches_of(planner(length=length, rank=rank, **options)) for rank in range(world_size)]
    assert len({tuple(shape(batch) for batch in batches) for batches in ranks}) == 1
    seen = Counter(i for batches in ranks for _, y in batches for i in y.tolist())
    assert sorted(seen) == list(range(length))
    assert sum(seen.values()) == math.ceil(length / world_size) * world_size


def test_processes_share_the_batches_of_one():
    alone = batches_of(planner(length=64, max_tokens_per_batch=128, batch_divisor=4))
    options = dict(length=64, max_tokens_per_batch=64, batch_divisor=2, distributed=True, world_size=2)
    shared = [batches_of(planner(rank=rank, **options)) for rank in range(2)]
    for (x, y), (u, v), (w, z) in zip(alone, *shared, strict=True):
        assert x['seq_len'] == u['seq_len'] == w['seq_len']
        assert sorted(y.tolist()) == sorted([*v.tolist(), *z.tolist()])


def test_patch_sizes_come_as_likely_as_asked_for():
    options = dict(length=4000, max_tokens_per_batch=16, patch_size=None, patch_size_choices=[2, 4])
    dataset = planner(patch_size_choice_probs=[3, 1], **options)
    small = sum(choice < 2 for choice, _ in dataset.plan(0))
    assert small / len(dataset) == pytest.approx(0.75, abs=0.04)
    assert shape(next(iter(dataset)))[2:] in ((2, 2, 1), (4, 4, 1))
    assert {choice for choice, _ in planner(patch_size_choice_probs=[0, 1], **options).plan(5)} == {2, 3}


def test_transform_is_that_of_the_batch():
    made = []

    def factory(max_seq_len, patch_size):
        made.append((max_seq_len, patch_size))
        return lambda image: torch.full((1, 4, 4), float(len(made) - 1 - made[::-1].index((max_seq_len, patch_size))))

    dataset = planner(patch_size=None, patch_size_choices=[2, 4], transform_factory=factory)
    assert made == [(8, (2, 2)), (16, (2, 2)), (8, (4, 4)), (16, (4, 4))]
    for x, _ in dataset:
        patch = tuple(x['patches'].shape[2:4])
        assert (x['patches'][x['patch_valid']] == made.index((x['seq_len'], patch))).all()


def test_mixing_sees_the_images_of_a_batch_and_the_epoch():
    class Mix:
        def set_epoch(self, epoch):
            self.epoch = epoch

        def __call__(self, images, targets):
            assert all(int(image.mean()) == target for image, target in zip(images, targets, strict=True))
            return [image + 1000 for image in images], [self.epoch] * len(targets)

    for x, y in planner(mixup_fn=Mix(), epoch=4):
        assert (y == 4).all()
        assert (x['patches'][x['patch_valid']] >= 1000).all()


def test_keys_have_the_plan_and_positions_of_their_own():
    dataset = planner(length=50)
    sampler = NaFlexBatchSampler(KeyedSampler(50, 1, shuffle=True), dataset)
    batches = list(sampler)
    assert [(batch[0].choice, len(batch)) for batch in batches] == dataset.plan(0)
    assert [key.position for batch in batches for key in batch] == list(range(50))
    assert sorted(key.index for batch in batches for key in batch) == list(range(50))
    sampler.sampler.set_epoch(0, first_batch=2)
    assert list(sampler) == batches[2:]
    assert len(sampler) == len(batches)
    assert {key.epoch for batch in sampler for key in batch} == {1}


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ({'patch_size_choices': [2]}, r'patch_size 4 or patch_size_choices \[2\]'),
        ({'patch_size': None, 'patch_size_choices': []}, 'patch_size_choices is empty'),
        ({'patch_size': None, 'patch_size_choices': [2, 4], 'patch_size_choice_probs': [1]}, '1 patch_size_choice_p'),
        ({'patch_size': None, 'patch_size_choices': [2], 'patch_size_choice_probs': [0]}, r'not all 0, got \[0\]'),
        ({'patch_size_choice_probs': [1]}, 'patch_size_choices'),
        ({'patch_size': 0}, 'patch_size'),
        ({'seq_lens': ()}, 'seq_lens'),
        ({'seq_lens': (0, 8)}, r'seq_lens.*\(0, 8\)'),
        ({'max_tokens_per_batch': 7}, r'7 tokens.*sequence of 8.*max_tokens_per_batch'),
        ({'distributed': True, 'rank': 2, 'world_size': 2}, 'rank 2 is not one of 2'),
    ],
)
def test_plans_that_are_none_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        planner(**options)


def test_datasets_without_an_index_or_with_keys_are_refused():
    with pytest.raises(TypeError, match='index'):
        NaFlexMapDatasetWrapper(iter([]))
    with pytest.raises(TypeError, match='create_naflex_loader'):
        NaFlexMapDatasetWrapper(KeyedDataset(Numbers()))
