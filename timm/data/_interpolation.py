"""Resize filters by name, for PIL and for torchvision."""

from difflib import get_close_matches

from PIL import Image
from torchvision.transforms import InterpolationMode

__all__ = [
    'RANDOM_INTERPOLATION',
    'interp_mode_to_str',
    'str_to_interp_mode',
    'str_to_pil_interp',
]

_PIL_FILTERS = {
    'nearest': Image.Resampling.NEAREST,
    'bilinear': Image.Resampling.BILINEAR,
    'bicubic': Image.Resampling.BICUBIC,
    'box': Image.Resampling.BOX,
    'hamming': Image.Resampling.HAMMING,
    'lanczos': Image.Resampling.LANCZOS,
}
# What 'random' interpolation draws from.
RANDOM_INTERPOLATION = (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)


def str_to_interp_mode(mode_str: str) -> InterpolationMode:
    """A filter's name as torchvision's constant.

    Raises:
        ValueError: There is no filter of this name.
    """
    return InterpolationMode(_known(mode_str))


def str_to_pil_interp(mode_str: str) -> Image.Resampling:
    """A filter's name as PIL's constant.

    Raises:
        ValueError: There is no filter of this name.
    """
    return _PIL_FILTERS[_known(mode_str)]


def interp_mode_to_str(mode: InterpolationMode) -> str:
    """The name of torchvision's constant.

    Raises:
        ValueError: PIL has no such filter ('nearest-exact').
    """
    return _known(mode.value)


def _known(name: str) -> str:
    if name not in _PIL_FILTERS:
        close = get_close_matches(str(name), _PIL_FILTERS)
        hint = f'did you mean {close[0]!r}?' if close else f'known are {", ".join(_PIL_FILTERS)}'
        if name == 'random':
            hint = "'random' is for training crops alone"
        raise ValueError(f'no interpolation {name!r}: {hint}')
    return name
