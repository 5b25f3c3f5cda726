"""Datasets of patches: batches whose sequence length, patch size and number of samples change from one to the next.

Papers: NaViT, Dehghani et al., 2023, arXiv:2307.06304 (sequence lengths); FlexiViT, Beyer et al., 2022,
arXiv:2212.08013 (patch sizes). Departure from NaViT: a sequence holds one image and is filled up, instead of packing
several.
Shapes: B samples, L places of the sequence, N patches of an image, P and Q rows and columns of a patch, C channels.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, Sampler

from timm.layers.helpers import to_2tuple

from ._collate import collate_targets
from .keyed import KeyedBatch, KeyedDataset, KeyedSampler, SampleKey
from .naflex_transforms import Patchify
from .readers.shared_count import SharedCount
from .scheduled_sampler import ScheduledTransformDataset

__all__ = [
    'NaFlexCollator',
    'NaFlexMapDatasetWrapper',
    'Patchify',
    'SharedCount',
    'calculate_naflex_batch_size',
    'to_2tuple',
]

PatchSize = int | tuple[int, int]

_ROUND: Mapping[str, Callable[[float], int]] = {'floor': math.floor, 'ceil': math.ceil, 'round': round}


def calculate_naflex_batch_size(
    tokens_per_batch: int,
    seq_len: int,
    max_size: int | None = None,
    divisor: int = 1,
    rounding: str = 'floor',
) -> int:
    """How many sequences of `seq_len` tokens a batch of `tokens_per_batch` tokens has; at least one.

    Args:
        max_size: Largest batch; it comes after all rounding.
        divisor: The batch is a multiple of this, where there is at least one of it.
        rounding: To the multiple: 'floor', 'ceil' or 'round'. Without a divisor it is always down.

    Raises:
        ValueError: A sequence of no tokens, another rounding.
    """
    if seq_len < 1:
        raise ValueError(f'a sequence has one token or more, got seq_len {seq_len}')
    if rounding not in _ROUND:
        raise ValueError(f'rounding is {", ".join(_ROUND)}, got {rounding!r}')
    size = tokens_per_batch / seq_len
    size = _ROUND[rounding](size / divisor) * divisor if divisor > 1 else math.floor(size)
    size = max(1, size)
    return size if max_size is None else min(size, max_size)


class NaFlexCollator:
    """Fills sequences of patches up to one length and stacks them.

    Samples of (dict of `Patchify`, target) become (dict, targets): `patches` (B, L, P Q C), or (B, L, P, Q, C)
    unflattened, float32, zero where there is none; `patch_coord` (B, L, 2), int64, zero there; `patch_valid` (B, L),
    bool, False there; and `seq_len`, which is L.

    Args:
        max_seq_len: L; 576 by default. Of a longer sequence the first L patches are kept, the rest of the image is cut
            off: use a transform to at most as many.
    """

    dtype: torch.dtype | None = torch.float32

    def __init__(self, max_seq_len: int | None = None) -> None:
        if max_seq_len is not None and max_seq_len < 1:
            raise ValueError(f'a sequence of {max_seq_len} has no room for one patch: use 1 or more')
        self.max_seq_len = max_seq_len or 576

    def __call__(self, batch: Sequence[tuple[Mapping[str, Tensor], Any]]) -> tuple[dict[str, Any], Tensor]:
        """Batch samples.

        Raises:
            ValueError: Their patches differ in size.
        """
        samples = [sample[0] for sample in batch]
        B, L = len(samples), self.max_seq_len
        first = samples[0]['patches']
        shapes = {tuple(sample['patches'].shape[1:]) for sample in samples}
        if len(shapes) > 1:
            raise ValueError(f'a batch has patches of one size, got {sorted(shapes)}')
        patches = torch.zeros((B, L, *first.shape[1:]), dtype=self.dtype or first.dtype)
        coord = torch.zeros((B, L, 2), dtype=torch.int64)
        valid = torch.zeros((B, L), dtype=torch.bool)
        for i, sample in enumerate(samples):
            N = min(len(sample['patches']), L)
            patches[i, :N] = sample['patches'][:N]
            coord[i, :N] = sample['patch_coord'][:N]
            valid[i, :N] = sample['patch_valid'][:N]
        targets = collate_targets([sample[1] for sample in batch])
        return {'patches': patches, 'patch_coord': coord, 'patch_valid': valid, 'seq_len': L}, targets


class PixelCollator(NaFlexCollator):
    """A `NaFlexCollator` that leaves bytes bytes, which the device makes floats of."""

    dtype = None


class NaFlexMapDatasetWrapper(IterableDataset[Any]):
    """Batches of patches of a dataset of images, each batch with its own sequence length, patch size and size.

    The plan of an epoch, which lengths and patch sizes its batches have and how many samples, is a function of seed and
    epoch. It is equal for any number of workers, and in all processes, which get the same number of batches and at each
    step batches of one shape. Lengths are drawn once for the run, until the samples of a process are used up; an epoch
    changes the order of these batches and draws their patch sizes.

    To be loaded by a DataLoader with `batch_size=None`. `create_naflex_loader` also loads a `KeyedDataset`, by the same
    plan.

    Args:
        base_dataset: Gives (image, target) by index, the image as `transform_factory` takes it.
        patch_size: The one patch size, 16 by default; batches then have flat patches.
        patch_size_choices: Patch sizes to draw from instead; patches then stay images.
        patch_size_choice_probs: How likely each is; equal by default.
        seq_lens: Sequence lengths to draw from.
        max_tokens_per_batch: Tokens in a batch, which its number of samples follows from.
        transform_factory: Makes a transform from image to tensor of `max_seq_len=` and `patch_size=`; by default images
            are tensors already.
        mixup_fn: Takes the images of a batch and their targets and gives both mixed (`NaFlexMixup`).
        distributed: Share the samples with other processes; each sees as many, some twice where they do not divide.
        batch_divisor: Samples in a batch are a multiple of this, except where it does not fit.

    Raises:
        ValueError: No patch size or length to draw from, or no length that fits into a batch.
        TypeError: The dataset has no index, or is keyed.
    """

    def __init__(
        self,
        base_dataset: Any,
        patch_size: PatchSize | None = None,
        patch_size_choices: Sequence[PatchSize] | None = None,
        patch_size_choice_probs: Sequence[float] | None = None,
        seq_lens: Sequence[int] = (128, 256, 576, 784, 1024),
        max_tokens_per_batch: int = 4096 * 4,
        transform_factory: Callable[..., Callable[[Any], Tensor]] | None = None,
        mixup_fn: Callable[..., Any] | None = None,
        seed: int = 42,
        shuffle: bool = True,
        distributed: bool = False,
        rank: int = 0,
        world_size: int = 1,
        epoch: int = 0,
        batch_divisor: int = 8,
        patchify_channels_last: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(base_dataset, KeyedDataset):
            raise TypeError('a KeyedDataset is loaded by create_naflex_loader; here the dataset inside is meant')
        if not hasattr(base_dataset, '__getitem__') or not hasattr(base_dataset, '__len__'):
            raise TypeError(f'samples are planned by their index, which a {type(base_dataset).__name__} does not have')
        self.base_dataset = base_dataset
        self.patch_sizes, self.patch_size_probs = _patch_sizes(patch_size, patch_size_choices, patch_size_choice_probs)
        self.variable_patch_size = patch_size_choices is not None
        self.seq_lens = _sequence_lengths(seq_lens, max_tokens_per_batch)
        self.max_tokens_per_batch = max_tokens_per_batch
        self.batch_divisor = batch_divisor
        self.seed = seed
        self.shuffle = shuffle
        self.distributed = distributed
        self.rank, self.world_size = (rank, world_size) if distributed else (0, 1)
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f'rank {rank} is not one of {world_size} processes')
        self.shared_epoch = SharedCount(epoch)
        self.mixup_fn = mixup_fn
        make = transform_factory or _no_transform
        self.transforms = {
            (seq_len, i): make(max_seq_len=seq_len, patch_size=size)
            for i, size in enumerate(self.patch_sizes)
            for seq_len in self.seq_lens
        }
        self.samples = ScheduledTransformDataset(base_dataset, list(self.transforms.values()))
        patchify = [Patchify(size, not self.variable_patch_size, patchify_channels_last) for size in self.patch_sizes]
        self.collate = PatchCollate(list(self.transforms), patchify, mixup_fn)
        self._lengths = self._spend_samples()

    def _spend_samples(self) -> list[tuple[int, int]]:
        """Draw lengths until the samples of a process are used up: (place in `seq_lens`, samples) of each batch."""
        generator = torch.Generator().manual_seed(self.seed)
        left = math.ceil(len(self.base_dataset) / self.world_size)
        batches: list[tuple[int, int]] = []
        while left:
            i = int(torch.randint(0, len(self.seq_lens), (1,), generator=generator).item())
            tokens = self.max_tokens_per_batch
            size = calculate_naflex_batch_size(tokens, self.seq_lens[i], max_size=left, divisor=self.batch_divisor)
            batches.append((i, size))
            left -= size
        return batches

    def _epoch(self, epoch: int) -> tuple[Tensor, list[tuple[int, int]]]:
        """The order of the dataset's indices, and the plan: (transform, samples in each process) of each batch."""
        generator = torch.Generator().manual_seed(self.seed + epoch)
        length = len(self.base_dataset)
        order, batches = torch.arange(length), self._lengths
        if self.shuffle:
            order = torch.randperm(length, generator=generator)
            batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
        probs = torch.tensor(self.patch_size_probs)
        plan: list[tuple[int, int]] = []
        for i, size in batches:
            patch = int(torch.multinomial(probs, 1, generator=generator).item())
            plan.append((patch * len(self.seq_lens) + i, size))
        return order, plan

    def _prepare_epoch_batches(self, epoch: int) -> list[tuple[int, int, list[int]]]:
        """The batches of this process: sequence length, place of the patch size, indices of the samples."""
        order, plan = self._epoch(epoch)
        start, batches = self.rank, []
        for choice, size in plan:
            stop = start + size * self.world_size
            indices = order[torch.arange(start, stop, self.world_size) % len(order)].tolist()
            patch, length = divmod(choice, len(self.seq_lens))
            batches.append((self.seq_lens[length], patch, indices))
            start = stop
        return batches

    def plan(self, epoch: int) -> list[tuple[int, int]]:
        """The batches of an epoch, each as the place of its (length, patch size) in `transforms`, and its samples."""
        return self._epoch(epoch)[1]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; workers that are already running follow."""
        self.shared_epoch.value = epoch

    def __iter__(self) -> Iterator[tuple[dict[str, Any], Tensor]]:
        epoch = self.shared_epoch.value
        worker = torch.utils.data.get_worker_info()
        own, step = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        with warnings.catch_warnings():
            if own:
                warnings.simplefilter('ignore')  # what a subclass warns of is said once, by the first worker
            batches = self._prepare_epoch_batches(epoch)
        for seq_len, patch, indices in batches[own::step]:
            choice = patch * len(self.seq_lens) + self.seq_lens.index(seq_len)
            yield self.collate.batch([self.samples[index, choice] for index in indices], choice, epoch)

    def __len__(self) -> int:
        """Batches of this process in an epoch."""
        return len(self._lengths)


class NaFlexBatchSampler(Sampler[list[SampleKey]]):
    """The batches of a `NaFlexMapDatasetWrapper` as keys of samples, in the order of a `KeyedSampler`."""

    def __init__(self, sampler: KeyedSampler, planner: NaFlexMapDatasetWrapper) -> None:
        self.sampler = sampler
        self.planner = planner

    def __iter__(self) -> Iterator[list[SampleKey]]:
        return self.sampler.planned(self.planner.plan)

    def __len__(self) -> int:
        return len(self.planner)


class PatchCollate:
    """Makes a batch of patches out of transformed images: mixes them, cuts them up, fills the sequences up.

    Args:
        shapes: (sequence length, place of the patch size) of each choice.
        patchify: For each patch size.
        keeps_bytes: Leave bytes to the device.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int]],
        patchify: Sequence[Patchify],
        mixup_fn: Callable[..., Any] | None = None,
        keeps_bytes: bool = False,
    ) -> None:
        self.shapes = shapes
        self.patchify = patchify
        self.mixup_fn = mixup_fn
        self.keeps_bytes = keeps_bytes

    def __call__(self, batch: list[Any]) -> tuple[dict[str, Any], Tensor]:
        """Batch samples that have keys."""
        assert isinstance(batch, KeyedBatch)
        first = batch.keys[0]
        assert first.choice is not None
        return self.batch(batch, first.choice, first.epoch)

    def batch(self, samples: Sequence[Any], choice: int, epoch: int) -> tuple[dict[str, Any], Tensor]:
        """Batch samples of one choice."""
        images, targets = [sample[0] for sample in samples], [sample[1] for sample in samples]
        if self.mixup_fn is not None:
            if hasattr(self.mixup_fn, 'set_epoch'):
                self.mixup_fn.set_epoch(epoch)  # pyright: ignore[reportFunctionMemberAccess]
            images, targets = self.mixup_fn(images, targets)
        seq_len, patch = self.shapes[choice]
        collate = (PixelCollator if self.keeps_bytes else NaFlexCollator)(seq_len)
        return collate([(self.patchify[patch](image), target) for image, target in zip(images, targets, strict=True)])


def _patch_sizes(
    size: PatchSize | None, choices: Sequence[PatchSize] | None, probs: Sequence[float] | None
) -> tuple[list[tuple[int, int]], list[float]]:
    """The patch sizes to draw from as (height, width), and how likely each is."""
    if choices is None:
        if probs is not None:
            raise ValueError(f'patch_size_choice_probs {probs!r} are about patch_size_choices: give those too')
        return [to_2tuple(16 if size is None else size)], [1.0]  # pyright: ignore[reportReturnType]
    if size is not None:
        raise ValueError(f'give patch_size {size!r} or patch_size_choices {choices!r}, not both')
    if not choices:
        raise ValueError('patch_size_choices is empty: give one patch size or more, or None')
    chances = [1.0] * len(choices) if probs is None else list(probs)
    if len(chances) != len(choices):
        raise ValueError(f'{len(chances)} patch_size_choice_probs for {len(choices)} patch_size_choices: one for each')
    if min(chances) < 0 or not 0 < sum(chances) < math.inf:
        raise ValueError(f'patch_size_choice_probs are numbers from 0 on, not all 0, got {probs!r}')
    return [to_2tuple(choice) for choice in choices], [chance / sum(chances) for chance in chances]  # pyright: ignore


def _sequence_lengths(seq_lens: Sequence[int], tokens: int) -> list[int]:
    """The lengths in order, each once."""
    lengths = sorted(set(seq_lens))
    if not lengths or lengths[0] < 1:
        raise ValueError(f'seq_lens are whole numbers from 1 on, one or more, got {seq_lens!r}')
    if tokens < lengths[0]:
        raise ValueError(
            f'a batch of {tokens} tokens has no room for one sequence of {lengths[0]}: raise max_tokens_per_batch (in '
            'a loader, batch_size), or add a shorter length'
        )
    return lengths


def _no_transform(max_seq_len: int, patch_size: PatchSize) -> Callable[[Any], Any]:  # noqa: ARG001
    return _as_it_is


def _as_it_is(image: Any) -> Any:
    return image
