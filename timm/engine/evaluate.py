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
from .views import views

__all__ = ['ClassScores', 'evaluate', 'first_output']


def evaluate(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    evaluator: ClassificationEvaluator,
    precision: Precision,
    progress: Progressbar | None = None,
    observe: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    distributed: bool = False,
    poll: Callable[[int], None] | None = None,
    passes: int = 0,
    num_views: int = 1,
) -> dict[str, float]:
    """The evaluator's figures over all samples of a loader; the model is in evaluation mode during the pass.

    Args:
        observe: Sees the output and target of each batch, and gives the output and target that count.
        distributed: The processes of a group see a share of the samples each; their figures are brought together.
        poll: Is called before each batch, with its number, and may raise to end the pass.
        passes: Forward passes that every process makes, where a pass takes all of them: what goes through the model
            after the last batch does not count.
        num_views: Views of each image, over whose outputs the mean is taken; see `views`.
    """
    was_training = model.training
    model.eval()
    # What inference mode gives cannot be part of a module in shards.
    with torch.no_grad() if passes else torch.inference_mode():
        x, done = None, 0
        for x, target in readable(loader):
            if poll is not None:
                poll(done)
            done += 1
            with precision.autocast():
                output = _output(model, precision.place_input(x), num_views)
            target = precision.place_target(target)
            if observe is not None:
                output, target = observe(output, target)
            evaluator.update(output, target)
            if progress is not None:
                progress.step(len(target), {})
        for number in range(done, passes):
            if poll is not None:
                poll(number)
            with precision.autocast():
                model(precision.place_input(_dummy(loader) if x is None else x))
    if progress is not None:
        progress.close()
    model.train(was_training)
    return {name: float(value) for name, value in evaluator.compute(distributed=distributed).items()}


def _output(model: nn.Module, x: Any, num_views: int) -> Tensor:
    """Logits in float32, the mean over the views of an image."""
    if num_views == 1:
        return first_output(model(x)).float()
    return torch.stack([first_output(model(view)).float() for view in views(x, num_views)]).mean(0)


def _dummy(loader: Any) -> Tensor:
    """An input of the right shape for a process that has no sample: any sample of the dataset."""
    batch: tuple[Tensor, Tensor] = loader.dataset[0]
    x = torch.as_tensor(batch[0])[None]
    return x.float() if x.dtype == torch.uint8 else x


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
