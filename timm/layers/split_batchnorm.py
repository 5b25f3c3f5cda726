"""Batch norm with statistics of their own for each part of a batch, such as clean and augmented images.

Paper: Adversarial Examples Improve Image Recognition, Xie et al., 2019, arXiv:1911.09665 (section 4, auxiliary norms).
"""

from torch import Tensor, cat, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ._device import Module
from ._fx import register_notrace_module
from ._norm_act import NormAct, forward_of
from .batch_norm_act import replace_parts, take_over

__all__ = ['SplitBatchNorm2d', 'convert_splitbn_model']


@register_notrace_module
class SplitBatchNorm2d(Module, nn.BatchNorm2d):
    """In training, the batch in `num_splits` equal parts and a batch norm for each; in evaluation, the first norm.

    The first part of a batch, by which evaluation goes, is the one of clean images. The norm for it is the module
    itself, so that the state dict has the keys of nn.BatchNorm2d and, below `aux_bn`, those of the others.

    Shape: (B, C, H, W) -> (B, C, H, W)

    Raises:
        ValueError: `num_splits` is less than 2; in training, it does not divide the batch.
    """

    _normalize_all = forward_of(nn.BatchNorm2d, '_normalize_all')

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        num_splits: int = 2,
    ) -> None:
        if num_splits < 2:
            raise ValueError(f'num_splits={num_splits} leaves nothing to split: use 2 or more, or nn.BatchNorm2d.')
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        self.num_splits = num_splits
        self.aux_bn = nn.ModuleList(
            nn.BatchNorm2d(num_features, eps, momentum, affine, track_running_stats) for _ in range(num_splits - 1)
        )

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return self._normalize_all(input)
        if input.shape[0] % self.num_splits != 0:
            raise ValueError(f'A batch of {input.shape[0]} does not split into {self.num_splits} equal parts.')
        parts = input.chunk(self.num_splits)
        normalized = [self._normalize_all(parts[0])]
        for i, norm in enumerate(self.aux_bn, start=1):
            normalized.append(norm(parts[i]))
        return cat(normalized)


@register_notrace_module
class SplitBatchNormAct2d(NormAct, SplitBatchNorm2d):
    """SplitBatchNorm2d, then the drop layer and activation of the norm that `convert_splitbn_model` replaced."""

    normalize = forward_of(SplitBatchNorm2d)


def _copy_numbers(norm: nn.Module, source: nn.Module) -> None:
    """Give `norm` copies of the parameters and buffers of `source`, each as trainable as it was."""
    for name, value in source._parameters.items():
        copy = None if value is None else nn.Parameter(value.detach().clone(), value.requires_grad)
        norm._parameters[name] = copy
    for name, value in source._buffers.items():
        norm._buffers[name] = None if value is None else value.detach().clone()


def convert_splitbn_model(module: nn.Module, num_splits: int = 2) -> nn.Module:
    """Put split norms in place of all batch norms over maps, in place; all parts begin with the numbers there were.

    Weights of the first norm remain the same objects, drop layers and activations inside norms stay, and norms that
    are split already, into as many parts, are left alone.

    Returns:
        `module`, or what replaces it.

    Raises:
        ValueError: `num_splits` is less than 2, or a batch norm is none over maps.
    """

    def split(part: nn.Module) -> nn.Module | None:
        if not isinstance(part, _BatchNorm):
            return None
        if isinstance(part, SplitBatchNorm2d) and part.num_splits == num_splits:
            return part
        if not isinstance(part, nn.BatchNorm2d):
            raise ValueError(f'{part} cannot be split: convert_splitbn_model takes models whose norms are BatchNorm2d.')
        split_class = SplitBatchNormAct2d if isinstance(part, NormAct) else SplitBatchNorm2d
        new = split_class(part.num_features, part.eps, part.momentum, part.affine, part.track_running_stats, num_splits)
        for norm in new.aux_bn:
            _copy_numbers(norm, part)
        return take_over(new, part)

    return replace_parts(module, split)
