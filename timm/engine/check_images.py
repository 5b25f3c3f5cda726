# pyright: strict
"""Every image of a folder or tar file read once, as a training would: which of them cannot be read, and why.

No torch is loaded for it, so that it starts at once and takes little more memory than the images that it looks at.
"""

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from timm.data._damage import DamagedSample
from timm.data._decode import DamagedImageError, ImageRules, channels_of, decode
from timm.data.readers import create_reader
from timm.data.readers.reader import Reader

from .check_options import CheckOptions
from .exits import DataError, StorageError, UsageError
from .options import DataOptions
from .report import Progressbar
from .tables import print_json

__all__ = ['damaged_images', 'run']

_logger = logging.getLogger(__name__)
_LOG_INTERVAL = 1000
# Images whose reading is asked for at once: enough for all threads, few enough to be held.
_AHEAD = 256


def run(options: CheckOptions) -> None:
    """Read all images, and name those that cannot be.

    Raises:
        UsageError: There is nothing to read from, or no such mode.
        StorageError: The report cannot be written.
        DataError: There is no image, or some cannot be read.
    """
    reader = _open(options.data)
    progress = Progressbar('check', len(reader), _LOG_INTERVAL)
    count = 0
    with ExitStack() as stack:
        report = None
        if options.read.report:
            try:
                report = stack.enter_context(Path(options.read.report).open('w', encoding='utf-8', buffering=1))
            except OSError as error:
                raise StorageError(f'cannot write {options.read.report}: {error.strerror}') from error
        for damaged in damaged_images(reader, options.data, options.read.workers):
            if damaged is not None:
                count += 1
                _logger.warning('%r: %s', damaged.path, damaged.cause)
                if report is not None:
                    report.write(json.dumps(damaged._asdict()) + '\n')
            progress.step(1, {'damaged': count})
    progress.close()
    print_json({'images': len(reader), 'damaged': count, 'report': options.read.report or None})
    if count:
        listed = f', listed in {options.read.report}' if options.read.report else '; --report FILE.jsonl lists them'
        raise DataError(f'{count} of {len(reader)} images cannot be read{listed}')


def damaged_images(reader: Reader, options: DataOptions, workers: int = 4) -> Iterator[DamagedSample | None]:
    """Read every image, in the order of the reader: what is wrong with it, or None where nothing is."""
    rules = ImageRules(max_pixels=options.max_image_pixels)

    def read(index: int) -> DamagedSample | None:
        try:
            decode(reader[index][0], options.input_img_mode, rules)
        except (DamagedImageError, OSError) as error:
            cause = error.cause if isinstance(error, DamagedImageError) else str(error)
            return DamagedSample(reader.filename(index, absolute=True), cause, 0, index, None)
        return None

    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(reader), _AHEAD):
            yield from pool.map(read, range(start, min(start + _AHEAD, len(reader))))


def _open(options: DataOptions) -> Reader:
    if not options.root:
        raise UsageError('no data: give the folder or .tar file that holds the images')
    try:
        channels_of(options.input_img_mode or 'RGB')
    except ValueError as error:
        raise UsageError(f'--input-img-mode: {error}') from None
    try:
        return create_reader('', root=options.root, input_key=options.input_key)
    except (RuntimeError, ValueError, OSError) as error:
        raise DataError(str(error)) from error
