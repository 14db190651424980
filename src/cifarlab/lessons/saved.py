"""What a model file stores, measured: it is opened, loaded and trained further.

The lesson ``formats`` puts the results into words and a plot.
"""

from __future__ import annotations

import io
import json
import math
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cifarlab.backend import keras
from cifarlab.data.dataset import Dataset, Split
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.recipe import Recipe, to_json
from cifarlab.saving.model_file import save_model
from cifarlab.saving.safe_contents import NOTES_ATTRIBUTE, NOTES_MEMBER, SUFFIXES, WEIGHTS_MEMBER

Array = np.ndarray[Any, Any]

# How many images predictions are compared on, and a further step is taken with.
COMPARED, STEP = 500, 64
# Differences below this come from the order of additions.
SAME = 1e-5
MOST_OF_AN_ERROR = 60


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What happened when a loaded model was trained on.

    Attributes:
        error: what ``fit`` raised, or empty where it did its step.
        difference: the largest between its weights after the step and those of the model that
            was never saved; nan where there was an error.
    """

    error: str
    difference: float

    @property
    def exact(self) -> bool:
        """Whether training went on as if the model had never been saved."""
        return not self.error and self.difference < SAME


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What one file stores of one model.

    Attributes:
        size: of the file, in bytes.
        weights: bytes of weights in it.
        optimizer: bytes of the optimizer's state in it.
        names, recipe: whether it holds class names and a recipe.
        weight_difference: the largest between the weights saved and those loaded.
        prediction_difference: the largest between probabilities before and after.
        optimizer_had: variables of the optimizer that was saved.
        optimizer_loaded: how many of them plain Keras brings back with their values.
        resumed: training on after ``load_model(path)``.
        recompiled: the same after ``load_model(path, compile=False)`` and ``compile``.
    """

    seed: int
    suffix: str
    size: int
    weights: int
    optimizer: int
    names: bool
    recipe: bool
    weight_difference: float
    prediction_difference: float
    optimizer_had: int
    optimizer_loaded: int
    resumed: Attempt
    recompiled: Attempt


def compare_files(model: Any, recipe: Recipe, data: Dataset, seed: int) -> list[Kept]:
    """Save a compiled model in each format and return what each file stores.

    The model itself is trained a step further, for the loaded ones to be compared with.
    """
    images = data.validation.images[:COMPARED].astype("float32")
    next_step = step_values(data.train, STEP, len(data.class_names))
    with tempfile.TemporaryDirectory(prefix="cifarlab-") as scratch:
        paths = [Path(scratch) / f"model{suffix}" for suffix in SUFFIXES]
        for path in paths:
            save_model(model, path, class_names=data.class_names, recipe=to_json(recipe))
        before = _arrays(model.variables), _arrays(model.optimizer.variables)
        expected = model.predict(images, verbose=0)
        keras_step(model, next_step)
        after = _arrays(model.variables)
        return [
            Kept(
                seed=seed,
                suffix=path.suffix,
                size=path.stat().st_size,
                **_inside(path),
                **_loaded(path, before, images, expected),
                resumed=_try(path, next_step, after, compiled=True),
                recompiled=_try(path, next_step, after, compiled=False),
            )
            for path in paths
        ]


def _inside(path: Path) -> dict[str, Any]:
    """Open the file with the libraries for its container, without Keras."""
    if path.suffix == ".h5":
        with h5py.File(path, "r") as file:
            notes = json.loads(file.attrs.get(NOTES_ATTRIBUTE, "{}"))
            sizes = _sizes(file)
    else:
        with zipfile.ZipFile(path) as archive:
            has = NOTES_MEMBER in archive.namelist()
            notes = json.loads(archive.read(NOTES_MEMBER)) if has else {}
            with h5py.File(io.BytesIO(archive.read(WEIGHTS_MEMBER)), "r") as file:
                sizes = _sizes(file)
    state = sum(size for name, size in sizes.items() if name.startswith("optimizer"))
    return {
        "weights": sum(sizes.values()) - state,
        "optimizer": state,
        "names": bool(notes.get("class_names")),
        "recipe": bool(notes.get("recipe")),
    }


def _sizes(file: h5py.File) -> dict[str, int]:
    """Return the bytes of each array in the file, by its path."""
    sizes: dict[str, int] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes[name] = int(item.nbytes)

    file.visititems(note)
    return sizes


def _loaded(
    path: Path,
    before: tuple[list[Array], list[Array]],
    images: Array,
    expected: Array,
) -> dict[str, Any]:
    model = _load(path, compiled=True)
    weights, state = before
    loaded = _arrays(model.optimizer.variables)
    same = [
        a.shape == b.shape and bool((a == b).all()) for a, b in zip(state, loaded, strict=False)
    ]
    return {
        "weight_difference": _largest(weights, _arrays(model.variables)),
        "prediction_difference": _largest([expected], [model.predict(images, verbose=0)]),
        "optimizer_had": len(state),
        "optimizer_loaded": sum(same),
    }


def _try(
    path: Path,
    values: tuple[Array, Array],
    expected: list[Array],
    *,
    compiled: bool,
) -> Attempt:
    """Load and do one more step, as a learner would."""
    model = _load(path, compiled=compiled)
    if not compiled:
        rate = BASELINE.optimizers[0].lr
        model.compile(keras.optimizers.Adam(rate), loss="categorical_crossentropy")
    try:
        keras_step(model, values)
    # Whatever goes wrong here is a result of the lesson.
    except Exception as error:
        text = " ".join(str(error).split())
        shown = text if len(text) <= MOST_OF_AN_ERROR else f"{text[:MOST_OF_AN_ERROR]}…"
        return Attempt(error=f"{type(error).__name__}: {shown}", difference=math.nan)
    return Attempt(error="", difference=_largest(expected, _arrays(model.variables)))


def _load(path: Path, *, compiled: bool) -> Any:
    # What it warns of is measured here, and reported.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return keras.saving.load_model(path, compile=compiled)


def keras_step(model: Any, values: tuple[Array, Array]) -> None:
    """Do one step of plain Keras."""
    model.fit(*values, batch_size=len(values[0]), epochs=1, shuffle=False, verbose=0)


def step_values(split: Split, first: int, classes: int) -> tuple[Array, Array]:
    """Return a batch for Keras: float32 ``[B, H, W, C]`` and one-hot ``[B, K]``."""
    # Modulo: a very small split gives the same images again.
    index = np.arange(first, first + STEP) % len(split)
    labels = np.eye(classes, dtype="float32")[split.labels[index]]
    return split.images[index].astype("float32"), labels


def _arrays(variables: Sequence[Any]) -> list[Array]:
    return [keras.ops.convert_to_numpy(variable).copy() for variable in variables]


def _largest(a: Sequence[Array], b: Sequence[Array]) -> float:
    return max(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True))
