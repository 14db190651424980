"""Calibration of a classifier's confidence, and temperature scaling, which corrects it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.metrics import SMALLEST_PROBABILITY, checked_labels, measure
from cifarlab.predictions import Predictions

BINS = 15
LOWEST_TEMPERATURE = 0.05
HIGHEST_TEMPERATURE = 20.0


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """The images whose confidence lies in one interval.

    Attributes:
        low: lower end of the interval, not included; 0 to 1.
        high: upper end of the interval, included; 0 to 1.
        count: number of images in it.
        confidence: their mean confidence, 0.0 when there are none; 0 to 1.
        accuracy: share of them that are right, 0.0 when there are none; 0 to 1.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well the probabilities of N labelled predictions match the labels.

    Attributes:
        ece: expected calibration error over equal intervals of confidence (Guo et al., 2017);
            0 to 1.
        adaptive_ece: the same over groups of equally many images (Nixon et al., "Measuring
            calibration in deep learning", 2019), in the form for the predicted class only;
            0 to 1. Images of equal confidence count with their mean, so that the result does
            not depend on their order.
        brier: mean over images of the squared differences between probabilities and truth,
            summed over the classes (G. W. Brier, "Verification of forecasts expressed in terms
            of probability", 1950); 0 to 2.
        loss: mean cross-entropy in nats, as in ``Metrics.loss``.
        n: number of images.
        bins: the equal intervals behind ``ece``, lowest confidence first.
    """

    ece: float
    adaptive_ece: float
    brier: float
    loss: float
    n: int
    bins: tuple[ReliabilityBin, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain Python values."""
        return {**asdict(self), "bins": [asdict(one) for one in self.bins]}


def expected_calibration_error(predictions: Predictions, bins: int = BINS) -> float:
    """Return the mean gap between confidence and accuracy, 0 to 1.

    Images are sorted into ``bins`` equal intervals of confidence; each interval's gap counts by
    its share of the images (Guo et al., "On calibration of modern neural networks", 2017).

    Raises:
        InputError: there are no labels or no images.
        UsageError: ``bins`` is below 1.
    """
    if predictions.labels is None or not len(predictions):
        raise InputError("calibration needs labelled images; give a split that has labels")
    counts, confidence, right = _sums(predictions, bins)
    return float(np.abs(right - confidence).sum() / counts.sum())


def measure_calibration(predictions: Predictions, bins: int = BINS) -> Calibration:
    """Compare the probabilities with the true labels.

    Raises:
        InputError: labels are missing or out of range, there are no images, a
            probability is not a finite number, or two classes share a name.
        UsageError: ``bins`` is below 1.

    Example:
        >>> rows = np.array([[0.9, 0.1], [0.6, 0.4]], dtype=np.float32)
        >>> result = measure_calibration(
        ...     Predictions(
        ...         probabilities=rows, class_names=("cat", "dog"), labels=np.array([0, 1])
        ...     )
        ... )
        >>> round(result.ece, 3), round(result.brier, 3)
        (0.35, 0.37)
    """
    loss = measure(predictions).loss
    counts, confidence, right = _sums(predictions, bins)
    filled = np.maximum(counts, 1)
    return Calibration(
        ece=expected_calibration_error(predictions, bins),
        adaptive_ece=_adaptive_error(predictions, bins),
        brier=_brier(predictions),
        loss=loss,
        n=len(predictions),
        bins=tuple(
            ReliabilityBin(
                low=i / bins,
                high=(i + 1) / bins,
                count=int(counts[i]),
                confidence=float(mean),
                accuracy=float(share),
            )
            for i, (mean, share) in enumerate(zip(confidence / filled, right / filled, strict=True))
        ),
    )


def fit_temperature(predictions: Predictions) -> float:
    """Return the temperature with which the probabilities fit the labels best, 0.05 to 20.

    Temperature scaling (Guo et al., 2017): the value of T with the lowest cross-entropy of
    softmax(log p / T), where p below 1e-7 is raised to it, as in the loss. A value above 1 means
    that the classifier was overconfident, below 1 that it was underconfident. Fit it on validation
    images, never on those that the result is measured on. The result is an end of the range when
    the best value is beyond it (0.05 where every image is right), and 1.0 when none is better.

    Raises:
        InputError: as ``measure_calibration``.
    """
    from scipy.optimize import minimize_scalar

    labels = checked_labels(predictions)
    logs = _logs(predictions)

    # The loss is convex in 1 / T, so it has a single minimum in log T.
    def loss(log_temperature: float) -> float:
        scaled = logs / math.exp(log_temperature)
        return float(
            (np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(scaled)), labels]).mean()
        )

    low, high = math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE)
    result = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-5})
    # The search never tries the ends themselves.
    best = min([0.0, low, high, float(result.x)], key=loss)
    return math.exp(best) if best not in (low, high) else _end(best)


def with_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """Return the predictions with probabilities softmax(log p / ``temperature``).

    Rows still sum to 1 in float32, and every image keeps its predicted class. Probabilities
    below 1e-7 are raised to it first, so that a 0 can become larger.

    Raises:
        UsageError: ``temperature`` is not a finite number above 0.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise UsageError(
            f"temperature {temperature}: it must be a number above 0; 1 changes nothing"
        )
    powers = np.exp(_logs(predictions) / temperature)
    rows = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    # Two probabilities can round to the same float32, and the first would win.
    winner = predictions.predicted
    lost = np.flatnonzero(rows.argmax(axis=1) != winner)
    rows[lost, winner[lost]] = np.nextafter(rows[lost].max(axis=1), np.float32(2.0))
    return replace(predictions, probabilities=rows)


def _end(log_temperature: float) -> float:
    return LOWEST_TEMPERATURE if log_temperature < 0 else HIGHEST_TEMPERATURE


def _logs(predictions: Predictions) -> np.ndarray[Any, Any]:
    """Return logarithms of the probabilities, float64 ``[N, K]``, the largest of each row 0."""
    rows = np.clip(predictions.probabilities.astype(np.float64), SMALLEST_PROBABILITY, None)
    return np.asarray(np.log(rows / rows.max(axis=1, keepdims=True)))


def _sums(
    predictions: Predictions, bins: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return counts of images, sums of confidence and counts of right images, by interval."""
    if bins < 1:
        raise UsageError(f"{bins} bins: there must be 1 or more; use {BINS}")
    confidence = predictions.confidence.astype(np.float64)
    # An interval has its upper end, as in the paper; a confidence of 0 goes to the first.
    bin_index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return (
        np.bincount(bin_index, minlength=bins),
        np.bincount(bin_index, confidence, bins),
        np.bincount(bin_index, predictions.predicted == predictions.labels, bins),
    )


def _adaptive_error(predictions: Predictions, bins: int) -> float:
    values, group = np.unique(predictions.confidence.astype(np.float64), return_inverse=True)
    right = np.bincount(group, predictions.predicted == predictions.labels) / np.bincount(group)
    order = np.sort(group)
    groups = np.array_split(right[order] - values[order], min(bins, len(order)))
    return float(sum(abs(group.sum()) for group in groups) / len(order))


def _brier(predictions: Predictions) -> float:
    misses = predictions.probabilities.astype(np.float64)
    misses[np.arange(len(misses)), predictions.labels] -= 1.0
    return float((misses * misses).sum() / len(misses))
