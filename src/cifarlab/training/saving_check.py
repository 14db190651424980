"""Whether a model can be saved and loaded again: found out before it is trained."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import ResourceError, UnsafeError, UsageError
from cifarlab.saving.model_file import load_model, save_model

REMEDY = (
    "make it of stock layers, or of classes with a get_config that are decorated with "
    "keras.saving.register_keras_serializable()"
)


def check_saving(model: KerasModel) -> tuple[str, ...]:
    """Save the untrained model in each format and load it again with plain Keras.

    Returns:
        One line for each thing that will not work with the files of its run.

    Raises:
        UsageError: a ``.keras`` file cannot hold it, so that all training would be lost.
    """
    notes = []
    with tempfile.TemporaryDirectory(prefix="cifarlab-") as folder:
        whole, older = Path(folder) / "trial.keras", Path(folder) / "trial.h5"
        reason = _reason(model, whole)
        if reason is not None:
            raise UsageError(
                f"model {model.name!r} cannot be saved and loaded again ({reason}), so that its "
                f"training would be lost; {REMEDY}"
            )
        reason = _reason(model, older)
        if reason is not None:
            notes.append(f"no .h5 file: that format cannot hold this model ({reason})")
        try:
            load_model(whole)
        except UnsafeError:
            names = ", ".join(sorted(kind.__name__ for kind in own_layers(model))) or "other code"
            notes.append(
                f"the model has code of your own ({names}): its files load with plain Keras where "
                "that code is there; predict, serve and export from the command line refuse them"
            )
    return tuple(notes)


def _reason(model: KerasModel, path: Path) -> str | None:
    """Return why a file cannot hold the model, or ``None`` where it can."""
    names = tuple(f"class {i}" for i in range(int(model.output_shape[-1])))
    try:
        save_model(model, path, class_names=names, recipe={})
        load_plain(path, model)
    except ResourceError:
        raise
    # The code of layers that others wrote may raise anything.
    except Exception as error:
        return " ".join(str(error).split())[:160] or type(error).__name__
    return None


def load_plain(path: Path, model: KerasModel) -> Any:
    """Load a file with plain Keras and the classes of the layers of ``model``."""
    own = {kind.__name__: kind for kind in own_layers(model)}
    return keras.saving.load_model(path, custom_objects=own, compile=False)


def largest_difference(
    path: Path, model: KerasModel, images: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]
) -> float:
    """Return how much a file's probabilities on ``images`` in plain Keras differ from others."""
    reloaded = load_plain(path, model)
    probabilities = reloaded.predict(images.astype("float32"), verbose=0)
    return float(np.abs(probabilities - expected).max())


def own_layers(model: KerasModel) -> set[type]:
    """Return the classes of layers that the user wrote, in nested models too."""
    own: set[type] = set()
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            own |= own_layers(layer)
        if not type(layer).__module__.startswith("keras."):
            own.add(type(layer))
    return own
