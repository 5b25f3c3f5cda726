"""The part that turns a norm class into norm, drop and activation."""

import types
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .create_act import create_act_layer
from .typing import LayerType

__all__ = ['NormAct', 'forward_of']


def forward_of(norm: type[nn.Module], name: str = 'normalize') -> Callable[..., Tensor]:
    """The forward of a norm class as a method `name`; TorchScript has no super() and finds methods by name."""
    forward = norm.forward
    normalize = types.FunctionType(forward.__code__, forward.__globals__, name, forward.__defaults__)
    normalize.__annotations__ = forward.__annotations__
    return normalize


class NormAct(nn.Module):
    """What stands before a norm class to make norm, drop, activation of it; `normalize` is that class's forward.

    Shared by those classes:
        apply_act: Have the activation at all.
        act_kwargs: Arguments for the activation, before which `inplace` gives way.
        drop_layer: Builds what comes between norm and activation; None for nothing.
    """

    normalize: Callable[..., Tensor]

    def _follow_with(
        self,
        act_layer: LayerType | None,
        apply_act: bool = True,
        act_kwargs: dict[str, Any] | None = None,
        inplace: bool = True,
        drop_layer: Callable[[], nn.Module] | None = None,
    ) -> None:
        act = None
        if apply_act and act_layer is not None:
            act = create_act_layer(act_layer, **{'inplace': inplace, **(act_kwargs or {})})
        self.drop = nn.Identity() if drop_layer is None else drop_layer()
        self.act = nn.Identity() if act is None else act

    def forward(self, x: Tensor) -> Tensor:
        x = self.normalize(x)
        x = self.drop(x)
        return self.act(x)
