"""``train`` trains a model, or a file of one, with exactly what it was compiled with."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cifarlab
from cifarlab.backend import KerasModel, keras
from cifarlab.data.dataset import Dataset, Split
from cifarlab.errors import InputError, RunInterruptedError, UsageError
from cifarlab.recipes.recipe import from_json, to_json
from cifarlab.training.compiled import (
    as_compiled_before,
    compile_as,
    read_compiled,
    read_compiled_file,
)
from cifarlab.training.own_model import resolve
from cifarlab.training.setup import override
from cifarlab.training.train import TrainOptions
from tiny import CLASSES, SIDE, SignalAt, saved_weights, tiny_dataset

layers, losses, metrics, optimizers = keras.layers, keras.losses, keras.metrics, keras.optimizers

pytestmark = [
    pytest.mark.filterwarnings("ignore:You are saving"),
    pytest.mark.filterwarnings("ignore:.*best.h5.*:UserWarning"),
]
FLOAT32 = TrainOptions(precision="float32")


def network(activation: str = "softmax", units: int = len(CLASSES)) -> KerasModel:
    keras.utils.set_random_seed(1)
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(images))
    return keras.Model(images, layers.Dense(units, activation=activation)(x), name="mine")


def rich() -> dict[str, Any]:
    """Arguments of ``compile`` that use much of it."""
    rate = optimizers.schedules.CosineDecay(0.0, 12, warmup_target=0.02, warmup_steps=3)
    return {
        "optimizer": optimizers.AdamW(rate, weight_decay=0.01, clipnorm=0.5),
        "loss": losses.CategoricalCrossentropy(label_smoothing=0.1, from_logits=True),
        "metrics": ["accuracy", metrics.TopKCategoricalAccuracy(2, name="top2")],
    }


def compiled(arguments: dict[str, Any] | None = None, **kind: Any) -> KerasModel:
    model = network(**kind)
    given = {"optimizer": "adam", "loss": "categorical_crossentropy", **(arguments or {})}
    model.compile(**given)
    return model


def own_loss(true: Any, predicted: Any) -> Any:
    return losses.categorical_crossentropy(true, predicted)


# What is recorded


MANY: list[dict[str, Any]] = [
    rich(),
    {"optimizer": optimizers.SGD(0.1, momentum=0.9, nesterov=True), "loss": "mse"},
    {"optimizer": "rmsprop", "loss": losses.sparse_categorical_crossentropy},
    {"optimizer": optimizers.LossScaleOptimizer(optimizers.Adam(0.1)), "loss": losses.Dice()},
    {"loss": ["categorical_crossentropy"], "metrics": [["accuracy", "mse"]], "loss_weights": [2.0]},
    {
        "optimizer": optimizers.Muon(0.01),
        "weighted_metrics": [metrics.CategoricalAccuracy(), metrics.AUC(num_thresholds=9)],
    },
]


def described(model: KerasModel) -> Any:
    """What a model was compiled with; a function of Keras's is its name."""
    found = read_compiled(model)
    assert found is not None
    config = dict(found.config)
    loss = config["loss"]
    if isinstance(loss, dict) and loss["class_name"] == "function":
        config["loss"] = loss["config"]
    return config


@pytest.mark.parametrize("arguments", MANY, ids=lambda a: ",".join(a))
def test_a_record_is_compiled_again(arguments: dict[str, Any], tmp_path: Path) -> None:
    model = compiled(arguments)
    found = read_compiled(model)
    assert found is not None
    assert not found.own
    again = network()
    compile_as(again, from_json(to_json(found)))
    assert described(again) == described(model)
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"m{suffix}"
        model.save(path)
        from_file = read_compiled_file(path)
        assert from_file is not None
        compile_as(again := network(), from_file)
        assert described(again) == described(model)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"loss": own_loss}, "own_loss"),
        ({"loss": lambda t, p: own_loss(t, p)}, "<lambda>"),
        ({"metrics": ["accuracy", own_loss]}, "own_loss"),
        (
            {"optimizer": type("Mine", (optimizers.SGD,), {"__module__": "mine"})(0.1)},
            "Mine",
        ),
        ({"optimizer": optimizers.SGD(lambda: 0.1)}, "<lambda>"),
    ],
    ids=["function", "lambda", "metric", "optimizer", "rate"],
)
def test_code_of_the_users_is_named_and_not_built(arguments: dict[str, Any], named: str) -> None:
    model = compiled(arguments)
    found = read_compiled(model)
    assert found is not None
    assert named in found.own
    with pytest.raises(InputError, match=r"resume\(directory, model=model"):
        compile_as(network(), found)


@pytest.mark.parametrize(
    "part",
    [
        {"module": "os", "class_name": "system", "config": {}},
        {"module": "keras.layers", "class_name": "Lambda", "config": {}},
        {"module": "builtins", "class_name": "function", "config": "eval"},
        {"class_name": "__lambda__", "config": {"value": "x"}},
        {"module": "evil", "class_name": "Adam", "config": {}},
    ],
    ids=lambda part: part["class_name"],
)
def test_a_record_that_names_anything_else_is_refused(part: dict[str, Any]) -> None:
    found = read_compiled(compiled())
    assert found is not None
    for argument in ("optimizer", "loss", "metrics"):
        value: Any = [part] if argument == "metrics" else part
        record = type(found)(config={**found.config, argument: value})
        with pytest.raises(InputError, match="code that no file holds"):
            compile_as(network(), record)


# Whole runs


def test_schedule_clipping_decay_and_smoothing_killed_and_resumed(tmp_path: Path) -> None:
    data = tiny_dataset()
    whole = compiled(rich(), activation="linear")
    run = cifarlab.train(
        whole, data, epochs=2, batch_size=32, options=FLOAT32, directory=tmp_path / "whole"
    )
    assert {"val_top2", "top2", "val_macro_f1"} <= set(run.history[-1])
    # The ending is in the file, and not in the model.
    assert whole.layers[-1].activation is keras.activations.linear
    images = data.test.images.astype("float32")
    saved = keras.saving.load_model(run.directory / "best.keras")
    np.testing.assert_allclose(saved.predict(images, verbose=0).sum(1), 1.0, atol=1e-5)
    assert int(whole.optimizer.iterations) == 10
    # From a file, killed in the second epoch, and resumed without the model.
    path = tmp_path / "m.keras"
    compiled(rich(), activation="linear").save(path)
    part = tmp_path / "part"
    with pytest.raises(RunInterruptedError):
        cifarlab.train(
            str(path),
            data,
            epochs=2,
            batch_size=32,
            options=FLOAT32,
            directory=part,
            progress=SignalAt({7: signal.SIGINT}),
        )
    resumed = cifarlab.resume(part, data)
    assert saved_weights(part / "best.keras") == saved_weights(run.directory / "best.keras")
    assert [r["loss"] for r in resumed.history] == [r["loss"] for r in run.history]
    recorded = from_json(to_json(resumed.recipe)).as_compiled.config
    assert recorded["optimizer"]["config"]["clipnorm"] == 0.5
    assert recorded["loss"]["config"]["label_smoothing"] == 0.1


def test_a_loss_of_the_users_needs_the_model_to_resume(tmp_path: Path) -> None:
    data = tiny_dataset()
    with pytest.raises(RunInterruptedError):
        cifarlab.train(
            compiled({"loss": own_loss}),
            data,
            epochs=2,
            directory=tmp_path,
            progress=SignalAt({1: signal.SIGINT}),
        )
    with pytest.raises(InputError, match=r"own_loss.*model=model"):
        cifarlab.resume(tmp_path, data)
    with pytest.raises(UsageError, match="another loss than the run"):
        cifarlab.resume(tmp_path, data, model=compiled())
    run = cifarlab.resume(tmp_path, data, model=compiled({"loss": own_loss}))
    assert len(run.history) == 2


def test_two_classes_with_one_unit(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = (
        draws.integers(0, 90, (60, SIDE, SIDE, 3)) + 120 * labels[:, None, None, None]
    ).astype(np.uint8)
    model = compiled(
        {"loss": "binary_crossentropy", "metrics": ["accuracy"]}, activation="sigmoid", units=1
    )
    parts = (slice(0, 40), slice(40, 50), slice(50, 60))
    data = Dataset(
        name="two",
        source="drawn by the tests",
        class_names=("dark", "bright"),
        **{
            name: Split(images=images[part], labels=labels[part])
            for name, part in zip(("train", "validation", "test"), parts, strict=True)
        },
    )
    run = cifarlab.train(model, data, epochs=3, directory=tmp_path / "run")
    classifier = cifarlab.Classifier.load(run.directory, "cpu")
    found = classifier.predict_proba(images)
    p = model.predict(images.astype("float32"), verbose=0)
    np.testing.assert_allclose(found[:, 1:], p, atol=0.3)
    assert found.shape == (60, 2)


def test_the_users_compilation_is_as_it_was(tmp_path: Path) -> None:
    data = tiny_dataset()
    model = compiled(
        {
            "optimizer": optimizers.Adam(0.01),
            "loss": "sparse_categorical_crossentropy",
            "metrics": ["accuracy"],
        }
    )
    optimizer = model.optimizer
    run = cifarlab.train(model, data, epochs=1, learning_rate=0.5, directory=tmp_path / "run")
    assert run.history[0]["learning_rate"] == pytest.approx(0.5)
    assert model.optimizer is optimizer
    assert float(optimizer.learning_rate) == pytest.approx(0.01)
    found = model.evaluate(
        data.test.images.astype("float32"), data.test.labels, verbose=0, return_dict=True
    )
    assert set(found) == {"loss", "accuracy"}


def test_a_recipe_that_is_named_goes_first() -> None:
    model = compiled({"optimizer": "rmsprop"})
    before = model.optimizer
    with as_compiled_before(model):
        model.compile("sgd", "mse")
    assert model.optimizer is before
    assert model.loss == "categorical_crossentropy"


@pytest.mark.parametrize(
    ("optimizer", "named"),
    [
        (lambda: optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 5)), "CosineDecay"),
        (
            lambda: optimizers.LossScaleOptimizer(
                optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 5))
            ),
            "CosineDecay",
        ),
        (lambda: optimizers.MultiOptimizer(lambda _: optimizers.SGD()), "MultiOptimizer"),
    ],
    ids=["schedule", "scaled", "several"],
)
def test_a_rate_in_place_of_a_schedule_is_refused(
    optimizer: Any, named: str, tmp_path: Path
) -> None:
    model = compiled({"optimizer": optimizer()})
    with pytest.raises(UsageError, match=named):
        cifarlab.train(model, tiny_dataset(), learning_rate=0.1, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_contradicts_is_refused_before_a_run_begins(tmp_path: Path) -> None:
    cases = (
        (compiled({"loss": losses.CategoricalCrossentropy(from_logits=True)}), "from_logits"),
        (compiled(units=5), "3 classes"),
        (compiled(activation="linear"), "takes probabilities"),
    )
    for model, said in cases:
        with pytest.raises(InputError, match=said):
            cifarlab.train(model, tiny_dataset(), directory=tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_a_model_that_is_not_compiled_may_end_in_logits() -> None:
    model = network("linear")
    recipe, own = resolve(model)
    assert recipe.as_compiled is None
    assert own is model
    assert override(recipe, learning_rate=0.1).optimizers[0].lr == 0.1


def test_the_optimizer_of_a_trained_file_goes_on(tmp_path: Path) -> None:
    model = compiled({"optimizer": optimizers.SGD(0.01, momentum=0.9)})
    data = tiny_dataset()
    images, labels = data.train.images.astype("float32"), np.eye(3)[data.train.labels]
    model.fit(images, labels, batch_size=50, verbose=0)
    model.save(tmp_path / "m.keras")
    _, again = resolve(str(tmp_path / "m.keras"))
    assert int(again.optimizer.iterations) == 3
    for mine, other in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.array(mine), np.array(other))


@pytest.mark.filterwarnings("ignore:.*HDF5")
def test_a_file_whose_optimizer_keras_took_out_keeps_its_loss_and_says_so(tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, activation="softmax")])
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    model.compile(keras.optimizers.SGD(), loss)
    model.save(tmp_path / "first.h5")
    model.save(tmp_path / "second.keras")
    with pytest.warns(UserWarning, match=r"second\.keras: .* no optimizer .* trained with Adam"):
        compiled = read_compiled_file(tmp_path / "second.keras")
    assert compiled is not None
    assert compiled.config["optimizer"]["class_name"] == "Adam"
    assert compiled.config["loss"]["config"]["label_smoothing"] == 0.1
