"""The operations of automatic augmentation on PIL images, and what a magnitude of 0 to 10 means to each."""

import functools
import random
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

__all__ = [
    'LEVEL_TO_ARG',
    'NAME_TO_OP',
    'auto_contrast',
    'brightness',
    'color',
    'contrast',
    'desaturate',
    'equalize',
    'gaussian_blur',
    'gaussian_blur_rand',
    'invert',
    'posterize',
    'rotate',
    'sharpness',
    'shear_x',
    'shear_y',
    'solarize',
    'solarize_add',
    'translate_x_abs',
    'translate_x_rel',
    'translate_y_abs',
    'translate_y_rel',
]

_LEVEL_DENOM = 10.0  # the magnitude at which the published ranges end
_RANDOM_INTERPOLATION = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)

Levels = Callable[..., tuple[Any, ...]]


def _geometry(img: Image.Image, options: dict[str, Any]) -> dict[str, Any]:
    """Fill colour and filter of a geometric operation; the filter is drawn where several are given."""
    resample = options.get('resample', Image.Resampling.BICUBIC)
    if isinstance(resample, tuple | list):
        resample = random.choice(resample)
    fill = options.get('fillcolor')
    if fill is not None and len(img.getbands()) == 1 and isinstance(fill, tuple | list):
        fill = round(sum(fill) / len(fill))
    return {'resample': resample, 'fillcolor': fill}


def _affine(img: Image.Image, matrix: tuple[float, ...], options: dict[str, Any]) -> Image.Image:
    return img.transform(img.size, Image.Transform.AFFINE, matrix, **_geometry(img, options))


def shear_x(img: Image.Image, factor: float, **kwargs: Any) -> Image.Image:
    """Shift each row by `factor` times its distance from the top."""
    return _affine(img, (1, factor, 0, 0, 1, 0), kwargs)


def shear_y(img: Image.Image, factor: float, **kwargs: Any) -> Image.Image:
    """Shift each column by `factor` times its distance from the left."""
    return _affine(img, (1, 0, 0, factor, 1, 0), kwargs)


def translate_x_rel(img: Image.Image, pct: float, **kwargs: Any) -> Image.Image:
    """Shift to the left by a share of the width."""
    return translate_x_abs(img, pct * img.width, **kwargs)


def translate_y_rel(img: Image.Image, pct: float, **kwargs: Any) -> Image.Image:
    """Shift upwards by a share of the height."""
    return translate_y_abs(img, pct * img.height, **kwargs)


def translate_x_abs(img: Image.Image, pixels: float, **kwargs: Any) -> Image.Image:
    """Shift to the left."""
    return _affine(img, (1, 0, pixels, 0, 1, 0), kwargs)


def translate_y_abs(img: Image.Image, pixels: float, **kwargs: Any) -> Image.Image:
    """Shift upwards."""
    return _affine(img, (1, 0, 0, 0, 1, pixels), kwargs)


def rotate(img: Image.Image, degrees: float, **kwargs: Any) -> Image.Image:
    """Turn about the centre, counter-clockwise; the frame stays."""
    return img.rotate(degrees, **_geometry(img, kwargs))


def auto_contrast(img: Image.Image, **__: Any) -> Image.Image:
    """Stretch each channel to the full range."""
    return ImageOps.autocontrast(img)


def invert(img: Image.Image, **__: Any) -> Image.Image:
    """The negative."""
    return ImageOps.invert(img)


def equalize(img: Image.Image, **__: Any) -> Image.Image:
    """Level each channel's histogram."""
    return ImageOps.equalize(img)


def solarize(img: Image.Image, thresh: int, **__: Any) -> Image.Image:
    """Invert the values from `thresh` on."""
    return ImageOps.solarize(img, thresh)


def solarize_add(img: Image.Image, add: int, thresh: int = 128, **__: Any) -> Image.Image:
    """Brighten the values below `thresh`."""
    if img.mode not in ('L', 'RGB'):
        return img
    table = [min(255, value + add) if value < thresh else value for value in range(256)]
    return img.point(table * len(img.getbands()))


def posterize(img: Image.Image, bits_to_keep: int, **__: Any) -> Image.Image:
    """Keep the upper bits of each value; none of them leaves black."""
    if bits_to_keep >= 8:
        return img
    mask = 0xFF << (8 - bits_to_keep) & 0xFF
    return img.point([value & mask for value in range(256)] * len(img.getbands()))


def contrast(img: Image.Image, factor: float, **__: Any) -> Image.Image:
    """Away from mean grey (above 1), or towards it."""
    return ImageEnhance.Contrast(img).enhance(factor)


def color(img: Image.Image, factor: float, **__: Any) -> Image.Image:
    """Away from the image in grey (above 1), or towards it."""
    return ImageEnhance.Color(img).enhance(factor)


def brightness(img: Image.Image, factor: float, **__: Any) -> Image.Image:
    """Away from black (above 1), or towards it."""
    return ImageEnhance.Brightness(img).enhance(factor)


def sharpness(img: Image.Image, factor: float, **__: Any) -> Image.Image:
    """Away from the blurred image (above 1), or towards it."""
    return ImageEnhance.Sharpness(img).enhance(factor)


def gaussian_blur(img: Image.Image, factor: float, **__: Any) -> Image.Image:
    """Blur with a radius of `factor` pixels."""
    return img.filter(ImageFilter.GaussianBlur(radius=factor))


def gaussian_blur_rand(img: Image.Image, factor: float, **__: Any) -> Image.Image:
    """Blur with a radius drawn from 0.1 to 2 pixels, times `factor`."""
    return gaussian_blur(img, random.uniform(0.1, 2.0 * factor))


def desaturate(img: Image.Image, factor: float, **_: Any) -> Image.Image:
    """Towards grey by `factor`, which gets there at 1."""
    return color(img, min(1.0, max(0.0, 1.0 - factor)))


def _randomly_negate(v: float) -> float:
    """One sign or the other, as likely."""
    return -v if random.random() > 0.5 else v


def _signed(level: float, full: float) -> tuple[float]:
    return (_randomly_negate(level / _LEVEL_DENOM * full),)


def _rotate_level_to_arg(level: float, _hparams: dict[str, Any]) -> tuple[float]:
    return _signed(level, 30.0)  # degrees


def _shear_level_to_arg(level: float, _hparams: dict[str, Any]) -> tuple[float]:
    return _signed(level, 0.3)


def _translate_abs_level_to_arg(level: float, hparams: dict[str, Any]) -> tuple[float]:
    return _signed(level, float(hparams['translate_const']))


def _translate_rel_level_to_arg(level: float, hparams: dict[str, Any]) -> tuple[float]:
    return _signed(level, hparams.get('translate_pct', 0.45))


def _enhance_level_to_arg(level: float, _hparams: dict[str, Any]) -> tuple[float]:
    return (level / _LEVEL_DENOM * 1.8 + 0.1,)  # 1 is no change


def _enhance_increasing_level_to_arg(level: float, _hparams: dict[str, Any]) -> tuple[float]:
    return (max(0.1, 1.0 + _randomly_negate(level / _LEVEL_DENOM * 0.9)),)


def _minmax_level_to_arg(
    level: float,
    _hparams: dict[str, Any],
    min_val: float = 0.0,
    max_val: float = 1.0,
    clamp: bool = True,
) -> tuple[float]:
    value = min_val + (max_val - min_val) * level / _LEVEL_DENOM
    return (min(max(value, min_val), max_val) if clamp else value,)


def _posterize_level_to_arg(level: float, _hparams: dict[str, Any]) -> tuple[int]:
    return (int(level / _LEVEL_DENOM * 4),)  # as in the EfficientNet code: bits kept, 0 to 4


def _posterize_increasing_level_to_arg(level: float, hparams: dict[str, Any]) -> tuple[int]:
    return (4 - _posterize_level_to_arg(level, hparams)[0],)


def _posterize_original_level_to_arg(level: float, _hparams: dict[str, Any]) -> tuple[int]:
    return (int(level / _LEVEL_DENOM * 4) + 4,)  # as in the AutoAugment paper, table 6


def _solarize_level_to_arg(level: float, _hparams: dict[str, Any]) -> tuple[int]:
    return (min(256, int(level / _LEVEL_DENOM * 256)),)


def _solarize_increasing_level_to_arg(level: float, _hparams: dict[str, Any]) -> tuple[int]:
    return (256 - _solarize_level_to_arg(level, _hparams)[0],)


def _solarize_add_level_to_arg(level: float, _hparams: dict[str, Any]) -> tuple[int]:
    return (min(128, int(level / _LEVEL_DENOM * 110)),)


# Name of an operation: what it does, and how a magnitude becomes its arguments (None: it has none).
_OPERATIONS: dict[str, tuple[Callable[..., Image.Image], Levels | None]] = {
    'AutoContrast': (auto_contrast, None),
    'Equalize': (equalize, None),
    'Invert': (invert, None),
    'Rotate': (rotate, _rotate_level_to_arg),
    'Posterize': (posterize, _posterize_level_to_arg),
    'PosterizeIncreasing': (posterize, _posterize_increasing_level_to_arg),
    'PosterizeOriginal': (posterize, _posterize_original_level_to_arg),
    'Solarize': (solarize, _solarize_level_to_arg),
    'SolarizeIncreasing': (solarize, _solarize_increasing_level_to_arg),
    'SolarizeAdd': (solarize_add, _solarize_add_level_to_arg),
    'Color': (color, _enhance_level_to_arg),
    'ColorIncreasing': (color, _enhance_increasing_level_to_arg),
    'Contrast': (contrast, _enhance_level_to_arg),
    'ContrastIncreasing': (contrast, _enhance_increasing_level_to_arg),
    'Brightness': (brightness, _enhance_level_to_arg),
    'BrightnessIncreasing': (brightness, _enhance_increasing_level_to_arg),
    'Sharpness': (sharpness, _enhance_level_to_arg),
    'SharpnessIncreasing': (sharpness, _enhance_increasing_level_to_arg),
    'ShearX': (shear_x, _shear_level_to_arg),
    'ShearY': (shear_y, _shear_level_to_arg),
    'TranslateX': (translate_x_abs, _translate_abs_level_to_arg),
    'TranslateY': (translate_y_abs, _translate_abs_level_to_arg),
    'TranslateXRel': (translate_x_rel, _translate_rel_level_to_arg),
    'TranslateYRel': (translate_y_rel, _translate_rel_level_to_arg),
    'Desaturate': (desaturate, functools.partial(_minmax_level_to_arg, min_val=0.5, max_val=1.0)),
    'GaussianBlur': (gaussian_blur, functools.partial(_minmax_level_to_arg, min_val=0.1, max_val=2.0)),
    'GaussianBlurRand': (gaussian_blur_rand, _minmax_level_to_arg),
}
NAME_TO_OP = {name: operation for name, (operation, _) in _OPERATIONS.items()}
LEVEL_TO_ARG = {name: levels for name, (_, levels) in _OPERATIONS.items()}
