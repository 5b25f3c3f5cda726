"""Checks and casts that stay correct when a forward is traced, scripted or exported."""

from torch import _assert

__all__ = ['_assert', '_float_to_int']


def _float_to_int(x: float) -> int:
    """`int(x)` as a function of its own, so that a symbolic tracer can treat it as a leaf."""
    return int(x)
