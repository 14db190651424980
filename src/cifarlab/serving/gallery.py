"""Test pictures with what the model says of them, where the data set is on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.boxed import NAME
from cifarlab.classifier import Classifier
from cifarlab.data.catalog import load
from cifarlab.data.dataset import Split
from cifarlab.errors import CifarlabError
from cifarlab.recorded import data_of

EVERY_CLASS = "every class"
PICTURES = 1000
MOST_SHOWN = 64
# Pictures are shown this many times as large.
TIMES = 3


class Gallery:
    """The first test pictures of the data set that a model was trained on.

    They are predicted when they are first asked for.

    Attributes:
        test: labelled pictures, or ``None`` where the data set is not at hand.
        class_names: of that data set.
    """

    def __init__(
        self,
        model: Path | None,
        classifier: Callable[[], Classifier],
        lock: threading.Lock,
    ) -> None:
        self.test, self.class_names = _test_pictures(model)
        self._classifier, self._lock = classifier, lock
        self._predicted: np.ndarray[Any, Any] | None = None

    def choose(self, true_class: str, only_mistakes: bool) -> list[tuple[Any, str]]:
        """Return pictures, uint8 ``[3H, 3W, 3]``, each with its caption.

        Raises:
            CifarlabError: the model is not ready.
        """
        assert self.test is not None
        predicted = self._predictions(self.test)
        wanted = np.ones(len(self.test), bool)
        if true_class != EVERY_CLASS:
            wanted &= self.test.labels == self.class_names.index(true_class)
        if only_mistakes:
            wanted &= predicted != self.test.labels
        return [
            (_enlarged(self.test.images[i]), self._caption(self.test.labels[i], predicted[i]))
            for i in np.flatnonzero(wanted)[:MOST_SHOWN]
        ]

    def _predictions(self, test: Split) -> np.ndarray[Any, Any]:
        if self._predicted is None:
            classifier = self._classifier()
            with self._lock:
                self._predicted = classifier.predict_split(test).predicted
        return self._predicted

    def _caption(self, true: int, predicted: int) -> str:
        said, was = self.class_names[predicted], self.class_names[true]
        return was if said == was else f"{was}, taken for {said}"


def _test_pictures(model: Path | None) -> tuple[Split | None, tuple[str, ...]]:
    if model is None:
        return None, ()
    try:
        source = data_of(model) or (NAME if str(model) == NAME else None)
        if source is None:
            return None, ()
        data = load(source, offline=True)
    except CifarlabError:
        return None, ()
    count = min(PICTURES, len(data.test))
    return data.test.subset(np.arange(count)), data.class_names


def _enlarged(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(image).repeat(TIMES, axis=0).repeat(TIMES, axis=1)
