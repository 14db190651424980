"""A Keras model as a native PyTorch module, which can write its weights back."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError
from cifarlab.lowering.activations import identity, in_float32, softmax
from cifarlab.lowering.binding import Binding, LoweredLayer, to_keras_layout, to_torch_layout
from cifarlab.lowering.graph import KerasModule, LoweredGraph

CPU = torch.device("cpu")


class LoweredModel(LoweredGraph):
    """The native form of a Keras model with one input and one output.

    Call it on ``[N, H, W, C]`` values (uint8 or float); the output is that of the Keras model.
    ``train()`` and ``eval()`` switch dropout and batch normalisation.

    Attributes:
        keras_modules: the layers and operations without a native form, which Keras runs.
        not_lowered: their names.
        trainable: ids of the Keras variables that are trained.
    """

    def __init__(
        self, model: KerasModel, device: torch.device, kept_in_keras: frozenset[int] = frozenset()
    ) -> None:
        super().__init__(model, {}, kept_in_keras)
        self.device = device
        # Variables of a frozen model's layers may say that they are trainable.
        self.trainable = frozenset(id(v) for v in model.trainable_variables)
        self.keras_modules = tuple(m for m in self.modules() if isinstance(m, KerasModule))
        self.to(device)

    def forward(self, x: Tensor) -> Tensor:
        for module in self.keras_modules:
            module.added_losses.clear()
        return to_keras_layout(super().forward(to_torch_layout(x)))

    @cached_property
    def bindings(self) -> list[Binding]:
        """Every weight and statistic, each once, in the order of the graph."""
        return list({id(b.variable): b for b in _all_bindings(self)}.values())

    @property
    def trained_bindings(self) -> list[Binding]:
        """The weights that are trained."""
        return [b for b in self.bindings if id(b.variable) in self.trainable]

    def trained(self) -> list[Tensor]:
        """Return the tensors that an optimizer changes."""
        return [b.tensor for b in self.trained_bindings]

    def write_back(self) -> None:
        """Copy all weights and statistics into the Keras model."""
        for binding in self.bindings:
            binding.write_back()

    def read_in(self) -> None:
        """Copy all weights and statistics from the Keras model."""
        for binding in self.bindings:
            binding.read_in()

    def use_keras_memory(self) -> None:
        """Make every weight and statistic one with its Keras variable, instead of a copy.

        Whatever changes one changes the other from then on, so that nothing needs to be written
        back or read in. Only for models of float32 variables, all on the device computed on.
        """
        for binding in self.bindings:
            binding.share()

    def end_in_float32(self) -> None:
        """Compute the activation at the end in float32, whatever precision comes before it.

        Probabilities in bfloat16 would have three digits, and a sigmoid of 7 would be 1.
        """
        last = self._last_step()
        for name in ("function", "activation"):
            function = getattr(last, name, None)
            if function is not None:
                setattr(last, name, in_float32(function))

    def penalty(self) -> Tensor | float:
        """Return the sum of weight regularisers and losses that layers added in the last call."""
        total: Tensor | float = 0.0
        for binding in self.trained_bindings:
            if getattr(binding.variable, "regularizer", None) is not None:
                total = total + binding.variable.regularizer(binding.keras_view())
        for module in self.keras_modules:
            # As in Keras, which sums an added loss of several values.
            total = total + sum(loss.sum() for loss in module.added_losses)
        return total

    @torch.no_grad()
    def apply_constraints(self) -> None:
        """Project the weights that have a Keras constraint onto it."""
        for binding in self.trained_bindings:
            constraint = getattr(binding.variable, "constraint", None)
            if constraint is not None:
                binding.tensor.copy_(binding.layout.to_torch(constraint(binding.keras_view())))

    def strip_softmax(self) -> bool:
        """Remove a softmax at the end, so that outputs are logits; return whether there was one.

        A layer that is used twice keeps its softmax, and so does the model.
        """
        last = self._last_step()
        for name in ("function", "activation"):
            if getattr(last, name, None) is softmax:
                setattr(last, name, identity)
                return True
        return False

    def _last_step(self) -> nn.Module | None:
        """Return the module that gives the output, unless it is used more than once."""
        graphs = [m for m in self.modules() if isinstance(m, LoweredGraph)]
        uses = Counter(id(g.modules_in_order[s.module]) for g in graphs for s in g.steps)
        module: Any = self
        while isinstance(module, LoweredGraph):
            if not module.steps or module.result not in module.steps[-1].outputs:
                return None
            module = module.modules_in_order[module.steps[-1].module]
            if uses[id(module)] > 1:
                return None
        return module  # type: ignore[no-any-return]


def lower(
    model: KerasModel,
    device: torch.device = CPU,
    kept_in_keras: frozenset[int] = frozenset(),
) -> LoweredModel:
    """Return the native form of ``model`` on ``device``, with a float32 copy of its weights.

    Args:
        kept_in_keras: ids of variables; the layers that hold one of them are run by Keras.

    Raises:
        InputError: the model is not built, or has not exactly one input and one output.
    """
    if not model.built:
        raise InputError(
            f"model {model.name!r} has no weights yet; give it an input shape, "
            "for example keras.Input((32, 32, 3)) as its first layer"
        )
    _finish_building(model)
    lowered = LoweredModel(model, device, kept_in_keras)
    uses: dict[int, set[tuple[int, str]]] = {}
    for binding in _all_bindings(lowered):
        uses.setdefault(id(binding.variable), set()).add((id(binding.holder), binding.name))
    # The weights of a native layer that is also inside of a layer run by Keras would exist
    # twice: such a layer is run by Keras everywhere.
    doubled = frozenset(variable for variable, holders in uses.items() if len(holders) > 1)
    return LoweredModel(model, device, kept_in_keras | doubled) if doubled else lowered


@torch.no_grad()
def _finish_building(model: KerasModel) -> None:
    """Call a model once whose layers lack weights: one given as an activation is built then."""
    inputs: list[Any] = getattr(model, "inputs", None) or []
    shape = inputs[0].shape[1:] if len(inputs) == 1 else (None,)
    if None not in shape and not all(layer.built for layer in model._flatten_layers()):
        model(keras.ops.zeros((1, *shape), inputs[0].dtype), training=False)


def _all_bindings(lowered: LoweredGraph) -> list[Binding]:
    layers = (m for m in lowered.modules() if isinstance(m, LoweredLayer))
    return [binding for layer in layers for binding in layer.bindings]
