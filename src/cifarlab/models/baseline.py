"""A first CNN, as a learner writes it."""

from __future__ import annotations

from cifarlab.backend import KerasModel, keras

# With Keras's own 0.99 the initial statistics count for some 700 steps; until then inference uses
# other statistics than training does, and a small dataset has fewer steps than that.
MOMENTUM = 0.9


def baseline(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    scale: float = 1 / 255,
    filters: tuple[int, int] = (32, 64),
    units: int = 128,
) -> KerasModel:
    """Return two blocks of convolution, batch normalisation and pooling, then two dense layers.

    Args:
        input_shape: height, width, 3; images are values from 0 to 255.
        classes: the number of classes K.
        scale: factor on the pixels; 1/255 scales them to [0, 1].
        filters: numbers of filters of the two convolutions.
        units: number of units of the hidden dense layer.

    Returns:
        A ``keras.Sequential`` from ``[N, *input_shape]`` to probabilities ``[N, K]``.
    """
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Rescaling(scale),
            keras.layers.Conv2D(filters[0], 3, padding="same", activation="relu"),
            keras.layers.BatchNormalization(momentum=MOMENTUM),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(filters[1], 3, padding="same", activation="relu"),
            keras.layers.BatchNormalization(momentum=MOMENTUM),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ],
        name="baseline",
    )
