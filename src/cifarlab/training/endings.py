"""How a model of the user's ends, and what is added so that a saved file gives probabilities.

The model itself stays as it is: the ending is part of a second model of the same layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError
from cifarlab.lowering.model import lower
from cifarlab.training.losses import OF_ALL_CLASSES, LossKind, is_stock

SOFTMAX, SIGMOID, LINEAR = "softmax", "sigmoid", "linear"
# So that the logarithm of an output of 0 is a number.
SMALLEST = 1e-30
# Keras's activations that give no probabilities, whatever goes into them.
NOT_BOUNDED = frozenset(
    {
        *("linear", "log_softmax", "log_sigmoid", "relu", "relu6", "leaky_relu", "elu", "selu"),
        *("celu", "gelu", "silu", "tanh", "softplus", "softsign", "exponential", "mish"),
    }
)
# Images that an ending is recognised by, where the graph of layers does not say it.
TRIED = 32


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A model that gives probabilities ``[N, K]``, of the layers of the user's.

    Attributes:
        model: the user's own where nothing had to be added and its class is Keras's.
        added: what was added, for a line of text; empty for nothing.
    """

    model: KerasModel
    added: str = ""


def finish(
    model: KerasModel,
    images: np.ndarray[Any, Any],
    loss: LossKind | None,
    *,
    as_compiled: bool,
) -> Finished:
    """Return the model with the ending that its loss calls for.

    Args:
        model: built; gives a value for each class, or one for two classes.
        images: a few, ``[N, H, W, C]``.
        loss: that it was compiled with, ``None`` for none.
        as_compiled: whether it is trained with that, rather than with a recipe's cross-entropy.

    Raises:
        InputError: ending and loss contradict each other.
    """
    units = int(model.output_shape[-1])
    ending = ending_of(model, images)
    if not as_compiled:
        _check_for_recipe(model, ending, units)
    elif loss is not None:
        _check(model, ending, units, loss)
    if ending == SOFTMAX:
        if lower(model).strip_softmax():
            return Finished(model=_of_stock_class(model))
        return Finished(
            model=_extended(model, _softmax_again), added="a softmax layer, with the same result"
        )
    if units > 1:
        if ending == SIGMOID:
            return Finished(
                model=_extended(model, _shares),
                added=f"the share of each of the {units} sigmoid outputs in their sum",
            )
        return Finished(model=_extended(model, _softmax), added="a softmax")
    if ending == SIGMOID:
        return Finished(
            model=_extended(model, _both_of_sigmoid), added="the two columns 1 - p and p"
        )
    if loss is not None and loss.decides_at_zero:
        return Finished(
            model=_extended(model, _both_of_logit),
            added="a sigmoid, as the two columns 1 - p and p",
        )
    return Finished(
        model=_extended(model, _both_of_value),
        added="the two columns 1 - p and p of the output p, cut off at 0 and 1",
    )


def ending_of(model: KerasModel, images: np.ndarray[Any, Any]) -> str:
    """Return ``"softmax"``, ``"sigmoid"`` or ``"linear"`` for anything else.

    Where the graph of layers does not say it, the outputs for some images do.
    """
    last = _last_operation(model)
    said = _activation(last)
    if said is not None:
        return said
    inputs = keras.ops.convert_to_tensor(images[:TRIED].astype("float32"))
    outputs = keras.ops.convert_to_numpy(model(inputs, training=False)).astype("float64")
    if outputs.min() < 0.0 or outputs.max() > 1.0 + 1e-3:
        return LINEAR
    if outputs.shape[-1] > 1 and np.allclose(outputs.sum(axis=-1), 1.0, atol=1e-2):
        return SOFTMAX
    return SIGMOID


def _last_operation(model: KerasModel) -> Any:
    """Return what gives the output, in nested models too; ``None`` where there is no graph."""
    outputs = getattr(model, "outputs", None)
    if not outputs or len(outputs) != 1:
        return None
    operation = outputs[0]._keras_history.operation
    return _last_operation(operation) if isinstance(operation, keras.Model) else operation


def _activation(operation: Any) -> str | None:
    """Return the ending that a layer or an operation says, ``None`` where it says nothing."""
    layers = keras.layers
    if operation is None:
        return None
    if isinstance(operation, layers.Softmax):
        return SOFTMAX if operation.axis in (-1, 1) else None
    if isinstance(operation, layers.ReLU | layers.LeakyReLU | layers.PReLU | layers.ELU):
        return LINEAR
    stock = type(operation).__module__
    if stock == "keras.src.ops.nn":
        name = type(operation).__name__.lower()
        return name if name in (SOFTMAX, SIGMOID) and _last_axis(operation) else None
    if not stock.startswith("keras.") or not hasattr(operation, "activation"):
        return None
    function = operation.activation
    name = str(getattr(function, "__name__", "linear" if function is None else ""))
    if name in (SOFTMAX, SIGMOID):
        return name
    return LINEAR if name in NOT_BOUNDED else None


def _last_axis(operation: Any) -> bool:
    return getattr(operation, "axis", -1) in (-1, 1)


def _check_for_recipe(model: KerasModel, ending: str, units: int) -> None:
    """Raise ``InputError`` where cross-entropy of a softmax cannot train the model."""
    if ending == SIGMOID or units == 1:
        raise _contradiction(
            model,
            f"ends in {_units(units)} ({ending}) and would be trained with the cross-entropy of "
            "a softmax",
            "end it in a softmax layer, or compile it with its loss and name no recipe",
        )


def _check(model: KerasModel, ending: str, units: int, loss: LossKind) -> None:
    """Raise ``InputError`` where the loss cannot train what the model ends in."""
    if units == 1 and ending == SOFTMAX:
        raise _contradiction(
            model, "ends in a softmax of one unit, which is always 1", "make it a sigmoid"
        )
    if units == 1 and loss.stock and loss.name in OF_ALL_CLASSES:
        raise _contradiction(
            model,
            f"ends in one unit, and {loss.name} takes one for each class",
            "compile it with binary_crossentropy, or end it in Dense(2, activation='softmax')",
        )
    explicit = _activation(_last_operation(model)) == ending
    if loss.from_logits and (ending == SOFTMAX or (ending == SIGMOID and explicit)):
        raise _contradiction(
            model,
            f"ends in a {ending}, and its loss {loss.name} is told from_logits=True",
            f"leave from_logits out, or take the {ending} away",
        )
    if loss.takes_probabilities and ending == LINEAR:
        activation = SIGMOID if units == 1 or loss.name.startswith("binary") else SOFTMAX
        raise _contradiction(
            model,
            f"ends in {_units(units)} without {activation}, and its loss {loss.name} takes "
            "probabilities",
            f"compile it with from_logits=True, or add activation='{activation}'",
        )


def _units(units: int) -> str:
    return "one unit" if units == 1 else f"{units} units"


def _contradiction(model: KerasModel, what: str, remedy: str) -> InputError:
    return InputError(f"model {model.name!r} {what}; {remedy}")


def _of_stock_class(model: KerasModel) -> KerasModel:
    """Return a model of Keras's own class, which loads anywhere, where only methods are others.

    Such as one with a training step of its own, whose graph of layers is all that predicts.
    """
    if is_stock(type(model)) or not is_stock(type(model).call) or not hasattr(model, "outputs"):
        return model
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


# Endings


def _extended(model: KerasModel, ending: Callable[[Any, Any], Any]) -> KerasModel:
    """Return a model of the same layers with an ending behind them."""
    if getattr(model, "outputs", None):
        inputs, output = model.inputs[0], model.outputs[0]
        operation = output._keras_history.operation
    else:
        inputs = keras.Input(model.input_shape[1:])
        output, operation = model(inputs), None
    return keras.Model(inputs, ending(output, operation), name=model.name)


def _softmax(outputs: Any, _: Any) -> Any:
    return keras.layers.Softmax(dtype="float32", name="probabilities")(outputs)


def _softmax_again(outputs: Any, operation: Any) -> Any:
    before = _before(operation)
    return _softmax(_logarithm(outputs) if before is None else before, None)


def _shares(outputs: Any, _: Any) -> Any:
    return _softmax(_logarithm(outputs), None)


def _both_of_sigmoid(outputs: Any, operation: Any) -> Any:
    before = _before(operation)
    if before is not None:
        return _both_of_logit(before, None)
    return _both_of_value(outputs, None)


def _both_of_logit(outputs: Any, _: Any) -> Any:
    layers = keras.layers
    # The sigmoid of z is the second share in the softmax of 0 and z.
    zero = layers.Rescaling(0.0, dtype="float32")(outputs)
    return _softmax(layers.Concatenate(dtype="float32")([zero, outputs]), None)


def _both_of_value(outputs: Any, _: Any) -> Any:
    layers = keras.layers
    other = layers.Rescaling(-1.0, 1.0, dtype="float32")(outputs)
    return _softmax(_logarithm(layers.Concatenate(dtype="float32")([other, outputs])), None)


def _logarithm(outputs: Any) -> Any:
    # The softmax of logarithms is the share of each value in their sum.
    return keras.ops.log(keras.ops.maximum(outputs, SMALLEST))


def _before(operation: Any) -> Any:
    """Return what goes into an activation that is a step of its own, ``None`` for any other."""
    alone = isinstance(operation, keras.layers.Softmax | keras.layers.Activation)
    if operation is None or not (alone or type(operation).__module__ == "keras.src.ops.nn"):
        return None
    # A layer that is used twice has several inputs.
    return operation.input if len(operation._inbound_nodes) == 1 else None
