"""The networks of the CIFAR-10 speed records.

A frozen whitening convolution over 2x2 patches, three blocks of 3x3 convolutions that each
halve the image once, a global maximum, and a linear layer with scaled logits: the network
of airbench94 and, deeper and with residuals, of airbench96 (Jordan, "94% on CIFAR-10 in 3.29
seconds on a single GPU", 2024; github.com/KellerJordan/cifar10-airbench).

For images of another shape: a pooling halves only a side of 2 or more, and is left out where both
are 1 (below 10 pixels the third one); the whitening convolution has two filters for each value of
a patch, 24 in colour and 8 in grey; grey images have a mean and a deviation of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cifarlab.backend import KerasModel, keras
from cifarlab.models.pooling import halving

# CIFAR-10's, of pixels in [0, 1], by the number of channels; in grey by Pillow's luminance.
MEANS = {3: (0.4914, 0.4822, 0.4465), 1: (0.4809,)}
DEVIATIONS = {3: (0.2470, 0.2435, 0.2616), 1: (0.2392,)}

# Height and width of the patches that are whitened.
PATCH = 2


def airnet(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    widths: Sequence[int] = (64, 256, 256),
    depth: int = 2,
    residual: bool = False,
    activation: str = "gelu",
    momentum: float = 0.6,
    epsilon: float = 1e-12,
    logit_scale: float = 1 / 256,
    unit_head: bool = True,
    whitening_bias: bool = True,
    cosine_filters: bool = False,
) -> KerasModel:
    """Return the network; ``models.whitening.whiten`` sets its first convolution from data.

    Args:
        input_shape: height, width, and 3 channels or 1; images are values from 0 to 255. Both
            sides are at least 2, the height and width of a patch.
        classes: the number of classes K.
        widths: filters of each block's convolutions.
        depth: convolutions in each block, at least 1.
        residual: add the output of the block's first convolution to that of its last one.
        activation: a Keras activation after each normalisation in the blocks.
        momentum: of batch normalisation.
        epsilon: of batch normalisation.
        logit_scale: factor on the last layer's values before the softmax.
        unit_head: initialise the last layer's weights with a standard deviation of 1.
        whitening_bias: give the whitening convolution a bias, which is trained.
        cosine_filters: where a convolution has more filters than input channels, initialise
            those beyond the identities as cosine transforms of single channels, not randomly.

    Returns:
        A ``keras.Model`` from ``[N, *input_shape]`` to probabilities ``[N, K]``. Its
        convolutions are initialised as identities on their input channels.
    """
    layers = keras.layers
    images = keras.Input(input_shape)
    means, deviations = MEANS[input_shape[2]], DEVIATIONS[input_shape[2]]
    x = layers.Rescaling(
        scale=[1 / (255 * d) for d in deviations],
        offset=[-m / d for m, d in zip(means, deviations, strict=True)],
        name="normalization",
    )(images)
    values = PATCH * PATCH * input_shape[2]
    x = layers.Conv2D(
        2 * values,
        PATCH,
        use_bias=whitening_bias,
        bias_initializer=keras.initializers.RandomUniform(-(values**-0.5), values**-0.5),
        name="whitening",
    )(x)
    x = layers.Activation("gelu", name="whitening_activation")(x)
    for number, width in enumerate(widths, 1):
        x = _block(
            x,
            name=f"block{number}",
            width=width,
            depth=depth,
            residual=residual,
            activation=activation,
            momentum=momentum,
            epsilon=epsilon,
        )
    x = layers.GlobalMaxPooling2D(name="pool")(x)
    x = layers.Dense(classes, use_bias=False, kernel_initializer=_uniform(), name="head")(x)
    x = layers.Rescaling(logit_scale, name="logits")(x)
    model = keras.Model(images, layers.Softmax(name="probabilities")(x), name="airnet")
    _start_as_identities(model, cosine_filters=cosine_filters)
    if unit_head:
        head = model.get_layer("head").kernel
        head.assign(head / keras.ops.std(head))
    return model


def _block(
    x: Any,
    *,
    name: str,
    width: int,
    depth: int,
    residual: bool,
    activation: str,
    momentum: float,
    epsilon: float,
) -> Any:
    layers = keras.layers
    first = x
    for i in range(1, depth + 1):
        x = layers.Conv2D(
            width,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=_uniform(),
            name=f"{name}_conv{i}",
        )(x)
        window = halving(*x.shape[1:3])
        if i == 1 and window != (1, 1):
            x = layers.MaxPooling2D(window, name=f"{name}_pool")(x)
        x = layers.BatchNormalization(
            scale=False, momentum=momentum, epsilon=epsilon, name=f"{name}_norm{i}"
        )(x)
        if residual and 1 < i == depth:
            x = layers.Add(name=f"{name}_add")([x, first])
        x = layers.Activation(activation, name=f"{name}_activation{i}")(x)
        first = x if i == 1 else first
    return x


def _uniform() -> Any:
    """Return PyTorch's default: uniform within one over the square root of the inputs."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def _start_as_identities(model: KerasModel, *, cosine_filters: bool) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.padding == "same":
            kernel = np.array(keras.ops.convert_to_numpy(layer.kernel))
            passed = min(kernel.shape[2:])
            kernel[:, :, :, :passed] = 0.0
            kernel[1, 1, np.arange(passed), np.arange(passed)] = 1.0
            if cosine_filters:
                _start_as_cosines(kernel, passed)
            layer.kernel.assign(kernel)


def _start_as_cosines(kernel: np.ndarray[Any, Any], first: int) -> None:
    """Set the filters from ``first`` on to cosine transforms: in turn each channel's next one.

    They are the eight 3x3 functions of the two-dimensional cosine transform that are not
    constant, from low to high frequencies, each of norm 1.

    Args:
        kernel: float32 ``[3, 3, in, out]``, changed in place.
    """
    along = np.cos(np.pi / 3 * np.outer(np.arange(3), np.arange(3) + 0.5))
    waves = [np.outer(along[i], along[j]) for i, j in sorted(np.ndindex(3, 3), key=sum)][1:]
    inputs, outputs = kernel.shape[2:]
    for number in range(first, outputs):
        wave = waves[(number - first) // inputs % len(waves)]
        kernel[:, :, :, number] = 0.0
        kernel[:, :, number % inputs, number] = wave / np.linalg.norm(wave)
