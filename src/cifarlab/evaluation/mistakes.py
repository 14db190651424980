"""The images that a classifier gets wrong, and those of each cell of the confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.errors import UsageError
from cifarlab.evaluation.metrics import SMALLEST_PROBABILITY, checked_labels
from cifarlab.predictions import Predictions


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """An image with a wrong predicted class.

    Attributes:
        index: its index among the images.
        name: its name, or ``index`` as text when the predictions have no names.
        true: name of the true class.
        predicted: name of the predicted class.
        confidence: probability of the predicted class; 0 to 1.
        true_probability: probability of the true class; 0 to 1.
        loss: cross-entropy in nats, the probability raised to 1e-7 as in ``Metrics.loss``.
    """

    index: int
    name: str
    true: str
    predicted: str
    confidence: float
    true_probability: float
    loss: float


def top_losses(predictions: Predictions, k: int = 25) -> tuple[Mistake, ...]:
    """Return the ``k`` wrong images with the highest loss, highest first.

    All of them where there are fewer. Images of equal loss are in their original order.

    Raises:
        InputError: labels are missing or out of range, there are no images, a
            probability is not a finite number, or two classes share a name.
        UsageError: ``k`` is negative.
    """
    if k < 0:
        raise UsageError(f"{k} mistakes: it must be 0 or more; use 25")
    labels = checked_labels(predictions)
    predicted, confidence = predictions.predicted, predictions.confidence
    probability = predictions.probabilities[np.arange(len(labels)), labels].astype(np.float64)
    loss = -np.log(np.clip(probability, SMALLEST_PROBABILITY, 1.0))
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-loss[wrong], kind="stable")][:k]
    return tuple(
        Mistake(
            index=int(i),
            name=predictions.names[i] if predictions.names else str(i),
            true=predictions.class_names[labels[i]],
            predicted=predictions.class_names[predicted[i]],
            confidence=float(confidence[i]),
            true_probability=float(probability[i]),
            loss=float(loss[i]),
        )
        for i in worst
    )


def top_k_accuracy(predictions: Predictions, k: int) -> float:
    """Return the share of images whose true class is among the ``k`` likeliest, 0 to 1.

    Of equally likely classes the first ones count, as in ``Metrics.top2``. The share is 1.0 when
    ``k`` is at least the number of classes.

    Raises:
        InputError: as ``top_losses``.
        UsageError: ``k`` is below 1.
    """
    if k < 1:
        raise UsageError(f"top {k}: it must be 1 or more; 1 is the accuracy")
    labels = checked_labels(predictions)
    likeliest = np.argsort(-predictions.probabilities, axis=1, kind="stable")[:, :k]
    return int((likeliest == labels[:, None]).sum()) / len(labels)


def cell(predictions: Predictions, true: int, predicted: int) -> np.ndarray[Any, Any]:
    """Return the images of one cell of the confusion matrix, int64, most confident first.

    Images of equal confidence are in their original order.

    Args:
        true: the true class, from 0.
        predicted: the predicted class, from 0; equal to ``true`` for the images that are right.

    Raises:
        InputError: as ``top_losses``.
        UsageError: there is no such class.
    """
    labels = checked_labels(predictions)
    classes = len(predictions.class_names)
    for value in (true, predicted):
        if not 0 <= value < classes:
            raise UsageError(f"class {value}: {classes} classes are numbered 0 to {classes - 1}")
    inside = np.flatnonzero((labels == true) & (predictions.predicted == predicted))
    order = np.argsort(-predictions.confidence[inside], kind="stable")
    return np.asarray(inside[order], dtype=np.int64)
