"""Loss scalers for mixed precision: backward, clip, step and update in one call."""

import importlib
import importlib.util
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .clip_grad import dispatch_clip_grad

__all__ = ['ApexScaler', 'NativeScaler']

has_apex = importlib.util.find_spec('apex') is not None
amp = None  # published; apex.amp is imported by the scaler that needs it


class ApexScaler:
    """The scaler of NVIDIA apex, from before torch had its own.

    Raises:
        ImportError: apex with its `amp` is not installed.
    """

    state_dict_key = 'amp'

    def __init__(self) -> None:
        if not has_apex:
            raise ImportError(
                'ApexScaler needs NVIDIA apex, with apex.amp: use NativeScaler with torch.autocast instead.'
            )
        self._amp: Any = importlib.import_module('apex.amp')

    def __call__(
        self,
        loss: Tensor,
        optimizer: Optimizer,
        clip_grad: float | None = None,
        clip_mode: str = 'norm',
        parameters: Iterable[Tensor] | None = None,
        create_graph: bool = False,
        need_update: bool = True,
    ) -> None:
        """Backward from `loss`, then with `need_update` clip apex's master parameters and step."""
        with self._amp.scale_loss(loss, optimizer) as scaled_loss:
            scaled_loss.backward(create_graph=create_graph)
        if need_update:
            if clip_grad is not None:
                dispatch_clip_grad(self._amp.master_params(optimizer), clip_grad, mode=clip_mode)
            optimizer.step()

    def state_dict(self) -> dict[str, Any] | None:
        """apex's own state."""
        return self._amp.state_dict() if hasattr(self._amp, 'state_dict') else None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore apex's own state."""
        if hasattr(self._amp, 'load_state_dict'):
            self._amp.load_state_dict(state_dict)


class NativeScaler:
    """torch's gradient scaler; on a machine without the device it passes everything through unscaled."""

    state_dict_key = 'amp_scaler'

    def __init__(self, device: str = 'cuda') -> None:
        usable = torch.device(device).type != 'cuda' or torch.cuda.is_available()
        self._scaler = torch.amp.GradScaler(device=device, enabled=usable)

    def __call__(
        self,
        loss: Tensor,
        optimizer: Optimizer,
        clip_grad: float | None = None,
        clip_mode: str = 'norm',
        parameters: Iterable[Tensor] | None = None,
        create_graph: bool = False,
        need_update: bool = True,
    ) -> None:
        """Backward from `loss`, then with `need_update` unscale, clip and step unless a gradient is not finite.

        Args:
            clip_grad: What `clip_mode` clips to, see `dispatch_clip_grad`; None does not clip.
            parameters: Whose gradients are clipped.
            need_update: False while gradients are accumulated.

        Raises:
            ValueError: `clip_grad` comes without `parameters`.
        """
        self._scaler.scale(loss).backward(create_graph=create_graph)
        if not need_update:
            return
        if clip_grad is not None:
            if parameters is None:
                raise ValueError(f'clip_grad={clip_grad} needs `parameters`, whose gradients are to be clipped.')
            self._scaler.unscale_(optimizer)
            dispatch_clip_grad(parameters, clip_grad, mode=clip_mode)
        self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The scale and what makes it grow."""
        return self._scaler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the scale."""
        self._scaler.load_state_dict(state_dict)
