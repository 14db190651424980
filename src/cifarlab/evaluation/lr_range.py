"""What a learning-rate range test measured, and which rate follows from it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.errors import UsageError
from cifarlab.recipes.recipe import Recipe

# Width (standard deviation) of what the losses are smoothed with, in powers of ten of the rate.
SMOOTHING = 0.15

Floats = Sequence[float]


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """The losses over the learning rates, and what follows from them.

    Rates are those of the recipe's first optimizer; the others' grow by the same factor.

    Attributes:
        recipe: its name.
        rates: ascending, one a measurement: the rate of the step before it.
        losses: mean cross-entropy on held-out images, all finite.
        suggestion: the rate at which the smoothed loss falls fastest, among those where it is
            below ln K, if any, for K classes.
        at_minimum: the rate at which the smoothed loss is lowest; a tenth of it is the other
            common choice.
        recipe_rate: what the recipe says.
        stopped_early: whether the loss had exploded before the highest rate.
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
    recipe: Recipe, rates: Floats, losses: Floats, classes: int, stopped_early: bool
) -> RangeTest:
    """Return the finished test.

    Raises:
        UsageError: there are fewer than three losses, or the first one is the lowest.
    """
    smoothed = smooth(rates, losses)
    lowest = int(np.argmin(smoothed)) if len(losses) >= 3 else 0
    if lowest == 0 or np.argmin(losses) == 0:
        tried = f"from {rates[0]:.2g} to {rates[-1]:.2g}" if rates else "at the lowest rate"
        raise UsageError(
            f"{recipe.name}: the validation loss never fell {tried}; "
            "try lower rates (--low, --high), or look whether images and labels belong together"
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
    """Average each loss with its neighbours, weighted by a bell curve over the log of the rate.

    After the lowest loss none counts as worse than the worst before it, so that an explosion
    does not reach far back.
    """
    if not len(losses):
        return ()
    capped = np.minimum(losses, max(losses[: int(np.argmin(losses)) + 1]))
    places = np.log10(rates)
    apart = (places[:, None] - places[None, :]) / SMOOTHING
    weights = np.exp(-0.5 * apart**2)
    return tuple(float(x) for x in weights @ capped / weights.sum(axis=1))
