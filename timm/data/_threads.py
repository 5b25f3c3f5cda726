"""A loader whose workers are threads: decoding and resizing release the interpreter, and nothing has to be pickled."""

import copy
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils.pin_memory import pin_memory

__all__ = ['ThreadLoader']

_BATCHES_AHEAD = 2  # of each thread, as in a DataLoader


class ThreadLoader(DataLoader[Any]):
    """A DataLoader of a dataset with an index, loading in threads: the same batches in the same order.

    For transforms that draw nothing at random: threads share the generators that transforms draw from.

    Args:
        num_threads: Threads, each of which makes whole batches.
    """

    def __init__(self, dataset: Any, *, num_threads: int, **options: Any) -> None:
        super().__init__(dataset, num_workers=0, **options)
        self.num_threads = num_threads

    def __iter__(self) -> Iterator[Any]:
        assert self.batch_sampler is not None
        own = threading.local()
        torch_threads = torch.get_num_threads()
        # torch computes with one thread in each of these; what it is told there also holds for threads begun later.
        pool = ThreadPoolExecutor(self.num_threads, 'loader', torch.set_num_threads, (1,))
        try:
            places = iter(self.batch_sampler)
            ahead: deque[Future[Any]] = deque()
            for batch in islice(places, _BATCHES_AHEAD * self.num_threads):
                ahead.append(pool.submit(self._load, own, batch))
            while ahead:
                loaded = ahead.popleft().result()
                for batch in islice(places, 1):
                    ahead.append(pool.submit(self._load, own, batch))
                yield loaded
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(torch_threads)

    def _load(self, own: threading.local, places: Any) -> Any:
        if not hasattr(own, 'dataset'):
            own.dataset = _with_own_reader(self.dataset)
        dataset = own.dataset
        if hasattr(dataset, '__getitems__'):
            samples = dataset.__getitems__(places)
        else:
            samples = [dataset[place] for place in places]
        batch = self.collate_fn(samples)
        return pin_memory(batch) if self.pin_memory and torch.cuda.is_available() else batch


def _with_own_reader(dataset: Any) -> Any:
    """A shallow copy of a dataset that reads through a reader of its own, since a reader may keep files open."""
    dataset = copy.copy(dataset)
    if isinstance(getattr(dataset, 'dataset', None), Dataset):
        dataset.dataset = _with_own_reader(dataset.dataset)
    if hasattr(dataset, 'reader'):
        dataset.reader = copy.copy(dataset.reader)
    return dataset
