"""Types that signatures of layers share, and decorators that stand in for others."""

from collections.abc import Callable
from contextlib import ContextDecorator
from types import TracebackType
from typing import Any, TypeVar, Union, overload

from torch import nn
from torch.compiler import disable as disable_compiler

__all__ = ['LayerType', 'PadType', 'disable_compiler', 'nullwrap']

# typing.Union rather than `|`: these two are introspected and called as published objects of the typing module.
LayerType = Union[str, Callable[..., Any], type[nn.Module]]  # noqa: UP007
PadType = Union[str, int, tuple[int, int]]  # noqa: UP007

F = TypeVar('F', bound=Callable[..., Any])


class _Nothing(ContextDecorator):
    """A context that does nothing, as a `with` statement and as a decorator."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


@overload
def nullwrap(fn: F) -> F: ...
@overload
def nullwrap(fn: None = None) -> _Nothing: ...
def nullwrap(fn: F | None = None) -> F | _Nothing:
    """Where a decorator or a context manager is expected and nothing shall happen: `fn` itself, or an empty context."""
    return _Nothing() if fn is None else fn
