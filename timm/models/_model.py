"""ImageModel: what every network offers beyond its forward pass, from facts that the network declares."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from torch import Tensor, nn

from timm.layers._device import Module, building_on

__all__ = ['ImageModel', 'ParamGroups']

Pattern = str | list[tuple[str, tuple[int, ...] | None]]


class ParamGroups(NamedTuple):
    """Regular expressions that sort parameter names into groups from the image to the logits.

    Attributes:
        stem: Names of the first group.
        blocks: One group per block; captured integers order the groups, and a suffix of (99999,) joins the group
            before.
        coarse: One group per stage, where that differs from `blocks`.
    """

    stem: Pattern
    blocks: Pattern
    coarse: Pattern | None = None


class ImageModel(Module):
    """Base of all networks: images (B, in_chans, H, W) -> logits (B, num_classes).

    A network declares the class attributes below, and in its `__init__` sets `num_classes`, `num_features`,
    `head_hidden_size`, `in_chans` and `feature_info`. It implements `forward_features`; where its head is a module
    with `reset` (`ClassifierHead` and kin) under the name `head`, everything else is here.

    Attributes:
        classifier_name: Path of the module that gives the logits; several for networks with several classifiers.
        groups: How `group_matcher` sorts the parameters.
        num_features: Channels of `forward_features`.
        head_hidden_size: Width of what the classifier sees, and of the output where `num_classes` is 0.
        feature_info: One dict per tap, from shallow to deep: num_chs, reduction (stride against the image) and module.
    """

    classifier_name: ClassVar[str | tuple[str, ...]] = 'head.fc'
    groups: ClassVar[ParamGroups]

    if TYPE_CHECKING:  # TorchScript takes the annotation of a submodule for an interface
        head: Any

    grad_checkpointing: bool = False
    num_classes: int
    num_features: int
    head_hidden_size: int
    in_chans: int
    feature_info: list[dict[str, Any]]

    def forward_features(self, x: Tensor) -> Tensor:
        """Un-pooled features after the final norm: (B, in_chans, H, W) -> (B, num_features, h, w)."""
        raise NotImplementedError

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify features; with `pre_logits` stop before the classifier: (B, head_hidden_size)."""
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images: (B, in_chans, H, W) -> (B, num_classes)."""
        x = self.forward_features(x)
        x = self.forward_head(x)
        return x

    def get_classifier(self) -> nn.Module | tuple[nn.Module, ...]:
        """The module that gives the logits (nn.Identity where `num_classes` is 0), a tuple where there are several."""
        if isinstance(self.classifier_name, str):
            return self.get_submodule(self.classifier_name)
        return tuple(self.get_submodule(name) for name in self.classifier_name)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a new one for `num_classes` classes, 0 for none.

        Args:
            global_pool: Name of the pooling; None keeps the one there is, '' leaves it out.
        """
        head: Any = self.head
        self.num_classes = num_classes
        with self.building_beside():
            head.reset(num_classes, global_pool)
        self.head_hidden_size = head.num_features

    def group_matcher(self, coarse: bool = False) -> dict[str, Pattern]:
        """Patterns for `group_parameters`: the stem, then one group per block, or per stage where `coarse`."""
        groups = self.groups
        return {'stem': groups.stem, 'blocks': groups.coarse if coarse and groups.coarse is not None else groups.blocks}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trade time for memory in training: recompute activations in the backward pass.

        Raises:
            AssertionError: The network has no part that can be recomputed.
        """
        parts: list[Any] = [
            module for module in self.modules() if module is not self and hasattr(module, 'grad_checkpointing')
        ]
        assert parts or not enable, f'gradient checkpointing is not supported by {type(self).__name__}'
        for module in (self, *parts):
            module.grad_checkpointing = enable

    def describe(self, num_classes: int, in_chans: int, num_features: int, head_hidden_size: int | None = None) -> None:
        """Set the attributes that every network has; `head_hidden_size` is `num_features` unless given."""
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.num_features = num_features
        self.head_hidden_size = num_features if head_hidden_size is None else head_hidden_size

    def building_beside(self) -> Any:
        """Context in which new modules are created on the device and in the dtype of this model's parameters."""
        parameter = next(self.parameters(), None)
        return building_on() if parameter is None else building_on(parameter.device, parameter.dtype)


def named_steps(model: nn.Module, path: tuple[str, ...]) -> Iterator[tuple[str, nn.Module]]:
    """Modules along `path`, a '.*' at the end of a name standing for the children of that module in order."""
    for name in path:
        if name.endswith('.*'):
            parent = name[:-2]
            for child, module in model.get_submodule(parent).named_children():
                yield f'{parent}.{child}', module
        else:
            yield name, model.get_submodule(name)
