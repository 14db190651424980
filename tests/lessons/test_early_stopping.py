"""``lesson early-stopping``: it stops where Keras stops, and the words follow the numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cifarlab.backend import keras
from cifarlab.lessons import early_stopping
from cifarlab.lessons.early_stopping import TO_THE_END, Stop, stop_of
from cifarlab.lessons.experiment import Experiment, ExperimentData, Outcome, Trial
from lessons.made_up import TINY, history, said, shapes

FALLING = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
RISING = [1.0, 0.8, 0.9, 1.0, 1.1, 1.2]
LATE = [1.0, 0.8, 0.9, 1.0, 1.1, 0.5]


def result(losses, accuracies):
    trials = tuple(
        Trial(seed=seed, history=history(accuracy, loss))
        for seed, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True))
    )
    return Experiment(
        setup=ExperimentData(
            dataset="made-up", images=100, validation=50, epochs=6, seeds=len(trials)
        ),
        outcomes=(Outcome(variant=TO_THE_END, trials=trials),),
    )


class Stub(keras.callbacks.Callback):
    """Nothing: only its model is used."""


def stop_by_keras(losses, patience):
    callback = keras.callbacks.EarlyStopping("val_loss", patience=patience)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    callback.set_model(model)
    model.stop_training = False
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training:
            return Stop(after=epoch + 1, kept=callback.best_epoch + 1)
    return Stop(after=len(losses), kept=callback.best_epoch + 1)


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_it_stops_where_keras_stops(patience):
    generator = np.random.default_rng(0)
    for _ in range(30):
        losses = generator.integers(0, 9, 10).astype(float).tolist()
        assert stop_of(losses, patience) == stop_by_keras(losses, patience)


@pytest.mark.parametrize(
    ("losses", "accuracies", "phrases"),
    [
        (RISING, [0.1, 0.7, 0.6, 0.6, 0.6, 0.5], ["lower with early", "training on did harm"]),
        (RISING, [0.1, 0.5, 0.6, 0.6, 0.6, 0.7], ["the two measures disagree"]),
        (RISING, [0.1, 0.5, 0.6, 0.6, 0.6, 0.5], ["neither helped nor harmed for sure"]),
        (LATE, [0.1, 0.5, 0.6, 0.6, 0.6, 0.7], ["came only after the stop", "did not show"]),
        (FALLING, [0.1, 0.5, 0.6, 0.6, 0.6, 0.7], ["none of the runs", "saved nothing"]),
    ],
)
def test_the_words_follow_the_numbers(losses, accuracies, phrases):
    outcome = result([losses] * 3, [accuracies] * 3)
    text = said(early_stopping.sentences(outcome))
    assert all(phrase in text for phrase in phrases), text


def test_what_is_saved_is_counted_in_epochs_and_seconds():
    found = result([RISING, FALLING], [[0.5] * 6] * 2)
    text = said(early_stopping.sentences(found))
    # Two of twelve seconds twice: the first run stops after epoch 5 of 6.
    assert "1 of 2 runs" in text
    assert "5.5 of 6 epochs on average" in text
    assert "saves 2.0 s of 24 s" in text


def test_it_runs_on_a_tiny_dataset():
    found = early_stopping.run(shapes(), TINY, "cpu", str)
    assert early_stopping.sentences(found)
    columns, rows = early_stopping.table(found)
    assert [len(row) for row in rows] == [len(columns)] * 2
    json.dumps(found.to_json(), allow_nan=False)
    assert len(early_stopping.draw(found).axes) == 2
