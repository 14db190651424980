"""Networks of stock Keras layers to measure beside those of ``cifarlab.models``.

Like those: from pixels 0 to 255 to a softmax, functions of the input shape, the number of classes
and their own arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cifarlab.backend import keras
from cifarlab.models import MODELS

VIT_BLOCKS, VIT_PATCH = 4, 4
# Attention heads of about this many channels each.
HEAD_WIDTH = 32


def resnet18(
    input_shape: tuple[int, int, int] = (32, 32, 3), classes: int = 10, width: int = 64
) -> Any:
    """ResNet-18 for images of 32 by 32 (He et al., "Deep Residual Learning", 2015).

    The usual CIFAR variant: a 3x3 convolution instead of the 7x7 one and the pooling, four stages
    of two basic blocks, 1x1 convolutions where a shortcut changes its shape.

    Args:
        width: filters of the first stage; each later one has twice as many as the one before.

    Returns:
        A ``keras.Model`` from ``[N, *input_shape]`` to probabilities ``[N, classes]``.
    """
    layers = keras.layers
    images = keras.Input(input_shape)
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    x = layers.Activation("relu")(_normalised_convolution(x, width, 3))
    for stage in range(4):
        for block in range(2):
            x = _basic_block(x, width * 2**stage, strides=2 if stage and not block else 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(classes, activation="softmax")(x), name="resnet18")


def _basic_block(x: Any, filters: int, strides: int) -> Any:
    shortcut = x
    if strides > 1 or x.shape[-1] != filters:
        shortcut = _normalised_convolution(x, filters, 1, strides)
    x = keras.layers.Activation("relu")(_normalised_convolution(x, filters, 3, strides))
    x = _normalised_convolution(x, filters, 3)
    return keras.layers.Activation("relu")(keras.layers.Add()([x, shortcut]))


def _normalised_convolution(x: Any, filters: int, size: int, strides: int = 1) -> Any:
    x = keras.layers.Conv2D(
        filters, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def vit(input_shape: tuple[int, int, int] = (32, 32, 3), classes: int = 10, width: int = 96) -> Any:
    """Build a small vision transformer (Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020).

    Four blocks, each normalising first, on patches of 4 by 4 pixels; the mean over the patches
    instead of a class token.

    Args:
        input_shape: height and width are multiples of 4.
        width: channels of a patch; its MLP has four times as many units.

    Returns:
        A ``keras.Model`` from ``[N, *input_shape]`` to probabilities ``[N, classes]``.
    """
    layers = keras.layers
    patches = (input_shape[0] // VIT_PATCH) * (input_shape[1] // VIT_PATCH)
    heads = max(1, width // HEAD_WIDTH)
    images = keras.Input(input_shape)
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    x = layers.Conv2D(width, VIT_PATCH, VIT_PATCH)(x)
    x = layers.Reshape((patches, width))(x)
    # Stock layers have no table of positions; a bias for each patch and channel is one.
    x = layers.EinsumDense(
        "npc,cd->npd",
        (patches, width),
        bias_axes="pd",
        bias_initializer=keras.initializers.RandomNormal(stddev=0.02),
    )(x)
    for _ in range(VIT_BLOCKS):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(heads, width // heads)(y, y)])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(4 * width, activation="gelu")(y)
        x = layers.Add()([x, layers.Dense(width)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(images, layers.Dense(classes, activation="softmax")(x), name="vit")


NETWORKS: dict[str, Callable[..., Any]] = {**MODELS, "resnet18": resnet18, "vit": vit}
