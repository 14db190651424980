"""Any model of one image, as a plain functional model: images in, one row of values out.

Models that people bring may have dictionaries or lists of one as input and output, a fixed batch
size, images of any size, a ``call`` of their own, or another range of pixels than 0 to 255. The
plain form has none of that. It is made of the same layers, so that whatever trains it trains the
model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError, UsageError
from cifarlab.lowering.graph import is_graph

AS_THEY_ARE = "0..255"
# What pixels from 0 to 255 are multiplied by, and what is added then.
SCALINGS = {AS_THEY_ARE: (1.0, 0.0), "0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0)}
# The layer that brings pixels to the model's range.
SCALING_LAYER = "pixels"
# As Keras does in the cross-entropy of probabilities.
SMALLEST = 1e-7
NUMBERS = ("no", "one", "two", "three", "four")


def plain_form(
    model: KerasModel, image_shape: tuple[int, ...] | None = None, pixels: str = AS_THEY_ARE
) -> KerasModel:
    """Return ``model`` itself where it is plain, else its plain form, with the same layers.

    Args:
        model: of one input and one output. It is built if it is not.
        image_shape: height, width and channels of the images, for a model that does not say.
        pixels: the range that the model was made for, one of ``SCALINGS``. For another than
            ``"0..255"`` a ``Rescaling`` layer is put first.

    Returns:
        A model from ``[N, H, W, C]``, pixels 0 to 255, to ``[N, K]``. Where the last layer is
        somebody's own and gives probabilities, two operations and a softmax follow it that do
        not change them.

    Raises:
        UsageError: ``pixels`` is not one of the three, or the model has that layer already.
        InputError: several inputs or outputs, no image size, a batch size that is built into its
            operations, or a model that cannot be called on such images.
    """
    check_pixels(pixels)
    _check_single(model)
    shape = _image_shape(model, image_shape)
    if isinstance(model, keras.Sequential) and not getattr(model, "inputs", None):
        _called(model, keras.Input(shape))
    opaque = not is_graph(model) or _is_own(_last_operation(model))
    if not opaque and _is_plain(model, shape) and pixels == AS_THEY_ARE:
        return model
    if pixels != AS_THEY_ARE and any(layer.name == SCALING_LAYER for layer in model.layers):
        raise UsageError(
            f"pixels {pixels!r}: model {model.name!r} was given a range already, and takes pixels "
            "0 to 255 since; leave that out"
        )
    images = keras.Input(shape, dtype=_input_dtype(model))
    scaled = images
    if pixels != AS_THEY_ARE:
        scaled = keras.layers.Rescaling(*SCALINGS[pixels], dtype="float32", name=SCALING_LAYER)(
            images
        )
    values = _called(model, scaled)
    if len(values.shape) > 1 and values.shape[0] is not None:
        raise InputError(
            f"model {model.name!r} has a batch size of {values.shape[0]} in its operations; "
            f"build it with keras.Input({shape}), and reshape to -1 instead of that number"
        )
    form = keras.Model(images, values, name=model.name)
    if opaque and _gives_probabilities(form, shape):
        ending = keras.layers.Softmax(dtype="float32")
        values = ending(keras.ops.log(keras.ops.maximum(values, SMALLEST)))
        form = keras.Model(images, values, name=model.name)
    return form


def check_pixels(pixels: str) -> None:
    """Raise ``UsageError`` unless ``pixels`` is one of the ranges of ``SCALINGS``."""
    if pixels not in SCALINGS:
        raise UsageError(f"pixels {pixels!r}: choose from {', '.join(SCALINGS)}")


def scales_pixels(model: KerasModel) -> bool:
    """Whether a layer in the model, or in a model inside it, brings pixels to its range."""
    kinds = (keras.layers.Rescaling, keras.layers.Normalization)
    return any(isinstance(layer, kinds) for layer in model._flatten_layers())


def _check_single(model: KerasModel) -> None:
    if not is_graph(model):
        return
    inputs, outputs = len(model.inputs), len(model.outputs)
    if inputs != 1:
        raise InputError(
            f"model {model.name!r} has {_number(inputs)} inputs; a classifier takes one image: "
            "train it with cifarlab.fit(model, [x1, x2], y), or bring a model of one input"
        )
    if outputs != 1:
        raise InputError(
            f"model {model.name!r} has {_number(outputs)} outputs; a classifier gives one row of "
            "probabilities: bring keras.Model(model.inputs, model.outputs[0]), or train it with "
            "cifarlab.fit(model, x, [y1, y2])"
        )


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def _image_shape(model: KerasModel, image_shape: tuple[int, ...] | None) -> tuple[int | None, ...]:
    """Return the model's own image shape, completed where it takes any size."""
    own: tuple[int | None, ...] | None = None
    if is_graph(model):
        own = tuple(model.inputs[0].shape[1:])
    else:
        # What it was called with or built for, if it was.
        known = (getattr(model, "_build_shapes_dict", None) or {}).get("input_shape")
        if isinstance(known, (tuple, list)) and all(isinstance(n, int | None) for n in known):
            own = tuple(known[1:])
    if own is None and image_shape is None:
        raise InputError(
            f"model {model.name!r} does not say which images it takes; call it on some first"
        )
    if own is None or image_shape is None:
        return own or image_shape or ()
    if len(own) != len(image_shape):
        return own
    return tuple(
        given if length is None else length for length, given in zip(own, image_shape, strict=True)
    )


def _is_plain(model: KerasModel, shape: tuple[int | None, ...]) -> bool:
    if tuple(model.inputs[0].shape) != (None, *shape):
        return False
    # A functional model of a dictionary or a list of one is called, and answers, as such.
    if isinstance(model, keras.Sequential):
        return True
    return not (keras.tree.is_nested(model.input) or keras.tree.is_nested(model.output))


def _input_dtype(model: KerasModel) -> str:
    return str(model.inputs[0].dtype) if is_graph(model) else "float32"


def _called(model: KerasModel, images: Any) -> Any:
    """Return the symbolic output for symbolic images, computed by the model's own layers."""
    try:
        if is_graph(model):
            # A private method of Keras, which its clone_model uses too; tests fail if it changes.
            function = keras.Function(model.inputs, model.outputs)
            outputs = function._run_through_graph([images], operation_fn=lambda layer: layer)
        else:
            if not model.built:
                # With values, so that an error in its code is the one that is seen.
                model(np.zeros((1, *images.shape[1:]), images.dtype))
            outputs = model(images)
    # The code of a model that others wrote may raise anything.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"model {model.name!r} cannot be called on images {list(images.shape[1:])} "
            f"({reason[:300]}); bring a model that takes such images"
        ) from error
    values = keras.tree.flatten(outputs)
    if len(values) != 1:
        raise InputError(
            f"model {model.name!r} has {_number(len(values))} outputs; a classifier gives one row "
            "of probabilities: return only that from call"
        )
    return values[0]


def _last_operation(model: KerasModel) -> Any:
    """Return what gives the model's output; in nested models the innermost."""
    operation = model.outputs[0]._keras_history.operation
    while isinstance(operation, keras.Model) and is_graph(operation):
        operation = operation.outputs[0]._keras_history.operation
    return operation


def _is_own(operation: Any) -> bool:
    return not type(operation).__module__.startswith("keras.")


def _gives_probabilities(form: KerasModel, shape: tuple[int | None, ...]) -> bool:
    """Whether every row for noise images sums to 1, within rounding, and has no negative value."""
    if None in shape or len(form.output_shape) != 2:
        return False
    noise = np.random.default_rng(0).integers(0, 256, (8, *(n or 1 for n in shape)))
    values = np.asarray(form.predict(noise.astype("float32"), verbose=0), "float64")
    return bool((values >= 0).all() and np.abs(values.sum(1) - 1).max() < 1e-3)
