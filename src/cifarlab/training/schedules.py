"""Learning-rate schedules: the factor on a rate as a function of progress."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from typing import Any

from cifarlab.recipes.parts import Constant, Cosine, Linear, Piecewise, Schedule


def constant(_: Constant, __: float) -> float:
    """Always 1."""
    return 1.0


def linear(spec: Linear, progress: float) -> float:
    """Straight up to 1 over the warm-up, then straight to ``spec.end``."""
    if progress < spec.warmup:
        return spec.start + (1.0 - spec.start) * progress / spec.warmup
    if progress >= spec.until:
        return spec.end
    done = (progress - spec.warmup) / (spec.until - spec.warmup)
    return 1.0 + (spec.end - 1.0) * done


def cosine(spec: Cosine, progress: float) -> float:
    """Up to 1 over the warm-up, then down to ``spec.end`` along half a cosine."""
    if progress < spec.warmup:
        return progress / spec.warmup
    done = (progress - spec.warmup) / (1.0 - spec.warmup)
    return spec.end + (1.0 - spec.end) * 0.5 * (1.0 + math.cos(math.pi * done))


def piecewise(spec: Piecewise, progress: float) -> float:
    """Straight from one point to the next, level before the first and after the last."""
    after = bisect.bisect_right([at for at, _ in spec.points], progress)
    if after in (0, len(spec.points)):
        return spec.points[max(0, after - 1)][1]
    (before, low), (at, high) = spec.points[after - 1 : after + 1]
    return low + (high - low) * (progress - before) / (at - before)


SCHEDULES: dict[type, Callable[[Any, float], float]] = {
    Constant: constant,
    Linear: linear,
    Cosine: cosine,
    Piecewise: piecewise,
}


def factor(spec: Schedule, progress: float) -> float:
    """Return what the learning rates are multiplied by.

    Args:
        progress: share of all planned steps that are done, 0 up to but not including 1.
    """
    return SCHEDULES[type(spec)](spec, progress)


def ended(spec: Schedule, progress: float) -> bool:
    """Return whether the rates have come down to 0 for good."""
    if isinstance(spec, Piecewise):
        at, last = spec.points[-1]
        return last == 0.0 and progress >= at
    return isinstance(spec, Linear) and spec.end == 0.0 and progress >= spec.until
