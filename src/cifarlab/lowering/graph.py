"""Read a Keras graph once into a list of steps, each a torch module on numbered slots.

Layers in ``layers.LOWERED`` become native modules; every other layer or operation is run by
Keras, which is slower.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError
from cifarlab.lowering.binding import Binding, LoweredLayer, to_keras_layout, to_torch_layout
from cifarlab.lowering.layers import CASTING, COMPOSED, LOWERED


class KerasModule(LoweredLayer):
    """A Keras layer or operation without a native form, run by Keras in its layout."""

    def __init__(self, operation: Any) -> None:
        super().__init__()
        # In a tuple, so that torch does not register the layer's own parameters twice.
        self.operation = (operation,)
        self.is_layer = isinstance(operation, keras.layers.Layer)
        self.added_losses: list[Tensor] = []
        for variable in operation.variables if self.is_layer else ():
            self.bindings.append(Binding(variable=variable, holder=variable, name="value"))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        (operation,) = self.operation
        device = next(
            (x.device for x in keras.tree.flatten((args, kwargs)) if isinstance(x, Tensor)), None
        )
        args, kwargs = keras.tree.map_structure(_in_keras_layout, (args, kwargs))
        if self.is_layer:
            # Also to a layer that does not take it: Keras hands it on to the layers inside.
            kwargs["training"] = self.training
        output = operation(*args, **kwargs)
        if self.is_layer:
            # Keras drops them when the layer is called again, as a shared layer is.
            for layer in operation._flatten_layers():
                self.added_losses.extend(layer._get_own_losses())
        return keras.tree.map_structure(lambda x: _in_torch_layout(x, device), output)


def _in_keras_layout(x: Any) -> Any:
    return to_keras_layout(x) if isinstance(x, Tensor) else x


def _in_torch_layout(x: Any, device: torch.device | None = None) -> Any:
    if not isinstance(x, Tensor):
        return x
    # Keras computes on its own default device, which need not be the model's.
    x = x.to(device=device)
    # The output of a layer with its own dtype policy may be bfloat16 or float64.
    automatic = torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64
    if x.is_floating_point() and not automatic:
        x = x.float()
    return to_torch_layout(x)


# The id of an operation, and whether it is called with tensors only.
_Key = tuple[int, bool]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A placeholder for a tensor in the arguments of a step."""

    index: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call in the graph: the module, its arguments with slots, and the slots of its outputs."""

    module: int
    args: Any
    kwargs: Any
    outputs: tuple[int, ...]


class Steps(nn.Module):
    """Modules called one after the other on numbered slots; slot 0 is the input.

    Attributes:
        modules_in_order: the modules that the steps call, by index.
        result: the slot of the output.
        takes_floats: whether integers are converted to floats first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.modules_in_order = nn.ModuleList()
        self.steps: list[Step] = []
        self.takes_floats = False
        self.result = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.takes_floats and not x.is_floating_point():
            x = x.float()
        values: dict[int, Any] = {0: x}
        for step in self.steps:
            args, kwargs = step.args, step.kwargs
            if not kwargs and all(type(a) is Slot for a in args):
                inputs = [values[a.index] for a in args]
                output = self.modules_in_order[step.module](*inputs)
            else:
                args, kwargs = keras.tree.map_structure(
                    lambda a, v=values: v[a.index] if isinstance(a, Slot) else a, (args, kwargs)
                )
                output = self.modules_in_order[step.module](*args, **kwargs)
            flat = (output,) if isinstance(output, Tensor) else keras.tree.flatten(output)
            values.update(zip(step.outputs, flat, strict=True))
        result: Tensor = values[self.result]
        return result


def slots_of(step: Step) -> list[int]:
    """Return the slots that a step takes values from."""
    if not step.kwargs and all(type(value) is Slot for value in step.args):
        return [value.index for value in step.args]
    values = keras.tree.flatten((step.args, step.kwargs))
    return [value.index for value in values if isinstance(value, Slot)]


class LoweredGraph(Steps):
    """A graph of lowered layers with one input and one output, both in torch layout.

    Args:
        model: a Keras model with one input and one output.
        modules: the modules lowered so far, so that a layer which is part of several nested
            graphs becomes one module.
        kept_in_keras: ids of the variables whose layers are to be run by Keras.
    """

    def __init__(
        self, model: KerasModel, modules: dict[_Key, nn.Module], kept_in_keras: frozenset[int]
    ) -> None:
        super().__init__()
        self.not_lowered: tuple[str, ...] = ()
        self.result = _read_graph(model, self, modules, kept_in_keras)


def _read_graph(
    model: KerasModel,
    lowered: LoweredGraph,
    modules: dict[_Key, nn.Module],
    kept_in_keras: frozenset[int],
) -> int:
    """Fill ``lowered`` with the model's steps; return the slot of its output."""
    indices: dict[_Key, int] = {}
    names: list[str] = []
    count = 1

    def module_index(operation: Any, *, tensors_only: bool) -> int:
        key = (id(operation), tensors_only)
        if key not in indices:
            if key not in modules:
                native = tensors_only and _lower_operation(operation, modules, kept_in_keras)
                modules[key] = native or KerasModule(operation)
            module = modules[key]
            indices[key] = len(lowered.modules_in_order)
            lowered.modules_in_order.append(module)
            if isinstance(module, KerasModule):
                names.append(operation.name)
            elif isinstance(module, LoweredGraph):
                names.extend(module.not_lowered)
        return indices[key]

    def record(operation: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            # As in Keras, the mode of the whole model overrides a layer's own ``training``.
            kwargs = {k: v for k, v in kwargs.items() if v is not None and k != "training"}
            flat = args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
            tensors_only = not kwargs and all(isinstance(a, Slot) for a in flat)
            index = module_index(operation, tensors_only=tensors_only)
            if not isinstance(lowered.modules_in_order[index], KerasModule):
                args = tuple(flat)
            # Constants, which a KerasModule turns back into Keras's layout.
            args, kwargs = keras.tree.map_structure(_in_torch_layout, (args, kwargs))
            slots = [
                Slot(index=count + i) for i in range(len(keras.tree.flatten(operation.output)))
            ]
            count += len(slots)
            lowered.steps.append(
                Step(module=index, args=args, kwargs=kwargs, outputs=tuple(s.index for s in slots))
            )
            return keras.tree.pack_sequence_as(operation.output, slots)

        return call

    if not is_graph(model):
        lowered.modules_in_order.append(KerasModule(model))
        lowered.steps.append(Step(module=0, args=(Slot(index=0),), kwargs={}, outputs=(1,)))
        lowered.not_lowered = (model.name,)
        return 1
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(
            f"model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} "
            "outputs; a classifier takes one image and gives one row of probabilities"
        )
    lowered.takes_floats = keras.backend.is_float_dtype(model.inputs[0].dtype)
    # A private method of Keras, which its clone_model uses too; tests fail if it changes.
    function = keras.Function(model.inputs, model.outputs)
    (result,) = keras.tree.flatten(
        function._run_through_graph([Slot(index=0)], operation_fn=record)
    )
    lowered.not_lowered = tuple(dict.fromkeys(names))
    return int(result.index)


def is_graph(model: KerasModel) -> bool:
    """Whether calling ``model`` does nothing but run its graph of layers."""
    plain = type(model).call in (keras.Sequential.call, _functional_call())
    return plain and bool(getattr(model, "inputs", None))


@functools.cache
def _functional_call() -> Any:
    # With names, so that Keras's numbering of the user's own models does not change.
    inputs = keras.Input((1,), name="x")
    return type(keras.Model(inputs, inputs, name="x")).call


def _lower_operation(
    operation: Any, modules: dict[_Key, nn.Module], kept_in_keras: frozenset[int]
) -> nn.Module | None:
    """Return the native form of a layer or nested model, or ``None`` if it has none."""
    if isinstance(operation, keras.Model):
        nested = is_graph(operation) and len(operation.inputs) == len(operation.outputs) == 1
        return LoweredGraph(operation, modules, kept_in_keras) if nested else None
    if type(operation) not in LOWERED or not _takes_floats(operation):
        return None
    return _native_layer(operation, kept_in_keras)


def native_form(layer: Any, kept_in_keras: frozenset[int]) -> nn.Module | None:
    """Return the native form of a layer that is called by Python code, or ``None``.

    Of a nested model only where all of it is native. It is for tensors of floats.

    Args:
        kept_in_keras: ids of variables; a layer that holds one of them has no native form.
    """
    if not isinstance(layer, keras.Model):
        return _native_layer(layer, kept_in_keras)
    form = _lower_operation(layer, {}, kept_in_keras)
    return None if isinstance(form, LoweredGraph) and form.not_lowered else form


def _native_layer(layer: Any, kept_in_keras: frozenset[int]) -> nn.Module | None:
    build = LOWERED.get(type(layer))
    if build is None or _is_special(layer):
        return None
    if any(id(variable) in kept_in_keras for variable in layer.variables):
        return None
    return build(layer)


def _takes_floats(layer: Any) -> bool:
    floats = all(keras.backend.is_float_dtype(x.dtype) for x in keras.tree.flatten(layer.input))
    return floats or isinstance(layer, CASTING)


def _is_special(layer: Any) -> bool:
    """Whether a stock layer has settings that no native form covers."""
    return (
        getattr(layer, "data_format", None) == "channels_first"
        or layer.activity_regularizer is not None
        or layer.quantization_mode is not None
        or getattr(layer, "lora_enabled", False)
        # An activation that is a layer.
        or (bool(layer._flatten_layers(include_self=False)) and not isinstance(layer, COMPOSED))
    )
