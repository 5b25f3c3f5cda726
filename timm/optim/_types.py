"""Names for what goes into an optimizer and what makes one."""

from typing import Any, Protocol

from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

__all__ = ['OptimType', 'OptimizerCallable', 'ParamsT']

OptimType = type[Optimizer]


class OptimizerCallable(Protocol):
    """Whatever builds an optimizer from parameters: a class, or one with some arguments bound."""

    def __call__(self, params: ParamsT, **kwargs: Any) -> Optimizer:
        """Build it."""
        ...
