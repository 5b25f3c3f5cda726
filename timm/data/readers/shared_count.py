"""A count that worker processes which are already running see change."""

import torch

__all__ = ['SharedCount']


class SharedCount:
    """A number in shared memory, such as the current epoch."""

    def __init__(self, epoch: int = 0) -> None:
        self._shared = torch.tensor(epoch).share_memory_()

    @property
    def value(self) -> int:
        """The number, in every process."""
        return int(self._shared)

    @value.setter
    def value(self, epoch: int) -> None:
        self._shared.fill_(epoch)
