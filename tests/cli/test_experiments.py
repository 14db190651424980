"""``cifarlab compare`` and ``cifarlab data labels``: what they print, write and refuse."""

from __future__ import annotations

import json
import shutil

import pytest

from cifarlab import recipes


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a second recipe as small as the baseline of these tests."""
    monkeypatch.setitem(recipes.RECIPES, "other", recipes.RECIPES["baseline"])
    return "other"


def test_recipes_are_trained_and_compared_on_data_that_is_decoded_once(
    cifarlab, photos, tmp_path, decoded, other
):
    arguments = ("compare", "baseline", other, "--data", photos, "--seeds", "2", "--epochs", "1")
    result = cifarlab(*arguments, "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert [run["seed"] for run in document["runs"]] == [0, 1, 0, 1]
    assert len(document["samples"]) == 2
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(decoded) == sorted(str(path) for path in photos.rglob("*.png"))
    assert "baseline, seed 1" in result.err


def test_two_finished_runs_are_compared_image_by_image(cifarlab, trained, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    recipe = json.loads((copy / "recipe.json").read_text())
    (copy / "recipe.json").write_text(json.dumps({**recipe, "name": "copied"}))
    result = cifarlab("compare", trained, copy)
    assert result.code == 0, result.err
    assert result.err == ""
    assert "Image by image: 0 are right only with baseline, 0 only with copied" in " ".join(
        result.out.split()
    )


def test_uneven_classes_are_compared_by_class_too(cifarlab, trained, tmp_path):
    directories = []
    for name, confusion in (("one", [[50, 0, 0], [0, 5, 0], [3, 0, 2]]), ("two", [[50, 5, 5]] * 3)):
        directory = shutil.copytree(trained, tmp_path / name)
        recipe = json.loads((directory / "recipe.json").read_text())
        (directory / "recipe.json").write_text(json.dumps({**recipe, "name": name}))
        metrics = json.loads((directory / "metrics.json").read_text())
        metrics["test"]["confusion"] = confusion
        (directory / "metrics.json").write_text(json.dumps(metrics))
        directories.append(directory)
    rows = [line.split() for line in cifarlab("compare", *directories).out.splitlines()]
    assert rows[0][-2:] == ["balanced", "macro-F1"]
    # Recalls 1, 1 and 0.4; F1 100/103, 1 and 4/7.
    assert next(row for row in rows if row[:1] == ["one"])[-2:] == ["80.00%", "84.74%"]
    document = json.loads(cifarlab("compare", *directories, "--json").out)
    assert document["runs"][0]["balanced_accuracy"] == pytest.approx(0.8)


def test_what_cannot_be_compared_is_refused_before_anything_is_loaded(
    cifarlab, photos, decoded, tmp_path
):
    result = cifarlab("compare", "baseline", "--data", photos)
    assert result.code == 2
    assert "two recipes or more" in result.failure()
    unwritable = cifarlab("compare", "baseline", "baseline", "-o", "no/such/plot.png")
    assert unwritable.code == 6
    unwritable.failure()
    assert decoded == []
    assert not (tmp_path / "runs").exists()


def test_suspicious_labels_are_listed(cifarlab, photos, tmp_path):
    result = cifarlab("data", "labels", photos, "--folds", "2", "--epochs", "1", "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document["images"] == 48
    assert document["suspects_in"] == str(tmp_path / "labels.csv")
    assert "part 2 of 2: training without it" in result.err
