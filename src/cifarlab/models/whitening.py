"""Set a network's first convolution so that it whitens patches of the images.

Source: Page, "How to train your ResNet 8: bag of tricks" (2019); with the filters' negatives as in
tysam-code/hlb-CIFAR10 and KellerJordan/cifar10-airbench.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError

LAYER = "whitening"
# Pixels whose patches are held at once, about 0.5 GB; 5000 images of 32x32 fit in.
PIXELS_AT_ONCE = 5000 * 32 * 32


def whitening_sample(labels: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """Return which images to whiten by: the first ones, or evenly spaced ones of sorted images.

    The first images of a folder are of its first class. Images that are in no order, such as
    CIFAR-10's, are taken as they come, as the published recipes do.

    Args:
        labels: int ``[N]`` of the training images.
        count: how many images are wanted; all are taken where there are no more.

    Returns:
        Increasing int64 indices ``[min(N, count)]``.

    Example:
        >>> whitening_sample(np.array([0, 0, 0, 1, 1, 1]), 3)
        array([0, 2, 4])
        >>> whitening_sample(np.array([0, 1, 1, 0, 1, 0]), 3)
        array([0, 1, 2])
    """
    count = min(count, len(labels))
    in_order = bool((np.diff(labels) >= 0).all())
    if in_order or len(np.unique(labels[:count])) < len(np.unique(labels)):
        return np.arange(count) * len(labels) // count
    return np.arange(count)


def whitening_kernel(
    images: np.ndarray[Any, Any], size: int, filters: int, epsilon: float
) -> np.ndarray[Any, Any]:
    """Return filters whose responses on patches have equal variance and no correlation.

    Args:
        images: float32 ``[N, H, W, C]``, the input of the convolution.
        size: height and width of a patch.
        filters: an even number; half are the first principal components (of the second moment,
            which is not centred), the others their negatives.
        epsilon: added to each variance before the division by its square root.

    Returns:
        float32 ``[size, size, C, filters]``.

    Raises:
        InputError: more filters than twice the values in a patch, or an odd number of them.
    """
    channels = images.shape[-1]
    values = size * size * channels
    if filters % 2 or filters > 2 * values:
        raise InputError(
            f"{filters} whitening filters for patches of {values} values: "
            f"use an even number up to {2 * values}"
        )
    variances, components = np.linalg.eigh(_second_moment(images, size))
    largest = np.argsort(-variances)[: filters // 2]
    half = components[:, largest] / np.sqrt(variances[largest] + epsilon)
    both = np.concatenate([half, -half], axis=1)
    return both.reshape(size, size, channels, filters).astype(np.float32)


def _second_moment(images: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """Return the mean product of each two values of a patch, float64 ``[values, values]``."""
    values = size * size * images.shape[-1]
    moment = np.zeros((values, values))
    at_once = max(1, PIXELS_AT_ONCE // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), at_once):
        some = images[start : start + at_once]
        windows = np.lib.stride_tricks.sliding_window_view(some, (size, size), axis=(1, 2))
        patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, values)
        product = (patches.T @ patches / len(patches)).astype("float64")
        moment += product * (len(some) / len(images))
    return moment


def whiten(model: KerasModel, images: np.ndarray[Any, Any], epsilon: float) -> None:
    """Set the kernel of the convolution called ``whitening`` from images.

    Args:
        model: a Keras model whose layer ``whitening`` is the first with weights.
        images: uint8 ``[N, H, W, C]``.

    Raises:
        InputError: the model has no such convolution.
    """
    layer = next((layer for layer in model.layers if layer.name == LAYER), None)
    if not isinstance(layer, keras.layers.Conv2D):
        raise InputError(
            f"model {model.name!r} has no Conv2D called {LAYER!r}; "
            "give its first convolution that name, or remove Whitening from the recipe"
        )
    before = keras.Model(model.input, layer.input)
    inputs = keras.ops.convert_to_numpy(before.predict(images.astype("float32"), verbose=0))
    size, _, _, filters = layer.kernel.shape
    layer.kernel.assign(whitening_kernel(inputs, size, filters, epsilon))
