"""Examples of every layer that the engine lowers, each in a small model around it.

Tests compare them with Keras, ``gpu/parity.py`` compares one device with another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cifarlab.backend import keras

layers = keras.layers

IMAGE = (5, 4, 4)
SEQUENCE = (6, 3)
VECTOR = (7,)
VOLUME = (2, 4, 3, 2)

Example = tuple[Callable[[], Any], tuple[int, ...]]

EXAMPLES: dict[type, list[Example]] = {
    layers.Rescaling: [
        (lambda: layers.Rescaling(1 / 255, offset=-0.5), IMAGE),
        (lambda: layers.Rescaling([0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]), IMAGE),
        (lambda: layers.Rescaling(2.0, offset=[1.0, 2.0, 3.0]), SEQUENCE),
    ],
    layers.Normalization: [
        (lambda: layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1, 2, 3, 4]), IMAGE),
        (lambda: layers.Normalization(mean=0.5, variance=4.0, invert=True), IMAGE),
        (lambda: layers.Normalization(axis=None, mean=0.5, variance=0.0), IMAGE),
        (lambda: layers.Normalization(axis=(1, 3)), IMAGE),
        (lambda: layers.Normalization(), VECTOR),
    ],
    layers.Conv2D: [
        (lambda: layers.Conv2D(3, (2, 3), activation="relu"), IMAGE),
        (lambda: layers.Conv2D(3, 3, strides=2, padding="same"), IMAGE),
        (lambda: layers.Conv2D(3, 2, strides=(1, 3), padding="same"), IMAGE),
        (lambda: layers.Conv2D(4, 3, groups=2, dilation_rate=(2, 1), padding="same"), IMAGE),
        (lambda: layers.Conv2D(2, 3, use_bias=False, activation="log_softmax"), IMAGE),
    ],
    layers.DepthwiseConv2D: [
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, activation="tanh"), IMAGE),
        (lambda: layers.DepthwiseConv2D(2, strides=2, padding="same", use_bias=False), IMAGE),
        (lambda: layers.DepthwiseConv2D(2, dilation_rate=2, padding="same"), IMAGE),
    ],
    layers.SeparableConv2D: [
        (lambda: layers.SeparableConv2D(3, 2, depth_multiplier=3, activation="relu"), IMAGE),
        (lambda: layers.SeparableConv2D(3, 3, strides=2, padding="same", use_bias=False), IMAGE),
    ],
    layers.Dense: [
        (lambda: layers.Dense(3, activation="softmax"), VECTOR),
        (lambda: layers.Dense(3, activation="softmax"), IMAGE),
        (lambda: layers.Dense(2, use_bias=False), SEQUENCE),
        (lambda: layers.Dense(2), VOLUME),
    ],
    layers.BatchNormalization: [
        (lambda: layers.BatchNormalization(momentum=0.7, epsilon=0.1), IMAGE),
        (lambda: layers.BatchNormalization(axis=3, scale=False), IMAGE),
        (lambda: layers.BatchNormalization(center=False), SEQUENCE),
        (lambda: layers.BatchNormalization(axis=1, scale=False, center=False), VECTOR),
    ],
    layers.LayerNormalization: [
        (lambda: layers.LayerNormalization(epsilon=0.1), IMAGE),
        (lambda: layers.LayerNormalization(scale=False, center=False), SEQUENCE),
        (lambda: layers.LayerNormalization(center=False), VECTOR),
    ],
    layers.MultiHeadAttention: [
        (lambda: layers.MultiHeadAttention(2, 4), SEQUENCE),
        (lambda: layers.MultiHeadAttention(3, 2, value_dim=5, use_bias=False), SEQUENCE),
        (lambda: layers.MultiHeadAttention(1, 4, output_shape=7), SEQUENCE),
    ],
    layers.MaxPooling2D: [
        (lambda: layers.MaxPooling2D(), IMAGE),
        (lambda: layers.MaxPooling2D((3, 2), strides=(1, 2), padding="same"), IMAGE),
        (lambda: layers.MaxPooling2D(3, strides=1, padding="same"), IMAGE),
    ],
    layers.AveragePooling2D: [
        (lambda: layers.AveragePooling2D(2), IMAGE),
        (lambda: layers.AveragePooling2D((3, 2), strides=(1, 2), padding="same"), IMAGE),
        (lambda: layers.AveragePooling2D(3, strides=1, padding="same"), IMAGE),
    ],
    layers.GlobalMaxPooling2D: [
        (lambda: layers.GlobalMaxPooling2D(), IMAGE),
        (lambda: layers.GlobalMaxPooling2D(keepdims=True), IMAGE),
    ],
    layers.GlobalAveragePooling2D: [
        (lambda: layers.GlobalAveragePooling2D(), IMAGE),
        (lambda: layers.GlobalAveragePooling2D(keepdims=True), IMAGE),
    ],
    layers.Resizing: [
        (lambda: layers.Resizing(9, 7), IMAGE),
        (lambda: layers.Resizing(3, 9, interpolation="nearest"), IMAGE),
        (lambda: layers.Resizing(3, 2, interpolation="bicubic", antialias=True), IMAGE),
        (lambda: layers.Resizing(3, 2, antialias=True), IMAGE),
    ],
    layers.GlobalMaxPooling1D: [
        (lambda: layers.GlobalMaxPooling1D(), SEQUENCE),
        (lambda: layers.GlobalMaxPooling1D(keepdims=True), SEQUENCE),
    ],
    layers.GlobalAveragePooling1D: [
        (lambda: layers.GlobalAveragePooling1D(), SEQUENCE),
        (lambda: layers.GlobalAveragePooling1D(keepdims=True), SEQUENCE),
    ],
    layers.ZeroPadding2D: [(lambda: layers.ZeroPadding2D(((1, 2), (3, 0))), IMAGE)],
    layers.Flatten: [
        (lambda: layers.Flatten(), IMAGE),
        (lambda: layers.Flatten(), VECTOR),
        (lambda: layers.Flatten(), VOLUME),
    ],
    layers.Reshape: [
        (lambda: layers.Reshape((4, -1, 2)), IMAGE),
        (lambda: layers.Reshape((-1, 4)), IMAGE),
        (lambda: layers.Reshape((3, 2, 3)), SEQUENCE),
        (lambda: layers.Reshape((2, 5, 2, 4)), IMAGE),
        (lambda: layers.Reshape((4, 3, 4)), VOLUME),
    ],
    layers.Permute: [
        (lambda: layers.Permute((3, 1, 2)), IMAGE),
        (lambda: layers.Permute((2, 1)), SEQUENCE),
    ],
    # What they do in training is random: ``test_lowering.py`` has it.
    layers.Dropout: [(lambda: layers.Dropout(0.0), IMAGE)],
    layers.SpatialDropout2D: [(lambda: layers.SpatialDropout2D(0.0), IMAGE)],
    layers.Activation: [
        (lambda: layers.Activation("softmax"), IMAGE),
        (lambda: layers.Activation(lambda x: x * x[..., :1]), IMAGE),
    ],
    layers.ReLU: [
        (lambda: layers.ReLU(), IMAGE),
        (lambda: layers.ReLU(0.5), IMAGE),
        (lambda: layers.ReLU(negative_slope=0.2), IMAGE),
        (lambda: layers.ReLU(0.9, negative_slope=0.2, threshold=0.3), IMAGE),
    ],
    layers.LeakyReLU: [(lambda: layers.LeakyReLU(0.2), IMAGE)],
    layers.ELU: [(lambda: layers.ELU(0.3), IMAGE)],
    layers.PReLU: [
        (lambda: layers.PReLU(), IMAGE),
        (lambda: layers.PReLU(shared_axes=[1, 2]), IMAGE),
        (lambda: layers.PReLU(), VECTOR),
    ],
    layers.Softmax: [(lambda: layers.Softmax(), IMAGE), (lambda: layers.Softmax(), SEQUENCE)],
    layers.Add: [(lambda: layers.Add(), IMAGE)],
    layers.Subtract: [(lambda: layers.Subtract(), IMAGE)],
    layers.Multiply: [(lambda: layers.Multiply(), IMAGE)],
    layers.Maximum: [(lambda: layers.Maximum(), IMAGE)],
    layers.Minimum: [(lambda: layers.Minimum(), IMAGE)],
    layers.Concatenate: [
        (lambda: layers.Concatenate(), IMAGE),
        (lambda: layers.Concatenate(axis=1), IMAGE),
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
    if isinstance(layer, MERGING):
        outputs = layer([x, inputs])
    elif isinstance(layer, layers.MultiHeadAttention):
        outputs = layers.Add()([layer(x, inputs), layer(x, x)])
    else:
        outputs = layer(x)
    return randomised(keras.Model(inputs, outputs))


def randomised(model: Any, seed: int = 0) -> Any:
    """Give every weight and moving statistic of ``model`` a random value; return it."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.name in ("moving_variance", "variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif len(variable.shape) > 1:
            inputs = np.prod(variable.shape[:-1])
            variable.assign(rng.normal(scale=inputs**-0.5, size=variable.shape))
        elif keras.backend.is_float_dtype(variable.dtype):
            middle = 1.0 if variable.name in ("gamma", "scale") else 0.0
            variable.assign(rng.normal(middle, 0.2, variable.shape))
    return model
