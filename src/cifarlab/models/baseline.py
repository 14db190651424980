"""A first CNN, as a learner writes it."""

from __future__ import annotations

from typing import Any

from cifarlab.backend import KerasModel, keras
from cifarlab.models.pooling import halving

# With Keras's own 0.99 the initial statistics count for some 700 steps; until then inference uses
# other statistics than training does, and a small dataset has fewer steps than that.
MOMENTUM = 0.9
# Blocks are added until the longer side of the last map is at most this. Without them the hidden
# layer would have 33 million weights for images of 256x256; with them it never has more than 1.2
# million.
LARGEST_MAP = 12
# A pooling leaves a side of a map that would be shorter than this. On scikit-learn's digits, 8x8,
# that gave 99.8 instead of 98.9% of validation images (4 seeds).
SMALLEST_MAP = 4


def baseline(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    scale: float = 1 / 255,
    filters: tuple[int, int] = (32, 64),
    units: int = 128,
) -> KerasModel:
    """Return blocks of convolution, batch normalisation and pooling, then two dense layers.

    There are two blocks up to 51 pixels on the longer side, three up to 103, four up to 207, five
    beyond; a pooling halves only a side of 8 or more.

    Args:
        input_shape: height, width, and 3 channels or 1; images are values from 0 to 255.
        classes: the number of classes K.
        scale: factor on the pixels; 1/255 scales them to [0, 1].
        filters: numbers of filters of the first convolution, and of those after it.
        units: number of units of the hidden dense layer.

    Returns:
        A ``keras.Sequential`` from ``[N, *input_shape]`` to probabilities ``[N, K]``.
    """
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Rescaling(scale),
            *_blocks(input_shape[0], input_shape[1], filters),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ],
        name="baseline",
    )


def _blocks(height: int, width: int, filters: tuple[int, int]) -> list[Any]:
    layers: list[Any] = []
    count = 0
    while count < len(filters) or max(height, width) > LARGEST_MAP:
        window = halving(height, width, SMALLEST_MAP)
        layers += [
            keras.layers.Conv2D(filters[min(count, 1)], 3, padding="same", activation="relu"),
            keras.layers.BatchNormalization(momentum=MOMENTUM),
        ]
        if window != (1, 1):
            layers.append(keras.layers.MaxPooling2D(window))
        height, width = height // window[0], width // window[1]
        count += 1
    return layers
