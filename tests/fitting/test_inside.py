"""Stock layers that the user's own code calls run natively, and give what Keras's own give."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch

from cifarlab.backend import KerasModel, keras
from cifarlab.fitting.fit import KERAS_OWN, fit
from cifarlab.fitting.inside import Inside, OwnSteps
from cifarlab.fitting.plan import make_plan
from fitting.comparison import assert_same_outcome, outcome_of

layers, ops = keras.layers, keras.ops

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 6, 6, 4)).astype("float32")
Y = RNG.integers(0, 3, 12)
SHAPE = (6, 6, 4)


class Mixing(layers.Layer):  # type: ignore[misc]
    """A user's layer of stock layers, one of which it also reads a weight of."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.mlp = keras.Sequential(
            [layers.Dense(8, activation="gelu"), layers.Dropout(0.2), layers.Dense(4)]
        )
        self.layer_norm, self.batch_norm = layers.LayerNormalization(), layers.BatchNormalization()
        self.still = layers.BatchNormalization()
        self.dense = layers.Dense(4, use_bias=False, kernel_regularizer="l2")
        self.depthwise = layers.DepthwiseConv2D(3, padding="same", use_bias=False)

    def build(self, shape: Any) -> None:
        for layer in self._flatten_layers(recursive=False, include_self=False):
            layer.build(shape)

    def call(self, x: Any) -> Any:
        self.add_loss(0.1 * ops.mean(ops.square(x)))
        y = self.mlp(self.layer_norm(x)) + self.batch_norm(self.depthwise(x))
        y = y + self.still(x, training=False)
        return x + y + ops.matmul(x, self.dense.kernel) + self.dense(x)


class OwnStep(keras.Model):  # type: ignore[misc]
    def penalty(self, _: Any) -> Any:
        return 0.0

    def train_step(self, data: Any) -> Any:
        x, y = data
        self.zero_grad()
        outputs = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=outputs) + self.penalty(x)
        loss.backward()
        gradients = [weight.value.grad for weight in self.trainable_weights]
        with torch.no_grad():
            self.optimizer.apply(gradients, self.trainable_weights)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, outputs)
        return {metric.name: metric.result() for metric in self.metrics}


class Penalised(OwnStep):
    """A step with the gradient of a gradient."""

    def penalty(self, x: Any) -> Any:
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(self(x, training=False).square().sum(), x, create_graph=True)
        return slope.square().mean()


class Subclassed(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name="subclassed")
        self.convolution = layers.Conv2D(4, 3, padding="same", activation="relu")
        self.pooling, self.mixing = layers.MaxPooling2D(), Mixing(name="mixing")
        self.attention = layers.MultiHeadAttention(2, 3, dropout=0.1)
        self.end = layers.Dense(3, activation="softmax")

    def call(self, x: Any) -> Any:
        x = self.mixing(self.pooling(self.convolution(x)))
        x = ops.reshape(x, (-1, 9, 4))
        x = ops.mean(self.attention(x, x), axis=1)
        return self.end(x)


def network(kind: Any = keras.Model) -> KerasModel:
    keras.utils.set_random_seed(1)
    inputs = keras.Input(SHAPE)
    x = layers.MaxPooling2D()(layers.Conv2D(4, 3, padding="same", activation="relu")(inputs))
    x = layers.Flatten()(Mixing(name="mixing")(x))
    return kind(inputs, layers.Dense(3, activation="softmax")(x))


def subclassed() -> KerasModel:
    keras.utils.set_random_seed(1)
    model = Subclassed()
    model(X[:2])
    return model


def assert_as_keras(model: KerasModel) -> None:
    compiled = {
        "optimizer": keras.optimizers.SGD(0.05, momentum=0.9),
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
    }

    def arguments() -> dict[str, Any]:
        return {
            "x": X, "y": Y, "batch_size": 5, "epochs": 2, "verbose": 0, "validation_split": 0.25,
        }  # fmt: skip

    def fast(model: KerasModel, **given: Any) -> Any:
        return fit(model, precision="float32", **given)

    keras_own = outcome_of(KERAS_OWN["fit"], model, dict(compiled), arguments())
    compiled["optimizer"] = keras.optimizers.SGD(0.05, momentum=0.9)
    mine = outcome_of(fast, model, dict(compiled), arguments())
    assert_same_outcome(mine, keras_own)


def test_a_layer_of_stock_layers() -> None:
    model = network()
    assert_as_keras(model)
    plan, native = make_plan("fit", model, "float32")
    assert plan.native
    assert plan.run_by_keras == ("mixing",)
    assert {layer.name for layer, _ in native.inside.calls} >= {
        layer.name for layer in model.get_layer("mixing")._flatten_layers(False, False)
    }


@pytest.mark.parametrize("kind", [OwnStep, Penalised])
def test_a_model_with_its_own_step(kind: Any) -> None:
    model = network(kind)
    assert_as_keras(model)
    plan, steps = make_plan("fit", model, "float32")
    assert (plan.native, plan.native_layers) == (False, True)
    assert isinstance(steps, OwnSteps)


def test_a_model_whose_graph_is_python_code() -> None:
    model = subclassed()
    assert_as_keras(model)
    _, steps = make_plan("fit", model, "float32")
    parts = (model.convolution, model.pooling, model.attention, model.end)
    assert {id(layer) for layer in parts} <= {id(layer) for layer, _ in steps.inside.calls}


def test_a_model_that_fit_builds() -> None:
    def trained(call: Any, **more: Any) -> Any:
        keras.utils.set_random_seed(2)
        model = Subclassed()
        model.compile("sgd", "sparse_categorical_crossentropy")
        return call(model, X, Y, batch_size=4, verbose=0, **more).history["loss"]

    mine = trained(fit, precision="float32")
    np.testing.assert_allclose(mine, trained(KERAS_OWN["fit"]), rtol=1e-5)


def test_a_layer_frozen_on_the_way_stays_as_it_is() -> None:
    model = network(OwnStep)
    dense = model.get_layer("mixing").dense

    class Freeze(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, *_: Any) -> None:
            dense.trainable = False
            self.before = dense.kernel.numpy().copy()

    freeze = Freeze()
    model.compile("sgd", "sparse_categorical_crossentropy")
    fit(model, X, Y, epochs=2, verbose=0, callbacks=[freeze], precision="float32")
    np.testing.assert_array_equal(dense.kernel.numpy(), freeze.before)


def test_nothing_is_left_in_the_layers() -> None:
    model = network(OwnStep)
    before = {id(layer): set(vars(layer)) for layer in model._flatten_layers()}
    inside = Inside(model.layers, frozenset(), torch.float32)
    with contextlib.suppress(ValueError), inside.in_place():
        assert any("call" in vars(layer) for layer in model._flatten_layers())
        raise ValueError
    assert {id(layer): set(vars(layer)) for layer in model._flatten_layers()} == before


def test_what_stands_for_other_weights_is_keras_own() -> None:
    model = network()
    dense = model.layers[-1]
    inside = Inside([dense], frozenset(), torch.float32)
    weights = [torch.zeros(v.shape) for v in dense.trainable_variables]
    with inside.in_place():
        outputs, _ = dense.stateless_call(weights, [], torch.ones(2, dense.kernel.shape[0]))
    np.testing.assert_allclose(outputs.detach().numpy(), 1 / 3, rtol=1e-6)


def test_probabilities_are_in_float32() -> None:
    dense = layers.Dense(3, activation="softmax")
    dense.build((2, 4))
    inside = Inside([dense], frozenset(), torch.bfloat16)
    with inside.in_place():
        outputs = dense(torch.rand(2, 4))
    assert outputs.dtype == torch.float32
    np.testing.assert_allclose(outputs.sum(-1).detach().numpy(), 1.0, atol=1e-6)
