"""What the tests of streamed readers ask: which samples come, in which batches, for every process and worker."""

from collections import Counter

from torch.utils.data import DataLoader


def number_of(image):
    """The number that a picture of one colour stands for."""
    return image.getpixel((0, 0))[0]


def _numbers(samples):
    return [number_of(image) for image, _ in samples]


def batches(dataset, workers=0, **options):
    """Numbers of the pictures in each batch of a dataset's own size."""
    size = dataset.reader.batch_size
    return list(DataLoader(dataset, batch_size=size, num_workers=workers, collate_fn=_numbers, **options))


def flat(parts):
    """The elements of lists."""
    return [element for part in parts for element in part]


def of_process(dataset, rank, world_size):
    """The dataset as a process of a group sees it."""
    dataset.reader.dist_rank, dataset.reader.dist_num_replicas = rank, world_size
    return dataset


class Worker:
    """Who asks, in place of the worker of a DataLoader: `with_workers` goes through them in this process."""

    def __init__(self, number, count):
        self.id = number
        self.num_workers = count


def with_workers(dataset, workers, monkeypatch):
    """The batches of a dataset in the order in which a DataLoader takes them from so many workers."""
    parts = []
    for number in range(max(1, workers)):
        worker = Worker(number, workers) if workers else None
        monkeypatch.setattr('timm.data.readers._stream.get_worker_info', lambda worker=worker: worker)
        numbers = _numbers(dataset)
        size = dataset.reader.batch_size
        parts.append([numbers[i : i + size] for i in range(0, len(numbers), size)])
    monkeypatch.undo()
    longest = max(map(len, parts))
    return [part[i] for i in range(longest) for part in parts if i < len(part)]


def check_evaluation(make, total, monkeypatch):
    """Every sample once for 1 to 4 processes with 0 to 4 workers, and the stated length where lengths are known."""
    for world_size in range(1, 5):
        for workers in range(5):
            seen = []
            for rank in range(world_size):
                dataset = of_process(make(batch_size=3), rank, world_size)
                got = flat(with_workers(dataset, workers, monkeypatch))
                assert dataset.reader.shard_lengths is None or len(dataset) == len(got)
                seen += got
            assert sorted(seen) == list(range(total)), (world_size, workers)


def check_training(make, total, monkeypatch, all_seen=True):
    """As many full batches for each process, all samples in them, and no more repeated than fill the last ones up."""
    for world_size in range(1, 5):
        steps = -(-total // (3 * world_size))
        for workers in range(5):
            seen = Counter()
            for rank in range(world_size):
                dataset = of_process(make(batch_size=3, is_training=True), rank, world_size)
                got = with_workers(dataset, workers, monkeypatch)
                assert [len(batch) for batch in got] == [3] * steps, (world_size, workers)
                assert len(dataset) == 3 * steps
                seen.update(flat(got))
            if all_seen:
                assert sorted(seen) == list(range(total)), (world_size, workers)


def check_order(make):
    """The order of a training follows from seed and epoch."""
    first = make(batch_size=3, is_training=True)
    again = make(batch_size=3, is_training=True)
    usual = batches(first)
    assert batches(first) == usual
    assert batches(again) == usual
    again.set_epoch(1)
    assert batches(again) != usual
    again.set_epoch(0)
    assert batches(again) == usual
    assert batches(make(batch_size=3, is_training=True, seed=7)) != usual
