"""Lookahead: slow weights that follow any optimizer's fast ones."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import Optimizer

__all__ = ['Lookahead']


class Lookahead(Optimizer):
    """Every `k` steps the weights go back to a slow copy that has moved `alpha` of the way towards them.

    The slow copy is made at the first of these points, so the first `k` steps are the inner optimizer's own. It
    shares parameter groups and state with `base_optimizer`, and either one's state dict restores both.

    Args:
        alpha: Share of the way, 0 to 1.

    Raises:
        ValueError: `alpha` lies outside [0, 1] or `k` below 1.

    Source: Zhang et al., Lookahead Optimizer: k steps forward, 1 step back, arXiv:1907.08610, algorithm 1.
    """

    _base_optimizer: Optimizer

    def __init__(self, base_optimizer: Optimizer, alpha: float = 0.5, k: int = 6) -> None:
        if not 0 <= alpha <= 1:
            raise ValueError(f'alpha={alpha} is not allowed: give the share of the way to the fast weights, 0 to 1.')
        if k < 1:
            raise ValueError(f'k={k} is not allowed: give the number of fast steps between two slow ones, at least 1.')
        base_optimizer.defaults.update(lookahead_alpha=alpha, lookahead_k=k, lookahead_step=0)
        # Optimizer.__init__ would make a second set of groups and state; this only gives us the hooks.
        self.__setstate__({'_base_optimizer': base_optimizer, 'defaults': dict(base_optimizer.defaults)})

    def __getstate__(self) -> dict[str, Any]:
        return {'_base_optimizer': self._base_optimizer, 'defaults': self.defaults}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._complete_groups()

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner optimizer's groups, each with `lookahead_alpha`, `lookahead_k` and `lookahead_step`."""
        return self._base_optimizer.param_groups

    @property
    def state(self) -> defaultdict[Any, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The inner optimizer's state, which also holds the slow weights."""
        return self._base_optimizer.state

    @property
    def is_second_order(self) -> bool:
        """Whether the inner optimizer needs a graph of the gradients."""
        return getattr(self._base_optimizer, 'is_second_order', False)

    def _complete_groups(self) -> None:
        for group in self.param_groups:
            for name in ('lookahead_alpha', 'lookahead_k', 'lookahead_step'):
                group.setdefault(name, self.defaults[name])

    @torch.no_grad()
    def update_slow(self, group: dict[str, Any]) -> None:
        """Move the slow weights of `group`, where there was a gradient, towards the fast ones, and go back to them."""
        for p in group['params']:
            if p.grad is None:
                continue
            state = self.state[p]
            if 'lookahead_slow_buff' not in state:
                state['lookahead_slow_buff'] = p.detach().clone()
            slow = state['lookahead_slow_buff']
            slow.lerp_(p, group['lookahead_alpha'])
            p.copy_(slow)

    def sync_lookahead(self) -> None:
        """Do the slow step for every group now, as before an evaluation."""
        for group in self.param_groups:
            self.update_slow(group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one fast step, and the slow one where it is due; returns what the inner optimizer returns."""
        loss = self._base_optimizer.step(closure)
        for group in self.param_groups:
            group['lookahead_step'] += 1
            if group['lookahead_step'] % group['lookahead_k'] == 0:
                self.update_slow(group)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's state dict, slow weights and counters included."""
        return self._base_optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore from a state dict written with or without Lookahead."""
        self._base_optimizer.load_state_dict(state_dict)
        self._complete_groups()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Hand a new group to the inner optimizer."""
        self._base_optimizer.add_param_group(param_group)
        self._complete_groups()
