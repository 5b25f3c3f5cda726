# pyright: strict
"""Images that cannot be read: what a command does about them, and which were left out."""

from typing import Any

from torch.utils.data import IterableDataset

from timm.data import KeyedDataset

from .distributed import World
from .exits import UsageError, nearest
from .options import DataOptions

__all__ = ['guarded', 'left_out', 'policy_of']

_LISTED = '.jsonl'


def policy_of(options: DataOptions) -> dict[str, Any]:
    """What becomes of images that cannot be read, as arguments of `KeyedDataset`.

    Raises:
        UsageError: It is none of the policies.
    """
    told = options.bad_images
    if told.endswith(_LISTED):
        return {'damaged': 'report', 'report': told}
    if told not in ('raise', 'skip'):
        raise UsageError(f'--bad-images {told} is none of raise, skip, FILE{_LISTED}{nearest(told, ("raise", "skip"))}')
    return {'damaged': told}


def guarded(dataset: Any, options: DataOptions, world: World) -> Any:
    """A dataset to evaluate on, keyed where images that cannot be read are left out, or processes share it.

    Keys share the samples out without repeating any. A stream knows of both from the start.
    """
    policy = policy_of(options)
    if isinstance(dataset, IterableDataset) or (policy['damaged'] == 'raise' and world.size == 1):
        return dataset  # pyright: ignore[reportUnknownVariableType]
    return KeyedDataset(dataset, **policy)


def left_out(dataset: Any) -> set[int]:
    """The indices of the images that were left out so far."""
    return dataset.damage.left_out if isinstance(dataset, KeyedDataset) else set()
