"""From a file to a PIL image, with one exception for everything that can be wrong with the file."""

import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

__all__ = ['DamagedImageError', 'decode']

# What PIL may open. Formats that run other programs or describe drawings (EPS, WMF, PDF) are left out.
_FORMATS = frozenset(
    ('AVIF', 'BMP', 'DIB', 'GIF', 'ICO', 'JPEG', 'JPEG2000', 'MPO', 'PCX', 'PNG', 'PPM', 'TGA', 'TIFF', 'WEBP')
)
# What PIL is known to raise on files that are cut off, garbled or hostile.
_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class DamagedImageError(ValueError):
    """An image that cannot be read: `path` says which, `cause` why."""

    def __init__(self, path: str, cause: str | None = None) -> None:
        # A loader rebuilds the exception of a worker from its text alone; that text then says everything.
        super().__init__(path if cause is None else f'cannot read image {path!r}: {cause}')
        self.path = path
        self.cause = cause or path

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.cause)


def decode(source: Any, mode: str | None = 'RGB') -> Image.Image:
    """Decode an image file, whole, and convert it.

    Args:
        source: A path, an open binary file (closed afterwards), or a PIL image.
        mode: PIL mode to convert to; None or '' keeps that of the file.

    Raises:
        DamagedImageError: It is not an image of an accepted format, is cut off or garbled, or is larger than
            `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    try:
        if isinstance(source, str | Path):
            source = Path(source).open('rb')  # noqa: SIM115 - closed below
        image = source if isinstance(source, Image.Image) else Image.open(source)
        _check(image, from_file=image is not source)
        if mode and image.mode != mode:
            return image.convert(mode)
        image.load()
        return image
    except _FAULTS as error:
        name = str(getattr(source, 'name', source))
        raise DamagedImageError(name, f'{type(error).__name__}: {error}') from error
    finally:
        if not isinstance(source, str | Path | Image.Image):
            source.close()


def _check(image: Image.Image, from_file: bool) -> None:
    if from_file and image.format not in _FORMATS:
        raise UnidentifiedImageError(f'format {image.format} is not accepted')
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise Image.DecompressionBombError(
            f'{image.width} x {image.height} pixels are more than PIL.Image.MAX_IMAGE_PIXELS = {limit}'
        )
