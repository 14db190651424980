"""What a model ends in: all of it trains, and the saved file gives probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifarlab.backend import KerasModel, keras
from cifarlab.classifier import Classifier
from cifarlab.errors import InputError
from cifarlab.saving.model_file import load_model, save_model
from cifarlab.training.endings import Finished, ending_of, finish
from cifarlab.training.losses import kind_of, loss_of
from training.as_compiled import SIDE, network, split, train_here

layers, losses, ops = keras.layers, keras.losses, keras.ops

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

IMAGES = split(9, 3).images


def with_last(last: Any, units: int = 3) -> KerasModel:
    """A network whose last operation is ``last`` of a dense layer without activation."""
    base = network("linear", units)
    return keras.Model(base.inputs, last(base.outputs[0]))


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def both(p: np.ndarray) -> np.ndarray:
    return np.concatenate([1 - p, p], axis=1)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def share(p: np.ndarray) -> np.ndarray:
    return p / p.sum(1, keepdims=True)


def same(p: np.ndarray) -> np.ndarray:
    return p


LOGITS = losses.CategoricalCrossentropy(from_logits=True)
SPARSE_LOGITS = losses.SparseCategoricalCrossentropy(from_logits=True)
BINARY_LOGITS = losses.BinaryCrossentropy(from_logits=True)

# A model, its loss, what becomes of its outputs, and whether something is added.
CASES: dict[str, tuple[Any, Any, Any, bool]] = {
    "softmax": (lambda: network(), "categorical_crossentropy", same, False),
    "softmax layer": (
        lambda: with_last(layers.Softmax()), "sparse_categorical_crossentropy", same, False),
    "softmax activation": (
        lambda: with_last(layers.Activation("softmax")), "categorical_crossentropy", same, False),
    "softmax operation": (
        lambda: with_last(ops.softmax), "categorical_crossentropy", same, True),
    "softmax, then a reshape": (
        lambda: keras.Model((n := network()).inputs, layers.Reshape((3,))(n.outputs[0])),
        "categorical_crossentropy", same, True),
    "softmax and focal": (
        lambda: network(), losses.CategoricalFocalCrossentropy(), same, False),
    "softmax and dice": (lambda: network(), losses.Dice(), same, False),
    "softmax and mse": (lambda: network(), "mse", same, False),
    "logits": (lambda: network("linear"), LOGITS, softmax, True),
    "sparse logits": (lambda: network(None), SPARSE_LOGITS, softmax, True),
    "log of softmax": (lambda: network("log_softmax"), LOGITS, softmax, True),
    "hinge": (lambda: network("linear"), "categorical_hinge", softmax, True),
    "squared hinge": (lambda: network("tanh"), "squared_hinge", softmax, True),
    "linear and mse": (lambda: network("linear"), "mse", softmax, True),
    "sigmoids": (lambda: network("sigmoid"), "binary_crossentropy", share, True),
    "sigmoids and cross-entropy": (
        lambda: network("sigmoid"), "categorical_crossentropy", share, True),
    "sigmoid operation": (
        lambda: with_last(ops.sigmoid), "binary_crossentropy", share, True),
    "logits of sigmoids": (lambda: network("linear"), BINARY_LOGITS, softmax, True),
    "one sigmoid": (lambda: network("sigmoid", 1), "binary_crossentropy", both, True),
    "one sigmoid layer": (
        lambda: with_last(layers.Activation("sigmoid"), 1), "binary_crossentropy", both, True),
    "one sigmoid and mse": (lambda: network("sigmoid", 1), "mse", both, True),
    "one sigmoid and focal": (
        lambda: network("sigmoid", 1), losses.BinaryFocalCrossentropy(), both, True),
    "one logit": (
        lambda: network("linear", 1), BINARY_LOGITS, lambda z: both(sigmoid(z)), True),
    "one value and hinge": (
        lambda: network("linear", 1), "hinge", lambda z: both(sigmoid(z)), True),
    "one value and mse": (
        lambda: network("linear", 1), "mse", lambda p: both(np.clip(p, 0, 1)), True),
    "two softmax units": (lambda: network("softmax", 2), "categorical_crossentropy", same, False),
    "sequential": (
        lambda: keras.Sequential([keras.Input((SIDE, SIDE, 3)), network("linear")]),
        LOGITS, softmax, True),
}  # fmt: skip


def case(name: str) -> tuple[KerasModel, Finished, Any, bool]:
    make, loss, expected, added = CASES[name]
    model = make()
    model.compile("sgd", loss, metrics=["accuracy"])
    finished = finish(model, IMAGES, loss_of(model), as_compiled=True)
    return model, finished, expected, added


@pytest.mark.parametrize("name", CASES)
def test_it_trains_and_gives_probabilities(name: str, tmp_path: Path) -> None:
    model, finished, expected, added = case(name)
    classes = 3 if model.output_shape[-1] == 3 else 2
    row = train_here(model, classes)[-1]
    assert np.isfinite([row["loss"], row["val_loss"], row["accuracy"], row["val_accuracy"]]).all()
    assert (finished.model is not model) == added == bool(finished.added)
    names = tuple("abc"[:classes])
    path = tmp_path / "m.keras"
    if finished.model is not model:
        finished.model.compile("sgd", "categorical_crossentropy")
    save_model(finished.model, path, class_names=names, recipe={})
    images = IMAGES.astype("float32")
    wanted = expected(model.predict(images, verbose=0).astype("float64"))
    classifier = Classifier.from_keras(load_model(path).model, names)
    for found in (
        keras.saving.load_model(path).predict(images, verbose=0),
        load_model(path).model.predict(images, verbose=0),
        classifier.predict_proba(IMAGES),
    ):
        assert found.shape == (9, classes)
        np.testing.assert_allclose(found, wanted, atol=2e-6)
        np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-6)


def test_the_ending_has_the_weights_of_the_model() -> None:
    model, finished, _, _ = case("logits")
    before = finished.model.predict(IMAGES.astype("float32"), verbose=0)
    train_here(model)
    assert not np.allclose(finished.model.predict(IMAGES.astype("float32"), verbose=0), before)
    assert model.output_shape == (None, 3)


def test_accuracy_counts_the_right_side_of_one_unit() -> None:
    for name in ("one sigmoid", "one logit", "one value and hinge", "one value and mse"):
        model, finished, _, _ = case(name)
        model.compile("sgd", model.loss)
        row = train_here(model, 2)[-1]
        data = split(7, 2, 1)
        found = finished.model.predict(data.images.astype("float32"), verbose=0).argmax(1)
        assert row["val_accuracy"] == pytest.approx((found == data.labels).mean())


CONTRADICTIONS: dict[str, tuple[Any, Any, str]] = {
    "softmax and from_logits": (lambda: network(), LOGITS, "told from_logits=True"),
    "softmax operation and from_logits": (
        lambda: with_last(ops.softmax), SPARSE_LOGITS, "told from_logits=True"),
    "sigmoid and from_logits": (
        lambda: network("sigmoid", 1), BINARY_LOGITS, "told from_logits=True"),
    "logits and probabilities": (
        lambda: network("linear"), "categorical_crossentropy", "takes probabilities"),
    "one logit and probabilities": (
        lambda: network("linear", 1), "binary_crossentropy", "takes probabilities"),
    "sparse loss of one sigmoid": (
        lambda: network("sigmoid", 1), "sparse_categorical_crossentropy", "ends in one unit"),
    "softmax of one unit": (
        lambda: network("softmax", 1), "binary_crossentropy", "always 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_is_refused_in_one_line(name: str) -> None:
    make, loss, said = CONTRADICTIONS[name]
    model = make()
    model.compile("sgd", loss)
    with pytest.raises(InputError, match=said) as caught:
        finish(model, IMAGES, loss_of(model), as_compiled=True)
    assert "; " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("loss", "metric", "said"),
    [
        ("sparse_categorical_crossentropy", keras.metrics.TopKCategoricalAccuracy(2), "TopK"),
        ("categorical_crossentropy", keras.metrics.SparseTopKCategoricalAccuracy(2), "Sparse"),
        ("categorical_crossentropy", "sparse_categorical_accuracy", "sparse_cat"),
    ],
)
def test_a_metric_for_other_labels_is_refused(loss: str, metric: Any, said: str) -> None:
    model = network()
    model.compile("sgd", loss, metrics=[metric])
    with pytest.raises(InputError, match=said):
        train_here(model)


def test_a_softmax_in_code_is_recognised_by_its_values() -> None:
    class Own(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return ops.softmax(x)

    assert ending_of(with_last(Own()), IMAGES) == "softmax"
    assert ending_of(with_last(layers.ReLU()), IMAGES.astype("uint8")) == "linear"


@pytest.mark.parametrize(
    ("loss", "name", "numbers", "logits"),
    [
        ("mse", "mean_squared_error", False, False),
        ("sparse_categorical_crossentropy", "sparse_categorical_crossentropy", True, False),
        (SPARSE_LOGITS, "sparse_categorical_crossentropy", True, True),
        (losses.binary_crossentropy, "binary_crossentropy", False, False),
        ("crossentropy", "crossentropy", False, False),
    ],
    ids=["mse", "sparse", "sparse logits", "binary", "crossentropy"],
)
def test_what_a_loss_takes(loss: Any, name: str, numbers: bool, logits: bool) -> None:
    kind = kind_of(loss)
    assert (kind.name, kind.takes_numbers, kind.from_logits) == (name, numbers, logits)
