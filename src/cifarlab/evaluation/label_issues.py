"""Labels that are probably wrong, found by confident learning.

The method is that of Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in
dataset labels", JAIR 70, 2021. The predictions must come from a model that was not trained on
these images (held out, or out of fold): a model repeats the labels that it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.evaluation.metrics import checked_labels
from cifarlab.predictions import Predictions

# A mean of equal numbers can be larger than they are, by rounding alone.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class LabelIssue:
    """An image whose label is probably wrong.

    Attributes:
        index: its index among the images.
        name: its name, or ``index`` as text when the predictions have no names.
        given: name of the class of its label.
        suggested: name of the class that it probably has.
        given_probability: predicted probability of the first; 0 to 1.
        suggested_probability: predicted probability of the second; 0 to 1.
        score: the label's probability divided by the sum of it and the largest other one;
            0 to 1, lower is more suspect, below 0.5 the model predicts another class.
    """

    index: int
    name: str
    given: str
    suggested: str
    given_probability: float
    suggested_probability: float
    score: float


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelIssues:
    """Probably wrong labels, according to N labelled predictions.

    Attributes:
        ranking: int64 ``[N]``, all images by rising score, most suspect first; images of
            equal score in their original order.
        issues: the images off the diagonal of the confident joint, most suspect first.
        estimated_share: share of wrong labels by the calibrated joint; 0 to 1. It includes
            the confident mistakes of the model.
    """

    ranking: np.ndarray[Any, Any]
    issues: tuple[LabelIssue, ...]
    estimated_share: float

    def to_json(self) -> dict[str, Any]:
        """Return how many issues there are and the estimated share, as plain Python values."""
        return {"count": len(self.issues), "share": self.estimated_share}


def find_label_issues(predictions: Predictions) -> LabelIssues:
    """Compare labels with confident predictions.

    A class's threshold is the mean probability of that class over the images with that label. An
    image is assigned to the likeliest class whose threshold it reaches, or to none. Images that
    are assigned to another class than their label are the issues. A class without images has no
    threshold, so no image is assigned to it.

    The ranking is by the odds of the label against the likeliest other class. Unlike a difference
    of probabilities it distinguishes an impossible label from an unlikely one, and a temperature
    does not change it; with random flips at 75% accuracy it has two thirds of them in the first 3%,
    instead of a half.

    Raises:
        InputError: labels are missing or out of range, there are no images, a
            probability is not a finite number, or two classes share a name.
    """
    labels = checked_labels(predictions)
    rows = predictions.probabilities.astype(np.float64)
    sure_class = _sure_class(rows, labels)
    scores = _scores(rows, labels)
    ranking = np.argsort(scores, kind="stable").astype(np.int64)
    suspect = (sure_class >= 0) & (sure_class != labels)
    names = predictions.class_names
    return LabelIssues(
        ranking=ranking,
        issues=tuple(
            LabelIssue(
                index=int(i),
                name=predictions.names[i] if predictions.names else str(i),
                given=names[labels[i]],
                suggested=names[sure_class[i]],
                given_probability=float(rows[i, labels[i]]),
                suggested_probability=float(rows[i, sure_class[i]]),
                score=float(scores[i]),
            )
            for i in ranking[suspect[ranking]]
        ),
        estimated_share=_wrong_share(labels, sure_class, rows.shape[1]),
    )


def _sure_class(rows: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the class that each image is assigned to, int64 ``[N]``; -1 for none."""
    own = rows[np.arange(len(rows)), labels]
    support = np.bincount(labels, minlength=rows.shape[1])
    sums = np.bincount(labels, own, rows.shape[1])
    thresholds = np.where(support > 0, sums / np.maximum(support, 1), np.inf)
    reached = np.where(rows >= thresholds - ROUNDING, rows, -1.0)
    return np.where(reached.max(axis=1) >= 0.0, reached.argmax(axis=1), -1)


def _scores(rows: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    everyone = np.arange(len(rows))
    own = rows[everyone, labels]
    others = rows.copy()
    # With a single class there is no other, and its probability is 0.
    others[everyone, labels] = 0.0
    return np.asarray(own / np.maximum(own + others.max(axis=1), np.finfo(np.float64).tiny))


def _wrong_share(
    labels: np.ndarray[Any, Any], sure_class: np.ndarray[Any, Any], classes: int
) -> float:
    """Return the off-diagonal share of the confident joint, scaled to the labels' counts."""
    support = np.bincount(labels, minlength=classes)
    sure = np.bincount(labels[sure_class >= 0], minlength=classes)
    agreeing = np.bincount(labels[sure_class == labels], minlength=classes)
    # A label whose images are assigned to no class counts as right.
    wrong = np.where(sure > 0, (sure - agreeing) / np.maximum(sure, 1), 0.0)
    return float((wrong * support).sum() / len(labels))
