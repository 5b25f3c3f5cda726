"""A drop at each of a list of times."""

import bisect
from collections.abc import Sequence

from torch.optim import Optimizer

from ._warmup import WarmupScheduler
from .scheduler import Scheduler as Scheduler

__all__ = ['MultiStepLRScheduler']


class MultiStepLRScheduler(WarmupScheduler):
    """Multiplies the rate by `decay_rate` one step before each time in `decay_t`.

    Args:
        decay_t: Times in rising order; at `decay_t[i] - 1` the drop is already in force.
        warmup_prefix: The warm-up comes before time 0 of `decay_t` instead of replacing the start.

    Raises:
        ValueError: `decay_t` is not in rising order.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        decay_t: Sequence[int],
        decay_rate: float = 1.0,
        warmup_t: int = 0,
        warmup_lr_init: float = 0.0,
        warmup_prefix: bool = True,
        t_in_epochs: bool = True,
        noise_range_t: float | Sequence[float] | None = None,
        noise_pct: float = 0.67,
        noise_std: float = 1.0,
        noise_seed: int | None = 42,
        initialize: bool = True,
    ) -> None:
        if list(decay_t) != sorted(decay_t):
            raise ValueError(f'decay_t={decay_t} is not allowed: give the times in rising order.')
        self.decay_t = decay_t
        self.decay_rate = decay_rate
        super().__init__(
            optimizer,
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

    def get_curr_decay_steps(self, t: int) -> int:
        """Number of drops so far at time `t`."""
        return bisect.bisect_right(self.decay_t, t + 1)

    def _shape(self, t: int) -> list[float]:
        height = self.decay_rate ** self.get_curr_decay_steps(t)
        return [base * height for base in self.base_values]
