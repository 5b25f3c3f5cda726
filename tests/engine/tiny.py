"""A run small enough for tests: sixteen images of 8x8 in two classes, and a network of one hidden layer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from timm.data import KeyedDataset, create_loader
from timm.engine.batches import TrainBatches
from timm.engine.distributed import World
from timm.engine.precision import Precision
from timm.engine.report import Reporter
from timm.engine.run import Run
from timm.engine.step import Clipping, TrainStep
from timm.engine.store import StateStore
from timm.scheduler import create_scheduler_v2
from timm.task import ClassificationTask

CPU = torch.device('cpu')


class Images:
    """Noise with a brighter red or blue channel; class 0 or 1."""

    def __init__(self, count: int = 16) -> None:
        random = np.random.default_rng(0)
        pixels = random.integers(0, 120, (count, 8, 8, 3), dtype=np.uint8)
        for i in range(count):
            pixels[i, :, :, (0, 2)[i % 2]] += 60
        self.images = [Image.fromarray(image) for image in pixels]
        self.transform: Any = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.images[index]), index % 2


def network() -> nn.Module:
    """What learns to tell red from blue; its dropout draws in training."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(192, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)
    )


def loader(training: bool, batch_size: int = 4, workers: int = 0, count: int = 16) -> Any:
    """A loader over the images."""
    dataset = KeyedDataset(Images(count)) if training else Images(count)
    return create_loader(
        dataset, (3, 8, 8), batch_size, is_training=training, num_workers=workers, device=CPU, scale=(0.5, 1.0)
    )


def make_run(
    folder: Path | None = None,
    *,
    epochs: int = 4,
    lr: float = 0.05,
    accumulate: int = 1,
    batch_size: int = 4,
    count: int = 16,
    ema: bool = False,
    model: nn.Module | None = None,
    sched: str = 'cosine',
    on_updates: bool = False,
    clipping: Clipping | None = None,
    keep: int = 10,
    validate_every: int = 1,
    workers: int = 0,
    amp: torch.dtype | None = None,
) -> Run:
    """A run over the images with AdamW."""
    world, precision = World(CPU), Precision(CPU, amp)
    task = ClassificationTask(model or network(), nn.CrossEntropyLoss(), device=CPU, verbose=False)
    if ema:
        task.setup_ema(decay=0.9)
    optimizer = torch.optim.AdamW(task.get_trainable_module().parameters(), lr=lr)
    train = TrainBatches(loader(True, batch_size, workers, count), accumulate)
    schedule, num_epochs = create_scheduler_v2(
        optimizer, sched, epochs, warmup_epochs=1, step_on_epochs=not on_updates, updates_per_epoch=train.num_updates
    )
    return Run(
        world=world,
        precision=precision,
        task=task,
        optimizer=optimizer,
        schedule=schedule,
        step=TrainStep(task, optimizer, precision, world, clipping, average=ema),
        train=train,
        validation=loader(False),
        report=Reporter(folder),
        store=StateStore(folder, keep) if folder else None,
        num_epochs=num_epochs,
        validate_every=validate_every,
        evaluate_average=ema,
        arch='tiny',
        arguments={'model': 'tiny'},
    )


def differences(a: Any, b: Any, path: str = '') -> list[str]:
    """Where two nested values are not the same to the last bit."""
    if isinstance(a, torch.Tensor):
        return [] if isinstance(b, torch.Tensor) and torch.equal(a, b) else [path]
    if isinstance(a, dict):
        keys = [f'{path}: keys {list(a)} and {list(b)}'] if a.keys() != b.keys() else []
        return keys + [d for k in a for d in differences(a[k], b[k], f'{path}.{k}')]
    if isinstance(a, Sequence) and not isinstance(a, str):
        if len(a) != len(b):
            return [f'{path}: {len(a)} and {len(b)} entries']
        return [d for i, (u, v) in enumerate(zip(a, b, strict=True)) for d in differences(u, v, f'{path}.{i}')]
    return [] if a == b else [f'{path}: {a!r} and {b!r}']
