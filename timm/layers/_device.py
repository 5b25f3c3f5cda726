"""`device=` and `dtype=` for every class of ours, without a line about them in any class."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import nn

__all__ = ['Module', 'building_on', 'takes_device']

T = TypeVar('T')


@contextlib.contextmanager
def building_on(device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Iterator[None]:
    """Create the tensors of the block on `device` and, where no dtype is stated, as `dtype`; None changes nothing."""
    with contextlib.ExitStack() as stack:
        if device is not None:
            stack.enter_context(torch.device(device))
        if dtype is not None:
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(dtype)
        yield


def takes_device(build: Callable[..., T]) -> Callable[..., T]:
    """`build` with two more keywords, `device` and `dtype`, under which it runs; its signature says so."""

    @functools.wraps(build)
    def wrapper(
        *args: Any,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **kwargs: Any,
    ) -> T:
        if device is None and dtype is None:
            return build(*args, **kwargs)
        with building_on(device, dtype):
            return build(*args, **kwargs)

    signature = inspect.signature(build)
    parameters = list(signature.parameters.values())
    last = len(parameters)
    if parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
        last -= 1
    named_only = any(p.kind in (p.VAR_POSITIONAL, p.KEYWORD_ONLY) for p in parameters)
    kind = inspect.Parameter.KEYWORD_ONLY if named_only else inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters[last:last] = [inspect.Parameter(name, kind, default=None) for name in ('device', 'dtype')]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
    return wrapper


class Module(nn.Module):
    """nn.Module whose subclasses all take `device=` and `dtype=`, as published constructors do.

    A subclass writes its `__init__` without them and passes nothing on: what it builds inside is created on that
    device and in that dtype by torch's own defaults. A table computed in `__init__` states its own dtype. An
    `__init__` that names one of the two itself is left as it is. Beside a torch class, name this one first:
    `class Conv2dSame(Module, nn.Conv2d)`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        init = cls.__dict__.get('__init__')
        if init is not None and not {'device', 'dtype'} & inspect.signature(init).parameters.keys():
            cls.__init__ = takes_device(init)  # pyright: ignore[reportAttributeAccessIssue]
