"""A hyperbolic tangent with warm restarts."""

import math
from collections.abc import Sequence

from torch.optim import Optimizer

from ._warmup import CyclicScheduler
from .scheduler import Scheduler as Scheduler

__all__ = ['TanhLRScheduler']


class TanhLRScheduler(CyclicScheduler):
    """The stretch of a tanh from `lb` to `ub`, upside down, from the base rate to `lr_min`, again in each cycle.

    Args:
        t_initial: Length of the first cycle.
        cycle_mul: Length of a cycle over that of the one before.
        cycle_decay: Peak of a cycle over that of the one before.
        cycle_limit: Cycles before the rate stays at `lr_min`.
        warmup_prefix: The warm-up comes before the first cycle instead of replacing its start.

    Raises:
        ValueError: `t_initial` or `cycle_mul` is not above 0, `lr_min` below it, or not `lb` < `ub`.

    Source: Hsueh et al., Stochastic Gradient Descent with Hyperbolic-Tangent Decay, arXiv:1806.01593.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        t_initial: int,
        lb: float = -7.0,
        ub: float = 3.0,
        lr_min: float = 0.0,
        cycle_mul: float = 1.0,
        cycle_decay: float = 1.0,
        cycle_limit: int = 1,
        warmup_t: int = 0,
        warmup_lr_init: float = 0.0,
        warmup_prefix: bool = False,
        t_in_epochs: bool = True,
        noise_range_t: float | Sequence[float] | None = None,
        noise_pct: float = 0.67,
        noise_std: float = 1.0,
        noise_seed: int | None = 42,
        initialize: bool = True,
    ) -> None:
        if not lb < ub:
            raise ValueError(f'lb={lb} is not allowed: it must be below ub={ub}.')
        self.lb = lb
        self.ub = ub
        super().__init__(
            optimizer,
            t_initial,
            lr_min,
            cycle_mul,
            cycle_decay,
            cycle_limit,
            warmup_t,
            warmup_lr_init,
            warmup_prefix,
            t_in_epochs,
            noise_range_t,
            noise_pct,
            noise_std,
            noise_seed,
            initialize,
        )

    def _warmup_ends(self) -> list[float]:
        return self.base_values if self.warmup_prefix else self._shape(self.warmup_t)

    def _fall(self, t: float, length: float) -> float:
        share = t / length
        return 0.5 * (1 - math.tanh(self.lb * (1 - share) + self.ub * share))
