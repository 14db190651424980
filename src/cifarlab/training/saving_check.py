"""Whether a model can be saved and loaded again: found out before it is trained."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import ResourceError, UnsafeError, UsageError
from cifarlab.saving.model_file import load_model, save_model
from cifarlab.training.compiled import inner_uncompiled

# Of values that a model gives before and after it was saved.
TOLERANCE = 1e-4
# Where Keras computes layers with fewer digits.
ROUNDING = {"float16": 5e-3, "bfloat16": 4e-2}
REMEDY = (
    "make it of stock layers, or of classes with a get_config that are decorated with "
    "keras.saving.register_keras_serializable()"
)


@dataclass(frozen=True, kw_only=True)
class Saving:
    """What files can hold of a model.

    Attributes:
        h5: whether an ``.h5`` file can hold it.
        notes: a line for each thing that will not work with the files of its run.
    """

    h5: bool = True
    notes: tuple[str, ...] = ()


def check_saving(model: KerasModel) -> Saving:
    """Save the untrained model in each format and load it again with plain Keras.

    Raises:
        UsageError: a ``.keras`` file cannot hold it, so that all training would be lost.
    """
    notes = []
    with (
        inner_uncompiled(model, model),
        tempfile.TemporaryDirectory(prefix="cifarlab-") as folder,
    ):
        whole, older = Path(folder) / "trial.keras", Path(folder) / "trial.h5"
        reason = _reason(model, whole)
        if reason is not None:
            raise UsageError(
                f"model {model.name!r} cannot be saved and loaded again ({reason}), so that its "
                f"training would be lost; {REMEDY}"
            )
        reason = _reason(model, older)
        h5 = reason is None
        if not h5:
            notes.append(f"no .h5 file: that format cannot hold this model ({reason})")
        try:
            load_model(whole)
        except UnsafeError:
            notes.append(_on_own_code(sorted(kind.__name__ for kind in own_layers(model))))
    return Saving(h5=h5, notes=tuple(notes))


def _on_own_code(names: list[str]) -> str:
    named = ", ".join(f"{name!r}: {name}" for name in names)
    return (
        f"the model has code of your own ({', '.join(names) or 'other code'}): load its files from "
        f"Python with cifarlab.Classifier.load(path, custom_objects={{{named}}}); predict, serve "
        "and export from the command line refuse them"
    )


def _reason(model: KerasModel, path: Path) -> str | None:
    """Return why a file cannot hold the model, or ``None`` where it can."""
    names = tuple(f"class {i}" for i in range(int(model.output_shape[-1])))
    try:
        save_model(model, path, class_names=names, recipe={})
        reloaded = load_plain(path, model)
        difference = _difference(model, reloaded)
    except ResourceError:
        raise
    # The code of layers that others wrote may raise anything.
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        text = text.removeprefix(f"{path}: ")
        # The innermost of nested ones tells; what Keras advises is not what helps here.
        text = text.rpartition("Exception encountered: ")[2]
        for advice in (". Please ensure", ". This carries"):
            text = text.partition(advice)[0]
        return text[:300]
    if not difference < TOLERANCE:
        return (
            f"loaded again it gives other values, by up to {difference:.2g}: a get_config leaves "
            "out a setting, or a weight is not saved"
        )
    return None


def _difference(model: KerasModel, other: KerasModel) -> float:
    """Return the largest difference of two models' values on an image of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:]))
    first, second = (
        keras.ops.convert_to_numpy(m(noise.astype("float32"), training=False))
        for m in (model, other)
    )
    # Values of thousands have rounding of their size; what is not a number is for training to say.
    size = np.nanmax(np.abs(first), initial=1.0)
    return float(np.nanmax(np.abs(first - second), initial=0.0) / size)


def rounding_of(model: KerasModel) -> float:
    """Return by how much probabilities in plain Keras may differ from the engine's, in float32."""
    kinds = {layer.compute_dtype for layer in model._flatten_layers()}
    return max(ROUNDING.get(kind, TOLERANCE) for kind in kinds)


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
    """Return the classes of layers and models that the user wrote, inside others too."""
    return {
        type(layer)
        for layer in model._flatten_layers(include_self=False)
        if not type(layer).__module__.startswith("keras.")
    }
