"""Images in WebDataset shards: tar files in which the parts of a sample lie side by side under one name.

Shards are read here without the package webdataset, which opens those that are not local files. Nothing in them is
unpickled, and a shard that is the output of a command ('pipe:...') is refused unless it is trusted explicitly.
"""

import io
import json
import logging
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from timm.data._decode import DamagedImageError, decode

from ._labels import ClassMap, Labels
from ._stream import RawSample, StreamReader, Wanted
from ._wds_split import SplitInfo, expand_urls, find_split, load_info
from .targets import get_field, has_field, parse_target_keys

__all__ = ['SAMPLE_INITIAL_SIZE', 'SAMPLE_SHUFFLE_SIZE', 'ReaderWds', 'SplitInfo', 'WdsTargetKeyError', 'expand_urls']

_logger = logging.getLogger(__name__)

SAMPLE_SHUFFLE_SIZE = int(os.environ.get('WDS_SHUFFLE_SIZE', '8192'))
SAMPLE_INITIAL_SIZE = int(os.environ.get('WDS_INITIAL_SIZE', '2048'))

# 'folder/name.seg.png' is the part 'seg.png' of the sample 'folder/name'.
_PART = re.compile(r'((?:.*/)?[^./]+)\.([^/]+)')
_TAR_FAULTS = (tarfile.TarError, EOFError, OSError, ValueError)


class WdsTargetKeyError(ValueError):
    """A sample lacks the field that targets are taken from."""


class ReaderWds(StreamReader):
    """Samples of WebDataset shards; see `_stream` for order and counts.

    Args:
        root: Folder of the shards, or its URL.
        name: Has no effect.
        split: Name of a split in the root's info file; or shards, as 'train-{000..127}.tar', several of them joined by
            '::', with their number of samples after a '|'.
        num_samples: Samples of the split, where neither the info file nor `split` says so. Local shards are counted.
        input_key: Parts that may hold the image, the first that is there counts.
        target_key: Field of the part 'json' that holds the target, or several on/off fields; None reads the part 'cls',
            or the field that the info file names. Samples with a negative one are left out.
        target_img_mode: PIL mode of targets that are images, in the part `target_key`.
        filename_key: Field of the part 'json' that holds the name of the file.
        sample_shuffle_size: Samples held to be shuffled, over all slots.
        sample_initial_size: Has no effect: what is shuffled is always held in full.
        trust_remote_code: Run the commands of shards that are such ('pipe:...').
        max_steps: Batches in an epoch, where that is not the whole split.

    Raises:
        ValueError: There is no such split, or its number of samples is not known.
        FileNotFoundError: There is no such shard.
        ImportError: Shards are not local files, and webdataset is not installed.
    """

    def __init__(
        self,
        root: str,
        name: str | None = None,
        split: str = 'train',
        is_training: bool = False,
        num_samples: int | None = None,
        batch_size: int = 1,
        repeats: int = 0,
        seed: int = 42,
        class_map: ClassMap = None,
        input_key: str = 'jpg;png;webp',
        input_img_mode: str | None = 'RGB',
        target_key: str | None = None,
        target_format: str | None = None,
        target_img_mode: str = '',
        filename_key: str = 'filename',
        sample_shuffle_size: int | None = None,
        sample_initial_size: int | None = None,
        trust_remote_code: bool = False,
        max_steps: int | None = None,
    ) -> None:
        del name, sample_initial_size
        super().__init__(is_training, batch_size, seed, repeats, sample_shuffle_size or SAMPLE_SHUFFLE_SIZE, max_steps)
        if root is None:
            raise ValueError(f'wds/ needs a root: the folder or URL of the shards of {split!r}')
        self.root = os.fspath(root)
        self.trusts_commands = trust_remote_code
        self.info = load_info(self.root, self._opened)
        self.split_info = find_split(self.root, split, self.info)
        self.urls = [os.path.join(self.root, file) for file in self.split_info.filenames]  # noqa: PTH118 - may be URLs
        self.input_keys = input_key.lower().split(';')
        self.input_img_mode = input_img_mode
        self.target_img_mode = target_img_mode
        self.filename_key = filename_key
        self._json_key = '' if target_img_mode else target_key or self.split_info.alt_label
        self.labels = Labels(target_key or self._json_key or 'cls', target_format, class_map)
        self.class_to_idx = self.labels.class_to_idx
        self._check_shards(self.split_info.shard_lengths)
        self.num_samples = num_samples or self.split_info.num_samples or sum(self.shard_lengths or self._counted())

    def _check_shards(self, lengths: tuple[int, ...]) -> None:
        local = all(map(_is_local, self.urls))
        for url in self.urls:
            if url.startswith('pipe:') and not self.trusts_commands:
                raise ValueError(f'shard {url!r} would run a command: pass trust_remote_code=True if you trust it')
            if _is_local(url) and not Path(_path_of(url)).is_file():
                others = sorted(path.name for path in Path(_path_of(url)).parent.glob('*.tar'))
                there = f'; there are {", ".join(others[:5])}{", ..." if len(others) > 5 else ""}' if others else ''
                raise FileNotFoundError(f'no shard {url!r}{there}')
        if lengths and local:  # samples of remote shards cannot be passed over without being fetched
            self.shard_lengths = lengths

    def _counted(self) -> tuple[int, ...]:
        """Lengths of the shards, by their headers."""
        if not all(map(_is_local, self.urls)):
            raise ValueError(
                f'how many samples {self.split_info.name or self.urls[0]!r} has is not known: pass num_samples, or put '
                f"it behind the shards, as in 'train-{{000..127}}.tar|100000'"
            )
        self.shard_lengths = tuple(
            sum(1 for _ in self._parts(i, lambda _: False, set())) for i in range(len(self.urls))
        )
        _logger.info('Counted %d samples in %d shards of %s', sum(self.shard_lengths), len(self.urls), self.root)
        return self.shard_lengths

    @property
    def num_shards(self) -> int:
        """Tar files of the split."""
        return len(self.urls)

    @contextmanager
    def _opened(self, url: str) -> Iterator[Any]:
        """A file or URL, open to be read."""
        if _is_local(url):
            with Path(_path_of(url)).open('rb') as file:
                yield file
            return
        if url.startswith('pipe:') and not self.trusts_commands:
            raise ValueError(f'{url!r} would run a command: pass trust_remote_code=True if you trust it')
        try:
            from webdataset.gopen import gopen
        except ImportError as error:
            raise ImportError(
                f'{url!r} is opened with the package webdataset: pip install "timm[readers]" ({error})',
                name='webdataset',
            ) from error
        with gopen(url) as stream:
            yield stream

    def _read(self, shard: int, wanted: Wanted) -> Iterator[RawSample]:
        needed = {*self.input_keys, self.labels.key.lower() if self.target_img_mode else 'cls', 'json'}
        length = 0
        for number, (name, parts) in enumerate(self._parts(shard, wanted, needed)):
            length = number + 1
            if wanted(number):
                yield RawSample(f'{self.urls[shard]}/{name}', parts)
        if self.shard_lengths is not None and not self.is_training and length != self.shard_lengths[shard]:
            raise ValueError(
                f'{self.urls[shard]!r} holds {length} samples, and not {self.shard_lengths[shard]} as its info says'
            )

    def _parts(self, shard: int, wanted: Wanted, needed: set[str]) -> Iterator[tuple[str, dict[str, bytes]]]:
        """The samples of a shard by name, with the bytes of the parts that are needed of those that are wanted."""
        url = self.urls[shard]
        try:
            with self._opened(url) as file, tarfile.open(fileobj=file, mode='r:*' if _is_local(url) else 'r|*') as tar:
                yield from _grouped(tar, wanted, needed)
                if _is_local(url):
                    _check_end(file, url)
        except _TAR_FAULTS as error:
            if isinstance(error, DamagedImageError):
                raise
            raise DamagedImageError(url, f'{type(error).__name__}: {error}') from error

    def _unpacked(self, sample: RawSample) -> tuple[Any, Any] | None:
        parts: dict[str, bytes] = sample.fields
        image = next((parts[key] for key in self.input_keys if key in parts), None)
        if image is None:
            raise ValueError(
                f'sample {sample.name!r} has no part {" or ".join(self.input_keys)} for the image, but '
                f'{", ".join(sorted(parts)) or "none of those"}: pass input_key'
            )
        target = self._target(sample.name, parts)
        if target is None:
            return None
        return decode(io.BytesIO(image), self.input_img_mode), target

    def _target(self, name: str, parts: Mapping[str, bytes]) -> Any:
        """The target of a sample; None where a negative one says that it has none."""
        if self._json_key:
            return self._target_in_json(name, parts)
        part = self.labels.key.lower()
        if part not in parts:
            raise WdsTargetKeyError(f'sample {name!r} has no part {part!r} for the target: pass target_key')
        if self.target_img_mode:
            return decode(io.BytesIO(parts[part]), self.target_img_mode)
        return self.labels.mapped(int(parts[part]))

    def _target_in_json(self, name: str, parts: Mapping[str, bytes]) -> Any:
        keys = parse_target_keys(self._json_key) or (self._json_key,)
        if 'json' not in parts:
            raise WdsTargetKeyError(f'sample {name!r} has no json sidecar, which should hold {", ".join(keys)}')
        fields = json.loads(parts['json'])
        absent = [key for key in keys if not has_field(fields, key)]
        if absent:
            raise WdsTargetKeyError(
                f'{", ".join(absent)} not found in the json of sample {name!r}, which has {", ".join(sorted(fields))}'
            )
        if self.labels.keys:
            return self.labels(fields)
        target = get_field(fields, self._json_key)
        if not isinstance(target, list):
            target = int(target)
            if target < 0:
                return None
        return self.labels.mapped(target)

    def _titles(self, shard: int) -> Iterator[str]:
        """The names that the samples give for their files, else their own with the extension of the image."""
        for name, parts in self._parts(shard, lambda _: True, {*self.input_keys, 'json'}):
            given = json.loads(parts['json']).get(self.filename_key) if 'json' in parts else None
            part = next((key for key in self.input_keys if key in parts), '')
            yield str(given) if given else f'{name}.{part}'


def _is_local(url: str) -> bool:
    return not url.startswith('pipe:') and ('://' not in url or url.startswith('file:'))


def _path_of(url: str) -> str:
    return re.sub('^file:(//)?', '', url)


def _check_end(file: BinaryIO, url: str) -> None:
    """See whether a tar file is whole, which tarfile does not; a compressed one tells by itself.

    Raises:
        EOFError: It ends in the middle of a block.
    """
    file.seek(0)
    if file.read(512)[257:262] != b'ustar':
        return
    size = file.seek(0, os.SEEK_END)
    if size % 512:
        raise EOFError('the file is cut off')
    file.seek(-1024, os.SEEK_END)
    if any(file.read()):
        _logger.warning('%s has no end mark: samples may have been cut off', url)


def _grouped(tar: tarfile.TarFile, wanted: Wanted, needed: set[str]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Samples: members that follow each other and have the same name up to the first dot."""
    number, name, parts = -1, '', {}
    for info in tar:
        cast('Any', tar).members = []  # it would keep them all
        match = _PART.fullmatch(info.name)
        if not info.isfile() or not match:
            continue
        if number < 0 or match[1] != name:
            if number >= 0:
                yield name, parts
            number, name, parts = number + 1, match[1], {}
        part = match[2].lower()
        if part in needed and wanted(number):
            if part in parts:
                raise ValueError(f'sample {name!r} has two parts {part!r}')
            file = tar.extractfile(info)
            assert file is not None
            parts[part] = file.read()
    if number >= 0:
        yield name, parts
