"""Images in datasets of the Hugging Face hub, or in files that the package `datasets` reads, by index."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ._hfds import (
    check_fields,
    get_class_labels,
    import_datasets,
    naming_the_remedy,
    remote_code_kwargs,
    with_encoded_images,
)
from ._labels import ClassMap, Labels
from .reader import Reader

__all__ = ['ReaderHfds']


class ReaderHfds(Reader):
    """A split of a dataset, as `datasets.load_dataset` makes it.

    Args:
        name: Name on the hub, a folder of data files, or one that `Dataset.save_to_disk` has written.
        root: Folder for downloaded and prepared data; the package's own cache by default.
        split: Name of a split, or a part of it: 'train[:10%]'.
        class_map: Class names or indices of the dataset to indices, or a file with them.
        input_key: Field of the image.
        target_key: Field of the target, or on/off fields joined by commas.
        target_format: 'multihot' if that field holds a vector with an entry for each class.
        additional_features: Fields to give after image and target.
        download: Has no effect: what is not there is always downloaded.
        trust_remote_code: Let the dataset run a script of its own, where `datasets` still does.

    Raises:
        ImportError: `datasets` is not installed.
        ValueError: There is no such split or field.
    """

    def __init__(
        self,
        name: str,
        root: str | None = None,
        split: str = 'train',
        class_map: ClassMap = None,
        input_key: str = 'image',
        target_key: str = 'label',
        target_format: str | None = None,
        additional_features: str | Sequence[str] | None = None,
        download: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        del download
        super().__init__()
        self.root = root
        self.split = split
        self.name = name
        self.dataset = self._loaded(trust_remote_code)
        if isinstance(additional_features, str):
            additional_features = [additional_features]
        self.additional_features = list(additional_features) if additional_features is not None else None
        features = self.dataset.features
        check_fields(features, [input_key, *(self.additional_features or ())])
        self.dataset = with_encoded_images(self.dataset, input_key)
        self.image_key = input_key
        self.label_key = target_key
        self.labels = Labels(
            target_key, target_format, class_map, get_class_labels(self.dataset.info, target_key), features
        )
        self.class_to_idx = self.labels.class_to_idx
        splits = self.dataset.info.splits
        self.split_info = splits.get(split) if splits else None
        self.num_samples = len(self.dataset)

    def _loaded(self, trust_remote_code: bool) -> Any:
        datasets = import_datasets()
        if not Path(self.name, 'state.json').is_file() and not Path(self.name, 'dataset_dict.json').is_file():
            told = {'split': self.split, 'cache_dir': self.root, **remote_code_kwargs(trust_remote_code)}
            with naming_the_remedy(self.name):
                return datasets.load_dataset(self.name, **told)
        saved = datasets.load_from_disk(self.name)
        if isinstance(saved, datasets.Dataset):
            return saved
        if self.split not in saved:
            raise ValueError(f'no split {self.split!r} in {self.name!r}, but {", ".join(saved)}')
        return saved[self.split]

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        item = self.dataset[index]
        image = item[self.image_key]
        if image is None:
            raise OSError(f'the field {self.image_key!r} is empty')
        source = io.BytesIO(image['bytes']) if image['bytes'] else Path(image['path']).open('rb')  # noqa: SIM115
        return source, self.labels(item), *(item[name] for name in self.additional_features or ())

    def iter_targets(self) -> Iterator[Any]:
        """The targets by index, without reading images."""
        yield from map(self.labels, self.dataset.remove_columns(self.image_key))

    def _filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        """The path that the dataset keeps with an image, else the place in the split."""
        del absolute
        column = self.dataset.with_format('arrow')[index : index + 1][self.image_key].combine_chunks()
        path = column.field('path')[0].as_py()
        if path is None:
            return f'{self.split}[{index}]' if basename else f'{self.name}/{self.split}[{index}]'
        return Path(path).name if basename else path
