"""Classification: a model, and a loss between its output and the labels."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from timm.loss import create_classification_loss

from .evaluator import MultiLabelClassificationEvaluator, check_threshold
from .task import TrainingTask

__all__ = ['ClassificationTask', 'MultiLabelClassificationTask', 'resolve_classification_loss']

_logger = logging.getLogger(__name__)

Criterion = nn.Module | Callable[[Tensor, Tensor], Tensor]


def resolve_classification_loss(
    criterion: Criterion | str | None,
    device: torch.device | str,
    multi_label: bool = False,
    criterion_kwargs: dict[str, Any] | None = None,
) -> Any:
    """The loss itself if it is given, else one made by name, or the usual one for None.

    Args:
        criterion_kwargs: Arguments of `create_classification_loss`.

    Raises:
        ValueError: A ready loss comes together with arguments for one.
        TypeError: `criterion` is neither a function nor a name.
    """
    kwargs = criterion_kwargs or {}
    if criterion is None or isinstance(criterion, str):
        if criterion is not None:
            kwargs = {'loss_type': criterion, **kwargs}
        criterion = create_classification_loss(**{'multi_label': multi_label, **kwargs})
    elif kwargs:
        raise ValueError(
            f'A ready criterion does not go with criterion_kwargs ({", ".join(kwargs)}): give one of them, not both.'
        )
    if not callable(criterion):
        raise TypeError(f'criterion={criterion!r} is not a loss: give a function or module (output, labels) -> loss.')
    return criterion.to(device) if isinstance(criterion, nn.Module) else criterion


class ClassificationTask(TrainingTask):
    """One label per image, as an index or as a distribution: (B, C, H, W), labels -> loss () and output.

    Args:
        model: Is trained as it is; device and dtype are its owner's business.
        criterion: Loss (output, labels) -> (), its name in `create_classification_loss`, or None for the usual one.
        criterion_kwargs: Arguments for making the loss.
        device: Where the loss works; None is the GPU if there is one.
        dtype: Kept for subclasses.
        verbose: Log what is trained.
    """

    multi_label = False

    def __init__(
        self,
        model: nn.Module,
        criterion: Criterion | str | None = None,
        criterion_kwargs: dict[str, Any] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = True,
    ) -> None:
        super().__init__(device=device, dtype=dtype, verbose=verbose)
        self.trainable_module = model
        self.criterion = resolve_classification_loss(criterion, self.device, self.multi_label, criterion_kwargs)
        if verbose:
            name = getattr(self.criterion, '__name__', type(self.criterion).__name__)
            _logger.info('%s trains %s by %s.', type(self).__name__, type(model).__name__, name)

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The `loss` of a batch, and the model's `output`."""
        output = self.trainable_module(input)
        return {'loss': self.criterion(output, target), 'output': output}


class MultiLabelClassificationTask(ClassificationTask):
    """Any number of labels per image: (B, C, H, W), 0 or 1 (B, num_classes) -> loss () and output.

    Args:
        model: Is trained as it is; device and dtype are its owner's business.
        criterion: Loss (output, labels) -> (), its name in `create_classification_loss`, or None for the usual one.
        criterion_kwargs: Arguments for making the loss.
        threshold: Probability from which on a label counts as found in evaluation.
        device: Where the loss works; None is the GPU if there is one.
        dtype: Kept for subclasses.
        verbose: Log what is trained.

    Raises:
        ValueError: `threshold` is not between 0 and 1; in a call, labels are not a number for each class.
    """

    multi_label = True

    def __init__(
        self,
        model: nn.Module,
        criterion: Criterion | str | None = None,
        criterion_kwargs: dict[str, Any] | None = None,
        threshold: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = True,
    ) -> None:
        check_threshold(threshold)
        super().__init__(model, criterion, criterion_kwargs, device=device, dtype=dtype, verbose=verbose)
        self.threshold = threshold

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The `loss` of a batch, and the model's `output`."""
        if target.ndim < 2 or not target.is_floating_point():
            raise ValueError(
                f'labels are dense floating-point numbers (B, num_classes), got {target.dtype} of shape '
                f'{tuple(target.shape)}: see MultiLabelTarget of timm.data.'
            )
        return super().forward(input, target)

    def create_evaluator(self, **kwargs: Any) -> Any:
        """What adds up loss, average precision and F1 over a data set."""
        return MultiLabelClassificationEvaluator(**{'device': self.device, 'threshold': self.threshold, **kwargs})
