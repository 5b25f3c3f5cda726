"""AdaHessian: Adam whose second moment is that of the Hessian's diagonal."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ._helpers import check_hyperparameters, state_tensor
from ._rule import Number, RuleOptimizer, add_normalized_, add_ratio_, apply_rule, may_fuse, scale_, shift_
from ._types import ParamsT

__all__ = ['Adahessian']


class Adahessian(RuleOptimizer):
    """Momentum over the root of a running mean of squared second derivatives.

    The diagonal of the Hessian H is estimated as the mean of z * (H z), z random signs, which takes a second backward
    pass: call `loss.backward(create_graph=True)` before `step`. The estimate lies in the attribute `hess` of each
    parameter.

    Args:
        hessian_power: Power of the Hessian in the denominator, from 0 to 1; 1 divides by its full size.
        update_each: Steps between estimates.
        n_samples: Vectors z for each estimate.
        avg_conv_kernel: Take the mean size of the estimate over each kernel of a convolution.

    Raises:
        ValueError: A hyper-parameter is out of its range.

    Source: Yao et al., ADAHESSIAN: An Adaptive Second Order Optimizer for Machine Learning, arXiv:2006.00719,
    algorithm 1.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        hessian_power: float = 1.0,
        update_each: int = 1,
        n_samples: int = 1,
        avg_conv_kernel: bool = False,
    ) -> None:
        check_hyperparameters(betas, lr=lr, eps=eps, weight_decay=weight_decay)
        if not 0 <= hessian_power <= 1:
            raise ValueError(f'hessian_power={hessian_power} is not allowed: it must lie in [0, 1].')
        for name, count in (('update_each', update_each), ('n_samples', n_samples)):
            if count < 1:
                raise ValueError(f'{name}={count} is not allowed: give at least 1.')
        self.n_samples = n_samples
        self.update_each = update_each
        self.avg_conv_kernel = avg_conv_kernel
        # The same in every process of a run, so that all draw the same signs.
        self.seed = 2147483647
        self.generator = torch.Generator().manual_seed(self.seed)
        defaults = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, hessian_power=hessian_power)
        super().__init__(params, defaults)
        for p in self.get_params():
            self.state[p]['hessian step'] = 0

    def __getstate__(self) -> dict[str, Any]:
        names = ('n_samples', 'update_each', 'avg_conv_kernel', 'seed', 'generator')
        return {**super().__getstate__(), **{name: getattr(self, name) for name in names}}

    @property
    def is_second_order(self) -> bool:
        """Whether gradients must come with a graph of their own (create_graph=True)."""
        return True

    def get_params(self) -> Iterator[Any]:
        """All trainable parameters."""
        return (p for group in self.param_groups for p in group['params'] if p.requires_grad)

    def zero_hessian(self) -> None:
        """Clear the estimates that the next call of `set_hessian` makes anew."""
        for p in self.get_params():
            if _hessian(p) is not None and self._is_due(p):
                p.hess.zero_()

    def set_hessian(self) -> None:
        """Add to the estimate of each parameter that is due, and count the call.

        Raises:
            RuntimeError: The gradients have no graph.
        """
        params = [p for p in self.get_params() if p.grad is not None]
        due = [p for p in params if self._is_due(p)]
        for p in params:
            self.state[p]['hessian step'] = self.state[p].get('hessian step', 0) + 1
        if not due:
            return
        if not any(p.grad.requires_grad for p in due):
            raise RuntimeError('Adahessian needs gradients with a graph: call loss.backward(create_graph=True).')
        if self.generator.device != due[0].device:
            self.generator = torch.Generator(due[0].device).manual_seed(self.seed)
        for p in due:
            if _hessian(p) is None:
                p.hess = torch.zeros_like(p)
        for sample in range(self.n_samples):
            signs = [torch.empty_like(p).random_(0, 2, generator=self.generator).mul_(2).sub_(1) for p in due]
            # A gradient without a graph is constant: its row of the Hessian is zero.
            linked = [(p.grad, sign) for p, sign in zip(due, signs, strict=True) if p.grad.requires_grad]
            grads, outputs = zip(*linked, strict=True)
            again = sample < self.n_samples - 1
            products = torch.autograd.grad(grads, due, outputs, retain_graph=again, allow_unused=True)
            for p, product, sign in zip(due, products, signs, strict=True):
                if product is not None:
                    p.hess.addcmul_(product, sign, value=1 / self.n_samples)

    def _is_due(self, param: Any) -> bool:
        """Whether the next step estimates the Hessian of `param`."""
        return _hessian(param) is None or self.state[param].get('hessian step', 0) % self.update_each == 0

    def update_all(self, work: list[tuple[dict[str, Any], list[Tensor], list[Tensor]]]) -> None:
        """Estimate the Hessian, then update every group."""
        self.zero_hessian()
        self.set_hessian()
        super().update_all(work)

    def update(self, group: dict[str, Any], params: list[Any], grads: list[Tensor]) -> None:
        """Apply the rule to these parameters of `group`."""
        if self.avg_conv_kernel:
            for p in params:
                if p.ndim == 4:
                    p.hess.copy_(p.hess.abs().mean((2, 3), keepdim=True))
        states = [self.state[p] for p in params]
        beta1, beta2 = group['betas']
        power = group['hessian_power']
        factors, floors = [], []
        for state in states:
            state['step'] = state.get('step', 0) + 1
            # m / bc1 / ((v / bc2)^(power / 2) + eps), times bc2^(power / 2) above and below the line.
            root = (1 - beta2 ** state['step']) ** (power / 2)
            factors.append(-group['lr'] * root / (1 - beta1 ** state['step']))
            floors.append(group['eps'] * root)
        exp_avgs, squares = (state_tensor(states, params, name) for name in ('exp_avg', 'exp_hessian_diag_sq'))
        apply_rule(
            _adahessian,
            None,
            *(params, grads, exp_avgs, squares, [p.hess for p in params], factors, floors),
            changing=dict(keep=1 - group['lr'] * group['weight_decay']),
            beta1=beta1,
            beta2=beta2,
            power=power,
            fusing=may_fuse(None),
        )


def _hessian(param: Any) -> Tensor | None:
    """The estimate that `param` carries, if any."""
    return getattr(param, 'hess', None)


def _adahessian(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    squares: list[Tensor],
    hessians: list[Tensor],
    factors: list[Number],
    floors: list[Number],
    keep: Number,
    beta1: float,
    beta2: float,
    power: float,
    fusing: bool,
) -> None:
    torch._foreach_lerp_(exp_avgs, grads, 1 - beta1)
    if power == 1:
        add_normalized_(params, exp_avgs, hessians, squares, beta2, factors, floors, keep, fusing)
        return
    scale_(squares, beta2)
    torch._foreach_addcmul_(squares, hessians, hessians, 1 - beta2)
    denominators = list(torch._foreach_pow(squares, power / 2))
    shift_(denominators, floors)
    scale_(params, keep)
    add_ratio_(params, exp_avgs, denominators, factors)
