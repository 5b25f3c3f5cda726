"""WebDataset shards: splits, parts of samples, exact counts for all numbers of processes and workers."""

import io
import json
import sys
import tarfile

import pytest
import torch
from PIL import Image
from streams import batches, check_evaluation, check_order, check_training, flat, number_of, of_process, with_workers

from timm.data import FastCollateMixup, create_dataset, create_loader, create_reader
from timm.data._decode import DamagedImageError
from timm.data.keyed import seeded
from timm.data.readers.reader_wds import WdsTargetKeyError, expand_urls

LENGTHS = (5, 9, 6, 0)
TOTAL = sum(LENGTHS)


def encoded(number, kind='png'):
    file = io.BytesIO()
    Image.new('RGB', (9, 8), (number, 2 * number, 0)).save(file, kind)
    return file.getvalue()


def write_shard(path, samples):
    """A tar of the parts of samples: (name, {part: bytes}), ..."""
    with tarfile.open(path, 'w') as tar:
        for name, parts in samples:
            for part, data in parts.items():
                info = tarfile.TarInfo(f'{name}.{part}')
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def sample(number):
    fields = {'label': number % 4, 'hot': [number % 2, 1], 'filename': f'image{number}.png', 'a': number % 2, 'b': 1}
    parts = {'cls': str(number % 3).encode(), 'json': json.dumps(fields).encode(), 'png': encoded(number)}
    return f'folder/s{number:03d}', parts


@pytest.fixture
def root(tmp_path):
    start = 0
    for shard, length in enumerate(LENGTHS):
        write_shard(tmp_path / f'x-train-{shard:03d}.tar', map(sample, range(start, start + length)))
        start += length
    return tmp_path


SHARDS = 'x-train-{000..003}.tar'


def write_info(root, **more):
    files = [f'x-train-{shard:03d}.tar' for shard in range(len(LENGTHS))]
    split = {'name': 'train', 'num_samples': TOTAL, 'filenames': files, 'shard_lengths': LENGTHS, **more}
    (root / '_info.json').write_text(json.dumps({'splits': {'train': split}}))


def make(root, **options):
    return create_dataset('wds/', str(root), **{'split': SHARDS, **options})


def test_shards_are_expanded():
    assert expand_urls('a-{08..11}.tar') == ['a-08.tar', 'a-09.tar', 'a-10.tar', 'a-11.tar']
    assert expand_urls('{a,b}{1..2}::c') == ['a1', 'a2', 'b1', 'b2', 'c']


def test_samples_come_in_order_with_their_classes(root):
    dataset = make(root)
    assert len(dataset) == TOTAL
    assert [(number_of(image), target) for image, target in dataset] == [(i, i % 3) for i in range(TOTAL)]
    assert dataset.filenames()[:2] == ['image0.png', 'image1.png']


def test_no_package_is_needed_for_local_shards(root, monkeypatch):
    monkeypatch.setitem(sys.modules, 'webdataset', None)
    assert len(list(make(root))) == TOTAL
    with pytest.raises(ImportError, match=r'timm\[readers\]'):
        list(make('http://localhost', split='x.tar|3'))


def test_every_sample_is_evaluated_once(root, monkeypatch):
    check_evaluation(lambda **options: make(root, **options), TOTAL, monkeypatch)
    # Their lengths unknown, shards are dealt out whole, or shared.
    check_evaluation(lambda **options: make(root, num_samples=TOTAL, **options), TOTAL, monkeypatch)


def test_training_fills_the_same_number_of_batches_for_each_process(root, monkeypatch):
    check_training(lambda **options: make(root, **options), TOTAL, monkeypatch)
    check_training(lambda **options: make(root, num_samples=TOTAL, **options), TOTAL, monkeypatch, all_seen=False)


def test_order_follows_from_seed_and_epoch(root):
    check_order(lambda **options: make(root, **options))


def test_batches_are_the_same_for_any_number_of_workers(root, monkeypatch):
    for options in ({}, {'is_training': True}, {'is_training': True, 'sample_shuffle_size': 4}):
        dataset = make(root, batch_size=3, **options)
        alone = with_workers(dataset, 0, monkeypatch)
        for workers in (1, 2, 4):
            assert with_workers(dataset, workers, monkeypatch) == alone


def test_running_workers_hear_of_the_epoch(root):
    dataset = make(root, batch_size=5, is_training=True)
    loader = create_loader(
        dataset, 8, 5, is_training=True, no_aug=True, num_workers=2, persistent_workers=True, use_prefetcher=False
    )
    epochs = []
    for epoch in (0, 1, 0):
        dataset.set_epoch(epoch)
        epochs.append([target.tolist() for _, target in loader])
    assert [len(targets) for targets in epochs[0]] == [5] * len(loader)
    assert epochs[0] == epochs[2] != epochs[1]
    del loader


def test_steps_and_repeats_say_how_long_an_epoch_is(root):
    assert len(batches(make(root, batch_size=4, is_training=True, max_steps=2))) == 2
    assert len(batches(make(root, batch_size=4, max_steps=2))) == 2
    assert len(batches(make(root, batch_size=4, is_training=True, repeats=3))) == 15
    with pytest.raises(ValueError, match='max_steps'):
        make(root, max_steps=0)


def test_info_file_names_splits(root, monkeypatch):
    write_info(root)
    dataset = make(root, split='train')
    assert dataset.reader.shard_lengths == LENGTHS
    assert make(root, split='x-train-00{1,2}.tar').reader.num_samples == 15
    assert [number_of(image) for image, _ in make(root, split='x-train-001.tar')] == list(range(5, 14))
    with pytest.raises(ValueError, match=r"'tain'.*did you mean 'train'"):
        make(root, split='tain')
    (root / '_info.json').write_text('{')
    with pytest.raises(ValueError, match=r'_info\.json'):
        make(root, split='train')


def test_info_files_that_are_wrong_are_found_out(root):
    write_info(root, num_samples=21)
    with pytest.raises(ValueError, match='contradicts'):
        make(root, split='train')
    write_info(root, shard_lengths=(6, 8, 6, 0))
    with pytest.raises(ValueError, match='holds 5 samples'):
        list(make(root, split='train'))
    for file in ('../x.tar', '/x.tar', 'pipe:ls'):
        write_info(root, filenames=[file, 'a', 'b', 'c'])
        with pytest.raises(ValueError, match='not below'):
            make(root, split='train')


def test_info_files_may_be_yaml(root):
    (root / 'info.yaml').write_text(
        'splits:\n  all:\n    num_samples: 5\n    filenames: [x-train-000.tar]\n    shard_lengths: [5]\n'
        '    alt_label: label\n    name: all\n'
    )
    assert [target for _, target in make(root, split='all')] == [0, 1, 2, 3, 0]


def test_targets_are_parts_or_fields(root):
    assert [t for _, t in make(root, target_key='label')][:6] == [0, 1, 2, 3, 0, 1]
    assert [t for _, t in make(root, target_key='hot')][:2] == [[0, 1], [1, 1]]
    dataset = make(root, target_key='a,b')
    assert [t for _, t in dataset][:2] == [[1], [0, 1]]
    assert dataset.reader.class_to_idx == {'a': 0, 'b': 1}
    assert [t for _, t in make(root, class_map={0: 7, 1: 8, 2: 9})][:3] == [7, 8, 9]
    dense = make(root, target_key='hot', target_format='multihot', class_map={1: 0, 0: 1})
    assert [t for _, t in dense][:2] == [[1, 0], [1, 1]]
    with pytest.raises(WdsTargetKeyError, match=r'nothing.*label'):
        list(make(root, target_key='nothing'))


def test_targets_may_be_images_or_absent(tmp_path):
    mask = io.BytesIO()
    Image.new('L', (9, 8), 7).save(mask, 'png')
    write_shard(tmp_path / 'a.tar', [('s', {'jpg': encoded(3, 'jpeg'), 'seg.png': mask.getvalue()})])
    ((image, target),) = make(tmp_path, split='a.tar', target_key='seg.png', target_img_mode='L', input_img_mode='L')
    assert (image.mode, target.mode, target.getpixel((0, 0))) == ('L', 'L', 7)
    unlabelled = [(f's{i}', {'json': b'{"label": %d}' % (i - 1), 'png': encoded(i)}) for i in range(3)]
    write_shard(tmp_path / 'b.tar', unlabelled)
    assert [t for _, t in make(tmp_path, split='b.tar', target_key='label')] == [0, 1]


def test_missing_parts_and_shards_are_named(root, tmp_path):
    write_shard(tmp_path / 'no.tar', [('s0', {'cls': b'1'}), ('s1', {'png': encoded(1)})])
    with pytest.raises(ValueError, match=r's0.*jpg or png or webp'):
        list(make(tmp_path, split='no.tar'))
    write_shard(tmp_path / 'no.tar', [('s1', {'png': encoded(1)})])
    with pytest.raises(WdsTargetKeyError, match=r"s1.*'cls'"):
        list(make(tmp_path, split='no.tar'))
    with pytest.raises(FileNotFoundError, match=r'x-train-004.tar.*x-train-000'):
        make(root, split='x-train-{000..004}.tar')
    with pytest.raises(ValueError, match='num_samples'):
        make('http://localhost', split='x.tar')
    with pytest.raises(ValueError, match='number of samples'):
        make(root, split=f'{SHARDS}|many')
    with pytest.raises(ValueError, match='root'):
        create_reader('wds/')


def test_commands_are_run_for_those_who_ask(root):
    split = '::'.join(f'pipe:cat {root}/x-train-{shard:03d}.tar' for shard in range(3))
    with pytest.raises(ValueError, match='trust_remote_code'):
        make('', split=split, num_samples=TOTAL)
    with pytest.raises(ValueError, match='trust_remote_code'):
        make('pipe:cat ', split='train')
    pytest.importorskip('webdataset')
    trusted = make('', split=split, num_samples=TOTAL, trust_remote_code=True, batch_size=5)
    assert sorted(flat(batches(trusted, workers=2))) == list(range(TOTAL))
    training = make('', split=split, num_samples=TOTAL, trust_remote_code=True, batch_size=5, is_training=True)
    assert [len(batch) for batch in batches(training)] == [5] * 4
    broken = make('', split=f'pipe:cat {root}/none.tar 2>/dev/null', num_samples=3, trust_remote_code=True)
    with pytest.raises(DamagedImageError, match=r'none\.tar'):
        list(broken)


def test_damaged_images_are_named_and_left_out(root, tmp_path):
    parts = dict(sample(2)[1], png=encoded(2)[:40])
    write_shard(tmp_path / 'd.tar', [sample(0), sample(1), ('broken', parts), sample(3)])
    with pytest.raises(DamagedImageError, match=r'd\.tar/broken'):
        list(make(tmp_path, split='d.tar'))
    report = tmp_path / 'report.jsonl'
    dataset = make(tmp_path, split='d.tar', damaged='report', report=report)
    assert [number_of(image) for image, _ in dataset] == [0, 1, 3]
    assert [json.loads(line)['path'] for line in report.read_text().splitlines()] == [f'{tmp_path}/d.tar/broken']
    training = make(tmp_path, split='d.tar', damaged='skip', is_training=True, batch_size=4)
    assert [len(batch) for batch in batches(training)] == [4]


def test_shards_that_are_cut_off_are_named(root, caplog):
    shard = root / 'x-train-001.tar'
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2 + 100])
    with pytest.raises(DamagedImageError, match=r'x-train-001\.tar'):
        list(make(root, num_samples=TOTAL))
    seen = [number_of(image) for image, _ in make(root, damaged='skip', num_samples=TOTAL)]
    assert seen[:5] == list(range(5))
    assert seen[-6:] == list(range(14, 20))
    with tarfile.open(root / 'x-train-002.tar') as tar:
        end = tar.getmembers()[9].offset
    shard.write_bytes((root / 'x-train-002.tar').read_bytes()[:end])  # between two samples
    list(make(root, split='x-train-001.tar|6'))
    assert 'no end mark' in caplog.text


def test_a_training_without_any_sample_ends(root):
    (root / 'x-train-001.tar').write_bytes(b'')
    dataset = make(root, split='x-train-001.tar', damaged='skip', is_training=True, num_samples=3)
    with pytest.raises(RuntimeError, match='no sample'):
        list(dataset)


def test_processes_take_stretches_of_an_evaluation(root):
    parts = [flat(batches(of_process(make(root, batch_size=4), rank, 3))) for rank in range(3)]
    assert flat(parts) == list(range(TOTAL))


def share_of_a_group(rank, world_size, root, results):
    """What a process of a gloo group gets to see of an evaluation and of a training, with a worker each."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', init_method=f'file://{root}/store', rank=rank, world_size=world_size)
    shares = [batches(make(root, batch_size=3, is_training=training), workers=1) for training in (False, True)]
    (results / f'{rank}.json').write_text(json.dumps(shares))
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings('ignore:This process:DeprecationWarning')  # of forking one with threads
@pytest.mark.parametrize('world_size', [1, 2, 3])
def test_processes_of_a_group_see_each_sample(root, tmp_path_factory, world_size):
    write_info(root)
    results = tmp_path_factory.mktemp('results')
    torch.multiprocessing.start_processes(
        share_of_a_group, (world_size, root, results), nprocs=world_size, start_method='fork'
    )
    shares = [json.loads((results / f'{rank}.json').read_text()) for rank in range(world_size)]
    evaluations, trainings = zip(*shares, strict=True)
    assert sorted(flat(flat(evaluations))) == list(range(TOTAL))
    steps = -(-TOTAL // (3 * world_size))
    assert all([len(batch) for batch in training] == [3] * steps for training in trainings)
    assert set(flat(flat(trainings))) == set(range(TOTAL))


def test_a_keyed_training_draws_the_same_for_any_number_of_workers(root):
    def epoch(number, workers, keyed=True):
        dataset = make(root, is_training=True, batch_size=2, keyed=keyed)
        mix = FastCollateMixup(num_classes=3, mode='elem')
        strong = dict(auto_augment='rand-m9-mstd0.5-inc1', collate_fn=mix, device=torch.device('cpu'), re_prob=0.5)
        made = create_loader(dataset, 16, 2, is_training=True, num_workers=workers, persistent_workers=False, **strong)
        dataset.set_epoch(number)
        with seeded(5):
            return [(images.clone(), targets) for images, targets in made]

    alone = epoch(0, 0)
    for workers in (1, 2):
        found = epoch(0, workers)
        assert len(found) == len(alone) > 2
        for one, other in zip(alone, found, strict=True):
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[1], other[1])
    assert not all(torch.equal(one[0], other[0]) for one, other in zip(alone, epoch(1, 0), strict=True))
    assert not all(torch.equal(one[0], other[0]) for one, other in zip(epoch(0, 1, keyed=False), alone, strict=True))
