"""Notice that somebody changed a model's layers, which Keras reads anew in every step.

A callback may freeze a layer, or turn a dropout rate; the native form was made from the old ones.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from cifarlab.backend import KerasModel
from cifarlab.fitting.conditions import HOOKS

# What decides what a layer computes; weights are shared, not watched.
SETTINGS = (bool, int, float, str, tuple, FunctionType, type(None))
# PyTorch's own flag, which Keras turns with every evaluation.
IGNORED = frozenset({"training"})


class Watch:
    """The layers' settings as they were when this was made."""

    def __init__(self, model: KerasModel) -> None:
        # Of the model itself much changes in every call, and nothing that its layers do.
        self.layers = model._flatten_layers(include_self=False)
        self.variables = model.variables
        self.before = self._settings()

    def changed(self) -> bool:
        """Whether they are others now."""
        return self._settings() != self.before

    def _settings(self) -> list[Any]:
        # The memory that the native layers work in, too: PyTorch may move a module elsewhere.
        settings: list[Any] = [(v.trainable, v.value.data_ptr()) for v in self.variables]
        for layer in self.layers:
            own = vars(layer)
            settings.append(
                {k: v for k, v in own.items() if isinstance(v, SETTINGS) and k not in IGNORED}
            )
            settings.append([len(own[name]) for name in HOOKS if own.get(name)])
        return settings
