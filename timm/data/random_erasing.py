"""Random erasing: rectangles of normalised images lose their content.

Paper: Random Erasing Data Augmentation, Zhong et al., 2017, arXiv:1708.04896 (algorithm 1). Departures: the content is
zero or normal noise, since it is erased after normalisation; several rectangles share the area of one.
"""

import math
import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._checks import check_shares

__all__ = ['RandomErasing']


class RandomErasing:
    """Erase rectangles of an image (C, H, W), or of each image of a batch (B, C, H, W), in place.

    Args:
        probability: Chance that an image is changed.
        min_area: Smallest area erased, as a share of the image's.
        max_area: Largest; several rectangles share it.
        min_aspect: Smallest height over width.
        max_aspect: Largest; the inverse of the smallest by default.
        mode: What replaces the content: 'const' zero, 'rand' one colour a rectangle, 'pixel' one colour a pixel.
        min_count: Fewest rectangles of an image that is changed.
        max_count: Most; `min_count` by default.
        num_splits: Augmentation splits of a batch, stacked one after the other; the first is left alone if there are
            two or more.
        device: Where the images are.

    Raises:
        ValueError: The mode is none of these, or a number is out of its range.
    """

    def __init__(
        self,
        probability: float = 0.5,
        min_area: float = 0.02,
        max_area: float = 1 / 3,
        min_aspect: float = 0.3,
        max_aspect: float | None = None,
        mode: str = 'const',
        min_count: int = 1,
        max_count: int | None = None,
        num_splits: int = 0,
        device: str | torch.device = 'cuda',
    ) -> None:
        check_shares(probability=probability, min_area=min_area, max_area=max_area)
        if not min_aspect > 0 or (max_aspect is not None and not max_aspect > 0):
            raise ValueError(f'a height over width is above 0, got min_aspect={min_aspect} and max_aspect={max_aspect}')
        self.probability = probability
        self.min_area = min_area
        self.max_area = max_area
        self.log_aspect_ratio = math.log(min_aspect), math.log(max_aspect or 1 / min_aspect)
        self.min_count = min_count
        self.max_count = max_count or min_count
        self.num_splits = num_splits
        self.mode = mode.lower()
        if self.mode not in ('', 'const', 'rand', 'pixel'):
            raise ValueError(f"random erasing fills with 'const', 'rand' or 'pixel', got mode {mode!r}")
        self.rand_color = self.mode == 'rand'
        self.per_pixel = self.mode == 'pixel'
        self.device = device

    def __call__(self, input: Tensor) -> Tensor:
        """Erase an image or a batch."""
        images = [input] if input.ndim == 3 else self._erasable(input)
        for image in images:
            self._erase(image, random, None)
        return input

    def keyed(self, input: Tensor, seeds: Sequence[int]) -> Tensor:
        """Erase a batch with what is drawn for each image following from its seed; one seed for each in a split."""
        draw, generator = random.Random(), torch.Generator(self.device)
        images = self._erasable(input)
        for i, image in enumerate(images, len(input) - len(images)):
            seed = seeds[i % len(seeds)] + i // len(seeds)
            draw.seed(seed)
            generator.manual_seed(seed)
            self._erase(image, draw, generator)
        return input

    def _erasable(self, batch: Tensor) -> Tensor:
        return batch[len(batch) // self.num_splits :] if self.num_splits > 1 else batch

    def _erase(self, image: Tensor, draw: Any, generator: torch.Generator | None) -> None:
        """Erase one image, drawing from the module `random` or a generator like it, and from one of torch's."""
        if draw.random() > self.probability:
            return
        count = draw.randint(self.min_count, self.max_count) if self.min_count < self.max_count else self.min_count
        C, H, W = image.shape
        for _ in range(count):
            for _attempt in range(10):
                area = draw.uniform(self.min_area, self.max_area) * H * W / count
                aspect = math.exp(draw.uniform(*self.log_aspect_ratio))
                h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
                if h < H and w < W:
                    top, left = draw.randint(0, H - h), draw.randint(0, W - w)
                    content = self._content((C, h, w), image.dtype, generator)
                    image[:, top : top + h, left : left + w] = content
                    break

    def _content(
        self, shape: tuple[int, int, int], dtype: torch.dtype, generator: torch.Generator | None
    ) -> Tensor | float:
        if self.mode not in ('rand', 'pixel'):
            return 0.0
        shape = shape if self.per_pixel else (shape[0], 1, 1)
        return torch.randn(shape, dtype=dtype, device=self.device, generator=generator)

    def __repr__(self) -> str:
        count = (self.min_count, self.max_count)
        return f'{type(self).__name__}(p={self.probability}, mode={self.mode}, count={count})'
