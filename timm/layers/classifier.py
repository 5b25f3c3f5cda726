"""Classifier heads: global pool, optional norm and hidden layer, dropout, linear map; all can be reset in place."""

from collections import OrderedDict

import torch
from torch import nn

from ._checks import BadValue
from ._device import Module, building_on, takes_device
from .adaptive_avgmax_pool import SelectAdaptivePool2d
from .create_act import get_act_layer
from .create_norm import get_norm_layer
from .format import FormatT
from .helpers import get_device_dtype
from .typing import LayerType

__all__ = ['ClNormMlpClassifierHead', 'ClassifierHead', 'NormMlpClassifierHead', 'create_classifier']


def _linear(in_features: int, out_features: int, use_conv: bool) -> nn.Module:
    """The last map of a head: nothing without classes, a 1x1 convolution on maps, else `nn.Linear`."""
    if not isinstance(out_features, int):
        raise TypeError(f'A head of {out_features!r} outputs cannot be built: use a whole number, 0 for none.')
    if out_features <= 0:
        return nn.Identity()
    return nn.Conv2d(in_features, out_features, kernel_size=1) if use_conv else nn.Linear(in_features, out_features)


def _pool_and_classifier(
    in_features: int,
    num_classes: int,
    pool_type: str,
    use_conv: bool,
    input_fmt: FormatT,
) -> tuple[SelectAdaptivePool2d, nn.Module]:
    if use_conv and input_fmt != 'NCHW':
        raise BadValue(f'use_conv=True needs NCHW features, these are {input_fmt}: use a linear classifier.')
    pool = SelectAdaptivePool2d(pool_type=pool_type, flatten=bool(pool_type) and not use_conv, input_fmt=input_fmt)
    return pool, _linear(in_features * pool.feat_mult(), num_classes, use_conv)


@takes_device
def create_classifier(
    num_features: int,
    num_classes: int,
    pool_type: str = 'avg',
    use_conv: bool = False,
    input_fmt: FormatT = 'NCHW',
    drop_rate: float | None = None,
) -> tuple[nn.Module, ...]:
    """The parts of a classifier for networks that keep them as attributes of their own.

    Args:
        num_classes: 0 or less makes the last part an identity.
        pool_type: See `SelectAdaptivePool2d`; '' leaves the map as it is.
        use_conv: Classify by a 1x1 convolution, without flattening.

    Returns:
        (pool, classifier), with a dropout between them where `drop_rate` is not None.
    """
    pool, classifier = _pool_and_classifier(num_features, num_classes, pool_type, use_conv, input_fmt)
    if drop_rate is None:
        return pool, classifier
    return pool, nn.Dropout(drop_rate), classifier


class ClassifierHead(Module):
    """Pool, dropout, linear map.

    Shape: (B, in_features, H, W) -> (B, num_classes); without pooling, positions stay

    Args:
        num_classes: 0 leaves the linear map out.
        pool_type: See `SelectAdaptivePool2d`; '' needs `use_conv` or channels last.
        use_conv: Classify by a 1x1 convolution.
        input_fmt: Layout of the features, 'NCHW' or 'NHWC'.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        pool_type: str = 'avg',
        drop_rate: float = 0.0,
        use_conv: bool = False,
        input_fmt: FormatT = 'NCHW',
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.use_conv = use_conv
        self.input_fmt = input_fmt
        self.drop = nn.Dropout(drop_rate)
        self._build(num_classes, pool_type)

    def _build(self, num_classes: int, pool_type: str) -> None:
        self.global_pool, self.fc = _pool_and_classifier(
            self.in_features, num_classes, pool_type, self.use_conv, self.input_fmt
        )
        self.num_features = self.in_features * self.global_pool.feat_mult()
        self.flatten = nn.Flatten(1) if self.use_conv and pool_type else nn.Identity()

    def reset(
        self,
        num_classes: int,
        pool_type: str | None = None,
        reset_other: bool = False,  # noqa: ARG002 (every head has it)
        in_features: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Start over with a new classifier, in the same mode and, unless told otherwise, device and dtype.

        Args:
            pool_type: None keeps the pooling.
            reset_other: There is nothing else to reset in this head.
            in_features: None keeps the width.
        """
        if in_features is not None:
            self.in_features = in_features
        with building_on(**get_device_dtype(self, device, dtype)):
            self._build(num_classes, self.global_pool.pool_type if pool_type is None else pool_type)
        self.train(self.training)

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Classify, or with `pre_logits` stop before the linear map."""
        x = self.drop(self.global_pool(x))
        return self.flatten(x if pre_logits else self.fc(x))


class _NormMlpHead(Module):
    """What the heads with a norm share: pool, norm, hidden layer, dropout, linear map, and how they are reset."""

    def _build(
        self,
        in_features: int,
        num_classes: int,
        hidden_size: int | None,
        pool_type: str,
        drop_rate: float,
        norm_layer: LayerType | None,
        act_layer: LayerType | None,
    ) -> None:
        self.in_features = in_features
        self.hidden_size = hidden_size
        self.num_features = hidden_size or in_features
        self.global_pool, self.flatten, self.use_conv = self._pooling(pool_type)
        norm = get_norm_layer(norm_layer)
        self.norm = nn.Identity() if norm is None else norm(in_features)
        self.pre_logits: nn.Module = nn.Identity()
        act = get_act_layer(act_layer) or nn.Identity
        if hidden_size:
            parts = OrderedDict(fc=_linear(in_features, hidden_size, self.use_conv), act=act())
            self.pre_logits = nn.Sequential(parts)
        self.drop = nn.Dropout(drop_rate)
        self.fc = _linear(self.num_features, num_classes, self.use_conv)

    def _pooling(self, pool_type: str) -> tuple[SelectAdaptivePool2d, nn.Module, bool]:
        """The pool, what flattens after the norm, and whether the maps behind are convolutions."""
        raise NotImplementedError

    def _checked(self, pool: SelectAdaptivePool2d) -> SelectAdaptivePool2d:
        if pool.feat_mult() != 1:
            raise BadValue(
                f"pool_type={pool.pool_type!r} changes the width, which the norm after it fixes: use '', 'avg', 'max' "
                f"or 'avgmax'."
            )
        return pool

    def _match_hidden_layer(self) -> None:
        """Let the hidden layer have the form that `use_conv` asks for; its numbers stay."""
        if not isinstance(self.pre_logits, nn.Sequential):
            return
        old = self.pre_logits[0]
        if isinstance(old, nn.Linear) and self.use_conv:
            new = nn.Conv2d(old.in_features, old.out_features, kernel_size=1)
        elif isinstance(old, nn.Conv2d) and not self.use_conv:
            new = nn.Linear(old.in_channels, old.out_channels)
        else:
            return
        for name, param in old.named_parameters():
            values = param.detach().reshape(getattr(new, name).shape)
            setattr(new, name, nn.Parameter(values, param.requires_grad))
        self.pre_logits[0] = new.train(self.training)

    def reset(
        self,
        num_classes: int,
        pool_type: str | None = None,
        reset_other: bool = False,
        in_features: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Start over with a new classifier, in the same mode and, unless told otherwise, device and dtype.

        Args:
            pool_type: None keeps the pooling.
            reset_other: Remove norm and hidden layer.
            in_features: None keeps the width.

        Raises:
            ValueError: The width changes while the norm stays.
        """
        if in_features not in (None, self.in_features):
            if not reset_other:
                raise ValueError(
                    f'The norm of this head is made for in_features={self.in_features}, not {in_features}: '
                    f'pass reset_other=True to remove it.'
                )
            self.in_features = in_features
        with building_on(**get_device_dtype(self, device, dtype)):
            if reset_other:
                self.norm = nn.Identity()
                self.pre_logits = nn.Identity()
                self.hidden_size = None
                self.num_features = self.in_features
            if pool_type is not None:
                self.global_pool, self.flatten, self.use_conv = self._pooling(pool_type)
                self._match_hidden_layer()
            self.fc = _linear(self.num_features, num_classes, self.use_conv)
        self.train(self.training)

    def forward(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Classify, or with `pre_logits` stop before the linear map."""
        x = self.flatten(self.norm(self.global_pool(x)))
        x = self.drop(self.pre_logits(x))
        return x if pre_logits else self.fc(x)


class NormMlpClassifierHead(_NormMlpHead):
    """Pool, norm, optional hidden layer, dropout, linear map, for channels-first features.

    Shape: (B, in_features, H, W) -> (B, num_classes); without pooling (B, num_classes, H, W) by 1x1 convolutions

    Args:
        num_classes: 0 leaves the linear map out.
        hidden_size: Width of the hidden layer; None or 0 for none.
        pool_type: '', 'avg', 'max' or 'avgmax'.
        norm_layer: Norm of a (B, C, 1, 1) map.
        act_layer: Activation of the hidden layer.

    Raises:
        ValueError: The pool would change the width.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        hidden_size: int | None = None,
        pool_type: str = 'avg',
        drop_rate: float = 0.0,
        norm_layer: LayerType = 'layernorm2d',
        act_layer: LayerType = 'tanh',
    ) -> None:
        super().__init__()
        self._build(in_features, num_classes, hidden_size, pool_type, drop_rate, norm_layer, act_layer)

    def _pooling(self, pool_type: str) -> tuple[SelectAdaptivePool2d, nn.Module, bool]:
        pool = self._checked(SelectAdaptivePool2d(pool_type=pool_type))
        return pool, nn.Flatten(1) if pool_type else nn.Identity(), not pool_type


class ClNormMlpClassifierHead(_NormMlpHead):
    """Pool, norm, optional hidden layer, dropout, linear map, for channels-last features.

    Shape: (B, H, W, in_features) or (B, L, in_features) -> (B, num_classes); without pooling, positions stay

    Args:
        num_classes: 0 leaves the linear map out.
        hidden_size: Width of the hidden layer; None or 0 for none.
        pool_type: '', 'avg', 'max' or 'avgmax'.
        norm_layer: Norm over the last axis.
        act_layer: Activation of the hidden layer.
        input_fmt: 'NHWC' or 'NLC'.

    Raises:
        ValueError: The pool would change the width, or the layout has its channels elsewhere.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        hidden_size: int | None = None,
        pool_type: str = 'avg',
        drop_rate: float = 0.0,
        norm_layer: LayerType = 'layernorm',
        act_layer: LayerType = 'gelu',
        input_fmt: FormatT = 'NHWC',
    ) -> None:
        super().__init__()
        if input_fmt not in ('NHWC', 'NLC'):
            raise BadValue(f"input_fmt={input_fmt!r} does not have its channels last: use 'NHWC' or 'NLC'.")
        self.input_fmt = input_fmt
        self._build(in_features, num_classes, hidden_size, pool_type, drop_rate, norm_layer, act_layer)

    def _pooling(self, pool_type: str) -> tuple[SelectAdaptivePool2d, nn.Module, bool]:
        pool = SelectAdaptivePool2d(pool_type=pool_type, flatten=bool(pool_type), input_fmt=self.input_fmt)
        return self._checked(pool), nn.Identity(), False
