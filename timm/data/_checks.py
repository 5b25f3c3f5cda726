"""Bad numbers, refused by name."""

__all__ = ['check_shares']


def check_shares(**shares: float | None) -> None:
    """Refuse a chance or a share that is none; None stands for a default.

    Raises:
        ValueError: A number below 0, above 1, or none at all.
    """
    for name, share in shares.items():
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f'{name}={share} is not allowed: give a number from 0 to 1')
