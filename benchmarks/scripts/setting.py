"""What the scripts beside this file share: images, the number of epochs, a clock.

Environment variables: ``ZOO_IMAGES`` and ``ZOO_EPOCHS`` (how much to train), ``ZOO_SEED``,
``ZOO_CIFAR10`` (the folder ``cifar-10-batches-py``; made-up images otherwise) and ``ZOO_RESULT``
(where the history and the seconds go, as JSON).
"""

import json
import os
import pickle
import time
from pathlib import Path

import keras
import numpy as np

IMAGES = int(os.environ.get("ZOO_IMAGES", "2304"))
EPOCHS = int(os.environ.get("ZOO_EPOCHS", "3"))
SEED = int(os.environ.get("ZOO_SEED", "0"))
CLASSES = 10
# The share that is held back for validation.
VALIDATION = 1 / 9


def images(side=32, channels=3):
    """Return uint8 images ``[N, side, side, channels]`` and their classes, int64 ``[N]``."""
    folder = os.environ.get("ZOO_CIFAR10")
    x, y = _cifar10(Path(folder)) if folder else _made_up()
    # To smaller sides by leaving out a border, to fewer channels by leaving out colours.
    border = (32 - side) // 2
    return x[:IMAGES, border : border + side, border : border + side, :channels], y[:IMAGES]


def _made_up():
    """A noisy pattern for each class, so that there is something to learn."""
    random = np.random.default_rng(0)
    y = random.integers(0, CLASSES, IMAGES)
    patterns = random.integers(0, 160, (CLASSES, 32, 32, 3), "uint8")
    noise = random.integers(0, 96, (IMAGES, 32, 32, 3), "uint8")
    return patterns[y] + noise, y


def _cifar10(folder):
    rows, labels = [], []
    for number in range(1, 6):
        with (folder / f"data_batch_{number}").open("rb") as file:
            part = pickle.load(file, encoding="bytes")
        rows.append(part[b"data"])
        labels.extend(part[b"labels"])
    x = np.concatenate(rows).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(x), np.array(labels)


class Clock(keras.callbacks.Callback):
    """The seconds that each epoch trains, its validation left out."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.began, self.counted = time.perf_counter(), False

    def on_test_begin(self, logs=None):
        self.count()

    def on_epoch_end(self, epoch, logs=None):
        self.count()

    def count(self):
        if not self.counted:
            self.seconds.append(time.perf_counter() - self.began)
        self.counted = True


def train(model, x, y, batch_size=128):
    """Call ``model.fit`` and write down what it did."""
    clock = Clock()
    history = model.fit(
        x,
        y,
        batch_size=batch_size,
        epochs=EPOCHS,
        validation_split=VALIDATION,
        callbacks=[clock],
        verbose=2,
    )
    path = os.environ.get("ZOO_RESULT")
    if path:
        trained = len(x) - int(len(x) * VALIDATION)
        result = {"history": history.history, "seconds": clock.seconds, "images": trained}
        Path(path).write_text(json.dumps(result, default=float))
