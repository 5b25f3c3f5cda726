"""Images in TensorFlow datasets, read without TensorFlow.

What `tensorflow_datasets` has prepared lies in files of two kinds, ArrayRecord and TFRecord. Both are read here record
by record, images stay encoded until PIL decodes them like those of any other reader, and no TensorFlow runs in the
workers. TensorFlow itself is needed to prepare a dataset as TFRecord.
"""

import io
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from timm.data._decode import DamagedImageError, decode

from ._hfds import get_class_labels
from ._labels import ClassMap, Labels, fields_named
from ._stream import RawSample, StreamReader, Wanted
from .targets import get_field, has_field

__all__ = ['SHUFFLE_SIZE', 'ReaderTfds']

SHUFFLE_SIZE = int(os.environ.get('TFDS_SHUFFLE_SIZE', '8192'))

# An ArrayRecord file, which has an index, is dealt out in pieces of so many records.
_RECORDS = 128


class _Piece(NamedTuple):
    """Records of one file: `length` of them from `start` on."""

    file: str
    start: int
    length: int


class ReaderTfds(StreamReader):
    """A split of a prepared dataset; see `_stream` for order and counts.

    Args:
        name: Name of the dataset, also with configuration and version ('name/config:1.0.0').
        root: Folder of all datasets (`data_dir`); ~/tensorflow_datasets by default.
        split: Name of a split, or a part or sum of some: 'train[:10%]', 'train+test'.
        download: Download and prepare the dataset first.
        class_map: Class names or indices of the dataset to indices, or a file with them.
        input_key: Field of the image, or a path to it: 'objects/image'.
        target_key: Field of the target, a path to it, or on/off fields joined by commas.
        target_format: 'multihot' if that field holds a vector with an entry for each class.
        target_img_mode: PIL mode of targets that are images.
        prefetch_size: Has no effect, nor has `max_threadpool_size`: TensorFlow does not run.
        shuffle_size: Samples held to be shuffled, over all slots.
        num_samples: Has no effect: the number is known.
        max_steps: Batches in an epoch, where that is not the whole split.

    Raises:
        ImportError: `tensorflow_datasets`, or what it prepares the dataset with, is not installed.
        FileNotFoundError: The dataset is not prepared.
        ValueError: There is no such dataset, split or field, or its files are of another kind.
    """

    def __init__(
        self,
        name: str,
        root: str | None = None,
        split: str = 'train',
        class_map: ClassMap = None,
        is_training: bool = False,
        batch_size: int = 1,
        download: bool = False,
        repeats: int = 0,
        seed: int = 42,
        input_key: str = 'image',
        input_img_mode: str | None = 'RGB',
        target_key: str = 'label',
        target_format: str | None = None,
        target_img_mode: str = '',
        prefetch_size: int | None = None,
        shuffle_size: int | None = None,
        max_threadpool_size: int | None = None,
        num_samples: int | None = None,
        max_steps: int | None = None,
    ) -> None:
        del prefetch_size, max_threadpool_size, num_samples
        super().__init__(is_training, batch_size, seed, repeats, shuffle_size or SHUFFLE_SIZE, max_steps)
        self.name = name
        self.root = root
        self.split = split
        self.input_key = input_key
        self.input_img_mode = input_img_mode
        self.target_key = target_key
        self.target_img_mode = target_img_mode
        self.builder = _builder(name, root, download)
        info = self.builder.info
        if split.partition('[')[0] not in info.splits and '+' not in split:
            raise ValueError(f'no split {split!r} in dataset {name!r}, but {", ".join(info.splits)}')
        self.split_info = info.splits[split]
        self.num_samples = self.split_info.num_examples
        self.pieces = self._pieces()
        self.reads_alone = info.file_format.value == 'array_record'
        self.shard_lengths = tuple(piece.length for piece in self.pieces)
        if not has_field(info.features, input_key):
            raise ValueError(f'dataset {name!r} has no field {input_key!r} for images; {fields_named(info.features)}')
        self.labels = Labels(target_key, target_format, class_map, get_class_labels(info, target_key), info.features)
        self.class_to_idx = self.labels.class_to_idx

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, 'builder': None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.builder = _builder(self.name, self.root, download=False)

    def _pieces(self) -> tuple[_Piece, ...]:
        kind = self.builder.info.file_format.value
        if kind not in _RECORDS_OF:
            raise ValueError(
                f'dataset {self.name!r} is prepared as {kind}; {" and ".join(_RECORDS_OF)} are read: prepare it with '
                f'tfds build --file_format=array_record'
            )
        files = [_Piece(str(f.filename), f.skip, f.take) for f in self.split_info.file_instructions]
        if kind == 'tfrecord':
            return tuple(files)
        return tuple(
            _Piece(file, start + i, min(_RECORDS, length - i))
            for file, start, length in files
            for i in range(0, length, _RECORDS)
        )

    @property
    def num_shards(self) -> int:
        """Files of the split, or pieces of them."""
        return len(self.pieces)

    def _read(self, shard: int, wanted: Wanted) -> Iterator[RawSample]:
        file, start, length = self.pieces[shard]
        numbers = [start + i for i in range(length) if wanted(i)]
        features = self.builder.info.features
        decoders = self._decoders(features)
        for number, record in _RECORDS_OF[self.builder.info.file_format.value](file, numbers):
            yield RawSample(f'{file}[{number}]', features.deserialize_example_np(record, decoders=decoders))

    def _decoders(self, features: Any, path: str = '') -> dict[str, Any]:
        """Images stay as they are stored, but for a target whose mode is not known; the package decodes the rest."""
        import tensorflow_datasets as tfds

        tree: dict[str, Any] = {}
        for name, feature in features.items():
            place = f'{path}/{name}' if path else name
            if isinstance(feature, tfds.features.FeaturesDict):
                tree[name] = self._decoders(feature, place)
            elif isinstance(feature, tfds.features.Image) and (self.target_img_mode or place != self.target_key):
                tree[name] = tfds.decode.SkipDecoding()
        return {name: decoder for name, decoder in tree.items() if decoder != {}}

    def _unpacked(self, sample: RawSample) -> tuple[Any, Any]:
        image = _as_image(get_field(sample.fields, self.input_key), self.input_img_mode)
        target = self.labels(sample.fields)
        return image, _as_image(target, self.target_img_mode) if self.target_img_mode else target

    def _title(self, sample: RawSample) -> str:
        named = (sample.fields.get(name) for name in ('file_name', 'filename', 'id', 'image/filename'))
        name = next((name for name in named if name is not None), sample.name)
        return name.decode() if isinstance(name, bytes) else str(name)


def _builder(name: str, root: str | None, download: bool) -> Any:
    """The builder of a dataset that is prepared."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f'tfds/ reads with the package tensorflow_datasets: pip install "timm[tfds]" ({error})',
            name='tensorflow_datasets',
        ) from error
    try:
        builder = tfds.builder(name, data_dir=root)
    except tfds.core.DatasetNotFoundError as error:
        near = get_close_matches(name, tfds.list_builders(with_community_datasets=False), n=3)
        meant = f'; near are {", ".join(near)}' if near else ''
        raise ValueError(
            f'no dataset {name!r}, neither in {root or "~/tensorflow_datasets"} nor to be made{meant}'
        ) from error
    if download:
        try:
            builder.download_and_prepare()
        except ModuleNotFoundError as error:
            raise ImportError(
                f'dataset {name!r} is prepared with {error.name}: pip install "timm[tfds]" tensorflow ({error})',
                name=error.name,
            ) from error
    if not builder.info.splits:
        raise FileNotFoundError(
            f'dataset {name!r} is not prepared in {builder.data_dir}: pass download=True, or run tfds build {name}'
        )
    return builder


_array_record_pid = 0


def _array_records(file: str, numbers: list[int]) -> Iterator[tuple[int, bytes]]:
    """Records of an ArrayRecord file by number.

    Raises:
        RuntimeError: A process has read such files, and has been forked since: the package crashes in the child.
    """
    global _array_record_pid
    from array_record.python.array_record_module import ArrayRecordReader

    if _array_record_pid not in (0, os.getpid()):
        raise RuntimeError(
            'ArrayRecord files were read in this process before its workers were forked, which the package array_record'
            " does not survive: read with workers from the start, or start them with multiprocessing_context='spawn'"
        )
    _array_record_pid = os.getpid()
    try:
        reader = ArrayRecordReader(file)
    except (RuntimeError, ValueError, OSError) as error:
        raise DamagedImageError(file, str(error)) from error
    try:
        if not reader.ok():  # such a file may still be opened, and would give empty records
            raise ValueError('the file is cut off or garbled')
        for number in numbers:
            yield number, reader.read([number])[0]
    except (RuntimeError, ValueError, IndexError) as error:
        raise DamagedImageError(file, str(error)) from error
    finally:
        with suppress(RuntimeError, ValueError):  # of damage that has been reported already
            reader.close()


def _tf_records(file: str, numbers: list[int]) -> Iterator[tuple[int, bytes]]:
    """Records of a TFRecord file by number, in order.

    A record is its length in 8 bytes, 4 of checksum, the data, and 4 of checksum.
    """
    import tensorflow_datasets as tfds

    wanted = iter(numbers)
    number, following = -1, next(wanted, None)
    with tfds.core.Path(file).open('rb') as records:
        while following is not None:
            number += 1
            head = records.read(12)
            length = struct.unpack('<Q', head[:8])[0] if len(head) == 12 else 0
            if len(head) < 12 or _masked_crc(head[:8]) != struct.unpack('<I', head[8:])[0]:
                raise DamagedImageError(file, f'no record {number}: the file is cut off or garbled')
            if number != following:
                records.seek(length + 4, os.SEEK_CUR)
                continue
            data = records.read(length + 4)
            if len(data) < length + 4:
                raise DamagedImageError(file, f'cut off in record {number}')
            yield number, data[:length]
            following = next(wanted, None)


_RECORDS_OF = {'array_record': _array_records, 'tfrecord': _tf_records}


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC_TABLE = _crc_table()


def _masked_crc(data: bytes) -> int:
    """The checksum of TFRecord: CRC-32C, turned by 15 bits and shifted by a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _as_image(value: Any, mode: str | None) -> Any:
    """An image of that mode from an encoded one or from pixels (H, W, C); pixels themselves if there is no mode."""
    if isinstance(value, bytes):
        return decode(io.BytesIO(value), mode)
    if not mode:
        return value
    pixels = np.asarray(value)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return Image.fromarray(pixels).convert(mode)
