"""Initialisation put off until it is known to be needed, and then done once.

Two habits make building a model slow. A layer fills its weights at random as it is made, and the network then fills
them again in its own way; and a model that is about to be given published weights is filled at random first. Inside
`deferred_init()` a call that overwrites a whole tensor (`normal_`, `uniform_`, `zero_`, `nn.init.kaiming_uniform_`,
...) is noted instead of run: a later one replaces it, weights taken from a file make it void, and what is left at
the end runs once. Memory that nobody fills is never touched, so the peak is that of the weights.

Any other use of a tensor whose filling is still due runs it first. Code inside the block therefore sees the values
it would see outside; only the order in which random numbers are drawn differs.
"""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from timm.layers import weight_init

__all__ = ['DeferredInit', 'deferred_init', 'is_deferring', 'written_outside']

# Overwrites its first argument whatever that held.
_FILLS: frozenset[Callable[..., Any]] = frozenset({
    nn.init.constant_,
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    weight_init.lecun_normal_,
    weight_init.trunc_normal_,
    weight_init.trunc_normal_tf_,
    weight_init.variance_scaling_,
    Tensor.fill_,
    Tensor.normal_,
    Tensor.uniform_,
    Tensor.zero_,
})  # fmt: skip

# Changes its first argument element by element, by numbers alone: the second half of a fill.
_REFINEMENTS: frozenset[Callable[..., Any]] = frozenset({
    Tensor.add_,
    Tensor.clamp_,
    Tensor.div_,
    Tensor.erfinv_,
    Tensor.mul_,
    Tensor.sub_,
    Tensor.clip_,
    Tensor.log_,
    Tensor.exp_,
    Tensor.neg_,
})  # fmt: skip

# Of these, what autograd sees as it is called; the functions of nn.init switch it off themselves.
_METHODS = frozenset({Tensor.fill_, Tensor.normal_, Tensor.uniform_, Tensor.zero_, *_REFINEMENTS})

# Does not look at values. Views are harmless: they are recognised by the storage they share.
_BLIND_NAMES = frozenset({
    'data', 'device', 'dtype', 'grad', 'grad_fn', 'is_cpu', 'is_cuda', 'is_leaf', 'is_meta', 'is_mkldnn', 'is_mps',
    'is_nested', 'is_quantized', 'is_sparse', 'is_sparse_csr', 'is_xla', 'is_xpu', 'itemsize', 'layout', 'mT', 'nbytes',
    'ndim', 'output_nr', 'requires_grad', 'retains_grad', 'shape', 'T',
})  # fmt: skip
_BLIND: frozenset[Callable[..., Any]] = frozenset({
    *(getattr(Tensor, name).__get__ for name in _BLIND_NAMES if hasattr(Tensor, name)),
    Tensor.requires_grad.__set__,  # pyright: ignore[reportAttributeAccessIssue]
    Tensor.grad.__set__,  # pyright: ignore
    Tensor.__hash__,
    Tensor.__len__,
    Tensor.chunk,
    Tensor.detach,
    Tensor.detach_,
    Tensor.dim,
    Tensor.element_size,
    Tensor.flatten,
    Tensor.is_complex,
    Tensor.is_contiguous,
    Tensor.is_floating_point,
    Tensor.narrow,
    Tensor.ndimension,
    Tensor.nelement,
    Tensor.numel,
    Tensor.permute,
    Tensor.requires_grad_,
    Tensor.select,
    Tensor.size,
    Tensor.split,
    Tensor.squeeze,
    Tensor.storage_offset,
    Tensor.stride,
    Tensor.t,
    Tensor.transpose,
    Tensor.unsqueeze,
    Tensor.untyped_storage,
    Tensor.view,
    torch._C._set_grad_enabled,
    torch.arange,
    torch.empty,
    torch.empty_like,
    torch.is_floating_point,
    torch.ones,
    torch.ones_like,
    torch.zeros,
    torch.zeros_like,
})  # fmt: skip

_Call = tuple[Callable[..., Any], Tensor, tuple[Any, ...], dict[str, Any]]


def _key(tensor: Tensor) -> int:
    """Identity of the memory behind a tensor, the same for all its views."""
    return tensor.untyped_storage()._cdata


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """All tensors in a call's arguments, in lists, tuples and dicts too."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _tensors(value)
        elif isinstance(value, dict):
            found += _tensors(value.values())
    return found


class DeferredInit(TorchFunctionMode):
    """The notes of one `deferred_init()` block: for each piece of memory, the calls that fill it."""

    def __init__(self) -> None:
        super().__init__()
        self._due: dict[int, list[_Call]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Note a fill, pass a blind call through, run what is due before anything else."""
        kwargs = kwargs or {}
        if func in _BLIND:
            return func(*args, **kwargs)
        if func in _FILLS or func in _REFINEMENTS:
            target = args[0] if args else kwargs['tensor']
            if self._note(func, target, args[1:], kwargs):
                return target
        if self._due:
            for tensor in _tensors((*args, *kwargs.values())):
                if tensor.layout is torch.strided:
                    self._run(_key(tensor))
        return func(*args, **kwargs)

    def _note(self, func: Callable[..., Any], target: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Put a call off if nothing but `target` is needed to make it later; returns whether that was done."""
        if target.is_meta:
            return func in _FILLS
        if target.layout is not torch.strided or any(t is not target for t in _tensors((*args, *kwargs.values()))):
            return False
        if func in _METHODS and target.requires_grad and torch.is_grad_enabled():
            return False  # an error, or a step of a computation
        if func in _FILLS:
            if target.nbytes != target.untyped_storage().nbytes():
                return False
            kwargs = {name: value for name, value in kwargs.items() if name != 'tensor'}
            self._due[_key(target)] = [(func, target, args, kwargs)]
            return True
        calls = self._due.get(_key(target))
        if calls is None or target.numel() != calls[0][1].numel():
            return False
        calls.append((func, target, args, kwargs))
        return True

    def _run(self, key: int) -> None:
        calls = self._due.pop(key, None)
        if calls is not None:
            with torch.no_grad():
                for func, target, args, kwargs in calls:
                    func(target, *args, **kwargs)

    def forget(self, tensor: Tensor) -> None:
        """Drop what is due for the memory of a tensor."""
        self._due.pop(_key(tensor), None)

    def finish(self, model: Any) -> None:
        """Run what is still due for the tensors of `model` and for others that somebody holds; forget the rest."""
        with torch._C.DisableTorchFunction():
            if isinstance(model, nn.Module):
                for tensor in (*model.parameters(), *model.buffers()):
                    if tensor.layout is torch.strided:
                        self._run(_key(tensor))
            for key in list(self._due):
                if _is_held(key, self._due[key]):
                    self._run(key)
        self._due.clear()


def _references(objects: list[Any]) -> list[int]:
    return [sys.getrefcount(item) for item in objects]


def _uses(key: int) -> int:
    return torch._C._storage_Use_Count(key)


# What the counts are for a thing that only a list holds, and for the memory of one tensor.
_ALONE = _references([object()])[0]
_UNSHARED = _uses(_key(_probe := torch.empty(0, device='cpu')))


def _is_held(key: int, calls: list[_Call]) -> bool:
    """Whether anything beside the notes refers to a piece of memory: one of the tensors noted, or another one."""
    targets = list({id(target): target for _, target, _, _ in calls}.values())
    noted = [sum(call[1] is target for call in calls) for target in targets]
    if any(found > _ALONE + own for found, own in zip(_references(targets), noted, strict=True)):
        return True
    return _uses(key) > _UNSHARED - 1 + len(targets)


class _Active(threading.local):
    """The outermost block of each thread."""

    mode: DeferredInit | None = None


_active = _Active()


def is_deferring() -> bool:
    """Whether this thread is inside a `deferred_init()` block, that is, building a model."""
    return _active.mode is not None


@contextlib.contextmanager
def written_outside(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Let code that works with torch functions disabled write tensors: what was due for those it wrote is void."""
    mode = _active.mode
    before = [(tensor, tensor._version) for tensor in tensors] if mode is not None else []
    yield
    for tensor, version in before:
        if mode is not None and tensor._version != version and tensor.layout is torch.strided:
            mode.forget(tensor)


@contextlib.contextmanager
def deferred_init() -> Iterator[Callable[[Any], None]]:
    """Note fillings instead of running them; yields the function that runs what a finished model still needs.

    Blocks nest: only the outermost decides when a model is finished, so an inner `finish` does nothing.
    """
    if _active.mode is not None:
        yield lambda _: None
        return
    _active.mode = mode = DeferredInit()
    try:
        with mode:
            yield mode.finish
    finally:
        _active.mode = None
