"""Tells which architecture a file's tensors belong to, for error messages."""

import contextlib
import importlib.util
import json
import math
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from timm import catalog
from timm.catalog import Variant

from ._deferred_init import deferred_init
from ._registry import is_model, model_entrypoint
from ._weight_files import is_numpy_file, read_weight_file, safetensors_metadata

__all__ = ['likely_architecture']

Shapes = Mapping[str, tuple[int, ...]]


def likely_architecture(shapes: Shapes, path: str | Path | None = None, seconds: float = 3.0) -> str:
    """The architecture of a state dict in words that follow 'the file', '' where nothing is near.

    What the file or a config.json beside it says counts; else the names and shapes are compared with networks that
    are built for the purpose, without memory, those first whose source mentions the names.

    Args:
        shapes: Name -> shape of the file's tensors.
        path: The file, if there is one.
        seconds: When to stop looking.
    """
    stated = None if path is None else _stated_architecture(Path(path))
    if stated:
        return f'says it is {stated}'
    name, agreement, likeness = _closest_variant(shapes, time.monotonic() + seconds)
    if agreement > 0.98:
        return f'fits {name}'
    if agreement > 0.6:
        return f'is much like {name} ({agreement:.0%} of its tensors agree)'
    return f'looks like the {catalog.family_of(name)} family (nearest: {name})' if likeness > 0.5 else ''


def _stated_architecture(path: Path) -> str | None:
    """The name that a weight file, or the config.json in its folder, gives."""
    config = path.parent / 'config.json'
    candidates: list[Any] = [*safetensors_metadata(path).values()]
    if config.is_file():
        with contextlib.suppress(ValueError, OSError):
            content = json.loads(config.read_text())
            candidates.append(content.get('architecture') if isinstance(content, dict) else None)
    if path.suffix != '.safetensors' and not is_numpy_file(path):
        with contextlib.suppress(RuntimeError, OSError):
            checkpoint = read_weight_file(path, lazy=True)
            if isinstance(checkpoint, dict):
                candidates += [checkpoint.get('arch'), getattr(checkpoint.get('args'), 'model', None)]
    return next((name for name in candidates if isinstance(name, str) and is_model(name)), None)


def _pattern(name: str) -> str:
    """A tensor's name with its numbers taken out: what the blocks of a network have in common."""
    return re.sub(r'\d+', '#', name)


@cache
def _words_of_family(family: str) -> frozenset[str]:
    """Identifiers in a family's source; empty where there is none to read."""
    spec = importlib.util.find_spec(f'{__package__}.{family}')
    if spec is None or not spec.origin or not spec.origin.endswith('.py'):
        return frozenset()
    return frozenset(re.findall(r'[a-z_]\w*', Path(spec.origin).read_text()))


def _families_by_words(names: Iterable[str]) -> list[str]:
    """Families, those first whose source mentions most of the words in tensor names; rare words count more."""
    words = {part for name in names for part in name.split('.')[:-1] if not part.isdigit()}
    mentions = {family: words & _words_of_family(family) for family in catalog.family_names()}
    frequency = Counter(word for found in mentions.values() for word in found)
    weight = {word: math.log(1 + len(mentions) / count) for word, count in frequency.items()}
    score = {family: sum(weight[word] for word in found) for family, found in mentions.items()}
    return sorted(score, key=lambda family: -score[family])


def _numbers(value: Any) -> Iterator[int]:
    """All integers above 1 in constructor arguments."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _numbers(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, int) and value > 1:
        yield value


def _known_numbers(shapes: Shapes) -> set[int]:
    """Sizes in a file's shapes, and how many blocks its numbered containers hold."""
    sizes = {size for shape in shapes.values() for size in shape}
    depths: Counter[str] = Counter()
    for name in {re.sub(r'(\d+)\..*', r'\1', name) for name in shapes}:
        depths[name.rpartition('.')[0]] += 1
    return sizes | set(depths.values())


def _strangeness(variant: Variant, known: set[int]) -> int:
    """How badly a variant's arguments (widths, depths) go with the numbers of a file."""
    numbers = list(_numbers(variant.args))
    matches = sum(number in known for number in numbers)
    return 2 * (len(numbers) - matches) - min(matches, 4)


def _shapes_of(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network `name`, built without memory; empty where that fails."""
    # a guess must not hide the error that it is to explain
    with warnings.catch_warnings(), contextlib.suppress(Exception), deferred_init(), torch.device('meta'):
        warnings.simplefilter('ignore')
        network: nn.Module = model_entrypoint(name)(pretrained=False)
        return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    return {}


class _Search:
    """Compares a file with one candidate after the other and keeps the nearest."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self.patterns = {_pattern(name) for name in shapes}
        self.best = ''
        self.agreement = -1.0  # share of tensors that agree in name and shape, of the nearest candidate
        self.likeness: dict[str, float] = {}  # family -> share of tensor names that agree but for numbers

    def consider(self, variant: Variant) -> None:
        candidate = _shapes_of(variant.name)
        agreeing = sum(candidate.get(name) == shape for name, shape in self.shapes.items())
        agreement = agreeing / max(len(self.shapes), len(candidate), 1)
        patterns = {_pattern(name) for name in candidate}
        family = catalog.family_of(variant.name)
        likeness = len(patterns & self.patterns) / max(len(patterns | self.patterns), 1)
        self.likeness[family] = max(likeness, self.likeness.get(family, 0.0))
        if agreement > self.agreement:
            self.best, self.agreement = variant.name, agreement


def _closest_variant(shapes: Shapes, deadline: float, num_families: int = 8) -> tuple[str, float, float]:
    """The variant nearest to a file, the share of tensors that agree with it, and its family's likeness."""
    search = _Search(shapes)
    known = _known_numbers(shapes)
    families = {
        family: sorted(catalog.family(family).variants, key=lambda variant: _strangeness(variant, known))
        for family in _families_by_words(shapes)[:num_families]
    }

    def is_over() -> bool:
        return time.monotonic() > deadline or search.agreement > 0.98

    for variants in families.values():
        if not is_over():
            search.consider(variants[0])
    rest = [
        (_strangeness(variant, known) - 4 * likeness, variant)
        for family, likeness in search.likeness.items()
        if likeness > 0.5
        for variant in families[family][1:]
    ]
    for _, variant in sorted(rest, key=lambda pair: pair[0]):
        if not is_over():
            search.consider(variant)
    if search.agreement <= 0.0 and search.likeness:  # nothing fits: name the family by names alone
        family = max(search.likeness, key=lambda family: search.likeness[family])
        search.best = families[family][0].name
    family = catalog.family_of(search.best) if search.best else ''
    return search.best, search.agreement, search.likeness.get(family, 0.0)
