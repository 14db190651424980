"""What was read from a model's layers before the first epoch, and must not change any more."""

from __future__ import annotations

from typing import Any

from cifarlab.backend import KerasModel
from cifarlab.errors import UsageError

# Of a layer: what its owner may set on the way, and the native form was made from.
SETTINGS = (bool, int, float, str, type(None))
# Turned by Keras itself whenever it runs the model.
TURNED_BY_KERAS = frozenset({"training", "built"})


class FixedLayers:
    """The public settings of a model's layers, and what is trained, as they were."""

    def __init__(self, model: KerasModel) -> None:
        self.model = model
        self.before = _settings(model)

    def changed(self) -> bool:
        """Whether any is another now."""
        return _settings(self.model) != self.before

    def check(self) -> None:
        """Raise ``UsageError`` if any is another now: training would go on without it."""
        now = _settings(self.model)
        for (owner, name), value in self.before.items():
            if now.get((owner, name), value) != value:
                raise UsageError(
                    f"a callback set {owner}.{name} to {now[owner, name]!r} (was {value!r}), and "
                    "a recipe reads layers before the first epoch; set it in on_train_begin, or "
                    "train with cifarlab.fit(model, x, y), which follows it"
                )


def _settings(model: KerasModel) -> dict[tuple[str, str], Any]:
    """Return the settings by layer or variable and name."""
    found: dict[tuple[str, str], Any] = {}
    for layer in model._flatten_layers():
        found[layer.name, "trainable"] = layer.trainable
        for name, value in vars(layer).items():
            public = not name.startswith("_") and name not in TURNED_BY_KERAS
            if layer is not model and public and isinstance(value, SETTINGS):
                found[layer.name, name] = value
    for variable in model.variables:
        found[variable.path, "trainable"] = variable.trainable
    return found
