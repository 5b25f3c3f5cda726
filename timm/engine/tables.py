# pyright: strict
"""Rows of results to files and to the line that other programs read."""

import csv
import html
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .exits import StorageError, UsageError

__all__ = ['model_names', 'print_json', 'table_format', 'write_rows', 'write_table', 'write_text']

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


def write_table(path: str | Path, rows: Sequence[Row], title: str) -> None:
    """Write rows in the form that the file's name ends with: .csv, .json, or .html with the images of a column `file`.

    Raises:
        UsageError: It ends with something else.
        StorageError: It cannot be written.
    """
    path = Path(path)
    if path.suffix == '.html':
        write_text(path, _to_html(rows, title))
    else:
        write_rows(path, rows, table_format(path))


def table_format(path: str | Path) -> str:
    """The form of a table, by the end of its file's name."""
    kind = Path(path).suffix[1:]
    if kind not in ('csv', 'json', 'html'):
        raise UsageError(f'the form of {path} is not known: let its name end with .csv, .json or .html')
    return kind


_STYLE = (
    'body{font:14px sans-serif}td,th{padding:2px 8px;text-align:right;border-bottom:1px solid #ccc}img{height:96px}'
)


def _to_html(rows: Sequence[Row], title: str) -> str:
    """A page with one table; a file that is there is shown."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>']
    lines.append(f'<h1>{html.escape(title)}</h1><table>')
    lines.append('<tr>' + ''.join(f'<th>{html.escape(name)}</th>' for name in columns) + '</tr>')
    for row in rows:
        cells = [_cell(name, row.get(name)) for name in columns]
        lines.append('<tr>' + ''.join(f'<td>{cell}</td>' for cell in cells) + '</tr>')
    return '\n'.join([*lines, '</table>', ''])


def _cell(column: str, value: Any) -> str:
    text = '' if value is None else html.escape(str(value))
    if column == 'file' and Path(str(value)).is_file():
        source = html.escape(Path(str(value)).resolve().as_uri())
        return f'<a href="{source}"><img loading="lazy" src="{source}" alt=""><br>{text}</a>'
    return text


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
