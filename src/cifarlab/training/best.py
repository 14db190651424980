"""Which epoch is the best one: the first with the lowest validation loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cifarlab.recipes.recipe import Recipe


def comparable(loss: float) -> float:
    """Return ``loss``, or infinity for what is not a number, so that any number is lower."""
    return math.inf if math.isnan(loss) else loss


def chosen_epoch(recipe: Recipe, history: Sequence[Mapping[str, float]]) -> int:
    """Return the epoch (from 1) whose weights a finished run has kept.

    Example:
        >>> from cifarlab.recipes.baseline import BASELINE
        >>> rows = [{"epoch": i, "val_loss": x} for i, x in enumerate([0.9, 0.7, 0.8], start=1)]
        >>> chosen_epoch(BASELINE, rows)
        2
    """
    if recipe.keep == "last":
        return int(history[-1]["epoch"])
    losses = [comparable(row["val_loss"]) for row in history]
    return int(history[losses.index(min(losses))]["epoch"])
