"""What a checkpoint notes of its data: it changes with names and labels, and noting it reads no images."""

import pytest
from processes import make_images

from timm.data import IterableImageDataset, create_dataset
from timm.data.readers.reader import Reader
from timm.engine.build_data import warn_if_same
from timm.engine.data_record import describe_data


class Stream(Reader):
    """A source whose names can only be had by reading all of it."""

    class_to_idx = {'a': 0}

    def __len__(self):
        return 7

    def filenames(self, *_, **__):
        pytest.fail('the whole stream was read')


def test_names_and_labels_make_the_fingerprint(tmp_path):
    root = make_images(tmp_path / 'images') / 'train'
    record = describe_data(create_dataset('', root=str(root)), 8)
    assert record == describe_data(create_dataset('', root=str(root)), 8)
    assert record.classes == {folder.name: i for i, folder in enumerate(sorted(root.iterdir()))}
    one, other = sorted(root.iterdir())
    turned = describe_data(create_dataset('', root=str(root), class_map={one.name: 1, other.name: 0}), 8)
    assert turned.fingerprint != record.fingerprint
    next(one.iterdir()).rename(one / 'renamed.png')
    assert describe_data(create_dataset('', root=str(root)), 8).fingerprint != record.fingerprint


def test_a_stream_is_described_without_being_read():
    stream = IterableImageDataset(None, reader=Stream())
    assert describe_data(stream, 8).fingerprint == ''
    assert describe_data(stream, 8).classes == {'a': 0}
    warn_if_same(stream, IterableImageDataset(None, reader=Stream()))


def test_training_and_evaluating_on_the_same_files_is_told(tmp_path, caplog):
    root = make_images(tmp_path / 'images') / 'train'
    train = create_dataset('', root=str(root))
    warn_if_same(train, create_dataset('', root=str(root)))
    assert 'read the same' in caplog.text
    caplog.clear()
    warn_if_same(train, create_dataset('', root=str(make_images(tmp_path / 'others') / 'train')))
    assert not caplog.text
