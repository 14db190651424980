"""A classifier as one Keras model of stock layers: pixels in, the classifier's probabilities out.

A classifier may average over test-time augmentation and divides its logits by a temperature. Here
both become layers, so that every format that is made of this model predicts as the classifier
does, wherever it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.errors import UsageError
from cifarlab.lowering.shift import shifted
from cifarlab.recipes.parts import TestTimeAugmentation


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """One of the versions of an image that predictions are averaged over.

    Attributes:
        mirror: whether it is mirrored.
        shift: pixels, down and to the right.
    """

    mirror: bool = False
    shift: int = 0


def single_model(classifier: Classifier) -> Any:
    """Return a ``keras.Model``, pixels 0 to 255 ``[N, H, W, C]`` in, probabilities out.

    It shares its weights with ``classifier.model``, and is that model itself where the
    classifier has no test-time augmentation and a temperature of 1.

    Raises:
        UsageError: the model's softmax is neither a layer of its own nor part of a last Dense
            layer.
    """
    if classifier.tta is None and classifier.temperature == 1.0:
        return classifier.model
    layers = keras.layers
    core = _without_softmax(classifier.model)
    images = keras.Input(classifier.input_shape, name="images")
    weighted = []
    for number, (group, weight) in enumerate(_augmented(classifier.tta)):
        logits = [core(_apply(images, version)) for version in group]
        total = layers.Add(name=f"sum{number}")(logits) if len(logits) > 1 else logits[0]
        scale = weight / len(group) / classifier.temperature
        weighted.append(layers.Rescaling(scale, name=f"mean{number}")(total))
    mean = layers.Add(name="logits")(weighted) if len(weighted) > 1 else weighted[0]
    return keras.Model(images, layers.Softmax(name="probabilities")(mean), name="deployable")


def _augmented(tta: TestTimeAugmentation | None) -> list[tuple[list[Augmented], float]]:
    """Return groups of versions and the weight of each group; see ``lowering.tta``."""
    if tta is None:
        return [([Augmented()], 1.0)]
    mirrored = (False, True) if tta.mirror else (False,)
    centred = [Augmented(mirror=mirror) for mirror in mirrored]
    if tta.shift == 0:
        return [(centred, 1.0)]
    moved = [
        Augmented(mirror=mirror, shift=shift)
        for shift in (tta.shift, -tta.shift)
        for mirror in mirrored
    ]
    return [(centred, 0.5), (moved, 0.5)]


def _apply(images: Any, version: Augmented) -> Any:
    """Return the images mirrored and shifted, by products with matrices of zeros and ones."""
    height, width = images.shape[1:3]
    name = f"{'mirrored' if version.mirror else 'plain'}{version.shift:+d}"
    columns, rows = _sources(width, version.shift), _sources(height, version.shift)
    if version.mirror:
        # Mirrored after the shift, as the engine does.
        columns = columns[::-1]
    x = _rearrange(images, columns, (1, 3, 2), f"{name}_columns")
    return _rearrange(x, rows, (3, 2, 1), f"{name}_rows")


def _rearrange(
    x: Any, sources: np.ndarray[Any, Any], order: tuple[int, int, int], name: str
) -> Any:
    """Put at index ``i`` of an axis what is at ``sources[i]``; ``order`` makes it the last axis."""
    if np.array_equal(sources, np.arange(len(sources))):
        return x
    layers = keras.layers
    product = layers.Dense(len(sources), use_bias=False, trainable=False, name=name)
    x = layers.Permute(order, name=f"{name}_last")(x)
    x = layers.Permute(order, name=f"{name}_back")(product(x))
    kernel = np.zeros((len(sources), len(sources)), np.float32)
    kernel[sources, np.arange(len(sources))] = 1.0
    product.kernel.assign(kernel)
    return x


def _sources(side: int, shift: int) -> np.ndarray[Any, Any]:
    """Return which index of an axis each index shows after a shift, the border reflected."""
    axis = torch.arange(side).expand(1, 1, side, side)
    steps = torch.tensor([[0], [shift]])
    return np.asarray(shifted(axis, steps)[0, 0, 0].numpy())


def _without_softmax(model: Any) -> Any:
    last = model.outputs[0]._keras_history.operation
    layers = keras.layers
    function = getattr(last, "activation", None)
    if isinstance(last, layers.Softmax):
        return keras.Model(model.inputs, last.input, name="network")
    if isinstance(last, layers.Activation) and function is keras.activations.softmax:
        return keras.Model(model.inputs, last.input, name="network")
    if isinstance(last, layers.Dense) and function is keras.activations.softmax:
        dense = layers.Dense.from_config({**last.get_config(), "activation": "linear"})
        network = keras.Model(model.inputs, dense(last.input), name="network")
        dense.set_weights(last.get_weights())
        return network
    raise UsageError(
        f"model {model.name!r} ends in {type(last).__name__} {last.name!r}: to export its "
        "temperature or test-time augmentation, end it in a Softmax layer or a Dense layer with a "
        "softmax"
    )
