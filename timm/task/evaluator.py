"""Metrics over a whole data set: sums in each process, brought together once at the end."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

__all__ = ['ClassificationEvaluator', 'MultiLabelClassificationEvaluator', 'evaluation_sample_limit']

_logger = logging.getLogger(__name__)

TOPK = (1, 5)


def evaluation_sample_limit(loader: Any) -> int | None:
    """How many samples of this process are real when its sampler repeats some so that all processes get as many.

    None when nothing is repeated, or the sampler does not say.
    """
    sampler = getattr(loader, 'sampler', None)
    try:
        total, processes, rank, length = sampler.total_size, sampler.num_replicas, sampler.rank, len(sampler.dataset)  # pyright: ignore[reportOptionalMemberAccess]
    except (AttributeError, TypeError):
        return None
    if total != -(-length // processes) * processes:
        return None  # it drops or repeats by another rule
    return len(range(rank, length, processes))


class ClassificationEvaluator:
    """Mean loss, and percentage of images whose class is the first guess or among the first five.

    Args:
        device: Where the sums are kept; None is the CPU.
        max_samples: Further samples are padding and do not count.
        criterion: Loss (output, target) -> (); None is cross entropy.
    """

    metric_names: tuple[str, ...] = ('loss', 'top1', 'top5')
    default_metric = 'top1'

    def __init__(
        self,
        device: torch.device | str | None = None,
        *,
        max_samples: int | None = None,
        criterion: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.criterion = criterion or nn.CrossEntropyLoss()
        self.device = torch.device(device or 'cpu')
        self.max_samples = max_samples
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.num_samples = 0
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        # samples, then hits for each k
        self.counts = torch.zeros(1 + len(TOPK), dtype=torch.int64, device=self.device)

    def _real(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """What of the batch still counts, in float32 and on the evaluator's device."""
        left = len(output) if self.max_samples is None else max(0, self.max_samples - self.num_samples)
        output, target = output[:left].to(self.device), target[:left].to(self.device)
        return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output, target

    def _add_loss(self, output: Tensor, target: Tensor) -> None:
        self.loss_sum += self.criterion(output, target).double() * len(output)
        self.num_samples += len(output)
        self.counts[0] += len(output)

    @torch.no_grad()
    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch: logits (B, C), class indices (B).

        Raises:
            ValueError: The targets are something else.
        """
        if target.ndim >= output.ndim:
            raise ValueError(
                f'targets are class indices (B,), got shape {tuple(target.shape)}: several labels are for '
                'MultiLabelClassificationEvaluator.'
            )
        output, target = self._real(output, target)
        if not len(output):
            return
        self._add_loss(output, target)
        ranking = output.topk(min(max(TOPK), output.shape[-1]), dim=-1).indices
        hits = ranking == target.unsqueeze(-1)
        for i, k in enumerate(TOPK):
            self.counts[1 + i] += hits[:, :k].sum()

    def _sums(self, across: bool) -> tuple[float, list[int]]:
        loss_sum, counts = self.loss_sum.clone(), self.counts.clone()
        if across:
            dist.all_reduce(loss_sum)
            dist.all_reduce(counts)
        return loss_sum.item(), counts.tolist()

    def compute(self, distributed: bool = False) -> OrderedDict[str, float]:
        """`loss`, `top1` and `top5`; with `distributed` over all processes, each of which must call this."""
        loss_sum, (samples, *hits) = self._sums(distributed)
        samples = max(samples, 1)
        metrics = OrderedDict(loss=loss_sum / samples)
        metrics.update((f'top{k}', 100.0 * found / samples) for k, found in zip(TOPK, hits, strict=True))
        return metrics

    def summary(self) -> OrderedDict[str, float]:
        """What can be said cheaply of this process so far, for a progress line."""
        return self.compute()


class MultiLabelClassificationEvaluator(ClassificationEvaluator):
    """Mean binary cross entropy, mean average precision, and F1 over labels, classes and images, in percent.

    A class without positives counts as 0, as does the F1 of an image without labels, found or true.

    Args:
        device: Where the sums are kept; None is the CPU.
        max_samples: Further samples are padding and do not count.
        threshold: Probability from which on a label counts as found.

    Raises:
        ValueError: `threshold` is not between 0 and 1.
    """

    metric_names = ('loss', 'map', 'micro_f1', 'macro_f1', 'sample_f1')
    default_metric = 'map'

    def __init__(
        self,
        device: torch.device | str | None = None,
        *,
        max_samples: int | None = None,
        threshold: float = 0.5,
    ) -> None:
        check_threshold(threshold)
        self.threshold = threshold
        self._told_of_soft = False
        super().__init__(device, max_samples=max_samples, criterion=nn.BCEWithLogitsLoss())

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self.outputs: list[Tensor] = []
        self.targets: list[Tensor] = []

    @torch.no_grad()
    def update(self, output: Tensor, target: Tensor) -> None:
        """Add a batch: logits (B, C), labels (B, C), of which those from 0.5 on count as true."""
        output, target = self._real(output, target)
        if not len(output):
            return
        self._add_loss(output, target.to(output.dtype))
        truth = target >= 0.5
        if not self._told_of_soft and not torch.equal(truth.to(target.dtype), target):
            _logger.warning('%s binarizes soft targets at 0.5 for all but the loss.', type(self).__name__)
            self._told_of_soft = True
        self.outputs.append(output.cpu())
        self.targets.append(truth.cpu())

    def summary(self) -> OrderedDict[str, float]:
        """The loss alone: precision needs all samples at once."""
        return OrderedDict(loss=self.loss_sum.item() / max(self.num_samples, 1))

    def compute(self, distributed: bool = False) -> OrderedDict[str, float]:
        """`loss`, `map`, `micro_f1`, `macro_f1` and `sample_f1`; with `distributed` over all processes."""
        loss_sum, (samples, *_) = self._sums(distributed)
        outputs, targets = self.outputs, self.targets
        if distributed:
            outputs, targets = _gather(outputs), _gather(targets)
        metrics = OrderedDict(loss=loss_sum / max(samples, 1), map=0.0, micro_f1=0.0, macro_f1=0.0, sample_f1=0.0)
        if not outputs:
            return metrics
        logits, truth = torch.cat(outputs), torch.cat(targets)
        found = logits.double().sigmoid() >= self.threshold
        metrics['map'] = 100.0 * _average_precision(logits, truth).mean().item()
        both, either = (found & truth).double(), found.double() + truth.double()
        metrics['micro_f1'] = 100.0 * (2 * both.sum() / either.sum().clamp(min=1)).item()
        for name, dim in (('macro_f1', 0), ('sample_f1', 1)):
            metrics[name] = 100.0 * (2 * both.sum(dim) / either.sum(dim).clamp(min=1)).mean().item()
        return metrics


def _gather(tensors: list[Tensor]) -> list[Tensor]:
    """The tensors of all processes, in the order of their ranks."""
    everyones: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyones, tensors)
    return [tensor for tensors in everyones for tensor in tensors]


def check_threshold(threshold: float) -> None:
    """Raise a ValueError unless it is between 0 and 1."""
    if not 0 < threshold < 1:
        raise ValueError(f'threshold={threshold} is no probability to tell labels by: give one between 0 and 1.')


def _average_precision(scores: Tensor, truth: Tensor, chunk_elements: int = 1 << 24) -> Tensor:
    """Sum over thresholds of (recall gained) x precision, for each class; equal scores are one threshold.

    Shape: (N, C), (N, C) -> (C,)

    Args:
        chunk_elements: About as many scores are sorted at a time, which bounds the memory for it.
    """
    width = max(1, chunk_elements // len(scores))
    parts = zip(scores.split(width, dim=1), truth.split(width, dim=1), strict=True)
    return torch.cat([_average_precision_of_some(*part) for part in parts])


def _average_precision_of_some(scores: Tensor, truth: Tensor) -> Tensor:
    N = len(scores)
    scores, order = scores.sort(dim=0, descending=True)
    hits = truth.gather(0, order).double().cumsum(dim=0)
    precision = hits / torch.arange(1, N + 1, dtype=torch.float64).unsqueeze(1)
    # Only the last of a run of equal scores is a threshold: the gain of the whole run is booked there.
    ends_run = torch.ones_like(scores, dtype=torch.bool)
    ends_run[:-1] = scores[1:] != scores[:-1]
    booked = torch.where(ends_run, hits, -1.0).cummax(dim=0).values.clamp(min=0)
    gained = torch.diff(booked, dim=0, prepend=torch.zeros_like(booked[:1]))
    return (gained * precision * ends_run).sum(dim=0) / truth.sum(dim=0).clamp(min=1)
