"""Muon: momentum with its singular values set to one, and AdamW for what is no matrix."""

import importlib.util
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from ._helpers import check_fractions, check_hyperparameters, count_tensors, state_tensor, step_counts
from ._newton_schulz import scale_eps_for_ns as scale_eps_for_ns
from ._newton_schulz import zeropower_via_newtonschulz as zeropower_via_newtonschulz
from ._rule import Number, RuleOptimizer, add_scaled_, apply_rule, scale_, shift_
from ._stacks import same_shape
from ._types import ParamsT
from .adamw import adamw
from .nadamw import nadamw

__all__ = ['Muon', 'adamuon', 'muon']

_logger = logging.getLogger(__name__)

MUON_EPS = 1e-7
DEFAULT_NS_STEPS = 5
has_dtensor = importlib.util.find_spec('torch.distributed.tensor') is not None

CoefficientsLike = str | Sequence[float] | Sequence[Sequence[float]]
ALGOS = ('muon', 'adamuon')
CONV_MODES = ('flatten', 'batched')

# The coefficients of X, (X X^T) X and (X X^T)^2 X, each for one step after the other.
# fmt: off
_BY_POWER: dict[str, tuple[tuple[float, ...], ...]] = {
    # https://github.com/KellerJordan/modded-nanogpt: tuned for each of five steps
    'quintic': (
        (4.0848, 3.9505, 3.7418, 2.8769, 2.8366),
        (-6.8946, -6.3029, -5.5913, -3.1427, -3.0525),
        (2.927, 2.6377, 2.3037, 1.2046, 1.2012),
    ),
    # Jordan et al., Muon, 2024: the same in each step, and steep at zero
    'original': (
        (3.4445,),
        (-4.775,),
        (2.0315,),
    ),
    # Amsel et al., The Polar Express, arXiv:2505.16932: each the best after those before it
    'polar_express': (
        (8.237312490495555, 4.082441999064835, 3.9263479922546582, 3.2982187133085143,
         2.2970369434552573, 1.8763805351440397, 1.8564423485617974, 1.8749994008682747),
        (-23.157747414558198, -2.893047735332586, -2.8547468034765298, -2.424541981026706,
         -1.63662558125903, -1.2347896577722228, -1.2132449880935525, -1.2499988017229169),
        (16.680568411445915, 0.5252849256975648, 0.5318022422894988, 0.48632008358844075,
         0.4002628455953627, 0.35891887501668385, 0.3568003487825883, 0.3749994008546422),
    ),
    # the same with a margin against rounding
    'polar_express_safer': (
        (8.156554524902461, 4.0429299351667245, 3.8916678022926563, 3.285753657755658,
         2.3005307116270983, 1.8631210546382593, 1.8382572152247512, 1.8749999923301852),
        (-22.48329292557795, -2.808917465908704, -2.7724841532176825, -2.3681294933425394,
         -1.6111665557258408, -1.2042160621002727, -1.1779263289537742, -1.2499999836060613),
        (15.878769915207462, 0.5000178451051299, 0.5060648178503389, 0.46449024233003117,
         0.3833374427545273, 0.3421879560523383, 0.3396513038637379, 0.374999991275876),
    ),
}
# fmt: on
COEFFICIENTS = {name: list(zip(*powers, strict=True)) for name, powers in _BY_POWER.items()}


def resolve_ns_coefficients(
    value: CoefficientsLike, presets: Mapping[str, Sequence[Sequence[float]]]
) -> list[tuple[float, float, float]]:
    """(a, b, c) of each step, from the name of a preset, one such triple, or a sequence of them.

    Raises:
        ValueError: The name is unknown, the sequence empty, or something in it no triple of numbers.
        TypeError: `value` is neither a name nor a sequence.
    """
    if isinstance(value, str):
        if value not in presets:
            raise ValueError(f"ns_coefficients='{value}' is not one of {', '.join(sorted(presets))}.")
        value = presets[value]
    if not isinstance(value, Sequence):
        raise TypeError(f'ns_coefficients={value!r} is neither a name of a preset nor a sequence of triples.')
    if not value:
        raise ValueError(f'ns_coefficients={value!r} is empty: give at least one triple (a, b, c).')
    triples: Any = [value] if all(isinstance(number, Real) for number in value) else value
    for triple in triples:
        if not isinstance(triple, Sequence) or len(triple) != 3 or not all(isinstance(x, Real) for x in triple):
            raise ValueError(f'ns_coefficients: {triple!r} is no triple (a, b, c) of numbers.')
    return [(float(a), float(b), float(c)) for a, b, c in triples]


def _sides(shape: Sequence[int]) -> tuple[float, float]:
    """Rows and columns of a matrix; what is less than one counts as 1 x 1, scaled by nothing."""
    return (shape[-2], shape[-1]) if len(shape) > 1 else (1.0, 1.0)


def get_lr_scale(param_shape: Sequence[int], adjust_lr_fn: str | None = 'match_rms_adamw') -> float:
    """Factor on the learning rate for an update of this shape, whose singular values are all one.

    Args:
        adjust_lr_fn: 'match_rms_adamw' gives a root mean square of 0.2, which is usual for AdamW (Liu et al.,
            arXiv:2502.16982, section 2.2); 'rms_to_rms' one that keeps the size of activations, sqrt(rows / cols)
            (Bernstein and Newhouse, arXiv:2410.21265); 'original' the same, but at least 1 (Jordan et al., 2024); None
            leaves it as it is.

    Raises:
        ValueError: `adjust_lr_fn` is none of them.
    """
    if adjust_lr_fn is None:
        return 1.0
    rows, cols = _sides(param_shape)
    if adjust_lr_fn == 'match_rms_adamw':
        return 0.2 * math.sqrt(max(rows, cols))
    if adjust_lr_fn == 'rms_to_rms':
        return math.sqrt(rows / cols)
    if adjust_lr_fn == 'original':
        return math.sqrt(max(1.0, rows / cols))
    raise ValueError(f"adjust_lr_fn='{adjust_lr_fn}' is not one of match_rms_adamw, original, rms_to_rms.")


def get_adamuon_lr_scale(
    param_shape: Sequence[int], adjust_lr_fn: str | None = 'match_rms_adamw'
) -> tuple[float, bool]:
    """Factor on the learning rate for AdaMuon, and whether it is for an update of norm one.

    Args:
        adjust_lr_fn: As for `get_lr_scale`, 'match_rms_adamw' or 'rms_to_rms'; 'rsqrt_in' is 1 / sqrt(cols), and None
            leaves the rate as it is.

    Raises:
        ValueError: `adjust_lr_fn` is none of them.

    Source: Si et al., AdaMuon: Adaptive Muon Optimizer, arXiv:2507.11005, section 3.
    """
    if adjust_lr_fn is None:
        return 1.0, False
    rows, cols = _sides(param_shape)
    if adjust_lr_fn == 'match_rms_adamw':
        return 0.2 * math.sqrt(math.prod(param_shape)), True
    if adjust_lr_fn == 'rms_to_rms':
        return math.sqrt(rows / cols), False
    if adjust_lr_fn == 'rsqrt_in':
        return cols**-0.5, False
    raise ValueError(f"adjust_lr_fn='{adjust_lr_fn}' is not one of match_rms_adamw, rms_to_rms, rsqrt_in for AdaMuon.")


def reshape_for_muon(tensor: Tensor, mode: str = 'flatten') -> tuple[Tensor, torch.Size]:
    """A weight as matrices, and its own shape to return to.

    Shape: (rows, cols) stays. (out, in, *kernel) -> (out, in * kernel) by 'flatten', (kernel, out, in) by 'batched'.

    Raises:
        ValueError: `tensor` has less than two dimensions, or `mode` is neither.
    """
    shape = tensor.shape
    if len(shape) < 2:
        raise ValueError(f'a tensor of shape {tuple(shape)} is no matrix: Muon needs at least 2 dimensions.')
    if len(shape) == 2:
        return tensor, shape
    if mode == 'flatten':
        return tensor.flatten(1), shape
    if mode == 'batched':
        return tensor.flatten(2).permute(2, 0, 1), shape
    raise ValueError(f"conv_mode='{mode}' is not one of flatten, batched.")


def _unfit(shape: Sequence[int], min_size: int = 4, max_aspect_ratio: float = 128.0) -> str | None:
    """Why a parameter of this shape is left to AdamW; None where Muon suits it."""
    if len(shape) < 2 or sum(size > 1 for size in shape) < 2:
        return 'it is no matrix'
    if shape[0] == 1 or shape[1] == 1:
        return 'it is a position embedding or a depthwise convolution'
    short, long = sorted((shape[0], math.prod(shape[1:])))
    if short < min_size:
        return f'it has a side of {short}, less than {min_size}'
    if long > max_aspect_ratio * short:
        return f'its sides {short} and {long} differ by more than {max_aspect_ratio:g} times'
    return None


class Muon(RuleOptimizer):
    """Momentum, orthogonalised for every matrix: all directions of an update get the same size.

    Vectors, scalars, position embeddings, depthwise convolutions, and matrices that are very narrow are updated by
    AdamW, or with `nesterov` by NAdamW. A group with `use_fallback=True` or `use_muon=False` is left to these
    altogether, one with `use_muon=True` to Muon.

    Args:
        ns_steps: Steps of the Newton-Schulz iteration that orthogonalises.
        ns_coefficients: Its coefficients: 'original', 'quintic', 'polar_express', 'polar_express_safer', one triple
            for all steps, or one for each.
        eps: Smallest norm to divide by, for Muon and its fallback alike.
        safety_factor: What norms are multiplied by before the iteration, against rounding.
        adjust_lr_fn: How the rate depends on the shape: see `get_lr_scale` and `get_adamuon_lr_scale`.
        conv_mode: Take the kernel of a convolution as one matrix ('flatten') or each of its positions ('batched').
        normalize_spatial: Divide the rate of 'batched' by the root of the number of positions.
        adamw_lr: Deprecated: rate of the fallback; give `fallback_lr_scale=adamw_lr / lr`.
        fallback_lr_scale: Rate of the fallback over `lr`.
        betas: Decays of the fallback's moments; the second is also that of AdaMuon's.
        algo: 'adamuon' divides orthogonalised momenta by the root of their second moment.
        scale_eps: Add `eps`, scaled by the aspect ratio, to norms instead of limiting them by it.
        capturable: Keep step counts on the device, so that the step can be captured in a CUDA graph.
        verbose: Log which rule each parameter is updated by.

    Raises:
        ValueError: A hyper-parameter is out of its range, or the name of a choice unknown.

    Source: Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024,
    https://kellerjordan.github.io/posts/muon; AdaMuon is Si et al., arXiv:2507.11005, algorithm 1.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.02,
        weight_decay: float = 0,
        momentum: float = 0.95,
        nesterov: bool = False,
        ns_steps: int = DEFAULT_NS_STEPS,
        ns_coefficients: CoefficientsLike = 'quintic',
        eps: float = MUON_EPS,
        safety_factor: float = 1.0,
        adjust_lr_fn: str | None = 'match_rms_adamw',
        conv_mode: str = 'flatten',
        normalize_spatial: bool = True,
        adamw_lr: float | None = None,
        fallback_lr_scale: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.95),
        algo: str = 'muon',
        scale_eps: bool = False,
        capturable: bool = False,
        verbose: bool = False,
    ) -> None:
        check_hyperparameters(betas, lr=lr, weight_decay=weight_decay, eps=eps, adamw_lr=adamw_lr)
        check_hyperparameters(fallback_lr_scale=fallback_lr_scale)
        if len(betas) != 2:
            raise ValueError(f'betas={tuple(betas)} is not allowed: give two of them.')
        check_fractions(momentum=momentum)
        if not 0 < safety_factor < math.inf:
            raise ValueError(f'safety_factor={safety_factor} is not allowed: give a finite number > 0.')
        if ns_steps < 1:
            raise ValueError(f'ns_steps={ns_steps} is not allowed: give at least 1.')
        for name, value, known in (('algo', algo, ALGOS), ('conv_mode', conv_mode, CONV_MODES)):
            if value not in known:
                raise ValueError(f"{name}='{value}' is not one of {', '.join(known)}.")
        resolve_ns_coefficients(ns_coefficients, COEFFICIENTS)
        (get_lr_scale if algo == 'muon' else get_adamuon_lr_scale)((1, 1), adjust_lr_fn)
        if adamw_lr is not None:
            if not lr:
                raise ValueError(f'adamw_lr={adamw_lr} has no ratio to lr={lr}: give fallback_lr_scale instead.')
            warnings.warn(
                f'adamw_lr is deprecated: give fallback_lr_scale={adamw_lr / lr:g}.', FutureWarning, stacklevel=2
            )
            fallback_lr_scale = adamw_lr / lr
        defaults = dict(
            lr=lr,
            weight_decay=weight_decay,
            momentum=momentum,
            nesterov=nesterov,
            ns_steps=ns_steps,
            ns_coefficients=ns_coefficients,
            eps=eps,
            safety_factor=safety_factor,
            adjust_lr_fn=adjust_lr_fn,
            conv_mode=conv_mode,
            normalize_spatial=normalize_spatial,
            fallback_lr_scale=fallback_lr_scale,
            betas=betas,
            algo=algo,
            scale_eps=scale_eps,
            capturable=capturable,
            verbose=verbose,
        )
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        for group in state['param_groups']:
            if 'fallback_lr_scale' not in group and group.get('adamw_lr') is not None:
                # Older states have the fallback's own rate: a share of that which a schedule starts from.
                lr = group.get('initial_lr', group['lr'])
                group['fallback_lr_scale'] = group['adamw_lr'] / lr if lr else 1.0
        super().__setstate__(state)

    def update(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        rows: dict[bool, list[tuple[Tensor, Tensor]]] = {True: [], False: []}
        for p, grad in zip(params, grads, strict=True):
            state = self.state[p]
            if 'use_muon' not in state:
                state['use_muon'] = _route(group, p.shape)
            rows[state['use_muon']].append((p, grad))
        for use_muon, update in ((True, self._update_matrices), (False, self._update_others)):
            if rows[use_muon]:
                update(group, *(list(column) for column in zip(*rows[use_muon], strict=True)))

    def _update_matrices(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Take a step of Muon or AdaMuon."""
        states = [self.state[p] for p in params]
        names = ('lr', 'weight_decay', 'momentum', 'nesterov', 'ns_steps', 'ns_coefficients', 'eps', 'safety_factor')
        names = (*names, 'adjust_lr_fn', 'conv_mode', 'normalize_spatial', 'scale_eps', 'capturable')
        chosen = {name: group[name] for name in names}
        momenta = state_tensor(states, params, 'momentum_buffer')
        if group['algo'] == 'muon':
            muon(params, grads, momenta, **chosen)
        else:
            steps = count_tensors(states, params, group['capturable'])
            exp_avg_sqs = state_tensor(states, params, 'exp_avg_sq')
            adamuon(params, grads, momenta, exp_avg_sqs, steps, beta2=group['betas'][1], **chosen)

    def _update_others(self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor]) -> None:
        """Take a step of AdamW or NAdamW."""
        states = [self.state[p] for p in params]
        beta1, beta2 = group['betas']
        steps = count_tensors(states, params, group['capturable'])
        exp_avgs, exp_avg_sqs = (state_tensor(states, params, name) for name in ('exp_avg', 'exp_avg_sq'))
        chosen = dict(
            lr=group['lr'] * group['fallback_lr_scale'],
            weight_decay=group['weight_decay'],
            eps=group['eps'],
            capturable=group['capturable'],
            caution=False,
            maximize=False,
            max_lr=None,
        )
        if group['nesterov']:
            nadamw(params, grads, exp_avgs, exp_avg_sqs, steps, beta1=beta1, beta2=beta2, **chosen)
        else:
            adamw(params, grads, exp_avgs, exp_avg_sqs, [], steps, amsgrad=False, beta1=beta1, beta2=beta2, **chosen)


def _route(group: dict[str, Any], shape: torch.Size) -> bool:
    """Whether Muon is to update a parameter of `group`.

    Raises:
        ValueError: The group asks for Muon, and the parameter is no matrix.
    """
    unfit = _unfit(shape)
    if group.get('use_fallback', False):
        use_muon, reason = False, 'the group asks for it'
    elif 'use_muon' in group:
        use_muon, reason = bool(group['use_muon']), 'the group asks for it'
        if use_muon and len(shape) < 2:
            raise ValueError(f'use_muon=True: a parameter of shape {tuple(shape)} is no matrix. Give it another group.')
    else:
        use_muon, reason = unfit is None, unfit or 'it is a matrix'
    if group['verbose']:
        rule = group['algo'] if use_muon else 'nadamw' if group['nesterov'] else 'adamw'
        _logger.info('%s for a parameter of shape %s: %s', rule, tuple(shape), reason)
    return use_muon


def _orthogonal(weights: list[Any], conv_mode: str, **iteration: Any) -> list[Tensor]:
    """Weights of one shape with their singular values moved to one; all together as a batch."""
    wholes = [weight.full_tensor() if _is_sharded(weight) else weight for weight in weights]
    matrices = [reshape_for_muon(whole, conv_mode)[0] for whole in wholes]
    if len(matrices) == 1:
        each = [zeropower_via_newtonschulz(matrices[0], **iteration)]
    else:
        batch = zeropower_via_newtonschulz(torch.stack(matrices).flatten(0, -3), **iteration)
        each = batch.view(-1, *matrices[0].shape).unbind()
    results = []
    for matrix, weight in zip(each, weights, strict=True):
        # Contiguous again where the iteration has transposed: arithmetic on unlike strides costs more than the copy.
        matrix = matrix.contiguous().to(weight.dtype)
        whole = (matrix.permute(1, 2, 0) if matrix.ndim == 3 else matrix).reshape(weight.shape)
        results.append(_shard_like(whole, weight) if _is_sharded(weight) else whole)
    return results


def _is_sharded(weight: Tensor) -> bool:
    return has_dtensor and hasattr(weight, 'full_tensor')


def _shard_like(whole: Tensor, weight: Any) -> Tensor:
    """This process's part of a tensor that all processes hold, as `weight` is divided among them."""
    mesh = weight.device_mesh
    return type(weight).from_local(whole, mesh).redistribute(mesh, weight.placements)


def _momentum_ahead(momenta: list[Tensor], grads: list[Tensor], momentum: float, nesterov: bool) -> list[Tensor]:
    """Bring the momenta up to date; with `nesterov` they are returned one more step ahead."""
    torch._foreach_lerp_(momenta, grads, 1 - momentum)
    return list(torch._foreach_lerp(grads, momenta, momentum)) if nesterov else momenta


def _matrix_shape(shape: torch.Size, conv_mode: str) -> tuple[int, ...]:
    """The shape that `reshape_for_muon` gives to a weight of `shape`."""
    if len(shape) == 2 or conv_mode == 'flatten':
        return shape[0], math.prod(shape[1:])
    return math.prod(shape[2:]), *shape[:2]


def muon(
    params: list[Tensor],
    grads: list[Tensor],
    momentum_bufs: list[Tensor],
    *,
    lr: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
    ns_steps: int,
    ns_coefficients: CoefficientsLike,
    eps: float,
    safety_factor: float,
    adjust_lr_fn: str | None,
    conv_mode: str,
    normalize_spatial: bool,
    scale_eps: bool,
    capturable: bool = False,  # noqa: ARG001 (published)
) -> None:
    """One step of Muon on parallel lists, in place; it counts no steps, so `capturable` makes no difference."""
    rates = []
    for p in params:
        shape = _matrix_shape(p.shape, conv_mode)
        positions = shape[0] if normalize_spatial and len(shape) == 3 else 1
        rates.append(lr * get_lr_scale(shape, adjust_lr_fn) / positions**0.5)
    apply_rule(
        _muon,
        None,
        *(params, grads, momentum_bufs, rates),
        changing=dict(keep=1 - lr * weight_decay),
        scope='shape',
        decays=weight_decay != 0,
        momentum=momentum,
        nesterov=nesterov,
        conv_mode=conv_mode,
        steps=ns_steps,
        coefficients=resolve_ns_coefficients(ns_coefficients, COEFFICIENTS),
        eps=eps,
        safety_factor=safety_factor,
        scale_eps=scale_eps,
    )


def _muon(
    params: list[Tensor],
    grads: list[Tensor],
    momenta: list[Tensor],
    rates: list[Number],
    keep: Number,
    decays: bool,
    momentum: float,
    nesterov: bool,
    **iteration: Any,
) -> None:
    if decays:
        scale_(params, keep)
    ahead = _momentum_ahead(momenta, grads, momentum, nesterov)
    for batch, directions, (rate, *_) in same_shape(params, ahead, rates):
        add_scaled_(batch, _orthogonal(directions, **iteration), -rate)


def adamuon(
    params: list[Tensor],
    grads: list[Tensor],
    momentum_bufs: list[Tensor],
    exp_avg_sqs: list[Tensor],
    state_steps: list[Tensor],
    *,
    lr: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
    beta2: float,
    ns_steps: int,
    ns_coefficients: CoefficientsLike,
    eps: float,
    safety_factor: float,
    adjust_lr_fn: str | None,
    conv_mode: str,
    normalize_spatial: bool,
    scale_eps: bool,
    capturable: bool = False,
) -> None:
    """One step of AdaMuon on parallel lists, in place."""
    rates, corrections = [], []
    normalizes = get_adamuon_lr_scale((1, 1), adjust_lr_fn)[1]
    for p, count in zip(params, step_counts(state_steps, capturable), strict=True):
        shape = _matrix_shape(p.shape, conv_mode)
        positions = shape[0] if normalize_spatial and len(shape) == 3 else 1
        rates.append(lr * get_adamuon_lr_scale(shape, adjust_lr_fn)[0] / positions**0.5)
        corrections.append((1 - beta2**count) ** 0.5)
    apply_rule(
        _adamuon,
        None,
        *(params, grads, momentum_bufs, exp_avg_sqs, rates, corrections),
        changing=dict(keep=1 - lr * weight_decay),
        scope='shape',
        decays=weight_decay != 0,
        normalizes=normalizes,
        momentum=momentum,
        nesterov=nesterov,
        beta2=beta2,
        conv_mode=conv_mode,
        steps=ns_steps,
        coefficients=resolve_ns_coefficients(ns_coefficients, COEFFICIENTS),
        eps=eps,
        safety_factor=safety_factor,
        scale_eps=scale_eps,
    )


def _adamuon(
    params: list[Tensor],
    grads: list[Tensor],
    momenta: list[Tensor],
    exp_avg_sqs: list[Tensor],
    rates: list[Number],
    corrections: list[Any],
    keep: Number,
    decays: bool,
    normalizes: bool,
    momentum: float,
    nesterov: bool,
    beta2: float,
    eps: float,
    **iteration: Any,
) -> None:
    if decays:
        scale_(params, keep)
    ahead = _momentum_ahead(momenta, grads, momentum, nesterov)
    for batch, directions, moments, (rate, *_), roots in same_shape(params, ahead, exp_avg_sqs, rates, corrections):
        updates = _orthogonal(directions, eps=eps, **iteration)
        scale_(moments, beta2)
        torch._foreach_addcmul_(moments, updates, updates, 1 - beta2)
        denominators = list(torch._foreach_sqrt(moments))
        if not normalizes:  # what is divided by its own norm needs no correction of its size
            torch._foreach_div_(denominators, roots)
        shift_(denominators, eps)
        torch._foreach_div_(updates, denominators)
        if normalizes:
            torch._foreach_div_(updates, torch._foreach_add(torch._foreach_norm(updates), eps))
        add_scaled_(batch, updates, -rate)
