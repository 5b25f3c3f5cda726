"""What a symbolic tracer shall treat as one node, and feature extractors made by tracing with that knowledge."""

import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

__all__ = [
    'create_feature_extractor',
    'get_graph_node_names',
    'get_notrace_functions',
    'get_notrace_modules',
    'is_notrace_function',
    'is_notrace_module',
    'register_notrace_function',
    'register_notrace_module',
]

has_fx_feature_extraction: bool = True
"""Published flag: tracing is available, provided that torchvision is installed."""

_leaf_modules: set[type[nn.Module]] = set()
_leaf_functions: set[Callable[..., Any] | str] = set()

ModuleClass = TypeVar('ModuleClass', bound=type[nn.Module])
NameOrFunction = TypeVar('NameOrFunction', bound=Callable[..., Any] | str)


def register_notrace_module(module: ModuleClass) -> ModuleClass:
    """Class decorator: a tracer shall record a call of this module and not look inside."""
    if not isinstance(module, type):
        raise TypeError(f'{module!r} is no class of modules: use the class that a tracer shall not look into.')
    _leaf_modules.add(module)
    return module


def is_notrace_module(module: type[nn.Module]) -> bool:
    """Whether this very class (subclasses do not count) was given to `register_notrace_module`."""
    return module in _leaf_modules


def get_notrace_modules() -> list[type[nn.Module]]:
    """The classes that a tracer does not look into."""
    return list(_leaf_modules)


def register_notrace_function(name_or_fn: NameOrFunction) -> NameOrFunction:
    """Decorator: a tracer shall record a call of this function, reached as a global of its caller, as one node.

    Args:
        name_or_fn: The function, or its dotted path, which is looked up when an extractor is made.
    """
    if not callable(name_or_fn) and not isinstance(name_or_fn, str):
        raise TypeError(f'{name_or_fn!r} is no function: use one, or its dotted path.')
    _leaf_functions.add(name_or_fn)
    return name_or_fn


def is_notrace_function(func: Callable[..., Any] | str) -> bool:
    """Whether this function (or path) was given to `register_notrace_function`."""
    return func in _leaf_functions


def get_notrace_functions() -> list[Callable[..., Any] | str]:
    """The functions that a tracer does not look into, as they were registered."""
    return list(_leaf_functions)


def _tracing_arguments(model: nn.Module) -> dict[str, Any]:
    """Leaves for the tracer, and defaults of `forward` as constants so that tests like `mask is None` are decided."""
    if not isinstance(model, nn.Module):
        raise TypeError(f'{model!r} cannot be traced: use an nn.Module.')
    functions = [pkgutil.resolve_name(f) if isinstance(f, str) else f for f in _leaf_functions]
    parameters = inspect.signature(model.forward).parameters.values()
    return {
        'tracer_kwargs': {'leaf_modules': get_notrace_modules(), 'autowrap_functions': functions},
        'concrete_args': {p.name: p.default for p in parameters if p.default is not p.empty},
    }


def get_graph_node_names(model: nn.Module) -> tuple[list[str], list[str]]:
    """Names of the nodes that an extractor can return, in training mode and in evaluation mode (torchvision)."""
    from torchvision.models import feature_extraction

    return feature_extraction.get_graph_node_names(model, **_tracing_arguments(model))


def create_feature_extractor(model: nn.Module, return_nodes: dict[str, str] | list[str] | str) -> nn.Module:
    """A module that runs `model` no further than it must and returns a dict of the named nodes (torchvision).

    Args:
        return_nodes: Node names, or name of node -> key in the result. See `get_graph_node_names`.
    """
    from torchvision.models import feature_extraction

    nodes = [return_nodes] if isinstance(return_nodes, str) else return_nodes
    return feature_extraction.create_feature_extractor(model, nodes, **_tracing_arguments(model))
