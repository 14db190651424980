"""A classifier as one Keras model of stock layers: pixels in, the classifier's answers out.

A classifier may look at an image several times and divides its logits by a temperature. Here
both become layers, so that every format that is made of this model answers as the classifier
does, wherever it runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.errors import UsageError
from cifarlab.lowering.shift import shifted
from cifarlab.recipes.parts import TestTimeAugmentation

# Mirrored or not, and how far shifted down and right.
Look = tuple[bool, int]


def deployable(classifier: Classifier) -> Any:
    """Return a ``keras.Model``, pixels 0 to 255 ``[N, H, W, 3]`` in, probabilities out.

    It shares its weights with ``classifier.model``, and is that model itself where the
    classifier looks once and has a temperature of 1.

    Raises:
        UsageError: the model's softmax is no layer of its own, nor part of a last Dense layer.
    """
    if classifier.tta is None and classifier.temperature == 1.0:
        return classifier.model
    layers = keras.layers
    core = _without_softmax(classifier.model)
    images = keras.Input(classifier.input_shape, name="images")
    weighted = []
    for number, (group, weight) in enumerate(_looks(classifier.tta)):
        logits = [core(_seen(images, look)) for look in group]
        total = layers.Add(name=f"sum{number}")(logits) if len(logits) > 1 else logits[0]
        scale = weight / len(group) / classifier.temperature
        weighted.append(layers.Rescaling(scale, name=f"mean{number}")(total))
    mean = layers.Add(name="logits")(weighted) if len(weighted) > 1 else weighted[0]
    return keras.Model(images, layers.Softmax(name="probabilities")(mean), name="deployable")


def _looks(tta: TestTimeAugmentation | None) -> list[tuple[list[Look], float]]:
    """Return groups of looks and what each group counts; see ``lowering.tta``."""
    if tta is None:
        return [([(False, 0)], 1.0)]
    ways = (False, True) if tta.mirror else (False,)
    plain = [(mirror, 0) for mirror in ways]
    if tta.shift == 0:
        return [(plain, 1.0)]
    around = [(mirror, step) for step in (tta.shift, -tta.shift) for mirror in ways]
    return [(plain, 0.5), (around, 0.5)]


def _seen(images: Any, look: Look) -> Any:
    """Return the images mirrored and shifted, by products with matrices of zeros and ones."""
    mirror, step = look
    height, width = images.shape[1:3]
    name = f"{'mirrored' if mirror else 'plain'}{step:+d}"
    columns, rows = _places(width, step), _places(height, step)
    if mirror:
        # Mirrored after it was shifted, as the engine does.
        columns = columns[::-1]
    x = _moved(images, columns, (1, 3, 2), f"{name}_columns")
    return _moved(x, rows, (3, 2, 1), f"{name}_rows")


def _moved(x: Any, places: np.ndarray[Any, Any], order: tuple[int, int, int], name: str) -> Any:
    """Put at position ``i`` of an axis what is at ``places[i]``; ``order`` brings it to the end."""
    if np.array_equal(places, np.arange(len(places))):
        return x
    layers = keras.layers
    moving = layers.Dense(len(places), use_bias=False, trainable=False, name=name)
    x = layers.Permute(order, name=f"{name}_last")(x)
    x = layers.Permute(order, name=f"{name}_back")(moving(x))
    kernel = np.zeros((len(places), len(places)), np.float32)
    kernel[places, np.arange(len(places))] = 1.0
    moving.kernel.assign(kernel)
    return x


def _places(side: int, step: int) -> np.ndarray[Any, Any]:
    """Return which position of an axis each position shows after a shift, the border reflected."""
    axis = torch.arange(side).expand(1, 1, side, side)
    steps = torch.tensor([[0], [step]])
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
        "temperature or views, end it in a Softmax layer or a Dense layer with a softmax"
    )
