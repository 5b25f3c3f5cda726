# pyright: strict
"""The picture of a run: loss, accuracy and learning rate over the epochs."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ['can_draw', 'draw_curves']

Row = Mapping[str, Any]


def can_draw() -> bool:
    """Whether matplotlib, which is optional, is installed."""
    return find_spec('matplotlib') is not None


def _series(rows: Sequence[Row], name: str) -> tuple[list[int], list[float]]:
    """Epochs that have a figure, and the figure."""
    points: list[tuple[int, float]] = [(row['epoch'], row[name]) for row in rows if row.get(name) is not None]
    return [epoch for epoch, _ in points], [value for _, value in points]


def draw_curves(path: Path, rows: Sequence[Row]) -> None:
    """Draw the figures of all epochs so far into a PNG, in one panel each for losses, percentages and rate."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for row in rows for name in row if name != 'epoch'))
    panels = {
        'loss': [name for name in names if name.endswith('loss')],
        'evaluation, %': [name for name in names if 'eval_' in name and not name.endswith('loss')],
        'learning rate': ['lr'],
    }
    drawn = [(title, chosen) for title, chosen in panels.items() if chosen]
    figure: Any = Figure(figsize=(4.5 * len(drawn), 3.4))
    figure.subplots_adjust(left=0.05, right=0.98, bottom=0.14, top=0.9)
    for axes, (title, chosen) in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True):
        for name in chosen:
            axes.plot(*_series(rows, name), marker='.', linewidth=1.2, label=name)
        axes.set_title(title)
        axes.set_xlabel('epoch')
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend(fontsize='small')
    aside = path.with_name(f'tmp-{path.name}')
    figure.savefig(aside, dpi=100)
    aside.replace(path)
