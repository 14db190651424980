"""Keras callbacks see and steer the run, in any form, and remember across a resume."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cifarlab.backend import keras
from cifarlab.errors import UsageError
from cifarlab.runtime.progress import SILENT, Silent
from cifarlab.training.beginning import LoopOptions
from cifarlab.training.callbacks import (
    MEMORY,
    SaveBest,
    as_list,
    give_directions,
    recall,
    remind,
)
from cifarlab.training.loop import fit
from cifarlab.training.setup import compile_model
from support import one_line
from tiny import dropout_model, tiny_recipe, tiny_split

callbacks = keras.callbacks


def run(
    directory: Path, hooks: Any, progress: Any = SILENT, **changes: Any
) -> tuple[Any, list[dict[str, float]]]:
    model, recipe = dropout_model(), tiny_recipe(stop=None, **changes)
    compile_model(model, recipe)
    options = LoopOptions(
        device=torch.device("cpu"),
        precision=torch.float32,
        seed=0,
        checkpoints=directory / "checkpoint",
    )
    splits = tiny_split(96, 0), tiny_split(30, 1)
    return model, fit(model, *splits, recipe, options, hooks, progress)


def test_stock_callbacks_see_and_steer_the_run(tmp_path):
    seen: list[float] = []
    model, history = run(
        tmp_path,
        [
            callbacks.CSVLogger(str(tmp_path / "log.csv")),
            callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras")),
            callbacks.LearningRateScheduler(lambda epoch, _: 0.01 / (epoch + 1)),
            callbacks.TerminateOnNaN(),
            callbacks.LambdaCallback(on_epoch_end=lambda _, logs: seen.append(logs["loss"])),
        ],
    )
    assert [row["learning_rate"] for row in history] == pytest.approx([0.01, 0.005, 0.01 / 3])
    assert seen == [row["loss"] for row in history]
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [float(row["val_accuracy"]) for row in rows] == [r["val_accuracy"] for r in history]
    # Weights are synced before callbacks run: the last file holds the final weights.
    last = keras.saving.load_model(tmp_path / "3.keras")
    for saved, final in zip(last.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(saved, final)
    assert model.history.history["loss"] == seen


def test_early_stopping_stops_and_restores(tmp_path):
    stopping = callbacks.EarlyStopping(
        monitor="val_accuracy", mode="min", patience=1, restore_best_weights=True
    )
    weights: list[Any] = []
    keep = callbacks.LambdaCallback(
        on_epoch_end=lambda *_: weights.append(stopping.model.get_weights())
    )
    model, history = run(tmp_path, [stopping, keep], epochs=9)
    assert len(history) < 9
    for best, final in zip(weights[stopping.best_epoch], model.get_weights(), strict=True):
        np.testing.assert_array_equal(best, final)


def test_weights_that_a_callback_sets_are_trained_on(tmp_path):
    class Zeroing(callbacks.Callback):
        def on_epoch_end(self, _: int, __: Any = None) -> None:
            self.model.set_weights([np.zeros_like(w) for w in self.model.get_weights()])

    model, _ = run(tmp_path, [Zeroing()], epochs=2)
    assert all((w == 0).all() for w in model.get_weights())


@pytest.mark.parametrize(
    "form",
    [
        lambda one: one,
        lambda one: [one],
        lambda one: (one,),
        lambda one: [[one]],
        lambda one: callbacks.CallbackList([one], add_history=True),
    ],
    ids=["one", "list", "tuple", "nested", "CallbackList"],
)
def test_callbacks_come_in_every_form_that_keras_takes(tmp_path, form):
    seen: list[float] = []
    one = callbacks.LambdaCallback(on_epoch_end=lambda _, logs: seen.append(logs["loss"]))
    model, history = run(tmp_path, form(one))
    assert seen == [row["loss"] for row in history] == model.history.history["loss"]


def test_none_is_no_callbacks():
    assert as_list(None) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (callbacks.EarlyStopping, "EarlyStopping is a class; make one of it: EarlyStopping(...)"),
        ([print], "a builtin_function_or_method is no callback"),
        ("EarlyStopping", "a str is no callback"),
    ],
)
def test_what_is_no_callback_is_refused(wrong, message):
    with pytest.raises(UsageError) as error:
        as_list(wrong)
    assert message in one_line(error)


def test_callbacks_find_the_parameters_of_fit_and_the_model(tmp_path):
    found: list[Any] = []

    class Looking(callbacks.Callback):
        def on_train_begin(self, _: Any = None) -> None:
            found.append((self.params, float(self.model.optimizer.learning_rate)))

    run(tmp_path, Looking())
    assert found == [({"verbose": "auto", "epochs": 3, "steps": 3}, pytest.approx(1e-3))]


def test_a_backup_is_left_out_and_said(tmp_path):
    said: list[str] = []

    class Listening(Silent):
        def message(self, text: str) -> None:
            said.append(text)

    backup = callbacks.BackupAndRestore(str(tmp_path / "backup"))
    run(tmp_path, [backup], progress=Listening())
    assert not (tmp_path / "backup").exists()
    assert any("BackupAndRestore is left out" in text for text in said)


def test_the_progress_bar_of_keras_draws(tmp_path, capsys):
    run(tmp_path, [callbacks.ProgbarLogger()])
    written = capsys.readouterr().out
    assert "Epoch 3/3" in written
    assert "val_accuracy" in written


def test_save_best_saves_at_every_new_low():
    saved: list[int] = []
    best = SaveBest(lambda: saved.append(len(saved)))
    for epoch, loss in enumerate([float("nan"), 2.0, 3.0, 1.0, 1.0]):
        best.on_epoch_end(epoch, {"val_loss": loss})
    # A first epoch is always kept, so that there is a model at all.
    assert (len(saved), best.best, best.best_epoch) == (3, 1.0, 3)


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_balanced_accuracy", "val_macro_f1"])
def test_save_best_saves_at_every_new_high_of_what_should_be_high(monitor):
    saved: list[int] = []
    best = SaveBest(lambda: saved.append(len(saved)), monitor)
    for epoch, value in enumerate([float("nan"), 0.2, 0.1, 0.3, 0.3]):
        best.on_epoch_end(epoch, {monitor: value})
    assert (len(saved), best.best_epoch) == (3, 3)


@pytest.mark.parametrize("monitor", ["val_balanced_accuracy", "val_macro_f1"])
@pytest.mark.parametrize(
    "kind",
    [
        callbacks.EarlyStopping,
        callbacks.ReduceLROnPlateau,
        lambda monitor: callbacks.ModelCheckpoint("x.keras", monitor, save_best_only=True),
    ],
)
def test_stock_callbacks_know_that_more_is_better(monitor, kind):
    hook = kind(monitor=monitor)
    give_directions([hook])
    hook._set_monitor_op()
    assert hook._is_improvement(0.9, 0.1)
    assert not hook._is_improvement(0.1, 0.9)


def test_a_direction_that_was_given_stays():
    hook = callbacks.EarlyStopping("val_accuracy", mode="min")
    give_directions([hook])
    assert hook.mode == "min"


@pytest.mark.parametrize("kind", list(MEMORY), ids=lambda kind: kind.__name__)
def test_what_a_callback_remembers_comes_back(kind):
    def new() -> Any:
        return {
            SaveBest: lambda: SaveBest(print),
            callbacks.ModelCheckpoint: lambda: callbacks.ModelCheckpoint("x.keras"),
            callbacks.EarlyStopping: lambda: callbacks.EarlyStopping(restore_best_weights=True),
        }.get(kind, kind)()

    first, second = new(), new()
    for hook in (first, second):
        hook.on_train_begin()
    for number, name in enumerate(MEMORY[kind], start=1):
        setattr(first, name, number)
    if hasattr(first, "best_weights"):
        first.best_weights = [np.ones(3, "float32"), np.zeros((2, 2), "float32")]
    remind([second], *recall([first]))
    for name in MEMORY[kind]:
        ours, theirs = getattr(first, name), getattr(second, name)
        if isinstance(ours, list):
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(a, b)
        else:
            assert ours == theirs


def test_what_remembers_is_found_by_name_after_a_callback_was_added_or_taken_away():
    early, late = callbacks.EarlyStopping(), callbacks.ReduceLROnPlateau()
    for hook in (early, late):
        hook.on_train_begin()
        hook.wait, hook.best = 2, 0.5
    again = callbacks.ReduceLROnPlateau()
    again.on_train_begin()
    with pytest.warns(UserWarning, match=r"not given now: EarlyStopping"):
        remind([callbacks.CSVLogger("x.csv"), again], *recall([early, late]))
    assert (again.wait, again.best) == (2, 0.5)


def test_a_checkpoint_without_names_is_read_by_place():
    again = callbacks.EarlyStopping()
    remind([callbacks.History(), again], [{}, {"wait": 3.0, "stopped_epoch": 0.0}], {})
    assert again.wait == 3


class Counting(callbacks.Callback):
    """A callback of a user's that says what it remembers."""

    def __init__(self, state: Any = None) -> None:
        super().__init__()
        self.state = state

    def get_state(self) -> Any:
        """Return what is remembered."""
        return self.state

    def set_state(self, state: Any) -> None:
        """Take it back."""
        self.state = state


def test_a_callback_of_ones_own_says_what_it_remembers():
    new = Counting()
    remind([new], *recall([Counting({"seen": [1, 2]})]))
    assert new.state == {"seen": [1, 2]}


def test_a_state_that_no_checkpoint_can_hold_is_named():
    with pytest.raises(UsageError) as error:
        recall([Counting(object())])
    assert "Counting.get_state: a checkpoint cannot hold it" in one_line(error)
