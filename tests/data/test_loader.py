"""Loaders: normalised batches, the same stream for any number of workers, and nothing silent about damaged images."""

import hashlib
import json
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from pictures import make_folder
from torch.utils.data import DataLoader

from timm.data import (
    AugMixDataset,
    FastCollateMixup,
    KeyedDataset,
    create_dataset,
    create_loader,
    create_transform,
)
from timm.data._damage import DamageLog
from timm.data._decode import DamagedImageError
from timm.data.distributed_sampler import OrderedDistributedSampler, RepeatAugSampler
from timm.data.keyed import KeyedSampler, key, seeded
from timm.data.loader import MultiEpochsDataLoader, PrefetchLoader, adapt_to_chs, fast_collate

CPU = torch.device('cpu')
STRONG = dict(
    auto_augment='rand-m9-mstd0.5', interpolation='random', re_prob=0.5, re_mode='pixel', gaussian_blur_prob=0.2
)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp('images'), numbers=(1, 2, 3, 10))


def load(root, keyed=None, size=24, batch=4, **options):
    dataset = create_dataset('', str(root))
    if keyed is not None:
        dataset = KeyedDataset(dataset, **keyed)
    options = {'num_workers': 0, 'device': CPU, **options}
    return create_loader(dataset, (3, size, size), batch, **options)


def sha256(batches):
    digest = hashlib.sha256()
    for images, targets in batches:
        digest.update(images.contiguous().numpy().tobytes() + targets.numpy().tobytes())
    return digest.hexdigest()


def test_prefetcher_gives_what_the_transform_would(root):
    plain = list(load(root, use_prefetcher=False))
    on_device = list(load(root))
    assert len(plain) == len(on_device) == 3
    for (a, x), (b, y) in zip(plain, on_device, strict=True):
        assert torch.equal(x, y)
        assert torch.allclose(a, b, atol=1e-6)
        assert b.is_contiguous()
    dataset = create_dataset('', root)
    dataset.transform = create_transform(24)
    assert torch.equal(plain[0][0][1], dataset[1][0])


@pytest.mark.parametrize(
    ('options', 'dtype'), [({'fp16': True}, torch.float16), ({'img_dtype': torch.bfloat16}, torch.bfloat16)]
)
def test_prefetcher_computes_in_the_type_it_is_asked_for(root, options, dtype):
    images, _ = next(iter(load(root, **options)))
    assert images.dtype == dtype
    assert torch.allclose(images.float(), next(iter(load(root)))[0], atol=0.05)


def test_loader_for_evaluation_keeps_order_and_every_sample(root):
    loader = load(root, batch=5)
    assert isinstance(loader, PrefetchLoader)
    assert torch.cat([targets for _, targets in loader]).tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(loader) == 3
    assert loader.dataset.filename(0) == 'cat2/im1.jpg'
    assert loader.sampler is loader.loader.sampler


def test_loader_for_training_shuffles_and_drops_the_rest(root):
    torch.manual_seed(0)
    loader = load(root, batch=5, is_training=True)
    seen = torch.cat([targets for _, targets in loader]).tolist()
    assert len(seen) == 10
    assert seen != sorted(seen)
    assert isinstance(load(root, use_multi_epochs_loader=True).loader, MultiEpochsDataLoader)


def test_one_channel(root):
    dataset = create_dataset('', root, input_img_mode='L')
    loader = create_loader(dataset, (1, 24, 24), 4, mean=(0.5,), std=(0.25,), num_workers=0, device=CPU)
    images, _ = next(iter(loader))
    assert images.shape == (4, 1, 24, 24)
    assert images.min() >= -2
    assert images.max() <= 2


def test_statistics_are_adapted_to_channels(caplog):
    assert adapt_to_chs(0.5, 3) == (0.5, 0.5, 0.5)
    assert adapt_to_chs((0.1, 0.2), 2) == (0.1, 0.2)
    assert adapt_to_chs((0.5,), 3) == (0.5, 0.5, 0.5)
    assert not caplog.records
    assert adapt_to_chs((0.1, 0.3), 1) == pytest.approx((0.2,))
    assert 'average' in caplog.text


@pytest.mark.parametrize(
    'options', [{'worker_seeding': 'some'}, {'num_aug_repeats': 3}, {'batch_size_choices': [4, 2]}]
)
def test_options_that_do_not_exist_are_refused(root, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        load(root, is_training=True, **options)


# Collating.


def test_images_are_batched_as_bytes():
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    images, targets = fast_collate([(array, 1), (array + 60, 2)])
    assert (images.dtype, targets.dtype) == (torch.uint8, torch.int64)
    assert (images[1].numpy() == array + 60).all()
    pixel_order = torch.from_numpy(array.transpose(1, 2, 0).copy()).permute(2, 0, 1)
    assert torch.equal(fast_collate([(pixel_order, 0)])[0][0], torch.from_numpy(array))


def test_views_are_batched_one_after_the_other():
    view = torch.zeros(3, 2, 2, dtype=torch.uint8)
    images, targets = fast_collate([((view, view + 1), 5), ((view + 2, view + 3), 6)])
    assert images[:, 0, 0, 0].tolist() == [0, 2, 1, 3]
    assert targets.tolist() == [5, 6, 5, 6]


def test_targets_are_class_indices_or_vectors():
    image = torch.zeros(3, 2, 2, dtype=torch.uint8)
    assert fast_collate([(image, torch.tensor([0.0, 1.0]))] * 2)[1].shape == (2, 2)
    assert fast_collate([(image, np.float32(2))])[1].tolist() == [2]
    with pytest.raises(ValueError, match='class indices'):
        fast_collate([(image, 0.5)])


def test_mixing_can_be_turned_off_while_workers_run(root):
    mix = FastCollateMixup(num_classes=3, label_smoothing=0.0)
    loader = load(root, is_training=True, collate_fn=mix, num_workers=1, persistent_workers=True)
    random.seed(0)
    np.random.seed(0)
    assert loader.mixup_enabled
    assert any((targets.max(1).values < 1).any() for _, targets in loader)
    loader.mixup_enabled = False
    assert all((targets.max(1).values == 1).all() for _, targets in loader)


def test_augmented_splits(root):
    dataset = AugMixDataset(create_dataset('', root), num_splits=2)
    loader = create_loader(dataset, (3, 24, 24), 4, is_training=True, num_aug_splits=2, num_workers=0, device=CPU)
    images, targets = next(iter(loader))
    assert images.shape == (8, 3, 24, 24)
    assert torch.equal(targets[:4], targets[4:])


# Randomness by position.


def test_stream_is_the_same_for_any_number_of_workers(root):
    def stream(workers, **more):
        mix = FastCollateMixup(cutmix_alpha=1.0, num_classes=3)
        loader = load(root, {'seed': 7}, is_training=True, collate_fn=mix, num_workers=workers, **STRONG, **more)
        first = sha256(loader)
        return first, sha256(loader)

    random.seed(1)
    alone = stream(0)
    random.seed(2)
    torch.manual_seed(2)
    assert stream(1) == alone
    assert stream(2) == alone
    assert alone[0] != alone[1]


def test_seed_and_epoch_decide(root):
    def stream(seed, epoch):
        loader = load(root, {'seed': seed}, is_training=True, **STRONG)
        loader.sampler.set_epoch(epoch)
        return sha256(loader)

    assert stream(1, 3) == stream(1, 3)
    assert len({stream(1, 3), stream(2, 3), stream(1, 4)}) == 3


def test_epoch_can_be_taken_up_in_the_middle(root):
    loader = load(root, {}, is_training=True, **STRONG)
    whole = list(loader)
    loader.sampler.set_epoch(0, 1)
    rest = list(loader)
    assert len(rest) == len(whole) - 1 == 2
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(whole[1:], rest, strict=True))


def test_generators_of_the_main_process_are_left_alone(root):
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    list(load(root, {}, is_training=True, **{**STRONG, 're_prob': 0.0}))
    with seeded(5):
        random.random()
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected


def batches_of(rank, world_size, batch_size, **options):
    sampler = KeyedSampler(23, batch_size, rank=rank, world_size=world_size, **options)
    keys = list(sampler)
    assert len(keys) == len(sampler)
    return [keys[i : i + batch_size] for i in range(0, len(keys), batch_size)]


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('world_size', [2, 4])
def test_processes_share_the_batches_of_one(training, world_size):
    options = dict(shuffle=training, drop_last=training, seed=3)
    alone = batches_of(0, 1, 8, **options)
    shared = [batches_of(rank, world_size, 8 // world_size, **options) for rank in range(world_size)]
    for i, batch in enumerate(alone):
        assert [place for rank in shared for place in (rank[i] if i < len(rank) else [])] == batch
    assert sum(map(len, alone)) == (16 if training else 23)


def test_repeats_are_spread_over_the_processes():
    sampler = KeyedSampler(12, 3, shuffle=True, repeats=3, world_size=2)
    order = sampler.order(0)
    assert order[0] == order[1] == order[2] != order[3]
    assert [place.position for place in sampler][:3] == [0, 2, 4]


def test_keys_depend_on_everything_they_are_made_of():
    assert key(1, 'a', 2) == key(1, 'a', 2)
    assert len({key(1, 'a', 2), key(1, 'a', 3), key(2, 'a', 2), key(1, 'b', 2), key(12, 'a')}) == 5
    with pytest.raises(ValueError, match='rank'):
        KeyedSampler(10, 2, rank=2, world_size=2)
    with pytest.raises(TypeError, match='index'):
        KeyedDataset(iter([]))


# Damaged images.


@pytest.fixture
def damaged(tmp_path):
    """A folder of 12 images, two of which are damaged."""
    folder = make_folder(tmp_path / 'images', numbers=(1, 2, 3, 10))
    data = (tmp_path / 'images' / 'cat10' / 'im2.jpg').read_bytes()
    (tmp_path / 'images' / 'cat10' / 'im2.jpg').write_bytes(data[:300])
    (tmp_path / 'images' / 'dog' / 'im10.jpg').write_text('no image')
    return folder


@pytest.mark.parametrize('keyed', [None, {}])
@pytest.mark.parametrize('workers', [0, 1])
def test_damaged_image_stops_the_loader_by_default(damaged, keyed, workers):
    with pytest.raises(DamagedImageError, match=r'cat10/im2\.jpg'):
        list(load(damaged, keyed, num_workers=workers))


@pytest.mark.parametrize('workers', [0, 1])
def test_damaged_images_are_left_out_of_an_evaluation(damaged, workers, caplog):
    loader = load(damaged, {'damaged': 'skip'}, num_workers=workers)
    assert torch.cat([targets for _, targets in loader]).tolist() == [0] * 4 + [1] * 3 + [2] * 3
    assert loader.dataset.damage.count == 2
    assert 'im10.jpg' in caplog.text


def test_batch_of_damaged_images_alone_is_left_out(damaged):
    loader = load(damaged, {'damaged': 'skip'}, batch=1)
    assert sum(len(targets) for _, targets in loader) == 10


def test_damaged_images_are_replaced_in_a_training_by_what_their_key_draws(damaged, tmp_path):
    def run(workers, file):
        keyed = {'damaged': 'report', 'report': file}
        loader = load(damaged, keyed, is_training=True, num_workers=workers, **STRONG)
        return sha256(loader), [json.loads(line) for line in file.read_text().splitlines()]

    digest, lines = run(0, tmp_path / 'a.jsonl')
    assert run(2, tmp_path / 'b.jsonl')[0] == digest
    assert sorted(line['path'][-14:] for line in lines) == [
        'cat10/im2.jpg'.rjust(14, '/'),
        '/dog/im10.jpg'.rjust(14, 's'),
    ]
    assert all(line['cause'] and line['replacement'] is not None for line in lines)


def test_every_batch_of_a_training_is_whole(damaged):
    loader = load(damaged, {'damaged': 'skip'}, is_training=True)
    for _ in range(3):
        assert [len(targets) for _, targets in loader] == [4, 4, 4]
    assert loader.dataset.damage.count >= 6
    assert len(loader.dataset.damage.causes) == 2


def test_policies_for_damaged_images_are_three(tmp_path):
    with pytest.raises(ValueError, match='report'):
        DamageLog('ignore')
    with pytest.raises(ValueError, match='file'):
        DamageLog('report')
    with pytest.raises(ValueError, match='file'):
        DamageLog('skip', tmp_path / 'a.jsonl')


# Samplers of several processes.


@pytest.mark.parametrize(('size', 'world_size'), [(10, 3), (9, 3), (1, 4), (7, 1)])
def test_ordered_sampler_deals_every_sample_out(size, world_size):
    samplers = [OrderedDistributedSampler(range(size), world_size, rank) for rank in range(world_size)]
    dealt = [list(sampler) for sampler in samplers]
    assert len({len(share) for share in dealt}) == 1
    valid = [i for share, sampler in zip(dealt, samplers, strict=True) for i in share[: sampler.num_valid_samples]]
    assert sorted(valid) == list(range(size))


def test_repeated_augmentation_sampler():
    samplers = [RepeatAugSampler(range(300), 2, rank, shuffle=False) for rank in range(2)]
    assert [len(sampler) for sampler in samplers] == [128, 128]
    assert list(samplers[0])[:5] == [0, 0, 1, 2, 2]
    assert list(samplers[1])[:5] == [0, 1, 1, 2, 3]
    shuffled = RepeatAugSampler(range(300), 2, 0)
    before = list(shuffled)
    shuffled.set_epoch(1)
    assert list(shuffled) != before
    fractional = RepeatAugSampler(range(20), 2, 0, shuffle=False, num_repeats=2.5, selected_round=4)
    assert list(fractional) == [0, 0, 1, 2, 3, 4, 4, 5, 6, 7]


def test_repeats_need_processes_or_keys(root):
    loader = load(root, {}, is_training=True, num_aug_repeats=3)
    assert isinstance(loader.sampler, KeyedSampler)
    indices = [place.index for place in loader.sampler]
    assert len(indices) == 12
    assert len(set(indices)) == 4
    assert isinstance(load(root, use_prefetcher=False), DataLoader)


@pytest.mark.parametrize('persistent', [False, True])
def test_a_program_that_still_holds_a_loader_ends(root, persistent):
    program = (
        'import sys, torch\n'
        'from timm.data import create_dataset, create_loader\n'
        "if __name__ == '__main__':\n"
        "    dataset = create_dataset('', sys.argv[1])\n"
        f'    loader = create_loader(dataset, (3, 24, 24), 2, num_workers=1, persistent_workers={persistent},\n'
        "        device=torch.device('cpu'))\n"
        '    batches = iter(loader)\n'
        '    next(batches)\n'
    )
    done = subprocess.run([sys.executable, '-c', program, str(root)], timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
