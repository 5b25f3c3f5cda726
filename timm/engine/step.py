# pyright: strict
"""One optimizer step: accumulate gradients over micro-batches, check, clip, update, average the weights."""

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from timm.task import TrainingTask
from timm.utils import dispatch_clip_grad

from .batches import Batch, seed_model
from .distributed import World
from .exits import DataError, NonFiniteError
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
        num_samples: Samples in it, over all processes.
        skipped: Whether the loss scale was too high, so that weights stayed as they were.
        asked: Numbers that the caller gave, added up over the processes.
    """

    loss: float
    grad_norm: float
    num_samples: int
    skipped: bool = False
    asked: tuple[float, ...] = ()


class TrainStep:
    """Turns micro-batches into one update of a task's weights.

    What a model draws (dropout, stochastic depth) depends on seed, update and the micro-batch's place in the global
    batch alone: accumulating two batches draws what two processes would.

    Args:
        weigh: From the samples of a micro-batch to the weight of its loss in the gradients; None for 1.
        keep_statistics: Put running statistics back as they were where an update is refused, for a run that goes on.
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
        keep_statistics: bool = False,
        weigh: Callable[[int], float] | None = None,
    ) -> None:
        self.task = task
        self.optimizer = optimizer
        self.precision = precision
        self.world = world
        self.clipping = clipping
        self.average = average
        self.seed = seed
        self.keep_statistics = keep_statistics
        self.weigh = weigh
        self.scaler_skips = 0
        self._second_order: bool = getattr(optimizer, 'is_second_order', False)

    def run(self, batches: Iterable[Batch], count: int, update: int, ask: Sequence[float] = ()) -> StepResult:
        """Make update number `update` from the next `count` micro-batches.

        Args:
            ask: Numbers to add up over the processes on the way, which costs no exchange of its own.

        Raises:
            NonFiniteError: The loss, a gradient or a running statistic is no number; the weights are as before.
        """
        statistics = self._statistics()
        before = [statistic.clone() for statistic in statistics] if self.keep_statistics else []
        losses: list[Tensor] = []
        num_samples = 0
        for i, (x, target) in zip(range(count), batches, strict=False):
            seed_model(self.precision.device, self.seed, 'model', update, i * self.world.size + self.world.rank)
            losses.append(self._backward(x, target, count, last=i == count - 1))
            num_samples += len(target)
        if not losses:
            raise DataError(f'the training data ended before update {update}: it has fewer samples than it says')
        try:
            loss, seen, asked = self._agree(losses, statistics, num_samples, ask, update)
            norm, skipped = self._update(update)
        except NonFiniteError:
            for statistic, value in zip(statistics, before, strict=False):
                statistic.copy_(value)
            raise
        finally:
            self.optimizer.zero_grad()
        if self.average:
            self.task.update_ema(step=update + 1)
        return StepResult(loss, norm, seen, skipped, asked)

    def _statistics(self) -> list[Tensor]:
        """The running statistics of norms, which a forward pass changes."""
        module = self.task.get_trainable_module()
        assert module is not None, 'a task trains a module'
        return [b for name, b in module.named_buffers() if 'running_' in name and b.is_floating_point()]

    def _agree(
        self, losses: list[Tensor], statistics: list[Tensor], num_samples: int, ask: Sequence[float], update: int
    ) -> tuple[float, int, tuple[float, ...]]:
        """Mean loss, samples and what was asked, over all processes, in one exchange."""
        checked = losses + ([torch.stack(torch._foreach_norm(statistics)).sum().float()] if statistics else [])  # pyright: ignore
        values: list[float] = torch.stack(checked).tolist()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        own = values[: len(losses)]
        unsound = any(not math.isfinite(value) for value in values[len(losses) :])
        total, seen, bad, *asked = self.world.sum([sum(own) / len(own), num_samples, unsound, *ask])
        loss = total / self.world.size
        self._require_finite(loss, 'loss', update)
        if bad:
            raise NonFiniteError(f'a running statistic of a norm is no number at update {update}')
        return loss, int(seen), tuple(asked)

    def _backward(self, x: Tensor, target: Tensor, count: int, *, last: bool) -> Tensor:
        """Add a micro-batch's share to the gradients; its loss comes back detached."""
        x, target = self.precision.place_input(x), self.precision.place_target(target)
        with nullcontext() if last else self._unsynced():
            with self.precision.autocast():
                loss: Tensor = self.task(x, target)['loss']
            weight = 1.0 if self.weigh is None else self.weigh(len(target))
            share, scaler = loss * (weight / count), self.precision.scaler
            (share if scaler is None else scaler.scale(share)).backward(create_graph=self._second_order)  # pyright: ignore[reportUnknownMemberType]
        return loss.detach().float()

    @contextmanager
    def _unsynced(self) -> Generator[None]:
        """Gradients stay in this process, where they are added up before the processes exchange them."""
        module: Any = self.task.get_trainable_module()
        if not hasattr(module, 'set_requires_gradient_sync'):  # which modules in shards have
            with self.task.no_sync():
                yield
            return
        module.set_requires_gradient_sync(False)
        yield
        module.set_requires_gradient_sync(True)

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
        self.scaler_skips = self.scaler_skips + 1 if skipped else 0
        if self.scaler_skips > _MOST_SKIPS:
            self._require_finite(norm, f'gradient norm of {self.scaler_skips} updates in a row', update)
        scaler.step(self.optimizer)
        scaler.update()
        return norm, skipped

    def _clip(self) -> float:
        """The norm of all gradients, which are within the limit afterwards."""
        parameters: list[nn.Parameter] = [p for g in self.optimizer.param_groups for p in g['params']]
        gradients = [p.grad for p in parameters if p.grad is not None]
        total: Any = nn.utils.get_total_norm(gradients)
        clipping = self.clipping
        if clipping is not None and clipping.mode == 'norm':
            nn.utils.clip_grads_with_norm_(parameters, clipping.limit, total)
        elif clipping is not None:
            clipped: Any = self.task.get_clip_parameters(exclude_head='agc' in clipping.mode)
            dispatch_clip_grad(clipped, clipping.limit, clipping.mode)
        return float((total.full_tensor() if hasattr(total, 'full_tensor') else total).item())

    def _require_finite(self, value: float, what: str, update: int) -> None:
        """Stop, in all processes alike: losses are means over them, and gradients were summed."""
        if not math.isfinite(value):
            raise NonFiniteError(
                f'the {what} is {value} at update {update}: stopped before the weights were changed; '
                f'try a lower --lr, a longer warm-up, --clip-grad, or no --amp'
            )
