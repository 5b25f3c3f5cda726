"""A drop whenever a metric stops getting better."""

from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from .scheduler import Scheduler

__all__ = ['PlateauLRScheduler']


class PlateauLRScheduler(Scheduler):
    """After a warm-up, multiplies the rate by `decay_rate` once the metric has stood still for `patience_t` epochs.

    The one schedule with a memory: `state_dict` holds it, and a resumed run needs it.

    Args:
        threshold: Relative change of the metric that counts as better.
        cooldown_t: Epochs after a drop in which none is counted as bad.
        mode: 'max' when a larger metric is better, 'min' when a smaller one is.

    Raises:
        ValueError: `mode` is neither.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        decay_rate: float = 0.1,
        patience_t: int = 10,
        threshold: float = 1e-4,
        cooldown_t: int = 0,
        warmup_t: int = 0,
        warmup_lr_init: float = 0.0,
        lr_min: float = 0.0,
        mode: str = 'max',
        noise_range_t: float | Sequence[float] | None = None,
        noise_type: str = 'normal',
        noise_pct: float = 0.67,
        noise_std: float = 1.0,
        noise_seed: int | None = None,
        initialize: bool = True,
    ) -> None:
        if mode not in ('min', 'max'):
            raise ValueError(f"mode='{mode}' is not known: use 'min' or 'max'.")
        super().__init__(
            optimizer,
            'lr',
            noise_range_t=noise_range_t,
            noise_type=noise_type,
            noise_pct=noise_pct,
            noise_std=noise_std,
            noise_seed=noise_seed,
            initialize=initialize,
        )
        self.lr_scheduler = ReduceLROnPlateau(
            optimizer,
            mode=mode,  # pyright: ignore[reportArgumentType]
            factor=decay_rate,
            patience=patience_t,
            threshold=threshold,
            cooldown=cooldown_t,
            min_lr=lr_min,
        )
        self.warmup_t = warmup_t
        self.warmup_lr_init = warmup_lr_init
        self.warmup_steps: list[float] = [1] * len(self.base_values)
        if warmup_t:
            self.warmup_steps = [(base - warmup_lr_init) / warmup_t for base in self.base_values]
            self.update_groups(warmup_lr_init)
        # Rates without this epoch's noise, while there is noise.
        self.restore_lr: list[float] | None = None

    def state_dict(self) -> dict[str, Any]:
        """The best metric, the counters, and the rates under the noise."""
        inner = self.lr_scheduler
        return {
            'best': inner.best,
            'last_epoch': inner.last_epoch,
            'num_bad_epochs': inner.num_bad_epochs,
            'cooldown_counter': inner.cooldown_counter,
            'restore_lr': self.restore_lr,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the memory; of a state with only `best` and `last_epoch` the counters start anew."""
        inner = self.lr_scheduler
        inner.best = state_dict['best']
        inner.last_epoch = state_dict.get('last_epoch', inner.last_epoch)
        inner.num_bad_epochs = state_dict.get('num_bad_epochs', 0)
        inner.cooldown_counter = state_dict.get('cooldown_counter', 0)
        self.restore_lr = state_dict.get('restore_lr')

    def _get_lr(self, t: int) -> list[float]:
        """The rates as they are: only a metric can tell how they go on."""
        return [group[self.param_group_field] for group in self.optimizer.param_groups]

    def step(self, epoch: int, metric: float | None = None) -> None:
        """Set the rates for `epoch`, knowing the metric after the one before; without a metric nothing is counted."""
        self.metric = metric
        if self.warmup_t and epoch <= self.warmup_t:
            self.update_groups([self.warmup_lr_init + epoch * slope for slope in self.warmup_steps])
            return
        groups = self.optimizer.param_groups
        if self.restore_lr is not None:
            for group, rate in zip(groups, self.restore_lr, strict=True):
                group[self.param_group_field] = rate
            self.restore_lr = None
        if metric is not None:
            self.lr_scheduler.step(metric)
        if self._is_apply_noise(epoch):
            self.restore_lr = self._get_lr(epoch)
            for group, rate in zip(groups, self._add_noise(self.restore_lr, epoch), strict=True):
                group[self.param_group_field] = rate

    def step_update(self, num_updates: int, metric: float | None = None) -> None:
        """Nothing: the metric comes once an epoch."""
