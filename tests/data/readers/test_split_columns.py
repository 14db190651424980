"""Columns that divide the rows of a table: read in every usual form, or refused; never missed."""

from __future__ import annotations

from typing import Any

import pytest

from cifarlab.data.readers.split_columns import divide_rows, may_divide
from cifarlab.errors import InputError

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("split", ["train", "val", "test"]),
        ("Usage", ["Training", "PublicTest", "PrivateTest"]),
        ("subset", ["TRAIN", "dev", "TEST"]),
        ("partition", ["train", "valid", "testing"]),
        ("fold", ["train", "validation", "test"]),
        ("data_split", ["train", "test", "eval"]),
    ],
)
def test_words_are_read_as_the_names_of_folders_are(name: str, values: list[str]) -> None:
    division = divide_rows({name: values}, 3, "t")
    assert division.columns == (name,)
    assert division.splits[0] == TRAIN
    assert sorted(map(str, division.splits)) == [TEST, TRAIN, VALIDATION]


@pytest.mark.parametrize(
    ("columns", "splits"),
    [
        ({"is_test": [0, 1, 0]}, [TRAIN, TEST, TRAIN]),
        ({"isTest": [False, True, False]}, [TRAIN, TEST, TRAIN]),
        ({"is_train": ["True", "False", "True"]}, [TRAIN, TEST, TRAIN]),
        ({"is_training_image": ["1", "0", "1"]}, [TRAIN, TEST, TRAIN]),
        ({"is_valid": ["no", "yes", "no"]}, [TRAIN, VALIDATION, TRAIN]),
        ({"is_val": [0.0, 1.0, 0.0], "is_test": [0, 0, 1]}, [TRAIN, VALIDATION, TEST]),
        ({"is_train": [1, 0, 0], "is_test": [0, 1, 0]}, [TRAIN, TEST, None]),
        ({"train": [1, 0, 0], "val": [0, 1, 0], "test": [0, 0, 1]}, [TRAIN, VALIDATION, TEST]),
        ({"split": ["train", "test", ""]}, [TRAIN, TEST, None]),
        ({"split": ["train", "test", None], "is_test": [0, 1, 0]}, "different ways"),
        ({"split": ["train", "test", "train"], "is_test": [0, 1, 0]}, [TRAIN, TEST, TRAIN]),
        ({"split": [0, 1, 2]}, "'split' holds 0, 1, 2, which name no split"),
        ({"Partition": ["train", "a", "b"]}, "'Partition' holds a, b"),
        ({"is_train": [1, 0, 1], "is_test": [1, 0, 0]}, "row 1: is_train, is_test mark it"),
    ],
)
def test_what_says_the_splits(columns: dict[str, list[Any]], splits: Any) -> None:
    if isinstance(splits, str):
        with pytest.raises(InputError, match=splits):
            divide_rows(columns, 3, "t")
    else:
        assert divide_rows(columns, 3, "t").splits == tuple(splits)


@pytest.mark.parametrize(
    ("columns", "note"),
    [
        ({"fold": [0, 1, 2]}, "column 'fold' (0, 1, 2) is not read as splits"),
        ({"dataset": ["imagenet", "coco", "coco"]}, "'dataset'"),
        ({"split": ["test", "test", "test"]}, "names no training images"),
        ({"is_test": [1, 1, 1]}, "names no training images"),
        # Most images are valid; one class of vehicles.
        ({"is_valid": [1, 1, 0]}, ""),
        ({"train": [1, 0, 0]}, ""),
    ],
)
def test_what_does_not_divide_is_said(columns: dict[str, list[Any]], note: str) -> None:
    division = divide_rows(columns, 3, "t")
    assert division.columns == ()
    assert division.splits == (None, None, None)
    assert note in " ".join(division.notes)


def test_other_columns_are_not_looked_at() -> None:
    assert not any(map(may_divide, ("label", "testimony", "island", "is_healthy", "training_day")))
