"""Pooling that fits the map it gets, so that no side of a map vanishes."""

from __future__ import annotations


def halving(height: int, width: int) -> tuple[int, int]:
    """Return the window, height and width, that halves each side of 2 or more.

    Example:
        >>> halving(7, 39), halving(1, 9), halving(1, 1)
        ((2, 2), (1, 2), (1, 1))
    """
    return min(height, 2), min(width, 2)
