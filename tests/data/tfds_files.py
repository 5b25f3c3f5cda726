"""Small datasets as `tensorflow_datasets` prepares them, made without TensorFlow; run as a program it makes one.

It is run in a process of its own, since ArrayRecord files that a process has written cannot be read in its forks.
"""

import io
import struct
import subprocess
import sys
from pathlib import Path

from PIL import Image

TOTAL = 20
SIZES = {'train': TOTAL, 'test': 4}


def encoded(number):
    """The file of a picture of one colour; that of number 99 is cut off."""
    file = io.BytesIO()
    Image.new('RGB', (9, 8), (number, 0, 0)).save(file, 'png')
    return io.BytesIO(file.getvalue()[: 40 if number == 99 else None])


def prepare(folder, kind='array_record'):
    """Prepare the dataset `tiny` below a folder."""
    import numpy as np
    import tensorflow_datasets as tfds

    class Tiny(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version('1.0.0')
        pkg_dir_path = folder

        def _info(self):
            features = {
                'image': tfds.features.Image(encoding_format='png'),
                'label': tfds.features.ClassLabel(names=['a', 'b', 'c']),
                'id': tfds.features.Text(),
                'inner': {'hot': tfds.features.Tensor(shape=(2,), dtype=np.int64)},
                'mask': tfds.features.Image(shape=(None, None, 1), encoding_format='png'),
                'pixels': tfds.features.Tensor(shape=(8, 9, 3), dtype=np.uint8),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, _):
            return {name: self._generate_examples(total) for name, total in SIZES.items()} | {
                'damaged': self._generate_examples(3, [3, 99, 5])
            }

        def _generate_examples(self, total, numbers=None):
            mask = io.BytesIO()
            Image.new('L', (9, 8), 7).save(mask, 'png')
            for i in numbers or range(total):
                yield (
                    f'{i:03d}',
                    {
                        'image': encoded(i),
                        'label': i % 3,
                        'id': f'n{i}',
                        'inner': {'hot': np.array([i % 2, 1])},
                        'mask': io.BytesIO(mask.getvalue()),
                        'pixels': np.full((8, 9, 3), i, np.uint8),
                    },
                )

    builder = Tiny(data_dir=folder, file_format=kind)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=3))


def make_array_records(folder):
    """The dataset as ArrayRecord files."""
    done = subprocess.run([sys.executable, __file__, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def as_tf_records(source, folder, masked_crc):
    """The same dataset as TFRecord files: length, its checksum, data, and a checksum that is left at 0."""
    from array_record.python.array_record_module import ArrayRecordReader

    target = Path(folder, 'tiny', '1.0.0')
    target.mkdir(parents=True)
    for file in Path(source, 'tiny', '1.0.0').iterdir():
        name = file.name.replace('array_record', 'tfrecord')
        if name == file.name:
            (target / name).write_text(file.read_text().replace('array_record', 'tfrecord'))
            continue
        reader = ArrayRecordReader(str(file))
        with (target / name).open('wb') as out:
            for record in reader.read_all():
                length = struct.pack('<Q', len(record))
                out.write(length + struct.pack('<I', masked_crc(length)) + record + bytes(4))
        reader.close()
    return folder


if __name__ == '__main__':
    prepare(*sys.argv[1:])
