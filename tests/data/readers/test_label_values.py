"""Values of a label column become the classes that they stand for, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.data.readers.label_values import as_classes, by_declared
from cifarlab.errors import InputError


def names(*values: Any, **more: Any) -> tuple[str, ...]:
    return as_classes({"train": values}, where="label", **more).names


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1, 5, 9, 1), ("1", "5", "9")),
        ((10, 9, 2), ("2", "9", "10")),
        (("10", "9", "2"), ("2", "9", "10")),
        ((0.0, 2.0, 1.0), ("0", "1", "2")),
        (("0.0", "2.0", "1"), ("0", "1", "2")),
        ((True, False), ("false", "true")),
        ((-1, 1), ("-1", "1")),
        (("b", "a"), ("a", "b")),
        (("class10", "class2"), ("class2", "class10")),
        (("cat", " cat ", "dog"), ("cat", "dog")),
        (("A", "a", "B"), ("A", "B", "a")),
        ((b"cat", b"dog"), ("cat", "dog")),
        (("007", "010"), ("007", "010")),
        (("1", "cat"), ("1", "cat")),
        (("none", "some"), ("none", "some")),
    ],
)
def test_classes_are_the_values_that_occur(values: Any, expected: tuple[str, ...]) -> None:
    assert names(*values) == expected


@pytest.mark.parametrize("missing", [None, math.nan, "", "  ", "nan", -1, "-1", -1.0])
def test_a_missing_label_is_no_class(missing: Any) -> None:
    classes = as_classes({"train": [3, missing, 0]}, where="label")
    assert classes.names == ("0", "3")
    assert classes.labels["train"].tolist() == [1, -1, 0]
    assert classes.notes == ("train: left out 1 images without a label",)


@pytest.mark.parametrize("missing", [None, -1])
def test_a_split_without_any_label_is_unlabelled(missing: Any) -> None:
    classes = as_classes({"train": [0, 1], "test": [missing] * 3}, where="label")
    assert set(classes.labels) == {"train"}
    assert classes.notes == ("test: 3 images without labels are left out",)
    with pytest.raises(InputError, match="no training image has a label"):
        as_classes({"train": [missing] * 3}, where="label")


def test_names_that_differ_in_case_are_one_class_under_the_commoner_spelling() -> None:
    classes = as_classes({"train": ["Cat", "cat", "Cat", "dog"]}, where="label")
    assert classes.names == ("Cat", "dog")
    assert classes.labels["train"].tolist() == [0, 0, 0, 1]
    assert classes.notes == ("Cat, cat are one class, 'Cat': they differ in case only",)


def test_the_same_class_is_aligned_across_splits_and_types() -> None:
    classes = as_classes({"train": [1, 0], "test": ["1.0", "0"]}, where="label")
    assert classes.labels["test"].tolist() == [1, 0]


def test_declared_names_keep_their_order_and_unused_ones_are_said() -> None:
    classes = as_classes({"train": ["b", "a"]}, where="label", declared=("b", "a", "c"))
    assert classes.names == ("b", "a")
    assert classes.notes == ("no images of c, which is left out",)
    assert by_declared(1, ("b", "a"), "label") == "a"
    assert by_declared(-1, ("b", "a"), "label") is None
    with pytest.raises(InputError, match="label 2, but 2 class names allow 0 to 1"):
        by_declared(2, ("b", "a"), "label")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([0.5, 1.0], "holds numbers such as 0.5"),
        ([["cat", "dog"], ["cat"]], "multi-label data, 1 of 2 images have several labels"),
        ([3, 3], "every label is 3; at least 2 classes"),
        (range(10_001), "10,001 different labels; at most 10,000"),
        (["a\x00b", "c"], "is not printable"),
        ([], "no training image has a label"),
    ],
)
def test_values_that_are_no_classes_are_refused(values: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        names(*values)


def test_a_class_that_only_test_has_is_refused() -> None:
    with pytest.raises(InputError, match="class 'fox' is in test and not among the training"):
        as_classes({"train": ["cat", "dog"], "test": ["fox"]}, where="label")


@given(st.lists(st.integers(-5, 300), min_size=2))
def test_no_class_is_without_images_and_numbers_keep_their_value(values: list[int]) -> None:
    distinct = set(values) if set(values) <= {-1, 1} else set(values) - {-1}
    if len(distinct) < 2:
        return
    classes = as_classes({"train": values}, where="label")
    assert list(map(int, classes.names)) == sorted(distinct)
    for value, label in zip(values, classes.labels["train"], strict=True):
        assert label == -1 or int(classes.names[label]) == value


@pytest.mark.parametrize(
    ("values", "names", "labels"),
    [
        ([[3], [5], [3]], ("3", "5"), [0, 1, 0]),
        ([["cat"], ["dog"], []], ("cat", "dog"), [0, 1, -1]),
        ([[0, 1, 0], [0, 0, 1], [0, 1, 0]], ("1", "2"), [0, 1, 0]),
        ([[1.0, 0.0], [0.0, 1.0], None], ("0", "1"), [0, 1, -1]),
        ([[True, False], [False, True], [True, False]], ("0", "1"), [0, 1, 0]),
        (["cat", "NA", "dog"], ("cat", "dog"), [0, -1, 1]),
        (["cat", "n/a", "none"], ("cat", "none"), [0, -1, 1]),
    ],
)
def test_lists_of_one_value_and_missing_ones(
    values: list[Any], names: tuple[str, ...], labels: list[int]
) -> None:
    answer = as_classes({"train": values}, where="label")
    assert answer.names == names
    assert answer.labels["train"].tolist() == labels


@pytest.mark.parametrize("values", [[[1, 1], [0, 1]], [["a", "b"], ["a"]], [[0, 1], [0, 0, 1]]])
def test_lists_of_several_classes_are_refused(values: list[Any]) -> None:
    with pytest.raises(InputError, match=r"multi-label data, .* row 1 \(.*load_multi_label"):
        as_classes({"train": values}, where="label")


@pytest.mark.parametrize("values", [[[0.2, 0.8], [1, 0]], [[{"box": 1}], [{"box": 2}]], [["a"], 1]])
def test_lists_of_something_else_are_refused(values: list[Any]) -> None:
    with pytest.raises(InputError, match="holds lists such as"):
        as_classes({"train": values}, where="label")


def test_cells_of_several_classes_are_refused_whatever_the_source() -> None:
    with pytest.raises(InputError, match=r"multi-label data, 1 of 3 .*row 1 \(cat, dog\)"):
        as_classes({"train": ["cat|dog", "cat", "dog"]}, where="label")
