"""Windows of resized images for less than the whole resize costs: to the bit as PIL, or faster and nearly so.

Sizes are (height, width), windows (top, left, height, width) in pixels of the resized image.
"""

import io
import math

import numpy as np
import torch
import torchvision  # noqa: F401 - registers torch.ops.image
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ._decode import ImageRules, plain_jpeg

__all__ = [
    'Size',
    'Window',
    'as_image',
    'decode_plain_jpeg',
    'fast_resize',
    'is_inside',
    'reduction',
    'resize_reduced',
    'resize_window',
]

Size = tuple[int, int]
Window = tuple[int, int, int, int]

# How far PIL's filters reach to either side: in pixels of the result where the image shrinks, else of the image. All
# end in zero; that of BOX does not, so the last place of a position can decide about a pixel there.
_REACH = {
    Image.Resampling.BILINEAR: 1.0,
    Image.Resampling.HAMMING: 1.0,
    Image.Resampling.BICUBIC: 2.0,
    Image.Resampling.LANCZOS: 3.0,
}
_FAST_FILTERS = {Image.Resampling.BILINEAR: 'bilinear', Image.Resampling.BICUBIC: 'bicubic'}
_MODES = ('L', 'RGB')
_REDUCTIONS = (8, 4, 2)  # which a JPEG can be decoded at: fewer frequencies of each block of 8 x 8
# torchvision's function for it warns that it will go; until it has, its kernel is faster than PIL.
_decode_jpeg = getattr(torch.ops.image, 'decode_jpeg', None)
_AS_IT_IS = 0  # its mode for the channels of the file


def is_inside(size: Size, window: Window) -> bool:
    """Whether a window holds anything, and nothing outside an image of this size."""
    top, left, height, width = window
    return height > 0 and width > 0 and 0 <= top <= size[0] - height and 0 <= left <= size[1] - width


def resize_window(image: Image.Image, size: Size, window: Window, resample: Image.Resampling) -> Image.Image:
    """A window of a resized PIL image: the bytes of `image.resize(...)` and then `crop(...)`.

    PIL filters each row, rounds to bytes, then filters each column. Both passes are done here for what the window
    needs. PIL takes the edges of a part in single precision, so the filters of a part that begins in the middle come
    out the same only where its edges have few digits. Where there is no such part, the whole length is computed.
    """
    if window == (0, 0, *size):
        return image.resize((size[1], size[0]), resample)
    top, left, height, width = window
    if (
        resample not in _REACH
        or image.mode not in _MODES
        or not _rows_first(image, size)
        or not is_inside(size, window)
    ):
        return image.resize((size[1], size[0]), resample).crop((left, top, left + width, top + height))
    rows = _Axis(image.height, size[0], top, height, _REACH[resample])
    columns = _Axis(image.width, size[1], left, width, _REACH[resample])
    return _filter_columns(_filter_rows(image, rows, columns, resample), rows, resample)


def _rows_first(image: Image.Image, size: Size) -> bool:
    """Whether PIL filters rows before columns: before version 13 always, but for strips 100 times as high as wide.

    Since then columns come first where the height loses more than twice as many pixels as the width.
    """
    lost_height, lost_width = image.height - size[0], image.width - size[1]
    return image.height <= 100 * image.width and (lost_height <= 0 or lost_height < 2 * lost_width)


class _Axis:
    """What is computed along one axis of a resize from `length` to `resized` pixels, of which `count` are wanted.

    Attributes:
        part: First pixel of the result that is computed, and the one after the last.
        edges: Where that part begins and ends in the image.
        source: First pixel of the image that the wanted ones depend on, and the one after the last.
    """

    def __init__(self, length: int, resized: int, first: int, count: int, reach: float) -> None:
        self.length, self.resized, self.first, self.count = length, resized, first, count
        self.part = _exact_part(length, resized, first, count)
        self.edges = self.part[0] * length / resized, self.part[1] * length / resized
        begin, end = (first, first + count) if self.is_whole else self.part
        reach = reach * max(length / resized, 1.0) + 1.0
        self.source = (
            max(0, math.floor(begin * length / resized - reach)),
            min(length, math.ceil(end * length / resized + reach)),
        )

    @property
    def is_resized(self) -> bool:
        """Whether PIL filters along this axis at all."""
        return self.length != self.resized

    @property
    def is_whole(self) -> bool:
        """Whether all of the result is computed."""
        return self.part == (0, self.resized)


def _exact_part(length: int, resized: int, first: int, count: int) -> tuple[int, int]:
    """The smallest part around the wanted pixels whose edges single precision holds; all of the result at worst.

    Positions in such a part are those of the whole to 1e-13 of a pixel, and PIL rounds its weights to 2^-22.
    """
    step = resized // math.gcd(length, resized)
    step //= step & -step  # over this many pixels the edge moves by a whole number over a power of two
    begin, end = first // step * step, -(-(first + count) // step) * step
    is_held = all(edge == np.float32(edge) for edge in (begin * length / resized, end * length / resized))
    is_small = end - begin < min(resized, 2 * count)
    return (begin, end) if is_held and is_small and end <= resized else (0, resized)


def _filter_rows(image: Image.Image, rows: _Axis, columns: _Axis, resample: Image.Resampling) -> Image.Image:
    """The rows that the window depends on, filtered and cut to its columns."""
    first, last = rows.source
    left = columns.first
    if columns.is_resized:
        image = _cropped(image, 0, first, columns.length, last)
        begin, end = columns.part
        left_edge, right_edge = columns.edges
        image = image.resize((end - begin, last - first), resample, (left_edge, 0, right_edge, last - first))
        first, last, left = 0, last - first, left - begin
    return _cropped(image, left, first, left + columns.count, last)


def _filter_columns(image: Image.Image, rows: _Axis, resample: Image.Resampling) -> Image.Image:
    """The window, from the rows that it depends on."""
    first, last = rows.source
    width = image.width
    if not rows.is_resized:
        return _cropped(image, 0, rows.first - first, width, rows.first - first + rows.count)
    if not rows.is_whole:
        begin, end = rows.part
        upper_edge, lower_edge = rows.edges
        box = (0, upper_edge - first, width, lower_edge - first)
        image = image.resize((width, end - begin), resample, box)
        return _cropped(image, 0, rows.first - begin, width, rows.first - begin + rows.count)
    if last - first < rows.length:
        canvas = Image.new(image.mode, (width, rows.length))
        canvas.paste(image, (0, first))
        image = canvas
    return _cropped(image.resize((width, rows.resized), resample), 0, rows.first, width, rows.first + rows.count)


def _cropped(image: Image.Image, left: int, top: int, right: int, bottom: int) -> Image.Image:
    box = left, top, right, bottom
    return image if box == (0, 0, *image.size) else image.crop(box)


def decode_plain_jpeg(data: bytes, rules: ImageRules) -> Tensor | None:
    """The pixels (C, H, W) of a JPEG in colour, as PIL decodes it; None where there is more to it, or less."""
    plain = data.startswith(b'\xff\xd8\xff') and b'Exif\0' not in data[:1024] and len(data) <= rules.max_bytes
    if _decode_jpeg is None or not plain or plain_jpeg(io.BytesIO(data), rules) is None:
        return None
    try:
        return _decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), _AS_IT_IS)
    except RuntimeError:  # whoever decodes it in full says what is wrong
        return None


def fast_resize(image: Image.Image | Tensor, size: Size, window: Window, resample: Image.Resampling) -> Tensor:
    """A window of a resized image, a PIL image or bytes (C, H, W), as bytes (C, H, W).

    torch filters with weights of fewer bits than PIL; values differ by 2 at most, by less than 0.01 on average. What
    torch has no filter for is left to PIL.
    """
    top, left, height, width = window
    if resample not in _FAST_FILTERS or not is_inside(size, window):
        return _as_bytes(resize_window(as_image(image), size, window, resample))
    pixels = _as_bytes(image)[None]
    if size != tuple(pixels.shape[2:]):
        pixels = functional.interpolate(pixels, size, mode=_FAST_FILTERS[resample], antialias=True)
    return pixels[0, :, top : top + height, left : left + width]


def reduction(part: Size, resized: Size) -> int:
    """How much smaller a JPEG may be decoded, 1, 2, 4 or 8 times, for a part of it to be resized.

    Each side keeps at least twice the pixels asked, so that the filter of the resize still decides about the result.
    """
    room = min(pixels // (2 * max(asked, 1)) for pixels, asked in zip(part, resized, strict=True))
    return next((factor for factor in _REDUCTIONS if factor <= room), 1)


def resize_reduced(
    image: Image.Image, factor: int, part: Window, size: Size, window: Window, resample: Image.Resampling
) -> Image.Image:
    """A window of a resized part of an image that was decoded `factor` times smaller; `part` counts whole pixels."""
    top, left, height, width = part
    y_step, x_step = height / size[0] / factor, width / size[1] / factor
    x, y = left / factor + window[1] * x_step, top / factor + window[0] * y_step
    right, bottom = x + window[3] * x_step, y + window[2] * y_step
    box = x, y, min(right, image.width), min(bottom, image.height)
    return image.resize((window[3], window[2]), resample, box)


def as_image(image: Image.Image | Tensor) -> Image.Image:
    """A PIL image, or bytes (C, H, W) as one."""
    if isinstance(image, Image.Image):
        return image
    planes = [Image.fromarray(plane) for plane in image.numpy()]
    return planes[0] if len(planes) == 1 else Image.merge('RGB', planes)


def _as_bytes(image: Image.Image | Tensor) -> Tensor:
    if isinstance(image, Tensor):
        return image
    array = np.array(image)
    return torch.from_numpy(array if array.ndim == 3 else array[:, :, None]).permute(2, 0, 1)
