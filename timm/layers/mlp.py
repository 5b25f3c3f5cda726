"""Multi-layer perceptrons: plain, gated, convolutional, and with global response normalisation."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from ._checks import BadValue, check_builders, check_multiple, two_of
from ._device import Module
from .grn import GlobalResponseNorm

__all__ = ['ConvMlp', 'GatedMlp', 'GlobalResponseNormMlp', 'GluMlp', 'Mlp', 'SwiGLU', 'SwiGLUPacked']


def _linear(use_conv: bool) -> Callable[..., nn.Linear | nn.Conv2d]:
    return partial(nn.Conv2d, kernel_size=1) if use_conv else nn.Linear


class Mlp(Module):
    """Two linear maps with an activation between them (Transformer, arXiv:1706.03762, section 3.3).

    Shape: (..., in_features) -> (..., out_features); with `use_conv` (B, in_features, H, W) -> (B, out_features, H, W)

    Args:
        hidden_features: Width between the two maps; `in_features` when None, as is `out_features`.
        norm_layer: Builds a norm of the hidden width that acts after the activation; None for no norm.
        bias: For both maps, or one flag each; likewise `drop`, the dropout after each map.
        use_conv: 1x1 convolutions in place of linear layers.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        act_layer: Callable[..., nn.Module] = nn.GELU,
        norm_layer: Callable[..., nn.Module] | None = None,
        bias: bool | tuple[bool, bool] = True,
        drop: float | tuple[float, float] = 0.0,
        use_conv: bool = False,
    ) -> None:
        super().__init__()
        width = hidden_features or in_features
        linear = _linear(use_conv)
        biases, drops = two_of('bias', bias), two_of('drop', drop)
        self.fc1 = linear(in_features, width, bias=biases[0])
        check_builders(act_layer=act_layer, norm_layer=norm_layer)
        self.act = act_layer()
        self.drop1 = nn.Dropout(drops[0])
        self.norm = nn.Identity() if norm_layer is None else norm_layer(width)
        self.fc2 = linear(width, out_features or in_features, bias=biases[1])
        self.drop2 = nn.Dropout(drops[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The two maps with all that stands between and after them."""
        x = self.drop1(self.act(self.fc1(x)))
        return self.drop2(self.fc2(self.norm(x)))


class GluMlp(Module):
    """An MLP whose hidden layer is a gated linear unit: act(gate) * value, both from one map (arXiv:2002.05202, eq. 6).

    Shape: (..., in_features) -> (..., out_features); with `use_conv` (B, in_features, H, W) -> (B, out_features, H, W)

    Args:
        hidden_features: Width of gate and value together, an even number.
        norm_layer: Builds a norm of half that width that acts on the product; None for no norm.
        bias: For both maps, or one flag each; likewise `drop`, the dropout after each map.
        gate_last: The gate is the second half of the hidden features, not the first.

    Raises:
        ValueError: `hidden_features` is odd.
    """

    chunk_dim: torch.jit.Final[int]
    gate_last: torch.jit.Final[bool]

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        act_layer: Callable[..., nn.Module] = nn.Sigmoid,
        norm_layer: Callable[..., nn.Module] | None = None,
        bias: bool | tuple[bool, bool] = True,
        drop: float | tuple[float, float] = 0.0,
        use_conv: bool = False,
        gate_last: bool = True,
    ) -> None:
        super().__init__()
        width = hidden_features or in_features
        check_multiple('hidden_features', width, 2, 'cannot be split into gate and value')
        linear = _linear(use_conv)
        biases, drops = two_of('bias', bias), two_of('drop', drop)
        self.chunk_dim = 1 if use_conv else -1
        self.gate_last = gate_last
        self.fc1 = linear(in_features, width, bias=biases[0])
        check_builders(act_layer=act_layer, norm_layer=norm_layer)
        self.act = act_layer()
        self.drop1 = nn.Dropout(drops[0])
        self.norm = nn.Identity() if norm_layer is None else norm_layer(width // 2)
        self.fc2 = linear(width // 2, out_features or in_features, bias=biases[1])
        self.drop2 = nn.Dropout(drops[1])

    def init_weights(self) -> None:
        """Start with gates open: the gate's half of `fc1` gets tiny weights and a bias of one."""
        if self.fc1.bias is not None:
            nn.init.ones_(self._gate_half(self.fc1.bias))
        nn.init.normal_(self._gate_half(self.fc1.weight), std=1e-6)

    def _gate_half(self, parameter: torch.Tensor) -> torch.Tensor:
        return parameter.chunk(2)[1 if self.gate_last else 0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The gated hidden layer, then the map to the output."""
        first, second = self.fc1(x).chunk(2, dim=self.chunk_dim)
        x = first * self.act(second) if self.gate_last else self.act(first) * second
        return self.drop2(self.fc2(self.norm(self.drop1(x))))


SwiGLUPacked = partial(GluMlp, act_layer=nn.SiLU, gate_last=False)
"""`GluMlp` as SwiGLU (arXiv:2002.05202): the gate is the first half and goes through SiLU."""


class SwiGLU(Module):
    """An MLP gated by SiLU, with gate and value as two maps of their own (arXiv:2002.05202, eq. 6).

    Shape: (..., in_features) -> (..., out_features)

    Args:
        hidden_features: Width of the gate, and of the value.
        norm_layer: Builds a norm of that width that acts on the product; None for no norm.
        bias: For the first maps and the last, or one flag each; likewise `drop`, the dropout after each.
        align_to: The hidden width is rounded up to a multiple of this; 0 leaves it alone.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        act_layer: Callable[..., nn.Module] = nn.SiLU,
        norm_layer: Callable[..., nn.Module] | None = None,
        bias: bool | tuple[bool, bool] = True,
        drop: float | tuple[float, float] = 0.0,
        align_to: int = 0,
    ) -> None:
        super().__init__()
        width = hidden_features or in_features
        if align_to < 0:
            raise BadValue(f'align_to={align_to} is negative: use 0 for no alignment, or a number such as 8.')
        if align_to:
            width += -width % align_to
        biases, drops = two_of('bias', bias), two_of('drop', drop)
        self.fc1_g = nn.Linear(in_features, width, bias=biases[0])
        self.fc1_x = nn.Linear(in_features, width, bias=biases[0])
        check_builders(act_layer=act_layer, norm_layer=norm_layer)
        self.act = act_layer()
        self.drop1 = nn.Dropout(drops[0])
        self.norm = nn.Identity() if norm_layer is None else norm_layer(width)
        self.fc2 = nn.Linear(width, out_features or in_features, bias=biases[1])
        self.drop2 = nn.Dropout(drops[1])

    def init_weights(self) -> None:
        """Start with gates open: `fc1_g` gets tiny weights and a bias of one."""
        if self.fc1_g.bias is not None:
            nn.init.ones_(self.fc1_g.bias)
        nn.init.normal_(self.fc1_g.weight, std=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The gated hidden layer, then the map to the output."""
        x = self.drop1(self.act(self.fc1_g(x)) * self.fc1_x(x))
        return self.drop2(self.fc2(self.norm(x)))


class GatedMlp(Module):
    """An MLP with a gating unit of any kind after the activation (gMLP, arXiv:2105.08050, section 2).

    Shape: (B, L, in_features) -> (B, L, out_features)

    Args:
        gate_layer: Builds the unit from the hidden width, which it halves; None for no gate and no halving.
        norm_layer: Builds a norm of what the gate leaves; None for no norm.
        bias: For both maps, or one flag each; likewise `drop`, the dropout after each map.

    Raises:
        ValueError: There is a gate and `hidden_features` is odd.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        act_layer: Callable[..., nn.Module] = nn.GELU,
        norm_layer: Callable[..., nn.Module] | None = None,
        gate_layer: Callable[..., nn.Module] | None = None,
        bias: bool | tuple[bool, bool] = True,
        drop: float | tuple[float, float] = 0.0,
    ) -> None:
        super().__init__()
        width = hidden_features or in_features
        biases, drops = two_of('bias', bias), two_of('drop', drop)
        self.fc1 = nn.Linear(in_features, width, bias=biases[0])
        check_builders(act_layer=act_layer, norm_layer=norm_layer)
        self.act = act_layer()
        self.drop1 = nn.Dropout(drops[0])
        if gate_layer is None:
            self.gate = nn.Identity()
        else:
            check_builders(gate_layer=gate_layer)
            check_multiple('hidden_features', width, 2, 'cannot be halved by the gate')
            self.gate = gate_layer(width)
            width //= 2
        self.norm = nn.Identity() if norm_layer is None else norm_layer(width)
        self.fc2 = nn.Linear(width, out_features or in_features, bias=biases[1])
        self.drop2 = nn.Dropout(drops[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The two maps with the gate between them."""
        x = self.gate(self.drop1(self.act(self.fc1(x))))
        return self.drop2(self.fc2(self.norm(x)))


class ConvMlp(Module):
    """An MLP over the channels of a feature map, as 1x1 convolutions, with the norm before the activation.

    Shape: (B, in_features, H, W) -> (B, out_features, H, W)

    Args:
        norm_layer: Builds a norm of the hidden width; None for no norm.
        bias: For both convolutions, or one flag each.
        drop: Dropout after the activation.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        act_layer: Callable[..., nn.Module] = nn.ReLU,
        norm_layer: Callable[..., nn.Module] | None = None,
        bias: bool | tuple[bool, bool] = True,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        width = hidden_features or in_features
        biases = two_of('bias', bias)
        self.fc1 = nn.Conv2d(in_features, width, kernel_size=1, bias=biases[0])
        self.norm = nn.Identity() if norm_layer is None else norm_layer(width)
        check_builders(act_layer=act_layer, norm_layer=norm_layer)
        self.act = act_layer()
        self.drop = nn.Dropout(drop)
        self.fc2 = nn.Conv2d(width, out_features or in_features, kernel_size=1, bias=biases[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The two convolutions with norm, activation and dropout between them."""
        return self.fc2(self.drop(self.act(self.norm(self.fc1(x)))))


class GlobalResponseNormMlp(Module):
    """An MLP with global response normalisation of the hidden features (ConvNeXt V2, arXiv:2301.00808, section 3.2).

    Shape: (B, H, W, in_features) -> (B, H, W, out_features); with `use_conv` channels come second

    Args:
        bias: For both maps, or one flag each; likewise `drop`, the dropout after each map.
        use_conv: 1x1 convolutions in place of linear layers.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        act_layer: Callable[..., nn.Module] = nn.GELU,
        bias: bool | tuple[bool, bool] = True,
        drop: float | tuple[float, float] = 0.0,
        use_conv: bool = False,
    ) -> None:
        super().__init__()
        width = hidden_features or in_features
        linear = _linear(use_conv)
        biases, drops = two_of('bias', bias), two_of('drop', drop)
        self.fc1 = linear(in_features, width, bias=biases[0])
        check_builders(act_layer=act_layer)
        self.act = act_layer()
        self.drop1 = nn.Dropout(drops[0])
        self.grn = GlobalResponseNorm(width, channels_last=not use_conv)
        self.fc2 = linear(width, out_features or in_features, bias=biases[1])
        self.drop2 = nn.Dropout(drops[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The two maps with the norm between them."""
        x = self.grn(self.drop1(self.act(self.fc1(x))))
        return self.drop2(self.fc2(x))
