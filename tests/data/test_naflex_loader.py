"""Loaders of patches: the device does what the transform would, and the stream is the same wherever it is made."""

import hashlib
import random

import numpy as np
import pytest
import torch
from pictures import make_folder
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset

from timm.data import KeyedDataset, NaFlexMixup, create_dataset, create_naflex_loader
from timm.data._decode import DamagedImageError
from timm.data.keyed import KeyedSampler
from timm.data.naflex_dataset import NaFlexMapDatasetWrapper
from timm.data.naflex_loader import NaFlexPrefetchLoader

CPU = torch.device('cpu')
STRONG = dict(auto_augment='rand-m9-mstd0.5', interpolation='random', re_prob=0.6, re_mode='pixel', re_count=2)
many_workers = pytest.mark.filterwarnings('ignore:This DataLoader will create')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp('images'), numbers=(1, 2, 3, 10), size=(60, 90))


def load(root, keyed=None, **options):
    dataset = create_dataset('', str(root))
    if keyed is not None:
        dataset = KeyedDataset(dataset, **keyed)
    options = {'batch_size': 2, 'max_seq_len': 16, 'train_seq_lens': (4, 9, 16), 'num_workers': 0, **options}
    return create_naflex_loader(dataset, device=CPU, **options)


def train(root, keyed=None, **options):
    return load(root, keyed, is_training=True, **options)


def content(batches):
    """What is in each batch, as a digest."""
    found = []
    for x, y in batches:
        tensors = (x['patches'], x['patch_coord'], x['patch_valid'], y)
        data = b''.join(tensor.contiguous().numpy().tobytes() for tensor in tensors)
        found.append((x['seq_len'], tuple(x['patches'].shape), hashlib.sha256(data).hexdigest()))
    return found


# Evaluation.


@pytest.mark.parametrize('channels_last', [True, False])
def test_evaluation_has_the_patches_of_the_resized_images(root, channels_last):
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    loader = load(root, mean=mean, std=std, patchify_channels_last=channels_last)
    assert isinstance(loader, NaFlexPrefetchLoader)
    assert len(loader) == 6
    x, y = next(iter(loader))
    assert y.tolist() == [0, 0]
    # Of 62 x 90 pixels, 3 x 5 patches are the most that 16 have room for: 4 x 5 would be 20.
    image = Image.open(loader.dataset.filename(1, absolute=True)).resize((48, 80), Image.Resampling.BILINEAR)
    pixels = (np.asarray(image) / 255 - mean) / std
    assert x['patch_valid'][1].tolist() == [True] * 15 + [False]
    for i, (row, column) in enumerate(x['patch_coord'][1, :15].tolist()):
        patch = pixels[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        expected = patch.ravel() if channels_last else patch.transpose(2, 0, 1).ravel()
        assert np.allclose(x['patches'][1, i].numpy(), expected, atol=1e-5)
    assert x['patch_coord'][1, :15].tolist() == [[row, column] for row in range(5) for column in range(3)]


def test_prefetcher_gives_what_the_transform_would(root):
    for (x, y), (u, v) in zip(load(root), load(root, use_prefetcher=False), strict=True):
        valid = x['patch_valid']
        assert torch.allclose(x['patches'][valid], u['patches'][valid], atol=1e-6)
        assert torch.equal(valid, u['patch_valid'])
        assert torch.equal(x['patch_coord'], u['patch_coord'])
        assert torch.equal(y, v)
        # What fills up is black where the device normalises, and zero where the transform does.
        black = -torch.tensor([0.485 / 0.229, 0.456 / 0.224, 0.406 / 0.225])
        assert torch.allclose(x['patches'][~valid].unflatten(1, (-1, 3)), black)
        assert not u['patches'][~valid].any()


def test_bytes_stay_bytes_until_the_device(root):
    for loader in (load(root), train(root), train(root, {}), train(root, mixup_fn=NaFlexMixup(num_classes=3))):
        assert next(iter(loader.loader))[0]['patches'].dtype == torch.uint8
        assert next(iter(loader))[0]['patches'].dtype == torch.float32
    assert next(iter(load(root, img_dtype=torch.bfloat16)))[0]['patches'].dtype == torch.bfloat16


def test_evaluation_has_one_patch_size(root):
    assert next(iter(load(root, patch_size_choices=[8])))[0]['patches'].shape[2] == 192
    assert next(iter(load(root, patch_size_choices=[8, 16])))[0]['patches'].shape[2] == 768
    with pytest.raises(ValueError, match=r'16 is none of \[8, 32\].*patch_size'):
        load(root, patch_size_choices=[8, 32])


@pytest.mark.parametrize('keyed', [None, {}])
def test_processes_share_an_evaluation(root, keyed):
    shares = [load(root, keyed, distributed=True, rank=rank, world_size=2, batch_size=3) for rank in range(2)]
    targets = [torch.cat([y for _, y in loader]).tolist() for loader in shares]
    assert sorted(targets[0] + targets[1]) == [0] * 4 + [1] * 4 + [2] * 4


# Training.


def test_training_has_batches_of_several_shapes(root):
    loader = train(root, use_prefetcher=False, patch_size_choices=[8, 16])
    assert isinstance(loader, DataLoader)
    assert isinstance(loader.dataset, NaFlexMapDatasetWrapper)
    shapes = set()
    for epoch in range(4):
        loader.dataset.set_epoch(epoch)
        batches = list(loader)
        assert len(batches) == len(loader)
        assert sorted(torch.cat([y for _, y in batches]).tolist()) == [0] * 4 + [1] * 4 + [2] * 4
        for x, y in batches:
            assert len(y) * x['seq_len'] <= 2 * 16
            assert x['patch_valid'].sum(1).min() > x['seq_len'] // 3
            shapes.add((x['seq_len'], x['patches'].shape[2]))
    assert {patch for _, patch in shapes} == {8, 16}
    assert len({length for length, _ in shapes}) > 1


def test_erasing_is_of_patches_and_of_training(root):
    options = dict(mean=(0.0,) * 3, std=(1.0,) * 3, re_prob=1.0, color_jitter=None)
    found = [(x['patches'][x['patch_valid']] == 0).all(1).any() for x, _ in train(root, **options)]
    assert all(found)
    assert not any((x['patches'][x['patch_valid']] == 0).all(1).any() for x, _ in train(root, no_aug=True, **options))
    assert not any((x['patches'][x['patch_valid']] == 0).all(1).any() for x, _ in load(root, **options))


@pytest.mark.parametrize('choices', [{}, {'patch_size_choices': [8, 16]}])
def test_colours_of_erased_patches_are_those_of_channels_in_either_order(root, choices):
    options = dict(re_prob=1.0, re_mode='rand', **choices)
    found = []
    for channels_last in (True, False):
        torch.manual_seed(1)
        random.seed(1)
        x, _ = next(iter(train(root, patchify_channels_last=channels_last, **options)))
        patches = x['patches']
        if patches.ndim == 3:
            patches = patches.unflatten(2, (16, 16, 3) if channels_last else (3, 16, 16))
        found.append(patches if channels_last else patches.permute(0, 1, 3, 4, 2))
    assert torch.equal(*found)


def test_mixing_makes_targets_dense(root):
    for x, y in train(root, mixup_fn=NaFlexMixup(num_classes=3, label_smoothing=0.1)):
        assert y.shape == (len(x['patches']), 3)
        assert torch.allclose(y.sum(1), torch.ones(len(y)))


# Randomness by position.


@pytest.fixture(scope='module')
def alone(root):
    """The first two epochs as one process makes them without workers."""
    loader = train(root, {'seed': 7}, **everything())
    return content(loader), content(loader)


def everything():
    return dict(patch_size_choices=[8, 16], mixup_fn=NaFlexMixup(num_classes=3), **STRONG)


def test_epochs_and_seeds_differ(root, alone):
    assert alone[0] != alone[1]
    assert content(train(root, {'seed': 8}, **everything())) != alone[0]
    loader = train(root, {'seed': 7}, epoch=1, **everything())
    assert content(loader) == alone[1]


@many_workers
@pytest.mark.parametrize('workers', [1, 2, 4])
def test_stream_is_the_same_for_any_number_of_workers(root, alone, workers):
    random.seed(workers)
    np.random.seed(workers)
    torch.manual_seed(workers)
    loader = train(root, {'seed': 7}, num_workers=workers, **everything())
    assert (content(loader), content(loader)) == alone


def test_stream_is_the_same_for_workers_that_are_spawned(root, alone):
    loader = train(root, {'seed': 7}, num_workers=1, persistent_workers=False, **everything())
    loader.loader.multiprocessing_context = 'spawn'
    assert content(loader) == alone[0]


@pytest.mark.parametrize('workers', [0, 1])
def test_epoch_can_be_taken_up_in_the_middle(root, alone, workers):
    loader = train(root, {'seed': 7}, num_workers=workers, **everything())
    assert isinstance(loader.sampler, KeyedSampler)
    loader.sampler.set_epoch(1, first_batch=2)
    assert content(loader) == alone[1][2:]


def test_shapes_do_not_depend_on_keys(root, alone):
    shapes = [(length, shape) for length, shape, _ in content(train(root, **everything()))]
    assert shapes == [(length, shape) for length, shape, _ in alone[0]]


def test_processes_have_batches_of_one_shape_and_all_samples(root):
    options = dict(distributed=True, world_size=2, batch_size=1, patch_size_choices=[8, 16])
    for keyed in (None, {}):
        ranks = [list(train(root, keyed, rank=rank, **options)) for rank in range(2)]
        shapes = [[(x['seq_len'], x['patches'].shape) for x, _ in batches] for batches in ranks]
        assert shapes[0] == shapes[1]
        targets = torch.cat([y for batches in ranks for _, y in batches])
        assert sorted(targets.tolist()) == [0] * 4 + [1] * 4 + [2] * 4


@pytest.fixture
def damaged(tmp_path):
    """A folder of 12 images, two of which are damaged."""
    folder = make_folder(tmp_path, numbers=(1, 2, 3, 10), size=(60, 90))
    (tmp_path / 'cat10' / 'im2.jpg').write_bytes((tmp_path / 'cat10' / 'im2.jpg').read_bytes()[:300])
    (tmp_path / 'dog' / 'im10.jpg').write_text('no image')
    return folder


@pytest.mark.parametrize('workers', [0, 1])
def test_damaged_images_are_replaced_in_a_training_and_left_out_of_an_evaluation(damaged, workers):
    loader = train(damaged, {'damaged': 'skip'}, num_workers=workers, **STRONG)
    assert sum(len(y) for _, y in loader) == 12
    assert loader.dataset.damage.count >= 2
    loader = load(damaged, {'damaged': 'skip'}, num_workers=workers)
    assert sum(len(y) for _, y in loader) == 10
    assert loader.dataset.damage.count == 2
    with pytest.raises(DamagedImageError, match=r'im\d+\.jpg'):
        list(train(damaged, num_workers=workers))


# Refused.


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ({'num_aug_repeats': 3}, 'num_aug_repeats'),
        ({'num_aug_splits': 2}, 'num_aug_splits'),
        ({'re_split': True}, 're_split'),
        ({'worker_seeding': 'some'}, 'worker_seeding'),
        ({'batch_size': 0}, 'batch_size 0'),
        ({'train_seq_lens': ()}, r'seq_lens.*\(\)'),
        ({'patch_size': 16, 'patch_size_choices': [16]}, 'not both'),
        ({'re_prob': 0.5, 're_mode': 'some'}, "'some'"),
    ],
)
def test_options_that_do_not_go_with_patches_are_refused(root, options, named):
    with pytest.raises(ValueError, match=named):
        train(root, **options)


def test_streams_without_an_index_are_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([])

    with pytest.raises(TypeError, match='index'):
        create_naflex_loader(Stream(), num_workers=0, device=CPU)


def test_patches_in_another_order_are_refused():
    batch = {
        'patches': torch.zeros(1, 4, 3, 2, 2),
        'patch_coord': torch.zeros(1, 4, 2),
        'patch_valid': torch.ones(1, 4),
    }
    with pytest.raises(ValueError, match=r'3 channels.*\(1, 4, 3, 2, 2\).*patchify_channels_last'):
        next(iter(NaFlexPrefetchLoader([(batch, torch.zeros(1))], device=CPU)))
