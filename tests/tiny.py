"""A tiny dataset and a shrunk recipe, so that whole runs take a second."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.dataset import Dataset, Split
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.parts import (
    SGD,
    Adam,
    AlternatingFlip,
    Constant,
    CrossEntropy,
    CutMix,
    Cutout,
    EarlyStopping,
    Flip,
    Jitter,
    Linear,
    Lookahead,
    Mixup,
    ModelSpec,
    Muon,
    TestTimeAugmentation,
    Translate,
    Whitening,
)
from cifarlab.recipes.recipe import EVERYTHING_BUT_TEST, Recipe
from cifarlab.runtime.progress import Silent

CLASSES = ("dark", "medium", "bright")
SIDE = 12


def tiny_split(count: int, seed: int) -> Split:
    """Noise whose brightness tells the class: learnt within an epoch or two."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    noise = generator.integers(0, 60, (count, SIDE, SIDE, 3))
    images = (noise + 80 * labels[:, None, None, None]).astype(np.uint8)
    return Split(images=images, labels=labels)


def tiny_dataset() -> Dataset:
    """150 images for training, 30 for validation, 30 for the test."""
    splits = tiny_split(150, 0), tiny_split(30, 1), tiny_split(30, 2)
    a, b, c = splits
    return Dataset(
        name="tiny",
        source="drawn by the tests",
        class_names=CLASSES,
        train=a,
        validation=b,
        test=c,
    )


def tiny_recipe(**changes: Any) -> Recipe:
    """The shipped baseline, shrunk, with augmentation on."""
    small = replace(
        BASELINE,
        model=ModelSpec(name="baseline", arguments={"filters": [4, 6], "units": 8}),
        epochs=3,
        batch_size=32,
        schedule=Constant(),
        augment=(Flip(), Translate(pixels=2)),
        stop=EarlyStopping(patience=2),
        image_size=(SIDE, SIDE),
        few_images=None,
    )
    return replace(small, **changes)


def rich_recipe(**changes: Any) -> Recipe:
    """A recipe that uses every field there is, on a small network."""
    rich = Recipe(
        name="rich",
        summary="everything at once",
        model=ModelSpec(name="airnet", arguments={"widths": [4, 6, 8]}),
        whitening=Whitening(images=50),
        frozen=("whitening/kernel",),
        epochs=4,
        batch_size=32,
        micro_batch=20,
        resolution=(10, 12),
        optimizers=(
            Muon(lr=0.1),
            SGD(lr=0.05, on="whitening/bias", schedule=Linear(until=0.4)),
            Adam(lr=0.01, on="head/kernel"),
            SGD(lr=0.01, weight_decay=0.01),
        ),
        schedule=Linear(warmup=0.2, start=0.2),
        lookahead=Lookahead(every=3),
        augment=(
            AlternatingFlip(),
            Translate(pixels=1),
            Cutout(size=3),
            Jitter(),
            Mixup(),
            CutMix(),
        ),
        loss=CrossEntropy(label_smoothing=0.1, reduction="sum"),
        tta=TestTimeAugmentation(share=0.5),
        keep="last",
        train_on=EVERYTHING_BUT_TEST,
        image_size=(SIDE, SIDE),
    )
    return replace(rich, **changes)


def dropout_model() -> Any:
    """A model of the user's with dropout in two layers, one of them run by Keras."""
    from cifarlab.backend import keras

    keras.utils.set_random_seed(5)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.SpatialDropout2D(0.2),
            layers.BatchNormalization(),
            layers.GaussianNoise(0.1),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(len(CLASSES), activation="softmax"),
        ],
        name="with_dropout",
    )


class SignalAt(Silent):
    """Progress that sends this process signals after given steps, counted over all epochs."""

    def __init__(self, signals: Mapping[int, int]) -> None:
        self.signals = dict(signals)
        self.steps = 0

    def advanced(self, count: int = 1) -> None:
        """Send what is due."""
        self.steps += count
        if self.steps in self.signals:
            os.kill(os.getpid(), self.signals[self.steps])


def train_in_child(directory: str, signals: Mapping[int, int], resume: bool) -> None:
    """Train the dropout model with augmentation, or go on with it; for a child process."""
    import sys

    from cifarlab.errors import CifarlabError
    from cifarlab.training import train as training

    # A child of pytest ignores what pytest ignores; a program started by a shell does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    progress = SignalAt(signals)
    try:
        if resume:
            training.resume(directory, tiny_dataset(), model=dropout_model(), progress=progress)
        else:
            training.train(
                tiny_recipe(epochs=4),
                tiny_dataset(),
                model=dropout_model(),
                directory=directory,
                progress=progress,
            )
    except CifarlabError as error:
        Path(f"{directory}.error").write_text(str(error))
        sys.exit(error.exit_code)


def saved_weights(path: Path) -> dict[str, bytes]:
    """Return every weight in a ``.keras`` file, by path, as bytes."""
    import io
    import zipfile

    import h5py

    found: dict[str, bytes] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            found[name] = item[()].tobytes()

    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        file.visititems(note)
    return found
