# pyright: strict
"""One pass of a model over a loader in order, and the figures that come of it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from timm.task import ClassificationEvaluator

from .batches import readable
from .precision import Precision
from .report import Progressbar

__all__ = ['ClassScores', 'evaluate', 'first_output']


def evaluate(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    evaluator: ClassificationEvaluator,
    precision: Precision,
    progress: Progressbar | None = None,
    observe: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    distributed: bool = False,
) -> dict[str, float]:
    """The evaluator's figures over all samples of a loader; the model is in evaluation mode during the pass.

    `observe` sees the output and target of each batch, and gives the output and target that count. `distributed` says
    that the processes of a group see a share of the samples each, and brings their figures together.
    """
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for x, target in readable(loader):
            with precision.autocast():
                output: Any = model(precision.place_input(x))
            output = first_output(output).float()
            target = precision.place_target(target)
            if observe is not None:
                output, target = observe(output, target)
            evaluator.update(output, target)
            if progress is not None:
                progress.step(len(x), {})
    if progress is not None:
        progress.close()
    model.train(was_training)
    return {name: float(value) for name, value in evaluator.compute(distributed=distributed).items()}


def first_output(output: Any) -> Tensor:
    """The logits: the first of several outputs, as of networks with further heads."""
    return output if isinstance(output, Tensor) else output[0]


class ClassScores:
    """Precision, recall and F1 of predictions, averaged over classes.

    Args:
        average: 'micro' counts all samples alike; 'macro' counts all classes alike that occur as a target or a
            prediction; 'weighted' weighs them by their targets.
    """

    def __init__(self, average: str) -> None:
        self.average = average
        self._pairs: list[Tensor] = []
        self._num_classes = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        """Take the scores and labels of a batch."""
        self._num_classes = output.shape[-1]
        self._pairs.append(torch.stack([output.argmax(-1), target]).cpu())

    def compute(self) -> dict[str, float]:
        """Percentages, each named after the average: macro_precision, macro_recall, macro_f1_score."""
        predicted, target = torch.cat(self._pairs, dim=1)
        size = max(self._num_classes, int(target.max()) + 1)
        hits = torch.bincount(target[predicted == target], minlength=size).double()
        guesses = torch.bincount(predicted, minlength=size).double()
        support = torch.bincount(target, minlength=size).double()
        if self.average == 'micro':
            hits, guesses, support = hits.sum(0, True), guesses.sum(0, True), support.sum(0, True)
        weight = support if self.average == 'weighted' else (guesses + support > 0).double()
        figures = {
            'precision': hits / guesses.clamp(min=1),
            'recall': hits / support.clamp(min=1),
            'f1_score': 2 * hits / (guesses + support).clamp(min=1),
        }
        total = weight.sum()
        return {f'{self.average}_{name}': float((f * weight).sum() / total * 100) for name, f in figures.items()}
