# pyright: strict
"""What `timm check` can be told."""

from dataclasses import dataclass, field

from .flags import flag, without
from .options import DataOptions

__all__ = ['CheckOptions', 'ReadOptions']


@dataclass(frozen=True)
class ReadOptions:
    """How images are read, and where the damaged ones are listed."""

    workers: int = flag(4, 'threads that read', '-j', low=1)
    report: str = flag('', 'file for a line of JSON, with path and cause, for each image that cannot be read')


@dataclass(frozen=True)
class CheckOptions:
    """What `timm check` takes."""

    data: DataOptions = field(
        default=DataOptions(input_img_mode='RGB'),
        metadata=without(
            'dataset', 'dataset_download', 'class_map', 'target_key', 'dataset_trust_remote_code', 'bad_images'
        ),
    )
    read: ReadOptions = field(default=ReadOptions())
