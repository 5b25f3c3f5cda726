"""Distillation by token: a second classifier of the student learns from the teacher, the first from the labels.

Paper: DeiT, Touvron et al., 2021, arXiv:2012.12877, section 4.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from timm.utils.model import unwrap_model

from .classification import Criterion
from .distillation import DistillationTask, DistillationTeacher, softened_divergence

__all__ = ['TokenDistillationTask']


class TokenDistillationTask(DistillationTask):
    """A student of two classifiers, one for the labels and one for the teacher: images, labels -> losses and output.

    Args:
        student_model: Gives the logits of both in training, once `set_distilled_training(True)` is called on it.
        teacher_model: The teacher, a network, or its name; by name it has the student's classes and channels.
        criterion: Loss (output, labels) -> (), its name in `create_classification_loss`, or None for the usual one.
        criterion_kwargs: Arguments for making the loss.
        teacher_pretrained_path: File that stands for the published weights of a teacher by name.
        teacher_pretrained_cfg_overlay: Further changes to them.
        distill_type: 'soft' compares softened outputs, 'hard' takes the teacher's best guess for a label.
        distill_loss_weight: Weight of the teacher; None is 1, or what a given `task_loss_weight` leaves of 1.
        task_loss_weight: Weight of the labels; None is 1.
        temperature: Outputs are divided by it before they are compared ('soft').
        device: Where the losses work; None is the GPU if there is one.
        dtype: Of the statistics of the input, and of a teacher by name.
        verbose: Log what is trained.

    Raises:
        ValueError: The student has no second classifier, or another `distill_type`.
    """

    def __init__(
        self,
        student_model: nn.Module,
        teacher_model: str | nn.Module | DistillationTeacher,
        criterion: Criterion | None = None,
        criterion_kwargs: dict[str, Any] | None = None,
        teacher_pretrained_path: str | None = None,
        teacher_pretrained_cfg_overlay: dict[str, Any] | None = None,
        distill_type: str = 'soft',
        distill_loss_weight: float | None = None,
        task_loss_weight: float | None = None,
        temperature: float = 1.0,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = True,
    ) -> None:
        if distill_type not in ('soft', 'hard'):
            raise ValueError(f"distill_type is 'soft' or 'hard', got {distill_type!r}")
        student = unwrap_model(student_model)
        if not hasattr(student, 'set_distilled_training'):
            raise ValueError(
                f'{type(student).__name__} has no second classifier: distillation by token takes models such as '
                'deit_tiny_distilled_patch16_224, which have set_distilled_training'
            )
        super().__init__(
            student_model,
            teacher_model,
            criterion,
            criterion_kwargs,
            teacher_pretrained_path,
            teacher_pretrained_cfg_overlay,
            distill_loss_weight,
            task_loss_weight,
            device,
            dtype,
            verbose,
        )
        student.set_distilled_training(True)
        self.distill_type = distill_type
        self.temperature = temperature

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """`loss`, its parts `task_loss` and `distill_loss`, and the `output` of the classifier for labels."""
        output, distilled = self.trainable_module(input)
        by_labels = self.criterion(output, target)
        teacher = self.ask_teacher(input)
        if self.distill_type == 'soft':
            by_teacher = softened_divergence(distilled, teacher, self.temperature)
        else:
            by_teacher = F.cross_entropy(distilled, teacher.argmax(dim=-1))
        loss = self.weighted(by_labels, by_teacher)
        return {'loss': loss, 'output': output, 'task_loss': by_labels, 'distill_loss': by_teacher}
