"""The network that is fine-tuned: a start's, its parts frozen or not, with a new last layer."""

from __future__ import annotations

from typing import Any

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import UsageError
from cifarlab.finetuning.linear_head import LinearHead
from cifarlab.finetuning.starts import Start
from cifarlab.models.backbones.backbone import Shape

HEAD = "classes"
ALL, NONE = "all", "none"


def finetuned(start: Start, input_shape: Shape, classes: int, unfreeze: str = ALL) -> KerasModel:
    """Return the network of ``start`` with a last layer for so many classes, all zeros.

    Batch normalisation keeps the statistics that it was trained with, also while training: those
    of a few images would be noise. So do its weights.

    Args:
        input_shape: height, width and channels.
        classes: the number of classes K.
        unfreeze: ``"all"`` trains every other layer, ``"none"`` the last one only, and the
            beginning of a layer's name, such as ``"block5"``, all from the first such layer on.

    Returns:
        A ``keras.Model`` from ``[N, *input_shape]`` to probabilities ``[N, K]``.

    Raises:
        UsageError: no layer has such a name.
        InputError: the start takes other images.
    """
    body = start.build(input_shape)
    freeze_before(body, unfreeze)
    output = keras.layers.Dense(
        classes, activation="softmax", kernel_initializer="zeros", name=HEAD
    )(body.output)
    return keras.Model(body.inputs[0], output, name="finetuned")


def freeze_before(model: KerasModel, unfreeze: str) -> None:
    """Freeze the layers before the first whose name begins with ``unfreeze``.

    Raises:
        UsageError: no layer has such a name.
    """
    names = [layer.name for layer in model.layers]
    first = {ALL: 0, NONE: len(names)}.get(unfreeze)
    if first is None:
        first = next((i for i, name in enumerate(names) if name.startswith(unfreeze)), None)
    if first is None:
        blocks = dict.fromkeys(name.split("_")[0] for name in names)
        raise UsageError(
            f"no layer's name begins with {unfreeze!r}; write {ALL}, {NONE}, or one of "
            f"{', '.join(blocks)}"
        )
    for number, layer in enumerate(model.layers):
        layer.trainable = number >= first and not _keeps_statistics(layer)


def set_head(model: KerasModel, head: LinearHead) -> None:
    """Give the last layer of a network of ``finetuned`` its weights."""
    model.get_layer(HEAD).set_weights([head.kernel, head.bias])


def body_of(model: KerasModel) -> KerasModel:
    """Return a network of ``finetuned`` without its last layer, sharing its weights."""
    return keras.Model(model.inputs[0], model.get_layer(HEAD).input)


def _keeps_statistics(layer: Any) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)
