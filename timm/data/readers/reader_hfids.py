"""Images in datasets of the Hugging Face hub, or in files that the package `datasets` reads, as a stream."""

import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from timm.data._decode import DamagedImageError, decode

from ._hfds import (
    check_fields,
    get_class_labels,
    import_datasets,
    naming_the_remedy,
    remote_code_kwargs,
    with_encoded_images,
)
from ._labels import ClassMap, Labels
from ._stream import RawSample, StreamReader, Wanted

__all__ = ['SHUFFLE_SIZE', 'ReaderHfids']

SHUFFLE_SIZE = int(os.environ.get('HFIDS_SHUFFLE_SIZE', '4096'))

# Rows of a prepared dataset are dealt out in pieces of so many.
_ROWS = 128
# Rows of a stream are fetched by so many.
_ROWS_AT_ONCE = 16


class ReaderHfids(StreamReader):
    """A split of a dataset that is streamed from where it is, or prepared first; see `_stream` for order and counts.

    Args:
        name: Name on the hub, or a folder of data files.
        root: Folder for downloaded and prepared data; the package's own cache by default.
        split: Name of a split; of a prepared dataset also a part of it: 'train[:10%]'.
        download: Prepare the dataset first. Its length is then known, and every process and worker reads its share
            alone. What is streamed is shared out by its files.
        class_map: Class names or indices of the dataset to indices, or a file with them.
        input_key: Field of the image.
        target_key: Field of the target, or on/off fields joined by commas.
        target_format: 'multihot' if that field holds a vector with an entry for each class.
        target_img_mode: PIL mode of targets that are images.
        shuffle_size: Samples held to be shuffled, over all slots.
        num_samples: Samples of the split, where its description does not say.
        trust_remote_code: Let the dataset run a script of its own, where `datasets` still does.
        max_steps: Batches in an epoch, where that is not the whole split.

    Raises:
        ImportError: `datasets` is not installed.
        ValueError: There is no such split or field, or the number of samples is not known.
    """

    def __init__(
        self,
        name: str,
        root: str | None = None,
        split: str = 'train',
        is_training: bool = False,
        batch_size: int = 1,
        download: bool = False,
        repeats: int = 0,
        seed: int = 42,
        class_map: ClassMap = None,
        input_key: str = 'image',
        input_img_mode: str | None = 'RGB',
        target_key: str = 'label',
        target_format: str | None = None,
        target_img_mode: str = '',
        shuffle_size: int | None = None,
        num_samples: int | None = None,
        trust_remote_code: bool = False,
        max_steps: int | None = None,
    ) -> None:
        super().__init__(is_training, batch_size, seed, repeats, shuffle_size or SHUFFLE_SIZE, max_steps)
        self.name = name
        self.root = root
        self.split = split
        self.input_key = input_key
        self.input_img_mode = input_img_mode
        self.target_img_mode = target_img_mode
        datasets = import_datasets()
        with naming_the_remedy(name):
            builder = datasets.load_dataset_builder(name, cache_dir=root, **remote_code_kwargs(trust_remote_code))
        if download:
            builder.download_and_prepare()
            dataset = builder.as_dataset(split=split)
            self.shard_lengths = tuple(min(_ROWS, len(dataset) - i) for i in range(0, len(dataset), _ROWS))
            self.num_samples = len(dataset)
            self.reads_alone = True
        else:
            dataset = builder.as_streaming_dataset(split=split)
            self.num_samples = num_samples or self._described_length(builder.info)
        features = dataset.features
        if features is not None:
            check_fields(features, [input_key])
            dataset = with_encoded_images(dataset, input_key)
        self.ds = dataset
        self.labels = Labels(
            target_key,
            target_format,
            class_map,
            get_class_labels(builder.info, target_key) if features is None else get_class_labels(dataset, target_key),
            features,
        )
        self.class_to_idx = self.labels.class_to_idx

    def _described_length(self, info: Any) -> int:
        described = (info.splits or {}).get(self.split)
        length = described.num_examples if described is not None else None
        if not length:
            raise ValueError(
                f'how many samples split {self.split!r} of {self.name!r} has is not known: pass num_samples, or '
                f'download=True to have it prepared'
            )
        return length

    @property
    def num_shards(self) -> int:
        """Files of the split, or pieces of it once it is prepared."""
        return self.ds.num_shards if self.shard_lengths is None else len(self.shard_lengths)

    def _read(self, shard: int, wanted: Wanted) -> Iterator[RawSample]:
        place = f'{self.name}/{self.split}'
        if self.shard_lengths is None:
            # Iterated as such, a shard would share itself out to the workers once more.
            batches = self.ds.shard(self.num_shards, shard).iter(batch_size=_ROWS_AT_ONCE)
            for number, item in enumerate(item for batch in batches for item in _rows(batch)):
                if wanted(number):
                    yield RawSample(f'{place} shard {shard} [{number}]', item)
            return
        for number in range(self.shard_lengths[shard]):
            if wanted(number):
                row = shard * _ROWS + number
                yield RawSample(f'{place}[{row}]', self.ds[row])

    def _unpacked(self, sample: RawSample) -> tuple[Any, Any]:
        image = self._opened(sample.fields[self.input_key])
        target = self.labels(sample.fields)
        if self.target_img_mode:
            if not hasattr(target, 'convert'):
                raise ValueError(f'target_img_mode is for targets that are images, not {type(target).__name__}')
            target = target.convert(self.target_img_mode)
        return decode(image, self.input_img_mode), target

    def _opened(self, image: Any) -> Any:
        """The file of an image, from the dataset, the disk or the net."""
        if not image or not (image['bytes'] or image['path']):
            raise DamagedImageError(self.input_key, 'the field is empty')
        if image['bytes']:
            return io.BytesIO(image['bytes'])
        try:
            if Path(image['path']).is_file():
                return Path(image['path']).open('rb')
            from datasets.utils.file_utils import xopen

            return xopen(image['path'], 'rb')
        except OSError as error:
            raise DamagedImageError(image['path'], str(error)) from error

    def _title(self, sample: RawSample) -> str:
        named = (sample.fields.get(name) for name in ('file_name', 'filename', 'id', 'image_id'))
        image = sample.fields[self.input_key] or {}
        return next((str(name) for name in named if name is not None), image.get('path') or sample.name)


def _rows(batch: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """The rows of a batch of columns."""
    return (dict(zip(batch, row, strict=True)) for row in zip(*batch.values(), strict=True))
