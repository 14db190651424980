"""Check that the weights in a model file fit its description.

Keras's own error for weights that do not fit names neither the file nor, always, the shapes; it
also accepts surplus weights.
"""

from __future__ import annotations

from itertools import count, takewhile
from pathlib import Path
from typing import Any

import h5py

from cifarlab.backend import KerasModel
from cifarlab.errors import InputError
from cifarlab.saving.safe_hdf5 import Array, list_arrays


def check_keras_weights(
    model: KerasModel, weights: Path, arrays: dict[str, Array], where: str
) -> None:
    """Compare the weights member of a ``.keras`` file with what Keras would save of ``model``.

    Args:
        model: built from the file's description.
        weights: a private copy of the member; a file is written, and removed, beside it.
        arrays: the arrays in ``weights``, by path.
        where: the name of the file in messages.

    Raises:
        InputError: path, shape or type of an array differ.
    """
    reference = weights.with_name("expected.weights.h5")
    model.save_weights(reference)
    with h5py.File(reference, "r") as file:
        expected = list_arrays(file, where)
    reference.unlink()
    for path, array in expected.items():
        if path not in arrays or not _fits(array, arrays[path]):
            raise _misfit(where, path, array, arrays.get(path))
    # Other arrays belong to the optimizer and the metrics, which are not built.
    for path in sorted(arrays.keys() - expected.keys()):
        if path.startswith("layers/") and not _of_inner_optimizer(path, expected):
            raise _misfit(where, path, None, arrays[path])


def _of_inner_optimizer(path: str, expected: dict[str, Array]) -> bool:
    """Whether an array is of the optimizer of a model inside the model, compiled by itself."""
    inner, found, _ = path.rpartition("/optimizer/")
    return bool(found) and any(other.startswith(f"{inner}/") for other in expected)


def check_h5_weights(
    model: KerasModel, weights: Path, arrays: dict[str, Array], where: str
) -> None:
    """Compare the layers in an ``.h5`` file, in order, with those of ``model``.

    Args:
        model: built from the file's description.
        weights: a private copy of the file.
        arrays: the arrays in ``weights``, by path.
        where: the name of the file in messages.

    Raises:
        InputError: number of layers or weights, shape or type of an array differ.
    """
    expected = [
        (layer.name, layer.trainable_weights + layer.non_trainable_weights)
        for layer in model.layers
        if layer.weights
    ]
    stored = _h5_layers(weights, where)
    if len(expected) != len(stored):
        raise InputError(
            f"{where}: expected {len(expected)} layers with weights, found {len(stored)}; "
            "save the model again"
        )
    for (layer, variables), (name, paths) in zip(expected, stored, strict=True):
        if len(variables) != len(paths):
            raise InputError(
                f"{where}: layer {layer}: expected {len(variables)} weights, "
                f"found {len(paths)} under {name[:80]!r}; save the model again"
            )
        for variable, path in zip(variables, paths, strict=True):
            array = Array(tuple(variable.shape), variable.dtype)
            if path not in arrays or not _fits(array, arrays[path]):
                raise _misfit(where, variable.path, array, arrays.get(path))


def _h5_layers(weights: Path, where: str) -> list[tuple[str, list[str]]]:
    """Return each layer in the file that has weights, with the paths of its arrays."""
    try:
        with h5py.File(weights, "r") as file:
            group = file["model_weights"]
            names = _texts(group, "layer_names")
            layers = [(name, _texts(group[name], "weight_names")) for name in names]
    except (OSError, KeyError, ValueError, TypeError, RuntimeError):
        raise InputError(
            f"{where}: it does not say which weights belong to which layer; save the model again"
        ) from None
    return [
        (name, [f"model_weights/{name}/{weight}" for weight in weights])
        for name, weights in layers
        if weights
    ]


def _texts(group: Any, name: str) -> list[str]:
    """Return a list of strings that Keras stored as ``name``, or as ``name0``, ``name1`` ..."""
    attributes = group.attrs
    parts = takewhile(attributes.__contains__, (f"{name}{index}" for index in count()))
    keys = [name] if name in attributes else parts
    values = [value for key in keys for value in attributes[key]]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _fits(expected: Array, stored: Array) -> bool:
    # Integers are counters and random states, whose width depends on the Keras backend.
    counters = "int" in expected.dtype and "int" in stored.dtype
    return expected.shape == stored.shape and (expected.dtype == stored.dtype or counters)


def _misfit(where: str, path: str, expected: Array | None, stored: Array | None) -> InputError:
    return InputError(
        f"{where}: {path}: expected {expected or 'nothing'}, found {stored or 'nothing'}; "
        "weights and description do not fit: save the model again"
    )
