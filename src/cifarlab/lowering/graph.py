"""A Keras graph read once into a list of steps, each a torch module on numbered slots.

Layers in ``layers.LOWERED`` become native modules; every other layer or operation runs
as itself, slower but never wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cifarlab.backend import keras
from cifarlab.errors import InputError
from cifarlab.lowering.binding import Binding, LoweredLayer, to_engine_layout, to_keras_layout
from cifarlab.lowering.layers import CASTING, LOWERED


class KerasModule(LoweredLayer):
    """A Keras layer or operation without a native counterpart, run in Keras's layout."""

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
        args, kwargs = keras.tree.map_structure(_keras_view, (args, kwargs))
        if self.is_layer and operation._call_has_training_arg:
            kwargs["training"] = self.training
        output = operation(*args, **kwargs)
        if self.is_layer:
            # Keras forgets them when the layer is called again, as a shared layer is.
            for layer in operation._flatten_layers():
                self.added_losses.extend(layer._get_own_losses())
        return keras.tree.map_structure(lambda x: _engine_view(x, device), output)


def _keras_view(x: Any) -> Any:
    return to_keras_layout(x) if isinstance(x, Tensor) else x


def _engine_view(x: Any, device: torch.device | None = None) -> Any:
    if not isinstance(x, Tensor):
        return x
    # Keras computes on its own default device, which need not be the model's.
    x = x.to(device=device)
    # A layer with a dtype policy of its own may give bfloat16 or float64.
    automatic = torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64
    if x.is_floating_point() and not automatic:
        x = x.float()
    return to_engine_layout(x)


# An operation by its id, and whether it is called on nothing but tensors.
_Key = tuple[int, bool]


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Stands for a tensor while the graph is being read."""

    index: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call in the graph: which module, on which slots, into which slots."""

    module: int
    args: Any
    kwargs: Any
    outputs: tuple[int, ...]


class Steps(nn.Module):
    """Modules called one after the other on numbered slots; slot 0 is the input.

    Attributes:
        modules_in_order: what the steps call.
        result: the slot of the output.
        takes_floats: whether whole numbers are to be turned into fractions first.
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


def only_user(graph: Steps, place: int) -> int | None:
    """Return the step that takes what the one at ``place`` gives and nothing else.

    ``None`` where there is no such step, or others use it too.
    """
    outputs = graph.steps[place].outputs
    users = [i for i, step in enumerate(graph.steps) if set(outputs) & set(_slots(step))]
    if len(outputs) != 1 or len(users) != 1 or graph.result in outputs:
        return None
    user = graph.steps[users[0]]
    return users[0] if user.args == (Slot(index=outputs[0]),) and not user.kwargs else None


def _slots(step: Step) -> list[int]:
    values = keras.tree.flatten((step.args, step.kwargs))
    return [value.index for value in values if isinstance(value, Slot)]


class LoweredGraph(Steps):
    """A graph of lowered layers with one input and one output, both in the engine's layout.

    Args:
        modules: what has been lowered so far, so that a layer which stands in several
            nested graphs becomes one module.
        as_themselves: ids of the variables whose layers are to run as themselves.
    """

    def __init__(
        self, model: Any, modules: dict[_Key, nn.Module], kept_in_keras: frozenset[int]
    ) -> None:
        super().__init__()
        self.not_lowered: tuple[str, ...] = ()
        self.result = _read_graph(model, self, modules, kept_in_keras)


def _read_graph(
    model: Any,
    lowered: LoweredGraph,
    modules: dict[_Key, nn.Module],
    kept_in_keras: frozenset[int],
) -> int:
    """Fill ``lowered`` with the model's steps; return the slot of its output."""
    places: dict[_Key, int] = {}
    names: list[str] = []
    count = 1

    def place_of(operation: Any, plain_call: bool) -> int:
        key = (id(operation), plain_call)
        if key not in places:
            if key not in modules:
                native = plain_call and _lower_operation(operation, modules, kept_in_keras)
                modules[key] = native or KerasModule(operation)
            module = modules[key]
            places[key] = len(lowered.modules_in_order)
            lowered.modules_in_order.append(module)
            if isinstance(module, KerasModule):
                names.append(operation.name)
            elif isinstance(module, LoweredGraph):
                names.extend(module.not_lowered)
        return places[key]

    def record(operation: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            # Keras too lets the mode of the whole model overrule a layer's own ``training``.
            kwargs = {k: v for k, v in kwargs.items() if v is not None and k != "training"}
            flat = args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
            plain_call = not kwargs and all(isinstance(a, Slot) for a in flat)
            place = place_of(operation, plain_call)
            if not isinstance(lowered.modules_in_order[place], KerasModule):
                args = tuple(flat)
            # Constants: what runs as itself will turn them back.
            args, kwargs = keras.tree.map_structure(_engine_view, (args, kwargs))
            slots = [
                Slot(index=count + i) for i in range(len(keras.tree.flatten(operation.output)))
            ]
            count += len(slots)
            lowered.steps.append(
                Step(module=place, args=args, kwargs=kwargs, outputs=tuple(s.index for s in slots))
            )
            return keras.tree.pack_sequence_as(operation.output, slots)

        return call

    if not _is_graph(model):
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
    # The one place that leans on Keras's own way of walking a graph (clone_model does
    # too); tests hold it.
    function = keras.Function(model.inputs, model.outputs)
    (result,) = keras.tree.flatten(
        function._run_through_graph([Slot(index=0)], operation_fn=record)
    )
    lowered.not_lowered = tuple(dict.fromkeys(names))
    return int(result.index)


def _is_graph(model: Any) -> bool:
    """Whether calling ``model`` does nothing but walk its graph of layers."""
    kind = type(model)
    plain = kind.call in (keras.Sequential.call, _functional_call())
    return plain and bool(getattr(model, "inputs", None))


def _functional_call() -> Any:
    # Named, so that Keras's numbering of the user's own models is left alone.
    inputs = keras.Input((1,), name="x")
    return type(keras.Model(inputs, inputs, name="x")).call


def _lower_operation(
    operation: Any, modules: dict[_Key, nn.Module], kept_in_keras: frozenset[int]
) -> nn.Module | None:
    """Return the native form of a layer or nested model, or ``None`` if it has none."""
    if isinstance(operation, keras.Model):
        nested = _is_graph(operation) and len(operation.inputs) == len(operation.outputs) == 1
        return LoweredGraph(operation, modules, kept_in_keras) if nested else None
    build = LOWERED.get(type(operation))
    if build is None or _is_special(operation):
        return None
    if any(id(variable) in kept_in_keras for variable in operation.variables):
        return None
    return build(operation)


def _is_special(layer: Any) -> bool:
    """Whether a stock layer does something that no native form does."""
    floats = all(keras.backend.is_float_dtype(x.dtype) for x in keras.tree.flatten(layer.input))
    return (
        getattr(layer, "data_format", None) == "channels_first"
        or layer.activity_regularizer is not None
        or layer.quantization_mode is not None
        or getattr(layer, "lora_enabled", False)
        # An activation that is itself a layer.
        or bool(layer._flatten_layers(include_self=False))
        or not (floats or isinstance(layer, CASTING))
    )
