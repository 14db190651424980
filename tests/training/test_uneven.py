"""Uneven classes: said, evened out, measured, and resumed as if the run had never stopped."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cifarlab
from cifarlab.data.dataset import Dataset
from cifarlab.errors import RunInterruptedError, UsageError
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.fast import FAST94
from cifarlab.recipes.parts import EarlyStopping, FewImages
from cifarlab.recipes.recipe import Recipe
from cifarlab.runs.record import read_recipe
from cifarlab.runtime.progress import Silent
from cifarlab.training.beginning import LoopOptions
from cifarlab.training.best import chosen_epoch
from cifarlab.training.loop import fit
from cifarlab.training.remarks import opening_lines
from cifarlab.training.setup import build_model, compile_model, fit_recipe, override
from support import one_line
from tiny import SignalAt, rich_recipe, saved_weights, tiny_dataset, tiny_recipe


def uneven_dataset(counts: tuple[int, int, int] = (50, 30, 6), held_out: int = 3) -> Dataset:
    """The tiny dataset with fewer images of some classes, in the first ``held_out`` of them all."""
    data = tiny_dataset()
    kept = [np.flatnonzero(data.train.labels == c)[:n] for c, n in enumerate(counts)]
    measured = np.flatnonzero(data.test.labels < held_out)
    return replace(
        data,
        train=data.train.subset(np.sort(np.concatenate(kept))),
        validation=data.validation.subset(measured),
        test=data.test.subset(measured),
    )


class Lines(Silent):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)


def said(data: Dataset, **changes: Any) -> str:
    recipe = tiny_recipe(**changes)
    return "\n".join(opening_lines(recipe, fit_recipe(recipe, data), data))


# Evened out


EVENED_OUT = {
    "balanced weights": {"class_weights": "balanced"},
    "weights by name": {"class_weights": {"bright": 8.0, 1: 2.0}},
    "sampler": {"sampler": "balanced"},
}


BY_MACRO_F1 = {"monitor": "val_macro_f1", "stop": EarlyStopping(monitor="val_macro_f1")}


@pytest.mark.parametrize(
    "recipe",
    [
        rich_recipe(class_weights="balanced"),
        tiny_recipe(class_weights={"bright": 8.0, 1: 2.0}, **BY_MACRO_F1),
        tiny_recipe(sampler="balanced", **BY_MACRO_F1),
    ],
    ids=EVENED_OUT,
)
def test_interrupted_and_resumed_gives_the_same_bytes(tmp_path: Path, recipe: Recipe) -> None:
    whole = cifarlab.train(recipe, uneven_dataset(), directory=tmp_path / "whole")
    directory = tmp_path / "run"
    with pytest.raises(RunInterruptedError):
        cifarlab.train(
            recipe,
            uneven_dataset(),
            directory=directory,
            progress=SignalAt({5: signal.SIGTERM}),
        )
    resumed = cifarlab.resume(directory, uneven_dataset(), recipe=recipe)
    assert saved_weights(directory / "best.keras") == saved_weights(whole.directory / "best.keras")
    rows = [[{**row, "seconds": 0} for row in run.history] for run in (resumed, whole)]
    assert rows[0] == rows[1]
    assert read_recipe(directory).class_weights == recipe.class_weights
    assert read_recipe(directory).sampler == recipe.sampler


@pytest.mark.parametrize("changes", EVENED_OUT.values(), ids=EVENED_OUT)
def test_evening_out_changes_what_is_trained(changes: dict[str, Any]) -> None:
    data = uneven_dataset()
    options = LoopOptions(
        device=torch.device("cpu"), precision=torch.float32, seed=0, class_names=data.class_names
    )
    losses = []
    for recipe in (tiny_recipe(epochs=1), tiny_recipe(epochs=1, **changes)):
        model = build_model(recipe, data, seed=0)
        compile_model(model, recipe)
        losses.append(fit(model, data.train, data.validation, recipe, options)[0]["val_loss"])
    assert losses[0] != losses[1]


def test_a_run_with_other_weights_is_not_resumed(tmp_path: Path) -> None:
    recipe = tiny_recipe(class_weights="balanced")
    with pytest.raises(RunInterruptedError):
        cifarlab.train(
            recipe,
            uneven_dataset(),
            directory=tmp_path / "run",
            progress=SignalAt({2: signal.SIGTERM}),
        )
    other = replace(recipe, class_weights={"bright": 3.0})
    with pytest.raises(UsageError) as error:
        cifarlab.resume(tmp_path / "run", uneven_dataset(), recipe=other)
    assert "class_weights: balanced -> " in one_line(error)


def test_a_class_that_does_not_exist_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        cifarlab.train(
            tiny_recipe(), tiny_dataset(), class_weights={"fox": 2}, directory=tmp_path / "run"
        )
    assert "no class is called fox; choose from dark, medium, bright" in one_line(error)
    assert not (tmp_path / "run").exists()


# Chosen


def test_the_kept_epoch_is_the_best_by_what_is_monitored(tmp_path: Path) -> None:
    recipe = tiny_recipe(epochs=4, stop=None)
    run = cifarlab.train(
        recipe, uneven_dataset(), monitor="val_macro_f1", directory=tmp_path / "run"
    )
    values = [row["val_macro_f1"] for row in run.history]
    assert run.chosen_epoch == 1 + values.index(max(values))
    assert run.metrics.validation is not None
    assert run.metrics.validation.macro_f1 == pytest.approx(max(values))
    assert run.metrics.validation.balanced_accuracy == pytest.approx(
        run.history[run.chosen_epoch - 1]["val_balanced_accuracy"]
    )
    assert cifarlab.training.run.read_run(run.directory, uneven_dataset()).chosen_epoch == (
        run.chosen_epoch
    )


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_balanced_accuracy", "val_macro_f1"])
def test_more_is_better_of_all_but_the_loss(monitor: str) -> None:
    rows = [{"epoch": i, monitor: x} for i, x in enumerate([0.1, 0.9, 0.9, float("nan")], start=1)]
    assert chosen_epoch(replace(BASELINE, monitor=monitor), rows) == 2


def test_training_stops_early_by_what_is_monitored(tmp_path: Path) -> None:
    recipe = tiny_recipe(epochs=30, stop=EarlyStopping(patience=2))
    run = cifarlab.train(
        recipe, uneven_dataset(), monitor="val_macro_f1", directory=tmp_path / "run"
    )
    assert run.recipe.stop == EarlyStopping(monitor="val_macro_f1", patience=2)
    assert len(run.history) == run.chosen_epoch + 2


def test_a_recipe_that_chooses_nothing_takes_no_monitor() -> None:
    with pytest.raises(UsageError, match="nothing to choose"):
        cifarlab.train("fast94", tiny_dataset(), monitor="val_macro_f1")


# Said


def test_uneven_classes_are_said_with_what_to_do() -> None:
    line = said(uneven_dataset())
    assert "uneven classes: 50 images of dark, 6 of bright" in line
    assert "--class-weights balanced" in line
    assert "macro-F1" in line
    assert "uneven" not in said(uneven_dataset((50, 30, 11)))


def test_nothing_is_advised_that_is_done_already() -> None:
    weighted = said(uneven_dataset(), class_weights="balanced")
    assert "uneven classes: 50 images of dark, 6 of bright\n" in weighted
    assert "class weights from 0.573 (dark) to 4.78 (bright)" in weighted
    assert "--class-weights" not in said(uneven_dataset(), sampler="balanced")


def test_few_images_are_said_with_what_changes() -> None:
    few = FewImages(epochs=3, batch_size=64, updates=100, shift=1 / 8)
    line = said(uneven_dataset(), batch_size=64, few_images=few)
    assert "few images: batches of 16 instead of 64, up to 17 epochs instead of 3" in line
    assert "shifted by up to 2 px, not mirrored" in line
    assert "few images" not in said(uneven_dataset())


# Measured, or not


def test_a_class_of_one_image_is_trained_on_and_said_not_to_be_measured(tmp_path: Path) -> None:
    data, heard = uneven_dataset((40, 20, 1), held_out=2), Lines()
    run = cifarlab.train(
        tiny_recipe(class_weights="balanced"), data, directory=tmp_path / "run", progress=heard
    )
    assert "trained on, but too few images to validate with: bright" in heard.lines
    metrics = json.loads((run.directory / "metrics.json").read_text())
    for split in ("test", "validation"):
        assert metrics[split]["per_class"]["bright"] == {
            "precision": None,
            "recall": None,
            "f1": None,
            "support": 0,
        }
        measured = [c["f1"] for c in metrics[split]["per_class"].values() if c["support"]]
        assert metrics[split]["macro_f1"] == pytest.approx(sum(measured) / 2)
    page = cifarlab.report(run, robustness=0).read_text(encoding="utf-8")
    assert "Not measured, as there are no test images: bright." in page


def test_a_class_without_training_images_is_said_and_divides_nothing_by_zero(
    tmp_path: Path,
) -> None:
    data, heard = uneven_dataset((40, 20, 0)), Lines()
    recipe = tiny_recipe(epochs=1, class_weights="balanced")
    run = cifarlab.train(recipe, data, directory=tmp_path / "run", progress=heard)
    assert np.isfinite([row["loss"] for row in run.history]).all()
    assert "no images for training, so never learnt: bright" in heard.lines


def test_what_evens_classes_out_chooses_the_best_epoch_by_macro_f1() -> None:
    for recipe in (
        override(BASELINE, class_weights="balanced"),
        override(BASELINE, sampler="balanced"),
    ):
        assert (recipe.monitor, recipe.stop.monitor) == ("val_macro_f1", "val_macro_f1")
    asked = override(BASELINE, class_weights="balanced", monitor="val_loss")
    assert (asked.monitor, asked.stop.monitor) == ("val_loss", "val_loss")
    assert override(BASELINE).monitor == "val_loss"
    # One that keeps its last epoch has nothing to choose.
    assert override(FAST94, class_weights="balanced").monitor == FAST94.monitor
