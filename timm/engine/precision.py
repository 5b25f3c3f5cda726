# pyright: strict
"""Where and in which number format a model computes: placement, autocast, and the scaling that float16 needs."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from .exits import UsageError, nearest
from .options import DeviceOptions

__all__ = ['Precision', 'dtype_of']

_DTYPES = {'float16': torch.float16, 'bfloat16': torch.bfloat16, 'float32': torch.float32, 'float64': torch.float64}


def dtype_of(name: str | None) -> torch.dtype | None:
    """The floating-point format of that name, None for None; UsageError where there is none."""
    if name is not None and name not in _DTYPES:
        raise UsageError(f'unknown number format {name!r}; one of {", ".join(_DTYPES)}{nearest(name, _DTYPES)}')
    return None if name is None else _DTYPES[name]


class Precision:
    """The formats of one run.

    Args:
        autocast: Lower format of mixed precision, None for none.
        dtype: Format of the whole model and its input, None to leave them.
        channels_last: Keep images and convolution weights in channels-last order.
    """

    def __init__(
        self,
        device: torch.device,
        autocast: torch.dtype | None = None,
        dtype: torch.dtype | None = None,
        channels_last: bool = False,
    ) -> None:
        self.device = device
        self.dtype = dtype
        self.memory_format = torch.channels_last if channels_last else torch.preserve_format
        self._autocast = autocast
        self.scaler = torch.amp.GradScaler(device.type) if autocast == torch.float16 else None

    @classmethod
    def from_options(cls, options: DeviceOptions, device: torch.device) -> 'Precision':
        """As the flags say: --amp for mixed precision, --model-dtype for all of the model, not both."""
        dtype = dtype_of(options.model_dtype)
        if options.amp and dtype not in (None, torch.float32):
            raise UsageError('--amp and --model-dtype exclude each other: leave one of them out')
        return cls(device, dtype_of(options.amp_dtype) if options.amp else None, dtype, options.channels_last)

    def autocast(self) -> AbstractContextManager[Any]:
        """The block in which operations choose the lower format; nothing without mixed precision."""
        if self._autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self._autocast)

    def place_model(self, model: nn.Module) -> nn.Module:
        """The model on the device, in the format and memory order of the run."""
        model = model.to(self.device, self.dtype)
        if self.memory_format is torch.channels_last:
            model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue, reportUnknownVariableType]
        return model  # pyright: ignore[reportUnknownVariableType]

    def place_input(self, x: Any) -> Any:
        """A batch of images where and as the model wants them; nothing is copied that is right already.

        Of a batch of patches, which is a dict, every tensor is placed.
        """
        if isinstance(x, dict):
            parts: dict[str, Any] = x  # pyright: ignore[reportUnknownVariableType]
            return {name: self.place_input(part) if isinstance(part, Tensor) else part for name, part in parts.items()}
        dtype = self.dtype if x.is_floating_point() else None
        memory_format = self.memory_format if x.ndim == 4 else torch.preserve_format
        return x.to(self.device, dtype, non_blocking=True, memory_format=memory_format)

    def place_target(self, target: Tensor) -> Tensor:
        """A batch of targets on the device."""
        return target.to(self.device, non_blocking=True)
