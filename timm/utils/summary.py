"""The table of a run, one row per epoch, and the folder it lies in."""

import csv
import io
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ['get_outdir', 'trim_summary', 'update_summary']


def get_outdir(path: str, *paths: str, inc: bool = False) -> str:
    """Make the folder of these parts and return its path.

    Args:
        inc: When it is there already, make a new one with -1, -2, ... at its end.
    """
    outdir = os.path.join(path, *paths)  # noqa: PTH118 - callers compare the text, a leading ./ included
    if inc and Path(outdir).exists():
        outdir = next(free for free in (f'{outdir}-{i}' for i in itertools.count(1)) if not Path(free).exists())
    Path(outdir).mkdir(parents=True, exist_ok=True)
    return outdir


def update_summary(
    epoch: int,
    train_metrics: Mapping[str, Any],
    eval_metrics: Mapping[str, Any] | None,
    filename: str | os.PathLike[str],
    lr: float | None = None,
    write_header: bool | None = None,
    log_wandb: bool = False,
) -> None:
    """Append a row: epoch, metrics with train_ and eval_ in front of their names, learning rate.

    Args:
        write_header: Write the names first; None does when the file is new or empty.
        log_wandb: Send the row to Weights & Biases too.
    """
    row: dict[str, Any] = {'epoch': epoch}
    row.update((f'train_{name}', value) for name, value in train_metrics.items())
    row.update((f'eval_{name}', value) for name, value in (eval_metrics or {}).items())
    if lr is not None:
        row['lr'] = lr
    if log_wandb:
        import wandb  # pyright: ignore[reportMissingImports]

        wandb.log(row)
    path = Path(filename)
    if write_header is None:
        write_header = not path.exists() or not path.stat().st_size
    with path.open('a', newline='') as file:
        writer = csv.DictWriter(file, fieldnames=list(row), lineterminator='\n')
        if write_header:
            writer.writeheader()
        writer.writerow(row)


def trim_summary(filename: str | os.PathLike[str], start_epoch: int) -> None:
    """Drop the rows of `start_epoch` and later, which a resumed run is about to write again.

    A file without any row left becomes empty, so that the next row brings its header.
    """
    path = Path(filename)
    if not path.exists():
        return
    with path.open(newline='') as file:
        rows = list(csv.reader(file))
    kept = [row for row in rows if row and row[0].isdigit() and int(row[0]) < start_epoch]
    header = [row for row in rows[:1] if row and not row[0].isdigit()]
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(header + kept if kept else [])
    scratch = path.with_name(f'{path.name}.tmp')
    scratch.write_text(text.getvalue())
    scratch.replace(path)
