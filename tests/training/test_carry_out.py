"""What is refused is refused before anything is written, and what was trained is kept."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cifarlab
from cifarlab.backend import KerasModel, keras
from cifarlab.errors import CifarlabError, RunInterruptedError
from cifarlab.saving.model_file import load_model
from cifarlab.training.train import TrainOptions, resume, train
from support import contents
from tiny import SIDE, SignalAt, saved_weights, tiny_dataset, tiny_recipe

layers = keras.layers
SHAPE = (SIDE, SIDE, 3)
CPU = TrainOptions(device="cpu", precision="float32")
SPARSE = "sparse_categorical_crossentropy"


def network(optimizer: Any = "adam", loss: Any = SPARSE, activation: Any = "softmax") -> KerasModel:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Rescaling(1 / 255),
            layers.Conv2D(2, 3),
            layers.Flatten(),
            layers.Dense(3, activation=activation),
        ]
    )
    if optimizer is not None:
        model.compile(optimizer, loss, metrics=["accuracy"])
    return model


class Subclass(keras.Model):
    """A model with a ``call`` of its own."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.flatten, self.dense = layers.Flatten(), layers.Dense(3)

    def call(self, images: Any) -> Any:
        return self.dense(self.flatten(images / 255))


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (network, {"callbacks": keras.callbacks.EarlyStopping("val_acc")}),
        (lambda: network(loss=keras.losses.CTC()), {}),
        (lambda: network(loss=keras.losses.CategoricalCrossentropy(reduction=None)), {}),
        (network, {"class_weights": {"red": 2.0}}),
        (lambda: tiny_recipe(), {"callbacks": keras.callbacks.EarlyStopping("val_acc")}),
    ],
    ids=["callback", "loss", "loss-for-each-image", "class-weights", "recipe"],
)
def test_an_earlier_run_survives_what_is_refused(
    model: Any, changes: dict[str, Any], tmp_path: Path
) -> None:
    train(tiny_recipe(epochs=1), tiny_dataset(), directory=tmp_path / "r", options=CPU)
    before = contents(tmp_path / "r")
    given = {"epochs": 1, "options": CPU, **changes}
    with pytest.raises(CifarlabError):
        train(model(), tiny_dataset(), directory=tmp_path / "r", overwrite=True, **given)
    assert contents(tmp_path / "r") == before
    with pytest.raises(CifarlabError):
        train(model(), tiny_dataset(), directory=tmp_path / "new", **given)
    assert not (tmp_path / "new").exists()


def test_an_optimizer_that_h5_cannot_hold_loses_nothing(tmp_path: Path) -> None:
    model = network(keras.optimizers.Adafactor(0.01))
    run = train(model, tiny_dataset(), epochs=1, directory=tmp_path / "r", options=CPU)
    images = tiny_dataset().test.images
    for name in ("best.keras", "best.h5"):
        loaded = keras.saving.load_model(tmp_path / "r" / name, compile=False)
        found = loaded.predict(images.astype("float32"), verbose=0)
        np.testing.assert_allclose(found, plain(run, images), atol=1e-5)


def plain(run: Any, images: Any) -> Any:
    """Probabilities without the temperature, which is no part of the model."""
    return run.classifier.model.predict(images.astype("float32"), verbose=0)


def test_what_was_said_before_training_is_not_said_again_after_it(tmp_path: Path) -> None:
    model = network(loss="binary_crossentropy", activation="sigmoid")
    train(model, tiny_dataset(), epochs=1, directory=tmp_path / "r", options=CPU)
    assert not (tmp_path / "r" / "best.h5").exists()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_rounding_of_half_precision_is_not_a_fault(policy: str, tmp_path: Path) -> None:
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        model = network()
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    train(model, tiny_dataset(), epochs=1, directory=tmp_path / "r", options=CPU)


def test_a_subclassed_model_has_one_optimizer_in_its_files(tmp_path: Path) -> None:
    own = {"Subclass": Subclass}
    logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = Subclass()
    model.compile(keras.optimizers.AdamW(0.01), logits, metrics=["accuracy"])
    with pytest.raises(RunInterruptedError):
        train(
            model,
            tiny_dataset(),
            epochs=2,
            batch_size=50,
            directory=tmp_path / "r",
            options=CPU,
            progress=SignalAt({4: signal.SIGTERM}),
        )
    assert model.compiled
    assert int(model.optimizer.iterations) == 4
    assert not [
        name for name in saved_weights(tmp_path / "r/checkpoint/start.keras") if "opt" in name
    ]
    run = resume(tmp_path / "r", custom_objects=own, data=tiny_dataset())
    loaded = cifarlab.Classifier.load(tmp_path / "r", "cpu", custom_objects=own)
    images = tiny_dataset().test.images
    np.testing.assert_array_equal(
        loaded.predict_proba(images), run.classifier.predict_proba(images)
    )


def test_a_body_that_was_compiled_and_trained_alone_loads(tmp_path: Path) -> None:
    body = network()
    data = tiny_dataset().train
    body.fit(data.images, data.labels, epochs=1, verbose=0)
    images = keras.Input(SHAPE)
    keras.Model(images, layers.Dense(3, activation="softmax")(body(images))).save(
        tmp_path / "m.keras"
    )
    assert load_model(tmp_path / "m.keras").model.output_shape == (None, 3)


def test_a_model_that_was_not_compiled_resumes_within_the_first_epoch(tmp_path: Path) -> None:
    given: dict[str, Any] = {"epochs": 2, "batch_size": 50, "options": CPU}
    whole = train(network(None), tiny_dataset(), directory=tmp_path / "whole", **given)
    progress = SignalAt({2: signal.SIGTERM})
    with pytest.raises(RunInterruptedError):
        train(network(None), tiny_dataset(), directory=tmp_path / "r", progress=progress, **given)
    resumed = resume(tmp_path / "r", tiny_dataset())
    assert resumed.history[-1]["loss"] == whole.history[-1]["loss"]
    assert saved_weights(tmp_path / "r/best.keras") == saved_weights(tmp_path / "whole/best.keras")


class FromTheGuide(keras.Model):
    """With the training step of Keras's guide, which returns all metrics by name."""

    def train_step(self, data: Any) -> Any:
        """Do a step."""
        import torch

        x, y = data
        self.zero_grad()
        predicted = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=predicted)
        loss.backward()
        weights = self.trainable_weights
        with torch.no_grad():
            self.optimizer.apply([v.value.grad for v in weights], weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, predicted)
        return {metric.name: metric.result() for metric in self.metrics}


def test_the_training_step_of_the_guide(tmp_path: Path) -> None:
    images = keras.Input(SHAPE)
    x = layers.Flatten()(layers.Rescaling(1 / 255)(images))
    model = FromTheGuide(images, layers.Dense(3, activation="softmax")(x))
    top = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")
    model.compile("adam", SPARSE, metrics=["accuracy", top])
    stop = keras.callbacks.EarlyStopping("val_top2", mode="max")
    run = train(
        model, tiny_dataset(), epochs=1, directory=tmp_path / "r", options=CPU, callbacks=stop
    )
    assert {"loss", "accuracy", "top2", "val_top2"} <= set(run.history[-1])


def test_scores_of_each_class_are_known_by_their_names(tmp_path: Path) -> None:
    model = network(loss="categorical_crossentropy")
    model.compile("adam", "categorical_crossentropy", metrics=[keras.metrics.F1Score()])
    hooks = [keras.callbacks.EarlyStopping("val_f1_score_1", mode="max")]
    run = train(model, tiny_dataset(), epochs=1, directory=tmp_path, options=CPU, callbacks=hooks)
    assert "val_f1_score_1" in run.history[-1]
    hooks = [keras.callbacks.EarlyStopping("val_f1_score", mode="max")]
    with pytest.raises(CifarlabError, match="did you mean 'val_f1_score_"):
        train(model, tiny_dataset(), epochs=1, directory=tmp_path / "b", callbacks=hooks)


class SubclassFromTheGuide(Subclass):
    """With both, a ``call`` and a training step of its own."""

    train_step = FromTheGuide.train_step


@pytest.mark.parametrize("kind", [Subclass, SubclassFromTheGuide])
def test_callbacks_are_given_the_subclassed_model_itself(kind: Any, tmp_path: Path) -> None:
    model = kind()
    logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", logits, metrics=["accuracy"])
    path = tmp_path / "last.weights.h5"
    hooks = [
        keras.callbacks.Callback(),
        keras.callbacks.ModelCheckpoint(path, save_weights_only=True),
    ]
    train(model, tiny_dataset(), epochs=1, directory=tmp_path / "r", options=CPU, callbacks=hooks)
    assert hooks[0].model is model
    model.load_weights(path)
