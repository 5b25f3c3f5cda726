"""Losses by name."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from .asymmetric_loss import AsymmetricLossMultiLabel, AsymmetricLossSingleLabel
from .binary_cross_entropy import BinaryCrossEntropy
from .cross_entropy import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from .distribution_balanced_loss import DistributionBalancedLoss
from .jsd import JsdCrossEntropy
from .poly_loss import PolyBinaryCrossEntropy, PolyCrossEntropy
from .two_way_loss import TwoWayLoss
from .zlpr_loss import ZlprLoss

__all__ = ['LOSS_TYPES', 'MULTI_LABEL_LOSS_TYPES', 'create_classification_loss']

LOSS_TYPES = ('ce', 'bce', 'asl', 'poly', 'jsd', 'twoway', 'zlpr', 'db')
MULTI_LABEL_LOSS_TYPES = ('bce', 'asl', 'poly', 'twoway', 'zlpr', 'db')
MULTI_LABEL_ONLY = ('twoway', 'zlpr', 'db')
BINARY_TARGETS_ONLY = ('twoway', 'zlpr')


@dataclass
class Request:
    """The arguments of `create_classification_loss`; smoothing is 0 where targets come soft."""

    multi_label: bool
    smoothing: float
    soft_targets: bool
    class_weight: Tensor | float | None
    pos_weight: Tensor | float | None
    bce_target_thresh: float | None
    bce_sum: bool
    asl_gamma_pos: float
    asl_gamma_neg: float
    asl_clip: float
    asl_reduction: str
    poly_epsilon: float
    poly_gamma: float
    poly_alpha: float | None
    jsd_splits: int
    twoway_tp: float
    twoway_tn: float
    class_counts: Tensor | Sequence[float] | None
    num_samples: int | None
    db_neg_scale: float
    db_init_bias: float
    db_focal_gamma: float


def _ce(request: Request) -> nn.Module:
    if request.soft_targets:
        return SoftTargetCrossEntropy()
    return LabelSmoothingCrossEntropy(request.smoothing) if request.smoothing else nn.CrossEntropyLoss()


def _bce(request: Request) -> nn.Module:
    return BinaryCrossEntropy(
        smoothing=request.smoothing,
        target_threshold=request.bce_target_thresh,
        weight=request.class_weight,
        sum_classes=request.bce_sum,
        pos_weight=request.pos_weight,
        smooth_dense=request.multi_label,
    )


def _asl(request: Request) -> nn.Module:
    if request.multi_label:
        return AsymmetricLossMultiLabel(
            gamma_neg=request.asl_gamma_neg,
            gamma_pos=request.asl_gamma_pos,
            clip=request.asl_clip,
            smoothing=request.smoothing,
            reduction=request.asl_reduction,
            weight=request.class_weight,
            pos_weight=request.pos_weight,
        )
    if request.soft_targets:
        raise ValueError("loss_type='asl' for one class takes indices: leave Mixup/CutMix off.")
    if request.asl_reduction != 'batchmean':
        raise ValueError(f"asl_reduction='{request.asl_reduction}' is for several labels: leave 'batchmean'.")
    return AsymmetricLossSingleLabel(
        gamma_pos=request.asl_gamma_pos, gamma_neg=request.asl_gamma_neg, eps=request.smoothing
    )


def _poly(request: Request) -> nn.Module:
    if request.multi_label:
        return PolyBinaryCrossEntropy(
            request.poly_epsilon, request.poly_gamma, request.poly_alpha, smoothing=request.smoothing
        )
    if request.poly_gamma or request.poly_alpha is not None:
        raise ValueError(
            f'poly_gamma={request.poly_gamma} and poly_alpha={request.poly_alpha} are for multi-label targets: leave '
            'them out, or set multi_label=True.'
        )
    return PolyCrossEntropy(request.poly_epsilon, smoothing=request.smoothing)


def _jsd(request: Request) -> nn.Module:
    if not request.jsd_splits > 1:
        raise ValueError(f"loss_type='jsd' needs two or more augmentation splits, not jsd_splits={request.jsd_splits}.")
    return JsdCrossEntropy(num_splits=request.jsd_splits, smoothing=request.smoothing)


def _twoway(request: Request) -> nn.Module:
    return TwoWayLoss(request.twoway_tp, request.twoway_tn)


def _zlpr(_: Request) -> nn.Module:
    return ZlprLoss()


def _db(request: Request) -> nn.Module:
    if request.class_counts is None or request.num_samples is None:
        raise ValueError("loss_type='db' requires class_counts and num_samples, as load_class_stats() reads them.")
    return DistributionBalancedLoss(
        request.class_counts,
        request.num_samples,
        neg_scale=request.db_neg_scale,
        init_bias=request.db_init_bias,
        focal_gamma=request.db_focal_gamma,
        smoothing=request.smoothing,
    )


LOSSES: dict[str, Callable[[Request], nn.Module]] = {
    'ce': _ce,
    'bce': _bce,
    'asl': _asl,
    'poly': _poly,
    'jsd': _jsd,
    'twoway': _twoway,
    'zlpr': _zlpr,
    'db': _db,
}


def _check(loss_type: str, request: Request) -> None:
    """Raise ValueError for what `loss_type` cannot do."""
    if loss_type not in LOSSES:
        near = difflib.get_close_matches(loss_type, LOSS_TYPES, n=3, cutoff=0.0)
        raise ValueError(f"Unknown loss type '{loss_type}': the nearest are {', '.join(near)}.")
    if request.multi_label and loss_type not in MULTI_LABEL_LOSS_TYPES:
        raise ValueError(
            f"loss_type='{loss_type}' does not support multi-label targets: use one of "
            f'{", ".join(MULTI_LABEL_LOSS_TYPES)}.'
        )
    if not request.multi_label and loss_type in MULTI_LABEL_ONLY:
        raise ValueError(f"loss_type='{loss_type}' requires multi-label targets: set multi_label=True.")
    if loss_type in BINARY_TARGETS_ONLY and (request.soft_targets or request.smoothing):
        raise ValueError(
            f"loss_type='{loss_type}' takes binary targets alone: leave mixup, cutmix and smoothing off, not "
            f'soft_targets={request.soft_targets}, smoothing={request.smoothing}.'
        )
    weighted = request.class_weight is not None or request.pos_weight is not None
    if weighted and loss_type != 'bce' and not (loss_type == 'asl' and request.multi_label):
        raise ValueError(
            'class_weight and pos_weight are only supported by bce and multi-label asl, not by '
            f"loss_type='{loss_type}': leave them out."
        )
    if loss_type != 'bce' and (request.bce_target_thresh is not None or request.bce_sum):
        raise ValueError(
            f"bce_target_thresh and bce_sum only apply to the bce loss, not to loss_type='{loss_type}': leave them out."
        )
    if loss_type != 'db' and (request.class_counts is not None or request.num_samples is not None):
        raise ValueError(
            'class_counts and num_samples are only used by the db loss, not by '
            f"loss_type='{loss_type}': leave them out."
        )


def create_classification_loss(
    loss_type: str | None = None,
    multi_label: bool = False,
    smoothing: float = 0.0,
    soft_targets: bool = False,
    class_weight: Tensor | float | None = None,
    pos_weight: Tensor | float | None = None,
    bce_target_thresh: float | None = None,
    bce_sum: bool = False,
    asl_gamma_pos: float = 1.0,
    asl_gamma_neg: float = 4.0,
    asl_clip: float = 0.05,
    asl_reduction: str = 'batchmean',
    poly_epsilon: float = 2.0,
    poly_gamma: float = 0.0,
    poly_alpha: float | None = None,
    jsd_splits: int = 0,
    twoway_tp: float = 4.0,
    twoway_tn: float = 1.0,
    class_counts: Tensor | Sequence[float] | None = None,
    num_samples: int | None = None,
    db_neg_scale: float = 2.0,
    db_init_bias: float = 0.05,
    db_focal_gamma: float = 2.0,
) -> nn.Module:
    """Make a training loss for classification.

    Args:
        loss_type: One of LOSS_TYPES; None is 'bce' for several labels, else 'ce'.
        multi_label: An image may have several labels.
        smoothing: Of index and 0 / 1 targets; soft ones carry theirs already.
        soft_targets: Targets are probabilities, from mixup or cutmix.
        class_weight: Of each class (bce, multi-label asl).
        pos_weight: Of the positive part of each class (bce, multi-label asl).
        jsd_splits: Augmented versions of each image in a batch (jsd).
        class_counts: In how many of `num_samples` training images each class occurs (db).

    Raises:
        ValueError: The name is unknown, or the arguments do not go together.
    """
    given = dict(locals())  # all arguments, and nothing else yet
    del given['loss_type']
    request = Request(**given)
    if soft_targets:
        request.smoothing = 0.0
    loss_type = loss_type or ('bce' if multi_label else 'ce')
    _check(loss_type, request)
    return LOSSES[loss_type](request)
