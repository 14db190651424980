"""Notice that somebody changed a model's layers, which Keras reads anew in every step.

A callback may freeze a layer, or turn a dropout rate; the native form was made from the old ones.
"""

from __future__ import annotations

import operator
from types import FunctionType
from typing import Any

from cifarlab.backend import KerasModel
from cifarlab.fitting.conditions import HOOKS

# What decides what a layer computes; weights are shared, not watched.
SETTINGS = (bool, int, float, str, tuple, FunctionType, type(None))
# PyTorch's own flag, which Keras turns with every evaluation.
IGNORED = frozenset({"training"})


class Watch:
    """The layers' settings as they were when this was made; asked before every step."""

    def __init__(self, model: KerasModel) -> None:
        # Of the model itself much changes in every call, and nothing that its layers do.
        layers = model._flatten_layers(include_self=False)
        self.layers = [_Settings(vars(layer)) for layer in layers]
        self.variables = model.variables
        self.before = self._of_variables()

    def changed(self) -> bool:
        """Whether they are others now."""
        return any(layer.changed() for layer in self.layers) or (
            self._of_variables() != self.before
        )

    def _of_variables(self) -> list[tuple[bool, int]]:
        # The memory that the native layers work in, too: PyTorch may move a module elsewhere.
        return [(v.trainable, v.value.data_ptr()) for v in self.variables]


class _Settings:
    """One layer's attributes that decide what it computes."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        self.attributes = attributes
        watched = {
            name: value
            for name, value in attributes.items()
            if isinstance(value, SETTINGS) and name not in IGNORED
        }
        self.names, self.values = tuple(watched), tuple(watched.values())
        self.count = len(attributes)
        self.hooks = [attributes[name] for name in HOOKS if name in attributes]
        self.hooked = sum(map(len, self.hooks))

    def changed(self) -> bool:
        """Whether one has another value, was added or was taken away."""
        if len(self.attributes) != self.count or sum(map(len, self.hooks)) != self.hooked:
            return True
        now = map(self.attributes.get, self.names)
        # Nearly always they are the very same objects.
        if all(map(operator.is_, now, self.values)):
            return False
        return tuple(map(self.attributes.get, self.names)) != self.values
