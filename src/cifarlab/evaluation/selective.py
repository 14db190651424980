"""Selective prediction: answer "not sure" below a confidence, for fewer wrong answers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cifarlab.errors import UsageError
from cifarlab.evaluation.metrics import checked_labels
from cifarlab.predictions import Predictions

# Above any confidence, also with rounding.
NEVER = 2.0


@dataclass(frozen=True, eq=False, kw_only=True)
class RiskCoverage:
    """The error rate of a classifier that answers only its most confident predictions.

    One point for each of M different confidences, in order of growing coverage.

    Attributes:
        thresholds: float64 ``[M]``, falling: images with at least this confidence are answered.
        coverage: float64 ``[M]``, rising to 1: share of the images answered.
        risk: float64 ``[M]``: share of those answered that are wrong; 0 to 1.
        aurc: area under the risk over the coverage, a mean risk; 0 to 1, lower is better.
    """

    thresholds: np.ndarray[Any, Any]
    coverage: np.ndarray[Any, Any]
    risk: np.ndarray[Any, Any]
    aurc: float


@dataclass(frozen=True, kw_only=True)
class NotSure:
    """The result of answering only images with at least a certain confidence.

    Attributes:
        threshold: the lowest confidence that is answered.
        coverage: share of the images answered; 0 to 1.
        accuracy: share of those answered that are right, ``None`` when there are none; 0 to 1.
        answered: number of images answered.
        n: number of all images.
    """

    threshold: float
    coverage: float
    accuracy: float | None
    answered: int
    n: int

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain Python values."""
        return asdict(self)


def risk_coverage(predictions: Predictions) -> RiskCoverage:
    """Return the risk at every coverage (Geifman and El-Yaniv, "Selective classification for deep
    neural networks", 2017).

    Images are sorted by falling confidence; those of equal confidence are answered together, so
    that the result does not depend on the order of the images. The area is the mean over images
    of the risk at the point where each is answered.

    Raises:
        InputError: labels are missing or out of range, there are no images, a
            probability is not a finite number, or two classes share a name.
    """
    thresholds, answered, wrong = _points(predictions)
    risk = wrong / answered
    coverage = answered / len(predictions)
    area = float((np.diff(coverage, prepend=0.0) * risk).sum())
    return RiskCoverage(thresholds=thresholds, coverage=coverage, risk=risk, aurc=area)


def choose_threshold(predictions: Predictions, risk_factor: float = 0.5) -> float:
    """Return the smallest threshold at which answers are wrong at most a fraction as often.

    The answered images are wrong at most ``risk_factor`` times as often as all images are. Choose
    it on validation images, never on those that the result is measured on.

    Returns:
        One of the confidences; 0.0 when answering everything is good enough, as when nothing is
        wrong; 2.0, which no confidence reaches, when even the most confident answers are wrong
        too often: then nothing is answered.

    Raises:
        InputError: as ``risk_coverage``.
        UsageError: ``risk_factor`` is negative or not a finite number.
    """
    if not (math.isfinite(risk_factor) and risk_factor >= 0):
        raise UsageError(f"risk factor {risk_factor}: it must be 0 or more; 0.5 halves the risk")
    thresholds, answered, wrong = _points(predictions)
    # Multiplied out, because quotients of equal counts can differ in the last digit.
    good = np.flatnonzero(wrong * answered[-1] <= risk_factor * wrong[-1] * answered)
    if not len(good):
        return NEVER
    return 0.0 if good[-1] == len(answered) - 1 else float(thresholds[good[-1]])


def apply_threshold(predictions: Predictions, threshold: float) -> NotSure:
    """Return the result of answering the images whose confidence is ``threshold`` or more.

    Raises:
        InputError: as ``risk_coverage``.
        UsageError: ``threshold`` is not a finite number.
    """
    if not math.isfinite(threshold):
        raise UsageError(f"threshold {threshold}: it must be a number; 0 answers everything")
    labels = checked_labels(predictions)
    sure = predictions.confidence.astype(np.float64) >= threshold
    answered = int(sure.sum())
    right = int((predictions.predicted == labels)[sure].sum())
    return NotSure(
        threshold=float(threshold),
        coverage=answered / len(predictions),
        accuracy=right / answered if answered else None,
        answered=answered,
        n=len(predictions),
    )


def _points(
    predictions: Predictions,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return each confidence, highest first, and the counts of images and mistakes down to it."""
    labels = checked_labels(predictions)
    confidence = predictions.confidence.astype(np.float64)
    thresholds, group = np.unique(-confidence, return_inverse=True)
    wrong = np.bincount(group, predictions.predicted != labels)
    return -thresholds, np.cumsum(np.bincount(group)), np.cumsum(wrong)
