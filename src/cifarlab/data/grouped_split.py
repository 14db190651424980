"""Hold out a share of images without tearing apart what belongs together."""

from __future__ import annotations

from typing import Any

import numpy as np

from cifarlab.data.split import stratified_split
from cifarlab.errors import InputError

# Data without test images give this share of each class.
TEST_FRACTION = 0.1


def hold_out(
    labels: np.ndarray[Any, Any], groups: np.ndarray[Any, Any] | None, fraction: float, seed: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Divide indices so that about ``fraction`` goes to the second part, groups whole.

    Args:
        labels: int64 ``[N]``.
        groups: a key for each, or ``None``, then each class gives its share.
        fraction: share of the second part, above 0 and below 1.
        seed: the same seed gives the same division.

    Returns:
        Two sorted index arrays that together hold 0 to N-1 once each; with groups, neither is
        empty.

    Raises:
        InputError: the fraction is not between 0 and 1, or there is only one group.

    Example:
        >>> groups = np.repeat([0, 1, 2, 3], 2)
        >>> kept, held = hold_out(np.zeros(8, int), groups, 0.25, seed=0)
        >>> len(kept), len(held)
        (6, 2)
    """
    if groups is None:
        return stratified_split(labels, fraction, seed)
    if not 0.0 < fraction < 1.0:
        raise InputError(f"validation fraction {fraction}: it must lie between 0 and 1; use 0.1")
    keys, of_image = np.unique(groups, return_inverse=True)
    if len(keys) < 2:
        raise InputError("all images are of one group, which cannot be divided; group by another")
    wanted = np.bincount(labels) * fraction
    held = np.zeros(len(keys), dtype=bool)
    taken = np.zeros(len(wanted))
    for key in np.random.default_rng(seed).permutation(len(keys)):
        counts = np.bincount(labels[of_image == key], minlength=len(wanted))
        # A group is held out where that brings the classes nearer to their shares.
        nearer = np.abs(taken + counts - wanted).sum() < np.abs(taken - wanted).sum()
        if nearer and held.sum() + 1 < len(keys):
            held[key] = True
            taken += counts
    if not held.any():
        held[np.bincount(of_image).argmin()] = True
    second = np.flatnonzero(held[of_image])
    return np.flatnonzero(~held[of_image]), second
