"""What is known of a backbone: what it is, whose, and where its weights are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.backend import KerasModel
from cifarlab.models.backbones.published_weights import PublishedWeights, read_weights

Arrays = Mapping[str, np.ndarray[Any, Any]]
Shape = tuple[int, int, int]
Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A trained network of stock Keras layers, from images to one row of features an image.

    Attributes:
        name: what ``--from`` calls it.
        summary: one line for people.
        licence: of the weights, as an SPDX identifier.
        origin: who trained it on what, for citing.
        image_size: the side of the images that it was trained on, in pixels.
        features: the number F of values that it gives for an image.
        weights: the file that they are read from.
        build: from an input shape ``(height, width, channels)``, and the size that images are
            resized to inside or ``None``, to the network, its weights random.
        assign: gives such a network its weights, from the arrays in the file.
    """

    name: str
    summary: str
    licence: str
    origin: str
    image_size: int
    features: int
    weights: PublishedWeights
    build: Callable[[Shape, Size | None], KerasModel]
    assign: Callable[[KerasModel, Arrays], None]


def load_backbone(backbone: Backbone, input_shape: Shape, size: Size | None = None) -> KerasModel:
    """Return the network with its weights, for images of one size.

    Args:
        input_shape: height, width, and 3 channels or 1; images are values from 0 to 255.
        size: height and width that they are resized to inside; ``None`` for as they are.

    Returns:
        A ``keras.Model`` from ``[N, *input_shape]`` to features ``[N, F]``.

    Raises:
        UsageError: the extra that holds the weights is not installed.
        UnsafeError: the file is not the one that was published.
    """
    arrays = read_weights(backbone.weights)
    model = backbone.build(input_shape, size)
    backbone.assign(model, arrays)
    return model
