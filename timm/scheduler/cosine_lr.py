"""Cosine annealing with warm restarts."""

import logging
import math
from collections.abc import Sequence

from torch.optim import Optimizer

from ._warmup import CyclicScheduler
from .scheduler import Scheduler as Scheduler

__all__ = ['CosineLRScheduler']

_logger = logging.getLogger(__name__)


class CosineLRScheduler(CyclicScheduler):
    """Half a cosine wave from the base rate down to `lr_min`, restarted in each cycle.

    Args:
        t_initial: Length of the first cycle.
        cycle_mul: Length of a cycle over that of the one before.
        cycle_decay: Peak of a cycle over that of the one before.
        cycle_limit: Cycles before the rate stays at `lr_min`.
        warmup_prefix: The warm-up comes before the first cycle instead of replacing its start.
        k_decay: Exponent of the time: above 1 the rate stays high for longer.

    Raises:
        ValueError: `t_initial` or `cycle_mul` is not above 0, or `lr_min` below it.

    Source: Loshchilov and Hutter, SGDR, arXiv:1608.03983; k_decay: Zhang and Li, arXiv:2004.05909.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        t_initial: int,
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
        k_decay: float = 1.0,
        initialize: bool = True,
    ) -> None:
        if t_initial == 1 and cycle_mul == 1 and cycle_decay == 1:
            _logger.warning('t_initial=1 leaves the cosine no room: the learning rate will not change.')
        self.k_decay = k_decay
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

    def _fall(self, t: float, length: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * t**self.k_decay / length**self.k_decay))
