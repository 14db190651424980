"""Every layer in ``LOWERED`` has a native form that is the layer; other settings run as themselves.

A new entry in ``LOWERED`` fails here until ``EXAMPLES`` has one for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from cifarlab.backend import keras
from cifarlab.engine.activations import ELEMENTWISE
from cifarlab.engine.layers import LOWERED
from cifarlab.engine.lowering import lower
from engine.inputs import pictures, randomised
from engine.parity import OUTPUTS, assert_close, assert_lowers_exactly

layers = keras.layers

# Keras's own, about NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

PICTURE = (5, 4, 4)
SEQUENCE = (6, 3)
VECTOR = (7,)
VOLUME = (2, 4, 3, 2)

Example = tuple[Callable[[], Any], tuple[int, ...]]

EXAMPLES: dict[type, list[Example]] = {
    layers.Rescaling: [
        (lambda: layers.Rescaling(1 / 255, offset=-0.5), PICTURE),
        (lambda: layers.Rescaling([0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]), PICTURE),
        (lambda: layers.Rescaling(2.0, offset=[1.0, 2.0, 3.0]), SEQUENCE),
    ],
    layers.Normalization: [
        (lambda: layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1, 2, 3, 4]), PICTURE),
        (lambda: layers.Normalization(mean=0.5, variance=4.0, invert=True), PICTURE),
        (lambda: layers.Normalization(axis=None, mean=0.5, variance=0.0), PICTURE),
        (lambda: layers.Normalization(axis=(1, 3)), PICTURE),
        (lambda: layers.Normalization(), VECTOR),
    ],
    layers.Conv2D: [
        (lambda: layers.Conv2D(3, (2, 3), activation="relu"), PICTURE),
        (lambda: layers.Conv2D(3, 3, strides=2, padding="same"), PICTURE),
        (lambda: layers.Conv2D(3, 2, strides=(1, 3), padding="same"), PICTURE),
        (lambda: layers.Conv2D(4, 3, groups=2, dilation_rate=(2, 1), padding="same"), PICTURE),
        (lambda: layers.Conv2D(2, 3, use_bias=False, activation="log_softmax"), PICTURE),
    ],
    layers.DepthwiseConv2D: [
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, activation="tanh"), PICTURE),
        (lambda: layers.DepthwiseConv2D(2, strides=2, padding="same", use_bias=False), PICTURE),
        (lambda: layers.DepthwiseConv2D(2, dilation_rate=2, padding="same"), PICTURE),
    ],
    layers.SeparableConv2D: [
        (lambda: layers.SeparableConv2D(3, 2, depth_multiplier=3, activation="relu"), PICTURE),
        (lambda: layers.SeparableConv2D(3, 3, strides=2, padding="same", use_bias=False), PICTURE),
    ],
    layers.Dense: [
        (lambda: layers.Dense(3, activation="softmax"), VECTOR),
        (lambda: layers.Dense(3, activation="softmax"), PICTURE),
        (lambda: layers.Dense(2, use_bias=False), SEQUENCE),
        (lambda: layers.Dense(2), VOLUME),
    ],
    layers.BatchNormalization: [
        (lambda: layers.BatchNormalization(momentum=0.7, epsilon=0.1), PICTURE),
        (lambda: layers.BatchNormalization(axis=3, scale=False), PICTURE),
        (lambda: layers.BatchNormalization(center=False), SEQUENCE),
        (lambda: layers.BatchNormalization(axis=1, scale=False, center=False), VECTOR),
    ],
    layers.LayerNormalization: [
        (lambda: layers.LayerNormalization(epsilon=0.1), PICTURE),
        (lambda: layers.LayerNormalization(scale=False, center=False), SEQUENCE),
        (lambda: layers.LayerNormalization(center=False), VECTOR),
    ],
    layers.MaxPooling2D: [
        (lambda: layers.MaxPooling2D(), PICTURE),
        (lambda: layers.MaxPooling2D((3, 2), strides=(1, 2), padding="same"), PICTURE),
        (lambda: layers.MaxPooling2D(3, strides=1, padding="same"), PICTURE),
    ],
    layers.AveragePooling2D: [
        (lambda: layers.AveragePooling2D(2), PICTURE),
        (lambda: layers.AveragePooling2D((3, 2), strides=(1, 2), padding="same"), PICTURE),
        (lambda: layers.AveragePooling2D(3, strides=1, padding="same"), PICTURE),
    ],
    layers.GlobalMaxPooling2D: [
        (lambda: layers.GlobalMaxPooling2D(), PICTURE),
        (lambda: layers.GlobalMaxPooling2D(keepdims=True), PICTURE),
    ],
    layers.GlobalAveragePooling2D: [
        (lambda: layers.GlobalAveragePooling2D(), PICTURE),
        (lambda: layers.GlobalAveragePooling2D(keepdims=True), PICTURE),
    ],
    layers.ZeroPadding2D: [(lambda: layers.ZeroPadding2D(((1, 2), (3, 0))), PICTURE)],
    layers.Flatten: [
        (lambda: layers.Flatten(), PICTURE),
        (lambda: layers.Flatten(), VECTOR),
        (lambda: layers.Flatten(), VOLUME),
    ],
    layers.Reshape: [
        (lambda: layers.Reshape((4, -1, 2)), PICTURE),
        (lambda: layers.Reshape((-1, 4)), PICTURE),
        (lambda: layers.Reshape((3, 2, 3)), SEQUENCE),
        (lambda: layers.Reshape((2, 5, 2, 4)), PICTURE),
        (lambda: layers.Reshape((4, 3, 4)), VOLUME),
    ],
    # What they do in training is random: ``test_lowering.py`` has it.
    layers.Dropout: [(lambda: layers.Dropout(0.0), PICTURE)],
    layers.SpatialDropout2D: [(lambda: layers.SpatialDropout2D(0.0), PICTURE)],
    layers.Activation: [
        (lambda: layers.Activation("softmax"), PICTURE),
        (lambda: layers.Activation(lambda x: x * x[..., :1]), PICTURE),
    ],
    layers.ReLU: [
        (lambda: layers.ReLU(), PICTURE),
        (lambda: layers.ReLU(0.5), PICTURE),
        (lambda: layers.ReLU(negative_slope=0.2), PICTURE),
        (lambda: layers.ReLU(0.9, negative_slope=0.2, threshold=0.3), PICTURE),
    ],
    layers.LeakyReLU: [(lambda: layers.LeakyReLU(0.2), PICTURE)],
    layers.ELU: [(lambda: layers.ELU(0.3), PICTURE)],
    layers.PReLU: [
        (lambda: layers.PReLU(), PICTURE),
        (lambda: layers.PReLU(shared_axes=[1, 2]), PICTURE),
        (lambda: layers.PReLU(), VECTOR),
    ],
    layers.Softmax: [(lambda: layers.Softmax(), PICTURE), (lambda: layers.Softmax(), SEQUENCE)],
    layers.Add: [(lambda: layers.Add(), PICTURE)],
    layers.Subtract: [(lambda: layers.Subtract(), PICTURE)],
    layers.Multiply: [(lambda: layers.Multiply(), PICTURE)],
    layers.Maximum: [(lambda: layers.Maximum(), PICTURE)],
    layers.Minimum: [(lambda: layers.Minimum(), PICTURE)],
    layers.Concatenate: [
        (lambda: layers.Concatenate(), PICTURE),
        (lambda: layers.Concatenate(axis=1), PICTURE),
        (lambda: layers.Concatenate(axis=2), SEQUENCE),
    ],
}

MERGING = (
    layers.Add, layers.Subtract, layers.Multiply, layers.Maximum, layers.Minimum,
    layers.Concatenate,
)  # fmt: skip


def model_around(layer: Any, shape: tuple[int, ...]) -> Any:
    """A model whose layer under test has something to pass a gradient to."""
    inputs = keras.Input(shape)
    x = layers.Dense(shape[-1], name="before")(inputs)
    return randomised(keras.Model(inputs, layer([x, inputs] if isinstance(layer, MERGING) else x)))


def cases(examples: dict[type, list[Example]]) -> list[Any]:
    return [
        pytest.param(make, shape, id=f"{kind.__name__}-{i}")
        for kind, several in examples.items()
        for i, (make, shape) in enumerate(several)
    ]


def test_every_lowered_layer_has_an_example_of_its_own_kind() -> None:
    assert set(EXAMPLES) == set(LOWERED)
    assert all(type(make()) is kind for kind, several in EXAMPLES.items() for make, _ in several)


@pytest.mark.parametrize(("make", "shape"), cases(EXAMPLES))
def test_the_native_form_is_the_layer(make: Callable[[], Any], shape: tuple[int, ...]) -> None:
    model = model_around(make(), shape)
    assert assert_lowers_exactly(model).not_lowered == ()


def test_normalization_uses_what_it_has_learnt() -> None:
    layer = layers.Normalization()
    inputs = keras.Input(PICTURE)
    model = keras.Model(inputs, layer(inputs))
    x = 3.0 + 2.0 * pictures(model, count=50)
    layer.adapt(x.numpy())
    y = assert_lowers_exactly(model, x)(x)
    assert_close(y.mean((0, 1, 2)), torch.zeros(4), OUTPUTS)
    assert_close(y.std((0, 1, 2), unbiased=False), torch.ones(4), OUTPUTS)


@pytest.mark.parametrize("name", [function.__name__ for function in ELEMENTWISE])
@pytest.mark.parametrize("shape", [PICTURE, SEQUENCE, VECTOR])
def test_activations_are_keras_activations(name: str, shape: tuple[int, ...]) -> None:
    assert_lowers_exactly(model_around(layers.Activation(name), shape))


def test_no_activation_of_keras_is_changed_by_the_table() -> None:
    x = torch.linspace(-30.0, 30.0, 601)
    for function, native in ELEMENTWISE.items():
        if function is not keras.activations.softmax:
            assert_close(native(x), function(x), 1e-6, function.__name__)


@pytest.mark.parametrize("ranks", [(PICTURE, (4,)), (PICTURE, (4, 4)), ((6, 3), (3,))])
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
    lambda: layers.Flatten(data_format="channels_first"),
    lambda: layers.SpatialDropout2D(0.0, data_format="channels_first"),
]


def with_lora() -> Any:
    layer = layers.Conv2D(3, 2)
    layer.build((None, *PICTURE))
    layer.enable_lora(2)
    return layer


def with_learnt_activation() -> Any:
    layer = layers.Conv2D(2, 2, activation=layers.PReLU())
    # Keras makes the weights of the activation when it is first called.
    layer(torch.zeros(1, *PICTURE))
    return layer


OTHER_SETTINGS: dict[str, Example] = {
    "normalized over another axis": (lambda: layers.BatchNormalization(axis=1), PICTURE),
    "normalized in rank five": (lambda: layers.BatchNormalization(), VOLUME),
    "renormalized": (lambda: layers.BatchNormalization(renorm=True), PICTURE),
    "normalized over two axes": (lambda: layers.LayerNormalization(axis=[2, 3]), PICTURE),
    "softmax over another axis": (lambda: layers.Softmax(axis=1), PICTURE),
    "softmax over two axes": (lambda: layers.Softmax(axis=(1, 2)), PICTURE),
    "noise of a given shape": (lambda: layers.Dropout(0.0, noise_shape=(None, 1, 1, 4)), PICTURE),
    "all dropped": (lambda: layers.Dropout(1.0), PICTURE),
    "activity regularizer": (lambda: layers.Dense(2, activity_regularizer="l2"), PICTURE),
    "low rank": (with_lora, PICTURE),
    "activation with weights": (with_learnt_activation, PICTURE),
    "activation by layer": (lambda: layers.Dense(2, activation=layers.ELU(0.3)), PICTURE),
}


@pytest.mark.parametrize(
    ("make", "shape"),
    [pytest.param(make, PICTURE, id=type(make()).__name__) for make in CHANNELS_FIRST]
    + [pytest.param(*example, id=name) for name, example in OTHER_SETTINGS.items()],
)
def test_other_settings_run_as_themselves(make: Callable[[], Any], shape: tuple[int, ...]) -> None:
    layer = make()
    model = model_around(layer, shape)
    assert assert_lowers_exactly(model).not_lowered == (layer.name,)


def test_a_subclass_of_a_stock_layer_runs_as_itself() -> None:
    class Doubling(layers.Dense):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None) -> Any:  # noqa: ARG002
            return 2.0 * super().call(inputs)

    model = model_around(Doubling(3, name="doubling"), PICTURE)
    assert assert_lowers_exactly(model).not_lowered == ("doubling",)


def test_a_quantized_layer_runs_as_itself() -> None:
    model = model_around(layers.Dense(3, name="small"), VECTOR)
    model.get_layer("small").quantize("int8")
    x = pictures(model)
    lowered = lower(model).eval()
    assert lowered.not_lowered == ("small",)
    assert_close(lowered(x), model(x, training=False), OUTPUTS)
