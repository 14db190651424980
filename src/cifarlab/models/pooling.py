"""Pooling that fits the map it gets, so that no side of a map vanishes."""

from __future__ import annotations


def halving(height: int, width: int, smallest: int = 1) -> tuple[int, int]:
    """Return the window, height and width, that halves each side that stays ``smallest`` or more.

    Example:
        >>> halving(7, 39), halving(1, 9), halving(1, 1)
        ((2, 2), (1, 2), (1, 1))
        >>> halving(4, 8, smallest=4)
        (1, 2)
    """
    return (2 if height // 2 >= smallest else 1), (2 if width // 2 >= smallest else 1)
