"""From a file to a PIL image: by rules that are stated, with one exception for everything that can be wrong.

What becomes of images that are more than 8-bit RGB, by default as `PIL.Image.open(file).convert('RGB')` has it:

- EXIF orientation is not applied (PIL applies that of TIFF files itself); `ImageRules(orient=True)` applies it.
- Samples of 16 or 32 bits and floats are clipped to 0..255, but 16-bit colour keeps its upper 8 bits;
  `ImageRules(scale=True)` brings 0..65535, and 0..1 of floats, to 0..255.
- Transparency is dropped: pixels keep the colour that lies under it. That holds for palettes too.
- CMYK is converted by formula, without a colour profile. Profiles of RGB images are not applied either.
- Of an animation or a file of several pages the first image is read.

A rule that loses something of an image is logged as a warning the first time that a process applies it.

Whether a file is whole is what its decoder says. That of JPEG invents what is garbled in the middle of a file, and that
of PNG leaves rows black that were never written, without a word.
"""

import difflib
import io
import logging
import math
import os
import stat
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageMode, ImageOps, UnidentifiedImageError

__all__ = ['DamagedImageError', 'ImageRules', 'channels_of', 'decode', 'open_regular', 'plain_jpeg']

_logger = logging.getLogger(__name__)

# What PIL is known to raise on files that are cut off, garbled or hostile; warnings where they are errors.
_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    EOFError,
    MemoryError,
    OverflowError,
    RecursionError,
    ZeroDivisionError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)
_ALPHA = frozenset(('LA', 'La', 'PA', 'RGBA', 'RGBa'))
_LOSSES = {
    'alpha': 'Transparency is dropped, and the colours under it show',
    'clip': 'Samples of more than 8 bits are clipped to 0..255; ImageRules(scale=True) scales them',
    'cmyk': 'CMYK becomes RGB without a colour profile',
    'frames': 'Only the first image of several is read',
    'orientation': 'EXIF orientation is not applied; ImageRules(orient=True) applies it',
}
_told: set[str] = set()


@dataclass(frozen=True)
class ImageRules:
    """Which image files are read, and how.

    Attributes:
        max_pixels: Most pixels of an image. None takes `PIL.Image.MAX_IMAGE_PIXELS` (89.5 million unless it is set;
            None there is no limit). A number above that raises PIL's own limit, for the whole process.
        max_bytes: Most bytes of a file.
        formats: What may be opened, in PIL's names. Formats that run other programs or describe drawings (EPS, WMF) are
            no good idea. JPEG includes MPO.
        orient: Turn an image as its EXIF orientation says.
        scale: Bring 16-bit samples and floats to 8 bits by their range (65535, 1.0) in place of clipping them.

    Raises:
        ValueError: A limit below 1, or a format that PIL cannot open.
    """

    max_pixels: int | None = None
    max_bytes: int = 2**30
    formats: tuple[str, ...] = ('JPEG', 'PNG', 'WEBP', 'GIF', 'BMP', 'TIFF')
    orient: bool = False
    scale: bool = False

    def __post_init__(self) -> None:
        for name in ('max_pixels', 'max_bytes'):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f'{name} of an image is at least 1, got {limit}')
        if self.formats != ImageRules.formats:
            Image.init()
            for name in self.formats:
                if name not in Image.OPEN:
                    near = difflib.get_close_matches(name.upper(), Image.OPEN)
                    raise ValueError(
                        f'PIL opens no format {name!r}; near: {near}, all: {", ".join(sorted(Image.OPEN))}'
                    )


_DEFAULT = ImageRules()


class DamagedImageError(ValueError):
    """An image that cannot be read: `path` says which, `cause` why."""

    def __init__(self, path: str, cause: str | None = None) -> None:
        # A loader rebuilds the exception of a worker from its text alone; that text then says everything.
        super().__init__(path if cause is None else f'cannot read image {path!r}: {cause}')
        self.path = path
        self.cause = cause or path

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.cause)


def channels_of(mode: str) -> int:
    """How many channels images of a PIL mode have.

    Raises:
        ValueError: There is no such mode.
    """
    try:
        return len(ImageMode.getmode(mode).bands)
    except KeyError:
        raise ValueError(f'{mode!r} is no mode of PIL, such as L, RGB, RGBA or CMYK') from None


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file for reading. What may never begin or never end, a pipe or a device, is refused.

    Raises:
        OSError: There is no such file, it cannot be read, or it is of another kind.
    """
    file = open(path, 'rb', opener=_open_at_once)  # noqa: SIM115 - Path.open has no opener; the caller closes
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f'{str(path)!r} is a pipe or a device')
    return file


def _open_at_once(path: str, flags: int) -> int:
    # A pipe that nobody writes to would be waited for; files do not know the flag.
    return os.open(path, flags | getattr(os, 'O_NONBLOCK', 0))


def decode(source: Any, mode: str | None = 'RGB', rules: ImageRules | None = None, *, reduced: int = 1) -> Image.Image:
    """Decode an image file, whole, and convert it.

    Args:
        source: A path, an open binary file (closed afterwards), or a PIL image.
        mode: PIL mode to convert to; None or '' keeps that of the file.
        rules: What is read and how; None is `ImageRules()`.
        reduced: Of a JPEG, decode only 1 of this many pixels along each side: 1, 2, 4 or 8.

    Raises:
        DamagedImageError: It is not an image of an accepted format, is cut off or garbled, or is larger than accepted.
    """
    rules = rules or _DEFAULT
    name = str(source if isinstance(source, Path) else getattr(source, 'name', source))
    try:
        if isinstance(source, Image.Image):
            image = source
        else:
            if isinstance(source, str | Path):
                source = open_regular(source)
            _check_bytes(source, rules.max_bytes)
            image = _open(source, rules)
        _check_pixels(image, rules)
        if reduced > 1:
            image.draft(None, (image.width // reduced, image.height // reduced))
        return _converted(image, mode, rules, name)
    except _FAULTS as error:
        raise DamagedImageError(name, f'{type(error).__name__}: {error}') from error
    finally:
        if not isinstance(source, str | Path | Image.Image):
            source.close()


def plain_jpeg(file: BinaryIO, rules: ImageRules) -> Image.Image | None:
    """The header of a JPEG in colour that is read as it lies there; None where there is more to it, or less."""
    limit = rules.max_pixels or Image.MAX_IMAGE_PIXELS or math.inf
    try:
        header = Image.open(file, formats=('JPEG',))
    except _FAULTS:  # whoever decodes it says what is wrong
        return None
    plain = header.format in rules.formats and header.mode == 'RGB' and not (rules.orient and 'exif' in header.info)
    return header if plain and header.width * header.height <= limit else None


def _check_bytes(file: BinaryIO, limit: int) -> None:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > limit:
        raise ValueError(f'{size} bytes are more than ImageRules.max_bytes = {limit}')


def _open(file: BinaryIO, rules: ImageRules) -> Image.Image:
    limit = Image.MAX_IMAGE_PIXELS
    if rules.max_pixels is not None and limit is not None and rules.max_pixels > limit:
        Image.MAX_IMAGE_PIXELS = rules.max_pixels
    try:
        return Image.open(file, formats=rules.formats)
    except Image.DecompressionBombError as error:
        raise Image.DecompressionBombError(f'{error} ImageRules.max_pixels raises the limit') from None
    except UnidentifiedImageError:
        accepted = ', '.join(rules.formats)
        file.seek(0)
        start = file.read(16)
        raise UnidentifiedImageError(
            f'no image of a format that is read ({accepted}; ImageRules.formats), or a garbled one; it begins {start!r}'
            if start
            else 'the file is empty'
        ) from None


def _check_pixels(image: Image.Image, rules: ImageRules) -> None:
    """Refuse an image by the size in its header, before there are pixels."""
    limit, name = rules.max_pixels, 'ImageRules.max_pixels'
    if limit is None:
        limit, name = Image.MAX_IMAGE_PIXELS, 'PIL.Image.MAX_IMAGE_PIXELS'
    if limit is not None and image.width * image.height > limit:
        raise Image.DecompressionBombError(f'{image.width} x {image.height} pixels are more than {name} = {limit}')


def _converted(image: Image.Image, mode: str | None, rules: ImageRules, name: str) -> Image.Image:
    """The image upright if asked, at the mode asked."""
    image = _upright(image, rules, name)
    if not mode or image.mode == mode:
        image.load()
        if image.format != 'GIF':  # which has to be read on to know, and is then at another image
            _tell_of_frames(image, name)
        return image
    if (image.mode in _ALPHA or 'transparency' in image.info) and mode not in _ALPHA:
        _tell('alpha', name)
        if isinstance(image.info.get('transparency'), bytes):
            image.load()
            del image.info['transparency']  # PIL drops it as well, with a warning for each image
    if image.mode == 'CMYK' and mode != 'CMYK':
        _tell('cmyk', name)
    if image.mode.startswith('I') or image.mode == 'F':
        image = _in_8_bits(image, rules, name)
    converted = image.convert(mode)
    _tell_of_frames(image, name)
    return converted


def _upright(image: Image.Image, rules: ImageRules, name: str) -> Image.Image:
    known = not rules.orient and 'orientation' in _told
    if known or 'exif' not in image.info or image.format == 'TIFF':
        return image
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _FAULTS:  # an EXIF block that cannot be read says nothing about the pixels
        return image
    if orientation not in range(2, 9):
        return image
    if rules.orient:
        return ImageOps.exif_transpose(image)
    _tell('orientation', name)
    return image


def _in_8_bits(image: Image.Image, rules: ImageRules, name: str) -> Image.Image:
    """The image as it is, for PIL to clip, or scaled to 'L'."""
    if not rules.scale:
        _tell('clip', name)
        return image
    samples = np.asarray(image, np.float32)
    samples = samples * 255.0 if image.mode == 'F' else samples / 257.0
    return Image.fromarray(np.nan_to_num(samples).round().clip(0, 255).astype(np.uint8))


def _tell_of_frames(image: Image.Image, name: str) -> None:
    with suppress(*_FAULTS):  # a file may end where the second image should begin
        if 'frames' not in _told and getattr(image, 'is_animated', False):
            _tell('frames', name)


def _tell(loss: str, name: str) -> None:
    if loss not in _told:
        _told.add(loss)
        _logger.warning('%s (first met in %r; said once)', _LOSSES[loss], name)
