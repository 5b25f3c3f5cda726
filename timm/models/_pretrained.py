"""What outside code knows of a weight file: PretrainedCfg, and DefaultCfg for all files of one architecture."""

import dataclasses
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from timm.catalog import Weights
from timm.catalog._constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

__all__ = ['DefaultCfg', 'PretrainedCfg', 'filter_pretrained_cfg', 'from_weights']

_SOURCES = ('url', 'file', 'hf_hub_id', 'hf_hub_filename', 'source')
_KEPT_WHEN_NULL = (
    'pool_size',
    'first_conv',
    'classifier',
)  # readers ask whether these are None, not whether they exist


@dataclass
class PretrainedCfg:
    """Where a set of weights lies, how images are prepared for it, and which of its tensors are stem and classifier.

    Sizes are (channels, height, width). A pool size is the height and width of the last feature map.
    """

    # where the weights are, in order of precedence: state_dict, file, hf_hub_id, url
    url: str | tuple[str, str] | None = None
    file: str | None = None
    state_dict: dict[str, Any] | None = None
    hf_hub_id: str | None = None
    hf_hub_filename: str | None = None

    source: str | None = None  # 'hf-hub' or 'local-dir' where the configuration came from there
    architecture: str | None = None
    tag: str | None = None
    custom_load: bool | str = False  # the network's own `load_pretrained` reads the file

    # preprocessing
    input_size: tuple[int, int, int] = (3, 224, 224)
    test_input_size: tuple[int, int, int] | None = None
    min_input_size: tuple[int, int, int] | None = None
    fixed_input_size: bool = False
    interpolation: str = 'bicubic'
    crop_pct: float = 0.875
    test_crop_pct: float | None = None
    crop_mode: str = 'center'
    mean: tuple[float, ...] = IMAGENET_DEFAULT_MEAN
    std: tuple[float, ...] = IMAGENET_DEFAULT_STD

    # classes
    num_classes: int = 1000
    label_offset: int | None = None  # rows of the classifier before the first class
    label_names: tuple[str, ...] | None = None
    label_descriptions: dict[str, str] | None = None

    # parts of the network that loading adapts
    pool_size: tuple[int, ...] | None = None
    test_pool_size: tuple[int, ...] | None = None
    first_conv: str | tuple[str, ...] | None = None
    classifier: str | tuple[str, ...] | None = None

    # provenance
    license: str | None = None
    description: str | None = None
    origin_url: str | None = None
    paper_name: str | None = None
    paper_ids: str | tuple[str, ...] | None = None
    notes: str | tuple[str, ...] | None = None

    @property
    def has_weights(self) -> bool:
        """Whether a URL, a file or a hub repository is named."""
        return bool(self.url or self.file or self.hf_hub_id)

    def to_dict(self, remove_source: bool = False, remove_null: bool = True) -> dict[str, Any]:
        """The fields as a dict; see `filter_pretrained_cfg` for the two switches."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return filter_pretrained_cfg(fields, remove_source=remove_source, remove_null=remove_null)


def filter_pretrained_cfg(cfg: dict[str, Any], remove_source: bool = False, remove_null: bool = True) -> dict[str, Any]:
    """A configuration dict without entries that say nothing.

    Args:
        cfg: Left as it is.
        remove_source: Leave out where the weights come from (url, file, hub repository).
        remove_null: Leave out what is None, except pool_size, first_conv and classifier.
    """

    def is_kept(key: str, value: Any) -> bool:
        if remove_source and key in _SOURCES:
            return False
        return value is not None or not remove_null or key in _KEPT_WHEN_NULL

    return {key: value for key, value in cfg.items() if is_kept(key, value)}


@dataclass
class DefaultCfg:
    """All weight sets of one architecture.

    Attributes:
        tags: In order of preference; the first is the default.
        cfgs: Tag -> configuration.
        is_pretrained: Whether any of them has weights.
    """

    tags: deque[str] = field(default_factory=deque)
    cfgs: dict[str, PretrainedCfg] = field(default_factory=dict)
    is_pretrained: bool = False

    @property
    def default(self) -> PretrainedCfg:
        """Configuration of the default tag."""
        return self.cfgs[self.tags[0]]

    @property
    def default_with_tag(self) -> tuple[str, PretrainedCfg]:
        """The default tag and its configuration."""
        return self.tags[0], self.default


_WEIGHTS_FIELDS = tuple(f.name for f in dataclasses.fields(Weights))


def from_weights(weights: Weights, architecture: str, tag: str) -> PretrainedCfg:
    """The configuration of a catalog record, new at every call, since callers may change it."""
    cfg = PretrainedCfg(**{name: getattr(weights, name) for name in _WEIGHTS_FIELDS})
    return complete(cfg, architecture, tag)


def complete(cfg: PretrainedCfg, architecture: str, tag: str) -> PretrainedCfg:
    """`cfg`, told which architecture and tag it belongs to; a hub id of 'timm/' gets the repository's name."""
    cfg.architecture = architecture
    cfg.tag = tag or None
    if cfg.hf_hub_id == 'timm/':
        cfg.hf_hub_id += f'{architecture}.{tag}' if tag else architecture
    return cfg
