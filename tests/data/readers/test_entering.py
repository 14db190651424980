"""A project folder is entered where one folder can be meant; else the paths to give are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import folder
from cifarlab.data.samples import Rejected
from data.readers.places import DEFAULTS, classes, found, made

CLASSES = ("cat", "dog")


def images(top: str, *splits: str, count: int = 3) -> list[str]:
    tops = [f"{top}/{split}" for split in splits] or [top]
    return [f"{t}/{c}/{i}.png" for t in tops for c in CLASSES for i in range(count)]


@pytest.mark.parametrize(
    "beside",
    [
        ("docs/logo.png", "src/a.py", "README.md"),
        ("docs/img/a.png", "docs/img/b.png"),
        ("logo.png",),
        ("docs/notes.txt", "labels/a.txt"),
        ("samples/1.png", "samples/2.png"),
    ],
)
def test_the_only_folder_with_splits_is_entered_and_said(
    tmp_path: Path, beside: tuple[str, ...]
) -> None:
    made(tmp_path, *images("data", "train", "test"), *(n for n in beside if n.endswith("png")))
    made(tmp_path, **{name: "x" for name in beside if not name.endswith("png")})
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert {split: len(part) for split, part in answer.splits.items()} == {"train": 6, "test": 6}
    assert any(f"read from {tmp_path}/data" in note for note in answer.notes)


@pytest.mark.parametrize("beside", [("docs/a.png", "assets/b.png"), ("logo.png",)])
def test_class_folders_in_a_project_are_entered_and_found_again(
    tmp_path: Path, beside: tuple[str, ...]
) -> None:
    made(tmp_path, *images("data"), *beside)
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == CLASSES
    assert any("left out" in note for note in answer.notes)
    assert classes(folder.find(tmp_path, LoadOptions(**answer.options))) == classes(answer)


def test_images_are_never_read_across_the_splits_of_one_part(tmp_path: Path) -> None:
    made(tmp_path, *images("raw"), *images("processed", "train", "test"))
    answer = folder.find(tmp_path, DEFAULTS)
    assert isinstance(answer, Rejected)
    assert f"give the path of one: {tmp_path}/processed, {tmp_path}/raw" in answer.reason


def test_a_class_with_folders_beside_a_class_without_is_a_class(tmp_path: Path) -> None:
    made(tmp_path, "cat/old/1.png", "cat/young/1.png", "dog/1.png")
    assert found(folder.find(tmp_path, DEFAULTS)).class_names == CLASSES
