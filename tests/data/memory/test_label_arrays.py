"""Labels of any usual form become class names and indices, or are refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.data.memory.image_arrays import UnsuitableError
from cifarlab.data.memory.label_arrays import number_classes, plain_labels

INTEGERS = st.lists(st.integers(0, 9), min_size=2, max_size=30)


@given(INTEGERS)
def test_every_form_of_the_same_labels_gives_the_same(labels):
    expected = np.array(labels)
    forms = (
        labels,
        tuple(labels),
        expected.astype(np.uint8),
        expected.astype(np.float32),
        expected[:, None],
        np.eye(10)[labels],
        np.eye(10, dtype=bool)[labels],
        np.array(labels, dtype=object),
    )
    for form in forms:
        found = plain_labels(form, len(labels), "y")
        assert found.dtype == np.int64
        assert (found == expected).all()


@given(INTEGERS.filter(lambda labels: len(set(labels)) > 1))
def test_numbering_keeps_the_class_of_every_image(labels):
    names, numbers = number_classes({"train": np.array(labels)})
    assert [int(names[number]) for number in numbers["train"]] == labels
    assert set(numbers["train"]) == set(range(len(names)))


def test_integers_from_1_or_with_gaps_make_no_class_without_images():
    assert number_classes({"train": np.array([1, 2, 3])})[0] == ("1", "2", "3")
    names, numbers = number_classes({"train": np.array([9, 1, 5, 1])})
    assert names == ("1", "5", "9")
    assert numbers["train"].tolist() == [2, 0, 1, 0]


def test_string_labels_are_ordered_with_numbers_in_numeric_order():
    labels = plain_labels(["c10", "c9", b"c1"], 3, "y")
    names, numbers = number_classes({"train": labels})
    assert names == ("c1", "c9", "c10")
    assert numbers["train"].tolist() == [2, 1, 0]


def test_labels_of_another_split_are_aligned_by_value():
    _, numbers = number_classes({"train": np.array([7, 3]), "test": np.array([3, 3])})
    assert numbers["test"].tolist() == [0, 0]
    labels = {"train": np.array(["b", "a"]), "test": np.array(["b"])}
    assert number_classes(labels)[1]["test"].tolist() == [1]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([0.5, 1.0], "0.5 of image 0 is no whole number"),
        ([float("nan"), 1.0], "image 0 has no label"),
        (["a", None], "image 1 has no label"),
        ([1, None], "int|no label"),
        (["a", 1, 2.5], "2 images"),
        ([0, 1, 2], "3 labels for 2 images"),
        (3, "one label for 2 images"),
        ([[1, 1, 0], [0, 1, 0]], "row 0 marks 2 of 3 classes .multi-label"),
        ([[0, 0], [0, 1]], "row 0 marks 0 of 2"),
        ([[0.3, 0.7], [1, 0]], "probabilities"),
        ([[3, 4], [5, 6]], "not one-hot"),
        ([["a", "b"], ["c", "d"]], "several classes"),
        ([[0], [1, 2]], "different lengths"),
        (np.zeros((2, 2, 2)), "give .N., .N, 1. or .N, K."),
        (np.array([1 + 2j, 3]), "complex"),
        (np.array([2**63 + 1, 1], np.uint64), "too large"),
    ],
)
def test_other_labels_are_refused_with_the_reason(labels, reason):
    with pytest.raises(UnsuitableError, match=f"^y: .*(?:{reason})"):
        plain_labels(labels, 2, "y")


def test_mixed_types_are_refused():
    with pytest.raises(UnsuitableError, match="labels are int, str"):
        plain_labels(np.array(["a", 1], dtype=object), 2, "y")


@pytest.mark.parametrize(
    ("labels", "class_names", "reason"),
    [
        ([0, 0], None, "1 class"),
        ([0, 1], ["a"], "1 class"),
        ([0, 1], ["a", "a"], "'a' repeats"),
        ([0, 1], ["a", "\x1b[31m"], "can be shown"),
        ([0, 1], ["a", " "], "can be shown"),
        ([1, 2], ["a", "b"], "label 2 is none of the 2 classes"),
        ([-1, 1], ["a", "b"], "label -1"),
        (["Cat", "cat"], None, "case or blanks"),
        (["cat", "cat "], None, "case or blanks"),
        (["a", "b"], ["a", "c"], "label b is none"),
    ],
)
def test_classes_that_cannot_be_are_refused(labels, class_names, reason):
    with pytest.raises(UnsuitableError, match=reason):
        number_classes({"train": np.array(labels)}, class_names)


def test_too_many_classes_are_no_labels():
    with pytest.raises(UnsuitableError, match="are these labels"):
        number_classes({"train": np.arange(10_001)})


def test_class_names_may_differ_in_case_where_the_user_gives_them():
    names = ["A", "a"]
    assert number_classes({"train": np.array([0, 1])}, names)[0] == ("A", "a")


def test_another_split_has_the_classes_of_train():
    with pytest.raises(UnsuitableError, match=r"test: label 7 is none of the 2 classes \(0 to 1\)"):
        number_classes({"train": np.array([0, 1]), "test": np.array([7])})
    with pytest.raises(UnsuitableError, match="test: labels are strings, those of train are num"):
        number_classes({"train": np.array([0, 1]), "test": np.array(["0"])})


def test_minus_one_beside_other_numbers_is_no_class():
    with pytest.raises(UnsuitableError, match=r"2 labels are -1, .*leave these images out"):
        number_classes({"train": np.array([-1, 0, 1, -1])})
    names, labels = number_classes({"train": np.array([-1, 1, 1])})
    assert (names, labels["train"].tolist()) == (("-1", "1"), [0, 1, 1])
