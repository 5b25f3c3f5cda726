"""A drop at every n-th step of time."""

from collections.abc import Sequence

from torch.optim import Optimizer

from ._warmup import WarmupScheduler, check_positive
from .scheduler import Scheduler as Scheduler

__all__ = ['StepLRScheduler']


class StepLRScheduler(WarmupScheduler):
    """Multiplies the rate by `decay_rate` after every `decay_t`.

    Args:
        warmup_prefix: The warm-up comes before the first stretch instead of replacing its start.

    Raises:
        ValueError: `decay_t` is not above 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        decay_t: float,
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
        check_positive(decay_t=decay_t)
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

    def _shape(self, t: int) -> list[float]:
        height = self.decay_rate ** (t // self.decay_t)
        return [base * height for base in self.base_values]
