"""JPEGs decoded smaller than they are: only where half of that is enough, near PIL's pixels, with the same draws."""

import io
import logging
import random

import numpy as np
import pytest
import torch
from pictures import make_folder, picture
from PIL import Image
from torchvision import transforms as tv

from timm.data import IterableImageDataset, create_dataset, create_loader, create_transform
from timm.data._compose import Compose, reduced_difference
from timm.data._decode import DamagedImageError, ImageRules
from timm.data._resize import reduction

CPU = torch.device('cpu')
PREPARATIONS = [
    dict(crop_pct=0.875),
    dict(crop_pct=0.875, crop_mode='squash'),
    dict(crop_pct=0.9, crop_mode='border'),
    dict(is_training=True, color_jitter=None),
    dict(is_training=True, no_aug=True),
]


def photograph(width, height, number=0, kind='JPEG', **options):
    """An encoded picture without detail of a few pixels, as large photographs have little."""
    file = io.BytesIO()
    small = picture(width // 8, height // 8, number)
    small.resize((width, height), Image.Resampling.BICUBIC).save(file, kind, **options)
    file.seek(0)
    return file


def prepare(transform, file, seed=3, rules=None):
    """The result as bytes, and what was decoded on the way."""
    random.seed(seed)
    torch.manual_seed(seed)
    decoded = transform.decode(io.BytesIO(file.getvalue()), 'RGB', rules)
    return transform(decoded), decoded


def test_twice_the_pixels_stay():
    assert reduction((448, 600), (224, 224)) == 1
    assert reduction((896, 896), (224, 224)) == 2
    assert reduction((895, 4000), (224, 224)) == 1
    assert reduction((1800, 1900), (224, 224)) == 4
    assert reduction((30000, 30000), (224, 224)) == 8
    for factor in (2, 4, 8):
        assert reduction((2 * factor * 50, 3 * factor * 60), (50, 60)) == factor


@pytest.mark.parametrize('options', PREPARATIONS, ids=str)
@pytest.mark.parametrize('fast', [False, True])
@pytest.mark.parametrize('size', [(640, 480), (479, 643), (1201, 997), (400, 1500)])
def test_pixels_are_near_and_draws_the_same(size, fast, options):
    file = photograph(*size)
    plain = create_transform(56, use_prefetcher=True, fast_resize=fast, **options)
    reduced = create_transform(56, use_prefetcher=True, fast_resize=fast, reduced_decode=True, **options)
    expected, _ = prepare(plain, file)
    found, decoded = prepare(reduced, file)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype == torch.uint8
    difference = (found.int() - expected.int()).abs()
    assert decoded.factor == 1 or max(decoded.image.size) <= max(size) // 2 + 1
    assert difference.float().mean() < 1.5
    assert difference.max() <= 24


def test_places_in_the_image_are_kept():
    """A bright square lies where it lay, to a fraction of a pixel of the result."""
    pixels = np.zeros((1003, 1205, 3), np.uint8)
    pixels[400:640, 700:1000] = 250
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, 'JPEG', quality=98)
    centres = []
    for reduced in (False, True):
        transform = create_transform(56, crop_pct=0.875, use_prefetcher=True, reduced_decode=reduced)
        image, _ = prepare(transform, file)
        weight = image[0].double()
        rows, columns = torch.meshgrid(torch.arange(56.0), torch.arange(56.0), indexing='ij')
        centres.append([float((axis * weight).sum() / weight.sum()) for axis in (rows, columns)])
    assert centres[0] == pytest.approx(centres[1], abs=0.05)


def test_whole_is_decoded_where_half_is_not_enough():
    file = photograph(120, 100)
    plain, _ = prepare(create_transform(56, use_prefetcher=True), file)
    reduced, decoded = prepare(create_transform(56, use_prefetcher=True, reduced_decode=True), file)
    assert decoded.factor == 1
    assert torch.equal(plain, reduced)


@pytest.mark.parametrize(
    ('kind', 'mode', 'steps', 'rules'),
    [
        ('PNG', 'RGB', None, None),
        ('JPEG', 'L', None, None),
        ('JPEG', 'CMYK', None, None),
        ('JPEG', 'RGB', [tv.CenterCrop(300), tv.Resize(40)], None),
        ('JPEG', 'RGB', [tv.Resize(40, max_size=60)], None),
        ('JPEG', 'RGB', [], None),
        ('JPEG', 'RGB', None, ImageRules(orient=True)),
    ],
)
def test_other_files_and_steps_are_as_ever(kind, mode, steps, rules):
    exif = Image.Exif()
    exif[274] = 6
    file = io.BytesIO()
    Image.open(photograph(600, 480)).convert(mode).save(file, kind, exif=exif)
    steps = [tv.Resize(40), tv.CenterCrop(32)] if steps is None else steps
    plain, _ = prepare(Compose(steps), file, rules=rules)
    reduced, decoded = prepare(Compose(steps, reduced=True), file, rules=rules)
    assert isinstance(decoded, Image.Image)
    assert plain.tobytes() == reduced.tobytes()


def test_orientation_that_is_not_applied_is_no_hindrance():
    exif = Image.Exif()
    exif[274] = 6
    transform = create_transform(56, use_prefetcher=True, reduced_decode=True)
    _, decoded = prepare(transform, photograph(800, 600, exif=exif))
    assert decoded.factor == 4


@pytest.mark.parametrize('workers', [0, 2])
def test_loader_decodes_smaller_and_names_damage(tmp_path, workers):
    root = make_folder(tmp_path / 'images', classes=('a',), numbers=(1, 2, 3, 4), size=(400, 300))
    batches = []
    for reduced in (False, True):
        loader = create_loader(
            create_dataset('', root), 32, 4, num_workers=workers, device=CPU, std=(1 / 255,) * 3, reduced_decode=reduced
        )
        batches.append(next(iter(loader))[0])
    assert 0 < (batches[0] - batches[1]).abs().mean() < 3
    file = tmp_path / 'images' / 'a' / 'im2.jpg'
    file.write_bytes(file.read_bytes()[:2000])
    dataset = create_dataset('', root)
    dataset.transform = create_transform(32, reduced_decode=True)
    with pytest.raises(DamagedImageError, match=r'im2\.jpg'):
        dataset[1]


def test_limits_hold():
    transform = create_transform(32, reduced_decode=True)
    file = photograph(800, 600)
    for rules in (ImageRules(max_pixels=1000), ImageRules(max_bytes=1000), ImageRules(formats=('PNG',))):
        with pytest.raises(DamagedImageError):
            transform.decode(io.BytesIO(file.getvalue()), 'RGB', rules)


def test_difference_is_logged(tmp_path, caplog):
    root = make_folder(tmp_path / 'images', numbers=(1,))
    with caplog.at_level(logging.INFO):
        create_loader(create_dataset('', root), 224, 2, num_workers=0, device=CPU, reduced_decode=True)
    largest, mean = reduced_difference((224, 224), 'bilinear')
    assert f'reduced decoding (bilinear): pixels differ from those of PIL by {largest} of 255' in caplog.text
    assert f'{mean:.4f}' in caplog.text
    assert 0 < mean < 5
    assert reduced_difference((800, 800), 'bicubic') == (0, 0.0)


def test_what_cannot_be_planned_before_decoding_is_refused(tmp_path):
    root = make_folder(tmp_path / 'images', numbers=(1,))
    stream = IterableImageDataset(root, reader=create_dataset('', root).reader)
    with pytest.raises(ValueError, match='iterable dataset'):
        create_loader(stream, 32, 2, num_workers=0, device=CPU, reduced_decode=True)
    sizes = dict(is_training=True, input_size_choices=[32, 48])
    with pytest.raises(ValueError, match='input_size_choices'):
        create_loader(create_dataset('', root), 32, 2, num_workers=0, device=CPU, reduced_decode=True, **sizes)
