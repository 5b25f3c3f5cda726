# pyright: strict
"""Rows of results to files and to the line that other programs read."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .exits import StorageError, UsageError

__all__ = ['model_names', 'print_json', 'write_rows', 'write_text']

Row = Mapping[str, Any]


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; StorageError says why not."""
    aside = path.with_name(f'tmp-{path.name}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding='utf-8', newline='')
        aside.replace(path)
    except OSError as error:
        raise StorageError(f'cannot write {path}: {error.strerror}') from error


class _Lines(list[str]):
    """What csv writes into."""

    def write(self, line: str) -> None:
        """Take a line."""
        self.append(line)


def to_csv(rows: Sequence[Row]) -> str:
    """CSV with the columns of all rows, in the order in which they first come up."""
    lines = _Lines()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(lines, columns, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return ''.join(lines)


def write_rows(path: str | Path, rows: Sequence[Row], kind: str) -> None:
    """Write rows as 'csv' or 'json'."""
    write_text(Path(path), to_csv(rows) if kind == 'csv' else json.dumps(rows, indent=4) + '\n')


def print_json(result: Any) -> None:
    """Print `--result` and the result as JSON: what bulk runs look for at the end of the output."""
    sys.stdout.flush()
    print(f'--result\n{json.dumps(result, indent=4)}', flush=True)


def model_names(path: str) -> list[str]:
    """The models in a text file: the first word of each line, which may be a table with commas; no header."""
    try:
        lines: Iterable[str] = Path(path).read_text(encoding='utf-8').splitlines()
    except OSError as error:
        raise UsageError(f'cannot read the list of models {path}: {error.strerror}') from error
    names = [line.split(',')[0].strip() for line in lines if line.strip()]
    return [name for name in names if name != 'model' and not name.startswith('#')]
