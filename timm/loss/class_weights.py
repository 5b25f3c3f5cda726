"""Weights for rare classes: computed from their counts by a rule, or read from text and files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

__all__ = [
    'CLASS_WEIGHT_METHODS',
    'CLASS_WEIGHT_METHOD_KINDS',
    'compute_class_weights',
    'load_class_stats',
    'load_class_weights',
    'resolve_class_weights',
]

# Rule -> the argument of a loss that it computes.
CLASS_WEIGHT_METHOD_KINDS = {'neg_pos': 'pos_weight', 'inv_freq': 'class_weight', 'effective_num': 'class_weight'}
CLASS_WEIGHT_METHODS = tuple(CLASS_WEIGHT_METHOD_KINDS)


def compute_class_weights(
    pos_counts: Tensor | Sequence[float],
    num_samples: int,
    method: str = 'neg_pos',
    power: float = 1.0,
    beta: float = 0.999,
    max_weight: float | None = None,
) -> tuple[str, Tensor]:
    """Weights of classes by how often they occur: ('pos_weight' or 'class_weight', one weight per class).

    Args:
        pos_counts: In how many of the `num_samples` images each class occurs; 0 counts as 1.
        method: 'neg_pos' is (absent / present)^power; 'inv_freq' is frequency^-power and 'effective_num'
            (1 - beta) / (1 - beta^count), both scaled to a mean of 1.
        max_weight: No weight exceeds it.

    Raises:
        ValueError: The method is unknown, or a number out of its range.

    Source: effective_num is Cui et al., Class-Balanced Loss, arXiv:1901.05555, equation 2.
    """
    if method not in CLASS_WEIGHT_METHOD_KINDS:
        raise ValueError(f"Unknown class weight method '{method}': use one of {', '.join(CLASS_WEIGHT_METHODS)}.")
    counts = torch.as_tensor(pos_counts, dtype=torch.float64)
    if counts.ndim != 1 or not len(counts):
        raise ValueError(f'pos_counts of shape {tuple(counts.shape)} is not one count for each class.')
    if not num_samples > 0 or counts.min() < 0 or counts.max() > num_samples:
        raise ValueError(
            f'pos_counts from {counts.min():g} to {counts.max():g} do not fit num_samples={num_samples}: '
            'each says in how many of all images its class occurs.'
        )
    if not 0 < beta < 1:
        raise ValueError(f'beta={beta} is not allowed: give a number between 0 and 1.')
    counts = counts.clamp(min=1)
    if method == 'neg_pos':
        weights = ((num_samples - counts) / counts) ** power
    else:
        weights = counts**-power if method == 'inv_freq' else (1 - beta) / (1 - beta**counts)
        weights = weights / weights.mean()
    if max_weight is not None:
        weights = weights.clamp(max=max_weight)
    return CLASS_WEIGHT_METHOD_KINDS[method], weights.float()


@overload
def load_class_stats(path: None) -> None: ...
@overload
def load_class_stats(path: str) -> tuple[Tensor, int]: ...
def load_class_stats(path: str | None) -> tuple[Tensor, int] | None:
    """Counts and number of samples from a JSON file {"pos_counts": [...], "num_samples": n}; None from nothing.

    Raises:
        ValueError: The file has other contents.
    """
    if not path:
        return None
    stats = json.loads(Path(path).read_text())
    if not isinstance(stats, dict) or not {'pos_counts', 'num_samples'} <= stats.keys():
        raise ValueError(f'{path} holds no class statistics: it needs the keys "pos_counts" and "num_samples".')
    return torch.tensor(stats['pos_counts'], dtype=torch.float32), int(stats['num_samples'])


def load_class_weights(value: Any, key: str = 'class_weight') -> Tensor | float | None:
    """Weights from a tensor, numbers, text such as '1, 2.5', or a file with such text or JSON; None from nothing.

    Args:
        key: Entry of a JSON object that holds the weights; a JSON list needs none.

    Raises:
        ValueError: The text is no list of numbers, one of them is negative or infinite, or the file lacks the entry.
    """
    if value is None or isinstance(value, Tensor):
        return value
    given = value
    if isinstance(value, str):
        value = _read_weights(value, key)
    if isinstance(value, bool):
        raise ValueError(f'{given!r} is no weight: give numbers, or True and False to the option that asks for them.')
    if not isinstance(value, int | float) and not len(value):
        return None
    weights = torch.tensor(value, dtype=torch.float32)
    if not weights.isfinite().all() or weights.min() < 0:
        raise ValueError(f'weights are finite numbers from 0 on, got {value!r} from {given!r}.')
    return float(value) if isinstance(value, int | float) else weights


def _read_weights(text: str, key: str) -> Any:
    """The numbers in `text`, or in the file it names."""
    path = Path(text)
    origin = repr(text)
    if text and path.is_file():
        origin = str(path)
        text = path.read_text()
        if path.suffix == '.json':
            content = json.loads(text)
            if isinstance(content, dict) and key not in content:
                raise ValueError(
                    f"{path} has no '{key}' entry, only {', '.join(map(repr, content))}: weights made for another "
                    'argument of the loss go to the option of that name.'
                )
            return content[key] if isinstance(content, dict) else content
    try:
        numbers = [float(item) for item in text.replace(',', ' ').split()]
    except ValueError:
        methods = ', '.join(CLASS_WEIGHT_METHODS)
        raise ValueError(
            f'{origin} is neither numbers, the name of a file with numbers, nor one of {methods}.'
        ) from None
    return numbers[0] if len(numbers) == 1 else numbers


def resolve_class_weights(
    value: Any,
    kind: str = 'class_weight',
    class_stats: tuple[Tensor | Sequence[float], int] | None = None,
    power: float = 1.0,
    beta: float = 0.999,
    max_weight: float | None = None,
) -> Tensor | float | None:
    """Weights for the argument `kind` of a loss: by a rule from `class_stats`, or as `load_class_weights` reads them.

    Raises:
        ValueError: The rule computes the other argument, or lacks the statistics.
    """
    if not isinstance(value, str) or value not in CLASS_WEIGHT_METHOD_KINDS:
        return load_class_weights(value, kind)
    if CLASS_WEIGHT_METHOD_KINDS[value] != kind:
        made = CLASS_WEIGHT_METHOD_KINDS[value]
        fitting = ' or '.join(method for method, other in CLASS_WEIGHT_METHOD_KINDS.items() if other == kind)
        raise ValueError(f"'{value}' computes {made} values, not {kind}: use {fitting or 'numbers'}.")
    if class_stats is None:
        raise ValueError(f"'{value}' requires class stats: give class_stats, the counts and the number of samples.")
    counts, num_samples = class_stats
    return compute_class_weights(counts, num_samples, value, power, beta, max_weight)[1]
