"""Classes in the names of image files: guessed only where every name tells one."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import folder
from cifarlab.data.samples import Rejected
from cifarlab.errors import InputError, UsageError
from data.readers.places import DEFAULTS, classes, found, made


@pytest.mark.parametrize(
    "pattern",
    ["{}.00{}.jpg", "{}_1{}.png", "{}-{}.jpg", "{} ({}).png", "{}{}.PNG", "{} {}.jpeg", "{}_0{}"],
)
def test_words_and_a_number_are_a_class(tmp_path: Path, pattern: str) -> None:
    names = [pattern.format(c, i) for c in ("great dane", "Cat") for i in (1, 2)]
    answer = found(folder.find(made(tmp_path, *names), DEFAULTS))
    assert answer.class_names == ("Cat", "great dane")
    assert classes(answer) == {
        "train": {n: "great dane" if n.startswith("great") else "Cat" for n in names}
    }
    assert any("from the files' names, by the pattern" in note for note in answer.notes)
    again = folder.find(tmp_path, LoadOptions(**answer.options))
    assert classes(again) == classes(answer)


def test_flat_split_folders_are_splits_and_an_unlabelled_test_folder_is_left_out(
    tmp_path: Path,
) -> None:
    names = [f"train/{c}.{i}.jpg" for c in ("cat", "dog") for i in (1, 2, 3)]
    made(tmp_path, *names, "val/cat.9.jpg", "val/dog.9.jpg", "test/1.jpg", "test/2.jpg")
    answer = found(folder.find(tmp_path, DEFAULTS))
    counts = {split: len(images) for split, images in classes(answer).items()}
    assert counts == {"train": 6, "validation": 2}
    assert any("test: 2 images without labels" in note for note in answer.notes)


@pytest.mark.parametrize(
    "names",
    [
        ("1.jpg", "2.jpg", "3.jpg", "4.jpg"),
        ("cat1.jpg", "cat2.jpg"),
        ("cat1.jpg", "dog1.jpg"),
        ("IMG_1.jpg", "IMG_2.jpg", "DSC_1.jpg", "DSC_2.jpg"),
        ("train_1.jpg", "train_2.jpg", "test_1.jpg", "test_2.jpg"),
        ("cat1.jpg", "cat2.jpg", "dog1.jpg", "dog2.jpg", "sunset.jpg"),
        ("p1_1.jpg", "p1_2.jpg", "p2_1.jpg", "p2_2.jpg"),
    ],
)
def test_names_that_may_be_no_classes_name_the_remedies(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    answer = folder.find(made(tmp_path, *names), DEFAULTS)
    assert isinstance(answer, Rejected)
    assert "--labels FILE" in answer.reason
    assert "--label-pattern" in answer.reason


def test_a_pattern_finds_the_class_in_the_path_below_the_root(tmp_path: Path) -> None:
    made(tmp_path, "a/p1_cat.png", "a/p2_dog.png", "b/p3_cat.png", "b/odd.png")
    answer = found(folder.find(tmp_path, LoadOptions(label_pattern=r"p\d+_(\w+)\.png$")))
    assert classes(answer) == {
        "train": {"a/p1_cat.png": "cat", "a/p2_dog.png": "dog", "b/p3_cat.png": "cat"}
    }
    assert any("left out 1 images without a label" in note for note in answer.notes)
    by_folder = folder.find(tmp_path, LoadOptions(label_pattern=r"^(.)/"))
    assert found(by_folder).class_names == ("a", "b")


def test_a_pattern_that_fits_nothing_or_has_no_group_is_refused(tmp_path: Path) -> None:
    made(tmp_path, "cat1.png", "dog1.png")
    with pytest.raises(InputError, match=r"matches no training image, such as cat1\.png"):
        folder.find(tmp_path, LoadOptions(label_pattern="x(y)z"))
    with pytest.raises(UsageError, match="has no group; put the part"):
        folder.find(tmp_path, LoadOptions(label_pattern="cat|dog"))
    with pytest.raises(InputError, match="every label is cat; at least 2"):
        folder.find(tmp_path, LoadOptions(label_pattern="(cat)"))
