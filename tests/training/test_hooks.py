"""Callbacks within epochs: called as Keras calls them, with the model current, and followed."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cifarlab.backend import keras
from cifarlab.errors import RunInterruptedError, UsageError
from cifarlab.runtime.progress import SILENT
from cifarlab.training.beginning import LoopOptions
from cifarlab.training.hooks import BATCH_HOOKS, TEST_HOOKS, Hooks
from cifarlab.training.loop import fit
from cifarlab.training.setup import compile_model
from support import one_line
from tiny import SignalAt, dropout_model, tiny_recipe, tiny_split

callbacks = keras.callbacks


def run(
    hooks: Any, directory: Path | None = None, progress: Any = SILENT, **changes: Any
) -> tuple[Any, list[Any]]:
    """Train three steps an epoch."""
    model, recipe = dropout_model(), tiny_recipe(stop=None, **{"epochs": 2, **changes})
    compile_model(model, recipe)
    options = LoopOptions(
        device=torch.device("cpu"), precision=torch.float32, seed=0, checkpoints=directory
    )
    return model, fit(model, tiny_split(96, 0), tiny_split(40, 1), recipe, options, hooks, progress)


class Noting(callbacks.Callback):
    """Notes every call, with the names in the logs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []
        for name in dir(callbacks.Callback):
            if name.startswith("on_") and name not in ("on_batch_begin", "on_batch_end"):
                setattr(self, name, self.noting(name))

    def noting(self, name: str) -> Any:
        """Return a hook."""

        def hook(*numbers: Any, logs: Any = None) -> None:
            keys = numbers[-1] if numbers and not isinstance(numbers[-1], int) else logs
            number = numbers[0] if numbers and isinstance(numbers[0], int) else None
            known = {"loss", "accuracy", "val_loss", "val_accuracy"}
            self.calls.append((name, number, sorted(known & set(keys or {}))))

        return hook


def test_hooks_are_called_in_the_order_and_with_the_logs_of_keras():
    ours, keras_own = Noting(), Noting()
    run([ours])
    model = dropout_model()
    model.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    x, y = tiny_split(96, 0).images, np.eye(3)[tiny_split(96, 0).labels]
    held_out = tiny_split(40, 1).images, np.eye(3)[tiny_split(40, 1).labels]
    model.fit(
        x, y, batch_size=32, epochs=2, validation_data=held_out, callbacks=[keras_own], verbose=0
    )
    assert ours.calls == keras_own.calls


def test_the_last_batch_of_an_epoch_shows_the_numbers_of_the_epoch():
    seen: list[tuple[float, float]] = []
    hook = callbacks.LambdaCallback(
        on_train_batch_end=lambda _, logs: seen.append((logs["loss"], logs["accuracy"]))
    )
    _, history = run([hook])
    assert seen[2::3] == [(row["loss"], row["accuracy"]) for row in history]
    assert len(seen) == 6


def test_weights_are_current_after_every_batch_and_training_is_the_same():
    weights: list[Any] = []
    hook = callbacks.LambdaCallback(
        on_train_batch_end=lambda *_, **__: weights.append(hook.model.get_weights())
    )
    run([hook])
    alone, _ = run([])
    for with_hook, without in zip(weights[-1], alone.get_weights(), strict=True):
        np.testing.assert_array_equal(with_hook, without)
    kernels = [w[0] for w in weights]
    assert all((a != b).any() for a, b in itertools.pairwise(kernels))


def test_weights_that_a_batch_hook_sets_are_trained_on():
    def zero(*_: Any, **__: Any) -> None:
        hook.model.set_weights([np.zeros_like(w) for w in hook.model.get_weights()])

    hook = callbacks.LambdaCallback(on_train_batch_end=zero)
    model, _ = run([hook])
    assert all((w == 0).all() for w in model.get_weights())


def test_a_learning_rate_is_followed_from_batch_to_batch():
    def rate(batch: int, **_: Any) -> None:
        hook.model.optimizer.learning_rate = 0.01 if batch < 2 else 0.0

    before: list[Any] = []
    hook = callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, **_: (
            rate(batch),
            before.append(hook.model.layers[1].get_weights()[0]),
        ),
        on_train_batch_end=lambda *_, **__: before.append(hook.model.layers[1].get_weights()[0]),
    )
    _, history = run([hook], epochs=1)
    moved = [bool((a != b).any()) for a, b in zip(before[::2], before[1::2], strict=True)]
    assert moved == [True, True, False]
    assert history[0]["learning_rate"] == 0.0


def test_a_checkpoint_every_few_batches_is_written(tmp_path):
    path = tmp_path / "{epoch}-{batch}-{loss:.2f}.keras"
    run([callbacks.ModelCheckpoint(path, save_freq=2)])
    assert [p.name[:3] for p in sorted(tmp_path.iterdir())] == ["1-2", "2-1", "2-3"]


def test_training_stops_within_an_epoch():
    def stop(batch: int, **_: Any) -> None:
        hook.model.stop_training = batch == 1

    ended: list[int] = []
    hook = callbacks.LambdaCallback(
        on_train_batch_end=stop, on_epoch_end=lambda epoch, _: ended.append(epoch)
    )
    model, history = run([hook], epochs=5)
    assert (len(history), ended, int(model.optimizer.iterations)) == (1, [0], 2)
    assert history[0]["val_loss"] > 0


def test_validation_is_of_the_weights_that_a_test_hook_sets():
    def swap(_: Any = None) -> None:
        kept.append(hook.model.get_weights())
        hook.model.set_weights([np.zeros_like(w) for w in hook.model.get_weights()])

    def swap_back(_: Any = None) -> None:
        hook.model.set_weights(kept[-1])

    kept: list[Any] = []
    hook = callbacks.LambdaCallback(on_test_begin=swap, on_test_end=swap_back)
    model, history = run([hook])
    assert [row["val_loss"] for row in history] == pytest.approx([np.log(3)] * 2)
    assert any((w != 0).any() for w in model.get_weights())


def test_the_last_batch_of_a_validation_shows_its_numbers():
    seen: list[tuple[float, float]] = []
    hook = callbacks.LambdaCallback(
        on_test_batch_end=lambda _, logs: seen.append((logs["loss"], logs["accuracy"]))
    )
    _, history = run([hook])
    assert len(seen) == 4
    assert seen[1::2] == [
        (pytest.approx(row["val_loss"]), pytest.approx(row["val_accuracy"])) for row in history
    ]


def test_a_layer_frozen_when_training_begins_is_frozen():
    def freeze(_: Any) -> None:
        hook.model.layers[1].trainable = False

    hook = callbacks.LambdaCallback(on_train_begin=freeze)
    before = dropout_model().layers[1].get_weights()
    model, _ = run([hook])
    for was, now in zip(before, model.layers[1].get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize(
    ("name", "layer", "value"),
    [("trainable", 1, False), ("rate", 6, 0.9)],
)
@pytest.mark.parametrize("at", ["on_epoch_begin", "on_epoch_end", "on_train_batch_end"])
def test_a_layer_changed_on_the_way_is_refused_by_name(name, layer, value, at):
    def change(*_: Any, **__: Any) -> None:
        setattr(hook.model.layers[layer], name, value)

    hook = callbacks.LambdaCallback(**{at: change})
    with pytest.raises(UsageError) as error:
        run([hook])
    assert f".{name} to {value}" in one_line(error)
    assert "cifarlab.fit" in one_line(error)


def test_predicting_evaluating_and_saving_in_a_callback_change_no_layer(tmp_path):
    def use(*_: Any) -> None:
        images = tiny_split(30, 1).images
        hook.model.predict(images, verbose=0)
        hook.model.evaluate(images, np.eye(3)[tiny_split(30, 1).labels], verbose=0)
        hook.model.save(tmp_path / "x.keras")
        keras.models.clone_model(hook.model)

    hook = callbacks.LambdaCallback(on_epoch_end=use)
    _, history = run([hook])
    assert len(history) == 2


def test_nothing_is_copied_between_batches_where_nobody_looks():
    stock = [
        callbacks.EarlyStopping(),
        callbacks.ReduceLROnPlateau(),
        callbacks.ModelCheckpoint("x.keras"),
        callbacks.TerminateOnNaN(),
        callbacks.CSVLogger("x.csv"),
    ]

    def seen_by(hooks: list[Any]) -> Hooks:
        state: Any = None
        nothing: dict[str, Any] = {"to_keras": print, "from_keras": print, "rate": float}
        counts = {"epochs": 1, "steps": 1, "batch_size": 1}
        return Hooks(dropout_model(), state, hooks, **nothing, **counts)

    hooks = seen_by(stock)
    assert (hooks.at_batches, hooks.at_tests) == (False, False)
    for name in (*BATCH_HOOKS, *TEST_HOOKS):
        hook = callbacks.LambdaCallback(**{name: print})
        seen = seen_by([hook])
        assert (seen.at_batches, seen.at_tests) == (name in BATCH_HOOKS, name in TEST_HOOKS)


class Halving(callbacks.Callback):
    """Halves the learning rate at every epoch's beginning, and counts batches."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0

    def get_state(self) -> int:
        """Return how many batches there were."""
        return self.batches

    def set_state(self, state: int) -> None:
        """Go on counting."""
        self.batches = state

    def on_epoch_begin(self, _: int, __: Any = None) -> None:
        """Halve it."""
        self.model.optimizer.learning_rate = float(self.model.optimizer.learning_rate) / 2

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Count."""
        self.batches += 1


def hooks_for(directory: Path) -> list[Any]:
    directory.mkdir(exist_ok=True)
    return [
        Halving(),
        callbacks.CSVLogger(str(directory / "log.csv")),
        callbacks.ModelCheckpoint(str(directory / "{epoch}-{batch}.keras"), save_freq=4),
        callbacks.EarlyStopping("val_loss", patience=1, min_delta=10.0),
    ]


@pytest.mark.parametrize("step", [2, 4, 5])
def test_an_interrupted_training_with_callbacks_goes_on_as_if_nothing_had_been(tmp_path, step):
    whole_hooks = hooks_for(tmp_path / "whole")
    whole, history = run(whole_hooks, tmp_path / "a", epochs=3)
    first_hooks = hooks_for(tmp_path / "parts")
    with pytest.raises(RunInterruptedError):
        run(first_hooks, tmp_path / "b", SignalAt({step: signal.SIGINT}), epochs=3)
    # As when the process ends.
    first_hooks[1].csv_file.close()
    hooks = hooks_for(tmp_path / "parts")
    model, resumed = run(hooks, tmp_path / "b", epochs=3)
    assert len(history) == len(resumed) == 2
    for mine, other in zip(resumed, history, strict=True):
        assert mine | {"seconds": 0} == other | {"seconds": 0}
    for mine, other in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert hooks[0].batches == whole_hooks[0].batches == 6
    names = [sorted(p.name for p in (tmp_path / d).iterdir()) for d in ("parts", "whole")]
    assert names[0] == names[1]
    texts = [(tmp_path / d / "log.csv").read_text() for d in ("parts", "whole")]
    assert texts[0] == texts[1]
    assert model.history.history == whole.history.history
    assert model.history.epoch == [0, 1]
