"""Datasets: samples by index, splits by folder, and images that cannot be read."""

import pickle

import pytest
from pictures import make_folder, make_tar, picture
from PIL import Image

from timm.data import AugMixDataset, ImageDataset, IterableImageDataset, create_dataset, create_reader, create_transform
from timm.data._decode import DamagedImageError, decode


@pytest.fixture
def root(tmp_path):
    make_folder(tmp_path / 'train', numbers=(1, 2))
    make_folder(tmp_path / 'val', numbers=(1,))
    return tmp_path


def test_samples_are_images_and_class_indices(root):
    dataset = create_dataset('', root / 'val')
    assert len(dataset) == 3
    image, target = dataset[2]
    assert image.mode == 'RGB'
    assert image.size == (41, 32)
    assert target == 2
    assert dataset.filename(2) == 'dog/im1.jpg'


@pytest.mark.parametrize('split', ['val', 'valid', 'validation', 'eval', 'evaluation'])
def test_evaluation_split_goes_by_several_names(root, split):
    assert len(create_dataset('', str(root), split=split)) == 3
    assert len(create_dataset('folder', str(root), split=split)) == 3


def test_training_split_and_parts_of_it(root):
    assert len(create_dataset('', str(root), split='train')) == 6
    assert len(create_dataset('', str(root), split='training')) == 6
    assert len(create_dataset('', str(root), split='train[:10%]')) == 6


def test_exact_name_of_a_split_goes_first(root):
    make_folder(root / 'validation', numbers=(1, 2, 10))
    assert len(create_dataset('', str(root), split='validation')) == 9
    assert len(create_dataset('', str(root), split='val')) == 3


def test_root_without_the_split_is_read_itself(root, caplog):
    assert len(create_dataset('', str(root / 'val'), split='train')) == 3
    assert not caplog.records
    assert len(create_dataset('', str(root), split='test')) == 9
    assert 'one dataset' in caplog.text
    assert len(create_dataset('', str(root), split='val', search_split=False)) == 9


def test_tar_is_a_dataset(root, tmp_path):
    tar = make_tar(tmp_path / 'train.tar', root / 'train')
    dataset = create_dataset('', tar)
    assert [dataset[i][1] for i in range(6)] == [0, 0, 1, 1, 2, 2]
    assert dataset[0][0].tobytes() == create_dataset('', str(root), split='train')[0][0].tobytes()


@pytest.mark.parametrize(('split', 'count'), [('train', 6), ('val', 3), ('validation', 3)])
def test_split_is_found_as_a_tar(root, tmp_path, split, count):
    (tmp_path / 'tars').mkdir()
    make_tar(tmp_path / 'tars/train.tar', root / 'train')
    make_tar(tmp_path / 'tars/validation.tar', root / 'val')
    assert len(create_dataset('', str(tmp_path / 'tars'), split=split)) == count


def test_arguments_that_are_none_are_not_passed_on(root):
    assert len(create_dataset('', str(root), split='val', input_key=None, target_key=None, class_map=None)) == 3
    with pytest.raises(ValueError, match='root'):
        create_dataset('', None)


def test_transforms_of_image_and_target(root):
    dataset = create_dataset('', str(root), split='val', input_img_mode='L')
    dataset.transform = lambda image: (image.mode, image.size)
    dataset.target_transform = lambda target: target + 10
    assert dataset[1] == (('L', (41, 31)), 11)


def test_bytes_instead_of_images(root):
    data, target = create_dataset('', str(root), split='val', load_bytes=True)[0]
    assert data == (root / 'val' / 'cat2' / 'im1.jpg').read_bytes()
    assert target == 0


def test_reader_may_be_given_and_may_have_no_targets(root):
    class NoTargets:
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return picture(8, 8), None, 'more'

    dataset = ImageDataset('', reader=NoTargets(), target_transform=lambda target: target + 10)
    assert dataset[0][1] == -1
    assert ImageDataset('', reader=NoTargets(), additional_features=['note'])[0][2] == 'more'
    assert len(ImageDataset('', reader=create_reader('', str(root / 'val')))) == 3


@pytest.mark.parametrize('mode', ['L', 'P', 'LA', 'RGBA', 'CMYK', '1'])
def test_other_kinds_of_images_become_rgb(tmp_path, mode):
    file = tmp_path / ('a.tif' if mode == 'CMYK' else 'a.png')
    picture(20, 10, mode='RGBA' if mode in ('LA', 'RGBA') else 'RGB').convert(mode).save(file)
    image = decode(file)
    assert (image.mode, image.size) == ('RGB', (20, 10))
    assert decode(file, None).mode == mode


def damage(path, how):
    data = path.read_bytes()
    if how == 'cut':
        path.write_bytes(data[: len(data) // 2])
    elif how == 'empty':
        path.write_bytes(b'')
    elif how == 'text':
        path.write_text('no image')
    elif how == 'gone':
        path.unlink()
    elif how == 'postscript':
        picture(9, 9).save(path, format='EPS')


@pytest.mark.parametrize('how', ['cut', 'empty', 'text', 'gone', 'postscript'])
def test_damaged_image_is_an_error_that_names_it(root, how):
    dataset = create_dataset('', str(root), split='val')
    damage(root / 'val' / 'cat10' / 'im1.jpg', how)
    with pytest.raises(DamagedImageError) as caught:
        dataset[1]
    assert caught.value.path.endswith('cat10/im1.jpg')
    assert caught.value.path in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).path == caught.value.path
    assert dataset[2][1] == 2


def test_images_beyond_the_pixel_limit_are_refused(root, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    with pytest.raises(DamagedImageError, match=r'41 x 30|exceeds limit'):
        create_dataset('', str(root), split='val')[0]


def test_augmix_gives_several_views(root):
    dataset = AugMixDataset(create_dataset('', str(root), split='val'), num_splits=3)
    dataset.transform = create_transform(32, is_training=True, separate=True, auto_augment='augmix-m3-w2')
    views, target = dataset[1]
    assert [tuple(view.shape) for view in views] == [(3, 32, 32)] * 3
    assert target == 1
    assert len(dataset) == 3
    with pytest.raises(ValueError, match='three'):
        dataset.transform = create_transform(32)


class Stream:
    def __init__(self):
        self.told = []

    def __iter__(self):
        return iter([(picture(8, 8), i) for i in range(3)])

    def __len__(self):
        return 3

    def set_epoch(self, count):
        self.told.append(('epoch', count))

    def set_loader_cfg(self, num_workers=None):
        self.told.append(('workers', num_workers))


def test_iterable_dataset_follows_its_reader():
    reader = Stream()
    dataset = IterableImageDataset(
        '', reader=reader, transform=lambda image: image.size, target_transform=lambda target: 2 * target
    )
    assert list(dataset) == [((8, 8), 0), ((8, 8), 2), ((8, 8), 4)]
    assert len(dataset) == 3
    dataset.set_epoch(4)
    dataset.set_loader_cfg(num_workers=2)
    assert reader.told == [('epoch', 4), ('workers', 2)]
    with pytest.raises(ValueError, match='file name'):
        dataset.filename(0)
    with pytest.raises(ValueError, match='reader'):
        IterableImageDataset('')
