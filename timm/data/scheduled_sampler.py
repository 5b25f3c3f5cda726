"""Batches of several image and batch sizes: which comes when is planned per epoch, equal for all processes."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from .keyed import KeyedSampler, SampleKey

__all__ = ['ScheduledBatchSampler', 'ScheduledTransformDataset']

Plan = tuple[tuple[int, int], ...]


class ScheduledBatchSampler(Sampler[list[Any]]):
    """Batches of (index, choice) pairs, where a choice is a batch size and the transform that goes with it.

    The plan of an epoch is a function of seed, epoch and the length of `sampler`, hence the same in all processes.
    Without `num_batches`, a constant schedule draws choices until the samples are used up, once for the run, and
    changes their order in every epoch; with it, choices are drawn afresh in every epoch and samples used again if need
    be. A progressive schedule (as in EfficientNetV2, Tan and Le, 2021, arXiv:2104.00298, section 4) moves from the
    first choice to the last.

    Over a `KeyedSampler` the batches are lists of keys. Its `set_epoch` then sets the epoch and the batch to begin
    with.

    Args:
        sampler: Indices of the samples of this process.
        batch_sizes: Samples in a batch of each choice.
        choice_weights: How likely each choice is; 0 leaves it out. Equal by default.
        drop_last: Leave out samples that do not fill a batch of any choice; else they make a smaller one.
        shuffle_schedule: Change the order of the batches from epoch to epoch.
        num_batches: Batches in an epoch. A progressive schedule estimates it from its average batch.
        choice_schedule: 'constant' or 'progressive'.
        schedule_epochs: Epochs after which a progressive schedule is at the last choice.
        schedule_spread: Standard deviation, in choices, of the bell around the choice it is at; 0 for that one alone.
        schedule_random_mix: Share of equal chances mixed into that, 0 to 1.

    Raises:
        ValueError: A number out of its range, weights that do not belong to the sizes, or no batch that fits.
    """

    def __init__(
        self,
        sampler: Any,
        batch_sizes: Sequence[int],
        choice_weights: Sequence[float] | None = None,
        seed: int = 0,
        drop_last: bool = True,
        shuffle_schedule: bool = True,
        num_batches: int | None = None,
        choice_schedule: str = 'constant',
        schedule_epochs: int | None = None,
        schedule_spread: float = 0.65,
        schedule_random_mix: float = 0.1,
    ) -> None:
        if len(sampler) < 1:
            raise ValueError('a schedule needs a non-empty sampler: there are no samples in this one')
        self.sampler = sampler
        self.batch_sizes = tuple(int(size) for size in batch_sizes)
        if not self.batch_sizes or min(self.batch_sizes) < 1 or self.batch_sizes != tuple(batch_sizes):
            raise ValueError(f'batch_sizes are whole numbers from 1 on, one for each choice, got {batch_sizes!r}')
        self.choice_weights = self._normalized(choice_weights)
        self.seed = seed
        self.drop_last = drop_last
        self.shuffle_schedule = shuffle_schedule
        self.choice_schedule = choice_schedule
        self.schedule_epochs = schedule_epochs
        self.schedule_spread = schedule_spread
        self.schedule_random_mix = schedule_random_mix
        self._check_schedule()
        self._epoch = 0
        self.average_batch_size = self._average_batch_size()
        self.num_batches = self._checked_num_batches(num_batches)
        self._budget_plan: Plan = () if self.num_batches else self._create_sample_budget_schedule()

    def _normalized(self, weights: Sequence[float] | None) -> Tensor:
        chances = torch.tensor([1.0] * len(self.batch_sizes) if weights is None else list(weights), dtype=torch.float64)
        if len(chances) != len(self.batch_sizes):
            raise ValueError(f'{len(chances)} choice_weights for {len(self.batch_sizes)} batch_sizes: one for each')
        if not chances.isfinite().all() or chances.min() < 0 or not chances.sum() > 0:
            raise ValueError(f'choice_weights are numbers from 0 on, not all 0, got {weights!r}')
        return chances / chances.sum()

    def _check_schedule(self) -> None:
        if self.choice_schedule not in ('constant', 'progressive'):
            raise ValueError(f"choice_schedule is 'constant' or 'progressive', got {self.choice_schedule!r}")
        if self.choice_schedule == 'constant':
            return
        if len(self.batch_sizes) < 2:
            raise ValueError('a progressive schedule goes from one choice to another: give at least two')
        epochs = self.schedule_epochs
        if epochs is None or epochs != int(epochs) or epochs < 1:
            raise ValueError(f'a progressive schedule needs schedule_epochs, from 1 on, got {epochs!r}')
        if not self.schedule_spread >= 0:
            raise ValueError(f'schedule_spread is a number of choices from 0 on, got {self.schedule_spread!r}')
        if not 0 <= self.schedule_random_mix <= 1:
            raise ValueError(f'schedule_random_mix is a share of 0 to 1, got {self.schedule_random_mix!r}')

    @property
    def _active(self) -> list[int]:
        return [choice for choice, chance in enumerate(self.choice_weights.tolist()) if chance > 0]

    @property
    def epoch(self) -> int:
        """The epoch of the next pass; that of the sampler where it has keys."""
        return self.sampler.epoch if isinstance(self.sampler, KeyedSampler) else self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass, for the sampler too."""
        self._epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)

    def choice_weights_for_epoch(self, epoch: int) -> Tensor:
        """How likely each choice is in an epoch, float64 with a sum of 1.

        A progressive schedule weights choice i of K by exp(-((i - c) / spread)^2 / 2), with c from 0 in the first epoch
        to K - 1 in the last of `schedule_epochs`.
        """
        if self.choice_schedule == 'constant':
            return self.choice_weights.clone()
        assert self.schedule_epochs is not None
        last = self.schedule_epochs - 1
        center = (min(max(epoch / last, 0.0), 1.0) if last else 1.0) * (len(self.batch_sizes) - 1)
        distance = (torch.arange(len(self.batch_sizes), dtype=torch.float64) - center).abs()
        if self.schedule_spread == 0:
            bell = (distance == distance.min()).double()
        else:
            bell = torch.exp(-0.5 * (distance / self.schedule_spread) ** 2)
        weights = bell * self.choice_weights
        active = self._active
        if not weights.sum() > 0:  # all that is near has no weight of its own
            weights[min(active, key=lambda choice: distance[choice].item())] = 1.0
        explored = torch.zeros_like(weights)
        explored[active] = 1.0 / len(active)
        mix = self.schedule_random_mix
        return (1.0 - mix) * (weights / weights.sum()) + mix * explored

    def _average_batch_size(self) -> float:
        """Samples in a batch, on the average over the epochs of the schedule."""
        epochs = range(self.schedule_epochs or 1) if self.choice_schedule == 'progressive' else range(1)
        sizes = torch.tensor(self.batch_sizes, dtype=torch.float64)
        return float(torch.stack([self.choice_weights_for_epoch(epoch) @ sizes for epoch in epochs]).mean())

    def _checked_num_batches(self, num_batches: int | None) -> int | None:
        """Batches in an epoch of drawn choices; None for as many as the samples last."""
        if num_batches is not None:
            if num_batches != int(num_batches) or num_batches < 1:
                raise ValueError(f'num_batches is a whole number from 1 on, got {num_batches!r}')
            return int(num_batches)
        if self.choice_schedule == 'constant':
            return None
        batches = len(self.sampler) / self.average_batch_size
        if not self.drop_last:
            return math.ceil(batches)
        if batches < 1:
            raise ValueError(self._nothing_fits())
        return int(batches)

    def _nothing_fits(self) -> str:
        return (
            f'No full scheduled batch: {len(self.sampler)} samples fill no batch of {self.batch_sizes}. '
            'Use smaller ones, or drop_last=False.'
        )

    def _create_sample_budget_schedule(self) -> Plan:
        """Draw choices until the samples are used up."""
        generator = torch.Generator().manual_seed(self.seed)
        left = len(self.sampler)
        plan: list[tuple[int, int]] = []
        while left:
            fitting = [choice for choice in self._active if self.batch_sizes[choice] <= left]
            if not fitting:
                if not self.drop_last:
                    plan.append((_draw(self.choice_weights, generator), left))
                break
            choice = fitting[_draw(self.choice_weights[fitting], generator)]
            plan.append((choice, self.batch_sizes[choice]))
            left -= self.batch_sizes[choice]
        if not plan:
            raise ValueError(self._nothing_fits())
        return tuple(plan)

    def _schedule(self, epoch: int) -> Plan:
        return self._budget_plan if self.num_batches is None else self._create_fixed_batch_schedule(epoch)

    def _create_fixed_batch_schedule(self, epoch: int) -> Plan:
        """Draw a choice for each of `num_batches`."""
        assert self.num_batches is not None
        generator = torch.Generator().manual_seed(self.seed + 2 * epoch)
        weights = self.choice_weights_for_epoch(epoch)
        choices = [_draw(weights, generator) for _ in range(self.num_batches)]
        return tuple((choice, self.batch_sizes[choice]) for choice in choices)

    @property
    def schedule(self) -> Plan:
        """The batches of the current epoch as (choice, samples), before their order is changed."""
        return self._schedule(self.epoch)

    def plan(self, epoch: int) -> Plan:
        """The batches of an epoch as (choice, samples), in their order."""
        schedule = self._schedule(epoch)
        if not self.shuffle_schedule:
            return schedule
        generator = torch.Generator().manual_seed(self.seed + 2 * epoch + 1)
        return tuple(schedule[i] for i in torch.randperm(len(schedule), generator=generator).tolist())

    def __iter__(self) -> Iterator[list[tuple[Any, int]] | list[SampleKey]]:
        if isinstance(self.sampler, KeyedSampler):
            return self.sampler.planned(self.plan)
        return self._batches()

    def _batches(self) -> Iterator[list[tuple[Any, int]]]:
        indices = self._cycled()
        for choice, size in self.plan(self.epoch):
            yield [(index, choice) for index in islice(indices, size)]

    def _cycled(self) -> Iterator[Any]:
        while True:
            yield from self.sampler

    def __len__(self) -> int:
        return self.num_batches or len(self._budget_plan)


class ScheduledTransformDataset(Dataset[Any]):
    """A dataset with several transforms: sample (index, choice) has its image transformed by `transforms[choice]`.

    The choices come from a `ScheduledBatchSampler`. The dataset inside gives tuples or lists with the image first, and
    has no transform of its own.

    Raises:
        ValueError: There are no transforms.
    """

    def __init__(self, dataset: Any, transforms: Sequence[Callable[[Any], Any]]) -> None:
        if not transforms:
            raise ValueError('there is nothing to choose from: give one transform or more')
        self.dataset = dataset
        self.transforms = tuple(transforms)

    def __getitem__(self, scheduled_index: tuple[Any, int]) -> Any:
        if not isinstance(scheduled_index, tuple) or len(scheduled_index) != 2:
            raise TypeError(
                f'samples are asked for by (index, choice), as a batch sampler does, got {scheduled_index!r}'
            )
        index, choice = scheduled_index
        if not 0 <= choice < len(self.transforms):
            raise IndexError(f'there is no transform {choice}: they are 0 to {len(self.transforms) - 1}')
        image, *rest = sample = self.dataset[index]
        return type(sample)((self.transforms[choice](image), *rest))

    def __len__(self) -> int:
        return len(self.dataset)

    def set_epoch(self, epoch: int) -> None:
        """Tell the dataset inside, where it wants to know."""
        if hasattr(self.dataset, 'set_epoch'):
            self.dataset.set_epoch(epoch)

    def filename(self, index: int, basename: bool = False, absolute: bool = False) -> Any:
        """Name of a sample's file; see `Reader.filename`."""
        return self.dataset.filename(index, basename, absolute)

    def filenames(self, basename: bool = False, absolute: bool = False) -> Any:
        """Names of all files, by index."""
        return self.dataset.filenames(basename, absolute)


def _draw(weights: Tensor, generator: torch.Generator) -> int:
    return int(torch.multinomial(weights, 1, generator=generator).item())
