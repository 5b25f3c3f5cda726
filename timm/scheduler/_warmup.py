"""What most schedules share: a linear warm-up in front, and cycles that get longer and lower."""

import abc
import math
from collections.abc import Sequence

from torch.optim import Optimizer

from .scheduler import Scheduler

__all__ = ['CyclicScheduler', 'WarmupScheduler', 'check_positive']


def check_positive(**values: float) -> None:
    """Raise ValueError for any value that is not above zero."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f'{name}={value} is not allowed: give a number above 0.')


class WarmupScheduler(Scheduler):
    """Rises from `warmup_lr_init` for `warmup_t`, then follows `_shape`.

    A subclass sets its own attributes first, then calls this constructor.

    Args:
        warmup_prefix: The warm-up comes before the schedule instead of replacing its start.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_t: int,
        warmup_lr_init: float,
        warmup_prefix: bool,
        t_in_epochs: bool,
        noise_range_t: float | Sequence[float] | None,
        noise_pct: float,
        noise_std: float,
        noise_seed: int | None,
        initialize: bool,
    ) -> None:
        super().__init__(
            optimizer,
            param_group_field='lr',
            t_in_epochs=t_in_epochs,
            noise_range_t=noise_range_t,
            noise_pct=noise_pct,
            noise_std=noise_std,
            noise_seed=noise_seed,
            initialize=initialize,
        )
        self.warmup_t = warmup_t
        self.warmup_lr_init = warmup_lr_init
        self.warmup_prefix = warmup_prefix
        self.warmup_steps: list[float] = [1] * len(self.base_values)
        if warmup_t:
            self.warmup_steps = [(top - warmup_lr_init) / warmup_t for top in self._warmup_ends()]
            self.update_groups(warmup_lr_init)

    def _warmup_ends(self) -> list[float]:
        """Where the warm-up of each group would arrive at time `warmup_t`."""
        return self.base_values

    def _get_lr(self, t: int) -> list[float]:
        if t < self.warmup_t:
            return [self.warmup_lr_init + t * slope for slope in self.warmup_steps]
        return self._shape(t - self.warmup_t if self.warmup_prefix else t)

    @abc.abstractmethod
    def _shape(self, t: int) -> list[float]:
        """The value of each group at time `t` of the schedule proper."""


class CyclicScheduler(WarmupScheduler):
    """Falls from the base value to `lr_min` along `_fall`, again in each cycle.

    Args:
        t_initial: Length of the first cycle.
        cycle_mul: Length of a cycle over that of the one before.
        cycle_decay: Peak of a cycle over that of the one before.
        cycle_limit: Cycles before the value stays at `lr_min`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        t_initial: int,
        lr_min: float,
        cycle_mul: float,
        cycle_decay: float,
        cycle_limit: int,
        warmup_t: int,
        warmup_lr_init: float,
        warmup_prefix: bool,
        t_in_epochs: bool,
        noise_range_t: float | Sequence[float] | None,
        noise_pct: float,
        noise_std: float,
        noise_seed: int | None,
        initialize: bool,
    ) -> None:
        check_positive(t_initial=t_initial, cycle_mul=cycle_mul)
        if not lr_min >= 0:
            raise ValueError(f'lr_min={lr_min} is not allowed: give a number >= 0.')
        self.t_initial = t_initial
        self.lr_min = lr_min
        self.cycle_mul = cycle_mul
        self.cycle_decay = cycle_decay
        self.cycle_limit = cycle_limit
        super().__init__(
            optimizer,
            warmup_t=warmup_t,
            warmup_lr_init=warmup_lr_init,
            warmup_prefix=warmup_prefix,
            t_in_epochs=t_in_epochs,
            noise_range_t=noise_range_t,
            noise_pct=noise_pct,
            noise_std=noise_std,
            noise_seed=noise_seed,
            initialize=initialize,
        )

    @abc.abstractmethod
    def _fall(self, t: float, length: float) -> float:
        """Height, 1 to 0, at time `t` of a cycle of `length`."""

    def _shape(self, t: int) -> list[float]:
        cycle, start, length = self._cycle_at(t)
        if cycle >= self.cycle_limit:
            return [self.lr_min for _ in self.base_values]
        height = self._fall(t - start, length)
        peak = self.cycle_decay**cycle
        return [self.lr_min + (base * peak - self.lr_min) * height for base in self.base_values]

    def _cycle_at(self, t: int) -> tuple[int, float, float]:
        """Number, start and length of the cycle at time `t`."""
        if self.cycle_mul == 1:
            cycle = t // self.t_initial
            return cycle, self.t_initial * cycle, self.t_initial
        cycle, start, length = 0, 0.0, float(self.t_initial)
        while t >= start + length and cycle < self.cycle_limit:
            cycle, start, length = cycle + 1, start + length, length * self.cycle_mul
        return cycle, start, length

    def get_cycle_length(self, cycles: int = 0) -> int:
        """Time that `cycles` cycles take, 0 for all, with the warm-up when it comes before them."""
        cycles = max(1, cycles or self.cycle_limit)
        if self.cycle_mul == 1:
            length = self.t_initial * cycles
        else:
            length = math.floor(self.t_initial * (self.cycle_mul**cycles - 1) / (self.cycle_mul - 1))
        return length + self.warmup_t if self.warmup_prefix else length
