"""Evaluation pixels: to the bit what PIL's decoding, resizing and cropping give; the fast resize within its bounds."""

import io
import logging
import math
import random

import numpy as np
import pytest
import torch
from pictures import make_folder, picture
from PIL import Image
from torchvision import transforms as tv

from timm.data import create_dataset, create_loader, create_transform
from timm.data._compose import Compose, resize_difference
from timm.data._decode import ImageRules
from timm.data._resize import decode_plain_jpeg, fast_resize, resize_window

FILTERS = {
    'bilinear': Image.Resampling.BILINEAR,
    'bicubic': Image.Resampling.BICUBIC,
    'lanczos': Image.Resampling.LANCZOS,
    'hamming': Image.Resampling.HAMMING,
    'box': Image.Resampling.BOX,
    'nearest': Image.Resampling.NEAREST,
}
# Crop mode, share of the crop, filter.
PREPARATIONS = [
    ('center', 0.875, 'bicubic'),
    ('center', 0.95, 'bilinear'),
    ('center', 1.0, 'bicubic'),
    ('center', 0.9, 'lanczos'),
    ('center', 0.6, 'box'),
    ('center', 0.875, 'nearest'),
    ('squash', 0.875, 'bicubic'),
    ('border', 0.9, 'bicubic'),
]
SIDE = 56


def files(count):
    """Encoded images of mixed size, mode and format, as bytes."""
    draw = random.Random(3)
    sizes = [(125, 94), (94, 125), (125, 83), (120, 90), (75, 75), (20, 20), (64, 200), (200, 40), (56, 64), (64, 64)]
    for number in range(count):
        size = sizes[number % 20] if number % 20 < 10 else (draw.randint(12, 180), draw.randint(12, 180))
        mode = ('RGB', 'RGB', 'RGB', 'L', 'CMYK', 'RGBA', 'P')[number % 7]
        kind = 'PNG' if mode in ('RGBA', 'P') or (number % 3 == 0 and mode != 'CMYK') else 'JPEG'
        file = io.BytesIO()
        picture(*size, number).convert(mode).save(file, kind)
        yield file


def rule(image, mode, share, resample):
    """PIL's resize of the whole image and PIL's crop, written out: the pixels (H, W, C) that are due."""
    whole = math.floor(SIDE / share)
    w, h = image.size
    if mode == 'squash':
        size = whole, whole
    elif mode == 'border':
        longer = max(w, h)
        size = round(w * whole / longer), round(h * whole / longer)
    else:
        size = (whole, int(whole * h / w)) if w <= h else (int(whole * w / h), whole)
    image = image.resize(size, resample)
    left, top = ((side - SIDE) / 2 for side in size)
    left, top = (round(x) if x > 0 else -int(-x) for x in (left, top))  # of an odd margin the smaller part comes first
    canvas = Image.new('RGB', (SIDE, SIDE), (124, 116, 104))
    canvas.paste(image, (-left, -top))
    return np.asarray(canvas)


@pytest.mark.parametrize(('mode', 'share', 'interpolation'), PREPARATIONS)
def test_evaluation_pixels_are_those_of_pil(mode, share, interpolation, tmp_path):
    folder = tmp_path / 'class'
    folder.mkdir()
    expected = {}
    for number, file in enumerate(files(200)):
        kind = 'png' if file.getvalue()[:4] == b'\x89PNG' else 'jpg'
        (folder / f'{number:03}.{kind}').write_bytes(file.getvalue())
        image = Image.open(file).convert('RGB')
        expected[f'class/{number:03}.{kind}'] = rule(image, mode, share, FILTERS[interpolation])
    dataset = create_dataset('', root=tmp_path)
    assert len(dataset) == 200
    dataset.transform = create_transform(
        SIDE, crop_mode=mode, crop_pct=share, interpolation=interpolation, use_prefetcher=True
    )
    for i in range(200):
        pixels = dataset[i][0].permute(1, 2, 0).numpy()
        assert np.array_equal(pixels, expected[dataset.filename(i)]), (i, dataset.filename(i))


def test_any_window_of_any_resize_is_that_of_pil():
    draw = random.Random(1)
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    for _ in range(600):
        width, height = draw.randint(8, 160), draw.randint(8, 160)
        image = Image.fromarray(noise[:height, :width]).convert(draw.choice(['RGB', 'RGB', 'L', 'RGBA']))
        size = draw.choice([draw.randint(4, 99), 32, 64, height]), draw.choice([draw.randint(4, 99), 32, 96, width])
        rows, columns = draw.randint(1, size[0]), draw.randint(1, size[1])
        top, left = draw.randint(0, size[0] - rows), draw.randint(0, size[1] - columns)
        resample = draw.choice(list(FILTERS.values()))
        part = resize_window(image, size, (top, left, rows, columns), resample)
        whole = image.resize((size[1], size[0]), resample).crop((left, top, left + columns, top + rows))
        assert (part.size, part.mode) == (whole.size, whole.mode)
        assert part.tobytes() == whole.tobytes(), (image, size, (top, left, rows, columns), resample)


def test_steps_do_together_what_they_do_apart():
    for options in (
        {'crop_mode': 'border'},
        {'is_training': True, 'auto_augment': 'rand-m9-mstd0.5', 'interpolation': 'random'},
        {'is_training': True, 'train_crop_mode': 'rkrc', 'interpolation': 'random', 'vflip': 0.5},
        {'is_training': True, 'no_aug': True},
    ):
        together = create_transform((3, 32, 48), use_prefetcher=True, **options)
        apart = tv.Compose(together.transforms)
        for number in range(8):
            results = []
            for transform in (together, apart):
                random.seed(number)
                np.random.seed(number)
                torch.manual_seed(number)
                results.append(transform(picture(70 + 9 * number, 99 - 7 * number, number)))
            assert torch.equal(*results)


def test_steps_that_are_edited_are_obeyed():
    transform = create_transform(32, use_prefetcher=True)
    steps = transform.transforms
    image = picture(99, 60)
    steps[0] = tv.Resize(40, tv.InterpolationMode.NEAREST_EXACT)
    assert torch.equal(transform(image), tv.Compose(steps)(image))
    steps[0] = tv.Resize(40, max_size=50)
    assert torch.equal(transform(image), tv.Compose(steps)(image))
    steps[1:1] = [tv.Grayscale(3)]
    assert torch.equal(transform(image), tv.Compose(steps)(image))
    del steps[:]
    assert transform(image) is image
    assert repr(create_transform(32)).startswith('Compose(')


# The fast path.


@pytest.mark.parametrize(('interpolation', 'mean'), [('bilinear', 0.01), ('bicubic', 0.01), ('lanczos', 0.0)])
def test_fast_pixels_are_near(interpolation, mean):
    for number, size in enumerate([(125, 94), (94, 125), (40, 30), (300, 61)]):
        image = picture(*size, number)
        plain = create_transform(56, interpolation=interpolation, use_prefetcher=True)(image)
        fast = create_transform(56, interpolation=interpolation, use_prefetcher=True, fast_resize=True)(image)
        assert fast.dtype == torch.uint8
        difference = (plain.int() - fast.int()).abs().float()
        assert difference.max() <= 2
        assert difference.mean() <= mean


def test_fast_training_draws_the_same(tmp_path):
    root = make_folder(tmp_path / 'images', numbers=(1, 2), size=(90, 70))
    for options in ({'color_jitter': None}, {'auto_augment': 'rand-m9'}, {'hflip': 1.0, 'vflip': 1.0}):
        images = []
        for fast in (False, True):
            dataset = create_dataset('', root)
            dataset.transform = create_transform(
                32, True, interpolation='random', use_prefetcher=True, fast_resize=fast, **options
            )
            random.seed(5)
            np.random.seed(5)
            torch.manual_seed(5)
            images.append(torch.stack([dataset[i][0] for i in range(6)]).int())
        assert (images[0] - images[1]).abs().float().mean() < 0.5


def test_plain_jpeg_is_decoded_as_pil_does():
    rules = ImageRules()
    file = io.BytesIO()
    picture(61, 47).save(file, 'JPEG')
    data = file.getvalue()
    pixels = decode_plain_jpeg(data, rules)
    assert pixels is not None
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(Image.open(file)))
    assert decode_plain_jpeg(data[: len(data) // 2], rules) is None
    assert decode_plain_jpeg(data, ImageRules(max_pixels=60)) is None
    assert decode_plain_jpeg(data, ImageRules(max_bytes=60)) is None
    assert decode_plain_jpeg(data, ImageRules(formats=('PNG',))) is None
    for number, (mode, kind) in enumerate([('L', 'JPEG'), ('CMYK', 'JPEG'), ('RGB', 'PNG')]):
        other = io.BytesIO()
        picture(20, 14, number, mode).save(other, kind)
        assert decode_plain_jpeg(other.getvalue(), rules) is None
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    picture(20, 14).save(turned, 'JPEG', exif=exif)
    assert decode_plain_jpeg(turned.getvalue(), rules) is None


def test_fast_loader_takes_every_kind_of_file(tmp_path):
    folder = tmp_path / 'class'
    folder.mkdir()
    for number, file in enumerate(files(14)):
        kind = 'png' if file.getvalue()[:4] == b'\x89PNG' else 'jpg'
        (folder / f'{number:03}.{kind}').write_bytes(file.getvalue())
    batches = []
    for fast in (False, True):
        dataset = create_dataset('', tmp_path)
        loader = create_loader(
            dataset, 32, 14, num_workers=0, device=torch.device('cpu'), std=(1 / 255,) * 3, fast_resize=fast
        )
        batches.append(next(iter(loader))[0])
    assert (batches[0] - batches[1]).abs().max() < 2.01


def test_damaged_files_are_named_on_the_fast_path_too(tmp_path):
    root = make_folder(tmp_path / 'images', classes=('a',), numbers=(1,))
    file = tmp_path / 'images' / 'a' / 'im1.jpg'
    file.write_bytes(file.read_bytes()[:400])
    dataset = create_dataset('', root)
    dataset.transform = create_transform(32, fast_resize=True)
    with pytest.raises(ValueError, match=r'im1\.jpg'):
        dataset[0]


def test_difference_is_logged(tmp_path, caplog):
    root = make_folder(tmp_path / 'images', numbers=(1,))
    with caplog.at_level(logging.INFO):
        create_loader(create_dataset('', root), 32, 2, num_workers=0, device=torch.device('cpu'), fast_resize=True)
    largest, mean = resize_difference((32, 32), 'bilinear')
    assert f'{largest} of 255' in caplog.text
    assert f'{mean:.4f}' in caplog.text
    assert 0 < largest <= 2
    assert resize_difference((32, 32), 'box') == (0, 0.0)


@pytest.mark.parametrize(
    ('options', 'hint'), [({'is_training': True}, 'training'), ({'worker_type': 'fibre'}, 'fibre')]
)
def test_threads_that_would_share_generators_are_refused(tmp_path, options, hint):
    dataset = create_dataset('', make_folder(tmp_path / 'images', numbers=(1,)))
    with pytest.raises(ValueError, match=hint):
        create_loader(dataset, 32, 2, num_workers=2, **{'worker_type': 'thread', **options})


def test_fast_resize_of_grey_images_has_one_channel():
    pixels = fast_resize(picture(40, 30, mode='L'), (20, 26), (2, 3, 10, 12), Image.Resampling.BICUBIC)
    assert pixels.shape == (1, 10, 12)
    assert isinstance(Compose([], fast=True)(pixels), Image.Image)
