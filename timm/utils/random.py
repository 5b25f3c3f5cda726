"""Seeds."""

import random

import torch

__all__ = ['random_seed']


def random_seed(seed: int = 42, rank: int = 0) -> None:
    """Seed torch, numpy and random with `seed + rank`."""
    import numpy as np  # comes with torchvision, which not everybody installs

    torch.manual_seed(seed + rank)
    np.random.seed(seed + rank)
    random.seed(seed + rank)
