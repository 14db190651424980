"""``Predictions``: all that evaluation, plots and reports need from a classifier."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.errors import InputError
from cifarlab.files import atomic_write


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """A classifier's probabilities for N images and K classes.

    Attributes:
        probabilities: float32 ``[N, K]``, rows sum to 1.
        class_names: K names.
        labels: int64 ``[N]``, the true classes, or ``None`` when they are not known.
        names: N strings that tell the images apart (file names, or indices as text).

    Example:
        >>> probabilities = np.array([[0.25, 0.75]], np.float32)
        >>> Predictions(probabilities=probabilities, class_names=("cat", "dog")).top(1)
        [[('dog', 0.75)]]
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
                f"[images, {len(self.class_names)}], a column for each class name"
            )
        if self.labels is not None and self.labels.shape != (shape[0],):
            raise InputError(
                f"labels of shape {list(self.labels.shape)}: "
                f"there must be one for each of the {shape[0]} images"
            )
        if self.names and len(self.names) != shape[0]:
            raise InputError(
                f"{len(self.names)} names: there must be one for each of the {shape[0]} images, "
                "or none at all"
            )

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def predicted(self) -> np.ndarray[Any, Any]:
        """The most probable class of each image, int64 ``[N]``."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def confidence(self) -> np.ndarray[Any, Any]:
        """The probability of the predicted class, float32 ``[N]``."""
        return np.asarray(self.probabilities.max(axis=1))

    def subset(self, indices: np.ndarray[Any, Any]) -> Predictions:
        """Return the predictions at ``indices`` (int ``[M]``), in that order."""
        return Predictions(
            probabilities=self.probabilities[indices],
            class_names=self.class_names,
            labels=None if self.labels is None else self.labels[indices],
            names=tuple(self.names[i] for i in indices) if self.names else (),
        )

    def top(self, k: int = 3) -> list[list[tuple[str, float]]]:
        """Return, for each image, the ``k`` likeliest classes and their probabilities, best first.

        Example:
            >>> rows = np.array([[0.1, 0.7, 0.2]], dtype=np.float32)
            >>> Predictions(probabilities=rows, class_names=("cat", "dog", "bird")).top(1)
            [[('dog', 0.699999988079071)]]
        """
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return [
            [(self.class_names[j], float(row[j])) for j in best]
            for row, best in zip(self.probabilities, order, strict=True)
        ]


def write_predictions(path: Path, splits: Mapping[str, Predictions]) -> None:
    """Write the predictions of each split into one ``.npz`` file, complete or not at all.

    Raises:
        ResourceError: the disk is full or the directory cannot be written to.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for split, predictions in splits.items():
        arrays[f"{split}/probabilities"] = predictions.probabilities
        arrays[f"{split}/class_names"] = np.array(predictions.class_names, dtype=np.str_)
        if predictions.labels is not None:
            arrays[f"{split}/labels"] = predictions.labels
        if predictions.names:
            arrays[f"{split}/names"] = np.array(predictions.names, dtype=np.str_)
    # NumPy's type hints would read the array names as options.
    save: Any = np.savez_compressed
    atomic_write(path, lambda file: save(file, **arrays))


def read_predictions(path: Path) -> dict[str, Predictions]:
    """Return what ``write_predictions`` wrote; nothing in the file is run.

    Raises:
        InputError: the file is missing, damaged or not a file of predictions.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return {
            split: Predictions(
                probabilities=arrays[f"{split}/probabilities"],
                class_names=tuple(map(str, arrays[f"{split}/class_names"])),
                labels=arrays.get(f"{split}/labels"),
                names=tuple(map(str, arrays.get(f"{split}/names", ()))),
            )
            for split in dict.fromkeys(name.split("/")[0] for name in arrays)
        }
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: cannot be read as predictions ({error}); measure the run again"
        ) from error
