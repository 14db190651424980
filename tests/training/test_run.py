"""A finished run as a value: in memory, from disk, and on the device that was chosen."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

from cifarlab.errors import InputError
from cifarlab.recipes.recipe import differences
from cifarlab.reporting.build import report
from cifarlab.runs.directory import RunDirectory
from cifarlab.runtime import device
from cifarlab.training.run import Run, read_run
from cifarlab.training.train import TrainOptions, resume, train
from support import contents, one_line
from tiny import tiny_dataset, tiny_recipe, tiny_split


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = tmp_path_factory.mktemp("finished") / "run"
    return train(tiny_recipe(), tiny_dataset(), directory=directory)


def test_a_run_from_disk_is_the_run_that_training_returned(finished: Run) -> None:
    before = contents(finished.directory)
    again = read_run(finished.directory, tiny_dataset())
    assert (again.directory, again.dataset) == (finished.directory, finished.dataset)
    assert differences(again.recipe, finished.recipe) == []
    assert again.history == finished.history
    assert again.chosen_epoch == finished.chosen_epoch
    assert again.metrics.test.to_json() == finished.metrics.test.to_json()
    assert again.metrics.validation.to_json() == finished.metrics.validation.to_json()
    assert again.predictions.keys() == finished.predictions.keys() == {"validation", "test"}
    for split, predictions in finished.predictions.items():
        assert np.array_equal(again.predictions[split].probabilities, predictions.probabilities)
    images = tiny_dataset().test.images
    np.testing.assert_allclose(
        again.classifier.predict_proba(images), finished.classifier.predict_proba(images), atol=1e-6
    )
    assert again.classifier.temperature == finished.classifier.temperature
    assert again.classifier.not_sure_below == finished.classifier.not_sure_below
    assert contents(finished.directory) == before


def test_a_run_is_shown_without_its_images_and_models(finished: Run) -> None:
    assert "Classifier" not in repr(finished)
    assert "Dataset" not in repr(finished)


def test_a_run_whose_data_is_gone_says_so(finished: Run) -> None:
    again = read_run(finished.directory)
    assert again.data is None
    assert "not there" in again.no_data
    assert finished.no_data == ""


def test_other_data_is_refused_with_what_differs(finished: Run) -> None:
    data = tiny_dataset()
    for split in ("train", "validation", "test"):
        other = replace(data, **{split: tiny_split(len(getattr(data, split)), 9)})
        with pytest.raises(InputError, match=f"its {split} split is not the one") as error:
            read_run(finished.directory, other)
        one_line(error)


@pytest.mark.parametrize("name", ["metrics.json", "history.csv", "predictions.npz", "recipe.json"])
def test_a_damaged_file_is_named(finished: Run, tmp_path: Path, name: str) -> None:
    for path, content in contents(finished.directory).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / name).write_text('[1, "', encoding="utf-8")
    with pytest.raises(InputError, match=name) as error:
        read_run(tmp_path, tiny_dataset())
    one_line(error)


def test_the_chosen_device_holds_from_the_first_step_to_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[str] = []

    def choose(name: str = "auto") -> torch.device:
        chosen.append(name)
        return torch.device("cpu")

    original = device.choose_device
    for name, module in list(sys.modules.items()):
        if name.startswith("cifarlab.") and getattr(module, "choose_device", None) is original:
            monkeypatch.setattr(module, "choose_device", choose)
    options = TrainOptions(device="stand-in")
    run = train(tiny_recipe(epochs=1), tiny_dataset(), options=options, directory=tmp_path / "run")
    report(run, robustness=5)
    RunDirectory(path=run.directory).metrics.unlink()
    report(resume(run.directory, tiny_dataset()), robustness=5)
    report(run.directory, tiny_dataset(), device="stand-in", robustness=5)
    # By the name that was given, or by that of the device that it led to; never chosen again.
    assert set(chosen) == {"stand-in", "cpu"}


def test_the_best_weights_are_in_their_file_and_in_no_checkpoint(finished: Run) -> None:
    run = RunDirectory(path=finished.directory)
    for path in run.checkpoint.glob("*.safetensors"):
        with safetensors.safe_open(path, framework="pt") as file:
            assert not [name for name in file.keys() if "best_weights" in name]  # noqa: SIM118
    assert run.best_keras.exists()
