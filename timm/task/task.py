"""The base of what is trained: a module with a loss, its average, and what of both goes into a checkpoint."""

import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from timm.models._manipulate import model_parameters
from timm.utils.model import get_state_dict, unwrap_model
from timm.utils.model_ema import ModelEmaV3

from .evaluator import ClassificationEvaluator

__all__ = ['TrainingTask']

_logger = logging.getLogger(__name__)


class TrainingTask(nn.Module):
    """Turns a batch into a loss. A subclass sets `trainable_module`, which holds all that is trained, and `forward`.

    Whatever else a subclass keeps in a checkpoint goes through `get_task_state` and `load_task_state`.

    Args:
        device: Where losses and evaluators work; None is the GPU if there is one. It follows when the task is moved.
        dtype: Of the inputs, for subclasses that make some; nothing is converted. It follows, too.
        verbose: Log what is trained.
    """

    trainable_module: Any
    trainable_module_ema: Any

    def __init__(
        self,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        verbose: bool = True,
    ) -> None:
        super().__init__()
        self.device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self.dtype = dtype or torch.get_default_dtype()
        self.verbose = verbose
        self.trainable_module = None
        self.trainable_module_ema = None
        self._compiled_ema: Any = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        # What moves or converts all tensors, by whichever method, does the same to one that has nothing in it.
        probe = fn(torch.empty(0, device=self.device, dtype=self.dtype))
        self.device, self.dtype = probe.device, probe.dtype
        return self

    def forward(self, input: Tensor, target: Tensor) -> dict[str, Tensor]:
        """`loss`, the model's `output`, and what else a subclass reports."""
        raise NotImplementedError(f'{type(self).__name__} does not say how a batch becomes a loss: define forward().')

    def get_trainable_module(self, ema: bool = False) -> nn.Module | None:
        """The module that is trained, or its average; None without one."""
        return self.trainable_module_ema if ema else self.trainable_module

    def get_eval_model(self, module: nn.Module | None = None, ema: bool = False) -> nn.Module | None:
        """The model to evaluate inside `module`, None for the module that is trained or its average."""
        if module is None and ema and self._compiled_ema is not None:
            return self._compiled_ema
        return self.get_trainable_module(ema) if module is None else module

    def _module(self, ema: bool = False) -> nn.Module:
        """`get_trainable_module`, which must be there."""
        module = self.get_trainable_module(ema)
        if module is None:
            missing = 'average: call setup_ema() first' if ema else 'trainable_module: set it in __init__'
            raise ValueError(f'{type(self).__name__} has no {missing}.')
        return module

    def create_evaluator(self, **kwargs: Any) -> Any:
        """What adds up the metrics of this task over a data set; takes the evaluator's own arguments."""
        return ClassificationEvaluator(**{'device': self.device, **kwargs})

    def get_clip_parameters(self, exclude_head: bool = False) -> Iterable[nn.Parameter]:
        """Parameters whose gradients are clipped, all or without the classifier's."""
        return model_parameters(self._module(), exclude_head=exclude_head)

    def prepare_distributed(self, device_ids: list[int] | None = None, **ddp_kwargs: Any) -> 'TrainingTask':
        """Let all processes train the module together."""
        self.trainable_module = DistributedDataParallel(self._module(), device_ids=device_ids, **ddp_kwargs)
        return self

    def no_sync(self) -> contextlib.AbstractContextManager[Any]:
        """Gradients stay in this process inside the block, while they are accumulated."""
        module = self.trainable_module
        return module.no_sync() if isinstance(module, DistributedDataParallel) else contextlib.nullcontext()

    def compile(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, backend: str = 'inductor', mode: str | None = None, **compile_kwargs: Any
    ) -> Any:
        """Compile the module that is trained."""
        self.trainable_module = torch.compile(self._module(), backend=backend, mode=mode, **compile_kwargs)  # pyright: ignore[reportAttributeAccessIssue]
        return self.trainable_module

    def compile_ema(self, backend: str = 'inductor', mode: str | None = None, **compile_kwargs: Any) -> Any:
        """A compiled form of the average, which `get_eval_model` gives from now on; the average itself goes on."""
        self._module(ema=True)
        self._compiled_ema = torch.compile(self.get_eval_model(ema=True), backend=backend, mode=mode, **compile_kwargs)
        return self._compiled_ema

    def setup_ema(
        self,
        decay: float = 0.9999,
        use_warmup: bool = False,
        device: torch.device | str | None = None,
        **kwargs: Any,
    ) -> ModelEmaV3:
        """Start an average of the module that is trained; see `ModelEmaV3` for the arguments."""
        module = unwrap_model(self._module())
        self._compiled_ema = None
        self.trainable_module_ema = ModelEmaV3(module, decay=decay, use_warmup=use_warmup, device=device, **kwargs)
        return self.trainable_module_ema

    def has_ema(self) -> bool:
        """Whether there is an average."""
        return self.trainable_module_ema is not None

    def update_ema(self, step: int | None = None) -> None:
        """Take the present weights into the average, if there is one."""
        if self.trainable_module_ema is not None:
            self.trainable_module_ema.update(unwrap_model(self._module()), step=step)

    def get_task_state(
        self,
        module: nn.Module | None = None,  # noqa: ARG002 - for subclasses
        ema: bool = False,  # noqa: ARG002
    ) -> dict[str, Any]:
        """What a checkpoint holds beside the model."""
        return {}

    def load_task_state(
        self,
        state: dict[str, Any],
        strict: bool = True,  # noqa: ARG002 - for subclasses
        module: nn.Module | None = None,  # noqa: ARG002
        ema: bool = False,  # noqa: ARG002
    ) -> None:
        """Take over what `get_task_state` gave."""
        if state:
            _logger.warning('%s has no use for the saved state %s.', type(self).__name__, ', '.join(state))

    def get_checkpoint_state(
        self, ema: bool = False, unwrap_fn: Callable[[Any], nn.Module] = unwrap_model
    ) -> dict[str, Any]:
        """Entries of a checkpoint: `state_dict`, and `task_state` when there is any, with `_ema` for the average."""
        suffix = '_ema' if ema else ''
        module = self._module(ema)
        content: dict[str, Any] = {f'state_dict{suffix}': get_state_dict(self.get_eval_model(module, ema), unwrap_fn)}
        state = self.get_task_state(ema=ema)
        if state:
            content[f'task_state{suffix}'] = state
        return content

    def load_checkpoint_state(
        self,
        state_dict: dict[str, Any],
        task_state: dict[str, Any] | None = None,
        ema: bool = False,
        strict: bool = True,
    ) -> None:
        """Take over the model's weights, and the task's state if given, for training or into the average."""
        model = unwrap_model(self.get_eval_model(self._module(ema), ema))
        model.load_state_dict(state_dict, strict=strict)
        if task_state is not None:
            self.load_task_state(task_state, strict=strict, ema=ema)
