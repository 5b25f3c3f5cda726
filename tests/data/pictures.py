"""Small pictures for the tests: every one is a function of its size and a number."""

import os
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ('cat2', 'cat10', 'dog')


def picture(width, height, number=0, mode='RGB'):
    """Smooth waves with a grain, different for each number."""
    y, x = np.mgrid[0:height, 0:width]
    draw = np.random.default_rng(number)
    angles = draw.uniform(0.02, 0.3, (3, 2))
    waves = np.stack([127 + 100 * np.sin(x * a + y * b + number) for a, b in angles], -1)
    grain = draw.normal(0, 12, waves.shape)
    return Image.fromarray((waves + grain).clip(0, 255).astype(np.uint8)).convert(mode)


def make_folder(root, classes=CLASSES, numbers=(1, 2, 10), size=(40, 30)):
    """A folder for each class with JPEGs 'im1.jpg', ... in it; sizes differ a little."""
    for c, name in enumerate(classes):
        folder = Path(root, name)
        folder.mkdir(parents=True)
        for number in numbers:
            picture(size[0] + number, size[1] + c, 100 * c + number).save(folder / f'im{number}.jpg', quality=90)
    return str(root)


def make_tar(path, folder):
    """A tar file of what is in a folder, in the order of its names."""
    with tarfile.open(path, 'w') as tar:
        for place, _, names in sorted(os.walk(folder)):
            for name in sorted(names):
                file = os.path.join(place, name)
                tar.add(file, arcname=os.path.relpath(file, folder))
    return str(path)
