"""Metrics of predictions: accuracy with its interval, loss, and numbers for each class.

A class of which there are no images is not measured: its numbers are ``None``, and it is left out
of every mean over classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from cifarlab.errors import InputError, UsageError
from cifarlab.predictions import Predictions

SMALLEST_PROBABILITY = 1e-7
# From this ratio of the largest to the smallest class on, a classifier that never predicts the
# smallest one is still right on 5 of 6 images of the two.
UNEVEN = 5


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """One class against all others; all ``None`` where there are no images of the class.

    Attributes:
        precision: share of the images predicted as this class that have it, 0.0 where there are
            none; 0 to 1.
        recall: share of the images of this class that are predicted as it; 0 to 1.
        f1: harmonic mean of the two; 0 to 1.
        support: number of images of this class.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Metrics:
    """Metrics of N labelled predictions of K classes.

    Attributes:
        accuracy: share of images whose likeliest class is the true one; 0 to 1.
        accuracy_interval: Wilson's 95% interval of the accuracy, (low, high).
        top2: share of images whose true class is among the two likeliest; 0 to 1.
        loss: mean categorical cross-entropy in nats, probabilities below 1e-7 raised to it.
        n: number of images.
        class_names: K names, in label order.
        per_class: numbers for each class name, in label order.
        confusion: int64 ``[K, K]`` counts, rows the true and columns the predicted class.
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    top2: float
    loss: float
    n: int
    class_names: tuple[str, ...]
    per_class: dict[str, ClassMetrics]
    confusion: np.ndarray[Any, Any]

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have images; 0 to 1."""
        return balanced_accuracy(self.confusion)

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that have images; 0 to 1."""
        return macro_f1(self.confusion)

    @property
    def not_measured(self) -> tuple[str, ...]:
        """The names of the classes that have no images."""
        return tuple(name for name, numbers in self.per_class.items() if not numbers.support)

    @property
    def uneven(self) -> bool:
        """Whether a class has so many more images than another that accuracy is not enough."""
        return uneven([numbers.support for numbers in self.per_class.values()])

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain Python values; the order of ``per_class`` is label order."""
        return {
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "top2": self.top2,
            "loss": self.loss,
            "n": self.n,
            "per_class": {name: asdict(numbers) for name, numbers in self.per_class.items()},
            "confusion": self.confusion.tolist(),
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Metrics:
        """Return the metrics that ``to_json`` gave the values of, of earlier versions too."""
        low, high = values["accuracy_interval"]
        class_names = tuple(values["per_class"])
        confusion = np.array(values["confusion"], np.int64)
        return Metrics(
            accuracy=values["accuracy"],
            accuracy_interval=(low, high),
            top2=values["top2"],
            loss=values["loss"],
            n=values["n"],
            class_names=class_names,
            per_class=_per_class(confusion, class_names),
            confusion=confusion,
        )


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """One cell of the confusion matrix, off its diagonal.

    Attributes:
        true: name of the true class.
        predicted: name of the predicted class.
        count: number of images.
        share: ``count`` as a share of the true class's images; 0 to 1.
    """

    true: str
    predicted: str
    count: int
    share: float


def measure(predictions: Predictions) -> Metrics:
    """Compare predictions with the true labels.

    The result does not depend on the order of the images, not even in its last digit.

    Raises:
        InputError: labels are missing or out of range, there are no images, a
            probability is not a finite number, or two classes share a name.

    Example:
        >>> rows = np.array([[0.9, 0.1], [0.6, 0.4]], dtype=np.float32)
        >>> predictions = Predictions(
        ...     probabilities=rows, class_names=("cat", "dog"), labels=np.array([0, 1])
        ... )
        >>> measure(predictions).accuracy
        0.5
    """
    labels = checked_labels(predictions)
    n, classes = predictions.probabilities.shape
    predicted = predictions.predicted
    confusion = np.bincount(labels * classes + predicted, minlength=classes * classes)
    confusion = confusion.reshape(classes, classes).astype(np.int64)
    correct = int(confusion.trace())
    likeliest_two = np.argsort(-predictions.probabilities, axis=1, kind="stable")[:, :2]
    return Metrics(
        accuracy=correct / n,
        accuracy_interval=wilson_interval(correct, n),
        top2=int((likeliest_two == labels[:, None]).sum()) / n,
        loss=_cross_entropy(predictions.probabilities[np.arange(n), labels]),
        n=n,
        class_names=predictions.class_names,
        per_class=_per_class(confusion, predictions.class_names),
        confusion=confusion,
    )


def balanced_accuracy(confusion: np.ndarray[Any, Any]) -> float:
    """Return the mean recall of the classes that have images; 0 to 1.

    Brodersen et al., "The balanced accuracy and its posterior distribution", 2010.

    Args:
        confusion: counts ``[K, K]``, rows the true and columns the predicted class.

    Raises:
        InputError: there are no images.

    Example:
        >>> round(balanced_accuracy(np.array([[90, 0], [8, 2]])), 3)  # accuracy is 0.92
        0.6
    """
    hits, support, _ = _counts(confusion)
    return _mean([hit / n for hit, n in zip(hits, support, strict=True) if n])


def macro_f1(confusion: np.ndarray[Any, Any]) -> float:
    """Return the mean F1 of the classes that have images; 0 to 1.

    The mean of each class's F1, not the F1 of mean precision and recall (Opitz and Burst, "Macro F1
    and macro F1", 2019).

    Args:
        confusion: counts ``[K, K]``, rows the true and columns the predicted class.

    Raises:
        InputError: there are no images.

    Example:
        >>> round(macro_f1(np.array([[90, 0], [8, 2]])), 3)
        0.645
    """
    counts = zip(*_counts(confusion), strict=True)
    return _mean([2 * hit / (n + predicted) for hit, n, predicted in counts if n])


def uneven(counts: Sequence[int]) -> bool:
    """Return whether the largest class has at least ``UNEVEN`` times the images of the smallest.

    Args:
        counts: the number of images of each class; classes without images do not count.

    Example:
        >>> uneven([950, 50, 0]), uneven([100, 40])
        (True, False)
    """
    present = [count for count in counts if count]
    return bool(present) and max(present) >= UNEVEN * min(present)


def most_confused(metrics: Metrics, k: int = 3) -> tuple[Confusion, ...]:
    """Return the ``k`` most frequent mistakes, most frequent first; fewer when there are fewer.

    Mistakes that are equally frequent come in label order.
    """
    mistakes = metrics.confusion.copy()
    np.fill_diagonal(mistakes, 0)
    support = metrics.confusion.sum(axis=1)
    classes = len(metrics.class_names)
    order = np.argsort(-mistakes, axis=None, kind="stable")[: max(k, 0)]
    return tuple(
        Confusion(
            true=metrics.class_names[true],
            predicted=metrics.class_names[predicted],
            count=int(mistakes[true, predicted]),
            share=int(mistakes[true, predicted]) / int(support[true]),
        )
        for true, predicted in (divmod(int(cell), classes) for cell in order)
        if mistakes[true, predicted] > 0
    )


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return an interval for the true share, from ``correct`` of ``n`` independent trials.

    Wilson's score interval (E. B. Wilson, "Probable inference, the law of succession, and
    statistical inference", JASA 22, 1927): unlike the usual plus-or-minus it stays within
    0 to 1 and keeps a width when every trial or none succeeds.

    Raises:
        UsageError: ``correct`` is not within 0 to ``n``, ``n`` is below 1, or
            ``confidence`` is not between 0 and 1.

    Example:
        >>> low, high = wilson_interval(9400, 10000)
        >>> round(low, 4), round(high, 4)
        (0.9352, 0.9445)
    """
    if n < 1 or not 0 <= correct <= n:
        raise UsageError(f"{correct} correct of {n}: n must be 1 or more and hold the correct ones")
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"confidence {confidence}: it must lie between 0 and 1; use 0.95")
    z = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    share = correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding may push an end past the share itself when every trial or none succeeds.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def checked_labels(predictions: Predictions) -> np.ndarray[Any, Any]:
    """Return the labels, int64 ``[N]``, of predictions that can be measured.

    Raises:
        InputError: labels are missing or out of range, there are no images, a
            probability is not a finite number, or two classes share a name.
    """
    labels, names = predictions.labels, predictions.class_names
    if labels is None:
        raise InputError("predictions without labels: nothing to measure against; give the labels")
    if len(labels) == 0:
        raise InputError("predictions of 0 images: there is nothing to measure; give at least 1")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels are {labels.dtype}: they must be integers; convert them")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(names):
        raise InputError(
            f"labels run from {low} to {high}; {len(names)} classes allow 0 to {len(names) - 1}; "
            "give the class names that belong to them"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"class name {twice!r} occurs twice: give each class its own name")
    if not np.isfinite(predictions.probabilities).all():
        raise InputError(
            "probabilities hold values that are not finite numbers, so the model is broken; "
            "train it again with a lower learning rate"
        )
    return labels.astype(np.int64)


def _cross_entropy(probabilities: np.ndarray[Any, Any]) -> float:
    clipped = np.clip(probabilities.astype(np.float64), SMALLEST_PROBABILITY, 1.0)
    # fsum is exact, so that the order of the images cannot change the result.
    return abs(math.fsum(np.log(clipped))) / len(clipped)


def _counts(confusion: np.ndarray[Any, Any]) -> tuple[list[int], list[int], list[int]]:
    """Return right predictions, images and predictions of each class."""
    return (
        confusion.diagonal().tolist(),
        confusion.sum(axis=1).tolist(),
        confusion.sum(axis=0).tolist(),
    )


def _mean(values: Sequence[float]) -> float:
    if not values:
        raise InputError("predictions of 0 images: there is nothing to measure; give at least 1")
    return math.fsum(values) / len(values)


def _per_class(
    confusion: np.ndarray[Any, Any], class_names: tuple[str, ...]
) -> dict[str, ClassMetrics]:
    counts = zip(class_names, *_counts(confusion), strict=True)
    return {
        name: ClassMetrics(
            precision=hits / predicted if predicted else 0.0,
            recall=hits / support,
            f1=2 * hits / (support + predicted),
            support=support,
        )
        if support
        else ClassMetrics(precision=None, recall=None, f1=None, support=0)
        for name, hits, support, predicted in counts
    }
