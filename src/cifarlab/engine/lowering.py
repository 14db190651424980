"""A Keras model as a native PyTorch module that trains fast and writes its weights back.

The graph is read once into a list of steps. Layers in ``layers.LOWERED`` become native
modules; every other layer or operation runs as itself, slower but never wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from cifarlab.backend import keras
from cifarlab.engine.activations import identity, softmax
from cifarlab.engine.binding import (
    Binding,
    LoweredLayer,
    to_engine_layout,
    to_keras_layout,
)
from cifarlab.engine.layers import LOWERED, Apply
from cifarlab.errors import InputError

CPU = torch.device("cpu")


class AsItself(LoweredLayer):
    """A Keras layer or operation without a native counterpart, run in Keras's layout."""

    def __init__(self, operation: Any) -> None:
        super().__init__()
        # In a tuple, so that torch does not register the layer's own parameters twice.
        self.operation = (operation,)
        self.is_layer = isinstance(operation, keras.layers.Layer)
        for variable in operation.variables if self.is_layer else ():
            self.bindings.append(Binding(variable, variable, "value"))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        (operation,) = self.operation
        args, kwargs = keras.tree.map_structure(_keras_view, (args, kwargs))
        if self.is_layer and operation._call_has_training_arg:
            kwargs["training"] = self.training
        return keras.tree.map_structure(_engine_view, operation(*args, **kwargs))

    def added_loss(self) -> Tensor | float:
        """What the layer's last call added to the loss, weight regularisers left out."""
        (operation,) = self.operation
        return sum(operation._get_own_losses()) if self.is_layer else 0.0


def _keras_view(x: Any) -> Any:
    return to_keras_layout(x) if isinstance(x, Tensor) else x


def _engine_view(x: Any) -> Any:
    return to_engine_layout(x) if isinstance(x, Tensor) else x


@dataclass(frozen=True)
class _Slot:
    """Stands for a tensor while the graph is being read."""

    index: int


@dataclass(frozen=True)
class _Step:
    """One call in the graph: which module, on which slots, into which slots."""

    module: int
    args: Any
    kwargs: Any
    outputs: tuple[int, ...]


class LoweredGraph(nn.Module):
    """A graph of lowered layers with one input and one output, both in the engine's layout."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.modules_in_order = nn.ModuleList()
        self.steps: list[_Step] = []
        self.not_lowered: tuple[str, ...] = ()
        self.result = _read_graph(model, self)

    def forward(self, x: Tensor) -> Tensor:
        values: dict[int, Any] = {0: x}
        for step in self.steps:
            args, kwargs = step.args, step.kwargs
            if not kwargs and all(type(a) is _Slot for a in args):
                inputs = [values[a.index] for a in args]
                output = self.modules_in_order[step.module](*inputs)
            else:
                args, kwargs = keras.tree.map_structure(
                    lambda a, v=values: v[a.index] if isinstance(a, _Slot) else a, (args, kwargs)
                )
                output = self.modules_in_order[step.module](*args, **kwargs)
            flat = (output,) if isinstance(output, Tensor) else keras.tree.flatten(output)
            values.update(zip(step.outputs, flat, strict=True))
        result: Tensor = values[self.result]
        return result

    @cached_property
    def bindings(self) -> list[Binding]:
        """Every weight and statistic, each once, in the order of the graph."""
        found: dict[int, Binding] = {}
        for module in self.modules():
            if isinstance(module, LoweredLayer):
                for binding in module.bindings:
                    found.setdefault(id(binding.variable), binding)
        return list(found.values())

    def write_back(self) -> None:
        """Copy all weights and statistics into the Keras model."""
        for binding in self.bindings:
            binding.write_back()

    def read_in(self) -> None:
        """Copy all weights and statistics from the Keras model."""
        for binding in self.bindings:
            binding.read_in()

    def penalty(self) -> Tensor | float:
        """The sum of weight regularisers and of losses that layers added in the last call."""
        total: Tensor | float = 0.0
        for binding in self.bindings:
            if getattr(binding.variable, "regularizer", None) is not None:
                total = total + binding.variable.regularizer(binding.keras_view())
        for module in self.modules():
            if isinstance(module, AsItself):
                total = total + module.added_loss()
        return total

    @torch.no_grad()
    def apply_constraints(self) -> None:
        """Project the weights that have a Keras constraint onto it."""
        for binding in self.bindings:
            constraint = getattr(binding.variable, "constraint", None)
            if constraint is not None:
                binding.tensor.copy_(binding.layout.to_engine(constraint(binding.keras_view())))

    def strip_softmax(self) -> bool:
        """Make the model end in logits; return whether it ended in a softmax to strip."""
        last = self.steps[-1] if self.steps else None
        if last is None or self.result not in last.outputs:
            return False
        if [step.module for step in self.steps].count(last.module) > 1:
            return False
        module: Any = self.modules_in_order[last.module]
        if isinstance(module, LoweredGraph):
            return module.strip_softmax()
        if isinstance(module, Apply) and module.function is softmax:
            module.function = identity
            return True
        if getattr(module, "activation", None) is softmax:
            module.activation = identity
            return True
        return False


class LoweredModel(LoweredGraph):
    """The native form of a Keras model with one input and one output.

    Call it on ``[N, H, W, C]`` values (uint8 or float); it gives what the Keras model
    gives. ``train()`` and ``eval()`` choose what dropout and batch normalisation do.
    """

    def __init__(self, model: Any, device: torch.device) -> None:
        super().__init__(model)
        self.device = device
        self.to(device)

    def trained(self) -> list[Tensor]:
        """The tensors that an optimizer is to change."""
        return [b.tensor for b in self.bindings if b.variable.trainable]

    def forward(self, x: Tensor) -> Tensor:
        return to_keras_layout(super().forward(to_engine_layout(x)))


def lower(model: Any, device: torch.device = CPU) -> LoweredModel:
    """Return the native form of ``model`` on ``device``, with a float32 copy of its weights.

    Raises:
        InputError: the model is not built, or has not one input and one output.
    """
    if not model.built:
        raise InputError(
            f"model {model.name!r} has no weights yet; give it an input shape, "
            "for example keras.Input((32, 32, 3)) as its first layer"
        )
    return LoweredModel(model, device)


def _read_graph(model: Any, lowered: LoweredGraph) -> int:
    """Fill ``lowered`` with the model's steps; return the slot of its output."""
    modules: dict[int, int] = {}
    names: list[str] = []
    count = 1

    def module_of(operation: Any, plain_call: bool) -> int:
        if id(operation) not in modules:
            modules[id(operation)] = len(lowered.modules_in_order)
            module = _lower_operation(operation) if plain_call else AsItself(operation)
            lowered.modules_in_order.append(module)
            if isinstance(module, AsItself):
                names.append(operation.name)
            elif isinstance(module, LoweredGraph):
                names.extend(module.not_lowered)
        return modules[id(operation)]

    def record(operation: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            kwargs = {name: value for name, value in kwargs.items() if value is not None}
            flat = args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
            plain_call = not kwargs and all(isinstance(a, _Slot) for a in flat)
            module = module_of(operation, plain_call)
            if not isinstance(lowered.modules_in_order[module], AsItself):
                args = tuple(flat)
            slots = [_Slot(count + i) for i in range(len(keras.tree.flatten(operation.output)))]
            count += len(slots)
            lowered.steps.append(_Step(module, args, kwargs, tuple(s.index for s in slots)))
            return keras.tree.pack_sequence_as(operation.output, slots)

        return call

    if not _is_graph(model):
        lowered.modules_in_order.append(AsItself(model))
        lowered.steps.append(_Step(0, (_Slot(0),), {}, (1,)))
        lowered.not_lowered = (model.name,)
        return 1
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(
            f"model {model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} "
            "outputs; a classifier takes one picture and gives one row of probabilities"
        )
    # The one place that leans on Keras's own way of walking a graph (clone_model does
    # too); tests hold it.
    function = keras.Function(model.inputs, model.outputs)
    (result,) = keras.tree.flatten(function._run_through_graph([_Slot(0)], operation_fn=record))
    lowered.not_lowered = tuple(names)
    return int(result.index)


def _is_graph(model: Any) -> bool:
    """Whether calling ``model`` does nothing but walk its graph of layers."""
    kind = type(model)
    plain = kind.call in (keras.Sequential.call, _functional_call())
    return plain and bool(getattr(model, "inputs", None))


def _functional_call() -> Any:
    inputs = keras.Input((1,))
    return type(keras.Model(inputs, inputs)).call


def _lower_operation(operation: Any) -> nn.Module:
    if isinstance(operation, keras.Model):
        return LoweredGraph(operation) if _is_graph(operation) else AsItself(operation)
    build = LOWERED.get(type(operation))
    if build is None or getattr(operation, "data_format", None) == "channels_first":
        return AsItself(operation)
    if operation.activity_regularizer is not None:
        return AsItself(operation)
    return build(operation) or AsItself(operation)
