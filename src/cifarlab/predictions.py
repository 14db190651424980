"""Predictions: the one thing that evaluation, plots and reports need to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.errors import InputError


@dataclass(frozen=True)
class Predictions:
    """What a classifier said about N pictures of K classes.

    Attributes:
        probabilities: float32 ``[N, K]``, rows sum to 1.
        class_names: K names.
        labels: int64 ``[N]``, the true classes, or ``None`` when they are not known.
        names: N strings that tell the pictures apart (file names, or indices as text).
    """

    probabilities: np.ndarray[Any, Any]
    class_names: tuple[str, ...]
    labels: np.ndarray[Any, Any] | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = self.probabilities.shape
        if len(shape) != 2 or shape[1] != len(self.class_names):
            raise InputError(
                f"probabilities of shape {list(shape)}: they must be "
                f"[pictures, {len(self.class_names)}], a column for each class name"
            )
        if self.labels is not None and self.labels.shape != (shape[0],):
            raise InputError(
                f"labels of shape {list(self.labels.shape)}: "
                f"there must be one for each of the {shape[0]} pictures"
            )

        if self.names and len(self.names) != shape[0]:
            raise InputError(
                f"{len(self.names)} names: there must be one for each of the {shape[0]} pictures, "
                "or none at all"
            )

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def predicted(self) -> np.ndarray[Any, Any]:
        """The most probable class of each picture, int64 ``[N]``."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def confidence(self) -> np.ndarray[Any, Any]:
        """The probability of the predicted class, float32 ``[N]``."""
        return np.asarray(self.probabilities.max(axis=1))

    def top(self, k: int = 3) -> list[list[tuple[str, float]]]:
        """For each picture, the ``k`` likeliest classes with their probabilities, best first."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return [
            [(self.class_names[j], float(row[j])) for j in best]
            for row, best in zip(self.probabilities, order, strict=True)
        ]
