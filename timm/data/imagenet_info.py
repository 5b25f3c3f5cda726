"""The classes of ImageNet and its larger relatives: WordNet synsets, their lemmas and definitions."""

import functools
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from .dataset_info import DatasetInfo

__all__ = ['ImageNetInfo', 'infer_imagenet_subset']

# Subset -> its list of synsets, and the width of the classifiers that are trained on it.
_SUBSETS = {
    'imagenet-1k': ('imagenet_synsets.txt', 1000),
    'imagenet-12k': ('imagenet12k_synsets.txt', 11821),
    'imagenet-22k': ('imagenet22k_synsets.txt', 21841),
    'imagenet-21k-goog': ('imagenet21k_goog_synsets.txt', 21843),
    'imagenet-21k-miil': ('imagenet21k_miil_synsets.txt', 11221),
    'imagenet-22k-ms': ('imagenet22k_ms_synsets.txt', 21842),
}
_ALIASES = {'imagenet21k': 'imagenet-21k-goog'}


def infer_imagenet_subset(model_or_cfg: Any) -> str | None:
    """The subset whose number of classes a model has, or a configuration (mapping or record); None if there is none."""
    if isinstance(model_or_cfg, Mapping):
        num_classes = model_or_cfg.get('num_classes')
    else:
        num_classes = getattr(model_or_cfg, 'num_classes', None)
    return next((name for name, (_, width) in _SUBSETS.items() if width == num_classes), None)


@functools.cache
def _lines(name: str) -> tuple[str, ...]:
    return tuple((files('timm.data') / '_info' / name).read_text(encoding='utf-8').splitlines())


@functools.cache
def _texts(name: str) -> dict[str, str]:
    """Synset -> text, from lines of both with a tab between."""
    pairs = (line.partition('\t') for line in _lines(name))
    return {synset: text for synset, _, text in pairs}


class ImageNetInfo(DatasetInfo):
    """Classes of an ImageNet subset: names are synsets, descriptions their lemmas.

    Args:
        subset: 'imagenet-1k', '-12k', '-21k' (of Google's models), '-22k', '-21k-miil' or '-22k-ms'; case, spaces and
            hyphens do not matter.

    Raises:
        ValueError: Another subset.
    """

    def __init__(self, subset: str = 'imagenet-1k') -> None:
        super().__init__()
        asked = ''.join(letter for letter in subset.lower() if letter.isalnum())
        known = {name.replace('-', ''): name for name in _SUBSETS} | _ALIASES
        if asked not in known:
            raise ValueError(f'no ImageNet subset {subset!r}; there is {", ".join(_SUBSETS)}')
        self.subset = known[asked]
        self._synsets = list(_lines(_SUBSETS[self.subset][0]))

    def num_classes(self) -> int:
        """Number of classes."""
        return len(self._synsets)

    def label_names(self) -> list[str]:
        """Synsets in the order of the classifier."""
        return self._synsets

    def label_descriptions(self, detailed: bool = False, as_dict: bool = False) -> list[str] | dict[str, str]:
        """Lemmas in the order of the classifier, or by synset; with definitions if `detailed`."""
        described = {synset: self.label_name_to_description(synset, detailed) for synset in self._synsets}
        return described if as_dict else [described[synset] for synset in self._synsets]

    def index_to_label_name(self, index: int) -> str:
        """Synset of a class.

        Raises:
            IndexError: There is no such class.
        """
        if not self.has_label(index):
            raise IndexError(f'class {index} is not one of the {self.num_classes()} of {self.subset}')
        return self._synsets[index]

    def index_to_description(self, index: int, detailed: bool = False) -> str:
        """Lemmas of a class, with its definition if `detailed`.

        Raises:
            IndexError: There is no such class.
        """
        return self.label_name_to_description(self.index_to_label_name(index), detailed)

    def label_name_to_description(self, label: str, detailed: bool = False) -> str:
        """Lemmas of a synset, with its definition if `detailed`."""
        lemmas = _texts('imagenet_synset_to_lemma.txt')[label]
        return f'{lemmas}: {_texts("imagenet_synset_to_definition.txt")[label]}' if detailed else lemmas
