"""A run with every field of a recipe in use: it resumes exactly, and its results are honest."""

from __future__ import annotations

import dataclasses
import json
import signal

import numpy as np
import pytest

import cifarlab
from cifarlab.errors import RunInterruptedError
from cifarlab.recipes.recipe import TRAIN
from tiny import SignalAt, rich_recipe, saved_weights, tiny_dataset

STEPS_AN_EPOCH = 6


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("rich") / "run"
    return cifarlab.train(rich_recipe(), tiny_dataset(), directory=directory)


@pytest.mark.parametrize("step", [2, 9, 12, 20])
def test_interrupted_and_resumed_gives_the_same_bytes(tmp_path, whole, step):
    directory = tmp_path / "run"
    with pytest.raises(RunInterruptedError):
        cifarlab.train(
            rich_recipe(),
            tiny_dataset(),
            directory=directory,
            progress=SignalAt({step: signal.SIGTERM}),
        )
    resumed = cifarlab.resume(directory, tiny_dataset())
    assert saved_weights(directory / "best.keras") == saved_weights(whole.directory / "best.keras")
    assert resumed.metrics.test.accuracy == whole.metrics.test.accuracy


def test_the_validation_images_are_trained_on_and_the_record_says_so(whole):
    metrics = json.loads((whole.directory / "metrics.json").read_text())
    assert metrics["validation"] is None
    assert metrics["dataset"]["train"]["images"] == 180
    assert metrics["dataset"]["validation"]["images"] == 0
    assert all("val_loss" not in row for row in whole.history)
    assert (whole.directory / "curves.png").stat().st_size > 0


def test_held_out_validation_is_measured(tmp_path):
    run = cifarlab.train(
        rich_recipe(train_on=TRAIN, epochs=1), tiny_dataset(), directory=tmp_path / "run"
    )
    assert run.metrics.validation is not None
    assert run.metrics.validation.n == 30
    assert "val_loss" in run.history[0]


def test_a_loaded_classifier_looks_as_the_recipe_says(whole):
    classifier = cifarlab.Classifier.load(whole.directory)
    assert classifier.tta == dataclasses.replace(rich_recipe().tta, share=1.0)
    data = tiny_dataset()
    assert cifarlab.evaluate(classifier, data.test).accuracy == whole.metrics.test.accuracy
    plain = dataclasses.replace(classifier, tta=None)
    images = np.array(data.test.images)
    assert not np.allclose(classifier.predict_proba(images), plain.predict_proba(images))
    np.testing.assert_allclose(
        plain.predict_proba(images),
        plain.model.predict(images.astype("float32"), verbose=0),
        atol=1e-5,
    )


def test_the_learning_rate_of_the_first_optimizer_moves_the_others_along():
    from cifarlab.training.setup import override

    before = rich_recipe()
    after = override(before, learning_rate=0.2)
    assert [o.lr for o in after.optimizers] == pytest.approx([2 * o.lr for o in before.optimizers])
