"""Words for numbered classes: taken from a file that has one for each, never by a guess."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarlab.data.readers import folder
from cifarlab.data.readers.class_name_files import is_called_so
from data.readers.places import DEFAULTS, classes, found, made, write

IMAGES = ("a.png", "b.png", "c.png", "d.png")
FROM_0 = "file,label\na,0\nb,1\nc,1\nd,0\n"
FROM_1 = "file,label\na,1\nb,2\nc,2\nd,1\n"
EXPECTED = {"train": {"a.png": "cat", "b.png": "dog", "c.png": "dog", "d.png": "cat"}}


@pytest.mark.parametrize(
    ("table", "name", "text"),
    [
        (FROM_0, "classes.txt", "cat\ndog\n"),
        (FROM_0, "class_names.txt", "cat\r\ndog\r\nbird\r\n"),
        (FROM_1, "classes.txt", "cat\ndog"),
        (FROM_1, "labels.txt", "1 cat\n2 dog"),
        (FROM_0, "obj.names", "0: cat\n1: dog"),
        (FROM_0, "classes.txt", "cat,0\ndog,1"),
        (FROM_0, "label_map.json", '{"0": "cat", "1": "dog"}'),
        (FROM_1, "label_map.json", '{"cat": 1, "dog": 2}'),
        (FROM_0, "id2label.json", '{"1": "dog", "0": "cat"}'),
        (FROM_0, "classes.json", '["cat", "dog"]'),
    ],
)
def test_names_for_numbers(tmp_path: Path, table: str, name: str, text: str) -> None:
    made(tmp_path, *IMAGES, labels_csv=table)
    write(tmp_path / name, text)
    answer = folder.find(tmp_path, DEFAULTS)
    assert classes(answer) == EXPECTED
    assert f"class names from {name}" in found(answer).notes
    assert tmp_path / name in found(answer).files


@pytest.mark.parametrize(
    ("table", "text", "note"),
    [
        # One class too few, and the same name twice.
        (FROM_0, "cat", ""),
        (FROM_0, "cat\ncat", ""),
        (FROM_1, "cat\ndog\nbird", "whether it counts from 0 or from 1"),
    ],
)
def test_a_list_that_does_not_fit_changes_nothing(
    tmp_path: Path, table: str, text: str, note: str
) -> None:
    made(tmp_path, *IMAGES, labels_csv=table)
    write(tmp_path / "classes.txt", text)
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert all(name.isdecimal() for name in answer.class_names)
    assert note in " ".join(answer.notes)


def test_lists_that_differ_change_nothing(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES, labels_csv=FROM_0)
    write(tmp_path / "classes.txt", "cat\ndog")
    write(tmp_path / "names.txt", "dog\ncat")
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == ("0", "1")
    assert any("they differ" in note for note in answer.notes)


def test_numbered_folders_are_named_too(tmp_path: Path) -> None:
    made(tmp_path, "0/a.png", "1/b.png", "0/c.png")
    write(tmp_path / "classes.txt", "cat\ndog")
    assert found(folder.find(tmp_path, DEFAULTS)).class_names == ("cat", "dog")


def test_tables_are_not_lists_of_names() -> None:
    tables = ("labels.json", "train.csv", "metadata.jsonl", "index.html", "labels.csv", "a.txt")
    assert not any(is_called_so(Path(name)) for name in tables)
