"""EvoNorm: norm and non-linearity found as one expression, with statistics of the batch (B) or of one sample (S).

Paper: Evolving Normalization-Activation Layers, Liu et al., 2020, arXiv:2004.02967 (table 2 and appendix A).
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ._checks import check_counts, share_of
from ._device import Module
from ._statistics import (
    group_rms,
    group_std,
    group_std_tpu,
    instance_rms,
    instance_std,
    instance_std_tpu,
    manual_var,
    rms_of_groups,
    rms_of_maps,
    std_of_groups,
    std_of_maps,
    variance,
)
from .create_act import create_act_layer
from .typing import LayerType

__all__ = [
    'EvoNorm2dB0',
    'EvoNorm2dB1',
    'EvoNorm2dB2',
    'EvoNorm2dS0',
    'EvoNorm2dS0a',
    'EvoNorm2dS1',
    'EvoNorm2dS1a',
    'EvoNorm2dS2',
    'EvoNorm2dS2a',
    'group_rms',
    'group_std',
    'group_std_tpu',
    'instance_rms',
    'instance_std',
    'instance_std_tpu',
    'manual_var',
]

torch.fx.wrap('variance')  # a symbolic tracer cannot answer what it asks of its input


class _EvoNorm(Module):
    """Scale and shift per channel, which end every form: (B, num_features, H, W) -> the same."""

    def __init__(self, num_features: int, apply_act: bool, eps: float) -> None:
        super().__init__()
        check_counts(num_features=num_features)
        self.apply_act = apply_act
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def reset_parameters(self) -> None:
        """Factors 1, shifts 0."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)
        slope = getattr(self, 'v', None)
        if slope is not None:
            nn.init.ones_(slope)

    def _affine(self, x: Tensor) -> Tensor:
        return x * self.weight.to(x.dtype).view(1, -1, 1, 1) + self.bias.to(x.dtype).view(1, -1, 1, 1)

    def _affine_over(self, x: Tensor, deviation: Tensor) -> Tensor:
        """`x` over a (B, C, 1, 1) deviation, scaled and shifted, in one pass over `x` for both factors."""
        scale = self.weight.to(x.dtype).view(1, -1, 1, 1) / deviation
        return x * scale + self.bias.to(x.dtype).view(1, -1, 1, 1)

    def _channel(self, x: Tensor, parameter: Tensor) -> Tensor:
        return x * parameter.to(x.dtype).view(1, -1, 1, 1)


class _BatchEvoNorm(_EvoNorm):
    """With the deviation of each channel over the batch, and its running value in evaluation."""

    running_var: Tensor

    def __init__(self, num_features: int, apply_act: bool, momentum: float, eps: float) -> None:
        super().__init__(num_features, apply_act, eps)
        self.momentum = momentum
        self.register_buffer('running_var', torch.ones(num_features))

    def _batch_std(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (1, C, 1, 1); in training the running variance follows, by the unbiased estimate."""
        if self.training:
            square = variance(x.float(), [0, 2, 3]).flatten()
            count = x.shape[0] * x.shape[2] * x.shape[3]
            share = self.momentum * count / (count - 1)
            update = self.running_var * (1 - self.momentum) + (square.detach() * share).to(self.running_var.dtype)
            self.running_var.copy_(update)
        else:
            square = self.running_var
        return (square + self.eps).sqrt().to(x.dtype).view(1, -1, 1, 1)


class EvoNorm2dB0(_BatchEvoNorm):
    """x / max(batch deviation, v x + instance deviation), scaled and shifted.

    Shape: (B, num_features, H, W) -> the same

    Args:
        apply_act: False leaves the scale and shift alone.
        momentum: Share of a batch in the running variance.
        eps: Added to variances.
    """

    def __init__(
        self, num_features: int, apply_act: bool = True, momentum: float = 0.1, eps: float = 1e-3, **_: Any
    ) -> None:
        super().__init__(num_features, apply_act, momentum, eps)
        self.v = nn.Parameter(torch.ones(num_features)) if apply_act else None

    def forward(self, x: Tensor) -> Tensor:
        """The norm over batch or map, whichever is weaker."""
        v = self.v
        if v is not None:
            x = x / torch.maximum(self._batch_std(x), self._channel(x, v) + std_of_maps(x, self.eps))
        return self._affine(x)


class _PlainBatchEvoNorm(_BatchEvoNorm):
    """Without a slope to learn."""

    def __init__(
        self, num_features: int, apply_act: bool = True, momentum: float = 0.1, eps: float = 1e-5, **_: Any
    ) -> None:
        super().__init__(num_features, apply_act, momentum, eps)


class EvoNorm2dB1(_PlainBatchEvoNorm):
    """x / max(batch deviation, (x + 1) * instance root mean square), scaled and shifted; see `EvoNorm2dB0`."""

    def forward(self, x: Tensor) -> Tensor:
        """The norm over batch or map, whichever is weaker."""
        if self.apply_act:
            x = x / torch.maximum(self._batch_std(x), (x + 1) * rms_of_maps(x, self.eps))
        return self._affine(x)


class EvoNorm2dB2(_PlainBatchEvoNorm):
    """x / max(batch deviation, instance root mean square - x), scaled and shifted; see `EvoNorm2dB0`."""

    def forward(self, x: Tensor) -> Tensor:
        """The norm over batch or map, whichever is weaker."""
        if self.apply_act:
            x = x / torch.maximum(self._batch_std(x), rms_of_maps(x, self.eps) - x)
        return self._affine(x)


class _SampleEvoNorm(_EvoNorm):
    """With statistics of groups of channels of one sample."""

    always_normalizes: ClassVar[bool] = False

    def __init__(self, num_features: int, groups: int, group_size: int | None, apply_act: bool, eps: float) -> None:
        super().__init__(num_features, apply_act, eps)
        if group_size:
            groups = share_of('num_features', num_features, 'group_size', group_size)
        if apply_act or self.always_normalizes:
            share_of('num_features', num_features, 'groups', groups)
        self.groups = groups


class EvoNorm2dS0(_SampleEvoNorm):
    """x sigmoid(v x) / group deviation, scaled and shifted.

    Shape: (B, num_features, H, W) -> the same

    Args:
        groups: Of channels; `group_size`, their width, decides where it is given.
        apply_act: False leaves the scale and shift alone.
        eps: Added to variances.

    Raises:
        ValueError: Channels do not divide into such groups.
    """

    def __init__(
        self,
        num_features: int,
        groups: int = 32,
        group_size: int | None = None,
        apply_act: bool = True,
        eps: float = 1e-5,
        **_: Any,
    ) -> None:
        super().__init__(num_features, groups, group_size, apply_act, eps)
        self.v = nn.Parameter(torch.ones(num_features)) if apply_act else None

    def forward(self, x: Tensor) -> Tensor:
        """Activation and norm, then scale and shift."""
        v = self.v
        if v is not None:
            return self._affine_over(x * self._channel(x, v).sigmoid(), std_of_groups(x, self.groups, self.eps))
        return self._affine(x)


class EvoNorm2dS0a(_SampleEvoNorm):
    """`EvoNorm2dS0` that keeps the norm also where `apply_act` is False."""

    always_normalizes = True

    def __init__(
        self,
        num_features: int,
        groups: int = 32,
        group_size: int | None = None,
        apply_act: bool = True,
        eps: float = 1e-3,
        **_: Any,
    ) -> None:
        super().__init__(num_features, groups, group_size, apply_act, eps)
        self.v = nn.Parameter(torch.ones(num_features)) if apply_act else None

    def forward(self, x: Tensor) -> Tensor:
        """Norm and, if there is one, activation, then scale and shift."""
        deviation = std_of_groups(x, self.groups, self.eps)
        v = self.v
        if v is not None:
            x = x * self._channel(x, v).sigmoid()
        return self._affine_over(x, deviation)


class _ActEvoNorm(_SampleEvoNorm):
    """With any activation in the numerator, SiLU unless given."""

    def __init__(
        self,
        num_features: int,
        groups: int = 32,
        group_size: int | None = None,
        apply_act: bool = True,
        act_layer: LayerType | None = None,
        eps: float = 1e-5,
        **_: Any,
    ) -> None:
        super().__init__(num_features, groups, group_size, apply_act, eps)
        self.act = create_act_layer(act_layer or 'silu') if apply_act else nn.Identity()


class _ActEvoNormA(_ActEvoNorm):
    always_normalizes = True

    def __init__(
        self,
        num_features: int,
        groups: int = 32,
        group_size: int | None = None,
        apply_act: bool = True,
        act_layer: LayerType | None = None,
        eps: float = 1e-3,
        **_: Any,
    ) -> None:
        super().__init__(num_features, groups, group_size, apply_act, act_layer, eps)


class EvoNorm2dS1(_ActEvoNorm):
    """act(x) / group deviation, scaled and shifted; arguments as of `EvoNorm2dS0`."""

    def forward(self, x: Tensor) -> Tensor:
        """Activation and norm, then scale and shift."""
        if self.apply_act:
            return self._affine_over(self.act(x), std_of_groups(x, self.groups, self.eps))
        return self._affine(x)


class EvoNorm2dS1a(_ActEvoNormA):
    """`EvoNorm2dS1` that keeps the norm also where `apply_act` is False."""

    def forward(self, x: Tensor) -> Tensor:
        """Activation and norm, then scale and shift."""
        return self._affine_over(self.act(x), std_of_groups(x, self.groups, self.eps))


class EvoNorm2dS2(_ActEvoNorm):
    """act(x) / group root mean square, scaled and shifted; arguments as of `EvoNorm2dS0`."""

    def forward(self, x: Tensor) -> Tensor:
        """Activation and norm, then scale and shift."""
        if self.apply_act:
            return self._affine_over(self.act(x), rms_of_groups(x, self.groups, self.eps))
        return self._affine(x)


class EvoNorm2dS2a(_ActEvoNormA):
    """`EvoNorm2dS2` that keeps the norm also where `apply_act` is False."""

    def forward(self, x: Tensor) -> Tensor:
        """Activation and norm, then scale and shift."""
        return self._affine_over(self.act(x), rms_of_groups(x, self.groups, self.eps))
