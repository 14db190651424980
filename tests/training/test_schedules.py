"""Schedules are factors between 0 and 1 that rise over the warm-up and then never rise again.

A new entry in ``SCHEDULES`` fails here until ``EXAMPLES`` has one for it.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.errors import UsageError
from cifarlab.recipes.parts import Constant, Cosine, Linear, Piecewise
from cifarlab.training.schedules import SCHEDULES, ended, factor

share = st.floats(0.0, 1.0)


@st.composite
def falling(draw: st.DrawFn) -> Piecewise:
    """Points with 1 at progress 0 whose factors never rise."""
    at = sorted(draw(st.sets(st.integers(1, 100), max_size=4)))
    factors = sorted(draw(st.lists(share, min_size=len(at), max_size=len(at))), reverse=True)
    return Piecewise(points=((0.0, 1.0), *((a / 100, f) for a, f in zip(at, factors, strict=True))))


EXAMPLES: dict[type, st.SearchStrategy[Any]] = {
    Constant: st.just(Constant()),
    Linear: st.builds(Linear, warmup=share, end=share, start=share),
    Cosine: st.builds(Cosine, warmup=share, end=share),
    Piecewise: falling(),
}

any_schedule = st.one_of(*EXAMPLES.values())
progress = st.floats(0.0, 1.0, exclude_max=True)


def warmup(spec: Any) -> float:
    return float(getattr(spec, "warmup", 0.0))


def end(spec: Any) -> float:
    if isinstance(spec, Piecewise):
        return spec.points[-1][1]
    return float(getattr(spec, "end", 1.0))


def test_every_schedule_has_an_example() -> None:
    assert set(EXAMPLES) == set(SCHEDULES)


@given(any_schedule, progress)
def test_factors_lie_between_0_and_1(spec: Any, done: float) -> None:
    assert 0.0 <= factor(spec, done) <= 1.0


@given(any_schedule, progress, progress)
def test_it_rises_over_the_warm_up_and_never_after_it(spec: Any, one: float, two: float) -> None:
    early, late = sorted((one, two))
    if late <= warmup(spec):
        assert factor(spec, early) <= factor(spec, late)
    elif early >= warmup(spec):
        assert factor(spec, early) >= factor(spec, late)


@given(any_schedule.filter(lambda spec: warmup(spec) < 1.0))
def test_it_is_1_when_the_warm_up_is_over_and_near_its_end_at_the_end(spec: Any) -> None:
    assert factor(spec, warmup(spec)) == 1.0
    assert factor(spec, 1.0) == pytest.approx(end(spec))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (Constant(), [1.0, 1.0, 1.0, 1.0]),
        (Linear(), [1.0, 0.75, 0.5, 0.25]),
        (Linear(end=0.2), [1.0, 0.8, 0.6, 0.4]),
        (Linear(warmup=0.5), [0.0, 0.5, 1.0, 0.5]),
        (Linear(warmup=0.5, start=0.2), [0.2, 0.6, 1.0, 0.5]),
        (Linear(until=0.5), [1.0, 0.5, 0.0, 0.0]),
        (Linear(end=0.4, until=0.5), [1.0, 0.7, 0.4, 0.4]),
        (Piecewise(points=((0.25, 0.8), (0.75, 0.4))), [0.8, 0.8, 0.6, 0.4]),
        (Piecewise(points=((0.0, 1.0), (0.5, 0.0))), [1.0, 0.5, 0.0, 0.0]),
        (Cosine(), [1.0, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5]),
        (Cosine(warmup=0.25, end=0.1), [0.0, 1.0, 0.775, 0.325]),
    ],
)
def test_golden_values_at_each_quarter(spec: Any, expected: list[float]) -> None:
    assert [factor(spec, i / 4) for i in range(4)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (Constant(), [False, False, False, False]),
        (Cosine(), [False, False, False, False]),
        (Linear(warmup=0.5), [False, False, False, False]),
        (Linear(until=0.5), [False, False, True, True]),
        (Linear(end=0.1, until=0.5), [False, False, False, False]),
        (Piecewise(points=((0.0, 1.0), (0.5, 0.0))), [False, False, True, True]),
        (Piecewise(points=((0.0, 1.0), (0.5, 0.1))), [False, False, False, False]),
    ],
    ids=str,
)
def test_a_schedule_has_ended_once_its_rate_is_0_for_good(spec: Any, expected: list[bool]) -> None:
    assert [ended(spec, i / 4) for i in range(4)] == expected


@pytest.mark.parametrize("points", [(), ((0.5, 1.0), (0.2, 0.0)), ((0.5, 1.0), (0.5, 0.0))])
def test_points_that_do_not_ascend_are_refused(points: Any) -> None:
    with pytest.raises(UsageError, match="ascending"):
        Piecewise(points=points)
