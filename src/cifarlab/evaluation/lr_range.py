"""The result of a learning-rate range test, and the rate that it suggests."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.errors import UsageError
from cifarlab.recipes.recipe import Recipe

# Standard deviation of the kernel that smooths the losses, in powers of ten of the rate.
SMOOTHING = 0.15

Floats = Sequence[float]


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """Losses over learning rates, and the rates that follow from them.

    Rates are those of the recipe's first optimizer; the others' grow by the same factor.

    Attributes:
        recipe: its name.
        rates: ascending, one per measurement: the rate of the step before it.
        losses: mean cross-entropy on held-out images, all finite.
        suggestion: the rate at which the smoothed loss falls fastest, among those where it is
            below ln K, if any, for K classes.
        at_minimum: the rate at which the smoothed loss is lowest; a tenth of it is the other
            common choice.
        recipe_rate: the rate in the recipe.
        stopped_early: whether the loss diverged before the highest rate.
    """

    recipe: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float
    at_minimum: float
    recipe_rate: float
    stopped_early: bool

    @property
    def smoothed(self) -> tuple[float, ...]:
        """The losses without their noise."""
        return smooth(self.rates, self.losses)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        fields = dataclasses.asdict(self)
        for name in ("rates", "losses"):
            fields[name] = list(fields[name])
        return {**fields, "tenth_of_minimum": self.at_minimum / 10}


def judge(
    recipe: Recipe, rates: Floats, losses: Floats, classes: int, *, stopped_early: bool
) -> RangeTest:
    """Return the result of a test from its measurements.

    Args:
        recipe: the recipe under test.
        rates: ascending, one per measurement.
        losses: as many.
        classes: the number of classes.
        stopped_early: whether the loss diverged before the highest rate.

    Raises:
        UsageError: there are fewer than three losses, or the first one is the lowest.
    """
    smoothed = smooth(rates, losses)
    lowest = int(np.argmin(smoothed)) if len(losses) >= 3 else 0
    if lowest == 0 or np.argmin(losses) == 0:
        tried = f"from {rates[0]:.2g} to {rates[-1]:.2g}" if rates else "at the lowest rate"
        raise UsageError(
            f"{recipe.name}: the validation loss never fell {tried}; "
            "try lower rates (--low, --high), or check that images and labels belong together"
        )
    slopes = np.gradient(smoothed, np.log10(rates))
    falling = range(lowest + 1)
    learnt = [i for i in falling if smoothed[i] < math.log(classes)] or falling
    return RangeTest(
        recipe=recipe.name,
        rates=tuple(rates),
        losses=tuple(losses),
        suggestion=rates[min(learnt, key=lambda i: slopes[i])],
        at_minimum=rates[lowest],
        recipe_rate=recipe.optimizers[0].lr,
        stopped_early=stopped_early,
    )


def smooth(rates: Floats, losses: Floats) -> tuple[float, ...]:
    """Average each loss with its neighbours, weighted by a Gaussian over the log of the rate.

    After the lowest loss, losses are capped at the highest loss before it, so that a divergence
    does not affect the values long before it.
    """
    if not len(losses):
        return ()
    capped = np.minimum(losses, max(losses[: int(np.argmin(losses)) + 1]))
    exponents = np.log10(rates)
    apart = (exponents[:, None] - exponents[None, :]) / SMOOTHING
    weights = np.exp(-0.5 * apart**2)
    return tuple(float(x) for x in weights @ capped / weights.sum(axis=1))
