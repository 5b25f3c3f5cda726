"""Distillation: a student learns from labels and from what a frozen teacher says of the same images.

Papers: Hinton et al., 2015, arXiv:1503.02531 (softened outputs); Romero et al., 2015, arXiv:1412.6550 (features).
Shapes: B images, K classes, D features of a teacher.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from timm.models import PretrainedCfg, create_model
from timm.models._manipulate import group_parameters, model_parameters
from timm.utils.model import unwrap_model

from .classification import Criterion, resolve_classification_loss
from .task import TrainingTask

__all__ = ['DistillationTeacher', 'FeatureDistillationTask', 'LogitDistillationTask']

_logger = logging.getLogger(__name__)


def _statistic(model: nn.Module, name: str, device: torch.device | None, dtype: torch.dtype | None) -> Tensor:
    """Mean or std that a network's input is normalised by, (1, C, 1, 1); ImageNet's if the network says nothing.

    For other channels than those that it was published for, the average for each.
    """
    model = unwrap_model(model)
    config = getattr(model, 'pretrained_cfg', None) or {}
    values = config.get(name) or getattr(PretrainedCfg(), name)
    channels: Any = getattr(model, 'in_chans', len(values))
    if channels != len(values):
        values = (sum(values) / len(values),) * channels
    return torch.tensor(values, device=device, dtype=dtype).view(1, -1, 1, 1)


class DistillationTeacher(nn.Module):
    """A network that is asked and not trained: it stays in evaluation mode, and its parameters take no gradient.

    Args:
        model_name_or_module: The network, or its name; by name it comes with its published weights.
        num_classes: Width of the classifier of a network by name; None is its own.
        in_chans: Channels of the input of a network by name.
        pretrained_path: File that stands for the published weights.
        pretrained_cfg_overlay: Further changes to where the weights come from and what they are.
        device: Of a network by name, and of the input's statistics.
        dtype: Likewise.

    Raises:
        TypeError: Neither a name nor a network.
    """

    mean_kd: Tensor
    std_kd: Tensor

    def __init__(
        self,
        model_name_or_module: str | nn.Module,
        num_classes: int | None = None,
        in_chans: int = 3,
        pretrained_path: str | None = None,
        pretrained_cfg_overlay: dict[str, Any] | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        model: Any = model_name_or_module
        if isinstance(model, str):
            overlay = {'file': pretrained_path, 'num_classes': num_classes} if pretrained_path else {}
            overlay |= pretrained_cfg_overlay or {}
            model = create_model(
                model,
                pretrained=True,
                pretrained_cfg_overlay=overlay or None,
                num_classes=num_classes,
                in_chans=in_chans,
                device=device,
                dtype=dtype,
            )
        elif not isinstance(model, nn.Module):
            raise TypeError(f'a teacher is a network or the name of one, got {model!r}')
        self.model: Any = model.eval().requires_grad_(False)
        self._compiled_features: Callable[[Tensor], Tensor] | None = None
        for name in ('mean', 'std'):
            self.register_buffer(f'{name}_kd', _statistic(model, name, device, dtype), persistent=False)

    def train(self, mode: bool = True) -> 'DistillationTeacher':
        """Nothing changes: a teacher is always in evaluation mode."""
        del mode
        return super().train(False)

    def compile(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        backend: str = 'inductor',
        mode: str | None = None,
        compile_model: bool = True,
        compile_features: bool = False,
        **compile_kwargs: Any,
    ) -> 'DistillationTeacher':
        """Compile what gives logits, what gives features, or both."""
        if compile_model:
            self.model = torch.compile(self.model, backend=backend, mode=mode, **compile_kwargs)
        if compile_features:
            self._compiled_features = torch.compile(self._features, backend=backend, mode=mode, **compile_kwargs)
        return self

    def _features(self, input: Tensor) -> Tensor:
        model = self.model
        if not (hasattr(model, 'forward_features') and hasattr(model, 'forward_head')):
            raise ValueError(
                f'{type(unwrap_model(model)).__name__} has no features to learn from: it lacks forward_features or '
                'forward_head. Distil its logits instead.'
            )
        return model.forward_head(model.forward_features(input), pre_logits=True)

    def forward(self, input: Tensor, return_features: bool = False) -> Tensor:
        """Logits (B, K), or pooled features (B, D) from before the classifier."""
        if return_features:
            return (self._compiled_features or self._features)(input)
        return self.model(input)

    def normalize_input(
        self, input: Tensor, student_mean: Tensor | None = None, student_std: Tensor | None = None
    ) -> Tensor:
        """Images that are normalised for a student, normalised for the teacher; as they are without statistics."""
        if student_mean is None or student_std is None:
            return input
        if torch.equal(student_mean, self.mean_kd) and torch.equal(student_std, self.std_kd):
            return input
        return (input * student_std + (student_mean - self.mean_kd)) / self.std_kd


def _loss_weights(distill: float | None, task: float | None) -> tuple[float, float]:
    """Weights of teacher and labels: as given, 1 for what is not; the labels' alone leaves the rest to the teacher."""
    if distill is None and task is not None:
        return 1.0 - task, task
    return 1.0 if distill is None else distill, 1.0 if task is None else task


def softened_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) of outputs softened by T, the mean over images: (B, K), (B, K) -> ().

    The factor keeps gradients as large as those of labels (Hinton et al., section 2).
    """
    own, theirs = (F.log_softmax(logits / temperature, dim=-1) for logits in (student, teacher))
    return F.kl_div(own, theirs, reduction='batchmean', log_target=True) * temperature**2


class DistillationTask(TrainingTask):
    """What all distillation has: student, teacher, a loss by labels, and the weights of both losses.

    Args:
        student_model: Is trained as it is.
        teacher_model: The teacher, a network, or its name; by name it has the student's classes and channels.
        criterion: Loss (output, labels) -> (), its name in `create_classification_loss`, or None for the usual one.
        criterion_kwargs: Arguments for making the loss.
        teacher_pretrained_path: File that stands for the published weights of a teacher by name.
        teacher_pretrained_cfg_overlay: Further changes to them.
        distill_loss_weight: Weight of what the teacher says; see `_loss_weights` for None.
        task_loss_weight: Weight of the labels.
    """

    student_mean: Tensor
    student_std: Tensor

    def __init__(
        self,
        student_model: nn.Module,
        teacher_model: str | nn.Module | DistillationTeacher,
        criterion: Criterion | str | None,
        criterion_kwargs: dict[str, Any] | None,
        teacher_pretrained_path: str | None,
        teacher_pretrained_cfg_overlay: dict[str, Any] | None,
        distill_loss_weight: float | None,
        task_loss_weight: float | None,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
        verbose: bool,
    ) -> None:
        super().__init__(device=device, dtype=dtype, verbose=verbose)
        if not isinstance(teacher_model, DistillationTeacher):
            student = unwrap_model(student_model)
            teacher_model = DistillationTeacher(
                teacher_model,
                num_classes=getattr(student, 'num_classes', None),
                in_chans=getattr(student, 'in_chans', 3),
                pretrained_path=teacher_pretrained_path,
                pretrained_cfg_overlay=teacher_pretrained_cfg_overlay,
                device=self.device,
                dtype=self.dtype,
            )
        self.trainable_module = student_model
        self.teacher = teacher_model
        self.criterion = resolve_classification_loss(criterion, self.device, criterion_kwargs=criterion_kwargs)
        self.distill_loss_weight, self.task_loss_weight = _loss_weights(distill_loss_weight, task_loss_weight)
        for name in ('mean', 'std'):
            statistic = _statistic(student_model, name, self.device, self.dtype)
            self.register_buffer(f'student_{name}', statistic, persistent=False)
        if verbose:
            _logger.info(
                '%s weighs labels by %g and the teacher by %g.',
                type(self).__name__,
                self.task_loss_weight,
                self.distill_loss_weight,
            )

    def ask_teacher(self, input: Tensor, return_features: bool = False) -> Tensor:
        """What the teacher says of images that are normalised for the student; no gradient goes there."""
        with torch.no_grad():
            own = self.teacher.normalize_input(input, self.student_mean, self.student_std)
            return self.teacher(own, return_features=return_features)

    def weighted(self, by_labels: Tensor, by_teacher: Tensor) -> Tensor:
        """The loss that is minimised."""
        return self.task_loss_weight * by_labels + self.distill_loss_weight * by_teacher

    def compile(self, backend: str = 'inductor', mode: str | None = None, **compile_kwargs: Any) -> Any:
        """Compile student and teacher."""
        self.teacher.compile(backend, mode, **compile_kwargs)
        return super().compile(backend, mode, **compile_kwargs)


class LogitDistillationTask(DistillationTask):
    """The student's output is to be the labels' and, softened, the teacher's: images, labels -> losses and output.

    Args:
        student_model: Is trained as it is.
        teacher_model: The teacher, a network, or its name; by name it has the student's classes and channels.
        criterion: Loss (output, labels) -> (), its name in `create_classification_loss`, or None for the usual one.
        criterion_kwargs: Arguments for making the loss.
        teacher_pretrained_path: File that stands for the published weights of a teacher by name.
        teacher_pretrained_cfg_overlay: Further changes to them.
        loss_type: 'kl', the only one there is.
        distill_loss_weight: Weight of the teacher; None is 1, or what a given `task_loss_weight` leaves of 1.
        task_loss_weight: Weight of the labels; None is 1.
        temperature: Outputs are divided by it before they are compared.
        device: Where the losses work; None is the GPU if there is one.
        dtype: Of the statistics of the input, and of a teacher by name.
        verbose: Log what is trained.

    Raises:
        ValueError: Another `loss_type`.
    """

    def __init__(
        self,
        student_model: nn.Module,
        teacher_model: str | nn.Module | DistillationTeacher,
        criterion: Criterion | None = None,
        criterion_kwargs: dict[str, Any] | None = None,
        teacher_pretrained_path: str | None = None,
        teacher_pretrained_cfg_overlay: dict[str, Any] | None = None,
        loss_type: str = 'kl',
        distill_loss_weight: float | None = None,
        task_loss_weight: float | None = None,
        temperature: float = 1.0,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = True,
    ) -> None:
        if loss_type != 'kl':
            raise ValueError(f"logits are compared by loss_type='kl' alone, not {loss_type!r}")
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
        self.loss_type = loss_type
        self.temperature = temperature

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """`loss`, its parts `task_loss` and `kd_loss`, and the student's `output`."""
        output = self.trainable_module(input)
        by_labels = self.criterion(output, target)
        by_teacher = softened_divergence(output, self.ask_teacher(input), self.temperature)
        loss = self.weighted(by_labels, by_teacher)
        return {'loss': loss, 'output': output, 'task_loss': by_labels, 'kd_loss': by_teacher}


class FeatureDistillationTrainableModule(nn.Module):
    """Student, and projection of its features to the teacher's width: images -> logits (B, K), features (B, D).

    One module, so that data parallelism sees all that is trained.
    """

    def __init__(self, student_model: nn.Module, projection: nn.Module | None = None) -> None:
        super().__init__()
        self.student: Any = student_model
        self.projection = projection

    def no_weight_decay(self) -> set[str]:
        """The student's parameters without weight decay, by their names here."""
        names: Iterable[str] = getattr(unwrap_model(self.student), 'no_weight_decay', set)()
        return {f'student.{name}' for name in names}

    def group_matcher(self, coarse: bool = False) -> Any:
        """The student's layers, for layer decay; the projection is with the last."""
        student: Any = unwrap_model(self.student)
        if not hasattr(student, 'group_matcher'):
            return {}
        layer_of = group_parameters(student, student.group_matcher(coarse=coarse), reverse=True)
        last = max(layer_of.values(), default=0)
        return lambda name: layer_of.get(name.removeprefix('student.'), last)

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        x = self.student.forward_features(input)
        features = self.student.forward_head(x, pre_logits=True)
        logits = self.student.forward_head(x)
        return logits, features if self.projection is None else self.projection(features)


def _feature_width(model: nn.Module, argument: str) -> int:
    """Pooled features before the classifier, as far as the network says."""
    model = unwrap_model(model)
    for name in ('head_hidden_size', 'num_features'):
        if hasattr(model, name):
            return int(getattr(model, name))
    raise ValueError(f'{type(model).__name__} does not say how many features it has: give {argument}')


class FeatureDistillationTask(DistillationTask):
    """The student's pooled features are to be the teacher's (mean squared error): images, labels -> losses and output.

    A student of another width gets a linear projection, which is trained along and lies in the task's own state.

    Args:
        student_model: Is trained as it is; has forward_features and forward_head.
        teacher_model: The teacher, a network, or its name; by name it has the student's classes and channels.
        criterion: Loss (output, labels) -> (), its name in `create_classification_loss`, or None for the usual one.
        criterion_kwargs: Arguments for making the loss.
        teacher_pretrained_path: File that stands for the published weights of a teacher by name.
        teacher_pretrained_cfg_overlay: Further changes to them.
        distill_loss_weight: Weight of the teacher; None is 1, or what a given `task_loss_weight` leaves of 1.
        task_loss_weight: Weight of the labels; None is 1.
        student_feature_dim: Features of the student; None asks it.
        teacher_feature_dim: Features of the teacher; None asks it.
        device: Where the losses work; None is the GPU if there is one.
        dtype: Of the projection, the statistics of the input, and a teacher by name.
        verbose: Log what is trained.

    Raises:
        ValueError: A network does not say how many features it has.
    """

    def __init__(
        self,
        student_model: nn.Module,
        teacher_model: str | nn.Module | DistillationTeacher,
        criterion: Criterion | None = None,
        criterion_kwargs: dict[str, Any] | None = None,
        teacher_pretrained_path: str | None = None,
        teacher_pretrained_cfg_overlay: dict[str, Any] | None = None,
        distill_loss_weight: float | None = None,
        task_loss_weight: float | None = None,
        student_feature_dim: int | None = None,
        teacher_feature_dim: int | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = True,
    ) -> None:
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
        own = student_feature_dim or _feature_width(student_model, 'student_feature_dim')
        theirs = teacher_feature_dim or _feature_width(self.teacher.model, 'teacher_feature_dim')
        projection = None if own == theirs else nn.Linear(own, theirs, device=self.device, dtype=self.dtype)
        self.trainable_module = FeatureDistillationTrainableModule(student_model, projection)
        self._compiled_student: Any = None

    def _parts(self, module: nn.Module | None = None, ema: bool = False) -> FeatureDistillationTrainableModule:
        return unwrap_model(self._module(ema) if module is None else module)

    def get_eval_model(self, module: nn.Module | None = None, ema: bool = False) -> nn.Module | None:
        """The student inside `module`, None for the module that is trained or its average."""
        if module is None and not ema and self._compiled_student is not None:
            return self._compiled_student
        if module is None and ema and self._compiled_ema is not None:
            return self._compiled_ema
        module = self.get_trainable_module(ema) if module is None else module
        parts = None if module is None else unwrap_model(module)
        return parts.student if isinstance(parts, FeatureDistillationTrainableModule) else module

    def get_clip_parameters(self, exclude_head: bool = False) -> Iterable[nn.Parameter]:
        """Parameters whose gradients are clipped: of student and projection, all or without the classifier."""
        parts = self._parts()
        own = list(model_parameters(parts.student, exclude_head=exclude_head))
        return own if parts.projection is None else [*own, *parts.projection.parameters()]

    def get_task_state(self, module: nn.Module | None = None, ema: bool = False) -> dict[str, Any]:
        """The projection, where there is one."""
        if module is None and self.get_trainable_module(ema) is None:
            return {}
        projection = self._parts(module, ema).projection
        return {} if projection is None else {'projection': projection.state_dict()}

    def load_task_state(
        self, state: dict[str, Any], strict: bool = True, module: nn.Module | None = None, ema: bool = False
    ) -> None:
        """Take over the projection.

        Raises:
            RuntimeError: There is one in the state and none here, and `strict`; or no average to take it.
        """
        if not state or 'projection' not in state:
            return
        if module is None and self.get_trainable_module(ema) is None:
            raise RuntimeError('there is no average that could take the state: call setup_ema() first')
        projection = self._parts(module, ema).projection
        if projection is not None:
            projection.load_state_dict(state['projection'], strict=strict)
        elif strict:
            raise RuntimeError('the saved state has a projection, and student and teacher here are of one width')

    def compile(self, backend: str = 'inductor', mode: str | None = None, **compile_kwargs: Any) -> Any:
        """Compile student, projection and what gives the teacher's features; returns the student for evaluation."""
        student = self._parts().student
        self._compiled_student = torch.compile(student, backend=backend, mode=mode, **compile_kwargs)
        TrainingTask.compile(self, backend, mode, **compile_kwargs)
        self.teacher.compile(backend, mode, compile_model=False, compile_features=True, **compile_kwargs)
        return self._compiled_student

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """`loss`, its parts `task_loss` and `kd_loss`, and the student's `output`."""
        output, features = self.trainable_module(input)
        by_labels = self.criterion(output, target)
        by_teacher = F.mse_loss(features, self.ask_teacher(input, return_features=True))
        loss = self.weighted(by_labels, by_teacher)
        return {'loss': loss, 'output': output, 'task_loss': by_labels, 'kd_loss': by_teacher}
