# pyright: strict
"""One optimizer step: accumulate gradients over micro-batches, check, clip, update, average the weights."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from timm.task import TrainingTask
from timm.utils import dispatch_clip_grad

from .batches import Batch, seed_model
from .distributed import World
from .exits import NonFiniteError
from .precision import Precision

__all__ = ['Clipping', 'StepResult', 'TrainStep']

_MOST_SKIPS = 30  # halvings from the largest useful loss scale to far below the smallest


@dataclass(frozen=True)
class Clipping:
    """A limit on gradients.

    Attributes:
        limit: The largest norm or value, or the clipping factor of adaptive clipping.
        mode: Total norm, each value, or adaptive: each norm as a share of its weight's.
    """

    limit: float
    mode: Literal['norm', 'value', 'agc'] = 'norm'


@dataclass(frozen=True)
class StepResult:
    """What one update found.

    Attributes:
        loss: Mean over its micro-batches and processes.
        grad_norm: Norm of all gradients together, before clipping.
        num_samples: Samples of this process in it.
        skipped: Whether the loss scale was too high, so that weights stayed as they were.
    """

    loss: float
    grad_norm: float
    num_samples: int
    skipped: bool = False


class TrainStep:
    """Turns micro-batches into one update of a task's weights.

    What a model draws (dropout, stochastic depth) depends on seed, update and the micro-batch's place in the global
    batch alone: accumulating two batches draws what two processes would.
    """

    def __init__(
        self,
        task: TrainingTask,
        optimizer: Optimizer,
        precision: Precision,
        world: World,
        clipping: Clipping | None = None,
        average: bool = False,
        seed: int = 42,
    ) -> None:
        self.task = task
        self.optimizer = optimizer
        self.precision = precision
        self.world = world
        self.clipping = clipping
        self.average = average
        self.seed = seed
        self._second_order: bool = getattr(optimizer, 'is_second_order', False)
        self._skips = 0

    def run(self, batches: Iterable[Batch], count: int, update: int) -> StepResult:
        """Make update number `update` from the next `count` micro-batches.

        Raises:
            NonFiniteError: The loss or a gradient is no number; the weights are as before.
        """
        losses: list[Tensor] = []
        num_samples = 0
        for i, (x, target) in zip(range(count), batches, strict=False):
            seed_model(self.precision.device, self.seed, 'model', update, i * self.world.size + self.world.rank)
            losses.append(self._backward(x, target, count, last=i == count - 1))
            num_samples += len(x)
        values: list[float] = torch.stack(losses).tolist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        loss = self.world.mean(sum(values) / len(values))
        self._require_finite(loss, 'loss', update)
        norm, skipped = self._update(update)
        self.optimizer.zero_grad()
        if self.average:
            self.task.update_ema(step=update + 1)
        return StepResult(loss, norm, num_samples, skipped)

    def _backward(self, x: Tensor, target: Tensor, count: int, *, last: bool) -> Tensor:
        """Add a micro-batch's share to the gradients; its loss comes back detached."""
        x, target = self.precision.place_input(x), self.precision.place_target(target)
        scaler = self.precision.scaler
        if last:
            return self._forward_backward(x, target, count, scaler)
        with self.task.no_sync():
            return self._forward_backward(x, target, count, scaler)

    def _forward_backward(self, x: Tensor, target: Tensor, count: int, scaler: torch.amp.GradScaler | None) -> Tensor:
        with self.precision.autocast():
            loss: Tensor = self.task(x, target)['loss']
        share = loss / count
        (share if scaler is None else scaler.scale(share)).backward(create_graph=self._second_order)  # pyright: ignore[reportUnknownMemberType]
        return loss.detach().float()

    def _update(self, update: int) -> tuple[float, bool]:
        """Clip and apply the gradients; their norm, and whether a scaled step had to be left out."""
        scaler = self.precision.scaler
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        norm = self._clip()
        if scaler is None:
            self._require_finite(norm, 'gradient norm', update)
            self.optimizer.step()
            return norm, False
        skipped = not math.isfinite(norm)
        self._skips = self._skips + 1 if skipped else 0
        if self._skips > _MOST_SKIPS:
            self._require_finite(norm, f'gradient norm of {self._skips} updates in a row', update)
        scaler.step(self.optimizer)
        scaler.update()
        return norm, skipped

    def _clip(self) -> float:
        """The norm of all gradients, which are within the limit afterwards."""
        parameters: list[nn.Parameter] = [p for g in self.optimizer.param_groups for p in g['params']]
        gradients = [p.grad for p in parameters if p.grad is not None]
        total = nn.utils.get_total_norm(gradients)
        clipping = self.clipping
        if clipping is not None and clipping.mode == 'norm':
            nn.utils.clip_grads_with_norm_(parameters, clipping.limit, total)
        elif clipping is not None:
            clipped: Any = self.task.get_clip_parameters(exclude_head='agc' in clipping.mode)
            dispatch_clip_grad(clipped, clipping.limit, clipping.mode)
        return float(total.item())

    def _require_finite(self, value: float, what: str, update: int) -> None:
        """Stop, in all processes alike: losses are means over them, and gradients were summed."""
        if not math.isfinite(value):
            raise NonFiniteError(
                f'the {what} is {value} at update {update}: stopped before the weights were changed; '
                f'try a lower --lr, a longer warm-up, --clip-grad, or no --amp'
            )
