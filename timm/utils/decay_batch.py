"""What to try after an out-of-memory error: may it be retried, and with which batch size."""

import math

__all__ = ['check_batch_size_retry', 'decay_batch_step']

# Errors that no smaller batch cures: a wrong input shape, a fault that leaves the device unusable.
HOPELESS = ('required rank', 'illegal')


def decay_batch_step(batch_size: int, num_intra_steps: int = 2, no_odd: bool = False) -> int:
    """The next batch size below, 0 when there is none.

    Args:
        num_intra_steps: Sizes between a power of two and the next.
        no_odd: Skip odd sizes.
    """
    if batch_size <= 1:
        return 0
    power = 2 ** int(math.log2(batch_size - 1))
    step = max(power // num_intra_steps, 1)
    smaller = power + (batch_size - power - 1) // step * step
    return smaller - smaller % 2 if no_odd else smaller


def check_batch_size_retry(error_str: str) -> bool:
    """Whether a smaller batch may get past the error with this text."""
    return not any(part in error_str.lower() for part in HOPELESS)
