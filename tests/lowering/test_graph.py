"""Layers without a native form are run by Keras: same outputs, gradients and training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cifarlab.backend import keras
from cifarlab.lowering.model import lower
from lowering.inputs import CLASSES, randomised, some_images
from lowering.parity import OUTPUTS, assert_close, assert_lowers_exactly, assert_trains_alike

layers, ops = keras.layers, keras.ops

IMAGE = (4, 4, 2)

# A warning of Keras about NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")


class Scaling(layers.Layer):  # type: ignore[misc]
    """A user's layer: weights, an inner layer, an added loss, a training mode."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(
            shape=(shape[-1],), initializer="ones", name="scale", regularizer="l2"
        )
        self.inner = layers.BatchNormalization(momentum=0.5, activity_regularizer="l2")
        self.inner.build(shape)

    def call(self, x: Any, training: bool = False) -> Any:
        self.add_loss(0.1 * ops.mean(ops.square(x)))
        x = self.inner(x, training=training)
        return x * self.scale + (1.0 if training else 0.0)


class Block(layers.Layer):  # type: ignore[misc]
    """A user's layer whose ``call`` leaves the training mode to Keras."""

    def build(self, shape: Any) -> None:
        self.dense = layers.Dense(shape[-1])
        self.normalization = layers.BatchNormalization(momentum=0.5)
        self.dense.build(shape)
        self.normalization.build(shape)

    def call(self, x: Any) -> Any:
        return self.normalization(self.dense(x))


class Subclassed(keras.Model):  # type: ignore[misc]
    """A model whose graph is Python code."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Conv2D(3, 2, activation="relu", kernel_regularizer="l2")
        self.normalization = layers.BatchNormalization()
        self.flat = layers.Flatten()
        self.last = layers.Dense(CLASSES, activation="softmax")

    def call(self, x: Any, training: bool = False) -> Any:
        return self.last(self.flat(self.normalization(self.first(x), training=training)))


def classifier(body: Callable[[Any], Any]) -> Any:
    """``body`` between layers that have a native form."""
    inputs = keras.Input(IMAGE)
    x = body(layers.Conv2D(2, 3, padding="same", name="before")(inputs))
    x = layers.Flatten()(x)
    return randomised(
        keras.Model(inputs, layers.Dense(CLASSES, activation="softmax", name="after")(x))
    )


def attention(x: Any) -> Any:
    sequence = layers.Reshape((-1, 2))(x)
    return layers.GroupQueryAttention(3, 2, 1)(sequence, sequence)


def recurrent(x: Any) -> Any:
    sequence, state = layers.GRU(3, return_sequences=True, return_state=True)(
        layers.Reshape((-1, 2))(x)
    )
    return layers.Concatenate()([layers.Flatten()(sequence), state])


def operations(x: Any) -> Any:
    rows = ops.transpose(ops.relu(x - 0.1), (0, 2, 1, 3))
    parts = ops.split(rows, 2, axis=3)
    return ops.concatenate([parts[1] * 2.0, ops.mean(parts[0], axis=3, keepdims=True)], axis=-1)


def constants(x: Any) -> Any:
    image = np.arange(32.0, dtype="float32").reshape(1, *IMAGE) / 32
    return ops.add(ops.multiply(x, torch.from_numpy(image)), image)


def two_inputs(x: Any) -> Any:
    one, two = keras.Input(IMAGE), keras.Input(IMAGE)
    return keras.Model([one, two], layers.Dense(2)(layers.Add()([one, two])))([x, x])


def two_outputs(x: Any) -> Any:
    inputs = keras.Input(IMAGE)
    dense = layers.Dense(2)(inputs)
    return layers.Multiply()(keras.Model(inputs, [dense, layers.ReLU()(dense)])(x))


def named_inputs(x: Any) -> Any:
    inputs = keras.Input(IMAGE, name="image")
    return keras.Model({"image": inputs}, layers.Dense(2)(inputs))({"image": x})


def wrapped_and_bare(x: Any) -> Any:
    dense = layers.Dense(2)
    return layers.Add()([layers.TimeDistributed(dense)(x), dense(x)])


def masked_and_bare(x: Any) -> Any:
    normalization = layers.BatchNormalization()
    rows = layers.Reshape((16, 2))(x)
    mask = np.arange(16).reshape(1, 16).repeat(5, 0) < 8
    return layers.Add()([normalization(rows), normalization(rows, mask=mask)])


def own_layer_twice(x: Any) -> Any:
    scaling = Scaling()
    return scaling(scaling(x))


def padded_sequence(x: Any) -> Any:
    rows = layers.Masking(0.0)(layers.ReLU()(layers.Reshape((16, 2))(x)))
    return layers.GlobalAveragePooling1D()(layers.Dense(2)(rows))


NOT_NATIVE: dict[str, Callable[[Any], Any]] = {
    "Conv2DTranspose": lambda x: layers.Conv2DTranspose(3, 2, strides=2)(x),
    "UpSampling2D": lambda x: layers.UpSampling2D(interpolation="bilinear")(x),
    "Cropping2D": lambda x: layers.Cropping2D(1)(x),
    "GaussianNoise": lambda x: layers.GaussianNoise(0.5, seed=1)(x),
    "GaussianDropout": lambda x: layers.GaussianDropout(0.5, seed=1)(x),
    "BatchNormalization over rows": lambda x: layers.BatchNormalization(axis=1)(x),
    "SpectralNormalization": lambda x: layers.SpectralNormalization(layers.Conv2D(2, 2))(x),
    "Conv1D over rows": lambda x: layers.TimeDistributed(layers.Conv1D(2, 2))(x),
    "attention": attention,
    "recurrent": recurrent,
    "operations": operations,
    "constants": constants,
    "own layer": lambda x: Scaling()(x),
    "own layer without a mode": lambda x: Block()(x),
    "own layer twice": own_layer_twice,
    "own model": lambda x: Subclassed()(x),
    "two inputs": two_inputs,
    "two outputs": two_outputs,
    "named inputs": named_inputs,
    "wrapped and bare": wrapped_and_bare,
    "masked and bare": masked_and_bare,
    "masked": padded_sequence,
}

# Their random numbers, or their own statistics, change from call to call.
STATEFUL = ("GaussianNoise", "GaussianDropout", "SpectralNormalization")


@pytest.mark.parametrize("name", [name for name in NOT_NATIVE if name not in STATEFUL])
def test_it_has_keras_outputs_gradients_and_statistics(name: str) -> None:
    lowered = assert_lowers_exactly(classifier(NOT_NATIVE[name]))
    assert lowered.not_lowered
    assert not {"before", "after"} & set(lowered.not_lowered)


@pytest.mark.parametrize("name", NOT_NATIVE)
def test_it_trains_as_keras_trains_it(name: str) -> None:
    assert_trains_alike(lambda: classifier(NOT_NATIVE[name]))


@pytest.mark.parametrize("name", STATEFUL)
def test_it_has_keras_outputs_in_inference(name: str) -> None:
    model = classifier(NOT_NATIVE[name])
    x = some_images(model)
    lowered = lower(model).eval()
    assert lowered.not_lowered
    assert_close(lowered(x), model(x, training=False), OUTPUTS)
    assert torch.equal(lowered(x), lowered(x))


def test_a_layer_run_by_keras_is_named_once() -> None:
    crop = layers.Cropping2D(((0, 0), (0, 0)), name="crop")

    def body(x: Any) -> Any:
        inner_input = keras.Input(IMAGE)
        inner = keras.Model(inner_input, crop(inner_input))
        return layers.GaussianNoise(0.1, name="noise")(crop(inner(crop(x))))

    assert lower(classifier(body)).not_lowered == ("crop", "noise")


def built() -> Any:
    model = Subclassed()
    model(torch.zeros(1, *IMAGE))
    return randomised(model)


class TestSubclassedModel:
    def test_is_run_by_keras(self) -> None:
        model = built()
        x = torch.randn(5, *IMAGE, generator=torch.Generator().manual_seed(0))
        assert assert_lowers_exactly(model, x).not_lowered == (model.name,)

    def test_trains_and_keeps_its_softmax(self) -> None:
        model = built()
        lowered = lower(model)
        assert not lowered.strip_softmax()
        start = model.get_weights()
        torch.autograd.backward(lowered.train()(torch.ones(2, *IMAGE))[:, 0].sum())
        torch.optim.SGD(lowered.trained(), lr=1.0).step()
        lowered.write_back()
        assert any((a != b).any() for a, b in zip(model.get_weights(), start, strict=True))

    def test_of_a_functional_model_is_lowered_if_it_only_changes_training(self) -> None:
        class Custom(keras.Model):  # type: ignore[misc]
            def train_step(self, data: Any) -> Any:
                raise NotImplementedError

        inputs = keras.Input(IMAGE)
        model = randomised(Custom(inputs, layers.Conv2D(2, 2)(inputs)))
        assert assert_lowers_exactly(model).not_lowered == ()

    def test_of_a_functional_model_is_run_by_keras_if_it_changes_the_call(self) -> None:
        class Custom(keras.Model):  # type: ignore[misc]
            def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
                return 2.0 * super().call(inputs, training=training, mask=mask)

        inputs = keras.Input(IMAGE)
        model = randomised(Custom(inputs, layers.Conv2D(2, 2)(inputs), name="custom"))
        assert assert_lowers_exactly(model).not_lowered == ("custom",)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_layers_with_a_precision_of_their_own_fit_between_native_ones(policy: str) -> None:
    def body(x: Any) -> Any:
        return layers.Conv2D(2, 2)(layers.Conv2DTranspose(2, 2, dtype=policy)(x))

    model = classifier(body)
    x = some_images(model)
    lowered = lower(model).eval()
    assert len(lowered.not_lowered) == 1
    assert_close(lowered(x), model(x, training=False), 0.02)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(lowered(x), model(x, training=False), 0.05)


def test_the_loss_that_layers_add_is_that_of_the_last_call() -> None:
    model = classifier(NOT_NATIVE["own layer twice"])
    x = some_images(model)
    lowered = lower(model).train()
    before = model.get_weights()
    model(x, training=True)
    expected = sum(model.losses).detach()
    model.set_weights(before)
    for _ in range(2):
        lowered.read_in()
        lowered(x)
        assert_close(torch.as_tensor(lowered.penalty()).detach(), expected, OUTPUTS)
        model.set_weights(before)
