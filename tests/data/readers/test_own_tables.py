"""Tables that cifarlab wrote into a data folder are not taken for its labels."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import folder
from cifarlab.data.readers.own_tables import is_own
from cifarlab.data.samples import Rejected
from cifarlab.evaluation.label_issues import LabelIssue
from cifarlab.predicting.rows import Columns
from data.readers.places import DEFAULTS, found, made, write

IMAGES = [f"{i}.png" for i in range(6)]
HEAD = "path,class,confidence,sure,error,model\n"
PREDICTED = HEAD + "".join(f"{name},{'xy'[i % 2]},0.9,true,,abc\n" for i, name in enumerate(IMAGES))
LABELS = "file,label\n" + "".join(f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(IMAGES))


def test_what_is_written_is_recognised() -> None:
    for columns in (
        Columns(model="abc", class_names=("a", "b")),
        Columns(model="abc", class_names=("a", "b", "c"), top=3, probabilities=True),
    ):
        assert is_own(columns.names)
    assert is_own([field.name for field in fields(LabelIssue)])
    assert not is_own(["path", "class"])


@pytest.mark.parametrize("name", ["predictions.csv", "train_predictions.csv", "test.csv"])
def test_predictions_beside_labels_are_left_out_and_said(tmp_path: Path, name: str) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "labels.csv", LABELS)
    write(tmp_path / name, PREDICTED)
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == ("a", "b")
    assert len(answer.splits["train"]) == 6
    assert any(f"{name} was written by cifarlab" in note for note in answer.notes)


def test_predictions_in_lines_of_json_are_known_too(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "labels.csv", LABELS)
    rows = (
        dict(zip(HEAD.strip().split(","), (n, "x", 1, True, "", ""), strict=True)) for n in IMAGES
    )
    write(tmp_path / "train.jsonl", "\n".join(map(json.dumps, rows)))
    assert found(folder.find(tmp_path, DEFAULTS)).class_names == ("a", "b")


def test_predictions_divide_no_class_folders(tmp_path: Path) -> None:
    made(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(3)))
    rows = "".join(f"{c}/{i}.png,a,0.9,true,,abc\n" for c in "ab" for i in range(2))
    write(tmp_path / "test_predictions.csv", HEAD + rows)
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert len(answer.splits["train"]) == 6
    assert not any("not used" in note for note in answer.notes)


def test_they_are_labels_where_they_are_asked_for(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "predictions.csv", PREDICTED)
    answer = folder.find(tmp_path, DEFAULTS)
    assert isinstance(answer, Rejected)
    assert "predictions.csv was written by cifarlab" in answer.reason
    asked = folder.find(tmp_path, LoadOptions(labels="predictions.csv"))
    assert found(asked).class_names == ("x", "y")
