"""A dataset of parquet files, as the package `datasets` writes them."""

import io
from contextlib import contextmanager

from PIL import Image

TOTAL = 20
SIZES = {'train': (TOTAL, 4), 'test': (4, 1)}


def encoded(number):
    """The file of a picture of one colour."""
    file = io.BytesIO()
    Image.new('RGB', (9, 8), (number, 0, 0)).save(file, 'png')
    return file.getvalue()


@contextmanager
def _quietly(datasets):
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


def make_files(folder):
    """Parquet files in `folder`/data, some for each split, and one in `folder`/damaged, its second image cut off."""
    import datasets

    features = datasets.Features(
        {
            'image': datasets.Image(),
            'label': datasets.ClassLabel(names=['a', 'b', 'c']),
            'id': datasets.Value('string'),
            'odd': datasets.Value('int64'),
            'three': datasets.Value('bool'),
        }
    )

    def row(i, split):
        image = {'bytes': encoded(i), 'path': f'p{i}.png' if split == 'train' else None}
        return {'image': image, 'label': i % 3, 'id': f'n{i}', 'odd': i % 2, 'three': i % 3 == 0}

    with _quietly(datasets):
        (folder / 'data').mkdir()
        for split, (total, shards) in SIZES.items():
            made = datasets.Dataset.from_list([row(i, split) for i in range(total)], features=features)
            for shard in range(shards):
                made.shard(shards, shard).to_parquet(folder / 'data' / f'{split}-{shard:05d}-of-{shards:05d}.parquet')
        rows = [row(i, 'train') for i in range(3)]
        rows[1]['image'] = {'bytes': encoded(1)[:40], 'path': 'broken.png'}
        (folder / 'damaged').mkdir()
        datasets.Dataset.from_list(rows, features=features).to_parquet(folder / 'damaged' / 'train.parquet')
    return folder
