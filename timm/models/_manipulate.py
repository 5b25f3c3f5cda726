"""Walks over a module tree: naming, grouping, flattening, activation checkpointing, and rewriting for inference."""

import copy
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._jit_internal import _copy_to_script_wrapper
from torch.utils import checkpoint as torch_checkpoint

from timm.layers.config import use_reentrant_ckpt

__all__ = [
    'MATCH_PREV_GROUP',
    'CheckpointedSequential',
    'adapt_input_conv',
    'checkpoint',
    'checkpoint_seq',
    'flatten_modules',
    'group_modules',
    'group_parameters',
    'group_with_matcher',
    'model_parameters',
    'named_apply',
    'named_modules',
    'named_modules_with_params',
    'reinit_non_persistent_buffers',
    'reparameterize_model',
]

# As the suffix of a pattern: whatever matches joins the group before it.
MATCH_PREV_GROUP = (99999,)

ModuleT = TypeVar('ModuleT', bound=nn.Module)


def model_parameters(model: nn.Module, exclude_head: bool = False) -> Iterator[nn.Parameter] | list[nn.Parameter]:
    """The parameters of `model`, with `exclude_head` without the last two (weight and bias of the classifier)."""
    return list(model.parameters())[:-2] if exclude_head else model.parameters()


def named_modules(
    module: nn.Module, name: str = '', depth_first: bool = True, include_root: bool = False
) -> Iterator[tuple[str, nn.Module]]:
    """Every module below `module` with its path, which starts with `name`.

    Args:
        depth_first: Children come before their parent.
        include_root: `module` itself comes too.
    """
    if include_root and not depth_first:
        yield name, module
    for child_name, child in module.named_children():
        path = f'{name}.{child_name}' if name else child_name
        yield from named_modules(child, path, depth_first, include_root=True)
    if include_root and depth_first:
        yield name, module


def named_modules_with_params(
    module: nn.Module, name: str = '', depth_first: bool = True, include_root: bool = False
) -> Iterator[tuple[str, nn.Module]]:
    """`named_modules`, but only those that own parameters themselves, not merely through their children."""
    for path, member in named_modules(module, name, depth_first, include_root):
        if member._parameters:
            yield path, member


def named_apply(
    fn: Callable[..., object],
    module: ModuleT,
    name: str = '',
    depth_first: bool = True,
    include_root: bool = False,
) -> ModuleT:
    """Call `fn(module=..., name=...)` for everything `named_modules` gives, and return `module`."""
    for path, member in named_modules(module, name, depth_first, include_root):
        fn(module=member, name=path)
    return module


MODULE_CONTAINERS: dict[str, tuple[type[nn.Module], ...]] = {
    'sequential': (nn.Sequential,),
    'container': (nn.Sequential, nn.ModuleList, nn.ModuleDict),
}


def flatten_modules(
    named_modules: Iterable[tuple[str, nn.Module]],
    depth: int = 1,
    prefix: str | tuple[str, ...] = '',
    module_types: str | type[nn.Module] | tuple[type[nn.Module], ...] = 'sequential',
) -> Iterator[tuple[str, nn.Module]]:
    """Put the children of containers in the containers' place: ('stages', Sequential(a, b)) -> 'stages.0', 'stages.1'.

    Args:
        depth: How many levels of nested containers are opened.
        prefix: Path in front of every name, as a string or as its parts.
        module_types: What is opened: 'sequential', 'container' (lists and dicts of modules too), or classes.

    Raises:
        ValueError: `module_types` is another string.
    """
    if isinstance(module_types, str):
        if module_types not in MODULE_CONTAINERS:
            raise ValueError(f"module_types='{module_types}' is not known: use 'sequential', 'container' or classes.")
        module_types = MODULE_CONTAINERS[module_types]
    path = prefix if isinstance(prefix, str) else '.'.join(prefix)
    for name, module in named_modules:
        full_name = f'{path}.{name}' if path else name
        if depth > 0 and isinstance(module, module_types):
            yield from flatten_modules(module.named_children(), depth - 1, full_name, module_types)
        else:
            yield full_name, module


GroupMatcher = dict[str, Any] | Callable[[str], Any]
_GroupKey = tuple[float, ...]


def _group_key_function(group_matcher: GroupMatcher) -> Callable[[str], _GroupKey]:
    """A function from names to sort keys: ordinal of the matching entry, captured numbers, suffix."""
    if not isinstance(group_matcher, dict):
        match = group_matcher

        def key_of_call(name: str) -> _GroupKey:
            key = match(name)
            return tuple(key) if isinstance(key, (tuple, list)) else (key,)

        return key_of_call

    rules: list[tuple[int, re.Pattern[str], _GroupKey]] = []
    for ordinal, patterns in enumerate(group_matcher.values()):
        for item in [patterns] if isinstance(patterns, str) else patterns:
            pattern, suffix = (item, None) if isinstance(item, str) else item
            rules.append((ordinal, re.compile(pattern), tuple(suffix or ())))

    def key_of_rules(name: str) -> _GroupKey:
        for ordinal, pattern, suffix in rules:
            match = pattern.match(name)
            if match:
                return (ordinal, *(float(number) for number in match.groups() if number), *suffix)
        return (math.inf,)

    return key_of_rules


def group_with_matcher(
    named_objects: Iterable[tuple[str, Any]],
    group_matcher: GroupMatcher,
    return_values: bool = False,
    reverse: bool = False,
) -> dict[Any, Any]:
    """Sort named things into groups 0, 1, ... from the input of a network to its output.

    Args:
        group_matcher: Label -> regular expression, or a list of (regular expression, suffix); an expression is
            matched from the start of a name. The position of the label, then the integers that the expression
            captures, then the suffix order the groups; `MATCH_PREV_GROUP` as suffix means the group before. What
            matches nothing is the last group. Or a function name -> number or tuple that gives the order.
        return_values: The groups hold the things instead of their names.
        reverse: Return name -> group instead of group -> names.

    Raises:
        ValueError: Both `return_values` and `reverse`.
    """
    if return_values and reverse:
        raise ValueError('reverse=True maps names to groups, so it does not go with return_values=True: drop one.')
    key_of = _group_key_function(group_matcher)
    members: defaultdict[_GroupKey, list[Any]] = defaultdict(list)
    for name, value in named_objects:
        members[key_of(name)].append(value if return_values else name)

    groups: defaultdict[int, list[Any]] = defaultdict(list)
    for key in sorted(members):
        joins_previous = key[-1:] == MATCH_PREV_GROUP
        group = len(groups) - 1 if joins_previous and groups else len(groups)
        groups[group].extend(members[key])
    if reverse:
        return {name: group for group, names in groups.items() for name in names}
    return groups


def group_parameters(
    module: nn.Module, group_matcher: GroupMatcher, return_values: bool = False, reverse: bool = False
) -> dict[Any, Any]:
    """The parameters of `module` by depth, see `group_with_matcher`."""
    return group_with_matcher(module.named_parameters(), group_matcher, return_values, reverse)


def group_modules(
    module: nn.Module, group_matcher: GroupMatcher, return_values: bool = False, reverse: bool = False
) -> dict[Any, Any]:
    """The modules below `module` that own parameters, by depth, see `group_with_matcher`."""
    return group_with_matcher(named_modules_with_params(module), group_matcher, return_values, reverse)


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, **kwargs: Any) -> Any:
    """`function(*args, **kwargs)`, run again in the backward pass instead of keeping its activations.

    Args:
        use_reentrant: Which of torch's two ways; None takes the one of `timm.layers.use_reentrant_ckpt()`.
    """
    reentrant = use_reentrant_ckpt() if use_reentrant is None else use_reentrant
    return torch_checkpoint.checkpoint(function, *args, use_reentrant=reentrant, **kwargs)


def _chain(functions: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        for function in functions:
            x = function(x)
        return x

    return run


def checkpoint_seq(
    functions: Iterable[Any],
    x: Any,
    every: int = 1,
    flatten: bool = False,
    skip_last: bool = False,
    use_reentrant: bool | None = None,
) -> Any:
    """Call one function after the other on `x`, keeping activations only between segments of `every` functions.

    Args:
        functions: Anything that iterates over callables of one argument: nn.Sequential, nn.ModuleList, a list.
        flatten: `functions` holds sequences of callables.
        skip_last: The last callable keeps its activations (its recomputation would follow at once).
        use_reentrant: As in `checkpoint`.

    Source: Training Deep Nets with Sublinear Memory Cost, Chen et al., 2016, arXiv:1604.06174, section 3.
    """
    chain = [step for item in functions for step in (item if flatten else (item,))]
    end = len(chain) - 1 if skip_last else len(chain)
    for start in range(0, end, every):
        x = checkpoint(_chain(chain[start : min(start + every, end)]), x, use_reentrant=use_reentrant)
    return _chain(chain[end:])(x)


class CheckpointedSequential(nn.Sequential):
    """nn.Sequential that recomputes its items one by one in the backward pass while `grad_checkpointing` is True.

    Shape: that of the first item -> that of the last; every item takes one positional argument.
    """

    grad_checkpointing: bool

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.grad_checkpointing = False

    def forward(self, x: Tensor) -> Tensor:
        """The items in order, each on what the one before gave."""
        if self.grad_checkpointing and not torch.jit.is_scripting():
            return checkpoint_seq(self, x)
        for module in self:
            x = module(x)
        return x

    @_copy_to_script_wrapper
    def __getitem__(self, idx: Any) -> Any:
        part: Any = super().__getitem__(idx)
        if isinstance(idx, slice):
            part.grad_checkpointing = self.grad_checkpointing
        return part


def adapt_input_conv(in_chans: int, conv_weight: Tensor, base_chans: int = 3) -> Tensor:
    """The weight of a convolution on images, for images of another number of channels.

    One channel takes the sum over the channels, as if the image were that channel repeated; more repeat the weight
    cyclically, scaled by base_chans / in_chans so that outputs keep their size.

    Shape: (O, base_chans, h, w) -> (O, in_chans, h, w). To one channel also (O, n * base_chans, h, w) -> (O, n, h, w),
    for stems that put neighbouring pixels into channels.

    Raises:
        ValueError: A number of channels is below 1.
        NotImplementedError: The weight is not one of a 2D convolution on `base_chans` channels.
    """
    if min(in_chans, base_chans) < 1:
        raise ValueError(f'in_chans and base_chans must be positive, got {in_chans} and {base_chans}: use 1 or more.')
    if conv_weight.ndim != 4:
        raise NotImplementedError(
            f'The weight of a 2D convolution has 4 axes, this one has shape {tuple(conv_weight.shape)}: it cannot be '
            f'adapted to {in_chans} input channels.'
        )
    if in_chans == base_chans:
        return conv_weight
    out_chans, chans, *kernel_size = conv_weight.shape
    weight = conv_weight if conv_weight.dtype == torch.float64 else conv_weight.float()
    if in_chans == 1 and chans <= base_chans:
        weight = weight.sum(dim=1, keepdim=True)
    elif in_chans == 1 and chans % base_chans == 0:
        weight = weight.reshape(out_chans, chans // base_chans, base_chans, *kernel_size).sum(dim=2)
    elif chans == base_chans:
        repeats = math.ceil(in_chans / base_chans)
        weight = weight.repeat(1, repeats, 1, 1)[:, :in_chans] * (base_chans / in_chans)
    else:
        raise NotImplementedError(
            f'Weight format not supported: the shape {tuple(conv_weight.shape)} is not one of a convolution on '
            f'{base_chans} channels, and cannot be adapted to {in_chans}.'
        )
    return weight.to(conv_weight.dtype)


def reparameterize_model(model: ModuleT, inplace: bool = False) -> ModuleT:
    """Bring branches that exist only for training into their inference form.

    A module below `model` that has `fuse()` is replaced by what that returns; else one with `reparameterize()` or
    `switch_to_deploy()` is told to change itself.

    Args:
        inplace: Change `model` instead of a deep copy.
    """
    if not inplace:
        model = copy.deepcopy(model)
    _reparameterize_children(model)
    return model


def _reparameterize_children(module: Any) -> None:
    for name, child in module.named_children():
        if hasattr(child, 'fuse'):
            child = child.fuse()
            setattr(module, name, child)
        elif hasattr(child, 'reparameterize'):
            child.reparameterize()
        elif hasattr(child, 'switch_to_deploy'):
            child.switch_to_deploy()
        _reparameterize_children(child)


def reinit_non_persistent_buffers(model: nn.Module) -> None:
    """Fill again the tables that state dicts leave out, for a model that came from the meta device.

    Calls `init_non_persistent_buffers()` of every module that has it.
    """
    for module in model.modules():
        fill: Any = getattr(module, 'init_non_persistent_buffers', None)
        if callable(fill):
            fill()
