"""``cifarlab evaluate`` and ``cifarlab data``: numbers for people and for programs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cifarlab.classifier import Classifier, evaluate
from cifarlab.data.catalog import load_dataset
from cifarlab.data.named import shapes
from cifarlab.runs.labelled import Labelled
from cifarlab.saving.model_file import load_model, save_model


def test_a_run_is_measured_on_its_own_data(cifarlab, trained, photos):
    result = cifarlab("evaluate", trained, "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert (found["dataset"], found["split"], found["n"]) == ("photos", "test", 6)
    expected = evaluate(Classifier.load(trained), load_dataset(photos).test).to_json()
    own = {"dataset": "photos", "split": "test", "seen_in_training": None}
    assert found == {**own, **expected}
    written = json.loads((trained / "metrics.json").read_text())["test"]
    assert found["accuracy"] == written["accuracy"]
    assert found["confusion"] == written["confusion"]


@pytest.mark.parametrize(("split", "n"), [("train", 48), ("validation", 6), ("test", 6)])
def test_every_split_can_be_measured(cifarlab, trained, split, n):
    found = json.loads(cifarlab("evaluate", trained, "--split", split, "--json").out)
    assert (found["split"], found["n"]) == (split, n)


def test_the_table_has_a_row_a_class(cifarlab, trained):
    result = cifarlab("evaluate", trained)
    assert (result.code, result.err) == (0, "")
    assert "on photos, test" in result.out
    assert "95% interval" in result.out
    rows = [line.split() for line in result.out.splitlines()]
    assert [row[0] for row in rows if row and row[-1] == "2"] == ["blue", "green", "red"]


def test_a_class_without_images_has_dashes(cifarlab, trained, photos, monkeypatch):
    of_photos = load_dataset(photos)
    without_red = of_photos.test.subset(np.flatnonzero(of_photos.test.labels != 2))
    found = Labelled(
        dataset="photos", split="test", images=without_red, class_names=of_photos.class_names
    )
    monkeypatch.setattr("cifarlab.runs.labelled.labelled_images", lambda *_, **__: found)
    result = cifarlab("evaluate", trained)
    assert (result.code, result.err) == (0, "")
    assert ["red", "–", "–", "–", "0"] in [line.split() for line in result.out.splitlines()]
    assert "not measured: there are no images of that class" in result.out
    assert "macro-F1" in result.out
    found = json.loads(cifarlab("evaluate", trained, "--json").out)
    assert found["per_class"]["red"]["recall"] is None


def test_a_model_file_is_measured_on_named_data(cifarlab, trained, photos):
    run = json.loads(cifarlab("evaluate", trained, "--json").out)
    path = trained / "best.h5"
    assert json.loads(cifarlab("evaluate", path, "--data", photos, "--json").out) == run


def test_a_plain_keras_file_is_told_its_class_names(cifarlab, trained, photos, tmp_path):
    model = Classifier.load(trained).model
    model.save(tmp_path / "plain.keras")
    arguments = ("evaluate", "plain.keras", "--data", photos, "--split", "test", "--json")
    assert "--class-names blue,green,red" in cifarlab(*arguments).failure()
    plain = json.loads(cifarlab(*arguments, "--class-names", "blue,green,red").out)
    whole = json.loads(cifarlab("evaluate", trained, "--json").out)
    assert list(plain["per_class"]) == list(whole["per_class"]) == ["blue", "green", "red"]
    # Without the temperature that a run knows, the loss is another.
    assert plain["confusion"] == whole["confusion"]


def test_bad_images_stop_it_unless_told_otherwise(cifarlab, trained, broken):
    folder = broken(1)
    assert cifarlab("evaluate", trained, "--data", folder).code == 3
    assert cifarlab("evaluate", trained, "--data", folder, "--skip-bad").code == 0


def test_data_info(cifarlab, photos):
    result = cifarlab("data", "info", photos, "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["class_names"] == ["blue", "green", "red"]
    assert found["splits"]["train"]["count"] == 48
    text = cifarlab("data", "info", photos).out
    assert "per class: blue 16, green 16, red 16" in text
    assert "image size: 20, 28" in text
    assert found["splits"]["test"]["fingerprint"] in text


def test_data_check_lists_bad_images_and_exits_3(cifarlab, photos, broken):
    assert cifarlab("data", "check", photos).code == 0
    folder = broken(10)
    result = cifarlab("data", "check", folder, "--json")
    assert result.code == 3
    assert len(json.loads(result.out)["bad_files"]) == 10
    assert "10 images cannot be read" in result.err.splitlines()[-1]
    text = cifarlab("data", "check", folder).out
    assert "bad files: 10" in text
    assert "10 images (" in text
    assert "red/bad0.png" in text
    assert "8 more): " in text


def test_long_lists_are_cut_for_people_only(cifarlab, broken):
    folder = broken(25)
    assert "and 23 more): " in cifarlab("data", "check", folder).out
    assert len(json.loads(cifarlab("data", "check", folder, "--json").out)["bad_files"]) == 25


def test_data_download(cifarlab, tmp_path, monkeypatch):
    small = shapes.draw(200, 50)
    monkeypatch.setattr(shapes, "draw", lambda: small)
    result = cifarlab("data", "download", "shapes10", "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert found["name"] == "shapes10"
    assert found["cache"] == str(tmp_path / "own-cache")


def test_images_that_were_trained_on_are_not_passed_off_as_validation(cifarlab, trained, tmp_path):
    model = load_model(trained / "best.keras")
    file = tmp_path / "all.keras"
    recipe = {"train_on": "train+validation"}
    save_model(model.model, file, class_names=model.class_names, recipe=recipe)
    result = cifarlab("evaluate", file, "--data", "shapes10", "--split", "validation")
    assert result.code == 2
    assert "trained on the validation images" in result.failure()
