"""``cifarlab train``: what it prints, what it writes, and how it goes on."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from cifarlab.cli.progress import epoch_line
from cifarlab.data.named import shapes
from cifarlab.errors import InputError, UsageError
from cifarlab.runs.directory import RunDirectory
from cifarlab.runs.record import data_of
from support import contents


def interrupt(run: RunDirectory) -> None:
    """Make a finished run look like one that was stopped before its results."""
    run.metrics.unlink()


def test_the_run_directory_says_where_everything_is(cifarlab, photos, tmp_path):
    result = cifarlab("train", "--data", photos)
    assert (result.code, result.err) == (0, "")
    directory = tmp_path / "runs" / "baseline-1"
    assert f"  directory      {directory}" in result.out.splitlines()
    assert f"  cifarlab predict IMAGE --model {directory}" in result.out.splitlines()
    for file in RunDirectory(path=directory).results:
        assert file.exists() == (file.name in result.out.split())
    assert "baseline on photos: 48 images for training, 6 for validation" in result.out


def test_no_line_is_wider_than_80_columns(cifarlab, photos, tmp_path):
    result = cifarlab("train", "--data", photos, "-o", "a run")
    assert [x for x in result.out.splitlines() if len(x) > 80 and str(tmp_path) not in x] == []
    assert f"  cifarlab report '{tmp_path}/a run' --open" in result.out.splitlines()


def test_json_is_the_only_thing_on_stdout(cifarlab, photos, tmp_path):
    result = cifarlab("train", "--data", photos, "--json", "--seed", "3")
    assert result.code == 0
    found = json.loads(result.out)
    directory = tmp_path / "runs" / "baseline-1"
    assert found["directory"] == str(directory)
    assert (found["recipe"], found["dataset"], found["epochs"]) == ("baseline", "photos", 2)
    written = json.loads((directory / "metrics.json").read_text())
    assert found["test"] == written["test"]
    assert found["validation"] == written["validation"]
    assert "epoch 2/2" in result.err
    assert json.loads((directory / "environment.json").read_text())["options"]["seed"] == 3


def test_overwrite_replaces_the_run(cifarlab, photos, tmp_path):
    assert cifarlab("train", "--data", photos, "-o", "run", "--epochs", "1").code == 0
    assert cifarlab("train", "--data", photos, "-o", "run", "--overwrite").code == 0
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 3


def test_a_model_of_the_users_own_is_trained(cifarlab, photos, trained):
    result = cifarlab("train", trained / "best.keras", "--data", photos, "--epochs", "1", "--json")
    assert result.code == 0
    found = json.loads(result.out)
    assert (found["recipe"], found["dataset"], found["epochs"]) == ("baseline", "photos", 1)
    recipe = json.loads((Path(found["directory"]) / "recipe.json").read_text())
    assert recipe["model"]["name"] == "custom"


def test_uneven_classes_are_evened_out_as_asked_for_and_recorded(cifarlab, photos, tmp_path):
    arguments = ("--class-weights", "red=2.5, blue=0.5", "--monitor", "val_macro_f1")
    result = cifarlab("train", "--data", photos, "-o", "run", "--epochs", "1", *arguments)
    assert result.code == 0, result.err
    assert "class weights from 0.5 (blue) to 2.5 (red)" in result.out
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recipe["class_weights"] == [["red", 2.5], ["blue", 0.5]]
    assert recipe["monitor"] == "val_macro_f1"
    header = (tmp_path / "run" / "history.csv").read_text().splitlines()[0]
    assert {"val_balanced_accuracy", "val_macro_f1"} <= set(header.split(","))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--class-weights", "red"), "write balanced, or a number for each class"),
        (("--class-weights", "red=much"), "write balanced"),
        (("--class-weights", "red=-1"), "numbers above 0"),
        (("--class-weights", "red=nan"), "numbers above 0"),
        (("--class-weights", "=3"), "no class is called"),
        (("--class-weights", "fox=2"), "no class is called fox; choose from blue, green, red"),
        (("--class-weights", "balanced", "--sampler", "balanced"), "makes up for uneven classes"),
        (("--sampler", "random"), "one of shuffled, balanced"),
        (("--monitor", "val_f1"), "val_balanced_accuracy, val_macro_f1"),
    ],
)
def test_what_cannot_even_classes_out_is_refused(cifarlab, photos, tmp_path, arguments, words):
    result = cifarlab("train", "--data", photos, "-o", "run", *arguments)
    assert result.code == 2
    assert words in result.failure()
    assert not (tmp_path / "run").exists()


def test_bad_images_are_left_out_on_request_only(cifarlab, broken):
    folder = broken(2)
    refused = cifarlab("train", "--data", folder)
    assert refused.code == 3
    assert "bad0.png" in refused.failure()
    assert cifarlab("train", "--data", folder, "--skip-bad").code == 0


def test_the_fallback_is_named_everywhere(cifarlab, tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "draw", partial(shapes.draw, 200, 50))
    result = cifarlab("train", "--fallback", "shapes10", "--epochs", "1")
    assert result.code == 0
    flat = " ".join(result.out.split())
    assert "cifar10 could not be downloaded" in flat
    assert "Training on shapes10 instead." in flat
    assert "Every number below is about shapes10, not cifar10." in flat
    assert "CIFARLAB_DATA=" in flat
    assert "baseline on shapes10" in result.out.splitlines()
    run = RunDirectory(path=tmp_path / "runs" / "baseline-1")
    for file in (run.environment, run.metrics):
        assert json.loads(file.read_text())["dataset"]["name"] == "shapes10"
    as_json = cifarlab("train", "--fallback", "shapes10", "--epochs", "1", "--json")
    assert json.loads(as_json.out)["dataset"] == "shapes10"
    assert "Training on shapes10 instead." in " ".join(as_json.err.split())


def test_a_fallback_is_for_downloads_only(cifarlab):
    result = cifarlab("train", "--data", "no/such/place", "--fallback", "shapes10")
    assert result.code == 2
    assert "no/such/place" in result.failure()


def test_an_interrupted_run_goes_on_with_its_own_data(cifarlab, trained, tmp_path):
    run = RunDirectory(path=tmp_path / "copy")
    shutil.copytree(trained, run.path)
    interrupt(run)
    result = cifarlab("train", "--resume", "copy", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["directory"] == str(run.path)
    before = json.loads((trained / "metrics.json").read_text())["test"]
    assert json.loads(result.out)["test"] == before


def test_a_run_without_its_bad_images_goes_on_without_them(cifarlab, broken, tmp_path):
    folder = broken(1)
    assert cifarlab("train", "--data", folder, "--skip-bad", "-o", "run").code == 0
    interrupt(RunDirectory(path=tmp_path / "run"))
    assert cifarlab("train", "--resume", "run").code == 0
    interrupt(RunDirectory(path=tmp_path / "run"))
    Image.new("RGB", (20, 28)).save(folder / "red" / "new.png")
    refused = cifarlab("train", "--resume", "run")
    assert refused.code == 3
    assert "train split is not the one that is recorded" in refused.err


def test_each_image_file_is_decoded_once_report_included(cifarlab, photos, tmp_path, decoded):
    assert cifarlab("train", "--data", photos, "-o", "run").code == 0
    run = RunDirectory(path=tmp_path / "run")
    assert run.report.exists()
    files = sorted(str(path) for path in photos.rglob("*.png"))
    assert sorted(decoded) == files

    interrupt(run)
    run.report.unlink()
    decoded.clear()
    assert cifarlab("train", "--resume", "run").code == 0
    assert run.report.exists()
    assert decoded == []


def test_a_changed_recipe_does_not_resume_and_the_differences_are_shown(
    cifarlab, trained, tmp_path
):
    run = RunDirectory(path=tmp_path / "copy")
    shutil.copytree(trained, run.path)
    interrupt(run)
    before = contents(run.path)
    result = cifarlab("train", "--resume", "copy", "--epochs", "99", "-b", "16")
    assert result.code == 2
    assert "epochs: 12 -> 99" in result.failure()
    assert "batch_size: 8 -> 16" in result.err
    assert cifarlab("train", "baseline_unscaled", "--resume", "copy").code == 2
    assert contents(run.path) == before


def test_a_finished_run_does_not_resume(cifarlab, trained):
    before = contents(trained)
    result = cifarlab("train", "--resume", trained)
    assert result.code == 2
    assert "is complete" in result.failure()
    assert contents(trained) == before


def test_the_data_of_a_run_is_found_again(trained, photos, tmp_path):
    assert data_of(trained) == str(photos)
    assert data_of(trained / "best.keras") is None

    def record(value: object) -> None:
        (tmp_path / "environment.json").write_text(json.dumps(value))

    record({"dataset": {"name": "shapes10", "source": "drawn by cifarlab"}})
    assert data_of(tmp_path) == "shapes10"
    record({"dataset": {"name": "photos", "source": "/no/such/place"}})
    with pytest.raises(UsageError, match="--data"):
        data_of(tmp_path)
    record({})
    with pytest.raises(InputError, match="--data"):
        data_of(tmp_path)


@pytest.mark.parametrize("loss", [0.0, 9.99999, 123.4, 4e30, float("inf"), float("nan")])
@pytest.mark.parametrize("epochs", [1, 30, 999])
def test_epoch_lines_form_columns_within_80(loss, epochs):
    row = {"loss": loss, "accuracy": 1.0, "val_loss": loss, "val_accuracy": 0.0, "seconds": 1234.5}
    line = epoch_line({"epoch": epochs, **row}, epochs)
    first = epoch_line(
        {"epoch": 1, **dict.fromkeys(row, 0.0)},
        epochs,
    )
    assert len(line) == len(first) <= 80
