"""A lowered model equals the Keras model: outputs, gradients, statistics and weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError
from cifarlab.lowering.model import lower
from lowering.inputs import classifier, functional, randomised, some_images
from lowering.parity import (
    OUTPUTS,
    assert_close,
    assert_lowers_exactly,
    assert_same,
    keras_weights,
    lowered_weights,
    moving,
)
from lowering.strategies import QUICK, model_from
from support import one_line

layers = keras.layers

# Warnings of Keras, about NumPy 2 and about the unusual models that are drawn here.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__:DeprecationWarning", "ignore:You are using a softmax:UserWarning"
)


@QUICK
@given(st.data())
def test_any_model_gives_keras_outputs_gradients_and_statistics(data: Any) -> None:
    assert_lowers_exactly(model_from(data.draw))


@settings(QUICK, max_examples=30)
@given(st.data())
def test_weights_are_written_back_exactly_and_read_in_again(data: Any) -> None:
    model = model_from(data.draw)
    x = some_images(model)
    lowered = lower(model)
    start = keras_weights(model)
    lowered.write_back()
    assert_same(keras_weights(model), start, 0.0)

    lowered.train()
    optimizer = torch.optim.SGD(lowered.trained(), lr=0.5)
    torch.autograd.backward(lowered(x).square().sum())
    optimizer.step()
    trained = lowered_weights(lowered)
    lowered.write_back()
    assert_same(keras_weights(model), trained, 0.0)
    lowered.eval()
    assert_close(lowered(x), model(x, training=False), OUTPUTS)

    randomised(model, seed=1)
    lowered.read_in()
    assert_same(lowered_weights(lowered), keras_weights(model), 0.0)
    assert_close(lowered(x), model(x, training=False), OUTPUTS)


@settings(QUICK, max_examples=30)
@given(st.data())
def test_every_generated_model_ends_in_a_softmax_that_can_be_removed(data: Any) -> None:
    model = model_from(data.draw)
    x = some_images(model)
    lowered = lower(model).eval()
    assert lowered.strip_softmax()
    assert_close(lowered(x).softmax(-1), model(x, training=False), OUTPUTS)
    assert not lowered.strip_softmax()


def test_bytes_give_the_outputs_of_keras() -> None:
    x = torch.randint(0, 256, (3, 4, 4, 2), dtype=torch.uint8)
    for first in (layers.Conv2D(2, 3), layers.Rescaling(1 / 255), layers.MaxPooling2D()):
        model = classifier(first, layers.Flatten(), layers.Dense(3))
        assert_lowers_exactly(model, x)


def test_an_integer_input_gives_the_outputs_of_keras() -> None:
    inputs = keras.Input((4, 4, 2), dtype="uint8")
    x = layers.Rescaling(1 / 255)(layers.MaxPooling2D()(inputs))
    model = randomised(keras.Model(inputs, layers.Dense(2)(x)))
    pixels = torch.randint(0, 256, (3, 4, 4, 2), dtype=torch.uint8)
    lowered = assert_lowers_exactly(model, pixels)
    assert len(lowered.not_lowered) == 1


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
def test_batch_normalization_of_a_single_value(scale: bool, center: bool) -> None:
    model = classifier(
        layers.GlobalMaxPooling2D(),
        layers.Dense(3),
        layers.BatchNormalization(scale=scale, center=center),
        layers.Dense(2),
    )
    lowered = assert_lowers_exactly(model, some_images(model, count=1))
    lowered.train()
    torch.autograd.backward(lowered(some_images(model, count=1)).sum())
    # A missing gradient would stop the momentum of everything before.
    assert all(tensor.grad is not None for tensor in lowered.trained())


def test_a_layer_shared_with_a_nested_model_is_one_layer() -> None:
    def body(x: Any) -> Any:
        convolution = layers.Conv2D(2, 3, padding="same")
        inner_input = keras.Input((4, 4, 2))
        inner = keras.Model(inner_input, layers.ReLU()(convolution(inner_input)))
        return layers.Add()([convolution(x), inner(x)])

    lowered = assert_lowers_exactly(functional(body))
    assert len(lowered.bindings) == 2
    assert len(list(lowered.parameters())) == 2


def test_a_layer_used_in_two_modes_follows_the_mode_of_the_model_as_in_keras() -> None:
    def body(x: Any) -> Any:
        normalization = layers.BatchNormalization(momentum=0.5)
        return normalization(normalization(x), training=False)

    assert assert_lowers_exactly(functional(body)).not_lowered == ()


def test_dropout_drops_a_share_in_training_and_scales_up_the_rest() -> None:
    x = torch.ones(4, 8, 8, 50)
    for layer, per_channel in (
        (layers.Dropout(0.25), False),
        (layers.SpatialDropout2D(0.25), True),
    ):
        lowered = lower(classifier(layer, shape=(8, 8, 50)))
        assert lowered.not_lowered == ()
        torch.manual_seed(0)
        y = lowered.train()(x)
        assert_close(y.unique(), torch.tensor([0.0, 1 / 0.75]), OUTPUTS)
        assert float((y == 0).float().mean()) == pytest.approx(0.25, abs=0.06)
        assert (len(y[0, :, :, 0].unique()) == 1) == per_channel
        assert torch.equal(lowered.eval()(x), x)


class TestFrozen:
    def trained_names(self, model: KerasModel) -> set[str]:
        lowered = lower(model)
        start = lowered_weights(lowered)
        lowered.train()
        optimizer = torch.optim.SGD(lowered.trained(), lr=1.0)
        torch.autograd.backward(lowered(some_images(model)).square().sum())
        optimizer.step()
        lowered.write_back()
        end = keras_weights(model)
        changed = {name for name in end if not torch.equal(start[name], end[name])}
        assert {b.path for b in lowered.trained_bindings} >= changed - set(moving(end))
        assert_lowers_exactly(model)
        return {"/".join(name.split("/")[-2:]) for name in changed}

    def test_frozen_layers_stay_and_a_frozen_normalization_runs_in_inference(self) -> None:
        model = classifier(
            layers.Conv2D(2, 3, trainable=False, name="conv"),
            layers.BatchNormalization(trainable=False, name="norm"),
            layers.Flatten(),
            layers.Dense(3, name="dense"),
        )
        assert self.trained_names(model) == {"dense/kernel", "dense/bias"}

    def test_layers_frozen_after_building_stay(self) -> None:
        inner = keras.Sequential(
            [keras.Input((4, 4, 2)), layers.Conv2D(2, 3), layers.BatchNormalization()]
        )
        model = classifier(inner, layers.Flatten(), layers.Dense(3, name="dense"))
        inner.trainable = False
        assert self.trained_names(model) == {"dense/kernel", "dense/bias"}

    def test_a_frozen_model_has_nothing_to_train(self) -> None:
        model = classifier(layers.Conv2D(2, 3, kernel_regularizer="l2"), layers.Flatten())
        model.trainable = False
        lowered = lower(model)
        assert lowered.trained() == []
        assert float(lowered.penalty()) == float(sum(model.losses)) == 0.0

    def test_what_keras_trains_in_a_model_that_was_made_frozen_is_trained(self) -> None:
        frozen = keras.Sequential([keras.Input((4, 4, 2)), layers.Flatten()], trainable=False)
        frozen.add(layers.Dense(3))
        lowered = lower(frozen)
        assert len(frozen.trainable_variables) == len(lowered.trained()) == 0
        outer = classifier(frozen)
        assert len(lower(outer).trained()) == len(outer.trainable_variables)


class TestErrors:
    def message(self, model: KerasModel) -> str:
        with pytest.raises(InputError) as error:
            lower(model)
        return one_line(error)

    def test_a_model_without_input_shape_is_refused(self) -> None:
        assert "keras.Input" in self.message(keras.Sequential([layers.Dense(3)], name="mine"))

    def test_two_inputs_or_outputs_are_refused(self) -> None:
        one, two = keras.Input((4,)), keras.Input((4,))
        added = layers.Add()([one, two])
        assert "2 inputs and 1 outputs" in self.message(keras.Model([one, two], added))
        assert "1 inputs and 2 outputs" in self.message(keras.Model(one, [one, layers.ReLU()(one)]))


def test_lowering_leaves_keras_numbering_of_layers_alone() -> None:
    model = classifier(layers.Dense(3), shape=(4,))
    keras.utils.clear_session(free_memory=False)
    lower(model)
    assert keras.Input((1,))._keras_history.operation.name == "input_layer"
    assert keras.Sequential().name == "sequential"


def test_weights_are_copied_so_that_keras_sees_them_only_when_written_back() -> None:
    model = classifier(layers.Dense(3), shape=(4,))
    start = model.get_weights()
    lowered = lower(model)
    with torch.no_grad():
        for tensor in lowered.trained():
            tensor.add_(1.0)
    for mine, own in zip(model.get_weights(), start, strict=True):
        np.testing.assert_array_equal(mine, own)


@settings(QUICK, max_examples=30)
@given(st.data())
def test_weights_in_keras_memory_are_one_with_the_variables(data: Any) -> None:
    model = model_from(data.draw)
    x = some_images(model)
    lowered = lower(model)
    lowered.use_keras_memory()
    with torch.no_grad():
        for binding in lowered.bindings:
            binding.variable.assign(binding.variable * 0.5 + 0.1)
            assert torch.equal(binding.keras_view(), binding.variable.value)
            binding.tensor.mul_(0.5)
            assert torch.equal(binding.keras_view(), binding.variable.value)
    assert_close(lowered.eval()(x), model(x, training=False), OUTPUTS)
    lowered.train()(x)
    assert_same(lowered_weights(lowered), keras_weights(model), 0.0)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("inside", [True, False], ids=["in the layer", "as a layer"])
def test_the_end_is_computed_in_float32(activation: str, inside: bool) -> None:
    if inside:
        end = [layers.Dense(3, activation=activation)]
    else:
        end = [layers.Dense(3), layers.Activation(activation)]
    model = classifier(layers.Flatten(), *end)
    model.layers[1].bias.assign([9.0, -9.0, 0.0])
    lowered = lower(model).eval()
    lowered.end_in_float32()
    with torch.autocast("cpu", torch.bfloat16):
        y = lowered(some_images(model) * 1e-3)
    assert y.dtype == torch.float32
    assert float(y.detach().max()) < 1.0


@pytest.mark.parametrize(("strides", "size", "dtype"), [
    (1, 3, torch.bfloat16), (2, 3, torch.float32), (1, 5, torch.float32),
])  # fmt: skip
def test_depthwise_convolutions_train_in_the_faster_precision(
    strides: int, size: int, dtype: torch.dtype
) -> None:
    depthwise = layers.DepthwiseConv2D(size, strides=strides, padding="same")
    model = classifier(layers.Conv2D(4, 1), depthwise, shape=(8, 8, 3))
    lowered = lower(model).train()
    with torch.autocast("cpu", torch.bfloat16):
        y = lowered(some_images(model))
    assert y.dtype == dtype
    assert_close(y, model(some_images(model)), 0.02)


def test_a_layer_that_is_an_activation_has_its_weights_in_the_lowered_model():
    layers = keras.layers
    convolution = layers.Conv2D(3, 3, activation=layers.PReLU())
    model = keras.Sequential([keras.Input((5, 5, 3)), convolution])
    # Keras builds it at the first call only.
    lowered = lower(model)
    assert [binding.variable.name for binding in lowered.trained_bindings] == [
        *("kernel", "bias", "alpha")
    ]
