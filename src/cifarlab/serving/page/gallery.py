"""Test images and their predictions, where the dataset is on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.classifier import Classifier, is_pretrained
from cifarlab.data.catalog import load_dataset
from cifarlab.data.dataset import Split
from cifarlab.errors import CifarlabError, UsageError
from cifarlab.predictions import read_predictions
from cifarlab.runs.directory import RunDirectory
from cifarlab.runs.record import dataset_of
from cifarlab.saving.pretrained import NAME

Array = np.ndarray[Any, Any]
EVERY_CLASS = "every class"
# How many are predicted where no run has stored its predictions.
IMAGES = 1000
MOST_SHOWN = 60


class Gallery:
    """Test images and their predictions, computed on first use where no run has stored them.

    Attributes:
        test: labelled images.
        class_names: of that dataset.
    """

    def __init__(
        self,
        test: Split,
        class_names: tuple[str, ...],
        predicted: Array | None,
        classifier: Callable[[], Classifier],
        lock: threading.Lock,
    ) -> None:
        self.test, self.class_names = test, class_names
        self._predicted, self._classifier, self._lock = predicted, classifier, lock

    def choose(self, true_class: str, *, only_mistakes: bool) -> Array:
        """Return the first 60 images that match, int64 ``[M]``.

        Raises:
            UsageError: no such class.
            CifarlabError: the model is not ready.
        """
        wanted = np.ones(len(self.test), bool)
        if true_class != EVERY_CLASS:
            if true_class not in self.class_names:
                raise UsageError(
                    f"no class is called {true_class!r}; choose from {', '.join(self.class_names)}"
                )
            wanted &= self.test.labels == self.class_names.index(true_class)
        if only_mistakes:
            wanted &= self.predicted() != self.test.labels
        return np.flatnonzero(wanted)[:MOST_SHOWN]

    def predicted(self) -> Array:
        """Return the class that the model gives each image, int64 ``[N]``.

        Raises:
            CifarlabError: the model is not ready.
        """
        if self._predicted is None:
            classifier = self._classifier()
            with self._lock:
                # Another visitor may have waited for the same.
                if self._predicted is None:
                    self._predicted = classifier.predict_split(self.test).predicted
        return self._predicted


def find_gallery(
    model: Path | None, classifier: Callable[[], Classifier], lock: threading.Lock
) -> Gallery | None:
    """Return the test images of the dataset that a model was trained on; never downloads.

    The predictions that a run has stored are read; else the first 1,000 images are predicted when
    they are first shown.

    Args:
        model: what ``Classifier.load`` takes; ``None`` if the model came from elsewhere.
        classifier: gives the classifier, or raises a ``CifarlabError`` while it is not ready.
        lock: held while the classifier computes.

    Returns:
        ``None`` where the dataset is not on this machine or not known.
    """
    if model is None:
        return None
    try:
        if is_pretrained(model):
            data = load_dataset(NAME, offline=True)
        else:
            data = dataset_of(model, offline=True)
    except CifarlabError:
        return None
    test = data.test
    stored = _stored(model, test)
    if stored is None:
        test = test.subset(np.arange(min(IMAGES, len(test))))
    return Gallery(test, data.class_names, stored, classifier, lock)


def _stored(model: Path, test: Split) -> Array | None:
    """Return what the run in ``model`` predicted for these images, if it has stored that."""
    try:
        predictions = read_predictions(RunDirectory(path=model).predictions)["test"]
    except (CifarlabError, KeyError):
        return None
    same = predictions.labels is not None and np.array_equal(predictions.labels, test.labels)
    return predictions.predicted if same else None
