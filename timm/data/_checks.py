"""Numbers out of their range, refused by name."""

__all__ = ['check_shares']


def check_shares(**shares: float | None) -> None:
    """Refuse what is no chance or share, but None, which stands for a default.

    Raises:
        ValueError: A number below 0 or above 1, or not a number.
    """
    for name, share in shares.items():
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f'{name}={share} is not allowed: give a number from 0 to 1')
