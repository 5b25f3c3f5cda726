"""The base of the schedules: any value of the parameter groups as a function of time, not of the calls so far."""

import abc
from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

__all__ = ['Scheduler']


class Scheduler(abc.ABC):
    """Sets `param_group_field` in every parameter group to what `_get_lr(t)` gives, times the group's `lr_scale`.

    A subclass defines `_get_lr`. Time t is absolute: the epoch given to `step` when `t_in_epochs`, else the number
    of updates given to `step_update`; the other of the two does nothing. It is asked at every call, so a subclass
    may set `t_in_epochs` after this constructor.

    Args:
        param_group_field: Usually 'lr'. What each group starts from is kept in it as 'initial_' + this name.
        noise_range_t: From this time on, or in [first, last), values are multiplied by 1 + noise.
        noise_type: 'normal', drawn until smaller than `noise_pct`, or 'uniform' in +-`noise_pct`.
        noise_seed: The noise at time t depends on `noise_seed + t` only; None is 42.
        initialize: Record the starting values; otherwise they must be there.

    Raises:
        KeyError: A parameter group lacks the field, or without `initialize` its starting value.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        param_group_field: str,
        t_in_epochs: bool = True,
        noise_range_t: float | Sequence[float] | None = None,
        noise_type: str = 'normal',
        noise_pct: float = 0.67,
        noise_std: float = 1.0,
        noise_seed: int | None = None,
        initialize: bool = True,
    ) -> None:
        self.optimizer = optimizer
        self.param_group_field = param_group_field
        self._initial_param_group_field = f'initial_{param_group_field}'
        needed = param_group_field if initialize else self._initial_param_group_field
        for i, group in enumerate(optimizer.param_groups):
            if needed not in group:
                raise KeyError(f"param_groups[{i}] has no '{needed}', which the schedule starts from.")
            if initialize:
                group.setdefault(self._initial_param_group_field, group[param_group_field])
        self.base_values: list[float] = [group[self._initial_param_group_field] for group in optimizer.param_groups]
        self.metric: float | None = None
        self.t_in_epochs = t_in_epochs
        self.noise_range_t = noise_range_t
        self.noise_pct = noise_pct
        self.noise_type = noise_type
        self.noise_std = noise_std
        self.noise_seed = 42 if noise_seed is None else noise_seed
        self.update_groups(self.base_values)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {name: value for name, value in vars(self).items() if name != 'optimizer'}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` of the same schedule gave."""
        vars(self).update(state_dict)

    @abc.abstractmethod
    def _get_lr(self, t: int) -> list[float]:
        """The value of each parameter group at time `t`."""

    def _get_values(self, t: int, on_epoch: bool = True) -> list[float] | None:
        """The values at time `t`, None when it is counted in the other unit."""
        return self._get_lr(t) if on_epoch == self.t_in_epochs else None

    def step(self, epoch: int, metric: float | None = None) -> None:
        """Set the values for `epoch`, when time is counted in epochs."""
        self.metric = metric
        values = self._get_values(epoch, on_epoch=True)
        if values is not None:
            self.update_groups(self._add_noise(values, epoch))

    def step_update(self, num_updates: int, metric: float | None = None) -> None:
        """Set the values for the time after `num_updates`, when time is counted in updates."""
        self.metric = metric
        values = self._get_values(num_updates, on_epoch=False)
        if values is not None:
            self.update_groups(self._add_noise(values, num_updates))

    def update_groups(self, values: float | Sequence[float]) -> None:
        """Write one value per parameter group, or the same to all, each times the group's `lr_scale`."""
        groups = self.optimizer.param_groups
        per_group = values if isinstance(values, (list, tuple)) else [values] * len(groups)
        for group, value in zip(groups, per_group, strict=True):
            group[self.param_group_field] = value * group.get('lr_scale', 1)

    def _add_noise(self, values: list[float], t: int) -> list[float]:
        if not self._is_apply_noise(t):
            return values
        noise = self._calculate_noise(t)
        return [value + value * noise for value in values]

    def _is_apply_noise(self, t: int) -> bool:
        if self.noise_range_t is None:
            return False
        if isinstance(self.noise_range_t, (list, tuple)):
            return self.noise_range_t[0] <= t < self.noise_range_t[1]
        return t >= self.noise_range_t  # pyright: ignore[reportOperatorIssue]

    def _calculate_noise(self, t: int) -> float:
        """The relative change at time `t`; every process draws the same."""
        generator = torch.Generator().manual_seed(self.noise_seed + t)
        if self.noise_type != 'normal':
            return 2 * (torch.rand(1, generator=generator).item() - 0.5) * self.noise_pct
        while True:
            noise = self.noise_std * torch.randn(1, generator=generator).item()
            if abs(noise) < self.noise_pct:
                return noise
