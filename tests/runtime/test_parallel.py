"""Results come in order, few are waiting, and what fails is raised."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.runtime.parallel import in_order


@given(st.lists(st.integers(), max_size=40), st.integers(1, 4), st.integers(1, 9))
def test_results_come_in_the_order_of_the_items(items: list[int], threads: int, ahead: int) -> None:
    assert list(in_order(abs, items, threads=threads, ahead=ahead)) == [abs(i) for i in items]


def test_no_more_items_are_taken_than_may_wait() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = in_order(abs, items(), threads=2, ahead=5)
    assert next(results) == 0
    assert len(taken) == 5
    results.close()
    assert len(taken) == 5
    assert not [t for t in threading.enumerate() if t.name.startswith("abs")]


def test_an_error_of_the_work_is_raised_in_its_place() -> None:
    results = in_order(int, ["1", "x", "3"], threads=2, ahead=2)
    assert next(results) == 1
    with pytest.raises(ValueError, match="invalid literal"):
        next(results)
