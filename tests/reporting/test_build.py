"""A run's report: from what the run predicted, with its images where they are available."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifarlab.classifier import Classifier
from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.metrics import measure
from cifarlab.predictions import read_predictions
from cifarlab.reporting.build import report
from cifarlab.runs.directory import RunDirectory
from cifarlab.training.train import train
from reporting.test_page import Page, looked_up
from tiny import rich_recipe, tiny_dataset, tiny_recipe


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the tiny dataset, and its report."""
    directory = tmp_path_factory.mktemp("report") / "run"
    report(train(tiny_recipe(epochs=1), tiny_dataset(), directory=directory))
    return directory


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> RunDirectory:
    """A copy of it."""
    return RunDirectory(path=Path(shutil.copytree(finished, tmp_path / "run")))


def numbers_of(run: RunDirectory) -> tuple[Page, dict[str, Any]]:
    return Page(run.report.read_text(encoding="utf-8")), json.loads(run.metrics.read_text())


def test_every_number_on_the_page_is_in_metrics_json(run: RunDirectory) -> None:
    page, document = numbers_of(run)
    names = tiny_dataset().class_names
    for key, values in page.numbers.items():
        assert values == {repr(looked_up(document, key, names))}, key
    assert {"analysis.robustness.mean", "analysis.temperature"} <= set(page.numbers)
    assert document["analysis"]["duplicates"]["count"] >= 0


def test_the_numbers_are_those_of_the_predictions_that_the_run_made(run: RunDirectory) -> None:
    _, document = numbers_of(run)
    test = read_predictions(run.predictions)["test"]
    assert document["test"] == json.loads(json.dumps(measure(test).to_json()))
    assert np.array_equal(test.labels, tiny_dataset().test.labels)


def test_it_says_how_it_was_made_and_that_test_was_read_once(run: RunDirectory) -> None:
    page, _ = numbers_of(run)
    assert "30 validation images; the test images were read once" in page.text
    assert "150 training images, 30 validation images, 30 test images" in page.text
    assert "images/s" in page.text


def test_without_the_data_it_has_numbers_and_says_what_is_missing(run: RunDirectory) -> None:
    with pytest.warns(UserWarning, match="the report has no images: .*is not there"):
        report(run.path)
    page, document = numbers_of(run)
    assert "No images, near-duplicates or robustness here" in page.text
    assert document["analysis"]["robustness"] is None
    assert page.data["sprites"] == {}


def test_other_data_than_the_runs_is_refused(run: RunDirectory) -> None:
    data = tiny_dataset()
    other = replace(data, test=replace(data.test, labels=data.test.labels[::-1].copy()))
    with pytest.raises(InputError, match="not the one that"):
        report(run.path, other)


def test_a_run_is_used_as_it_is_and_nothing_is_read_or_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(tiny_recipe(epochs=1), tiny_dataset(), directory=tmp_path / "run")

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("read or computed a second time")

    monkeypatch.setattr("cifarlab.reporting.build.read_run", fail)
    monkeypatch.setattr("cifarlab.classifier.Classifier.load", fail)
    monkeypatch.setattr("cifarlab.classifier.lower", fail)
    monkeypatch.setattr("cifarlab.data.catalog.load_dataset", fail)
    monkeypatch.setattr("cifarlab.classifier.Classifier.predict_split", fail)
    run.directory.joinpath("history.csv").unlink()
    run.directory.joinpath("predictions.npz").unlink()
    run.directory.joinpath("best.keras").unlink()
    page = Page(report(run, robustness=30).read_text(encoding="utf-8"))
    assert "analysis.robustness.mean" in page.numbers


def test_a_path_and_a_run_give_the_same_page(tmp_path: Path) -> None:
    run = train(tiny_recipe(epochs=1), tiny_dataset(), directory=tmp_path / "run")
    ours = Page(report(run).read_text(encoding="utf-8"))
    theirs = Page(report(run.directory, tiny_dataset(), device="cpu").read_text(encoding="utf-8"))
    assert ours.numbers == theirs.numbers
    assert ours.data == theirs.data


def test_the_chosen_device_holds(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    real = Classifier.load

    def load(path: Path, device: str = "auto") -> Classifier:
        chosen.append(device)
        return real(path, device)

    monkeypatch.setattr(Classifier, "load", staticmethod(load))
    report(run.path, tiny_dataset(), device="cpu", robustness=0)
    assert chosen == ["cpu"]
    with pytest.raises(UsageError, match="tpu"):
        report(run.path, tiny_dataset(), device="tpu")


def test_pairs_in_other_data_than_cifar10_are_look_alikes_only(run: RunDirectory) -> None:
    page, _ = numbers_of(run)
    assert "only look-alikes" in page.text
    assert "analysis.duplicates.accuracy_without" not in page.numbers


def test_an_unfinished_run_has_nothing_to_report(run: RunDirectory) -> None:
    run.metrics.unlink()
    with pytest.raises(InputError, match="not finished"):
        report(run.path, tiny_dataset())


def test_a_run_from_before_predictions_were_kept_is_measured_again(run: RunDirectory) -> None:
    before = run.predictions.read_bytes()
    run.predictions.unlink()
    report(run.path, tiny_dataset(), robustness=0)
    assert run.predictions.read_bytes() == before


def test_a_recipe_that_trains_on_everything_has_no_temperature(tmp_path: Path) -> None:
    data = tiny_dataset()
    done = train(rich_recipe(epochs=1), data, directory=tmp_path / "rich")
    page = Page(report(done, robustness=10).read_text(encoding="utf-8"))
    assert "all training images were trained on" in page.text
    assert "analysis.temperature" not in page.numbers
