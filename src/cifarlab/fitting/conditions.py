"""What has no fast form in a model or in what it was compiled with, said in the user's names.

Each condition is a pure function of the model: ``None`` where all is well, otherwise why Keras
runs the call itself. To cover something new, weaken or remove the condition that rules it out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cifarlab.backend import KerasModel, keras

Condition = Callable[[KerasModel], str | None]

# Methods of ``keras.Model`` that make the functions which its loops call.
MAKERS = ("make_train_function", "make_test_function", "make_predict_function")
# Methods of ``keras.Model`` whose work is done in another way, so that one of the user's own has
# to be called by Keras.
REPLACED = (
    "train_step", "test_step", "predict_step", *MAKERS, "compute_loss", "losses",
    "trainable_weights", "trainable_variables", "zero_grad", "__call__",
)  # fmt: skip
# Where the functions that Keras's loops call come from, unless the user made one.
STEPS_FROM = ("keras.src.backend.torch.trainer", "cifarlab.fitting.steps")
# Keras's hooks into PyTorch's modules; the native form does not call the layers they hang on.
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def failed(model: KerasModel, conditions: Sequence[Condition]) -> tuple[str, ...]:
    """Return why Keras runs the call itself: all the reasons, none if it can run natively."""
    if not isinstance(model, keras.Model):
        # A layer that inherits from Keras's trainer as well.
        return (f"{type(model).__name__} is no keras.Model",)
    return tuple(why for check in conditions if (why := check(model)) is not None)


def own_methods(model: KerasModel) -> str | None:
    """A method that the user wrote in place of Keras's."""
    return _own_among(REPLACED, model)


def own_functions(model: KerasModel) -> str | None:
    """A step that was put in place of the one that Keras makes."""
    for name in ("train_function", "test_function", "predict_function"):
        function = getattr(model, name, None)
        if function is not None and getattr(function, "__module__", None) not in STEPS_FROM:
            return f"model {model.name!r} was given a {name} of its own"
    return None


def own_functions_made(model: KerasModel) -> str | None:
    """A method that makes the step, which has to be called by Keras."""
    return _own_among(MAKERS, model)


def _own_among(names: Sequence[str], model: KerasModel) -> str | None:
    for name in names:
        if getattr(type(model), name) is not getattr(_plain_class(model), name):
            return f"{type(model).__name__} has a {name} of its own"
        if name in vars(model):
            return f"model {model.name!r} was given a {name} of its own"
    return None


def own_call(model: KerasModel) -> str | None:
    """A model whose graph is Python code."""
    if type(model).call is not _plain_class(model).call:
        return f"{type(model).__name__} is a subclass of keras.Model with a call of its own"
    return None


def several_inputs_or_outputs(model: KerasModel) -> str | None:
    """More than one of either."""
    # A Sequential model that was not built yet has neither.
    inputs, outputs = len(getattr(model, "inputs", [0])), len(getattr(model, "outputs", [0]))
    if inputs != 1:
        return f"model {model.name!r} has {inputs} inputs"
    return f"model {model.name!r} has {outputs} outputs" if outputs != 1 else None


def built_without_graph(model: KerasModel) -> str | None:
    """A Sequential model whose layers were never connected to one input."""
    if isinstance(model, keras.Sequential) and model.built and model._functional is None:
        return f"model {model.name!r} takes nested inputs"
    return None


def run_in_other_ways(model: KerasModel) -> str | None:
    """Arguments of ``compile`` that name another way to run."""
    if model.run_eagerly:
        return "compile(run_eagerly=True)"
    if model.jit_compile:
        return "compile(jit_compile=True)"
    if model.steps_per_execution != 1:
        return f"compile(steps_per_execution={model.steps_per_execution})"
    return None


def no_loss(model: KerasModel) -> str | None:
    """No loss, or nothing compiled at all."""
    if not model.compiled:
        return f"model {model.name!r} is not compiled"
    return "compiled without a loss" if model._compile_loss is None else None


def nothing_to_train(model: KerasModel) -> str | None:
    """No optimizer, or no trainable weights."""
    if not isinstance(getattr(model, "optimizer", None), keras.optimizers.Optimizer):
        return "compiled without an optimizer"
    if model.built and not model.trainable_weights:
        return f"model {model.name!r} has no trainable weights"
    return None


def other_number_types(model: KerasModel) -> str | None:
    """Layers that compute or keep their weights in another dtype than float32."""
    for layer in model._flatten_layers():
        policy = layer.dtype_policy
        if layer.quantization_mode is not None:
            return f"layer {layer.name!r} is quantised to {layer.quantization_mode}"
        dtypes = {policy.compute_dtype, policy.variable_dtype}
        if any(keras.backend.is_float_dtype(d) and d != "float32" for d in dtypes):
            return f"layer {layer.name!r} has the dtype policy {policy.name}"
    return None


def masks(model: KerasModel) -> str | None:
    """A layer that gives a mask, which changes the layers after it, the loss and the metrics."""
    for layer in model._flatten_layers():
        stock = type(layer).__module__.startswith("keras.")
        makes = isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False)
        own = not stock and type(layer).compute_mask is not keras.layers.Layer.compute_mask
        if makes or (own and not isinstance(layer, keras.Model)):
            return f"layer {layer.name!r} gives a mask"
    return None


def watched_layers(model: KerasModel) -> str | None:
    """Layers with PyTorch hooks, or with a ``call`` that was put in place of their own."""
    for layer in model._flatten_layers():
        if any(getattr(layer, name) for name in HOOKS):
            return f"layer {layer.name!r} has a PyTorch hook"
        if "call" in vars(layer):
            return f"layer {layer.name!r} was given a call of its own"
    for variable in model.trainable_variables:
        if variable.value._backward_hooks:
            return f"variable {variable.path!r} has a PyTorch hook"
    return None


def distributed(_: KerasModel) -> str | None:
    """Training on several devices by Keras's own means."""
    if keras.distribution.distribution() is not None:
        return "keras.distribution is in use"
    return None


FOR_PREDICT: tuple[Condition, ...] = (
    own_methods, own_functions, own_call, several_inputs_or_outputs, built_without_graph,
    run_in_other_ways, other_number_types, masks, watched_layers, distributed,
)  # fmt: skip
FOR_EVALUATE: tuple[Condition, ...] = (no_loss, *FOR_PREDICT)
FOR_FIT: tuple[Condition, ...] = (nothing_to_train, *FOR_EVALUATE)
# Where these hold, the layers of a model can run natively inside of any step.
FOR_LAYERS: tuple[Condition, ...] = (
    own_functions, own_functions_made, run_in_other_ways, other_number_types, masks,
    watched_layers, distributed,
)  # fmt: skip


def _plain_class(model: KerasModel) -> Any:
    """Return the class of Keras's that ``model`` is an instance of without the user's changes."""
    return next(c for c in type(model).__mro__ if c.__module__.startswith("keras."))
