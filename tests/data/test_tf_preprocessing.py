"""Preprocessing by TensorFlow: what it needs, and what it computes."""

import importlib.util
import io

import numpy as np
import pytest
from PIL import Image

from timm.data import create_dataset, create_loader, create_transform
from timm.data.tf_preprocessing import TfPreprocessTransform


def test_missing_tensorflow_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'timm\[tensorflow\]'):
        create_transform(32, tf_preprocessing=True, use_prefetcher=True)


def test_it_goes_with_a_prefetcher_and_bytes(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: object())
    with pytest.raises(ValueError, match='use_prefetcher'):
        create_transform(32, tf_preprocessing=True)
    with pytest.raises(ValueError, match='use_prefetcher'):
        create_transform(32, is_training=True, tf_preprocessing=True, use_prefetcher=True, separate=True)
    transform = create_transform((3, 32, 32), tf_preprocessing=True, use_prefetcher=True)
    with pytest.raises(TypeError, match=r'load_bytes=True.*Image'):
        transform(Image.new('RGB', (9, 8)))


def jpeg(width, height, left=(200, 0, 0), right=(0, 0, 200)):
    """A picture of two halves."""
    image = Image.new('RGB', (width, height), left)
    image.paste(right, (width // 2, 0, width, height))
    file = io.BytesIO()
    image.save(file, 'jpeg', quality=100, subsampling=0)
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')  # of TensorFlow's own
def test_central_square_is_resized():
    pytest.importorskip('tensorflow')
    for interpolation in ('bicubic', 'bilinear'):
        image = TfPreprocessTransform(size=32, interpolation=interpolation)(jpeg(200, 100))
        assert image.shape == (3, 32, 32)
        assert image.dtype == np.uint8
        # Side 100 x 32 / 64 = 50, from column 75 on: half of it on each side of the edge at 100.
        assert np.abs(image[:, 16, 2].astype(int) - (200, 0, 0)).max() <= 3
        assert np.abs(image[:, 16, 29].astype(int) - (0, 0, 200)).max() <= 3
        # Corner-aligned pixels: column 16 of the result is column 25 of the square, the first of the other half.
        assert np.abs(image[:, 16, 16].astype(int) - (0, 0, 200)).max() <= 3


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
def test_training_is_seeded_by_torch(tmp_path):
    torch = pytest.importorskip('torch')
    pytest.importorskip('tensorflow')
    transform = TfPreprocessTransform(is_training=True, size=16)
    data = jpeg(80, 60)

    def draws(seed):
        torch.manual_seed(seed)
        return np.stack([transform(data) for _ in range(12)])

    assert (draws(0) == draws(0)).all()
    assert (draws(0) != draws(1)).any()
    reds_on_the_left = [image[0, 8, 0] > image[0, 8, -1] for image in draws(0)]
    assert any(reds_on_the_left)
    assert not all(reds_on_the_left)
    for name in 'ab':
        (tmp_path / name).mkdir()
        (tmp_path / name / 'x.jpg').write_bytes(data)
    dataset = create_dataset('', str(tmp_path), load_bytes=True)
    loader = create_loader(dataset, 16, 2, num_workers=1, tf_preprocessing=True, device=torch.device('cpu'))
    assert [tuple(images.shape) for images, _ in loader] == [(2, 3, 16, 16)]
