"""Warm-up, a long stable stretch, and a short decay at its end."""

import difflib
import math
from collections.abc import Callable, Sequence

from torch.optim import Optimizer

from ._warmup import WarmupScheduler, check_positive
from .scheduler import Scheduler as Scheduler

__all__ = ['WSDLRScheduler']

STABLE_FNS = ('constant', 'rsqrt', 'power')
DECAY_FNS = ('linear', '1-sqrt', 'cosine', 'power', 'exp')


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = difflib.get_close_matches(value, choices, n=1, cutoff=0.0)[0]
        raise ValueError(f"{name}='{value}' is not known: use one of {', '.join(choices)}; '{near}' is nearest.")


class WSDLRScheduler(WarmupScheduler):
    """Rises for `warmup_t`, holds or falls slowly, and in the last `decay_t` of `t_initial` goes down to `lr_min`.

    The slow fall goes on under the final decay, which multiplies what is left of it.

    Args:
        t_initial: Length of the stable stretch and the decay together, without the warm-up.
        stable_fn: 'constant', or (1 + t / stable_timescale)^-p with p = 1/2 ('rsqrt') or `stable_power` ('power').
        stable_timescale: None is `warmup_t`.
        decay_fn: With x the share of the decay that has passed: 'linear' 1 - x, '1-sqrt' 1 - x^(1/2), 'power'
            1 - x^`decay_power`, 'cosine', 'exp' (`decay_ratio`^x brought down to 0 at the end), or a function of x.

    Raises:
        ValueError: A length, rate or name is not possible.

    Source: Hu et al., MiniCPM, arXiv:2404.06395, section 4; Hagele et al., arXiv:2405.18392 (1-sqrt); Zhai et al.,
    Scaling Vision Transformers, arXiv:2106.04560 (reciprocal square root).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        t_initial: int,
        decay_t: int,
        lr_min: float = 0.0,
        stable_fn: str = 'constant',
        stable_timescale: float | None = None,
        stable_power: float = 0.5,
        decay_fn: str | Callable[[float], float] = '1-sqrt',
        decay_power: float = 0.5,
        decay_ratio: float = 0.1,
        warmup_t: int = 0,
        warmup_lr_init: float = 0.0,
        t_in_epochs: bool = True,
        noise_range_t: float | Sequence[float] | None = None,
        noise_pct: float = 0.67,
        noise_std: float = 1.0,
        noise_seed: int | None = 42,
        initialize: bool = True,
    ) -> None:
        check_positive(t_initial=t_initial, stable_power=stable_power, decay_power=decay_power)
        if not 0 < decay_t <= t_initial:
            raise ValueError(f'decay_t={decay_t} is not allowed: the decay is part of t_initial={t_initial}.')
        if not 0 < decay_ratio < 1:
            raise ValueError(f'decay_ratio={decay_ratio} is not allowed: give a number between 0 and 1.')
        if not lr_min >= 0:
            raise ValueError(f'lr_min={lr_min} is not allowed: give a number >= 0.')
        _check_choice('stable_fn', stable_fn, STABLE_FNS)
        if isinstance(decay_fn, str):
            _check_choice('decay_fn', decay_fn, DECAY_FNS)
        if stable_fn != 'constant':
            check_positive(stable_timescale=warmup_t if stable_timescale is None else stable_timescale)
        self.t_initial = t_initial
        self.decay_t = decay_t
        self.lr_min = lr_min
        self.stable_fn = stable_fn
        self.stable_timescale = warmup_t if stable_timescale is None and stable_fn != 'constant' else stable_timescale
        self.stable_power = stable_power
        self.decay_fn = decay_fn
        self.decay_power = decay_power
        self.decay_ratio = decay_ratio
        super().__init__(
            optimizer,
            warmup_t,
            warmup_lr_init,
            True,
            t_in_epochs,
            noise_range_t,
            noise_pct,
            noise_std,
            noise_seed,
            initialize,
        )

    def _stable(self, t: int) -> float:
        """Height of the slow fall at time `t`."""
        if self.stable_fn == 'constant' or not self.stable_timescale:
            return 1.0
        power = 0.5 if self.stable_fn == 'rsqrt' else self.stable_power
        return (1 + t / self.stable_timescale) ** -power

    def _decay(self, x: float) -> float:
        """Height of the final decay when the share `x` of it has passed."""
        if callable(self.decay_fn):
            return self.decay_fn(x)
        if self.decay_fn == 'linear':
            return 1 - x
        if self.decay_fn == 'cosine':
            return 0.5 * (1 + math.cos(math.pi * x))
        if self.decay_fn == 'exp':
            return (self.decay_ratio**x - self.decay_ratio) / (1 - self.decay_ratio)
        return 1 - x ** (0.5 if self.decay_fn == '1-sqrt' else self.decay_power)

    def _shape(self, t: int) -> list[float]:
        t = min(t, self.t_initial)
        stable = self._stable(t)
        levels = [max(self.lr_min, base * stable) for base in self.base_values]
        share = (t - (self.t_initial - self.decay_t)) / self.decay_t
        if share <= 0:
            return levels
        height = self._decay(share)
        return [self.lr_min + (level - self.lr_min) * height for level in levels]

    def get_cycle_length(self, cycles: int = 0) -> int:
        """Time from the start of the warm-up to the end of the decay; there is one cycle, whatever `cycles`."""
        return self.warmup_t + self.t_initial
