"""A classifier's accuracy on corrupted images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.corruptions import CORRUPTIONS, FAMILIES, SEVERITIES, corrupt

Predict = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Accuracies, each from 0 to 1, on images without and with corruptions.

    Attributes:
        n: number of images.
        clean: accuracy without corruption.
        accuracy: for each corruption, the accuracies at severities 1 to 5.
    """

    n: int
    clean: float
    accuracy: dict[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        if not self.accuracy:
            raise UsageError("robustness without corruptions is not defined; measure at least one")
        for name, values in self.accuracy.items():
            if len(values) != len(SEVERITIES):
                raise InputError(
                    f"{len(values)} accuracies for {name!r}: "
                    f"there must be one for each of the {len(SEVERITIES)} severities"
                )

    @property
    def mean(self) -> float:
        """The mean over all corruptions and severities."""
        return _mean(self.by_severity)

    @property
    def by_severity(self) -> tuple[float, ...]:
        """For each severity from 1 to 5, the mean over the corruptions."""
        return tuple(_mean(values) for values in zip(*self.accuracy.values(), strict=True))

    @property
    def by_family(self) -> dict[str, float]:
        """For each family of corruptions, the mean over those that were measured."""
        measured = {
            family: [self.accuracy[name] for name in names if name in self.accuracy]
            for family, names in FAMILIES.items()
        }
        return {family: _mean(np.ravel(rows)) for family, rows in measured.items() if rows}

    def to_json(self) -> dict[str, Any]:
        """Return the numbers, means included, as plain Python values."""
        return {
            "n": self.n,
            "clean": self.clean,
            "mean": self.mean,
            "by_severity": list(self.by_severity),
            "by_family": self.by_family,
            "accuracy": {name: list(values) for name, values in self.accuracy.items()},
        }


def measure_robustness(
    predict: Predict,
    images: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    seed: int = 0,
    names: Sequence[str] = tuple(CORRUPTIONS),
    progress: Callable[[str], None] | None = None,
) -> Robustness:
    """Measure accuracy on the images, and with each corruption at each severity.

    Hendrycks & Dietterich (2019) and later work report the mean over corruptions and severities
    for CIFAR-10-C; the corrupted images are this package's own, so published figures are near
    these, but not the same.

    Args:
        predict: from uint8 ``[N, H, W, C]`` to probabilities (or logits) ``[N, K]``, such as
            ``Classifier.predict_proba``; called once for the images themselves and once for
            each corruption and severity.
        images: uint8 ``[N, H, W, C]``, 0 to 255, C is 3 or 1.
        labels: int ``[N]``, the true classes.
        seed: seed of the corruptions, 0 or more.
        names: which of ``CORRUPTIONS``.
        progress: called with a corruption's name before it is measured.

    Raises:
        InputError: there are no images, labels do not match them, or ``predict`` gives
            something other than finite numbers ``[N, K]``.
        UsageError: a corruption is not known or named twice, there is none, or the seed is
            negative.

    Example:
        >>> result = measure_robustness(
        ...     classifier.predict_proba, data.test.images, data.test.labels
        ... )  # doctest: +SKIP
        >>> result.clean, result.mean  # doctest: +SKIP
        (0.9446, 0.7391)
    """
    _check(images, labels, names)
    clean = _accuracy(predict(images), labels)
    accuracy: dict[str, tuple[float, ...]] = {}
    for name in names:
        if progress is not None:
            progress(name)
        accuracy[name] = tuple(
            _accuracy(predict(corrupt(images, name, severity, seed)), labels)
            for severity in SEVERITIES
        )
    return Robustness(n=len(images), clean=clean, accuracy=accuracy)


def _check(
    images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], names: Sequence[str]
) -> None:
    unknown = [name for name in names if name not in CORRUPTIONS]
    if unknown or not names or len(set(names)) < len(names):
        raise UsageError(
            f"corruptions {list(names)}: name at least one, none twice, "
            f"out of {', '.join(CORRUPTIONS)}"
        )
    if not len(images) or labels.shape != (len(images),):
        raise InputError(
            f"{len(images)} images with labels of shape {list(labels.shape)}: "
            "give at least one image, and one label for each"
        )


def _accuracy(probabilities: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
    shape = probabilities.shape
    if len(shape) != 2 or shape[0] != len(labels) or not np.isfinite(probabilities).all():
        raise InputError(
            f"predictions of shape {list(shape)} for {len(labels)} images: "
            "they must be finite numbers, a row for each image and a column for each class"
        )
    return int((probabilities.argmax(axis=1) == labels).sum()) / len(labels)


def _mean(values: Any) -> float:
    return float(np.mean(values))
