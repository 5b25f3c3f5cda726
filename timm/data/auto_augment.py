"""AutoAugment, RandAugment and AugMix on PIL images, and the configuration strings that choose them.

Papers: AutoAugment, Cubuk et al., 2018, arXiv:1805.09501; RandAugment, Cubuk et al., 2019, arXiv:1909.13719; AugMix,
Hendrycks et al., 2020, arXiv:1912.02781; DeiT III (the '3a' sets), Touvron et al., 2022, arXiv:2204.07118.
Departures: magnitudes may be drawn around their value; 'Increasing' operations grow stronger with the magnitude
throughout, where some of the originals grow weaker; each operation of RandAugment has a chance of its own.

The operations are in `_augment_ops`, the published policies in `_augment_policies`.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from PIL import Image

from ._augment_ops import (
    _LEVEL_DENOM,
    _RANDOM_INTERPOLATION,
    LEVEL_TO_ARG,
    NAME_TO_OP,
    auto_contrast,
    brightness,
    color,
    contrast,
    desaturate,
    equalize,
    gaussian_blur,
    gaussian_blur_rand,
    invert,
    posterize,
    rotate,
    sharpness,
    shear_x,
    shear_y,
    solarize,
    solarize_add,
    translate_x_abs,
    translate_x_rel,
    translate_y_abs,
    translate_y_rel,
)
from ._augment_ops import _randomly_negate as _randomly_negate
from ._augment_policies import AUGMIX_OPS, POLICIES, RAND_INCREASING_OPS, RAND_OPS, RAND_SETS

__all__ = [
    'LEVEL_TO_ARG',
    'NAME_TO_OP',
    'AugMixAugment',
    'AugmentOp',
    'AutoAugment',
    'RandAugment',
    'augment_and_mix_transform',
    'augmix_ops',
    'auto_augment_policy',
    'auto_augment_policy_3a',
    'auto_augment_policy_original',
    'auto_augment_policy_originalr',
    'auto_augment_policy_v0',
    'auto_augment_policy_v0r',
    'auto_augment_transform',
    'auto_contrast',
    'brightness',
    'color',
    'contrast',
    'desaturate',
    'equalize',
    'gaussian_blur',
    'gaussian_blur_rand',
    'invert',
    'posterize',
    'rand_augment_choices',
    'rand_augment_ops',
    'rand_augment_transform',
    'rotate',
    'sharpness',
    'shear_x',
    'shear_y',
    'solarize',
    'solarize_add',
    'translate_x_abs',
    'translate_x_rel',
    'translate_y_abs',
    'translate_y_rel',
]

HParams = dict[str, Any]
Choices = Sequence[str] | Mapping[str, float]

_HPARAMS_DEFAULT = {'translate_const': 250, 'img_mean': (128, 128, 128)}
_SECTION = re.compile(r'(t|[a-su-z][a-z]*)(.*)')  # letters and a value; what follows a 't' may be letters too


class AugmentOp:
    """One operation: applied with a chance, at a magnitude of 0 to 10 that may be drawn anew each time.

    Args:
        name: Key of `NAME_TO_OP`.
        hparams: `magnitude_std`: deviation of the magnitude, inf to draw it from 0 to `magnitude`;
            `magnitude_max`: upper limit, 10 by default; `translate_const`: pixels of an absolute shift at 10;
            `translate_pct`: share of a relative one; `img_mean`: fill colour; `interpolation`: PIL filter, or
            several to draw from.

    Raises:
        ValueError: There is no operation of this name.
    """

    def __init__(self, name: str, prob: float = 0.5, magnitude: float = 10, hparams: HParams | None = None) -> None:
        if name not in NAME_TO_OP:
            close = get_close_matches(name, NAME_TO_OP) or sorted(NAME_TO_OP)
            raise ValueError(f'no augmentation {name!r}; there is {", ".join(close)}')
        hparams = hparams or _HPARAMS_DEFAULT
        self.name = name
        self.aug_fn: Callable[..., Image.Image] = NAME_TO_OP[name]
        self.level_fn = LEVEL_TO_ARG[name]
        self.prob = prob
        self.magnitude = magnitude
        self.hparams = dict(hparams)
        self.kwargs = {
            'fillcolor': hparams.get('img_mean', _HPARAMS_DEFAULT['img_mean']),
            'resample': hparams.get('interpolation', _RANDOM_INTERPOLATION),
        }
        self.magnitude_std = self.hparams.get('magnitude_std', 0)
        self.magnitude_max = self.hparams.get('magnitude_max')

    def __call__(self, img: Image.Image) -> Image.Image:
        """Apply the operation, or leave the image as it is."""
        if self.prob < 1.0 and random.random() > self.prob:
            return img
        level = self._level()
        arguments = self.level_fn(level, self.hparams) if self.level_fn is not None else ()
        return self.aug_fn(img, *arguments, **self.kwargs)

    def _level(self) -> float:
        level = self.magnitude
        if self.magnitude_std == float('inf'):
            level = random.uniform(0, level)
        elif self.magnitude_std > 0:
            level = random.gauss(level, self.magnitude_std)
        return max(0.0, min(level, self.magnitude_max or _LEVEL_DENOM))

    def __repr__(self) -> str:
        limit = f', mmax={self.magnitude_max}' if self.magnitude_max is not None else ''
        return f'AugmentOp(name={self.name}, p={self.prob}, m={self.magnitude}, mstd={self.magnitude_std}{limit})'


class AutoAugment:
    """One of a policy's sub-policies, drawn anew for each image: its operations, one after the other."""

    def __init__(self, policy: Sequence[Sequence[Callable[[Any], Any]]]) -> None:
        self.policy = policy

    def __call__(self, img: Any) -> Any:
        """Apply a sub-policy."""
        for operation in random.choice(self.policy):
            img = operation(img)
        return img

    def __repr__(self) -> str:
        subs = ''.join(f'\n\t[{", ".join(map(str, sub))}]' for sub in self.policy)
        return f'{type(self).__name__}(policy={subs})'


class RandAugment:
    """`num_layers` of the operations, drawn anew for each image.

    Args:
        choice_weights: Weight of each operation in the draw; each is then drawn at most once.
    """

    def __init__(
        self,
        ops: Sequence[Callable[[Any], Any]],
        num_layers: int = 2,
        choice_weights: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        self.ops = ops
        self.num_layers = num_layers
        self.choice_weights = choice_weights

    def __call__(self, img: Any) -> Any:
        """Apply some of the operations."""
        weights = self.choice_weights
        for i in np.random.choice(len(self.ops), self.num_layers, replace=weights is None, p=weights):
            img = self.ops[i](img)
        return img

    def __repr__(self) -> str:
        return f'{type(self).__name__}(n={self.num_layers}, ops={_listed(self.ops)})'


class AugMixAugment:
    """Mix an image with a mix of differently augmented copies of it (algorithm 1 of the paper).

    Args:
        alpha: Shape of the distributions that the shares are drawn from.
        width: Copies.
        depth: Operations on each; 1 to 3 by draw where it is not positive.
        blended: Blend the copies in one by one, in bytes, instead of adding them up in floats.
    """

    def __init__(
        self,
        ops: Sequence[Callable[[Any], Any]],
        alpha: float = 1.0,
        width: int = 3,
        depth: int = -1,
        blended: bool = False,
    ) -> None:
        self.ops = ops
        self.alpha = alpha
        self.width = width
        self.depth = depth
        self.blended = blended

    def __call__(self, img: Image.Image) -> Image.Image:
        """Mix augmented copies into an image."""
        shares = np.random.dirichlet([self.alpha] * self.width)
        mixed_share = float(np.random.beta(self.alpha, self.alpha))
        chains = [self._augmented(img) for _ in range(self.width)]
        if not self.blended:
            mixed = sum(
                share * np.asarray(chain, dtype=np.float32) for share, chain in zip(shares, chains, strict=True)
            )
            mixed = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
            return Image.blend(img, Image.fromarray(mixed), mixed_share)
        result, so_far = img, 1.0 - mixed_share
        for share, chain in zip(shares * mixed_share, chains, strict=True):
            so_far += share
            result = Image.blend(result, chain, share / so_far if so_far > 0 else 1.0)
        return result

    def _augmented(self, img: Image.Image) -> Image.Image:
        depth = self.depth if self.depth > 0 else np.random.randint(1, 4)
        for i in np.random.choice(len(self.ops), depth, replace=True):
            img = self.ops[i](img)
        return img

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(alpha={self.alpha}, width={self.width}, depth={self.depth}, '
            f'ops={_listed(self.ops)})'
        )


def auto_augment_policy(name: str = 'v0', hparams: HParams | None = None) -> list[list[AugmentOp]]:
    """A published policy as operations: 'original', 'v0', either with an 'r' for posterize that increases, or '3a'.

    Raises:
        ValueError: Another name.
    """
    if name not in POLICIES:
        raise ValueError(f'no AutoAugment policy {name!r}; there is {", ".join(POLICIES)}')
    return [[AugmentOp(*step, hparams=hparams or _HPARAMS_DEFAULT) for step in sub] for sub in POLICIES[name]]


def auto_augment_policy_v0(hparams: HParams) -> list[list[AugmentOp]]:
    """The policy of the EfficientNet code."""
    return auto_augment_policy('v0', hparams)


def auto_augment_policy_v0r(hparams: HParams) -> list[list[AugmentOp]]:
    """That policy with posterize growing stronger with its magnitude."""
    return auto_augment_policy('v0r', hparams)


def auto_augment_policy_original(hparams: HParams) -> list[list[AugmentOp]]:
    """The policy of the AutoAugment paper for ImageNet (table 9)."""
    return auto_augment_policy('original', hparams)


def auto_augment_policy_originalr(hparams: HParams) -> list[list[AugmentOp]]:
    """That policy with posterize growing stronger with its magnitude."""
    return auto_augment_policy('originalr', hparams)


def auto_augment_policy_3a(hparams: HParams) -> list[list[AugmentOp]]:
    """'3-Augment' of DeiT III (section 3): solarize, grey or blur."""
    return auto_augment_policy('3a', hparams)


def auto_augment_transform(config_str: str, hparams: HParams | None = None) -> AutoAugment:
    """AutoAugment by a string: a policy's name, then sections joined by '-': 'original-mstd0.5'.

    Sections: `mstd` deviation of the magnitudes.
    """
    name, sections = _parsed(config_str, {'mstd': float})
    hparams = dict(hparams or _HPARAMS_DEFAULT)
    if 'mstd' in sections:
        hparams['magnitude_std'] = sections['mstd']
    return AutoAugment(auto_augment_policy(name, hparams))


def rand_augment_choices(name: str, increasing: bool = True) -> list[str] | dict[str, float]:
    """The operations of a RandAugment set, with weights where it has them: '' the usual one, 'weights', '3a', '3aw'."""
    if name not in RAND_SETS:
        return list(RAND_INCREASING_OPS if increasing else RAND_OPS)
    chosen = RAND_SETS[name]
    return dict(chosen) if isinstance(chosen, dict) else list(chosen)


def rand_augment_ops(
    magnitude: float = 10,
    prob: float = 0.5,
    hparams: HParams | None = None,
    transforms: Choices | None = None,
) -> list[AugmentOp]:
    """RandAugment's operations, all with one chance and magnitude; `transforms` names others than the usual."""
    return [AugmentOp(name, prob, magnitude, hparams or _HPARAMS_DEFAULT) for name in transforms or RAND_OPS]


def rand_augment_transform(
    config_str: str,
    hparams: HParams | None = None,
    transforms: Choices | None = None,
) -> RandAugment:
    """RandAugment by a string: 'rand', then sections joined by '-': 'rand-m9-mstd0.5-inc1'.

    Sections: `m` magnitude; `n` operations for each image; `p` chance of each; `mstd` deviation of the magnitude,
    above 100 to draw it from 0 on; `mmax` its upper limit; `inc1` operations that increase with it; `t` a set of
    operations by name (see `rand_augment_choices`), unless `transforms` gives them.
    """
    casts = {'m': int, 'n': int, 'p': float, 'mstd': float, 'mmax': int, 'inc': _flag, 't': str}
    name, sections = _parsed(config_str, casts)
    if name != 'rand':
        raise ValueError(f"a RandAugment string starts with 'rand', got {config_str!r}")
    hparams = dict(hparams or _HPARAMS_DEFAULT)
    if 'mstd' in sections:
        hparams.setdefault('magnitude_std', _deviation(sections['mstd']))
    if 'mmax' in sections:
        hparams.setdefault('magnitude_max', sections['mmax'])
    if transforms is None:
        transforms = rand_augment_choices(sections.get('t', ''), sections.get('inc', False))
    ops = rand_augment_ops(sections.get('m', _LEVEL_DENOM), sections.get('p', 0.5), hparams, transforms)
    weights = None
    if isinstance(transforms, Mapping):
        weights = np.array(list(transforms.values())) / sum(transforms.values())
    return RandAugment(ops, sections.get('n', 2), choice_weights=weights)


def augmix_ops(
    magnitude: float = 10,
    hparams: HParams | None = None,
    transforms: Sequence[str] | None = None,
) -> list[AugmentOp]:
    """AugMix's operations, always applied when drawn; `transforms` names others than the usual."""
    return [AugmentOp(name, 1.0, magnitude, hparams or _HPARAMS_DEFAULT) for name in transforms or AUGMIX_OPS]


def augment_and_mix_transform(config_str: str, hparams: HParams | None = None) -> AugMixAugment:
    """AugMix by a string: 'augmix', then sections joined by '-': 'augmix-m5-w4-d2'.

    Sections: `m` magnitude; `w` copies; `d` operations on each; `a` shape of the shares' distributions; `b1` blend in
    bytes; `mstd` deviation of the magnitude, above 100 (and without one) to draw it from 0 on.
    """
    name, sections = _parsed(config_str, {'m': int, 'w': int, 'd': int, 'a': float, 'b': _flag, 'mstd': float})
    if name != 'augmix':
        raise ValueError(f"an AugMix string starts with 'augmix', got {config_str!r}")
    hparams = dict(hparams or _HPARAMS_DEFAULT)
    hparams['magnitude_std'] = _deviation(sections.get('mstd', float('inf')))
    return AugMixAugment(
        augmix_ops(sections.get('m', 3), hparams),
        alpha=sections.get('a', 1.0),
        width=sections.get('w', 3),
        depth=sections.get('d', -1),
        blended=sections.get('b', False),
    )


def _parsed(config: str, casts: Mapping[str, Callable[[str], Any]]) -> tuple[str, dict[str, Any]]:
    """Take a configuration string apart: its name, and section -> value.

    Raises:
        ValueError: A section that is not one of `casts`, or a value that is not of its kind.
    """
    name, *sections = config.split('-')
    values: dict[str, Any] = {}
    for section in sections:
        found = _SECTION.fullmatch(section)
        key, value = found.groups() if found else ('', section)
        if key not in casts:
            raise ValueError(f'{config!r}: no section {section!r}; there is {", ".join(casts)}, each with its value')
        try:
            values[key] = casts[key](value)
        except ValueError as error:
            raise ValueError(f'{config!r}: {value!r} is no value for section {key!r}') from error
    return name, values


def _flag(text: str) -> bool:
    return bool(int(text))


def _deviation(value: float) -> float:
    return float('inf') if value > 100 else value


def _listed(ops: Sequence[Any]) -> str:
    return ''.join(f'\n\t{op}' for op in ops)
