"""Every layer in ``LOWERED`` has an exact native form; other settings are run by Keras.

A new entry in ``LOWERED`` fails here until ``EXAMPLES`` has one for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks.layer_examples import (
    EXAMPLES,
    IMAGE,
    SEQUENCE,
    VECTOR,
    VOLUME,
    Example,
    model_around,
)
from cifarlab.backend import keras
from cifarlab.lowering.activations import ELEMENTWISE
from cifarlab.lowering.layers import LOWERED
from cifarlab.lowering.model import lower
from lowering.inputs import randomised, some_images
from lowering.parity import OUTPUTS, assert_close, assert_lowers_exactly

layers = keras.layers

# A warning of Keras about NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")


def cases(examples: dict[type, list[Example]]) -> list[Any]:
    return [
        pytest.param(make, shape, id=f"{layer.__name__}-{i}")
        for layer, several in examples.items()
        for i, (make, shape) in enumerate(several)
    ]


def test_every_lowered_layer_has_examples_of_its_own() -> None:
    assert set(EXAMPLES) == set(LOWERED)
    assert all(type(make()) is layer for layer, several in EXAMPLES.items() for make, _ in several)


@pytest.mark.parametrize(("make", "shape"), cases(EXAMPLES))
def test_the_native_form_is_the_layer(make: Callable[[], Any], shape: tuple[int, ...]) -> None:
    model = model_around(make(), shape)
    assert assert_lowers_exactly(model).not_lowered == ()


def test_normalization_uses_what_it_has_learnt() -> None:
    layer = layers.Normalization()
    inputs = keras.Input(IMAGE)
    model = keras.Model(inputs, layer(inputs))
    x = 3.0 + 2.0 * some_images(model, count=50)
    layer.adapt(x.numpy())
    y = assert_lowers_exactly(model, x)(x)
    assert_close(y.mean((0, 1, 2)), torch.zeros(4), OUTPUTS)
    assert_close(y.std((0, 1, 2), unbiased=False), torch.ones(4), OUTPUTS)


@pytest.mark.parametrize("name", [function.__name__ for function in ELEMENTWISE])
@pytest.mark.parametrize("shape", [IMAGE, SEQUENCE, VECTOR])
def test_activations_are_keras_activations(name: str, shape: tuple[int, ...]) -> None:
    assert_lowers_exactly(model_around(layers.Activation(name), shape))


def test_the_table_has_the_values_of_keras_activations() -> None:
    x = torch.linspace(-30.0, 30.0, 601)
    for function, native in ELEMENTWISE.items():
        if function is not keras.activations.softmax:
            assert_close(native(x), function(x), 1e-6, function.__name__)


@pytest.mark.parametrize("ranks", [(IMAGE, (4,)), (IMAGE, (4, 4)), ((6, 3), (3,))])
def test_inputs_of_different_rank_are_merged_by_keras_rule(ranks: Any) -> None:
    for merge in (layers.Add, layers.Multiply, layers.Maximum):
        inputs = keras.Input(ranks[0])
        small = layers.Dense(ranks[1][-1])(layers.Flatten()(inputs))
        if len(ranks[1]) > 1:
            small = layers.Reshape(ranks[1])(layers.Dense(16)(small))
        for pair in ([inputs, small], [small, inputs]):
            model = randomised(keras.Model(inputs, merge()(pair)))
            assert assert_lowers_exactly(model).not_lowered == ()


CHANNELS_FIRST: list[Callable[[], Any]] = [
    lambda: layers.Conv2D(3, 2, data_format="channels_first"),
    lambda: layers.DepthwiseConv2D(2, data_format="channels_first"),
    lambda: layers.SeparableConv2D(3, 2, data_format="channels_first"),
    lambda: layers.MaxPooling2D(data_format="channels_first"),
    lambda: layers.AveragePooling2D(2, data_format="channels_first"),
    lambda: layers.GlobalMaxPooling2D(data_format="channels_first"),
    lambda: layers.GlobalAveragePooling2D(keepdims=True, data_format="channels_first"),
    lambda: layers.ZeroPadding2D(((1, 2), (3, 0)), data_format="channels_first"),
    lambda: layers.Resizing(3, 2, data_format="channels_first"),
    lambda: layers.Flatten(data_format="channels_first"),
    lambda: layers.SpatialDropout2D(0.0, data_format="channels_first"),
]


def with_lora() -> Any:
    layer = layers.Conv2D(3, 2)
    layer.build((None, *IMAGE))
    layer.enable_lora(2)
    return layer


def with_learnt_activation() -> Any:
    layer = layers.Conv2D(2, 2, activation=layers.PReLU())
    # Keras makes the weights of the activation when it is first called.
    layer(torch.zeros(1, *IMAGE))
    return layer


OTHER_SETTINGS: dict[str, Example] = {
    "cropped to an aspect ratio": (lambda: layers.Resizing(3, 2, crop_to_aspect_ratio=True), IMAGE),
    "normalized over another axis": (lambda: layers.BatchNormalization(axis=1), IMAGE),
    "normalized in rank five": (lambda: layers.BatchNormalization(), VOLUME),
    "renormalized": (lambda: layers.BatchNormalization(renorm=True), IMAGE),
    "normalized over two axes": (lambda: layers.LayerNormalization(axis=[2, 3]), IMAGE),
    "softmax over another axis": (lambda: layers.Softmax(axis=1), IMAGE),
    "softmax over two axes": (lambda: layers.Softmax(axis=(1, 2)), IMAGE),
    "noise of a given shape": (lambda: layers.Dropout(0.0, noise_shape=(None, 1, 1, 4)), IMAGE),
    "all dropped": (lambda: layers.Dropout(1.0), IMAGE),
    "activity regularizer": (lambda: layers.Dense(2, activity_regularizer="l2"), IMAGE),
    "low rank": (with_lora, IMAGE),
    "activation with weights": (with_learnt_activation, IMAGE),
    "activation by layer": (lambda: layers.Dense(2, activation=layers.ELU(0.3)), IMAGE),
}


@pytest.mark.parametrize(
    ("make", "shape"),
    [pytest.param(make, IMAGE, id=type(make()).__name__) for make in CHANNELS_FIRST]
    + [pytest.param(*example, id=name) for name, example in OTHER_SETTINGS.items()],
)
def test_other_settings_are_run_by_keras(make: Callable[[], Any], shape: tuple[int, ...]) -> None:
    layer = make()
    model = model_around(layer, shape)
    assert assert_lowers_exactly(model).not_lowered == (layer.name,)


def test_a_subclass_of_a_stock_layer_is_run_by_keras() -> None:
    class Doubling(layers.Dense):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None) -> Any:  # noqa: ARG002
            return 2.0 * super().call(inputs)

    model = model_around(Doubling(3, name="doubling"), IMAGE)
    assert assert_lowers_exactly(model).not_lowered == ("doubling",)


def test_a_quantized_layer_is_run_by_keras() -> None:
    model = model_around(layers.Dense(3, name="small"), VECTOR)
    model.get_layer("small").quantize("int8")
    x = some_images(model)
    lowered = lower(model).eval()
    assert lowered.not_lowered == ("small",)
    assert_close(lowered(x), model(x, training=False), OUTPUTS)
