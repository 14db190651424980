"""Tiny models trained by the loop as they were compiled, and by Keras's own ``fit``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cifarlab.backend import KerasModel, keras
from cifarlab.data.dataset import Split
from cifarlab.fitting.fit import KERAS_OWN
from cifarlab.recipes.parts import ModelSpec
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.progress import SILENT, Progress
from cifarlab.runtime.randomness import permutation
from cifarlab.training.beginning import LoopOptions
from cifarlab.training.compiled import read_compiled
from cifarlab.training.endings import finish
from cifarlab.training.loop import fit
from cifarlab.training.losses import loss_of

SIDE, SIZE, EPOCHS = 4, 5, 2
CPU = torch.device("cpu")


def split(count: int, classes: int, seed: int = 0) -> Split:
    """Noise whose brightness tells the class."""
    draws = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % classes
    noise = draws.integers(0, 120, (count, SIDE, SIDE, 3)) + 40 * labels[:, None, None, None]
    return Split(images=noise.astype(np.uint8), labels=labels)


def network(activation: Any = "softmax", units: int = 3, kind: Any = keras.Model) -> KerasModel:
    """A network of two layers, the same weights each time."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(images))
    x = layers.Dense(5, activation="tanh", name="first")(x)
    return kind(images, layers.Dense(units, activation=activation, name="last")(x))


def recipe_for(model: KerasModel, **changes: Any) -> Recipe:
    """The recipe that trains a compiled model."""
    given = {"epochs": EPOCHS, "batch_size": SIZE, "optimizers": (), **changes}
    return Recipe(
        name="own",
        summary="",
        model=ModelSpec(name="custom"),
        as_compiled=read_compiled(model),
        **given,
    )


def train_here(
    model: KerasModel,
    classes: int = 3,
    checkpoints: Path | None = None,
    progress: Progress = SILENT,
    callbacks: Any = (),
    **changes: Any,
) -> list[dict[str, float]]:
    """Train a compiled model by our loop; return the history."""
    data = split(12, classes)
    finished = finish(model, data.images, loss_of(model), as_compiled=True).model
    return fit(
        model,
        data,
        split(7, classes, 1),
        recipe_for(model, **changes),
        LoopOptions(device=CPU, precision=torch.float32, seed=0, checkpoints=checkpoints),
        callbacks,
        progress,
        measured=finished,
    )


def labels_as(form: str, labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels as numbers, one-hot or in one column."""
    if form == "numbers":
        return labels
    return labels[:, None].astype("float32") if form == "binary" else np.eye(classes)[labels]


def train_in_keras(
    model: KerasModel,
    form: str = "one-hot",
    classes: int = 3,
    class_weight: dict[int, float] | None = None,
) -> list[dict[str, float]]:
    """Train a compiled model by ``keras.Model.fit`` on the same batches; return the history."""
    data, held_out = split(12, classes), split(7, classes, 1)
    orders = [permutation(len(data), 0, epoch).numpy() for epoch in range(EPOCHS)]

    def batches() -> Iterator[tuple[np.ndarray, ...]]:
        for order in orders:
            for first in range(0, len(order), SIZE):
                index = order[first : first + SIZE]
                labels = data.labels[index]
                batch = data.images[index].astype("float32"), labels_as(form, labels, classes)
                weights = class_weight and np.array([class_weight[i] for i in labels])
                yield batch if weights is None else (*batch, weights)

    history = KERAS_OWN["fit"](
        model,
        batches(),
        steps_per_epoch=-(-len(data) // SIZE),
        epochs=EPOCHS,
        verbose=0,
        validation_batch_size=SIZE,
        validation_data=(
            held_out.images.astype("float32"),
            labels_as(form, held_out.labels, classes),
        ),
    )
    return [
        {name: values[epoch] for name, values in history.history.items()} for epoch in range(EPOCHS)
    ]


def compiled(model: KerasModel, make: Callable[[], dict[str, Any]]) -> KerasModel:
    """The model, compiled with new objects."""
    model.compile(**make())
    return model


def weights_of(model: KerasModel) -> list[np.ndarray]:
    """Copies of all weights."""
    return [np.array(w) for w in model.get_weights()]


def assert_same_weights(one: KerasModel, other: KerasModel, tolerance: float = 2e-4) -> None:
    """Compare to ``tolerance``."""
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
