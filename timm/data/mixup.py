"""Mixup and CutMix: a batch is mixed with itself in reverse order, and so are its targets.

Papers: mixup, Zhang et al., 2017, arXiv:1710.09412; CutMix, Yun et al., 2019, arXiv:1905.04899.
Shapes: B images, C channels, H and W pixels, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._checks import check_shares
from ._collate import stack_images

__all__ = [
    'FastCollateMixup',
    'Mixup',
    'cutmix_bbox_and_lam',
    'mixup_target',
    'rand_bbox',
    'rand_bbox_minmax',
]

Box = tuple[Any, Any, Any, Any]


def one_hot(x: Tensor, num_classes: int, on_value: float = 1.0, off_value: float = 0.0) -> Tensor:
    """Class indices as rows of `off_value` with one `on_value`: B of them -> (B, K)."""
    x = x.long().view(-1, 1)
    rows = torch.full((len(x), num_classes), off_value, device=x.device)
    return rows.scatter_(1, x, on_value)


def mixup_target(
    target: Tensor,
    num_classes: int,
    lam: float | Tensor = 1.0,
    smoothing: float = 0.0,
    multi_label: bool = False,
) -> Tensor:
    """Targets of a batch mixed with its own reverse, smoothed: (B,) or (B, K) -> (B, K).

    Args:
        lam: Share of the batch as it is, the rest being its reverse; one number, or (B, 1).
        smoothing: Share of each target spread over the classes; of several labels, each is pulled towards 1/2.
        multi_label: Targets are rows of 0 and 1 instead of class indices.
    """
    if multi_label:
        dense = target.to(torch.float32) * (1.0 - smoothing) + smoothing / 2
    else:
        off = smoothing / num_classes
        dense = one_hot(target, num_classes, on_value=1.0 - smoothing + off, off_value=off)
    return dense * lam + dense.flip(0) * (1.0 - lam)


def rand_bbox(img_shape: Sequence[int], lam: float, margin: float = 0.0, count: int | None = None) -> Box:
    """Draw CutMix's box (section 3.1, eq. 2), cut off at the borders: rows from, to, columns from, to.

    Args:
        img_shape: Shape that ends in H, W.
        lam: Share of the area that stays outside a box that is not cut off.
        margin: Distance of the box's centre from the borders, as a share of the box's sides.
        count: Number of boxes; the limits are then arrays.
    """
    ratio = np.sqrt(1 - lam)
    limits: list[Any] = []
    for side in img_shape[-2:]:
        cut = int(side * ratio)
        inset = int(margin * cut)
        first = np.random.randint(inset, side - inset, size=count) - cut // 2
        limits += [np.clip(first, 0, side), np.clip(first + cut, 0, side)]
    return limits[0], limits[1], limits[2], limits[3]


def rand_bbox_minmax(img_shape: Sequence[int], minmax: Sequence[float], count: int | None = None) -> Box:
    """Draw a box whose sides are between two shares of the image's: rows from, to, columns from, to."""
    H, W = img_shape[-2:]
    low, high = minmax
    height = np.random.randint(int(H * low), int(H * high), size=count)
    width = np.random.randint(int(W * low), int(W * high), size=count)
    top = np.random.randint(0, H - height + 1, size=count)
    left = np.random.randint(0, W - width + 1, size=count)
    return top, top + height, left, left + width


def cutmix_bbox_and_lam(
    img_shape: Sequence[int],
    lam: float,
    ratio_minmax: Sequence[float] | None = None,
    correct_lam: bool = True,
    count: int | None = None,
) -> tuple[Box, Any]:
    """Draw a box and settle the share of the area outside it.

    Args:
        ratio_minmax: Range of the box's sides, which then do not follow from `lam`.
        correct_lam: Count the area of the box as it was cut off, instead of keeping `lam`.
    """
    if ratio_minmax is not None:
        box = rand_bbox_minmax(img_shape, ratio_minmax, count=count)
    else:
        box = rand_bbox(img_shape, lam, count=count)
    if correct_lam or ratio_minmax is not None:
        area = (box[1] - box[0]) * (box[3] - box[2])
        lam = 1.0 - area / float(img_shape[-2] * img_shape[-1])
    return box, lam


@dataclass
class _Mix:
    """How one image is mixed with its partner: `lam` of it stays; a box means that the rest is cut, not blended."""

    lam: float = 1.0
    box: Box | None = None


class Mixup:
    """Mixes loaded batches: x (B, C, H, W) in place, and class indices (B,) -> (B, K).

    Image i is mixed with image B - 1 - i; the one in the middle of an odd batch, being its own partner, stays.

    Args:
        mixup_alpha: Shape of the beta distribution of mixup's share; 0 turns mixup off.
        cutmix_alpha: The same for CutMix.
        cutmix_minmax: Range of the side of CutMix's box, as a share; turns CutMix on.
        prob: Chance that a batch, pair or image is mixed.
        switch_prob: Chance that it is CutMix where both are on.
        mode: What shares a draw: 'batch', 'pair' (image i and image B - 1 - i), or 'elem' for nothing.
            `FastCollateMixup` also takes 'half': each image is used once, so that half the batch comes back.
        correct_lam: Targets follow the area of the box as it was cut off at the borders.
        multi_label: Targets are rows of 0 and 1 instead of class indices.

    Raises:
        ValueError: Another mode, nothing turned on, or a chance that is none.
    """

    _modes: tuple[str, ...] = ('batch', 'pair', 'elem')

    def __init__(
        self,
        mixup_alpha: float = 1.0,
        cutmix_alpha: float = 0.0,
        cutmix_minmax: Sequence[float] | None = None,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        mode: str = 'batch',
        correct_lam: bool = True,
        label_smoothing: float = 0.1,
        num_classes: int = 1000,
        multi_label: bool = False,
    ) -> None:
        check_shares(prob=prob, switch_prob=switch_prob, label_smoothing=label_smoothing)
        if mode not in self._modes:
            raise ValueError(f'{type(self).__name__} mixes by {", ".join(self._modes)}, got mode {mode!r}')
        if cutmix_minmax is not None:
            if len(cutmix_minmax) != 2 or not 0 <= cutmix_minmax[0] <= cutmix_minmax[1] <= 1:
                raise ValueError(f'cutmix_minmax is (smallest, largest) share of a side, 0 to 1, got {cutmix_minmax!r}')
            cutmix_alpha = 1.0
        if mixup_alpha <= 0 and cutmix_alpha <= 0:
            raise ValueError(
                f'nothing to mix by: mixup_alpha {mixup_alpha} and cutmix_alpha {cutmix_alpha}; set one above 0'
            )
        self.mode = mode
        self.mixup_enabled = True
        self.mix_prob, self.switch_prob = prob, switch_prob
        self.mixup_alpha, self.cutmix_alpha = mixup_alpha, cutmix_alpha
        self.cutmix_minmax, self.correct_lam = cutmix_minmax, correct_lam
        self.num_classes, self.multi_label = num_classes, multi_label
        self.label_smoothing = label_smoothing

    def __call__(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch."""
        mixes = self._draw(x.shape)
        if self.mode == 'batch':
            _mix_all(x, mixes[0])
        else:
            source = x.clone()
            for i, mix in enumerate(mixes):
                _mix_one(x[i], source[i], source[len(x) - 1 - i], mix)
        return x, self._targets(target, mixes)

    def _draw(self, shape: Sequence[int]) -> list[_Mix]:
        """One mix per image."""
        B = shape[0]
        if self.mode == 'batch':
            return [self._mix(shape, *self._params_per_batch())] * B
        count = B if self.mode == 'elem' else B // 2
        mixes = [self._mix(shape, lam, cut) for lam, cut in zip(*self._params_per_elem(count), strict=True)]
        return mixes if self.mode == 'elem' else mixes + [_Mix()] * (B % 2) + mixes[::-1]

    def _params_per_elem(self, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """What `_params_per_batch` draws, once for each of several images."""
        draws = [self._params_per_batch() for _ in range(batch_size)]
        return np.array([lam for lam, _ in draws]), np.array([cut for _, cut in draws], dtype=bool)

    def _params_per_batch(self) -> tuple[float, bool]:
        """Draw the share that stays, and whether the rest is cut instead of blended."""
        if not self.mixup_enabled or np.random.rand() >= self.mix_prob:
            return 1.0, False
        if self.mixup_alpha > 0 and self.cutmix_alpha > 0:
            cut = np.random.rand() < self.switch_prob
        else:
            cut = self.cutmix_alpha > 0
        alpha = self.cutmix_alpha if cut else self.mixup_alpha
        return float(np.random.beta(alpha, alpha)), bool(cut)

    def _mix(self, shape: Sequence[int], lam: float, cut: bool) -> _Mix:
        if not cut:
            return _Mix(float(lam))
        box, lam = cutmix_bbox_and_lam(shape, lam, self.cutmix_minmax, self.correct_lam)
        return _Mix(float(lam), box)

    def _targets(self, target: Tensor, mixes: list[_Mix]) -> Tensor:
        lams = torch.tensor([[mix.lam] for mix in mixes], dtype=torch.float32, device=target.device)
        return mixup_target(target, self.num_classes, lams, self.label_smoothing, self.multi_label)


class FastCollateMixup(Mixup):
    """Mixes while it makes a batch out of loaded images of bytes: the `collate_fn` of `create_loader`.

    A batch of (C, H, W) uint8 images and targets -> (B, C, H, W) uint8 and (B, K); the first half of each, with the
    middle one of an odd batch, in mode 'half'.
    Outside training, or with `mixup_enabled` off, targets are still dense and smoothed.
    """

    _modes = ('batch', 'pair', 'elem', 'half')
    _enabled: Tensor | None = None

    @property
    def mixup_enabled(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether to mix; workers that are already running follow."""
        return self._enabled is not None and bool(self._enabled)

    @mixup_enabled.setter
    def mixup_enabled(self, enabled: bool) -> None:
        if self._enabled is None:
            self._enabled = torch.tensor(enabled).share_memory_()
        else:
            self._enabled.fill_(enabled)

    def __call__(self, batch: Sequence[tuple[Any, Any]], _: Any = None) -> tuple[Tensor, Tensor]:
        """Batch and mix samples."""
        source = stack_images([sample[0] for sample in batch])
        target = torch.stack([torch.as_tensor(sample[1]) for sample in batch])
        mixes = self._draw(source.shape)
        mixed = source.clone() if any(mix.lam != 1 for mix in mixes) else source
        B = len(source)
        for i, mix in enumerate(mixes):
            _mix_one(mixed[i], source[i], source[B - 1 - i], mix)
        target = self._targets(target, mixes)
        count = (B + 1) // 2 if self.mode == 'half' else B
        return mixed[:count], target[:count]


def _mix_all(x: Tensor, mix: _Mix) -> None:
    if mix.box is not None:
        rows, columns = slice(mix.box[0], mix.box[1]), slice(mix.box[2], mix.box[3])
        x[:, :, rows, columns] = x[:, :, rows, columns].flip(0)
    elif mix.lam != 1:
        partner = x.flip(0).mul_(1.0 - mix.lam)
        x.mul_(mix.lam).add_(partner)


def _mix_one(out: Tensor, image: Tensor, partner: Tensor, mix: _Mix) -> None:
    """Write the mix of two images (C, H, W) over `out`, which holds the first of them."""
    if mix.box is not None:
        rows, columns = slice(mix.box[0], mix.box[1]), slice(mix.box[2], mix.box[3])
        out[:, rows, columns] = partner[:, rows, columns]
    elif mix.lam != 1:
        if out.dtype == torch.uint8:
            out.copy_(image.float().mul_(mix.lam).add_(partner.float(), alpha=1.0 - mix.lam).round_())
        else:
            torch.add(image * mix.lam, partner, alpha=1.0 - mix.lam, out=out)
