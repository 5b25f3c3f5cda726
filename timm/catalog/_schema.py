"""The records a catalog file is written in: Family, Variant, Weights, Ref.

Plain frozen data: no torch, no callables, no conditions. A record says what exists; `timm.models` turns it into
modules and `timm.models._pretrained` into the mutable configuration that outside code knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ._constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

__all__ = ['Family', 'Ref', 'Variant', 'Weights']


class Ref:
    """The name of a class or function, with keywords to bind to it: `Ref('layers.LayerNorm2d', eps=1e-6)`.

    The name is looked up in exactly three rooms: `layers.X` is `timm.layers.X`, `nn.X` is `torch.nn.X`, and a bare
    `X` belongs to the family's own network module. Without keywords the thing itself is meant, with keywords a
    `functools.partial` of it.
    """

    __slots__ = ('kwargs', 'name')

    def __init__(self, name: str, **kwargs: Any) -> None:
        self.name = name
        self.kwargs = kwargs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and (self.name, self.kwargs) == (other.name, other.kwargs)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'Ref({", ".join([repr(self.name), *(f"{k}={v!r}" for k, v in self.kwargs.items())])})'


@dataclass(frozen=True, slots=True)
class Weights:
    """One published set of weights and the preprocessing it was made for. Sizes are (channels, height, width).

    Attributes:
        url: Where the original file lies; '' means that this tag has no file at a URL.
        hf_hub_id: Repository on the Hugging Face hub; 'timm/' stands for 'timm/<model>.<tag>'.
        hf_hub_filename: File inside that repository, where it is not the usual one.
        custom_load: The network reads the file itself (`load_pretrained`): JAX .npz files.
        input_size: Size the weights were trained at.
        test_input_size: Larger size they evaluate best at.
        min_input_size: Smallest size the network accepts.
        fixed_input_size: The network is built for `input_size` and takes no other.
        interpolation: How evaluation images are resized.
        crop_pct: Share of the resized image that the evaluation crop keeps, 0 to 1.
        test_crop_pct: The same at `test_input_size`.
        crop_mode: 'center', 'squash' or 'border'.
        mean: Per-channel mean taken off the image, on a scale of 0 to 1.
        std: Per-channel deviation it is divided by.
        num_classes: Width of the file's classifier; 0 if it has none.
        label_offset: Rows at the start of the classifier that name no class of the label set.
        pool_size: Height and width of the final map at `input_size`.
        test_pool_size: The same at `test_input_size`.
        first_conv: Names of the convolutions that see the image.
        classifier: Names of the modules that give the logits.
        license: SPDX-like identifier of the weights' licence.
    """

    url: str | None = ''
    hf_hub_id: str | None = None
    hf_hub_filename: str | None = None
    custom_load: bool | str = False
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
    num_classes: int = 1000
    label_offset: int | None = None
    pool_size: tuple[int, int] | None = None
    test_pool_size: tuple[int, int] | None = None
    first_conv: str | tuple[str, ...] | None = None
    classifier: str | tuple[str, ...] | None = None
    license: str | None = None
    description: str | None = None
    origin_url: str | None = None
    paper_name: str | None = None
    paper_ids: str | tuple[str, ...] | None = None
    notes: str | tuple[str, ...] | None = None

    def but(self, **changes: Any) -> 'Weights':
        """A copy with these fields changed."""
        return replace(self, **changes)

    @property
    def has_file(self) -> bool:
        """Whether there is anything to load."""
        return bool(self.url or self.hf_hub_id)


@dataclass(frozen=True, slots=True)
class Variant:
    """One named architecture: constructor arguments, and weights by tag (the first tag is the default).

    Attributes:
        name: What `create_model` is asked for.
        args: Keyword arguments of the network's constructor, before the caller's own.
        weights: Tag -> Weights; never empty, an architecture nobody has trained has the tag 'untrained' or ''.
        network: Class of the family module, where it is not the family's `network`.
        build: Function of the family module that computes what `args` cannot say; it gets the keyword arguments and
            returns those of the constructor.
        options: Arguments of `build_model_with_cfg` that differ from the family's.
        listed: False keeps it out of `list_models`: a network that only an old name still asks for.
    """

    name: str
    args: Mapping[str, Any]
    weights: Mapping[str, Weights]
    network: str | None = None
    build: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Family:
    """Everything that exists of one network file.

    Attributes:
        network: Class in `timm.models.<file name>` that the variants build.
        papers: 'title, authors, year, arXiv number' each.
        variants: In the order of the published lists.
        base: What most weights of the family share; `_cfg()` of the family module starts from it.
        renamed: Old name -> 'name.tag' (or 'name') it stands for today; asking for it warns.
        renamed_tags: Old 'name.tag' -> today's 'name.tag'.
        feature_indices: Taps that `features_only=True` takes when the caller names none; an int means the last n.
        feature_class: Wrapper of `features_only=True`: 'list', 'dict', 'getter', 'hook', 'fx', or a class of the
            family module that is built in the network's place.
        feature_options: Further arguments of that wrapper.
        convert: Function that brings a foreign state dict to our keys: a Ref to one of the family module.
        build: As in Variant, for all variants.
        strict: Whether every tensor of a weight file must have a place in the network.
        ancestors: Family modules whose networks this one builds on.
        exports: What `timm.models` re-exports of the family module besides its networks and entry points.
        creators: Names under which other projects import the family's creating function -> class it builds; by
            default `_create_<file name>`.
    """

    network: str
    papers: tuple[str, ...]
    variants: tuple[Variant, ...]
    base: Weights = Weights()
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    renamed_tags: Mapping[str, str] = field(default_factory=dict[str, str])
    feature_indices: tuple[int, ...] | int = (0, 1, 2, 3, 4)
    feature_class: str = 'list'
    feature_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    convert: Ref | None = None
    build: str | None = None
    strict: bool = True
    ancestors: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    creators: Mapping[str, str] = field(default_factory=dict[str, str])
