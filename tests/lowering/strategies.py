"""Random Keras models for the tests of lowering: tiny, and unusual in every allowed way.

Everything is drawn from the current shape, so that each model can be built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from cifarlab.backend import keras
from lowering.inputs import CLASSES, randomised

layers = keras.layers

Draw = Callable[..., Any]
Shape = tuple[int, ...]

# The same examples in every run, so that a failure can be repeated.
QUICK = settings(
    deadline=None,
    derandomize=True,
    max_examples=120,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

ACTIVATIONS = (
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "sigmoid",
    "tanh", "softplus", "softsign", "hard_sigmoid", "hard_silu", "softmax", "log_softmax",
)  # fmt: skip

activations = st.sampled_from(ACTIVATIONS)


def window(draw: Draw, shape: Shape, dilation: Shape = (1, 1)) -> tuple[Shape, str]:
    """A window of up to 3x3 and a padding with which it fits into an image of ``shape``."""
    size = tuple(draw(st.integers(1, 3)) for _ in range(2))
    reach = [(s - 1) * d + 1 for s, d in zip(size, dilation, strict=True)]
    fits = reach[0] <= shape[0] and reach[1] <= shape[1]
    return size, draw(st.sampled_from(["valid", "same"])) if fits else "same"


def steps(draw: Draw) -> tuple[Shape, Shape]:
    """Strides and dilation, of which Keras allows one at a time."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    both = draw(st.sampled_from(["plain", "strided", "dilated"]))
    return (
        draw(pair) if both == "strided" else (1, 1),
        draw(pair) if both == "dilated" else (1, 1),
    )


def convolution(draw: Draw, shape: Shape) -> Any:
    strides, dilation = steps(draw)
    size, padding = window(draw, shape, dilation)
    groups = draw(st.sampled_from([g for g in range(1, shape[2] + 1) if shape[2] % g == 0]))
    return layers.Conv2D(
        groups * draw(st.integers(1, 2)),
        size,
        strides,
        padding,
        dilation_rate=dilation,
        groups=groups,
        use_bias=draw(st.booleans()),
        activation=draw(activations),
    )


def depthwise(draw: Draw, shape: Shape) -> Any:
    strides, dilation = steps(draw)
    size, padding = window(draw, shape, dilation)
    choice = draw(st.sampled_from(["depthwise", "separable"]))
    common = {
        "kernel_size": size,
        "strides": strides,
        "padding": padding,
        "dilation_rate": dilation,
        "depth_multiplier": draw(st.integers(1, 2)),
        "use_bias": draw(st.booleans()),
        "activation": draw(activations),
    }
    if choice == "depthwise":
        return layers.DepthwiseConv2D(**common)
    return layers.SeparableConv2D(draw(st.integers(1, 3)), **common)


def pooling(draw: Draw, shape: Shape) -> Any:
    size, padding = window(draw, shape)
    strides = draw(st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)))
    choice = draw(st.sampled_from([layers.MaxPooling2D, layers.AveragePooling2D]))
    return choice(size, strides, padding)


def normalization(draw: Draw, shape: Shape) -> Any:
    choice = draw(st.sampled_from(["batch", "layer", "stored", "rescaling"]))
    flags = {"scale": draw(st.booleans()), "center": draw(st.booleans())}
    channels = np.arange(1, shape[-1] + 1) / shape[-1]
    if choice == "batch":
        return layers.BatchNormalization(momentum=draw(st.sampled_from([0.0, 0.6, 0.99])), **flags)
    if choice == "layer":
        return layers.LayerNormalization(**flags)
    if choice == "stored":
        return layers.Normalization(mean=channels, variance=channels + 0.5)
    vector = draw(st.booleans())
    return layers.Rescaling(list(channels) if vector else 0.5, offset=draw(st.floats(-1, 1)))


def activation(draw: Draw, shape: Shape) -> Any:
    shared = [] if len(shape) == 1 else draw(st.sampled_from([[], [1], [1, 2]]))
    return draw(
        st.sampled_from(
            [
                lambda: layers.Activation(draw(activations)),
                lambda: layers.ReLU(draw(st.none() | st.just(1.5)), 0.1, 0.2),
                lambda: layers.ReLU(negative_slope=0.3),
                lambda: layers.LeakyReLU(0.15),
                lambda: layers.ELU(0.7),
                lambda: layers.PReLU(shared_axes=shared),
                lambda: layers.Softmax(),
            ]
        )
    )()


def shaping(draw: Draw, shape: Shape) -> Any:
    height, width, channels = shape
    if max(height, width) < 8 and draw(st.booleans()):
        sides = st.integers(0, 2)
        return layers.ZeroPadding2D(draw(st.tuples(st.tuples(sides, sides), st.just((0, 1)))))
    target = draw(st.sampled_from([(width, height, channels), (-1, 1, channels), (height, -1, 1)]))
    return layers.Reshape(target)


def dense(draw: Draw, _: Shape) -> Any:
    return layers.Dense(
        draw(st.integers(1, 4)), activation=draw(activations), use_bias=draw(st.booleans())
    )


IMAGE_LAYERS = (convolution, depthwise, pooling, normalization, activation, shaping, dense)
VECTOR_LAYERS = (normalization, activation, dense)


def single(draw: Draw, x: Any, _: int) -> Any:
    """One layer."""
    return draw(st.sampled_from(IMAGE_LAYERS))(draw, x.shape[1:])(x)


def same_shape(draw: Draw, x: Any) -> Any:
    """A layer that keeps the shape of its input."""
    filters = x.shape[-1]
    return draw(
        st.sampled_from(
            [
                lambda: layers.Conv2D(filters, 3, padding="same", activation="tanh"),
                lambda: layers.DepthwiseConv2D(2, padding="same"),
                lambda: layers.BatchNormalization(),
                lambda: layers.PReLU(),
                lambda: layers.Dense(filters),
            ]
        )
    )()


def branches(draw: Draw, x: Any, _: int) -> Any:
    """Two or three paths, merged."""
    merges = (
        layers.Add, layers.Multiply, layers.Maximum, layers.Minimum, layers.Subtract,
        layers.Concatenate, layers.Average,
    )  # fmt: skip
    merge = draw(st.sampled_from(merges))
    paths = [x, same_shape(draw, x)(x)]
    if merge is not layers.Subtract and draw(st.booleans()):
        paths.append(same_shape(draw, x)(paths[-1]))
    if merge is layers.Concatenate:
        return merge(axis=draw(st.sampled_from([-1, 1, 2])))(paths)
    return merge()(paths)


def gate(draw: Draw, x: Any, _: int) -> Any:
    """Channels scaled by a function of the whole image, as in squeeze-and-excitation."""
    pool = draw(st.sampled_from([layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D]))
    keep = draw(st.booleans())
    scale = layers.Dense(x.shape[-1], activation="sigmoid")(pool(keepdims=keep)(x))
    return layers.Multiply()([x, scale])


def shared(draw: Draw, x: Any, _: int) -> Any:
    """One layer used twice."""
    layer = same_shape(draw, x)
    if draw(st.booleans()):
        return layer(layer(x))
    return layers.Add()([layer(x), layer(layers.Activation("tanh")(x))])


def nested(draw: Draw, x: Any, depth: int) -> Any:
    """A model inside the model, perhaps used twice."""
    if draw(st.booleans()):
        inner = keras.Sequential([keras.Input(x.shape[1:]), same_shape(draw, x), layers.ReLU()])
        return inner(inner(x)) if draw(st.booleans()) else inner(x)
    inputs = keras.Input(x.shape[1:])
    return keras.Model(inputs, chain(draw, inputs, depth - 1))(x)


def crossing(draw: Draw, x: Any, _: int) -> Any:
    """A layer that is part of the model and of a model inside it."""
    layer = same_shape(draw, x)
    inputs = keras.Input(x.shape[1:])
    inner = keras.Model(inputs, layers.Activation("tanh")(layer(inputs)))
    return layers.Add()([layer(x), inner(x)])


def not_native(draw: Draw, x: Any, _: int) -> Any:
    """A layer or operation without a native form."""
    return draw(
        st.sampled_from(
            [
                lambda: layers.Conv2DTranspose(2, 2)(x),
                lambda: layers.GroupNormalization(1)(x),
                lambda: keras.ops.flip(x, axis=1) * 0.5 + x,
                lambda: keras.ops.concatenate(keras.ops.split(x, [1], axis=3)[::-1], axis=-1),
            ]
        )
    )()


BLOCKS = (single, single, single, branches, gate, shared, nested, crossing, not_native)


def chain(draw: Draw, x: Any, depth: int) -> Any:
    """One to four blocks, with no nesting below depth 0."""
    allowed = BLOCKS if depth > 0 else tuple(b for b in BLOCKS if b is not nested)
    for _ in range(draw(st.integers(1, 4))):
        x = draw(st.sampled_from(allowed))(draw, x, depth)
    return x


def head(draw: Draw, x: Any) -> Any:
    """From an image to probabilities."""
    choice = draw(st.sampled_from(["flatten", "average", "maximum", "kept", "sequence"]))
    if choice == "average":
        x = layers.GlobalAveragePooling2D()(x)
    elif choice == "maximum":
        x = layers.GlobalMaxPooling2D()(x)
    elif choice == "kept":
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    elif choice == "sequence":
        x = layers.BatchNormalization()(layers.Reshape((-1, x.shape[-1]))(x))
    x = layers.Flatten()(x)
    for _ in range(draw(st.integers(0, 2))):
        x = draw(st.sampled_from(VECTOR_LAYERS))(draw, x.shape[1:])(x)
    if draw(st.booleans()):
        return layers.Dense(CLASSES, activation="softmax")(x)
    return layers.Softmax()(layers.Dense(CLASSES)(x))


def model_from(draw: Draw) -> Any:
    """A built classifier without dropout, with random weights and statistics.

    Args:
        draw: the ``draw`` of ``st.data()``; Keras draws random numbers of its own, which must
            not happen inside a strategy.
    """
    shape = (draw(st.integers(2, 7)), draw(st.integers(2, 7)), draw(st.integers(1, 4)))
    inputs = keras.Input(shape)
    model = keras.Model(inputs, head(draw, chain(draw, inputs, 1)))
    return randomised(model, draw(st.integers(0, 1000)))
