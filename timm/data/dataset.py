"""Datasets over readers: decode, transform, and name what cannot be decoded."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from torch.utils.data import Dataset, IterableDataset

from ._compose import Compose
from ._damage import DamageLog
from ._decode import DamagedImageError, ImageRules, decode
from .keyed import key, seed_host
from .readers import create_reader
from .readers.reader import Reader

__all__ = ['AugMixDataset', 'ImageDataset', 'IterableImageDataset']

ClassMap = Mapping[str, int] | str | Path | None
Transform = Callable[[Any], Any] | None


class ImageDataset(Dataset[Any]):
    """Images by index: `dataset[i]` is (image, target), transformed.

    `transform` may be set at any time; `create_loader` does.

    Args:
        reader: A reader, or the name of one (see `create_reader`).
        class_map: Class names to indices, or a file with them.
        load_bytes: Give the bytes of the file instead of an image.
        input_img_mode: PIL mode that images are converted to; None or '' keeps each file's own.
        target_transform: Applied to the target; a reader without targets gives -1, which is left alone.
        additional_features: What the reader gives after image and target is passed on, where this is not None.
        image_rules: Which image files are read, and how; None is `ImageRules()`.

    Raises:
        DamagedImageError: From `dataset[i]`: the image cannot be read.
    """

    def __init__(
        self,
        root: str | None,
        reader: Any = None,
        split: str = 'train',
        class_map: ClassMap = None,
        load_bytes: bool = False,
        input_img_mode: str | None = 'RGB',
        transform: Transform = None,
        target_transform: Transform = None,
        additional_features: Sequence[str] | None = None,
        *,
        image_rules: ImageRules | None = None,
        **kwargs: Any,
    ) -> None:
        if additional_features is not None:
            kwargs['additional_features'] = additional_features
        if reader is None or isinstance(reader, str):
            reader = create_reader(reader or '', root=root, split=split, class_map=class_map, **kwargs)
        self.reader: Reader = reader
        self.load_bytes = load_bytes
        self.input_img_mode = input_img_mode
        self.transform = transform
        self.target_transform = target_transform
        self.additional_features = additional_features
        self.image_rules = image_rules

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        decoded = self.transform.decode if isinstance(self.transform, Compose) else decode
        try:
            source, target, *features = self.reader[index]
            image = _bytes_of(source) if self.load_bytes else decoded(source, self.input_img_mode, self.image_rules)
        except DamagedImageError as error:
            raise DamagedImageError(self.filename(index, absolute=True), error.cause) from error
        except OSError as error:
            raise DamagedImageError(self.filename(index, absolute=True), str(error)) from error
        if self.transform is not None:
            image = self.transform(image)
        if target is None:
            target = -1
        elif self.target_transform is not None:
            target = self.target_transform(target)
        return (image, target) if self.additional_features is None else (image, target, *features)

    def __len__(self) -> int:
        return len(self.reader)

    def filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        """Name of a sample's file; see `Reader.filename`."""
        return self.reader.filename(index, basename, absolute)

    def filenames(self, basename: bool = False, absolute: bool = False) -> list[str]:
        """Names of all files, by index."""
        return self.reader.filenames(basename, absolute)


class IterableImageDataset(IterableDataset[Any]):
    """Images in the order of a reader that has no index: it is iterated, and may know its length and its epoch.

    Args:
        reader: A reader, or the name of one (see `create_reader`).
        is_training: Shuffle, and give whole batches to every process.
        batch_size: Batch size that the reader plans for.
        num_samples: Length of the split, where the reader cannot know it.
        repeats: Passes over the split in one epoch.
        input_key: Field of a sample that holds the image.
        target_key: Field of a sample that holds the label.
        max_steps: Batches in an epoch, where that is not the whole split.
        kwargs: Arguments of the reader; and `damaged` and `report`, which say what to do about images that cannot be
            read (see `DamageLog`). In training the stream goes on to the next image, in evaluation it is one shorter;
            each worker keeps a count of its own. `keyed=True` seeds the generators of the process before each sample
            of a training, by seed, epoch and position: batches are then the same for any number of workers.

    Raises:
        DamagedImageError: While it is iterated: an image cannot be read, and `damaged` is 'raise', the default.
    """

    def __init__(
        self,
        root: str | None,
        reader: Any = None,
        split: str = 'train',
        class_map: ClassMap = None,
        is_training: bool = False,
        batch_size: int = 1,
        num_samples: int | None = None,
        seed: int = 42,
        repeats: int = 0,
        download: bool = False,
        input_img_mode: str | None = 'RGB',
        input_key: str | None = None,
        target_key: str | None = None,
        transform: Transform = None,
        target_transform: Transform = None,
        max_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        if reader is None:
            raise ValueError('an iterable dataset needs a reader, or the name of one')
        self.seed = seed if kwargs.pop('keyed', False) and is_training else None
        damage = {name: kwargs.pop(name) for name in ('damaged', 'report') if name in kwargs}
        if isinstance(reader, str):
            reader = create_reader(
                reader,
                root=root,
                split=split,
                class_map=class_map,
                is_training=is_training,
                batch_size=batch_size,
                num_samples=num_samples,
                seed=seed,
                repeats=repeats,
                download=download,
                input_img_mode=input_img_mode,
                input_key=input_key,
                target_key=target_key,
                max_steps=max_steps,
                **kwargs,
            )
        if damage:
            reader.damage = DamageLog(damage.get('damaged', 'raise'), damage.get('report'))
        self.reader = reader
        self.transform = transform
        self.target_transform = target_transform

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for image, target in self.reader:
            if self.seed is not None:
                seed_host(key(self.seed, 'sample', self.reader.epoch_count.value, self.reader.position))
            if self.transform is not None:
                image = self.transform(image)
            if self.target_transform is not None:
                target = self.target_transform(target)
            yield image, target

    def seeds_of(self, purpose: str, batch: int, count: int) -> list[int] | None:
        """A seed for each sample of a batch of this process in a keyed training; None where it is not keyed."""
        if self.seed is None:
            return None
        reader = self.reader
        first = (batch * reader.dist_num_replicas + reader.dist_rank) * reader.batch_size
        return [key(self.seed, purpose, reader.epoch_count.value, first + i) for i in range(count)]

    def __len__(self) -> int:
        return len(self.reader) if hasattr(self.reader, '__len__') else 0

    def set_epoch(self, count: int) -> None:
        """Tell the reader which epoch comes next; its order follows from it."""
        if hasattr(self.reader, 'set_epoch'):
            self.reader.set_epoch(count)

    def set_loader_cfg(self, num_workers: int | None = None) -> None:
        """Tell the reader how many processes will read it; its share of the samples, and its length, follow."""
        if num_workers is not None and hasattr(self.reader, 'set_loader_cfg'):
            self.reader.set_loader_cfg(num_workers=num_workers)

    def filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        """There is no name by index here.

        Raises:
            ValueError: Always.
        """
        del index, basename, absolute
        raise ValueError('an iterable dataset has no file name by index; use filenames() after reading it')

    def filenames(self, basename: bool = False, absolute: bool = False) -> list[str]:
        """Names of all files, in the order of the reader, where it keeps them."""
        return self.reader.filenames(basename, absolute)


class AugMixDataset(Dataset[Any]):
    """Several views of each image: the plain one, then `num_splits` - 1 augmented ones.

    An item is ((view, view, ...), target). Set `transform` to the three parts that `create_transform(separate=True)`
    gives: the first goes to the wrapped dataset and is shared by the views, the second makes a view, the third
    finishes all of them. AugMix (Hendrycks et al., 2020, arXiv:1912.02781) trains on such views.
    """

    def __init__(self, dataset: ImageDataset, num_splits: int = 2) -> None:
        self.dataset = dataset
        self.num_splits = num_splits
        self.augmentation: Transform = None
        self.normalize: Transform = None
        if dataset.transform is not None:
            self.transform = dataset.transform

    @property
    def transform(self) -> Any:
        """The parts of the transform: shared, augmenting, finishing."""
        return self.dataset.transform, self.augmentation, self.normalize

    @transform.setter
    def transform(self, parts: Any) -> None:
        if not isinstance(parts, tuple | list) or len(parts) != 3:
            raise ValueError(
                f'expected the three transforms of create_transform(separate=True), got {type(parts).__name__}'
            )
        self.dataset.transform, self.augmentation, self.normalize = parts

    def __getitem__(self, i: int) -> tuple[tuple[Any, ...], Any]:
        image, target = self.dataset[i]
        finish = self.normalize or _unchanged
        augment = self.augmentation or _unchanged
        views = [finish(image), *(finish(augment(image)) for _ in range(self.num_splits - 1))]
        return tuple(views), target

    def __len__(self) -> int:
        return len(self.dataset)

    def filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        """Name of a sample's file; see `Reader.filename`."""
        return self.dataset.filename(index, basename, absolute)

    def filenames(self, basename: bool = False, absolute: bool = False) -> list[str]:
        """Names of all files, by index."""
        return self.dataset.filenames(basename, absolute)


def _bytes_of(source: BinaryIO) -> bytes:
    with source:
        return source.read()


def _unchanged(x: Any) -> Any:
    return x
