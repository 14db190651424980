"""Every argument of ``compile``, of every optimizer and every loss trains as it does in Keras.

The tables of values are those of ``tests/fitting``; here our own loop trains, on its own batches.
An argument that Keras adds and that is in no table fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError
from fitting.test_nothing_dropped import (
    DEFAULTS,
    LOSS_CASES,
    LOSS_VALUES,
    NEUTRAL,
    OPTIMIZER_CASES,
    OPTIMIZER_VALUES,
    SAFE,
    SAME_LOSS,
    arguments_of,
)
from training.as_compiled import (
    assert_same_weights,
    compiled,
    network,
    train_here,
    train_in_keras,
    weights_of,
)

layers, losses, metrics, optimizers = keras.layers, keras.losses, keras.metrics, keras.optimizers

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

Make = Callable[[], dict[str, Any]]


# Keras's own results do not change either: its Adafactor has its relative step in any case, and
# in so few steps the averages of ScheduleFreeAdamW differ by less than rounding.
NEUTRAL_HERE = {("Adafactor", "relative_step"), ("ScheduleFreeAdamW", "beta_1")}
# With the value of tests/fitting this wider kernel diverges, in Keras too.
VALUES = {**OPTIMIZER_VALUES, "muon_b": (-4.7, {})}


def outcome(model: KerasModel, history: list[dict[str, float]]) -> list[Any]:
    return [*weights_of(model), np.array([row["loss"] for row in history])]


def trained(make: Make, form: str = "one-hot", tolerance: float = 2e-4, **kind: Any) -> list[Any]:
    """Return weights and losses of our loop, once they are those of Keras's ``fit``."""
    mine, keras_own = (compiled(network(**kind), make) for _ in range(2))
    history = train_here(mine)
    expected = train_in_keras(keras_own, form)
    assert_same_weights(mine, keras_own, tolerance)
    for row, keras_row in zip(history, expected, strict=True):
        # Weights that are averaged in the end are also what is validated.
        averaged = getattr(mine.optimizer, "use_ema", False)
        for name, value in keras_row.items():
            if not (averaged and name.startswith("val_")):
                assert row[name] == pytest.approx(value, abs=2 * tolerance), name
    return outcome(mine, history)


def plainly(model: KerasModel, make: Make) -> list[Any]:
    return outcome(model, train_here(compiled(model, make)))


def differ(one: list[Any], other: list[Any]) -> bool:
    pairs = zip(one, other, strict=True)
    return any(not np.allclose(a, b, rtol=0, atol=1e-5) for a, b in pairs)


@pytest.mark.parametrize(("name", "argument"), OPTIMIZER_CASES)
def test_of_an_optimizer(name: str, argument: str) -> None:
    value, needed = DEFAULTS.get((name, argument)) or VALUES[argument]
    base = {"learning_rate": 0.02, **SAFE.get(name, {}), **needed}

    def make(changes: dict[str, Any]) -> Make:
        def arguments() -> dict[str, Any]:
            given = {**base, **{k: v() if callable(v) else v for k, v in changes.items()}}
            return {
                "optimizer": getattr(optimizers, name)(**given),
                "loss": "sparse_categorical_crossentropy",
            }

        return arguments

    changed = trained(make({argument: value}), "numbers")
    plain = plainly(network(), make({}))
    neutral = argument in NEUTRAL or (name, argument) in NEUTRAL_HERE
    assert differ(plain, changed) != neutral


@pytest.mark.parametrize(("name", "argument"), LOSS_CASES)
def test_of_a_loss(name: str, argument: str) -> None:
    if name == "CTC":
        pytest.skip("a loss of sequences, refused below")
    value, needed = LOSS_VALUES[argument], {}
    form, activation = "one-hot", "softmax"
    if name in ("SparseCategoricalCrossentropy", "CategoricalGeneralizedCrossEntropy", "Circle"):
        form = "numbers"
    if name in ("Hinge", "SquaredHinge", "CategoricalHinge"):
        activation = "tanh"
    if name == "BinaryFocalCrossentropy" and argument == "alpha":
        needed = {"apply_class_balancing": True}
    if (name, argument) == ("SparseCategoricalCrossentropy", "axis"):
        value = 1
    if argument == "from_logits":
        activation = "linear"

    def make(**changes: Any) -> Make:
        return lambda: {
            "optimizer": optimizers.SGD(0.05),
            "loss": getattr(losses, name)(**{**needed, **changes}),
        }

    tolerance = 2e-2 if argument == "dtype" else 2e-4
    changed = trained(make(**{argument: value}), form, tolerance, activation=activation)
    if argument in ("name", "dtype", "from_logits") or (name, argument) in SAME_LOSS:
        return
    plain = plainly(network(activation), make())
    assert differ(plain, changed)


def test_a_loss_of_sequences_is_refused_by_name() -> None:
    model = compiled(network(), lambda: {"optimizer": "sgd", "loss": losses.CTC()})
    with pytest.raises(InputError, match="does not take 3 outputs"):
        train_here(model)


COMPILE_VALUES: dict[str, Any] = {
    "optimizer": lambda: optimizers.SGD(0.3),
    "loss": lambda: "mse",
    "loss_weights": lambda: 0.5,
    "metrics": lambda: ["mae", "accuracy", metrics.TopKCategoricalAccuracy(2, name="top2")],
    "weighted_metrics": lambda: ["mae", "accuracy"],
    "run_eagerly": lambda: True,
    "steps_per_execution": lambda: 2,
    "auto_scale_loss": lambda: False,
}


@pytest.mark.parametrize("argument", [a for a in arguments_of(keras.Model.compile) if a != "self"])
def test_of_compile(argument: str) -> None:
    if argument == "jit_compile":
        # Keras would have PyTorch's compiler run the same step.
        return

    def make() -> dict[str, Any]:
        base = {"optimizer": optimizers.SGD(0.1), "loss": "categorical_crossentropy"}
        return {**base, argument: COMPILE_VALUES[argument]()}

    if argument == "steps_per_execution":
        # Keras refuses it on PyTorch; it would change no result.
        plainly(network(), make)
        return
    found = trained(make)
    if argument in ("metrics", "weighted_metrics"):
        fresh = compiled(network(), make)
        names = set(train_here(fresh)[0])
        assert {"mae", "val_mae", "accuracy", "val_accuracy"} <= names
        assert ("val_top2" in names) == (argument == "metrics")
    if argument in ("optimizer", "loss", "loss_weights"):
        plain = plainly(
            network(),
            lambda: {"optimizer": optimizers.SGD(0.1), "loss": "categorical_crossentropy"},
        )
        assert differ(plain, found)


def test_class_weights_are_keras_class_weight() -> None:
    def make() -> dict[str, Any]:
        return {
            "optimizer": optimizers.SGD(0.1),
            "loss": "sparse_categorical_crossentropy",
            "metrics": ["accuracy"],
            "weighted_metrics": [metrics.SparseCategoricalAccuracy(name="weighted")],
        }

    mine, keras_own = (compiled(network(), make) for _ in range(2))
    history = train_here(mine, class_weights={0: 3.0, 2: 0.5})
    expected = train_in_keras(keras_own, "numbers", class_weight={0: 3.0, 1: 1.0, 2: 0.5})
    assert_same_weights(mine, keras_own)
    for row, keras_row in zip(history, expected, strict=True):
        for name, value in keras_row.items():
            assert row[name] == pytest.approx(value, abs=1e-4), name


def test_accuracy_is_in_the_history_without_metrics() -> None:
    model = compiled(
        network("sigmoid"), lambda: {"optimizer": "sgd", "loss": "binary_crossentropy"}
    )
    row = train_here(model)[-1]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "val_macro_f1"} <= set(row)


def own_loss(true: Any, predicted: Any) -> Any:
    """A function of the user's."""
    return keras.ops.mean(keras.ops.square(true - predicted), axis=-1) * 3.0


def own_sparse_loss(true: Any, predicted: Any) -> Any:
    """A function of the user's that takes class numbers."""
    return losses.sparse_categorical_crossentropy(true, predicted) * 2.0


class OwnStep(keras.Model):  # type: ignore[misc]
    """A training step of the user's."""

    def train_step(self, data: Any) -> Any:
        """Train half as fast, count, and report what Keras does not."""
        x, y = data
        predicted = self(x, training=True)
        self.zero_grad()
        loss = 0.5 * self.compute_loss(x=x, y=y, y_pred=predicted)
        loss.backward()
        gradients = [v.value.grad for v in self.trainable_weights]
        self.optimizer.apply(gradients, self.trainable_weights)
        return {"halved": loss.detach(), "loss": loss.detach()}


class OwnLoss(keras.Model):  # type: ignore[misc]
    """A loss of the user's, in place of a compiled one."""

    def compute_loss(
        self,
        x: Any = None,  # noqa: ARG002
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,  # noqa: ARG002
        training: bool = True,  # noqa: ARG002
    ) -> Any:
        """Return the mean square."""
        return keras.ops.mean(keras.ops.square(y - y_pred))


@pytest.mark.parametrize(
    ("loss", "form"),
    [(own_loss, "one-hot"), (own_sparse_loss, "numbers")],
    ids=["one-hot", "numbers"],
)
def test_a_function_of_the_users_is_the_loss(loss: Any, form: str) -> None:
    trained(lambda: {"optimizer": optimizers.SGD(0.1), "loss": loss}, form)


class Said:
    """Progress that keeps the messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)

    def started(self, *_: Any) -> None:
        """Do nothing."""

    def advanced(self, count: int = 1) -> None:
        """Do nothing."""

    def epoch_ended(self, *_: Any) -> None:
        """Do nothing."""


def test_a_step_of_the_users_is_called_and_said() -> None:
    def make() -> dict[str, Any]:
        return {"optimizer": optimizers.SGD(0.1), "loss": "categorical_crossentropy"}

    mine, keras_own = (compiled(network(kind=OwnStep), make) for _ in range(2))
    said = Said()
    history = train_here(mine, progress=said)
    expected = train_in_keras(keras_own)
    assert_same_weights(mine, keras_own)
    assert history[-1]["halved"] == pytest.approx(expected[-1]["halved"], abs=1e-5)
    assert history[-1]["val_loss"] == pytest.approx(expected[-1]["val_loss"], abs=1e-5)
    assert any("OwnStep has a train_step of its own" in line for line in said.lines)


def test_a_compute_loss_of_the_users_needs_no_compiled_loss() -> None:
    mine, keras_own = (
        compiled(network(kind=OwnLoss), lambda: {"optimizer": optimizers.SGD(0.1)})
        for _ in range(2)
    )
    train_here(mine)
    train_in_keras(keras_own)
    assert_same_weights(mine, keras_own)


def test_a_layer_frozen_by_a_callback_stays_frozen() -> None:
    model = compiled(
        network(), lambda: {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy"}
    )
    seen: list[np.ndarray] = []

    def freeze(*_: Any) -> None:
        seen.append(np.array(model.get_weights()[0]))
        model.get_layer("first").trainable = False

    train_here(model, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=freeze)])
    assert np.array_equal(*seen)
