"""One form for every update rule: a function over parallel lists, for single tensors, many at once and a compiler."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from functools import cache
from itertools import repeat
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer

from ._fused import PLAIN_TYPES, add_fused_adam_, fits_fused_kernel
from ._helpers import complete_groups, evaluate, gather

__all__ = [
    'Number',
    'RuleOptimizer',
    'Scope',
    'add_cautiously_',
    'add_normalized_',
    'add_ratio_',
    'add_scaled_',
    'apply_rule',
    'batches',
    'cautious_',
    'compile_rule',
    'fuses',
    'in_dtype_of',
    'is_readable',
    'limit_ratio_',
    'may_fuse',
    'norms_of',
    'scale_',
    'shift_',
    'use_foreach',
]

Number: TypeAlias = float | Tensor  # a tensor where a device or a compiler must not see the value change

# What a rule has to see of a parameter at once: an element, all of them, or their dimensions as well.
Scope: TypeAlias = Literal['element', 'tensor', 'shape']

# Where a kernel over a list of tensors saves launches; a CPU gains nothing and loses the cache.
FOREACH_DEVICES = ('cuda', 'xpu')
READABLE_DEVICES = ('cpu',)  # where nothing has to be waited for before a value can be looked at
CAUTION_FLOOR = 1e-3
# Below this a call costs more than the arithmetic; and a compiler treats sizes 0 and 1 as cases of their own.
SMALLEST_COMPILED = 64
# Up to this size a call costs more than the arithmetic, and dozens of parameters fit into the cache together.
LARGEST_GATHERED = 8192
# Elements of a large parameter that stay in the cache of a CPU from one pass of a rule to the next, with their state.
PIECE = 131072

_compiling: ContextVar[bool] = ContextVar('_compiling', default=False)


class RuleOptimizer(Optimizer):
    """An optimizer whose update is a rule over parallel lists of tensors.

    A subclass writes `update`: it picks the state of the parameters it is given and hands everything to its rule. The
    rule goes through `apply_rule`, so it is stated once for single tensors, lists of tensors and the compiler.
    """

    compiled = False  # set by `compile_rule`
    takes_complex = False  # whether the rule knows `as_real`

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        complete_groups(self)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters once; returns the loss when a closure computes it.

        Raises:
            RuntimeError: A gradient is sparse, or complex and the rule does not take it.
        """
        loss = evaluate(closure)
        token = _compiling.set(self.compiled and not torch.compiler.is_compiling())
        try:
            with torch.set_grad_enabled(self.defaults.get('differentiable', False)):
                name, takes_complex = type(self).__name__, self.takes_complex
                self.update_all([(group, *gather(group, name, takes_complex)) for group in self.param_groups])
        finally:
            _compiling.reset(token)
        return loss

    def update_all(self, work: list[tuple[dict[str, Any], list[Tensor], list[Tensor]]]) -> None:
        """Update every group; for rules that look at all gradients first, the place to do so.

        Args:
            work: Per group its options, the parameters that hold a gradient, and these gradients.
        """
        for group, params, grads in work:
            self.update(group, params, grads)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        raise NotImplementedError


def compile_rule(optimizer: Optimizer) -> Optimizer:
    """Let the rule of `optimizer` run compiled: all its passes over a parameter become one.

    The first steps compile, a few seconds for each kind of group; afterwards a step costs what memory traffic costs.
    Results differ from the plain ones by rounding only, and state dicts not at all.

    Raises:
        TypeError: `optimizer` has no rule of ours: torch's own classes have fused kernels instead.
    """
    inner = getattr(optimizer, '_base_optimizer', optimizer)  # of Lookahead
    if not isinstance(inner, RuleOptimizer):
        raise TypeError(f'{type(inner).__name__} has no rule to compile: leave compiled out, or pass fused=True.')
    inner.compiled = True
    return optimizer


def use_foreach(foreach: bool | None, params: Sequence[Tensor]) -> bool:
    """`foreach` as asked for; None means on accelerators, for plain tensors."""
    if foreach is not None:
        return foreach
    return bool(params) and all(type(p) in PLAIN_TYPES and p.device.type in FOREACH_DEVICES for p in params)


def may_fuse(foreach: bool | None) -> bool:
    """Whether a rule may take torch's fused kernels: nobody chose a form for it, and no compiler makes a better one."""
    return foreach is None and not _compiling.get() and not torch.compiler.is_compiling()


def fuses(numbers: Sequence[Number], *columns: Sequence[Tensor]) -> bool:
    """Whether the fused kernels can do this part of a rule: one row, its `numbers` known, its tensors fitting."""
    return (
        len(columns[0]) == 1
        and not any(isinstance(number, Tensor) for number in numbers)
        and fits_fused_kernel(*(column[0] for column in columns))
    )


def is_readable(tensor: Tensor) -> bool:
    """Whether a rule may look at values of `tensor`: nothing waits for its device, and no compiler is looking on."""
    return tensor.device.type in READABLE_DEVICES and not torch.compiler.is_compiling()


def batches(foreach: bool, *columns: Sequence[Any]) -> Iterator[tuple[list[Any], ...]]:
    """Cut parallel lists (parameters first) into the lists a rule is applied to at once.

    With `foreach` that is everything on one device and of the same dtypes, else one parameter at a time: so each rule
    is written once, over lists, and on a CPU all its passes find one parameter in the cache. Entries that are no
    tensors go along with their row.
    """
    if not foreach:
        for row in zip(*columns, strict=True):
            yield tuple([entry] for entry in row)
        return
    alike: defaultdict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
    for row in zip(*columns, strict=True):
        kind = (row[0].device, *(getattr(entry, 'dtype', None) for entry in row))
        alike[kind].append(row)
    for rows in alike.values():
        yield tuple(list(column) for column in zip(*rows, strict=True))


def _in_turn(foreach: bool | None, columns: Sequence[Sequence[Any]], scope: Scope) -> Iterator[tuple[list[Any], ...]]:
    """The lists a rule is called with. Where nobody chose their form, a CPU gets as much as its cache holds.

    That is many small parameters together, and, of a rule for elements, large ones in pieces.
    """
    at_once = use_foreach(foreach, columns[0])
    if at_once or foreach is not None or scope == 'shape':
        yield from batches(at_once, *columns)
        return
    small: list[tuple[Any, ...]] = []
    large: list[tuple[Any, ...]] = []
    for row in zip(*columns, strict=True):
        (small if row[0].numel() <= LARGEST_GATHERED and _is_plain(row[0]) else large).append(row)
    if small:
        yield from batches(True, *zip(*small, strict=True))
    cuts = scope == 'element' and not torch.compiler.is_compiling()
    for row in large:
        for piece in _pieces(row) if cuts else (row,):
            yield tuple([entry] for entry in piece)


def _is_plain(param: Tensor) -> bool:
    return type(param) in PLAIN_TYPES and param.is_cpu


def _pieces(row: tuple[Any, ...]) -> Iterable[tuple[Any, ...]]:
    """The row of a parameter cut into rows of neighbouring elements, where it can be; numbers go along with each."""
    param = row[0]
    alike = all(_is_alike(param, entry) for entry in row if isinstance(entry, Tensor) and entry.ndim)
    if param.numel() < 2 * PIECE or not _is_plain(param) or not alike:
        return (row,)
    cut = [
        entry.detach().as_strided((entry.numel(),), (1,)).split(PIECE)
        if isinstance(entry, Tensor) and entry.ndim
        else repeat(entry)
        for entry in row
    ]
    return zip(*cut, strict=False)  # numbers have no end


def apply_rule(
    rule: Callable[..., None],
    foreach: bool | None,
    *columns: Sequence[Any],
    changing: dict[str, Number] | None = None,
    scope: Scope = 'tensor',
    **constants: Any,
) -> None:
    """Call `rule(*lists, **changing, **constants)` on all rows of the parallel lists `columns`, parameters first.

    A rule works in place on lists with `torch._foreach_...` functions and never reads a tensor's value. Under
    `compile_rule` it is compiled once for all sizes and fuses into one pass per parameter.

    Args:
        foreach: All rows of a kind at once, or one at a time; None decides by device.
        changing: Numbers that differ from step to step. To a compiled rule they come as tensors, and so do the numbers
            of a column; constants are compiled into it.
        scope: What the rule has to see at once: 'element' may be cut into pieces on its way through a CPU's cache, and
            all but 'shape' is shown to a compiler as flat.
    """
    changing = changing or {}
    if not _compiling.get() or scope == 'shape':
        for lists in _in_turn(foreach, columns, scope):
            rule(*lists, **_beside(changing, lists[0][0]), **constants)
        return
    compiled, changing_tensors = _compiled(rule), {name: _as_tensor(number) for name, number in changing.items()}
    # Constants as symbols, the default, come back from torch's cache as those of another optimizer (seen in 2.14).
    with torch._dynamo.config.patch(specialize_float=True):
        for row in zip(*columns, strict=True):
            tensors = [entry for entry in row if isinstance(entry, Tensor) and entry.ndim]
            if row[0].numel() >= SMALLEST_COMPILED and all(_is_alike(row[0], tensor) for tensor in tensors):
                compiled(*([_flat(entry)] for entry in row), **changing_tensors, **constants)
            else:
                rule(*([entry] for entry in row), **changing, **constants)


@cache
def _compiled(rule: Callable[..., None]) -> Callable[..., None]:
    return torch.compile(rule, dynamic=True)


def _beside(numbers: dict[str, Number], param: Tensor) -> dict[str, Number]:
    """`numbers` where arithmetic with `param` can use them: parameters may be spread over several accelerators."""
    far = {k: v.to(param.device) for k, v in numbers.items() if isinstance(v, Tensor) and v.device.type != 'cpu'}
    return {**numbers, **far} if far else numbers


def _as_tensor(number: Number) -> Tensor:
    return number if isinstance(number, Tensor) else torch.tensor(number, dtype=torch.float64)


def _is_alike(param: Tensor, other: Tensor) -> bool:
    """Whether flat views of both pair the same elements."""
    return (
        other.shape == param.shape
        and other.stride() == param.stride()
        and torch.ops.aten.is_non_overlapping_and_dense(other)
    )


def _flat(entry: Any) -> Any:
    """A dense tensor as a vector over the same memory, a number as a tensor.

    The vector is no view: a compiler would look through that at the shape it came from, and compile once for each.
    """
    if not isinstance(entry, Tensor):
        return _as_tensor(entry) if isinstance(entry, float) else entry
    if not entry.ndim:
        return entry
    flat = torch.empty(0, dtype=entry.dtype, device=entry.device)
    return flat.set_(entry.untyped_storage(), entry.storage_offset(), (entry.numel(),), (1,))


def in_dtype_of(others: Sequence[Tensor], tensors: Sequence[Tensor]) -> list[Tensor]:
    """`tensors` in the dtypes of `others`: themselves where they have them, else copies."""
    return [tensor.to(other.dtype) for tensor, other in zip(tensors, others, strict=True)]


def norms_of(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The Euclidean norm of each tensor; of half precision in float32."""
    return list(torch._foreach_norm(list(tensors), 2, torch.promote_types(tensors[0].dtype, torch.float32)))


def shift_(tensors: list[Tensor], amount: Number | list[Number]) -> None:
    """tensors += amount, one for all or one each.

    A compiler takes the value of the scalar tensor in torch._foreach_add_(tensors, scalar) for a constant, so that form
    is avoided.
    """
    amounts: Any = [amount] * len(tensors) if isinstance(amount, Tensor) else amount
    torch._foreach_add_(tensors, amounts)


def scale_(tensors: list[Tensor], factor: Number) -> None:
    """tensors *= factor; on a CPU one by one, because there the list form rounds a number to half precision first."""
    if isinstance(factor, Tensor) or (tensors and tensors[0].device.type != 'cpu'):
        torch._foreach_mul_(tensors, factor)
    else:
        for tensor in tensors:
            tensor.mul_(factor)


def add_scaled_(tensors: list[Tensor], others: list[Tensor], factor: Number) -> None:
    """tensors += factor * others."""
    if isinstance(factor, Tensor):
        torch._foreach_add_(tensors, list(torch._foreach_mul(others, factor)))
    else:
        torch._foreach_add_(tensors, others, alpha=factor)


def add_ratio_(
    tensors: list[Tensor], numerators: list[Tensor], denominators: list[Tensor], factors: Sequence[Number]
) -> None:
    """tensors += factors * numerators / denominators; where the factors are tensors, `denominators` are used up."""
    each: Any = list(factors)
    if any(isinstance(factor, Tensor) for factor in each):
        torch._foreach_reciprocal_(denominators)
        torch._foreach_mul_(denominators, numerators)
        torch._foreach_mul_(denominators, each)
        torch._foreach_add_(tensors, denominators)
    else:
        torch._foreach_addcdiv_(tensors, numerators, denominators, each)


def add_normalized_(
    tensors: list[Tensor],
    numerators: list[Tensor],
    grads: list[Tensor],
    squares: list[Tensor],
    beta2: float,
    factors: Sequence[Number],
    floors: Sequence[Number],
    keep: Number = 1.0,
    fusing: bool = False,
) -> None:
    """Bring the mean of the squared gradients up to date and go by its root: Adam's second half.

    squares = beta2 * squares + (1 - beta2) * grads^2
    tensors = keep * tensors + factors * numerators / (sqrt(squares) + floors)

    Args:
        fusing: The rule may take the fused kernels (`may_fuse`): where they fit, all is done in one pass.
    """
    if fusing and fuses([*factors, *floors, keep], tensors, numerators, grads, squares):
        # The kernel writes its first moment, and gradients are not ours to write.
        first, beta1 = ([torch.zeros_like(grads[0])], 0.0) if numerators is grads else (numerators, 1.0)
        factor, floor = float(factors[0]), float(floors[0])
        add_fused_adam_(tensors, grads, first, squares, beta1, beta2, factor, floor, float(keep))
        return
    scale_(squares, beta2)
    torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
    denominators = list(torch._foreach_sqrt(squares))
    shift_(denominators, list(floors))
    if isinstance(keep, Tensor) or keep != 1:
        scale_(tensors, keep)
    add_ratio_(tensors, numerators, denominators, factors)


def limit_ratio_(grads: list[Tensor], denominators: list[Tensor], limits: Sequence[Number]) -> None:
    """Raise each denominator until the root mean square of gradient / denominator is at most its limit."""
    for grad, denominator, limit in zip(grads, denominators, limits, strict=True):
        excess = norms_of([grad / denominator])[0] / (limit * grad.numel() ** 0.5)
        if not is_readable(excess) or excess > 1:
            denominator.mul_(excess.clamp_(min=1.0))


def _masks(updates: Sequence[Tensor], grads: Sequence[Tensor]) -> Iterator[Tensor]:
    """0 where an update points against the gradient; elsewhere a factor that makes good, one for a whole tensor."""
    for update, grad in zip(updates, grads, strict=True):
        agrees = (update * grad).gt_(0)  # 0 and 1 in the same dtype: twice as fast as a boolean mask
        yield agrees.div_(agrees.mean().clamp_(min=CAUTION_FLOOR))


def cautious_(updates: Sequence[Tensor], grads: Sequence[Tensor]) -> None:
    """Drop, in place, the parts of `updates` that point against the gradient, and scale up the rest to make good.

    Source: Liang et al., Cautious Optimizers: Improving Training with One Line of Code, arXiv:2411.16085.
    """
    for update, mask in zip(updates, _masks(updates, grads), strict=True):
        update.mul_(mask)


def add_cautiously_(tensors: list[Tensor], updates: list[Tensor], grads: Sequence[Tensor], factor: Number) -> None:
    """tensors += factor * what `cautious_` would leave of the updates, which stay as they are."""
    masks = list(_masks(updates, grads))
    if isinstance(factor, Tensor):
        torch._foreach_mul_(masks, factor)
        factor = 1.0
    torch._foreach_addcmul_(tensors, updates, masks, factor)
