"""Which epoch is the best one: the first with the best value of what the recipe monitors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cifarlab.recipes.parts import STOPPING_MONITORS
from cifarlab.recipes.recipe import Recipe


def comparable(value: float, monitor: str) -> float:
    """Return what is the lower, the better ``value`` is: infinity for what is not a number.

    Args:
        monitor: the name of the value, one of ``STOPPING_MONITORS``.

    Example:
        >>> comparable(0.4, "val_loss"), comparable(0.9, "val_macro_f1")
        (0.4, -0.9)
    """
    if math.isnan(value):
        return math.inf
    return value if STOPPING_MONITORS[monitor] == "min" else -value


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
    costs = [comparable(row[recipe.monitor], recipe.monitor) for row in history]
    return int(history[costs.index(min(costs))]["epoch"])
