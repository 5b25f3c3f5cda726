"""Which shards a split of a WebDataset is made of."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

__all__ = ['SplitInfo', 'expand_urls', 'find_split', 'load_info']

_INFO_FILES = ('_info.json', 'info.json', '_info.yaml', 'info.yaml')
_BRACES = re.compile(r'\{([^{}]*)\}')
_RANGE = re.compile(r'(\d+)\.\.(\d+)')


@dataclass
class SplitInfo:
    """A split: its shards, how many samples they hold, and what else the info file says.

    Attributes:
        num_samples: Samples in all shards; 0 if that is not known.
        shard_lengths: Samples of each; empty if that is not known.
        alt_label: Field of the json part that holds the target; '' for none.
    """

    num_samples: int
    filenames: tuple[str, ...]
    shard_lengths: tuple[int, ...] = ()
    alt_label: str = ''
    name: str = ''


def expand_urls(urls: str) -> list[str]:
    """Shards by their short form: '{000..127}' counts, '{a,b}' names alternatives, and '::' joins several forms."""
    return [url for form in urls.split('::') for url in _expanded(form)]


def _expanded(form: str) -> list[str]:
    match = _BRACES.search(form)
    if not match:
        return [form]
    bounds = _RANGE.fullmatch(match[1])
    if bounds:
        first, last = int(bounds[1]), int(bounds[2])
        steps = range(first, last + 1) if last >= first else range(first, last - 1, -1)
        width = max(map(len, bounds.groups())) if any(b.startswith('0') and len(b) > 1 for b in bounds.groups()) else 0
        choices = [str(number).zfill(width) for number in steps]
    else:
        choices = match[1].split(',')
    return [url for choice in choices for url in _expanded(f'{form[: match.start()]}{choice}{form[match.end() :]}')]


def load_info(root: str, opened: Callable[[str], Any]) -> dict[str, Any]:
    """The info file of a dataset; {} if it has none.

    Args:
        opened: Opens a file or URL to be read.

    Raises:
        ValueError: The file cannot be understood.
    """
    for name in _INFO_FILES:
        url = f'{root.rstrip("/")}/{name}'
        try:
            with opened(url) as file:
                text = file.read()
        except OSError:  # it is not there, or a command that should fetch it failed
            continue
        if text:
            return _parsed(text, url)
    return {}


def _parsed(text: bytes, url: str) -> dict[str, Any]:
    if url.endswith('.yaml'):
        import yaml

        try:
            info = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f'{url!r} cannot be read: {error}') from error
    else:
        try:
            info = json.loads(text)
        except ValueError as error:
            raise ValueError(f'{url!r} cannot be read: {error}') from error
    if not isinstance(info, dict):
        raise ValueError(f'{url!r} holds a {type(info).__name__}, not a dictionary of splits')
    return info


def find_split(root: str, split: str, info: Mapping[str, Any]) -> SplitInfo:
    """A split by its name in the info file, or by its shards ('train-{000..127}.tar|100000').

    Raises:
        ValueError: There is no such split, or its description in the info file is not whole.
    """
    splits: Mapping[str, Any] = info.get('splits') or {}
    if split in splits:
        return _described(split, splits[split])
    if '.tar' not in split and '..' not in split:
        raise ValueError(_unknown(root, split, splits))
    form, bar, number = split.partition('|')
    if bar and not number.isdecimal():
        raise ValueError(f'behind the | of split {split!r} comes a number of samples, not {number!r}')
    files = expand_urls(form)
    known: dict[str, int] = {}
    labels: dict[str, str] = {}
    for name in splits:
        described = _described(name, splits[name])
        known.update(zip(described.filenames, described.shard_lengths, strict=True))
        labels.update(dict.fromkeys(described.filenames, described.alt_label))
    lengths = tuple(known[file] for file in files) if all(file in known for file in files) else ()
    return SplitInfo(int(number) if bar else sum(lengths), tuple(files), lengths, labels.get(files[0], ''))


def _described(name: str, record: Mapping[str, Any]) -> SplitInfo:
    absent = [field for field in ('num_samples', 'filenames', 'shard_lengths') if field not in record]
    if absent:
        raise ValueError(f'the info file says nothing of {", ".join(absent)} for split {name!r}')
    files, lengths = tuple(record['filenames']), tuple(record['shard_lengths'])
    if len(files) != len(lengths) or sum(lengths) != record['num_samples']:
        raise ValueError(
            f'the info file contradicts itself for split {name!r}: {len(files)} filenames, {len(lengths)} '
            f'shard_lengths, their sum {sum(lengths)}, num_samples {record["num_samples"]}'
        )
    for file in files:
        if ':' in file or file.startswith('/') or '..' in Path(file).parts:
            raise ValueError(f'the info file names {file!r}, which is not below its own folder')
    return SplitInfo(record['num_samples'], files, lengths, record.get('alt_label') or '', record.get('name', name))


def _unknown(root: str, split: str, splits: Mapping[str, Any]) -> str:
    if splits:
        near = get_close_matches(split, splits, n=1)
        meant = f'; did you mean {near[0]!r}?' if near else ''
        return f'no split {split!r} in the info file of {root!r}, but {", ".join(sorted(splits))}{meant}'
    tars = sorted(path.name for path in Path(root).glob('*.tar')) if Path(root).is_dir() else []
    there = f'there are {tars[0]} to {tars[-1]}' if tars else 'there are no .tar files'
    return (
        f'no split {split!r} in {root!r}, which has no info file (_info.json): name the shards, as in '
        f"'train-{{000..127}}.tar'; {there}"
    )
