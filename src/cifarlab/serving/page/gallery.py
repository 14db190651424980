"""Test images with what the model says of them, where the data set is on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.classifier import Classifier
from cifarlab.data.catalog import load_dataset
from cifarlab.data.dataset import Split
from cifarlab.errors import CifarlabError, UsageError
from cifarlab.predictions import read_predictions
from cifarlab.runs.directory import RunDirectory
from cifarlab.runs.record import data_of
from cifarlab.saving.pretrained import NAME

Array = np.ndarray[Any, Any]
EVERY_CLASS = "every class"
# So many are predicted where no run has kept its predictions.
IMAGES = 1000
MOST_SHOWN = 60


class Gallery:
    """Test images and what was predicted of them, on first use where no run has kept it.

    Attributes:
        test: labelled images.
        class_names: of that data set.
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

    def choose(self, true_class: str, only_mistakes: bool) -> Array:
        """Return the first 60 images that fit, int64 ``[M]``.

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
    """Return the test images of the data that a model was trained on; never downloads.

    What a run has predicted at its end is read; else the first 1,000 images are predicted when
    they are first looked at.

    Args:
        model: what ``Classifier.load`` takes; ``None`` if the model came from elsewhere.
        classifier: gives the classifier, or raises a ``CifarlabError`` while it is not ready.
        lock: held while the classifier computes.

    Returns:
        ``None`` where the data is not at hand or not known.
    """
    if model is None:
        return None
    try:
        source = NAME if _is_boxed(model) else data_of(model)
        if source is None:
            return None
        data = load_dataset(source, offline=True, skip_bad=True)
    except CifarlabError:
        return None
    kept = _kept(model, data.test)
    test = data.test if kept is not None else data.test.subset(np.arange(IMAGES)[: len(data.test)])
    return Gallery(test, data.class_names, kept, classifier, lock)


def _is_boxed(model: Path) -> bool:
    return str(model) == NAME and not model.exists()


def _kept(model: Path, test: Split) -> Array | None:
    """Return what the run in ``model`` predicted of these very images, if it is known."""
    try:
        found = read_predictions(RunDirectory(path=model).predictions)["test"]
    except (CifarlabError, KeyError):
        return None
    same = found.labels is not None and np.array_equal(found.labels, test.labels)
    return found.predicted if same else None
