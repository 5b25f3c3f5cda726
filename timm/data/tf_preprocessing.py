"""Preprocessing by TensorFlow's own operations, as the first EfficientNets and MNASNets were trained and measured with.

The images are JPEG files as bytes. An evaluation takes the central square whose side is size / (size + 32) of the
shorter side; a training takes a random part of 8 % to 100 % of the area, and flips it at random. Both resize with the
filters of TensorFlow 1, without antialiasing and with pixels at their corners. Random choices follow torch's generator.
"""

import importlib.util
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = [
    'CROP_PADDING',
    'IMAGE_SIZE',
    'TfPreprocessTransform',
    'preprocess_for_eval',
    'preprocess_for_train',
    'preprocess_image',
]

IMAGE_SIZE = 224
CROP_PADDING = 32


def _check_tensorflow() -> None:
    """Refuse to go on without TensorFlow.

    Raises:
        ImportError: It is not installed; the text says how to.
    """
    if importlib.util.find_spec('tensorflow') is None:
        raise ImportError('tf_preprocessing works with TensorFlow: pip install "timm[tensorflow]"', name='tensorflow')


def _tensorflow() -> Any:
    """TensorFlow, which is kept off accelerators."""
    _check_tensorflow()
    import tensorflow as tf

    tf.config.set_visible_devices([], 'GPU')
    return tf


def preprocess_image(
    image_bytes: bytes,
    is_training: bool = False,
    use_bfloat16: bool = False,
    image_size: int = IMAGE_SIZE,
    interpolation: str = 'bicubic',
) -> Any:
    """A JPEG file as a TensorFlow tensor (image_size, image_size, 3) with values from 0 to 255, or a little beyond."""
    prepare = preprocess_for_train if is_training else preprocess_for_eval
    return prepare(image_bytes, use_bfloat16, image_size, interpolation)


def preprocess_for_eval(
    image_bytes: bytes, use_bfloat16: bool, image_size: int = IMAGE_SIZE, interpolation: str = 'bicubic'
) -> Any:
    """The central square; see `preprocess_image`."""
    tf = _tensorflow()
    height, width, _ = (int(n) for n in tf.image.extract_jpeg_shape(image_bytes))
    share = np.float32(image_size / (image_size + CROP_PADDING))
    side = int(share * np.float32(min(height, width)))
    window = [(height - side + 1) // 2, (width - side + 1) // 2, side, side]
    return _resized(tf, image_bytes, window, image_size, interpolation, use_bfloat16)


def preprocess_for_train(
    image_bytes: bytes, use_bfloat16: bool, image_size: int = IMAGE_SIZE, interpolation: str = 'bicubic'
) -> Any:
    """A random part, flipped or not; see `preprocess_image`."""
    tf = _tensorflow()
    shape = tf.image.extract_jpeg_shape(image_bytes)
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        bounding_boxes=[[[0.0, 0.0, 1.0, 1.0]]],
        seed=torch.randint(2**31 - 1, (2,)).tolist(),
        min_object_covered=0.1,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    window = [int(begin[0]), int(begin[1]), int(size[0]), int(size[1])]
    if window[2:] == [int(shape[0]), int(shape[1])]:  # no part of that kind was found
        image = preprocess_for_eval(image_bytes, use_bfloat16, image_size, interpolation)
    else:
        image = _resized(tf, image_bytes, window, image_size, interpolation, use_bfloat16)
    return tf.image.flip_left_right(image) if torch.rand(()) < 0.5 else image


def _resized(tf: Any, image_bytes: bytes, window: list[int], size: int, interpolation: str, use_bfloat16: bool) -> Any:
    """The part of a JPEG file in a window (top, left, height, width), resized to a square."""
    methods = tf.image.ResizeMethod
    method = methods.BICUBIC if interpolation == 'bicubic' else methods.BILINEAR
    image = tf.io.decode_and_crop_jpeg(image_bytes, window, channels=3)
    image = tf.compat.v1.image.resize(image[None], [size, size], method)[0]
    return tf.cast(image, tf.bfloat16 if use_bfloat16 else tf.float32)


class TfPreprocessTransform:
    """A JPEG file as bytes -> uint8 array (3, size, size); for datasets with `load_bytes=True`.

    Args:
        interpolation: 'bicubic'; anything else is bilinear.
    """

    def __init__(
        self, is_training: bool = False, size: int | tuple[int, ...] = IMAGE_SIZE, interpolation: str = 'bicubic'
    ) -> None:
        _check_tensorflow()  # not imported here: what it has started does not survive a fork
        self.is_training = is_training
        self.size = size if isinstance(size, int) else size[-1]
        self.interpolation = interpolation

    def __call__(self, image_bytes: bytes) -> NDArray[np.uint8]:
        """Prepare one image.

        Raises:
            TypeError: It is an image already.
        """
        if not isinstance(image_bytes, bytes):
            raise TypeError(
                f'tf_preprocessing decodes images itself: make the dataset with load_bytes=True; '
                f'it gives {type(image_bytes).__name__}'
            )
        image = preprocess_image(image_bytes, self.is_training, False, self.size, self.interpolation)
        return image.numpy().round().clip(0, 255).astype(np.uint8).transpose(2, 0, 1)
