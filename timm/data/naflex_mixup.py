"""Mixup and CutMix for images of different sizes: two images are mixed where they overlap when laid centre on centre.

Papers: mixup, Zhang et al., 2017, arXiv:1710.09412; CutMix, Yun et al., 2019, arXiv:1905.04899. Departure: an image's
partner has nearly its proportions, instead of being any other, and keeps its own size.
Shapes: B images, K classes; image i is (C, H_i, W_i).
"""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ._checks import check_shares
from .mixup import mixup_target

__all__ = ['NaFlexMixup', 'mix_batch_variable_size', 'mixup_target', 'pairwise_mixup_target']


def mix_batch_variable_size(
    imgs: list[Tensor],
    *,
    mixup_alpha: float = 0.8,
    cutmix_alpha: float = 1.0,
    switch_prob: float = 0.5,
    local_shuffle: int = 4,
) -> tuple[list[Tensor], list[float], dict[int, int]]:
    """Mix the images of a batch in pairs; of an odd number one is left alone.

    Images are sorted by width over height and neighbours are paired. One share lam is drawn for the batch; an image's
    own share then is 1 - (1 - lam) * overlap / area for mixup, and what its box leaves of its area for CutMix.

    Args:
        mixup_alpha: Shape of the beta distribution of mixup's share; 0 turns mixup off.
        cutmix_alpha: The same for CutMix.
        switch_prob: Chance that it is CutMix where both are on.
        local_shuffle: Sorted images that are shuffled among each other before they are paired; 0 or 1 for none.

    Returns:
        The images; each one's own share; the partner of each image that has one.

    Raises:
        ValueError: Fewer than two images, or nothing turned on.
    """
    if len(imgs) < 2:
        raise ValueError(f'mixing needs two images or more, got {len(imgs)}')
    _check_alphas(mixup_alpha, cutmix_alpha)
    cuts = cutmix_alpha > 0
    if cuts and mixup_alpha > 0:
        cuts = torch.rand(()).item() < switch_prob
    alpha = cutmix_alpha if cuts else mixup_alpha
    lam = torch.distributions.Beta(alpha, alpha).sample().item()
    partner = _pairs(imgs, local_shuffle)
    mixed, shares = list(imgs), [1.0] * len(imgs)
    for i, img in enumerate(imgs):
        if i in partner:
            mixed[i], shares[i] = _mixed(img, imgs[partner[i]], lam, cuts)
    return mixed, shares, partner


def pairwise_mixup_target(
    targets: Tensor,
    pair_to: Mapping[int, int],
    lam_list: Sequence[float],
    *,
    num_classes: int,
    smoothing: float = 0.0,
    multi_label: bool = False,
) -> Tensor:
    """Targets of images that `mix_batch_variable_size` has mixed: (B,) or (B, K) -> (B, K).

    Args:
        smoothing: Share of each target spread over the classes; of several labels, each is pulled towards 1/2.
        multi_label: Targets are rows of 0 and 1 instead of class indices.
    """
    dense = mixup_target(targets, num_classes, smoothing=smoothing, multi_label=multi_label)
    own, other = torch.tensor([[lam, 1.0 - lam] for lam in lam_list], dtype=dense.dtype, device=dense.device).T
    partner = torch.tensor([pair_to.get(i, i) for i in range(len(dense))], device=dense.device)
    return dense * own[:, None] + dense[partner] * other[:, None]


class NaFlexMixup:
    """Mixes a list of images of different sizes and makes their targets dense; see `mix_batch_variable_size`.

    Args:
        prob: Chance that a batch is mixed.
        mixup_off_epoch: Epoch from which on nothing is mixed any more, if `set_epoch` tells; 0 for never.
        multi_label: Targets are rows of 0 and 1 instead of class indices.

    Raises:
        ValueError: Nothing turned on, or a number out of its range.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        switch_prob: float = 0.5,
        prob: float = 1.0,
        local_shuffle: int = 4,
        label_smoothing: float = 0.0,
        mixup_off_epoch: int = 0,
        multi_label: bool = False,
    ) -> None:
        _check_alphas(mixup_alpha, cutmix_alpha)
        check_shares(switch_prob=switch_prob, prob=prob, label_smoothing=label_smoothing)
        self.num_classes = num_classes
        self.mixup_alpha, self.cutmix_alpha = mixup_alpha, cutmix_alpha
        self.switch_prob, self.prob = switch_prob, prob
        self.local_shuffle = local_shuffle
        self.smoothing = label_smoothing
        self.mixup_off_epoch = mixup_off_epoch
        self.multi_label = multi_label
        self.mixup_enabled = True

    def __call__(self, imgs: list[Tensor], targets: Any) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Mix a batch: its images, and a target (K,) for each."""
        shares, partner = [1.0] * len(imgs), {}
        if self.mixup_enabled and len(imgs) > 1 and random.random() < self.prob:
            imgs, shares, partner = mix_batch_variable_size(
                imgs,
                mixup_alpha=self.mixup_alpha,
                cutmix_alpha=self.cutmix_alpha,
                switch_prob=self.switch_prob,
                local_shuffle=self.local_shuffle,
            )
        dense = pairwise_mixup_target(
            torch.stack([torch.as_tensor(target) for target in targets]),
            partner,
            shares,
            num_classes=self.num_classes,
            smoothing=self.smoothing,
            multi_label=self.multi_label,
        )
        return imgs, dense.unbind(0)

    def set_epoch(self, epoch: int) -> None:
        """Turn mixing off, or on, for an epoch."""
        self.mixup_enabled = not self.mixup_off_epoch or epoch < self.mixup_off_epoch


def _check_alphas(mixup_alpha: float, cutmix_alpha: float) -> None:
    if mixup_alpha <= 0 and cutmix_alpha <= 0:
        raise ValueError(
            f'nothing to mix by: mixup_alpha {mixup_alpha} and cutmix_alpha {cutmix_alpha}; set one above 0'
        )


def _pairs(imgs: Sequence[Tensor], local_shuffle: int) -> dict[int, int]:
    """Partners of nearly the same proportions, both ways."""
    order = sorted(range(len(imgs)), key=lambda i: imgs[i].shape[2] / imgs[i].shape[1])
    if local_shuffle > 1:
        windows = [order[start : start + local_shuffle] for start in range(0, len(order), local_shuffle)]
        for window in windows:
            random.shuffle(window)
        order = [i for window in windows for i in window]
    partner: dict[int, int] = {}
    for one, other in zip(order[::2], order[1::2], strict=False):  # an odd one is left over
        partner[one], partner[other] = other, one
    return partner


def _mixed(img: Tensor, other: Tensor, lam: float, cuts: bool) -> tuple[Tensor, float]:
    """An image with its partner mixed into the part where they overlap, and its own share of the result."""
    height, width = min(img.shape[1], other.shape[1]), min(img.shape[2], other.shape[2])
    out = img.clone()
    own, theirs = (_central(x, height, width) for x in (out, other))
    area = img.shape[1] * img.shape[2]
    if not cuts:
        # Bytes are cut off, as published, where Mixup rounds them.
        own.copy_((own * lam).add_(theirs, alpha=1.0 - lam))
        return out, 1.0 - (1.0 - lam) * height * width / area
    side = math.sqrt(1.0 - lam)
    h, w = int(height * side), int(width * side)
    top, left = random.randint(0, height - h), random.randint(0, width - w)
    box = (slice(None), slice(top, top + h), slice(left, left + w))
    own[box] = theirs[box]
    return out, 1.0 - h * w / area


def _central(img: Tensor, height: int, width: int) -> Tensor:
    top, left = (img.shape[1] - height) // 2, (img.shape[2] - width) // 2
    return img[:, top : top + height, left : left + width]
