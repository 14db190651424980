"""Which labels a cell holds, and when cells show by themselves that they hold several."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.data.multi_label.cells import hold_several, labels_of
from cifarlab.errors import InputError

WORDS = st.lists(st.sampled_from(["cat", "dog", "golden-owl", "7"]), unique=True, min_size=1)


@given(st.lists(WORDS, min_size=1), st.sampled_from([";", "|", ",", "; ", " , "]))
def test_marked_text_is_divided_and_blanks_around_are_nothing(
    rows: list[list[str]], mark: str
) -> None:
    assert labels_of([mark.join(row) for row in rows], "column") == [tuple(row) for row in rows]


@given(st.lists(st.lists(st.sampled_from(["cat", "a;b", "x y"]), unique=True), min_size=1))
def test_lists_are_taken_as_they_are_and_as_text_too(rows: list[list[str]]) -> None:
    expected = [tuple(row) for row in rows]
    assert labels_of(rows, "column") == expected
    assert labels_of([str(row) for row in rows], "column") == expected


@given(st.integers(2, 5).flatmap(lambda k: st.lists(st.lists(st.integers(0, 1), min_size=k, max_size=k), min_size=1)))  # fmt: skip  # noqa: E501
def test_rows_of_zeros_and_ones_mark_classes_by_position(rows: list[list[int]]) -> None:
    expected = [tuple(i for i, v in enumerate(row) if v) for row in rows]
    assert labels_of(rows, "column") == expected
    assert labels_of([[float(v) for v in row] for row in rows], "column") == expected
    assert labels_of([str(row).replace(",", "") for row in rows], "column") == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["16 0", "5 1 2", "25"], [("16", "0"), ("5", "1", "2"), ("25",)]),
        (["cat dog", "cat", "dog"], [("cat", "dog"), ("cat",), ("dog",)]),
        (["golden retriever", "cat"], [("golden retriever",), ("cat",)]),
        (["cat;", ";dog", "cat;;dog"], [("cat",), ("dog",), ("cat", "dog")]),
        (["cat", None, float("nan"), "", "n/a"], [("cat",), None, None, None, None]),
        (["[]", "['cat']"], [(), ("cat",)]),
        (["[cat, dog]", "[dog]"], [("cat", "dog"), ("dog",)]),
        ([["cat", None], None, []], [("cat",), None, ()]),
        ([3, 5], [(3,), (5,)]),
    ],
)
def test_labels_of_cells(values: list[Any], expected: list[Any]) -> None:
    assert labels_of(values, "column") == expected


@pytest.mark.parametrize(
    ("values", "several"),
    [
        (["cat|dog", "cat", "dog"], True),
        (["cat;dog", "cat;bird", "bird;dog"], True),
        (["cat dog", "cat", "dog"], True),
        (["1 2", "2 3 4"], True),
        ([["cat", "dog"], ["cat"]], True),
        (["['cat', 'dog']", "['cat']"], True),
        (["cat", "dog"], False),
        (["golden retriever", "grey cat", "cat"], False),
        (["Pneumonia, viral", "Pneumonia, bacterial", "none"], False),
        (["animal|dog", "animal|cat", "plant|rose"], False),
        (["red apple", "green apple", "red pear", "green pear"], False),
        ([f"Apple {c} {n}" for c in ("Red", "Golden") for n in (1, 2)] + ["Cherry 1"], False),
        ([["cat"], ["dog"]], False),
        ([[0, 1], [1, 0]], False),
        ([1, 2.5, None], False),
    ],
)
def test_cells_that_hold_several_are_told_from_names(values: list[Any], several: bool) -> None:
    assert hold_several(values) is several


def test_lists_of_lists_are_one_line() -> None:
    with pytest.raises(InputError, match=r"column: a list holds \{'name': 'cat'\}; list"):
        labels_of([[{"name": "cat"}]], "column")


def test_text_that_is_nested_too_deeply_is_no_list() -> None:
    (labels,) = labels_of(["[" * 4_000 + "]" * 4_000], "column")
    assert labels is not None
    assert len(labels) == 1


@given(st.lists(st.text(max_size=12) | st.none() | st.integers(), min_size=1))
def test_any_cells_have_labels(values: list[Any]) -> None:
    assert len(labels_of(values, "column")) == len(values)
    assert hold_several(values) in (True, False)
