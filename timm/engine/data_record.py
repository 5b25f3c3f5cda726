# pyright: strict
"""What a checkpoint notes of its data, and the comparison when it is resumed."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.utils.data import IterableDataset

from .exits import DataError

__all__ = ['DataRecord', 'check_data', 'classes_of', 'describe_data', 'is_listed']

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataRecord:
    """What a checkpoint notes of its data, so that it is not resumed on other data unawares.

    Attributes:
        fingerprint: Digest of the names and labels of the training samples; without names at hand their number, or ''
            for a stream.
        classes: Index of each class by its name, empty where classes have no names.
        global_batch: Samples in an update, over all processes.
    """

    fingerprint: str = ''
    classes: dict[str, int] = field(default_factory=dict[str, int])
    global_batch: int = 0


def is_listed(dataset: Any) -> bool:
    """Whether the names of a dataset are at hand, as those of folders and tars are: others would read all of it."""
    return hasattr(getattr(dataset, 'reader', None), 'samples')


def classes_of(dataset: Any) -> Mapping[Any, int]:
    """The index of each class by its name, empty where a dataset does not know them."""
    return getattr(getattr(dataset, 'reader', None), 'class_to_idx', None) or {}


def describe_data(dataset: Any, global_batch: int) -> DataRecord:
    """The record of a training dataset."""
    fingerprint = ''
    if is_listed(dataset):
        fingerprint = _digest(dataset.reader)
    elif not isinstance(dataset, IterableDataset) and hasattr(dataset, '__len__'):
        fingerprint = f'{len(dataset)} samples'
    return DataRecord(fingerprint, {str(name): index for name, index in classes_of(dataset).items()}, global_batch)


def _digest(reader: Any) -> str:
    """Digest of the names and labels of a reader's samples, one after the other: there may be millions."""
    targets: Any = getattr(reader, 'targets', None)
    digest = hashlib.blake2b(digest_size=16)
    for i in range(len(reader)):
        label = reader.samples[i][1] if targets is None else targets[i]
        digest.update(f'{reader.filename(i)}\t{label}\n'.encode('utf-8', 'surrogateescape'))
    return digest.hexdigest()


def check_data(told: Mapping[str, Any], present: DataRecord, within_epoch: bool, source: str) -> None:
    """Compare the data of a checkpoint with those of the run that is to go on from it.

    Raises:
        DataError: Classes have other numbers now, or samples have changed in the middle of an epoch.
    """
    before: Mapping[str, int] = told.get('classes') or {}
    if before and present.classes and dict(before) != present.classes:
        names = [name for name in {**before, **present.classes} if before.get(name) != present.classes.get(name)]
        raise DataError(
            f'checkpoint {source} was trained on other classes: {", ".join(map(repr, names[:3]))} had another number; '
            f'use that data, or start anew from its weights with --initial-checkpoint'
        )
    fingerprint = told.get('fingerprint') or ''
    if not fingerprint or not present.fingerprint or fingerprint == present.fingerprint:
        return
    if within_epoch:
        raise DataError(
            f'checkpoint {source} stands within an epoch, and the training samples are no longer those of that epoch: '
            f'use that data, or --resume the file of a whole epoch, such as last.pth.tar'
        )
    _logger.warning('the training samples are no longer those that %s was trained on', source)
