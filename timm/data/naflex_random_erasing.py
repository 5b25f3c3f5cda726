"""Random erasing of whole patches: a batch of patches loses the content of rectangles, or of patches here and there.

Paper: Random Erasing Data Augmentation, Zhong et al., 2017, arXiv:1708.04896 (algorithm 1). Departures: sizes are
counted in patches; the content is a constant or normal noise, since it is erased after normalisation; each of several
rectangles has an area of its own.
Shapes: B images, N patches, P and Q rows and columns of a patch, C channels.
"""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ['PatchRandomErasing']


class PatchRandomErasing:
    """Erase patches (B, N, P Q, C) or (B, N, P, Q, C), in place.

    What is drawn is decided where the coordinates are: with those on the host, nothing waits for the patches' device.

    Args:
        erase_prob: Chance that an image is changed.
        patch_drop_prob: Taking patches out of the sequence is not offered here; the models do it.
        min_count: Fewest rectangles of an image that is changed; in mode 'patch', what its area is multiplied by.
        max_count: Most; `min_count` by default.
        min_area: Smallest area of a rectangle, as a share of the patches.
        max_area: Largest.
        min_aspect: Smallest height over width, in patches.
        max_aspect: Largest; the inverse of the smallest by default.
        mode: What replaces the content: 'const' `value`, 'rand' one colour a rectangle (an image, in mode 'patch'),
            'pixel' one colour a pixel.
        spatial_mode: 'region' erases rectangles, 'patch' patches anywhere.
        num_splits: Augmentation splits of a batch, stacked one after the other; the first is left alone if there are
            two or more.
        device: Where the patches are.

    Raises:
        ValueError: A mode that does not exist, or `patch_drop_prob` above 0.
    """

    def __init__(
        self,
        erase_prob: float = 0.5,
        patch_drop_prob: float = 0.0,
        min_count: int = 1,
        max_count: int | None = None,
        min_area: float = 0.02,
        max_area: float = 1 / 3,
        min_aspect: float = 0.3,
        max_aspect: float | None = None,
        mode: str = 'const',
        value: float = 0.0,
        spatial_mode: str = 'region',
        num_splits: int = 0,
        device: str | torch.device = 'cuda',
    ) -> None:
        if patch_drop_prob > 0:
            raise ValueError(
                f'patch_drop_prob={patch_drop_prob}: patches are erased here, never dropped; use the patch_drop_rate '
                'of the model'
            )
        self.erase_prob = erase_prob
        self.patch_drop_prob = patch_drop_prob
        self.min_count = min_count
        self.max_count = max_count or min_count
        self.min_area = min_area
        self.max_area = max_area
        self.log_aspect_ratio = math.log(min_aspect), math.log(max_aspect or 1 / min_aspect)
        self.erase_mode = mode.lower()
        if self.erase_mode not in ('const', 'rand', 'pixel'):
            raise ValueError(f"patches are filled with 'const', 'rand' or 'pixel', got mode {mode!r}")
        self.const_value = value
        self.spatial_mode = spatial_mode
        if spatial_mode not in ('region', 'patch'):
            raise ValueError(f"spatial_mode is 'region' or 'patch', got {spatial_mode!r}")
        self.num_splits = num_splits
        self.device = device

    def __call__(self, patches: Tensor, patch_coord: Tensor, patch_valid: Tensor | None = None) -> Tensor:
        """Erase a batch.

        Args:
            patch_coord: Row and column of each patch, (B, N, 2).
            patch_valid: Which patches are no padding, (B, N); all by default.
        """
        return self._erased(patches, patch_coord, patch_valid, lambda _: (random, None, None))

    def keyed(self, patches: Tensor, patch_coord: Tensor, patch_valid: Tensor | None, seeds: Sequence[int]) -> Tensor:
        """Erase a batch with what is drawn for each image following from its seed; one seed for each in a split."""
        draw, host, device = random.Random(), torch.Generator(), torch.Generator(self.device)

        def seeded(i: int) -> tuple[Any, torch.Generator, torch.Generator]:
            seed = seeds[i % len(seeds)] + i // len(seeds)
            draw.seed(seed)
            host.manual_seed(seed)
            device.manual_seed(seed)
            return draw, host, device

        return self._erased(patches, patch_coord, patch_valid, seeded)

    def _erased(
        self,
        patches: Tensor,
        patch_coord: Tensor,
        patch_valid: Tensor | None,
        draws: Callable[[int], tuple[Any, torch.Generator | None, torch.Generator | None]],
    ) -> Tensor:
        """Erase a batch, drawing for image i from the module `random` or one like it, and from two torch generators."""
        if patches.ndim not in (4, 5):
            raise ValueError(f'patches are (B, N, P Q, C) or (B, N, P, Q, C), got a shape of {tuple(patches.shape)}')
        if patch_valid is None:
            patch_valid = torch.ones(patch_coord.shape[:2], dtype=torch.bool, device=patch_coord.device)
        grids = torch.where(patch_valid[:, :, None], patch_coord, -1).amax(1).add(1).tolist()
        first = len(patches) // self.num_splits if self.num_splits > 1 else 0
        for i in range(first, len(patches)):
            draw, host, device = draws(i)
            if draw.random() > self.erase_prob or not all(grids[i]):
                continue
            count = draw.randint(self.min_count, self.max_count)
            if self.spatial_mode == 'region':
                places = self._regions(patch_coord[i], patch_valid[i], grids[i], count, draw)
            else:
                places = self._scattered(patch_valid[i], count, draw, host)
            for index in places:
                index = index.to(patches.device)
                content = self._content((len(index), *patches.shape[2:]), patches.dtype, device)
                patches[i, index] = content
        return patches

    def _regions(self, coord: Tensor, valid: Tensor, grid: Sequence[int], count: int, draw: Any) -> list[Tensor]:
        """Indices of the patches in each of `count` rectangles; one that ten draws do not place is left out."""
        rows, columns = grid
        y, x = coord.unbind(1)
        places: list[Tensor] = []
        for _ in range(count):
            for _attempt in range(10):
                area = draw.uniform(self.min_area, self.max_area) * rows * columns
                aspect = math.exp(draw.uniform(*self.log_aspect_ratio))
                h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
                if h > rows or w > columns:
                    continue
                top, left = draw.randint(0, rows - h), draw.randint(0, columns - w)
                inside = valid & (y >= top) & (y < top + h) & (x >= left) & (x < left + w)
                index = inside.nonzero()[:, 0]
                if len(index):
                    places.append(index)
                    break
        return places

    def _scattered(self, valid: Tensor, count: int, draw: Any, generator: torch.Generator | None) -> list[Tensor]:
        """Indices of patches anywhere, as many as `count` areas hold."""
        indices = valid.nonzero()[:, 0]
        num_valid = len(indices)
        most = min(num_valid, max(1, int(num_valid * count * self.max_area)))
        least = min(most, max(1, int(num_valid * count * self.min_area)))
        order = torch.randperm(num_valid, generator=generator).to(indices.device)
        return [indices[order[: draw.randint(least, most)]]]

    def _content(self, shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator | None) -> Tensor | float:
        if self.erase_mode == 'const':
            return self.const_value
        if self.erase_mode == 'rand':
            shape = (*[1] * (len(shape) - 1), shape[-1])
        return torch.randn(shape, dtype=dtype, device=self.device, generator=generator)

    def __repr__(self) -> str:
        area, count = (self.min_area, self.max_area), (self.min_count, self.max_count)
        return (
            f'{type(self).__name__}(p={self.erase_prob}, mode={self.erase_mode}, spatial={self.spatial_mode}, '
            f'area={area}, count={count})'
        )
