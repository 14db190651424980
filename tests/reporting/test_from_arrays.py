"""Predictions of other programs: read strictly, reported like those of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cifarlab.errors import InputError
from cifarlab.reporting.from_arrays import read_prediction_files, report_predictions
from reporting.test_page import Page, looked_up


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    draws = np.random.default_rng(0)
    rows = draws.dirichlet(np.ones(3), 40)
    np.save(tmp_path / "p.npy", rows)
    np.save(tmp_path / "y.npy", draws.integers(0, 3, 40))
    (tmp_path / "names.txt").write_text("cat\ndög\n<i>\n", encoding="utf-8")
    return {"p": tmp_path / "p.npy", "y": tmp_path / "y.npy", "names": tmp_path / "names.txt"}


def test_page_and_numbers_agree(files: dict[str, Path], tmp_path: Path) -> None:
    predictions = read_prediction_files(files["y"], files["p"], files["names"])
    assert predictions.class_names == ("cat", "dög", "<i>")
    html = report_predictions(predictions, tmp_path / "out").read_text(encoding="utf-8")
    document = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    page = Page(html)
    for key, values in page.numbers.items():
        assert values == {repr(looked_up(document, key, predictions.class_names))}, key


def test_without_names_classes_are_counted(files: dict[str, Path]) -> None:
    assert read_prediction_files(files["y"], files["p"], None).class_names == (
        "class 0",
        "class 1",
        "class 2",
    )


def damaged(name: str) -> tuple[str, object]:
    rows = np.full((4, 2), 0.5)
    return {
        "pickle": ("p", np.array([{}], dtype=object)),
        "logits": ("p", rows * 7),
        "negative": ("p", np.array([[1.5, -0.5]] * 4)),
        "nan": ("p", rows * np.nan),
        "whole numbers": ("p", rows.astype(int)),
        "one row": ("p", rows[0]),
        "fractions": ("y", np.array([0.5, 1.0])),
        "too few": ("y", np.zeros(3, int)),
        "names": ("names", "only one\n"),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        *("pickle", "logits", "negative", "nan", "whole numbers", "one row"),
        *("fractions", "too few", "names"),
    ],
)
def test_what_does_not_fit_is_bad_input(name: str, files: dict[str, Path]) -> None:
    which, content = damaged(name)
    if isinstance(content, str):
        files[which].write_text(content)
    else:
        np.save(files[which], content, allow_pickle=True)
    with pytest.raises(InputError) as error:
        read_prediction_files(files["y"], files["p"], files["names"])
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_array_is_bad_input(files: dict[str, Path]) -> None:
    files["p"].write_bytes(b"\x93NUMPY nothing")
    with pytest.raises(InputError, match=r"p\.npy"):
        read_prediction_files(files["y"], files["p"], None)
    with pytest.raises(InputError, match="cannot be read"):
        read_prediction_files(files["y"].with_name("absent.npy"), files["y"], None)


def test_images_must_be_as_many_as_predictions(files: dict[str, Path], tmp_path: Path) -> None:
    predictions = read_prediction_files(files["y"], files["p"], files["names"])
    with pytest.raises(InputError, match="one for each prediction"):
        report_predictions(predictions, tmp_path, images=np.zeros((3, 8, 8, 3), np.uint8))
