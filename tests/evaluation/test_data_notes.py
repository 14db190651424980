"""What is worth knowing of a dataset is said with its remedy, by training and checking alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cifarlab.data.dataset import Dataset, Split
from cifarlab.evaluation.data_notes import GROUP_PATTERN, classes_without_images, data_notes
from cifarlab.recipes.baseline import BASELINE
from cifarlab.training.remarks import opening_lines


def dataset(names: Sequence[str] = (), counts: Sequence[int] = (20, 20), **load: Any) -> Dataset:
    """Return made-up images, of which a fifth is for testing and a fifth for validation."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.zeros((len(labels), 16, 16, 3), np.uint8)
    split = Split(images=images, labels=labels, names=tuple(names))
    place = np.arange(len(labels)) % 5
    train, validation, test = (
        split.subset(np.flatnonzero(which)) for which in (place > 1, place == 0, place == 1)
    )
    return Dataset(
        name="made up",
        source="memory",
        class_names=tuple("abcdef"[: len(counts)]),
        train=train,
        validation=validation,
        test=test,
        loading=load,
    )


def test_nothing_is_said_of_plain_data() -> None:
    assert list(data_notes(dataset())) == []


def test_uneven_classes_with_the_remedy() -> None:
    (line,) = data_notes(dataset(counts=(100, 10)))
    assert "60 images of a, 6 of b" in line
    assert "--class-weights balanced" in line
    (line,) = data_notes(dataset(counts=(100, 10)), evened_out=True)
    assert "--class-weights" not in line


@pytest.mark.parametrize(("bits", "white"), [(10, "1,023"), (12, "4,095"), (14, "16,383")])
def test_how_16_bit_files_are_scaled(bits: int, white: str) -> None:
    (line,) = data_notes(dataset(bits=bits))
    assert f"taken as {bits}-bit: {white} is white" in line
    assert list(data_notes(dataset(bits=16))) == []


def names(template: str, groups: int, images: int = 40) -> list[str]:
    return [template.format(i % groups, i) for i in range(images)]


@pytest.mark.parametrize(
    "template",
    ["a/patient{:02d}_{:03d}.png", "video{}-frame{:04d}.jpg", "a/s{}/cam2 view {}.png", "p{}_{}"],
)
def test_names_that_look_like_groups_with_a_pattern_that_keeps_them(template: str) -> None:
    data = dataset(names(template, groups=4))
    lines = list(data_notes(data))
    if "cam2" in template:
        # All are of one camera.
        assert lines == []
        return
    (line,) = lines
    assert "look like 4 groups" in line
    assert f"--group-by '{GROUP_PATTERN}'" in line
    assert list(data_notes(replace(data, loading={"group_by": "x"}))) == []


@pytest.mark.parametrize(
    "template", ["a/cat_{1:03d}.png", "row {1}", "IMG_{1}.jpg", "{1}.png", "x"]
)
def test_names_that_only_number_the_images_say_nothing(template: str) -> None:
    assert list(data_notes(dataset([template.format(i, i) for i in range(40)]))) == []


def test_groups_that_are_the_classes_say_nothing() -> None:
    assert list(data_notes(dataset(names("n0{}_{}.JPEG", groups=2)))) == []


def test_groups_of_hardly_more_than_one_image_say_nothing() -> None:
    assert list(data_notes(dataset(names("scan{}_{}.png", groups=20)))) == []


def test_training_says_the_same() -> None:
    data = dataset(names("patient{}_{}.png", groups=4), bits=12)
    said = list(opening_lines(BASELINE, BASELINE, data))
    assert [line for line in data_notes(data) if line not in said] == []
    assert len(list(data_notes(data))) == 2


def test_classes_without_images_are_said_once() -> None:
    made = replace(dataset(), class_names=("a", "b", "c"))
    line = "no images for training, so never learnt: c"
    assert list(classes_without_images(made)) == [line]
    assert line not in list(data_notes(made))
    assert line in list(opening_lines(BASELINE, BASELINE, made))
    # What is read from files has been warned of when it was read.
    read = replace(made, loading={"skip_bad": False})
    assert line not in list(opening_lines(BASELINE, BASELINE, read))


def test_classes_that_may_be_in_the_names_of_files_are_pointed_out() -> None:
    patients = [f"{'ab'[i // 20]}/{('cat', 'dog')[i % 2]}_{i}.png" for i in range(40)]
    (line,) = data_notes(dataset(patients))
    assert "called after cat, dog: if these are the classes" in line
    assert "--label-pattern '" in line
    assert list(data_notes(dataset(patients, label_pattern="(cat|dog)"))) == []


@pytest.mark.parametrize("words", [("cat", "cat"), ("img", "dsc"), ("IMG", "left")])
def test_names_that_are_no_classes_are_not(words: tuple[str, str]) -> None:
    made = [f"{'ab'[i // 20]}/{words[i % 2]}_{i}.png" for i in range(40)]
    assert list(data_notes(dataset(made))) == []


def test_classes_of_folders_in_the_names_too_are_not() -> None:
    made = [f"{'ab'[i // 20]}/{('cat', 'dog')[i // 20]}_{i}.png" for i in range(40)]
    assert list(data_notes(dataset(made))) == []
